"""The figures show the stars, lines and numbers that they are given: read back from the axes."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from dtl_core.errors import DataError
from dtl_core.literature import isochrones, kinematics
from dtl_core.plots import hr_figures

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def stars():
    rng = np.random.default_rng(2)
    n = 60
    teff, mh = rng.uniform(3000, 4200, n), rng.normal(0, 0.2, n)
    logg = 4.78 - 0.105 * (teff - 3500) / 500 - 0.235 * mh
    return pd.DataFrame(
        {
            "teff": teff,
            "mh": mh,
            "logg": logg,
            "vsini": rng.uniform(1, 60, n),
            "luminosity": kinematics.main_sequence_luminosity(teff, logg),
            "active": np.arange(n) < 12,
        }
    )


@pytest.fixture(scope="module")
def curves():
    return isochrones.curves(pd.DataFrame(columns=isochrones.COLUMNS))


def offsets(axes, index=0):
    return np.asarray(axes.collections[index].get_offsets())


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_kiel_shows_gravity_metallicity_and_rotation(stars, curves):
    young = np.arange(len(stars)) % 20 == 0
    figure = hr_figures.kiel(stars.teff, stars.logg, stars.mh, stars.vsini, curves, marks={"young": young})
    axes = figure.axes[0]
    np.testing.assert_allclose(offsets(axes), stars[["teff", "logg"]])
    np.testing.assert_allclose(axes.collections[0].get_array(), stars.mh)
    size = axes.collections[0].get_sizes()
    assert size[stars.vsini.argmin()] == size.min()
    assert np.all(size[stars.vsini > 40] == 168)  # no star covers the others
    assert axes.get_xlim()[0] > axes.get_xlim()[1] and axes.get_ylim()[0] > axes.get_ylim()[1]
    assert set(curves) | {"young (3)"} <= set(legend(figure))
    np.testing.assert_allclose(axes.lines[0].get_ydata(), curves["main-sequence relation, [M/H] = -0.4"].logg)


def test_hr_diagram_separates_active_stars_and_keeps_its_limits(stars, curves):
    shown = (stars.teff, stars.luminosity, stars.active)
    none = {"none": np.zeros(len(stars), bool)}
    figure = hr_figures.hr_isochrones(*shown, curves, active_name="active (simulated)", marks=none)
    axes = figure.axes[0]
    assert axes.get_yscale() == "log" and len(axes.lines) == 3
    np.testing.assert_allclose(offsets(axes, 1), stars.loc[stars.active, ["teff", "luminosity"]])
    assert "active (simulated) (12)" in legend(figure) and not any("none" in text for text in legend(figure))
    bare = hr_figures.hr_isochrones(*shown).axes[0]
    assert axes.get_xlim() == bare.get_xlim()


def test_activity_shows_counts_and_intervals():
    table = kinematics.activity_fractions([True, True, False, False, True], [0, 0, 0, 1, 1], [0, 1, 2, 3])
    figure = hr_figures.activity({"one": table, "two": table.iloc[:1]}, name="active (reconstructed)")
    first, second = figure.axes
    assert [bar.get_height() for bar in first.patches] == [pytest.approx(2 / 3), 0.5] and len(second.patches) == 1
    assert [text.get_text() for text in first.texts] == ["2/3", "1/2"]  # the empty bin is left out
    assert first.get_ylabel() == "fraction active (reconstructed)" and second.get_xlabel() == "two"


def test_confusion_table_shows_every_count():
    table = kinematics.confusion(["D", "D", "TD", "YD"], ["D", "TD", "TD", "YD"])
    figure = hr_figures.confusion_table(table, reference="true")
    axes = figure.axes[0]
    assert [int(text.get_text()) for text in axes.texts] == table.to_numpy().ravel().tolist()
    assert [t.get_text() for t in axes.get_xticklabels()] == list(table.columns) and axes.get_xlabel() == "true"
    np.testing.assert_allclose(axes.images[0].get_array().sum(axis=1), 1)
    with pytest.raises(DataError, match="no star has both labels"):
        hr_figures.confusion_table(kinematics.confusion([""], ["D"]))


def test_colours_are_those_of_the_stars(stars):
    marks = {"young": np.arange(60) < 4}
    figure = hr_figures.colour_colour(stars.teff / 1000, stars.teff / 2000, stars.teff, marks=marks)
    np.testing.assert_allclose(offsets(figure.axes[0]), np.c_[stars.teff / 2000, stars.teff / 1000])
    assert legend(figure) == ["young (4)"]
    assert not hr_figures.colour_colour(stars.teff / 1000, stars.teff / 2000, stars.teff).legends


def test_a_figure_that_says_why_it_is_empty():
    assert hr_figures.absent("no photometry").axes[0].texts[0].get_text() == "no photometry"
