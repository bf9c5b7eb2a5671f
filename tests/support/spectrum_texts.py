"""Text files of simulated spectra in many forms, for the page of book.maker.quick_look and for dtl predict."""

import dataclasses
import io
from dataclasses import dataclass

import numpy as np
from astropy import units
from astropy.table import Table

from dtl_core.config import load_profile
from dtl_core.spectra import operators
from dtl_core.synthetic import generation, libraries

POWERS = (94_600, 53_000, 140_000, 42_000, 80_000, 55_000, 61_000, 45_000)
STEPS = (0.01, 0.05, 0.02, 0.07, 0.03, 0.055)  # A, of detector pixels


@dataclass(frozen=True)
class Sample:
    """A file, and what its reader is told: velocity [km/s]; medium and resolving power, unless it states them."""

    name: str
    text: str
    velocity: float
    medium: str = ""
    resolving_power: float | None = None


def samples(n, seed=0):
    """Simulated spectra of random labels, resolving powers, velocities, noise and forms: list of Sample."""
    rng = np.random.default_rng(seed)
    library, window = libraries.load_library("grid_a"), load_profile("demo").window
    labels = np.column_stack([rng.uniform(*ends, n) for ends in ((2700, 4100), (4.6, 5.3), (-0.6, 0.4))])
    raw, vsini = generation.expand(library, labels, "cubic"), rng.choice([1.5, 3.0, 8.0, 15.0], n)
    out = []
    for k in range(n):
        power, step, snr = POWERS[k % len(POWERS)], STEPS[k % len(STEPS)], float(np.exp(rng.uniform(np.log(15), 6)))
        own = dataclasses.replace(window, resolving_power=float(power))
        flux = generation.model_spectra(library.wavelength, raw[k : k + 1], vsini[k : k + 1], own)[0]
        grid = operators.window_grid(window)
        wavelength = np.arange(grid[0] + 1, grid[-1] - 1, step)
        flux = (
            np.interp(wavelength, grid, flux)
            / flux.max()
            * (1 + 0.01 * (wavelength - 8817) - 4e-4 * (wavelength - 8817) ** 2)
        )
        error = np.sqrt(np.maximum(flux, 0.01)) / snr
        flux = 1000 * (flux + rng.normal(0, 1, len(flux)) * error)
        if k % 4 == 1:
            flux[rng.integers(0, len(flux), 3)] *= 3.0  # cosmic rays
        velocity = round(float(rng.uniform(-110, 110)), 2)
        out.append(_FORMS[k % len(_FORMS)](f"star{k:02d}", wavelength, flux, 1000 * error, velocity, power, rng))
    return out


def _moved(wavelength, velocity):
    return operators.doppler_shift(wavelength, velocity)


def _rows(columns, head, mark=",", decimal="."):
    lines = [mark.join(f"{value:.9g}".replace(".", decimal) for value in row) for row in zip(*columns, strict=True)]
    return "\n".join([*head, *lines, ""])


def _ecsv(name, wavelength, flux, error, velocity, power, rng):
    table = Table({"wavelength": _moved(wavelength, velocity).round(5) * units.AA, "flux": flux.round(2)})
    table["uncertainty"] = error.round(3)
    table.meta = {"STAR": name, "RESOLVING_POWER": float(power), "FRAME": "barycentric", "MEDIUM": "vacuum"}
    out = io.StringIO()
    table.write(out, format="ascii.ecsv")
    return Sample(f"{name}.ecsv", out.getvalue(), velocity)


def _air_nm(name, wavelength, flux, error, velocity, power, rng):
    head = [f"# OBJECT: {name}", f"# R: {power}", "# FRAME: barycentric", "# MEDIUM: air", "Wavelength (nm),Flux,Error"]
    air = operators.vacuum_to_air(_moved(wavelength, velocity))
    return Sample(f"{name}.csv", _rows((air / 10, flux, error), head), velocity)


def _bare(name, wavelength, flux, error, velocity, power, rng):
    head = ["% reduced on some night", "# FRAME: barycentric"]
    text = _rows((_moved(wavelength, velocity), flux, error), head, " ")
    return Sample(f"{name}.txt", text, velocity, "vacuum", power)


def _comma(name, wavelength, flux, error, velocity, power, rng):
    head = ["# FRAME: barycentric", "wave_um;flux"]
    text = _rows((_moved(wavelength, velocity) / 1e4, flux), head, ";", ",")
    return Sample(f"{name}.dat", text, velocity, "vacuum", power)


def _masked(name, wavelength, flux, error, velocity, power, rng):
    mask, flux = np.zeros(len(flux), int), flux.copy()
    for _ in range(4):
        first = rng.uniform(8801, 8833)
        mask[(wavelength > first) & (wavelength < first + 0.8)] = 1
    flux[(wavelength > 8812) & (wavelength < 8812.4)] = np.nan
    flux[(wavelength > 8820) & (wavelength < 8820.3)] = 0.0
    head = [f"# R = {power}", "# FRAME: barycentric", "wave_vac\tflux\terr\tmask"]
    return Sample(f"{name}.txt", _rows((_moved(wavelength, velocity), flux, error, mask), head, "\t"), velocity)


def _at_rest(name, wavelength, flux, error, velocity, power, rng):
    head = [f"# R: {power}", "# FRAME: rest", "# MEDIUM: vacuum", "flux,wavelength"]
    return Sample(f"{name}.csv", _rows((flux[::-1], wavelength[::-1]), head), 0.0)  # decreasing


_FORMS = (_ecsv, _air_nm, _bare, _comma, _masked, _at_rest)
