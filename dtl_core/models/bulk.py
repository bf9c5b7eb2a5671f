"""Parameters of any number of stars: read, computed and written in a stream, in parts that survive what stops a run.

    survey = Survey("catalogue.parquet", open_source(["survey.zarr"]))
    survey.run(workers=2)   # again after a kill: what is finished stays
    export("catalogue.parquet", "catalogue.fits")

The catalogue is a folder that pandas, pyarrow, polars or DuckDB read as one table: ``part-0000000.parquet`` and so on,
a fixed number of spectra in each. Beside every part lies ``_part-0000000.json`` with its hash, what it was made of and
what could not be used; it is written last, so a part without it counts for nothing. In the end ``_manifest.json`` lists
all parts and ``_refused.csv`` all spectra that are missing.
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
from ..files import file_hash, whole, write_whole
from ..machine import one_thread
from ..processes import ordered, worker_pool
from ..source_code import code_hash
from . import exports, loading, parallel, prediction

__all__ = ["PART", "Summary", "Survey", "export"]


PART = 1024  # spectra: what an interruption costs at most, for each process
MANIFEST, REFUSED = "_manifest.json", "_refused.csv"


@dataclass(frozen=True)
class Summary:
    """What a run of a survey did: parts in all, parts that were computed, stars, spectra that were refused."""

    parts: int
    computed: int
    stars: int
    refused: int


class Survey:
    """A catalogue in parts, finished or to be continued.

    Arguments
    ---------
    folder : the catalogue, whose name should end in .parquet
    source : see :mod:`dtl_core.reading.sources`
    name : of the model, for :func:`dtl_core.models.loading.load`
    part : spectra in a part
    velocity : km/s, of all stars, if it is known

    Errors
    ------
    DataError : the folder holds a catalogue that was made with other models, settings or code, or other files.
    """

    @checked(folder=a_path, name=a_path, part=a_number(whole=True, optional=False), velocity=VELOCITY)
    def __init__(self, folder, source, name="shipped", *, part=PART, velocity=None):
        if part < 1:
            raise ConfigError(f"cannot be {part}", field="--part-size", remedy=f"leave it out for {PART}")
        if not hasattr(source, "stretch"):
            raise ConfigError(
                "is not a source", field="source", remedy="give what dtl_core.reading.sources.open_source gives"
            )
        self.folder, self.source, self.name, self.part, self.velocity = Path(folder), source, str(name), part, velocity
        self.identity = {
            "models": hashlib.sha256("".join(loading.hashes(name)).encode()).hexdigest()[:20],
            "settings": {"part": part, "velocity": velocity, "options": source.options},
            "code": code_hash(parallel.__name__, __name__),
        }
        if self.folder.exists() and not self.folder.is_dir():
            raise DataError("is not a folder", file=folder, remedy="choose another name for the catalogue")
        self._compare()

    def __len__(self):
        return -(-len(self.source) // self.part)

    def _compare(self):
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

    def stretch(self, number):
        """Spectra of a part."""
        return self.source.stretch(number * self.part, min((number + 1) * self.part, len(self.source)))

    def ready(self, number):
        """Whether a part is there, whole, and made of the spectra as they are now."""
        note = read_note(self.folder, number)
        return bool(note) and note["stamp"] == self.stretch(number).stamp() and _unspoilt(self.folder, number, note)

    def tidy(self):
        """Remove the notes of parts that are spoilt or whose spectra changed, and a manifest that lists anything else.

        What another process finishes meanwhile is left alone. Returns: (missing, stale), lists of numbers of parts.
        """
        missing, stale = [], []
        for number in range(len(self)):
            noted = self.note_path(number).is_file()
            if self.ready(number):
                continue
            missing.append(number)
            if noted and not self.ready(number):
                self.note_path(number).unlink(missing_ok=True)
                stale.append(number)
        if missing or not self._listed():
            (self.folder / MANIFEST).unlink(missing_ok=True)
        return missing, stale

    def _listed(self):
        """Whether the manifest lists the parts that are there, and no others."""
        try:
            listed = [(part["file"], part["sha256"]) for part in read_manifest(self.folder)["parts"]]
            notes = [read_note(self.folder, number) for number in range(len(self))]
            return (self.folder / REFUSED).is_file() and listed == [(note["file"], note["sha256"]) for note in notes]
        except (DataError, KeyError, TypeError):
            return False

    def note_path(self, number):
        """Path of what is noted of a part, which is written last."""
        return _names(self.folder, number)[1]

    @checked(
        workers=a_number(1, 10_000, whole=True, optional=False), progress=instance(callable, optional=True),
        parts=instance(range, list, tuple, optional=True),
    )  # fmt: skip
    def run(self, *, workers=1, parts=None, progress=None):
        """Compute what is missing, and with all of it there write the manifest.

        Arguments
        ---------
        workers : processes
        parts : numbers of the parts to see to; all by default
        progress : callable, optional, called with the spectra of each part that is done

        Returns
        -------
        Summary

        Errors
        ------
        DTLError : the folder cannot be written, or a worker died; what is finished stays.
        """
        chosen = range(len(self)) if parts is None else [number for number in parts if number < len(self)]
        write_whole(self.folder / "_made.json", json.dumps(self.identity, indent=1, sort_keys=True) + "\n")
        jobs, computed = self._jobs(chosen, progress), 0
        for number in self._computed(jobs, workers):
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
        """What :func:`_make` needs for each missing part, one by one: a list of all would grow with the survey."""
        for number in chosen:
            if self.ready(number):
                if progress:
                    progress(self._length(number))
                continue
            with contextlib.suppress(OSError):  # from now on it would tell of parts that are gone
                (self.folder / MANIFEST).unlink(missing_ok=True)
            yield number, self.stretch(number), str(self.folder), self.velocity

    def _computed(self, jobs, workers):
        """Numbers of parts as they are finished."""
        if workers <= 1:
            one_thread()  # as in a worker: the same bytes
            parallel.start_worker(self.name)
            yield from map(_make, jobs)
            return
        remedy = "fewer --workers, then the same command again; what is finished is kept"
        with worker_pool(workers, parallel.start_worker, (self.name,), field="--workers", remedy=remedy) as pool:
            yield from ordered(pool, _make, jobs, 2 * workers)

    def _finish(self, notes, computed):
        for path in self.folder.glob("*part-*"):  # of a survey that was longer
            number = path.stem.rpartition("-")[2]
            if number.isdecimal() and int(number) >= len(self):
                path.unlink(missing_ok=True)
        try:
            with whole(self.folder / REFUSED) as part, part.open("w", newline="", encoding="utf-8") as file:
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
        write_whole(self.folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        return Summary(len(self), computed, stars, refused)


# ---------------------------------------------------------------- one part


def _names(folder, number):
    return Path(folder) / f"part-{number:07d}.parquet", Path(folder) / f"_part-{number:07d}.json"


def read_note(folder, number):
    """What is noted of a part: dict of file, rows, n_refused, refused, sha256, stamp; None without a whole note."""
    try:
        note = json.loads(_names(folder, number)[1].read_text())
        return note if note.pop("check") == _check(note) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _check(note):
    return hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()[:20]


def _unspoilt(folder, number, note):
    try:
        return file_hash(_names(folder, number)[0]) == note["sha256"]
    except OSError:
        return False


def _make(job):
    """Compute a part and put it in its place, its note last. Returns: its number."""
    number, stretch, folder, velocity = job
    stamp = stretch.stamp()
    examined, refused = parallel.examine_batch(stretch, velocity)
    content = _as_parquet(prediction.as_table(examined, [], parallel.worker_model()))
    path, note = _names(folder, number)
    write_whole(path, content)
    about = {
        "file": path.name,
        "rows": len(examined),
        "n_refused": len(refused),
        "refused": [[legible(file), legible(error)] for file, error in refused],
        "sha256": hashlib.sha256(content).hexdigest(),
        "stamp": stamp,
    }
    write_whole(note, json.dumps(about | {"check": _check(about)}, indent=1) + "\n")
    return number


def _as_parquet(table):
    """A catalogue as the content of a Parquet file: the same table gives the same bytes."""
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(exports.arrow_table(table), out, compression="zstd")
    return out.getvalue()


# ---------------------------------------------------------------- the whole catalogue


def read_manifest(folder):
    """The list of all parts of a finished catalogue. Errors: DataError, it is not finished, or the list is damaged."""
    path = Path(folder) / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        if all({"file", "sha256"} <= set(part) for part in manifest["parts"]) and manifest["stars"] >= 0:
            return manifest
    except (FileNotFoundError, NotADirectoryError):
        remedy = "give the command that made it once more"
        raise DataError("is not a finished catalogue", file=folder, remedy=remedy) from None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise DataError("is damaged", file=path, remedy="give the command that made the catalogue once more")


@checked(folder=a_path, path=a_path)
def export(folder, path):
    """Write a finished catalogue as one file, part by part: .ecsv, .fits, .csv, .vot or .parquet.

    Returns: Path.

    Errors
    ------
    DataError : the catalogue is not finished, or a part is not what its hash says.
    ConfigError : unknown ending.
    DTLError : the file cannot be written.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    parts = [(folder / part["file"], part["sha256"]) for part in manifest["parts"]]
    return exports.save_parts(lambda: map(_read_part, parts), path, manifest["stars"])


def _read_part(listed):
    """A part as an astropy table, described."""
    import pyarrow.parquet as pq
    from astropy.table import Table

    path, digest = listed
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    if hashlib.sha256(content).hexdigest() != digest:
        remedy = "give the command that made the catalogue once more"
        raise DataError("is not what its hash says", file=path, remedy=remedy)
    found = pq.read_table(io.BytesIO(content))
    columns = {}
    for name in found.column_names:
        values = found[name].to_pylist() if found.schema.field(name).type == "string" else found[name].to_numpy()
        columns[name] = np.array(values, str) if found.schema.field(name).type == "string" else values
    table = exports.describe(Table(columns))
    table.meta["description"] = found.schema.metadata[b"description"].decode()
    return table
