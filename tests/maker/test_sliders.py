"""The page of four sliders: data that survive packing, a twin that agrees with the package, the page in a browser."""

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from browser import SIZES, silent_page
from scipy.special import j1

from book.maker import sliders
from dtl_core import lines as lines_module
from dtl_core.config import load_profile
from dtl_core.pipeline.store import Store
from dtl_core.spectra import operators
from dtl_core.synthetic import generation, libraries

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "book" / "_static"
HOSTILE = "</script><script>alert(1)</script>"
# a node, an edge, between nodes; slow and fast
LABELS = [(3500, 5.0, 0.0, 0.0), (2600, 4.5, -1.0, 2.0), (4500, 5.5, 0.6, 30.0), (3130, 4.85, -0.35, 7.0),
          (2725, 5.15, 0.25, 13.5)]  # fmt: skip

pytestmark = pytest.mark.slow  # all need the data of the page


def config():
    found = load_profile("smoke", {"window.resolving_power": 53_000.0})
    return dataclasses.replace(found.window, resolving_power=sliders.RESOLVING_POWER), found.continuum, found


@pytest.fixture(scope="module")
def data():
    return sliders.node_data(*config()[:2])


@pytest.fixture(scope="module")
def files(data, tmp_path_factory):
    run = SimpleNamespace(config=config()[2], store=Store(tmp_path_factory.mktemp("results")))
    found = sliders.slider_files(run)
    assert sliders.slider_files(run) == found, "the same from the store"
    return found


# ---------------------------------------------------------------- data


def test_numbers_survive_packing():
    values = np.random.default_rng(1).normal(size=(3, 4, 50))
    packed = json.loads(json.dumps(sliders.pack(values)))
    back = sliders.unpack(packed, 3, 4)
    assert back.shape == values.shape and np.abs(back - values).max() <= 0.5001 * packed["step"]
    assert packed["step"] == pytest.approx(np.ptp(values) / 65535)
    assert np.array_equal(sliders.unpack(sliders.pack(np.full((2, 5), -0.3)), 2), np.full((2, 5), -0.3))


def test_every_node_of_the_sliders_is_in_the_library(data):
    library = libraries.load_library("grid_a")
    teff, logg, mh, vsini = data["axes"]
    assert (teff[0], teff[-1], logg, mh[0], mh[-1], vsini[-1]) == (2600, 4500, [4.5, 5, 5.5], -1, 0.6, 30)
    assert {(t, g, m) for t in teff for g in logg for m in mh} <= set(map(tuple, library.label))
    assert sliders.unpack(data["log_flux"], 20, 3, 8).shape == (20, 3, 8, 1024)
    assert sliders.unpack(data["continuum"], 20, 3, 8, len(vsini)).shape == (20, 3, 8, len(vsini), 4)
    spread = 1.01 * vsini[-1] / operators.C_KMS * data["window"]["start"]
    assert spread < sliders.EDGE, "lines beyond the window rotate into it"


def test_a_node_at_rest_is_the_library_s_spectrum(data):
    window, continuum, _ = config()
    library = libraries.load_library("grid_a")
    labels = [(teff, logg, mh, vsini) for teff in (2600, 3500, 4500) for logg in (4.5, 5.5) for mh in (-1.0, 0.4)
              for vsini in (0.0, 10.0)]  # fmt: skip
    rows = [np.flatnonzero((library.label == label[:3]).all(1))[0] for label in labels]
    speed = np.array(labels)[:, 3]
    exact = generation.network_spectra(library.wavelength, library.flux[rows], speed, window, continuum)
    np.testing.assert_allclose(sliders.drawn(data, labels), exact, atol=3e-4)  # packed in steps of 4e-5 and 7e-6


@pytest.mark.slow
def test_between_nodes_it_agrees_as_the_page_says(data, files):
    window, continuum, _ = config()
    rms, largest = sliders.accuracy(data, window, continuum)
    assert 1e-5 < rms < 1e-3 and rms < largest < 0.01
    assert f"{100 * rms:.2f}\xa0% of the continuum rms" in files["sliders.md"]
    assert f"{100 * largest:.2f}\xa0% at most" in files["sliders.md"]
    labels = np.array([[3333.0, 4.72, -0.1, 3.3]])
    library = libraries.load_library("grid_a")
    raw = generation.expand(library, labels[:, :3], "cubic")
    exact = generation.network_spectra(library.wavelength, raw, labels[:, 3], window, continuum)
    error = np.abs(sliders.drawn(data, labels) - exact).max()
    for step in np.diag([25, 0.05, 0.05, 0.5]):  # the next position of each slider would be seen
        assert np.abs(sliders.drawn(data, labels + step) - exact).max() > 2 * error, step


