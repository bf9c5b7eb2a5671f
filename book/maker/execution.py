"""Notebooks executed by papermill: ``notebooks/NN_*.ipynb`` to ``book/notebooks/NN_*.ipynb``, with outputs."""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

from dtl_core.errors import ConfigError, DataError, DTLError
from dtl_core.files import file_hash, write_atomic

from .clone import find_root, notebooks
from .documents import document

__all__ = ["execute", "executed"]


def execute(profile, only=None, *, parameters=None, root=None, run=None, workers=1):
    """Run the notebooks and write them with their outputs to ``book/notebooks/``.

    Every parameter is checked against every notebook before the first one runs. While one runs, and when it fails, its
    outputs are in ``NN_name.failed.ipynb``, so that the book never shows half a notebook.

    Parameters
    ----------
    profile : str
        Passed to each notebook as its parameter ``profile``.
    only : list of str, optional
        Names or numbers of the notebooks to run.
    parameters : dict, optional
        Further notebook parameters.
    root : path, optional
        The clone's top folder.
    run : finished Run, optional
        If given, a notebook that was executed before and has not changed since is taken from its store.
    workers : int
        Notebooks at once; more than one only where all they need is in the store.

    Returns
    -------
    list of Path
        The executed notebooks, in order.

    Raises
    ------
    ConfigError
        Unknown notebook or parameter.
    DTLError
        A cell failed; the message names notebook, cell and error.
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
    """Find the folder with an executed notebook in a run's store, or make it.

    Parameters
    ----------
    source : pathlib.Path
        The notebook.
    values : dict
        Its parameters.
    run : dtl_core.pipeline.stored.Run
    compute : callable, optional
        As for :func:`book.maker.documents.document`.

    Returns
    -------
    pathlib.Path
    """
    return document(run, "notebook", {"values": values}, {source.name: file_hash(source)}, compute, __name__)


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
