"""The figures show the stars, lines and numbers that they are given: read back from the axes."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from dtl_core.errors import DataError
from dtl_core.literature import isochrones, kinematics
from dtl_core.plots import star_figures

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
    figure = star_figures.kiel(stars.teff, stars.logg, stars.mh, stars.vsini, curves, marks={"young": young})
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
    figure = star_figures.hr_isochrones(*shown, curves, active_name="active (simulated)", marks=none)
    axes = figure.axes[0]
    assert axes.get_yscale() == "log" and len(axes.lines) == 3
    np.testing.assert_allclose(offsets(axes, 1), stars.loc[stars.active, ["teff", "luminosity"]])
    assert "active (simulated) (12)" in legend(figure) and not any("none" in text for text in legend(figure))
    bare = star_figures.hr_isochrones(*shown).axes[0]
    assert axes.get_xlim() == bare.get_xlim()


def test_activity_shows_counts_and_intervals():
    table = kinematics.activity_fractions([True, True, False, False, True], [0, 0, 0, 1, 1], [0, 1, 2, 3])
    figure = star_figures.activity({"one": table, "two": table.iloc[:1]}, name="active (reconstructed)")
    first, second = figure.axes
    assert [bar.get_height() for bar in first.patches] == [pytest.approx(2 / 3), 0.5] and len(second.patches) == 1
    assert [text.get_text() for text in first.texts] == ["2/3", "1/2"]  # the empty bin is left out
    assert first.get_ylabel() == "fraction active (reconstructed)" and second.get_xlabel() == "two"


def test_confusion_table_shows_every_count():
    table = kinematics.confusion(["D", "D", "TD", "YD"], ["D", "TD", "TD", "YD"])
    figure = star_figures.confusion_table(table, reference="true")
    axes = figure.axes[0]
    assert [int(text.get_text()) for text in axes.texts] == table.to_numpy().ravel().tolist()
    assert [t.get_text() for t in axes.get_xticklabels()] == list(table.columns) and axes.get_xlabel() == "true"
    np.testing.assert_allclose(axes.images[0].get_array().sum(axis=1), 1)
    with pytest.raises(DataError, match="no star has both labels"):
        star_figures.confusion_table(kinematics.confusion([""], ["D"]))


def test_colours_are_those_of_the_stars(stars):
    marks = {"young": np.arange(60) < 4}
    figure = star_figures.colour_colour(stars.teff / 1000, stars.teff / 2000, stars.teff, marks=marks)
    np.testing.assert_allclose(offsets(figure.axes[0]), np.c_[stars.teff / 2000, stars.teff / 1000])
    assert legend(figure) == ["young (4)"]
    assert not star_figures.colour_colour(stars.teff / 1000, stars.teff / 2000, stars.teff).legends


def test_numbers_of_stars_stand_beside_the_median_colours():
    table = pd.DataFrame({"g_j": [3.0, 2.1, 2.0], "bp_rp": [3.2, 2.4, 1.8], "teff": [3100.0, 3500, 4000]})
    figure = star_figures.colour_sequence(table.assign(N=[6, 40, 5], scatter_g_j=[0.1, 0.05, 0.2], scatter_bp_rp=0.3))
    axes = figure.axes[0]
    np.testing.assert_allclose(offsets(axes), table[["g_j", "bp_rp"]])
    np.testing.assert_allclose(axes.collections[0].get_array(), table["teff"])
    assert [(text.get_text(), text.xy) for text in axes.texts] == [("5", (2, 1.8)), ("40", (2.1, 2.4)), ("6", (3, 3.2))]
    assert [text.get_ha() for text in axes.texts] == ["right", "left", "left"]  # not between two neighbours


def scatters(axes):
    return [c for c in axes.collections if type(c).__name__ == "PathCollection"]


def texts(axes):
    return "\n".join(t.get_text() for t in axes.texts)


def sample(n=120):
    rng = np.random.default_rng(2)
    teff = rng.uniform(3000, 4100, n)
    pop = rng.choice(["YD", "D", "TD-D", "TD"], n, p=[0.3, 0.5, 0.1, 0.1])
    luminosity = kinematics.main_sequence_luminosity(teff, 4.8 + (3600 - teff) / 2500)
    active = rng.random(n) < 0.2
    return teff, luminosity * np.where(active, 2, 1), active, pop


def test_hr_diagram_sorts_by_activity_and_population():
    teff, luminosity, active, pop = sample()
    figure = star_figures.hr_diagram(
        teff,
        luminosity,
        active,
        pop,
        teff_error=np.full((2, 120), 40.0),
        active_name="active (reconstructed)",
        marks={"subdwarf-like": pop == "TD"},
    )
    left, right = figure.axes
    assert left.xaxis_inverted() and right.xaxis_inverted() and left.get_yscale() == "log"  # hot on the left
    assert r"L_\odot" in left.get_ylabel() and "[K]" in left.get_xlabel()
    left_names, right_names = ([t.get_text() for t in axes.get_legend().get_texts()] for axes in (left, right))
    assert f"active (reconstructed) ({active.sum()})" in left_names and f"inactive ({(~active).sum()})" in left_names
    for name, number in (("thin disc", "D"), ("young disc", "YD"), ("transition", "TD-D"), ("subdwarf-like", "TD")):
        assert f"{name} ({(pop == number).sum()})" in right_names
    line = left.lines[0]
    np.testing.assert_allclose(
        line.get_ydata(),
        kinematics.main_sequence_luminosity(line.get_xdata(), 4.8 + (3600 - line.get_xdata()) / 2500),
        rtol=0.02,
    )  # the inactive sequence, not the mean


def test_hr_diagram_needs_no_extras():
    figure = star_figures.hr_diagram(*sample())
    assert "median error" not in texts(figure.axes[0])


def test_ridges_show_medians_and_tests():
    rng = np.random.default_rng(4)
    pop = np.repeat(["YD", "D", "TD-D", "TD"], [30, 60, 2, 20])
    mh = np.r_[rng.normal(0, 0.1, 90), -0.1, -0.3, rng.normal(-0.3, 0.1, 20)]
    figure = star_figures.metallicity_ridges(mh, pop, truth=mh + 0.1)
    summary, tests = kinematics.metallicity_by_population(mh, pop)
    legend = "\n".join(t.get_text() for t in figure.legends[0].get_texts())
    p = tests.set_index(["pop1", "pop2"]).loc[("D", "TD"), "p"]
    assert f"KS D and TD: $p$ = {p:.2g}" in legend and "true [M/H]" in legend
    medians = [next(line.get_xdata()[0] for line in axes.lines if line.get_lw() == 1.6) for axes in figure.axes]
    np.testing.assert_allclose(medians, summary["median"])
    for axes, name, n in zip(
        figure.axes, ("young disc", "thin disc", "transition", "thick disc"), (30, 60, 2, 20), strict=True
    ):
        assert texts(axes).startswith(f"{name}, $N$ = {n}")
        ticks = next(c for c in axes.collections if type(c).__name__ == "LineCollection")
        assert len(ticks.get_segments()) == n
        densities = [c for c in axes.collections if type(c).__name__ != "LineCollection"]
        assert len(densities) == (n > 2)  # two stars have no density
    assert figure.axes[-1].get_xlabel() == "[M/H] [dex]"
    with pytest.raises(DataError, match="no star of a known population"):
        star_figures.metallicity_ridges(mh, np.full(len(mh), "?"))


def test_toomre_has_the_two_velocities():
    (U, V, W), _ = kinematics.draw_velocities(100, seed=5)
    pop = kinematics.population(U, V, W)
    figure = star_figures.toomre(U, V, W, pop)
    (axes,) = figure.axes
    shown = np.concatenate([c.get_offsets() for c in scatters(axes)])
    np.testing.assert_allclose(np.sort(shown[:, 0]), np.sort(V))
    np.testing.assert_allclose(np.sort(shown[:, 1]), np.sort(np.hypot(U, W)))
    low, high = axes.get_xlim()
    assert low < V.min() and high > V.max() and axes.get_ylim()[0] == 0 and axes.get_aspect() == 1
    radius = np.hypot(*axes.lines[0].get_data())
    np.testing.assert_allclose(radius, 50)
