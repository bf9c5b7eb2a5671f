"""Spectra in no instrument's layout: columns of a FITS table, ECSV, CSV or text, and one-dimensional FITS images.

Columns and keywords are known by the names that people use; see :func:`read_table`.
"""

from __future__ import annotations

import re

import numpy as np

from . import spectra
from .errors import DataError
from .formats import clean, content, fits_columns, fits_hdus, is_fits, number, one_line_errors, text_columns
from .spectrum import ANGSTROM, finish, to_angstrom
from .spectrum import medium as stated_medium

WAVELENGTH_AXES = ("WAV", "AWAV", "LAMBDA", "LINEAR", "ANGSTROM")  # how CTYPE1 may begin

__all__ = ["facts", "find_columns", "read_image", "read_table", "to_vacuum"]

# The words of a column's name that say what it holds, best first.
WORDS = {
    "wavelength": "wavelength wavelengths wave lambda lam wav wl loglam lnlam",
    "ivar": "ivar invvar",
    "variance": "variance var",
    "telluric": "telluric tellurics",
    "mask": "mask flag flags quality qual dq",
    "uncertainty": "uncertainty uncertainties unc error errors err sigma sig std stdev noise eflux fluxerr ferr e",
    "flux": "flux fluxes spec spectrum intensity fluxn counts",
}
WORDS = {kind: words.split() for kind, words in WORDS.items()}
NOT_THE_STAR = {"and", "or", "background", "bg", "bkg", "blaze", "cal", "cont", "continuum", "model", "sky", "snr"}
STAR_KEYS = ("STAR", "OBJECT", "TARGET", "TARGNAME", "NAME")
POWER_KEYS = ("RESOLVING_POWER", "RESOLVING POWER", "SPEC_RES", "SPECRES", "R")
BERV_KEYS = ("BERV", "CARACAL BERV", "ESO DRS BERV", "ESO QC BERV")
TIME_KEYS = ("TIME", "BJD", "JD", "MJD", "MJD-OBS", "CARACAL BJD")
FRAME_WORDS = {"obs": "observatory", "topo": "observatory", "bary": "barycentric", "helio": "barycentric"}
FRAME_WORDS |= {"rest": "rest", "source": "rest"}
BERV = {"low": -40.0, "high": 40.0, "unit": "in km/s"}
RV = {"low": -1000.0, "high": 1000.0, "unit": "in km/s"}


def _words(name):
    return re.findall(r"[a-zåµμ]+", name.lower())


def _kind(name):
    """What a column holds and how well its name says so (smaller is better), or (None, 0)."""
    words = _words(name)
    for kind, known in WORDS.items():
        ranks = [known.index(word) for word in words if word in known]
        if not ranks:
            continue
        if kind == "wavelength" and set(words) & {"err", "error", "sigma", "e", "unc", "mask", "flux"}:
            return None, 0
        if kind not in ("wavelength", "telluric", "mask") and NOT_THE_STAR & set(words):
            return None, 0
        if kind in ("telluric", "mask") and {"and", "or", "transmission"} & set(words):
            return None, 0
        return kind, min(ranks) + 100 * len(words) + 10_000 * ("rest" in words)
    return None, 0


def find_columns(names):
    """Which column holds what: {"wavelength": name, "flux": name, ...}, the best name of each kind."""
    found = {}
    for name in names:
        kind, rank = _kind(name)
        if kind and (kind not in found or rank < found[kind][1]):
            found[kind] = name, rank
    return {kind: name for kind, (name, _) in found.items()}


def _frame(words):
    """The frame that the first telling word names; the observatory's by default."""
    words = [str(word).lower() for word in words]
    return next((f for word in words for start, f in FRAME_WORDS.items() if word.startswith(start)), "observatory")


