"""Spectra in columns: FITS tables, ECSV, CSV and text."""

from __future__ import annotations

import re

import numpy as np

from ..characters import clean
from ..errors import DataError
from ..spectra.spectrum import WINDOW, finish
from .columns import choose_columns, find_columns, words_of
from .formats import content, fits_columns, fits_hdus, is_fits, one_line_errors
from .keywords import ANGSTROM, PER_CM, Keywords, to_angstrom, to_vacuum
from .keywords import medium as stated_medium
from .orders import Piece, merged, one_star, plausible_uncertainty, with_blaze
from .text import text_columns

__all__ = ["pieces_of", "read_columns", "read_table", "tables_of"]


# Masks of good pixels, despite their names, by the program that writes them
GOOD_PIXELS = {"opt_mask", "box_mask", "mask_good"}  # PypeIt


def tables_of(path):
    """Columns of a file by label: those of a text, or of the tables of a FITS file that hold a spectrum."""
    data = content(path)
    if not is_fits(data):
        return {"": text_columns(data, path)}
    hdus = fits_hdus(data, path)
    tables = [hdu for hdu in hdus if hdu.kind in ("BINTABLE", "TABLE") and len(hdu.shape) == 2 and hdu.shape[0]]
    if not tables:
        raise DataError("has no table", file=path, remedy="give a table with columns wavelength and flux")
    out = {}
    for number, hdu in enumerate(tables, 1):
        label = hdu.name or f"table {number}"
        out[label if label not in out else f"{label} ({number})"] = fits_columns(hdu, hdus[0].meta)
    usable = {k: v for k, v in out.items() if {"wavelength", "flux"} <= set(find_columns(v.names))}
    return usable or dict([next(iter(out.items()))])


@one_line_errors
def read_table(path, *, medium=None, columns=None, object=None, defaults=None, notes=()):
    """Read a spectrum in columns: a FITS table, ECSV, CSV, or text separated by blanks.

    Columns are recognised by their names, ignoring case: ``wavelength`` (``wave``, ``lambda``, ``wl`` ...), ``flux``
    (``spec``, ``intensity`` ...), and optionally an uncertainty (``err``, ``ivar``, ``variance`` ...), ``mask``
    (``flag``, ``quality`` ...; not 0 where a pixel is bad), ``good`` and ``telluric_mask``. If the cells hold vectors,
    each row is an echelle order or an object, and so is each of several tables; orders are merged. Units come from the
    file or from the name (``wave_nm``); wavenumbers, log10 and ln of A are recognised. Keywords (FITS header, ECSV
    metadata, ``# key: value`` in text) may give the star (``OBJECT``), ``R``, ``BERV`` [km/s], ``BJD``,
    ``RV`` [km/s], ``INSTRUME`` and the frame (``SPECSYS``).

    Parameters
    ----------
    path : Path
    medium : "air" or "vacuum", optional
        In place of what the file says.
    columns : dict, optional
        Kind to name or number of a column, see :func:`dtl_core.reading.columns.choose_columns`.
    object : str or int, optional
        Which of several spectra in the file, see :func:`dtl_core.reading.orders.one_star`.
    defaults : dict, optional
        Fields of ``Spectrum`` that the file may lack.
    notes : sequence of str
        Remarks to begin with.

    Raises
    ------
    DataError
        The file or a column is missing, there are several objects or columns of flux, the unit is wrong, or the
        wavelengths are not sorted or too few.
    """
    return read_columns(
        tables_of(path), path, medium=medium, columns=columns, object=object, defaults=defaults, notes=notes
    )


def read_columns(tables, path, *, medium=None, columns=None, object=None, defaults=None, notes=()):
    """Read a spectrum from tables in memory, by the rules of :func:`read_table`.

    Parameters
    ----------
    tables : dict of str -> dtl_core.reading.formats.Columns
    path : Path
        Name for errors.
    medium, columns, object, defaults, notes : optional
        As for :func:`read_table`.

    Returns
    -------
    Spectrum
    """
    pieces, notes = [], list(notes)
    for label, table in tables.items():
        # the same remarks apply to all tables
        remarks = notes if not pieces else []
        pieces += pieces_of(table, path, label=label, asked=columns, medium=medium, notes=remarks)
    first = next(iter(tables.values()))
    keys = Keywords(first.meta, notes)
    found = find_columns(first.names)
    facts = keys.facts(words_of(found.get("wavelength", "")))
    for key, value in (defaults or {}).items():
        if facts[key] in ("", "observatory") or facts[key] != facts[key]:
            facts[key] = value
    chosen = one_star(with_blaze(pieces, notes), path, object) if len(pieces) > 1 or object is not None else pieces
    if len(tables) > 1 and len(chosen) == 1:  # tables may have their own keywords
        own = Keywords(tables.get(chosen[0].source, first).meta).facts()
        facts |= {key: own[key] for key in ("star", "berv", "time", "rv") if own[key] == own[key] and own[key] != ""}
    if len(chosen) > 1:
        return merged(path, chosen, notes=notes, **facts)
    piece = chosen[0]
    return finish(
        path, piece.wavelength, piece.flux, piece.uncertainty, piece.mask, piece.telluric, notes=notes, **facts
    )


