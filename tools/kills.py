"""Kill ``dtl book`` and ``dtl predict`` at random moments, and compare what they finally produce with undisturbed runs.

    python tools/kills.py            twenty kills of each command
    python tools/kills.py -n 5 book  five, of the book only

The commands run in copies of the repository; the original is not changed. The exit status is 1 if any result differs,
or if too few kills hit a running process.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ASIDE = {"timings", "runs", "unfinished", "checkpoints", "corrupted", "notebook", "workflow"}  # differ by their nature


def copy_of(folder):
    """Copy the repository without generated files."""
    made = (".git", ".venv", ".*cache", ".snakemake", "__pycache__", "results", "_build", "generated", "vendor")
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*made))
    shutil.rmtree(folder / "book" / "notebooks", ignore_errors=True)
    return folder


def environment(folder):
    """Environment variables of a command in a copy, which uses its own sources and results."""
    own = {"PYTHONPATH": str(folder), "DTL_RESULTS": str(folder / "results"), "OMP_WAIT_POLICY": "PASSIVE"}
    return os.environ | own


def start(command, folder):
    """Start a command in a copy, as the leader of a new session."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment(folder), start_new_session=True, **quiet)


def to_the_end(command, folder, allowed):
    """Run a command and return its seconds; exit on a traceback or a status that is not allowed."""
    began = time.monotonic()
    process = start(command, folder)
    _, said = process.communicate()
    if process.returncode not in allowed or "Traceback" in said:
        sys.exit(f"{' '.join(command)}: status {process.returncode}\n{said[-2000:]}")
    return time.monotonic() - began


def disturbed(command, folder, kills, seconds, rng):
    """Start a command and kill it with its children until ``kills`` of them hit it running; return both counts."""
    started = alive = 0
    while alive < kills and started < 5 * kills:
        started += 1
        process = start(command, folder)
        time.sleep(rng.uniform(0.02, 1.0) * seconds)
        alive += process.poll() is None
        with contextlib.suppress(ProcessLookupError):  # it had ended
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return alive, started


def digest(content):
    return hashlib.sha256(content).hexdigest()


def book_of(folder):
    """Hashes of what ``dtl book`` writes: stage results, notebook outputs and pages, without times."""
    times = re.compile(r"\[ *[\d.]+ s\]|computing time, summed.*?</tr>", re.DOTALL)
    found = {}
    for path in (folder / "results").rglob("*"):
        name = path.relative_to(folder / "results")
        if path.is_file() and name.parts[0] not in ASIDE:
            found[f"results/{name}"] = digest(path.read_bytes())
    for path in (folder / "book" / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        names = [output.get("metadata", {}).get("scrapbook", {}).get("name", "") for output in outputs]
        kept = [output for output, name in zip(outputs, names, strict=True) if not name.startswith("time_")]
        text = json.dumps([[cell["source"] for cell in cells], kept])
        text = times.sub("", re.sub(r'"(execution_count|id)": [^,}\]]*', "", text))
        found[path.name] = digest(text.encode())
    for path in (folder / "_build" / "html").rglob("*.html"):
        found[str(path.relative_to(folder))] = digest(times.sub("", path.read_text()).encode())
    return found


def survey_of(folder):
    """Hashes of a catalogue's files.

    Hidden files, which were being written, do not count, nor do the stamps of the spectra, which are file times.
    """
    stamp = re.compile(rb'"(stamp|check)": "[^"]*"')
    return {path.name: digest(stamp.sub(b"", path.read_bytes())) for path in (folder / "made.parquet").glob("[!.]*")}


def simulate(folder, n=4000, distinct=200):
    """Write a store of simulated stars, which repeat; every tenth is broken."""
    code = "import sys, numpy as np; sys.path.insert(0, 'tests/support'); from toys import simulated\n"
    code += "from dtl_core.reading import sources\n"
    code += f"w, f, _ = simulated({distinct}); f = np.resize(f, ({n}, f.shape[1])).astype(np.float32)\n"
    code += "f[::10] = np.nan\n"
    code += "a = [dict(flux=f, uncertainty=np.full(f.shape, 0.005, np.float32))]\n"
    code += f"sources.write_zarr('stars.zarr', w, a, {n}, rows=50, resolving_power=53e3, instrument='T', frame='rest')"
    to_the_end([sys.executable, "-c", code], folder, {0})


def compare(name, command, found, prepare, allowed, kills, rng, window):
    """Print how a command did, keep results that differ; return whether all kills hit and all results agree."""
    place = Path(tempfile.mkdtemp(prefix="dtl-kills-"))
    whole, broken = (copy_of(place / which) for which in ("whole", "broken"))
    for folder in (whole, broken):
        prepare(folder)
    seconds = to_the_end(command, whole, allowed)
    alive, started = disturbed(command, broken, kills, min(seconds, window), rng)
    rest = to_the_end(command, broken, allowed)
    one, other = found(whole), found(broken)
    differing = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
    if not differing:
        shutil.rmtree(place)
    verdict = "the same" if not differing else f"{len(differing)} differ in {place}: {', '.join(differing[:5])}"
    print(f"{name}: {alive} kills in {started} starts; {len(one)} files, {verdict}; "
          f"undisturbed {seconds:.0f} s, after the kills {rest:.0f} s", flush=True)  # fmt: skip
    return not differing and alive == kills


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", nargs="*", choices=[[], "book", "survey"], default=[])
    parser.add_argument("-n", type=int, default=20, help="kills of each")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, dtl = random.Random(options.seed), [sys.executable, "-m", "dtl_core"]
    chosen, good = options.what or ["book", "survey"], True
    if "book" in chosen:
        command = [*dtl, "book", "--profile", "smoke"]
        good &= compare("dtl book", command, book_of, lambda _: None, {0}, options.n, rng, 40.0)
    if "survey" in chosen:
        command = [*dtl, "predict", "stars.zarr", "-o", "made.parquet", "--part-size", "50", "--workers", "2"]
        good &= compare("dtl predict", command, survey_of, simulate, {1}, options.n, rng, 10.0)
    sys.exit(not good)


if __name__ == "__main__":
    main()
