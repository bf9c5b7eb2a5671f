"""Figures of notebooks 01 to 04 and of the book's star pages; functions take arrays and return matplotlib figures."""

from __future__ import annotations

import io
import textwrap

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import NullFormatter

from ..estimates.density import kde_curve, kde_mode
from ..parameters import PARAMETERS, TABLE
from .style import BLUE, GREEN, GREY, LABELS, ORANGE, RED, SKY, SMALL, WAVELENGTH, shared_legend, styled

__all__ = [
    "architecture",
    "as_svg",
    "contractive_penalties",
    "domain_map",
    "effect_bars",
    "error_change",
    "errors_against_time",
    "job_graph",
    "kde_panel",
    "latent_image",
    "latent_maps",
    "latent_units",
    "line_corrections",
    "loss_curves",
    "model_comparison",
    "predictions",
    "reconstruction",
    "regression_curves",
    "star_spectrum",
]


SQUARED = {  # labels of squared errors
    name: f"{p.latex} [{f'({p.latex_unit})' if ' ' in p.latex_unit else p.latex_unit}$^2$]" for name, p in TABLE.items()
}


def as_svg(figure):
    """Close a figure and return it as SVG bytes, which are reproducible."""
    buffer = io.BytesIO()
    with plt.style.context(["default", {"svg.hashsalt": "dtl"}]):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return buffer.getvalue()


@styled
def model_comparison(wavelength, spectra, models, titles, part=(8803.0, 8816.0)):
    """Observed spectra and the nearest synthetic ones in a part of the window, one panel each.

    The area between the two is shaded; the title gives the rms difference over all pixels.

    Parameters
    ----------
    wavelength : (n_pixels,) array, vacuum A
    spectra, models : (n_spectra, n_pixels) array
    titles : list of str
    part : (float, float)
        First and last wavelength drawn, A. In the whole window, lines and residuals would run into one another.

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, axes = plt.subplots(
        len(spectra), 1, figsize=(9, 2.1 * len(spectra)), sharex=True, layout="constrained", squeeze=False
    )
    inside = (wavelength >= part[0]) & (wavelength <= part[1])
    for ax, spectrum, model, title in zip(axes[:, 0], spectra, models, titles, strict=True):
        shown = wavelength[inside], spectrum[inside], model[inside]
        ax.fill_between(*shown, color=RED, alpha=0.4, lw=0, label="difference")
        ax.plot(shown[0], shown[1], color="k", lw=0.9, label="observed")
        ax.plot(shown[0], shown[2], color=BLUE, lw=1.0, ls="--", label="nearest synthetic")
        rms = np.sqrt(np.mean((spectrum - model) ** 2))
        ax.set_title(f"{title}: rms difference {100 * rms:.1f} % of the continuum", fontsize=9, loc="left")
        ax.set_ylabel("flux / continuum")
    axes[0, 0].legend(loc="lower right", ncols=3, **SMALL)
    axes[-1, 0].set(xlabel=WAVELENGTH, xlim=part)
    return fig


@styled
def effect_bars(sizes):
    """Bars of the rms change of flux caused by each effect of the survey.

    Parameters
    ----------
    sizes : dict of str to float
        Change as a fraction of the continuum, by effect.

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
    names = sorted(sizes, key=sizes.get)
    ax.barh([n.replace("_", " ") for n in names], [100 * sizes[n] for n in names], color=BLUE)
    ax.set_xlabel("rms change of flux [% of the continuum]")
    return fig


