"""Pages of the consensus: all values of each star at the right place, valid files, and no table needed."""

import io
import json
from types import SimpleNamespace

import pandas as pd
import pytest
from astropy.io import votable
from astropy.table import Table

from book.maker import catalogue_tables, consensus_pages
from dtl_core.config import load_profile
from dtl_core.errors import DataError

HOSTILE = "</script><script>alert(1)</script>"


@pytest.fixture
def recorded(tmp_path):
    """A folder of records with the consensus of three stars, one of a name that does harm."""
    parts = {}
    for parameter, value in {"teff": 3300.0, "logg": 4.9, "mh": -0.1}.items():
        lines = [f"karmn,{parameter},e_{parameter},E_{parameter},n_{parameter}"]
        lines += [f"{name},{value},0.5,0.25,7" for name in ("J17578+046", "J00051+457", HOSTILE)]
        entry = {"made": "2026-01-02", "machine": {}, "code": {"dtl_core.literature.consensus": "0"}}
        parts[parameter] = entry | {"values": {"stars": lines}}
    record = {"made": "2026-01-02", "machine": {}, "code": {}, "values": parts}
    (tmp_path / "consensus.json").write_text(json.dumps(record))
    return tmp_path


def run(monkeypatch):
    table = Table({"karmn": ["S1", "GJ 699"], "spectrum": ["simulated", "real"]})
    for column in ("Teff", "logg", "[M/H]"):
        for prefix in ("", "e_", "E_"):
            table[f"{prefix}{column}_recommended"] = [1.0, 4321.0]
    monkeypatch.setattr(catalogue_tables, "run_table", lambda run: table)
    return SimpleNamespace(config=load_profile("smoke"))


def test_files_are_valid_and_hold_the_consensus_and_its_origin(recorded, cache, monkeypatch):
    files = consensus_pages.consensus_files(run(monkeypatch), recorded)
    assert files == consensus_pages.consensus_files(run(monkeypatch), recorded)
    table = Table.read(files["catalogue_consensus.ecsv"].decode(), format="ascii.ecsv")
    assert table["Teff"].tolist() == [3300.0] * 3 and table["E_[M/H]"].tolist() == [0.25] * 3
    assert str(table["Teff"].unit) == "K" and table["n_logg"].tolist() == [7] * 3
    assert "2026-01-02" in table.meta["made"] and "published values only" in table.meta["description"]
    assert "2021A&A...656A.162M" in table.meta["source"]
    assert votable.validate(io.BytesIO(files["catalogue_consensus.vot"]), output=io.StringIO())
    fits = Table.read(io.BytesIO(files["catalogue_consensus.fits"]), format="fits")
    assert fits["e_Teff"].tolist() == [0.5] * 3


def test_a_star_has_all_its_values(recorded, cache, monkeypatch):
    page = consensus_pages.consensus_files(run(monkeypatch), recorded)["star_values.md"]
    section = page.split('<details id="J17578+046">')[1].split("</details>")[0]
    assert "3300" in section and "this run, from a real spectrum" in section and "4321" in section
    assert "not available" in page and "<script>" not in page
    other = page.split('<details id="J00051+457">')[1].split("</details>")[0]
    assert "this run" not in other
    frame = pd.DataFrame({"karmn": ["J00051+457"], "teff": [3456.0], "e_teff": [51.0]})
    frame = frame.assign(**{f"{e}{p}": float("nan") for p in ("logg", "mh", "vsini") for e in ("", "e_")})
    rows = consensus_pages.consensus_rows(recorded)
    text = consensus_pages.star_sections(rows, {"Mann15": frame})
    section = text.split('<details id="J00051+457">')[1].split("</details>")[0]
    assert 'scope="row">Mann15</th><td>3456 <span class="bars">\N{PLUS-MINUS SIGN}51</span></td><td></td>' in section
    assert "Mann15" not in text.split('<details id="J17578+046">')[1].split("</details>")[0]


def test_a_missing_record_is_named(tmp_path, cache, monkeypatch):
    with pytest.raises(DataError, match=r"consensus\.json.*no such record"):
        consensus_pages.consensus_files(run(monkeypatch), tmp_path)
