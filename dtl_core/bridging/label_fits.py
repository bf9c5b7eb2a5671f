"""Classical fits of the labels: chi-square over synthetic spectra, and least squares with an emulator."""

from __future__ import annotations

import numpy as np

from ..arrays import gradient, library, lower_median, no_gradients, softmax
from ..spectra.operators import C_KMS
from .spectrum_model import plane_terms

__all__ = ["fit_labels", "grid_labels"]


def _continuum(xp, n_pixels, degree):
    x = xp.linspace(-1, 1, n_pixels, dtype=xp.float32)
    return xp.stack([xp.cos(k * xp.arccos(x)) for k in range(degree + 1)])  # Chebyshev


def grid_labels(flux, synthetic, labels, *, wavelength, degree=2, velocities=(-1, -0.5, 0, 0.5, 1), elements=None):
    """Estimate labels by chi-square over all synthetic spectra, with free continuum and velocity.

    Each synthetic spectrum is multiplied by a polynomial, whose best coefficients are solved for at every velocity. The
    labels are the mean over all synthetic spectra with weights exp(-(chi^2 - min chi^2) / 2), which resolves less than
    the steps of a grid. The errors of the pixels are such that the best fit has a reduced chi-square of 1.

    Parameters
    ----------
    flux : array of shape (m, n_pixels)
        Observed spectra.
    synthetic : array of shape (n, n_pixels)
    labels : array of shape (n, 4)
    wavelength : array of shape (n_pixels,), A
    degree : int
        Of the polynomial.
    velocities : sequence of float, km/s
    elements : float, optional
        Number of independent pixels; by default n_pixels / 9.

    Returns
    -------
    labels : array of shape (m, 4)
    rms : array of shape (m,)
        Residual of the best fit.

    References
    ----------
    Passegger et al. (2019, A&A 627, A161), who fit PHOENIX spectra by chi-square.
    """
    xp = library(synthetic)
    # doubles, because chi-square is a small difference of large sums
    flux, synthetic, labels = (xp.asarray(np.asarray(v), dtype=xp.float64) for v in (flux, synthetic, labels))
    pixels = flux.shape[1]
    basis = xp.asarray(_continuum(xp, pixels, degree), dtype=xp.float64)
    best = xp.full((len(flux), len(synthetic)), np.inf, dtype=xp.float64)
    pairs = basis[:, None] * basis[None]
    inverse = xp.linalg.inv(xp.einsum("nk,ijk->nij", xp.square(synthetic), pairs))
    for velocity in velocities:
        rest = xp.asarray(_shifted(np.asarray(wavelength), np.asarray(flux), velocity))
        right = xp.stack([synthetic @ (rest * each).T for each in basis])  # degree + 1, n, m
        explained = xp.einsum("inm,nij,jnm->mn", right, inverse, right)
        best = xp.minimum(best, xp.square(rest).sum(1)[:, None] - explained)
    best = xp.maximum(best, 1e-12 * xp.square(flux).sum(1)[:, None])
    least = xp.amin(best, axis=1)[:, None]
    weight = softmax(-0.5 * (elements or pixels / 9) * (best / least - 1))
    return np.asarray(weight @ labels), np.asarray(xp.sqrt(least[:, 0] / pixels))


def _shifted(wavelength, flux, velocity):
    """Shift observed spectra by a velocity, km/s."""
    from scipy.interpolate import CubicSpline

    if not velocity:
        return flux
    return CubicSpline(wavelength, flux, axis=1)(wavelength * (1 + velocity / C_KMS))


