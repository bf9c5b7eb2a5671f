"""The benchmark of domain-adaptation methods against the known truth of a simulated survey."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pandas as pd
import torch

from ..config import override
from ..errors import DataError
from ..estimates import gravity
from ..estimates.calibration import group_edges, groups_of
from ..estimates.gap import gap_metrics, scaled
from ..networks.training import split
from ..parameters import ANCHOR_ERRORS, PARAMETERS
from ..spectra.operators import binned
from ..synthetic import simulated_survey
from ..synthetic.generation import physics_set
from .problem import Problem

__all__ = ["ANCHOR_ERRORS", "anchors_of", "axes", "gaps", "halves", "make_problem", "other_survey", "regions", "scores"]


# Anchor stars: as many as the paper compares with, interferometric Teff and log g and [M/H] of FGK companions.
N_INTERFEROMETRIC, N_COMPANIONS = 14, 6
# Stars with interferometric radii are near and therefore bright, and most are early M dwarfs that rotate slowly.
COOLEST, FASTEST = 3300.0, 3.0  # of realistic anchor stars: K, km/s


def halves(truth, seed=0):
    """Split a survey into the rows for choices and the rows for reported results: two sorted arrays."""
    return simulated_survey.halves(len(truth), seed)


def anchors_of(truth, rows, seed=0, n_teff=N_INTERFEROMETRIC, n_mh=N_COMPANIONS, realistic=False):
    """Draw anchor stars, with measurement errors.

    A smaller number of anchor stars is a subset of a larger one with the same seed, with the same values.

    Parameters
    ----------
    truth : DataFrame
        Of a simulated survey.
    rows : array of int
        Stars to choose from.
    seed : int
    n_teff, n_mh : int
        Stars with known Teff and log g, and other stars with known [M/H].
    realistic : bool
        Choose among stars with at least the median S/N of the survey, Teff above ``COOLEST`` and v sin i below
        ``FASTEST`` only, as stars with interferometric radii are, instead of among all.

    Returns
    -------
    dict of parameter -> (rows, values)

    Raises
    ------
    DataError
        There are fewer realistic anchor stars among ``rows`` than wanted.
    """
    first = max(n_teff, N_INTERFEROMETRIC)  # star with known [M/H], whatever n_teff is
    if realistic:
        own = truth.iloc[rows]
        suitable = (own["snr"] >= truth["snr"].median()) & (own["teff"] > COOLEST) & (own["vsini"] < FASTEST)
        rows = np.asarray(rows)[suitable]
        if len(rows) < first + n_mh:
            problem = f"{len(rows)} stars are bright, early and slow rotators, but {first + n_mh} are needed"
            raise DataError(problem, field="realistic", remedy="simulate a larger survey")
    rng = np.random.default_rng([seed, 22])
    chosen = rng.permutation(rows)
    groups = {"teff": chosen[:n_teff], "logg": chosen[:n_teff], "mh": chosen[first : first + n_mh]}
    out = {}
    for name, own in groups.items():
        # all possible anchor stars draw, so that a smaller number of them leaves the values unchanged
        errors = rng.normal(0, ANCHOR_ERRORS[name], max(len(own), N_COMPANIONS if name == "mh" else first))[: len(own)]
        out[name] = own, truth[name].to_numpy()[own] + errors
    return out


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
    own = Problem(wavelength, flux, labels, train, valid, stars, power, anchors, seed, **budget)
    own.other_physics = functools.cache(lambda: torch.as_tensor(physics_set(run.config, run.synthetic["labels"])))
    return own


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
    if foreign:
        config = override(config, {f"survey.foreign.{name}": strength for name, strength in foreign.items()})
    changes = {name: factor * getattr(config.survey, name) for name, factor in effects.items()}
    survey = dataclasses.replace(config.survey, seed=config.survey.seed + seed, **changes)
    return simulated_survey.survey_set(dataclasses.replace(config, survey=survey))


def regions(teff):
    """Third of Teff that each star is in, cool to hot: (n_stars,) of 0, 1, 2."""
    return groups_of(teff, group_edges(teff))


def scores(found, truth, rows=None, *, known):
    """Rmse, bias (estimate minus truth) and scatter of estimates, for stars whose truth was not used.

    Parameters
    ----------
    found : array of shape (n_stars, 4)
        Estimates.
    truth : DataFrame
        True parameters.
    rows : array of int, optional
        Stars to count; by default all whose truth was not used.
    known : array of int
        Stars of which the method knows a true parameter; see ``Method.known_stars``.

    Returns
    -------
    DataFrame
        One row per parameter and region: ``all``, and the thirds of Teff 0, 1 and 2. Two more parameters,
        ``logg_relation`` and ``logg_survey_relation``, are log g by the relations in
        :mod:`dtl_core.estimates.gravity` at the estimated Teff and [M/H]: what log g would be without looking at it.
        Column ``n`` is the number of stars that were counted, ``truths`` the number of stars in ``known``.

    Raises
    ------
    DataError
        A star is in ``rows`` and in ``known``.
    """
    rows = np.setdiff1d(np.arange(len(truth)), known) if rows is None else rows
    if both := np.intersect1d(rows, known).tolist():
        remedy = "leave out the stars that anchor or calibrate the method"
        raise DataError(f"the method knows the truth of star {both[0]}", field="rows", remedy=remedy)
    third, out = regions(truth["teff"].to_numpy())[rows], []
    errors = {name: found[rows, k] - truth[name].to_numpy()[rows] for k, name in enumerate(PARAMETERS)}
    for name, relation in gravity.RELATIONS.items():
        errors[f"logg_{name}"] = gravity.relation_logg(found[rows], relation) - truth["logg"].to_numpy()[rows]
    for name, difference in errors.items():
        for region in ("all", 0, 1, 2):
            own = difference if region == "all" else difference[third == region]
            rmse, bias = np.sqrt(np.mean(own**2)), own.mean()
            out.append((name, region, len(own), rmse, bias, own.std(), len(known)))
    return pd.DataFrame(out, columns=["parameter", "region", "n", "rmse", "bias", "scatter", "truths"])


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
    before, after = (method.encode(model, torch.as_tensor(flux)).numpy() for model in (method.source, method.encoder))
    spread = method.synthetic_latent(method.problem.valid).std(0)
    live = spread > 1e-4 * spread.max()
    rows = []
    for unit, alive in enumerate(live):
        x, y = before[:, unit], after[:, unit]
        correlation = np.corrcoef(x, y)[0, 1] if x.std() and y.std() else np.nan
        moved = np.sqrt(np.mean((y - x) ** 2)) / spread[unit] if alive else np.inf if (y != x).any() else 0.0
        rows.append((unit, bool(alive), correlation, moved))
    return pd.DataFrame(rows, columns=["unit", "live", "correlation", "moved"])
