"""How to cite: what the book writes out of CITATION.cff, against the bibliography and the package."""

import re
from pathlib import Path

import pytest
from pybtex.database import parse_file, parse_string

from book.maker import citation
from dtl_core import __version__

ROOT = Path(__file__).resolve().parents[2]


def plain(text):
    """Text without braces and accents of LaTeX."""
    return re.sub(r"[{}\\]", "", text)


def test_the_entry_of_the_paper_is_that_of_the_bibliography():
    paper = citation.works()["The paper"]
    ((key, written),) = parse_string(citation.bibtex(paper), "bibtex").entries.items()
    known = parse_file(ROOT / "book" / "references.bib").entries[key]
    assert written.type == known.type
    for field in ("title", "journal", "volume", "pages", "year", "doi"):
        assert plain(written.fields[field]) == plain(known.fields[field]), field
    assert written.fields["eprint"] in known.fields["note"] and written.fields["archiveprefix"] == "arXiv"
    names = [" ".join(person.last_names) for person in written.persons["author"]]
    assert names == [person["family-names"] for person in paper["authors"]]
    assert len(names) == len(known.persons["author"])


def test_the_entry_of_the_software_has_the_version_of_the_package():
    ((key, written),) = parse_string(citation.bibtex(citation.works()["This software"]), "bibtex").entries.items()
    assert (key, written.type, written.fields["version"]) == ("dtl-mdwarfs", "software", __version__)
    (author,) = written.persons["author"]
    assert plain(str(author)) == "The dtl-mdwarfs authors"  # one name, not a first and a last one


@pytest.mark.parametrize("title", citation.works())
def test_the_reference_names_every_author_and_links_every_identifier(title):
    work = citation.works()[title]
    text = citation._reference(work)
    for author in work["authors"]:
        assert author.get("family-names", author.get("name")) in text.replace("\\", "")
    links = re.findall(r"\]\(<(https://[^>]+)>\)", text)
    identifiers = [work[name] for name in ("doi", "repository-code") if name in work]
    identifiers += [one["value"].removeprefix("arXiv:") for one in work.get("identifiers", ())]
    assert len(links) == len(identifiers)
    assert all(sum(link.endswith(identifier) for link in links) == 1 for identifier in identifiers)
