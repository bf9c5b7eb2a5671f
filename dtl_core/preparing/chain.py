"""From observed spectra to the input of the networks, step by step or in one call.

::

    flux, report = prepare(read("my_star.fits"), config)

cut -> co-add -> cosmic rays -> blaze -> velocity -> rest frame -> mask -> resolving power -> common grid -> continuum.
Each step is a function of arrays or of :class:`~dtl_core.spectra.spectrum.Spectrum` and does not change its arguments.
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


AIR_SHIFT = -82.4  # km/s: shift of air wavelengths taken for vacuum, at 8800 A
_CONFIG = instance(Config, remedy='give dtl_core.config.load_profile("demo")')
_PROGRESS = instance(callable, optional=True)


@dataclass(frozen=True)
class Report:
    """Record of what :func:`prepare` did to a spectrum.

    Attributes
    ----------
    star, file, instrument : str
        As read.
    snr : float
        Median signal-to-noise of a detector pixel in the window, NaN without uncertainties.
    velocity, e_velocity : float, km/s
        Shift with respect to the synthetic spectra, and its error.
    correlation : float
        At that shift.
    template : (float, float)
        Teff [K] and v sin i [km/s] of the best template.
    radial_velocity : float, km/s
        Barycentric; NaN if the barycentric correction is not known.
    masked_fraction, telluric_fraction : float
        Of the window's pixels; telluric ones are used unless ``chain.tellurics=mask``.
    n_exposures, n_cosmic, n_continuum : int
        Exposures, pixels rejected as cosmic rays, and points of the continuum.
    warnings : tuple of str
        Remarks that may matter for the result.
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
    """Name of a spectrum, or of the first of several exposures, in error messages: its file, else its star.

    Parameters
    ----------
    item : Spectrum or sequence of Spectrum

    Returns
    -------
    str
    """
    first = item if isinstance(item, Spectrum) else item[0]
    return first.file or first.star


def _add(a, b):
    """Relativistic sum of two velocities, km/s; it differs from a + b by 0.01 km/s for Barnard's star."""
    return float((a + b) / (1 + a * b / operators.C_KMS**2))


def _reach(config):
    """Range, A, that the window and its margin can cover at any velocity within the limit."""
    window, factor = config.window, 1 + 1.02 * config.chain.velocity_limit / operators.C_KMS
    return (window.start - window.margin) / factor, (window.stop + window.margin) * factor


# ---------------------------------------------------------------- single steps


@checked(spectrum=converted, low=a_number(optional=False), high=a_number(optional=False))
def cut(spectrum, low, high):
    """Cut a spectrum to a range of wavelengths.

    Parameters
    ----------
    spectrum : Spectrum
    low, high : float, A

    Returns
    -------
    Spectrum

    Raises
    ------
    DataError
        Fewer than ten pixels are left.
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
    """Find pixels hit by cosmic rays: spikes sharper than any line that has passed through a spectrograph.

    A peak exceeds the median of the eleven pixels around it by A. It is a hit if A exceeds ``sigma`` errors and a tenth
    of the level, and if one of its two neighbours exceeds the median by less than 0.3 A: at the peak of a line of 2.5
    pixels FWHM or more, both exceed it by at least 0.37 A. One pixel on either side is marked as well.

    Parameters
    ----------
    flux, uncertainty : (n_pixels,) array
        The scatter from pixel to pixel replaces an unknown uncertainty.
    sigma : float
        0 finds none.
    level : float, optional
        Typical flux; by default the median.

    Returns
    -------
    (n_pixels,) array of bool
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
    """Replace masked pixels by linear interpolation.

    Parameters
    ----------
    wavelength, flux : (n_pixels,) array
    mask : (n_pixels,) array of bool

    Returns
    -------
    (n_pixels,) array
    """
    return np.where(mask, np.interp(wavelength, wavelength[~mask], flux[~mask]), flux)


