"""The page on the lines that real stars correct, from the embedded corrections and the record of their test.

    line_corrections_files()     name below ``book/generated`` -> text or bytes

``benchmarks/line_corrections.py`` writes both. The page needs no real spectra, and all sentences with a verdict follow
from the figures of the record.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from dtl_core.config import load_profile
from dtl_core.errors import DataError
from dtl_core.files import file_hash
from dtl_core.lines import LINES
from dtl_core.literature import real_stars
from dtl_core.models import loading
from dtl_core.pipeline import records
from dtl_core.public_data import registry
from dtl_core.spectra import operators
from dtl_core.synthetic import generation, line_corrections
from dtl_core.synthetic.libraries import load_library
from dtl_core.synthetic.physics import NUISANCES

from .figure_files import picture
from .markdown import NBSP, cite, escape, measured, number, percent, table
from .real_stars_page import FORMS, NAMES, SYMBOLS, UNITS, listed, signed, stars_in_words

__all__ = ["line_corrections_files", "models_with_corrections"]


_ESTIMATES = {
    "ours": "corrected lines",
    "library": "lines of the library",
    "prior": "no spectrum",
}
_SLOPES = {  # of the added depth
    "teff slope": "ln of the added depth, for a star that is cooler by 300 K",
    "mh slope": "dex of the added depth, for one more dex of [M/H]",
}


# ---------------------------------------------------------------- sentences


def models_with_corrections(specialists):
    """Say in one sentence whether models were trained with corrected lines, by their cards.

    Arguments: specialists, models with ``card`` and ``resolving_power``. Returns: Markdown, empty without models.
    """
    using = [
        one for one in specialists if any("corrections" in key for key in {**one.card, **one.card.get("training", {})})
    ]
    if not specialists:
        return ""
    if not using:
        return "**The models that come with the package do not use these corrections yet.**"
    if len(using) == len(specialists):
        return "The models that come with the package were trained with these corrections."
    powers = [number(one.resolving_power, ",.0f").replace(",", NBSP) for one in using]
    text = f"**Of the models that come with the package only those of R = {listed(powers)} were trained with these "
    return f"{text}corrections.**"


def _shipped():
    return loading.load().specialists if registry.resources("models") else []


def _size(row, name):
    """Bias or rmse of a row of the summary, with its unit."""
    return f"{abs(row[name]):{FORMS[row['parameter']]}}{UNITS[row['parameter']]}"


def _goal(row):
    bias = f"bias within {_size(row, 'goal_bias')} and " if np.isfinite(row["goal_bias"]) else ""
    return f"{bias}rmse at most {_size(row, 'goal_rmse')}"


def _reached(row):
    side = f"bias {signed(row['bias'], row['parameter'])}{UNITS[row['parameter']]}, "
    return f"{side if np.isfinite(row['goal_bias']) else ''}rmse {_size(row, 'rmse')}"


def _verdicts(summary):
    """A sentence for each parameter: is the goal met, is it without corrections, and is it without any spectrum?"""
    for parameter, part in summary.groupby("parameter", sort=False):
        ours, library, prior = (part[part["estimate"] == name].iloc[0] for name in _ESTIMATES)
        text = f"The goal for {SYMBOLS[parameter]} ({_goal(ours)}) is {'met' if ours['met'] else '**missed**'} with "
        text += f"corrected lines ({_reached(ours)}) and {'met' if library['met'] else 'missed'} with the lines of the "
        text += f"library ({_reached(library)})."
        if ours["met"] and prior["met"]:
            text += f" This says little: without any spectrum it is met as well ({_reached(prior)}), because the stars "
            text += "are so much alike."
        elif ours["rmse"] >= prior["rmse"]:
            text += f" That is no better than what the fit assumes without any spectrum ({_reached(prior)})."
        yield text


def _changes(lines):
    """Sentences on the table of lines."""
    sure = (lines["low_change"] > 0) | (lines["high_change"] < 0)
    yield f"The 68 % range of the change excludes zero for {sure.sum()} of {len(lines)} strong lines."
    kinds = np.where(lines["species"] == "FeH", "FeH", "atomic")
    for side, changed in (("stronger", lines["low_change"] > 0), ("weaker", lines["high_change"] < 0)):
        own = [(kind, changed[kinds == kind]) for kind in dict.fromkeys(kinds)]
        counts = [f"{which.sum()} of {len(which)} {kind} lines" for kind, which in own]
        yield f"By this measure {listed(counts)} are {side} than in the library."


def _plausible(corrections, lines):
    """What others found about FeH, and whether these corrections agree: sentences."""
    if "feh" not in corrections.physics:
        return
    factor = np.exp(line_corrections.most_probable(corrections.physics["feh"]))
    middle, low, high = (number(value, ".2f") for value in factor)
    side = "stronger" if float(low) > 1 else "weaker" if float(high) < 1 else "neither stronger nor weaker"
    widths = lines.loc[lines["species"] == "FeH", "library_width"]
    yield f"As a whole, the FeH lines are {side} than in the library, by a factor of {middle} ({low} to {high}, 68 %)."
    yield (
        f"{cite(['glidden2026'])} find that models of the M8 dwarf TRAPPIST-1 have too much FeH absorption in the "
        "Wing-Ford band, and explain it by collisional broadening that is too strong in the models."
    )
    yield (
        "Neither result tests the other: less broadening weakens saturated lines that overlap, as in an M8 dwarf, but "
        f"hardly changes the equivalent widths of weak lines, here {widths.min():.0f} to {widths.max():.0f}{NBSP}mÅ in "
        "the library."
    )
    yield (
        "The fit has no factor for the broadening of FeH, so that an error of it goes into the smooth fields. "
        f"{cite(['wende2010'])} also had to scale the theoretical strengths of single FeH lines, in an M5.5 dwarf."
    )


def _extrapolated(corrections, recorded):
    """What the draws say about stars unlike those of the fit."""
    teff, mh = line_corrections.MIDDLE
    known = (
        f"the most probable correction has none, and each of the {corrections.n_draws} draws has its own at random"
        if not corrections.slopes[0].any()
        else f"they are found by the fit, and each of the {corrections.n_draws} draws has its own"
    )
    stars = recorded["stars"]
    low, high = (number(edge, ".0f") for edge in (stars["teff"].min(), stars["teff"].max()))
    return (
        f"The stars have Teff from {low} to {high}{NBSP}K; for other stars the corrections are extrapolated. The "
        f"factor is the same at every Teff and \\[M/H\\]. The added optical depth is that at {teff:.0f}{NBSP}K and "
        f"\\[M/H\\] {number(mh, '+.1f')}; towards other stars it changes with Teff and \\[M/H\\] by slopes: {known}."
    )


# ---------------------------------------------------------------- tables


def _left_out_table(found):
    rows, sources = [], real_stars.sources_of()
    for row in found.to_dict("records"):
        p = row["parameter"]
        rows.append([
            escape(row["star"]).replace(" ", NBSP), NAMES[p], measured(row["ours"], row["error"], FORMS[p]),
            measured(row["published"], row["e_published"], FORMS[p]), cite([sources[row["source"]].cite]),
            signed(row["ours"] - row["published"], p), signed(row["library"] - row["published"], p),
        ])  # fmt: skip
    head = ["star", "", "ours", "published", "source", "difference", "difference, lines of the library"]
    return table(head, rows)


def _summary_table(summary, n_stars):
    rows, truths = [], {"ours": stars_in_words(n_stars - 1), "library": "none", "prior": "none"}
    for row in summary.to_dict("records"):
        p, verdict = row["parameter"], "met" if row["met"] else "**missed**"
        bias = signed(row["bias"], p)
        if np.isfinite(row["e_bias"]):
            bias += f"{NBSP}±{NBSP}{number(row['e_bias'], FORMS[p])}"
        rows.append([
            _ESTIMATES[row["estimate"]], truths[row["estimate"]], NAMES[p], str(row["n"]), bias,
            number(row["rmse"], FORMS[p]), _goal(row), verdict,
        ])  # fmt: skip
    return table(["fit with", "known stars used", "", "values", "bias", "rmse", "goal", ""], rows)


def _residual_table(found):
    rows = [
        [escape(row["star"]).replace(" ", NBSP), percent(row["library"]), percent(row["corrected"])]
        for row in found.to_dict("records")
    ]
    return table(["star", "lines of the library", "corrected lines"], rows)


def _ranged(row, name, form):
    """A value with its 68 % range."""
    middle, low, high = (number(row[f"{end}{name}"], form) for end in ("", "low_", "high_"))
    return f"{middle} ({low} to {high})" if low else middle


def _line_rows(lines):
    for row in lines.sort_values("change", key=np.abs, ascending=False, kind="stable").to_dict("records"):
        yield [
            f"{row['wavelength']:.2f}", row["species"], number(row["library_width"], ".0f"),
            _ranged(row, "change", "+.1f"), _ranged(row, "factor", ".2f"), _ranged(row, "added", "+.3f"),
        ]  # fmt: skip


def _line_table(lines):
    head = ["vacuum Å", "species", "width, mÅ", "change, mÅ (68 %)", "factor (68 %)", "added depth (68 %)"]
    return table(head, _line_rows(lines))


def _shared_table(corrections, priors):
    values = corrections.physics | dict(zip(_SLOPES, corrections.slopes.T, strict=True))
    rows = []
    for name, each in values.items():
        about = _SLOPES[name] if name in _SLOPES else NUISANCES[name].about
        row = dict(zip(("", "low_", "high_"), line_corrections.most_probable(each), strict=True))
        prior = measured(*priors[name]) if name in priors else ""
        rows.append([escape(about), prior, _ranged(row, "", ".2f")])
    return table(["common to all stars", "assumed", "found (68 %)"], rows)


def _csv(frame):
    if "wavelength" in frame:  # has more digits than the others
        frame = frame.assign(wavelength=frame["wavelength"].map("{:.4f}".format))
    return frame.to_csv(index=False, float_format="%.5g", lineterminator="\n")


# ---------------------------------------------------------------- figure


def _fields(corrections):
    """Corrections of the reference star by wavelength: DataFrame of ln of the factor, added depth and their ranges."""
    wavelength, library, known, added = line_corrections.reference_depths(corrections)
    frame = pd.DataFrame({"wavelength": wavelength.round(4)})
    factor = np.log(np.maximum(known, 1e-6) / library)
    for name, values in (("ln_factor", factor), ("added", added)):
        for end, each in zip(("", "low_", "high_"), line_corrections.most_probable(values), strict=True):
            frame[f"{end}{name}"] = each
    return frame


def _figure(corrections, fields, recorded):
    """Picture of the reference star's spectrum with both kinds of lines, and of the corrections."""
    from dtl_core.plots.method_figures import line_corrections as draw

    config = load_profile("demo", {"window.resolving_power": recorded["resolving_power"]})
    grid = operators.binned(operators.window_grid(config.window, margin=False), config.window.step)
    labels, library, spectra = np.array([[*line_corrections.REFERENCE, recorded["vsini"]]]), load_library("grid_a"), {}
    for name, own in (("lines of the library", library), ("corrected lines", corrections.library(library))):
        spectra[name] = operators.binned(generation.spectra_of(config, labels, library=own), config.window.step)[0]
    each = [
        np.stack([np.interp(grid, fields["wavelength"], fields[f"{end}{name}"]) for end in ("", "low_", "high_")])
        for name in ("ln_factor", "added")
    ]
    return picture("line_corrections", draw(grid, spectra, *each, [line[:2] for line in LINES]))


