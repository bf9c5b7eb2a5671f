"""The Kolmogorov-Smirnov test with equal values: exact by counting all divisions, and right under the null."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dtl_core.errors import DataError
from dtl_core.literature.ties import ks_test


def by_counting(one, two):
    """Distance and p from the definition: every division of the pooled values."""
    pooled = np.concatenate([one, two]).astype(float)

    def distance(first, second):
        return max(abs(np.mean(first <= v) - np.mean(second <= v)) for v in np.unique(pooled))

    found = distance(np.asarray(one), np.asarray(two))
    chosen = itertools.combinations(range(len(pooled)), len(one))
    reached = [distance(pooled[list(i)], np.delete(pooled, list(i))) >= found - 1e-12 for i in chosen]
    return found, np.mean(reached)


small = st.lists(st.integers(0, 4), min_size=1, max_size=5)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(small, small)
def test_every_division_is_counted(one, two):
    assert ks_test(one, two) == pytest.approx(by_counting(one, two), abs=1e-12)
    assert ks_test(two, one) == pytest.approx(ks_test(one, two), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 2), st.integers(0, 2**32 - 1))
def test_without_ties_it_is_scipy_s(m, n, shift, seed):
    rng = np.random.default_rng(seed)
    one, two = rng.normal(size=m), rng.normal(shift, 1, n)
    expected = stats.ks_2samp(one, two, method="exact")
    assert ks_test(one, two) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9, abs=1e-14)


def test_it_is_what_a_permutation_test_estimates():
    rng = np.random.default_rng(1)
    one, two = rng.normal(0, 0.15, 60).round(1), rng.normal(0.08, 0.15, 25).round(1)

    def distance(first, second, axis=-1):
        return np.abs([np.mean(first <= v, axis) - np.mean(second <= v, axis) for v in np.unique([*one, *two])]).max(0)

    options = {"permutation_type": "independent", "alternative": "greater", "n_resamples": 20_000, "rng": 1}
    estimated = stats.permutation_test((one, two), distance, **options)
    found = ks_test(one, two)
    assert found[0] == pytest.approx(estimated.statistic)
    assert found[1] == pytest.approx(estimated.pvalue, abs=4 * np.sqrt(found[1] * (1 - found[1]) / 20_000))


@pytest.mark.slow
def test_p_is_right_under_the_null_with_ties_and_scipy_s_too_large():
    """Values rounded to three or four levels: p <= alpha happens as often as p says, as nearly as its steps allow."""
    rng = np.random.default_rng(2)
    found, untied = [], []
    for _ in range(400):
        one, two = rng.normal(0, 0.1, 40).round(1), rng.normal(0, 0.1, 25).round(1)
        found.append(ks_test(one, two)[1])
        untied.append(stats.ks_2samp(one, two).pvalue)
    found, untied = np.array(found), np.array(untied)
    for level in np.quantile(found, [0.05, 0.1, 0.25, 0.5, 0.75]):  # at its own values there are no steps
        share = np.mean(found <= level)
        assert share == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 400) + 0.02)
    assert np.mean(untied <= 0.1) < 0.05 < np.mean(found <= 0.1) <= 0.14
    assert np.all(untied >= found - 1e-9)


def test_empty_and_unknown_values_are_refused():
    for one, two in (([], [1.0]), ([1.0, np.nan], [1.0])):
        with pytest.raises(DataError, match="sample"):
            ks_test(one, two)
    assert ks_test([1, 2], [1, 2]) == (0.0, 1.0)
