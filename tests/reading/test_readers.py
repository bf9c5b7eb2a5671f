"""Readers: every layout against the spectrum that was written, air and units, and bad files."""

import gzip
import pickle
import re
import subprocess
import sys
import warnings

import layouts
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table

from dtl_core.errors import ConfigError, DataError
from dtl_core.public_data.registry import data_mirror
from dtl_core.reading import formats, hpf, readers, sources, text
from dtl_core.reading.orders import merge_orders
from dtl_core.spectra import operators

HPF_NAME = "Slope-20200101T000000_R01.optimal.fits"


def inner(star, low=8797.0, high=8838.0):
    return (star.wavelength > low) & (star.wavelength < high) & ~star.mask


def ratio(star, velocity=0.0, of=None):
    """What was read over what was written, in the window."""
    use = inner(star)
    found = star.flux[use] / layouts.at(star.wavelength[use], of, velocity)
    return found / np.median(found)


# ---------------------------------------------------------------- the type


def test_a_spectrum_goes_between_frames_and_back(tmp_path):
    star = readers.read(layouts.write_carmenes(tmp_path / "a.fits", berv=-21.7))
    there = star.in_frame("barycentric")
    assert there.frame == "barycentric" and there.in_frame("barycentric") is there
    beta = -21.7 / operators.C_KMS
    np.testing.assert_allclose(there.wavelength / star.wavelength, np.sqrt((1 + beta) / (1 - beta)), rtol=1e-13)
    np.testing.assert_allclose(there.in_frame("observatory").wavelength, star.wavelength, rtol=0, atol=1e-9)
    assert star.in_frame("observatory") is star and there.flux is star.flux
    with pytest.raises(DataError, match="no way from the observatory frame to 'rest'"):
        star.in_frame("rest")
    unknown = readers.read(layouts.write_carmenes(tmp_path / "b.fits", **{"HIERARCH CARACAL BERV": None}))
    assert np.isnan(unknown.berv) and any("no barycentric velocity" in note for note in unknown.notes)
    with pytest.raises(DataError, match="b.fits: field 'berv': .*unknown; give berv"):
        unknown.in_frame("barycentric")


def test_the_first_fields_may_be_given_in_order():
    wave, no = np.arange(8790, 8845, 0.02), np.zeros(2750, bool)
    star = readers.Spectrum("x", wave, np.ones(2750), np.full(2750, np.nan), no, no, 94_600.0, file="f")
    assert (star.frame, star.instrument, star.notes, star.file) == ("observatory", "", (), "f")
    again = pickle.loads(pickle.dumps(star))
    assert again.star == "x" and np.array_equal(again.wavelength, wave) and star != again


# ---------------------------------------------------------------- CARMENES


@pytest.mark.parametrize(("velocity", "berv"), [(0.0, 0.0), (-110.0, 21.3), (87.5, -29.0)])
def test_carmenes_orders_are_merged_into_what_was_written(tmp_path, velocity, berv):
    path = layouts.write_carmenes(tmp_path / "a.fits", velocity=velocity, berv=berv, snr=0)
    assert readers.sniff(path) == "CARMENES"
    star = readers.read(path)
    assert (star.star, star.instrument, star.resolving_power) == ("J00000+000", "CARMENES VIS", 94_600.0)
    assert (star.frame, star.berv, star.time, star.file) == ("observatory", berv, 2_457_400.5, str(path))
    assert not star.mask.any() and np.all(np.diff(star.wavelength) > 0.01) and star.notes == ()
    assert star.wavelength[0] < 8761 and star.wavelength[-1] > 8879
    found = ratio(star.in_frame("barycentric"), velocity)
    assert np.abs(found - 1).max() < 2e-3  # the spline between pixels of the other order, in the overlap


def test_order_merging_keeps_the_pixels_and_gains_in_the_overlap(tmp_path):
    clean = readers.read(layouts.write_carmenes(tmp_path / "a.fits", snr=0))
    waves = layouts.carmenes_orders()
    near = layouts._physical(waves)
    outside = (clean.wavelength < 8799.5) | (clean.wavelength > 8813.0)
    assert np.isin(clean.wavelength, waves[near]).all()
    errors, overlap = [], None
    for seed in range(12):
        star = readers.read(layouts.write_carmenes(tmp_path / "b.fits", snr=100, seed=seed))
        overlap = (star.wavelength > 8801) & (star.wavelength < 8811)
        errors.append((star.flux / clean.flux - 1) / (star.uncertainty / clean.flux))
    errors = np.array(errors)
    # the stated uncertainty is that of the noise: exactly outside, and within the spline's smoothing in the overlap
    assert np.std(errors[:, outside]) == pytest.approx(1.0, abs=0.03)
    assert 0.8 < np.std(errors[:, overlap]) < 1.1
    # two orders of equal weight where they meet: sqrt(2) better than one alone
    middle = np.abs(star.wavelength - 8806.3) < 0.3
    x = np.interp(8806.3, waves[near[0]], np.linspace(-1, 1, 4096))
    single = 0.01 / np.sqrt(1 - 0.75 * x**2)
    assert np.median(star.uncertainty[middle] / clean.flux[middle] * layouts.at(star.wavelength[middle])) < 0.8 * single


@pytest.mark.parametrize("cont", ["ones", None])
def test_a_blaze_that_nothing_describes_is_estimated(tmp_path, cont):
    path = layouts.write_carmenes(tmp_path / "a.fits", snr=0, cont=cont, steps=(1.0, 0.4))
    assert readers.sniff(path) == "CARMENES"
    star = readers.read(path)
    assert any("blaze estimated from single orders" in note for note in star.notes)
    found = ratio(star)
    assert np.abs(found - 1).max() < 0.15  # smooth, and no step of 2.5 where the orders meet
    assert np.abs(np.diff(found)).max() < 0.02


def test_flat_orders_of_different_levels_are_brought_together(tmp_path):
    path = layouts.write_carmenes(tmp_path / "a.fits", snr=0, blaze=False, cont="ones", steps=(1.0, 0.4))
    assert np.abs(ratio(readers.read(path)) - 1).max() < 2e-3


def test_bad_pixels_of_one_order_are_filled_by_the_other_or_masked(tmp_path):
    path = layouts.write_carmenes(tmp_path / "a.fits", snr=0)

    def spoil(hdus):
        wave, flux, sig = (hdus[name].data for name in ("WAVE", "SPEC", "SIG"))
        flux[(wave > 8808) & (wave < 8808.5)] = np.nan  # both orders
        first = layouts._physical(wave)[0]
        sig[first][(wave[first] > 8803) & (wave[first] < 8804)] = 0  # only one of them

    _rewrite(path, spoil)
    star = readers.read(path)
    lost = star.wavelength[star.mask]
    assert lost.min() > 8807.9 and lost.max() < 8808.6 and len(lost) > 10
    assert np.isnan(star.uncertainty[star.mask]).all() and np.isfinite(star.flux).all()
    assert np.abs(ratio(star) - 1).max() < 5e-3


def test_merging_needs_no_overlap_and_no_order():
    wave = [np.arange(8790, 8810, 0.05), np.arange(8812, 8845, 0.05)]
    stretches = [(w, np.full(len(w), 2.0), np.full(len(w), 0.1), np.ones(len(w), bool)) for w in wave]
    grid, flux, error, used = merge_orders(stretches[::-1])
    np.testing.assert_array_equal(grid, np.concatenate(wave))
    assert np.all(flux == 2.0) and np.allclose(error, 0.1) and np.all(used == 1)


