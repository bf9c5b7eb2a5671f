"""Corrections of a library's lines, learned from real stars of known parameters.

No line list has the right strengths of all lines, and none has all lines. The corrections describe what the residuals
of several stars have in common: a factor of the optical depth of the known lines and an additional optical depth, both
smooth functions of wavelength at the resolution of the library, and factors of TiO, FeH and atomic lines and of the
damping.
:mod:`dtl_core.synthetic.line_fit` learns them; ``benchmarks/line_corrections.py`` writes the embedded table.

The additional optical depth is the same for all stars of the fit. How it changes towards other stars is not known, so
that each draw has a slope in Teff and in [M/H] at random.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ..files import DATA, write_atomic
from ..lines import LINES
from ..spectra import operators
from . import generation
from .libraries import embedded_arrays, load_library
from .physics import draw_physics, log_change

__all__ = [
    "LineCorrections",
    "corrected_set",
    "corrected_spectra",
    "line_table",
    "load_corrections",
    "most_probable",
    "reference_depths",
    "smooth_basis",
]


SPACING = 0.05  # A, of the knots and the standard deviation of their Gaussians
MIDDLE = 3300.0, -0.2  # K and dex, where the additional depth is as the fit finds it
# Standard deviations of its slopes: ln per 300 K, dex per dex. Mean ln(evidence) of the three fits with a star left out
# is highest without slopes: it falls by 22 and 44 with slopes in Teff of 0.3 and -0.3, by 12 and 4 with slopes in [M/H]
# of 0.1 and -0.1.
TEFF_SLOPE, MH_SLOPE = 0.08, 0.05
MOST = 50.0  # largest factor of an optical depth
FILE = DATA / "line_corrections.npz"
REFERENCE = 3300.0, 4.9, -0.2  # Teff [K], log g and [M/H] of the star that tables and figures show; at MIDDLE
HALF_WIDTH = 0.15  # A, of the range over which a line is averaged, to either side
RANGE = 15.87, 84.13  # percentiles of the draws that contain 68 %


def smooth_basis(wavelength, knots):
    """Gaussians on knots, scaled so that independent unit coefficients give a field of unit variance.

    Parameters
    ----------
    wavelength : (n,) array, A
    knots : (k,) array, A

    Returns
    -------
    (n, k) sparse array
    """
    basis = np.exp(-0.5 * ((wavelength[:, None] - knots) / SPACING) ** 2)
    basis[basis < 1e-5] = 0
    inside = (wavelength >= knots[0]) & (wavelength <= knots[-1])
    return sp.csr_array(basis / np.sqrt((basis[inside] ** 2).sum(1)).mean())


@functools.lru_cache(maxsize=4)
def _known_basis(wavelength, knots):
    """The same for arrays as bytes, kept because all draws need it."""
    return smooth_basis(np.frombuffer(wavelength), np.frombuffer(knots))


@dataclass(frozen=True)
class LineCorrections:
    """Corrections of the lines of ``grid_a``: the most probable ones, and draws of their posterior.

    Attributes
    ----------
    knots : (k,) array, vacuum A
    strength, added : (1 + n_draws, k) arrays
        Coefficients of :func:`smooth_basis`: of ln of the factor of optical depth, and of the optical depth added. The
        first row is the most probable.
    physics : dict of str to (1 + n_draws,) array
        Nuisances that all stars share, see :mod:`dtl_core.synthetic.physics`.
    slopes : (1 + n_draws, 2) array
        Of the added depth: ln per -300 K, and dex per dex of [M/H]. Zero in the first row.
    meta : dict
        Stars, settings and origin.
    """

    knots: np.ndarray
    strength: np.ndarray
    added: np.ndarray
    physics: dict
    slopes: np.ndarray
    meta: dict

    @property
    def n_draws(self):
        """Number of draws of the posterior."""
        return len(self.strength) - 1

    @property
    def sha256(self):
        """Hash of their values, by which a model names the corrections that it was made with."""
        arrays = {"knots": self.knots, "strength": self.strength, "added": self.added, "slopes": self.slopes}
        digest = hashlib.sha256()
        for name, values in sorted((arrays | self.physics).items()):
            digest.update(name.encode() + np.ascontiguousarray(values, np.float64).tobytes())
        return digest.hexdigest()

    def fields(self, wavelength, draw=0):
        """Fields of the correction.

        Parameters
        ----------
        wavelength : (n,) array, vacuum A
        draw : int
            0 for the most probable correction, from 1 for a draw.

        Returns
        -------
        factor, added : (n,) arrays
            Factor of the optical depth of known lines, and optical depth added to it at ``MIDDLE``.
        """
        basis = _known_basis(np.asarray(wavelength, float).tobytes(), self.knots.tobytes())
        return np.exp(basis @ self.strength[draw]), basis @ self.added[draw]

    def depth(self, depth, labels, wavelength, draw=0):
        """Corrected optical depth of spectra.

        Parameters
        ----------
        depth : (n, n_pixels) array
            Optical depth, -ln(flux over continuum), of the library.
        labels : (n, >=3) array
            Teff [K], log g, [M/H].
        wavelength : (n_pixels,) array, vacuum A
        draw : int
            As for :meth:`fields`.

        Returns
        -------
        (n, n_pixels) array
            Not negative.
        """
        labels, (factor, added) = np.atleast_2d(labels), self.fields(wavelength, draw)
        shared = {name: np.full(len(labels), values[draw]) for name, values in self.physics.items()}
        teff_slope, mh_slope = self.slopes[draw]
        scale = np.exp(teff_slope * (MIDDLE[0] - labels[:, 0]) / 300) * 10 ** (mh_slope * (labels[:, 2] - MIDDLE[1]))
        changed = depth - (log_change(labels, shared, wavelength) if shared else 0)
        return np.maximum(changed * factor + scale[:, None] * added, 0)

    def library(self, library, draw=0):
        """Correct all spectra of a library.

        Parameters
        ----------
        library : Library
            ``grid_a``, or another with its lines.
        draw : int
            As for :meth:`fields`.

        Returns
        -------
        Library
        """
        depth = self.depth(-np.log(library.norm), library.label, library.wavelength, draw)
        return dataclasses.replace(library, norm=np.exp(-depth), meta=library.meta | {"corrected": self.meta})

    def opacity(self, library, rows, draw=0):
        """Factors of the optical depth by which the lines of some stars become those of real ones.

        Parameters
        ----------
        library : Library
            Of a survey, from whichever code.
        rows : (n,) array of int
            Of the library.
        draw : int
            As for :meth:`fields`.

        Returns
        -------
        (n, n_pixels) array
            For :func:`dtl_core.synthetic.simulated_survey.starlight`; at most 50.
        """
        depth = np.maximum(-np.log(library.norm[rows]), 1e-4)
        return np.minimum(self.depth(depth, library.label[rows], library.wavelength, draw) / depth, MOST)

    def save(self, path):
        """Write the corrections to a file and return its path."""
        arrays = {"knots": self.knots, "strength": self.strength, "added": self.added, "slopes": self.slopes}
        arrays |= {f"physics.{name}": values for name, values in self.physics.items()}
        arrays = {name: values.astype(np.float64 if name == "knots" else np.float16) for name, values in arrays.items()}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, meta=json.dumps(self.meta, sort_keys=True), **arrays)
        return write_atomic(path, buffer.getvalue())


@functools.cache
def load_corrections(path=None):
    """Load corrections of lines.

    Parameters
    ----------
    path : path, optional
        Another file than the embedded one.

    Returns
    -------
    LineCorrections

    Raises
    ------
    DataError
        The file is missing or broken, or lacks an array.

    Examples
    --------
    >>> from dtl_core.synthetic.libraries import load_library
    >>> from dtl_core.synthetic.line_corrections import load_corrections
    >>> library = load_library("grid_a")
    >>> corrected = load_corrections().library(library)
    >>> bool(abs(corrected.norm - library.norm).mean() > 0.005)  # of the continuum
    True
    """
    data = embedded_arrays(path or FILE, ["knots", "strength", "added", "slopes", "meta"])
    arrays = {name: values.astype(float) for name, values in data.items() if name != "meta"}
    physics = {name.removeprefix("physics."): arrays.pop(name) for name in list(arrays) if name.startswith("physics.")}
    return LineCorrections(**arrays, physics=physics, meta=json.loads(str(data["meta"])))


def corrected_spectra(config, labels, corrections, draw=0, *, progress=None):
    """Spectra with corrected lines.

    Parameters
    ----------
    config : Config
    labels : (n, 4) array
    corrections : LineCorrections
    draw : int
        As for :meth:`LineCorrections.fields`.
    progress : callable, optional
        As for :func:`dtl_core.synthetic.generation.spectra_of`.

    Returns
    -------
    (n, n_pixels) array of float32
        In pixels of about 0.03 A.
    """
    own = corrections.library(generation.source_library(config), draw)
    flux = generation.spectra_of(config, labels, library=own, progress=progress)
    return operators.binned(flux, config.window.step).astype(np.float32)


def corrected_set(config, labels, corrections, *, draws, rng, shared_draws=None, progress=None):
    """Spectra with corrected lines and with physics drawn at random, for the training of networks.

    Each spectrum has one of the draws of the corrections, so that networks marginalise over their uncertainty. That
    includes the nuisances that the corrections contain; only the others are drawn from their priors.

    Parameters
    ----------
    config : Config
    labels : (n, 4) array
    corrections : LineCorrections
    draws : int
        Draws of the physics for each label.
    rng : numpy.random.Generator
    shared_draws : sequence of int, optional
        Draws of the corrections to use; by default all.
    progress : callable, optional
        As for :func:`dtl_core.synthetic.generation.spectra_of`.

    Returns
    -------
    (draws, n, n_pixels) array of float32
        In pixels of about 0.03 A.
    """
    library = generation.source_library(config)
    chosen = np.arange(1, corrections.n_draws + 1) if shared_draws is None else np.asarray(shared_draws)
    physics, which = [], []
    for _ in range(draws):
        drawn = draw_physics(len(labels), rng)
        physics.append({name: values for name, values in drawn.items() if name not in corrections.physics})
        which.append(rng.integers(len(chosen), size=len(labels)))
    out = None
    for k, draw in enumerate(chosen):
        number, rows = np.nonzero(np.stack(which) == k)
        if not len(rows):
            continue
        part = {name: np.stack([drawn[name] for drawn in physics])[number, rows] for name in physics[0]}
        own = corrections.library(library, draw)
        flux = generation.spectra_of(config, labels[rows], physics=part, library=own, progress=progress)
        binned = operators.binned(flux, config.window.step)
        if out is None:
            out = np.empty((draws, len(labels), binned.shape[1]), np.float32)
        out[number, rows] = binned
    return out


# ---------------------------------------------------------------- what they change


def reference_depths(corrections):
    """Optical depths of the reference star: Teff 3300 K, log g 4.9, [M/H] -0.2.

    Parameters
    ----------
    corrections : LineCorrections

    Returns
    -------
    wavelength : (n_pixels,) array, vacuum A
        Of ``grid_a``.
    library : (n_pixels,) array
        Of the lines of the library.
    known, added : (1 + n_draws, n_pixels) arrays
        Of the same lines with their corrected strengths, those of components included, and of what is added. The first
        row is the most probable.
    """
    library = load_library("grid_a")
    level = dataclasses.replace(library, continuum=np.ones_like(library.norm))
    depth = -np.log(generation.expand(level, [REFERENCE]))
    strengths = dataclasses.replace(corrections, added=np.zeros_like(corrections.added))
    draws = range(1 + corrections.n_draws)
    known, both = (
        np.concatenate([one.depth(depth, REFERENCE, library.wavelength, draw) for draw in draws])
        for one in (strengths, corrections)
    )
    return library.wavelength, depth[0], known, both - known


def most_probable(values):
    """Most probable value, and the 68 % range of the draws.

    Parameters
    ----------
    values : (1 + n_draws, ...) array
        The first is the most probable.

    Returns
    -------
    (3, ...) array
        Most probable, low, high; NaN for the ends without draws.
    """
    ends = np.percentile(values[1:], RANGE, axis=0) if len(values) > 1 else np.full((2, *values.shape[1:]), np.nan)
    return np.stack([values[0], *ends])


def line_table(corrections, lines=LINES):
    """List what the corrections do to single lines of the reference star.

    Parameters
    ----------
    corrections : LineCorrections
    lines : sequence of dtl_core.lines.Line
        Each is averaged over 0.15 A to either side of its wavelength.

    Returns
    -------
    DataFrame
        One row per line: wavelength (vacuum A) and species; library_width, the equivalent width of this range in the
        library [mA]; and with their 68 % ranges (as ``low_factor``, ``high_factor``) factor, of the optical depth of
        the known lines; added, mean optical depth added to it; change, of the equivalent width [mA]. Spectra are those
        before rotation and instrument.
    """
    import pandas as pd

    wavelength, library, known, added = reference_depths(corrections)
    rows = []
    for line in lines:
        inside = np.abs(wavelength - line.wavelength) <= HALF_WIDTH
        before, after = library[inside], known[:, inside] + added[:, inside]
        width = 2e3 * HALF_WIDTH  # mA
        values = {
            "factor": known[:, inside].sum(1) / before.sum(),
            "added": added[:, inside].mean(1),
            "change": width * (np.exp(-before) - np.exp(-after)).mean(1),
        }
        row = {"wavelength": line.wavelength, "species": line.species}
        row["library_width"] = width * (1 - np.exp(-before)).mean()
        for name, each in values.items():
            row |= dict(zip((name, f"low_{name}", f"high_{name}"), most_probable(each), strict=True))
        rows.append(row)
    return pd.DataFrame(rows)
