"""Photometry beside the spectra: tables, columns, contradictions, and the command."""

import json

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, Table
from command import dtl

import dtl_core
from dtl_core.errors import ConfigError, DataError
from dtl_core.estimates.photometry import from_magnitude
from dtl_core.models import exports, photometric
from dtl_core.models.photometric import COLUMNS, SUFFIX, read_photometry
from dtl_core.public_data import identifiers
from dtl_core.synthetic.examples import write_examples


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Three spectra of known truth, their names, and photometry at 10 pc that agrees with their log g."""
    paths, truth = write_examples(tmp_path_factory.mktemp("examples"))
    grid = np.linspace(4.7, 9.7, 2000)
    magnitudes = [
        float(grid[np.argmin(np.abs(from_magnitude(grid, mh=mh)["logg"] - logg))])
        for logg, mh in zip(truth["logg"], truth["mh"], strict=True)
    ]
    plain = dtl_core.load().predict(paths)
    names = [str(name) for name in plain["star"]]
    known = {name: {"ks": m, "e_ks": 0.02, "parallax": 100.0} for name, m in zip(names, magnitudes, strict=True)}
    return paths, truth, known, plain


def test_log_g_becomes_that_of_mass_and_radius_and_more_precise(examples):
    paths, truth, known, plain = examples
    table = dtl_core.load().predict(paths, photometry=known)
    for name in plain.colnames:
        assert np.array_equal(np.asarray(table[name]), np.asarray(plain[name]), equal_nan=table[name].dtype.kind == "f")
    found, true = np.asarray(table[f"logg{SUFFIX}"]), truth["logg"].to_numpy()
    error = np.asarray(table[f"e_logg{SUFFIX}"])
    assert (error < 0.04).all() and (error < np.asarray(plain["e_logg"])).all()
    assert (np.abs(found - true) < 0.06).all()
    for row, name in enumerate(known):
        expected = from_magnitude(known[name]["ks"], mh=table[f"[M/H]{SUFFIX}"][row].value)
        assert table["radius"][row].value == pytest.approx(float(expected["radius"]), rel=0.02)
        light = table["radius"][row].value ** 2 * (table[f"Teff{SUFFIX}"][row].value / 5772) ** 4
        assert table["luminosity"][row].value == pytest.approx(light, rel=0.1)


def test_stars_without_photometry_and_beyond_the_relations_have_none(examples):
    paths, _, known, _ = examples
    first, second, third = known
    some = {first.upper(): known[first], second: {"ks": 13.0, "parallax": 100.0}, "another": known[third]}
    table = dtl_core.load().predict(paths, photometry=some)
    assert set(table.colnames) >= set(COLUMNS)
    assert all(np.isfinite(table[name][0]) and np.isnan(table[name][1:]).all() for name in COLUMNS)
    assert "M_Ks = 13.0 is not between" in table["warnings"][1]
    assert "has no ks and parallax" in table["warnings"][2] and "photometry" not in table["warnings"][0]


def test_a_giant_or_another_star_is_a_contradiction(examples):
    paths, _, known, _ = examples
    first = next(iter(known))
    far = {first: {"ks": 4.7 if known[first]["ks"] > 7 else 9.7, "parallax": 100.0}}
    table = dtl_core.load().predict(paths[:1], photometry=far)
    assert "contradict each other" in table["warnings"][0]
    assert all(np.isnan(table[name][0]) for name in COLUMNS)  # bars of a few samples would be far too small


@pytest.fixture
def archive(monkeypatch):
    """The archive knows Barnard's star by both identifiers, and a star with a magnitude that is flagged."""
    row = {"source_id": "4472832130942575872", "designation": "17574849+0441405", "ph_qual": "AAA", "ks_m": 4.524}
    row |= {"ks_msigcom": 0.02, "parallax": 546.976, "parallax_error": 0.04}
    stars = {row["source_id"]: [row], row["designation"]: [row], "5": [row | {"ph_qual": "AAE"}]}
    asked = []

    def look_up(kind, wanted):
        asked.extend(wanted)
        return {name: stars.get(name, []) for name in wanted}, None

    monkeypatch.setattr(identifiers, "_look_up", look_up)
    return asked