@styled
def domain_map(synthetic, observed, teff):
    """Two-dimensional map of both domains: synthetic spectra coloured by Teff, observed spectra as triangles.

    Parameters
    ----------
    synthetic : (n_synthetic, 2) array
    observed : (n_observed, 2) array
    teff : (n_synthetic,) array, K

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, ax = plt.subplots(figsize=(6.4, 5), layout="constrained")
    _draw_map(ax, synthetic, observed, teff)
    return fig


def _draw_map(ax, synthetic, observed, teff, title=""):
    points = ax.scatter(*synthetic.T, c=teff, s=5, cmap="viridis", rasterized=True, label="synthetic")
    ax.scatter(*observed.T, marker="^", s=16, facecolor="none", edgecolor=RED, lw=0.8, label="observed")
    ax.set(xlabel="UMAP 1", ylabel="UMAP 2", title=title, xticks=[], yticks=[])
    ax.legend(fontsize=8, loc="best")
    ax.figure.colorbar(points, ax=ax, label=LABELS["teff"])


@styled
def latent_maps(maps, teff):
    """Maps of the latents before and after fine-tuning, side by side.

    Parameters
    ----------
    maps : dict of str to (array, array)
        Synthetic and observed points by title, as for :func:`domain_map`.
    teff : (n_synthetic,) array, K

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, axes = plt.subplots(1, len(maps), figsize=(5.6 * len(maps), 4.4), layout="constrained")
    for ax, (title, (synthetic, observed)) in zip(np.atleast_1d(axes), maps.items(), strict=True):
        _draw_map(ax, synthetic, observed, teff, title)
    return fig


@styled
def architecture(widths, frozen=4):
    """The layers of an autoencoder as boxes; the layers frozen in fine-tuning are hatched.

    Parameters
    ----------
    widths : list of int
        Widths of the layers from the input to the latent.
    frozen : int
        Number of frozen layers.

    Returns
    -------
    matplotlib.figure.Figure
    """
    sizes = [*widths, *widths[-2::-1]]
    fig, ax = plt.subplots(figsize=(9, 3.4), layout="constrained")
    for k, size in enumerate(sizes):
        height = 0.12 + np.log10(size) / np.log10(max(sizes))
        bottleneck, is_frozen = k == len(widths) - 1, 1 <= k <= frozen
        ax.bar(
            k,
            2 * height,
            bottom=-height,
            width=0.62,
            color=ORANGE if bottleneck else BLUE,
            alpha=0.85,
            hatch="//" if is_frozen else None,
            edgecolor="white",
        )
        ax.text(k, height + 0.06, str(size), ha="center", fontsize=9)
    names = ["flux", *["encoder"] * (len(widths) - 2), "latent", *["decoder"] * (len(widths) - 2), "flux"]
    ax.set(xticks=range(len(sizes)), ylim=(-1.3, 1.45), yticks=[])
    ax.set_xticklabels(names, fontsize=8)
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)
    return fig


@styled
def loss_curves(histories, labels, ylabel="mean squared error of the test spectra"):
    """Test error of each autoencoder against the epoch.

    Parameters
    ----------
    histories : list of (n_epochs,) array
    labels : list of str
        Shown for up to ten curves.
    ylabel : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    for k, (history, label) in enumerate(zip(histories, labels, strict=True)):
        test = np.asarray(history)
        ax.semilogy(
            np.arange(1, len(test) + 1),
            test,
            lw=1.2,
            ls=("-", "--", "-.", ":")[k % 4],
            label=label,
            color=plt.cm.viridis(0.9 * k / max(1, len(labels) - 1)),
        )
    ax.set(xlabel="epoch", ylabel=ylabel)
    if len(labels) <= 10:
        ax.legend(**SMALL)
    return fig


@styled
def reconstruction(wavelength, flux, outputs):
    """A spectrum, its reconstructions, and their residuals below.

    Parameters
    ----------
    wavelength, flux : (n_pixels,) array
    outputs : dict of str to (n_pixels,) array
        Reconstructions by label.

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, (top, low) = plt.subplots(2, 1, figsize=(9, 4.6), sharex=True, height_ratios=(2.2, 1), layout="constrained")
    top.plot(wavelength, flux, color="k", lw=0.9, label="input")
    for (label, output), color in zip(outputs.items(), (BLUE, RED, GREEN), strict=False):
        top.plot(wavelength, output, color=color, lw=0.9, label=label)
        low.plot(wavelength, flux - output, color=color, lw=0.7)
    low.axhline(0, color=GREY, lw=0.6)
    top.set_ylabel("flux / continuum")
    top.legend(fontsize=8, loc="lower right", ncols=3, frameon=False)
    low.set(xlabel=WAVELENGTH, ylabel="input $-$ output", xlim=wavelength[[0, -1]])
    return fig


