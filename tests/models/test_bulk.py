"""Catalogues in parts: complete, resumed, killed, corrupted, written as one file; nothing lost and nothing stale."""

import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.table import QTable
from click.testing import CliRunner
from toys import simulated

from dtl_core.cli import main
from dtl_core.errors import ConfigError, DataError, DTLError
from dtl_core.models import bulk, loading, parallel, prediction
from dtl_core.models.bulk import BulkCatalogue, export
from dtl_core.reading import sources
from dtl_core.reading.sources import open_source

N, PART = 22, 5
BROKEN = (7, 20)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of simulated stars, two of them broken."""
    wavelength, flux, _ = simulated(N)
    flux[list(BROKEN)] = np.nan
    names = np.array([f"star {k}" if k != 3 else "<b>&'\";\n é" for k in range(N)])
    arrays = [{"flux": flux.astype(np.float32), "uncertainty": np.full(flux.shape, 0.005, np.float32), "star": names}]
    about = {"resolving_power": 53_000.0, "instrument": "TEST", "frame": "rest"}
    return sources.write_zarr(tmp_path_factory.mktemp("store") / "stars.zarr", wavelength, arrays, N, rows=4, **about)


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory):
    """The catalogue of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole") / "catalogue.parquet"
    ticks = []
    summary = BulkCatalogue(folder, open_source(store), part=PART).run(progress=ticks.append)
    assert summary == bulk.Summary(parts=5, computed=5, stars=N - 2, refused=2) and sum(ticks) == N
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def copy(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "catalogue.parquet")
    return tmp_path / "catalogue.parquet"


def again(store, folder, **options):
    return BulkCatalogue(folder, open_source(store), part=PART).run(**options)


# ---------------------------------------------------------------- what it holds


def test_it_holds_every_star_once_with_what_predict_says_of_it(store, whole):
    found = pq.read_table(whole).to_pandas()
    spectra, _ = open_source(store).batch().read()
    table = prediction.as_table(*prediction.examine(loading.load(), spectra, strict=False), loading.load())
    assert list(found["star"]) == list(table["star"]) and list(found["file"]) == list(table["file"])
    assert list(found.columns) == table.colnames and len(found) == N - 2
    for name in ("Teff", "e_Teff", "E_[M/H]", "p_domain", "radial_velocity", "snr"):
        np.testing.assert_allclose(found[name], np.asarray(getattr(table[name], "value", table[name])), rtol=2e-4)
    schema = pq.read_schema(whole / "part-0000000.parquet")
    assert schema.field("Teff").metadata[b"unit"] == b"K" and b"dtl-mdwarfs" in schema.metadata[b"description"]


def test_what_is_missing_is_listed(whole):
    rows = list(csv.DictReader((whole / "_refused.csv").open()))
    assert [int(row["file"].rpartition("/")[2]) for row in rows] == list(BROKEN)
    manifest = json.loads((whole / "_manifest.json").read_text())
    assert (manifest["stars"], manifest["refused"], len(manifest["parts"])) == (N - 2, 2, 5)
    assert [part["rows"] for part in manifest["parts"]] == [5, 4, 5, 5, 1]


@pytest.mark.slow
def test_processes_and_other_parts_first_give_the_same_bytes(store, whole, tmp_path):
    folder = tmp_path / "catalogue.parquet"
    some = again(store, folder, parts=range(3, 9))
    assert (some.computed, some.parts) == (2, 5) and not (folder / "_manifest.json").exists()
    assert again(store, folder, workers=2).computed == 3
    assert contents(folder) == contents(whole)


# ---------------------------------------------------------------- again


def test_what_is_there_is_not_computed_again(store, copy, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in copy.glob("*part*")}
    monkeypatch.setattr(parallel, "examine_batch", lambda *_: pytest.fail("computed again"))
    assert again(store, copy).computed == 0
    assert {path: path.stat().st_mtime_ns for path in copy.glob("*part*")} == before


@pytest.mark.parametrize("name", ["part-0000001.parquet", "_part-0000001.json"])
@pytest.mark.parametrize("damage", ["changed", "cut", "deleted"])
def test_a_corrupted_part_is_computed_anew_and_no_other(store, whole, copy, name, damage):
    path = copy / name
    content = path.read_bytes()
    if damage == "deleted":
        path.unlink()
    else:
        middle = len(content) // 2
        rest = b"" if damage == "cut" else bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes(content[:middle] + rest)
    assert again(store, copy).computed == 1
    assert contents(copy) == contents(whole)


