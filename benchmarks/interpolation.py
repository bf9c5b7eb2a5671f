"""Error of interpolating the embedded grid, as the networks see it, and the speed of both methods, on one core.

First the nodes that are left out and predicted from their neighbours (1e-4 of the continuum), then linear minus cubic
at the centres of the cells, then spectra per second.

    python benchmarks/interpolation.py [n_spectra] [rounds]
"""

import sys
import time

import numpy as np

from dtl_core.config import load_profile
from dtl_core.synthetic import generation, interpolation, label_grid, libraries


def main(n=512, rounds=5):
    config = load_profile("paper")
    network = dict(window=config.window, continuum=config.continuum)
    library = libraries.load_library("grid_a")
    start = time.perf_counter()
    error = interpolation.interpolation_error(library, **network)
    print(f"nodes left out ({time.perf_counter() - start:.1f} s), 1e-4 of the continuum")
    columns = ["rms", "max", "rms_scaled", "max_scaled"]
    print((error.set_index(["method", "axis", "teff", "n"])[columns] * 1e4).round(1).to_string())
    difference = interpolation.interpolation_difference(library, **network)
    print("\nlinear minus cubic at the centres of the cells, 1e-4 of the continuum")
    print((difference.set_index(["teff", "n"]) * 1e4).round(1).to_string())
    rng = np.random.default_rng(0)
    labels = label_grid.label_grid(config.synthetic)
    labels = labels[rng.choice(len(labels), n)]
    print()
    for method in ("linear", "cubic"):
        seconds = []
        for _ in range(rounds + 1):  # the first round warms up
            start = time.perf_counter()
            generation.expand(library, labels, method)
            seconds.append(time.perf_counter() - start)
        print(f"{method:6s} {n / np.median(seconds[1:]):8.0f} spectra/s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
