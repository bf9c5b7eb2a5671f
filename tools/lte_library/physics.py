"""Departures of a spectrum's physics from that of the libraries: opacities, abundances, damping, structure.

The two libraries share model structures, TiO and FeH lines, [alpha/M] = 0 and a microturbulence of 1 km/s.  Real
stars share none of this with a model.  `Physics` changes it star by star; its defaults are the libraries' own.
"""

import re
from typing import NamedTuple

import numpy as np

from .settings import MICROTURBULENCE, SOLAR_ABUNDANCE
from .workspace import stop

# O, Ne, Mg, Si, S, Ar, Ca and Ti, by atomic number.
ALPHA_ELEMENTS = (8, 10, 12, 14, 16, 18, 20, 22)

# log10 of the Rosseland depth at which `Physics.upper` is reached; it grows linearly in log10 from depth 1.
_UPPER_LOG_TAU = -4.0

# A row of a line list of Turbospectrum: wavelength and energy, log gf, van der Waals parameter, the rest.
_ROW = re.compile(r"^(\s*\S+\s+\S+)(\s+\S+)(\s+\S+)(.*)$")


class Physics(NamedTuple):
    """Departures from the physics of the libraries; a default is the library's own value."""

    microturbulence: float = MICROTURBULENCE
    """km/s"""
    alpha: float = 0.0
    """[alpha/M] of `ALPHA_ELEMENTS` (dex), in the gas; the model structures keep 0."""
    tio: float = 1.0
    """Factor of the strengths of TiO lines."""
    feh: float = 1.0
    """Factor of the strengths of FeH lines."""
    atoms: float = 1.0
    """Factor of the strengths of atomic lines."""
    unsold: float = 0.0
    """Van der Waals damping of atomic lines: Unsold's approximation times this factor; 0 is as listed."""
    upper: float = 0.0
    """Relative change of the temperature at log10 tau_Rosseland = -4, linear in log10 tau from 0 at tau = 1."""

    def abundances(self, mh: float) -> dict[int, float]:
        """log10(N/N_H) + 12 by atomic number."""
        return {z: value + mh + (self.alpha if z in ALPHA_ELEMENTS else 0.0) for z, value in SOLAR_ABUNDANCE.items()}

    def factor(self, kind: str) -> float:
        """Factor of the strengths of the lines of a kind: atoms, tio, feh or cn."""
        return {"atoms": self.atoms, "tio": self.tio, "feh": self.feh}.get(kind, 1.0)

    @property
    def changes_lines(self) -> bool:
        """Whether line lists differ from the usual ones."""
        return (self.atoms, self.tio, self.feh, self.unsold) != (1.0, 1.0, 1.0, 0.0)

    def temperature_factor(self, log_tau: np.ndarray) -> np.ndarray:
        """Factor of the temperature at each depth."""
        return 1 + self.upper * np.clip(log_tau / _UPPER_LOG_TAU, 0, 1)


USUAL = Physics()


def changed_list(text: str, kind: str, physics: Physics) -> str:
    """A line list of Turbospectrum, of atoms, tio, feh or cn, with other strengths and damping."""
    change = np.log10(physics.factor(kind))
    damping = physics.unsold if kind == "atoms" else 0.0

    def changed(row: str) -> str:
        if row.startswith("'"):
            return row
        start, loggf, width, rest = _ROW.match(row).groups()
        return f"{start} {float(loggf) + change:.3f} {f'{damping:.3f}' if damping else width}{rest}"

    return "".join(changed(row) + "\n" for row in text.splitlines())


def changed_moog(text: str, physics: Physics) -> str:
    """Lines in the fixed columns of MOOG with other strengths; a title stays as it is."""

    def changed(row: str) -> str:
        if not row[:10].strip().replace(".", "").isdigit():
            return row
        species = float(row[10:20])
        kind = {822: "tio", 126: "feh", 607: "cn"}.get(int(species), "atoms")
        return f"{row[:30]}{float(row[30:40]) + np.log10(physics.factor(kind)):10.3f}{row[40:]}"

    return "".join(changed(row) + "\n" for row in text.splitlines())


def moog_damping(physics: Physics) -> int:
    """MOOG's damping option: 1 is Barklem's tables where they hold the line, 0 is Unsold's approximation."""
    if physics.unsold not in (0.0, 1.0):
        stop(f"damping of {physics.unsold:g} times Unsold's is not available in MOOG", remedy="choose 0 or 1")
    return 0 if physics.unsold else 1