# ---------------------------------------------------------------- templates


@pytest.mark.parametrize("options", [{}, {"ln": False}, {"sig": False}, {"all_orders": True}, {"INSTRUME": None}])
def test_serval_templates_are_read(tmp_path, options):
    path = layouts.write_serval(tmp_path / "a.fits", velocity=-43.0, snr=0, **options)
    assert readers.sniff(path) == "serval"
    star = readers.read(path)
    assert (star.frame, star.rv, star.resolving_power, star.berv) == ("barycentric", -43.0, 94_600.0, -3.2)
    assert star.instrument == "CARMENES VIS" and np.isnan(star.uncertainty).all() == ("sig" in options)
    assert any("no instrument stated" in note for note in star.notes) == ("INSTRUME" in options)
    assert np.abs(ratio(star, -43.0) - 1).max() < 1e-3


def test_a_template_of_another_instrument_has_no_known_resolving_power(tmp_path):
    star = readers.read(layouts.write_serval(tmp_path / "a.fits", INSTRUME="MAROON-X"))
    assert star.instrument == "MAROON-X" and np.isnan(star.resolving_power)


@pytest.mark.parametrize("table", [False, True])
def test_nagel_templates_are_read_in_both_layouts(tmp_path, table):
    path = layouts.write_nagel(tmp_path / "a.fits", velocity=12.0, table=table)
    assert readers.sniff(path) == ("table" if table else "Nagel")
    star = readers.read(path, instrument="nagel")
    assert (star.star, star.frame, star.resolving_power) == ("J00000+000", "barycentric", 94_600.0)
    assert any("telluric absorption corrected" in note for note in star.notes)
    assert np.abs(ratio(star, 12.0) - 1).max() < 0.02
    assert 100 < np.nanmedian(star.flux / star.uncertainty) < 400


# ---------------------------------------------------------------- HPF


def test_imitated_hpf_exposure_is_read(tmp_path):
    path = layouts.write_hpf(tmp_path, velocity=37.4)
    assert readers.sniff(path) == "HPF"
    star = readers.read(path)
    assert (star.star, star.instrument, star.resolving_power) == ("GJ TEST", "HPF", 53_000.0)
    assert len(star.wavelength) > 1900 and star.time == 2_458_394.575 and star.frame == "observatory"
    np.testing.assert_allclose(np.nanmedian(star.flux / star.uncertainty), 240, rtol=0.15)
    lost, absorbed = star.wavelength[star.mask], star.wavelength[star.telluric]
    assert len(lost) > 8 and lost.min() > 8811.4 and lost.max() < 8812.6
    assert 8819.8 < absorbed.min() < 8820.1 and 8822.9 < absorbed.max() < 8823.2
    assert np.abs(ratio(star, 37.4, layouts.simple_star(53_000.0)) - 1).max() < 1e-4


def test_hpf_barycentric_velocity_comes_from_place_and_time(tmp_path):
    whole = readers.read(layouts.write_hpf(tmp_path))
    assert whole.berv == pytest.approx(-25.93, abs=0.02)  # Barnard's star from McDonald
    moved = readers.read(layouts.write_hpf(tmp_path, QPMRA=-798.6, QPMDEC=10_328.1))
    assert 0.001 < abs(moved.berv - whole.berv) < 0.05
    degrees = {"QRA": None, "RA_2000": 17.963469, "DEC_2000": 4.693389}
    assert readers.read(layouts.write_hpf(tmp_path, **degrees)).berv == pytest.approx(whole.berv, abs=1e-3)
    for missing in ({"QRA": None}, {"JD_FW6": None}, {"QRA": "here"}):
        star = readers.read(layouts.write_hpf(tmp_path, **missing))
        assert np.isnan(star.berv) and any("no barycentric velocity" in note for note in star.notes)


def test_barycentric_velocity_has_the_size_and_the_year_of_the_earths():
    days = 2_458_000.0 + np.arange(0, 365, 5.0)
    found = [hpf.barycentric_velocity(270.0, 4.7, day, **hpf.HET) for day in days]
    assert 25 < np.ptp(found) / 2 < 31 and abs(np.mean(found)) < 1


def _cut_short(path, kept):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])


def _rewrite(path, change):
    with fits.open(path, memmap=False) as hdus:
        copy = fits.HDUList([hdu.copy() for hdu in hdus])
    change(copy)
    copy.writeto(path, overwrite=True)


def _reshape(name):
    def change(hdus):
        hdus[name].data = hdus[name].data[:5]

    return change


def _drop(name):
    return lambda hdus: hdus.__delitem__(hdus.index_of(name))


def _fill(name, value):
    return lambda hdus: hdus[name].data.fill(value)


def refused(path, words, reader=readers.read, **options):
    """The error is one line, names the file and what to do, and has these words."""
    with pytest.raises(DataError) as error:
        reader(path, **options)
    line = str(error.value)
    assert "\n" not in line and "; " in line and len(line) < 600
    for word in words:
        assert word in line, line
    return line


HPF_DAMAGE = {
    "half": (lambda p: _cut_short(p, 0.5), [HPF_NAME, "cut short", "bytes are missing", "download the file again"]),
    "cut in a header": (lambda p: _cut_short(p, 0.0003), [HPF_NAME, "cut short", "header has no end"]),
    "empty": (lambda p: p.write_bytes(b""), [HPF_NAME, "is empty"]),
    "text": (lambda p: p.write_text("no FITS"), [HPF_NAME, "not a FITS file"]),
    "missing": (lambda p: p.unlink(), [HPF_NAME, "not found", "check the path"]),
    "no wavelengths": (
        lambda p: _rewrite(p, _drop("Sci Wavl")),
        ["'Sci Wavl'", "no extension of wavelengths", "--calibration"],
    ),
    "flux shape": (lambda p: _rewrite(p, _reshape("Sci Flux")), ["'Sci Flux'", "(5, 2048), not (28, 2048)"]),
    "sky shape": (lambda p: _rewrite(p, _reshape("Sky Flux")), ["(5, 2048), not (28, 2048)"]),
    "all NaN": (lambda p: _rewrite(p, _fill("Sci Flux", np.nan)), ["too few usable pixels", "check the reduction"]),
    "negative": (lambda p: _rewrite(p, _fill("Sci Flux", -1.0)), ["'flux'", "median of zero or less"]),
    "no flat": (lambda p: (p.parent / layouts.FLAT).unlink(), [HPF_NAME, "flat", "beside", "--calibration FOLDER"]),
    "cut flat": (
        lambda p: _cut_short(p.parent / layouts.FLAT, 0.05),
        [HPF_NAME, layouts.FLAT, "download the file again"],
    ),
    "flat shape": (
        lambda p: _rewrite(p.parent / layouts.FLAT, _reshape(1)),
        [HPF_NAME, layouts.FLAT, "not (28, 2048)"],
    ),
    "broken mask": (lambda p: (p.parent / layouts.SKY_MASK).write_text("a b\nc"), [HPF_NAME, "two columns of numbers"]),
}