@styled
def latent_image(latent, shape=(8, 4)):
    """The latent vector of one spectrum as an image; crosses mark units at zero.

    Parameters
    ----------
    latent : (n_units,) array
    shape : (int, int)

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, ax = plt.subplots(figsize=(3, 4.6), layout="constrained")
    image = np.reshape(latent, shape)
    shown = ax.imshow(image, cmap="viridis")
    rows, columns = np.nonzero(image == 0)
    ax.plot(columns, rows, "x", color="w", ms=5)
    ax.set(xticks=[], yticks=[])
    fig.colorbar(shown, ax=ax, label="activation", shrink=0.8)
    return fig


@styled
def contractive_penalties(latent, penalties):
    """Compare the two forms of the contractive penalty: their factor for a bottleneck unit, and their values.

    Parameters
    ----------
    latent : (n_spectra, n_units)
    penalties : dict of form, ``exact`` and ``paper``, to (n_spectra,)
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    live = latent[latent > 0]
    h = np.linspace(0, max(1.5, np.percentile(live, 95)), 200)
    counts = left.twinx()
    counts.hist(live, h[::8], color=GREY, alpha=0.3)
    counts.set_yticks([])
    left.plot(h, np.ones(len(h)), color=BLUE, label="exact: derivative of the ReLU, squared")
    left.plot(h, (h * (1 - h)) ** 2, color=RED, ls="--", label=r"paper: $h^2 (1 - h)^2$")
    left.fill_between([], [], color=GREY, alpha=0.3, label="latents: histogram")
    left.set(xlabel="activation $h$ of a bottleneck unit", ylabel="factor in the penalty", ylim=(0, 2))
    left.legend(fontsize=8, frameon=False, loc="upper center")
    right.loglog(penalties["exact"], penalties["paper"], "o", ms=3, color=BLUE, alpha=0.6)
    right.set(xlabel="penalty of a spectrum, exact", ylabel="penalty of a spectrum, paper")
    right.xaxis.set_minor_formatter(NullFormatter())
    return fig


@styled
def latent_units(latents, least=0.05):
    """Mean and standard deviation of the bottleneck units that vary.

    Parameters
    ----------
    latents : dict of label to (n, n_units), the synthetic spectra first
    least : float
        Units are shown if they spread by at least this part of the largest spread over the synthetic spectra.
    """
    fig, ax = plt.subplots(figsize=(9, 3.4), layout="constrained")
    spread = next(iter(latents.values())).std(0)
    units = np.flatnonzero(spread >= least * spread.max())
    styles = zip((GREY, BLUE, RED), ("s", "o", "^"), strict=True)
    for k, ((label, values), (color, marker)) in enumerate(zip(latents.items(), styles, strict=False)):
        x, shown = np.arange(len(units)) + 0.25 * (k - 1), values[:, units]
        ax.errorbar(x, shown.mean(0), shown.std(0), color=color, fmt=marker, ms=4, lw=1.2, label=label)
    ax.set(xlabel="bottleneck unit", ylabel="activation", xticks=range(len(units)))
    ax.set_xticklabels(units, fontsize=8)
    ax.legend(fontsize=8, frameon=False, ncols=3)
    return fig


@styled
def error_change(before, after):
    """Histograms of the reconstruction error of each observed star before and after fine-tuning.

    Parameters
    ----------
    before, after : (n_stars,) array

    Returns
    -------
    matplotlib.figure.Figure
    """
    import seaborn as sns

    fig, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
    errors = {"before fine-tuning": before, "after fine-tuning": after}
    sns.histplot(errors, bins=29, log_scale=True, palette=[BLUE, ORANGE], alpha=0.7, linewidth=0.3, ax=ax)
    ax.set(xlabel="mean squared reconstruction error of a star", ylabel="stars")
    sns.move_legend(ax, "best", title=None, **SMALL)
    return fig


