"""Many spectra, in batches: from files, folders, patterns, lists of files, Zarr and Parquet stores.

::

    source = open_source(["nights/*.fits", "@more.txt"])
    source = open_source("survey.zarr")   # a store
    spectra, refused = source.batch(0, 64).read()

:func:`read_many` reads all of them at once, and takes spectra in memory too. A source holds no spectra in memory, only
where to find each of them. A store holds spectra of one instrument::

    flux          (n, n_pixels), any unit
    wavelength    (n_pixels,), or (n, n_pixels); A, strictly increasing
    uncertainty   (n, n_pixels), optional; 1 sigma, NaN where unknown
    mask          (n, n_pixels), optional; True where a pixel is unusable
    star          (n,), optional; names, by default the number of the row
    berv          (n,), optional; km/s, of the Earth towards the star

and the attributes ``medium`` (``vacuum`` or ``air``), ``frame`` (``observatory``, ``barycentric`` or ``rest``),
``resolving_power`` and ``instrument``. In Zarr the arrays are those of a group. In Parquet, one file or a folder of
files, they are columns, and the key ``dtl`` of the schema's metadata holds the attributes and a common ``wavelength``
as JSON.
"""

from __future__ import annotations

import array
import dataclasses
import functools
import glob
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..arguments import a_flag, a_number, a_path, checked, instance, some_paths
from ..characters import clean
from ..errors import ConfigError, DataError, DTLError
from ..files import file_hash
from ..processes import worker_pool
from ..spectra.spectrum import finish
from . import conversion, readers
from .formats import one_line_errors
from .keywords import to_vacuum

__all__ = ["Batch", "Files", "list_files", "open_source", "read_many", "write_parquet", "write_zarr"]


SUFFIXES = (".fits", ".fit", ".fits.gz", ".ecsv", ".csv", ".txt", ".dat", ".s")
NOT_SPECTRA = ("deblazed", "mask", "wave_phoenix", "lfc_wavecal")  # in the names of files that accompany spectra
FRAMES = ("observatory", "barycentric", "rest")
ARRAYS = ("wavelength", "flux", "uncertainty", "mask", "star", "berv")
_ATTRIBUTES = ("medium", "frame", "resolving_power", "instrument")
_CODECS = {"bytes", "blosc", "crc32c", "gzip", "lz4", "sharding_indexed", "shuffle", "transpose", "vlen-utf8", "zlib",
           "zstd"}  # fmt: skip


_EXTRA = "pip install 'dtl-mdwarfs[survey]'"


# ---------------------------------------------------------------- batches


@dataclass(frozen=True)
class Batch:
    """Consecutive spectra of a source, cheap to send to another process.

    Attributes
    ----------
    paths : tuple of str
        Files; empty for a store.
    store : tuple
        Kind, path, and stamp when it was opened; empty for files.
    start, stop : int
        Rows of the store.
    options : dict
        For :func:`dtl_core.reading.readers.read`.
    """

    paths: tuple = ()
    store: tuple = ()
    start: int = 0
    stop: int = 0
    options: dict = field(default_factory=dict)

    def stamp(self):
        """Hash of names, sizes and times of modification: changes whenever the spectra do."""
        files = [(path, *_facts(path)) for path in self.paths]
        state = files, self.store, self.start, self.stop, self.options
        return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:20]

    def pieces(self, size):
        """Split into batches of at most ``size`` spectra."""
        for first in range(0, len(self.paths), size):
            yield dataclasses.replace(self, paths=self.paths[first : first + size])
        for first in range(self.start, self.stop, size):
            yield dataclasses.replace(self, start=first, stop=min(first + size, self.stop))

    def read(self, *, strict=False, progress=None, workers=1):
        """Read the spectra; see :func:`read_many` for the arguments and what is returned."""
        if not self.store:
            return _read_files(self.paths, self.options, strict, progress, workers)
        spectra, refused = _opened(*self.store).spectra(self.start, self.stop, self.options, progress)
        if strict and refused:
            raise DataError(refused[0][1])
        return spectra, refused


def _facts(path):
    try:
        status = os.stat(path)
    except OSError:
        return None, None
    return status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=2)
