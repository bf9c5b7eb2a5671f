"""Published tables of M dwarfs, and how well two catalogues agree.

Tables are read at run time from ``published/`` in the folder named by ``DTL_DATA`` or in the cache; none is shipped. A
*tidy* frame has one row a star: karmn, teff [K], logg [cgs], mh [dex], vsini [km/s], and errors: ``e_`` and ``E_``
(lower and upper) in catalogues of this method, one symmetric ``e_`` in the literature. Stars are matched by identifier,
never by row order.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from . import registry
from .config import PARAMETER_COLUMNS, PARAMETERS
from .errors import ConfigError, DataError

__all__ = [
    "CATALOGUE_COLUMNS",
    "SOURCES",
    "Source",
    "available",
    "compare",
    "comparison_table",
    "coverage",
    "normalise_karmn",
    "read_literature",
    "read_published",
    "read_stars",
    "tidy",
]

_COLUMNS = {f"{e}{p}": f"{e}{name}" for p, name in PARAMETER_COLUMNS.items() for e in ("", "e_", "E_")}
CATALOGUE_COLUMNS = ("karmn", "ra_gaiadr3", "dec_gaiadr3", *_COLUMNS.values())
_ALIASES = {"J11110+304W": "J11110+304"}  # the brighter star of the pair, with and without its letter
_PLAUSIBLE = {"teff": (1000, 10_000), "logg": (2, 7), "mh": (-4, 2), "vsini": (0, 300)}  # else: wrong unit or column
_SPLITS = {"teff": 3750.0, "vsini": 12.0}  # K, km/s: where the paper splits its comparisons
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


def normalise_karmn(identifier):
    """A star's identifier without stray spaces and under its one name (``J11110+304W`` is ``J11110+304``).

    Arguments: identifier, str or (n_stars,) of str. Returns: str or list of str, like the argument.
    """
    if isinstance(identifier, str):
        name = " ".join(identifier.split())
        return _ALIASES.get(name, name)
    return [normalise_karmn(str(one)) for one in identifier]


def available():
    """True where the published tables are in the folder named by ``DTL_DATA`` or in the cache."""
    return all(registry.find(f"published/{name}") for name in ("mas_buitrago_2024.csv", "stars_286.csv"))


def _read(name):
    """A CSV of ``published/`` as strings; every way in which a file can be cut short is an error."""
    path = registry.find("published/" + name)
    if path is None:
        remedy = "dtl data fetch published, or set DTL_DATA"
        raise DataError("is neither in DTL_DATA nor in the cache", file="published/" + name, remedy=remedy)
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
    return path, pd.DataFrame(rows, columns=header)


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
    path, raw = _read("mas_buitrago_2024.csv")
    return tidy(raw, path, _PLAUSIBLE)


def read_literature(name):
    """One set of literature values as a tidy frame; what the source does not give is NaN.

    Arguments: name, a key of ``SOURCES``. The [M/H] of ``Mar21`` is the alpha-corrected one, log g of ``Schw19`` is
    ``loggc`` (from mass and radius), while the paper quotes ``Schw19 spectroscopic``.
    Returns: pandas.DataFrame with karmn, value and ``e_`` of each parameter, vsini_limit (bool: v sin i is a limit).
    Errors: ConfigError, unknown source; DataError, as for :func:`read_published`.
    """
    if name not in SOURCES:
        raise ConfigError(f"unknown source {name!r}", field="source", remedy=f"choose one of {', '.join(SOURCES)}")
    source = SOURCES[name]
    path, raw = _read(source.file)
    _need(raw, path, source.columns.values())
    out = pd.DataFrame({"karmn": _identifiers(raw, path)})
    for column in (f"{e}{p}" for p in PARAMETERS for e in ("", "e_")):
        given = source.columns.get(column)
        out[column] = _numbers(raw[given], path, given, _PLAUSIBLE.get(column, (0, np.inf))) if given else np.nan
    out["vsini_limit"] = source.limits & out["vsini"].notna() & out["e_vsini"].isna()
    return out


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


def comparison_table(catalogue, sources=None):
    """Every comparison that the sources allow, whole and split at 3750 K and 12 km/s of this work's value.

    Arguments: catalogue, a tidy frame; sources, optional: keys of ``SOURCES`` (all), or a dict of name -> tidy frame.
    Returns: pandas.DataFrame with source, parameter, subset (``all``, ``teff<3750`` ...) and :func:`compare`'s columns.
    """
    frames = sources if isinstance(sources, dict) else {name: read_literature(name) for name in sources or SOURCES}
    rows = []
    for (name, literature), parameter in ((item, p) for item in frames.items() for p in PARAMETERS):
        value, at = catalogue[parameter], _SPLITS.get(parameter)
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