@styled
def regression_curves(history, column):
    """Test errors of the regressors of one autoencoder, one panel per parameter.

    Parameters
    ----------
    history : (n_epochs, n_regressors) array
        Mean squared errors.
    column : (n_regressors,) array of int
        Index of the parameter of each regressor.

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, axes = plt.subplots(1, 4, figsize=(11, 2.9), layout="constrained")
    for k, (ax, name) in enumerate(zip(axes, PARAMETERS, strict=True)):
        ax.semilogy(np.arange(1, len(history) + 1), np.sqrt(history[:, column == k]), color=BLUE, lw=1, alpha=0.8)
        ax.set(xlabel="epoch", title=LABELS[name])
    axes[0].set_ylabel("rms error of the test set")
    return fig


@styled
def errors_against_time(curves, targets=None, titles=None):
    """Test errors while networks train, against wall time, both logarithmic.

    Thick lines are the lowest error so far, faint ones that of each epoch; dots mark when a target is reached.

    Parameters
    ----------
    curves : dict of str to dict of str to (array, array)
        Seconds and errors at the end of every epoch, by panel and label.
    targets : dict of str to float, optional
        Error to be reached, by panel.
    titles : dict of str to str, optional
        By panel.

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, axes = plt.subplots(1, len(curves), figsize=(max(5.6, 2.8 * len(curves)), 3.2), layout="constrained")
    styles = list(zip((GREY, "k", BLUE, GREEN), (":", "--", "-", "-."), strict=True))
    for ax, (panel, lines) in zip(np.atleast_1d(axes), curves.items(), strict=True):
        for (label, (seconds, errors)), (color, style) in zip(lines.items(), styles, strict=False):
            best = np.minimum.accumulate(np.asarray(errors))
            ax.loglog(seconds, best, color=color, ls=style, lw=1.5, label=label)
        if targets:
            ax.axhline(targets[panel], color=RED, lw=0.8)
            for (seconds, errors), (color, _) in zip(lines.values(), styles, strict=False):
                for k in np.flatnonzero(np.asarray(errors) <= targets[panel])[:1]:
                    ax.plot(seconds[k], errors[k], "o", color=color, mec="white", ms=7, zorder=4)
        for (seconds, errors), (color, _) in zip(lines.values(), styles, strict=False):
            ax.plot(seconds, errors, color=color, lw=0.4, alpha=0.3, zorder=1)
        ax.set(xlabel="seconds on one core", title=(titles or SQUARED).get(panel, panel))
    first = np.atleast_1d(axes)[0]
    first.set_ylabel("mean squared error of the test set")
    shared_legend(fig, first, 2, "outside upper center")
    return fig


@styled
def predictions(truth, predicted):
    """Predicted against true labels, one panel per parameter.

    Parameters
    ----------
    truth, predicted : dict of str to (n_stars,) array

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, axes = plt.subplots(1, len(truth), figsize=(3.1 * len(truth), 3.2), layout="constrained")
    for ax, name in zip(np.atleast_1d(axes), truth, strict=True):
        x, y = np.asarray(truth[name]), np.asarray(predicted[name])
        ax.plot(x, y, ".", ms=2, color=BLUE, alpha=0.5, rasterized=True)
        ends = [min(x.min(), y.min()), max(x.max(), y.max())]
        ax.plot(ends, ends, color=GREY, lw=0.8, ls="--", zorder=0)
        ax.set(xlabel=f"true {LABELS[name]}", ylabel="predicted")
    return fig


@styled
def kde_panel(values, truth=None, name="teff", *, grid_size=1024, rule="ISJ"):
    """Kernel density of the estimates of one star with its mode, its 1-sigma bounds and, if known, the truth.

    Parameters
    ----------
    values : (n_estimates,) array
    truth : float, optional
    name : str
        Parameter.
    grid_size, rule
        See :func:`dtl_core.estimates.density.kde_curve`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, ax = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
    x, density = kde_curve(values, grid_size=grid_size, rule=rule)
    mode, lower, upper = (v[0] for v in kde_mode(np.asarray(values)[:, None], grid_size=grid_size, rule=rule))
    if x is not None:
        ax.plot(x, density, color=BLUE)
        inside = (x >= mode - lower) & (x <= mode + upper)
        ax.fill_between(x[inside], density[inside], color=BLUE, alpha=0.2, label=r"1 $\sigma$")
    ax.plot(values, np.zeros(len(values)), "|", color="k", ms=12, label="single regressors")
    ax.axvline(mode, color=BLUE, lw=1, label="mode")
    if truth is not None:
        ax.axvline(truth, color=RED, lw=1.2, ls="--", label="truth")
    ax.set(xlabel=LABELS[name], ylabel="density", ylim=(0, None))
    ax.legend(**SMALL)
    return fig


