"""Straight lines with intrinsic scatter, on points of known truth and against independent formulae."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from dtl_core.errors import DataError
from dtl_core.literature.regression import fit_line


def drawn(n, rng, *, slope=0.8, ex=100.0, ey=30.0, scatter=60.0, kind="normal"):
    """Points whose true values scatter about a line by a known amount, with errors of their own."""
    spread = {"normal": rng.normal(0, 250, n), "skewed": rng.exponential(250, n), "flat": rng.uniform(-430, 430, n)}
    true = 3500 + spread[kind]
    ex, ey = ex * rng.uniform(0.5, 1.5, n), ey * rng.uniform(0.5, 1.5, n)
    x, y = true + rng.normal(0, ex), 700 + slope * true + rng.normal(0, scatter, n) + rng.normal(0, ey)
    return x, y, ex, ey


def test_equal_errors_give_the_closed_form():
    """Then means and covariances alone determine the line: slope = Sxy / (Sxx - ex^2)."""
    rng = np.random.default_rng(1)
    x, y, _, _ = drawn(80, rng)
    line = fit_line(x, y, 60.0, 20.0)
    (sxx, sxy), (_, syy) = np.cov(x, y)
    slope = sxy / (sxx - 60.0**2)
    assert line.slope == pytest.approx(slope, rel=1e-4)
    assert line.intercept == pytest.approx(y.mean() - slope * x.mean(), rel=1e-3)
    flat = sxy / sxx
    variance = (syy - flat * sxy) * (len(x) - 1) / (len(x) - 2)  # about the regression on the measured x
    expected = variance - 20.0**2 - slope**2 * 60.0**2 * (sxx - 60.0**2) / sxx
    assert line.scatter == pytest.approx(np.sqrt(expected), rel=1e-3)


def test_no_other_optimiser_and_density_finds_a_better_line():
    """The bivariate normal density by its covariance, without the small corrections for the number of points."""
    x, y, ex, ey = drawn(300, np.random.default_rng(2))
    u, v, eu, ev = (x - 3500) / 250, (y - 3500) / 250, ex / 250, ey / 250

    def minus_log(p):
        a, b, mean, tau, s = p
        xx, xy, yy = tau**2 + eu**2, b * tau**2, b**2 * tau**2 + s**2 + ev**2
        du, dv, det = u - mean, v - a - b * mean, xx * yy - xy**2
        return np.sum(np.log(det) + (yy * du**2 - 2 * xy * du * dv + xx * dv**2) / det) / 2

    found = minimize(minus_log, [0, 0.9, 0, 1, 0.2], method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-5})
    line = fit_line(x, y, ex, ey)
    assert line.slope == pytest.approx(found.x[1], abs=0.003)
    assert line.scatter == pytest.approx(250 * abs(found.x[4]), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "kind"), [(14, "normal"), (40, "skewed"), (150, "flat")])
def test_intervals_hold_and_the_slope_is_not_biased(n, kind):
    rng = np.random.default_rng(3)
    lines, flat = [], []
    for _ in range(150):
        points = drawn(n, rng, kind=kind)
        lines.append(fit_line(*points))
        flat.append(np.polyfit(points[0], points[1], 1)[0])
    slope, error, scatter = (np.array([getattr(line, name) for line in lines]) for name in
                             ("slope", "slope_error", "scatter"))  # fmt: skip
    assert np.abs(np.median(slope) - 0.8) < 3 * 1.25 * slope.std() / np.sqrt(150)
    assert 0.56 < np.mean(np.abs(slope - 0.8) < error) < 0.80  # 0.683, and three binomial errors
    assert np.mean(np.abs(slope - 0.8) < 2 * error) > 0.89
    assert np.mean(scatter**2) == pytest.approx(60**2, rel=0.25)
    assert np.mean(flat) < 0.74  # regression dilution, which the fit corrects


@pytest.mark.slow
def test_without_scatter_chi2_is_one_and_the_interval_of_the_scatter_contains_zero():
    rng = np.random.default_rng(4)
    lines = [fit_line(*drawn(60, rng, ey=100.0, scatter=0.0)) for _ in range(60)]
    assert np.mean([line.reduced_chi2 for line in lines]) == pytest.approx(1, abs=0.1)
    assert np.mean([line.scatter == 0 for line in lines]) > 0.35
    assert max(line.scatter for line in lines) < 100
    more = [fit_line(*drawn(60, rng, ey=100.0, scatter=200.0)) for _ in range(20)]
    assert min(line.reduced_chi2 for line in more) > 1.5
    assert np.mean([line.scatter for line in more]) == pytest.approx(200, rel=0.1)


def test_errors_that_are_quoted_too_small_become_scatter():
    rng = np.random.default_rng(5)
    x, y, ex, ey = drawn(400, rng, scatter=0.0, ey=80.0)
    right, small = fit_line(x, y, ex, ey), fit_line(x, y, ex, ey / 4)
    assert small.scatter == pytest.approx(80, rel=0.2) and small.reduced_chi2 > right.reduced_chi2
    assert small.slope == pytest.approx(right.slope, abs=right.slope_error)
    assert small.slope_error == pytest.approx(right.slope_error, rel=0.2)


def test_scatter_in_x_makes_the_line_steeper():
    x, y, ex, ey = drawn(200, np.random.default_rng(6), scatter=120.0)
    one, exchanged = fit_line(x, y, ex, ey), fit_line(y, x, ey, ex)
    assert 1 / exchanged.slope > one.slope + one.slope_error
    calm = drawn(200, np.random.default_rng(6), scatter=0.0, ey=100.0)
    one, exchanged = fit_line(*calm), fit_line(calm[1], calm[0], calm[3], calm[2])
    assert 1 / exchanged.slope == pytest.approx(one.slope, abs=one.slope_error)  # nothing to attribute


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 100), st.floats(0.01, 100), st.floats(-1e3, 1e3))
def test_units_do_not_matter(kx, ky, shift):
    x, y, ex, ey = drawn(30, np.random.default_rng(7))
    one, two = fit_line(x, y, ex, ey), fit_line(kx * x + shift, ky * y, kx * ex, ky * ey)
    assert two.slope == pytest.approx(one.slope * ky / kx, rel=1e-4)
    assert two.slope_error == pytest.approx(one.slope_error * ky / kx, rel=1e-3)
    assert two.scatter == pytest.approx(one.scatter * ky, rel=1e-3)
    assert two.reduced_chi2 == pytest.approx(one.reduced_chi2, rel=1e-3)


def test_a_line_without_errors_is_least_squares():
    x, y, _, _ = drawn(50, np.random.default_rng(8))
    line = fit_line(x, y, 0, 0)
    slope, intercept = np.polyfit(x, y, 1)
    assert line.slope == pytest.approx(slope, rel=1e-5) and line.intercept == pytest.approx(intercept, rel=1e-4)
    assert line.scatter == pytest.approx(np.sqrt(np.sum((y - intercept - slope * x) ** 2) / 48), rel=1e-4)
    assert np.isnan(line.reduced_chi2)
    exact = fit_line(x, 2 * x, 0, 0)
    assert exact.slope == pytest.approx(2, rel=1e-6) and exact.scatter == pytest.approx(0, abs=0.1)


def test_lines_that_cannot_be_are_nan_and_errors_that_cannot_be_refused():
    assert np.isnan(fit_line([1, 2, 3], [1, 2, 4], 1, 1)).all()
    assert np.isnan(fit_line([1, 1, 1, 1], [1, 2, 3, 4], 1, 1)).all()
    x, y, ex, ey = drawn(40, np.random.default_rng(9))
    assert not fit_line(x, y, 100 * ex, ey).slope_error < 1  # nothing is left of the spread of x
    for bad_x, bad_y, field in ((-1, 1, "x_error"), (1, np.nan, "y_error"), (np.inf, 1, "x_error")):
        with pytest.raises(DataError, match=field):
            fit_line(x, y, bad_x, bad_y)
