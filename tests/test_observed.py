"""The observed domain: the survey's effects one by one, HPF exposures real and imitated, and the user's own files."""

import functools
import re

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from dtl_core import observed, spectra, synthetic
from dtl_core.config import data_mirror, load_profile
from dtl_core.errors import DataError

EFFECTS = (
    "noise",
    "velocity",
    "continuum",
    "telluric",
    "activity",
    "line_strength",
    "missing_lines",
    "unknown_lines",
)


def survey_config(n_stars=12, default=0.0, **on):
    effects = {f"survey.{name}": default for name in EFFECTS} | {f"survey.{k}": v for k, v in on.items()}
    return load_profile("smoke", {"survey.n_stars": n_stars} | effects)


@functools.cache
def survey(n_stars=12, default=0.0, **on):
    """Flux and truth, effects at ``default`` but for those named; (kept: do not change the arrays)."""
    return observed.survey_set(survey_config(n_stars, default, **on))


# ---------------------------------------------------------------- the benchmark survey


def test_without_effects_the_survey_is_the_other_code_through_the_same_chain():
    config = survey_config()
    flux, truth = survey()
    library = synthetic.load_library("survey_b")
    rows = truth["karmn"].str[1:].astype(int).to_numpy() - 1
    model = synthetic.model_spectra(
        library.wavelength, library.flux[rows], truth["vsini"].to_numpy(), config.window, limb_darkening=0.6
    )
    expected = spectra.normalise(spectra.window_grid(config.window), model, config.continuum)[:, 500:-500]
    assert flux.shape == (12, 3501) and flux.dtype == np.float32
    np.testing.assert_allclose(flux, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("effect", EFFECTS)
def test_each_effect_alone_changes_the_flux_and_scales_with_its_strength(effect):
    plain, truth = survey()
    half, full = survey(**{effect: 0.5})[0] - plain, survey(**{effect: 1.0})[0] - plain
    sizes = [np.sqrt(np.mean(change.astype(float) ** 2)) for change in (half, full)]
    assert 1e-3 < sizes[1] < 0.1
    assert 1.5 < sizes[1] / sizes[0] < 2.5
    assert np.corrcoef(half.ravel(), full.ravel())[0, 1] > 0.9
    touched = np.any(full != 0, axis=1)
    if effect == "activity":
        np.testing.assert_array_equal(touched, truth["active"])
    else:
        assert touched.all()


@pytest.mark.parametrize("effect", EFFECTS)
def test_switching_one_effect_leaves_the_draws_of_the_others(effect):
    # what the effect does among all the others is what it does alone: had it shifted a random stream, they would differ
    everything, truth = survey(default=1.0)
    without, same = survey(default=1.0, **{effect: 0.0})
    alone = survey(**{effect: 1.0})[0] - survey()[0]
    assert np.corrcoef((everything - without).ravel(), alone.ravel())[0, 1] > 0.75
    pd.testing.assert_frame_equal(truth.drop(columns="velocity"), same.drop(columns="velocity"))


def test_line_errors_are_the_same_for_every_star():
    flux = survey(missing_lines=1.0)[0] - survey()[0]
    assert np.all(flux.mean(axis=0)[np.abs(flux).max(axis=0) > 0.2] > 0)  # lines vanish, none appear
    unknown = survey(unknown_lines=1.0)[0] - survey()[0]
    star_by_star = np.corrcoef(unknown)
    noise = np.corrcoef(survey(noise=1.0)[0] - survey()[0])
    off = ~np.eye(len(unknown), dtype=bool)
    assert np.median(star_by_star[off]) > 0.5
    assert np.abs(np.median(noise[off])) < 0.05


def test_truth_carries_the_librarys_labels():
    library = synthetic.load_library("survey_b")
    truth = survey()[1]
    rows = truth["karmn"].str[1:].astype(int).to_numpy() - 1
    np.testing.assert_array_equal(truth[["teff", "logg", "mh"]], library.label[rows])
    np.testing.assert_array_equal(truth["population"], library.population[rows])


def test_whole_survey_is_drawn_as_the_neighbourhood_is():
    config = survey_config(286, velocity=1.0)
    truth, rows = observed.draw_truth(synthetic.load_library("survey_b"), config)
    assert len(truth) == 286 == truth["karmn"].nunique() and sorted(rows) == list(range(286))
    assert truth["snr"].between(100, 400).all() and truth["vsini"].between(1.5, 28.1).all()
    assert truth["velocity"].std() == pytest.approx(0.15, rel=0.2)
    assert truth["telluric_velocity"].abs().max() <= 60
    active = truth["active"]
    assert truth.loc[active, "vsini"].median() > 2 * truth.loc[~active, "vsini"].median()
    young, old = active[truth["population"] == "YD"].mean(), active[truth["population"] == "TD"].mean()
    assert young > 2 * old
    metal = truth.groupby("population")["mh"].mean()
    assert metal["TD"] < metal["D"]


def test_a_seed_gives_the_same_survey_and_another_gives_another():
    config = survey_config(default=1.0)
    flux, truth = observed.survey_set(config)
    assert flux.tobytes() == survey(default=1.0)[0].tobytes()
    pd.testing.assert_frame_equal(truth, survey(default=1.0)[1])
    other, different = observed.survey_set(load_profile("smoke", {"survey.n_stars": 12, "survey.seed": 1}))
    assert not np.array_equal(other, flux) and not different.equals(truth)


def test_a_smaller_survey_is_a_part_of_the_whole():
    flux, truth = survey(30, 1.0)
    part, few = survey(12, 1.0)
    position = truth.reset_index().set_index("karmn").loc[few["karmn"], "index"].to_numpy()
    pd.testing.assert_frame_equal(truth.iloc[position].reset_index(drop=True), few)
    np.testing.assert_allclose(part, flux[position], rtol=0, atol=1e-6)


def test_velocities_left_over_are_found_again_by_cross_correlation():
    config = survey_config(velocity=20.0)  # 3 km/s rms
    plain, (moved, truth) = survey()[0], survey(velocity=20.0)
    wave = spectra.window_grid(config.window, margin=False)
    velocities = np.arange(-12, 12.01, 0.1)
    found = []
    for before, after in zip(plain, moved, strict=True):
        values = spectra.cross_correlate(wave[50:-50], after[50:-50].astype(float), wave, before[None], velocities)
        found.append(velocities[np.argmax(values)])
    np.testing.assert_allclose(found, truth["velocity"], rtol=0, atol=0.1)
    assert truth["velocity"].abs().max() > 2


def test_noise_has_the_stars_signal_to_noise_a_detector_pixel():
    plain, (noisy, truth) = survey(60)[0], survey(60, noise=1.0)
    change = (noisy - plain)[:, 100:-100].std(axis=1) * truth["snr"]
    # interpolation between detector pixels takes a fifth of the noise away, the lines' lower flux some more
    assert 0.6 < np.median(change) < 1.0
    assert np.corrcoef((noisy - plain).std(axis=1), 1 / truth["snr"])[0, 1] > 0.9


def test_effect_sizes_name_every_effect_and_what_the_codes_differ_by():
    sizes = observed.effect_sizes(load_profile("smoke"), 10)
    assert set(sizes) == {*EFFECTS, "codes"}
    assert all(0 < size < 0.1 for size in sizes.values())
    assert observed.effect_sizes(survey_config(), 10) == dict.fromkeys(EFFECTS, 0.0) | {"codes": sizes["codes"]}


# ---------------------------------------------------------------- an imitated HPF exposure

VELOCITY = 37.4
POWER = 53_000.0
FLAT = "alphabright_fcu_sept18_deblazed.fits"
SKY_MASK, TELLURIC_MASK = "HPF_SkyEmissionLineWavlMask.txt", "telfit_telmask_test.dat"


@functools.cache
def star_like_hpf():
    """A synthetic star at HPF's resolving power, normalised, with its wavelengths at rest."""
    config = load_profile("smoke", {"window.resolving_power": POWER, "window.margin": 6.0})
    library = synthetic.load_library("grid_a")
    raw = synthetic.expand(library, [(3350.0, 4.9, -0.1)])
    flux = synthetic.model_spectra(library.wavelength, raw, np.array([3.0]), config.window)
    wave = spectra.window_grid(config.window)
    return wave, (flux / flux.max())[0]


def write_hpf(folder, *, velocity=VELOCITY, name="Slope-20200101T000000_R01.optimal.fits", wiggle=0.0):
    """Files in HPF's layout: HDUs 1-9 of 28 orders x 2048 pixels, a flat, and two masks."""
    rest, star = star_like_hpf()
    wave = np.tile(np.linspace(8781.6, 8895.1, 2048), (28, 1))
    pixel = np.linspace(-1, 1, 2048)
    blaze = 1.0 - 0.7 * pixel**2
    flux = np.interp(spectra.doppler_shift(wave[6], -velocity), rest, star, left=1.0, right=1.0)
    flux = 5e3 * flux * (1 + wiggle * np.random.default_rng(0).standard_normal(2048))
    sky = np.full(2048, 30.0)
    sky[np.abs(wave[6] - 8812.0) < 0.4] = 4e3  # a strong sky line, badly subtracted
    damage = np.where(sky > 100, 5e3, 0.0)
    arrays = {name: np.zeros((28, 2048), np.float32) for name in ("flux", "sky", "cal", "variance")}
    arrays["flux"][6], arrays["sky"][6] = (flux + damage) * blaze + sky, sky
    arrays["variance"][6] = (5e3 / 250) ** 2 * blaze
    images = [arrays[key] for key in ("flux", "sky", "cal", "variance", "variance", "variance")] + [wave] * 3
    primary = fits.PrimaryHDU()
    primary.header["OBJECT"] = "GJ_TEST"
    fits.HDUList([primary, *map(fits.ImageHDU, images)]).writeto(folder / name)
    flat = [fits.ImageHDU(np.tile(blaze, (28, 1)).astype(np.float32)) for _ in range(9)]
    fits.HDUList([fits.PrimaryHDU(), *flat]).writeto(folder / FLAT)
    np.savetxt(folder / SKY_MASK, [(8781, 0), (8811.5, 0), (8811.6, 1), (8812.4, 1), (8812.5, 0), (8896, 0)])
    # not sorted, as in the real file's joints
    np.savetxt(folder / TELLURIC_MASK, [(8896, 0), (8781, 0), (8819.9, 0), (8820, 1), (8823, 1), (8823.1, 0)])
    return folder / name


@pytest.fixture(scope="module")
def hpf_templates():
    return observed.templates(load_profile("smoke", {"window.resolving_power": POWER}))


def test_imitated_hpf_exposure_is_read(tmp_path):
    path = write_hpf(tmp_path)
    star = observed.read_hpf(path)
    assert star.star == "GJ TEST" and star.resolving_power == POWER and star.file == str(path)
    shapes = {len(a) for a in (star.wavelength, star.flux, star.uncertainty, star.mask, star.telluric)}
    assert shapes == {len(star.wavelength)} and len(star.wavelength) > 1900
    np.testing.assert_allclose(np.median(star.flux / star.uncertainty), 240, rtol=0.15)
    lost = star.wavelength[star.mask]
    assert len(lost) > 8 and lost.min() > 8811.4 and lost.max() < 8812.6
    absorbed = star.wavelength[star.telluric]
    assert 8819.8 < absorbed.min() < 8820.1 and 8822.9 < absorbed.max() < 8823.2
    assert observed.read_spectrum(path).star == "GJ TEST"


@pytest.mark.parametrize("velocity", [VELOCITY, -112.3, 0.0])
def test_preparing_finds_the_velocity_and_gives_the_flux_back(tmp_path, hpf_templates, velocity):
    config = load_profile("smoke", {"window.resolving_power": POWER})
    path = write_hpf(tmp_path, velocity=velocity, wiggle=1 / 300)
    flux, report = observed.prepare(observed.read_hpf(path), config, hpf_templates)
    assert report["star"] == "GJ TEST" and abs(report["velocity"] - velocity) < 0.5
    assert report["correlation"] > 0.9
    assert 0 < report["masked_fraction"] < 0.05 and 0.03 < report["telluric_fraction"] < 0.15
    assert 150 < report["snr"] < 300
    rest, star = star_like_hpf()
    expected = np.interp(spectra.window_grid(config.window), rest, star)
    expected = spectra.normalise(spectra.window_grid(config.window), expected, config.continuum)[500:-500]
    assert flux.shape == expected.shape and flux.dtype == np.float32
    # 1 % is the price of 2.2 pixels a resolution element and another continuum; the sky line's gap is bridged
    wave = spectra.window_grid(config.window, margin=False)
    good = np.abs(wave - spectra.doppler_shift(8812.0, -velocity)) > 0.7
    assert np.sqrt(np.mean((flux - expected)[good] ** 2)) < 0.012
    assert np.corrcoef(flux[good], expected[good])[0, 1] > 0.995
    assert np.abs(flux - expected).max() < 0.25


def test_a_sharper_spectrum_is_broadened_to_the_runs_resolving_power():
    config = load_profile("smoke", {"window.resolving_power": POWER})
    library = synthetic.load_library("grid_a")
    raw = synthetic.expand(library, [(3350.0, 4.9, -0.1)])

    def star(power):
        window = load_profile("smoke", {"window.resolving_power": power, "window.margin": 6.0}).window
        flux = synthetic.model_spectra(library.wavelength, raw, np.array([3.0]), window)[0]
        wave, no = spectra.window_grid(window), np.zeros(len(flux), bool)
        return observed.Spectrum("x", wave, flux, np.full(len(flux), np.nan), no, no, power)

    sharp, _ = observed.prepare(star(94_600.0), config)
    blunt, report = observed.prepare(star(POWER), config)
    assert abs(report["velocity"]) < 0.2 and np.isnan(report["snr"])
    inner = slice(200, -200)
    np.testing.assert_allclose(sharp[inner], blunt[inner], rtol=0, atol=4e-3)
    with pytest.raises(DataError, match="R = 53000.*less than the run's 94600.*window.resolving_power=53000") as error:
        observed.prepare(star(POWER), load_profile("smoke"))
    assert "\n" not in str(error.value)


def test_a_spectrum_that_is_no_m_dwarf_is_refused():
    config = load_profile("smoke")
    wave, no = np.arange(8788, 8847, 0.02), np.zeros(2950, bool)
    flux = 1 + 0.01 * np.random.default_rng(0).standard_normal(2950)
    noise = observed.Spectrum("static", wave, flux, np.ones(2950), no, no)
    with pytest.raises(DataError, match="static: field 'flux': no velocity found .*is this an M dwarf"):
        observed.prepare(noise, config)


def test_masked_pixels_do_not_reach_the_result(tmp_path, hpf_templates):
    config = load_profile("smoke", {"window.resolving_power": POWER})
    star = observed.read_hpf(write_hpf(tmp_path))
    clean, _ = observed.prepare(star, config, hpf_templates)
    star.flux[star.mask] = 1e9
    spoilt, _ = observed.prepare(star, config, hpf_templates)
    np.testing.assert_allclose(spoilt, clean, rtol=0, atol=1e-6)


def _cut_short(path, kept):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])


