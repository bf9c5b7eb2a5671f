"""From files to a catalogue: the command line, its exit status, formats, reports, and spectra that are broken."""

import dataclasses
import json
import math
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table
from click.testing import CliRunner
from layouts import write_hpf, write_table

from dtl_core.cli import main
from dtl_core.errors import ConfigError, DataError
from dtl_core.models import loading, parallel, prediction, report
from dtl_core.parameters import PARAMETER_COLUMNS
from dtl_core.reading import sources
from dtl_core.synthetic.examples import write_examples

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> $x^2$ ../../etc"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stars")
    write_examples(folder)
    return folder


@pytest.fixture(scope="module")
def examined(folder):
    model = loading.load()
    return model, prediction.examine(model, folder)[0]


def dtl(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def broken_files(folder):
    (folder / "cut.fits").write_bytes(b"SIMPLE  =                    T")
    (folder / "words.csv").write_text("not,a\nspectrum,at all\n")
    write_table(folder / "no_power.csv")


# ---------------------------------------------------------------- the command


def test_one_row_a_star_and_status_zero(folder):
    result = dtl("predict", folder)
    assert result.exit_code == 0
    head, *rows = result.stdout.splitlines()
    assert head.split()[:3] == ["star", "Teff", "[K]"] and len(rows) == 3
    assert re.match(r"Example S\d+ +\d{4} -\d+ \+\d+ +\d\.\d\d -0\.\d\d \+0\.\d\d", rows[0])


def test_a_file_that_is_broken_is_listed_and_the_others_go_on(folder, tmp_path):
    broken_files(tmp_path)
    result = dtl("predict", folder, tmp_path, "-o", tmp_path / "catalogue.ecsv")
    assert result.exit_code == 1 and "Traceback" not in result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("dtl: ")]
    assert len(errors) == 3 and all(name in " ".join(errors) for name in ("cut.fits", "words.csv", "no_power.csv"))
    table = Table.read(tmp_path / "catalogue.ecsv")
    assert len(table) == 3 and len(table.meta["refused"]) == 3


def test_where_nothing_can_be_used_no_catalogue_is_written(tmp_path):
    (tmp_path / "words.csv").write_text("not,a\nspectrum,at all\n")
    result = dtl("predict", tmp_path / "words.csv", "-o", tmp_path / "out.fits")
    assert result.exit_code == 1 and not (tmp_path / "out.fits").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict"], "Missing argument"),
        (["predict", "a.fits", "-o", "catalogue.xyz"], "end the name in .ecsv"),
        (["predict", "a.fits", "--anchors", "known.csv"], "add --adapt"),
        (["predict", "a.fits", "--medium", "water"], "Invalid value"),
        (["predict", "a.fits", "--models", "/nowhere/at/all"], "not found"),
        (["predict", "a.fits", "--instrument", "telescope"], "unknown instrument"),
        (["explain", "a.fits", "-o", "report.pdf"], "end the name in .html"),
        (["explain", "absent.fits"], "absent.fits"),
        (["models", "show", "11000"], "below 42000"),
        (["completion", "csh"], "Invalid value"),
    ],
)
def test_errors_of_usage_are_one_line_and_status_two(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = dtl(*arguments)
    assert result.exit_code == 2 and message in result.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".vot", ".csv"])
def test_catalogues_in_every_format_hold_the_same(folder, tmp_path, suffix, examined):
    path = tmp_path / f"catalogue{suffix}"
    assert dtl("predict", folder, "-o", path, "--quiet").exit_code == 0
    kinds = {".ecsv": "ascii.ecsv", ".fits": "fits", ".vot": "votable", ".csv": "ascii.csv"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of brackets in the names
        table = Table.read(path, format=kinds[suffix])
    wanted = prediction.as_table(*[examined[1], [], examined[0]])
    assert list(map(str, table["star"])) == list(wanted["star"])
    for column in PARAMETER_COLUMNS.values():
        values = np.array(getattr(wanted[column], "value", wanted[column]))
        own = table.columns[wanted.colnames.index(column)]  # a VOTable's identifiers know no brackets
        np.testing.assert_allclose(np.array(own, float), values, rtol=1e-6)
    if suffix != ".csv":
        assert str(table["Teff"].unit) == "K"
    if suffix in (".ecsv", ".vot"):
        assert "Effective temperature" in table["Teff"].description
    if suffix == ".fits":
        assert "Effective temperature" in fits.getheader(path, 1)["TCOMM2"]


def test_json_has_stars_and_refused_and_no_nan(folder, tmp_path):
    broken_files(tmp_path)
    result = dtl("predict", folder, tmp_path, "--json")
    found = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(name))
    assert len(found["stars"]) == 3 and len(found["refused"]) == 3 and result.exit_code == 1
    assert all(math.isfinite(row[c]) for row in found["stars"] for c in PARAMETER_COLUMNS.values())


