"""Spectra per second of our vectorised chain against a loop of PyAstronomy calls, in one run, on one core.

Both start from the same raw spectra and do the same work: instrument and rotation, then the window's grid with its
margin. The two are interleaved and the median ratio is printed, with the largest difference of their fluxes.

    python benchmarks/synthesis.py [n_spectra] [rounds]
"""

import sys
import time

import numpy as np
from PyAstronomy import pyasl

from dtl_core import spectra, synthetic
from dtl_core.config import load_profile


def pyastronomy_loop(wavelength, raw, vsini, window, limb_darkening):
    """The same operation as ``synthetic.model_spectra``, spectrum by spectrum."""
    fine = np.arange(wavelength[0], wavelength[-1], window.step)
    grid, out = spectra.window_grid(window), []
    for flux, rotation in zip(raw, vsini, strict=True):
        flux = spectra.to_log_grid(wavelength, flux, fine)
        flux = pyasl.fastRotBroad(fine, flux, limb_darkening, rotation)
        flux = pyasl.instrBroadGaussFast(fine, flux, window.resolving_power)
        out.append(np.interp(grid, fine, flux))
    return np.array(out)


def main(n=200, rounds=5):
    config = load_profile("paper")
    library = synthetic.load_library("grid_a")
    rng = np.random.default_rng(0)
    labels = synthetic.label_grid(config.synthetic)
    labels = labels[rng.choice(len(labels), n, replace=False)]
    raw, vsini = synthetic.expand(library, labels), rng.choice(config.synthetic.vsini, n)
    limb = config.synthetic.limb_darkening
    ours, theirs = [], []
    for _ in range(rounds + 1):  # the first round warms both up
        start = time.perf_counter()
        a = synthetic.model_spectra(library.wavelength, raw, vsini, config.window, limb_darkening=limb)
        middle = time.perf_counter()
        b = pyastronomy_loop(library.wavelength, raw, vsini, config.window, limb)
        ours.append(n / (middle - start))
        theirs.append(n / (time.perf_counter() - middle))
    ratio = np.array(ours[1:]) / np.array(theirs[1:])
    print(f"dtl_core     {np.median(ours[1:]):8.0f} spectra/s")
    print(f"PyAstronomy  {np.median(theirs[1:]):8.0f} spectra/s")
    print(f"ratio        {np.median(ratio):8.2f} (from {ratio.min():.2f} to {ratio.max():.2f} in {rounds} rounds)")
    print(f"largest difference of flux {np.abs(a - b).max():.1e}")
    start = time.perf_counter()
    synthetic.synthetic_set(load_profile("paper", {"synthetic.n_spectra": n}))
    print(f"whole chain with continuum {n / (time.perf_counter() - start):.0f} spectra/s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
