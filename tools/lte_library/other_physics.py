"""Stars and spectra of other physics, for the surveys C of the benchmark and for the sensitivities.

The stars are drawn independently of the training labels.  Magnitudes are uniform in M_Ks; [M/H] and [alpha/M] depend on
the kinematic population as in the solar neighbourhood; mass and radius follow Mann et al. (2019, 2015) with their
scatter, and log g follows from them; Teff follows from radius and [M/H] (Mann et al. 2015), where that relation is
monotonic. Microturbulence is drawn star by star.  Each survey has opacities, damping and structure of its own.
"""

from typing import NamedTuple

import numpy as np

from dtl_core.estimates.photometry import SOLAR_LOGG, from_magnitude

from .physics import Physics

# What all stars of a survey have in common, by the code that computes it.
COMMON = {
    "A": Physics(tio=0.75, feh=1.4, unsold=1.0),
    "B": Physics(tio=1.25, feh=0.7, unsold=1.0, upper=-0.03),
}
SEEDS = {"A": 1, "B": 2}
N_STARS = 200

# Share of each population, mean and scatter of its [M/H], and [alpha/M] at [M/H] = 0 with its slope and scatter: round
# values after Bensby et al. (2014, A&A 562, A71) for stars near the Sun.
POPULATIONS = {
    "YD": (0.15, 0.02, 0.12, 0.00, -0.05, 0.02),
    "D": (0.65, -0.05, 0.20, 0.02, -0.10, 0.03),
    "TD-D": (0.10, -0.20, 0.20, 0.10, -0.10, 0.05),
    "TD": (0.10, -0.50, 0.20, 0.22, -0.05, 0.05),
}

# Teff (K) and radius (Rsun) at [Fe/H] = 0: the cubic of Mann et al. (2015, Table 1) where it is monotonic, and
# straight lines to the faintest and the brightest star, which that relation does not reach.
_CUBIC, _FEH_FACTOR = (16.7700, -54.3210, 57.6627, -19.6994), 0.4565
_TEFF = np.array([2600.0, *np.arange(2900.0, 3901.0, 50.0), 4300.0])
_RADIUS = np.array([0.1156, *np.polynomial.polynomial.polyval(np.arange(2900.0, 3901.0, 50.0) / 3500, _CUBIC), 0.685])
_TEFF_SCATTER = 40.0  # K

# Nodes and changes of the sensitivities.
SENSITIVITY_TEFF = np.array([2600.0, 2800.0, 3000.0, 3200.0, 3400.0, 3600.0, 3850.0, 4100.0, 4400.0])
SENSITIVITY_MH = np.array([-0.75, -0.25, 0.25])
CHANGES = {
    "microturbulence 0.3": Physics(microturbulence=0.3),
    "microturbulence 2": Physics(microturbulence=2.0),
    "alpha -0.2": Physics(alpha=-0.2),
    "alpha 0.3": Physics(alpha=0.3),
    "tio 0.7": Physics(tio=0.7),
    "tio 1.4": Physics(tio=1.4),
    "feh 0.7": Physics(feh=0.7),
    "feh 1.4": Physics(feh=1.4),
    "atoms 1.25": Physics(atoms=1.25),
    "unsold": Physics(unsold=1.0),
    "upper -0.03": Physics(upper=-0.03),
}


class Stars(NamedTuple):
    """Stars with all that their spectra depend on."""

    label: np.ndarray
    """Teff (K), log g (cgs) and [M/H] of each star, shape (n, 3)."""
    population: np.ndarray
    mass: np.ndarray
    """Solar masses."""
    radius: np.ndarray
    """Solar radii."""
    physics: list[Physics]


def draw_stars(code: str, n: int = N_STARS) -> Stars:
    """Draw the stars of survey C of one code; see the module."""
    rng = np.random.default_rng([2024, SEEDS[code]])
    rows = []
    while len(rows) < n:
        name = rng.choice(list(POPULATIONS), p=[values[0] for values in POPULATIONS.values()])
        _, mean, scatter, alpha, slope, alpha_scatter = POPULATIONS[name]
        mh = rng.normal(mean, scatter)
        found = from_magnitude(rng.uniform(4.7, 9.8), 0.0, mh)
        mass, radius = rng.normal(found["mass"], found["e_mass"]), rng.normal(found["radius"], found["e_radius"])
        teff = np.interp(radius / (1 + _FEH_FACTOR * mh), _RADIUS, _TEFF) + rng.normal(0, _TEFF_SCATTER)
        logg = SOLAR_LOGG + np.log10(mass) - 2 * np.log10(radius)
        own = COMMON[code]._replace(
            alpha=round(alpha + slope * mh + rng.normal(0, alpha_scatter), 3),
            microturbulence=round(rng.uniform(0.4, 2.0), 2),
        )
        # the libraries' range, with a margin
        if 2620 < teff < 4400 and 4.6 < logg < 5.45 and -0.95 < mh < 0.55:
            rows.append((name, teff, logg, mh, mass, radius, own))
    population, teff, logg, mh, mass, radius, physics = zip(*rows, strict=True)
    label = np.column_stack([np.round(teff, 1), np.round(logg, 3), np.round(mh, 3)])
    return Stars(label, np.array(population), np.round(mass, 4), np.round(radius, 4), list(physics))


def sensitivity_labels() -> np.ndarray:
    """Labels of the nodes of the sensitivities, on the main sequence, shape (n, 3)."""
    grid = np.array([(teff, mh) for teff in SENSITIVITY_TEFF for mh in SENSITIVITY_MH])
    magnitude = np.linspace(9.8, 4.6, 400)
    logg = []
    for teff, mh in grid:
        known = from_magnitude(magnitude, 0.0, mh)
        temperature = np.interp(known["radius"] / (1 + _FEH_FACTOR * mh), _RADIUS, _TEFF)
        logg.append(np.interp(teff, temperature, known["logg"]))
    return np.column_stack([grid[:, 0], np.round(logg, 3), grid[:, 1]])
