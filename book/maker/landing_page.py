"""The part of the book's first page on the method: a verdict, a table and a figure, all from records.

    landing_files()     verdict.md, landing.md and gap.svg, below ``book/generated``, for the first page

The simulated numbers are those of the record ``transfer``, the real ones those of ``transfer`` and ``real_stars``. The
numbers choose the sentences.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from dtl_core.config import load_profile
from dtl_core.errors import DataError
from dtl_core.literature import real_stars
from dtl_core.parameters import PARAMETERS, TABLE, heading
from dtl_core.pipeline import benchmark_tables, records
from dtl_core.pipeline.benchmark_sentences import sentence
from dtl_core.pipeline.benchmark_tables import listed, paired, with_range

from .figure_files import picture
from .markdown import NBSP, escape, number, table
from .real_stars_page import recorded

__all__ = ["REAL", "SIMULATED", "landing_files", "verdict"]


SIMULATED, REAL = "{bdg-warning-line}`simulated`", "{bdg-success-line}`real`"
TUNED, UNTUNED, RECOMMENDED, BLIND = "fine-tuned", "not fine-tuned", "recommended", "combined, no anchors"
# of the benchmark, by their names here: the paper's whole ensemble, and one network of each sort
WHOLE = {"ensemble, fine-tuned": TUNED, "ensemble": UNTUNED, benchmark_tables.RECOMMENDED: RECOMMENDED}
SINGLE = {"fine-tuned": TUNED, "autoencoder": UNTUNED, benchmark_tables.RECOMMENDED: RECOMMENDED}
SEPARABILITY = "AUC"  # metric of the gap: 1 if a classifier separates the domains, 0.5 if it cannot
CLOSED = 0.6  # separability up to which the gap counts as closed
_NOT_MEASURED = "*Not measured yet: `make transfer` measures it.*\n"


# ---------------------------------------------------------------- from the records


class Simulated(NamedTuple):
    """Errors of the methods on the same simulated surveys, and gap metrics.

    Attributes
    ----------
    errors : pandas.DataFrame
        As the errors of the part ``arms``, with the names of this module; with the recommended method without known
        truths where it was measured.
    gaps : pandas.DataFrame
        As the gap metrics of the part ``arms``.
    ensemble : bool
        Whether the first two are the paper's whole ensemble, not one network of each sort.
    """

    errors: pd.DataFrame
    gaps: pd.DataFrame
    ensemble: bool


def simulated(folder=None):
    """Read what was measured on simulated surveys.

    Parameters
    ----------
    folder : path, optional
        Folder of the records.

    Returns
    -------
    Simulated or None
        None where one of the methods was not measured.
    """
    errors = benchmark_tables.read("arms", "errors", folder)
    ensemble = benchmark_tables.read("ensemble", "errors", folder)
    errors = benchmark_tables.with_ensemble(errors, ensemble) if len(ensemble) else errors
    for names in (WHOLE, SINGLE):
        if not set(names) <= set(errors["arm"]):
            continue
        names = names | ({BLIND: BLIND} if BLIND in set(errors["arm"]) else {})
        own = benchmark_tables.selected(errors, names)
        own = own[own["region"].astype(str) == "all"]
        common = set.intersection(*(set(part["seed"]) for _, part in own.groupby("arm")))
        own = own[own["seed"].isin(common)].assign(arm=own["arm"].map(names))
        return Simulated(own, benchmark_tables.read("arms", "gaps", folder), "ensemble" in names)
    return None


def real(folder=None):
    """Compare the three methods on the real stars that all of them have estimated.

    The first two methods were trained several times, each time on simulated spectra, and fine-tuned on these stars. The
    recommended estimates are those of the trained models; each star is judged by one that has not seen it.

    Parameters
    ----------
    folder : path, optional
        Folder of the records.

    Returns
    -------
    pandas.DataFrame
        One row per method, star and parameter with a published value that is not a limit: arm, star, parameter,
        difference (mean over the trainings, minus published) and truths (real stars that the method knows). Empty
        without records.
    """
    columns = ["arm", "star", "parameter", "difference", "truths"]
    estimates, known = benchmark_tables.read("real", "stars", folder), recorded(folder)
    if known is None or not len(estimates):
        return pd.DataFrame(columns=columns)
    parts, _, judged, compared = known
    rows = []
    for method, title in list(SINGLE.items())[:2]:
        means = estimates[estimates["arm"] == method].groupby("star")[list(PARAMETERS)].mean()
        for star, own in means.iterrows():
            for p in PARAMETERS:
                published = real_stars.published_of(real_stars.star_named(star), p)
                if published is not None and not published.limit:
                    rows.append((title, star, p, own[p] - published.value, 0))
    teachers = {name: _teachers(parts, model) for name, model in zip(judged["star"], judged["model"], strict=True)}
    for row in compared[~compared["limit"].astype(bool)].to_dict("records"):
        rows.append((RECOMMENDED, row["star"], row["parameter"], row["difference"], len(teachers[row["star"]])))
    out = pd.DataFrame(rows, columns=columns)
    common = set.intersection(*(set(own["star"]) for _, own in out.groupby("arm")))
    return out[out["star"].isin(common)]


def _teachers(parts, model):
    """Real stars that corrected the lines of the model by which a star is judged."""
    corrected = parts.get("shipped", {}).get("values", {}).get("seen", [])
    return [name for name in corrected if model != f"without {name}"]


# ---------------------------------------------------------------- the verdict


def verdict(folder=None):
    """The verdict: a paragraph on fine-tuning, one on the recommended method, one on real stars.

    Parameters
    ----------
    folder : path, optional
        Folder of the records.

    Returns
    -------
    list of str
        Markdown. What was not measured is left out.
    """
    measured, out = simulated(folder), []
    if measured is not None:
        text = (
            f"{_sentence(measured.errors, TUNED, UNTUNED)} {_against_the_mean(measured.errors, _truth_spread(folder))}"
        )
        out.append(f"{SIMULATED} **{_fine_tuning(measured)}** {text}".strip())
        better, worse = _counts(measured.errors, RECOMMENDED, TUNED)
        head = f"The recommended method is better than the paper's in {_of_four(better)}"
        head += f" and worse in {_of_four(worse)}." if worse else "."
        text = f"{_sentence(measured.errors, RECOMMENDED, TUNED)} {_without_truths(measured.errors)}"
        out.append(f"{SIMULATED} **{head}** {text}".strip())
    known = recorded(folder)
    if known is not None:
        out.append(f"{REAL} {_on_real_stars(real_stars.summary(known[-1]))}")
    return out


def _against_the_mean(errors, spread):
    """In which parameters the paper's method is worse than predicting the mean of the stars; empty if in none."""
    medians = errors[errors["arm"] == TUNED].groupby("parameter")["rmse"].median()
    names = [escape(TABLE[p].symbol) for p in PARAMETERS if p in spread and medians[p] > spread[p]]
    text = "Predicting the mean of all stars would be better than the paper's method in"
    return f"{text} {listed(names)}." if names else ""


