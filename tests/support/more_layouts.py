"""More imitations of public layouts, written from a spectrum that the test knows; see ``layouts`` for what a star is.

None of these is an instrument's own file: each follows what the reader's docstring names as its source.
"""

import numpy as np
from astropy.io import fits
from astropy.table import Table
from layouts import at, carmenes_orders

from dtl_core.spectra import operators

ORDERS, PIXELS = 51, 2304  # of TRES


def echelle(n_orders=ORDERS, n_pixels=PIXELS):
    """Wavelengths (n_orders, n_pixels), vacuum A; of the last orders two cover the window and overlap within it."""
    return carmenes_orders(n_pixels)[51 - n_orders : 51]


def blaze(n_pixels, depth=0.75):
    """What the grating leaves of the light, 1 in the middle of an order."""
    return 1 - depth * np.linspace(-1, 1, n_pixels) ** 2


def light(wavelength, star=None, velocity=0.0, depth=0.75):
    """Flux of orders, without a star's lines where the window is far: (n_orders, n_pixels)."""
    return at(wavelength.ravel(), star, velocity).reshape(wavelength.shape) * blaze(wavelength.shape[1], depth)


# ---------------------------------------------------------------- IRAF


def function(pixel, wavelength, kind):
    """The fields of an IRAF dispersion function of this kind for these wavelengths, and what it gives at the pixels."""
    low, high = 1.0, float(len(pixel))
    x = (2 * pixel - high - low) / (high - low)
    if kind in ("chebyshev", "legendre"):
        series = (np.polynomial.Chebyshev if kind == "chebyshev" else np.polynomial.Legendre).fit(
            x, wavelength, 4, [-1, 1]
        )
        return [1 if kind == "chebyshev" else 2, 5, low, high, *series.coef], series(x)
    if kind == "spline":
        from scipy.interpolate import BSpline, make_lsq_spline

        pieces = 8
        inner = np.linspace(low, high, pieces + 1)
        step = inner[1] - inner[0]
        knots = np.r_[inner[0] - step * np.arange(3, 0, -1), inner, inner[-1] + step * np.arange(1, 4)]
        c = make_lsq_spline(pixel, wavelength, knots, 3).c
        return [3, pieces, low, high, *(c / 6)], BSpline(knots, c, 3)(pixel)
    if kind == "linear spline":
        c = np.interp(np.linspace(low, high, 9), pixel, wavelength)
        return [4, 8, low, high, *c], np.interp(pixel, np.linspace(low, high, 9), c)
    if kind == "pixels":
        wavelength = np.round(wavelength, 4)  # all of a header's cards together hold 68,000 characters
        return [5, len(pixel), *wavelength], wavelength
    places = np.linspace(low, high, 40).round()
    c = np.interp(places, pixel, wavelength)
    return [6, 40, 0, *np.ravel(np.column_stack([places, c]))], np.interp(pixel, places, c)


def attribute(number, wavelength, kind="legendre", *, z=0.0, n=None, functions=1, weights=None):
    """IRAF's text for one aperture, and the wavelengths that it gives."""
    pixel = np.arange(1.0, len(wavelength) + 1)
    n = len(pixel) if n is None else n
    mean = (wavelength[-1] - wavelength[0]) / (len(pixel) - 1)
    if kind == "linear":
        head, fields, found = [0, wavelength[0], mean], [], wavelength[0] + mean * (pixel - 1)
    elif kind == "log":
        step = np.log10(wavelength[-1] / wavelength[0]) / (len(pixel) - 1)
        head, fields = [1, np.log10(wavelength[0]), step], []
        found = 10 ** (np.log10(wavelength[0]) + step * (pixel - 1))
    else:
        body, found = function(pixel, wavelength, kind)
        head, fields = [2, wavelength[0], mean], []
        for weight in weights or [1.0] * functions:
            fields += [weight, 0.0, *body]
    words = [number, 130 - number, *head, n, z, 10.0, 20.0, *fields]
    return " ".join(f"{int(word)}" if k < 3 else repr(float(word)) for k, word in enumerate(words)), found / (1 + z)


def cards(name, text):
    """IRAF's long text as cards of 68 characters, blanks at their ends included: bytes of a header."""
    parts = [text[k : k + 68] for k in range(0, len(text), 68)]
    return [f"{name}_{k:03d}= '{part}'".ljust(80)[:80] for k, part in enumerate(parts, 1)]


