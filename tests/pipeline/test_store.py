"""The stage store: keys, atomicity, kill and resume, damage, and equal bytes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from dtl_core.config import SurveyConfig
from dtl_core.errors import StoreError
from dtl_core.files import atomic_path, load_arrays, save_arrays
from dtl_core.pipeline import store as module
from dtl_core.pipeline.store import Store

STAGE = dict(settings={"survey": SurveyConfig(), "seed": 0}, inputs={"earlier": "abc"})


class Compute:
    """Writes one file of arrays and one of text, and counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, folder):
        self.calls += 1
        save_arrays(folder / "a.safetensors", {"x": np.arange(6.0).reshape(2, 3)})
        (folder / "b.txt").write_text("text")


def run(store, compute, name="synthetic", **changes):
    arguments = STAGE | changes
    return store.stage(name, arguments["settings"], arguments["inputs"], compute)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_the_same_key_is_found_again_and_computed_once(tmp_path):
    compute = Compute()
    folder, key = run(Store(tmp_path), compute)
    again, same = run(Store(tmp_path), compute)
    assert (again, same) == (folder, key) and compute.calls == 1
    assert set(contents(folder)) == {"a.safetensors", "b.txt", "manifest.json"}
    np.testing.assert_array_equal(load_arrays(folder / "a.safetensors")["x"], np.arange(6.0).reshape(2, 3))
    assert Store(tmp_path).ready("synthetic", key) and not Store(tmp_path).ready("synthetic", "0" * len(key))
    assert Store(tmp_path).seconds("synthetic", key) >= 0 and np.isnan(Store(tmp_path).seconds("synthetic", "0"))


def test_the_order_of_settings_does_not_matter(tmp_path):
    compute = Compute()
    run(Store(tmp_path), compute)
    run(Store(tmp_path), compute, settings=dict(reversed(STAGE["settings"].items())))
    assert compute.calls == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {"survey": SurveyConfig(noise=0.5), "seed": 0}},
        {"settings": {"survey": SurveyConfig(), "seed": 1}},
        {"inputs": {"earlier": "abd"}},
        {"inputs": {"earlier": "abc", "file": "1"}},
        {"name": "survey"},
    ],
)
def test_another_setting_input_or_stage_is_computed_again(tmp_path, changes):
    compute = Compute()
    folder, key = run(Store(tmp_path), compute)
    other, different = run(Store(tmp_path), compute, **changes)
    assert different != key and other != folder and compute.calls == 2
    assert folder.is_dir() and run(Store(tmp_path), compute)[1] == key and compute.calls == 2


def test_another_version_of_a_library_is_computed_anew(tmp_path, monkeypatch):
    compute = Compute()
    key = run(Store(tmp_path), compute)[1]
    known = module.versions()
    assert known["torch"].split("+")[0] == torch.__version__.split("+")[0]
    monkeypatch.setattr(module, "versions", lambda: known | {"torch": "0.0"})
    assert run(Store(tmp_path), compute)[1] != key


@pytest.mark.parametrize("failure", [ZeroDivisionError, KeyboardInterrupt])
def test_an_exception_leaves_nothing_behind(tmp_path, failure):
    def compute(folder):
        (folder / "half.txt").write_text("half")
        raise failure

    with pytest.raises(failure):
        run(Store(tmp_path), compute)
    assert contents(tmp_path) == {}
    good = Compute()
    folder, _ = run(Store(tmp_path), good)
    assert good.calls == 1 and "half.txt" not in contents(folder)


KILLED = """
import os, sys
sys.path[:0] = [{tests!r}]
from test_store import Store, run

def compute(folder):
    (folder / "b.txt").write_text("te")
    os._exit(9)

run(Store({root!r}), compute)
"""


@pytest.mark.slow
def test_a_killed_run_leaves_no_result_and_the_next_one_succeeds(tmp_path):
    code = KILLED.format(tests=str(Path(__file__).parent), root=str(tmp_path))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 9
    left = contents(tmp_path)
    assert {Path(name).name for name in left} == {"lock", "b.txt"} and all(name.startswith("unf") for name in left)
    compute = Compute()
    folder, key = run(Store(tmp_path), compute)
    assert compute.calls == 1 and (folder / "b.txt").read_text() == "text" and Store(tmp_path).ready("synthetic", key)


@pytest.mark.parametrize("name", ["a.safetensors", "b.txt", "manifest.json"])
@pytest.mark.parametrize("damage", ["changed", "cut", "deleted"])
def test_a_corrupted_file_is_computed_anew(tmp_path, name, damage):
    compute = Compute()
    folder, key = run(Store(tmp_path), compute)
    before, path = contents(folder), folder / name
    if damage == "deleted":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        path.write_bytes(b"x" + path.read_bytes()[1:])
    assert not Store(tmp_path).ready("synthetic", key)
    corrupted = contents(folder)
    assert run(Store(tmp_path), compute) == (folder, key) and compute.calls == 2
    assert contents(folder) == before
    (aside,) = (tmp_path / "corrupted").iterdir()  # kept for debugging
    assert contents(aside) == corrupted


