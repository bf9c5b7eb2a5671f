"""The figures and tables of the paper beside ours: a list, and the page of the book that shows it.

Each description is in our own words. A number is given where a public source has it: the notebooks of the paper's
code (github.com/pedromasb/autoencoders-CARMENES) number two figures, CDS one table. We list what these sources and our
notes on the text show, and do not guess the rest.
"""

from __future__ import annotations

from typing import NamedTuple

from .markdown import cite, escape, table

__all__ = ["COUNT", "COUNTERPARTS", "Counterpart", "counterparts_page"]


COUNT = {"figure": 23, "table": 6}  # of the paper, appendices included


class Counterpart(NamedTuple):
    """A figure or table of the paper, and what we have for it.

    Attributes
    ----------
    kind : str
        ``figure`` or ``table``.
    what : str
        What it shows, in our words.
    source : str
        Evidence for it: a key of ``SOURCES``.
    number : int or None
        In the paper, where a source gives it.
    ours : tuple of (str, str)
        Page of the book and label on it, of our counterparts.
    remark : str
        How ours differs, or why there is none.
    """

    kind: str
    what: str
    source: str
    number: int | None = None
    ours: tuple = ()
    remark: str = ""


SOURCES = {
    "notebook": "a notebook of the paper's public code draws it",
    "CDS": "the note to the title names it, and CDS has it",
    "text": "our notes on the paper's text describe it",
}
_GAP, _TUNING, _LITERATURE, _STARS = (
    f"notebooks/{name}" for name in ("01_domain_gap", "03_fine_tuning", "05_literature", "06_activity_kinematics")
)
_SPECTRA = "Ours shows simulated and a few real HPF spectra; the paper's spectra were not published with it."
_DOTS = (_LITERATURE, "fig-differences")
COUNTERPARTS = (
    Counterpart("figure", "Map of synthetic and observed spectra by UMAP of the fluxes: the synthetic gap", "text",
                ours=((_GAP, "fig-flux-umap"),), remark=_SPECTRA),
    Counterpart("figure", "Map of both domains by UMAP of the latents, after fine-tuning", "text",
                ours=((_TUNING, "fig-latent-umap"),), remark=f"Ours adds the map before fine-tuning. {_SPECTRA}"),
    Counterpart("figure", "Kiel diagram with isochrones of 5 Gyr, coloured by [M/H], size by v sin i", "text",
                ours=((_STARS, "fig-kiel-isochrones"),),
                remark="Isochrones if their tables are available, else an empirical main sequence."),
    Counterpart("figure", "Hertzsprung-Russell diagram with isochrones, Hα-active and thick-disc stars, members of "
                "young associations and subdwarf-like stars marked", "notebook", 8,
                ours=((_STARS, "fig-hr"), (_STARS, "fig-hr-isochrones")),
                remark="The flag of activity is reconstructed. There is also an interactive one: "
                "[star by star](explore_hr.md)."),
    Counterpart("figure", "Colour-colour diagram G_BP - G_RP against G - J, coloured by Teff", "text",
                ours=((_STARS, "fig-colours"),), remark="Recorded medians if the published tables are not available."),
    Counterpart("figure", "[M/H] of the kinematic populations as densities", "notebook",
                ours=((_STARS, "fig-mh-population"),)),
    Counterpart("figure", "Teff against the literature, with interferometric temperatures", "notebook", 11,
                ours=((_LITERATURE, "fig-literature-teff"), _DOTS)),
    Counterpart("figure", "log g against the literature", "notebook",
                ours=((_LITERATURE, "fig-literature-logg"), _DOTS)),
    Counterpart("figure", "[M/H] against the literature, with M dwarfs that have an F, G or K primary", "notebook",
                ours=((_LITERATURE, "fig-literature-mh"), _DOTS)),
    Counterpart("figure", "v sin i against the literature", "notebook",
                ours=((_LITERATURE, "fig-literature-vsini"), _DOTS)),
    Counterpart("table", "Catalogue of the parameters of the 286 stars, with asymmetric errors", "CDS", 5,
                ours=(("generated/catalogue", "published-catalogue"),),
                remark="As published, to search and download, beside the catalogue of the run."),
)  # fmt: skip


_TEXT = """# The paper's figures and tables, and ours

{cite} has {figures} figures and {tables} tables. We know what {known_figures} of the figures and {known_tables} of
the tables show, from the paper's public code, CDS and our notes on its text. The book has counterparts of
{counterparts} of these {listed}. A number is given where one of these sources has it. The other {unknown} are not
listed, because we had no copy of the printed paper when this list was made and do not guess what they show. Another
page compares [all numbers that we know from the paper](fidelity.md), wherever the paper gives them.
"""


def _link(page, label):
    """A link to a figure by its number, or to a labelled section."""
    return f"{{numref}}`{label}`" if label.startswith(("fig-", "tab-")) else f"{{ref}}`{label}`"


def _row(entry):
    number = "" if entry.number is None else str(entry.number)
    ours = ", ".join(_link(*place) for place in entry.ours) or "none"
    return [number, escape(entry.what), ours, f"{SOURCES[entry.source]}. {entry.remark}".strip()]


def counterparts_page(entries=COUNTERPARTS):
    """The page of the book: figures, then tables, each with links to ours or the reason why there is none. Markdown."""
    known = {kind: [entry for entry in entries if entry.kind == kind] for kind in COUNT}
    text = _TEXT.format(
        cite=cite(["masbuitrago2024"]),
        figures=COUNT["figure"],
        tables=COUNT["table"],
        known_figures=len(known["figure"]),
        known_tables=len(known["table"]),
        counterparts=sum(bool(entry.ours) for entry in entries),
        listed=len(entries),
        unknown=sum(COUNT.values()) - len(entries),
    )
    for kind, own in known.items():
        text += f"\n## {kind.capitalize()}s\n\n"
        text += table(["no.", "what the paper shows", "ours", "how we know, and remarks"], map(_row, own))
    return text
