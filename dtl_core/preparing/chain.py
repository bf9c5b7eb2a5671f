"""From real spectra to the network's input, one step after the other, and all of them in one call.

    flux, report = prepare(read("my_star.fits"), config)

cut -> co-add -> cosmic rays -> blaze -> velocity -> rest frame -> mask -> resolving power -> common grid -> continuum.
Each step is a function of arrays or of :class:`~dtl_core.reading.readers.Spectrum`, and changes nothing that it is
given.
"""

from __future__ import annotations

import dataclasses
import io
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter

from ..arguments import VELOCITY, a_flag, a_number, a_path, checked, instance
from ..characters import ascii_table, clean, legible
from ..config import Config
from ..errors import ConfigError, DataError, DTLError
from ..files import write_atomic
from ..reading.conversion import converted, each
from ..reading.conversion import exposures as several
from ..spectra import operators
from ..spectra.spectrum import Spectrum, check_mask, check_sampling
from ..synthetic import generation
from .velocity import measure_velocity, templates

__all__ = [
    "Report",
    "blaze_level",
    "bridge",
    "coadd",
    "cosmic_rays",
    "cut",
    "group_exposures",
    "match_resolution",
    "name_of",
    "prepare",
    "prepare_many",
    "report_table",
    "save",
    "signal_to_noise",
    "steps",
]


AIR_SHIFT = -82.4  # km/s: what air wavelengths taken for vacuum look like, at 8800 A
_CONFIG = instance(Config, remedy='give dtl_core.config.load_profile("demo")')
_PROGRESS = instance(callable, optional=True)


@dataclass(frozen=True)
class Report:
    """What :func:`prepare` did to a spectrum.

    star, file, instrument : as read
    snr : median signal-to-noise of a detector pixel in the window, NaN without uncertainties
    velocity, e_velocity : km/s, shift found with respect to the synthetic spectra, and its error
    correlation : at that shift;  template : (Teff [K], v sin i [km/s]) of the best template
    radial_velocity : km/s, barycentric; NaN when the barycentric correction is not known
    masked_fraction, telluric_fraction : of the window's pixels; the latter are kept unless ``chain.tellurics=mask``
    n_exposures, n_cosmic, n_continuum : exposures, pixels thrown out as cosmic rays, points of the continuum
    warnings : what a careful reader should know
    """

    star: str
    file: str
    instrument: str
    snr: float
    velocity: float
    e_velocity: float
    correlation: float
    template: tuple[float, float]
    radial_velocity: float
    masked_fraction: float
    telluric_fraction: float
    n_exposures: int
    n_cosmic: int
    n_continuum: int
    warnings: tuple[str, ...] = ()

    def __post_init__(self):
        for name in ("star", "file", "instrument"):
            object.__setattr__(self, name, legible(getattr(self, name)))
        object.__setattr__(self, "warnings", tuple(map(legible, self.warnings)))


def name_of(item):
    """What a spectrum, or the first of several exposures, is called in an error: its file, else its star."""
    first = item if isinstance(item, Spectrum) else item[0]
    return first.file or first.star


def _add(a, b):
    """Sum of two velocities, km/s, as relativity has it: 0.01 km/s for Barnard's star."""
    return float((a + b) / (1 + a * b / operators.C_KMS**2))


def _reach(config):
    """The range, A, that the window, its margin and any velocity within the limit can need."""
    window, stretch = config.window, 1 + 1.02 * config.chain.velocity_limit / operators.C_KMS
    return (window.start - window.margin) / stretch, (window.stop + window.margin) * stretch


# ---------------------------------------------------------------- single steps


@checked(spectrum=converted, low=a_number(optional=False), high=a_number(optional=False))
def cut(spectrum, low, high):
    """The spectrum between ``low`` and ``high``, A.

    Errors
    ------
    DataError : fewer than ten pixels are left.
    """
    inside = (spectrum.wavelength >= low) & (spectrum.wavelength <= high)
    if inside.sum() < 10:
        raise DataError(
            f"covers {spectrum.wavelength[0]:.1f}-{spectrum.wavelength[-1]:.1f} A, not {low:.1f}-{high:.1f} A",
            file=name_of(spectrum),
            field="wavelength",
            remedy="give a longer wavelength range, in vacuum A",
        )
    arrays = ("wavelength", "flux", "uncertainty", "mask", "telluric")
    return dataclasses.replace(spectrum, **{name: getattr(spectrum, name)[inside] for name in arrays})


