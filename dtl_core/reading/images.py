"""FITS images with a linear or logarithmic wavelength axis: one spectrum, or one in each row."""

from __future__ import annotations

import numpy as np

from ..characters import clean
from ..errors import DataError
from ..spectra.spectrum import finish
from .columns import WORDS, words_of
from .formats import content, fits_hdus, one_line_errors
from .keywords import Keywords, to_angstrom, to_vacuum
from .keywords import medium as stated_medium
from .orders import Piece, one_star

__all__ = ["WAVELENGTH_AXES", "bands", "companion_images", "read_image", "row_of", "wavelength_axis"]


WAVELENGTH_AXES = ("WAV", "AWAV", "LAMBDA", "LINEAR", "ANGSTROM")  # beginnings of CTYPE1


@one_line_errors
def read_image(path, *, medium=None, object=None):
    """Read a FITS image with a linear or logarithmic wavelength axis.

    lambda = CRVAL1 + (i - CRPIX1) CDELT1,  10 to that power if DC-FLAG = 1 (IRAF) or if it is between 3.5 and 4.6

    CD1_1 takes precedence over CDELT1. CUNIT1 gives the unit (A if missing), and CTYPE1 (AWAV, WAVE) air or vacuum,
    otherwise as for tables. Each row of a stack is a spectrum, chosen by ``object``; of the bands of IRAF's apextract
    the first is used. Images of the same shape named ERR, SIGMA, IVAR, MASK, DQ or similar hold uncertainty and bad
    pixels.

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
        There is no such image, the axis is missing or wrong, there are several spectra, or the range is too short.

    References
    ----------
    FITS standard 4.0, section 8.4 (Greisen et al. 2006).
    """
    hdus = fits_hdus(content(path), path)
    images = [hdu for hdu in hdus if hdu.kind == "IMAGE" and hdu.shape]
    if not images:
        raise DataError("has no image", file=path, remedy="give a spectrum")
    hdu = images[0]
    keys = Keywords(hdus[0].meta | hdu.meta)
    wavelength = wavelength_axis(keys, hdu.shape[-1], path, medium)
    flux, others = bands(hdu, keys, path)
    for kind, values in companion_images(images[1:], hdu.shape).items():
        others[kind] = values.reshape(-1, flux.shape[-1])[: len(flux)]
    pieces = [
        Piece(str(keys.meta.get(f"APID{k + 1}", "")) or f"row {k + 1}", wavelength, row, **row_of(others, k))
        for k, row in enumerate(flux)
    ]
    piece = one_star(pieces, path, object)[0] if len(pieces) > 1 or object is not None else pieces[0]
    facts = keys.facts()
    return finish(path, piece.wavelength, piece.flux, piece.uncertainty, piece.mask, notes=keys.notes, **facts)


def bands(hdu, keys, path):
    """Spectra of an image as (n_rows, n_pixels), and a dict with their uncertainty if a plane holds it.

    The first plane of a cube is the spectrum. apextract writes the weighted and the unweighted spectrum, the sky and
    sigma, and names them in BANDIDn.

    Raises
    ------
    DataError
        The planes have no names.
    """
    flux, others = hdu.image(), {}
    if flux.ndim == 3 and flux.shape[0] > 1:
        names = [str(keys.meta.get(f"BANDID{k + 1}", "")).lower() for k in range(len(flux))]
        if not any(names):
            problem = f"has shape {flux.shape} without BANDID1 to say what its planes are"
            raise DataError(problem, file=path, field="NAXIS3", remedy="give one spectrum")
        sigma = [k for k, name in enumerate(names) if "sigma" in name]
        others = {"uncertainty": flux[sigma[0]]} if sigma else {}
        flux = flux[0]
    return flux.reshape(-1, flux.shape[-1]), {kind: v.reshape(-1, v.shape[-1]) for kind, v in others.items()}


def row_of(images, k):
    """Row ``k`` of each image: arguments for :class:`~dtl_core.reading.orders.Piece`."""
    return {kind: values[k] for kind, values in images.items()}


def wavelength_axis(keys, n, path, asked):
    """Wavelengths (n,), vacuum A, of a linear or logarithmic first axis."""
    meta, notes = keys.meta, keys.notes
    axis = str(meta.get("CTYPE1", "")).upper().strip()
    if axis and not axis.startswith(WAVELENGTH_AXES):
        raise DataError(f"is {clean(axis, 20)}", file=path, field="CTYPE1", remedy="give wavelengths: WAVE or AWAV")
    start, step = keys.number("CRVAL1"), keys.number("CD1_1")
    declared = keys.number("CDELT1")
    if np.isfinite(step) and np.isfinite(declared) and abs(step - declared) > 1e-9 * abs(step):
        notes.append(f"CD1_1 = {step:g} used, not CDELT1 = {declared:g}")
    step = step if np.isfinite(step) and step else declared
    if not np.isfinite(start + step):
        raise DataError("is missing", file=path, field="CRVAL1, CDELT1", remedy="give the wavelength axis")
    first = keys.number("CRPIX1") if "CRPIX1" in meta else 1.0
    offset = (np.arange(n) + 1 - first) * step
    unit = str(meta.get("CUNIT1", ""))
    if axis.endswith("-LOG"):
        wavelength = start * np.exp(offset / start)
    elif "DC-FLAG" in meta and keys.number("DC-FLAG") == 1:
        wavelength = 10 ** (start + offset)
    else:
        wavelength = start + offset
    wavelength = to_angstrom(wavelength, unit, path, notes, field="CUNIT1")
    texts = [meta[key] for key in ("COMMENT", "HISTORY") if key in meta]
    said = stated_medium(meta, [axis, unit, meta.get("CNAME1", ""), meta.get("WAT1_001", "")], texts, notes)
    return to_vacuum(wavelength, asked, said, notes)


def companion_images(images, shape):
    """Uncertainty and mask from images of this shape with such names: dict of arguments for :class:`Piece`.

    Values other than 0 mark bad pixels, or good ones in images named GOOD or GPM.
    """
    out = {}
    for hdu in images:
        words = set(words_of(hdu.name))
        kind = next(
            (kind for kind in WORDS if kind not in ("wavelength", "flux", "telluric") and words & set(WORDS[kind])),
            None,
        )
        if kind is None or hdu.shape != shape:
            continue
        values = hdu.image()
        with np.errstate(all="ignore"):
            if kind in ("good", "mask"):
                bad = (values == 0) if kind == "good" else (values != 0)
                out["mask"] = out.get("mask", False) | bad
            elif "uncertainty" not in out:
                power = {"uncertainty": 1.0, "variance": 0.5, "ivar": -0.5}[kind]
                out["uncertainty"] = np.where(values >= 0, np.abs(values) ** power, np.nan)
    return out
