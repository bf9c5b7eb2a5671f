"""Results of stages on disk, each under a key of code, configuration and data.

    store = Store(root)
    folder, key = store.stage("synthetic", settings, inputs, compute)

``compute(folder)`` writes its files into an empty folder; the folder appears under its key whole or not at all. The
same key finds it again. Another setting, another input or a changed module gives another key: nothing stale is shown.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import time
import uuid
from pathlib import Path

from ..errors import StoreError
from ..files import atomic_path, file_hash
from ..machine import peak_memory, reset_peak_memory
from ..source_code import closure, code_hashes, versions

__all__ = ["NotStored", "Store", "default_root"]


def default_root():
    """``DTL_RESULTS``, or ``results`` beside the source tree, or ``results`` in the working folder when installed."""
    if os.environ.get("DTL_RESULTS"):
        return Path(os.environ["DTL_RESULTS"])
    tree = Path(__file__).resolve().parents[2]
    return (tree if (tree / "pyproject.toml").is_file() else Path.cwd()) / "results"


def _plain(value):
    if dataclasses.is_dataclass(value):
        return dataclasses.asdict(value)
    return value


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

    def key(self, name, settings, inputs, module):
        """Hexadecimal key of a stage and the record that it was made from; ``module`` is where it is computed."""
        record = {
            "stage": name,
            "settings": {k: _plain(v) for k, v in settings.items()},
            "inputs": dict(inputs),
            "code": code_hashes(module) if closure(module) else {},
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

    def stage(self, name, settings, inputs, compute):
        """The folder with a stage's result, found or computed.

        Arguments
        ---------
        name : str
        settings : mapping of plain values and configuration dataclasses
        inputs : mapping of names to keys of earlier stages or hashes of data
        compute : callable(folder), writes the files; the key depends on the code that the module reaches in which it is
            defined (see :func:`dtl_core.source_code.closure`)

        Returns
        -------
        (folder, key)

        Errors
        ------
        StoreError : the result cannot be written.
        """

        def alone(_missing, folders, _checkpoint):
            compute(folders[0])

        alone.__module__ = compute.__module__
        return self.stages(name, [(settings, inputs)], alone)[0]

    def stages(self, name, items, compute):
        """Several results of one stage, of which those that are missing are computed together.

        Arguments
        ---------
        name : str
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
        keyed = [self.key(name, settings, inputs, compute.__module__) for settings, inputs in items]
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
        with atomic_path(folder / f"{name}-{key}.json") as part:
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
