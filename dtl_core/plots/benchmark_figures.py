"""Figures of notebook 07: results of the benchmark of domain-adaptation methods."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from ..extras import import_extra
from ..missing import unless_empty
from ..parameters import PARAMETERS
from .style import BLUE, COLOURS, GREEN, GREY, LABELS, MARKERS, ORANGE, RED, SMALL, shared_legend, styled

__all__ = [
    "anchor_curves",
    "axes_kept",
    "corner_plot",
    "coverage_curves",
    "expected_coverage",
    "gap_and_errors",
    "kind_ratios",
    "method_errors",
    "metrics_against_error",
    "rank_histograms",
    "region_bias",
    "strength_curves",
    "widths",
    "with_truths",
]


TICKS = (0.2, 0.5, 1.0, 2.0, 5.0)  # of relative errors
THIRDS = ("cool", "middle", "hot")


def _panels(count=4, figsize=(10, 3.2), **options):
    return plt.subplots(1, count, figsize=figsize, layout="constrained", **options)


def _not_measured():
    """Figure that is shown if its part of the record is missing."""
    fig, ax = plt.subplots(figsize=(6, 1), layout="constrained")
    ax.text(0.5, 0.5, "not measured yet", ha="center", va="center")
    ax.set_axis_off()
    return fig


_or_note = unless_empty(_not_measured)


def with_truths(names, truths):
    """Names of methods with the number of known truths in brackets, where they use any."""
    return [f"{name} ({truths[name]})" if truths[name] else name for name in names]


@styled
@_or_note
def method_errors(median, least, most, truths, scale=None):
    """Rmse of every method with its range over the surveys, one logarithmic panel per parameter.

    The axis spans the medians: a range beyond it, for example of a method that diverges in a survey, ends in an arrow.

    Parameters
    ----------
    median, least, most : pandas.DataFrame
        One row per method, drawn from top to bottom, and one column per parameter.
    truths : pandas.Series
        Number of known truths of each method; those that use any are drawn in another colour and shape.
    scale : dict of str to float, optional
        Rmse of predicting the mean of each parameter, a dotted line.

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, axes = _panels(figsize=(9.5, 0.28 * len(median) + 1.2), sharey=True)
    place, knowing = np.arange(len(median))[::-1], (truths.loc[median.index] > 0).to_numpy()
    for ax, name in zip(axes, PARAMETERS, strict=True):
        for rows, colour, marker in ((~knowing, BLUE, "o"), (knowing, RED, "D")):
            ax.hlines(place[rows], least[name][rows], most[name][rows], colors=colour, lw=1.2)
            ax.scatter(median[name][rows], place[rows], c=colour, marker=marker, s=22, zorder=3)
        if scale:
            ax.axvline(scale[name], color=GREY, ls=":", lw=1)
        end = 1.4 * max(median[name].max(), scale[name] if scale else 0)
        beyond = (most[name] > end).to_numpy()
        ax.plot(np.full(beyond.sum(), 0.97 * end), place[beyond], ">", color="k", ms=4, zorder=4)
        ax.set(xscale="log", xlabel=LABELS[name], yticks=place, yticklabels=with_truths(median.index, truths))
        ax.set_xlim(0.85 * least[name].min(), end)
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0), numticks=9))
        ax.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.tick_params("x", labelsize=7)
        ax.grid(axis="x", which="major", lw=0.3)
    fig.supxlabel("rmse against the truth", fontsize=9)
    return fig


