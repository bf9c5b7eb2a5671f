"""Names in any alphabet and of any bytes: read, computed, printed and written in every format, and read again."""

import io
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib.image
import pytest
from astropy.io import fits
from astropy.table import Table
from click.testing import CliRunner

from dtl_core.characters import ascii_only, ascii_table, file_name, legible
from dtl_core.cli import main
from dtl_core.errors import DataError
from dtl_core.models import exports
from dtl_core.synthetic.examples import write_examples

STARS = ["α Centauri B", "恒星 一号", "★ 🌟 star", "e\u0301toile", "نجم", "a\x1b[31m\x07red", "back\\slash $x^2$"]
ESCAPED = ["\\u03b1 Centauri B", "\\u6052\\u661f \\u4e00\\u53f7", "\\u2605 \\U0001f31f star", "e\\u0301toile"]
FORMATS = {".ecsv": "ascii.ecsv", ".fits": "fits", ".vot": "votable", ".csv": "ascii.csv"}
TERMINALS = {
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


def named(folder, number, star, text):
    """A file of this star, whose folder's name is of another alphabet and whose own is no UTF-8."""
    folder = os.fsencode(folder) + "/Ordner_é☆".encode()
    os.makedirs(folder, exist_ok=True)
    path = folder + b"/s\xff_%d.ecsv" % number
    meta = "STAR: " + json.dumps(star, ensure_ascii=False).replace("\\u001b", "\\x1b")
    Path(os.fsdecode(path)).write_text(re.sub(r"STAR: .*?(?=[,}])", lambda _: meta, text, count=1) + "\n" * number)
    return os.fsdecode(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stars")
    text = write_examples(folder / "plain")[0][0].read_text()
    for number, star in enumerate(STARS):
        named(folder, number, star, text)
    return folder / "Ordner_é☆"


def dtl(*arguments, **env):
    command = [sys.executable, "-m", "dtl_core", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, env=os.environ | env)


def run(*arguments):
    done = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def test_escapes_leave_what_can_be_seen():
    assert legible("GJ 699") == "GJ 699" and legible("α 星 é e\u0301 👩\u200d🚀") == "α 星 é e\u0301 👩\u200d🚀"
    assert legible("a\n\x1b\udcff\u202e\x00") == "a\\n\\x1b\\udcff\\u202e\\x00"
    assert ascii_only("α🌟\udcff é") == "\\u03b1\\U0001f31f\\udcff \\xe9"
    assert ascii_only(ascii_only("α")) == ascii_only("α") and legible(legible("\x1b")) == legible("\x1b")
    table = ascii_table(Table({"star": ["α", "b"], "x": [1.0, 2.0]}))
    assert list(table["star"]) == ["\\u03b1", "b"] and table["x"].dtype == float
    line = str(DataError("no\x1b\nflux", file="s\udcff.fits", remedy="α"))
    assert line == "s\\udcff.fits: no\\x1b flux; α"
    line.encode()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_catalogue_of_every_format_holds_them_and_is_read_again(folder, tmp_path, suffix):
    path = tmp_path / f"cat_é☆{suffix}"
    run("predict", folder, "-o", path, "--quiet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of brackets in the names
        table = Table.read(path, format=FORMATS[suffix])
    stars = [str(star) for star in table["star"]]
    assert stars[: len(ESCAPED)] == (ESCAPED if suffix == ".fits" else STARS[: len(ESCAPED)])
    assert len(table) == len(STARS) and all("s\\udcff_" in str(file) for file in table["file"])
    if suffix == ".fits":
        with fits.open(path) as hdus:
            hdus.verify("exception")


@pytest.mark.slow
def test_a_catalogue_in_parts_and_what_is_made_of_it(folder, tmp_path):
    import pyarrow.parquet as pq

    (folder / "broken_é.csv").write_text("wavelength,flux\n1,ö\n")
    arguments = ["predict", folder, "-o", tmp_path / "parts_é.parquet", "--quiet", "--workers", "1"]
    made = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
    (folder / "broken_é.csv").unlink()
    assert made.exit_code == 1, made.output
    assert "broken_é.csv" in (tmp_path / "parts_é.parquet" / "_refused.csv").read_text()
    for suffix in (*FORMATS, ".parquet"):
        run("export", tmp_path / "parts_é.parquet", "-o", tmp_path / f"one{suffix}")
    assert set(pq.read_table(tmp_path / "one.parquet")["star"].to_pylist()) >= set(STARS[:5])


def test_prepared_spectra_and_json(folder, tmp_path):
    out = tmp_path / "p_é.fits"
    found = json.loads(run("prepare", folder, "-o", out, "--json", "--quiet").stdout)
    assert [row["star"] for row in found["stars"]][:5] == STARS[:5]
    assert list(Table.read(out, hdu="STARS")["star"])[: len(ESCAPED)] == ESCAPED
    with fits.open(out) as hdus:
        hdus.verify("exception")
    found = json.loads(run("predict", folder, "--json", "--quiet").stdout)
    assert [row["star"] for row in found["stars"]][:5] == STARS[:5]


@pytest.mark.parametrize("terminal", TERMINALS)
@pytest.mark.slow
def test_a_terminal_without_unicode_shows_escapes(folder, tmp_path, terminal):
    env, some = TERMINALS[terminal], sorted(folder.iterdir())[:3]
    shown = dtl("predict", *some, "-o", tmp_path / "c.fits", **env)
    assert shown.returncode == 0 and b"Traceback" not in shown.stderr, shown.stderr
    assert b"\\u03b1 Centauri B" in shown.stdout and b"\\U0001f31f star" in shown.stdout
    found = json.loads(dtl("prepare", *some, "--json", **env).stdout)
    assert [row["star"] for row in found["stars"]] == STARS[:3]


@pytest.mark.parametrize("env", [{}, TERMINALS["C"]], ids=["UTF-8", "C"])
@pytest.mark.slow
def test_a_file_that_cannot_be_read_is_named_in_one_line(tmp_path, env):
    absent = dtl("predict", f"{tmp_path}/fehlt_ß★\udcff.fits", **env)
    assert absent.returncode == 1 and b"Traceback" not in absent.stderr
    assert len(absent.stderr.splitlines()) == 1 and b"not found" in absent.stderr


@pytest.mark.slow
def test_a_list_of_names_is_read_in_any_locale(folder, tmp_path):
    lines = [os.fsencode(path) for path in sorted(folder.iterdir())]
    (tmp_path / "liste_é.txt").write_bytes(b"\xef\xbb\xbf" + b"\r\n".join([b"# names", *lines, b""]))
    wanted = [os.fsencode(path) for path in sorted(folder.iterdir())]
    code = "import os, sys; from dtl_core.reading.sources import open_source; source = open_source('@' + sys.argv[1]); "
    code += "sys.stdout.buffer.write(b'\\0'.join(map(os.fsencode, source.batch().paths)))"
    for env in ({}, TERMINALS["C"]):
        command = [sys.executable, "-c", code, tmp_path / "liste_é.txt"]
        done = subprocess.run(command, capture_output=True, env=os.environ | env)
        assert done.stdout.split(b"\0") == wanted, done.stderr


@pytest.mark.slow
def test_reports_and_plots_of_all_stars_are_there_and_none_is_written_over(folder, tmp_path):
    some = sorted(folder.iterdir())[:2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of glyphs that a font lacks
        run("predict", *some, "--plots", tmp_path / "plots_é", "--quiet")
    plots = sorted((tmp_path / "plots_é").iterdir())
    assert len(plots) == len(some) and all(re.fullmatch(r"[a-z0-9_]+\.png", plot.name) for plot in plots)
    assert all(matplotlib.image.imread(plot).shape[1] > 500 for plot in plots)
    files = sorted(folder.iterdir())
    page = dtl("explain", files[1], "-o", tmp_path / "r_1_é.html", **TERMINALS["C"])
    assert page.returncode == 0 and page.stderr == b"", page.stderr
    run("explain", files[5], "-o", tmp_path / "r_5_é.html")
    assert STARS[1] in (tmp_path / "r_1_é.html").read_text(encoding="utf-8")
    assert "\x1b" not in (tmp_path / "r_5_é.html").read_text(encoding="utf-8")


def test_names_of_files_tell_stars_of_other_alphabets_apart():
    assert file_name("GJ 699", ".html") == "gj_699.html" and file_name("G 9-40") == "g_9_40"
    names = [file_name(star) for star in (*STARS, "β Centauri B", "恒星 二号", "***", "???")]
    assert len(set(names)) == len(names) and all(re.fullmatch(r"[a-z0-9_]+", name) for name in names)


def test_a_fits_comment_may_come_from_any_text():
    table = Table({"star": ["α"]}, meta={"refused": [{"file": "ß\n.fits", "error": "\x1b"}], "description": "é" * 200})
    with fits.open(io.BytesIO(exports.as_bytes(table, ".fits"))) as hdus:
        hdus.verify("exception")
        assert "\\xe9" in str(hdus[1].header["COMMENT"])
