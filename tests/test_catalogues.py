"""Published tables: read, refused when broken, compared as the paper compares them."""

import numpy as np
import pandas as pd
import pytest
from astropy.table import QTable, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from dtl_core import catalogues, config
from dtl_core.errors import ConfigError, DataError

STARS = ["J00051+457", "J00067-075", "J11110+304", "J16581+257", "J23492+024", "J22565+165"]


def published_frame(n=6):
    """Stars of the published layout: easy numbers, one above 3750 K and one above 12 km/s."""
    frame = pd.DataFrame({"karmn": STARS[:n], "ra_gaiadr3": np.arange(n) * 20.0, "dec_gaiadr3": np.arange(n) * 5.0})
    values = {"Teff": [3100.0, 3300, 3500, 3700, 3900, 4100], "logg": [5.1, 5.0, 4.9, 4.8, 4.7, 4.7],
              "[M/H]": [-0.4, -0.2, 0.0, 0.1, 0.2, -0.1], "vsini": [2.0, 3.0, 2.5, 2.0, 20.0, 2.2]}
    bars = {"Teff": (30.0, 50.0), "logg": (0.05, 0.02), "[M/H]": (0.1, 0.06), "vsini": (0.3, 0.5)}
    for name, numbers in values.items():
        frame[name], frame[f"e_{name}"], frame[f"E_{name}"] = numbers[:n], *bars[name]
    return frame


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder like the public tables': the layout is theirs, the numbers are ours."""
    folder = tmp_path / "published"
    folder.mkdir()
    monkeypatch.setenv("DTL_DATA", str(tmp_path))
    ours = published_frame()
    ours.to_csv(folder / "mas_buitrago_2024.csv", index=False)
    padded = [f"{name} " for name in STARS]
    one = pd.DataFrame({"Karmn": padded, "Teff": ours.Teff + 40, "e_Teff": 51, "logg": ours.logg - 0.1, "e_logg": 0.07,
                        "[Fe/H]": ours["[M/H]"] + 0.05, "e_[Fe/H]": 0.16})
    for name in ("pass18", "mann15", "gaid14", "gm14"):
        one.to_csv(folder / f"{name}.csv", index=False)
    pd.DataFrame({"Karmn": padded, **{f"{e}{p}{arm}": one[f"{e}{p}"] + 0.01 * len(arm) for arm in ("V", "N", "VN")
                                      for p in ("Teff", "logg", "[Fe/H]") for e in ("", "e_")}}
                 ).to_csv(folder / "pass19.csv", index=False)
    one.assign(loggc=ours.logg + 0.06, e_loggc=0.03).to_csv(folder / "schw19.csv", index=False)
    mar21 = pd.DataFrame({"Karmn": [f"{name} ".replace("304", "304W") for name in STARS[::-1]]})  # backwards
    for column in ("Teff1", "Teff2"):
        mar21[column], mar21[f"e_{column}"] = ours.Teff.to_numpy()[::-1] - 19, 16
    mar21["logg1"], mar21["e_logg1"] = ours.logg.to_numpy()[::-1] + 0.12, 0.08
    for column, shift in (("[Fe/H]1", -0.2), ("Corr1", -0.1), ("Corr2", -0.15)):
        mar21[column], mar21[f"e_{column}"] = ours["[M/H]"].to_numpy()[::-1] + shift, 0.05
    mar21["vsini"], mar21["e_vsini"] = [2.0, 18.0, 2.0, 2.0, 2.9, 2.0], [None, 1.6, None, None, 1.5, None]
    mar21.to_csv(folder / "mar21.csv", index=False)
    deep = pd.DataFrame({"KARMN": STARS})
    for name, column in (("TEFF", "Teff"), ("LOGG", "logg"), ("ZETA", "[M/H]"), ("VSINI", "vsini")):
        deep[f"{name}_MODE"], deep[f"{name}_STD"] = ours[column] * 1.01, 0.3
    deep.to_csv(folder / "dl.csv", index=False)
    deep.drop(columns=["LOGG_MODE", "LOGG_STD", "VSINI_MODE", "VSINI_STD"]).to_csv(folder / "dtl.csv", index=False)
    pd.DataFrame({"karmn": STARS[2:5], "teff_interf": [3460, 3670, 3960]}).to_csv(
        folder / "interferometric_14.csv", index=False)
    pd.DataFrame({"karmn": STARS[:2], "mh_fgk_primary": [-0.35, 0.1]}).to_csv(folder / "fgk_m_6.csv", index=False)
    pd.DataFrame({
        "karmn": STARS, "gaia_dr3_id": ["386655019234959872"] * 5 + [""], "name": ["GJ 2", *"abcde"], "ra": 10.0,
        "dec": 20.0, "plx": [86.9, 206.3, 50.0, 50.0, 50.0, None], "pmra": 1.0, "pmdec": 2.0, "rv": 3.0, "lbol": 0.02,
        "bp_mag": 14.0, "g_mag": 12.0, "rp_mag": 11.0, "j_mag": 9.0, "pop": ["YD", "D ", "D", "TD", "TD-D", "D"],
        "banyanYA": [""] * 5 + ["ABDMG"],
        "ha_active": [1, 0, 0, 0, 0, 1], "subdwarf_like": "False", "schw19_young_extra": ["True"] + ["False"] * 5,
    }).to_csv(folder / "stars_286.csv", index=False)
    return folder