def facts(meta, path):
    """Star, resolving power, instrument, frame, barycentric velocity, time and velocity among these keywords."""
    star = next((meta[key] for key in STAR_KEYS if str(meta.get(key, "")).strip()), "")
    key = next((key for key in TIME_KEYS if key in meta and (key != "TIME" or ":" not in str(meta[key]))), "")
    time = number(meta, key, low=0.0, high=2.6e6, path=path, unit="in days")
    if time < 2_400_000:
        time += 2_400_000.5 if key.startswith("MJD") else 2_400_000.0
    return {
        "star": star,
        "resolving_power": number(meta, *POWER_KEYS, low=100.0, high=1e7, path=path, unit="as lambda/FWHM, e.g. 94600"),
        "instrument": clean(meta.get("INSTRUMENT") or meta.get("INSTRUME") or ""),
        "frame": _frame([meta.get("FRAME"), meta.get("SPECSYS")]),
        "berv": number(meta, *BERV_KEYS, path=path, **BERV),
        "time": time,
        "rv": number(meta, "RV", "RADVEL", "VRAD", path=path, **RV),
    }


def to_vacuum(wavelength, medium, said):
    """Wavelengths in vacuum, A, and a remark, given what the user (``medium``) and the file (``said``) say of them."""
    if medium not in (None, "air", "vacuum"):
        raise DataError(f"{clean(medium, 20)!r} is no medium", field="medium", remedy="give air or vacuum")
    used = medium or said
    if used == "air":
        return spectra.air_to_vacuum(wavelength), ["air wavelengths converted to vacuum"]
    return wavelength, [] if used else ["medium not stated: taken as vacuum"]


def _table(path):
    """:class:`~dtl_core.formats.Columns` of a file: a text, or the first table of a FITS file that has wavelengths."""
    data = content(path)
    if not is_fits(data):
        return text_columns(data, path)
    hdus = fits_hdus(data, path)
    tables = [hdu for hdu in hdus if hdu.kind in ("BINTABLE", "TABLE") and len(hdu.shape) == 2 and hdu.shape[0]]
    if not tables:
        raise DataError("has no table", file=path, remedy="give a table with columns wavelength and flux")
    read = (fits_columns(hdu, hdus[0].meta) for hdu in tables)
    first = None
    for columns in read:
        first = first or columns
        if {"wavelength", "flux"} <= set(find_columns(columns.names)):
            return columns
    return first


@one_line_errors
def read_table(path, *, medium=None, defaults=None, notes=()):
    """A spectrum in columns: a FITS table, ECSV, CSV, or text parted by blanks.

    Columns are found by their names, whatever the case: ``wavelength`` (``wave``, ``lambda``, ``wl`` ...), ``flux``
    (``spec``, ``intensity`` ...), and if they are there an uncertainty (``err``, ``ivar``, ``variance`` ...),
    ``mask`` (``flag``, ``quality`` ...: not 0 where a pixel is lost) and ``telluric_mask``. Of a table of one row, the
    row's vectors are taken. Units come from the file or from the name (``wave_nm``); without one A is meant, and
    log10 or ln of A is recognised. Keywords (FITS header, ECSV meta data, ``# key: value`` in text) may give the star
    (``OBJECT``), ``R``, ``BERV`` [km/s], ``BJD``, ``RV`` [km/s], ``INSTRUME`` and the frame (``SPECSYS``).

    Arguments
    ---------
    medium : "air" or "vacuum", if the file does not say or is wrong
    defaults : dict of fields of ``Spectrum`` for what the file does not say
    notes : remarks to begin with

    Errors
    ------
    DataError : missing file or column, wrong unit or keyword, NaNs, unsorted or too short a range.
    """
    table = _table(path)
    found = find_columns(table.names)
    for kind in ("wavelength", "flux"):
        if kind not in found:
            listed = ", ".join(repr(clean(name, 20)) for name in table.names[:10])
            raise DataError("is missing", file=path, field=kind, remedy=f"name a column {kind!r}; found {listed}")
    name = found["wavelength"]
    words = _words(name)
    unit = table.units.get(name) or next((word for word in words[1:] if word in ANGSTROM), "")
    wavelength, remarks = to_angstrom(table.column(name, path), unit, path, field=clean(name))
    described = [name, table.units.get(name, ""), table.about.get(name, "")]
    said = stated_medium(table.meta, described, table.texts)
    wavelength, more = to_vacuum(wavelength, medium, said)
    flux = table.column(found["flux"], path)
    uncertainty = None
    if "uncertainty" in found:
        uncertainty = table.column(found["uncertainty"], path)
    elif "variance" in found:
        uncertainty = np.sqrt(table.column(found["variance"], path))
    elif "ivar" in found:
        uncertainty = table.column(found["ivar"], path) ** -0.5
    mask = table.flags(found["mask"], path) if "mask" in found else None
    telluric = table.flags(found["telluric"], path) if "telluric" in found else None
    if telluric is not None and telluric.all():  # a transmission, not a mask
        telluric, more = None, [*more, f"column {found['telluric']} is no mask: left out"]
    known = facts(table.meta, path)
    if not {"FRAME", "SPECSYS"} & set(table.meta):
        known["frame"] = _frame(words)
    for key, value in (defaults or {}).items():
        if known[key] in ("", "observatory") or known[key] != known[key]:
            known[key] = value
    return finish(path, wavelength, flux, uncertainty, mask, telluric, notes=[*notes, *remarks, *more], **known)


