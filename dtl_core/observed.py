"""The target domain: the benchmark survey of known truth, real HPF spectra, and spectra of the user's own.

The survey starts from spectra computed with another code and other atomic lists (``survey_b``) and adds what a
spectrograph and a star do. Each effect has a strength in ``SurveyConfig``; at 0 it is off, and with all of them off
only the two codes differ.
"""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from . import spectra, synthetic
from .config import SURVEY_EFFECTS, data_mirror
from .errors import DataError

__all__ = [
    "Spectrum",
    "blaze_level",
    "draw_truth",
    "effect_sizes",
    "hpf_files",
    "measure_velocity",
    "prepare",
    "read_hpf",
    "read_spectrum",
    "survey_set",
    "templates",
]

# Vacuum rest wavelengths, A, of strong atomic lines in the window that a chromosphere fills in: Mg I and Fe I.
ACTIVE_LINES = (8809.18, 8826.65)
# Scales at strength 1, set so that the best-fitting synthetic spectrum leaves a residual like that of the HPF stars
# (about 3.5 % rms; see notebook 01).
LINE_STRENGTH_RMS = 0.22  # of ln(opacity)
N_MISSING, N_UNKNOWN = 10, 50
HPF_NAMES = {"flux": "Sci Flux", "sky": "Sky Flux", "variance": "Sci Variance", "wavelength": "Sci Wavl"}
HPF_SHAPE, HPF_ORDER, HPF_RESOLVING_POWER = (28, 2048), 6, 53_000.0
SKY_LIMIT = 0.3  # of the star's flux


@dataclass(frozen=True)
class Spectrum:
    """One observed spectrum.

    wavelength : (n_pixels,) vacuum A, in the observatory's frame
    flux, uncertainty : (n_pixels,) any unit
    mask : (n_pixels,) True where the pixel is lost (residuals of sky lines, cosmic rays): bridged
    telluric : (n_pixels,) True where telluric lines absorb: kept, as in the paper, and only counted
    """

    star: str
    wavelength: np.ndarray
    flux: np.ndarray
    uncertainty: np.ndarray
    mask: np.ndarray
    telluric: np.ndarray
    resolving_power: float = np.nan
    file: str = ""


# ---------------------------------------------------------------- the benchmark survey


def draw_truth(library, config):
    """Labels and circumstances of the survey's stars, from a seed.

    Teff, log g, [M/H] and the kinematic population come with the library. Activity follows population and Teff (young
    and cool stars are active more often), rotation follows activity, as in the solar neighbourhood (Reiners et al.
    2018: most M dwarfs rotate below 3 km/s, the active ones up to tens of km/s).

    Returns
    -------
    truth : DataFrame with n_stars rows: karmn, teff [K], logg, mh, vsini [km/s], population, active, snr (a detector
        pixel), velocity [km/s] left over, telluric_velocity [km/s]
    rows : (n_stars,) their rows in the library
    """
    settings = config.survey
    rng = np.random.default_rng([settings.seed, 1])
    rows = np.arange(len(library.label))  # every star draws its numbers, so a smaller survey is a part of the whole
    teff, logg, mh = library.label.T
    base = pd.Series(library.population).map({"YD": 0.5, "D": 0.25, "TD-D": 0.1, "TD": 0.05}).to_numpy()
    active = rng.random(len(rows)) < np.clip(base * (3900 - teff) / 400, 0.02, 0.9)
    slow = 1.5 + rng.exponential(0.7, len(rows))
    fast = np.exp(rng.uniform(np.log(2.5), np.log(28.0), len(rows)))
    table = pd.DataFrame(
        {
            "karmn": [f"S{k + 1:03d}" for k in rows],
            "teff": teff,
            "logg": logg,
            "mh": mh,
            "vsini": np.where(active, fast, np.minimum(slow, 5.0)).round(2),
            "population": library.population,
            "active": active,
            "snr": np.exp(rng.uniform(np.log(100), np.log(400), len(rows))).round(0),
            "velocity": rng.normal(0, 0.15, len(rows)) * settings.velocity,
            "telluric_velocity": rng.uniform(-60, 60, len(rows)),
        }
    )
    chosen = np.sort(rng.permutation(len(rows))[: settings.n_stars])
    return table.iloc[chosen].reset_index(drop=True), chosen


