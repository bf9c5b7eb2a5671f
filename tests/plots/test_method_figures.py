"""The figures of notebooks 01 to 04: panels, labels and what is drawn, on small arrays."""

import numpy as np
import pytest
from drawing import close_figures, drawn  # noqa: F401

from dtl_core.parameters import PARAMETERS
from dtl_core.plots import method_figures
from dtl_core.plots.style import LABELS

RNG = np.random.default_rng(0)
WAVE = np.linspace(8800, 8835, 50)
FLUX = 1 - 0.3 * RNG.random((4, 50))


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_every_figure_function_is_tested():
    functions = {name for name in method_figures.__all__ if callable(getattr(method_figures, name))}
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert functions <= tested, functions - tested


@pytest.mark.parametrize("n", [1, 3])
def test_model_comparison(n):
    figure = drawn(method_figures.model_comparison(WAVE, FLUX[:n], FLUX[-n:], [f"star {k}" for k in range(n)]))
    assert len(figure.axes) == n
    rms = 100 * np.sqrt(np.mean((FLUX[:n] - FLUX[-n:]) ** 2, axis=1))
    titles = [f"star {k}: rms difference {value:.1f} % of the continuum" for k, value in enumerate(rms)]
    assert [ax.get_title("left") for ax in figure.axes] == titles  # over the whole window
    first = figure.axes[0]
    assert "wavelength" in figure.axes[-1].get_xlabel()
    assert legend(first) == ["difference", "observed", "nearest synthetic"]
    inside = (WAVE >= 8803) & (WAVE <= 8816)
    np.testing.assert_array_equal(first.lines[0].get_ydata(), FLUX[0][inside])
    np.testing.assert_array_equal(first.lines[1].get_ydata(), FLUX[-n][inside])


def test_effect_bars():
    (ax,) = drawn(method_figures.effect_bars({"line_strength": 0.02, "noise": 0.01, "codes": 0.015})).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["noise", "codes", "line strength"]
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [1.0, 1.5, 2.0])
    assert "%" in ax.get_xlabel()


def test_domain_map():
    figure = drawn(method_figures.domain_map(RNG.random((20, 2)), RNG.random((5, 2)), np.linspace(3000, 4000, 20)))
    ax, bar = figure.axes
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("UMAP 1", "UMAP 2", "")
    assert [len(c.get_offsets()) for c in ax.collections[:2]] == [20, 5]
    assert bar.get_ylabel() == LABELS["teff"]


@pytest.mark.parametrize("titles", [["before", "after"], ["one"]])
def test_latent_maps(titles):
    maps = {title: (RNG.random((20, 2)), RNG.random((5, 2))) for title in titles}
    figure = drawn(method_figures.latent_maps(maps, np.linspace(3000, 4000, 20)))
    assert [ax.get_title() for ax in figure.axes[: len(titles)]] == titles
    assert len(figure.axes) == 2 * len(titles)  # each with a colour bar


def test_architecture():
    widths = [3501, 128, 96, 64, 32, 16, 32]
    (ax,) = drawn(method_figures.architecture(widths, frozen=4)).axes
    assert [text.get_text() for text in ax.texts] == [str(w) for w in (*widths, *widths[-2::-1])]
    hatched = [k for k, bar in enumerate(ax.patches) if bar.get_hatch()]
    assert hatched == [1, 2, 3, 4]
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert names.index("latent") == 6 and names[0] == names[-1] == "flux" and len(names) == 13


def test_loss_curves():
    (ax,) = drawn(method_figures.loss_curves([RNG.random(5) + 1, RNG.random(7) + 1], ["a", "b"])).axes
    assert ax.get_yscale() == "log" and ax.get_xlabel() == "epoch" and legend(ax) == ["a", "b"]
    assert [len(line.get_xdata()) for line in ax.lines] == [5, 7] and ax.lines[0].get_xdata()[0] == 1
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()
    many = drawn(method_figures.loss_curves([np.ones(3)] * 11, [str(k) for k in range(11)]))
    assert many.axes[0].get_legend() is None


def test_reconstruction():
    figure = drawn(method_figures.reconstruction(WAVE, FLUX[0], {"before": FLUX[1], "after": FLUX[2]}))
    top, low = figure.axes
    assert legend(top) == ["input", "before", "after"]
    np.testing.assert_allclose(low.lines[0].get_ydata(), FLUX[0] - FLUX[1])
    assert low.get_ylabel() == "input $-$ output" and "wavelength" in low.get_xlabel()


def test_latent_image():
    latent = np.arange(32.0)
    latent[[0, 9]] = 0
    ax, bar = drawn(method_figures.latent_image(latent)).axes
    assert ax.images[0].get_array().shape == (8, 4) and bar.get_ylabel() == "activation"
    crosses = ax.lines[0].get_xydata()
    assert crosses.tolist() == [[0, 0], [1, 2]]  # column, row of units 0 and 9


