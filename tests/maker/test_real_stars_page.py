"""The page on real stars and its summary on the model card follow from the record, verdicts included."""

import re

import pandas as pd
import pytest
from rendering import cells

from book.maker import model_page, pages, real_stars_page
from book.maker.clone import find_root
from dtl_core.errors import DataError
from dtl_core.literature import real_stars
from dtl_core.models import loading
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import records

STARS = real_stars.load_real_stars()
WIDTH = {"teff": 100.0, "logg": 0.1, "mh": 0.1, "vsini": 2.0}


SEEN = ("GJ 699", "G 9-40")


def planted(folder, offset=None, strange=(), seen=SEEN, **about):
    """A record whose estimates are the published values plus an offset by parameter; some stars were left out."""
    rows = []
    for star in STARS.values():
        for entry in star.spectra:
            row = {"star": star.name, "file": entry.file, "observed": entry.observed}
            row |= {"variant": "cut" if entry.cut else "exposure", "draw": 0}
            for p in PARAMETERS:
                known = real_stars.published_of(star, p)
                value = (known.value if known else 1.0) + (offset or {}).get(p, 0.0)
                row[p] = value
                for level, times in ((68, 1), (90, 1.65)):
                    row |= {f"low{level}_{p}": value - times * WIDTH[p], f"high{level}_{p}": value + times * WIDTH[p]}
            flagged = star.name in strange
            row |= {"p_value": 0.01 if flagged else 0.5, "flag": "latent" if flagged else ""}
            row["model"] = f"without {star.name}" if star.name in SEEN else "shipped"
            rows.append(row | {"rms": 0.05, "snr": 100.0, "velocity": 1.0, "warnings": ""})
    table = pd.DataFrame(rows)
    left_out = table["star"].isin(SEEN)
    known = {p: {"tau": [0.5 * WIDTH[p], WIDTH[p]], "instrument": 0.0, "stars": ["A"]} for p in PARAMETERS}
    values = {"networks": 2, "resolving_power": 53_000.0, "systematics": known}
    records.add("real_stars", "left_out", values | {"lines": records.lines(table[left_out])}, folder=folder)
    values = {"models": "shipped", "sha256": [one[:12] for one in loading.hashes()], "seen": list(seen), "missing": []}
    values |= about | {"lines": records.lines(table[~left_out])}
    records.add("real_stars", "shipped", values, folder=folder)
    return folder


def test_estimates_that_are_right_pass(tmp_path):
    page = real_stars_page.real_stars_page(planted(tmp_path))
    assert "fails" not in page.replace("A parameter fails if", "") and "too few" not in page
    assert page.count("no sign that the bars are wrong") == 2 and "(flagged: none)" in page
    assert page.count(": met") == 3 and "missed" not in page
    assert "by GJ 699 and G 9-40. Each of these stars is judged by a model that was made without it" in page


def test_a_star_that_its_model_has_seen_is_not_shown(tmp_path):
    with pytest.raises(DataError, match="VB 10 has been seen by the model"):
        real_stars_page.real_stars_page(planted(tmp_path, seen=["GJ 699", "VB 10"]))
    record = records.read("real_stars", planted(tmp_path))["values"]["left_out"]["values"]
    lines = [line.replace("without GJ 699", "without G 9-40") for line in record["lines"]]
    records.add("real_stars", "left_out", record | {"lines": lines}, folder=tmp_path)
    with pytest.raises(DataError, match="GJ 699 has been seen by the model"):
        real_stars_page.real_stars_page(tmp_path)


def test_systematic_errors_are_shown_with_their_half_widths(tmp_path):
    text = real_stars_page.real_stars_summary(planted(tmp_path))
    (row,) = [row for row in cells(text) if len(row) == 6 and "Teff" in row[0]]
    assert (
        row[1].strip() == "1" and row[2].strip().startswith("75 (") and 50 < float(row[4]) < 100 < float(row[5]) < 165
    )


