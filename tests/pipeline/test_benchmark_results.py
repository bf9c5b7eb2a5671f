"""The benchmark: its pixels and surveys, and what is made of its record."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from dtl_core.bridging import benchmark
from dtl_core.bridging.methods import METHODS
from dtl_core.config import load_profile
from dtl_core.errors import DataError
from dtl_core.estimates import gravity
from dtl_core.estimates.calibration import LEVELS
from dtl_core.parameters import PARAMETER_COLUMNS, PARAMETERS
from dtl_core.pipeline import benchmark_results, headline
from dtl_core.spectra import operators
from dtl_core.synthetic import simulated_survey

ROOT = Path(__file__).resolve().parents[2]
PROPERTY = settings(derandomize=True, deadline=None, max_examples=30)


def truth(n=286, seed=0):
    rng = np.random.default_rng(seed)
    values = {"teff": rng.uniform(2900, 4300, n), "logg": rng.uniform(4.6, 5.1, n), "mh": rng.normal(0, 0.2, n)}
    return pd.DataFrame(values | {"vsini": rng.uniform(1.5, 20, n)})


@PROPERTY
@given(st.sampled_from([0.005, 0.01, 0.015, 0.03, 0.05]), st.integers(30, 200))
def test_bins_are_means_of_neighbours_and_as_wide_as_wanted(step, pixels):
    flux = np.random.default_rng(0).normal(size=(2, pixels))
    found = operators.binned(flux, step)
    factor = max(1, round(operators.STEP / step))
    assert found.shape == (2, pixels // factor)
    np.testing.assert_allclose(found[:, -1], flux[:, (found.shape[1] - 1) * factor : found.shape[1] * factor].mean(1))
    np.testing.assert_allclose(operators.binned(np.arange(float(pixels)), step)[0], (factor - 1) / 2)


def test_another_survey_has_other_errors_and_factors_are_of_the_configured_strength():
    config = load_profile("smoke", {"survey.n_stars": 12, "window.step": 0.05, "survey.noise": 0.5})
    flux, known = benchmark.other_survey(config)
    same, _ = simulated_survey.survey_set(config)
    np.testing.assert_array_equal(flux, same)
    other, others = benchmark.other_survey(config, seed=3)
    assert np.abs(other - flux).max() > 0.01 and not others["vsini"].equals(known["vsini"])
    quiet, _ = benchmark.other_survey(config, noise=0.0)
    settings_of = dataclasses.replace(config.survey, noise=0.0)
    silent, _ = simulated_survey.survey_set(dataclasses.replace(config, survey=settings_of))
    np.testing.assert_array_equal(quiet, silent)
    louder, _ = benchmark.other_survey(config, noise=2.0)
    assert np.std(louder - quiet) == pytest.approx(2 * np.std(flux - quiet), rel=0.05)


# ---------------------------------------------------------------- what is made of the record


def errors():
    """Two methods and a classical one on three surveys: the winner has a tenth of the others' errors."""
    rows = []
    for seed in range(3):
        for method, factor in (("no transfer", 1.0), ("combined", 0.1), ("chi-square", 0.5)):
            for name, unit in zip(PARAMETERS, (100, 0.1, 0.2, 2), strict=True):
                for region in ("all", "0", "1", "2"):
                    value = factor * unit * (1 + 0.1 * (seed - 1))
                    truths = 20 if method == "combined" else 0
                    rows.append((name, region, 143, value, value / 2, value, truths, method, seed))
    return pd.DataFrame(rows, columns=["parameter", "region", "n", "rmse", "bias", "scatter", "truths", "arm", "seed"])


def test_the_table_of_errors_is_mean_and_spread_over_surveys_in_the_order_of_the_arms():
    mean, spread = benchmark_results.error_table(errors())
    assert list(mean.index) == ["no transfer", "combined", "chi-square"] and list(mean.columns) == list(PARAMETERS)
    assert mean.loc["combined", "teff"] == pytest.approx(10) and spread.loc["combined", "teff"] == pytest.approx(1)
    assert benchmark_results.error_table(errors(), region=1, column="bias")[0].loc[
        "no transfer", "mh"
    ] == pytest.approx(0.1)
    table = benchmark_results.with_spread(mean, spread, benchmark_results.known_truths(errors()))
    assert table.loc["no transfer", "teff"] == "100 ± 10" and table["known truths"].tolist() == [0, 20, 0]