@styled
def star_spectrum(wavelength, model, observed=None, *, lines=(), masked=()):
    """An observed and a synthetic spectrum in three rows, with line names and residuals; legible on a phone.

    Parameters
    ----------
    wavelength, model : (n_pixels,) array, vacuum A
        The continuum is 1.
    observed : (n_pixels,) array, optional
        Without it, only the synthetic spectrum is drawn.
    lines : iterable of (float, str)
        Wavelength [A] and name of each line.
    masked : iterable of (float, float)
        First and last wavelength [A] of each interpolated range.

    Returns
    -------
    matplotlib.figure.Figure
    """
    edges, alone = np.linspace(wavelength[0], wavelength[-1], 4), observed is None
    residual = np.zeros(len(model)) if alone else observed - model
    bottom = np.floor(10 * min(model.min(), 1.0 if alone else observed.min())) / 10
    reach = max(0.05, np.ceil(20 * np.percentile(np.abs(residual), 99.5)) / 20)
    fig = plt.figure(figsize=(5.2, 5.2 if alone else 7.8))
    # no constrained layout, whose last digits differ between runs: the file would differ too
    low, gap, ratios = (0.09, 0.28, (1,)) if alone else (0.06, 0.17, (2.6, 1))
    rows = fig.add_gridspec(3, 1, left=0.155, right=0.98, bottom=low, top=0.985, hspace=gap)
    for k, row in enumerate(rows):
        top, *under = row.subgridspec(len(ratios), 1, height_ratios=ratios, hspace=0.09).subplots(
            sharex=True, squeeze=False
        )[:, 0]
        inside = (wavelength >= edges[k]) & (wavelength <= edges[k + 1])
        if not alone:
            top.plot(wavelength[inside], observed[inside], color="k", lw=0.8, label="observed")
        name = "synthetic" if alone else "nearest synthetic"
        top.plot(wavelength[inside], model[inside], color=RED, lw=1.0, alpha=0.9, label=name)
        for line, species in lines:
            if edges[k] <= line < edges[k + 1]:
                colour = GREY if species == "FeH" else "k"
                top.plot([line, line], [1.09, 1.16], color=colour, lw=0.7)
                top.text(line, 1.18, species, ha="center", va="bottom", color=colour, fontsize=8)
        top.set(ylabel="flux / continuum", ylim=(bottom, 1.3), xlim=edges[k : k + 2])
        top.set_yticks(np.arange(np.ceil(4 * bottom) / 4, 1.01, 0.25))
        for ax in under:
            ax.plot(wavelength[inside], residual[inside], color=BLUE, lw=0.7)
            ax.axhline(0, color=GREY, lw=0.6)
            ax.set(ylabel="residual", ylim=(-reach, reach))
        for ax in (top, *under):
            ax.yaxis.set_label_coords(-0.13, 0.5)
            for start, stop in masked:
                ax.axvspan(start, stop, color=GREY, alpha=0.25, lw=0)
    fig.axes[0].legend(loc="lower left", ncols=2, **SMALL)
    fig.axes[-1].set_xlabel(WAVELENGTH)
    return fig


