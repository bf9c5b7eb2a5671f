"""The test bench for transfer: methods against the known truth of the benchmark survey."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import torch

from ..estimates.calibration import group_edges, groups_of
from ..estimates.gap import gap_metrics, scaled
from ..networks.training import split
from ..parameters import PARAMETERS
from ..spectra.operators import binned
from ..synthetic import simulated_survey
from .problem import Problem

__all__ = ["ANCHOR_ERRORS", "anchors_of", "axes", "gaps", "halves", "make_problem", "other_survey", "regions", "scores"]


# Stars with interferometric Teff and log g, and companions of FGK stars with [M/H], as many as the paper compares with;
# and how well these are known.
N_INTERFEROMETRIC, N_COMPANIONS = 14, 6
ANCHOR_ERRORS = {"teff": 30.0, "logg": 0.03, "mh": 0.05}


def halves(truth, seed=0):
    """Rows of the survey on which choices are made, and those on which they are reported: two sorted arrays."""
    order = np.random.default_rng([seed, 21]).permutation(len(truth))
    return np.sort(order[: len(truth) // 2]), np.sort(order[len(truth) // 2 :])


def anchors_of(truth, rows, seed=0):
    """Measured parameters of a few stars among ``rows``: parameter -> (rows, values), with errors of measurement."""
    rng = np.random.default_rng([seed, 22])
    chosen = rng.permutation(rows)
    groups = {"teff": chosen[:N_INTERFEROMETRIC], "logg": chosen[:N_INTERFEROMETRIC]}
    groups["mh"] = chosen[N_INTERFEROMETRIC : N_INTERFEROMETRIC + N_COMPANIONS]
    return {
        name: (own, truth[name].to_numpy()[own] + rng.normal(0, ANCHOR_ERRORS[name], len(own)))
        for name, own in groups.items()
    }


def make_problem(run, seed=0, *, stars=None, truth=None, **budget):
    """What the methods are given, from a run's synthetic and observed spectra, in pixels of about ``STEP``.

    Arguments
    ---------
    run : Run, of which the stages ``synthetic`` and ``observed`` are done
    seed : of the split, the networks and the anchors' errors
    stars, truth : (m, n_pixels) spectra of another survey and their labels, instead of the run's; without ``truth``
        there are no anchors
    budget : epochs, emulator_epochs, batch_size, learning_rate of :class:`dtl_core.bridging.problem.Problem`
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


def other_survey(config, *, seed=0, **effects):
    """The benchmark survey with other draws and strengths: flux, truth of
    :func:`dtl_core.synthetic.simulated_survey.survey_set`.

    Arguments: seed, added to the configured one; effects, name -> factor of the configured strength.
    """
    changes = {name: factor * getattr(config.survey, name) for name, factor in effects.items()}
    survey = dataclasses.replace(config.survey, seed=config.survey.seed + seed, **changes)
    return simulated_survey.survey_set(dataclasses.replace(config, survey=survey))


def regions(teff):
    """Which third of Teff each star is in: (n_stars,) of 0, 1, 2."""
    return groups_of(teff, group_edges(teff))


def scores(found, truth, rows=None):
    """Rmse, bias (estimate minus truth) and scatter of labels (n_stars, 4): DataFrame, a row a parameter and region.

    Arguments: truth, DataFrame with the parameters; rows, of the stars that count. The region ``all`` holds all of
    them, 0, 1 and 2 the thirds of Teff, cool to hot.
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
    """Gap metrics in a method's latent space, in units of the spread of the synthetic ones: DataFrame.

    Arguments: method, fitted, or None for the fluxes; settings, for :func:`dtl_core.estimates.gap.gap_metrics`.
    """
    rows = problem.valid[:n_synthetic]
    if method is None:
        stars, synthetic = problem.stars.numpy(), problem.flux[rows].numpy()
    else:
        stars, synthetic = method.latent(problem.stars), method.synthetic_latent(rows)
    return gap_metrics(*scaled(stars, synthetic), seed=problem.seed, **settings)


def axes(method, flux):
    """How fine-tuning changed the meaning of each latent unit, over observed spectra: DataFrame, a row a unit.

    correlation : between what the encoder from before and the one from after say of the same stars
    moved : rms change, in units of the spread of the synthetic latents, infinite for units that were dead on them
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
