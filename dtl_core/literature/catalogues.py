"""Published tables of M dwarfs: their values as tidy frames, and where each comes from.

Tables are read at run time from ``published/`` in the folder named by ``DTL_DATA`` or in the cache, or else from CDS
(``vizier/`` in the same places, see :mod:`dtl_core.public_data.archives`); none is shipped. :func:`provenance` says
which it was. A *tidy* frame has one row a star: karmn, teff [K], logg [cgs], mh [dex], vsini [km/s], and errors: ``e_``
and ``E_`` (lower and upper) in catalogues of this method, one symmetric ``e_`` in the literature. Stars are matched by
identifier, never by row order: :mod:`dtl_core.literature.names` has the rule.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import ConfigError, DataError
from ..files import file_hash
from ..parameters import PARAMETER_COLUMNS, PARAMETERS
from ..public_data import registry
from .names import normalise_karmn

__all__ = [
    "CATALOGUE_COLUMNS",
    "SOURCES",
    "Source",
    "as_qtable",
    "at_hand",
    "available",
    "provenance",
    "read_columns",
    "read_literature",
    "read_positions",
    "read_published",
    "read_sources",
    "read_stars",
    "require_columns",
    "tidy",
]


_COLUMNS = {f"{e}{p}": f"{e}{name}" for p, name in PARAMETER_COLUMNS.items() for e in ("", "e_", "E_")}
CATALOGUE_COLUMNS = ("karmn", "ra_gaiadr3", "dec_gaiadr3", *_COLUMNS.values())
_PLAUSIBLE = {"teff": (1000, 10_000), "logg": (2, 7), "mh": (-4, 2), "vsini": (0, 300)}  # else: wrong unit or column
_STAR_FLAGS = ("ha_active", "subdwarf_like", "schw19_young_extra")
_STAR_NUMBERS = ("ra", "dec", "plx", "pmra", "pmdec", "rv", "lbol", "bp_mag", "g_mag", "rp_mag", "j_mag")
_FETCH = "fetch the file again from its public origin"
_CDS = {  # file of published/: the catalogue at CDS
    "mas_buitrago_2024.csv": "J/A+A/687/A205",
    "pass18.csv": "J/A+A/615/A6",
    "pass19.csv": "J/A+A/627/A161",
    "schw19.csv": "J/A+A/625/A68",
    "dl.csv": "J/A+A/642/A22",
    "dtl.csv": "J/A+A/673/A105",
    "mar21.csv": "J/A+A/656/A162",
    "mann15.csv": "J/ApJ/804/64",
    "gaid14.csv": "J/MNRAS/443/2561",
    "gm14.csv": "J/ApJ/791/54",
}
_OWN_NAMES = "column names of the authors' repository, not of CDS: of a catalogue from CDS the mapping would be a guess"
_KARMN_ADDED = "the paper has no Karmn identifiers: whoever made the file matched them, and a row from CDS has none"
_NOTES = {
    "dl.csv": _OWN_NAMES,
    "dtl.csv": _OWN_NAMES,
    "mann15.csv": _KARMN_ADDED,
    "gaid14.csv": _KARMN_ADDED,
    "gm14.csv": _KARMN_ADDED,
    "interferometric_14.csv": "transcribed from Table 1 of Bello-García et al. (2023)",
    "fgk_m_6.csv": "transcribed from Table 3 of Bello-García et al. (2023)",
}
_BIBCODE = "2024A&A...687A.205M"
_UNITS = {  # astropy's names; errors have the unit of the value, but log g's is in dex
    "teff": "K",
    "logg": "dex(cm / s2)",
    "mh": "dex",
    "vsini": "km / s",
    **dict.fromkeys(("ra", "dec", "ra_gaiadr3", "dec_gaiadr3"), "deg"),
    "plx": "mas",
    **dict.fromkeys(("pmra", "pmdec"), "mas / yr"),
    **dict.fromkeys(("rv", "U", "V", "W"), "km / s"),
    "lbol": "Lsun",
    "radius": "Rsun",
    "mass": "Msun",
    **dict.fromkeys(("bp_mag", "g_mag", "rp_mag", "j_mag"), "mag"),
    **dict.fromkeys(("separation", "unmoved"), "arcsec"),
}


@dataclass(frozen=True)
class Source:
    """One set of literature values: a file of ``published/``, its bibcode and its column for each tidy column."""

    file: str
    bibcode: str
    columns: dict  # tidy name: name in the file
    limits: bool = False  # a v sin i without an error is an upper limit


def _source(file, bibcode, error="e_{}", limits=False, **columns):
    errors = {f"e_{p}": error.format(name.removesuffix("_MODE")) for p, name in columns.items() if error}
    return Source(file, bibcode, columns | errors, limits)


_P19, _S19 = ("pass19.csv", "2019A&A...627A.161P"), ("schw19.csv", "2019A&A...625A..68S")
_P20, _B23 = ("dl.csv", "2020A&A...642A..22P", "{}_STD"), ("dtl.csv", "2023A&A...673A.105B", "{}_STD")
_M21 = ("mar21.csv", "2021A&A...656A.162M")
SOURCES = {
    "Pass18": _source("pass18.csv", "2018A&A...615A...6P", teff="Teff", logg="logg", mh="[Fe/H]"),
    "Pass19 VIS": _source(*_P19, teff="TeffV", logg="loggV", mh="[Fe/H]V"),
    "Pass19 NIR": _source(*_P19, teff="TeffN", logg="loggN", mh="[Fe/H]N"),
    "Pass19 VIS+NIR": _source(*_P19, teff="TeffVN", logg="loggVN", mh="[Fe/H]VN"),
    "Schw19": _source(*_S19, teff="Teff", logg="loggc", mh="[Fe/H]"),
    "Schw19 spectroscopic": _source(*_S19, logg="logg"),
    "Pass20": _source(*_P20, teff="TEFF_MODE", logg="LOGG_MODE", mh="ZETA_MODE", vsini="VSINI_MODE"),
    "Bello23": _source(*_B23, teff="TEFF_MODE", mh="ZETA_MODE"),
    "Mar21": _source(*_M21, teff="Teff1", logg="logg1", mh="Corr1"),
    "Mar21 run 2": _source(*_M21, teff="Teff2", mh="Corr2"),
    "Mar21 uncorrected": _source(*_M21, mh="[Fe/H]1"),
    "Rein18": _source("mar21.csv", "2018A&A...612A..49R", limits=True, vsini="vsini"),
    "Mann15": _source("mann15.csv", "2015ApJ...804...64M", teff="Teff", mh="[Fe/H]"),
    "Gaidos14": _source("gaid14.csv", "2014MNRAS.443.2561G", teff="Teff", mh="[Fe/H]"),
    "GM14": _source("gm14.csv", "2014ApJ...791...54G", teff="Teff", mh="[Fe/H]"),
    "Interferometric": _source("interferometric_14.csv", _B23[1], error="", teff="teff_interf"),
    "FGK+M": _source("fgk_m_6.csv", _B23[1], error="", mh="mh_fgk_primary"),
}


def available(*, stars=False):
    """True where the published catalogue is in the folder named by ``DTL_DATA`` or in the cache, as file or from CDS.

    With ``stars`` the table of :func:`read_stars` must be there too; it has no public file, so only ``DTL_DATA`` can.
    """
    return at_hand("mas_buitrago_2024.csv") and (not stars or at_hand("stars_286.csv"))


def at_hand(name):
    """True where a table of ``published/`` lies in mirror or cache, or its catalogue from CDS does."""
    return bool(registry.find(f"published/{name}") or (name in _CDS and registry.find(_cds_folder(name))))


def _read(name, columns=()):
    """A table of ``published/`` as strings, and its path; from CDS where there is not a file but its catalogue."""
    path = registry.find("published/" + name)
    if path is not None:
        return path, _read_csv(path)
    folder = registry.find(_cds_folder(name)) if name in _CDS else None
    if folder is not None:
        return _read_cds(folder, name, columns)
    remedy = "dtl data fetch published, or set DTL_DATA"
    raise DataError("is neither in DTL_DATA nor in the cache", file="published/" + name, remedy=remedy)


def _read_csv(path):
    """A CSV as strings; every way in which a file can be cut short is an error."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read ({type(error).__name__})", file=path, remedy=_FETCH) from None
    header, *rows = list(csv.reader(text.splitlines())) or [[]]
    if not rows:
        raise DataError("holds no stars", file=path, remedy=_FETCH)
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header) or (number == len(rows) + 1 and not text.endswith("\n")):
            last = header[max(min(len(row), len(header)) - 1, 0)]
            raise DataError(f"line {number} is not whole", file=path, field=last, remedy=_FETCH)
    return pd.DataFrame(rows, columns=header)


