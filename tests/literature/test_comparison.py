"""Statistics of two catalogues as the paper has them, slopes, coverage of error bars, who agrees with whom."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import REFERENCE_NAMES, published_frame

from dtl_core.errors import ConfigError, DataError
from dtl_core.literature import catalogues, comparison
from dtl_core.literature.regression import fit_line
from dtl_core.parameters import ANCHOR_ERRORS
from dtl_core.public_data import registry


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
    exact = ours.drop(columns=["e_teff", "E_teff"])
    for shift, inside in ((-31, 0), (-30, 6), (0, 6), (50, 6), (51, 0)):
        found = comparison.coverage(ours, exact.assign(teff=ours.teff + shift), "teff")
        assert (found["N"], found["inside"], found["inside_both"], found["fraction"]) == (6, inside, inside, inside / 6)
        assert found["expected"] == pytest.approx(0.6827, abs=1e-4)  # the benchmark has no errors
    assert comparison.coverage(ours, catalogues.read_literature("Interferometric"), "teff")["inside"] == 1
    none = comparison.coverage(ours, ours.iloc[:0], "teff")
    assert none["N"] == 0 and np.isnan([none["fraction"], none["expected"], none["needed"]]).all()


def test_the_benchmark_s_own_error_enters():
    ours = frame(np.full(4, 3500.0), 30.0, E_teff=50.0)
    benchmark = frame(np.array([3440.0, 3455.0, 3540.0, 3560.0]), 40.0)
    found = comparison.coverage(ours, benchmark, "teff")
    assert found["inside"] == 1  # 3540 is 40 above, within 50
    assert found["inside_both"] == 3  # within (30^2 + 40^2)^0.5 = 50 below and 64 above: all but 3440
    assert comparison.coverage(ours, benchmark.drop(columns="e_teff"), "teff", assumed=40.0) == found
    assert comparison.coverage(ours, benchmark.drop(columns="e_teff"), "teff")["inside_both"] == 1
    assert found["needed"] == pytest.approx(np.sqrt(45**2 - 30**2))  # 3455 is the third of four to come in
    assert found["p_few"] == pytest.approx(1 - 0.6827**4, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("own", [0.0, 30.0, 90.0])
def test_expected_coverage_is_that_of_right_errors(own):
    """True values known: the shares inside are those that are said to be expected."""
    rng = np.random.default_rng(7)
    true = rng.normal(3500, 200, 4000)
    bars = rng.uniform(20, 80, 4000)
    ours = frame(true + rng.normal(0, bars), bars, E_teff=bars)
    found = comparison.coverage(ours, frame(true + rng.normal(0, own, 4000), own), "teff")
    assert found["fraction"] == pytest.approx(found["expected"], abs=0.025)
    assert found["fraction_both"] == pytest.approx(0.683, abs=0.025)
    assert (found["expected"] < 0.6) == (own > 0)
    assert found["needed"] == pytest.approx(own, abs=12)
    assert found["p_few"] > 0.001


def test_upper_limits_are_inside_no_bar():
    ours = frame(np.array([2.0, 10.0]), 1.0, "vsini", E_vsini=1.0)
    limits = frame(np.array([2.0, 10.5]), 1.0, "vsini", vsini_limit=[True, False])
    assert comparison.coverage(ours, limits, "vsini")["N"] == 1


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 3), st.integers(0, 2**32 - 1))
def test_coverage_grows_with_the_bars(factor, seed):
    rng = np.random.default_rng(seed)
    ours = catalogues.tidy(published_frame())
    truth = ours.assign(teff=ours.teff + rng.normal(0, 60, 6))
    wider = ours.assign(e_teff=ours.e_teff * (1 + factor), E_teff=ours.E_teff * (1 + factor))
    for name in ("inside", "inside_both"):
        assert comparison.coverage(wider, truth, "teff")[name] >= comparison.coverage(ours, truth, "teff")[name]


# --- slopes with errors on both sides ---


def test_statistics_extend_the_table_and_use_both_sides_of_the_bar():
    rng = np.random.default_rng(3)
    x, y = drawn(60, 0.8, 50.0, 30.0, rng)
    ours = frame(x, 20.0, E_teff=80.0)  # 50 K on the average
    sources = {"L": frame(y, 30.0), "no errors": frame(y)}
    table, plain = comparison.comparison_statistics(ours, sources), comparison.comparison_table(ours, sources)
    pd.testing.assert_frame_equal(table[plain.columns], plain)
    row, line, other = table.iloc[0], fit_line(x, y, 50.0, 30.0), fit_line(y, x, 30.0, 50.0)
    found = (row.slope, row.slope_err, row.scatter, row.scatter_err, row.chi2)
    assert found == (line.slope, line.slope_error, line.scatter, line.scatter_error, line.reduced_chi2)
    assert row.steep == 1 / other.slope and row.steep_err == other.slope_error / other.slope**2
    cool = table[table.subset == "teff<3750"].iloc[0]
    assert cool.line_N == cool.N == (x < 3750).sum() and cool.slope != row.slope
    kinds = table.groupby("source")["line_errors"].unique().map(list).to_dict()
    assert kinds == {"L": ["quoted"], "no errors": ["assumed"]}
    assumed = table[(table.source == "no errors") & (table.subset == "all")].iloc[0]
    assert assumed.slope == fit_line(x, y, 50.0, ANCHOR_ERRORS["teff"]).slope


def test_upper_limits_take_no_part_in_slopes_and_differences():
    speeds = np.linspace(1, 40, 40)
    ours = frame(speeds, 1.0, "vsini")
    limits = frame(np.maximum(speeds, 10), 1.0, "vsini", vsini_limit=speeds < 10)
    row = comparison.comparison_statistics(ours, {"L": limits}).iloc[0]
    assert row.N == 40 and row.line_N == (speeds >= 10).sum()
    assert row.slope == pytest.approx(1, abs=0.03) and row.ols_slope < 0.95
    table = comparison.difference_table(ours, {"L": limits}, "vsini")
    assert len(table) == row.line_N and np.allclose(table.difference, 0)
    assert np.allclose(table.sigma, np.sqrt(2))


def test_few_stars_give_no_slope():
    row = comparison.comparison_statistics(frame([3000.0, 3100], 10.0), {"L": frame([3000.0, 3110], 10.0)}).iloc[0]
    assert row.line_N == 2 and np.isnan(row.slope) and np.isnan(row.steep)


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
    teff = comparison.coverage(ours, catalogues.read_literature("Interferometric"), "teff", assumed=30.0)
    assert teff["inside_both"] == 2 and teff["expected"] == pytest.approx(0.525, abs=0.001)
    assert teff["needed"] > 150 and teff["p_few"] < 1e-4


@pytest.mark.slow
@pytest.mark.data
def test_published_slopes_and_ranks():
    ours = catalogues.read_published()
    table = comparison.comparison_statistics(ours)
    whole = table[table.subset == "all"].set_index(["source", "parameter"])
    assert len(table) == 67 and (table.slope.notna() == (table.line_N > 3)).all()
    # errors in x flatten what least squares find; temperatures of Mar21 stay flatter than the paper's all the same
    row = whole.loc[("Mar21", "teff")]
    assert (row.slope, row.slope_err) == pytest.approx((0.760, 0.016), abs=0.002)
    assert row.chi2 == pytest.approx(3.6, abs=0.1)
    assert row.scatter == pytest.approx(59, abs=1) and row.steep == pytest.approx(0.822, abs=0.002)
    assert row.ols_slope == pytest.approx(0.744, abs=0.001)
    assert whole.loc[("Pass20", "teff"), "slope"] == pytest.approx(0.942, abs=0.001)
    assert whole.loc[("Pass20", "teff"), "chi2"] < 0.5 and whole.loc[("Pass20", "teff"), "scatter"] == 0
    assert whole.loc[("Rein18", "vsini"), "line_N"] == 41 < whole.loc[("Rein18", "vsini"), "N"]
    assert set(table.source[table.line_errors == "assumed"]) == {"Interferometric", "FGK+M"}
    frames = {"Published": ours} | {name: catalogues.read_literature(name) for name in catalogues.SOURCES}
    teff, mh = (comparison.standing(comparison.agreement_matrix(frames, p)) for p in ("teff", "mh"))
    assert teff.loc["Published", "closest"] == "Pass20" and teff.loc["Published", "closest_r"] > 0.98
    assert mh.loc["Published", "closest"] in ("Mann15", "GM14")
    assert mh.loc["Published", "closest_r"] == pytest.approx(0.89, abs=0.01)
    assert mh.loc["FGK+M", "partners"] == 0  # six stars
    spearman = comparison.agreement_matrix(frames, "mh").spearman
    assert spearman.loc["Published", "Pass20"] == pytest.approx(whole.loc[("Pass20", "mh"), "spearman"])
