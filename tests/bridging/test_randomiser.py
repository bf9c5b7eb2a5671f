"""Domain randomisation: each change by itself is as large as it says, and none where it is switched off."""

import numpy as np
import pytest
import torch

from dtl_core.bridging import randomiser
from dtl_core.bridging.randomiser import Randomiser
from dtl_core.spectra import operators

STEP, POWER, PIXELS = 0.03, 94_600, 1168
OFF = {"noise": 0.0, "continuum": 0.0, "velocity": 0.0, "resolution": 0.0, "line_strength": 0.0, "lines": 0.0}
SIGMA = 8817.5 / POWER / operators.FWHM / STEP  # pixels


def changed(flux, vsini=0.0, seed=0, **on):
    generator = torch.Generator().manual_seed(seed)
    return Randomiser(**OFF | on)(flux, torch.full((len(flux),), vsini), STEP, POWER, generator)


def lines(n=200, depth=0.4, width=3.0):
    """The same lines of one width (pixels) in each of ``n`` spectra."""
    x, centres = torch.arange(PIXELS), torch.arange(60.0, PIXELS - 60, 80)
    return (1 - depth * torch.exp(-0.5 * ((x - centres[:, None]) / width) ** 2).sum(0)).repeat(n, 1)


def test_nothing_is_changed_where_all_is_off():
    torch.testing.assert_close(changed(lines()), lines(), atol=2e-6, rtol=0)


def test_the_same_generator_gives_the_same_bytes_and_another_does_not():
    def once(seed):
        return Randomiser()(lines(8), torch.ones(8), STEP, POWER, torch.Generator().manual_seed(seed))

    one, two, other = once(1), once(1), once(2)
    assert torch.equal(one, two) and not torch.equal(one, other)
    assert torch.isfinite(one).all()


def test_noise_is_at_most_what_is_said_and_grows_with_flux():
    flux = torch.cat([torch.full((400, PIXELS), 1.0), torch.full((400, PIXELS), 0.25)])
    found = (changed(flux, noise=0.02) - flux).std(1)
    bright, faint = found[:400], found[400:]
    assert 0.0018 < bright.min() < bright.max() < 0.022
    assert bright.log().mean() - faint.log().mean() == pytest.approx(np.log(2), abs=0.1)


def test_the_continuum_is_slow():
    ratio = changed(lines(), continuum=0.015) / lines()
    x = np.linspace(-1, 1, PIXELS)
    fit = np.polynomial.polynomial.polyval(x, np.polynomial.polynomial.polyfit(x, ratio.numpy().T, 2))
    np.testing.assert_allclose(ratio, fit, atol=1e-5)
    assert ratio.std() == pytest.approx(0.015 * np.sqrt(1 + 1 / 3 + 4 / 45), rel=0.15)


def test_velocities_have_the_spread_that_is_said():
    flux = lines(400)
    x = torch.arange(PIXELS, dtype=torch.float32)
    near = slice(30, 90)  # about the line at pixel 60

    def centre(f):
        depth = 1 - f[:, near]
        return (depth * x[near]).sum(1) / depth.sum(1)

    moved = (centre(changed(flux, velocity=0.3)) - centre(flux)) * STEP / 8817.5 * operators.C_KMS
    assert moved.std() == pytest.approx(0.3, rel=0.1) and abs(moved.mean()) < 0.05


def test_resolution_only_falls_and_keeps_the_area_of_lines():
    flux = lines(300, width=SIGMA)
    found = changed(flux, resolution=0.3)
    area = (1 - found)[:, 100:-100].sum(1) / (1 - flux)[:, 100:-100].sum(1)
    np.testing.assert_allclose(area, 1, atol=5e-3)
    depth = (1 - found).amax(1) / (1 - flux).amax(1)
    assert depth.max() <= 1.0001 and depth.min() == pytest.approx(1 / 1.3, abs=0.03)


def test_line_strengths_leave_the_continuum_alone():
    flux = lines()
    found = changed(flux, line_strength=0.6)
    assert (found - flux)[flux > 0.9999].abs().max() < 1e-3
    ratio = torch.log(found[:, 60::80][:, :13]) / torch.log(flux[:, 60::80][:, :13])  # line centres
    spread = ratio.log().std(1)
    assert 0 <= spread.min() < 0.1 and 0.5 < spread.max() < 0.9


@pytest.mark.parametrize("vsini", [0.0, 10.0])
def test_added_lines_are_as_many_and_strong_as_said_at_any_rotation(vsini):
    flux = torch.full((600, PIXELS), 1.0)
    optical = -torch.log(changed(flux, vsini, lines=40.0)).double()
    # height 0.05 exp(0.8 x) has mean 0.05 exp(0.32); width sigma (1.2 to 2.2), 1.7 in the mean; a quarter taken away
    # at half of the places by half of the depth in the mean, each twice as wide
    expected = 40 * 0.05 * np.exp(0.32) * np.sqrt(2 * np.pi) * 1.7 * SIGMA / PIXELS
    assert optical.mean().item() == pytest.approx(expected, rel=0.08)
    slope = (optical[:, 1:] - optical[:, :-1]).square().mean().sqrt() / optical.square().mean().sqrt()
    assert (slope < 0.12) if vsini else (slope > 0.25)  # rotation makes them wide


def test_the_rotation_profiles_width_is_grays():
    frequency = 1e-3  # cycles a km/s; 1 - transform = (2 pi f)^2 <v^2> / 2
    n = 1000
    transfer = operators.broadening_transfer(n, 1.0, 0, [10.0], 0.6)[0]
    variance = 2 * (1 - transfer[1]) / (2 * np.pi * frequency) ** 2
    assert np.sqrt(variance) / 10 == pytest.approx(randomiser.ROTATION_RMS, rel=2e-3)
