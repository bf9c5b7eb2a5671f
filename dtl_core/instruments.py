"""One reader for each instrument and library: HPF, CARMENES VIS, serval and Nagel et al. templates, PHOENIX-ACES.

    spectrum = read_carmenes("car-20160105T22h07m28s-sci-gtoc-vis_A.fits").in_frame("barycentric")

Each returns a :class:`~dtl_core.spectrum.Spectrum` of the surroundings of the window, in vacuum.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from . import spectra
from .errors import DataError
from .formats import AGAIN, as_file, clean, content, fits_hdus, is_fits, number, one_line_errors
from .spectrum import RANGE, finish
from .tables import BERV, RV, read_table

__all__ = [
    "extensions",
    "merge_orders",
    "read_carmenes",
    "read_hpf",
    "read_nagel",
    "read_phoenix_spectrum",
    "read_serval",
]

HPF_SHAPE, HPF_ORDER, HPF_RESOLVING_POWER = (28, 2048), 6, 53_000.0
SKY_LIMIT = 0.3  # of the star's flux
HET = {"lon": -104.0147, "lat": 30.6814, "height": 2035.0}  # degrees, m: McDonald Observatory
CARMENES_SHAPE, CARMENES_RESOLVING_POWER = (61, 4096), 94_600.0
PHOENIX_RESOLVING_POWER = 500_000.0  # of its sampling


def extensions(path):
    """Extensions of a FITS file by name; DataError if it is not one."""
    data = content(path)
    if not is_fits(data):
        raise DataError("is not a FITS file", file=path, remedy=AGAIN)
    hdus = fits_hdus(data, path)
    named = {"": hdus[0]}
    for hdu in hdus:
        named.setdefault(hdu.name, hdu)
    return named


def _image(hdus, name, path, shape=None):
    """The image of this name as floats (n_orders, n_pixels), of ``shape`` if that is given."""
    if name.upper() not in hdus:
        found = ", ".join(clean(key, 20) for key in hdus if key)[:100]
        raise DataError("is missing", file=path, field=name, remedy=f"{AGAIN}; found {found or 'no names'}")
    hdu = hdus[name.upper()]
    if len(hdu.shape) != 2 or shape and hdu.shape != shape:
        expected = f"not {shape}" if shape else "not orders x pixels"
        raise DataError(f"has shape {hdu.shape}, {expected}", file=path, field=name, remedy="give reduced spectra")
    return hdu.image()


# ---------------------------------------------------------------- HPF


def _step_mask(folder, pattern, wavelength):
    """A mask file of (wavelength [vacuum A], 0 or 1) rows, read as a curve; True where it exceeds zero."""
    path = next(iter(sorted(folder.glob(pattern))), folder / pattern)
    if not path.is_file():
        raise DataError("not found", file=path, remedy="keep the HPF mask files beside the spectra")
    try:
        x, y = np.loadtxt(content(path).decode("ascii").splitlines(), unpack=True)
    except ValueError:
        raise DataError("is not two columns of numbers", file=path, remedy=AGAIN) from None
    order = np.argsort(x)
    return np.interp(wavelength, x[order], y[order]) > 0.01


def barycentric_velocity(ra, dec, jd, *, lon, lat, height):
    """The Earth's velocity towards a star, km/s: add it to a measured velocity for the barycentric one.

    Arguments
    ---------
    ra, dec : degrees, at the time of observation
    jd : Julian date, UTC
    lon, lat, height : of the observatory, degrees east and north, m

    Source: astropy's ``SkyCoord.radial_velocity_correction`` with its built-in ephemeris; exact to 0.02 km/s.
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


def _hpf_berv(meta, time):
    """The barycentric velocity from the header's place and time; NaN if it lacks one of them."""
    from astropy.coordinates import Angle

    try:
        if "QRA" in meta and "QDEC" in meta:
            years = (time - 2451545.0) / 365.25
            ra = Angle(str(meta["QRA"]), "hourangle").degree
            dec = Angle(str(meta["QDEC"]), "deg").degree + years * number(meta, "QPMDEC", default=0.0) / 3.6e6
            ra += years * number(meta, "QPMRA", default=0.0) / 3.6e6 / np.cos(np.radians(dec))
        else:
            ra, dec = 15 * number(meta, "RA_2000"), number(meta, "DEC_2000")
        known = np.isfinite(ra + dec + time) and abs(dec) <= 90
        return barycentric_velocity(ra, dec, time, **HET) if known else np.nan
    except Exception:  # a place or time that astropy cannot make sense of
        return np.nan


