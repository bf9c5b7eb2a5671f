"""The layout of the .npz files, how they are computed, and the comparison with an existing file.

``norm_u16 * norm_scale`` is the flux over the true continuum on ``wave_air``; ``cont`` is the continuum
flux (erg/s/cm2/A) at the few wavelengths ``cont_wave``.  A grid has the axes ``teff``, ``logg`` and ``mh``,
a survey has one ``label`` row (Teff, log g, [M/H]) and a ``population`` for each star.  Surveys of other physics
also hold ``microturbulence`` and ``alpha``, ``mass`` and ``radius`` of each star, and what all stars have in common.
Sensitivities are the changes of ln(norm) by each of several changes of physics, ``change_i16 * change_scale``, on
nodes of Teff and [M/H].
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
from .other_physics import CHANGES, COMMON, SENSITIVITY_MH, SENSITIVITY_TEFF, draw_stars, sensitivity_labels
from .physics import USUAL, Physics
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
# Of the surveys of other physics: the error, at most half of it, is below a tenth of the photon noise at S/N 1000.
COARSE_SCALE = 1e-4
# Of the sensitivities, in ln(norm).
CHANGE_SCALE = 2e-4

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
    physics: list[Physics]
    """Of each spectrum."""


class Difference(NamedTuple):
    """Differences of a recomputed spectrum from the stored one."""

    label: tuple[float, float, float]
    largest: float
    """Largest absolute difference in flux over continuum."""
    median: float
    """Median absolute difference in flux over continuum."""
    cont: float
    """Largest relative difference in the continuum."""


# --------------------------------------------------------------------------------------------- packing


def quantise(norm: np.ndarray, scale: float = NORM_SCALE) -> np.ndarray:
    """Flux over continuum as 16-bit integers in steps of `scale`."""
    steps = np.rint(np.asarray(norm) / scale)
    top = np.iinfo(np.uint16).max
    # a comparison that NaN fails too
    if not np.all((steps >= 0) & (steps <= top)):
        stop(
            f"a flux over continuum is not between 0 and {top * scale:.2f}",
            remedy="look at the spectrum with the `node` command",
        )
    return steps.astype(np.uint16)


def compress_continuum(wave: np.ndarray, cont: np.ndarray) -> np.ndarray:
    """Continuum at `CONT_WAVE` from a parabola through its logarithm; over 60 A that is exact to 1e-5."""
    parabola = np.polyfit(wave - _CONT_CENTRE, np.log(cont), 2)
    return np.exp(np.polyval(parabola, CONT_WAVE - _CONT_CENTRE))


def pack(spectra: list[Spectrum], shape: tuple[int, ...], scale: float = NORM_SCALE) -> dict[str, np.ndarray]:
    """The arrays that both layouts share, with the spectra arranged in this shape."""
    norm = np.array([quantise(spectrum.norm, scale) for spectrum in spectra])
    cont = np.array([compress_continuum(spectrum.wave, spectrum.cont) for spectrum in spectra])
    return {
        "wave_air": spectra[0].wave,
        "norm_u16": norm.reshape(*shape, -1),
        "norm_scale": np.float64(scale),
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
    "code": "MOOG with two patches (tools/lte_library/sources.py); LTE, plane-parallel",
    "damping": "Barklem et al. (2000), else Unsold",
    "lines": "atoms, FeH and CN of linemake; TiO as in grid A",
    "labels": "rows of label: Teff (K), log g (cgs), [M/H]",
}


# --------------------------------------------------------------------------------------------- computing


def compute(
    work: Workspace, code: str, labels: np.ndarray, jobs: int = 1, physics: list[Physics] | None = None
) -> Iterator[Spectrum]:
    """Spectra of all labels, in their order, with one of the `CODES` on `jobs` processes."""
    one = functools.partial(_compute_one, work, code)
    own = physics or [USUAL] * len(labels)
    rows = [(*map(float, label), changed) for label, changed in zip(labels, own, strict=True)]
    if jobs == 1:
        yield from map(one, rows)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(one, rows)


def _compute_one(work: Workspace, code: str, row: tuple[float, float, float, Physics]) -> Spectrum:
    return CODES[code](work, *row)


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


def make_other_survey(work: Workspace, code: str, out: Path, jobs: int, n_stars: int) -> None:
    """Compute the survey of other physics of one code and write it."""
    stars = draw_stars(code, n_stars)
    spectra = _with_progress(compute(work, code, stars.label, jobs, stars.physics), stars.label)
    kept = {"label": stars.label, "population": stars.population, "mass": stars.mass, "radius": stars.radius}
    for name in ("microturbulence", "alpha"):
        kept[name] = np.array([getattr(own, name) for own in stars.physics])
    common = {name: value for name, value in COMMON[code]._asdict().items() if name not in kept}
    meta = {"A": GRID_META, "B": SURVEY_META}[code] | {
        "labels": "rows of label: Teff (K), log g (cgs), [M/H]; see tools/lte_library/other_physics.py",
        "abundances": "Asplund et al. 2009, scaled by [M/H], and O, Ne, Mg, Si, S, Ar, Ca, Ti by alpha",
        "common": common,
    }
    meta = {key: value for key, value in (common_meta() | meta).items() if key not in ("vmic_kms", "damping")}
    meta["norm_scale"] = COARSE_SCALE
    write_library(out, {**kept, **pack(spectra, (len(stars.label),), COARSE_SCALE)}, meta)


def make_sensitivities(work: Workspace, out: Path, jobs: int) -> None:
    """Compute how the spectra of code A change with the physics, and write it."""
    label = sensitivity_labels()
    cases = [USUAL, *CHANGES.values()]
    labels, physics = np.repeat(label, len(cases), axis=0), cases * len(label)
    spectra = _with_progress(compute(work, "A", labels, jobs, physics), labels)
    log = np.log([spectrum.norm for spectrum in spectra]).reshape(len(label), len(cases), -1)
    change = np.rint((log[:, 1:] - log[:, :1]) / CHANGE_SCALE).astype(np.int16)
    arrays = {
        "wave_air": spectra[0].wave,
        "teff": SENSITIVITY_TEFF,
        "mh": SENSITIVITY_MH,
        "logg": label[:, 1].reshape(len(SENSITIVITY_TEFF), -1),
        "change_i16": change.reshape(len(SENSITIVITY_TEFF), len(SENSITIVITY_MH), len(CHANGES), -1),
        "change_scale": np.float64(CHANGE_SCALE),
        "names": np.array(list(CHANGES)),
    }
    meta = {"quantity": "ln(norm) with the change minus ln(norm) without", "code": GRID_META["code"]}
    write_library(out, arrays, meta | {"changes": {name: own._asdict() for name, own in CHANGES.items()}})


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
    """Read either layout; a survey is recognised by its labels."""
    arrays = read_arrays(path, _COMMON_KEYS)
    if "label" in arrays:
        label = arrays["label"]
    else:
        axes = read_arrays(path, {"teff", "logg", "mh"})
        label = grid_labels(axes["teff"], axes["logg"], axes["mh"])
    meta = json.loads(str(arrays["meta"])) if "meta" in arrays else {}
    code = "A" if meta.get("code", "").startswith("Turbospectrum") or "label" not in arrays else "B"
    physics = [USUAL] * len(label)
    if "microturbulence" in arrays:
        drawn = zip(arrays["microturbulence"], arrays["alpha"], strict=True)
        physics = [Physics(microturbulence=v, alpha=a, **meta["common"]) for v, a in drawn]
    norm = arrays["norm_u16"].reshape(len(label), -1) * float(arrays["norm_scale"])
    return Library(code, label, norm, arrays["cont"].reshape(len(label), -1), physics)


def choose_nodes(teff: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Indices of n spectra: a random one from each of n equal slices in Teff, to include cool and hot stars."""
    slices = np.array_split(np.argsort(teff, kind="stable"), n)
    generator = np.random.default_rng(seed)
    return np.array([generator.choice(part) for part in slices])


def compare(work: Workspace, library: Library, indices: np.ndarray, jobs: int = 1) -> Iterator[Difference]:
    """Recompute some spectra of a library and compare them with the stored ones."""
    physics = [library.physics[i] for i in indices]
    spectra = compute(work, library.code, library.label[indices], jobs, physics)
    for i, spectrum in zip(indices, spectra, strict=True):
        change = np.abs(spectrum.norm - library.norm[i])
        cont = np.abs(compress_continuum(spectrum.wave, spectrum.cont) / library.cont[i] - 1)
        label = tuple(float(value) for value in library.label[i])
        yield Difference(label, float(change.max()), float(np.median(change)), float(cont.max()))
