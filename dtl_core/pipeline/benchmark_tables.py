"""Tables of the benchmark's results, from its record: methods, kinds of gap, goals, anchor stars, gap metrics, log g.

``benchmarks/transfer.py`` writes the record ``transfer``. Parts that the record lacks give empty tables.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..bridging.benchmark import N_COMPANIONS, N_INTERFEROMETRIC
from ..bridging.methods import METHODS
from ..errors import DataError
from ..estimates import gravity
from ..estimates.calibration import group_edges, groups_of
from ..missing import unless_empty
from ..parameters import PARAMETERS, TABLE, heading
from . import records
from .headline import ESTIMATES, known_stars, recovery
from .stages.shared import ENCODERS

__all__ = [
    "DIGITS",
    "GRAVITIES",
    "RECOMMENDED",
    "REFERENCE",
    "by_anchors",
    "error_table",
    "flag_table",
    "gravity_errors",
    "gravity_table",
    "known_truths",
    "meaning",
    "method_table",
    "metric_verdicts",
    "paired",
    "paper_and_recommended",
    "read",
    "readable",
    "real_table",
    "relative_errors",
    "selected",
    "state",
    "unmeasured",
    "with_ensemble",
]


REFERENCE, RECOMMENDED = "no transfer", "combined"
ENSEMBLES = {"direct": "ensemble", "transfer": "ensemble, fine-tuned"}
N_ANCHORS = N_INTERFEROMETRIC + N_COMPANIONS  # known truths of the recommended method

_ERRORS = "parameter,region,n,rmse,bias,scatter,truths"
_STARS = ",".join(f"{name},found_{name},spread_{name}" for name in PARAMETERS)
TABLES = {  # header of each table of each part
    "arms": {
        "errors": f"{_ERRORS},arm,seed",
        "gaps": "metric,value,error,p,arm,seed",
        "axes": "unit,live,correlation,moved,arm,seed",
    },
    "ensemble": {"errors": f"{_ERRORS},encoder,profile,members,seed"},
    "kinds": {"errors": f"{_ERRORS.replace('region,', '')},kind,arm,seed"},
    "strengths": {"errors": "parameter,rmse,bias,scatter,truths,effect,strength,arm"},
    "anchors": {"errors": f"{_ERRORS},n_teff,n_mh,arm,seed"},
    "recommended": {"stars": f"survey,star,{_STARS}", "strangers": "survey,kind,n,flagged"},
    "real": {"stars": f"{','.join(PARAMETERS)},star,arm,seed"},
}

DIGITS = {name: parameter.digits + (parameter.digits > 0) for name, parameter in TABLE.items()}  # of an rmse
DIGITS |= {f"logg_{name}": DIGITS["logg"] for name in gravity.RELATIONS}
RELATIONS = [f"logg_{name}" for name in gravity.RELATIONS]
GRAVITIES = ("logg", *RELATIONS)  # log g of the spectrum, and what its Teff and [M/H] imply
HEADINGS = {name: heading(name) for name in PARAMETERS}
HEADINGS |= {"logg_relation": "log g, main-sequence relation", "logg_survey_relation": "log g, relation of these stars"}
THIRDS = ("cool", "middle", "hot")


# ---------------------------------------------------------------- the record


def read(part, table, folder=None):
    """Read a table of the record ``transfer``.

    Parameters
    ----------
    part, table : str
        Keys of ``TABLES``.
    folder : path, optional
        Folder of the records.

    Returns
    -------
    DataFrame
        Without rows where the record lacks it.
    """
    try:
        return records.frame(records.read("transfer", folder)["values"][part]["values"][table])
    except (DataError, KeyError):
        return records.frame([TABLES[part][table]])


def state(part, folder=None):
    """Say whether a part of the record is there, when it was measured, and what measures it.

    Parameters
    ----------
    part : str
    folder : path, optional
        Folder of the records.

    Returns
    -------
    str
        One sentence, with the command as code in Markdown.
    """
    command = f"`python benchmarks/transfer.py {part}`"
    try:
        entry = records.read("transfer", folder)["values"][part]
    except (DataError, KeyError):
        return f"The part {part} of the record has not been measured yet: {command} measures it."
    again = f" ({command} measures it again)" if records.is_stale(entry) else ""
    return f"The part {part} of the record was {records.dated(entry)}{again}."


@unless_empty(lambda: "No method has been measured.")
def unmeasured(errors):
    """Say which methods the record lacks.

    Parameters
    ----------
    errors : DataFrame
        Table of the record.

    Returns
    -------
    str
        One sentence.
    """
    new = [f"*{name}*" for name in METHODS if name not in set(errors["arm"])]
    return (
        f"Added since the record was measured, and not in it: {listed(new, '; ')}."
        if new
        else "All methods were measured."
    )


def listed(texts, between=", "):
    """Join texts as in a sentence: ``a, b and c``."""
    *others, last = texts
    return f"{between.join(others)} and {last}" if others else last


or_note = unless_empty(lambda: pd.DataFrame({"result": ["not measured"]}))


# ---------------------------------------------------------------- methods


@unless_empty(lambda: (pd.DataFrame(),) * 3)
def error_table(errors, region="all", column="rmse"):
    """Median, smallest and largest value over the surveys of the errors of each method.

    Parameters
    ----------
    errors : DataFrame
        Table of the record.
    region : str or int
        ``all``, or a third of Teff.
    column : str
        ``rmse``, ``bias`` or ``scatter``.

    Returns
    -------
    median, least, most : DataFrame
        Methods by parameters, and by ``logg_relation`` and ``logg_survey_relation`` where the record has them (see
        :func:`dtl_core.bridging.benchmark.scores`).
    """
    own = errors[errors["region"].astype(str) == str(region)].pivot_table(
        index="arm", columns="parameter", values=column, aggfunc=["median", "min", "max"], sort=False
    )
    columns = [name for name in DIGITS if name in own["median"]]
    return tuple(own[name][columns].loc[errors["arm"].unique()] for name in ("median", "min", "max"))


def known_truths(errors):
    """Number of stars whose truth each method knows, none of which is counted in its errors.

    Parameters
    ----------
    errors : DataFrame
        Table of the record.

    Returns
    -------
    Series
        By method.
    """
    return errors.groupby("arm", sort=False)["truths"].max()


def span(least, most, digits):
    """Format a range, ``72–190``, so that it stays on one line."""
    return f"{least:.{digits}f}\N{EN DASH}\N{WORD JOINER}{most:.{digits}f}"


def with_range(middle, least, most, digits):
    """Format a value and its range over the surveys, ``118 (72–190)``."""
    return f"{middle:.{digits}f} ({span(least, most, digits)})"


@or_note
def method_table(errors, parameters=PARAMETERS, region="all"):
    """Median and range over the surveys of the rmse of each method, as text.

    Parameters
    ----------
    errors : DataFrame
        Table of the record.
    parameters : sequence of str
        Columns, such as ``GRAVITIES``; those that the record lacks are left out.
    region : str or int
        As for :func:`error_table`.

    Returns
    -------
    DataFrame
        Methods by parameters, with the number of known truths in the first column.
    """
    median, least, most = error_table(errors, region)
    out = pd.DataFrame({"known truths": known_truths(errors).loc[median.index]}, index=median.index)
    for name in [name for name in parameters if name in median]:
        values = zip(median[name], least[name], most[name], strict=True)
        out[HEADINGS[name]] = [with_range(*value, DIGITS[name]) for value in values]
    return out.rename_axis(index=None)


def selected(errors, methods):
    """Rows of some methods, in the order of ``methods``; those that the record lacks are left out."""
    return pd.concat([errors[errors["arm"] == name] for name in methods], ignore_index=True)


def with_ensemble(errors, ensemble):
    """Add the paper's whole ensemble, before and after fine-tuning, to the methods of the same surveys.

    Parameters
    ----------
    errors, ensemble : DataFrame
        Errors of the parts ``arms`` and ``ensemble``.

    Returns
    -------
    DataFrame
        As ``errors``.
    """
    return pd.concat([errors, ensemble.assign(arm=ensemble["encoder"].map(ENSEMBLES))])[list(errors)]


def paired(errors, method, reference, parameter, region="all"):
    """Compare the errors of two methods survey by survey, so that a difficult survey counts for both.

    Parameters
    ----------
    errors : DataFrame
        Table of the record.
    method, reference : str
    parameter : str
    region : str or int
        ``all``, or a third of Teff.

    Returns
    -------
    dict
        ``difference``, median over the surveys of the rmse of the method minus that of the reference; ``low`` and
        ``high``, the central 68 % of these differences; ``equal``, whether this range contains zero, and for fewer than
        five surveys whether they do not all agree on the better method; ``method`` and ``reference``, median rmse of
        each; ``smaller``, number of surveys in which the method has the smaller rmse; ``n``, number of surveys.

    Raises
    ------
    DataError
        No survey was measured with both methods.
    """
    own = errors[(errors["parameter"] == parameter) & errors["arm"].isin([method, reference])]
    own = own[own["region"].astype(str) == str(region)]
    pair = {name: own[own["arm"] == arm].set_index("seed")["rmse"] for name, arm in (("a", method), ("b", reference))}
    both = pd.DataFrame(pair).dropna()
    if both.empty:
        known = ", ".join(errors["arm"].unique())
        raise DataError(
            f"no survey has errors in {parameter} of {method!r} and {reference!r}", remedy=f"known: {known}"
        )
    difference = both["a"] - both["b"]
    low, middle, high = np.percentile(difference, [16, 50, 84])
    few = len(both) < 5 and difference.min() <= 0 <= difference.max()
    return {
        "difference": middle,
        "low": low,
        "high": high,
        "equal": bool(low <= 0 <= high or few),
        "method": both["a"].median(),
        "reference": both["b"].median(),
        "smaller": int((difference < 0).sum()),
        "n": len(both),
    }


def relative_errors(errors, scale):
    """Geometric mean over some parameters of the rmse in units of a scale.

    Parameters
    ----------
    errors : DataFrame
        With parameter and rmse, region ``all`` only.
    scale : dict of str to float
        By parameter, such as the spread of the truth, or the goals.

    Returns
    -------
    Series
        By method and seed, and by kind, or by effect and strength, where there are any.
    """
    errors = errors[errors["parameter"].isin(list(scale))]
    keys = [name for name in ("kind", "effect", "strength", "arm", "seed") if name in errors]
    ratio = np.log(errors["rmse"].astype(float) / errors["parameter"].map(scale).astype(float))
    return np.exp(ratio.groupby([errors[name] for name in keys], sort=False).mean()).rename("relative")


def by_anchors(errors):
    """Errors of the part ``anchors`` with the numbers of anchor stars in the name of the method.

    Parameters
    ----------
    errors : DataFrame

    Returns
    -------
    DataFrame
        As the errors of the part ``arms``, of methods such as ``combined, 14 + 6 anchors``: with known Teff and log g,
        and with known [M/H].
    """
    errors = errors.sort_values("arm", kind="stable")
    names = errors["arm"] + ", " + errors["n_teff"].astype(str) + " + " + errors["n_mh"].astype(str) + " anchors"
    return errors.assign(arm=names)


# ---------------------------------------------------------------- log g


def gravity_errors(stars):
    """Errors in log g of the recommended method, and of what its Teff and [M/H] imply, survey by survey.

    Parameters
    ----------
    stars : DataFrame
        Part ``recommended`` of the record.

    Returns
    -------
    DataFrame
        As the errors of the part ``arms``: as ``arm`` the spectrum and each relation in
        :data:`dtl_core.estimates.gravity.RELATIONS` at the estimated Teff and [M/H]; as ``region`` all stars, and the
        cool, middle and hot third of true Teff.
    """
    thirds = np.array(THIRDS)[groups_of(stars["teff"], group_edges(stars["teff"]))] if len(stars) else []
    regions = pd.concat([stars.assign(region="all"), stars.assign(region=thirds)])
    rows = []
    for (region, survey), own in regions.groupby(["region", "survey"], sort=False):
        found = own[[f"found_{name}" for name in PARAMETERS]].to_numpy()
        errors = {"spectrum": float(np.sqrt(np.mean((own["found_logg"] - own["logg"]) ** 2)))}
        errors |= gravity.relation_errors(found, own["logg"].to_numpy())
        names = (gravity.TITLES.get(name, name).partition(" at the ")[0] for name in errors)
        rows += [
            ("logg", region, rmse, N_ANCHORS, name, survey) for name, rmse in zip(names, errors.values(), strict=True)
        ]
    return pd.DataFrame(rows, columns=["parameter", "region", "rmse", "truths", "arm", "seed"])


@or_note
def gravity_table(errors):
    """Median and range over the surveys of the errors in log g, as text.

    Parameters
    ----------
    errors : DataFrame
        Result of :func:`gravity_errors`.

    Returns
    -------
    DataFrame
        The spectrum and each relation, by thirds of Teff, with the number of known truths in the first column.
    """
    tables = {region: method_table(errors, region=region) for region in ("all", *THIRDS)}
    out = tables["all"][["known truths"]].copy()
    return out.assign(**{region: table[HEADINGS["logg"]] for region, table in tables.items()})


# ---------------------------------------------------------------- latents and gap metrics


def metric_verdicts(gaps, relative, n_resamples=500, seed=0):
    """Measure how well each gap metric ranks the methods by their errors.

    Parameters
    ----------
    gaps : DataFrame
        Table of the record: metrics in the latent space of each method.
    relative : Series
        As returned by :func:`relative_errors`.
    n_resamples, seed : int
        Number of resamples and seed of the bootstrap.

    Returns
    -------
    DataFrame
        Metric, Spearman's correlation with the errors over all methods and seeds, its 68 % interval, and n. The
        interval is from a bootstrap over methods, because seeds of one method are correlated.
    """
    from scipy.stats import spearmanr

    rng, rows = np.random.default_rng(seed), []
    for metric, own in gaps[gaps["arm"] != "fluxes"].groupby("metric", sort=False):
        joined = own.set_index(["arm", "seed"])["value"].to_frame().join(relative, how="inner").reset_index()
        methods = joined["arm"].unique()
        parts = {method: part for method, part in joined.groupby("arm")}
        found = []
        for _ in range(n_resamples):
            drawn = pd.concat([parts[method] for method in rng.choice(methods, len(methods))])
            found.append(spearmanr(drawn["value"], drawn["relative"]).statistic)
        low, high = np.nanpercentile(found, [16, 84])
        middle = spearmanr(joined["value"], joined["relative"]).statistic
        rows.append({"metric": metric, "correlation": middle, "low": low, "high": high, "n": len(joined)})
    return pd.DataFrame(rows, columns=["metric", "correlation", "low", "high", "n"])


def meaning(axes):
    """How fine-tuning changes the meaning of the latent units.

    Parameters
    ----------
    axes : DataFrame
        Table of the record.

    Returns
    -------
    dict of str to float
        ``units_total`` and ``units_live`` (mean over surveys). For each way of fine-tuning, medians over live units:
        ``kept_``, correlation of a unit with itself before; ``moved_``, rms change in units of the synthetic spread;
        ``turned_``, share of units with a correlation below 0.5; ``woken_``, units per survey that are dead on
        synthetic spectra but not on stars.
    """
    n = axes["seed"].nunique() or np.nan
    own = axes[axes["arm"] == "autoencoder"]
    out = {"units_total": int(own["unit"].nunique()), "units_live": float(own["live"].sum() / n)}
    for method in ("fine-tuned", "frozen decoder"):
        part, name = axes[axes["arm"] == method], method.replace("-", "_").replace(" ", "_")
        live = part[part["live"].astype(bool)]
        out[f"kept_{name}"] = float(live["correlation"].median())
        out[f"moved_{name}"] = float(live["moved"].median())
        out[f"turned_{name}"] = float((live["correlation"] < 0.5).mean())
        out[f"woken_{name}"] = float((np.isinf(part["moved"].astype(float))).sum() / n)
    return out


# ---------------------------------------------------------------- a run, unusual spectra, real stars


def paper_and_recommended(run):
    """Errors of all methods on the same stars of a run's survey, whose truth none of them used.

    Parameters
    ----------
    run : Run

    Returns
    -------
    DataFrame
        One row per parameter and method: parameter, estimates, the number of stars whose truth the method knows, the
        number of stars that are counted, rmse, bias (estimate minus truth), pearson, and the share of stars whose truth
        is within 1 sigma.
    """
    methods = (*ENCODERS, "recommended")
    known = {method: known_stars(run, method) for method in methods}
    counted = ~np.any(list(known.values()), axis=0)
    found, n = {method: recovery(run, method, counted) for method in methods}, int(counted.sum())
    rows = []
    for p in PARAMETERS:
        for method in methods:
            values = found[method][p]
            row = {"parameter": p, "estimates": ESTIMATES.get(method, method)}
            row |= {"known truths": int(known[method].sum()), "stars": n}
            row |= {name: values[name] for name in ("rmse", "bias", "pearson")}
            rows.append(row | {"coverage": values["coverage"] / n})
    return pd.DataFrame(rows)


def readable(table):
    """Write errors for a reader: the digits of each parameter, shares in per cent, and words as names of columns.

    Parameters
    ----------
    table : DataFrame
        With a column ``parameter``, such as returned by :func:`paper_and_recommended`.

    Returns
    -------
    DataFrame
        Table of text.
    """
    out = pd.DataFrame(index=table.index)
    for name in table:
        pairs = list(zip(table["parameter"], table[name], strict=True))
        if name == "parameter":
            out[name] = [HEADINGS[p] for p, _ in pairs]
        elif name.startswith(("rmse", "bias", "spread")):
            sign = "+" if name == "bias" else ""
            out[name] = [f"{value:{sign}.{DIGITS[p]}f}".replace("-", "\N{MINUS SIGN}") for p, value in pairs]
        elif name == "coverage":
            out["truth within 1\N{GREEK SMALL LETTER SIGMA}"] = [f"{value:.0%}" for _, value in pairs]
        elif name == "pearson":
            out["correlation"] = [f"{value:.2f}" for _, value in pairs]
        else:
            out[name] = table[name]
    return out


@or_note
def flag_table(strangers):
    """Share of spectra with a p-value of at most 5 %, by the recommended method, as text.

    Parameters
    ----------
    strangers : DataFrame
        Part ``recommended`` of the record.

    Returns
    -------
    DataFrame
        By kind of spectrum (``all injected``: every kind but ``ordinary``): the method's known truths, the number of
        surveys, and median and range over them in per cent.
    """
    out = {}
    for kind, own in strangers.groupby("kind", sort=False):
        share = 100 * own["flagged"]
        flagged = with_range(share.median(), share.min(), share.max(), 0)
        out[kind] = {"known truths": N_ANCHORS, "surveys": len(own), "flagged [%]": flagged}
    return pd.DataFrame(out).T.rename({"all planted": "all injected"})


@or_note
def real_table(stars, published):
    """Estimates of the real stars by every method, mean and spread over seeds, with published values.

    Parameters
    ----------
    stars : DataFrame
        Table of the record.
    published : dict
        As returned by :func:`dtl_core.literature.real_stars.published_rows`.

    Returns
    -------
    DataFrame
        Table of text. No method knows a value of a real star.
    """
    rows = []
    for star, own in stars.groupby("star", sort=False):
        for method, part in own.groupby("arm", sort=False):
            mean, spread = (getattr(part[list(PARAMETERS)], name)() for name in ("mean", "std"))
            values = {p: f"{mean[p]:.{DIGITS[p]}f} ± {spread[p]:.{DIGITS[p]}f}" for p in PARAMETERS}
            rows.append({"star": star, "by": method, "known truths": "0"} | values)
        for *values, source in published.get(star, []):
            text = {p: "" if v is None else f"{v:g}" for p, v in zip(PARAMETERS, values, strict=True)}
            rows.append({"star": star, "by": source, "known truths": ""} | text)
    return pd.DataFrame(rows)