@pytest.mark.slow
def test_changed_spectra_are_computed_anew(tmp_path, store, whole):
    from dtl_core.synthetic.examples import write_examples

    paths = sorted(write_examples(tmp_path / "in")[0])
    folder = tmp_path / "out.parquet"
    made = [BulkCatalogue(folder, open_source(tmp_path / "in"), part=1).run().computed]
    paths[1].write_text(paths[1].read_text() + "\n")
    made.append(BulkCatalogue(folder, open_source(tmp_path / "in"), part=1).run().computed)
    paths[2].unlink()
    last = BulkCatalogue(folder, open_source(tmp_path / "in"), part=1).run()
    assert made == [3, 1] and (last.computed, last.stars, last.parts) == (0, 2, 2)
    assert len(pq.read_table(folder)) == 2 and not (folder / "part-0000002.parquet").exists()


@pytest.mark.parametrize(
    ("change", "what"),
    [({"part": 6}, "settings"), ({"velocity": 3.0}, "settings"), ({"name": "MODEL"}, "models"), ({"code": 1}, "code")],
)
def test_a_catalogue_that_was_made_otherwise_is_left_alone(store, copy, tmp_path, monkeypatch, change, what):
    before = contents(copy)
    if "name" in change:
        shutil.copy(loading.registry.find("models/R053000.safetensors"), tmp_path / "one.safetensors")
        change = {"name": str(tmp_path / "one.safetensors")}
    if change.pop("code", None):
        monkeypatch.setattr(bulk, "code_hash", lambda *names: "other")
    with pytest.raises(DataError, match=f"made with other {what}; remove it, or choose another name"):
        BulkCatalogue(copy, open_source(store), **{"part": PART} | change)
    assert contents(copy) == before


def test_a_folder_of_something_else_is_left_alone(store, tmp_path):
    (tmp_path / "thesis.txt").write_text("the only copy")
    with pytest.raises(DataError, match="other files"):
        BulkCatalogue(tmp_path, open_source(store))
    with pytest.raises(DataError, match="is not a folder"):
        BulkCatalogue(tmp_path / "thesis.txt", open_source(store))
    with pytest.raises(ConfigError, match="--part-size"):
        BulkCatalogue(tmp_path / "new", open_source(store), part=-1)


# ---------------------------------------------------------------- faults


def command(store, folder, *more):
    options = ["--part-size", "2", "--quiet", "--workers", "1", *more]
    return [sys.executable, "-m", "dtl_core", "predict", str(store), "-o", str(folder), *options]


@pytest.mark.nightly
@pytest.mark.slow
def test_killed_at_random_moments_it_ends_as_if_nothing_had_been(store, tmp_path):
    expected, folder = tmp_path / "expected.parquet", tmp_path / "killed.parquet"
    started = time.time()
    assert subprocess.run(command(store, expected), capture_output=True).returncode == 1  # two are broken
    duration, rng = time.time() - started, random.Random(8)
    for _ in range(2):
        process = subprocess.Popen(command(store, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   start_new_session=True)  # fmt: skip
        time.sleep(duration * rng.uniform(0.5, 1.0))  # most of the first half is the import of torch
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run(command(store, folder), capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    left = {name: value for name, value in contents(folder).items() if not name.startswith(".")}
    assert left == contents(expected)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_what_is_finished_stays(store, whole, tmp_path, monkeypatch):
    folder, real, written = tmp_path / "catalogue.parquet", bulk.write_atomic, []

    def full(path, content):
        if path.name == "part-0000003.parquet" and len(written) < 1:
            written.append(path)
            raise DTLError("cannot be written (No space left on device)", file=path, remedy="free disk space")
        return real(path, content)

    monkeypatch.setattr(bulk, "write_atomic", full)
    with pytest.raises(DTLError, match="No space left"):
        again(store, folder)
    assert again(store, folder).computed == 2 and contents(folder) == contents(whole)


@pytest.mark.slow
def test_a_worker_that_dies_is_one_line(store, tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "start_worker", os._exit)  # "shipped" is not an exit status either: the worker dies
    with pytest.raises(DTLError, match="worker process died.*finished parts are kept"):
        again(store, tmp_path / "x.parquet", workers=2)


# ---------------------------------------------------------------- one file


@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".csv", ".vot", ".parquet"])
def test_one_file_holds_all_parts_in_order(whole, tmp_path, suffix):
    path = export(whole, tmp_path / f"catalogue{suffix}")
    parts = pq.read_table(whole).to_pandas()
    if suffix == ".parquet":
        assert pq.read_table(path).to_pandas().equals(parts)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the column names, which are the published ones
        table = QTable.read(path, **({"format": "votable"} if suffix == ".vot" else {}))
    assert len(table) == len(parts)
    for name in ("Teff", "E_vsini", "p_domain"):
        np.testing.assert_allclose(np.asarray(getattr(table[name], "value", table[name])), parts[name], rtol=1e-12)
    stars = [str(value).strip() for value in table["star"]]
    assert stars[0] == "star 0" and stars[-1] == "star 21" and len(set(stars)) == len(stars)
    if suffix != ".csv":
        assert str(table["Teff"].unit) == "K"


