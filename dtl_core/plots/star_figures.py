"""Figures of stars: Hertzsprung-Russell and Kiel diagrams, colours, activity and kinematic populations.

Every function takes arrays or the frames of :mod:`dtl_core.literature.kinematics` and
:mod:`dtl_core.literature.isochrones`, and returns a closed matplotlib figure: show it by its name in a notebook, or
``savefig`` it. Every group has its own marker as well as its own colour.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from ..errors import DataError
from ..literature.kinematics import POPULATIONS, luminosity_excess, metallicity_by_population
from .style import BLUE, GREEN, GREY, LABELS, ORANGE, PURPLE, RED, SKY, styled, value_text

__all__ = [
    "activity",
    "colour_colour",
    "colour_sequence",
    "confusion_table",
    "hr_diagram",
    "hr_isochrones",
    "kiel",
    "metallicity_ridges",
    "toomre",
]


_LUMINOSITY = r"$L$ [$L_\odot$]"
_RINGS = ((PURPLE, "o"), ("black", "s"), (BLUE, "D"))  # colour and marker of highlighted stars
_LINES = (RED, BLUE, GREEN, ORANGE, PURPLE, GREY, "black")  # so that green and grey differ in dashes
_DASHES = ("-", "--", "-.", ":")
_POPULATIONS = {  # name, colour, marker and size
    "D": ("thin disc", SKY, "o", 16),
    "YD": ("young disc", ORANGE, "^", 22),
    "TD-D": ("transition", GREEN, "s", 26),
    "TD": ("thick disc", "black", "D", 22),
}


def _scatter(axes, x, y, mask, name, colour, marker, size, **options):
    """The points of one group, with their number in the legend."""
    if mask.any():
        style = {"alpha": 0.8, "linewidths": 0.3, "edgecolors": "white"} | options
        axes.scatter(x[mask], y[mask], s=size, color=colour, marker=marker, label=f"{name} ({mask.sum()})", **style)


def _scatter_activity(axes, teff, luminosity, active, active_name):
    _scatter(axes, teff, luminosity, ~active, "inactive", GREY, "o", 14)
    _scatter(axes, teff, luminosity, active, active_name, RED, "^", 24)


def _scatter_populations(axes, x, y, pop):
    for code, style in _POPULATIONS.items():
        _scatter(axes, x, y, pop == code, *style, zorder=2 if code == "D" else 3)


def _ring(axes, x, y, marks):
    """Open symbols around the stars of each mask."""
    for (name, mask), (colour, marker) in zip((marks or {}).items(), _RINGS, strict=False):
        mask = np.asarray(mask, bool)
        if mask.any():
            style = {"facecolors": "none", "edgecolors": colour, "linewidths": 1.0, "marker": marker, "zorder": 5}
            axes.scatter(x[mask], y[mask], s=95, label=f"{name} ({mask.sum()})", **style)


def _draw_curves(axes, curves, y):
    """Isochrones as lines, each with its own colour and dash, within the limits set by the stars."""
    limits = axes.get_xlim(), axes.get_ylim()
    for i, (name, curve) in enumerate((curves or {}).items()):
        style = {"color": _LINES[i % len(_LINES)], "ls": _DASHES[i % len(_DASHES)], "lw": 1.2, "zorder": 4}
        axes.plot(curve["teff"], curve[y], label=name, **style)
    axes.set(xlim=limits[0], ylim=limits[1])


def _legend_above(figure, columns=2):
    figure.legend(loc="outside upper center", ncols=columns, frameon=False)


@styled
def kiel(teff, logg, mh, vsini, curves=None, *, marks=None):
    """Kiel diagram: log g against Teff with isochrones, coloured by [M/H], symbol size by v sin i.

    Parameters
    ----------
    teff, logg, mh, vsini : (n_stars,) array, K, cgs, dex, km/s
    curves : dict of str to pandas.DataFrame, optional
        Lines with ``teff`` and ``logg`` by their name in the legend, see
        :func:`dtl_core.literature.isochrones.curves`.
    marks : dict of str to (n_stars,) array of bool, optional
        Stars to highlight, by their name in the legend.

    Returns
    -------
    matplotlib.figure.Figure
    """
    teff, logg, mh, vsini = (np.asarray(v, float) for v in (teff, logg, mh, vsini))
    figure, axes = plt.subplots(figsize=(6.8, 5.2), layout="constrained")
    size = 8 + 4 * np.clip(np.nan_to_num(vsini), 0, 40)
    points = axes.scatter(teff, logg, s=size, c=mh, cmap="viridis", alpha=0.8, linewidths=0.3, edgecolors="white")
    _draw_curves(axes, curves, "logg")
    _ring(axes, teff, logg, marks)
    for speed in (2, 10, 30):
        axes.scatter([], [], s=8 + 4 * speed, color=GREY, label=rf"$v\,\sin i$ = {speed} km s$^{{-1}}$")
    figure.colorbar(points, ax=axes, label=LABELS["mh"], pad=0.01)
    axes.set(xlabel=LABELS["teff"], ylabel=LABELS["logg"])
    axes.invert_xaxis(), axes.invert_yaxis()
    _legend_above(figure)
    return figure


@styled
def hr_isochrones(teff, luminosity, active, curves=None, *, marks=None, active_name="active"):
    """Hertzsprung-Russell diagram with isochrones; active stars are triangles.

    Parameters
    ----------
    teff, luminosity : (n_stars,) array, K, Lsun
    active : (n_stars,) array of bool
    curves, marks
        As for :func:`kiel`.
    active_name : str
        Name of the active stars in the legend, e.g. ``H-alpha active (reconstructed)``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    teff, luminosity, active = np.asarray(teff, float), np.asarray(luminosity, float), np.asarray(active, bool)
    figure, axes = plt.subplots(figsize=(6.8, 5.2), layout="constrained")
    axes.set_yscale("log")
    _scatter_activity(axes, teff, luminosity, active, active_name)
    _draw_curves(axes, curves, "luminosity")
    _ring(axes, teff, luminosity, marks)
    axes.set(xlabel=LABELS["teff"], ylabel=_LUMINOSITY)
    axes.invert_xaxis()
    _legend_above(figure)
    return figure


