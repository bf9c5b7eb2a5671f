"""Whether the tests would notice: plant one fault at a time in the scientific code, and run the tests that are nearest.

    python tools/mutations.py                 every fault, two at once; exit status 1 if more than two went unnoticed
    python tools/mutations.py air cosmic      those whose name holds one of these words

A fault counts as caught when a test fails, or the tests do not end in time. Each runs in a copy of the tree; nothing
here is changed.
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
    """What is planted: ``old`` becomes ``new`` in a module of dtl_core; ``tests`` are the files that should notice."""

    name: str
    module: str
    old: str
    new: str
    tests: tuple[str, ...]


FAULTS = (
    # wavelengths and velocities
    Fault("air for vacuum", "spectra", "vacuum = wavelength * _refractive_index(vacuum)",
          "vacuum = wavelength / _refractive_index(vacuum)", ("spectra", "readers")),
    Fault("air wavelengths of a table taken as they are", "keywords", 'if used == "air":', 'if used == "ether":',
          ("readers",)),
    Fault("Doppler shift the wrong way", "spectra", "np.sqrt((1 + beta) / (1 - beta))",
          "np.sqrt((1 - beta) / (1 + beta))", ("spectra", "chain")),
    Fault("barycentric correction the wrong way", "spectrum",
          'velocity = self.berv if frame == "barycentric" else -self.berv',
          'velocity = -self.berv if frame == "barycentric" else self.berv', ("readers", "chain")),
    Fault("velocity at the first template, not the best", "velocity", "best = int(np.argmax(height))", "best = 0",
          ("chain",)),
    # broadening and resolution
    Fault("no limb darkening", "spectra", "e = limb_darkening", "e = 0.0", ("spectra", "synthetic")),
    Fault("FWHM taken for sigma", "spectra", "sigma = C_KMS / resolving_power / FWHM",
          "sigma = C_KMS / resolving_power", ("spectra",)),
    Fault("widths subtracted, not their squares", "chain", "missing = (target**-2 - resolving_power**-2) ** -0.5",
          "missing = 1 / (1 / target - 1 / resolving_power)", ("chain",)),
    Fault("emulated rotation counts the grid's lowest twice", "emulator",
          "root = (span * (2 * self.low[3] + span * last.square()))",
          "root = (span * (4 * self.low[3] + span * last.square()))", ("emulator",)),
    # noise, weights, masks
    Fault("weights of 1 / s", "spectra", "w = 1 / between(np.asarray(uncertainty, float) ** 2)",
          "w = 1 / between(np.asarray(uncertainty, float))", ("spectra", "chain")),
    Fault("cosmic rays never found", "chain", "return hit | np.roll(hit, 1) | np.roll(hit, -1)", "return hit & False",
          ("chain",)),
    Fault("tellurics kept though to be masked", "chain",
          'lost = mask | spectrum.telluric if settings.tellurics == "mask" else mask', "lost = mask", ("chain",)),
    Fault("continuum from the lowest fluxes", "spectra", "return deviation, ordered[:, (lo + hi) // 2], ordered[:, hi]",
          "return deviation, ordered[:, lo // 2], ordered[:, lo]", ("gisic", "spectra")),
    # networks
    Fault("contractive penalty dropped", "autoencoder",
          "loss = loss + weight * contractive_penalty(model, activations, form)", "pass", ("networks",)),
    Fault("activity penalty dropped", "autoencoder", "loss = loss + l1 * magnitude", "pass", ("networks",)),
    Fault("exact penalty forgets the masks", "autoencoder", "rows = rows * (below > 0).unsqueeze(2)", "pass",
          ("networks",)),
    Fault("the decoder frozen instead of the encoder", "autoencoder", "for layer in self.encoder[:n_layers]:",
          "for layer in self.decoder[:n_layers]:", ("networks",)),
    Fault("convolution pairs with the wrong neighbour", "regressor", "F.pad(right[:, :, 1:], (0, 0, 0, 1))",
          "F.pad(right[:, :, :-1], (0, 0, 1, 0))", ("networks",)),
    Fault("test spectra among those of training", "training", "return np.sort(order[n_test:]), np.sort(order[:n_test])",
          "return np.sort(order), np.sort(order[:n_test])", ("networks", "search")),
    Fault("latents of the wrong encoder", "stages", '"transfer": _encode(tuned, stars),',
          '"transfer": _encode(model, stars),', ("smoke", "pipeline")),
    # selection and estimates
    Fault("the worst models kept", "estimate", 'np.argsort(np.asarray(test_error), kind="stable")',
          'np.argsort(-np.asarray(test_error), kind="stable")', ("estimate",)),
    Fault("halving keeps the worst", "search", 'order = np.asarray(candidates)[np.argsort(mean, kind="stable")]',
          'order = np.asarray(candidates)[np.argsort(-mean, kind="stable")]', ("search",)),
    Fault("lower and upper errors swapped by the density", "estimate",
          "out[:, star] = x[peak], (peak - start[best]) * step, (end[best] - peak) * step",
          "out[:, star] = x[peak], (end[best] - peak) * step, (peak - start[best]) * step", ("estimate",)),
    Fault("lower and upper errors swapped in the catalogue", "predict",
          'columns[f"e_{column}"] = median[:, k, 0] - low[:, k, ONE_SIGMA]\n'
          '        columns[f"E_{column}"] = high[:, k, ONE_SIGMA] - median[:, k, 0]',
          'columns[f"E_{column}"] = median[:, k, 0] - low[:, k, ONE_SIGMA]\n'
          '        columns[f"e_{column}"] = high[:, k, ONE_SIGMA] - median[:, k, 0]', ("predict",)),
    Fault("both tails of an interval at its level", "calibration", "level = (1 + level) / 2", "level = level",
          ("calibration",)),
    Fault("the least telling score decides", "outliers", "len(SCORES) * p.min(0)", "len(SCORES) * p.max(0)",
          ("outliers",)),
    # astrophysics
    Fault("log g rises with metallicity", "synthetic", "- 0.235 * np.asarray(mh)", "+ 0.235 * np.asarray(mh)",
          ("synthetic",)),
    Fault("the thick disc ahead of the Sun", "kinematics", "((v_lsr - drift) / sv)", "((v_lsr + drift) / sv)",
          ("kinematics",)),
    Fault("differences with the other sign", "comparison", "delta, out = y - x,", "delta, out = x - y,",
          ("comparison",)),
    # what was stored
    Fault("results found again though the code changed", "store",
          '"code": {module: _module_hash(module) for module in sorted(modules)},', '"code": {},', ("store",)),
)  # fmt: skip


def planted(fault, folder):
    """A copy of the tree, in ``folder``, with a fault. Returns: Path.

    Errors: ValueError, the text to be replaced is not there once and only once.
    """
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        target = Path(folder) / name
        if (ROOT / name).is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    path = Path(folder) / "dtl_core" / f"{fault.module}.py"
    path.write_text(replaced(fault, path.read_text(encoding="utf-8")), encoding="utf-8")
    return Path(folder)


def replaced(fault, text):
    """The text of a module with its fault."""
    if text.count(fault.old) != 1:
        raise ValueError(f"{fault.name}: its text is {text.count(fault.old)} times in {fault.module}.py")
    return text.replace(fault.old, fault.new)


def examine(fault):
    """Whether the tests notice a fault, the first of them that does, and the seconds it took: (bool, str, float)."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        root = planted(fault, folder)
        files = [f"tests/test_{name}.py" for name in fault.tests]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files]
        environment = os.environ | {"PYTHONPATH": str(root), "DTL_RESULTS": f"{folder}/results", "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            return True, "no end in time", time.perf_counter() - started
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    by = failed[0].split(" - ")[0].split(" ", 1)[1] if failed else ""
    if done.returncode not in (0, 1) and not failed:
        raise RuntimeError(f"{fault.name}: the tests did not run\n{done.stdout}{done.stderr}")
    return done.returncode != 0, by, time.perf_counter() - started


def main(words=()):
    """Plant all faults, or those named. Returns: number of faults that no test noticed."""
    chosen = [one for one in FAULTS if not words or any(word in one.name for word in words)]
    unnoticed = 0
    with ThreadPoolExecutor(2) as pool:
        for fault, (caught, by, seconds) in zip(chosen, pool.map(examine, chosen), strict=True):
            unnoticed += not caught
            print(f"{'caught' if caught else 'MISSED'}  {seconds:5.0f} s  {fault.name:50} {by}", flush=True)
    print(f"{len(chosen) - unnoticed} of {len(chosen)} caught")
    return unnoticed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > UNNOTICED)
