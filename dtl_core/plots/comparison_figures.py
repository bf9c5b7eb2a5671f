"""Figures that set a catalogue beside literature or truth, and stars beside the populations of the Galaxy.

Every function takes arrays or tidy frames (see :mod:`dtl_core.literature.catalogues`) and returns a closed matplotlib
figure: show it by its name in a notebook, or ``savefig`` it. Colours are those of Okabe & Ito, safe for colour-blind
readers, and every group has a marker of its own.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import PathCollection
from matplotlib.ticker import NullLocator, ScalarFormatter
from scipy.stats import gaussian_kde, norm

from ..errors import DataError
from ..literature.comparison import compare, coverage, difference_table
from ..literature.kinematics import POPULATIONS, luminosity_excess, metallicity_by_population
from ..parameters import PARAMETERS, TABLE

__all__ = [
    "agreement_map",
    "difference_histograms",
    "hr_diagram",
    "metallicity_ridges",
    "one_to_one",
    "recovered",
    "toomre",
]


BLUE, ORANGE, GREEN, VERMILLION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7f7f7f"
_LEAST = {"teff": 100.0, "logg": 0.1, "mh": 0.1, "vsini": 1.0}  # half-width of the residual axis
_AXES = {n: (p.latex, p.latex_unit, p.digits, _LEAST[n]) for n, p in TABLE.items()}
_STYLES = {"YD": (ORANGE, "^", 22), "D": ("#56B4E9", "o", 16), "TD-D": (GREEN, "s", 26), "TD": ("black", "D", 22)}
_NAMES = {"YD": "young disc", "D": "thin disc", "TD-D": "transition", "TD": "thick disc"}
_SPEED_TICKS = [1, 2, 5, 10, 20, 50]
_RC = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "legend.fontsize": 8,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "savefig.dpi": 150,
    "figure.dpi": 110,
}


def _label(parameter, whose):
    symbol, unit = _AXES[parameter][:2]
    return f"{symbol}, {whose} [{unit}]" if whose else f"{symbol} [{unit}]"


def _close(figure):
    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine("none")  # once is enough: every drawing would place all panels anew, at most of the cost
    plt.close(figure)  # or an inline backend shows it a second time
    return figure


def _empty_panels(columns, rows, width, height, ratio):
    """Pairs of axes (above: values, below: residuals), row by row; the two of a pair share x."""
    figure = plt.figure(figsize=(width * columns, height * rows), layout="constrained")
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[ratio, 1] * rows, hspace=0.02)
    pairs = []
    for i in range(rows * columns):
        row, column = divmod(i, columns)
        upper = figure.add_subplot(grid[2 * row, column])
        pairs.append((upper, figure.add_subplot(grid[2 * row + 1, column], sharex=upper)))
        upper.tick_params(labelbottom=False)
    return figure, pairs


def _log_axis(axis):
    axis.set_major_formatter(ScalarFormatter())
    axis.set_major_locator(plt.FixedLocator(_SPEED_TICKS))
    axis.set_minor_locator(NullLocator())


def _range(parameter, *values):
    """Limits that hold all values; those of v sin i start no lower than 0.5 km/s."""
    together = np.concatenate([np.asarray(v, float) for v in values])
    together = together[np.isfinite(together)]
    if parameter == "vsini":
        together = together[together > 0]
        low, high = (together.min(), together.max()) if len(together) else (1.0, 10.0)
        return max(low / 1.25, 0.5), high * 1.25
    low, high = (together.min(), together.max()) if len(together) else (0.0, 1.0)
    edge = 0.06 * (high - low) or _AXES[parameter][3]
    return low - edge, high + edge


def _pair(axes_pair, parameter, x, y, limits, x_error=None, y_error=None, hollow=None, style=(BLUE, "o", None)):
    """One set of points above and its residuals y - x below; hollow triangles where y is an upper limit."""
    bars = dict(fmt="none", ecolor=GREY, elinewidth=0.5, alpha=0.5, zorder=1)
    hollow = np.zeros(len(x), bool) if hollow is None else np.asarray(hollow, bool)
    (upper, lower), (colour, marker, label), size = axes_pair, style, 12 if len(x) > 50 else 22
    residuals = y - x
    if parameter == "vsini":  # what a logarithmic axis cannot show is drawn at its edge
        x, y = np.maximum(x, limits[0]), np.maximum(y, limits[0])
    for axes, values in ((upper, y), (lower, residuals)):
        axes.errorbar(x, values, xerr=x_error, yerr=y_error, **bars)
        axes.scatter(
            x[~hollow],
            values[~hollow],
            s=size,
            color=colour,
            marker=marker,
            alpha=0.65,
            linewidths=0,
            zorder=3,
            label=label,
        )
        axes.scatter(
            x[hollow],
            values[hollow],
            s=size,
            marker="v",
            facecolors="none",
            edgecolors=colour,
            linewidths=0.6,
            alpha=0.6,
            zorder=2,
        )
    upper.plot(limits, limits, color="black", lw=0.8, ls="--", zorder=4)
    if parameter == "vsini":
        for axes, sides in ((upper, "xy"), (lower, "x")):
            axes.set(**{f"{side}scale": "log" for side in sides})
            for side in sides:
                _log_axis(getattr(axes, f"{side}axis"))
    upper.set(xlim=limits, ylim=limits)


def _finish_residuals(lower, parameter, residuals, mean):
    """Zero and mean lines; the axis spans all ``residuals``, so that panels can be compared.

    Where the largest is more than twice the 99.5 per cent quantile, the axis ends at 1.3 of that, and what lies beyond
    is a triangle at its edge.
    """
    size = np.abs(residuals[np.isfinite(residuals)])
    most, nearly = np.max(size, initial=_AXES[parameter][3]), np.quantile(size, 0.995) if len(size) else 0.0
    half = 1.1 * most if most <= 2 * nearly or nearly == 0 else max(1.3 * nearly, _AXES[parameter][3])
    for points in list(lower.collections):
        x, y = np.ma.filled(points.get_offsets(), np.nan).T if len(points.get_offsets()) else ([], [])
        for beyond, marker in ((np.greater(y, half), "^"), (np.less(y, -half), "v")):
            if isinstance(points, PathCollection) and beyond.any():
                edge = np.full(beyond.sum(), 0.93 if marker == "^" else -0.93) * half
                lower.plot(x[beyond], edge, marker, ms=5, color="black", zorder=5)
    lower.set_ylim(-half, half)
    lower.axhline(0, color="black", lw=0.8, ls="--", zorder=4)
    lower.axhline(mean, color=VERMILLION, lw=1.2, zorder=4)


def _write(axes, lines, x, y):
    """Lines of text in the upper left or the lower right corner, whichever covers fewer of the points (x, y)."""
    across, up = axes.transAxes.inverted().transform(axes.transData.transform(np.column_stack([x, y]))).T
    covered = np.sum((across < 0.45) & (up > 0.65)), np.sum((across > 0.55) & (up < 0.35))
    x, y, ha, va = (0.04, 0.96, "left", "top") if covered[0] <= covered[1] else (0.96, 0.04, "right", "bottom")
    axes.text(
        x,
        y,
        "\n".join(lines),
        transform=axes.transAxes,
        ha=ha,
        va=va,
        fontsize=8,
        zorder=5,
        bbox=dict(facecolor="white", alpha=0.75, edgecolor="none", pad=1.5),
    )


def _number(value, parameter, sign="+"):
    _, unit, decimals, _ = _AXES[parameter]
    value = round(value, decimals) + 0.0  # no negative zero
    return f"{value:{sign if value else ''}.{decimals}f} {unit}".replace("-", "\N{MINUS SIGN}", 1 if value < 0 else 0)


def one_to_one(catalogue, literature, parameter, *, columns=3, reference="literature"):
    """Literature values against this work's, one panel a source, with residuals literature - this work.

    Arguments
    ---------
    catalogue : pandas.DataFrame
        Tidy, with ``e_`` and ``E_`` errors.
    literature : dict of str to pandas.DataFrame
        Tidy frames by the name shown; those without the parameter are left out. Upper limits on v sin i
        (column ``vsini_limit``) are hollow triangles; what lies below 0.5 km/s is drawn there.
    parameter : str
        ``teff``, ``logg``, ``mh`` or ``vsini``; v sin i [km/s] on logarithmic axes.
    columns : int
        Panels in a row.
    reference : str
        What the vertical axis is called: ``literature``, ``true``.

    Returns
    -------
    matplotlib.figure.Figure; in each panel N, mean difference (vermillion line), rmse and Pearson's r.

    Errors
    ------
    DataError : no source has the parameter. ConfigError : unknown parameter.
    """
    numbers = {name: compare(catalogue, frame, parameter) for name, frame in literature.items()}
    shown = [name for name in literature if numbers[name]["N"]]
    if not shown:
        raise DataError("no star in common", field=parameter, remedy="give sources that have this parameter")
    merged = {name: catalogue.merge(literature[name], on="karmn", suffixes=("", "_y")) for name in shown}
    merged = {name: frame.dropna(subset=[parameter, f"{parameter}_y"]) for name, frame in merged.items()}
    limits = _range(parameter, *(frame[c] for frame in merged.values() for c in (parameter, f"{parameter}_y")))
    residuals = np.concatenate([frame[f"{parameter}_y"] - frame[parameter] for frame in merged.values()])
    columns = min(columns, len(shown))
    with plt.rc_context(_RC):
        width = 2.75 if columns > 2 else 3.3
        figure, pairs = _empty_panels(columns, -(-len(shown) // columns), width, 1.3 * width, 2.6)
        for (upper, lower), name in zip(pairs, shown, strict=False):
            frame, found = merged[name], numbers[name]
            x, y = frame[parameter].to_numpy(float), frame[f"{parameter}_y"].to_numpy(float)
            error = frame[f"e_{parameter}_y"] if f"e_{parameter}_y" in frame else None
            bars = frame[[f"e_{parameter}", f"E_{parameter}"]].to_numpy().T
            hollow = frame.get("vsini_limit") if parameter == "vsini" else None
            _pair((upper, lower), parameter, x, y, limits, bars, error, hollow)
            _finish_residuals(lower, parameter, residuals, found["mean_diff"])
            upper.set_title(name)
            _write(
                upper,
                [
                    f"$N$ = {found['N']}",
                    rf"$\overline{{\Delta}}$ = {_number(found['mean_diff'], parameter)}",
                    f"rmse = {_number(found['rmse'], parameter, '')}",
                    f"$r$ = {found['pearson_r']:.2f}",
                ],
                x,
                y,
            )
        for i, (upper, lower) in enumerate(pairs):  # all panels have the same axes: numbers stand at the edge only
            if i % columns == 0:
                upper.set_ylabel(_label(parameter, reference))
                lower.set_ylabel(rf"$\Delta$ [{_AXES[parameter][1]}]")
            else:
                upper.tick_params(labelleft=False), lower.tick_params(labelleft=False)
            if i >= len(shown) - columns:
                lower.set_xlabel(_label(parameter, "this work"))
            else:
                lower.tick_params(labelbottom=False)
            if i >= len(shown):
                upper.set_axis_off(), lower.set_axis_off()
        figure.align_ylabels()
    return _close(figure)


def difference_histograms(catalogue, literature, parameter, *, columns=3, bins=25):
    """Histograms of the differences literature - this work, one panel a source, on one horizontal axis.

    Arguments
    ---------
    catalogue, literature, parameter : as for :func:`one_to_one`
        Upper limits take no part.
    columns : int
        Panels in a row.
    bins : int
        Of the common range, which holds 98 % of all differences; those beyond are counted in the outermost bins.

    Returns
    -------
    matplotlib.figure.Figure; in each panel the mean (vermillion) and median (dotted) difference and, as a black curve,
    how the differences would spread about their mean if the quoted errors of both sides were all there is.

    Errors
    ------
    DataError : no source has the parameter. ConfigError : unknown parameter.
    """
    table = difference_table(catalogue, literature, parameter)
    shown = [name for name in literature if (table["source"] == name).any()]
    if not shown:
        raise DataError("no star in common", field=parameter, remedy="give sources that have this parameter")
    every = table["difference"].to_numpy(float)
    half = max(np.quantile(np.abs(every), 0.98), _AXES[parameter][3])
    edges = np.linspace(-half, half, bins + 1)
    fine = np.linspace(-half, half, 400)
    columns = min(columns, len(shown))
    rows = -(-len(shown) // columns)
    with plt.rc_context(_RC):
        figure, grid = plt.subplots(
            rows,
            columns,
            figsize=(2.75 * max(columns, 2), 2.1 * rows),
            sharex=True,
            squeeze=False,
            layout="constrained",
        )
        for axes, name in zip(grid.flat, shown, strict=False):
            mine = table[table["source"] == name]
            delta, sigma = mine["difference"].to_numpy(float), mine["sigma"].to_numpy(float)
            axes.hist(np.clip(delta, -half, half), edges, color=BLUE, alpha=0.6, zorder=2)
            if (sigma > 0).all():
                bells = norm.pdf(fine[:, None], delta.mean(), sigma)  # (400, n_stars)
                axes.plot(fine, bells.sum(axis=1) * (edges[1] - edges[0]), color="black", lw=1.0, zorder=3)
            axes.axvline(delta.mean(), color=VERMILLION, lw=1.2, zorder=4)
            axes.axvline(np.median(delta), color="black", lw=1.2, ls=":", zorder=4)
            axes.set_title(name)
            axes.set_ylim(0, 1.75 * axes.get_ylim()[1])
            axes.text(
                0.03,
                0.96,
                f"$N$ = {len(delta)}\nmean {_number(delta.mean(), parameter)}\n"
                f"median {_number(np.median(delta), parameter)}",
                transform=axes.transAxes,
                va="top",
                fontsize=8,
                zorder=5,
                bbox=dict(facecolor="white", alpha=0.75, edgecolor="none", pad=1.5),
            )
        for i, axes in enumerate(grid.flat):
            if i % columns == 0:
                axes.set_ylabel("stars")
            if i >= len(shown) - columns:  # the last panel of its column
                axes.set_xlabel(rf"$\Delta$ {_label(parameter, '')}")
                axes.tick_params(labelbottom=True)
            if i >= len(shown):
                axes.set_axis_off()
    return _close(figure)


def agreement_map(agreement, parameter=None):
    """Who agrees with whom: Spearman's r of every two catalogues as a colour, and above the diagonal as a number.

    Arguments
    ---------
    agreement : dtl_core.literature.comparison.Agreement
    parameter : str, optional
        Named at the colour bar.

    Returns
    -------
    matplotlib.figure.Figure; below the diagonal the number of common stars, on it the stars of the catalogue. White:
    too few stars in common.
    """
    spearman, number = agreement.spearman.to_numpy(float), agreement.number.to_numpy(int)
    names, n = list(agreement.spearman.index), len(agreement.spearman)
    off = spearman[~np.eye(n, dtype=bool)]
    low = np.floor(10 * np.nanmin(off[np.isfinite(off)], initial=0.9)) / 10
    with plt.rc_context(
        _RC | {"xtick.direction": "out", "ytick.direction": "out", "xtick.top": False, "ytick.right": False}
    ):
        size = 2.6 + 0.42 * max(n, 4)
        figure, axes = plt.subplots(figsize=(size + 0.6, size - 0.4), layout="constrained")
        image = axes.imshow(np.where(np.eye(n, dtype=bool), np.nan, spearman), cmap="cividis", vmin=low, vmax=1)
        for row, column in np.ndindex(n, n):
            r = spearman[row, column]
            text = f"{r:.2f}".replace("-", "\N{MINUS SIGN}") if row < column else f"{number[row, column]}"
            light = row != column and np.isfinite(r) and r < 0.5 * (low + 1)
            axes.text(
                column,
                row,
                "" if row < column and np.isnan(r) else text,
                ha="center",
                va="center",
                fontsize=8,
                color="white" if light else "black",
                fontweight="bold" if row == column else "normal",
            )
        axes.set_xticks(range(n), names, rotation=60, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(n), names)
        axes.tick_params(length=0)
        what = f", {_AXES[parameter][0]}" if parameter else ""
        figure.colorbar(image, ax=axes, shrink=0.7, label=f"Spearman's $r${what}")
    return _close(figure)


def recovered(catalogue, truth):
    """What a run found against the true labels of a simulated survey, four parameters, with residuals found - true.

    Arguments
    ---------
    catalogue : pandas.DataFrame
        Tidy, with ``e_`` and ``E_`` errors; stars that have no truth are left out.
    truth : pandas.DataFrame
        karmn, teff [K], logg [cgs], mh [dex], vsini [km/s] and, optional, active (bool).

    Returns
    -------
    matplotlib.figure.Figure; in each panel N, bias (vermillion line), rmse, r and the share of truths inside 1 sigma.

    Errors
    ------
    DataError : no star in common.
    """
    both = catalogue.merge(truth, on="karmn", suffixes=("", "_true"))
    if both.empty:
        raise DataError("no star in common", field="karmn", remedy="give catalogue and truth of the same run")
    active = both["active"].to_numpy(bool) if "active" in both else np.zeros(len(both), bool)
    with plt.rc_context(_RC):
        figure, pairs = _empty_panels(2, 2, 3.8, 4.5, 2.8)
        for (upper, lower), parameter in zip(pairs, PARAMETERS, strict=True):
            x, y = both[f"{parameter}_true"].to_numpy(float), both[parameter].to_numpy(float)
            error = both[[f"e_{parameter}", f"E_{parameter}"]].to_numpy().T
            limits = _range(parameter, x, y)
            for mask, style in ((~active, (BLUE, "o", "inactive")), (active, (ORANGE, "^", "active"))):
                if mask.any():
                    _pair((upper, lower), parameter, x[mask], y[mask], limits, None, error[:, mask], style=style)
            found, inside = compare(catalogue, truth, parameter), coverage(catalogue, truth, parameter)
            _finish_residuals(lower, parameter, y - x, -found["mean_diff"])
            _write(
                upper,
                [
                    f"$N$ = {found['N']}",
                    f"bias = {_number(-found['mean_diff'], parameter)}",
                    f"rmse = {_number(found['rmse'], parameter, '')}",
                    f"$r$ = {found['pearson_r']:.2f}",
                    f"{inside['fraction']:.0%} inside 1$\\sigma$",
                ],
                x,
                y,
            )
            upper.set_ylabel(_label(parameter, "found"))
            lower.set(xlabel=_label(parameter, "true"), ylabel=rf"$\Delta$ [{_AXES[parameter][1]}]")
        if active.any():
            handles, names = pairs[0][0].get_legend_handles_labels()
            figure.legend(handles, names, loc="outside upper center", ncols=2, markerscale=1.5, frameon=False)
        figure.align_ylabels()
    return _close(figure)


def _scatter_populations(axes, x, y, pop):
    for name in ("D", "YD", "TD-D", "TD"):
        colour, marker, size = _STYLES[name]
        mask = pop == name
        if mask.any():
            axes.scatter(
                x[mask],
                y[mask],
                s=size,
                color=colour,
                marker=marker,
                alpha=0.85,
                linewidths=0.3,
                edgecolors="white",
                zorder=2 if name == "D" else 3,
                label=f"{_NAMES[name]} ({mask.sum()})",
            )


def hr_diagram(teff, luminosity, active, pop, *, teff_error=None, active_name="active", marks=None):
    """Hertzsprung-Russell diagram by activity (left) and by kinematic population (right).

    The line is the sequence of the inactive thin-disc stars, see
    :func:`dtl_core.literature.kinematics.luminosity_excess`.

    Arguments
    ---------
    teff, luminosity : (n_stars,) K, Lsun
    active : (n_stars,) of bool
    pop : (n_stars,) of str, TD, TD-D, D or YD
    teff_error : (n_stars,) or (2, n_stars) K, optional
        Their median is drawn in the corner.
    active_name : str
        What the active stars are called in the legend, e.g. ``H-alpha active (reconstructed)``.
    marks : dict of str to (n_stars,) of bool, optional
        Stars to ring on the right, by the name in the legend.

    Returns
    -------
    matplotlib.figure.Figure
    """
    teff, luminosity = np.asarray(teff, float), np.asarray(luminosity, float)
    active, pop = np.asarray(active, bool), np.asarray(pop, str)
    excess = luminosity_excess(teff, luminosity, ~active & (pop == "D"))
    order = np.argsort(teff)
    with plt.rc_context(_RC):
        figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 4.6), sharex=True, sharey=True, layout="constrained")
        groups = (~active, GREY, "o", "inactive", 14), (active, VERMILLION, "^", active_name, 24)
        for mask, colour, marker, name, size in groups:
            left.scatter(
                teff[mask],
                luminosity[mask],
                s=size,
                color=colour,
                marker=marker,
                alpha=0.75,
                linewidths=0.3,
                edgecolors="white",
                label=f"{name} ({mask.sum()})",
            )
        _scatter_populations(right, teff, luminosity, pop)
        for (name, mask), marker, colour in zip((marks or {}).items(), "osv", ("#CC79A7", "black", BLUE), strict=False):
            mask = np.asarray(mask, bool)
            right.scatter(
                teff[mask],
                luminosity[mask],
                s=90,
                facecolors="none",
                edgecolors=colour,
                marker=marker,
                linewidths=1.0,
                label=f"{name} ({mask.sum()})",
                zorder=4,
            )
        for axes in (left, right):
            axes.plot(
                teff[order],
                (luminosity / 10**excess)[order],
                color="black",
                lw=0.9,
                zorder=4,
                label="sequence, inactive thin disc",
            )
            axes.set(yscale="log", xlabel=_label("teff", ""))
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, columnspacing=1.0)
        if teff_error is not None:
            low, high = np.broadcast_to(np.nanmedian(np.atleast_2d(teff_error), axis=1), 2)
            x = np.nanmin(teff) + 0.06 * np.ptp(teff[np.isfinite(teff)])
            left.errorbar(x, np.nanmax(luminosity), xerr=[[low], [high]], color="black", fmt="none", capsize=2, lw=1)
            left.annotate(
                "median error",
                (x, np.nanmax(luminosity)),
                (0, -10),
                textcoords="offset points",
                ha="center",
                fontsize=7,
            )
        left.set_ylabel(r"$L$ [$L_\odot$]")
        left.invert_xaxis()
    return _close(figure)


def metallicity_ridges(mh, pop, *, truth=None):
    """[M/H] of each kinematic population as densities with the stars below them; medians and Kolmogorov-Smirnov tests.

    Arguments
    ---------
    mh : (n_stars,) dex
    pop : (n_stars,) of str, TD, TD-D, D or YD
    truth : (n_stars,) dex, optional
        True [M/H] of a simulated survey, drawn as dashed outlines.

    Returns
    -------
    matplotlib.figure.Figure

    Errors
    ------
    DataError : no star has a population and an [M/H].
    """
    mh, pop = np.asarray(mh, float), np.asarray(pop, str)
    summary, tests = metallicity_by_population(mh, pop)
    if summary.empty:
        raise DataError("no star of a known population", field="pop", remedy=f"use {', '.join(POPULATIONS)}")
    low, high = _range("mh", mh[np.isin(pop, POPULATIONS)], [] if truth is None else np.asarray(truth, float))
    grid = np.linspace(low - 0.15, high + 0.15, 400)
    with plt.rc_context(_RC):
        figure, axes = plt.subplots(figsize=(6.6, 4.8), layout="constrained")
        for base, row in zip(range(len(summary))[::-1], summary.itertuples(), strict=True):
            colour, mask = _STYLES[row.pop][0], pop == row.pop
            height = _density(mh[mask], grid)
            axes.fill_between(grid, base, base + height, color=colour, alpha=0.55, lw=0, zorder=2)
            axes.plot(grid, base + height, color=colour, lw=1.2, zorder=3)
            axes.plot(mh[mask], np.full(mask.sum(), base - 0.06), "|", color=colour, ms=6, mew=0.8, zorder=3)
            axes.vlines(row.median, base, base + 0.82, color="black", lw=1.6, zorder=4)
            if truth is not None:
                outline = base + _density(np.asarray(truth, float)[mask], grid)
                axes.plot(grid, outline, color="black", ls="--", lw=0.9, zorder=4)
            axes.text(
                0.015,
                base + 0.2,
                f"{_NAMES[row.pop]}, $N$ = {row.N}\nmedian {_number(row.median, 'mh')}",
                transform=axes.get_yaxis_transform(),
                fontsize=8,
                va="bottom",
            )
        handles = [plt.Line2D([], [], color="black", lw=1.6, label="median")]
        if truth is not None:
            handles.append(plt.Line2D([], [], color="black", lw=0.9, ls="--", label="true [M/H]"))
        handles += [
            plt.Line2D([], [], lw=0, label=f"KS {t.pop1} and {t.pop2}: $p$ = {t.p:.2g}")
            for t in tests.itertuples()
            if {t.pop1, t.pop2} in ({"D", "TD"}, {"YD", "TD"}, {"YD", "D"})
        ]
        figure.legend(
            handles=handles,
            loc="outside upper center",
            ncols=4 if truth is None else 3,
            handlelength=1.2,
            frameon=False,
        )
        axes.set(xlabel=_label("mh", ""), yticks=[], ylim=(-0.2, len(summary) + 0.25), xlim=(grid[0] - 0.25, grid[-1]))
    return _close(figure)


def _density(values, grid):
    """Gaussian KDE scaled to a peak of 0.8; zero where the sample is too small for one."""
    values = values[np.isfinite(values)]
    if len(values) < 3 or np.ptp(values) == 0:
        return np.zeros_like(grid)
    density = gaussian_kde(values)(grid)
    return 0.8 * density / density.max()


def toomre(U, V, W, pop):
    """Toomre diagram: :math:`(U^2 + W^2)^{1/2}` against V, relative to the local standard of rest.

    Arguments
    ---------
    U, V, W : (n_stars,) km/s, relative to the local standard of rest
    pop : (n_stars,) of str, TD, TD-D, D or YD

    Returns
    -------
    matplotlib.figure.Figure; dotted circles join equal total velocities, every 50 km/s.
    """
    U, V, W = (np.asarray(v, float) for v in (U, V, W))
    across = np.hypot(U, W)
    reach = np.nanmax(np.hypot(V, across), initial=50.0)
    angle = np.linspace(0, np.pi, 181)
    with plt.rc_context(_RC):
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
    return _close(figure)