@one_line_errors
def read_hpf(path):
    """One exposure of the Habitable-zone Planet Finder: order 6 (8781-8895 A), deblazed, sky subtracted.

    The flat field (``*deblazed.fits``) and the telluric and sky-emission masks must lie in the same folder. The
    barycentric velocity is computed from the header. Source: Mahadevan et al. (2012); layout: hpfspec (Stefansson et
    al. 2020).

    Errors
    ------
    DataError : the file or one beside it is missing, cut short or not HPF's.
    """
    hdus = extensions(path)
    keys = {"flux": "Sci Flux", "sky": "Sky Flux", "variance": "Sci Variance", "wavelength": "Sci Wavl"}
    order = {key: _image(hdus, name, path, HPF_SHAPE)[HPF_ORDER] for key, name in keys.items()}
    flats = sorted(path.parent.glob("*deblazed.fits"))
    if not flats:
        remedy = "keep the HPF flat beside the spectra"
        raise DataError("no flat field *deblazed.fits beside it", file=path, remedy=remedy)
    blaze = _image(extensions(flats[0]), "Sci Flux", flats[0], HPF_SHAPE)[HPF_ORDER]
    good = np.isfinite(order["flux"]) & np.isfinite(order["sky"]) & (blaze > 0.1) & (order["wavelength"] > 8000)
    if good.sum() < 1000:
        problem = "has too few usable pixels in order 6"
        raise DataError(problem, file=path, field="Sci Flux", remedy="check the reduction")
    wavelength = order["wavelength"][good]
    flux = ((order["flux"] - order["sky"]) / blaze)[good]
    uncertainty = (np.sqrt(np.abs(order["variance"])) / blaze)[good]
    # the sky fibre removes faint emission well: a pixel is lost only where the sky rivals the star
    mask = _step_mask(path.parent, "HPF_SkyEmissionLineWavlMask*.txt", wavelength)
    mask &= order["sky"][good] > SKY_LIMIT * np.abs(order["flux"][good])
    telluric = _step_mask(path.parent, "telfit_telmask*.dat", wavelength)
    meta = hdus[""].meta
    time = number(meta, "JD_FW6", low=2.4e6, high=2.6e6, path=path, unit="as a Julian date")
    berv = _hpf_berv(meta, time)
    return finish(
        path,
        wavelength,
        flux,
        uncertainty,
        mask,
        telluric,
        star=meta.get("OBJECT", ""),
        cover=(8790.0, 8845.0),
        resolving_power=HPF_RESOLVING_POWER,
        instrument="HPF",
        berv=berv,
        time=time,
        notes=() if np.isfinite(berv) else ("no barycentric velocity: position or time not in the header",),
    )


# ---------------------------------------------------------------- échelle orders


def _blaze(flux, good):
    """A smooth level of one order: a cubic through the upper percentiles of twelve stretches, three times over."""
    x, level = np.linspace(-1, 1, len(flux)), np.ones(len(flux))
    parts = [part[good[part]] for part in np.array_split(np.arange(len(flux)), 12)]
    parts = [part for part in parts if len(part) > 10]
    degree = min(3, len(parts) - 1)
    for _ in range(3):  # a percentile of a sloping stretch lies above its middle: less so once the slope is out
        ratio = [np.percentile(flux[part] / level[part], 90) for part in parts]
        level = level * np.polynomial.Polynomial.fit([x[part].mean() for part in parts], ratio, degree)(x)
        level = np.maximum(level, 0.02 * level.max())
    return level


def _flatten(wavelength, flux, uncertainty, continuum=None):
    """One order with its blaze divided out: the continuum of the file, and what that leaves of a blaze."""
    good = np.isfinite(wavelength) & np.isfinite(flux) & (uncertainty > 0) & np.isfinite(uncertainty)
    if continuum is not None and np.mean(continuum[good] > 0) > 0.9:  # it is there
        good &= continuum > 0
        flux, uncertainty = flux / continuum, uncertainty / continuum
    tenth = len(flux) // 10
    edges = flux[:tenth][good[:tenth]], flux[-tenth:][good[-tenth:]]
    if good.sum() > 100 and min(map(len, edges)) > 10:
        ends = max(np.percentile(edge, 90) for edge in edges)
        if ends < 0.6 * np.percentile(flux[good], 90):
            blaze = _blaze(flux, good)
            flux, uncertainty = flux / blaze, uncertainty / blaze
    before = np.fmax.accumulate(np.r_[-np.inf, wavelength[:-1]])
    use = np.isfinite(wavelength) & (wavelength > before)
    return wavelength[use], flux[use], uncertainty[use], good[use]


def _level(grid, before, values):
    """What brings an order to the level of the one before it: a straight line over the overlap, constant beyond."""
    both = np.flatnonzero(np.isfinite(before) & np.isfinite(values))
    if len(both) < 60:
        return 1.0
    parts = np.array_split(both, 6)
    centres = [grid[part].mean() for part in parts]
    ratios = [np.median(before[part]) / np.median(values[part]) for part in parts]
    if not np.all(np.isfinite(ratios)):
        return 1.0
    ends = np.polynomial.Polynomial.fit(centres, ratios, 1)(grid[both[[0, -1]]])
    return np.interp(grid, grid[both[[0, -1]]], ends) if min(ends) > 0 else 1.0


