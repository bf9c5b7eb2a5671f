"""Spectra per second of our vectorised chain against a loop of PyAstronomy calls, in one run, on one core.

Both start from the same raw spectra and do the same work: instrument and rotation, then the window's grid with its
margin. The two are interleaved and the median ratio is printed, with the largest difference of their fluxes.

    python benchmarks/synthesis.py [n_spectra] [rounds]
"""

import sys
import time

import numpy as np
from PyAstronomy import pyasl

from dtl_core.config import load_profile
from dtl_core.spectra import operators
from dtl_core.synthetic import generation, label_grid, libraries


def pyastronomy_loop(wavelength, raw, vsini, window, limb_darkening):
    """The same operation as :func:`dtl_core.synthetic.generation.model_spectra`, one spectrum at a time."""
    fine = np.arange(wavelength[0], wavelength[-1], window.step)
    grid, out = operators.window_grid(window), []
    for flux, rotation in zip(raw, vsini, strict=True):
        flux = operators.resample(wavelength, flux, fine, "spline")
        flux = pyasl.fastRotBroad(fine, flux, limb_darkening, rotation)
        flux = pyasl.instrBroadGaussFast(fine, flux, window.resolving_power)
        out.append(np.interp(grid, fine, flux))
    return np.array(out)


def measure(n=200, rounds=5):
    """Rates of both, the ratio [median, least, largest], and the rate of the whole chain with continuum: dict."""
    config = load_profile("paper")
    library = libraries.load_library("grid_a")
    rng = np.random.default_rng(0)
    labels = label_grid.label_grid(config.synthetic)
    labels = labels[rng.choice(len(labels), n, replace=False)]
    raw, vsini = generation.expand(library, labels), rng.choice(config.synthetic.vsini, n)
    limb = config.synthetic.limb_darkening
    ours, theirs = [], []
    for _ in range(rounds + 1):  # the first round warms both up
        start = time.perf_counter()
        a = generation.model_spectra(library.wavelength, raw, vsini, config.window, limb_darkening=limb)
        middle = time.perf_counter()
        b = pyastronomy_loop(library.wavelength, raw, vsini, config.window, limb)
        ours.append(n / (middle - start))
        theirs.append(n / (time.perf_counter() - middle))
    ratio = np.array(ours[1:]) / np.array(theirs[1:])
    start = time.perf_counter()
    generation.synthetic_set(load_profile("paper", {"synthetic.n_spectra": n}))
    whole = n / (time.perf_counter() - start)
    return {
        "rates": {"dtl_core": float(np.median(ours[1:])), "PyAstronomy": float(np.median(theirs[1:])), "whole": whole},
        "ratio": [float(np.median(ratio)), float(ratio.min()), float(ratio.max())],
        "largest_difference": float(np.abs(a - b).max()),
        "spectra": n,
        "rounds": rounds,
    }


def main(n=200, rounds=5):
    found = measure(n, rounds)
    for name, rate in found["rates"].items():
        print(f"{name:12s} {rate:8.0f} spectra/s")
    print("ratio        {:8.2f} (from {:.2f} to {:.2f})".format(*found["ratio"]))
    print(f"largest difference of flux {found['largest_difference']:.1e}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