BARNARD = {"ks": 4.524, "e_ks": 0.02, "parallax": 546.976, "e_parallax": 0.04}


@pytest.mark.parametrize("kind", ["csv", "ecsv", "fits", "vot"])
def test_identifiers_of_a_table_keep_all_digits_and_may_be_missing(archive, tmp_path, kind):
    ids = MaskedColumn([4472832130942575872, 0, 0, 0], mask=[False, True, True, True], dtype=np.int64)
    designations = MaskedColumn(["", "17574849+0441405", "", ""], mask=[True, False, True, True])
    ks = MaskedColumn([0.0, 0.0, 6.0, 0.0], mask=[True, True, False, True])
    table = Table({"star": ["A", "B", "C", "D"], "gaia_dr3": ids, "tmass": designations, "ks": ks, "j": [1.0] * 4})
    table.write(tmp_path / f"t.{kind}", format={"csv": "ascii.csv", "ecsv": "ascii.ecsv", "vot": "votable"}.get(kind))
    known = read_photometry(tmp_path / f"t.{kind}")
    assert known == {"A": BARNARD, "B": BARNARD, "C": {"ks": 6.0}, "D": {}}
    assert sorted(archive) == ["17574849+0441405", "4472832130942575872"]


def test_identifiers_give_what_the_magnitudes_give_and_remarks_become_warnings(examples, archive):
    paths, _, known, _ = examples
    first, second, third = known
    model = dtl_core.load()
    given = {first: BARNARD, second: {"gaia_dr3": 5}, third: {"tmass": "17574849+0441405", "ks": 9.0}}
    ours = model.predict(paths, photometry=given | {first: {"gaia_dr3": 4472832130942575872}})
    plain = model.predict(paths, photometry={first: BARNARD})
    for name in COLUMNS:
        np.testing.assert_array_equal(np.asarray(ours[name])[0], np.asarray(plain[name])[0], err_msg=name)
    assert ours["warnings"][0] == plain["warnings"][0]
    assert "2MASS flags Ks of J17574849+0441405 as unreliable (quality E)" in ours["warnings"][1]
    assert "has no ks and parallax" in ours["warnings"][1] and np.isnan(ours["mass"][1])
    assert "ks = 9.00 of the table and 4.52 of 2MASS" in ours["warnings"][2]
    checked = photometric.checked_photometry(given)
    assert photometric.checked_photometry(checked) == checked  # what was read may be given


def test_without_a_network_a_table_of_identifiers_is_one_line(examples, tmp_path, monkeypatch):
    paths, _, known, _ = examples
    monkeypatch.setenv("DTL_OFFLINE", "1")
    (tmp_path / "ids.csv").write_text(f"star,gaia_dr3,ks\n{next(iter(known))},77,\nB,,5.0\n")
    done = dtl("predict", *paths, "--photometry", tmp_path / "ids.csv")
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    for words in ("ids.csv", "'gaia_dr3'", next(iter(known)), "Gaia DR3 77", "give both in the table"):
        assert words in done.stderr
    (tmp_path / "float.csv").write_text("star,gaia_dr3\nA,4.472832130942576e+18\n")
    with pytest.raises(DataError, match="float.csv: field 'gaia_dr3': .* of A is not an identifier of Gaia DR3"):
        read_photometry(tmp_path / "float.csv")


def test_what_is_no_photometry_is_refused_before_anything_is_estimated(examples, tmp_path, monkeypatch):
    paths, _, known, _ = examples
    monkeypatch.setattr("dtl_core.models.loading.examine", lambda *_, **__: pytest.fail("estimated"))
    first = next(iter(known))
    for wrong, words in (
        ({first: {"ks": "bright", "parallax": 100.0}}, "cannot read what is given for"),
        ({first: {"magnitude": 5.0}}, "give star: {quantity: number}, of ks, e_ks, parallax, e_parallax"),
        ({first: {"ks": 5.0, "parallax": -3.0}}, "parallax = -3 of .* is not possible"),
        ({first: {"ks": 5.0, "parallax": 100.0, "e_ks": -0.1}}, "e_ks = -0.1 of .* is not possible"),
        (7, "photometry"),
    ):
        with pytest.raises(ConfigError, match=words):
            dtl_core.load().predict(paths, photometry=wrong)
    with pytest.raises(DataError, match="not found"):
        dtl_core.load().predict(paths, photometry=tmp_path / "none.csv")


