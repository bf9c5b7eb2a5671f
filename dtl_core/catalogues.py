"""Published tables of M dwarfs, and how well two catalogues agree.

Tables are read at run time from ``published/`` in the folder named by ``DTL_DATA`` or in the cache, or else from CDS
(``vizier/`` in the same places, see :mod:`dtl_core.archives`); none is shipped. :func:`provenance` says which it was. A
*tidy* frame has one row a star: karmn, teff [K], logg [cgs], mh [dex], vsini [km/s], and errors: ``e_`` and ``E_``
(lower and upper) in catalogues of this method, one symmetric ``e_`` in the literature. Stars are matched by identifier,
never by row order: :mod:`dtl_core.names` has the rule.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from . import registry
from .config import PARAMETER_COLUMNS, PARAMETERS
from .errors import ConfigError, DataError
from .names import LIMIT, match, normalise_karmn, position_check, split_karmn
from .store import file_hash

__all__ = [
    "CATALOGUE_COLUMNS",
    "SOURCES",
    "SPLITS",
    "Source",
    "as_qtable",
    "at_hand",
    "available",
    "check_positions",
    "compare",
    "comparison_table",
    "coverage",
    "match_report",
    "match_summary",
    "normalise_karmn",
    "provenance",
    "read_literature",
    "read_positions",
    "read_published",
    "read_stars",
    "star_names",
    "tidy",
]

_COLUMNS = {f"{e}{p}": f"{e}{name}" for p, name in PARAMETER_COLUMNS.items() for e in ("", "e_", "E_")}
CATALOGUE_COLUMNS = ("karmn", "ra_gaiadr3", "dec_gaiadr3", *_COLUMNS.values())
_PLAUSIBLE = {"teff": (1000, 10_000), "logg": (2, 7), "mh": (-4, 2), "vsini": (0, 300)}  # else: wrong unit or column
SPLITS = {"teff": 3750.0, "vsini": 12.0}  # K, km/s: where the paper splits its comparisons
_STATISTICS = (
    "N",
    "mean_diff",
    "median_diff",
    "std_diff",
    "mad_sigma",
    "rmse",
    "pearson_r",
    "spearman",
    "ols_slope",
    "ols_slope_err",
    "theil_sen_slope",
    "resid_slope",
)
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
    """A table of ``published/`` as strings, and its path; from CDS where there is no file but its catalogue."""
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


def _need(frame, path, columns):
    for column in columns:
        if column not in frame.columns:
            raise DataError("no such column", file=path, field=column, remedy="rename it, or " + _FETCH)


def _identifiers(frame, path):
    key = next((column for column in frame.columns if column.lower() == "karmn"), "karmn")
    _need(frame, path, [key])
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
    _need(frame, file, _COLUMNS.values())
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
    _need(raw, path, source.columns.values())
    out = pd.DataFrame({"karmn": _identifiers(raw, path)})
    for column in (f"{e}{p}" for p in PARAMETERS for e in ("", "e_")):
        given = source.columns.get(column)
        out[column] = _numbers(raw[given], path, given, _PLAUSIBLE.get(column, (0, np.inf))) if given else np.nan
    out["vsini_limit"] = source.limits & out["vsini"].notna() & out["e_vsini"].isna()
    out.attrs["provenance"] = _provenance(name, source.file, source.bibcode, path, raw, source.columns)
    return out


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

    An error has the unit of its value; that of log g is in dex.

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
    _need(raw, path, ("pop", *_STAR_FLAGS, *_STAR_NUMBERS))
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


def _pairs(catalogue, literature, parameter, errors=()):
    """Values of the stars in both frames: arrays x, y and one for each of the catalogue's error columns."""
    if parameter not in PARAMETERS:
        remedy = f"choose one of {', '.join(PARAMETERS)}"
        raise ConfigError(f"unknown parameter {parameter!r}", field="parameter", remedy=remedy)
    _need(catalogue, "catalogue", ("karmn", parameter, *errors))
    _need(literature, "literature", ("karmn", parameter))
    both = catalogue[["karmn", parameter, *errors]].merge(
        literature[["karmn", parameter]], on="karmn", suffixes=("", "_literature"), validate="one_to_one"
    )
    both = both.dropna(subset=[parameter, f"{parameter}_literature"])
    return [both[name].to_numpy(float) for name in (parameter, f"{parameter}_literature", *errors)]


