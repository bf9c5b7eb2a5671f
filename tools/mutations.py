"""Mutation tests: inject one fault at a time into the scientific code and run the tests that should fail.

    python tools/mutations.py                 all faults, two at a time; exit status 1 if more than two go unnoticed
    python tools/mutations.py air cosmic      the faults whose name contains one of these words

A fault is caught if a test fails or the tests exceed the time limit. The tests run in a copy of the repository; the
original is not changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 900.0  # s, for the tests of one fault
UNNOTICED = 2  # at most


class Fault(NamedTuple):
    """A fault to inject.

    Attributes
    ----------
    name : str
    path : str
        Path of the module, relative to ``dtl_core``.
    old, new : str
        ``old``, which occurs once in the module, is replaced with ``new``.
    tests : tuple of str
        Files that should fail, relative to ``tests``.
    """

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]


FAULTS = (
    # wavelengths and velocities
    Fault("air for vacuum", "spectra/operators.py",
          "vacuum = wavelength * _refractive_index(vacuum)",
          "vacuum = wavelength / _refractive_index(vacuum)",
          ("spectra/test_operators.py", "reading/test_readers.py")),
    Fault("air wavelengths of a table taken as they are", "reading/keywords.py",
          'if used == "air":',
          'if used == "ether":', ("reading/test_readers.py",)),
    Fault("Doppler shift the wrong way", "spectra/operators.py",
          "np.sqrt((1 + beta) / (1 - beta))",
          "np.sqrt((1 - beta) / (1 + beta))", ("spectra/test_operators.py", "preparing/test_chain.py")),
    Fault("barycentric correction the wrong way", "spectra/spectrum.py",
          'velocity = self.berv if frame == "barycentric" else -self.berv',
          'velocity = -self.berv if frame == "barycentric" else self.berv',
          ("reading/test_readers.py", "preparing/test_chain.py")),
    Fault("velocity from the first template instead of the best", "preparing/velocity.py",
          "best = int(np.argmax(height))",
          "best = 0", ("preparing/test_chain.py",)),
    # broadening and resolution
    Fault("no limb darkening", "spectra/operators.py",
          "e = limb_darkening",
          "e = 0.0", ("spectra/test_operators.py", "synthetic/test_generation.py")),
    Fault("FWHM taken for sigma", "spectra/operators.py",
          "sigma = C_KMS / resolving_power / FWHM",
          "sigma = C_KMS / resolving_power", ("spectra/test_operators.py",)),
    Fault("widths subtracted instead of their squares", "preparing/chain.py",
          "missing = (target**-2 - resolving_power**-2) ** -0.5",
          "missing = 1 / (1 / target - 1 / resolving_power)", ("preparing/test_chain.py",)),
    Fault("lowest velocity of the grid counted twice in emulated rotation", "bridging/spectrum_model.py",
          "span * (2 * self.low[3] + span * xp.square(last))",
          "span * (4 * self.low[3] + span * xp.square(last))", ("bridging/test_emulator.py",)),
    # noise, weights, masks
    Fault("weights of 1 / s", "spectra/operators.py",
          "w = 1 / between(np.asarray(uncertainty, float) ** 2)",
          "w = 1 / between(np.asarray(uncertainty, float))",
          ("spectra/test_operators.py", "preparing/test_chain.py")),
    Fault("cosmic rays never found", "preparing/chain.py",
          "return hit | np.roll(hit, 1) | np.roll(hit, -1)",
          "return hit & False", ("preparing/test_chain.py",)),
    Fault("tellurics kept though to be masked", "preparing/chain.py",
          'lost = mask | spectrum.telluric if settings.tellurics == "mask" else mask',
          "lost = mask", ("preparing/test_chain.py",)),
    Fault("continuum from the lowest fluxes", "spectra/operators.py",
          "return deviation, ordered[:, (lo + hi) // 2], ordered[:, hi]",
          "return deviation, ordered[:, lo // 2], ordered[:, lo]",
          ("preparing/test_gisic.py", "spectra/test_operators.py")),
    # networks
    Fault("contractive penalty dropped", "networks/autoencoder.py",
          "loss = loss + weight * contractive_penalty(model, activations, form)",
          "pass", ("networks/test_networks.py",)),
    Fault("activity penalty dropped", "networks/autoencoder.py",
          "loss = loss + l1 * magnitude",
          "pass", ("networks/test_networks.py",)),
    Fault("exact penalty forgets the masks", "networks/autoencoder.py",
          "rows = rows * (below > 0).unsqueeze(2)",
          "pass", ("networks/test_networks.py",)),
    Fault("the decoder frozen instead of the encoder", "networks/autoencoder.py",
          "for layer in self.encoder[:n_layers]:",
          "for layer in self.decoder[:n_layers]:", ("networks/test_networks.py",)),
    Fault("convolution pairs with the wrong neighbour", "networks/regressor.py",
          "F.pad(right[:, :, 1:], (0, 0, 0, 1))",
          "F.pad(right[:, :, :-1], (0, 0, 1, 0))", ("networks/test_networks.py",)),
    Fault("test spectra among those of training", "networks/training.py",
          "return np.sort(order[n_test:]), np.sort(order[:n_test])",
          "return np.sort(order), np.sort(order[:n_test])",
          ("networks/test_networks.py", "pipeline/test_search.py")),
    Fault("latents of the wrong encoder", "pipeline/stages/transfer.py",
          '"transfer": encode(tuned, stars),',
          '"transfer": encode(model, stars),', ("pipeline/test_conduct.py",)),
    # selection and estimates
    Fault("the worst models kept", "estimates/density.py",
          'np.argsort(np.asarray(test_error), kind="stable")',
          'np.argsort(-np.asarray(test_error), kind="stable")', ("estimates/test_density.py",)),
    Fault("halving keeps the worst", "pipeline/search.py",
          'order = np.asarray(candidates)[np.argsort(mean, kind="stable")]',
          'order = np.asarray(candidates)[np.argsort(-mean, kind="stable")]', ("pipeline/test_search.py",)),
    Fault("lower and upper errors swapped by the density", "estimates/density.py",
          "out[:, star] = x[peak], (peak - start[best]) * step, (end[best] - peak) * step",
          "out[:, star] = x[peak], (end[best] - peak) * step, (peak - start[best]) * step",
          ("estimates/test_density.py",)),
    Fault("lower and upper errors swapped in the catalogue", "models/prediction.py",
          'columns[f"e_{column}"] = median[:, k, 0] - low[:, k, ONE_SIGMA]\n'
          '        columns[f"E_{column}"] = high[:, k, ONE_SIGMA] - median[:, k, 0]',
          'columns[f"E_{column}"] = median[:, k, 0] - low[:, k, ONE_SIGMA]\n'
          '        columns[f"e_{column}"] = high[:, k, ONE_SIGMA] - median[:, k, 0]',
          ("models/test_prediction.py",)),
    Fault("both tails of an interval at its level", "estimates/calibration.py",
          "level = (1 + level) / 2",
          "level = level", ("estimates/test_calibration.py",)),
    Fault("the least significant score decides", "estimates/outliers.py",
          "len(SCORES) * p.min(0)",
          "len(SCORES) * p.max(0)", ("estimates/test_outliers.py",)),
    # astrophysics
    Fault("log g rises with metallicity", "synthetic/label_grid.py",
          "- 0.235 * np.asarray(mh)",
          "+ 0.235 * np.asarray(mh)", ("synthetic/test_generation.py",)),
    Fault("the thick disc ahead of the Sun", "literature/kinematics.py",
          "((v_lsr - drift) / sv)",
          "((v_lsr + drift) / sv)", ("literature/test_kinematics.py",)),
    Fault("differences with the other sign", "literature/comparison.py",
          "delta, out = y - x,",
          "delta, out = x - y,", ("literature/test_comparison.py",)),
    # what was stored
    Fault("results found again though the code changed", "pipeline/store.py",
          '"code": code_hashes(module) if closure(module) else {},',
          '"code": {},', ("pipeline/test_store.py", "test_source_code.py")),
)  # fmt: skip


def inject(fault, folder):
    """Copy the repository to a folder, with a fault.

    Parameters
    ----------
    fault : Fault
    folder : path

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        The text to replace does not occur exactly once.
    """
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        target = Path(folder) / name
        if (ROOT / name).is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    path = Path(folder) / "dtl_core" / fault.path
    path.write_text(replaced(fault, path.read_text(encoding="utf-8")), encoding="utf-8")
    return Path(folder)


def replaced(fault, text):
    """Source of a module with its fault."""
    if text.count(fault.old) != 1:
        raise ValueError(f"{fault.name}: its text occurs {text.count(fault.old)} times in {fault.path}")
    return text.replace(fault.old, fault.new)


def examine(fault):
    """Run the tests of a fault.

    Returns
    -------
    caught : bool
    test : str
        The first test that failed.
    seconds : float
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        root = inject(fault, folder)
        files = [f"tests/{name}" for name in fault.tests]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files]
        environment = os.environ | {"PYTHONPATH": str(root), "DTL_RESULTS": f"{folder}/results", "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            return True, "time limit", time.perf_counter() - started
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    by = failed[0].split(" - ")[0].split(" ", 1)[1] if failed else ""
    if done.returncode not in (0, 1) and not failed:
        raise RuntimeError(f"{fault.name}: the tests did not run\n{done.stdout}{done.stderr}")
    return done.returncode != 0, by, time.perf_counter() - started


def main(words=()):
    """Test all faults, or those whose name contains one of some words; return how many no test caught."""
    chosen = [fault for fault in FAULTS if not words or any(word in fault.name for word in words)]
    unnoticed = 0
    with ThreadPoolExecutor(2) as pool:
        for fault, (caught, by, seconds) in zip(chosen, pool.map(examine, chosen), strict=True):
            unnoticed += not caught
            print(f"{'caught' if caught else 'MISSED'}  {seconds:5.0f} s  {fault.name:50} {by}", flush=True)
    print(f"{len(chosen) - unnoticed} of {len(chosen)} caught")
    return unnoticed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > UNNOTICED)
