"""Spectral operators: PyAstronomy, specutils, SciPy and numerical integrals as oracles."""

import astropy.units as u
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PyAstronomy import pyasl
from scipy.interpolate import CubicSpline, splev, splrep
from specutils.utils.wcs_utils import air_to_vac, vac_to_air

from dtl_core.config import ContinuumConfig, WindowConfig
from dtl_core.errors import DataError
from dtl_core.spectra import operators

PROPERTY = settings(derandomize=True, deadline=None, max_examples=40)
WAVE = operators.window_grid(WindowConfig())


def absorption(wavelength, seed=0, n=60, width=0.08):
    """Continuum 1 with narrow random lines: (n_pixels,)."""
    rng = np.random.default_rng(seed)
    position = rng.uniform(wavelength[0], wavelength[-1], n)
    depth = rng.uniform(0.05, 0.5, n)
    return np.exp(-depth @ np.exp(-0.5 * ((wavelength - position[:, None]) / width) ** 2))


# ---------------------------------------------------------------- air and vacuum, Doppler


def test_refraction_agrees_with_specutils():
    wave = np.linspace(5_000, 20_000, 301)
    air = vac_to_air(wave * u.AA, method="Ciddor1996").value
    vacuum = air_to_vac(wave * u.AA, scheme="iteration", method="Ciddor1996").value
    np.testing.assert_allclose(operators.vacuum_to_air(wave), air, rtol=0, atol=1e-9)
    np.testing.assert_allclose(operators.air_to_vacuum(wave), vacuum, rtol=0, atol=1e-9)
    assert np.all(operators.air_to_vacuum(wave) > wave)


@PROPERTY
@given(st.floats(3_000, 25_000))
def test_vacuum_and_air_are_inverses(wave):
    assert abs(operators.air_to_vacuum(operators.vacuum_to_air(wave)) - wave) < 1e-9
    assert abs(operators.vacuum_to_air(operators.air_to_vacuum(wave)) - wave) < 1e-9


@PROPERTY
@given(st.floats(-500, 500), st.floats(8_000, 9_000))
def test_doppler_shift_there_and_back(velocity, wave):
    there = operators.doppler_shift(wave, velocity)
    assert abs(operators.doppler_shift(there, -velocity) - wave) < 1e-9
    # first order in v/c, with the sign of astronomy: receding stars are redder
    assert abs((there / wave - 1) * operators.C_KMS - velocity) < 0.5 * 500**2 / operators.C_KMS + 1e-6


# ---------------------------------------------------------------- grids


def test_window_grid_is_the_papers():
    inner = operators.window_grid(WindowConfig(), margin=False)
    assert len(inner) == 3501 and len(WAVE) == 4501
    assert inner[0] == pytest.approx(8800, abs=1e-9) and inner[-1] == pytest.approx(8835, abs=1e-9)
    np.testing.assert_allclose(WAVE[500:-500], inner, rtol=0, atol=1e-9)


def test_log_grid_is_uniform_in_velocity_and_stays_inside():
    grid = operators.log_grid(8795.0, 8840.0, 0.3)
    velocity = np.diff(np.log(grid)) * operators.C_KMS
    np.testing.assert_allclose(velocity, 0.3, rtol=1e-8)
    assert grid[0] == 8795.0 and 8840.0 * (1 - 0.3 / operators.C_KMS) < grid[-1] <= 8840.0


# ---------------------------------------------------------------- broadening


@pytest.mark.parametrize("vsini", [3.0, 12.0, 30.0])
@pytest.mark.parametrize("resolving_power", [0, 53_000, 94_600])
def test_broadening_agrees_with_pyastronomy(vsini, resolving_power):
    # PyAstronomy's kernels are sampled and its instrument has one width in A: 1e-3 of the continuum is their precision
    wave = np.arange(8808.0, 8824.0, 0.01)
    flux = absorption(wave, seed=1)
    grid = operators.log_grid(wave[0], wave[-1], 0.2)
    broad = operators.broaden(operators.resample(wave, flux, grid, "spline")[None], 0.2, resolving_power, vsini, 0.6)[0]
    ours = CubicSpline(grid, broad)(np.minimum(wave, grid[-1]))
    inside = slice(200, -200)
    for oracle in (pyasl.rotBroad, pyasl.fastRotBroad):
        theirs = oracle(wave, flux, 0.6, vsini)
        if resolving_power:
            theirs = pyasl.instrBroadGaussFast(wave, theirs, resolving_power, edgeHandling="firstlast", maxsig=6)
        assert np.abs(ours - theirs)[inside].max() < 1e-3
    assert np.abs(ours - flux)[inside].max() > 0.03  # the lines did change


