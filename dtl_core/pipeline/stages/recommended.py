"""Stage ``recommended``: estimates by a method of the benchmark, with calibrated error bars and p-values.

    many stars, such as a survey  -> ``combined``: learns what the spectra of all stars have in common
    few stars                     -> ``randomised``: a network trained on randomised synthetic spectra

The error bars of a survey are calibrated on one half of it, whose truth otherwise serves only for choices and anchor
stars; those of few stars on simulated stars of ten other surveys, each with its own errors of the line list. Estimates
are medians of their calibrated distributions, so that they lie within their error bars. The array ``known`` marks the
stars whose truth was used: they are not counted in the errors of the estimates.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from astropy.table import Table

from ...bridging import benchmark
from ...bridging.corrections import Combined, Prepared
from ...estimates import outliers
from ...estimates.calibration import LEVELS, intervals, likelihood_ratio
from ...files import save_arrays
from ...parameters import PARAMETER_COLUMNS, PARAMETERS
from ...spectra import operators
from ..stored import StoredSpectra

__all__ = ["calibrated", "estimate", "make_recommended", "method_of", "steps"]


_METHODS = {"combined": Combined, "randomised": Prepared}
_BUDGET = ("epochs", "emulator_epochs", "batch_size", "learning_rate")
N_SURVEYS = 10  # that the reference stars come from


def steps(config):
    """Approximate number of epochs of all networks and the emulator, for the progress bar."""
    return config.recommended.epochs * 2 + config.recommended.emulator_epochs


def method_of(config, n_stars):
    """Method for a group of stars: str."""
    settings = config.recommended
    return "randomised" if settings.method == "combined" and n_stars < settings.fewest else settings.method


def estimate(method, flux):
    """Estimate labels with a trained method.

    Parameters
    ----------
    method : object
        See :mod:`dtl_core.bridging.methods`.
    flux : (m, n_pixels)

    Returns
    -------
    found, spread : (m, 4)
        Estimates and their standard errors.
    measured : dict
        See :func:`dtl_core.estimates.outliers.measure`.
    """
    flux = torch.as_tensor(flux, dtype=torch.float32)
    found, spread = method.predict(flux), method.spread(flux)
    return found, spread, method.measure(flux, found, spread)


def calibrated(reference, truth, stars, weight=None):
    """Intervals and p-values of stars, calibrated on reference stars of known truth.

    Parameters
    ----------
    reference, stars : (found, spread, measured)
        As of :func:`estimate`.
    truth : (n, 4)
        Of the reference stars.
    weight : (n,), optional
        Likelihood ratio of the stars to the reference stars.

    Returns
    -------
    dict
        ``found``, ``spread``, ``median`` (m, 4); ``low``, ``high`` (m, 4, n_levels); ``p`` (m,); ``strange`` (m,), the
        number of the most significant score.
    """
    out = intervals(reference[:2], truth, stars[:2], weight)
    p, reason = outliers.Detector(**reference[2]).p_values(**stars[2])
    return out | {"p": p, "strange": np.array([outliers.SCORES.index(name) for name in reason])}


def _rows(estimates, rows):
    found, spread, measured = estimates
    return found[rows], spread[rows], {name: v[rows] if np.ndim(v) else v for name, v in measured.items()}


def make_recommended(store, config, keys, progress=None):
    """Estimate all observed stars with the recommended method.

    Parameters
    ----------
    store : Store
    config : Config
    keys : dict
        Keys of the stages ``synthetic`` and ``observed``.
    progress : callable, optional
        Called once per epoch.

    Returns
    -------
    folder : Path
    key : str
    """
    settings = config.recommended

    def compute(folder):
        run = StoredSpectra(config, store, keys)
        n, budget = len(run.truth), {name: getattr(settings, name) for name in _BUDGET}
        own = benchmark.make_problem(run, config.seed, progress=progress, **budget)
        chosen, _ = benchmark.halves(run.truth)
        truth = run.truth[list(PARAMETERS)].to_numpy()[chosen]
        methods, parts = [method_of(config, n)] * n, []
        method = own.learned(_METHODS[methods[0]]).adapt(own)
        survey = estimate(method, own.stars)
        save_arrays(folder / "features.safetensors", _features(method, own))
        parts.append(calibrated(_rows(survey, chosen), truth, survey))
        known_stars = np.isin(np.arange(len(run.observed)), [*chosen, *method.known_stars(own)])
        if len(run.observed) > n:
            real = torch.as_tensor(operators.binned(run.observed[n:], config.window.step))
            stars = dataclasses.replace(own, stars=real, anchors={})
            name, weight = method_of(config, len(stars.stars)), None
            method = own.learned(_METHODS[name]).adapt(stars)
            found = estimate(method, stars.stars)
            if name == "combined":  # the survey, without anchors, stands for these stars
                twin = own.learned(Combined).adapt(dataclasses.replace(own, anchors={}))
                reference, known = _rows(estimate(twin, own.stars), chosen), truth
                weight = likelihood_ratio(reference[0], found[0])
            else:
                flux, known = _elsewhere(config)
                reference = estimate(method, operators.binned(flux, config.window.step))
            parts.append(calibrated(reference, known, found, weight))
            methods += [name] * len(stars.stars)
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        save_arrays(folder / "recommended.safetensors", columns | {"known": known_stars})
        _table(run.stars, columns, methods, config).write(folder / "catalogue_recommended.ecsv")

    inputs = {name: keys[name] for name in ("synthetic", "observed")}
    shared = {"recommended": settings, "seed": config.seed, "survey": config.survey, "window": config.window}
    shared |= {"continuum": config.continuum, "limb_darkening": config.synthetic.limb_darkening}
    return store.stage("recommended", shared, inputs, compute)


def _table(names, columns, methods, config):
    """The catalogue: the columns of the paper's, and method, p_domain and strange."""
    level = LEVELS.index(0.68)
    table = Table({"karmn": names})
    for k, column in enumerate(PARAMETER_COLUMNS.values()):
        table[column] = columns["median"][:, k]
        table[f"e_{column}"] = columns["median"][:, k] - columns["low"][:, k, level]
        table[f"E_{column}"] = columns["high"][:, k, level] - columns["median"][:, k]
    table["method"], table["p_domain"] = methods, columns["p"]
    table["strange"] = [outliers.SCORES[number] for number in columns["strange"]]
    for column, unit in (("Teff", "K"), ("vsini", "km / s")):
        for name in (column, f"e_{column}", f"E_{column}"):
            table[name].unit = unit
    table.meta = {"profile": config.profile, "resolving_power": config.window.resolving_power}
    return table


def _features(method, own, n=4000):
    """Training set of a flow: features of synthetic spectra as the method's network saw them, and of the stars."""
    rows = torch.as_tensor(own.train[:n])
    synthetic = {"synthetic": method.network.latent(method.network.seen(rows)), "labels": own.labels[rows]}
    return synthetic | {
        "stars": method.latent(own.stars),
        "zero": np.broadcast_to(np.float32(method.zero), len(PARAMETERS)),
    }


def _elsewhere(config):
    """Simulated stars of several other surveys in equal parts: flux (n, n_pixels) and labels (n, 4)."""
    each = -(-config.recommended.reference_stars // N_SURVEYS)
    small = dataclasses.replace(config, survey=dataclasses.replace(config.survey, n_stars=each))
    flux, truth = zip(*(benchmark.other_survey(small, seed=1000 + k) for k in range(N_SURVEYS)), strict=True)
    return np.concatenate(flux), np.concatenate([one[list(PARAMETERS)].to_numpy() for one in truth])
