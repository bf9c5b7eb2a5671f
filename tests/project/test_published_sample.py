"""The record of the paper's stars: that of the published tables, and what notebook 06 shows of it."""

import ast
import json
import re
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from small_run import small_run

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import published_sample as benchmark

from dtl_core.errors import DataError
from dtl_core.literature import summaries
from dtl_core.pipeline import conduct, records
from dtl_core.plots import figure_data, gluing, star_figures

matplotlib.use("Agg")
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "06_activity_kinematics.ipynb"
RECORD = records.read("published_sample")
TABLES = {name: records.frame(lines) for name, lines in RECORD["values"].items()}
PAPER = "the paper's"


def same(one, other):
    """Equal tables, but for the rounding of the record."""
    pd.testing.assert_frame_equal(one, other, check_dtype=False, rtol=1e-4, atol=1e-6)


@pytest.mark.data
def test_the_record_is_that_of_the_published_tables():
    found = benchmark.measure()
    assert found.keys() == RECORD["values"].keys()
    for name, lines in found.items():
        same(records.frame(lines), TABLES[name])


def test_the_record_needs_the_tables_and_has_none_of_their_rows(cache):
    with pytest.raises(DataError, match="dtl data fetch published"):
        benchmark.measure()
    assert not re.search(r"J\d{5}[+-]\d{3}", json.dumps(RECORD["values"]))
    assert set(TABLES) <= set(summaries.__all__) and max(map(len, TABLES.values())) < 15


def test_tables_of_the_record_agree_with_one_another():
    groups, pairs = TABLES["luminosities"].set_index("group")["N"], TABLES["confusion"].set_index("computed")
    populations = TABLES["metallicities"].set_index("pop")["N"]
    assert groups["all"] == populations.sum() == TABLES["gravities"]["N"][0]
    assert (
        pairs.to_numpy().sum() == TABLES["velocities"]["N"].min() and (groups[populations.index] == populations).all()
    )
    assert (TABLES["solar_motions"].loc[0, pairs.index] == pairs.sum(axis=1)).all()
    active = TABLES["activity"].groupby("quantity")["active"].sum()
    assert set(active) == {groups["active"]}
    assert TABLES["associations"]["N"].sum() == TABLES["young_and_poor"]["N"][0]


def test_recorded_colours_are_drawn_as_they_are():
    table = TABLES["colours"]
    figure = star_figures.colour_sequence(table)
    points = figure_data.figure_data(figure).query("kind == 'points'")
    np.testing.assert_allclose(points[["x", "y", "value"]], table[["g_j", "bp_rp", "teff"]])
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == [str(n) for n in table.sort_values("g_j")["N"]]
    across, up = (lines.get_segments() for lines in axes.containers[0][2])
    np.testing.assert_allclose([np.ptp(line[:, 0]) / 2 for line in across], table["scatter_g_j"])
    np.testing.assert_allclose([np.ptp(line[:, 1]) / 2 for line in up], table["scatter_bp_rp"])


@pytest.fixture
def shown(monkeypatch):
    """A function that runs the notebook on a small survey: what it passes to the book by name, and the tables."""

    def run():
        glued, tables, names = {}, [], {}
        monkeypatch.setattr(gluing, "glue", glued.__setitem__)
        monkeypatch.setattr(conduct, "run", lambda *args, **kwargs: small_run(60))
        for cell in json.loads(NOTEBOOK.read_text())["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code" and "%pip" not in source:
                tree = ast.parse(source)
                if isinstance(tree.body[-1], ast.Expr):  # the value that the notebook shows
                    tree.body[-1] = ast.Assign([ast.Name("_", ast.Store())], tree.body[-1].value)
                exec(compile(ast.fix_missing_locations(tree), "cell", "exec"), names)
                value = names.pop("_", None)
                tables += [one for one in [getattr(value, "data", value)] if isinstance(one, pd.DataFrame)]
        return glued, tables

    return run


@pytest.mark.slow
def test_without_tables_the_notebook_shows_the_recorded_stars_and_nothing_is_empty(cache, shown):
    glued, tables = shown()
    figures = {name: value for name, value in glued.items() if isinstance(value, Figure)}
    assert len(figures) == 10 and len(tables) == 11
    assert all(len(figure_data.figure_data(figure)) > 5 for figure in figures.values())
    assert all(len(table) and table.notna().any().all() for table in tables)
    beside = [table for table in tables if "stars" in table]
    assert len(beside) == 8 and all(set(table["stars"]) == {PAPER, "simulated"} for table in beside)
    for summary, table in zip(benchmark.OF_STARS[:8], beside, strict=True):
        recorded = TABLES[summary.__name__]
        same(table[table["stars"] == PAPER][recorded.columns], recorded)
    assert RECORD["made"] in glued["paper_source"].data and "simulated" in glued["figure_stars"].data


@pytest.mark.slow
@pytest.mark.data
def test_with_tables_the_notebook_gives_the_numbers_of_the_record(shown, monkeypatch):
    with_tables, tables = shown()
    monkeypatch.delenv("DTL_DATA")
    recorded, _ = shown()
    assert with_tables.keys() == recorded.keys() and "simulated" not in with_tables["figure_stars"].data
    assert RECORD["made"] not in with_tables["paper_source"].data
    assert all(set(table["stars"]) == {PAPER} for table in tables if "stars" in table)
    numbers = {name for name, value in recorded.items() if isinstance(value, int | float)}
    assert len(numbers) > 30
    for name in numbers:
        assert with_tables[name] == pytest.approx(recorded[name], rel=1e-4), name
    for name in ("differ_text", "motion_text"):
        assert with_tables[name].data == recorded[name].data
