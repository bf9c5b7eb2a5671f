"""Numbers that define the two libraries: the spectral window, the physics shared by both, the grid's axes."""

from typing import NamedTuple

import numpy as np

# Output window and step (A, air), and the wider cut of the line lists that supplies the line wings.
WAVE_MIN, WAVE_MAX, WAVE_STEP = 8788.0, 8848.0, 0.02
LINES_MIN, LINES_MAX = 8783.0, 8852.0
N_WAVE = round((WAVE_MAX - WAVE_MIN) / WAVE_STEP) + 1

MICROTURBULENCE = 1.0  # km/s

# Axes of grid A: Teff (K), log10 of the surface gravity (cm/s2), [M/H] (dex).
TEFF_AXIS = np.arange(2300.0, 4501.0, 100.0)
LOGG_AXIS = np.array([4.5, 5.0, 5.5])
MH_AXIS = np.array([-1.0, -0.75, -0.5, -0.25, 0.0, 0.2, 0.4, 0.6])

# Range of labels that the model structures support.
LABEL_RANGES = {"Teff": (2300.0, 4500.0), "log g": (4.5, 5.5), "[M/H]": (-1.0, 0.75)}

# Terrestrial fractions of the titanium isotopes by mass number, and of the carbon isotopes.
TI_FRACTION = {46: 0.0825, 47: 0.0744, 48: 0.7372, 49: 0.0541, 50: 0.0518}
C_FRACTION = {12: 0.9889, 13: 0.0111}

# Solar abundances of Asplund et al. (2009) by atomic number, log10(N/N_H) + 12, as in the atmospheres.
SOLAR_ABUNDANCE = {
    3: 1.05, 4: 1.38, 5: 2.70, 6: 8.43, 7: 7.83, 8: 8.69, 9: 4.56, 10: 7.93, 11: 6.24, 12: 7.60,
    13: 6.45, 14: 7.51, 15: 5.41, 16: 7.12, 17: 5.50, 18: 6.40, 19: 5.03, 20: 6.34, 21: 3.15, 22: 4.95,
    23: 3.93, 24: 5.64, 25: 5.43, 26: 7.50, 27: 4.99, 28: 6.22, 29: 4.19, 30: 4.56, 31: 3.04, 32: 3.65,
    33: 2.30, 34: 3.34, 35: 2.54, 36: 3.25, 37: 2.52, 38: 2.87, 39: 2.21, 40: 2.58, 41: 1.46, 42: 1.88,
    44: 1.75, 45: 0.91, 46: 1.57, 47: 0.94, 48: 1.71, 49: 0.80, 50: 2.04, 51: 1.01, 52: 2.18, 53: 1.55,
    54: 2.24, 55: 1.08, 56: 2.18, 57: 1.10, 58: 1.58, 59: 0.72, 60: 1.42, 62: 0.96, 63: 0.52, 64: 1.07,
    65: 0.30, 66: 1.10, 67: 0.48, 68: 0.92, 69: 0.10, 70: 0.84, 71: 0.10, 72: 0.85, 73: -0.12, 74: 0.85,
    75: 0.26, 76: 1.40, 77: 1.38, 78: 1.62, 79: 0.92, 80: 1.17, 81: 0.90, 82: 1.75, 83: 0.65, 90: 0.02,
    92: -0.54,
}  # fmt: skip


class Spectrum(NamedTuple):
    """A synthetic spectrum on the output window."""

    wave: np.ndarray
    """Wavelength (A, air), shape (N_WAVE,)."""
    norm: np.ndarray
    """Flux over the true continuum."""
    cont: np.ndarray
    """Continuum flux at the stellar surface (erg/s/cm2/A)."""