def _rewrite(path, change):
    with fits.open(path, memmap=False) as hdus:
        copy = fits.HDUList([hdu.copy() for hdu in hdus])
    change(copy)
    copy.writeto(path, overwrite=True)


def _reshape(number):
    def change(hdus):
        hdus[number].data = hdus[number].data[:5]

    return change


def _no_flux(hdus):
    hdus[1].data[6] = np.nan


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyUserWarning")
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda p: _cut_short(p, 0.5), ["Slope-", "download the file again"]),
        (lambda p: _cut_short(p, 0.6), ["Slope-", "download the file again"]),
        (lambda p: p.write_bytes(b""), ["Slope-", "not a whole FITS file"]),
        (lambda p: p.write_text("no FITS"), ["Slope-", "not a whole FITS file"]),
        (lambda p: p.unlink(), ["Slope-", "not found", "check DTL_DATA or the path"]),
        (lambda p: _rewrite(p, lambda h: h.__delitem__(slice(5, None))), ["Slope-", "has 5 HDUs"]),
        (lambda p: _rewrite(p, _reshape(1)), ["Slope-", "'Sci Flux'", "(5, 2048), not (28, 2048)"]),
        (lambda p: _rewrite(p, _reshape(2)), ["Slope-", "(5, 2048), not (28, 2048)"]),
        (lambda p: _rewrite(p, _reshape(7)), ["Slope-", "(5, 2048), not (28, 2048)"]),
        (lambda p: _rewrite(p, _no_flux), ["Slope-", "too few usable pixels", "check the reduction"]),
        (lambda p: (p.parent / FLAT).unlink(), ["flat", "beside"]),
        (lambda p: _cut_short(p.parent / FLAT, 0.05), [FLAT, "download the file again"]),
        (lambda p: _rewrite(p.parent / FLAT, _reshape(1)), [FLAT, "(5, 2048), not (28, 2048)"]),
        (lambda p: (p.parent / SKY_MASK).unlink(), ["HPF_SkyEmissionLineWavlMask", "not found", "mask files beside"]),
        (lambda p: (p.parent / TELLURIC_MASK).unlink(), ["telfit_telmask", "not found", "mask files beside"]),
        (lambda p: (p.parent / SKY_MASK).write_text("a b\nc"), [SKY_MASK, "two columns of numbers"]),
    ],
    ids=[
        "half",
        "cut wavelengths",
        "empty",
        "text",
        "missing",
        "few HDUs",
        "flux shape",
        "sky shape",
        "wavelength shape",
        "all NaN",
        "no flat",
        "cut flat",
        "flat shape",
        "no sky mask",
        "no telluric mask",
        "broken mask",
    ],
)
def test_damaged_hpf_files_are_refused_in_one_line(tmp_path, damage, words):
    path = write_hpf(tmp_path)
    damage(path)
    with pytest.raises(DataError) as error:
        observed.read_hpf(path)
    line = str(error.value)
    assert "\n" not in line and "; " in line
    for word in words:
        assert word in line


