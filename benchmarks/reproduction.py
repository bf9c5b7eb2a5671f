"""`dtl reproduce` from scratch to the compared catalogue, on imitated origins, with interruptions and faults.

    python benchmarks/reproduction.py --profile smoke

A server on the loopback address has the layouts, names and sizes of the published files, and our own spectra: stars of
set B at R = 94,600, and nodes of grid A. The published catalogue is the truth with known errors. The command runs in
processes of its own: first it is interrupted, then it fetches the rest, then it runs. This is the only test of
`dtl reproduce`: none of the real origins could be reached where this was written.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from astropy.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from loopback import cut, stall, status
from paper_origins import ERRORS, PaperOrigins

from dtl_core.config import load_profile
from dtl_core.literature import catalogues
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import records, reproduction

CODE = records.code_of_script(__file__, "dtl_core.cli.reproducing")
N_STARS = 24
DTL = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from dtl_core.cli import main; main()"


def with_faults(server, stars, nodes):
    """Let some files fail, each in its own way."""
    gone = status(404)
    server.serve(server.cds_path(stars[0]), b"", gone)  # the archive has it
    server.serve(server.cds_path(stars[1]), server.template(stars[1]), *[stall(10**6)] * 2)
    server.serve(server.cds_path(stars[2]), server.template(stars[2]), cut(3 * 10**6))
    server.serve(server.cds_path(stars[3]), server.template(stars[3])[: -(10**6)])  # not whole, though announced so
    server.serve(server.cds_path(stars[4]), server.template(stars[5]))  # of another star
    for path in (server.cds_path(stars[6]), server.archive_path(stars[6])):
        server.serve(path, b"", *[gone] * 9)
    server.serve(server.node_path(nodes[40]), b"", *[gone] * 9)
    server.serve(server.node_path(nodes[50]), server.good(server.node_path(nodes[50])), cut(10**6), stall(10**6))
    server.serve(server.node_path(nodes[60]), server.good(server.node_path(nodes[60])), status(503))


def command(folder, *words):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    words = ["reproduce", "--yes", "--results", str(folder / "results"), "--timeout", "2", "--tries", "2", *words]
    return subprocess.Popen([sys.executable, "-c", DTL, *words], env=environment, text=True, stderr=subprocess.PIPE)


def finished(process):
    errors = process.communicate()[1]
    if process.returncode:
        raise SystemExit(f"dtl reproduce failed: {errors[-2000:]}")
    return errors


def measure(profile="smoke", n_stars=N_STARS, folder=None):
    """Run everything in an empty folder; the figures of the record: dict of plain values."""
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            return measure(profile, n_stars, temporary)
    folder = Path(folder)
    (folder / "mirror").mkdir(parents=True)
    nodes = reproduction.nodes_of(load_profile(profile, reproduction.settings(())))
    server = PaperOrigins(folder / "made", n_stars, nodes, full=True)
    os.environ |= {"DTL_CACHE": str(folder / "cache"), "DTL_DATA": str(folder / "mirror")}
    os.environ |= {"DTL_CARMENES_URL": server.url, "DTL_PHOENIX_URL": f"{server.url}/phoenix"}
    server.write_published(folder / "mirror")
    with_faults(server, server.truth["karmn"].tolist(), nodes)
    try:
        return _measure(server, profile, folder)
    finally:
        server.stop()


def _measure(server, profile, folder):
    begin = time.perf_counter()
    first = command(folder, "--profile", profile, "--until", "fetch", "--quiet")
    while sum("lte" in path for path, *_ in server.log) < 25:
        if first.poll() is not None:
            raise SystemExit("the fetch ended before it was interrupted")
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    first.communicate()
    before, sent = len(server.log), sum(entry[3] for entry in server.log)
    parts = [path for path in (folder / "cache").rglob("*.part") if path.stat().st_size]
    notes = finished(command(folder, "--profile", profile, "--until", "fetch"))
    fetched, asked = time.perf_counter() - begin, len(server.log)
    finished(command(folder, "--profile", profile))
    seconds, found = time.perf_counter() - begin, reproduction.last_reproduction(folder / "results")
    kept = [path for path in (folder / "cache").rglob("*.fits")]
    return {
        "profile": profile,
        "stars": found["stars"], "nodes": found["nodes"], "missing_stars": len(found["missing_stars"]),
        "missing_nodes": len(found["missing_nodes"]), "replaced_nodes": found["replaced_nodes"],
        "simulated_beside": reproduction.SIMULATED, "seconds": seconds, "fetch_seconds": fetched,
        "bytes_sent": sum(entry[3] for entry in server.log), "bytes_before_interruption": sent,
        "requests": len(server.log), "requests_before_interruption": before,
        "requests_of_the_run": len(server.log) - asked,
        "parts_left": len(parts), "resumed": sum(entry[2] == 206 for entry in server.log[before:]),
        "files_kept": len(kept), "bytes_kept": sum(path.stat().st_size for path in kept),
        "lines_of_what_is_missing": sum(line.startswith("missing: ") for line in notes.splitlines()),
        "results": _against_truth(found, server), "numbers": found["numbers"], "parameters": found["parameters"],
        "catalogue": records.lines(Table.read(f"{found['folder']}/catalogue.ecsv").to_pandas()),
    }  # fmt: skip


def _against_truth(found, server):
    """For each parameter, rmse against the truth, and what is expected and found against the published catalogue."""
    ours = Table.read(f"{found['folder']}/catalogue.ecsv").to_pandas().set_index("karmn")
    truth = server.truth.set_index("karmn").loc[ours.index]
    published, out = catalogues.read_published().set_index("karmn").loc[ours.index], {}
    for p in PARAMETERS:
        error = ours[p] - truth[p]
        out[p] = {
            "rmse_truth": float(np.sqrt(np.mean(error**2))),
            "bias_truth": float(error.mean()),
            "r_truth": float(np.corrcoef(ours[p], truth[p])[0, 1]),
            "spread_truth": float(truth[p].std(ddof=0)),
            "rmse_published": found["parameters"][p]["rmse"],
            "rmse_of_published_errors": float(np.sqrt(np.mean((published[p] - truth[p]) ** 2))),
            "known_error": ERRORS[p],
        }
    return out


@click.command()
@click.option("--profile", default="smoke", show_default=True)
@click.option("--stars", default=N_STARS, show_default=True)
@click.option("--folder", type=click.Path(), help="Of the record; the package's by default.")
def main(profile, stars, folder):
    """Measure and write the record."""
    values = measure(profile, stars)
    for name, value in values.items():
        if name != "catalogue":
            print(f"{name}: {value}", file=sys.stderr)
    print(records.add("reproduction", "mock", values, folder=folder, code=CODE))


if __name__ == "__main__":
    main()
