"""Conclusions from the benchmark's tables: sentences that follow from the numbers, and notebook 07, which has them."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmark_samples import errors, kinds, rmse_of, survey_stars
from hypothesis import given, settings
from hypothesis import strategies as st

from dtl_core.bridging.methods import METHODS
from dtl_core.models import cards
from dtl_core.parameters import TABLE
from dtl_core.pipeline import benchmark_calibration, benchmark_kinds, benchmark_sentences, benchmark_tables

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "07_does_transfer_close_the_gap.ipynb"
PROPERTY = settings(derandomize=True, deadline=None, max_examples=10)


def test_sentences_say_who_is_better_worse_or_equal():
    table = rmse_of(A=[40, 41, 39, 40, 42], B=[97, 99, 95, 97, 30])
    assert benchmark_sentences.sentence(table, "A", "B", ["teff"]) == (
        "*A* is better than *B* in Teff by 57 K (4 of 5 surveys)."
    )
    assert benchmark_sentences.sentence(table, "B", "A", ["teff"]) == (
        "*B* is worse than *A* in Teff by 57 K (4 of 5 surveys)."
    )
    again = rmse_of(A=[1, 5, 3, 4], B=[2, 4, 3, 4])
    assert benchmark_sentences.sentence(again, "A", "B", ["teff"]) == (
        "*A* and *B* do not differ within the scatter of the surveys in Teff."
    )
    turned = table.assign(parameter="logg", arm=table["arm"].map({"A": "B", "B": "A"}), rmse=table["rmse"] / 1000)
    mixed = pd.concat([table, again.assign(parameter="mh"), turned])
    assert benchmark_sentences.sentence(mixed, "A", "B", ["teff", "logg", "mh"]) == (
        "*A* is better than *B* in Teff by 57 K (4 of 5 surveys), but worse than *B* in log g by 0.057 dex (4 of 5 "
        "surveys); they do not differ within the scatter of the surveys in [M/H]."
    )


def test_a_method_that_uses_known_truths_comes_with_their_number():
    found = benchmark_sentences.sentence(errors(), "combined", "chi-square")
    assert found.startswith("*Combined* (20 known truths) is better than *chi-square* in Teff by 40 K (3 of 3 surveys)")


def test_pairs_that_were_not_measured_are_named_last():
    first, second = benchmark_sentences.comparisons(errors(), [("informed", "combined"), ("combined", "chi-square")])
    assert first.startswith("*Combined*") and second == "Not measured: *informed* against *combined*."


@pytest.mark.slow
@PROPERTY
@given(st.integers(0, 1000))
def test_the_leaders_have_the_smallest_medians(seed):
    table = benchmark_kinds.across_kinds(kinds(seed))
    median = table.groupby(["arm", "parameter"])["rmse"].median()
    groups = (("no transfer", "informed"), ("combined", "zero points"))
    for text, group in zip(benchmark_sentences.leaders(table), groups, strict=True):
        for name, entry in TABLE.items():
            best = min(group, key=lambda method: median[method, name])  # noqa: B023
            assert f"in {entry.symbol} that of *{best}*" in text
    mixed = table.sample(frac=1, random_state=seed)
    order = pd.Categorical(mixed["arm"], table["arm"].unique())
    assert benchmark_sentences.leaders(mixed.iloc[np.argsort(order.codes, kind="stable")]) == (
        benchmark_sentences.leaders(table)
    )


def test_methods_that_do_not_differ_from_the_best_are_named():
    even = errors()
    own = even[(even["arm"] == "chi-square") & even["parameter"].isin(["teff", "mh"])].index
    even.loc[own, "rmse"] = even.loc[own, "parameter"].map({"teff": 100.0, "mh": 0.2})
    without, _ = benchmark_sentences.leaders(even)
    assert "in Teff that of *no transfer* (100 K; not different from it: *chi-square*)" in without
    assert "in log g that of *chi-square* (0.050 dex)" in without


@pytest.mark.slow
@PROPERTY
@given(st.integers(0, 1000))
def test_sentences_on_goals_and_kinds_follow_from_their_tables(seed):
    table = kinds(seed)
    goals = benchmark_kinds.goals(table)
    said = benchmark_sentences.goal_sentences(table)
    for text, row in zip(said, goals.to_dict("records"), strict=True):
        assert (": met." in text) == row["met"] and (": missed." in text) != row["met"]
        assert f"*{row['method']}*" in text and f"the worst kind is {row['worst kind']}," in text
    first, *others = benchmark_sentences.kind_sentences(table)
    best = benchmark_kinds.best_by_kind(table)
    wins = {method: int(n) for method, n in re.findall(r"\*([\w ]+)\* for (\d+)", first)}
    assert wins == best["best"].value_counts().to_dict()
    every = benchmark_kinds.across_kinds(table)
    if best["best"].value_counts().index[0] == "informed":
        assert f"Over all kinds of gap: {benchmark_sentences.sentence(every, 'informed', 'no transfer')}" in others


def test_more_anchor_stars_are_compared_with_fewer_and_with_none():
    numbers = ((0, 0, 1.0), (3, 1, 0.9), (14, 6, 0.5))
    parts = [errors().assign(n_teff=n, n_mh=m, truths=n + m, rmse=errors()["rmse"] * f) for n, m, f in numbers]
    anchors = pd.concat(parts).query("arm == 'combined'")
    none, fewer = benchmark_sentences.anchor_sentences(anchors)
    assert none.startswith(
        "*Combined, 14 + 6 anchors* (20 known truths) is better than *combined, 0 + 0 anchors* in Teff by 5 K"
    )
    assert "better than *combined, 3 + 1 anchors* (4 known truths) in Teff by 4 K" in fewer


def test_log_g_is_called_better_where_it_is():
    stars = survey_stars(6)
    relation = "main-sequence relation"
    good = stars.assign(found_logg=stars["logg"] + 0.001)
    for table, word in ((good, "better"), (stars.assign(found_logg=9.0), "worse")):
        first, _ = benchmark_sentences.gravity_sentences(benchmark_tables.gravity_errors(table))
        assert first.startswith(f"Compared with the {relation}") and first.count(f"{word} in the") == 3


def test_latents_that_change_their_meaning_are_told_from_those_that_keep_it():
    rows = [("autoencoder", s, u, True, 1.0, 0.0) for s in (1, 2) for u in range(4)]
    rows += [("fine-tuned", s, u, True, 0.2 if u else 0.9, 2.0) for s in (1, 2) for u in range(4)]
    axes = pd.DataFrame(rows, columns=["arm", "seed", "unit", "live", "correlation", "moved"])
    gaps = pd.DataFrame(
        [
            (m, a, s, v + s)
            for m, v in (("AUC", 1.0), ("MMD^2", 5.0))
            for a, v in (("autoencoder", v), ("fine-tuned", v * (m == "AUC")))
            for s in (1, 2)
        ],
        columns=["metric", "arm", "seed", "value"],
    )
    first, second = benchmark_sentences.gap_sentences(gaps, axes)
    assert "4 live units" in first and " 25 % have a correlation" in first
    assert second.startswith("Fine-tuning makes MMD^2 (1.5 against 6.5) smaller.") and second.endswith("change AUC.")


def test_metrics_whose_interval_contains_zero_are_not_called_useful():
    table = pd.DataFrame({"metric": ["A", "B"], "correlation": [0.2, 0.8], "low": [-0.1, 0.6], "high": [0.4, 0.9]})
    assert benchmark_sentences.metric_sentence(table) == (
        "Metrics that rank the methods by their errors, with their correlation, are B (0.80); the intervals of A "
        "contain zero or less."
    )
    assert "A and B" not in benchmark_sentences.metric_sentence(table.assign(low=0.1)).partition(";")[2]
    assert benchmark_sentences.metric_sentence(table.assign(low=-0.1)).startswith("No metric")


def card(**changes):
    rows = [(94_600.0, kind, name, 50.0, 0.0, 0.7, 0.9, 0.0, False) for kind in ("spots", "zeeman") for name in TABLE]
    columns = ["model", "kind", "parameter", "rmse", "bias", "inside_68", "inside_90", "flagged", "silent"]
    table = pd.DataFrame(rows, columns=columns)
    table["rmse"] = table["parameter"].map({"teff": 50, "logg": 0.05, "mh": 0.1, "vsini": 0.5})
    for name, value in changes.items():
        table.loc[(table["kind"] == "zeeman") & (table["parameter"] == "mh"), name] = value
    return table


def test_silent_failures_and_missed_goals_of_the_models_are_named():
    assert benchmark_sentences.silent_sentence(card()).startswith("There is no silent failure in 8 ")
    assert benchmark_sentences.silent_sentence(card(silent=True)).endswith("fail silently: [M/H] for zeeman.")
    good, bad = (benchmark_sentences.model_sentences(table) for table in (card(), card(rmse=0.3, inside_68=0.4)))
    assert all(": met." in text for text in good) and len(good) == 5
    assert [": missed." in text for text in bad] == [False, True, False, True, False]
    assert "1 of 2" in bad[1] and "zeeman at R = 94600, with 0.300 dex" in bad[1]


def test_surveys_whose_error_bars_are_too_short_are_counted_with_their_flags():
    stars = survey_stars(4)
    stars.loc[stars["survey"] == 3, "found_mh"] += 5
    intervals = benchmark_calibration.calibrate(stars)
    strangers = pd.DataFrame({"survey": [2, 3], "kind": "ordinary", "n": 143, "flagged": [0.01, 0.04]})
    found = benchmark_sentences.silent_surveys(intervals, strangers)
    assert found.startswith("Of 4 surveys") and " 0 in Teff" in found and " 1 in [M/H]" in found
    assert found.endswith("counted in 1 of the surveys of which this is true: at most 4 % each.")
    assert "Flags" not in benchmark_sentences.silent_surveys(intervals, strangers[:1])


def test_what_was_not_measured_is_said_so():
    empty = {part: benchmark_tables.read(part, "errors", "none") for part in ("arms", "kinds", "anchors")}
    gravity = benchmark_tables.gravity_errors(benchmark_tables.read("recommended", "stars", "none"))
    gaps, axes = (benchmark_tables.read("arms", name, "none") for name in ("gaps", "axes"))
    strangers = benchmark_tables.read("recommended", "strangers", "none")
    verdicts = benchmark_tables.metric_verdicts(gaps, pd.Series(dtype=float, name="relative"))
    said = [
        *benchmark_sentences.leaders(empty["arms"]),
        *benchmark_sentences.kind_sentences(empty["kinds"]),
        *benchmark_sentences.goal_sentences(empty["kinds"]),
        *benchmark_sentences.anchor_sentences(empty["anchors"]),
        *benchmark_sentences.gravity_sentences(gravity),
        *benchmark_sentences.gap_sentences(gaps, axes),
        benchmark_sentences.metric_sentence(verdicts),
        benchmark_sentences.silent_surveys({}, strangers),
        benchmark_sentences.flag_sentence(strangers),
    ]
    assert set(said) == {"Not measured."} and benchmark_sentences.bullets(said) == "- Not measured."
    nothing = cards.kinds_table([])
    assert benchmark_sentences.model_sentences(nothing) == [benchmark_sentences.silent_sentence(nothing)]


# ---------------------------------------------------------------- the record, and notebook 07


@pytest.mark.parametrize("pairs", [benchmark_sentences.FINE_TUNING, benchmark_sentences.CLOSING])
@pytest.mark.slow
def test_on_record_every_sentence_follows_from_the_rows(pairs):
    table = benchmark_tables.read("arms", "errors")
    known = {*METHODS, "ensemble", "ensemble, fine-tuned"}
    for method, reference in pairs:
        assert {method, reference} <= known
        if not {method, reference} <= set(table["arm"]):
            continue
        text = benchmark_sentences.sentence(table, method, reference)
        for name, entry in TABLE.items():
            own = table[(table["region"].astype(str) == "all") & (table["parameter"] == name)]
            first, second = (own[own["arm"] == arm].set_index("seed")["rmse"] for arm in (method, reference))
            low, high = np.percentile(first - second, [16, 84])
            parts = dict(pairwise(re.split(r"(better|worse|do not differ)", f"equal{text}")))
            word = "better" if high < 0 else "worse" if low > 0 else "do not differ"
            assert entry.symbol in parts[word], (text, name)


def test_the_notebook_names_every_method_and_says_the_state_of_every_part():
    text = NOTEBOOK.read_text()
    rows = re.findall(r"^\s*\"\| ([^|]+) \|", text, re.M)
    listed = {*rows, "least squares self-calibrated", "least squares anchored"}
    assert set(METHODS) <= listed and {"ensemble", "ensemble, fine-tuned"} <= listed
    assert set(re.findall(r"`state_(\w+)`", text)) == set(benchmark_tables.TABLES)
