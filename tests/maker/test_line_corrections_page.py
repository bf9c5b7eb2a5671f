"""The page of the corrected lines follows from the corrections and the record, verdicts included."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from rendering import cells

from book.maker import documents, line_corrections_page, pages
from book.maker.clone import find_root
from dtl_core.files import file_hash
from dtl_core.lines import LINES
from dtl_core.literature import real_stars
from dtl_core.pipeline import records
from dtl_core.synthetic import line_corrections
from dtl_core.synthetic.libraries import load_library
from dtl_core.synthetic.line_corrections import LineCorrections

STARS = real_stars.load_real_stars()
NAMES = ("GJ 699", "GJ 273", "G 9-40")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Corrections that double the known lines around Fe I 8826.65, within a few per cent."""
    wavelength, rng = load_library("grid_a").wavelength, np.random.default_rng(2)
    knots = np.arange(wavelength[0], wavelength[-1], line_corrections.SPACING)
    near = np.abs(knots - 8826.65) < 0.5
    level = float(line_corrections.smooth_basis(np.array([8826.65]), knots[near]).sum())
    strength = np.outer(np.log(2) / level * np.r_[1.0, rng.normal(1, 0.03, 8)], near)
    added, slopes = 0 * strength, np.vstack([np.zeros(2), rng.normal(0, 0.3, (8, 2))])
    physics = {"tio": np.r_[0.0, rng.normal(0, 0.01, 8)], "feh": np.log(np.r_[0.8, rng.uniform(0.7, 0.9, 8)])}
    corrections = LineCorrections(knots, strength, added, physics, slopes, {})
    return corrections.save(tmp_path_factory.mktemp("lines") / "lines.npz")


def planted(folder, file, offset=None, prior=None, library=None, **about):
    """A record whose estimates are the published values plus an offset by parameter."""
    rows = []
    for name in NAMES:
        for p in ("teff", "logg", "mh"):
            known = real_stars.published_of(STARS[name], p)
            if known is None:
                continue
            estimates = zip(("ours", "library", "prior"), (offset, library, prior), strict=True)
            row = {key: known.value + (each or {}).get(p, 0.0) for key, each in estimates}
            row |= {"star": name, "parameter": p, "error": 0.05 if p != "teff" else 40.0, "source": known.source}
            rows.append(row | {"published": known.value, "e_published": known.error})
    measured = pd.DataFrame(rows)
    stars = pd.DataFrame({"star": NAMES, "teff": [3230.0, 3320.0, 3400.0]})
    residuals = pd.DataFrame({"star": NAMES, "corrected": [0.011, 0.012, 0.013], "library": [0.031, 0.032, 0.033]})
    values = {"sha256": file_hash(file), "resolving_power": 53_000.0, "vsini": 1.0}
    values |= {"broad": {"teff": [3350.0, 300.0], "logg": [4.95, 0.09], "mh": [-0.2, 0.4]}, "shared": {"tio": [0, 0.3]}}
    tables = {"stars": stars, "left_out": measured, "residuals": residuals}
    tables["summary"] = real_stars.left_out_summary(measured)
    values |= {name: records.lines(table) for name, table in tables.items()}
    records.write("line_corrections", values | about, folder)
    return folder


def page_of(folder, file, specialists=()):
    return line_corrections_page.line_corrections_files(folder, file, specialists)["line_corrections.md"]


def model(power, **card):
    return SimpleNamespace(resolving_power=power, card=card)


def goal_row(page, estimate, name):
    rows = [row for row in cells(page) if len(row) == 8 and row[0].strip() == estimate and row[2].strip() == name]
    return [cell.strip() for cell in rows[0]]


def test_estimates_that_are_right_meet_the_goals(tmp_path, file):
    page = page_of(planted(tmp_path, file, library={"teff": 300.0, "logg": 0.3, "mh": -0.4}), file)
    assert (
        page.count("is met with corrected lines") == 3 and page.count("and missed with the lines of the library") == 3
    )
    row = goal_row(page, "corrected lines", "\\[M/H\\]")
    assert row[1:] == ["2 stars", "\\[M/H\\]", "3", "0.00\xa0±\xa00.00", "0.00", row[6], "met"]
    assert goal_row(page, "lines of the library", "Teff \\[K\\]")[1::6] == ["none", "**missed**"]
    assert page.count("This says little") == 3  # with the prior, too, all is met


def test_a_bias_misses_the_goal_and_the_size_is_said(tmp_path, file):
    page = page_of(planted(tmp_path, file, {"mh": -0.11}, {"mh": 0.06, "teff": 200.0}), file)
    assert "is **missed** with corrected lines (bias −0.11\xa0dex, rmse 0.11\xa0dex)" in page
    assert goal_row(page, "corrected lines", "\\[M/H\\]")[-1] == "**missed**"
    assert "That is no better than what the fit assumes without any spectrum (bias +0.06\xa0dex" in page
    assert "This says little" not in page.split("The goal for log g")[0]  # Teff: the prior alone misses it