def _opened(kind, path, stamp):
    """A store, opened once per process until it changes."""
    return _STORES[kind](path)


def _attempt(file, options):
    """The spectrum of a file and the hash of its content, or the error and None."""
    try:
        spectrum = readers.read(file, **options)
        return spectrum, file_hash(file)
    except ConfigError:
        raise
    except DTLError as error:
        return error, None


def _attempts(files, options, workers):
    if workers <= 1:
        yield from (_attempt(file, options) for file in files)
        return
    with worker_pool(workers, torch=False, error=DataError, remedy="read with workers=1") as pool:
        yield from pool.map(_attempt, files, [options] * len(files), chunksize=8)


def _read_files(files, options, strict, progress, workers):
    """Spectra of files; copies of earlier files are refused, and a note marks the second spectrum of a star."""
    spectra, refused, files_by_hash, first_files = [], [], {}, {}
    for file, (result, digest) in zip(files, _attempts(files, options, workers), strict=True):
        if digest in files_by_hash:
            remedy = "leave one of them out"
            result = DataError(f"same content as {files_by_hash[digest]}", file=file, remedy=remedy)
        if isinstance(result, DTLError):
            if strict:
                raise result
            refused.append((file, str(result)))
        else:
            files_by_hash[digest] = file
            first = first_files.setdefault("".join(result.star.casefold().split()), file)
            if first != file:
                note = clean(f"second spectrum of {result.star}: {first}", 300)
                result = dataclasses.replace(result, notes=(*result.notes, note))
            spectra.append(result)
        if progress:
            progress(1)
    return spectra, refused


# ---------------------------------------------------------------- files


class Files:
    """Spectra in files.

    The names are kept in a temporary file. Memory holds eight bytes per name, and the names of one folder at a time.

    Parameters
    ----------
    given : path, or iterable of paths
        As for :func:`list_files`.
    options : dict, optional
        For :func:`dtl_core.reading.readers.read`.
    """

    def __init__(self, given, options=None):
        self.options = options or {}
        self._names, self._begin = tempfile.TemporaryFile(), array.array("q", [0])  # noqa: SIM115
        for text in some_paths(given, "given"):
            for path in _expanded(text):
                self._begin.append(self._begin[-1] + self._names.write(os.fsencode(path) + b"\0"))

    def __len__(self):
        return len(self._begin) - 1

    def batch(self, start=0, stop=None):
        """Files number ``start`` to ``stop``, by default all of them: :class:`Batch`."""
        self._names.seek(self._begin[start])
        last = len(self) if stop is None else min(stop, len(self))
        text = self._names.read(self._begin[last] - self._begin[start])
        return Batch(tuple(os.fsdecode(name) for name in text.split(b"\0")[:-1]), options=self.options)


@checked(paths=some_paths)
def list_files(paths):
    """List the files that paths refer to.

    Parameters
    ----------
    paths : path, or iterable of paths
        Files, folders, patterns with ``*``, ``?``, ``[]`` or ``**``, or ``@list``, a text file with a path per line.
        In folders, only files that end in .fits, .fit, .fits.gz, .ecsv, .csv, .txt, .dat or .s are listed, without
        those that accompany spectra, such as HPF's flats and masks. Subfolders are not searched.

    Returns
    -------
    list of Path

    Raises
    ------
    DataError
        A pattern matches no file, or a list cannot be read.
    """
    return [Path(file) for text in paths for file in _expanded(text)]


def _expanded(text):
    """Paths of one argument."""
    if text.startswith("@") and not os.path.exists(text):
        yield from _listed(Path(text[1:]).expanduser())
    elif any(sign in text for sign in "*?[") and not os.path.exists(text):
        matches = sorted(path for path in glob.iglob(text, recursive=True) if os.path.isfile(path))
        if not matches:
            raise DataError("matches no file", file=clean(text), remedy="check the pattern")
        yield from matches
    else:
        yield from _files_of(text)


def _files_of(path):
    """A file, or those of a folder that may be spectra."""
    path = Path(path)
    if not path.is_dir():
        return [str(path)]
    return [str(file) for file in sorted(path.iterdir()) if _may_be_spectrum(file.name.lower())]


