"""Check that bounds on small trained networks hold on any processor: rounding differs, and training amplifies it.

    python tools/perturb.py 20                        # all such tests, twenty times (hours)
    python tools/perturb.py 20 tests/bridging         # those of one folder or file; also -k ... of pytest
    python tools/perturb.py 1 --untrained             # with untrained networks, for which the bounds must fail

Each repetition changes the initial weights of all networks in the last digits. For each bound the table shows the
median of the measured values, the worst one, the distance between median and bound in standard deviations, and how
often the bound held. ``--keep FOLDER`` keeps the perturbed smoke runs for the next call.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SHARED = ("synthetic", "observed", "gap")  # stages of a run that train nothing


def run_tests(seed, folder, arguments, untrained):
    """Run the tests once; return the rows that ``tests/support/bounds.py`` wrote and pytest's exit status."""
    noted, results = folder / f"bounds{seed}.jsonl", folder / str(seed)
    noted.unlink(missing_ok=True)
    for stage in SHARED:
        if (folder / "0" / stage).exists() and not (results / stage).exists():
            shutil.copytree(folder / "0" / stage, results / stage)
    own = {"DTL_PERTURB": str(seed), "DTL_BOUNDS": str(noted), "DTL_PERTURB_RESULTS": str(results)}
    own |= {"DTL_UNTRAINED": "1"} if untrained else {}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "trained", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | own, capture_output=True, text=True)
    print(f"{seed}: {done.stdout.strip().splitlines()[-1]}", file=sys.stderr, flush=True)
    if done.returncode:
        print(done.stdout[-3000:], done.stderr[-1000:], file=sys.stderr)
    return [json.loads(line) for line in noted.read_text().splitlines()] if noted.exists() else [], done.returncode


def summary(runs):
    """Return the lines of the table, one per bound, and whether all bounds held in every run."""
    found = {}
    for number, rows in enumerate(runs):
        for row in rows:
            for side, bound, value in (("above", row["above"], row["least"]), ("below", row["below"], row["most"])):
                if bound is not None:
                    own = found.setdefault((row["test"].removeprefix("tests/"), row["what"], side, bound), {})
                    worst = min if side == "above" else max
                    own[number] = worst(own.get(number, value), value)
    lines, good = [], True
    for (test, what, side, bound), values in found.items():
        values = np.array(list(values.values()))
        held = values > bound if side == "above" else values < bound
        worst, spread = (values.min() if side == "above" else values.max()), values.std()
        away = abs(np.median(values) - bound) / spread if spread else np.inf
        good &= bool(held.all())
        numbers = f"{np.median(values):9.4g} {worst:9.4g} {away:8.1f} {held.sum():3d} of {len(values)}"
        lines.append(f"{side} {bound:<8g} {numbers}  {test} | {what}")
    return ["bound            median     worst  spreads held", *lines], good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("times", type=int)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--untrained", action="store_true")
    options, arguments = parser.parse_known_args()
    folder = (options.keep or Path(tempfile.mkdtemp(prefix="perturb-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    results = [run_tests(seed, folder, arguments, options.untrained) for seed in range(options.times)]
    if not options.keep:
        shutil.rmtree(folder)
    lines, good = summary([rows for rows, _ in results])
    print("\n".join(lines))
    sys.exit(not good or any(status for _, status in results))


if __name__ == "__main__":
    main()
