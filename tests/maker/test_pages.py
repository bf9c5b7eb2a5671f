"""Pages made from code and from a run: what is on them, that names from outside do no harm, the same bytes twice."""

import dataclasses
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import write_hpf
from rendering import cells, rendered
from scipy.ndimage import minimum_filter1d

from book.maker import interpolation_page, markdown, pages, star_pages
from book.maker.star_pages import VELOCITIES
from dtl_core import characters, lines
from dtl_core.config import load_profile
from dtl_core.errors import DTLError
from dtl_core.estimates import gap
from dtl_core.files import write_atomic
from dtl_core.literature.real_stars import published_rows
from dtl_core.parameters import PARAMETER_COLUMNS
from dtl_core.pipeline.store import Store
from dtl_core.preparing import chain
from dtl_core.public_data import registry
from dtl_core.public_data.registry import data_mirror
from dtl_core.reading import readers
from dtl_core.spectra import operators
from dtl_core.synthetic import generation, interpolation, label_grid, libraries

ROOT = Path(__file__).resolve().parents[2]
CONFIG = load_profile(
    "smoke", {"window.resolving_power": 53_000.0, "synthetic.n_spectra": 60, "synthetic.vsini": (2.0, 4.0)}
)
HOSTILE = "<script>alert(1)</script>|$x$ `{cite}` [a](b) *c* _d_ {ref}`e`"
MIRROR = data_mirror()
GENERATED = [f"generated/{name}" for name in ("registry", "stars", "stars/gj_699", "stars/g_9_40", "stars/vb_10")]


class Run:
    """What pages need of a finished run: a small synthetic set, two simulated stars, and real ones from files."""

    keys = {}

    def __init__(self, synthetic_set, store, files=()):
        self.config, self.store, self.synthetic = CONFIG, Store(store), synthetic_set
        flux, reports, _ = chain.prepare_many([readers.read(file) for file in files], CONFIG, strict=True)
        rows = [dataclasses.asdict(report) | {"file": Path(report.file).name} for report in reports]
        self.reports, self.truth = pd.DataFrame(rows), pd.DataFrame({"karmn": ["S001", "S002"]})
        self.observed = np.concatenate([synthetic_set["flux"][:2], flux])
        self.wavelength = operators.window_grid(CONFIG.window, margin=False)

    def catalogue_of(self, name):
        rows = np.arange(float(len(self.observed)))
        columns = {f"{e}{column}": 1 + rows for column in PARAMETER_COLUMNS.values() for e in ("", "e_", "E_")}
        names = {"karmn": [f"S{int(row):03d}" for row in rows], "method": ["randomised"] * len(rows)}
        return Table(columns | {"[M/H]": -0.25 - rows} | names)


@pytest.fixture(scope="module")
def synthetic_set():
    flux, labels = generation.synthetic_set(CONFIG)
    return {"flux": flux, "labels": labels}


@pytest.fixture(autouse=True)
def quick_interpolation(monkeypatch):
    """Errors of a coarser grid: the whole library takes twenty seconds, and has its own tests."""
    whole = libraries.load_library("grid_a")
    keep = np.isin(whole.label[:, 0], whole.teff[::8]) & np.isin(whole.label[:, 2], whole.mh[::3])
    coarse = dataclasses.replace(
        whole,
        norm=whole.norm[keep],
        continuum=whole.continuum[keep],
        teff=whole.teff[::8],
        mh=whole.mh[::3],
        label=whole.label[keep],
    )
    for name in ("interpolation_error", "interpolation_difference"):
        measure = getattr(interpolation, name)
        monkeypatch.setattr(interpolation, name, lambda library, *a, measure=measure, **b: measure(coarse, *a, **b))


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder that looks like a clone, on a machine without any data."""
    # these have tests of their own; other pages link to what is left of them
    stubs = {"explore_files": "explore_hr.md", "consensus_files": "star_values.md", "results_files": None}
    stubs |= {"latent_files": "latent_map.md"}
    for made, page in stubs.items():
        monkeypatch.setattr(pages, made, lambda run, page=page: {page: "# A page\n"} if page else {})
    monkeypatch.delenv("DTL_DATA", raising=False)
    monkeypatch.setenv("DTL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "clone" / "notebooks").mkdir(parents=True)
    shutil.copy(ROOT / "_config.yml", tmp_path / "clone")
    return tmp_path / "clone"


@pytest.fixture
def simulated(clone, synthetic_set, monkeypatch):
    """A run with an exposure in HPF's layout, called GJ 699: a synthetic star of known labels at -110 km/s."""
    row = 17
    mirror = clone.parent / "mirror" / "observed" / "hpf"
    mirror.mkdir(parents=True)
    library = libraries.load_library("grid_a")
    teff, logg, mh, vsini = synthetic_set["labels"][row]
    wide = load_profile("smoke", {"window.resolving_power": 53_000.0, "window.margin": 6.0}).window
    raw = generation.expand(library, [(teff, logg, mh)])
    flux = generation.model_spectra(library.wavelength, raw, np.array([vsini]), wide)[0]
    star = operators.window_grid(wide), flux / flux.max()
    file = write_hpf(mirror, star=star, velocity=-110.0, wiggle=0.004, OBJECT="GJ_699")
    monkeypatch.setenv("DTL_DATA", str(clone.parent / "mirror"))
    return Run(synthetic_set, clone.parent / "results", [file]), row


