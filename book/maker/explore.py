"""The book's pages to explore: interactive figures with a static twin each, and the catalogue to search and download.

files = explore_files(run)      name below book/generated -> text or bytes
"""

from __future__ import annotations

import html
from urllib.parse import quote

import numpy as np

from dtl_core.errors import DataError
from dtl_core.literature import isochrones, kinematics
from dtl_core.literature.sample import literature_sample, star_sample
from dtl_core.models import exports
from dtl_core.parameters import PARAMETER_COLUMNS, PARAMETERS
from dtl_core.plots import comparison_figures, star_figures

from . import catalogue_tables, interactive
from .interactive import NO_SCRIPT, png, twin
from .markdown import cite, code

__all__ = ["catalogue_files", "downloads", "explore_files", "html_table", "simbad"]


_TITLES = {"teff": "Effective temperature", "logg": "Surface gravity", "mh": "Metallicity", "vsini": "Rotation"}
_DIGITS = {"Teff": 0, "logg": 2, "[M/H]": 2, "vsini": 1, "ra": 4, "dec": 4, "p_domain": 3}
_HOW = (
    "Point at a star for its name and values. Click a group in the legend to hide or show it, double-click to see it "
    "alone. Drag to zoom in, double-click in the figure to zoom out. To select stars, choose the box or the lasso "
    "above the figure: they are then marked in all interactive figures, and [the catalogue](catalogue.md) shows them "
    "alone. {simbad}A static version is in {there}."
)


_SIMBAD = "A click on a star opens its page in SIMBAD. "


def simbad(name):
    """Address of a star's page in SIMBAD, by any name that it knows."""
    return f"https://simbad.cds.unistra.fr/simbad/sim-id?Ident={quote(name)}"


def _literature(run):
    sample = literature_sample(run)
    names = star_sample(run).frame if sample.published else None
    if names is not None:
        names = names[[c for c in ("karmn", "name", "spt", "gaia_dr3_id") if c in names]]
    reference = "literature" if sample.published else "true"
    origin = (
        "Horizontal: the published catalogue of {paper}. Vertical: the published literature tables."
        if sample.published
        else "The published tables were not available. Horizontal: our run on the simulated survey. Vertical: the "
        "labels with which its stars were simulated."
    ).format(paper=cite(["masbuitrago2024"]))
    there = "[the notebook on the literature](../notebooks/05_literature.ipynb)"
    text = "# Catalogue and literature, star by star\n\n" + origin + " "
    text += _HOW.format(simbad=_SIMBAD if sample.published else "", there=there) + "\n\n" + NO_SCRIPT
    files = {}
    for parameter in PARAMETERS:
        sources = {n: f for n, f in sample.sources.items() if parameter in f and f[parameter].notna().any()}
        main = [n for n in sample.main(parameter) if n in sources]
        figure = interactive.literature_figure(
            sample.catalogue, sources, parameter, names=names, main=main, reference=reference
        )
        shown = {n: sources[n] for n in main}
        picture = f"explore_literature_{parameter}.png"
        static = comparison_figures.one_to_one(sample.catalogue, shown, parameter, reference=reference)
        files[picture] = png(static)
        title = _TITLES[parameter]
        label = f"{title} of each star: {reference} values against this work's, by source, with the line of equality"
        text += f"\n## {title}\n\n" + twin(figure, picture, f"plot-{parameter}", label)
    return {"explore_literature.md": text} | files


def _astrophysics(run):
    sample = star_sample(run)
    stars, published = sample.frame, sample.published
    there = "[the notebook on activity and kinematics](../notebooks/06_activity_kinematics.ipynb)"
    lines = isochrones.curves(mh=(0.0,))
    source = ", ".join(sorted({s for curve in lines.values() for s in curve["source"]}))
    if published:
        hr = (
            f"Temperatures: the published catalogue of {cite(['masbuitrago2024'])}. Luminosities and populations: "
            f"published tables {cite(['cifuentes2020', 'marfil2021'], 'p')}. Activity: reconstructed from published "
            "equivalent widths and the figure of the paper."
        )
        motion = "Velocities: computed here from published astrometry."
        active_name = "active (reconstructed)"
    else:
        hr = "The published tables were not available: all columns are labels of the simulated survey."
        motion = "The published tables were not available: simulated stars, with velocities drawn at random."
        active_name = "active (simulated)"
    how = _HOW.format(simbad=_SIMBAD if published else "", there=there)
    sun = kinematics.SOLAR_MOTION
    U, V, W = stars[["U", "V", "W"]].to_numpy(float).T
    moving = stars.assign(population=kinematics.population(U, V, W))
    return _page(
        "hr",
        "Hertzsprung-Russell diagram",
        "The figure shows which kind of star lies above or below the main sequence; open symbols are active stars. "
        f"{hr} Lines: {source}. {how}",
        interactive.hr_figure(stars, lines, active_name=active_name),
        star_figures.hr_isochrones(stars["teff"], stars["luminosity"], stars["active"], lines, active_name=active_name),
        "Luminosity against temperature of each star, by kinematic population and activity, with model lines",
    ) | _page(
        "toomre",
        "Toomre diagram",
        "The figure shows how fast each star moves relative to the local standard of rest; dotted circles join equal "
        f"total velocities, every 50 km/s. {motion} Populations: computed here from the velocities. {how}",
        interactive.toomre_figure(moving, sun),
        star_figures.toomre(U + sun[0], V + sun[1], W + sun[2], moving["population"]),
        "Speed across the direction of rotation against speed along it, of each star, by kinematic population",
    )


