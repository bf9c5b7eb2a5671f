"""Toy spectra whose lines depend on three labels and are widened by rotation, as those of stars are."""

import numpy as np

from dtl_core.spectra import operators

WAVE = np.arange(8800.0, 8809.0, 0.03)
PIXEL = 0.03 / WAVE.mean() * operators.C_KMS  # km/s
POWER = 94_600
LOW, HIGH = np.array([2700.0, 4.3, -1.0, 1.0]), np.array([4500.0, 5.3, 0.6, 20.0])
CENTRES = np.arange(8800.6, 8808.8, 0.85)


def draw(rng, n, margin=0.0):
    """Labels (n, 4) uniform over the range but for a margin at both ends, as a fraction of it."""
    return LOW + (HIGH - LOW) * rng.uniform(margin, 1 - margin, (n, 4))


def depths(labels):
    """Optical depths (n, n_pixels) before any broadening: each line answers to Teff, log g and [M/H] differently."""
    x = (np.asarray(labels, float) - LOW) / (HIGH - LOW)
    out = np.zeros((len(x), len(WAVE)))
    for k, centre in enumerate(CENTRES):
        strength = 0.2 + 0.9 * x[:, k % 3, None] + 0.3 * x[:, (k + 1) % 3, None]
        out += strength * np.exp(-0.5 * ((WAVE - centre) / (0.06 + 0.02 * (k % 2))) ** 2)
    return out


def toy(labels, opacity=1.0):
    """Spectra (n, n_pixels) of labels (n, 4), the optical depths multiplied by ``opacity`` (n_pixels,)."""
    return operators.broaden(np.exp(-opacity * depths(labels)), PIXEL, POWER, np.asarray(labels)[:, 3])


def off(found, labels):
    """Root mean square error in units of the labels' range: (4,)."""
    return np.sqrt(np.mean(((found - labels) / (HIGH - LOW)) ** 2, axis=0))


def simulated(n, seed=901, power=53_000.0):
    """Stars of a simulated survey at rest, with the margin that a spectrum must have: wavelength, flux, truth."""
    from dtl_core.models import loading, making
    from dtl_core.spectra.operators import window_grid

    config = loading.load().specialist_for(power).config
    flux, truth, *_ = making.simulated_stars(config, n, [seed])
    wavelength = window_grid(config.window)
    margin = (len(wavelength) - flux.shape[1]) // 2
    return wavelength, np.pad(flux, ((0, 0), (margin, margin)), constant_values=1.0), truth