@pytest.mark.parametrize(
    ("without", "remark"),
    [
        (layouts.SKY_MASK, "no sky mask HPF_Sky"),
        (layouts.TELLURIC_MASK, "no telluric mask"),
        (None, "JD_FW6 = noon is not"),
    ],
)
def test_hpf_goes_on_without_masks_and_time(tmp_path, without, remark):
    path = layouts.write_hpf(tmp_path, **({} if without else {"JD_FW6": "noon"}))
    if without:
        (tmp_path / without).unlink()
    star = readers.read(path)
    assert any(remark in note for note in star.notes)
    assert star.mask.any() == (without != layouts.SKY_MASK) and star.telluric.any() == (
        without != layouts.TELLURIC_MASK
    )


def test_hpf_finds_its_companions_as_they_are_published(tmp_path):
    """In the folders of a clone, the mask's name misspelt; or all in one folder that is named."""
    data = tmp_path / "data"
    path = layouts.write_hpf(tmp_path)
    same = readers.read(path)
    places = {
        layouts.FLAT: "hpf/flats",
        layouts.TELLURIC_MASK: "masks/telluric",
        layouts.SKY_MASK: "masks/sky",
        path.name: "hpf/spectra/GJ_1",
    }
    for name, folder in places.items():
        (data / folder).mkdir(parents=True, exist_ok=True)
        new = "HPF_SkyEmmissionLineWavlMask_broadened_11111_Compressed.txt" if name == layouts.SKY_MASK else name
        (tmp_path / name).rename(data / folder / new)
    moved = data / places[path.name] / path.name
    star = readers.read(moved)
    assert np.array_equal(star.flux, same.flux) and np.array_equal(star.mask, same.mask) and star.telluric.any()
    alone = tmp_path / "elsewhere" / path.name
    alone.parent.mkdir()
    moved.rename(alone)
    refused(alone, ["no flat field", "--calibration FOLDER"])
    assert np.array_equal(readers.read(alone, calibration=data).mask, same.mask)
    table = layouts.write_table(tmp_path / "a.csv")
    assert any("calibration" in note and "not used" in note for note in readers.read(table, calibration=data).notes)


def test_old_hpf_files_have_their_wavelengths_beside_them(tmp_path):
    path = layouts.write_hpf(tmp_path)
    same = readers.read(path)
    with fits.open(path) as hdus:
        solution = hdus["Sci Wavl"].data.copy()
    _rewrite(path, _drop("Sci Wavl"))
    refused(path, ["'Sci Wavl'", "LFC_wavecal_scifiber"])
    fits.PrimaryHDU(solution).writeto(tmp_path / "LFC_wavecal_scifiber_v2.fits")
    star = readers.read(path)
    assert np.array_equal(star.wavelength, same.wavelength) and any("LFC_wavecal" in note for note in star.notes)
    assert [file.name for file in readers.companions(path)] == sorted(
        [layouts.FLAT, layouts.SKY_MASK, layouts.TELLURIC_MASK, "LFC_wavecal_scifiber_v2.fits"]
    )
    assert [star.star for star in sources.read_many(tmp_path)[0]] == ["GJ TEST"]  # companions are not spectra


@pytest.mark.parametrize("value", ["n/a", 12e3, True, -9999.99])
def test_an_unknown_velocity_of_the_earth_is_left_out(tmp_path, value):
    path = layouts.write_carmenes(tmp_path / "a.fits", **{"HIERARCH CARACAL BERV": value})
    star = readers.read(path)
    assert np.isnan(star.berv) and any("CARACAL BERV" in note and "left out" in note for note in star.notes)
    assert readers.read(path, berv=3.5).berv == 3.5


@pytest.mark.parametrize("damage", HPF_DAMAGE)
def test_damaged_hpf_files_are_refused_in_one_line(tmp_path, damage):
    path = layouts.write_hpf(tmp_path)
    HPF_DAMAGE[damage][0](path)
    refused(path, HPF_DAMAGE[damage][1], readers.read_hpf)


CARMENES_DAMAGE = {
    "cut short": (lambda p: _cut_short(p, 0.7), ["cut short", "WAVE", "download the file again"]),
    "no SPEC": (lambda p: _rewrite(p, _drop("SPEC")), ["'SPEC'", "is missing", "found"]),
    "no SIG": (lambda p: _rewrite(p, _drop("SIG")), ["'SIG'", "is missing"]),
    "near infrared": (lambda p: _rewrite(p, _reshape("WAVE")), ["(5, 4096), not (61, 4096)"]),
    "all NaN": (lambda p: _rewrite(p, _fill("SPEC", np.nan)), ["no order with good pixels", "8760 and 8880"]),
    "no uncertainty": (lambda p: _rewrite(p, _fill("SIG", 0)), ["no order with good pixels"]),
    "all zero": (lambda p: _rewrite(p, _fill("SPEC", 0)), ["'flux'", "median of zero or less"]),
    "in nm": (
        lambda p: _rewrite(p, lambda h: h["WAVE"].data.__itruediv__(10)),
        ["no pixels between 8800 and 8835 A", "covers", "in A or nm"],
    ),
    "in ln": (lambda p: _rewrite(p, lambda h: h["WAVE"].data.__setitem__(..., 9.08)), ["ln of A", "serval"]),
}


@pytest.mark.parametrize("damage", CARMENES_DAMAGE)
def test_damaged_carmenes_files_are_refused_in_one_line(tmp_path, damage):
    path = layouts.write_carmenes(tmp_path / "car.fits")
    CARMENES_DAMAGE[damage][0](path)
    refused(path, ["car.fits", *CARMENES_DAMAGE[damage][1]], readers.read_carmenes)


def test_damaged_templates_are_refused_in_one_line(tmp_path):
    path = layouts.write_serval(tmp_path / "a.fits")
    _rewrite(path, _drop("SPEC"))
    refused(path, ["'SPEC'", "is missing"], readers.read_serval)
    path = layouts.write_serval(tmp_path / "a.fits")
    _rewrite(path, lambda h: setattr(h["SIG"], "data", h["SIG"].data[:1]))
    refused(path, ["'SIG'", "WAVE has"])
    path = layouts.write_serval(tmp_path / "a.fits")
    _rewrite(path, lambda h: setattr(h["WAVE"], "data", np.arange(9.0)))
    refused(path, ["'SPEC'", "WAVE has (1, 9)"], instrument="serval")


@pytest.mark.data
def test_real_hpf_stars_agree_with_their_published_window():
    files = sorted((data_mirror() / "observed" / "hpf").glob("Slope-*.fits"))
    assert len(files) == 3
    velocities = {"GJ 699": -110.4, "G 9-40": 14.2, "VB 10": 35.6}  # km/s: Gaia DR3; Stefansson et al. 2020; Gaia DR3
    for path in files:
        star = readers.read(path)
        night = re.search(r"\d{8}T\d{6}", path.name).group()
        (table,) = (data_mirror() / "observed" / "window").glob(f"*{night}.csv")
        theirs, raw = readers.read(table), pd.read_csv(table)
        np.testing.assert_allclose(theirs.wavelength, raw["wave_vac_obs"], rtol=0, atol=1e-9)
        assert theirs.telluric.sum() == raw["telluric_mask"].sum() and theirs.mask.sum() == raw["sky_line_mask"].sum()
        assert theirs.notes == () and np.isfinite(theirs.uncertainty[~theirs.mask]).all()
        use = ~theirs.mask
        wave, step = theirs.wavelength[use], np.linspace(-1, 1, use.sum())
        same = np.interp(wave, star.wavelength, star.flux) / theirs.flux[use]  # theirs is divided by a continuum
        same /= np.polynomial.Polynomial.fit(step, same, 6)(step)
        assert np.std(same) < 0.02 and np.corrcoef(same * theirs.flux[use], theirs.flux[use])[0, 1] > 0.98
        shift = (raw["wave_vac_obs"] / raw["wave_vac_rest"]).median()
        observed = operators.C_KMS * (shift**2 - 1) / (shift**2 + 1)
        assert abs(observed + star.berv - velocities[star.star]) < 1.0


