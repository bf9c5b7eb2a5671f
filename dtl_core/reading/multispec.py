"""IRAF's multispec: spectra or échelle orders in the rows of an image, each with its own dispersion function."""

from __future__ import annotations

import re

import numpy as np

from ..characters import clean
from ..errors import DataError
from .formats import AGAIN, content, fits_hdus, one_line_errors
from .images import bands, companion_images, row_of
from .keywords import FRAME_KEYS, Keywords, to_angstrom, to_vacuum
from .keywords import medium as stated_medium
from .orders import Piece, merged, one_star, with_blaze

__all__ = ["attributes", "dispersion", "is_multispec", "read_multispec"]


MAX_ORDER, MAX_FUNCTIONS = 200, 20  # coefficients of a polynomial, functions of one aperture
TRES_RESOLVING_POWER = 44_000.0
_CARD = re.compile(rb"(WAT\d)_(\d{3})\s*=\s*'((?:[^']|'')*)'")


def is_multispec(hdu):
    """Whether each row of an image has its own wavelengths."""
    return hdu.kind == "IMAGE" and bool(hdu.shape) and str(hdu.meta.get("CTYPE1", "")).upper().startswith("MULTISPE")


@one_line_errors
def read_multispec(path, *, medium=None, object=None):
    """Read an image in IRAF's multispec format, as written by apextract, dispcor and the pipeline of TRES.

    Each row is an aperture. The keywords WAT2_nnn give its wavelengths: linear, logarithmic, a Chebyshev or Legendre
    polynomial, a cubic or linear spline, or a list. Apertures of different wavelengths are échelle orders, which are
    merged; ``object`` chooses one of several with the same wavelengths. Of the bands of apextract the first is used,
    and "sigma" is its uncertainty. The unit is that of WAT1; air or vacuum as for tables, and air for TRES. With a
    Doppler factor z the frame is unknown, unless ``SPECSYS`` states it. The Earth's velocity is read from ``BERV`` or
    ``BCV`` [km/s].

    Parameters
    ----------
    path : Path
    medium : "air" or "vacuum", optional
        In place of what the file says.
    object : str or int, optional
        Which of several spectra in the file, see :func:`dtl_core.reading.orders.one_star`.

    Raises
    ------
    DataError
        There is no such image, keywords are missing, a row has no wavelengths, there are several spectra, or the range
        is too short.

    References
    ----------
    IRAF, help page "specwcs" (noao.onedspec) and the driver of its coordinates, sys/mwcs/wfmspec.x. That TRES' spectra
    are in this format and in air was checked against the readers of viper (inst_TRES.py). Assumptions: TRES' R of
    44,000; the meaning of BCV (rvsao: to be added to a velocity).
    """
    hdus = fits_hdus(content(path), path)
    hdu = next(filter(is_multispec, hdus), None)
    if hdu is None:
        raise DataError("has no image in IRAF's multispec format", file=path, field="CTYPE1", remedy="give a spectrum")
    keys = Keywords(hdus[0].meta | hdu.meta)
    flux, others = bands(hdu, keys, path)
    for kind, values in companion_images([other for other in hdus if other is not hdu], hdu.shape).items():
        others[kind] = values.reshape(-1, flux.shape[-1])[: len(flux)]
    wavelength, numbers, redshifts = _wavelengths(hdu, keys, flux.shape, path)
    world = attributes(hdu, "WAT1")
    unit = re.search(r"units=\"?([^\s\"]+)", world)
    wavelength = to_angstrom(wavelength, unit[1] if unit else "", path, keys.notes, field="WAT1")
    names = (str(keys.meta.get(key, "")).upper() for key in ("INSTRUME", "INSTRUMENT", "TELESCOP", "DETECTOR"))
    tres = any("TRES" in name for name in names)
    texts = [keys.meta[key] for key in ("COMMENT", "HISTORY") if key in keys.meta]
    said = stated_medium(keys.meta, [world], texts, keys.notes) or ("air" if tres else None)
    wavelength = to_vacuum(wavelength, medium, said, keys.notes)
    pieces = [
        Piece(
            str(keys.meta.get(f"APID{k + 1}", "")) or f"aperture {number}", wavelength[k], flux[k], **row_of(others, k)
        )
        for k, number in enumerate(numbers)
    ]
    if len({piece.label for piece in pieces}) < len(pieces):  # orders of one star often share its name
        for piece, number in zip(pieces, numbers, strict=True):
            piece.label = f"{piece.label} {number}"
    facts = keys.facts()
    if not np.isfinite(facts["berv"]):
        facts["berv"] = keys.berv("BCV")
    if any(redshifts) and not any(str(keys.meta.get(key, "")).strip() for key in FRAME_KEYS):
        facts["frame"] = "unknown"
        keys.notes.append("a doppler factor is applied to the wavelengths, to a frame that is not stated")
    if tres and not np.isfinite(facts["resolving_power"]):
        facts["resolving_power"] = TRES_RESOLVING_POWER
    return merged(path, one_star(with_blaze(pieces, keys.notes), path, object), notes=keys.notes, **facts)


