"""Sphinx extension of the book: under each figure, its data as CSV and, if it is of a notebook, a script that makes it.

:func:`write` takes both out of the executed notebooks before the book is built, see
:func:`dtl_core.plots.gluing.glue`; figures of other pages come with their data from :func:`picture`. ``_config.yml``
loads this module, which puts the links under the figures, on whichever page they are.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path, PurePosixPath

from docutils import nodes

from dtl_core.files import write_atomic
from dtl_core.plots.figure_data import as_csv
from dtl_core.plots.gluing import DATA
from dtl_core.plots.method_figures import as_svg

from .clone import notebooks

__all__ = ["add_links", "picture", "script", "setup", "write"]


FOLDER = "figures"  # of the built book; html_extra_path copies it
INDEX = "index.json"  # stem of a picture's file, which for those of notebooks is its hash: name of the files


def setup(app):
    """Connect :func:`add_links` with a Sphinx application, when all pages are read and links are resolved."""
    app.connect("doctree-resolved", add_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write(root):
    """Write the files of all figures of the executed notebooks to ``book/_extra/figures``.

    Parameters
    ----------
    root : path
        The clone's top folder.
    """
    folder, index = Path(root) / "book" / "_extra" / FOLDER, {}
    shutil.rmtree(folder, ignore_errors=True)
    for source in notebooks(root):
        cells = json.loads((Path(root) / "book" / "notebooks" / source.name).read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        for number, cell in enumerate(code):
            for output in cell["outputs"]:
                picture, about = output.get("data", {}).get("image/png"), output.get("metadata", {})
                if picture and about.get(DATA, "").count("\n") > 1:  # a note such as "not measured yet" has no data
                    name = about["scrapbook"]["name"]
                    before = ["".join(one["source"]) for one in code[: number + 1]]
                    content = {"csv": about[DATA], "py": script(before, name, source.stem)}
                    for kind, text in content.items():
                        write_atomic(folder / f"{source.stem}-{name}.{kind}", text.encode())
                    index[hashlib.sha256(base64.b64decode("".join(picture))).hexdigest()] = f"{source.stem}-{name}"
    generated = Path(root) / "book" / "generated"
    for drawn in generated.rglob("*.svg"):
        if (data := drawn.with_suffix(".csv")).is_file():
            index[drawn.stem] = f"generated-{drawn.stem}"
            write_atomic(folder / f"generated-{drawn.stem}.csv", data.read_bytes())
    write_atomic(folder / INDEX, json.dumps(index, indent=1).encode())


def picture(stem, figure):
    """Draw a figure of a page that is made from code.

    Parameters
    ----------
    stem : str
        Name of its files below ``book/generated``.
    figure : matplotlib.figure.Figure

    Returns
    -------
    dict of str to bytes or str
        The picture as SVG, and its data as CSV.
    """
    return {f"{stem}.csv": as_csv(figure), f"{stem}.svg": as_svg(figure)}


def script(cells, name, notebook):
    """Join the cells of a notebook up to a figure to a script that saves the figure.

    Parameters
    ----------
    cells : list of str
        Sources of the code cells, that of the figure last.
    name : str
        What the figure is glued as.
    notebook : str

    Returns
    -------
    str
        In place of passing values on to pages of the book it saves the figure. Commands that only notebooks understand,
        such as ``%pip``, are comments.
    """
    head = (
        f'"""Figure {name} of the notebook {notebook}: run in a clone, after make book."""\n\n\n'
        f"def glue(name, value):\n    if name == {name!r}:\n        value.savefig({name + '.png'!r}, dpi=200)\n\n\n"
        "def glue_all(values, prefix=''):\n    pass"
    )
    plain = [_COMMAND.sub(r"\1pass  # \2", _IMPORT.sub("", cell)).strip() for cell in cells]
    return "\n\n\n".join([head, *filter(None, plain)]) + "\n"


_COMMAND = re.compile(r"^(\s*)([%!].*)$", re.M)
_IMPORT = re.compile(r"^from dtl_core\.plots\.gluing import .*\n?", re.M)


def add_links(app, doctree, docname):
    """Put links to its data and its script under each figure that has them."""
    known = _index(Path(app.srcdir) / "_extra" / FOLDER / INDEX)
    up = "../" * docname.count("/")
    for image in list(doctree.findall(nodes.image)):
        name = known.get(PurePosixPath(image["uri"]).stem)
        if name is None:
            continue
        address = f"{up}{FOLDER}/{name}"
        links = f'This figure: <a download href="{address}.csv">data</a>'
        if not name.startswith("generated-"):
            links += f', <a download href="{address}.py">code</a>'
        links = nodes.raw("", f'<p class="figure-files">{links}</p>', format="html")
        above = image.parent
        if isinstance(above, nodes.figure):
            above += nodes.legend("", links)
        else:
            above.insert(above.index(image) + 1, links)


def _index(path):
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
