"""From many estimates of one star to a value with asymmetric errors, and how good they are where truth is known."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq

__all__ = ["bandwidth", "best_of", "inside_errors", "kde_curve", "kde_mode", "recovery"]


ONE_SIGMA = 0.6826894921370859


def best_of(test_error, n_kept):
    """Positions of the ``n_kept`` models of lowest test error (n_models,), best first; ties by position."""
    return np.argsort(np.asarray(test_error), kind="stable")[:n_kept]


_FREQUENCIES = np.arange(1.0, 1024.0) ** 2  # squared; as many as KDEpy's
_POWERS = np.array([_FREQUENCIES**s for s in range(2, 8)])
_DECAY = -(np.pi**2) * _FREQUENCIES


def _beyond_optimum(t, n, spectra):
    """t minus the optimal one of Botev et al.'s fixed point (2010, their equation 33), for a squared bandwidth t.

    Arguments: n, sample size; spectra, half the squared cosine transform of the sample times the frequencies to the
    powers 4, 6 ... 14.
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

    The powers of exp(i phase) are products of a few: those up to a block's length, and those of whole blocks.
    """
    block = max(1, math.isqrt(count))
    turn = np.exp(1j * phase)
    within = np.cumprod(np.broadcast_to(turn, (block, len(turn))), axis=0)  # 1 ... block
    whole = np.ones((-(-count // block), len(turn)), complex)  # 0, block, 2 block ...
    np.cumprod(np.broadcast_to(within[-1], whole[1:].shape), axis=0, out=whole[1:])
    return (whole @ within.T).real.ravel()[:count] / len(turn)


def _sum_of_kernels(z, x, h):
    """Sum of exp(-(x - z)^2 / 2 h^2) over a sample z (n,), on an even grid x (m,): (m,).

    With x = X + y, X the nearest of a coarser grid and all positions from its middle, the exponent parts into terms of
    (z, X), (z, y) and (X, y): a matrix product in place of m n exponentials. Blocks are no longer than lets each
    term stay a double.
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
    """Gaussian bandwidth of a sample (n,) of unit standard deviation.

    ISJ is improved Sheather-Jones (Botev et al. 2010). It needs tens of values, sometimes finds no solution, and may
    collapse onto single values: below 20 values, or without a solution, Silverman's rule is taken, and outside a
    quarter of and once Silverman's rule the nearer of the two limits. KDEpy, which the tests compare with, solves for
    the bandwidth on a mesh wider than the data but scales it back by the range of the data (its issues 199 and 201);
    here it is scaled back by the mesh, and only what lies between the limits is looked at.
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
    """Kernel density of one star's estimates.

    Values are standardised first, so the curve moves and stretches with them exactly.

    Arguments
    ---------
    values : (n_models,)

    Returns
    -------
    x, density : (grid_size,) in the units of the values and their inverse; None, None when all values are equal.
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
    """Mode of the kernel density of each star and its lower and upper 1-sigma error.

    The bounds are the shortest interval around the mode that holds 68.27 % of the density. These are intrinsic errors
    of the method only (paper, section 3.4).

    Arguments
    ---------
    values : (n_models, n_stars)

    Returns
    -------
    mode, lower, upper : (n_stars,); the errors are >= 0 and the interval is mode - lower to mode + upper.
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
    """Whether the truth lies inside each star's 1-sigma bounds: (n_stars,) bool."""
    return (truth >= mode - lower) & (truth <= mode + upper)


def recovery(mode, lower, upper, truth):
    """RMSE, bias (estimate minus truth), number inside 1 sigma and Pearson r of estimates of known truth: a dict."""
    difference = np.asarray(mode) - np.asarray(truth)
    return {
        "rmse": float(np.sqrt(np.mean(difference**2))),
        "bias": float(difference.mean()),
        "coverage": int(inside_errors(mode, lower, upper, truth).sum()),
        "pearson": float(np.corrcoef(mode, truth)[0, 1]),
    }