# ---------------------------------------------------------------- PHOENIX


def test_phoenix_spectra_are_read_with_their_labels(tmp_path):
    path = layouts.write_phoenix(tmp_path, teff=3300, logg=4.5, mh=-0.5)
    assert readers.sniff(path) == "PHOENIX"
    star = readers.read(path)
    assert star.star == "teff=3300 logg=4.50 mh=-0.5 alpha=+0.0" and star.frame == "rest" and star.rv == 0
    assert star.instrument == "PHOENIX-ACES" and star.resolving_power == 500_000
    assert np.abs(ratio(star) - 1).max() < 1e-6
    whole = path.read_bytes()
    for damaged in (whole + b"more", gzip.compress(whole)):
        path.write_bytes(damaged)
        refused(path, ["is gzipped, or goes on after its last extension", "unpack it"])
    path.write_bytes(whole)
    _cut_short(path, 0.5)
    refused(path, ["cut short"])
    found, failures = sources.read_many(tmp_path)
    assert not found and [file for file, _ in failures] == [str(path)]  # the file of wavelengths is not a spectrum


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize("suffix", [".ecsv", ".csv", ".fits", ".txt", ".dat"])
def test_tables_are_read_with_errors_and_masks(tmp_path, suffix):
    lost = np.arange(2167) % 50 == 0
    table = layouts.columns(uncertainty=np.full(2167, 0.01)) | ({} if suffix == ".txt" else {"mask": lost})
    star = readers.read(layouts.write_table(tmp_path / f"GJ_1{suffix}", table))
    np.testing.assert_allclose(star.wavelength, table["wavelength"], rtol=1e-12)
    np.testing.assert_allclose(star.flux, table["flux"], rtol=1e-12)
    expected = np.where(lost, np.nan, 0.01) if suffix != ".txt" else 0.01  # which has no names
    np.testing.assert_array_equal(star.uncertainty, expected)
    assert np.array_equal(star.mask, lost) or suffix == ".txt" and not star.mask.any()
    assert star.star == "GJ_1" and np.isnan([star.resolving_power, star.berv, star.time, star.rv]).all()
    unnamed = ("columns without names taken as wavelength, flux, uncertainty",) if suffix == ".txt" else ()
    assert star.notes == (*unnamed, "medium not stated: taken as vacuum")


@pytest.mark.parametrize(
    ("suffix", "unit", "factor"),
    [
        *[(".ecsv", unit, factor) for unit, factor in [("nm", 10), ("Angstrom", 1), ("um", 1e4), ("0.1 nm", 1)]],
        *[(".fits", unit, factor) for unit, factor in [("nm", 10), ("Angstrom", 1), ("um", 1e4), ("m", 1e10)]],
        (".csv", None, 1),
    ],
)
def test_units_are_converted(tmp_path, suffix, unit, factor):
    path = layouts.write_table(tmp_path / f"a{suffix}", layouts.columns(factor=factor), unit=unit)
    star = readers.read(path)
    np.testing.assert_allclose(star.wavelength, layouts.columns()["wavelength"], rtol=1e-12)
    assert any(f"converted from {unit}" in note for note in star.notes) == (factor != 1)


@pytest.mark.parametrize(("name", "factor"), [("wave_nm", 10), ("Wavelength (um)", 1e4), ("lambda [A]", 1)])
def test_units_may_be_in_the_name(tmp_path, name, factor):
    table = layouts.columns(factor=factor)
    star = readers.read(layouts.write_table(tmp_path / "a.csv", {name: table["wavelength"], "F_flux": table["flux"]}))
    np.testing.assert_allclose(star.wavelength, layouts.columns()["wavelength"], rtol=1e-12)


@pytest.mark.parametrize(("function", "name", "unit"), [(np.log10, "log10", None), (np.log, "ln", "ln(Angstrom)")])
def test_logarithms_are_recognised(tmp_path, function, name, unit):
    table = layouts.columns()
    table["wavelength"] = function(table["wavelength"])
    path = layouts.write_table(tmp_path / "a.fits", table)
    if unit:
        _rewrite(path, lambda h: h[1].header.set("TUNIT1", unit))
    star = readers.read(path)
    np.testing.assert_allclose(star.wavelength, layouts.columns()["wavelength"], rtol=1e-12)
    assert f"wavelengths taken as {name} of A" in star.notes


@pytest.mark.parametrize(
    ("names", "uncertainty"),
    [
        (["WAVE", "FLUX", "ERR"], 1.0),
        (["Lambda", "Spec", "Sigma"], 1.0),
        (["wl", "intensity", "flux_err"], 1.0),
        (["lam", "flux_norm", "e_flux"], 1.0),
        (["loglam", "flux", "ivar"], "ivar"),
        (["wav", "fluxn", "variance"], "variance"),
    ],
)
def test_columns_go_by_many_names(tmp_path, names, uncertainty):
    table = layouts.columns()
    values = np.full(len(table["flux"]), 0.04)
    table = dict(zip(names, [table["wavelength"], table["flux"], values], strict=True)) | {"sky_flux": values}
    star = readers.read(layouts.write_table(tmp_path / "a.csv", table))
    expected = {"ivar": 5.0, "variance": 0.2}.get(uncertainty, 0.04)
    np.testing.assert_allclose(star.uncertainty, expected)
    np.testing.assert_allclose(star.flux, layouts.columns()["flux"])


def test_columns_that_only_look_like_it_are_left_alone():
    names = ["e_wave", "wave", "and_mask", "continuum_flux", "snr", "sky_flux", "flux", "telluric_mask", "other"]
    assert readers.find_columns(names) == {"wavelength": "wave", "flux": "flux", "telluric": "telluric_mask"}
    both = readers.find_columns(["wave_vac_rest", "wave_vac_obs", "flux"])
    assert both["wavelength"] == "wave_vac_obs"


def test_the_table_with_wavelengths_is_taken_and_none_is_named(tmp_path):
    path = layouts.write_table(tmp_path / "a.fits")
    _rewrite(path, lambda h: h.insert(1, fits.BinTableHDU(Table({"id": [1, 2]}), name="LOG")))
    assert len(readers.read(path).flux) == 2167
    _rewrite(path, lambda h: h.pop())
    refused(path, ["'wavelength'", "is missing", "--column wavelength=NAME, one of 'id'"], readers.read_table)


def test_a_mask_may_be_in_words(tmp_path):
    words = np.where(np.arange(2167) % 50 == 0, "T", "F")
    star = readers.read(layouts.write_table(tmp_path / "a.fits", layouts.columns(flag=words)))
    np.testing.assert_array_equal(star.mask, words == "T")


