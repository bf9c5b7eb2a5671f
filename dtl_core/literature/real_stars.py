"""Real stars that the models are judged on: their spectra, their published values, and ours against them.

    stars = load_real_stars()
    published_of(stars["GJ 699"], "mh")         value, error, sources
    compared = compare(estimates)               ours against published, one row per spectrum and parameter
    summary(compared)                           bias, rmse, share inside the error bars
    published_rows()                            published values for tables of estimates

Stars and values are in ``data/real_stars.toml``. No star is judged by a model that has seen it: see :func:`compare`.
"""

from __future__ import annotations

import datetime
import functools
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..errors import ConfigError, DataError
from ..files import DATA
from ..parameters import PARAMETERS
from ..public_data import registry
from ..reading import readers
from ..reading.star_tables import name_key
from .checks import require_columns

__all__ = [
    "EARLY",
    "GOALS",
    "LATE",
    "ORDER",
    "Published",
    "RealStar",
    "Source",
    "SpectrumFile",
    "Value",
    "check_unseen",
    "compare",
    "left_out_summary",
    "load_real_stars",
    "published_of",
    "published_rows",
    "read_spectrum",
    "sources_of",
    "star_named",
    "summary",
    "variation",
]


FILE = DATA / "real_stars.toml"
EARLY, LATE = "to M5", "M6 and later"
GOALS = {"teff": (np.nan, 80.0), "logg": (np.nan, 0.08), "mh": (0.05, 0.12)}  # to M5, star left out: bias and rmse
LATEST = 5.5  # subtype from which a star counts as late
RANGES = {"teff": (2000, 4500), "logg": (4.0, 5.7), "mh": (-1.5, 0.8), "vsini": (0, 100)}  # of M dwarfs
_ENDS = ("", "low68_", "high68_", "low90_", "high90_")  # columns of an estimate and of its intervals
# The adopted value is that of the first source that has one; the reasons are in the docstring of published_of.
ORDER = {
    "teff": ("Mann15", "Gaidos14", "Interferometric", "GM14", "Stefansson20", "Pineda21",
             "Pass19 VIS", "Pass18", "Schw19", "Mar21", "Bello23", "Pass20", "MB24"),
    "logg": ("Schw19", "Pineda21", "Pass18", "Pass19 VIS", "Mar21", "Pass20", "MB24"),
    "mh": ("Mann15", "GM14", "Gaidos14", "Stefansson20",
           "Schw19", "Pass18", "Pass19 VIS", "Mar21", "Bello23", "Pass20", "MB24"),
    "vsini": ("Rein18", "Pass20", "MB24"),
}  # fmt: skip
SHOWN = ("Mar21", "Stefansson20", "Pineda21", "MB24")  # sources beside the estimates of a run


@dataclass(frozen=True)
class Source:
    """Where a value was published.

    Attributes
    ----------
    name : str
        Short, as in ``dtl_core.literature.catalogues.SOURCES`` where the table is there.
    cite : str
        Key of the book's bibliography.
    reference, how : str
        The paper, and how it measured.
    note : str
        Remark that tables show beside the name.
    """

    name: str
    cite: str
    reference: str
    how: str
    note: str = ""

    @property
    def short(self):
        """Authors and year."""
        return self.reference.partition(",")[0]


@dataclass(frozen=True)
class Value:
    """A published value.

    Attributes
    ----------
    parameter, source : str
    value, error : float
        K, dex or km/s; NaN if no error is known.
    limit : bool
        Whether the value is an upper limit.
    of : str
        The star that was measured, if it is a companion.
    """

    parameter: str
    value: float
    source: str
    error: float = np.nan
    limit: bool = False
    of: str = ""


@dataclass(frozen=True)
class SpectrumFile:
    """A real spectrum.

    Attributes
    ----------
    file : str
        Name in the registry of public data.
    observed : str
        UTC, ISO.
    cut : bool
        Whether it is the window of an exposure that is listed in full.
    options : dict
        Options of :func:`dtl_core.reading.readers.read`; ``calibration`` is relative to the folder of the file.
    """

    file: str
    observed: str
    cut: bool = False
    options: dict = field(default_factory=dict)


