"""The command line: help, one-line errors with status 2, headline figures."""

import json
import os
import subprocess
import sys

import layouts
import pytest
from astropy.table import Table
from click.testing import CliRunner
from command import dtl
from synthetic_star import model

from dtl_core.cli import main
from dtl_core.errors import ConfigError, DataError

DATA = [["data"], ["data", "list"], ["data", "fetch"], ["data", "verify"], ["data", "where"]]


@pytest.mark.parametrize("command", [[], ["run"], ["figures"], ["book"], ["prepare"], *DATA])
def test_help_shows_examples(command):
    result = CliRunner().invoke(main, [*command, "--help"])
    assert result.exit_code == 0
    assert "Examples:" in result.output and "dtl " in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--profile", "tiny"], ["profile", "'tiny'", "smoke, demo, paper"]),
        (["run", "--set", "survey.nois=0"], ["survey.nois", "unknown setting", "noise"]),
        (["run", "--set", "seed"], ["--set", "NAME=VALUE"]),
        (["run", "--set", "autoencoder.epochs=many"], ["autoencoder.epochs", "'many'", "int"]),
        (["run", "--set", "seed=-1"], ["seed", "-1", "out of range"]),
        (["run", "--set", "synthetic.teff_step=0"], ["synthetic.teff_step", "0.0"]),
        (["run", "--set", "regression.epochs=0"], ["regression.epochs", "give 1 to"]),
        (["run", "--set", "regression.mh.filters=64"], ["regression.mh.filters", "2 positive"]),
        (["run", "--until", "dinner"], ["until", "'dinner'", "catalogue"]),
        (["run", "--profile", "smoke", "--spectrum", "nowhere.ecsv"], ["nowhere.ecsv", "not found", "check the path"]),
        (["run", "--profile", "smoke", "--results", "/dev/null/x", "--quiet"], ["/dev/null/x", "DTL_RESULTS"]),
        (["figures", "--results", "nowhere"], ["no finished run", "dtl run"]),
        (["book", "--only", "99_dinner", "--profile", "smoke"], ["99_dinner", "01_domain_gap"]),
        (["data", "list", "--group", "dinner"], ["group", "'dinner'", "published"]),
        (["data", "where", "pass18.csv"], ["'pass18.csv'", "did you mean published/pass18.csv"]),
        (["data", "verify", "dinner"], ["'dinner'", "dtl data list"]),
        (["data", "fetch", "hpf", "--offline"], ["observed/hpf/", "nor whole in the cache", "without --offline"]),
        (["data", "fetch", "hpf", "--teff", "3000:3100"], ["--teff", "phoenix only", "dtl data fetch phoenix"]),
        (["data", "fetch", "phoenix", "--teff", "3000"], ["--teff", "'3000'", "LOW:HIGH"]),
        (["data", "fetch", "phoenix", "--teff", "3010:3020"], ["teff", "no node", "2300, 2400"]),
        (["data", "fetch", "phoenix", "--quiet"], ["--yes", "2186 MB", "add --yes"]),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, words, tmp_path):
    result = dtl(*arguments, env={"DTL_CACHE": str(tmp_path), "DTL_DATA": ""} if arguments[0] == "data" else None)
    assert result.returncode == 2
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and "Traceback" not in result.stderr
    for word in words:
        assert word in lines[0]


def test_a_mistyped_data_folder_is_one_line():
    result = dtl("run", "--profile", "smoke", env={"DTL_DATA": "/nowhere/data"})
    assert result.returncode == 2
    assert result.stderr.strip() == (
        "dtl: /nowhere/data: field 'DTL_DATA': is not a folder; correct the path or unset the variable"
    )


def test_a_truncated_exposure_stops_the_run_in_one_line_and_leaves_nothing(tmp_path):
    mirror = tmp_path / "mirror" / "observed" / "hpf"
    mirror.mkdir(parents=True)
    (mirror / "Slope-1.fits").write_bytes(b"SIMPLE  =                    T / cut short".ljust(500))
    command = ["run", "--profile", "smoke", "--until", "observed", "--quiet", "--results", str(tmp_path / "results")]
    small = ["--set", "synthetic.n_spectra=50", "--set", "survey.n_stars=10"]
    result = dtl(*command, *small, env={"DTL_DATA": str(tmp_path / "mirror")})
    assert result.returncode == 2
    (line,) = [line for line in result.stderr.splitlines() if line.strip()]
    assert "Slope-1.fits" in line and "download the file again" in line
    assert not (tmp_path / "results" / "observed").exists()
    assert not list((tmp_path / "results" / "unfinished").iterdir())


# ---------------------------------------------------------------- dtl data


@pytest.fixture
def two_files(tmp_path, monkeypatch):
    """A registry of two files on the loopback address, an empty cache and no mirror."""
    from loopback import Loopback, entries

    monkeypatch.setenv("DTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DTL_DATA", raising=False)
    server = Loopback()
    entries(monkeypatch, server, ("published/a.csv", b"aaa"), ("published/b.csv", b"bbbb"))
    yield server, tmp_path
    server.stop()


def data(*arguments, **options):
    return CliRunner().invoke(main, ["data", *arguments], **options)


