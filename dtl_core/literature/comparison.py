"""How well catalogues agree: statistics of two, slopes with errors on both sides, differences, who agrees with whom.

Frames are tidy ones, see :mod:`dtl_core.literature.catalogues`, and stars are matched by identifier.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.optimize import minimize_scalar
from scipy.spatial.distance import squareform

from ..errors import ConfigError, DataError
from ..parameters import PARAMETERS
from .catalogues import read_sources, require_columns

__all__ = [
    "Agreement",
    "Line",
    "MIN_COMMON",
    "SPLITS",
    "agreement_matrix",
    "compare",
    "comparison_statistics",
    "comparison_table",
    "coverage",
    "difference_table",
    "orthogonal_slope",
    "pairs",
    "standing",
    "star_values",
]


MIN_COMMON = 10  # stars; the rank correlation of fewer says little
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
    """Values of the stars in both frames: arrays x, y and one for each of the catalogue's error columns."""
    _check(parameter)
    require_columns(catalogue, "catalogue", ("karmn", parameter, *errors))
    require_columns(literature, "literature", ("karmn", parameter))
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
    """Every comparison that the sources allow, whole and split at 3750 K and 12 km/s of this work's value.

    Arguments: catalogue, a tidy frame; sources, optional: keys of ``SOURCES`` (all), or a dict of name -> tidy frame.
    Returns: pandas.DataFrame with source, parameter, subset (``all``, ``teff<3750`` ...) and :func:`compare`'s columns.
    """
    frames = read_sources(sources)
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
    x, y, low, high = pairs(catalogue, benchmark, parameter, (f"e_{parameter}", f"E_{parameter}"))
    inside = int(((y >= x - low) & (y <= x + high)).sum())
    return {"N": len(x), "inside": inside, "fraction": inside / len(x) if len(x) else float("nan")}


class Line(NamedTuple):
    """A straight line :math:`y = a + b x`: slope b, its 1-sigma error, intercept a, reduced chi2."""

    slope: float
    slope_error: float
    intercept: float
    reduced_chi2: float


def orthogonal_slope(x, y, x_error, y_error):
    r"""The straight line through points with errors on both sides, exact for Gaussian errors without covariance.

    .. math:: \chi^2(a, b) = \sum_i \frac{(y_i - a - b x_i)^2}{\sigma_{y,i}^2 + b^2 \sigma_{x,i}^2}

    It is minimised over the angle of the line, so that x and y are treated alike: exchanged, the slope becomes 1/slope.
    Where the reduced chi2 is above 1, the error of the slope is multiplied by its root: the scatter is larger than the
    quoted errors allow.

    Arguments
    ---------
    x, y : (n_points,)
    x_error, y_error : (n_points,) or float
        Standard errors; one of the two may be zero.

    Returns
    -------
    Line; all NaN for fewer than three points or where x or y does not vary.

    Errors
    ------
    DataError : an error is negative or not finite, or a point has none on either side.

    Source: York et al. (2004, Am. J. Phys. 72, 367), whose expression gives the error of the slope.
    """
    x, y = (np.asarray(values, float) for values in (x, y))
    ex, ey = (np.broadcast_to(np.asarray(e, float), x.shape) for e in (x_error, y_error))
    for e, name in ((ex, "x_error"), (ey, "y_error")):
        if not np.all(np.isfinite(e) & (e >= 0)):
            raise DataError("an error is negative or not finite", field=name, remedy="give standard errors")
    if np.any((ex == 0) & (ey == 0)):
        raise DataError("a point has no error on either side", field="x_error", remedy="give one of the two")
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Line(*[np.nan] * 4)
    (mx, sx), (my, sy) = (x.mean(), x.std()), (y.mean(), y.std())
    u, v, eu, ev = (x - mx) / sx, (y - my) / sy, ex / sx, ey / sy

    def weights(angle):
        return 1 / ((np.cos(angle) * ev) ** 2 + (np.sin(angle) * eu) ** 2)

    def chi2(angle):
        w, distance = weights(angle), np.cos(angle) * v - np.sin(angle) * u
        return np.sum(w * (distance - np.average(distance, weights=w)) ** 2)

    step = np.pi / 180  # a coarse look first: there may be more than one minimum
    best = min((np.arange(180) - 89.5) * step, key=chi2)
    angle = minimize_scalar(chi2, bounds=(best - step, best + step), method="bounded", options={"xatol": 1e-12}).x
    b, w = np.tan(angle), weights(angle) * np.cos(angle) ** 2
    u0, v0 = np.average(u, weights=w), np.average(v, weights=w)
    adjusted = w * ((u - u0) * ev**2 + b * (v - v0) * eu**2)  # the most probable points, relative to (u0, v0)
    error = 1 / np.sqrt(np.sum(w * (adjusted - np.average(adjusted, weights=w)) ** 2))
    reduced = chi2(angle) / (len(x) - 2) if len(x) > 2 else np.nan
    slope = b * sy / sx
    error *= sy / sx * np.sqrt(max(reduced, 1))
    return Line(float(slope), float(error), float(my + v0 * sy - slope * (mx + u0 * sx)), float(reduced))


