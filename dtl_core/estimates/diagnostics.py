"""Diagnostics of joint posteriors: ranks of the truth, and coverage of regions around random points."""

from __future__ import annotations

import numpy as np

__all__ = ["sbc_ranks", "tarp"]


def _checked(samples, truth):
    """Samples (n_samples, n_stars, p) and truth (n_stars, p) as arrays of floats."""
    samples, truth = np.asarray(samples, float), np.asarray(truth, float)
    if samples.ndim != 3 or samples.shape[1:] != truth.shape:
        raise ValueError(
            f"samples have the shape {samples.shape}, the truth {truth.shape}; required are (n_samples, n_stars, p) "
            "and (n_stars, p)"
        )
    if not (np.isfinite(samples).all() and np.isfinite(truth).all()):
        raise ValueError("samples and truth must be finite")
    return samples, truth


def _ranks(samples, truth, rng):
    """Share of samples (n, ...) below the truth (...), as a number in 0 ... 1 that is uniform if both are alike."""
    below, equal = (samples < truth).sum(0), (samples == truth).sum(0)
    return (below + (equal + 1) * rng.random(np.shape(truth))) / (len(samples) + 1)


def sbc_ranks(samples, truth, rng):
    """Ranks of the true parameters in the posterior of each star, for simulation-based calibration.

    Each parameter is tested alone: wrong correlations between parameters go unnoticed, and so does a posterior that is
    the prior. :func:`tarp` can notice both.

    Parameters
    ----------
    samples : array of shape (n_samples, n_stars, p)
        Samples of the joint posteriors, as returned by :func:`~dtl_core.estimates.calibration.joint_samples`.
    truth : array of shape (n_stars, p)
    rng : numpy.random.Generator
        Breaks ties, and places each truth at random between the samples on either side of it.

    Returns
    -------
    array of shape (n_stars, p)
        From 0 to 1, with a uniform distribution if the posteriors are correct. Values near 0.5 mean posteriors that are
        too wide, values near 0 and 1 too narrow ones, and a mean that is not 0.5 a bias.

    Raises
    ------
    ValueError
        Shapes do not fit, or values are not finite.

    References
    ----------
    Talts et al. (2018, arXiv:1804.06788).
    """
    return _ranks(*_checked(samples, truth), rng)


def tarp(samples, truth, rng, n_references=100, *, references=None):
    """Expected coverage of regions around random reference points in the space of all parameters (TARP).

    The region of a star reaches from its reference point as far as the truth, and its level is the share of posterior
    samples inside. If the posteriors are correct, this level is uniform for any reference points that do not depend on
    the truth. Distances are in units of the standard deviation of each parameter over the stars.

    Parameters
    ----------
    samples : array of shape (n_samples, n_stars, p)
        Of the joint posteriors.
    truth : array of shape (n_stars, p)
    rng : numpy.random.Generator
        Draws the reference points and breaks ties.
    n_references : int
        Number of reference points for each star; the coverage is a mean over these.
    references : array of shape (n_references, n_stars, p), optional
        By default uniform in the range of the truth of all stars. A posterior that is the prior passes with these. It
        fails with points that depend on the spectrum, for instance random points around the estimates. Points in the
        middle of the posteriors make the regions concentric with these: the coverage is then below the level if the
        posteriors are too narrow, and above it if they are too wide.

    Returns
    -------
    level, coverage : arrays of shape (101,)
        Levels from 0 to 1, and the share of stars whose truth is inside their region of that level. The two are equal
        if the posteriors are correct.

    Raises
    ------
    ValueError
        Shapes do not fit, values are not finite, or all stars have the same value of a parameter.

    References
    ----------
    Lemos et al. (2023, arXiv:2302.03026).
    """
    samples, truth = _checked(samples, truth)
    scale = truth.std(0)
    if not (scale > 0).all():
        raise ValueError("all stars have the same true value of a parameter; TARP needs stars that differ")
    if references is None:
        references = rng.uniform(truth.min(0), truth.max(0), (n_references, *truth.shape))
    level, inside = np.linspace(0, 1, 101), np.zeros(101, int)
    for points in references:
        reached = _ranks(*(np.square((values - points) / scale).sum(-1) for values in (samples, truth)), rng)
        inside += np.searchsorted(np.sort(reached), level, side="right")
    return level, inside / (len(truth) * len(references))
