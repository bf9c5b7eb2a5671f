"""NEID, and the data standard for extreme precision radial velocities (EPRV), which other spectrographs use too."""

from __future__ import annotations

import numpy as np

from ..characters import clean
from ..errors import DataError
from ..spectra.spectrum import WINDOW, finish
from .formats import AGAIN, one_line_errors
from .keywords import Keywords
from .orders import extensions, image, merged, one_star, order_pieces, with_blaze

__all__ = ["is_eprv", "is_neid", "read_eprv", "read_neid"]


FIRST_ORDER = 173  # the échelle order in the first row of NEID's images
NEID_POWERS = {"HR": 110_000.0, "HE": 60_000.0}
# lambda / FWHM of instruments that cover the window, by the beginning of their names
POWERS = {"MAROON": 85_000.0, "CARM": 94_600.0, "NEID": 110_000.0, "HPF": 53_000.0}
SCIENCE = ("SCI", "TARG", "OBJ", "STAR")  # beginnings of TRACEn for traces of the star
STITCHED = ("STITCHED_CORR_SCI_", "STITCHED_CORR_TRACE1_", "COADD_STITCHED_CORR_")


def is_neid(named):
    """Whether these extensions, by name, are those of NEID's levels 1 and 2."""
    return {"SCIFLUX", "SCIWAVE"} <= set(named)


def is_eprv(named):
    """Whether these extensions, by name, are those of the standard's levels 2 or 3."""
    return any(name.startswith("TRACE") and name.endswith("_FLUX") for name in named) or any(
        start + "FLUX" in named for start in STITCHED
    )


@one_line_errors
def read_neid(path):
    """Read an exposure of NEID, level 2 or 1, divide out the blaze and merge the orders around the window.

    The image extensions SCIFLUX, SCIWAVE (vacuum A, observatory's frame; 0 in orders without wavelengths), SCIVAR and
    SCIBLAZE have 122 orders x 9216 pixels. The primary header gives ``SSBRVnnn`` [km/s] and ``SSBJDnnn`` of each
    échelle order nnn, ``OBS-MODE`` (HR or HE) and ``OBJECT``.

    Parameters
    ----------
    path : Path

    Raises
    ------
    DataError
        An extension is missing, damaged or of another shape, or there is no good pixel.

    References
    ----------
    NEID data format (neid.ipac.caltech.edu/docs/NEID-DRP/dataformat.html). Names, the numbers of orders (173 in the
    first row) and the keywords were checked against the translator of the EPRV standard (RVData, instruments/neid).
    R of 110,000 and 60,000 are nominal values.
    """
    hdus = extensions(path)
    wavelength = image(hdus, "SCIWAVE", path)
    flux, variance = (image(hdus, name, path, wavelength.shape) for name in ("SCIFLUX", "SCIVAR"))
    blaze = image(hdus, "SCIBLAZE", path, wavelength.shape) if "SCIBLAZE" in hdus else None
    keys = Keywords(hdus[""].meta)
    pieces = with_blaze(order_pieces(wavelength, flux, _deviation(variance), continuum=blaze), keys.notes)
    order = FIRST_ORDER - _nearest(wavelength)
    mode = str(keys.meta.get("OBS-MODE", "")).strip().upper()
    star = next((str(keys.meta[key]) for key in ("OBJECT", "QOBJECT") if str(keys.meta.get(key, "")).strip()), "")
    berv = keys.berv(f"SSBRV{order:03d}", "SSBRV052")
    if not np.isfinite(berv):
        keys.notes.append(f"no barycentric velocity: SSBRV{order:03d} not in the header")
    return merged(
        path,
        one_star(pieces, path),
        star=star,
        resolving_power=NEID_POWERS.get(mode, np.nan),
        instrument=f"NEID {mode}".strip(),
        berv=berv,
        time=keys.time(f"SSBJD{order:03d}", "OBSJD"),
        rv=keys.rv("QRV"),
        notes=keys.notes,
    )