def attributes(hdu, name):
    """Join the text of the numbered keywords ``name_001``, ``name_002`` and so on.

    It is read from the bytes of the header, because a blank at the end of a card may separate two numbers.

    Raises
    ------
    DataError
        A keyword is missing.
    """
    header, found = bytes(hdu.raw[: hdu.start]), {}
    for start in range(0, len(header), 80):
        card = _CARD.match(header[start : start + 80])
        if card and card[1].decode() == name:
            found.setdefault(int(card[2]), card[3].decode("latin1").replace("''", "'"))
    if found and sorted(found) != list(range(1, len(found) + 1)):
        lost = next(k for k in range(1, len(found) + 1) if k not in found)
        raise DataError("is missing", file=hdu.file, field=f"{name}_{lost:03d}", remedy=AGAIN)
    longest = max(map(len, found.values()), default=0)
    width = 68 if longest > 60 else longest  # of a full card; some programs drop trailing blanks
    return "".join(found[k].ljust(width) for k in sorted(found))


def _wavelengths(hdu, keys, shape, path):
    """Wavelengths (n_rows, n_pixels) in the file's unit, and numbers and redshifts of the apertures."""
    text = attributes(hdu, "WAT2")
    specs = {int(k): fields for k, fields in re.findall(r"\bspec(\d{1,6})\s*=\s*\"([^\"]*)\"", text)}
    n_rows, n = shape
    step, offset = keys.number("LTM1_1"), keys.number("LTV1")
    pixel = (np.arange(1.0, n + 1) - (offset if np.isfinite(offset) else 0.0)) / (step if step > 0 else 1.0)
    wavelength, numbers, redshifts = np.full(shape, np.nan), [], []
    for k, line in enumerate(_lines(keys, n_rows)):
        if line not in specs:
            problem = f"gives the wavelengths of {len(specs)} rows, not of row {line}: it is cut short or damaged"
            raise DataError(problem, file=path, field="WAT2", remedy=AGAIN)
        wavelength[k], number, z = dispersion(specs[line], pixel, path, f"WAT2 spec{line}")
        numbers.append(number)
        redshifts.append(z)
    return wavelength, numbers, redshifts


def _lines(keys, n_rows):
    """Row numbers of the spectra in the original image, of which this one may be a section."""
    axes = [int(word) for word in str(keys.meta.get("WAXMAP01", "")).split() if word.isdecimal()]
    if n_rows == 1 and len(axes) >= 4 and axes[2] == 0:  # without the second axis, an offset gives the original row
        return [axes[3] + 1]
    step, offset = keys.number("LTM2_2"), keys.number("LTV2")
    step, offset = step if step > 0 else 1.0, offset if np.isfinite(offset) else 0.0
    return [round((k + 1 - offset) / step) for k in range(n_rows)]