def _may_be_spectrum(name):
    return name.endswith(SUFFIXES) and not name.startswith(".") and not any(part in name for part in NOT_SPECTRA)


def _listed(path):
    if path.exists() and not path.is_file():  # opening a pipe would wait for a writer
        raise DataError("is not a file", file=path, field="@list", remedy="write the list to a file")
    try:
        with path.open("rb") as file:  # a name may be of any bytes, in any locale
            for number, line in enumerate(file, 1):
                name = (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).strip()
                if b"\0" in name:
                    raise DataError("has a zero byte", file=path, field=f"line {number}", remedy="give a text of paths")
                if name and not name.startswith(b"#"):
                    yield from _files_of(os.path.expanduser(os.fsdecode(name)))
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path, remedy="check the path") from None


# ---------------------------------------------------------------- entry points


@checked(given=some_paths, **readers.READING)
def open_source(given, **options):
    """Open a source of spectra.

    Parameters
    ----------
    given : path, or iterable of paths
        As for :func:`list_files`, or one Zarr or Parquet store.
    **options
        instrument, medium, resolving_power and others, as for :func:`dtl_core.reading.readers.read`.

    Returns
    -------
    Files or store
        Has a length and ``batch(start, stop)``, which gives a :class:`Batch`.

    Raises
    ------
    DataError
        There are no spectra, or a store does not have the layout above.
    ConfigError
        A store among other paths, or ``star`` for several spectra.
    """
    options = {name: value for name, value in options.items() if value is not None}
    kinds = [_kind(path) for path in given]
    if any(kinds):
        if len(given) > 1:
            raise ConfigError("a store stands alone", field="FILES", remedy="give one store, or files")
        source = _STORES[kinds[0]](str(given[0]), options)
    else:
        source = Files(given, options)
    if not any(kinds) and not len(source):
        where = clean(", ".join(map(str, given)))
        raise DataError("no spectra", file=where, remedy=f"give files ending in {', '.join(SUFFIXES)}")
    if "star" in options and len(source) != 1:
        raise ConfigError("names one star, but there are several files", field="star", remedy="give one file")
    return source


@checked(
    strict=a_flag,
    progress=instance(callable, optional=True),
    workers=a_number(1, 10_000, whole=True, optional=False),
    **readers.READING,
)
def read_many(spectra, *, strict=False, progress=None, workers=1, **options):
    """Read all spectra of files, folders or a store, and convert those in memory.

    Parameters
    ----------
    spectra : path, spectrum, or iterable of these
        Paths as for :func:`open_source`; a :class:`dtl_core.spectra.spectrum.Spectrum`, a specutils.Spectrum or a
        table, as for :func:`dtl_core.reading.conversion.converted`; or a list of exposures of one star.
    strict : bool
        Raise the error of the first spectrum that cannot be read.
    progress : callable, optional
        Called with 1 after each spectrum that is read from a file or store.
    workers : int
        Processes that read files.
    **options
        instrument, medium, resolving_power, star and others, as for :func:`dtl_core.reading.readers.read`; ``star``
        only with one spectrum.

    Returns
    -------
    spectra : list of Spectrum or of lists of exposures
        Those in memory first, then those of files in the order of the files. A note in ``notes`` marks the second
        spectrum of a star.
    refused : list of (name, message)
        Errors of spectra that cannot be read, including files with the content of an earlier one.

    Raises
    ------
    DataError
        There are no spectra, or ``strict`` and one cannot be read.
    ConfigError
        An argument is not a spectrum, or an option does not apply.
    """
    about = {name: options.get(name) for name in ("medium", "resolving_power", "star")}
    paths, converted, refused = [], [], []
    for where, value in conversion.each(spectra):
        if isinstance(value, str | os.PathLike):
            paths.append(a_path(value, where))
            continue
        for name in options:
            if name not in about and options[name] is not None:
                remedy = "leave it out, or put it into the spectrum"
                raise ConfigError(f"is for files, not for {where}", field=name, remedy=remedy)
        try:
            exposures = conversion.exposures(value, where, **about)
        except DataError as error:
            if strict:
                raise
            refused.append((where, str(error)))
        else:
            converted.append(exposures if len(exposures) > 1 else exposures[0])
    n_objects = len(converted) + len(refused)
    if options.get("star") is not None and n_objects + len(paths) > 1:
        raise ConfigError("names one star, but there are several files", field="star", remedy="give one file")
    if n_objects and not paths:
        return converted, refused
    read, unread = open_source(paths, **options).batch().read(strict=strict, progress=progress, workers=workers)
    return converted + read, refused + unread


