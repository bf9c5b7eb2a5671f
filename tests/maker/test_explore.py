"""Pages to explore and files to download: the right stars at the right places, names that do no harm, valid formats."""

import html
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from astropy import units
from astropy.io import fits, votable
from astropy.io.votable import ucd
from astropy.table import Table
from small_run import small_run

from book.maker import catalogue_tables, explore, interactive
from dtl_core.errors import ConfigError, DataError, DTLError
from dtl_core.literature import sample
from dtl_core.models import exports
from dtl_core.parameters import PARAMETER_COLUMNS, PARAMETERS
from dtl_core.public_data.registry import data_mirror

MIRROR = data_mirror()
HOSTILE = "</script><script>alert(1)</script>|$x$ `{cite}` [a](b)"
N = 24


@pytest.fixture
def run(cache):
    return small_run()


# ---------------------------------------------------------------- which stars


def test_without_tables_the_survey_stands_in(run):
    literature, stars = sample.literature_sample(run), sample.star_sample(run)
    assert not literature.published and not stars.published
    assert list(literature.sources) == ["True, inactive", "True, active"] == literature.main("teff")
    assert sum(map(len, literature.sources.values())) == N
    assert len(stars.frame) == N and np.array_equal(stars.frame["teff"], run.truth["teff"])  # true labels, not found
    assert stars.frame[["U", "V", "W"]].notna().all(axis=None) and set(stars.frame["drawn"]) <= {"D", "TD", "H"}
    survey = sample.survey_stars(run)
    assert np.allclose(survey["teff"] - survey["teff_true"], 0.1)


@pytest.mark.data
def test_with_tables_they_are_the_paper_s(run, monkeypatch):
    monkeypatch.setenv("DTL_DATA", str(MIRROR))
    literature, (published, stars) = sample.literature_sample(run), sample.star_sample(run)
    assert published and literature.published and len(stars) == len(literature.catalogue) == 286
    assert literature.main("mh") == ["Mar21", "Pass19 VIS", "Schw19", "Pass20", "Bello23", "FGK+M"]
    assert np.nanmax(np.abs(stars["U"] - stars["U_published"])) < 0.5  # the published ones rest on the same astrometry
    counts = stars["population"].value_counts()
    assert (counts["TD"], counts["TD-D"], counts["D"], counts["YD"]) == (21, 13, 167, 85)


# ---------------------------------------------------------------- files


@pytest.fixture
def table(run):
    return catalogue_tables.run_table(run)


def test_the_table_holds_both_encoders_and_the_truth(table, run):
    assert len(table) == N + 1 and list(table["spectrum"]) == ["simulated"] * N + ["real"]
    for parameter, column in PARAMETER_COLUMNS.items():
        assert np.allclose(table[column][:N] - table[f"true_{column}"][:N], 0.1)
        assert np.allclose(table[f"{column}_direct"][:N] - run.truth[parameter], 0.2)
        assert np.allclose(table[f"{column}_recommended"][:N] - run.truth[parameter], 0.3)
        assert np.isnan(table[f"true_{column}"][N])
        assert (table[f"E_{column}"] == 0.02).all() and (table[f"e_{column}_direct"] == 0.01).all()


def test_every_column_is_described(table):
    for column in table.itercols():
        assert len(column.description) > 10 and ucd.check_ucd(column.meta["ucd"], check_controlled_vocabulary=True)
    assert table["logg"].unit == units.Unit("dex(cm/s2)") and table["E_logg"].unit == units.dex
    assert table["e_vsini"].unit == units.km / units.s and table["karmn"].unit is None
    assert "upper error" in table["E_Teff"].description and "before fine-tuning" in table["Teff_direct"].description


@pytest.mark.parametrize("suffix", exports.FORMATS)
def test_astropy_reads_what_was_written(table, tmp_path, suffix):
    path = exports.save(table, tmp_path / "new" / f"catalogue{suffix}")
    back = Table.read(path, **({"use_names_over_ids": True} if suffix == ".vot" else {}))
    assert back.colnames == table.colnames and len(back) == len(table)
    assert list(back["karmn"].astype(str)) == list(table["karmn"])
    for column in PARAMETER_COLUMNS.values():
        assert np.array_equal(np.ma.filled(back[column], np.nan), table[column])
    if suffix != ".csv":  # which knows nothing but values
        assert back["Teff"].unit == units.K and back["e_vsini"].unit == units.km / units.s
    if suffix in (".ecsv", ".vot"):  # FITS has no word for it
        assert back["logg"].unit == units.Unit("dex(cm/s2)")
        assert back["Teff"].description == table["Teff"].description
    assert exports.as_bytes(table, suffix) == path.read_bytes() == exports.as_bytes(table.copy(), suffix)


def test_votable_is_valid_and_says_what_is_what(table):
    found = votable.parse(io.BytesIO(exports.as_bytes(table, ".vot")), verify="exception")
    (resource,) = found.resources
    fields = {field.name: field for field in resource.tables[0].fields}
    assert fields["[M/H]"].ucd == "phys.abund.Z" and str(fields["logg"].unit) == "dex(cm / s2)"
    assert fields["E_Teff"].ucd == "stat.error;phys.temperature.effective"
    assert "Mas-Buitrago" in {info.name: info.value for info in resource.infos}["source"]
    assert "simulated survey" in " ".join(found.description.split())