def check_page(path, folder):
    """Tables are whole, links lead somewhere, every citation is in the bibliography, no path of this machine."""
    text = path.read_text()
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert len({len(row) for row in cells(block)}) == 1, block
    for link in re.findall(r"\]\((?!<?https)([^)]+)\)|^```\{figure\} (\S+)", text, re.M):
        named = "".join(link)  # one that begins with a slash counts from the book's folder
        target = (folder / named[1:] if named.startswith("/") else path.parent / named).resolve()
        name = target.relative_to(folder.resolve())
        assert target.is_file() or (ROOT / "book" / name).is_file() or (ROOT / name).is_file(), link
    bibliography = re.findall(r"^@\w+\{(\w+),", (ROOT / "book" / "references.bib").read_text(), re.M)
    cited = {key for keys in re.findall(r"\{cite:\w\}`([^`]+)`", text) for key in keys.split(",")}
    assert cited <= set(bibliography), cited - set(bibliography)
    assert str(folder.parent) not in text and str(Path.home()) not in text and os.environ["DTL_CACHE"] not in text
    return text


# ---------------------------------------------------------------- Markdown


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.one_of(st.text(max_size=40), st.text("<>|$`{}[]()*_\\#&:!~^@-+=a1 \n", max_size=40)))
def test_text_from_outside_is_shown_as_it_is(text):
    line = "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
    tags, found = rendered(markdown.table(["a", "b"], [[f"x{markdown.escape(text)}x", "y"]]))
    assert tags <= {"table", "thead", "tbody", "tr", "th", "td"}
    assert " ".join(found.split()) == " ".join(f"a b x{line}x y".split())
    tags, _ = rendered(markdown.code(text))
    assert tags <= {"p", "code"}


@settings(derandomize=True, deadline=None)
@given(st.text(max_size=80))
def test_file_names_are_safe(name):
    assert re.fullmatch(r"[a-z0-9_]{1,60}\.md", characters.file_name(name, ".md"))
    assert [characters.file_name(star) for star in VELOCITIES] == ["gj_699", "g_9_40", "vb_10"]


def test_numbers_have_a_minus_sign_and_may_be_missing():
    assert markdown.measured(-110.468, 0.131) == "\N{MINUS SIGN}110.47\xa0±\xa00.13"
    assert markdown.number(None, ".1f") == markdown.number(np.nan, ".1f") == markdown.measured(np.nan, 0.1) == ""


# ---------------------------------------------------------------- origins


def test_registry_page_has_every_resource(clone):
    path = clone / "book" / "generated" / "registry.md"
    write_atomic(path, pages.registry_page())
    text = check_page(path, clone / "book")
    for resource in registry.resources():
        (row,) = [row for row in cells(text) if row[0].strip().startswith(f"`{resource.name}`")]
        line = " | ".join(row)
        assert markdown.escape(resource.what) in line and markdown.escape(resource.licence) in line
        assert resource.url in line and resource.sha256[:12] in line
        assert all(key in line for key in resource.cite)
        assert markdown.escape(resource.checked) in text
    assert len(re.findall(r"^## ", text, re.M)) == len({r.group for r in registry.resources()})


def test_a_hostile_entry_does_no_harm(monkeypatch):
    entry = registry.Resource(f"x/{HOSTILE}", "published", "derived", HOSTILE, HOSTILE, HOSTILE, ())
    monkeypatch.setattr(registry, "resources", lambda group=None: (entry,))
    page = pages.registry_page()
    assert len({len(row) for row in cells(page)}) == 1
    tags, _ = rendered(page.split("Group")[1])
    assert tags <= {"p", "code", "br", "table", "thead", "tbody", "tr", "th", "td", "ol", "li"}


