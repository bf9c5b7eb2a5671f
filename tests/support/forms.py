"""One spectrum in the many forms that files have, and bad pixels in the many ways that files mark them.

``write(folder, star, form)`` writes a star, (wavelength [vacuum A, barycentric], flux, uncertainty), as the dict
``form`` says; its keys and their values are those of :data:`FORMS`.
"""

import gzip

import numpy as np
from astropy.io import fits

from dtl_core.spectra import operators

BERV = 12.3  # km/s
FORMS = {
    "container": ["csv", "semicolon", "tab", "blank", "comment", "bare", "ecsv", "fits", "row", "ragged", "image",
                  "log image", "orders", "extensions"],
    "unit": ["A", "nm", "um", "log10", "ln", "wavenumber"],
    "stated": [True, False],  # whether the unit is
    "medium": ["vacuum", "air", "name", "sentence", "negated"],
    "frame": ["barycentric", "helio", "observatory"],
    "error": ["err", "ivar", "variance", None],
    "names": ["wavelength flux {}", "WAVE FLUX {}", "Lambda Spec {}", "wl intensity {}", "loglam flux_star {}"],
    "others": [(), ("sky_flux",), ("continuum", "snr"), ("flux_template",)],
    "decreasing": [False, True],
    "padding": [None, "zero", "nan", "long"],
    "packed": [False, True],
    "mark": [False, True],  # a byte-order mark
}  # fmt: skip
TABLES = ("csv", "semicolon", "tab", "blank", "comment", "ecsv", "fits", "row", "ragged", "orders", "extensions")
KEYWORDS = {"OBJECT": "X", "R": 94600.0}


def bad_ways():
    """How bad pixels are marked: name -> (what a file holds of flux, uncertainty and more)."""

    def column(name, values):
        return lambda flux, error, bad: {"flux": flux, "err": error, name: values(bad)}

    def of_error(value):
        return lambda flux, error, bad: {"flux": flux, "err": np.where(bad, value, error)}

    def of_flux(value):
        return lambda flux, error, bad: {"flux": np.where(bad, value, flux), "err": error}

    def inverse(value):
        return lambda flux, error, bad: {"flux": flux, "ivar": np.where(bad, value, error**-2.0)}

    ways = {
        "mask": column("mask", lambda bad: bad.astype(int)),
        "flags": column("quality", lambda bad: np.where(bad, 4, 0)),
        "words": column("flag", lambda bad: np.where(bad, "T", "F")),
        "good": column("good", lambda bad: (~bad).astype(int)),
        "pypeit": column("OPT_MASK", lambda bad: (~bad).astype(int)),
    }
    ways |= {f"error {value}": of_error(value) for value in (0.0, -1.0, np.inf, np.nan, 1e20)}
    ways |= {f"flux {value}": of_flux(value) for value in (0.0, np.nan, -9999.0, 1e20)}
    ways |= {f"ivar {value}": inverse(value) for value in (0.0, -1.0, np.nan)}
    ways |= {
        "variance inf": lambda flux, error, bad: {"flux": flux, "variance": np.where(bad, np.inf, error**2)},
        "variance 0": lambda flux, error, bad: {"flux": flux, "variance": np.where(bad, 0.0, error**2)},
    }
    return ways


def text(path, columns, delimiter, head=(), names=True, comment=""):
    """A text file of these columns under lines of comment."""
    rows = [
        delimiter.join(f"{v:.8g}" if not isinstance(v, str) else v for v in row)
        for row in zip(*columns.values(), strict=True)
    ]
    line = [comment + delimiter.join(columns)] if names else []
    path.write_text("\n".join([*(f"# {text}" for text in head), *line, *rows]) + "\n", encoding="utf-8")
    return path


def tables(path, *parts, units=(), nulls=(), **header):
    """FITS tables, one for each dict of columns, with keywords in the primary header."""
    primary = fits.PrimaryHDU()
    primary.header.update(header)
    hdus = []
    for part in parts:
        columns = []
        for name, values in part.items():
            values = np.asarray(values)
            kind = {"f": "D", "i": "J", "b": "L", "U": "8A", "O": "PD()"}[values.dtype.kind]
            kind = f"{values.shape[1]}{kind}" if values.ndim == 2 else kind
            null = dict(nulls).get(name)
            columns.append(fits.Column(name, kind, array=values, unit=dict(units).get(name), null=null))
        hdus.append(fits.BinTableHDU.from_columns(columns))
    fits.HDUList([primary, *hdus]).writeto(path, overwrite=True)
    return path


def images(path, flux, axis, **others):
    """A FITS image with a linear axis (CRVAL1, CDELT1) and further images of its shape by name."""
    hdu = fits.PrimaryHDU(flux)
    hdu.header.update(axis)
    hdus = [hdu, *(fits.ImageHDU(np.asarray(values), name=name) for name, values in others.items())]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def _in_unit(wave, unit):
    return {"A": wave, "nm": wave / 10, "um": wave / 1e4, "log10": np.log10(wave), "ln": np.log(wave),
            "wavenumber": 1e8 / wave}[unit]  # fmt: skip


