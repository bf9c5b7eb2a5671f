"""Searches over hyper-parameters: every candidate with all epochs, or successive halving."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd

from ..config import RegressorConfig
from ..parameters import PARAMETERS

__all__ = [
    "cross_validate",
    "cross_validate_many",
    "folds",
    "regressor_candidates",
    "round_sizes",
    "select_architectures",
    "select_regressors",
]


def folds(rows, n_folds, seed):
    """Split rows for cross-validation.

    Parameters
    ----------
    rows : ndarray of int
    n_folds : int
    seed : int or list of int

    Returns
    -------
    list of (training, held_out)
        ``n_folds`` pairs of sorted arrays; each row is held out once.
    """
    parts = np.array_split(np.random.default_rng(seed).permutation(rows), n_folds)
    return [
        (np.sort(np.concatenate([part for j, part in enumerate(parts) if j != k])), np.sort(parts[k]))
        for k in range(n_folds)
    ]


def cross_validate(n, score, *, epochs, halving=0, at_least=1):
    """Score candidates for a single problem.

    Parameters
    ----------
    n : int
        Number of candidates.
    score : callable
        (numbers, epochs) -> (len(numbers), n_folds) scores.
    epochs, halving, at_least : int
        As for :func:`cross_validate_many`.

    Returns
    -------
    DataFrame
        One of those that :func:`cross_validate_many` returns.
    """

    def score_all(pairs, budget):
        numbers = [number for number, _ in pairs]
        return dict(zip(pairs, score(numbers, budget), strict=True))

    return cross_validate_many(n, 1, score_all, epochs=epochs, halving=halving, at_least=at_least)[0]


def round_sizes(n, *, epochs, halving=0, at_least=1):
    """Number of candidates in each round of :func:`cross_validate_many`: list, ``n`` first."""
    sizes = [n]
    while halving and epochs // halving ** len(sizes) >= 1 and math.ceil(n / halving ** len(sizes)) >= at_least:
        sizes.append(math.ceil(sizes[-1] / halving))
    return sizes


def cross_validate_many(n, n_problems, score, *, epochs, halving=0, at_least=1):
    """Score the same candidates for several problems at once, optionally by successive halving [1]_.

    With halving, the first round trains all candidates for a few epochs, the next one the best ``1/halving`` of each
    problem for ``halving`` times as many, and so on until ``epochs``; the others keep the score of their last round.
    The number of rounds is the largest that leaves ``at_least`` candidates in the last and one epoch in the first.

    Parameters
    ----------
    n : int
        Number of candidates.
    n_problems : int
    score : callable
        (pairs, epochs) -> dict of (candidate, problem) -> (n_folds,) scores; lower is better.
    epochs : int
        Epochs of a training in the last round.
    halving : int
        Factor between rounds; 0 trains all candidates for all epochs.
    at_least : int
        Candidates in the last round.

    Returns
    -------
    list of DataFrame
        One per problem with one row per candidate: ``mse`` and ``mse_spread``, mean and standard deviation of its
        scores over the folds; ``epochs`` of its last round; ``rank``, 0 for the best, later rounds first.

    References
    ----------
    .. [1] Jamieson & Talwalkar (2016), arXiv:1502.07943
    """
    rounds = len(round_sizes(n, epochs=epochs, halving=halving, at_least=at_least))
    tables = [pd.DataFrame({"mse": np.full(n, np.inf), "mse_spread": np.nan, "epochs": 0}) for _ in range(n_problems)]
    alive = [list(range(n)) for _ in range(n_problems)]
    for number in range(rounds):
        budget = epochs // max(1, halving) ** (rounds - 1 - number)
        scored = score([(c, problem) for problem, candidates in enumerate(alive) for c in candidates], budget)
        for problem, candidates in enumerate(alive):
            scores = np.array([scored[c, problem] for c in candidates], float)
            scores[~np.isfinite(scores)] = np.inf  # diverged
            mean = scores.mean(1)
            spread = np.array([row.std() if np.isfinite(row).all() else np.nan for row in scores])
            tables[problem].loc[candidates, "mse"] = mean
            tables[problem].loc[candidates, "mse_spread"] = spread
            tables[problem].loc[candidates, "epochs"] = budget
            order = np.asarray(candidates)[np.argsort(mean, kind="stable")]
            alive[problem] = sorted(order[: math.ceil(len(order) / max(1, halving))].tolist())
    for table in tables:
        ranked = table.sort_values(["epochs", "mse"], ascending=[False, True], kind="stable").index
        table["rank"] = pd.Series(np.arange(n), index=ranked)
    return tables


def select_architectures(table, config):
    """Select the autoencoders that are trained: the best ``n_models`` of the better half of the grid search.

    The paper keeps those with a mean score below the median, 26 of them (section 3.1). Only candidates with the
    learning rate of the training count.

    Parameters
    ----------
    table : DataFrame
        Columns width, l1, learning_rate, mse and rank.
    config : Config

    Returns
    -------
    DataFrame
        The selected rows, best first.
    """
    same = np.isclose(table["learning_rate"], config.autoencoder.learning_rate)
    kept = table[same & (table["rank"] < math.ceil(len(table) / 2))]
    if kept.empty:  # this learning rate is in the worse half everywhere: train its best candidates all the same
        kept = table[same]
    return kept.sort_values("rank").head(config.autoencoder.n_models)


def regressor_candidates(config):
    """Candidates of the regressor search, the published one among them: list of RegressorConfig."""
    grid = itertools.product(
        config.search.filters, config.search.second_filters, config.search.last_units, config.search.regressor_rates
    )
    return [RegressorConfig((int(a), int(b)), (256, 128, int(u)), float(rate)) for a, b, u, rate in grid]


def select_regressors(table):
    """Select the best candidate of each parameter.

    Parameters
    ----------
    table : DataFrame
        Columns parameter, filters, units, learning_rate and rank.

    Returns
    -------
    dict of str to RegressorConfig
    """
    best = table.sort_values("rank", kind="stable").groupby("parameter", sort=False).first()
    return {
        name: RegressorConfig(tuple(best["filters"][name]), tuple(best["units"][name]), best["learning_rate"][name])
        for name in PARAMETERS
    }
