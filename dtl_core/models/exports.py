"""Catalogues as files that other programs read: ECSV, VOTable, FITS, with units, UCDs and descriptions.

    save(table, "catalogue.vot")        the ending chooses the format

Units are astropy's in ECSV. A VOTable has those of CDS, where ``[cm.s-2]`` is the logarithm of a gravity and ``[-]`` is
dex. FITS has no logarithmic units, so the comment of the column gives them.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from astropy import units
from astropy.table import Table

from ..arguments import a_path, a_text, checked, instance
from ..characters import ascii_only, ascii_table, legible
from ..errors import ConfigError, DataError, DTLError
from ..extras import import_extra
from ..files import atomic_path, write_atomic

__all__ = ["FORMATS", "arrow_table", "as_bytes", "describe", "save", "save_parts"]


FORMATS = (".ecsv", ".vot", ".fits", ".csv")
_PARAMETERS = {  # column: unit, UCD, description
    "Teff": ("K", "phys.temperature.effective", "Effective temperature"),
    "logg": ("dex(cm/s2)", "phys.gravity", "Logarithm of the surface gravity in cgs units"),
    "[M/H]": ("dex", "phys.abund.Z", "Logarithmic metallicity, the Sun's being zero"),
    "vsini": ("km/s", "phys.veloc.rotat", "Projected rotation velocity"),
}
_OTHERS = {
    "karmn": ("", "meta.id;meta.main", "Identifier of the star (Karmn, or a name)"),
    "spectrum": ("", "meta.code", "Whether the spectrum is simulated or real"),
    "name": ("", "meta.id", "Name of the star"),
    "gj": ("", "meta.id", "Name in the catalogues of Gliese and Jahreiss"),
    "gaia_dr3": ("", "meta.id", "Gaia DR3 source identifier"),
    "spt": ("", "src.spType", "Spectral type"),
    "ra": ("deg", "pos.eq.ra;meta.main", "Right ascension, ICRS, Gaia DR3"),
    "dec": ("deg", "pos.eq.dec;meta.main", "Declination, ICRS, Gaia DR3"),
    "method": ("", "meta.code", "Method: randomised, informed, calibrated, combined or paper"),
    "p_domain": ("", "stat.probability", "Probability of a spectrum this strange among those that the method knows"),
    "strange": ("", "meta.note", "What is strangest about the spectrum: reconstruction, latent, disagreement or grain"),
    "flag": ("", "meta.code.qual", "Why not to trust the values: strange (p_domain <= 0.05), cool (M6+), fast"),
    "star": ("", "meta.id;meta.main", "Name of the star, as the file gives it"),
    "instrument": ("", "meta.id;instr", "Instrument, as the file gives it"),
    "file": ("", "meta.id;meta.file", "File that the spectrum was read from"),
    "resolving_power": ("", "spect.resolution", "Resolving power that the spectrum was brought to"),
    "snr": ("", "stat.snr", "Median signal-to-noise of a pixel in the window"),
    "radial_velocity": ("km/s", "spect.dopplerVeloc.opt", "Barycentric radial velocity against the synthetic spectra"),
    "e_radial_velocity": ("km/s", "stat.error;spect.dopplerVeloc.opt", "Error of the velocity; 0 where it was given"),
    "warnings": ("", "meta.note", "What a careful reader should know"),
    "mass": ("solMass", "phys.mass", "Mass from the absolute magnitude in Ks (Mann et al. 2019)"),
    "radius": ("solRad", "phys.size.radius", "Radius from the absolute magnitude in Ks (Mann et al. 2015)"),
    "luminosity": ("solLum", "phys.luminosity", "Luminosity from this radius and the effective temperature"),
    "n_Teff": ("", "meta.number", "Number of published effective temperatures in the consensus"),
    "n_logg": ("", "meta.number", "Number of published surface gravities in the consensus"),
    "n_[M/H]": ("", "meta.number", "Number of published metallicities in the consensus"),
    "pop": ("", "meta.code.class", "Kinematic population: TD thick disc, TD-D transition, D thin disc, YD young disc"),
}
_ERRORS = {"e_": "lower error (1 sigma)", "E_": "upper error (1 sigma)"}


def describe(table, notes=None):
    """Add unit, UCD and description to every column of a catalogue, in place.

    Parameters
    ----------
    table : astropy.table.Table
        Its columns are those of :func:`dtl_core.models.prediction.as_table` or of the catalogues in the book: the
        parameters with the prefixes ``e_``, ``E_`` and ``true_`` or the suffixes ``_direct`` and ``_recommended``, and
        others.
    notes : dict of str to str, optional
        Column -> what is added to its description, such as :func:`dtl_core.estimates.gravity.worth`.

    Returns
    -------
    astropy.table.Table
        The same table.
    """
    for name in table.colnames:
        column = table[name]
        prefix = next((p for p in ("e_", "E_", "true_") if name.startswith(p)), "")
        base = name.removeprefix(prefix)
        for suffix in ("_direct", "_recommended", "_with_photometry"):
            base = base.removesuffix(suffix)
        unit, ucd, text = _PARAMETERS.get(base) or _OTHERS.get(name) or _OTHERS[base]
        if base in ("mass", "radius", "luminosity") and prefix:
            ucd, text = f"stat.error;{ucd}", f"{text}: error (1 sigma)"
        elif prefix in _ERRORS and name not in _OTHERS:
            unit, ucd, text = unit.replace("dex(cm/s2)", "dex"), f"stat.error;{ucd}", f"{text}: {_ERRORS[prefix]}"
        if prefix == "true_":
            ucd, text = f"{ucd};meta.modelled", f"{text} with which the star was simulated"
        if name.endswith("_direct"):
            text += "; observed latents from the autoencoder before fine-tuning"
        if name.endswith("_with_photometry"):
            text += "; spectrum and photometry combined"
        if name.endswith("_recommended"):
            text += "; by the method of the column method, error calibrated on stars of known truth"
        if name in (notes or {}):
            text += f"; {notes[name]}"
        column.unit, column.description, column.meta["ucd"] = unit or None, text, ucd
    return table


# ---------------------------------------------------------------- files


def _cds(unit):
    """Convert a unit to the notation of CDS, where ``[x]`` is a logarithm."""
    return units.Unit("[-]", format="cds") if unit == units.dex else unit


def _votable(table):
    from astropy.io.votable import tree

    # Version 1.3: later ones allow no logarithmic units. The version must be known before any unit is set.
    file, resource, out = tree.VOTableFile(version="1.3"), tree.Resource(), io.BytesIO()
    shown = table.copy()
    for column in shown.itercols():
        column.unit = _cds(column.unit) if column.unit is not None else None
    file.description = resource.description = table.meta.get("description")
    for name, value in table.meta.items():
        if name != "description":
            resource.infos.append(tree.Info(name=name, value=legible(value)))
    shown.meta = {}
    resource.tables.append(tree.TableElement.from_table(file, shown))
    file.resources.append(resource)
    file.to_xml(out)
    return out.getvalue()


def _fits(table):
    from astropy.io import fits

    shown = table.copy()
    shown.meta = {}
    for column in shown.itercols():
        if isinstance(column.unit, units.function.FunctionUnitBase) or column.unit == units.dex:
            column.description, column.unit = f"{column.description} [{column.unit}]", None
    shown = ascii_table(shown)
    hdu = fits.table_to_hdu(shown)
    hdu.header["EXTNAME"] = "CATALOGUE"
    for number, column in enumerate(shown.itercols(), 1):  # the keywords that CDS and TOPCAT use
        for key, value in (("TUCD", column.meta.get("ucd")), ("TCOMM", column.description)):
            if value:
                hdu.header[f"{key}{number}"] = ascii_only(value)
    for name, value in table.meta.items():
        hdu.header.add_comment(ascii_only(f"{name}: {value}"))
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(out)
    return out.getvalue()


def _csv(table):
    out = io.StringIO()
    table.write(out, format="ascii.csv")
    return out.getvalue().encode()


def _ecsv(table):
    out = io.StringIO()
    table.write(out, format="ascii.ecsv")
    return out.getvalue().encode()


@checked(table=instance(Table), suffix=a_text)
def as_bytes(table, suffix):
    """Convert a table to the content of a file; the same table gives the same bytes.

    Parameters
    ----------
    table : astropy.table.Table
        As returned by :func:`describe`.
    suffix : str
        One of ``FORMATS``.

    Returns
    -------
    bytes

    Raises
    ------
    ConfigError
        Another suffix.
    DataError
        A column cannot be written in this format.
    """
    writers = {".ecsv": _ecsv, ".vot": _votable, ".fits": _fits, ".csv": _csv}
    if suffix not in writers:
        raise ConfigError(f"unknown format {suffix!r}", field="format", remedy=f"choose one of {', '.join(FORMATS)}")
    table = Table(table)  # without quantities, which keep unit and description elsewhere
    with warnings.catch_warnings():  # of column names such as [M/H], which are the published ones
        warnings.simplefilter("ignore")
        try:
            return writers[suffix](table)
        except (TypeError, ValueError, KeyError, AttributeError) as error:  # of columns of objects and the like
            problem = f"cannot be written as {suffix} ({type(error).__name__}: {error})"
            raise DataError(problem, field="table", remedy="give columns of numbers and texts") from None


@checked(table=instance(Table), path=a_path)
def save(table, path):
    """Write a table to a file atomically.

    Parameters
    ----------
    table : astropy.table.Table
    path : path
        Its suffix chooses the format.

    Returns
    -------
    Path

    Raises
    ------
    ConfigError
        Unknown suffix.
    DTLError
        The file cannot be written.
    """
    return write_atomic(path, as_bytes(table, Path(path).suffix.lower()))


# ---------------------------------------------------------------- catalogues in parts

MOST_AT_ONCE = 2_000_000  # rows of a VOTable, which is written at once


@checked(parts=instance(callable), path=a_path)
def save_parts(parts, path, n):
    """Write a catalogue in parts as one file, with one part in memory at a time (except for VOTable).

    Parameters
    ----------
    parts : callable
        Returns an iterator of described tables with the same columns.
    path : path
        Its suffix chooses the format: .ecsv, .csv, .fits, .parquet or .vot.
    n : int
        Rows of all parts.

    Returns
    -------
    Path

    Raises
    ------
    ConfigError
        Unknown suffix, or too many rows for a VOTable.
    DTLError
        The file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    writers = {".ecsv": _append_text, ".csv": _append_text, ".fits": _append_fits, ".parquet": _append_parquet}
    if suffix == ".vot":
        if n > MOST_AT_ONCE:
            problem = f"{n} rows are more than the {MOST_AT_ONCE} of a VOTable written here"
            raise ConfigError(problem, field="--output", remedy="choose .fits, .csv or .parquet")
        return write_atomic(path, as_bytes(_stacked(parts()), suffix))
    if suffix not in writers:
        remedy = f"end the name in {', '.join((*FORMATS, '.parquet'))}"
        raise ConfigError(f"cannot write {path.name!r}", field="--output", remedy=remedy)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as part, part.open("wb") as file:
            writers[suffix](parts, file, suffix, n)
    except OSError as error:
        problem = f"cannot be written ({error.strerror or error})"
        remedy = "free disk space, correct the permissions or choose another name"
        raise DTLError(problem, file=path, remedy=remedy) from None
    return path