def test_hpf_files_are_found_in_a_mirror_only(tmp_path, monkeypatch):
    folder = tmp_path / "observed" / "hpf"
    folder.mkdir(parents=True)
    path = write_hpf(folder)
    assert observed.hpf_files(tmp_path) == [path]
    monkeypatch.setenv("DTL_DATA", str(tmp_path))
    assert observed.hpf_files() == [path]
    monkeypatch.delenv("DTL_DATA")
    assert observed.hpf_files() == []


# ---------------------------------------------------------------- the real HPF stars


@pytest.mark.data
@pytest.mark.skipif(data_mirror() is None, reason="DTL_DATA does not name the folder of public data")
def test_real_hpf_stars_agree_with_their_published_window(hpf_templates):
    config = load_profile("smoke", {"window.resolving_power": POWER})
    files = observed.hpf_files()
    assert len(files) == 3
    wave = spectra.window_grid(config.window, margin=False)
    seen = set()
    for path in files:
        star = observed.read_hpf(path)
        seen.add(star.star)
        night = re.search(r"\d{8}T\d{6}", path.name).group()
        (table,) = (data_mirror() / "observed" / "window").glob(f"*{night}.csv")
        theirs = pd.read_csv(table)
        ratio = (theirs["wave_vac_obs"] / theirs["wave_vac_rest"]).median()
        flux, report = observed.prepare(star, config, hpf_templates)
        # ratio^2 = (1 + b) / (1 - b)
        velocity = spectra.C_KMS * (ratio**2 - 1) / (ratio**2 + 1)
        assert abs(report["velocity"] - velocity) < 1.0
        assert report["correlation"] > 0.5 and report["snr"] > 30
        good = (theirs["sky_line_mask"] == 0) & theirs["flux"].notna()
        other = np.interp(wave, theirs.loc[good, "wave_vac_rest"], theirs.loc[good, "flux"])
        assert np.corrcoef(flux, other)[0, 1] > 0.95
        assert np.all(np.isfinite(flux)) and flux.min() > 0 and flux.max() < 1.5
    assert seen == {"GJ 699", "G 9-40", "VB 10"}


