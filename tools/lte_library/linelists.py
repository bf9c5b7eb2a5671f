"""Line lists of both codes, cut to the window, and the reconstruction of 48TiO.

The packaged TiO list (Plez 1998) holds 46, 47, 49 and 50TiO but not 48TiO, which is 74 % of terrestrial TiO.
For a given transition, log gf is the same in all isotopologues of that list, while wavenumber and lower
energy change almost linearly with ``rho = mu**-0.5``, where mu is the reduced mass.  So the four
isotopologues of one transition lie on a straight line against rho, and 48TiO is the point of this line at the rho of
48TiO.  Weighted by strength, 96-98 % of the transitions are recovered.

A molecular line is a tuple (air wavelength A, lower energy eV, log gf).
"""

import gzip
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from .settings import LINES_MAX, LINES_MIN, SOLAR_ABUNDANCE
from .workspace import Workspace, replacing_folder, stop

MolecularLine = tuple[float, float, float]

TI_MASS = {46: 45.95262772, 47: 46.95175879, 48: 47.94794198, 49: 48.94786568, 50: 49.94478689}  # u
O_MASS = 15.99491462  # u
RHO = {a: ((mass * O_MASS) / (mass + O_MASS)) ** -0.5 for a, mass in TI_MASS.items()}
TIO_DISSOCIATION = 6.870  # eV

# Wavelengths (A) between which the isotopologues are matched: isotope shifts reach beyond the window.
_TIO_MIN, _TIO_MAX = 8640.0, 9000.0

# Unit of distance in (wavenumber 1/cm, lower energy eV, log gf): what rounding and curvature may add up to.
_UNIT = np.array([0.03, 0.0015, 0.0008])
# Largest difference between two isotopologues of one transition, in the same quantities.
_REACH = np.array([60.0, 0.065, 0.0008])

# Number of neutral atomic lines that MOOG treats as strong, over the whole window.
_N_STRONG = 30


class MatchPass(NamedTuple):
    """One search for transitions: a pair of isotopologues spans the line on which others are looked for."""

    ends: tuple[int, int]
    between: tuple[int, ...]
    tolerance: float
    """Largest distance of each isotopologue from the line, in units of `_UNIT`."""


# Complete quadruples first; then triples, with a smaller tolerance because fewer members confirm each other.
MATCH_PASSES = (
    MatchPass((46, 50), (47, 49), 5.0),
    MatchPass((46, 49), (47,), 2.0),
    MatchPass((47, 50), (49,), 2.0),
    MatchPass((46, 50), (47,), 2.0),
    MatchPass((46, 50), (49,), 2.0),
)


class MoogLine(NamedTuple):
    """A line in MOOG's terms; the fields are in the order by which the list is sorted."""

    wave: float
    """Air wavelength (A)."""
    species: str
    """Code of the atom and ion, or of the molecule and isotopologue."""
    energy: float
    """Lower energy (eV)."""
    loggf: float
    dissociation: float
    """Dissociation energy (eV) of a molecule, 0 for an atom."""

    @property
    def is_molecule(self) -> bool:
        """Whether the species code is that of a molecule."""
        return float(self.species) > 100

    @property
    def is_neutral_atom(self) -> bool:
        """Whether the line belongs to a neutral atom."""
        return not self.is_molecule and float(self.species) % 1 < 0.05

    @property
    def strength(self) -> float:
        """Rough log10 strength in an M dwarf: abundance times gf times a Boltzmann factor at 3600 K."""
        abundance = SOLAR_ABUNDANCE.get(int(float(self.species)), -9) - 12
        return abundance + self.loggf - 1.4 * self.energy


def prepare_lists(work: Workspace) -> str:
    """Write the line lists of both codes and return a line that counts them."""
    minor = read_tio(work)
    tio = {a: in_window(lines) for a, lines in {**minor, 48: rebuild_48tio(minor)}.items()}
    feh = read_molecule(work, "feh")
    atoms, n_atoms = cut_ges_list(work.ges_list)
    weak, strong = split_strong(moog_lines(work, tio))
    with replacing_folder(work.lists) as part:
        (part / "atoms.list").write_text(atoms)
        (part / "tio.list").write_text(
            "".join(turbospectrum_block(f"0822.0000{a}", f"{a}TiO Plez", tio[a]) for a in sorted(tio))
        )
        (part / "feh.list").write_text(turbospectrum_block("0126.000000", "FeH", feh))
        (part / "cn.list").write_text(
            turbospectrum_block("0607.012014", "12C14N", read_molecule(work, "cn", "607.01214"))
            + turbospectrum_block("0607.013014", "13C14N", read_molecule(work, "cn", "607.01314"))
        )
        (part / "moog.dat").write_text("lines\n" + moog_block(weak))
        (part / "moog_strong.dat").write_text(moog_block(sorted(strong)))
    counts = ", ".join(f"{len(tio[a])} of {a}TiO" for a in sorted(tio))
    return f"line lists: {n_atoms} atomic lines of set A, {len(weak) + len(strong)} lines of set B; {counts}"


