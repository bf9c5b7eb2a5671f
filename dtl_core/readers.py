"""Spectra of any layout into one type: by instrument, by table or image, by specutils; one file or a folder of them.

    star = read("my_star.fits")
    stars, failures = read_many(["spectra/"])

``read`` tells the layout from what is in a file. All the readers give a :class:`Spectrum` in vacuum or a one-line
:class:`~dtl_core.errors.DataError`.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from .errors import ConfigError, DataError, DTLError
from .formats import AGAIN, as_file, clean, content, fits_columns, fits_hdus, is_fits, one_line_errors
from .instruments import (
    CARMENES_SHAPE,
    HPF_RESOLVING_POWER,
    read_carmenes,
    read_hpf,
    read_nagel,
    read_phoenix_spectrum,
    read_serval,
)
from .spectrum import Spectrum, finish, medium
from .store import file_hash
from .tables import WAVELENGTH_AXES, facts, find_columns, read_image, read_table, to_vacuum

__all__ = [
    "Spectrum",
    "HPF_RESOLVING_POWER",
    "companions",
    "instruments",
    "list_files",
    "medium",
    "read",
    "read_carmenes",
    "read_hpf",
    "read_image",
    "read_many",
    "read_nagel",
    "read_phoenix_spectrum",
    "read_serval",
    "read_specutils",
    "read_table",
    "register",
    "sniff",
    "to_specutils",
]

SUFFIXES = (".fits", ".fit", ".fits.gz", ".ecsv", ".csv", ".txt", ".dat")
MAX_HEADER, MAX_HDUS = 300_000, 60  # bytes and extensions: specutils opens a file some thirty times
BESIDE = ("deblazed", "mask", "wave_phoenix")  # in the names of files that lie beside spectra and are none


@one_line_errors
def read_specutils(path, *, medium=None):
    """A spectrum through ``specutils.Spectrum.read``: whatever that package recognises.

    Errors
    ------
    DataError : specutils is not installed or does not know the file; more than one spectrum; as ``read_table``.
    """
    try:
        import specutils
    except ImportError:
        problem, remedy = "is in no layout known here, and specutils is not installed", "pip install specutils"
        raise DataError(problem, file=path, remedy=remedy) from None
    from astropy import units
    from astropy.io.registry import IORegistryError
    from astropy.nddata import StdDevUncertainty

    data = content(path)
    header = {}
    if is_fits(data):
        hdus = fits_hdus(data, path)
        if sum(hdu.start for hdu in hdus) > MAX_HEADER or len(hdus) > MAX_HDUS:
            problem = "is in no layout known here and too long for specutils"
            raise DataError(problem, file=path, remedy="cut one spectrum out of it")
        if any(hdu.meta.get("ZIMAGE") for hdu in hdus):
            raise DataError("is a compressed image", file=path, remedy="unpack it with funpack")
        header = {key: value for hdu in hdus[:2] for key, value in hdu.meta.items()}
        data = as_file(hdus)
    with tempfile.TemporaryDirectory() as folder:
        # only what was checked: on what follows, or in gzip, astropy may search for ever
        copy = Path(folder) / path.name.removesuffix(".gz")
        copy.write_bytes(data)
        try:
            found = specutils.Spectrum.read(copy)
        except DTLError as error:  # of a reader that register() made known
            raise error.at(path) from None
        except IORegistryError:
            remedy = f"give {', '.join(GENERIC[:2])} or {', '.join(list(READERS)[:5])}"
            raise DataError("is in no layout known here or to specutils", file=path, remedy=remedy) from None
    wavelength = found.spectral_axis.to_value(units.AA, units.spectral())
    flux = np.squeeze(found.flux.value)
    error = found.uncertainty
    if error is not None:
        error = np.squeeze(error.represent_as(StdDevUncertainty).array)
    mask = None if found.mask is None else np.squeeze(np.asarray(found.mask, bool))
    if flux.ndim != 1:
        raise DataError(f"holds spectra of shape {flux.shape}", file=path, remedy="give one spectrum")
    wavelength, notes = to_vacuum(wavelength, medium, _stated(header))
    return finish(path, wavelength, flux, error, mask, notes=["read by specutils", *notes], **facts(header, path))


def _stated(header):
    return medium(header, [header.get(key, "") for key in ("CTYPE1", "TTYPE1", "TUCD1")])


READERS = {
    "HPF": read_hpf,
    "CARMENES": read_carmenes,
    "serval": read_serval,
    "Nagel": read_nagel,
    "PHOENIX": read_phoenix_spectrum,
    "table": read_table,
    "image": read_image,
    "specutils": read_specutils,
}
GENERIC = ("table", "image", "specutils")  # their files may be in air


def instruments():
    """Names of the layouts that ``read(instrument=...)`` knows."""
    return tuple(READERS)


@one_line_errors
def sniff(path):
    """The layout of a file, one of :func:`instruments`, from its content."""
    data = content(path)
    if not is_fits(data):
        if path.name.lower().removesuffix(".gz").endswith((".fits", ".fit")):
            raise DataError("is not a FITS file", file=path, remedy=AGAIN)
        return "table"
    hdus = fits_hdus(data, path)
    primary, names = hdus[0].meta, {hdu.name: hdu for hdu in hdus}
    if "SCI FLUX" in names:
        return "HPF"
    if "PHXTEFF" in primary:
        return "PHOENIX"
    if {"SPEC", "WAVE"} <= set(names) and names["WAVE"].kind == "IMAGE":
        coadded = "SERVAL COADD NUM" in primary or 0 < np.nanmedian(names["WAVE"].image()) < 20
        if not coadded and ("CONT" in names or names["WAVE"].shape == CARMENES_SHAPE):
            return "CARMENES"
        corrected = any("-tac" in str(value) or "Nagel" in str(value) for value in primary.values())
        return "Nagel" if corrected else "serval"
    if any(key.startswith("CARACAL") for key in primary):
        return "CARMENES"
    for hdu in hdus:
        if hdu.kind in ("BINTABLE", "TABLE") and {"wavelength", "flux"} <= set(find_columns(fits_columns(hdu).names)):
            return "table"
    images = [hdu for hdu in hdus if hdu.kind == "IMAGE" and hdu.shape]
    if images and ("CRVAL1" in primary | images[0].meta):
        line = len(images[0].shape) == 1 or images[0].shape[0] == 1 or len(images[0].shape) == 3
        axis = str((primary | images[0].meta).get("CTYPE1", "")).upper()
        if line and (not axis or axis.startswith(WAVELENGTH_AXES)):
            return "image"
    return "specutils"


def read(path, *, instrument=None, medium=None, star=None, resolving_power=None):
    """One spectrum, whatever its layout.

    Arguments
    ---------
    path : of a file: FITS, ECSV, CSV, text, or any of them gzipped
    instrument : a layout, see :func:`instruments`, to spare or overrule its recognition
    medium : "air" or "vacuum", for layouts that leave it open (tables, images, specutils)
    star, resolving_power : in place of what the file says

    Returns
    -------
    Spectrum, in vacuum, in the frame that ``frame`` names

    Errors
    ------
    DataError : the file is damaged, in no known layout, or does not hold what is needed.
    ConfigError : an unknown instrument.
    """
    if instrument is not None and instrument.lower() not in {name.lower() for name in READERS}:
        known = ", ".join(READERS)
        raise ConfigError(f"unknown instrument {clean(instrument, 30)!r}", field="instrument", remedy=f"give {known}")
    layout = instrument or sniff(path)
    name = next(name for name in READERS if name.lower() == layout.lower())
    spectrum = READERS[name](path, medium=medium) if name in GENERIC else READERS[name](path)
    if resolving_power is not None and not 100 <= resolving_power <= 1e7:
        raise ConfigError(f"{resolving_power!r} is no resolving power", field="resolving_power", remedy="give 94600")
    changes = {"star": star, "resolving_power": resolving_power}
    return dataclasses.replace(spectrum, **{key: value for key, value in changes.items() if value is not None})


# ---------------------------------------------------------------- many files


def list_files(paths):
    """The files meant by one path or many: of a folder those that may be spectra.

    Those end in .fits, .fit, .fits.gz, .ecsv, .csv, .txt or .dat and do not only lie beside spectra, as HPF's flats and
    masks and PHOENIX' wavelengths do. Subfolders are not searched.

    Returns: list of Path.
    """
    out = []
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        out += [file for file in inside if file == path or _may_be_spectrum(file.name.lower())]
    return out


def _may_be_spectrum(name):
    return name.endswith(SUFFIXES) and not name.startswith(".") and not any(part in name for part in BESIDE)


def companions(path):
    """The files beside an exposure that its reader uses too: HPF's flats and masks. Sorted; empty for other files."""
    path = Path(path)
    if not path.name.startswith("Slope-"):
        return []
    return sorted(file for file in path.parent.iterdir() if any(part in file.name.lower() for part in BESIDE))