@pytest.mark.parametrize("limb_darkening", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("vsini", [2.0, 20.0])
def test_transfer_is_the_fourier_transform_of_grays_profile(vsini, limb_darkening):
    n, step = 512, 0.3
    transfer = operators.broadening_transfer(n, step, 0, vsini, limb_darkening)[0]
    frequency = np.fft.rfftfreq(n, step)
    # Gray (2005, eq. 18.14) integrated with x = sin(t), which removes the infinite slope at the limb
    t = np.linspace(-np.pi / 2, np.pi / 2, 4001)
    x, e = np.sin(t), limb_darkening
    profile = (2 * (1 - e) * np.cos(t) / np.pi + e * np.cos(t) ** 2 / 2) / (1 - e / 3)
    wave = np.cos(2 * np.pi * frequency[:, None] * vsini * x) * profile * np.cos(t)
    np.testing.assert_allclose(transfer, np.trapezoid(wave, t, axis=1), rtol=0, atol=2e-6)


def test_transfer_of_the_instrument_is_a_gaussian_of_fwhm_c_over_r():
    n, step, power = 4096, 0.05, 60_000
    kernel = np.fft.fftshift(np.fft.irfft(operators.broadening_transfer(n, step, power, 0.0)[0], n))
    velocity = (np.arange(n) - n // 2) * step
    sigma = operators.C_KMS / power / np.sqrt(8 * np.log(2))
    gauss = np.exp(-0.5 * (velocity / sigma) ** 2) * step / sigma / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(kernel, gauss, rtol=0, atol=1e-9)
    half = velocity[kernel > kernel.max() / 2]
    assert np.ptp(half) == pytest.approx(operators.C_KMS / power, abs=2 * step)


def test_transfer_has_no_step_where_its_series_ends():
    # one velocity on either side of s = 0.01 at the same frequency
    frequency = 1 / (1000 * 0.3)
    edge = 1e-2 / (2 * np.pi * frequency)
    values = operators.broadening_transfer(1000, 0.3, 0, [edge * (1 - 1e-6), edge * (1 + 1e-6)])[:, 1]
    assert abs(values[0] - values[1]) < 1e-9


@PROPERTY
@given(st.floats(0, 30), st.floats(20_000, 200_000), st.floats(0, 1), st.integers(0, 100))
def test_broadening_conserves_flux_and_commutes(vsini, power, limb, seed):
    flux = absorption(np.linspace(8810, 8830, 400), seed)[None]
    broad = operators.broaden(flux, 0.3, power, vsini, limb)
    assert broad.mean() == pytest.approx(flux.mean(), rel=1e-12)
    first = operators.broaden(operators.broaden(flux, 0.3, power, 0.0, limb), 0.3, 0, vsini, limb)
    then = operators.broaden(operators.broaden(flux, 0.3, 0, vsini, limb), 0.3, power, 0.0, limb)
    np.testing.assert_allclose(first, then, rtol=0, atol=1e-12)
    np.testing.assert_allclose(first, broad, rtol=0, atol=1e-12)


def test_broadening_is_linear_and_each_spectrum_has_its_own_velocity():
    flux = np.stack([absorption(WAVE[::3], seed) for seed in range(3)])
    vsini = np.array([10.0, 2.0, 10.0])
    together = operators.broaden(flux, 0.3, 94_600, vsini)
    alone = np.concatenate([operators.broaden(f[None], 0.3, 94_600, v) for f, v in zip(flux, vsini, strict=True)])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-13)
    mixed = operators.broaden((2 * flux[0] - flux[2])[None], 0.3, 94_600, 10.0)[0]
    np.testing.assert_allclose(mixed, 2 * together[0] - together[2], rtol=0, atol=1e-12)


# ---------------------------------------------------------------- resampling


def test_resampling_is_exact_for_cubics():
    source = np.sort(np.random.default_rng(0).uniform(-1, 1, 200)) + np.linspace(-1, 1, 200) * 50
    target = np.linspace(source[0], source[-1], 777)
    cubic = np.polynomial.Polynomial([1.0, -0.3, 0.02, 0.004])
    operator = operators.resample_operator(source, target)
    np.testing.assert_allclose(operator @ cubic(source), cubic(target), rtol=1e-10, atol=1e-8)
    np.testing.assert_allclose(operator.sum(1), 1, rtol=0, atol=1e-9)
    assert np.diff(operator.indptr).max() == 4


@pytest.mark.parametrize(("fwhm", "bound"), [(8, 6e-4), (10, 2.5e-4), (22, 1.1e-5)])
def test_resampling_error_of_a_saturated_gaussian_line(fwhm, bound):
    # three of four points: 9/128 (step / sigma)^4 of the line's depth, at worst
    pixel = np.arange(400.0)
    source, target = 8800 + 0.01 * pixel, np.linspace(3, 396, 7919)
    operator = operators.resample_operator(source, 8800 + 0.01 * target)
    error = 0.0
    for centre in np.linspace(200, 201, 6):
        line = lambda x, c=centre: 1 - np.exp(-0.5 * ((x - c) * operators.FWHM / fwhm) ** 2)  # noqa: E731
        error = max(error, np.abs(operator @ line(pixel) - line(target)).max())
    assert bound / 3 < error < bound
    assert error == pytest.approx(9 / 128 * (operators.FWHM / fwhm) ** 4, rel=0.1)


def test_resampling_keeps_nodes_and_refuses_to_extrapolate():
    source = np.linspace(8795, 8840, 500)
    flux = absorption(source)
    np.testing.assert_allclose(
        operators.resample_operator(source, source[3:400]) @ flux, flux[3:400], rtol=0, atol=1e-9
    )
    for target in (np.array([8794.0, 8800.0]), np.array([8800.0, 8841.0])):
        with pytest.raises(DataError, match="is needed; give a longer wavelength range") as error:
            operators.resample_operator(source, target)
        assert "\n" not in str(error.value) and "field 'wavelength'" in str(error.value)


# ---------------------------------------------------------------- continuum


@pytest.mark.parametrize("smoothing", [5.0, 1e-4])
def test_continuum_scales_with_the_flux(smoothing):
    flux = absorption(WAVE, 3) * (1 + 0.001 * (WAVE - WAVE[0]))
    config = ContinuumConfig(smoothing=smoothing)
    one = operators.continuum(WAVE, flux, config)
    for factor in (1e-12, 0.37, 6.2e8):
        np.testing.assert_allclose(operators.continuum(WAVE, factor * flux, config), factor * one, rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_continuum_finds_a_smooth_level_under_narrow_lines(seed):
    x = (WAVE - WAVE.mean()) / np.ptp(WAVE) * 2
    truth = 3 * (1 + 0.05 * x - 0.03 * x**2)
    found = operators.continuum(WAVE, truth * absorption(WAVE, seed, n=40), ContinuumConfig())
    inner = slice(500, -500)
    # GISIC's own precision: one cubic through upper levels of 30 A stretches, which lie above a sloping continuum
    assert np.abs((found / truth)[inner] - 1).max() < 0.035
    unsloped = operators.continuum(WAVE, absorption(WAVE, seed, n=40), ContinuumConfig())
    assert np.abs(unsloped[inner] - 1).max() < 0.012


def test_continuum_of_a_constant_is_the_constant():
    flat = np.full_like(WAVE, 2.5)  # no inflection point: the two ends alone
    np.testing.assert_allclose(operators.continuum(WAVE, flat, ContinuumConfig()), 2.5, rtol=1e-9)


def test_continuum_of_a_stack_is_that_of_each_spectrum():
    stack = np.stack([absorption(WAVE, seed) * (seed + 1) for seed in range(3)])
    config = ContinuumConfig()
    together = operators.continuum(WAVE, stack, config)
    assert together.shape == stack.shape
    for row, flux in zip(together, stack, strict=True):
        alone = operators.continuum(WAVE, flux, config)
        assert alone.shape == flux.shape
        np.testing.assert_array_equal(row, alone)
    np.testing.assert_array_equal(operators.normalise(WAVE, stack, config), stack / together)


@pytest.mark.parametrize("smoothing", [1e-6, 1e-3, 5.0])
def test_continuum_spline_is_fitpacks(smoothing):
    # 5.0 lets FITPACK return the polynomial that our short cut computes; the smaller ones need knots
    rng = np.random.default_rng(2)
    x = rng.permutation(np.r_[WAVE[0], np.sort(rng.uniform(WAVE[0] + 1, WAVE[-1] - 1, 40)), WAVE[-1]])
    y = 1 + 0.05 * np.sin(x / 3)
    ours = operators._spline(x, y, WAVE, ContinuumConfig(smoothing=smoothing))
    order = np.argsort(x)
    theirs = splev(WAVE, splrep(x[order], y[order], k=3, s=smoothing))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-7)


def test_continuum_with_little_smoothing_follows_what_the_default_leaves():
    flux = absorption(WAVE, 4) * (1 + 0.05 * np.sin(WAVE / 4))
    levels = [operators.continuum(WAVE, flux, ContinuumConfig(smoothing=s, width=4.0)) for s in (5.0, 1e-3)]
    wave_pattern = 1 + 0.05 * np.sin(WAVE / 4)
    errors = [np.std((level / wave_pattern)[500:-500]) for level in levels]
    assert errors[1] < 0.5 * errors[0]


# ---------------------------------------------------------------- cross-correlation


def test_cross_correlation_is_numpys_at_every_shift_and_skips_lost_pixels():
    rng = np.random.default_rng(1)
    templates = rng.normal(1, 0.1, (2, 300))
    templates[:, :20] = templates[:, 270:] = np.nan
    flux = np.stack([40 * np.roll(templates[1], 12), rng.normal(5, 1, 300)])
    flux[0, 100:110] = np.nan
    values = operators.cross_correlate(flux, templates, 25)
    assert values.shape == (2, 2, 51)
    for row in range(2):
        for k, template in enumerate(templates):
            for lag in (-25, -3, 0, 12, 25):
                shifted = np.full(300, np.nan)
                shifted[max(lag, 0) : 300 + min(lag, 0)] = template[max(-lag, 0) : 300 + min(-lag, 0)]
                both = np.isfinite(shifted) & np.isfinite(flux[row])
                expected = np.corrcoef(shifted[both], flux[row][both])[0, 1]
                assert values[row, k, 25 + lag] == pytest.approx(expected, abs=1e-10)
    assert np.argmax(values[0, 1]) == 25 + 12 and values[0, 1, 37] == pytest.approx(1)


# ---------------------------------------------------------------- combining and resampling


def test_combining_weights_by_inverse_variance_and_skips_bad_pixels():
    grid, wave = np.array([1.0, 1.5, 4.0, 4.5, 10.0, 11.0]), np.arange(1.0, 11.0)
    flux, sigma = wave.copy(), np.ones(10)
    flux[3] = np.nan  # at 4: the first stretch lacks 4 and 4.5
    f, s, n = operators.combine(grid, [wave, wave + 0.5], [flux, wave + 0.5], [sigma, 2 * sigma])
    np.testing.assert_array_equal(n, [1, 2, 1, 1, 2, 0])
    np.testing.assert_allclose(f[:5], grid[:5])
    np.testing.assert_allclose(s[:5], [1, np.sqrt(1 / (1 + 1 / 4)), 2, 2, np.sqrt(1 / (1 + 1 / 4))])
    assert np.isnan(f[5]) and np.isnan(s[5])


def test_combining_many_noisy_spectra_gains_the_root_of_their_number():
    rng = np.random.default_rng(0)
    truth, sigma = absorption(WAVE, 3), rng.uniform(0.01, 0.1, (16, len(WAVE)))
    noisy = truth + sigma * rng.standard_normal(sigma.shape)
    f, s, n = operators.combine(WAVE, [WAVE] * 16, noisy, sigma)
    np.testing.assert_allclose(s, (sigma**-2).sum(0) ** -0.5)
    assert np.all(n == 16) and np.std((f - truth) / s) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("method", ["linear", "spline", "flux"])
def test_resampling_agrees_with_specutils(method):
    from specutils import Spectrum, manipulation

    wave = np.arange(8800.0, 8835.0, 0.02)
    flux = absorption(wave, 7, width=0.15)
    grid = np.arange(8801.0, 8834.0, 0.11 if method == "flux" else 0.013)
    kinds = {
        "linear": manipulation.LinearInterpolatedResampler,
        "spline": manipulation.SplineInterpolatedResampler,
        "flux": manipulation.FluxConservingResampler,
    }
    theirs = kinds[method]()(Spectrum(spectral_axis=wave * u.AA, flux=flux * u.Jy), grid * u.AA).flux.value
    ours = operators.resample(wave, flux, grid, method)
    # they split the flux of a pixel evenly over its width, we along a smooth curve
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-3 if method == "flux" else 1e-10)


