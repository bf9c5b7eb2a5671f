"""Set B: spectra with MOOG, from the lines of linemake and with another treatment of line damping.

The model structure, its electrons and its depth scale are those of set A (see `turbospectrum`); the
chemistry of the molecules, the continuous opacity, the lines and the transfer are MOOG's.  Solar abundances
are the ones built into MOOG, also of Asplund et al. (2009).
"""

import os
import re
from pathlib import Path

import numpy as np

from .atmospheres import Atmosphere, atmosphere
from .physics import ALPHA_ELEMENTS, USUAL, Physics, changed_moog, moog_damping
from .settings import (
    C_FRACTION,
    N_WAVE,
    TI_FRACTION,
    WAVE_MAX,
    WAVE_MIN,
    WAVE_STEP,
    Spectrum,
)
from .turbospectrum import equation_of_state, run_folder
from .workspace import Workspace, run_program, stop_pass

# Distance (A) within which weak lines are summed, and a little more to cut the list.
REACH = 1.2
_CUT_MARGIN = 0.3

# Species of the chemical equilibrium in addition to MOOG's larger set: YO, ZrO; Y+, Zr+, Na+, K+.
EXTRA_SPECIES = (839.0, 840.0, 39.1, 40.1, 11.1, 19.1)

# MOOG prints the depths in columns of this width.
_DEPTH_WIDTH = 7


def moog_spectrum(work: Workspace, teff: float, logg: float, mh: float, physics: Physics = USUAL) -> Spectrum:
    """LTE spectrum of a label: Teff (K), log g (cgs), [M/H]."""
    model = atmosphere(work, teff, logg, mh, physics)
    with run_folder(work) as folder:
        electrons, log_tau = equation_of_state(work, folder, model, mh, physics)
        (folder / "atm").write_text(model_input(model, electrons, log_tau, mh, physics))
        weak, strong = weak_lines((work.lists / "moog.dat").read_text()), (work.lists / "moog_strong.dat").read_text()
        (folder / "l.dat").write_text(changed_moog(weak, physics))
        (folder / "s.dat").write_text(changed_moog(strong, physics))
        (folder / "batch.par").write_text(parameters_input(moog_damping(physics)))
        for name in ("Barklem.dat", "BarklemUV.dat"):
            os.symlink(work.moog / name, folder / name)
        status, output = run_program([work.moogsilent], cwd=folder)
        depths, continuum = read_depths(folder / "out2"), read_continuum(folder / "out1")
    if status != 0 or len(depths) != N_WAVE or not len(continuum):
        problem = f"{len(depths)} of {N_WAVE} wavelengths for {teff:g} {logg:g} {mh:g}"
        stop_pass(work, "MOOGSILENT", problem, output)
    wave = WAVE_MIN + WAVE_STEP * np.arange(N_WAVE)
    # MOOG gives the flux divided by pi, per cm
    return Spectrum(wave, 1 - depths, np.pi * 1e-8 * np.interp(wave, continuum[:, 0], continuum[:, 1]))


# --------------------------------------------------------------------------------------------- inputs


def model_input(model: Atmosphere, electrons: np.ndarray, log_tau: np.ndarray, mh: float, physics: Physics) -> str:
    """Model structure in MOOG's GENERIC format: tau at 5000 A, T (K), P (dyn/cm2), electrons (1/cm3)."""
    columns = (log_tau, model.temperature, model.pressure, electrons)
    rows = (f"{10**x:12.5e} {t:9.2f} {p:11.4e} {ne:11.4e}\n" for x, t, p, ne in zip(*columns, strict=True))
    extra = "".join(f"{species:10.1f}" for species in EXTRA_SPECIES)
    values = physics.abundances(mh)
    own = [f"{z:10.1f}{values[z]:10.3f}\n" for z in ALPHA_ELEMENTS if physics.alpha]
    return (
        f"GENERIC\nM dwarf\nNTAU      {len(log_tau)}\n5000.0\n{''.join(rows)}"
        f"{physics.microturbulence * 1e5:13.3e}\nNATOMS {len(own):4d} {mh:6.2f}\n{''.join(own)}"
        f"NMOL      {len(EXTRA_SPECIES)}\n{extra}\n"
    )


def weak_lines(text: str) -> str:
    """Cut the weak lines to those that reach into the window; their number sets MOOG's computing time."""
    low, high = WAVE_MIN - REACH - _CUT_MARGIN, WAVE_MAX + REACH + _CUT_MARGIN
    title, *rows = text.splitlines()
    return "\n".join([title] + [row for row in rows if low <= float(row[:10]) <= high]) + "\n"


def parameters_input(damping: int) -> str:
    """MOOG's parameter file, with its option of damping."""
    fractions = {float(f"822.016{a}"): fraction for a, fraction in TI_FRACTION.items()}
    fractions |= {float(f"607.0{a}14"): fraction for a, fraction in C_FRACTION.items()}
    # MOOG divides by the number given
    isotopes = "".join(f"  {species:10.5f}  {1 / fraction:10.4f}\n" for species, fraction in fractions.items())
    return (
        "synth\n"
        "terminal       'x11'\n"
        "standard_out   'out1'\n"
        "summary_out    'out2'\n"
        "model_in       'atm'\n"
        "lines_in       'l.dat'\n"
        "stronglines_in 's.dat'\n"
        "molset        1\n"
        "atmosphere    1\n"
        "molecules     1\n"
        "lines         0\n"
        "flux/int      0\n"
        "strong        1\n"
        f"damping       {damping}\n"
        "freeform      0\n"
        f"isotopes      {len(fractions)}    1\n{isotopes}"
        f"synlimits\n {WAVE_MIN:10.3f} {WAVE_MAX:10.3f} {WAVE_STEP:8.4f} {REACH:8.3f}\n"
    )


# --------------------------------------------------------------------------------------------- outputs


def read_depths(path: Path) -> np.ndarray:
    """Line depths from the summary: they follow the row that begins with the first wavelength.

    They end at the first one that cannot be read, so that the caller sees too few of them.
    """
    rows = path.read_text().split("\n") if path.exists() else []
    starts = [i for i, row in enumerate(rows) if re.match(rf"^\s*{WAVE_MIN:.3f}", row)]
    if not starts:
        return np.empty(0)
    values = []
    for row in rows[starts[0] + 1 :]:
        row = row.rstrip()
        try:
            values += [float(row[i : i + _DEPTH_WIDTH]) for i in range(0, len(row), _DEPTH_WIDTH)]
        except ValueError:
            break
    return np.array(values)


def read_continuum(path: Path) -> np.ndarray:
    """Wavelengths (A) and continuum fluxes from MOOG's standard output, shape (number of steps, 2)."""
    text = path.read_text().replace("D+", "E+") if path.exists() else ""
    pattern = r"AT WAVELENGTH/FREQUENCY =\s*([\d.]+)\s+CONTINUUM FLUX/INTENSITY =\s*([\d.E+-]+)"
    return np.array(re.findall(pattern, text), float).reshape(-1, 2)
