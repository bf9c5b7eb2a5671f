"""Whether anything is lost when what runs is killed: ``dtl book`` and ``dtl predict`` of a survey, at random moments.

    python tools/kills.py            twenty kills of each, then to the end, against runs that nothing disturbed
    python tools/kills.py -n 5 book  five, of the book alone

Each works in a copy of the tree; nothing here is changed. Exit status 1 if anything differs in the end,
or if too few kills met it running.
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
    """The sources, without what was made from them."""
    made = (".git", ".venv", ".*cache", ".snakemake", "__pycache__", "results", "_build", "generated", "vendor")
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*made))
    shutil.rmtree(folder / "book" / "notebooks", ignore_errors=True)
    return folder


def environment(folder):
    """Of a command in a copy: its own sources and results."""
    own = {"PYTHONPATH": str(folder), "DTL_RESULTS": str(folder / "results"), "OMP_WAIT_POLICY": "PASSIVE"}
    return os.environ | own


def start(command, folder):
    """A command in a copy, in a session of its own."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment(folder), start_new_session=True, **quiet)


def to_the_end(command, folder, allowed):
    """Run a command. Returns: seconds; anything but an allowed status or one with a traceback ends this program."""
    began = time.monotonic()
    process = start(command, folder)
    _, said = process.communicate()
    if process.returncode not in allowed or "Traceback" in said:
        sys.exit(f"{' '.join(command)}: status {process.returncode}\n{said[-2000:]}")
    return time.monotonic() - began


def disturbed(command, folder, kills, seconds, rng):
    """Kill a command with all its children at random moments, until so many met it alive. Returns: kills, starts."""
    started = alive = 0
    while alive < kills and started < 5 * kills:
        started += 1
        process = start(command, folder)
        time.sleep(rng.uniform(0.02, 1.0) * seconds)
        alive += process.poll() is None
        with contextlib.suppress(ProcessLookupError):  # it ended before
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return alive, started


def digest(content):
    return hashlib.sha256(content).hexdigest()


def book_of(folder):
    """What ``dtl book`` leaves: results of the stages, outputs of the notebooks, text of the pages; no times."""
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
    """What a survey leaves: all files of the catalogue but hidden ones, which were being written.

    Without the stamps of the spectra, which are the times of their files, and what is computed from these.
    """
    stamp = re.compile(rb'"(stamp|check)": "[^"]*"')
    return {path.name: digest(stamp.sub(b"", path.read_bytes())) for path in (folder / "made.parquet").glob("[!.]*")}


def simulate(folder, n=4000, distinct=200):
    """A store of simulated stars, which come again and again, one in ten of them broken."""
    code = "import sys, numpy as np; sys.path.insert(0, 'tests'); from toys import simulated\n"
    code += "from dtl_core import sources\n"
    code += f"w, f, _ = simulated({distinct}); f = np.resize(f, ({n}, f.shape[1])).astype(np.float32)\n"
    code += "f[::10] = np.nan\n"
    code += "a = [dict(flux=f, uncertainty=np.full(f.shape, 0.005, np.float32))]\n"
    code += f"sources.write_zarr('stars.zarr', w, a, {n}, rows=50, resolving_power=53e3, instrument='T', frame='rest')"
    to_the_end([sys.executable, "-c", code], folder, {0})


def compare(name, command, found, prepare, allowed, kills, rng, window):
    """The row of the table for a command; what differs is kept. Returns: whether all kills met it and all agrees."""
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
