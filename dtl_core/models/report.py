"""A one-page report on one spectrum: the network input, the estimates, and how reliable they are.

page = html_report(model, examination)        self-contained, with figures
picture = png_report(model, examination)      the same figures, one below the other
"""

from __future__ import annotations

import base64
import html
import io
import warnings

import numpy as np

from .._version import __version__
from ..arguments import a_number, checked, instance
from ..characters import legible
from ..estimates.calibration import LEVELS
from ..extras import import_extra
from ..lines import LINES
from ..parameters import PARAMETERS, TABLE, heading
from ..plots.benchmark_figures import corner_plot
from ..plots.style import BLUE, GREY, LABELS, ORANGE, RED, WAVELENGTH
from ..spectra import operators
from ..synthetic import generation, line_corrections
from .loading import Model
from .specialist import STRANGE, Examination, Specialist

__all__ = [
    "figures",
    "html_report",
    "information_figure",
    "lines_figure",
    "map_figure",
    "occlusion",
    "png_report",
    "spectrum_figure",
]


plt = import_extra("matplotlib.pyplot", "plots")
WIDTH = 0.5  # Angstrom, of the intervals that are hidden from the networks
DIGITS = {name: parameter.digits for name, parameter in TABLE.items()}
_MODEL = instance(Model, remedy="give what dtl_core.load() gives")
_SPECIALIST = instance(Specialist, remedy="give model.specialist_for(examination.resolving_power)")
_EXAMINATION = instance(Examination, remedy="give one of what dtl_core.models.prediction.examine gives")
NAMES = {name: heading(name) for name in PARAMETERS}


def occlusion(specialist, flux, width=WIDTH):
    """Measure how much estimates change when the mean training spectrum replaces part of a spectrum [1]_.

    Parameters
    ----------
    specialist : dtl_core.models.specialist.Specialist
    flux : (n_pixels,)
        Input of the networks.
    width : float, Angstrom
        Width of the replaced intervals, which overlap by half.

    Returns
    -------
    centre : (n,), Angstrom
        Centres of the intervals.
    change : (n, 4)
        In units of the predicted standard errors.

    References
    ----------
    .. [1] Zeiler & Fergus (2014), arXiv:1311.2901, section 4.2
    """
    wavelength, flux = specialist.wavelength, np.asarray(flux, np.float32)
    start = np.arange(wavelength[0], wavelength[-1] - width / 2, width / 2)
    hidden = (wavelength >= start[:, None]) & (wavelength < start[:, None] + width)
    changed = np.where(hidden, specialist.emulator.mean, flux)
    found, spread = specialist.network.both(flux[None])
    return start + width / 2, (specialist.predict(changed) - found) / spread


# ---------------------------------------------------------------- figures


@checked(specialist=_SPECIALIST, examination=_EXAMINATION)
def spectrum_figure(specialist, examination):
    """Plot the spectrum with the emulated one, in three panels, and the residual with its usual size: Figure."""
    wavelength, flux = specialist.wavelength, examination.flux
    measured = specialist.measure(flux[None], examination.found[None], examination.spread[None])
    residual = measured["residual"][0]
    usual = 1.4826 * specialist.detector.usual
    edges = np.linspace(wavelength[0], wavelength[-1], 4)
    reach = max(0.05, 1.05 * float(np.percentile(np.abs(residual), 99.5)), 2.2 * float(np.median(usual)))
    figure = plt.figure(figsize=(8.6, 8.6))
    rows = figure.add_gridspec(3, 1, left=0.1, right=0.98, bottom=0.06, top=0.98, hspace=0.2)
    for k, row in enumerate(rows):
        top, under = row.subgridspec(2, 1, height_ratios=(2.4, 1), hspace=0.08).subplots(sharex=True)
        inside = (wavelength >= edges[k]) & (wavelength <= edges[k + 1])
        x = wavelength[inside]
        top.plot(x, flux[inside], color="k", lw=0.8, label="spectrum")
        top.plot(x, (flux - residual)[inside], color=RED, lw=1.0, label="model at the estimate")
        for line in LINES:
            if edges[k] <= line.wavelength < edges[k + 1]:
                top.text(line.wavelength, 1.12, line.species, ha="center", va="bottom", color=GREY, fontsize=8)
                top.plot([line.wavelength] * 2, [1.04, 1.1], color=GREY, lw=0.7)
        low = np.floor(10 * min(flux.min(), (flux - residual).min())) / 10
        top.set(ylabel="flux / continuum", ylim=(low, 1.28), xlim=edges[k : k + 2])
        under.fill_between(x, -usual[inside], usual[inside], color=ORANGE, alpha=0.4, lw=0, label="usual (1 sigma)")
        under.plot(x, residual[inside], color=BLUE, lw=0.7, label="residual")
        under.axhline(0, color=GREY, lw=0.6)
        under.set(ylabel="residual", ylim=(-reach, reach))
    figure.axes[0].legend(loc="lower left", ncols=2, fontsize=8, frameon=False)
    figure.axes[1].legend(loc="lower left", ncols=2, fontsize=7, frameon=False)
    figure.axes[-1].set_xlabel(WAVELENGTH)
    return figure


