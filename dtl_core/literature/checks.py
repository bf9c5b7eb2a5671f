"""Checks of tables that are read or given."""

from __future__ import annotations

from ..errors import DataError

__all__ = ["FETCH", "require_columns"]


FETCH = "fetch the file again from its public origin"


def require_columns(frame, file, columns, remedy="rename it, or " + FETCH):
    """Raise a DataError that names the file and the column if a table lacks one of the columns.

    Parameters
    ----------
    frame : pandas.DataFrame or collection of str
        Table, or the names of its columns.
    file : str or path-like
        Name of the table in the error message.
    columns : iterable of str
    remedy : str
    """
    for column in columns:
        if column not in frame:
            raise DataError("no such column", file=file, field=column, remedy=remedy)