def _attempt(file, options):
    """The spectrum of a file, or the error, and the hash of its content."""
    try:
        spectrum = read(file, **options)
        return spectrum, file_hash(file)
    except ConfigError:
        raise
    except DTLError as error:
        return error, None


def _attempts(files, options, workers):
    if workers <= 1:
        yield from (_attempt(file, options) for file in files)
        return
    with concurrent.futures.ProcessPoolExecutor(workers) as pool:
        try:
            yield from pool.map(_attempt, files, [options] * len(files), chunksize=8)
        except concurrent.futures.process.BrokenProcessPool:
            raise DataError("a worker process ended early", remedy="read with workers=1") from None


def read_many(paths, *, strict=False, progress=None, workers=1, **options):
    """All spectra of files and folders; the broken files are listed, and the others go on.

    Arguments
    ---------
    paths : one path or many, files or folders; see :func:`list_files`
    strict : raise the first error
    progress : callable, optional, called with 1 after each file
    workers : processes that read side by side
    options : instrument, medium, resolving_power as in :func:`read`

    Returns
    -------
    spectra : list of Spectrum in the order of the files; the second of a star says so in its ``notes``
    failures : DataFrame with columns file, error; a file with the content of an earlier one is among them

    Errors
    ------
    DataError : no file at all, or ``strict`` and one is broken.
    """
    files = list_files(paths)
    if not files:
        where = ", ".join(map(str, [paths] if isinstance(paths, str | Path) else paths))
        raise DataError("no spectra", file=clean(where), remedy=f"give files ending in {', '.join(SUFFIXES)}")
    found, failures, seen, stars = [], [], {}, {}
    for file, (result, digest) in zip(files, _attempts(files, options, workers), strict=True):
        if digest in seen:
            remedy = "leave one of them out"
            result = DataError(f"same content as {seen[digest]}", file=file, remedy=remedy)
        if isinstance(result, DTLError):
            if strict:
                raise result
            failures.append((str(file), str(result)))
        else:
            seen[digest] = file
            first = stars.setdefault("".join(result.star.casefold().split()), file)
            if first != file:
                note = clean(f"second spectrum of {result.star}: {first}", 300)
                result = dataclasses.replace(result, notes=(*result.notes, note))
            found.append(result)
        if progress:
            progress(1)
    return found, pd.DataFrame(failures, columns=["file", "error"])


