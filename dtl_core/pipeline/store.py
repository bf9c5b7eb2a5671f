"""Results of stages on disk, each under a key of code, configuration and data.

    store = Store(root)
    folder, key = store.stage("synthetic", settings, inputs, compute)

``compute(folder)`` writes its files into an empty folder, which appears under its key once it is complete. The same key
finds it again. Another setting, another input or a changed module gives another key, so results are never outdated.
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
    """Folder of the results: ``DTL_RESULTS``, or ``results`` in the source tree or, if installed, the working folder.

    Returns
    -------
    Path
    """
    if os.environ.get("DTL_RESULTS"):
        return Path(os.environ["DTL_RESULTS"])
    tree = Path(__file__).resolve().parents[2]
    return (tree if (tree / "pyproject.toml").is_file() else Path.cwd()) / "results"


def _plain(value):
    if dataclasses.is_dataclass(value):
        return dataclasses.asdict(value)
    return value


def _locked(path):
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
    """A result would have to be computed, but the store only looks."""


class Store:
    """Keyed results in one root folder.

    Parameters
    ----------
    root : path, optional
        See :func:`default_root`.
    only_look : bool
        Raise :class:`NotStored` where a result would have to be computed.
    only_name : bool
        Neither look nor compute: return the key that each result has or will have.
    """

    def __init__(self, root=None, *, only_look=False, only_name=False):
        self.root = Path(root) if root else default_root()
        self.only_look, self.only_name = only_look, only_name

    def key(self, name, settings, inputs, module):
        """Key of a result, and the record that it is the hash of.

        Parameters
        ----------
        name : str
            Of the stage.
        settings : mapping
            Plain values and configuration dataclasses.
        inputs : mapping
            Names -> keys of earlier stages or hashes of data.
        module : str
            Where the result is computed.

        Returns
        -------
        key : str
            Twenty hexadecimal digits.
        record : dict
        """
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
        """Folder of a stage's result with this key, whether it exists or not."""
        return self.root / name / key

    def ready(self, name, key):
        """Whether a complete result is there: every file in its manifest has the hash that is listed."""
        folder = self.path(name, key)
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
            return all(file_hash(folder / file) == digest for file, digest in manifest["files"].items())
        except (OSError, ValueError, KeyError):
            return False

    def stage(self, name, settings, inputs, compute):
        """Find or compute the result of a stage.

        Parameters
        ----------
        name : str
        settings : mapping
            Plain values and configuration dataclasses.
        inputs : mapping
            Names -> keys of earlier stages or hashes of data.
        compute : callable
            Called with a folder, writes the files. The key depends on the code that its module imports; see
            :func:`dtl_core.source_code.closure`.

        Returns
        -------
        folder : Path
        key : str

        Raises
        ------
        StoreError
            The result cannot be written.
        """

        def compute_one(_missing, folders, _checkpoint):
            compute(folders[0])

        compute_one.__module__ = compute.__module__
        return self.stages(name, [(settings, inputs)], compute_one)[0]

    def stages(self, name, items, compute):
        """Find several results of one stage, and compute those that are missing together.

        Parameters
        ----------
        name : str
        items : list of (settings, inputs)
            As for :meth:`stage`.
        compute : callable
            Called with the numbers of the items to compute, a folder for each, and a path in the store for the state of
            an unfinished computation. It may return the seconds from its start to each epoch, for :meth:`timing`.

        Returns
        -------
        list of (folder, key)

        Raises
        ------
        StoreError
            A result cannot be written.
        """
        keyed = [self.key(name, settings, inputs, compute.__module__) for settings, inputs in items]
        results = [(self.path(name, key), key) for key, _ in keyed]
        if self.only_name:
            return results
        missing = [number for number, (key, _) in enumerate(keyed) if not self.ready(name, key)]
        if not missing:
            return results
        if self.only_look:
            raise NotStored(name)
        try:
            self._compute(name, missing, [keyed[number] for number in missing], compute)
        except OSError as error:
            raise StoreError(
                f"cannot be written ({error.strerror or error})",
                file=self.root,
                remedy="free disk space or set DTL_RESULTS",
            ) from None
        return results

    def _compute(self, name, missing, keyed, compute):
        """Compute results in an unfinished folder, then move them to their places with their timings."""
        with self._unfinished(name) as unfinished:
            folders = [unfinished / str(number) for number in range(len(missing))]
            for folder in folders:
                folder.mkdir()
            started = time.time()
            reset_peak_memory()
            together = hashlib.sha256("".join(key for key, _ in keyed).encode()).hexdigest()[:20]
            epochs = compute(missing, folders, self.root / "checkpoints" / f"{name}-{together}.safetensors")
            timing = {"seconds": round((time.time() - started) / len(missing), 3), "peak_memory": peak_memory()}
            epochs = [] if epochs is None else [round(float(seconds), 3) for seconds in epochs]
            timing |= {"together": len(missing), "epochs": epochs}
            for (key, record), folder in zip(keyed, folders, strict=True):
                self._finish(name, key, record, folder)
                self._note_timing(name, key, timing)

    @contextlib.contextmanager
    def _unfinished(self, name):
        """A folder that :meth:`sweep` does not touch while this process lives; removed afterwards."""
        folder = self.root / "unfinished" / f"{name}-{uuid.uuid4().hex[:12]}"
        try:
            folder.mkdir(parents=True)
            with (folder / "lock").open("w") as lock:
                with contextlib.suppress(OSError):  # some file systems have no locks
                    fcntl.flock(lock, fcntl.LOCK_EX)
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _finish(self, name, key, record, finished):
        """Move a finished result to its place."""
        folder = self.path(name, key)
        record["files"] = {file.name: file_hash(file) for file in sorted(finished.iterdir())}
        (finished / "manifest.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.move_corrupted(name, key)
        try:
            os.replace(finished, folder)
        except OSError:
            if not self.ready(name, key):  # else another process has finished the same result first
                raise

    def move_corrupted(self, name, key):
        """Move a result to the folder ``corrupted`` if one of its files has changed or is missing; kept for debugging.

        Returns
        -------
        bool
            Whether the result was corrupted.
        """
        folder = self.path(name, key)
        if not folder.exists() or self.ready(name, key) or not any(folder.iterdir()):
            return False  # an empty one may be another process's work folder; it is safe to replace
        kept = self.root / "corrupted" / f"{name}-{key}-{uuid.uuid4().hex[:6]}"
        kept.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            os.replace(folder, kept)
        return True

    def _note_timing(self, name, key, timing):
        # outside of the result's folder, so that two runs give the same bytes
        folder = self.root / "timings"
        folder.mkdir(exist_ok=True)
        with atomic_path(folder / f"{name}-{key}.json") as part:
            part.write_text(json.dumps(timing))

    def sweep(self, older_than=86_400.0):
        """Remove the folders of runs that were killed long ago, and checkpoints a week later.

        Folders of living processes stay. Locks of other machines may not be visible; their folders stay for the given
        time.

        Parameters
        ----------
        older_than : float, s
        """
        for folder in (self.root / "unfinished").glob("*"):
            with contextlib.suppress(OSError):  # another process was faster, or the store is read-only
                if time.time() - folder.stat().st_mtime > older_than and not _locked(folder / "lock"):
                    shutil.rmtree(folder, ignore_errors=True)
        for path in (self.root / "checkpoints").glob("*"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > older_than + 7 * 86_400:
                    path.unlink(missing_ok=True)

    def timing(self, name, key):
        """Resources that the computation of a result took.

        Returns
        -------
        dict
            ``seconds``, its share of the wall time; ``together``, the number of results computed at once;
            ``peak_memory``, bytes, of the process; ``epochs``, seconds from the start of a training to the end of each
            epoch. Empty where unknown.
        """
        try:
            return json.loads((self.root / "timings" / f"{name}-{key}.json").read_text())
        except (OSError, ValueError):
            return {}

    def seconds(self, name, key):
        """Wall time, s, that computing a result took; nan where unknown."""
        return float(self.timing(name, key).get("seconds", float("nan")))
