"""The data of a figure are what was drawn."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from dtl_core.plots.figure_data import as_csv, figure_data


@pytest.fixture
def axes():
    figure, axes = plt.subplots(layout="constrained")
    yield axes
    plt.close(figure)


def test_lines_points_and_their_error_bars_come_back(axes):
    x, y, error = np.arange(4.0), np.array([3.0, 1.0, np.nan, 2.0]), np.array([0.1, 0.2, 0.3, 0.4])
    axes.plot(x, y, label="a line")
    axes.scatter(x, 2 * y, c=10 * x, label="points")
    axes.errorbar(x, -x, yerr=error, ls="", marker="o", color="#123456")
    axes.axhline(0.5)  # guides the eye
    axes.set(title="Panel", xlabel="x [A]", ylabel="y")
    table = figure_data(axes.figure)
    assert set(table["panel"]) == {"1; Panel; x [A]; y"}
    line, points = (table[table["series"] == name].reset_index(drop=True) for name in ("a line", "points"))
    np.testing.assert_array_equal(line[["x", "y"]], np.column_stack([x, y]))
    drawn = np.isfinite(y)
    np.testing.assert_array_equal(points[["x", "y", "value"]][drawn], np.column_stack([x, 2 * y, 10 * x])[drawn])
    with_errors = table[table["series"] == "#123456"]
    np.testing.assert_array_equal(with_errors.loc[with_errors["kind"] == "points", "y"], -x)
    ends = with_errors.loc[with_errors["kind"] == "segment", "y"].to_numpy().reshape(4, 2)
    np.testing.assert_allclose(np.sort(ends), np.column_stack([-x - error, -x + error]))
    assert 0.5 not in set(table["y"])


@pytest.mark.parametrize("horizontal", [False, True])
def test_bars_have_their_names_and_lengths(axes, horizontal):
    (axes.barh if horizontal else axes.bar)(["one", "two"], [0.3, -2.0])
    table = figure_data(axes.figure)
    assert list(table["y" if horizontal else "x"]) == ["one", "two"] and list(table["value"]) == [0.3, -2.0]


def test_names_of_ticks_take_the_place_of_numbers(axes):
    axes.plot([0.5, 0.7], [1, 0], "o")
    axes.set_yticks([0, 1], ["fine-\ntuned", "before"])
    assert list(figure_data(axes.figure)["y"]) == ["before", "fine- tuned"]


def test_areas_and_images_come_back_and_colour_bars_do_not(axes):
    axes.fill_between([0.0, 1.0], [1.0, 2.0], [3.0, 4.0], label="range")
    axes.hist([0.1, 0.2, 0.7], bins=[0, 0.5, 1], histtype="stepfilled", label="counts")
    values = np.arange(6.0).reshape(2, 3)
    axes.figure.colorbar(axes.imshow(values, extent=(0, 3, 2, 0)), ax=axes)
    table = figure_data(axes.figure)
    area, image = table[table["series"] == "range"], table[table["kind"] == "image"]
    counts = table[table["series"] == "counts"]
    assert {(0, 2), (0.5, 2), (0.5, 1), (1, 1)} <= set(zip(counts["x"], counts["y"], strict=True))
    assert {(0, 1), (0, 3), (1, 2), (1, 4)} <= set(zip(area["x"], area["y"], strict=True))
    for x, y, value in zip(image["x"], image["y"], image["value"], strict=True):
        assert values[int(y), int(x)] == value
    assert len(image) == 6 and set(table["kind"]) == {"area", "image"}


def test_csv_reads_back_to_six_digits(axes):
    axes.plot([1 / 3, 2 / 3], [1e-9, 1234567.0], label='a "name", with\nmarks')
    table = pd.read_csv(io.StringIO(as_csv(axes.figure)))
    np.testing.assert_allclose(table[["x", "y"]], [[1 / 3, 1e-9], [2 / 3, 1234567.0]], rtol=5e-6)
    assert set(table["series"]) == {'a "name", with marks'}


def test_an_empty_figure_has_an_empty_table(axes):
    assert as_csv(axes.figure) == "panel,kind,series,x,y,value\n"
