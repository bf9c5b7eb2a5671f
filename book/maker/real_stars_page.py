"""The page on how the models do on real stars, and its summary on the model card, from the record ``real_stars``.

    real_stars_page()        real_stars.md, below ``book/generated``
    real_stars_summary()     the first section of the model card

``benchmarks/real_stars.py`` writes the record. Every sentence with a verdict follows from its figures.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from dtl_core.errors import DataError
from dtl_core.estimates import systematics
from dtl_core.literature import real_stars
from dtl_core.models import loading
from dtl_core.models.specialist import COOLEST, FASTEST
from dtl_core.parameters import PARAMETERS, TABLE, heading
from dtl_core.pipeline import records

from .markdown import NBSP, cite, code, escape, measured, number, table

__all__ = ["real_stars_page", "real_stars_summary", "recorded", "verdicts"]


NAMES = {name: escape(heading(name)) for name in PARAMETERS}
SYMBOLS = {name: escape(parameter.symbol) for name, parameter in TABLE.items()}
FORMS = {name: f".{parameter.digits}f" for name, parameter in TABLE.items()}
UNITS = {name: f"{NBSP}{parameter.unit}" for name, parameter in TABLE.items()}
_NOT_RECORDED = "Not recorded yet: `python benchmarks/real_stars.py left_out` and `shipped` write the record.\n"


def recorded(folder=None):
    """Read the record ``real_stars``.

    Parameters
    ----------
    folder : path, optional
        Folder of the records; by default that of the package.

    Returns
    -------
    tuple or None
        Parts of the record; all its lines; those that the stars are judged by, one per star; comparison of these with
        the published values, as returned by :func:`dtl_core.literature.real_stars.compare`. None without a record.
    """
    try:
        parts = records.read("real_stars", folder)["values"]
    except DataError:
        return None
    parts = {name: parts[name] for name in ("left_out", "shipped") if name in parts}
    if not parts:
        return None
    lines, judged, compared = [], [], []
    for name, part in parts.items():
        own = records.frame(part["values"]["lines"])
        own["flag"] = own["flag"].astype(object).fillna("")
        first = own[own["variant"] == "exposure"].drop_duplicates("star")
        others = first.loc[first["model"] != "without " + first["star"], "star"]
        seen = others if name == "left_out" else part["values"]["seen"]
        lines, judged = [*lines, own], [*judged, first]
        compared.append(real_stars.compare(first, seen=seen))
    return parts, *(pd.concat(tables, ignore_index=True) for tables in (lines, judged, compared))


# ---------------------------------------------------------------- sentences


def stars_in_words(n):
    return f"{n} star{'' if n == 1 else 's'}"


def listed(names):
    *first, last = names or [""]
    return f"{', '.join(first)} and {last}" if first else last


def _bias(row):
    """How far a mean is off, such as ``0.37 ± 0.06 dex too low in the mean``."""
    form, unit = FORMS[row["parameter"]], UNITS[row["parameter"]]
    error = f"{NBSP}±{NBSP}{row['e_bias']:{form}}" if np.isfinite(row["e_bias"]) else ""
    side = "high" if row["bias"] > 0 else "low"
    return f"{abs(row['bias']):{form}}{error}{unit} too {side}{' in the mean' if row['n'] > 1 else ''}"


def verdicts(found, judged):
    """Say what fails and what does not, group by group.

    Parameters
    ----------
    found : pandas.DataFrame
        As returned by :func:`dtl_core.literature.real_stars.summary`.
    judged : pandas.DataFrame
        The lines that the stars are judged by, as returned by :func:`recorded`.

    Yields
    ------
    str
        Sentences, Markdown.
    """
    groups = {star.name: star.group for star in real_stars.load_real_stars().values()}
    for group, part in found.groupby("group", sort=False):
        own = judged[[groups[star] == group for star in judged["star"]]]
        if not len(own):
            continue
        for row in part[part["fails"] & (part["parameter"] != "all")].to_dict("records"):
            rmse = f"{row['rmse']:{FORMS[row['parameter']]}}{UNITS[row['parameter']]}"
            yield (
                f"**{SYMBOLS[row['parameter']]} fails for types {group}**: our values are {_bias(row)} (rmse {rmse}), "
                f"and the 90 % error bars contain {_of(row)} published values."
            )
        flagged = listed([f"{escape(row.star)} as {escape(row.flag)}" for row in own.itertuples() if row.flag])
        whole = part[part["parameter"] == "all"].to_dict("records")[0]
        verdict = "**this is too few**" if whole["fails"] else "no sign that the bars are wrong"
        yield (
            f"Over all parameters of the {stars_in_words(len(own))} of types {group} (flagged: {flagged or 'none'}) "
            f"the 90 % error bars contain {_of(whole)} published values, the 68 % error bars {whole['inside_68']}: "
            f"{verdict}."
        )


def _of(row):
    return f"{row['inside_90']} of {row['n'] + row['n_limits']}"


def _seen(parts, lines):
    """How it is ensured that no model has seen the star that it is judged by."""
    text = []
    if "left_out" in parts:
        found = parts["left_out"]
        names = [escape(one.removeprefix("without ")) for one in dict.fromkeys(lines["model"]) if one[:7] == "without"]
        text.append(
            f"The lines of the trained models were corrected by {listed(names)}. Each of these stars is judged by a "
            f"model that was made without it, with {found['values']['networks']} networks at R = "
            f"{number(found['values']['resolving_power'], '.0f')}, and its error bars contain the systematic errors "
            "learned from the other stars. The size of the random errors of lines in training was chosen on these "
            "stars, so they do not test it."
        )
    if "shipped" in parts:
        text.append(
            "The other stars are judged by the trained models, which have not seen them. That cool and fast stars are "
            "flagged was decided after these stars had been estimated: they do not test the flags."
        )
    return " ".join(text)


def _origin(parts):
    text = []
    for name, part in parts.items():
        title = "Models without a star" if name == "left_out" else f"Models {code(part['values']['models'])}"
        one = f"{title}: recorded on {escape(part['made'])}"
        if name == "shipped":
            try:
                known = [digest[:12] for digest in loading.hashes(part["values"]["models"])]
            except DataError:
                known = None
            if known != part["values"]["sha256"]:
                one += " with models that have changed since"
            missing = part["values"]["missing"]
            one += f", without {listed([code(file) for file in missing])}, not available then" if missing else ""
        text.append(one)
    return f"*{'. '.join(text)}.*"


# ---------------------------------------------------------------- tables


def _value(p, value, error=np.nan, limit=False):
    form = FORMS[p]
    if limit:
        return f"<{NBSP}{number(value, form)}"
    return measured(value, error, form) if np.isfinite(error) else number(value, form)


def signed(value, p):
    """A difference with its sign, unless it is rounded to zero."""
    rounded = round(value, TABLE[p].digits)
    return number(rounded, "+" + FORMS[p]) if rounded else format(0.0, FORMS[p])


def _summary_table(found):
    rows = []
    for row in found[found["n"] + found["n_limits"] > 0].to_dict("records"):
        p, form = row["parameter"], "+" + FORMS.get(row["parameter"], "")
        values = f"{row['n']}" + (f" and {row['n_limits']} limit{'s' * (row['n_limits'] > 1)}" * (row["n_limits"] > 0))
        bias = number(row["bias"], form) if np.isnan(row["e_bias"]) else measured(row["bias"], row["e_bias"], form)
        bias, rmse = bias.replace("±" + NBSP + "+", "±" + NBSP), number(row["rmse"], form[1:])
        shares = [f"{row[name]} of {row['n'] + row['n_limits']}" for name in ("inside_68", "inside_90")]
        verdict = "**fails**" if row["fails"] else ""
        rows.append([row["group"], NAMES.get(p, p), values, bias, rmse, _goal(row), *shares, verdict])
    return table(["stars", "", "values", "bias", "rmse", "goal", "inside 68 %", "inside 90 %", ""], rows)


def _goal(row):
    """Goals for bias and rmse, and whether they are met; empty if there are none."""
    if np.isnan(row["goal_rmse"]):
        return ""
    form = FORMS[row["parameter"]]
    bias = f"bias {number(row['goal_bias'], form)}, " if np.isfinite(row["goal_bias"]) else ""
    return f"{bias}rmse {number(row['goal_rmse'], form)}: {'met' if row['met'] else '**missed**'}"


def _comparison_table(compared):
    rows = []
    for row in compared.to_dict("records"):
        p = row["parameter"]
        form = FORMS[p]
        ours = f"{number(row['ours'], form)} ({number(row['low'], form)} to {number(row['high'], form)})"
        inside = "68 %" if row["inside_68"] else "90 %" if row["inside_90"] else "no"
        published = _value(p, row["published"], row["error"], row["limit"])
        rows.append([escape(row["star"]).replace(" ", NBSP), NAMES[p], ours, published, escape(row["source"]),
                     signed(row["difference"], p),
                     number(row["sigma"], "+.1f"), inside])  # fmt: skip
    head = ["star", "", "ours (68 %)", "published", "source", "difference", "in errors", "inside"]
    return table(head, rows)


def _spectra_table(lines):
    rows = []
    for row in lines[lines["variant"].isin(["exposure", "cut"])].to_dict("records"):
        rows.append([
            escape(row["star"]).replace(" ", NBSP), code(row["file"].rpartition("/")[2]), escape(row["observed"][:10]),
            number(row["snr"], ".0f"), *(number(row[p], FORMS[p]) for p in PARAMETERS), f"{100 * row['rms']:.1f}",
            f"{row['p_value']:.2f}", escape(row["flag"]) or "no",
        ])  # fmt: skip
    return table(["star", "file", "observed", "S/N", *NAMES.values(), "residual, %", "p", "flag"], rows)


def _published_table(stars):
    sources, rows = real_stars.sources_of(), []
    for star in stars:
        for p in PARAMETERS:
            found = real_stars.published_of(star, p)
            if found is None:
                continue
            cells = []
            for value in found.values:
                text = _value(p, value.value, value.error, value.limit)
                text += f" of {escape(value.of)}" if value.of else ""
                cells.append(f"{escape(value.source)}{NBSP}{text.replace(' ', NBSP)}")
            spread = number(found.spread, FORMS[p])
            rows.append([escape(star.name).replace(" ", NBSP), NAMES[p], "; ".join(cells), spread])
    used = dict.fromkeys(value.source for star in stars for value in star.published)
    order = [name for name in sources if name in used]
    text = table(["star", "", "published values, the adopted one first", "spread"], rows)
    return text + "\n" + table(
        ["short", "source", "how"],
        [[escape(name), cite([sources[name].cite]), escape(sources[name].how)] for name in order],
    )  # fmt: skip


def _variation_table(found):
    rows = []
    for variant, part in found.groupby("variant", sort=False):
        by = part.set_index("parameter")
        cells = [f"{signed(by.loc[p, 'shift'], p)} ({number(by.loc[p, 'rms'], FORMS[p])})" for p in PARAMETERS]
        rows.append([escape(variant), f"{by['n'].iloc[0]} of {stars_in_words(by['n_stars'].iloc[0])}", *cells])
    return table(["", "spectra", *NAMES.values()], rows)


# ---------------------------------------------------------------- pages


def real_stars_summary(folder=None):
    """The section on real stars of the model card as Markdown. Arguments: folder, of the records."""
    known, text = recorded(folder), "(model-real-stars)=\n## On real stars\n\n"
    if known is None:
        return text + _NOT_RECORDED
    parts, lines, judged, compared = known
    found = real_stars.summary(compared)
    text += f"{' '.join(verdicts(found, judged))} {_seen(parts, lines)} [Star by star, with every published value]"
    text += f"(real_stars.md).\n\n{_summary_table(found)}\nOurs minus published. {_origin(parts)}\n"
    return text + _systematics(parts)


def _systematics(parts):
    """The systematic errors that the error bars of real stars contain; nothing if none were learned."""
    known = parts.get("left_out", {}).get("values", {}).get("systematics")
    if not known:
        return ""
    rows = []
    for p, found in known.items():
        form, tau = FORMS[p], np.array(found["tau"])
        widths = systematics.half_widths(tau, found["instrument"], (0.68, 0.90))
        low, middle, high = (number(value, form) for value in np.quantile(tau, (0.16, 0.5, 0.84)))
        widths = [number(width, form) for width in widths]
        cells = [f"{middle} ({low} to {high})", number(found["instrument"], form), *widths]
        rows.append([NAMES[p], str(len(found["stars"])), *cells])
    head = ["", "stars", "standard deviation (68 %)", "instrument", "half-width, 68 %", "half-width, 90 %"]
    return (
        "\n```{table} Systematic errors that are added to the error bars of real stars, in quadrature. They were "
        "learned from stars that were left out, and are uncertain because these are few. With no star, they are the "
        "prior.\n"
        f":name: tab-model-systematics\n\n{table(head, rows)}```\n"
    )


def real_stars_page(folder=None):
    """The page as Markdown. Arguments: folder, of the records; the package's by default."""
    known = recorded(folder)
    if known is None:
        return _HEAD + _NOT_RECORDED
    parts, lines, judged, compared = known
    found, changes = real_stars.summary(compared), real_stars.variation(lines)
    stars = [real_stars.star_named(name) for name in judged["star"]]
    return _HEAD + _PAGE.format(
        verdicts=" ".join(verdicts(found, judged)),
        seen=_seen(parts, lines),
        origin=_origin(parts),
        summary=_summary_table(found),
        compared=_comparison_table(compared),
        spectra=_spectra_table(lines),
        variation=_variation_table(changes),
        changed=" ".join(_changed(changes)),
        published=_published_table(stars),
        coolest=COOLEST,
        fastest=FASTEST,
        NBSP=NBSP,
    )


