"""Error bars that hold: intervals calibrated where the truth is known, and how well they cover."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..parameters import PARAMETERS

__all__ = [
    "Calibration",
    "group_edges",
    "groups_of",
    "intervals",
    "joint_samples",
    "leave_one_out",
    "likelihood_ratio",
    "pit",
    "weighted_quantile",
    "width_against_error",
]


LEVELS = (0.50, 0.68, 0.90, 0.95)


def weighted_quantile(values, level, weight=None):
    """Smallest value below which at least ``level`` of the weight lies, plus infinity's own share of one vote.

    Arguments: values (n,), level in 0..1, weight (n,), by default equal. Returns: float, inf where the sample is too
    small for the level.

    Source: Tibshirani et al. (2019, arXiv:1904.06019), the split conformal quantile under covariate shift.
    """
    values = np.asarray(values, float)
    weight = np.ones(len(values)) if weight is None else np.asarray(weight, float)
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weight[order]) / (weight.sum() + weight.mean())  # the new star counts
    place = np.searchsorted(cumulative, level - 1e-12)
    return float(values[order][place]) if place < len(values) else np.inf


class Calibration:
    r"""Split conformal intervals around estimates, asymmetric and in proportion to a star's own scatter.

    Scores are :math:`s_i = (y_i - \hat y_i) / u_i` of stars whose truth is known; an interval of level :math:`1 - a`
    goes from :math:`\hat y + u\,q_{a/2}(s)` to :math:`\hat y + u\,q_{1 - a/2}(s)`. It covers at that rate, whatever the
    errors' distribution, where the calibration stars, reweighted, are like the others.

    Arguments
    ---------
    estimate, truth : (n,) of calibration stars
    scatter : (n,) > 0, how uncertain a star's estimate is believed to be, on any scale
    weight : (n,) likelihood ratio of the stars to be estimated to these, optional; see :func:`likelihood_ratio`
    group : (n,) what kind of star each is, optional; see :func:`groups_of`

    With groups (Mondrian), a star's interval comes from the calibration stars of its own group. This buys coverage at
    the level within every group, where one quantile for all covers too often in one and too seldom in another; it costs
    stars: each group's quantiles are as noisy as its own few scores make them, and so the intervals wider or narrower
    by chance. A group must follow from what is known of any star, as the estimated Teff does and the true one does not.
    A group too small for a level (below 2 / (1 - level) - 1 stars) takes the quantiles of all stars, without that
    promise.

    Source: Vovk et al. (2005); Lei et al. (2018, JASA 113, 1094); Tibshirani et al. (2019, arXiv:1904.06019); for the
    groups, Vovk (2012, arXiv:1209.2673) and Bostrom & Johansson (2020, PMLR 128, 114).
    """

    def __init__(self, estimate, truth, scatter, weight=None, *, group=None):
        self.scores = (np.asarray(truth, float) - estimate) / scatter
        self.weight = np.ones(len(self.scores)) if weight is None else np.asarray(weight, float)
        self.group = None if group is None else np.asarray(group)

    def interval(self, estimate, scatter, level=0.68, *, group=None):
        """Lower and upper bounds (n,), (n,) of stars; ``group`` (n,), where the calibration has groups."""
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
        """Lower and upper quantile of the scores of some calibration stars: (2,), infinite where these are too few."""
        scores, weight = self.scores[rows], self.weight[rows]
        if not len(scores):
            return np.array([-np.inf, np.inf])
        level = (1 + level) / 2
        return np.array([-weighted_quantile(-scores, level, weight), weighted_quantile(scores, level, weight)])


def group_edges(values, n=3):
    """Inner edges (n - 1,) of ``n`` groups of equally many calibration stars, for instance in estimated Teff."""
    return np.quantile(values, np.linspace(0, 1, n + 1)[1:-1])


def groups_of(values, edges):
    """Number of the group, 0 to len(edges), that each star is in: (n,), from the same estimate as the edges."""
    return np.searchsorted(edges, values, side="right")


def likelihood_ratio(calibration_features, star_features, *, degree=1, limit=10.0):
    r"""Density of the stars to be estimated over that of the calibration stars, at the latter.

    .. math:: w(x) = \frac{p(\mathrm{star} | x)}{p(\mathrm{calibration} | x)} \, \frac{n}{m}

    by logistic regression on standardised features. It is exact for Gaussians of one covariance, with ``degree`` 2
    for any two. The ratio is clipped: beyond ``limit`` a few calibration stars would stand for all.

    Arguments
    ---------
    calibration_features : (n, k);  star_features : (m, k)
    degree : of the polynomial in the features
    limit : the ratio stays between 1 / limit and limit

    Returns
    -------
    (n,) weights for :class:`Calibration`.

    Source: Tibshirani et al. (2019, arXiv:1904.06019), section 2.3; Bickel et al. (2009, JMLR 10, 2137).
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
    r"""Posterior samples of stars in all parameters at once, which keep the correlations of the errors.

    The vectors of scores :math:`s_i = (y_i - \hat y_i) / u_i` of the calibration stars are drawn whole, and scaled by
    a star's own scatter: :math:`\hat y + u\,s_i`. Each parameter's share within any bounds is then that of the
    calibration stars, about 1 / (number of these) less than what :class:`Calibration` promises. There are only as many
    different scores as calibration stars.

    Arguments
    ---------
    estimate, truth, scatter : (n_calibration, p) of calibration stars
    stars, stars_scatter : (m, p) estimates and scatters of others
    n : samples of each star
    weight : (n_calibration,) as for :class:`Calibration`

    Returns
    -------
    (n, m, p).
    """
    estimate, truth, scatter, stars, stars_scatter = (
        np.asarray(v, float) for v in (estimate, truth, scatter, stars, stars_scatter)
    )
    scores = (truth - estimate) / scatter
    chance = None if weight is None else np.asarray(weight, float) / np.sum(weight)
    drawn = np.random.default_rng(seed).choice(len(scores), (n, len(stars)), p=chance)
    return stars + stars_scatter * scores[drawn]


