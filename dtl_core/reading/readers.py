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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..arguments import (
    POWER,
    a_flag,
    a_name_or_number,
    a_number,
    a_path,
    a_text,
    checked,
    instance,
    names_by_kind,
    one_of,
    optional_path,
    some_paths,
)
from ..characters import clean
from ..errors import ConfigError, DataError, DTLError
from ..extras import import_extra
from ..files import file_hash
from ..spectra.spectrum import Spectrum, finish
from . import hpf
from .carmenes import SHAPE as CARMENES_SHAPE
from .carmenes import read_carmenes, read_nagel, read_serval
from .chiron import is_cube, read_chiron
from .columns import find_columns
from .eprv import is_eprv, is_neid, read_eprv, read_neid
from .esprit import begins_esprit, is_upena, read_esprit
from .formats import AGAIN, as_file, content, fits_columns, fits_hdus, is_fits, one_line_errors
from .hpf import read_hpf
from .images import WAVELENGTH_AXES, read_image
from .keywords import Keywords, medium, to_vacuum
from .multispec import is_multispec, read_multispec
from .tables import read_table

__all__ = [
    "Spectrum",
    "companions",
    "instruments",
    "list_files",
    "medium",
    "read",
    "read_carmenes",
    "read_chiron",
    "read_eprv",
    "read_esprit",
    "read_hpf",
    "read_image",
    "read_many",
    "read_multispec",
    "read_nagel",
    "read_neid",
    "read_phoenix_spectrum",
    "read_serval",
    "read_specutils",
    "read_table",
    "register",
    "sniff",
    "to_specutils",
]


SUFFIXES = (".fits", ".fit", ".fits.gz", ".ecsv", ".csv", ".txt", ".dat", ".s")
MAX_HEADER, MAX_HDUS = 300_000, 60  # bytes and extensions: specutils opens a file some thirty times
BESIDE = ("deblazed", "mask", "wave_phoenix", "lfc_wavecal")  # in names of files that accompany spectra
HDF5 = b"\x89HDF\r\n\x1a\n"  # how such a file begins
PHOENIX_RESOLVING_POWER = 500_000.0  # of its sampling


@one_line_errors
def read_phoenix_spectrum(path):
    """A PHOENIX-ACES synthetic spectrum (Husser et al. 2013) at rest, named by its labels: ``phoenix.read_phoenix``.

    Raises
    ------
    DataError
        As ``read_phoenix``.
    """
    from ..public_data.phoenix import read_phoenix

    data = content(path)
    # read_phoenix opens the file itself: it is to find nothing but what is checked here
    if not is_fits(data) or not as_file(fits_hdus(data, path)).startswith(path.read_bytes()):
        problem = "is gzipped, or goes on after its last extension"
        raise DataError(problem, file=path, remedy="unpack it or download it again")
    wavelength, flux, labels = read_phoenix(path)
    name = f"teff={labels['teff']:.0f} logg={labels['logg']:.2f} mh={labels['mh']:+.1f} alpha={labels['alpha']:+.1f}"
    facts = {"frame": "rest", "rv": 0.0, "instrument": "PHOENIX-ACES", "resolving_power": PHOENIX_RESOLVING_POWER}
    return finish(path, wavelength, flux, star=name, **facts)


@one_line_errors
def read_specutils(path, *, medium=None):
    """A spectrum through ``specutils.Spectrum.read``: whatever that package recognises.

    Raises
    ------
    DataError
        specutils is not installed or does not know the file; more than one spectrum; as ``read_table``.
    """
    try:
        import specutils
    except ImportError:
        problem = "is in no layout known here, and specutils is not installed"
        raise DataError(problem, file=path, remedy="pip install 'dtl-mdwarfs[specutils]'") from None
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
            remedy = "give a table with columns wavelength and flux, or name the layout with --instrument"
            raise DataError("is in no layout known here or to specutils", file=path, remedy=remedy) from None
    wavelength = found.spectral_axis.to_value(units.AA, units.spectral())
    flux = np.squeeze(found.flux.value)
    error = found.uncertainty
    if error is not None:
        error = np.squeeze(error.represent_as(StdDevUncertainty).array)
    mask = None if found.mask is None else np.squeeze(np.asarray(found.mask, bool))
    if flux.ndim != 1:
        raise DataError(f"holds spectra of shape {flux.shape}", file=path, remedy="give one spectrum")
    keys = Keywords(header, ["read by specutils"])
    wavelength = to_vacuum(wavelength, medium, _stated(header, keys.notes), keys.notes)
    facts = keys.facts()
    return finish(path, wavelength, flux, error, mask, notes=keys.notes, **facts)