@checked(specialist=_SPECIALIST, examination=_EXAMINATION)
def lines_figure(specialist, examination):
    """Plot what the correction of the lines by real stars changes at the estimate, and both residuals: Figure.

    Spectra of the library are interpolated to the estimate, or to the nearest labels of the library, with its own lines
    and with the most probable correction of :attr:`Specialist.corrections`, which must not be None.
    """
    config, wavelength, flux = specialist.config, specialist.wavelength, examination.flux
    labels = np.clip(examination.found, specialist.low, specialist.high)[None].astype(float)
    source = generation.source_library(config)
    for k, axis in enumerate((source.teff, source.logg, source.mh)):
        labels[:, k] = np.clip(labels[:, k], axis[0], axis[-1])
    library = operators.binned(generation.spectra_of(config, labels), config.window.step)[0]
    corrected = line_corrections.corrected_spectra(config, labels, specialist.corrections)[0]
    figure, (top, under) = plt.subplots(
        2, 1, figsize=(8.6, 5.6), sharex=True, height_ratios=(1.6, 1), layout="constrained"
    )
    top.plot(wavelength, flux, color="k", lw=0.8, label="spectrum")
    for model, color, name in ((library, GREY, "lines of the library"), (corrected, RED, "corrected lines")):
        rms = 100 * float(np.sqrt(np.mean((flux - model) ** 2)))
        top.plot(wavelength, model, color=color, lw=0.8, label=name)
        under.plot(wavelength, flux - model, color=color, lw=0.7, label=f"{name}: rms {rms:.1f} %")
    for line in LINES:
        top.text(line.wavelength, 1.06, line.species, ha="center", rotation=90, va="bottom", color=GREY, fontsize=7)
    top.set(ylabel="flux / continuum", ylim=(None, 1.3))
    under.axhline(0, color="k", lw=0.5)
    under.set(xlabel=WAVELENGTH, ylabel="residual", xlim=wavelength[[0, -1]])
    top.legend(loc="lower left", ncols=3, fontsize=7, frameon=False)
    under.legend(loc="lower left", ncols=2, fontsize=7, frameon=False)
    return figure


@checked(specialist=_SPECIALIST, examination=_EXAMINATION)
def information_figure(specialist, examination):
    """Plot the change of each estimate when part of the spectrum is hidden, below the spectrum: Figure."""
    centre, change = occlusion(specialist, examination.flux)
    figure, axes = plt.subplots(
        1 + len(PARAMETERS), 1, figsize=(8.6, 7.2), sharex=True, height_ratios=(1.6, *[1] * len(PARAMETERS)),
        layout="constrained",
    )  # fmt: skip
    axes[0].plot(specialist.wavelength, examination.flux, color="k", lw=0.7)
    for line in LINES:
        axes[0].text(line.wavelength, 1.08, line.species, ha="center", rotation=90, va="bottom", color=GREY, fontsize=7)
    axes[0].set(ylabel="flux", ylim=(None, 1.45))
    for k, (ax, name) in enumerate(zip(axes[1:], PARAMETERS, strict=True)):
        ax.fill_between(centre, change[:, k], step="mid", color=BLUE, alpha=0.7, lw=0)
        ax.axhline(0, color=GREY, lw=0.6)
        ax.set_ylabel(LABELS[name].split(" [")[0] + r" / $\sigma$")
        reach = 1.1 * max(0.1, float(np.abs(change[:, k]).max()))
        ax.set_ylim(-reach, reach)
    axes[-1].set(xlabel=WAVELENGTH, xlim=specialist.wavelength[[0, -1]])
    return figure