def cosmic_rays(flux, uncertainty, sigma, *, level=None):
    """Pixels hit by cosmic rays: spikes sharper than any line that has passed through a spectrograph.

    A peak stands out by A above the median of eleven pixels around it. It is a hit when A exceeds ``sigma`` errors
    and a tenth of the level, and one of the two pixels beside it stands out by less than 0.3 A: at the peak of a line
    of 2.5 pixels FWHM or more both stand out by 0.37 A at least. One pixel on either side goes with it.

    Arguments
    ---------
    flux, uncertainty : (n_pixels,); where the uncertainty is unknown the scatter from pixel to pixel takes its place
    sigma : float; 0 finds none

    Returns
    -------
    (n_pixels,) bool.
    """
    if not sigma:
        return np.zeros(len(flux), bool)
    good = np.isfinite(flux)
    filled = np.interp(np.arange(len(flux)), np.flatnonzero(good), flux[good])
    scatter = 1.4826 * np.median(np.abs(np.diff(filled, 2))) / np.sqrt(6)
    noise = np.where(np.isfinite(uncertainty) & (uncertainty > 0), uncertainty, scatter)
    excess = filled - median_filter(filled, 11, mode="nearest")
    left, right = np.roll(excess, 1), np.roll(excess, -1)
    peak, beside = excess >= np.maximum(left, right), np.minimum(left, right)
    level = np.median(filled) if level is None else level
    hit = good & peak & (excess > sigma * noise) & (excess > 0.1 * level) & (beside < 0.3 * excess)
    hit[[0, -1]] = False
    return hit | np.roll(hit, 1) | np.roll(hit, -1)


def bridge(wavelength, flux, mask):
    """Flux with straight lines across masked pixels; the others as they are."""
    return np.where(mask, np.interp(wavelength, wavelength[~mask], flux[~mask]), flux)


def _percentile(values, q):
    """``np.percentile`` of a few hundred numbers, to the last bit, without what it does for all others."""
    place = (len(values) - 1) * (q / 100)
    below = int(place)
    share, above = place - below, min(below + 1, len(values) - 1)
    ordered = np.partition(values, (below, above))
    low, high = ordered[below], ordered[above]
    return high - (high - low) * (1 - share) if share >= 0.5 else low + (high - low) * share


def blaze_level(wavelength, flux, mask):
    """Blaze of an echelle order: the parabola through the 90th percentiles of twelve stretches.

    The continuum of :mod:`dtl_core.spectra.operators` takes its levels from 30 A and cannot follow a blaze that doubles
    there.
    """
    blocks = [block for block in np.array_split(np.flatnonzero(~mask), 12) if len(block)]
    x = np.array([wavelength[b].mean() for b in blocks])
    y = np.array([_percentile(flux[b], 90) for b in blocks])
    inside = np.clip(wavelength, *wavelength[np.flatnonzero(~mask)[[0, -1]]])  # a parabola says nothing beyond its data
    return np.polyval(np.polyfit(x - x.mean(), y, min(2, len(x) - 1)), inside - x.mean())


@checked(spectrum=converted)
def signal_to_noise(spectrum, use=None):
    """Median flux over uncertainty of the good pixels, of those in ``use`` if given; NaN without uncertainties."""
    known = ~spectrum.mask & (spectrum.uncertainty > 0) & (True if use is None else use)
    return float(np.median((spectrum.flux / spectrum.uncertainty)[known])) if known.any() else float("nan")


def match_resolution(wavelength, flux, resolving_power, target):
    """Flux of a spectrum of ``resolving_power`` as a spectrograph of the lower ``target`` would show it.

    The missing width is a Gaussian of FWHM c (target^-2 - resolving_power^-2)^(1/2). Within 2 % nothing is done.

    Errors
    ------
    DataError : the target is the higher one; resolution cannot be given back.
    """
    if abs(resolving_power / target - 1) < 0.02:
        return flux
    if resolving_power < target:
        raise DataError(
            f"has R = {resolving_power:.0f}, less than the run's {target:.0f}",
            field="resolving_power",
            remedy=f"set window.resolving_power={resolving_power:.0f}",
        )
    grid = operators.log_grid(wavelength[0], wavelength[-1], generation.VELOCITY_STEP)
    missing = (target**-2 - resolving_power**-2) ** -0.5
    fine = operators.resample(wavelength, flux, grid, "spline")
    broad = operators.broaden(fine, generation.VELOCITY_STEP, missing, 0.0)[0]
    return operators.resample(grid, broad, wavelength, "spline")


