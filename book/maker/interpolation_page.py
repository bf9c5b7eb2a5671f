"""The part of the data page on interpolation between the nodes of a library."""

from __future__ import annotations

import pandas as pd

from dtl_core.parameters import TABLE
from dtl_core.synthetic import interpolation
from dtl_core.synthetic.libraries import library_hash, load_library

from .markdown import NBSP, code, escape, number, table
from .star_pages import SLOW

__all__ = ["interpolation_errors", "interpolation_page"]

METHODS = ("linear", "cubic")
AXES = {name: escape(TABLE[name].symbol) for name in ("teff", "logg", "mh")}


def interpolation_errors(run):
    """Interpolation errors of the library in a run's window, kept in the run's store.

    Returns
    -------
    DataFrame of :func:`dtl_core.synthetic.interpolation.interpolation_error` for both methods, and that of
    :func:`dtl_core.synthetic.interpolation.interpolation_difference`.
    """
    names = ("error", "difference")
    settings = {"window": run.config.window, "continuum": run.config.continuum, "vsini": SLOW}

    def compute(folder):
        library = load_library("grid_a")
        tables = (
            interpolation.interpolation_error(library, METHODS, **settings),
            interpolation.interpolation_difference(library, **settings),
        )
        for name, frame in zip(names, tables, strict=True):
            frame.to_csv(folder / f"{name}.csv", index=False)

    inputs = {"grid_a": library_hash("grid_a")}
    folder, _ = run.store.stage("interpolation", settings, inputs, compute)
    return tuple(pd.read_csv(folder / f"{name}.csv") for name in names)


def interpolation_page(run):
    """The part of the data page on interpolation: a table of its error for each region of Teff."""
    error, difference = interpolation_errors(run)
    by = error.set_index(["axis", "teff", "method"])
    rows = []
    for axis, region in dict.fromkeys(zip(error["axis"], error["teff"], strict=True)):
        found = [by.loc[(axis, region, method)] for method in METHODS]
        shown = [f"{100 * row[name]:#.2g}" for row in found for name in ("rms", "rms_scaled", "max")]
        region = escape(region.replace(">=", "≥").replace("-", "\N{EN DASH}"))
        region = region.replace(" ", NBSP).replace("\N{EN DASH}", "\N{EN DASH}\N{WORD JOINER}")
        rows.append([AXES.get(axis, escape(axis)), region, *shown])
    columns = [f"{method}: {name}" for method in METHODS for name in ("double", "own", "largest")]
    sizes = ", ".join(f"{100 * rms:.2f}" for rms in difference["rms"])
    power = number(run.config.window.resolving_power, ",.0f").replace(",", NBSP)
    return (
        "(interpolation)=\n### Interpolation between the nodes\n\n"
        "Between its nodes the library is interpolated: `linear` in flux, as in the paper, or `cubic` in the logarithm "
        f"of the flux (`synthetic.interpolation`; this run: {code(run.config.synthetic.interpolation)}). For "
        "{numref}`tab-interpolation` each node is left out and predicted from the others, along one axis at a time, "
        f"and compared as the networks see it, at R = {power} and v sin i = {SLOW:g} km/s. Its neighbours are then "
        "two steps apart; the estimate at the grid's own spacing is a quarter of that error for `linear`, a sixteenth "
        "for `cubic`. In log g only two nodes remain: there `cubic` is a straight line too, so its estimate is also a "
        "quarter, which is an upper limit. At the centres of the cells, where it errs most, `linear` differs from "
        f"`cubic` by {sizes} % rms, from the coolest region to the hottest.\n\n"
        "```{table} Interpolation error, in per cent of the continuum: rms measured at double spacing, rms estimated "
        "at the grid's own, and the largest error at double spacing.\n:name: tab-interpolation\n\n"
        + table(["left out in", "Teff \\[K\\]", *columns], rows)
        + "```\n"
    )
