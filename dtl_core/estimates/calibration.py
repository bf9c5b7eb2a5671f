"""Calibrated error bars: conformal intervals from stars of known truth, and tests of their coverage."""

from __future__ import annotations

import numpy as np

from ..parameters import PARAMETERS

__all__ = [
    "Calibration",
    "group_edges",
    "groups_of",
    "intervals",
    "joint_samples",
    "leave_one_out",
    "likelihood_ratio",
    "weighted_quantile",
    "width_against_error",
]


LEVELS = (0.50, 0.68, 0.90, 0.95)


def weighted_quantile(values, level, weight=None):
    """Conformal quantile of a weighted sample, to which a new star adds one value at infinity with the mean weight.

    Parameters
    ----------
    values : array of shape (n,)
    level : float, 0 to 1
    weight : array of shape (n,), optional
        By default equal.

    Returns
    -------
    float
        Infinite if the sample is too small for the level.

    References
    ----------
    Tibshirani et al. (2019, arXiv:1904.06019), the split conformal quantile under covariate shift.
    """
    values = np.asarray(values, float)
    weight = np.ones(len(values)) if weight is None else np.asarray(weight, float)
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weight[order]) / (weight.sum() + weight.mean())  # the new star counts
    place = np.searchsorted(cumulative, level - 1e-12)
    return float(values[order][place]) if place < len(values) else np.inf


class Calibration:
    r"""Split conformal intervals: asymmetric, and proportional to the scatter of each star.

    The scores of calibration stars of known truth are :math:`s_i = (y_i - \hat y_i) / u_i`, with scatter u. The
    interval of level :math:`1 - a` goes from :math:`\hat y + u\,q_{a/2}(s)` to :math:`\hat y + u\,q_{1 - a/2}(s)`. It
    has this coverage for any distribution of errors if the reweighted calibration stars are like the other stars.

    Parameters
    ----------
    estimate, truth : arrays of shape (n,)
        Of the calibration stars.
    scatter : array of shape (n,)
        Positive; expected error of each estimate, on any scale.
    weight : array of shape (n,), optional
        Density ratio of the other stars to the calibration stars, see :func:`likelihood_ratio`.
    group : array of shape (n,), optional
        Group of each star, see :func:`groups_of`.

    Notes
    -----
    With groups (Mondrian conformal prediction), the interval of a star comes from the calibration stars of its group.
    The coverage then holds within every group, but the quantiles are noisier, because each rests on fewer stars. The
    group must follow from quantities that are known for any star, such as the estimated Teff. A group that is too small
    for a level, with less than 2 / (1 - level) - 1 stars, uses the quantiles of all stars.

    References
    ----------
    Vovk et al. (2005); Lei et al. (2018, JASA 113, 1094); Tibshirani et al. (2019, arXiv:1904.06019); for groups, Vovk
    (2012, arXiv:1209.2673) and Bostrom & Johansson (2020, PMLR 128, 114).

    Examples
    --------
    Estimates with a bias of 50 K and a scatter of 80 K:

    >>> import numpy as np
    >>> from dtl_core.estimates.calibration import Calibration
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.uniform(3000, 4000, 2000)
    >>> estimate = truth + rng.normal(50, 80, 2000)
    >>> calibration = Calibration(estimate[:1000], truth[:1000], scatter=np.ones(1000))
    >>> low, high = calibration.interval(estimate[1000:], np.ones(1000), level=0.68)
    >>> inside = (truth[1000:] > low) & (truth[1000:] < high)
    >>> bool(0.64 < inside.mean() < 0.72)
    True
    """

    def __init__(self, estimate, truth, scatter, weight=None, *, group=None):
        self.scores = (np.asarray(truth, float) - estimate) / scatter
        self.weight = np.ones(len(self.scores)) if weight is None else np.asarray(weight, float)
        self.group = None if group is None else np.asarray(group)

    def interval(self, estimate, scatter, level=0.68, *, group=None):
        """Lower and upper bounds of the intervals of stars.

        Parameters
        ----------
        estimate, scatter : arrays of shape (n,)
        level : float, 0 to 1
        group : array of shape (n,), optional
            Required if the calibration has groups.

        Returns
        -------
        low, high : arrays of shape (n,)

        Raises
        ------
        ValueError
            If only one of the calibration and the stars has groups.
        """
        if (group is None) != (self.group is None):
            raise ValueError("either both the calibration stars and the others have groups or neither")
        estimate, scatter = np.asarray(estimate, float), np.asarray(scatter, float)
        bounds = np.empty((2, len(estimate)))
        bounds[:] = self._quantiles(level, slice(None))[:, None]
        for each in () if group is None else np.unique(group):
            own = self._quantiles(level, self.group == each)
            if np.isfinite(own).all():
                bounds[:, np.asarray(group) == each] = own[:, None]
        return estimate + scatter * bounds[0], estimate + scatter * bounds[1]

    def _quantiles(self, level, rows):
        """Lower and upper quantile of the scores of some calibration stars: (2,), infinite if these are too few."""
        scores, weight = self.scores[rows], self.weight[rows]
        if not len(scores):
            return np.array([-np.inf, np.inf])
        level = (1 + level) / 2
        return np.array([-weighted_quantile(-scores, level, weight), weighted_quantile(scores, level, weight)])


