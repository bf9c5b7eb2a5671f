"""Published tables: read, refused when broken, from CDS, with provenance."""

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from published import STARS, published_frame

from dtl_core import config
from dtl_core.errors import ConfigError, DataError
from dtl_core.literature import catalogues
from dtl_core.public_data import registry


def test_available_follows_the_environment(mirror, monkeypatch):
    assert catalogues.available() and catalogues.available(stars=True)
    (mirror / "stars_286.csv").unlink()  # the one that has no public file
    assert catalogues.available() and not catalogues.available(stars=True)
    monkeypatch.delenv("DTL_DATA")
    assert not catalogues.available()
    with pytest.raises(DataError, match="neither in DTL_DATA nor in the cache; dtl data fetch published"):
        catalogues.read_published()


def test_published_catalogue_is_tidy(mirror):
    frame = catalogues.read_published()
    assert list(frame.karmn) == STARS
    values = [f"{e}{p}" for p in config.PARAMETERS for e in ("", "e_", "E_")]
    assert list(frame.columns) == ["karmn", "ra", "dec", *values]
    assert frame.loc[0, ["teff", "e_teff", "E_teff", "mh"]].tolist() == [3100.0, 30.0, 50.0, -0.4]
    assert frame.dec.iloc[-1] == 25.0


def test_tidy_takes_tables_and_frames_alike():
    raw = published_frame()
    table = Table.from_pandas(raw)
    table["Teff"].unit = "K"
    pd.testing.assert_frame_equal(catalogues.tidy(table), catalogues.tidy(raw))
    shuffled = catalogues.tidy(raw.iloc[::-1])
    assert list(shuffled.karmn) == STARS[::-1] and list(shuffled.teff) == list(raw.Teff)[::-1]


def test_tidy_keeps_masked_entries_as_nan():
    table = Table.from_pandas(published_frame(), index=False)
    table = Table(table, masked=True)
    table["vsini"].mask = [True] + [False] * 5
    assert catalogues.tidy(table).vsini.isna().tolist() == [True] + [False] * 5


@pytest.mark.parametrize("name", catalogues.SOURCES)
def test_every_source_is_tidy(mirror, name):
    frame = catalogues.read_literature(name)
    assert list(frame.columns) == ["karmn", *(f"{e}{p}" for p in config.PARAMETERS for e in ("", "e_")), "vsini_limit"]
    given = catalogues.SOURCES[name].columns
    for column in frame.columns[1:-1]:
        assert frame[column].notna().any() == (column in given), column
    assert set(frame.karmn) <= set(STARS)
    assert len(catalogues.SOURCES[name].bibcode) == 19


def test_sources_take_the_right_columns(mirror):
    ours = catalogues.read_published().set_index("karmn")

    def shift(source, parameter):
        return (catalogues.read_literature(source).set_index("karmn")[parameter] - ours[parameter]).median()

    assert shift("Schw19", "logg") == pytest.approx(0.06)
    assert shift("Schw19 spectroscopic", "logg") == pytest.approx(-0.1)
    assert shift("Mar21", "mh") == pytest.approx(-0.1)
    assert shift("Mar21 uncorrected", "mh") == pytest.approx(-0.2)
    assert shift("Mar21 run 2", "mh") == pytest.approx(-0.15)
    assert shift("Pass19 VIS+NIR", "teff") == pytest.approx(40.02)


def test_upper_limits_are_marked(mirror):
    frame = catalogues.read_literature("Rein18").set_index("karmn")
    assert frame.vsini_limit.sum() == 4 and not frame.vsini_limit["J23492+024"]
    assert not catalogues.read_literature("Pass20").vsini_limit.any()


def test_stars_have_numbers_flags_and_text(mirror):
    stars = catalogues.read_stars()
    assert stars.gaia_dr3_id[0] == "386655019234959872"  # a float would lose digits
    assert stars.ha_active.tolist() == [True, False, False, False, False, True]
    assert stars.schw19_young_extra.dtype == bool and stars.schw19_young_extra.sum() == 1
    assert stars["pop"][1] == "D" and np.isnan(stars.plx[5]) and stars.banyanYA[5] == "ABDMG"