def fit_labels(emulator, flux, wavelength, start, *, degree=2, steps=25, weight=None, limit=3.0, tolerance=1e-5):
    """Estimate labels by a least-squares fit with an emulator, with free continuum and velocity.

    All stars are fitted together with the Levenberg-Marquardt method. Residuals larger than ``limit`` times the scatter
    of a star are down-weighted (Huber 1964), so that filled-in or additional lines do not bias the labels. log g is
    weakly tied to the values that the synthetic spectra have at a given Teff and [M/H].

    Parameters
    ----------
    emulator : dtl_core.bridging.spectrum_model.SpectrumModel
        Its arrays decide whether NumPy or PyTorch computes the fit.
    flux : array of shape (m, n_pixels)
        Observed spectra.
    wavelength : array of shape (n_pixels,), A
    start : array of shape (m, 4)
        Initial labels.
    degree : int
        Of the polynomial that multiplies the emulated spectrum.
    steps : int
        Largest number of iterations.
    weight : array of shape (n_pixels,), optional
        Weights of the squared residuals.
    limit : float
    tolerance : float
        The fit of a star has converged when a step changes its scaled labels by less than this.

    Returns
    -------
    labels : array of shape (m, 4)
        Within the range of the emulator.
    rms : array of shape (m,)
        Residual.
    """
    xp = library(emulator.mean)
    flux, wavelength, start = (xp.asarray(np.asarray(v), dtype=xp.float32) for v in (flux, wavelength, start))
    basis = _continuum(xp, flux.shape[1], degree)

    def full(*shape, value):
        return xp.full(shape, value, dtype=xp.float32)

    root = full(flux.shape[1], value=1.0)
    if weight is not None:
        root = xp.sqrt(xp.asarray(weight, dtype=xp.float32))
    x = xp.clip(emulator.scaled(start), 0.02, 0.98)
    at_rest, ones = full(len(x), 1, value=0.0), full(len(x), 1, value=1.0)
    theta = xp.concatenate([x, at_rest, ones, full(len(x), degree, value=0.0)], axis=1)

    plane, about = emulator.plane, emulator.about_plane
    step = (wavelength[1] - wavelength[0]).item()

    def model(theta, prior, slopes=False):
        """Spectra of scaled labels, velocity [km/s] and coefficients, with the distance of log g from its plane as an
        additional pixel: (m, n_pixels + 1). With ``slopes`` also the derivatives (m, n_theta, n_pixels + 1).
        """
        x, velocity, continuum = theta[:, :4], theta[:, 4:5], theta[:, 5:] @ basis * root
        spectrum, along = emulator.with_slopes(x) if slopes else (emulator.from_scaled(x), None)
        off = (x[:, 1] - plane_terms(x) @ plane) / about
        shift = wavelength / C_KMS

        def moved(flux, velocity):
            return flux - gradient(flux, step) * shift * velocity

        seen = moved(spectrum, velocity)
        out = xp.concatenate([seen * continuum, (prior * off)[:, None]], axis=1)
        if not slopes:
            return out
        t, m, none = x[:, 0], x[:, 2], xp.zeros_like(x[:, 0])
        along_t, along_m = plane[1] + 2 * plane[3] * t + plane[4] * m, plane[2] + plane[4] * t + 2 * plane[5] * m
        pixels = [
            moved(along, velocity[:, None]) * continuum[:, None],
            (moved(spectrum, 1.0) - spectrum)[:, None] * continuum[:, None],
            seen[:, None] * (basis * root),
        ]
        last = full(len(x), theta.shape[1], value=0.0)
        last[:, :4] = xp.stack([-along_t, none + 1, -along_m, none], axis=1) * (prior / about)[:, None]
        return out, xp.concatenate([xp.concatenate(pixels, axis=1), last[..., None]], axis=2)

    flux = xp.concatenate([flux * root, at_rest], axis=1)
    with no_gradients(flux):  # each star separately: its labels must not depend on the others
        first = flux - model(theta, at_rest[:, 0])
        prior = 3 * 1.4826 * lower_median(xp.abs(first))[:, 0]
        residual = flux - model(theta, prior)
        damping = full(len(x), 1, 1, value=1e-2)
        identity = xp.eye(theta.shape[1], dtype=xp.float32)
        rows = xp.arange(len(x))  # of the stars that have not converged
        for _ in range(steps):
            here, left, about_plane = theta[rows], residual[rows], prior[rows]
            scatter = 1.4826 * lower_median(xp.abs(left)) + 1e-6
            trust = xp.clip(limit * scatter / xp.clip(xp.abs(left), 1e-9, None), None, 1.0)
            slopes = model(here, about_plane, slopes=True)[1]
            weighted = slopes * trust[:, None]
            normal = weighted @ xp.swapaxes(slopes, 1, 2)
            damped = normal + damping[rows] * ((normal + 1e-8) * identity)
            trial = here + xp.linalg.solve(damped, weighted @ left[..., None])[..., 0]
            trial[:, :4] = xp.clip(trial[:, :4], 0, 1)
            trial[:, 3] = xp.clip(trial[:, 3], 0.02, None)  # the derivative vanishes at 0, so no step would leave it
            trial[:, 4] = xp.clip(trial[:, 4], -3, 3)
            new = flux[rows] - model(trial, about_plane)
            better = (trust * xp.square(new)).sum(1) < (trust * xp.square(left)).sum(1)
            theta[rows] = xp.where(better[:, None], trial, here)
            residual[rows] = xp.where(better[:, None], new, left)
            eased = xp.where(better[:, None, None], damping[rows] / 4, damping[rows] * 6)
            damping[rows] = xp.clip(eased, 1e-6, 1e6)
            rows = rows[xp.amax(xp.abs((trial - here)[:, :5]), axis=1) > tolerance]
            if not len(rows):
                break
        rms = xp.sqrt(xp.square(residual[:, :-1]).mean(1))  # of the pixels, not of log g
        return np.asarray(emulator.unscaled(theta[:, :4])), np.asarray(rms)