def _without_truths(errors):
    """In how many parameters the recommended method is better than the paper's if it knows no truth."""
    if BLIND not in set(errors["arm"]):
        return ""
    better, worse = _counts(errors, BLIND, TUNED)
    text = f"Without known truths it is better in {_of_four(better)}"
    return f"{text} and worse in {_of_four(worse)}." if worse else f"{text}."


def _sentence(errors, method, reference):
    return sentence(errors, method, reference).replace("[M/H]", escape("[M/H]"))


def _counts(errors, method, reference):
    """In how many parameters a method is better, and worse, by more than the scatter of the surveys."""
    found = [paired(errors, method, reference, p) for p in PARAMETERS]
    better = sum(not f["equal"] and f["high"] < 0 for f in found)
    return better, sum(not f["equal"] for f in found) - better


def _of_four(count):
    return {0: "no parameter", len(PARAMETERS): "all parameters"}.get(count, f"{count} of {len(PARAMETERS)} parameters")


def _fine_tuning(measured):
    """Whether fine-tuning helps, and whether it closes the gap."""
    better, worse = _counts(measured.errors, TUNED, UNTUNED)
    text = f"Fine-tuning, the paper's method, helps in {_of_four(better)}"
    text += f", harms in {_of_four(worse)}" if worse else ""
    try:
        return f"{text} and {_closing(separability(measured.gaps))}."
    except DataError:
        return f"{text}."


def separability(gaps):
    """Compare how well a classifier separates latents of stars and of synthetic spectra, after and before fine-tuning.

    Parameters
    ----------
    gaps : pandas.DataFrame
        As the gap metrics of the part ``arms``.

    Returns
    -------
    dict
        As returned by :func:`dtl_core.pipeline.benchmark_tables.paired`, of areas under the ROC curve.

    Raises
    ------
    DataError
        They were not measured.
    """
    own = gaps[gaps["metric"] == SEPARABILITY]
    own = own.assign(parameter=own["metric"], region="all", rmse=own["value"])
    return paired(own, "fine-tuned", "autoencoder", SEPARABILITY)


