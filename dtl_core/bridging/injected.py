"""Out-of-distribution spectra, made from stars of the simulated survey, to test the outlier detector."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..lines import STRONG_LINES
from ..spectra import operators
from ..synthetic import libraries, simulated_survey

__all__ = ["KINDS", "injected_set"]


def _hot(stars, rows, config, rng):
    """Stars of 5000-7000 K, beyond the libraries: the hottest stars of the survey with shallower lines.

    The opacity of the three strongest lines is multiplied by 0.6 (5000 K) to 0.3 (7000 K), that of all others by 0.3
    times this factor, since neutral metals become rare and the weak lines are blends with molecules. v sin i is 2-20
    km/s.
    """
    wave = libraries.load_library(config.survey.library).wavelength
    strong = np.exp(-0.5 * ((wave - np.array(sum(STRONG_LINES.values(), ()))[:, None]) / 0.4) ** 2).max(0)
    teff = rng.uniform(5000, 7000, len(stars))
    opacity = 0.6 * 0.5 ** ((teff[:, None] - 5000) / 2000) * (0.3 + 0.7 * strong)
    stars = stars.assign(teff=teff, vsini=rng.uniform(2, 20, len(stars)))
    return simulated_survey.recorded(simulated_survey.starlight(stars, rows, config, opacity=opacity), stars, config)


def _binary(stars, rows, config, rng):
    """Binaries of two stars, 15-80 km/s apart. The first is at rest; the second has 0.3-1 times its flux."""
    n = len(stars)
    partner = rng.permutation(n)
    ratio, apart = rng.uniform(0.3, 1, (n, 1)), rng.uniform(15, 80, n) * rng.choice([-1, 1], n)
    second = stars.iloc[partner].assign(velocity=stars["velocity"].to_numpy() + apart)
    light = simulated_survey.starlight(stars, rows, config)
    light += ratio * simulated_survey.starlight(second, rows[partner], config)
    return simulated_survey.recorded(light / (1 + ratio), stars, config)


def _velocity(stars, rows, config, rng):
    """A radial velocity of 5-60 km/s that was not corrected."""
    wrong = rng.uniform(5, 60, len(stars)) * rng.choice([-1, 1], len(stars))
    stars = stars.assign(velocity=stars["velocity"] + wrong)
    return simulated_survey.recorded(simulated_survey.starlight(stars, rows, config), stars, config)


def _resolution(stars, rows, config, rng):
    """A spectrograph of R = 10,000-30,000, with pixels of corresponding width."""
    grid, n = operators.window_grid(config.window, margin=False), len(stars)
    flux = np.empty((n, len(grid)), np.float32)
    for k, power in enumerate(np.exp(rng.uniform(np.log(10_000), np.log(30_000), n))):
        window = dataclasses.replace(config.window, resolving_power=float(power))
        coarse, one = dataclasses.replace(config, window=window), stars.iloc[k : k + 1]
        flux[k] = simulated_survey.recorded(simulated_survey.starlight(one, rows[k : k + 1], coarse), one, coarse)[0]
    return flux


def _gaps(stars, rows, config, rng):
    """One to three gaps, 20-40 % of the pixels, filled by straight lines or by the continuum."""
    flux = simulated_survey.recorded(simulated_survey.starlight(stars, rows, config), stars, config)
    pixels = np.arange(flux.shape[1])
    for spectrum in flux:
        parts = rng.integers(1, 4)
        length = int(rng.uniform(0.2, 0.4) * len(pixels) / parts)
        block = len(pixels) // parts  # one gap in each, so that they do not overlap
        starts = block * np.arange(parts) + rng.integers(0, block - length, parts)
        lost = ((pixels >= starts[:, None]) & (pixels < starts[:, None] + length)).any(0)
        bridged = np.interp(pixels, pixels[~lost], spectrum[~lost])
        spectrum[lost] = bridged[lost] if rng.random() < 0.5 else 1.0
    return flux


def _noise(stars, rows, config, rng):
    """S/N of 2-8 per detector pixel; every second spectrum has no lines."""
    light = simulated_survey.starlight(stars, rows, config)
    light[::2] = 1.0
    stars = stars.assign(snr=rng.uniform(2, 8, len(stars)))
    return simulated_survey.recorded(light, stars, config)


def _galaxy(stars, rows, config, rng):
    """Old stellar populations with a velocity dispersion of 150-300 km/s; every second one has 1-3 emission lines.

    The emission lines have dispersions of 30-150 km/s and heights of 0.3-3 times the continuum, at random wavelengths.
    """
    grid = operators.window_grid(config.window)
    velocity = operators.C_KMS / grid.mean()  # of 1 A
    light = simulated_survey.starlight(stars, rows, config)
    for k, spectrum in enumerate(light):
        spectrum[:] = gaussian_filter1d(spectrum, rng.uniform(150, 300) / velocity / config.window.step)
        count = rng.integers(1, 4)
        centre = rng.uniform(config.window.start + 2, config.window.stop - 2, (count, 1))
        width = rng.uniform(30, 150, (count, 1)) / velocity
        height = np.exp(rng.uniform(np.log(0.3), np.log(3), (count, 1)))
        if k % 2:
            spectrum += spectrum.mean() * (height * np.exp(-0.5 * ((grid - centre) / width) ** 2)).sum(0)
    return simulated_survey.recorded(light, stars, config)


KINDS = {
    "hot star": _hot,
    "binary": _binary,
    "wrong velocity": _velocity,
    "other resolution": _resolution,
    "gaps": _gaps,
    "noise": _noise,
    "galaxy": _galaxy,
}


def injected_set(config, n=30, seed=0):
    """Out-of-distribution spectra of each kind in :data:`KINDS`, as recorded by the spectrograph of the survey.

    Each is made from a random star of the survey, with its labels, line-list errors, atmosphere and S/N, and with new
    noise and blaze.

    Parameters
    ----------
    config : Config
    n : int
        Spectra of each kind.
    seed : int

    Returns
    -------
    dict of kind -> float32 array of shape (n, n_pixels)
        Continuum = 1, on ``window_grid(config.window, margin=False)``.
    """
    survey, library_rows = simulated_survey.draw_truth(libraries.load_library(config.survey.library), config)
    spectra = {}
    for number, (kind, make) in enumerate(KINDS.items()):
        rng = np.random.default_rng([config.survey.seed, 31, seed, number])
        among = np.argsort(-survey["teff"].to_numpy())[: max(2, len(survey) // 10)] if make is _hot else len(survey)
        picked = rng.choice(among, n)
        # new names, because the name seeds noise and blaze
        names = [f"S{1000 + 1000 * number + k + 100_000 * seed}" for k in range(n)]
        stars = survey.iloc[picked].reset_index(drop=True).assign(karmn=names)
        spectra[kind] = make(stars, library_rows[picked], config, rng)
    return spectra
