"""Colours, settings, labels and helpers shared by the figures."""

from __future__ import annotations

import functools

import matplotlib.pyplot as plt

from ..parameters import TABLE

__all__ = [
    "BLUE",
    "COLOURS",
    "GREEN",
    "GREY",
    "LABELS",
    "MARKERS",
    "ORANGE",
    "PURPLE",
    "RED",
    "SETTINGS",
    "SKY",
    "SMALL",
    "WAVELENGTH",
    "label",
    "shared_legend",
    "styled",
    "value_text",
]


# Okabe & Ito: distinguishable with every kind of colour vision
BLUE, ORANGE, GREEN, RED, SKY, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"
GREY = "#666666"
COLOURS = (GREY, RED, ORANGE, GREEN, SKY, BLUE, PURPLE, "black")  # of groups, each with its own marker
MARKERS = "osD^vP*X"
SMALL = {"fontsize": 8, "frameon": False}  # legends
WAVELENGTH = r"vacuum wavelength [$\mathrm{\AA}$]"
SETTINGS = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "legend.fontsize": 8,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "savefig.dpi": 150,
    "figure.dpi": 110,
}


def label(parameter, whose=""):
    """Axis label of a parameter: its symbol, optionally whose value it is, and its unit."""
    entry = TABLE[parameter]
    return f"{entry.latex}{', ' if whose else ''}{whose} [{entry.latex_unit}]"


LABELS = {name: label(name) for name in TABLE}


def value_text(value, parameter, sign="+"):
    """A value with the parameter's digits and unit; zero has no sign."""
    entry = TABLE[parameter]
    value = round(value, entry.digits) + 0.0  # no negative zero
    text = f"{value:{sign if value else ''}.{entry.digits}f} {entry.latex_unit}"
    return text.replace("-", "\N{MINUS SIGN}", 1 if value < 0 else 0)


def shared_legend(figure, axes, ncols, loc="outside lower center"):
    """One small legend outside all panels, with the entries of ``axes``."""
    figure.legend(*axes.get_legend_handles_labels(), loc=loc, ncols=ncols, **SMALL)


def styled(draw):
    """Decorate a function that returns a figure, so that it draws with ``SETTINGS`` alone and closes the figure."""

    @functools.wraps(draw)
    def wrapper(*args, **kwargs):
        with plt.style.context(["default", SETTINGS]):  # whatever the reader's own settings are
            figure = draw(*args, **kwargs)
            if layout := figure.get_layout_engine():
                layout.execute(figure)
                figure.set_layout_engine("none")  # otherwise each rendering repeats the layout, most of its cost
        plt.close(figure)  # an inline backend would show an open figure a second time
        return figure

    return wrapper
