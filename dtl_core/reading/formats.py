"""Raw content of files, without interpretation: FITS extensions, columns of numbers, keywords.

Files may be damaged or hostile. Sizes are checked before anything is allocated, and whatever the parsers raise becomes
one :class:`~dtl_core.errors.DataError`.

astropy parses FITS headers and tables, but :func:`fits_hdus` locates the extensions, because ``astropy.io.fits.open``
gives none of these guarantees. A damaged or truncated extension is an error; ``open`` drops it and all later ones with
a warning, so that an uncertainty could vanish. Sizes that contradict each other or the length of the file are refused
before memory is allocated. Bytes after the last extension cost no time; ``open`` searches them for a header, which
takes seconds in a file of MAX_FILE. Images are scaled here because astropy scales integers of 8 and 16 bits to float32.
"""

from __future__ import annotations

import collections
import functools
import gzip
import io
import math
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..characters import clean
from ..errors import DataError, DTLError

__all__ = [
    "Columns",
    "Hdu",
    "as_file",
    "content",
    "fits_columns",
    "fits_hdus",
    "is_fits",
    "metadata",
    "one_line_errors",
    "why",
]


MAX_FILE = 128 * 2**20  # bytes, compressed or not: spectra take a few MB
MAX_HEADER = 2**20  # bytes of the headers of a FITS file together
MAX_VALUES = 8 * 2**20  # numbers in one array
MAX_HDUS, MAX_COLUMNS, MAX_VECTORS = 200, 500, 10_000
BLOCK = 2880
PRINTABLE = bytes(byte if 32 <= byte < 127 else ord("?") for byte in range(256))  # what a FITS header may hold
AGAIN = "download the file again"


def why(error):
    """Type and message of an exception as one short line."""
    return clean(f"{type(error).__name__}: {error}").rstrip(": ")


def one_line_errors(reader):
    """Decorate ``reader(path, ...)`` so that it raises nothing but a :class:`DataError`."""

    @functools.wraps(reader)
    def wrapped(path, *args, **kwargs):
        try:
            with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
                return reader(Path(path), *args, **kwargs)
        except DTLError:
            raise
        except Exception as error:  # parsers raise many types, including MemoryError and RecursionError
            raise DataError(
                f"cannot be read ({why(error)})", file=path, remedy="check it, or give a table of wavelength and flux"
            ) from None

    return wrapped


def content(path):
    """Read the bytes of a file, and decompress them if gzip wrote it.

    Raises
    ------
    DataError
        The file is missing, empty, too long or not complete.
    """
    path = Path(path)
    if not path.is_file():
        problem = "is not a file" if path.exists() else "not found"
        raise DataError(problem, file=path, remedy="check the path")
    if path.stat().st_size > MAX_FILE:
        raise DataError(f"is longer than {MAX_FILE >> 20} MB", file=path, remedy="cut one spectrum out of it")
    data = path.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(MAX_FILE + 1)
        except (OSError, EOFError) as error:
            raise DataError(f"is not a whole gzip file ({clean(error)})", file=path, remedy=AGAIN) from None
        if len(data) > MAX_FILE:
            raise DataError(f"unpacks to more than {MAX_FILE >> 20} MB", file=path, remedy="cut one spectrum out of it")
    if not data:
        raise DataError("is empty", file=path, remedy=AGAIN)
    return data


def is_fits(data):
    """Whether these bytes begin as a FITS file does."""
    return data.startswith(b"SIMPLE  =")


# ---------------------------------------------------------------- FITS


@dataclass(frozen=True)
class Hdu:
    """One extension of a FITS file.

    Attributes
    ----------
    name : str
        In upper case.
    header : astropy.io.fits.Header
        As in the file.
    meta : dict
        Keywords, see :func:`metadata`.
    shape : tuple of int
        Slowest axis first; () without data.
    raw : memoryview
        Header and data.
    start : int, bytes
        Where the data begin in ``raw``.
    file : Path
        For errors.
    """

    name: str
    header: object
    meta: dict
    shape: tuple[int, ...]
    raw: bytes
    start: int
    file: Path

    @property
    def kind(self):
        """Its type as FITS names it: IMAGE, BINTABLE or TABLE."""
        return str(self.meta.get("XTENSION", "IMAGE")).strip()

    def image(self):
        """Return the array in float64, scaled by BSCALE and BZERO; NaN where an integer image is BLANK."""
        if math.prod(self.shape) > MAX_VALUES or not self.shape:
            raise DataError(f"has shape {self.shape}", file=self.file, field=self.name, remedy="give one spectrum")
        bits, blank = self.meta["BITPIX"], self.meta.get("BLANK")
        kind = "u1" if bits == 8 else f">{'i' if bits > 0 else 'f'}{abs(bits) // 8}"
        stored = np.frombuffer(self.raw, kind, math.prod(self.shape), self.start).reshape(self.shape)
        scale, zero = (self._number(key, default) for key, default in (("BSCALE", 1.0), ("BZERO", 0.0)))
        values = stored.astype(float) * scale + zero
        if bits > 0 and isinstance(blank, int):
            values[stored == blank] = np.nan
        return values

    def _number(self, key, default):
        """A keyword that is needed to interpret the data, as a float."""
        value = self.meta.get(key, default)
        try:
            return float(value)
        except (TypeError, ValueError):
            problem = f"{clean(value, 30)!r} is not a number"
            raise DataError(problem, file=self.file, field=key, remedy=AGAIN) from None


