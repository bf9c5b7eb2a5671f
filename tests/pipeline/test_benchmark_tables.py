"""The benchmark: its pixels and surveys, and the tables that are made of its record."""

import csv
import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from benchmark_samples import UNITS, errors, kinds, rmse_of, survey_stars, truth
from hypothesis import given, settings
from hypothesis import strategies as st

from dtl_core.bridging import benchmark
from dtl_core.bridging.methods import METHODS
from dtl_core.config import load_profile
from dtl_core.errors import DataError
from dtl_core.estimates import gravity
from dtl_core.models import cards, making
from dtl_core.parameters import PARAMETER_COLUMNS, PARAMETERS
from dtl_core.pipeline import benchmark_kinds, benchmark_tables, headline, records
from dtl_core.spectra import operators
from dtl_core.synthetic import simulated_survey
from dtl_core.synthetic.kinds import KINDS
from dtl_core.synthetic.label_grid import main_sequence_logg

PROPERTY = settings(derandomize=True, deadline=None, max_examples=30)
FEW = settings(derandomize=True, deadline=None, max_examples=10)  # each takes a while
RECORDED = [(part, table) for part, own in benchmark_tables.TABLES.items() for table in own]


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


# ---------------------------------------------------------------- methods


def test_the_table_of_errors_is_median_and_range_over_surveys_in_the_order_of_the_arms():
    median, least, most = benchmark_tables.error_table(errors())
    assert list(median.index) == ["no transfer", "combined", "chi-square"] and list(median.columns) == list(PARAMETERS)
    values = [table.loc["combined", "teff"] for table in (least, median, most)]
    assert values == pytest.approx([9, 10, 11])
    bias = benchmark_tables.error_table(errors(), region=1, column="bias")[0]
    assert bias.loc["no transfer", "mh"] == pytest.approx(0.1)
    table = benchmark_tables.method_table(errors())
    assert table.loc["no transfer", "Teff [K]"] == "100 (90\N{EN DASH}\N{WORD JOINER}110)" and table[
        "known truths"
    ].tolist() == [0, 20, 0]


def test_relations_are_columns_of_log_g_where_the_record_has_them_and_no_parameters():
    own = errors()
    more = [own[own["parameter"] == "logg"].assign(parameter=f"logg_{name}", rmse=0.07) for name in gravity.RELATIONS]
    extended = pd.concat([own, *more])
    median, *_ = benchmark_tables.error_table(extended)
    assert list(median.columns) == [*PARAMETERS, "logg_relation", "logg_survey_relation"]
    table = benchmark_tables.method_table(extended, benchmark_tables.GRAVITIES)
    assert table.loc["combined", "log g, main-sequence relation"].startswith("0.070 (")
    assert list(benchmark_tables.method_table(own, benchmark_tables.GRAVITIES)) == ["known truths", "log g"]
    scale = dict.fromkeys(PARAMETERS, 1.0)
    first, second = (benchmark_tables.relative_errors(e[e["region"] == "all"], scale) for e in (own, extended))
    pd.testing.assert_series_equal(first, second)


def test_methods_are_selected_in_order_and_those_that_were_not_measured_left_out():
    found = benchmark_tables.selected(errors(), ["chi-square", "informed", "combined"])
    assert found["arm"].drop_duplicates().tolist() == ["chi-square", "combined"] and len(found) == 2 * 3 * 16


def test_the_ensemble_stands_beside_the_methods_of_the_same_surveys():
    ensemble = pd.concat([errors().query("arm == 'chi-square'").assign(encoder=e) for e in ("transfer", "direct")])
    both = benchmark_tables.with_ensemble(errors(), ensemble.drop(columns="arm"))
    assert list(both) == list(errors()) and set(both["arm"]) == {*errors()["arm"], "ensemble", "ensemble, fine-tuned"}
    pair = benchmark_tables.paired(both, "ensemble, fine-tuned", "chi-square", "mh")
    assert pair["n"] == 3 and pair["difference"] == 0
    none = benchmark_tables.read("ensemble", "errors", "no such folder")
    pd.testing.assert_frame_equal(benchmark_tables.with_ensemble(errors(), none), errors(), check_dtype=False)


