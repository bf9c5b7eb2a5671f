"""Figures for readers who see colours differently: colour maps, palette, and groups in one figure.

Deuteranopia and protanopia are simulated by the matrices of Machado, Oliveira & Fernandes (2009, IEEE Transactions on
Visualization and Computer Graphics 15, 1291) at severity 1.0, in linear RGB. Distances are those of CIE 1976 in L*a*b*,
where about 2 is just noticeable.
"""

import re
from itertools import combinations
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytest  # noqa: E402
from matplotlib.colors import to_rgb, to_rgba  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.patches import Patch  # noqa: E402

from dtl_core.parameters import PARAMETERS  # noqa: E402
from dtl_core.plots import comparison_figures, method_figures, star_figures  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
VISION = {
    "full": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
OKABE_ITO = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}
APART = 15.0  # least distance of two colours where nothing else tells groups apart


def lab(rgb, vision):
    """sRGB, (..., 3) from 0 to 1, as L*a*b* of what is seen; white is D65."""
    rgb = np.asarray(rgb, float)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(VISION[vision]), 0, 1)
    xyz = seen @ XYZ.T / XYZ.sum(axis=1)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def distance(one, other, vision):
    return float(np.linalg.norm(lab(one, vision) - lab(other, vision)))


def sources(*patterns):
    return "".join(path.read_text() for pattern in patterns for path in sorted(ROOT.glob(pattern)))


def test_the_simulation_is_the_published_one():
    for vision, matrix in VISION.items():
        np.testing.assert_allclose(np.sum(matrix, axis=1), 1, atol=2e-6)  # greys stay as they are
        np.testing.assert_allclose(lab([1, 1, 1], vision), [100, 0, 0], atol=1e-3)
    np.testing.assert_allclose(lab([1, 0, 0], "full"), [53.24, 80.09, 67.20], atol=0.02)
    red, green = (0.8, 0.3, 0.2), (0.45, 0.5, 0.2)  # a pair that is mixed up
    assert distance(red, green, "full") > 50 > 15 > distance(red, green, "deuteranopia")


MAPS = sorted(set(re.findall(r"(?:cmap=\\?[\"']|plt\.cm\.)(\w+)", sources("dtl_core/**/*.py", "notebooks/*.ipynb"))))


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("name", MAPS)
def test_lightness_rises_or_falls_all_along_a_colour_map(name, vision):
    lightness = lab(matplotlib.colormaps[name](np.linspace(0, 1, 256))[:, :3], vision)[:, 0]
    steps = np.diff(lightness) * np.sign(lightness[-1] - lightness[0])
    assert steps.min() > 0.02 and abs(lightness[-1] - lightness[0]) > 50  # no plateau, and the whole way is long


@pytest.mark.parametrize("vision", VISION)
def test_the_palette_is_told_apart(vision):
    assert {"viridis", "cividis_r"} <= set(MAPS)
    used = {colour.upper() for colour in re.findall(r"#[0-9A-Fa-f]{6}\b", sources("dtl_core/plots/*.py"))} | {"#000000"}
    greys = {colour for colour in used if len(set(to_rgb(colour))) == 1} - {"#000000"}
    assert used - greys <= OKABE_ITO and len(used - greys) > 5
    close = {pair: distance(*map(to_rgb, pair), vision) for pair in combinations(sorted(used - greys), 2)}
    assert min(close.values()) > APART, min(close, key=close.get)


# ---------------------------------------------------------------- groups of one figure