def breakage(path, kind):
    text = path.read_text()
    lines = text.splitlines(keepends=True)
    if kind == "missing":
        path.unlink()
    elif kind == "folder":
        path.unlink(), path.mkdir()
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe\x00" * 50)
    elif kind == "empty":
        path.write_text("")
    elif kind == "header only":
        path.write_text(lines[0])
    elif kind == "cut in a row":
        path.write_text("".join(lines[:3]) + lines[3][:30])
    elif kind == "cut in a number":
        path.write_text(text[:-3])
    elif kind == "column":
        path.write_text(text.replace("E_logg", "logg_error"))
    elif kind == "no name":
        path.write_text(text.replace("karmn", "star"))
    elif kind == "blank name":
        path.write_text(text.replace(STARS[3], "  "))
    elif kind == "word":
        path.write_text(text.replace("3500.0", "hot"))
    elif kind == "infinite":
        path.write_text(text.replace("3500.0", "inf"))
    elif kind == "twice":
        path.write_text(text + lines[1])
    elif kind == "alias":
        path.write_text(text + lines[3].replace("304", "304W"))
    elif kind == "unit":
        path.write_text(text.replace("3500.0", "0.35"))
    elif kind == "negative":
        path.write_text(text.replace(",0.05,", ",-0.05,", 1))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "neither in DTL_DATA nor in the cache"),
        ("folder", "cannot be read"),
        ("binary", "cannot be read"),
        ("empty", "holds no stars"),
        ("header only", "holds no stars"),
        ("cut in a row", "'e_Teff': line 4 is not whole"),
        ("cut in a number", "'E_vsini': line 7 is not whole"),
        ("column", "'E_logg': no such column"),
        ("no name", "'karmn': no such column"),
        ("blank name", "'karmn': a star has no identifier"),
        ("word", "'Teff': star 3 holds 'hot'"),
        ("infinite", "'Teff': star 3 holds 'inf'"),
        ("twice", "'karmn': star J00051[+]457 is there twice"),
        ("alias", "star J11110[+]304 is there twice"),
        ("unit", "'Teff': star 3 holds '0.35'; give a number in K"),
        ("negative", "'e_logg': star 1 holds '-0.05'"),
    ],
)
def test_broken_tables_are_refused_in_one_line(mirror, kind, message):
    path = mirror / "mas_buitrago_2024.csv"
    breakage(path, kind)
    with pytest.raises(DataError, match=message) as caught:
        catalogues.read_published()
    line = str(caught.value)
    assert path.name in line and "\n" not in line and "; " in line


def test_broken_literature_and_stars_are_refused(mirror):
    path = mirror / "pass18.csv"
    path.write_text(path.read_text().replace(",51,", ",-51,", 1))
    with pytest.raises(DataError, match="'e_Teff': star 1 holds '-51'"):
        catalogues.read_literature("Pass18")
    path = mirror / "stars_286.csv"
    path.write_text(path.read_text().replace("ABDMG,1", "ABDMG,maybe"))
    with pytest.raises(DataError, match="'ha_active': holds 'maybe'; give 0 or 1"):
        catalogues.read_stars()
    path.write_text(path.read_text().replace(",plx,", ",parallax,"))
    with pytest.raises(DataError, match="'plx': no such column"):
        catalogues.read_stars()


def test_unknown_sources_are_refused(mirror):
    with pytest.raises(ConfigError, match="unknown source 'Mar20'; choose one of Pass18"):
        catalogues.read_literature("Mar20")


# --- from CDS, provenance ---

CDS = {
    "pass18.csv": "J_A+A_615_A6",
    "pass19.csv": "J_A+A_627_A161",
    "schw19.csv": "J_A+A_625_A68",
    "mar21.csv": "J_A+A_656_A162",
    "dl.csv": "J_A+A_642_A22",
    "mann15.csv": "J_ApJ_804_64",
    "mas_buitrago_2024.csv": "J_A+A_687_A205",
}
MANGLED = str.maketrans("[]/", "___")


def votable_name(name):
    """As VizieR writes it: ``[Fe/H]`` becomes ``__Fe_H_``, ``e_[Fe/H]`` becomes ``e__Fe_H_``."""
    return ("_" if name[0] == "[" else "") + name.translate(MANGLED)


