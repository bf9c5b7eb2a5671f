"""Conclusions from the benchmark's tables, as sentences that follow from the numbers.

Methods are compared survey by survey, see :func:`dtl_core.pipeline.benchmark_tables.paired`. What was not measured is
reported as such.
"""

from __future__ import annotations

from ..errors import DataError
from ..missing import unless_empty
from ..parameters import PARAMETERS, TABLE
from .benchmark_kinds import BARS, GOALS, across_kinds, bar_table, best_by_kind, goals
from .benchmark_tables import DIGITS, REFERENCE, THIRDS, by_anchors, known_truths, listed, meaning, paired
from .headline import ESTIMATES

__all__ = [
    "CLOSING",
    "FINE_TUNING",
    "anchor_sentences",
    "model_sentences",
    "bullets",
    "comparisons",
    "flag_sentence",
    "gap_sentences",
    "goal_sentences",
    "gravity_sentences",
    "kind_sentences",
    "leaders",
    "metric_sentence",
    "run_sentence",
    "sentence",
    "silent_sentence",
    "silent_surveys",
]


FINE_TUNING = (  # method and reference of each sentence on the first question of notebook 07
    ("fine-tuned", "autoencoder"),
    ("ensemble, fine-tuned", "ensemble"),
    ("ensemble, fine-tuned", "fine-tuned"),
    ("autoencoder", REFERENCE),
    ("autoencoder", "principal components"),
    ("autoencoder, noise", "autoencoder"),
    ("principal components, noise", "principal components"),
    ("autoencoder, noise", "principal components, noise"),
    ("fine-tuned, noise", "autoencoder, noise"),
    ("principal components, refitted", "principal components"),
    ("frozen decoder", "autoencoder"),
    ("aligned", REFERENCE),
    ("aligned", "fine-tuned"),
    ("adversarial", REFERENCE),
    ("augmented", REFERENCE),
)
CLOSING = (  # and on the second
    ("randomised", "augmented"),
    ("informed", "randomised"),
    ("informed, posterior", "informed"),
    ("combined, no anchors", "informed"),
    ("combined", "combined, no anchors"),
    ("zero points", "randomised"),
    ("zero points, fine-tuned", "zero points"),
    ("combined", "zero points"),
    ("fine-tuned", "chi-square"),
    ("randomised", "chi-square"),
)
_UNMEASURED = "Not measured."
_NO_CARDS = "The cards of the models in the package have no figures for kinds of gap yet."


def bullets(sentences):
    """Markdown list of sentences, each of them once."""
    return "\n".join(f"- {text}" for text in dict.fromkeys(sentences))


def _percent(share, digits=0):
    return f"{100 * share:.{digits}f} %"


def _upper(text):
    """Begin a sentence, with the name of a method or without."""
    start = text.startswith("*")
    return text[:start] + text[start : start + 1].upper() + text[start + 1 :]


def _named(errors, method):
    """Name of a method in italics, with the number of known truths where it uses any."""
    n = known_truths(errors).get(method, 0) if "truths" in errors else 0
    return f"*{method}* ({n} known truths)" if n else f"*{method}*"


def sentence(errors, method, reference, parameters=PARAMETERS):
    """Conclusion from the paired differences of two methods, as text.

    Parameters
    ----------
    errors : DataFrame
        Table of the record.
    method, reference : str
    parameters : sequence of str

    Returns
    -------
    str
        One sentence with the median difference and the number of surveys that agree, for each parameter in which the
        methods differ by more than the scatter of the surveys; a method that uses known truths comes with their number.

    Examples
    --------
    >>> import pandas as pd
    >>> from dtl_core.pipeline.benchmark_sentences import sentence
    >>> rows = [("teff", "all", arm, seed, rmse + seed) for arm, rmse in (("A", 40), ("B", 97)) for seed in range(5)]
    >>> errors = pd.DataFrame(rows, columns=["parameter", "region", "arm", "seed", "rmse"])
    >>> sentence(errors, "A", "B", ["teff"])
    '*A* is better than *B* in Teff by 57 K (5 of 5 surveys).'
    """
    texts = {"better": [], "worse": [], "equal": []}
    own, other = _named(errors, method), _named(errors, reference)
    for p in parameters:
        found, symbol = paired(errors, method, reference, p), TABLE[p].symbol
        if found["equal"]:
            texts["equal"].append(symbol)
            continue
        word, count = ("better", found["smaller"]) if found["high"] < 0 else ("worse", found["n"] - found["smaller"])
        difference = f"{abs(found['difference']):.{DIGITS[p]}f} {TABLE[p].unit}"
        texts[word].append(f"in {symbol} by {difference} ({count} of {found['n']} surveys)")
    parts = [f"{word} than {other} {listed(texts[word])}" for word in ("better", "worse") if texts[word]]
    clauses = [f"{own} is {', but '.join(parts)}"] if parts else []
    if texts["equal"]:
        both = "they" if parts else f"{own} and {other}"
        clauses.append(f"{both} do not differ within the scatter of the surveys in {listed(texts['equal'])}")
    return f"{_upper('; '.join(clauses))}."


