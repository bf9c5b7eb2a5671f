"""The benchmarks run, and their record keeps what others measured before."""

import json
import sys
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import confirm
import own_stars
import prediction
import profiles
import run as benchmarks
import survey
import transfer

from book.maker import benchmark_page
from dtl_core.errors import DataError
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import records

pytestmark = pytest.mark.uses_smoke


def test_parts_are_named_with_and_without_a_profile():
    assert benchmarks.expand(["chain", "profiles:smoke"]) == [("chain", None), ("profiles", "smoke")]
    everything = benchmarks.expand([])
    assert ("accuracy", "paper") in everything and ("prediction", "paper-fast") in everything
    assert len(everything) == len(set(everything)) >= 12
    for wrong in ("chains", "chain:demo"):
        with pytest.raises(click.UsageError, match=f"no such part: {wrong}; known: training"):
            benchmarks.expand([wrong])


def test_a_part_replaces_itself_and_nothing_else(tmp_path):
    benchmarks.add("chain", {"a": 1}, folder=tmp_path)
    benchmarks.add("profiles", {"b": 1}, "demo", tmp_path)
    benchmarks.add("profiles", {"b": 2}, "paper", tmp_path)
    path = benchmarks.add("profiles", {"b": 3}, "demo", tmp_path)
    found = json.loads(path.read_text())["values"]
    (chain,) = {name for name in found if name.startswith("chain")}
    (other,) = {name for name in found if name.startswith("profiles")}
    assert found[chain]["values"] == {"a": 1}
    assert {name: entry["values"] for name, entry in found[other].items()} == {"demo": {"b": 3}, "paper": {"b": 2}}


def test_prediction_counts_its_stars_and_its_page_can_be_written(smoke, tmp_path):
    found = prediction.rates(smoke, 300)
    assert [row["stars"] for row in found["rows"]] == [100] and found["autoencoders"] == len(smoke.architectures)
    assert found["regressors"] == 8 * len(PARAMETERS) and 0 < found["network_share"] < 1
    assert found["rows"][0]["memory"] > 1e8
    benchmarks.add("prediction", found, "smoke", tmp_path)
    assert "**smoke**: 4 autoencoders, 32 regressors" in benchmark_page.benchmark_page(tmp_path)


@pytest.mark.nightly
def test_own_stars_are_timed_and_their_part_of_the_page_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(own_stars, "REPEATS", 1)
    found = own_stars.measure(6, workers=1)
    assert found["files"] == 6 and found["ratio"][0] > 1 and found["per_second"]["one process"] > 0.2
    assert found["seconds"]["import torch"] < found["seconds"]["predict"] < 300
    benchmarks.add("own_stars", found, folder=tmp_path)
    assert "6 here, one process reads" in benchmark_page.benchmark_page(tmp_path)


def test_a_profile_is_timed_from_nothing_only(smoke):
    with pytest.raises(DataError, match="has results already"):
        profiles.measure("smoke", smoke.store.root)


def test_what_a_profile_achieved_is_what_its_catalogue_says(smoke, tmp_path):
    found = profiles.quality(smoke)
    errors = smoke.arrays("catalogue", "selection")["test_mse_mh"]
    assert found["kept_test_mse"]["mh"] == pytest.approx(np.quantile(np.sort(errors)[:8], [0, 0.5, 1]))
    truth = smoke.truth["teff"].to_numpy()
    difference = smoke.catalogue_of("direct")["Teff"][: len(truth)] - truth  # real stars, if any, come after
    assert found["survey"]["direct"]["teff"]["rmse"] == pytest.approx(np.sqrt(np.mean(difference**2)))
    assert records.write("x", found, tmp_path).exists()


@pytest.mark.nightly
def test_a_survey_is_timed_and_its_part_of_the_page_can_be_written(tmp_path):
    found = survey.measure((6,), (1,))
    (row,) = found["rows"]
    assert row["stars"] == 6 and row["workers"] == 1 and row["seconds"] > 1 and row["export_seconds"] > 0.1
    assert 1e8 < row["memory_each"] <= row["memory_all"] < 3e9
    assert row["store_bytes"] > 6 * 4000 * 4 * 0.5 and 100 < row["catalogue_bytes"] / 6 < 20_000
    benchmarks.add("survey", found, folder=tmp_path)
    page = benchmark_page.benchmark_page(tmp_path)
    assert page.count(f"{found['distinct']} simulated stars, repeated with different noise") == 1
    assert "the catalogue of 6 stars as one FITS table in" in page
    assert "| 6 | 1 |" in page and "1\N{NO-BREAK SPACE}221 jobs" in page


