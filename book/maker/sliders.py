"""The page on which four sliders set the labels of a synthetic spectrum, drawn in the browser without any server.

    files = slider_files(run)               name below book/generated -> text or bytes
    flux = drawn(node_data(window, continuum), labels)

The page holds the embedded library's spectra at its nodes. ``book/_static/sliders.js`` interpolates and rotates them;
:func:`drawn` does the same with the same numbers, so that what the page draws is measured when it is made.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import json

import numpy as np

from dtl_core.lines import LINES
from dtl_core.spectra import operators
from dtl_core.synthetic import generation, libraries
from dtl_core.synthetic.libraries import library_hash

from .interactive import png
from .markdown import NBSP, number

__all__ = ["RESOLVING_POWER", "accuracy", "drawn", "node_data", "pack", "slider_files", "unpack"]


RESOLVING_POWER = 94_600.0  # CARMENES VIS, as in the paper
COOLEST = 2600.0  # K: below, the library's atmospheres are extrapolated
VSINI = (0.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0)  # km/s: the continuum is tabulated here, linear in between
N_PIXELS, FINE = 1024, 4  # of a node's spectrum, a power of two; how much finer the drawn one is before resampling
EDGE = 1.0  # A on either side of the window, more than the fastest rotation spreads a line
TOP = 1.15  # upper end of the flux axis: no spectrum reaches it
N_TESTS, SEED = 200, 11  # random labels at which the page is measured
ALT = (
    "Line plots of flux over continuum against wavelength, synthetic spectra one above the other from cool to hot. "
    "Many narrow lines of the coolest star fade with temperature, while a few broad ones remain."
)


def pack(values, size=2):
    """Numbers as integers of 1 or 2 bytes, low byte first: value = low + step x integer; for ``dtlUnpack``."""
    low, step = float(values.min()), float(np.ptp(values)) / (256**size - 1) or 1.0
    stored = np.round((values - low) / step).astype(f"<u{size}").tobytes()
    return {"low": low, "step": step, "size": size, "base64": base64.b64encode(stored).decode()}


def unpack(packed, *shape):
    """Invert :func:`pack`: an array of this shape and one more axis."""
    stored = np.frombuffer(base64.b64decode(packed["base64"]), f"<u{packed['size']}")
    return (packed["low"] + packed["step"] * stored).reshape(*shape, -1)


def _profile(e=0.6, n=32):
    """Rotation profile of :func:`dtl_core.spectra.operators.broadening_transfer` as weights at x = cos(angle) > 0."""
    angle = (np.arange(n) + 0.5) * np.pi / (2 * n)
    weight = (2 * (1 - e) * np.sin(angle) / np.pi + e * np.sin(angle) ** 2 / 2) * np.sin(angle)
    return {"x": np.cos(angle).tolist(), "weight": (weight / weight.sum()).tolist()}


@functools.cache
def node_data(window, continuum):
    """What the page needs of the embedded library, ready for JSON.

    Parameters
    ----------
    window, continuum : WindowConfig, ContinuumConfig

    Returns
    -------
    dict
        ``axes``, of the nodes [K, dex, dex] and of the continuum's v sin i [km/s]; ``grid``, start [A] and step [km/s]
        of the logarithmic grid; ``log_flux``, packed, (n_nodes, N_PIXELS), ln of the flux at the window's resolving
        power, not rotating; ``continuum``, packed, (n_nodes, n_vsini, 4), of the rotating star at the wavelengths
        ``continuum_at``, through which goes a cubic polynomial; ``profile`` of rotation, positions and weights.
    """
    library = libraries.load_library("grid_a")
    keep, axes = library.label[:, 0] >= COOLEST, [library.teff[library.teff >= COOLEST], library.logg, library.mh]
    flux, grid = library.flux[keep], operators.window_grid(window, margin=False)
    start, stop, spare = grid[0] - EDGE, grid[-1] + EDGE, 16 * FINE  # broadening loses both ends
    step = operators.C_KMS * np.log(stop / start) / (N_PIXELS - 1)
    fine = start * np.exp(step / FINE / operators.C_KMS * np.arange(-spare, N_PIXELS * FINE + spare))
    raw = operators.resample(library.wavelength, flux, fine, "spline")
    sharp = operators.broaden(raw, step / FINE, window.resolving_power, 0.0)[:, spare:-spare:FINE]
    whole = operators.window_grid(window)
    at = np.linspace(0, len(grid) - 1, 4).astype(int)
    level = np.empty((len(flux), len(VSINI), len(at)))
    for k, vsini in enumerate(VSINI):
        broad = generation.model_spectra(library.wavelength, flux, np.full(len(flux), vsini), window)
        level[:, k] = operators.continuum(whole, broad, continuum)[:, at + (len(whole) - len(grid)) // 2]
    return {
        "axes": [*(axis.tolist() for axis in axes), list(VSINI)],
        "grid": {"start": float(start), "step": float(step), "n": N_PIXELS},
        "fine": FINE,
        "window": {"start": float(grid[0]), "step": window.step, "n": len(grid)},
        "resolving_power": window.resolving_power,
        "continuum_at": grid[at].tolist(),
        "profile": _profile(),
        "log_flux": pack(np.log(sharp)),
        "continuum": pack(level),
    }


def _wavelength(data):
    return data["window"]["start"] + data["window"]["step"] * np.arange(data["window"]["n"])


def _weights(axis, x, order):
    """Interpolation weights (n, n_axis) of the polynomial through the ``order`` nodes around each x."""
    axis, x, order = np.asarray(axis, float), np.asarray(x, float), min(order, len(axis))
    first = np.clip(np.searchsorted(axis, x, side="right") - order // 2, 0, len(axis) - order)
    index = first[:, None] + np.arange(order)
    node, weight = axis[index], np.ones(index.shape)
    for i in range(order):
        for j in range(order):
            if i != j:
                weight[:, i] *= (x - node[:, j]) / (node[:, i] - node[:, j])
    out = np.zeros((len(x), len(axis)))
    np.put_along_axis(out, index, weight, axis=1)
    return out


def drawn(data, labels):
    """Spectra as the page draws them.

    ln(flux) is interpolated by polynomials through four nodes along Teff and [M/H] and all three along log g, rotation
    is a product with the profile's Fourier transform, and the continuum is linear in all four labels.

    Parameters
    ----------
    data : dict
        Result of :func:`node_data`.
    labels : (n, 4) array
        Teff [K], log g, [M/H], v sin i [km/s], inside the sliders' ranges.

    Returns
    -------
    (n, n_pixels) array
        Continuum = 1, on the window's grid.
    """
    labels, axes = np.atleast_2d(np.asarray(labels, float)), data["axes"]
    size, n, fine = list(map(len, axes)), data["grid"]["n"], data["fine"]
    near = [_weights(axis, x, 4) for axis, x in zip(axes[:3], labels.T[:3], strict=True)]
    flux = np.exp(np.einsum("na,nb,nc,abcp->np", *near, unpack(data["log_flux"], *size[:3]), optimize=True))
    profile, step = data["profile"], data["grid"]["step"]
    phase = 2 * np.pi * np.fft.rfftfreq(2 * n, step)[:, None] * np.asarray(profile["x"])
    transfer = np.stack([np.cos(phase * vsini) @ profile["weight"] for vsini in labels[:, 3]])
    mirrored = np.concatenate([flux, flux[:, ::-1]], axis=1)
    flux = fine * np.fft.irfft(np.fft.rfft(mirrored) * transfer, 2 * n * fine)[:, : n * fine]
    grid = data["grid"]["start"] * np.exp(step / fine / operators.C_KMS * np.arange(n * fine))
    wavelength = _wavelength(data)
    flux = (operators.resample_operator(grid, wavelength) @ flux.T).T
    near = [_weights(axis, x, 2) for axis, x in zip(axes, labels.T, strict=True)]
    level = np.einsum("na,nb,nc,nv,abcvk->nk", *near, unpack(data["continuum"], *size), optimize=True)
    return flux / (level @ _weights(data["continuum_at"], wavelength, 4).T)


def accuracy(data, window, continuum, *, n=N_TESTS):
    """Measure how far the page's spectra are from the package's, at random labels between the nodes.

    The package's are interpolated with ``cubic`` and prepared by
    :func:`dtl_core.synthetic.generation.network_spectra`.

    Parameters
    ----------
    data : dict
        What the page holds.
    window : dtl_core.config.WindowConfig
    continuum : dtl_core.config.ContinuumConfig
    n : int, optional
        Number of spectra.

    Returns
    -------
    rms, largest : float
        Differences in units of the continuum.
    """
    ends = [(axis[0], axis[-1]) for axis in data["axes"]]
    labels = np.random.default_rng(SEED).uniform(*np.transpose(ends), (n, 4))
    library = libraries.load_library("grid_a")
    raw = generation.expand(library, labels[:, :3], "cubic")
    exact = generation.network_spectra(library.wavelength, raw, labels[:, 3], window, continuum)
    error = drawn(data, labels) - exact
    return float(np.sqrt(np.mean(error**2))), float(np.abs(error).max())


# ---------------------------------------------------------------- the page


def _block(data):
    """The place of sliders and figure, and their data, as HTML; nothing in it can end the element that holds it."""
    lines = [[line.wavelength, line.species] for line in LINES]
    held = json.dumps(data | {"lines": lines, "top": TOP}, sort_keys=True).replace("<", "\\u003c")
    return (
        '<div class="sliders screen-only" role="group" aria-label="Sliders and the spectrum at their values"></div>\n'
        f'<script type="application/json" id="sliders-data">{held}</script>\n'
    )


def _picture(data, *, teff=(2700, 3200, 3700, 4200)):
    """Spectra at a few temperatures, one above the other, for print and for browsers without scripts. PNG."""
    import matplotlib.pyplot as plt

    wavelength = _wavelength(data)
    with plt.style.context("default"):
        fig, ax = plt.subplots(figsize=(7.5, 6), layout="constrained")
        for k, flux in enumerate(drawn(data, [(value, 5.0, 0.0, 2.0) for value in teff])):
            ax.plot(wavelength, flux + k, color="#D55E00", lw=0.8)
            ax.text(wavelength[-1], k + 1.04, f"{teff[k]} K ", ha="right", va="bottom")
        ax.set(xlabel="wavelength in vacuum [Å]", ylabel="flux / continuum + offset", xlim=wavelength[[0, -1]])
        ax.set_title("log g 5.0, [M/H] 0.0, v sin i 2 km/s", fontsize=10)
        plt.close(fig)
        return png(fig)


def _page(data, rms, largest):
    (teff, logg, mh, vsini), wavelength = data["axes"], _wavelength(data)
    gravities, metals = (", ".join(number(value, "g") for value in axis) for axis in (logg, mh))
    power = number(data["resolving_power"], ",.0f").replace(",", NBSP)
    return f"""# A spectrum for four sliders