@pytest.mark.parametrize("transmission", [np.full(2167, 0.99), np.linspace(0, 1, 2167)])
def test_a_transmission_is_not_a_mask(tmp_path, transmission):
    star = readers.read(layouts.write_table(tmp_path / "a.csv", layouts.columns(telluric=transmission)))
    assert not star.telluric.any() and "column telluric is not a mask: left out" in star.notes


def test_damaged_cards_are_left_out(tmp_path):
    path = layouts.write_table(tmp_path / "a.fits", meta={"OBJECT": "X", "BERV": 1.0})
    card(path, "OBJECT", "'abc")
    card(path, "BERV", "")
    star = readers.read(path)
    assert star.star == "a" and np.isnan(star.berv)


def test_keywords_of_a_table_are_read(tmp_path):
    meta = {"OBJECT": "My star", "R": 80_000, "BERV": 11.5, "MJD": 58_000.5, "RV": -7.0, "INSTRUME": "X"}
    meta |= {"SPECSYS": "BARYCENT"}
    path = layouts.write_table(tmp_path / "a.ecsv", meta=meta)
    for star in (readers.read(path), readers.read(layouts.write_table(tmp_path / "a.fits", meta=meta))):
        assert (star.star, star.resolving_power, star.berv, star.rv) == ("My star", 80_000, 11.5, -7.0)
        assert (star.time, star.instrument, star.frame) == (2_458_001.0, "X", "barycentric")
    clock = readers.read(layouts.write_table(tmp_path / "clock.fits", meta=meta | {"MJD": None, "TIME": "12:00:01"}))
    assert np.isnan(clock.time)  # a time of day is not a date
    body = layouts.write_table(tmp_path / "b.csv").read_text()
    path.with_suffix(".csv").write_text(f"# star: GJ 1\n# R = 90000\n# note\n{body}")
    star = readers.read(path.with_suffix(".csv"))
    assert (star.star, star.resolving_power) == ("GJ 1", 90_000)
    star = readers.read(path, star="Other", resolving_power=70_000)
    assert (star.star, star.resolving_power) == ("Other", 70_000)
    with pytest.raises(ConfigError, match="-1 is not a number from 100"):
        readers.read(path, resolving_power=-1)


@pytest.mark.parametrize(
    ("name", "frame"), [("wave_rest", "rest"), ("wave_bary", "barycentric"), ("wave", "observatory")]
)
def test_the_frame_may_be_in_the_name(tmp_path, name, frame):
    table = layouts.columns()
    star = readers.read(layouts.write_table(tmp_path / "a.csv", {name: table["wavelength"], "flux": table["flux"]}))
    assert star.frame == frame


def test_a_row_of_vectors_is_a_spectrum(tmp_path):
    table = layouts.columns()
    wave = np.float64(table["wavelength"])
    row = Table({"WAVE": [wave], "FLUX": [table["flux"]], "ERR": [np.full(len(wave), 0.02)]})
    row["WAVE"].unit = "angstrom"
    path = tmp_path / "ADP.fits"
    row.write(path)
    star = readers.read(path)
    np.testing.assert_allclose(star.wavelength, wave)
    np.testing.assert_allclose(star.uncertainty, 0.02)
    columns = [
        fits.Column(n, "PD()", array=np.array([v], object)) for n, v in (("WAVE", wave), ("FLUX", table["flux"]))
    ]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(path, overwrite=True)
    np.testing.assert_allclose(readers.read(path).flux, table["flux"])


def test_masked_pixels_may_be_nan(tmp_path):
    table = layouts.columns()
    lost = np.arange(len(table["flux"])) % 50 == 0
    table["mask"], table["flux"] = lost.astype(int), np.where(lost, np.nan, table["flux"])
    star = readers.read(layouts.write_table(tmp_path / "a.fits", table))
    assert np.all(np.isfinite(star.flux)) and np.array_equal(star.mask, lost)


def test_text_needs_no_names_and_a_comment_may_name_the_columns(tmp_path):
    table = layouts.columns()
    rows = [table["wavelength"], table["flux"], np.full(len(table["flux"]), 0.03), np.ones(len(table["flux"]))]
    np.savetxt(tmp_path / "a.txt", np.transpose(rows))
    assert np.all(readers.read(tmp_path / "a.txt").uncertainty == 0.03)
    np.savetxt(tmp_path / "b.dat", np.transpose(rows[:3]), header="wave flux continuum")
    assert np.isnan(readers.read(tmp_path / "b.dat").uncertainty).all()
    np.savetxt(tmp_path / "c.csv", np.transpose(rows[:2]), delimiter=";", header="wave;flux", comments="")
    np.testing.assert_allclose(readers.read(tmp_path / "c.csv").flux, table["flux"])


def test_gzipped_files_are_read(tmp_path):
    for path in (layouts.write_table(tmp_path / "a.fits"), layouts.write_table(tmp_path / "a.csv")):
        packed = path.with_name(path.name + ".gz")
        packed.write_bytes(gzip.compress(path.read_bytes(), 1))
        assert np.array_equal(readers.read(packed).flux, readers.read(path).flux)
        assert readers.read(packed).star == "a"
        packed.write_bytes(packed.read_bytes()[:-500])
        refused(packed, ["not a whole gzip file"])


def test_decreasing_wavelengths_are_reversed(tmp_path):
    table = {name: values[::-1] for name, values in layouts.columns().items()}
    star = readers.read(layouts.write_table(tmp_path / "a.csv", table))
    assert np.all(np.diff(star.wavelength) > 0) and "wavelengths decreased: reversed" in star.notes


def test_a_long_spectrum_is_cut_to_the_surroundings_of_the_window(tmp_path):
    star = readers.read(layouts.write_table(tmp_path / "a.fits", layouts.columns(start=8000, stop=9500, step=0.05)))
    assert 8760 < star.wavelength[0] < 8761 and 8879 < star.wavelength[-1] < 8880


# ---------------------------------------------------------------- images and specutils


@pytest.mark.parametrize(
    ("kind", "ctype", "unit"),
    [("linear", None, None), ("linear", "WAVE", "Angstrom"), ("log10", None, None), ("log", "WAVE-LOG", "Angstrom")],
)
def test_images_with_a_wavelength_axis_are_read(tmp_path, kind, ctype, unit):
    path = layouts.write_image(tmp_path / "a.fits", kind=kind, ctype=ctype, unit=unit)
    assert readers.sniff(path) == "image"
    star = readers.read(path)
    assert np.abs(ratio(star) - 1).max() < 1e-9 and np.all(star.uncertainty == 0.01) and star.star == "GJ TEST"
    assert ("medium not stated: taken as vacuum" in star.notes) == (ctype is None)


def test_images_in_air_and_in_nm(tmp_path):
    path = layouts.write_image(tmp_path / "a.fits", ctype="AWAV", error=False)
    star = readers.read(path)
    expected = operators.air_to_vacuum(8780 + 0.02 * np.arange(4000))
    np.testing.assert_allclose(star.wavelength, expected, rtol=0, atol=1e-6)
    assert star.notes == ("air wavelengths converted to vacuum", "no uncertainty")
    path = layouts.write_image(tmp_path / "a.fits", unit="nm", CRVAL1=878.0, CDELT1=0.002)
    np.testing.assert_allclose(readers.read(path).wavelength, 8780 + 0.02 * np.arange(4000), rtol=1e-12)


