"""Ranks and expected coverage: uniform where the posterior is known, and not where it is wrong in a known way."""

import numpy as np
import pytest
from scipy.stats import kstest, pearsonr

from dtl_core.estimates.diagnostics import sbc_ranks, tarp

N_STARS, N_SAMPLES, NOISE = 1000, 200, 0.4
UNIT = np.array([300, 0.1, 0.2, 5])
# the prior is N(0, 1) of each parameter, in these units, and the measured value has Gaussian noise: the posterior is
# Gaussian with this weight of the measured value and this standard deviation
WEIGHT, WIDTH = 1 / (1 + NOISE**2), NOISE / np.hypot(1, NOISE)


def stars(rng, correlation=0.0):
    """Truth and mean of the posterior of each star; the errors of the first two parameters may be correlated."""
    truth, noise = rng.normal(size=(2, N_STARS, 4))
    if correlation:  # posterior N(measured, WIDTH) with a correlation, for a prior so wide that it does not matter
        noise[:, 1] = correlation * noise[:, 0] + np.sqrt(1 - correlation**2) * noise[:, 1]
        return truth, truth + WIDTH * noise
    return truth, WEIGHT * (truth + NOISE * noise)


def drawn(rng, mean, width=WIDTH):
    return mean + width * rng.normal(size=(N_SAMPLES, *mean.shape))


def departure(result):
    """Largest distance of the curve from the diagonal."""
    level, coverage = result
    return np.abs(coverage - level).max()


LIMIT = 1.63 / np.sqrt(N_STARS)  # of the Kolmogorov-Smirnov distance, exceeded in 1 % of cases


def test_ranks_and_coverage_of_a_right_posterior_are_uniform():
    rng = np.random.default_rng(0)
    truth, mean = stars(rng)
    samples = drawn(rng, mean)
    ranks = sbc_ranks(samples * UNIT, truth * UNIT, rng)
    assert ranks.shape == (N_STARS, 4) and 0 <= ranks.min() and ranks.max() <= 1
    assert min(kstest(one, "uniform").pvalue for one in ranks.T) > 0.01
    for found in (tarp(samples, truth, rng, 1), tarp(samples, truth, rng, 20)):
        assert departure(found) < LIMIT
    assert departure(tarp(samples, truth, rng, references=mean + rng.normal(size=(20, *mean.shape)))) < LIMIT
    level, coverage = found
    assert (np.diff(coverage) >= 0).all() and coverage[-1] == 1 and level[0] == 0 and level[-1] == 1


@pytest.mark.parametrize(
    ("width", "shift", "lowest", "highest"),
    [(0.5, 0.0, 0.0, 0.1), (2.0, 0.0, 0.9, 1.0), (1.0, 0.5, 0.2, 0.45)],
    ids=["too narrow", "too wide", "biased"],
)
def test_a_wrong_posterior_is_found_by_both_with_the_sign_of_its_error(width, shift, lowest, highest):
    rng = np.random.default_rng(1)
    truth, mean = stars(rng)
    mean, right = mean + shift * WIDTH, mean
    samples = drawn(rng, mean, width * WIDTH)
    ranks = sbc_ranks(samples, truth, rng)
    assert max(kstest(one, "uniform").pvalue for one in ranks.T) < 1e-6
    central = np.mean(np.abs(ranks - 0.5) < 0.25)
    assert {0.5: central < 0.35, 2.0: central > 0.75, 1.0: 0.4 < central < 0.5}[width]
    assert (np.abs(ranks.mean(0) - 0.5) > 0.1).all() == bool(shift)
    assert departure(tarp(samples, truth, rng, references=right + WIDTH * rng.normal(size=(20, *mean.shape)))) > LIMIT
    level, coverage = tarp(samples, truth, rng, references=mean[None])  # balls around the middle of the posterior
    assert lowest <= coverage[level == 0.5] < highest


def test_wrong_correlations_are_found_by_tarp_alone():
    rng = np.random.default_rng(2)
    truth, mean = stars(rng, correlation=0.95)
    right = drawn(rng, np.zeros_like(mean))
    right[..., 1] = 0.95 * right[..., 0] + np.sqrt(1 - 0.95**2) * right[..., 1]
    aside = mean + 3 * WIDTH * np.array([[[1, 1, 0, 0]], [[-1, -1, 0, 0]]])  # on the axis of the correlated errors
    found = {}
    for name, samples in (("independent", drawn(rng, mean)), ("right", mean + right)):
        assert min(kstest(one, "uniform").pvalue for one in sbc_ranks(samples, truth, rng).T) > 0.01
        found[name] = [departure(tarp(samples, truth, rng, references=points)) for points in (mean[None], aside)]
    assert min(found["independent"]) > LIMIT and max(found["right"]) < LIMIT


def test_a_posterior_that_is_the_prior_fails_only_with_references_that_depend_on_the_spectrum():
    rng = np.random.default_rng(3)
    truth, mean = stars(rng)
    prior = rng.normal(size=(N_SAMPLES, *truth.shape))
    assert min(kstest(one, "uniform").pvalue for one in sbc_ranks(prior, truth, rng).T) > 0.01
    assert departure(tarp(prior, truth, rng, 20)) < LIMIT
    assert departure(tarp(prior, truth, rng, references=mean + 0.5 * rng.normal(size=(20, *mean.shape)))) > 0.3


def test_ties_are_broken_at_random_and_at_no_preferred_place():
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 3, (4000, 2)).astype(float)
    samples = rng.integers(0, 3, (5, 4000, 2)).astype(float)
    ranks = sbc_ranks(samples, truth, rng)
    assert min(kstest(one, "uniform").pvalue for one in ranks.T) > 0.01
    level, coverage = tarp(samples, truth, rng, references=rng.integers(0, 3, (1, 4000, 2)))
    assert np.abs(coverage - level).max() < 1.63 / np.sqrt(4000)
    constant = np.zeros((5, 4000, 1)), np.zeros((4000, 1))
    assert abs(pearsonr(*(sbc_ranks(*constant, rng)[:, 0] for _ in range(2)))[0]) < 0.1


def test_units_do_not_matter_and_the_same_seed_gives_the_same():
    truth, mean = stars(np.random.default_rng(5))
    samples = drawn(np.random.default_rng(6), mean, 0.7 * WIDTH)
    offset = np.array([3500, 4.9, 0, 10])
    plain, scaled = (
        (sbc_ranks(s, t, np.random.default_rng(7)), tarp(s, t, np.random.default_rng(7), 5)[1])
        for s, t in ((samples, truth), (offset + UNIT * samples, offset + UNIT * truth))
    )
    np.testing.assert_allclose(plain[0], scaled[0], atol=1 / N_SAMPLES)
    np.testing.assert_allclose(plain[1], scaled[1], atol=1 / N_STARS)


def test_what_does_not_fit_is_refused():
    rng = np.random.default_rng(8)
    samples, truth = np.zeros((7, 5, 4)), rng.normal(size=(5, 4))
    with pytest.raises(ValueError, match=r"shape \(5, 7, 4\), the truth \(5, 4\); required are \(n_samples, n_stars"):
        sbc_ranks(samples.swapaxes(0, 1), truth, rng)
    with pytest.raises(ValueError, match="must be finite"):
        tarp(np.full_like(samples, np.nan), truth, rng)
    truth[:, 2] = 0.1
    with pytest.raises(ValueError, match="same true value"):
        tarp(samples, truth, rng)
