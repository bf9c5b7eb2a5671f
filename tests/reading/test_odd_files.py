"""The same spectrum in any form gives the same estimate, or one line that says why not; never a silent difference.

DTL_FORMS=2000 python -m pytest tests/reading/test_odd_files.py      more forms and bad pixels than in the suite
"""

import os
import warnings

import forms
import layouts
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dtl_core
from dtl_core.errors import DataError, DTLError
from dtl_core.reading import readers, sources
from dtl_core.spectra.spectrum import Spectrum, bad_pixels
from dtl_core.synthetic.examples import write_examples

CLOSE = {"Teff": 10, "logg": 0.02, "[M/H]": 0.03, "vsini": 0.2}
N_FORMS = int(os.environ.get("DTL_FORMS", 30))
UNHURRIED = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}


@pytest.fixture(scope="module")
def model():
    return dtl_core.load()


@pytest.fixture(scope="module")
def star(tmp_path_factory):
    """Wavelength, flux and uncertainty of an example spectrum of 250 per pixel."""
    paths, _ = write_examples(tmp_path_factory.mktemp("examples"))
    table = Table.read(paths[0])
    return tuple(np.array(table[name], float) for name in table.colnames)


def estimates(model, *spectra, **options):
    """Of one spectrum or file a dict of values, of several a list of them."""
    rows = []
    with warnings.catch_warnings(action="ignore"):
        for row in model.predict(list(spectra), **options):
            values = {name: float(getattr(row[name], "value", row[name])) for name in (*CLOSE, "radial_velocity")}
            rows.append(values | {"notes": row["warnings"]})
    return rows if len(rows) > 1 else rows[0]


def same(found, expected, velocity=True):
    for name, tolerance in CLOSE.items():
        assert found[name] == pytest.approx(expected[name], abs=tolerance), (name, found)
    if velocity:
        assert found["radial_velocity"] == pytest.approx(expected["radial_velocity"], abs=0.2)


def as_spectrum(star, **more):
    return Spectrum("X", *star, resolving_power=94_600.0, frame="barycentric", **more)


# ---------------------------------------------------------------- any form


@settings(max_examples=N_FORMS, **UNHURRIED)
@given(form=st.fixed_dictionaries({name: st.sampled_from(values) for name, values in forms.FORMS.items()}))
@pytest.mark.slow
def test_a_spectrum_in_any_form_gives_the_same_estimate(form, model, star, tmp_path_factory):
    path = forms.write(tmp_path_factory.mktemp("form"), star, form)
    wave, flux, error = star
    known = form["error"] and not (form["container"] == "bare" and form["error"] != "err")  # which nothing names
    plain = as_spectrum((wave, flux, error if known else np.full(len(wave), np.nan)))
    try:
        expected, found = estimates(model, plain, path)
    except DTLError as refusal:
        line = str(refusal)
        assert "\n" not in line and "; " in line and str(path) in line
        # what a file leaves open may be asked for; everything else is read
        assert "say which: --column" in line or "--column wavelength" in line, line
        return
    same(found, expected)


# ---------------------------------------------------------------- bad pixels

WAYS = forms.bad_ways()
RUNS = st.lists(st.tuples(st.floats(8801, 8834), st.integers(2, 30)), min_size=1, max_size=6)


def spoilt(star, runs, spoil):
    """The star with bad pixels, and where they are."""
    wave, flux, error = star
    bad = np.zeros(len(wave), bool)
    for centre, width in runs:
        begin = int(np.searchsorted(wave, centre))
        bad[begin : begin + width] = True
    return (wave, np.where(bad, spoil * flux, flux), error), bad