def test_anchor_stars_are_part_of_a_methods_name():
    numbers = [(0, 0), (14, 6)]
    both = pd.concat([errors().assign(n_teff=n, n_mh=m, truths=n + m) for n, m in numbers])
    table = benchmark_tables.method_table(benchmark_tables.by_anchors(both))
    assert list(table.index[:2]) == ["chi-square, 0 + 0 anchors", "chi-square, 14 + 6 anchors"] and len(table) == 6
    assert table["known truths"].tolist() == [0, 20] * 3


def test_relative_errors_are_geometric_means_over_parameters():
    own = errors().query("region == 'all'")
    found = benchmark_tables.relative_errors(own, {"teff": 100, "logg": 0.1, "mh": 0.2, "vsini": 2})
    assert found["no transfer", 1] == pytest.approx(1) and found["combined", 1] == pytest.approx(0.1)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_metric_that_follows_the_errors_is_found_to(sign):
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([[f"method {k}" for k in range(8)], range(3)], names=["arm", "seed"])
    relative = pd.Series(np.repeat(np.arange(8.0), 3) + rng.normal(0, 0.1, 24), index, name="relative")
    telling = (sign * relative).rename("value").reset_index().assign(metric="telling")
    silent = telling.assign(metric="silent", value=rng.normal(size=24))
    found = benchmark_tables.metric_verdicts(pd.concat([telling, silent]), relative, n_resamples=100).set_index(
        "metric"
    )
    assert found.loc["telling", "correlation"] == pytest.approx(sign) and found.loc["telling", "n"] == 24
    assert found.loc["silent", "low"] < found.loc["silent", "high"] and abs(found.loc["silent", "correlation"]) < 0.6


def test_differences_are_those_of_the_same_survey():
    # surveys differ by far more than the methods: unpaired, the two would be equal
    found = benchmark_tables.paired(rmse_of(a=[10, 100, 1000], b=[12, 103, 1001]), "a", "b", "teff")
    assert found["difference"] == -2 and found["n"] == found["smaller"] == 3 and not found["equal"]
    assert found["low"] == pytest.approx(-2.68) and found["high"] == pytest.approx(-1.32)
    assert (found["method"], found["reference"]) == (100, 103)
    turned = benchmark_tables.paired(rmse_of(a=[10, 100, 1000], b=[12, 103, 1001]), "b", "a", "teff")
    assert turned["difference"] == 2 and turned["smaller"] == 0 and turned["low"] == -found["high"]
    equal = benchmark_tables.paired(rmse_of(a=[1, 5, 3], b=[2, 4, 3]), "a", "b", "teff")
    assert equal["equal"] and equal["difference"] == 0 and equal["smaller"] == 1
    partly = benchmark_tables.paired(rmse_of(a=[1, 5, 3, 9], b=[2, 6, 4]), "a", "b", "teff")
    assert partly["n"] == 3 and not partly["equal"]  # only the surveys of both
    with pytest.raises(DataError, match=r"no survey has errors in teff of 'a' and 'c'; known: a, b|known: a, b"):
        benchmark_tables.paired(rmse_of(a=[1], b=[2]), "a", "c", "teff")


def test_few_surveys_that_do_not_agree_tell_no_difference():
    few, many = rmse_of(a=[1, 10.1], b=[2, 10]), rmse_of(a=[1] * 9 + [10.1], b=[2] * 9 + [10])
    assert benchmark_tables.paired(few, "a", "b", "teff")["equal"]
    assert benchmark_tables.paired(few, "a", "b", "teff")["high"] < 0  # the central 68 % alone would tell one
    assert not benchmark_tables.paired(many, "a", "b", "teff")["equal"]


# ---------------------------------------------------------------- kinds of gap


def by_hand(table, kind, method, parameter):
    rows = [r["rmse"] for r in table.to_dict("records")
            if (r["kind"], r["arm"], r["parameter"]) == (kind, method, parameter)]  # fmt: skip
    return float(np.median(rows))


@pytest.mark.slow
@FEW
@given(st.integers(0, 1000))
def test_goals_are_those_of_the_worst_kind_for_the_method_that_comes_nearest(seed):
    table = kinds(seed)
    every, found = table["kind"].unique(), benchmark_kinds.goals(table)
    for truths, wanted, methods in (
        (0, benchmark_kinds.GOALS, ["no transfer", "informed"]),
        (20, benchmark_kinds.ANCHORED_GOALS, ["combined", "zero points"]),
    ):
        own = found[found["known truths"] == truths].set_index("parameter")
        ratio = {m: max(by_hand(table, k, m, p) / w for k in every for p, w in wanted.items()) for m in methods}
        assert set(own["method"]) == {min(ratio, key=ratio.get)} and list(own.index) == list(wanted)
        for p, row in own.iterrows():
            worst = max(by_hand(table, kind, row["method"], p) for kind in every)
            assert row["found"] == worst == by_hand(table, row["worst kind"], row["method"], p)
            least, most = (float(edge) for edge in row["range"].replace("\N{WORD JOINER}", "").split("\N{EN DASH}"))
            half = 0.51 * 10.0 ** -benchmark_tables.DIGITS[p]  # of the last digit
            assert row["met"] == (worst <= wanted[p]) and least - half <= worst <= most + half


