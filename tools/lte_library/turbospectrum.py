"""Set A: spectra with Turbospectrum, and the equation of state that both sets use.

The model structures hold T and P only.  A first pass of Turbospectrum's program babsma_lu finds the
electron pressure that fits them in its own chemistry; a second pass, on the structure with those electrons,
computes the continuous opacity and the optical depth at 5000 A.  The program bsyn_lu then adds the lines
and solves for the emergent flux.  Set B starts from the same electrons and depths.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .atmospheres import Atmosphere, atmosphere
from .physics import USUAL, Physics, changed_list
from .settings import N_WAVE, WAVE_MAX, WAVE_MIN, WAVE_STEP, Spectrum
from .workspace import Workspace, run_program, stop_pass

BOLTZMANN = 1.38066e-16  # erg/K

LISTS = ("atoms", "tio", "feh", "cn")

# The continuous opacity reaches this far (A) beyond the window, for interpolation up to the edges.
_OPACITY_MARGIN = 2.0


def turbospectrum_spectrum(work: Workspace, teff: float, logg: float, mh: float, physics: Physics = USUAL) -> Spectrum:
    """LTE spectrum of a label: Teff (K), log g (cgs), [M/H]."""
    model = atmosphere(work, teff, logg, mh, physics)
    with run_folder(work, physics) as folder:
        equation_of_state(work, folder, model, mh, physics)
        status, output = run_program([work.bsyn], cwd=folder, stdin=bsyn_input(mh, physics))
        columns = read_columns(folder / "out.spec")
    if status != 0 or columns.shape != (N_WAVE, 3):
        stop_pass(work, "bsyn_lu", f"{len(columns)} of {N_WAVE} wavelengths for {teff:g} {logg:g} {mh:g}", output)
    wave, norm, flux = columns.T
    return Spectrum(wave, norm, flux / norm)


def read_columns(path: Path) -> np.ndarray:
    """Wavelength, flux over continuum and flux of a result of bsyn_lu, shape (n, 3); empty if unreadable."""
    try:
        return np.loadtxt(path, ndmin=2)
    except (OSError, ValueError):
        return np.empty((0, 3))


@contextmanager
def run_folder(work: Workspace, physics: Physics = USUAL) -> Iterator[Path]:
    """A scratch folder with links to what the programs look for; their own paths may not be long."""
    with tempfile.TemporaryDirectory(prefix="lte_") as name:
        folder = Path(name)
        os.symlink(work.turbospectrum_data, folder / "DATA")
        if physics.changes_lines:
            (folder / "lists").mkdir()
            for kind in LISTS:
                text = (work.lists / f"{kind}.list").read_text()
                (folder / f"lists/{kind}.list").write_text(changed_list(text, kind, physics))
        else:
            os.symlink(work.lists, folder / "lists")
        yield folder


def equation_of_state(
    work: Workspace, folder: Path, model: Atmosphere, mh: float, physics: Physics
) -> tuple[np.ndarray, np.ndarray]:
    """Electron densities (1/cm3) and log10 tau at 5000 A; leaves the opacities in the file m.opac."""
    electrons = electron_density(work, folder, model, mh, physics)
    return electrons, optical_depth(work, folder, model, electrons, mh, physics)


def electron_density(
    work: Workspace, folder: Path, model: Atmosphere, mh: float, physics: Physics = USUAL
) -> np.ndarray:
    """Electron density (1/cm3) for T and P, from babsma_lu in its 'alva' mode.

    That mode reads T, P, a geometrical depth (cm) and the microturbulence (km/s), and solves for the electron
    pressure.  The depth affects only quantities that are not used here, so any decreasing one will do.
    """
    depths = len(model.temperature)
    rows = (
        f"{t:10.2f} {p:12.5e} {1e9 - 1e5 * k:14.7e} {physics.microturbulence:5.2f}\n"
        for k, (t, p) in enumerate(zip(model.temperature, model.pressure, strict=True))
    )
    (folder / "a.mod").write_text(f"'alva' {depths} 5000. 5.0 0 0.\n" + "".join(rows))
    # the electrons do not depend on wavelength: one Angstrom is enough
    status, output = run_program(
        [work.babsma], cwd=folder, stdin=babsma_input("a.mod", "a.opac", mh, physics, 8800, 8801)
    )
    pressures = re.findall(r"tau,T,Pe,Pg,ro\s+\d+\s+\S+\s+\S+\s+([\d.E+-]+)", output)
    if status != 0 or len(pressures) != depths:
        problem = f"pass 1 gave the electron pressure at {len(pressures)} of {depths} depths"
        stop_pass(work, "babsma_lu", problem, output)
    return np.array(pressures, float) / (BOLTZMANN * model.temperature)


def optical_depth(
    work: Workspace, folder: Path, model: Atmosphere, electrons: np.ndarray, mh: float, physics: Physics
) -> np.ndarray:
    """log10 tau at 5000 A, and the continuous opacity in m.opac, from babsma_lu in its 'KURUCZ' mode."""
    depths = len(electrons)
    # the last column, the Rosseland opacity, is not used
    rows = (
        f"{r:15.8e} {t:9.2f} {p:11.4e} {ne:11.4e} {1.0:11.4e}\n"
        for r, t, p, ne in zip(model.rhox, model.temperature, model.pressure, electrons, strict=True)
    )
    header = f"TEFF   0.  GRAVITY 0.0 LTE\nTITLE\nREAD DECK6{depths:3d} RHOX,T,P,XNE,ABROSS\n"
    (folder / "m.mod").write_text(header + "".join(rows))
    low, high = WAVE_MIN - _OPACITY_MARGIN, WAVE_MAX + _OPACITY_MARGIN
    status, output = run_program(
        [work.babsma], cwd=folder, stdin=babsma_input("m.mod", "m.opac", mh, physics, low, high)
    )
    # the program prints the model that it has converted: a title, a heading, one row for each depth
    table = output.partition("KURUCZ model converted to")[2].split("\n")[2 : 2 + depths]
    try:
        log_tau = np.array([row.split()[0] for row in table], float)
    except (IndexError, ValueError):
        log_tau = np.empty(0)
    if status != 0 or len(log_tau) != depths:
        stop_pass(work, "babsma_lu", f"pass 2 gave the optical depth at {len(log_tau)} of {depths} depths", output)
    return log_tau


# --------------------------------------------------------------------------------------------- inputs


def composition_input(mh: float, physics: Physics) -> str:
    """Abundances as both programs read them: the solar ones, shifted by [M/H], and some by [alpha/M]."""
    values = physics.abundances(mh)
    abundances = "".join(f"{z} {value:.3f}\n" for z, value in values.items())
    return (
        f"'METALLICITY:'    '{mh:.3f}'\n"
        "'ALPHA/Fe   :'    '0.00'\n"
        "'HELIUM     :'    '0.00'\n"
        "'R-PROCESS  :'    '0.00'\n"
        "'S-PROCESS  :'    '0.00'\n"
        f"'INDIVIDUAL ABUNDANCES:'   '{len(values)}'\n{abundances}"
    )


def babsma_input(model: str, opacity: str, mh: float, physics: Physics, low: float, high: float) -> str:
    """Input of babsma_lu: model file, opacity file to write, [M/H] and wavelength range (A)."""
    return (
        f"'LAMBDA_MIN:'  '{low:.3f}'\n"
        f"'LAMBDA_MAX:'  '{high:.3f}'\n"
        "'LAMBDA_STEP:' '1.0'\n"
        f"'MODELINPUT:' '{model}'\n"
        "'MARCS-FILE:' '.false.'\n"
        f"'MODELOPAC:' '{opacity}'\n"
        f"{composition_input(mh, physics)}"
        f"'XIFIX:' 'T'\n{physics.microturbulence}\n"
    )


def bsyn_input(mh: float, physics: Physics = USUAL) -> str:
    """Input of bsyn_lu: plane-parallel LTE flux on the output window, terrestrial isotopes."""
    lists = "".join(f"lists/{name}.list\n" for name in LISTS)
    return (
        "'NLTE :'          '.false.'\n"
        f"'LAMBDA_MIN:'     '{WAVE_MIN:.3f}'\n"
        f"'LAMBDA_MAX:'     '{WAVE_MAX:.3f}'\n"
        f"'LAMBDA_STEP:'    '{WAVE_STEP}'\n"
        "'INTENSITY/FLUX:' 'Flux'\n"
        "'ABFIND        :' '.false.'\n"
        "'MODELOPAC:' 'm.opac'\n"
        "'RESULTFILE :' 'out.spec'\n"
        f"{composition_input(mh, physics)}"
        "'ISOTOPES : ' '0'\n"
        f"'NFILES   :' '{len(LISTS)}'\n{lists}"
        "'SPHERICAL:'  'F'\n  30\n  300.00\n  15\n  1.30\n"
    )
