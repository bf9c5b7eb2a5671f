"""Fill the missing pixels of a spectrum with the values that the emulator predicts.

The preparation bridges lost pixels by straight lines, which cut off the lines of the star. With an estimate of the
parameters, the emulator knows these lines. Then the residual of the spectrum is bridged instead of the flux, and the
estimate is repeated.
"""

from __future__ import annotations

import numpy as np

from ..spectra import operators
from ..spectra.operators import window_grid

__all__ = ["fill", "lost_pixels"]


ROUNDS = 3  # of estimate and filling


def lost_pixels(exposures, report, config):
    """Find the pixels of a prepared spectrum that were bridged because no exposure has them.

    Parameters
    ----------
    exposures : sequence of Spectrum
        As given to :func:`dtl_core.preparing.chain.prepare`.
    report : dtl_core.preparing.chain.Report
        Report of this call.
    config : Config

    Returns
    -------
    (n_pixels,) array of bool
        True for lost pixels of the window, and for those beyond the data. Rejected cosmic rays are not among them, nor
        are pixels of exposures that were aligned without their barycentric corrections.
    """
    grid = window_grid(config.window, margin=False)
    several, lost = len(exposures) > 1, np.ones(len(grid), bool)
    if several and not np.isfinite(report.radial_velocity):
        return ~lost
    for one in exposures:
        one = one.in_frame("barycentric") if several else one  # that of the sum
        velocity = report.radial_velocity if several else report.velocity
        missing = one.mask | one.telluric if config.chain.tellurics == "mask" else one.mask
        rest = operators.doppler_shift(one.wavelength, -velocity)
        lost &= np.interp(grid, rest, missing.astype(float), left=1.0, right=1.0) > 0
    return lost


def fill(specialist, flux, lost):
    """Fill lost pixels of a prepared spectrum.

    Parameters
    ----------
    specialist : dtl_core.models.specialist.Specialist
    flux : (n_pixels,) array
        Flux in the window.
    lost : (n_pixels,) array of bool

    Returns
    -------
    (n_pixels,) array of float32
        Unchanged where nothing is lost.
    """
    if not lost.any() or lost.all():
        return flux
    grid, filled = window_grid(specialist.config.window, margin=False), flux
    for _ in range(ROUNDS):
        found = specialist.predict(specialist.input(filled))
        expected = specialist.reconstruct(found)[0]
        expected = np.interp(grid, specialist.wavelength, expected)
        residual = np.interp(grid, grid[~lost], (flux - expected)[~lost])
        filled = np.where(lost, expected + residual, flux).astype(np.float32)
    return filled