def _cds_folder(name):
    return "vizier/" + _CDS[name].replace("/", "_")


def _plain(column):
    """What stays of a column's name in a VOTable, where ``[Fe/H]`` becomes ``__Fe_H_``: runs of other signs are one."""
    return re.sub(r"[\W_]+", "_", column)


def _cds_columns(given, wanted):
    """Which of a table's columns each wanted one is, as a dict, or None when one is missing or could be two."""
    out = {}
    for column in wanted:
        alike = [name for name in given if name == column] or [name for name in given if _plain(name) == _plain(column)]
        if len(alike) != 1:
            return None
        out[column] = alike[0]
    return out


def _read_cds(folder, name, columns):
    """The one table of a catalogue from CDS that has Karmn and the columns, under our names, as strings."""
    from astropy.table import Table

    fits = {}
    for path in sorted(folder.glob("*.ecsv")):
        try:
            table = Table.read(path, format="ascii.ecsv")
        except Exception as error:  # each parser has its own
            remedy = f"dtl data fetch {_cds_folder(name)}"
            raise DataError(f"cannot be read ({type(error).__name__})", file=path, remedy=remedy) from None
        names = _cds_columns(table.colnames, ["Karmn", *columns])
        if names:
            fits[path] = table, names
    if len(fits) != 1:
        which = " and ".join(path.name for path in fits)
        problem = f"{which} both have" if fits else "no table has"
        problem += f" Karmn and {', '.join(columns)}, so what is what would be a guess"
        raise DataError(problem, file=_cds_folder(name), remedy=f"dtl data fetch published/{name}")
    ((path, (table, names)),) = fits.items()
    if not len(table):
        raise DataError("holds no stars", file=path, remedy=f"dtl data fetch {_cds_folder(name)}")
    back = {given: ours for ours, given in names.items()}
    text = {back.get(c, c): ["" if v is np.ma.masked else str(v) for v in table[c]] for c in table.colnames}
    frame = pd.DataFrame(text)
    frame.attrs |= {"fetched": str(table.meta.get("fetched", "")), "table": str(table.meta.get("table", path.stem))}
    return path, frame


