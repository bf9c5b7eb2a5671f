"""Conversion of spectra in memory: specutils, astropy tables and pandas.

    star = from_specutils(specutils.Spectrum.read("my_star.fits"))

``model.predict`` and the other functions that take spectra convert them automatically.
"""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from ..arguments import POWER, a_text, checked, one_of, shown
from ..errors import ConfigError, DataError
from ..spectra.spectrum import Spectrum
from .formats import Columns, one_line_errors
from .tables import read_columns

__all__ = ["converted", "each", "exposures", "from_specutils", "from_table"]


MOST_ROWS = 400_000  # of a table; a spectrum has a few thousand
_REMEDY = "give a path, a Spectrum, a specutils.Spectrum, a table with columns wavelength and flux, or a list of these"
_KEYS = {"star": "STAR", "instrument": "INSTRUME", "resolving_power": "RESOLVING_POWER", "frame": "FRAME",
         "berv": "BERV", "time": "BJD", "rv": "RV"}  # fmt: skip


_UNITS = {"berv": "km/s", "rv": "km/s"}


def _refuse(value, where):
    arrays = "put wavelengths and fluxes into dtl_core.spectra.spectrum.Spectrum, or into a table"
    remedy = arrays if hasattr(value, "dtype") else _REMEDY  # of numpy, torch, Quantity
    return ConfigError(f"{shown(value)} is not a spectrum", field=where, remedy=remedy)


def _kind(value):
    """Kind of an object, without importing its package: "spectrum", "specutils", "table", "list" or None."""
    if isinstance(value, Spectrum):
        return "spectrum"
    if isinstance(value, type):
        return None
    if any(one.__name__ in ("SpectrumList", "SpectrumCollection") for one in type(value).__mro__):
        return "specutils"
    if hasattr(value, "spectral_axis") and hasattr(value, "flux"):
        return "specutils"
    if hasattr(value, "colnames") or (hasattr(value, "columns") and hasattr(value, "iloc")):
        return "table"
    plain = isinstance(value, str | bytes | bytearray | dict | os.PathLike) or hasattr(value, "read")
    if plain or not hasattr(value, "__iter__") or getattr(value, "dtype", np.dtype("O")) != np.dtype("O"):
        return None
    return "list"


# ---------------------------------------------------------------- one spectrum


def _read(table, where, medium):
    """Read a table by the rules for names, units and keywords of a file."""
    units = {name: str(column.unit) for name, column in table.columns.items() if column.unit is not None}
    about = {name: str(column.description or "") for name, column in table.columns.items()}
    meta = {str(key).upper(): value for key, value in table.meta.items()}
    columns = Columns(list(table.colnames), dict(table.columns), units, about, meta)

    @one_line_errors
    def read(path):
        return read_columns({"": columns}, path, medium=medium)

    return read(where)


def _plain(value, unit=""):
    """A keyword as a number or a text, or None if it is neither."""
    if hasattr(value, "to_value"):
        value = value.to_value(unit)[()] if unit and value.unit.is_equivalent(unit) else value.value
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, bool | int | float | str) else None


def _named(found, star, power, file=""):
    changes = {"star": star, "resolving_power": power}
    return dataclasses.replace(found, file=str(file), **{k: v for k, v in changes.items() if v is not None})


