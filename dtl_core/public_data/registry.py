"""Index of the public data: origin, licence and hash of each set, and its place on this machine.

    find("published/pass18.csv")        a path, or None: in the mirror DTL_DATA, then in the cache, never the network
    verify()                            compares everything on this machine with its hash

The entries are in ``registry.toml``. The cache is ``DTL_CACHE``, or the user's cache folder. For data without a fixed
hash (VizieR, Gaia, PHOENIX, isochrones), the hash at arrival is recorded in ``manifest.json`` of the cache, so that
later damage is detected. :func:`dtl_core.public_data.fetching.fetch` downloads.
"""

from __future__ import annotations

import difflib
import fcntl
import functools
import json
import os
import re
import time
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from ..errors import ConfigError, DataError
from ..files import DATA, atomic_path, file_hash

__all__ = [
    "Check",
    "Resource",
    "cache_root",
    "data_mirror",
    "find",
    "find_all",
    "fingerprint",
    "get",
    "resources",
    "verify",
]


GROUPS = ("published", "hpf", "linelists", "labels", "phoenix", "isochrones", "vizier", "gaia", "embedded", "models")
_NEEDS = {  # kind: required fields, in addition to those without a default
    "file": ("url", "sha256", "size"),
    "open": ("url",),  # a file without a published hash
    "vizier": ("url", "catalogue"),
    "gaia": ("url",),
    "phoenix": ("url",),
    "derived": ("sha256", "size"),
    "embedded": ("sha256", "size"),
}
_FORMS = {
    "url": r"https://(?!raw\.githubusercontent\.com/)\S+|https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/\S+",
    "sha256": r"[0-9a-f]{64}",
    "name": r"[^/.][^/]*(/[^/.][^/]*)*",
    "group": "|".join(GROUPS),
    "kind": "|".join(_NEEDS),
}


@dataclass(frozen=True)
class Resource:
    """A set of data: a file, or the folder of a catalogue.

    Attributes
    ----------
    name : str
        Path in mirror and cache.
    group, kind : str
        One of ``GROUPS``; how it is fetched.
    what, licence : str
        Description and terms of use.
    checked : str
        What has been compared with the origin.
    cite : tuple of str
        Keys of the book's bibliography.
    url, catalogue, sha256 : str
        Empty if they do not apply.
    size : int, bytes
    """

    name: str
    group: str
    kind: str
    what: str
    licence: str
    checked: str
    cite: tuple[str, ...]
    url: str = ""
    catalogue: str = ""
    sha256: str = ""
    size: int = 0


class Check(NamedTuple):
    """A result of :func:`verify`; ``status`` is ok, wrong hash, wrong size, absent or unverifiable."""

    name: str
    where: str
    status: str
    path: Path | None


# ---------------------------------------------------------------- the entries


@functools.cache
def load(path=None):
    """Read ``registry.toml``: dict of name to :class:`Resource`, in the order of the file.

    Raises
    ------
    DataError
        An entry has an unknown, missing or malformed field, or a name is used twice.
    """
    path = Path(path or Path(__file__).with_name("registry.toml"))

    def bad(name, key, problem):
        return DataError(problem, file=path, field=f"{name}.{key}", remedy="correct the entry or reinstall the package")

    known, out = {f.name: str if f.name != "size" else int for f in fields(Resource)} | {"cite": list}, {}
    for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("resource", []):
        name = str(entry.get("name", f"entry {len(out) + 1}"))
        for key in entry:
            if key not in known:
                raise bad(name, key, f"is unknown; known are {', '.join(known)}")
        for key in ("name", "group", "kind", "what", "licence", "checked", "cite", *_NEEDS.get(entry.get("kind"), ())):
            if key not in entry:
                raise bad(name, key, "is missing")
        for key, value in entry.items():
            if type(value) is not known[key] or (key != "cite" and not value):
                raise bad(name, key, f"is {value!r}, not a {known[key].__name__} with something in it")
            if key in _FORMS and not re.fullmatch(_FORMS[key], value):
                raise bad(name, key, f"cannot be {value!r}")
        if name in out:
            raise bad(name, "name", "is used twice")
        out[name] = Resource(**entry | {"cite": tuple(entry["cite"])})
    return out


def resources(group=None):
    """All resources, or those of one group, as a tuple."""
    if group is not None and group not in GROUPS:
        raise DataError(f"no group {group!r}", field="group", remedy=f"choose one of {', '.join(GROUPS)}")
    return tuple(r for r in load().values() if group in (None, r.group))


def get(name):
    """Return the :class:`Resource` of a name.

    Raises
    ------
    DataError
        There is none; the message gives the nearest name.
    """
    if name not in load():
        short = {full.rpartition("/")[2]: full for full in load()} | {full: full for full in (*load(), *GROUPS)}
        near = [short[n] for n in difflib.get_close_matches(name, short, 1)]
        hint = f"did you mean {near[0]}? " if near else ""
        raise DataError(f"no data named {name!r}", remedy=f"{hint}all names: dtl data list")
    return load()[name]


# ---------------------------------------------------------------- on this machine


def data_mirror():
    """The folder that the environment variable ``DTL_DATA`` names.

    Returns
    -------
    Path or None
        None if the variable is not set.

    Raises
    ------
    ConfigError
        It is not a folder.
    """
    value = os.environ.get("DTL_DATA")
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        remedy = "correct the path or unset the variable"
        raise ConfigError("is not a folder", file=folder, field="DTL_DATA", remedy=remedy)
    return folder