def dispersion(fields, pixel, path, name):
    """Compute the wavelengths of an aperture.

    lambda = sum w_i (o_i + f_i(p)) / sum w_i / (1 + z) for weights w_i, offsets o_i and functions f_i of the pixel p

    IRAF's help page omits the normalisation, which its driver applies.

    Parameters
    ----------
    fields : str
        "aperture beam type w1 dw n z low high", then the functions.
    pixel : (n_pixels,) array
        Physical pixels, counted from 1.
    path, name
        For errors.

    Returns
    -------
    wavelength : (n_pixels,) array
        In the file's unit; NaN beyond the last of the n pixels.
    aperture : int
    z : float

    Raises
    ------
    DataError
        Fields missing or impossible, no wavelengths.
    """

    def refuse(problem, remedy=AGAIN):
        raise DataError(problem, file=path, field=name, remedy=remedy)

    try:
        values = [float(word.replace("D", "E").replace("d", "e")) for word in fields.split()]
    except ValueError:
        refuse(f"has a field that is not a number among {clean(fields, 40)!r}")
    if len(values) < 9 or not np.isfinite(values).all():
        refuse(f"has {len(values)} fields, not 9 or more numbers")
    aperture, _, kind, first, step, n, z = values[:7]
    if kind not in (0, 1, 2):
        refuse("says that the spectrum has no wavelengths", "calibrate it (dispcor)")
    if z <= -0.5 or n < 1:
        refuse(f"has a doppler factor of {z:g} and {n:g} pixels")
    place = np.clip(pixel, 0.5, n + 0.5)
    if kind == 2:
        total, weights = np.zeros(len(pixel)), 0.0
        for weight, offset, function in _functions(values[9:], refuse):
            total += weight * (offset + function(place))
            weights += weight
        if not weights:
            refuse("has no dispersion function")
        wavelength = total / weights
    else:
        wavelength = first + step * (place - 1)
        wavelength = 10 ** np.minimum(wavelength, 12.0) if kind == 1 else wavelength
    return np.where((pixel > 0.5) & (pixel < n + 0.5), wavelength / (1 + z), np.nan), int(aperture), z


def _functions(values, refuse):
    """Parse dispersion functions: list of (weight, offset, function of the pixel)."""
    start, found = 0, []
    while start < len(values):
        if len(values) - start < 4 or len(found) == MAX_FUNCTIONS:
            refuse("is cut short within its dispersion functions")
        weight, offset, kind, count = values[start : start + 4]
        if kind not in range(1, 7) or not 1 <= count <= (MAX_ORDER if kind < 3 else len(values)):
            refuse(f"has a dispersion function of kind {kind:g} and order {count:g}")
        kind, count = int(kind), int(count)
        # parameters, then coefficients; a spline of n pieces has n + 3 (cubic) or n + 1 (linear)
        head = {5: 4, 6: 5}.get(kind, 6)
        more = {3: 3, 4: 1, 6: count}.get(kind, 0)
        if kind == 6 and len(values) < start + head + 2 * count:
            more = 0  # the driver counts numbers, the help page counts pairs
        numbers = values[start + head : start + head + count + more]
        if len(numbers) < count + more:
            refuse(f"is cut short: {count + more - len(numbers)} coefficients are missing")
        limits = values[start + 4 : start + 6] if head == 6 else (0.0, 1.0)
        if limits[1] <= limits[0]:
            refuse(f"has a dispersion function between pixels {limits[0]:g} and {limits[1]:g}")
        found.append((weight, offset, _function(kind, count, limits, np.array(numbers))))
        start += head + count + more
    return found


def _function(kind, count, limits, c):
    """Dispersion function of a kind: 1 Chebyshev, 2 Legendre, 3 cubic spline, 4 linear spline, 5 and 6 arrays."""
    low, high = limits
    if kind in (1, 2):
        series = np.polynomial.chebyshev.chebval if kind == 1 else np.polynomial.legendre.legval
        return lambda p: series((2 * p - high - low) / (high - low), c)
    if kind == 5:
        return lambda p: np.interp(p, np.arange(1, count + 1), c)
    if kind == 6:
        return lambda p: np.interp(p, c[0::2], c[1::2])

    def spline(p):
        s = (p - low) / (high - low) * count
        j = np.clip(s.astype(int), 0, count - 1)
        a, b = j + 1 - s, s - j
        parts = (a, b) if kind == 4 else (a**3, 1 + 3 * a * (1 + a * b), 1 + 3 * b * (1 + a * b), b**3)
        return sum(c[j + k] * part for k, part in enumerate(parts))

    return spline