@checked(medium=one_of("air", "vacuum"), star=a_text, resolving_power=POWER, where=a_text)
def from_specutils(spectrum, *, medium=None, star=None, resolving_power=None, where="specutils.Spectrum"):
    """Convert a ``specutils.Spectrum`` to a :class:`dtl_core.spectra.spectrum.Spectrum`.

    The spectral axis may be in any unit of wavelength, frequency, energy or wavenumber; uncertainties are converted to
    standard deviations. Other fields come from ``meta``, under the names of the fields of ``Spectrum`` as
    :func:`dtl_core.reading.readers.to_specutils` writes them, or as keywords of a FITS header.

    Parameters
    ----------
    spectrum : specutils.Spectrum
        One spectrum.
    medium : str, optional
        "air" or "vacuum", if ``meta`` does not say.
    star, resolving_power : optional
        In place of the values in ``meta``.
    where : str
        Name for errors.

    Returns
    -------
    Spectrum

    Raises
    ------
    DataError
        More than one spectrum, an axis that is not a wavelength, magnitudes, an uncertainty of unknown kind, or as for
        :func:`dtl_core.reading.tables.read_table`.
    """
    from astropy import units
    from astropy.table import Table

    one = "give one spectrum at a time, such as spectra[0], or a list of those of several stars"
    if _kind(spectrum) != "specutils":
        raise _refuse(spectrum, where)
    flux = getattr(spectrum, "flux", None)
    if flux is None:
        raise DataError(f"{shown(spectrum)} of {len(spectrum)} spectra", file=where, remedy=one)
    values = np.squeeze(np.asarray(flux.value))
    if values.ndim != 1:
        raise DataError(f"holds spectra of shape {values.shape}", file=where, field="flux", remedy=one)
    if isinstance(flux.unit, units.function.FunctionUnitBase) or flux.unit.is_equivalent(units.mag):
        raise DataError(f"is in {flux.unit}", file=where, field="flux", remedy="give a flux that is not a magnitude")
    try:
        wavelength = spectrum.spectral_axis.to_value(units.AA, units.spectral())
    except ValueError:  # includes UnitConversionError
        problem = f"is in {spectrum.spectral_axis.unit}, which is not a wavelength"
        raise DataError(problem, file=where, field="spectral_axis", remedy="give A, nm, um, Hz or 1/cm") from None
    columns = {"wavelength": wavelength * units.AA, "flux": values}
    if spectrum.uncertainty is not None:
        columns["uncertainty"] = _deviation(spectrum, flux.unit, where)
    given = {str(key).lower(): value for key, value in dict(spectrum.meta or {}).items()}
    if spectrum.mask is not None:
        columns["mask"] = np.squeeze(np.asarray(spectrum.mask, bool))
    if np.shape(given.get("telluric")) == values.shape and np.any(given["telluric"]):
        columns["telluric_mask"] = np.asarray(given["telluric"], bool)
    try:
        table = Table(columns)
    except ValueError as error:  # of unequal lengths
        raise DataError(str(error), file=where, remedy="give arrays of equal length") from None
    header = {str(key).upper(): _plain(value) for key, value in dict(given.get("header") or {}).items()}
    facts = {key: _plain(given.get(name), _UNITS.get(name, "")) for name, key in _KEYS.items() if name in given}
    rest = {key.upper(): _plain(value) for key, value in given.items() if key not in _KEYS}
    ours = {"frame", "notes", "telluric"} <= set(given)
    facts |= {"MEDIUM": "vacuum"} if ours else {}
    known = {key: value for key, value in (header | rest | facts).items() if value is not None and value == value}
    table.meta = {key: value for key, value in known.items() if value != "" and key not in ("HEADER", "NOTES", "FILE")}
    found = _read(table, where, medium)
    notes = tuple(dict.fromkeys(map(str, [*(given.get("notes") or ()), *found.notes])))
    found = found if "STAR" in table.meta or "OBJECT" in table.meta else dataclasses.replace(found, star=where)
    return dataclasses.replace(_named(found, star, resolving_power, given.get("file") or ""), notes=notes)


def _deviation(spectrum, unit, where):
    """The uncertainties as standard deviations in the unit of the flux."""
    from astropy.nddata import StdDevUncertainty

    try:
        found = spectrum.uncertainty.represent_as(StdDevUncertainty)
        if not isinstance(found, StdDevUncertainty):
            raise TypeError
        values = np.squeeze(np.asarray(found.array, float))
        return values if found.unit is None else np.squeeze(found.quantity.to_value(unit))
    except Exception:  # astropy and specutils raise several types
        problem = f"is a {type(spectrum.uncertainty).__name__} in another unit or of unknown kind"
        remedy = "give StdDevUncertainty, VarianceUncertainty or InverseVariance"
        raise DataError(problem, file=where, field="uncertainty", remedy=remedy) from None