# ---------------------------------------------------------------- several exposures


@checked(exposures=several, config=_CONFIG)
def coadd(exposures, config):
    """One spectrum from exposures of one star, in the barycentric frame where the correction is known, else at rest.

    Each exposure is divided by its blaze, freed of cosmic rays by itself and, from three exposures on, by comparison
    with the median of all; the mean has inverse-variance weights. A pixel is masked where no exposure has it, and
    telluric only where no exposure is free of the Earth's lines.

    Arguments
    ---------
    exposures : sequence of Spectrum, of one star and one resolving power
    config : Config

    Returns
    -------
    spectrum : Spectrum, flux in units of the blaze
    n_cosmic : int, pixels thrown out

    Errors
    ------
    DataError : none is given, or stars or resolving powers differ.
    """
    first = exposures[0]
    for one in exposures[1:]:
        for field in ("star", "resolving_power"):
            a, b = getattr(first, field), getattr(one, field)
            if a != b and not (a != a and b != b):
                raise DataError(
                    f"is {b}, but {a} in {name_of(first)}",
                    file=name_of(one),
                    field=field,
                    remedy="co-add exposures of one star and one instrument only",
                )
    corrected, n_cosmic, notes = [], 0, []
    barycentric = all(
        one.frame == "barycentric" or one.frame == "observatory" and np.isfinite(one.berv) for one in exposures
    )
    for one in exposures:
        lost = one.mask
        level = blaze_level(one.wavelength, one.flux, lost)
        hit = cosmic_rays(np.where(lost, np.nan, one.flux / level), one.uncertainty / level, config.chain.cosmic_sigma)
        n_cosmic += int(np.sum(hit & ~lost))
        one = dataclasses.replace(one, flux=one.flux / level, uncertainty=one.uncertainty / level, mask=lost | hit)
        if barycentric:
            one = one.in_frame("barycentric")
        else:
            found = measure_velocity(
                one.wavelength,
                one.flux,
                one.mask,
                templates(config.window, config.continuum),
                config.chain.velocity_limit,
            )
            one = dataclasses.replace(
                one, wavelength=operators.doppler_shift(one.wavelength, -found.value), frame="rest", berv=np.nan
            )
            notes = ["exposures aligned by cross-correlation: the barycentric correction is not known"]
        corrected.append(one)
    low, high = max(one.wavelength[0] for one in corrected), min(one.wavelength[-1] for one in corrected)
    step = min(np.median(np.diff(one.wavelength)) for one in corrected) / low * operators.C_KMS
    grid = operators.log_grid(low, high, step)
    unknown = not all(np.any(one.uncertainty > 0) for one in corrected)

    def on_grid(one, lost):
        sigma = np.ones(len(one.flux)) if unknown else one.uncertainty
        return operators.combine(grid, [one.wavelength], [np.where(lost, np.nan, one.flux)], [sigma])

    parts = [on_grid(one, one.mask) for one in corrected]
    stack, sigma = np.array([part[0] for part in parts]), np.array([part[1] for part in parts])
    scale = np.array([np.nanmedian(row / stack[0]) for row in stack])[:, None]
    stack, sigma = stack / scale, sigma / scale
    if len(stack) > 2 and config.chain.cosmic_sigma:
        deviation = stack - np.nanmedian(stack, axis=0)
        spread = 1.4826 * np.nanmedian(np.abs(deviation), axis=1, keepdims=True)
        outlier = deviation > config.chain.cosmic_sigma * np.maximum(spread, 0 if unknown else sigma)
        n_cosmic += int(outlier.sum())
        stack[outlier] = np.nan
    clear = np.array([on_grid(one, one.mask | one.telluric)[2] for one in corrected]).sum(0)
    if config.chain.tellurics == "mask":  # where another exposure is free of them, the others are left out
        covered = np.array([np.interp(grid, one.wavelength, one.telluric) > 0 for one in corrected])
        stack[covered & (clear > 0)] = np.nan
    flux, error, used = operators.combine(grid, [grid] * len(stack), stack, sigma)
    out = dataclasses.replace(
        corrected[0],
        wavelength=grid,
        flux=np.where(used > 0, flux, 0.0),
        uncertainty=np.full(len(grid), np.nan) if unknown else error,
        mask=used == 0,
        telluric=clear == 0,
        time=float(np.mean([one.time for one in corrected])),
        notes=tuple(dict.fromkeys([note for one in exposures for note in one.notes] + notes)),
    )
    return out, n_cosmic