@settings(max_examples=N_FORMS, **UNHURRIED)
@given(runs=RUNS, spoil=st.sampled_from([0.3, 1.25, 3.0, 50.0]), way=st.sampled_from(sorted(WAYS)), kind=st.booleans())
@pytest.mark.slow
def test_bad_pixels_marked_in_any_way_are_never_used(runs, spoil, way, kind, model, star, tmp_path_factory):
    (wave, flux, error), bad = spoilt(star, runs, spoil)
    columns = {"wavelength": wave} | WAYS[way](flux, error, bad)
    folder = tmp_path_factory.mktemp("bad")
    keys = forms.KEYWORDS | {"SPECSYS": "BARYCENT", "AIRORVAC": "vac"}
    if kind:
        path = forms.tables(folder / "star.fits", columns, **keys)
    else:
        path = forms.text(folder / "star.csv", columns, ",", [f"{key}: {value}" for key, value in keys.items()])
    np.testing.assert_array_equal(readers.read(path).mask, bad)
    expected, found = estimates(model, as_spectrum((wave, flux, error), mask=bad), path)
    same(found, expected)


@pytest.mark.parametrize("name", ["MASK", "DQ", "QUALITY", "FLAGS", "BPM", "GOOD"])
def test_bad_pixels_of_an_image_are_marked_beside_it(name, model, star, tmp_path):
    (wave, flux, error), bad = spoilt(star, [(8811, 50), (8827.5, 50)], 1.25)
    axis = forms.KEYWORDS | {"SPECSYS": "BARYCENT", "CTYPE1": "WAVE", "CRPIX1": 1.0, "CUNIT1": "Angstrom"}
    axis |= {"CRVAL1": wave[0], "CDELT1": (wave[-1] - wave[0]) / (len(wave) - 1)}
    values = (~bad if name == "GOOD" else 8 * bad).astype("i4")
    path = forms.images(tmp_path / "a.fits", flux, axis, ERR=error, **{name: values})
    same(estimates(model, path), estimates(model, as_spectrum((wave, flux, error), mask=bad)))
    assert np.array_equal(readers.read(path).mask, bad)


def test_integers_that_are_their_columns_null_are_bad(model, star, tmp_path):
    (wave, flux, error), bad = spoilt(star, [(8811, 50), (8827.5, 50)], 1.25)
    counts = np.where(bad, -32768, np.round(flux)).astype(int)
    keys = forms.KEYWORDS | {"SPECSYS": "BARYCENT", "AIRORVAC": "vac"}
    columns = {"wavelength": wave, "flux": counts, "err": error}
    path = forms.tables(tmp_path / "a.fits", columns, nulls={"flux": -32768}, **keys)
    same(estimates(model, path), estimates(model, as_spectrum((wave, flux, error), mask=bad)))
    assert np.array_equal(readers.read(path).mask, bad)


def test_the_quality_map_of_a_template_marks_bad_pixels(tmp_path):
    path = layouts.write_serval(tmp_path / "a.fits", snr=0)
    with fits.open(path, memmap=False) as hdus:
        wave = np.exp(hdus["WAVE"].data)
        bad = (wave > 8811) & (wave < 8812)
        hdus["SPEC"].data[bad] *= 1.25
        hdus.append(fits.ImageHDU(bad.astype("i2"), name="QMAP"))
        hdus.writeto(tmp_path / "b.fits")
    star = readers.read(tmp_path / "b.fits")
    lost = star.wavelength[star.mask]
    assert len(lost) > 10 and lost.min() > 8810.9 and lost.max() < 8812.1
    assert np.abs(star.flux / np.median(star.flux)).max() < 1.3


@pytest.mark.slow
def test_masks_of_stores_are_used(model, star, tmp_path):
    (wave, flux, error), bad = spoilt(star, [(8811, 50), (8827.5, 50)], 1.25)
    expected = estimates(model, as_spectrum((wave, flux, error), mask=bad))
    chunk = {"flux": flux[None], "uncertainty": error[None], "mask": bad[None]}
    facts = {"frame": "barycentric", "resolving_power": 94_600.0}
    sources.write_zarr(tmp_path / "a.zarr", wave, [chunk], 1, **facts)
    sources.write_parquet(tmp_path / "a.parquet", wave, [chunk], **facts)
    for name in ("a.zarr", "a.parquet"):
        (found,), _ = sources.read_many([tmp_path / name])
        same(estimates(model, found), expected)