# ---------------------------------------------------------------- stars


def test_best_match_is_that_of_a_loop(synthetic_set):
    rng = np.random.default_rng(3)
    observed, models = rng.normal(size=(70, 12)), rng.normal(size=(31, 12))
    index, rms = gap.best_match(observed, models)
    every = np.array([[np.sqrt(np.mean((star - model) ** 2)) for model in models] for star in observed])
    np.testing.assert_array_equal(index, every.argmin(1))
    np.testing.assert_allclose(rms, every.min(1), rtol=1e-12)
    index, rms = gap.best_match(synthetic_set["flux"][4], synthetic_set["flux"])
    assert index.tolist() == [4] and rms.tolist() == [0.0]


@pytest.mark.slow
def test_pages_are_made_once_and_again_when_data_or_the_run_change(clone, synthetic_set, monkeypatch):
    made, run = [], Run(synthetic_set, clone.parent / "results")
    monkeypatch.setattr(pages, "star_files", lambda run: made.append(1) or {"stars/x y.md": "# %2F"})
    monkeypatch.setattr(pages, "interpolation_page", lambda run: "")
    monkeypatch.setattr(pages, "model_files", dict)
    for slow in ("explore_files", "latent_files", "slider_files"):
        monkeypatch.setattr(pages, slow, lambda run: {})
    for times in (1, 1):
        written = pages.write(run, clone)
        assert len(made) == times and clone / "book" / "generated" / "stars" / "x y.md" in written
        assert (clone / "book" / "generated" / "stars" / "x y.md").read_text() == "# %2F"
    mirror = clone.parent / "mirror" / "published"
    mirror.mkdir(parents=True)
    monkeypatch.setenv("DTL_DATA", str(mirror.parent))
    (mirror / "pass18.csv").write_text("a")
    pages.write(run, clone)
    (mirror / "pass18.csv").write_text("b")
    pages.write(run, clone)
    assert len(made) == 3
    run.keys = {"catalogue": "another"}
    pages.write(run, clone)
    pages.write(run, clone)
    assert len(made) == 4


@pytest.mark.slow
def test_pages_without_data_show_the_synthetic_spectra(clone, synthetic_set):
    run = Run(synthetic_set, clone.parent / "results")
    written = pages.write(run, clone)
    assert all((clone / "book" / f"{name}.md").is_file() for name in [*GENERATED, "generated/interpolation"])
    before = {path: path.read_bytes() for path in written}
    assert pages.write(run, clone) == written and before == {path: path.read_bytes() for path in written}
    assert not [path for path in (clone / "book").rglob("*") if path.is_file() and path not in before]
    for path in written:
        if path.suffix == ".md":
            check_page(path, clone / "book")
    for star in VELOCITIES:
        text = (clone / "book" / "generated" / "stars" / characters.file_name(star, ".md")).read_text()
        assert f"no real spectrum of {star}" in text and "`dtl data fetch hpf`" in text
        assert published_rows()[star][0][-1].split(";")[0] in text
    assert "(\\[M/H\\] filled in: the source gives none)" in text  # of VB 10


def test_what_a_source_leaves_out_is_filled_and_said():
    flux, labels, filled, _ = star_pages.synthetic_star("G 9-40", CONFIG)
    assert filled == ["log g", "v sin i [km/s]"] and labels[0] == 3404 and labels[2] == -0.08
    assert labels[1] == pytest.approx(label_grid.main_sequence_logg(3404, -0.08))
    library, window = libraries.load_library("grid_a"), CONFIG.window
    raw = generation.model_spectra(library.wavelength, generation.expand(library, labels[None, :3]), labels[3:], window)
    expected = operators.normalise(operators.window_grid(window), raw, CONFIG.continuum)[0, 500:-500]
    np.testing.assert_array_equal(flux, expected)


