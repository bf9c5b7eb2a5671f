"""Interactive figures: catalogue against literature, Hertzsprung-Russell and Toomre diagram, with plotly.

    literature_figure(catalogue, sources, "teff")     hover: name, Karmn, spectral type, values; ids: Karmn
    block(figure, "teff", "what it shows")            as HTML for a page of the book, where a click opens SIMBAD

Figures take the frames of :mod:`dtl_core.literature.sample` and are plain ``plotly.graph_objects.Figure``: in Jupyter
they show themselves.
"""

from __future__ import annotations

import html
import io
import json

import numpy as np
import pandas as pd

from dtl_core.errors import DataError
from dtl_core.parameters import PARAMETERS, TABLE, heading

__all__ = [
    "LAYOUT",
    "NO_SCRIPT",
    "block",
    "hr_figure",
    "literature_figure",
    "png",
    "star_texts",
    "toomre_figure",
    "twin",
]


# Okabe & Ito, the black one last; each source has a shape of its own as well.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_SHAPES = ("circle", "square", "diamond", "triangle-up", "cross", "star", "x", "triangle-down", "pentagon", "hexagon")
_POPULATIONS = {  # label: name, colour, shape
    "D": ("thin disc", "#56B4E9", "circle"),
    "YD": ("young disc", "#E69F00", "triangle-up"),
    "TD-D": ("transition", "#009E73", "square"),
    "TD": ("thick disc", "#000000", "diamond"),
    "H": ("halo", "#D55E00", "x"),
}
_SYMBOLS = {name: (p.symbol, p.unit, p.digits) for name, p in TABLE.items()}


LAYOUT = {
    "template": "plotly_white",
    "height": 620,
    "margin": {"l": 70, "r": 20, "t": 20, "b": 60},
    "legend": {"orientation": "h", "y": -0.16, "x": 0, "title": {"text": ""}},
    "hoverlabel": {"align": "left"},
    "font": {"size": 13},
}


NO_SCRIPT = (
    "```{raw} html\n<noscript><style>.print-only{display:block} div.interactive{display:none}</style></noscript>\n```\n"
)


def star_texts(frame):
    """Write what identifies each star in a hover label, and what SIMBAD is asked for.

    Parameters
    ----------
    frame : pandas.DataFrame
        With a column ``karmn`` and, where known, ``name``, ``spt`` and ``gaia_dr3_id``.

    Returns
    -------
    texts : list of str
        HTML.
    queries : list of str
        Empty for a simulated star.
    """
    blank = pd.Series("", index=frame.index)
    name, kind, gaia = (frame.get(column, blank).fillna("").astype(str) for column in ("name", "spt", "gaia_dr3_id"))
    texts = [
        f"<b>{html.escape(n or k)}</b>{f' ({html.escape(k)})' if n else ''}{f', {html.escape(s)}' if s else ''}"
        for n, k, s in zip(name, frame["karmn"], kind, strict=True)
    ]
    return texts, [f"Gaia DR3 {g}" if g else "" for g in gaia]


def _value(values, errors, digits, unit):
    """``3500 -20 +30 K`` for each star; ``errors`` are none, one symmetric column or two."""
    columns = [np.asarray(v, float) for v in (values, *errors)]
    out = []
    for value, *bars in zip(*columns, strict=True):
        text = f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")
        if len(bars) == 1 and np.isfinite(bars[0]) and bars[0] > 0:
            text += f" ± {bars[0]:.{digits}f}"
        if len(bars) == 2 and np.isfinite(bars).all():
            text += f" \N{MINUS SIGN}{bars[0]:.{digits}f} +{bars[1]:.{digits}f}"
        out.append(f"{text} {unit}")
    return out


def _bars(minus, plus=None):
    bars = {"type": "data", "array": np.asarray(minus if plus is None else plus, float), "thickness": 0.6, "width": 0,
            "color": "rgba(110,110,110,0.25)"}  # fmt: skip
    return bars if plus is None else bars | {"symmetric": False, "arrayminus": np.asarray(minus, float)}


def _axis(parameter, whose, values):
    symbol, unit, _ = _SYMBOLS[parameter]
    low, high = float(values.min()), float(values.max())
    if parameter == "vsini":
        reach = [np.log10(low) - 0.08, np.log10(high) + 0.08]
        scale = {"type": "log", "range": reach, "tickvals": [1, 2, 3, 5, 10, 20, 30, 50]}
    else:
        edge = 0.05 * (high - low)
        scale = {"range": [low - edge, high + edge]}
    return {"title": {"text": f"{symbol}, {whose} [{unit}]"}, **scale}