def test_the_measure_sees_a_wrong_rotation(data):
    window, continuum, _ = config()
    wrong = data | {"profile": {"x": [0.9 * x for x in data["profile"]["x"]], "weight": data["profile"]["weight"]}}
    right = sliders.accuracy(data, window, continuum, n=20)
    assert sliders.accuracy(wrong, window, continuum, n=20)[0] > 3 * right[0]


def test_the_profile_has_the_transform_of_the_package(data):
    s = np.linspace(0.1, 77, 200)  # 30 km/s at the finest frequency of the page's grid
    e = 0.6
    exact = 2 * (1 - e) * j1(s) / s + 2 * e * (np.sin(s) - s * np.cos(s)) / s**3
    found = np.cos(np.outer(s, data["profile"]["x"])) @ data["profile"]["weight"]
    np.testing.assert_allclose(found, exact / (1 - e / 3), atol=2e-6)
    assert 2 * np.pi * 30 * 0.5 / data["grid"]["step"] < 77


def test_no_spectrum_leaves_the_axis(data):
    teff, logg, mh, _ = data["axes"]
    corners = [(t, g, m, 0.0) for t in teff for g in (logg[0], logg[-1]) for m in (mh[0], mh[-1])]
    flux = sliders.drawn(data, corners)
    assert 0 < flux.min() < 0.2 and sliders.TOP - 0.1 < flux.max() < sliders.TOP


# ---------------------------------------------------------------- page


def test_the_page_says_what_it_is(files):
    page = files["sliders.md"]
    prose = " ".join(re.sub(r"<script.*?</script>", "", page, flags=re.S).replace("\xa0", " ").split())
    for text in (
        "LTE library inside this package", "stand-in", "480 spectra", "2600 to 4500 K", "R = 94 600",
        "log g 4.5, 5, 5.5", "No combination is missing", "to 30 km/s", "all 3501 pixels", "8800 to 8835 Å in vacuum",
    ):  # fmt: skip
        assert text in prose, text
    assert "phoenix" not in page.lower() and "fetch(" not in page and "http" not in page
    (alt,) = re.findall(r":alt: (.*)", page)
    assert len(alt) >= 40 and alt.endswith(".") and not re.search(r"\d|: |[$`*_<>{}\[\]\\#\"]", alt)
    assert files["sliders.png"].startswith(b"\x89PNG") and "{image} sliders.png\n:class: print-only\n" in page
    assert len(page) + len(files["sliders.png"]) + sum(f.stat().st_size for f in STATIC.glob("sliders.*")) < 3e6
    for label in ("lines-in-window", "interpolation"):
        sources = "".join(
            (ROOT / "book" / "maker" / f"{name}.py").read_text()
            for name in ("star_pages", "pages", "interpolation_page")
        )
        assert f"({label})=" in sources, label


def test_nothing_in_the_data_ends_its_element(data, monkeypatch):
    monkeypatch.setattr(sliders, "LINES", (*lines_module.LINES, lines_module.Line(8815.0, HOSTILE, None)))
    text = sliders._block(data)
    assert text.count("<script") == text.count("</script>") == 1 and "```" not in text
    held = json.loads(re.search(r'id="sliders-data">(.*)</script>', text).group(1))
    assert held["lines"][-1] == [8815.0, HOSTILE] and held["log_flux"] == data["log_flux"]