def test_relations_are_columns_of_log_g_where_the_record_has_them_and_no_parameters():
    own = errors()
    more = [own[own["parameter"] == "logg"].assign(parameter=f"logg_{name}", rmse=0.07) for name in gravity.RELATIONS]
    extended = pd.concat([own, *more])
    mean, spread = benchmark_results.error_table(extended)
    assert list(mean.columns) == [*PARAMETERS, "logg_relation", "logg_survey_relation"]
    table = benchmark_results.with_spread(mean, spread, benchmark_results.known_truths(extended))
    assert table.loc["combined", "logg_relation"] == "0.070 ± 0.000"
    scale = dict.fromkeys(PARAMETERS, 1.0)
    first, second = (benchmark_results.relative_errors(e[e["region"] == "all"], scale) for e in (own, extended))
    pd.testing.assert_series_equal(first, second)


def test_log_g_of_the_winner_is_hardly_better_than_what_its_teff_and_mh_imply():
    table = benchmark_results.relation_table(benchmark_results.read("recommended", "stars"))
    own, real, simulated = table.to_numpy()
    assert own[0] == pytest.approx(0.0497, abs=1e-4) and simulated[0] == pytest.approx(0.0519, abs=1e-4)
    assert own[1] > simulated[1] and own[3] < simulated[3] and real.min() > 0.06
    assert list(table.columns) == ["all", "cool", "middle", "hot"]


def test_goals_compare_with_no_transfer_and_with_chi_square():
    found = benchmark_results.goals(errors()).set_index(["goal", "parameter"])
    assert found["met"].all() and len(found) == 8 and (found["known truths"] == 20).all()
    assert found.loc[("0.6 of no transfer", "teff"), "wanted"] == pytest.approx(60)
    worse = errors()
    worse.loc[(worse["arm"] == "combined") & (worse["parameter"] == "mh"), "rmse"] = 0.11
    lost = benchmark_results.goals(worse).set_index(["goal", "parameter"])["met"]
    assert not lost["0.5 of no transfer", "mh"] and not lost["chi-square", "mh"] and lost.sum() == 6


def test_relative_errors_are_geometric_means_over_parameters():
    own = errors().query("region == 'all'")
    found = benchmark_results.relative_errors(own, {"teff": 100, "logg": 0.1, "mh": 0.2, "vsini": 2})
    assert found["no transfer", 1] == pytest.approx(1) and found["combined", 1] == pytest.approx(0.1)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_metric_that_follows_the_errors_is_found_to(sign):
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([[f"method {k}" for k in range(8)], range(3)], names=["arm", "seed"])
    relative = pd.Series(np.repeat(np.arange(8.0), 3) + rng.normal(0, 0.1, 24), index, name="relative")
    telling = (sign * relative).rename("value").reset_index().assign(metric="telling")
    silent = telling.assign(metric="silent", value=rng.normal(size=24))
    found = benchmark_results.metric_verdicts(pd.concat([telling, silent]), relative, n_resamples=100).set_index(
        "metric"
    )
    assert found.loc["telling", "correlation"] == pytest.approx(sign) and found.loc["telling", "n"] == 24
    assert found.loc["silent", "low"] < found.loc["silent", "high"] and abs(found.loc["silent", "correlation"]) < 0.6


def survey_stars(n_surveys=8, factor=3.0):
    """Stars of several surveys whose errors are skewed and ``factor`` times what their network expects."""
    rng, parts = np.random.default_rng(1), []
    for survey in range(n_surveys):
        table = truth(286, 0)
        columns = {"survey": survey, "star": [f"S{k}" for k in range(286)]}
        for name, unit in zip(PARAMETERS, (30, 0.03, 0.05, 1), strict=True):
            spread = unit * np.exp(rng.normal(0, 0.3, 286))
            error = factor * spread * (rng.exponential(1, 286) - 1)
            columns |= {name: table[name], f"found_{name}": table[name] - error, f"spread_{name}": spread}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("own", [True, False])
