"""Typed errors with one-line messages: the problem, the file and field, and the remedy."""

from .characters import legible

__all__ = ["ConfigError", "DTLError", "DataError", "StoreError"]


class DTLError(Exception):
    """Base of all errors that a user can correct; the command line prints it and exits with status 2.

    Parameters
    ----------
    problem : str
        What is wrong, in a few words.
    file : str or Path, optional
        The file or other source.
    field : str, optional
        The column, header key or setting.
    remedy : str, optional
        What to do about it.

    Examples
    --------
    >>> from dtl_core.errors import DataError
    >>> print(DataError("is missing", file="a.fits", field="FLUX", remedy="name the column"))
    a.fits: field 'FLUX': is missing; name the column
    """

    def __init__(self, problem, *, file=None, field=None, remedy=None):
        parts = [str(file)] if file else []
        parts += [f"field {field!r}"] if field else []
        parts += [str(problem)]
        line = ": ".join(parts) + (f"; {remedy}" if remedy else "")
        super().__init__(legible(" ".join(line.split())))
        self._arguments = problem, dict(file=file, field=field, remedy=remedy)

    def at(self, file):
        """Copy the error with the file that the caller knows.

        Parameters
        ----------
        file : str or Path

        Returns
        -------
        DTLError
            Of the same class.
        """
        problem, kwargs = self._arguments
        return _rebuild(type(self), problem, kwargs | {"file": file})

    def __reduce__(self):
        # keyword arguments survive pickling between processes
        problem, kwargs = self._arguments
        return _rebuild, (type(self), problem, kwargs)


def _rebuild(cls, problem, kwargs):
    return cls(problem, **kwargs)


class ConfigError(DTLError):
    """An unknown profile or setting, or a value out of range."""


class DataError(DTLError):
    """An input file that is missing, truncated or of the wrong form."""


class StoreError(DTLError):
    """A stored result that cannot be read or written."""
