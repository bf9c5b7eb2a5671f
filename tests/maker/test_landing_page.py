"""The first page's verdict, table and figure follow from the records, and so do the answers of the page of results."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from rendering import cells

from book.maker import landing_page, results_page
from dtl_core.literature import real_stars
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import benchmark_tables, records

SURVEYS = range(1, 8)
SPREAD = {"teff": 200.0, "logg": 0.2, "mh": 0.2, "vsini": 2.0}


def simulated(folder, rmse, auc=(0.99, 0.98), surveys=SURVEYS, ensemble=None):
    """A record with the rmse of each method in units of the spread, 0.01 larger from survey to survey."""
    rows = [
        (p, "all", 50, factor * SPREAD[p] * (1 + 0.01 * seed), 0.0, 0.0, 20 * (arm == "combined"), arm, seed)
        for arm, factors in rmse.items()
        for p, factor in zip(PARAMETERS, factors, strict=True)
        for seed in surveys
    ]
    columns = benchmark_tables.TABLES["arms"]["errors"].split(",")
    errors = pd.DataFrame(rows, columns=columns)
    pairs = zip(("autoencoder", "fine-tuned", "fluxes"), (*auc, 1.0), strict=True)
    gaps = pd.DataFrame(
        [("AUC", value + 0.001 * seed, 0.0, np.nan, arm, seed) for arm, value in pairs for seed in surveys],
        columns=benchmark_tables.TABLES["arms"]["gaps"].split(","),
    )
    values = {"errors": records.lines(errors), "gaps": records.lines(gaps)}
    records.add("transfer", "arms", values, folder=folder)
    if ensemble:
        rows = [
            (p, "all", 50, factor * SPREAD[p], 0.0, 0.0, 0, encoder, "demo", 3, seed)
            for encoder, factor in ensemble.items()
            for p in PARAMETERS
            for seed in (2, 3)
        ]
        columns = benchmark_tables.TABLES["ensemble"]["errors"].split(",")
        lines = records.lines(pd.DataFrame(rows, columns=columns))
        records.add("transfer", "ensemble", {"errors": lines}, folder=folder)
    return folder


def published(star, p):
    return real_stars.published_of(real_stars.star_named(star), p)


def real(folder, offsets, left_out="GJ 699", shift=50.0):
    """Records of estimates of two real stars: published Teff plus the offsets of each training, and of the models."""
    stars = (left_out, "VB 10")
    known = {star: {p: published(star, p) for p in PARAMETERS} for star in stars}
    base = {star: {p: found.value if found else 1.0 for p, found in own.items()} for star, own in known.items()}
    rows = [
        base[star] | {"teff": base[star]["teff"] + offset, "star": star, "arm": arm, "seed": seed}
        for arm in ("fine-tuned", "autoencoder")
        for star in stars
        for seed, offset in enumerate(offsets[star])
    ]
    order = [*PARAMETERS, "star", "arm", "seed"]
    records.add("transfer", "real", {"stars": records.lines(pd.DataFrame(rows)[order])}, folder=folder)
    for part, star in (("left_out", left_out), ("shipped", "VB 10")):
        row = {"star": star, "file": f"{star}.fits", "variant": "exposure", "model": "shipped", "flag": ""}
        row |= {"model": f"without {star}"} if part == "left_out" else {}
        for p in PARAMETERS:
            value = base[star][p] + shift * (p == "teff")
            row |= {p: value} | {f"{end}{level}_{p}": value for end in ("low", "high") for level in (68, 90)}
        values = {"seen": [left_out, "GJ 273"], "lines": records.lines(pd.DataFrame([row]))}
        records.add("real_stars", part, values, folder=folder)
    return folder


def rows_of(text):
    """First cell without badges, kind of spectra -> the other cells."""
    found = {}
    for first, *others in cells(text):
        name, _, badge = first.strip().partition(" {bdg-")
        kind = badge.rpartition("`")[0].rpartition("`")[2]
        found[name.replace("\xa0", " "), kind] = [cell.strip().replace("\N{WORD JOINER}", "") for cell in others]
    return found


EQUAL = {"autoencoder": [0.5] * 4, "fine-tuned": [0.4] * 4, "combined": [0.2] * 4}


@pytest.mark.parametrize(
    ("factors", "says"),
    [
        ([0.4] * 4, "helps in all parameters and"),
        ([0.4, 0.5, 0.5, 0.5], "helps in 1 of 4 parameters and"),
        ([0.5] * 4, "helps in no parameter and"),
        ([0.4, 0.6, 0.6, 0.5], "helps in 1 of 4 parameters, harms in 2 of 4 parameters and"),
    ],
)
def test_the_numbers_choose_what_fine_tuning_does(tmp_path, factors, says):
    first, second = landing_page.verdict(simulated(tmp_path, EQUAL | {"fine-tuned": factors}))
    assert says in first and first.startswith(landing_page.SIMULATED) and second.startswith(landing_page.SIMULATED)
    assert ("within the scatter of the surveys" in first) == (0.5 in factors)
    assert "better than the paper's in all parameters." in second and "(20 known truths)" in second


@pytest.mark.parametrize(
    ("auc", "says"),
    [
        ((0.99, 0.53), "and closes the gap."),
        ((0.99, 0.8), "and narrows the gap without closing it."),
        ((0.9, 0.9), "and does not close the gap."),
        ((0.9, 0.99), "and does not close the gap."),
    ],
)
def test_the_gap_is_closed_only_if_no_classifier_finds_it(tmp_path, auc, says):
    assert says in landing_page.verdict(simulated(tmp_path, EQUAL, auc))[0]


def test_methods_that_are_worse_than_the_mean_are_named(tmp_path):
    simulated(tmp_path, EQUAL | {"fine-tuned": [0.4, 1.3, 0.4, 1.2]})
    assert "Predicting the mean" not in landing_page.verdict(tmp_path)[0]  # its spread is not recorded
    stars = pd.DataFrame({p: SPREAD[p] * np.array([-1.0, 1.0]) for p in PARAMETERS})
    stars = stars.assign(**{name: 0 for name in benchmark_tables.TABLES["recommended"]["stars"].split(",")[:2]})
    records.add("transfer", "recommended", {"stars": records.lines(stars)}, folder=tmp_path)
    assert "would be better than the paper's method in log g and v sin i." in landing_page.verdict(tmp_path)[0]


def test_what_helps_without_known_truths_is_counted_apart(tmp_path):
    assert "Without known truths" not in landing_page.verdict(simulated(tmp_path, EQUAL))[1]
    blind = EQUAL | {"combined, no anchors": [0.2, 0.2, 0.4, 0.6]}
    second = landing_page.verdict(simulated(tmp_path, blind))[1]
    assert "Without known truths it is better in 2 of 4 parameters and worse in 1 of 4 parameters." in second


@pytest.mark.slow
def test_the_table_has_median_and_range_of_the_surveys(tmp_path):
    text = landing_page.landing_files(simulated(tmp_path, EQUAL))["landing.md"]
    found = rows_of(text)
    factor = np.array([1.01, 1.04, 1.07])  # least, median, largest of seven surveys
    for column, times in enumerate((0.4, 0.5, 0.2)):
        low, middle, high = (f"{v:.0f}" for v in times * SPREAD["teff"] * factor)
        assert found["Teff \\[K\\]", "simulated"][column] == f"{middle} ({low}–{high})"
    assert found["known truths", "simulated"] == ["0", "0", "20"]
    assert not [kind for _, kind in found if kind == "real"]
    assert "one autoencoder with one regressor for each parameter" in text and "7 surveys with 50 scored stars" in text


@pytest.mark.slow
def test_the_whole_ensemble_is_shown_once_it_is_measured(tmp_path):
    text = landing_page.landing_files(simulated(tmp_path, EQUAL, ensemble={"transfer": 0.3, "direct": 0.7}))[
        "landing.md"
    ]
    assert "the paper's whole ensemble" in text and "2 surveys with" in text  # those that all three were measured on
    teff = rows_of(text)["Teff \\[K\\]", "simulated"]
    assert teff[:2] == ["60", "140"] and teff[2] == "41"


def test_real_stars_are_those_of_all_methods_and_limits_do_not_count(tmp_path):
    offsets = {"GJ 699": [100.0, 200.0], "VB 10": [-40.0, 0.0]}
    found = landing_page.real(real(tmp_path, offsets))
    teff = found[found["parameter"] == "teff"].set_index(["arm", "star"])["difference"]
    for arm in ("fine-tuned", "not fine-tuned"):
        assert teff[arm, "GJ 699"] == pytest.approx(150, abs=0.1) and teff[arm, "VB 10"] == pytest.approx(-20, abs=0.1)
    assert teff["recommended", "GJ 699"] == pytest.approx(50) and published("GJ 699", "vsini").limit
    assert set(found.loc[found["parameter"] == "vsini", "star"]) == {"VB 10"}
    assert dict(found[found["arm"] == "recommended"].groupby("star")["truths"].max()) == {"GJ 699": 1, "VB 10": 2}
    rows = rows_of(landing_page.landing_files(tmp_path)["landing.md"])
    assert rows["Teff \\[K\\]", "real"] == ["107 (20–150)", "107 (20–150)", "50"]
    assert rows["known truths", "real"] == ["0", "0", "1–2"] and rows["v sin i \\[km/s\\]", "real"] == ["0.0"] * 3


@pytest.mark.parametrize(("shift", "says"), [(79.0, "all goals are met"), (81.0, "2 of 3 goals are met")])
def test_the_goals_choose_what_is_said_of_real_stars(tmp_path, shift, says):
    (only,) = landing_page.verdict(real(tmp_path, {"GJ 699": [0.0], "VB 10": [0.0]}, shift=shift))
    assert says in only and only.startswith(landing_page.REAL) and f"{shift:.0f}\xa0K in Teff" in only


def test_without_records_nothing_is_claimed(tmp_path):
    files = landing_page.landing_files(tmp_path)
    assert list(files) == ["verdict.md", "landing.md"] and "Not measured yet" in files["verdict.md"]
    assert not re.search(r"better|helps|\d", "".join(files.values())) and landing_page.verdict(tmp_path) == []


@pytest.mark.slow
def test_the_page_is_that_of_the_records_in_the_package():
    files = landing_page.landing_files()
    text, rows = files["landing.md"], rows_of(files["landing.md"])
    errors = benchmark_tables.read("arms", "errors")
    surveys = benchmark_tables.read("ensemble", "errors")["seed"].unique()  # of these the ensemble is known
    own = errors[(errors["arm"] == "combined") & (errors["region"].astype(str) == "all")]
    own = own[own["seed"].isin(surveys)]
    assert own["seed"].nunique() >= 5
    for p, name in (("teff", "Teff \\[K\\]"), ("mh", "\\[M/H\\]")):
        value = own.loc[own["parameter"] == p, "rmse"].median()
        assert rows[name, "simulated"][2].startswith(f"{value:.0f} (" if p == "teff" else f"{value:.2f} (")
    assert text.count("bdg-") >= 10 and files["verdict.md"].count("bdg-") == 3 == len(landing_page.verdict())
    assert records.read("paper_ensemble")["made"] in text and files["gap.svg"].startswith(b"<?xml")
    assert files["gap.svg"] == landing_page.landing_files()["gap.svg"]


# ---------------------------------------------------------------- the page of results


def test_a_run_is_called_the_quick_start_only_if_it_is_one():
    def text(profile, **figures):
        return results_page.run_size(SimpleNamespace(config=SimpleNamespace(profile=profile), figures=figures))

    assert "quick start" in text("demo", n_autoencoders=3, n_regressors_trained=48)
    assert "3 autoencoders and 48 regressors, where the paper has 26 and 520" in text(
        "demo", n_autoencoders=3, n_regressors_trained=48
    )
    assert "no scientific meaning" in text("smoke") and "quick start" not in text("smoke") + text("paper-fast")
    assert "not those of the paper's size" not in text("paper-fast")


def errors_of_a_run(better=("teff",)):
    rows = [
        {"parameter": p, "estimates": name, "known truths": 9 * (name == "recommended"), "stars": 41, "bias": -1.0}
        | {"rmse": {"fine-tuned": 2.0, "not fine-tuned": 3.0 if p in better else 2.0}.get(name, 1.0), "coverage": 0.5}
        for p in PARAMETERS
        for name in ("fine-tuned", "not fine-tuned", "recommended")
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("better", "says"), [(("teff", "mh"), "without in Teff and \\[M/H\\]."), ((), "without in no parameter.")]
)
def test_the_errors_of_a_run_are_on_the_same_stars_and_choose_the_sentence(monkeypatch, better, says):
    monkeypatch.setattr(benchmark_tables, "paper_and_recommended", lambda run: errors_of_a_run(better))
    text = results_page.run_errors(SimpleNamespace(truth=pd.DataFrame({p: [0.0, 2.0] for p in PARAMETERS})))
    assert says in text and "on the 41 stars" in text and text.startswith(landing_page.SIMULATED)
    rows = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in cells(text)}
    assert rows["Teff \\[K\\]"][2] == "1 (−1), 50\xa0%" and rows["Teff \\[K\\]"][3] == "1"
    assert rows["known truths"] == ["0", "0", "9", "–"]


@pytest.mark.slow
def test_answers_say_what_the_records_say(tmp_path, monkeypatch):
    monkeypatch.setattr(results_page, "run_errors", lambda run: "")
    run = SimpleNamespace(config=SimpleNamespace(profile="demo"))
    text = results_page.results_files(run)["answers.md"]
    assert "*Fine-tuned* is " in text and "Goal, " in text and "fail silently" in text
    assert all(badge in text for badge in (landing_page.SIMULATED, landing_page.REAL))
    empty = results_page.results_files(run, tmp_path)["answers.md"]
    assert "Not recorded yet." in empty and "better" not in empty.partition("## And on other")[0]