def write_multispec(
    path, *, star=None, velocity=0.0, kind="legendre", air=True, wavelength=None, depth=0.75, sigma=False,
    units="angstroms", cut=None, extra=(), flux=None, apids=(), **attributes
):  # fmt: skip
    """Apertures in IRAF's multispec format, by default TRES' 51 orders in air with their blaze.

    wavelength : (n_orders, n_pixels), vacuum A;  kind : of the dispersion function;  sigma : a cube of bands;  cut :
    characters of WAT2 that are kept;  extra : cards;  apids : names of the apertures
    """
    wavelength = echelle() if wavelength is None else wavelength
    n_orders, n_pixels = wavelength.shape
    stated, actual = [], []
    for k, row in enumerate(wavelength):
        text, found = attribute(k + 1, operators.vacuum_to_air(row) if air else row, kind, **attributes)
        stated.append(f'spec{k + 1} = "{text}"')
        actual.append(operators.air_to_vacuum(found) if air else found)
    flux = light(np.array(actual), star, velocity, depth) if flux is None else flux
    data = flux.astype(np.float32)
    text = " ".join(["wtype=multispec", *stated])[:cut]
    keys = [f"WCSDIM  = {3 if sigma else 2:20d}", "CTYPE1  = 'MULTISPE'", "CTYPE2  = 'MULTISPE'"]
    keys += ["CDELT1  =                   1.", "CD1_1   =                   1.", "LTM1_1  =                   1."]
    keys += ["WAT0_001= 'system=multispec'", f"WAT1_001= 'wtype=multispec label=Wavelength units={units}'"]
    keys += [f"APID{k + 1:<4d}= '{name}'" for k, name in enumerate(apids)]
    if sigma:
        data = np.array([data, data, np.full_like(data, 0.004)])
        keys += [f"BANDID{k}  = '{n}'" for k, n in enumerate(["spectrum - weights variance", "raw", "sigma - x"], 1)]
    axes = [f"NAXIS{k}  = {n:20d}" for k, n in enumerate(reversed(data.shape), 1)]
    head = ["SIMPLE  =                    T", "BITPIX  =                  -32", f"NAXIS   = {data.ndim:20d}", *axes]
    head += [*keys, "OBJECT  = 'GJ TEST '", *extra, *cards("WAT2", text), "END"]
    header = "".join(card.ljust(80) for card in head).encode("latin1")
    body = data.astype(">f4").tobytes()
    path.write_bytes(header + b" " * (-len(header) % 2880) + body + bytes(-len(body) % 2880))
    return path


TRES = (
    "INSTRUME= 'TRES    '",
    "P.I.    = 'Somebody'",
    "BLANK   =               -32768",
    "BCV     =                12.25",
)


# ---------------------------------------------------------------- CHIRON


def write_chiron(
    path, *, star=None, velocity=0.0, air=True, n_pixels=3200, third=None, depth=0.75, wavelength=None, **header
):
    """An array of orders x pixels x (wavelength, flux), in air, the blaze left in.

    third : a third plane, in place of one of uncertainties
    """
    wavelength = echelle(40, n_pixels) if wavelength is None else wavelength
    flux = 1e4 * light(wavelength, star, velocity, depth)
    planes = [operators.vacuum_to_air(wavelength) if air else wavelength, flux]
    planes += [np.full(flux.shape, 40.0) if isinstance(third, str) else third] if third is not None else []
    keys = {"OBJECT": "GJ TEST", "FPA": "CHIRON", "DECKER": "slicer"} | header
    data = np.stack(planes, axis=-1)
    fits.PrimaryHDU(data, header=fits.Header(keys)).writeto(path, overwrite=True)
    return path


# ---------------------------------------------------------------- NEID and the EPRV standard