@pytest.mark.slow
@FEW
@given(st.integers(0, 1000))
def test_the_worst_and_the_best_do_not_depend_on_the_order_of_the_rows(seed):
    table = kinds(seed)
    mixed = table.sample(frac=1, random_state=seed)
    for summary in (benchmark_kinds.worst_kinds, benchmark_kinds.best_by_kind):
        first, second = summary(table), summary(mixed)
        pd.testing.assert_frame_equal(first, second.loc[first.index])
    best = benchmark_kinds.best_by_kind(table)
    assert (best["known truths"] == 0).all() and set(best["best"]) <= {"no transfer", "informed"}
    worst = benchmark_kinds.worst_kinds(table)
    value, kind = worst.loc["informed", "Teff [K]"].split(", ")
    assert float(value) == pytest.approx(by_hand(table, kind, "informed", "teff"), abs=0.5)
    assert float(value) == pytest.approx(max(by_hand(table, k, "informed", "teff") for k in best.index), abs=0.5)


def test_a_method_that_is_better_in_both_surveys_of_a_kind_is_the_best_and_no_other_equals_it():
    table = kinds()
    table["rmse"] = table["parameter"].map(UNITS | dict.fromkeys(("logg_relation", "logg_survey_relation"), 0.1))
    better = (table["arm"] == "informed") & (table["kind"] == "spots")
    mixed = (table["arm"] == "informed") & (table["kind"] == "zeeman")
    table.loc[better, "rmse"] *= 0.5
    table.loc[mixed, "rmse"] *= table.loc[mixed, "seed"].map({1: 0.5, 2: 1.1})
    best = benchmark_kinds.best_by_kind(table)
    assert best.loc["spots", "best"] == "informed" and best.loc["spots", "not different from it"] == ""
    assert best.loc["zeeman", "best"] == "informed" and best.loc["zeeman", "not different from it"] == "no transfer"


def test_ratios_to_goals_are_those_of_medians_and_log_g_is_compared_with_the_better_relation():
    table = kinds()
    table.loc[table["parameter"] == "logg_relation", "rmse"] = 0.05
    found = benchmark_kinds.goal_ratios(table)
    assert found.loc[("spots", "informed"), "teff"] == by_hand(table, "spots", "informed", "teff") / 75
    better = min(by_hand(table, "spots", "informed", p) for p in ("logg_relation", "logg_survey_relation"))
    assert found.loc[("spots", "informed"), "logg"] == by_hand(table, "spots", "informed", "logg") / better
    every = benchmark_kinds.across_kinds(table)
    assert every.groupby(["arm", "parameter"])["seed"].nunique().eq(6).all() and set(every["region"]) == {"all"}


class Model:
    """A model whose card has figures for kinds of gap."""

    def __init__(self, power, inside, flagged):
        own = {"rmse": 1.0, "bias": 0.1, "inside_68": inside, "inside_90": 0.9}
        self.resolving_power = power
        self.card = {"kinds": {kind: {"false_flags": flagged} | dict.fromkeys(PARAMETERS, own) for kind in KINDS}}


def test_cards_say_where_error_bars_fail_and_where_silently():
    models = [Model(94_600.0, 0.7, 0.0), Model(53_000.0, 0.4, 0.1), Model(42_000.0, 0.3, 0.6)]
    found, n = cards.kinds_table(models), len(KINDS) * len(PARAMETERS)
    assert len(found) == 3 * n and found[found["silent"]]["model"].unique().tolist() == [53_000.0]
    assert found["silent"].sum() == sum(len(making.silent(own)) for m in models for own in m.card["kinds"].values())
    bars = benchmark_kinds.bar_table(found).set_index(["parameter", "level"])
    assert bars.loc[("mh", 68), "least"] == 0.3 and bars.loc[("mh", 68), "most"] == 0.7
    assert bars.loc[("mh", 68), "as wanted"] == len(KINDS) and bars.loc[("mh", 90), "as wanted"] == 3 * len(KINDS)
    old = Model(80_000.0, 0.7, 0.0)
    del old.card["kinds"]
    assert len(cards.kinds_table([old])) == 0