def compare(catalogue, literature, parameter):
    r"""How a catalogue (:math:`x`) and literature values (:math:`y`) differ: :math:`\Delta = y - x`, the paper's sign.

    Arguments
    ---------
    catalogue, literature : pandas.DataFrame
        Tidy frames, matched by karmn.
    parameter : str
        ``teff``, ``logg``, ``mh`` or ``vsini``.

    Returns
    -------
    dict : N; mean_diff, median_diff, std_diff (N - 1), mad_sigma (1.4826 MAD) and rmse of the differences, in the
        parameter's unit; pearson_r, spearman; ols_slope, ols_slope_err and theil_sen_slope of y on x; resid_slope, of
        the differences on x. NaN where there are too few stars.

    Errors: ConfigError, unknown parameter; DataError, missing column.
    """
    x, y = _pairs(catalogue, literature, parameter)
    delta, out = y - x, dict.fromkeys(_STATISTICS, np.nan)
    if len(x) > 0:
        out |= {
            "mean_diff": delta.mean(),
            "median_diff": np.median(delta),
            "rmse": np.sqrt(np.mean(delta**2)),
            "mad_sigma": 1.4826 * np.median(np.abs(delta - np.median(delta))),
        }
    if len(x) > 1:
        out["std_diff"] = delta.std(ddof=1)
    if len(x) > 2 and np.ptp(x) > 0:
        line = stats.linregress(x, y)
        out |= {
            "ols_slope": line.slope,
            "ols_slope_err": line.stderr,
            "resid_slope": line.slope - 1,
            "theil_sen_slope": stats.theilslopes(y, x)[0],
        }
        if np.ptp(y) > 0:
            out |= {"pearson_r": stats.pearsonr(x, y)[0], "spearman": stats.spearmanr(x, y)[0]}
    return {name: float(value) for name, value in out.items()} | {"N": len(x)}


def _frames(sources):
    return sources if isinstance(sources, dict) else {name: read_literature(name) for name in sources or SOURCES}


def comparison_table(catalogue, sources=None):
    """Every comparison that the sources allow, whole and split at 3750 K and 12 km/s of this work's value.

    Arguments: catalogue, a tidy frame; sources, optional: keys of ``SOURCES`` (all), or a dict of name -> tidy frame.
    Returns: pandas.DataFrame with source, parameter, subset (``all``, ``teff<3750`` ...) and :func:`compare`'s columns.
    """
    frames = _frames(sources)
    rows = []
    for (name, literature), parameter in ((item, p) for item in frames.items() for p in PARAMETERS):
        value, at = catalogue[parameter], SPLITS.get(parameter)
        subsets = {"all": value.notna()}
        if at:
            subsets |= {f"{parameter}<{at:g}": value < at, f"{parameter}>={at:g}": value >= at}
        found = [
            {"source": name, "parameter": parameter, "subset": subset} | compare(catalogue[mask], literature, parameter)
            for subset, mask in subsets.items()
        ]
        rows += found if found[0]["N"] else []
    return pd.DataFrame(rows, columns=["source", "parameter", "subset", *_STATISTICS])


def coverage(catalogue, benchmark, parameter):
    r"""How many benchmark values fall inside the catalogue's asymmetric 1-sigma bars, :math:`[x - e, x + E]`.

    Arguments: tidy frames (the benchmark's own errors are not added) and a parameter, as for :func:`compare`.
    Returns: dict with N and inside (counts) and fraction (0.68 if the bars were right; NaN without stars).
    """
    x, y, low, high = _pairs(catalogue, benchmark, parameter, (f"e_{parameter}", f"E_{parameter}"))
    inside = int(((y >= x - low) & (y <= x + high)).sum())
    return {"N": len(x), "inside": inside, "fraction": inside / len(x) if len(x) else float("nan")}


# ---------------------------------------------------------------- who is where


def _joined(catalogue, literature):
    """The literature's row of each star of the catalogue, in its order, and whether it has one."""
    found = match(catalogue[["karmn"]], literature.assign(_there=True), how="left")
    return found, found["_there"].notna()


def _given(literature):
    return [p for p in PARAMETERS if p in literature and literature[p].notna().any()]


def match_report(catalogue=None, sources=None):
    """Which star has which values in which source: one row a star of the catalogue, one column a source.

    A cell is ``present`` (a value of every parameter that the source gives), ``no value: mh`` (in the table, without
    these parameters) or ``missing`` (not in the table).

    Arguments: catalogue, a tidy frame (the published one); sources, as for :func:`comparison_table`.
    Returns: pandas.DataFrame with karmn and a column of str for each source.
    Errors: DataError, as for :func:`read_literature`, or when a star is there twice.
    """
    catalogue = read_published() if catalogue is None else catalogue
    out = {"karmn": normalise_karmn(catalogue["karmn"])}
    for name, literature in _frames(sources).items():
        found, there = _joined(catalogue, literature)
        blank = found[_given(literature)].isna()
        lacks = [" ".join(blank.columns[row]) for row in blank.to_numpy()]
        cells = [f"no value: {which}" if which else "present" for which in lacks]
        out[name] = np.where(there, cells, "missing")
    return pd.DataFrame(out)


def _listed(names, what):
    if not len(names):
        return []
    return [f"{len(names)} {what}: {', '.join(names)}" if len(names) <= 8 else f"{len(names)} {what}"]


