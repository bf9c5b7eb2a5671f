"""Faults planted on purpose in runs of the whole method: nothing lost, nothing stale, one clear line each.

What single modules do with faults stands beside their other tests: killed downloads and cut lines in test_download,
killed, corrupted and changed catalogues in test_bulk, jobs that die in test_workflow.
"""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from click.testing import CliRunner
from disks import needs_disks, on_a_disk
from small import TINY, copy_of, keys_of, stored, tree
from toys import simulated

from dtl_core.cli import main
from dtl_core.pipeline import conduct

pytestmark = pytest.mark.uses_tiny

KILLS = int(os.environ.get("DTL_KILLS", "1"))  # tools/kills.py, which runs every night, has twenty
ROOT = Path(__file__).resolve().parents[2]


def command(root, *more, workers=1):
    settings = [f"--set={name}={value}" for name, value in (TINY | {"workers": workers}).items()]
    return [sys.executable, "-m", "dtl_core", "run", "--profile", "smoke", "--results", str(root), *settings, *more]


def results(root):
    """What a store holds but for what was left by processes that were killed."""
    aside = ("unfinished", "checkpoints", "corrupted", "workflow")
    return {name: digest for name, digest in tree(root).items() if name.split("/")[0] not in aside}


def ends_in_one_line(done, *words):
    """Whether a command ended with status 2 and one line that holds some words, and no traceback."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("dtl: ")]
    assert done.returncode == 2 and len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
    assert all(word in lines[0] for word in words), lines


def killed(what, root, results, rng):
    """Start a command and kill it, with all its children, within a second after some number of results are stored."""
    process = subprocess.Popen(what, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and len(manifests(root)) < results:  # not after a time: machines differ
        time.sleep(0.02)
    time.sleep(rng.random())
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def manifests(root):
    """Manifest of each finished result of a stage -> when it was written."""
    return {path: path.stat().st_mtime_ns for path in root.glob("[!uw]*/*/manifest.json")}


@pytest.mark.nightly
def test_a_run_killed_at_random_moments_ends_with_the_same_bytes(tiny, tmp_path):
    """And as with another number of worker processes; what was finished before a kill is not made again."""
    rng, kept = random.Random(int(os.environ.get("DTL_KILL_SEED", "1"))), {}
    moments = sorted(rng.choices(range(1, len(keys_of(tiny))), k=KILLS))  # its store holds results of other runs too
    for moment in moments:
        killed(command(tmp_path, "--quiet", workers=2), tmp_path, moment, rng)
        kept = manifests(tmp_path) | kept
    assert len(kept) >= moments[-1]
    done = subprocess.run(command(tmp_path, "--quiet", workers=2), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert results(tmp_path) == stored(tiny)
    assert kept.items() <= manifests(tmp_path).items()


@pytest.mark.nightly
def test_two_runs_share_one_store(tiny, tmp_path):
    copy_of(tiny, tmp_path, "synthetic", "observed", "gap", "candidate", "recommended")  # which take most of the time
    both = [subprocess.Popen(command(tmp_path, "--quiet"), stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for one in both:
        _, said = one.communicate(timeout=300)
        assert one.returncode == 0, said
    assert results(tmp_path) == stored(tiny)
    assert not list((tmp_path / "unfinished").iterdir())


def test_corrupted_entries_are_found_by_their_hash_moved_aside_and_made_again(tiny, tmp_path):
    copy_of(tiny, tmp_path / "store")
    store, rng = tiny.store.__class__(tmp_path / "store"), np.random.default_rng(3)
    chosen = [("autoencoder", tiny.keys["autoencoder"][1], "weights.safetensors"),
              ("observed", tiny.keys["observed"], "truth.ecsv"),
              ("catalogue", tiny.keys["catalogue"], "selection.safetensors")]  # fmt: skip
    for stage, key, name in chosen:
        path = store.path(stage, key) / name
        content = bytearray(path.read_bytes())
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))  # one bit
        path.write_bytes(content)
    conduct.run("smoke", overrides=TINY | {"workers": 1}, root=store.root, quiet=True)
    assert results(store.root) == stored(tiny)
    aside = {path.name.rpartition("-")[0] for path in (store.root / "corrupted").iterdir()}
    assert aside == {f"{stage}-{key}" for stage, key, _ in chosen}


def test_a_clock_that_went_back_makes_nothing_stale_and_nothing_anew(tiny, tmp_path):
    """All of a store is of next year, for the clock; a run finds it, and a changed setting is still another result."""
    root, then = tmp_path / "store", time.time() + 365 * 86_400
    copy_of(tiny, root)
    for path in root.rglob("*"):
        os.utime(path, (then, then))
    again = conduct.run("smoke", overrides=TINY | {"workers": 1}, root=root, quiet=True)
    assert again.keys == tiny.keys
    assert all(path.stat().st_mtime > time.time() + 86_400 for path in root.glob("*/*/manifest.json"))
    other = conduct.run("smoke", "observed", overrides=TINY | {"survey.noise": 0.5}, root=root, quiet=True)
    assert other.keys["observed"] != tiny.keys["observed"] and not np.array_equal(other.observed, tiny.observed)


# ---------------------------------------------------------------- disks


@needs_disks
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(tiny, tmp_path):
    """The disk fills up in the middle of a run; with room for it the same command ends with the same bytes."""
    out = tmp_path / "out"
    out.mkdir()
    script = 'mount -t tmpfs -o size=$1k none "$2"; cp -r "$3"/. "$2"; shift 3\n'
    script += '"$@"; echo "status $?" >&2; mount -o remount,size=500m none "$DISK"; "$@" && cp -r "$DISK" "$OUT"'
    disk, stages = tmp_path / "disk", tmp_path / "stages"
    disk.mkdir()
    copy_of(tiny, stages, "synthetic", "observed", "gap", "candidate", "recommended")
    size = sum(path.stat().st_size for path in stages.rglob("*")) // 1024 + 1500  # a member has 4 MB
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISK", str(disk))
        patch.setenv("OUT", str(out))
        done = on_a_disk(script, size, disk, stages, *command(disk, "--quiet"))
    first, _, second = done.stderr.partition("status 2")
    lines = [line for line in first.splitlines() if line.startswith("dtl: ")]
    assert len(lines) == 1 and "cannot be written (No space left on device); free disk space" in lines[0], done.stderr
    assert "Traceback" not in done.stderr and done.returncode == 0, done.stderr
    assert results(out / "disk") == stored(tiny)


@needs_disks
def test_a_store_that_cannot_be_written_is_read_and_no_more(tiny, tmp_path):
    """A finished run is found in a store that is read-only; one that is not is refused in one line."""
    copy_of(tiny, tmp_path / "store")
    before = tree(tmp_path / "store")
    script = 'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; shift; "$@"'
    done = on_a_disk(script, tmp_path / "store", *command(tmp_path / "store"))
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert "the run could not be noted in" in done.stderr and "(Read-only file system)" in done.stderr
    done = on_a_disk(script, tmp_path / "store", *command(tmp_path / "store", "--set=seed=5"))
    ends_in_one_line(done, str(tmp_path / "store"), "cannot be written (Read-only file system)")
    assert tree(tmp_path / "store") == before


# ---------------------------------------------------------------- inputs


def test_one_broken_input_in_ten_costs_itself_alone(tmp_path):
    wavelength, flux, _ = simulated(20)
    folder = tmp_path / "spectra"
    folder.mkdir()
    for k, one in enumerate(flux):
        table = Table({"wavelength": wavelength, "flux": one, "uncertainty": np.full(len(one), 0.01)})
        table.write(folder / f"star_{k:02d}.fits")
    whole = (folder / "star_03.fits").read_bytes()
    (folder / "star_03.fits").write_bytes(whole[: len(whole) // 2])
    (folder / "star_11.fits").write_bytes(b"no spectrum\n" * 50)
    arguments = ["predict", str(folder), "-o", str(tmp_path / "catalogue.ecsv"), "--resolution", "53000", "--quiet"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1, done.output
    named = re.findall(r"^dtl: (\S+?): ", done.stderr, re.M)
    assert sorted(Path(name).name for name in named) == ["star_03.fits", "star_11.fits"], done.stderr
    assert len(Table.read(tmp_path / "catalogue.ecsv")) == 18
    assert json.loads(json.dumps(named)) == named and "Traceback" not in done.output
