"""The figures of notebook 07: what is drawn where, on small tables."""

import numpy as np
import pandas as pd
import pytest
from drawing import close_figures, drawn  # noqa: F401

from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import benchmark_tables
from dtl_core.plots import benchmark_figures

METHODS = ["no transfer", "fine-tuned", "combined"]
RNG = np.random.default_rng(0)


def errors():
    rows = [(name, region, 9, 1.0 + k, 0.1 * k, 1.0, 20 * (k == 2), method, seed) for name in PARAMETERS
            for k, method in enumerate(METHODS) for region in ("all", "0", "1", "2") for seed in range(2)]  # fmt: skip
    return pd.DataFrame(rows, columns=["parameter", "region", "n", "rmse", "bias", "scatter", "truths", "arm", "seed"])


def gaps():
    rows = [(metric, 0.5 + 0.1 * k, 0.01, 0.5, method, seed) for metric in ("AUC", "MMD^2")
            for k, method in enumerate(METHODS) for seed in range(2)]  # fmt: skip
    return pd.DataFrame(rows, columns=["metric", "value", "error", "p", "arm", "seed"])


def test_every_figure_function_is_tested():
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert set(benchmark_figures.__all__) <= tested, set(benchmark_figures.__all__) - tested


def test_gap_and_errors():
    methods = ["autoencoder", "fine-tuned", "fluxes"]
    rows = [("AUC", 0.9 - 0.1 * k, arm, seed) for k, arm in enumerate(methods) for seed in range(3)]
    gaps = pd.DataFrame(rows, columns=["metric", "value", "arm", "seed"])
    rows = [(p, 1.0 + k + seed, arm, seed) for p in PARAMETERS for k, arm in enumerate("ab") for seed in range(3)]
    errors = pd.DataFrame(rows, columns=["parameter", "rmse", "arm", "seed"])
    figure = drawn(benchmark_figures.gap_and_errors(gaps, errors, dict.fromkeys(PARAMETERS, 2.5)))
    first, *panels = figure.axes
    assert [line.get_ydata().tolist() for line in first.lines[3:4]] == [pytest.approx([0.7, 0.9, 0.8])]  # the median
    for ax in panels:
        assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b"]
        assert ax.lines[0].get_ydata().tolist() == [1, 2] and ax.lines[3].get_ydata().tolist() == [2, 3]
        assert ax.lines[4].get_ydata() == [2.5, 2.5]


def test_method_errors():
    tables, truths = benchmark_tables.error_table(errors()), benchmark_tables.known_truths(errors())
    figure = drawn(benchmark_figures.method_errors(*tables, truths, scale=dict.fromkeys(PARAMETERS, 2.0)))
    assert len(figure.axes) == 4 and all(ax.get_xscale() == "log" for ax in figure.axes)
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == ["no transfer", "fine-tuned", "combined (20)"]  # the first stands highest
    without, knowing = (figure.axes[0].collections[k].get_offsets() for k in (1, 3))
    np.testing.assert_allclose(without, [[1, 2], [2, 1]])
    np.testing.assert_allclose(knowing, [[3, 0]])
    np.testing.assert_allclose(figure.axes[2].lines[0].get_xdata(), 2.0)


def test_a_survey_in_which_a_method_diverges_does_not_stretch_the_axis():
    median, least, most = benchmark_tables.error_table(errors())
    most.loc["fine-tuned", "teff"] = 1e5
    figure = drawn(benchmark_figures.method_errors(median, least, most, benchmark_tables.known_truths(errors())))
    first, second = figure.axes[:2]
    assert first.get_xlim()[1] == pytest.approx(1.4 * median["teff"].max())
    arrows = [line for line in first.lines if line.get_marker() == ">"]
    assert [tuple(line.get_ydata()) for line in arrows] == [(1,)]  # of that method alone
    assert not [line for line in second.lines if line.get_marker() == ">" and len(line.get_ydata())]


def test_with_truths():
    assert benchmark_figures.with_truths(["a", "b"], {"a": 0, "b": 20}) == ["a", "b (20)"]


def test_kind_ratios():
    index = pd.MultiIndex.from_product([["spots", "zeeman"], METHODS], names=["kind", "arm"])
    ratios = pd.DataFrame({name: [0.5, 1.0, 2.0, 0.9, 3.0, 4.0] for name in PARAMETERS}, index)
    figure = drawn(benchmark_figures.kind_ratios(ratios, {"no transfer": 0, "fine-tuned": 0, "combined": 20}))
    panel = figure.axes[0]
    np.testing.assert_allclose(panel.images[0].get_array(), [[0.5, 1.0, 2.0], [0.9, 3.0, 4.0]])
    assert [text.get_text() for text in panel.texts] == ["0.50", "1.0", "2.0", "0.90", "3.0", "4.0"]
    assert len(panel.patches) == 3  # those that reach the goal
    assert "relation" in figure.axes[1].get_title() and "goal" in panel.get_title()


def test_anchor_curves():
    table = pd.concat([errors().assign(n_teff=n, n_mh=m, rmse=9.0 - m) for n, m in ((0, 0), (14, 6))])
    figure = drawn(benchmark_figures.anchor_curves(table.query("arm != 'fine-tuned'")))
    assert len(figure.axes) == 4 and len(figure.axes[0].containers) == 2
    np.testing.assert_allclose(figure.axes[1].containers[0].lines[0].get_xydata(), [[0, 9], [14, 3]])
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["0\n+ 0", "14\n+ 6"]


