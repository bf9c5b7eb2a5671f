"""Identifiers of stars: their normal form, matching of tables by identifier, and checks of the match on the sky.

A Carmencita identifier (Karmn) is ``JHHMMm+DDd``, followed in multiple systems by the component: a direction (N, S, E,
W) or A, B, C, alone or together (AB).

*Two identifiers name the same star if* :func:`normalise_karmn` *makes them equal*: spaces, case, the kind of minus sign
and a leading ``Karmn`` are ignored, the component is not. ``J12123+544S`` is never ``J12123+544``, and ``AB`` is
neither ``A`` nor ``B``, because the brighter component is not always the one observed. ``ALIASES`` lists the exceptions
with their reasons.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from ..errors import DataError
from .checks import require_columns

__all__ = ["ALIASES", "LIMIT", "checked_identifiers", "match", "name_agrees", "normalise_karmn", "position_check"]


ALIASES = {  # other form: (normal form, why both are the same star)
    "J11110+304W": (
        "J11110+304",
        "HD 97101B, the fainter and western star: this work, Pass18-20, Schw19 and Bello23 leave the letter out; the "
        "positions agree to 0.1 arcsec, and the eastern star, 34 arcsec away, is J11110+304E in Mar21",
    ),
}
LIMIT = 30.0  # arcsec: other stars are farther away; components of closer pairs differ by their letter only
_KARMN = re.compile(r"(?:KARMN)?J(\d{2})(\d{3})([+-])(\d{3})([NSEWABC]{0,2})")
_YEARS = 16.0  # from J2000, of the positions at CDS, to J2016, of Gaia DR3


def normalise_karmn(identifier):
    """Normal form of an identifier: capitals, no stray spaces, and the preferred name of ``ALIASES``.

    Other identifiers, such as ``GJ  699``, only lose stray spaces.

    Parameters
    ----------
    identifier : str or sequence of str

    Returns
    -------
    str or list of str

    Examples
    --------
    >>> normalise_karmn(" karmn j12123 +544s")
    'J12123+544S'
    >>> normalise_karmn(["J11110+304W", "GJ  699"])
    ['J11110+304', 'GJ 699']
    """
    if not isinstance(identifier, str):
        return [normalise_karmn(str(name)) for name in identifier]
    name = " ".join(identifier.split())
    joined = re.sub("[\u2010-\u2015\u2212]", "-", name.replace(" ", "")).upper()
    if not _KARMN.fullmatch(joined):
        return name
    joined = joined.removeprefix("KARMN")
    return ALIASES.get(joined, (joined,))[0]


def checked_identifiers(names, file, field="karmn"):
    """Normal form of the identifiers of a table, each of which must occur once.

    Parameters
    ----------
    names : pandas.Series
    file, field : str
        Names of the table and of the column in error messages.

    Returns
    -------
    pandas.Series of str

    Raises
    ------
    DataError
        A star has no identifier or occurs twice, possibly under two forms of its name.
    """
    names = pd.Series(normalise_karmn(names), index=names.index, dtype=str)
    if names.isin(["", "nan", "None", "<NA>"]).any():
        raise DataError("a star has no identifier", file=file, field=field, remedy="give every star one")
    if names.duplicated().any():
        twice = names[names.duplicated()].iloc[0]
        raise DataError(f"star {twice} is there twice", file=file, field=field, remedy="keep one row a star")
    return names


def _unique(frame, side):
    require_columns(frame, side, ["karmn"], "name the column of identifiers karmn")
    return frame.assign(karmn=checked_identifiers(frame["karmn"], side))


def match(left, right, how="inner", suffixes=("", "_right")):
    """Merge two tables by identifier, one row per star.

    Parameters
    ----------
    left, right : pandas.DataFrame
        With a column karmn; each star at most once.
    how : {"inner", "left", "outer"}
        Keep the stars of both tables, of the left one, or of either.
    suffixes : (str, str)
        Suffixes of columns that both tables have.

    Returns
    -------
    pandas.DataFrame
        In the order of ``left`` (``outer``: by identifier), with karmn in its normal form.

    Raises
    ------
    DataError
        A star has no identifier or occurs twice, possibly under two forms of its name.

    Examples
    --------
    >>> import pandas as pd
    >>> ours = pd.DataFrame({"karmn": ["J00051+457", "J11110+304"], "teff": [3700, 3900]})
    >>> theirs = pd.DataFrame({"karmn": ["J11110+304W", "J17578+046"], "teff": [3850, 3200]})
    >>> match(ours, theirs)
            karmn  teff  teff_right
    0  J11110+304  3900        3850
    """
    left, right = _unique(left, "left table"), _unique(right, "right table")
    return left.merge(right, on="karmn", how=how, suffixes=suffixes, validate="one_to_one")


def name_agrees(identifier, ra, dec):
    """Whether a position agrees with its Karmn to one unit of the last digits (0.1 min in RA, 0.1 deg in Dec).

    Parameters
    ----------
    identifier : str or (n_stars,) sequence of str
    ra, dec : float or (n_stars,) array, deg, J2000

    Returns
    -------
    bool or (n_stars,) array of bool
        False for other identifiers.
    """
    if not isinstance(identifier, str):
        return np.array([name_agrees(*star) for star in zip(identifier, ra, dec, strict=True)], dtype=bool)
    parts = _KARMN.fullmatch(normalise_karmn(identifier))
    if not parts:
        return False
    sign = -1 if parts[3] == "-" else 1
    east = ra * 4 - (int(parts[1]) * 60 + int(parts[2]) / 10)  # minutes of time from the position in the name
    east = (east + 720) % 1440 - 720
    up = sign * dec - int(parts[4]) / 10  # names are truncated, not rounded: the offset is 0 to 0.1
    return bool(-0.1 <= east <= 0.2 and -0.1 <= up <= 0.2)


def position_check(catalogue, source, limit=LIMIT):
    """Separation of the positions that two tables give for the same identifier.

    Gaia DR3 positions (epoch J2016) are moved back to J2000, the epoch of ``_RA`` and ``_DE`` in tables from CDS, with
    the proper motions of the stars.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        karmn, ra, dec [deg] at J2016 and, optionally, pmra (with cos dec), pmdec [mas/yr]; without them stars do not
        move.
    source : pandas.DataFrame
        karmn, ra, dec [deg] at J2000.
    limit : float, arcsec
        Larger separations are mismatches.

    Returns
    -------
    pandas.DataFrame
        Stars with positions in both tables: karmn; separation, and unmoved, the same without proper motion [arcsec];
        mismatch (bool); where, the table whose position contradicts the name of a mismatch: ``source``, ``catalogue``,
        ``both`` or ``neither`` (different components), else an empty string.

    Raises
    ------
    DataError
        A missing column, or as for :func:`match`.
    """
    import astropy.units as u
    from astropy.coordinates import SkyCoord

    for side, frame in (("catalogue", catalogue), ("source", source)):
        require_columns(frame, side, ("ra", "dec"), "give positions in degrees")
    moving = [column for column in ("pmra", "pmdec") if column in catalogue.columns]
    both = match(catalogue[["karmn", "ra", "dec", *moving]], source[["karmn", "ra", "dec"]], suffixes=("", "_source"))
    both = both.dropna(subset=["ra", "dec", "ra_source", "dec_source"]).reset_index(drop=True)
    ours = SkyCoord(both.ra.to_numpy(float), both.dec.to_numpy(float), unit="deg")
    theirs = SkyCoord(both.ra_source.to_numpy(float), both.dec_source.to_numpy(float), unit="deg")
    motion = [np.nan_to_num(both[c].to_numpy(float)) if c in both else np.zeros(len(both)) for c in ("pmra", "pmdec")]
    then = ours.spherical_offsets_by(*(-_YEARS * u.yr * rate * u.mas / u.yr for rate in motion))
    out = pd.DataFrame({"karmn": both.karmn, "separation": then.separation(theirs).arcsec})
    out["unmoved"] = ours.separation(theirs).arcsec
    out["mismatch"] = out.separation > limit
    wrong = [name_agrees(both.karmn, place.ra.deg, place.dec.deg) for place in (then, theirs)]
    words = np.select([wrong[0] & wrong[1], wrong[0], wrong[1]], ["neither", "source", "catalogue"], "both")
    out["where"] = np.where(out.mismatch, words, "")
    return out
