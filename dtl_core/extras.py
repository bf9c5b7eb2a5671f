"""Packages that only some commands need, and the extras that install them."""

from __future__ import annotations

import importlib

from .errors import ConfigError

__all__ = ["import_extra"]


def import_extra(module, extra, package=None):
    """Import a module of an optional package.

    Parameters
    ----------
    module : str
        Dotted name.
    extra : str
        Extra of this package that installs it: ``plots`` for ``pip install 'dtl-mdwarfs[plots]'``.
    package : str, optional
        Name for the message, where it differs from the module's first part.

    Returns
    -------
    module

    Raises
    ------
    ConfigError
        The package is not installed.
    """
    first = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != first:
            raise  # the package is installed but a dependency of it is not
        remedy = f"pip install 'dtl-mdwarfs[{extra}]'"
        raise ConfigError(f"{package or first} is not installed", remedy=remedy) from None