def _stated(header, notes):
    return medium(header, [header.get(key, "") for key in ("CTYPE1", "TTYPE1", "TUCD1")], notes=notes)


# ---------------------------------------------------------------- layouts


@dataclass(frozen=True)
class Layout:
    """A kind of file: its reader, the options of :func:`read` that this takes, and how the kind is recognised.

    ``matches`` is called with the extensions of a FITS file (a list, and a dict by name) and the primary keywords,
    ``begins`` with the bytes of another file.
    """

    read: Callable
    options: tuple[str, ...] = ()
    matches: Callable = lambda hdus, named, primary: False
    begins: Callable = lambda data: False


def _has_wave_and_spec(named):
    return {"SPEC", "WAVE"} <= set(named) and named["WAVE"].kind == "IMAGE" and bool(named["WAVE"].shape)


def _in_logarithm(hdu):
    """Whether wavelengths are ln of A; of padded orders those that there are."""
    values = hdu.image()
    values = values[values > 0]
    return len(values) > 0 and np.nanmedian(values) < 20


def _is_carmenes(hdus, named, primary):
    if not _has_wave_and_spec(named):
        return any(key.startswith("CARACAL") for key in primary)
    nightly = "CONT" in named or named["WAVE"].shape == CARMENES_SHAPE
    coadded = any("COADD" in key for key in primary) or _in_logarithm(named["WAVE"])
    return nightly and not coadded


def _is_template(hdus, named, primary):
    if _has_wave_and_spec(named):
        return True
    if not {"FLUX", "WAVE"} <= set(named) or named["WAVE"].kind != "IMAGE" or len(named["WAVE"].shape) != 2:
        return False
    return any(key.startswith("SERVAL ") for key in primary) or _in_logarithm(named["WAVE"])


def _is_nagel(hdus, named, primary):
    corrected = any("-tac" in str(value) or "Nagel" in str(value) for value in primary.values())
    return corrected and _is_template(hdus, named, primary) and not _is_carmenes(hdus, named, primary)


def _is_table(hdus, named, primary):
    tables = (hdu for hdu in hdus if hdu.kind in ("BINTABLE", "TABLE") and len(hdu.shape) == 2 and hdu.shape[0])
    return any({"wavelength", "flux"} <= set(find_columns(fits_columns(hdu).names)) for hdu in tables)


def _is_image(hdus, named, primary):
    images = [hdu for hdu in hdus if hdu.kind == "IMAGE" and hdu.shape]
    if not images or "CRVAL1" not in primary | images[0].meta:
        return False
    axis = str((primary | images[0].meta).get("CTYPE1", "")).upper()
    return not axis or axis.startswith(WAVELENGTH_AXES)


SEVERAL = ("medium", "object")
# In the order in which they are tried.
LAYOUTS = {
    "HPF": Layout(read_hpf, ("calibration",), lambda hdus, named, primary: "SCI FLUX" in named and "SKY FLUX" in named),
    "PHOENIX": Layout(read_phoenix_spectrum, (), lambda hdus, named, primary: "PHXTEFF" in primary),
    "NEID": Layout(read_neid, (), lambda hdus, named, primary: is_neid(named)),
    "EPRV": Layout(read_eprv, ("object",), lambda hdus, named, primary: is_eprv(named)),
    "CARMENES": Layout(read_carmenes, (), _is_carmenes),
    "Nagel": Layout(read_nagel, (), _is_nagel),
    "serval": Layout(read_serval, (), _is_template),
    "ESpRIT": Layout(read_esprit, SEVERAL, lambda hdus, named, primary: is_upena(primary, hdus), begins_esprit),
    "multispec": Layout(read_multispec, SEVERAL, lambda hdus, named, primary: any(map(is_multispec, hdus))),
    "table": Layout(read_table, (*SEVERAL, "columns"), _is_table, lambda data: True),
    "image": Layout(read_image, SEVERAL, _is_image),
    "CHIRON": Layout(read_chiron, SEVERAL, lambda hdus, named, primary: any(map(is_cube, hdus))),
    "specutils": Layout(read_specutils, ("medium",), lambda hdus, named, primary: True),
}


def instruments():
    """Names of the layouts that ``read(instrument=...)`` knows."""
    return tuple(LAYOUTS)


@one_line_errors
def sniff(path):
    """The layout of a file, one of :func:`instruments`, from its content."""
    data = content(path)
    if not is_fits(data):
        if data.startswith(HDF5):
            remedy = "give FITS, such as the EPRV standard (for MAROON-X by the package rv-data-standard)"
            raise DataError("is an HDF5 file, which is not read here", file=path, remedy=remedy)
        if path.name.lower().removesuffix(".gz").endswith((".fits", ".fit")):
            raise DataError("is not a FITS file", file=path, remedy=AGAIN)
        return next(name for name, layout in LAYOUTS.items() if layout.begins(data))
    hdus = fits_hdus(data, path)
    named = {hdu.name: hdu for hdu in hdus}
    return next(name for name, layout in LAYOUTS.items() if layout.matches(hdus, named, hdus[0].meta))