@checked(medium=one_of("air", "vacuum"), star=a_text, resolving_power=POWER, where=a_text)
def from_table(table, *, medium=None, star=None, resolving_power=None, where="table"):
    """Convert an astropy Table or QTable, or a pandas DataFrame, to a :class:`dtl_core.spectra.spectrum.Spectrum`.

    Columns and keywords (``meta``, or ``attrs`` of a DataFrame) have the same meaning as in a file; see
    :func:`dtl_core.reading.tables.read_table`.

    Parameters
    ----------
    table : astropy.table.Table or pandas.DataFrame
        With columns wavelength and flux.
    medium, star, resolving_power, where : optional
        As for :func:`from_specutils`.

    Returns
    -------
    Spectrum

    Raises
    ------
    DataError
        As for ``read_table``.
    """
    from astropy.table import Table

    if _kind(table) != "table":
        raise _refuse(table, where)
    if len(table) > MOST_ROWS:
        raise DataError(f"has {len(table)} rows", file=where, remedy="give the table of one spectrum")
    if not hasattr(table, "colnames"):  # pandas
        attrs, table = table.attrs, Table({str(name): table[name].to_numpy() for name in table.columns})
        table.meta = dict(attrs)
    plain = Table(table, copy=True)
    meta = {str(key): _plain(value) for key, value in plain.meta.items()}
    plain.meta = {key: value for key, value in meta.items() if value is not None and value == value}
    found = _read(plain, where, medium)
    unnamed = found.star if any(key.upper() in ("STAR", "OBJECT", "TARGET", "NAME") for key in plain.meta) else where
    return _named(found, star or unnamed, resolving_power)


def converted(value, where="spectrum", *, medium=None, star=None, resolving_power=None):
    """Convert any object that holds a spectrum; a Spectrum is returned with the given star and resolving power.

    Parameters
    ----------
    value : Spectrum, specutils.Spectrum, astropy.table.Table or pandas.DataFrame
        The object.
    where : str
        Name for errors.
    medium, star, resolving_power : optional
        As for :func:`from_specutils`.

    Returns
    -------
    Spectrum

    Raises
    ------
    ConfigError
        The object is not a spectrum.
    DataError
        As for :func:`from_specutils` and :func:`from_table`.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from dtl_core.reading.conversion import converted
    >>> wavelength = np.linspace(8790.0, 8840.0, 2001)
    >>> table = Table({"wavelength": wavelength, "flux": np.ones(2001)}, meta={"OBJECT": "GJ 699", "BERV": -11.3})
    >>> spectrum = converted(table, medium="vacuum", resolving_power=80_000)
    >>> spectrum.star, spectrum.berv, spectrum.resolving_power
    ('GJ 699', -11.3, 80000.0)
    """
    kind, options = _kind(value), {"star": star, "resolving_power": resolving_power}
    if kind == "specutils":
        return from_specutils(value, medium=medium, where=where, **options)
    if kind == "table":
        return from_table(value, medium=medium, where=where, **options)
    if kind != "spectrum":
        if isinstance(value, str | os.PathLike):
            remedy = "read it first, with dtl_core.reading.readers.read"
            raise ConfigError(f"{shown(os.fspath(value))} is a path, not a spectrum", field=where, remedy=remedy)
        raise _refuse(value, where)
    if medium == "air":
        problem = "a Spectrum is in vacuum as it is"
        raise ConfigError(
            problem, field="medium", remedy="convert its wavelengths with dtl_core.spectra.operators.air_to_vacuum"
        )
    changes = {key: changed for key, changed in options.items() if changed is not None}
    return dataclasses.replace(value, **changes) if changes else value


def exposures(value, where="spectrum", **options):
    """Convert a spectrum or several exposures of a star to a list of Spectrum; options as for :func:`converted`."""
    if _kind(value) != "list":
        return [converted(value, where, **options)]
    found = [converted(one, f"{where}[{number}]", **options) for number, one in enumerate(value)]
    if not found:
        raise DataError("no exposure is given", field=where, remedy="give at least one spectrum")
    return found


def each(value, where="spectra"):
    """Iterate over an object or a list of them: pairs of a name for errors and the object, not yet converted."""
    kind = _kind(value)
    if kind in ("spectrum", "specutils", "table") or isinstance(value, str | os.PathLike):
        yield where, value
    elif kind == "list":
        for number, one in enumerate(value):
            yield f"{where}[{number}]", one
    else:
        raise _refuse(value, where)
