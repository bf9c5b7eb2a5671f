"""Results of stages on disk, each under a key of code, configuration and data.

    store = Store(root)
    folder = store.stage("synthetic", settings, inputs, modules, compute)

``compute(folder)`` writes its files into an empty folder; the folder appears under its key whole or not at all. The
same key finds it again. Another setting, another input or a changed module gives another key: nothing stale is shown.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import sys
import time
import uuid
from pathlib import Path

from .errors import DTLError, StoreError
from .machine import peak_memory, reset_peak_memory

__all__ = [
    "MODULES",
    "NotStored",
    "Store",
    "code_hash",
    "default_root",
    "file_hash",
    "load_arrays",
    "save_arrays",
    "whole",
    "write_whole",
]


def default_root():
    """``DTL_RESULTS``, or ``results`` beside the source tree, or ``results`` in the working folder when installed."""
    if os.environ.get("DTL_RESULTS"):
        return Path(os.environ["DTL_RESULTS"])
    tree = Path(__file__).resolve().parents[1]
    return (tree if (tree / "pyproject.toml").is_file() else Path.cwd()) / "results"


def file_hash(path):
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def whole(path):
    """A hidden path beside ``path`` to write to, which becomes ``path`` in the end, or is gone if writing fails.

    What a link leads to is replaced, not the link. Devices, pipes and folders are never replaced: OSError.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "there is a folder or device of this name")
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        yield part
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_whole(path, content):
    """Write text or bytes to a file, in a folder made for it, whole or not at all.

    Returns: Path. Errors: DTLError, the file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as part:
            part.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace"))
    except OSError as error:
        problem = f"cannot be written ({error.strerror or error})"
        remedy = "free disk space, correct the permissions or choose another name"
        raise DTLError(problem, file=path, remedy=remedy) from None
    return path


# Taken on import, with the code that runs: a source edited meanwhile must not lend its hash to the old code's results.
_CODE = {path.stem: file_hash(path) for path in Path(__file__).parent.glob("*.py")}


MODULES = tuple(sorted(_CODE))  # of dtl_core, for what may depend on any of them


def _module_hash(name):
    return _CODE[name]


def code_hash(names):
    """One hash, 20 digits, of the code of modules of dtl_core and of the versions of what numbers depend on."""
    text = json.dumps([{name: _module_hash(name) for name in sorted(names)}, versions()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


_LIBRARIES = ("astropy", "numba", "numpy", "pandas", "scipy", "torch", "umap-learn")


@functools.cache
def versions():
    """Versions of what the numbers depend on."""
    from importlib.metadata import version

    python = ".".join(map(str, sys.version_info[:2]))
    return {"python": python} | {name: version(name) for name in _LIBRARIES}


def _plain(value):
    if dataclasses.is_dataclass(value):
        return dataclasses.asdict(value)
    return value


def save_arrays(path, arrays):
    """Write named numpy arrays or tensors as safetensors: the same arrays give the same bytes.

    Errors: OSError, the file cannot be written.
    """
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    plain = {name: np.ascontiguousarray(getattr(value, "cpu", lambda v=value: v)()) for name, value in arrays.items()}
    try:
        save_file(plain, str(path))
    except SafetensorError as error:  # of a full disk it says so in its text alone
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None


def load_arrays(path):
    """Named numpy arrays of a safetensors file.

    Errors
    ------
    StoreError : missing or broken file.
    """
    from safetensors.numpy import load_file

    try:
        return load_file(str(path))
    except FileNotFoundError:
        raise StoreError("not found", file=path, remedy="run the stage again") from None
    except Exception as error:  # safetensors raises its own kinds
        raise StoreError(
            f"cannot be read ({type(error).__name__})", file=path, remedy="delete it and run again"
        ) from None


def _held(path):
    """Whether a living process holds a lock."""
    try:
        with path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


class NotStored(Exception):
    """A store that only looks has not found a result."""


class Store:
    """Keyed results under one root folder.

    Arguments
    ---------
    root : path, optional; see :func:`default_root`
    only_look : bool
        Raise :class:`NotStored` where a result would have to be computed.
    only_name : bool
        Neither look nor compute: say under which key each result is or will be.
    """

    def __init__(self, root=None, *, only_look=False, only_name=False):
        self.root = Path(root) if root else default_root()
        self.only_look, self.only_name = only_look, only_name

    def key(self, name, settings, inputs, modules):
        """Hexadecimal key of a stage and the record that it was made from."""
        record = {
            "stage": name,
            "settings": {k: _plain(v) for k, v in settings.items()},
            "inputs": dict(inputs),
            "code": {module: _module_hash(module) for module in sorted(modules)},
            "versions": versions(),
        }
        text = json.dumps(record, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20], json.loads(text)

    def path(self, name, key):
        """Where the result of a stage with this key is or will be."""
        return self.root / name / key

    def ready(self, name, key):
        """Whether a whole, unspoilt result is there: every file listed in its manifest has its hash."""
        folder = self.path(name, key)
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
            return all(file_hash(folder / file) == digest for file, digest in manifest["files"].items())
        except (OSError, ValueError, KeyError):
            return False

    def stage(self, name, settings, inputs, modules, compute):
        """The folder with a stage's result, found or computed.

        Arguments
        ---------
        name : str
        settings : mapping of plain values and configuration dataclasses
        inputs : mapping of names to keys of earlier stages or hashes of data
        modules : names of the modules of dtl_core whose code the result depends on
        compute : callable(folder), writes the files

        Returns
        -------
        (folder, key)

        Errors
        ------
        StoreError : the result cannot be written.
        """

        def alone(_missing, folders, _checkpoint):
            compute(folders[0])

        return self.stages(name, [(settings, inputs)], modules, alone)[0]

    def stages(self, name, items, modules, compute):
        """Several results of one stage, of which those that are missing are computed together.

        Arguments
        ---------
        name, modules : as for :meth:`stage`
        items : list of (settings, inputs)
        compute : callable(missing, folders, checkpoint): the numbers of the items to compute, a folder for each, and a
            path beside the store where the state of the computation may be kept until it is over; it may return the
            seconds from its start to each epoch, for :meth:`timing`

        Returns
        -------
        list of (folder, key)

        Errors
        ------
        StoreError : a result cannot be written.
        """
        keyed = [self.key(name, settings, inputs, modules) for settings, inputs in items]
        found = [(self.path(name, key), key) for key, _ in keyed]
        if self.only_name:
            return found
        missing = [number for number, (_, key) in enumerate(found) if not self.ready(name, key)]
        if not missing:
            return found
        if self.only_look:
            raise NotStored(name)
        try:
            with self._place(name) as place:
                works = [place / str(number) for number in range(len(missing))]
                for work in works:
                    work.mkdir()
                started = time.time()
                reset_peak_memory()
                together = hashlib.sha256("".join(keyed[number][0] for number in missing).encode()).hexdigest()[:20]
                epochs = compute(missing, works, self.root / "checkpoints" / f"{name}-{together}.safetensors")
                timing = {"seconds": round((time.time() - started) / len(missing), 3), "peak_memory": peak_memory()}
                epochs = [] if epochs is None else [round(float(seconds), 3) for seconds in epochs]
                timing |= {"together": len(missing), "epochs": epochs}
                for number, work in zip(missing, works, strict=True):
                    self._finish(name, found[number][1], keyed[number][1], work)
                    self._note_timing(name, found[number][1], timing)
        except OSError as error:
            raise StoreError(
                f"cannot be written ({error.strerror or error})",
                file=self.root,
                remedy="free disk space or set DTL_RESULTS",
            ) from None
        return found

    @contextlib.contextmanager
    def _place(self, name):
        """A folder to work in, which :meth:`sweep` leaves alone while this process lives, and which is gone then."""
        place = self.root / "unfinished" / f"{name}-{uuid.uuid4().hex[:12]}"
        try:
            place.mkdir(parents=True)
            with (place / "lock").open("w") as lock:
                with contextlib.suppress(OSError):  # some file systems have no locks
                    fcntl.flock(lock, fcntl.LOCK_EX)
                yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _finish(self, name, key, record, work):
        """Put a result that is whole in its place."""
        folder = self.path(name, key)
        record["files"] = {file.name: file_hash(file) for file in sorted(work.iterdir())}
        (work / "manifest.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.set_aside(name, key)
        try:
            os.replace(work, folder)
        except OSError:
            if not self.ready(name, key):  # else another process finished the same stage first
                raise

    def set_aside(self, name, key):
        """Move a result to ``spoilt/`` if a file of it was changed or lost, for whoever wants to know why.

        Returns: whether that was so.
        """
        folder = self.path(name, key)
        if not folder.exists() or self.ready(name, key) or not any(folder.iterdir()):
            return False  # an empty one may be somebody's preparation, and is not an obstacle
        aside = self.root / "spoilt" / f"{name}-{key}-{uuid.uuid4().hex[:6]}"
        aside.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            os.replace(folder, aside)
        return True

    def _note_timing(self, name, key, timing):
        # beside the results, not inside: two runs give the same bytes
        folder = self.root / "timings"
        folder.mkdir(exist_ok=True)
        with whole(folder / f"{name}-{key}.json") as part:
            part.write_text(json.dumps(timing))

    def sweep(self, older_than=86_400.0):
        """Remove what runs killed more than ``older_than`` seconds ago left unfinished; checkpoints a week later.

        Whatever the clock says, nothing is taken from a process that lives; on another machine it counts as alive for
        that time, because locks need not be seen there.
        """
        for folder in (self.root / "unfinished").glob("*"):
            with contextlib.suppress(OSError):  # somebody else was faster, or the store cannot be written
                if time.time() - folder.stat().st_mtime > older_than and not _held(folder / "lock"):
                    shutil.rmtree(folder, ignore_errors=True)
        for path in (self.root / "checkpoints").glob("*"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > older_than + 7 * 86_400:
                    path.unlink(missing_ok=True)

    def timing(self, name, key):
        """What computing a result took; empty where it is unknown.

        Returns
        -------
        dict of seconds, its share of the wall time; together, how many results were computed at once; peak_memory,
        bytes, of the process; epochs, seconds from the start of a training to the end of each epoch.
        """
        try:
            return json.loads((self.root / "timings" / f"{name}-{key}.json").read_text())
        except (OSError, ValueError):
            return {}

    def seconds(self, name, key):
        """Wall time that computing a stage took, s; nan when unknown."""
        return float(self.timing(name, key).get("seconds", float("nan")))