The synthetic spectrum of a star with these labels, from {wavelength[0]:.0f} to {wavelength[-1]:.0f} Å in vacuum, at
rest, as a spectrograph of R = {power} sees it and divided by its continuum as the networks see it. Names mark
{{ref}}`the strongest lines of the window <lines-in-window>`.

```{{raw}} html
<noscript><style>.print-only{{display:block}} div.sliders{{display:none}}</style></noscript>
{_block(data)}```

```{{image}} sliders.png
:class: print-only
:alt: {ALT}
```

## What the sliders do

They move with the mouse, a finger or the keys: arrows, and Page Up and Page Down for longer steps. *Keep as reference*
keeps the current spectrum in the figure, in grey. *Download as CSV* saves all {len(wavelength)}
pixels of the spectrum shown. The page's address follows the sliders: a link to it brings the same spectrum back.

## Where the spectra come from

From the LTE library inside this package, a stand-in for the one of the paper: [the data page](../data.md) says what it
leaves out. The page holds its {len(teff) * len(logg) * len(mh)} spectra from {teff[0]:.0f} to {teff[-1]:.0f} K, every
{teff[1] - teff[0]:.0f} K, at log g {gravities} and \\[M/H\\] {metals}. No combination is missing, so every
position of the sliders can be drawn, but not every position is a star of the main sequence, and
[the networks](../method.md) learn from such stars only. Rotation, with linear limb darkening, goes to
{vsini[-1]:.0f} km/s.

