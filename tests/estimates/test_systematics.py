"""Systematic errors: what few stars say of them, and error bars that contain them."""

import numpy as np
import pytest
from scipy import stats

from dtl_core.estimates import systematics
from dtl_core.estimates.calibration import LEVELS


def test_many_stars_give_the_true_scatter():
    rng = np.random.default_rng(0)
    error = rng.uniform(20, 60, 4000)
    tau = systematics.systematic_errors(rng.normal(0, np.hypot(error, 90.0)), error, 100.0)
    assert tau.mean() == pytest.approx(90, rel=0.05) and tau.std() < 4
    assert np.all(np.diff(tau) > 0)


def test_without_stars_the_prior_is_left():
    tau = systematics.systematic_errors([], [], 50.0)
    for share in (0.25, 0.5, 0.9):
        assert np.quantile(tau, share, method="hazen") == pytest.approx(stats.halfnorm(scale=50.0).ppf(share), rel=0.06)


def test_stars_within_their_errors_leave_little_and_far_ones_much():
    small, large = (systematics.systematic_errors([d, -d, d], [40.0] * 3, 100.0).mean() for d in (10.0, 200.0))
    prior = systematics.systematic_errors([], [], 100.0).mean()
    assert small < prior < large


def test_an_integral_over_the_density_gives_the_same_quantiles():
    difference, error, scale = np.array([0.2, -0.05]), np.array([0.1, 0.15]), 0.1

    grid = np.linspace(0, 0.6, 20_001)
    each = stats.norm.pdf(difference, scale=np.hypot(grid[:, None], error))
    cumulative = np.cumsum(each.prod(axis=1) * stats.halfnorm.pdf(grid, scale=scale))
    expected = np.interp((0.1, 0.5, 0.9), cumulative / cumulative[-1], grid)
    found = np.quantile(systematics.systematic_errors(difference, error, scale), (0.1, 0.5, 0.9), method="hazen")
    np.testing.assert_allclose(found, expected, rtol=0.02)


def test_half_widths_of_one_scatter_are_those_of_a_normal_distribution():
    expected = [np.hypot(3.0, 4.0) * stats.norm.ppf((1 + level) / 2) for level in LEVELS]
    np.testing.assert_allclose(systematics.half_widths(np.array([3.0]), 4.0), expected, rtol=1e-8)
    assert not systematics.half_widths(np.array([0.0])).any()


def test_half_widths_contain_samples_at_their_rate():
    tau = systematics.systematic_errors([0.2, -0.1, 0.05], [0.1] * 3, 0.15)
    drawn = np.abs(systematics.samples(tau, 0.05, 200_000, 1))
    shares = [np.mean(drawn <= width) for width in systematics.half_widths(tau, 0.05)]
    np.testing.assert_allclose(shares, LEVELS, atol=0.005)


def test_bars_grow_in_quadrature_on_each_side_and_keep_their_centre():
    median = np.array([[10.0]])
    low, high = np.array([[[7.0, 2.0]]]), np.array([[[14.0, 22.0]]])
    extra = np.array([[4.0, 5.0]])
    wider = systematics.widened(median, low, high, extra)
    np.testing.assert_allclose(wider[0], [[[5.0, 10 - np.hypot(8, 5)]]])
    np.testing.assert_allclose(wider[1], [[[10 + np.hypot(4, 4), 23.0]]])
    same = systematics.widened(median, low, high, np.zeros((1, 2)))
    np.testing.assert_allclose(same, [low, high])