def test_data_are_kept_until_the_window_changes(files, monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(sliders, "node_data", lambda *settings: made.append(settings) or {})
    monkeypatch.setattr(sliders, "accuracy", lambda *a, **b: (0, 0))
    monkeypatch.setattr(sliders, "_page", lambda *a: "")
    monkeypatch.setattr(sliders, "_picture", lambda *a: b"")
    run = SimpleNamespace(config=config()[2], store=Store(tmp_path))
    for resolving_power in (53_000.0, 53_000.0, 80_000.0):  # of the run: the page has its own
        run.config = load_profile("smoke", {"window.resolving_power": resolving_power})
        sliders.slider_files(run)
    assert [window.resolving_power for window, _ in made] == [94_600.0]
    run.config = load_profile("smoke", {"window.step": 0.02})
    sliders.slider_files(run)
    assert len(made) == 2


# ---------------------------------------------------------------- in a browser

slow = pytest.mark.slow
NAMES = ("teff", "logg", "mh", "vsini")
SYMBOLS = ("Teff", "log g", "[M/H]", "v sin i")
_SHOWN, _REFERENCE = (
    f"() => [...document.querySelectorAll('path.{name}')].map(path => path.getAttribute('d')).join('')"
    for name in ("shown", "reference")
)


@pytest.fixture(scope="module")
def address(files, tmp_path_factory):
    """The page without the book around it, as a file."""
    raw = re.search(r"```\{raw\} html\n(.*?)```", files["sliders.md"], re.S).group(1)
    style = "".join((STATIC / f"{name}.css").read_text() for name in ("book", "sliders"))
    folder = tmp_path_factory.mktemp("page")
    for name in ("panels.js", "sliders.js"):
        (folder / name).write_bytes((STATIC / name).read_bytes())
    (folder / "sliders.png").write_bytes(files["sliders.png"])
    (folder / "page.html").write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>sliders</title>'
        f'<meta name="viewport" content="width=device-width"><style>{style}</style>'
        '<script src="panels.js"></script><script src="sliders.js"></script>'
        f'<body><p style="height:8rem">Title and text</p>{raw}'
        f'<img class="print-only" src="sliders.png" alt="{sliders.ALT}"></body></html>',
        encoding="utf-8",
    )
    return (folder / "page.html").as_uri()


@pytest.fixture
def page(chromium):
    """A page that must stay silent and load nothing from elsewhere."""
    with silent_page(chromium) as opened:
        yield opened


def values(page):
    return [float(v) for v in page.eval_on_selector_all("div.sliders input", "all => all.map(one => one.value)")]


@slow
def test_the_script_draws_what_its_twin_does(address, page, data):
    page.goto(address)
    found = np.array([page.evaluate("x => Array.from(dtlSliders.spectrum(...x))", list(label)) for label in LABELS])
    np.testing.assert_allclose(found, sliders.drawn(data, LABELS), rtol=0, atol=1e-9)
    wavelength = page.evaluate("Array.from(dtlSliders.wavelength)")
    np.testing.assert_allclose(wavelength, operators.window_grid(config()[0], margin=False), rtol=0, atol=1e-9)
    beyond = page.evaluate("Array.from(dtlSliders.spectrum(99999, -5, 7, -3))")
    np.testing.assert_allclose(beyond, sliders.drawn(data, [(4500, 4.5, 0.6, 0)])[0], atol=1e-9)


@slow
def test_keys_move_the_spectrum_and_the_address(address, page):
    page.goto(address)
    assert page.evaluate(_REFERENCE) == ""
    for name, symbol in zip(NAMES, SYMBOLS, strict=True):
        before, drawn = values(page), page.evaluate(_SHOWN)
        page.locator("input").and_(page.get_by_label(symbol)).focus()
        page.keyboard.press("PageUp")
        page.wait_for_function(f"before => ({_SHOWN})() !== before", arg=drawn)
        after = values(page)
        assert [a != b for a, b in zip(after, before, strict=True)] == [name == n for n in NAMES]
        slider = page.locator(f"#sliders-{name}")
        shown = page.locator(f"output[for=sliders-{name}]").text_content()
        assert shown == slider.get_attribute("aria-valuetext")
        assert float(shown.split()[0]) == float(slider.input_value())
        assert page.locator("svg").get_attribute("aria-label").count(shown) >= 1
        focus = slider.evaluate("one => getComputedStyle(one).outlineStyle + getComputedStyle(one).outlineWidth")
        assert focus == "solid3px"
    page.wait_for_function("location.hash.includes('vsini=') && !location.hash.includes('vsini=2.0')")
    asked = dict(pair.split("=") for pair in page.url.split("#")[1].split("&"))
    assert [float(asked[name]) for name in NAMES] == values(page)


@slow
def test_the_reference_stays_while_the_spectrum_moves(address, page):
    page.goto(address)
    keep, drop = (page.get_by_role("button", name=name) for name in ("Keep as reference", "Remove reference"))
    assert drop.is_disabled() and page.get_by_text("reference:").is_hidden()
    first = page.evaluate(_SHOWN)
    keep.click()
    page.locator("#sliders-teff").fill("2800")
    page.wait_for_function(f"before => ({_SHOWN})() !== before", arg=first)
    assert page.evaluate(_REFERENCE) == first
    assert page.get_by_text("reference:").is_visible()
    assert "reference" in page.locator("svg").get_attribute("aria-label")
    drop.click()
    assert page.evaluate(_REFERENCE) == "" and drop.is_disabled()


