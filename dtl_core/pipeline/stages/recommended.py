"""The recommended estimates: the method that wins the benchmark, with error bars and p-values calibrated on truth.

    survey (or any group of stars large enough)  -> ``combined``: what all its stars have in common is learnt from them
    fewer stars                                  -> ``randomised``: a network that was prepared for anything

The survey is calibrated on one half of it, whose truth is used for nothing else but choices and the anchor stars; stars
without a survey on simulated stars of ten other surveys, each with errors of the line list of its own. An estimate is
the median of what its calibration says, so that it lies within its own error bars.
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
    """About how many epochs the stage's networks and emulator take together, for the progress bar."""
    return config.recommended.epochs * 2 + config.recommended.emulator_epochs


def method_of(config, n_stars):
    """Which method a group of so many stars gets."""
    settings = config.recommended
    return "randomised" if settings.method == "combined" and n_stars < settings.fewest else settings.method


def estimate(method, flux):
    """What a method says of spectra (m, n_pixels): found and spread (m, 4), features for the outlier scores."""
    flux = torch.as_tensor(flux, dtype=torch.float32)
    found, spread = method.predict(flux), method.spread(flux)
    return found, spread, method.measure(flux, found, spread)


def calibrated(reference, truth, stars, weight=None):
    """Intervals and p-values of stars, from reference stars whose truth is known.

    Arguments
    ---------
    reference, stars : (found, spread, measured) of :func:`estimate`;  truth : (n, 4) of the reference stars
    weight : (n,) likelihood ratio of the stars to the reference, optional

    Returns
    -------
    dict of found, spread (m, 4), median (m, 4), low, high (m, 4, n_levels), p (m,) and strange (m,), the number of the
    score that tells most
    """
    out = intervals(reference[:2], truth, stars[:2], weight)
    p, reason = outliers.Detector(**reference[2]).p_values(**stars[2])
    return out | {"p": p, "strange": np.array([outliers.SCORES.index(name) for name in reason])}


def _rows(estimates, rows):
    found, spread, measured = estimates
    return found[rows], spread[rows], {name: v[rows] if np.ndim(v) else v for name, v in measured.items()}


def make_recommended(store, config, keys, progress=None):
    """The stage ``recommended``: a catalogue of all observed stars, and what it was made from.

    Returns: (folder, key).
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
        save_arrays(folder / "recommended.safetensors", columns)
        _table(run.stars, columns, methods, config).write(folder / "catalogue_recommended.ecsv")

    inputs = {name: keys[name] for name in ("synthetic", "observed")}
    shared = {"recommended": settings, "seed": config.seed, "survey": config.survey, "window": config.window}
    shared |= {"continuum": config.continuum, "limb_darkening": config.synthetic.limb_darkening}
    return store.stage("recommended", shared, inputs, compute)


def _table(names, columns, methods, config):
    """The catalogue, with the columns of the paper's and besides: method, p_domain and strange."""
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
    """What a flow learns from: features of synthetic spectra as the method's network saw them, and of the stars."""
    rows = torch.as_tensor(own.train[:n])
    synthetic = {"synthetic": method.network.latent(method.network.seen(rows)), "labels": own.labels[rows]}
    return synthetic | {
        "stars": method.latent(own.stars),
        "zero": np.broadcast_to(np.float32(method.zero), len(PARAMETERS)),
    }


def _elsewhere(config):
    """Simulated stars of other surveys, in equal parts: flux (n, n_pixels) and their labels (n, 4)."""
    each = -(-config.recommended.reference_stars // N_SURVEYS)
    small = dataclasses.replace(config, survey=dataclasses.replace(config.survey, n_stars=each))
    flux, truth = zip(*(benchmark.other_survey(small, seed=1000 + k) for k in range(N_SURVEYS)), strict=True)
    return np.concatenate(flux), np.concatenate([one[list(PARAMETERS)].to_numpy() for one in truth])
