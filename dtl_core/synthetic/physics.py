"""Nuisances of physics: how opacities, abundances, damping and structure change a synthetic spectrum.

Real stars share neither the microturbulence nor the abundances of a library, and no library has the right opacities.
The embedded *sensitivities* are the changes of ln(flux over continuum) by such departures, computed with the code of
the library ``grid_a`` on 27 nodes of the main sequence. They turn a spectrum of the library into one of other physics,
so that networks can be trained on physics drawn at random and marginalise over it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from ..files import DATA
from ..spectra import operators
from .libraries import REMEDY, embedded_arrays

__all__ = ["NUISANCES", "Nuisance", "draw_physics", "log_change"]


@dataclass(frozen=True)
class Nuisance:
    """One departure from the physics of the library, and its prior for training.

    Attributes
    ----------
    usual : float
        Value in the library.
    nodes : tuple of (float, str)
        Values whose change of the spectrum is stored, and the names under which it is. Between them and ``usual`` the
        change is a parabola, or a straight line if there is one node.
    draw : callable
        ``draw(rng, n)`` draws n values.
    about : str
    """

    usual: float
    nodes: tuple
    draw: object
    about: str


def _normal(mean, spread, low, high):
    return lambda rng, n: np.clip(rng.normal(mean, spread, n), low, high)


def _uniform(low, high):
    return lambda rng, n: rng.uniform(low, high, n)


# Priors: round numbers that cover what is known of M dwarfs and of the libraries. They were set before the surveys of
# other physics were looked at. Factors are in ln.
NUISANCES = {
    "microturbulence": Nuisance(
        1.0, ((0.3, "microturbulence 0.3"), (2.0, "microturbulence 2")), _uniform(0.3, 2.2), "microturbulence [km/s]"
    ),
    "alpha": Nuisance(0.0, ((-0.2, "alpha -0.2"), (0.3, "alpha 0.3")), _normal(0.05, 0.12, -0.2, 0.35), "[alpha/M]"),
    "tio": Nuisance(
        0.0,
        ((np.log(0.7), "tio 0.7"), (np.log(1.4), "tio 1.4")),
        _normal(0.0, 0.3, -0.5, 0.5),
        "ln of the factor of TiO lines",
    ),
    "feh": Nuisance(
        0.0,
        ((np.log(0.7), "feh 0.7"), (np.log(1.4), "feh 1.4")),
        _normal(0.0, 0.3, -0.5, 0.5),
        "ln of the factor of FeH lines",
    ),
    "atoms": Nuisance(
        0.0, ((np.log(1.25), "atoms 1.25"),), _normal(0.0, 0.15, -0.4, 0.4), "ln of the factor of atomic lines"
    ),
    "unsold": Nuisance(0.0, ((1.0, "unsold"),), _uniform(0.0, 1.0), "share of Unsold's damping of atomic lines"),
    "upper": Nuisance(
        0.0,
        ((-0.03, "upper -0.03"),),
        _normal(0.0, 0.015, -0.05, 0.05),
        "relative change of the temperature of the upper layers",
    ),
}


@functools.cache
def sensitivities(path=None):
    """Load the stored changes of ln(flux over continuum).

    Parameters
    ----------
    path : path, optional
        Another file than the embedded one.

    Returns
    -------
    wavelength : (n_pixels,) array, vacuum A
    teff, mh : (n,) and (m,) arrays, K and dex
        Axes of the nodes.
    change : dict of str to (n, m, n_pixels) array of float32
        For each node and pixel.

    Raises
    ------
    DataError
        The file is missing or broken, or lacks a change.
    """
    source = path or DATA / "lte" / "sensitivities.npz"
    data = embedded_arrays(source, ["wave_air", "teff", "mh", "change_i16", "change_scale", "names"])
    change = data["change_i16"].astype(np.float32) * np.float32(data["change_scale"])
    by_name = dict(zip(data["names"].tolist(), np.moveaxis(change, 2, 0), strict=True))
    for nuisance in NUISANCES.values():
        for _, name in nuisance.nodes:
            if name not in by_name:
                raise DataError(f"has no change {name!r}", file=source, field="names", remedy=REMEDY)
    return operators.air_to_vacuum(data["wave_air"]), data["teff"], data["mh"], by_name


def draw_physics(n, rng):
    """Draw nuisances of ``n`` stars from their priors: dict of name -> (n,) array."""
    return {name: nuisance.draw(rng, n) for name, nuisance in NUISANCES.items()}


def log_change(labels, physics, wavelength=None):
    """Change of ln(flux over continuum) of spectra of ``grid_a`` by other physics.

    The changes of several nuisances add up; each depends linearly on Teff and [M/H] between the nodes, and is held
    constant beyond them.

    Parameters
    ----------
    labels : (n, >=3) array
        Teff [K], log g, [M/H].
    physics : dict of str to (n,) array
        Nuisances, as returned by :func:`draw_physics`; those left out have their usual value.
    wavelength : array, vacuum A, optional
        Where the changes are wanted; by default on the pixels of ``grid_a``.

    Returns
    -------
    (n, n_pixels) array of float32
        0 outside the range of ``grid_a``.

    Raises
    ------
    DataError
        A nuisance is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from dtl_core.synthetic.physics import log_change
    >>> bool(log_change([[3300.0, 4.9, 0.1]], {"tio": np.log([1.4])}).mean() < 0)  # more TiO, less flux
    True
    """
    labels = np.atleast_2d(labels)
    own, teff, mh, change = sensitivities()
    unknown = sorted(set(physics) - set(NUISANCES))
    if unknown:
        raise DataError("is unknown", field=unknown[0], remedy=f"choose among {', '.join(NUISANCES)}")
    place = _linear(teff, labels[:, 0])[:, :, None] * _linear(mh, labels[:, 2])[:, None, :]
    place = place.reshape(len(labels), -1).astype(np.float32)
    out = np.zeros((len(labels), len(own)), np.float32)
    for name, values in physics.items():
        nuisance = NUISANCES[name]
        points = [nuisance.usual, *(value for value, _ in nuisance.nodes)]
        weights = operators.lagrange_weights(np.array(points), np.asarray(values, float))[:, 1:]
        for weight, (_, key) in zip(weights.T, nuisance.nodes, strict=True):
            out = out + (weight[:, None].astype(np.float32) * place) @ change[key].reshape(place.shape[1], -1)
    if wavelength is None or np.array_equal(wavelength, own):
        return out
    return np.array([np.interp(wavelength, own, one, left=0, right=0) for one in out])


def _linear(axis, values):
    """Weights (n, n_axis) of linear interpolation, constant beyond the ends."""
    return np.stack([np.interp(values, axis, unit) for unit in np.eye(len(axis))], axis=1)