def test_calibrated_intervals_cover(own):
    intervals = benchmark_results.calibrate(survey_stars(), own=own)
    covered = benchmark_results.coverage(intervals)
    assert len(covered) == 4 * 4 * 4
    excess = (covered["share"] - covered["level"])[covered["third"] == "all"]
    # quantiles of some fifty stars are order statistics that cover at their level or up to 2 / 49 more
    assert excess.min() > -0.04 and excess.max() < (0.07 if own else 0.04) and (covered["error"] > 0).all()
    for table in intervals.values():
        assert table["survey"].nunique() == 8 and 8 * 123 <= len(table) <= 8 * 143  # without the anchors


@pytest.mark.parametrize("own", [True, False])
def test_joint_posteriors_from_calibration_have_uniform_ranks_and_the_expected_coverage(own):
    stars = survey_stars()
    ranks, curves = benchmark_results.joint_diagnostics(stars, own=own, n=200, n_references=5)
    assert len(ranks) == len(benchmark_results.calibrate(stars, own=own)["teff"]) and list(curves) == list(range(8))
    for name in PARAMETERS:
        counts, _ = np.histogram(ranks[name], np.linspace(0, 1, 6))
        assert np.abs(counts / len(ranks) - 0.2).max() < 0.06
    np.testing.assert_allclose(curves.mean(axis=1), curves.index, atol=0.05)
    again, _ = benchmark_results.joint_diagnostics(stars, own=own, n=200, n_references=5)
    pd.testing.assert_frame_equal(again, ranks)


def test_what_a_survey_has_in_common_is_known_to_its_own_half_alone():
    stars = survey_stars()
    stars.loc[stars["survey"] == 3, "found_teff"] -= 300
    for own, low, high in ((True, 0.4, 0.6), (False, 0.9, 1.0)):
        ranks, curves = benchmark_results.joint_diagnostics(stars, own=own, n=200, n_references=5)
        assert low < ranks.loc[ranks["survey"] == 3, "teff"].mean() < high
        assert (np.abs(curves[3] - curves.index).max() < 0.12) == own  # the others do not have its error
        assert np.abs(curves[5] - curves.index).max() < 0.15


def test_coverage_in_words_has_a_row_a_parameter_and_third():
    rows = [("teff", third, 0.68, 0.7, 0.01, 0.166, 0.88, 9) for third in ("all", "0", "1", "2")]
    covered = pd.DataFrame(rows, columns=["parameter", "third", "level", "share", "error", "least", "most", "n"])
    found = benchmark_results.coverage_table({"here": covered}, (0.68,))
    assert found.loc[("teff", "cool"), "68%, here"] == "0.700 ± 0.010 (0.17–0.88)" and len(found) == 4
    assert benchmark_results.coverage_range(covered) == "17 to 88 % in Teff"
    both = pd.concat([covered, covered.assign(parameter="mh", least=0.0, most=1.0)])
    assert benchmark_results.coverage_range(both) == "17 to 88 % in Teff and 0 to 100 % in [M/H]"


def test_the_range_of_coverage_is_that_of_single_surveys():
    surveys = pd.DataFrame(
        {"survey": np.repeat([1, 2], 10), "third": 1, "truth": 0.5, "low_0.68": 0.0, "high_0.68": 1.0}
    )
    surveys.loc[[10, 11, 12], "truth"] = 2.0
    table = surveys.assign(
        **{f"{side}_{level:.2f}": surveys[f"{side}_0.68"] for side in ("low", "high") for level in LEVELS}
    )
    found = benchmark_results.coverage({"teff": table}).set_index(["third", "level"]).loc["all", 0.68]
    assert found["share"] == 0.85 and found["least"] == 0.7 and found["most"] == 1


# ---------------------------------------------------------------- survey by survey


def rmse_of(**values):
    """Errors in Teff of methods, one value for each survey."""
    rows = [("teff", "all", name, seed, rmse) for name, own in values.items() for seed, rmse in enumerate(own)]
    return pd.DataFrame(rows, columns=["parameter", "region", "arm", "seed", "rmse"])