@one_line_errors
def read_eprv(path, *, object=None):
    """Read a spectrum in the EPRV data standard, level 2 (orders, which are merged) or 3 (already merged).

    Level 2: images TRACEn_FLUX, TRACEn_WAVE (vacuum A, observatory's frame), TRACEn_VAR, TRACEn_BLAZE and
    TRACEn_QUALITY (not 0 where a pixel is bad) of orders x pixels; BARYCORR_KMS and BJD_TDB with one value, or one per
    order or pixel. ``object`` chooses the trace; by default it is the first that holds the star according to the
    keyword ``TRACEn``, and MAROON-X' combined trace precedes its parts. Level 3: STITCHED_CORR_SCI_FLUX, _WAVE (vacuum,
    barycentric) and _VAR.

    Parameters
    ----------
    path : Path
    object : str or int, optional
        The number of a trace.

    Raises
    ------
    DataError
        An extension is missing, damaged or of another shape, or there is no good pixel or no such trace.

    References
    ----------
    EPRV data standard (eprv-data-standard.readthedocs.io), with the lists of extensions and keywords in the repository
    EPRV-RCN/RVData, and its translators of NEID and MAROON-X. Assumptions: the words for the star in ``TRACEn``
    (the standard has SCI, SKY and CAL; MAROON-X writes the names of its fibres), and the nominal R of MAROON-X, 85,000.
    """
    hdus = extensions(path)
    keys = Keywords(hdus[""].meta)
    facts = keys.facts()
    name = str(facts["instrument"]).upper()
    if not np.isfinite(facts["resolving_power"]):
        facts["resolving_power"] = next((power for start, power in POWERS.items() if name.startswith(start)), np.nan)
        if name.startswith("NEID"):
            mode = str(keys.meta.get("OBSMODE", "HR")).strip().upper()
            facts["resolving_power"] = NEID_POWERS.get(mode, np.nan)
    facts["star"] = "" if str(facts["star"]).strip().upper() in ("UNKNOWN", "NA", "NONE") else facts["star"]
    stitched = next((start for start in STITCHED if start + "FLUX" in hdus and hdus[start + "FLUX"].shape), None)
    if stitched:
        arrays = {part: _line(hdus, stitched + part, path) for part in ("WAVE", "FLUX", "VAR")}
        for part, values in arrays.items():
            if values.shape != arrays["FLUX"].shape:
                problem = f"has shape {values.shape}, the flux {arrays['FLUX'].shape}"
                raise DataError(problem, file=path, field=stitched + part, remedy=AGAIN)
        facts |= {"frame": "barycentric", "berv": np.nan}
        uncertainty = _deviation(arrays["VAR"])
        return finish(path, arrays["WAVE"], arrays["FLUX"], uncertainty, notes=keys.notes, **facts)
    trace = _trace(hdus, keys, object, path)
    wavelength = image(hdus, f"TRACE{trace}_WAVE", path)
    flux, variance = (image(hdus, f"TRACE{trace}_{part}", path, wavelength.shape) for part in ("FLUX", "VAR"))
    blaze, quality = (
        image(hdus, name, path, wavelength.shape) if name in hdus and hdus[name].shape else None
        for name in (f"TRACE{trace}_BLAZE", f"TRACE{trace}_QUALITY")
    )
    mask = None if quality is None else quality != 0
    pieces = with_blaze(order_pieces(wavelength, flux, _deviation(variance), mask, blaze), keys.notes)
    order = _nearest(wavelength)
    column = (
        int(np.nanargmin(np.abs(wavelength[order] - np.mean(WINDOW)))) if np.isfinite(wavelength[order]).any() else 0
    )
    values = {key: _value(hdus, key, order, column, path) for key in ("BARYCORR_KMS", "BJD_TDB")}
    found = Keywords(values, keys.notes)
    facts |= {"frame": "observatory", "berv": found.berv("BARYCORR_KMS"), "time": found.time("BJD_TDB")}
    if not np.isfinite(facts["berv"]):
        keys.notes.append("no barycentric velocity: BARYCORR_KMS is missing or empty")
    return merged(
        path, one_star(pieces, path), notes=[note for note in keys.notes if "frame not stated" not in note], **facts
    )


def _deviation(variance):
    """Standard deviations, NaN where the variance is negative."""
    with np.errstate(invalid="ignore"):
        return np.sqrt(np.where(variance >= 0, variance, np.nan))


def _nearest(wavelength):
    """Row of the order whose centre is nearest to that of the window."""
    middle = [np.median(row[row > 0]) if np.any(row > 0) else np.inf for row in wavelength]
    return int(np.argmin(np.abs(np.array(middle) - np.mean(WINDOW))))


def _line(hdus, name, path):
    """A one-dimensional image as floats."""
    if name not in hdus:
        raise DataError("is missing", file=path, field=name, remedy=AGAIN)
    values = np.squeeze(hdus[name].image())
    if values.ndim != 1:
        problem = f"has shape {hdus[name].shape}, not one spectrum"
        raise DataError(problem, file=path, field=name, remedy="give level 2 or 3 of the standard")
    return values


def _value(hdus, name, order, column, path):
    """Value of an extension for one pixel; the extension holds one value, one per order, or one per pixel."""
    if name not in hdus or hdus[name].kind != "IMAGE" or not hdus[name].shape:
        return np.nan
    values = hdus[name].image()
    if values.size == 1:
        return float(values.ravel()[0])
    values = np.squeeze(values)
    if values.ndim > 2 or order >= values.shape[0] or values.ndim == 2 and column >= values.shape[1]:
        raise DataError(f"has shape {hdus[name].shape}", file=path, field=name, remedy=AGAIN)
    return float(values[order] if values.ndim == 1 else values[order, column])


def _trace(hdus, keys, asked, path):
    """The number of the trace that holds the star."""
    names = [name[5:-5] for name in hdus if name.startswith("TRACE") and name.endswith("_FLUX") and hdus[name].shape]
    numbers = sorted(int(name) for name in names if name.isdecimal())
    if not numbers:
        raise DataError(
            "is missing or empty", file=path, field="TRACE1_FLUX", remedy="give level 2 or 3 of the standard"
        )
    if asked is not None:
        wanted = str(asked).lower().removeprefix("trace").strip()
        if not wanted.isdecimal() or int(wanted) not in numbers:
            problem = f"has no trace {clean(asked, 20)!r}"
            raise DataError(problem, file=path, field="object", remedy=f"give one of {', '.join(map(str, numbers))}")
        return int(wanted)
    kinds = {number: str(keys.meta.get(f"TRACE{number}", "")).strip().upper() for number in numbers}
    combined = [number for number, kind in kinds.items() if kind.startswith("VIRTUAL")]
    science = combined + [number for number, kind in kinds.items() if kind.startswith(SCIENCE)]
    science = [number for number in science if np.isfinite(hdus[f"TRACE{number}_FLUX"].image()).any()]
    if not science and len(numbers) > 1:
        keys.notes.append(f"no keyword TRACEn says which trace holds the star: taken from trace {numbers[0]}")
    if len(science) > 1:
        keys.notes.append(f"trace {science[0]} taken of {', '.join(map(str, science))}, which all hold the star")
    return science[0] if science else numbers[0]