@checked(specialist=_SPECIALIST, examination=_EXAMINATION)
def map_figure(specialist, examination):
    """Plot the position of the spectrum among the simulated reference stars, in a UMAP of the features: Figure."""
    reference = specialist.reference
    place = specialist.place(examination.latent[None])[0]
    figure, ax = plt.subplots(figsize=(6.2, 4.8), layout="constrained")
    points = ax.scatter(*reference["map"].T, c=reference["truth"][:, 0], s=14, cmap="viridis", lw=0, alpha=0.8)
    ax.plot(*place, marker="*", ms=18, color=RED, mec="k", ls="", label="this spectrum")
    ax.set(xlabel="UMAP 1", ylabel="UMAP 2", xticks=[], yticks=[])
    ax.legend(loc="best", fontsize=8)
    figure.colorbar(points, ax=ax, label=f"true {LABELS['teff']} of simulated stars")
    return figure


@checked(specialist=_SPECIALIST, examination=_EXAMINATION)
def figures(specialist, examination):
    """All figures of the report: name -> (matplotlib Figure, caption); closed, so that a notebook shows them once.

    ``lines`` is among them only if the specialist's lines were corrected by real stars.
    """
    samples = specialist.posterior(examination.found, examination.spread, examination.report.snr)
    out = {
        "spectrum": (
            spectrum_figure(specialist, examination),
            "The spectrum as the networks saw it (black), the emulated spectrum at their estimate (red), and the "
            "residual with its usual size for simulated stars (orange). The strongest lines are named.",
        ),
        "information": (
            information_figure(specialist, examination),
            f"Which lines carry the information: the change of each estimate when the mean training spectrum replaces "
            f"an interval of {WIDTH:g} Å, in units of the error that the networks predict.",
        ),
        "posterior": (
            corner_plot(samples),
            "Joint posterior: the errors that the method made for simulated stars of similar temperature, scaled to "
            "this spectrum. Contours and histograms of all pairs of parameters.",
        ),
        "map": (
            map_figure(specialist, examination),
            "Position of the spectrum (star) among simulated benchmark stars, in a map of the networks' features. "
            "If it is far from all of them, the estimate is an extrapolation.",
        ),
    }
    if specialist.corrections is not None:
        stars = ", ".join(specialist.card["corrections"]["stars"])
        out["lines"] = (
            lines_figure(specialist, examination),
            f"What the corrected lines change: the library at the estimate with its own lines (grey) and with lines "
            f"corrected by real stars (red: {stars}), and the residual of the spectrum from each.",
        )
    for figure, _ in out.values():
        plt.close(figure)
    return out


# ---------------------------------------------------------------- pages


def _png(figure, dpi=110):
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # of a name that the font cannot show; it shows a box instead
        figure.savefig(out, format="png", dpi=dpi)
    plt.close(figure)
    return out.getvalue()


def _interval(examination, k, name, level):
    n, digits = LEVELS.index(level), DIGITS[name]
    low, high = (round(float(v[k, n]), digits) + 0.0 for v in (examination.low, examination.high))
    return f"{low:.{digits}f} to {high:.{digits}f}".replace("-", "\N{MINUS SIGN}")