def _kind(path):
    path = Path(path)
    if path.is_dir() and any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zattrs")):
        return "zarr"
    return "parquet" if path.suffix == ".parquet" and path.exists() else None


class _Store:
    """Base of the stores, which define ``n``, ``attributes``, ``rows(start, stop)`` and ``_files()``."""

    kind = None

    def __init__(self, path, options=None):
        self.path, self.options = str(path), options or {}
        try:
            self._open()
        except (DTLError, KeyboardInterrupt):
            raise
        except ImportError as error:
            raise DataError(f"needs {error.name}", file=path, remedy=_EXTRA) from None
        except Exception as error:  # zarr and pyarrow raise many types for a damaged store
            remedy = "check that it was written to the end"
            raise self._bad(f"cannot be opened ({type(error).__name__})", remedy) from None
        frame = self.attributes.get("frame", FRAMES[0])
        if frame not in FRAMES:
            raise self._bad(f"is {clean(str(frame), 30)!r}", f"give one of {', '.join(FRAMES)}", "frame")
        try:
            self.power = float(self.attributes.get("resolving_power", "nan"))
        except (TypeError, ValueError):
            raise self._bad("is not a number", "give lambda / FWHM", "resolving_power") from None

    def _bad(self, problem, remedy, name=None):
        return DataError(problem, file=self.path, field=name, remedy=remedy)

    def __len__(self):
        return self.n

    def batch(self, start=0, stop=None):
        """Rows ``start`` to ``stop``, by default all of them: :class:`Batch`."""
        stop = self.n if stop is None else min(stop, self.n)
        return Batch(store=(self.kind, self.path, self.stamp), start=start, stop=stop, options=self.options)

    @functools.cached_property
    def stamp(self):
        """Of the complete store, because only zarr and pyarrow know which file holds which row."""
        files = [(file, *_facts(file)) for file in self._files()]
        return hashlib.sha256(json.dumps(files).encode()).hexdigest()[:20]

    def spectra(self, start, stop, options, progress=None):
        """Spectra of rows, and those that cannot be used: a damaged part of the store costs only its own rows."""
        try:
            rows = self.rows(start, stop)
        except Exception as error:
            if stop - start > 1:
                middle = (start + stop) // 2
                halves = [self.spectra(*half, options, progress) for half in ((start, middle), (middle, stop))]
                return halves[0][0] + halves[1][0], halves[0][1] + halves[1][1]
            if progress:
                progress(1)
            name, problem = f"{self.path}/{start}", f"cannot be read ({type(error).__name__})"
            return [], [(name, str(DataError(problem, file=name, remedy="write it again")))]
        spectra, refused = [], []
        for number in range(stop - start):
            row = {key: value[number] for key, value in rows.items() if value[number] is not None}
            name = Path(self.path) / str(start + number)
            try:
                spectra.append(_spectrum(name, row, self.attributes, self.power, options))
            except DataError as error:
                refused.append((str(name), str(error)))
            if progress:
                progress(1)
        return spectra, refused


@one_line_errors
def _spectrum(name, row, attributes, power, options):
    """A row of a store as a Spectrum."""
    for needed in ("wavelength", "flux"):
        if needed not in row:
            raise DataError("is missing", file=name, field=needed, remedy="fill it, or leave out the row")
    said = attributes.get("medium")
    notes = []
    wavelength = to_vacuum(np.asarray(row["wavelength"], float), options.get("medium"), said, notes)
    return finish(
        name,
        wavelength,
        row["flux"],
        row.get("uncertainty"),
        None if "mask" not in row else np.asarray(row["mask"], bool),
        star=options.get("star") or str(row.get("star", name.name)),
        notes=notes,
        resolving_power=options.get("resolving_power", power),
        instrument=clean(str(attributes.get("instrument", "")), 40),
        frame=attributes.get("frame", FRAMES[0]),
        berv=float(row.get("berv", np.nan)),
    )


