"""ESPaDOnS and NARVAL: text files of Libre-ESpRIT (.s, as in PolarBase), and CFHT's FITS versions (i.fits)."""

from __future__ import annotations

import io
import re

import numpy as np

from ..characters import clean
from ..errors import DataError
from .formats import AGAIN, content, fits_hdus, is_fits, one_line_errors
from .keywords import Keywords, to_angstrom, to_vacuum
from .orders import Piece, merged, one_star
from .text import MAX_TEXT

__all__ = ["begins_esprit", "is_upena", "read_esprit"]


POLARIMETRY = 65_000.0  # lambda / FWHM of ESPaDOnS and NARVAL with the polarimeter
FIRST = b"***Reduced spectrum"
MAX_COLUMNS, MAX_HEAD = 60, 6
_HEAD = re.compile(r"\*+Reduced spectrum of\s*'?([^'\n]*)'?")


def begins_esprit(data):
    """Whether these bytes begin like text of Libre-ESpRIT."""
    return data.lstrip()[: len(FIRST)] == FIRST


def is_upena(primary, hdus):
    """Whether an image has names of columns as at CFHT: COL1 = 'Wavelength', COL2 ..."""
    return str(primary.get("COL1", "")).strip().lower().startswith("wave") and len(hdus[0].shape) == 2


@one_line_errors
def read_esprit(path, *, medium=None, object=None):
    """Read a spectrum of ESPaDOnS or NARVAL from text (.s) or FITS (i.fits, p.fits), and merge the orders.

    The text has the line ``***Reduced spectrum of 'NAME'``, the numbers of rows and of columns after the first, and
    rows of wavelength [nm], intensity, optionally V, N1 and N2, and the error; with a sky fibre: star, star and sky,
    sky, and their errors. The orders are consecutive and overlap. The FITS image has one row per column, named by COLn,
    in several versions; the first is used, which is normalised, with wavelengths corrected by telluric lines.
    Wavelengths are in air and heliocentric, which is taken as barycentric: the two differ by less than 15 m/s.

    Parameters
    ----------
    path : Path
    medium : "air" or "vacuum", optional
        If the wavelengths are not in air.
    object : str or int, optional
        Which of several spectra in the file, see :func:`dtl_core.reading.orders.one_star`.

    Raises
    ------
    DataError
        Rows are missing or not numbers, columns have no names, there is no good pixel, or the range is too short.

    References
    ----------
    Donati et al. (1997, MNRAS 291, 658); Petit et al. (2014, PASP 126, 469). The text format was checked against CFHT's
    OPERA (operaGenerateLEFormats) and, for air, nm and the heliocentric correction, against serval's reader
    (inst_NARVAL.py); the columns of the FITS files against cfht.hawaii.edu, "OPERA pipeline processed data".
    Assumptions: the columns with a sky fibre; R = 65,000 for spectra with polarisation, and INSTMODE's R in FITS.
    """
    data = content(path)
    if not is_fits(data):
        (wavelength, flux, error), (star, power) = _text(data, path)
        facts, notes = {"star": star, "resolving_power": power}, []
        if not np.isfinite(power):
            notes.append("resolving power not stated: 65,000 with the polarimeter, some 80,000 without")
    else:
        hdus = fits_hdus(data, path)
        keys = Keywords(hdus[0].meta)
        wavelength, flux, error = _columns(hdus[0], path)
        facts, notes = keys.facts(), keys.notes
        stated = re.search(r"R\s*=\s*([\d,]{4,8})", str(keys.meta.get("INSTMODE", "")))
        if stated and not np.isfinite(facts["resolving_power"]):
            facts["resolving_power"] = float(stated[1].replace(",", ""))
    notes = [note for note in notes if "frame not stated" not in note]
    wavelength = to_angstrom(wavelength, "nm", path, notes)
    wavelength = to_vacuum(wavelength, medium, "air", notes)
    # an order ends where the wavelengths decrease
    ends = np.flatnonzero(np.diff(wavelength) <= 0) + 1
    parts = [part for part in np.split(np.arange(len(wavelength)), ends) if len(part) > 1]
    pieces = [
        Piece(f"order {k}", wavelength[part], flux[part], None if error is None else error[part])
        for k, part in enumerate(parts, 1)
    ]
    facts |= {"frame": "barycentric", "berv": np.nan}
    return merged(path, one_star(pieces, path, object), notes=notes, **facts)


