"""Pages of the real stars: each in the window over the nearest synthetic spectrum, what the chain did, estimates.

files = star_files(run)     name below book/generated -> text or bytes
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dtl_core.characters import file_name
from dtl_core.estimates import gap
from dtl_core.lines import LINES
from dtl_core.literature.real_stars import load_real_stars, published_rows
from dtl_core.parameters import PARAMETERS, TABLE, heading
from dtl_core.pipeline.headline import real_star_table
from dtl_core.preparing import chain
from dtl_core.public_data import registry
from dtl_core.reading import readers
from dtl_core.spectra import operators
from dtl_core.synthetic import generation, label_grid, libraries

from .consensus_pages import consensus_rows
from .figure_files import picture
from .markdown import NBSP, cite, code, escape, measured, number, percent, table

__all__ = ["SLOW", "Star", "VELOCITIES", "real_stars", "star_files", "synthetic_star"]


# The stars that have a page, with published barycentric velocities: (km/s, error, key of the bibliography, remark), all
# as Cifuentes+ 2025 list them.
VELOCITIES = {
    "GJ 699": [(-110.47, 0.13, "gaia2023", "")],
    "G 9-40": [(14.09, 0.65, "gaia2023", "")],
    "VB 10": [(36.70, 0.05, "fouque2018", ""), (35.33, 0.13, "gaia2023", "of its companion GJ 752 A")],
}
STEPS = {
    "as read": "as read",
    "blaze": "blaze divided out, lost pixels bridged",
    "rest frame": "shifted to rest",
    "chain": "whole chain",
}
SLOW = 2.0  # km/s, v sin i of a star whose rotation no line shows
LABELS = tuple(map(heading, PARAMETERS))
FETCH = "`dtl data fetch hpf` fetches it, and the next `dtl book` shows it here."


@dataclass(frozen=True, eq=False)
class Star:
    """A real star of a run beside the synthetic spectrum that is nearest to it.

    report : dict of the fields of :class:`dtl_core.preparing.chain.Report`
    observed, model : (n_pixels,) continuum = 1;  labels : (4,) of the model
    residuals : step of the chain -> rms against the nearest synthetic spectrum of that step, in order
    spectrum : as read, or None
    """

    report: dict
    observed: np.ndarray
    model: np.ndarray
    labels: np.ndarray
    residuals: dict = field(default_factory=dict)
    spectrum: readers.Spectrum | None = None

    @property
    def name(self):
        return self.report["star"]

    @property
    def lost(self):
        """Stretches (first, last), A at rest, that were bridged."""
        if self.spectrum is None:
            return []
        edges = operators.pixel_edges(operators.doppler_shift(self.spectrum.wavelength, -self.report["velocity"]))
        steps = np.diff(self.spectrum.mask.astype(int), prepend=0, append=0)
        starts, stops = edges[np.flatnonzero(steps == 1)], edges[np.flatnonzero(steps == -1)]
        return list(zip(starts.tolist(), stops.tolist(), strict=True))


def real_stars(run):
    """The real stars that were used in a run, each with its residuals after each step of the chain.

    A star of several exposures, or one whose file has gone, has the residual after the whole chain alone.

    Returns
    -------
    list of Star, in the order of ``run.reports``.
    """
    from dtl_core.pipeline.conduct import resolve

    if not len(run.reports):
        return []
    paths = resolve(run.config)[1]
    twice = Counter(path.name for path in paths)  # a name that two files share is ambiguous
    files = {path.name: path for path in paths if twice[path.name] == 1}
    reports = run.reports.to_dict("records")
    observed = run.observed[len(run.truth) :]
    found = []
    for report, flux in zip(reports, observed, strict=True):
        path = files.get(Path(report["file"]).name) if report["n_exposures"] == 1 else None
        spectrum = readers.read(path) if path else None
        found.append((spectrum, {"chain": flux} if spectrum is None else chain.steps(spectrum, run.config)))
    every = np.array([row for _, rows in found for row in rows.values()])
    ends = np.cumsum([len(rows) for _, rows in found])[:-1]
    index, rms = (np.split(part, ends) for part in gap.best_match(every, run.synthetic["flux"]))
    stars = []
    for k, (report, flux, (spectrum, rows)) in enumerate(zip(reports, observed, found, strict=True)):
        model, labels = (run.synthetic[name][index[k][-1]] for name in ("flux", "labels"))
        stars.append(Star(report, flux, model, labels, dict(zip(rows, rms[k].tolist(), strict=True)), spectrum))
    return stars


def synthetic_star(name, config):
    """Synthetic spectrum at a star's published parameters, where there is no real one.

    Parameters without a published value are filled in: log g of the main sequence, solar metallicity, v sin i = 2 km/s.

    Returns
    -------
    flux : (n_pixels,) continuum = 1;  labels : (4,);  filled : names of the parameters filled;  source : text
    """
    *given, source = published_rows()[name][0]
    teff, logg, mh, vsini = given
    mh = 0.0 if mh is None else mh
    logg = float(np.clip(label_grid.main_sequence_logg(teff, mh), 4.5, 5.5)) if logg is None else logg
    labels = np.array([teff, logg, mh, SLOW if vsini is None else vsini], float)
    library = libraries.load_library("grid_a")
    raw = generation.expand(library, labels[None, :3], config.synthetic.interpolation)
    flux = generation.network_spectra(
        library.wavelength,
        raw,
        labels[3:],
        config.window,
        config.continuum,
        limb_darkening=config.synthetic.limb_darkening,
    )[0]
    return flux, labels, [label for label, value in zip(LABELS, given, strict=True) if value is None], source


def _draw(stem, run, model, observed=None, masked=()):
    from dtl_core.plots.method_figures import star_spectrum

    low, high = run.wavelength[0], run.wavelength[-1]
    masked = [(max(a, low), min(b, high)) for a, b in masked if b > low and a < high]
    lines = [line[:2] for line in LINES]
    return picture(stem, star_spectrum(run.wavelength, model, observed, lines=lines, masked=masked))


def _labels(labels):
    teff, logg, mh, vsini = labels
    return f"{teff:.0f} K, log g {logg:.2f}, \\[M/H\\] {number(mh, '+.2f')}, v sin i {vsini:.1f} km/s"


def _figure(name, caption, alt):
    label = f"fig-star-{file_name(name).replace('_', '-')}"
    alt = re.sub(r"[^\w ,.+-]", "", " ".join(alt.split()))
    return f"```{{figure}} {file_name(name, '.svg')}\n:name: {label}\n:alt: {alt}\n:width: 600px\n\n{caption}\n```\n"


def _literature(name):
    """Published velocities of a star as Markdown, one per line."""
    return [
        f"{measured(value, error)} km/s {cite([key], 'p')}{', ' + remark if remark else ''}"
        for value, error, key, remark in VELOCITIES.get(name, [])
    ]


def _report_rows(star, config):
    report = star.report
    kept = "masked" if config.chain.tellurics == "mask" else "kept"
    power = star.spectrum.resolving_power if star.spectrum else np.nan
    warnings = report["warnings"]
    rows = [
        ("instrument", escape(report["instrument"])),
        ("resolving power", number(power, ",.0f").replace(",", NBSP)),
        ("exposures", str(report["n_exposures"])),
        ("S/N of a detector pixel, median", number(report["snr"], ".0f")),
        ("shift found", f"{measured(report['velocity'], report['e_velocity'])} km/s"),
        ("barycentric velocity", f"{measured(report['radial_velocity'], report['e_velocity'])} km/s"),
        *[("published velocity", text) for text in _literature(star.name)],
        ("correlation with the best template", number(report["correlation"], ".3f")),
        ("best template", f"{report['template'][0]:.0f} K, v sin i {report['template'][1]:.0f} km/s"),
        ("masked and bridged", f"{percent(report['masked_fraction'])} of the window"),
        (f"under telluric lines, {kept}", f"{percent(report['telluric_fraction'])} of the window"),
        ("pixels rejected as cosmic rays", str(report["n_cosmic"])),
        ("points of the continuum", str(report["n_continuum"])),
        ("warnings", escape("; ".join([warnings] if isinstance(warnings, str) else warnings)) or "none"),
    ]
    return [[name, value if value != " km/s" and value else "not known"] for name, value in rows]


def _provenance(star, profile):
    file, instrument = Path(star.report["file"]).name, escape(star.report["instrument"] or "instrument not known")
    entry = next((r for r in registry.resources() if r.name.rsplit("/", 1)[-1] == file), None)
    origin = f", {cite(entry.cite, 'p')}; [origin and licence](../registry.md)" if entry else ""
    ours = f"The synthetic spectrum, the velocity and the estimates are from this run, profile {code(profile)}."
    what = "published data" if entry else "a file of the user"
    return f"The observed spectrum is {what}: {code(file)} ({instrument}{origin}). {ours}"


def _estimate_rows(star, run):
    found = real_star_table(run, published_rows())
    for row in found[found["star"] == star].fillna("").drop(columns="star").itertuples(index=False):
        yield [escape(text) for text in row]
    yield from _consensus_row(star)


def _consensus_row(name):
    """The consensus of published catalogues as a row of a table; none for a star that is not in them."""
    karmn = next((star.karmn for star in load_real_stars().values() if star.name == name), "")
    values = consensus_rows().get(karmn)
    if values:
        cells = [measured(*values[p][:2], f".{TABLE[p].digits}f") if p in values else "" for p in PARAMETERS]
        yield [f"[consensus of all catalogues](../star_values.md), {karmn}", *cells]


def star_page(star, run):
    """The page of a real star."""
    rms, name = list(star.residuals.values()), escape(star.name)
    shows = f"The nearest of the run's {len(run.synthetic['labels'])} synthetic spectra leaves {percent(rms[-1])} rms"
    shows += f"; before the chain it is {percent(rms[0])}." if len(rms) > 1 else "."
    if star.labels[0] == run.synthetic["labels"][:, 0].min():
        shows += " It is one of the coolest of the grid: the star lies at its edge or beyond."
    caption = (
        f"The spectrum of {name} over the nearest synthetic one ({_labels(star.labels)}). Beneath each stretch: "
        "observed minus synthetic. Shaded: pixels that were bridged. The names are those of "
        "{ref}`these lines <lines-in-window>`."
    )
    alt = (
        "Line plots of flux and residual against wavelength in three stretches, the observed spectrum of "
        f"{star.name} in black under the nearest synthetic one in vermillion, with strong lines named. The residual "
        "beneath each stretch shows what no synthetic spectrum explains."
    )
    return (
        f"# {name}\n\n{shows} {_provenance(star, run.config.profile)}\n\n"
        + _figure(star.name, caption, alt)
        + "\n## What the chain reported\n\n"
        + table(["quantity", "value"], _report_rows(star, run.config))
        + "\n## Residual after each step\n\n"
        "Rms, of the continuum, against the synthetic spectrum that is nearest after that step.\n\n"
        + table(["step", "rms"], [[STEPS.get(step, escape(step)), percent(r)] for step, r in star.residuals.items()])
        + "\n## Estimates and published values\n\n"
        + table(["source", *map(escape, LABELS)], _estimate_rows(star.name, run))
    )


def absent_star_page(name, labels, filled, source):
    """The page of a star of which this run had no spectrum."""
    names = ", ".join(re.sub(r" \[(K|km/s)\]$", "", label) for label in filled)
    note = f" ({escape(names)} filled in: the source gives none)" if filled else ""
    caption = f"Synthetic spectrum at {_labels(labels)}. The names are those of {{ref}}`these lines <lines-in-window>`."
    rows = [
        [escape(text), *[number(v, form) for v, form in zip(values, (".0f", ".2f", ".2f", ".1f"), strict=True)]]
        for *values, text in published_rows()[name]
    ]
    alt = (
        "Line plots of flux against wavelength in three stretches, the synthetic spectrum at the published parameters "
        f"of {name} with the strong lines of the window named above it. They show what to expect of the real spectrum."
    )
    velocities = _literature(name)
    return (
        f"# {escape(name)}\n\nThis run had no real spectrum of {escape(name)}: {FETCH} Until then the figure shows the "
        f"synthetic spectrum at its published parameters after {escape(source)}{note}.\n\n"
        + _figure(name, caption, alt)
        + "\n## Published values\n\n"
        + table(["source", *map(escape, LABELS)], [*rows, *_consensus_row(name)])
        + ("\nVelocity: " + "; ".join(velocities) + ".\n" if velocities else "")
    )


def stars_page(stars, run):
    """The parent of the stars' pages: a table of all, and of the lines in the window."""
    text = "(real-stars)=\n# Real stars\n\n"
    if stars:
        text += (
            "These spectra went through [the chain](../method.md) and were used in the run. Velocities are "
            "barycentric, in km/s; rms is that of the residual against the nearest synthetic spectrum, before the "
            "chain and after it, of the continuum.\n\n"
        )
    else:
        text += (
            "No real spectrum was used in this run. `dtl data fetch hpf` fetches those of the stars below; until then "
            "their pages show synthetic spectra at the published parameters.\n\n"
        )
    known = {star.name: star for star in stars}
    rows = []
    for name in [*known, *[name for name in VELOCITIES if name not in known]]:
        link = (
            f"[{escape(name).replace(' ', NBSP)}](stars/{file_name(name, '.md')})"
            if name in VELOCITIES
            else escape(name)
        )
        published = [measured(value, error) for value, error, *_ in VELOCITIES.get(name, [])[:1]]
        if name not in known:
            rows.append([link, *[""] * 3, *(published or [""]), *[""] * 3])
            continue
        report, rms = known[name].report, list(known[name].residuals.values())
        values = [escape(report["instrument"]), number(report["snr"], ".0f")]
        values += [measured(report["radial_velocity"], report["e_velocity"]), *(published or [""])]
        values += [percent(report["masked_fraction"]), percent(rms[0]) if len(rms) > 1 else "", percent(rms[-1])]
        rows.append([link, *values])
    header = ["star", "instrument", "S/N", "velocity", "published", "masked", "rms before", "after"]
    used = [k for k in range(len(header)) if any(row[k] for row in rows)]
    text += table([header[k] for k in used], [[row[k] for k in used] for row in rows])
    sources = [f"{escape(name)}: {'; '.join(_literature(name))}" for name in VELOCITIES]
    text += f"\nPublished velocities, as listed by {cite(['cifuentes2025'])}: {'. '.join(sources)}.\n"
    lines = [
        [f"{line.wavelength:.2f}", f"{operators.vacuum_to_air(line.wavelength):.2f}", line.species]
        + [number(line.measured, ".2f")]
        for line in LINES
    ]
    return text + (
        "\n(lines-in-window)=\n## Lines in the window\n\n"
        f"Positions of atoms are those of the Gaia-ESO list {cite(['heiter2021'], 'p')}, those of FeH after "
        f"{cite(['dulick2003'])} as distributed by linemake {cite(['placco2021'], 'p')}; of blended FeH lines the mean "
        "is given, weighted by strength. The last column is where the line was measured on the CARMENES template of "
        f"Luyten's star {cite(['lafarga2020'], 'p')}. Some strong features, without a name in the figures, are in "
        "none of these lists.\n\n" + table(["vacuum [Å]", "air [Å]", "species", "measured, vacuum [Å]"], lines)
    )


def star_files(run):
    """Pages and figures of all stars: name below ``book/generated`` -> text or bytes."""
    stars = real_stars(run)
    out = {"stars.md": stars_page(stars, run)}
    known = {star.name: star for star in stars}
    for name in VELOCITIES:
        stem = f"stars/{file_name(name, '')}"
        if name in known:
            star = known[name]
            out |= {f"{stem}.md": star_page(star, run)} | _draw(stem, run, star.model, star.observed, star.lost)
        else:
            flux, *about = synthetic_star(name, run.config)
            out |= {f"{stem}.md": absent_star_page(name, *about)} | _draw(stem, run, flux)
    return out