@slow
def test_a_link_brings_the_spectrum_back(address, page, data):
    page.goto(address + "#teff=2900&logg=5.25&mh=-0.40&vsini=12.5")
    assert values(page) == [2900, 5.25, -0.4, 12.5]
    shown = page.evaluate(_SHOWN)
    page.evaluate("location.hash = '#teff=4000'")
    page.wait_for_function(f"before => ({_SHOWN})() !== before", arg=shown)
    assert values(page) == [4000, 5.25, -0.4, 12.5]


@slow
@pytest.mark.parametrize(
    "asked, expected",
    [
        ("teff=1e9&logg=NaN&mh=Infinity&vsini=", [3300, 4.9, 0, 2]),
        ("teff=99999&logg=-4&mh=0x10&vsini=31", [4500, 4.5, 0, 30]),
        ("teff=<img src=x onerror=alert(1)>&logg=%3Cscript%3Ealert(1)%3C/script%3E", [3300, 4.9, 0, 2]),
        ("teff=3000&teff=4000&__proto__=1&constructor[prototype][x]=1", [3000, 4.9, 0, 2]),
        ("javascript:alert(1)", [3300, 4.9, 0, 2]),
        ("%E0%A4%A&mh=0.123", [3300, 4.9, 0.1, 2]),
        ("x" * 100_000, [3300, 4.9, 0, 2]),
    ],
)
def test_no_address_does_harm(address, page, asked, expected):
    page.goto(address + "#" + asked)
    assert values(page) == pytest.approx(expected)
    assert page.locator("div.sliders script, div.sliders img").count() == 0
    assert "NaN" not in page.evaluate(_SHOWN) and page.evaluate("typeof {}.x") == "undefined"


@slow
def test_the_spectrum_shown_is_downloaded(address, page, data, tmp_path):
    page.goto(address + "#teff=3050&logg=4.80&mh=-0.15&vsini=4.5")
    with page.expect_download() as started:
        page.get_by_role("button", name="Download").click()
    assert started.value.suggested_filename == "spectrum_teff3050_logg4.80_mh-0.15_vsini4.5.csv"
    started.value.save_as(tmp_path / "spectrum.csv")
    text = (tmp_path / "spectrum.csv").read_text()
    assert "# Teff 3050 K, log g 4.80 dex, [M/H] -0.15 dex, v sin i 4.5 km/s\n" in text and text.isascii()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines[0] == "wavelength_vacuum_A,flux"
    wavelength, flux = np.loadtxt(lines[1:], delimiter=",").T
    np.testing.assert_allclose(wavelength, operators.window_grid(config()[0], margin=False), atol=1e-6)
    np.testing.assert_allclose(flux, sliders.drawn(data, [(3050, 4.8, -0.15, 4.5)])[0], atol=6e-6)


@slow
def test_it_fits_a_phone_and_names_do_not_overlap(address, page):
    for size in SIZES.values():
        page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
        page.goto(address)
        page.wait_for_function("document.querySelector('svg').clientWidth > 300")
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        boxes = [one.bounding_box() for one in page.locator("svg text.name").all()]
        assert len(boxes) == len(lines_module.LINES)
        x, y, right, bottom = np.array([(b["x"], b["y"], b["x"] + b["width"], b["y"] + b["height"]) for b in boxes]).T
        both = (np.minimum.outer(right, right) - np.maximum.outer(x, x) > 0) & (
            np.minimum.outer(bottom, bottom) - np.maximum.outer(y, y) > 3  # the box is higher than its letters
        )
        assert np.array_equal(both, np.eye(len(boxes), dtype=bool)), size
    page.set_viewport_size({"width": 800, "height": 700})
    page.wait_for_function("Number(document.querySelector('svg').getAttribute('width')) > 600")


@slow
def test_print_and_browsers_without_scripts_have_the_picture(address, page, chromium):
    page.goto(address)
    assert page.locator("div.sliders").is_visible() and not page.locator("img").is_visible()
    page.emulate_media(media="print")
    assert page.locator("img").is_visible() and not page.locator("div.sliders").is_visible()
    context = chromium.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(address)
    assert plain.locator("img").is_visible() and not plain.locator("div.sliders").is_visible()
    context.close()
