"""Records keep what was measured, with its day and machine; the page of benchmarks says what they say, no more."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from book.maker import benchmark_page
from dtl_core import machine, source_code
from dtl_core.config import PROFILES, load_profile
from dtl_core.errors import DataError
from dtl_core.parameters import PARAMETERS, PUBLISHED_ERRORS
from dtl_core.pipeline import records
from dtl_core.pipeline.training_curves import curves_in_time, seconds_until


def test_a_record_comes_back_with_its_day_and_machine(tmp_path):
    path = records.write("some", {"a": [1.5, float("nan"), float("inf")], "b": {"c": (2, None)}}, tmp_path)
    found = records.read("some", tmp_path)
    assert found["values"] == {"a": [1.5, None, None], "b": {"c": [2, None]}}
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", found["made"]) and found["machine"]["cores"] >= 1
    assert records.names(tmp_path) == ["some"]
    path.write_text(path.read_text()[:-30])
    with pytest.raises(DataError, match="cannot be read"):
        records.read("some", tmp_path)
    path.write_text(json.dumps({"made": "today"}))
    with pytest.raises(DataError, match="cannot be read"):
        records.read("some", tmp_path)
    with pytest.raises(DataError, match="no such record") as error:
        records.read("other", tmp_path)
    assert "known: some" in str(error.value)


def test_memory_of_this_process_is_known_and_begins_anew():
    machine.reset_peak_memory()
    before = machine.peak_memory()
    block = np.ones(25_000_000)  # 200 MB
    assert machine.peak_memory() - before > 1.8e8
    del block
    machine.reset_peak_memory()
    assert machine.peak_memory() - before < 1e8


def test_the_committed_records_are_whole_and_name_no_path_of_a_machine():
    assert set(records.names()) >= {"searches", "benchmarks"}
    for name in records.names():
        text = (records.FOLDER / f"{name}.json").read_text()
        assert not re.search(r'"/|/home|/tmp|/work', text), name
        records.read(name)


def test_the_search_on_record_is_of_the_papers_size_and_gives_the_defaults():
    values = records.read("searches")["values"]
    grid = values["autoencoders"]
    assert len(grid["width"]) >= 52 and values["search"]["folds"] == 4 and values["profile"] in PROFILES
    assert len(set(grid["width"])) == 5 and len(set(grid["l1"])) == 6 and len(set(grid["learning_rate"])) >= 2
    table = values["regressors"]
    columns = zip(table["parameter"], table["filters"], table["units"], strict=True)
    tried = {(name, tuple(filters), tuple(units)) for name, filters, units in columns}
    assert tried >= {(name, (64, 32), (256, 128, 64)) for name in PARAMETERS}
    fast = load_profile(values["profile"])
    for name in ("logg", "mh", "vsini"):
        best = values["chosen"][name]
        net = getattr(fast.regression, name)
        assert (list(net.filters), list(net.units)) == (best["filters"], best["units"])
        assert net.learning_rate == best["learning_rate"]
        default = getattr(load_profile("paper").regression, name)
        assert (default.filters, default.units) == (net.filters, net.units)
    assert fast.regression.teff.learning_rate == values["chosen"]["teff"]["learning_rate"]  # its shape is published


def test_time_until_an_error_is_the_end_of_the_first_epoch_below_it():
    assert seconds_until([5, 3, 4, 2], [10, 20, 30, 40], 3) == 20
    assert seconds_until([5, 3], [10, 20], 1) is None


@pytest.fixture
def folder(tmp_path):
    """A record with one part of each kind; numbers that could not come from elsewhere."""
    epochs = list(np.arange(1, 11) * 7.0)
    errors = {name: [[4 * PUBLISHED_ERRORS[name] / k] for k in range(1, 11)] for name in PARAMETERS}
    curves = {
        "width": 1024, "l1": 1e-7, "pixels": 3501, "spectra": 10_000,
        "autoencoder": {"seconds": epochs, "test_mse": list(1e-3 / np.arange(1, 11)), "live_units": 17},
        "transfer": {"seconds": 2.0},
        "regressors": {"together": 4, "seconds": epochs, "test_mse": errors},
    }  # fmt: skip
    rates = {"peak": 8e10, "autoencoder": 1000.0, "regressors 1": 7000.0, "Keras autoencoder": 500.0,
             "Keras regressor": 3500.0}  # fmt: skip
    ratios = {"autoencoder / peak": [0.71, 0.7, 0.72], "regressors 26 / Keras": [3.33, 3.1, 3.5]}
    described = {"gpu": None, "processor": "Some | chip", "cores": 2, "memory_gb": 23.4, "python": "3.11", "torch": "2"}

    def measured(values, day=2):
        return {"made": f"2026-01-0{day}", "machine": described, "values": values}

    encoders = {
        encoder: {name: {"rmse": 1.25, "coverage": 77} for name in PARAMETERS} for encoder in ("direct", "transfer")
    }
    stages = {"catalogue": {"seconds": 130.0, "memory": 1.5e9, "results": 1}}
    profile = {"wall_seconds": 7300.0, "stages": stages, "autoencoders": 26, "stars": 286, "survey": encoders,
               "kept_test_mse": dict.fromkeys(PARAMETERS, [0.001, 0.002, 0.003])}  # fmt: skip
    prediction = {"autoencoders": 26, "regressors": 320, "pixels": 1168, "workers": 2, "stars_per_second": 123.4,
                  "network_share": 0.5, "rows": [{"stars": 10**6, "seconds": 600.0, "memory": 2e9}]}  # fmt: skip
    parts = {
        "training": measured({"rates": rates, "ratios": ratios, "keras": ["keras==3"], "rounds": 3}),
        "accuracy": {"paper": measured(curves), "paper-fast": measured(curves, 3), "other": measured(curves)},
        "profiles": {"paper-fast": measured(profile, 4)},
        "prediction": {"paper-fast": measured(prediction, 5) | {"machine": described | {"cores": 1}}},
    }
    records.write("benchmarks", parts, tmp_path)
    return tmp_path


def test_the_page_says_what_was_measured_and_what_was_not(folder):
    page = benchmark_page.benchmark_page(folder)
    assert "| 0.71 (0.70–0.72) |" in page and "regressors, 26 together" in page and "3.33 (3.10–3.50)" in page
    assert page.count("Not measured yet.") == 5 and "*Not yet run on a GPU.*" in page
    assert page.count("Measured on 2026-01-02: Some \\| chip, 2 cores, 23") == 2
    assert "Measured on 2026-01-05: Some \\| chip, 1 core, 23" in page
    assert "`paper`, `other`: *Measured on 2026-01-02" in page and "`paper-fast`: *Measured on 2026-01-03" in page
    assert "**paper-fast**: 2.0\N{NO-BREAK SPACE}h from an empty store, 26 autoencoders" in page
    assert "| log g | 0.002 (0.001–0.003) | 0.0042\N{NO-BREAK SPACE}dex² | 1.25 (77 of 286) |" in page
    assert "| 1 000 000 | 10 min | 2.00 GB |" in page.replace("\N{NO-BREAK SPACE}", " ")
    assert "That is 123 stars per second" in page and "the networks take 50% of the time" in page
    # 4 / k reaches the published error at epoch 4; the autoencoder took 70 s, a regressor a quarter of 4 x 7 s
    fast = [line for line in page.splitlines() if line.startswith("| paper-fast | Teff")]
    assert "| 77\N{NO-BREAK SPACE}s |" in fast[0]
    # in Keras: 10 epochs of 7000 spectra at 500 a second, 4 epochs at 3500 a second
    slow = [line for line in page.splitlines() if line.startswith("| paper | Teff")]
    assert slow[0].endswith("| 77\N{NO-BREAK SPACE}s | 2\N{NO-BREAK SPACE}min |")  # 140 + 8 seconds


def test_a_gpus_figures_stand_beside_those_of_the_cpu(folder):
    found = records.read("benchmarks", folder)["values"]
    gpu = found["training"] | {"machine": found["training"]["machine"] | {"gpu": "Some GPU"}}
    records.write("benchmarks", found | {"training (GPU)": gpu}, folder)
    page = benchmark_page.benchmark_page(folder)
    assert "Not yet run on a GPU" not in page and "### training (GPU)" in page and "Some GPU" in page


def test_without_a_record_the_page_is_there_and_says_so(tmp_path):
    assert benchmark_page.benchmark_page(tmp_path).count("Not measured yet.") == 9


def test_curves_are_shown_at_the_measured_speeds(folder):
    found = records.read("benchmarks", folder)["values"]
    curves = curves_in_time(found, "autoencoder")
    assert list(curves) == ["paper, in Keras", "paper, here", "paper-fast", "other"]
    np.testing.assert_allclose(curves["paper, in Keras"][0], 14.0 * np.arange(1, 11))  # 7000 spectra at 500 a second
    np.testing.assert_allclose(curves["paper, here"][0], 7.0 * np.arange(1, 11))
    assert curves_in_time(found, "mh")["paper-fast"][0][0] == 7.0 / 4


def test_a_table_comes_back_from_its_lines():
    table = pd.DataFrame({"arm": ["no transfer", "a, b"], "value": [1234.5678, -1e-7], "p": [0.5, float("nan")]})
    lines = records.lines(table)
    assert len(lines) == 3 and all(isinstance(line, str) and "\n" not in line for line in lines)
    pd.testing.assert_frame_equal(records.frame(json.loads(json.dumps(lines))), table, rtol=1e-4)


def test_a_part_is_put_beside_the_others(tmp_path):
    records.add("bench", "one", {"a": 1}, folder=tmp_path)
    records.add("bench", "two", {"b": 2}, "demo", tmp_path)
    records.add("bench", "two", {"b": 3}, "paper", tmp_path)
    records.add("bench", "one", {"a": 4}, folder=tmp_path)
    found = records.read("bench", tmp_path)["values"]
    assert found["one"]["values"] == {"a": 4} and found["one"]["made"] and found["one"]["machine"]["cores"] >= 1
    assert {name: entry["values"] for name, entry in found["two"].items()} == {"demo": {"b": 2}, "paper": {"b": 3}}


# ---------------------------------------------------------------- the code behind a record


@pytest.fixture
def measured(tmp_path):
    """A record with a part of this code, one of other code, and one with two profiles, of which one has no code."""
    records.add("bench", "old", {"a": 1}, folder=tmp_path)
    records.add("bench", "new", {"a": 1}, folder=tmp_path, code=["benchmarks.transfer", "dtl_core.errors"])
    records.add("bench", "both", {"b": 2}, "demo", tmp_path, code=["dtl_core.errors"])
    records.add("bench", "both", {"b": 2}, "paper", tmp_path)
    return tmp_path


def test_parts_are_stale_without_code_and_when_it_changes_but_not_when_other_code_does(measured, monkeypatch):
    assert records.stale("bench", measured) == ["old", "both:paper"]
    entry = records.read("bench", measured)["values"]["new"]
    assert set(entry["code"]) == {"benchmarks.transfer", "dtl_core.errors"} and not records.is_stale(entry)
    assert not records.is_stale(entry | {"made": "2020-01-01"})
    for module in entry["code"]:
        assert records.is_stale(entry | {"code": entry["code"] | {module: "0" * 20}})
    assert records.is_stale(entry | {"code": entry["code"] | {"dtl_core.gone": "0" * 20}})
    monkeypatch.setattr(records, "_SCRIPTS", False)  # as in an installed package
    assert not records.is_stale(entry | {"code": entry["code"] | {"benchmarks.transfer": "0" * 20}})
    assert records.is_stale(entry | {"code": {"benchmarks.transfer": entry["code"]["benchmarks.transfer"]}})


def test_the_hash_of_a_module_is_that_of_all_that_it_imports_and_of_a_script_its_own(monkeypatch, tmp_path):
    hashes = records._hashes(["dtl_core.estimates.gap", "benchmarks.training"])
    monkeypatch.setattr(source_code, "versions", lambda: {"numpy": "other"})  # the machine has the versions
    assert records._hashes(hashes) == hashes
    own = source_code._SOURCES["benchmarks.training"]
    for module, text, altered in (
        ("dtl_core.errors", source_code._SOURCES["dtl_core.errors"], "dtl_core.estimates.gap"),
        ("benchmarks.training", own, "benchmarks.training"),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(source_code._SOURCES, module, text + "\nchanged = 1\n")
            source_code._parsed.cache_clear(), source_code.code_hashes.cache_clear()
            now = records._hashes(hashes)
            assert [name for name in now if now[name] != hashes[name]] == [altered]
        source_code._parsed.cache_clear(), source_code.code_hashes.cache_clear()


def test_the_code_of_a_script_is_its_text_and_what_it_imports(tmp_path):
    code = records.code_of_script("benchmarks/training.py", "dtl_core.errors", without=["dtl_core.config"])
    assert code[0] == "benchmarks.training" and "dtl_core.errors" in code and "dtl_core.networks.training" in code
    assert "dtl_core.config" not in code and "dtl_core.pipeline.records" not in code


def test_a_sentence_says_when_a_record_was_measured_and_that_its_code_has_changed(measured):
    made = records.read("bench", measured)["made"]
    assert records.origin("bench", measured) == (
        f"Old, both:paper: measured with the code of {made}; the code has changed since. "
        f"New, both:demo: measured on {made}."
    )
    records.write("whole", {"a": {"b": 1}}, measured)
    assert records.stale("whole", measured) == ["whole"]
    assert records.origin("whole", measured) == f"Measured with the code of {made}; the code has changed since."
    records.write("whole", {"a": {"b": 1}}, measured, code=["dtl_core.errors"])
    assert records.stale("whole", measured) == [] and records.origin("whole", measured) == f"Measured on {made}."


def test_later_code_that_finds_the_same_takes_the_place_of_the_code_that_measured(measured):
    before, present = records.read("bench", measured)["values"], records._hashes(["dtl_core.errors"])
    assert records.confirm("bench", ["new"], {"dtl_core.errors": "0" * 20}, present, measured) == []
    assert records.confirm("bench", ["old", "both"], before["new"]["code"], present, measured) == []
    assert records.read("bench", measured)["values"] == before
    assert records.confirm("bench", ["new", "other"], before["new"]["code"], present, measured) == ["new"]
    after = records.read("bench", measured)["values"]
    day = after["new"].pop("confirmed")
    assert after == before | {"new": before["new"] | {"code": present}}
    assert records.dated(after["new"] | {"confirmed": day}).endswith(f", confirmed for later code on {day}")
    assert records.is_stale(after["new"] | {"confirmed": day, "code": {"dtl_core.errors": "0" * 20}})


def test_the_page_of_benchmarks_says_which_parts_have_other_code(folder):
    page = benchmark_page.benchmark_page(folder)
    assert "Measured with the code of 2026-01-02; the code has changed since.*" in page
    found = records.read("benchmarks", folder)["values"]
    fresh = found["training"] | {"code": records._hashes(["dtl_core.errors"])}
    records.write("benchmarks", {"training": fresh}, folder)
    assert "the code has changed since" not in benchmark_page.benchmark_page(folder)