def _error(frame, parameter, suffix=""):
    """Standard errors of a merged frame: the mean of both for an asymmetric bar, NaN where the source gives none."""
    columns = [c for c in (f"e_{parameter}{suffix}", f"E_{parameter}{suffix}") if c in frame]
    return frame[columns].mean(axis=1).to_numpy(float) if columns else np.full(len(frame), np.nan)


def _common(catalogue, literature, parameter):
    """Stars in both frames: karmn, values x and y, errors ex and ey; without those of which y is an upper limit."""
    _check(parameter)
    if parameter == "vsini" and "vsini_limit" in literature:
        literature = literature[~literature["vsini_limit"].astype(bool)]
    columns = ["karmn", parameter, f"e_{parameter}", f"E_{parameter}"]
    ours, theirs = (frame[[c for c in columns if c in frame]] for frame in (catalogue, literature))
    theirs = theirs.rename(columns={c: f"{c}_y" for c in columns[1:]})
    both = ours.merge(theirs, on="karmn", validate="one_to_one").dropna(subset=[parameter, f"{parameter}_y"])
    out = {"karmn": both["karmn"], "x": both[parameter].astype(float), "y": both[f"{parameter}_y"].astype(float)}
    return pd.DataFrame(out | {"ex": _error(both, parameter), "ey": _error(both, parameter, "_y")})


def _fill(ex, ey, delta):
    """Errors that a source does not give: the scatter of the differences that the given errors leave unexplained.

    At least a tenth of the scatter, so that no star weighs infinitely; shared equally where both sides lack errors.
    """
    lacking = [np.isnan(e) for e in (ex, ey)]
    scatter = np.var(delta, ddof=1) or 1.0
    given = sum(np.mean(e[~no] ** 2) for e, no in zip((ex, ey), lacking, strict=True) if not no.all())
    sides = max(sum(no.any() for no in lacking), 1)
    common = np.sqrt(max(scatter - given, 0.01 * scatter) / sides)
    return [np.where(no, common, e) for e, no in zip((ex, ey), lacking, strict=True)]


def comparison_statistics(catalogue, sources=None):
    """:func:`comparison_table` with slopes from a regression that knows the errors of both sides.

    An asymmetric bar counts as the mean of its two sides. Upper limits take no part. For a source without errors see
    ``odr_errors``: ``scatter`` says that one common error was taken from the scatter of the differences. A split cuts
    the range of x, which pulls every slope down: read those with care.

    Arguments: catalogue, a tidy frame; sources, optional: keys of ``SOURCES`` (all), or a dict of name -> tidy frame.
    Returns: pandas.DataFrame with the table's columns and odr_N, odr_slope, odr_slope_err, odr_chi2 (reduced; above 1
    the error is scaled with it) and odr_errors (``quoted`` or ``scatter``).
    """
    frames = read_sources(sources)
    table = comparison_table(catalogue, frames)
    rows = []
    for source, parameter, subset in table[["source", "parameter", "subset"]].itertuples(index=False):
        stars = catalogue if subset == "all" else catalogue.query(subset)
        rows.append(_odr(_common(stars, frames[source], parameter)))
    return table.join(pd.DataFrame(rows, columns=["odr_N", "odr_slope", "odr_slope_err", "odr_chi2", "odr_errors"]))


