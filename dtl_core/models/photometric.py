"""Photometry beside estimates from spectra: mass, radius, luminosity, and a better log g.

known = read_photometry("magnitudes.csv")         star, ks, parallax [mas], and their errors, or identifiers
table = model.predict("survey/", photometry=known)
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ..arguments import a_path, checked
from ..errors import ConfigError, DataError
from ..estimates import photometry
from ..parameters import PARAMETER_COLUMNS, PARAMETERS
from ..public_data.identifiers import IDENTIFIERS, complete
from ..reading.star_tables import name_key, read_star_table, star_values

__all__ = ["COLUMNS", "SUFFIX", "add_photometry", "checked_photometry", "read_photometry"]


SUFFIX = "_with_photometry"
_DERIVED = ("mass", "radius", "luminosity")
# Columns that photometry adds to a catalogue.
COLUMNS = (
    *(f"{prefix}{column}{SUFFIX}" for column in PARAMETER_COLUMNS.values() for prefix in ("", "e_", "E_")),
    *(f"{prefix}{name}" for name in _DERIVED for prefix in ("", "e_")),
)
_NAMES = {
    "ks": ("ks", "k", "ksmag", "kmag", "ks_mag", "k_mag", "ks_m"),
    "e_ks": ("e_ks", "e_k", "e_ksmag", "e_kmag", "ks_msigcom"),
    "parallax": ("parallax", "plx"),
    "e_parallax": ("e_parallax", "parallax_error", "e_plx"),
}
_IDENTIFIERS = {"gaia_dr3": ("gaia_dr3", "gaia_dr3_id"), "tmass": ("tmass", "2mass")}
_UNITS = {"ks": "mag", "e_ks": "mag", "parallax": "mas", "e_parallax": "mas"}
E_KS = 0.02  # mag, where no error is given


@checked(path=a_path)
def read_photometry(path):
    """Read magnitudes and parallaxes of stars.

    Parameters
    ----------
    path : path
        Table (ECSV, CSV, FITS, VOTable) with the columns star, ks [mag] and parallax [mas], and e_ks and e_parallax if
        they are known; or gaia_dr3 (source identifier) or tmass (designation in 2MASS), from which ks and parallax are
        completed: see :func:`dtl_core.public_data.identifiers.complete`. Other columns are ignored.

    Returns
    -------
    dict of str to dict
        Star -> ``ks``, ``e_ks``, ``parallax``, ``e_parallax``, as far as they are known, and ``remarks`` on some.

    Raises
    ------
    DataError
        The table cannot be read, lacks a column, or has a parallax that is not positive, a negative error or an
        impossible identifier; a star has only identifiers, and the archive is not available.
    """
    needed = "ks [mag] and parallax [mas], or gaia_dr3 or tmass"
    found = read_star_table(path, _NAMES | _IDENTIFIERS, needed, _UNITS, IDENTIFIERS)
    for name in ("ks", "parallax"):
        if not any({name, *IDENTIFIERS} & values.keys() for values in found.values()):
            raise DataError("has no values", file=path, field=name, remedy="give a column with this name")
    for star, values in found.items():
        for name in _unsuitable(values):
            problem = f"{values[name]:g} of {star} is {'not positive' if name == 'parallax' else 'negative'}"
            raise DataError(problem, file=path, field=name, remedy="correct the value, or leave it empty")
    return complete(found, path)


def _unsuitable(values):
    """Names of quantities with impossible values."""
    numbers = {name: values[name] for name in _NAMES if name in values}
    return [name for name, value in numbers.items() if value < 0 and name != "ks" or value == 0 and name == "parallax"]


def checked_photometry(value, name="photometry"):
    """Photometry as :meth:`dtl_core.models.loading.Model.predict` takes it: a dict, or the path of a table.

    Parameters
    ----------
    value : dict, path or None
    name : str
        For the error message.

    Returns
    -------
    dict or None

    Raises
    ------
    ConfigError, DataError
        It is neither, or has an impossible value.
    """
    known = star_values(read_photometry, [*_NAMES, *IDENTIFIERS], "quantity", (*IDENTIFIERS, "remarks"))(value, name)
    for star, values in (known or {}).items():
        for quantity in _unsuitable(values):
            problem = f"{quantity} = {values[quantity]:g} of {star} is not possible"
            raise ConfigError(problem, field=name, remedy="correct the value, or leave it out")
    return known if known is None else complete(known, field=name)


def add_photometry(examined, model, known):
    """Combine results for spectra with photometry.

    Parameters
    ----------
    examined : list of dtl_core.models.specialist.Examination
    model : dtl_core.models.loading.Model
    known : dict
        As returned by :func:`read_photometry`.

    Returns
    -------
    list of Examination
        With ``photometry``, by name in :data:`COLUMNS`: the parameters from both, and their errors (68 %); mass, radius
        and luminosity in solar units, and their errors. It is empty for stars without photometry, with a magnitude
        where the relations do not hold, or where spectrum and photometry contradict each other; ``warnings`` give the
        reason.
    """
    known = {name_key(star): values for star, values in known.items()}
    return [_with_photometry(one, model, known.get(name_key(one.report.star), {})) for one in examined]


def _with_photometry(one, model, values):
    one = dataclasses.replace(one, warnings=(*one.warnings, *values.get("remarks", ())))
    values = {name: values[name] for name in _NAMES if np.isfinite(values.get(name, np.nan))}
    if not {"ks", "parallax"} <= set(values):
        return _without(one, "the table of photometry has no ks and parallax of this star")
    errors = values.get("e_ks", E_KS), values.get("e_parallax", 0.0)
    magnitude, error = photometry.absolute_magnitude(values["ks"], values["parallax"], *errors)
    samples = model.specialist_for(one.resolving_power).posterior(one.found, one.spread, one.report.snr)
    both = photometry.combine(samples, magnitude, error, (0.68,))
    if both is None:
        low, high = photometry.BRIGHTEST, photometry.FAINTEST
        return _without(one, f"M_Ks = {magnitude:.1f} is not between {low} and {high}: photometry not used")
    if both["effective"] < photometry.FEWEST:
        spectrum, other = one.median[PARAMETERS.index("logg")], float(photometry.from_magnitude(magnitude)["logg"])
        gravities = f"log g of the spectrum ({spectrum:.2f}) and of photometry ({other:.2f})"
        return _without(one, f"{gravities} contradict each other (a binary, another star?): photometry not used")
    found = {name: both[name] for name in (*_DERIVED, *(f"e_{name}" for name in _DERIVED))}
    for k, column in enumerate(PARAMETER_COLUMNS.values()):
        middle = found[f"{column}{SUFFIX}"] = both["median"][k]
        found[f"e_{column}{SUFFIX}"] = middle - both["low"][k, 0]
        found[f"E_{column}{SUFFIX}"] = both["high"][k, 0] - middle
    return dataclasses.replace(one, photometry=found)


def _without(one, warning):
    return dataclasses.replace(one, photometry={}, warnings=(*one.warnings, warning))
