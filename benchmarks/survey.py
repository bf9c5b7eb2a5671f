"""Speed and memory of `dtl predict` for a survey, and size of its files, by number of stars and jobs.

The simulated stars are in a Zarr store, each with its own noise; the catalogue is written in parts. Every measurement
is one call of the command, its start included.

    python benchmarks/survey.py [stars ...] [--workers 1,2]      such as 1000000: hours, and 20 GB of disk
"""

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import click
import numpy as np

from dtl_core import machine
from dtl_core.models import loading, making
from dtl_core.pipeline import records
from dtl_core.reading import sources
from dtl_core.spectra.operators import window_grid

DISTINCT = 286  # stars: a simulated survey, which is repeated with other noise
SNR = 100.0
STARS, WORKERS = (1024, 8192), (1, 2)


def simulate(path, n, distinct=DISTINCT):
    """A store of n simulated stars at rest, R = 53,000. Returns: Path."""
    config = loading.load().specialist_for(53_000.0).config
    flux, *_ = making.simulated_stars(config, min(n, distinct), [907])
    wavelength = window_grid(config.window)
    margin = (len(wavelength) - flux.shape[1]) // 2
    flux = np.pad(flux, ((0, 0), (margin, margin)), constant_values=1.0).astype(np.float32)
    rng = np.random.default_rng(0)

    def chunks():
        for start in range(0, n, len(flux)):
            clean = flux[: n - start]
            noise = rng.standard_normal(clean.shape, np.float32) / np.float32(SNR)
            yield {"flux": clean * (1 + noise), "uncertainty": np.full(clean.shape, 1 / SNR, np.float32)}

    about = {"resolving_power": 53_000.0, "instrument": "SIMULATED", "frame": "rest"}
    return sources.write_zarr(path, wavelength, chunks(), n, **about)


def timed(command):
    """Seconds that a command takes, and the largest memory, bytes, of one of its processes and of all together."""
    started, largest, together = time.perf_counter(), 0, 0
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = []
    reader = threading.Thread(target=lambda: said.append(process.stderr.read()))
    reader.start()
    while process.poll() is None:
        sizes = machine.tree_memory(process.pid)
        largest, together = max([largest, *sizes]), max(together, sum(sizes))
        time.sleep(0.5)
    reader.join()
    if process.returncode:
        raise RuntimeError(said[0].decode())
    return time.perf_counter() - started, largest, together


def _size(folder):
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def measure(stars=STARS, workers=WORKERS, folder=None):
    """Rows of stars, workers, seconds, start (s, of the command with the first star alone), memory, and bytes: dict."""
    rows, dtl = [], [sys.executable, "-m", "dtl_core"]
    with tempfile.TemporaryDirectory(dir=folder) as place:
        place = Path(place)
        single = simulate(place / "single.zarr", 1)
        start, _, _ = timed([*dtl, "predict", single, "-o", place / "single.parquet", "--workers", 1, "--quiet"])
        for n in stars:
            store = simulate(place / f"{n}.zarr", n)
            for jobs in workers:
                made = place / f"{n}_{jobs}.parquet"
                seconds, each, all_ = timed([*dtl, "predict", store, "-o", made, "--workers", jobs, "--quiet"])
                rows.append({"stars": n, "workers": jobs, "seconds": seconds, "memory_each": each, "memory_all": all_})
                rows[-1] |= {"store_bytes": _size(store), "catalogue_bytes": _size(made)}
                print(rows[-1], file=sys.stderr, flush=True)
            exported, _, _ = timed([*dtl, "export", made, "-o", place / f"{n}.fits"])
            rows[-1]["export_seconds"] = exported
    about = {"snr": SNR, "distinct": DISTINCT, "cores": machine.affordable_workers()}
    return {"rows": rows, "start_seconds": start} | about


@click.command()
@click.argument("stars", nargs=-1, type=int)
@click.option("--workers", default="2")
@click.option("--folder", type=click.Path(), help="For the stars; a temporary one by default.")
@click.option("--record", type=click.Path(), help="Folder of the record to add the rows to; none by default.")
def main(stars, workers, folder, record):
    """Measure, and add the rows to the record if it is given."""
    found = measure(stars or STARS, tuple(map(int, workers.split(","))), folder)
    if record:
        before = records.read("benchmarks", record)["values"].get("survey", {"values": {"rows": []}})["values"]["rows"]
        again = {(row["stars"], row["workers"]) for row in found["rows"]}
        kept = [row for row in before if (row["stars"], row["workers"]) not in again]
        found["rows"] = sorted(kept + found["rows"], key=lambda row: (row["stars"], row["workers"]))
        code = records.code_of_script(__file__, "dtl_core.cli.predicting")
        records.add("benchmarks", "survey", found, folder=record, code=code)


if __name__ == "__main__":
    main()
