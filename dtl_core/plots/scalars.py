"""What notebooks hand over to the pages of the book."""

from __future__ import annotations

import numbers

from ..errors import ConfigError
from ..extras import import_extra

__all__ = ["glue_all"]


def glue_all(mapping, prefix=""):
    """Glue every scalar of a dictionary, so that any page of the book can show it.

    Another page writes {glue:text}`notebooks/04_regression.ipynb::key:.1f`, always with a format (``:s`` for text).

    Arguments
    ---------
    mapping : dict of str -> number or str
        NumPy and torch scalars become plain numbers, which the page then formats.
    prefix : str
        Put before every key.

    Errors
    ------
    ConfigError : a value is neither a number nor text.
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
