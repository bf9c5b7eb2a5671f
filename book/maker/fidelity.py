"""Every number that the paper states, compared with public data, the profile ``paper`` and a run.

    fidelity_table(run)     one row per statement: published, recomputed, from the run, status, reason
    fidelity_page(run)      the book's page on them

The statements are in :mod:`book.maker.statements`. A statement agrees when the recomputed value, rounded to the digits
that the paper prints, equals the paper's.
"""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from dtl_core.errors import DTLError
from dtl_core.literature import catalogues
from dtl_core.literature.comparison import coverage

from .markdown import MINUS, NBSP, cite, code, escape, table
from .statements import ABSENT, CONFIGURED, DIFFERS, SECTIONS, STATEMENTS, STATUSES, Public

__all__ = ["fidelity_page", "fidelity_table", "status"]


# ---------------------------------------------------------------- the table


def _values(value):
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def status(statement, value):
    """Status of a statement, given its recomputed value or None: a key of ``STATUSES``."""
    if statement.recompute is None:
        return statement.status
    if value is None:
        return ABSENT
    found, stated = _values(value), _values(statement.published)
    equal = len(found) == len(stated) and all(
        np.isfinite(a) and round(a / statement.step) == round(b / statement.step)
        for a, b in zip(found, stated, strict=True)
    )
    return statement.status if equal else DIFFERS


def _recomputed(function, public):
    """A value, or None where its table is absent or damaged or has no such row."""
    try:
        return function(public)
    except (DTLError, KeyError, StopIteration):
        return None


def fidelity_table(run=None, statements=STATEMENTS):
    """Compare every statement of the paper with what is found for it.

    Parameters
    ----------
    run : dtl_core.pipeline.stored.Run, optional
        A finished run.
    statements : tuple of :class:`book.maker.statements.Statement`, optional

    Returns
    -------
    pandas.DataFrame
        One row for each statement, with columns ``key``, ``section``, ``what``, ``where``, ``published``, ``unit``,
        ``recomputed`` and ``run`` (None where there is no value), ``status`` and ``reason``.
    """
    public, rows = Public(), []
    for s in statements:
        value = _recomputed(s.recompute, public) if s.recompute else None
        found, reason = status(s, value), s.reason
        if s.aside:
            aside = _recomputed(s.aside, public)
            reason += " not available." if aside is None else f" {aside:.6g}."
        ours = s.from_run(run) if run is not None and s.from_run else None
        rows.append((s.key, s.section, s.what, s.where, s.published, s.unit, value, ours, found, reason))
    columns = ["key", "section", "what", "where", "published", "unit", "recomputed", "run", "status", "reason"]
    return pd.DataFrame(rows, columns=columns).astype({"published": object, "recomputed": object, "run": object})


# ---------------------------------------------------------------- the page


def _shown(value, step, more=0):
    """A number, or several, with the digits of ``step`` and ``more`` beyond; counts stay whole."""
    if value is None:
        return ""
    if isinstance(value, tuple | list):
        return ", ".join(_shown(v, step, more) for v in value)
    if not np.isfinite(value):
        return "not a number"
    if 0 < step < 1e-4 and value:
        digits = int(np.floor(np.log10(abs(value)) + 1e-9) - np.floor(np.log10(step) + 1e-9))
        mantissa, _, power = f"{value:.{max(digits, 0) + more}e}".partition("e")
        raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{mantissa.replace('-', MINUS)}{NBSP}×{NBSP}10{raised}"
    decimals = max(0, -int(np.floor(np.log10(step) + 1e-9)))
    if isinstance(value, int | np.integer) or (step >= 1 and value == round(value)):
        more = 0
    group = "," if abs(value) >= 10_000 else ""
    return f"{value:{group}.{decimals + more}f}".replace("-", MINUS).replace(",", NBSP)