@styled
def line_corrections(wavelength, spectra, factor, added, lines):
    """Spectra with the lines of a library and with corrected ones, and the corrections below them.

    Parameters
    ----------
    wavelength : (n_pixels,) array, vacuum A
    spectra : dict of str to (n_pixels,) array
        Flux over continuum of two spectra by name, the corrected one last.
    factor, added : (3, n_pixels) arrays
        Most probable value, low and high end of its range: ln of the factor of the optical depth of known lines, and
        optical depth that is added.
    lines : iterable of (float, str)
        Wavelength [A] and species of each line.

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig = plt.figure(figsize=(9, 7.2))
    # no constrained layout, see star_spectrum
    grid = fig.add_gridspec(3, 1, left=0.085, right=0.985, bottom=0.07, top=0.93, hspace=0.08, height_ratios=(2, 1, 1))
    top, *below = grid.subplots(sharex=True)
    for (name, flux), (colour, dash) in zip(spectra.items(), ((BLUE, "--"), ("k", "-")), strict=True):
        top.plot(wavelength, flux, color=colour, ls=dash, lw=0.9, label=name)
    labels = "$\\ln$ factor of\noptical depth", "added\noptical depth"
    for ax, (middle, low, high), label in zip(below, (factor, added), labels, strict=True):
        ax.fill_between(wavelength, low, high, color=SKY, alpha=0.5, lw=0, label="68 % of the draws")
        ax.plot(wavelength, middle, color="k", lw=0.8, label="most probable")
        ax.axhline(0, color=GREY, lw=0.6)
        ax.set_ylabel(label)
        ax.yaxis.set_label_coords(-0.055, 0.5)
    for line, species in lines:
        colour, dash = (GREY, ":") if species == "FeH" else (RED, "--")
        for ax in (top, *below):
            ax.axvline(line, color=colour, ls=dash, lw=0.7, zorder=0)
        place = {"transform": top.get_xaxis_transform(), "ha": "center", "va": "bottom", "rotation": 90}
        top.text(line, 1.02, species, color=colour, fontsize=8, **place)
    top.set(ylabel="flux / continuum", xlim=wavelength[[0, -1]])
    below[-1].set_xlabel(WAVELENGTH)
    top.legend(loc="lower left", ncols=2, **SMALL)
    below[0].legend(loc="upper right", ncols=2, **SMALL)
    return fig


@styled
def job_graph(graph, captions, rows):
    """The rules of a workflow as boxes, each in a column after those that it depends on, with arrows between them.

    Parameters
    ----------
    graph : dict of str to list of str
        The rules that each rule depends on, which come first in the dict.
    captions : dict of str to str
        What each rule makes.
    rows : dict of str to float
        Vertical position of each rule.

    Returns
    -------
    matplotlib.figure.Figure
    """
    column, behind, boxes = {}, {}, {}
    for rule, before in graph.items():
        column[rule] = 1 + max((column[other] for other in before), default=-1)
        behind[rule] = set(before).union(*(behind[other] for other in before))
    n_columns = 1 + max(column.values())
    fig, ax = plt.subplots(figsize=(1.36 * n_columns, 5.4), layout="constrained")
    ax.set(xlim=(-0.5, n_columns - 0.5), ylim=(min(rows.values()) - 0.6, max(rows.values()) + 0.6))
    ax.axis("off")
    for rule in graph:
        text = f"$\\bf{{{rule}}}$\n" + textwrap.fill(captions[rule], 13)
        style = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": BLUE}
        place = ax.text(column[rule], rows[rule], text, ha="center", va="center", fontsize=9, bbox=style, zorder=3)
        boxes[rule] = place.get_bbox_patch()
    for rule, before in graph.items():
        for other in before:
            if any(other in behind[third] for third in before):
                continue  # implied by another dependency
            ends = [(column[name], rows[name]) for name in (rule, other)]
            far = column[rule] - column[other] > 1
            style = {"arrowstyle": "-|>", "color": GREY, "lw": 1.1, "patchA": boxes[other], "patchB": boxes[rule]}
            style["connectionstyle"] = f"arc3,rad={0.15 if far and rows[other] < rows[rule] else 0}"
            ax.annotate("", *ends, arrowprops=style, zorder=1)
    return fig