@PROPERTY
@given(st.integers(0, 10**6), st.floats(0.005, 0.4), st.floats(0, 1))
def test_flux_is_conserved(seed, step, offset):
    wave = np.arange(8800.0, 8835.0, 0.05)
    flux = absorption(wave, seed)
    grid = np.arange(8795.0 + offset * step, 8840.0, step)
    ours = operators.resample(wave, flux, grid, "flux")
    edges, new = operators.pixel_edges(wave), operators.pixel_edges(grid)
    outside = flux[0] * (edges[0] - new[0]) + flux[-1] * (new[-1] - edges[-1])
    assert ours @ np.diff(new) == pytest.approx(flux @ np.diff(edges) + outside, rel=1e-9)


@pytest.mark.parametrize("method", ["spline", "flux"])
def test_resampling_there_and_back_changes_little(method):
    wave = np.arange(8800.0, 8835.0, 0.05)
    flux = absorption(wave, 7, width=0.15)
    grid = np.arange(8800.0, 8835.0, 0.012)
    back = operators.resample(grid, operators.resample(wave, flux, grid, method), wave, method)
    np.testing.assert_allclose(back[10:-10], flux[10:-10], rtol=0, atol=1e-3)
    np.testing.assert_allclose(operators.resample(wave, flux, wave, method)[2:-2], flux[2:-2], rtol=0, atol=1e-9)