def merge_orders(orders):
    """One spectrum from overlapping échelle orders: inverse-variance mean on the orders' own pixels.

    f = sum(f_i / s_i^2) / sum(1 / s_i^2)

    In an overlap the pixels are those of the order on whose side of its middle they lie, so that nothing is
    interpolated but the other order there, by a cubic spline. Each order is first brought to the level of the one
    before it, by the ratio of the medians over the overlap and its slope.

    Arguments
    ---------
    orders : sequence of (wavelength, flux, uncertainty, good), arrays (n_pixels,) with increasing wavelengths, the
        blaze divided out; at least 10 good pixels in each

    Returns
    -------
    wavelength, flux, uncertainty : (n,), NaN where no order has a good pixel
    n_used : (n,) int, orders that took part
    """
    orders = sorted(orders, key=lambda order: order[0][0])
    ends = [(left[0][-1] + right[0][0]) / 2 for left, right in zip(orders, orders[1:], strict=False)]
    grid = []
    for (wave, *_), low, high in zip(orders, [-np.inf, *ends], [*ends, np.inf], strict=True):
        own = wave[(wave >= low) & (wave < high)]
        if grid and len(own) and len(grid[-1]):
            own = own[own > grid[-1][-1] + 0.5 * np.median(np.diff(wave))]
        grid.append(own)
    grid = np.concatenate(grid)
    fluxes, errors, before = [], [], np.full(len(grid), np.nan)
    for wave, flux, error, good in orders:
        use = (grid >= wave[0]) & (grid <= wave[-1]) & (np.interp(grid, wave, (~good).astype(float)) == 0)
        values = np.where(use, CubicSpline(wave[good], flux[good])(grid), np.nan)
        level = _level(grid, before, values)
        before = level * values
        fluxes.append(before)
        errors.append(level * np.interp(grid, wave[good], error[good]))
    return grid, *spectra.combine(grid, [grid] * len(orders), fluxes, errors)


def _merged(path, wavelengths, fluxes, uncertainties=None, continua=None, **facts):
    """A :class:`Spectrum` from images (n_orders, n_pixels): the orders near the window, merged."""
    orders = []
    for k, wavelength in enumerate(wavelengths):
        if not np.any((wavelength > RANGE[0]) & (wavelength < RANGE[1])):
            continue
        error = np.ones_like(fluxes[k]) if uncertainties is None else uncertainties[k]
        order = _flatten(wavelength, fluxes[k], error, None if continua is None else continua[k])
        if order[3].sum() >= 10:
            orders.append(order)
    if not orders:
        low, high = np.nanmin(wavelengths), np.nanmax(wavelengths)
        problem = (
            f"no order with good pixels between {RANGE[0]:.0f} and {RANGE[1]:.0f} A; covers {low:.0f}-{high:.0f} A"
        )
        raise DataError(problem, file=path, field="WAVE", remedy="give the red optical channel, wavelengths in A")
    wavelength, flux, uncertainty, _ = merge_orders(orders)
    uncertainty = uncertainty if uncertainties is not None else None
    return finish(path, wavelength, flux, uncertainty, ~np.isfinite(flux), **facts)


@one_line_errors
def read_carmenes(path):
    """One night's spectrum of CARMENES VIS: 61 orders x 4096 pixels, merged around the window.

    Image extensions SPEC, CONT, SIG and WAVE (vacuum A, observatory's frame); the primary header gives ``CARACAL BERV``
    [km/s] and ``CARACAL BJD`` (less 2,400,000). ``in_frame("barycentric")`` applies the correction. Source: Caballero
    et al. (2016); layout: CARMENES GTO data release 1 (Ribas et al. 2023).

    Errors
    ------
    DataError : an extension missing or of another shape, cut short, a keyword that is no number, no good pixels.
    """
    hdus = extensions(path)
    wavelength, flux, uncertainty = (_image(hdus, name, path, CARMENES_SHAPE) for name in ("WAVE", "SPEC", "SIG"))
    continuum = _image(hdus, "CONT", path, CARMENES_SHAPE) if "CONT" in hdus else None
    if 0 < np.nanmedian(wavelength) < 20:
        problem = "holds ln of A, not A"
        raise DataError(problem, file=path, field="WAVE", remedy="read it as a serval template (instrument serval)")
    meta = hdus[""].meta
    berv = number(meta, "CARACAL BERV", path=path, **BERV)
    return _merged(
        path,
        wavelength,
        flux,
        uncertainty,
        continuum,
        star=meta.get("OBJECT", ""),
        resolving_power=CARMENES_RESOLVING_POWER,
        instrument="CARMENES VIS",
        berv=berv,
        time=_bjd(meta, path),
        rv=number(meta, "CARACAL SERVAL RV", path=path, **RV),
        notes=() if np.isfinite(berv) else ("no barycentric velocity: CARACAL BERV not in the header",),
    )


