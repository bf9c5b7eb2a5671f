"""Tables with values of single stars: known parameters, photometry."""

from __future__ import annotations

import warnings
from numbers import Real
from pathlib import Path

import numpy as np
from astropy import units
from astropy.table import Table

from ..arguments import a_path, shown
from ..errors import ConfigError, DataError

__all__ = ["name_key", "read_star_table", "star_values"]


STAR = ("star", "karmn", "name", "object")


def read_star_table(path, columns, needed, known_units=None, texts=()):
    """Read values of stars.

    Parameters
    ----------
    path : path
        Table (ECSV, CSV, FITS, VOTable) with a column star, karmn, name or object.
    columns : dict of str to sequence of str
        Quantity -> names of its column, in lower case; the table must have one of them.
    needed : str
        What to ask the user for if it has none.
    known_units : dict of str to str, optional
        Quantity -> its unit, to which a column with another unit is converted. Columns without unit are taken to have
        it.
    texts : sequence of str
        Quantities that are text, such as identifiers.

    Returns
    -------
    dict of str to dict of str to float or str
        Star -> quantity -> value, without missing values, numbers that are not finite and empty text.

    Raises
    ------
    DataError
        The table cannot be read, lacks the columns, has a column in an unsuitable unit, or has a star twice.
    """
    if Path(path).exists() and not Path(path).is_file():  # opening a pipe would wait for a writer
        raise DataError("is not a file", file=path, remedy="check the path")
    try:
        kind = {"ecsv": "ascii.ecsv", "csv": "ascii.csv", "vot": "votable"}.get(Path(path).suffix.lstrip("."))
        with warnings.catch_warnings():  # of columns that a VOTable's identifiers cannot spell
            warnings.simplefilter("ignore")
            names = {"use_names_over_ids": True} if kind == "votable" else {}
            table = Table.read(path, format=kind, **names)
            table.convert_bytestring_to_unicode()  # of FITS
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
    values = {key: _in_unit(table[name], (known_units or {}).get(key), path) for key, name in found.items() if name}
    out, seen = {}, set()
    for row, given in enumerate(table[star]):
        name = str(given).strip()
        if name_key(name) in seen:
            raise DataError(f"has {name} twice", file=path, field=star, remedy="keep one row of each star")
        seen.add(name_key(name))
        out[name] = {}
        for key, column in values.items():
            if np.ma.is_masked(column[row]):
                continue
            if key in texts:
                out[name] |= {key: text} if (text := str(column[row]).strip()) else {}
                continue
            try:
                value = float(column[row])
            except (TypeError, ValueError):
                problem = f"{str(column[row])!r} of {name} is not a number"
                raise DataError(problem, file=path, field=found[key], remedy="correct the value") from None
            if np.isfinite(value):
                out[name][key] = value
    return out


def _in_unit(column, unit, path):
    """Values of a column, converted to a unit."""
    values = np.ma.asarray(getattr(column, "value", column))
    if unit is None or column.unit is None or column.unit == units.Unit(unit):
        return values
    try:
        return values * column.unit.to(unit)
    except (units.UnitsError, AttributeError, TypeError):
        problem = f"has the unit {column.unit}"
        raise DataError(problem, file=path, field=column.info.name, remedy=f"give it in {unit}") from None


def name_key(name):
    """The name of a star without capitals and blanks, for comparisons."""
    return "".join(name.casefold().split())


def star_values(read, quantities, kind="parameter", texts=()):
    """Make a check for values of stars that are given as a dict, or as the table that holds them.

    Parameters
    ----------
    read : callable
        Reads such a table.
    quantities : sequence of str
    kind : str
        What they are, for the error message.
    texts : sequence of str
        More keys, of which any value is accepted.

    Returns
    -------
    callable
        ``(value, name)`` to dict of str to dict, or None.
    """

    def check(value, name):
        if value is not None and not isinstance(value, dict):
            return read(a_path(value, name))
        for star, known in (value or {}).items():
            right = isinstance(star, str) and isinstance(known, dict) and set(known) <= {*quantities, *texts}
            if not right or not all(isinstance(one, Real) for key, one in known.items() if key not in texts):
                remedy = f"give star: {{{kind}: number}}, of {', '.join(quantities)}"
                raise ConfigError(f"cannot read what is given for {shown(star)}", field=name, remedy=remedy)
        return value

    return check
