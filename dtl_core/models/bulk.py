"""Catalogues of any number of stars: spectra are read and estimated part by part, and finished parts survive a kill.

    catalogue = BulkCatalogue("catalogue.parquet", open_source(["survey.zarr"]))
    catalogue.run(workers=2)   # after an interruption, run it again: finished parts are kept
    export("catalogue.parquet", "catalogue.fits")

The catalogue is a folder that pandas, pyarrow, polars or DuckDB read as one table: ``part-0000000.parquet`` and so on,
a fixed number of spectra in each. ``_part-0000000.json`` holds the hash of a part, what it was made from and which
spectra could not be used; it is written last, so a part without it is not finished. When all parts are finished,
``_manifest.json`` lists them and ``_refused.csv`` all spectra that could not be used.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .._version import __version__
from ..arguments import VELOCITY, a_number, a_path, checked, instance
from ..characters import legible
from ..errors import ConfigError, DataError, DTLError
from ..extras import import_extra
from ..files import atomic_path, file_hash, write_atomic
from ..machine import one_thread
from ..processes import ordered, worker_pool
from ..source_code import code_hash
from . import exports, loading, parallel, prediction

__all__ = ["PART", "BulkCatalogue", "Summary", "export"]


PART = 1024  # spectra in a part: an interruption loses at most this many per process
MANIFEST, REFUSED = "_manifest.json", "_refused.csv"


@dataclass(frozen=True)
class Summary:
    """Result of :meth:`BulkCatalogue.run`.

    Attributes
    ----------
    parts : int
        Number of parts of the catalogue.
    computed : int
        Parts that were computed now.
    stars, refused : int
        Spectra with estimates, and spectra that could not be used.
    """

    parts: int
    computed: int
    stars: int
    refused: int


class BulkCatalogue:
    """A catalogue in parts, finished or not.

    Parameters
    ----------
    folder : path
        The catalogue; its name should end in .parquet.
    source : object
        See :mod:`dtl_core.reading.sources`.
    name : str
        Name of the model, for :func:`dtl_core.models.loading.load`.
    part : int
        Spectra in a part.
    velocity : float, km/s, optional
        Known barycentric radial velocity of all stars.

    Raises
    ------
    DataError
        The folder holds other files, or a catalogue that was made with another model, settings or code.
    """

    @checked(folder=a_path, name=a_path, part=a_number(whole=True, optional=False), velocity=VELOCITY)
    def __init__(self, folder, source, name="shipped", *, part=PART, velocity=None):
        if part < 1:
            raise ConfigError(f"cannot be {part}", field="--part-size", remedy=f"leave it out for {PART}")
        if not hasattr(source, "batch"):
            raise ConfigError(
                "is not a source", field="source", remedy="give a result of dtl_core.reading.sources.open_source"
            )
        self.folder, self.source, self.name, self.part, self.velocity = Path(folder), source, str(name), part, velocity
        self.identity = {
            "models": hashlib.sha256("".join(loading.hashes(name)).encode()).hexdigest()[:20],
            "settings": {"part": part, "velocity": velocity, "options": source.options},
            "code": code_hash(parallel.__name__, __name__),
        }
        if self.folder.exists() and not self.folder.is_dir():
            raise DataError("is not a folder", file=folder, remedy="choose another name for the catalogue")
        self._check_folder()

    def __len__(self):
        return -(-len(self.source) // self.part)

    def _check_folder(self):
        """Refuse a folder that holds something else."""
        path, identity = self.folder / "_made.json", json.dumps(self.identity, sort_keys=True)
        if path.is_file():
            try:
                made = json.loads(path.read_text())
            except ValueError:
                made = {}
            for what in self.identity:
                if made.get(what) != json.loads(identity)[what]:
                    problem = f"holds a catalogue that was made with other {what}"
                    raise DataError(problem, file=self.folder, remedy="remove it, or choose another name")
        elif self.folder.is_dir() and any(self.folder.iterdir()):
            raise DataError("is a folder with other files", file=self.folder, remedy="choose another name")

    def spectra_of(self, number):
        """The spectra of a part, as a part of the source."""
        return self.source.batch(number * self.part, min((number + 1) * self.part, len(self.source)))

    def ready(self, number):
        """Whether a part is finished, intact and made from the spectra as they are now."""
        note = read_note(self.folder, number)
        return bool(note) and note["stamp"] == self.spectra_of(number).stamp() and _intact(self.folder, number, note)

    def discard_invalid(self):
        """Remove the notes of parts that are corrupted or whose spectra have changed, and an outdated manifest.

        Parts that another process finishes at the same time are kept.

        Returns
        -------
        missing, discarded : list of int
            Numbers of all parts to compute, and of those among them that were discarded.
        """
        missing, discarded = [], []
        for number in range(len(self)):
            noted = self.note_path(number).is_file()
            if self.ready(number):
                continue
            missing.append(number)
            if noted and not self.ready(number):
                self.note_path(number).unlink(missing_ok=True)
                discarded.append(number)
        if missing or not self._manifest_is_current():
            (self.folder / MANIFEST).unlink(missing_ok=True)
        return missing, discarded

    def _manifest_is_current(self):
        try:
            listed = [(part["file"], part["sha256"]) for part in read_manifest(self.folder)["parts"]]
            notes = [read_note(self.folder, number) for number in range(len(self))]
            return (self.folder / REFUSED).is_file() and listed == [(note["file"], note["sha256"]) for note in notes]
        except (DataError, KeyError, TypeError):
            return False

    def note_path(self, number):
        """Path of the note of a part."""
        return _paths(self.folder, number)[1]

    @checked(
        workers=a_number(1, 10_000, whole=True, optional=False), progress=instance(callable, optional=True),
        parts=instance(range, list, tuple, optional=True),
    )  # fmt: skip
    def run(self, *, workers=1, parts=None, progress=None):
        """Compute missing parts; once all parts are finished, write the manifest.

        Parameters
        ----------
        workers : int
            Number of processes.
        parts : sequence of int, optional
            Numbers of the parts to compute; all by default.
        progress : callable, optional
            Called with the number of spectra of each finished part.

        Returns
        -------
        Summary

        Raises
        ------
        DTLError
            The folder cannot be written, or a worker process died. Finished parts are kept.
        """
        chosen = range(len(self)) if parts is None else [number for number in parts if number < len(self)]
        write_atomic(self.folder / "_made.json", json.dumps(self.identity, indent=1, sort_keys=True) + "\n")
        computed = 0
        for number in self._computed(self._jobs(chosen, progress), workers):
            computed += 1
            if progress:
                progress(self._length(number))
        notes = [read_note(self.folder, number) for number in range(len(self))]
        if not all(notes):
            stars, refused = (sum(note[what] for note in notes if note) for what in ("rows", "n_refused"))
            return Summary(len(self), computed, stars, refused)
        return self._finish(notes, computed)

    def _length(self, number):
        return min(self.part, len(self.source) - number * self.part)

    def _jobs(self, chosen, progress):
        """Arguments of :func:`_make` for each missing part; not a list, which would grow with the catalogue."""
        for number in chosen:
            if self.ready(number):
                if progress:
                    progress(self._length(number))
                continue
            with contextlib.suppress(OSError):  # it lists a part that is now replaced
                (self.folder / MANIFEST).unlink(missing_ok=True)
            yield number, self.spectra_of(number), str(self.folder), self.velocity

    def _computed(self, jobs, workers):
        """Compute parts and yield their numbers."""
        if workers <= 1:
            one_thread()  # as in a worker, so that the bytes are the same
            parallel.start_worker(self.name)
            yield from map(_make, jobs)
            return
        remedy = "run the same command again with fewer --workers; finished parts are kept"
        with worker_pool(
            workers, parallel.start_worker, (self.name,), torch=False, field="--workers", remedy=remedy
        ) as pool:
            yield from ordered(pool, _make, jobs, 2 * workers)

    def _finish(self, notes, computed):
        for path in self.folder.glob("*part-*"):  # left from when the source had more spectra
            number = path.stem.rpartition("-")[2]
            if number.isdecimal() and int(number) >= len(self):
                path.unlink(missing_ok=True)
        try:
            with atomic_path(self.folder / REFUSED) as part, part.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["file", "error"])
                for note in notes:
                    writer.writerows(note["refused"])
        except OSError as error:
            problem = f"cannot be written ({error.strerror})"
            raise DTLError(problem, file=self.folder, remedy="free disk space") from None
        listed = [{key: note[key] for key in ("file", "rows", "n_refused", "sha256", "stamp")} for note in notes]
        stars, refused = (sum(note[what] for note in notes) for what in ("rows", "n_refused"))
        manifest = {"version": __version__, "stars": stars, "refused": refused, "made": self.identity, "parts": listed}
        write_atomic(self.folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        return Summary(len(self), computed, stars, refused)


# ---------------------------------------------------------------- one part


def _paths(folder, number):
    return Path(folder) / f"part-{number:07d}.parquet", Path(folder) / f"_part-{number:07d}.json"


def read_note(folder, number):
    """Note of a part.

    Returns
    -------
    dict or None
        ``file``, ``rows``, ``n_refused``, ``refused``, ``sha256``, ``stamp``; None if there is none or it is damaged.
    """
    try:
        note = json.loads(_paths(folder, number)[1].read_text())
        return note if note.pop("check") == _check(note) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _check(note):
    return hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()[:20]


def _intact(folder, number, note):
    try:
        return file_hash(_paths(folder, number)[0]) == note["sha256"]
    except OSError:
        return False


def _make(job):
    """Compute a part, write it and then its note; returns its number."""
    number, spectra, folder, velocity = job
    stamp = spectra.stamp()
    examined, refused = parallel.examine_batch(spectra, velocity)
    content = _as_parquet(prediction.as_table(examined, [], parallel.worker_model()))
    path, note_path = _paths(folder, number)
    write_atomic(path, content)
    note = {
        "file": path.name,
        "rows": len(examined),
        "n_refused": len(refused),
        "refused": [[legible(file), legible(error)] for file, error in refused],
        "sha256": hashlib.sha256(content).hexdigest(),
        "stamp": stamp,
    }
    write_atomic(note_path, json.dumps(note | {"check": _check(note)}, indent=1) + "\n")
    return number


def _as_parquet(table):
    """A catalogue as the content of a Parquet file: the same table gives the same bytes."""
    pq = import_extra("pyarrow.parquet", "survey")
    out = io.BytesIO()
    pq.write_table(exports.arrow_table(table), out, compression="zstd")
    return out.getvalue()


# ---------------------------------------------------------------- finished catalogues


def read_manifest(folder):
    """Manifest of a finished catalogue.

    Returns
    -------
    dict
        ``version``, ``stars``, ``refused``, ``made`` and ``parts``.

    Raises
    ------
    DataError
        The catalogue is not finished, or the manifest is damaged.
    """
    path = Path(folder) / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        if all({"file", "sha256"} <= set(part) for part in manifest["parts"]) and manifest["stars"] >= 0:
            return manifest
    except (FileNotFoundError, NotADirectoryError):
        remedy = "run the command that made it again"
        raise DataError("is not a finished catalogue", file=folder, remedy=remedy) from None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise DataError("is damaged", file=path, remedy="give the command that made the catalogue once more")


@checked(folder=a_path, path=a_path)
def export(folder, path):
    """Write a finished catalogue as one file, part by part.

    Parameters
    ----------
    folder : path
        The catalogue.
    path : path
        The file, which ends in .ecsv, .fits, .csv, .vot or .parquet.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        The catalogue is not finished, or a part is corrupted.
    ConfigError
        Unknown ending.
    DTLError
        The file cannot be written.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    parts = [(folder / part["file"], part["sha256"]) for part in manifest["parts"]]
    return exports.save_parts(lambda: map(_read_part, parts), path, manifest["stars"])


def _read_part(listed):
    """A part as an astropy table with units and descriptions."""
    pq = import_extra("pyarrow.parquet", "survey")
    from astropy.table import Table

    path, digest = listed
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    if hashlib.sha256(content).hexdigest() != digest:
        remedy = "give the command that made the catalogue once more"
        raise DataError("does not match its hash", file=path, remedy=remedy)
    part = pq.read_table(io.BytesIO(content))
    columns = {}
    for name in part.column_names:
        text = part.schema.field(name).type == "string"
        columns[name] = np.array(part[name].to_pylist(), str) if text else part[name].to_numpy()
    table = exports.describe(Table(columns))
    for name in table.colnames:  # with their notes
        table[name].description = part.schema.field(name).metadata[b"description"].decode()
    table.meta["description"] = part.schema.metadata[b"description"].decode()
    return table