def group_exposures(exposures):
    """Spectra of one star and resolving power together, in the order in which the stars first appear.

    Returns: list with, for each star, a Spectrum or a list of several, as :func:`prepare_many` takes them. Of
    spectra that are put together none is called the second of another any more.
    """
    groups = {}
    for name, item in each(exposures, "exposures"):
        for one in several(item, name):
            power = one.resolving_power if np.isfinite(one.resolving_power) else None
            groups.setdefault((one.star, one.instrument, power), []).append(one)
    return [_together(group) if len(group) > 1 else group[0] for group in groups.values()]


def _together(group):
    """Exposures of a star without the remarks that tell of each other."""
    known = {clean(f"second spectrum of {one.star}: {one.file}", 300) for one in group}
    left = [tuple(note for note in one.notes if note not in known) for one in group]
    return [one if one.notes == n else dataclasses.replace(one, notes=n) for one, n in zip(group, left, strict=True)]


# ---------------------------------------------------------------- all of it


def _shift(spectrum, velocity, config):
    """The shift, km/s, that a spectrum shows of a star of a known barycentric velocity; None for one that is not known.

    Errors
    ------
    ConfigError : the velocity is beyond what is searched.  DataError : the barycentric correction is not known.
    """
    if velocity is None:
        return None
    if spectrum.frame == "observatory" and not np.isfinite(spectrum.berv):
        problem = "a known velocity helps only with the barycentric correction, which is not known"
        remedy = "give berv in the file, or leave out the velocity"
        raise DataError(problem, file=name_of(spectrum), field="berv", remedy=remedy)
    if spectrum.frame == "unknown":
        problem, remedy = "a known velocity does not help in an unknown reference frame", "leave out the velocity"
        raise DataError(problem, file=name_of(spectrum), field="frame", remedy=remedy)
    shift = {"observatory": _add(velocity, -spectrum.berv), "barycentric": velocity, "rest": 0.0}[spectrum.frame]
    if not abs(shift) <= config.chain.velocity_limit:
        problem = f"{velocity:g} km/s is beyond {config.chain.velocity_limit:g}"
        raise ConfigError(problem, field="velocity", remedy="correct its sign or unit")
    return float(shift)