def test_fits_has_the_keywords_of_cds_and_topcat(table):
    with fits.open(io.BytesIO(exports.as_bytes(table, ".fits"))) as hdus:
        hdus.verify("exception")
        header = hdus["CATALOGUE"].header
        number = 1 + table.colnames.index("logg")
        assert header[f"TUCD{number}"] == "phys.gravity" and header[f"TCOMM{number}"].endswith("[dex(cm / s2)]")
        assert f"TUNIT{number}" not in header and header["TUNIT3"] == "K"


@pytest.mark.skipif(shutil.which("stilts") is None, reason="STILTS is not installed")
@pytest.mark.slow
def test_stilts_finds_no_fault(table, tmp_path):
    def complaints(path):
        done = subprocess.run(["stilts", "votlint", "ucd=true", "unit=true", str(path)], capture_output=True, text=True)
        return done.stdout + done.stderr

    path = exports.save(table, tmp_path / "catalogue.vot")
    assert complaints(path) == ""
    broken = tmp_path / "broken.vot"
    broken.write_text(path.read_text().replace('datatype="double"', 'datatype="dubl"', 1))
    assert "dubl" in complaints(broken), "it would have seen a fault"


def test_files_that_cannot_be_written_are_one_line(table, tmp_path):
    with pytest.raises(ConfigError, match="unknown format '.csvx'; choose one of .ecsv, .vot, .fits"):
        exports.save(table, tmp_path / "catalogue.csvx")
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(DTLError, match="cannot be written"):
        exports.save(table, tmp_path / "folder" / "catalogue.vot")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.data
def test_the_published_catalogue_is_unchanged(monkeypatch, cache):
    with pytest.raises(DataError, match="dtl data fetch published"):
        catalogue_tables.published_table()
    monkeypatch.setenv("DTL_DATA", str(MIRROR))
    table = catalogue_tables.published_table()
    source = pd.read_csv(MIRROR / "published" / "mas_buitrago_2024.csv")
    for column in PARAMETER_COLUMNS.values():
        for name in (column, f"e_{column}", f"E_{column}"):
            assert np.array_equal(table[name], source[name], equal_nan=True)
    barnard = table[table["karmn"] == "J17578+046"][0]
    assert barnard["gaia_dr3"] == "4472832130942575872" and barnard["name"] == "Barnard's star"
    assert table.meta["bibcode"] == "2024A&A...687A.205M"


# ---------------------------------------------------------------- figures


def literature(parameter="teff", n=6):
    karmn = [f"J{k:05d}+000" for k in range(n)]
    values = {"karmn": karmn, parameter: np.arange(1.0, n + 1)}
    ours = pd.DataFrame(values | {f"e_{parameter}": 0.1, f"E_{parameter}": 0.3})
    there = pd.DataFrame({"karmn": karmn[::-1], parameter: np.arange(n, 0, -1) + 0.5, f"e_{parameter}": 0.2})
    return ours, {"Near": there, "Far": there.iloc[:2].drop(columns=f"e_{parameter}"), "None": there.iloc[:0]}


def test_points_are_the_stars_in_common():
    ours, sources = literature()
    names = pd.DataFrame({"karmn": ours["karmn"], "name": ["GJ <1>", *"bcdef"], "spt": "M1.0V", "gaia_dr3_id": "12"})
    figure = interactive.literature_figure(ours, sources, "teff", names=names, main=["Near"])
    near, far, line = figure.data
    assert list(near.x) == [1, 2, 3, 4, 5, 6] and list(near.y - near.x) == [0.5] * 6
    assert near.name == "Near (6)" and far.name == "Far (2)"
    assert (near.visible, far.visible) == (True, "legendonly")
    assert list(near.error_x.array) == [0.3] * 6 and list(near.error_x.arrayminus) == [0.1] * 6
    assert list(near.error_y.array) == [0.2] * 6 and far.error_y.array is None
    assert near.text[0] == "<b>GJ &lt;1&gt;</b> (J00000+000), M1.0V<br>this work: 1 −0 +0 K<br>Near: 2 ± 0 K"
    assert set(near.customdata) == {"Gaia DR3 12"}
    assert line.x == line.y and line.x[0] <= 1 and line.x[1] >= 6.5
    assert figure.layout.xaxis.title.text == "Teff, this work [K]"


def test_limits_and_speeds_are_shown_as_such():
    ours, sources = literature("vsini")
    limits = sources["Near"].assign(vsini_limit=[True] + [False] * 5)
    figure = interactive.literature_figure(ours.assign(vsini=[0.0, 2, 3, 4, 5, 6]), {"Near": limits}, "vsini")
    assert list(figure.data[0].x) == [2, 3, 4, 5, 6], "a logarithmic axis has no zero"
    assert "Near: < 6.5" in figure.data[0].text[-1] and "Near: 2.5" in figure.data[0].text[0]
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    with pytest.raises(DataError, match="no star in common"):
        interactive.literature_figure(ours, {"None": sources["None"]}, "vsini")


