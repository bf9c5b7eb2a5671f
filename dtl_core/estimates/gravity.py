"""Accuracy of log g from a spectrum, compared with the log g that Teff and [M/H] imply.

On the main sequence, log g nearly follows from Teff and [M/H]. A log g from a spectrum is only useful if its
error is smaller than that of such a relation at the estimated Teff and [M/H].
"""

from __future__ import annotations

import numpy as np

from ..parameters import PARAMETERS
from ..synthetic.label_grid import main_sequence_logg, survey_logg
from . import photometry

__all__ = ["RELATIONS", "TITLES", "gravity_errors", "relation_errors", "relation_logg", "worth"]


# Name in figures -> relation. The first holds for real stars and is the centre of the band of training labels. True
# log g of simulated stars (set B) follows the second, which is therefore the fair comparison for errors on them.
RELATIONS = {"relation": main_sequence_logg, "survey_relation": survey_logg}
TITLES = {
    "relation": "main-sequence relation at the estimated Teff and [M/H]",
    "survey_relation": "relation of the simulated stars at the estimated Teff and [M/H]",
}


def relation_logg(estimates, relation=main_sequence_logg):
    """Compute log g from a relation at estimated Teff and [M/H]; the estimated log g is not used.

    Parameters
    ----------
    estimates : (n, 4) array
        In the order of ``PARAMETERS``.
    relation : callable, optional
        Of Teff and [M/H].

    Returns
    -------
    (n,) array, dex

    Examples
    --------
    >>> from dtl_core.estimates.gravity import relation_logg
    >>> relation_logg([[3300, 4.6, 0.1, 2.0]]).round(4)
    array([4.9037])
    """
    estimates = np.asarray(estimates, float)
    return relation(*(estimates[:, PARAMETERS.index(name)] for name in ("teff", "mh")))


def relation_errors(estimates, logg):
    """Compute the rmse of log g by each of ``RELATIONS`` at estimated Teff and [M/H].

    Parameters
    ----------
    estimates : (n, 4) array
    logg : (n,) array
        True values. Those of simulated stars follow ``survey_relation`` with a scatter of 0.05 dex; ``relation``, which
        was fitted to real stars, is worse for them for this reason.

    Returns
    -------
    dict of str to float
        Name in ``RELATIONS`` -> rmse, dex.
    """
    errors = {name: relation_logg(estimates, relation) - logg for name, relation in RELATIONS.items()}
    return {name: float(np.sqrt(np.mean(error**2))) for name, error in errors.items()}


def gravity_errors(estimates, logg):
    """Compute the rmse of estimated log g and of the relations.

    Parameters
    ----------
    estimates : (n, 4) array
    logg : (n,) array
        True values.

    Returns
    -------
    dict
        ``logg``, a dict with ``rmse`` [dex], and the entries of :func:`relation_errors`.
    """
    error = np.asarray(estimates, float)[:, PARAMETERS.index("logg")] - logg
    return {"logg": {"rmse": float(np.sqrt(np.mean(error**2)))}} | relation_errors(estimates, logg)


def worth(figures):
    """Say in one sentence how accurate log g from a spectrum is.

    Parameters
    ----------
    figures : iterable of dict
        Of test stars: ``logg`` with ``rmse``, and the names in ``RELATIONS``, as returned by :func:`gravity_errors`.

    Returns
    -------
    str
        Of ASCII characters.
    """
    figures = list(figures)
    photometric = float(photometry.from_magnitude(7.0, mh=0.0)["e_logg"])
    advice = f"with Ks and a parallax, --photometry gives log g to {photometric:.2f} dex"
    if not figures:
        return f"on the main sequence it nearly follows from Teff and [M/H]; {advice}"
    own = f"rmse on simulated stars {_span(each['logg']['rmse'] for each in figures)} dex"
    for name in RELATIONS:
        own += f", of the {TITLES[name]} {_span(each[name] for each in figures)} dex"
    gain = [1 - each["logg"]["rmse"] / min(each[name] for name in RELATIONS) for each in figures]
    if max(gain) <= 0:
        return f"{own}, so that the spectrum adds nothing to Teff and [M/H]; {advice}"
    amount = f"{100 * max(gain):.0f} %"
    if min(gain) <= 0:
        return f"{own}, so that the spectrum adds nothing in some cases and at most {amount} in others; {advice}"
    return f"{own}, so that the spectrum is better than the better relation by at most {amount}; {advice}"


def _span(values):
    values = sorted(values)
    return " to ".join(dict.fromkeys(f"{value:.3f}" for value in (values[0], values[-1])))