@styled
def hr_diagram(teff, luminosity, active, pop, *, teff_error=None, active_name="active", marks=None):
    """Hertzsprung-Russell diagram by activity (left) and by kinematic population (right).

    The line is the sequence of the inactive thin-disc stars, see
    :func:`dtl_core.literature.kinematics.luminosity_excess`.

    Parameters
    ----------
    teff, luminosity : (n_stars,) array, K, Lsun
    active : (n_stars,) array of bool
    pop : (n_stars,) array of str
        TD, TD-D, D or YD.
    teff_error : (n_stars,) or (2, n_stars) array, K, optional
        Their median is drawn in the corner.
    active_name : str
        Name of the active stars in the legend, e.g. ``H-alpha active (reconstructed)``.
    marks : dict of str to (n_stars,) array of bool, optional
        Stars to highlight on the right, by their name in the legend.

    Returns
    -------
    matplotlib.figure.Figure
    """
    teff, luminosity = np.asarray(teff, float), np.asarray(luminosity, float)
    active, pop = np.asarray(active, bool), np.asarray(pop, str)
    sequence = luminosity / 10 ** luminosity_excess(teff, luminosity, ~active & (pop == "D"))
    order = np.argsort(teff)
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 4.6), sharex=True, sharey=True, layout="constrained")
    _scatter_activity(left, teff, luminosity, active, active_name)
    _scatter_populations(right, teff, luminosity, pop)
    _ring(right, teff, luminosity, marks)
    for axes in (left, right):
        style = {"color": "black", "lw": 0.9, "zorder": 4, "label": "sequence, inactive thin disc"}
        axes.plot(teff[order], sequence[order], **style)
        axes.set(yscale="log", xlabel=LABELS["teff"])
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, columnspacing=1.0)
    if teff_error is not None:
        low, high = np.broadcast_to(np.nanmedian(np.atleast_2d(teff_error), axis=1), 2)
        place = np.nanmin(teff) + 0.06 * np.ptp(teff[np.isfinite(teff)]), np.nanmax(luminosity)
        left.errorbar(*place, xerr=[[low], [high]], color="black", fmt="none", capsize=2, lw=1)
        left.annotate("median error", place, (0, -10), textcoords="offset points", ha="center", fontsize=7)
    left.set_ylabel(_LUMINOSITY)
    left.invert_xaxis()
    return figure


