"""Emulated spectra and the classical fits: known labels, velocities, continua and rotation come back."""

import numpy as np
import pytest
import torch
from bounds import bounded
from PyAstronomy import pyasl
from scipy.interpolate import CubicSpline
from toys import CENTRES, HIGH, LOW, PIXEL, WAVE, draw, off, toy

from dtl_core.bridging import emulator, label_fits
from dtl_core.bridging.emulator import Emulator
from dtl_core.bridging.spectrum_model import TrainedEmulator
from dtl_core.spectra import operators


@pytest.fixture(scope="module")
def grid():
    labels = draw(np.random.default_rng(0), 2500)
    return torch.as_tensor(toy(labels), dtype=torch.float32), torch.as_tensor(labels, dtype=torch.float32)


@pytest.fixture(scope="module")
def fitted(grid):
    return emulator.fit_emulator(*grid, np.arange(2000), WAVE, epochs=25, width=64, seed=0)


@pytest.fixture(scope="module")
def stars():
    """Spectra off the grid, with a velocity of 0.4 km/s, a tilted continuum and little noise."""
    rng = np.random.default_rng(5)
    labels = draw(rng, 12, 0.15)
    flux = CubicSpline(WAVE, toy(labels), axis=1)(WAVE / (1 + 0.4 / operators.C_KMS))
    return flux * (1.02 + 0.02 * np.linspace(-1, 1, len(WAVE))) + rng.normal(0, 1e-3, flux.shape), labels


def untrained(wavelength, flux, low=LOW, high=HIGH):
    """An emulator whose network gives ``flux`` (n_pixels,) at all labels."""
    labels, spectra_of = (torch.as_tensor(np.stack(v), dtype=torch.float32) for v in ((low, high), (flux, flux)))
    model = Emulator(labels, spectra_of, wavelength)
    torch.nn.init.zeros_(model.layers[-1].weight)
    return model


def test_the_emulator_gives_spectra_that_it_has_not_seen(fitted, grid):
    flux, labels = (part[2000:] for part in grid)
    with torch.no_grad():
        rms = (fitted(labels) - flux).square().mean().sqrt()
    bounded("error over the spread", rms / (flux - flux.mean(0)).square().mean().sqrt(), below=0.02)


def test_rotation_widens_an_isolated_line_as_pyastronomy_does():
    wave = np.arange(8800.0, 8830.0, 0.01)
    line = 1 - 0.6 * np.exp(-0.5 * ((wave - 8815) / 0.06) ** 2)
    model = untrained(wave, line)
    for vsini in (3.0, 10.0, 20.0):
        with torch.no_grad():
            found = model._rotated(torch.as_tensor(line, dtype=torch.float32), torch.tensor([vsini])).numpy()
        oracle = pyasl.rotBroad(wave, line, 0.6, vsini)
        middle = abs(wave - 8815) < 5
        np.testing.assert_allclose(found[middle], oracle[middle], atol=2e-3)
        assert (1 - found).sum() == pytest.approx((1 - line).sum(), rel=1e-4)


@pytest.mark.parametrize("vsini", [0.0, 2.0, 7.7, 20.0])
def test_rotation_is_that_of_the_synthetic_spectra(grid, vsini):
    flux = grid[0][:20].numpy()
    with torch.no_grad():
        found = untrained(WAVE, flux[0])._rotated(grid[0][:20], torch.full((20, 1), vsini)).numpy()
    np.testing.assert_allclose(found, operators.broaden(flux, PIXEL, 0, vsini), atol=2e-4)


def test_a_line_at_one_end_does_not_come_back_at_the_other():
    line = 1 - 0.8 * np.exp(-0.5 * ((WAVE - WAVE[0]) / 0.05) ** 2)
    for flux in (line, line[::-1].copy(), np.ones_like(line)):
        with torch.no_grad():
            wide = untrained(WAVE, flux)._rotated(torch.as_tensor(flux, dtype=torch.float32), torch.tensor([20.0]))
        far = slice(-100, None) if flux[0] < flux[-1] else slice(100) if flux[-1] < flux[0] else slice(None)
        np.testing.assert_allclose(wide[far], 1, atol=1e-5)
        assert wide.sum().item() == pytest.approx(flux.sum(), rel=1e-5)  # the mirror gives back what crosses the end