RNG = np.random.default_rng(4)
WAVE, FLUX = np.linspace(8800, 8835, 50), 1 - 0.3 * RNG.random((5, 50))
N = 40
STARS = pd.DataFrame(
    {
        "karmn": [f"S{k}" for k in range(N)],
        "teff": RNG.uniform(3000, 4200, N),
        "logg": RNG.uniform(4.6, 5.2, N),
        "mh": RNG.normal(0, 0.2, N),
        "vsini": RNG.uniform(1, 30, N),
        "luminosity": RNG.uniform(0.01, 0.1, N),
        "active": np.arange(N) % 3 == 0,
    }
)
FOUND = STARS.drop(columns="active").assign(**{f"{e}_{p}": 0.1 for p in PARAMETERS for e in "eE"})
POP = np.array(["D", "YD", "TD-D", "TD"])[np.arange(N) % 4]
CURVES = {
    f"line {k}": pd.DataFrame({name: np.sort(STARS[name])[5:9] for name in ("teff", "logg", "luminosity")})
    for k in range(9)
}
MARKS = {f"mark {k}": np.arange(N) % 5 == k for k in range(3)}
TEFF, LOGG, MH, VSINI, L = (STARS[name] for name in ("teff", "logg", "mh", "vsini", "luminosity"))
FIGURES = {
    "nearest": lambda: method_figures.model_comparison(WAVE, FLUX[:1], FLUX[1:2], ["a"]),
    "map": lambda: method_figures.domain_map(RNG.random((N, 2)), RNG.random((9, 2)), TEFF),
    "losses": lambda: method_figures.loss_curves(1 + RNG.random((10, 5)), [f"line {k}" for k in range(10)]),
    "reconstruction": lambda: method_figures.reconstruction(WAVE, FLUX[0], dict(zip("abc", FLUX[1:4], strict=True))),
    "errors": lambda: method_figures.error_change(10 ** RNG.normal(-3, 0.2, N), 10 ** RNG.normal(-4, 0.2, N)),
    "votes": lambda: method_figures.kde_panel(RNG.normal(3500, 20, N), 3510.0),
    "star": lambda: method_figures.star_spectrum(WAVE, *FLUX[:2]),
    "lines": lambda: method_figures.line_corrections(WAVE, {"a": FLUX[0], "b": FLUX[1]}, FLUX[2:], FLUX[2:], ()),
    "Kiel, isochrones": lambda: star_figures.kiel(TEFF, LOGG, MH, VSINI, CURVES, marks=MARKS),
    "HR, isochrones": lambda: star_figures.hr_isochrones(TEFF, L, STARS["active"], CURVES, marks=MARKS),
    "colours": lambda: star_figures.colour_colour(TEFF, L, TEFF, marks=MARKS),
    "HR": lambda: star_figures.hr_diagram(TEFF, L, STARS["active"], POP, marks=MARKS),
    "Toomre": lambda: star_figures.toomre(*RNG.normal(0, 40, (3, N)), POP),
    "recovered": lambda: comparison_figures.recovered(FOUND, STARS),
}


def look(handle):
    """What distinguishes a group other than its colour, and its colour on white paper."""
    if isinstance(handle, Line2D):
        shape, colour, alpha = ("line", handle.get_linestyle(), handle.get_marker()), handle.get_color(), 1.0
    elif isinstance(handle, Patch):
        shape, colour, alpha = ("area", handle.get_hatch()), handle.get_facecolor(), handle.get_alpha()
    else:
        filled = handle.get_facecolor().size > 0
        colour, alpha = (handle.get_facecolor() if filled else handle.get_edgecolor())[0], handle.get_alpha()
        size = round(handle.get_sizes()[0]) if filled else 0
        shape = ("points", filled, size, handle.get_paths()[0].vertices.tobytes())
    *rgb, alpha = to_rgba(colour, handle.get_alpha() or alpha)
    return shape, alpha * np.array(rgb) + 1 - alpha


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_groups_differ_in_shape_or_in_a_colour_that_everyone_sees(name):
    figure = FIGURES[name]()
    legends = [legend for legend in [*figure.legends, *(ax.get_legend() for ax in figure.axes)] if legend]
    assert legends
    for legend in legends:
        looks = {
            text.get_text(): look(handle)
            for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
        }
        for (one, (shape, rgb)), (other, (other_shape, other_rgb)) in combinations(looks.items(), 2):
            if shape == other_shape:
                least = min(VISION, key=lambda vision: distance(rgb, other_rgb, vision))  # noqa: B023
                assert distance(rgb, other_rgb, least) > APART, f"{one!r} and {other!r}, {least}"
    plt.close("all")