def run_sentence(errors):
    """Say in which parameters fine-tuning made the errors of a single run smaller.

    Parameters
    ----------
    errors : DataFrame
        Columns parameter, estimates (among them the values of :data:`dtl_core.pipeline.headline.ESTIMATES`) and rmse.

    Returns
    -------
    str
        Two sentences: the second says that a single survey is no test.
    """
    rmse = errors.pivot(index="parameter", columns="estimates", values="rmse").astype(float)
    tuned, untuned = rmse[ESTIMATES["transfer"]], rmse[ESTIMATES["direct"]]
    names = [TABLE[p].symbol for p in PARAMETERS if tuned[p] < untuned[p]] or ["no parameter"]
    return (
        f"In this run the rmse is smaller with fine-tuning than without in {listed(names)}. "
        "One survey cannot show whether such a difference repeats."
    )


def comparisons(errors, pairs):
    """Sentences on pairs of methods.

    Parameters
    ----------
    errors : DataFrame
        Table of the record.
    pairs : sequence of (str, str)
        Method and reference, such as ``FINE_TUNING``.

    Returns
    -------
    list of str
        Results of :func:`sentence`; last, the pairs that were not measured on the same surveys.
    """
    out, lacking = [], []
    for method, reference in pairs:
        try:
            out.append(sentence(errors, method, reference))
        except DataError:
            lacking.append(f"*{method}* against *{reference}*")
    return [*out, f"Not measured: {'; '.join(lacking)}."] if lacking else out


@unless_empty(lambda: [_UNMEASURED])
def leaders(errors):
    """Say which methods have the smallest errors in each parameter, with and without known truths.

    Parameters
    ----------
    errors : DataFrame
        Table of the record.

    Returns
    -------
    list of str
        One sentence for the methods without known truths, one for those with, if there are any.
    """
    truths, out = known_truths(errors), []
    overall = errors[errors["region"].astype(str) == "all"]
    median = overall.pivot_table(index="arm", columns="parameter", values="rmse", aggfunc="median", sort=False)
    for which, group in (("without", truths.index[truths == 0]), ("with", truths.index[truths > 0])):
        if not len(group):
            continue
        clauses = []
        for p in PARAMETERS:
            best = median.loc[group, p].idxmin()
            equal = [name for name in group if name != best and paired(errors, name, best, p)["equal"]]
            others = f"; not different from it: {', '.join(f'*{name}*' for name in equal)}" if equal else ""
            value = f"{median.loc[best, p]:.{DIGITS[p]}f} {TABLE[p].unit}"
            clauses.append(f"in {TABLE[p].symbol} that of {_named(errors, best)} ({value}{others})")
        out.append(f"Of the methods {which} known truths, the smallest median rmse is {listed(clauses)}.")
    return out


@unless_empty(lambda: [_UNMEASURED])
def kind_sentences(kinds):
    """Say which method without known truths is the best for how many kinds of gap, and how the others compare with it.

    Parameters
    ----------
    kinds : DataFrame
        Errors of the part ``kinds``.

    Returns
    -------
    list of str
    """
    table, every = best_by_kind(kinds), across_kinds(kinds)
    wins = table["best"].value_counts()
    texts = [f"*{method}* for {n}" for method, n in wins.items()]
    equal = int((table["not different from it"] != "").sum())
    first = (
        f"Of the methods without known truths, the best is {listed(texts)} of {len(table)} kinds of gap; for {equal} "
        "of these kinds, at least one other method does not differ from it within the scatter of the surveys."
    )
    pairs = [(wins.index[0], REFERENCE), (wins.index[0], "fine-tuned"), ("fine-tuned", REFERENCE)]
    pairs += [("combined, no anchors", "informed"), ("combined", "combined, no anchors")]
    found = comparisons(every, [pair for pair in dict.fromkeys(pairs) if pair[0] != pair[1]])
    return [first, *(f"Over all kinds of gap: {text}" for text in found)]


