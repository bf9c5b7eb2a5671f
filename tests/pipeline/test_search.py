"""Searches: folds hold out every row once, halving finds the planted best with the budget it promises."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtl_core.config import RegressorConfig, load_profile
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import search


@given(st.integers(10, 200), st.integers(2, 9), st.integers(0, 99))
@settings(deadline=None)
def test_folds_hold_out_every_row_once(n, n_folds, seed):
    rows = np.random.default_rng(seed).choice(1000, n, replace=False)
    pairs = search.folds(rows, n_folds, seed)
    assert np.array_equal(np.sort(np.concatenate([held_out for _, held_out in pairs])), np.sort(rows))
    for rest, held_out in pairs:
        assert not set(rest) & set(held_out) and len(rest) + len(held_out) == n
    sizes = [len(held_out) for _, held_out in pairs]
    assert max(sizes) - min(sizes) <= 1


def planted(truth, noise=0.0, seed=0):
    """Scores that approach ``truth`` as the epochs grow, and a list of what was asked for."""
    asked, rng = [], np.random.default_rng(seed)

    def score(numbers, epochs):
        asked.append((list(numbers), epochs))
        base = np.asarray(truth)[np.asarray(numbers)] + 1.0 / epochs
        return base[:, None] + noise * rng.standard_normal((len(numbers), 4))

    return score, asked


@given(st.integers(2, 80), st.sampled_from([0, 2, 3, 4]), st.integers(1, 30), st.integers(1, 20), st.integers(0, 999))
@settings(deadline=None)
def test_halving_finds_the_best_and_spends_what_it_says(n, factor, epochs, at_least, seed):
    truth = np.random.default_rng(seed).permutation(n) / n
    score, asked = planted(truth)
    table = search.cross_validate(n, score, epochs=epochs, halving=factor, at_least=min(at_least, n))
    assert table["rank"].idxmin() == np.argmin(truth), "without noise the best survives every round"
    assert sorted(table["rank"]) == list(range(n))
    budgets = [budget for _, budget in asked]
    assert budgets[-1] == epochs and budgets[0] >= 1 and len(asked[0][0]) == n
    assert len(asked[-1][0]) >= min(at_least, n)
    for (before, low), (after, high) in zip(asked[:-1], asked[1:], strict=True):
        assert set(after) <= set(before) and len(after) == math.ceil(len(before) / factor)
        assert high // factor == low
        assert max(truth[after]) <= min(truth[k] for k in set(before) - set(after) or {np.argmax(truth)})
    last = table.loc[table["epochs"] == epochs]
    assert set(last.index) == set(asked[-1][0])
    assert last["rank"].max() == len(last) - 1, "who reached the last round is before all others"
    if factor == 0:
        assert len(asked) == 1


def test_halving_trains_less_than_the_whole_grid():
    score, asked = planted(np.linspace(0, 1, 36))
    search.cross_validate(36, score, epochs=9, halving=3)
    assert sum(len(numbers) * epochs for numbers, epochs in asked) == 36 + 12 * 3 + 4 * 9  # of 36 x 9


def test_a_candidate_that_diverges_comes_last_and_harms_no_other():
    def score(numbers, epochs):
        return [[np.nan, 1.0] if k == 1 else [np.inf, np.inf] if k == 3 else [k + 1.0, k + 3.0] for k in numbers]

    table = search.cross_validate(5, score, epochs=4, halving=2)
    assert list(table.sort_values("rank").index[:1]) == [0]
    assert set(table.sort_values("rank").index[-2:]) == {1, 3}
    assert table["mse"][0] == 2.0 and table["mse_spread"][0] == 1.0


def test_problems_are_halved_each_by_its_own_scores():
    truth = np.array([[0.0, 1.0, 2.0, 3.0], [3.0, 2.0, 1.0, 0.0]])

    def score(pairs, epochs):
        return {(c, p): [truth[p, c]] * 2 for c, p in pairs}

    tables = search.cross_validate_many(4, 2, score, epochs=2, halving=2)
    assert [table["rank"].idxmin() for table in tables] == [0, 3]
    assert [sorted(table.index[table["epochs"] == 2]) for table in tables] == [[0, 1], [2, 3]]


@pytest.mark.parametrize("n_models", [3, 100])
def test_the_grid_keeps_the_better_half_at_the_rate_of_training(n_models):
    config = load_profile("paper", {"autoencoder.n_models": n_models})
    rng = np.random.default_rng(1)
    grid = [(w, l1, rate) for w, l1 in config.architectures() for rate in config.search.learning_rates]
    table = pd.DataFrame(grid, columns=["width", "l1", "learning_rate"])
    table["mse"] = rng.permutation(len(table)) + 1.0
    table["rank"] = table["mse"].rank().astype(int) - 1
    kept = search.select_architectures(table, config)
    assert (kept["learning_rate"] == 1e-4).all() and (kept["mse"] < table["mse"].median()).all()
    assert kept["mse"].is_monotonic_increasing
    good = table[(table["mse"] < table["mse"].median()) & (table["learning_rate"] == 1e-4)]
    assert len(kept) == min(n_models, len(good))
    lost = table.assign(rank=np.where(table["learning_rate"] == 1e-4, 100, 0) + np.arange(len(table)))
    assert len(search.select_architectures(lost, config)) == min(n_models, 30), "training needs something to train"


def test_the_grid_has_the_papers_size_and_the_regressors_the_published_candidate():
    config = load_profile("paper")
    assert len(config.architectures()) * len(config.search.learning_rates) >= 52 and config.search.folds == 4
    candidates = search.regressor_candidates(config)
    assert RegressorConfig() in candidates and len(set(candidates)) == len(candidates) == 36


def test_the_best_regressor_of_each_parameter_is_selected():
    nets = search.regressor_candidates(load_profile("paper"))
    rows = pd.concat(
        [
            pd.DataFrame([dataclasses.asdict(net) for net in nets]).assign(
                parameter=name, rank=np.roll(np.arange(len(nets)), 5 * k)
            )
            for k, name in enumerate(PARAMETERS)
        ]
    )
    assert search.select_regressors(rows) == {name: nets[5 * k] for k, name in enumerate(PARAMETERS)}