def test_columns_are_those_of_the_published_table():
    assert catalogues.CATALOGUE_COLUMNS == (
        "karmn", "ra_gaiadr3", "dec_gaiadr3", "Teff", "e_Teff", "E_Teff", "logg", "e_logg", "E_logg",
        "[M/H]", "e_[M/H]", "E_[M/H]", "vsini", "e_vsini", "E_vsini")
    assert set(published_frame().columns) == set(catalogues.CATALOGUE_COLUMNS)


@pytest.mark.parametrize(("given", "expected"), [
    ("J00051+457 ", "J00051+457"), (" J11110+304W ", "J11110+304"), ("J11110+304", "J11110+304"),
    ("J11110+304E", "J11110+304E"), ("GJ  699", "GJ 699"), ("S001", "S001")])
def test_identifiers_are_normalised(given, expected):
    assert catalogues.normalise_karmn(given) == expected
    assert catalogues.normalise_karmn([given, "S002"]) == [expected, "S002"]


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


def test_stars_are_matched_by_name_not_by_row(mirror):
    """Mar21 lists the stars backwards, and one of them under another name."""
    found = catalogues.compare(catalogues.read_published(), catalogues.read_literature("Mar21"), "teff")
    assert found["N"] == 6
    assert found["mean_diff"] == -19 and found["std_diff"] == 0 and found["pearson_r"] == pytest.approx(1)


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


@pytest.mark.parametrize(("kind", "message"), [
    ("missing", "neither in DTL_DATA nor in the cache"), ("folder", "cannot be read"), ("binary", "cannot be read"),
    ("empty", "holds no stars"), ("header only", "holds no stars"), ("cut in a row", "'e_Teff': line 4 is not whole"),
    ("cut in a number", "'E_vsini': line 7 is not whole"), ("column", "'E_logg': no such column"),
    ("no name", "'karmn': no such column"), ("blank name", "'karmn': a star has no identifier"),
    ("word", "'Teff': star 3 holds 'hot'"), ("infinite", "'Teff': star 3 holds 'inf'"),
    ("twice", "'karmn': star J00051[+]457 is there twice"), ("alias", "star J11110[+]304 is there twice"),
    ("unit", "'Teff': star 3 holds '0.35'; give a number in K"), ("negative", "'e_logg': star 1 holds '-0.05'")])
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


