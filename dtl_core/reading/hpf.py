"""The Habitable-zone Planet Finder: one exposure with its flat field, masks and wavelength solution."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..spectra.spectrum import finish
from .formats import AGAIN, content, one_line_errors
from .keywords import Keywords
from .orders import extensions, image

__all__ = ["RESOLVING_POWER", "barycentric_velocity", "companions", "read_hpf"]


SHAPE, ORDER, RESOLVING_POWER = (28, 2048), 6, 53_000.0
SKY_LIMIT = 0.3  # of the star's flux
HET = {"lon": -104.0147, "lat": 30.6814, "height": 2035.0}  # degrees, m: McDonald Observatory
# Companions of an exposure by their published names (one is misspelt), and their folders: that of the exposure, or
# those of the package hpfspec, at most five levels above it.
COMPANIONS = {
    "flat": "*deblazed.fits",
    "sky": "HPF_SkyEm*issionLineWavlMask*.txt",
    "telluric": "telfit_telmask*.dat",
    "wavelength": "LFC_wavecal_scifiber*.fits",
}
FOLDERS = ("", "flats", "hpf/flats", "masks", "masks/sky", "masks/telluric", "wavelength_solution",
           "hpf/wavelength_solution", "hpf")  # fmt: skip


def companions(path, calibration=None):
    """Find the files that belong to an exposure: dict of kind (see ``COMPANIONS``) to Path.

    Parameters
    ----------
    path : Path
        The exposure.
    calibration : Path, optional
        The only folder to search, with all its subfolders.
    """
    path, found = Path(path), {}
    if calibration is not None:
        folders = [Path(calibration)]
    else:
        above = list(itertools.islice(path.absolute().parents, 6))
        folders = [folder / name for folder in above for name in FOLDERS]
    for kind, pattern in COMPANIONS.items():
        for folder in folders:
            files = sorted(folder.rglob(pattern) if calibration is not None else folder.glob(pattern))
            if files:
                found[kind] = files[0]
                break
    return found


def _step_mask(path, wavelength):
    """Interpolate a mask file with rows of wavelength [vacuum A] and 0 or 1; True above zero."""
    try:
        x, y = np.loadtxt(content(path).decode("ascii").splitlines(), unpack=True)
    except ValueError:
        raise DataError("is not two columns of numbers", file=path, remedy=AGAIN) from None
    order = np.argsort(x)
    return np.interp(wavelength, x[order], y[order]) > 0.01


def barycentric_velocity(ra, dec, jd, *, lon, lat, height):
    """The Earth's velocity towards a star, km/s: add it to a measured velocity for the barycentric one.

    Parameters
    ----------
    ra, dec : float
        Degrees, at the time of observation.
    jd : float
        Julian date, UTC.
    lon, lat, height : float
        Position of the observatory: degrees east and north, m.

    Notes
    -----
    astropy's ``SkyCoord.radial_velocity_correction`` with its built-in ephemeris; exact to 0.02 km/s.
    """
    from astropy import units as u
    from astropy.coordinates import EarthLocation, SkyCoord
    from astropy.time import Time
    from astropy.utils import iers

    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "ignore"):
        time = Time(jd, format="jd", scale="utc")
        site = EarthLocation.from_geodetic(lon * u.deg, lat * u.deg, height * u.m)
        star = SkyCoord(ra * u.deg, dec * u.deg)
        return float(star.radial_velocity_correction("barycentric", obstime=time, location=site).to_value(u.km / u.s))


def _berv(keys, time):
    """Barycentric velocity from position and time in the header; NaN if one is missing."""
    from astropy.coordinates import Angle

    meta = keys.meta
    try:
        if "QRA" in meta and "QDEC" in meta:
            years = (time - 2451545.0) / 365.25
            motion = {key: keys.number(key) if key in meta else 0.0 for key in ("QPMRA", "QPMDEC")}
            ra = Angle(str(meta["QRA"]), "hourangle").degree
            dec = Angle(str(meta["QDEC"]), "deg").degree + years * motion["QPMDEC"] / 3.6e6
            ra += years * motion["QPMRA"] / 3.6e6 / np.cos(np.radians(dec))
        else:
            ra, dec = 15 * keys.number("RA_2000"), keys.number("DEC_2000")
        known = np.isfinite(ra + dec + time) and abs(dec) <= 90
        return barycentric_velocity(ra, dec, time, **HET) if known else np.nan
    except Exception:  # a position or time that astropy cannot parse
        return np.nan


def _image_of(path, name):
    """Order 6 of an image in another file."""
    return image(extensions(path), name, path, SHAPE)[ORDER]


def _companion(path, field, reader, *args):
    """``reader(*args)`` for a companion file; an error names the exposure as well."""
    try:
        return reader(*args)
    except DataError as error:
        raise DataError(str(error), file=path, field=field) from None


@one_line_errors
def read_hpf(path, *, calibration=None):
    """Read order 6 (8781-8895 A) of an HPF exposure, divided by the blaze, with the sky subtracted.

    The flat field (``*deblazed.fits``), the masks of sky emission and of telluric lines and, for files from before
    mid-2018, the wavelength solution (``LFC_wavecal_scifiber*.fits``) are searched in the folder of the exposure, in
    the folders of a clone of hpfspec, or in ``calibration``. A missing mask is mentioned in the notes. The barycentric
    velocity is computed from the header.

    Parameters
    ----------
    path : Path
    calibration : Path, optional
        Folder of the companions.

    Raises
    ------
    DataError
        The file or its flat is missing, damaged or not HPF's, or there are no wavelengths.

    References
    ----------
    Mahadevan et al. (2012); layout: hpfspec (Stefansson et al. 2020).
    """
    hdus, files = extensions(path), companions(path, calibration)
    names = {"flux": "Sci Flux", "sky": "Sky Flux", "variance": "Sci Variance"}
    order = {key: image(hdus, name, path, SHAPE)[ORDER] for key, name in names.items()}
    remedy = "keep flat, masks and wavelength solution beside the spectra, or name their folder: --calibration FOLDER"
    if "flat" not in files:
        raise DataError(f"no flat field {COMPANIONS['flat']} found", file=path, field="flat", remedy=remedy)
    keys = Keywords(hdus[""].meta)
    if "SCI WAVL" in hdus:
        wavelength = image(hdus, "Sci Wavl", path, SHAPE)[ORDER]
    elif "wavelength" in files:
        wavelength = _companion(path, "Sci Wavl", _image_of, files["wavelength"], "")
        keys.notes.append(f"wavelengths from {files['wavelength'].name}: they may be off by some km/s")
    else:
        problem = f"has no extension of wavelengths, and no {COMPANIONS['wavelength']} found"
        raise DataError(problem, file=path, field="Sci Wavl", remedy=remedy)
    blaze = _companion(path, "flat", _image_of, files["flat"], "Sci Flux")
    good = np.isfinite(order["flux"]) & np.isfinite(order["sky"]) & (blaze > 0.1) & (wavelength > 8000)
    if good.sum() < 1000:
        problem = "has too few usable pixels in order 6"
        raise DataError(problem, file=path, field="Sci Flux", remedy="check the reduction")
    wavelength = wavelength[good]
    flux = ((order["flux"] - order["sky"]) / blaze)[good]
    uncertainty = (np.sqrt(np.abs(order["variance"])) / blaze)[good]
    masks = {kind: np.zeros(len(flux), bool) for kind in ("sky", "telluric")}
    for kind in masks:
        if kind in files:
            masks[kind] = _companion(path, kind, _step_mask, files[kind], wavelength)
        else:
            keys.notes.append(f"no {kind} mask {COMPANIONS[kind]} found: nothing is marked")
    # faint emission is subtracted well: mask only pixels where the sky is comparable to the star
    masks["sky"] &= order["sky"][good] > SKY_LIMIT * np.abs(order["flux"][good])
    time = keys.time("JD_FW6")
    berv = _berv(keys, time)
    if not np.isfinite(berv):
        keys.notes.append("no barycentric velocity: position or time not in the header")
    return finish(
        path,
        wavelength,
        flux,
        uncertainty,
        masks["sky"],
        masks["telluric"],
        star=hdus[""].meta.get("OBJECT", ""),
        resolving_power=RESOLVING_POWER,
        instrument="HPF",
        berv=berv,
        time=time,
        notes=keys.notes,
    )