def _distort_lines(library, rows, truth, settings):
    """Optical depths of the survey with the line list's errors: the same for every star. (n_stars, n_pixels)"""
    wave, step = library.wavelength, library.wavelength[1] - library.wavelength[0]
    depth = -np.log(np.clip(library.norm[rows], 1e-4, 1.0))
    rng = np.random.default_rng([settings.seed, 2])
    # each draw is made whether or not its effect is on, so that switching one leaves the others as they are
    field = gaussian_filter1d(rng.standard_normal(len(wave)), 0.12 / step, mode="wrap")
    missing = rng.uniform(wave[0] + 2, wave[-1] - 2, N_MISSING)
    position = rng.uniform(wave[0] + 2, wave[-1] - 2, N_UNKNOWN)
    strength = np.exp(rng.normal(np.log(0.07), 0.7, N_UNKNOWN))
    width = rng.uniform(0.05, 0.09, N_UNKNOWN)
    power = rng.normal(-1.5, 2.0, N_UNKNOWN)
    depth = depth * np.exp(settings.line_strength * LINE_STRENGTH_RMS * field / field.std())
    gap = np.exp(-0.5 * ((wave - missing[:, None]) / 0.15) ** 2).max(0)
    depth = depth * np.clip(1 - settings.missing_lines * gap, 0, 1)
    if settings.unknown_lines:
        profile = strength[:, None] * np.exp(-0.5 * ((wave - position[:, None]) / width[:, None]) ** 2)
        teff, mh = truth["teff"].to_numpy()[:, None], truth["mh"].to_numpy()[:, None]
        depth = depth + settings.unknown_lines * ((teff / 3500) ** power * 10 ** (0.4 * mh)) @ profile
    return depth


def _fill_in(norm, wavelength, truth, settings):
    """Chromospheric filling of the strong lines of active stars, at most to the continuum."""
    rng = np.random.default_rng([settings.seed, 3])
    rows = truth["karmn"].str[1:].astype(int) - 1  # every star of the library draws, so a smaller survey is a part
    amount = rng.uniform(0.1, 0.4, 1000)[rows] * truth["active"].to_numpy() * settings.activity
    core = sum(np.exp(-0.5 * ((wavelength - line) / 0.25) ** 2) for line in ACTIVE_LINES)
    return norm + np.clip(amount[:, None] * core, 0, 1) * (1 - norm)


def _observe(flux, wavelength, truth, config):
    """Telluric lines, blaze and photon noise on (n_stars, n_pixels) spectra on ``window_grid``."""
    settings, window = config.survey, config.window
    rng = np.random.default_rng([settings.seed, 4])
    x = np.linspace(-1, 1, len(wavelength))
    lines, depths = rng.uniform(8780, 8855, 14), rng.uniform(0.003, 0.03, 14)
    sigma = 8817.5 / window.resolving_power / spectra.FWHM * 1.2
    step = 8817.5 / window.resolving_power / 2.8  # a detector pixel
    edges = np.arange(wavelength[0] - 1, wavelength[-1] + 1, step)
    for k, star in enumerate(truth.itertuples()):
        draws = np.random.default_rng([settings.seed, 5, int(star.karmn[1:])])  # a stream a star
        tilt, bend, ripple = draws.normal(0, (0.02, 0.01, 0.004))
        period, phase, water = draws.uniform(8, 16), draws.uniform(0, 2 * np.pi), draws.uniform(0.3, 1.5)
        noise = draws.standard_normal(len(edges))
        shifted = spectra.doppler_shift(lines, star.telluric_velocity)
        absorption = depths @ np.exp(-0.5 * ((wavelength - shifted[:, None]) / sigma) ** 2)
        flux[k] *= np.exp(-settings.telluric * water * absorption)
        wave_pattern = ripple * np.sin(2 * np.pi * wavelength / period + phase)
        flux[k] *= 1 + settings.continuum * (tilt * x + bend * (x**2 - 1 / 3) + wave_pattern)
        level = np.sqrt(np.clip(flux[k] / np.percentile(flux[k], 95), 0, None)) * np.percentile(flux[k], 95) / star.snr
        flux[k] += settings.noise * level * np.interp(wavelength, edges, noise)
    return flux