def group_edges(values, n=3):
    """Inner edges (n - 1,) of ``n`` groups with equal numbers of calibration stars, for instance in estimated Teff."""
    return np.quantile(values, np.linspace(0, 1, n + 1)[1:-1])


def groups_of(values, edges):
    """Group of each star, 0 to len(edges): (n,), from the same quantity as the edges."""
    return np.searchsorted(edges, values, side="right")


def likelihood_ratio(calibration_features, star_features, *, degree=1, limit=10.0):
    r"""Density ratio of other stars to calibration stars, at the calibration stars.

    .. math:: w(x) = \frac{p(\mathrm{star} | x)}{p(\mathrm{calibration} | x)} \, \frac{n}{m}

    by logistic regression on standardised features. This is exact for two Gaussians of equal covariance, and with
    ``degree`` 2 for any two Gaussians.

    Parameters
    ----------
    calibration_features : array of shape (n, k)
    star_features : array of shape (m, k)
    degree : int
        Of the polynomial in the features.
    limit : float
        The ratio is clipped to 1 / limit ... limit, so that no few calibration stars dominate.

    Returns
    -------
    array of shape (n,)
        Weights for :class:`Calibration`.

    References
    ----------
    Tibshirani et al. (2019, arXiv:1904.06019), section 2.3; Bickel et al. (2009, JMLR 10, 2137).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    features = np.concatenate([calibration_features, star_features]).astype(float)
    n, m = len(calibration_features), len(star_features)
    terms = PolynomialFeatures(degree, include_bias=False)
    model = make_pipeline(StandardScaler(), terms, StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(features, np.arange(n + m) >= n)
    log_ratio = model.decision_function(features[:n]) + np.log(n / m)
    return np.exp(np.clip(log_ratio, -np.log(limit), np.log(limit)))


def joint_samples(estimate, truth, scatter, stars, stars_scatter, n=1000, *, weight=None, seed=0):
    r"""Joint posterior samples of all parameters, with the correlations of their errors.

    Vectors of scores :math:`s_i = (y_i - \hat y_i) / u_i` of calibration stars are drawn and scaled by the scatter of
    each star: :math:`\hat y + u\,s_i`. There are only as many different scores as calibration stars, and the coverage
    is lower than that of :class:`Calibration` by about the inverse of their number.

    Parameters
    ----------
    estimate, truth, scatter : arrays of shape (n_calibration, p)
        Of the calibration stars.
    stars, stars_scatter : arrays of shape (m, p)
        Estimates and scatters of other stars.
    n : int
        Samples per star.
    weight : array of shape (n_calibration,), optional
        As for :class:`Calibration`.
    seed : int or sequence of int

    Returns
    -------
    array of shape (n, m, p)
    """
    estimate, truth, scatter, stars, stars_scatter = (
        np.asarray(v, float) for v in (estimate, truth, scatter, stars, stars_scatter)
    )
    scores = (truth - estimate) / scatter
    chance = None if weight is None else np.asarray(weight, float) / np.sum(weight)
    drawn = np.random.default_rng(seed).choice(len(scores), (n, len(stars)), p=chance)
    return stars + stars_scatter * scores[drawn]


def width_against_error(low, high, truth, n_bins=5):
    """Errors of stars in bins of the width of their intervals.

    Parameters
    ----------
    low, high, truth : arrays of shape (n,)
        Stars without a finite interval are left out.
    n_bins : int
        Bins with equal numbers of stars.

    Returns
    -------
    DataFrame
        One row per bin: n, width (mean), error (rms of truth minus the middle of the interval), and inside (share of
        stars within their interval).
    """
    import pandas as pd

    low, high, truth = (np.asarray(v, float) for v in (low, high, truth))
    known = np.isfinite(low) & np.isfinite(high)
    low, high, truth = low[known], high[known], truth[known]
    width, error, inside = high - low, truth - (low + high) / 2, (truth >= low) & (truth <= high)
    bins = [own for own in np.array_split(np.argsort(width, kind="stable"), n_bins) if len(own)]
    rows = [(len(own), width[own].mean(), np.sqrt(np.mean(error[own] ** 2)), inside[own].mean()) for own in bins]
    return pd.DataFrame(rows, columns=["n", "width", "error", "inside"])


def leave_one_out(estimate, truth, scatter, levels=LEVELS):
    """Coverage of each star by a calibration on all others.

    A small sample is a weak test: a correct 68 % interval contains 10 to 17 of 20 stars in 95 % of all cases.

    Parameters
    ----------
    estimate, truth, scatter : arrays of shape (n,)
    levels : sequence of float

    Returns
    -------
    dict of level -> (number of stars inside, n)
    """
    estimate, truth, scatter = (np.asarray(v, float) for v in (estimate, truth, scatter))
    inside = dict.fromkeys(levels, 0)
    for k in range(len(truth)):
        others = np.arange(len(truth)) != k
        own = Calibration(estimate[others], truth[others], scatter[others])
        for level in levels:
            low, high = own.interval(estimate[[k]], scatter[[k]], level)
            inside[level] += int(low[0] <= truth[k] <= high[0])
    return {level: (n, len(truth)) for level, n in inside.items()}


def intervals(reference, truth, stars, weight=None):
    """Calibrated intervals of all parameters, in groups of the estimated Teff.

    Parameters
    ----------
    reference : pair of arrays of shape (n, 4)
        Estimates and expected errors of the calibration stars.
    truth : array of shape (n, 4)
    stars : pair of arrays of shape (m, 4)
        Estimates and expected errors of the other stars.
    weight : array of shape (n,), optional
        As for :class:`Calibration`.

    Returns
    -------
    dict
        found, spread, median (m, 4), low and high (m, 4, n_levels) at the levels ``LEVELS``.
    """
    found, spread = stars
    edges = group_edges(reference[0][:, 0])  # thirds of the estimated Teff
    known, own = groups_of(reference[0][:, 0], edges), groups_of(found[:, 0], edges)
    low, high = np.zeros((2, *found.shape, len(LEVELS)))
    median = np.zeros(found.shape)
    for k in range(len(PARAMETERS)):
        each = Calibration(reference[0][:, k], truth[:, k], reference[1][:, k], weight, group=known)
        median[:, k] = np.mean(each.interval(found[:, k], spread[:, k], 0.0, group=own), axis=0)
        for number, level in enumerate(LEVELS):
            low[:, k, number], high[:, k, number] = each.interval(found[:, k], spread[:, k], level, group=own)
    return {"found": found, "spread": spread, "median": median, "low": low, "high": high}