def test_unknown_names_are_refused(mirror):
    ours = catalogues.read_published()
    with pytest.raises(ConfigError, match="unknown source 'Mar20'; choose one of Pass18"):
        catalogues.read_literature("Mar20")
    with pytest.raises(ConfigError, match="unknown parameter 'Teff'; choose one of teff"):
        catalogues.compare(ours, ours, "Teff")
    with pytest.raises(DataError, match="'E_teff': no such column"):
        catalogues.coverage(ours.drop(columns="E_teff"), ours, "teff")


def frames(x, y):
    names = [f"S{i:03d}" for i in range(len(x))]
    return pd.DataFrame({"karmn": names, "teff": x}), pd.DataFrame({"karmn": names, "teff": y})


temperatures = st.lists(st.integers(2500, 4500), min_size=4, max_size=30, unique=True)


@settings(max_examples=40, deadline=None)
@given(temperatures, st.floats(-500, 500), st.integers(0, 2**32 - 1))
def test_a_constant_moves_the_mean_and_nothing_that_is_relative(values, constant, seed):
    rng = np.random.default_rng(seed)
    x, y = np.array(values), np.array(values) + rng.normal(0, 50, len(values))
    before, after = (catalogues.compare(*frames(x, y + c), "teff") for c in (0.0, constant))
    for name in ("mean_diff", "median_diff"):
        assert after[name] - before[name] == pytest.approx(constant, abs=1e-8)
    for name in ("N", "std_diff", "mad_sigma", "pearson_r", "ols_slope", "theil_sen_slope"):
        assert after[name] == pytest.approx(before[name], rel=1e-6, abs=1e-6)
    assert after["rmse"] ** 2 == pytest.approx(
        after["mean_diff"] ** 2 + after["std_diff"] ** 2 * (len(x) - 1) / len(x), rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(temperatures, st.randoms())
def test_row_order_does_not_matter_and_exchange_turns_the_sign(values, random):
    ours, theirs = frames(np.array(values), np.array(values)[::-1] + 10)
    order = list(range(len(values)))
    random.shuffle(order)
    one, two = catalogues.compare(ours, theirs, "teff"), catalogues.compare(ours, theirs.iloc[order], "teff")
    assert one == pytest.approx(two, rel=1e-9, nan_ok=True)
    swapped = catalogues.compare(theirs, ours, "teff")
    assert swapped["mean_diff"] == pytest.approx(-one["mean_diff"]) and swapped["rmse"] == pytest.approx(one["rmse"])


def test_comparison_against_numbers_worked_by_hand():
    found = catalogues.compare(*frames([3000.0, 3100, 3200, 3300], [3010.0, 3090, 3230, 3310]), "teff")
    assert found["mean_diff"] == 10 and found["median_diff"] == 10  # differences 10, -10, 30, 10
    assert found["rmse"] == pytest.approx(np.sqrt(300)) and found["std_diff"] == pytest.approx(np.sqrt(800 / 3))
    assert found["mad_sigma"] == pytest.approx(1.4826 * 10)
    assert found["ols_slope"] == pytest.approx(1.04) and found["resid_slope"] == pytest.approx(0.04)
    assert found["spearman"] == 1


def test_few_stars_give_nan_not_errors():
    ours, theirs = frames([3000.0, 3100], [3010.0, np.nan])
    one = catalogues.compare(ours, theirs, "teff")
    assert one["N"] == 1 and one["mean_diff"] == 10 and np.isnan(one["std_diff"]) and np.isnan(one["pearson_r"])
    none = catalogues.compare(ours, theirs.iloc[1:], "teff")
    assert none["N"] == 0 and np.isnan(none["rmse"])
    flat = catalogues.compare(*frames([3000.0, 3100, 3200], [3100.0] * 3), "teff")
    assert flat["ols_slope"] == 0 and np.isnan(flat["pearson_r"])
    twin = pd.concat([ours, ours])
    with pytest.raises(pd.errors.MergeError):
        catalogues.compare(twin, theirs, "teff")


def test_table_has_the_paper_s_subsets(mirror):
    table = catalogues.comparison_table(catalogues.read_published())
    assert set(table.source) == set(catalogues.SOURCES)
    rows = table.set_index(["source", "parameter", "subset"])
    assert rows.loc[("Pass20", "teff", "teff<3750"), "N"] == 4 and rows.loc[("Pass20", "teff", "teff>=3750"), "N"] == 2
    assert rows.loc[("Pass20", "vsini", "vsini>=12"), "N"] == 1
    assert ("Pass20", "logg", "all") in rows.index and ("Pass18", "vsini", "all") not in rows.index
    assert set(catalogues.comparison_table(catalogues.read_published(), ["Mar21"]).parameter) == {"teff", "logg", "mh"}


def test_table_takes_frames_of_one_s_own():
    truth = catalogues.tidy(published_frame())
    table = catalogues.comparison_table(truth, {"truth": truth})
    assert table.source.unique().tolist() == ["truth"] and (table.mean_diff == 0).all() and len(table) == 8


def test_coverage_uses_the_lower_error_below_and_the_upper_above(mirror):
    ours = catalogues.read_published()  # Teff -30 +50
    for shift, inside in ((-31, 0), (-30, 6), (0, 6), (50, 6), (51, 0)):
        found = catalogues.coverage(ours, ours.assign(teff=ours.teff + shift), "teff")
        assert found == {"N": 6, "inside": inside, "fraction": inside / 6}
    assert catalogues.coverage(ours, catalogues.read_literature("Interferometric"), "teff")["inside"] == 1
    assert np.isnan(catalogues.coverage(ours, ours.iloc[:0], "teff")["fraction"])


@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 3), st.integers(0, 2**32 - 1))
def test_coverage_grows_with_the_bars(factor, seed):
    rng = np.random.default_rng(seed)
    ours = catalogues.tidy(published_frame())
    truth = ours.assign(teff=ours.teff + rng.normal(0, 60, 6))
    wider = ours.assign(e_teff=ours.e_teff * (1 + factor), E_teff=ours.E_teff * (1 + factor))
    assert catalogues.coverage(wider, truth, "teff")["inside"] >= catalogues.coverage(ours, truth, "teff")["inside"]