def _end_of_header(data, start):
    """End of the header that begins at ``start``, or None."""
    for block in range(start, min(len(data) - BLOCK + 1, start + MAX_HEADER), BLOCK):
        # END is not always the last card: some programs write on
        if any(data.startswith(b"END     ", block + 80 * card) for card in range(36)):
            return block + BLOCK
    return None


def fits_hdus(data, path):
    """Locate the extensions of a FITS file, and check their sizes against each other and the length of the file.

    Parameters
    ----------
    data : bytes
        Content of the file, uncompressed.
    path : Path
        For errors.

    Returns
    -------
    list of Hdu

    Raises
    ------
    DataError
        The file is cut short, has too many extensions, or a header has an impossible value.
    """
    from astropy.io import fits

    hdus, position = [], 0
    while position < len(data) and (not hdus or data.startswith(b"XTENSION", position)):
        where = f"HDU {len(hdus)}"
        end = _end_of_header(data, position)
        if len(hdus) == MAX_HDUS or sum(hdu.start for hdu in hdus) > MAX_HEADER:
            raise DataError("has too many extensions or keywords", file=path, remedy="cut one spectrum out of it")
        if end is None:
            raise DataError("is cut short: its header has no end", file=path, field=where, remedy=AGAIN)
        head = data[position:end].translate(PRINTABLE)  # some programs write other bytes, such as accents
        header = fits.Header.fromstring(head)
        meta = metadata(header)
        name = clean(meta.get("EXTNAME", "")).strip().upper()
        axes = meta.get("NAXIS")
        keys = [f"NAXIS{k + 1}" for k in range(axes)] if isinstance(axes, int) and 0 <= axes < 10 else ["NAXIS"]
        sizes = [meta.get(key) for key in keys if key != "NAXIS"]
        extra, groups = meta.get("PCOUNT", 0), meta.get("GCOUNT", 1)
        counts, said = [*sizes, extra], collections.defaultdict(set)
        for card in header.cards:
            if card.keyword in ("NAXIS", "BITPIX", "PCOUNT", "GCOUNT", "TFIELDS", *keys):
                said[card.keyword].add(str(card).strip())
        # astropy may use either of two cards: harmless if they are identical
        twice = any(len(cards) > 1 for cards in said.values())
        if twice or keys == ["NAXIS"] or groups != 1 or any(not isinstance(n, int) or n < 0 for n in counts):
            raise DataError("says no possible size", file=path, field=f"{where} {name}".strip(), remedy=AGAIN)
        if meta.get("BITPIX") not in (8, 16, 32, 64, -32, -64):
            raise DataError("is not a valid BITPIX", file=path, field=f"{where} BITPIX", remedy=AGAIN)
        size = abs(meta["BITPIX"]) // 8 * (extra + math.prod(sizes)) if sizes else 0
        if end + size > len(data):
            problem = f"is cut short: {end + size - len(data)} bytes are missing"
            raise DataError(problem, file=path, field=f"{where} {name}".strip(), remedy=AGAIN)
        shape = tuple(reversed(sizes))
        raw = memoryview(data)[position : end + size]
        raw = raw if raw[: len(head)] == head else memoryview(head + bytes(raw[len(head) :]))
        hdus.append(Hdu(name, header, meta, shape, raw, end - position, path))
        position = end + -(-size // BLOCK) * BLOCK
    return hdus


def as_file(hdus):
    """Bytes of a FITS file with these extensions only."""
    return b"".join(bytes(hdu.raw) + bytes(-len(hdu.raw) % BLOCK) for hdu in hdus)


def metadata(header):
    """Keywords of a FITS header as a dict, COMMENT and HISTORY as one text each; damaged cards are left out."""
    from astropy.io.fits.card import Undefined

    found = {}
    for card in header.cards:
        try:
            key, value = card.keyword, card.value
        except Exception:  # astropy raises VerifyError and more
            continue
        if key in ("COMMENT", "HISTORY"):
            found[key] = f"{found.get(key, '')}{value}\n"
        elif not isinstance(value, Undefined):
            found.setdefault(key, value)
    return found


# ---------------------------------------------------------------- columns


@dataclass
class Columns:
    """A table from a file of any format.

    Attributes
    ----------
    names : list of str
        Names of the columns.
    arrays, units, about : dict
        By name: values, unit, and UCD, description and comment in one text.
    meta : dict
        Keywords in upper case.
    texts : list of str
        Comments of the file.
    notes : list of str
        What was assumed while reading.
    """

    names: list[str]
    arrays: dict | object
    units: dict = field(default_factory=dict)
    about: dict = field(default_factory=dict)
    meta: dict = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def column(self, name, path):
        """A column as (n,) floats, or (n_rows, n) if its cells hold vectors; empty cells are NaN."""
        try:
            values = self.arrays[name]
            if np.ma.isMaskedArray(values):
                values = values.astype(float).filled(np.nan)
            values = np.asarray(values)
            if values.dtype == object and len(values) and isinstance(values[0], np.ndarray):  # of variable length
                longest = max(map(len, values))
                return np.array(
                    [np.pad(np.asarray(v, float), (0, longest - len(v)), constant_values=np.nan) for v in values]
                )
            return np.array(values, float)
        except (TypeError, ValueError):
            raise DataError("is not a column of numbers", file=path, field=name, remedy="check the columns") from None

    def flags(self, name, path):
        """A column as booleans, from booleans, numbers or the words true and false."""
        import pandas as pd

        values = np.asarray(self.arrays[name])
        if values.dtype.kind not in "OUST" or len(values) and isinstance(values[0], np.ndarray):
            return np.nan_to_num(self.column(name, path)).astype(bool)
        words = np.char.lower(np.where(pd.isna(values), "false", values).astype(str))
        for word in np.unique(words):
            if word not in ("true", "false", "1", "0", "t", "f"):
                problem = f"{clean(word, 20)!r} is neither true nor false"
                raise DataError(problem, file=path, field=name, remedy="write True or False")
        return np.isin(words, ("true", "1", "t"))


def fits_columns(hdu, primary=None):
    """Read the :class:`Columns` of a table extension; ``primary`` are keywords of the primary header."""
    from astropy.io import fits

    rows, width = hdu.shape if len(hdu.shape) == 2 else (0, 0)
    fields = hdu._number("TFIELDS", 0.0)
    if not 0 < rows <= MAX_VALUES or not 0 < fields <= MAX_COLUMNS:
        raise DataError(
            f"has {rows} rows and {fields:g} columns", file=hdu.file, field=hdu.name, remedy="give one spectrum"
        )
    try:
        kind = fits.BinTableHDU if hdu.kind == "BINTABLE" else fits.TableHDU
        table = kind.fromstring(as_file([hdu]))
        names = [str(name) for name in table.columns.names]
        units = {column.name: column.unit for column in table.columns if column.unit}
        if kind is fits.BinTableHDU and table.columns.dtype.itemsize != width:
            raise ValueError(f"they do not fit rows of {width} bytes")
        if rows > MAX_VECTORS and any(column.format.lstrip("0123456789")[:1] in "PQ" for column in table.columns):
            raise ValueError(f"{rows} rows of vectors")
        arrays = {name: _values(table, name) for name in names}
    except Exception as error:
        problem = f"its columns are damaged ({why(error)})"
        raise DataError(problem, file=hdu.file, field=hdu.name, remedy=AGAIN) from None
    about = {}
    for k, name in enumerate(names, 1):
        words = [hdu.meta.get(f"TUCD{k}", ""), hdu.meta.get(f"TCOMM{k}", "")]
        about[name] = " ".join(map(str, [*words, hdu.header.comments[f"TTYPE{k}"] if f"TTYPE{k}" in hdu.meta else ""]))
    metas = [hdu.meta] if primary is None else [primary, hdu.meta]
    texts = [meta[key] for meta in metas for key in ("COMMENT", "HISTORY") if key in meta]
    return Columns(names, arrays, units, about, {k: v for meta in metas for k, v in meta.items()}, texts)


def _values(table, name):
    """A column of a FITS table; integers equal to its TNULL become NaN."""
    values, column = table.data[name], table.columns[name]
    if column.null is None or np.asarray(values).dtype.kind not in "iuf":
        return values
    stored = np.rec.recarray.field(table.data, name)  # as in the file, before TSCAL and TZERO
    return np.where(stored == column.null, np.nan, values)