def test_differences_are_those_of_the_same_survey():
    # surveys differ by far more than the methods: unpaired, the two would be equal
    found = benchmark_results.paired(rmse_of(a=[10, 100, 1000], b=[12, 103, 1001]), "a", "b", "teff")
    assert found["difference"] == -2 and found["n"] == found["smaller"] == 3 and not found["equal"]
    assert found["low"] == pytest.approx(-2.68) and found["high"] == pytest.approx(-1.32)
    assert (found["method"], found["reference"]) == (100, 103)
    turned = benchmark_results.paired(rmse_of(a=[10, 100, 1000], b=[12, 103, 1001]), "b", "a", "teff")
    assert turned["difference"] == 2 and turned["smaller"] == 0 and turned["low"] == -found["high"]
    equal = benchmark_results.paired(rmse_of(a=[1, 5, 3], b=[2, 4, 3]), "a", "b", "teff")
    assert equal["equal"] and equal["difference"] == 0 and equal["smaller"] == 1
    partly = benchmark_results.paired(rmse_of(a=[1, 5, 3, 9], b=[2, 6, 4]), "a", "b", "teff")
    assert partly["n"] == 3 and not partly["equal"]  # only the surveys of both
    with pytest.raises(DataError, match=r"no survey has errors in teff of 'a' and 'c'; known: a, b|known: a, b"):
        benchmark_results.paired(rmse_of(a=[1], b=[2]), "a", "c", "teff")


def test_sentences_say_who_is_better_worse_or_equal():
    table = rmse_of(A=[40, 41, 39, 40, 42], B=[97, 99, 95, 97, 30])
    assert benchmark_results.sentence(table, "A", "B", ["teff"]) == (
        "A is better than B in Teff: 40 against 97 K, in 4 of 5 surveys."
    )
    assert benchmark_results.sentence(table, "B", "A", ["teff"]) == (
        "B is worse than A in Teff: 97 against 40 K, in 4 of 5 surveys."
    )
    again = rmse_of(A=[1, 5, 3, 4], B=[2, 4, 3, 4])
    assert benchmark_results.sentence(again, "A", "B", ["teff"]) == (
        "A and B do not differ within the scatter of the surveys in Teff."
    )
    mixed = pd.concat(
        [
            table,
            again.assign(parameter="mh"),
            table.assign(parameter="logg", arm=table["arm"].map({"A": "B", "B": "A"}), rmse=table["rmse"] / 1000),
        ]
    )
    assert benchmark_results.sentence(mixed, "A", "B", ["teff", "logg", "mh"]) == (
        "A is better than B in Teff: 40 against 97 K, in 4 of 5 surveys; it is worse than B in log g: 0.097 against "
        "0.040 dex, in 4 of 5 surveys; they do not differ within the scatter of the surveys in [M/H]."
    )


def test_rivals_are_the_methods_that_are_better_or_not_different():
    found = benchmark_results.rivals(errors())
    assert found == "No method is better than combined."
    assert benchmark_results.rivals(errors(), "chi-square") == (
        "Better than chi-square: combined in Teff, log g, [M/H] and v sin i."
    )
    even = errors()
    rows = (even["arm"] == "chi-square") & even["parameter"].isin(["teff", "mh"])
    even.loc[rows, "rmse"] = even.loc[
        (even["arm"] == "combined") & even["parameter"].isin(["teff", "mh"]), "rmse"
    ].to_numpy()
    assert benchmark_results.rivals(even) == (
        "No method is better than combined. Not different from it within the scatter of the surveys: chi-square in "
        "Teff and [M/H]."
    )