def literature_figure(catalogue, sources, parameter, *, names=None, main=(), reference="literature"):
    """Literature values against this work's, one group of points per source; a click in the legend hides or shows it.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        Tidy, with ``e_`` and ``E_`` errors.
    sources : dict of str to pandas.DataFrame
        Tidy.
    parameter : {"teff", "logg", "mh", "vsini"}
        Axes of the last are logarithmic.
    names : pandas.DataFrame, optional
        Columns karmn, name, spt, gaia_dr3_id.
    main : sequence of str
        Sources shown at first; the others wait in the legend.
    reference : str
        What the vertical axis is called.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    DataError
        No source has the parameter.
    """
    from plotly import graph_objects as go

    symbol, unit, digits = _SYMBOLS[parameter]
    known = catalogue if names is None else catalogue.merge(names, on="karmn", how="left")
    figure, seen = go.Figure(), []
    for number, (source, frame) in enumerate(sources.items()):
        columns = [c for c in ("karmn", parameter, f"e_{parameter}", "vsini_limit") if c in frame]
        both = known.merge(frame[columns], on="karmn", suffixes=("", "_there"))
        there, error = (f"{c}_there" for c in (parameter, f"e_{parameter}"))
        both = both.dropna(subset=[parameter, there])
        if parameter == "vsini":  # what a logarithmic axis can show
            both = both[(both[parameter] > 0) & (both[there] > 0)]
        if both.empty:
            continue
        shown = not main or source in main
        seen.append(both[[parameter, there]].set_axis(["x", "y"], axis=1).assign(shown=shown))
        texts, ids = star_texts(both)
        ours = _value(both[parameter], (both[f"e_{parameter}"], both[f"E_{parameter}"]), digits, unit)
        theirs = _value(both[there], (both[error],) if error in both else (), digits, unit)
        limit = both.get("vsini_limit", pd.Series(False, index=both.index)) & (parameter == "vsini")
        theirs = [f"< {t}" if is_limit else t for t, is_limit in zip(theirs, limit, strict=True)]
        label = html.escape(source)
        figure.add_scatter(
            x=both[parameter].to_numpy(float),
            y=both[there].to_numpy(float),
            mode="markers",
            name=f"{label} ({len(both)})",
            visible=True if shown else "legendonly",
            error_x=_bars(both[f"e_{parameter}"], both[f"E_{parameter}"]),
            error_y=_bars(both[error]) if error in both and both[error].notna().any() else None,
            marker={"size": 7, "opacity": 0.75, "color": _COLOURS[number % len(_COLOURS)],
                    "symbol": _SHAPES[number % len(_SHAPES)]},
            text=[f"{t}<br>this work: {a}<br>{label}: {b}" for t, a, b in zip(texts, ours, theirs, strict=True)],
            customdata=ids,
            ids=list(both["karmn"].astype(str)),
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    if not seen:
        raise DataError("no star in common", field=parameter, remedy="give sources that have this parameter")
    points = pd.concat(seen)
    low, high = float(points[["x", "y"]].min().min()), float(points[["x", "y"]].max().max())
    figure.add_scatter(x=[low, high], y=[low, high], mode="lines", name="equal", hoverinfo="skip",
                       line={"color": "black", "dash": "dash", "width": 1})  # fmt: skip
    first = points[points["shown"]] if points["shown"].any() else points
    axes = {"xaxis": _axis(parameter, "this work", first["x"]), "yaxis": _axis(parameter, reference, first["y"])}
    return figure.update_layout(**LAYOUT, **axes)


def _hover(stars):
    """Hover labels with all parameters, and SIMBAD's names; values without errors are true labels."""
    texts, ids = star_texts(stars)
    for parameter in PARAMETERS:
        symbol, unit, digits = _SYMBOLS[parameter]
        errors = [stars[c] for c in (f"e_{parameter}", f"E_{parameter}") if c in stars]
        values = _value(stars[parameter], errors, digits, unit)
        texts = [f"{text}<br>{symbol} {value}" for text, value in zip(texts, values, strict=True)]
    return texts, ids


def hr_figure(stars, curves=None, *, active_name="active"):
    """Hertzsprung-Russell diagram: colour and shape by population, active stars open, lines of models.

    Parameters
    ----------
    stars : pandas.DataFrame
        As of :func:`dtl_core.literature.sample.star_sample`.
    curves : dict of str to pandas.DataFrame, optional
        Columns teff and luminosity.
    active_name : str
        What the active stars are called.

    Returns
    -------
    plotly.graph_objects.Figure
        Hot stars to the left.
    """
    from plotly import graph_objects as go

    figure = go.Figure()
    texts, ids = _hover(stars)
    stars = stars.assign(_text=texts, _id=ids)
    for label, (name, colour, shape) in _POPULATIONS.items():
        for active in (False, True):
            group = stars[(stars["population"] == label) & (stars["active"] == active) & stars["luminosity"].notna()]
            if group.empty:
                continue
            lum = [f"<br>L {value:.4g} Lsun" for value in group["luminosity"]]
            figure.add_scatter(
                x=group["teff"].to_numpy(float),
                y=group["luminosity"].to_numpy(float),
                mode="markers",
                name=f"{name}{f', {active_name}' if active else ''} ({len(group)})",
                marker={"size": 9 if active else 8, "opacity": 0.85, "color": colour,
                        "symbol": f"{shape}-open" if active else shape, "line": {"width": 1.6 if active else 0}},
                text=[a + b for a, b in zip(group["_text"], lum, strict=True)],
                customdata=list(group["_id"]),
                ids=list(group["karmn"].astype(str)),
                hovertemplate="%{text}<extra></extra>",
            )  # fmt: skip
    for number, (name, curve) in enumerate((curves or {}).items()):
        figure.add_scatter(
            x=curve["teff"].to_numpy(float),
            y=curve["luminosity"].to_numpy(float),
            mode="lines",
            name=html.escape(name),
            hoverinfo="name",
            line={"color": "#444444", "width": 1.4, "dash": ("solid", "dash", "dot", "dashdot")[number % 4]},
        )
    low, high = float(stars["teff"].min()), float(stars["teff"].max())
    edge = 0.05 * (high - low)
    level = np.log10(stars["luminosity"].to_numpy(float))
    span = [float(np.nanmin(level)) - 0.15, float(np.nanmax(level)) + 0.15]
    x = {"title": {"text": heading("teff")}, "range": [high + edge, low - edge]}
    y = {"title": {"text": "L [Lsun]"}, "type": "log", "range": span,
         "tickvals": [m * 10.0**e for e in range(-5, 2) for m in (1, 2, 5)]}  # fmt: skip
    return figure.update_layout(**LAYOUT, xaxis=x, yaxis=y)


def toomre_figure(stars, sun):
    """Toomre diagram, colour and shape by population; circles join equal total velocities, every 50 km/s.

    Parameters
    ----------
    stars : pandas.DataFrame
        As of :func:`dtl_core.literature.sample.star_sample`, with U, V, W [km/s], heliocentric.
    sun : (3,) array, km/s
        Motion of the Sun, which is added.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    from plotly import graph_objects as go

    figure = go.Figure()
    texts, ids = _hover(stars)
    shown = [_value(stars[c], [stars[f"e_{c}"]] if f"e_{c}" in stars else (), 1, "km/s") for c in "UVW"]
    speeds = [f"<br>U {u}<br>V {v}<br>W {w}" for u, v, w in zip(*shown, strict=True)]
    U, V, W = (stars[c].to_numpy(float) + s for c, s in zip("UVW", sun, strict=True))
    across, angle = np.hypot(U, W), np.linspace(0, np.pi, 91)
    reach = float(np.nanmax(np.hypot(V, across), initial=50.0))
    for speed in np.arange(50, reach + 50, 50):
        figure.add_scatter(x=speed * np.cos(angle), y=speed * np.sin(angle), mode="lines", hoverinfo="skip",
                           showlegend=False, line={"color": "#888888", "width": 0.8, "dash": "dot"})  # fmt: skip
    for label, (name, colour, shape) in _POPULATIONS.items():
        mask = (stars["population"] == label).to_numpy() & np.isfinite(V) & np.isfinite(across)
        if not mask.any():
            continue
        rows = np.flatnonzero(mask)
        figure.add_scatter(
            x=V[rows],
            y=across[rows],
            mode="markers",
            name=f"{name} ({len(rows)})",
            marker={"size": 8, "opacity": 0.85, "color": colour, "symbol": shape},
            text=[texts[k] + speeds[k] for k in rows],
            customdata=[ids[k] for k in rows],
            ids=list(stars["karmn"].iloc[rows].astype(str)),
            hovertemplate="%{text}<extra></extra>",
        )
    top = float(np.nanmax(across, initial=75.0))
    x = {"title": {"text": "V, local standard of rest [km/s]"},
         "range": [min(-100.0, 1.05 * float(np.nanmin(V))), max(75.0, 1.1 * float(np.nanmax(V)))]}  # fmt: skip
    y = {"title": {"text": "(U² + W²)^½, local standard of rest [km/s]"}, "range": [0, 1.08 * top]}
    return figure.update_layout(**LAYOUT, xaxis=x, yaxis=y)


# ---------------------------------------------------------------- in a page


def block(figure, name, label):
    """Write a figure as HTML for a page of the book, where ``interactive.js`` draws it.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
    name : str
        Unique on the page.
    label : str
        What the figure shows, for readers who cannot see it.

    Returns
    -------
    str
        Nothing in the data can close the element that holds it.
    """
    data = json.dumps(json.loads(figure.to_json()), separators=(",", ":"), sort_keys=True)
    data = data.replace("<", "\\u003c").replace("\n", " ")
    return (
        f'<div class="interactive" role="group" aria-label="{html.escape(label)}" data-figure="{name}"></div>\n'
        f'<script type="application/json" id="{name}">{data}</script>\n'
    )


def png(figure):
    """A figure of matplotlib as the bytes of a PNG file."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120)
    return out.getvalue()


def twin(figure, picture, name, label):
    """The interactive figure, and the static one that takes its place in print. Markdown."""
    return (
        f"```{{raw}} html\n{block(figure, name, label)}```\n\n"
        f"```{{image}} {picture}\n:class: print-only\n:alt: {label}\n```\n"
    )
