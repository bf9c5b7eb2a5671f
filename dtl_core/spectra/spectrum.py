"""The type of observed spectra: vacuum wavelengths, a reference frame, and a mask of all pixels not to be used."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..characters import clean
from ..config import ChainConfig, WindowConfig
from ..errors import DataError
from . import operators

__all__ = ["FRAMES", "Spectrum", "bad_pixels", "check_mask", "check_sampling", "finish"]


FRAMES = ("observatory", "barycentric", "rest", "unknown")
RANGE = (8760.0, 8880.0)  # vacuum A, kept of long spectra
LONG = 8192  # pixels: from here on a spectrum is cut to RANGE
WINDOW = (WindowConfig.start, WindowConfig.stop)  # A, at rest: what must be covered
SHIFT = 1 + ChainConfig.velocity_limit / operators.C_KMS
GAP = 3.0  # A: larger steps between neighbouring pixels are rejected
MOST_MASKED = 0.3  # of the window's pixels: bridging more moves the estimates by more than their errors
HUGE = 1e3  # times an ordinary value: such pixels are marked as bad by a huge number


@dataclass(frozen=True, eq=False)
class Spectrum:
    """One observed spectrum.

    The arguments are checked and converted: arrays to floats, quantities to A, an integer mask to booleans. Pixels
    whose flux or uncertainty marks them as bad (see :func:`bad_pixels`) are masked, so that no later step uses them.

    Parameters
    ----------
    star : str
        Its name.
    wavelength : (n_pixels,) array, vacuum A
        Strictly increasing, in ``frame``; or a Quantity of length.
    flux : (n_pixels,) array
        In any unit.
    uncertainty : (n_pixels,) array, optional
        One standard deviation, in the unit of the flux; NaN where unknown.
    mask : (n_pixels,) array of bool, optional
        True where the pixel is lost (residuals of sky lines, cosmic rays) and has to be bridged.
    telluric : (n_pixels,) array of bool, optional
        True where telluric lines absorb: counted, but kept as in the paper.
    resolving_power : float
        lambda / FWHM, NaN if unknown.
    instrument : str
        Its name, "" if unknown.
    frame : str
        One of :data:`FRAMES`.
    berv : float, km/s
        The Earth's velocity towards the star with respect to the barycentre; NaN if unknown.
    time : float, d
        BJD or JD.
    rv : float, km/s
        Barycentric radial velocity stated in the file; NaN if none.
    file : str
        Where it comes from.
    notes : tuple of str
        Remarks of the reader.

    Raises
    ------
    DataError
        Arrays have different lengths or are not numeric, wavelengths do not increase, or the frame is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from dtl_core.spectra.spectrum import Spectrum
    >>> flux = np.ones(3501)
    >>> flux[100] = np.nan
    >>> spectrum = Spectrum("GJ 699", np.linspace(8800, 8835, 3501), flux, frame="barycentric", resolving_power=94_600)
    >>> int(spectrum.mask.sum())
    1
    """

    star: str
    wavelength: np.ndarray
    flux: np.ndarray
    uncertainty: np.ndarray | None = None
    mask: np.ndarray | None = None
    telluric: np.ndarray | None = None
    resolving_power: float = np.nan
    instrument: str = ""
    frame: str = "observatory"
    berv: float = np.nan
    time: float = np.nan
    rv: float = np.nan
    file: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        given = {name: _floats(getattr(self, name), name, self._name) for name in ("wavelength", "flux")}
        shape = given["flux"].shape
        if self.uncertainty is None:
            given["uncertainty"] = np.full(shape, np.nan)
        else:
            given["uncertainty"] = _floats(self.uncertainty, "uncertainty", self._name)
        for name in ("mask", "telluric"):
            value = getattr(self, name)
            given[name] = np.zeros(shape, bool) if value is None else _booleans(value, name, self._name)
        for name, value in given.items():
            if value.ndim != 1 or value.shape != shape:
                problem = f"has shape {value.shape}, the flux {shape}"
                raise DataError(
                    problem, file=self._name, field=name, remedy="give one-dimensional arrays of equal length"
                )
        increasing = np.all(np.diff(given["wavelength"]) > 0) and np.isfinite(given["wavelength"]).all()
        if not increasing or len(shape) and shape[0] and given["wavelength"][0] <= 0:
            problem, remedy = "is not positive and strictly increasing", "sort it and drop repeated pixels"
            raise DataError(problem, file=self._name, field="wavelength", remedy=remedy)
        if self.frame not in FRAMES:
            problem = f"{clean(self.frame, 30)!r} is not a known frame"
            raise DataError(problem, file=self._name, field="frame", remedy=f"give one of {', '.join(FRAMES)}")
        for name in ("resolving_power", "berv", "time", "rv"):
            value = getattr(self, name)
            try:
                given[name] = np.nan if value is None else float(value)
            except (TypeError, ValueError):
                problem = f"{clean(value, 30)!r} is not a number"
                raise DataError(problem, file=self._name, field=name, remedy="give a number, or NaN") from None
        given["mask"], given["uncertainty"] = bad_pixels(given["flux"], given["uncertainty"], given["mask"])
        for name, value in given.items():
            object.__setattr__(self, name, value)

    @property
    def _name(self):
        return clean(self.file or self.star or "spectrum")

    def in_frame(self, frame):
        r"""Convert the wavelengths to another frame.

        .. math:: \lambda_\mathrm{bary} = \lambda_\mathrm{obs} \sqrt{(1 + \beta) / (1 - \beta)}, \quad
                  \beta = v_\mathrm{BERV} / c

        Parameters
        ----------
        frame : {"observatory", "barycentric"}

        Returns
        -------
        Spectrum

        Raises
        ------
        DataError
            The barycentric velocity is unknown, or one of the two frames is neither the observatory's nor the
            barycentre's.
        """
        if frame == self.frame:
            return self
        if {frame, self.frame} != {"observatory", "barycentric"}:
            problem, remedy = f"no way from the {self.frame} frame to {frame!r}", "give observatory or barycentric"
            raise DataError(problem, file=self._name, field="frame", remedy=remedy)
        if not np.isfinite(self.berv):
            problem, remedy = "the barycentric velocity is unknown", "give berv in the file, km/s"
            raise DataError(problem, file=self._name, field="berv", remedy=remedy)
        velocity = self.berv if frame == "barycentric" else -self.berv
        wavelength = operators.doppler_shift(self.wavelength, velocity)
        return dataclasses.replace(self, wavelength=wavelength, frame=frame)


def _floats(values, name, file):
    """Convert values given by a user to an array of floats; a wavelength with a unit becomes A."""
    try:
        if name == "wavelength" and hasattr(values, "unit") and str(values.unit or ""):
            from astropy import units

            values = values.to_value(units.AA, units.spectral())
        if np.ma.isMaskedArray(values):
            values = values.astype(float).filled(np.nan)
        array = np.asarray(getattr(values, "value", values))
        if array.dtype.kind not in "fiu":
            raise TypeError(array.dtype)
        return array.astype(float, copy=False)
    except Exception:  # numpy and astropy raise many kinds
        problem = f"is not an array of numbers ({type(values).__name__})"
        raise DataError(problem, file=file, field=name, remedy="give one number for each pixel") from None


def _booleans(values, name, file):
    array = np.asarray(values)
    if array.dtype.kind in "iuf" and np.isin(array, (0, 1)).all() or array.dtype.kind in "iu":
        return array != 0
    if array.dtype != bool:
        problem = f"is not an array of True and False ({array.dtype})"
        raise DataError(problem, file=file, field=name, remedy="give True for the pixels that are lost")
    return array


@np.errstate(all="ignore")
def bad_pixels(flux, uncertainty, mask):
    """Find pixels that must not be used, by all conventions with which files mark them.

    A pixel is bad if its mask is set, or if its flux is NaN, infinite, exactly zero, far beyond all others, or repeats
    its neighbour's at or below zero (a fill value). In a spectrum with uncertainties it is also bad if its uncertainty
    is NaN, infinite, zero, negative or far beyond all others, as where the inverse variance is zero.

    Parameters
    ----------
    flux, uncertainty : (n_pixels,) array of float
        The uncertainty is NaN where unknown.
    mask : (n_pixels,) array of bool

    Returns
    -------
    mask : (n_pixels,) array of bool
        True for all bad pixels.
    uncertainty : (n_pixels,) array of float
        NaN at these, and everywhere if no pixel has a positive one.
    """
    bad = mask | ~np.isfinite(flux)
    level = np.percentile(flux[~bad], 90) if not bad.all() else 0.0
    if level > 0:
        same = np.zeros(len(flux), bool)
        same[1:] = (flux[1:] == flux[:-1]) & (flux[1:] <= 0)
        same[:-1] |= same[1:]
        bad = bad | (flux == 0) | same | (flux < -level) | (np.abs(flux) > HUGE * level)
    known = np.isfinite(uncertainty) & (uncertainty > 0)
    if known.any():
        known &= uncertainty < HUGE * np.percentile(uncertainty[known], 10)
        bad = bad | ~known
    elif np.isinf(uncertainty).all() and len(uncertainty):
        bad = np.ones(len(flux), bool)
    return bad, np.where(known & ~bad, uncertainty, np.nan)


def finish(path, wavelength, flux, uncertainty=None, mask=None, telluric=None, *, star="", notes=(), **facts):
    """Make a :class:`Spectrum` from the arrays of a reader, cut to the surroundings of the window and checked.

    Parameters
    ----------
    path : Path
        The file; its name is the star's if ``star`` is empty.
    wavelength, flux : (n_pixels,) array
        Vacuum A and any unit. Pixels without a wavelength are dropped.
    uncertainty, mask, telluric : (n_pixels,) array, optional
    star : str
    notes : sequence of str
    **facts
        Other fields of :class:`Spectrum`.

    Returns
    -------
    Spectrum
        With finite flux everywhere: masked pixels without a flux are interpolated.

    Raises
    ------
    DataError
        Wavelengths do not increase, the window is not covered, there is a gap, pixels are wider than the resolving
        power allows, hardly any pixel can be used, or no flux is positive.
    """
    path, notes = Path(path), list(notes)
    name = clean(star).replace("_", " ").strip() or clean(path.name.removesuffix(".gz").rpartition(".")[0] or path.name)
    columns = {"wavelength": wavelength, "flux": flux, "uncertainty": uncertainty, "mask": mask, "telluric": telluric}
    columns = {key: np.asarray(value) for key, value in columns.items() if value is not None}
    shape = columns["flux"].shape
    for key, value in columns.items():
        if value.shape != shape or value.ndim != 1:
            problem = f"has shape {value.shape}, the flux {shape}"
            raise DataError(problem, file=path, field=key, remedy="give columns of equal length")
    placed = np.isfinite(columns["wavelength"]) & (columns["wavelength"] > 0)
    if not placed.all():
        columns = {key: value[placed] for key, value in columns.items()}
        if 0 < (~placed).sum() < 0.5 * len(placed):
            notes.append(f"{(~placed).sum()} pixels without a wavelength dropped")
    wave = columns["wavelength"]
    if len(wave) < 10:
        problem = f"has {len(wave)} pixels with wavelengths"
        raise DataError(problem, file=path, field="wavelength", remedy="give columns wavelength and flux")
    if np.all(np.diff(wave) < 0):
        columns = {key: value[::-1] for key, value in columns.items()}
        notes.append("wavelengths decreased: reversed")
    wave = columns["wavelength"]
    inside = (wave > RANGE[0]) & (wave < RANGE[1])
    if len(wave) > LONG and inside.any():
        columns = {key: value[inside] for key, value in columns.items()}
    spectrum = Spectrum(name, **columns, file=str(path), **facts)
    _check(spectrum, path, columns.get("mask"))
    if not np.isfinite(spectrum.uncertainty).any():
        given = "" if uncertainty is None else ": those given are not positive numbers"
        notes.append(f"no uncertainty{given}")
    flux = spectrum.flux.copy()  # finite everywhere: lost pixels are interpolated
    lost, good = np.flatnonzero(spectrum.mask), np.flatnonzero(~spectrum.mask)
    empty = lost[~np.isfinite(flux[lost])]
    flux[empty] = np.interp(empty, good, flux[good])
    return dataclasses.replace(spectrum, flux=flux, notes=tuple(map(clean, notes)))


def _check(spectrum, path, given):
    """Reject a spectrum from a file that does not cover the window with usable pixels."""
    wave, rest = spectrum.wavelength, spectrum.frame == "rest"
    low, high = WINDOW if rest else (WINDOW[0] * SHIFT, WINDOW[1] / SHIFT)
    if wave[0] > low or wave[-1] < high or wave[-1] - wave[0] < WINDOW[1] - WINDOW[0]:
        problem = (
            f"covers {wave[0]:.2f}-{wave[-1]:.2f} A, not {WINDOW[0]:.0f}-{WINDOW[1]:.0f} A in the star's rest frame"
        )
        raise DataError(problem, file=path, field="wavelength", remedy="give a longer wavelength range, in A or nm")
    near = (wave > WINDOW[0]) & (wave < WINDOW[1])
    step = np.diff(wave[near])
    if not len(step) or step.max() > GAP:
        size = step.max() if len(step) else wave[-1] - wave[0]
        problem = f"has steps of up to {size:.1f} A between {WINDOW[0]:.0f} and {WINDOW[1]:.0f} A"
        raise DataError(problem, file=path, field="wavelength", remedy="give a high-resolution spectrum without gaps")
    check_mask(spectrum.mask[near], path, _cause(given, spectrum, near))
    if not np.median(spectrum.flux[near & ~spectrum.mask]) > 0:
        remedy = "check the order and the sky subtraction"
        raise DataError("has a median of zero or less", file=path, field="flux", remedy=remedy)


def _cause(given, spectrum, near):
    """Name the field that marks most of the bad pixels: mask, flux or uncertainty."""
    flux = spectrum.flux[near]
    empty = np.mean(~np.isfinite(flux) | (flux == 0))
    marked = 0.0 if given is None else np.mean(np.asarray(given, bool)[near])
    rest = spectrum.mask[near].mean() - max(empty, marked)
    return "uncertainty" if rest > max(empty, marked) else "mask" if marked > empty else "flux"


def check_mask(mask, file, field="mask"):
    """Reject a window in which too many pixels are bad.

    Parameters
    ----------
    mask : (n_pixels,) array of bool
        Of the window, True where bad.
    file : str or Path
    field : {"mask", "flux", "uncertainty"}
        The field that marks them, for the message.

    Raises
    ------
    DataError
        More than ``MOST_MASKED`` of the pixels are bad.
    """
    lost = np.mean(mask)
    if lost > MOST_MASKED:
        problem = f"{lost:.0%} of the pixels between {WINDOW[0]:.0f} and {WINDOW[1]:.0f} A are bad"
        remedy = {
            "mask": "check the mask; if 1 marks good pixels, --column good=NAME",
            "flux": "NaN, zeros and fill values cannot be used: give a spectrum without so many",
            "uncertainty": "zero, negative and infinite uncertainties mark bad pixels: correct them or leave them out",
        }[field]
        raise DataError(problem, file=file, field=field, remedy=remedy)


def check_sampling(wavelength, resolving_power, file):
    """Reject pixels wider than the resolution element, as where pixel numbers are taken for A.

    Parameters
    ----------
    wavelength : (n_pixels,) array, A
    resolving_power : float
    file : str or Path

    Raises
    ------
    DataError
        The median step exceeds lambda / R.
    """
    step, width = np.median(np.diff(wavelength)), np.mean(wavelength) / resolving_power
    if step > width:
        problem = f"has pixels of {step:.3g} A, too wide for R = {resolving_power:.0f} (FWHM {width:.2g} A)"
        remedy = "give wavelengths in A, not pixel numbers, and the true resolving power (--resolution)"
        raise DataError(problem, file=file, field="wavelength", remedy=remedy)
