"""The app of notebooks/app.ipynb: what its widgets answer, and the page that Voila makes of it in a browser."""

import contextlib
import html
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from astropy.table import QTable

import dtl_core
from dtl_core.errors import ConfigError, DTLError
from dtl_core.models import app, report
from dtl_core.parameters import PARAMETERS
from dtl_core.reading import formats
from dtl_core.synthetic.examples import write_examples

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return write_examples(tmp_path_factory.mktemp("examples"))[0][1]


def test_without_widgets_it_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ConfigError, match=r"dtl-mdwarfs\[app\]"):
        app.App()


@pytest.fixture
def opened(monkeypatch):
    pytest.importorskip("ipywidgets")
    monkeypatch.setattr(report, "figures", lambda *_: {})  # they have tests of their own
    return app.App()


@pytest.mark.slow
def test_a_file_becomes_a_report_and_a_row(opened, example, tmp_path):
    import base64

    hostile = "<b>x.ecsv"
    made = opened.estimate(hostile, example.read_bytes())
    row = base64.b64decode(re.search(r'href="data:text/plain;base64,([^"]*)"', made).group(1))
    (tmp_path / "row.ecsv").write_bytes(row)
    found, expected = QTable.read(tmp_path / "row.ecsv"), dtl_core.load().predict(example)
    assert list(found["file"]) == [hostile] and found["Teff"][0] == expected["Teff"][0]
    page = html.unescape(re.search(r'srcdoc="([^"]*)"', made).group(1))
    assert f"<td>{expected['Teff'][0].value:.0f}</td>" in page and "<b>" not in made and "<b>x" not in page
    opened.options["velocity"].value = "-17.2"
    known = opened.estimate(hostile, example.read_bytes())
    assert "-17.20" in html.unescape(known) or "17.20" in html.unescape(known)


@pytest.mark.slow
@pytest.mark.parametrize(
    "content, options, words",
    [
        (b"", {}, "is empty"),
        (b"hello", {}, "no rows of numbers"),
        (b"SIMPLE  =", {}, "cut short"),
        (b"wavelength,flux\n5000,1\n5001,2\n", {}, "wavelength"),
        (None, {"velocity": "fast"}, "'fast' is not a number"),
        (None, {"resolving_power": "20000"}, "R = 20000"),
        (None, {"velocity": "9999", "resolving_power": "94600"}, "velocity"),
    ],
)
def test_what_it_cannot_use_is_one_line(opened, example, content, options, words):
    for name, value in options.items():
        opened.options[name].value = value
    content = example.read_bytes().replace(b"RESOLVING_POWER", b"X") if content is None else content
    with pytest.raises(DTLError) as caught:
        opened.estimate("my.ecsv", content)
    assert words in str(caught.value) and "/" not in str(caught.value).partition(";")[0].partition(":")[0]
    opened._file = "my.ecsv", content
    opened._update()
    assert words in html.unescape(opened.result.value) and 'role="alert"' in opened.result.value


# ---------------------------------------------------------------- in a browser


def test_its_page_may_load_nothing_from_elsewhere_and_takes_all_files():
    settings = json.loads((ROOT / "notebooks" / "voila.json").read_text(encoding="utf-8"))["Voila"]
    assert settings["ip"] == "127.0.0.1"
    assert settings["tornado_settings"]["websocket_max_message_size"] == formats.MAX_FILE
    policy = settings["tornado_settings"]["headers"]["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'") and not re.search(r"https?:|\*", policy)
    assert re.search(r"^\tcd notebooks && \S+/voila app.ipynb", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)


@contextlib.contextmanager
def served():
    """The address at which Voila serves the app as ``make app`` does, on the loopback interface."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "voila", "app.ipynb", "--no-browser", f"--Voila.port={port}"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    server = subprocess.Popen(
        command, cwd=ROOT / "notebooks", env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        address, until = f"http://127.0.0.1:{port}/", time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(address + "voila/static/", timeout=5)
            except urllib.error.HTTPError:
                break  # it answers
            except OSError:
                assert server.poll() is None and time.monotonic() < until
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(60)


@pytest.mark.slow
def test_a_spectrum_is_estimated_in_the_browser(chromium, example):
    pytest.importorskip("voila")
    expected = dtl_core.load().predict(example)
    with served() as address:
        context = chromium.new_context()
        page, loads = context.new_page(), []
        own = ("data:", "blob:", "about:", address)
        # the policy of the page stops the fonts that Voila would fetch: there is no answer to such a request
        page.on("response", lambda r: None if r.url.startswith(own) else loads.append(r.url))
        page.goto(address, timeout=120_000, wait_until="commit")
        with page.expect_file_chooser(timeout=120_000) as chooser:
            page.get_by_role("button", name="Choose a spectrum").click(timeout=120_000)
        chooser.value.set_files(example)
        report_page = page.frame_locator("iframe[title=Report]")
        values = report_page.locator("table").first.locator("tbody tr td:nth-child(2)").all_inner_texts
        report_page.locator("table").first.wait_for(timeout=120_000)
        assert values()[0] == f"{expected['Teff'][0].value:.0f}" and len(values()) == len(PARAMETERS)
        assert report_page.locator("figure img").count() >= 4
        with page.expect_download() as saved:
            page.get_by_role("link", name="Download the row").click()
        assert QTable.read(saved.value.path(), format="ascii.ecsv")["Teff"][0] == expected["Teff"][0]
        assert loads == []
        context.close()
