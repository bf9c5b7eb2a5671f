"""Imitations: files in the instruments' documented layouts, written from a spectrum that the test knows.

None of these is an instrument's own file. A star is a pair (wavelength at rest [vacuum A], flux, continuum = 1);
outside its range the flux is 1. Every writer returns the path of the file.
"""

import functools

import numpy as np
from astropy.io import fits
from astropy.table import Table

from dtl_core.spectra import operators

FLAT = "alphabright_fcu_sept18_deblazed.fits"
SKY_MASK, TELLURIC_MASK = "HPF_SkyEmissionLineWavlMask.txt", "telfit_telmask_test.dat"
PHOENIX_WAVE = "WAVE_PHOENIX-ACES-AGSS-COND-2011.fits"


@functools.cache
def simple_star(resolving_power=94_600.0, seed=0):
    """Three hundred Gaussian lines between 8700 and 8950 A: wavelength (n,), flux (n,)."""
    rng = np.random.default_rng(seed)
    wavelength = np.arange(8700.0, 8950.0, 0.01)
    sigma = 8800 / resolving_power / 2.355 * rng.uniform(1.0, 2.0, 300)
    depth = np.zeros(len(wavelength))
    for centre, width, strength in zip(rng.uniform(8702, 8948, 300), sigma, rng.uniform(0.05, 0.5, 300), strict=True):
        near = slice(*np.searchsorted(wavelength, [centre - 8 * width, centre + 8 * width]))
        depth[near] += strength * np.exp(-0.5 * ((wavelength[near] - centre) / width) ** 2)
    return wavelength, np.exp(-depth)


def at(wavelength, star=None, velocity=0.0):
    """Flux of the star, moving at ``velocity`` km/s, at these wavelengths."""
    rest, flux = star or simple_star()
    return np.interp(operators.doppler_shift(wavelength, -velocity), rest, flux, left=1.0, right=1.0)


def _images(path, primary, **images):
    hdus = [fits.PrimaryHDU(header=fits.Header(primary)), *(fits.ImageHDU(a, name=n) for n, a in images.items())]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


# ---------------------------------------------------------------- CARMENES


def carmenes_orders(n_pixels=4096):
    """Wavelengths (61, n_pixels), vacuum A, of orders 118 to 58; two of them overlap at 8799.6-8812.9 A."""
    x = np.linspace(-1, 1, n_pixels)
    centre = 612_000 / np.arange(118, 57, -1)
    return centre[:, None] * (1 + 0.00793 * x - 4e-5 * x**2)


def _physical(wavelength):
    """Numbers of the orders that reach the surroundings of the window."""
    return np.flatnonzero((wavelength[:, 0] < 8880) & (wavelength[:, -1] > 8760))


def write_carmenes(
    path, *, star=None, velocity=0.0, berv=0.0, snr=150.0, seed=0, blaze=True, cont="blaze", steps=(), **header
):
    """One night in CARMENES VIS' layout, of a star of this barycentric velocity [km/s].

    cont : "blaze", "ones" or None (no such extension);  steps : the orders' levels, 1 if not given;  snr : a pixel in
    the middle of an order, 0 for no noise
    """
    wavelength = carmenes_orders()
    flux, error, level = (np.zeros(wavelength.shape, np.float32) for _ in range(3))
    shape = 1 - (0.75 if blaze else 0.0) * np.linspace(-1, 1, wavelength.shape[1]) ** 2
    rng = np.random.default_rng(seed)
    for n, k in enumerate(_physical(wavelength)):
        clean = 0.1 * shape * at(operators.doppler_shift(wavelength[k], berv), star, velocity)
        clean *= steps[n] if n < len(steps) else 1.0
        error[k] = 0.1 * np.sqrt(shape) / (snr or 150.0)
        flux[k] = clean + (rng.normal(0, error[k]) if snr else 0.0)
        level[k] = 0.1 * shape
    primary = {"OBJECT": "J00000+000", "RA": 269.45, "DEC": 4.69, "INSTRUME": "CARMENES"}
    primary |= {"HIERARCH CARACAL BERV": berv, "HIERARCH CARACAL BJD": 57_400.5}
    primary |= {f"HIERARCH CARACAL FOX SNR {k}": snr for k in range(61)} | header
    extra = {} if cont is None else {"CONT": level if cont == "blaze" else np.ones_like(level)}
    primary = {key: value for key, value in primary.items() if value is not None}
    return _images(path, primary, SPEC=flux, **extra, SIG=error, WAVE=wavelength)


