"""The command line: help, one-line errors with status 2, headline figures."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from dtl_core import cli


def dtl(*arguments, env=None):
    command = [sys.executable, "-m", "dtl_core.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | (env or {}))


@pytest.mark.parametrize("command", [[], ["run"], ["figures"], ["book"]])
def test_help_shows_examples(command):
    result = CliRunner().invoke(cli.main, [*command, "--help"])
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
        (["run", "--set", "regression.filters=64"], ["regression.filters", "2 positive"]),
        (["run", "--until", "dinner"], ["until", "'dinner'", "catalogue"]),
        (["run", "--profile", "smoke", "--spectrum", "nowhere.ecsv"], ["nowhere.ecsv", "not found", "check the path"]),
        (["run", "--profile", "smoke", "--results", "/dev/null/x", "--quiet"], ["/dev/null/x", "DTL_RESULTS"]),
        (["figures", "--results", "nowhere"], ["no finished run", "dtl run"]),
        (["book", "--only", "99_dinner", "--profile", "smoke"], ["99_dinner", "01_domain_gap"]),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, words):
    result = dtl(*arguments)
    assert result.returncode == 2
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and "Traceback" not in result.stderr
    for word in words:
        assert word in lines[0]


def test_a_mistyped_data_folder_is_one_line():
    result = dtl("run", "--profile", "smoke", env={"DTL_DATA": "/nowhere/data"})
    assert result.returncode == 2
    assert result.stderr.strip() == (
        "dtl: /nowhere/data: field 'DTL_DATA': is no folder; correct the path or unset the variable"
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


def test_figures_are_the_last_run(smoke):
    as_json = dtl("figures", "--json", "--results", str(smoke.store.root))
    values = json.loads(as_json.stdout)
    assert values["rmse_teff_transfer"] == smoke.figures["rmse_teff_transfer"]
    assert {
        f"{m}_{p}_{arm}"
        for m in ("rmse", "bias", "coverage")
        for p in ("teff", "logg", "mh", "vsini")
        for arm in ("transfer", "direct")
    } <= set(values)
    plain = dtl("figures", "--profile", "smoke", "--results", str(smoke.store.root)).stdout
    assert f"{values['rmse_teff_transfer']:.6g}" in plain


def test_run_prints_where_its_results_lie(smoke):
    result = dtl("run", "--profile", "smoke", "--results", str(smoke.store.root))
    assert result.returncode == 0
    assert str(smoke.store.path("catalogue", smoke.keys["catalogue"])) in result.stdout
    assert "catalogue ready" in result.stderr
