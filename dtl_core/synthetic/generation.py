"""The source domain: interpolation in a library of model spectra, and the set of synthetic spectra.

The embedded library is a C3K/Turbospectrum substitute for PHOENIX-ACES (see the book's page on data).
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from ..errors import DataError
from ..spectra import operators
from .label_grid import label_grid
from .libraries import source_library
from .physics import draw_physics, log_change

__all__ = [
    "axes_of",
    "expand",
    "from_space",
    "interpolation_weights",
    "model_spectra",
    "network_spectra",
    "physics_set",
    "spectra_of",
    "synthetic_set",
    "to_space",
]


N_PHYSICS = 3  # draws of the physics for each label
VELOCITY_STEP = 0.3  # km/s, ten pixels per resolution element at R = 94,600


def interpolation_weights(axis, values, method):
    """Weights of the nodes along one axis of the grid.

    Parameters
    ----------
    axis : (n_axis,) array
        Nodes, ascending.
    values : (n_values,) array
        Where to interpolate.
    method : {"cubic", "linear"}
        As for :func:`expand`.

    Returns
    -------
    (n_values, n_axis) array
    """
    if method == "linear":
        return np.stack([np.interp(values, axis, unit) for unit in np.eye(len(axis))], axis=1)
    if len(axis) > 3:
        return CubicSpline(axis, np.eye(len(axis)))(values)
    return operators.lagrange_weights(axis, values)


def axes_of(library):
    """Nodes of a library along each axis of its grid: parameter -> array."""
    return {"teff": library.teff, "logg": library.logg, "mh": library.mh}


def expand(library, labels, method="cubic"):
    """Interpolate grid spectra to labels, pixel by pixel.

    ``cubic`` interpolates ln(flux) with a cubic spline along each axis, or with the polynomial through all nodes of an
    axis that has fewer than four (a parabola in log g of the embedded grid). Against 48 spectra computed exactly, the
    median error is 2e-4 and the largest 1e-3.

    ``linear`` interpolates the flux multilinearly between the eight nodes around the label, as the paper does with
    pyterpol, which interpolates intensities and not their logarithm (``interpolate_block``, two nodes per axis). The
    flux of each node has a mean of 1 here, so that the hotter of two nodes does not outweigh the cooler. For the error
    see :func:`dtl_core.synthetic.interpolation.interpolation_error`.

    Parameters
    ----------
    library : Library
        On a grid with at least one node along each axis.
    labels : (n, 3) array
        Teff [K], log g, [M/H], inside the grid.
    method : {"cubic", "linear"}

    Returns
    -------
    (n, n_pixels) array
        Flux on ``library.wavelength``.

    Raises
    ------
    DataError
        A label is outside the grid, or the method is unknown.

    Examples
    --------
    >>> from dtl_core.synthetic.generation import expand
    >>> from dtl_core.synthetic.libraries import load_library
    >>> library = load_library("grid_a")
    >>> expand(library, [[3300.0, 4.9, 0.1]]).shape[1] == len(library.wavelength)
    True
    """
    labels = np.atleast_2d(labels)
    for column, (name, axis) in enumerate(axes_of(library).items()):
        low, high = labels[:, column].min(), labels[:, column].max()
        if low < axis[0] - 1e-9 or high > axis[-1] + 1e-9:
            raise DataError(
                f"{low:g} to {high:g} leaves the library's {axis[0]:g} to {axis[-1]:g}",
                field=name,
                remedy="narrow the labels",
            )
    data = to_space(library, method).reshape(len(library.teff), len(library.logg) * len(library.mh), -1)
    out = np.empty((len(labels), data.shape[-1]))
    teff, back = np.unique(labels[:, 0], return_inverse=True)
    along_teff = np.tensordot(interpolation_weights(library.teff, teff, method), data, axes=1)
    for k in range(len(teff)):
        rows = np.flatnonzero(back == k)
        g = interpolation_weights(library.logg, labels[rows, 1], method)
        m = interpolation_weights(library.mh, labels[rows, 2], method)
        out[rows] = (g[:, :, None] * m[:, None, :]).reshape(len(rows), -1) @ along_teff[k]
    return from_space(out, method)


def to_space(library, method):
    """The quantity that a method interpolates, of all nodes: the logarithm of the flux or the flux.

    Parameters
    ----------
    library : Library
    method : {"cubic", "linear"}

    Returns
    -------
    ndarray

    Raises
    ------
    DataError
        The method is unknown.
    """
    if method not in ("cubic", "linear"):
        raise DataError(f"unknown method {method!r}", field="interpolation", remedy="choose linear or cubic")
    return library.log_flux if method == "cubic" else library.flux


def from_space(values, method):
    """Flux of interpolated values, the inverse of :func:`to_space`."""
    return np.exp(values) if method == "cubic" else values


def model_spectra(wavelength, flux, vsini, window, *, limb_darkening=0.6):
    """Broaden model spectra to instrument and rotation and resample them to the window's grid, with its margin.

    Parameters
    ----------
    wavelength : (m,) array, vacuum A
    flux : (n_spectra, m) array
    vsini : (n_spectra,) array, km/s
    window : WindowConfig
    limb_darkening : float
        Linear coefficient, from 0 to 1.

    Returns
    -------
    (n_spectra, n_pixels) array
        Flux on ``window_grid(window)``, not normalised.
    """
    grid = operators.log_grid(wavelength[0], wavelength[-1], VELOCITY_STEP)
    operator = operators.resample_operator(grid, operators.window_grid(window))
    raw = operators.resample(wavelength, flux, grid, "spline")
    return (operator @ operators.broaden(raw, VELOCITY_STEP, window.resolving_power, vsini, limb_darkening).T).T


def network_spectra(wavelength, flux, vsini, window, continuum, *, limb_darkening=0.6):
    """Convert model spectra to the input of the networks: broadened, continuum = 1, on the window without its margin.

    Parameters
    ----------
    wavelength : (m,) array, vacuum A
    flux : (n_spectra, m) array
    vsini : (n_spectra,) array, km/s
    window : WindowConfig
    continuum : ContinuumConfig
    limb_darkening : float
        Linear coefficient, from 0 to 1.

    Returns
    -------
    (n_spectra, n_pixels) array
        Flux on ``window_grid(window, margin=False)``.
    """
    grid = operators.window_grid(window)
    inner = slice(round(window.margin / window.step), -round(window.margin / window.step))
    broad = model_spectra(wavelength, flux, vsini, window, limb_darkening=limb_darkening)
    return operators.normalise(grid, broad, continuum)[:, inner]


def spectra_of(config, labels, *, physics=None, library=None, chunk=512, progress=None):
    """Synthetic spectra of given labels, as the networks see them.

    Parameters
    ----------
    config : Config
    labels : (n, 4) array
        Teff [K], log g, [M/H], v sin i [km/s], inside the library.
    physics : dict of str to (n,) array, optional
        Nuisances of each spectrum, see :mod:`dtl_core.synthetic.physics`; by default the physics of the library.
    library : Library, optional
        By default that of the configuration.
    chunk : int
        Spectra computed together.
    progress : callable, optional
        Called with the number of spectra done since the last call.

    Returns
    -------
    (n, n_pixels) array of float32
        Continuum = 1, on ``window_grid(config.window, margin=False)``.
    """
    library = source_library(config) if library is None else library
    settings, window = config.synthetic, config.window
    flux = np.empty((len(labels), len(operators.window_grid(window, margin=False))), np.float32)
    for start in range(0, len(labels), chunk):
        rows = slice(start, min(start + chunk, len(labels)))
        raw = expand(library, labels[rows, :3], settings.interpolation)
        if physics is not None:
            own = {name: values[rows] for name, values in physics.items()}
            raw = raw * np.exp(log_change(labels[rows], own, library.wavelength))
        flux[rows] = network_spectra(
            library.wavelength, raw, labels[rows, 3], window, config.continuum, limb_darkening=settings.limb_darkening
        )
        if progress:
            progress(rows.stop - rows.start)
    return flux


def physics_set(config, labels, *, draws=N_PHYSICS, progress=None):
    """Spectra of given labels with physics drawn at random, for the training of networks.

    Parameters
    ----------
    config : Config
    labels : (n, 4) array
    draws : int
        Draws of the physics for each label.
    progress : callable, optional
        As for :func:`spectra_of`.

    Returns
    -------
    (draws, n, n_pixels) array of float32
        In pixels of about 0.03 A, see :func:`dtl_core.spectra.operators.binned`.
    """
    rng, step = np.random.default_rng([config.seed, 2]), config.window.step
    physics = [draw_physics(len(labels), rng) for _ in range(draws)]
    spectra = (spectra_of(config, labels, physics=drawn, progress=progress) for drawn in physics)
    return np.stack([operators.binned(flux, step) for flux in spectra])


def synthetic_set(config, *, chunk=512, progress=None):
    """Generate the synthetic spectra of a run.

    Parameters
    ----------
    config : Config
    chunk : int
        Spectra computed together.
    progress : callable, optional
        Called with the number of spectra done since the last call.

    Returns
    -------
    flux : (n_spectra, n_pixels) array of float32
        Continuum = 1, on ``window_grid(config.window, margin=False)``.
    labels : (n_spectra, 4) array
        Teff [K], log g, [M/H], v sin i [km/s].

    Examples
    --------
    >>> from dtl_core.config import load_profile
    >>> from dtl_core.synthetic.generation import synthetic_set
    >>> flux, labels = synthetic_set(load_profile("demo", {"synthetic.n_spectra": 50}))
    >>> flux.shape, labels.shape
    ((50, 3501), (50, 4))
    """
    settings = config.synthetic
    combinations = label_grid(settings)
    n_grid = len(combinations) * len(settings.vsini)
    rng = np.random.default_rng([config.seed, 1])
    n = min(settings.n_spectra, n_grid)
    chosen = np.sort(rng.choice(n_grid, n, replace=False))
    index, rotation = np.divmod(chosen, len(settings.vsini))
    labels = np.column_stack([combinations[index], np.asarray(settings.vsini)[rotation]])
    return spectra_of(config, labels, chunk=chunk, progress=progress), labels
