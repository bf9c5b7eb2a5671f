"""Échelle orders in one array of order x pixel x (wavelength, flux), as the pipeline of CHIRON writes them."""

from __future__ import annotations

import math

import numpy as np

from ..errors import DataError
from .formats import MAX_VALUES, content, fits_hdus, one_line_errors
from .keywords import Keywords, to_angstrom, to_vacuum
from .keywords import medium as stated_medium
from .orders import merged, one_star, order_pieces, plausible_uncertainty, with_blaze

__all__ = ["is_cube", "read_chiron"]


# nominal lambda / FWHM of the modes, by DECKER
RESOLVING_POWERS = {"NARROW_SLIT": 136_000.0, "SLIT": 95_000.0, "SLICER": 79_000.0, "FIBER": 27_800.0}
MAX_ORDERS = 300


def is_cube(hdu):
    """Whether an image holds orders x pixels x (wavelength, flux, perhaps an uncertainty).

    The first plane must be positive and increase or decrease along each order that is not empty.
    """
    if hdu.kind != "IMAGE" or len(hdu.shape) != 3 or hdu.shape[2] not in (2, 3) or "CRVAL1" in hdu.meta:
        return False
    if hdu.shape[1] < 100 or hdu.shape[0] > MAX_ORDERS or math.prod(hdu.shape) > MAX_VALUES:
        return False
    wavelength = hdu.image()[..., 0]
    steps = np.diff(np.where(wavelength > 0, wavelength, np.nan), axis=1)
    steps = steps[np.isfinite(steps)]
    return len(steps) > 50 and max(np.mean(steps > 0), np.mean(steps < 0)) > 0.99


@one_line_errors
def read_chiron(path, *, medium=None, object=None):
    """Read and merge orders in an array of order x pixel x (wavelength, flux).

    A third plane is taken as the uncertainty if that is plausible. CHIRON's wavelengths are in air and in the
    observatory's frame, and its flux contains the blaze, which is estimated and divided out. For other instruments air
    or vacuum are determined as for tables.

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
        There is no such array, no good pixel, or the range is too short.

    References
    ----------
    Tokovinin et al. (2013, PASP 125, 1336) describe the pipeline. The planes, their order and the presence of the blaze
    were checked against serval's reader (inst_CHIRON.py) and the notes of Walter (2015, 2017). pychell converts the
    pipeline's wavelengths from air to vacuum to match an iodine cell. Assumptions: the meaning of a third plane, and
    the nominal R of each mode.
    """
    hdus = fits_hdus(content(path), path)
    hdu = next(filter(is_cube, hdus), None)
    if hdu is None:
        shapes = ", ".join(str(hdu.shape) for hdu in hdus[:4])
        problem = f"has no array of order x pixel x (wavelength, flux) among {shapes}"
        raise DataError(problem, file=path, field="NAXIS", remedy="give reduced spectra")
    keys = Keywords(hdus[0].meta | hdu.meta)
    values = hdu.image()
    wavelength, flux = np.where(values[..., 0] > 0, values[..., 0], np.nan), values[..., 1]
    named = " ".join(str(keys.meta.get(key, "")).upper() for key in ("INSTRUME", "FPA", "DETECTOR"))
    chiron = "CHIRON" in named
    texts = [keys.meta[key] for key in ("COMMENT", "HISTORY") if key in keys.meta]
    said = stated_medium(keys.meta, [], texts, keys.notes) or ("air" if chiron else None)
    wavelength = to_angstrom(wavelength, "", path, keys.notes)
    wavelength = to_vacuum(wavelength, medium, said, keys.notes)
    uncertainty = values[..., 2] if values.shape[2] == 3 else None
    if uncertainty is not None and not plausible_uncertainty(flux, uncertainty):
        keys.notes.append("third plane left out: it does not look like an uncertainty")
        uncertainty = None
    pieces = order_pieces(wavelength, flux, uncertainty)
    facts = keys.facts()
    if chiron:
        facts["instrument"] = "CHIRON"
        power = RESOLVING_POWERS.get(str(keys.meta.get("DECKER", "")).strip().upper(), np.nan)
        facts["resolving_power"] = facts["resolving_power"] if np.isfinite(facts["resolving_power"]) else power
    return merged(path, one_star(with_blaze(pieces, keys.notes), path, object), notes=keys.notes, **facts)
