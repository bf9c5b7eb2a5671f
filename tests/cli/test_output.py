"""Where output goes and input comes from: full disks, closed pipes, devices, homes that cannot be written, names."""

import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from click.testing import CliRunner
from disks import needs_disks, on_a_disk
from toys import simulated

from dtl_core import files
from dtl_core.cli import main
from dtl_core.errors import ConfigError, DTLError
from dtl_core.models import adapting, loading
from dtl_core.preparing import chain
from dtl_core.spectra.spectrum import Spectrum
from dtl_core.synthetic.examples import write_examples

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def star(tmp_path_factory):
    return write_examples(tmp_path_factory.mktemp("stars"))[0][0]


def shell(script, *arguments, **options):
    """A finished script of bash, in which dtl is the command."""
    script = f'dtl() {{ {sys.executable} -m dtl_core "$@"; }}; {script}'
    command = ["bash", "-c", script, "script", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


# ---------------------------------------------------------------- standard output


@pytest.mark.parametrize(
    "command", ["predict $1", "prepare $1 --json", "data list", "data list --json", "--help", "--version"]
)
def test_a_full_disk_behind_standard_output_is_one_line(star, tmp_path, command):
    done = shell(f"dtl {command} > /dev/full", star, tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("dtl: ") and "No space left on device" in line


@pytest.mark.parametrize("command", ["data list", "prepare $1"])
def test_a_closed_pipe_is_no_error(star, command):
    done = shell(f"(dtl {command}; echo $? >&2) | true", star)
    assert done.stderr.split() in (["141"], ["0"]), done.stderr
    done = shell(f"dtl {command} >&-", star)
    assert done.returncode == 0 and done.stderr == ""


def test_a_full_standard_error_does_no_harm(star):
    done = shell("dtl predict $1 absent.fits 2> /dev/full", star)
    assert done.returncode == 1 and "Example" in done.stdout


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("command", ["prepare", "predict"])
@pytest.mark.parametrize("place", ["/dev/full/x.fits", "/dev/null/x.fits", "/proc/x.fits", "/proc/new/x.fits"])
def test_where_nothing_can_be_written_is_one_line(star, command, place):
    done = run(command, star, "-o", place, "--quiet")
    assert done.exit_code == 2 and len(done.stderr.splitlines()) == 1
    assert f"dtl: {place}: cannot be written" in done.stderr


def test_devices_pipes_and_folders_are_never_replaced(star, tmp_path):
    os.mkfifo(tmp_path / "pipe.fits")
    (tmp_path / "folder.fits").mkdir()
    (tmp_path / "null.fits").symlink_to("/dev/null")
    before = sorted(tmp_path.iterdir())
    for name in ("pipe.fits", "folder.fits", "null.fits"):
        for command in ("prepare", "predict"):
            done = run(command, star, "-o", tmp_path / name, "--quiet")
            assert done.exit_code == 2 and "a folder or device of this name" in done.stderr, done.output
    assert sorted(tmp_path.iterdir()) == before and (tmp_path / "pipe.fits").is_fifo()
    with pytest.raises(DTLError, match="/dev/full: cannot be written"):
        files.write_atomic("/dev/full", b"x")
    assert Path("/dev/full").is_char_device()


def test_what_a_link_leads_to_is_replaced_and_the_link_stays(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.txt").symlink_to("real/file.txt")
    files.write_atomic(tmp_path / "link.txt", "text")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real" / "file.txt").read_text() == "text"


def test_a_file_that_cannot_grow_is_one_line_and_nothing_is_left(star, tmp_path):
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))}
    env = {key: value for key, value in os.environ.items() if not key.startswith("COV")}  # it writes files too
    done = shell("dtl prepare $1 -o $2/x.fits", star, tmp_path, env=env, **limit)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "x.fits: cannot be written (File too large)" in done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@needs_disks
def test_a_full_or_read_only_folder_is_one_line(star, tmp_path):
    script = 'mount -t tmpfs -o size=8k none "$DISK"; "$@"; echo "status $?" >&2; '
    script += 'mount -o remount,ro none "$DISK"; "$@"; echo "status $?" >&2; ls -A "$DISK"'
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISK", str(tmp_path))
        command = [sys.executable, "-m", "dtl_core", "prepare", star, "--quiet", "-o", tmp_path / "x.fits"]
        done = on_a_disk(script, *command)
    lines = done.stderr.splitlines()
    assert [line for line in lines if line.startswith("status")] == ["status 2"] * 2, done.stderr
    assert "cannot be written (No space left on device)" in lines[0] and "(Read-only file system)" in lines[2]
    assert not done.stdout.endswith("x.fits\n")


