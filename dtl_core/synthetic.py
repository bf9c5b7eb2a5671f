"""The source domain: label grid, interpolation of the embedded library, and the set of synthetic spectra.

The embedded library is a C3K/Turbospectrum stand-in for PHOENIX-ACES (see the data page of the book).
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources

import numpy as np
from scipy.interpolate import CubicSpline

from . import spectra
from .errors import DataError

__all__ = [
    "Library",
    "expand",
    "label_grid",
    "load_library",
    "main_sequence_logg",
    "model_spectra",
    "synthetic_set",
]

VELOCITY_STEP = 0.3  # km/s, ten pixels a resolution element at R = 94,600


@dataclass(frozen=True)
class Library:
    """Spectra on the nodes of a label grid, or of single stars, before any broadening.

    wavelength : (n_pixels,) vacuum A
    norm : (n_nodes, n_pixels) flux over the true continuum, > 0
    continuum : (n_nodes, n_pixels) continuum flux over the mean flux of the node
    teff, logg, mh : axes of the grid (empty for a survey), K, dex, dex
    label : (n_nodes, 3); population : (n_nodes,) of a survey, else empty
    """

    wavelength: np.ndarray
    norm: np.ndarray
    continuum: np.ndarray
    teff: np.ndarray
    logg: np.ndarray
    mh: np.ndarray
    label: np.ndarray
    population: np.ndarray
    meta: dict

    @property
    def flux(self):
        """(n_nodes, n_pixels) flux of mean 1."""
        return self.norm * self.continuum


@functools.cache
def load_library(name, path=None):
    """One of the two embedded libraries, ``grid_a`` (synthetic domain) or ``survey_b`` (stars of known labels).

    Fluxes are stored as unsigned 16-bit multiples of 2e-5 of the continuum: rounding costs at most 1e-5.

    Errors
    ------
    DataError : the file is missing, cut short or lacks an array.
    """
    source = path or resources.files("dtl_core") / "data" / "lte" / f"{name}.npz"
    remedy = "reinstall the package or rebuild it with tools/lte_library"
    try:
        with np.load(source, allow_pickle=False) as stored:
            data = {key: stored[key] for key in stored.files}
    except FileNotFoundError:
        raise DataError("not found", file=source, remedy=remedy) from None
    except Exception as error:  # zipfile, zlib and numpy each have their own for a broken file
        raise DataError(f"cannot be read ({type(error).__name__})", file=source, remedy=remedy) from None
    needed = ["wave_air", "norm_u16", "norm_scale", "cont", "cont_wave", "meta"]
    needed += ["teff", "logg", "mh"] if "label" not in data else ["label", "population"]
    for key in needed:
        if key not in data:
            raise DataError("is missing", file=source, field=key, remedy=remedy)
    air = data["wave_air"]
    norm = data["norm_u16"].reshape(-1, len(air)) * float(data["norm_scale"])
    level = data["cont"].reshape(len(norm), -1)
    level = CubicSpline(data["cont_wave"], level, axis=1)(air)
    level /= (norm * level).mean(axis=1, keepdims=True)
    axes = [data.get(key, np.empty(0)) for key in ("teff", "logg", "mh")]
    if "label" in data:
        label, population = data["label"], data["population"]
    else:
        label = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        population = np.empty(0, "U4")
    meta = json.loads(str(data["meta"]))
    return Library(spectra.air_to_vacuum(air), norm, level, *axes, label, population, meta)


def main_sequence_logg(teff, mh):
    """Surface gravity, dex, of a main-sequence M dwarf.

    log g = 4.78 - 0.105 t - 0.235 [M/H],  t = (Teff - 3500 K) / 500 K

    Fitted to the label combinations that the paper keeps after its cut with PARSEC isochrones (rms 0.08 dex there) and
    to the labels of the embedded survey (rms 0.05 dex); valid for 2600-4500 K, [M/H] -1 to +0.6.
    """
    return 4.78 - 0.105 * (np.asarray(teff) - 3500) / 500 - 0.235 * np.asarray(mh)


def label_grid(config):
    """Main-sequence label combinations of a ``SyntheticConfig``: (n, 3) of Teff [K], log g, [M/H], sorted."""
    teff = np.arange(config.teff_min, config.teff_max + 1e-6, config.teff_step)
    mh = np.arange(round((config.mh_max - config.mh_min) / config.mh_step) + 1) * config.mh_step + config.mh_min
    logg = np.arange(round(1.0 / config.logg_step) + 1) * config.logg_step + 4.5
    grid = np.stack(np.meshgrid(teff, logg, mh, indexing="ij"), axis=-1).reshape(-1, 3).round(6)
    near = np.abs(grid[:, 1] - main_sequence_logg(grid[:, 0], grid[:, 2])) <= config.main_sequence_width
    if not near.any():
        raise DataError("no combination is left", field="synthetic.main_sequence_width", remedy="widen it")
    return grid[near]


def _weights(axis, values, degree):
    """Interpolation weights (n_values, n_axis): linear in the data, so they are the interpolation of unit vectors."""
    if degree == 3:
        return CubicSpline(axis, np.eye(len(axis)))(values)
    weights = np.ones((len(values), len(axis)))  # the Lagrange polynomial through all nodes
    for i, node in enumerate(axis):
        for j, other in enumerate(axis):
            if i != j:
                weights[:, i] *= (values - other) / (node - other)
    return weights


def expand(library, labels):
    """Interpolate grid spectra to labels: ln(flux), cubic in Teff and [M/H], quadratic in log g.

    Arguments
    ---------
    library : Library on a grid
    labels : (n, 3) Teff [K], log g, [M/H], inside the grid

    Returns
    -------
    (n, n_pixels) flux on ``library.wavelength``. Median error 2e-4, largest 1e-3 against 48 spectra computed exactly.

    Errors
    ------
    DataError : a label outside the grid.
    """
    labels = np.atleast_2d(labels)
    axes = library.teff, library.logg, library.mh
    for column, (name, axis) in enumerate(zip(("teff", "logg", "mh"), axes, strict=True)):
        low, high = labels[:, column].min(), labels[:, column].max()
        if low < axis[0] - 1e-9 or high > axis[-1] + 1e-9:
            raise DataError(
                f"{low:g} to {high:g} leaves the library's {axis[0]:g} to {axis[-1]:g}",
                field=name,
                remedy="narrow the labels",
            )
    log_flux = np.log(library.flux).reshape(*map(len, axes), -1)
    out = np.empty((len(labels), log_flux.shape[-1]))
    teff, back = np.unique(labels[:, 0], return_inverse=True)
    along_teff = np.tensordot(_weights(axes[0], teff, 3), log_flux, axes=1)
    for k in range(len(teff)):
        rows = np.flatnonzero(back == k)
        g = _weights(axes[1], labels[rows, 1], 2)
        m = _weights(axes[2], labels[rows, 2], 3)
        both = (g[:, :, None] * m[:, None, :]).reshape(len(rows), -1)
        out[rows] = both @ along_teff[k].reshape(-1, out.shape[1])
    return np.exp(out)


def model_spectra(wavelength, flux, vsini, window, *, limb_darkening=0.6):
    """Broaden raw model spectra to instrument and rotation and put them on the window's grid, with its margin.

    Arguments
    ---------
    wavelength : (m,) vacuum A;  flux : (n_spectra, m)
    vsini : (n_spectra,) km/s
    window : WindowConfig

    Returns
    -------
    (n_spectra, n_pixels) flux, not normalised, on ``window_grid(window)``.
    """
    grid = spectra.log_grid(wavelength[0], wavelength[-1], VELOCITY_STEP)
    operator = spectra.resample_operator(grid, spectra.window_grid(window))
    raw = spectra.to_log_grid(wavelength, flux, grid)
    return (operator @ spectra.broaden(raw, VELOCITY_STEP, window.resolving_power, vsini, limb_darkening).T).T


def synthetic_set(config, *, chunk=512, progress=None):
    """The synthetic domain of a run.

    Arguments
    ---------
    config : Config
    progress : callable, optional, called with the number of spectra done since the last call

    Returns
    -------
    flux : (n_spectra, n_pixels) float32, continuum = 1, on ``window_grid(config.window, margin=False)``
    labels : (n_spectra, 4) Teff [K], log g, [M/H], v sin i [km/s]
    """
    library = load_library("grid_a")
    settings, window = config.synthetic, config.window
    combinations = label_grid(settings)
    n_grid = len(combinations) * len(settings.vsini)
    rng = np.random.default_rng([config.seed, 1])
    n = min(settings.n_spectra, n_grid)
    chosen = np.sort(rng.choice(n_grid, n, replace=False))
    index, rotation = np.divmod(chosen, len(settings.vsini))
    labels = np.column_stack([combinations[index], np.asarray(settings.vsini)[rotation]])
    grid = spectra.window_grid(window)
    inner = slice(round(window.margin / window.step), -round(window.margin / window.step))
    flux = np.empty((n, len(grid[inner])), np.float32)
    for start in range(0, n, chunk):
        rows = slice(start, min(start + chunk, n))
        raw = expand(library, labels[rows, :3])
        broad = model_spectra(library.wavelength, raw, labels[rows, 3], window, limb_darkening=settings.limb_darkening)
        flux[rows] = spectra.normalise(grid, broad, config.continuum)[:, inner]
        if progress:
            progress(rows.stop - rows.start)
    return flux, labels
