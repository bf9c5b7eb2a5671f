"""Checks that stars matched by identifier are the same star, and their names in other catalogues."""

from __future__ import annotations

import pandas as pd

from .catalogues import read_columns, read_positions, read_published, read_stars
from .checks import require_columns
from .names import LIMIT, match, position_check

__all__ = ["check_positions", "star_names"]


def check_positions(sources=None, limit=LIMIT):
    """Compare the positions of stars matched by identifier, in every source that gives positions.

    The published catalogue has no Gaia DR3 position for five stars; theirs come from ``stars_286.csv``.

    Parameters
    ----------
    sources : iterable of str, optional
        Keys of ``SOURCES``; by default one for each table with positions.
    limit : float, arcsec
        Larger separations are mismatches.

    Returns
    -------
    pandas.DataFrame
        source and the columns of :func:`dtl_core.literature.names.position_check`.

    Raises
    ------
    ConfigError, DataError
        As for :func:`dtl_core.literature.catalogues.read_positions`.
    """
    stars = read_stars()[["karmn", "ra", "dec", "pmra", "pmdec"]]
    ours = match(read_published()[["karmn", "ra", "dec"]], stars, how="left", suffixes=("", "_stars"))
    ours = ours.assign(ra=ours.ra.fillna(ours.ra_stars), dec=ours.dec.fillna(ours.dec_stars))
    sources = ("Schw19", "Mar21", "Mann15", "Gaidos14", "GM14") if sources is None else sources
    parts = [position_check(ours, read_positions(name), limit) for name in sources]
    return pd.concat(parts, keys=sources, names=["source", None]).reset_index("source").reset_index(drop=True)


def star_names():
    """Names of the stars in other catalogues, e.g. for a search in Gaia's archive or in SIMBAD.

    Returns
    -------
    pandas.DataFrame
        Columns of str, empty where unknown: karmn; gaia_dr3 (source_id); gj (``GJ 15 A``); name, of CARMENES-IX;
        simbad_gm14 and simbad_schw19, the ``SimbadName`` of these tables; name_schw19, that paper's own name.
        simbad_schw19 is also empty where Schw19 gives the position, and so the name, of another star.

    Raises
    ------
    DataError
        As for :func:`dtl_core.literature.catalogues.read_published`.
    """
    stars = read_stars()
    require_columns(stars, "published/stars_286.csv", ("gaia_dr3_id", "name", "gj"))
    gj = stars["gj"].astype(str).str.strip().replace("nan", "")
    out = pd.DataFrame({"karmn": stars["karmn"], "gaia_dr3": stars["gaia_dr3_id"], "name": stars["name"]})
    out.insert(2, "gj", ("GJ " + gj).where(gj != "", ""))
    given = {"gm14": {"SimbadName": "simbad_gm14"}, "schw19": {"Name": "name_schw19", "SimbadName": "simbad_schw19"}}
    for file, columns in given.items():
        out = match(out, read_columns(f"{file}.csv", columns).rename(columns=columns), how="left")
    checked = check_positions(["Schw19"])
    out.loc[out["karmn"].isin(checked["karmn"][checked["mismatch"]]), "simbad_schw19"] = ""
    text = out.columns.drop("karmn")
    out[text] = out[text].fillna("").apply(lambda column: column.str.strip())
    return out
