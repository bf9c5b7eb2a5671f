"""Which star is which: identifiers made alike, tables matched by them, and the match checked on the sky.

A Carmencita identifier (Karmn) is ``JHHMMm+DDd`` and, in a pair or a multiple system, a component letter: a direction
(N, S, E, W) or A, B, C, alone or together (AB).

*Two identifiers name the same star when* :func:`normalise_karmn` *makes them equal*: spaces, the case of letters, the
kind of minus sign and a leading ``Karmn`` do not count, the component letter does. ``J12123+544S`` is never
``J12123+544``, and ``AB`` is neither ``A`` nor ``B``: the brighter component is not always the one observed. What the
rule cannot know stands in ``ALIASES``, each entry with its reason.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from ..errors import DataError

__all__ = ["ALIASES", "LIMIT", "match", "name_agrees", "normalise_karmn", "position_check", "same_star", "split_karmn"]


ALIASES = {  # other form: (the one name, why these two are the same star)
    "J11110+304W": (
        "J11110+304",
        "HD 97101B, the fainter and western star: this work, Pass18-20, Schw19 and Bello23 leave the letter out; the "
        "positions agree to 0.1 arcsec, and the eastern star, 34 arcsec away, is J11110+304E in Mar21",
    ),
}
LIMIT = 30.0  # arcsec: another star is farther; the components of a closer pair are told apart by their letters alone
_KARMN = re.compile(r"(?:KARMN)?J(\d{2})(\d{3})([+-])(\d{3})([NSEWABC]{0,2})")
_YEARS = 16.0  # from J2000, of the positions at CDS, to J2016, of Gaia DR3


def normalise_karmn(identifier):
    """A star's identifier in its one form: no stray spaces, capitals, and the one name of ``ALIASES``.

    What is no Carmencita identifier (``GJ  699``) only loses its stray spaces.

    Arguments: identifier, str or (n_stars,) of str. Returns: str or list of str, like the argument.
    """
    if not isinstance(identifier, str):
        return [normalise_karmn(str(one)) for one in identifier]
    name = " ".join(identifier.split())
    joined = re.sub("[\u2010-\u2015\u2212]", "-", name.replace(" ", "")).upper()
    if not _KARMN.fullmatch(joined):
        return name
    joined = joined.removeprefix("KARMN")
    return ALIASES.get(joined, (joined,))[0]


def same_star(one, other):
    """True when two identifiers name the same star by the rule of this module."""
    return normalise_karmn(one) == normalise_karmn(other)


def split_karmn(identifier):
    """An identifier's two parts, the place and the component: ``J12123+544S`` gives ``("J12123+544", "S")``."""
    name = normalise_karmn(identifier)
    found = _KARMN.fullmatch(name)
    return (name[: len(name) - len(found[5])], found[5]) if found else (name, "")


def _unique(frame, side):
    if "karmn" not in frame.columns:
        raise DataError("no such column", file=side, field="karmn", remedy="name the column of identifiers karmn")
    names = pd.Series(normalise_karmn(frame["karmn"]), index=frame.index, dtype=str)
    wrong = names.isin(["", "nan", "None", "<NA>"])
    if wrong.any():
        raise DataError("a star has no identifier", file=side, field="karmn", remedy="give every star one")
    if names.duplicated().any():
        twice = names[names.duplicated()].iloc[0]
        raise DataError(f"star {twice} is there twice", file=side, field="karmn", remedy="keep one row a star")
    return frame.assign(karmn=names)


def match(left, right, how="inner", suffixes=("", "_right")):
    """Two tables side by side, one row a star, by identifier and never by row order.

    Arguments
    ---------
    left, right : pandas.DataFrame
        With a column karmn; each star at most once.
    how : str, optional
        ``inner``, ``left`` or ``outer``: the stars of both, of the left, or of either.
    suffixes : (str, str), optional
        For columns that both have.

    Returns: pandas.DataFrame in the order of ``left`` (``outer``: by identifier), karmn in its one form.
    Errors: DataError when a star is there twice, also under two forms of its name, or has no identifier.
    """
    left, right = _unique(left, "left table"), _unique(right, "right table")
    return left.merge(right, on="karmn", how=how, suffixes=suffixes, validate="one_to_one")


