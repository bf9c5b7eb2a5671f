"""The one type of observed spectrum, and what its numbers mean: units, air or vacuum, frame of rest."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import spectra
from .errors import DataError
from .formats import clean

__all__ = ["Spectrum", "finish", "medium", "to_angstrom"]

RANGE = (8760.0, 8880.0)  # vacuum A, kept of long spectra
LONG = 8192  # pixels: from here on a spectrum is cut to RANGE
# What must be covered: the window with its margin at rest; else what a star at both -250 and +250 km/s needs of it.
REST_COVER, SHIFTED_COVER, SPAN = (8796.0, 8839.0), (8807.0, 8828.0), 35.0
GAP = 3.0  # A: a larger step between neighbouring pixels is no spectrum of this resolving power

# Ångström in a unit, by the names that files use; other names are left to astropy.
ANGSTROM = {"a": 1, "aa": 1, "ang": 1, "angstrom": 1, "angstroms": 1, "å": 1, "nm": 10, "nanometer": 10}
ANGSTROM |= {"nanometers": 10, "um": 1e4, "µm": 1e4, "μm": 1e4, "micron": 1e4, "microns": 1e4, "m": 1e10}
AIR_TO_VACUUM, VACUUM_TO_AIR = r"\bair[\s_-]*(to|2|->)[\s_-]*vac", r"\bvac\w*[\s_-]*(to|2|->)[\s_-]*air\b"
WAVELENGTH = r"(wav\w*|lam\w*|wl)"
SAYS = r"\b{0}[\s_-]*" + WAVELENGTH + "|" + WAVELENGTH + r"\b[^.\n]{{0,20}}\b{0}\b"


@dataclass(frozen=True, eq=False)
class Spectrum:
    """One observed spectrum.

    wavelength : (n_pixels,) vacuum A, increasing, in ``frame``
    flux, uncertainty : (n_pixels,) any unit; uncertainty NaN where unknown
    mask : (n_pixels,) True where the pixel is lost (residuals of sky lines, cosmic rays): to be bridged
    telluric : (n_pixels,) True where telluric lines absorb: kept, as in the paper, and only counted
    resolving_power : lambda / FWHM, NaN if unknown
    instrument : its name, "" if unknown
    frame : "observatory", "barycentric" or "rest"
    berv : km/s, the Earth's velocity towards the star with respect to the barycentre, NaN if unknown
    time : BJD or JD, d
    rv : km/s, barycentric radial velocity that the file states, NaN if none
    file : where it comes from
    notes : remarks of the reader, a line each
    """

    star: str
    wavelength: np.ndarray
    flux: np.ndarray
    uncertainty: np.ndarray
    mask: np.ndarray
    telluric: np.ndarray
    resolving_power: float = np.nan
    instrument: str = ""
    frame: str = "observatory"
    berv: float = np.nan
    time: float = np.nan
    rv: float = np.nan
    file: str = ""
    notes: tuple[str, ...] = ()

    def in_frame(self, frame):
        """The same spectrum with wavelengths in another frame; nothing else changes.

        lambda_bary = lambda_obs sqrt((1 + b) / (1 - b)),  b = berv / c

        Errors
        ------
        DataError : the barycentric velocity is unknown, or the frame is or should be the star's own.
        """
        if frame == self.frame:
            return self
        if {frame, self.frame} != {"observatory", "barycentric"}:
            problem, remedy = f"no way from the {self.frame} frame to {frame!r}", "give observatory or barycentric"
            raise DataError(problem, file=self.file or self.star, field="frame", remedy=remedy)
        if not np.isfinite(self.berv):
            problem, remedy = "the barycentric velocity is unknown", "give berv in the file, km/s"
            raise DataError(problem, file=self.file or self.star, field="berv", remedy=remedy)
        velocity = self.berv if frame == "barycentric" else -self.berv
        wavelength = spectra.doppler_shift(self.wavelength, velocity)
        return dataclasses.replace(self, wavelength=wavelength, frame=frame)


def finish(
    path, wavelength, flux, uncertainty=None, mask=None, telluric=None, *, star="", cover=None, notes=(), **facts
):
    """A :class:`Spectrum` from what a reader found, cut to the surroundings of the window and checked.

    Arguments
    ---------
    path : the file, also the star's name if ``star`` is empty
    wavelength, flux : (n_pixels,) vacuum A and any unit; masked pixels may be NaN
    uncertainty, mask, telluric : (n_pixels,), optional
    cover : (start, stop), A, needed at least; by default the window, or what a shifted star needs of it
    facts : other fields of ``Spectrum``

    Errors
    ------
    DataError : as in ``spectra.check_spectrum``; also a gap, or hardly a pixel unmasked.
    """
    notes = list(notes)
    wavelength, flux = np.asarray(wavelength, float), np.asarray(flux, float)
    none = np.zeros(flux.shape, bool)
    columns = [wavelength, flux, np.full(flux.shape, np.nan) if uncertainty is None else np.asarray(uncertainty, float)]
    columns += [none if mask is None else mask, none if telluric is None else telluric]
    for name, column in zip(("uncertainty", "mask", "telluric"), columns[2:], strict=True):
        if column.shape != flux.shape:
            problem = f"has shape {column.shape}, the flux {flux.shape}"
            raise DataError(problem, file=path, field=name, remedy="give columns of equal length")
    if wavelength.ndim == 1 and wavelength.shape == flux.shape:
        if len(wavelength) > 1 and np.all(np.diff(wavelength) < 0):
            columns = [c[::-1] for c in columns]
            notes.append("wavelengths decreased: reversed")
        inside = (columns[0] > RANGE[0]) & (columns[0] < RANGE[1])
        if len(wavelength) > LONG and inside.any():
            columns = [c[inside] for c in columns]
    wavelength, flux, uncertainty, mask, telluric = columns
    if mask.any():
        good = np.isfinite(flux) & ~mask
        if good.sum() < 10:
            raise DataError("nearly every pixel is masked", file=path, field="mask", remedy="True marks lost pixels")
        lost = mask & ~np.isfinite(flux)
        flux = flux.copy()
        flux[lost] = np.interp(np.flatnonzero(lost), np.flatnonzero(good), flux[good])
    start, stop = cover or (REST_COVER if facts.get("frame") == "rest" else SHIFTED_COVER)
    spectra.check_spectrum(wavelength, flux, file=path, start=start, stop=stop)
    if wavelength[-1] - wavelength[0] < SPAN:
        problem = f"covers {wavelength[0]:.2f}-{wavelength[-1]:.2f} A, less than {SPAN:.0f} A"
        raise DataError(problem, file=path, field="wavelength", remedy="give a longer wavelength range")
    start, stop = REST_COVER
    used = (wavelength > start) & (wavelength < stop)
    step = float(np.diff(wavelength[used]).max()) if used.sum() > 1 else np.inf
    if step > GAP:
        problem = f"has steps of up to {step:.1f} A between {start:.0f} and {stop:.0f} A"
        raise DataError(problem, file=path, field="wavelength", remedy="give a high-resolution spectrum without gaps")
    uncertainty = np.where(np.isfinite(uncertainty) & (uncertainty > 0), uncertainty, np.nan)
    if np.isnan(uncertainty).all():
        notes.append("no uncertainty")
    star = clean(star).replace("_", " ").strip() or clean(Path(path.name.removesuffix(".gz")).stem)
    return Spectrum(
        star, wavelength, flux, uncertainty, mask, telluric, file=str(path), notes=tuple(map(clean, notes)), **facts
    )


def medium(meta, names=(), texts=()):
    """Whether wavelengths were measured in "air" or "vacuum", or None if nothing says so.

    Asked in this order: the keywords AIRORVAC, WAVEMED, MEDIUM, VACUUM, AIR; CTYPE1 (AWAV or WAVE, as the FITS standard
    has it); words in the column's name, unit and UCD (``obs.atmos`` is ESO's for air); sentences in comments and
    history.

    Arguments
    ---------
    meta : dict of keywords in upper case
    names : texts about the wavelengths: the column's name, unit, UCD, description
    texts : texts about anything
    """
    for key in ("AIRORVAC", "WAVEMED", "MEDIUM", "AIR_VAC"):
        value = str(meta.get(key, "")).strip().lower()
        if value.startswith(("air", "vac")):
            return "air" if value.startswith("air") else "vacuum"
    for key, yes, no in (("VACUUM", "vacuum", "air"), ("AIR", "air", "vacuum")):
        value = str(meta.get(key, "")).strip().lower()
        if value in ("true", "t", "1", "yes", "false", "f", "0", "no"):
            return yes if value in ("true", "t", "1", "yes") else no
    axis = str(meta.get("CTYPE1", "")).strip().upper()
    if axis.startswith(("AWAV", "WAVE-", "WAVE ")) or axis == "WAVE":
        return "air" if axis.startswith("AWAV") else "vacuum"
    said = {_said(text, bare=True) for text in names} - {None}
    said = said or {_said(text) for text in texts} - {None}
    return said.pop() if len(said) == 1 else None


def _said(text, bare=False):
    """What one text says: "air", "vacuum" or None; ``bare`` if the word alone is enough."""
    text = str(text)[:20_000].lower()
    if re.search(AIR_TO_VACUUM, text) or re.search(VACUUM_TO_AIR, text):
        return "vacuum" if re.search(AIR_TO_VACUUM, text) else "air"
    words = set(re.findall(r"[a-z]+", text)) if bare else set()
    air = "air" in words or "obs.atmos" in text and bare or re.search(SAYS.format("air"), text)
    vacuum = words & {"vac", "vacuum"} or re.search(SAYS.format(r"vac(?:uum)?"), text)
    return None if bool(air) == bool(vacuum) else "air" if air else "vacuum"


def to_angstrom(values, unit, path, field="wavelength"):
    """Wavelengths in A from any unit of length, or from log10 or ln of A, and remarks.

    Without a unit, A is meant; values of 3.5-4.6 are then taken as log10 A, values of 8-10.6 as ln A.
    """
    unit = clean(unit or "").strip()
    logarithm = re.match(r"(log10|log|ln|dex)\b", unit.lower())
    low, high = (np.nanmin(values), np.nanmax(values)) if np.isfinite(values).any() else (0.0, 0.0)
    if not unit or logarithm or ANGSTROM.get(unit.lower()) == 1:
        if 3.5 < low <= high < 4.6 or 8 < low <= high < 10.6:
            base, name = (10.0, "log10") if high < 4.6 else (np.e, "ln")
            return base**values, [f"wavelengths taken as {name} of A"]
    factor = ANGSTROM.get(unit.lower(), 1 if not unit else None)
    if factor is None:
        from astropy import units

        try:
            if not re.fullmatch(r"[\d.eE+-]{0,12}\s*[A-Za-zµμ]{1,20}", unit):  # powers could cost hours
                raise ValueError(unit)
            factor = units.Unit(unit).to(units.AA)
        except (ValueError, TypeError):  # UnitConversionError is a kind of the latter
            problem = f"has unit {unit}, which is no length"
            raise DataError(problem, file=path, field=field, remedy="give A or nm") from None
    notes = [] if factor == 1 else [f"wavelengths converted from {unit} to A"]
    return values * factor, notes
