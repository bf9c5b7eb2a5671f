"""A straight line through points that have errors in x and in y and scatter more than these errors explain."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.optimize import minimize

from ..errors import DataError

__all__ = ["Line", "fit_line"]


_LEAST_VARIANCE = 1e-10  # of the scatter, in units of the variance of y: points may have no errors at all
_LOG_SPREAD = (-9.0, 2.0)  # of the true x, in units of the spread of the measured x


class Line(NamedTuple):
    r"""A straight line :math:`y = a + b x` with scatter in y.

    Attributes
    ----------
    slope, slope_error : float
        :math:`b`, and half the width of its 68.3 % interval.
    intercept : float
        :math:`a`.
    scatter, scatter_error : float
        Intrinsic scatter in y, and how far the 68.3 % interval reaches above it.
    reduced_chi2 : float
        Reduced chi-square of the line with the quoted errors alone, without the scatter. NaN if a point has no error.
    """

    slope: float
    slope_error: float
    intercept: float
    scatter: float
    scatter_error: float
    reduced_chi2: float


def _scales(p, x, var_x, var_y):
    """Expected true x, and variances of the measured x and of y given the measured x."""
    _, b, mean, log_spread, scatter2 = p
    tau2 = np.exp(2 * log_spread)
    var_measured = tau2 + var_x
    return mean + tau2 / var_measured * (x - mean), var_measured, scatter2 + var_y + b**2 * tau2 * var_x / var_measured


def _minus_log_likelihood(p, x, y, var_x, var_y):
    expected, var_measured, variance = _scales(p, x, var_x, var_y)
    n, residual = len(x), y - p[0] - p[1] * expected
    terms = (1 - 1 / n) * np.log(var_measured) + (x - p[2]) ** 2 / var_measured
    return np.sum(terms + (1 - 2 / n) * np.log(variance) + residual**2 / variance) / 2


def _gradient(p, *data):
    """Exact to rounding, by complex steps."""
    return np.array([_minus_log_likelihood(p + 1e-20j * axis, *data).imag / 1e-20 for axis in np.eye(len(p))])


def _slope_variance(p, data):
    """From the curvature of the likelihood; a scatter of zero is no free parameter."""
    free = np.eye(5)[: 5 if p[4] > 2 * _LEAST_VARIANCE else 4]
    curvature = np.array([_gradient(p + 1e-5 * axis, *data) - _gradient(p - 1e-5 * axis, *data) for axis in free])
    return np.linalg.pinv(curvature[:, : len(free)] / 2e-5, hermitian=True)[1, 1]


def fit_line(x, y, x_error, y_error):
    r"""Fit a straight line to points with errors in x and y and with intrinsic scatter in y.

    True values scatter about a line, :math:`\eta_i \sim N(a + b\,\xi_i,\ s^2)`, and are measured with errors,
    :math:`x_i \sim N(\xi_i, \sigma_{x,i}^2)` and :math:`y_i \sim N(\eta_i, \sigma_{y,i}^2)`. Integrated over
    :math:`\xi_i \sim N(\mu, \tau^2)`,

    .. math:: x_i \sim N(\mu,\ \tau^2 + \sigma_{x,i}^2), \quad
              y_i | x_i \sim N(a + b\,\hat\xi_i,\ s^2 + \sigma_{y,i}^2 + b^2 \lambda_i \sigma_{x,i}^2), \quad
              \hat\xi_i = \mu + \lambda_i (x_i - \mu), \quad \lambda_i = \tau^2 / (\tau^2 + \sigma_{x,i}^2)

    which is maximised over :math:`a, b, \mu, \tau` and :math:`s \ge 0`.

    Parameters
    ----------
    x, y : (n_points,) array
    x_error, y_error : float or (n_points,) array
        Standard errors; zero if there are none.

    Returns
    -------
    Line
        All NaN for fewer than four points, if x or y is constant, or if the errors of x explain all its spread.

    Raises
    ------
    DataError
        An error is negative or not finite.

    Notes
    -----
    The true x need not be Gaussian: the slope follows from means and covariances, which are right for any distribution.
    The logarithms of the variances count (n - 1)/n and (n - 2)/n times (restricted likelihood), so that the scatter of
    few points is not too small; the error of the slope is from the curvature, times Student's t for n - 2.

    The scatter belongs to y. If it belongs to x instead, the slope is one over that of the exchanged fit: the line is
    steeper. Fits without scatter, like that of York et al. (2004) or scipy.odr, divide it between the two in the ratio
    of their quoted errors. The packages linmix and roxy sample this likelihood; its maximum needs no sampler.

    References
    ----------
    Kelly (2007, ApJ 665, 1489), with one Gaussian; Bartlett & Desmond (2023, arXiv:2309.00948), who find slopes by this
    likelihood unbiased, unlike those by likelihoods without a distribution of the true x.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> true = rng.normal(3500, 250, 500)
    >>> x, y = true + rng.normal(0, 100, 500), 0.8 * true + rng.normal(0, np.hypot(30, 50), 500)
    >>> line = fit_line(x, y, 100, 30)
    >>> round(line.slope, 2), round(line.slope_error, 2), round(line.scatter, -1)
    (0.8, 0.02, 50.0)
    """
    x, y = (np.asarray(values, float) for values in (x, y))
    ex, ey = (np.broadcast_to(np.asarray(e, float), x.shape) for e in (x_error, y_error))
    for e, name in ((ex, "x_error"), (ey, "y_error")):
        if not np.all(np.isfinite(e) & (e >= 0)):
            raise DataError("an error is negative or not finite", field=name, remedy="give standard errors")
    n = len(x)
    if n < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Line(*[np.nan] * 6)
    (mx, sx), (my, sy) = ((values.mean(), values.std(ddof=1)) for values in (x, y))
    data = ((x - mx) / sx, (y - my) / sy, (ex / sx) ** 2, (ey / sy) ** 2)
    r, reliable = np.corrcoef(x, y)[0, 1], max(1 - data[2].mean(), 0.1)
    start = [0, r / reliable, 0, np.log(reliable) / 2, (1 - r**2) / 2 + 1e-3]
    limits = [(None, None)] * 3 + [_LOG_SPREAD, (_LEAST_VARIANCE, None)]
    options = {"ftol": 1e-13, "gtol": 1e-9, "maxiter": 1000}
    p = minimize(_minus_log_likelihood, start, data, jac=_gradient, bounds=limits, options=options).x
    variance = _slope_variance(p, data)
    if p[3] < _LOG_SPREAD[0] + 0.1 or variance <= 0:
        return Line(*[np.nan] * 6)
    b = p[1] * sy / sx
    a = my + p[0] * sy - b * mx
    slope_error = stats.t.ppf(stats.norm.cdf(1), n - 2) * np.sqrt(variance) * sy / sx
    scatter2 = p[4] if p[4] > 2 * _LEAST_VARIANCE else 0.0
    e_scatter2 = np.sqrt(2 / np.sum(_scales(p, data[0], *data[2:])[2] ** -2.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        chi2 = np.sum((y - a - b * x) ** 2 / (ey**2 + b**2 * ex**2)) / (n - 2)
    scatter, above = np.sqrt(scatter2) * sy, np.sqrt(scatter2 + e_scatter2) * sy
    return Line(*map(float, (b, slope_error, a, scatter, above - scatter, chi2 if np.isfinite(chi2) else np.nan)))
