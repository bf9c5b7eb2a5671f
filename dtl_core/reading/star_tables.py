"""Tables with values of single stars: known parameters, photometry."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from astropy.table import Table

from ..errors import DataError

__all__ = ["match", "read_star_table"]


STAR = ("star", "karmn", "name", "object")


def read_star_table(path, columns, needed):
    """Read values of stars.

    Parameters
    ----------
    path : path
        Table (ECSV, CSV, FITS, VOTable) with a column star, karmn, name or object.
    columns : dict of str to sequence of str
        Quantity -> names of its column, in lower case; the table must have one of them.
    needed : str
        What to ask the user for if it has none.

    Returns
    -------
    dict of str to dict of str to float
        Star -> quantity -> value, without missing values and values that are not finite.

    Raises
    ------
    DataError
        The table cannot be read, or lacks the columns.
    """
    if Path(path).exists() and not Path(path).is_file():  # opening a pipe would wait for a writer
        raise DataError("is not a file", file=path, remedy="check the path")
    try:
        kind = {"ecsv": "ascii.ecsv", "csv": "ascii.csv", "vot": "votable"}.get(Path(path).suffix.lstrip("."))
        with warnings.catch_warnings():  # of columns that a VOTable's identifiers cannot spell
            warnings.simplefilter("ignore")
            names = {"use_names_over_ids": True} if kind == "votable" else {}
            table = Table.read(path, format=kind, **names)
    except FileNotFoundError:
        raise DataError("not found", file=path, remedy="check the path") from None
    except Exception as error:  # astropy raises many kinds
        problem = f"cannot be read ({type(error).__name__})"
        raise DataError(problem, file=path, remedy="give ECSV, CSV, FITS or VOTable") from None
    names = {name.lower(): name for name in table.colnames}
    found = {key: next((names[n] for n in known if n in names), None) for key, known in columns.items()}
    star = next((names[n] for n in STAR if n in names), None)
    if star is None or not any(found.values()):
        remedy = f"give a column star and {needed}"
        raise DataError(f"has columns {', '.join(table.colnames)}", file=path, field="star", remedy=remedy)
    out = {}
    for row in table:
        values = {}
        for key, column in found.items():
            value = np.nan if column is None or np.ma.is_masked(row[column]) else row[column]
            try:
                value = float(value)
            except (TypeError, ValueError):
                problem = f"{str(value)!r} of {row[star]} is not a number"
                raise DataError(problem, file=path, field=column, remedy="correct the value") from None
            if np.isfinite(value):
                values[key] = value
        out[str(row[star]).strip()] = values
    return out


def match(name, values):
    """The entry of ``values`` for a star, whatever its capitals and blanks; None if there is none."""
    known = {"".join(star.split()).lower(): entry for star, entry in values.items()}
    return known.get("".join(name.split()).lower())