# --------------------------------------------------------------------------------------------- 48TiO


def rebuild_48tio(minor: dict[int, list[MolecularLine]]) -> list[MolecularLine]:
    """48TiO from the lists of the other four isotopologues.

    Parameters
    ----------
    minor : dict
        Lines by the mass number of titanium, 46, 47, 49 and 50.

    Returns
    -------
    list
        Lines of 48TiO, sorted by wavelength.
    """
    points = {a: line_points(lines) for a, lines in minor.items()}
    used = {a: set() for a in points}
    transitions = []
    for search in MATCH_PASSES:
        for match in sorted(match_candidates(points, used, search), key=lambda found: found[0]):
            members = match[1]
            # the best match takes its lines; a line belongs to one transition only
            if any(i in used[a] for a, i in members.items()):
                continue
            for a, i in members.items():
                used[a].add(i)
            transitions.append(members)
    return sorted(interpolate_48tio(points, members) for members in transitions)


def line_points(lines: list[MolecularLine]) -> np.ndarray:
    """Points (wavenumber 1/cm, lower energy eV, log gf).

    The wavenumber is that in air: the refractive index is the same for all isotopologues of a transition.
    """
    return np.array([(1e8 / wave, energy, loggf) for wave, energy, loggf in lines]).reshape(-1, 3)


def match_candidates(
    points: dict[int, np.ndarray], used: dict[int, set[int]], search: MatchPass
) -> list[tuple[float, dict[int, int]]]:
    """All sets of lines that may be one transition.

    Returns
    -------
    list
        For each set, its rms distance from a straight line against rho (in units of `_UNIT`) and the index of
        its line in each isotopologue.
    """
    near, far = search.ends
    free = {a: np.array([i for i in range(len(points[a])) if i not in used[a]], int) for a in search.ends}
    if not len(free[near]) or not len(free[far]):
        return []
    trees = {a: cKDTree(points[a] / _UNIT) for a in search.between}
    reach = [cKDTree(points[a][free[a]] / _REACH) for a in search.ends]
    candidates = []
    for i, neighbours in zip(free[near], reach[0].query_ball_tree(reach[1], 1.0, p=np.inf), strict=True):
        if not neighbours:
            continue
        partners = free[far][neighbours]
        start, change = points[near][i], points[far][partners] - points[near][i]
        square = np.zeros(len(partners))
        nearest = {}
        for a, tree in trees.items():
            expected = start + change * (RHO[a] - RHO[near]) / (RHO[far] - RHO[near])
            # where no line is within the tolerance, the distance is infinite
            distance, nearest[a] = tree.query(expected / _UNIT, distance_upper_bound=search.tolerance)
            square += distance**2
        for q in np.where(np.isfinite(square))[0]:
            members = {near: int(i), far: int(partners[q]), **{a: int(nearest[a][q]) for a in trees}}
            candidates.append((float(np.sqrt(square[q] / len(trees))), members))
    return candidates


def interpolate_48tio(points: dict[int, np.ndarray], members: dict[int, int]) -> MolecularLine:
    """The 48TiO line of one transition: a straight-line fit against rho, read off at the rho of 48TiO."""
    masses = sorted(members)
    offset = np.array([RHO[a] - RHO[48] for a in masses])
    values = np.array([points[a][members[a]] for a in masses])
    wavenumber = np.polyfit(offset, values[:, 0], 1)[1]
    energy = np.polyfit(offset, values[:, 1], 1)[1]
    return 1e8 / wavenumber, energy, values[0, 2]


# --------------------------------------------------------------------------------------------- reading


def read_linemake(work: Workspace, name: str, low: float, high: float) -> list[str]:
    """Records of a linemake list with a wavelength (A, air) strictly between two bounds."""
    path = work.linemake / f"moog{name}.gz"
    with gzip.open(path, "rt") as records:
        chosen = [record for record in records if low < float(record.split()[0]) < high]
    if not chosen:
        stop(f"no line between {low} and {high} A", file=path, remedy="delete the src folder and run `prepare`")
    return chosen