def test_lines_with_offset_0_and_scale_1_are_the_same_and_the_emulator_itself_stays(fitted, grid):
    labels, pixels = grid[1][:20], len(WAVE)
    with torch.no_grad():
        before = fitted(labels)
        assert torch.equal(fitted.with_lines(torch.zeros(pixels), torch.ones(pixels))(labels), before)
        other = fitted.with_lines(torch.full((pixels,), 0.1), torch.full((pixels,), 1.3))
        bounded("changed by", (other(labels) - before).abs().max(), above=0.05)
        assert torch.equal(fitted(labels), before)


@pytest.mark.parametrize("vsini", [1.0, 8.0, 20.0])
def test_a_changed_line_is_as_wide_as_rotation_makes_it(vsini):
    line = 1 - 0.5 * np.exp(-0.5 * ((WAVE - WAVE[150]) / 0.08) ** 2)
    scale, offset = torch.ones(len(WAVE)), torch.zeros(len(WAVE))
    scale[150], offset[150] = 1.4, 0.05  # one pixel of the line list is wrong
    model = untrained(WAVE, line)
    labels = torch.as_tensor(np.append(LOW[:3], vsini)[None], dtype=torch.float32)
    with torch.no_grad():
        found = (model.with_lines(offset, scale)(labels) - model(labels))[0].numpy()
    impulse = np.zeros(len(WAVE))
    impulse[150] = np.exp(-0.05 + 1.4 * np.log(0.5)) - 0.5
    more = np.sqrt(vsini**2 - LOW[3] ** 2)  # than the narrowest, which the network gives
    np.testing.assert_allclose(found, operators.broaden(impulse, PIXEL, 0, more)[0], atol=3e-4 * abs(impulse).max())


