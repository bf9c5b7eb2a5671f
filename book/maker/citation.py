"""Sphinx extension of the book: how to cite the paper and this software, out of ``CITATION.cff``.

The directive ``{how-to-cite}`` writes both references and their BibTeX entries where it stands, on the page
``references``; each page has a link to it at its foot. ``_config.yml`` loads this module.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from pybtex.database import BibliographyData, Entry, Person
from sphinx.util.docutils import SphinxDirective

from .markdown import escape

__all__ = ["HowToCite", "bibtex", "setup", "works"]

FILE = Path(__file__).resolve().parents[2] / "CITATION.cff"
PLACE = "references", "how-to-cite"  # page and label


def setup(app):
    """Add the directive to a Sphinx application, and the link to its pages before the theme drops an empty foot."""
    app.add_directive("how-to-cite", HowToCite)
    app.connect("html-page-context", _add_link, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _add_link(app, pagename, templatename, context, doctree):
    page, label = PLACE
    link = f'<a href="{app.builder.get_relative_uri(pagename, page)}#{label}">How to cite</a>'
    context["theme_extra_footer"] = f"<p>{link} this book, its software and the paper that it reproduces.</p>"


class HowToCite(SphinxDirective):
    """References and BibTeX entries of the paper and of this software."""

    def run(self):
        """Return the nodes of the directive."""
        self.env.note_dependency(str(FILE))
        parts = [
            f"**{title}.** {_reference(work)}\n\n```bibtex\n{bibtex(work)}```\n" for title, work in works().items()
        ]
        place = nodes.container()
        self.state.nested_parse(StringList("\n".join(parts).splitlines(), FILE.name), self.content_offset, place)
        return place.children


def works():
    """What is to be cited: the records of the paper and of this software in ``CITATION.cff``, by title of the entry."""
    software = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    (paper,) = software["references"]
    return {"The paper": paper, "This software": software}


def bibtex(work):
    """Write a record of ``CITATION.cff`` as an entry of BibTeX."""
    fields = {"title": f"{{{work['title']}}}"}
    fields |= {name: str(work[name]) for name in ("journal", "volume", "year", "version", "doi") if name in work}
    if "start" in work:
        fields["pages"] = work["start"]
    if eprint := _arxiv(work):
        fields |= {"eprint": eprint, "archivePrefix": "arXiv"}
    if "repository-code" in work:
        fields["url"] = work["repository-code"]
    people = [Person(last=one["family-names"], first=one["given-names"]) if "family-names" in one
              else Person(last=f"{{{one['name']}}}") for one in work["authors"]]  # fmt: skip
    first = work["authors"][0].get("family-names", "")
    key = re.sub(r"\W", "", first).lower() + str(work.get("year", "")) or work["repository-code"].rpartition("/")[2]
    entry = Entry(work["type"], fields=fields, persons={"author": people})
    return BibliographyData({key: entry}).to_string("bibtex")


def _reference(work):
    names = [f"{a['given-names']} {a['family-names']}" if "family-names" in a else a["name"] for a in work["authors"]]
    where = [work.get("journal"), work.get("volume"), work.get("start"), work.get("year")]
    where += [f"Version {work['version']}"] if "version" in work else []
    text = ". ".join(
        [", ".join(map(escape, names)), escape(work["title"]), escape(", ".join(str(w) for w in where if w))]
    )
    links = [(f"doi:{work['doi']}", f"https://doi.org/{work['doi']}")] if "doi" in work else []
    links += [(f"arXiv:{number}", f"https://arxiv.org/abs/{number}")] if (number := _arxiv(work)) else []
    links += [("source code", work["repository-code"])] if "repository-code" in work else []
    return f"{text}. " + ", ".join(f"[{name}](<{address}>)" for name, address in links)


def _arxiv(work):
    values = [one["value"] for one in work.get("identifiers", ())]
    return next((value.removeprefix("arXiv:") for value in values if value.startswith("arXiv:")), None)