def _changed(changes):
    """Sentences on the mean shift of Teff and [M/H] by every change."""
    for variant, part in changes.groupby("variant", sort=False):
        row = part.set_index("parameter")
        shifts = [f"{SYMBOLS[p]} by {signed(row.loc[p, 'shift'], p)}{UNITS[p]}" for p in ("teff", "mh")]
        yield f"{_CHANGES.get(variant, f'{escape(variant)} changes')} {listed(shifts)} in the mean."


_CHANGES = {"cut": "The cut to the window changes", "another exposure": "Another exposure changes"}
_HEAD = """(real-star-benchmark)=
# Real stars: ours against published values

This page is the test of the models on real stars, with every available real spectrum and every published value of its
star. It is made from a record and needs no spectra; `python benchmarks/real_stars.py left_out` and `shipped` repeat the
measurement on the spectra from `dtl data fetch hpf` or `DTL_DATA`.

"""
_PAGE = """{verdicts} {seen}

{origin}

```{{table}} Ours minus published: mean with its standard error, root mean square with our goals, and number of \
published values inside our error bars. A parameter fails if the mean differs from 0 (t test, 95 %), or if correct \
error bars of 68 % or 90 % would contain so few values in less than 2.5 % of all cases. The row for \
all parameters counts those of one star as independent.
:name: tab-real-summary

{summary}```

## Star by star

One rule for all stars decides which value is adopted. Teff and \\[M/H\\]: {{cite:t}}`mann2015` first, on the scales of
interferometry and of FGK primaries; then other sources on these scales, stars of known parameters, luminosities, fits
of synthetic spectra, and networks. log g: mass and radius, then fits. v sin i: line broadening. Within one kind,
sources are in the order of their rms distance from the first. \\[Fe/H\\] counts as \\[M/H\\], and a companion's as
the star's.

```{{table}} Ours against published values. The error of a published value contains the spread of its sources. \
Differences are also given in units of both errors. The last column says which of our error bars contains the value.
:name: tab-real-stars

{compared}```

## Spectra

Residuals are those of the emulated spectrum at the estimate, rms in per cent of the continuum. p compares a spectrum
with ordinary simulated ones; at 0.05 or below it is flagged as unusual, and the last column says by which score. A star
is flagged as cool below {coolest:.0f}{NBSP}K, and as fast above {fastest:.0f}{NBSP}km/s, because the systematic errors
were learned from stars that are neither. Files of the same star and date are the same exposure: once whole, once cut to
the window.

{spectra}
## Other exposures, lower resolving power, noise

Estimates of changed spectra minus those of the same exposure as it is, and of other exposures minus those of the first:
mean, and in brackets root mean square. Noise is white and comes in several draws. A spectrum whose S/N is lower anyway
is left out.

{variation}
{changed}

## Published values

The spread is the standard deviation of all sources, limits left out. It is added in quadrature to the error of the
adopted value.

{published}"""
