"""Time and peak memory of every stage of a profile, from an empty store.

    python benchmarks/profiles.py [profile ...]          default: smoke demo
"""

import sys
import tempfile
import time

from dtl_core import pipeline
from dtl_core.machine import peak_memory


def measure(*profiles):
    """profile -> dict of wall seconds and, by stage, seconds of computing summed over workers and largest memory."""
    out = {}
    for profile in profiles or ("smoke", "demo"):
        with tempfile.TemporaryDirectory() as root:
            start = time.perf_counter()
            run = pipeline.run(profile, root=root, overrides={"survey.real_stars": "no"})
            wall = time.perf_counter() - start
            seconds, memory = run.seconds(), run.peak_memory()
            restarts = run.restarts()
        stages = {
            name: {"seconds": seconds[name], "memory": memory[name], "results": _count(run.keys[name])}
            for name in seconds
        }
        out[profile] = {"wall_seconds": wall, "memory_of_parent": peak_memory(), "stages": stages}
        out[profile] |= {"autoencoders": len(run.architectures), "restarts": restarts}
    return out


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