@dataclass(frozen=True)
class RealStar:
    """A star of known parameters.

    Attributes
    ----------
    name, karmn, spectral_type : str
    spectra : tuple of SpectrumFile
        The first is the one that the star is judged by.
    published : tuple of Value
    other_names : tuple of str
    """

    name: str
    spectral_type: str
    spectra: tuple[SpectrumFile, ...]
    published: tuple[Value, ...]
    karmn: str = ""
    other_names: tuple[str, ...] = ()

    @property
    def keys(self):
        """All its names without capitals and blanks."""
        return {name_key(name) for name in (self.name, self.karmn, *self.other_names) if name}

    @property
    def group(self):
        """``EARLY`` or ``LATE``, by spectral type."""
        return EARLY if float(self.spectral_type.removeprefix("M")) < LATEST else LATE


class Published(NamedTuple):
    """The published value of a parameter of a star.

    Attributes
    ----------
    value, error : float
        Adopted; the error contains the spread. NaN for the error of a limit and where none is known.
    limit : bool
        Whether the value is an upper limit.
    source : str
        Source of the adopted value.
    spread : float
        Standard deviation of the values of all sources; NaN for fewer than two.
    values : tuple of Value
        Values of all sources, the adopted one first.
    """

    value: float
    error: float
    limit: bool
    source: str
    spread: float
    values: tuple[Value, ...]


# ---------------------------------------------------------------- the entries


@functools.cache
def _read(path):
    """(sources, stars) of a file, both dict by name."""

    def bad(name, key, problem):
        return DataError(problem, file=path, field=f"{name}.{key}", remedy="correct the entry or reinstall the package")

    def made(kind, entry, name):
        known = {f.name: f for f in fields(kind)}
        for key in entry:
            if key not in known:
                raise bad(name, key, f"is unknown; known are {', '.join(known)}")
        try:
            return kind(**entry)
        except TypeError as error:
            raise bad(name, str(error).rpartition(": ")[2].strip("'"), "is missing") from None

    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        remedy = "correct the file or reinstall the package"
        raise DataError(f"cannot be read ({type(error).__name__})", file=path, remedy=remedy) from None
    sources = {name: made(Source, {"name": name} | entry, name) for name, entry in entries.get("sources", {}).items()}
    stars, taken, files = {}, {}, set()
    for entry in entries.get("star", []):
        name = str(entry.get("name", f"star {len(stars) + 1}"))
        parts = {
            "spectra": tuple(made(SpectrumFile, part, name) for part in entry.get("spectra", ())),
            "published": tuple(made(Value, part, name) for part in entry.get("published", ())),
            "other_names": tuple(entry.get("other_names", ())),
        }
        star = made(RealStar, entry | parts, name)
        for key in star.keys:
            if key in taken:
                raise bad(name, "name", f"is used twice: {taken[key]} is the same star")
            taken[key] = name
        try:
            star.group  # noqa: B018
        except ValueError:
            raise bad(name, "spectral_type", f"cannot be {star.spectral_type!r}") from None
        for part in star.spectra:
            if part.file in files:
                raise bad(name, "spectra", f"{part.file} is there twice")
            files.add(part.file)
            try:
                datetime.datetime.fromisoformat(part.observed)
            except (TypeError, ValueError):
                raise bad(name, "observed", f"cannot be {part.observed!r}") from None
        _check_values(star, sources, bad)
        stars[name] = star
    return sources, stars


def _check_values(star, sources, bad):
    there = set()
    for value in star.published:
        if value.parameter not in PARAMETERS:
            raise bad(star.name, "parameter", f"cannot be {value.parameter!r}")
        if value.source not in sources:
            raise bad(star.name, "source", f"{value.source!r} is not among the sources")
        if value.source not in ORDER[value.parameter]:
            raise bad(star.name, "source", f"{value.source!r} has no place in ORDER[{value.parameter!r}]")
        low, high = RANGES[value.parameter]
        if not low <= value.value <= high or value.error <= 0:
            raise bad(star.name, value.parameter, f"cannot be {value.value:g} with an error of {value.error:g}")
        if value.limit and np.isfinite(value.error):
            raise bad(star.name, value.parameter, "is a limit and has an error")
        if (value.parameter, value.source) in there:
            raise bad(star.name, value.parameter, f"has two values of {value.source}")
        there.add((value.parameter, value.source))


def load_real_stars(path=FILE):
    """Read the stars and their published values.

    Parameters
    ----------
    path : path, optional
        A file like ``data/real_stars.toml``, which is the default.

    Returns
    -------
    dict of str to RealStar

    Raises
    ------
    DataError
        An entry has an unknown, missing or impossible field; a star, a file or a value is there twice; a value has no
        source.

    Examples
    --------
    >>> from dtl_core.literature.real_stars import load_real_stars
    >>> load_real_stars()["GJ 699"].spectral_type
    'M3.5'
    """
    return dict(_read(Path(path))[1])