def _page(name, title, text, figure, static, label):
    """The page of one figure, and the picture that replaces it in print."""
    picture = f"explore_{name}.png"
    block = twin(figure, picture, f"plot-{name}", label)
    return {f"explore_{name}.md": f"# {title}, star by star\n\n{text}\n\n{NO_SCRIPT}\n{block}", picture: png(static)}


# ---------------------------------------------------------------- the catalogue


def _cell(table, row, name):
    value, base = row[name], name.removesuffix("_recommended")
    if base in _DIGITS:
        if not np.isfinite(value):
            return ""
        digits = _DIGITS[base]
        shown = f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")
        if f"e_{name}" in table.colnames:
            low, high = (f"{row[e + name]:.{digits}f}" for e in ("e_", "E_"))
            shown += f' <span class="bars">\N{MINUS SIGN}{low} +{high}</span>'
        return f'<td data-order="{value:.10g}">{shown}</td>'
    text = html.escape(str(value))
    if name == "karmn" and "gaia_dr3" in table.colnames and row["gaia_dr3"]:
        text = f'<a href="{html.escape(simbad("Gaia DR3 " + str(row["gaia_dr3"])))}">{text}</a>'
    return f"<td>{text}</td>"


_HEADS = {"karmn": "star", "spt": "type", "pop": "population", "gj": "GJ", "Teff": "Teff [K]", "logg": "log g",
          "vsini": "v sin i [km/s]", "p_domain": "p (ordinary)"}  # fmt: skip


def html_table(table, columns, name, label):
    """A table of a catalogue as HTML; all text from outside is escaped."""
    names = [(c.removesuffix("_recommended"), c.endswith("_recommended")) for c in columns]
    heads = [_HEADS.get(c, c) + ", recommended" * recommended for c, recommended in names]
    head = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in heads)
    rows = "".join("<tr>" + "".join(_cell(table, row, c) or "<td></td>" for c in columns) + "</tr>\n" for row in table)
    caption = f"<caption>{html.escape(label)}</caption>"
    return (
        f'<div class="catalogue" tabindex="0" role="region" aria-label="{html.escape(label)}">\n'
        f'<table id="{name}" class="display compact">{caption}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}</tbody></table></div>\n"
    )


def downloads(stem):
    """Links to the files of a catalogue. Markdown."""
    names = {".ecsv": "ECSV", ".vot": "VOTable", ".fits": "FITS", ".csv": "CSV"}
    return ", ".join(f"{{download}}`{names[suffix]} <{stem}{suffix}>`" for suffix in exports.FORMATS)


def catalogue_files(run):
    """Write the page of the catalogue, to search, sort and download, and the files that it offers.

    Returns
    -------
    dict of str to str or bytes
        Contents by the name below ``book/generated``.
    """
    ours = catalogue_tables.run_table(run)
    parameters = list(PARAMETER_COLUMNS.values())
    shown = ["karmn", "spectrum", *parameters, *(f"{name}_recommended" for name in parameters), "method", "p_domain"]
    text = (
        "# The catalogue\n\nType in the field above a table to search all of its columns; click on a column "
        "header to sort by it, and again to reverse the order. Stars that you select in an interactive figure are "
        "shown alone. Small print: lower and upper 1σ errors.\n\n"
        "## This run\n\n"
        f"Estimates of the run that made this book, profile {code(run.config.profile)}: by the paper's method, and "
        "{ref}`as recommended <recommended>` with calibrated errors, the method, and the p-value against ordinary "
        "spectra. Simulated stars are those of the simulated survey: {ref}`their labels are known <real-data>`, so "
        "their values are a test, not parameters of real stars. The files also hold the estimates without "
        f"fine-tuning and the true labels: {downloads('catalogue_run')}.\n\n"
        f"```{{raw}} html\n{html_table(ours, shown, 'run', 'Catalogue of this run')}```\n"
    )
    tables = {"catalogue_run": ours}
    try:
        published = catalogue_tables.published_table()
    except DataError:
        text += (
            "\n(published-catalogue)=\n## The published catalogue\n\n"
            "The published tables were not available when this book was made: `dtl data "
            "fetch published` fetches them.\n"
        )
    else:
        tables["catalogue_published"] = published
        columns = [c for c in ("karmn", "name", "spt", "pop", *parameters) if c in published.colnames]
        text += (
            "\n(published-catalogue)=\n## The published catalogue\n\n"
            f"The values of {cite(['masbuitrago2024'])} as published, with names, "
            f"spectral types and populations from the tables of {cite(['cifuentes2025', 'marfil2021'])}; each star "
            f"links to its page in SIMBAD. Converted from the public table: {downloads('catalogue_published')}.\n\n"
            f"```{{raw}} html\n{html_table(published, columns, 'published', 'Published catalogue')}```\n"
        )
    files = {f"{stem}{suffix}": exports.as_bytes(t, suffix) for stem, t in tables.items() for suffix in exports.FORMATS}
    return {"catalogue.md": text} | files


def explore_files(run):
    """Write all interactive pages, and the files that belong to them.

    Returns
    -------
    dict of str to str or bytes
        Contents by the name below ``book/generated``. The same run and data give the same bytes.
    """
    return _literature(run) | _astrophysics(run) | catalogue_files(run)