# ---------------------------------------------------------------- log g


def test_log_g_of_the_spectrum_is_compared_with_the_relations_survey_by_survey():
    stars = survey_stars(3)
    found = benchmark_tables.gravity_errors(stars).set_index(["region", "arm", "seed"])["rmse"]
    own = stars[stars["survey"] == 1]
    hand = np.sqrt(np.mean((own["found_logg"] - own["logg"]) ** 2))
    assert found["all", "spectrum", 1] == pytest.approx(hand)
    relation = main_sequence_logg(own["found_teff"], own["found_mh"]) - own["logg"]
    assert found["all", "main-sequence relation", 1] == pytest.approx(np.sqrt(np.mean(relation**2)))
    thirds = np.quantile(stars["teff"], [1 / 3, 2 / 3])
    cool = own[own["teff"] < thirds[0]]
    assert found["cool", "spectrum", 1] == pytest.approx(np.sqrt(np.mean((cool["found_logg"] - cool["logg"]) ** 2)))
    table = benchmark_tables.gravity_table(benchmark_tables.gravity_errors(stars))
    assert list(table.columns) == ["known truths", "all", "cool", "middle", "hot"] and len(table) == 3


def test_what_became_of_latent_units():
    rows = [("autoencoder", s, u, u < 3, 1.0, 0.0) for s in (1, 2) for u in range(4)]
    rows += [
        ("fine-tuned", s, u, u < 3, 0.2 if u else 0.9, np.inf if u == 3 else 2.0) for s in (1, 2) for u in range(4)
    ]
    rows += [("frozen decoder", s, u, u < 3, 0.8, 0.5) for s in (1, 2) for u in range(4)]
    found = benchmark_tables.meaning(
        pd.DataFrame(rows, columns=["arm", "seed", "unit", "live", "correlation", "moved"])
    )
    assert found["units_total"] == 4 and found["units_live"] == 3
    assert found["kept_fine_tuned"] == 0.2 and found["turned_fine_tuned"] == pytest.approx(2 / 3)
    assert found["woken_fine_tuned"] == 1 and found["moved_frozen_decoder"] == 0.5


def test_real_stars_stand_beside_what_is_published():
    rows = [("GJ 699", "combined", seed, 3300 + seed, 5.0, -0.3, 2.0) for seed in range(3)]
    stars = pd.DataFrame(rows, columns=["star", "arm", "seed", *PARAMETERS])
    found = benchmark_tables.real_table(stars, {"GJ 699": [(3254, 5.13, None, 2.0, "somebody")]})
    assert found.loc[0, "teff"] == "3301 ± 1" and found.loc[1, "by"] == "somebody"
    assert found["known truths"].tolist() == ["0", ""]  # none was used
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
    table = benchmark_tables.paper_and_recommended(run).set_index(["estimates", "parameter"])
    assert (table["stars"] == 60 - len(stars)).all()
    assert (table.loc["recommended", "known truths"] == len(stars)).all()
    assert (table.loc[["fine-tuned", "not fine-tuned"], "known truths"] == 0).all()
    np.testing.assert_allclose(table.loc["recommended", "rmse"], 10)
    np.testing.assert_allclose(table.loc["fine-tuned", "rmse"], 100)
    assert (table.loc["recommended", "coverage"] == 1).all() and (table.loc["not fine-tuned", "coverage"] == 0).all()


def test_errors_are_written_for_a_reader():
    rows = [("teff", "transfer", 143, 101.2345, -12.6, 0.912, 0.6713), ("vsini", "direct", 143, 1.23456, 0.5, 0.5, 1.0)]
    table = pd.DataFrame(rows, columns=["parameter", "estimates", "stars", "rmse", "bias", "pearson", "coverage"])
    first, second = benchmark_tables.readable(table).to_dict("records")
    assert first["parameter"] == "Teff [K]" and first["rmse"] == "101" and first["bias"] == "\N{MINUS SIGN}13"
    assert second["rmse"] == "1.23" and second["bias"] == "+0.50" and second["stars"] == 143
    assert first["correlation"] == "0.91" and first["truth within 1\N{GREEK SMALL LETTER SIGMA}"] == "67%"
    assert not {"pearson", "coverage"} & set(first)