def test_images_without_a_wavelength_axis_are_refused(tmp_path):
    path = layouts.write_image(tmp_path / "a.fits", ctype="FREQ")
    refused(path, ["'CTYPE1'", "is FREQ"], readers.read_image)
    path = layouts.write_image(tmp_path / "a.fits", CRVAL1="blue")
    refused(path, ["CRVAL1, CDELT1", "is missing"])
    fits.PrimaryHDU(np.ones(50)).writeto(path, overwrite=True)
    refused(path, ["CRVAL1, CDELT1", "is missing"], readers.read_image)
    fits.PrimaryHDU().writeto(path, overwrite=True)
    refused(path, ["has no image"], readers.read_image)
    refused(path, ["has no table"], readers.read_table)


def test_what_only_specutils_knows_is_read_through_it(tmp_path):
    pytest.importorskip("specutils")
    low, high = (299_792_458e10 / wave for wave in (8860.0, 8780.0))
    axis = {
        "CTYPE1": "FREQ",
        "CUNIT1": "Hz",
        "CRVAL1": low,
        "CDELT1": (high - low) / 4000,
        "CRPIX1": 1.0,
        "BUNIT": "Jy",
    }
    frequency = low + (high - low) / 4000 * np.arange(4000)
    path = tmp_path / "a.fits"
    flux = layouts.at(299_792_458e10 / frequency)
    fits.PrimaryHDU(flux, header=fits.Header(axis | {"OBJECT": "GJ 9"})).writeto(path)
    assert readers.sniff(path) == "specutils"
    star = readers.read(path)
    np.testing.assert_allclose(star.wavelength, (299_792_458e10 / frequency)[::-1], rtol=1e-12)
    np.testing.assert_array_equal(star.flux, flux[::-1])
    assert star.star == "GJ 9" and {"read by specutils", "wavelengths decreased: reversed"} <= set(star.notes)


def test_specutils_sees_only_what_was_checked(tmp_path):
    """On a gzipped file with other data after its last extension, astropy would search for ever."""
    pytest.importorskip("specutils")
    path = layouts.write_image(tmp_path / "a.fits", ctype="FREQ", error=False)
    path.write_bytes(gzip.compress(path.read_bytes() + b"XTENSION or not" * 300))
    refused(path.rename(tmp_path / "a.fits.gz"), ["a.fits.gz", "; "])


def test_several_spectra_in_one_are_refused(tmp_path):
    path = tmp_path / "a.fits"
    axis = {"CTYPE1": "WAVE", "CUNIT1": "Angstrom", "CRVAL1": 8780.0, "CDELT1": 0.02, "CRPIX1": 1.0, "BUNIT": "Jy"}
    axis |= {"CTYPE2": "PIXEL", "CRVAL2": 0.0, "CDELT2": 1.0, "CRPIX2": 1.0}
    fits.PrimaryHDU(np.ones((3, 4000)), header=fits.Header(axis)).writeto(path)
    assert readers.sniff(path) == "image"
    refused(path, ["a.fits", "'object'", "holds 3 spectra of the same wavelengths", "--object row 1, row 2, row 3"])
    assert readers.read(path, object=2).notes[-1] == "no uncertainty"
    refused(path, ["no object '4' among 3", "give one of row 1"], object=4)


def test_what_nobody_knows_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(np.ones((40, 40))).writeto(path)
    refused(path, ["a.fits", "in no layout known here or to specutils; give a table"])
    image = fits.CompImageHDU(np.ones((40, 40)))
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path, overwrite=True)
    refused(path, ["compressed image", "funpack"])
    fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU() for _ in range(100))]).writeto(path, overwrite=True)
    refused(path, ["no layout known here and too long for specutils"])
    fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU() for _ in range(300))]).writeto(path, overwrite=True)
    refused(path, ["too many extensions or keywords"])
    fits.PrimaryHDU(np.ones((40, 40))).writeto(path, overwrite=True)
    monkeypatch.setitem(sys.modules, "specutils", None)
    refused(path, ["specutils is not installed", "pip install 'dtl-mdwarfs[specutils]'"])
    with pytest.raises(DataError, match="specutils is not installed"):
        readers.register()


@pytest.mark.parametrize("write", [layouts.write_carmenes, layouts.write_serval, layouts.write_hpf])
def test_specutils_reads_our_layouts_once_they_are_registered(tmp_path, write):
    specutils = pytest.importorskip("specutils")
    path = write(tmp_path if write is layouts.write_hpf else tmp_path / "a.fits")
    ours = readers.read(path)
    with warnings.catch_warnings(action="ignore"):
        readers.register()
        readers.register()
        label = {"CARMENES": "CARMENES VIS", "serval": "serval template", "HPF": "HPF"}[readers.sniff(path)]
        for found in (specutils.Spectrum.read(path), specutils.Spectrum.read(str(path), format=label)):
            np.testing.assert_array_equal(found.spectral_axis.to_value("Angstrom"), ours.wavelength)
            np.testing.assert_array_equal(found.flux.value, ours.flux)
            np.testing.assert_array_equal(found.uncertainty.array, ours.uncertainty)
            np.testing.assert_array_equal(found.mask, ours.mask)
            assert found.meta["star"] == ours.star and found.meta["frame"] == ours.frame
        if label == "HPF":
            refused(path, [str(path), "no flat field"], readers.read_specutils)  # it sees the file alone
        else:
            np.testing.assert_array_equal(readers.read_specutils(path).flux, ours.flux)


# ---------------------------------------------------------------- air and vacuum


@pytest.mark.parametrize(
    ("meta", "names", "texts", "expected"),
    [
        ({"CTYPE1": "AWAV"}, [], [], "air"),
        ({"CTYPE1": "WAVE-LOG"}, [], [], "vacuum"),
        ({"CTYPE1": "LINEAR"}, [], [], None),
        ({"AIRORVAC": "air"}, [], [], "air"),
        ({"AIRORVAC": "vac", "CTYPE1": "AWAV"}, [], [], "vacuum"),
        ({"VACUUM": True}, [], [], "vacuum"),
        ({"VACUUM": 0}, [], [], "air"),
        ({"AIR": False}, [], [], "vacuum"),
        ({"WAVEMED": "AIR"}, [], [], "air"),
        ({"MEDIUM": "vacuum"}, [], [], "vacuum"),
        ({}, ["wave_air"], [], "air"),
        ({}, ["lambda_vac"], ["air wavelengths"], "vacuum"),
        ({}, ["WAVE", "Angstrom", "em.wl;obs.atmos"], [], "air"),
        ({}, ["wavelength", "A (air)"], [], "air"),
        ({}, ["airmass"], ["airmass 1.3, air temperature 12"], None),
        ({}, [], ["Air wavelengths."], "air"),
        ({}, [], ["wavelengths are in vacuum"], "vacuum"),
        ({}, [], ["converted from air to vacuum wavelengths"], "vacuum"),
        ({}, [], ["wavelengths: vacuum to air conversion done"], "air"),
        ({}, [], ["air wavelengths", "vacuum wavelengths"], None),
        ({}, [], [], None),
    ],
)
def test_air_and_vacuum_are_recognised(meta, names, texts, expected):
    assert readers.medium(meta, names, texts) == expected