def _bjd(meta, path):
    time = number(meta, "CARACAL BJD", low=0.0, high=2.6e6, path=path, unit="as a Julian date")
    return time + 2_400_000.0 if time < 2_400_000 else time


def _template(path, notes=()):
    """A template of images SPEC and WAVE, perhaps SIG, in the barycentric frame; WAVE in A or ln of A."""
    hdus = extensions(path)
    wavelength, flux = _image(hdus, "WAVE", path), _image(hdus, "SPEC", path)
    uncertainty = next((_image(hdus, name, path) for name in ("SIG", "ERR") if name in hdus), None)
    for name, image in (("SPEC", flux), ("SIG", uncertainty)):
        if image is not None and image.shape != wavelength.shape:
            problem = f"has shape {image.shape}, WAVE has {wavelength.shape}"
            raise DataError(problem, file=path, field=name, remedy=AGAIN)
    if np.any(wavelength > 0) and np.nanmedian(wavelength[wavelength > 0]) < 20:
        wavelength = np.where(wavelength > 0, np.exp(np.minimum(wavelength, 20)), np.nan)
    meta, notes = hdus[""].meta, list(notes)
    name = clean(meta.get("INSTRUME", "")).strip()
    power = CARMENES_RESOLVING_POWER if not name or "CARM" in name.upper() else np.nan
    if not name:
        notes.append("no instrument stated: taken as CARMENES VIS")
    return _merged(
        path,
        wavelength,
        flux,
        uncertainty,
        star=meta.get("OBJECT", ""),
        resolving_power=power,
        instrument="CARMENES VIS" if np.isfinite(power) else name,
        frame="barycentric",
        berv=number(meta, "SERVAL BERV", "CARACAL BERV", path=path, **BERV),
        time=_bjd(meta, path),
        rv=number(meta, "SERVAL TARG RV", "CARACAL SERVAL RV", path=path, **RV),
        notes=notes,
    )


@one_line_errors
def read_serval(path):
    """A template that serval co-added (Zechmeister et al. 2018): barycentric frame, vacuum, orders merged.

    Image extensions SPEC and WAVE, perhaps SIG, of orders x pixels; WAVE is ln of A (values below 20), or A. R is
    CARMENES' 94,600 if ``INSTRUME`` says so or is missing.

    Errors
    ------
    DataError : an extension missing or of another shape, cut short, a keyword that is no number, no good pixels.
    """
    return _template(path)


@one_line_errors
def read_nagel(path):
    """A telluric-corrected CARMENES template of Nagel et al. (2023, A&A 680, A73): barycentric frame, vacuum.

    The layout is an assumption, drawn from descriptions of the public library and not from its files: serval's
    extensions SPEC, SIG and WAVE (61 orders, ln of A). A binary table with columns of wavelength, flux and perhaps
    error is read as well.

    Errors
    ------
    DataError : as :func:`read_serval`, or as ``read_table`` for a table.
    """
    notes = ("telluric absorption corrected by Nagel et al. (2023)",)
    if "WAVE" in extensions(path):
        return _template(path, notes)
    facts = {"frame": "barycentric", "resolving_power": CARMENES_RESOLVING_POWER, "instrument": "CARMENES VIS"}
    return read_table(path, medium="vacuum", defaults=facts, notes=notes)


@one_line_errors
def read_phoenix_spectrum(path):
    """A PHOENIX-ACES synthetic spectrum (Husser et al. 2013) at rest, named by its labels: ``phoenix.read_phoenix``.

    Errors
    ------
    DataError : as ``read_phoenix``.
    """
    from .phoenix import read_phoenix

    data = content(path)
    # read_phoenix opens the file itself: it is to find nothing but what is checked here
    if not is_fits(data) or not as_file(fits_hdus(data, path)).startswith(path.read_bytes()):
        problem = "is gzipped, or goes on after its last extension"
        raise DataError(problem, file=path, remedy="unpack it or download it again")
    wavelength, flux, labels = read_phoenix(path)
    name = f"teff={labels['teff']:.0f} logg={labels['logg']:.2f} mh={labels['mh']:+.1f} alpha={labels['alpha']:+.1f}"
    facts = {"frame": "rest", "rv": 0.0, "instrument": "PHOENIX-ACES", "resolving_power": PHOENIX_RESOLVING_POWER}
    return finish(path, wavelength, flux, star=name, **facts)