# --- from CDS, units, provenance ---

CDS = {"pass18.csv": "J_A+A_615_A6", "pass19.csv": "J_A+A_627_A161", "schw19.csv": "J_A+A_625_A68",
       "mar21.csv": "J_A+A_656_A162", "dl.csv": "J_A+A_642_A22", "mann15.csv": "J_ApJ_804_64",
       "mas_buitrago_2024.csv": "J_A+A_687_A205"}
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


SOURCES_AT_CDS = ["Pass18", "Pass19 VIS", "Pass19 NIR", "Pass19 VIS+NIR", "Schw19", "Schw19 spectroscopic", "Mar21",
                  "Mar21 run 2", "Mar21 uncorrected", "Rein18"]


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
        "[Fe/H]": "__Fe_H_", "e_[Fe/H]": "e__Fe_H_"}
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


def test_tables_have_units(mirror, tmp_path):
    table = catalogues.as_qtable(catalogues.read_published())
    assert table["teff"].unit == table["E_teff"].unit == "K" and table["ra"].unit == "deg"
    assert str(table["logg"].unit) == "dex(cm / s2)" and table["e_logg"].unit == table["mh"].unit == "dex"
    assert table["vsini"].unit == "km / s" and list(table["karmn"]) == STARS
    assert table["logg"][0].physical.to_value("m / s2") == pytest.approx(10**3.1)
    assert table.meta["provenance"]["bibcode"] == "2024A&A...687A.205M"
    table.write(tmp_path / "table.ecsv")
    back = QTable.read(tmp_path / "table.ecsv")
    assert back["logg"].unit == table["logg"].unit and back.meta["provenance"]["catalogue"] == "J/A+A/687/A205"
    literature = catalogues.as_qtable(catalogues.read_literature("Pass18"))
    assert np.isnan(literature["vsini"]).all() and literature["vsini_limit"].dtype == bool
    stars = catalogues.as_qtable(catalogues.read_stars())
    assert stars["plx"].unit == "mas" and stars["lbol"].unit == "Lsun" and "provenance" not in stars.meta