def write_serval(path, *, star=None, velocity=0.0, snr=300.0, seed=0, ln=True, sig=True, all_orders=False, **header):
    """A template in serval's layout: orders on a grid uniform in ln(lambda), barycentric frame.

    all_orders : 61 of them, empty but for those near the window, instead of these alone
    """
    native = carmenes_orders(200)
    near = _physical(native)
    chosen = np.arange(61) if all_orders else near
    wavelength = np.array([np.exp(np.linspace(*np.log(native[k, [5, -5]]), 3699)) for k in chosen])
    flux = at(wavelength.ravel(), star, velocity).reshape(wavelength.shape)
    flux[~np.isin(chosen, near)] = np.nan
    error = np.where(np.isfinite(flux), 1 / (snr or 300.0), np.nan)
    if snr:
        flux = flux + np.random.default_rng(seed).normal(0, 1 / snr, flux.shape)
    primary = {"OBJECT": "J00000+000", "INSTRUME": "CARMENES", "HIERARCH SERVAL COADD NUM": 12}
    primary |= {"HIERARCH CARACAL BERV": -3.2, "HIERARCH SERVAL TARG RV": velocity} | header
    primary = {key: value for key, value in primary.items() if value is not None}
    extra = {"SIG": error} if sig else {}
    return _images(path, primary, SPEC=flux, **extra, WAVE=np.log(wavelength) if ln else wavelength)


def write_nagel(path, *, star=None, velocity=0.0, table=False, **kwargs):
    """A telluric-corrected template, in serval's layout or as a table of wavelength, flux and error."""
    if not table:
        files = {"HIERARCH COADD FILE 001": "car-20160105T22h07m28s-sci-gtoc-vis_A-tac.fits"}
        return write_serval(path, star=star, velocity=velocity, **files, **kwargs)
    wavelength = np.arange(8750, 8890, 0.02)
    columns = {"WAVELENGTH": wavelength, "FLUX": at(wavelength, star, velocity), "ERROR": np.full(7000, 0.005)}
    return write_table(path, columns, meta={"OBJECT": "J00000+000"})


# ---------------------------------------------------------------- HPF


def write_hpf(
    folder, *, star=None, velocity=0.0, wiggle=0.0, name="Slope-20200101T000000_R01.optimal.fits", beside=True, **header
):
    """An exposure in HPF's layout, of 28 orders x 2048 pixels; ``beside`` it a flat and two masks.

    velocity : as observed, without any barycentric correction;  wiggle : noise, of the flux
    """
    names = [f"{fibre} {what}" for what in ("Flux", "Variance", "Wavl") for fibre in ("Sci", "Sky", "Cal")]
    arrays = {key: np.zeros((28, 2048), np.float64 if "Wavl" in key else np.float32) for key in names}
    wavelength = np.linspace(8781.6, 8895.1, 2048)
    blaze = 1.0 - 0.7 * np.linspace(-1, 1, 2048) ** 2
    flux = 5e3 * at(wavelength, star or simple_star(53_000.0), velocity)
    flux *= 1 + wiggle * np.random.default_rng(0).standard_normal(2048)
    sky = np.full(2048, 30.0)
    sky[np.abs(wavelength - 8812.0) < 0.4] = 4e3  # a strong sky line, badly subtracted
    damage = np.where(sky > 100, 5e3, 0.0)
    arrays["Sci Flux"][6], arrays["Sky Flux"][6] = (flux + damage) * blaze + sky, sky
    arrays["Sci Variance"][6] = (5e3 / 250) ** 2 * blaze
    for key in names[-3:]:
        arrays[key][:] = wavelength
    primary = {"OBJECT": "GJ_TEST", "QRA": "17:57:48.49", "QDEC": "+04:41:36.20", "JD_FW6": 2_458_394.575} | header
    _images(folder / name, {key: value for key, value in primary.items() if value is not None}, **arrays)
    if beside:
        flat = np.tile(blaze, (28, 1)).astype(np.float32)
        _images(folder / FLAT, {}, **dict.fromkeys(names[:1], flat))
        np.savetxt(folder / SKY_MASK, [(8781, 0), (8811.5, 0), (8811.6, 1), (8812.4, 1), (8812.5, 0), (8896, 0)])
        # not sorted, as in the real file's joints
        np.savetxt(folder / TELLURIC_MASK, [(8896, 0), (8781, 0), (8819.9, 0), (8820, 1), (8823, 1), (8823.1, 0)])
    return folder / name


