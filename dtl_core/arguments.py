"""Checks of the arguments of public functions: a wrong argument is a one-line error before anything is computed.

::

    @checked(strict=a_flag, velocity=a_number(-1000, 1000, unit="km/s"))
    def examine(model, spectra, *, strict=True, velocity=None, **options): ...
"""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import numbers
import os

from .characters import legible
from .errors import ConfigError

__all__ = [
    "a_flag",
    "a_name_or_number",
    "a_number",
    "a_path",
    "a_text",
    "checked",
    "instance",
    "names_by_kind",
    "one_of",
    "optional_path",
    "shown",
    "some_paths",
]


_OTHERS = {
    "resolution": "resolving_power",
    "r": "resolving_power",
    "rv": "velocity",
    "name": "star",
}  # names of the command-line options


def shown(value):
    """A value in a few words, for an error message.

    Parameters
    ----------
    value : object

    Returns
    -------
    str

    Examples
    --------
    >>> from dtl_core.arguments import shown
    >>> shown("blue"), shown([1, 2])
    ("'blue'", 'a list')
    """
    scalar = hasattr(value, "item") and getattr(value, "shape", None) == () and not hasattr(value, "unit")
    if value is None or scalar or isinstance(value, bool | int | float | complex | str | bytes):
        return legible(repr(value)[:60])
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {legible(name)}"