def _odr(both):
    quoted = not both[["ex", "ey"]].isna().any(axis=None)
    if len(both) < 3:
        return len(both), np.nan, np.nan, np.nan, "quoted" if quoted else "scatter"
    x, y, ex, ey = both[["x", "y", "ex", "ey"]].to_numpy().T
    line = orthogonal_slope(x, y, *_fill(ex, ey, y - x))
    return len(both), line.slope, line.slope_error, line.reduced_chi2, "quoted" if quoted else "scatter"


def difference_table(catalogue, sources, parameter):
    r"""Every difference literature - this work, star by star, with the error that both bars together allow.

    Arguments: catalogue, a tidy frame; sources, a dict of name -> tidy frame; parameter.
    Returns: pandas.DataFrame with source, karmn, value (of the catalogue), difference and sigma,
    :math:`(\sigma_x^2 + \sigma_y^2)^{1/2}`, where a side without errors counts as zero. No upper limits.
    Errors: ConfigError, unknown parameter.
    """
    tables = [pd.DataFrame(columns=["source", "karmn", "value", "difference", "sigma"])]
    for name, literature in sources.items():
        both = _common(catalogue, literature, parameter)
        sigma = np.hypot(both["ex"].fillna(0), both["ey"].fillna(0))
        tables.append(
            pd.DataFrame(
                {
                    "source": name,
                    "karmn": both["karmn"],
                    "value": both["x"],
                    "difference": both["y"] - both["x"],
                    "sigma": sigma,
                }
            )
        )
    return pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)


class Agreement(NamedTuple):
    """Square frames over catalogues: Spearman's r, stars in common, and the robust scatter about a straight line."""

    spearman: pd.DataFrame
    number: pd.DataFrame
    scatter: pd.DataFrame


def agreement_matrix(frames, parameter):
    """Which catalogues agree with which, whatever zero point and scale each of them has.

    Spearman's r knows only the order of the stars. The scatter, in the parameter's unit, is 1.4826 MAD of the
    perpendicular distances to the line through the means whose slope is the ratio of the standard deviations: the same
    whichever of the two comes first. Rows stand in the order of a hierarchical clustering (average linkage of 1 - r,
    unknown pairs at the median distance); catalogues that share too few stars with all others come last.

    Arguments: frames, a dict of name -> tidy frame; parameter. Upper limits take no part.
    Returns: Agreement; NaN where fewer than ``MIN_COMMON`` stars are common, number excepted. The diagonal holds 1, the
    stars of the catalogue and 0. Catalogues without the parameter are left out.
    Errors: ConfigError, unknown parameter.
    """
    values = {name: _common(frame, frame, parameter).set_index("karmn")["x"] for name, frame in frames.items()}
    values = {name: one for name, one in values.items() if len(one)}
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
    """Names so that those which agree stand together."""
    alone = spearman.notna().sum() == 1
    names = list(spearman.index[~alone])
    if len(names) > 2:
        distance = 1 - spearman.loc[names, names].to_numpy()
        pairs = squareform(distance, checks=False)
        pairs[np.isnan(pairs)] = np.nanmedian(pairs)
        names = [names[i] for i in leaves_list(linkage(pairs, "average", optimal_ordering=True))]
    return [*names, *spearman.index[alone]]


def standing(agreement):
    """Where each catalogue sits among the others, best first.

    Arguments: agreement, of :func:`agreement_matrix`.
    Returns: pandas.DataFrame by catalogue: partners (with enough common stars), median_r and median_scatter over these,
    closest (name of the one with the highest r) and closest_r; NaN and a dash where there is no partner.
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
    """What every catalogue says about one star.

    Arguments: frames, a dict of name -> tidy frame; karmn, the star's identifier.
    Returns: pandas.DataFrame by catalogue, the parameters and their errors (``e_teff`` ..., asymmetric ones averaged);
    catalogues without the star are left out. A v sin i that is an upper limit has no error.
    """
    rows = {}
    for name, frame in frames.items():
        found = frame[frame["karmn"] == karmn]
        if len(found) and found[list(PARAMETERS)].notna().any(axis=None):
            values = {p: found[p].iloc[0] for p in PARAMETERS}
            rows[name] = values | {f"e_{p}": _error(found, p)[0] for p in PARAMETERS}
    columns = [c for p in PARAMETERS for c in (p, f"e_{p}")]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns) if rows else pd.DataFrame(columns=columns)