def cache_root():
    """``DTL_CACHE``, or ``dtl-mdwarfs`` in the user's cache folder."""
    if os.environ.get("DTL_CACHE"):
        return Path(os.environ["DTL_CACHE"]).expanduser()
    import pooch

    return Path(pooch.os_cache("dtl-mdwarfs"))


def _places():
    mirror = data_mirror()
    return ([("mirror", mirror)] if mirror else []) + [("cache", cache_root())]


def where(name):
    """Place (``mirror``, ``cache``, ``embedded`` or ``-``) and path of a file or folder, listed or not."""
    if name in load() and load()[name].kind == "embedded":
        return "embedded", DATA / name
    for source, folder in _places():
        if (folder / name).exists():
            return source, folder / name
    return "-", None


def find(name):
    """Path of a file or folder, e.g. ``published/pass18.csv``, or None. Does not use the network."""
    return where(name)[1]


def find_all(pattern):
    """Sorted paths that match a pattern, e.g. ``observed/hpf/Slope-*.fits``; the mirror takes precedence."""
    found = {}
    for _, folder in reversed(_places()):
        found |= {path.relative_to(folder): path for path in folder.glob(pattern)}
    return [found[name] for name in sorted(found)]


def fingerprint():
    """SHA-256, by name, of the public data on this machine that notebooks and pages of the book read."""
    read = ("*.npy", "published/*", "vizier/*/*", "gaia/*", "isochrones/*", "linelists/*", "observed/hpf/*")
    paths = {path for pattern in read for path in find_all(pattern) if path.is_file()}
    return {f"{path.parent.name}/{path.name}": file_hash(path) for path in sorted(paths)}


def _manifest():
    try:
        return json.loads((cache_root() / "manifest.json").read_text())
    except (OSError, ValueError):
        return {}


def record(paths, url):
    """Record size and SHA-256 of new files of the cache in its manifest."""
    root, date = cache_root(), time.strftime("%Y-%m-%d", time.gmtime())
    new = {
        str(path.relative_to(root)): dict(sha256=file_hash(path), size=path.stat().st_size, url=url, date=date)
        for path in paths
    }
    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # other processes write to it too
        with atomic_path(root / "manifest.json") as part:
            part.write_text(json.dumps(_manifest() | new, indent=1, sort_keys=True) + "\n")
    finally:
        os.close(folder)


def _compare(path, sha256, size):
    if not path.is_file():
        return "absent"
    if path.stat().st_size != size:
        return "wrong size"
    return "ok" if file_hash(path) == sha256 else "wrong hash"


def check(name):
    """Rows of :func:`verify`, one per file, for a name, listed or not."""
    source, path = where(name)
    known = load().get(name)
    if path is None:
        return [Check(name, source, "absent", None)]
    if known and known.sha256:
        return [Check(name, source, _compare(path, known.sha256, known.size), path)]
    noted = _manifest() if source == "cache" else {}
    rows = [
        Check(key, source, _compare(cache_root() / key, note["sha256"], note["size"]), cache_root() / key)
        for key, note in noted.items()
        if f"{key}/".startswith(f"{name}/")
    ]
    return rows or [Check(name, source, "unverifiable", path)]


def select(names):
    """Resources of names and groups, each once; those of a group only if they exist or can be fetched."""
    out = {}
    for name in names:
        if name in GROUPS:
            out |= {r.name: r for r in resources(name) if r.kind != "derived" or find(r.name)}
        else:
            out[name] = get(name)
    return list(out.values())


def verify(names=None):
    """Compare files of mirror, cache and package with their hashes.

    Parameters
    ----------
    names : iterable of str, optional
        Names and groups; by default everything.

    Returns
    -------
    list of Check
    """
    chosen = load().values() if names is None else select(names)
    return [row for resource in chosen for row in check(resource.name)]


def remedy(name):
    """How to get a set of data, as the remedy of an error."""
    known = load().get(name)
    if known and known.kind == "derived":
        return "set DTL_DATA to a folder that holds it"
    return "dtl data fetch " + ("phoenix --teff 2300:4500" if known and known.kind == "phoenix" else name)


def in_place(name):
    """Whether a file is in the mirror, or undamaged in the cache."""
    rows = check(name)
    return rows[0].where in ("mirror", "embedded") or all(row.status in ("ok", "unverifiable") for row in rows)


def refuse_offline(offline, names):
    """Raise a DataError if the network is switched off by argument or by ``DTL_OFFLINE``."""
    if offline or os.environ.get("DTL_OFFLINE", "0") not in ("", "0"):
        more = f" (nor {len(names) - 1} more)" if len(names) > 1 else ""
        raise DataError(
            f"{names[0]} is neither in DTL_DATA nor whole in the cache{more}",
            file=cache_root(),
            remedy="fetch it without --offline and DTL_OFFLINE",
        )


def raise_first(errors, n_items):
    """Raise one DataError for all errors, or the error itself if there is only one item."""
    if errors and n_items == 1:
        raise errors[0]
    if errors:
        kept = ", the others are kept" if len(errors) < n_items else ""
        raise DataError(f"{len(errors)} of {n_items} could not be fetched{kept}; first: {errors[0]}")


def keeper(folder, urls, hashes=None):
    """A ``pooch.Pooch`` for files of a folder: dicts of name to address, and of name to SHA-256 if known."""
    import pooch

    return pooch.create(path=folder, base_url="", registry=hashes or dict.fromkeys(urls), urls=urls)