@pytest.mark.parametrize("how", ["name", "keyword", "comment", "description", "argument"])
def test_air_wavelengths_are_converted(tmp_path, how):
    table = Table(layouts.columns())
    vacuum = np.array(table["wavelength"])
    table["wavelength"] = operators.vacuum_to_air(vacuum)
    path = tmp_path / "a.ecsv"
    if how == "name":
        table.rename_column("wavelength", "wave_air")
    if how == "description":
        table["wavelength"].description = "in standard air"
    if how == "keyword":
        table.meta["AIRORVAC"] = "air"
    if how == "comment":
        path = tmp_path / "a.fits"
        table.meta["HISTORY"] = ["Reduced with care.", "Air wavelengths"]
    layouts.write_table(path, table)
    star = readers.read(path, medium="air" if how == "argument" else None)
    np.testing.assert_allclose(star.wavelength, vacuum, rtol=0, atol=1e-6)
    assert "air wavelengths converted to vacuum" in star.notes
    kept = readers.read(path, medium="vacuum")
    np.testing.assert_allclose(kept.wavelength, operators.vacuum_to_air(vacuum), rtol=0, atol=1e-9)
    with pytest.raises(ConfigError, match="'aether' is not known here; give air or vacuum"):
        readers.read(path, medium="aether")


# ---------------------------------------------------------------- bad input


def _swap(table):
    table["wavelength"][[3, 4]] = table["wavelength"][[4, 3]]


def _text(name):
    def change(table):
        table[name] = [*map(str, table[name][:-1]), "n/a?"]

    return change


def _nothing(table):
    pass


def _gap(table):
    table.remove_rows(slice(700, 900))


def _set(name, where, value):
    return lambda table: table[name].__setitem__(where, value)


BAD_TABLES = {
    "kelvin": ("a.ecsv", "K", _nothing, ["'wavelength'", "unit K", "give A or nm"]),
    "unknown unit": ("a.ecsv", "furlongs", _nothing, ["'wavelength'", "furlongs", "give A or nm"]),
    "no flux": ("a.csv", None, lambda t: t.rename_column("flux", "f"), ["'flux'", "is missing", "'f'"]),
    "no wavelength": ("a.ecsv", None, lambda t: t.rename_column("wavelength", "w"), ["'wavelength'", "is missing"]),
    "all NaN": ("a.fits", None, _set("flux", slice(None), np.nan), ["'flux'", "100% of the pixels", "are bad"]),
    "half NaN": ("a.fits", None, _set("flux", slice(None, None, 2), np.nan), ["'flux'", "50% of the pixels", "bad"]),
    "no wavelengths": ("a.fits", None, _set("wavelength", slice(None), np.nan), ["'wavelength'", "has 0 pixels"]),
    "negative": ("a.csv", None, lambda t: t["flux"].__imul__(-1), ["'flux'", "median of zero or less"]),
    "zero": ("a.csv", None, lambda t: t["flux"].__imul__(0), ["'flux'", "median of zero or less"]),
    "unsorted": ("a.ecsv", None, _swap, ["'wavelength'", "not positive and strictly increasing", "sort it"]),
    "twice": (
        "a.ecsv",
        None,
        _set("wavelength", 4, 8785.09),
        ["'wavelength'", "not positive and strictly increasing", "repeated"],
    ),
    "short": ("a.csv", None, lambda t: t.remove_rows(slice(900, None)), ["'wavelength'", "longer wavelength range"]),
    "gap": ("a.csv", None, _gap, ["'wavelength'", "steps of up to 6.0 A", "without gaps"]),
    "narrow": ("a.csv", None, lambda t: t.remove_rows(slice(1500, None)) or t.remove_rows(slice(500)), ["8800-8835 A"]),
    "few rows": ("a.csv", None, lambda t: t.remove_rows(slice(5, None)), ["'wavelength'", "has 5 pixels"]),
    "no rows": ("a.fits", None, lambda t: t.remove_rows(slice(0, None)), ["a.fits", "; "]),
    "text flux": ("a.csv", None, _text("flux"), ["'flux'", "not a column of numbers", "check the columns"]),
    "text wavelength": ("a.csv", None, _text("wavelength"), ["'wavelength'", "not a column of numbers"]),
    "text mask": ("a.csv", None, lambda t: t.add_column("maybe", name="mask"), ["'mask'", "neither true nor false"]),
    "all masked": (
        "a.csv",
        None,
        lambda t: t.add_column(1, name="mask"),
        ["'mask'", "marks 100% of the pixels", "--column good=mask"],
    ),
    "mask of vectors": ("a.fits", None, lambda t: t.add_column(np.ones((len(t), 3)), name="mask"), ["'mask'", "shape"]),
    "vectors": (
        "a.fits",
        None,
        lambda t: t.replace_column("flux", np.ones((len(t), 3))),
        ["'flux'", "the wavelengths (2167,)"],
    ),
}


# What does not make a spectrum useless: the change, and what a remark says.
USABLE = {
    "NaN in CSV": ("a.csv", _set("flux", [5, 9], np.nan), None),
    "NaN in FITS": ("a.fits", _set("flux", [5, 9], np.nan), None),
    "NaN far away": ("a.fits", _set("flux", slice(0, 60), np.nan), None),
    "empty cell": (
        "a.csv",
        lambda t: t.replace_column("flux", np.ma.array(t["flux"], mask=[7 == k for k in range(len(t))])),
        None,
    ),
    "NaN wavelength": ("a.fits", _set("wavelength", 7, np.nan), "1 pixels without a wavelength dropped"),
    "nm": ("a.csv", lambda t: t["wavelength"].__itruediv__(10), "wavelengths without a unit taken as nm"),
    "micron": ("a.csv", lambda t: t["wavelength"].__itruediv__(1e4), "without a unit taken as micrometres"),
    "text R": ("a.ecsv", lambda t: t.meta.update(R="high"), "R = high is not a usable value"),
    "negative R": ("a.ecsv", lambda t: t.meta.update(R=-5), "R = -5 is not a usable value"),
    "text BERV": ("a.fits", lambda t: t.meta.update(BERV="fast"), "BERV = fast is not a usable value in km/s"),
    "BERV in m/s": ("a.fits", lambda t: t.meta.update(BERV=12e3), "BERV = 12000.0 is not a usable value in km/s"),
    "unknown RV": ("a.fits", lambda t: t.meta.update(RV=-9999.99), "RV = -9999.99 is not a usable value in km/s"),
    "text time": ("a.fits", lambda t: t.meta.update(BJD="noon"), "BJD = noon is not a usable value in days"),
    "another frame": ("a.fits", lambda t: t.meta.update(SPECSYS="LSRK", BERV=3.0), "reference frame LSRK is not used"),
    "frame not stated": ("a.fits", lambda t: t.meta.update(BERV=3.0), "reference frame not stated"),
}


@pytest.mark.parametrize("case", USABLE)
def test_what_is_wrong_but_harmless_is_left_out_with_a_remark(tmp_path, case):
    name, change, remark = USABLE[case]
    table = Table(layouts.columns())
    change(table)
    star = readers.read_table(layouts.write_table(tmp_path / name, table))
    assert np.isfinite(star.flux).all() and np.isnan(star.time) and np.isnan(star.rv)
    assert remark is None or any(remark in note for note in star.notes), star.notes
    assert np.abs(ratio(star) - 1).max() < 1e-3
    assert star.frame == ("unknown" if case == "another frame" else "observatory")


