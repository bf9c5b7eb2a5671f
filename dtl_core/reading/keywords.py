"""Interpretation of the keywords of a file: star, resolving power, frame, velocities, time, units, medium.

A value that cannot be used is ignored with a remark.
"""

from __future__ import annotations

import math
import re

import numpy as np

from ..characters import clean
from ..errors import DataError
from ..spectra import operators

__all__ = ["Keywords", "frame_of", "medium", "to_angstrom", "to_vacuum"]


STAR_KEYS = ("STAR", "OBJECT", "TARGET", "TARGNAME", "NAME", "OBJNAME")
POWER_KEYS = ("RESOLVING_POWER", "RESOLVING POWER", "SPEC_RES", "SPECRES", "SPEC_RP", "R")
BERV_KEYS = ("BERV", "CARACAL BERV", "ESO DRS BERV", "ESO QC BERV")
RV_KEYS = ("RV", "RADVEL", "VRAD")
TIME_KEYS = ("TIME", "BJD", "JD", "MJD", "MJD-OBS", "CARACAL BJD")
FRAME_KEYS = ("FRAME", "SPECSYS")
FRAME_WORDS = {"obs": "observatory", "topo": "observatory", "geo": "observatory", "earth": "observatory"}
FRAME_WORDS |= {"bary": "barycentric", "helio": "barycentric", "ssb": "barycentric", "rest": "rest", "source": "rest"}
# Angstrom in a unit, by the names that files use; other names are left to astropy.
ANGSTROM = {"a": 1, "aa": 1, "ang": 1, "angs": 1, "angstrom": 1, "angstroms": 1, "å": 1, "ångström": 1, "nm": 10}
ANGSTROM |= {"nanometer": 10, "nanometers": 10, "um": 1e4, "µm": 1e4, "μm": 1e4, "micron": 1e4, "microns": 1e4}
ANGSTROM |= {"m": 1e10, "angstroem": 1}
PER_CM = {"cm-1", "cm^-1", "cm**-1", "1/cm", "/cm", "cm^{-1}", "1 / cm", "kayser", "k_cm", "wavenumber", "wavenumbers"}
_AIR_TO_VACUUM = r"\bair[\s_-]*(?:to|2|->|into)[\s_-]*vac\w*"
_VACUUM_TO_AIR = r"\bvac\w*[\s_-]*(?:to|2|->|into)[\s_-]*air\b"
_WAVELENGTH = r"(?:wav\w*|lam\w*|wl)"
_STATED = r"\b{0}[\s_-]*" + _WAVELENGTH + "|" + _WAVELENGTH + r"\b[^.\n]{{0,20}}\b{0}\b"
_NEGATION = re.compile(r"\b(?:no|not|non|never|without|isn't|aren't|wasn't|weren't|hasn't|neither|nor)\b|n't\b")


