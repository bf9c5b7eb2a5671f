"""Documents made from a run, such as executed notebooks: kept in its store and reused while nothing has changed."""

from __future__ import annotations

import functools

from dtl_core.files import file_hash
from dtl_core.literature import real_stars
from dtl_core.pipeline import records, reproduction
from dtl_core.public_data import registry
from dtl_core.source_code import code_hashes
from dtl_core.synthetic import line_corrections

__all__ = ["document"]


def document(run, name, settings, inputs, compute, maker):
    """The folder of a document: found again while nothing that it can show has changed.

    It depends on the whole run, on all code of ``dtl_core`` and of the module that makes the document, on all packages,
    on the records and the code of the benchmarks, on the published values of real stars, on the corrections of the
    lines, on the last reproduction, and on the available public data.

    Parameters
    ----------
    run : dtl_core.pipeline.results.Run
    name, settings, inputs, compute
        As for :meth:`dtl_core.pipeline.store.Store.stage`.
    maker : str
        Dotted name of the module that makes the document.

    Returns
    -------
    Path
    """
    inputs = inputs | {f"run/{stage}": str(keys) for stage, keys in run.keys.items()}
    inputs |= {f"data/{file}": digest for file, digest in registry.fingerprint().items()}
    inputs |= {"reproduction": (reproduction.last_reproduction(run.store.root) or {}).get("key", "")}
    inputs |= {path.name: file_hash(path) for path in (real_stars.FILE, line_corrections.FILE)}
    inputs |= {f"package/{name}": version for name, version in _packages().items()}
    inputs |= {f"record/{path.name}": file_hash(path) for path in records.FOLDER.glob("*.json")}
    shown = {module for module in code_hashes() if module.split(".")[0] in ("dtl_core", "benchmarks")} | {maker}
    inputs |= {f"code/{module}": digest for module, digest in code_hashes(*sorted(shown)).items()}

    def made(folder):  # defined here, so that the key is the same where a store only names it and nothing is computed
        compute(folder)

    return run.store.stage(name, settings | {"config": run.config}, inputs, made)[0]


@functools.cache
def _packages():
    from importlib.metadata import distributions

    return {found.name.lower(): found.version for found in distributions()}
