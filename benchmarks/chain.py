"""Spectra per second of the whole chain and of the same steps as single library calls, in one run on one core.

The peer takes each step from a well-known library: PyAstronomy for cross-correlation and broadening, specutils for
resampling and the continuum, SciPy for the median filter. Its cross-correlation steps by 2 km/s, then by 0.5 km/s
around the best velocity; ours steps by 0.5 km/s for all templates. The two are interleaved.

    python benchmarks/chain.py [n_spectra] [rounds]
"""

import sys
import time
import warnings

import astropy.units as u
import numpy as np
from astropy.modeling.polynomial import Chebyshev1D
from PyAstronomy import pyasl
from scipy.signal import medfilt
from specutils import Spectrum as SpecutilsSpectrum
from specutils.fitting import fit_generic_continuum
from specutils.manipulation import LinearInterpolatedResampler

from dtl_core.config import load_profile
from dtl_core.preparing import chain, velocity
from dtl_core.reading.readers import Spectrum
from dtl_core.spectra import operators
from dtl_core.synthetic import generation, libraries

POWER = 80_000.0  # of the simulated spectrograph; the run's is 53,000


def detector_spectra(n, config):
    """Spectra of the embedded survey's stars on a detector's pixels, moving, with noise and a blaze."""
    library, rng = libraries.load_library("survey_b"), np.random.default_rng(0)
    sharp = load_profile("paper", {"window.resolving_power": POWER, "window.margin": 6.0}).window
    rows = rng.integers(0, len(library.label), n)
    flux = generation.model_spectra(library.wavelength, library.flux[rows], rng.uniform(2, 10, n), sharp)
    rest, pixels = operators.window_grid(sharp), np.arange(8796.0, 8840.0, 0.035)
    out, velocities = [], rng.uniform(-60, 60, n)
    for row, shift in zip(flux, velocities, strict=True):
        wave = pixels * (1 + shift / operators.C_KMS)
        seen = np.interp(pixels, rest, row) * (1 - ((wave - 8820) / 60) ** 2)
        sigma = np.full(len(wave), np.median(seen) / 150)
        no = np.zeros(len(wave), bool)
        out.append(Spectrum("x", wave, rng.normal(seen, sigma), sigma, no, no, resolving_power=POWER))
    return out, velocities


def library_calls(spectrum, config, template):
    """The chain's steps, each by one call of the usual library: the flux on the window's grid, and the velocity."""
    grid, models, label = template
    known = np.isfinite(models[0])
    wave, flux = spectrum.wavelength, spectrum.flux
    spike = flux - medfilt(flux, 11) > 8 * spectrum.uncertainty
    flux = np.where(spike & (flux > 2 * np.median(flux)), np.median(flux), flux)
    percentiles = [np.percentile(part, 90) for part in np.array_split(flux, 12)]
    middles = [part.mean() for part in np.array_split(wave, 12)]
    flux = flux / np.polyval(np.polyfit(np.array(middles) - wave.mean(), percentiles, 2), wave - wave.mean())
    best = (-np.inf, 0.0)
    limit = config.chain.velocity_limit
    inner = slice(*np.searchsorted(wave, [8804.0, 8830.0]))
    for model in models:
        tw, tf = grid[known], model[known]
        reach = min(limit, 0.99 * operators.C_KMS * (1 - tw[0] / wave[inner][0]), 0.99 * operators.C_KMS * 5 / 8835)
        low, high = -reach, reach
        for step in (2.0, 0.5):
            shifts, height = pyasl.crosscorrRV(wave[inner], 1 - flux[inner], tw, 1 - tf, low, high, step)
            height = height / np.sqrt(np.sum((1 - tf) ** 2))
            low, high = shifts[np.argmax(height)] + np.array([-4.0, 4.0])
        best = max(best, (height.max(), (low + high) / 2))
    rest = wave / (1 + best[1] / operators.C_KMS)
    fine = np.arange(rest[0], rest[-1], np.median(np.diff(rest)))  # PyAstronomy wants equal steps
    even = np.interp(fine, rest, flux)
    power = (config.window.resolving_power**-2 - spectrum.resolving_power**-2) ** -0.5
    even = pyasl.instrBroadGaussFast(fine, even, power, edgeHandling="firstlast")
    linear = operators.window_grid(config.window)
    resampled = LinearInterpolatedResampler(extrapolation_treatment="nan_fill")(
        SpecutilsSpectrum(spectral_axis=fine * u.AA, flux=even * u.one), linear * u.AA
    )
    filled = np.nan_to_num(resampled.flux.value, nan=1.0)
    whole = SpecutilsSpectrum(spectral_axis=linear * u.AA, flux=filled * u.one)
    level = fit_generic_continuum(whole, median_window=301, model=Chebyshev1D(3))(linear * u.AA)
    return filled / level.value, best[1]


def measure(n=20, rounds=3):
    """Rates of both, the ratio [median, least, largest], and the median errors of the velocities: dict."""
    warnings.simplefilter("ignore")
    config = load_profile("paper", {"window.resolving_power": 53_000.0})
    stars, truth = detector_spectra(n, config)
    template = velocity.templates(config.window, config.continuum)
    ours, theirs = [], []
    for _ in range(rounds + 1):  # the first round warms both up
        start = time.perf_counter()
        _, reports, failures = chain.prepare_many(stars, config)
        middle = time.perf_counter()
        found = [library_calls(star, config, template) for star in stars]
        ours.append(n / (middle - start))
        theirs.append(n / (time.perf_counter() - middle))
    ratio = np.array(ours[1:]) / np.array(theirs[1:])
    errors = np.abs([report.velocity for report in reports] - truth), np.abs([v for _, v in found] - truth)
    return {
        "rates": {"dtl_core": float(np.median(ours[1:])), "libraries": float(np.median(theirs[1:]))},
        "ratio": [float(np.median(ratio)), float(ratio.min()), float(ratio.max())],
        "velocity_errors": {"dtl_core": float(np.median(errors[0])), "libraries": float(np.median(errors[1]))},
        "spectra": n,
        "refused": len(failures),
        "rounds": rounds,
    }


def main(n=20, rounds=3):
    found = measure(n, rounds)
    for name, rate in found["rates"].items():
        error = found["velocity_errors"][name]
        print(f"{name:12s} {rate:8.1f} spectra/s, velocity error {error:.3f} km/s in the median")
    print("ratio        {:8.1f} (from {:.1f} to {:.1f})".format(*found["ratio"]), f"({found['refused']} refused)")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