# Kinds of the options that concern reading, by name, for all functions that pass them on.
READING = {
    "instrument": a_text,
    "medium": one_of("air", "vacuum"),
    "resolving_power": POWER,
    "berv": a_number(-40, 40, unit="km/s"),
    "object": a_name_or_number,
    "columns": names_by_kind,
    "calibration": optional_path,
}


@checked(path=a_path, star=a_text, **READING)
def read(
    path, *, instrument=None, medium=None, star=None, resolving_power=None, berv=None, object=None, columns=None,
    calibration=None,
):  # fmt: skip
    """One spectrum, whatever its layout.

    Parameters
    ----------
    path : str or Path
        Of a file: FITS, ECSV, CSV, text, or any of them gzipped.
    instrument : str, optional
        A layout, see :func:`instruments`, to spare or overrule its recognition.
    medium : "air" or "vacuum", optional
        For layouts that leave it open (tables, images, specutils).
    star, resolving_power, berv : optional
        In place of what the file says: name, lambda / FWHM, the Earth's velocity towards the star [km/s].
    object : str or int, optional
        Which of several spectra in the file: its name or number.
    columns : dict, optional
        Which columns of a table to use: kind -> name or number, such as ``{"flux": "flux_star"}``.
    calibration : str or Path, optional
        Folder of the files that go with an exposure, as HPF's flat and masks.

    Returns
    -------
    Spectrum
        In vacuum, in the frame that ``frame`` names.

    Raises
    ------
    DataError
        The file is damaged, in no known layout, or does not hold what is needed.
    ConfigError
        An unknown instrument, or a value out of its range.
    """
    if instrument is not None and str(instrument).lower() not in {name.lower() for name in LAYOUTS}:
        known = ", ".join(LAYOUTS)
        raise ConfigError(f"unknown instrument {clean(instrument, 30)!r}", field="instrument", remedy=f"give {known}")
    layout = str(instrument or sniff(path)).lower()
    name, layout = next((name, layout_) for name, layout_ in LAYOUTS.items() if name.lower() == layout)
    asked = {"medium": medium, "object": object, "columns": columns, "calibration": calibration}
    asked = {key: value for key, value in asked.items() if value is not None}
    spectrum = layout.read(path, **{key: value for key, value in asked.items() if key in layout.options})
    unused = sorted(set(asked) - set(layout.options))
    notes = tuple(f"{key} {clean(asked[key], 20)} is not used for files of {name}" for key in unused)
    changes = {"star": star, "resolving_power": resolving_power, "berv": berv}
    changes = {key: value for key, value in changes.items() if value is not None}
    kept = tuple(note for note in spectrum.notes if berv is None or not note.startswith("no barycentric velocity"))
    return dataclasses.replace(spectrum, notes=kept + notes, **changes)


# ---------------------------------------------------------------- many files


@checked(paths=some_paths)
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
    """The files that the reader of an exposure uses too, as HPF's flat and masks. Sorted; empty for other files."""
    return sorted(hpf.companions(path).values()) if Path(path).name.startswith("Slope-") else []


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


@checked(
    paths=some_paths,
    strict=a_flag,
    progress=instance(callable, optional=True),
    workers=a_number(1, 10_000, whole=True, optional=False),
    **READING,
)
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
    return found, pd.DataFrame(failures, columns=["file", "error"], dtype=object)


# ---------------------------------------------------------------- specutils


def to_specutils(spectrum):
    """A :class:`Spectrum` as ``specutils.Spectrum``: standard deviations, masks, and the other fields in ``meta``."""
    from astropy import units
    from astropy.nddata import StdDevUncertainty

    specutils = import_extra("specutils", "specutils")
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
        raise DataError("specutils is not installed", remedy="pip install 'dtl-mdwarfs[specutils]'") from None
    layouts = {"CARMENES VIS": ("CARMENES",), "serval template": ("serval", "Nagel"), "HPF": ("HPF",)}
    for label, names in layouts.items():

        def identify(origin, path, *args, names=names, **kwargs):
            return path is not None and sniff(path) in names  # other errors than False are specutils' to catch

        def load(file, reader=LAYOUTS[names[0]].read, **kwargs):
            return to_specutils(reader(getattr(file, "name", file)))

        data_loader(label, identifier=identify, dtype=Theirs, extensions=["fits"], priority=10, force=True)(load)