def test_a_bias_is_said_in_words_with_its_size(tmp_path):
    folder = planted(tmp_path, {"mh": -0.4}, ["VB 10"])
    for text in (real_stars_page.real_stars_page(folder), real_stars_page.real_stars_summary(folder)):
        assert (
            "**\\[M/H\\] fails for types to M5**: our values are 0.40\xa0±\xa00.00\xa0dex too low in the mean" in text
        )
        assert "contain 0 of 4 published values" in text and "Teff fails" not in text
        assert "of types M6 and later (flagged: VB 10 as latent)" in text
        row = next(line for line in text.splitlines() if line.startswith("| to M5 | \\[M/H\\]"))
        assert row.count("0 of 4") == 2 and "**fails**" in row and "−0.40" in row
        assert "bias 0.05, rmse 0.12: **missed**" in row
    high = real_stars_page.real_stars_summary(planted(tmp_path, {"teff": 250.0}))
    assert "**Teff fails for types to M5**: our values are 250\xa0±\xa00\xa0K too high in the mean" in high


def test_the_page_shows_every_star_value_and_source_once(tmp_path):
    page = real_stars_page.real_stars_page(planted(tmp_path))
    for block in re.findall(r"(?:^\|.*\n)+", page, re.M):
        assert len({len(row) for row in cells(block)}) == 1, block
    rows = [row for row in cells(page) if len(row) == 8 and row[0].strip().replace("\xa0", " ") in STARS]
    expected = [(star.name, p) for star in STARS.values() for p in PARAMETERS if real_stars.published_of(star, p)]
    assert len(rows) == len(expected)
    for source in real_stars.sources_of().values():
        assert f"| {source.name} | {{cite:t}}`{source.cite}` |" in page
    assert "<\xa02.0 | Rein18" in page and page.index("<\xa02.0") < page.index("3.1\xa0±\xa00.2")
    assert "of\xa0GJ\xa0752\xa0A" in page and "nan" not in page


def test_changed_models_missing_files_and_seen_stars_are_said(tmp_path):
    page = real_stars_page.real_stars_page(planted(tmp_path, sha256=["0" * 12], missing=["observed/a.fits"]))
    assert "with models that have changed since, without `observed/a.fits`, not available then" in page
    assert "changed since" not in real_stars_page.real_stars_page(planted(tmp_path))


def test_without_a_record_the_pages_say_so(tmp_path):
    for text in (real_stars_page.real_stars_page(tmp_path), real_stars_page.real_stars_summary(tmp_path)):
        assert "Not recorded yet" in text and text.startswith("(")


def test_real_stars_come_before_simulated_ones(tmp_path):
    card = model_page.model_files()["models.md"]
    assert card.index("## On real stars") < card.index("\n## The files") < card.index("(model-performance)=")
    assert real_stars_page.real_stars_summary() in card
    contents = (find_root() / "_toc.yml").read_text()
    assert contents.index("notebooks/05_literature") < contents.index("generated/real_stars")
    assert pages.real_stars_page is real_stars_page.real_stars_page


def test_the_committed_record_says_what_the_readme_says():
    _, _, judged, compared = real_stars_page.recorded()
    found = real_stars.summary(compared).set_index(["group", "parameter"]).loc[real_stars.EARLY]
    readme = " ".join((find_root() / "README.md").read_text().split())
    said = re.search(r"Four stars to M5.*by (\d+) K and (\d\.\d\d) dex in \[M/H\]", readme)
    assert found.loc["teff", "rmse"] == pytest.approx(float(said[1]), abs=0.5) and found.loc["teff", "n"] == 4
    assert found.loc["mh", "rmse"] == pytest.approx(float(said[2]), abs=0.005) and found.loc["mh", "n"] == 4
    assert float(re.search(r"goal of (\d+) K is missed", readme)[1]) == real_stars.GOALS["teff"][1]
    assert not found.loc["teff", "met"] and found.loc["mh", "met"]
    flags = judged.set_index("star")["flag"]
    worst = compared[(compared["parameter"] == "teff") & (compared["group"] == real_stars.EARLY)]
    worst = worst.loc[worst["difference"].idxmin(), "star"]
    assert "fast" in flags[worst] and "cool" in flags["VB 10"]