def test_contractive_penalties():
    latent = np.array([[0.0, 0.5], [0.2, 2.0]])
    penalties = {"exact": np.array([1.0, 3.0]), "paper": np.array([10.0, 0.1])}
    left, right, counts = drawn(method_figures.contractive_penalties(latent, penalties)).axes
    exact, paper = left.lines
    assert set(exact.get_ydata()) == {1} and exact.get_linestyle() != paper.get_linestyle()
    activation = paper.get_xdata()
    np.testing.assert_allclose(paper.get_ydata(), (activation * (1 - activation)) ** 2)
    assert [label.split(":")[0] for label in legend(left)] == ["exact", "paper", "latents"]
    assert sum(bar.get_height() for bar in counts.patches) >= 2  # units at zero are left out
    np.testing.assert_array_equal(right.lines[0].get_xydata(), [[1, 10], [3, 0.1]])
    assert right.get_xscale() == right.get_yscale() == "log"


def test_latent_units():
    synthetic = np.column_stack([np.arange(11.0), np.zeros(11), np.arange(11.0) / 2])
    latents = {"synthetic": synthetic, "before": synthetic + 1, "after": synthetic + 2}
    (ax,) = drawn(method_figures.latent_units(latents)).axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "2"]  # the dead unit is left out
    assert legend(ax) == list(latents)
    means = [container.lines[0].get_ydata() for container in ax.containers]
    np.testing.assert_allclose(means, [[5, 2.5], [6, 3.5], [7, 4.5]])


def test_error_change():
    before, after = 10 ** RNG.uniform(-3, -2, 40), 10 ** RNG.uniform(-4, -3, 40)
    (ax,) = drawn(method_figures.error_change(before, after)).axes
    assert ax.get_xscale() == "log" and legend(ax) == ["before fine-tuning", "after fine-tuning"]
    assert sum(bar.get_height() for bar in ax.patches) == 80  # every star is counted


def test_regression_curves():
    figure = drawn(method_figures.regression_curves(RNG.random((6, 8)) + 0.1, np.repeat(np.arange(4), 2)))
    assert [ax.get_title() for ax in figure.axes] == [LABELS[name] for name in PARAMETERS]
    assert [len(ax.lines) for ax in figure.axes] == [2, 2, 2, 2]


@pytest.mark.slow
def test_errors_against_time():
    lines = {"slow": (np.array([10.0, 20.0]), [1e-2, 1e-3]), "fast": (np.array([1.0, 2.0]), [1e-2, 1e-3])}
    figure = drawn(method_figures.errors_against_time({"teff": lines, "mh": lines}, {"teff": 353.0, "mh": 0.0016}))
    assert [ax.get_title() for ax in figure.axes] == [method_figures.SQUARED["teff"], method_figures.SQUARED["mh"]]
    for ax, target in zip(figure.axes, (353.0, 0.0016), strict=True):
        assert ax.get_xscale() == ax.get_yscale() == "log" and "seconds" in ax.get_xlabel()
        np.testing.assert_array_equal(ax.lines[1].get_xydata(), [[1, 1e-2], [2, 1e-3]])
        assert list(ax.lines[2].get_ydata()) == [target, target]
    reached = [tuple(line.get_xydata()[0]) for line in figure.axes[1].lines[3:5]]
    assert reached == [(20.0, 1e-3), (2.0, 1e-3)]  # the first epoch at or below the target of each curve
    (above,) = figure.legends  # over all panels, where it hides no line
    assert [text.get_text() for text in above.get_texts()] == ["slow", "fast"]
    (alone,) = drawn(method_figures.errors_against_time({"any": lines}, titles={"any": "a title"})).axes
    assert alone.get_title() == "a title" and len(alone.lines) == 4
    rising = {"up": (np.array([1.0, 2.0, 3.0]), [0.2, 0.4, 0.1])}
    (ax,) = drawn(method_figures.errors_against_time({"any": rising})).axes
    best, each = ax.lines
    assert list(best.get_ydata()) == [0.2, 0.2, 0.1] and list(each.get_ydata()) == [0.2, 0.4, 0.1]


@pytest.mark.slow
@pytest.mark.parametrize("names", [PARAMETERS, ("teff",)])
def test_predictions(names):
    truth = {name: RNG.random(12) for name in names}
    predicted = {name: RNG.random(12) for name in names}
    figure = drawn(method_figures.predictions(truth, predicted))
    assert [ax.get_xlabel() for ax in figure.axes] == [f"true {LABELS[name]}" for name in names]
    for ax, name in zip(figure.axes, names, strict=True):
        np.testing.assert_array_equal(ax.lines[0].get_xydata(), np.transpose([truth[name], predicted[name]]))


