"""The benchmark survey: a target domain of known truth.

The survey starts from spectra computed with another code and other atomic line lists (``survey_b``), or from spectra of
other physics (``survey_c_a``, ``survey_c_b``), and adds the effects of spectrograph and star. Each effect has a
strength in ``SurveyConfig``; 0 switches it off. With all of them off only the codes, or also the physics, differ. Those
of :mod:`~dtl_core.synthetic.foreign_effects` are off by default.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d

from ..config import FOREIGN_EFFECTS, SURVEY_EFFECTS, ForeignConfig
from ..lines import ACTIVE_LINES, STRONG_LINES
from ..spectra import operators
from . import foreign_effects, generation, libraries

__all__ = ["detected", "draw_truth", "effect_sizes", "halves", "photon_noise", "recorded", "starlight", "survey_set"]


# Scales at strength 1, set so that the best-fitting synthetic spectrum leaves a residual like that of the HPF stars
# (about 3.5 % rms; see notebook 01).
LINE_STRENGTH_RMS = 0.22  # of ln(opacity)
N_MISSING, N_UNKNOWN = 10, 50
NEAREST_MISSING = 0.3  # A, of a missing line to a strong one


def draw_truth(library, config):
    """Draw labels and circumstances of the survey's stars, from a seed.

    Teff, log g, [M/H] and the kinematic population come with the library. Activity follows population and Teff (young
    and cool stars are active more often), rotation follows activity, as in the solar neighbourhood (Reiners et al.
    2018: most M dwarfs rotate below 3 km/s, the active ones at up to tens of km/s).

    Parameters
    ----------
    library : Library
        That of ``survey.library``.
    config : Config

    Returns
    -------
    truth : DataFrame
        One row per star: karmn, teff [K], logg, mh, vsini [km/s], population, active, snr (per detector pixel),
        velocity [km/s] left over, telluric_velocity [km/s]; of survey C also microturbulence [km/s] and alpha.
    rows : (n_stars,) array of int
        Their rows in the library.
    """
    settings = config.survey
    rng = np.random.default_rng([settings.seed, 1])
    rows = np.arange(len(library.label))  # all stars draw, so that a smaller survey is a subset
    teff, logg, mh = library.label.T
    base = pd.Series(library.population).map({"YD": 0.5, "D": 0.25, "TD-D": 0.1, "TD": 0.05}).to_numpy()
    active = rng.random(len(rows)) < np.clip(base * (3900 - teff) / 400, 0.02, 0.9)
    slow = 1.5 + rng.exponential(0.7, len(rows))
    fast = np.exp(rng.uniform(np.log(2.5), np.log(28.0), len(rows)))
    table = pd.DataFrame(
        {
            "karmn": [f"S{k + 1:03d}" for k in rows],
            "teff": teff,
            "logg": logg,
            "mh": mh,
            "vsini": np.where(active, fast, np.minimum(slow, 5.0)).round(2),
            "population": library.population,
            "active": active,
            "snr": np.exp(rng.uniform(np.log(100), np.log(400), len(rows))).round(0),
            "velocity": rng.normal(0, 0.15, len(rows)) * settings.velocity,
            "telluric_velocity": rng.uniform(-60, 60, len(rows)),
            **library.physics,
        }
    )
    chosen = np.sort(rng.permutation(len(rows))[: settings.n_stars])
    return table.iloc[chosen].reset_index(drop=True), chosen


def halves(n, seed=0):
    """Split the stars of a library into those for choices and calibration, and those for reported results.

    Parameters
    ----------
    n : int
        Number of stars.
    seed : int

    Returns
    -------
    chosen, reported : arrays of int
        Sorted row numbers.
    """
    order = np.random.default_rng([seed, 21]).permutation(n)
    return np.sort(order[: n // 2]), np.sort(order[n // 2 :])


def _distort_lines(library, rows, truth, settings):
    """Optical depths (n_stars, n_pixels) with the line list's errors, which are the same for all stars."""
    wave, step = library.wavelength, library.wavelength[1] - library.wavelength[0]
    depth = -np.log(np.clip(library.norm[rows], 1e-4, 1.0))
    rng = np.random.default_rng([settings.seed, 2])
    # draws do not depend on which effects are on, so that switching one off leaves the others unchanged
    field = gaussian_filter1d(rng.standard_normal(len(wave)), 0.12 / step, mode="wrap")
    missing = rng.uniform(wave[0] + 2, wave[-1] - 2, N_MISSING)
    # line lists lack weak lines; that one of the strongest is missing would be noticed
    strong = np.concatenate(list(STRONG_LINES.values()))
    for k in range(N_MISSING):
        while np.abs(strong - missing[k]).min() < NEAREST_MISSING:
            missing[k] = rng.uniform(wave[0] + 2, wave[-1] - 2)
    lost = rng.uniform(0.3, 1.0, N_MISSING)
    position = rng.uniform(wave[0] + 2, wave[-1] - 2, N_UNKNOWN)
    strength = np.exp(rng.normal(np.log(0.07), 0.7, N_UNKNOWN))
    width = rng.uniform(0.05, 0.09, N_UNKNOWN)
    power = rng.normal(-1.5, 2.0, N_UNKNOWN)
    depth = depth * np.exp(settings.line_strength * LINE_STRENGTH_RMS * field / field.std())
    gap = (lost[:, None] * np.exp(-0.5 * ((wave - missing[:, None]) / 0.15) ** 2)).max(0)
    depth = depth * np.clip(1 - settings.missing_lines * gap, 0, 1)
    if settings.unknown_lines:
        profile = strength[:, None] * np.exp(-0.5 * ((wave - position[:, None]) / width[:, None]) ** 2)
        teff, mh = truth["teff"].to_numpy()[:, None], truth["mh"].to_numpy()[:, None]
        depth = depth + settings.unknown_lines * ((teff / 3500) ** power * 10 ** (0.4 * mh)) @ profile
    return depth