def test_what_became_of_latent_units():
    rows = [("autoencoder", s, u, u < 3, 1.0, 0.0) for s in (1, 2) for u in range(4)]
    rows += [
        ("fine-tuned", s, u, u < 3, 0.2 if u else 0.9, np.inf if u == 3 else 2.0) for s in (1, 2) for u in range(4)
    ]
    rows += [("frozen decoder", s, u, u < 3, 0.8, 0.5) for s in (1, 2) for u in range(4)]
    found = benchmark_results.meaning(
        pd.DataFrame(rows, columns=["arm", "seed", "unit", "live", "correlation", "moved"])
    )
    assert found["units_total"] == 4 and found["units_live"] == 3
    assert found["kept_fine_tuned"] == 0.2 and found["turned_fine_tuned"] == pytest.approx(2 / 3)
    assert found["woken_fine_tuned"] == 1 and found["moved_frozen_decoder"] == 0.5


def test_of_fourteen_stars_a_right_interval_holds_six_to_thirteen():
    assert benchmark_results.expected_inside(14, 0.68) == (6, 13)


def test_real_stars_stand_beside_what_is_published():
    rows = [("GJ 699", "combined", seed, 3300 + seed, 5.0, -0.3, 2.0) for seed in range(3)]
    stars = pd.DataFrame(rows, columns=["star", "arm", "seed", *PARAMETERS])
    found = benchmark_results.real_table(stars, {"GJ 699": [(3254, 5.13, None, 2.0, "somebody")]})
    assert found.loc[0, "teff"] == "3301 ± 1" and found.loc[1, "by"] == "somebody"
    assert found.loc[1, "mh"] == "" and found.loc[1, "logg"] == "5.13"


# ---------------------------------------------------------------- the errors of a run, on stars of unknown truth


class Finished:
    """A finished run of 60 stars whose paper's estimates are all 100 K too hot.

    The recommended ones are exact where the truth was known, so that counting these stars would show, and 10 K off
    elsewhere.
    """

    def __init__(self, known):
        self.truth, self.known = truth(60), known
        self.keys = {"recommended": "r"}

    def arrays(self, stage, file):
        assert (stage, file) == ("recommended", "recommended")
        return {"known": np.append(self.known, [False, False])}  # two real stars follow the survey

    def catalogue_of(self, name):
        off = np.where(self.known, 0.0, 10.0) if name == "recommended" else np.full(60, 100.0)
        columns = {}
        for p, column in PARAMETER_COLUMNS.items():
            columns |= {column: np.append(self.truth[p] + off, [0, 0])}
            columns |= {f"{e}_{column}": np.full(62, 50.0) for e in "eE"}
        return Table(columns)


@PROPERTY
@given(st.sets(st.integers(0, 59), max_size=50))
def test_no_star_counts_in_a_runs_errors_whose_truth_was_used(stars):
    run = Finished(np.isin(np.arange(60), list(stars)))
    assert headline.known_stars(run, "transfer").sum() == 0
    np.testing.assert_array_equal(headline.known_stars(run, "recommended"), run.known)
    table = benchmark_results.paper_and_recommended(run).set_index(["estimates", "parameter"])
    assert (table["stars"] == 60 - len(stars)).all()
    assert (table.loc["recommended", "known truths"] == len(stars)).all()
    assert (table.loc[["transfer", "direct"], "known truths"] == 0).all()
    np.testing.assert_allclose(table.loc["recommended", "rmse"], 10)
    np.testing.assert_allclose(table.loc["transfer", "rmse"], 100)
    assert (table.loc["recommended", "coverage"] == 1).all() and (table.loc["direct", "coverage"] == 0).all()


def test_a_run_by_the_papers_method_alone_uses_no_truth():
    run = Finished(np.ones(60, bool))
    run.keys = {}
    assert headline.known_stars(run, "recommended").tolist() == [False] * 60


# ---------------------------------------------------------------- what the record says, and notebook 07 after it


@pytest.fixture(scope="module")
def recorded():
    return benchmark_results.read("arms", "errors")


def test_on_record_the_combination_wins_in_every_parameter_and_meets_the_goals(recorded):
    mean, _ = benchmark_results.error_table(recorded)
    assert recorded["seed"].nunique() >= 5 and set(mean.index) <= set(METHODS)
    assert (mean.idxmin() == benchmark_results.WINNER).all()
    assert benchmark_results.goals(recorded)["met"].all()