@pytest.mark.parametrize("name", ["t.ecsv", "t.csv", "t.fits", "t.vot"])
def test_every_format_keeps_values_units_and_descriptions(examples, tmp_path, name):
    paths, _, known, _ = examples
    table = dtl_core.load().predict(paths, photometry=known)
    exports.save(table, tmp_path / name)
    kind = {"ecsv": "ascii.ecsv", "csv": "ascii.csv", "vot": "votable", "fits": "fits"}[name[2:]]
    again = Table.read(tmp_path / name, format=kind)
    column = f"logg{SUFFIX}"
    np.testing.assert_allclose(np.asarray(again[column]), table[column].value, rtol=1e-5)
    if kind != "ascii.csv":
        assert again["radius"].unit == "solRad"
    assert (
        "combined" in table[f"Teff{SUFFIX}"].info.description and "lower" in table[f"e_logg{SUFFIX}"].info.description
    )


def test_tables_are_read_and_broken_ones_refused(tmp_path):
    good = {"GJ 1": {"ks": 5.0, "e_ks": 0.03, "parallax": 200.0}, "GJ 2": {"ks": 6.0}}
    (tmp_path / "good.csv").write_text("Name,Kmag,e_Kmag,Plx,other\nGJ 1,5.0,0.03,200.0,a\nGJ 2,6.0,,,b\n")
    assert read_photometry(tmp_path / "good.csv") == good
    for name, text, words in (
        ("none.csv", "star,teff\nA,3000\n", "give a column star and ks"),
        ("far.csv", "star,ks,parallax\nA,5,-1.0\n", "'parallax': -1 of A is not positive"),
        ("half.csv", "star,ks\nA,5\n", "'parallax': has no values"),
        ("error.csv", "star,ks,e_ks,parallax\nA,5,-0.1,10\n", "'e_ks': -0.1 of A is negative"),
        ("twice.csv", "star,ks,parallax\nGJ 1,5,10\ngj1,6,10\n", "'star': has gj1 twice"),
        ("words.csv", "star,ks,parallax\nA,bright,10\n", "'bright' of A is not a number"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=words) as caught:
            read_photometry(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["ecsv", "fits", "vot"])
def test_units_of_a_table_are_converted_and_unsuitable_ones_refused(tmp_path, kind):
    path = tmp_path / f"t.{kind}"
    table = Table({"star": ["GJ 1"], "ks": [5.0] * u.mag, "parallax": [0.2] * u.arcsec})
    options = {"format": {"ecsv": "ascii.ecsv", "vot": "votable"}.get(kind)}
    table.write(path, **options)
    assert read_photometry(path)["GJ 1"] == {"ks": 5.0, "parallax": pytest.approx(200.0)}
    table["parallax"] = [5.0] * u.pc
    table.write(path, overwrite=True, **options)
    with pytest.raises(DataError, match="'parallax': has the unit pc; give it in mas"):
        read_photometry(path)


def test_the_command_shows_both(examples, tmp_path):
    paths, _, known, _ = examples
    lines = [f"{name},{values['ks']},{values['parallax']}" for name, values in known.items()]
    (tmp_path / "known.csv").write_text("\n".join(["star,ks,parallax", *lines[:2]]) + "\n")
    done = dtl("predict", *paths, "--photometry", tmp_path / "known.csv")
    assert done.returncode == 0 and done.stdout.count("with photometry") == 2
    rows = json.loads(dtl("predict", *paths, "--photometry", tmp_path / "known.csv", "--json").stdout)["stars"]
    assert [row["mass"] is None for row in rows] == [False, False, True]
    parts = dtl("predict", *paths, "--photometry", tmp_path / "known.csv", "-o", tmp_path / "c.parquet")
    assert parts.returncode == 2 and "--photometry" in parts.stderr and "Traceback" not in parts.stderr