def sources_of(path=FILE):
    """Read the sources of the published values: dict of str to Source; arguments and errors as `load_real_stars`."""
    return dict(_read(Path(path))[0])


def star_named(name, stars=None):
    """Find a star by any of its names.

    Parameters
    ----------
    name : str
    stars : dict of str to RealStar, optional
        Result of :func:`load_real_stars`.

    Returns
    -------
    RealStar

    Raises
    ------
    DataError
        There is none.
    """
    stars = load_real_stars() if stars is None else stars
    for star in stars.values():
        if name_key(name) in star.keys:
            return star
    raise DataError(f"no published values of {name!r}", field="star", remedy=f"known: {', '.join(stars)}")


def published_of(star, parameter):
    r"""Find the published value of a star that ours is compared with, its error, and all others.

    Parameters
    ----------
    star : RealStar
    parameter : str

    Returns
    -------
    Published or None
        None if it has no published value.

    Raises
    ------
    ConfigError
        Unknown parameter.

    Notes
    -----
    **Which value is adopted** is one rule for all stars, ``ORDER``: that of the first source of the list that has one.

    - Teff and [M/H]: Mann+ 2015, on the scales of interferometry and of FGK primaries [1]_; then other sources on these
      scales; then matches to stars of known parameters; then luminosity and radius; then fits of synthetic spectra;
      last networks, Mas-Buitrago+ 2024 after all others, because it is the method reproduced here. Sources of one kind
      are in the order of their rms distance from Mann+ 2015, over all stars that both tables have.
    - log g: from mass and radius, then fits, in the order of their rms distance from those, then networks.
    - v sin i: from line broadening, then networks.

    A value of a companion counts as the star's. [Fe/H] and [M/H] are not distinguished.

    **Its error** is :math:`\sqrt{e^2 + s^2}`, where *e* is the error of the adopted value and *s* the standard
    deviation of the values of all sources. Upper limits are not included in *s*.

    References
    ----------
    .. [1] Mann et al. (2015), ApJ 804, 64
    """
    if parameter not in PARAMETERS:
        raise ConfigError(
            f"unknown parameter {parameter!r}", field="parameter", remedy=f"choose one of {', '.join(PARAMETERS)}"
        )
    values = [value for value in star.published if value.parameter == parameter]
    if not values:
        return None
    values.sort(key=lambda value: ORDER[parameter].index(value.source))
    first, measured = values[0], [value.value for value in values if not value.limit]
    spread = float(np.std(measured, ddof=1)) if len(measured) > 1 else np.nan
    parts = [part for part in (first.error, spread) if np.isfinite(part)]
    error = np.nan if first.limit or not parts else float(np.hypot.reduce(parts))
    return Published(first.value, error, first.limit, first.source, spread, tuple(values))


def published_rows(path=FILE):
    """Published values for tables of estimates, of the sources in ``SHOWN``.

    Parameters
    ----------
    path : path, optional
        As for :func:`load_real_stars`.

    Returns
    -------
    dict of str to list of tuple
        Star -> (Teff [K], log g, [M/H], v sin i [km/s], source), one row per source; None where it gives none. For a
        source without v sin i, the value from line broadening is shown, with a note in the source. Values of companions
        are left out.

    Examples
    --------
    >>> from dtl_core.literature.real_stars import published_rows
    >>> published_rows()["G 9-40"]
    [(3404, None, -0.08, None, 'Stefansson+ 2020, same instrument')]
    """
    sources, rows = sources_of(path), {}
    for star in load_real_stars(path).values():
        rows[star.name] = []
        broadening = next((v for v in star.published if v.source == ORDER["vsini"][0] and not v.of), None)
        for source in (sources[name] for name in SHOWN if name in sources):
            own = {v.parameter: v.value for v in star.published if v.source == source.name and not v.of}
            text = ", ".join(filter(None, (source.short, source.note)))
            if own and "vsini" not in own and broadening:
                own["vsini"] = broadening.value
                limit = "upper limit of " if broadening.limit else ""
                text += f"; v sin i: {limit}{sources[broadening.source].short}"
            if own:
                rows[star.name].append((*map(own.get, PARAMETERS), text))
    return rows


