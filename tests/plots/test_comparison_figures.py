"""The figures show the numbers that they should: read back from the axes."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from dtl_core.errors import ConfigError, DataError
from dtl_core.literature import comparison
from dtl_core.literature.paper_numbers import Number
from dtl_core.parameters import PARAMETERS
from dtl_core.plots import comparison_figures, style

matplotlib.use("Agg")
UNITS = {"teff": "[K]", "logg": "[dex]", "mh": "[dex]", "vsini": "[km s$^{-1}$]"}


@pytest.fixture(scope="module")
def catalogue():
    rng = np.random.default_rng(0)
    n = 80
    frame = pd.DataFrame(
        {
            "karmn": [f"S{i:03d}" for i in range(n)],
            "teff": rng.uniform(3000, 4200, n),
            "logg": rng.uniform(4.6, 5.2, n),
            "mh": rng.normal(0, 0.2, n),
            "vsini": rng.uniform(1, 30, n),
        }
    )
    for name, low, high in (("teff", 30, 60), ("logg", 0.05, 0.02), ("mh", 0.1, 0.05), ("vsini", 0.3, 0.6)):
        frame[f"e_{name}"], frame[f"E_{name}"] = low, high
    return frame


@pytest.fixture(scope="module")
def literature(catalogue):
    shifted = catalogue[["karmn", *PARAMETERS]].assign(teff=catalogue.teff - 100, vsini=catalogue.vsini + 1)
    shifted[[f"e_{p}" for p in PARAMETERS]] = [50.0, 0.05, 0.1, 0.5]
    some = catalogue[["karmn", "teff"]].iloc[:10].assign(teff=3500.0)
    return {
        "Shifted": shifted.iloc[::-1].assign(vsini_limit=shifted.vsini < 5),
        "Some": some.assign(logg=np.nan, mh=np.nan, vsini=np.nan),
    }


def points(axes, collection=0):
    return np.ma.filled(axes.collections[collection].get_offsets(), np.nan)


def scatters(axes):
    return [c for c in axes.collections if type(c).__name__ == "PathCollection"]


def texts(axes):
    return "\n".join(t.get_text() for t in axes.texts)


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_one_to_one_shows_values_and_residuals(catalogue, literature, parameter):
    figure = comparison_figures.one_to_one(catalogue, literature, parameter)
    assert isinstance(figure, Figure)
    shown = 2 if parameter == "teff" else 1  # the second source has no more than temperatures
    assert len(figure.axes) == 2 * shown
    upper, lower = figure.axes[:2]
    assert upper.get_title() == "Shifted"
    assert upper.get_ylabel().endswith(f"literature {UNITS[parameter]}") and "this work" in lower.get_xlabel()
    above, below = (np.concatenate([c.get_offsets() for c in scatters(axes)]) for axes in (upper, lower))
    assert len(above) == len(catalogue)
    np.testing.assert_allclose(below[:, 1], above[:, 1] - above[:, 0], atol=1e-9)
    np.testing.assert_allclose(np.sort(above[:, 0]), np.sort(catalogue[parameter]))  # matched by name, not by row
    assert upper.get_xlim() == upper.get_ylim()
    assert "$N$ = 80" in texts(upper)


def test_one_to_one_writes_the_statistics(catalogue, literature):
    figure = comparison_figures.one_to_one(catalogue, literature, "teff", columns=1, reference="true")
    assert "\N{MINUS SIGN}100 K" in texts(figure.axes[0]) and "rmse = 100 K" in texts(figure.axes[0])
    assert "true" in figure.axes[0].get_ylabel()
    means = [line for line in figure.axes[1].lines if line.get_color() == style.RED]
    assert means[0].get_ydata()[0] == pytest.approx(-100)
    assert figure.axes[1].get_ylim() == figure.axes[3].get_ylim()  # residuals of the panels can be compared
    same = comparison_figures.one_to_one(catalogue, {"same": literature["Shifted"]}, "logg")
    assert "$\\overline{\\Delta}$ = 0.00 dex" in texts(same.axes[0])  # neither +0.00 nor -0.00


def test_upper_limits_are_hollow_and_speeds_logarithmic(catalogue, literature):
    figure = comparison_figures.one_to_one(catalogue, {"Shifted": literature["Shifted"]}, "vsini")
    filled, hollow = scatters(figure.axes[0])
    assert len(hollow.get_offsets()) == literature["Shifted"].vsini_limit.sum() > 0
    assert hollow.get_facecolors().size == 0 and filled.get_facecolors().size > 0
    assert figure.axes[0].get_xscale() == figure.axes[0].get_yscale() == "log"
    assert figure.axes[1].get_yscale() == "linear"


def test_one_to_one_refuses_what_it_cannot_show(catalogue, literature):
    with pytest.raises(DataError, match="'logg': no star in common"):
        comparison_figures.one_to_one(catalogue, {"Some": literature["Some"]}, "logg")
    with pytest.raises(ConfigError, match="unknown parameter"):
        comparison_figures.one_to_one(catalogue, literature, "mass")


def test_empty_places_of_the_grid_are_blank(catalogue, literature):
    three = {name: literature["Shifted"] for name in "abc"}
    figure = comparison_figures.one_to_one(catalogue, three, "mh", columns=2)
    assert [axes.axison for axes in figure.axes] == [True] * 6 + [False] * 2


@pytest.mark.slow
def test_thirteen_sources_have_a_panel_each(catalogue, literature):
    figure = comparison_figures.one_to_one(catalogue, {f"L{i}": literature["Shifted"] for i in range(13)}, "teff")
    assert [axes.get_title() for axes in figure.axes[::2]] == [f"L{i}" for i in range(13)] + ["", ""]
    width, height = figure.get_size_inches()
    assert width < 8.5  # a page's: text of 8 points stays legible
    boxes = [axes.get_position() for axes in figure.axes[:26]]
    assert min(box.width * width for box in boxes) > 1.5 and min(box.height * height for box in boxes) > 0.4


def test_one_stray_star_does_not_flatten_the_residuals(catalogue, literature):
    rng = np.random.default_rng(8)
    many = pd.concat([catalogue] * 5).assign(karmn=[f"S{i}" for i in range(400)])
    theirs = many.assign(teff=many.teff + rng.normal(0, 50, 400))
    theirs.loc[theirs.karmn == "S7", "teff"] += 2000
    lower = comparison_figures.one_to_one(many, {"L": theirs}, "teff").axes[1]
    stray = [line for line in lower.lines if line.get_marker() == "^"]
    assert lower.get_ylim()[1] < 400 and len(stray) == 1
    assert stray[0].get_xdata()[0] == pytest.approx(many.teff.iloc[7]) and stray[0].get_ydata()[0] < lower.get_ylim()[1]


def test_histograms_count_every_star_on_one_axis(catalogue, literature):
    figure = comparison_figures.difference_histograms(catalogue, literature, "teff")
    one, two = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["Shifted", "Some"]
    assert sum(bar.get_height() for bar in one.patches) == 80 and sum(bar.get_height() for bar in two.patches) == 10
    assert one.get_xlim() == two.get_xlim() and "mean \N{MINUS SIGN}100 K" in texts(one)
    mean = [line for line in one.lines if line.get_color() == style.RED]
    assert mean[0].get_xdata()[0] == pytest.approx(-100)
    curve = next(line for line in one.lines if len(line.get_xdata()) > 100)
    x, y = curve.get_data()
    width = one.patches[0].get_width()
    sigma = np.hypot(45, 50)  # 30 and 60 K of the catalogue on the average, 50 K of the source
    assert y.max() == pytest.approx(80 * width / (sigma * np.sqrt(2 * np.pi)), rel=1e-3)
    assert x[y.argmax()] == pytest.approx(-100, abs=5)
    with pytest.raises(DataError, match="no star in common"):
        comparison_figures.difference_histograms(catalogue, {"Some": literature["Some"]}, "logg")


def test_histograms_leave_out_upper_limits(catalogue, literature):
    (axes,) = comparison_figures.difference_histograms(catalogue, {"Shifted": literature["Shifted"]}, "vsini").axes
    limits = literature["Shifted"].vsini_limit.sum()
    assert f"$N$ = {80 - limits}" in texts(axes) and sum(bar.get_height() for bar in axes.patches) == 80 - limits > 0


def test_difference_dots_stand_beside_what_the_paper_states(catalogue, literature):
    table = comparison.comparison_table(catalogue, literature)
    stated = [Number("Shifted", "teff", "mean_diff", -99, 1), Number("Shifted", "teff", "mean_diff", 7, 1, "teff<3750")]
    figure = comparison_figures.difference_dots(table, [*stated, Number("Shifted", "mh", "pearson_r", 0.5, 0.01)])
    assert len(figure.axes) == 8  # a pair of panels per parameter
    teff, r = figure.axes[:2]
    assert [t.get_text() for t in teff.get_yticklabels()] == ["Shifted (80)", "Some (10)"]
    ours, paper = (next(line for line in teff.lines if line.get_marker() == m) for m in "oD")
    np.testing.assert_allclose(ours.get_xdata()[0], -100)
    np.testing.assert_array_equal(paper.get_xdata(), [-99, np.nan])  # of all stars, not of a subset
    np.testing.assert_allclose(next(line for line in r.lines if line.get_marker() == "o").get_xdata()[0], 1)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["recomputed", "stated by the paper"]
    assert len(comparison_figures.difference_dots(table).legends[0].get_texts()) == 1
    with pytest.raises(DataError, match="no star in common"):
        comparison_figures.difference_dots(table[table["N"] == 0])


def test_agreement_dots_are_the_medians_of_each_catalogue(catalogue, literature):
    noisy = catalogue.assign(teff=catalogue.teff + 300 * np.random.default_rng(1).normal(size=len(catalogue)))
    frames = {"ours": catalogue, "Shifted": literature["Shifted"], "noisy": noisy, "few": catalogue.iloc[:5]}
    standing = comparison.standing(comparison.agreement_matrix(frames, "teff"))
    (axes,) = comparison_figures.agreement_dots({"teff": standing, "mh": standing[standing["partners"] == 0]}).axes
    names = [t.get_text() for t in axes.get_yticklabels()]
    assert names == [name for name in standing.index if name != "few"] and names[-1] == "noisy"  # no partner, no row
    np.testing.assert_allclose(axes.lines[0].get_xdata(), standing.loc[names, "median_r"])
    np.testing.assert_allclose(axes.lines[1].get_xdata(), standing.loc[names, "closest_r"])
    with pytest.raises(DataError, match="share enough stars"):
        comparison_figures.agreement_dots({"teff": standing.iloc[:0]})


@pytest.mark.slow
def test_recovered_compares_with_the_truth(catalogue):
    truth = catalogue[["karmn", *PARAMETERS]].iloc[:60].assign(active=np.arange(60) % 3 == 0)
    truth["teff"] = truth.teff + 40  # we found 40 K too little; the upper bar of 60 K covers it
    figure = comparison_figures.recovered(catalogue, truth)
    assert len(figure.axes) == 8
    for axes, parameter in zip(figure.axes[::2], PARAMETERS, strict=True):
        assert axes.get_ylabel().endswith(f"found {UNITS[parameter]}")
        assert sum(len(c.get_offsets()) for c in scatters(axes)) == 60
        assert "100% inside" in texts(axes)
    assert "bias = \N{MINUS SIGN}40 K" in texts(figure.axes[0])
    inactive = scatters(figure.axes[1])[0].get_offsets()
    assert len(inactive) == 40 and np.allclose(inactive[:, 1], -40)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["inactive", "active"]


@pytest.mark.slow
def test_recovered_works_without_activity_and_refuses_other_stars(catalogue):
    figure = comparison_figures.recovered(catalogue, catalogue[["karmn", *PARAMETERS]])
    assert not figure.legends
    with pytest.raises(DataError, match="no star in common"):
        comparison_figures.recovered(catalogue, catalogue.assign(karmn="X" + catalogue.karmn))


@pytest.mark.slow
def test_speeds_below_zero_do_not_stop_a_figure(catalogue):
    odd = catalogue.assign(vsini=catalogue.vsini.where(catalogue.index > 3, -1.0))
    figure = comparison_figures.recovered(odd, catalogue)
    figure.canvas.draw()
    assert figure.axes[6].get_xlim()[0] > 0
    none = comparison_figures.recovered(catalogue.assign(vsini=np.nan, mh=np.nan), catalogue)
    none.canvas.draw()


def test_figures_are_closed(catalogue, literature):
    import matplotlib.pyplot as plt

    plt.close("all")
    comparison_figures.one_to_one(catalogue, literature, "teff")
    assert plt.get_fignums() == []
