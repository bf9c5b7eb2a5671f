"""Libraries of model spectra: the two embedded ones, and PHOENIX-ACES from mirror or cache."""

from __future__ import annotations

import functools
import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..files import DATA, file_hash
from ..public_data import registry
from ..public_data.phoenix import AGAIN, file_name, read_phoenix
from ..spectra import operators

__all__ = ["EMBEDDED", "Library", "embedded_arrays", "library_hash", "load_library", "load_phoenix", "source_library"]


SURVEYS = ("survey_b", "survey_c_a", "survey_c_b")
EMBEDDED = ("grid_a", *SURVEYS, "sensitivities")


def library_hash(name):
    """SHA-256 of an embedded file.

    Parameters
    ----------
    name : str
        One of ``EMBEDDED``.

    Returns
    -------
    str
    """
    return file_hash(DATA / "lte" / f"{name}.npz")


# ---------------------------------------------------------------- the library


def load_phoenix(folder=None, *, teff=None, logg=None, mh=None):
    """Load spectra of PHOENIX-ACES as a library on a full grid.

    Parameters
    ----------
    folder : path, optional
        The cuts; by default ``phoenix/cut`` of mirror and cache.
    teff, logg, mh : (float, float), optional
        Lowest and highest label of the nodes to load, K, dex, dex.

    Returns
    -------
    Library
        ``norm`` is the flux over its mean and ``continuum`` is 1, because the continuum is not known separately.

    Raises
    ------
    DataError
        There are no spectra, a node is missing, an axis has fewer than two nodes, wavelengths differ, or a flux is not
        positive.
    """
    fetch = "dtl data fetch phoenix, with a range that holds it"
    spectra, common = {}, None
    for path in sorted(Path(folder).glob("lte*.fits")) if folder else registry.find_all("phoenix/cut/lte*.fits"):
        wavelength, flux, labels = read_phoenix(path)
        node = tuple(round(labels[name], 4) for name in ("teff", "logg", "mh"))
        if not all(r is None or r[0] <= v <= r[1] for r, v in zip((teff, logg, mh), node, strict=True)):
            continue
        common = wavelength if common is None else common
        if not np.array_equal(wavelength, common):
            raise DataError("has other wavelengths than the others", file=path, remedy="cut all to one window")
        if node in spectra or labels["alpha"]:
            raise DataError("is a second spectrum of its node", file=path, remedy="keep one file a node, [alpha/M] = 0")
        if not np.all(flux > 0):  # also refuses NaN
            raise DataError("is not positive everywhere", file=path, field="flux", remedy=AGAIN)
        spectra[node] = flux / flux.mean()
    axes = [np.array(sorted(values)) for values in map(set, zip(*spectra, strict=True))] or [np.empty(0)] * 3
    for name, axis in zip(("teff", "logg", "mh"), axes, strict=True):
        if len(axis) < 2:
            raise DataError(f"has {len(axis)} PHOENIX nodes, two are needed", file=folder, field=name, remedy=fetch)
    nodes = list(itertools.product(*(axis.tolist() for axis in axes)))
    holes = [node for node in nodes if node not in spectra]
    if holes:
        missing = f"{file_name(*holes[0])} is missing" + (f" and {len(holes) - 1} more" if holes[1:] else "")
        raise DataError(f"the grid has holes: {missing}", file=folder, remedy=fetch)
    norm = np.stack([spectra[node] for node in nodes])
    meta = {"library": "PHOENIX-ACES", "cite": "husser2013", "flux": "over its mean; the continuum is part of norm"}
    return Library(common, norm, np.ones_like(norm), *axes, np.array(nodes), np.empty(0, "U4"), meta)


