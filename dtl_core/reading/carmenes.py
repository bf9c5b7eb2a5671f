"""CARMENES VIS: nightly spectra, serval's templates, the telluric-corrected templates of Nagel et al. (2023)."""

from __future__ import annotations

import numpy as np

from ..characters import clean
from ..errors import DataError
from .formats import AGAIN, one_line_errors
from .keywords import Keywords
from .orders import extensions, image, merged, one_star, order_pieces
from .tables import read_table

__all__ = ["RESOLVING_POWER", "SHAPE", "read_carmenes", "read_nagel", "read_serval"]


SHAPE, RESOLVING_POWER = (61, 4096), 94_600.0


@one_line_errors
def read_carmenes(path):
    """Read a nightly spectrum of CARMENES VIS, and merge the orders around the window.

    The image extensions SPEC, CONT, SIG and WAVE (vacuum A, observatory's frame) have 61 orders x 4096 pixels. The
    primary header gives ``CARACAL BERV`` [km/s] and ``CARACAL BJD`` (minus 2,400,000).
    ``in_frame("barycentric")`` applies the correction.

    Raises
    ------
    DataError
        An extension is missing, damaged or of another shape, or there is no good pixel.

    References
    ----------
    Caballero et al. (2016); layout: CARMENES GTO data release 1 (Ribas et al. 2023).
    """
    hdus = extensions(path)
    wavelength, flux, uncertainty = (image(hdus, name, path, SHAPE) for name in ("WAVE", "SPEC", "SIG"))
    continuum = image(hdus, "CONT", path, SHAPE) if "CONT" in hdus else np.full(SHAPE, np.nan)
    if 0 < np.nanmedian(wavelength) < 20:
        problem = "holds ln of A, not A"
        raise DataError(problem, file=path, field="WAVE", remedy="read it as a serval template (--instrument serval)")
    keys = Keywords(hdus[""].meta)
    berv = keys.berv("CARACAL BERV")
    if not np.isfinite(berv):
        keys.notes.append("no barycentric velocity: CARACAL BERV not in the header")
    return merged(
        path,
        one_star(order_pieces(wavelength, flux, uncertainty, continuum=continuum), path),
        star=keys.meta.get("OBJECT", ""),
        resolving_power=RESOLVING_POWER,
        instrument="CARMENES VIS",
        berv=berv,
        time=keys.time("CARACAL BJD"),
        rv=keys.rv("CARACAL SERVAL RV"),
        notes=keys.notes,
    )


@one_line_errors
def read_serval(path, *, notes=()):
    """Read a co-added template of serval (Zechmeister et al. 2018), barycentric and in vacuum, and merge the orders.

    Image extensions SPEC and WAVE, optionally SIG and QMAP (not 0 where a pixel is bad), of orders x pixels or one row;
    WAVE is ln of A (values below 20), or A. Older templates have only FLUX and WAVE, with shorter orders padded with
    zeros. R is CARMENES' 94,600 if ``INSTRUME`` names it or is missing.

    Raises
    ------
    DataError
        An extension is missing, damaged or of another shape, or there is no good pixel.

    References
    ----------
    github.com/mzechmeister/serval: srv.py and read_spec.py (``write_template``).
    """
    hdus = extensions(path)
    spec = "FLUX" if "FLUX" in hdus and "SPEC" not in hdus else "SPEC"
    wavelength, flux = (_rows(hdus, name, path) for name in ("WAVE", spec))
    others = {name: _rows(hdus, name, path) for name in ("SIG", "ERR", "QMAP") if name in hdus}
    for name, values in {spec: flux, **others}.items():
        if values.shape != wavelength.shape:
            problem = f"has shape {values.shape}, WAVE has {wavelength.shape}"
            raise DataError(problem, file=path, field=name, remedy=AGAIN)
    if np.any(wavelength > 0) and np.nanmedian(wavelength[wavelength > 0]) < 20:
        wavelength = np.where(wavelength > 0, np.exp(np.minimum(wavelength, 20)), np.nan)
    keys = Keywords(hdus[""].meta, list(notes))
    name = clean(keys.meta.get("INSTRUME", "")).strip()
    power = RESOLVING_POWER if not name or "CARM" in name.upper() else np.nan
    if not name:
        keys.notes.append("no instrument stated: taken as CARMENES VIS")
    mask = others["QMAP"] != 0 if "QMAP" in others else None
    return merged(
        path,
        one_star(order_pieces(wavelength, flux, others.get("SIG", others.get("ERR")), mask), path),
        star=keys.meta.get("OBJECT", ""),
        resolving_power=power,
        instrument="CARMENES VIS" if np.isfinite(power) else name,
        frame="barycentric",
        berv=keys.berv("SERVAL BERV", "CARACAL BERV"),
        time=keys.time("CARACAL BJD"),
        rv=keys.rv("SERVAL TARG RV", "CARACAL SERVAL RV"),
        notes=keys.notes,
    )


def _rows(hdus, name, path):
    """An image as (n_orders, n_pixels); a single row may lack the second axis."""
    if name in hdus and len(hdus[name].shape) == 1:
        return hdus[name].image()[None]
    return image(hdus, name, path)


@one_line_errors
def read_nagel(path):
    """Read a telluric-corrected CARMENES template of Nagel et al. (2023, A&A 680, A73), barycentric and in vacuum.

    The layout is assumed from descriptions of the public library, not from its files: serval's extensions SPEC, SIG and
    WAVE (61 orders, ln of A). A binary table with columns of wavelength, flux and optionally error is read too.

    Raises
    ------
    DataError
        As for :func:`read_serval`, or ``read_table`` for a table.
    """
    notes = ("telluric absorption corrected by Nagel et al. (2023)",)
    if "WAVE" in extensions(path):
        return read_serval(path, notes=notes)
    facts = {"frame": "barycentric", "resolving_power": RESOLVING_POWER, "instrument": "CARMENES VIS"}
    return read_table(path, medium="vacuum", defaults=facts, notes=notes)