@pytest.mark.parametrize("part", ["arms", "strengths"])
def test_on_record_methods_with_anchor_stars_know_twenty_truths_and_the_others_none(part):
    truths = benchmark_results.known_truths(benchmark_results.read(part, "errors"))
    assert truths.to_dict() == {name: 20 if METHODS[name].anchored else 0 for name in truths.index}


def test_on_record_the_papers_way_stands_where_the_summary_says(recorded):
    mean, spread = benchmark_results.error_table(recorded)
    tuned, plain, none, chi = (
        mean.loc[method] for method in ("fine-tuned", "autoencoder", "no transfer", "chi-square")
    )
    assert tuned["teff"] < plain["teff"]
    assert abs(tuned["mh"] - none["mh"]) < spread.loc["no transfer", "mh"]
    for method in (tuned, plain):
        assert (method[["teff", "logg", "vsini"]] < none[["teff", "logg", "vsini"]]).all()
        assert method["teff"] > chi["teff"] and method["logg"] > chi["logg"] and method["vsini"] < chi["vsini"]
    for p, least in (("logg", 0.02), ("mh", 0.06), ("vsini", 1.0)):
        assert abs(tuned[p] - plain[p]) < least
    assert mean.loc["aligned", "teff"] < none["teff"] and mean.loc["aligned", "vsini"] > tuned["vsini"]
    assert mean.loc["frozen decoder", "teff"] > plain["teff"]


def test_on_record_units_keep_their_meaning_and_the_nearest_distance_tells_most(recorded):
    found = benchmark_results.meaning(benchmark_results.read("arms", "axes"))
    assert found["kept_fine_tuned"] > 0.95 and found["turned_fine_tuned"] < 0.1
    spread = {"teff": 300, "logg": 0.12, "mh": 0.15, "vsini": 6}
    gaps, relative = (
        benchmark_results.read("arms", "gaps"),
        benchmark_results.relative_errors(recorded[recorded["region"] == "all"], spread),
    )
    verdicts = benchmark_results.metric_verdicts(gaps, relative, n_resamples=100).set_index("metric")
    assert verdicts["correlation"].idxmax() == "nearest distance" and verdicts.loc["nearest distance", "low"] > 0.5
    auc = gaps[gaps["metric"] == "AUC"].groupby("arm")["value"].mean()
    assert auc["combined"] > 0.9 and auc["fine-tuned"] >= auc["autoencoder"]


def test_on_record_intervals_cover_and_out_of_distribution_spectra_are_flagged():
    covered = benchmark_results.coverage(
        benchmark_results.calibrate(benchmark_results.read("recommended", "stars"), own=True)
    )
    for level, within in ((0.68, 0.06), (0.90, 0.04)):  # of all, and of each third of Teff
        own = covered[covered["level"] == level]
        assert len(own) == 16 and (np.abs(own["share"] - level) < within).all()
    rates = benchmark_results.read("recommended", "strangers").groupby("kind")["flagged"].mean()
    assert rates["all planted"] >= 0.95 and rates["ordinary"] <= 0.05


def test_on_record_no_method_is_better_than_the_combination_and_alignment_is_no_failure_in_temperature(recorded):
    said = benchmark_results.conclusions(recorded)
    assert said["rivals"].startswith("No method is better than combined.")
    assert said["aligned"].startswith("Aligned is better than no transfer in Teff: ")
    text = (ROOT / "notebooks" / "07_does_transfer_close_the_gap.ipynb").read_text()
    assert set(re.findall(r"`says_(\w+):s`", text)) == set(said)  # the summary shows all of them
    aligned = benchmark_results.paired(recorded, "aligned", "no transfer", "teff")
    assert aligned["smaller"] == aligned["n"] and not aligned["equal"]
    assert benchmark_results.paired(recorded, "aligned", "no transfer", "vsini")["equal"]


def test_methods_that_the_record_lacks_are_named():
    rows = pd.DataFrame({"arm": list(METHODS)})
    assert benchmark_results.unmeasured(rows) == "All were measured."
    lacking = rows[~rows["arm"].isin(["informed", "augmented"])]
    assert benchmark_results.unmeasured(lacking).endswith("not in it: augmented and informed.")