@dataclass(frozen=True, eq=False)  # two are equal if they are the same object, so that results can be cached by library
class Library:
    """Spectra on the nodes of a label grid, or of single stars, before any broadening.

    Attributes
    ----------
    wavelength : (n_pixels,) array, vacuum A
    norm : (n_nodes, n_pixels) array
        Flux over the true continuum, positive.
    continuum : (n_nodes, n_pixels) array
        Continuum flux over the mean flux of the node.
    teff, logg, mh : arrays, K, dex, dex
        Axes of the grid; empty for a survey.
    label : (n_nodes, 3) array
    population : (n_nodes,) array of str
        Of a survey, else empty.
    physics : dict of str to (n_nodes,) array
        Of a survey of other physics: ``microturbulence`` [km/s] and ``alpha``, [alpha/M], of each star.
    meta : dict
        Origin of the library.
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
    physics: dict = field(default_factory=dict)

    @functools.cached_property
    def flux(self):
        """(n_nodes, n_pixels) flux of mean 1."""
        return self.norm * self.continuum

    @functools.cached_property
    def log_flux(self):
        """(n_nodes, n_pixels) natural logarithm of the flux."""
        return np.log(self.flux)


REMEDY = "reinstall the package or rebuild it with tools/lte_library"


def _require(data, names, source):
    """Raise a DataError unless a file's arrays have all of some names."""
    for key in names:
        if key not in data:
            raise DataError("is missing", file=source, field=key, remedy=REMEDY)


def embedded_arrays(source, names):
    """Read all arrays of an embedded file.

    Parameters
    ----------
    source : path
    names : sequence of str
        Arrays that it must have.

    Returns
    -------
    dict of str to array

    Raises
    ------
    DataError
        The file is missing or truncated, or lacks an array.
    """
    try:
        with np.load(source, allow_pickle=False) as stored:
            data = {key: stored[key] for key in stored.files}
    except FileNotFoundError:
        raise DataError("not found", file=source, remedy=REMEDY) from None
    except Exception as error:  # zipfile, zlib and numpy raise different errors for a broken file
        raise DataError(f"cannot be read ({type(error).__name__})", file=source, remedy=REMEDY) from None
    _require(data, names, source)
    return data


@functools.cache
def load_library(name, path=None):
    """Load one of the embedded libraries.

    Fluxes are stored as unsigned 16-bit multiples of 2e-5 of the continuum, or 1e-4 for the surveys of other physics:
    rounding errors are at most 1e-5 or 5e-5.

    Parameters
    ----------
    name : {"grid_a", "survey_b", "survey_c_a", "survey_c_b"}
        The synthetic domain; stars of known labels computed with another code; stars of other physics computed with
        either code, whose log g follows from mass and radius.
    path : path, optional
        Another file.

    Returns
    -------
    Library

    Raises
    ------
    DataError
        The file is missing or truncated, or lacks an array.

    Examples
    --------
    >>> from dtl_core.synthetic.libraries import load_library
    >>> library = load_library("grid_a")
    >>> library.logg
    array([4.5, 5. , 5.5])
    """
    source = path or DATA / "lte" / f"{name}.npz"
    data = embedded_arrays(source, ["wave_air", "norm_u16", "norm_scale", "cont", "cont_wave", "meta"])
    _require(data, ["teff", "logg", "mh"] if "label" not in data else ["label", "population"], source)
    air = data["wave_air"]
    norm = data["norm_u16"].reshape(-1, len(air)) * float(data["norm_scale"])
    level = data["cont"].reshape(len(norm), -1)
    level = operators.resample(data["cont_wave"], level, air, "spline")
    level /= (norm * level).mean(axis=1, keepdims=True)
    axes = [data.get(key, np.empty(0)) for key in ("teff", "logg", "mh")]
    if "label" in data:
        label, population = data["label"], data["population"]
    else:
        label = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        population = np.empty(0, "U4")
    meta = json.loads(str(data["meta"]))
    physics = {key: data[key] for key in ("microturbulence", "alpha") if key in data}
    return Library(operators.air_to_vacuum(air), norm, level, *axes, label, population, meta, physics)


def source_library(config):
    """The library that ``synthetic.library`` names: the embedded grid, or PHOENIX-ACES from mirror or cache.

    Parameters
    ----------
    config : Config

    Returns
    -------
    Library

    Raises
    ------
    DataError
        PHOENIX-ACES has not been fetched, or its nodes do not fill a rectangular grid.
    """
    if config.synthetic.library == "phoenix":
        return load_phoenix()
    return load_library(config.synthetic.library)