def _closing(found):
    """What fine-tuning does to the gap, from :func:`separability`."""
    if found["method"] <= CLOSED:
        return "closes the gap"
    narrower = not found["equal"] and found["high"] < 0
    return "narrows the gap without closing it" if narrower else "does not close the gap"


def _on_real_stars(found):
    """The verdict on early real stars, with the goals, from :func:`dtl_core.literature.real_stars.summary`."""
    own = found[(found["group"] == real_stars.EARLY) & np.isfinite(found["goal_rmse"]) & (found["n"] > 0)]
    whole = found[(found["group"] == real_stars.EARLY) & (found["parameter"] == "all")].to_dict("records")[0]
    if not len(own):
        return f"**No star of types {real_stars.EARLY} has been judged.**"
    clauses = []
    for row in own.to_dict("records"):
        entry, form = TABLE[row["parameter"]], f".{TABLE[row['parameter']].digits}f"
        off = f"{row['rmse']:{form}}{NBSP}{entry.unit} in {escape(entry.symbol)}"
        clauses.append(f"{off} (goal {row['goal_rmse']:{form}}, {'met' if row['met'] else 'missed'})")
    stars, met, total = int(own["n"].max()), int(own["met"].sum()), len(own)
    count = "all goals are met" if met == total else f"{met} of {total} goals {'is' if met == 1 else 'are'} met"
    text = (
        f"**On {stars} stars of types {real_stars.EARLY}, {count}.** The trained models differ from published values "
    )
    text += f"by {listed(clauses)}, rms. Their 90 % error bars contain {whole['inside_90']} of "
    text += f"{whole['n'] + whole['n_limits']} published values and limits. "
    text += "No model has seen the star that it is judged by."
    late = found[(found["group"] == real_stars.LATE) & (found["parameter"] == "all") & found["fails"]]
    return text + (f" For types {real_stars.LATE} the error bars are too short." if len(late) else "")


# ---------------------------------------------------------------- the table


def _cell(values, p):
    """A middle value with its range, in the digits of the parameter; nothing without values."""
    if not len(values):
        return "–"
    middle, low, high = (f"{value:.{TABLE[p].digits}f}" for value in values)
    return middle if low == high else with_range(*values, TABLE[p].digits)


def _rms(differences):
    """Rms of differences, and the smallest and the largest of them."""
    sizes = differences.abs()
    return pd.Series([np.sqrt((sizes**2).mean()), sizes.min(), sizes.max()]) if len(sizes) else sizes


def _spread(values):
    return values.agg(["median", "min", "max"])


def _table(measured, compared):
    """Rows by parameter and kind of spectra, columns by method."""
    methods, rows = (TUNED, UNTUNED, RECOMMENDED), []
    for p in PARAMETERS:
        name = escape(heading(p)).replace(" ", NBSP)
        if measured is not None:
            own = measured.errors[measured.errors["parameter"] == p]
            cells = [_cell(_spread(own.loc[own["arm"] == method, "rmse"]), p) for method in methods]
            rows.append([f"{name} {SIMULATED}", *cells])
        if len(compared):
            own = compared[compared["parameter"] == p]
            cells = [_cell(_rms(own.loc[own["arm"] == method, "difference"]), p) for method in methods]
            rows.append([f"{name} {REAL}", *cells])
    if measured is not None:
        truths = benchmark_tables.known_truths(measured.errors)
        rows.append([f"known truths {SIMULATED}", *(f"{truths[method]}" for method in methods)])
    if len(compared):
        ranges = compared.groupby("arm")["truths"].agg(["min", "max"])
        ranges = [dict.fromkeys(ranges.loc[method]) for method in methods]
        rows.append([f"known truths {REAL}", *("–".join(map(str, found)) for found in ranges)])
    return table(["", f"{TUNED}, the paper's method", UNTUNED, RECOMMENDED], rows)


def _reading(measured, compared):
    """What the rows of the table are."""
    text = []
    if measured is not None:
        surveys, stars = measured.errors["seed"].nunique(), measured.errors["n"].max()
        text.append(
            f"Simulated: rmse against the truth of {surveys} surveys with {stars} scored stars each, the median and, "
            "in brackets, the smallest and the largest"
        )
    if len(compared):
        stars = list(dict.fromkeys(compared["star"]))
        values = listed([f"{n} in {escape(TABLE[p].symbol)}" for p, n in _values(compared).items()])
        text.append(
            f"Real: rms difference from published values of {listed([s.replace(' ', NBSP) for s in stars])} and, in "
            f"brackets, the smallest and the largest; there are {values}"
        )
    text.append("A {term}`known truth` is a star whose parameters the method was told; it does not count in the errors")
    return f"{'. '.join(text)}."