def read_tio(work: Workspace) -> dict[int, list[MolecularLine]]:
    """The packaged TiO isotopologues by the mass number of titanium."""
    lines = {a: [] for a in (46, 47, 49, 50)}
    for record in read_linemake(work, "tio", _TIO_MIN, _TIO_MAX):
        wave, species, energy, loggf = record.split()[:4]
        lines[int(species[-2:])].append((float(wave), float(energy), float(loggf)))
    return lines


def read_molecule(work: Workspace, name: str, species: str | None = None) -> list[MolecularLine]:
    """Lines of a molecule, or of one isotopologue of it."""
    fields = (record.split() for record in read_linemake(work, name, LINES_MIN, LINES_MAX))
    return [(float(f[0]), float(f[2]), float(f[3])) for f in fields if species in (None, f[1])]


def in_window(lines: list[MolecularLine]) -> list[MolecularLine]:
    """Lines inside the cut of the line lists."""
    return [line for line in lines if LINES_MIN <= line[0] <= LINES_MAX]


# --------------------------------------------------------------------------------------------- Turbospectrum


def cut_ges_list(path: Path) -> tuple[str, int]:
    """The Gaia-ESO list cut to the window, and its number of lines.

    The list is a sequence of blocks: a header with the species, its ion stage and the number of lines, the
    name of the species, and the lines.  The names are changed from NLTE to LTE treatment.
    """
    text = path.read_text().split("\n")
    header = re.compile(r"^'\s*([\d.]+)\s*'\s+(\d+)\s+(\d+)")
    blocks, total, i = [], 0, 0
    while i < len(text) - 1:
        found = header.match(text[i])
        if not found:
            stop(
                f"line {i + 1} is not the header of a species",
                file=path,
                remedy="run `prepare` in a new folder",
            )
        species, stage, n = found[1], found[2], int(found[3])
        lines = [line for line in text[i + 2 : i + 2 + n] if LINES_MIN <= float(line.split()[0]) <= LINES_MAX]
        if lines:
            name = text[i + 1].replace("NLTE", "LTE ")
            blocks += [f"'{species:>8}            '{stage:>5}{len(lines):10d}", name, *lines]
            total += len(lines)
        i += 2 + n
    return "".join(line + "\n" for line in blocks), total


def turbospectrum_block(species: str, name: str, lines: list[MolecularLine]) -> str:
    """Molecular lines in the format of Turbospectrum.

    The last three columns, the van der Waals parameter, the upper statistical weight and the radiative width
    (rad/s), are placeholders: Doppler broadening dominates in these molecular lines.
    """
    rows = (f"{w:10.3f} {e:7.3f} {gf:8.3f}   0.000    1.0  1.00e+07\n" for w, e, gf in sorted(lines))
    return f"'{species:<20}'    1 {len(lines):9d}\n'{name}'\n" + "".join(rows)


# --------------------------------------------------------------------------------------------- MOOG


def moog_lines(work: Workspace, tio: dict[int, list[MolecularLine]]) -> list[MoogLine]:
    """All lines of set B, sorted by wavelength."""
    lines = []
    for name in ("atom", "feh", "cn"):
        for record in read_linemake(work, name, LINES_MIN, LINES_MAX):
            wave, species, energy, loggf = record.split()[:4]
            # a dissociation energy follows in molecular records only
            dissociation = float(record[40:].split()[0]) if float(species) > 100 else 0.0
            lines.append(MoogLine(float(wave), species, float(energy), float(loggf), dissociation))
    for a, isotopologue in tio.items():
        lines += [MoogLine(w, f"822.016{a}", e, gf, TIO_DISSOCIATION) for w, e, gf in isotopologue]
    return sorted(lines)


def split_strong(lines: list[MoogLine]) -> tuple[list[MoogLine], list[MoogLine]]:
    """Weak lines, which MOOG sums over a short distance, and strong ones, which it sums everywhere."""
    neutral = [line for line in lines if line.is_neutral_atom]
    strong = sorted(neutral, key=lambda line: -line.strength)[:_N_STRONG]
    chosen = set(strong)
    return [line for line in lines if line not in chosen], strong


def moog_block(lines: list[MoogLine]) -> str:
    """Lines in the fixed columns of MOOG; the blank column is the damping, which MOOG then computes."""
    return "".join(
        f"{line.wave:10.3f}{float(line.species):10.{5 if line.is_molecule else 1}f}{line.energy:10.3f}"
        f"{line.loggf:10.3f}{'':10}{line.dissociation:10.3f}\n"
        for line in lines
    )
