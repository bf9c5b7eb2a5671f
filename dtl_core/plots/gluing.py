"""What notebooks pass to the pages of the book: numbers, texts, tables, and figures with the data that they show."""

from __future__ import annotations

import numbers

from ..errors import ConfigError
from ..extras import import_extra
from .figure_data import as_csv

__all__ = ["DATA", "glue", "glue_all"]


DATA = "figure_data"  # in the metadata of a figure: its data as CSV
PREFIX = "application/papermill.record/"  # of what is passed on, but not shown in the notebook


def glue(name, value):
    """Pass a value to the pages of the book under a name, and show it in the notebook if it is a figure.

    The output is that of ``myst_nb.glue``, whose import loads Sphinx: two seconds for each notebook. A figure has its
    data with it, see :func:`dtl_core.plots.figure_data.as_csv`.

    Parameters
    ----------
    name : str
        Pages write ``{glue:text}`` and so on with this name.
    value : object
        Figure, text, number, or table.
    """
    ipython = import_extra("IPython", "book")
    bundle, metadata = ipython.core.formatters.format_display_data(value)
    prefix = PREFIX
    if hasattr(value, "savefig"):
        metadata[DATA], prefix = as_csv(value), ""
    metadata["scrapbook"] = {"name": name, "mime_prefix": prefix}
    ipython.display.display({prefix + kind: data for kind, data in bundle.items()}, raw=True, metadata=metadata)


def glue_all(mapping, prefix=""):
    """Glue every scalar of a dictionary, so that all pages of the book can show it.

    Other pages write {glue:text}`notebooks/04_regression.ipynb::key:.1f`, always with a format (``:s`` for text).

    Parameters
    ----------
    mapping : dict of str to number or str
        NumPy and torch scalars become plain numbers, None becomes NaN.
    prefix : str
        Put before every key.

    Raises
    ------
    ConfigError
        A value is neither a number nor text.
    """
    for key, value in mapping.items():
        value = value.item() if hasattr(value, "item") else value
        value = float("nan") if value is None else value
        if isinstance(value, numbers.Integral):
            value = int(value)
        elif isinstance(value, numbers.Real):
            value = float(value)
        elif not isinstance(value, str):
            raise ConfigError(f"{type(value).__name__} is not a scalar", field=key, remedy="glue a number or text")
        glue(prefix + key, value)
