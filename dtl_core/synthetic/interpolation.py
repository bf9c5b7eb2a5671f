"""Interpolation errors of a library."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from .generation import axes_of, expand, from_space, interpolation_weights, network_spectra, to_space

__all__ = ["interpolation_difference", "interpolation_error"]


def _by_region(teff, error, **columns):
    """Rows of a table, one per region of Teff: number of spectra, rms and largest absolute error of their pixels."""
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
    """Predict the nodes of a grid from the others, as the networks see them.

    All nodes but the outermost are left out, along one axis at a time, so that their neighbours are two steps apart. At
    the grid's own spacing the error is smaller by 2^p if it grows with the p-th power of the spacing: p = 2 for
    ``linear``, 4 for a cubic spline. Along an axis of three nodes (log g of the embedded grid) two are left, through
    which ``cubic`` is a straight line in ln(flux), p = 2: an upper limit, since the full grid has a parabola there.

    Parameters
    ----------
    library : Library
        On a grid.
    methods : str or sequence of str
        One or several methods of :func:`dtl_core.synthetic.generation.expand`.
    window : WindowConfig
    continuum : ContinuumConfig
    vsini : float, km/s

    Returns
    -------
    pandas.DataFrame
        Columns: method; axis along which nodes are left out (``teff``, ``logg`` or ``mh``); teff (region, K); n
        (spectra); rms and max, the error at twice the spacing, continuum = 1; rms_scaled and max_scaled, divided by
        2^p, which estimate it at the grid's own spacing.
    """
    axes, methods = axes_of(library), [methods] if isinstance(methods, str) else methods
    shape = *map(len, axes.values()), -1
    see = _as_seen(library, window, continuum, vsini)
    truth, teff = see(library.flux).reshape(shape), library.label[:, :1].reshape(shape)
    rows = []
    for method, (column, (name, axis)) in itertools.product(methods, enumerate(axes.items())):
        inner = range(1, len(axis) - 1)
        if not inner:
            continue
        values = to_space(library, method).reshape(shape)
        weights = [np.insert(interpolation_weights(np.delete(axis, i), axis[[i]], method)[0], i, 0.0) for i in inner]
        predicted = from_space(np.tensordot(weights, np.moveaxis(values, column, 0), axes=1), method)
        nodes, region = (np.moveaxis(a, column, 0)[1:-1].reshape(-1, a.shape[-1]) for a in (truth, teff))
        error = see(predicted.reshape(len(nodes), -1)) - nodes
        power = 2 if method == "linear" else min(4, len(axis) - 1)
        for row in _by_region(region[:, 0], error, method=method, axis=name):
            rows.append(row | {f"{key}_scaled": row[key] / 2**power for key in ("rms", "max")})
    return pd.DataFrame(rows)


def interpolation_difference(library, *, window, continuum, vsini=2.0):
    """Difference of linear and cubic interpolation at the centres of the grid's cells, where ``linear`` errs most.

    Parameters
    ----------
    library : Library
        On a grid.
    window : WindowConfig
    continuum : ContinuumConfig
    vsini : float, km/s

    Returns
    -------
    pandas.DataFrame
        Columns: teff (region, K), n (cells), rms and max (linear minus cubic, continuum = 1).
    """
    centres = [(axis[1:] + axis[:-1]) / 2 if len(axis) > 1 else axis for axis in axes_of(library).values()]
    labels = np.stack(np.meshgrid(*centres, indexing="ij"), axis=-1).reshape(-1, 3)
    see = _as_seen(library, window, continuum, vsini)
    linear, cubic = (see(expand(library, labels, method)) for method in ("linear", "cubic"))
    return pd.DataFrame(_by_region(labels[:, 0], linear - cubic))


def _as_seen(library, window, continuum, vsini):
    return lambda flux: network_spectra(library.wavelength, flux, np.full(len(flux), vsini), window, continuum)
