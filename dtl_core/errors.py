"""Typed errors whose message is one line: what is wrong, in which file and field, and the remedy."""

from .characters import legible

__all__ = ["ConfigError", "DTLError", "DataError", "StoreError"]


class DTLError(Exception):
    """Base of every error that a user can correct; the command line prints it and exits with status 2.

    Arguments
    ---------
    problem : str
        What is wrong, in a few words.
    file, field : str, optional
        Where: a path (or another source) and the column, header key or setting.
    remedy : str, optional
        What to do about it.
    """

    def __init__(self, problem, *, file=None, field=None, remedy=None):
        parts = [str(file)] if file else []
        parts += [f"field {field!r}"] if field else []
        parts += [str(problem)]
        line = ": ".join(parts) + (f"; {remedy}" if remedy else "")
        super().__init__(legible(" ".join(line.split())))
        self._arguments = problem, dict(file=file, field=field, remedy=remedy)

    def at(self, file):
        """The same error with the file that the caller knows."""
        problem, kwargs = self._arguments
        return _rebuild(type(self), problem, kwargs | {"file": file})

    def __reduce__(self):
        # keyword arguments survive the way back from a worker process
        problem, kwargs = self._arguments
        return _rebuild, (type(self), problem, kwargs)


def _rebuild(cls, problem, kwargs):
    return cls(problem, **kwargs)


class ConfigError(DTLError):
    """An unknown profile, an unknown setting or a value out of its range."""


class DataError(DTLError):
    """An input file that is missing, cut short or not what it should be."""


class StoreError(DTLError):
    """A stored result that cannot be read or written."""
