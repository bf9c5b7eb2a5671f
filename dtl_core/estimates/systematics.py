"""Errors that real stars show beyond those of simulated ones, learned from a few stars.

A calibration on simulated stars does not know what simulations lack. A normal term of unknown variance is added to the
error of every real star. It is learned from stars of known parameters that the model has not seen, and its uncertainty,
which is large because they are few, is part of the error bars.
"""

from __future__ import annotations

import numpy as np

from .calibration import LEVELS

__all__ = ["half_widths", "samples", "systematic_errors", "widened"]


GRID = 1000  # values of the standard deviation
REACH = 5.0  # of the grid, in units of the prior's scale
VALUES = 40  # of the standard deviation that are kept


def systematic_errors(difference, error, scale):
    r"""Infer the standard deviation of systematic errors.

    The differences are :math:`d_j \sim N(0, \tau^2 + e_j^2)`, and :math:`\tau` has a half-normal prior. An offset that
    all stars share is part of :math:`\tau`, because so few stars do not distinguish it from scatter.

    Parameters
    ----------
    difference, error : arrays of shape (n,)
        Estimated minus published value, and the expected error of this difference without the systematic one. Without
        any stars, the posterior is the prior.
    scale : float
        Of the prior, in the unit of the differences.

    Returns
    -------
    array of shape (40,)
        Values of :math:`\tau` of equal posterior probability, in ascending order.

    References
    ----------
    Gelman (2006, Bayesian Analysis 1, 515): with few groups, a variance needs a prior of known scale.

    Examples
    --------
    >>> from dtl_core.estimates.systematics import systematic_errors
    >>> tau = systematic_errors([150.0, -130.0, 170.0], [40.0, 40.0, 40.0], 100.0)
    >>> bool(90 < tau.mean() < 170)
    True
    """
    difference, error = np.asarray(difference, float), np.asarray(error, float)
    tau = (np.arange(GRID) + 0.5) * (REACH * scale / GRID)
    variance = tau[:, None] ** 2 + error**2
    log_density = -0.5 * np.sum(np.log(variance) + difference**2 / variance, axis=1) - 0.5 * (tau / scale) ** 2
    cumulative = np.cumsum(np.exp(log_density - log_density.max()))
    return np.interp((np.arange(VALUES) + 0.5) / VALUES, cumulative / cumulative[-1], tau)


def half_widths(tau, instrument=0.0, levels=LEVELS):
    """Half-widths of intervals of a systematic error of uncertain standard deviation.

    Parameters
    ----------
    tau : array of shape (n_values,)
        Standard deviations of equal probability, as returned by :func:`systematic_errors`.
    instrument : float
        Standard deviation of another error, that of the instrument, added in quadrature.
    levels : sequence of float

    Returns
    -------
    array of shape (n_levels,)
    """
    from scipy.optimize import brentq
    from scipy.special import erf

    width = np.hypot(tau, instrument) * np.sqrt(2)
    if not width.any():
        return np.zeros(len(levels))
    width = np.maximum(width, 1e-9 * width.max())
    return np.array([brentq(lambda x, at=at: erf(x / width).mean() - at, 0, 10 * width.max()) for at in levels])


def samples(tau, instrument, n, seed=0):
    """Draw systematic errors: (n,), with the arguments of :func:`half_widths` and a seed."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, np.hypot(rng.choice(tau, n), instrument))


def widened(median, low, high, extra):
    """Add systematic errors to calibrated intervals, to each side in quadrature.

    Parameters
    ----------
    median : array of shape (n, p)
    low, high : arrays of shape (n, p, n_levels)
    extra : array of shape (p, n_levels)
        Half-widths.

    Returns
    -------
    low, high : arrays of shape (n, p, n_levels)
    """
    centre = median[..., None]
    return centre - np.hypot(centre - low, extra), centre + np.hypot(high - centre, extra)