def _provenance(name, file, bibcode, path, raw, columns):
    cds = path.suffix == ".ecsv"
    kept = f"{_cds_folder(file)}/{path.name}" if cds else f"published/{file}"
    known = registry.load().get(kept)
    digest = file_hash(path)
    return {
        "source": name,
        "bibcode": bibcode,
        "catalogue": _CDS.get(file, ""),
        "file": kept,
        "origin": "CDS" if cds else registry.where(kept)[0],
        "table": raw.attrs.get("table", ""),
        "fetched": raw.attrs.get("fetched", ""),
        "sha256": digest,
        "as_registered": known.sha256 == digest if known and known.sha256 else None,
        "columns": dict(columns),
        "note": "" if cds else _NOTES.get(file, ""),
    }


def require_columns(frame, path, columns):
    """Refuse a table without these columns: DataError, which names the file ``path`` and the column."""
    for column in columns:
        if column not in frame.columns:
            raise DataError("no such column", file=path, field=column, remedy="rename it, or " + _FETCH)


def _identifiers(frame, path):
    key = next((column for column in frame.columns if column.lower() == "karmn"), "karmn")
    require_columns(frame, path, [key])
    names = pd.Series(normalise_karmn(frame[key]))
    if (names == "").any():
        raise DataError("a star has no identifier", file=path, field=key, remedy="give every star one")
    if names.duplicated().any():
        twice = names[names.duplicated()].iloc[0]
        raise DataError(f"star {twice} is there twice", file=path, field=key, remedy="keep one row a star")
    return names


def _numbers(values, path, field, bounds=(-np.inf, np.inf)):
    """Float64 of a column; blank and masked entries become NaN, anything but a number within bounds is an error."""
    out = np.empty(len(values))
    for i, value in enumerate(values):
        try:
            out[i] = np.nan if value is None or value is pd.NA or str(value).strip() in ("", "--") else float(value)
        except (TypeError, ValueError):
            out[i] = np.inf
        if np.isinf(out[i]) or not (np.isnan(out[i]) or bounds[0] <= out[i] <= bounds[1]):
            remedy = "give a number in K, cgs, dex or km/s, errors as lengths, or a blank"
            raise DataError(f"star {i + 1} holds {value!r}", file=path, field=field, remedy=remedy)
    return out


