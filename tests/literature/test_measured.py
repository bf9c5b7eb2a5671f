"""Catalogues against measured parameters: known errors come out, and so do differences between catalogues."""

import numpy as np
import pandas as pd
import pytest

from dtl_core.literature import catalogues, measured
from dtl_core.parameters import ANCHOR_ERRORS


def frame(values, error=np.nan, parameter="teff"):
    out = pd.DataFrame({"karmn": [f"S{i:03d}" for i in range(len(values))]})
    for name in ("teff", "logg", "mh", "vsini"):
        out[name] = values if name == parameter else np.nan
    return out.assign(**{f"e_{parameter}": error, f"E_{parameter}": error})


def against(truth, parameter="teff"):
    return {parameter: ("M", truth)}


@pytest.mark.slow
def test_expected_rms_and_its_error_are_those_of_repeated_samples():
    rng = np.random.default_rng(1)
    rows = []
    for _ in range(60):
        true = rng.normal(3500, 300, 30)
        ours = frame(true + rng.normal(0, 80, 30), 80.0)
        rows.append(measured.accuracy({"ours": ours}, against(frame(true + rng.normal(0, 30, 30)))).iloc[0])
    table = pd.DataFrame(rows)
    assert (table["expected"] == np.hypot(80, ANCHOR_ERRORS["teff"])).all()  # the measurements quote none
    assert np.sqrt(np.mean(table["rms"].astype(float) ** 2)) == pytest.approx(np.hypot(80, 30), rel=0.06)
    assert table["rms_err"].mean() == pytest.approx(table["rms"].std(), rel=0.25)
    assert np.abs(table["bias"].mean()) < 3 * 85 / np.sqrt(30 * 60)


def test_a_bias_is_in_the_rms_and_not_in_what_is_expected():
    true = np.linspace(3000, 4000, 10)
    row = measured.accuracy({"ours": frame(true + 100, 40.0), "M": frame(true)}, against(frame(true, 0.0)))
    assert list(row.index) == [("teff", "ours")]  # the measurements are not compared with themselves
    row = row.iloc[0]
    assert (row["N"], row["bias"], row["expected"]) == (10, 100, 40) and row["rms"] == pytest.approx(100)
    assert np.isnan(row["rms_err"])  # no scatter to draw from
    few = measured.accuracy({"ours": frame(true[:3] + [1, 2, 4])}, against(frame(true[:3])))
    assert np.isnan(few["rms_err"].iloc[0]) and few["N"].iloc[0] == 3
    assert measured.accuracy({"ours": frame(true[:0])}, against(frame(true))).empty


def test_tuned_catalogues_are_named():
    true = np.linspace(3000, 4000, 10)
    table = measured.accuracy({"Mann15": frame(true), "Mar21": frame(true)}, against(frame(true)))
    assert table["tuned"].to_dict() == {("teff", "Mann15"): True, ("teff", "Mar21"): False}
    assert {name for names in measured.TUNED.values() for name in names} <= set(catalogues.SOURCES)
    assert {name for name, _ in measured.MEASURED.values()} <= set(catalogues.SOURCES)


def test_catalogues_are_compared_over_the_stars_of_both():
    rng = np.random.default_rng(2)
    true = rng.normal(3500, 300, 40)
    noise = rng.normal(0, 50, (3, 40))
    good, like, bad = (frame(true + factor * n) for factor, n in zip((1, 1, 3), noise, strict=True))
    truth = frame(true)
    same = measured.difference_of_rms(good, like.iloc[:30], truth, "teff")
    assert same["N"] == 30 and same["p"] > 0.05 and abs(same["difference"]) < 2 * same["error"]
    other = measured.difference_of_rms(good, bad, truth, "teff")
    assert other["difference"] < -50 and other["p"] < 0.01
    swapped = measured.difference_of_rms(bad, good, truth, "teff")
    assert swapped["difference"] == pytest.approx(-other["difference"]) and swapped["p"] == pytest.approx(other["p"])
    none = measured.difference_of_rms(good, bad.iloc[:1], truth, "teff")
    assert none["N"] == 1 and np.isnan(none["p"])
    alike = measured.difference_of_rms(good, good, truth, "teff")
    assert alike["difference"] == 0 and alike["p"] == 1


@pytest.mark.slow
def test_differences_of_equal_catalogues_are_seldom_significant():
    rng, p = np.random.default_rng(3), []
    for _ in range(40):
        true = rng.normal(3500, 300, 14)
        one, two = (frame(true + rng.normal(0, 80, 14)) for _ in range(2))
        p.append(measured.difference_of_rms(one, two, frame(true), "teff")["p"])
    assert np.mean(np.array(p) < 0.05) < 0.2 and np.mean(p) == pytest.approx(0.5, abs=0.14)


def test_sentences_say_within_or_beyond_by_the_numbers():
    rng = np.random.default_rng(4)
    true = rng.normal(3500, 300, 40)
    frames = {
        "Published": frame(true + rng.normal(0, 50, 40), 50.0),
        "Pass20": frame(true + rng.normal(0, 50, 40), 50.0),
    }
    text = measured.sentences(frames, against(frame(true)), measured.accuracy(frames, against(frame(true))))
    assert "40 stars" in text[0] and "within the spread" in text[0] and text[1].startswith("- 0 of 2")
    frames["Pass20"] = frame(true + rng.normal(0, 200, 40), 50.0)
    text = measured.sentences(frames, against(frame(true)), measured.accuracy(frames, against(frame(true))))
    assert "beyond the spread" in text[0] and text[1].startswith("- 1 of 2")


def test_bars_hold_or_are_too_short():
    rng = np.random.default_rng(5)
    true = rng.normal(3500, 300, 60)
    values = true + rng.normal(0, 60, 60)
    bars = {error: measured.bars(frame(values, error), against(frame(true, 0.0))).loc["teff"] for error in (60.0, 15.0)}
    assert not bars[60.0]["short"] and bars[15.0]["short"]
    assert bars[15.0]["needed"] == pytest.approx(58, abs=20)


@pytest.mark.slow
@pytest.mark.data
def test_accuracy_of_the_published_catalogues():
    """The rms of the paper and of Pass20, over all measured stars."""
    frames = {"Published": catalogues.read_published()} | catalogues.read_sources()
    benchmarks = {p: (name, frames[name]) for p, (name, _) in measured.MEASURED.items()}
    table = measured.accuracy(frames, benchmarks)
    expected = {
        "teff": (14, 166.7, 161.4),
        "mh": (6, 0.225, 0.357),
        "logg": (278, 0.088, 0.120),
        "vsini": (41, 3.28, 3.18),
    }
    for p, (n, *rms) in expected.items():
        rows = table.loc[p].loc[["Published", "Pass20"]]
        assert rows["N"].tolist() == [n, n]
        np.testing.assert_allclose(rows["rms"].astype(float), rms, rtol=0.006)
    within = {p: measured.difference_of_rms(*(frames[n] for n in ("Published", "Pass20")), benchmarks[p][1], p)["p"]
              for p in expected}  # fmt: skip
    assert within["logg"] < 0.01 and min(within["teff"], within["mh"], within["vsini"]) > 0.05
    assert (table.loc["teff"]["rms"] > table.loc["teff"]["expected"]).all()
    bars = measured.bars(frames["Published"], benchmarks)
    assert bars["short"].to_dict() == {"teff": True, "logg": True, "mh": False, "vsini": True}