def read_spectrum(star, entry):
    """Read a spectrum of a star from the folder of public data or the cache.

    Parameters
    ----------
    star : RealStar
    entry : SpectrumFile

    Returns
    -------
    Spectrum or None
        None if the file is not on this machine.

    Raises
    ------
    DataError
        The file is damaged, or its companions are missing.
    """
    path, options = registry.find(entry.file), dict(entry.options)
    if path is None:
        return None
    if "calibration" in options:
        options["calibration"] = path.parent / options["calibration"]
    return readers.read(path, star=star.name, **options)


# ---------------------------------------------------------------- ours against published


def check_unseen(star, seen):
    """Raise a DataError if a model has seen a star.

    Parameters
    ----------
    star : RealStar
    seen : iterable of str
        As for :func:`compare`.
    """
    if star.keys & {name_key(name) for name in seen}:
        remedy = "judge it by a model that was made without this star"
        raise DataError(f"{star.name} has been seen by the model", field="star", remedy=remedy)


def compare(estimates, stars=None, *, seen=()):
    """Compare estimates with the published values.

    Parameters
    ----------
    estimates : pandas.DataFrame
        One row per spectrum: star and, for each parameter p, the estimate ``p`` and the ends of its intervals,
        ``low68_p``, ``high68_p``, ``low90_p`` and ``high90_p``. Other columns are kept.
    stars : dict of str to RealStar, optional
        Result of :func:`load_real_stars`.
    seen : iterable of str
        Real stars that the model was trained or calibrated on; see ``dtl_core.models.specialist.Specialist.seen``.

    Returns
    -------
    pandas.DataFrame
        One row per spectrum and parameter with a published value: star, group, parameter; ours, low, high (68 %);
        published, error, limit, source and n_sources, as returned by :func:`published_of`; difference, ours minus
        published; sigma, the difference in units of both errors in quadrature, where that of ours is the side towards
        the published value; inside_68 and inside_90, whether the published value lies inside our interval. For an upper
        limit the difference is what our estimate exceeds it by, at least 0, and it is inside an interval whose lower
        end does not exceed it.

    Raises
    ------
    DataError
        The model has seen a star, a star is unknown, or a column is missing.
    """
    stars = load_real_stars() if stars is None else stars
    columns = [f"{end}{p}" for p in PARAMETERS for end in _ENDS]
    require_columns(estimates, "estimates", ("star", *columns), "give one column for each end of the intervals")
    seen, rows = tuple(seen), []
    others = [name for name in estimates.columns if name not in columns and name != "star"]
    for row in estimates.to_dict("records"):
        star = star_named(row["star"], stars)
        check_unseen(star, seen)
        for p in PARAMETERS:
            published = published_of(star, p)
            if published is None:
                continue
            ours = {end: row[f"{end}{p}"] for end in _ENDS}
            about = {"star": star.name, "group": star.group, "parameter": p}
            rows.append(about | _difference(ours, published) | {name: row[name] for name in others})
    return pd.DataFrame(rows)


def _difference(ours, published):
    """Columns of :func:`compare` from our estimate, a dict by ``_ENDS``, and a Published."""
    difference, ends = ours[""] - published.value, {"low": ours["low68_"], "high": ours["high68_"]}
    if published.limit:
        difference = max(0.0, difference)
    inside = {
        f"inside_{level}": bool(
            ours[f"low{level}_"] <= published.value and (published.limit or published.value <= ours[f"high{level}_"])
        )
        for level in (68, 90)
    }
    side = ours[""] - ends["low"] if difference > 0 else ends["high"] - ours[""]
    both = np.hypot(side, np.nan_to_num(published.error))
    with np.errstate(divide="ignore"):
        sigma = 0.0 if difference == 0 else float(np.divide(difference, both))
    known = {"published": published.value, "error": published.error, "limit": published.limit}
    known |= {"source": published.source, "n_sources": len(published.values)}
    return {"ours": ours[""]} | ends | known | {"difference": difference, "sigma": sigma} | inside


