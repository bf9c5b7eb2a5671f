"""Measurements that take too long to repeat for every build, stored as JSON in the package with their origin.

records.write("searches", {...})     by `dtl search --out` and `make bench`
records.read("searches")             in notebooks and pages
"""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path

from .. import machine
from ..errors import DataError
from ..files import DATA, write_atomic

__all__ = ["FOLDER", "add", "frame", "lines", "names", "read", "write"]


FOLDER = DATA / "records"


def names(folder=None):
    """Names of all records, sorted."""
    return sorted(path.stem for path in Path(folder or FOLDER).glob("*.json"))


def _finite(value):
    """Replace numbers that are not finite, which JSON does not support, by None."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write(name, values, folder=None):
    """Write a record with today's date and the machine.

    Parameters
    ----------
    name : str
    values : dict
        Plain values.
    folder : path, optional

    Returns
    -------
    Path
    """
    made = datetime.datetime.now(datetime.UTC).date().isoformat()
    record = {"made": made, "machine": machine.describe(), "values": _finite(values)}
    return write_atomic(Path(folder or FOLDER) / f"{name}.json", json.dumps(record, indent=1, allow_nan=False) + "\n")


def read(name, folder=None):
    """Read a record.

    Parameters
    ----------
    name : str
    folder : path, optional

    Returns
    -------
    dict
        ``made``, an ISO date; ``machine``, see :func:`dtl_core.machine.describe`; ``values``.

    Raises
    ------
    DataError
        There is no such record, or it cannot be read.
    """
    path = Path(folder or FOLDER) / f"{name}.json"
    try:
        record = json.loads(path.read_text())
        return {key: record[key] for key in ("made", "machine", "values")}
    except FileNotFoundError:
        raise DataError("no such record", file=path, remedy=f"known: {', '.join(names(folder)) or 'none'}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"cannot be read ({type(error).__name__})", file=path, remedy="restore the file") from None


def add(name, part, values, profile=None, folder=None):
    """Write one part of a record, or one profile of a part, and keep the others.

    Parameters
    ----------
    name, part : str
    values : dict
        Plain values. They are stored with their own date and machine.
    profile : str, optional
    folder : path, optional

    Returns
    -------
    Path
    """
    try:
        parts = read(name, folder)["values"]
    except DataError:
        parts = {}
    made = datetime.datetime.now(datetime.UTC).date().isoformat()
    entry = {"made": made, "machine": machine.describe(), "values": values}
    parts[part] = entry if profile is None else parts.get(part, {}) | {profile: entry}
    return write(name, parts, folder)


def lines(table):
    """Convert a DataFrame to lines of CSV with five significant digits, which show differences row by row."""
    return table.to_csv(index=False, float_format="%.5g", lineterminator="\n").splitlines()


def frame(lines):
    """Convert the result of :func:`lines` to a DataFrame."""
    import io

    import pandas as pd

    return pd.read_csv(io.StringIO("\n".join(lines)))