@styled
def activity(tables, *, name="active"):
    """The fraction of active stars in bins, one panel for each quantity, with Wilson's 68.3 % intervals.

    The numbers above each bar are active stars / all stars.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
        From :func:`dtl_core.literature.kinematics.activity_fractions`, by the label of the horizontal axis.
    name : str
        Name of the active stars, e.g. ``H-alpha active (reconstructed)``.

    Returns
    -------
    matplotlib.figure.Figure
    """
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
            text, style = f"{row.active}/{row.N}", {"textcoords": "offset points", "ha": "center", "fontsize": 7}
            axes.annotate(text, (x, row.upper), (0, 3), **style)
        axes.set(xlabel=label, ylim=(0, 1.12))
        crowded = table["bin"].astype(str).str.len().sum() > 30  # names that would run into one another
        style = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
        axes.set_xticks(place, table["bin"], **style)
        axes.tick_params(axis="x", which="both", top=False)
    panels[0][0].set_ylabel(f"fraction {name}")
    return figure


@styled
def confusion_table(table, *, here="computed here", reference="published"):
    """Counts of pairs of labels; the shade is the share of the row.

    Parameters
    ----------
    table : pandas.DataFrame
        See :func:`dtl_core.literature.kinematics.confusion`.
    here, reference : str
        Names of the rows and of the columns.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        The table is empty.
    """
    counts = table.to_numpy()
    if counts.size == 0:
        raise DataError("no star has both labels", field="table", remedy="give stars with both")
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(4.4, 3.7), layout="constrained")
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if share[row, column] > 0.6 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    axes.set_xticks(range(counts.shape[1]), table.columns)
    axes.set_yticks(range(counts.shape[0]), table.index)
    axes.tick_params(length=0)
    axes.set(xlabel=reference, ylabel=here)
    figure.colorbar(image, ax=axes, label="share of the row")
    return figure


@styled
def colour_colour(bp_rp, g_j, teff, *, marks=None):
    """G_BP - G_RP against G - J, coloured by Teff.

    Parameters
    ----------
    bp_rp, g_j : (n_stars,) array, mag
    teff : (n_stars,) array, K
    marks : dict of str to (n_stars,) array of bool, optional
        Stars to highlight, by their name in the legend.

    Returns
    -------
    matplotlib.figure.Figure
    """
    bp_rp, g_j, teff = (np.asarray(v, float) for v in (bp_rp, g_j, teff))
    figure, axes = _draw_colours(bp_rp, g_j, teff, s=20, alpha=0.85, linewidths=0.3, edgecolors="white")
    _ring(axes, g_j, bp_rp, marks)
    if marks:
        _legend_above(figure)
    return figure


def _draw_colours(bp_rp, g_j, teff, **style):
    """A new figure with points, coloured by Teff, and the axes of the points."""
    figure, axes = plt.subplots(figsize=(6.2, 4.6), layout="constrained")
    points = axes.scatter(g_j, bp_rp, c=teff, cmap="plasma", **style)
    figure.colorbar(points, ax=axes, label=LABELS["teff"], pad=0.01)
    axes.set(xlabel=r"$G - J$ [mag]", ylabel=r"$G_{\rm BP} - G_{\rm RP}$ [mag]")
    return figure, axes