def tidy(table, file="catalogue", bounds=None):
    """A catalogue with the published table's columns as a tidy frame.

    Arguments
    ---------
    table : astropy.table.Table or pandas.DataFrame
        Columns ``CATALOGUE_COLUMNS``; the position may be left out.
    file : str, optional
        The name that errors give to the table.
    bounds : dict of parameter -> (low, high), optional
        Values beyond are taken for a wrong unit; by default none are.

    Returns: pandas.DataFrame, karmn, ra, dec [deg], and each parameter with ``e_`` (lower) and ``E_`` (upper) error.
    Errors: DataError when a column is missing or not numeric, an error bar is negative, or a star appears twice.
    """
    frame = table.reset_index(drop=True) if isinstance(table, pd.DataFrame) else table.to_pandas()
    require_columns(frame, file, _COLUMNS.values())
    limits = dict.fromkeys(_COLUMNS, (0, np.inf)) | dict.fromkeys(PARAMETERS, (-np.inf, np.inf)) | (bounds or {})
    out = {"karmn": _identifiers(frame, file)}
    for name, column in {"ra": "ra_gaiadr3", "dec": "dec_gaiadr3"}.items():
        out[name] = _numbers(frame[column], file, column) if column in frame else np.nan
    return pd.DataFrame(out | {n: _numbers(frame[column], file, column, limits[n]) for n, column in _COLUMNS.items()})


def read_published():
    """The catalogue of Mas-Buitrago et al. (2024, A&A 687, A205): 286 M dwarfs with asymmetric errors.

    Returns: pandas.DataFrame, see :func:`tidy`.
    Errors: DataError when ``DTL_DATA`` is not set or the file is missing, cut short or not what it should be.
    """
    file = "mas_buitrago_2024.csv"
    path, raw = _read(file, tuple(_COLUMNS.values()))
    out = tidy(raw, path, _PLAUSIBLE)
    out.attrs["provenance"] = _provenance("published", file, _BIBCODE, path, raw, _COLUMNS)
    return out


def _source_of(name):
    if name not in SOURCES:
        raise ConfigError(f"unknown source {name!r}", field="source", remedy=f"choose one of {', '.join(SOURCES)}")
    return SOURCES[name]


def read_literature(name):
    """One set of literature values as a tidy frame; what the source does not give is NaN.

    Arguments: name, a key of ``SOURCES``. The [M/H] of ``Mar21`` is the alpha-corrected one, log g of ``Schw19`` is
    ``loggc`` (from mass and radius), while the paper quotes ``Schw19 spectroscopic``.
    Returns: pandas.DataFrame with karmn, value and ``e_`` of each parameter, vsini_limit (bool: v sin i is a limit);
    ``attrs["provenance"]`` as in :func:`provenance`.
    Errors: ConfigError, unknown source; DataError, as for :func:`read_published`, and when only a catalogue from CDS is
    at hand in which the columns cannot be told for certain.
    """
    source = _source_of(name)
    path, raw = _read(source.file, tuple(source.columns.values()))
    require_columns(raw, path, source.columns.values())
    out = pd.DataFrame({"karmn": _identifiers(raw, path)})
    for column in (f"{e}{p}" for p in PARAMETERS for e in ("", "e_")):
        given = source.columns.get(column)
        out[column] = _numbers(raw[given], path, given, _PLAUSIBLE.get(column, (0, np.inf))) if given else np.nan
    out["vsini_limit"] = source.limits & out["vsini"].notna() & out["e_vsini"].isna()
    out.attrs["provenance"] = _provenance(name, source.file, source.bibcode, path, raw, source.columns)
    return out


def read_sources(sources=None):
    """Several sets of literature values.

    Arguments: sources, optional: keys of ``SOURCES`` (all), or a dict of name -> tidy frame, which stays as it is.
    Returns: dict of name -> tidy frame. Errors: as for :func:`read_literature`.
    """
    return sources if isinstance(sources, dict) else {name: read_literature(name) for name in sources or SOURCES}


