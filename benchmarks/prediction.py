"""Stars per second from fluxes to estimates with the ensemble of a run, and memory, as the number of stars grows.

Fluxes of the run's stars are repeated, and made on demand. Memory is the largest total of this process and its workers.

    python benchmarks/prediction.py [profile] [folder of results] [largest]          e.g. demo results 1e6
"""

import os
import sys
import time

import numpy as np

from dtl_core.estimates.density import kde_mode
from dtl_core.machine import affordable_workers, tree_memory
from dtl_core.models.ensemble import Ensemble, estimate_stream
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import conduct

CHUNK = 256


def resident():
    """Memory of this process and its children now, bytes; nan where there is no /proc."""
    return float(sum(tree_memory(os.getpid()))) or float("nan")


def chunks(flux, n, memory):
    for start in range(0, n, CHUNK):
        memory.append(resident())
        yield flux[np.arange(start, min(start + CHUNK, n)) % len(flux)]


def measure(profile="demo", root=None, largest=None):
    """Measure rates and memory.

    Parameters
    ----------
    profile : str, optional
    root : path, optional
        Folder of results; those that are missing are computed.
    largest : int, optional
        Largest number of stars: a million for the small profiles by default, ten thousand for the others.

    Returns
    -------
    dict
    """
    run = conduct.run(profile, root=root, overrides={"survey.real_stars": "no"})
    return rates(run, largest or (10**6 if profile in ("smoke", "demo") else 10**4))


def rates(run, largest):
    """Measure the rates and the memory of a finished run, as :func:`measure` does."""
    flux, workers, rows = run.observed, affordable_workers(), []
    sizes = [n for n in (10**2, 10**3, 10**4, 10**5, 10**6) if n <= largest]
    for n in sizes:
        memory, done, first = [], 0, None
        start = time.perf_counter()
        for part in estimate_stream(run, chunks(flux, n, memory), workers=workers):
            done += len(part)
            memory.append(resident())  # the workers have loaded their networks by now
            first = first or time.perf_counter() - start
        seconds = time.perf_counter() - start
        rows.append({"stars": done, "seconds": seconds, "until_first": first, "memory": max(memory)})
        print(f"{n} stars: {seconds:.1f} s", file=sys.stderr, flush=True)
    ensemble, some = Ensemble(run), flux[: min(len(flux), CHUNK)]
    ensemble.votes(some)
    start = time.perf_counter()
    votes = ensemble.votes(some)
    networks = time.perf_counter() - start
    start = time.perf_counter()
    settings = run.config.estimate
    for name in PARAMETERS:
        kde_mode(votes[name], grid_size=settings.grid_size, rule=settings.bandwidth)
    densities = time.perf_counter() - start
    biggest = rows[-1]
    later, took = biggest["stars"] - CHUNK, biggest["seconds"] - biggest["until_first"]  # without the start
    return {
        "workers": workers,
        "autoencoders": len(run.architectures),
        "regressors": int(sum(len(votes[name]) for name in PARAMETERS)),
        "pixels": int(flux.shape[1]),
        "rows": rows,
        "stars_per_second": later / took if later > 0 else biggest["stars"] / biggest["seconds"],
        "network_share": networks / (networks + densities),
    }


def main(profile="demo", root=None, largest=None):
    found = measure(profile, root, largest and int(float(largest)))
    print(f"{found['autoencoders']} autoencoders, {found['regressors']} regressors, {found['workers']} workers")
    for row in found["rows"]:
        print(f"{row['stars']:8d} stars {row['seconds']:8.1f} s, at most {row['memory'] / 1e9:.2f} GB")
    print(f"{found['stars_per_second']:.0f} stars/s; networks take {found['network_share']:.0%} of the time")


if __name__ == "__main__":
    main(*sys.argv[1:])
