"""The page with a map of the latents on which each point shows its spectrum and what the autoencoder makes of it."""

from __future__ import annotations

import html
import json

import numpy as np

from dtl_core.lines import LINES
from dtl_core.parameters import TABLE
from dtl_core.plots import method_figures
from dtl_core.spectra import operators

from . import interactive
from .interactive import NO_SCRIPT, png, twin
from .sliders import pack

__all__ = ["latent_files", "latent_figure"]


N_SYNTHETIC = 300  # of the map's synthetic spectra are on the page: each point needs two spectra
TOP = 1.25  # upper end of the flux axis; the drawing ends there, so spectra are kept from 0 to it
LABEL = (
    "Scatter plot of the latents in two dimensions by UMAP: synthetic spectra coloured by effective temperature, and "
    "stars as triangles."
)


def latent_figure(synthetic, observed, labels, names):
    """Map of both domains as an interactive figure.

    Parameters
    ----------
    synthetic, observed : (n, 2) and (m, 2) arrays
    labels : (n, 4) array
        Of the synthetic spectra.
    names : (m,) sequence of str
        Of the stars.

    Returns
    -------
    plotly.graph_objects.Figure
        The first group of points are the synthetic spectra, the second one the stars.
    """
    from plotly import graph_objects as go

    entries = list(TABLE.values())
    texts = [
        "<b>synthetic</b>" + "".join(f"<br>{p.symbol} {v:.{p.digits}f} {p.unit}" for p, v in zip(entries, row))  # noqa: B905
        for row in labels
    ]
    figure = go.Figure()
    colour = {"size": 6, "color": labels[:, 0], "colorscale": "Viridis", "showscale": True,
              "colorbar": {"title": {"text": "Teff [K]"}}}  # fmt: skip
    options = {"mode": "markers", "hovertemplate": "%{text}<extra></extra>"}
    figure.add_scatter(x=synthetic[:, 0], y=synthetic[:, 1], name="synthetic", marker=colour, text=texts, **options)
    shape = {"size": 9, "symbol": "triangle-up-open", "color": "#D55E00", "line": {"width": 1.5}}
    stars = [f"<b>{html.escape(name)}</b>" for name in names]
    figure.add_scatter(
        x=observed[:, 0], y=observed[:, 1], name="observed", marker=shape, text=stars, ids=list(names), **options
    )
    axes = {"title": {"text": ""}, "showticklabels": False}
    return figure.update_layout(**interactive.LAYOUT, xaxis=axes, yaxis=axes)


def latent_files(run):
    """The page and its picture for print: name below ``book/generated`` -> str or bytes.

    The map is that after fine-tuning, the spectra are reconstructed by the first autoencoder.
    """
    import torch

    maps = run.arrays("latent_gap", "gap")
    some = np.sort(np.random.default_rng(0).permutation(len(maps["rows_transfer"]))[:N_SYNTHETIC])
    rows = maps["rows_transfer"][some]
    labels = run.synthetic["labels"][rows]
    names = run.stars
    spectra = np.concatenate([run.synthetic["flux"][rows], run.observed]).astype(np.float32)
    with torch.no_grad():
        outputs = run.autoencoder(0, tuned=True)(torch.from_numpy(spectra))[0].numpy()
    step = run.config.window.step
    wavelength = operators.binned(run.wavelength, step)
    held = {
        "wavelength": wavelength.round(4).tolist(),
        "lines": [[line.wavelength, line.species] for line in LINES],
        "top": TOP,
        "first": [0, len(rows)],  # rows of the spectra of each group of points
        "names": names,
        "spectra": pack(np.clip(operators.binned(spectra, step), 0, TOP), size=1),  # steps of 0.5 %, finer than a pixel
        "outputs": pack(np.clip(operators.binned(outputs, step), 0, TOP), size=1),
    }
    figure = latent_figure(maps["map_synthetic_transfer"][some], maps["map_observed_transfer"], labels, names)
    titles = {"before fine-tuning": "direct", "after fine-tuning": "transfer"}
    pairs = {t: (maps[f"map_synthetic_{e}"], maps[f"map_observed_{e}"]) for t, e in titles.items()}
    static = method_figures.latent_maps(pairs, run.synthetic["labels"][maps["rows_transfer"], 0])
    data = json.dumps(held, sort_keys=True).replace("<", "\\u003c")
    real = f" and {len(run.reports)} real stars" if len(run.reports) else ""
    text = f"""# A map of the latents, point by point

Each point is a spectrum, placed by UMAP so that spectra with similar latents lie close together:
{len(rows)} synthetic ones, coloured by temperature, and, as triangles, the {len(run.truth)} stars of the simulated
survey{real}. The latents are those of the paper's autoencoders after fine-tuning. Directions and distances between
groups have no meaning in such a map; [the notebook on fine-tuning](../notebooks/03_fine_tuning.ipynb) says how far the
two domains are apart.

Point at a spectrum, tap it, or choose a star below the map: the spectrum is drawn in grey, and what the first
fine-tuned autoencoder reconstructs from its latent in orange.

{NO_SCRIPT}
{twin(figure, "latent_map.png", "plot-latent", LABEL)}
```{{raw}} html
<div class="quick-look latent-map screen-only" role="group" aria-label="Spectrum and reconstruction"></div>
<script type="application/json" id="latent-data">{data}</script>
```
"""
    return {"latent_map.md": text, "latent_map.png": png(static)}
