"""Every notebook through papermill, and the book built from them, in a copy of the sources."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from book.maker import html as html_module
from book.maker.clone import notebooks

pytestmark = pytest.mark.uses_smoke

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", [path.stem for path in notebooks(ROOT)])
def test_notebook_runs_and_shows_figures(executed, name):
    notebook = nbformat.read(executed / "book" / "notebooks" / f"{name}.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code if cell.source.strip())
    outputs = [output for cell in code for output in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    pictures = [o for o in outputs if "image/png" in str(o.get("data", {}).keys())]
    assert len(pictures) >= 2
    for cell in code:
        source = "\n".join(line for line in cell.source.splitlines() if not line.lstrip().startswith("%"))
        for node in ast.walk(ast.parse(source.replace("except ImportError:", "except ImportError:\n    pass"))):
            if isinstance(node, ast.FunctionDef):
                assert len(node.body) <= 5, "longer functions live in dtl_core, with a test"


def shown(page):
    """Alternative texts of all images in the article of a built page."""
    article = "".join(re.findall(r"<article\b.*?</article>", page.read_text(), re.S))
    texts = [re.search(r'\salt="([^"]*)"', image) for image in re.findall(r"<img\b[^>]*>", article)]
    return [text.group(1) if text else "" for text in texts]


def test_book_builds_without_a_warning_and_without_the_network(built):
    html = built
    assert html_module.external_loads(html) == []
    results = (html / "results.html").read_text()
    text = re.sub(r"<[^>]+>", " ", results)
    assert len(re.findall(r"\d", text)) > 100
    assert "glue" not in re.sub(r"<script.*?</script>", "", results, flags=re.S).split("<main")[-1].split("</main>")[0]
    assert len(shown(html / "results.html")) == 1
    for page in html.rglob("*.html"):
        for alt in shown(page):
            assert len(alt) >= 40 and not alt.endswith((".png", ".svg")), f"{page.name}: {alt or 'no text'}"
        assert len(set(shown(page))) == len(shown(page)), page.name
    for page in "intro method data provenance running references generated/registry generated/stars".split():
        assert (html / f"{page}.html").is_file()
    for source in notebooks(ROOT):
        page = html / "notebooks" / f"{source.stem}.html"
        assert len(shown(page)) == source.read_text().count("{glue:figure}")
