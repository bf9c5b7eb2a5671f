"""The list of the paper's figures and tables: numbers, reasons, and links that lead to a place in the book."""

import re
from pathlib import Path

import nbformat
import pytest
from rendering import cells

from book.maker import explore
from book.maker.counterparts import COUNT, COUNTERPARTS, SOURCES, Counterpart, counterparts_page

ROOT = Path(__file__).resolve().parents[2]
PLACES = sorted({place for entry in COUNTERPARTS for place in entry.ours})


def labels(page):
    """Labels that a page of the book defines."""
    if page.startswith("notebooks/"):
        notebook = nbformat.read(ROOT / f"{page}.ipynb", as_version=4)
        text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    elif page == "generated/catalogue":
        text = Path(explore.__file__).read_text().replace("\\n", "\n")
    else:
        text = (ROOT / "book" / f"{page}.md").read_text()
    return set(re.findall(r"^:name: (\S+)$", text, re.M)) | set(re.findall(r"^\(([\w-]+)\)=$", text, re.M))


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[1])
def test_every_link_leads_to_a_label_of_its_page(place):
    page, label = place
    assert label in labels(page)
    assert f"file: {page}\n" in (ROOT / "_toc.yml").read_text()


def test_the_paper_has_23_figures_and_6_tables():
    assert COUNT == {"figure": 23, "table": 6}
    for kind, most in COUNT.items():
        numbers = [entry.number for entry in COUNTERPARTS if entry.kind == kind and entry.number is not None]
        assert len(set(numbers)) == len(numbers) and set(numbers) <= set(range(1, most + 1))
        assert 0 < sum(entry.kind == kind for entry in COUNTERPARTS) <= most
    for entry in COUNTERPARTS:
        assert entry.kind in COUNT and entry.source in SOURCES
        assert entry.ours or len(entry.remark) > 20, f"{entry.what}: no counterpart and no reason"
    assert len({entry.what for entry in COUNTERPARTS}) == len(COUNTERPARTS)


def test_the_page_shows_every_entry_and_counts_them():
    extra = Counterpart("table", "A|table", "text", remark="None: a reason that is long enough.")
    page = counterparts_page((*COUNTERPARTS, extra))
    rows = [row for row in cells(page) if row[0].strip() not in ("no.", "---")]
    assert len(rows) == len(COUNTERPARTS) + 1 and {len(row) for row in rows} == {4}
    assert rows[-1][2].strip() == "none" and "long enough" in rows[-1][3]
    unknown = sum(COUNT.values()) - len(rows)
    assert f"{len(COUNTERPARTS)} of these {len(rows)}" in page and f"other {unknown}" in page
    for label in re.findall(r"\{(?:numref|ref)\}`([^`]+)`", page):
        assert label in {label for _, label in PLACES}
    assert counterparts_page() == counterparts_page()
