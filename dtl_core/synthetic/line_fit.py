"""Learn the corrections of a library's lines from real stars.

One fit has all unknowns: the corrections, which the stars share, and the parameters of each star, with priors from
published values. A star whose parameters are not known has broad priors; what the fit finds for it is then a
measurement in which the uncertainty of the corrections is marginalised. The posterior is approximated as Gaussian
around its maximum (Gauss-Newton, with steps that are halved until the posterior grows).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import scipy.linalg
import scipy.sparse as sp

from ..errors import DataError
from ..parameters import PARAMETERS
from ..spectra import operators
from . import generation
from .label_grid import main_sequence_logg
from .libraries import load_library
from .line_corrections import MH_SLOPE, SPACING, TEFF_SLOPE, LineCorrections, smooth_basis
from .physics import log_change

__all__ = ["FittedStar", "fit_lines"]


# Chosen by the evidence of the fit: strength among 0.18, 0.25, 0.4, depth among 0.03, 0.05, 0.1, errors 0.003 to 0.01.
STRENGTH = 0.25  # standard deviation of ln of the factor of optical depth
ADDED = 0.05  # of the optical depth that is added
NOISE, MODEL_ERROR, MODEL_LENGTH = 0.003, 0.005, 0.1  # of a pixel; of the model, and its correlation length in A
SHARED = {"tio": (0.0, 0.3), "feh": (0.0, 0.3), "atoms": (0.0, 0.15), "unsold": (0.3, 0.3)}  # mean and deviation
OWN = {"alpha": (0.03, 0.1)}  # nuisances that each star has for itself
BROAD = {"teff": (3350.0, 300.0), "logg": (4.95, 0.09), "mh": (-0.2, 0.4)}  # log g: around the main sequence
STEPS = np.array([20.0, 0.05, 0.05])  # for numerical derivatives; of nuisances 0.05
N_CONTINUUM = 5  # Chebyshev coefficients
ROUNDS, SMALL = 20, 1.0  # at most so many steps; a change of -2 ln(posterior) that ends the fit
SHORTEST = 0.01  # share of a step


@dataclass
class FittedStar:
    """A spectrum, and what is known of its star.

    Attributes
    ----------
    name : str
    flux : (n_pixels,) array
        Continuum = 1, in pixels of about 0.03 A.
    snr : float
        Per pixel; NaN if unknown.
    vsini : float, km/s
    labels, errors : dict of str to float
        Of ``teff``, ``logg``, ``mh``; those left out are unknown.
    lost : (n_pixels,) array of bool, optional
        Pixels that say nothing about the star, as those under telluric lines.
    """

    name: str
    flux: np.ndarray
    snr: float
    vsini: float
    labels: dict = field(default_factory=dict)
    errors: dict = field(default_factory=dict)
    lost: np.ndarray | None = None


def _is_known(star):
    return {"teff", "mh"} <= set(star.labels)


@functools.lru_cache(maxsize=8)
def _broadening(window, vsini):
    """Sparse operator (n_pixels, n_library_pixels): instrument, rotation and resampling."""
    wavelength = load_library("grid_a").wavelength
    units, edge = np.eye(len(wavelength)), round(window.margin / window.step)
    broad = generation.model_spectra(wavelength, units, np.full(len(units), vsini), window)
    matrix = operators.binned(broad[:, edge:-edge], window.step).T
    matrix[np.abs(matrix) < 1e-7] = 0
    return sp.csr_array(matrix)


class _Model:
    """Spectra of stars and their derivatives, for a window and a resolving power."""

    def __init__(self, config):
        window = config.window
        self.library, self.window = load_library("grid_a"), window
        self.wavelength, self.step = self.library.wavelength, window.step
        self.knots = np.arange(self.wavelength[0], self.wavelength[-1], SPACING)
        self.basis = smooth_basis(self.wavelength, self.knots)
        self.log_norm, self.log_flux = np.log(self.library.norm), self.library.log_flux
        axes = [self.library.teff, self.library.logg, self.library.mh]
        self.low, self.high = (np.array([axis[end] for axis in axes]) for end in (0, -1))
        self.grid = operators.binned(operators.window_grid(window, margin=False), self.step)
        self.shape = np.polynomial.chebyshev.chebvander(np.linspace(-1, 1, len(self.grid)), N_CONTINUUM - 1)
        distance = (self.grid[:, None] - self.grid) / MODEL_LENGTH
        self.model_error = MODEL_ERROR**2 * np.exp(-0.5 * distance**2)

    def depth(self, labels, physics):
        """Optical depth of a star's lines before the corrections, and ln of its continuum, on the library's pixels."""
        axes = self.library.teff, self.library.logg, self.library.mh
        along = (generation.interpolation_weights(axis, labels[k : k + 1], "cubic")[0] for k, axis in enumerate(axes))
        weight = np.einsum("i,j,k->ijk", *along).ravel()
        change = log_change([labels], {name: np.array([value]) for name, value in physics.items()})[0]
        norm = weight @ self.log_norm
        return -(norm + change), weight @ self.log_flux - norm


class _Star:
    """A star of the fit: its data, its unknowns (Teff, log g, [M/H], own nuisances) and their priors."""

    def __init__(self, star, model):
        self.star, self.model, self.broaden = star, model, _broadening(model.window, star.vsini)
        names = PARAMETERS[:3]
        centre = [star.labels.get(name, BROAD[name][0]) for name in names] + [mean for mean, _ in OWN.values()]
        width = [star.errors.get(name, BROAD[name][1]) for name in names] + [spread for _, spread in OWN.values()]
        self.centre, self.width = np.array(centre), np.array(width)
        self.related = "logg" not in star.labels  # its log g follows the main sequence
        self.start = np.array(centre)
        noise = np.hypot(NOISE, 0 if np.isnan(star.snr) else 1 / star.snr)
        self.used = np.ones(len(star.flux), bool) if star.lost is None else ~star.lost
        variance = np.where(self.used, noise**2, 1.0)
        covariance = model.model_error + np.diag(variance)
        self.whiten = np.linalg.inv(np.linalg.cholesky(covariance))

    def clipped(self, x):
        """The unknowns, with labels inside the library."""
        return np.r_[np.clip(x[:3], self.model.low, self.model.high), x[3:]]

    def spectrum(self, x, shared, factor, added):
        """Model spectrum (n_pixels,) without the star's continuum, flux and depth on the library's pixels."""
        x = self.clipped(x)
        depth, level = self.model.depth(x[:3], dict(zip(OWN, x[3:], strict=True)) | shared)
        fine = np.exp(level - (depth * factor + added))
        return self.broaden @ fine, fine, depth

    def residual(self, x, *fields):
        """Observed minus model (n_pixels,), after the best continuum, and that continuum."""
        flux = self.spectrum(x, *fields)[0]
        columns = self.model.shape * flux[:, None]
        weights = np.linalg.lstsq(self.whiten @ columns, self.whiten @ self.star.flux, rcond=None)[0]
        return self.star.flux - columns @ weights, self.model.shape @ weights

    def found(self, x, errors, *fields):
        """Row of the table of the fitted stars."""
        row = {"star": self.star.name, "known": _is_known(self.star)}
        for name, value, error in zip((*PARAMETERS[:3], *OWN), x, errors, strict=True):
            row |= {name: value, f"e_{name}": error}
        return row | {"rms": float(np.sqrt(np.mean(self.residual(x, *fields)[0][self.used] ** 2)))}

    def prior(self, x):
        """Departures from the priors in units of their width, and their derivatives."""
        departure, slope = (x - self.centre) / self.width, np.diag(1 / self.width)
        if self.related:
            departure[1] = (x[1] - main_sequence_logg(x[0], x[2])) / self.width[1]
            for k, step in ((0, STEPS[0]), (2, STEPS[2])):
                other = np.array(x)
                other[k] += step
                change = main_sequence_logg(other[0], other[2]) - main_sequence_logg(x[0], x[2])
                slope[1, k] = -change / step / self.width[1]
        return departure, slope

    def jacobian(self, x, shared, factor, added):
        """Whitened derivatives (n_pixels, n_unknowns) by coefficients, shared nuisances and own unknowns; residuals.

        The continuum is projected out.
        """
        flux, fine, depth = self.spectrum(x, shared, factor, added)
        residual, level = self.residual(x, shared, factor, added)
        scaled, basis = sp.diags_array(level) @ self.broaden, self.model.basis
        fields = [-(depth * factor) * fine * STRENGTH, -fine * ADDED]
        columns = [(scaled @ sp.diags_array(one) @ basis).toarray() for one in fields]
        for name, (_, spread) in SHARED.items():
            up, down = (self.spectrum(x, shared | {name: shared[name] + d}, factor, added)[0] for d in (0.05, -0.05))
            columns.append((level * (up - down) * spread / 0.1)[:, None])
        for k, step in enumerate((*STEPS, *(0.05 for _ in OWN))):
            up, down = np.array(x), np.array(x)
            up[k], down[k] = x[k] + step, x[k] - step
            up, down = self.clipped(up), self.clipped(down)
            change = self.spectrum(up, shared, factor, added)[0] - self.spectrum(down, shared, factor, added)[0]
            columns.append((level * change / (up - down)[k])[:, None])
        jacobian, residual = self.whiten @ np.hstack(columns), self.whiten @ residual
        continuum = np.linalg.qr(self.whiten @ (self.model.shape * flux[:, None]))[0]
        return jacobian - continuum @ (continuum.T @ jacobian), residual - continuum @ (continuum.T @ residual)


def fit_lines(stars, config, *, lines=True, draws=0, seed=0, progress=None):
    """Learn the corrections of the lines of ``grid_a`` from stars.

    Parameters
    ----------
    stars : sequence of FittedStar
        At least one has known labels.
    config : Config
        For window and resolving power, that of the spectra.
    lines : bool
        Whether the lines may change. If not, the stars are fitted with those of the library.
    draws : int
        Of the posterior of the corrections.
    seed : int
        Of the draws.
    progress : callable, optional
        Called after each step.

    Returns
    -------
    corrections : LineCorrections
    found : DataFrame
        One row per star: star, for each unknown p its value ``p`` and error ``e_p``, ``known`` (whether its Teff
        and [M/H] were), and ``rms``, of the residual.
    log_evidence : float
        Of the fit, up to a constant.

    Raises
    ------
    DataError
        No star has known labels, or a spectrum does not fit the window.
    """
    model = _Model(config)
    for star in stars:
        if len(star.flux) != len(model.grid):
            problem = f"has {len(star.flux)} pixels, the window has {len(model.grid)}"
            raise DataError(problem, field=star.name, remedy="prepare it with this configuration")
    if not any(_is_known(star) for star in stars):
        raise DataError("no star has known Teff and [M/H]", field="stars", remedy="give one that has")
    own, n, n_shared = [_Star(star, model) for star in stars], len(model.knots), len(SHARED)
    split = np.cumsum([n, n, n_shared, *(len(one.centre) for one in own)])
    means, widths = lines * np.array(list(SHARED.values())).T

    def fields(z):
        strength, added, shared = np.split(lines * z[: split[2]], split[:2])
        shared = dict(zip(SHARED, means + widths * shared, strict=True))
        return shared, np.exp(STRENGTH * (model.basis @ strength)), ADDED * (model.basis @ added)

    def badness(z):  # -2 ln(posterior)
        total, known = float(z[: split[2]] @ z[: split[2]]), fields(z)
        for one, x in zip(own, np.split(z, split[2:-1])[1:], strict=True):
            residual = one.whiten @ one.residual(x, *known)[0]
            total += residual @ residual + np.sum(one.prior(x)[0] ** 2)
        return total

    z = np.concatenate([np.zeros(split[2]), *(one.start for one in own)])
    now = badness(z)
    for _ in range(ROUNDS):
        curvature, slope = np.diag(np.r_[np.ones(split[2]), np.zeros(len(z) - split[2])]), np.zeros(len(z))
        slope[: split[2]] = -z[: split[2]]
        known = fields(z)
        for one, start, end in zip(own, split[2:-1], split[3:], strict=True):
            x, rows = z[start:end], np.r_[np.arange(split[2]), np.arange(start, end)]
            jacobian, residual = one.jacobian(x, *known)
            jacobian[:, : split[2]] *= lines
            curvature[np.ix_(rows, rows)] += jacobian.T @ jacobian
            slope[rows] += jacobian.T @ residual
            departure, derivative = one.prior(x)
            curvature[start:end, start:end] += derivative.T @ derivative
            slope[start:end] -= derivative.T @ departure
        step, share = scipy.linalg.solve(curvature, slope, assume_a="pos"), 1.0
        while share > SHORTEST:
            new = z + share * step
            for one, start, end in zip(own, split[2:-1], split[3:], strict=True):
                new[start:end] = one.clipped(new[start:end])
            if (after := badness(new)) < now:
                break
            share /= 2
        if share <= SHORTEST:
            break
        gained, z, now = now - after, new, after
        if progress:
            progress()
        if gained < SMALL:
            break
    errors, known = np.sqrt(np.diag(np.linalg.inv(curvature))), fields(z)
    rows = [
        one.found(z[start:end], errors[start:end], *known)
        for one, start, end in zip(own, split[2:-1], split[3:], strict=True)
    ]
    rng, lower = np.random.default_rng([seed, 51]), np.linalg.cholesky(curvature)
    noise = scipy.linalg.solve_triangular(lower, rng.standard_normal((len(z), draws)), trans="T", lower=True)
    strength, added, shared, _ = np.split(lines * np.vstack([z, z + noise.T]), split[:3], axis=1)
    slopes = np.vstack([np.zeros(2), rng.normal(0, (TEFF_SLOPE, MH_SLOPE), (draws, 2))])
    corrections = LineCorrections(
        model.knots,
        STRENGTH * strength,
        ADDED * added,
        dict(zip(SHARED, (means + widths * shared).T, strict=True)),
        slopes,
        {"stars": [star.name for star in stars], "library": "grid_a", "seed": seed},
    )
    scale = sum(np.linalg.slogdet(one.whiten)[1] - np.log(one.width).sum() for one in own)
    evidence = scale - 0.5 * now - np.log(np.diag(lower)).sum()
    return corrections, pd.DataFrame(rows), float(evidence)