def test_diagrams_hold_every_star_once(run):
    stars = sample.star_sample(run).frame
    curve = pd.DataFrame({"teff": [3000.0, 4000], "luminosity": [0.001, 0.1], "source": "x"})
    figure = interactive.hr_figure(stars, {"model": curve}, active_name="active (simulated)")
    *groups, line = figure.data
    found = np.sort(np.concatenate([g.x for g in groups]))
    assert np.array_equal(found, np.sort(stars["teff"])) and line.name == "model"
    texts = [text for g in groups for text in g.text]
    assert all(any(f"<br>Teff {teff:.0f} K<br>" in text for text in texts) for teff in stars["teff"])  # no error bars
    active = [g for g in groups if "active (simulated)" in g.name]
    assert sum(len(g.x) for g in active) == stars["active"].sum()
    assert all(g.marker.symbol.endswith("-open") == (g in active) for g in groups)
    low, high = figure.layout.xaxis.range
    assert low > stars["teff"].max() and high < stars["teff"].min(), "hot stars to the left"
    figure = interactive.toomre_figure(stars, (11.1, 12.24, 7.25))
    groups = [trace for trace in figure.data if trace.mode == "markers"]
    found = np.sort(np.concatenate([g.x for g in groups]))
    assert np.allclose(found, np.sort(stars["V"] + 12.24))
    one = stars.iloc[0]
    (group,) = [g for g in groups if any(f"<b>{one['karmn']}</b>" in text for text in g.text)]
    across = dict(zip(group.x, group.y, strict=True))[one["V"] + 12.24]
    assert across == pytest.approx(np.hypot(one["U"] + 11.1, one["W"] + 7.25))


def test_a_figure_in_a_page_is_the_figure(run):
    figure = interactive.hr_figure(sample.star_sample(small_run(first=HOSTILE)).frame)
    text = interactive.block(figure, "plot-x", 'what "it" shows')
    assert text.count("<script") == text.count("</script>") == 1 and "<script>alert" not in text
    data = re.search(r'<script type="application/json" id="plot-x">(.*)</script>', text).group(1)
    assert json.loads(data) == json.loads(figure.to_json())
    assert 'data-figure="plot-x"' in text and 'aria-label="what &quot;it&quot; shows"' in text
    assert text == interactive.block(figure, "plot-x", 'what "it" shows')


# ---------------------------------------------------------------- pages


@pytest.mark.slow
def test_pages_are_whole_and_the_same_twice(run):
    files = explore.explore_files(run)
    pages = {name: text for name, text in files.items() if name.endswith(".md")}
    assert set(pages) == {"catalogue.md", "explore_literature.md", "explore_hr.md", "explore_toomre.md"}
    for name, text in pages.items():
        for picture in re.findall(r"```\{image\} (\S+)\n:class: print-only\n:alt: .{40,}\n", text):
            assert files[picture].startswith(b"\x89PNG"), name
        assert text.count("{raw} html") == text.count("{raw} html\n<") and text.count("```") % 2 == 0
        assert "simbad" not in text.lower() or name == "catalogue.md", "simulated stars are not in SIMBAD"
    assert len(re.findall(r"\{image\}", pages["explore_literature.md"])) == len(PARAMETERS)
    for stem, suffix in re.findall(r"<(\w+)(\.\w+)>`", pages["catalogue.md"]):
        assert files[stem + suffix]
    assert "dtl data fetch published" in pages["catalogue.md"] and "not available" in pages["explore_hr.md"]
    assert explore.explore_files(run) == files


def test_the_table_of_the_page_holds_every_star(run):
    page = explore.catalogue_files(small_run(first=HOSTILE))["catalogue.md"]
    body = re.search(r'<table id="run".*?</table>', page, re.S).group(0)
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.S)
    assert len(rows) == 1 + N + 1
    assert "<script>" not in body and html.escape(HOSTILE) in rows[1]
    order = [float(value) for value in re.findall(r'<td data-order="([^"]+)">\d{4} ', body)]
    ours = small_run()
    assert np.allclose(order[::2], ours.catalogue["Teff"][:N])  # the paper's, and beside it what is recommended
    assert np.allclose(order[1::2], ours.catalogue_of("recommended")["Teff"][:N])
    assert all(row.count("<td") == 12 for row in rows[1:]) and all("combined" in row for row in rows[1:])


@pytest.mark.data
@pytest.mark.slow
def test_real_stars_lead_to_simbad(run, monkeypatch):
    monkeypatch.setenv("DTL_DATA", str(MIRROR))
    files = explore.explore_files(run)
    page = files["catalogue.md"]
    links = re.findall(r'<a href="(https://simbad[^"]+)">(J[^<]+)</a>', page)
    assert len(links) >= 280
    assert dict((k, v) for v, k in links)["J17578+046"].endswith("Gaia%20DR3%204472832130942575872")
    assert "Barnard" in page and "Gaia DR3 4472832130942575872" in files["explore_toomre.md"]
    assert "reconstructed" in files["explore_hr.md"] and "computed here" in files["explore_toomre.md"]