def test_a_run_by_the_papers_method_alone_uses_no_truth():
    run = Finished(np.ones(60, bool))
    run.keys = {}
    assert headline.known_stars(run, "recommended").tolist() == [False] * 60


# ---------------------------------------------------------------- the record


@pytest.mark.parametrize(("part", "table"), RECORDED)
def test_on_record_every_table_has_the_columns_that_it_has_without_a_record(part, table):
    found, empty = benchmark_tables.read(part, table), benchmark_tables.read(part, table, "no such folder")
    assert list(found) == list(empty) and len(empty) == 0


@pytest.mark.parametrize("part", ["arms", "strengths", "kinds"])
def test_on_record_methods_with_anchor_stars_know_twenty_truths_and_the_others_none(part):
    truths = benchmark_tables.known_truths(benchmark_tables.read(part, "errors"))
    assert truths.to_dict() == {name: 20 if METHODS[name].anchored else 0 for name in truths.index}


def test_on_record_medians_and_pairs_are_those_of_its_rows():
    part = records.read("transfer")["values"]["arms"]["values"]["errors"]
    rows = {}
    for row in csv.DictReader(part):
        if row["region"] == "all":
            rows.setdefault((row["arm"], row["parameter"]), {})[row["seed"]] = float(row["rmse"])
    table = benchmark_tables.read("arms", "errors")
    median, least, most = benchmark_tables.error_table(table)
    for (method, parameter), own in rows.items():
        values = [frame.loc[method, parameter] for frame in (median, least, most)]
        assert values == pytest.approx([np.median(list(own.values())), min(own.values()), max(own.values())])
    for method in median.index.drop("no transfer"):
        a, b = rows[method, "teff"], rows["no transfer", "teff"]
        found = benchmark_tables.paired(table, method, "no transfer", "teff")
        assert found["difference"] == pytest.approx(np.median([a[seed] - b[seed] for seed in a if seed in b]))
        turned = benchmark_tables.paired(table, "no transfer", method, "teff")
        assert turned["difference"] == -found["difference"] and turned["equal"] == found["equal"]


def test_on_record_flags_are_shares_of_all_planted_spectra():
    rates = benchmark_tables.read("recommended", "strangers")
    for _, own in rates.groupby("survey"):
        each = own[~own["kind"].isin(["ordinary", "all planted"])]
        together = own[own["kind"] == "all planted"].iloc[0]
        assert together["n"] == each["n"].sum()
        assert together["flagged"] == pytest.approx(np.average(each["flagged"], weights=each["n"]), abs=1e-4)
    table = benchmark_tables.flag_table(rates)
    kinds = set(rates["kind"].replace("all planted", "all injected"))
    assert (table["surveys"] == rates["survey"].nunique()).all() and set(table.index) == kinds


def test_methods_that_the_record_lacks_are_named():
    rows = pd.DataFrame({"arm": list(METHODS)})
    assert benchmark_tables.unmeasured(rows) == "All methods were measured."
    assert benchmark_tables.unmeasured(rows[:0]) == "No method has been measured."
    lacking = rows[~rows["arm"].isin(["informed", "augmented"])]
    assert benchmark_tables.unmeasured(lacking).endswith("not in it: *augmented* and *informed*.")


def test_a_part_that_is_missing_or_stale_is_said_so_with_the_command(tmp_path):
    command = "python benchmarks/transfer.py kinds"
    assert command in benchmark_tables.state("kinds", tmp_path)
    lines = records.lines(kinds())
    records.add("transfer", "kinds", {"errors": lines}, folder=tmp_path)  # code unknown
    assert command in benchmark_tables.state("kinds", tmp_path)
    records.add("transfer", "kinds", {"errors": lines}, folder=tmp_path, code=["dtl_core.parameters"])
    fresh = benchmark_tables.state("kinds", tmp_path)
    assert "python" not in fresh and records.read("transfer", tmp_path)["values"]["kinds"]["made"] in fresh
    assert len(benchmark_tables.read("kinds", "errors", tmp_path)) == len(kinds())
    assert len(benchmark_tables.read("arms", "errors", tmp_path)) == 0
    (tmp_path / "transfer.json").write_text(json.dumps({"made": "never"}))
    assert command in benchmark_tables.state("kinds", tmp_path)