def survey_set(config):
    """The benchmark survey of a run.

    Returns
    -------
    flux : (n_stars, n_pixels) float32, continuum = 1, on ``window_grid(config.window, margin=False)``
    truth : DataFrame, see :func:`draw_truth`
    """
    library = synthetic.load_library("survey_b")
    settings, window = config.survey, config.window
    truth, rows = draw_truth(library, config)
    norm = np.exp(-_distort_lines(library, rows, truth, settings))
    norm = _fill_in(norm, library.wavelength, truth, settings)
    raw = norm * library.continuum[rows]
    vsini = truth["vsini"].to_numpy()
    flux = synthetic.model_spectra(
        library.wavelength, raw, vsini, window, limb_darkening=config.synthetic.limb_darkening
    )
    grid = spectra.window_grid(window)
    if settings.velocity:
        for k, velocity in enumerate(truth["velocity"]):
            flux[k] = CubicSpline(grid, flux[k])(spectra.doppler_shift(grid, -velocity))
    flux = _observe(flux, grid, truth, config)
    return _cut(spectra.normalise(grid, flux, config.continuum), window).astype(np.float32), truth


def effect_sizes(config, n_stars=40):
    """Root mean square change of flux that each effect makes alone, at its strength in ``config``: a dict.

    ``codes`` is the change from the other code alone: survey spectra with all effects off against synthetic ones of the
    same labels.

    Arguments
    ---------
    config : Config
    n_stars : int, how many of the survey's stars to take
    """

    def survey(**on):
        settings = dataclasses.replace(config.survey, n_stars=n_stars, **(dict.fromkeys(SURVEY_EFFECTS, 0.0) | on))
        return survey_set(dataclasses.replace(config, survey=settings))

    plain, truth = survey()
    changes = {name: survey(**{name: getattr(config.survey, name)})[0] - plain for name in SURVEY_EFFECTS}
    library, grid = synthetic.load_library("grid_a"), spectra.window_grid(config.window)
    raw = synthetic.expand(library, truth[["teff", "logg", "mh"]].to_numpy())
    model = synthetic.model_spectra(
        library.wavelength,
        raw,
        truth["vsini"].to_numpy(),
        config.window,
        limb_darkening=config.synthetic.limb_darkening,
    )
    changes["codes"] = plain - _cut(spectra.normalise(grid, model, config.continuum), config.window)
    return {name: float(np.sqrt(np.mean(change**2))) for name, change in changes.items()}


def _cut(flux, window):
    margin = round(window.margin / window.step)
    return flux[..., margin:-margin]


# ---------------------------------------------------------------- real spectra


def hpf_files(mirror=None):
    """The HPF exposures of a data mirror (``observed/hpf/Slope-*.fits``), sorted; empty when there are none."""
    mirror = mirror or data_mirror()
    return sorted((Path(mirror) / "observed" / "hpf").glob("Slope-*.fits")) if mirror else []


def _open_fits(path, names):
    """Image arrays of a FITS file by HDU number, and its primary header, or a DataError that says what is wrong."""
    from astropy.io import fits

    try:
        with warnings.catch_warnings(action="ignore"), fits.open(path, memmap=False) as hdus:
            if len(hdus) <= max(names):
                raise DataError(
                    f"has {len(hdus)} HDUs, not {max(names) + 1}", file=path, remedy="download the file again"
                )
            arrays = {name: np.asarray(hdus[number].data, float) for number, name in names.items()}
            return arrays, dict(hdus[0].header)
    except FileNotFoundError:
        raise DataError("not found", file=path, remedy="check DTL_DATA or the path") from None
    except (OSError, TypeError, ValueError) as error:
        text = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        raise DataError(f"is not a whole FITS file ({text})", file=path, remedy="download the file again") from None


def _step_mask(path, wavelength):
    """A mask file of (wavelength [vacuum A], 0 or 1) rows, read as a curve; True where it exceeds zero."""
    try:
        x, y = np.loadtxt(path, unpack=True)
    except FileNotFoundError:
        raise DataError("not found", file=path, remedy="keep the HPF mask files beside the spectra") from None
    except ValueError:
        raise DataError("is not two columns of numbers", file=path, remedy="download the file again") from None
    order = np.argsort(x)
    return np.interp(wavelength, x[order], y[order]) > 0.01