class _Zarr(_Store):
    kind = "zarr"

    def _open(self):
        import zarr

        for name in ARRAYS:  # before anything is decoded: a codec such as pickle can run code
            self._check_codecs(name)
        group = zarr.open_group(self.path, mode="r")
        self.arrays = {name: group[name] for name in ARRAYS if name in group}
        for name in ("wavelength", "flux"):
            if name not in self.arrays:
                raise self._bad("is missing", "see dtl_core.reading.sources for the layout", name)
        self.attributes, flux = dict(group.attrs), self.arrays["flux"]
        if flux.ndim != 2:
            raise self._bad(f"has shape {flux.shape}", "give (n, n_pixels)", "flux")
        self.n = flux.shape[0]
        for name, values in self.arrays.items():
            right = {flux.shape, flux.shape[1:]} if name == "wavelength" else {flux.shape}
            right = {flux.shape[:1]} if name in ("star", "berv") else right
            if values.shape not in right:
                raise self._bad(f"has shape {values.shape}, flux {flux.shape}", "write it again", name)
        common = self.arrays["wavelength"].ndim == 1
        self.wavelength = self.arrays.pop("wavelength")[:] if common else None

    def _check_codecs(self, name):
        folder = Path(self.path) / name
        for file in (folder / "zarr.json", folder / ".zarray"):
            if not file.is_file():
                continue
            meta = json.loads(file.read_text())
            used = [*(meta.get("codecs") or []), *(meta.get("filters") or []), meta.get("compressor")]
            while used:
                entry = used.pop()
                if entry is None:
                    continue
                codec = entry.get("name") or entry.get("id")
                if codec not in _CODECS:
                    problem = f"has the codec {clean(str(codec), 30)!r}"
                    raise self._bad(problem, f"use one of {', '.join(sorted(_CODECS))}", name)
                inner = entry.get("configuration") or {}
                used += [*(inner.get("codecs") or []), *(inner.get("index_codecs") or [])]

    def rows(self, start, stop):
        out = {name: values[start:stop] for name, values in self.arrays.items()}
        return out if self.wavelength is None else out | {"wavelength": [self.wavelength] * (stop - start)}

    def _files(self):
        return sorted(os.path.join(folder, name) for folder, _, names in os.walk(self.path) for name in names)


class _Parquet(_Store):
    kind = "parquet"

    def _open(self):
        import pyarrow.parquet as pq

        self.files = self._files()
        if not self.files:
            raise self._bad("holds no .parquet file", "check the path")
        opened = [pq.ParquetFile(file) for file in self.files]
        groups = [file.metadata.row_group(k).num_rows for file in opened for k in range(file.num_row_groups)]
        self.groups = [(number, k) for number, file in enumerate(opened) for k in range(file.num_row_groups)]
        self.begin = np.concatenate([[0], np.cumsum(groups, dtype=np.int64)])
        self.n = int(self.begin[-1])
        schema = opened[0].schema_arrow
        self.attributes = json.loads((schema.metadata or {}).get(b"dtl", b"{}"))
        self.columns = [name for name in ARRAYS if name in schema.names]
        for file in opened:
            file.close()
        if "flux" not in self.columns or "wavelength" not in {*self.columns, *self.attributes}:
            name = "flux" if "flux" not in self.columns else "wavelength"
            raise self._bad("is missing", "see dtl_core.reading.sources for the layout", name)
        self.wavelength = np.asarray(self.attributes.get("wavelength", []), float)

    def _files(self):
        folder = Path(self.path)
        return [str(folder)] if folder.is_file() else sorted(map(str, folder.glob("*.parquet")))

    def rows(self, start, stop):
        import pyarrow as pa
        import pyarrow.parquet as pq

        first = int(np.searchsorted(self.begin, start, "right")) - 1
        last = int(np.searchsorted(self.begin, stop, "left"))
        tables = []
        for number, group in self.groups[first:last]:
            with pq.ParquetFile(self.files[number]) as file:
                tables.append(file.read_row_group(group, columns=self.columns))
        table = pa.concat_tables(tables).slice(start - int(self.begin[first]), stop - start)
        out = {}
        for name in self.columns:
            lists = pa.types.is_list(table.schema.field(name).type)
            out[name] = [v.values if v.is_valid else None for v in table[name]] if lists else table[name].to_pylist()
        return {"wavelength": [self.wavelength] * (stop - start)} | out