def test_an_output_is_none_of_the_files_that_are_read(star, tmp_path):
    own = tmp_path / "own.ecsv"
    own.write_text(star.read_text())
    (tmp_path / "link.ecsv").symlink_to("own.ecsv")
    for command in (
        ["predict", own, "-o", own], ["predict", tmp_path, "-o", own], ["predict", own, "-o", tmp_path / "link.ecsv"],
        ["predict", f"{tmp_path}/*.ecsv", "-o", own], ["prepare", own, "-o", own], ["prepare", tmp_path, "-o", own],
    ):  # fmt: skip
        done = run(*command)
        assert done.exit_code == 2 and "is read too; choose another name" in done.stderr, command
    assert own.read_text() == star.read_text()


def test_a_missing_folder_is_made(star, tmp_path):
    for number, command in enumerate((["predict"], ["prepare"])):
        out = tmp_path / "a" / str(number) / "x.fits"
        assert run(*command, star, "-o", out, "--quiet").exit_code == 0 and out.is_file()


# ---------------------------------------------------------------- names on the command line


def test_the_home_folder_is_found_where_the_shell_leaves_it(star, tmp_path, monkeypatch):
    (tmp_path / "own.ecsv").write_text(star.read_text())
    (tmp_path / "list.txt").write_text("~/own.ecsv\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in ("~/own.ecsv", "~/*.ecsv", "@~/list.txt"):
        assert run("predict", given, "--output=~/out/x.csv", "--quiet").exit_code == 0
        assert (tmp_path / "out" / "x.csv").is_file()
        (tmp_path / "out" / "x.csv").unlink()


@pytest.mark.parametrize(
    "command",
    [["predict", ""], ["predict", " "], ["prepare", ""], ["explain", ""], ["predict", "a.fits", "-o", ""],
     ["predict", "a.fits", "--plots", ""], ["predict", "a.fits", "--models", ""], ["examples", ""],
     ["export", "", "-o", "x.csv"],
     ["models", "build", "-o", ""], ["run", "--spectrum", ""], ["predict", "a.fits", "--adapt", "--anchors", ""]],
)  # fmt: skip
def test_an_empty_name_is_refused(command, tmp_path, monkeypatch, star):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.fits").write_text(star.read_text())
    done = run(*command)
    assert done.exit_code == 2 and "an empty name" in done.stderr and len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.fits"]


@pytest.mark.parametrize(
    "command",
    ["predict {pipe}", "predict @{pipe}", "prepare {pipe}", "explain {pipe}", "predict {star} --models {pipe}",
     "predict {folder}", "predict {star} --adapt --anchors {pipe}", "run --profile smoke --quiet --spectrum {pipe}",
     "export {pipe} -o x.csv", "predict /dev/zero", "predict @/dev/zero", "prepare /dev/tty",
     "predict {folder}/socket.fits"],
)  # fmt: skip
def test_devices_pipes_and_sockets_do_not_hang(star, tmp_path, command):
    import socket

    os.mkfifo(tmp_path / "pipe.fits")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket.fits"))
        given = {"pipe": tmp_path / "pipe.fits", "star": star, "folder": tmp_path}
        before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it hangs"))
        signal.alarm(60)
        done = run(*command.format(**given).split())
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert done.exit_code in (1, 2) and done.stderr
    assert all(line.startswith("dtl: ") for line in done.stderr.splitlines())


# ---------------------------------------------------------------- homes that cannot be written


def test_nothing_is_said_of_a_home_that_cannot_be_written(star, tmp_path):
    env = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "MPL", "NUMBA", "DTL_CACHE"))}
    done = shell("dtl explain $1 -o $2/x.html && dtl predict $1", star, tmp_path, env=env | {"HOME": "/proc/none"})
    assert done.returncode == 0 and done.stderr == "", done.stderr


def test_umap_is_imported_where_numba_can_keep_nothing(tmp_path):
    """Neither beside the package, which this choice of locators stands for, nor at home.

    A small module that asks numba for the same stands in for umap, which takes half a minute without its cache.
    """
    stand_in = "import numba\n\n\n@numba.njit(cache=True)\ndef one():\n    return 1\n\n\nclass UMAP:\n    n = one()\n"
    (tmp_path / "umap.py").write_text(stand_in)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "NUMBA"))}
    env |= {"HOME": "/proc/none", "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator,UserWideCacheLocator"}
    env |= {"TMPDIR": str(tmp_path), "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    code = "import umap"
    refused = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert "no locator available" in refused.stderr
    code = "from dtl_core.machine import load_umap; print(load_umap().UMAP.__name__, load_umap() is load_umap())"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "UMAP True\n" and done.stderr == "", done.stderr
    assert not list(tmp_path.glob("dtl-numba-*"))  # it is gone in the end


# ---------------------------------------------------------------- messages


def test_a_warning_names_its_file_among_several(star, tmp_path):
    for name in ("a.ecsv", "b.ecsv"):
        (tmp_path / name).write_text(star.read_text().replace("vacuum", "") + "\n" * (name == "b.ecsv"))
    done = run("predict", tmp_path, "--quiet")
    lines = [line for line in done.stderr.splitlines() if "medium not stated" in line]
    assert [re.match(r"(\S+): Example \w+: ", line)[1] for line in lines] == [f"{tmp_path}/{n}.ecsv" for n in "ab"]
    shown = run("prepare", tmp_path, "--quiet").stdout
    assert f"{tmp_path}/a.ecsv: Example" in shown and f"{tmp_path}/b.ecsv: Example" in shown
    alone = run("predict", tmp_path / "a.ecsv", "--quiet").stderr
    assert all(line.startswith("Example") for line in alone.splitlines()) and alone


def test_exposures_that_are_put_together_are_not_called_the_second_of_a_star(star, tmp_path):
    for name in ("a.ecsv", "b.ecsv"):
        (tmp_path / name).write_text(star.read_text() + "\n" * (name == "b.ecsv"))
    for command in ("predict", "prepare"):
        assert "second spectrum of" in run(command, tmp_path, "--quiet").output
        assert "second spectrum of" not in run(command, tmp_path, "--coadd", "--quiet").output
    other = tmp_path / "c.ecsv"  # of another instrument: it is still the second
    other.write_text(star.read_text().replace("INSTRUME: simulated", "INSTRUME: other") + "\n\n")
    assert run("predict", tmp_path, "--coadd", "--quiet").stderr.count("second spectrum of") == 1


# ---------------------------------------------------------------- a known velocity while adapting


def test_a_known_velocity_is_used_while_adapting(monkeypatch, tmp_path):
    wavelength, flux, _ = simulated(31, 905, 53_000.0)
    none = np.zeros(len(wavelength), bool)
    shifted = wavelength * (1 + 20.0 / 299_792.458)
    stars = [
        Spectrum(f"T{k}", shifted, one, np.full(len(one), 0.01), none, none, 53_000.0, "test", "barycentric")
        for k, one in enumerate(flux)
    ]

    class Stop(Exception):
        pass

    def seen(items, config, **options):
        seen.reports = plain(items, config, **options)[1]
        raise Stop

    plain = chain.prepare_many
    monkeypatch.setattr(chain, "prepare_many", seen)
    with pytest.raises(Stop):
        loading.load().adapt(stars, velocity=19.0)
    assert {round(report.velocity, 6) for report in seen.reports} == {19.0} and seen.reports[0].e_velocity == 0
    with pytest.raises(Stop):
        adapting.adapt(loading.load(), stars)
    assert all(abs(report.velocity - 20) < 1 and report.e_velocity > 0 for report in seen.reports)
    monkeypatch.setattr(chain, "prepare_many", plain)
    with pytest.raises(ConfigError, match="-1000 km/s is beyond 250"):
        loading.load().adapt(stars, velocity=-1000.0)
    (tmp_path / "stars").mkdir()
    for one in stars:
        table = Table({"wavelength": one.wavelength, "flux": one.flux})
        table.meta = {"STAR": one.star, "R": 53_000, "FRAME": "barycentric", "MEDIUM": "vacuum"}
        table.write(tmp_path / "stars" / f"{one.star}.ecsv")
    monkeypatch.setattr(chain, "prepare_many", seen)
    with pytest.raises(Stop):
        run("predict", tmp_path / "stars", "--adapt", "--rv", "19.5", "--quiet")
    assert {round(report.velocity, 6) for report in seen.reports} == {19.5}