# ---------------------------------------------------------------- page


def line_corrections_files(folder=None, file=line_corrections.FILE, specialists=None):
    """The page, its figure and its tables to download.

    Parameters
    ----------
    folder : path, optional
        Of the records; by default the package's.
    file : path
        Of the corrections.
    specialists : list of Specialist, optional
        Models that the page describes; by default those of the package.

    Returns
    -------
    dict of str to str or bytes
    """
    used = models_with_corrections(_shipped() if specialists is None else specialists)
    try:
        record = records.read("line_corrections", folder)
    except DataError:
        return {"line_corrections.md": f"{_HEAD}{used}\n\n{_NOT_RECORDED}"}
    recorded = record["values"]
    recorded |= {name: records.frame(recorded[name]) for name in ("stars", "left_out", "residuals", "summary")}
    corrections = line_corrections.load_corrections(file)
    lines, fields, n = line_corrections.line_table(corrections), _fields(corrections), len(recorded["stars"])
    origin = records.origin("line_corrections", folder)
    if file_hash(file) != recorded["sha256"]:
        origin += " The embedded corrections are not those that were recorded."
    names, types = [], []
    for name in recorded["stars"]["star"]:
        star = real_stars.star_named(name)
        names.append(escape(star.name).replace(" ", NBSP))
        types.append(star.spectral_type)
    teff, logg, mh = line_corrections.REFERENCE
    broad = {name: measured(*recorded["broad"][name], FORMS[name]) for name in ("teff", "mh")}
    residuals = recorded["residuals"]
    text = _PAGE.format(
        used=used,
        stars=listed([f"{name} ({kind})" for name, kind in zip(names, types, strict=True)]),
        n_stars=stars_in_words(n),
        others=stars_in_words(n - 1),
        kinds=listed(sorted(set(types))),
        power=number(recorded["resolving_power"], ",.0f").replace(",", NBSP),
        vsini=f"{recorded['vsini']:.0f}",
        spacing=line_corrections.SPACING,
        n_draws=corrections.n_draws,
        origin=origin,
        broad_teff=broad["teff"],
        broad_mh=broad["mh"],
        broad_logg=number(recorded["broad"]["logg"][1], ".2f"),
        verdicts=" ".join(_verdicts(recorded["summary"])),
        left_out=_left_out_table(recorded["left_out"]),
        summary=_summary_table(recorded["summary"], n),
        residuals=_residual_table(residuals),
        low=percent(residuals["corrected"].min()),
        high=percent(residuals["corrected"].max()),
        reference=f"Teff {teff:.0f}{NBSP}K, log g {logg:.1f}, \\[M/H\\] {number(mh, '+.1f')}",
        width=line_corrections.HALF_WIDTH,
        changes=" ".join(_changes(lines)),
        plausible=" ".join(_plausible(corrections, lines)),
        lines=_line_table(lines),
        shared=_shared_table(corrections, recorded["shared"]),
        extrapolated=_extrapolated(corrections, recorded),
    )
    files = {"line_corrections.md": _HEAD + text, **_figure(corrections, fields, recorded)}
    tables = {"lines": lines, "by_wavelength": fields, "test": recorded["left_out"]}
    return files | {f"line_corrections_{name}.csv": _csv(frame) for name, frame in tables.items()}