_STORES = {"zarr": _Zarr, "parquet": _Parquet}


# ---------------------------------------------------------------- writing


@checked(
    path=a_path, n=a_number(0, 1e12, whole=True, optional=False), rows=a_number(1, 1e9, whole=True, optional=False)
)
def write_zarr(path, wavelength, chunks, n, *, rows=512, **attributes):
    """Write spectra into a Zarr store, chunk by chunk.

    Parameters
    ----------
    path : str or Path
        Folder, which must not exist.
    wavelength : (n_pixels,) array, A
        Wavelengths of all spectra.
    chunks : iterable of dict
        Arrays (m, ...) by the names in this module; all dicts have the same names.
    n : int
        Number of all spectra.
    rows : int
        Spectra per file of the store.
    **attributes
        medium, frame, resolving_power, instrument.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        The folder exists, or there are not ``n`` spectra. Nothing is left behind.
    """
    import zarr

    if unknown := sorted(set(attributes) - set(_ATTRIBUTES)):
        raise ConfigError("is not an attribute of a store", field=unknown[0], remedy=f"give {', '.join(_ATTRIBUTES)}")
    try:
        group = zarr.open_group(str(path), mode="w-", attributes={"medium": "vacuum"} | attributes)
    except FileExistsError:
        raise DataError("exists already", file=path, remedy="remove it, or choose another name") from None
    try:
        _fill(group, wavelength, chunks, n, rows)
    except BaseException:  # do not leave an incomplete store
        shutil.rmtree(path)
        raise
    return Path(path)


def _fill(group, wavelength, chunks, n, rows):
    group.create_array("wavelength", data=np.asarray(wavelength, float))
    start = 0
    for chunk in chunks:
        values = {name: np.asarray(values) for name, values in chunk.items()}
        stop = start + min(map(len, values.values()))
        if {len(column) for column in values.values()} != {stop - start} or stop > n:
            sizes = ", ".join(f"{name} {len(column)}" for name, column in values.items())
            raise DataError(f"{sizes} of {n - start} spectra left", field="chunks", remedy="give each array as many")
        for name, column in values.items():
            if start == 0:
                shape, dtype = (n, *column.shape[1:]), str if column.dtype.kind == "U" else column.dtype
                group.create_array(name, shape=shape, chunks=(rows, *column.shape[1:]), dtype=dtype)
            group[name][start:stop] = column
        start = stop
    if start < n:  # the rest would be zeros
        raise DataError(f"{start} spectra given, {n} announced", field="n", remedy="give the number of all spectra")


@checked(path=a_path)
def write_parquet(path, wavelength, chunks, **attributes):
    """Write spectra into a Parquet file, with a row group per chunk.

    Parameters
    ----------
    path : str or Path
        File.
    wavelength, chunks, **attributes
        As for :func:`write_zarr`.

    Returns
    -------
    Path
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from ..files import atomic_path

    about = {"medium": "vacuum", "wavelength": np.asarray(wavelength, float).tolist()} | attributes
    writer = None
    with atomic_path(path) as part:
        try:
            for chunk in chunks:
                plain = {name: np.asarray(values) for name, values in chunk.items()}
                columns = {name: list(values) if values.ndim == 2 else values for name, values in plain.items()}
                table = pa.table({name: pa.array(values) for name, values in columns.items()})
                table = table.replace_schema_metadata({"dtl": json.dumps(about)})
                writer = writer or pq.ParquetWriter(part, table.schema, compression="zstd")
                writer.write_table(table)
        finally:
            if writer:
                writer.close()
    return Path(path)