def test_two_runs_give_the_same_bytes(tmp_path):
    one, two = (run(Store(tmp_path / name), Compute())[0] for name in ("one", "two"))
    assert contents(one) == contents(two) and len(contents(one)) == 3


def test_a_result_that_appears_meanwhile_is_kept(tmp_path):
    # two processes at the same stage: the later one finds the finished folder and leaves it
    inner = Compute()

    def compute(folder):
        run(Store(tmp_path), inner)
        inner(folder)

    folder, key = run(Store(tmp_path), compute)
    assert inner.calls == 2 and Store(tmp_path).ready("synthetic", key)
    assert not list((tmp_path / "unfinished").iterdir())


def test_a_root_that_cannot_be_written_is_one_line(tmp_path):
    root = tmp_path / "file"
    root.write_text("in the way")
    with pytest.raises(StoreError) as error:
        run(Store(root), Compute())
    line = str(error.value)
    assert line.startswith(f"{root}: cannot be written") and line.endswith("set DTL_RESULTS") and "\n" not in line


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    def compute(folder):
        (folder / "half.txt").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="No space left on device.*free disk space") as error:
        run(Store(tmp_path), compute)
    assert "\n" not in str(error.value) and contents(tmp_path) == {}


def test_a_file_is_replaced_whole_or_stays_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="No space"), atomic_path(path) as part:
        part.write_text("half")
        raise OSError(28, "No space left on device")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with atomic_path(path) as part:
        part.write_text("new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_default_root_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("DTL_RESULTS", str(tmp_path / "here"))
    assert Store().root == tmp_path / "here" and Store(tmp_path).root == tmp_path
    monkeypatch.delenv("DTL_RESULTS")
    monkeypatch.chdir(tmp_path)
    assert module.default_root().name == "results"


def test_arrays_and_tensors_come_back_and_give_the_same_bytes(tmp_path):
    arrays = {"b": np.arange(12.0)[::2], "a": torch.eye(3), "c": np.asfortranarray(np.ones((2, 3), np.float32))}
    save_arrays(tmp_path / "one", arrays)
    save_arrays(tmp_path / "two", dict(reversed(arrays.items())))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    back = load_arrays(tmp_path / "one")
    assert set(back) == set(arrays) and back["c"].dtype == np.float32
    for name, value in arrays.items():
        np.testing.assert_array_equal(back[name], np.asarray(value))


@pytest.mark.parametrize("kind", ["missing", "cut", "text"])
def test_broken_arrays_are_one_line(tmp_path, kind):
    path = tmp_path / "a.safetensors"
    if kind == "cut":
        save_arrays(path, {"x": np.arange(100.0)})
        path.write_bytes(path.read_bytes()[:-50])
    if kind == "text":
        path.write_text("not arrays")
    with pytest.raises(StoreError) as error:
        load_arrays(path)
    line = str(error.value)
    assert line.startswith(f"{path}: ") and "\n" not in line and "again" in line


def test_what_a_killed_run_left_is_swept_after_a_day(tmp_path):
    store = Store(tmp_path)
    for name, age in (("old", 90_000), ("new", 10), ("of tomorrow", -90_000)):  # the clock may have gone back
        (tmp_path / "unfinished" / name).mkdir(parents=True)
        then = os.stat(tmp_path).st_mtime - age
        os.utime(tmp_path / "unfinished" / name, (then, then))
    store.sweep()
    assert sorted(p.name for p in (tmp_path / "unfinished").iterdir()) == ["new", "of tomorrow"]


@pytest.mark.parametrize("days", [-400, 400])
def test_nothing_is_swept_from_a_run_that_lives_whatever_the_clock_says(tmp_path, monkeypatch, days):
    def compute(folder):
        (folder / "a.txt").write_text("a")
        real = time.time
        monkeypatch.setattr("dtl_core.pipeline.store.time.time", lambda: real() + days * 86_400)
        Store(tmp_path).sweep()
        (folder / "b.txt").write_text("b")

    folder, _ = run(Store(tmp_path), compute)
    assert {path.name for path in folder.iterdir()} == {"a.txt", "b.txt", "manifest.json"}
    assert not list((tmp_path / "unfinished").iterdir())


def test_a_full_disk_that_safetensors_meets_is_an_error_of_the_system(tmp_path, monkeypatch):
    import safetensors

    def full(_arrays, _path):
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        save_arrays(tmp_path / "a.safetensors", {"a": np.zeros(3)})
    assert error.value.errno == 28 and error.value.filename == str(tmp_path / "a.safetensors")
    with pytest.raises(StoreError, match="No space left on device"):
        run(Store(tmp_path), lambda folder: save_arrays(folder / "a.safetensors", {"a": np.zeros(3)}))