@pytest.mark.slow
def test_a_star_has_what_the_chain_and_the_run_found(clone, simulated):
    run, row = simulated
    (star,) = star_pages.real_stars(run)
    np.testing.assert_array_equal(star.labels, run.synthetic["labels"][row])
    np.testing.assert_array_equal(star.observed, run.observed[2])
    assert list(star.residuals) == ["as read", "blaze", "rest frame", "chain"]
    assert star.residuals["chain"] < 0.012 < 0.05 < star.residuals["blaze"]
    shifted = operators.doppler_shift(np.array([8811.6, 8812.4]), 110.0)
    np.testing.assert_allclose(star.lost, [shifted], atol=0.2)  # the sky line, at rest
    written = pages.write(run, clone)
    before = {path: path.read_bytes() for path in written}
    pages.write(run, clone)
    assert before == {path: path.read_bytes() for path in written}
    folder = clone / "book" / "generated"
    text = check_page(folder / "stars" / "gj_699.md", clone / "book")
    found = {name.strip(): value.strip() for name, value, *_ in cells(text)}
    report = run.reports.iloc[0]
    assert found["shift found"] == f"{markdown.measured(report['velocity'], report['e_velocity'])} km/s"
    assert found["published velocity"].startswith(markdown.measured(*star_pages.VELOCITIES["GJ 699"][0][:2]))
    assert found["S/N of a detector pixel, median"] == f"{report['snr']:.0f}"
    assert found["resolving power"] == "53\xa0000" and found["instrument"] == "HPF"
    assert found["whole chain"] == markdown.percent(star.residuals["chain"])
    assert found["this run, fine-tuned"] == "3 −3 +3" and "Mas-Buitrago+ 2024" in found
    assert f"{star.labels[0]:.0f} K" in text and "profile `smoke`" in text
    overview = check_page(folder / "stars.md", clone / "book")
    assert markdown.measured(report["radial_velocity"], report["e_velocity"]) in overview
    assert "no real spectrum of VB 10" in (folder / "stars" / "vb_10.md").read_text()
    assert [row[0].strip() for row in cells(overview)[2:5]] == [
        f"[{name}](stars/{characters.file_name(name)}.md)".replace(" ", "\xa0") for name in VELOCITIES
    ]


def test_a_star_whose_file_has_gone_has_its_last_residual(simulated, monkeypatch):
    run, row = simulated
    monkeypatch.delenv("DTL_DATA")
    (star,) = star_pages.real_stars(run)
    assert star.spectrum is None and star.lost == [] and list(star.residuals) == ["chain"]
    assert "before the chain" not in star_pages.star_page(star, run)
    assert {name.strip(): value.strip() for name, value, *_ in cells(star_pages.star_page(star, run))}[
        "resolving power"
    ] == "not known"


def test_a_hostile_name_is_shown_as_it_is(simulated, clone):
    run, _ = simulated
    (star,) = star_pages.real_stars(run)
    report = (
        star.report | dict.fromkeys(("star", "instrument"), HOSTILE) | {"warnings": (HOSTILE,), "file": "a|`b.fits"}
    )
    run.reports.loc[0, "star"] = HOSTILE
    page = star_pages.star_page(dataclasses.replace(star, report=report), run)
    for block in re.findall(r"(?:^\|.*\n)+", page, re.M):
        assert len({len(row) for row in cells(block)}) == 1
    figure = re.search(r"^```\{figure\} (\S+)\n:name: (\S+)\n:alt: (.*)$", page, re.M)
    assert figure.group(1) == "script_alert_1_script_x_cite_a_b_c_d_ref_e.svg"
    assert len(figure.group(3)) > 40
    assert re.fullmatch(r"[a-z0-9-]+", figure.group(2)) and re.fullmatch(r"[\w ,.+-]+", figure.group(3))
    tags, text = rendered(re.sub(r"^```.*?^```$", "", page, flags=re.M | re.S))
    assert tags <= {"h1", "h2", "p", "code", "table", "thead", "tbody", "tr", "th", "td", "a"}
    assert text.count("<script>alert(1)</script>|$x$ `{cite}` [a](b) *c* _d_") >= 3
    overview = star_pages.stars_page([dataclasses.replace(star, report=report)], run)
    assert "<script>" not in overview.replace("\\<script\\>", "")


def test_a_page_that_cannot_be_written_is_one_line(clone, synthetic_set):
    (clone / "book").mkdir()
    (clone / "book" / "generated").write_text("in the way")
    with pytest.raises(DTLError, match="generated.*cannot be written") as caught:
        write_atomic(clone / "book" / "generated" / "stars.md", "text")
    assert "\n" not in str(caught.value) and (clone / "book" / "generated").read_text() == "in the way"


# ---------------------------------------------------------------- interpolation