def test_given_lines_widen_with_the_stars_in_spectra_never_seen(fitted):
    # a scale of the opacity about one line, at rotations between those of the training set
    opacity = 1 + 0.4 * np.exp(-0.5 * ((WAVE - CENTRES[4]) / 0.1) ** 2)
    labels = draw(np.random.default_rng(9), 200, 0.1)
    expected = toy(labels, opacity) - toy(labels)
    with torch.no_grad():
        rest = torch.as_tensor(labels, dtype=torch.float32)
        scaled = fitted.with_lines(torch.zeros(len(WAVE)), torch.as_tensor(opacity, dtype=torch.float32))
        found = (scaled(rest) - fitted(rest)).numpy()
    for slow in (labels[:, 3] < 7, labels[:, 3] > 14):
        error = np.sqrt(np.mean((found - expected)[slow] ** 2) / np.mean(expected[slow] ** 2))
        bounded("error of the change over the change", error, below=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("lowest", [0.0, 1.5])
def test_slopes_are_finite_without_rotation(lowest):
    low = np.append(LOW[:3], lowest)
    model = untrained(WAVE, toy(LOW[None])[0], low=low)
    slope = torch.func.jacfwd(model.from_scaled)(torch.tensor([0.5, 0.5, 0.5, 0.0]))
    assert torch.isfinite(slope).all()


def test_log_g_is_held_to_where_the_synthetic_set_has_it():
    rng = np.random.default_rng(2)
    labels = draw(rng, 400)
    t, m = ((labels[:, k] - LOW[k]) / (HIGH - LOW)[k] for k in (0, 2))
    labels[:, 1] = 5.2 - 0.5 * t**2 + 0.2 * m + rng.normal(0, 0.03, 400)
    model = Emulator(torch.as_tensor(labels, dtype=torch.float32), torch.ones(400, len(WAVE)), WAVE)
    span = np.ptp(labels[:, 1])
    assert model.about_plane.item() * span == pytest.approx(0.03, rel=0.1)
    # spectra without lines say nothing of log g: the plane does, from wherever the fit begins
    start = labels[:6].copy()
    start[:, 1] = labels[:, 1].min() + span * np.linspace(0.1, 0.9, 6)
    flux = 1 + rng.normal(0, 1e-3, (6, len(WAVE)))
    torch.nn.init.zeros_(model.layers[-1].weight)
    found, _ = label_fits.fit_labels(model, flux, WAVE, start)
    t, m = ((found[:, k] - LOW[k]) / (HIGH - LOW)[k] for k in (0, 2))
    np.testing.assert_allclose(found[:, 1], 5.2 - 0.5 * t**2 + 0.2 * m, atol=0.02)


def test_labels_scale_there_and_back(fitted, grid):
    labels = grid[1][:50]
    torch.testing.assert_close(fitted.unscaled(fitted.scaled(labels)), labels, rtol=1e-4, atol=1e-3)
    assert fitted.scaled(labels).min() >= 0 and fitted.scaled(labels).max() <= 1


def test_chi_square_finds_the_spectrum_that_is_in_the_grid_under_any_continuum_and_velocity(grid):
    flux, labels = (part.numpy() for part in grid)
    x = np.linspace(-1, 1, len(WAVE))
    for k, velocity in ((3, 0.0), (70, 0.5), (200, -1.0)):
        moved = CubicSpline(WAVE, flux[k])(WAVE / (1 + velocity / operators.C_KMS))
        star = (moved * (1.1 + 0.03 * x - 0.02 * x**2))[None].astype(np.float32)
        found, rms = label_fits.grid_labels(star, flux, labels, wavelength=WAVE)
        assert off(found, labels[[k]]).max() < 0.03 and rms[0] < 1e-3


def test_chi_square_is_as_good_as_its_grid_is_fine(grid, stars):
    coarse = off(label_fits.grid_labels(stars[0], grid[0][:300], grid[1][:300], wavelength=WAVE)[0], stars[1])
    fine = off(label_fits.grid_labels(stars[0], *grid, wavelength=WAVE)[0], stars[1])
    assert fine.max() < 0.12 and fine.mean() < coarse.mean()


def test_slopes_are_those_of_automatic_differentiation(fitted):
    x = torch.rand(6, 4, generator=torch.Generator().manual_seed(3))
    x[0, 3] = 0.0
    lines = torch.linspace(0, 0.05, len(WAVE)), torch.linspace(0.8, 1.3, len(WAVE))
    for model in (fitted, fitted.with_lines(*lines)):
        expected = torch.func.vmap(torch.func.jacfwd(model.from_scaled))(x).transpose(1, 2)
        with torch.no_grad():
            spectra, slopes = model.with_slopes(x)
            np.testing.assert_allclose(spectra.numpy(), model.from_scaled(x).numpy(), atol=1e-6)
        np.testing.assert_allclose(slopes.numpy(), expected.detach().numpy(), atol=2e-5 * float(expected.abs().max()))


def test_after_training_numpy_finds_what_the_trained_network_does(fitted, stars):
    arrays = {name: value.numpy() for name, value in fitted.state_dict().items()}
    alone, labels, tensor = TrainedEmulator(arrays, WAVE, 0.6), stars[1].astype(np.float32), torch.as_tensor
    x = fitted.scaled(tensor(labels))
    with torch.no_grad():
        np.testing.assert_allclose(alone(labels), fitted(tensor(labels)), atol=2e-6)
        for one, other in zip(alone.with_slopes(x.numpy()), fitted.with_slopes(x), strict=True):
            np.testing.assert_allclose(one, other, atol=2e-6 * float(other.abs().max()))
        lines = np.linspace(0, 0.05, len(WAVE), dtype="f4"), np.linspace(0.8, 1.3, len(WAVE), dtype="f4")
        changed = alone.with_lines(*lines)(labels), fitted.with_lines(*map(tensor, lines))(tensor(labels))
        np.testing.assert_allclose(*changed, atol=2e-6)
    np.testing.assert_allclose(alone.unscaled(x.numpy()), fitted.unscaled(x), rtol=1e-6)
    start = labels + 0.05 * (HIGH - LOW)
    found, rms = label_fits.fit_labels(alone, stars[0], WAVE, start)
    expected, least = label_fits.fit_labels(fitted, stars[0], WAVE, start)
    bounded("labels apart", off(found, expected).max(), below=1e-4)
    bounded("residuals apart, in the middle", np.median(np.abs(rms / least - 1)), below=1e-4)


def test_chi_square_is_the_same_with_both_libraries(grid, stars):
    flux, labels = (value.numpy() for value in grid)
    alone = label_fits.grid_labels(stars[0], flux[:300], labels[:300], wavelength=WAVE)
    other = label_fits.grid_labels(stars[0], grid[0][:300], grid[1][:300], wavelength=WAVE)
    assert off(alone[0], other[0]).max() < 1e-6
    np.testing.assert_allclose(alone[1], other[1], rtol=1e-6)


def test_weights_that_are_loaded_again_give_the_same_emulator(fitted, stars):
    weights = {name: value for name, value in fitted.state_dict().items() if name not in emulator.DERIVED}
    again = emulator.load_emulator(weights, WAVE, 0.6)
    assert torch.equal(again.reconstruct(stars[1]), fitted.reconstruct(stars[1]))


def test_a_fit_that_stops_when_a_star_has_arrived_ends_where_one_that_goes_on_does(fitted, stars):
    start = stars[1] + 0.05 * (HIGH - LOW)
    stopped, rms = label_fits.fit_labels(fitted, stars[0], WAVE, start)
    gone_on, least = label_fits.fit_labels(fitted, stars[0], WAVE, start, tolerance=0.0)
    bounded("labels apart", off(stopped, gone_on).max(), below=1e-4)
    bounded("residuals apart, in the middle", np.median(np.abs(rms / least - 1)), below=5e-5)


def test_least_squares_finds_labels_between_the_grids(fitted, grid, stars):
    start = label_fits.grid_labels(stars[0], *grid, wavelength=WAVE)[0]
    found, rms = label_fits.fit_labels(fitted, stars[0], WAVE, start)
    bounded("error", off(found, stars[1]).max(), below=0.01)
    bounded("error over that of the grid", off(found, stars[1]).mean() / off(start, stars[1]).mean(), below=0.1)
    bounded("residual", rms.max(), below=0.004)
    start[:, 3] = LOW[3]  # where rotation has no slope
    again, _ = label_fits.fit_labels(fitted, stars[0], WAVE, start)
    bounded("error from no rotation", off(again, stars[1]).max(), below=0.015)


def test_a_few_wrong_pixels_hardly_move_the_labels(fitted, stars):
    flux, labels = stars
    spoiled = flux.copy()
    spoiled[:, 40:46] -= 0.5
    clean, _ = label_fits.fit_labels(fitted, flux, WAVE, labels)
    robust, _ = label_fits.fit_labels(fitted, spoiled, WAVE, labels)
    plain, _ = label_fits.fit_labels(fitted, spoiled, WAVE, labels, limit=1e9)
    bounded("moved", off(robust, clean).max(), below=0.03)
    bounded("moved, over what plain least squares are", off(robust, clean).mean() / off(plain, clean).mean(), below=0.3)


def test_pixels_without_weight_do_not_count(fitted, stars):
    flux, labels = stars
    spoiled = flux.copy()
    spoiled[:, 40:46] -= 0.5
    weight = np.ones(len(WAVE))
    weight[40:46] = 0
    one, _ = label_fits.fit_labels(fitted, flux, WAVE, labels, weight=weight)
    two, _ = label_fits.fit_labels(fitted, spoiled, WAVE, labels, weight=weight)
    bounded("labels apart", np.abs(one / two - 1), below=1e-4)


def test_labels_stay_within_the_emulators_range(fitted):
    strange = 1 - 0.9 * np.exp(-0.5 * ((WAVE - 8805) / 2) ** 2)[None]
    found, rms = label_fits.fit_labels(fitted, strange, WAVE, (LOW + HIGH)[None] / 2)
    low, high = fitted.low.numpy(), fitted.high.numpy()
    assert np.all(found >= low - 1e-3) and np.all(found <= high + 1e-3)
    bounded("residual", rms[0], above=0.05)