class Keywords:
    """The keywords of a file, with access to their values by meaning.

    Parameters
    ----------
    meta : dict
        Keywords in upper case.
    notes : list of str, optional
        Where remarks are added; also the attribute ``notes``.
    """

    def __init__(self, meta, notes=None):
        self.meta = meta
        self.notes = [] if notes is None else notes

    def number(self, *keys, low=-math.inf, high=math.inf, unit=""):
        """Value of the first of these keywords that exists, as a float; NaN without any.

        A value that is not a number between ``low`` and ``high`` is ignored with a remark.
        """
        for key in keys:
            value = self.meta.get(key)
            if value is None or str(value).strip() == "":
                continue
            try:
                result = float(value) if not isinstance(value, bool) else math.nan
            except (TypeError, ValueError):
                result = math.nan
            if low <= result <= high:
                return result
            self.notes.append(f"{key} = {clean(value, 30)} is not a usable value{f' {unit}' if unit else ''}: left out")
        return math.nan

    def power(self, *keys):
        """Resolving power, lambda / FWHM."""
        return self.number(*(keys or POWER_KEYS), low=100.0, high=1e7, unit="of lambda / FWHM")

    def berv(self, *keys):
        """The Earth's velocity towards the star, km/s."""
        return self.number(*(keys or BERV_KEYS), low=-40.0, high=40.0, unit="in km/s")

    def rv(self, *keys):
        """The star's barycentric radial velocity, km/s."""
        return self.number(*(keys or RV_KEYS), low=-1000.0, high=1000.0, unit="in km/s")

    def time(self, *keys):
        """Julian date, d; reduced and modified Julian dates are converted."""
        keys = keys or TIME_KEYS
        key = next((key for key in keys if key in self.meta and (key != "TIME" or ":" not in str(self.meta[key]))), "")
        time = self.number(key, low=0.0, high=2.6e6, unit="in days")
        if time < 2_400_000:
            time += 2_400_000.5 if key.startswith("MJD") else 2_400_000.0
        return time

    def frame(self, words=()):
        """Frame of the wavelengths, from the keywords or from ``words`` of the column's name.

        "observatory" if neither states one, and "unknown" for a frame that is not one of
        :data:`dtl_core.spectra.spectrum.FRAMES`, such as the local standard of rest.
        """
        stated = [str(self.meta[key]).strip() for key in FRAME_KEYS if str(self.meta.get(key, "")).strip()]
        frames = [frame_of(text) for text in stated]
        if frames and set(frames) == {None}:
            self.notes.append(f"reference frame {clean(stated[0], 20)} is not used here: no radial velocity is given")
            return "unknown"
        found = next((frame for frame in frames if frame), None)
        return found or next((frame for word in words if (frame := frame_of(word))), "observatory")

    def facts(self, words=()):
        """Fields of :class:`~dtl_core.spectra.spectrum.Spectrum` from the keywords: dict."""
        star = next((self.meta[key] for key in STAR_KEYS if str(self.meta.get(key, "")).strip()), "")
        facts = {
            "star": star,
            "resolving_power": self.power(),
            "instrument": clean(self.meta.get("INSTRUMENT") or self.meta.get("INSTRUME") or ""),
            "frame": self.frame(words),
            "berv": self.berv(),
            "time": self.time(),
            "rv": self.rv(),
        }
        said = any(str(self.meta.get(key, "")).strip() for key in FRAME_KEYS) or any(map(frame_of, words))
        if not said and np.isfinite(facts["berv"]):
            self.notes.append("reference frame not stated: taken as the observatory's, to be corrected by BERV")
        return facts


def frame_of(text):
    """Frame by the beginning of its name, or None."""
    text = str(text).lower().strip()
    return next((frame for start, frame in FRAME_WORDS.items() if text.startswith(start)), None)


# ---------------------------------------------------------------- air or vacuum


def to_vacuum(wavelength, asked, said, notes):
    """Convert wavelengths, A, to vacuum if the user (``asked``) or else the file (``said``) states air.

    Remarks are added to ``notes``.
    """
    if asked not in (None, "air", "vacuum"):
        raise DataError(f"{clean(asked, 20)!r} is neither air nor vacuum", field="medium", remedy="give air or vacuum")
    used = asked or said
    if used == "air":
        notes.append("air wavelengths converted to vacuum")
        return operators.air_to_vacuum(wavelength)
    if not used:
        notes.append("medium not stated: taken as vacuum")
    return wavelength


def medium(meta, names=(), texts=(), notes=None):
    """Whether wavelengths are in "air" or "vacuum", or None if nothing states it.

    Sources in this order: keywords such as AIRORVAC, WAVEMED, MEDIUM, VACUUM, AIR; CTYPE1 (AWAV or WAVE, as in the FITS
    standard); words in the column's name, unit and UCD (``obs.atmos`` is ESO's for air); sentences in comments
    and history. A negation reverses the meaning of a sentence, with a remark.

    Parameters
    ----------
    meta : dict
        Keywords in upper case.
    names : sequence of str
        Texts about the wavelengths: the column's name, unit, UCD, description.
    texts : sequence of str
        Texts about anything.
    notes : list of str, optional
        Where remarks are added.
    """
    for key, value in meta.items():
        words, value = set(re.split(r"[\s_.-]+", key)), str(value).strip().lower()
        if (
            words & {"AIRORVAC", "WAVEMED", "MEDIUM", "AIRVAC", "VACAIR", "WAVETYPE", "WAVESYS"}
            or {"AIR", "VAC"} <= words
        ):
            if value.startswith(("air", "vac")):
                return "air" if value.startswith("air") else "vacuum"
        for word, yes, no in (("VACUUM", "vacuum", "air"), ("AIR", "air", "vacuum")):
            if word in words and value in ("true", "t", "1", "yes", "false", "f", "0", "no"):
                return yes if value in ("true", "t", "1", "yes") else no
    axis = str(meta.get("CTYPE1", "")).strip().upper()
    if axis.startswith(("AWAV", "WAVE-", "WAVE ")) or axis == "WAVE":
        return "air" if axis.startswith("AWAV") else "vacuum"
    said = {_said(text, bare=True) for text in names} - {None}
    for text in texts if not said else ():
        for sentence in re.split(r"[.;!?\n]+(?:\s|$)|\n", str(text)[:20_000]):
            found = _said(sentence)
            if found and _NEGATION.search(sentence.lower()):
                found = {"air": "vacuum", "vacuum": "air"}[found]
                if notes is not None:
                    notes.append(f"taken as {found} wavelengths because of {clean(sentence, 60)!r}")
            said |= {found} - {None}
    return said.pop() if len(said) == 1 else None


