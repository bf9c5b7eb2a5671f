"""Radial velocities by cross-correlation with synthetic spectra."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ..spectra import operators
from ..synthetic import generation, label_grid, libraries

__all__ = ["Velocity", "measure_velocity", "templates"]


VELOCITY_STEP = 0.5  # km/s a pixel of the cross-correlation: a sixth of the instrument's width at R = 94,600
TEMPLATE_TEFF = (2800, 3000, 3200, 3400, 3600, 3800, 4000)  # K, of solar metallicity on the main sequence
TEMPLATE_VSINI = (2.0, 8.0, 20.0)  # km/s


@dataclass(frozen=True)
class Velocity:
    """A velocity [km/s] with its error, the correlation coefficient at the peak, and the number of its template."""

    value: float
    error: float
    correlation: float
    template: int


@functools.lru_cache(maxsize=4)
def templates(window, continuum):
    """Synthetic spectra for the cross-correlation, on a logarithmic grid and NaN where they end.

    Arguments: WindowConfig and ContinuumConfig.

    Returns
    -------
    grid : (n_pixels,) A, vacuum, :data:`VELOCITY_STEP` a pixel
    flux : (n_templates, n_pixels), continuum = 1
    label : (n_templates, 3) Teff [K], v sin i [km/s], full width of its lines at half depth [km/s]
    correlators : dict, by the number of lags, kept by :func:`measure_velocity` from one spectrum to the next
    """
    library = libraries.load_library("grid_a")
    label = np.array([(t, v) for v in TEMPLATE_VSINI for t in TEMPLATE_TEFF], float)
    labels = np.column_stack(
        [label[:, 0], np.clip(label_grid.main_sequence_logg(label[:, 0], 0.0), 4.5, 5.5), np.zeros(len(label))]
    )
    linear = operators.window_grid(window)
    flux = generation.model_spectra(library.wavelength, generation.expand(library, labels), label[:, 1], window)
    flux = operators.normalise(linear, flux, continuum)
    # as far as a spectrum may be shifted; a half A at the ends, where broadening lacks its neighbours, is left out
    reach = 1 + 1.02 * 250.0 / operators.C_KMS
    grid = operators.log_grid(linear[0] / reach, linear[-1] * reach, VELOCITY_STEP)
    inside = (grid > linear[0] + 0.5) & (grid < linear[-1] - 0.5)
    out = np.full((len(label), len(grid)), np.nan)
    out[:, inside] = (operators.resample_operator(linear, grid[inside]) @ flux.T).T
    width = np.hypot(operators.C_KMS / window.resolving_power, 1.7 * label[:, 1])
    return grid, out, np.column_stack([label, width]), {}


def measure_velocity(wavelength, flux, mask, template, limit=250.0, *, known=None):
    """Velocity of the best correlation with any template, by a parabola through its peak.

    The error is that of the maximum of the likelihood (Zucker 2003, MNRAS 342, 1291, eq. 8),
    s^-2 = -N C'' C / (1 - C^2), with N the independent elements of the window: pixels, or half widths of the lines
    where these are wider, since lines that no template has count as noise. To it is added the scatter of the peaks of
    the three best templates. An offset of the templates' own wavelengths (some 0.3 km/s where the line list errs as in
    the benchmark survey) is the same for all stars and not in it.

    Arguments
    ---------
    wavelength, flux, mask : (n_pixels,) A, continuum roughly 1, True where a pixel is lost
    template : result of :func:`templates`
    limit : km/s searched on either side of zero
    known : km/s, the velocity if it is known; then only the correlation and the best template at it are looked for

    Returns
    -------
    Velocity, of error zero where it was known
    """
    grid, models, label, correlators = template
    good = ~mask & np.isfinite(flux)
    on_grid = operators.combine(grid, [wavelength], [np.where(good, flux, np.nan)], [np.ones(len(flux))])[0]
    n_lags = int(np.ceil(limit / VELOCITY_STEP)) + 1
    if n_lags not in correlators:
        correlators[n_lags] = operators.Correlator(models, n_lags)
    with np.errstate(all="ignore"):
        found = correlators[n_lags](on_grid)[0]
    rows = np.arange(len(models))
    if known is not None:
        lag = round(operators.C_KMS * np.arctanh(known / operators.C_KMS) / VELOCITY_STEP) + n_lags
        best = int(np.argmax(found[:, lag]))
        return Velocity(float(known), 0.0, float(found[best, lag]), best)
    peak = np.argmax(found[:, 1:-1], axis=1) + 1
    left, top, right = (found[rows, peak + d] for d in (-1, 0, 1))
    bend = np.minimum(left - 2 * top + right, -1e-12)
    shift = np.clip(0.5 * (left - right) / bend, -1, 1)
    velocity = operators.C_KMS * np.tanh((peak - n_lags + shift) * VELOCITY_STEP / operators.C_KMS)
    height = top - 0.25 * (left - right) * shift
    best = int(np.argmax(height))
    inside = np.isfinite(models[0])
    rest = operators.doppler_shift(wavelength[good], -velocity[best])
    rest = rest[(rest > grid[inside][0]) & (rest < grid[inside][-1])]
    span = operators.C_KMS * np.ptp(rest) / rest.mean() if len(rest) > 1 else 0.0
    n = max(min(len(rest), span / (label[best, 2] / 2)), 1)
    c = np.clip(height[best], 1e-3, 1 - 1e-9)
    variance = (1 - c**2) / (n * c * -bend[best] / VELOCITY_STEP**2)
    near = np.argsort(-height)[:3]
    error = np.sqrt(variance + np.var(velocity[near]))
    return Velocity(float(velocity[best]), float(error), float(height[best]), best)
