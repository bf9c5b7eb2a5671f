"""The chain from a real spectrum to the network's input: each step by its inverse or an oracle, then all of it."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from PyAstronomy import pyasl
from synthetic_star import model

from dtl_core.config import load_profile
from dtl_core.errors import DataError, DTLError
from dtl_core.preparing import chain
from dtl_core.preparing import velocity as velocities
from dtl_core.public_data.registry import data_mirror
from dtl_core.reading import readers
from dtl_core.reading.readers import Spectrum
from dtl_core.spectra import operators

POWER = 53_000.0
PIXEL = 0.055  # A, of an HPF-like detector: three a resolution element


def profile(**changes):
    return load_profile("smoke", {"window.resolving_power": POWER} | changes)


def expected(config, **labels):
    """What the chain should give for :func:`model`."""
    grid = operators.window_grid(config.window)
    return operators.normalise(grid, np.interp(grid, *model(**labels)), config.continuum)[500:-500]


def star(velocity=0.0, snr=None, seed=0, *, name="star", power=POWER, pixel=PIXEL, **fields):
    """The synthetic star on detector pixels, moving at ``velocity`` km/s."""
    rest, flux = model()
    wave = np.arange(8796.0 - 9, 8839.0 + 9, pixel)
    seen = operators.doppler_shift(rest, velocity)
    wave = wave[(wave > seen[0]) & (wave < seen[-1])]
    flux, no = np.interp(wave, seen, flux), np.zeros(len(wave), bool)
    sigma = np.full(len(wave), np.nan if snr is None else 1 / snr)
    if snr:
        flux = flux + np.random.default_rng(seed).normal(0, 1 / snr, len(wave))
    return Spectrum(name, wave, flux, sigma, no, no.copy(), resolving_power=power, **fields)


# ---------------------------------------------------------------- single steps


def test_cut_keeps_the_pixels_between_and_refuses_what_is_elsewhere():
    whole = star(snr=100)
    part = chain.cut(whole, 8800.0, 8810.0)
    assert part.wavelength[0] >= 8800 and part.wavelength[-1] <= 8810 and len(part.wavelength) == len(part.flux) == 182
    assert len(whole.wavelength) > 800  # what was given stays as it is
    with pytest.raises(DataError, match=r"star: field 'wavelength': covers 879\d.\d-884\d.\d A, not 5000.0-5010.0 A"):
        chain.cut(whole, 5000.0, 5010.0)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.sets(st.integers(5, 770), min_size=1, max_size=4), st.floats(0.4, 50), st.floats(50, 500))
def test_cosmic_rays_are_found_and_only_they(places, height, snr):
    one = star(snr=snr)
    flux, hits = one.flux.copy(), sorted(places)
    hits = [p for p, after in zip(hits, [*hits[1:], 10**6], strict=True) if after - p > 8]
    for place in hits:
        flux[place] += height
    found = chain.cosmic_rays(flux, one.uncertainty, 8.0)
    assert found[hits].all()
    assert found.sum() <= 3 * len(hits)
    assert not chain.cosmic_rays(one.flux, one.uncertainty, 8.0).any()
    assert not chain.cosmic_rays(flux, one.uncertainty, 0.0).any()


@pytest.mark.parametrize("offset", [0.0, 0.25, 0.5])
def test_an_emission_line_as_sharp_as_the_instrument_is_no_cosmic_ray(offset):
    pixels, sigma = np.arange(400), 2.5 / 2.3548
    line = 1 + 5 * np.exp(-0.5 * ((pixels - 200 - offset) / sigma) ** 2)
    assert not chain.cosmic_rays(line, np.full(400, 1e-3), 8.0).any()
    assert chain.cosmic_rays(np.where(pixels == 200, 6.0, 1.0), np.full(400, np.nan), 8.0)[200]


def test_bridging_touches_masked_pixels_only_and_restores_a_line():
    wave = np.linspace(0, 1, 101)
    mask = (wave > 0.3) & (wave < 0.5)
    flux = np.where(mask, 1e9, 2 + 3 * wave)
    np.testing.assert_allclose(chain.bridge(wave, flux, mask), 2 + 3 * wave)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.floats(0.2, 5), st.floats(-0.2, 0.2), st.floats(-0.2, 0.2))
def test_blaze_level_finds_a_parabola_and_scales_with_it(height, tilt, bend):
    wave = np.linspace(8790, 8850, 1200)
    x = (wave - 8820) / 30
    blaze = height * (1 + tilt * x + bend * x**2)
    mask = np.zeros(1200, bool)
    mask[::17] = True
    spoilt = np.where(mask, 1e6, blaze)
    found = chain.blaze_level(wave, spoilt, mask)
    # a percentile of a sloping stretch lies above its middle, by up to four tenths of the stretch
    assert np.abs(found / blaze - 1).max() < 0.1 and np.abs(np.median(found / blaze) - 1) < 0.05
    np.testing.assert_allclose(chain.blaze_level(wave, 7 * spoilt, mask), 7 * found, rtol=1e-9)


def test_matching_the_resolution_is_pyastronomys_and_two_steps_are_one():
    wave, sharp = model(power=94_600.0, vsini=1.5)
    once = chain.match_resolution(wave, sharp, 94_600.0, 40_000.0)
    twice = chain.match_resolution(wave, chain.match_resolution(wave, sharp, 94_600.0, 53_000.0), 53_000.0, 40_000.0)
    inner = slice(200, -200)
    np.testing.assert_allclose(twice[inner], once[inner], rtol=0, atol=2e-4)
    theirs = pyasl.instrBroadGaussFast(wave, sharp, (40_000.0**-2 - 94_600.0**-2) ** -0.5, edgeHandling="firstlast")
    np.testing.assert_allclose(theirs[inner], once[inner], rtol=0, atol=1e-3)
    assert chain.match_resolution(wave, sharp, 53_500.0, 53_000.0) is sharp
    with pytest.raises(DataError, match="R = 53000, less than the run's 94600; set window.resolving_power=53000"):
        chain.match_resolution(wave, sharp, 53_000.0, 94_600.0)


def test_signal_to_noise_is_that_of_good_pixels():
    one = star(snr=80)
    assert chain.signal_to_noise(one) == pytest.approx(80, rel=0.1)
    one.uncertainty[:400] = 10.0
    one.mask[:400] = True
    assert chain.signal_to_noise(one) == pytest.approx(80, rel=0.1)
    assert np.isnan(chain.signal_to_noise(star()))


# ---------------------------------------------------------------- velocity


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.floats(-240, 240), st.integers(0, 10**6))
def test_velocity_is_found_to_a_third_of_a_pixel(velocity, seed):
    config, one = profile(), star(velocity, snr=400, seed=seed)
    found = velocities.measure_velocity(
        one.wavelength, one.flux, one.mask, velocities.templates(config.window, config.continuum)
    )
    assert abs(found.value - velocity) < 0.3 * 0.01 / 8817 * operators.C_KMS
    assert found.correlation > 0.97 and found.error < 0.2


def test_velocity_is_found_to_a_third_of_a_pixel_rms_at_lower_snr():
    """At S/N = 100 noise scatters by a seventh of a pixel, so that single stars may be further off."""
    config = profile()
    template = velocities.templates(config.window, config.continuum)
    off = []
    for seed, velocity in enumerate(np.linspace(-240, 240, 40)):
        one = star(velocity, snr=100, seed=seed)
        off.append(velocities.measure_velocity(one.wavelength, one.flux, one.mask, template).value - velocity)
    assert np.sqrt(np.mean(np.square(off))) < 0.3 * 0.01 / 8817 * operators.C_KMS


def test_velocity_errors_hold():
    """With noise that drowns the mismatch of the template, the scatter is what the errors say."""
    config = profile()
    template = velocities.templates(config.window, config.continuum)
    pulls = []
    for seed in range(60):
        one = star(10.3, snr=7, seed=seed)
        found = velocities.measure_velocity(one.wavelength, one.flux, one.mask, template)
        pulls.append((found.value - 10.3) / found.error)
    assert 0.6 < np.std(pulls) < 1.3  # the scatter between templates, added to the error, makes it generous
    assert abs(np.mean(pulls)) < 0.4


def test_velocity_does_not_look_at_masked_pixels():
    config, one = profile(), star(-33.0, snr=200)
    one.mask[300:340] = True
    template = velocities.templates(config.window, config.continuum)
    found = velocities.measure_velocity(one.wavelength, one.flux, one.mask, template)
    one.flux[one.mask] = 1e6
    assert velocities.measure_velocity(one.wavelength, one.flux, one.mask, template) == found
    assert found.value == pytest.approx(-33, abs=0.1)


def test_velocity_limit_bounds_the_search():
    config, one = profile(), star(90.0, snr=200)
    template = velocities.templates(config.window, config.continuum)
    assert abs(velocities.measure_velocity(one.wavelength, one.flux, one.mask, template, 50.0).value) <= 51
    assert velocities.measure_velocity(one.wavelength, one.flux, one.mask, template, 100.0).value == pytest.approx(
        90, abs=0.1
    )


# ---------------------------------------------------------------- several exposures


def exposures(n=5, snr=60, **fields):
    """A star at 20 km/s in ``n`` nights of different barycentric velocity."""
    bervs = np.linspace(-25, 25, n)
    return [
        star(20.0 - berv, snr=snr, seed=k, berv=berv, time=2458000.0 + k, file=f"night{k}.fits", **fields)
        for k, berv in enumerate(bervs)
    ]


def test_coadding_gains_the_root_of_the_number_and_keeps_the_lines():
    config = profile()
    together, n_cosmic = chain.coadd(exposures(), config)
    assert together.frame == "barycentric" and n_cosmic == 0 and together.time == 2458002.0
    inside = (together.wavelength > 8801) & (together.wavelength < 8834)
    assert chain.signal_to_noise(together, inside) == pytest.approx(60 * np.sqrt(5) * 0.965, rel=0.03)
    flux, report = chain.prepare(exposures(), config)
    assert report.n_exposures == 5 and report.radial_velocity == pytest.approx(20, abs=0.1)
    single, _ = chain.prepare(exposures()[0], config)
    truth = expected(config)
    errors = [np.sqrt(np.mean((found - truth) ** 2)) for found in (flux, single)]
    assert errors[0] < 0.6 * errors[1] and errors[0] < 0.014


def test_coadding_drops_cosmic_rays_and_fills_what_one_exposure_lost():
    config = profile()
    nights = exposures()
    nights[1].flux[300:304] += 3.0  # four pixels wide: only the comparison with the others finds it
    nights[3].mask[500:520] = True
    clean, _ = chain.prepare(exposures(), config)
    spoilt, report = chain.prepare(nights, config)
    assert report.n_cosmic >= 4 and report.masked_fraction == 0
    assert np.abs(spoilt - clean).max() < 0.05
    lone, _ = chain.prepare(nights[1], config)
    assert np.abs(lone - clean).max() > 0.5


def test_tellurics_move_through_the_spectrum_and_can_be_left_out():
    config = profile(**{"chain.tellurics": "mask"})
    nights = exposures(snr=300)
    for night in nights:  # a deep line of the Earth's atmosphere, always at the same observed wavelength
        at = np.abs(night.wavelength - 8815.0) < 0.25
        night.flux[at] *= 0.3
        night.telluric[at] = True
    truth = expected(config)
    flux, report = chain.prepare(nights, config)
    assert report.telluric_fraction == 0 and np.sqrt(np.mean((flux - truth) ** 2)) < 0.012
    kept, report = chain.prepare(nights[2], profile())
    assert report.telluric_fraction > 0.01 and np.abs(kept - truth).max() > 0.4
    bridged, report = chain.prepare(nights[2], config)
    assert report.masked_fraction == report.telluric_fraction and np.abs(bridged - truth).max() < 0.4


def test_exposures_without_barycentric_correction_are_aligned_by_their_lines():
    nights = [dataclasses.replace(night, berv=np.nan) for night in exposures(snr=200)]
    flux, report = chain.prepare(nights, profile())
    assert abs(report.velocity) < 0.1 and np.isnan(report.radial_velocity)
    assert any("aligned by cross-correlation" in text for text in report.warnings)
    assert np.sqrt(np.mean((flux - expected(profile())) ** 2)) < 0.012


def test_exposures_without_uncertainties_count_alike():
    together, _ = chain.coadd(exposures(snr=None), profile())
    assert np.isnan(together.uncertainty).all() and not together.mask[200:-200].any()


def test_only_exposures_of_one_star_and_instrument_are_coadded():
    other = star(name="another", file="other.fits")
    with pytest.raises(DataError, match="other.fits: field 'star': is another, but star in night0.fits"):
        chain.coadd([*exposures(2), other], profile())
    with pytest.raises(DataError, match="field 'resolving_power': is 94600.0, but 53000.0"):
        chain.coadd([star(), star(power=94_600.0)], profile())
    with pytest.raises(DataError, match="no exposure is given"):
        chain.coadd([], profile())


# ---------------------------------------------------------------- the whole chain


@pytest.mark.parametrize("resampling", ["linear", "spline", "flux"])
@pytest.mark.parametrize("velocity", [37.4, -112.3, 0.0])
def test_preparing_gives_the_rest_frame_spectrum_back(velocity, resampling):
    config = profile(**{"chain.resampling": resampling})
    flux, report = chain.prepare(star(velocity, snr=300, berv=12.0, instrument="test"), config)
    assert flux.shape == (3501,) and flux.dtype == np.float32
    error = flux - expected(config)
    # straight lines between three pixels a resolution element clip the lines; a spline does not
    assert np.sqrt(np.mean(error**2)) < (0.012 if resampling == "linear" else 0.006)
    assert report.velocity == pytest.approx(velocity, abs=0.1) and report.e_velocity < 0.15
    assert report.radial_velocity == pytest.approx(velocity + 12, abs=0.11)
    assert report.snr == pytest.approx(290, rel=0.05) and report.correlation > 0.98
    assert report.n_cosmic == 0 and report.n_exposures == 1 and report.n_continuum > 20
    assert report.warnings == () and report.instrument == "test"


def test_a_sharper_spectrum_is_broadened_to_the_runs_resolving_power():
    config = profile()
    rest, sharp = model(power=94_600.0)
    no = np.zeros(len(rest), bool)
    one = Spectrum("x", rest, sharp, np.full(len(rest), np.nan), no, no, resolving_power=94_600.0)
    flux, report = chain.prepare(one, config)
    assert abs(report.velocity) < 0.1 and np.isnan(report.snr)
    np.testing.assert_allclose(flux[200:-200], expected(config)[200:-200], rtol=0, atol=4e-3)
    with pytest.raises(DataError, match="star: field 'resolving_power': has R = 53000, less than the run's 94600") as e:
        chain.prepare(star(), load_profile("smoke"))
    assert "\n" not in str(e.value)


def test_masked_pixels_do_not_reach_the_result():
    config, one = profile(), star(15.0, snr=200)
    one.mask[400:410] = True
    clean, report = chain.prepare(one, config)
    assert 0.01 < report.masked_fraction < 0.02
    one.flux[one.mask] = 1e9
    np.testing.assert_array_equal(chain.prepare(one, config)[0], clean)


def test_warnings_name_what_is_doubtful():
    one = star(-82.0, snr=200, notes=("medium not stated: taken as vacuum",))
    texts = chain.prepare(one, profile())[1].warnings
    assert texts[0] == "medium not stated: taken as vacuum" and "air wavelengths taken for vacuum" in texts[1]
    known = star(-72.4, snr=200, rv=30.0, berv=20.0)
    (text,) = chain.prepare(known, profile())[1].warnings
    assert text == "shift of -72 km/s where 10 is expected: are these air wavelengths?"
    assert chain.prepare(star(-72.4, snr=200, rv=-52.4, berv=20.0), profile())[1].warnings == ()
    aligned = star(0.0, snr=200, rv=82.0, frame="rest")  # at rest no shift is expected, whatever the star's velocity
    assert chain.prepare(aligned, profile())[1].warnings == ()
    (text,) = chain.prepare(star(snr=200, power=np.nan), profile())[1].warnings
    assert text == "no resolving power given, taken as the run's 53000"
    half = star(snr=200)
    half.mask[200:300] = True
    (text,) = chain.prepare(half, profile())[1].warnings
    assert re.fullmatch(r"1\d% of the window is masked and bridged", text)


def _noise(one):
    flux = 1 + 0.01 * np.random.default_rng(0).standard_normal(len(one.flux))
    return dataclasses.replace(one, flux=flux)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_noise, "no velocity found .*is this an M dwarf"),
        (lambda s: dataclasses.replace(s, flux=-s.flux), "has no positive flux"),
        (lambda s: dataclasses.replace(s, flux=s.flux * np.linspace(3, -1, len(s.flux))), "its continuum reaches zero"),
        (lambda s: dataclasses.replace(s, flux=np.full(len(s.flux), np.nan)), "has no positive flux"),
        (lambda s: dataclasses.replace(s, mask=np.ones(len(s.flux), bool)), "has no positive flux"),
        (lambda s: chain.cut(s, 8810, 8850), "covers 8810.*is needed; give a longer wavelength range"),
        (lambda s: dataclasses.replace(s, wavelength=s.wavelength / 10), "not 878.*give a longer wavelength"),
        (
            lambda s: dataclasses.replace(s, mask=(s.wavelength > 8798) & (s.wavelength < 8837)),
            "no velocity found|of the pixels between .* A are bad",
        ),
    ],
    ids=["noise", "negative", "crosses zero", "NaN", "all masked", "short", "nm", "window masked"],
)
def test_what_cannot_be_prepared_is_refused_in_one_line(change, words):
    one = change(star(snr=200, file="bad.fits"))
    with pytest.raises(DataError, match=f"^bad.fits: .*{words}") as error:
        chain.prepare(one, profile())
    assert "\n" not in str(error.value)


def test_many_go_on_where_one_fails_unless_strict():
    good, bad = star(snr=200), dataclasses.replace(_noise(star()), file="bad.fits")
    done = []
    flux, reports, failures = chain.prepare_many([good, bad, exposures(2)], profile(), progress=done.append)
    assert flux.shape == (2, 3501) and [r.n_exposures for r in reports] == [1, 2] and done == [1, 1, 1]
    assert len(failures) == 1 and failures[0][0] == "bad.fits" and "no velocity found" in failures[0][1]
    with pytest.raises(DataError, match="bad.fits"):
        chain.prepare_many([good, bad], profile(), strict=True)
    assert chain.prepare_many([], profile())[0].shape == (0, 3501)


def test_prepared_spectra_are_saved_whole_or_not_at_all(tmp_path):
    bad = dataclasses.replace(_noise(star()), file="bad.fits")
    config = profile()
    made = chain.prepare_many([star(12.0, snr=200, name="GJ 1"), bad], config)
    chain.save(tmp_path / "out.fits", *made, config)
    stars, wave, refused = (Table.read(tmp_path / "out.fits", hdu=k) for k in (1, 2, 3))
    np.testing.assert_array_equal(stars["flux"], made[0])
    assert stars["star"][0] == "GJ 1" and stars["velocity"][0] == pytest.approx(12, abs=0.1)
    assert stars["velocity"].unit == "km / s" and len(wave) == 3501 and refused["file"][0] == "bad.fits"
    chain.save(tmp_path / "empty.fits", *chain.prepare_many([], config), config)
    assert len(Table.read(tmp_path / "empty.fits", hdu=1)) == 0
    chain.save(tmp_path / "new" / "out.fits", *made, config)
    with pytest.raises(DTLError, match="out.fits/out.fits: cannot be written .*free disk space, correct the perm"):
        chain.save(tmp_path / "out.fits" / "out.fits", *made, config)
    assert {path.name for path in tmp_path.iterdir()} == {"out.fits", "empty.fits", "new"}


def test_steps_end_with_the_chain_and_each_comes_closer():
    config = profile()
    one = star(40.0, snr=300)
    blaze = 1 - ((one.wavelength - 8830) / 60) ** 2
    one = dataclasses.replace(one, flux=one.flux * blaze)
    done = chain.steps(one, config)
    # what lies outside the reach of the window changes no step, nor does it in the chain
    far = [np.arange(start, start + 40.0, PIXEL) for start in (one.wavelength[0] - 60.0, one.wavelength[-1] + 20.0)]
    wave = np.concatenate([far[0], one.wavelength, far[1]])
    wild = np.concatenate([np.full(len(far[0]), 9.0), one.flux, np.full(len(far[1]), 0.1)])
    no = np.zeros(len(wave), bool)
    sigma = np.full(len(wave), 1 / 300)
    longer = dataclasses.replace(one, wavelength=wave, flux=wild, uncertainty=sigma, mask=no, telluric=no)
    for name, flux in chain.steps(longer, config).items():
        np.testing.assert_allclose(flux, done[name], rtol=0, atol=1e-6, err_msg=name)
    assert list(done) == ["as read", "blaze", "rest frame", "chain"]
    np.testing.assert_array_equal(done["chain"], chain.prepare(one, config)[0])
    rms = [np.sqrt(np.mean((flux - expected(config)) ** 2)) for flux in done.values()]
    assert rms[0] > rms[1] > rms[2] > rms[3]


def test_exposures_are_grouped_by_star_and_instrument():
    a, b, c = star(name="a"), star(name="b"), star(name="a", power=94_600.0)
    found = chain.group_exposures([a, b, a, c])
    assert found[0] == [a, a] and found[1] is b and found[2] is c


# ---------------------------------------------------------------- the real HPF stars

# Radial velocities, km/s, barycentric: Gaia DR3, and for VB 10 Fouque et al. (2018).
LITERATURE = {"GJ 699": -110.47, "G 9-40": 14.09, "VB 10": 36.70}


@pytest.mark.data
def test_real_hpf_stars_agree_with_their_published_window_and_velocity():
    config = profile()
    wave = operators.window_grid(config.window, margin=False)
    files = sorted((data_mirror() / "observed" / "hpf").glob("Slope-*.fits"))
    assert len(files) == 3
    seen = {}
    for path in files:
        one = readers.read(path)
        night = re.search(r"\d{8}T\d{6}", path.name).group()
        (table,) = (data_mirror() / "observed" / "window").glob(f"*{night}.csv")
        theirs = pd.read_csv(table)
        ratio = (theirs["wave_vac_obs"] / theirs["wave_vac_rest"]).median()
        flux, report = chain.prepare(one, config)
        # ratio^2 = (1 + b) / (1 - b)
        velocity = operators.C_KMS * (ratio**2 - 1) / (ratio**2 + 1)
        assert abs(report.velocity - velocity) < 1.0
        assert report.correlation > 0.5 and report.snr > 30 and report.n_cosmic < 30
        good = (theirs["sky_line_mask"] == 0) & theirs["flux"].notna()
        other = np.interp(wave, theirs.loc[good, "wave_vac_rest"], theirs.loc[good, "flux"])
        assert np.corrcoef(flux, other)[0, 1] > 0.95
        assert np.all(np.isfinite(flux)) and flux.min() > 0 and flux.max() < 1.5
        seen[report.star] = abs(report.radial_velocity - LITERATURE[report.star])
        assert seen[report.star] < 3 * report.e_velocity
    assert len(seen) == 3 and seen["GJ 699"] < 0.3 and seen["G 9-40"] < 0.8


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60), st.sampled_from([0, 10, 37.5, 50, 90, 99.9, 100]))
def test_percentiles_are_numpys_to_the_last_bit(values, q):
    assert chain._percentile(np.array(values), q) == np.percentile(np.array(values), q)
