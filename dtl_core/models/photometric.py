"""Photometry beside a catalogue of estimates from spectra: mass, radius, luminosity, and a better log g.

known = read_photometry("magnitudes.csv")         star, ks, parallax [mas], and their errors
table = model.predict("survey/", photometry=known)
"""

from __future__ import annotations

import numpy as np

from ..arguments import a_path, checked
from ..errors import DataError
from ..estimates import photometry
from ..estimates.calibration import LEVELS
from ..parameters import PARAMETER_COLUMNS, PARAMETERS
from ..reading.star_tables import match, read_star_table

__all__ = ["DERIVED", "SUFFIX", "columns_with", "read_photometry"]


SUFFIX = "_with_photometry"
DERIVED = ("mass", "radius", "luminosity")
_COLUMNS = {
    "ks": ("ks", "k", "ksmag", "kmag", "ks_mag", "k_mag", "ks_m"),
    "e_ks": ("e_ks", "e_k", "e_ksmag", "e_kmag", "ks_msigcom"),
    "parallax": ("parallax", "plx"),
    "e_parallax": ("e_parallax", "parallax_error", "e_plx"),
}
E_KS = 0.02  # mag, where no error is given


@checked(path=a_path)
def read_photometry(path):
    """Read magnitudes and parallaxes of stars.

    Parameters
    ----------
    path : path
        Table (ECSV, CSV, FITS, VOTable) with the columns star, ks [mag] and parallax [mas], and e_ks and e_parallax if
        they are known.

    Returns
    -------
    dict of str to dict of str to float
        Star -> ``ks``, ``e_ks``, ``parallax``, ``e_parallax``, as far as they are known.

    Raises
    ------
    DataError
        The table cannot be read, lacks a column, or has a parallax that is not positive.
    """
    found = read_star_table(path, _COLUMNS, "ks [mag] and parallax [mas]")
    for name in ("ks", "parallax"):
        if not any(name in values for values in found.values()):
            raise DataError("has no values", file=path, field=name, remedy="give a column with this name")
    for star, values in found.items():
        if values.get("parallax", 1.0) <= 0:
            problem = f"{values['parallax']:g} of {star} is not positive"
            raise DataError(problem, file=path, field="parallax", remedy="leave it empty")
    return found


def columns_with(examined, model, known):
    """Columns of a catalogue that photometry adds.

    Parameters
    ----------
    examined : list of dtl_core.models.specialist.Examination
    model : dtl_core.models.loading.Model
    known : dict
        As of :func:`read_photometry`.

    Returns
    -------
    columns : dict of str to (n,) array
        The parameters with ``SUFFIX``, and their errors (68 %); mass, radius and luminosity in solar units, and their
        errors. NaN for stars without photometry, or with a magnitude where the relations do not hold.
    warnings : list of str
        For each star; empty where there are none.
    """
    names = [f"{prefix}{column}{SUFFIX}" for column in PARAMETER_COLUMNS.values() for prefix in ("", "e_", "E_")]
    names += [f"{prefix}{name}" for name in DERIVED for prefix in ("", "e_")]
    columns, warnings = {name: np.full(len(examined), np.nan) for name in names}, [""] * len(examined)
    for row, one in enumerate(examined):
        values = match(one.report.star, known) or {}
        if not {"ks", "parallax"} <= set(values):
            warnings[row] = "the table of photometry has no ks and parallax of this star"
            continue
        errors = values.get("e_ks", E_KS), values.get("e_parallax", 0.0)
        magnitude, error = photometry.absolute_magnitude(values["ks"], values["parallax"], *errors)
        samples = model.specialist_for(one.resolving_power).posterior(one.found, one.spread, one.report.snr)
        both = photometry.combine(samples, magnitude, error, LEVELS)
        if both is None:
            low, high = photometry.BRIGHTEST, photometry.FAINTEST
            warnings[row] = f"M_Ks = {magnitude:.1f} is not between {low} and {high}: photometry not used"
            continue
        if both["effective"] < photometry.FEWEST:
            gravity = float(photometry.from_magnitude(magnitude)["logg"])
            warnings[row] = (
                f"log g of the spectrum ({one.median[PARAMETERS.index('logg')]:.2f}) and of photometry ({gravity:.2f}) "
                "contradict each other: a binary, another star, or an estimate that is wrong"
            )
        side = LEVELS.index(0.68)
        for k, column in enumerate(PARAMETER_COLUMNS.values()):
            middle = columns[f"{column}{SUFFIX}"][row] = both["median"][k]
            columns[f"e_{column}{SUFFIX}"][row] = middle - both["low"][k, side]
            columns[f"E_{column}{SUFFIX}"][row] = both["high"][k, side] - middle
        for name in DERIVED:
            columns[name][row], columns[f"e_{name}"][row] = both[name], both[f"e_{name}"]
    return columns, warnings