def checked(**kinds):
    """Decorate a function so that its arguments are checked, and unknown ones are rejected with the most similar name.

    Parameters
    ----------
    **kinds : callables
        Check of each argument by name. It takes ``(value, name)`` and returns the value that is used, or raises a
        ConfigError. Names that are not in the signature are those that ``**options`` may hold.

    Returns
    -------
    callable
        The decorator.

    Raises
    ------
    ConfigError
        From the decorated function, if an argument is wrong, unknown or missing.
    """

    def decorate(function):
        signature = inspect.signature(function)
        own = list(signature.parameters.values())
        rest = next((parameter.name for parameter in own if parameter.kind is parameter.VAR_KEYWORD), None)
        named = [p.name for p in own if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
        more = [name for name in kinds if name not in named]
        known = [name for name in named if name != "self"] + more
        closed = rest is None or more  # else all names are accepted

        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            for name in kwargs:
                if closed and name not in known:
                    near = _OTHERS.get(name.lower())
                    near = [near] if near in known else difflib.get_close_matches(name, known, 1, 0.5)
                    remedy = f"did you mean {near[0]}?" if near else f"give any of {', '.join(known)}"
                    raise ConfigError(f"is not an argument of {function.__name__}", field=name, remedy=remedy)
            try:
                given = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise ConfigError(f"{function.__name__}: {error}", remedy=f"it takes {', '.join(known)}") from None
            values, options = given.arguments, given.arguments.get(rest, {})
            for name, check in kinds.items():
                holder = values if name in values else options
                if name in holder:
                    holder[name] = check(holder[name], name)
            return function(*given.args, **given.kwargs)

        return wrapped

    return decorate


# ---------------------------------------------------------------- checks


def a_flag(value, name):
    """Accept True and False only, not values that are merely truthy or falsy.

    Parameters
    ----------
    value : object
    name : str
        Name of the argument, for the error message; the same in all checks of this module.

    Returns
    -------
    bool

    Raises
    ------
    ConfigError
    """
    if type(value).__name__ not in ("bool", "bool_"):  # the latter is numpy's
        raise ConfigError(f"{shown(value)} is neither True nor False", field=name, remedy="give True or False")
    return bool(value)


def a_number(low=-math.inf, high=math.inf, *, unit="", whole=False, optional=True, nan=False):
    """Make a check for finite numbers in a range; a Quantity is converted to the unit.

    Parameters
    ----------
    low, high : float
        The range, both ends included.
    unit : str
        An astropy unit.
    whole : bool
        Whether it must be an integer.
    optional : bool
        Whether None is allowed.
    nan : bool
        Whether NaN is allowed.

    Returns
    -------
    callable
        The check.
    """

    def check(value, name):
        if value is None and optional:
            return None
        plain = value
        if hasattr(value, "to_value"):
            try:
                plain = value.to_value(unit)[()]
            except Exception:  # an incompatible unit
                plain = None
        real = isinstance(plain, numbers.Real) and not isinstance(plain, bool)
        if real and nan and plain != plain:
            return float(plain)
        if not (real and math.isfinite(plain) and low <= plain <= high and (not whole or plain == int(plain))):
            kind = "a whole number" if whole else "a number"
            between = f" from {low:g} to {high:g}" if math.isfinite(low) or math.isfinite(high) else ""
            between = between.replace(" to inf", " on").replace("from -inf", "up")
            problem = f"{shown(value)} is not {kind}{between}"
            remedy = f"give {kind} in {unit}, without quotes" if unit else f"give {kind}, without quotes"
            raise ConfigError(problem, field=name, remedy=remedy)
        return int(plain) if whole else float(plain)

    return check


POWER = a_number(100.0, 1e7)  # check of a resolving power, lambda / FWHM
VELOCITY = a_number(unit="km/s")  # check of a velocity, km/s


def a_text(value, name):
    """Accept a str or None."""
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{shown(value)} is not a text", field=name, remedy="give a str")
    return value


def a_name_or_number(value, name):
    """Accept a str, an integer or None."""
    if value is None or isinstance(value, str) or isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return value
    raise ConfigError(f"{shown(value)} is neither a name nor a number", field=name, remedy="give a str or an int")


def names_by_kind(value, name):
    """Accept a dict of str to names or numbers, or None."""
    if value is not None and not isinstance(value, dict):
        remedy = 'give a dict such as {"flux": "flux_star"}'
        raise ConfigError(f"{shown(value)} is not a dict", field=name, remedy=remedy)
    return value and {str(key): a_name_or_number(item, f"{name}[{key!r}]") for key, item in value.items()}


def one_of(*choices):
    """Make a check for one of a few words, or None.

    Parameters
    ----------
    *choices : str

    Returns
    -------
    callable
        The check.
    """

    def check(value, name):
        if value is not None and not (isinstance(value, str) and value in choices):
            remedy = f"give {' or '.join(choices)}"
            raise ConfigError(f"{shown(value)} is not known here", field=name, remedy=remedy)
        return value

    return check


def a_path(value, name):
    """Accept the path of a file or folder; ``~`` is expanded.

    Parameters
    ----------
    value : str or os.PathLike
    name : str

    Returns
    -------
    str
    """
    plain = value
    if isinstance(value, os.PathLike):
        plain = os.fspath(value)
    if not isinstance(plain, str) or "\0" in plain:
        raise ConfigError(f"{shown(value)} is not a path", field=name, remedy="give a str or a pathlib.Path")
    if not plain.strip():
        raise ConfigError("an empty name", field=name, remedy="name a file or a folder")
    return plain if os.path.exists(plain) else os.path.expanduser(plain)


def optional_path(value, name):
    """Accept a path as :func:`a_path` does, or None."""
    return None if value is None else a_path(value, name)


def some_paths(value, name):
    """Accept one path or an iterable of paths.

    Parameters
    ----------
    value : str, os.PathLike or iterable of these
    name : str

    Returns
    -------
    list of str
    """
    if isinstance(value, str | os.PathLike):
        return [a_path(value, name)]
    other = isinstance(value, bytes | bytearray | dict | type) or hasattr(value, "read") or hasattr(value, "columns")
    if other or not hasattr(value, "__iter__"):
        raise ConfigError(f"{shown(value)} is not a path", field=name, remedy="give a path or a list of paths")
    return [a_path(item, f"{name}[{number}]") for number, item in enumerate(value)]


def instance(*types, remedy="", optional=False):
    """Make a check for objects of some types; ``callable`` counts as a type.

    Parameters
    ----------
    *types : type
    remedy : str, optional
        Remedy in the error message.
    optional : bool
        Whether None is allowed.

    Returns
    -------
    callable
        The check.
    """

    def check(value, name):
        fits = any(callable(value) if kind is callable else isinstance(value, kind) for kind in types)
        if not fits and not (optional and value is None):
            wanted = " or ".join("function" if kind is callable else kind.__name__ for kind in types)
            raise ConfigError(f"{shown(value)} is not a {wanted}", field=name, remedy=remedy or f"give a {wanted}")
        return value

    return check
