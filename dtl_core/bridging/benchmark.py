"""The benchmark of domain-adaptation methods against the known truth of a simulated survey."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import torch

from ..config import override
from ..estimates.calibration import group_edges, groups_of
from ..estimates.gap import gap_metrics, scaled
from ..networks.training import split
from ..parameters import ANCHOR_ERRORS, PARAMETERS
from ..spectra.operators import binned
from ..synthetic import simulated_survey
from .problem import Problem

__all__ = ["ANCHOR_ERRORS", "anchors_of", "axes", "gaps", "halves", "make_problem", "other_survey", "regions", "scores"]


# Anchor stars: as many as the paper compares with, interferometric Teff and log g and [M/H] of FGK companions.
N_INTERFEROMETRIC, N_COMPANIONS = 14, 6


def halves(truth, seed=0):
    """Split a survey into the rows for choices and the rows for reported results: two sorted arrays."""
    order = np.random.default_rng([seed, 21]).permutation(len(truth))
    return np.sort(order[: len(truth) // 2]), np.sort(order[len(truth) // 2 :])


def anchors_of(truth, rows, seed=0):
    """Draw anchor stars among ``rows``, with measurement errors: dict of parameter -> (rows, values)."""
    rng = np.random.default_rng([seed, 22])
    chosen = rng.permutation(rows)
    groups = {"teff": chosen[:N_INTERFEROMETRIC], "logg": chosen[:N_INTERFEROMETRIC]}
    groups["mh"] = chosen[N_INTERFEROMETRIC : N_INTERFEROMETRIC + N_COMPANIONS]
    return {
        name: (own, truth[name].to_numpy()[own] + rng.normal(0, ANCHOR_ERRORS[name], len(own)))
        for name, own in groups.items()
    }


def make_problem(run, seed=0, *, stars=None, truth=None, **budget):
    """Build the problem of a run, with its synthetic and observed spectra in wider pixels.

    Parameters
    ----------
    run : Run
        With the stages ``synthetic`` and ``observed``.
    seed : int
        Of the split, the networks and the errors of the anchor stars.
    stars, truth : array of shape (m, n_pixels) and DataFrame, optional
        Spectra of another survey and their labels, instead of the run's. Without ``truth`` there are no anchor stars.
    **budget
        epochs, emulator_epochs, batch_size and learning_rate of :class:`~dtl_core.bridging.problem.Problem`.

    Returns
    -------
    Problem
    """
    step = run.config.window.step
    if stars is None:
        stars, truth = run.observed[: len(run.truth)], run.truth
    flux, labels, stars = (
        torch.as_tensor(v, dtype=torch.float32)
        for v in (binned(run.synthetic["flux"], step), run.synthetic["labels"], binned(np.asarray(stars), step))
    )
    train, valid = split(len(flux), 0.2, [seed, 23])
    anchors = {} if truth is None else anchors_of(truth, halves(truth)[0], seed)
    wavelength, power = binned(run.wavelength, step), run.config.window.resolving_power
    return Problem(wavelength, flux, labels, train, valid, stars, power, anchors, seed, **budget)


def other_survey(config, *, seed=0, foreign=None, **effects):
    """Simulate the survey with other draws and strengths of its effects.

    Parameters
    ----------
    config : Config
    seed : int
        Added to the configured seed.
    foreign : dict, optional
        Foreign effect -> its strength, which replaces the configured one; see
        :mod:`dtl_core.synthetic.foreign_effects`.
    **effects
        Factor of the configured strength of each effect.

    Returns
    -------
    flux, truth
        See :func:`dtl_core.synthetic.simulated_survey.survey_set`.

    Raises
    ------
    ConfigError
        A foreign effect is unknown, or its strength is not from 0 to 10.
    """
    config = override(config, {f"survey.foreign.{name}": strength for name, strength in (foreign or {}).items()})
    changes = {name: factor * getattr(config.survey, name) for name, factor in effects.items()}
    survey = dataclasses.replace(config.survey, seed=config.survey.seed + seed, **changes)
    return simulated_survey.survey_set(dataclasses.replace(config, survey=survey))


def regions(teff):
    """Third of Teff that each star is in, cool to hot: (n_stars,) of 0, 1, 2."""
    return groups_of(teff, group_edges(teff))


def scores(found, truth, rows=None):
    """Rmse, bias (estimate minus truth) and scatter of estimates.

    Parameters
    ----------
    found : array of shape (n_stars, 4)
        Estimates.
    truth : DataFrame
        True parameters.
    rows : array of int, optional
        Stars to count; by default all.

    Returns
    -------
    DataFrame
        One row per parameter and region: ``all``, and the thirds of Teff 0, 1 and 2.
    """
    rows = np.arange(len(truth)) if rows is None else rows
    third, out = regions(truth["teff"].to_numpy())[rows], []
    for k, name in enumerate(PARAMETERS):
        difference = found[rows, k] - truth[name].to_numpy()[rows]
        for region in ("all", 0, 1, 2):
            own = difference if region == "all" else difference[third == region]
            rmse, bias = np.sqrt(np.mean(own**2)), own.mean()
            out.append((name, region, len(own), rmse, bias, own.std()))
    return pd.DataFrame(out, columns=["parameter", "region", "n", "rmse", "bias", "scatter"])


def gaps(method, problem, *, n_synthetic=800, **settings):
    """Gap metrics in the feature space of a method, in units of the spread of the synthetic features.

    Parameters
    ----------
    method : Method or None
        Fitted; None for the fluxes themselves.
    problem : Problem
    n_synthetic : int
        Number of synthetic spectra.
    **settings
        For :func:`dtl_core.estimates.gap.gap_metrics`.

    Returns
    -------
    DataFrame
    """
    rows = problem.valid[:n_synthetic]
    if method is None:
        stars, synthetic = problem.stars.numpy(), problem.flux[rows].numpy()
    else:
        stars, synthetic = method.latent(problem.stars), method.synthetic_latent(rows)
    return gap_metrics(*scaled(stars, synthetic), seed=problem.seed, **settings)


def axes(method, flux):
    """Change of each latent unit by fine-tuning, over observed spectra.

    Parameters
    ----------
    method : FineTuned or FrozenDecoder
        Fitted.
    flux : array of shape (n_stars, n_pixels)

    Returns
    -------
    DataFrame
        One row per unit: unit, live, ``correlation`` between its values before and after, and ``moved``, the rms change
        in units of the spread of the synthetic latents (infinite for units that are dead on synthetic spectra).
    """
    before, after = (method._encode(model, torch.as_tensor(flux)).numpy() for model in (method.source, method.encoder))
    spread = method.synthetic_latent(method.problem.valid).std(0)
    live = spread > 1e-4 * spread.max()
    rows = []
    for unit, alive in enumerate(live):
        x, y = before[:, unit], after[:, unit]
        correlation = np.corrcoef(x, y)[0, 1] if x.std() and y.std() else np.nan
        moved = np.sqrt(np.mean((y - x) ** 2)) / spread[unit] if alive else np.inf if (y != x).any() else 0.0
        rows.append((unit, bool(alive), correlation, moved))
    return pd.DataFrame(rows, columns=["unit", "live", "correlation", "moved"])