def test_transfer_measures_what_is_missing_or_stale_and_what_is_named(tmp_path, monkeypatch):
    measured = []

    def part(name):
        def measure(root, seed):
            measured.append((name, seed))
            found = {"errors": [pd.DataFrame({"seed": [seed, seed], "value": [1.0, 2.0]})]}
            return found | ({"once": [pd.DataFrame({"a": [seed]})]} if seed == 2 else {"once": []})

        return measure, (1, 2)

    monkeypatch.setattr(transfer, "PARTS", {name: part(name) for name in transfer.PARTS})
    everything = ["arms", "ensemble", "kinds", "strengths", "anchors", "recommended", "real"]

    def called(*arguments, results="runs"):
        measured.clear()
        folders = ["--folder", str(tmp_path), "--results", str(tmp_path / results)]
        done = CliRunner().invoke(transfer.main, [*arguments, *folders])
        assert done.exit_code == 0, done.output
        return list(measured)

    assert called() == [(name, seed) for name in everything for seed in (1, 2)] and called() == []
    values = records.read("transfer", tmp_path)["values"]["kinds"]["values"]
    assert values == {"errors": ["seed,value", "1,1", "1,2", "2,1", "2,2"], "once": ["a", "2"]}
    # what a survey gave is found again, but not with other code, and not in another folder
    assert called("real") == [] and called("real", results="others") == [("real", 1), ("real", 2)]
    records.add("transfer", "strengths", {}, folder=tmp_path)  # as before there were hashes
    assert records.stale("transfer", tmp_path) == ["strengths"] and called() == []
    assert records.read("transfer", tmp_path)["values"]["strengths"]["values"]["once"] == ["a", "2"]
    monkeypatch.setattr(transfer, "CODE", ("benchmarks.transfer",))
    assert called("real") == [("real", 1), ("real", 2)]
    path = tmp_path / "transfer.json"
    assert {"dtl_core.bridging.benchmark", "dtl_core.bridging.methods"} <= set(
        json.loads(path.read_text())["values"]["arms"]["code"]
    )
    path.write_text("{}")
    assert [name for name, seed in called() if seed == 1] == [name for name in everything if name != "real"]


def test_an_interrupted_measurement_goes_on_with_the_survey_that_it_lacks(tmp_path, monkeypatch):
    measured = []

    def measure(root, seed):
        measured.append(seed)
        if seed == 3 and len(measured) < 4:
            raise KeyboardInterrupt
        return {"errors": [pd.DataFrame({"seed": [seed]})]}

    monkeypatch.setattr(transfer, "PARTS", {"arms": (measure, (1, 2, 3, 4))})
    with pytest.raises(KeyboardInterrupt):
        list(transfer.measure(["arms"], tmp_path))
    assert dict(transfer.measure(["arms"], tmp_path)) == {"arms": {"errors": ["seed", "1", "2", "3", "4"]}}
    assert measured == [1, 2, 3, 3, 4]


def test_the_parts_of_the_benchmarks_know_their_code(tmp_path):
    benchmarks.add("chain", {"a": 1}, folder=tmp_path)
    assert records.stale("benchmarks", tmp_path) == []
    for part in (*benchmarks.PARTS, *benchmarks.BY_PROFILE):
        assert benchmarks.CODE[part][0] == f"benchmarks.{part}" and len(benchmarks.CODE[part]) > 1
    assert "dtl_core.cli.predicting" in benchmarks.CODE["own_stars"]


@pytest.mark.parametrize("found", [{}, {"arms": {"errors": ["b"]}}, {"arms": {"errors": ["a"], "gaps": ["c"]}}])
def test_a_record_is_not_confirmed_for_code_that_finds_something_else(tmp_path, monkeypatch, found):
    records.add("transfer", "arms", {"a": 1}, folder=tmp_path, code=["dtl_core.errors"])
    entry = records.read("transfer", tmp_path)["values"]["arms"]
    told = {"arms": {"errors": ["a"]}}
    runs = [{"code": entry["code"], "found": told}, {"code": {"dtl_core.files": "new"}, "found": found}]
    monkeypatch.setattr(confirm, "small_runs", lambda name, commit, workers: runs)
    with pytest.raises(DataError, match="abc finds other values: arms, .*; measure arms again"):
        confirm.main(["transfer", "abc", "--folder", str(tmp_path)], standalone_mode=False)
    assert records.read("transfer", tmp_path)["values"]["arms"] == entry
    runs[1]["found"] = told
    confirm.main(["transfer", "abc", "--folder", str(tmp_path)], standalone_mode=False)
    assert records.read("transfer", tmp_path)["values"]["arms"]["code"] == {"dtl_core.files": "new"}


def test_of_a_record_the_parts_that_are_equal_are_confirmed(tmp_path, monkeypatch):
    for part in ("arms", "kinds"):
        records.add("transfer", part, {"a": 1}, folder=tmp_path, code=["dtl_core.errors"])
    before = records.read("transfer", tmp_path)["values"]
    tables = {"errors": ["a"]}
    runs = [
        {"code": before["arms"]["code"], "found": {"arms": tables, "kinds": tables}},
        {"code": {"dtl_core.files": "new"}, "found": {"arms": tables, "kinds": {"errors": ["b"]}}},
    ]
    monkeypatch.setattr(confirm, "small_runs", lambda name, commit, workers: runs)
    with pytest.raises(DataError, match="abc finds other values: kinds, errors; measure kinds again"):
        confirm.main(["transfer", "abc", "--folder", str(tmp_path)], standalone_mode=False)
    after = records.read("transfer", tmp_path)["values"]
    assert after["kinds"] == before["kinds"] and after["arms"]["code"] == {"dtl_core.files": "new"}