def _said(text, bare=False):
    """Medium stated by a text: "air", "vacuum" or None; ``bare`` if the word alone is enough."""
    text = str(text)[:20_000].lower()
    if re.search(_AIR_TO_VACUUM, text) or re.search(_VACUUM_TO_AIR, text):
        return "vacuum" if re.search(_AIR_TO_VACUUM, text) else "air"
    words = set(re.findall(r"[a-z]+", text)) if bare else set()
    air = "air" in words or "obs.atmos" in text and bare or re.search(_STATED.format("air"), text)
    vacuum = words & {"vac", "vacuum"} or re.search(_STATED.format(r"vac(?:uum)?"), text)
    return None if bool(air) == bool(vacuum) else "air" if air else "vacuum"


# ---------------------------------------------------------------- units


def to_angstrom(values, unit, path, notes, field="wavelength"):
    """Convert wavelengths to A from any unit of length, wavenumber or frequency, or from log10 or ln of A.

    Without a unit, values of 3.5-4.6 are log10 of A, 8-10.6 ln of A, 0.3-2.6 micrometres, 300-2600 nm, others A.
    Assumptions and conversions are added to ``notes``.

    Raises
    ------
    DataError
        The unit is neither a length nor a wavenumber or frequency.
    """
    unit = clean(unit or "").strip()
    lowered = unit.lower()
    logarithm = re.match(r"(log10|log|ln|dex)\b", lowered)
    usual = values[np.isfinite(values) & (values > 0)]
    low, high = (usual.min(), usual.max()) if len(usual) else (0.0, 0.0)
    if not unit or logarithm or ANGSTROM.get(lowered) == 1:
        if 3.5 < low <= high < 4.6 or 8 < low <= high < 10.6:
            base, name = (10.0, "log10") if high < 4.6 else (np.e, "ln")
            notes.append(f"wavelengths taken as {name} of A")
            return np.where(values > 0, base ** np.minimum(values, 11.0), np.nan)
    if not unit:
        for factor, name, bottom, top in ((1e4, "micrometres", 0.3, 2.6), (10.0, "nm", 300.0, 2600.0)):
            if bottom < low <= high < top:
                notes.append(f"wavelengths without a unit taken as {name}")
                return values * factor
        return values
    if lowered in PER_CM:
        notes.append(f"wavelengths computed from wavenumbers ({unit})")
        with np.errstate(divide="ignore"):
            return np.where(values > 0, 1e8 / values, np.nan)
    factor = ANGSTROM.get(lowered)
    if factor is None:
        from astropy import units

        try:
            if not re.fullmatch(r"[\d.eE+-]{0,12}\s*[A-Za-zµμÅ]{1,20}", unit):  # evaluating powers could take hours
                raise ValueError(unit)
            found = units.Unit(unit)
            if found.is_equivalent(units.Hz):
                notes.append(f"wavelengths computed from frequencies ({unit})")
                with np.errstate(divide="ignore"):
                    return np.where(values > 0, 2.99792458e18 / (values * found.to(units.Hz)), np.nan)
            factor = found.to(units.AA)
        except (ValueError, TypeError):  # the latter includes UnitConversionError
            problem = f"has unit {unit}, which is not one of length"
            raise DataError(problem, file=path, field=field, remedy="give A or nm") from None
    if factor != 1:
        notes.append(f"wavelengths converted from {unit} to A")
    return values * factor