def _fill_in(norm, wavelength, rows, truth, settings):
    """Chromospheric filling of the strong lines of active stars, at most to the continuum."""
    rng = np.random.default_rng([settings.seed, 3])
    # all stars of the library draw, so that a smaller survey is a subset
    amount = rng.uniform(0.1, 0.4, 1000)[rows] * truth["active"].to_numpy() * settings.activity
    core = sum(np.exp(-0.5 * ((wavelength - line) / 0.25) ** 2) for line in ACTIVE_LINES)
    return norm + np.clip(amount[:, None] * core, 0, 1) * (1 - norm)


def _observe(flux, wavelength, truth, config):
    """Telluric lines, blaze and photon noise on (n_stars, n_pixels) spectra on ``window_grid``."""
    settings, window = config.survey, config.window
    rng = np.random.default_rng([settings.seed, 4])
    x = np.linspace(-1, 1, len(wavelength))
    lines, depths = rng.uniform(8780, 8855, 14), rng.uniform(0.003, 0.03, 14)
    sigma = 8817.5 / window.resolving_power / operators.FWHM * 1.2
    step = 8817.5 / window.resolving_power / 2.8  # a detector pixel
    edges = np.arange(wavelength[0] - 1, wavelength[-1] + 1, step)
    for k, star in enumerate(truth.itertuples()):
        draws = np.random.default_rng([settings.seed, 5, int(star.karmn[1:])])  # one stream per star
        tilt, bend, ripple = draws.normal(0, (0.02, 0.01, 0.004))
        period, phase, water = draws.uniform(8, 16), draws.uniform(0, 2 * np.pi), draws.uniform(0.3, 1.5)
        noise = draws.standard_normal(len(edges))
        shifted = operators.doppler_shift(lines, star.telluric_velocity)
        absorption = depths @ np.exp(-0.5 * ((wavelength - shifted[:, None]) / sigma) ** 2)
        flux[k] *= np.exp(-settings.telluric * water * absorption)
        wave_pattern = ripple * np.sin(2 * np.pi * wavelength / period + phase)
        flux[k] *= 1 + settings.continuum * (tilt * x + bend * (x**2 - 1 / 3) + wave_pattern)
        level = photon_noise(flux[k : k + 1], truth.iloc[k : k + 1])[0]
        flux[k] += settings.noise * level * np.interp(wavelength, edges, noise)
    return flux


def photon_noise(flux, truth):
    """Standard deviation of the photon noise of spectra.

    Parameters
    ----------
    flux : (n_stars, n_pixels) array
    truth : DataFrame
        Its column ``snr`` is the S/N per detector pixel at the 95th percentile of the flux.

    Returns
    -------
    (n_stars, n_pixels) array
    """
    top = np.percentile(flux, 95, axis=1, keepdims=True)
    return np.sqrt(np.clip(flux / top, 0, None)) * top / truth["snr"].to_numpy()[:, None]