# ---------------------------------------------------------------- specutils


def to_specutils(spectrum):
    """A :class:`Spectrum` as ``specutils.Spectrum``: standard deviations, masks, and the other fields in ``meta``."""
    import specutils
    from astropy import units
    from astropy.nddata import StdDevUncertainty

    arrays = {"wavelength", "flux", "uncertainty", "mask"}
    meta = {f.name: getattr(spectrum, f.name) for f in dataclasses.fields(spectrum) if f.name not in arrays}
    return specutils.Spectrum(
        flux=spectrum.flux * units.dimensionless_unscaled,
        spectral_axis=spectrum.wavelength * units.AA,
        uncertainty=StdDevUncertainty(spectrum.uncertainty),
        mask=spectrum.mask,
        meta=meta,
    )


def register():
    """Make ``specutils.Spectrum.read`` know "CARMENES VIS", "serval template" and "HPF"; calling it twice does no harm.

    Errors
    ------
    DataError : specutils is not installed.
    """
    try:
        from specutils import Spectrum as Theirs
        from specutils.io.registers import data_loader
    except ImportError:
        raise DataError("specutils is not installed", remedy="pip install specutils") from None
    layouts = {"CARMENES VIS": ("CARMENES",), "serval template": ("serval", "Nagel"), "HPF": ("HPF",)}
    for label, names in layouts.items():

        def identify(origin, path, *args, names=names, **kwargs):
            return path is not None and sniff(path) in names  # other errors than False are specutils' to catch

        def load(file, reader=READERS[names[0]], **kwargs):
            return to_specutils(reader(getattr(file, "name", file)))

        data_loader(label, identifier=identify, dtype=Theirs, extensions=["fits"], priority=10, force=True)(load)
