"""Errors from the cards of trained models for kinds of gap that were left out of their calibration."""

from __future__ import annotations

import pandas as pd

from ..parameters import PARAMETERS
from .making import silent

__all__ = ["kinds_table"]


_COLUMNS = ["model", "kind", "parameter", "rmse", "bias", "inside_68", "inside_90", "flagged", "silent"]


def kinds_table(specialists):
    """Errors and coverage of models for every kind of gap, with a calibration that leaves this kind out.

    Parameters
    ----------
    specialists : list of Specialist
        Cards of models that were built before there were such figures are left out.

    Returns
    -------
    DataFrame
        Resolving power of the model, kind, parameter, rmse and bias, share of true values inside the 68 and 90 %
        intervals, share of spectra with p <= 0.05, and whether the parameter fails silently, see
        :func:`dtl_core.models.making.silent`.
    """
    rows = []
    for one in specialists:
        for kind, found in one.card.get("kinds", {}).items():
            failing = silent(found)
            for name in PARAMETERS:
                values = [found[name][key] for key in ("rmse", "bias", "inside_68", "inside_90")]
                rows.append((one.resolving_power, kind, name, *values, found["false_flags"], name in failing))
    return pd.DataFrame(rows, columns=_COLUMNS)