@pytest.mark.slow
def test_plots_are_written_one_a_star_also_of_one_name(folder, tmp_path):
    path = next(folder.glob("*.ecsv"))
    twin = tmp_path / "twin.ecsv"
    twin.write_text(path.read_text() + "\n")  # another file, the same star
    result = dtl("predict", path, twin, "--plots", tmp_path / "plots", "--quiet")
    assert result.exit_code == 0, result.output
    files = sorted((tmp_path / "plots").iterdir())
    assert len(files) == 2 and all(file.read_bytes()[:4] == b"\x89PNG" for file in files)


def test_exposures_of_a_star_become_one_row(folder, tmp_path):
    path = next(folder.glob("*.ecsv"))
    (tmp_path / "a.ecsv").write_text(path.read_text())
    (tmp_path / "b.ecsv").write_text(path.read_text() + "\n")
    found = json.loads(dtl("predict", tmp_path, "--coadd", "--json").stdout)
    assert len(found["stars"]) == 1


def test_an_exposure_of_an_instrument_needs_no_options(tmp_path, examined):
    """HPF's layout with a spectrum of our own library in it."""
    model, _ = examined
    one = model.specialist_for(94_600)
    labels = np.array([[3300.0, 5.0, -0.1, 3.0]])
    flux = one.reconstruct(labels)[0]
    write_hpf(tmp_path, star=(one.wavelength, flux), velocity=20.0, wiggle=0.005)
    found = json.loads(dtl("predict", tmp_path, "--json").stdout)
    (star,) = found["stars"]
    assert star["resolving_power"] == 53_000 and abs(star["Teff"] - 3300) < 150 and abs(star["logg"] - 5.0) < 0.15


def test_errors_point_the_way_their_names_say(folder):
    (star, *_), _ = prediction.examine(loading.load(), folder, strict=False)
    middle = star.median[:, None]
    uneven = dataclasses.replace(star, low=middle - [1.0, 2.0, 3.0, 4.0], high=middle + [10.0] * 4)
    (row,) = prediction.as_table([uneven], [], loading.load())
    for column in PARAMETER_COLUMNS.values():  # the second level is 68 %
        lower, upper = (float(getattr(row[side + column], "value", row[side + column])) for side in ("e_", "E_"))
        assert lower == pytest.approx(2.0, rel=1e-3) and upper == pytest.approx(10.0, rel=1e-3), column


@pytest.mark.slow
def test_many_files_over_processes_give_what_one_process_gives(folder, tmp_path, monkeypatch):
    files = []
    for number, path in enumerate(sorted(folder.glob("*.ecsv")) * 2):
        files.append(tmp_path / f"s{number}.ecsv")
        files[-1].write_text(path.read_text() + "\n" * number)
    files.insert(2, tmp_path / "absent.ecsv")
    monkeypatch.setattr(prediction, "BATCH", 3)
    ticks = []
    spread, refused = parallel.examine_files("shipped", sources.Files(files), workers=2, progress=ticks.append)
    alone, _ = prediction.examine(loading.load(), files, strict=False)
    assert sum(ticks) == 7 and [name for name, _ in refused] == [str(files[2])]
    assert [one.report.file for one in spread] == [one.report.file for one in alone]
    for one, other in zip(spread, alone, strict=True):
        np.testing.assert_allclose(one.median, other.median, rtol=2e-5)


def test_python_names_one_star_only_for_one_file(folder):
    with pytest.raises(ConfigError, match="several files"):
        sources.read_many(folder, star="GJ 699")
    (one,), _ = sources.read_many(next(folder.glob("*.ecsv")), star="GJ 699")
    assert one.star == "GJ 699"
    with pytest.raises(DataError, match="words"):
        sources.read_many(folder / "words.csv", strict=True)


# ---------------------------------------------------------------- other commands