def provenance(name="published"):
    """Where the values of a source come from.

    Arguments: name, a key of ``SOURCES``, or ``published``: the catalogue itself.
    Returns: dict with source; bibcode; catalogue, its identifier at CDS; file, under ``DTL_DATA`` or in the cache;
    origin (``mirror``, ``cache`` or ``CDS``); table and fetched, of a table from CDS; sha256 of the file; as_registered
    (bool: the registry's hash, None where it has none); columns, tidy name: name in the file; note.
    Errors: as for :func:`read_literature`.
    """
    return (read_published() if name == "published" else read_literature(name)).attrs["provenance"]


def as_qtable(frame):
    """A frame of this module as an astropy table with units: K, dex(cm/s2), dex, km/s; deg, mas, mas/yr in others.

    An error has the unit of its value; that of log g is in dex. Frames of :mod:`dtl_core.literature.matching` are taken
    as well.

    Returns: astropy.table.QTable; ``meta["provenance"]`` as in :func:`provenance`, where the frame has it.
    """
    from astropy import units
    from astropy.table import QTable

    table = QTable()
    for column in frame.columns:
        name = column[2:] if column[:2] in ("e_", "E_") else column
        unit = _UNITS.get(name) if pd.api.types.is_float_dtype(frame[column]) else None
        if unit and name != column:
            unit = unit.removesuffix("(cm / s2)")
        values = frame[column].to_numpy()
        table[column] = values * units.Unit(unit) if unit else values.astype(str) if values.dtype == object else values
    if "provenance" in frame.attrs:
        table.meta["provenance"] = frame.attrs["provenance"]
    return table


def read_stars():
    """What is known of the 286 stars besides their spectra (``stars_286.csv``).

    ``ha_active`` was reconstructed from published equivalent widths and the paper's figure: say so where it is shown.

    Returns: pandas.DataFrame with karmn; ra, dec [deg]; plx [mas]; pmra, pmdec [mas/yr]; rv, U, V, W [km/s]; lbol
    [Lsun]; magnitudes; pop (TD, TD-D, D, YD); ha_active, subdwarf_like, schw19_young_extra (bool); the rest as it is.
    Errors: DataError, as for :func:`read_published`.
    """
    path, raw = _read("stars_286.csv")
    require_columns(raw, path, ("pop", *_STAR_FLAGS, *_STAR_NUMBERS))
    columns = {"karmn": _identifiers(raw, path)}
    for column in raw.columns.drop("karmn"):
        text = raw[column].str.strip()
        if column in _STAR_FLAGS:
            wrong = ~text.isin(["0", "1", "True", "False"])
            if wrong.any():
                raise DataError(f"holds {text[wrong].iloc[0]!r}", file=path, field=column, remedy="give 0 or 1")
            columns[column] = text.isin(["1", "True"])
            continue
        worded = column.endswith("_id") or pd.to_numeric(text[text != ""], errors="coerce").isna().any()
        columns[column] = text if worded and column not in _STAR_NUMBERS else _numbers(text, path, column)
    return pd.DataFrame(columns)


def read_positions(name):
    """The positions of a source, ``_RA`` and ``_DE`` as CDS adds them: karmn; ra, dec [deg], equinox and epoch J2000.

    Errors: ConfigError, unknown source; DataError, as for :func:`read_literature`, or when the source gives none.
    """
    source = _source_of(name)
    path, raw = _read(source.file, (*source.columns.values(), "_RA", "_DE"))
    if not {"_RA", "_DE"} <= set(raw.columns):
        raise DataError("the table has no positions", file=path, field="_RA", remedy="check another source")
    out = {"karmn": _identifiers(raw, path), "ra": _numbers(raw["_RA"], path, "_RA", (0, 360))}
    return pd.DataFrame(out | {"dec": _numbers(raw["_DE"], path, "_DE", (-90, 90))})


def read_columns(name, columns):
    """Columns of a table of ``published/`` as they are there.

    Arguments: name, of the file; columns, names in it.
    Returns: pandas.DataFrame with karmn and the columns, str. Errors: DataError, as for :func:`read_published`.
    """
    path, raw = _read(name, tuple(columns))
    require_columns(raw, path, columns)
    return raw.assign(karmn=_identifiers(raw, path))[["karmn", *columns]]
