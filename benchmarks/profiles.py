"""Time and peak memory of every stage of a profile, from an empty store.

    python benchmarks/profiles.py [profile ...]          default: smoke demo
"""

import sys
import tempfile
import time

import numpy as np

from dtl_core import pipeline
from dtl_core.config import PARAMETERS
from dtl_core.machine import peak_memory


def measure(*profiles):
    """profile -> what :func:`one` measures, each in a store of its own."""
    out = {}
    for profile in profiles or ("smoke", "demo"):
        with tempfile.TemporaryDirectory() as root:
            out[profile] = one(profile, root)
    return out


def one(profile, root):
    """Wall seconds and, by stage, seconds of computing summed over workers and largest memory; how well it did: dict.

    Arguments: root, a folder for the results, empty.
    """
    start = time.perf_counter()
    run = pipeline.run(profile, root=root, overrides={"survey.real_stars": "no"})
    wall = time.perf_counter() - start
    seconds, memory = run.seconds(), run.peak_memory()
    stages = {
        name: {"seconds": seconds[name], "memory": memory[name], "results": _count(run.keys[name])} for name in seconds
    }
    out = {"wall_seconds": wall, "memory_of_parent": peak_memory(), "stages": stages}
    selection, kept = run.arrays("catalogue", "selection"), {}
    for name in PARAMETERS:
        errors = selection[f"test_mse_{name}"][selection[f"kept_{name}"]]
        kept[name] = [float(np.min(errors)), float(np.median(errors)), float(np.max(errors))]
    figures = run.figures
    survey = {
        arm: {name: {what: figures[f"{what}_{name}_{arm}"] for what in ("rmse", "coverage")} for name in PARAMETERS}
        for arm in ("transfer", "direct")
    }
    return out | {
        "autoencoders": len(run.architectures),
        "restarts": run.restarts(),
        "kept_test_mse": kept,
        "stars": len(run.stars),
        "survey": survey,
    }


def _count(keys):
    return 1 if isinstance(keys, str) else len(keys)


def main(*profiles):
    for profile, found in measure(*profiles).items():
        print(f"{profile}: {found['wall_seconds']:.0f} s")
        for stage, row in found["stages"].items():
            each, memory = row["seconds"] / row["results"], row["memory"] / 1e6
            print(f"  {stage:12s} {row['results']:4d} x {each:8.1f} s {memory:8.0f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
