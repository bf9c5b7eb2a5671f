"""The paper's numbers one by one: what agrees and what does not, and that nothing agrees without being recomputed."""

import dataclasses
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from book.maker import fidelity
from book.maker.fidelity import fidelity_page, fidelity_table, status
from book.maker.statements import SECTIONS, STATEMENTS, STATUSES, Statement
from dtl_core.config import load_profile
from dtl_core.errors import DataError
from dtl_core.public_data.registry import data_mirror

pytestmark = pytest.mark.uses_smoke

ROOT = Path(__file__).resolve().parents[2]
MIRROR = data_mirror()
ABSENT = "not available"
N_AGREE = 59
EXPECTED_TO_DIFFER = {
    "vsini_max",
    "l1",
    "mar21_teff_pearson_r_all",
    "bello23_mh_mean_diff_all",
    "schw19_logg_mean_diff_all",
}
TABLES = {s.key for s in STATEMENTS if s.recompute and s.status == "agrees"}
RUN = SimpleNamespace(
    config=load_profile("smoke"),
    figures={"n_survey": 286, "reconstruction_before": 0.00234, "worst_kept_mse_teff": 1234.5},
    truth=pd.DataFrame({"karmn": ["S001", "S002"]}),
    catalogue_of=lambda name: Table(
        {"Teff": [3000.0, 3500.0, 9.0], "logg": [4.8, 5.0, 9.0], "[M/H]": [-0.5, 0.1, 9.0]}
    ),
)