# ---------------------------------------------------------------- PHOENIX, tables, images


def write_phoenix(folder, *, star=None, teff=3500, logg=5.0, mh=0.0, alpha=0.0):
    """A high-resolution spectrum in the PHOENIX-ACES layout, and the file of wavelengths; 8700-8950 A of them alone."""
    wavelength = np.arange(8700.0, 8950.0, 0.0176)
    header = {"PHXTEFF": teff, "PHXLOGG": logg, "PHXM_H": mh, "PHXALPHA": alpha}
    path = folder / f"lte{teff:05d}-{logg:.2f}-{abs(mh):.1f}.PHOENIX-ACES-AGSS-COND-2011-HiRes.fits"
    flux = (1e14 * at(wavelength, star)).astype(np.float32)
    fits.PrimaryHDU(flux, header=fits.Header(header)).writeto(path, overwrite=True)
    fits.PrimaryHDU(wavelength).writeto(folder / PHOENIX_WAVE, overwrite=True)
    return path


def columns(*, star=None, velocity=0.0, start=8785.0, stop=8850.0, step=0.03, factor=1.0, **extra):
    """Columns wavelength and flux of a table, the wavelength divided by ``factor``."""
    wavelength = np.arange(start, stop, step)
    return {"wavelength": wavelength / factor, "flux": at(wavelength, star, velocity)} | extra


def write_table(path, table=None, *, unit=None, meta=None):
    """A table as FITS, ECSV, CSV or text by the suffix; the first column gets the unit."""
    table = Table(columns() if table is None else table)
    table.meta |= meta or {}
    if unit:
        table.columns[0].unit = unit
    kinds = {".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".fits": "fits", ".txt": "ascii.no_header"}
    table.write(path, format=kinds[path.suffix] if path.suffix in kinds else "ascii.commented_header", overwrite=True)
    return path


def write_image(path, *, star=None, kind="linear", ctype=None, unit=None, error=True, **header):
    """A one-dimensional image: ``kind`` linear, log10 (DC-FLAG) or log (of the FITS standard)."""
    n, start, stop = 4000, 8780.0, 8860.0
    i = np.arange(n)
    if kind == "linear":
        wavelength, step = start + (stop - start) / n * i, (stop - start) / n
        keys = {"CRVAL1": start, "CDELT1": step}
    elif kind == "log10":
        step = np.log10(stop / start) / n
        wavelength, keys = start * 10 ** (step * i), {"CRVAL1": np.log10(start), "CD1_1": step, "DC-FLAG": 1}
    else:
        step = start * np.log(stop / start) / n
        wavelength, keys = start * np.exp(step * i / start), {"CRVAL1": start, "CDELT1": step}
    keys |= {"CRPIX1": 1.0, "OBJECT": "GJ TEST"}
    keys |= ({"CTYPE1": ctype} if ctype else {}) | ({"CUNIT1": unit} if unit else {}) | header
    hdus = [fits.PrimaryHDU(at(wavelength, star), header=fits.Header(keys))]
    hdus += [fits.ImageHDU(np.full(n, 0.01), name="ERR")] if error else []
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path