def test_what_was_not_measured_is_a_note():
    for draw in (benchmark_figures.method_errors, benchmark_figures.kind_ratios):
        figure = drawn(draw(pd.DataFrame()))
        assert [text.get_text() for text in figure.axes[0].texts] == ["not measured yet"]


def test_region_bias():
    figure = drawn(benchmark_figures.region_bias(errors()))
    assert len(figure.axes) == 4
    lines = [line for line in figure.axes[1].lines if line.get_marker() == "D"]
    np.testing.assert_allclose(lines[0].get_ydata(), 0.2)
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["cool", "middle", "hot"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == METHODS


def test_axes_kept():
    table = pd.DataFrame({"arm": np.repeat(["autoencoder", "fine-tuned", "frozen decoder"], 10), "live": True})
    table["correlation"], table["moved"] = RNG.uniform(-1, 1, 30), np.r_[np.zeros(10), RNG.uniform(0.1, 9, 20)]
    table.loc[29, ["live", "moved"]] = False, np.inf
    left, right = drawn(benchmark_figures.axes_kept(table)).axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["fine-tuned", "frozen decoder"]
    assert "correlation" in left.get_xlabel() and "synthetic spread" in right.get_xlabel()


def test_metrics_against_error():
    relative = benchmark_tables.relative_errors(errors().query("region == 'all'"), dict.fromkeys(PARAMETERS, 1.0))
    figure = drawn(benchmark_figures.metrics_against_error(gaps(), relative))
    assert [ax.get_xlabel() for ax in figure.axes] == ["AUC", "MMD^2"]
    assert [ax.get_xscale() for ax in figure.axes] == ["linear", "log"]
    np.testing.assert_allclose(figure.axes[0].collections[0].get_offsets()[4:], [[0.7, 3.0]] * 2)


@pytest.mark.slow
def test_strength_curves():
    table = pd.MultiIndex.from_product(
        [["all effects", "noise"], [0.0, 2.0], METHODS], names=["effect", "strength", "arm"]
    )
    relative = pd.Series(np.arange(12.0) + 1, table, name="relative")
    one = pd.Series(
        7.0, pd.MultiIndex.from_product([["all effects"], [1.0], METHODS], names=table.names), name="relative"
    )
    figure = drawn(benchmark_figures.strength_curves(pd.concat([one, relative])))
    assert [ax.get_title() for ax in figure.axes] == ["all effects", "noise"]
    np.testing.assert_allclose(figure.axes[1].lines[0].get_xydata(), [[0, 7], [1, 7], [2, 10]])


def test_coverage_curves():
    rows = [(name, third, level, level - 0.1, 0.02) for name in PARAMETERS for third in ("all", "0", "1", "2")
            for level in (0.5, 0.9)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["parameter", "third", "level", "share", "error"])
    other = pd.DataFrame([(name, 0.68, 0.1) for name in PARAMETERS], columns=["parameter", "level", "share"])
    figure = drawn(benchmark_figures.coverage_curves(table, {"paper": other}))
    np.testing.assert_allclose(figure.axes[0].containers[0].lines[0].get_xydata(), [[0.5, 0.4], [0.9, 0.8]])
    assert "paper" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_rank_histograms():
    figure = drawn(benchmark_figures.rank_histograms({name: RNG.uniform(0, 1, 500) for name in PARAMETERS}))
    assert len(figure.axes) == 4 and figure.axes[0].get_ylabel() == "stars"
    band = figure.axes[0].patches[0].get_extents().transformed(figure.axes[0].transData.inverted())
    assert 35 <= band.y0 < 50 < band.y1 <= 65  # 95 % of the bins of 500 uniform ranks


def test_expected_coverage():
    level = pd.Index(np.linspace(0, 1, 11))
    table = pd.DataFrame({survey: level.to_numpy() ** (survey + 1) for survey in range(3)}, index=level)
    figure = drawn(benchmark_figures.expected_coverage({"own half": table, "other surveys": table}))
    assert [ax.get_title() for ax in figure.axes] == ["own half", "other surveys"]
    lines = figure.axes[1].lines
    assert len(lines) == 1 + 3 + 1 and lines[4].get_ydata()[5] == pytest.approx((0.5 + 0.25 + 0.125) / 3)


def test_widths():
    table = pd.DataFrame({"width": [2.0, 4.0], "error": [1.0, 3.0]})
    figure = drawn(benchmark_figures.widths(dict.fromkeys(PARAMETERS, table)))
    np.testing.assert_allclose(figure.axes[3].lines[0].get_xydata(), [[1, 1], [2, 3]])


def test_corner_plot():
    samples = RNG.normal(size=(500, 4)) * [30, 0.1, 0.1, 1] + [3500, 4.8, 0, 3]
    figure = drawn(benchmark_figures.corner_plot(samples, [3500, 4.8, 0, 3], samples + 0.1))
    assert len(figure.axes) == 16 and "eff" in figure.axes[12].get_xlabel()
