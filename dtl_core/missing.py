"""Placeholders for results that have not been measured."""

from __future__ import annotations

import functools

__all__ = ["unless_empty"]


def unless_empty(nothing):
    """Decorate a function of a table, so that it returns something else for a table without rows.

    Parameters
    ----------
    nothing : callable
        Called without arguments; its value is returned instead of the result.

    Returns
    -------
    callable
        The decorator.

    Examples
    --------
    >>> from dtl_core.missing import unless_empty
    >>> largest = unless_empty(lambda: "not measured")(max)
    >>> largest([1, 2]), largest([])
    (2, 'not measured')
    """

    def decorate(function):
        @functools.wraps(function)
        def wrapper(table, *args, **kwargs):
            return function(table, *args, **kwargs) if len(table) else nothing()

        return wrapper

    return decorate