# --- who is where ---


def test_the_report_says_who_is_missing_where(mirror):
    path = mirror / "pass18.csv"
    frame = pd.read_csv(path)
    frame.loc[1, "[Fe/H]"] = np.nan
    frame.loc[5, "Karmn"] = "J22565+165N "
    frame.drop(index=0).to_csv(path, index=False)
    report = catalogues.match_report(sources=["Pass18", "Mar21", "FGK+M"]).set_index("karmn")
    assert report.Pass18.tolist() == ["missing", "no value: mh", *["present"] * 3, "missing"]
    assert (report.Mar21 == "present").all()  # backwards, one star under another name
    assert (report["FGK+M"] == "present").sum() == 2
    summary = catalogues.match_summary(sources=["Pass18", "FGK+M"]).set_index(["source", "parameter"])
    assert summary.loc[("Pass18", "mh"), ["N", "no_value", "missing"]].tolist() == [3, 1, 2]
    assert summary.loc[("Pass18", "mh"), "why"] == (
        "2 not in the table: J00051+457, J22565+165; of J22565+165 the table lists J22565+165N; "
        "1 in the table without a value: J00067-075")
    assert summary.loc[("any source", "mh"), ["N", "missing"]].tolist() == [5, 1]
    assert summary.loc[("any source", "teff"), "why"] == "2 in no source: J00051+457, J22565+165"


def test_the_report_does_not_look_at_row_order(mirror):
    ours = catalogues.read_published()
    sources = {name: catalogues.read_literature(name) for name in ("Pass18", "Mar21", "Interferometric")}
    shuffled = {name: frame.sample(frac=1, random_state=1) for name, frame in sources.items()}
    pd.testing.assert_frame_equal(catalogues.match_report(ours, sources), catalogues.match_report(ours, shuffled))
    pd.testing.assert_frame_equal(catalogues.match_summary(ours, sources), catalogues.match_summary(ours, shuffled))
    turned = catalogues.match_report(ours.iloc[::-1], sources)
    assert turned.karmn.tolist() == STARS[::-1] and turned.iloc[-1].Pass18 == "present"
    twice = {"a": pd.concat([ours, ours.assign(karmn=ours.karmn + " ")])}
    with pytest.raises(DataError, match="star J00051[+]457 is there twice"):
        catalogues.match_report(ours, twice)


# --- the published numbers ---

REFERENCE_NAMES = {"Pass20 (DL)": "Pass20", "Bello23 (DTL)": "Bello23", "Mar21 (fixed logg run 2)": "Mar21 run 2",
                   "Mar21 uncorrected [Fe/H]1": "Mar21 uncorrected", "Rein18 (vsini col of Mar21)": "Rein18",
                   "Schw19 (spectroscopic logg)": "Schw19 spectroscopic", "Interferometric (14)": "Interferometric",
                   "FGK+M (6)": "FGK+M"}


@pytest.mark.data
def test_every_reference_statistic_is_reproduced_to_its_last_digits():
    reference = pd.read_csv(config.data_mirror() / "reference" / "reference_stats.csv")
    reference["source"] = reference.source.replace(REFERENCE_NAMES)
    reference["parameter"] = reference.parameter.replace({"Teff": "teff", "[M/H]": "mh"})
    reference["subset"] = reference.subset.str.replace("Teff", "teff")
    key = ["source", "parameter", "subset"]
    expected = reference.set_index(key)
    found = catalogues.comparison_table(catalogues.read_published()).set_index(key)
    assert set(found.index) == set(expected.index) and len(found) == len(expected) == 67
    np.testing.assert_allclose(found.loc[expected.index, expected.columns].to_numpy(float), expected.to_numpy(float),
                               rtol=1e-13, atol=1e-13)