def write(folder, star, form):
    """The path of a file that holds the star in this form."""
    wave, flux, error = star
    container = form["container"]
    if container == "bare" and form["unit"] == "wavenumber":  # which nothing would tell from A
        form = form | {"unit": "A"}
    if container in ("image", "log image"):
        return _write_image(folder, star, form)
    if form["padding"]:  # 1 A at the blue end
        lost = wave < wave[0] + 1
        if form["padding"] == "long":
            extra = np.arange(wave[0] - 20, wave[0] - 0.02, 0.02)
            wave = np.r_[extra, wave]
            flux, error = np.r_[np.full(len(extra), np.nan), flux], np.r_[np.full(len(extra), np.nan), error]
        else:
            flux = np.where(lost, {"zero": 0.0, "nan": np.nan}[form["padding"]], flux)
    keys, words = dict(KEYWORDS), []
    if form["frame"] == "observatory":
        wave, keys = operators.doppler_shift(wave, -BERV), keys | {"BERV": BERV, "SPECSYS": "TOPOCENT"}
    else:
        keys["SPECSYS"] = {"barycentric": "BARYCENT", "helio": "HELIOCEN"}[form["frame"]]
    medium = "vacuum" if form["unit"] == "wavenumber" else form["medium"]
    name, flux_name, error_name = form["names"].format(form["error"]).split()
    if medium == "vacuum":
        keys["AIRORVAC"] = "vac"
    else:
        wave = operators.vacuum_to_air(wave)
        if medium == "air":
            keys["AIRORVAC"] = "air"
        elif medium == "name" and container in TABLES:
            name += "_air"
        elif medium == "negated":
            words = ["The wavelengths were not converted from air to vacuum."]
        else:
            words = ["Air wavelengths."]
    unit = {"A": "Angstrom", "nm": "nm", "um": "um", "wavenumber": "cm-1"}.get(form["unit"])
    if form["unit"] == "wavenumber" and not form["stated"]:
        name, unit = "wavenumber", None
    elif not form["stated"]:
        unit = None
    values = _in_unit(wave, form["unit"])
    columns = {name: values, flux_name: flux}
    kinds = {"err": error, "ivar": error**-2.0, "variance": error**2, None: None}
    if form["error"]:
        columns[error_name] = kinds[form["error"]]
    if container in TABLES:
        columns |= {other: np.full(len(wave), np.nanmedian(flux)) for other in form["others"]}
    if form["decreasing"]:
        columns = {key: value[::-1] for key, value in columns.items()}
    head = [f"{key}: {value}" for key, value in keys.items()] + words
    history = {"HISTORY": words[0]} if words else {}
    delimiter = {"csv": ",", "semicolon": ";", "tab": "\t"}.get(container, " ")
    path = folder / f"star.{'fits' if container in ('fits', 'row', 'ragged', 'orders', 'extensions') else 'dat'}"
    if path.suffix == ".fits":
        path = _write_tables(path, container, columns, {name: unit} if unit else {}, keys | history)
    else:
        if unit and container != "bare":
            old, name = name, f"{name} ({unit})"
            columns = {name if key == old else key: value for key, value in columns.items()}
        if container == "comment":
            text(path, columns, delimiter, head, comment="# ")
        else:
            text(path, columns, delimiter, head, names=container != "bare")
        if form["mark"]:
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    if form["packed"]:
        packed = path.with_name(path.name + ".gz")
        packed.write_bytes(gzip.compress(path.read_bytes(), 1))
        return packed
    return path


def _write_tables(path, container, columns, units, keys):
    if container == "fits":
        return tables(path, columns, units=units, **keys)
    if container == "row":
        return tables(path, {key: value[None] for key, value in columns.items()}, units=units, **keys)
    if container == "ragged":
        ragged = {}
        for key, value in columns.items():
            cell = np.empty(1, object)
            cell[0] = value
            ragged[key] = cell
        return tables(path, ragged, units=units, **keys)
    n = len(next(iter(columns.values())))
    first, second = slice(0, int(0.6 * n)), slice(n - int(0.6 * n), n)
    if container == "orders":
        rows = {key: np.stack([value[first], value[second]]) for key, value in columns.items()}
        return tables(path, rows, units=units, **keys)
    parts = [{key: value[part] for key, value in columns.items()} for part in (first, second)]
    return tables(path, *parts, units=units, **keys)


def _write_image(folder, star, form):
    """A linear or logarithmic axis, in vacuum and the barycentric frame; the spectrum is interpolated onto it."""
    wave, flux, error = star
    n = len(wave)
    keys = KEYWORDS | {"SPECSYS": "BARYCENT", "CRPIX1": 1.0, "CTYPE1": "WAVE"}
    if form["container"] == "image":
        factor, unit = {"nm": (0.1, "nm"), "um": (1e-4, "um")}.get(form["unit"], (1.0, "Angstrom"))
        grid = np.linspace(wave[0], wave[-1], n)
        keys |= {"CRVAL1": grid[0] * factor, "CDELT1": (grid[1] - grid[0]) * factor, "CUNIT1": unit}
    else:
        grid = np.geomspace(wave[0], wave[-1], n)
        step = np.log10(grid[1] / grid[0])
        keys |= {"CRVAL1": np.log10(grid[0]), "CD1_1": step, "CDELT1": 1.002 * step, "DC-FLAG": 1, "CTYPE1": "LINEAR"}
        keys["AIRORVAC"] = "vac"
    flux, error = np.interp(grid, wave, flux), np.interp(grid, wave, error)
    others = {"err": {"ERR": error}, "ivar": {"IVAR": error**-2.0}, "variance": {"VAR": error**2}, None: {}}
    return images(folder / "star.fits", flux, keys, **others[form["error"]])
