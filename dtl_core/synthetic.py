"""The source domain: label grid, interpolation of the embedded library, and the set of synthetic spectra.

The embedded library is a C3K/Turbospectrum stand-in for PHOENIX-ACES (see the data page of the book).
"""

from __future__ import annotations

import functools
import itertools
import json
from dataclasses import dataclass
from importlib import resources

import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline

from . import spectra
from .errors import DataError

__all__ = [
    "Library",
    "expand",
    "interpolation_difference",
    "interpolation_error",
    "is_main_sequence",
    "label_grid",
    "load_library",
    "main_sequence_logg",
    "model_spectra",
    "network_spectra",
    "source_library",
    "synthetic_set",
]

# Label combinations of the paper (phoenix_labels.npy) and of is_main_sequence on the paper's grid: how many in each, in
# both, in one only. The labels are not shipped; a test counts them again where they are at hand.
CUT_AGREEMENT = {"paper": 1767, "rule": 1808, "both": 1717, "only_rule": 91, "only_paper": 50}
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


def is_main_sequence(teff, logg, mh):
    """Which labels belong to a main-sequence star of some age: the paper's cut with PARSEC isochrones, as a rule.

    With t = (Teff - 3500 K) / 1000 K, m = [M/H], m' = min(m, 0.2), a label is kept if

        log g <= old       old = 4.864 - 0.089 u + 0.064 u^2 - 0.165 tanh((u + 0.142) / 0.478) - 0.137 m',
                           u = (1 - 0.096 m) t + 0.416 m
        log g >= old - s   s = 0.03 + 0.53 / (1 + exp((Teff - 2925 K + 245 K m) / 295 K))
        Teff >= T0         T0 = 2558 K - 570 K m' - 232 K exp(-(old - log g) / 0.09)

    and lies within half a step of the paper's outermost nodes: Teff 2325-4475 K, log g >= 4.7, [M/H] -1 to +0.6.
    We read ``old`` as the oldest isochrone, which shifts along Teff with [M/H] and is steepest where stars become fully
    convective; ``s`` as how far younger stars, still contracting, lie below it (hot ones no further than the tolerance,
    0.03); ``T0`` as the star of the lowest mass, 0.1 solar masses, which cools with age.

    The 19 coefficients were fitted to the label combinations that come with the paper (Mas-Buitrago et al. 2024, A&A
    687, A205, after Passegger et al. 2020, A&A 642, A22), which gives neither ages nor tolerance of its cut: on the
    paper's grid 1808 combinations are kept, 1717 of its 1767 and 91 others; 50 are missed (intersection over union
    0.924), and all but two of those 141 lie one step from the other set. Fitted to every second Teff, such a rule
    reaches 0.93 there and 0.905 on the Teff in between, one of 30 coefficients 0.945 and 0.906: more would fit noise.

    Arguments
    ---------
    teff : K;  logg, mh : dex;  arrays that broadcast

    Returns
    -------
    bool array
    """
    teff, logg, mh = np.broadcast_arrays(np.asarray(teff, float), logg, mh)
    t, low_mh = (teff - 3500) / 1000, np.minimum(mh, 0.2)
    u = (1 - 0.096 * mh) * t + 0.416 * mh
    old = 4.864 - 0.089 * u + 0.064 * u**2 - 0.165 * np.tanh((u + 0.142) / 0.478) - 0.137 * low_mh
    spread = 0.03 + 0.53 / (1 + np.exp((teff - 2925 + 245 * mh) / 295))
    coolest = 2558 - 570 * low_mh - 232 * np.exp(-(old - logg) / 0.09)
    inside = (teff > 2312.5) & (teff < 4487.5) & (logg > 4.65) & (mh > -1.05) & (mh < 0.65)
    return inside & (logg <= old) & (logg >= old - spread) & (teff >= coolest)


def label_grid(config):
    """Main-sequence label combinations of a ``SyntheticConfig``: (n, 3) of Teff [K], log g, [M/H], sorted.

    ``config.main_sequence``: ``paper`` keeps what :func:`is_main_sequence` keeps, ``band`` what lies within
    ``main_sequence_width`` of :func:`main_sequence_logg`.

    Errors
    ------
    DataError : no combination is left.
    """
    teff = np.arange(config.teff_min, config.teff_max + 1e-6, config.teff_step)
    mh = np.arange(round((config.mh_max - config.mh_min) / config.mh_step) + 1) * config.mh_step + config.mh_min
    logg = np.arange(round(1.0 / config.logg_step) + 1) * config.logg_step + 4.5
    grid = np.stack(np.meshgrid(teff, logg, mh, indexing="ij"), axis=-1).reshape(-1, 3).round(6)
    if config.main_sequence == "band":
        near = np.abs(grid[:, 1] - main_sequence_logg(grid[:, 0], grid[:, 2])) <= config.main_sequence_width
    else:
        near = is_main_sequence(*grid.T)
    if not near.any():
        field, remedy = "main_sequence_width", "widen it"
        if config.main_sequence != "band":
            field, remedy = "main_sequence", "widen the ranges of Teff and [M/H], take finer steps or the band"
        raise DataError("no combination is left", field=f"synthetic.{field}", remedy=remedy)
    return grid[near]