# ---------------------------------------------------------------- the user's own files


def user_table(**columns):
    wave = np.arange(8790, 8845, 0.03)
    return Table({"wavelength": wave, "flux": 1 + 0.1 * np.sin(wave)} | columns)


def write(path, table, unit=None):
    if unit:
        table["wavelength"].unit = unit
    table.write(path, format={".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".fits": "fits"}[path.suffix])
    return path


@pytest.mark.parametrize(
    ("suffix", "unit", "factor"),
    [(".ecsv", "nm", 10), (".ecsv", "Angstrom", 1), (".ecsv", "um", 1e4), (".fits", "nm", 10), (".csv", None, 1)],
)
def test_own_spectrum_is_read_and_its_unit_converted(tmp_path, suffix, unit, factor):
    table = user_table()
    flux = np.array(table["flux"])
    table["wavelength"] /= factor
    star = observed.read_spectrum(write(tmp_path / f"star{suffix}", table, unit))
    np.testing.assert_allclose(star.wavelength, np.arange(8790, 8845, 0.03), rtol=1e-12)
    np.testing.assert_allclose(star.flux, flux)
    assert star.star == "star" and np.isnan(star.resolving_power) and not star.mask.any()
    assert np.isnan(star.uncertainty).all()


@pytest.mark.parametrize("suffix", [".ecsv", ".csv", ".fits"])
def test_own_spectrum_may_have_a_mask_and_errors(tmp_path, suffix):
    table = user_table()
    lost = np.arange(len(table)) % 50 == 0
    table["uncertainty"], table["mask"] = 0.01, lost
    if suffix == ".ecsv":
        table.meta = {"OBJECT": "My star", "R": 80_000}
    star = observed.read_spectrum(write(tmp_path / f"a{suffix}", table))
    np.testing.assert_array_equal(star.mask, lost)
    np.testing.assert_allclose(star.uncertainty, 0.01)
    if suffix == ".ecsv":
        assert star.star == "My star" and star.resolving_power == 80_000


def test_masked_pixels_may_be_nan(tmp_path):
    table = user_table()
    lost = np.arange(len(table)) % 50 == 0
    table["mask"] = lost.astype(int)
    table["flux"][lost] = np.nan
    star = observed.read_spectrum(write(tmp_path / "a.fits", table))
    assert np.all(np.isfinite(star.flux)) and np.array_equal(star.mask, lost)


def _swap(table):
    table["wavelength"][[3, 4]] = table["wavelength"][[4, 3]]


def _text(name):
    def change(table):
        table[name] = [*map(str, table[name][:-1]), "n/a?"]

    return change


def _empty_cell(table):
    table["flux"] = np.ma.array(table["flux"], mask=np.arange(len(table)) == 7)


def _nan(table):
    table["flux"][[5, 9]] = np.nan


def _nothing(table):
    pass


@pytest.mark.parametrize(
    ("name", "unit", "change", "words"),
    [
        ("a.ecsv", "K", _nothing, ["field 'wavelength'", "unit K", "give A or nm"]),
        ("a.ecsv", "furlongs", _nothing, ["field 'wavelength'", "furlongs", "give A or nm"]),
        ("a.csv", None, lambda t: t.rename_column("flux", "f"), ["field 'flux'", "is missing", "'f'"]),
        ("a.ecsv", None, lambda t: t.rename_column("wavelength", "w"), ["field 'wavelength'", "is missing"]),
        ("a.csv", None, _nan, ["field 'flux'", "NaN", "interpolate or mask"]),
        ("a.fits", None, _nan, ["field 'flux'", "has 2 NaN", "interpolate or mask"]),
        ("a.csv", None, _empty_cell, ["field 'flux'", "NaN", "interpolate or mask"]),
        ("a.ecsv", None, _swap, ["field 'wavelength'", "not strictly increasing", "sort it"]),
        ("a.csv", None, lambda t: t.remove_rows(slice(900, None)), ["field 'wavelength'", "longer wavelength range"]),
        ("a.csv", None, lambda t: t.remove_rows(slice(5, None)), ["field 'flux'", "not one spectrum"]),
        ("a.csv", None, lambda t: t["wavelength"].__itruediv__(10), ["field 'wavelength'", "look like nm: give A"]),
        ("a.csv", None, lambda t: t["wavelength"].__itruediv__(1e4), ["field 'wavelength'", "look like micron"]),
        ("a.csv", None, _text("flux"), ["field 'flux'", "not a column of numbers", "check the columns"]),
        ("a.csv", None, _text("wavelength"), ["field 'wavelength'", "not a column of numbers"]),
        ("a.ecsv", None, lambda t: t.meta.update(R="high"), ["'R'", "high"]),
    ],
    ids=[
        "kelvin",
        "unknown unit",
        "no flux",
        "no wavelength",
        "NaN in CSV",
        "NaN in FITS",
        "empty cell",
        "unsorted",
        "short",
        "few rows",
        "nm",
        "micron",
        "text flux",
        "text wavelength",
        "text R",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_broken_own_spectrum_is_refused_in_one_line(tmp_path, name, unit, change, words):
    table = user_table()
    change(table)
    path = write(tmp_path / name, table, "K" if unit == "furlongs" else unit)
    if unit == "furlongs":
        path.write_text(path.read_text().replace("unit: K", "unit: furlongs"))
    with pytest.raises(DataError) as error:
        observed.read_spectrum(path)
    line = str(error.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.dat", "1 2", ["unknown kind of file '.dat'", "give .ecsv, .csv or .fits"]),
        ("a.fits", "nothing", ["cannot be read as a table", "check the format"]),
        ("a.ecsv", "wavelength flux\n1 2", ["cannot be read as a table", "check the format"]),
        ("a.csv", "", ["field 'wavelength'", "is missing; name a column"]),
        ("a.csv", None, ["not found", "check the path"]),
    ],
)
def test_unreadable_files_are_refused_in_one_line(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as error:
        observed.read_spectrum(tmp_path / name)
    assert str(tmp_path / name) in str(error.value) and "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.floats(0.2, 5), st.floats(-0.2, 0.2), st.floats(-0.2, 0.2))
def test_blaze_level_finds_a_parabola_and_scales_with_it(height, tilt, bend):
    wave = np.linspace(8790, 8850, 1200)
    x = (wave - 8820) / 30
    blaze = height * (1 + tilt * x + bend * x**2)
    mask = np.zeros(1200, bool)
    mask[::17] = True
    spoilt = np.where(mask, 1e6, blaze)
    found = observed.blaze_level(wave, spoilt, mask)
    # a percentile of a sloping stretch lies above its middle, by up to four tenths of the stretch
    assert np.abs(found / blaze - 1).max() < 0.1 and np.abs(np.median(found / blaze) - 1) < 0.05
    np.testing.assert_allclose(observed.blaze_level(wave, 7 * spoilt, mask), 7 * found, rtol=1e-9)
