"""Searches over hyper-parameters: every candidate with the whole budget, or successive halving."""

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
    "rung_sizes",
    "select_architectures",
    "select_regressors",
]


def folds(rows, n_folds, seed):
    """Training and held-out parts of some rows, ``n_folds`` pairs of sorted arrays; each row is held out once."""
    parts = np.array_split(np.random.default_rng(seed).permutation(rows), n_folds)
    return [
        (np.sort(np.concatenate([part for j, part in enumerate(parts) if j != k])), np.sort(parts[k]))
        for k in range(n_folds)
    ]


def cross_validate(n, score, *, epochs, halving=0, at_least=1):
    """Scores of ``n`` candidates: :func:`cross_validate_many` of a single problem.

    Arguments: score, callable(numbers, epochs) -> (len(numbers), n_folds); the others as there. Returns: DataFrame.
    """

    def score_all(pairs, budget):
        numbers = [number for number, _ in pairs]
        return dict(zip(pairs, score(numbers, budget), strict=True))

    return cross_validate_many(n, 1, score_all, epochs=epochs, halving=halving, at_least=at_least)[0]


def rung_sizes(n, *, epochs, halving=0, at_least=1):
    """How many candidates each rung of :func:`cross_validate_many` has: list, ``n`` first."""
    sizes = [n]
    while halving and epochs // halving ** len(sizes) >= 1 and math.ceil(n / halving ** len(sizes)) >= at_least:
        sizes.append(math.ceil(sizes[-1] / halving))
    return sizes


def cross_validate_many(n, n_problems, score, *, epochs, halving=0, at_least=1):
    """Scores of the same candidates for several problems at once, with successive halving if it is asked for.

    With it a first rung trains all candidates for few epochs, the next one the best ``1/halving`` of each problem for
    ``halving`` times as many, and so on until ``epochs``; the worse ones keep the score of the rung they left at. There
    are as many rungs as leave ``at_least`` candidates at the last and one epoch at the first.

    Arguments
    ---------
    n : number of candidates
    n_problems : int
    score : callable(pairs, epochs) -> dict of (candidate, problem) -> (n_folds,) scores, the lower the better
    epochs : of a training, at the last rung

    Returns
    -------
    list of DataFrames, one a problem, a row a candidate: mse and mse_spread, the mean and spread of its scores over the
    folds; epochs, that they were reached with; rank, 0 the best, those of a later rung before all others.

    Source: Jamieson & Talwalkar (2016, arXiv:1502.07943).
    """
    rungs = len(rung_sizes(n, epochs=epochs, halving=halving, at_least=at_least))
    tables = [pd.DataFrame({"mse": np.full(n, np.inf), "mse_spread": np.nan, "epochs": 0}) for _ in range(n_problems)]
    alive = [list(range(n)) for _ in range(n_problems)]
    for rung in range(rungs):
        budget = epochs // max(1, halving) ** (rungs - 1 - rung)
        found = score([(c, problem) for problem, candidates in enumerate(alive) for c in candidates], budget)
        for problem, candidates in enumerate(alive):
            scores = np.array([found[c, problem] for c in candidates], float)
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
    """Rows of the grid search that go on: the better half of the whole grid, and the learning rate of training.

    The best ``n_models`` of them, best first (paper, section 3.1: mean score below the median, 26 of them).

    Arguments
    ---------
    table : DataFrame of width, l1, learning_rate, mse and rank
    """
    same = np.isclose(table["learning_rate"], config.autoencoder.learning_rate)
    kept = table[same & (table["rank"] < math.ceil(len(table) / 2))]
    if kept.empty:  # the learning rate of training lost everywhere: keep its best, so that there is something to train
        kept = table[same]
    return kept.sort_values("rank").head(config.autoencoder.n_models)


def regressor_candidates(config):
    """Every :class:`dtl_core.config.RegressorConfig` of the search, the published one among them."""
    grid = itertools.product(
        config.search.filters, config.search.second_filters, config.search.last_units, config.search.regressor_rates
    )
    return [RegressorConfig((int(a), int(b)), (256, 128, int(u)), float(rate)) for a, b, u, rate in grid]


def select_regressors(table):
    """The best candidate of each parameter: parameter -> RegressorConfig.

    Arguments: table, DataFrame of parameter, filters, units, learning_rate and rank.
    """
    best = table.sort_values("rank", kind="stable").groupby("parameter", sort=False).first()
    return {
        name: RegressorConfig(tuple(best["filters"][name]), tuple(best["units"][name]), best["learning_rate"][name])
        for name in PARAMETERS
    }
