"""Measurements that take too long to repeat for every build, stored as JSON in the package with their origin.

records.write("searches", {...})     by `dtl search --out` and `make bench`
records.read("searches")             in notebooks and pages

Records and their parts have the hash of the code that measured them. A part is stale if this code has changed since,
unless the later code was shown to find the same values (``benchmarks/confirm.py``).
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from pathlib import Path

from .. import machine, source_code
from ..errors import DataError
from ..files import DATA, write_atomic

__all__ = [
    "FOLDER",
    "add",
    "code_of_script",
    "confirm",
    "dated",
    "digest",
    "finite",
    "frame",
    "is_stale",
    "lines",
    "names",
    "origin",
    "read",
    "stale",
    "write",
]


FOLDER = DATA / "records"
_CLONE = Path(__file__).resolve().parents[2]
_SCRIPTS = (_CLONE / "pyproject.toml").is_file()  # installed packages do not contain the benchmarks
if _SCRIPTS:
    source_code.register("benchmarks", _CLONE / "benchmarks")


def code_of_script(path, *others, without=()):
    """Modules that the measurements of a benchmark depend on: its script, and what that imports from the package.

    Parameters
    ----------
    path : path
        Path of the script. Call this when the script is imported: its text is read then, at the latest.
    *others : str
        Other modules, such as those that the benchmark runs in another process.
    without : sequence of str
        Modules that it imports and that do not change its values. This module is always one of them.

    Returns
    -------
    tuple of str
        For :func:`add` and :func:`write`.
    """
    script = f"benchmarks.{Path(path).stem}"
    if not source_code.closure(script):
        source_code.register("benchmarks", Path(path).parent)
    return (script, *sorted({*source_code.imports(script), *others} - {__name__, *without}))


def _is_script(module):
    return module.startswith("benchmarks.")


def _hashes(code):
    """Hash of each module: of a script alone, and of a module of the package with all that it imports."""
    return {
        name: source_code.module_hash(name)[:20] if _is_script(name) else source_code.code_hash(name, libraries=False)
        for name in code
    }


def digest(code):
    """Short hash of the code that a measurement depends on.

    Parameters
    ----------
    code : sequence of str
        Modules, see :func:`code_of_script`.

    Returns
    -------
    str
    """
    return hashlib.sha256(json.dumps(_hashes(code), sort_keys=True).encode()).hexdigest()[:12]


def is_stale(entry):
    """Whether the code that made a record, or a part of one, is unknown or has changed since.

    Parameters
    ----------
    entry : dict
        As returned by :func:`read`, or a part of its values. Scripts of benchmarks are compared only where they are
        available.

    Returns
    -------
    bool
    """
    code = {name: digest for name, digest in entry.get("code", {}).items() if _SCRIPTS or not _is_script(name)}
    return not code or not all(map(source_code.closure, code)) or code != _hashes(code)


def _entries(name, folder):
    """Parts of a record by name, and profiles of parts as ``part:profile``; a record without parts by its own name."""
    record, found = read(name, folder), {}
    for part, value in record["values"].items():
        if isinstance(value, dict):
            each = {part: value} | {f"{part}:{profile}": entry for profile, entry in value.items()}
            found |= {key: v for key, v in each.items() if isinstance(v, dict) and {"made", "values"} <= v.keys()}
    return found or {name: record}


def stale(name, folder=None):
    """Parts of a record whose code is unknown or has changed since they were measured, see :func:`is_stale`.

    Parameters
    ----------
    name : str
    folder : path, optional

    Returns
    -------
    list of str
        Names of parts, and ``part:profile`` where a part has profiles; for a record without parts, its own name.

    Raises
    ------
    DataError
        There is no such record, or it cannot be read.
    """
    return [part for part, entry in _entries(name, folder).items() if is_stale(entry)]


def origin(name, folder=None):
    """Say when a record was measured, and whether its code has changed since.

    Parameters
    ----------
    name : str
    folder : path, optional

    Returns
    -------
    str
        One sentence, or one for each group of parts of equal date and state.
    """
    groups = {}
    for part, entry in _entries(name, folder).items():
        groups.setdefault(dated(entry), []).append(part)
    if len(groups) == 1:
        return f"{next(iter(groups)).capitalize()}."
    return " ".join(f"{', '.join(parts).capitalize()}: {text}." for text, parts in groups.items())


def dated(entry):
    """Say when a record or a part of one was measured, and whether its code has changed since, as a clause.

    Parameters
    ----------
    entry : dict
        As for :func:`is_stale`.

    Returns
    -------
    str
    """
    if is_stale(entry):
        return f"measured with the code of {entry['made']}; the code has changed since"
    later = f", confirmed for later code on {entry['confirmed']}" if "confirmed" in entry else ""
    return f"measured on {entry['made']}{later}"


def names(folder=None):
    """Names of all records, sorted."""
    return sorted(path.stem for path in Path(folder or FOLDER).glob("*.json"))


def finite(value):
    """Replace numbers that are not finite, which JSON does not support, by None.

    Parameters
    ----------
    value : dict, sequence or plain value
        Nested to any depth.

    Returns
    -------
    dict, list or plain value
    """
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write(name, values, folder=None, *, code=()):
    """Write a record with today's date, the machine and the hash of the code.

    Parameters
    ----------
    name : str
    values : dict
        Plain values.
    folder : path, optional
    code : sequence of str
        Modules that the values depend on. Empty for a record whose parts have their own.

    Returns
    -------
    Path
    """
    made = datetime.datetime.now(datetime.UTC).date().isoformat()
    record = {"made": made, "machine": machine.describe(), "code": _hashes(code), "values": finite(values)}
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
        ``made``, an ISO date; ``machine``, see :func:`dtl_core.machine.describe`; ``code``, hash of each module that
        it was measured with, empty in old records; ``values``.

    Raises
    ------
    DataError
        There is no such record, or it cannot be read.
    """
    path = Path(folder or FOLDER) / f"{name}.json"
    try:
        record = json.loads(path.read_text())
        return {key: record[key] for key in ("made", "machine", "values")} | {"code": record.get("code", {})}
    except FileNotFoundError:
        raise DataError("no such record", file=path, remedy=f"known: {', '.join(names(folder)) or 'none'}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"cannot be read ({type(error).__name__})", file=path, remedy="restore the file") from None


def add(name, part, values, profile=None, folder=None, *, code=()):
    """Write one part of a record, or one profile of a part, and keep the others.

    Parameters
    ----------
    name, part : str
    values : dict
        Plain values. They are stored with their own date, machine and hash of the code.
    profile : str, optional
    folder : path, optional
    code : sequence of str
        Modules that the values depend on, see :func:`code_of_script`. Without any, the part counts as stale.

    Returns
    -------
    Path
    """
    try:
        parts = read(name, folder)["values"]
    except DataError:
        parts = {}
    made = datetime.datetime.now(datetime.UTC).date().isoformat()
    entry = {"made": made, "machine": machine.describe(), "code": _hashes(code), "values": values}
    parts[part] = entry if profile is None else parts.get(part, {}) | {profile: entry}
    return write(name, parts, folder)


def confirm(name, checked, measured, present, folder=None):
    """Give the parts of a record the hashes of later code that was shown to find the same values.

    Parameters
    ----------
    name : str
    checked : iterable of str
        Parts of which this was shown.
    measured, present : dict of str to str
        Hash of each module, of the code that measured the parts and of the later one.
    folder : path, optional

    Returns
    -------
    list of str
        Names of the parts that were confirmed: those of ``checked`` that were measured with ``measured``.
    """
    parts, checked = read(name, folder)["values"], set(checked)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    chosen = [part for part, entry in parts.items() if part in checked and entry.get("code") == measured]
    for part in chosen:
        parts[part] |= {"code": present, "confirmed": today}
    if chosen:
        write(name, parts, folder)
    return chosen


def lines(table):
    """Convert a DataFrame to lines of CSV with five significant digits, which show differences row by row."""
    return table.to_csv(index=False, float_format="%.5g", lineterminator="\n").splitlines()


def frame(lines):
    """Convert the result of :func:`lines` to a DataFrame."""
    import io

    import pandas as pd

    return pd.read_csv(io.StringIO("\n".join(lines)))