def test_hardly_any_pixel_is_an_error_and_some_are_a_warning(star, model):
    wave, flux, error = star
    every = np.arange(len(wave)) % 20
    assert "is masked and bridged" in estimates(model, as_spectrum(star, mask=every < 2))["notes"]
    with pytest.raises(DataError, match=r"50% of the pixels between 8800 and 8835 A are bad; check the mask"):
        estimates(model, as_spectrum(star, mask=every < 10))


@pytest.mark.parametrize("way", ["mask", "OPT_MASK"])
def test_a_mask_that_may_mark_good_pixels_is_asked_about(way, star, model, tmp_path):
    wave, flux, error = star
    good = np.arange(len(wave)) % 40 != 0
    columns = {"wavelength": wave, "flux": np.where(good, flux, 1.3 * flux), "err": error, way: good.astype(int)}
    path = forms.tables(tmp_path / "a.fits", columns, **forms.KEYWORDS, SPECSYS="BARYCENT", AIRORVAC="vac")
    expected = estimates(model, as_spectrum((wave, columns["flux"], error), mask=~good))
    if way == "OPT_MASK":  # PypeIt's says which pixels are good
        same(estimates(model, path), expected)
        return
    with pytest.raises(DataError, match="'mask': marks 9.% of the pixels .* --column good=mask"):
        model.predict(path)
    same(estimates(model, path, columns={"good": "mask"}), expected)


# ---------------------------------------------------------------- several spectra, columns, scales


def test_of_several_objects_one_is_asked_for(star, model, tmp_path):
    wave, flux, error = star
    keys = forms.KEYWORDS | {"SPECSYS": "BARYCENT", "AIRORVAC": "vac"}
    other = {"OPT_WAVE": wave, "OPT_COUNTS": flux[::-1].copy()}
    path = forms.tables(tmp_path / "a.fits", other, {"OPT_WAVE": wave, "OPT_COUNTS": flux}, **keys)
    with pytest.raises(
        DataError, match="holds 2 spectra of the same wavelengths; say which: --object table 1, table 2"
    ):
        model.predict(path)
    expected = estimates(model, as_spectrum((wave, flux, np.full(len(wave), np.nan))))
    same(estimates(model, path, object="table 2"), expected)
    same(estimates(model, path, object=2), expected)
    with pytest.raises(DataError, match="has no object '3' among 2"):
        model.predict(path, object=3)


def test_of_several_fluxes_one_is_asked_for(star, model, tmp_path):
    wave, flux, error = star
    columns = {"wavelength": wave, "flux_a": flux[::-1], "flux_b": flux, "err_a": 9 * error, "err_b": error}
    path = forms.text(tmp_path / "a.csv", columns, ",", ["R: 94600", "FRAME: barycentric", "MEDIUM: vacuum"])
    with pytest.raises(DataError, match="'flux': may be any of flux_a, flux_b; say which: --column flux=NAME"):
        model.predict(path)
    for choice in ("flux_b", "FLUX_B", "3", 3):
        found = readers.read(path, columns={"flux": choice})
        np.testing.assert_allclose(found.flux, flux, rtol=1e-7)
        np.testing.assert_allclose(found.uncertainty, error, rtol=1e-7)
    with pytest.raises(DataError, match="has no column 'flux_c'; give one of wavelength, flux_a"):
        readers.read(path, columns={"flux": "flux_c"})
    with pytest.raises(DTLError, match="'fluxes' is unknown; give one of wavelength"):
        readers.read(path, columns={"fluxes": "flux_b"})


def test_a_template_beside_the_star_is_left_and_named(star, tmp_path):
    wave, flux, _ = star
    columns = {"wavelength": wave, "flux_template": flux[::-1], "flux_star": flux}
    found = readers.read(forms.text(tmp_path / "a.csv", columns, ","))
    np.testing.assert_allclose(found.flux, flux, rtol=1e-7)
    assert "flux taken from column flux_star, not flux_template" in found.notes


