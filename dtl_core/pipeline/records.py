"""Measurements that are too long to repeat at every build, kept as JSON in the package with where they come from.

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
    """Names of the records that there are, sorted."""
    return sorted(path.stem for path in Path(folder or FOLDER).glob("*.json"))


def _finite(value):
    """The same, with None for numbers that are not finite, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write(name, values, folder=None):
    """Keep plain values under a name, with the day and the machine. Returns: Path."""
    made = datetime.datetime.now(datetime.UTC).date().isoformat()
    record = {"made": made, "machine": machine.describe(), "values": _finite(values)}
    return write_atomic(Path(folder or FOLDER) / f"{name}.json", json.dumps(record, indent=1, allow_nan=False) + "\n")


def read(name, folder=None):
    """A record: dict of made (ISO date), machine (see :func:`dtl_core.machine.describe`) and values.

    Errors
    ------
    DataError : there is none, or it cannot be read.
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
    """Put a part of a record, or one profile of it, beside the others, which keep what was measured before.

    Each has the day and the machine of its own: dict of made, machine and values. Returns: Path.
    """
    try:
        found = read(name, folder)["values"]
    except DataError:
        found = {}
    made = datetime.datetime.now(datetime.UTC).date().isoformat()
    entry = {"made": made, "machine": machine.describe(), "values": values}
    found[part] = entry if profile is None else found.get(part, {}) | {profile: entry}
    return write(name, found, folder)


def lines(table):
    """A DataFrame as lines of CSV, with five figures of every number: a line a row, for differences to be read."""
    return table.to_csv(index=False, float_format="%.5g", lineterminator="\n").splitlines()


def frame(lines):
    """The DataFrame of :func:`lines`."""
    import io

    import pandas as pd

    return pd.read_csv(io.StringIO("\n".join(lines)))