_TEXT = f"""# The paper's numbers, one by one

This page compares the numbers that {cite(["masbuitrago2024"])} and its code state with public data. *Published* quotes
the paper. *Recomputed* is calculated from the public tables and labels ([where they come from](registry.md)), or read
from the profile `paper` of this package, when this page is made. *This run* is the run that made the book.

The rule: a recomputed value is rounded to the digits that the paper prints and must then equal the paper's. It is shown
with two digits more, so that a near miss is visible; a near miss still counts as different. The range of Teff is
printed in round numbers and compared in steps of 50 K. Differences are literature minus the paper's values, as
in the paper.
"""


def _quantity(text, unit):
    return f"{text}{NBSP}{escape(unit)}" if text and unit else text


def _setting_shown(value, step):
    """A setting as it is, without digits that it does not have."""
    if isinstance(value, tuple | list):
        return ", ".join(_setting_shown(v, step) for v in value)
    if value is None or step < 1e-4 or abs(value) >= 10_000:
        return _shown(value, step)
    return f"{value:.6g}".replace("-", MINUS)


def _row(row, statement):
    step = statement.step
    setting = statement.status == CONFIGURED
    shown = functools.partial(_setting_shown, step=step) if setting else functools.partial(_shown, step=step, more=2)
    what = escape(row["what"])
    if row["where"]:
        what += f" ({'' if row['where'][0].isdigit() else ''}{escape(row['where'])})"
    verdict = row["status"] if row["status"] != DIFFERS else f"**{DIFFERS}**"
    if row["reason"] and row["status"] != ABSENT:
        verdict += f". {escape(row['reason'])}"
    recomputed = ABSENT if row["status"] == ABSENT else shown(row["recomputed"])
    return [what, _quantity(_shown(row["published"], step), row["unit"]), recomputed, shown(row["run"]), verdict]


def _coverage():
    """Paragraph on the published error bars, which others' measurements test; nothing without the tables."""
    try:
        published = catalogues.read_published()
        teff, mh = (
            coverage(published, catalogues.read_literature(source), p)
            for source, p in (("Interferometric", "teff"), ("FGK+M", "mh"))
        )
    except DTLError:
        return ""
    return (
        "\nThe paper says that its errors are those of the method alone. Measured here, not stated in the paper: "
        f"{teff['inside']} of the {teff['N']} interferometric Teff and {mh['inside']} of the {mh['N']} \\[M/H\\] of "
        "FGK primaries lie within the published 1σ bounds.\n"
    )


def fidelity_page(run, statements=STATEMENTS):
    """The book's page: counts of each status, then a table for each section. Markdown."""
    found, by_key = fidelity_table(run, statements), {s.key: s for s in statements}
    counts = found["status"].value_counts()
    text = _TEXT + f"\n{len(found)} statements:\n\n"
    text += table(
        ["status", "number", "meaning"],
        [[name, str(counts[name]), meaning] for name, meaning in STATUSES.items() if name in counts],
    )
    if ABSENT in counts:
        text += (
            "\n```{note}\nPublic tables were not available when this page was made. `dtl data fetch` fetches them, "
            "and `dtl data verify` finds damaged ones; or set `DTL_DATA` to their folder ({ref}`real data "
            "<real-data>`).\n"
            "```\n"
        )
    text += (
        f"\nThis run: profile {code(run.config.profile)}, library {code(run.config.synthetic.library)}, a simulated "
        "survey. Smaller profiles train fewer and smaller networks by design: where their settings and results differ, "
        "that is not a finding about the paper. "
        "[Method](../method.md) explains the settings, and [How good is it?](../results.md) describes the run.\n"
    )
    header = ["statement", "published", "recomputed", "this run", "status"]
    for section, title in SECTIONS.items():
        rows = [_row(row, by_key[row["key"]]) for _, row in found[found["section"] == section].iterrows()]
        if rows:
            text += f"\n## {title}\n\n:::{{div}} statements\n{table(header, rows)}:::\n"
        if section == "uncertainties":
            text += _coverage()
    return text