def _percentile(values, q):
    """The same bits as ``np.percentile`` of a few hundred numbers, without its overhead."""
    place = (len(values) - 1) * (q / 100)
    below = int(place)
    share, above = place - below, min(below + 1, len(values) - 1)
    ordered = np.partition(values, (below, above))
    low, high = ordered[below], ordered[above]
    return high - (high - low) * (1 - share) if share >= 0.5 else low + (high - low) * share


def blaze_level(wavelength, flux, mask):
    """Blaze of an echelle order: the parabola through the 90th percentiles of twelve segments.

    The continuum of :mod:`dtl_core.spectra.operators` takes its levels from 30 A and cannot follow a blaze that doubles
    within that range.

    Parameters
    ----------
    wavelength, flux : (n_pixels,) array
    mask : (n_pixels,) array of bool

    Returns
    -------
    (n_pixels,) array
        In the unit of ``flux``.
    """
    blocks = [block for block in np.array_split(np.flatnonzero(~mask), 12) if len(block)]
    x = np.array([wavelength[b].mean() for b in blocks])
    y = np.array([_percentile(flux[b], 90) for b in blocks])
    inside = np.clip(wavelength, *wavelength[np.flatnonzero(~mask)[[0, -1]]])  # do not extrapolate the parabola
    return np.polyval(np.polyfit(x - x.mean(), y, min(2, len(x) - 1)), inside - x.mean())


@checked(spectrum=converted)
def signal_to_noise(spectrum, use=None):
    """Median of flux over uncertainty.

    Parameters
    ----------
    spectrum : Spectrum
    use : (n_pixels,) array of bool, optional
        Pixels to use, unless they are masked.

    Returns
    -------
    float
        NaN without uncertainties.
    """
    good = ~spectrum.mask & (spectrum.uncertainty > 0) & (True if use is None else use)
    return float(np.median((spectrum.flux / spectrum.uncertainty)[good])) if good.any() else float("nan")


