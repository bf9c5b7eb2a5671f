"""Time and peak memory of every stage of a profile, from an empty store.

python benchmarks/profiles.py [profile]          default: smoke
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from dtl_core.errors import DataError
from dtl_core.machine import peak_memory
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import conduct
from dtl_core.pipeline.stages import ENCODERS


def measure(profile, root=None):
    """Measure a run: its seconds, seconds and memory by stage, and its errors.

    Parameters
    ----------
    profile : str
    root : path, optional
        Folder for the results, which must hold none yet; a temporary one by default.

    Returns
    -------
    dict
        Wall-clock seconds and, by stage, the computing seconds summed over workers and the largest memory.
    """
    if root is None:
        with tempfile.TemporaryDirectory() as temporary:
            return measure(profile, temporary)
    if any(Path(root).glob("*/*")):
        raise DataError("has results already, which would take no time", file=root, remedy="name an empty folder")
    start = time.perf_counter()
    run = conduct.run(profile, root=root, overrides={"survey.real_stars": "no"})
    wall = time.perf_counter() - start
    seconds, memory = run.seconds(), run.peak_memory()
    stages = {
        name: {"seconds": seconds[name], "memory": memory[name], "results": _count(run.keys[name])} for name in seconds
    }
    return {"wall_seconds": wall, "memory_of_parent": peak_memory(), "stages": stages} | quality(run)


def quality(run):
    """Test errors of the regressors kept [least, median, largest] and errors on the survey, of a finished run: dict."""
    selection, figures, kept = run.arrays("catalogue", "selection"), run.figures, {}
    for name in PARAMETERS:
        errors = selection[f"test_mse_{name}"][selection[f"kept_{name}"]]
        kept[name] = [float(np.min(errors)), float(np.median(errors)), float(np.max(errors))]
    survey = {
        encoder: {
            name: {what: figures[f"{what}_{name}_{encoder}"] for what in ("rmse", "coverage")} for name in PARAMETERS
        }
        for encoder in ENCODERS
    }
    return {
        "autoencoders": len(run.architectures),
        "restarts": run.restarts(),
        "kept_test_mse": kept,
        "stars": int(figures["n_survey"]),
        "survey": survey,
    }


def _count(keys):
    return 1 if isinstance(keys, str) else len(keys)


def main(profile="smoke"):
    found = measure(profile)
    print(f"{profile}: {found['wall_seconds']:.0f} s")
    for stage, row in found["stages"].items():
        each, memory = row["seconds"] / row["results"], row["memory"] / 1e6
        print(f"  {stage:12s} {row['results']:4d} x {each:8.1f} s {memory:8.0f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