@checked(spectrum=several, config=_CONFIG, velocity=VELOCITY)
def prepare(spectrum, config, *, velocity=None):
    """From a real spectrum, or several exposures of one star, to the network's input.

    Arguments
    ---------
    spectrum : Spectrum, or a sequence of exposures to be co-added
    config : Config
    velocity : km/s, the star's barycentric radial velocity where it is known, in place of the one found

    Returns
    -------
    flux : (n_pixels,) float32, continuum = 1, on ``window_grid(config.window, margin=False)``
    report : Report

    Errors
    ------
    DataError : the window is not covered once shifted, nothing correlates with any template, the spectrum is less
        resolved than the run, or no flux is left.
    """
    window, settings = config.window, config.chain
    exposures = [cut(one, *_reach(config)) for one in spectrum]
    if len(exposures) == 1:
        spectrum, n_cosmic = exposures[0], 0
    else:
        spectrum, n_cosmic = coadd(exposures, config)
    name = name_of(spectrum)
    power = spectrum.resolving_power
    check_sampling(spectrum.wavelength, power if np.isfinite(power) else window.resolving_power, name)
    mask = spectrum.mask
    if mask.all() or not np.median(spectrum.flux[~mask]) > 0:
        raise DataError("has no positive flux", file=name, field="flux", remedy="check the order and the sky")
    level = blaze_level(spectrum.wavelength, spectrum.flux, mask)
    if not np.all(level > 0):
        raise DataError(
            "its continuum reaches zero", file=name, field="flux", remedy="check sky subtraction and blaze correction"
        )
    scaled = spectrum.flux / level
    hit = cosmic_rays(np.where(mask, np.nan, scaled), spectrum.uncertainty / level, settings.cosmic_sigma) & ~mask
    n_cosmic, mask = n_cosmic + int(hit.sum()), mask | hit
    template = templates(window, config.continuum)
    known = _shift(spectrum, velocity, config)
    found = measure_velocity(spectrum.wavelength, scaled, mask, template, settings.velocity_limit, known=known)
    if known is None and not found.correlation >= settings.minimum_correlation:
        raise DataError(
            f"no velocity found (correlation {found.correlation:.2f})",
            file=name,
            field="flux",
            remedy=f"is this an M dwarf between {window.start - 5:.0f} and {window.stop + 5:.0f} A in vacuum?",
        )
    rest = operators.doppler_shift(spectrum.wavelength, -found.value)
    inside = (rest >= window.start) & (rest <= window.stop)
    lost = mask | spectrum.telluric if settings.tellurics == "mask" else mask
    if inside.any():
        check_mask(lost[inside], name)
    # bridged by straight lines before any smooth interpolation, which would swing across a gap
    flux = bridge(rest, scaled, lost)
    operators.check_spectrum(rest, flux, file=name, start=window.start, stop=window.stop)
    try:
        flux = match_resolution(rest, flux, power, window.resolving_power) if np.isfinite(power) else flux
    except DTLError as error:
        raise error.at(name) from None
    grid = operators.window_grid(window)
    flux = operators.resample(rest, flux, grid, settings.resampling)
    # where the data do not reach, the level stands in: the last pixel may lie in a line and would shift the continuum
    first, last = rest[np.flatnonzero(~lost)[[0, -1]]]
    flux[(grid < first) | (grid > last)] = 1.0
    margin = round(window.margin / window.step)
    points = operators.continuum_points(grid, flux[None], config.continuum)
    normalised = (flux / operators.continuum(grid, flux, config.continuum, points=points))[margin:-margin]
    masked = float(np.mean(lost[inside]))
    report = Report(
        star=spectrum.star,
        file=spectrum.file,
        instrument=spectrum.instrument,
        snr=signal_to_noise(spectrum, inside),
        velocity=found.value,
        e_velocity=found.error,
        correlation=found.correlation,
        template=tuple(map(float, template[2][found.template][:2])),
        radial_velocity=_add(
            found.value, {"observatory": spectrum.berv, "barycentric": 0.0}.get(spectrum.frame, np.nan)
        ),
        masked_fraction=masked,
        telluric_fraction=float(np.mean(spectrum.telluric[inside])),
        n_exposures=len(exposures),
        n_cosmic=n_cosmic,
        n_continuum=len(points[0][0]),
        warnings=tuple(_warnings(spectrum, found, masked, config)),
    )
    return normalised.astype(np.float32), report


@checked(spectrum=converted, config=_CONFIG)
def steps(spectrum, config):
    """What each step does: the flux in the window, on its grid, after each of them.

    Returns
    -------
    dict of name -> (n_pixels,), in order: ``as read`` (over its 95th percentile), ``blaze`` (divided out, masked pixels
    bridged), ``rest frame``, ``chain`` (the result of :func:`prepare`).
    """
    flux, report = prepare(spectrum, config)
    spectrum = cut(spectrum, *_reach(config))
    grid, wave = operators.window_grid(config.window, margin=False), spectrum.wavelength
    mask = spectrum.mask
    bridged = bridge(wave, spectrum.flux / blaze_level(wave, spectrum.flux, mask), mask)
    read = spectrum.flux / np.percentile(spectrum.flux[~mask], 95)
    rest, method = operators.doppler_shift(wave, -report.velocity), config.chain.resampling
    out = {"as read": (wave, read), "blaze": (wave, bridged), "rest frame": (rest, bridged)}
    return {name: operators.resample(*pair, grid, method) for name, pair in out.items()} | {"chain": flux}


def _warnings(spectrum, found, masked, config):
    """What a careful reader of the result should know."""
    yield from spectrum.notes
    if not np.isfinite(spectrum.resolving_power):
        yield f"no resolving power given, taken as the run's {config.window.resolving_power:.0f}"
    if masked > 0.05:
        yield f"{masked:.0%} of the window is masked and bridged"
    if found.correlation < 0.6:
        yield f"weak correlation with every template ({found.correlation:.2f}): is it an M dwarf?"
    seen = {"observatory": spectrum.rv - spectrum.berv, "barycentric": spectrum.rv}
    expected = seen.get(spectrum.frame, np.nan)
    if np.isfinite(expected) and abs(found.value - expected) > 30 and abs(found.value - expected - AIR_SHIFT) < 10:
        yield f"shift of {found.value:.0f} km/s where {expected:.0f} is expected: are these air wavelengths?"
    elif not np.isfinite(expected) and abs(found.value - AIR_SHIFT) < 10 and any("medium" in n for n in spectrum.notes):
        yield f"a shift of {found.value:.0f} km/s is what air wavelengths taken for vacuum look like"