def match_resolution(wavelength, flux, resolving_power, target):
    r"""Degrade a spectrum to the resolving power of another spectrograph.

    The missing width is a Gaussian of FWHM :math:`c \sqrt{R_\mathrm{target}^{-2} - R^{-2}}`. Within 2 %, flux is
    returned unchanged.

    Parameters
    ----------
    wavelength : (n_pixels,) array, A
    flux : (n_pixels,) array
    resolving_power, target : float
        Of the spectrum, and the lower one that is wanted.

    Returns
    -------
    (n_pixels,) array

    Raises
    ------
    DataError
        The target is higher than the spectrum's resolving power.
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
    """Combine exposures of one star into one spectrum.

    It is in the barycentric frame if the correction is known, else at rest. Each exposure is divided by its blaze and
    cleaned of cosmic rays, on its own and, from three exposures on, by comparison with the median of all. The mean has
    inverse-variance weights. A pixel is masked if no exposure has it, and telluric if none is free of the Earth's
    lines.

    Parameters
    ----------
    exposures : sequence of Spectrum
        Of one star and one resolving power.
    config : Config

    Returns
    -------
    spectrum : Spectrum
        Flux in units of the blaze.
    n_cosmic : int
        Rejected pixels.

    Raises
    ------
    DataError
        There is no exposure, or stars or resolving powers differ.
    """
    first = exposures[0]
    for exposure in exposures[1:]:
        for field in ("star", "resolving_power"):
            a, b = getattr(first, field), getattr(exposure, field)
            if a != b and not (a != a and b != b):
                raise DataError(
                    f"is {b}, but {a} in {name_of(first)}",
                    file=name_of(exposure),
                    field=field,
                    remedy="co-add exposures of one star and one instrument only",
                )
    corrected, n_cosmic, notes = [], 0, []
    barycentric = all(
        exposure.frame == "barycentric" or exposure.frame == "observatory" and np.isfinite(exposure.berv)
        for exposure in exposures
    )
    for exposure in exposures:
        lost = exposure.mask
        level = blaze_level(exposure.wavelength, exposure.flux, lost)
        hit = cosmic_rays(
            np.where(lost, np.nan, exposure.flux / level), exposure.uncertainty / level, config.chain.cosmic_sigma
        )
        n_cosmic += int(np.sum(hit & ~lost))
        exposure = dataclasses.replace(
            exposure, flux=exposure.flux / level, uncertainty=exposure.uncertainty / level, mask=lost | hit
        )
        if barycentric:
            exposure = exposure.in_frame("barycentric")
        else:
            measured = measure_velocity(
                exposure.wavelength,
                exposure.flux,
                exposure.mask,
                templates(config.window, config.continuum),
                config.chain.velocity_limit,
            )
            exposure = dataclasses.replace(
                exposure,
                wavelength=operators.doppler_shift(exposure.wavelength, -measured.value),
                frame="rest",
                berv=np.nan,
            )
            notes = ["exposures aligned by cross-correlation: the barycentric correction is not known"]
        corrected.append(exposure)
    low, high = (
        max(exposure.wavelength[0] for exposure in corrected),
        min(exposure.wavelength[-1] for exposure in corrected),
    )
    step = min(np.median(np.diff(exposure.wavelength)) for exposure in corrected) / low * operators.C_KMS
    grid = operators.log_grid(low, high, step)
    unknown = not all(np.any(exposure.uncertainty > 0) for exposure in corrected)

    def on_grid(exposure, lost):
        sigma = np.ones(len(exposure.flux)) if unknown else exposure.uncertainty
        return operators.combine(grid, [exposure.wavelength], [np.where(lost, np.nan, exposure.flux)], [sigma])

    parts = [on_grid(exposure, exposure.mask) for exposure in corrected]
    stack, sigma = np.array([part[0] for part in parts]), np.array([part[1] for part in parts])
    scale = np.array([np.nanmedian(row / stack[0]) for row in stack])[:, None]
    stack, sigma = stack / scale, sigma / scale
    if len(stack) > 2 and config.chain.cosmic_sigma:
        deviation = stack - np.nanmedian(stack, axis=0)
        spread = 1.4826 * np.nanmedian(np.abs(deviation), axis=1, keepdims=True)
        outlier = deviation > config.chain.cosmic_sigma * np.maximum(spread, 0 if unknown else sigma)
        n_cosmic += int(outlier.sum())
        stack[outlier] = np.nan
    clear = np.array([on_grid(exposure, exposure.mask | exposure.telluric)[2] for exposure in corrected]).sum(0)
    if config.chain.tellurics == "mask":  # exposures with telluric lines do not count where another is free of them
        covered = np.array([np.interp(grid, exposure.wavelength, exposure.telluric) > 0 for exposure in corrected])
        stack[covered & (clear > 0)] = np.nan
    flux, error, used = operators.combine(grid, [grid] * len(stack), stack, sigma)
    out = dataclasses.replace(
        corrected[0],
        wavelength=grid,
        flux=np.where(used > 0, flux, 0.0),
        uncertainty=np.full(len(grid), np.nan) if unknown else error,
        mask=used == 0,
        telluric=clear == 0,
        time=float(np.mean([exposure.time for exposure in corrected])),
        notes=tuple(dict.fromkeys([note for exposure in exposures for note in exposure.notes] + notes)),
    )
    return out, n_cosmic


def group_exposures(exposures):
    """Group spectra of one star, instrument and resolving power, in the order in which the stars first appear.

    Notes that call a spectrum the second of its star are dropped for grouped spectra.

    Parameters
    ----------
    exposures : iterable of Spectrum

    Returns
    -------
    list
        For each star, a Spectrum or a list of several, as :func:`prepare_many` takes them.
    """
    groups = {}
    for name, item in each(exposures, "exposures"):
        for spectrum in several(item, name):
            power = spectrum.resolving_power if np.isfinite(spectrum.resolving_power) else None
            groups.setdefault((spectrum.star, spectrum.instrument, power), []).append(spectrum)
    return [_together(group) if len(group) > 1 else group[0] for group in groups.values()]


def _together(group):
    """Exposures of a star without the notes about each other."""
    mutual = {clean(f"second spectrum of {spectrum.star}: {spectrum.file}", 300) for spectrum in group}
    left = [tuple(note for note in spectrum.notes if note not in mutual) for spectrum in group]
    return [
        spectrum if spectrum.notes == n else dataclasses.replace(spectrum, notes=n)
        for spectrum, n in zip(group, left, strict=True)
    ]


# ---------------------------------------------------------------- the complete preparation


def _shift(spectrum, velocity, config):
    """Shift, km/s, that a spectrum of a star of known barycentric velocity shows; None if the velocity is unknown.

    Raises
    ------
    ConfigError
        The velocity is beyond the limit.
    DataError
        The barycentric correction is not known.
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
    """Convert an observed spectrum, or several exposures of one star, to the input of the networks.

    Parameters
    ----------
    spectrum : Spectrum or sequence of Spectrum
        Several exposures are co-added.
    config : Config
    velocity : float, km/s, optional
        Barycentric radial velocity of the star if known; it replaces the measured one.

    Returns
    -------
    flux : (n_pixels,) array of float32
        Continuum = 1, on ``window_grid(config.window, margin=False)``.
    report : Report

    Raises
    ------
    DataError
        The window is not covered after the shift, nothing correlates with any template, the resolving power is lower
        than the run's, or no flux is left.

    Examples
    --------
    >>> import tempfile
    >>> from dtl_core.config import load_profile
    >>> from dtl_core.preparing.chain import prepare
    >>> from dtl_core.reading.readers import read
    >>> from dtl_core.synthetic.examples import write_examples
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths, truth = write_examples(folder)
    ...     flux, report = prepare(read(paths[0]), load_profile("demo"))
    >>> flux.shape, round(report.radial_velocity)
    ((3501,), 31)
    """
    window, settings = config.window, config.chain
    exposures = [cut(exposure, *_reach(config)) for exposure in spectrum]
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
    measured = measure_velocity(spectrum.wavelength, scaled, mask, template, settings.velocity_limit, known=known)
    if known is None and not measured.correlation >= settings.minimum_correlation:
        raise DataError(
            f"no velocity found (correlation {measured.correlation:.2f})",
            file=name,
            field="flux",
            remedy=f"is this an M dwarf between {window.start - 5:.0f} and {window.stop + 5:.0f} A in vacuum?",
        )
    rest = operators.doppler_shift(spectrum.wavelength, -measured.value)
    inside = (rest >= window.start) & (rest <= window.stop)
    lost = mask | spectrum.telluric if settings.tellurics == "mask" else mask
    if inside.any():
        check_mask(lost[inside], name)
    # bridged linearly before any smooth interpolation, which would oscillate across a gap
    flux = bridge(rest, scaled, lost)
    operators.check_spectrum(rest, flux, file=name, start=window.start, stop=window.stop)
    try:
        flux = match_resolution(rest, flux, power, window.resolving_power) if np.isfinite(power) else flux
    except DTLError as error:
        raise error.at(name) from None
    grid = operators.window_grid(window)
    flux = operators.resample(rest, flux, grid, settings.resampling)
    # beyond the data the flux is set to the level: the last pixel may lie in a line and would shift the continuum
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
        velocity=measured.value,
        e_velocity=measured.error,
        correlation=measured.correlation,
        template=tuple(map(float, template[2][measured.template][:2])),
        radial_velocity=_add(
            measured.value, {"observatory": spectrum.berv, "barycentric": 0.0}.get(spectrum.frame, np.nan)
        ),
        masked_fraction=masked,
        telluric_fraction=float(np.mean(spectrum.telluric[inside])),
        n_exposures=len(exposures),
        n_cosmic=n_cosmic,
        n_continuum=len(points[0][0]),
        warnings=tuple(_warnings(spectrum, measured, masked, config)),
    )
    return normalised.astype(np.float32), report


