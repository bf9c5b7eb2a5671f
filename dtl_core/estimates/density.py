"""From the estimates of many networks to one value with asymmetric errors per star (paper, section 3.4)."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq

__all__ = ["bandwidth", "best_of", "inside_errors", "kde_curve", "kde_mode", "recovery"]


ONE_SIGMA = 0.6826894921370859


def best_of(test_error, n_kept):
    """Indices of the ``n_kept`` models with the lowest ``test_error`` (n_models,), best first."""
    return np.argsort(np.asarray(test_error), kind="stable")[:n_kept]


_FREQUENCIES = np.arange(1.0, 1024.0) ** 2  # squared; as many as KDEpy's
_POWERS = np.array([_FREQUENCIES**s for s in range(2, 8)])
_DECAY = -(np.pi**2) * _FREQUENCIES


def _beyond_optimum(t, n, spectra):
    """Difference between a squared bandwidth t and its fixed-point iteration (Botev et al. 2010, equation 33).

    ``spectra`` is half the squared cosine transform of the sample of n values, times the frequencies to the powers 4, 6
    ... 14.
    """
    time = t
    for s in range(7, 1, -1):
        few = int(2.5 / math.sqrt(time)) + 1  # the next term has decayed to exp(-61)
        norm = math.pi ** (2 * s) * (spectra[s - 2, :few] @ np.exp(_DECAY[: min(few, spectra.shape[1])] * time))
        if s > 2:  # the plug-in bandwidth for the next lower derivative
            odd = math.prod(range(1, 2 * s - 1, 2)) / math.sqrt(2 * math.pi)
            time = (2 * (1 + 0.5 ** (s - 0.5)) / 3 * odd / (n * norm)) ** (2 / (1 + 2 * s))
    return t - (2 * n * math.sqrt(math.pi) * norm) ** -0.4


def _mean_cosines(phase, count):
    """Mean of cos(k phase) over a sample of phases (n,), k = 1 ... count: (count,).

    The powers of exp(i phase) are computed as products of powers within a block and powers of complete blocks.
    """
    block = max(1, math.isqrt(count))
    turn = np.exp(1j * phase)
    within = np.cumprod(np.broadcast_to(turn, (block, len(turn))), axis=0)  # 1 ... block
    whole = np.ones((-(-count // block), len(turn)), complex)  # 0, block, 2 block ...
    np.cumprod(np.broadcast_to(within[-1], whole[1:].shape), axis=0, out=whole[1:])
    return (whole @ within.T).real.ravel()[:count] / len(turn)


def _sum_of_kernels(z, x, h):
    """Sum of exp(-(x - z)^2 / 2 h^2) over a sample z (n,), on an even grid x (m,): (m,).

    With x = X + y, where X is the nearest point of a coarser grid, the exponent splits into terms of (z, X), (z, y) and
    (X, y). The sum becomes a matrix product instead of m n exponentials. The block length keeps every term within the
    range of doubles.
    """
    step, middle = (x[1] - x[0]) / h, (x[0] + x[-1]) / 2
    z, x = (z - middle) / h, (x - middle) / h
    reach = max(abs(x[0]), np.abs(z).max())
    block = int(min(32, max(1, 400 / (reach * step))))
    coarse = x[0] + step * (block * np.arange(-(-len(x) // block)) + (block - 1) / 2)
    fine = step * (np.arange(block) - (block - 1) / 2)
    near = np.exp(-0.5 * np.subtract.outer(coarse, z) ** 2) @ np.exp(np.multiply.outer(z, fine))
    return (near * np.exp(-np.multiply.outer(coarse, fine) - 0.5 * fine**2)).ravel()[: len(x)]


def bandwidth(values, rule="ISJ"):
    """Bandwidth of a Gaussian kernel for a sample of unit standard deviation.

    Parameters
    ----------
    values : array of shape (n,)
    rule : {"ISJ", "silverman"}
        ISJ is the improved Sheather-Jones rule. It is limited to a quarter of Silverman's bandwidth up to Silverman's
        bandwidth, since it may collapse onto single values. Silverman's rule replaces it below 20 values, or if it has
        no solution.

    Returns
    -------
    float

    Notes
    -----
    ISJ is written by hand: it is faster than KDEpy, the package with this rule, and KDEpy solves for the bandwidth on a
    mesh wider than the data but scales the result by the range of the data (its issues 199 and 201).

    References
    ----------
    Botev et al. (2010, Ann. Statist. 38, 2916).
    """
    n = len(values)
    silverman = (4 / (3 * n)) ** 0.2
    if rule == "silverman" or n < 20:
        return silverman
    values = np.asarray(values, float)
    distinct, extent = len(np.unique(values)), np.ptp(values)
    margin = max(6.0, extent / 2)
    width = extent + 2 * margin
    steps = silverman * np.geomspace(0.25, 1, 7)
    below = steps[0]
    count = min(len(_FREQUENCIES), int(3 * width / below))  # beyond, the narrowest kernel leaves exp(-9 pi^2)
    cosines = _mean_cosines(np.pi * (values - values.min() + margin) / width, count)
    spectra = 2 * cosines**2 * _POWERS[:, :count]
    if _beyond_optimum((below / width) ** 2, distinct, spectra) >= 0:
        return below
    for above in steps[1:]:
        if _beyond_optimum((above / width) ** 2, distinct, spectra) >= 0:
            ends = (below / width) ** 2, (above / width) ** 2
            return float(width * np.sqrt(brentq(_beyond_optimum, *ends, (distinct, spectra), rtol=1e-6)))
        below = above
    return silverman


def kde_curve(values, *, grid_size=1024, rule="ISJ"):
    """Kernel density of the estimates of one star.

    Values are standardised first, so the density does not depend on their unit or zero point.

    Parameters
    ----------
    values : array of shape (n_models,)
    grid_size : int
    rule : {"ISJ", "silverman"}
        See :func:`bandwidth`.

    Returns
    -------
    x, density : arrays of shape (grid_size,)
        In the units of the values and their inverse; both None if all values are equal.
    """
    values = np.asarray(values, float)
    centre, spread = values.mean(), values.std()
    if len(values) < 2 or spread <= 1e-9 * max(abs(centre), 1e-30):
        return None, None
    z = (values - centre) / spread
    h = bandwidth(z, rule)
    x = np.linspace(z.min() - 4 * h, z.max() + 4 * h, grid_size)
    density = _sum_of_kernels(z, x, h) / (len(z) * h * np.sqrt(2 * np.pi))
    return centre + spread * x, density / spread


def kde_mode(values, *, grid_size=1024, rule="ISJ"):
    """Mode of the kernel density of each star, and its lower and upper 1-sigma error.

    The bounds are the shortest interval around the mode that holds 68.27 % of the density. They describe the scatter
    between networks only, not the error of the method (paper, section 3.4).

    Parameters
    ----------
    values : array of shape (n_models, n_stars)
        Estimates of each star by several networks.
    grid_size, rule
        See :func:`kde_curve`.

    Returns
    -------
    mode, lower, upper : arrays of shape (n_stars,)
        The interval is mode - lower ... mode + upper.

    Examples
    --------
    Estimates of Teff by 80 networks, one of them an outlier:

    >>> import numpy as np
    >>> from dtl_core.estimates.density import kde_mode
    >>> teff = np.random.default_rng(0).normal(3500, 40, (80, 1))
    >>> teff[0] = 4000
    >>> mode, lower, upper = kde_mode(teff)
    >>> bool(abs(mode[0] - 3500) < 20), bool(20 < lower[0] < 60), bool(20 < upper[0] < 60)
    (True, True, True)
    """
    values = np.asarray(values, float)
    out = np.empty((3, values.shape[1]))
    for star in range(values.shape[1]):
        x, density = kde_curve(values[:, star], grid_size=grid_size, rule=rule)
        if x is None:
            out[:, star] = values[0, star], 0.0, 0.0
            continue
        peak = int(np.argmax(density))
        mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
        mass /= mass[-1]
        start = np.arange(peak + 1)
        reach = mass[start] + ONE_SIGMA
        start = start[reach <= 1]
        end = np.interp(reach[reach <= 1], mass, np.arange(grid_size))
        end = np.maximum(end, peak)
        best = int(np.argmin(end - start))
        step = x[1] - x[0]
        out[:, star] = x[peak], (peak - start[best]) * step, (end[best] - peak) * step
    return tuple(out)


def inside_errors(mode, lower, upper, truth):
    """Whether the truth lies within the 1-sigma bounds of each star: (n_stars,) bool."""
    return (truth >= mode - lower) & (truth <= mode + upper)


def recovery(mode, lower, upper, truth):
    """Compare estimates (n_stars,) with the truth: dict of rmse, bias (estimate minus truth), coverage and pearson.

    ``coverage`` is the number of stars within 1 sigma.
    """
    difference = np.asarray(mode) - np.asarray(truth)
    return {
        "rmse": float(np.sqrt(np.mean(difference**2))),
        "bias": float(difference.mean()),
        "coverage": int(inside_errors(mode, lower, upper, truth).sum()),
        "pearson": float(np.corrcoef(mode, truth)[0, 1]),
    }
