"""The figures of the consensus show the numbers that they should."""

import matplotlib
import numpy as np
import pandas as pd

from dtl_core.plots import consensus_figures

matplotlib.use("Agg")


def test_worth_of_catalogues_is_drawn_in_rows_with_the_paper_marked():
    table = pd.DataFrame(
        {"catalogue": ["A", "ours", "anchor"], "zero": [10.0, -20.0, np.nan], "e_zero": [1, 2, np.nan]}
    )
    table = table.assign(slope=[1.1, 0.9, np.nan], e_slope=0.1, total=[50.0, 60.0, 70.0], e_total=5.0, quoted=30.0)
    zero, slope, scatter = consensus_figures.catalogue_worth(table, "teff", "ours").axes
    assert [text.get_text() for text in zero.get_yticklabels()] == ["A", "ours", "anchor"]
    others, ours = (container[0] for container in zero.containers)
    np.testing.assert_array_equal(ours.get_xydata(), [[-20.0, 1.0]])
    np.testing.assert_array_equal(others.get_xydata()[0], [10.0, 2.0])
    assert scatter.containers[1][0].get_xdata().tolist() == [60.0] and "K" in scatter.get_xlabel()
    assert slope.get_xlabel() == "slope"


def test_anchors_have_the_bar_of_the_consensus_towards_them():
    table = pd.DataFrame({"karmn": ["A", "B"], "consensus": [3500.0, 3400.0], "low": [3470.0, 3380.0]})
    table = table.assign(high=[3510.0, 3440.0], difference=[20.0, -50.0])
    (axes,) = consensus_figures.anchors_left_out({"teff": table}).axes
    (container,) = axes.containers
    np.testing.assert_array_equal(container[0].get_ydata(), [20.0, -50.0])
    (bars,) = container[2]
    np.testing.assert_array_equal([segment[:, 1] for segment in bars.get_segments()], [[10.0, 50.0], [-90.0, -30.0]])