@unless_empty(lambda: [_UNMEASURED])
def goal_sentences(kinds):
    """Say which goals are met for the worst kind of gap.

    Parameters
    ----------
    kinds : DataFrame
        Errors of the part ``kinds``.

    Returns
    -------
    list of str
        One sentence for each goal.
    """
    out = []
    for row in goals(kinds).to_dict("records"):
        entry, digits = TABLE[row["parameter"]], DIGITS[row["parameter"]]
        who = _named(kinds, row["method"])
        goal = "with anchor stars" if row["known truths"] else "without known truths"
        out.append(
            f"Goal {goal}, at most {row['wanted']:g} {entry.unit} in {entry.symbol} for every kind of gap: "
            f"{'met' if row['met'] else 'missed'}. For {who} the worst kind is {row['worst kind']}, with "
            f"{row['found']:.{digits}f} {entry.unit} ({row['range']})."
        )
    return out


@unless_empty(lambda: [_UNMEASURED])
def anchor_sentences(anchors):
    """Say what anchor stars bring.

    Parameters
    ----------
    anchors : DataFrame
        Errors of the part ``anchors``.

    Returns
    -------
    list of str
        For each method, the largest number of anchor stars against none, and against the next smaller number.
    """
    named, pairs = by_anchors(anchors), []
    for method in anchors["arm"].unique():
        names = list(dict.fromkeys(name for name in named["arm"] if name.startswith(f"{method}, ")))
        pairs += [(names[-1], names[0]), *([(names[-1], names[-2])] if len(names) > 2 else [])]
    return comparisons(named, pairs)


@unless_empty(lambda: [_UNMEASURED])
def gap_sentences(gaps, axes):
    """Say what fine-tuning does to the latents.

    Parameters
    ----------
    gaps, axes : DataFrame
        Tables of the record.

    Returns
    -------
    list of str
        Whether the latent units keep their meaning, and whether the gap metrics become smaller.
    """
    kept = meaning(axes)
    first = (
        f"Of the {kept['units_live']:.0f} live units of an autoencoder, {_percent(1 - kept['turned_fine_tuned'])} have "
        "a correlation of at least 0.5 with themselves before fine-tuning. In the median this correlation is "
        f"{kept['kept_fine_tuned']:.2f}, and the units move by {kept['moved_fine_tuned']:.2f} of the synthetic spread."
    )
    texts = {"smaller": [], "larger": [], "equal": []}
    for metric, own in gaps.groupby("metric", sort=False):
        own = own.assign(parameter=metric, region="all", rmse=own["value"])
        try:
            found = paired(own, "fine-tuned", "autoencoder", metric)
        except DataError:
            return [first, _UNMEASURED]
        word = "equal" if found["equal"] else "smaller" if found["high"] < 0 else "larger"
        values = f" ({found['method']:.3g} against {found['reference']:.3g})" if word != "equal" else ""
        texts[word].append(f"{metric}{values}")
    clauses = [f"{listed(texts[word])} {word}" for word in ("smaller", "larger") if texts[word]]
    second = [f"Fine-tuning makes {' and '.join(clauses)}."] if clauses else []
    if texts["equal"]:
        second.append(f"Within the scatter of the surveys, fine-tuning does not change {listed(texts['equal'])}.")
    return [first, " ".join(second)]


@unless_empty(lambda: _UNMEASURED)
def metric_sentence(verdicts):
    """Say which gap metrics rank the methods by their errors.

    Parameters
    ----------
    verdicts : DataFrame
        Result of :func:`dtl_core.pipeline.benchmark_tables.metric_verdicts`.

    Returns
    -------
    str
    """
    ranked = verdicts.sort_values("correlation", ascending=False)
    useful = ranked[ranked["low"] > 0]
    none = listed(list(ranked.loc[ranked["low"] <= 0, "metric"])) if len(useful) < len(ranked) else ""
    if not len(useful):
        return f"No metric ranks the methods by their errors: the interval of each, {none}, contains zero or less."
    named = listed([f"{row.metric} ({row.correlation:.2f})" for row in useful.itertuples()])
    rest = f"; the intervals of {none} contain zero or less" if none else ""
    return f"Metrics that rank the methods by their errors, with their correlation, are {named}{rest}."


@unless_empty(lambda: [_UNMEASURED])
def gravity_sentences(errors):
    """Say for which third of Teff log g of the spectrum is better than what Teff and [M/H] imply.

    Parameters
    ----------
    errors : DataFrame
        Result of :func:`dtl_core.pipeline.benchmark_tables.gravity_errors`.

    Returns
    -------
    list of str
        One sentence for each relation.
    """
    out = []
    for relation in errors["arm"].unique()[1:]:
        clauses = []
        for third in THIRDS:
            found = paired(errors, "spectrum", relation, "logg", third)
            word = "better" if found["difference"] < 0 else "worse"
            verdict = "not different within the scatter of the surveys" if found["equal"] else word
            values = f"{found['method']:.{DIGITS['logg']}f} against {found['reference']:.{DIGITS['logg']}f} dex"
            clauses.append(f"{verdict} in the {third} third ({values})")
        out.append(f"Compared with the {relation}, log g of the spectrum is {listed(clauses)}.")
    return out