@pytest.mark.parametrize("case", BAD_TABLES)
@pytest.mark.filterwarnings("ignore")
def test_broken_tables_are_refused_in_one_line(tmp_path, case):
    name, unit, change, words = BAD_TABLES[case]
    table = Table(layouts.columns())
    change(table)
    path = layouts.write_table(tmp_path / name, table, unit="K" if unit == "furlongs" else unit)
    if unit == "furlongs":
        path.write_text(path.read_text().replace("unit: K", "unit: furlongs"))
    line = refused(path, words, readers.read_table)
    assert line.startswith(f"{path}: ")


ECSV = (
    "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: wavelength, datatype: float64}\n# - {name: flux, datatype: float64}\n"
)
UNREADABLE = {
    "binary": ("a.dat", b"\x00\x01\x02" * 50, ["neither FITS nor text"]),
    "text as FITS": ("a.fits", b"nothing", ["is not a FITS file", "download the file again"]),
    "FITS of junk": ("a.fits", b"SIMPLE  =" + 9000 * b"x", ["cut short", "header has no end"]),
    "ECSV without columns": ("a.ecsv", b"# %ECSV 1.0\nwavelength flux\n1 2", ["ECSV header is damaged"]),
    "ECSV with aliases": ("a.ecsv", ECSV.encode() + b"# meta: {a: &x 1, b: *x}\nwavelength flux\n1 2", ["aliases"]),
    "ECSV of a megabyte": ("a.ecsv", ECSV.encode() + 20_000 * b"# x\n" + b"wavelength flux\n1 2", ["; "]),
    "ECSV in knots": (
        "a.ecsv",
        ECSV.encode() + b"# meta: " + 5000 * b"[" + b"\nwavelength flux\n1 2",
        ["too deep", "write it again"],
    ),
    "empty CSV": ("a.csv", b"", ["is empty"]),
    "blank CSV": ("a.csv", b"\n\n# nothing\n", ["has no rows", "give columns"]),
    "ragged CSV": ("a.csv", b"wavelength,flux\n1,2\n1,2,3,4\n", ["rows are not alike", "row 2", "the same cells"]),
    "wide CSV": ("a.csv", b"wave," + 600 * b"x," + b"flux\n1,2\n", ["does not name 2 columns", "give 2 names"]),
    "missing": ("a.csv", None, ["not found", "check the path"]),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_unreadable_files_are_refused_in_one_line(tmp_path, case):
    name, content, words = UNREADABLE[case]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    line = refused(tmp_path / name, words)
    assert str(tmp_path / name) in line


def test_folders_unknown_instruments_and_odd_paths_are_refused(tmp_path):
    refused(tmp_path, ["is not a file", "check the path"])
    with pytest.raises(ConfigError, match="unknown instrument 'GIANO'; give HPF, PHOENIX, NEID, EPRV, CARMENES"):
        readers.read(tmp_path / "a.csv", instrument="GIANO")
    with pytest.raises(ConfigError, match="'path': .* is not a path; give a str"):
        readers.read("\0")
    assert "CARMENES" in readers.instruments()


@pytest.mark.parametrize("error", [MemoryError, RecursionError, OverflowError, UnicodeError("bad\nbytes"), KeyError(3)])
def test_whatever_a_parser_raises_becomes_one_line(tmp_path, error):
    @formats.one_line_errors
    def reader(path):
        raise error

    refused(tmp_path / "a", ["a: cannot be read (", "check it, or give a table"], reader)


def card(path, key, value, number=0):
    """Overwrite one header card in place, so that the data stay as they are."""
    data = bytearray(path.read_bytes())
    start = -1
    for _ in range(number + 1):
        start = data.index(f"{key:8s}=".encode(), start + 1)
    data[start : start + 80] = f"{key:8s}= {value:>20}".ljust(80).encode()
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("NAXIS1", "1000000000", ["cut short", "bytes are missing"]),
        ("NAXIS1", "999999999999999999", ["cut short"]),
        ("NAXIS2", "-5", ["says no possible size"]),
        ("NAXIS2", "'many'", ["says no possible size"]),
        ("NAXIS", "77", ["says no possible size"]),
        ("PCOUNT", "-2880", ["says no possible size"]),
        ("GCOUNT", "1000000", ["says no possible size"]),
        ("BITPIX", "7", ["is not a valid BITPIX"]),
        ("TFIELDS", "9999", ["columns"]),
        ("TFORM1", "'1000000000D'", ["; "]),
        ("TFORM1", "'PD(9)'", ["; "]),
        ("TFORM1", "'QQ'", ["; "]),
    ],
)
def test_headers_that_lie_about_sizes_allocate_nothing(tmp_path, key, value, words):
    path = layouts.write_table(tmp_path / "a.fits")
    card(path, key, value, number=1 if key in ("BITPIX", "NAXIS", "NAXIS1") and key != "NAXIS1" else 0)
    refused(path, ["a.fits", *words])


def test_a_size_that_is_said_twice_is_refused(tmp_path):
    """Of two cards astropy reads the last when it opens a file, and the first afterwards."""
    path = layouts.write_table(tmp_path / "a.fits", meta={"OBJECT": "X"})
    card(path, "OBJECT", "7")
    data = path.read_bytes()
    place = data.index(b"OBJECT  =")
    path.write_bytes(data[:place] + b"NAXIS   =  9223372036854775807" + data[place + 30 :])
    refused(path, ["says no possible size"])


def test_files_beyond_the_limits_are_refused(tmp_path, monkeypatch):
    path = layouts.write_table(tmp_path / "a.fits")
    packed = tmp_path / "a.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    monkeypatch.setattr(formats, "MAX_FILE", packed.stat().st_size)
    refused(path, ["is longer than"])
    refused(packed, ["unpacks to more than"])
    monkeypatch.setattr(formats, "MAX_FILE", 2**27)
    monkeypatch.setattr(formats, "MAX_VALUES", 100)
    refused(path, ["has 2167 rows and 2 columns"])
    refused(layouts.write_image(path), ["has shape (4000,)"])
    monkeypatch.setattr(text, "MAX_TEXT", 100)
    refused(layouts.write_table(tmp_path / "a.csv"), ["of text"])


def test_integer_images_are_scaled_and_blanked(tmp_path):
    data = np.arange(6, dtype=np.int16).reshape(2, 3)
    hdu = fits.PrimaryHDU(data)
    hdu.header["BLANK"] = 3
    path = tmp_path / "a.fits"
    hdu.writeto(path)
    (read,) = formats.fits_hdus(path.read_bytes(), path)
    np.testing.assert_array_equal(read.image(), [[0, 1, 2], [np.nan, 4, 5]])
    fits.PrimaryHDU(data.astype(np.uint16)).writeto(path, overwrite=True)
    (read,) = formats.fits_hdus(path.read_bytes(), path)
    np.testing.assert_array_equal(read.image(), data)


@pytest.mark.slow
def test_importing_the_readers_does_not_import_specutils():
    code = "import sys, dtl_core.reading.readers; sys.exit('specutils' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