@pytest.mark.data
def test_published_bars_cover_too_few_benchmarks():
    ours = catalogues.read_published()
    teff = catalogues.coverage(ours, catalogues.read_literature("Interferometric"), "teff")
    mh = catalogues.coverage(ours, catalogues.read_literature("FGK+M"), "mh")
    assert (teff["N"], teff["inside"]) == (14, 0) and (mh["N"], mh["inside"]) == (6, 2)


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
def test_the_summary_counts_as_the_reference_does():
    reference = pd.read_csv(config.data_mirror() / "reference" / "reference_stats.csv")
    reference = reference[reference.subset == "all"]
    names = reference.source.replace(REFERENCE_NAMES), reference.parameter.replace({"Teff": "teff", "[M/H]": "mh"})
    expected = dict(zip(zip(*names, strict=True), reference.N, strict=True))
    summary = catalogues.match_summary().set_index(["source", "parameter"])
    assert (summary[["N", "no_value", "missing"]].sum(axis=1) == 286).all()
    assert (summary.loc["any source", "N"] == 286).all() and len(summary.loc["any source"]) == 4
    assert summary.drop("any source", level="source").N.to_dict() == expected
    why = summary.why.xs("teff", level="parameter")
    assert why["Pass18"] == "56 not in the table; of J20556-140S the table lists J20556-140N"
    assert why["Bello23"] == "3 not in the table: J17364+683, J18427+596N, J18427+596S"
    assert why["Pass19 VIS"].startswith("4 not in the table: J04153-076, J17364+683, J18427+596N, J18427+596S; 7 in")


@pytest.mark.data
def test_real_tables_in_the_layout_of_cds_give_the_same_frames(tmp_path, monkeypatch):
    folder = tmp_path / "published"
    folder.mkdir()
    real = config.data_mirror() / "published"
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
def test_stars_lie_where_they_are_matched_but_for_four_positions():
    found = catalogues.check_positions()
    assert found.source.value_counts().to_dict() == {"Mar21": 286, "Schw19": 278, "Gaidos14": 266, "Mann15": 97,
                                                     "GM14": 92}
    wrong = found[found.mismatch].set_index(["source", "karmn"])
    assert wrong["where"].to_dict() == {  # three positions of Mar21 contradict the very identifier beside them
        ("Mar21", "J05033-173"): "source", ("Mar21", "J07386-212"): "source", ("Mar21", "J17355+616"): "source",
        ("Schw19", "J07319+362N"): "neither"}  # the other component's, 38 arcsec away
    good = found[~found.mismatch]
    assert good.separation.max() < 4 and good.separation.median() < 0.05 and good.unmoved.max() > 160
    with pytest.raises(DataError, match="the table has no positions; check another source"):
        catalogues.read_positions("Pass18")
    for karmn, other in (("J05033-173", "Schw19"), ("J07386-212", "Schw19"), ("J17355+616", "Schw19")):
        teff = [catalogues.read_literature(name).set_index("karmn").teff[karmn] for name in ("Mar21", other)]
        assert abs(teff[0] - teff[1]) < 70  # the values are the right star's: the identifier holds, the position not


@pytest.mark.data
def test_stars_have_their_names():
    names = catalogues.star_names().set_index("karmn")
    assert len(names) == 286 and (names.gaia_dr3 != "").sum() == 285 and names.gaia_dr3["J18198-019"] == ""
    assert names.gaia_dr3[names.gaia_dr3 != ""].is_unique and (names.gj != "").sum() == 245
    assert names.loc["J17578+046"].tolist() == ["4472832130942575872", "GJ 699", names.name["J17578+046"],
                                                "Barnard's star", "Gl 699", "Gl 699"]
    assert names.loc["J07319+362N", ["gj", "name", "simbad_schw19"]].tolist() == ["GJ 277 B", "BL Lyn", ""]
    assert (names.simbad_gm14 != "").sum() == 92 and (names.name_schw19 != "").sum() == 278


@pytest.mark.data
def test_files_at_hand_are_those_of_the_registry():
    assert all(catalogues.provenance(name)["as_registered"] for name in ("published", *catalogues.SOURCES))
