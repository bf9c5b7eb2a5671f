"""Figures that compare a catalogue with the literature, with other catalogues, or with true labels.

Every function takes tidy frames (see :mod:`dtl_core.literature.catalogues`) and returns a closed matplotlib figure:
show it by its name in a notebook, or ``savefig`` it.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import PathCollection
from matplotlib.ticker import NullLocator, ScalarFormatter
from scipy.stats import norm

from ..errors import DataError
from ..literature.comparison import compare, coverage, difference_table
from ..parameters import PARAMETERS, TABLE
from .style import BLUE, GREY, LABELS, ORANGE, RED, label, styled, value_text

__all__ = ["agreement_dots", "difference_dots", "difference_histograms", "one_to_one", "recovered"]


_LEAST = {"teff": 100.0, "logg": 0.1, "mh": 0.1, "vsini": 1.0}  # smallest half-width of the axis of differences
_DELTA = {name: rf"$\Delta$ [{parameter.latex_unit}]" for name, parameter in TABLE.items()}
_SPEED_TICKS = [1, 2, 5, 10, 20, 50]
_BOX = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.5}  # behind text


def _empty_panels(columns, rows, width, height, ratio):
    """Pairs of axes (above: values, below: residuals), row by row; the two of a pair share x."""
    figure = plt.figure(figsize=(width * columns, height * rows), layout="constrained")
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[ratio, 1] * rows, hspace=0.02)
    pairs = []
    for row, column in np.ndindex(rows, columns):
        upper = figure.add_subplot(grid[2 * row, column])
        pairs.append((upper, figure.add_subplot(grid[2 * row + 1, column], sharex=upper)))
        upper.tick_params(labelbottom=False)
    return figure, pairs


def _log_axis(axis):
    axis.set_major_formatter(ScalarFormatter())
    axis.set_major_locator(plt.FixedLocator(_SPEED_TICKS))
    axis.set_minor_locator(NullLocator())


def _range(parameter, *values):
    """Limits that include all values; those of v sin i start at 0.5 km/s or higher."""
    together = np.concatenate([np.asarray(v, float) for v in values])
    together = together[np.isfinite(together)]
    if parameter == "vsini":
        together = together[together > 0]
        low, high = (together.min(), together.max()) if len(together) else (1.0, 10.0)
        return max(low / 1.25, 0.5), high * 1.25
    low, high = (together.min(), together.max()) if len(together) else (0.0, 1.0)
    edge = 0.06 * (high - low) or _LEAST[parameter]
    return low - edge, high + edge


def _draw_points(pair, parameter, x, y, limits, x_error=None, y_error=None, hollow=None, style=(BLUE, "o", None)):
    """One set of points above and its residuals y - x below; hollow triangles where y is an upper limit."""
    bars = {"fmt": "none", "ecolor": GREY, "elinewidth": 0.5, "alpha": 0.5, "zorder": 1}
    hollow = np.zeros(len(x), bool) if hollow is None else np.asarray(hollow, bool)
    (upper, lower), (colour, marker, name), size = pair, style, 12 if len(x) > 50 else 22
    filled = {"s": size, "color": colour, "marker": marker, "alpha": 0.65, "linewidths": 0, "zorder": 3, "label": name}
    outline = {"facecolors": "none", "edgecolors": colour, "linewidths": 0.6, "alpha": 0.6, "zorder": 2}
    residuals = y - x
    if parameter == "vsini":  # values that a logarithmic axis cannot show are drawn at its edge
        x, y = np.maximum(x, limits[0]), np.maximum(y, limits[0])
    for axes, values in ((upper, y), (lower, residuals)):
        axes.errorbar(x, values, xerr=x_error, yerr=y_error, **bars)
        axes.scatter(x[~hollow], values[~hollow], **filled)
        axes.scatter(x[hollow], values[hollow], s=size, marker="v", **outline)
    upper.plot(limits, limits, color="black", lw=0.8, ls="--", zorder=4)
    if parameter == "vsini":
        for axes, sides in ((upper, "xy"), (lower, "x")):
            axes.set(**{f"{side}scale": "log" for side in sides})
            for side in sides:
                _log_axis(getattr(axes, f"{side}axis"))
    upper.set(xlim=limits, ylim=limits)


def _finish_residuals(lower, parameter, residuals, mean):
    """Draw zero and mean lines; the axis spans all ``residuals``, so that panels can be compared.

    If the largest residual exceeds twice the 99.5 per cent quantile, the axis ends at 1.3 times that quantile, and
    residuals outside are triangles at its edge.
    """
    size = np.abs(residuals[np.isfinite(residuals)])
    most, nearly = np.max(size, initial=_LEAST[parameter]), np.quantile(size, 0.995) if len(size) else 0.0
    half = 1.1 * most if most <= 2 * nearly or nearly == 0 else max(1.3 * nearly, _LEAST[parameter])
    for points in list(lower.collections):
        x, y = np.ma.filled(points.get_offsets(), np.nan).T if len(points.get_offsets()) else ([], [])
        for beyond, marker in ((np.greater(y, half), "^"), (np.less(y, -half), "v")):
            if isinstance(points, PathCollection) and beyond.any():
                edge = np.full(beyond.sum(), 0.93 if marker == "^" else -0.93) * half
                lower.plot(x[beyond], edge, marker, ms=5, color="black", zorder=5)
    lower.set_ylim(-half, half)
    lower.axhline(0, color="black", lw=0.8, ls="--", zorder=4)
    lower.axhline(mean, color=RED, lw=1.2, zorder=4)


def _write_statistics(axes, x, y, numbers, parameter, mean, more=()):
    """Statistics in the upper left or the lower right corner, whichever covers fewer of the points (x, y)."""
    lines = [
        f"$N$ = {numbers['N']}",
        mean,
        f"rmse = {value_text(numbers['rmse'], parameter, '')}",
        f"$r$ = {numbers['pearson_r']:.2f}",
        *more,
    ]
    across, up = axes.transAxes.inverted().transform(axes.transData.transform(np.column_stack([x, y]))).T
    covered = np.sum((across < 0.45) & (up > 0.65)), np.sum((across > 0.55) & (up < 0.35))
    x, y, ha, va = (0.04, 0.96, "left", "top") if covered[0] <= covered[1] else (0.96, 0.04, "right", "bottom")
    axes.text(x, y, "\n".join(lines), transform=axes.transAxes, ha=ha, va=va, fontsize=8, zorder=5, bbox=_BOX)


def _label_edges(pairs, columns, shown, parameter, reference):
    """Label the outer axes only, since all panels share their limits; blank the panels after the first ``shown``."""
    for i, (upper, lower) in enumerate(pairs):
        if i % columns == 0:
            upper.set_ylabel(label(parameter, reference))
            lower.set_ylabel(_DELTA[parameter])
        else:
            upper.tick_params(labelleft=False), lower.tick_params(labelleft=False)
        if i >= shown - columns:
            lower.set_xlabel(label(parameter, "this work"))
        else:
            lower.tick_params(labelbottom=False)
        if i >= shown:
            upper.set_axis_off(), lower.set_axis_off()


@styled
def one_to_one(catalogue, literature, parameter, *, columns=3, reference="literature"):
    """Literature values against those of this work, one panel per source, with residuals literature - this work.

    Each panel gives N, the mean difference (also as a vermillion line), rmse and Pearson's r.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        Tidy, with ``e_`` and ``E_`` errors.
    literature : dict of str to pandas.DataFrame
        Tidy frames by the title of their panel; those without the parameter are left out. Upper limits on v sin i
        (column ``vsini_limit``) are hollow triangles; values below 0.5 km/s are drawn there.
    parameter : str
        ``teff``, ``logg``, ``mh`` or ``vsini``; v sin i has logarithmic axes.
    columns : int
        Panels in a row.
    reference : str
        Name of the values on the vertical axis, e.g. ``literature`` or ``true``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        No source has the parameter.
    ConfigError
        Unknown parameter.
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
    width = 2.75 if columns > 2 else 3.3
    figure, pairs = _empty_panels(columns, -(-len(shown) // columns), width, 1.3 * width, 2.6)
    for pair, (name, frame) in zip(pairs, merged.items(), strict=False):
        x, y = frame[parameter].to_numpy(float), frame[f"{parameter}_y"].to_numpy(float)
        x_error, y_error = frame[[f"e_{parameter}", f"E_{parameter}"]].to_numpy().T, frame.get(f"e_{parameter}_y")
        hollow = frame.get("vsini_limit") if parameter == "vsini" else None
        _draw_points(pair, parameter, x, y, limits, x_error, y_error, hollow)
        _finish_residuals(pair[1], parameter, residuals, numbers[name]["mean_diff"])
        mean = rf"$\overline{{\Delta}}$ = {value_text(numbers[name]['mean_diff'], parameter)}"
        _write_statistics(pair[0], x, y, numbers[name], parameter, mean)
        pair[0].set_title(name)
    _label_edges(pairs, columns, len(shown), parameter, reference)
    figure.align_ylabels()
    return figure


@styled
def difference_histograms(catalogue, literature, parameter, *, columns=3, bins=25):
    """Histograms of the differences literature - this work, one panel per source, on a common horizontal axis.

    Lines mark the mean (vermillion) and the median (dotted). The black curve is the distribution about the mean that
    the quoted errors of both sides alone would give. Upper limits are left out.

    Parameters
    ----------
    catalogue, literature, parameter
        As for :func:`one_to_one`.
    columns : int
        Panels in a row.
    bins : int
        Number of bins. They cover 98 % of all differences; the outermost bins also count those beyond.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        No source has the parameter.
    ConfigError
        Unknown parameter.
    """
    import seaborn as sns

    table = difference_table(catalogue, literature, parameter)
    shown = [name for name in literature if (table["source"] == name).any()]
    if not shown:
        raise DataError("no star in common", field=parameter, remedy="give sources that have this parameter")
    table[["difference", "sigma"]] = table[["difference", "sigma"]].astype(float)
    half = max(np.quantile(np.abs(table["difference"]), 0.98), _LEAST[parameter])
    edges, fine = np.linspace(-half, half, bins + 1), np.linspace(-half, half, 400)
    columns = min(columns, len(shown))
    grid = sns.displot(
        table.assign(clipped=table["difference"].clip(-half, half)), x="clipped", bins=edges,
        col="source", col_order=shown, col_wrap=columns, height=2.1, aspect=2.75 * max(columns, 2) / columns / 2.1,
        color=BLUE, alpha=0.6, linewidth=0, zorder=2, facet_kws={"sharey": False, "despine": False},
    )  # fmt: skip
    for name, axes in grid.axes_dict.items():
        delta, sigma = table.loc[table["source"] == name, ["difference", "sigma"]].to_numpy().T
        if (sigma > 0).all():
            bells = norm.pdf(fine[:, None], delta.mean(), sigma)  # (400, n_stars)
            axes.plot(fine, bells.sum(axis=1) * (edges[1] - edges[0]), color="black", lw=1.0, zorder=3)
        mean, median = delta.mean(), np.median(delta)
        axes.axvline(mean, color=RED, lw=1.2, zorder=4)
        axes.axvline(median, color="black", lw=1.2, ls=":", zorder=4)
        axes.set_ylim(0, 1.75 * axes.get_ylim()[1])
        text = f"$N$ = {len(delta)}\nmean {value_text(mean, parameter)}\nmedian {value_text(median, parameter)}"
        axes.text(0.03, 0.96, text, transform=axes.transAxes, va="top", fontsize=8, zorder=5, bbox=_BOX)
    grid.set_titles("{col_name}").set_axis_labels(rf"$\Delta$ {LABELS[parameter]}", "stars")
    grid.figure.set_layout_engine("constrained")
    return grid.figure


@styled
def difference_dots(table, stated=()):
    """Mean difference and Pearson's r of every source, a row of panels per parameter, beside what the paper states.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`dtl_core.literature.comparison.comparison_table`; rows of subsets are left out. The thin bars are
        the standard deviation of the differences.
    stated : iterable of dtl_core.literature.paper_numbers.Number, optional
        Drawn as open diamonds.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        The table has no row.
    """
    table = table[(table["subset"] == "all") & (table["N"] > 0)]
    if table.empty:
        raise DataError("no star in common", field="table", remedy="give sources that have the parameters")
    known = {(n.parameter, n.source, n.statistic): n.value for n in stated if n.subset == "all"}
    shown = [p for p in PARAMETERS if p in set(table["parameter"])]
    rows = [int((table["parameter"] == p).sum()) for p in shown]
    size = (8.2, 0.2 * sum(rows) + 0.75 * len(shown) + 0.6)
    figure, grid = plt.subplots(
        len(shown), 2, figsize=size, height_ratios=[n + 1 for n in rows], squeeze=False, layout="constrained"
    )
    for (left, right), parameter in zip(grid, shown, strict=True):
        own = table[table["parameter"] == parameter]
        place = np.arange(len(own))[::-1]
        left.errorbar(own["mean_diff"], place, xerr=own["std_diff"], fmt="none", ecolor=GREY, elinewidth=0.8, alpha=0.6)
        for axes, statistic in ((left, "mean_diff"), (right, "pearson_r")):
            axes.plot(own[statistic], place, "o", color=BLUE, ms=5, label="recomputed")
            theirs = [known.get((parameter, source, statistic), np.nan) for source in own["source"]]
            if stated:
                axes.plot(theirs, place, "D", mfc="none", mec=RED, mew=1.2, ms=8, label="stated by the paper")
            axes.set(ylim=(-0.7, len(own) - 0.3), yticks=place)
            axes.grid(axis="y", lw=0.3)
        left.axvline(0, color="black", lw=0.8, ls="--")
        left.set_yticklabels(f"{source} ({n})" for source, n in zip(own["source"], own["N"], strict=True))
        left.set_xlabel(rf"mean $\Delta$ {LABELS[parameter]}")
        right.set(yticklabels=[], xlim=(min(0.0, own["pearson_r"].min() - 0.05), 1.05))
        right.set_xlabel(f"Pearson's $r$, {TABLE[parameter].latex}")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return figure


@styled
def agreement_dots(standings):
    """How well catalogues agree with all others: the median of Spearman's r, a panel per parameter, best on top.

    Parameters
    ----------
    standings : dict of str to pandas.DataFrame
        From :func:`dtl_core.literature.comparison.standing`, by parameter; catalogues without partners are left out.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        No catalogue has a partner.
    """
    standings = {p: frame[frame["partners"] > 0] for p, frame in standings.items()}
    standings = {p: frame for p, frame in standings.items() if len(frame)}
    if not standings:
        raise DataError("no two catalogues share enough stars", field="standings", remedy="give more catalogues")
    most = max(map(len, standings.values()))
    size = (2.9 * len(standings) + 0.6, 0.22 * most + 1.2)
    figure, panels = plt.subplots(1, len(standings), figsize=size, squeeze=False, layout="constrained")
    for axes, (parameter, frame) in zip(panels[0], standings.items(), strict=True):
        place = np.arange(len(frame))[::-1]
        axes.hlines(place, frame["median_r"], frame["closest_r"], colors=GREY, lw=0.8)
        axes.plot(frame["median_r"], place, "o", color=BLUE, ms=5, label="median over the other catalogues")
        axes.plot(frame["closest_r"], place, "|", color=RED, ms=9, mew=1.8, label="closest catalogue")
        axes.set(yticks=place, yticklabels=list(frame.index), ylim=(-0.7, len(frame) - 0.3))
        axes.set_xlabel(f"Spearman's $r$, {TABLE[parameter].latex}")
        axes.grid(axis="y", lw=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return figure


@styled
def recovered(catalogue, truth):
    """Estimates against the true labels of a simulated survey, one panel per parameter, with residuals found - true.

    Each panel gives N, bias (also as a vermillion line), rmse, r and the share of true values within 1 sigma.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        Tidy, with ``e_`` and ``E_`` errors; stars without true labels are left out.
    truth : pandas.DataFrame
        karmn, teff [K], logg [cgs], mh [dex], vsini [km/s] and, optionally, active (bool).

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        No star in common.
    """
    both = catalogue.merge(truth, on="karmn", suffixes=("", "_true"))
    if both.empty:
        raise DataError("no star in common", field="karmn", remedy="give catalogue and truth of the same run")
    active = both["active"].to_numpy(bool) if "active" in both else np.zeros(len(both), bool)
    figure, pairs = _empty_panels(2, 2, 3.8, 4.5, 2.8)
    for (upper, lower), parameter in zip(pairs, PARAMETERS, strict=True):
        x, y = both[f"{parameter}_true"].to_numpy(float), both[parameter].to_numpy(float)
        error = both[[f"e_{parameter}", f"E_{parameter}"]].to_numpy().T
        limits = _range(parameter, x, y)
        for mask, style in ((~active, (BLUE, "o", "inactive")), (active, (ORANGE, "^", "active"))):
            if mask.any():
                _draw_points((upper, lower), parameter, x[mask], y[mask], limits, None, error[:, mask], style=style)
        numbers, inside = compare(catalogue, truth, parameter), coverage(catalogue, truth, parameter)
        _finish_residuals(lower, parameter, y - x, -numbers["mean_diff"])
        bias = f"bias = {value_text(-numbers['mean_diff'], parameter)}"
        share = f"{inside['fraction']:.0%} inside 1$\\sigma$"
        _write_statistics(upper, x, y, numbers, parameter, bias, [share])
        upper.set_ylabel(label(parameter, "found"))
        lower.set(xlabel=label(parameter, "true"), ylabel=_DELTA[parameter])
    if active.any():
        handles, names = pairs[0][0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=2, markerscale=1.5, frameon=False)
    figure.align_ylabels()
    return figure