def read_hpf(path):
    """One exposure of the Habitable-zone Planet Finder: order 6 (8781-8895 A, vacuum), deblazed, sky subtracted.

    The flat field and the telluric and sky-emission masks must lie in the same folder. Source: Mahadevan et al. (2012);
    layout: hpfspec (Stefansson et al. 2020).

    Errors
    ------
    DataError : the file or one beside it is missing, cut short or not HPF's.
    """
    path = Path(path)
    data, header = _open_fits(path, {1: "flux", 2: "sky", 4: "variance", 7: "wavelength"})
    flats = sorted(path.parent.glob("*deblazed.fits"))
    if not flats:
        raise DataError(
            "no flat field *deblazed.fits beside it", file=path, remedy="keep the HPF flat beside the spectra"
        )
    flat, _ = _open_fits(flats[0], {1: "flux"})
    for file, name, array in [*((path, *item) for item in data.items()), (flats[0], "flux", flat["flux"])]:
        if array.shape != HPF_SHAPE:
            raise DataError(
                f"has shape {array.shape}, not {HPF_SHAPE}",
                file=file,
                field=HPF_NAMES[name],
                remedy="give HPF slope images reduced to spectra",
            )
    order = {name: array[HPF_ORDER] for name, array in data.items()}
    blaze = flat["flux"][HPF_ORDER]
    good = np.isfinite(order["flux"]) & np.isfinite(order["sky"]) & (blaze > 0.1) & (order["wavelength"] > 8000)
    if good.sum() < 1000:
        raise DataError(
            "has too few usable pixels in order 6", file=path, field="Sci Flux", remedy="check the reduction"
        )
    wave = order["wavelength"][good]
    flux = ((order["flux"] - order["sky"]) / blaze)[good]
    uncertainty = (np.sqrt(np.abs(order["variance"])) / blaze)[good]
    masks = []
    for pattern in ("HPF_SkyEmissionLineWavlMask*.txt", "telfit_telmask*.dat"):
        found = sorted(path.parent.glob(pattern))
        masks.append(_step_mask(found[0] if found else path.parent / pattern, wave))
    # the sky fibre removes faint emission well: a pixel is lost only where the sky rivals the star
    masks[0] &= order["sky"][good] > SKY_LIMIT * np.abs(order["flux"][good])
    spectra.check_spectrum(wave, flux, file=path, start=8790.0, stop=8845.0)
    star = str(header.get("OBJECT", path.stem)).replace("_", " ").strip()
    return Spectrum(star, wave, flux, uncertainty, *masks, HPF_RESOLVING_POWER, str(path))


def _column(table, name, path):
    """A column as floats; empty cells become NaN, which later steps refuse unless they are masked."""
    try:
        return np.ma.filled(np.ma.asarray(table[name]).astype(float), np.nan)
    except (TypeError, ValueError):
        raise DataError("is not a column of numbers", file=path, field=name, remedy="check the columns") from None


def _flags(table, name, path):
    """A column of yes or no as booleans, from booleans, numbers or the words true and false."""
    column = np.ma.filled(np.ma.asarray(table[name]), 0)
    if column.dtype.kind not in "US":
        return column.astype(bool)
    words = np.char.lower(column.astype(str))
    for word in np.unique(words):
        if word not in ("true", "false", "1", "0"):
            raise DataError(f"{word!r} is neither true nor false", file=path, field=name, remedy="write True or False")
    return np.isin(words, ("true", "1"))


