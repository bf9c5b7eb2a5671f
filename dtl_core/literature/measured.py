"""Comparison of catalogues with measured parameters, which do not come from fits of synthetic spectra.

Log g is a partial exception: the radii of Schweitzer et al. (2019) follow from luminosities and temperatures, and these
temperatures from synthetic spectra.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import bootstrap, permutation_test

from ..parameters import ANCHOR_ERRORS, TABLE
from .comparison import common_stars, coverage

__all__ = ["MEASURED", "TUNED", "accuracy", "bars", "difference_of_rms", "sentences"]


MEASURED = {  # by parameter: the source in catalogues.SOURCES, and what it measures
    "teff": ("Interferometric", "interferometric temperature"),
    "logg": ("Schw19", "log g from mass and radius"),
    "mh": ("FGK+M", "[M/H] of an F, G or K primary"),
    "vsini": ("Rein18", "v sin i from line broadening"),
}
TUNED = {  # sources whose scale was set with such stars: their agreement is no test
    "teff": ("Bello23", "Mann15", "Gaidos14", "GM14"),
    "logg": (),
    "mh": ("Bello23", "Mann15", "Gaidos14", "GM14"),
    "vsini": (),
}
_RESAMPLES = 4999
_LEAST = 4  # stars, for a bootstrap


def _rms(differences, axis=-1):
    return np.sqrt(np.mean(np.square(differences), axis=axis))


def _standard_error(samples, statistic):
    """By a bootstrap over stars, with the factor that corrects its bias for n stars; NaN for too few."""
    n = len(samples[0])
    if n < _LEAST or np.ptp(samples) == 0:
        return np.nan
    options = {"paired": True, "n_resamples": _RESAMPLES, "method": "percentile", "rng": 0}
    return float(bootstrap(samples, statistic, **options).standard_error * np.sqrt(n / (n - 1)))


def _stars(catalogue, benchmark, parameter):
    both = common_stars(catalogue, benchmark, parameter).set_index("karmn")
    return both.assign(ex=both["ex"].fillna(0), ey=both["ey"].fillna(ANCHOR_ERRORS.get(parameter, 0)))


def accuracy(catalogues, benchmarks):
    """Differences of every catalogue from measured parameters: rms, its error, and the rms expected from quoted errors.

    Parameters
    ----------
    catalogues : dict of str to pandas.DataFrame
        Tidy frames.
    benchmarks : dict of str to (str, pandas.DataFrame)
        By parameter: the name of the measurements, which is left out of the catalogues, and their tidy frame. Values
        without an error have that of ``dtl_core.parameters.ANCHOR_ERRORS``; upper limits are left out.

    Returns
    -------
    pandas.DataFrame
        By parameter and catalogue: N; bias, mean of catalogue minus measurement; rms and rms_err, its standard error
        by a bootstrap over stars (NaN for fewer than four); expected, the rms if both quoted errors are right and
        there is no bias; tuned (bool), whether the catalogue's scale was set with such measurements.
    """
    rows = {}
    for parameter, (measured, benchmark) in benchmarks.items():
        for name, catalogue in catalogues.items():
            both = _stars(catalogue, benchmark, parameter)
            if name == measured or both.empty:
                continue
            delta = (both["x"] - both["y"]).to_numpy()
            rows[parameter, name] = {
                "N": len(delta),
                "bias": delta.mean(),
                "rms": _rms(delta),
                "rms_err": _standard_error((delta,), _rms),
                "expected": _rms(np.hypot(both["ex"], both["ey"]).to_numpy()),
                "tuned": name in TUNED[parameter],
            }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    return frame.rename_axis(["parameter", "catalogue"]) if rows else frame


def difference_of_rms(one, two, benchmark, parameter):
    """Difference of the rms of two catalogues from the same measurements, over the stars that all three have.

    Parameters
    ----------
    one, two, benchmark : pandas.DataFrame
        Tidy frames.
    parameter : str

    Returns
    -------
    dict
        N; difference, of the first minus the second; error, its standard error by a bootstrap over stars, in which each
        star keeps both its values (NaN for fewer than four stars); p, the p-value of a permutation test that exchanges
        the two values of each star (NaN without stars).
    """
    stars = [_stars(catalogue, benchmark, parameter) for catalogue in (one, two)]
    names = stars[0].index.intersection(stars[1].index)
    samples = tuple((both["x"] - both["y"]).loc[names].to_numpy() for both in stars)

    def difference(first, second, axis=-1):
        return _rms(first, axis) - _rms(second, axis)

    if len(names) < 2:
        return {"N": len(names), "difference": np.nan, "error": np.nan, "p": np.nan}
    options = {"permutation_type": "samples", "n_resamples": _RESAMPLES, "rng": 0}
    found = permutation_test(samples, difference, **options)
    error = _standard_error(samples, difference)
    return {"N": len(names), "difference": float(found.statistic), "error": error, "p": float(found.pvalue)}


def bars(catalogue, benchmarks):
    """Test the error bars of a catalogue, with the errors of the measurements.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        Tidy, with ``e_`` and ``E_`` errors.
    benchmarks
        As for :func:`accuracy`.

    Returns
    -------
    pandas.DataFrame
        By parameter, the numbers of :func:`dtl_core.literature.comparison.coverage`, and short (bool), whether so few
        measurements inside both errors have a probability below 2.5 %.
    """
    rows = {p: coverage(catalogue, frame, p, assumed=ANCHOR_ERRORS.get(p, 0)) for p, (_, frame) in benchmarks.items()}
    return pd.DataFrame.from_dict(rows, orient="index").assign(short=lambda table: table["p_few"] < 0.025)


def sentences(catalogues, benchmarks, table, other="Pass20"):
    """Describe in words how far the first catalogue is from the measurements, and whether another differs from it.

    Parameters
    ----------
    catalogues, benchmarks
        As for :func:`accuracy`.
    table : pandas.DataFrame
        From :func:`accuracy`.
    other : str
        The second catalogue; left out where it does not have the parameter.

    Returns
    -------
    list of str
        One item of a Markdown list per parameter, and one that counts how many rms exceed the expected one by more than
        twice their error, among catalogues that are not tuned.
    """
    first, lines = next(iter(catalogues)), []
    for parameter, (measurements, frame) in benchmarks.items():
        entry, rows = TABLE[parameter], table.loc[parameter]
        digits = entry.digits + (entry.unit == "dex")
        texts = {
            name: f"{name} {row.rms:.{digits}f} ± {row.rms_err:.{digits}f} {entry.unit}, where"
            f" {row.expected:.{digits}f} is expected"
            for name, row in rows.iterrows()
        }
        line = f"- {entry.symbol} ({measurements}, {rows.loc[first, 'N']:.0f} stars): {texts[first]}"
        if other in texts:
            p = difference_of_rms(catalogues[first], catalogues[other], frame, parameter)["p"]
            verdict = "within the spread" if p >= 0.05 else "beyond the spread"
            line += f"; {texts[other]}. The difference is {verdict} (p = {p:.2g})"
        lines.append(line + ".")
    tested = table[~table["tuned"].astype(bool)]
    high = int((tested["rms"] > tested["expected"] + 2 * tested["rms_err"]).sum())
    return [
        *lines,
        f"- {high} of {len(tested)} rms of catalogues that are not tuned are too large for the quoted errors.",
    ]
