"""The layout of the two .npz files, how they are computed, and the comparison with an existing file.

``norm_u16 * norm_scale`` is the flux over the true continuum on ``wave_air``; ``cont`` is the continuum
flux (erg/s/cm2/A) at the few wavelengths ``cont_wave``.  A grid has the axes ``teff``, ``logg`` and ``mh``,
a survey has one ``label`` row (Teff, log g, [M/H]) and a ``population`` for each star.
"""

import functools
import itertools
import json
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .moog import moog_spectrum
from .settings import (
    LOGG_AXIS,
    MH_AXIS,
    MICROTURBULENCE,
    TEFF_AXIS,
    WAVE_MAX,
    WAVE_MIN,
    WAVE_STEP,
    Spectrum,
)
from .sources import PACKAGES
from .turbospectrum import turbospectrum_spectrum
from .workspace import Workspace, replacing_file, stop

CODES: dict[str, Callable[..., Spectrum]] = {"A": turbospectrum_spectrum, "B": moog_spectrum}

# Step of the stored flux: the error, at most half of it, is far below that of the physics.
NORM_SCALE = 2e-5

# Wavelengths (A) of the stored continuum, and the centre about which it is fitted.
CONT_WAVE = np.linspace(WAVE_MIN, WAVE_MAX, 7)
_CONT_CENTRE = 8818.0

_COMMON_KEYS = {"wave_air", "norm_u16", "norm_scale", "cont", "cont_wave"}


class Library(NamedTuple):
    """An existing library as flat lists of spectra."""

    code: str
    """A or B."""
    label: np.ndarray
    """Teff (K), log g (cgs) and [M/H] of each spectrum, shape (n, 3)."""
    norm: np.ndarray
    """Flux over continuum as stored, shape (n, wavelengths)."""
    cont: np.ndarray
    """Continuum flux (erg/s/cm2/A) at `CONT_WAVE`, shape (n, 7)."""


class Difference(NamedTuple):
    """What recomputing one spectrum gives against the stored one."""

    label: tuple[float, float, float]
    largest: float
    """Largest absolute difference in flux over continuum."""
    median: float
    """Median absolute difference in flux over continuum."""
    cont: float
    """Largest relative difference in the continuum."""


# --------------------------------------------------------------------------------------------- packing


def quantise(norm: np.ndarray) -> np.ndarray:
    """Flux over continuum as 16-bit integers in steps of `NORM_SCALE`."""
    steps = np.rint(np.asarray(norm) / NORM_SCALE)
    top = np.iinfo(np.uint16).max
    # a comparison that NaN fails too
    if not np.all((steps >= 0) & (steps <= top)):
        stop(
            f"a flux over continuum is not between 0 and {top * NORM_SCALE:.2f}",
            remedy="look at the spectrum with the `node` command",
        )
    return steps.astype(np.uint16)


def compress_continuum(wave: np.ndarray, cont: np.ndarray) -> np.ndarray:
    """Continuum at `CONT_WAVE` from a parabola through its logarithm; over 60 A that is exact to 1e-5."""
    parabola = np.polyfit(wave - _CONT_CENTRE, np.log(cont), 2)
    return np.exp(np.polyval(parabola, CONT_WAVE - _CONT_CENTRE))