def match_summary(catalogue=None, sources=None):
    """How many stars of the catalogue each source has a value for, and why the others have none.

    Arguments: as for :func:`match_report`.
    Returns: pandas.DataFrame with source, parameter, N (stars with a value), no_value (in the table, but blank),
    missing (not in the table), why (one line). The rows ``any source`` count the stars that at least one source has;
    their ``why`` names the stars missing everywhere.
    """
    catalogue = read_published() if catalogue is None else catalogue
    rows, anywhere = [], {}
    for name, literature in _frames(sources).items():
        found, there = _joined(catalogue, literature)
        stars, away = found["karmn"], list(found["karmn"][~there])
        places = pd.Series({n: split_karmn(n)[0] for n in normalise_karmn(literature["karmn"])}, dtype=object)
        near = {star: list(places.index[places == split_karmn(star)[0]]) for star in away}
        others = [f"of {star} the table lists {' and '.join(other)}" for star, other in near.items() if other]
        for parameter in _given(literature):
            has = found[parameter].notna()
            anywhere[parameter] = anywhere.get(parameter, False) | has.to_numpy()
            blank = list(stars[there & ~has])
            why = _listed(away, "not in the table") + others + _listed(blank, "in the table without a value")
            counts = {"N": int(has.sum()), "no_value": len(blank), "missing": len(away)}
            rows.append({"source": name, "parameter": parameter} | counts | {"why": "; ".join(why)})
    for parameter, has in anywhere.items():
        away = [star for star, there in zip(normalise_karmn(catalogue["karmn"]), has, strict=True) if not there]
        counts = {"N": int(has.sum()), "no_value": 0, "missing": len(away)}
        why = "; ".join(_listed(away, "in no source"))
        rows.append({"source": "any source", "parameter": parameter} | counts | {"why": why})
    return pd.DataFrame(rows, columns=["source", "parameter", "N", "no_value", "missing", "why"])


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


def check_positions(sources=None, limit=LIMIT):
    """Whether the stars matched by identifier lie at the same place, in every source that gives positions.

    Gaia DR3 positions are the published catalogue's; it has none of five stars, whose come from ``stars_286.csv``.

    Arguments: sources, keys of ``SOURCES``, by default one for each table with positions; limit [arcsec].
    Returns: pandas.DataFrame, source and the columns of :func:`dtl_core.names.position_check`.
    Errors: as for :func:`read_positions`.
    """
    stars = read_stars()[["karmn", "ra", "dec", "pmra", "pmdec"]]
    ours = match(read_published()[["karmn", "ra", "dec"]], stars, how="left", suffixes=("", "_stars"))
    ours = ours.assign(ra=ours.ra.fillna(ours.ra_stars), dec=ours.dec.fillna(ours.dec_stars))
    sources = ("Schw19", "Mar21", "Mann15", "Gaidos14", "GM14") if sources is None else sources
    parts = [position_check(ours, read_positions(name), limit) for name in sources]
    return pd.concat(parts, keys=sources, names=["source", None]).reset_index("source").reset_index(drop=True)


def star_names():
    """What each star is called: identifiers across catalogues, for a search in Gaia's archive or in SIMBAD.

    Returns: pandas.DataFrame with karmn; gaia_dr3 (source_id as str: a float would lose digits); gj (``GJ 15 A``);
    name, of CARMENES-IX; simbad_gm14 and simbad_schw19, the ``SimbadName`` of these tables; name_schw19, the paper's
    own. What is not known is an empty string, and so is simbad_schw19 where Schw19's position is another star's
    (:func:`check_positions`): the name is that star's too.
    Errors: DataError, as for :func:`read_published`.
    """
    stars = read_stars()
    _need(stars, "published/stars_286.csv", ("gaia_dr3_id", "name", "gj"))
    gj = stars["gj"].astype(str).str.strip().replace("nan", "")
    out = pd.DataFrame({"karmn": stars["karmn"], "gaia_dr3": stars["gaia_dr3_id"], "name": stars["name"]})
    out.insert(2, "gj", ("GJ " + gj).where(gj != "", ""))
    given = {"gm14": {"SimbadName": "simbad_gm14"}, "schw19": {"Name": "name_schw19", "SimbadName": "simbad_schw19"}}
    for file, columns in given.items():
        path, raw = _read(f"{file}.csv", tuple(columns))
        _need(raw, path, columns)
        named = raw.assign(karmn=_identifiers(raw, path))[["karmn", *columns]].rename(columns=columns)
        out = match(out, named, how="left")
    checked = check_positions(["Schw19"])
    out.loc[out["karmn"].isin(checked["karmn"][checked["mismatch"]]), "simbad_schw19"] = ""
    text = out.columns.drop("karmn")
    out[text] = out[text].fillna("").apply(lambda column: column.str.strip())
    return out