def starlight(truth, rows, config, *, opacity=1.0):
    """Spectra of stars as a noise-free detector in space would record them, not normalised.

    Parameters
    ----------
    truth : DataFrame
        As of :func:`draw_truth`.
    rows : (n_stars,) array of int
        Rows of the library of the survey.
    config : Config
    opacity : (n_stars, n_library_pixels) array or float
        Factors of the lines' optical depth.

    Returns
    -------
    (n_stars, n_pixels) array
        Flux on ``window_grid(config.window)``, of mean 1 before broadening.
    """
    library = libraries.load_library(config.survey.library)
    settings, window = config.survey, config.window
    depth = foreign_effects.change_depth(
        _distort_lines(library, rows, truth, settings), library.wavelength, truth, settings
    )
    norm = np.exp(-opacity * depth)
    norm = _fill_in(norm, library.wavelength, rows, truth, settings)
    raw = foreign_effects.add_spots(norm * library.continuum[rows], library, truth, config)
    vsini = truth["vsini"].to_numpy()
    flux = generation.model_spectra(
        library.wavelength, raw, vsini, window, limb_darkening=config.synthetic.limb_darkening
    )
    grid = operators.window_grid(window)
    for k, velocity in enumerate(truth["velocity"]):
        if velocity:
            flux[k] = operators.resample(grid, flux[k], operators.doppler_shift(grid, -velocity), "spline")
    return foreign_effects.add_companions(flux, raw, library, truth, config)


def detected(flux, truth, config):
    """Add atmosphere, blaze and photon noise to starlight.

    Parameters
    ----------
    flux : (n_stars, n_pixels) array
        Result of :func:`starlight`.
    truth : DataFrame
        Its stars; each has a stream of random numbers that depends on its ``karmn``.
    config : Config

    Returns
    -------
    (n_stars, n_pixels) array
        With the margin, not normalised.
    """
    flux = foreign_effects.detector_effects(flux, truth, config)
    return _observe(flux.copy(), operators.window_grid(config.window), truth, config)


def recorded(flux, truth, config):
    """Add atmosphere, blaze and photon noise to starlight, then normalise it and cut off the margin.

    Parameters
    ----------
    flux : (n_stars, n_pixels) array
        Result of :func:`starlight`.
    truth : DataFrame
        Its stars, as for :func:`detected`.
    config : Config

    Returns
    -------
    (n_stars, n_pixels) array of float32
    """
    grid = operators.window_grid(config.window)
    flux = detected(flux, truth, config)
    return _cut(operators.normalise(grid, flux, config.continuum), config.window).astype(np.float32)


def survey_set(config):
    """Simulate the benchmark survey of a run.

    Parameters
    ----------
    config : Config

    Returns
    -------
    flux : (n_stars, n_pixels) array of float32
        Continuum = 1, on ``window_grid(config.window, margin=False)``.
    truth : DataFrame
        As of :func:`draw_truth`.

    Examples
    --------
    >>> from dtl_core.config import load_profile
    >>> from dtl_core.synthetic.simulated_survey import survey_set
    >>> flux, truth = survey_set(load_profile("demo", {"survey.n_stars": 10}))
    >>> flux.shape, len(truth)
    ((10, 3501), 10)
    """
    truth, rows = draw_truth(libraries.load_library(config.survey.library), config)
    return recorded(starlight(truth, rows, config), truth, config), truth


def effect_sizes(config, n_stars=40, *, foreign=False):
    """Root mean square change of flux by each effect alone, at its strength in ``config``.

    Parameters
    ----------
    config : Config
    n_stars : int
        Stars of the survey to use.
    foreign : bool
        Whether to measure the effects of :mod:`dtl_core.synthetic.foreign_effects` too, each at strength 1.

    Returns
    -------
    dict
        Effect -> change, continuum = 1; foreign ones have names such as ``foreign.spots``. ``codes`` is the change from
        the other code alone: survey spectra with all effects off against synthetic ones of the same labels.
    """

    def survey(other=None, **on):
        strengths = dict.fromkeys(SURVEY_EFFECTS, 0.0) | on | {"foreign": other or ForeignConfig()}
        settings = dataclasses.replace(config.survey, n_stars=n_stars, **strengths)
        return survey_set(dataclasses.replace(config, survey=settings))

    plain, truth = survey()
    changes = {name: survey(**{name: getattr(config.survey, name)})[0] - plain for name in SURVEY_EFFECTS}
    for name in FOREIGN_EFFECTS if foreign else ():
        changes[f"foreign.{name}"] = survey(ForeignConfig(**{name: 1.0}))[0] - plain
    library = libraries.load_library("grid_a")
    raw = generation.expand(library, truth[["teff", "logg", "mh"]].to_numpy())
    model = generation.network_spectra(
        library.wavelength,
        raw,
        truth["vsini"].to_numpy(),
        config.window,
        config.continuum,
        limb_darkening=config.synthetic.limb_darkening,
    )
    changes["codes"] = plain - model
    return {name: float(np.sqrt(np.mean(change**2))) for name, change in changes.items()}


def _cut(flux, window):
    margin = round(window.margin / window.step)
    return flux[..., margin:-margin]