def _weights(axis, values, method):
    """Interpolation weights (n_values, n_axis): linear in the data, so they are the interpolation of unit vectors."""
    if method == "linear":
        return np.stack([np.interp(values, axis, unit) for unit in np.eye(len(axis))], axis=1)
    if len(axis) > 3:
        return CubicSpline(axis, np.eye(len(axis)))(values)
    weights = np.ones((len(values), len(axis)))  # the Lagrange polynomial through all nodes
    for i, node in enumerate(axis):
        for j, other in enumerate(axis):
            if i != j:
                weights[:, i] *= (values - other) / (node - other)
    return weights


def _axes(library):
    return {"teff": library.teff, "logg": library.logg, "mh": library.mh}


def expand(library, labels, method="cubic"):
    """Interpolate grid spectra to labels, pixel by pixel.

    ``cubic``: ln(flux), a cubic spline along each axis, or the polynomial through all nodes of an axis that has fewer
    than four (log g of the embedded grid: a parabola). Median error 2e-4, largest 1e-3 against 48 spectra computed
    exactly.
    ``linear``: the flux, multilinear between the eight nodes around the label, as the paper does with pyterpol. The
    flux and not its logarithm, because pyterpol (``interpolate_block``, two nodes an axis) interpolates intensities;
    here each node's flux has a mean of 1, so that the hotter of two does not outweigh the cooler. How large the error
    is where: :func:`interpolation_error`.

    Arguments
    ---------
    library : Library on a grid, with at least one node along each axis
    labels : (n, 3) Teff [K], log g, [M/H], inside the grid
    method : ``cubic`` or ``linear``

    Returns
    -------
    (n, n_pixels) flux on ``library.wavelength``.

    Errors
    ------
    DataError : a label outside the grid, an unknown method.
    """
    labels = np.atleast_2d(labels)
    for column, (name, axis) in enumerate(_axes(library).items()):
        low, high = labels[:, column].min(), labels[:, column].max()
        if low < axis[0] - 1e-9 or high > axis[-1] + 1e-9:
            raise DataError(
                f"{low:g} to {high:g} leaves the library's {axis[0]:g} to {axis[-1]:g}",
                field=name,
                remedy="narrow the labels",
            )
    data = _to_space(library.flux, method).reshape(len(library.teff), len(library.logg) * len(library.mh), -1)
    out = np.empty((len(labels), data.shape[-1]))
    teff, back = np.unique(labels[:, 0], return_inverse=True)
    along_teff = np.tensordot(_weights(library.teff, teff, method), data, axes=1)
    for k in range(len(teff)):
        rows = np.flatnonzero(back == k)
        g = _weights(library.logg, labels[rows, 1], method)
        m = _weights(library.mh, labels[rows, 2], method)
        out[rows] = (g[:, :, None] * m[:, None, :]).reshape(len(rows), -1) @ along_teff[k]
    return _from_space(out, method)


def _to_space(flux, method):
    """What a method interpolates."""
    if method not in ("cubic", "linear"):
        raise DataError(f"unknown method {method!r}", field="interpolation", remedy="choose linear or cubic")
    return np.log(flux) if method == "cubic" else flux


def _from_space(values, method):
    return np.exp(values) if method == "cubic" else values


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


def network_spectra(wavelength, flux, vsini, window, continuum, *, limb_darkening=0.6):
    """Raw model spectra as the networks see them: broadened, continuum = 1, on the window without its margin.

    Arguments as of :func:`model_spectra`; continuum : ContinuumConfig.

    Returns
    -------
    (n_spectra, n_pixels) flux on ``window_grid(window, margin=False)``.
    """
    grid = spectra.window_grid(window)
    inner = slice(round(window.margin / window.step), -round(window.margin / window.step))
    broad = model_spectra(wavelength, flux, vsini, window, limb_darkening=limb_darkening)
    return spectra.normalise(grid, broad, continuum)[:, inner]


