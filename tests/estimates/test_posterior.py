"""Posteriors from a flow: moments, shapes and ranks where the posterior is known."""

import sys

import numpy as np
import pytest
from bounds import bounded
from scipy.stats import kstest, norm

from dtl_core.errors import ConfigError
from dtl_core.estimates import posterior
from dtl_core.estimates.diagnostics import sbc_ranks, tarp

SMALL = {"hidden": (32, 32), "learning_rate": 1e-2}
UNIT = np.array([300.0, 0.2, 0.3, 5.0])  # of Teff, log g, [M/H], v sin i


def test_without_zuko_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "zuko", None)
    with pytest.raises(ConfigError, match=r"need zuko.*pip install 'dtl-mdwarfs\[flow\]'"):
        posterior.fit_flow(np.ones((4, 2)), np.ones((4, 4)), epochs=1)


SLOPE = np.array([[1.0, 0.3, 0.0, -0.4], [0.0, 0.8, -0.5, 0.2], [0.4, 0.0, 0.6, 0.5]])
FACTOR = np.array([[0.5, 0, 0, 0], [0.3, 0.4, 0, 0], [-0.2, 0.1, 0.3, 0], [0.0, 0.2, -0.3, 0.4]])  # of the covariance


def linear(rng, n):
    """Features (n, 3) and labels: a linear function of them with one correlated Gaussian error."""
    x = rng.normal(size=(n, 3))
    return 10 + 5 * x, 3500 + UNIT * (x @ SLOPE + rng.normal(size=(n, 4)) @ FACTOR.T)


def rms(values):
    return np.sqrt(np.mean(np.square(values)))


def crooked(rng, n):
    """A banana that moves with the feature, and a label of two possible values."""
    x, e = rng.normal(size=(n, 1)), rng.normal(size=(n, 4))
    two = np.where(rng.uniform(size=n) < 0.5, -1, 1) * (1.5 + 0.3 * x[:, 0]) + 0.2 * e[:, 2]
    first = x[:, 0] + 0.7 * e[:, 0]
    return x, np.column_stack([first, first**2 + 0.3 * e[:, 1], two, e[:, 3]])


@pytest.fixture(scope="module")
def gaussian():
    pytest.importorskip("zuko")
    return posterior.fit_flow(*linear(np.random.default_rng(0), 6000), epochs=9, transforms=2, **SMALL)


@pytest.fixture(scope="module")
def bent():
    pytest.importorskip("zuko")
    return posterior.fit_flow(*crooked(np.random.default_rng(1), 5000), epochs=12, transforms=1, **SMALL)


def test_mean_and_covariance_of_a_gaussian_posterior_come_back(gaussian):
    x = np.random.default_rng(6).normal(size=(20, 3))
    samples = gaussian.sample(10 + 5 * x, 2000)
    assert samples.shape == (2000, 20, 4) and np.isfinite(samples).all()
    scaled = (samples - 3500) / UNIT
    bounded("rms error of the means", rms(scaled.mean(0) - x @ SLOPE), below=0.2)
    covariance = np.mean([np.cov(one.T) for one in scaled.swapaxes(0, 1)], 0)
    # without correlations it would be off by more, as is one that is wrong by a factor of 1.4
    bounded("rms error of the covariance", rms(covariance - FACTOR @ FACTOR.T), below=0.05)


def test_density_is_that_of_the_gaussian_in_the_labels_own_units(gaussian):
    x, y = linear(np.random.default_rng(5), 1000)
    whitened = np.linalg.solve(FACTOR, (y - 3500).T / UNIT[:, None] - ((x - 10) / 5 @ SLOPE).T)
    exact = norm.logpdf(whitened).sum(0) - np.log(np.linalg.det(FACTOR)) - np.log(UNIT).sum()
    found = gaussian.log_prob(x, y).detach().numpy()
    bounded("Kullback-Leibler divergence", abs(np.mean(found - exact)), below=0.1)
    bounded("correlation", np.corrcoef(found, exact)[0, 1], above=0.95)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "make"), [("gaussian", linear), ("bent", crooked)])
def test_ranks_are_uniform(request, name, make):
    x, truth = make(np.random.default_rng(7), 800)
    samples, rng = request.getfixturevalue(name).sample(x, 99), np.random.default_rng(8)
    ranks = sbc_ranks(samples, truth, rng)
    assert ranks.shape == (800, 4)
    distance = np.mean([kstest(one, "uniform").statistic for one in ranks.T])
    bounded("mean distance of the ranks from uniform", distance, below=0.11)  # 0.16 if twice too narrow
    level, coverage = tarp(samples, truth, rng, references=samples.mean(0, keepdims=True))
    bounded("distance of the expected coverage from the level", np.abs(coverage - level).max(), below=0.15)


def test_a_banana_and_two_values_are_found(bent):
    samples = bent.sample(np.array([[0.0], [1.0]]), 4000)
    for k, x in enumerate((0.0, 1.0)):
        first, second, two, free = samples[:, k].T
        low, middle, high = np.quantile(second - first**2, [0.16, 0.5, 0.84])
        bounded("middle of the banana", abs(middle), below=0.2)
        bounded("width of the banana", (high - low) / 2, above=0.15, below=0.5)
        bounded("share of the upper value", np.mean(two > 0), above=0.4, below=0.6)
        bounded("values less the true ones", abs(np.median(abs(two)) - 1.5 - 0.3 * x), below=0.15)
        bounded("share between the two", np.mean(abs(two) < 0.7), below=0.05)
        bounded("correlation with the free label", abs(np.corrcoef(first, free)[0, 1]), below=0.1)


def test_the_same_seed_gives_the_same_bytes():
    pytest.importorskip("zuko")
    x, y = linear(np.random.default_rng(3), 300)
    one, two, other = (posterior.fit_flow(x, y, epochs=2, seed=seed).sample(x[:5], 3) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)
    flow = posterior.fit_flow(x, y, epochs=1)
    np.testing.assert_array_equal(flow.sample(x[:5], 3, seed=4), flow.sample(x[:5], 3, seed=4))
    assert not np.array_equal(flow.sample(x[:5], 3, seed=4), flow.sample(x[:5], 3, seed=5))