@unless_empty(lambda: [_NO_CARDS])
def model_sentences(cards):
    """Say for how many kinds of gap the models in the package meet the goals for errors and error bars.

    Parameters
    ----------
    cards : DataFrame
        See :func:`dtl_core.models.cards.kinds_table`.

    Returns
    -------
    list of str
        One sentence for the errors in each parameter that has a goal, one for each level of the error bars.
    """
    out = []
    for name, wanted in GOALS.items():
        own, entry = cards[cards["parameter"] == name], TABLE[name]
        worst, met = own.loc[own["rmse"].idxmax()], int((own["rmse"] <= wanted).sum())
        found = f"{worst['rmse']:.{DIGITS[name]}f} {entry.unit}"
        out.append(
            f"Goal, at most {wanted:g} {entry.unit} in {entry.symbol} for every kind of gap: "
            f"{'met' if met == len(own) else 'missed'}. The models reach it in {met} of {len(own)} combinations of "
            f"kind and model; the worst is {worst['kind']} at R = {worst['model']:.0f}, with {found}."
        )
    for level, own in bar_table(cards).groupby("level", sort=False):
        low, high = BARS[level]
        clauses = [
            f"{row['as wanted']} in {TABLE[row['parameter']].symbol} (the lowest share is {_percent(row['least'])})"
            for row in own.to_dict("records")
        ]
        verdict = "met" if (own["as wanted"] == own["n"]).all() else "missed"
        wanted = f"{100 * low:.0f} to {_percent(high)} of the true values inside the {level} % error bars"
        out.append(
            f"Goal, {wanted} for every kind of gap: {verdict}. Of {own['n'].max()} combinations of kind and model, "
            f"it is met by {listed(clauses)}."
        )
    return out


@unless_empty(lambda: _NO_CARDS)
def silent_sentence(cards):
    """Name the silent failures of the models in the package.

    Parameters
    ----------
    cards : DataFrame
        See :func:`dtl_core.models.cards.kinds_table`.

    Returns
    -------
    str
    """
    failing, n = cards[cards["silent"]], len(cards)
    if not len(failing):
        return f"There is no silent failure in {n} combinations of parameter, kind of gap and model."
    texts = [
        f"{TABLE[p].symbol} for {listed(list(dict.fromkeys(own['kind'])))}"
        for p, own in failing.groupby("parameter", sort=False)
    ]
    return f"{len(failing)} of {n} combinations of parameter, kind of gap and model fail silently: {'; '.join(texts)}."


def silent_surveys(intervals, strangers):
    """Say in how many surveys the error bars hold less than half of the true values, and whether flags show it.

    Parameters
    ----------
    intervals : dict of str to DataFrame
        As returned by :func:`dtl_core.pipeline.benchmark_calibration.calibrate`.
    strangers : DataFrame
        Part ``recommended`` of the record.

    Returns
    -------
    str
    """
    if not intervals:
        return _UNMEASURED
    ordinary = strangers[strangers["kind"] == "ordinary"].set_index("survey")["flagged"]
    clauses, failing = [], set()
    for name, table in intervals.items():
        inside = (table["truth"] >= table["low_0.68"]) & (table["truth"] <= table["high_0.68"])
        share = inside.groupby(table["survey"]).mean()
        few = share.index[share < 0.5]
        failing |= set(few)
        clauses.append(f"{len(few)} in {TABLE[name].symbol}")
    text = (
        f"Of {len(share)} surveys with errors of the line list, those whose 68 % intervals hold less than half of the "
        f"true values are {listed(clauses)}, if other surveys calibrate them."
    )
    known = ordinary[ordinary.index.isin(failing)]
    if not len(known):
        return text
    flagged = _percent(known.max())
    return f"{text} Flags were counted in {len(known)} of the surveys of which this is true: at most {flagged} each."


@unless_empty(lambda: _UNMEASURED)
def flag_sentence(strangers):
    """Say how many ordinary and how many unusual spectra are flagged.

    Parameters
    ----------
    strangers : DataFrame
        Part ``recommended`` of the record.

    Returns
    -------
    str
    """
    rates = strangers.groupby("kind", sort=False)["flagged"].agg(["median", "min", "max"])
    others = rates.drop(["ordinary", "all planted"], errors="ignore")
    usual = [_percent(rates.loc["ordinary", name], 1) for name in ("median", "min", "max")]
    typical, least = (_percent(value) for value in (others["median"].median(), others["median"].min()))
    return (
        f"Of ordinary spectra {usual[0]} are flagged ({usual[1]} to {usual[2]}). Of unusual ones {typical} are "
        "flagged, the median over their kinds, and of the kind that is found least often, "
        f"{others['median'].idxmin()}, {least}."
    )