@pytest.mark.slow
def test_module_and_script_are_the_same_command(folder):
    path = next(folder.glob("*.ecsv"))
    command = [sys.executable, "-m", "dtl_core", "predict", path, "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == dtl("predict", path, "--quiet").stdout


def test_info_names_versions_device_caches_and_what_is_embedded():
    found = json.loads(dtl("info", "--json").stdout)
    assert found["packages"]["torch"] and found["machine"]["cores"] >= 1 and found["cache (DTL_CACHE)"]
    assert all(text.endswith("ok") for text in found["embedded"].values()) and len(found["embedded"]) >= 6
    shown = dtl("info").stdout
    assert "models/R094600.safetensors" in shown and "torch" in shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_shells_script(shell):
    result = dtl("completion", shell)
    assert result.exit_code == 0 and "_DTL_COMPLETE" in result.stdout


def test_models_are_listed_and_shown():
    listed = dtl("models", "list").stdout
    assert listed.count("R = ") == 4 and "94600" in listed and "rmse" in listed
    card = json.loads(dtl("models", "show", "60000").stdout)
    assert card["settings"]["window.resolving_power"] == 53_000 and card["training"]["seed"] == 0


@pytest.mark.slow
def test_models_are_built_and_used(tmp_path, folder, few_surveys):
    small = {"models.n_spectra": 200, "models.epochs": 1, "models.emulator_epochs": 2, "models.members": 1,
             "models.reference_stars": 80, "models.test_stars": 20}  # fmt: skip
    settings = [part for name, value in small.items() for part in ("--set", f"{name}={value}")]
    built = dtl("models", "build", "-o", tmp_path / "own", "--resolution", "70000", "--quiet", *settings)
    assert built.exit_code == 0 and built.stdout.strip().endswith("R070000.safetensors")
    result = dtl("predict", folder, "--models", tmp_path / "own", "--json")
    assert result.exit_code == 0
    assert {row["resolving_power"] for row in json.loads(result.stdout)["stars"]} == {70_000}


def test_examples_say_what_they_are(tmp_path):
    result = dtl("examples", tmp_path / "examples")
    files = sorted((tmp_path / "examples").iterdir())
    assert len(files) == 3 and "simulated with" in result.stdout
    assert all("not a real one" in file.read_text() for file in files)
    again, truth = write_examples(tmp_path / "again")
    assert [p.read_bytes() for p in again] == [(tmp_path / "examples" / p.name).read_bytes() for p in again]
    assert np.all(np.diff(truth["teff"]) > 100)


# ---------------------------------------------------------------- reports


@pytest.mark.slow
def test_explain_writes_one_page_that_needs_nothing_else(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = dtl("explain", next(folder.glob("*.ecsv")))
    page = Path(result.stdout.strip()).read_text()
    assert result.exit_code == 0 and page.count("data:image/png;base64,") == 5 and page.count("<img alt=") == 5
    assert not re.search(r"(?:src|href)=\"(?!data:)", page) and "<script" not in page
    for text in ("Teff [K]", "log g", "[M/H]", "v sin i", "68 %", "90 %", "stand-in"):
        assert text in page
    png = dtl("explain", next(folder.glob("*.ecsv")), "-o", "star.png")
    assert png.exit_code == 0 and Path("star.png").read_bytes()[:4] == b"\x89PNG"


def test_explain_takes_one_star_only(folder):
    result = dtl("explain", folder, "-o", folder / "all.html")
    assert result.exit_code == 2 and "give one file" in result.stderr and not (folder / "all.html").exists()


@pytest.mark.slow
def test_hostile_names_do_no_harm(folder, tmp_path):
    text = next(folder.glob("*.ecsv")).read_text()
    path = tmp_path / "a.ecsv"
    path.write_text(re.sub(r"STAR: .*?(?=[,}])", "STAR: " + json.dumps(HOSTILE).replace("'", "''"), text, count=1))
    result = dtl("explain", path, "-o", tmp_path / "report.html")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page and "<img src=x" not in page and "&lt;img src=x" in page
    assert page.count("<img") == 5 and "default-src 'none'" in page
    assert dtl("explain", path, "-o", tmp_path / "report.png").exit_code == 0
    plots = dtl("predict", path, "--plots", tmp_path / "plots", "--quiet")
    assert plots.exit_code == 0
    assert [file.parent for file in tmp_path.rglob("*.png")].count(tmp_path / "plots") == 1


def test_hidden_lines_move_the_estimate_and_hidden_continuum_does_not(examined):
    model, stars = examined
    one = stars[1]
    specialist = model.specialist_for(one.resolving_power)
    centre, change = report.occlusion(specialist, one.flux)
    assert np.all(np.diff(centre) == pytest.approx(report.WIDTH / 2)) and change.shape == (len(centre), 4)
    strength = np.abs(change).max(1)
    line = strength[np.abs(centre - 8807.05).argmin()] + strength[np.abs(centre - 8826.6).argmin()]
    assert line > 2 * np.median(strength) * 2
    mean = specialist.emulator.mean
    assert np.abs(report.occlusion(specialist, mean)[1]).max() < 1e-3  # nothing is hidden by what is there already


@pytest.mark.slow
def test_a_report_on_a_hopeless_spectrum_still_comes_out(examined, monkeypatch):
    model, stars = examined
    one = dataclasses.replace(stars[0], warnings=("a" * 500,), p=0.006, report=dataclasses.replace(
        stars[0].report, snr=float("nan"), radial_velocity=float("nan"), instrument=""))  # fmt: skip
    page = report.html_report(model, one)
    assert "strange: do not trust" in page and "not given" in page and "a" * 500 in page


def test_an_empty_catalogue_has_all_columns(examined):
    table = prediction.as_table([], [("a.fits", "broken")], examined[0])
    assert isinstance(table, QTable) and len(table) == 0 and "E_[M/H]" in table.colnames
    assert table.meta["refused"] == [{"file": "a.fits", "error": "broken"}]