def pieces_of(table, path, *, label="", asked=None, medium=None, notes=None):
    """Spectra of a table as a list of :class:`Piece`: one, or one per row if its cells hold vectors."""
    notes = [] if notes is None else notes
    notes += table.notes
    found, remarks = choose_columns(table, path, asked)
    notes += remarks
    arrays = {kind: _array(table, name, kind, path) for kind, name in found.items()}
    name = found["wavelength"]
    unit = table.units.get(name) or _unit_in(name)
    wavelength = to_angstrom(arrays.pop("wavelength"), unit, path, notes, field=clean(name))
    said = _medium(table, name, notes)
    if unit.lower() in PER_CM and said is None:
        said = "vacuum"
    wavelength = to_vacuum(wavelength, medium, said, notes)
    shape = np.shape(arrays["flux"])
    if wavelength.ndim == 1 and len(shape) == 2 and wavelength.shape == shape[1:]:
        wavelength = np.broadcast_to(wavelength, shape)
    if wavelength.shape != shape:
        problem = f"has shape {shape}, the wavelengths {wavelength.shape}"
        raise DataError(problem, file=path, field=clean(found["flux"]), remedy="give columns of equal length")
    for kind, values in arrays.items():
        if np.shape(values) != shape:
            problem = f"has shape {np.shape(values)}, the flux {shape}"
            raise DataError(problem, file=path, field=clean(found[kind]), remedy="give columns of equal length")
    mask = _mask(arrays, found, path, wavelength)
    uncertainty = _uncertainty(arrays)
    if uncertainty is not None and table.notes and not plausible_uncertainty(arrays["flux"], uncertainty):
        notes.append("third column left out: it does not look like an uncertainty")
        uncertainty = None
    telluric = arrays.get("telluric")
    if telluric is not None and (telluric.all() or _is_fraction(table, found["telluric"])):  # a transmission
        notes.append(f"column {clean(found['telluric'], 20)} is not a mask: left out")
        telluric = None
    parts = {"wavelength": wavelength, "flux": arrays["flux"], "uncertainty": uncertainty, "mask": mask}
    parts = {key: value for key, value in (parts | {"telluric": telluric}).items() if value is not None}
    rows = [parts] if len(shape) == 1 else [{k: v[row] for k, v in parts.items()} for row in range(shape[0])]
    labels = [f"{label} {number}".strip() for number in range(1, len(rows) + 1)] if len(rows) > 1 else [label]
    return [Piece(own, **row, source=label) for own, row in zip(labels, rows, strict=True)]


def _array(table, name, kind, path):
    """A column as floats or flags: (n_pixels,), or (n_rows, n_pixels) if its cells hold vectors."""
    flags = kind in ("mask", "good", "telluric")
    values = table.flags(name, path) if flags else table.column(name, path)
    return values[0] if values.ndim == 2 and len(values) == 1 else values


def _is_fraction(table, name):
    """Whether a column holds numbers other than 0 and 1."""
    values = np.asarray(table.arrays[name])
    return values.dtype.kind == "f" and not np.isin(values[np.isfinite(values)], (0, 1)).all()


def _unit_in(name):
    """The unit that a column's name gives, as ``wave_nm`` or ``Wavelength (um)``; "" if none."""
    inside = re.findall(r"[(\[]\s*([^)\]]*?)\s*[)\]]", name)
    words = [*inside, *words_of(name)[1:], *(word for word in words_of(name) if word.startswith("wavenumber"))]
    return next((word for word in words if word.lower() in ANGSTROM or word.lower() in PER_CM), "")


def _medium(table, name, notes):
    described = [name, table.units.get(name, ""), table.about.get(name, "")]
    return stated_medium(table.meta, described, table.texts, notes)


def _mask(arrays, found, path, wavelength):
    """True where a pixel is bad, or None; refuses a mask that may mark good pixels."""
    if "good" in arrays:
        return ~arrays["good"]
    if "mask" not in arrays:
        return None
    if found["mask"].lower() in GOOD_PIXELS:
        return ~arrays["mask"]
    near = (wavelength > WINDOW[0]) & (wavelength < WINDOW[1])
    if near.any() and arrays["mask"][near].mean() > 0.5:
        name = clean(found["mask"], 20)
        problem = f"marks {arrays['mask'][near].mean():.0%} of the pixels between {WINDOW[0]:.0f} and {WINDOW[1]:.0f} A"
        remedy = f"if it marks the good ones, --column good={name}"
        raise DataError(problem, file=path, field=name, remedy=remedy)
    return arrays["mask"]


def _uncertainty(arrays):
    """Standard deviations from any kind of column, or None; infinite where the inverse variance is 0."""
    if "uncertainty" in arrays:
        return arrays["uncertainty"]
    with np.errstate(all="ignore"):
        if "variance" in arrays:
            return np.sqrt(arrays["variance"])
        if "ivar" in arrays:
            return np.where(arrays["ivar"] >= 0, np.abs(arrays["ivar"]) ** -0.5, np.nan)
    return None
