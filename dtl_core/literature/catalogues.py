"""Published tables of M dwarfs as tidy frames, with their provenance.

Tables are read from ``published/`` in the folder named by ``DTL_DATA`` or in the cache, or else from files of CDS
(``vizier/`` in the same places, see :mod:`dtl_core.public_data.archives`); the package contains none.

A *tidy* frame has one row per star: karmn, teff [K], logg [cgs], mh [dex], vsini [km/s], and errors: ``e_`` and ``E_``
(lower and upper) in catalogues of this method, one symmetric ``e_`` in the literature. Stars are matched by identifier,
see :mod:`dtl_core.literature.names`.
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
from .checks import FETCH, require_columns
from .names import checked_identifiers

__all__ = [
    "SOURCES",
    "Source",
    "at_hand",
    "available",
    "provenance",
    "read_columns",
    "read_literature",
    "read_positions",
    "read_published",
    "read_sources",
    "read_stars",
    "tidy",
]


_COLUMNS = {f"{e}{p}": f"{e}{name}" for p, name in PARAMETER_COLUMNS.items() for e in ("", "e_", "E_")}
_PLAUSIBLE = {
    "teff": (1000, 10_000),
    "logg": (2, 7),
    "mh": (-4, 2),
    "vsini": (0, 300),
}  # values outside mean a wrong unit or column
_STAR_FLAGS = ("ha_active", "subdwarf_like", "schw19_young_extra")
_STAR_NUMBERS = ("ra", "dec", "plx", "pmra", "pmdec", "rv", "lbol", "bp_mag", "g_mag", "rp_mag", "j_mag")
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
_KARMN_ADDED = "the paper has no Karmn identifiers: the author of the file matched them, and a row from CDS has none"
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


@dataclass(frozen=True)
class Source:
    """One set of literature values.

    Attributes
    ----------
    file : str
        In ``published/``.
    bibcode : str
    columns : dict of str to str
        Column of the file by tidy column.
    limits : bool
        Whether a v sin i without an error is an upper limit.
    """

    file: str
    bibcode: str
    columns: dict
    limits: bool = False


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
    """Whether the published catalogue is available; with ``stars``, also the table of :func:`read_stars`.

    The latter has no public file, so it can only be in ``DTL_DATA``.
    """
    return at_hand("mas_buitrago_2024.csv") and (not stars or at_hand("stars_286.csv"))


def at_hand(name):
    """Whether a table of ``published/``, or its catalogue from CDS, is in mirror or cache."""
    return bool(registry.find(f"published/{name}") or (name in _CDS and registry.find(_cds_folder(name))))


def _read(name, columns=()):
    """Path and content (as strings) of a table of ``published/``, or else of its catalogue from CDS."""
    path = registry.find("published/" + name)
    if path is not None:
        return path, _read_csv(path)
    folder = registry.find(_cds_folder(name)) if name in _CDS else None
    if folder is not None:
        return _read_cds(folder, name, columns)
    remedy = "dtl data fetch published, or set DTL_DATA"
    raise DataError("is neither in DTL_DATA nor in the cache", file="published/" + name, remedy=remedy)


def _read_csv(path):
    """Read a CSV as strings; truncated files are errors."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read ({type(error).__name__})", file=path, remedy=FETCH) from None
    header, *rows = list(csv.reader(text.splitlines())) or [[]]
    if not rows:
        raise DataError("holds no stars", file=path, remedy=FETCH)
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header) or (number == len(rows) + 1 and not text.endswith("\n")):
            last = header[max(min(len(row), len(header)) - 1, 0)]
            raise DataError(f"line {number} is not whole", file=path, field=last, remedy=FETCH)
    return pd.DataFrame(rows, columns=header)


def _cds_folder(name):
    return "vizier/" + _CDS[name].replace("/", "_")


def _plain(column):
    """Name of a column with special characters collapsed, as VOTables turn ``[Fe/H]`` into ``__Fe_H_``."""
    return re.sub(r"[\W_]+", "_", column)


def _cds_columns(given, wanted):
    """Column of a table by wanted column, or None if one is missing or ambiguous."""
    out = {}
    for column in wanted:
        same = [name for name in given if name == column] or [name for name in given if _plain(name) == _plain(column)]
        if len(same) != 1:
            return None
        out[column] = same[0]
    return out


def _read_cds(folder, name, columns):
    """Path and content (as strings, our column names) of the one table of a CDS catalogue with these columns."""
    from astropy.table import Table

    fits = {}
    for path in sorted(folder.glob("*.ecsv")):
        try:
            table = Table.read(path, format="ascii.ecsv")
        except Exception as error:  # parsers raise many kinds
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


def _identifiers(frame, path):
    key = next((column for column in frame.columns if column.lower() == "karmn"), "karmn")
    require_columns(frame, path, [key])
    return pd.Series(checked_identifiers(frame[key], path, key).to_numpy())


