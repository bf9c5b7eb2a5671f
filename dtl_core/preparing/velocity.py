"""Radial velocities by cross-correlation with synthetic spectra."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ..spectra import operators
from ..synthetic import generation, label_grid, libraries

__all__ = ["Velocity", "measure_velocity", "templates"]


VELOCITY_STEP = 0.5  # km/s per pixel of the cross-correlation: a sixth of the instrumental width at R = 94,600
TEMPLATE_TEFF = (2800, 3000, 3200, 3400, 3600, 3800, 4000)  # K, of solar metallicity on the main sequence
TEMPLATE_VSINI = (2.0, 8.0, 20.0)  # km/s


@dataclass(frozen=True)
class Velocity:
    """A measured velocity.

    Attributes
    ----------
    value, error : float, km/s
    correlation : float
        Coefficient at the peak.
    template : int
        Row of the best template.
    """

    value: float
    error: float
    correlation: float
    template: int


@functools.lru_cache(maxsize=4)
def templates(window, continuum):
    """Synthetic spectra for the cross-correlation.

    Parameters
    ----------
    window : WindowConfig
    continuum : ContinuumConfig

    Returns
    -------
    grid : (n_pixels,) array, vacuum A
        Logarithmic, ``VELOCITY_STEP`` per pixel.
    flux : (n_templates, n_pixels) array
        Continuum = 1, NaN beyond the ends.
    label : (n_templates, 3) array
        Teff [K], v sin i [km/s], full width of the lines at half depth [km/s].
    correlators : dict
        By number of lags; filled by :func:`measure_velocity` and reused for the next spectrum.
    """
    library = libraries.load_library("grid_a")
    label = np.array([(t, v) for v in TEMPLATE_VSINI for t in TEMPLATE_TEFF], float)
    labels = np.column_stack(
        [label[:, 0], np.clip(label_grid.main_sequence_logg(label[:, 0], 0.0), 4.5, 5.5), np.zeros(len(label))]
    )
    linear = operators.window_grid(window)
    flux = generation.model_spectra(library.wavelength, generation.expand(library, labels), label[:, 1], window)
    flux = operators.normalise(linear, flux, continuum)
    # as far as a spectrum may be shifted; half an A at the ends, where broadening lacks neighbours, is excluded
    reach = 1 + 1.02 * 250.0 / operators.C_KMS
    grid = operators.log_grid(linear[0] / reach, linear[-1] * reach, VELOCITY_STEP)
    inside = (grid > linear[0] + 0.5) & (grid < linear[-1] - 0.5)
    out = np.full((len(label), len(grid)), np.nan)
    out[:, inside] = (operators.resample_operator(linear, grid[inside]) @ flux.T).T
    width = np.hypot(operators.C_KMS / window.resolving_power, 1.7 * label[:, 1])
    return grid, out, np.column_stack([label, width]), {}


def measure_velocity(wavelength, flux, mask, template, limit=250.0, *, known=None):
    r"""Velocity of the best correlation with any template, by a parabola through its peak.

    The error is that of the maximum of the likelihood (Zucker 2003, MNRAS 342, 1291, eq. 8),

    .. math:: \sigma^{-2} = -N C'' C / (1 - C^2),

    with N the number of independent elements of the window: pixels, or half widths of the lines where these are wider,
    since lines that no template has count as noise. The scatter of the peaks of the three best templates is added in
    quadrature. The error does not include an offset of the templates' own wavelengths, which is the same for
    all stars (some 0.3 km/s if the line list is as wrong as in the benchmark survey).

    Parameters
    ----------
    wavelength, flux : (n_pixels,) array
        A, and flux of a continuum of roughly 1.
    mask : (n_pixels,) array of bool
        True where a pixel is lost.
    template : tuple
        Result of :func:`templates`.
    limit : float, km/s
        Velocities from -limit to limit are searched.
    known : float, km/s, optional
        The velocity if known; then only the best template at this velocity is searched for.

    Returns
    -------
    Velocity
        Its error is 0 if it was known.
    """
    grid, models, label, correlators = template
    good = ~mask & np.isfinite(flux)
    on_grid = operators.combine(grid, [wavelength], [np.where(good, flux, np.nan)], [np.ones(len(flux))])[0]
    n_lags = int(np.ceil(limit / VELOCITY_STEP)) + 1
    if n_lags not in correlators:
        correlators[n_lags] = operators.Correlator(models, n_lags)
    with np.errstate(all="ignore"):
        coefficients = correlators[n_lags](on_grid)[0]
    rows = np.arange(len(models))
    if known is not None:
        lag = round(operators.C_KMS * np.arctanh(known / operators.C_KMS) / VELOCITY_STEP) + n_lags
        best = int(np.argmax(coefficients[:, lag]))
        return Velocity(float(known), 0.0, float(coefficients[best, lag]), best)
    peak = np.argmax(coefficients[:, 1:-1], axis=1) + 1
    left, top, right = (coefficients[rows, peak + d] for d in (-1, 0, 1))
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