@styled
@_or_note
def gap_and_errors(gaps, errors, spread=None):
    """How far fine-tuning closes the gap, and the errors of a few methods, survey by survey.

    Parameters
    ----------
    gaps : pandas.DataFrame
        Columns metric, value, arm and seed, as recorded by the benchmark; the metric AUC is drawn, of ``fluxes``,
        ``autoencoder`` and ``fine-tuned``.
    errors : pandas.DataFrame
        Columns parameter, rmse, arm and seed, of the methods in the order of the axis.
    spread : dict of str to float, optional
        Rmse of predicting the mean of each parameter, a dotted line.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows = [["gap"] * 2, PARAMETERS[:2], PARAMETERS[2:]]
    fig, axes = plt.subplot_mosaic(rows, figsize=(5.6, 6.4), height_ratios=(3, 4, 4), layout="constrained")
    spaces = {"fluxes": "fluxes"}
    spaces |= {"autoencoder": "latents, before\nfine-tuning", "fine-tuned": "latents, after\nfine-tuning"}
    own = gaps[gaps["metric"] == "AUC"].pivot(index="arm", columns="seed", values="value")
    _paths(axes["gap"], own.loc[list(spaces)], spaces.values())
    axes["gap"].axhline(0.5, color=GREEN, ls="--", lw=1)
    axes["gap"].annotate("the gap is closed", (0, 0.5), (0, 4), textcoords="offset points", color=GREEN, fontsize=8)
    axes["gap"].set(ylabel="separability (AUC)", ylim=(0.45, 1.03))
    methods = list(errors["arm"].unique())
    for name in PARAMETERS:
        own = errors[errors["parameter"] == name].pivot(index="arm", columns="seed", values="rmse")
        _paths(axes[name], own.loc[methods], [method.replace(" ", "\n") for method in methods])
        if spread:
            axes[name].axhline(spread[name], color=GREY, ls=":", lw=1)
        axes[name].set(ylabel=LABELS[name], ylim=(0, None))
    return fig


def _paths(ax, table, names):
    """Draw columns of a table as grey lines from row to row, and their median."""
    place = np.arange(len(table))
    ax.plot(place, table.to_numpy(), color=GREY, lw=0.6, marker="o", ms=2, alpha=0.6)
    ax.plot(place, table.median(axis=1), color=BLUE, lw=1.6, marker="D", ms=5)
    ax.set_xticks(place, list(names), fontsize=8)
    ax.set_xlim(-0.4, len(table) - 0.6)


@styled
@_or_note
def kind_ratios(ratios, truths):
    """Errors of methods against every kind of gap in units of the goals, as coloured cells, one panel per parameter.

    Parameters
    ----------
    ratios : pandas.DataFrame
        By kind and method, see :func:`dtl_core.pipeline.benchmark_kinds.goal_ratios`.
    truths : pandas.Series
        Number of known truths of each method.

    Returns
    -------
    matplotlib.figure.Figure
        Cells of at most 1, which reach the goal, have a frame.
    """
    fig, axes = plt.subplots(2, 2, figsize=(9.5, 11), sharex=True, sharey=True, layout="constrained")
    norm = LogNorm(0.4, 5.0)
    for ax, name in zip(axes.flat, PARAMETERS, strict=True):
        own = ratios[name].unstack("arm", sort=False)
        cells = ax.imshow(own.to_numpy(), cmap="cividis_r", norm=norm, aspect="auto")
        for (row, column), value in np.ndenumerate(own.to_numpy()):
            dark = norm(value) > 0.5
            ax.text(
                column,
                row,
                f"{value:.{1 + (value < 0.95)}f}",
                ha="center",
                va="center",
                fontsize=7,
                color="w" if dark else "k",
            )
            if value <= 1:
                frame = {"fill": False, "edgecolor": "k", "lw": 1.2}
                ax.add_patch(plt.Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, **frame))
        unit = "error of the better relation" if name == "logg" else "goal"
        ax.set_title(f"{LABELS[name].partition(' [')[0]}, rmse / {unit}", fontsize=9)
        ax.set_xticks(range(own.shape[1]), with_truths(own.columns, truths), rotation=90)
        ax.set_yticks(range(len(own)), list(own.index))
        ax.tick_params(length=0, labelsize=8)
    bar = fig.colorbar(cells, ax=axes, location="top", shrink=0.5, aspect=40, extend="both", ticks=[0.5, 1, 2, 4])
    bar.ax.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    bar.ax.minorticks_off()
    return fig


@styled
@_or_note
def anchor_curves(errors):
    """Rmse of methods against the number of anchor stars, one panel per parameter: median and range over the surveys.

    Parameters
    ----------
    errors : pandas.DataFrame
        Columns parameter, region, rmse, n_teff, n_mh, arm and seed, as recorded by the benchmark.

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, axes = _panels()
    overall = errors[errors["region"].astype(str) == "all"]
    methods = overall["arm"].unique()
    for ax, name in zip(axes, PARAMETERS, strict=True):
        for number, method in enumerate(methods):
            own = overall[(overall["parameter"] == name) & (overall["arm"] == method)]
            found = own.groupby("n_teff")["rmse"].agg(["median", "min", "max"])
            place = found.index + 0.15 * number
            bars = [found["median"] - found["min"], found["max"] - found["median"]]
            style = {"color": (RED, BLUE)[number % 2], "marker": MARKERS[number], "ms": 4, "lw": 0.9}
            ax.errorbar(place, found["median"], bars, label=method, **style)
        ticks = overall[["n_teff", "n_mh"]].drop_duplicates()
        ax.set_xticks(ticks["n_teff"], [f"{n}\n+ {m}" for n, m in ticks.to_numpy()])
        ax.set(title=LABELS[name], ylim=(0, None))
    axes[0].set_ylabel("rmse against the truth")
    fig.supxlabel("anchor stars with Teff and log g, + with [M/H]", fontsize=9)
    shared_legend(fig, axes[0], len(methods), loc="outside upper center")
    return fig