@checked(spectrum=converted, config=_CONFIG)
def steps(spectrum, config):
    """Flux in the window, on its grid, after each step of the preparation.

    Parameters
    ----------
    spectrum : Spectrum
    config : Config

    Returns
    -------
    dict
        Name -> (n_pixels,) array, in order: ``as read`` (over its 95th percentile), ``blaze`` (divided out, masked
        pixels bridged), ``rest frame``, ``chain`` (the result of :func:`prepare`).
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


def _warnings(spectrum, measured, masked, config):
    """Remarks that may matter for the result."""
    yield from spectrum.notes
    if not np.isfinite(spectrum.resolving_power):
        yield f"no resolving power given, taken as the run's {config.window.resolving_power:.0f}"
    if masked > 0.05:
        yield f"{masked:.0%} of the window is masked and bridged"
    if measured.correlation < 0.6:
        yield f"weak correlation with every template ({measured.correlation:.2f}): is it an M dwarf?"
    seen = {"observatory": spectrum.rv - spectrum.berv, "barycentric": spectrum.rv}
    expected = seen.get(spectrum.frame, np.nan)
    if (
        np.isfinite(expected)
        and abs(measured.value - expected) > 30
        and abs(measured.value - expected - AIR_SHIFT) < 10
    ):
        yield f"shift of {measured.value:.0f} km/s where {expected:.0f} is expected: are these air wavelengths?"
    elif (
        not np.isfinite(expected)
        and abs(measured.value - AIR_SHIFT) < 10
        and any("medium" in n for n in spectrum.notes)
    ):
        yield f"a shift of {measured.value:.0f} km/s is what air wavelengths taken for vacuum look like"


@checked(config=_CONFIG, strict=a_flag, velocity=VELOCITY, progress=_PROGRESS)
def prepare_many(items, config, *, strict=False, velocity=None, progress=None):
    """Apply :func:`prepare` to many stars; failures are reported and do not stop the others.

    Parameters
    ----------
    items : iterable of Spectrum or of sequences of Spectrum
    config : Config
    strict : bool
        Whether to raise the first error instead.
    velocity : float, km/s, optional
        Of all stars, as for :func:`prepare`.
    progress : callable, optional
        Called with 1 after each star.

    Returns
    -------
    flux : (n_good, n_pixels) array of float32
    reports : list of Report
        Of the n_good stars.
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
    """List of Report from one or several."""
    value = [value] if isinstance(value, Report) else value
    report = instance(Report, remedy="give reports of dtl_core.preparing.chain.prepare")
    return [report(item, name) for item in instance(list, tuple)(value, name)]


@checked(reports=_reports)
def report_table(reports):
    """Convert reports to a table with units, one row per star; several warnings are joined by semicolons.

    Parameters
    ----------
    reports : Report or sequence of Report

    Returns
    -------
    astropy.table.Table
    """
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
    """Write prepared spectra atomically as FITS; missing folders are created.

    HDU 1 ``STARS`` has one row per star: the fields of :class:`Report` and the vector ``flux``. HDU 2 ``WAVELENGTH`` is
    in vacuum A. HDU 3 ``REFUSED`` has file and error of each spectrum that could not be used.

    Parameters
    ----------
    path : path
    flux, reports, failures
        As from :func:`prepare_many`.
    config : Config
        With which they were prepared.

    Raises
    ------
    DTLError
        The file cannot be written, or the arguments are not results of :func:`prepare_many`.
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
    hdus = [fits.PrimaryHDU()] + [fits.table_to_hdu(ascii_table(table), name=name) for name, table in tables.items()]
    hdus[0].header["R"] = (config.window.resolving_power, "resolving power of all spectra")
    out = io.BytesIO()
    fits.HDUList(hdus).writeto(out)
    write_atomic(path, out.getvalue())