def pack(spectra: list[Spectrum], shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The arrays that both layouts share, with the spectra arranged in this shape."""
    norm = np.array([quantise(spectrum.norm) for spectrum in spectra])
    cont = np.array([compress_continuum(spectrum.wave, spectrum.cont) for spectrum in spectra])
    return {
        "wave_air": spectra[0].wave,
        "norm_u16": norm.reshape(*shape, -1),
        "norm_scale": np.float64(NORM_SCALE),
        "cont": cont.reshape(*shape, -1),
        "cont_wave": CONT_WAVE,
    }


def write_library(path: Path, arrays: dict[str, np.ndarray], meta: dict) -> None:
    """Write the arrays and the description atomically; the same arrays give the same bytes."""
    with replacing_file(path) as part, open(part, "wb") as file:
        np.savez_compressed(file, **arrays, meta=np.array(json.dumps(meta)))


def common_meta() -> dict:
    """Description of what both libraries share."""
    return {
        "atmospheres": "C3K/ATLAS12 network of atmosnet, evaluated at its training labels on "
        "log tau_Ross = -5..1.9; "
        "isothermal cap of the cool family replaced by the slope of MARCS and PHOENIX models; PCHIP in Teff, "
        "log g, [M/H]; below 2500 K a scaled extrapolation",
        "abundances": "Asplund et al. 2009, scaled by [M/H], [alpha/M] = 0; terrestrial Ti isotopes",
        "vmic_kms": MICROTURBULENCE,
        "wavelength": "air, Angstrom",
        "step_A": WAVE_STEP,
        "flux": "surface flux, erg/s/cm2/A = norm * cont",
        "norm": "over the true continuum",
        "norm_scale": NORM_SCALE,
        "broadening": "no rotation, no instrument",
        "not_included": "H2O, VO, CrH, CaH, dust, NLTE, Zeeman",
        "packages": {package.folder: package.sha256 for package in PACKAGES},
        "script": "tools/lte_library",
    }


GRID_META = {
    "code": "Turbospectrum 2020, babsma_lu and bsyn_lu; LTE, plane-parallel",
    "lines": "atoms: Gaia-ESO list; TiO: Plez, with 48TiO rebuilt from 46, 47, 49 and 50TiO; FeH; CN",
    "labels": "axes teff (K), logg (cgs), mh",
}
SURVEY_META = {
    "code": "MOOG with two patches (tools/lte_library/sources.py); LTE, plane-parallel; damping 1 (Barklem)",
    "lines": "atoms, FeH and CN of linemake; TiO as in grid A",
    "labels": "rows of label: Teff (K), log g (cgs), [M/H]",
}


# --------------------------------------------------------------------------------------------- computing


def compute(work: Workspace, code: str, labels: np.ndarray, jobs: int = 1) -> Iterator[Spectrum]:
    """Spectra of all labels, in their order, with one of the `CODES` on `jobs` processes."""
    one = functools.partial(_compute_one, work, code)
    rows = [tuple(float(value) for value in label) for label in labels]
    if jobs == 1:
        yield from map(one, rows)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(one, rows)


def _compute_one(work: Workspace, code: str, label: tuple[float, float, float]) -> Spectrum:
    return CODES[code](work, *label)


def grid_labels(teff: np.ndarray, logg: np.ndarray, mh: np.ndarray) -> np.ndarray:
    """Labels of a regular grid in the order of its flattened arrays, shape (n, 3)."""
    return np.array(list(itertools.product(teff, logg, mh)), float)


def make_grid(work: Workspace, out: Path, jobs: int) -> None:
    """Compute set A and write it."""
    labels = grid_labels(TEFF_AXIS, LOGG_AXIS, MH_AXIS)
    spectra = _with_progress(compute(work, "A", labels, jobs), labels)
    shape = (len(TEFF_AXIS), len(LOGG_AXIS), len(MH_AXIS))
    axes = {"teff": TEFF_AXIS, "logg": LOGG_AXIS, "mh": MH_AXIS}
    write_library(out, {**axes, **pack(spectra, shape)}, GRID_META | common_meta())


def make_survey(work: Workspace, labels_from: Path, out: Path, jobs: int) -> None:
    """Compute set B for the stars of an existing survey file and write it."""
    stars = read_arrays(labels_from, {"label", "population"})
    label = stars["label"]
    spectra = _with_progress(compute(work, "B", label, jobs), label)
    kept = {"label": label, "population": stars["population"]}
    write_library(out, {**kept, **pack(spectra, (len(label),))}, SURVEY_META | common_meta())


def _with_progress(spectra: Iterator[Spectrum], labels: np.ndarray) -> list[Spectrum]:
    done = []
    for spectrum, (teff, logg, mh) in zip(spectra, labels, strict=True):
        done.append(spectrum)
        print(
            f"{len(done)}/{len(labels)}: {teff:.1f} {logg:.3f} {mh:+.3f}, mean {spectrum.norm.mean():.4f}",
            flush=True,
        )
    return done


# --------------------------------------------------------------------------------------------- comparing


def read_arrays(path: Path, needed: set[str]) -> dict[str, np.ndarray]:
    """All arrays of an .npz file; stop if it cannot be read or lacks one of those needed."""
    if not zipfile.is_zipfile(path):
        stop("not a readable .npz file", file=path, remedy="give the .npz file of a library")
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    missing = sorted(needed - arrays.keys())
    if missing:
        stop(f"has no array {', '.join(missing)}", file=path, remedy="give the .npz file of a library")
    return arrays


def read_library(path: Path) -> Library:
    """Read either layout; a survey is known by its labels."""
    arrays = read_arrays(path, _COMMON_KEYS)
    if "label" in arrays:
        code, label = "B", arrays["label"]
    else:
        axes = read_arrays(path, {"teff", "logg", "mh"})
        code, label = "A", grid_labels(axes["teff"], axes["logg"], axes["mh"])
    norm = arrays["norm_u16"].reshape(len(label), -1) * float(arrays["norm_scale"])
    return Library(code, label, norm, arrays["cont"].reshape(len(label), -1))


def choose_nodes(teff: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Indices of n spectra: a random one from each of n equal slices in Teff, so cool and hot are there."""
    slices = np.array_split(np.argsort(teff, kind="stable"), n)
    generator = np.random.default_rng(seed)
    return np.array([generator.choice(part) for part in slices])


def compare(work: Workspace, library: Library, indices: np.ndarray, jobs: int = 1) -> Iterator[Difference]:
    """Recompute some spectra of a library and compare them with the stored ones."""
    spectra = compute(work, library.code, library.label[indices], jobs)
    for i, spectrum in zip(indices, spectra, strict=True):
        change = np.abs(spectrum.norm - library.norm[i])
        cont = np.abs(compress_continuum(spectrum.wave, spectrum.cont) / library.cont[i] - 1)
        label = tuple(float(value) for value in library.label[i])
        yield Difference(label, float(change.max()), float(np.median(change)), float(cont.max()))
