"""The page that estimates a spectrum in the browser: it agrees with dtl predict, and refuses what it cannot read."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from browser import SIZES, _axe, silent_page
from spectrum_texts import samples

import dtl_core
from book.maker import quick_look
from dtl_core.models import prediction
from dtl_core.parameters import PARAMETERS, TABLE
from dtl_core.spectra import operators
from dtl_core.synthetic.examples import VELOCITY, write_examples

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "book" / "_static"
slow = pytest.mark.slow
LIMITS = np.array(list(quick_look.TOLERANCE.values()))
SEED, N = 7, 12
DARK = "html[data-theme=dark]{--pst-color-background:#121212;color:#ced6dd;background:#121212}"


@pytest.fixture(scope="module")
def files():
    return quick_look.quick_look_files()


@pytest.fixture(scope="module")
def address(files, tmp_path_factory):
    """The page without the book around it, as a file."""
    raw = re.search(r"```\{raw\} html\n(.*?)```", files["quick_look.md"], re.S).group(1)
    style = DARK + "".join((STATIC / f"{name}.css").read_text() for name in ("book", "sliders", "quick_look"))
    root = tmp_path_factory.mktemp("book")
    for name in ("quick_look", "generated"):
        (root / name).mkdir()
    for name, script in quick_look.network_files().items():
        (root / "quick_look" / name).write_text(script, encoding="utf-8")
    (root / "panels.js").write_bytes((STATIC / "panels.js").read_bytes())
    (root / "generated" / "quick_look.html").write_text(
        '<!doctype html><html lang="en" data-content_root="../"><meta charset="utf-8"><title>quick look</title>'
        f'<meta name="viewport" content="width=device-width"><style>{style}</style>'
        f'<script src="../panels.js"></script><body><main><h1>Title</h1>{raw}</main></body></html>',
        encoding="utf-8",
    )
    return (root / "generated" / "quick_look.html").as_uri()


@pytest.fixture
def page(chromium, address):
    """The page, which must stay silent and load nothing but its own files."""
    with silent_page(chromium) as opened:
        opened.goto(address)
        yield opened


RUN = """async ([text, options]) => {
  try {
    const found = await dtlQuickLook.run(text, options);
    return { ...found, flux: Array.from(found.flux), model: null, wavelength: null };
  } catch (problem) { return { error: problem.message }; }
}"""


def estimated(page, sample):
    options = {"velocity": sample.velocity, "medium": sample.medium, "power": sample.resolving_power or ""}
    return page.evaluate(RUN, [sample.text, options])


def predicted(folder, sample):
    path = folder / sample.name
    path.write_text(sample.text, encoding="utf-8")
    given = {"medium": sample.medium or None, "resolving_power": sample.resolving_power}
    given = {name: value for name, value in given.items() if value}
    (examination,), _ = prediction.examine(dtl_core.load(), [path], velocity=sample.velocity, **given)
    return examination


def small(velocity=0.0):
    """A text without noise, of a star of eight lines."""
    wavelength = np.arange(8790.0, 8846.0, 0.03)
    depth = sum(0.4 * np.exp(-0.5 * ((wavelength - at) / 0.15) ** 2) for at in np.linspace(8803, 8832, 8))
    shifted = operators.doppler_shift(wavelength, velocity)
    return "wavelength,flux\n" + "".join(f"{x:.4f},{y:.5f}\n" for x, y in zip(shifted, 1 - depth, strict=True))


# ---------------------------------------------------------------- the same values


@slow
def test_it_agrees_with_dtl_predict(page, tmp_path):
    kinds, limits = set(), np.array([5.0, 0.01, 0.02, 0.2])  # K, dex, dex, km/s
    assert limits.tolist() == LIMITS.tolist(), "what the page states"
    for sample in samples(N, SEED):
        found, expected = estimated(page, sample), predicted(tmp_path, sample)
        assert "error" not in found, (sample.name, found)
        values = np.stack(
            [expected.median, expected.low[:, prediction.ONE_SIGMA], expected.high[:, prediction.ONE_SIGMA]], 1
        )
        assert (np.abs(np.array(found["values"]) - values) <= limits[:, None]).all(), sample.name
        np.testing.assert_allclose(found["flux"], expected.flux, atol=1e-5)  # far less than the values may differ
        assert found["used"] == expected.resolving_power
        assert (found["snr"] or np.nan) == pytest.approx(expected.report.snr, nan_ok=True, rel=1e-6)
        strange = found["unlike"]["p"] <= 0.05
        assert strange <= ("strange" in expected.flag), "what the page calls strange, dtl predict does"
        if expected.strange != "disagreement":
            assert found["unlike"]["p"] == pytest.approx(expected.p, abs=1e-6)
        about = {"power": expected.resolving_power, "noise": np.isfinite(expected.report.snr), "strange": strange}
        kinds |= {
            *about.items(),
            ("cosmic", expected.report.n_cosmic > 0),
            ("lost", expected.report.masked_fraction > 0.05),
        }
    assert len({value for name, value in kinds if name == "power"}) == 4, "all networks were used"
    assert {(name, value) for name in ("noise", "strange", "cosmic", "lost") for value in (True, False)} <= kinds


@slow
@pytest.mark.data
def test_it_agrees_on_real_spectra(page, tmp_path):
    from dtl_core.public_data.registry import data_mirror

    model, seen = dtl_core.load(), 0
    for path in sorted((data_mirror() / "observed" / "window_more").glob("*.csv")):
        ((expected,), _) = prediction.examine(model, [path])
        found = page.evaluate(
            RUN, [path.read_text(), {"velocity": expected.report.velocity, "medium": "vacuum", "power": ""}]
        )
        assert (np.abs(np.array(found["values"])[:, 0] - expected.median) <= LIMITS).all(), path.name
        seen += 1
    assert seen >= 3


def with_velocity(sample, velocity):
    text = sample.text.replace("FRAME: rest", "FRAME: barycentric")
    return dataclasses.replace(sample, text=text, velocity=velocity)


@slow
def test_a_wrong_velocity_or_medium_is_called_strange(page):
    """dtl predict measures the velocity, the page cannot: values that are off by much must not look ordinary."""
    for sample in samples(6, SEED + 1):
        right = estimated(page, sample)
        for error in (-82.4, 30.0):  # the first: air wavelengths taken for vacuum
            wrong = estimated(page, with_velocity(sample, sample.velocity + error))
            if "error" in wrong:
                continue
            off = np.abs(np.array(wrong["values"])[:, 0] - np.array(right["values"])[:, 0])
            assert wrong["unlike"]["p"] <= 0.05, (sample.name, error, off)


# ---------------------------------------------------------------- what it refuses

WHOLE = {"velocity": "0", "medium": "vacuum", "power": "94600"}
ROWS = small().split("\n")
CUT = "\n".join([ROWS[0], *ROWS[400:900]])
GAPS = "\n".join(f"{row.split(',')[0]},nan" if k % 2 and k else row for k, row in enumerate(ROWS) if row)


REFUSED = [
    ("", {}, "file: has no rows of numbers"),
    ("hello\nworld\n", {}, "file: has no rows of numbers"),
    ("SIMPLE  =                    T" + " " * 3000, {}, "dtl predict"),
    ("a\0b", {}, "is not text"),
    (small(), {"velocity": ""}, "velocity: is not given"),
    (small(), {"velocity": "fast"}, 'velocity: "fast" is not a number'),
    (small(), {"velocity": "400"}, "velocity: 400 km/s is beyond 250"),
    (small(), {"medium": ""}, "air or vacuum"),
    (small(), {"power": ""}, "resolving power: is not given"),
    (small(), {"power": "20000"}, "R = 20000 is below 42000"),
    (small(), {"power": "-5"}, "R = -5 is below"),
    ("# FRAME: rest\n" + small(), {"velocity": "12"}, "says that it is at rest"),
    (CUT, {}, "wavelength: covers"),
    (GAPS, {}, "50 % of the window's pixels are bad"),
    (re.sub(r",(?=\d)", ",-", small()), {}, "flux:"),
    (small().replace("wavelength,flux", "wavelength,light"), {}, "flux: no column has such a name"),
    (small().replace("wavelength,flux", "wavelength,flux\nfurlong,counts"), {}, "furlong"),
    (small().replace("wavelength,flux", "wavelength,ivar"), {}, "ivar: is a kind of column"),
    (small().replace("wavelength,flux", "flux,flux_star"), {}, "flux: may be flux or flux_star"),
    (small().replace("wavelength,flux", "wavelength,flux,error"), {}, "names: the line above the numbers"),
    ("\n".join([*ROWS[:200], "8796.0,0.9,7", *ROWS[200:]]), {}, "row 200: has 3 cells, the first row 2"),
    ("\n".join([*ROWS[:200], "8796.0,high", *ROWS[200:]]), {}, 'row 200: "high"'),
    ("\n".join([*ROWS[:200], *ROWS[150:]]), {}, "is not strictly increasing"),
    ("\n".join(["wavelength,flux", *(f"{k},1.0" for k in range(1, 5000))]), {}, "wavelength:"),
    ("wavelength,flux\n" + "".join(f"{8780 + k / 2},{1 + k % 2 / 9}\n" for k in range(180)), {}, "too wide for R"),
    ("\n".join(["wavelength,flux", *ROWS[1:400], *ROWS[600:]]), {}, "has steps of more than 3"),
]  # fmt: skip


@slow
def test_bad_input_is_one_line_with_a_remedy(page):
    for number, (text, changes, words) in enumerate(REFUSED):
        for name, value in (WHOLE | changes).items():
            field = page.locator(f"#quick-look-{name}")
            field.select_option(value) if name == "medium" else field.fill(value)
        file = {"name": f"file{number:02d}.csv", "mimeType": "text/csv", "buffer": text.encode()}
        page.locator("#quick-look-file").set_input_files(file)
        page.wait_for_function("name => document.querySelector('.quick-look .error').textContent.startsWith(name)",
                               arg=file["name"])  # fmt: skip
        line = page.locator(".quick-look .error").text_content()
        assert words in line and "; " in line and "\n" not in line, (words, line)
        assert "NaN" not in page.locator("div.quick-look").inner_text(), words
        assert page.locator(".quick-look table").count() == 0 and not page.locator(".quick-look .panels").is_visible()
    assert len(REFUSED) > 20


# ---------------------------------------------------------------- the page


def table_of(page):
    page.wait_for_selector(".quick-look table", timeout=20_000)
    rows = page.locator(".quick-look tbody tr")
    return [rows.nth(k).locator("th, td").all_inner_texts() for k in range(rows.count())]


@slow
def test_a_file_is_chosen_and_its_values_are_shown(page, tmp_path):
    paths, _ = write_examples(tmp_path)
    (expected,), _ = prediction.examine(dtl_core.load(), paths[:1], velocity=VELOCITY[0])
    page.get_by_label("Spectrum: CSV").set_input_files(paths[0])
    page.wait_for_function("document.querySelector('.quick-look .error').textContent.includes('velocity')")
    page.get_by_label("Velocity").fill(str(VELOCITY[0]))
    rows = table_of(page)
    assert page.locator(".quick-look .error").text_content() == ""
    assert page.locator(".quick-look .result p").text_content().startswith(f"{expected.report.star}: R = ")
    for row, name, value in zip(rows, PARAMETERS, expected.median, strict=True):
        assert row[0] == TABLE[name].symbol and row[3] == TABLE[name].unit
        assert float(row[1].replace("\u2212", "-")) == pytest.approx(
            float(value), abs=0.5001 * 10 ** -TABLE[name].digits
        )
    assert page.locator(".quick-look path.model").count() == page.locator(".quick-look path.spectrum").count() == 3
    assert "NaN" not in page.locator(".quick-look svg").inner_html()
    page.get_by_label("Resolving power").fill("60000")
    page.wait_for_function(
        "document.querySelector('.quick-look .result').textContent.includes('estimated at R = 53000')"
    )


@slow
def test_the_example_works_by_keyboard_and_fits_a_phone(page, files):
    page.get_by_role("button", name="take the example").focus()
    page.keyboard.press("Enter")
    assert len(table_of(page)) == len(PARAMETERS)
    focus = page.locator(".quick-look button").evaluate("one => getComputedStyle(one).outlineStyle")
    assert focus == "solid"
    for size in SIZES.values():
        page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
        page.wait_for_function("document.documentElement.scrollWidth <= window.innerWidth", timeout=5000)
    page.evaluate(_axe())
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        result = page.evaluate("axe.run(document, {resultTypes: ['violations'], preload: false})")
        assert [v["id"] for v in result["violations"] if v["impact"] in ("serious", "critical")] == [], theme


@slow
def test_a_dropped_file_with_a_hostile_name_does_no_harm(page):
    hostile = "<img src=x onerror=alert(1)>"
    text = f"# OBJECT: {hostile}\n# R: 94600\n# FRAME: rest\n# MEDIUM: vacuum\n{small()}"
    drop = """([name, text]) => {
      const data = new DataTransfer();
      data.items.add(new File([text], name, { type: "text/csv" }));
      const event = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
      document.querySelector(".quick-look .drop").dispatchEvent(event);
    }"""
    page.evaluate(drop, [hostile, text])
    assert len(table_of(page)) == len(PARAMETERS)
    assert hostile in page.locator(".quick-look .result").inner_text()
    page.evaluate(drop, [hostile, "nothing"])
    page.wait_for_function("document.querySelector('.quick-look .error').textContent")
    assert page.locator(".quick-look img, .quick-look script").count() == 0


def test_the_page_holds_what_it_needs_and_says_what_it_is(files):
    page = files["quick_look.md"]
    prose = " ".join(re.sub(r"<script.*?</script>", "", page, flags=re.S).replace("\xa0", " ").split())
    for text in ("quick look", "dtl predict", "velocity", "simulated star", "42 000", "8800–8835", "does not leave"):
        assert text in prose, text
    assert page.count("<script") == page.count("</script>") == 2 and "http" not in page
    held = json.loads(re.search(r'id="quick-look-data">(.*?)</script>', page).group(1))
    assert [one["resolving_power"] for one in held["networks"]] == [94_600, 80_000, 53_000, 42_000]
    scripts = quick_look.network_files()
    assert {one["file"] for one in held["networks"]} | {"quick_look.js"} == set(scripts)
    assert all(len(script) < 3e6 for script in scripts.values())
    assert not any(re.search(r"fetch\(|XMLHttpRequest|https?://", script) for script in scripts.values())


def test_a_package_without_models_says_so(monkeypatch):
    monkeypatch.setattr(quick_look, "_shipped", lambda: [])
    assert "no trained models" in quick_look.quick_look_files()["quick_look.md"]
    assert list(quick_look.network_files()) == ["quick_look.js"]