def _numbers(values, path, field, bounds=(-np.inf, np.inf)):
    """Float64 values of a column; blank and masked entries are NaN, other entries must be numbers within bounds."""
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
    """Convert a catalogue with the columns of the published table to a tidy frame.

    Parameters
    ----------
    table : astropy.table.Table or pandas.DataFrame
        karmn, Teff, logg, [M/H] and vsini with their errors ``e_`` and ``E_`` and, optionally, the positions
        ra_gaiadr3 and dec_gaiadr3.
    file : str
        Name of the table in error messages.
    bounds : dict of str to (float, float), optional
        Range of plausible values by parameter; others raise an error.

    Returns
    -------
    pandas.DataFrame
        karmn, ra, dec [deg], and each parameter with its lower (``e_``) and upper (``E_``) error.

    Raises
    ------
    DataError
        A column is missing or not numeric, an error is negative, or a star occurs twice.
    """
    frame = table.reset_index(drop=True) if isinstance(table, pd.DataFrame) else table.to_pandas()
    require_columns(frame, file, _COLUMNS.values())
    limits = dict.fromkeys(_COLUMNS, (0, np.inf)) | dict.fromkeys(PARAMETERS, (-np.inf, np.inf)) | (bounds or {})
    out = {"karmn": _identifiers(frame, file)}
    for name, column in {"ra": "ra_gaiadr3", "dec": "dec_gaiadr3"}.items():
        out[name] = _numbers(frame[column], file, column) if column in frame else np.nan
    return pd.DataFrame(out | {n: _numbers(frame[column], file, column, limits[n]) for n, column in _COLUMNS.items()})


def read_published():
    """Read the catalogue of Mas-Buitrago et al. (2024, A&A 687, A205): 286 M dwarfs with asymmetric errors.

    Returns
    -------
    pandas.DataFrame
        See :func:`tidy`; ``attrs["provenance"]`` as in :func:`provenance`.

    Raises
    ------
    DataError
        The file is missing, truncated or invalid.
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
    """Read one set of literature values as a tidy frame.

    Parameters
    ----------
    name : str
        A key of ``SOURCES``. [M/H] of ``Mar21`` is corrected for alpha enhancement. log g of ``Schw19`` is ``loggc``,
        from mass and radius, while the paper quotes ``Schw19 spectroscopic``.

    Returns
    -------
    pandas.DataFrame
        karmn, value and ``e_`` of each parameter (NaN if not given) and vsini_limit (bool, upper limits);
        ``attrs["provenance"]`` as in :func:`provenance`.

    Raises
    ------
    ConfigError
        Unknown source.
    DataError
        As for :func:`read_published`, or only a catalogue from CDS with ambiguous columns is available.
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
    """Read several sets of literature values.

    Parameters
    ----------
    sources : iterable of str or dict of str to pandas.DataFrame, optional
        Keys of ``SOURCES`` (by default all), or tidy frames, which are returned unchanged.

    Returns
    -------
    dict of str to pandas.DataFrame
        Tidy frames by source.

    Raises
    ------
    ConfigError, DataError
        As for :func:`read_literature`.
    """
    return sources if isinstance(sources, dict) else {name: read_literature(name) for name in sources or SOURCES}


def provenance(name="published"):
    """Origin of the values of a source.

    Parameters
    ----------
    name : str
        A key of ``SOURCES``, or ``published`` for the catalogue itself.

    Returns
    -------
    dict
        source; bibcode; catalogue, its identifier at CDS; file, in ``DTL_DATA`` or the cache; origin (``mirror``,
        ``cache`` or ``CDS``); table and fetched, of tables from CDS; sha256 of the file; as_registered (bool, whether
        this is the hash in the registry, or None without one); columns, name in the file by tidy name; note.

    Raises
    ------
    ConfigError, DataError
        As for :func:`read_literature`.
    """
    return (read_published() if name == "published" else read_literature(name)).attrs["provenance"]


def read_stars():
    """Read further properties of the 286 stars (``stars_286.csv``).

    ``ha_active`` was reconstructed from published equivalent widths and the paper's figure; figures and tables should
    state this.

    Returns
    -------
    pandas.DataFrame
        karmn; ra, dec [deg]; plx [mas]; pmra, pmdec [mas/yr]; rv, U, V, W [km/s]; lbol [Lsun]; magnitudes; pop (TD,
        TD-D, D, YD); ha_active, subdwarf_like, schw19_young_extra (bool); other columns unchanged.

    Raises
    ------
    DataError
        As for :func:`read_published`.
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
        is_text = column.endswith("_id") or pd.to_numeric(text[text != ""], errors="coerce").isna().any()
        columns[column] = text if is_text and column not in _STAR_NUMBERS else _numbers(text, path, column)
    return pd.DataFrame(columns)


def read_positions(name):
    """Read the positions that CDS adds to a source as ``_RA`` and ``_DE``.

    Parameters
    ----------
    name : str
        A key of ``SOURCES``.

    Returns
    -------
    pandas.DataFrame
        karmn; ra, dec [deg], equinox and epoch J2000.

    Raises
    ------
    ConfigError
        Unknown source.
    DataError
        As for :func:`read_literature`, or the source has no positions.
    """
    source = _source_of(name)
    path, raw = _read(source.file, (*source.columns.values(), "_RA", "_DE"))
    if not {"_RA", "_DE"} <= set(raw.columns):
        raise DataError("the table has no positions", file=path, field="_RA", remedy="check another source")
    out = {"karmn": _identifiers(raw, path), "ra": _numbers(raw["_RA"], path, "_RA", (0, 360))}
    return pd.DataFrame(out | {"dec": _numbers(raw["_DE"], path, "_DE", (-90, 90))})


def read_columns(name, columns):
    """Read columns of a table of ``published/`` as strings.

    Parameters
    ----------
    name : str
        Name of the file.
    columns : iterable of str

    Returns
    -------
    pandas.DataFrame
        karmn and the columns.

    Raises
    ------
    DataError
        As for :func:`read_published`.
    """
    path, raw = _read(name, tuple(columns))
    require_columns(raw, path, columns)
    return raw.assign(karmn=_identifiers(raw, path))[["karmn", *columns]]
