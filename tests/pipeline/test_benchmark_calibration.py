"""Calibrated error bars of the benchmark: intervals, coverage, ranks and joint posteriors."""

import numpy as np
import pandas as pd
import pytest
from benchmark_samples import survey_stars

from dtl_core.estimates.calibration import LEVELS
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import benchmark_calibration, benchmark_tables


@pytest.mark.parametrize("own", [True, False])
def test_calibrated_intervals_cover(own):
    intervals = benchmark_calibration.calibrate(survey_stars(), own=own)
    covered = benchmark_calibration.coverage(intervals)
    assert len(covered) == 4 * 4 * 4
    excess = (covered["share"] - covered["level"])[covered["third"] == "all"]
    # quantiles of some fifty stars are order statistics that cover at their level or up to 2 / 49 more
    assert excess.min() > -0.04 and excess.max() < (0.07 if own else 0.04) and (covered["error"] > 0).all()
    for table in intervals.values():
        assert table["survey"].nunique() == 8 and 8 * 123 <= len(table) <= 8 * 143  # without the anchors
        used = table.groupby("survey")["truths"].first()
        counted = table.groupby("survey").size()
        assert (used == (286 - counted if own else 20)).all()  # no star that is counted is one whose truth was used


@pytest.mark.parametrize("own", [True, False])
def test_joint_posteriors_from_calibration_have_uniform_ranks_and_the_expected_coverage(own):
    stars = survey_stars()
    ranks, curves = benchmark_calibration.joint_diagnostics(stars, own=own, n=200, n_references=5)
    assert len(ranks) == len(benchmark_calibration.calibrate(stars, own=own)["teff"]) and list(curves) == list(range(8))
    for name in PARAMETERS:
        counts, _ = np.histogram(ranks[name], np.linspace(0, 1, 6))
        assert np.abs(counts / len(ranks) - 0.2).max() < 0.06
    np.testing.assert_allclose(curves.mean(axis=1), curves.index, atol=0.05)
    again, _ = benchmark_calibration.joint_diagnostics(stars, own=own, n=200, n_references=5)
    pd.testing.assert_frame_equal(again, ranks)


def test_what_a_survey_has_in_common_is_known_to_its_own_half_alone():
    stars = survey_stars()
    stars.loc[stars["survey"] == 3, "found_teff"] -= 300
    for own, low, high in ((True, 0.4, 0.6), (False, 0.9, 1.0)):
        ranks, curves = benchmark_calibration.joint_diagnostics(stars, own=own, n=200, n_references=5)
        assert low < ranks.loc[ranks["survey"] == 3, "teff"].mean() < high
        assert (np.abs(curves[3] - curves.index).max() < 0.12) == own  # the others do not have its error
        assert np.abs(curves[5] - curves.index).max() < 0.15


def test_coverage_in_words_has_a_row_a_parameter_and_third():
    rows = [("teff", third, 0.68, 0.7, 0.01, 0.166, 0.88, 9, 143) for third in ("all", "0", "1", "2")]
    columns = ["parameter", "third", "level", "share", "error", "least", "most", "n", "truths"]
    covered = pd.DataFrame(rows, columns=columns)
    found = benchmark_calibration.coverage_table(covered, (0.68,))
    assert (
        found.loc[("teff", "cool"), "inside 68 % intervals"] == "0.70 (0.17\N{EN DASH}\N{WORD JOINER}0.88)"
        and len(found) == 4
    )
    assert found["known truths"].tolist() == [143] * 4


def test_the_range_of_coverage_is_that_of_single_surveys():
    surveys = pd.DataFrame(
        {"survey": np.repeat([1, 2], 10), "third": 1, "truth": 0.5, "truths": 9, "low_0.68": 0.0, "high_0.68": 1.0}
    )
    surveys.loc[[10, 11, 12], "truth"] = 2.0
    table = surveys.assign(
        **{f"{side}_{level:.2f}": surveys[f"{side}_0.68"] for side in ("low", "high") for level in LEVELS}
    )
    found = benchmark_calibration.coverage({"teff": table}).set_index(["third", "level"]).loc["all", 0.68]
    assert found["share"] == 0.85 and found["least"] == 0.7 and found["most"] == 1


def test_of_fourteen_stars_a_right_interval_holds_six_to_thirteen():
    assert benchmark_calibration.expected_inside(14, 0.68) == (6, 13)


def test_without_stars_there_are_no_intervals():
    stars = benchmark_tables.read("recommended", "stars", "no such folder")
    assert benchmark_calibration.calibrate(stars) == {} and len(benchmark_calibration.coverage({})) == 0
    ranks, curves = benchmark_calibration.joint_diagnostics(stars)
    assert len(ranks) == 0 and curves.empty
    table = benchmark_calibration.coverage_table(benchmark_calibration.coverage({}))
    assert table.to_numpy().tolist() == [["not measured"]]


def test_on_record_the_other_half_of_a_survey_covers_in_every_third():
    stars = benchmark_tables.read("recommended", "stars")
    covered = benchmark_calibration.coverage(benchmark_calibration.calibrate(stars, own=True))
    for level, within in ((0.68, 0.06), (0.90, 0.04)):  # of all, and of each third of Teff
        own = covered[covered["level"] == level]
        assert len(own) == 16 * (len(stars) > 0) and (own["share"] > level - within).all()
        # a conformal interval from n stars may contain 1 / (n + 1) more on each side (Lei et al. 2018, theorem 2.2)
        few = np.where(own["third"] == "all", 143, 143 // 3)
        assert (own["share"] < level + 2 / (few + 1) + within).all()