@styled
def colour_sequence(table):
    """Median colours of stars in bins of temperature, with their scatter as bars; the numbers are those of the stars.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`dtl_core.literature.summaries.colours`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    x, y = table["g_j"], table["bp_rp"]
    figure, axes = _draw_colours(y, x, table["teff"], s=45, linewidths=0.5, edgecolors="black", zorder=3)
    bars = {"xerr": table["scatter_g_j"], "yerr": table["scatter_bp_rp"]}
    axes.errorbar(x, y, **bars, fmt="none", color=GREY, lw=1, zorder=2)
    table = table.sort_values("g_j")
    gaps = np.r_[np.inf, np.diff(table["g_j"]), np.inf]
    for row, left, right in zip(table.itertuples(), gaps[:-1], gaps[1:], strict=True):  # away from the nearest point
        place, side = ((-7, 7), "right") if right < left else ((7, -12), "left")
        style = {"textcoords": "offset points", "ha": side, "fontsize": 7}
        axes.annotate(str(row.N), (row.g_j, row.bp_rp), place, **style)
    return figure


@styled
def metallicity_ridges(mh, pop, *, truth=None):
    """[M/H] of each kinematic population as densities with the stars below them; medians and Kolmogorov-Smirnov tests.

    Parameters
    ----------
    mh : (n_stars,) array, dex
    pop : (n_stars,) array of str
        TD, TD-D, D or YD.
    truth : (n_stars,) array, dex, optional
        True [M/H] of a simulated survey, drawn as dashed outlines.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        No star has a population and an [M/H].
    """
    import seaborn as sns

    mh, pop = np.asarray(mh, float), np.asarray(pop, str)
    summary, tests = metallicity_by_population(mh, pop)
    if summary.empty:
        raise DataError("no star of a known population", field="pop", remedy=f"use {', '.join(POPULATIONS)}")
    figure, panels = plt.subplots(len(summary), figsize=(6.6, 4.8), sharex=True, squeeze=False, layout="constrained")
    figure.get_layout_engine().set(hspace=0, h_pad=0.01)
    for axes, row in zip(panels[:, 0], summary.itertuples(), strict=True):
        (name, colour, *_), own = _POPULATIONS[row.pop], pop == row.pop
        if row.N > 2:
            style = {"warn_singular": False, "ax": axes}
            sns.kdeplot(x=mh[own], color=colour, fill=True, alpha=0.55, linewidth=1.2, **style)
            if truth is not None:
                sns.kdeplot(
                    x=np.asarray(truth, float)[own], color="black", ls="--", lw=0.9, label="true [M/H]", **style
                )
        axes.axvline(row.median, 0.12, color="black", lw=1.6, label="median")
        axes.set(yticks=[], ylabel="", ylim=(-0.15 * axes.get_ylim()[1], None))
        sns.rugplot(x=mh[own], color=colour, height=0.09, linewidth=0.8, expand_margins=False, ax=axes)
        text = f"{name}, $N$ = {row.N}\nmedian {value_text(row.median, 'mh')}"
        axes.text(0.015, 0.3, text, transform=axes.transAxes, fontsize=8)
        axes.spines[["left", "right", "top"]].set_visible(False)
        axes.tick_params(top=False, bottom=axes is panels[-1, 0])
    axes.set(xlabel=LABELS["mh"], xlim=(axes.get_xlim()[0] - 0.2, None))  # room for the text on the left
    entries = (zip(*axes.get_legend_handles_labels(), strict=True) for axes in figure.axes)
    handles = {name: line for panel in entries for line, name in panel}
    for test in tests.itertuples():
        if {test.pop1, test.pop2} in ({"D", "TD"}, {"YD", "TD"}, {"YD", "D"}):
            handles[f"KS {test.pop1} and {test.pop2}: $p$ = {test.p:.2g}"] = plt.Line2D([], [], lw=0)
    style = {"loc": "outside upper center", "handlelength": 1.2, "frameon": False}
    figure.legend(handles.values(), handles, ncols=4, **style)
    return figure


@styled
def toomre(U, V, W, pop):
    """Toomre diagram: :math:`(U^2 + W^2)^{1/2}` against V, relative to the local standard of rest.

    Dotted circles join equal total velocities, every 50 km/s.

    Parameters
    ----------
    U, V, W : (n_stars,) array, km/s
        Relative to the local standard of rest.
    pop : (n_stars,) array of str
        TD, TD-D, D or YD.

    Returns
    -------
    matplotlib.figure.Figure
    """
    U, V, W = (np.asarray(v, float) for v in (U, V, W))
    across = np.hypot(U, W)
    reach = np.nanmax(np.hypot(V, across), initial=50.0)
    angle = np.linspace(0, np.pi, 181)
    figure, axes = plt.subplots(figsize=(6.6, 4.4), layout="constrained")
    for speed in np.arange(50, reach + 50, 50):
        axes.plot(speed * np.cos(angle), speed * np.sin(angle), color=GREY, lw=0.7, ls=":", zorder=1)
    _scatter_populations(axes, V, across, np.asarray(pop, str))
    axes.set(
        xlabel=r"$V_{\rm LSR}$ [km s$^{-1}$]",
        ylabel=r"$(U_{\rm LSR}^2 + W_{\rm LSR}^2)^{1/2}$ [km s$^{-1}$]",
        xlim=(min(-100.0, 1.05 * np.nanmin(V)), max(75.0, 1.1 * np.nanmax(V))),
        ylim=(0, 1.08 * np.nanmax(across, initial=75.0)),
        aspect="equal",
    )
    axes.legend(loc="upper right")
    return figure
