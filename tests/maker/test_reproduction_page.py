"""The page on the paper's own inputs: not run, run, and how it was tested."""

import re

import pytest

from book.maker import reproduction_page
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import records, reproduction

ROW = {"N": 280, "mean_diff": -12.3, "std_diff": 50.1, "rmse": 52.4, "pearson_r": 0.93}
FOUND = {
    "official": True, "profile": "paper-fast", "stars": 286, "nodes": 220, "missing_stars": {"J00001+001": "404 <b>"},
    "missing_nodes": {}, "refused": [], "origins": {"cdsarc.cds.unistra.fr": 285},
    "parameters": {p: ROW | {"error_ours": 31.0, "error_published": 14.0, "inside": 0.47} for p in PARAMETERS},
    "numbers": {"stated": 40, "known": 38, "equal": 3, "comes_out": 17},
    "coverage": {"FGK+M": {"ours": {"N": 6, "inside": 4}, "published": {"N": 6, "inside": 2}}},
}  # fmt: skip


def test_without_a_run_the_page_says_so_and_what_to_expect(tmp_path):
    text, about = reproduction_page.reproduction_page(tmp_path, tmp_path), reproduction.expected()
    assert "## Not run here" in text and "Not recorded yet" in text and "Our run on the real spectra" not in text
    assert f"{about['files']}: 286 templates, {about['nodes']} nodes" in text and f"{about['gb']:.1f} GB" in text
    assert f"{about['hours']:.1f} hours on {about['cores']} cores" in text


@pytest.mark.parametrize("official", [True, False])
def test_only_a_run_on_the_published_spectra_is_shown_as_one(tmp_path, monkeypatch, official):
    monkeypatch.setattr(reproduction, "last_reproduction", lambda root: FOUND | {"official": official})
    text = reproduction_page.reproduction_page(tmp_path, tmp_path)
    assert ("## Our run on the real spectra" in text) is official and ("## Not run here" in text) is not official
    assert ("not one of the published origins" in text) is not official
    if official:
        assert "285 of 286 stars, 220 of 220 nodes" in text and "17 agree within two standard errors" in text
        assert "our error bars contain 4 of 6 values, the published ones 2 of 6" in text and "\\<b\\>" in text
        assert len(re.findall(r"\| 280 \| \u221212", text)) == len(PARAMETERS)


def test_the_recorded_test_is_complete_and_on_the_page():
    values = records.read("reproduction")["values"]["mock"]["values"]
    assert values["stars"] >= 20 and values["nodes"] >= 100 and values["seconds"] < 600
    assert values["bytes_before_interruption"] and values["resumed"] and values["missing_stars"] == 1
    table = records.frame(values["catalogue"])
    assert len(table) == values["stars"] - values["missing_stars"]
    for p, row in values["results"].items():
        difference = table[f"{p}_difference"]
        assert (difference**2).mean() ** 0.5 == pytest.approx(row["rmse_published"], rel=1e-2)
        assert row["rmse_of_published_errors"] == pytest.approx(row["known_error"], rel=0.4)
    text = reproduction_page.reproduction_page()
    assert f"| {values['missing_stars']} of {values['stars']} |" in text