@styled
@_or_note
def region_bias(errors):
    """Bias of methods in each third of Teff, one panel per parameter: median and range over the surveys.

    Parameters
    ----------
    errors : pandas.DataFrame
        Columns parameter, region, bias, arm and seed; all methods in it are drawn.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import seaborn as sns

    fig, axes = _panels()
    errors, methods = errors.assign(region=errors["region"].astype(str)), list(errors["arm"].unique())
    count = len(methods)
    style = {"palette": COLOURS[:count], "markers": list(MARKERS[:count]), "markersize": 4, "linewidth": 0.8}
    style |= {"estimator": "median", "errorbar": ("pi", 100), "err_kws": {"linewidth": 0.8}}
    for ax, name in zip(axes, PARAMETERS, strict=True):
        sns.pointplot(
            errors[errors["parameter"] == name], x="region", y="bias", hue="arm", order=list("012"), hue_order=methods,
            dodge=0.12 * (count - 1), ax=ax, **style,
        )  # fmt: skip
        ax.axhline(0, color="k", lw=0.6)
        ax.set(xlabel="", xticks=range(3), xticklabels=THIRDS, ylabel=f"bias of {LABELS[name]}")
        ax.get_legend().remove()
    shared_legend(fig, axes[0], count)
    return fig


@styled
@_or_note
def axes_kept(axes):
    """Histograms of how much each latent unit changes in fine-tuning: correlation and rms change.

    Parameters
    ----------
    axes : pandas.DataFrame
        Columns arm, live, correlation and moved, as recorded by the benchmark.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import seaborn as sns

    fig, panels = _panels(2, (9, 3.2))
    own = axes[axes["live"] & (axes["arm"] != "autoencoder")]
    moved = own["moved"].where(np.isfinite(own["moved"]) & (own["moved"] > 0))
    own = own.assign(moved=np.log10(moved))
    palette = [ORANGE, BLUE, "black", GREEN][: own["arm"].nunique()]  # neighbours differ in grey as well
    style = {"element": "step", "fill": False, "palette": palette, "linewidth": 1.6}
    for ax, column, edges in zip(panels, ("correlation", "moved"), ((-1, 1), (-2.5, 2)), strict=True):
        sns.histplot(own, x=column, hue="arm", bins=np.linspace(*edges, 31), ax=ax, legend=ax is panels[0], **style)
    panels[0].set(xlabel="correlation of a unit, before and after", ylabel="live latent units")
    panels[1].set(xlabel=r"$\log_{10}$ of the rms change / synthetic spread", ylabel="")
    sns.move_legend(panels[0], "upper left", title=None, **SMALL)
    return fig


