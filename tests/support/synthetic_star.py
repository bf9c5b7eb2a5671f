"""A synthetic star at rest, as wide as the library goes."""

import functools

import numpy as np

from dtl_core.config import load_profile
from dtl_core.spectra import operators
from dtl_core.synthetic import generation, libraries


@functools.cache
def model(teff=3350.0, logg=4.9, mh=-0.1, vsini=3.0, power=53_000.0):
    """Wavelengths at rest and flux of a synthetic star, A, as wide as the library goes; not normalised, near 1."""
    config = load_profile("smoke", {"window.resolving_power": power, "window.margin": 6.0})
    library = libraries.load_library("grid_a")
    raw = generation.expand(library, [(teff, logg, mh)])
    flux = generation.model_spectra(library.wavelength, raw, np.array([vsini]), config.window)[0]
    return operators.window_grid(config.window), flux / flux.max()