def write_neid(path, *, star=None, velocity=0.0, berv=0.0, mode="HR", without=(), shape=(122, 9216), **header):
    """A file of NEID's level 2 (science fibre alone), of a star of this barycentric velocity [km/s]."""
    wavelength = np.zeros(shape)
    # échelle orders 173 - k: the one with the window is number 69 or 70
    order = 173 - np.arange(shape[0])
    x = np.linspace(-1, 1, shape[1])
    good = np.arange(3, min(119, shape[0]))
    wavelength[good] = (612_000 / order[good])[:, None] * (1 + 0.009 * x - 4e-5 * x**2)
    near = good[np.abs(612_000 / order[good] - 8815) < 200]
    flux, variance, shape_ = np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for k in near:
        shape_[k] = blaze(shape[1])
        flux[k] = 2e4 * shape_[k] * at(operators.doppler_shift(wavelength[k], berv), star, velocity)
        variance[k] = 2e4 * shape_[k]
    keys = {"OBJECT": "GJ TEST", "QOBJECT": "GJ_TEST", "INSTRUME": "NEID", "OBS-MODE": mode, "OBSJD": 2_459_862.5}
    keys |= {f"SSBRV{n:03d}": berv + 1e-5 * (n - 69) for n in order} | {f"SSBJD{n:03d}": 2_459_862.6 for n in order}
    keys = {key: value for key, value in (keys | header).items() if value is not None}
    images = {"SCIFLUX": flux, "SCIVAR": variance, "SCIWAVE": wavelength, "SCIBLAZE": shape_}
    hdus = [fits.PrimaryHDU(header=fits.Header(keys))]
    hdus += [fits.ImageHDU(values, name=name) for name, values in images.items() if name not in without]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def write_eprv(
    path,
    *,
    star=None,
    velocity=0.0,
    berv=0.0,
    traces=("SKY", "SCI"),
    without=(),
    per="file",
    bad=(),
    instrument="MAROON-X",
):
    """A file of the EPRV standard, level 2: the star in every trace that is called SCI or Target, a lamp elsewhere.

    per : "file", "order" or "pixel", for which the barycentric correction is given;  bad : pixels marked in QUALITY
    """
    wavelength = echelle(28, 4036)
    keys = {"OBJECT": "GJ TEST", "INSTRUME": instrument, "DATALVL": "L2", "NUMTRACE": len(traces), "OBSMODE": "HR"}
    keys |= {f"TRACE{k}": kind for k, kind in enumerate(traces, 1)}
    hdus = [fits.PrimaryHDU(header=fits.Header(keys)), fits.ImageHDU(name="INSTRUMENT_HEADER")]
    hdus += [fits.BinTableHDU(Table({"ECHELLE_ORDER": np.arange(28)}), name="ORDER_TABLE")]
    for k, kind in enumerate(traces, 1):
        flux = np.ones(wavelength.shape) * blaze(wavelength.shape[1])
        if kind.upper().startswith(("SCI", "TARG", "VIRT")):
            flux = light(operators.doppler_shift(wavelength, berv), star, velocity)
        quality = np.zeros(wavelength.shape, np.uint8)
        if len(bad):
            quality[:, bad] = 4
            flux = np.where(quality > 0, 3.0, flux)
        shape = np.tile(blaze(wavelength.shape[1]), (len(wavelength), 1))
        images = {"FLUX": 1e4 * flux, "WAVE": wavelength, "VAR": 1e4 * np.maximum(flux, 1e-3), "BLAZE": shape}
        images |= {"QUALITY": quality} if len(bad) else {}
        hdus += [fits.ImageHDU(v, name=f"TRACE{k}_{n}") for n, v in images.items() if f"TRACE{k}_{n}" not in without]
    shape = {"file": (1,), "order": (28,), "pixel": wavelength.shape}[per]
    correction = np.full(shape, berv)
    if per != "file":
        correction[:20] += 5.0  # of orders far from the window
    hdus += [fits.ImageHDU(correction, name="BARYCORR_KMS"), fits.ImageHDU(np.array([2_459_862.7]), name="BJD_TDB")]
    fits.HDUList([hdu for hdu in hdus if hdu.name not in without]).writeto(path, overwrite=True)
    return path


def write_eprv3(path, *, star=None, velocity=0.0, **arrays):
    """A file of the EPRV standard, level 3: one stitched spectrum, barycentric."""
    wavelength = np.exp(np.arange(np.log(8700), np.log(8950), 2e-6))
    values = {
        "WAVE": wavelength,
        "FLUX": at(wavelength, star, velocity),
        "VAR": np.full(len(wavelength), 1e-5),
    } | arrays
    hdus = [fits.PrimaryHDU(header=fits.Header({"OBJECT": "GJ TEST", "INSTRUME": "MAROON-X", "DATALVL": "L3"}))]
    hdus += [fits.ImageHDU(v, name=f"STITCHED_CORR_SCI_{n}") for n, v in values.items() if v is not None]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