def test_tables_of_a_part_that_is_missing_say_so():
    empty = {pair: benchmark_tables.read(*pair, "no such folder") for pair in RECORDED}
    arms, gap = empty["arms", "errors"], empty["kinds", "errors"]
    shown = [
        benchmark_tables.method_table(arms),
        benchmark_tables.method_table(benchmark_tables.by_anchors(empty["anchors", "errors"])),
        benchmark_kinds.worst_kinds(gap),
        benchmark_kinds.best_by_kind(gap),
        benchmark_kinds.goals(gap),
        benchmark_kinds.bar_table(cards.kinds_table([])),
        benchmark_tables.gravity_table(benchmark_tables.gravity_errors(empty["recommended", "stars"])),
        benchmark_tables.flag_table(empty["recommended", "strangers"]),
        benchmark_tables.real_table(empty["real", "stars"], {}),
    ]
    assert all(table.to_numpy().tolist() == [["not measured"]] for table in shown)
    assert benchmark_kinds.goal_ratios(gap).empty and benchmark_tables.error_table(arms)[0].empty


@pytest.fixture(scope="module")
def measured():
    """Errors of the part ``arms`` of the record of all stars."""
    errors = benchmark_tables.read("arms", "errors")
    return errors[errors["region"].astype(str) == "all"]


def test_on_record_the_papers_way_is_better_than_no_transfer_but_not_in_metallicity(measured):
    mean, spread = (
        measured.pivot_table(index="arm", columns="parameter", values="rmse", aggfunc=name) for name in ("mean", "std")
    )
    tuned, plain, none, chi = (mean.loc[name] for name in ("fine-tuned", "autoencoder", "no transfer", "chi-square"))
    assert measured["seed"].nunique() >= 5 and set(mean.index) <= set(METHODS)
    assert tuned["teff"] < plain["teff"]
    assert abs(tuned["mh"] - none["mh"]) < spread.loc["no transfer", "mh"]
    for method in (tuned, plain):
        assert (method[["teff", "logg", "vsini"]] < none[["teff", "logg", "vsini"]]).all()
        assert method["teff"] > chi["teff"] and method["logg"] > chi["logg"]
    for p, least in (("logg", 0.02), ("mh", 0.06), ("vsini", 1.0)):
        assert abs(tuned[p] - plain[p]) < least
    assert mean.loc["aligned", "vsini"] > tuned["vsini"] and mean.loc["frozen decoder", "teff"] > plain["teff"]
    assert mean["teff"].idxmin() == mean["mh"].idxmin() == benchmark_tables.RECOMMENDED


def test_on_record_units_keep_their_meaning_and_the_nearest_distance_tells_most(measured):
    found = benchmark_tables.meaning(benchmark_tables.read("arms", "axes"))
    assert found["kept_fine_tuned"] > 0.95 and found["turned_fine_tuned"] < 0.1
    gaps = benchmark_tables.read("arms", "gaps")
    relative = benchmark_tables.relative_errors(measured, {"teff": 300, "logg": 0.12, "mh": 0.15, "vsini": 6})
    verdicts = benchmark_tables.metric_verdicts(gaps, relative, n_resamples=100).set_index("metric")
    assert verdicts["correlation"].idxmax() == "nearest distance" and verdicts.loc["nearest distance", "low"] > 0.5
    auc = gaps[gaps["metric"] == "AUC"].groupby("arm")["value"].mean()
    assert auc["combined"] > 0.9 and auc["fine-tuned"] >= auc["autoencoder"]


def test_on_record_out_of_distribution_spectra_are_flagged_and_ordinary_ones_are_not():
    rates = benchmark_tables.read("recommended", "strangers").groupby("kind")["flagged"].mean()
    assert rates["all planted"] >= 0.95 and rates["ordinary"] <= 0.05


def test_on_record_log_g_of_the_spectrum_is_no_better_than_what_its_teff_and_mh_imply():
    stars = benchmark_tables.read("recommended", "stars")
    found = stars[[f"found_{name}" for name in PARAMETERS]].to_numpy()
    own = np.sqrt(np.mean((stars["found_logg"] - stars["logg"]) ** 2))
    implied = gravity.relation_errors(found, stars["logg"].to_numpy())
    assert own == pytest.approx(0.0799, abs=1e-4) and implied["survey_relation"] == pytest.approx(0.0534, abs=1e-4)
    assert implied["survey_relation"] < own < implied["relation"]
