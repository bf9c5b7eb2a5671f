"""Compare another catalogue of the paper's stars with the published one, and with the numbers that the paper states."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from astropy.table import Table

from ..parameters import PARAMETERS
from .catalogues import tidy
from .comparison import compare, comparison_table, coverage, difference_table

__all__ = ["NUMBERS", "Number", "compare_catalogues", "compare_numbers"]


BENCHMARKS = {"Interferometric": "teff", "FGK+M": "mh"}  # measurements that do not come from such spectra


class Number(NamedTuple):
    """A statistic of the differences literature - catalogue that the paper states.

    Attributes
    ----------
    source, parameter, statistic : str
        As in :func:`dtl_core.literature.comparison.comparison_table`.
    value : float
    step : float
        One unit of the last printed digit.
    subset : str
    """

    source: str
    parameter: str
    statistic: str
    value: float
    step: float
    subset: str = "all"


NUMBERS = (  # quoted from Mas-Buitrago et al. (2024, A&A 687, A205)
    Number("Mar21", "teff", "mean_diff", -19, 1),
    Number("Mar21", "teff", "pearson_r", 0.95, 0.01),
    Number("Pass19 VIS", "teff", "mean_diff", -80, 1),
    Number("Pass19 VIS", "teff", "pearson_r", 0.96, 0.01),
    Number("Schw19", "teff", "mean_diff", -40, 1),
    Number("Schw19", "teff", "pearson_r", 0.96, 0.01),
    Number("Pass20", "teff", "mean_diff", -35, 1),
    Number("Pass20", "teff", "pearson_r", 0.99, 0.01),
    Number("Bello23", "teff", "mean_diff", -117, 1),
    Number("Bello23", "teff", "pearson_r", 0.87, 0.01),
    Number("Interferometric", "teff", "N", 14, 1),
    Number("Interferometric", "teff", "mean_diff", -119, 1),
    Number("Mar21", "logg", "mean_diff", 0.12, 0.01),
    Number("Mar21", "logg", "pearson_r", 0.39, 0.01),
    Number("Pass19 VIS", "logg", "mean_diff", 0.00, 0.01),
    Number("Pass19 VIS", "logg", "pearson_r", 0.86, 0.01),
    Number("Schw19", "logg", "mean_diff", 0.13, 0.01),
    Number("Schw19", "logg", "pearson_r", 0.90, 0.01),
    Number("Pass20", "logg", "mean_diff", -0.04, 0.01),
    Number("Pass20", "logg", "pearson_r", 0.93, 0.01),
    Number("Mar21", "mh", "mean_diff", -0.11, 0.01),
    Number("Mar21", "mh", "pearson_r", 0.65, 0.01),
    Number("Pass19 VIS", "mh", "mean_diff", 0.06, 0.01),
    Number("Pass19 VIS", "mh", "pearson_r", 0.52, 0.01),
    Number("Schw19", "mh", "mean_diff", 0.00, 0.01),
    Number("Schw19", "mh", "pearson_r", 0.63, 0.01),
    Number("Pass20", "mh", "mean_diff", 0.23, 0.01),
    Number("Pass20", "mh", "pearson_r", 0.77, 0.01),
    Number("Bello23", "mh", "mean_diff", 0.00, 0.01),
    Number("Bello23", "mh", "pearson_r", 0.60, 0.01),
    Number("FGK+M", "mh", "N", 6, 1),
    Number("FGK+M", "mh", "mean_diff", -0.13, 0.01),
    Number("Pass20", "vsini", "mean_diff", 1.6, 0.1),
    Number("Pass20", "vsini", "pearson_r", 0.99, 0.01),
    Number("Pass20", "vsini", "mean_diff", 1.83, 0.01, "vsini<12"),
    Number("Pass20", "vsini", "mean_diff", -1.22, 0.01, "vsini>=12"),
    Number("Rein18", "vsini", "mean_diff", -0.86, 0.01),
    Number("Rein18", "vsini", "pearson_r", 0.98, 0.01),
    Number("Rein18", "vsini", "mean_diff", -0.68, 0.01, "vsini<12"),
    Number("Rein18", "vsini", "mean_diff", -3.47, 0.01, "vsini>=12"),
)


def compare_numbers(catalogue, sources):
    """Compare the numbers of the paper with those of another catalogue of the same stars.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        Tidy.
    sources : dict of str to pandas.DataFrame
        Tidy frames by source.

    Returns
    -------
    pandas.DataFrame
        For each number, source, parameter, subset, statistic, published, ours (NaN without stars), ``error``, its
        standard error by the number of stars (of r, by Fisher's z), and the flags ``equal``, in all printed digits, and
        ``comes_out``, within two standard errors and half a unit of the last printed digit.
    """
    stated = {number.source for number in NUMBERS}
    found = comparison_table(catalogue, {name: frame for name, frame in sources.items() if name in stated})
    found = found.set_index(["source", "parameter", "subset"])
    rows = []
    for number in NUMBERS:
        key = number.source, number.parameter, number.subset
        row = found.loc[key] if key in found.index else {"N": 0, "std_diff": np.nan, number.statistic: np.nan}
        ours, n, error = float(row[number.statistic]), int(np.nan_to_num(row["N"])), 0.0
        if number.statistic == "mean_diff":
            error = row["std_diff"] / np.sqrt(n) if n else np.nan
        elif number.statistic == "pearson_r":
            error = (1 - ours**2) / np.sqrt(n - 3) if n > 3 else np.nan
        known = n > 0 and np.isfinite(ours)
        equal = known and round(ours / number.step) == round(number.value / number.step)
        near = known and abs(ours - number.value) <= 2 * np.nan_to_num(error) + number.step / 2
        rows.append((*key, number.statistic, number.value, ours, error, n, bool(equal), bool(equal or near)))
    columns = "source parameter subset statistic published ours error N equal comes_out".split()
    return pd.DataFrame(rows, columns=columns)


def compare_catalogues(table, published, sources):
    """Compare a catalogue with the published one, star by star, and by what the paper states about its own.

    Parameters
    ----------
    table : astropy.table.Table
        With the columns of the published catalogue.
    published : pandas.DataFrame or None
        Tidy.
    sources : dict of str to pandas.DataFrame
        Tidy frames of the literature.

    Returns
    -------
    frame : astropy.table.Table
        karmn, our values with errors and, for stars in both and each parameter p, ``p_published`` with errors and
        ``p_difference``, published minus ours.
    numbers : pandas.DataFrame
        As returned by :func:`compare_numbers`.
    summary : dict
        ``parameters``: for each, the statistics of published minus ours, the median lengths of our and the published
        error bars, and the share of stars whose difference is within both together. ``coverage``: for measurements
        that do not come from such spectra, how many are inside our and the published error bars.
        ``numbers``: how many are known, equal and come out.
    """
    ours = tidy(table)
    names = [f"{e}{p}" for p in PARAMETERS for e in ("", "e_", "E_")]
    frame, summary = ours[["karmn", *names]], {"parameters": {}, "coverage": {}}
    if published is not None:
        frame = frame.merge(published[["karmn", *names]], on="karmn", how="left", suffixes=("", "_published"))
        for p in PARAMETERS:
            frame[f"{p}_difference"] = frame[f"{p}_published"] - frame[p]
            summary["parameters"][p] = compare(ours, published, p) | _bars(ours, published, p)
        for source, p in BENCHMARKS.items():
            if source in sources:
                known = {"ours": ours, "published": published[published["karmn"].isin(ours["karmn"])]}
                summary["coverage"][source] = {n: coverage(f, sources[source], p) for n, f in known.items()}
    numbers = compare_numbers(ours, sources) if sources else pd.DataFrame(columns=["N", "equal", "comes_out"])
    known = numbers[numbers["N"] > 0]
    counts = {"stated": len(numbers), "known": len(known)}
    summary["numbers"] = counts | {name: int(known[name].sum()) for name in ("equal", "comes_out")}
    units = {"teff": "K", "vsini": "km / s"}
    out = Table.from_pandas(frame)
    for name in out.colnames:
        out[name].unit = units.get(next((p for p in units if p in name), None))
    return out, numbers, summary


def _bars(ours, published, parameter):
    """Median half lengths of the error bars of both catalogues, and how many differences they contain together."""
    both = ours.merge(published, on="karmn", suffixes=("", "_y"))
    sides = [both[[f"e_{parameter}{end}", f"E_{parameter}{end}"]].mean(axis=1) for end in ("", "_y")]
    table = difference_table(ours, {"published": published}, parameter)
    inside = (table["difference"].abs() <= table["sigma"]).mean()  # NaN without stars
    errors = {name: float(side.median()) for name, side in zip(("ours", "published"), sides, strict=True)}
    return {f"error_{name}": error for name, error in errors.items()} | {"inside": float(inside)}
