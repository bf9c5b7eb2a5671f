"""One value for each star from all published catalogues, and zero point, slope and scatter of each catalogue.

The statistics are those of :mod:`dtl_core.literature.consensus_model`; this module prepares its input and tabulates its
results.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from ..parameters import ANCHOR_ERRORS
from . import catalogues
from .consensus_model import MAX_RHAT, MIN_EFFECTIVE, SCALES, Values, outcomes

__all__ = [
    "ANCHORS",
    "CHOSEN",
    "GROUPINGS",
    "PAPER",
    "TRAINED_ON_ANCHORS",
    "catalogue_table",
    "check_convergence",
    "consensus_table",
    "outlier_table",
    "published_values",
]


PAPER = "Mas-Buitrago24"
_FITS, _NETWORKS = "fits of PHOENIX spectra to CARMENES spectra", "networks on CARMENES spectra"
_LOW = "calibrated spectra of low resolution"
_BY_METHOD = {
    "Pass18": _FITS,
    "Pass19 VIS": _FITS,
    "Pass19 NIR": _FITS,
    "Schw19": _FITS,
    "Pass20": _NETWORKS,
    "Bello23": _NETWORKS,
    PAPER: _NETWORKS,
    "Mar21": "fits of BT-Settl spectra to CARMENES spectra",
    "Mann15": _LOW,
    "Gaidos14": _LOW,
    "GM14": _LOW,
}
_CARMENES = {name: "CARMENES spectra" for name, family in _BY_METHOD.items() if family != _LOW}
_TRANSFER = {"Bello23": "transfer learning", PAPER: "transfer learning", "Pass20": _FITS}
# Ways to group the catalogues: catalogue -> its family. Sources of one family share spectra or models, so that their
# errors of a star are not independent.
GROUPINGS = {
    "by method": _BY_METHOD,
    "by spectrograph": _BY_METHOD | _CARMENES,
    "Pass20 with the fits": _BY_METHOD | _TRANSFER,
    "all independent": {name: name for name in _BY_METHOD},
}
# The grouping with the largest evidence, which the record gives; the evidence does not include the anchors.
CHOSEN = {"teff": "by method", "logg": "by spectrograph", "mh": "by spectrograph"}
ANCHORS = {"teff": "Interferometric", "logg": "Mass-radius", "mh": "FGK+M"}
_OUTLIER = {"probability": "outlier", "deviation": "deviation"}
TRAINED_ON_ANCHORS = ("Bello23",)  # its networks learned from the 14 + 6 anchors (A&A 673, A105)


def published_values(parameter, grouping=None, *, anchored=True, robust=True):
    """Collect the published values of the stars of Mas-Buitrago et al. (2024).

    log g of the anchor ``Mass-radius`` is ``loggc`` of Schw19, and ``Schw19`` is their spectroscopic one. Anchors
    without an error have that of :data:`dtl_core.parameters.ANCHOR_ERRORS`. A catalogue whose networks learned from
    the anchors has no values there, as these would repeat the anchors.

    Parameters
    ----------
    parameter : {"teff", "logg", "mh"}
    grouping : str, optional
        Key of ``GROUPINGS``, by default as in ``CHOSEN``.
    anchored : bool
        Whether the anchors are among the values.
    robust : bool
        As in :class:`dtl_core.literature.consensus_model.Values`.

    Returns
    -------
    Values

    Raises
    ------
    DataError
        A table is missing or damaged.
    """
    families = GROUPINGS[grouping or CHOSEN[parameter]]
    anchor, frames = ANCHORS[parameter], _frames(parameter, families)
    stars = frames[PAPER]["karmn"].to_numpy(str)
    tables = {name: frame.set_index("karmn").reindex(stars) for name, frame in frames.items()}
    tables = {name: table for name, table in tables.items() if table[parameter].notna().any()}
    value = np.column_stack([table[parameter].to_numpy(float) for table in tables.values()])
    error = np.column_stack([_error(table, parameter) for table in tables.values()])
    names = tuple(tables)
    groups = tuple(families.get(name, name) for name in names)
    values = Values(parameter, stars, names, value, error, groups, (anchor,), robust)
    known, learned = np.isfinite(value[:, [names.index(anchor)]]), np.isin(names, TRAINED_ON_ANCHORS)
    values = values.without(known & learned if parameter != "logg" else np.zeros_like(known))
    return values if anchored else values.without(np.isin(names, [anchor]) & known)


def _frames(parameter, families):
    named = {name: name for name in families if name != PAPER} | {ANCHORS[parameter]: ANCHORS[parameter]}
    if parameter == "logg":
        named |= {"Schw19": "Schw19 spectroscopic", ANCHORS[parameter]: "Schw19"}
    read = {name: catalogues.read_literature(source) for name, source in named.items()}
    return {name: read.get(name) if name != PAPER else catalogues.read_published() for name in [*families, *read]}


def _error(table, parameter):
    columns = [c for c in (f"e_{parameter}", f"E_{parameter}") if c in table]
    return table[columns].mean(axis=1).fillna(ANCHOR_ERRORS[parameter]).to_numpy(float)


def check_convergence(draws):
    """Warn if the chains have not converged, and give the diagnostics.

    Parameters
    ----------
    draws : dtl_core.literature.consensus_model.Draws

    Returns
    -------
    bool
        Whether split R-hat, the effective sample size and the number of divergences are within their limits.
    """
    found = draws.diagnostics
    good = found["max_rhat"] <= MAX_RHAT and found["min_effective"] >= MIN_EFFECTIVE and not found["divergences"]
    if not good:
        text = f"R-hat up to {found['max_rhat']:.3f}, {found['min_effective']:.0f} effective draws or more, "
        text += f"{found['divergences']} divergences: take more draws"
        warnings.warn(f"the chains of {draws.values.parameter} have not converged: {text}", stacklevel=2)
    return bool(good)


def consensus_table(draws, n=400):
    """One value with its error for each star.

    Parameters
    ----------
    draws : dtl_core.literature.consensus_model.Draws
    n : int
        As returned by :func:`dtl_core.literature.consensus_model.outcomes`.

    Returns
    -------
    pandas.DataFrame
        karmn, the parameter (median), ``e_`` and ``E_`` (distance to the ends of the central 68 %), and n, the number
        of published values.
    """
    parameter = draws.values.parameter
    low, middle, high = np.quantile(outcomes(draws, n).true, [0.16, 0.5, 0.84], axis=0)
    number = np.isfinite(draws.values.value).sum(1)
    columns = {parameter: middle, f"e_{parameter}": middle - low, f"E_{parameter}": high - middle}
    return pd.DataFrame({"karmn": draws.values.stars} | columns | {f"n_{parameter}": number})


def catalogue_table(draws):
    """Zero point, slope and scatter of each catalogue.

    Parameters
    ----------
    draws : dtl_core.literature.consensus_model.Draws

    Returns
    -------
    pandas.DataFrame
        By catalogue: n; zero (catalogue minus truth at the pivot), slope, scatter (beyond the quoted errors), total
        (scatter and quoted errors), each with ``e_`` (NaN for what an anchor does not have); quoted, the median of the
        quoted errors; shared, the share of the variance that the family has in common (NaN for a catalogue alone).
    """
    values, p = draws.values, draws.parameters
    scale, quoted = SCALES[values.parameter], np.where(np.isfinite(values.value), values.error, np.nan)
    free, alone, _, _ = values.structure
    typical = np.sqrt(np.nanmean(quoted**2, axis=0)) if len(quoted) else np.nan
    drawn = {
        "zero": np.where(free, scale * p["a"], np.nan),
        "slope": np.where(free, 1 + p["b"], np.nan),
        "scatter": scale * p["s"],
        "total": np.hypot(scale * p["s"], typical),
        "shared": np.where(alone, np.nan, p["load"] ** 2),
    }
    columns = {"n": np.isfinite(values.value).sum(0), "quoted": np.nanmedian(quoted, axis=0)}
    for name, each in drawn.items():
        columns |= {name: each.mean(0), f"e_{name}": np.where(np.isnan(each[0]), np.nan, each.std(0))}
    return pd.DataFrame(columns, index=pd.Index(values.names, name="catalogue"))


def outlier_table(draws, least=0.5, n=400):
    """Values that are probably outliers.

    Parameters
    ----------
    draws : dtl_core.literature.consensus_model.Draws
    least : float
        Smallest probability that is listed.
    n : int
        As returned by :func:`dtl_core.literature.consensus_model.outcomes`.

    Returns
    -------
    pandas.DataFrame
        karmn, catalogue, probability, and deviation of the value from the prediction of the other values of the star,
        on the scale of this catalogue; the most probable first.
    """
    values, found = draws.values, outcomes(draws, n)
    star, catalogue = np.nonzero(np.nan_to_num(found.outlier) >= least)
    columns = {"karmn": values.stars[star], "catalogue": np.array(values.names)[catalogue]}
    columns |= {name: getattr(found, of)[star, catalogue] for name, of in _OUTLIER.items()}
    return pd.DataFrame(columns).sort_values("probability", ascending=False, ignore_index=True)
