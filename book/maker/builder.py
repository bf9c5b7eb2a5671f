"""The book: notebooks executed by papermill, scalars glued from a run, pages built by jupyter-book, offline.

execute("demo")     notebooks/NN_*.ipynb -> book/notebooks/NN_*.ipynb, with outputs
build()             book/*.md and the executed notebooks -> _build/html
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dtl_core.errors import ConfigError, DataError, DTLError
from dtl_core.files import file_hash, write_atomic

from .documents import document

__all__ = ["build", "execute", "executed", "external_loads", "find_root", "make", "notebooks"]


# Parts of MathJax that no page of ours loads: speech and its dictionaries, other bundles than the one in use.
UNUSED_MATHJAX = ("sre", "a11y", "adaptors", "node-main.js", "latest.js", "*-full*.js", "*-svg.js", "*mml-*.js")


def find_root(root=None):
    """The clone's top folder: ``root`` if given, else that of the installed sources, else the working directory.

    Errors
    ------
    ConfigError : none of them has ``_config.yml`` and ``notebooks/``.
    """
    candidates = [Path(root)] if root else [Path(__file__).resolve().parents[2], Path.cwd()]
    for folder in candidates:
        if (folder / "_config.yml").is_file() and (folder / "notebooks").is_dir():
            return folder
    raise ConfigError(
        "no _config.yml and notebooks/ here", file=candidates[-1], remedy="run in a clone of the repository"
    )


def notebooks(root, only=None):
    """The source notebooks in order; ``only`` keeps those of these names (``04_regression``) or numbers (``04``).

    Errors
    ------
    ConfigError : a name in ``only`` is not a notebook, or there is none at all.
    """
    folder = Path(root) / "notebooks"
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise ConfigError("holds no notebook NN_name.ipynb", file=folder, remedy="restore it from git")
    if only is None:
        return found
    for name in only:
        if name not in [known for path in found for known in (path.stem, path.stem[:2])]:
            names = ", ".join(path.stem for path in found)
            raise ConfigError(f"unknown notebook {name!r}", field="only", remedy=f"choose from {names}")
    return [path for path in found if path.stem in only or path.stem[:2] in only]


def execute(profile, only=None, *, parameters=None, root=None, run=None, workers=1):
    """Run the notebooks and write them with their outputs to ``book/notebooks/``.

    Every parameter is checked against every notebook before the first one runs. While one runs, and when it fails, its
    outputs are in ``NN_name.failed.ipynb``, so that the book never shows half a notebook.

    Arguments
    ---------
    profile : str
        Passed to each notebook as its parameter ``profile``.
    only : list of str, optional
        Names or numbers of the notebooks to run.
    parameters : dict, optional
        Further notebook parameters.
    root : path, optional
        The clone's top folder.
    run : finished Run, optional
        With it a notebook that was executed before, and of which nothing has changed since, is taken from its store.
    workers : int
        Notebooks at once; more than one only where all they need is in the store.

    Returns
    -------
    list of Path, the executed notebooks, in order.

    Errors
    ------
    ConfigError : unknown notebook or parameter.
    DTLError : a cell failed; the message names notebook, cell and error.
    """
    root = find_root(root)
    sources = notebooks(root, only)
    values = {"profile": profile, **(parameters or {})}
    for source in sources:
        _check_parameters(source, values)
    folder = root / "book" / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()

    def one(source):
        begun = time.perf_counter()
        try:
            path, found = _execute_or_find(source, folder, values, root, run)
        except DTLError:
            print(f"notebook {source.stem:<32} failed", flush=True)
            raise
        seconds = f"{time.perf_counter() - begun:7.1f} s"
        print(f"notebook {source.stem:<32} {'unchanged' if found else seconds}", flush=True)
        return path

    with ThreadPoolExecutor(workers) as pool:  # each has a process of its own: its kernel
        futures = [pool.submit(one, source) for source in sources]
        try:
            written = [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    if workers > 1:
        print(f"{'notebooks':<42}{time.perf_counter() - started:7.1f} s", flush=True)
    return written


def _execute_or_find(source, folder, values, root, run):
    """The executed notebook in ``folder``, and whether it was found in the run's store."""
    if run is None:
        return _execute_one(source, folder, values, root), False
    found = True

    def compute(stage):
        nonlocal found
        found = False
        shutil.copyfile(_execute_one(source, folder, values, root), stage / source.name)

    stored = executed(source, values, run, compute)
    return write_atomic(folder / source.name, (stored / source.name).read_bytes()), found


def executed(source, values, run, compute=None):
    """The folder in a run's store with an executed notebook, found or made.

    Arguments: source, path of the notebook; values, its parameters; compute, as for
    :func:`book.maker.documents.document`.
    """
    return document(run, "notebook", {"values": values}, {source.name: file_hash(source)}, compute)


def make(profile, html=True):
    """Run the method, execute the notebooks and write the generated pages; with ``html`` build the book.

    Returns: Path of the first page, or None.
    """
    from dtl_core import machine
    from dtl_core.pipeline import conduct

    from . import pages

    result = conduct.run(profile)
    execute(profile, run=result, workers=machine.affordable_workers())
    pages.write(result)
    return build() if html else None


