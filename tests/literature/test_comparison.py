"""Statistics of two catalogues as the paper has them, slopes with errors on both sides, who agrees with whom."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import REFERENCE_NAMES, published_frame
from scipy.optimize import minimize

from dtl_core.errors import ConfigError, DataError
from dtl_core.literature import catalogues, comparison
from dtl_core.public_data import registry

# Pearson's data (1901) with York's weights, the test of every paper on the subject
X = np.array([0.0, 0.9, 1.8, 2.6, 3.3, 4.4, 5.2, 6.1, 6.5, 7.4])
Y = np.array([5.9, 5.4, 4.4, 4.6, 3.5, 3.7, 2.8, 2.8, 2.4, 1.5])
EX = np.array([1000.0, 1000, 500, 800, 200, 80, 60, 20, 1.8, 1]) ** -0.5
EY = np.array([1, 1.8, 4, 8, 20, 20, 70, 70, 100, 500]) ** -0.5


def drawn(n, slope, ex, ey, rng, spread=250.0):
    """Points whose true values lie on a line."""
    truth = rng.normal(3500, spread, n)
    return truth + rng.normal(0, ex, n), 100 + slope * truth + rng.normal(0, ey, n)


def frame(values, error=None, parameter="teff", **more):
    out = pd.DataFrame({"karmn": [f"S{i:03d}" for i in range(len(values))]})
    for name in ("teff", "logg", "mh", "vsini"):
        out[name] = values if name == parameter else np.nan
    if error is not None:
        out[f"e_{parameter}"] = error
    return out.assign(**more)


# --- two catalogues ---


def test_stars_are_matched_by_name_not_by_row(mirror):
    """Mar21 lists the stars backwards, and one of them under another name."""
    found = comparison.compare(catalogues.read_published(), catalogues.read_literature("Mar21"), "teff")
    assert found["N"] == 6
    assert found["mean_diff"] == -19 and found["std_diff"] == 0 and found["pearson_r"] == pytest.approx(1)


def test_unknown_parameters_and_missing_errors_are_refused(mirror):
    ours = catalogues.read_published()
    with pytest.raises(ConfigError, match="unknown parameter 'Teff'; choose one of teff"):
        comparison.compare(ours, ours, "Teff")
    with pytest.raises(DataError, match="'E_teff': no such column"):
        comparison.coverage(ours.drop(columns="E_teff"), ours, "teff")


def pair(x, y):
    names = [f"S{i:03d}" for i in range(len(x))]
    return pd.DataFrame({"karmn": names, "teff": x}), pd.DataFrame({"karmn": names, "teff": y})


temperatures = st.lists(st.integers(2500, 4500), min_size=4, max_size=30, unique=True)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(temperatures, st.floats(-500, 500), st.integers(0, 2**32 - 1))
def test_a_constant_moves_the_mean_and_nothing_that_is_relative(values, constant, seed):
    rng = np.random.default_rng(seed)
    x, y = np.array(values), np.array(values) + rng.normal(0, 50, len(values))
    before, after = (comparison.compare(*pair(x, y + c), "teff") for c in (0.0, constant))
    for name in ("mean_diff", "median_diff"):
        assert after[name] - before[name] == pytest.approx(constant, abs=1e-8)
    for name in ("N", "std_diff", "mad_sigma", "pearson_r", "ols_slope", "theil_sen_slope"):
        assert after[name] == pytest.approx(before[name], rel=1e-6, abs=1e-6)
    assert after["rmse"] ** 2 == pytest.approx(
        after["mean_diff"] ** 2 + after["std_diff"] ** 2 * (len(x) - 1) / len(x), rel=1e-6
    )


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(temperatures, st.randoms())
def test_row_order_does_not_matter_and_exchange_turns_the_sign(values, random):
    ours, theirs = pair(np.array(values), np.array(values)[::-1] + 10)
    order = list(range(len(values)))
    random.shuffle(order)
    one, two = comparison.compare(ours, theirs, "teff"), comparison.compare(ours, theirs.iloc[order], "teff")
    assert one == pytest.approx(two, rel=1e-9, nan_ok=True)
    swapped = comparison.compare(theirs, ours, "teff")
    assert swapped["mean_diff"] == pytest.approx(-one["mean_diff"]) and swapped["rmse"] == pytest.approx(one["rmse"])


def test_comparison_against_numbers_worked_by_hand():
    found = comparison.compare(*pair([3000.0, 3100, 3200, 3300], [3010.0, 3090, 3230, 3310]), "teff")
    assert found["mean_diff"] == 10 and found["median_diff"] == 10  # differences 10, -10, 30, 10
    assert found["rmse"] == pytest.approx(np.sqrt(300)) and found["std_diff"] == pytest.approx(np.sqrt(800 / 3))
    assert found["mad_sigma"] == pytest.approx(1.4826 * 10)
    assert found["ols_slope"] == pytest.approx(1.04) and found["resid_slope"] == pytest.approx(0.04)
    assert found["spearman"] == 1


def test_few_stars_give_nan_not_errors():
    ours, theirs = pair([3000.0, 3100], [3010.0, np.nan])
    one = comparison.compare(ours, theirs, "teff")
    assert one["N"] == 1 and one["mean_diff"] == 10 and np.isnan(one["std_diff"]) and np.isnan(one["pearson_r"])
    none = comparison.compare(ours, theirs.iloc[1:], "teff")
    assert none["N"] == 0 and np.isnan(none["rmse"])
    flat = comparison.compare(*pair([3000.0, 3100, 3200], [3100.0] * 3), "teff")
    assert flat["ols_slope"] == 0 and np.isnan(flat["pearson_r"])
    twin = pd.concat([ours, ours])
    with pytest.raises(pd.errors.MergeError):
        comparison.compare(twin, theirs, "teff")


@pytest.mark.slow
def test_table_has_the_paper_s_subsets(mirror):
    table = comparison.comparison_table(catalogues.read_published())
    assert set(table.source) == set(catalogues.SOURCES)
    rows = table.set_index(["source", "parameter", "subset"])
    assert rows.loc[("Pass20", "teff", "teff<3750"), "N"] == 4 and rows.loc[("Pass20", "teff", "teff>=3750"), "N"] == 2
    assert rows.loc[("Pass20", "vsini", "vsini>=12"), "N"] == 1
    assert ("Pass20", "logg", "all") in rows.index and ("Pass18", "vsini", "all") not in rows.index
    assert set(comparison.comparison_table(catalogues.read_published(), ["Mar21"]).parameter) == {"teff", "logg", "mh"}


def test_table_takes_frames_of_one_s_own():
    truth = catalogues.tidy(published_frame())
    table = comparison.comparison_table(truth, {"truth": truth})
    assert table.source.unique().tolist() == ["truth"] and (table.mean_diff == 0).all() and len(table) == 8


def test_coverage_uses_the_lower_error_below_and_the_upper_above(mirror):
    ours = catalogues.read_published()  # Teff -30 +50
    for shift, inside in ((-31, 0), (-30, 6), (0, 6), (50, 6), (51, 0)):
        found = comparison.coverage(ours, ours.assign(teff=ours.teff + shift), "teff")
        assert found == {"N": 6, "inside": inside, "fraction": inside / 6}
    assert comparison.coverage(ours, catalogues.read_literature("Interferometric"), "teff")["inside"] == 1
    assert np.isnan(comparison.coverage(ours, ours.iloc[:0], "teff")["fraction"])


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 3), st.integers(0, 2**32 - 1))
def test_coverage_grows_with_the_bars(factor, seed):
    rng = np.random.default_rng(seed)
    ours = catalogues.tidy(published_frame())
    truth = ours.assign(teff=ours.teff + rng.normal(0, 60, 6))
    wider = ours.assign(e_teff=ours.e_teff * (1 + factor), E_teff=ours.E_teff * (1 + factor))
    assert comparison.coverage(wider, truth, "teff")["inside"] >= comparison.coverage(ours, truth, "teff")["inside"]


# --- slopes with errors on both sides ---


def test_pearson_s_data_give_york_s_line():
    line = comparison.orthogonal_slope(X, Y, EX, EY)
    assert line.slope == pytest.approx(-0.480533407, abs=1e-8)
    assert line.intercept == pytest.approx(5.47991022, abs=1e-7)
    assert line.reduced_chi2 == pytest.approx(11.8663531941 / 8, rel=1e-9)
    assert line.slope_error / np.sqrt(line.reduced_chi2) == pytest.approx(0.0579850, abs=1e-7)


def test_no_other_minimiser_finds_a_better_line():
    def chi2(p):  # every point's true abscissa is free: nothing of the closed form is used
        a, b, t = p[0], p[1], p[2:]
        return np.sum(((X - t) / EX) ** 2 + ((Y - a - b * t) / EY) ** 2)

    found = minimize(chi2, [5, -0.5, *X], method="BFGS", options={"gtol": 1e-9, "maxiter": 5000})
    line = comparison.orthogonal_slope(X, Y, EX, EY)
    assert found.fun == pytest.approx(8 * line.reduced_chi2, rel=1e-6)
    assert found.x[:2] == pytest.approx([line.intercept, line.slope], abs=2e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([-3.0, -0.4, 0.2, 1.0, 5.0]))
def test_exchange_of_the_axes_turns_the_slope_over(seed, slope):
    rng = np.random.default_rng(seed)
    ex, ey = rng.uniform(10, 60, (2, 30))
    x, y = drawn(30, slope, ex, ey, rng)
    one, two = comparison.orthogonal_slope(x, y, ex, ey), comparison.orthogonal_slope(y, x, ey, ex)
    assert two.slope == pytest.approx(1 / one.slope, rel=1e-6)
    assert two.slope_error == pytest.approx(one.slope_error / one.slope**2, rel=1e-5)
    assert two.intercept == pytest.approx(-one.intercept / one.slope, rel=1e-5, abs=1e-3)
    assert two.reduced_chi2 == pytest.approx(one.reduced_chi2, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.01, 100), st.floats(0.01, 100), st.floats(-1e3, 1e3))
def test_units_do_not_matter(kx, ky, shift):
    one = comparison.orthogonal_slope(X, Y, EX, EY)
    two = comparison.orthogonal_slope(kx * X + shift, ky * Y, kx * EX, ky * EY)
    assert two.slope == pytest.approx(one.slope * ky / kx, rel=1e-6)
    assert two.slope_error == pytest.approx(one.slope_error * ky / kx, rel=1e-5)


def test_truth_is_recovered_where_least_squares_are_too_flat():
    rng = np.random.default_rng(1)
    lines, flat = [], []
    for _ in range(120):
        x, y = drawn(150, 0.9, 120.0, 60.0, rng)
        lines.append(comparison.orthogonal_slope(x, y, 120.0, 60.0))
        flat.append(np.polyfit(x, y, 1)[0])
    slopes = np.array([line.slope for line in lines])
    assert np.mean(slopes) == pytest.approx(0.9, abs=0.015)
    assert np.mean(flat) == pytest.approx(0.9 * 250**2 / (250**2 + 120**2), abs=0.015)  # regression dilution
    assert np.mean(flat) < 0.75
    pulls = (slopes - 0.9) / np.array([line.slope_error for line in lines])
    assert 0.85 < np.std(pulls) < 1.25  # the error is of first order: a little short where errors are half the range
    assert np.mean([line.reduced_chi2 for line in lines]) == pytest.approx(1, abs=0.03)


def test_errors_that_are_too_small_enlarge_the_error_of_the_slope():
    rng = np.random.default_rng(2)
    x, y = drawn(200, 1.0, 40.0, 40.0, rng)
    right, small = (comparison.orthogonal_slope(x, y, e, e) for e in (40.0, 10.0))
    assert small.reduced_chi2 == pytest.approx(16 * right.reduced_chi2) and small.slope == pytest.approx(right.slope)
    assert small.slope_error == pytest.approx(
        right.slope_error / max(right.reduced_chi2, 1) ** 0.5 * right.reduced_chi2**0.5, rel=1e-4
    )


def test_without_errors_in_x_it_is_weighted_least_squares():
    line = comparison.orthogonal_slope(X, Y, 0, EY)
    slope, intercept = np.polyfit(X, Y, 1, w=1 / EY)
    assert (line.slope, line.intercept) == (pytest.approx(slope), pytest.approx(intercept))
    inverse = comparison.orthogonal_slope(X, Y, EX, 0)
    assert inverse.slope == pytest.approx(1 / np.polyfit(Y, X, 1, w=1 / EX)[0])


def test_lines_that_cannot_be_are_nan_and_errors_that_cannot_be_refused():
    assert np.isnan(comparison.orthogonal_slope([1, 2], [1, 2], 1, 1)).all()
    assert np.isnan(comparison.orthogonal_slope([1, 1, 1], [1, 2, 3], 1, 1)).all()
    for ex, ey, field in ((-1, 1, "x_error"), (1, np.nan, "y_error"), (np.inf, 1, "x_error"), (0, 0, "x_error")):
        with pytest.raises(DataError, match=field):
            comparison.orthogonal_slope(X, Y, ex, ey)


def test_statistics_extend_the_table_and_use_both_sides_of_the_bar():
    rng = np.random.default_rng(3)
    x, y = drawn(60, 0.8, 50.0, 30.0, rng)
    ours = frame(x, 20.0, E_teff=80.0)  # 50 K on the average
    table = comparison.comparison_statistics(ours, {"L": frame(y, 30.0), "no errors": frame(y)})
    plain = comparison.comparison_table(ours, {"L": frame(y, 30.0), "no errors": frame(y)})
    pd.testing.assert_frame_equal(table[plain.columns], plain)
    row = table.iloc[0]
    line = comparison.orthogonal_slope(x, y, 50.0, 30.0)
    assert (row.odr_slope, row.odr_slope_err, row.odr_chi2) == line[:2] + line[3:]
    cool = table[table.subset == "teff<3750"].iloc[0]
    assert cool.odr_N == cool.N == (x < 3750).sum() and cool.odr_slope != row.odr_slope
    assert table.groupby("source")["odr_errors"].unique().map(list).to_dict() == {
        "L": ["quoted"],
        "no errors": ["scatter"],
    }


def test_a_source_without_errors_takes_the_scatter_that_is_left():
    rng = np.random.default_rng(4)
    x, y = drawn(400, 1.0, 30.0, 70.0, rng)
    row = comparison.comparison_statistics(frame(x, 30.0), {"L": frame(y)}).iloc[0]
    both = comparison.orthogonal_slope(x, y, 30.0, 70.0)  # what the source would have quoted
    assert row.odr_slope == pytest.approx(both.slope, abs=0.005) and row.odr_chi2 == pytest.approx(1, abs=0.1)
    exact = comparison.comparison_statistics(frame(x), {"L": frame(x)}).iloc[0]
    assert exact.odr_slope == pytest.approx(1)


def test_upper_limits_take_no_part_in_slopes_and_differences():
    speeds = np.linspace(1, 40, 40)
    ours = frame(speeds, 1.0, "vsini")
    limits = frame(np.maximum(speeds, 10), 1.0, "vsini", vsini_limit=speeds < 10)
    row = comparison.comparison_statistics(ours, {"L": limits}).iloc[0]
    assert row.N == 40 and row.odr_N == (speeds >= 10).sum()
    assert row.odr_slope == pytest.approx(1) and row.ols_slope < 0.95
    table = comparison.difference_table(ours, {"L": limits}, "vsini")
    assert len(table) == row.odr_N and np.allclose(table.difference, 0)
    assert np.allclose(table.sigma, np.sqrt(2))


def test_few_stars_give_no_slope():
    row = comparison.comparison_statistics(frame([3000.0, 3100], 10.0), {"L": frame([3000.0, 3110], 10.0)}).iloc[0]
    assert row.odr_N == 2 and np.isnan(row.odr_slope)


def test_differences_are_matched_by_name():
    ours = frame(np.array([3000.0, 3100, 3200]), 30.0, E_teff=50.0)
    theirs = frame(np.array([2990.0, 3150, np.nan]), 30.0).iloc[::-1]
    table = comparison.difference_table(ours, {"L": theirs, "none": theirs.iloc[:0]}, "teff").set_index("karmn")
    assert table.difference.to_dict() == {"S000": -10, "S001": 50} and set(table.source) == {"L"}
    assert table.sigma["S000"] == 50 and table.value["S001"] == 3100
    assert comparison.difference_table(ours, {"none": theirs.iloc[:0]}, "teff").empty
    with pytest.raises(ConfigError, match="unknown parameter"):
        comparison.difference_table(ours, {"L": theirs}, "mass")


@pytest.fixture
def two_families():
    """Catalogues a, b, c rank the stars one way and x, y another; no two share a scale; 'far' shares no star."""
    rng = np.random.default_rng(5)
    one, two = rng.normal(3500, 200, (2, 60))
    noise = rng.normal(0, 20, (5, 60))
    frames = {
        "a": frame(one + noise[0]),
        "x": frame(two + noise[3]),
        "b": frame(0.5 * one + 1900 + noise[1]),
        "y": frame(2 * two - 3000 + noise[4]),
        "c": frame(one + 300 + noise[2]),
    }
    far = frame(one[:20]).assign(karmn=[f"T{i}" for i in range(20)])
    return {"far": far} | frames | {"nothing": frame(np.full(60, np.nan))}


def test_agreement_sees_order_and_not_scale(two_families):
    found = comparison.agreement_matrix(two_families, "teff")
    names = list(found.spearman.index)
    assert names == list(found.spearman.columns) == list(found.number.index) == list(found.scatter.columns)
    assert set(names) == {"a", "b", "c", "x", "y", "far"} and names[-1] == "far"
    assert {*names[:3]} in ({"a", "b", "c"}, {"x", "y", names[2]}) and abs(names.index("x") - names.index("y")) == 1
    assert found.spearman.loc["a", "c"] > 0.97 and abs(found.spearman.loc["a", "x"]) < 0.4
    assert np.allclose(found.spearman, found.spearman.T, equal_nan=True)
    assert np.allclose(found.scatter, found.scatter.T, equal_nan=True)
    assert found.scatter.loc["a", "c"] == pytest.approx(20, rel=0.4)  # both scatter by 20; the shift does not count
    assert found.scatter.loc["a", "x"] > 100
    assert np.diag(found.spearman).tolist() == [1] * 6 and np.diag(found.number).tolist() == [60] * 5 + [20]
    assert found.spearman.loc["far"].drop("far").isna().all() and (found.number.loc["far"].drop("far") == 0).all()


def test_nine_common_stars_are_too_few_and_ten_are_not():
    values = np.linspace(3000, 4000, 30)
    for n, enough in ((9, False), (10, True)):
        found = comparison.agreement_matrix({"a": frame(values), "b": frame(values[::-1][:n])}, "teff")
        assert found.number.loc["a", "b"] == n and np.isfinite(found.spearman.loc["a", "b"]) == enough
        assert np.isfinite(found.scatter.loc["a", "b"]) == enough
    assert found.spearman.loc["a", "b"] == -1 and found.scatter.loc["a", "b"] == pytest.approx(0, abs=1e-9)


def test_standing_names_the_closest(two_families):
    rows = comparison.standing(comparison.agreement_matrix(two_families, "teff"))
    assert rows.index[-1] == "far" and rows.loc["far", "partners"] == 0 and np.isnan(rows.loc["far", "median_r"])
    assert rows.loc["x", "closest"] == "y" and rows.loc["c", "closest"] in "ab" and rows.loc["a", "partners"] == 4
    assert rows["median_r"].dropna().is_monotonic_decreasing


def test_no_values_give_an_empty_matrix():
    found = comparison.agreement_matrix({"a": frame([np.nan, np.nan])}, "teff")
    assert found.spearman.empty and comparison.standing(found).empty


def test_one_star_in_every_catalogue():
    ours = frame([3000.0, 3100], 20.0, E_teff=40.0)
    table = comparison.star_values({"ours": ours, "L": frame([2950.0]), "none": frame([np.nan, np.nan])}, "S000")
    assert list(table.index) == ["ours", "L"] and table.loc["ours", "e_teff"] == 30
    assert table.loc["L", "teff"] == 2950 and np.isnan(table.loc["L", "e_teff"])
    assert comparison.star_values({"ours": ours}, "S999").empty


# --- the published tables ---


@pytest.mark.data
def test_every_reference_statistic_is_reproduced_to_its_last_digits():
    reference = pd.read_csv(registry.data_mirror() / "reference" / "reference_stats.csv")
    reference["source"] = reference.source.replace(REFERENCE_NAMES)
    reference["parameter"] = reference.parameter.replace({"Teff": "teff", "[M/H]": "mh"})
    reference["subset"] = reference.subset.str.replace("Teff", "teff")
    key = ["source", "parameter", "subset"]
    expected = reference.set_index(key)
    found = comparison.comparison_table(catalogues.read_published()).set_index(key)
    assert set(found.index) == set(expected.index) and len(found) == len(expected) == 67
    np.testing.assert_allclose(
        found.loc[expected.index, expected.columns].to_numpy(float), expected.to_numpy(float), rtol=1e-13, atol=1e-13
    )


@pytest.mark.data
def test_published_bars_cover_too_few_benchmarks():
    ours = catalogues.read_published()
    teff = comparison.coverage(ours, catalogues.read_literature("Interferometric"), "teff")
    mh = comparison.coverage(ours, catalogues.read_literature("FGK+M"), "mh")
    assert (teff["N"], teff["inside"]) == (14, 0) and (mh["N"], mh["inside"]) == (6, 2)


@pytest.mark.data
def test_published_slopes_and_ranks():
    ours = catalogues.read_published()
    table = comparison.comparison_statistics(ours)
    whole = table[table.subset == "all"].set_index(["source", "parameter"])
    assert len(table) == 67 and (table.odr_slope.notna() == (table.odr_N > 2)).all()
    # errors in x flatten what least squares find; temperatures of Mar21 stay flatter than the paper's all the same
    assert whole.loc[("Mar21", "teff"), "odr_slope"] == pytest.approx(0.794, abs=0.001)
    assert whole.loc[("Mar21", "teff"), "ols_slope"] == pytest.approx(0.744, abs=0.001)
    assert whole.loc[("Pass20", "teff"), "odr_slope"] == pytest.approx(0.941, abs=0.001)
    assert whole.loc[("Rein18", "vsini"), "odr_N"] == 41 < whole.loc[("Rein18", "vsini"), "N"]
    assert set(table.source[table.odr_errors == "scatter"]) == {"Interferometric", "FGK+M"}
    frames = {"Published": ours} | {name: catalogues.read_literature(name) for name in catalogues.SOURCES}
    teff, mh = (comparison.standing(comparison.agreement_matrix(frames, p)) for p in ("teff", "mh"))
    assert teff.loc["Published", "closest"] == "Pass20" and teff.loc["Published", "closest_r"] > 0.98
    assert mh.loc["Published", "closest"] in ("Mann15", "GM14")
    assert mh.loc["Published", "closest_r"] == pytest.approx(0.89, abs=0.01)
    assert mh.loc["FGK+M", "partners"] == 0  # six stars
    spearman = comparison.agreement_matrix(frames, "mh").spearman
    assert spearman.loc["Published", "Pass20"] == pytest.approx(whole.loc[("Pass20", "mh"), "spearman"])
