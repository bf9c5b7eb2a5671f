"""Time to estimate users' spectra: one file with a cold start, and many files, on one core and on all.

The reference is loading PyTorch alone, `python -c "import torch"`, in the same run: no program that uses it can be
faster. Predictions do without it.

    python benchmarks/own_stars.py [number of files]
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from dtl_core import machine
from dtl_core.models import loading, parallel, prediction
from dtl_core.reading.sources import open_source
from dtl_core.synthetic.examples import write_examples

REPEATS = 5


def _seconds(command):
    start = time.perf_counter()
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    return time.perf_counter() - start


def measure(n_files=384, workers=None):
    """Seconds of `dtl predict`, of `dtl explain` and of the reference, and spectra per second of many files: dict."""
    workers = workers or machine.affordable_workers()
    with tempfile.TemporaryDirectory() as folder:
        paths, _ = write_examples(folder)
        dtl = [sys.executable, "-m", "dtl_core"]
        commands = {
            "import torch": [sys.executable, "-c", "import torch"],
            "predict": [*dtl, "predict", paths[0], "--quiet"],
            "explain": [*dtl, "explain", paths[0], "-o", Path(folder) / "report.html"],
        }
        seconds = {name: [] for name in commands}
        for _ in range(REPEATS):  # one after the other, so that a slow phase of the machine affects all of them
            for name, command in commands.items():
                seconds[name].append(_seconds(command))
        files = []
        for number in range(n_files):
            source = paths[number % len(paths)]
            files.append(Path(folder) / f"many_{number:05d}.ecsv")
            files[-1].write_text(source.read_text() + "\n" * (number // len(paths)))  # other content, the same star
        model = loading.load()
        prediction.examine(model, files[:3])  # templates are made
        few = files[: max(3, n_files // 4)]
        start = time.perf_counter()
        prediction.examine(model, few)
        alone = len(few) / (time.perf_counter() - start)
        start = time.perf_counter()
        examined, _ = parallel.examine_files("shipped", open_source(files), workers=workers)
        all_seconds = time.perf_counter() - start
    return {
        "seconds": {name: float(np.median(values)) for name, values in seconds.items()},
        "ratio": [float(v) for v in np.quantile(np.divide(seconds["predict"], seconds["import torch"]), [0.5, 0, 1])],
        "files": len(examined),
        "workers": workers,
        "per_second": {"one process": alone, "all": len(examined) / all_seconds},
        "peak_memory": machine.peak_memory(),
    }


if __name__ == "__main__":
    for name, value in measure(*map(int, sys.argv[1:2])).items():
        print(f"{name:12s} {value}")
