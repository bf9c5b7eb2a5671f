"""Agreement of catalogues: statistics of two, slopes, coverage of error bars, differences, rank correlations of all.

Frames are tidy, see :mod:`dtl_core.literature.catalogues`, and stars are matched by identifier.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from ..errors import ConfigError
from ..estimates.density import ONE_SIGMA
from ..parameters import ANCHOR_ERRORS, PARAMETERS
from .catalogues import read_sources
from .checks import require_columns
from .regression import fit_line

__all__ = [
    "Agreement",
    "MIN_COMMON",
    "SPLITS",
    "agreement_matrix",
    "common_stars",
    "compare",
    "comparison_statistics",
    "comparison_table",
    "coverage",
    "difference_table",
    "pairs",
    "standing",
    "star_values",
]


MIN_COMMON = 10  # stars needed for a rank correlation
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


def _check(parameter):
    if parameter not in PARAMETERS:
        remedy = f"choose one of {', '.join(PARAMETERS)}"
        raise ConfigError(f"unknown parameter {parameter!r}", field="parameter", remedy=remedy)


def pairs(catalogue, literature, parameter, errors=()):
    """Values of the stars in both frames.

    Parameters
    ----------
    catalogue, literature : pandas.DataFrame
        Tidy frames.
    parameter : str
    errors : sequence of str
        Further columns of the catalogue.

    Returns
    -------
    list of (n_stars,) array
        Values of the catalogue and of the literature, and those of ``errors``.

    Raises
    ------
    ConfigError
        Unknown parameter.
    DataError
        Missing column.
    """
    _check(parameter)
    require_columns(catalogue, "catalogue", ("karmn", parameter, *errors))
    require_columns(literature, "literature", ("karmn", parameter))
    both = catalogue[["karmn", parameter, *errors]].merge(
        literature[["karmn", parameter]], on="karmn", suffixes=("", "_literature"), validate="one_to_one"
    )
    both = both.dropna(subset=[parameter, f"{parameter}_literature"])
    return [both[name].to_numpy(float) for name in (parameter, f"{parameter}_literature", *errors)]


def compare(catalogue, literature, parameter):
    r"""Statistics of the differences :math:`\Delta = y - x` of literature values :math:`y` and a catalogue :math:`x`.

    Parameters
    ----------
    catalogue, literature : pandas.DataFrame
        Tidy frames, matched by karmn.
    parameter : {"teff", "logg", "mh", "vsini"}

    Returns
    -------
    dict
        N; mean_diff, median_diff, std_diff (N - 1), mad_sigma (1.4826 MAD) and rmse of the differences, in the unit of
        the parameter; pearson_r, spearman; ols_slope, ols_slope_err and theil_sen_slope of y on x; resid_slope, of
        the differences on x. NaN if there are too few stars.

    Raises
    ------
    ConfigError
        Unknown parameter.
    DataError
        Missing column.

    Examples
    --------
    >>> ours = pd.DataFrame({"karmn": ["A", "B", "C"], "teff": [3200.0, 3500.0, 3800.0]})
    >>> theirs = pd.DataFrame({"karmn": ["C", "B", "A"], "teff": [3850.0, 3550.0, 3230.0]})
    >>> statistics = compare(ours, theirs, "teff")
    >>> statistics["N"], round(statistics["mean_diff"], 1), round(statistics["rmse"], 1)
    (3, 43.3, 44.3)
    """
    x, y = pairs(catalogue, literature, parameter)
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
    """Compare a catalogue with every source, for all stars and split at 3750 K and 12 km/s of its own values.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        Tidy.
    sources
        As for :func:`dtl_core.literature.catalogues.read_sources`.

    Returns
    -------
    pandas.DataFrame
        source, parameter, subset (``all``, ``teff<3750`` ...) and the statistics of :func:`compare`.
    """
    frames = read_sources(sources)
    rows = []
    for (name, literature), parameter in ((item, p) for item in frames.items() for p in PARAMETERS):
        value, at = catalogue[parameter], SPLITS.get(parameter)
        subsets = {"all": value.notna()}
        if at:
            subsets |= {f"{parameter}<{at:g}": value < at, f"{parameter}>={at:g}": value >= at}
        statistics = [
            {"source": name, "parameter": parameter, "subset": subset} | compare(catalogue[mask], literature, parameter)
            for subset, mask in subsets.items()
        ]
        rows += statistics if statistics[0]["N"] else []
    return pd.DataFrame(rows, columns=["source", "parameter", "subset", *_STATISTICS])


def coverage(catalogue, benchmark, parameter, *, assumed=0.0):
    r"""Count benchmark values inside the asymmetric 1-sigma bars of a catalogue, with and without their own errors.

    Parameters
    ----------
    catalogue, benchmark, parameter
        As for :func:`compare`. Upper limits of the benchmark are left out.
    assumed : float
        Standard error of benchmark values that have none.

    Returns
    -------
    dict
        N, number of stars; inside and fraction, number and share of benchmark values in :math:`[x - e, x + E]`;
        expected, the share if all errors are right, which is below 0.683 because benchmark values scatter by their own
        :math:`\sigma`; inside_both and fraction_both, in the interval with :math:`(e^2 + \sigma^2)^{1/2}` and
        :math:`(E^2 + \sigma^2)^{1/2}`, where 0.683 is expected; p_few, the binomial probability of inside_both or
        fewer; needed, the smallest :math:`\sigma` of all benchmark values for which 0.683 of them would be inside it.
        NaN for shares and for needed if there are no stars.
    """
    require_columns(catalogue, "catalogue", (f"e_{parameter}", f"E_{parameter}"))
    both = common_stars(catalogue, benchmark, parameter)
    delta, own = (both["y"] - both["x"]).to_numpy(), both["ey"].fillna(assumed).to_numpy()
    ends = both[["low", "high"]].to_numpy().T
    side = np.where(delta < 0, *ends)
    inside, inside_both = np.abs(delta) <= side, np.abs(delta) <= np.hypot(side, own)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = 2 * stats.norm.cdf(np.where(own > 0, ends / np.hypot(ends, own), 1.0)) - 1
    n, k = len(both), int(inside_both.sum())
    lacking = np.quantile(delta**2 - side**2, ONE_SIGMA, method="inverted_cdf") if n else np.nan
    shares = {"fraction": inside, "expected": expected, "fraction_both": inside_both}
    return (
        {"N": n, "inside": int(inside.sum()), "inside_both": k, "p_few": float(stats.binom.cdf(k, n, ONE_SIGMA))}
        | {name: float(values.mean()) if n else np.nan for name, values in shares.items()}
        | {"needed": float(np.sqrt(np.maximum(lacking, 0)))}
    )


def _error(frame, parameter, suffix=""):
    """Standard errors of a merged frame: the mean of asymmetric errors, NaN if the source gives none."""
    columns = [c for c in (f"e_{parameter}{suffix}", f"E_{parameter}{suffix}") if c in frame]
    return frame[columns].mean(axis=1).to_numpy(float) if columns else np.full(len(frame), np.nan)


def common_stars(catalogue, literature, parameter):
    """Match the stars of two frames, with their errors; upper limits on v sin i in the second are left out.

    Parameters
    ----------
    catalogue, literature : pandas.DataFrame
        Tidy frames.
    parameter : str

    Returns
    -------
    pandas.DataFrame
        karmn; x and y, the values of catalogue and literature; ex and ey, their standard errors, means of asymmetric
        ones, NaN if not given; low and high, the lower and upper error of x.

    Raises
    ------
    ConfigError
        Unknown parameter.
    """
    _check(parameter)
    if parameter == "vsini" and "vsini_limit" in literature:
        literature = literature[~literature["vsini_limit"].astype(bool)]
    columns = ["karmn", parameter, f"e_{parameter}", f"E_{parameter}"]
    ours, theirs = (frame[[c for c in columns if c in frame]] for frame in (catalogue, literature))
    theirs = theirs.rename(columns={c: f"{c}_y" for c in columns[1:]})
    both = ours.merge(theirs, on="karmn", validate="one_to_one").dropna(subset=[parameter, f"{parameter}_y"])
    out = {"karmn": both["karmn"], "x": both[parameter].astype(float), "y": both[f"{parameter}_y"].astype(float)}
    sides = {name: both.get(f"{e}_{parameter}", np.nan) for name, e in (("low", "e"), ("high", "E"))}
    return pd.DataFrame(out | sides | {"ex": _error(both, parameter), "ey": _error(both, parameter, "_y")})


def comparison_statistics(catalogue, sources=None):
    """:func:`comparison_table` with straight lines from :func:`dtl_core.literature.regression.fit_line`.

    Asymmetric errors are averaged; upper limits are left out. Where a source gives no error, that of
    ``dtl_core.parameters.ANCHOR_ERRORS`` is assumed; other missing errors count as zero, so that the scatter contains
    them. Splitting limits the range of x, which biases the slopes of the subsets low.

    Parameters
    ----------
    catalogue, sources
        As for :func:`comparison_table`.

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`comparison_table` and, of the line of the literature on the catalogue, line_N, slope,
        slope_err, scatter, scatter_err and chi2 (reduced, without the scatter); steep and steep_err, the slope if the
        scatter is the catalogue's; line_errors, ``quoted`` or, if some are not, ``assumed``.
    """
    frames = read_sources(sources)
    table = comparison_table(catalogue, frames)
    rows = []
    for source, parameter, subset in table[["source", "parameter", "subset"]].itertuples(index=False):
        stars = catalogue if subset == "all" else catalogue.query(subset)
        rows.append(_line(common_stars(stars, frames[source], parameter), ANCHOR_ERRORS.get(parameter, 0.0)))
    return table.join(pd.DataFrame(rows))


def _line(both, assumed):
    quoted = not both[["ex", "ey"]].isna().any(axis=None)
    x, y, ex, ey = (both[name].fillna(assumed if name == "ey" else 0).to_numpy() for name in ("x", "y", "ex", "ey"))
    line, other = fit_line(x, y, ex, ey), fit_line(y, x, ey, ex)
    names = {"slope": "slope", "slope_error": "slope_err", "scatter": "scatter", "scatter_error": "scatter_err"}
    out = {"line_N": len(x)} | {short: getattr(line, name) for name, short in names.items()}
    steep = {"steep": 1 / other.slope, "steep_err": other.slope_error / other.slope**2}
    return out | {"chi2": line.reduced_chi2} | steep | {"line_errors": "quoted" if quoted else "assumed"}


def difference_table(catalogue, sources, parameter):
    r"""Differences literature - this work of every star, with their combined errors; upper limits are left out.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        Tidy.
    sources : dict of str to pandas.DataFrame
        Tidy frames by source.
    parameter : str

    Returns
    -------
    pandas.DataFrame
        source, karmn, value (of the catalogue), difference and sigma, :math:`(\sigma_x^2 + \sigma_y^2)^{1/2}`, where
        missing errors count as zero.

    Raises
    ------
    ConfigError
        Unknown parameter.
    """
    tables = [pd.DataFrame(columns=["source", "karmn", "value", "difference", "sigma"])]
    for name, literature in sources.items():
        both = common_stars(catalogue, literature, parameter)
        sigma = np.hypot(both["ex"].fillna(0), both["ey"].fillna(0))
        columns = {"karmn": both["karmn"], "value": both["x"], "difference": both["y"] - both["x"], "sigma": sigma}
        tables.append(pd.DataFrame({"source": name} | columns))
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


class Agreement(NamedTuple):
    """Agreement of every pair of catalogues.

    Attributes
    ----------
    spearman, number, scatter : pandas.DataFrame
        Square frames over catalogues: Spearman's r, stars in common, and robust scatter about a straight line.
    """

    spearman: pd.DataFrame
    number: pd.DataFrame
    scatter: pd.DataFrame


def agreement_matrix(frames, parameter):
    """Agreement of every pair of catalogues, regardless of their zero points and scales.

    Parameters
    ----------
    frames : dict of str to pandas.DataFrame
        Tidy frames by catalogue; those without the parameter are left out, and so are upper limits.
    parameter : str

    Returns
    -------
    Agreement
        spearman and scatter are NaN for pairs with fewer than ``MIN_COMMON`` common stars. The diagonals hold 1, the
        number of stars of the catalogue, and 0.

    Raises
    ------
    ConfigError
        Unknown parameter.

    Notes
    -----
    The scatter, in the unit of the parameter, is 1.4826 MAD of the perpendicular distances to the line through the
    means whose slope is the ratio of the standard deviations, so it is symmetric. Catalogues are ordered by
    hierarchical clustering (average linkage of 1 - r, unknown pairs at the median distance); those that share too few
    stars with all others come last.
    """
    values = {name: common_stars(frame, frame, parameter).set_index("karmn")["x"] for name, frame in frames.items()}
    values = {name: column for name, column in values.items() if len(column)}
    if not values:
        return Agreement(*[pd.DataFrame(dtype=float)] * 3)
    wide = pd.concat(values, axis=1)
    known = wide.notna().astype(int)
    spearman = wide.corr("spearman", min_periods=MIN_COMMON)
    scatter = wide.corr(_perpendicular_scatter, min_periods=MIN_COMMON)
    for name in wide:
        spearman.loc[name, name], scatter.loc[name, name] = 1.0, 0.0
    names = _order(spearman)
    return Agreement(*(frame.loc[names, names] for frame in (spearman, known.T @ known, scatter)))


def _perpendicular_scatter(x, y):
    slope = np.copysign(np.std(y) / np.std(x), np.corrcoef(x, y)[0, 1]) if np.ptp(x) and np.ptp(y) else np.nan
    distance = (y - y.mean() - slope * (x - x.mean())) / np.hypot(1, slope)
    return 1.4826 * np.median(np.abs(distance - np.median(distance)))


def _order(spearman):
    """Names ordered by clustering, so that catalogues that agree are neighbours."""
    alone = spearman.notna().sum() == 1
    names = list(spearman.index[~alone])
    if len(names) > 2:
        distance = 1 - spearman.loc[names, names].to_numpy()
        pairs = squareform(distance, checks=False)
        pairs[np.isnan(pairs)] = np.nanmedian(pairs)
        names = [names[i] for i in leaves_list(linkage(pairs, "average", optimal_ordering=True))]
    return [*names, *spearman.index[alone]]


def standing(agreement):
    """Agreement of each catalogue with all others, best first.

    Parameters
    ----------
    agreement : Agreement
        From :func:`agreement_matrix`.

    Returns
    -------
    pandas.DataFrame
        By catalogue: partners (number of catalogues with enough common stars), median_r and median_scatter over these,
        closest (the catalogue of highest r) and closest_r; NaN and a dash without partners.
    """
    rows = {}
    for name in agreement.spearman.index:
        r = agreement.spearman[name].drop(name).dropna()
        scatter = agreement.scatter[name].drop(name)
        closest = r.idxmax() if len(r) else "\N{EN DASH}"
        rows[name] = [len(r), r.median(), scatter.median(), closest, r.max() if len(r) else np.nan]
    columns = ["partners", "median_r", "median_scatter", "closest", "closest_r"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return frame.sort_values("median_r", ascending=False, kind="stable")


def star_values(frames, karmn):
    """Values of one star in every catalogue that has it.

    Parameters
    ----------
    frames : dict of str to pandas.DataFrame
        Tidy frames by catalogue.
    karmn : str
        Identifier of the star.

    Returns
    -------
    pandas.DataFrame
        By catalogue: parameters and their errors (``e_teff`` ...), asymmetric ones averaged. Upper limits on v sin i
        have no error.
    """
    rows = {}
    for name, frame in frames.items():
        star = frame[frame["karmn"] == karmn]
        if len(star) and star[list(PARAMETERS)].notna().any(axis=None):
            values = {p: star[p].iloc[0] for p in PARAMETERS}
            rows[name] = values | {f"e_{p}": _error(star, p)[0] for p in PARAMETERS}
    columns = [c for p in PARAMETERS for c in (p, f"e_{p}")]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns) if rows else pd.DataFrame(columns=columns)