def _text(data, path):
    """(wavelength, flux, error or None) of Libre-ESpRIT's text, and (star, R)."""
    import pandas as pd

    if len(data) > MAX_TEXT:
        raise DataError(f"is longer than {MAX_TEXT >> 20} MB of text", file=path, remedy="cut one spectrum out of it")
    text = data.decode("utf-8", errors="replace").lstrip()
    lines = text.split("\n", MAX_HEAD)
    found = _HEAD.match(lines[0])
    counts = lines[1].split() if len(lines) > 1 else []
    if found is None or len(counts) != 2 or not all(word.isdecimal() for word in counts):
        problem = "does not begin with ***Reduced spectrum of, and the numbers of rows and columns"
        raise DataError(problem, file=path, field="header", remedy=AGAIN)
    rows, width = int(counts[0]), int(counts[1]) + 1
    if width not in (2, 3, 6, 7):
        problem = f"has {width} columns, not 2, 3, 6 or 7"
        raise DataError(problem, file=path, field="header", remedy="give a table with columns wavelength and flux")
    head = 3 if len(lines) > 2 and re.match(r"\s*[A-Za-z*#]", lines[2]) and not _number(lines[2].split()[0]) else 2
    body = text.split("\n", head)[head] if text.count("\n") >= head else ""
    try:
        frame = pd.read_csv(io.StringIO(body), sep=r"\s+", header=None, names=range(width + 1), index_col=False)
        values = frame.to_numpy(float)
    except (ValueError, pd.errors.ParserError) as error:
        problem = f"its rows are not {width} numbers each ({clean(error, 40)})"
        raise DataError(problem, file=path, remedy=AGAIN) from None
    if len(values) < rows or np.isfinite(values[:, width]).any() or np.isnan(values[-1:, width - 1]).any():
        problem = f"has {len(values)} rows, not {rows} of {width} numbers as it says: it is cut short or damaged"
        raise DataError(problem, file=path, remedy=AGAIN)
    error = {2: None, 7: 4}.get(width, width - 1)  # with a sky fibre: star, star and sky, sky, and their errors
    power = POLARIMETRY if width == 6 else np.nan
    return (values[:, 0], values[:, 1], None if error is None else values[:, error]), (found[1].strip(), power)


def _number(word):
    try:
        float(word)
    except ValueError:
        return False
    return True


def _columns(hdu, path):
    """(wavelength, flux, error or None) of a FITS image whose columns COLn name; the first version of each."""
    names = []
    while len(names) < MAX_COLUMNS and f"COL{len(names) + 1}" in hdu.meta:
        names.append(str(hdu.meta[f"COL{len(names) + 1}"]).strip().lower())
    if len(hdu.shape) != 2 or len(names) not in hdu.shape:
        problem = f"has shape {hdu.shape} and names {len(names)} columns"
        raise DataError(problem, file=path, field="COL1", remedy=AGAIN)
    values = hdu.image()
    values = values if values.shape[0] == len(names) else values.T
    end = next((k for k, name in enumerate(names) if k and name.startswith("wave")), len(names))
    flux = next((k for k in range(end) if names[k] in ("intensity", "star", "flux")), None)
    if not names or not names[0].startswith("wave") or flux is None:
        listed = ", ".join(clean(name, 20) for name in names[:6])
        raise DataError(f"names columns {listed}", file=path, field="COL2", remedy="give a spectrum with intensity")
    error = next((k for k in range(end) if names[k].startswith("error")), None)
    return values[0], values[flux], None if error is None else values[error]