# ---------------------------------------------------------------- Libre-ESpRIT


def _esprit(star, velocity, n_pixels=4600):
    """Orders one after the other: (wavelength in air [nm], flux, error)."""
    wavelength = echelle(8, n_pixels)
    flux = light(wavelength, star, velocity, 0.0)
    return operators.vacuum_to_air(wavelength).ravel() / 10, flux.ravel(), np.full(flux.size, 0.004)


def write_esprit(path, *, star=None, velocity=0.0, polar=True, head=True, rows=None, width=None):
    """Libre-ESpRIT's text, heliocentric and in air.

    polar : with V, N1 and N2;  rows, width : what the header says in place of the truth
    """
    wave, flux, error = _esprit(star, velocity)
    columns = [wave, flux, *([np.zeros(len(wave))] * 3 if polar else []), error]
    lines = ["***Reduced spectrum of 'GJ TEST '", f" {rows or len(wave)} {width or len(columns) - 1}"] if head else []
    body = [f"  {row[0]:10.6f} " + " ".join(f"{value:12.5e}" for value in row[1:]) for row in np.column_stack(columns)]
    path.write_text("\n".join([*lines, *body, ""]))
    return path


def write_upena(
    path, *, star=None, velocity=0.0, turned=False, names=("Wavelength", "Intensity", "ErrorBar"), **header
):
    """CFHT's FITS image of the same: rows for wavelength, intensity and error in four versions."""
    wave, flux, error = _esprit(star, velocity)
    values = {"Wavelength": wave, "Intensity": flux, "ErrorBar": error}
    zero = np.zeros(len(wave))
    first = [values.get(name, zero) for name in names]
    rows = np.array(first + [np.full(len(wave), 7.0)] * (3 * len(names)))
    keys = {f"COL{k + 1}": names[k % len(names)] for k in range(len(rows))}
    keys |= {"OBJECT": "GJ TEST", "INSTRUME": "ESPaDOnS", "INSTMODE": "Spectroscopy, star only, R=80,000"} | header
    fits.PrimaryHDU(rows.T if turned else rows, header=fits.Header(keys)).writeto(path, overwrite=True)
    return path


# ---------------------------------------------------------------- tables of orders, serval's older templates


def write_order_tables(path, *, star=None, velocity=0.0, unit="nm", one=False, reverse=False, depth=0.75):
    """Orders as one binary table each, or as rows of one table; wavelengths in nm, with the unit stated or not."""
    wavelength = echelle(12, 4000)[:: -1 if reverse else 1]
    flux = light(wavelength, star, velocity, depth)
    hdus = [fits.PrimaryHDU(header=fits.Header({"OBJECT": "GJ TEST", "SPECSYS": "BARYCENT", "AIRORVAC": "vac"}))]
    rows = [slice(None)] if one else range(len(wavelength))
    for n, row in enumerate(rows):
        kind = f"{wavelength.shape[1]}D" if one else "D"
        arrays = {"wave": wavelength[row] / 10, "flux": flux[row], "err": np.full(flux[row].shape, 0.004)}
        columns = [
            fits.Column(name, kind, array=array, unit=unit if name == "wave" else None)
            for name, array in arrays.items()
        ]
        hdus.append(fits.BinTableHDU.from_columns(columns, name=f"ORDER_{n + 1}"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def write_old_serval(path, *, star=None, velocity=0.0, ln=True, **header):
    """A template in serval's older layout: FLUX and WAVE, each order filled up with zeros to the longest."""
    wavelength = np.log(echelle(6, 3000)) if ln else echelle(6, 3000)
    flux = at(echelle(6, 3000).ravel(), star, velocity).reshape(wavelength.shape)
    for k in range(len(wavelength)):
        wavelength[k, 2900 - 60 * k :] = flux[k, 2900 - 60 * k :] = 0.0
    keys = {"OBJECT": "J00000+000", "INSTRUME": "CARMENES", "HIERARCH SERVAL TARG RV": velocity} | header
    hdus = [fits.PrimaryHDU(header=fits.Header(keys)), fits.ImageHDU(flux, name="FLUX")]
    fits.HDUList([*hdus, fits.ImageHDU(wavelength, name="WAVE")]).writeto(path, overwrite=True)
    return path
