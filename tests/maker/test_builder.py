"""The book's machinery on throwaway notebooks: execution, parameters, errors, glue, and an offline build."""

import json
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book.maker import clone as clone_module
from book.maker import execution, figure_files
from book.maker import html as html_module
from dtl_core.config import load_profile
from dtl_core.errors import ConfigError, DataError, DTLError
from dtl_core.pipeline import results
from dtl_core.pipeline.store import Store
from dtl_core.plots import gluing

ROOT = Path(__file__).resolve().parents[2]

TOC = """format: jb-book
root: intro
chapters:
  - file: notebooks/01_tiny
  - file: references
"""
INTRO = """# A tiny book

The answer is {glue:text}`notebooks/01_tiny.ipynb::answer:.2f` of profile
{glue:text}`notebooks/01_tiny.ipynb::used:s`, after {cite:t}`masbuitrago2024`; $x^2$.
"""


def write_notebook(path, *sources, title="# Tiny"):
    cells = [new_markdown_cell(title), new_code_cell('profile = "demo"', metadata={"tags": ["parameters"]})]
    cells += [new_code_cell(source) for source in sources]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


@pytest.fixture
def clone(tmp_path):
    """A folder that looks like a clone, with the project's own configuration of the book but without the reference."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "book").mkdir()
    config = (ROOT / "_config.yml").read_text()
    (tmp_path / "_config.yml").write_text(
        re.sub(r"^.*(autoapi|maker\.reference|etoc|suppress_w).*\n", "", config, flags=re.M)
    )
    return tmp_path


@pytest.mark.slow
def test_execute_passes_parameters_and_keeps_the_source_clean(clone):
    source = clone / "notebooks" / "01_tiny.ipynb"
    write_notebook(source, "import os\nprint(profile, os.getcwd())")
    before = source.read_bytes()
    (written,) = execution.execute("smoke", root=clone)
    assert written == clone / "book" / "notebooks" / "01_tiny.ipynb"
    cells = [cell for cell in nbformat.read(written, 4).cells if cell.cell_type == "code"]
    assert cells[-1].outputs[0].text.split() == ["smoke", str(clone)]
    assert "remove-cell" in cells[0].metadata.tags, "the default is not shown beside the value in force"
    assert source.read_bytes() == before
    assert not list(written.parent.glob("*.failed.ipynb"))


@pytest.mark.slow
def test_two_runs_give_the_same_outputs(clone):
    source = clone / "notebooks" / "01_tiny.ipynb"
    styled = "import pandas as pd\npd.DataFrame({'a': [1, 2]}).style.highlight_max()"
    glued = "from dtl_core.plots.gluing import glue\nglue('styled', pd.DataFrame({'b': [3]}).style.hide())"
    write_notebook(source, styled, glued, "from astropy.table import Table\nTable({'c': [4]})")
    outputs = []
    for _ in range(2):
        (written,) = execution.execute("smoke", root=clone)
        outputs.append([cell.get("outputs") for cell in nbformat.read(written, 4).cells[1:]])
        for found in outputs[-1]:
            for output in found:
                output.pop("execution_count", None)
    assert outputs[0] == outputs[1]
    data = [output["data"] for found in outputs[0] for output in found]
    pages = [text for one in data for kind, text in one.items() if kind.endswith("text/html")]
    names = [re.search('<table id="([^"]*)"', page)[1] for page in pages]
    assert names == ["table_01_tiny_1", "table_01_tiny_2", "table_01_tiny_3"]
    assert "#table_01_tiny_1_row1_col0 {" in pages[0], "the style still finds its cell"


@pytest.mark.slow
def test_a_parameter_that_nobody_replaced_stays_on_the_page(clone):
    source = clone / "notebooks" / "01_tiny.ipynb"
    write_notebook(source, "print(profile, star)")
    notebook = nbformat.read(source, 4)
    notebook.cells[1].source += '\nstar = "GJ 699"'
    nbformat.write(notebook, source)
    (written,) = execution.execute("smoke", root=clone)
    first, *_, last = [cell for cell in nbformat.read(written, 4).cells if cell.cell_type == "code"]
    assert first.source == 'star = "GJ 699"' and "remove-cell" not in first.metadata.tags
    assert last.outputs[0].text.split() == ["smoke", "GJ", "699"]


@pytest.mark.slow
def test_a_notebook_is_found_again_while_nothing_changed(clone, capsys, monkeypatch):
    run = results.Run(load_profile("smoke"), Store(clone / "results"), {"catalogue": "1"})
    names = [clone / "notebooks" / f"0{k}_tiny.ipynb" for k in (1, 2)]
    for name in names:
        write_notebook(name, "import uuid\nprint(profile, uuid.uuid4())")

    def outputs(workers=2):
        written = execution.execute("smoke", root=clone, run=run, workers=workers)
        assert [path.name for path in written] == [name.name for name in names]
        return [nbformat.read(path, 4).cells[-1].outputs[0].text for path in written]

    first = outputs()
    assert len(set(first)) == 2 and all(text.startswith("smoke ") for text in first)
    assert outputs() == first and capsys.readouterr().out.count("unchanged") == 2
    write_notebook(names[0], "import uuid\nprint(profile, uuid.uuid4())  # changed")
    second = outputs()
    assert second[0] != first[0] and second[1] == first[1]
    run.keys["catalogue"] = "2"
    third = outputs()
    assert len({*first, *second, *third}) == 5, "another run: all of them again"
    write_notebook(names[1], "raise ValueError('no')")
    with pytest.raises(DTLError, match="ValueError: no"):
        outputs()
    assert not (clone / "book" / "notebooks" / names[1].name).exists()


@pytest.mark.slow
def test_a_failing_cell_is_one_line_that_names_notebook_cell_and_error(clone):
    write_notebook(clone / "notebooks" / "01_good.ipynb", "1 + 1")
    write_notebook(clone / "notebooks" / "02_bad.ipynb", "x = 0", "raise ValueError('no\\nflux')")
    stale = clone / "book" / "notebooks" / "02_bad.ipynb"
    stale.parent.mkdir()
    stale.write_text("{}")
    with pytest.raises(DTLError) as caught:
        execution.execute("smoke", root=clone)
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in ("02_bad.ipynb", "cell [4]", "ValueError: no flux", "02_bad.failed.ipynb"))
    assert not stale.exists(), "an earlier run's page is not shown for a notebook that fails"
    failed = nbformat.read(stale.with_name("02_bad.failed.ipynb"), 4)
    assert any(output.output_type == "error" for cell in failed.cells for output in cell.get("outputs", []))
    assert (stale.parent / "01_good.ipynb").is_file()


def test_unknown_parameters_are_refused_before_anything_runs(clone):
    marker = clone / "ran"
    write_notebook(clone / "notebooks" / "01_tiny.ipynb", f"open({str(marker)!r}, 'w').close()")
    with pytest.raises(ConfigError, match="profil_e.*01_tiny|01_tiny.*profil_e") as caught:
        execution.execute("smoke", parameters={"profil_e": 1}, root=clone)
    assert "'parameters' sets: profile" in str(caught.value)
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), clone / "notebooks" / "02_none.ipynb")
    with pytest.raises(ConfigError, match="02_none.*sets: nothing"):
        execution.execute("smoke", root=clone)
    assert not marker.exists() and not (clone / "book" / "notebooks").exists()


def test_only_selects_by_name_or_number(clone):
    for name in ("01_one", "02_two", "03_three"):
        write_notebook(clone / "notebooks" / f"{name}.ipynb")
    (clone / "notebooks" / "scratch.ipynb").write_text("not one of ours")
    assert [path.stem for path in clone_module.notebooks(clone)] == ["01_one", "02_two", "03_three"]
    assert [path.stem for path in clone_module.notebooks(clone, ["03", "01_one"])] == ["01_one", "03_three"]
    with pytest.raises(ConfigError, match="'04'.*01_one, 02_two, 03_three"):
        clone_module.notebooks(clone, ["04"])


def test_broken_notebooks_and_folders_are_named(clone, tmp_path_factory, monkeypatch):
    with pytest.raises(ConfigError, match="holds no notebook"):
        execution.execute("smoke", root=clone)
    (clone / "notebooks" / "01_cut.ipynb").write_text('{"cells": [')
    with pytest.raises(DataError, match="01_cut.ipynb: is not a notebook"):
        execution.execute("smoke", root=clone)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with pytest.raises(ConfigError, match="run in a clone"):
        clone_module.find_root(elsewhere)
    monkeypatch.setattr(clone_module, "__file__", str(elsewhere / "site-packages" / "dtl_core" / "book.py"))
    monkeypatch.chdir(clone)
    assert clone_module.find_root() == clone


@pytest.mark.slow
def test_a_dead_or_missing_kernel_is_one_line(clone, monkeypatch):
    write_notebook(clone / "notebooks" / "01_dead.ipynb", "import os\nos._exit(9)")
    with pytest.raises(DTLError, match="01_dead.ipynb: the kernel died"):
        execution.execute("smoke", root=clone)
    monkeypatch.setattr("jupyter_client.kernelspec.KernelSpecManager.get_kernel_spec", _no_kernel)
    with pytest.raises(DTLError, match="01_dead.ipynb: no Jupyter kernel"):
        execution.execute("smoke", root=clone)


def _no_kernel(self, name):
    from jupyter_client.kernelspec import NoSuchKernel

    raise NoSuchKernel(name)


def test_glue_all_makes_plain_scalars(monkeypatch):
    glued = {}
    monkeypatch.setattr(gluing, "glue", glued.__setitem__)
    gluing.glue_all({"a": np.float32(1.5), "b": np.int64(3), "c": 0.25, "d": "text", "e": np.array(2.0)}, prefix="x_")
    assert glued == {"x_a": 1.5, "x_b": 3, "x_c": 0.25, "x_d": "text", "x_e": 2.0}
    assert [type(value) for value in glued.values()] == [float, int, float, str, float]
    with pytest.raises(ConfigError, match="'bad'.*list is not a scalar"):
        gluing.glue_all({"bad": [1, 2]})


def test_external_loads_sees_what_a_browser_would_fetch(tmp_path):
    (tmp_path / "page.html").write_text(
        '<a href="https://link.example">fine</a><link rel="canonical" href="https://self.example/">'
        '<script src="https://cdn.example/x.js"></script><link rel="stylesheet" href="//cdn.example/x.css">'
        "<style>body { background: url('https://cdn.example/b.png') }</style><img src=\"local.png\">"
    )
    (tmp_path / "style.css").write_text('@import "https://fonts.example/f.css"; p { color: red }')
    found = [(path.name, address) for path, address in html_module.external_loads(tmp_path)]
    assert found == [
        ("page.html", "https://cdn.example/x.js"),
        ("page.html", "//cdn.example/x.css"),
        ("page.html", "https://cdn.example/b.png"),
        ("style.css", "https://fonts.example/f.css"),
    ]


@pytest.mark.slow
def test_a_page_that_is_missing_is_named_before_anything_is_built(clone):
    write_tiny_book(clone)
    execution.execute("smoke", root=clone)
    pages = clone / "book"
    (clone / "_toc.yml").write_text(
        TOC + "  - file: generated/stars\n    sections:\n      - file: generated/stars/vb_10\n"
    )
    (pages / "intro.md").write_text(INTRO + "\n```{include} generated/part.md\n```\n")
    for name in ("part", "stars", "stars/vb_10"):
        with pytest.raises(DTLError, match=rf"generated/{name}.md: has not been written; run dtl book") as caught:
            html_module.build(clone)
        assert "\n" not in str(caught.value) and not (clone / "_build").exists()
        (pages / "generated" / name).parent.mkdir(parents=True, exist_ok=True)
        (pages / "generated" / f"{name}.md").write_text("# A page\n")
    (pages / "references.md").unlink()
    with pytest.raises(DTLError, match=r"references.md: is missing; restore it from git"):
        html_module.build(clone)


def write_tiny_book(clone):
    (clone / "_toc.yml").write_text(TOC)
    (clone / "book" / "intro.md").write_text(INTRO)
    for name in ("references.md", "references.bib"):
        shutil.copy(ROOT / "book" / name, clone / "book")
    shutil.copytree(ROOT / "book" / "_static", clone / "book" / "_static", dirs_exist_ok=True)
    glue = "from dtl_core.plots.gluing import glue_all\nglue_all({'answer': answer, 'used': profile})"
    write_notebook(clone / "notebooks" / "01_tiny.ipynb", "answer = 6 * 7.0", glue)


@pytest.mark.slow
def test_a_figure_has_its_text_its_data_and_its_code_on_every_page(clone, tmp_path):
    write_tiny_book(clone)
    figure = "import matplotlib.pyplot as plt\nfrom dtl_core.plots.gluing import glue\nfig, ax = plt.subplots()\n"
    figure += "ax.plot({})\nplt.close(fig)\nglue('fig_{}', fig)"
    plots = [figure.format([k, 1], name) for k, name in enumerate(("told", "untold"))]
    alt = "Line plot of nothing against its index; it falls."
    title = f"# Tiny\n\n```{{glue:figure}} fig_told\n:alt: {alt}\n\nA line.\n```\n"
    glued = "from dtl_core.plots.gluing import glue_all\nglue_all({'answer': 1.0, 'used': profile})"
    write_notebook(clone / "notebooks" / "01_tiny.ipynb", glued, *plots, title=title)
    others = "".join(f"\n```{{glue}} {key}\n:doc: notebooks/01_tiny.ipynb\n```\n" for key in ("fig_told", "fig_untold"))
    (clone / "book" / "intro.md").write_text(INTRO + others)
    execution.execute("smoke", root=clone)
    index = html_module.build(clone)
    told, untold = re.findall(r'<img alt="([^"]*)" src="_images/[^"]+"', (index.parent / "intro.html").read_text())
    assert told == alt and untold.endswith(".png"), "a figure that no notebook describes shows its file's name"
    for page, up in (("intro.html", ""), ("notebooks/01_tiny.html", "../")):
        text = (index.parent / page).read_text()
        links = re.findall(rf'<a download href="{up}figures/01_tiny-(\w+)\.(csv|py)"', text)
        assert {("fig_told", "csv"), ("fig_told", "py")} <= set(links), page
    data = pd.read_csv(index.parent / "figures" / "01_tiny-fig_told.csv")
    assert data[["x", "y"]].to_numpy().tolist() == [[0, 0], [1, 1]]
    code = index.parent / "figures" / "01_tiny-fig_untold.py"
    subprocess.run([sys.executable, code], cwd=tmp_path, env=os.environ | {"MPLBACKEND": "agg"}, check=True)
    assert (tmp_path / "fig_untold.png").read_bytes()[:4] == b"\x89PNG" and not (tmp_path / "fig_told.png").exists()


def test_a_script_of_a_figure_saves_it_and_nothing_else():
    cells = [
        "try:\n    import x\nexcept ImportError:\n    %pip install x",
        "import numpy as np\nfrom dtl_core.plots.gluing import glue, glue_all",
        "glue_all({'a': 1})\nfor k in 'abc':\n    glue(f'fig_{k}', draw(k))",
    ]
    text, saved = figure_files.script(cells, "fig_b", "01_tiny"), []

    def draw(letter):
        return types.SimpleNamespace(savefig=lambda name, dpi: saved.append((letter, name)))

    exec(compile(text, "script", "exec"), {"draw": draw})
    assert saved == [("b", "fig_b.png")]


@pytest.mark.slow
def test_a_tiny_book_builds_offline_and_follows_its_notebook(clone, capsys, monkeypatch):
    write_tiny_book(clone)
    with pytest.raises(DTLError, match="01_tiny.ipynb: has not been executed"):
        html_module.build(clone)
    execution.execute("smoke", root=clone)
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(ConfigError, match="jupyter-book is not installed"):
            html_module.build(clone)
    index = html_module.build(clone)
    html = index.parent
    page = (html / "intro.html").read_text()
    assert "42.00" in page and "smoke" in page and "Mas-Buitrago" in page
    assert html_module.external_loads(html) == []
    assert {path.name for path in (html / "vendor").iterdir()} == {"plotly.min.js", "datatables.js", "datatables.css"}
    assert not any("unpkg" in path.read_text() or "cdnjs" in path.read_text() for path in html.rglob("*.html"))
    mathjax = html / "_static" / "mathjax"
    assert (mathjax / "tex-chtml.js").is_file() and not (mathjax / "sre").exists()
    launch = (html / "notebooks" / "01_tiny.html").read_text()
    assert "dtl-mdwarfs/blob/main/notebooks/01_tiny.ipynb" in launch
    for page in (html / name for name in ("intro.html", "notebooks/01_tiny.html", "references.html", "search.html")):
        (link,) = re.findall(r'<a href="([^"]*)">How to cite</a>', page.read_text())
        file, _, label = link.partition("#")
        place = (page.parent / file if file else page).read_text()
        assert f'id="{label}"' in place and "@article{masbuitrago2024," in re.sub(r"<[^>]+>", "", place), page.name
    out = capsys.readouterr().out
    assert "notebook 01_tiny" in out and "pages" in out and "_build/html/index.html" in out

    # the same book from the same sources is found again
    built = (html / "intro.html").stat().st_mtime_ns
    assert html_module.build(clone) == index and "unchanged" in capsys.readouterr().out
    assert (html / "intro.html").stat().st_mtime_ns == built

    # a page whose number comes from a notebook follows it, although the page itself did not change
    executed = clone / "book" / "notebooks" / "01_tiny.ipynb"
    executed.write_text(json.dumps(json.loads(executed.read_text())).replace("42.0", "43.0"))
    (html / "gone.html").write_text("a page of an earlier book")
    unchanged = (html / "references.html").read_bytes()
    html_module.build(clone)
    assert "43.00" in (html / "intro.html").read_text()
    assert not (html / "gone.html").exists() and (html / "references.html").read_bytes() == unchanged

    # any warning is an error of one line
    (clone / "book" / "intro.md").write_text(INTRO + "\n{cite:t}`nobody1900`\n")
    with pytest.raises(DTLError, match=r"book: .*nobody1900.* \(warning 1 of 1\)") as caught:
        html_module.build(clone)
    assert "\n" not in str(caught.value)

    # and so is a configuration that stops jupyter-book, or a page that loads from the network
    (clone / "_toc.yml").write_text("format: jb-book\n")
    with pytest.raises(DTLError, match="book: jupyter-book stopped"):
        html_module.build(clone)
    write_tiny_book(clone)
    (clone / "book" / "intro.md").write_text(INTRO + '\n<img src="https://cdn.example/x.png">\n')
    with pytest.raises(DTLError, match="intro.html: loads https://cdn.example/x.png"):
        html_module.build(clone)


@pytest.mark.slow
@pytest.mark.uses_smoke
def test_a_notebook_runs_alone_on_an_empty_store(first_notebook, results):
    assert first_notebook is None
    assert list((results / "gap").iterdir())