def pit(samples, truth):
    """Rank of each truth among posterior samples, 0 to 1: uniform where the posterior is right.

    Arguments: samples (n_samples, ...), truth (...), for instance (n_samples, n, 4) and (n, 4). Returns: (...).
    Source: Talts et al. (2018, arXiv:1804.06788), simulation-based calibration.
    """
    samples = np.asarray(samples)
    return ((samples < truth).sum(0) + 0.5 * (samples == truth).sum(0) + 0.5) / (len(samples) + 1)


def width_against_error(low, high, truth, n_bins=5):
    """Whether wide intervals belong to stars that are far off: DataFrame, a row a bin of equally many stars by width.

    Arguments: low, high, truth (n,); stars without a finite interval are left out. Columns: n, width (mean), error (rms
    of truth minus the interval's middle) and inside (share of stars within).
    """
    low, high, truth = (np.asarray(v, float) for v in (low, high, truth))
    known = np.isfinite(low) & np.isfinite(high)
    low, high, truth = low[known], high[known], truth[known]
    width, error, inside = high - low, truth - (low + high) / 2, (truth >= low) & (truth <= high)
    bins = [own for own in np.array_split(np.argsort(width, kind="stable"), n_bins) if len(own)]
    rows = [(len(own), width[own].mean(), np.sqrt(np.mean(error[own] ** 2)), inside[own].mean()) for own in bins]
    return pd.DataFrame(rows, columns=["n", "width", "error", "inside"])


def leave_one_out(estimate, truth, scatter, levels=LEVELS):
    """Coverage of each star by a calibration on all the others: dict of level -> (stars inside, n).

    What so few stars prove is little: of 20, a right 68 % interval holds 10 to 17 in nineteen cases of twenty.
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
    """Intervals alone: reference and stars are (found, spread), the rest is as for :func:`calibrated`."""
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