def summary(compared):
    """Summarise a comparison for each group of spectral types and each parameter.

    Parameters
    ----------
    compared : pandas.DataFrame
        Result of :func:`compare`, one spectrum per star.

    Returns
    -------
    pandas.DataFrame
        group, parameter (``all`` in the last row of a group); n, values; n_limits, upper limits; bias and rmse of the
        values (NaN without any, and for all parameters together); e_bias, standard error of the bias (NaN for fewer
        than two); inside_68 and inside_90, how many values and limits lie inside our intervals; fails, whether the bias
        differs from 0 (t test, 95 %), or whether intervals of 68 % or of 90 % would contain so few with a probability
        below 2.5 %, as if the parameters of one star were independent; and as returned by :func:`left_out_summary`,
        goal_bias, goal_rmse and met, without goals for late types and for all parameters together.
    """
    from scipy import stats

    rows = []
    for group in (EARLY, LATE):
        for p in (*PARAMETERS, "all"):
            part = compared[(compared["group"] == group) & ((compared["parameter"] == p) | (p == "all"))]
            difference = part.loc[~part["limit"].astype(bool), "difference"].to_numpy(float)
            n, found = len(difference), {"group": group, "parameter": p}
            found |= {"n": n, "n_limits": len(part) - n} | _statistics(difference[: 0 if p == "all" else n])
            found |= {name: int(part[name].sum()) for name in ("inside_68", "inside_90")}
            biased = abs(found["bias"]) > stats.t.ppf(0.975, max(n - 1, 1)) * found["e_bias"]  # False for NaN
            shares = (found["inside_68"], 0.68), (found["inside_90"], 0.90)
            few = len(part) > 0 and any(stats.binom.cdf(n, len(part), share) < 0.025 for n, share in shares)
            rows.append(found | {"fails": bool(biased or few)} | _goals(found, p if group == EARLY else None))
    return pd.DataFrame(rows)


def _goals(found, parameter):
    """Goals for a parameter and whether the bias and rmse in ``found`` meet them; without a value they do not."""
    bias, rmse = GOALS.get(parameter, (np.nan, np.nan))
    met = found["rmse"] <= rmse and not abs(found["bias"]) > bias
    return {"goal_bias": bias, "goal_rmse": rmse, "met": bool(met)}


def left_out_summary(measured):
    """Summarise a test on stars whose published values were not used.

    Parameters
    ----------
    measured : pandas.DataFrame
        One row per star and parameter: parameter, published, and three estimates: ours (corrected lines), library (the
        same fit with the lines of the library), prior (what the fit assumes before it sees the spectrum).

    Returns
    -------
    pandas.DataFrame
        One row per estimate and parameter: estimate, parameter, n; bias, its standard error e_bias (NaN for one star),
        and rmse; goal_bias and goal_rmse (NaN if there is none), and met, whether both are.
    """
    rows = []
    for estimate in ("ours", "library", "prior"):
        for parameter in GOALS:
            part = measured[measured["parameter"] == parameter]
            if part.empty:
                continue
            found = _statistics((part[estimate] - part["published"]).to_numpy(float))
            row = {"estimate": estimate, "parameter": parameter, "n": len(part)} | found
            rows.append(row | _goals(found, parameter))
    return pd.DataFrame(rows)


def _statistics(difference):
    """Bias, its standard error and rmse of differences (n,): dict, NaN where there are too few of them."""
    n = len(difference)
    return {
        "bias": difference.mean() if n else np.nan,
        "rmse": np.sqrt(np.mean(difference**2)) if n else np.nan,
        "e_bias": difference.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan,
    }


def variation(estimates):
    """How estimates of the same star change: from exposure to exposure, and with resolving power and noise.

    Parameters
    ----------
    estimates : pandas.DataFrame
        One row per spectrum: star, file, variant (``exposure`` as it is, ``cut`` to the window, or what was done to it)
        and the parameters. The first exposure of each star is the one that others are compared with; a changed
        spectrum is compared with the exposure of the same file.

    Returns
    -------
    pandas.DataFrame
        variant (``another exposure``, or as in ``estimates``), parameter, n (spectra), n_stars, shift and rms: mean and
        root mean square of the change.
    """
    first, own, changes = {}, {}, []
    for row in estimates.to_dict("records"):
        variant = row["variant"]
        if variant == "exposure":
            own[row["file"]] = row
            if row["star"] not in first:
                first[row["star"]] = row
                continue
            variant, base = "another exposure", first[row["star"]]
        else:
            base = first[row["star"]] if variant == "cut" else own[row["file"]]
        changes += [
            {"variant": variant, "star": row["star"], "parameter": p, "change": row[p] - base[p]} for p in PARAMETERS
        ]
    out = []
    for (variant, p), part in pd.DataFrame(changes).groupby(["variant", "parameter"], sort=False):
        change = part["change"].to_numpy(float)
        about = {"variant": variant, "parameter": p, "n": len(part), "n_stars": part["star"].nunique()}
        out.append(about | {"shift": change.mean(), "rms": np.sqrt(np.mean(change**2))})
    return pd.DataFrame(out)
