"""Lost pixels: found where they are, and filled better than by straight lines."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from toys import simulated

from dtl_core.models import filling, loading
from dtl_core.spectra import operators
from dtl_core.spectra.spectrum import Spectrum

POWER = 53_000.0


@pytest.fixture(scope="module")
def model():
    return loading.load()


def spectra(n, seed, velocity=0.0, **about):
    wavelength, flux, truth = simulated(n, seed, POWER)
    none = np.zeros(len(wavelength), bool)
    moved = operators.doppler_shift(wavelength, velocity)
    about = {"frame": "rest"} | about
    return [Spectrum(f"T{k}", moved, one, np.full(len(one), 0.005), none, none, POWER, "test", **about)
            for k, one in enumerate(flux)], truth  # fmt: skip


def with_gap(one, low, high):
    return dataclasses.replace(one, mask=(one.wavelength > low) & (one.wavelength < high))


def report(velocity, radial=np.nan):
    return SimpleNamespace(velocity=velocity, radial_velocity=radial)


def test_a_gap_is_found_at_rest_wavelengths(model):
    config = model.specialist_for(POWER).config
    grid = operators.window_grid(config.window, margin=False)
    (one,), _ = spectra(1, 3, 40.0)
    gap = with_gap(one, 8812.0, 8813.5)
    lost = filling.lost_pixels([gap], report(40.0), config)
    low, high = operators.doppler_shift(np.array([8812.0, 8813.5]), -40.0)
    np.testing.assert_array_equal(lost[(grid > low + 0.05) & (grid < high - 0.05)], True)
    assert not lost[(grid < low - 0.05) | (grid > high + 0.05)].any()
    assert not filling.lost_pixels([one], report(40.0), config).any()


def test_telluric_pixels_are_lost_only_if_they_are_masked(model):
    config = model.specialist_for(POWER).config
    (one,), _ = spectra(1, 3)
    wet = dataclasses.replace(one, telluric=(one.wavelength > 8820) & (one.wavelength < 8822))
    masked = dataclasses.replace(config, chain=dataclasses.replace(config.chain, tellurics="mask"))
    assert not filling.lost_pixels([wet], report(0.0), config).any()
    assert filling.lost_pixels([wet], report(0.0), masked).sum() == pytest.approx(200, abs=10)


def test_of_several_exposures_only_what_none_has_is_lost(model):
    config = model.specialist_for(POWER).config
    (one,), _ = spectra(1, 3, 20.0, frame="barycentric")
    parts = [with_gap(one, 8810.0, 8812.0), with_gap(one, 8811.0, 8813.0)]
    lost = filling.lost_pixels(parts, report(20.0, 20.0), config)
    grid = operators.doppler_shift(operators.window_grid(config.window, margin=False), 20.0)
    assert lost[(grid > 8811.05) & (grid < 8811.95)].all() and not lost[(grid < 8810.9) | (grid > 8812.1)].any()
    assert not filling.lost_pixels(parts, report(20.0), config).any()  # aligned without barycentric corrections


def test_nothing_lost_changes_nothing(model):
    one = model.specialist_for(POWER)
    flux = np.linspace(0.9, 1.1, len(operators.window_grid(one.config.window, margin=False)), dtype=np.float32)
    assert filling.fill(one, flux, np.zeros(len(flux), bool)) is flux


def test_filled_spectra_come_out_better_than_bridged_ones(model):
    """A fifth of the window is lost in stretches of 1 A, lines and all."""
    one = model.specialist_for(POWER)
    grid = operators.window_grid(one.config.window, margin=False)
    rng, labels = np.random.default_rng(5), one.arrays["coarse"][:40]
    whole = np.array([np.interp(grid, one.wavelength, flux) for flux in one.reconstruct(labels)])
    whole = (whole + rng.normal(0, 0.003, whole.shape)).astype(np.float32)
    lost = (grid % 5.0) < 1.0
    bridged = np.array([np.interp(grid, grid[~lost], flux[~lost]) for flux in whole], np.float32)
    filled = np.array([filling.fill(one, flux, lost) for flux in bridged])
    np.testing.assert_array_equal(filled[:, ~lost], whole[:, ~lost])
    missed = [np.sqrt(np.mean((flux - whole)[:, lost] ** 2)) for flux in (bridged, filled)]
    assert missed[1] < 0.3 * missed[0]
    found = [one.predict(one.input(flux)) for flux in (whole, bridged, filled)]
    changed = [np.sqrt(np.mean((each - found[0]) ** 2, axis=0)) for each in found[1:]]
    assert np.all(changed[1] < 0.6 * changed[0]), changed