_NOT_RECORDED = "Not recorded yet: `python benchmarks/line_corrections.py` learns and tests the corrections.\n"
_HEAD = """(line-corrections)=
# Lines corrected by real stars

"""
_PAGE = """No line list has the right strengths of all lines, and none has all lines. This page shows what real stars of
known parameters say about the lines of the embedded library, and how well stars are measured with the corrected lines.
{used}

## What was done

The stars are {stars}: quiet, with sharp lines, and with published Teff and \\[M/H\\]. One fit to their HPF spectra
(R = {power}, the first exposure of each, without pixels under telluric lines) finds what they have in common:

- a factor of the optical depth of the lines of the library, and an optical depth that is added to it for lines that it
  lacks. Both are smooth functions of wavelength with a knot every {spacing} Å, and have priors around 1 and 0;
- factors of all TiO, FeH and atomic lines, and the damping of atomic lines.

The parameters of each star are unknowns of the same fit: Teff, log g and \\[M/H\\] within the errors of the published
values, and [α/M]. v sin i is set to {vsini} km/s. The posterior is approximated as a Gaussian, from which
{n_draws} corrections are drawn; their scatter is the uncertainty of the corrections.

*Our run on real spectra. {origin}*

## The test: each star left out

The published values of one star at a time are withheld from the fit, which then measures this star. The lines are
corrected from the spectra of all stars, its own included, and the published values of the other {others}. Before
the fit sees the spectrum of such a star, it assumes
that Teff is {broad_teff} K, that \\[M/H\\] is {broad_mh}, and that log g lies within {broad_logg} dex of the
main sequence. For comparison, the same fit measures the stars with the lines of the library, and the tables
show how far off this assumption is by itself.

{verdicts} The goals are those for M1 to M5 dwarfs; with {n_stars} of types {kinds} it is not known whether they are met
elsewhere.

```{{table}} Stars whose published values the fit did not know. The error of a published value contains the spread of \
its sources, see [the page of real stars](real_stars.md). Differences are ours minus published. Our run on real \
spectra against published tables.
:name: tab-line-stars

{left_out}```

```{{table}} Bias with its standard error, and root mean square error, against the goals. Known stars used are those \
whose published values the fit knew. Our run on real spectra against published tables.
:name: tab-line-goals

{summary}```

```{{table}} Residuals of the best fit of a star that was left out, rms, of the continuum. They are not an \
independent test of the corrected lines, because the spectrum of the star influences these lines. Our run on real \
spectra.
:name: tab-line-residuals

{residuals}```

## What changes, line by line

{changes}

```{{figure}} line_corrections.svg
:name: fig-line-corrections
:alt: Three line plots against wavelength. Above, the spectrum of one star with lines of the library and with \
corrected lines. Below, the logarithm of the factor of the optical depth and the added optical depth, \
each with a shaded range; strong lines are marked by dotted lines for FeH and dashed lines for atoms.
:width: 800px

Above: synthetic spectra of a star of {reference} at R = {power}, with the lines of the library and with corrected \
ones. Below: ln of the factor of the optical depth of known lines, components included, and the optical depth that is \
added. Shaded: 68 % of the draws. Corrections from our run on real spectra.
```

```{{table}} The strong lines, largest change first, at {reference}: equivalent width in the library and its change, \
before rotation and instrument, factor of the optical depth of known lines, and added optical depth, all over \
±{width} Å. In brackets: 68 % of the draws. Our run on real spectra.
:name: tab-line-changes

{lines}```

```{{table}} What all stars share, as assumed before the fit and as found. Our run on real spectra.
:name: tab-line-shared

{shared}```

{plausible}

To download: {{download}}`the lines <line_corrections_lines.csv>`, {{download}}`the corrections by wavelength
<line_corrections_by_wavelength.csv>` at {reference}, and {{download}}`the test <line_corrections_test.csv>`, as CSV.

## How to repeat it

```bash
dtl data fetch hpf                       # or set DTL_DATA
python benchmarks/line_corrections.py    # some minutes
```

The script writes the corrections (`dtl_core/data/line_corrections.npz`) and the record of the test. This page is made
from these two files and needs no spectrum. In Python, the corrected library is

```python
from dtl_core.synthetic.libraries import load_library
from dtl_core.synthetic.line_corrections import load_corrections

corrected = load_corrections().library(load_library("grid_a"))          # the most probable correction
drawn = load_corrections().library(load_library("grid_a"), draw=1)      # a draw of the posterior
```

## What remains wrong

- **There are {n_stars}, of types {kinds}.** {extrapolated}
- The settings of the fit were chosen by its evidence on the same stars, so the test is not fully independent of them.
- The zero points of Teff and \\[M/H\\] are those of the published values, and so are their errors: an error that the
  stars share goes into the corrections.
- log g of a star that was left out follows the main sequence by assumption, so its test says little.
- Residuals of stars that were left out are still {low} to {high} of the continuum.
- All spectra are from one spectrograph; what it does to every star at the same wavelength at rest counts as a line.
"""