@checked(config=_CONFIG, strict=a_flag, velocity=VELOCITY, progress=_PROGRESS)
def prepare_many(items, config, *, strict=False, velocity=None, progress=None):
    """:func:`prepare` for many stars; what fails is reported and the others go on.

    Arguments
    ---------
    items : iterable of Spectrum or sequences of exposures
    config : Config
    strict : bool, raise the first error instead
    velocity : km/s, of all stars, where it is known; as for :func:`prepare`
    progress : callable, optional, called with 1 after each star

    Returns
    -------
    flux : (n_good, n_pixels) float32
    reports : list of n_good Report
    failures : list of (name, message)
    """
    n_pixels = len(operators.window_grid(config.window, margin=False))
    rows, reports, failures = [], [], []
    for name, item in each(items, "items"):
        try:
            item = several(item, name)
            name = name_of(item)
            flux, report = prepare(item, config, velocity=velocity)
        except DataError as error:
            if strict:
                raise
            failures.append((legible(name), str(error)))
        else:
            rows.append(flux)
            reports.append(report)
        if progress:
            progress(1)
    return np.array(rows, np.float32).reshape(len(rows), n_pixels), reports, failures


def _reports(value, name):
    """A list of Report, from one or several."""
    value = [value] if isinstance(value, Report) else value
    report = instance(Report, remedy="give reports of dtl_core.preparing.chain.prepare")
    return [report(one, name) for one in instance(list, tuple)(value, name)]


@checked(reports=_reports)
def report_table(reports):
    """Reports as an astropy Table with units, a row a star; several warnings are joined by semicolons."""
    from astropy.table import Table

    rows = [dataclasses.asdict(report) | {"warnings": "; ".join(report.warnings)} for report in reports]
    names = [field.name for field in dataclasses.fields(Report)]
    columns = {name: [row[name] for row in rows] for name in names}
    columns["template"] = [f"{teff:.0f} K, {vsini:.0f} km/s" for teff, vsini in columns["template"]]
    table = Table({name: np.array(values) if rows else np.empty(0) for name, values in columns.items()})
    for name in ("velocity", "e_velocity", "radial_velocity"):
        table[name].unit = "km / s"
    return table


@checked(path=a_path, reports=_reports, config=_CONFIG)
def save(path, flux, reports, failures, config):
    """Write prepared spectra as FITS, whole or not at all, in a folder made for it.

    HDU 1 ``STARS``: a row a star, the fields of :class:`Report` and the vector ``flux``; HDU 2 ``WAVELENGTH``, vacuum
    A; HDU 3 ``REFUSED``: file and error of what could not be used.

    Arguments: path; flux, reports and failures as from :func:`prepare_many`; the Config that they were made with.

    Errors
    ------
    DTLError : the file cannot be written, or these are not the results of :func:`prepare_many`.
    """
    from astropy.io import fits
    from astropy.table import Table

    n_pixels = len(operators.window_grid(config.window, margin=False))
    if np.shape(flux) != (len(reports), n_pixels) or np.asarray(flux).dtype.kind not in "fiu":
        problem = f"has shape {np.shape(flux)} for {len(reports)} reports of {n_pixels} pixels"
        raise DataError(problem, file=path, field="flux", remedy="give what prepare_many gave")
    stars = report_table(reports)
    stars["flux"] = flux
    names, errors = zip(*failures, strict=True) if failures else ((), ())
    refused = Table({"file": np.array(names, str), "error": np.array(errors, str)})
    wavelength = Table({"wavelength": operators.window_grid(config.window, margin=False)}, units=["Angstrom"])
    tables = {"STARS": stars, "WAVELENGTH": wavelength, "REFUSED": refused}
    hdus = [fits.PrimaryHDU()] + [fits.table_to_hdu(ascii_table(one), name=name) for name, one in tables.items()]
    hdus[0].header["R"] = (config.window.resolving_power, "resolving power of all spectra")
    out = io.BytesIO()
    fits.HDUList(hdus).writeto(out)
    write_atomic(path, out.getvalue())
