"""Figures of notebook 07: results of the benchmark of domain-adaptation methods."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import NullFormatter

from ..parameters import PARAMETERS
from .method_figures import BLUE, GREEN, GREY, LABELS, ORANGE, RED

__all__ = [
    "method_errors",
    "axes_kept",
    "corner_plot",
    "coverage_curves",
    "metrics_against_error",
    "rank_histograms",
    "region_bias",
    "strength_curves",
    "widths",
]


TICKS = (0.2, 0.5, 1.0, 2.0, 5.0)  # of relative errors
THIRDS = ("cool", "middle", "hot")
COLOURS = (GREY, RED, ORANGE, GREEN, "#56B4E9", BLUE, "#CC79A7", "k")  # Okabe-Ito
MARKERS = "osD^vP*X"


def method_errors(mean, spread, best="combined", scale=None):
    """Rmse of every method with its spread over seeds, a panel a parameter, logarithmic; methods from top to bottom.

    Arguments: mean, spread, DataFrames of methods by parameters; best, drawn in colour; scale, parameter -> rmse of
    always predicting the mean, a dotted line.
    """
    fig, axes = plt.subplots(
        1, len(PARAMETERS), figsize=(9.5, 0.28 * len(mean) + 1.2), sharey=True, layout="constrained"
    )
    place = np.arange(len(mean))[::-1]
    for ax, name in zip(axes, PARAMETERS, strict=True):
        colours = [BLUE if method == best else GREY for method in mean.index]
        ax.hlines(place, mean[name] - spread[name], mean[name] + spread[name], colors=colours, lw=1.2)
        ax.scatter(mean[name], place, c=colours, s=22, zorder=3)
        if scale:
            ax.axvline(scale[name], color=RED, ls=":", lw=1)
        ax.set(xscale="log", xlabel=LABELS[name], yticks=place, yticklabels=list(mean.index))
        ax.grid(axis="x", which="major", lw=0.3)
    fig.supxlabel("rmse against the truth", fontsize=9)
    return fig


def region_bias(errors, methods):
    """Bias of some methods in each third of Teff, a panel a parameter: mean over seeds with their spread."""
    fig, axes = plt.subplots(1, len(PARAMETERS), figsize=(10, 3.2), layout="constrained")
    own = errors[errors["region"].astype(str) != "all"]
    for ax, name in zip(axes, PARAMETERS, strict=True):
        for number, method in enumerate(methods):
            part = own[(own["arm"] == method) & (own["parameter"] == name)].groupby("region")["bias"]
            x = np.arange(3) + 0.12 * (number - len(methods) / 2)
            style = {"color": COLOURS[number], "marker": MARKERS[number], "ms": 4, "lw": 0.8, "label": method}
            ax.errorbar(x, part.mean().to_numpy(float), part.std().to_numpy(float), **style)
        ax.axhline(0, color="k", lw=0.6)
        ax.set(xticks=range(3), xticklabels=THIRDS, ylabel=f"bias of {LABELS[name]}")
    fig.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(methods), fontsize=8, frameon=False
    )
    return fig


def axes_kept(axes):
    """How the latent units of fine-tuned encoders agree with their former selves; ``axes`` as of the record."""
    fig, panels = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    own = axes[axes["live"] & (axes["arm"] != "autoencoder")]
    for number, (method, part) in enumerate(own.groupby("arm", sort=False)):
        style = {"histtype": "step", "color": (RED, BLUE)[number % 2], "lw": 1.4, "label": method}
        panels[0].hist(part["correlation"].dropna(), bins=np.linspace(-1, 1, 31), **style)
        moved = part["moved"][np.isfinite(part["moved"])]
        panels[1].hist(np.log10(moved[moved > 0]), bins=np.linspace(-2.5, 2, 31), **style)
    panels[0].set(xlabel="correlation of a unit, before and after", ylabel="live latent units")
    panels[1].set(xlabel=r"$\log_{10}$ of the rms change / synthetic spread")
    panels[0].legend(fontsize=8, frameon=False, loc="upper left")
    return fig


def metrics_against_error(gaps, relative):
    """Relative error of the methods against each gap metric of their latents, a panel a metric, a point a seed."""
    metrics = list(gaps["metric"].unique())
    fig, axes = plt.subplots(1, len(metrics), figsize=(10, 3.4), sharey=True, layout="constrained")
    methods = [method for method in gaps["arm"].unique() if method != "fluxes"]
    colours = plt.get_cmap("cividis")(np.linspace(0, 1, len(methods)))
    for ax, metric in zip(axes, metrics, strict=True):
        own = gaps[gaps["metric"] == metric].set_index(["arm", "seed"])["value"]
        for number, method in enumerate(methods):
            x, y = own.loc[method], relative.loc[method]
            ax.scatter(
                x, y.loc[x.index], marker=MARKERS[number % len(MARKERS)], color=colours[number], s=20, label=method
            )
        logarithmic = own[methods].gt(0).all() and metric != "AUC"
        ax.set(yscale="log", xscale="log" if logarithmic else "linear", xlabel=metric)
    axes[0].set_ylabel("rmse / spread of the truth")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    return fig


def strength_curves(relative, marked="combined"):
    """Relative error of some methods against the strength of each injected effect, a panel an effect.

    Arguments: relative, Series by effect, strength and method.
    """
    table = relative.reset_index()
    effects, methods = table["effect"].unique(), list(table["arm"].unique())
    at_one = table[table["strength"] == 1].set_index("arm")["relative"]
    rows = -(-len(effects) // 3)
    fig, axes = plt.subplots(rows, 3, figsize=(9.5, 2.2 * rows + 0.5), sharex=True, sharey=True, squeeze=False,
                             layout="constrained")  # fmt: skip
    for ax, effect in zip(axes.flat, effects, strict=False):
        own = table[(table["effect"] == effect) & (table["strength"] != 1)]
        for number, method in enumerate(methods):
            part = own[own["arm"] == method]
            x, y = np.append(part["strength"], 1), np.append(part["relative"], at_one[method])
            order = np.argsort(x)
            style = {
                "color": COLOURS[number],
                "marker": MARKERS[number],
                "ms": 3.5,
                "lw": 1.8 if method == marked else 0.9,
            }
            ax.plot(x[order], y[order], label=method, **style)
        ax.set_title(effect.replace("_", " "), fontsize=9)
        ax.set(yscale="log", yticks=TICKS, yticklabels=[f"{tick:g}" for tick in TICKS])
        ax.yaxis.set_minor_formatter(NullFormatter())
    for ax in axes.flat[len(effects) :]:
        ax.remove()
    for ax in axes[-1]:
        ax.set_xlabel("strength, times the survey's", fontsize=8)
    fig.supylabel("rmse / spread of the truth", fontsize=9)
    fig.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(methods), fontsize=8,
               frameon=False)  # fmt: skip
    return fig


def coverage_curves(coverage, others=None):
    """Share of stars inside their intervals against the level, a panel a parameter, the thirds of Teff apart.

    Arguments
    ---------
    coverage : DataFrame, see :func:`dtl_core.pipeline.benchmark_results.coverage`
    others : dict of label -> DataFrame of parameter, level and share, drawn dashed
    """
    fig, axes = plt.subplots(1, len(PARAMETERS), figsize=(10, 3.1), sharex=True, sharey=True, layout="constrained")
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
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    return fig


def rank_histograms(ranks, n_bins=10):
    """Histograms of the truth's ranks within each star's posterior, with the band in which uniform ones lie.

    Arguments: ranks, parameter -> (n,) of 0..1; the band holds 95 % of the bins.
    """
    from scipy.stats import binom

    fig, axes = plt.subplots(1, len(ranks), figsize=(10, 2.6), sharey=True, layout="constrained")
    for ax, (name, rank) in zip(axes, ranks.items(), strict=True):
        low, high = binom.ppf([0.025, 0.975], len(rank), 1 / n_bins)
        ax.axhspan(low, high, color=GREY, alpha=0.25, lw=0)
        ax.hist(rank, bins=np.linspace(0, 1, n_bins + 1), histtype="stepfilled", color=BLUE, alpha=0.6)
        ax.set(title=LABELS[name], xlabel="rank of the truth")
    axes[0].set_ylabel("stars")
    return fig


def widths(tables):
    """Error of stars against the width of their intervals, in bins; ``tables`` is parameter -> table."""
    fig, axes = plt.subplots(1, len(tables), figsize=(10, 2.8), layout="constrained")
    for ax, (name, table) in zip(axes, tables.items(), strict=True):
        half, error = table["width"] / 2, table["error"]
        ax.plot(half, error, color=BLUE, marker="o", ms=4, lw=0.9)
        both = [min(half.min(), error.min()) * 0.8, max(half.max(), error.max()) * 1.2]
        ax.plot(both, both, color="k", lw=0.6)
        ax.set(xlabel="half width", title=LABELS[name])
    axes[0].set_ylabel("rms error")
    return fig


def corner_plot(samples, truth=None, others=None):
    """Joint posterior of a star: its samples (n, 4) in every pair of parameters, the truth as lines.

    Arguments: others, (n, 4) samples of another kind, drawn over them.
    """
    import corner

    labels = [LABELS[name] for name in PARAMETERS]
    settings = {"labels": labels, "plot_datapoints": False, "fill_contours": False, "smooth": 1.0}
    settings["label_kwargs"] = {"fontsize": 8}
    span = [tuple(np.percentile(samples[:, k], [0.5, 99.5])) for k in range(len(PARAMETERS))]
    figure = plt.figure(figsize=(7, 7))
    corner.corner(np.asarray(samples), color=BLUE, truths=truth, truth_color=RED, fig=figure, range=span, **settings)
    if others is not None:
        corner.corner(np.asarray(others), color=ORANGE, fig=figure, range=span, **settings)
    return figure
