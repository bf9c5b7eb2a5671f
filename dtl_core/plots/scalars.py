"""Values that notebooks pass to the pages of the book."""

from __future__ import annotations

import numbers

from ..errors import ConfigError
from ..extras import import_extra

__all__ = ["glue_all"]


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
    glue = import_extra("myst_nb", "book").glue
    for key, value in mapping.items():
        value = value.item() if hasattr(value, "item") else value
        value = float("nan") if value is None else value
        if isinstance(value, numbers.Integral):
            value = int(value)
        elif isinstance(value, numbers.Real):
            value = float(value)
        elif not isinstance(value, str):
            raise ConfigError(f"{type(value).__name__} is not a scalar", field=key, remedy="glue a number or text")
        glue(prefix + key, value, display=False)
