"""Kolmogorov-Smirnov test of two samples with equal values."""

from __future__ import annotations

import numpy as np

from ..errors import DataError

__all__ = ["ks_test"]


def ks_test(one, two):
    """Test whether two samples come from the same distribution, exact also for values that occur more than once.

    The p-value is the fraction of all divisions of the pooled values into two samples of these sizes whose largest
    distance between the cumulative distributions is at least the one observed. Without ties it is that of
    ``scipy.stats.ks_2samp``, which treats tied values as if they were ordered, so that its p-value is too large.

    Parameters
    ----------
    one, two : (n,) array
        Finite values.

    Returns
    -------
    distance, p : float

    Raises
    ------
    DataError
        A sample is empty or holds a value that is not finite.

    References
    ----------
    Schroeer & Trenkler (1995, Comput. Stat. Data Anal. 20, 185); Nikiforov (1994, Appl. Stat. 43, 265).

    Examples
    --------
    >>> ks_test([1, 1, 2], [2, 2, 2])
    (0.6666666666666666, 0.4)
    """
    one, two = np.sort(one), np.sort(two)
    m, n = len(one), len(two)
    pooled = np.sort(np.concatenate([one, two]))
    if not (m and n and np.isfinite(pooled).all()):
        raise DataError("is empty or holds a value that is not finite", field="sample", remedy="leave such values out")
    counts = (np.searchsorted(values, pooled, side="right") for values in (one, two))
    distance = int(np.abs(next(counts) * n - next(counts) * m).max())  # times m n: integers compare without rounding
    last = np.append(
        pooled[1:] != pooled[:-1], True
    )  # of equal values: only there are cumulative distributions defined
    # exceeds[j]: fraction of the divisions that reach the distance, of those with i values of the first sample and j of
    # the second among the smallest i + j values
    exceeds, j = np.zeros(n + 1), np.arange(n + 1)
    for i in range(m + 1):
        reached = (np.abs(i * n - j * m) >= distance) & last[i + j - 1] & (i + j > 0)
        for k in range(n + 1):
            if reached[k]:
                exceeds[k] = 1.0
            elif i + k:
                exceeds[k] = (i * exceeds[k] + k * exceeds[k - 1]) / (i + k)
    return distance / (m * n), float(exceeds[n])