def test_data_is_listed_with_its_place_at_once(tmp_path):
    heavy = "sorted({'numpy', 'pandas', 'astropy', 'astroquery', 'torch', 'requests'} & set(sys.modules))"
    code = f"import sys; from dtl_core.cli import main; main(['data', 'list'], standalone_mode=False); print({heavy})"
    env = os.environ | {"DTL_CACHE": str(tmp_path), "DTL_DATA": ""}
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert loaded.stdout.splitlines()[-1] == "[]", loaded.stderr
    result = dtl("data", "list", env={"DTL_CACHE": str(tmp_path), "DTL_DATA": ""})
    lines = result.stdout.splitlines()
    assert len(lines) > 40 and lines[0].split()[:4] == ["-", "77.3", "kB", "published/mas_buitrago_2024.csv"]
    assert lines[-2].startswith("embedded") and not list(tmp_path.iterdir())
    assert lines[-1].split()[:3] == ["-", "open", "models/paper_R094600.safetensors"]
    rows = json.loads(dtl("data", "list", "--group", "hpf", "--json", env={"DTL_DATA": ""}).stdout)
    assert {row["group"] for row in rows} == {"hpf"} and rows[0]["sha256"] and rows[0]["licence"] == "MIT"


def test_data_goes_from_absent_to_fetched_to_verified(two_files):
    server, folder = two_files
    assert data("where", "published/a.csv").exit_code != 0
    result = data("fetch")
    paths = [str(folder / "cache" / "published" / name) for name in ("a.csv", "b.csv")]
    assert result.exit_code == 0 and result.stdout.splitlines() == paths and result.stderr == ""
    assert data("where", "published/a.csv").stdout.strip() == paths[0]
    assert str(folder / "cache") in data("where").stdout and "mirror    -" in data("where").stdout
    assert data("verify").stdout.split() == ["ok", "cache", "published/a.csv", "ok", "cache", "published/b.csv"]


def test_wrong_data_exit_with_status_1_and_name_the_remedy(two_files):
    server, folder = two_files
    assert data("verify").exit_code == 0  # absent is not wrong
    result = data("verify", "published/b.csv")
    assert result.exit_code == 1 and result.stderr == "dtl: published/b.csv: absent; dtl data fetch published/b.csv\n"
    data("fetch", "published/a.csv")
    (folder / "cache" / "published" / "a.csv").write_bytes(b"xxx")
    result = data("verify")
    assert result.exit_code == 1 and "wrong hash   cache     published/a.csv" in result.stdout
    assert result.stderr == "dtl: published/a.csv: wrong hash; dtl data fetch published/a.csv\n"


def test_a_failed_fetch_is_one_line_and_status_2(two_files):
    from loopback import status

    server, _ = two_files
    server.serve("/published/a.csv", b"aaa", status(404))
    result = data("fetch", "--quiet")
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("dtl: 1 of 2 could not be fetched, the others are kept; first: http://127.0.0.1")
    server.serve("/published/a.csv", b"aaa", *[status(500)] * 2)
    result = data("fetch", "published/a.csv", "--tries", "1")
    assert result.exit_code == 2 and "tries: 1, last: the server answers 500" in result.stderr


def test_phoenix_is_fetched_by_its_range(monkeypatch, tmp_path):
    from dtl_core.public_data import fetching, phoenix

    calls = []
    monkeypatch.setenv("DTL_CACHE", str(tmp_path))
    monkeypatch.setattr(phoenix, "fetch_range", lambda **options: calls.append(options) or [tmp_path / "cut.fits"])
    monkeypatch.setattr(fetching, "fetch", lambda *arguments, **options: 1 / 0)
    result = data("fetch", "phoenix", "--teff", "3000:3100", "--mh", "-0.5:0", "--keep-full", "--workers", "2")
    assert result.exit_code == 0 and result.output == f"{tmp_path / 'cut.fits'}\n"
    (call,) = calls
    assert (call["teff"], call["mh"], call["keep_full"], call["workers"]) == ((3000, 3100), (-0.5, 0), True, 2)
    assert "logg" not in call and call["confirm"](4e8)
    with pytest.raises(ConfigError, match="1000 MB without a terminal"):
        call["confirm"](1e9)
    assert data("fetch", "phoenix", "--yes").exit_code == 0 and calls[-1]["confirm"](1e9)
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.setattr("click.confirm", lambda text, err: text == "Fetch them?" and err)
    assert call["confirm"](1e9) is True


# ---------------------------------------------------------------- dtl prepare


@pytest.fixture
def night(tmp_path):
    """A folder with two exposures of one star, as HPF writes them, and a broken table."""
    folder = tmp_path / "night"
    folder.mkdir()
    layouts.write_hpf(folder, star=model(), velocity=20.0)
    layouts.write_hpf(folder, star=model(), name="Slope-20200102T000000_R01.optimal.fits", velocity=21.0)
    (folder / "broken.csv").write_text("wavelength,flux\n1,oops\n")
    return folder


@pytest.mark.slow
def test_prepare_reports_good_spectra_and_lists_the_broken(night, tmp_path):
    out = tmp_path / "out.fits"
    result = CliRunner().invoke(main, ["prepare", str(night), "-o", str(out), "--json", "--quiet"])
    assert result.exit_code == 1 and "broken.csv" in result.stderr and "Traceback" not in result.stderr
    found = json.loads(result.stdout)
    assert found["resolving_power"] == 53_000  # of the least resolved spectrum, not the profile's
    assert [round(row["velocity"]) for row in found["stars"]] == [20, 21] and len(found["refused"]) == 1
    assert len(Table.read(out, hdu="STARS")) == 2 and len(Table.read(out, hdu="REFUSED")) == 1


def test_prepare_coadds_and_is_strict_when_told(night):
    result = CliRunner().invoke(main, ["prepare", *map(str, sorted(night.glob("Slope*"))), "--coadd", "--quiet"])
    assert result.exit_code == 0, result.output
    (row,) = [line for line in result.stdout.splitlines() if "HPF" in line]
    columns = result.stdout.splitlines()[1].split()
    assert row.split()[columns.index("n_exposures") - len(columns)] == "2"
    strict = CliRunner().invoke(main, ["prepare", str(night), "--strict", "--quiet"])
    assert strict.exit_code != 0 and isinstance(strict.exception, DataError | SystemExit)