def _check_parameters(source, values):
    import papermill

    logging.getLogger("papermill").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            known = papermill.inspect_notebook(str(source))
    except Exception as error:  # nbformat and json raise several kinds for a broken file
        problem = f"is not a notebook ({type(error).__name__})"
        raise DataError(problem, file=source, remedy="restore it from git") from None
    for name in values:
        if name not in known:
            remedy = f"its cell tagged 'parameters' sets: {', '.join(known) or 'nothing'}"
            raise ConfigError("unknown notebook parameter", file=source, field=name, remedy=remedy)


# Figures come with a layout of their own; the inline backend would draw each twice to find its margins.
_NO_SECOND_DRAWING = "--InlineBackend.print_figure_kwargs={'bbox_inches': None}"


def _execute_one(source, folder, values, root):
    import papermill
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import DeadKernelError
    from papermill.iorw import write_ipynb

    final, running = folder / source.name, folder / f"{source.stem}.failed.ipynb"
    final.unlink(missing_ok=True)
    remedy = f"see {running.relative_to(root)}"
    try:
        notebook = papermill.execute_notebook(
            str(source),
            str(running),
            parameters=values,
            cwd=str(root),
            kernel_name="python3",
            progress_bar=False,
            extra_arguments=["--IPKernelApp.log_level=CRITICAL", _NO_SECOND_DRAWING],
        )
    except papermill.PapermillExecutionError as error:
        problem = f"{error.ename}: {error.evalue}"
        raise DTLError(problem, file=source, field=f"cell [{error.exec_count}]", remedy=remedy) from None
    except DeadKernelError:
        problem = "the kernel died, most likely out of memory"
        raise DTLError(problem, file=source, remedy="choose a smaller profile") from None
    except NoSuchKernel:
        problem = "no Jupyter kernel 'python3'"
        raise DTLError(problem, file=source, remedy="python -m ipykernel install --sys-prefix") from None
    for cell in notebook.cells:  # the page shows the values in force, not the defaults above them
        if "parameters" in cell.metadata.get("tags", []):
            lines = [line for line in cell.source.splitlines() if line.partition("=")[0].strip() not in values]
            cell.source = "\n".join(lines).strip()  # what was not replaced stays
            cell.metadata.tags += [] if cell.source else ["remove-cell"]
    _steady_names(notebook, source.stem)
    write_ipynb(notebook, str(running))
    os.replace(running, final)
    return final


def _steady_names(notebook, name):
    """Number the tables of pandas and astropy, whose names are random or addresses: two runs give the same bytes."""
    seen = {}
    for data in [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]:
        for kind in data:
            if kind.endswith("text/plain"):
                data[kind] = re.sub(r" at 0x[0-9a-f]+", "", data[kind])
            elif kind.endswith("text/html"):  # what is glued has a prefix
                for given in re.findall(r'<table id="(T_[0-9a-f]{5}|table\d+)"', data[kind]):
                    seen.setdefault(given, f"table_{name}_{len(seen) + 1}")
                    data[kind] = re.sub(rf"\b{given}(?=[\W_])", seen[given], data[kind])


def build(root=None):
    """Build the HTML book from ``book/`` and its executed notebooks; any warning is an error.

    Every page is built anew: a page whose numbers come from a notebook would otherwise keep the old ones. Nothing of an
    earlier book stays.

    Returns
    -------
    Path of ``_build/html/index.html``.

    Errors
    ------
    DTLError : a notebook of the table of contents was not executed, a page of it is missing, jupyter-book warned, or a
        page loads something from the network.
    """
    root = find_root(root)
    for source in notebooks(root):
        if not (root / "book" / "notebooks" / source.name).is_file():
            raise DTLError("has not been executed", file=source, remedy="run dtl book, or make book")
    _check_pages(root)
    if importlib.util.find_spec("jupyter_book") is None:
        raise ConfigError("jupyter-book is not installed", remedy="pip install -e '.[book]'")
    _vendor(root)
    print("pages", " " * 33, end="", flush=True)
    start = time.perf_counter()
    html = root / "_build" / "html"
    for folder in (html, root / "book" / "generated" / "reference"):  # the latter of a build that was interrupted
        shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", "book"]
    command += ["--config", "_config.yml", "--toc", str(root.resolve() / "_toc.yml"), "--path-output", "."]
    command += ["--all", "-W", "-n", "--keep-going"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
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
    print(f"{time.perf_counter() - start:7.1f} s  -> {(html / 'index.html').relative_to(root)}", flush=True)
    return html / "index.html"


def _vendor(root):
    """Put the libraries of the interactive pages where the book finds them, out of their Python packages.

    DataTables comes as a module, which a browser does not load from a disk: it is wrapped in a script that makes one of
    its own text.
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


def _check_pages(root):
    """Refuse a table of contents with a page that is not there, or pages that include one."""
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
                remedy = "run dtl book, or make book" if made else "restore it from git or mend _toc.yml"
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

    Mends besides what the theme leaves out for readers with a keyboard or a screen reader.
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
# What axe-core finds fault with in the theme's pages, and the mended form.
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
