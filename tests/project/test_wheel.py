"""The package as others get it: an sdist, a wheel built from it, installed and used where there is no clone."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from clone import ROOT, committed

import dtl_core

pytestmark = pytest.mark.slow


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def plain_environment():
    """Environment variables without those that would lead to the clone."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("DTL_", "PYTHON", "COV"))}


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Paths of sdist and wheel, from what git knows alone; the wheel is built from the unpacked sdist."""
    folder = tmp_path_factory.mktemp("dist")
    for path in committed():
        if path.parts[len(ROOT.parts)] in ("dtl_core", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
            there = folder / "tree" / path.relative_to(ROOT)
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, there)
    build = "from setuptools import build_meta; import sys; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
    run(sys.executable, "-c", build, "build_sdist", folder, cwd=folder / "tree")
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (tree,) = (folder / "unpacked").iterdir()
    run(sys.executable, "-c", build, "build_wheel", folder, cwd=tree)
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def elsewhere(packed, tmp_path_factory):
    """Python of an environment with the wheel; its dependencies are those of this one, by a path file."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    purelib = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (purelib / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet"]
    run(*pip, "--force-reinstall", packed[1])
    return python


def test_both_hold_the_code_the_data_and_the_licence(packed):
    sdist, wheel = packed
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = {path.relative_to(ROOT).as_posix() for path in committed() if path.is_relative_to(ROOT / "dtl_core")}
    assert wanted <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests", "notebooks", "book", "results")) for name in names)
    with tarfile.open(sdist) as archive:
        assert wanted <= {name.partition("/")[2] for name in archive.getnames()}
    assert wheel.stat().st_size < 40e6
    assert dtl_core.__version__ in wheel.name and wheel.name.endswith("py3-none-any.whl")


def test_the_wheel_says_what_it_is(packed):
    with zipfile.ZipFile(packed[1]) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("METADATA")]
        metadata = archive.read(name).decode()
    assert "\nRequires-Python: >=3.11\n" in metadata and "\nLicense-Expression: MIT\n" in metadata
    assert "\nDescription-Content-Type: text/markdown\n" in metadata and "Requires-Dist: numpy==" in metadata


def test_it_predicts_in_an_empty_folder_without_a_clone(elsewhere, tmp_path):
    environment = plain_environment()
    where = run(elsewhere, "-c", "import dtl_core; print(dtl_core.__file__)", cwd=tmp_path, env=environment)
    assert Path(where.strip()).is_relative_to(elsewhere.parents[1])
    script = elsewhere.with_name("dtl")
    run(script, "examples", "stars", cwd=tmp_path, env=environment)
    found = run(script, "predict", "stars", "-o", "catalogue.ecsv", "--json", cwd=tmp_path, env=environment)
    stars = json.loads(found)["stars"]
    assert len(stars) == 3 and all(2600 < star["Teff"] < 4500 for star in stars)
    assert (tmp_path / "catalogue.ecsv").is_file()
    info = json.loads(run(elsewhere, "-m", "dtl_core", "info", "--json", cwd=tmp_path, env=environment))
    assert all(text.endswith("ok") for text in info["embedded"].values())


def test_a_command_that_needs_the_clone_says_so(elsewhere, tmp_path):
    command = [elsewhere.with_name("dtl"), "book", "--only", "01"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=plain_environment())
    assert done.returncode == 2 and "run in a clone" in done.stderr and "Traceback" not in done.stderr
