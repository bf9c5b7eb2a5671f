"""Systematic errors of the models on real stars, learned by leaving one star out.

Models are made without one of the stars that correct the lines, in turn, and estimate the spectrum of this star. The
part of the differences from published values that exceeds the error bars is the systematic error that
:mod:`dtl_core.estimates.systematics` adds to the error bars of real stars. ``benchmarks/real_stars.py`` measures it,
and ``dtl models build`` takes it from the record.
"""

from __future__ import annotations

import numpy as np

from ..estimates.systematics import systematic_errors
from ..parameters import PARAMETERS

__all__ = ["SCALE", "instrument_errors", "learn_systematics"]


# Scales of the half-normal priors; K, dex, dex, km/s. They are as large as the differences between published values of
# one star: with so few stars, the prior has to cover errors of the models that these stars do not show.
SCALE = {"teff": 100.0, "logg": 0.1, "mh": 0.15, "vsini": 1.0}


def instrument_errors(changes):
    """Errors that differ between spectra of one star.

    Parameters
    ----------
    changes : pandas.DataFrame
        Result of :func:`dtl_core.literature.real_stars.variation`, for other exposures and cut spectra.

    Returns
    -------
    dict of str to float
        Parameter -> standard deviation for one spectrum: both of a pair count as equally wrong.
    """
    out = {}
    for name in PARAMETERS:
        part = changes[changes["parameter"] == name]
        total = part["n"].sum()
        out[name] = float(np.sqrt((part["n"] * part["rms"] ** 2).sum() / (2 * total))) if total else 0.0
    return out


def learn_systematics(compared, instrument):
    """Learn systematic errors from stars that a model has not seen.

    Parameters
    ----------
    compared : pandas.DataFrame
        Result of :func:`dtl_core.literature.real_stars.compare`, one spectrum per star, with intervals that do not
        contain systematic errors. Upper limits are left out.
    instrument : dict of str to float
        Result of :func:`instrument_errors`.

    Returns
    -------
    dict of str to dict
        Parameter -> ``stars``, names; ``tau``, standard deviations of equal probability; ``instrument``.
    """
    out = {}
    for name in PARAMETERS:
        part = compared[(compared["parameter"] == name) & ~compared["limit"].astype(bool)]
        difference = part["difference"].to_numpy(float)
        side = np.where(difference > 0, part["ours"] - part["low"], part["high"] - part["ours"])
        error = np.sqrt(side**2 + np.nan_to_num(part["error"].to_numpy(float)) ** 2 + instrument[name] ** 2)
        tau = systematic_errors(difference, error, SCALE[name])
        values = {"stars": list(part["star"]), "tau": [float(f"{value:.4g}") for value in tau]}
        out[name] = values | {"instrument": float(f"{instrument[name]:.4g}")}
    return out