def test_kde_panel():
    values = RNG.normal(3500, 20, 40)
    (ax,) = drawn(method_figures.kde_panel(values, 3510.0, "teff")).axes
    assert ax.get_xlabel() == LABELS["teff"] and ax.get_ylim()[0] == 0
    assert {"single regressors", "mode", "truth"} <= set(legend(ax))
    (same,) = drawn(method_figures.kde_panel(np.full(5, 3500.0))).axes  # no density, but the values
    assert "mode" in legend(same) and "truth" not in legend(same)


@pytest.mark.parametrize("alone", [True, False])
def test_star_spectrum(alone):
    lines, masked = [(8802.0, "FeH"), (8809.2, "Mg I"), (8834.0, "Fe I")], [(8805.0, 8806.0), (8820.0, 8821.0)]
    model, observed = FLUX[0], None if alone else FLUX[1]
    figure = drawn(method_figures.star_spectrum(WAVE, model, observed, lines=lines, masked=masked))
    assert len(figure.axes) == (3 if alone else 6)
    top, under = (figure.axes, []) if alone else (figure.axes[::2], figure.axes[1::2])
    names = ["synthetic"] if alone else ["observed", "nearest synthetic"]
    assert legend(top[0]) == names and "vacuum wavelength" in figure.axes[-1].get_xlabel()
    assert [[text.get_text() for text in ax.texts] for ax in top] == [["FeH", "Mg I"], [], ["Fe I"]]
    assert [text.get_position()[0] for ax in top for text in ax.texts] == [line for line, _ in lines]
    ends = np.linspace(8800, 8835, 4)
    np.testing.assert_allclose([ax.get_xlim() for ax in top], np.transpose([ends[:-1], ends[1:]]))
    drawn_model = {(x, y) for ax in top for x, y in ax.lines[len(names) - 1].get_xydata()}
    assert drawn_model == set(zip(WAVE, model, strict=True))  # the whole window, in three parts
    for ax in top:
        low, high = ax.get_ylim()
        assert low < model.min() and high > 1.18  # the names have room
    for ax, low in zip(top, under, strict=False):
        stretch = ax.lines[0].get_xdata()
        inside = np.isin(WAVE, stretch)
        np.testing.assert_allclose(low.lines[0].get_ydata(), (FLUX[1] - model)[inside])
        assert low.get_ylabel() == "residual" and np.abs(low.lines[0].get_ydata()).max() <= low.get_ylim()[1]
        assert len(low.patches) == len(masked)


def test_line_corrections():
    lines = [(8802.0, "FeH"), (8809.2, "Mg I")]
    factor, added = (np.stack([middle, middle - 0.1, middle + 0.2]) for middle in (FLUX[2], FLUX[3]))
    spectra = {"library": FLUX[0], "corrected": FLUX[1]}
    figure = drawn(method_figures.line_corrections(WAVE, spectra, factor, added, lines))
    top, *below = figure.axes
    assert legend(top) == list(spectra) and "vacuum wavelength" in below[-1].get_xlabel()
    for drawn_line, flux in zip(top.lines, spectra.values(), strict=False):
        np.testing.assert_array_equal(drawn_line.get_ydata(), flux)
    assert [(text.get_position()[0], text.get_text()) for text in top.texts] == lines
    for ax, (middle, low, high), label in zip(below, (factor, added), ("factor", "added"), strict=True):
        assert label in ax.get_ylabel()
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), middle)
        shaded = ax.collections[0].get_paths()[0].vertices
        assert (shaded[:, 1].min(), shaded[:, 1].max()) == (low.min(), high.max())
        assert [line.get_xdata()[0] for line in ax.lines[2:]] == [line for line, _ in lines]


def test_job_graph():
    graph = {"first": (), "beside": (), "second": ("first",), "last": ("first", "beside", "second")}
    rows = {"first": 0, "beside": 1, "second": 0, "last": 0}
    (ax,) = drawn(method_figures.job_graph(graph, {rule: f"a {rule}" for rule in graph}, rows)).axes
    boxes = {text.get_text().split("\n")[1]: text.get_position() for text in ax.texts if text.get_text()}
    places = {"first": (0, 0), "beside": (0, 1), "second": (1, 0), "last": (2, 0)}
    assert boxes == {f"a {rule}": place for rule, place in places.items()}
    arrows = [(text.xyann, text.xy) for text in ax.texts if not text.get_text()]
    assert sorted(arrows) == [((0, 0), (1, 0)), ((0, 1), (2, 0)), ((1, 0), (2, 0))]  # first -> last by way of second


def test_as_svg():
    one, two = (method_figures.as_svg(method_figures.star_spectrum(WAVE, FLUX[0], FLUX[1])) for _ in range(2))
    assert one == two and one.startswith(b"<?xml") and b"Date" not in one.split(b"<defs>")[0]
