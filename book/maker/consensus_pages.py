"""Pages of the consensus of published catalogues: the table to search and download, and all values of each star.

files = consensus_files(run)      name below book/generated -> text or bytes
"""

from __future__ import annotations

import html

import numpy as np

from dtl_core.errors import DataError
from dtl_core.literature import catalogues, comparison
from dtl_core.literature.consensus import PAPER
from dtl_core.literature.real_stars import load_real_stars
from dtl_core.models import exports
from dtl_core.parameters import PARAMETERS, TABLE, heading
from dtl_core.pipeline import records
from dtl_core.reading.star_tables import name_key

from . import catalogue_tables
from .explore import downloads, html_table, simbad

__all__ = ["consensus_files", "consensus_rows", "star_sections"]


SHOWN = PARAMETERS[:3]


def consensus_rows(folder=None):
    """The recorded consensus by star: karmn -> {parameter: (value, lower error, upper error)}."""
    found = {}
    for parameter, part in records.read("consensus", folder)["values"].items():
        frame = records.frame(part["values"]["stars"])
        for row in frame[["karmn", parameter, f"e_{parameter}", f"E_{parameter}"]].itertuples(index=False):
            found.setdefault(row[0], {})[parameter] = tuple(row[1:])
    return found


def _cell(parameter, value, *errors):
    if value is None or not np.isfinite(value):
        return "<td></td>"
    digits = TABLE[parameter].digits
    errors = [f"{error:.{digits}f}" for error in errors if np.isfinite(error)]
    marks = ["\N{PLUS-MINUS SIGN}"] if len(errors) == 1 else ["\N{MINUS SIGN}", "+"]
    bars = " ".join(mark + error for mark, error in zip(marks, errors, strict=False))
    value = f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return f'<td>{value} <span class="bars">{bars}</span></td>'


def _row(name, cells):
    return f'<tr><th scope="row">{html.escape(name)}</th>{"".join(cells)}</tr>\n'


def star_sections(consensus, frames, ours=None):
    """All values of each star as HTML, one section that opens per star.

    Parameters
    ----------
    consensus : dict
        As returned by :func:`consensus_rows`.
    frames : dict of str to pandas.DataFrame
        Tidy frames by source; empty without the published tables.
    ours : dict of str to dict, optional
        Estimates from real spectra: karmn -> {parameter: (value, lower error, upper error)}.

    Returns
    -------
    str
    """
    head = "".join(f'<th scope="col">{heading(p)}</th>' for p in SHOWN)
    sections = []
    for karmn, values in consensus.items():
        rows = [_row("consensus", [_cell(p, *values.get(p, (None,))) for p in SHOWN])]
        if karmn in (ours or {}):
            rows.append(_row("this run, from a real spectrum", [_cell(p, *ours[karmn].get(p, (None,))) for p in SHOWN]))
        published = comparison.star_values(frames, karmn)
        for source, row in published.iterrows():
            if row[list(SHOWN)].notna().any():
                rows.append(_row(source, [_cell(p, row[p], row[f"e_{p}"]) for p in SHOWN]))
        name = html.escape(karmn)
        sections.append(
            f'<details id="{name}"><summary>{name}</summary>\n<p><a href="{html.escape(simbad(karmn))}">{name} in '
            f'SIMBAD</a></p>\n<table><thead><tr><th scope="col">source</th>{head}</tr></thead>\n'
            f"<tbody>\n{''.join(rows)}</tbody></table></details>\n"
        )
    return "".join(sections)


def _our_estimates(run):
    """Estimates of the stars of which the run had a real spectrum, by Karmn identifier."""
    table, columns = catalogue_tables.run_table(run), {p: TABLE[p].column for p in SHOWN}
    karmn = {key: star.karmn for star in load_real_stars().values() for key in star.keys if star.karmn}
    ours = {}
    for row in table[table["spectrum"] == "real"]:
        values = {p: tuple(float(row[f"{e}{c}_recommended"]) for e in ("", "e_", "E_")) for p, c in columns.items()}
        ours[karmn.get(name_key(row["karmn"]), row["karmn"])] = values
    return ours


def consensus_files(run, folder=None):
    """Write the pages of the consensus, and the files that they offer.

    Parameters
    ----------
    run : dtl_core.pipeline.results.Run
    folder : path, optional
        Folder of the records.

    Returns
    -------
    dict of str to str or bytes
        Contents by the name below ``book/generated``.
    """
    table, rows = catalogue_tables.consensus_table(folder), consensus_rows(folder)
    columns = ["karmn", *(TABLE[p].column for p in SHOWN)]
    text = (
        "# The consensus of all catalogues\n\n"
        f"One value for each star and parameter from all published catalogues, with its error (68 %); {{doc}}`the "
        "notebook on the consensus <../notebooks/09_consensus>` explains the method. The values are derived from "
        f"published values only. {records.origin('consensus', folder)} Download: {downloads('catalogue_consensus')}. "
        "All values of each star are on [a page of their own](star_values.md).\n\n"
        f"```{{raw}} html\n{html_table(table, columns, 'consensus', 'Consensus of published catalogues')}```\n"
    )
    try:
        frames = {PAPER: catalogues.read_published()} | catalogues.read_sources()
        origin = "Published values are those of the tables that [the page on data](../data.md) lists."
    except DataError:
        frames, origin = {}, "The published tables were not available: only the recorded consensus is shown."
    stars = (
        "# All values, star by star\n\nOpen a star to see its published values, the consensus and, where this run had "
        f"a real spectrum, ours. {origin}\n\n```{{raw}} html\n{star_sections(rows, frames, _our_estimates(run))}```\n"
    )
    files = {f"catalogue_consensus{suffix}": exports.as_bytes(table, suffix) for suffix in exports.FORMATS}
    return {"consensus.md": text, "star_values.md": stars} | files