def _stacked(parts):
    from astropy.table import vstack

    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    table = describe(vstack(parts, metadata_conflicts="silent"))
    for name in table.colnames:  # with their notes
        table[name].description = parts[0][name].description
    return table


def _append_text(parts, file, suffix, n):
    for number, table in enumerate(parts()):
        lines = as_bytes(table, suffix).splitlines(keepends=True)
        head = next(k for k, line in enumerate(lines) if not line.startswith(b"#")) + 1
        file.writelines(lines if number == 0 else lines[head:])


def _append_fits(parts, file, suffix, n):
    from astropy.io import fits

    widths = {}
    for table in parts():
        for name in table.colnames:
            if table[name].dtype.kind == "U":
                longest = max((len(ascii_only(value)) for value in table[name]), default=1)
                widths[name] = max(widths.get(name, 1), longest)
    size = 0
    for number, table in enumerate(parts()):
        table = table.copy()
        for name, width in widths.items():
            told = {"description": table[name].description, "meta": table[name].meta}
            table[name] = table.Column(np.array([ascii_only(v) for v in table[name]], f"S{width}"), **told)
        content = as_bytes(table, ".fits")
        with fits.open(io.BytesIO(content)) as hdus:
            begin, header = hdus[1].fileinfo()["datLoc"], hdus[1].header
            length = header["NAXIS1"] * header["NAXIS2"]
            if number == 0:
                header["NAXIS2"] = n
                file.write(content[: hdus[1].fileinfo()["hdrLoc"]] + header.tostring().encode())
        file.write(content[begin : begin + length])
        size += length
    file.write(b"\0" * (-size % 2880))


def _append_parquet(parts, file, suffix, n):
    pq = import_extra("pyarrow.parquet", "survey")
    writer = None
    try:
        for table in parts():
            writer = writer or pq.ParquetWriter(file, arrow_table(table).schema, compression="zstd")
            writer.write_table(arrow_table(table))
    finally:
        if writer:
            writer.close()


def arrow_table(table):
    """Convert a described catalogue to a ``pyarrow.Table`` with unit and description of every column."""
    pa = import_extra("pyarrow", "survey")
    columns, fields = [], []
    for name in table.colnames:
        values = getattr(table[name], "value", table[name])
        text = values.dtype.kind == "U"
        info = table[name].info
        about = {"unit": str(info.unit or ""), "description": info.description or ""}
        columns.append(pa.array([str(v) for v in values] if text else np.asarray(values, float)))
        fields.append(pa.field(name, pa.string() if text else pa.float64(), metadata=about))
    return pa.table(columns, schema=pa.schema(fields, metadata={"description": table.meta.get("description", "")}))