def test_a_fits_file_of_parts_is_valid(whole, tmp_path):
    from astropy.io import fits

    path = export(whole, tmp_path / "catalogue.fits")
    assert path.stat().st_size % 2880 == 0
    with fits.open(path) as hdus:
        hdus.verify("exception")
        assert len(hdus[1].data) == N - 2 and hdus[1].header["EXTNAME"] == "CATALOGUE"


def test_tidying_leaves_what_is_whole_and_drops_what_is_not(copy, store):
    made = BulkCatalogue(copy, open_source(store), part=PART)
    before = contents(copy)
    assert made.discard_invalid() == ([], []) and contents(copy) == before
    (copy / "part-0000001.parquet").write_bytes(b"PAR1")
    (copy / "part-0000002.parquet").unlink()
    (copy / "_part-0000002.json").unlink()
    assert made.discard_invalid() == ([1, 2], [1])
    assert before.keys() - contents(copy).keys() == {
        "_manifest.json", "_part-0000001.json", "_part-0000002.json", "part-0000002.parquet"
    }  # fmt: skip


def test_a_list_of_parts_that_are_no_more_is_dropped(copy, store):
    manifest = json.loads((copy / "_manifest.json").read_text())
    manifest["parts"].append(manifest["parts"][-1] | {"file": "part-0000005.parquet"})
    for text in (json.dumps(manifest), "{", "[]"):
        (copy / "_manifest.json").write_text(text)
        assert BulkCatalogue(copy, open_source(store), part=PART).discard_invalid() == ([], [])
        assert not (copy / "_manifest.json").exists()


def test_an_unfinished_or_corrupted_catalogue_is_not_exported(copy, tmp_path):
    with pytest.raises(ConfigError, match="cannot write"):
        export(copy, tmp_path / "x.doc")
    (copy / "part-0000002.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="part-0000002.parquet.*hash"):
        export(copy, tmp_path / "x.fits")
    assert not (tmp_path / "x.fits").exists()
    (copy / "_manifest.json").write_text("[")
    with pytest.raises(DataError, match="damaged"):
        export(copy, tmp_path / "x.fits")
    (copy / "_manifest.json").unlink()
    with pytest.raises(DataError, match="is not a finished catalogue"):
        export(copy, tmp_path / "x.fits")


# ---------------------------------------------------------------- the command


@pytest.mark.slow
def test_the_command_makes_resumes_and_exports(store, tmp_path):
    folder, run = str(tmp_path / "c.parquet"), CliRunner().invoke
    common = ["predict", str(store), "-o", folder, "--part-size", "8", "--workers", "1", "--quiet"]
    first = run(main, [*common, "--parts", "0:1"])
    assert "_refused.csv" not in first.output  # there is none yet
    assert first.exit_code == 1 and "7 stars, 1 refused, 3 parts, 1 of them computed now" in first.output
    second = run(main, common)
    assert "20 stars, 2 refused, 3 parts, 2 of them computed now" in second.output and "_refused.csv" in second.output
    done = run(main, ["export", folder, "-o", str(tmp_path / "c.csv")])
    assert done.exit_code == 0 and len((tmp_path / "c.csv").read_text().splitlines()) >= 21


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["-o", "c.parquet", "--parts", "one"], "--parts.*0:10"),
        (["-o", "c.parquet", "--parts", "-1:3"], "--parts.*0:10"),
        (["-o", "c.parquet", "--coadd"], "--coadd"),
        (["-o", "c.parquet", "--json"], "--json"),
        (["-o", "c.fits", "--parts", "0:1"], "--parts.*add -o NAME.parquet"),
        (["-o", "c.doc"], "parquet"),
    ],
)
def test_what_does_not_go_together_is_status_two(store, tmp_path, monkeypatch, more, words):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["predict", str(store), *more])
    assert done.exit_code == 2 and not list(tmp_path.iterdir())
    (line,) = done.output.strip().splitlines()
    assert re.search(words, line), line


def test_a_store_needs_no_parts(store, tmp_path):
    options = ["-o", str(tmp_path / "c.ecsv"), "--workers", "1", "--quiet"]
    done = CliRunner().invoke(main, ["predict", str(store), *options])
    assert done.exit_code == 1 and len(QTable.read(tmp_path / "c.ecsv")) == N - 2