@pytest.mark.parametrize(
    ("head", "notes"),
    [
        ("Wavelength (A)  Flux  Error\n", 0),
        ("wave [A] flux [e-] sigma [e-]\n", 0),
        ("wavelength flux error\nA adu adu\n", 0),
        ("# wavelength flux error\n", 0),
        ("# columns: wavelength flux error\n", 0),
        ("# Wavelength vs Flux\n", 1),
        ("# R: 94600\n", 1),
        ("% a comment\n! another\n", 1),
        ("", 1),
    ],
)
def test_heads_of_texts_are_understood(head, notes, star, tmp_path):
    wave, flux, error = star
    path = forms.text(tmp_path / "a.txt", dict(zip("abc", star, strict=True)), " ", names=False)
    path.write_text("# MEDIUM: vacuum\n" + head + path.read_text())
    found = readers.read(path)
    np.testing.assert_allclose(found.flux, flux, rtol=1e-7)
    np.testing.assert_allclose(found.uncertainty, error, rtol=1e-7)
    assert len(found.notes) == notes and all("columns without names" in note for note in found.notes)


def test_a_head_that_does_not_fit_is_refused(star, tmp_path):
    path = forms.text(tmp_path / "a.txt", dict(zip("abc", star, strict=True)), " ", names=False)
    path.write_text("the spectrum of a star\n" + path.read_text())
    with pytest.raises(DataError, match="'names': its head 'the spectrum of a star' does not name 3 columns; give 3"):
        readers.read(path)


def test_a_third_column_that_cannot_be_an_uncertainty_is_left_out(star, tmp_path):
    wave, flux, _ = star
    path = forms.text(tmp_path / "a.txt", {"a": wave, "b": flux, "c": 1.1 * flux.max() + 0 * flux}, " ", names=False)
    found = readers.read(path)
    assert np.isnan(found.uncertainty).all() and any("third column left out" in note for note in found.notes)


def test_decimal_commas_and_wide_characters_are_read(star, tmp_path):
    wave, flux, error = star
    rows = "\n".join(f"{a:.5f};{b:.2f};{c:.2f}".replace(".", ",") for a, b, c in zip(*star, strict=True))
    (tmp_path / "a.csv").write_text("wavelength;flux;error\n" + rows)
    (tmp_path / "b.csv").write_text("wavelength;flux;error\n" + rows, encoding="utf-16")
    for name in ("a.csv", "b.csv"):
        np.testing.assert_allclose(readers.read(tmp_path / name).wavelength, wave, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "air"),
    [
        ("no air-to-vacuum conversion was applied", True),
        ("Wavelengths are not in air.", False),
        ("wavelengths have not been converted to vacuum wavelengths", True),
        ("vacuum to air conversion was never done", False),
        ("The wavelengths are in air. No flux calibration.", True),
    ],
)
def test_a_negated_sentence_is_its_opposite(text, air, star, tmp_path):
    columns = dict(zip(("wavelength", "flux", "err"), star, strict=True))
    found = readers.read(forms.text(tmp_path / "a.csv", columns, ",", [text]))
    assert ("air wavelengths converted to vacuum" in found.notes) == air, found.notes


def test_an_unknown_frame_gives_no_velocity(star, model, tmp_path):
    columns = dict(zip(("wavelength", "flux", "err"), star, strict=True))
    head = ["R: 94600", "FRAME: LSRK", "BERV: 12.3", "MEDIUM: vacuum"]
    path = forms.text(tmp_path / "a.csv", columns, ",", head)
    found = estimates(model, path)
    same(found, estimates(model, as_spectrum(star)), velocity=False)
    assert np.isnan(found["radial_velocity"]) and "LSRK" in found["notes"]
    with pytest.raises(DataError, match="unknown reference frame; leave out the velocity"):
        model.predict(path, velocity=30.0)


