"""Published tables: read, refused when broken, compared as the paper compares them."""

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from dtl_core import catalogues, config
from dtl_core.errors import ConfigError, DataError

needs_tables = pytest.mark.skipif(not catalogues.available(), reason="needs the published tables (DTL_DATA)")
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
    assert catalogues.available()
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


# --- the published numbers ---

REFERENCE_NAMES = {"Pass20 (DL)": "Pass20", "Bello23 (DTL)": "Bello23", "Mar21 (fixed logg run 2)": "Mar21 run 2",
                   "Mar21 uncorrected [Fe/H]1": "Mar21 uncorrected", "Rein18 (vsini col of Mar21)": "Rein18",
                   "Schw19 (spectroscopic logg)": "Schw19 spectroscopic", "Interferometric (14)": "Interferometric",
                   "FGK+M (6)": "FGK+M"}


@needs_tables
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


@needs_tables
def test_published_bars_cover_too_few_benchmarks():
    ours = catalogues.read_published()
    teff = catalogues.coverage(ours, catalogues.read_literature("Interferometric"), "teff")
    mh = catalogues.coverage(ours, catalogues.read_literature("FGK+M"), "mh")
    assert (teff["N"], teff["inside"]) == (14, 0) and (mh["N"], mh["inside"]) == (6, 2)


@needs_tables
def test_published_tables_hold_what_the_paper_says():
    ours, stars = catalogues.read_published(), catalogues.read_stars()
    assert len(ours) == 286 and set(ours.karmn) == set(stars.karmn)
    assert ours.teff.between(3040, 4300).all() and (ours.logg < 4.7).sum() == 55 and (ours.vsini > 30).sum() == 5
    assert stars["pop"].value_counts().to_dict() == {"D": 167, "YD": 85, "TD": 21, "TD-D": 13}
    assert set(stars.karmn[stars.subdwarf_like]) == {"J12248-182", "J16254+543", "J19070+208", "J19072+208"}
    assert stars.ha_active.sum() == 56
    assert catalogues.read_literature("Rein18").vsini_limit.mean() > 0.7
