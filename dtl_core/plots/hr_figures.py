"""Figures of stars beside isochrones, of activity, of labels beside labels, and of colours.

Every function takes arrays or the frames of :mod:`dtl_core.literature.kinematics` and
:mod:`dtl_core.literature.isochrones`, and returns a closed matplotlib figure, in the style of
:mod:`dtl_core.plots.comparison_figures`.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from ..errors import DataError
from .comparison_figures import _RC, BLUE, GREEN, GREY, ORANGE, VERMILLION, _close

__all__ = ["absent", "activity", "colour_colour", "confusion_table", "hr_isochrones", "kiel"]


_TEFF, _LOGG, _LUMINOSITY = r"$T_{\rm eff}$ [K]", r"$\log g$ [dex]", r"$L$ [$L_\odot$]"
_RINGS = (("#CC79A7", "o"), ("black", "s"), (BLUE, "D"))  # colour and shape of marked stars
_LINES = (VERMILLION, BLUE, GREEN, ORANGE, "#CC79A7", GREY, "black")  # so that green and grey differ in dashes
_DASHES = ("-", "--", "-.", ":")


def _draw_curves(axes, curves, y):
    """Isochrones as lines, each colour and dash its own, inside the limits that the stars have set."""
    limits = axes.get_xlim(), axes.get_ylim()
    for i, (name, curve) in enumerate((curves or {}).items()):
        axes.plot(
            curve["teff"],
            curve[y],
            color=_LINES[i % len(_LINES)],
            ls=_DASHES[i % len(_DASHES)],
            lw=1.2,
            zorder=4,
            label=name,
        )
    axes.set(xlim=limits[0], ylim=limits[1])


def _ring(axes, x, y, marks):
    for (name, mask), (colour, shape) in zip((marks or {}).items(), _RINGS, strict=False):
        mask = np.asarray(mask, bool)
        if mask.any():
            axes.scatter(
                x[mask],
                y[mask],
                s=95,
                facecolors="none",
                edgecolors=colour,
                marker=shape,
                linewidths=1.0,
                zorder=5,
                label=f"{name} ({mask.sum()})",
            )


def _legend(figure, columns=2, **options):
    figure.legend(loc="outside upper center", ncols=columns, frameon=False, **options)


def kiel(teff, logg, mh, vsini, curves=None, *, marks=None):
    """Kiel diagram: log g against Teff, coloured by [M/H], the larger the faster the star rotates, with isochrones.

    Arguments
    ---------
    teff, logg, mh, vsini : (n_stars,) K, cgs, dex, km/s
    curves : dict of str to pandas.DataFrame, optional; see :func:`dtl_core.literature.isochrones.curves`
    marks : dict of str to (n_stars,) of bool, optional; stars to ring, by their name in the legend

    Returns
    -------
    matplotlib.figure.Figure; hot stars to the left, low gravity above
    """
    teff, logg, mh, vsini = (np.asarray(v, float) for v in (teff, logg, mh, vsini))
    with plt.rc_context(_RC):
        figure, axes = plt.subplots(figsize=(6.8, 5.2), layout="constrained")
        size = 8 + 4 * np.clip(np.nan_to_num(vsini), 0, 40)
        points = axes.scatter(teff, logg, s=size, c=mh, cmap="viridis", alpha=0.8, linewidths=0.3, edgecolors="white")
        _draw_curves(axes, curves, "logg")
        _ring(axes, teff, logg, marks)
        for speed in (2, 10, 30):
            axes.scatter([], [], s=8 + 4 * speed, color=GREY, label=rf"$v\,\sin i$ = {speed} km s$^{{-1}}$")
        figure.colorbar(points, ax=axes, label="[M/H] [dex]", pad=0.01)
        axes.set(xlabel=_TEFF, ylabel=_LOGG)
        axes.invert_xaxis(), axes.invert_yaxis()
        _legend(figure)
    return _close(figure)


def hr_isochrones(teff, luminosity, active, curves=None, *, marks=None, active_name="active"):
    """Hertzsprung-Russell diagram with isochrones, active stars as triangles.

    Arguments
    ---------
    teff, luminosity : (n_stars,) K, Lsun
    active : (n_stars,) of bool
    curves, marks : as for :func:`kiel`
    active_name : str, e.g. ``H-alpha active (reconstructed)``

    Returns
    -------
    matplotlib.figure.Figure
    """
    teff, luminosity, active = np.asarray(teff, float), np.asarray(luminosity, float), np.asarray(active, bool)
    with plt.rc_context(_RC):
        figure, axes = plt.subplots(figsize=(6.8, 5.2), layout="constrained")
        axes.set_yscale("log")
        for mask, colour, shape, name in ((~active, GREY, "o", "inactive"), (active, VERMILLION, "^", active_name)):
            axes.scatter(
                teff[mask],
                luminosity[mask],
                s=18,
                color=colour,
                marker=shape,
                alpha=0.7,
                linewidths=0.3,
                edgecolors="white",
                label=f"{name} ({mask.sum()})",
            )
        _draw_curves(axes, curves, "luminosity")
        _ring(axes, teff, luminosity, marks)
        axes.set(xlabel=_TEFF, ylabel=_LUMINOSITY)
        axes.invert_xaxis()
        _legend(figure)
    return _close(figure)


def activity(tables, *, name="active"):
    """The fraction of active stars in bins, one panel for each quantity, with Wilson's 68.3 % intervals.

    Arguments
    ---------
    tables : dict of str to pandas.DataFrame
        From :func:`dtl_core.literature.kinematics.activity_fractions`, by what the horizontal axis is called.
    name : str, e.g. ``H-alpha active (reconstructed)``

    Returns
    -------
    matplotlib.figure.Figure; above each bar active stars / all stars
    """
    with plt.rc_context(_RC):
        figure, panels = plt.subplots(
            1, len(tables), figsize=(3.9 * len(tables), 3.6), sharey=True, squeeze=False, layout="constrained"
        )
        for axes, (label, table) in zip(panels[0], tables.items(), strict=True):
            table = table[table["N"] > 0]
            place, fraction = np.arange(len(table)), table["fraction"].to_numpy()
            axes.bar(place, fraction, color=BLUE, alpha=0.5, width=0.8)
            bars = np.clip([fraction - table["lower"], table["upper"] - fraction], 0, None)
            axes.errorbar(place, fraction, yerr=bars, fmt="o", color="black", ms=3, capsize=2, lw=1)
            for x, row in zip(place, table.itertuples(), strict=True):
                axes.annotate(
                    f"{row.active}/{row.N}", (x, row.upper), (0, 3), textcoords="offset points", ha="center", fontsize=7
                )
            axes.set(xlabel=label, ylim=(0, 1.12))
            axes.set_xticks(place, table["bin"])
            axes.tick_params(axis="x", which="both", top=False)
        panels[0][0].set_ylabel(f"fraction {name}")
    return _close(figure)


def confusion_table(table, *, here="computed here", reference="published"):
    """Counts of pairs of labels; the shade is the share of the row.

    Arguments
    ---------
    table : pandas.DataFrame, see :func:`dtl_core.literature.kinematics.confusion`
    here, reference : str, what rows and columns are called

    Returns
    -------
    matplotlib.figure.Figure

    Errors
    ------
    DataError : an empty table.
    """
    counts = table.to_numpy()
    if counts.size == 0:
        raise DataError("no star has both labels", field="table", remedy="give stars with both")
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with plt.rc_context(_RC | {"xtick.top": False, "ytick.right": False}):
        figure, axes = plt.subplots(figsize=(4.4, 3.7), layout="constrained")
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (row, column), count in np.ndenumerate(counts):
            axes.text(
                column,
                row,
                str(count),
                ha="center",
                va="center",
                color="white" if share[row, column] > 0.6 else "black",
            )
        axes.set_xticks(range(counts.shape[1]), table.columns)
        axes.set_yticks(range(counts.shape[0]), table.index)
        axes.tick_params(length=0)
        axes.set(xlabel=reference, ylabel=here)
        figure.colorbar(image, ax=axes, label="share of the row")
    return _close(figure)


def colour_colour(bp_rp, g_j, teff, *, marks=None):
    """G_BP - G_RP against G - J, coloured by Teff.

    Arguments
    ---------
    bp_rp, g_j : (n_stars,) mag
    teff : (n_stars,) K
    marks : dict of str to (n_stars,) of bool, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    bp_rp, g_j, teff = (np.asarray(v, float) for v in (bp_rp, g_j, teff))
    with plt.rc_context(_RC):
        figure, axes = plt.subplots(figsize=(6.2, 4.6), layout="constrained")
        points = axes.scatter(g_j, bp_rp, s=20, c=teff, cmap="plasma", alpha=0.85, linewidths=0.3, edgecolors="white")
        _ring(axes, g_j, bp_rp, marks)
        figure.colorbar(points, ax=axes, label=_TEFF, pad=0.01)
        axes.set(xlabel=r"$G - J$ [mag]", ylabel=r"$G_{\rm BP} - G_{\rm RP}$ [mag]")
        if marks:
            _legend(figure)
    return _close(figure)


def absent(text):
    """A figure that only says why there is nothing to draw."""
    with plt.rc_context(_RC):
        figure, axes = plt.subplots(figsize=(5.0, 1.0), layout="constrained")
        axes.set_axis_off()
        axes.text(0.5, 0.5, text, ha="center", va="center")
    return _close(figure)