def move_to_cds(folder, file, monkeypatch, mangled=True, name="tablea1", drop=()):
    """Take a CSV away and put the same table into the cache as ``archives.fetch_vizier`` leaves it."""
    cache = folder.parent / "cache"
    monkeypatch.setenv("DTL_CACHE", str(cache))
    raw = pd.read_csv(folder / file)
    (folder / file).unlink()
    catalogue = CDS[file].replace("_", "/")
    table = Table(meta={"catalogue": catalogue, "table": f"{catalogue}/{name}", "fetched": "2026-01-02T03:04:05Z"})
    table["recno"] = np.arange(1, len(raw) + 1, dtype="int32")
    for column in raw.columns.drop(list(drop)):
        values = raw[column]
        if values.dtype == float and file != "mas_buitrago_2024.csv":
            whole = (values.dropna() % 1 == 0).all() and values.notna().any()
            dtype = "int32" if whole else "float32" if abs(values).max() < 100 else "float64"
            values = np.ma.array(values.fillna(0), mask=values.isna(), dtype=dtype)
        table[votable_name(column) if mangled else column] = np.ma.array(values) if raw[column].isna().any() else values
    target = cache / "vizier" / CDS[file]
    target.mkdir(parents=True, exist_ok=True)
    table.write(target / f"{name}.ecsv", format="ascii.ecsv")
    Table({"FileName": ["a.fits"], "Karmn": ["J00051+457"]}).write(target / "list.ecsv", format="ascii.ecsv")
    return target


SOURCES_AT_CDS = [
    "Pass18",
    "Pass19 VIS",
    "Pass19 NIR",
    "Pass19 VIS+NIR",
    "Schw19",
    "Schw19 spectroscopic",
    "Mar21",
    "Mar21 run 2",
    "Mar21 uncorrected",
    "Rein18",
]


@pytest.mark.parametrize(("name", "mangled"), [*((name, True) for name in SOURCES_AT_CDS), ("Mar21", False)])
def test_a_table_from_cds_gives_the_same_frame(mirror, monkeypatch, name, mangled):
    before = catalogues.read_literature(name)
    file = catalogues.SOURCES[name].file
    move_to_cds(mirror, file, monkeypatch, mangled)
    after = catalogues.read_literature(name)
    pd.testing.assert_frame_equal(after, before, rtol=1e-6)  # the layout has 32 bits, our sums have more digits
    origin = after.attrs["provenance"]
    assert catalogues.provenance(name) == origin
    assert origin["origin"] == "CDS" and origin["file"] == f"vizier/{CDS[file]}/tablea1.ecsv"
    assert origin["table"].endswith("/tablea1") and origin["fetched"] == "2026-01-02T03:04:05Z"
    assert origin["bibcode"] == catalogues.SOURCES[name].bibcode and origin["as_registered"] is None


def test_the_catalogue_itself_may_come_from_cds(mirror, monkeypatch):
    before = catalogues.read_published()
    move_to_cds(mirror, "mas_buitrago_2024.csv", monkeypatch, drop=["ra_gaiadr3", "dec_gaiadr3"])
    path = next((mirror.parent / "cache").rglob("tablea1.ecsv"))
    path.write_text(path.read_text().replace("karmn", "Karmn"))
    after = catalogues.read_published()
    assert after.ra.isna().all()
    pd.testing.assert_frame_equal(after.drop(columns=["ra", "dec"]), before.drop(columns=["ra", "dec"]))


def test_what_cannot_be_mapped_for_certain_is_refused(mirror, monkeypatch):
    for file, name, drop in (("dl.csv", "Pass20", ["TEFF_MODE"]), ("mann15.csv", "Mann15", ["Karmn"])):
        move_to_cds(mirror, file, monkeypatch, drop=drop)
        with pytest.raises(DataError, match=f"no table has Karmn and .*; dtl data fetch published/{file}") as one:
            catalogues.read_literature(name)
        assert "\n" not in str(one.value) and str(one.value).startswith(f"vizier/{CDS[file]}: ")
    folder = move_to_cds(mirror, "pass18.csv", monkeypatch)
    (folder / "tablea2.ecsv").write_text((folder / "tablea1.ecsv").read_text())
    with pytest.raises(DataError, match="tablea1.ecsv and tablea2.ecsv both have Karmn"):
        catalogues.read_literature("Pass18")
    (folder / "tablea2.ecsv").write_text("# %ECSV 1.0\n# ---\n# datatype: [[[")
    with pytest.raises(DataError, match="tablea2.ecsv: cannot be read .*; dtl data fetch vizier/J_A"):
        catalogues.read_literature("Pass18")