_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:0 auto;padding:1rem}
body{color:#111;background:#fff}table{border-collapse:collapse;margin:1rem 0}
th,td{border:1px solid #999;padding:.3rem .7rem;text-align:right}
th{background:#eee}th[scope=row],td.left{text-align:left}img{max-width:100%;height:auto}figure{margin:1.5rem 0}
figcaption{color:#333}.warning{border-left:.4rem solid #d55e00;padding:.2rem .8rem;background:#fff3ea}"""


@checked(model=_MODEL, examination=_EXAMINATION)
def html_report(model, examination):
    """Make the report as a self-contained page; all text from the file is escaped.

    Parameters
    ----------
    model : dtl_core.models.loading.Model
    examination : dtl_core.models.specialist.Examination

    Returns
    -------
    str
    """
    specialist, report = model.specialist_for(examination.resolving_power), examination.report
    rows = []
    for k, name in enumerate(PARAMETERS):
        digits = DIGITS[name]
        value = f"{round(float(examination.median[k]), digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")
        cells = "".join(f"<td>{_interval(examination, k, name, level)}</td>" for level in (0.68, 0.90))
        rows.append(f'<tr><th scope="row">{NAMES[name]}</th><td>{value}</td>{cells}</tr>')
    facts = {
        "file": report.file,
        "instrument": report.instrument or "not given",
        "exposures": str(report.n_exposures),
        "signal-to-noise of a pixel": f"{report.snr:.0f}" if np.isfinite(report.snr) else "not given",
        "brought to R": f"{examination.resolving_power:.0f}",
        "shift found": f"{report.velocity:.2f} ± {report.e_velocity:.2f} km/s (correlation {report.correlation:.2f})",
        "barycentric radial velocity": f"{report.radial_velocity:.2f} km/s" if np.isfinite(report.radial_velocity)
        else "not known without the barycentric correction",
        "lost pixels, filled by the model": f"{report.masked_fraction:.1%}",
        "p-value against ordinary spectra": f"{examination.p:.3f} (most significant score: {examination.strange})",
        "method and models": f"{examination.method}, {legible(model.name)}, dtl-mdwarfs {__version__}",
    }  # fmt: skip
    about = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td class="left">{html.escape(str(value))}</td></tr>'
        for name, value in facts.items()
    )
    listed = "".join(f"<li>{html.escape(text)}</li>" for text in examination.warnings)
    verdict = "strange: do not trust the values blindly" if examination.p <= STRANGE else "ordinary"
    systematic = specialist.card.get("systematics", {})
    known = ", ".join(dict.fromkeys(star for found in systematic.values() for star in found["stars"]))
    bars = (
        f"They include systematic errors, learned by leaving out one star at a time ({known}); other real stars may "
        "differ more."
        if known
        else "They do not include differences between real and simulated stars."
    )
    pictures = "".join(
        f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,'
        f'{base64.b64encode(_png(figure)).decode()}"><figcaption>{html.escape(caption)}</figcaption></figure>\n'
        for figure, caption in figures(specialist, examination).values()
    )
    star = html.escape(report.star)
    library = html.escape(str(specialist.card["library"]))
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{star}: stellar parameters</title><style>{_STYLE}</style></head><body><main>
<h1>{star}</h1>
<p>Estimates from one spectrum. Compared with the spectra that the models know, it is <strong>{verdict}</strong>.</p>
<table><thead><tr><th scope="col">parameter</th><th scope="col">estimate</th><th scope="col">68 %</th>
<th scope="col">90 %</th></tr></thead><tbody>{"".join(rows)}</tbody></table>
<div{' class="warning"' if listed else ""}>{f"<h2>Warnings</h2><ul>{listed}</ul>" if listed else ""}</div>
<h2>The spectrum and how it was used</h2><table><tbody>{about}</tbody></table>
{pictures}
<h2>What the numbers are</h2>
<p>The networks learned from synthetic spectra of the library {library}, a stand-in for real stars. The intervals
contain the true values of simulated stars with the stated probabilities. {html.escape(bars)}</p>
</main></body></html>
"""


@checked(model=_MODEL, examination=_EXAMINATION, dpi=a_number(20, 600, optional=False))
def png_report(model, examination, dpi=110):
    """Make the report as a picture: name and values of the star, and the figures, one below the other.

    Parameters
    ----------
    model : dtl_core.models.loading.Model
    examination : dtl_core.models.specialist.Examination
    dpi : float

    Returns
    -------
    bytes
        PNG.
    """
    specialist = model.specialist_for(examination.resolving_power)
    lines = [f"{NAMES[n]}: {examination.median[k]:.{DIGITS[n]}f} ({_interval(examination, k, n, 0.68)})"
             for k, n in enumerate(PARAMETERS)]  # fmt: skip
    head = plt.figure(figsize=(8.6, 1.5))
    head.text(0.03, 0.8, examination.report.star[:60], fontsize=15, weight="bold", va="center", parse_math=False)
    head.text(0.03, 0.48, "    ".join(lines[:2]), fontsize=10, va="center", parse_math=False)
    head.text(0.03, 0.26, "    ".join(lines[2:]), fontsize=10, va="center", parse_math=False)
    warning = f"p = {examination.p:.3f}" + (f"; {len(examination.warnings)} warnings" if examination.warnings else "")
    head.text(0.03, 0.06, warning, fontsize=9, color=RED if examination.warnings else "k", va="center")
    made = [head, *(figure for figure, _ in figures(specialist, examination).values())]
    images = [plt.imread(io.BytesIO(_png(figure, dpi)))[..., :3] for figure in made]
    width = max(image.shape[1] for image in images)
    padded = [np.pad(i, ((0, 0), (0, width - i.shape[1]), (0, 0)), constant_values=1.0) for i in images]
    out = io.BytesIO()
    plt.imsave(out, np.concatenate(padded), format="png")
    return out.getvalue()
