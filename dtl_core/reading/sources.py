"""Where many spectra come from, a stretch at a time: files, folders, patterns, lists of files, Zarr and Parquet stores.

    source = open_source(["nights/*.fits", "@more.txt"])
    source = open_source("survey.zarr")   # one store
    spectra, refused = source.stretch(0, 64).read()

However many spectra there are, a source keeps only where each of them begins. A store holds spectra of one instrument:

    flux          (n, n_pixels), any unit
    wavelength    (n_pixels,), or (n, n_pixels); A, strictly increasing
    uncertainty   (n, n_pixels), optional; 1 sigma, NaN where unknown
    mask          (n, n_pixels), optional; True where a pixel is lost
    star          (n,), optional; names, otherwise the number of the row
    berv          (n,), optional; km/s, of the Earth towards the star

and the attributes ``medium`` (``vacuum`` or ``air``), ``frame`` (``observatory``, ``barycentric`` or ``rest``),
``resolving_power`` and ``instrument``. In Zarr the arrays are those of a group; in Parquet, one file or a folder of
them, they are columns, and the key ``dtl`` of the schema's metadata holds attributes and a common ``wavelength`` as
JSON.
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

from ..arguments import a_flag, a_number, a_path, checked, some_paths
from ..characters import clean
from ..errors import ConfigError, DataError, DTLError
from ..spectra.spectrum import finish
from . import readers
from .formats import one_line_errors
from .keywords import to_vacuum

__all__ = ["Files", "Stretch", "open_source", "read_all", "write_parquet", "write_zarr"]


FRAMES = ("observatory", "barycentric", "rest")
ARRAYS = ("wavelength", "flux", "uncertainty", "mask", "star", "berv")
_ATTRIBUTES = ("medium", "frame", "resolving_power", "instrument")
_CODECS = {"bytes", "blosc", "crc32c", "gzip", "lz4", "sharding_indexed", "shuffle", "transpose", "vlen-utf8", "zlib",
           "zstd"}  # fmt: skip


_EXTRA = "pip install 'dtl-mdwarfs[survey]'"


# ---------------------------------------------------------------- stretches


@dataclass(frozen=True)
class Stretch:
    """Some consecutive spectra of a source, small enough to be sent to another process.

    Attributes: ``paths`` of files; or ``store``, its kind, path and stamp when it was opened, with the numbers
    ``start`` and ``stop`` of rows; ``options`` for the reader.
    """

    paths: tuple = ()
    store: tuple = ()
    start: int = 0
    stop: int = 0
    options: dict = field(default_factory=dict)

    def stamp(self):
        """Changes whenever the spectra do: hash of names, sizes and times of modification."""
        told = [(path, *_facts(path)) for path in self.paths], self.store, self.start, self.stop, self.options
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:20]

    def pieces(self, size):
        """The same in stretches of at most ``size`` spectra."""
        for first in range(0, len(self.paths), size):
            yield dataclasses.replace(self, paths=self.paths[first : first + size])
        for first in range(self.start, self.stop, size):
            yield dataclasses.replace(self, start=first, stop=min(first + size, self.stop))

    def read(self):
        """The spectra: list of Spectrum, and of (name, message) what cannot be used."""
        if self.store:
            return _opened(*self.store).spectra(self.start, self.stop, self.options)
        found, failures = readers.read_many(self.paths, **self.options)
        return found, [*zip(failures["file"], failures["error"], strict=True)]


def _facts(path):
    try:
        found = os.stat(path)
    except OSError:
        return None, None
    return found.st_size, found.st_mtime_ns


@functools.lru_cache(maxsize=2)
def _opened(kind, path, stamp):
    """A store, opened once in a process while it stays as it is."""
    return _STORES[kind](path)


# ---------------------------------------------------------------- files


class Files:
    """Spectra in files: paths, folders, patterns with ``*``, ``?``, ``[]`` or ``**``, ``@list`` of paths, a line each.

    The names lie in a temporary file; in memory are eight bytes for each, and the names of one folder at a time.
    """

    def __init__(self, given, options=None):
        self.options = options or {}
        self._names, self._begin = tempfile.TemporaryFile(), array.array("q", [0])  # noqa: SIM115
        for one in some_paths(given, "given"):
            for path in _expanded(one):
                self._begin.append(self._begin[-1] + self._names.write(os.fsencode(path) + b"\0"))

    def __len__(self):
        return len(self._begin) - 1

    def stretch(self, start, stop):
        """Files number ``start`` to ``stop``: :class:`Stretch`."""
        self._names.seek(self._begin[start])
        text = self._names.read(self._begin[min(stop, len(self))] - self._begin[start])
        return Stretch(tuple(os.fsdecode(name) for name in text.split(b"\0")[:-1]), options=self.options)


def _expanded(text):
    """Paths meant by one argument."""
    if text.startswith("@") and not os.path.exists(text):
        yield from _listed(Path(text[1:]).expanduser())
    elif any(sign in text for sign in "*?[") and not os.path.exists(text):
        found = sorted(path for path in glob.iglob(text, recursive=True) if os.path.isfile(path))
        if not found:
            raise DataError("matches no file", file=clean(text), remedy="check the pattern")
        yield from found
    else:
        yield from map(str, readers.list_files(text))


def _listed(path):
    if path.exists() and not path.is_file():  # opening a pipe waits for somebody to write to it
        raise DataError("is not a file", file=path, field="@list", remedy="write the list to a file")
    try:
        with path.open("rb") as file:  # a name may be of any bytes, in any locale
            for number, line in enumerate(file, 1):
                name = (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).strip()
                if b"\0" in name:
                    raise DataError("has a zero byte", file=path, field=f"line {number}", remedy="give a text of paths")
                if name and not name.startswith(b"#"):
                    yield from map(str, readers.list_files(os.path.expanduser(os.fsdecode(name))))
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path, remedy="check the path") from None


# ---------------------------------------------------------------- stores


@checked(given=some_paths, **readers.READING)
def open_source(given, **options):
    """A source of spectra: :class:`Files`, or a store if that is what is named, alone.

    Arguments
    ---------
    given : path or pattern, or a list of them
    options : instrument, medium, resolving_power, as for :func:`dtl_core.reading.readers.read`

    Returns
    -------
    something with a length and ``stretch(start, stop)``.

    Errors
    ------
    DataError : nothing there, or a store that is not laid out as this module says.
    """
    options = {name: value for name, value in options.items() if value is not None}
    kinds = [_kind(one) for one in given]
    if any(kinds):
        if len(given) > 1:
            raise ConfigError("a store stands alone", field="FILES", remedy="give one store, or files")
        return _STORES[kinds[0]](str(given[0]), options)
    source = Files(given, options)
    if not len(source):
        where = clean(", ".join(map(str, given)))
        raise DataError("no spectra", file=where, remedy=f"give files ending in {', '.join(readers.SUFFIXES)}")
    return source


@checked(given=some_paths, strict=a_flag, **readers.READING)
def read_all(given, *, strict=False, **options):
    """All spectra of a source at once.

    Arguments: as for :func:`open_source`; strict, raise the error of the first that cannot be used.
    Returns: list of Spectrum, and list of (name, message).
    """
    source = open_source(given, **options)
    whole = source.stretch(0, len(source))
    if not strict:
        return whole.read()
    if whole.paths:
        return readers.read_many(whole.paths, strict=True, **options)[0], []
    found, refused = whole.read()
    if refused:
        raise DataError(refused[0][1])
    return found, []


def _kind(path):
    path = Path(path)
    if path.is_dir() and any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zattrs")):
        return "zarr"
    return "parquet" if path.suffix == ".parquet" and path.exists() else None


class _Store:
    """What Zarr and Parquet have in common: ``shape``, ``attributes`` and ``rows(start, stop)`` are theirs."""

    kind = None

    def __init__(self, path, options=None):
        self.path, self.options = str(path), options or {}
        try:
            self._open()
        except (DTLError, KeyboardInterrupt):
            raise
        except ImportError as error:
            raise DataError(f"needs {error.name}", file=path, remedy=_EXTRA) from None
        except Exception as error:  # zarr and pyarrow raise many kinds for a damaged store
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

    def stretch(self, start, stop):
        """Rows ``start`` to ``stop``: :class:`Stretch`."""
        store = self.kind, self.path, self.stamp
        return Stretch(store=store, start=start, stop=min(stop, self.n), options=self.options)

    @functools.cached_property
    def stamp(self):
        """Of the whole store: which of its files hold some rows is for zarr and pyarrow to know."""
        told = [(file, *_facts(file)) for file in self._files()]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:20]

    def spectra(self, start, stop, options):
        """Spectra of some rows and what cannot be used; a part that cannot be read costs its rows alone."""
        try:
            rows = self.rows(start, stop)
        except Exception as error:
            if stop - start > 1:
                middle = (start + stop) // 2
                both = [self.spectra(*part, options) for part in ((start, middle), (middle, stop))]
                return both[0][0] + both[1][0], both[0][1] + both[1][1]
            name, problem = f"{self.path}/{start}", f"cannot be read ({type(error).__name__})"
            return [], [(name, str(DataError(problem, file=name, remedy="write it anew")))]
        found, refused = [], []
        for number in range(stop - start):
            row = {key: value[number] for key, value in rows.items() if value[number] is not None}
            name = Path(self.path) / str(start + number)
            try:
                found.append(_spectrum(name, row, self.attributes, self.power, options))
            except DataError as error:
                refused.append((str(name), str(error)))
        return found, refused


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
        star=str(row.get("star", name.name)),
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

        for name in ARRAYS:  # before any of it is decoded: a codec may run code, as pickle does
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
                raise self._bad(f"has shape {values.shape}, flux {flux.shape}", "write it anew", name)
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
                one = used.pop()
                if one is None:
                    continue
                codec = one.get("name") or one.get("id")
                if codec not in _CODECS:
                    problem = f"has the codec {clean(str(codec), 30)!r}"
                    raise self._bad(problem, f"use one of {', '.join(sorted(_CODECS))}", name)
                inner = one.get("configuration") or {}
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
        groups = [one.metadata.row_group(k).num_rows for one in opened for k in range(one.num_row_groups)]
        self.groups = [(number, k) for number, one in enumerate(opened) for k in range(one.num_row_groups)]
        self.begin = np.concatenate([[0], np.cumsum(groups, dtype=np.int64)])
        self.n = int(self.begin[-1])
        schema = opened[0].schema_arrow
        self.attributes = json.loads((schema.metadata or {}).get(b"dtl", b"{}"))
        self.columns = [name for name in ARRAYS if name in schema.names]
        for one in opened:
            one.close()
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
    """A Zarr store of spectra, written stretch by stretch.

    Arguments
    ---------
    path : folder, which must not exist
    wavelength : (n_pixels,) A
    chunks : iterable of dicts of arrays (m, ...) named as in this module, n spectra together, all with the same names
    n : of all spectra
    rows : spectra in one file of the store
    attributes : medium, frame, resolving_power, instrument

    Returns: Path. Errors: DataError, the folder exists, or there are not n spectra; then nothing is left.
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
    except BaseException:  # never half a store
        shutil.rmtree(path)
        raise
    return Path(path)


def _fill(group, wavelength, chunks, n, rows):
    group.create_array("wavelength", data=np.asarray(wavelength, float))
    start = 0
    for chunk in chunks:
        values = {name: np.asarray(values) for name, values in chunk.items()}
        stop = start + min(map(len, values.values()))
        if {len(one) for one in values.values()} != {stop - start} or stop > n:
            sizes = ", ".join(f"{name} {len(one)}" for name, one in values.items())
            raise DataError(f"{sizes} of {n - start} spectra left", field="chunks", remedy="give each array as many")
        for name, one in values.items():
            if start == 0:
                shape, dtype = (n, *one.shape[1:]), str if one.dtype.kind == "U" else one.dtype
                group.create_array(name, shape=shape, chunks=(rows, *one.shape[1:]), dtype=dtype)
            group[name][start:stop] = one
        start = stop
    if start < n:  # the others would be zeros, and each refused
        raise DataError(f"{start} spectra given, {n} announced", field="n", remedy="give the number of all spectra")


@checked(path=a_path)
def write_parquet(path, wavelength, chunks, **attributes):
    """A Parquet file of spectra, written stretch by stretch: a row group for each of ``chunks``.

    Arguments: as for :func:`write_zarr`. Returns: Path.
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