@styled
@_or_note
def metrics_against_error(gaps, relative):
    """Relative error of the methods against each gap metric of their latents, one panel per metric, one point per seed.

    Parameters
    ----------
    gaps : pandas.DataFrame
        Columns metric, value, arm and seed.
    relative : pandas.Series
        Relative error by arm and seed.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import seaborn as sns

    table = gaps[gaps["arm"] != "fluxes"].join(relative.rename("relative"), on=["arm", "seed"])
    metrics, count = table["metric"].unique(), table["arm"].nunique()
    fig, axes = _panels(len(metrics), (10, 3.4), sharey=True)
    style = {"hue": "arm", "style": "arm", "palette": "cividis", "markers": list((MARKERS * count)[:count]), "s": 20}
    for ax, metric in zip(axes, metrics, strict=True):
        own = table[table["metric"] == metric]
        sns.scatterplot(own, x="value", y="relative", linewidth=0, ax=ax, **style)
        logarithmic = metric != "AUC" and (own["value"] > 0).all()
        ax.set(yscale="log", xscale="log" if logarithmic else "linear", xlabel=metric)
        ax.get_legend().remove()
    axes[0].set(ylabel="rmse / spread of the truth", yticks=TICKS, yticklabels=[f"{tick:g}" for tick in TICKS])
    axes[0].yaxis.set_minor_formatter(NullFormatter())
    shared_legend(fig, axes[0], 5)
    return fig


@styled
@_or_note
def strength_curves(relative, marked="combined"):
    """Relative error of some methods against the strength of each injected effect, one panel per effect.

    Parameters
    ----------
    relative : pandas.Series
        Relative error by effect, strength and arm.
    marked : str
        Method drawn with a wider line.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import seaborn as sns

    table = relative.rename("relative").reset_index()
    effects, methods = table["effect"].unique(), list(table["arm"].unique())
    at_one, rest = table[table["strength"] == 1], table[table["strength"] != 1]  # strength 1 is the same survey for all
    table = pd.concat([rest, *(at_one.assign(effect=effect) for effect in effects)])
    rows, count = -(-len(effects) // 3), len(methods)
    fig, axes = plt.subplots(rows, 3, figsize=(9.5, 2.2 * rows + 0.5), sharex=True, sharey=True, squeeze=False,
                             layout="constrained")  # fmt: skip
    style = {"palette": COLOURS[:count], "markers": list(MARKERS[:count]), "dashes": False, "markersize": 4}
    widths = {method: 1.8 if method == marked else 0.9 for method in methods}
    for ax, effect in zip(axes.flat, effects, strict=False):
        sns.lineplot(
            table[table["effect"] == effect], x="strength", y="relative", hue="arm", hue_order=methods, style="arm",
            style_order=methods, size="arm", sizes=widths, errorbar=None, markeredgewidth=0, ax=ax, **style,
        )  # fmt: skip
        ax.set_title(effect.replace("_", " "), fontsize=9)
        ax.set(yscale="log", ylabel="", yticks=TICKS, yticklabels=[f"{tick:g}" for tick in TICKS])
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.get_legend().remove()
    for ax in axes.flat[len(effects) :]:
        ax.remove()
    for ax in axes[-1]:
        ax.set_xlabel("strength, times the survey's", fontsize=8)
    fig.supylabel("rmse / spread of the truth", fontsize=9)
    shared_legend(fig, axes.flat[0], count)
    return fig


@styled
@_or_note
def coverage_curves(coverage, others=None):
    """Share of stars inside their intervals against the level, one panel per parameter, one curve per third of Teff.

    Parameters
    ----------
    coverage : pandas.DataFrame
        See :func:`dtl_core.pipeline.benchmark_calibration.coverage`.
    others : dict of str to pandas.DataFrame, optional
        Dashed curves by label: columns parameter, level and share.

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, axes = _panels(figsize=(10, 3.1), sharex=True, sharey=True)
    names = {"all": "all stars", **dict(zip("012", THIRDS, strict=True))}
    for ax, name in zip(axes, PARAMETERS, strict=True):
        ax.plot([0.4, 1], [0.4, 1], color="k", lw=0.6)
        own = coverage[coverage["parameter"] == name]
        for number, (third, label) in enumerate(names.items()):
            part = own[own["third"].astype(str) == third]
            style = {"color": COLOURS[(5, 4, 3, 2)[number]], "marker": MARKERS[number], "ms": 4, "lw": 0.9}
            ax.errorbar(part["level"], part["share"], part["error"], label=label, **style)
        for label, table in (others or {}).items():
            part = table[table["parameter"] == name]
            ax.plot(part["level"], part["share"], color=RED, ls="--", marker="X", ms=5, lw=0.9, label=label)
        ax.set(title=LABELS[name], xlabel="level of the interval", ylim=(0, 1.02))
    axes[0].set_ylabel("share of stars inside")
    shared_legend(fig, axes[0], 6)
    return fig


@styled
@_or_note
def rank_histograms(ranks, n_bins=10):
    """Histograms of the rank of the truth in each star's posterior; the band holds 95 % of the bins if uniform.

    Parameters
    ----------
    ranks : dict of str to (n_stars,) array
        See :func:`dtl_core.estimates.diagnostics.sbc_ranks`.
    n_bins : int

    Returns
    -------
    matplotlib.figure.Figure
    """
    from scipy.stats import binom

    fig, axes = _panels(len(ranks), (10, 2.6), sharey=True)
    for ax, (name, rank) in zip(axes, ranks.items(), strict=True):
        low, high = binom.ppf([0.025, 0.975], len(rank), 1 / n_bins)
        ax.axhspan(low, high, color=GREY, alpha=0.25, lw=0)
        ax.hist(rank, bins=np.linspace(0, 1, n_bins + 1), histtype="stepfilled", color=BLUE, alpha=0.6)
        ax.set(title=LABELS[name], xlabel="rank of the truth")
    axes[0].set_ylabel("stars")
    return fig


@styled
@_or_note
def expected_coverage(curves):
    """Expected coverage of joint posteriors against the level, one panel per calibration.

    Parameters
    ----------
    curves : dict of str to pandas.DataFrame
        By title, see :func:`dtl_core.pipeline.benchmark_calibration.joint_diagnostics`. Surveys are thin lines, their
        mean is a thick one.

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, axes = _panels(len(curves), (3.4 * len(curves), 3.2), sharey=True, squeeze=False)
    for ax, (title, table) in zip(axes[0], curves.items(), strict=True):
        ax.plot([0, 1], [0, 1], color="k", lw=0.6)
        ax.plot(table.index, table, color=GREY, lw=0.5)
        ax.plot(table.index, table.mean(axis=1), color=BLUE, lw=1.8)
        ax.set(title=title, xlabel="level of the region")
    axes[0, 0].set_ylabel("share of stars inside")
    return fig


@styled
@_or_note
def widths(tables):
    """Rms error of stars against the half width of their intervals, in bins, one panel per parameter.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
        Columns width and error by parameter.

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, axes = _panels(len(tables), (10, 2.8))
    for ax, (name, table) in zip(axes, tables.items(), strict=True):
        half, error = table["width"] / 2, table["error"]
        ax.plot(half, error, color=BLUE, marker="o", ms=4, lw=0.9)
        both = [min(half.min(), error.min()) * 0.8, max(half.max(), error.max()) * 1.2]
        ax.plot(both, both, color="k", lw=0.6)
        ax.set(xlabel="half width", title=LABELS[name])
    axes[0].set_ylabel("rms error")
    return fig


@styled
def corner_plot(samples, truth=None, others=None):
    """Joint posterior of a star in every pair of parameters.

    Parameters
    ----------
    samples : (n, 4) array
    truth : (4,) array, optional
        Drawn as lines.
    others : (n, 4) array, optional
        Samples of another posterior, drawn on top.

    Returns
    -------
    matplotlib.figure.Figure
    """
    corner = import_extra("corner", "plots")
    labels = [LABELS[name] for name in PARAMETERS]
    settings = {"labels": labels, "plot_datapoints": False, "fill_contours": False, "smooth": 1.0}
    settings["label_kwargs"] = {"fontsize": 8}
    span = [tuple(np.percentile(samples[:, k], [0.5, 99.5])) for k in range(len(PARAMETERS))]
    figure = plt.figure(figsize=(7, 7))
    corner.corner(np.asarray(samples), color=BLUE, truths=truth, truth_color=RED, fig=figure, range=span, **settings)
    if others is not None:
        corner.corner(np.asarray(others), color=ORANGE, fig=figure, range=span, **settings)
    return figure