def source_library(config):
    """The library that ``synthetic.library`` names: the embedded grid, or PHOENIX-ACES from mirror or cache.

    Errors
    ------
    DataError : PHOENIX-ACES has not been fetched, or not all nodes of a rectangular grid.
    """
    if config.synthetic.library == "phoenix":
        from .phoenix import load_phoenix

        return load_phoenix()
    return load_library(config.synthetic.library)


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
    library = source_library(config)
    settings, window = config.synthetic, config.window
    combinations = label_grid(settings)
    n_grid = len(combinations) * len(settings.vsini)
    rng = np.random.default_rng([config.seed, 1])
    n = min(settings.n_spectra, n_grid)
    chosen = np.sort(rng.choice(n_grid, n, replace=False))
    index, rotation = np.divmod(chosen, len(settings.vsini))
    labels = np.column_stack([combinations[index], np.asarray(settings.vsini)[rotation]])
    flux = np.empty((n, len(spectra.window_grid(window, margin=False))), np.float32)
    for start in range(0, n, chunk):
        rows = slice(start, min(start + chunk, n))
        raw = expand(library, labels[rows, :3], settings.interpolation)
        flux[rows] = network_spectra(
            library.wavelength, raw, labels[rows, 3], window, config.continuum, limb_darkening=settings.limb_darkening
        )
        if progress:
            progress(rows.stop - rows.start)
    return flux, labels


def _by_region(teff, error, **columns):
    """Rows of a table, one a region of Teff: number of spectra, rms and largest absolute error of their pixels."""
    edges = [0, 3000, 3500, 4000, np.inf]
    names = ["< 3000", "3000-3500", "3500-4000", ">= 4000"]
    rows = []
    for name, low, high in zip(names, edges, edges[1:], strict=False):
        own = error[(teff >= low) & (teff < high)]
        if len(own):
            rms, largest = np.sqrt(np.mean(own**2)), np.abs(own).max()
            rows.append({**columns, "teff": name, "n": len(own), "rms": rms, "max": largest})
    return rows


def interpolation_error(library, methods=("linear", "cubic"), *, window, continuum, vsini=2.0):
    """How well a grid's nodes are predicted from the others, as the networks see them.

    Every node but the outermost is left out, along one axis at a time, so that its neighbours are two steps apart.
    At the grid's own spacing the error is smaller by 2^p, where it goes with the p-th power of the spacing: p = 2 for
    ``linear``, 4 for a cubic spline. Of three nodes (log g of the embedded grid) two are left, through which ``cubic``
    is a straight line in ln(flux), p = 2: an upper limit, since the whole grid has a parabola there.

    Arguments
    ---------
    library : Library on a grid
    methods : one or several of :func:`expand`'s
    window, continuum : WindowConfig, ContinuumConfig
    vsini : float, km/s

    Returns
    -------
    pandas.DataFrame: method; axis along which nodes are left out (``teff``, ``logg`` or ``mh``); teff (region, K); n
    (spectra); rms and max, the error measured at twice the spacing, continuum = 1; rms_scaled and max_scaled, divided
    by 2^p: the estimate at the grid's own spacing.
    """
    axes, methods = _axes(library), [methods] if isinstance(methods, str) else methods
    shape = *map(len, axes.values()), -1
    see = _as_seen(library, window, continuum, vsini)
    truth, teff = see(library.flux).reshape(shape), library.label[:, :1].reshape(shape)
    rows = []
    for method, (column, (name, axis)) in itertools.product(methods, enumerate(axes.items())):
        inner = range(1, len(axis) - 1)
        if not inner:
            continue
        values = _to_space(library.flux, method).reshape(shape)
        weights = [np.insert(_weights(np.delete(axis, i), axis[[i]], method)[0], i, 0.0) for i in inner]
        predicted = _from_space(np.tensordot(weights, np.moveaxis(values, column, 0), axes=1), method)
        known, region = (np.moveaxis(a, column, 0)[1:-1].reshape(-1, a.shape[-1]) for a in (truth, teff))
        error = see(predicted.reshape(len(known), -1)) - known
        power = 2 if method == "linear" else min(4, len(axis) - 1)
        for row in _by_region(region[:, 0], error, method=method, axis=name):
            rows.append(row | {f"{key}_scaled": row[key] / 2**power for key in ("rms", "max")})
    return pd.DataFrame(rows)


def interpolation_difference(library, *, window, continuum, vsini=2.0):
    """Linear minus cubic interpolation at the centres of a grid's cells: the error of ``linear`` where it is largest.

    Arguments as of :func:`interpolation_error`.

    Returns
    -------
    pandas.DataFrame: teff (region, K), n (cells), rms and max (difference, continuum = 1).
    """
    centres = [(axis[1:] + axis[:-1]) / 2 if len(axis) > 1 else axis for axis in _axes(library).values()]
    labels = np.stack(np.meshgrid(*centres, indexing="ij"), axis=-1).reshape(-1, 3)
    see = _as_seen(library, window, continuum, vsini)
    linear, cubic = (see(expand(library, labels, method)) for method in ("linear", "cubic"))
    return pd.DataFrame(_by_region(labels[:, 0], linear - cubic))


def _as_seen(library, window, continuum, vsini):
    return lambda flux: network_spectra(library.wavelength, flux, np.full(len(flux), vsini), window, continuum)