def name_agrees(identifier, ra, dec):
    """True when a position lies where its Karmn says, to one unit of the last digits (0.1 min in RA, 0.1 deg in Dec).

    Arguments: identifier, str or (n_stars,); ra, dec, [deg], J2000. Returns: bool or (n_stars,) of bool; False for
    what is no Carmencita identifier.
    """
    if not isinstance(identifier, str):
        return np.array([name_agrees(*one) for one in zip(identifier, ra, dec, strict=True)], dtype=bool)
    found = _KARMN.fullmatch(normalise_karmn(identifier))
    if not found:
        return False
    sign = -1 if found[3] == "-" else 1
    east = ra * 4 - (int(found[1]) * 60 + int(found[2]) / 10)  # minutes of time past the name's own
    east = (east + 720) % 1440 - 720
    up = sign * dec - int(found[4]) / 10  # the name is cut, not rounded: the star lies 0 to 0.1 further
    return bool(-0.1 <= east <= 0.2 and -0.1 <= up <= 0.2)


def position_check(catalogue, source, limit=LIMIT):
    """How far apart two tables place the stars that they call by the same name.

    The Gaia DR3 positions (epoch J2016) are taken back to J2000 by the stars' proper motions, since that is the epoch
    of ``_RA`` and ``_DE`` in tables from CDS.

    Arguments
    ---------
    catalogue : pandas.DataFrame
        karmn, ra, dec [deg] at J2016; pmra (with cos dec), pmdec [mas/yr], optional: without them a star stands still.
    source : pandas.DataFrame
        karmn, ra, dec [deg] at J2000.
    limit : float, optional
        Farther than this [arcsec] is a mismatch.

    Returns
    -------
    pandas.DataFrame : karmn; separation, and unmoved, the same without proper motion [arcsec]; mismatch (bool); where,
        which of the two positions contradicts the name: ``source``, ``catalogue``, ``both``, ``neither`` (they are of
        two components then) or, without a mismatch, an empty string. Stars without a position in either are left out.

    Errors: DataError, as for :func:`match`, or a missing column.
    """
    import astropy.units as u
    from astropy.coordinates import SkyCoord

    for side, frame in (("catalogue", catalogue), ("source", source)):
        for column in ("ra", "dec"):
            if column not in frame.columns:
                raise DataError("no such column", file=side, field=column, remedy="give positions in degrees")
    moving = [column for column in ("pmra", "pmdec") if column in catalogue.columns]
    both = match(catalogue[["karmn", "ra", "dec", *moving]], source[["karmn", "ra", "dec"]], suffixes=("", "_source"))
    both = both.dropna(subset=["ra", "dec", "ra_source", "dec_source"]).reset_index(drop=True)
    ours = SkyCoord(both.ra.to_numpy(float), both.dec.to_numpy(float), unit="deg")
    theirs = SkyCoord(both.ra_source.to_numpy(float), both.dec_source.to_numpy(float), unit="deg")
    motion = [np.nan_to_num(both[c].to_numpy(float)) if c in both else np.zeros(len(both)) for c in ("pmra", "pmdec")]
    then = ours.spherical_offsets_by(*(-_YEARS * u.yr * one * u.mas / u.yr for one in motion))
    out = pd.DataFrame({"karmn": both.karmn, "separation": then.separation(theirs).arcsec})
    out["unmoved"] = ours.separation(theirs).arcsec
    out["mismatch"] = out.separation > limit
    wrong = [name_agrees(both.karmn, place.ra.deg, place.dec.deg) for place in (then, theirs)]
    words = np.select([wrong[0] & wrong[1], wrong[0], wrong[1]], ["neither", "source", "catalogue"], "both")
    out["where"] = np.where(out.mismatch, words, "")
    return out
