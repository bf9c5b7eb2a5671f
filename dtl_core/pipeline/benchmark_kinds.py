"""Tables of the benchmark's results by kind of gap: errors, the best method, goals, error bars.

The tables of errors are those of the part ``kinds`` of the record, see :mod:`dtl_core.pipeline.benchmark_tables`.
"""

from __future__ import annotations

import pandas as pd

from ..missing import unless_empty
from ..parameters import PARAMETERS
from .benchmark_tables import DIGITS, HEADINGS, RELATIONS, known_truths, or_note, paired, relative_errors, span

__all__ = [
    "ANCHORED_GOALS",
    "BARS",
    "GOALS",
    "across_kinds",
    "bar_table",
    "best_by_kind",
    "goal_ratios",
    "goals",
    "worst_kinds",
]


# Largest rmse for any kind of gap, fixed before the kinds were measured. In log g a method is to be better than the
# relations in estimates.gravity.
GOALS = {"teff": 75.0, "mh": 0.12, "vsini": 1.0}  # K, dex, km/s: without known truths
ANCHORED_GOALS = {"teff": 45.0, "mh": 0.06}  # with anchor stars
BARS = {68: (0.60, 0.76), 90: (0.84, 0.95)}  # share of true values inside the intervals


def across_kinds(kinds):
    """Errors against every kind of gap as those of as many surveys, to compare methods over all kinds.

    Parameters
    ----------
    kinds : DataFrame
        Errors of the part ``kinds``.

    Returns
    -------
    DataFrame
        As the errors of the part ``arms``.
    """
    return kinds.assign(region="all", seed=kinds.groupby(["kind", "seed"], sort=False).ngroup())


def _medians(kinds):
    return kinds.pivot_table(index=["kind", "arm"], columns="parameter", values="rmse", aggfunc="median", sort=False)


@unless_empty(pd.DataFrame)
def goal_ratios(kinds):
    """Rmse of each method against every kind of gap, in units of the goal.

    Parameters
    ----------
    kinds : DataFrame
        Errors of the part ``kinds``.

    Returns
    -------
    DataFrame
        By kind and method: median over the surveys of Teff, [M/H] and v sin i over ``GOALS``, and log g over what the
        better of the relations in :mod:`dtl_core.estimates.gravity` gives at the estimated Teff and [M/H].
    """
    median = _medians(kinds)
    wanted = pd.DataFrame(GOALS, index=median.index).assign(logg=median[RELATIONS].min(axis=1))
    return median[list(PARAMETERS)] / wanted[list(PARAMETERS)]


@or_note
def worst_kinds(kinds):
    """The kind of gap for which each method has the largest errors in each parameter, as text.

    Parameters
    ----------
    kinds : DataFrame
        Errors of the part ``kinds``.

    Returns
    -------
    DataFrame
        Methods by parameters: rmse, the median over the surveys, and the kind. The first columns are the number of
        known truths and the largest ratio of an rmse to its goal.
    """
    median, ratio = _medians(kinds)[list(PARAMETERS)], goal_ratios(kinds)[list(GOALS)].groupby("arm", sort=False).max()
    truths, rows = known_truths(kinds), {}
    for method, own in median.groupby("arm", sort=False):
        row = {"known truths": truths[method], "largest rmse / goal": f"{ratio.loc[method].max():.1f}"}
        rows[method] = row | {HEADINGS[p]: f"{own[p].max():.{DIGITS[p]}f}, {own[p].idxmax()[0]}" for p in PARAMETERS}
    return pd.DataFrame(rows).T


@or_note
def best_by_kind(kinds):
    """Of the methods without known truths, the best one for every kind of gap.

    The best has the smallest geometric mean of rmse / goal over Teff, [M/H] and v sin i, median over the surveys.

    Parameters
    ----------
    kinds : DataFrame
        Errors of the part ``kinds``.

    Returns
    -------
    DataFrame
        By kind: best method, its known truths, its errors in units of the goals, and the other methods that do not
        differ from it within the scatter of the surveys.
    """
    own = kinds[kinds["truths"] == 0]
    relative = relative_errors(own, GOALS).rename("rmse").reset_index().assign(parameter="relative", region="all")
    rows = {}
    for kind, table in relative.groupby("kind", sort=False):
        median = table.groupby("arm", sort=False)["rmse"].median().sort_values()
        best, *others = median.index
        equal = [name for name in others if paired(table, name, best, "relative")["equal"]]
        row = {"best": best, "known truths": 0, "rmse / goal": f"{median[best]:.2f}"}
        rows[kind] = row | {"not different from it": "; ".join(equal)}
    return pd.DataFrame(rows).T


@or_note
def goals(kinds):
    """Goals for the errors, and what the best method reaches against the worst kind of gap.

    Parameters
    ----------
    kinds : DataFrame
        Errors of the part ``kinds``.

    Returns
    -------
    DataFrame
        Parameter, wanted, known truths of the method that comes nearest to all goals, this method, the kind that is
        the worst for it, found (median over the surveys), range over the surveys as text, met. The first rows are for
        methods without known truths, the last for those with anchor stars.
    """
    median, truths, rows = _medians(kinds), known_truths(kinds), []
    for wanted, methods in ((GOALS, truths.index[truths == 0]), (ANCHORED_GOALS, truths.index[truths > 0])):
        if not len(methods):
            continue
        worst = median[list(wanted)].groupby("arm", sort=False).max().loc[methods]
        method = (worst / pd.Series(wanted)).max(axis=1).idxmin()
        for name, value in wanted.items():
            kind = median.xs(method, level="arm")[name].idxmax()
            found = kinds[(kinds["arm"] == method) & (kinds["kind"] == kind) & (kinds["parameter"] == name)]["rmse"]
            row = {"parameter": name, "wanted": value, "known truths": truths[method], "method": method}
            row |= {"worst kind": kind, "found": found.median(), "range": span(found.min(), found.max(), DIGITS[name])}
            rows.append(row | {"met": bool(found.median() <= value)})
    return pd.DataFrame(rows)


@or_note
def bar_table(cards):
    """Coverage of the error bars of the models in the package for the kind of gap that is the worst for each.

    Parameters
    ----------
    cards : DataFrame
        See :func:`dtl_core.models.cards.kinds_table`.

    Returns
    -------
    DataFrame
        Parameter, level in per cent, known truths, wanted shares, least and most over kinds of gap and models, with the
        kinds, and in how many of ``n`` cases the share is as wanted.
    """
    rows = []
    for name, own in cards.groupby("parameter", sort=False):
        for level, (low, high) in BARS.items():
            share, kind = own[f"inside_{level}"].reset_index(drop=True), own["kind"].reset_index(drop=True)
            row = {"parameter": name, "level": level, "known truths": 0, "wanted": f"{low:.2f} to {high:.2f}"}
            row |= {"least": share.min(), "kind of least": kind[share.idxmin()]}
            row |= {"most": share.max(), "kind of most": kind[share.idxmax()]}
            rows.append(row | {"as wanted": int(share.between(low, high).sum()), "n": len(share)})
    return pd.DataFrame(rows)