def read_spectrum(path):
    """A spectrum of the user's own: an HPF exposure (``.fits``), or a table (``.ecsv``, ``.csv``, ``.fits``).

    A table needs the columns ``wavelength`` (vacuum; its unit, A without one) and ``flux``; ``uncertainty`` and
    ``mask`` are optional. ECSV and FITS carry units: nm and micron are converted.

    Errors
    ------
    DataError : missing file or column, wrong unit, NaNs, unsorted or too short a range.
    """
    from astropy import units
    from astropy.table import Table

    path = Path(path)
    if not path.is_file():
        raise DataError("not found", file=path, remedy="check the path")
    if path.suffix == ".fits" and path.name.startswith("Slope-"):
        return read_hpf(path)
    formats = {".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".fits": "fits"}
    if path.suffix not in formats:
        raise DataError(f"unknown kind of file {path.suffix!r}", file=path, remedy="give .ecsv, .csv or .fits")
    try:
        table = Table.read(path, format=formats[path.suffix])
    except Exception as error:  # astropy's readers raise many kinds
        text = (str(error).splitlines() or [type(error).__name__])[0][:80]
        raise DataError(f"cannot be read as a table ({text})", file=path, remedy="check the format") from None
    for name in ("wavelength", "flux"):
        if name not in table.colnames:
            raise DataError(
                "is missing", file=path, field=name, remedy=f"name a column {name!r}; found {table.colnames}"
            )
    unit = table["wavelength"].unit or units.AA
    try:
        to_angstrom = units.Unit(unit).to(units.AA)
    except (ValueError, TypeError):  # UnitConversionError is a kind of the latter
        raise DataError(
            f"has unit {unit}, which is no length", file=path, field="wavelength", remedy="give A or nm"
        ) from None
    wave = _column(table, "wavelength", path) * to_angstrom
    flux = _column(table, "flux", path)
    sigma = _column(table, "uncertainty", path) if "uncertainty" in table.colnames else np.full(len(flux), np.nan)
    mask = _flags(table, "mask", path) if "mask" in table.colnames else np.zeros(len(flux), bool)
    filled = np.where(mask & ~np.isfinite(flux), np.nanmedian(flux) if np.isfinite(flux).any() else 0.0, flux)
    spectra.check_spectrum(wave, filled, file=path, start=8796.0, stop=8839.0)
    star = str(table.meta.get("OBJECT", table.meta.get("star", path.stem)))
    name = "resolving_power" if "resolving_power" in table.meta else "R"
    try:
        power = float(table.meta.get(name, np.nan))
    except (TypeError, ValueError):
        raise DataError(
            f"{table.meta[name]!r} is not a number",
            file=path,
            field=name,
            remedy="give the resolving power, e.g. 94600",
        ) from None
    return Spectrum(star, wave, filled, sigma, mask, np.zeros_like(mask), power, str(path))


def templates(config, teff=(2800, 3000, 3200, 3400, 3600, 3800, 4000)):
    """Synthetic spectra of solar metallicity for the cross-correlation: wavelength (m,), flux (n, m), continuum = 1."""
    library = synthetic.load_library("grid_a")
    labels = np.array([(t, np.clip(synthetic.main_sequence_logg(t, 0.0), 4.5, 5.5), 0.0) for t in teff])
    flux = synthetic.model_spectra(
        library.wavelength, synthetic.expand(library, labels), np.full(len(labels), 2.0), config.window
    )
    grid = spectra.window_grid(config.window)
    return grid, spectra.normalise(grid, flux, config.continuum)


def blaze_level(wavelength, flux, mask):
    """Blaze of an echelle order: the parabola through the 90th percentiles of twelve stretches.

    The continuum of :mod:`dtl_core.spectra` takes its levels from 30 A and cannot follow a blaze that doubles there.
    """
    blocks = np.array_split(np.flatnonzero(~mask), 12)
    x = np.array([wavelength[b].mean() for b in blocks])
    y = np.array([np.percentile(flux[b], 90) for b in blocks])
    return np.polyval(np.polyfit(x - x.mean(), y, 2), wavelength - x.mean())


def measure_velocity(wavelength, flux, template_wavelength, template_flux):
    """Velocity of the best correlation with any template, from -250 to 250 km/s, by a parabola through its peak.

    Arguments
    ---------
    wavelength, flux : (n_pixels,) A, continuum roughly 1; lost pixels are NaN
    template_wavelength : (m,) A at rest;  template_flux : (n_templates, m)

    Returns
    -------
    velocity [km/s], correlation coefficient at the peak
    """
    inner = (template_wavelength > template_wavelength[0] + 0.5) & (template_wavelength < template_wavelength[-1] - 0.5)

    def best(velocities):
        found = spectra.cross_correlate(
            wavelength, flux, template_wavelength[inner], template_flux[:, inner], velocities
        )
        return found.max(0)

    coarse = np.arange(-250, 250.1, 2.0)
    fine = coarse[np.argmax(best(coarse))] + np.arange(-4, 4.01, 0.5)
    values = best(fine)
    peak = np.clip(np.argmax(values), 1, len(fine) - 2)
    left, top, right = values[peak - 1 : peak + 2]
    bend = left - 2 * top + right
    return float(fine[peak] + (0.25 * (left - right) / bend if bend < 0 else 0.0)), float(top)


def _match_resolution(wavelength, flux, spectrum, resolving_power):
    """The flux broadened to the run's resolving power; unknown ones are taken as equal."""
    own = spectrum.resolving_power
    if not np.isfinite(own) or abs(own / resolving_power - 1) < 0.02:
        return flux
    if own < resolving_power:
        raise DataError(
            f"has R = {own:.0f}, less than the run's {resolving_power:.0f}",
            file=spectrum.file or spectrum.star,
            field="resolving_power",
            remedy=f"set window.resolving_power={own:.0f}",
        )
    grid = spectra.log_grid(wavelength[0], wavelength[-1], synthetic.VELOCITY_STEP)
    missing = 1 / np.sqrt(resolving_power**-2 - own**-2)
    broad = spectra.broaden(np.interp(grid, wavelength, flux), synthetic.VELOCITY_STEP, missing, 0.0)[0]
    return np.interp(wavelength, grid, broad)


def prepare(spectrum, config, template=None):
    """From a real spectrum to the network's input.

    Divide by the blaze, cross-correlate with synthetic spectra (-250 to +250 km/s, parabola through the peak), shift to
    rest, bridge masked pixels, interpolate to the common grid, normalise, cut to the window.

    Arguments
    ---------
    spectrum : Spectrum
    config : Config
    template : result of :func:`templates`, to spare making it again

    Returns
    -------
    flux : (n_pixels,) float32, continuum = 1
    report : dict of star, velocity [km/s], correlation, masked_fraction and telluric_fraction (in the window),
        snr (median, a pixel), warning (text or None)

    Errors
    ------
    DataError : the window is not covered once shifted, nothing correlates (peak below 0.3), or the spectrum is less
        resolved than the run.
    """
    mask = spectrum.mask | ~np.isfinite(spectrum.flux)
    level = blaze_level(spectrum.wavelength, spectrum.flux, mask)
    scaled = np.where(mask, np.nan, spectrum.flux / level)
    velocity, top = measure_velocity(spectrum.wavelength, scaled, *(template or templates(config)))
    if top < 0.3:
        raise DataError(
            f"no velocity found (correlation {top:.2f})",
            file=spectrum.file or spectrum.star,
            field="flux",
            remedy="is this an M dwarf between 8795 and 8840 A in vacuum?",
        )
    rest = spectra.doppler_shift(spectrum.wavelength, -velocity)
    grid = spectra.window_grid(config.window)
    # the data need not reach the margin's ends: there the last value is held, and only the continuum sees it
    low, high = config.window.start, config.window.stop
    good = ~mask
    # bridged by straight lines before the spline, which would swing across a gap
    bridged = np.interp(rest, rest[good], (spectrum.flux / level)[good])
    spectra.check_spectrum(rest, bridged, file=spectrum.file or spectrum.star, start=low, stop=high)
    bridged = _match_resolution(rest, bridged, spectrum, config.window.resolving_power)
    flux = CubicSpline(rest, bridged)(np.clip(grid, rest[0], rest[-1]))
    inside = (rest >= low) & (rest <= high)
    known = inside & good & (spectrum.uncertainty > 0)
    snr = float(np.median((spectrum.flux / spectrum.uncertainty)[known])) if known.any() else float("nan")
    report = dict(
        star=spectrum.star,
        velocity=velocity,
        correlation=top,
        masked_fraction=float(np.mean(mask[inside])),
        telluric_fraction=float(np.mean(spectrum.telluric[inside])),
        snr=snr,
        warning=None
        if np.isfinite(spectrum.resolving_power)
        else f"{spectrum.star}: no resolving power given, taken as the run's {config.window.resolving_power:.0f}",
    )
    return _cut(spectra.normalise(grid, flux, config.continuum), config.window).astype(np.float32), report