def test_two_columns_that_could_be_meant_are_refused():
    assert catalogues._cds_columns(["Karmn", "__Fe_H_", "e__Fe_H_"], ["[Fe/H]", "e_[Fe/H]"]) == {
        "[Fe/H]": "__Fe_H_",
        "e_[Fe/H]": "e__Fe_H_",
    }
    assert catalogues._cds_columns(["__Fe_H_", "_Fe_H_"], ["[Fe/H]"]) is None
    assert catalogues._cds_columns(["e_Teff"], ["E_Teff"]) is None  # lower and upper error
    assert catalogues._cds_columns(["__Fe_H_1", "__Fe_H_2"], ["[Fe/H]1"]) == {"[Fe/H]1": "__Fe_H_1"}


def test_the_file_at_hand_goes_before_cds(mirror, monkeypatch):
    text = (mirror / "pass18.csv").read_text()
    move_to_cds(mirror, "pass18.csv", monkeypatch)
    (mirror / "pass18.csv").write_text(text)
    assert catalogues.provenance("Pass18")["origin"] == "mirror"


def test_provenance_says_where_values_come_from(mirror):
    found = catalogues.provenance("Mar21")
    assert found["catalogue"] == "J/A+A/656/A162" and found["bibcode"] == "2021A&A...656A.162M"
    assert found["file"] == "published/mar21.csv" and found["origin"] == "mirror" and len(found["sha256"]) == 64
    assert found["as_registered"] is False and found["columns"]["mh"] == "Corr1"
    assert catalogues.provenance()["bibcode"] == "2024A&A...687A.205M"
    assert "not of CDS" in catalogues.provenance("Pass20")["note"]
    assert catalogues.read_literature("Mar21").attrs["provenance"] == found
    with pytest.raises(ConfigError, match="unknown source 'Mar20'"):
        catalogues.provenance("Mar20")


# --- the published numbers ---


@pytest.mark.data
def test_published_tables_hold_what_the_paper_says():
    ours, stars = catalogues.read_published(), catalogues.read_stars()
    assert len(ours) == 286 and set(ours.karmn) == set(stars.karmn)
    assert ours.teff.between(3040, 4300).all() and (ours.logg < 4.7).sum() == 55 and (ours.vsini > 30).sum() == 5
    assert stars["pop"].value_counts().to_dict() == {"D": 167, "YD": 85, "TD": 21, "TD-D": 13}
    assert set(stars.karmn[stars.subdwarf_like]) == {"J12248-182", "J16254+543", "J19070+208", "J19072+208"}
    assert stars.ha_active.sum() == 56
    assert catalogues.read_literature("Rein18").vsini_limit.mean() > 0.7


@pytest.mark.data
def test_real_tables_in_the_layout_of_cds_give_the_same_frames(tmp_path, monkeypatch):
    folder = tmp_path / "published"
    folder.mkdir()
    real = registry.data_mirror() / "published"
    for file in ("pass18.csv", "pass19.csv", "schw19.csv", "mar21.csv"):
        (folder / file).write_bytes((real / file).read_bytes())
    before = {name: catalogues.read_literature(name) for name in SOURCES_AT_CDS}
    monkeypatch.setenv("DTL_DATA", str(tmp_path))
    for file in ("pass18.csv", "pass19.csv", "schw19.csv", "mar21.csv"):
        move_to_cds(folder, file, monkeypatch)
    for name, frame in before.items():
        after = catalogues.read_literature(name)
        pd.testing.assert_frame_equal(after, frame, check_exact=True)
        assert after.attrs["provenance"]["origin"] == "CDS"


@pytest.mark.data
def test_files_at_hand_are_those_of_the_registry():
    assert all(catalogues.provenance(name)["as_registered"] for name in ("published", *catalogues.SOURCES))