@one_line_errors
def read_image(path, *, medium=None):
    """A one-dimensional FITS image with a linear or logarithmic wavelength axis.

    lambda = CRVAL1 + (i - CRPIX1) CDELT1,  10 to that power if DC-FLAG = 1 (IRAF) or it lies between 3.5 and 4.6

    Units by CUNIT1 (A if missing), air or vacuum by CTYPE1 (AWAV, WAVE) or as for tables; of a stack the first row is
    taken. A second image of that length named ERR, SIGMA, IVAR or the like is the uncertainty. Source: FITS standard
    4.0, section 8.4 (Greisen et al. 2006).

    Errors
    ------
    DataError : no such image, a keyword missing or wrong, NaNs, too short a range.
    """
    hdus = fits_hdus(content(path), path)
    images = [hdu for hdu in hdus if hdu.kind == "IMAGE" and hdu.shape]
    if not images:
        raise DataError("has no image", file=path, remedy="give a spectrum")
    hdu = images[0]
    meta = hdus[0].meta | hdu.meta
    axis = str(meta.get("CTYPE1", "")).upper().strip()
    if axis and not axis.startswith(WAVELENGTH_AXES):
        raise DataError(f"is {clean(axis, 20)}", file=path, field="CTYPE1", remedy="give wavelengths: WAVE or AWAV")
    flux = hdu.image()
    flux = flux.reshape(-1, flux.shape[-1])[0]
    step = number(meta, "CDELT1", "CD1_1", path=path)
    start = number(meta, "CRVAL1", path=path)
    if not np.isfinite(start + step):
        raise DataError("is missing", file=path, field="CRVAL1, CDELT1", remedy="give the wavelength axis")
    offset = (np.arange(len(flux)) + 1 - number(meta, "CRPIX1", default=1.0, path=path)) * step
    unit = str(meta.get("CUNIT1", ""))
    if axis.endswith("-LOG"):
        wavelength = start * np.exp(offset / start)
    elif number(meta, "DC-FLAG", default=0.0, path=path) == 1:
        wavelength = 10 ** (start + offset)
    else:
        wavelength = start + offset
    wavelength, remarks = to_angstrom(wavelength, unit, path, field="CUNIT1")
    texts = [meta[key] for key in ("COMMENT", "HISTORY") if key in meta]
    said = stated_medium(meta, [axis, unit, meta.get("CNAME1", "")], texts)
    wavelength, more = to_vacuum(wavelength, medium, said)
    uncertainty = None
    for other in images[1:]:
        kind, _ = _kind(other.name)
        if kind in ("uncertainty", "variance", "ivar") and other.shape == hdu.shape:
            values = other.image().reshape(-1, len(flux))[0]
            uncertainty = values if kind == "uncertainty" else values ** (0.5 if kind == "variance" else -0.5)
            break
    return finish(path, wavelength, flux, uncertainty, notes=[*remarks, *more], **facts(meta, path))