def test_every_star_value_and_source_is_there_once(tmp_path, file):
    page = page_of(planted(tmp_path, file, {"teff": 25.0}), file)
    for block in re.findall(r"(?:^\|.*\n)+", page, re.M):
        assert len({len(row) for row in cells(block)}) == 1, block
    rows = [row for row in cells(page) if len(row) == 7 and row[0].strip().replace("\xa0", " ") in STARS]
    expected = [(n, p) for n in NAMES for p in ("teff", "logg", "mh") if real_stars.published_of(STARS[n], p)]
    assert len(rows) == len(expected) and "nan" not in page
    for row, (name, p) in zip(rows, expected, strict=True):
        known = real_stars.published_of(STARS[name], p)
        assert f"`{real_stars.sources_of()[known.source].cite}`" in row[4]
        assert row[5].strip() == ("+25" if p == "teff" else "0.00")
    for text in ("1.1\xa0%", "3.3\xa0%", "GJ\xa0699 (M3.5)", "53\xa0000", "3230 to 3400"):
        assert text in page


def test_lines_come_with_the_largest_change_first(tmp_path, file):
    page = page_of(planted(tmp_path, file), file)
    rows = [row for row in cells(page) if len(row) == 6 and re.match(r" 88\d\d\.", row[0])]
    assert len(rows) == len(LINES) and rows[0][:2] == [" 8826.65 ", " Fe I "]
    changes = [abs(float(row[3].split()[0].replace("−", "-"))) for row in rows]
    assert changes == sorted(changes, reverse=True) and changes[0] > 10
    assert float(rows[0][4].split()[0]) == pytest.approx(2.0, abs=0.1)
    assert "0 of 4 atomic lines are weaker" in page


def test_the_strength_of_feh_is_compared_with_that_of_others(tmp_path, file):
    assert re.search(
        r"FeH lines are weaker .* factor of 0\.80 \(0\.7\d to 0\.[89]\d, 68 %\)",
        page_of(planted(tmp_path, file), file),
    )


def test_the_cards_say_whether_models_use_the_corrections(tmp_path, file):
    said = line_corrections_page.models_with_corrections
    without, by_card = model(94_600, training={"seed": 0}), model(80_000, line_corrections="abc")
    by_training = model(53_000, training={"line_corrections": "abc"})
    assert "do not use these corrections yet" in said([without])
    assert "only those of R = 80\xa0000 and 53\xa0000" in said([without, by_card, by_training])
    assert "were trained with" in said([by_card, by_training]) and "only" not in said([by_card, by_training])
    assert said([]) == ""
    assert said([without]) in page_of(planted(tmp_path, file), file, [without])


def test_other_corrections_than_the_recorded_ones_are_said(tmp_path, file):
    assert "are not those" in page_of(planted(tmp_path, file, sha256="0" * 64), file)
    assert "are not those" not in page_of(planted(tmp_path, file), file)


def test_without_a_record_the_page_says_so(tmp_path):
    files = line_corrections_page.line_corrections_files(tmp_path, specialists=())
    assert list(files) == ["line_corrections.md"] and "Not recorded yet" in files["line_corrections.md"]


def test_files_to_download_are_made_twice_the_same_and_hold_the_tables(tmp_path, file):
    first, second = (line_corrections_page.line_corrections_files(planted(tmp_path, file), file, ()) for _ in range(2))
    assert first == second
    page = first["line_corrections.md"]
    for name in re.findall(r"\{download\}`[^<]+<([^>]+)>`|^```\{figure\} (\S+)", page, re.M):
        assert "".join(name) in first
    lines = records.frame(first["line_corrections_lines.csv"].splitlines())
    assert lines["wavelength"].tolist() == [line.wavelength for line in LINES]
    fields = records.frame(first["line_corrections_by_wavelength.csv"].splitlines())
    core = fields.iloc[(fields["wavelength"] - 8826.65).abs().argmin()]
    assert core["ln_factor"] == pytest.approx(np.log(2), abs=0.02) and abs(core["added"]) < 1e-6


def test_the_page_follows_that_of_real_stars_and_is_made_again_when_corrections_change(monkeypatch, tmp_path):
    assert pages.line_corrections_files is line_corrections_page.line_corrections_files
    listed = re.findall(r"file: (\S+)", (find_root() / "_toc.yml").read_text())
    assert listed[listed.index("generated/real_stars") + 1] == "generated/line_corrections"
    keys, run = [], SimpleNamespace(keys={}, config=None)
    stage = lambda name, settings, inputs, compute: (keys.append(inputs),)  # noqa: E731
    run.store = SimpleNamespace(stage=stage, root=tmp_path)
    for content in (b"a", b"b"):
        (tmp_path / "line_corrections.npz").write_bytes(content)
        monkeypatch.setattr(line_corrections, "FILE", tmp_path / "line_corrections.npz")
        documents.document(run, "pages", {}, {}, None, pages.__name__)
    assert {name for name in keys[0] if keys[0][name] != keys[1][name]} == {"line_corrections.npz"}


def test_the_committed_record_is_of_the_committed_corrections():
    values = records.read("line_corrections")["values"]
    assert values["sha256"] == file_hash(line_corrections.FILE)  # otherwise run benchmarks/line_corrections.py
    measured, stars = records.frame(values["left_out"]), records.frame(values["stars"])
    assert line_corrections.load_corrections().meta["stars"] == stars["star"].tolist()
    found, said = real_stars.left_out_summary(measured), records.frame(values["summary"])
    assert found["met"].tolist() == said["met"].tolist()
    np.testing.assert_allclose(found["rmse"], said["rmse"], rtol=2e-3)
    for row in measured.to_dict("records"):
        known = real_stars.published_of(STARS[row["star"]], row["parameter"])
        assert (row["published"], row["source"]) == (pytest.approx(known.value, rel=1e-4), known.source)
    residuals = records.frame(values["residuals"])
    assert (residuals["corrected"] < residuals["library"]).all()