@pytest.fixture
def no_data(monkeypatch, tmp_path):
    monkeypatch.delenv("DTL_DATA", raising=False)
    monkeypatch.setenv("DTL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def mirror(monkeypatch, tmp_path):
    """A copy of the public tables that a test may change."""
    shutil.copytree(MIRROR / "published", tmp_path / "published", copy_function=shutil.copyfile)
    shutil.copyfile(MIRROR / "phoenix_labels.npy", tmp_path / "phoenix_labels.npy")
    (tmp_path / "published").chmod(0o755)
    monkeypatch.setenv("DTL_DATA", str(tmp_path))
    return tmp_path


def cells(text):
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def test_statements_are_many_whole_and_have_their_own_keys():
    assert len(STATEMENTS) >= 55 and len({s.key for s in STATEMENTS}) == len(STATEMENTS)
    assert {s.section for s in STATEMENTS} == set(SECTIONS)
    assert len({(s.section, s.what) for s in STATEMENTS}) == len(STATEMENTS)
    for s in STATEMENTS:
        assert s.status in set(STATUSES) - {"differs", ABSENT} and s.step > 0, s.key
        assert (s.recompute is not None) == (s.status in ("agrees", "as configured")), s.key
        assert s.reason or s.recompute or s.from_run, s.key
        for value in s.published if isinstance(s.published, tuple) else (s.published,):  # printed with those digits
            assert value / s.step == pytest.approx(round(value / s.step), abs=1e-6), s.key


def test_a_value_agrees_when_it_rounds_to_the_digits_that_are_printed():
    one = Statement("r", "literature", "r", 0.95, step=0.01, recompute=lambda public: None)
    assert status(one, 0.9451) == status(one, 0.9549) == "agrees"
    assert status(one, 0.9449) == status(one, 0.956) == status(one, np.nan) == "differs"
    assert status(one, None) == ABSENT
    assert status(dataclasses.replace(one, recompute=None, status="run only"), 0.95) == "run only"
    several = dataclasses.replace(one, published=(64, 32), step=1.0, status="as configured")
    assert status(several, (64, 32)) == "as configured"
    assert status(several, (64, 31)) == status(several, (64,)) == "differs"


def test_numbers_are_shown_with_the_digits_that_they_have():
    minus, nbsp = "\N{MINUS SIGN}", "\N{NO-BREAK SPACE}"
    assert fidelity._shown(-0.0393, 0.01, 2) == f"{minus}0.0393" and fidelity._shown(-1.0, 0.1) == f"{minus}1.0"
    assert fidelity._shown(449_806, 1.0) == f"449{nbsp}806" and fidelity._shown(3501, 1.0, 2) == "3501"
    assert fidelity._shown((0.8e-7, 1.1e-7), 1e-8) == f"8{nbsp}×{nbsp}10⁻⁸, 1.1{nbsp}×{nbsp}10⁻⁷"
    assert fidelity._shown(None, 1.0) == "" and fidelity._shown(np.nan, 1.0) == "not a number"
    assert fidelity._setting_shown((0.003, 64), 0.01) == "0.003, 64"


def test_without_data_every_row_is_there_and_none_agrees(no_data):
    found = fidelity_table(RUN)
    assert list(found["key"]) == [s.key for s in STATEMENTS]
    assert set(found.loc[found["status"] == ABSENT, "key"]) == TABLES
    assert "agrees" not in set(found["status"]) and set(found.loc[found["status"] == "differs", "key"]) == {"l1"}
    assert found.loc[found["status"] == "as configured", "recomputed"].notna().all()
    page = fidelity_page(RUN)
    shown = [row for row in cells(page) if len(row) == 5 and row[0] not in ("statement", "---")]
    assert len(shown) == len(STATEMENTS) and f"{len(STATEMENTS)} statements:" in page
    assert "`dtl data fetch`" in page and "{ref}`real data <real-data>`" in page
    assert sum(row[2] == row[4] == ABSENT for row in shown) == len(TABLES)
    assert "interferometric Teff" not in page  # the coverage needs tables as well


def test_page_counts_what_it_shows(no_data):
    page = fidelity_page(RUN)
    counts = {row[0]: int(row[1]) for row in cells(page) if len(row) == 3 and row[0] in STATUSES}
    verdicts = [row[4].replace("*", "").split(".")[0] for row in cells(page) if len(row) == 5]
    verdicts = [verdict for verdict in verdicts if verdict not in ("status", "---")]
    assert sum(counts.values()) == len(STATEMENTS)
    assert counts == {name: verdicts.count(name) for name in counts}
    assert [title for title in re.findall(r"^## (.*)$", page, re.M)] == list(SECTIONS.values())
    assert fidelity_page(RUN) == page


def test_links_and_citations_lead_somewhere(no_data):
    page = fidelity_page(RUN)
    for link in re.findall(r"\]\(([^)]+)\)", page):
        name = (ROOT / "book" / "generated" / link).resolve().relative_to(ROOT / "book").as_posix()
        assert (ROOT / "book" / name).is_file() or name == "generated/registry.md", link
    bibliography = re.findall(r"^@\w+\{(\w+),", (ROOT / "book" / "references.bib").read_text(), re.M)
    cited = {key for keys in re.findall(r"\{cite:\w\}`([^`]+)`", page) for key in keys.split(",")}
    assert "masbuitrago2024" in cited and cited <= set(bibliography)
    assert "(real-data)=" in (ROOT / "book" / "data.md").read_text()
    assert "generated/fidelity" in (ROOT / "_toc.yml").read_text()
    assert "(generated/fidelity.md)" in (ROOT / "book" / "results.md").read_text()


def test_values_of_the_run_are_its_own(no_data):
    found = fidelity_table(RUN).set_index("key")
    assert found.loc["n_stars", "run"] == 286 and found.loc["before", "run"] == 0.00234
    assert found.loc["range_teff_max", "run"] == 3500.0  # the third star is none of the survey's
    assert found.loc["ae_epochs", "run"] == RUN.config.autoencoder.epochs
    assert found.loc["ae_epochs", "recomputed"] == load_profile("paper").autoencoder.epochs
    assert found.loc["after", "run"] is None and found.loc["snr", "run"] is None
    assert fidelity_table()["run"].isna().all()
    assert "profile `smoke`" in fidelity_page(RUN) and "1234.50" in fidelity_page(RUN)


def test_text_is_shown_as_it_is(no_data):
    hostile = "<script>|$x$ `{cite}` [a](b) *c* _d_"
    one = Statement("x", "data", hostile, 1, hostile, status="not tested", where=hostile, reason=hostile)
    page = fidelity_page(RUN, (one,))
    (row,) = [row for row in cells(page) if len(row) == 5 and row[1].startswith("1")]
    assert "<script>" not in page.replace("\\<script\\>", "") and row[4].startswith("not tested. \\<script")
    assert row[0].count("\\[a\\](b) \\*c\\* \\_d\\_") == 2


def test_nothing_agrees_that_was_not_recomputed(no_data):
    def broken(public):
        raise DataError("is not a table")

    rows = tuple(dataclasses.replace(s, recompute=broken) for s in STATEMENTS if s.recompute)
    assert set(fidelity_table(RUN, rows)["status"]) == {ABSENT}
    kept = tuple(dataclasses.replace(s, recompute=lambda public: None) for s in STATEMENTS if s.recompute)
    assert set(fidelity_table(RUN, kept)["status"]) == {ABSENT}


@pytest.mark.data
def test_what_public_data_say_of_the_paper(monkeypatch):
    monkeypatch.setenv("DTL_DATA", str(MIRROR))
    found = fidelity_table(RUN)
    assert (found["status"] == "agrees").sum() >= N_AGREE and ABSENT not in set(found["status"])
    differs = found[found["status"] == "differs"]
    assert set(differs["key"]) == EXPECTED_TO_DIFFER and (differs["reason"].str.len() > 10).all()
    assert found.loc[found["status"].isin(["agrees", "as configured", "differs"]), "recomputed"].notna().all()
    reasons = differs.set_index("key")["reason"]
    spectroscopic = float(reasons["schw19_logg_mean_diff_all"].rsplit(" ", 1)[1].rstrip("."))
    assert round(spectroscopic, 2) == found.set_index("key").loc["schw19_logg_mean_diff_all", "published"]
    page = fidelity_page(RUN)
    assert ABSENT not in page and "0 of the 14 interferometric Teff and 2 of the 6" in page
    assert str(MIRROR) not in page


@pytest.mark.data
def test_recomputed_values_are_those_of_the_reference(monkeypatch):
    monkeypatch.setenv("DTL_DATA", str(MIRROR))
    found = fidelity_table().set_index("key")["recomputed"]
    expected = pd.read_csv(MIRROR / "reference" / "reference_stats.csv")
    rows = expected.set_index(["source", "parameter", "subset"])["mean_diff"]
    value = rows["Pass20 (DL)", "vsini", "vsini<12"]
    assert found["pass20_vsini_mean_diff_vsini<12"] == pytest.approx(value, abs=1e-9)
    tests = pd.read_csv(MIRROR / "reference" / "population_ks.csv").set_index(["pop1", "pop2"])
    assert found["ks"] == pytest.approx(tests.loc[("D", "TD"), "p"], rel=1e-9)
    labels = np.load(MIRROR / "phoenix_labels.npy")
    assert found["grid_cut"] == len(labels) and found["vsini_max"] == labels[:, 3].max()


@pytest.mark.data
def test_changed_tables_no_longer_agree(mirror):
    path = mirror / "published" / "mas_buitrago_2024.csv"
    table = pd.read_csv(path)
    table["Teff"] += 50.0
    table.iloc[:-1].to_csv(path, index=False)
    np.save(mirror / "phoenix_labels.npy", np.load(mirror / "phoenix_labels.npy")[:-1])
    found = fidelity_table(RUN).set_index("key")["status"]
    for key in ("n_stars", "grid_cut", "range_teff_min", "mar21_teff_mean_diff_all", "pass20_teff_mean_diff_all"):
        assert found[key] == "differs", key
    assert found["pass20_mh_pearson_r_all"] == "agrees"


@pytest.mark.data
@pytest.mark.parametrize("content", [b"", b"not an array"])
def test_damaged_files_are_not_at_hand(mirror, content):
    (mirror / "phoenix_labels.npy").write_bytes(content)
    path = mirror / "published" / "dl.csv"
    path.write_bytes(path.read_bytes()[:500])
    found = fidelity_table(RUN).set_index("key")["status"]
    assert found["grid_cut"] == found["pass20_mh_pearson_r_all"] == found["pass20_vsini_mean_diff_vsini<12"] == ABSENT
    assert found["split_vsini"] == "as configured"  # a setting needs no table
    assert found["bello23_teff_mean_diff_all"] == "agrees"
    assert "damaged" in fidelity_page(RUN)


@pytest.mark.slow
def test_a_finished_run_fills_its_column(smoke):
    found = fidelity_table(smoke).set_index("key")["run"]
    for s in STATEMENTS:
        assert (found[s.key] is not None) == (s.from_run is not None), s.key
