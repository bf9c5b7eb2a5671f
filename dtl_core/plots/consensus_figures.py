"""Figures of the consensus of catalogues: parameters of each catalogue, and anchors that were left out."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from ..parameters import TABLE
from .style import BLUE, GREY, RED, SMALL, label, styled

__all__ = ["anchors_left_out", "catalogue_worth"]


@styled
def catalogue_worth(table, parameter, paper):
    """Zero point, slope and scatter of each catalogue.

    Parameters
    ----------
    table : pandas.DataFrame
        As returned by :func:`dtl_core.literature.consensus.catalogue_table`, with the column catalogue.
    parameter : str
    paper : str
        Catalogue that is marked.

    Returns
    -------
    matplotlib.figure.Figure
    """
    unit, rows = TABLE[parameter].latex_unit, np.arange(len(table))[::-1]
    figure, panels = plt.subplots(1, 3, figsize=(7.5, 0.6 + 0.24 * len(table)), sharey=True, layout="constrained")
    titles = {"zero": f"zero point [{unit}]", "slope": "slope", "total": f"scatter [{unit}]"}
    ours = (table["catalogue"] == paper).to_numpy()
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        for which, style in ((~ours, {"color": BLUE, "fmt": "o"}), (ours, {"color": RED, "fmt": "D"})):
            axes.errorbar(table[name][which], rows[which], xerr=table[f"e_{name}"][which], ms=4, lw=1, **style)
        axes.set_xlabel(title)
    panels[0].axvline(0, color=GREY, lw=0.8, ls="--")
    panels[1].axvline(1, color=GREY, lw=0.8, ls="--")
    panels[2].plot(table["quoted"], rows, "|", color="black", ms=9, label="quoted error")
    panels[2].set_xlim(left=0)
    panels[2].legend(loc="lower right", bbox_to_anchor=(1, 1), **SMALL)
    panels[0].set_yticks(rows, table["catalogue"])
    return figure


@styled
def anchors_left_out(tables):
    """Anchor minus consensus for each anchor, which the consensus did not know.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
        By parameter: karmn, consensus, low, high and difference (anchor minus consensus).

    Returns
    -------
    matplotlib.figure.Figure
    """
    sizes = [len(table) for table in tables.values()]
    figure, panels = plt.subplots(
        1, len(tables), figsize=(7.5, 3.4), layout="constrained", width_ratios=sizes, squeeze=False
    )
    for axes, (parameter, table) in zip(panels[0], tables.items(), strict=True):
        middle, place = table["consensus"], np.arange(len(table))
        sides = np.array([table["high"] - middle, middle - table["low"]])  # towards the anchor, if it lies above
        axes.errorbar(place, table["difference"], yerr=sides, fmt="o", color=BLUE, ms=4, lw=1)
        axes.axhline(0, color=GREY, lw=0.8, ls="--")
        axes.set_xticks(place, table["karmn"], rotation=90, fontsize=7)
        axes.set_ylabel(label(parameter, "anchor minus consensus"), fontsize=8)
    return figure