def _values(compared):
    """Number of published values by parameter."""
    own = compared[compared["arm"] == RECOMMENDED]
    return {p: int((own["parameter"] == p).sum()) for p in PARAMETERS if (own["parameter"] == p).any()}


def _behind(measured, compared, folder):
    """What is behind the columns, and when it was measured."""
    text = []
    if measured is not None:
        which = (
            "the paper's whole ensemble"
            if measured.ensemble
            else "one autoencoder with one regressor for each parameter"
        )
        part = "ensemble" if measured.ensemble else "arms"
        text.append(
            f"On simulated surveys the first two columns are {which} in the size of the {{term}}`quick start` "
            f"(`demo`), {_dated('transfer', part, folder)}."
        )
    if len(compared):
        text.append(
            "For real stars they were fine-tuned on these few stars alone, and are the mean of several trainings, "
            f"{_dated('transfer', 'real', folder)}. The "
            "{term}`recommended method` is *combined* for a survey and the {term}`trained models` for single stars "
            f"({_dated('real_stars', 'left_out', folder)}); these know the real stars that corrected them."
        )
    return " ".join(text) + _paper_size(folder)


def _dated(name, part, folder):
    return records.dated(records.read(name, folder)["values"][part])


def _paper_size(folder):
    """What the record says of the paper's ensemble at nearly its size; nothing without it."""
    try:
        found = records.read("paper_ensemble", folder)
    except DataError:
        return ""
    best = found["values"]["figures"][max(found["values"]["figures"], key=lambda snr: float(snr.partition("-")[0]))]
    errors = [f"{number(best[p]['rmse'], f'.{TABLE[p].digits}f')}{NBSP}{TABLE[p].unit} in {escape(TABLE[p].symbol)}"
              for p in PARAMETERS]  # fmt: skip
    paper = load_profile("paper").autoencoder.n_models
    return (
        f" The paper's ensemble at nearly its size ({found['values']['autoencoders']} of {paper} autoencoders), "
        f"fine-tuned on one simulated survey and tested on {best['n_stars']} bright stars of others, had an rmse of "
        f"{listed(errors)}, {records.dated(found)} ({{ref}}`model card <model-card>`)."
    )


# ---------------------------------------------------------------- the files


def landing_files(folder=None):
    """The part of the first page that is made from records, and its figure.

    Parameters
    ----------
    folder : path, optional
        Folder of the records; by default that of the package.

    Returns
    -------
    dict
        Name below ``book/generated`` -> text or bytes.
    """
    from dtl_core.plots.benchmark_figures import gap_and_errors

    measured, compared = simulated(folder), real(folder)
    files = {"verdict.md": "\n".join(f"{line}\n" for line in verdict(folder)) or _NOT_MEASURED, "landing.md": ""}
    if measured is None and not len(compared):
        return files
    text = f"```{{table}} {_CAPTION}\n:name: tab-landing\n:class: values\n\n{_table(measured, compared)}```\n\n"
    text += f"{_reading(measured, compared)}\n\n{_behind(measured, compared, folder)}\n"
    if measured is None or not len(measured.gaps):
        return files | {"landing.md": text}
    spread = _truth_spread(folder)
    errors = benchmark_tables.selected(measured.errors, (UNTUNED, TUNED, RECOMMENDED))
    text += "\n" + _FIGURE.format(badge=SIMULATED, dotted=_DOTTED if spread else "")
    return files | {"landing.md": text} | picture("gap", gap_and_errors(measured.gaps, errors, spread))


def _truth_spread(folder):
    """Standard deviation of the true parameters of the simulated stars; nothing where they are not recorded."""
    stars = benchmark_tables.read("recommended", "stars", folder)
    return {p: float(stars[p].std(ddof=0)) for p in PARAMETERS} if len(stars) else {}


_CAPTION = "Errors of the paper's method, of the same method without fine-tuning, and of what we recommend."
_DOTTED = " Dotted: the error of predicting the mean of the stars."
_FIGURE = """```{{figure}} /generated/gap.svg
:name: fig-gap
:alt: Five panels of dots, a dot for each simulated survey, joined by lines from method to method. The first shows how \
well a classifier separates observed from synthetic spectra, by their fluxes, and by their latents before and after \
fine-tuning. The others show the error of each stellar parameter by the method without fine-tuning, with it, and by \
the recommended method. Lines that fall mean that the gap or the error becomes smaller.
:width: 560px

{badge} The gap, and whether it closes: a grey line for each simulated survey, the median in colour. Above: how well a \
classifier separates observed from synthetic spectra, as the area under its ROC curve; it is 0.5 where the gap is \
closed. Below: rmse against the truth.{dotted}
```
"""