Between these the page interpolates the logarithm of the flux by cubic polynomials, in log g by a parabola, and the
level of the continuum linearly. At {N_TESTS} random positions it was compared, pixel by pixel, with what the package's
functions give there with `cubic` interpolation: it differs by {100 * rms:.2f}{NBSP}% of the continuum rms, and by
{100 * largest:.2f}{NBSP}% at most. The section {{ref}}`interpolation` shows how far that is
from spectra computed at such labels.\n"""


def slider_files(run):
    """The page, its data kept in the run's store, and its picture: name below ``book/generated`` -> str or bytes."""
    window = dataclasses.replace(run.config.window, resolving_power=RESOLVING_POWER)
    settings = {"window": window, "continuum": run.config.continuum}

    def compute(folder):
        data = node_data(window, run.config.continuum)
        made = {"data": data, "accuracy": accuracy(data, window, run.config.continuum)}
        (folder / "sliders.json").write_text(json.dumps(made, sort_keys=True), encoding="utf-8")

    inputs = {"grid_a": library_hash("grid_a")}
    folder, _ = run.store.stage("sliders", settings, inputs, compute)
    made = json.loads((folder / "sliders.json").read_text(encoding="utf-8"))
    return {"sliders.md": _page(made["data"], *made["accuracy"]), "sliders.png": _picture(made["data"])}
