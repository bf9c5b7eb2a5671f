"""The data of a figure as a table, read from what is drawn in it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.category import StrCategoryFormatter
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.patches import Polygon
from matplotlib.ticker import FixedFormatter, FuncFormatter

__all__ = ["as_csv", "figure_data"]


COLUMNS = ["panel", "kind", "series", "x", "y", "value"]
MOST_PIXELS = 10_000  # of an image


def figure_data(figure):
    """List what a figure shows: lines, points, segments such as error bars, bars, filled areas and small images.

    Parameters
    ----------
    figure : matplotlib.figure.Figure

    Returns
    -------
    pandas.DataFrame
        One row per point, with the columns panel (title and labels of the axes), kind, series (label in the legend, or
        else the colour), x, y (number, or text where the axis has names), and value (what its colour or its length
        means, else empty). Lines that only guide the eye, across the whole of a panel, are left out.
    """
    tables = []
    for number, ax in enumerate(figure.axes, start=1):
        if ax.get_label() == "<colorbar>" or not ax.axison:
            continue
        panel = _panel(ax, number)
        for kind, series, x, y, value in _drawn(ax):
            x, y, value = np.broadcast_arrays(*(np.atleast_1d(np.asarray(one, float)) for one in (x, y, value)))
            names = {"x": _named(ax.xaxis, x), "y": _named(ax.yaxis, y)}
            tables.append(pd.DataFrame({"panel": panel, "kind": kind, "series": series, **names, "value": value}))
    return pd.concat(tables, ignore_index=True)[COLUMNS] if tables else pd.DataFrame(columns=COLUMNS)


def as_csv(figure):
    """Write :func:`figure_data` as CSV with six significant digits."""
    return figure_data(figure).to_csv(index=False, float_format="%.6g")


def _panel(ax, number):
    said = [ax.get_title(loc=where) for where in ("left", "center", "right")] + [ax.get_xlabel(), ax.get_ylabel()]
    return "; ".join([str(number), *(" ".join(text.split()) for text in said if text)])


def _drawn(ax):
    """Kind, series, x, y and value of everything drawn in data coordinates."""
    nothing = np.nan
    for line in ax.lines:
        x, y = line.get_data()
        if len(x) and line.get_transform() == ax.transData:  # not of the axes, as that of a line across the panel is
            kind = "points" if line.get_linestyle() in ("None", "none", "") else "line"
            yield kind, _series(line, line.get_color()), x, y, nothing
    for patch in ax.patches:
        if isinstance(patch, Polygon) and patch.get_transform() == ax.transData:  # such as a filled histogram
            yield "area", _series(patch, patch.get_facecolor()), *patch.get_xy().T, nothing
    for container in ax.containers:
        for bar in getattr(container, "patches", ()):
            centre = bar.get_x() + bar.get_width() / 2, bar.get_y() + bar.get_height() / 2
            yield "bar", _series(container, bar.get_facecolor()), *centre, _length(container, bar)
    for collection in ax.collections:
        if isinstance(collection, PathCollection):
            points, value = _filled(collection.get_offsets()).reshape(-1, 2), collection.get_array()
            value = nothing if value is None else _filled(value)
            yield "points", _series(collection, _colour(collection)), *points.T, value
        elif isinstance(collection, PolyCollection) and collection.get_transform() == ax.transData:
            for path in filter(len, collection.get_paths()):
                yield "area", _series(collection, _colour(collection)), *path.vertices.T, nothing
        elif isinstance(collection, LineCollection) and collection.get_transform() == ax.transData:
            for segment in filter(len, collection.get_segments()):  # a point without error has none
                yield "segment", _series(collection, _colour(collection)), *np.transpose(segment), nothing
    for image in ax.images:
        values = _filled(image.get_array())
        if values.ndim == 2 and values.size <= MOST_PIXELS:
            left, right, bottom, top = image.get_extent()
            rows, columns = values.shape
            x = left + (np.arange(columns) + 0.5) * (right - left) / columns
            y = top + (np.arange(rows) + 0.5) * (bottom - top) / rows
            x, y = np.meshgrid(x, y if image.origin == "upper" else y[::-1])
            yield "image", "", x.ravel(), y.ravel(), values.ravel()


def _filled(values):
    """Numbers, NaN where they are masked."""
    return np.ma.filled(np.ma.asarray(values, float), np.nan)


def _length(container, bar):
    return bar.get_width() if container.orientation == "horizontal" else bar.get_height()


def _series(artist, colour):
    label = str(artist.get_label())
    return to_hex(colour) if label.startswith("_") or not label else " ".join(label.split())


def _colour(collection):
    colours = [*collection.get_facecolor(), *collection.get_edgecolor()]
    return colours[0] if len(colours) else "k"


def _named(axis, values):
    """Values, or the names that the axis gives them."""
    formatter = axis.get_major_formatter()
    if not isinstance(formatter, (FixedFormatter, FuncFormatter, StrCategoryFormatter)):
        return values
    places = axis.get_majorticklocs()
    ticks = dict(zip(np.round(places, 6), formatter.format_ticks(places), strict=True))
    names = [ticks.get(value, "") for value in np.round(values, 6)]
    return [" ".join(str(name).split()) or value for name, value in zip(names, values, strict=True)]