def test_interpolation_errors_are_computed_once_and_shown(clone, synthetic_set, monkeypatch):
    run, calls = Run(synthetic_set, clone.parent / "results"), []
    nodes = [(axis, region) for axis in ("teff", "mh") for region in ("< 3000", ">= 4000")]

    def error(library, methods, **settings):
        calls.append((methods, settings))
        sizes = {"linear": 0.0012345, "cubic": 0.00021}
        rows = [
            dict(method=m, axis=axis, teff=region, rms=sizes[m], max=0.05) for m in methods for axis, region in nodes
        ]
        return pd.DataFrame(rows).assign(rms_scaled=lambda frame: frame["rms"] / 4)

    difference = pd.DataFrame(
        {"teff": ["< 3000", ">= 4000"], "n": [4, 4], "rms": [0.0032, 0.0009], "max": [0.02, 0.01]}
    )
    monkeypatch.setattr(interpolation, "interpolation_error", error)
    monkeypatch.setattr(interpolation, "interpolation_difference", lambda library, **settings: difference)
    text = interpolation_page.interpolation_page(run)
    assert interpolation_page.interpolation_page(run) == text  # the second time from the store
    assert calls == [(("linear", "cubic"), {"window": CONFIG.window, "continuum": CONFIG.continuum, "vsini": 2.0})]
    rows = [[cell.strip() for cell in row] for row in cells(text)]
    assert rows[2] == ["Teff", "\\<\xa03000", "0.12", "0.031", "5.0", "0.021", "0.0053", "5.0"]
    assert rows[-1][:2] == ["\\[M/H\\]", "≥\xa04000"] and len(rows) == 6
    assert "0.32, 0.09 % rms" in text and "`cubic`" in text and "R = 53\xa0000" in text


# ---------------------------------------------------------------- lines


def test_lines_are_in_the_window_and_in_the_library():
    wavelength = np.array([line.wavelength for line in lines.LINES])
    assert np.all(np.diff(wavelength) > 0) and wavelength[0] > 8800 and wavelength[-1] < 8835
    flux, *_ = star_pages.synthetic_star("GJ 699", CONFIG)
    grid = operators.window_grid(CONFIG.window, margin=False)
    for line in lines.LINES:
        near, around = np.abs(grid - line.wavelength) < 0.08, np.abs(grid - line.wavelength) < 0.6
        assert flux[near].min() < np.percentile(flux[around], 90) - 0.04, line


@pytest.mark.data
@pytest.mark.parametrize("star", ["GJ_699", "G_9-40"])
def test_lines_are_seen_in_real_spectra(star):
    (path,) = (MIRROR / "observed" / "window").glob(f"{star}_*.csv")
    seen = pd.read_csv(path)
    wave, flux = seen["wave_vac_rest"].to_numpy(), seen["flux"].to_numpy()
    lowest = minimum_filter1d(flux, 5) == flux
    for line in lines.LINES:
        around = np.abs(wave - line.wavelength) < 0.6
        near = np.abs(wave - line.wavelength) < 0.1
        assert lowest[near].any(), line
        assert flux[near].min() < np.percentile(flux[around], 90) - 0.08, line


@pytest.mark.data
def test_lines_are_where_lafarga_measured_them():
    positions = np.loadtxt(MIRROR / "linelists" / "J07274+052.mas")[:, 0]
    for line in lines.LINES:
        nearest = positions[np.argmin(np.abs(positions - line.wavelength))]
        assert (line.measured is None) == (abs(nearest - line.wavelength) > 0.04), line
        assert line.measured is None or abs(nearest - line.measured) < 0.006, line


# ---------------------------------------------------------------- real data


@pytest.mark.data
@pytest.mark.slow
def test_the_real_stars(clone, synthetic_set, monkeypatch):
    monkeypatch.setenv("DTL_DATA", str(MIRROR))
    run = Run(synthetic_set, clone.parent / "results", registry.find_all("observed/hpf/Slope-*.fits"))
    stars = {star.name: star for star in star_pages.real_stars(run)}
    assert set(stars) == set(VELOCITIES)
    for name, star in stars.items():
        report, rms = star.report, star.residuals
        assert rms["chain"] < 0.6 * rms["as read"]
        value, error, *_ = star_pages.VELOCITIES[name][0]
        assert abs(report["radial_velocity"] - value) < 3 * np.hypot(report["e_velocity"], error)
    assert stars["GJ 699"].residuals["chain"] < 0.06 and stars["G 9-40"].residuals["chain"] < 0.05
    pages.write(run, clone)
    for name in GENERATED:
        check_page(clone / "book" / f"{name}.md", clone / "book")