# ---------------------------------------------------------------- refusals


def _spectrum():
    wave = np.linspace(8790, 8845, 1000)
    return wave, np.ones_like(wave)


def _broken(kind):
    wave, flux = _spectrum()
    if kind == "lengths":
        return wave, flux[:-1]
    if kind == "two-dimensional":
        return np.stack([wave, wave]), np.stack([flux, flux])
    if kind == "few":
        return wave[:5], flux[:5]
    if kind == "wave nan":
        wave[3] = np.nan
    if kind == "unsorted":
        wave[[10, 11]] = wave[[11, 10]]
    if kind == "repeated":
        wave[10] = wave[11]
    if kind == "flux nan":
        flux[[5, 7]] = np.nan, np.inf
    if kind == "dark":
        flux *= -1
    if kind == "short":
        return wave[200:], flux[200:]
    if kind == "nm":
        wave /= 10
    if kind == "micron":
        wave /= 1e4
    return wave, flux


@pytest.mark.parametrize(
    ("kind", "field", "words"),
    [
        ("lengths", "flux", "give two columns of equal length"),
        ("two-dimensional", "flux", "not one spectrum"),
        ("few", "flux", "not one spectrum"),
        ("wave nan", "wavelength", "drop those pixels"),
        ("unsorted", "wavelength", "is not strictly increasing; sort it"),
        ("repeated", "wavelength", "drop repeated pixels"),
        ("flux nan", "flux", "has 2 NaN or infinite values; interpolate or mask"),
        ("dark", "flux", "median of zero or less; check"),
        ("short", "wavelength", "is needed; give a longer wavelength range"),
        ("nm", "wavelength", "look like nm: give A"),
        ("micron", "wavelength", "look like micron: give A"),
    ],
)
def test_broken_spectrum_is_refused_in_one_line(kind, field, words):
    with pytest.raises(DataError) as error:
        operators.check_spectrum(*_broken(kind), file="star.csv", start=8795, stop=8840)
    line = str(error.value)
    assert line.startswith(f"star.csv: field {field!r}: ") and words in line and "\n" not in line


def test_good_spectrum_passes_with_and_without_a_range():
    assert operators.check_spectrum(*_spectrum()) is None
    assert operators.check_spectrum(*_spectrum(), start=8790.0, stop=8845.0) is None


def test_a_correlator_forgets_the_pixels_of_the_spectrum_before():
    rng = np.random.default_rng(4)
    templates = rng.normal(1, 0.2, (3, 200))
    spectra_ = rng.normal(1, 0.2, (4, 200))
    spectra_[1, 50:80] = spectra_[3, 120:] = np.nan
    one_for_all = operators.Correlator(templates, 12)
    for row in (0, 1, 1, 0, 3, 2):
        alone = operators.Correlator(templates, 12)(spectra_[row])
        assert np.array_equal(one_for_all(spectra_[row]), alone)
