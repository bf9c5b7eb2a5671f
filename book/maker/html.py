"""The HTML book, built by jupyter-book from ``book/`` and the executed notebooks, and checked to be offline."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import dtl_core
from dtl_core.errors import ConfigError, DTLError
from dtl_core.files import file_hash, write_atomic

from . import figure_files
from .clone import find_root, notebooks
from .quick_look import network_files

__all__ = ["build", "external_loads"]


# Parts of MathJax that no page of ours loads: speech and its dictionaries, other bundles than the one in use.
UNUSED_MATHJAX = ("sre", "a11y", "adaptors", "node-main.js", "latest.js", "*-full*.js", "*-svg.js", "*mml-*.js")


def build(root=None):
    """Build the HTML book from ``book/`` and its executed notebooks; any warning is an error.

    A book that was built from the same files, with the same programs, is found again. Otherwise every page is built: a
    page whose numbers come from a notebook would keep the old ones. Nothing of an earlier book stays.

    Returns
    -------
    Path
        Of ``_build/html/index.html``.

    Raises
    ------
    DTLError
        A notebook of the table of contents was not executed, a page of it is missing, jupyter-book warned, or a
        page loads something from the network.
    """
    root = find_root(root)
    for source in notebooks(root):
        if not (root / "book" / "notebooks" / source.name).is_file():
            raise DTLError("has not been executed", file=source, remedy="run dtl book, or make book")
    _check_pages(root)
    if importlib.util.find_spec("jupyter_book") is None:
        raise ConfigError("jupyter-book is not installed", remedy="pip install -e '.[book]'")
    html, note = root / "_build" / "html", root / "_build" / "built_from.json"
    print("pages", " " * 33, end="", flush=True)
    start, sources = time.perf_counter(), _sources(root)
    if note.is_file() and json.loads(note.read_text(encoding="utf-8")) == {"sources": sources, "html": _digest([html])}:
        print(f"unchanged  -> {(html / 'index.html').relative_to(root)}", flush=True)
        return html / "index.html"
    note.unlink(missing_ok=True)
    _vendor(root)
    figure_files.write(root)
    for folder in (html, root / "book" / "generated" / "reference"):  # the latter of a build that was interrupted
        shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", "book"]
    command += ["--config", "_config.yml", "--toc", str(root.resolve() / "_toc.yml"), "--path-output", "."]
    command += ["--all", "-W", "-n", "--keep-going"]
    # the extensions in this folder are not installed, and the book may be built in another clone
    places = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    log = root / "_build" / "jupyter-book.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        print("failed", flush=True)
        raise DTLError(_first_warning(done.stdout + done.stderr), file="book", remedy=f"see {log.relative_to(root)}")
    _prune(html)
    loads = external_loads(html)
    if loads:
        print("failed", flush=True)
        page, address = loads[0]
        problem = f"loads {address} from the network ({len(loads)} such loads in the book)"
        raise DTLError(problem, file=page, remedy="keep the file in the book")
    write_atomic(note, json.dumps({"sources": sources, "html": _digest([html])}).encode())
    print(f"{time.perf_counter() - start:7.1f} s  -> {(html / 'index.html').relative_to(root)}", flush=True)
    return html / "index.html"


def _sources(root):
    """Digest of all that the book is built from: its sources, the code and its docstrings, and the programs."""
    book = [path for path in (root / "book").iterdir() if path.name not in ("_extra", "generated")]
    made = [path for path in (root / "book" / "generated").glob("*") if path.name != "reference"]
    code = [Path(dtl_core.__file__).parent, Path(__file__).parent]
    installed = sorted(f"{one.name} {one.version}" for one in importlib.metadata.distributions())
    return _digest([root / "_config.yml", root / "_toc.yml", root / "CITATION.cff", *book, *made, *code], *installed)


def _digest(places, *texts):
    """Hash of texts, and of the names and contents of all files in some places; compiled Python does not count."""
    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*")) if file.is_file()]
    total = hashlib.sha256("\n".join((sys.version, *texts)).encode())
    for path in sorted(files):
        if "__pycache__" not in path.parts:
            total.update(f"{path}\n{file_hash(path)}\n".encode())
    return total.hexdigest()


def _vendor(root):
    """Copy libraries, from their Python packages, and networks to where the interactive pages of the book load them.

    DataTables is a module, which a browser does not load from a disk: it is wrapped in a script that creates the module
    from its own text.
    """
    import itables
    import plotly

    figures = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    tables = Path(itables.__file__).parent / "html" / "dt_bundle.js"
    module = json.dumps(tables.read_text(encoding="utf-8")).replace("</", "<\\/")
    script = f'window.dataTables = import(URL.createObjectURL(new Blob([{module}], {{type: "text/javascript"}})));\n'
    content = {"plotly.min.js": figures.read_bytes(), "datatables.js": script}
    content["datatables.css"] = tables.with_suffix(".css").read_bytes()
    for name, data in content.items():
        write_atomic(root / "book" / "_extra" / "vendor" / name, data)
    for name, script in network_files().items():
        write_atomic(root / "book" / "_extra" / "quick_look" / name, script)


def _check_pages(root):
    """Refuse a table of contents with a missing page, or with pages that include a missing one."""
    toc = root / "_toc.yml"
    names = re.findall(r"^[\s-]*(?:file|root):\s*(\S+)", toc.read_text(encoding="utf-8") if toc.is_file() else "", re.M)
    pages = [root / "book" / (name if Path(name).suffix else f"{name}.md") for name in names]
    made_by_the_build = ("notebooks", "reference")
    pages = [page for page in pages if page.parent.name not in made_by_the_build]
    for page in pages:
        texts = page.read_text(encoding="utf-8") if page.is_file() else ""
        wanted = [page, *(page.parent / name for name in re.findall(r"^```\{include\}\s+(\S+)", texts, re.M))]
        for path in wanted:
            if not path.is_file():
                made = "generated" in path.parts
                problem = "has not been written" if made else "is missing"
                remedy = "run dtl book, or make book" if made else "restore it from git or correct _toc.yml"
                raise DTLError(problem, file=path, remedy=remedy)


def _first_warning(output):
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in output.splitlines()]
    marked = [line for line in lines if re.search(r"\b(WARNING|ERROR|CRITICAL)\b", line)]
    if marked:
        return f"{marked[0][:300]} (warning 1 of {len(marked)})"
    errors = [n for n, line in enumerate(lines) if "error" in line.lower()]
    text = " ".join(lines[errors[0] : errors[0] + 2]) if errors else " ".join(lines[-2:])
    return f"jupyter-book stopped: {text[:300]}"


def _prune(html):
    """Remove what no page loads: most of MathJax, and the loader of live code, which would fetch from a CDN.

    Also adds what the theme leaves out for readers with a keyboard or a screen reader.
    """
    mathjax = html / "_static" / "mathjax"
    for pattern in UNUSED_MATHJAX:
        for path in mathjax.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        text = _LIVE_CODE.sub("", text)
        for theirs, ours in _ACCESSIBLE.items():
            text = text.replace(theirs, ours)
        page.write_text(text, encoding="utf-8")


_LIVE_CODE = re.compile(r"<script>const THEBE_JS_URL.*?</script>|<script[^>]*sphinx-thebe\.js[^>]*></script>", re.S)


# Parts of the theme's pages that axe-core reports, and their corrected form.
_ACCESSIBLE = {
    '<summary><span class="toctree-toggle" role="presentation">': '<summary aria-label="Show or hide the pages below">'
    '<span class="toctree-toggle" role="presentation">',
    '<div class="pst-scrollable-table-container">': '<div class="pst-scrollable-table-container" tabindex="0" '
    'role="region" aria-label="Table">',
    'role="doc-biblioentry"': 'role="listitem"',
}


# What a browser fetches by itself on opening a page; plain links (<a href>) are the reader's own choice.
_TAGS = re.compile(r"<(?:script|img|iframe|source|embed)\b[^>]*?\bsrc=[\"']((?:https?:)?//[^\"']+)", re.I)


_LINKS = re.compile(r"<link\b(?![^>]*rel=[\"']canonical)[^>]*?\bhref=[\"']((?:https?:)?//[^\"']+)", re.I)


_STYLES = re.compile(r"(?:@import\s+|url\()\s*[\"']?((?:https?:)?//[^\"')]+)", re.I)


def external_loads(html):
    """Every (file, address) that a page or style sheet below ``html`` would load from the network; empty is right."""
    found = []
    for path in sorted(Path(html).rglob("*")):
        if path.suffix in (".html", ".css") and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            patterns = (_TAGS, _LINKS, _STYLES) if path.suffix == ".html" else (_STYLES,)
            found += [(path, match.group(1)) for pattern in patterns for match in pattern.finditer(text)]
    return found