def test_pixels_that_are_too_wide_are_refused(star, model, tmp_path):
    wave, flux, _ = star
    numbers = np.arange(8700.0, 8950.0)  # of pixels, taken as A
    columns = {"wave": numbers, "flux": np.interp(numbers, wave, flux)}
    path = forms.text(tmp_path / "a.csv", columns, ",", ["R: 94600"])
    with pytest.raises(DataError, match=r"pixels of 1 A, too wide for R = 94600 .*not pixel numbers.*--resolution"):
        model.predict(path)
    coarse = slice(None, None, 8)  # 0.08 A: the resolving power is not what the header says
    path = forms.text(tmp_path / "b.csv", {"wave": wave[coarse], "flux": flux[coarse]}, ",", ["R: 150000"])
    with pytest.raises(DataError, match="too wide"):
        model.predict(path)
    assert model.predict(path, resolving_power=94_600)["Teff"][0].value > 2500


# ---------------------------------------------------------------- the type


def test_a_spectrum_made_by_hand_is_checked(star):
    wave, flux, error = star
    one = Spectrum("x", wave, flux)
    assert np.isnan(one.uncertainty).all() and not one.mask.any() and not one.telluric.any()
    flags = np.arange(len(wave)) % 3
    assert np.array_equal(Spectrum("x", wave, flux, error, flags).mask, flags > 0)
    assert np.array_equal(Spectrum("x", wave * 0.1, flux).wavelength, wave * 0.1)
    from astropy import units as u

    quantity = Spectrum("x", wave / 10 * u.nm, flux * u.adu, error * u.adu)
    np.testing.assert_allclose(quantity.wavelength, wave)
    masked = np.ma.array(flux, mask=flags == 1)
    assert np.array_equal(Spectrum("x", wave, masked).mask, flags == 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frame": "LSRK"}, "'frame': 'LSRK' is not a known frame; give one of observatory"),
        ({"mask": np.full(4, "yes")}, "'mask': is not an array of True and False"),
        ({"mask": np.linspace(0, 1, 4)}, "'mask': is not an array of True and False"),
        ({"mask": np.zeros(3, bool)}, r"'mask': has shape \(3,\), the flux \(4,\)"),
        ({"flux": np.ones(5)}, "give one-dimensional arrays of equal length"),
        ({"flux": np.ones((2, 2))}, "has shape"),
        ({"flux": ["a"] * 4}, "'flux': is not an array of numbers"),
        ({"flux": None}, "'flux': is not an array of numbers"),
        ({"wavelength": np.array([1.0, 3, 2, 4])}, "'wavelength': is not positive and strictly increasing"),
        ({"wavelength": np.array([1.0, np.nan, 2, 4])}, "'wavelength': is not positive"),
        ({"wavelength": np.array([-1.0, 1, 2, 4])}, "'wavelength': is not positive"),
        ({"berv": "fast"}, "'berv': 'fast' is not a number"),
        ({"resolving_power": [1, 2]}, "'resolving_power': .* is not a number"),
    ],
)
def test_a_wrong_spectrum_cannot_be_made(change, words):
    fields = {"star": "x", "wavelength": np.arange(1.0, 5), "flux": np.ones(4)}
    with pytest.raises(DataError, match=words):
        Spectrum(**fields | change)


@settings(max_examples=200, **UNHURRIED)
@given(st.lists(st.tuples(st.floats(), st.floats()), min_size=1, max_size=30))
def test_what_is_not_masked_can_be_used(pairs):
    flux, error = map(np.array, zip(*pairs, strict=True))
    with np.errstate(all="ignore"):
        mask, uncertainty = bad_pixels(flux, error, np.zeros(len(flux), bool))
    assert np.isfinite(flux[~mask]).all()
    known = np.isfinite(error) & (error > 0)
    assert np.all(uncertainty[~mask] > 0) or not known.any()
    assert np.isnan(uncertainty[mask]).all()
    again, same_error = bad_pixels(flux, uncertainty, mask)
    assert np.all(again[mask]) and np.isfinite(flux[~again]).all()
