"""One file of any layout as a :class:`Spectrum`.

    star = read("my_star.fits")

``read`` recognises the layout by the content of the file. All readers return a :class:`Spectrum` in vacuum or raise a
one-line :class:`~dtl_core.errors.DataError`. For many files see :func:`dtl_core.reading.sources.read_many`.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arguments import (
    POWER,
    a_name_or_number,
    a_number,
    a_path,
    a_text,
    checked,
    names_by_kind,
    one_of,
    optional_path,
)
from ..characters import clean
from ..errors import ConfigError, DataError, DTLError
from ..extras import import_extra
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
    "medium",
    "read",
    "read_carmenes",
    "read_chiron",
    "read_eprv",
    "read_esprit",
    "read_hpf",
    "read_image",
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


MAX_HEADER, MAX_HDUS = 300_000, 60  # bytes and extensions: specutils opens a file some thirty times
HDF5 = b"\x89HDF\r\n\x1a\n"  # how such a file begins
PHOENIX_RESOLVING_POWER = 500_000.0  # of its sampling


@one_line_errors
def read_phoenix_spectrum(path):
    """Read a PHOENIX-ACES synthetic spectrum (Husser et al. 2013): at rest, named by its labels.

    Raises
    ------
    DataError
        As for :func:`dtl_core.public_data.phoenix.read_phoenix`.
    """
    from ..public_data.phoenix import read_phoenix

    data = content(path)
    # read_phoenix opens the file itself, so it must contain only what is checked here
    if not is_fits(data) or not as_file(fits_hdus(data, path)).startswith(path.read_bytes()):
        problem = "is gzipped, or goes on after its last extension"
        raise DataError(problem, file=path, remedy="unpack it or download it again")
    wavelength, flux, labels = read_phoenix(path)
    name = f"teff={labels['teff']:.0f} logg={labels['logg']:.2f} mh={labels['mh']:+.1f} alpha={labels['alpha']:+.1f}"
    facts = {"frame": "rest", "rv": 0.0, "instrument": "PHOENIX-ACES", "resolving_power": PHOENIX_RESOLVING_POWER}
    return finish(path, wavelength, flux, star=name, **facts)


@one_line_errors
def read_specutils(path, *, medium=None):
    """Read a spectrum via ``specutils.Spectrum.read``, in any format that specutils recognises.

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
        # only what was checked: astropy may take minutes to search in what follows
        copy = Path(folder) / path.name.removesuffix(".gz")
        copy.write_bytes(data)
        try:
            found = specutils.Spectrum.read(copy)
        except DTLError as error:  # from a reader that register() added
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
    """A file layout.

    Attributes
    ----------
    read : callable
        Reader of a path.
    options : tuple of str
        Options of :func:`read` that the reader takes.
    matches : callable
        Recognises a FITS file from its extensions (a list, and a dict by name) and the primary keywords.
    begins : callable
        Recognises any other file from its bytes.
    """

    read: Callable
    options: tuple[str, ...] = ()
    matches: Callable = lambda hdus, named, primary: False
    begins: Callable = lambda data: False


def _has_wave_and_spec(named):
    return {"SPEC", "WAVE"} <= set(named) and named["WAVE"].kind == "IMAGE" and bool(named["WAVE"].shape)


def _in_logarithm(hdu):
    """Whether wavelengths are ln of A, ignoring the padding of orders."""
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
# In the order in which they are tried
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
    """Names of the layouts that ``read(instrument=...)`` accepts: tuple of str."""
    return tuple(LAYOUTS)


@one_line_errors
def sniff(path):
    """Recognise the layout of a file, one of :func:`instruments`, by its content."""
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


# Kinds of the options of ``read``, by name, for all functions that pass them on.
READING = {
    "instrument": a_text,
    "medium": one_of("air", "vacuum"),
    "star": a_text,
    "resolving_power": POWER,
    "berv": a_number(-40, 40, unit="km/s"),
    "object": a_name_or_number,
    "columns": names_by_kind,
    "calibration": optional_path,
}


@checked(path=a_path, **READING)
def read(
    path, *, instrument=None, medium=None, star=None, resolving_power=None, berv=None, object=None, columns=None,
    calibration=None,
):  # fmt: skip
    """Read a spectrum from a file of any layout.

    Parameters
    ----------
    path : str or Path
        FITS, ECSV, CSV or text, or any of these gzipped.
    instrument : str, optional
        The layout, see :func:`instruments`; recognised by default.
    medium : "air" or "vacuum", optional
        Medium of the wavelengths, for layouts that do not define it (tables, images, specutils).
    star : str, optional
        Name, in place of the one in the file.
    resolving_power : float, lambda / FWHM, optional
        In place of the value in the file.
    berv : float, km/s, optional
        The Earth's velocity towards the star, in place of the value in the file.
    object : str or int, optional
        Name or number of one of several spectra in the file.
    columns : dict, optional
        Columns of a table by kind: name or number, such as ``{"flux": "flux_star"}``.
    calibration : str or Path, optional
        Folder of the files that accompany an exposure, such as HPF's flat and masks.

    Returns
    -------
    Spectrum
        In vacuum, in the frame that its ``frame`` names.

    Raises
    ------
    DataError
        The file is damaged, of unknown layout, or lacks something.
    ConfigError
        Unknown instrument, or a value out of its range.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from dtl_core.reading.readers import read
    >>> from dtl_core.synthetic.examples import write_examples
    >>> with TemporaryDirectory() as folder:
    ...     paths, truth = write_examples(folder)
    ...     spectrum = read(paths[0])
    >>> spectrum.star, spectrum.frame, spectrum.resolving_power
    ('Example S217', 'barycentric', 94600.0)
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


def companions(path):
    """Other files that the reader of an exposure uses, such as HPF's flat and masks: sorted list of Path."""
    return sorted(hpf.companions(path).values()) if Path(path).name.startswith("Slope-") else []


# ---------------------------------------------------------------- specutils


def to_specutils(spectrum):
    """Convert a :class:`Spectrum` to ``specutils.Spectrum``, with the fields that it lacks in ``meta``."""
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
    """Add the formats "CARMENES VIS", "serval template" and "HPF" to ``specutils.Spectrum.read``.

    Raises
    ------
    DataError
        specutils is not installed.
    """
    try:
        from specutils import Spectrum as Theirs
        from specutils.io.registers import data_loader
    except ImportError:
        raise DataError("specutils is not installed", remedy="pip install 'dtl-mdwarfs[specutils]'") from None
    layouts = {"CARMENES VIS": ("CARMENES",), "serval template": ("serval", "Nagel"), "HPF": ("HPF",)}
    for label, names in layouts.items():

        def identify(origin, path, *args, names=names, **kwargs):
            return path is not None and sniff(path) in names  # specutils catches errors

        def load(file, reader=LAYOUTS[names[0]].read, **kwargs):
            return to_specutils(reader(getattr(file, "name", file)))

        data_loader(label, identifier=identify, dtype=Theirs, extensions=["fits"], priority=10, force=True)(load)
