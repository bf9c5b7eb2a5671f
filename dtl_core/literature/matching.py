"""Who is where: which star has values in which published table, whether it is the same star, and what it is called.

Stars are matched by identifier, never by row order: :mod:`dtl_core.literature.names` has the rule, and this module
applies it to the tables of :mod:`dtl_core.literature.catalogues`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..parameters import PARAMETERS
from .catalogues import read_columns, read_positions, read_published, read_sources, read_stars, require_columns
from .names import LIMIT, match, normalise_karmn, position_check, split_karmn

__all__ = ["check_positions", "match_report", "match_summary", "star_names"]


def _joined(catalogue, literature):
    """The literature's row of each star of the catalogue, in its order, and whether it has one."""
    found = match(catalogue[["karmn"]], literature.assign(_there=True), how="left")
    return found, found["_there"].notna()


def _given(literature):
    return [p for p in PARAMETERS if p in literature and literature[p].notna().any()]


def match_report(catalogue=None, sources=None):
    """Which star has which values in which source: one row a star of the catalogue, one column a source.

    A cell is ``present`` (a value of every parameter that the source gives), ``no value: mh`` (in the table, without
    these parameters) or ``missing`` (not in the table).

    Arguments: catalogue, a tidy frame (the published one); sources, as for
    :func:`dtl_core.literature.catalogues.read_sources`. Returns: pandas.DataFrame with karmn and a column of str for
    each source. Errors: DataError, as for :func:`dtl_core.literature.catalogues.read_literature`, or when a star is
    there twice.
    """
    catalogue = read_published() if catalogue is None else catalogue
    out = {"karmn": normalise_karmn(catalogue["karmn"])}
    for name, literature in read_sources(sources).items():
        found, there = _joined(catalogue, literature)
        blank = found[_given(literature)].isna()
        lacks = [" ".join(blank.columns[row]) for row in blank.to_numpy()]
        cells = [f"no value: {which}" if which else "present" for which in lacks]
        out[name] = np.where(there, cells, "missing")
    return pd.DataFrame(out)


def _listed(names, what):
    if not len(names):
        return []
    return [f"{len(names)} {what}: {', '.join(names)}" if len(names) <= 8 else f"{len(names)} {what}"]


def match_summary(catalogue=None, sources=None):
    """How many stars of the catalogue each source has a value for, and why the others have none.

    Arguments: as for :func:`match_report`.
    Returns: pandas.DataFrame with source, parameter, N (stars with a value), no_value (in the table, but blank),
    missing (not in the table), why (one line). The rows ``any source`` count the stars that at least one source has;
    their ``why`` names the stars missing everywhere.
    """
    catalogue = read_published() if catalogue is None else catalogue
    rows, anywhere = [], {}
    for name, literature in read_sources(sources).items():
        found, there = _joined(catalogue, literature)
        stars, away = found["karmn"], list(found["karmn"][~there])
        places = pd.Series({n: split_karmn(n)[0] for n in normalise_karmn(literature["karmn"])}, dtype=object)
        near = {star: list(places.index[places == split_karmn(star)[0]]) for star in away}
        others = [f"of {star} the table lists {' and '.join(other)}" for star, other in near.items() if other]
        for parameter in _given(literature):
            has = found[parameter].notna()
            anywhere[parameter] = anywhere.get(parameter, False) | has.to_numpy()
            blank = list(stars[there & ~has])
            why = _listed(away, "not in the table") + others + _listed(blank, "in the table without a value")
            counts = {"N": int(has.sum()), "no_value": len(blank), "missing": len(away)}
            rows.append({"source": name, "parameter": parameter} | counts | {"why": "; ".join(why)})
    for parameter, has in anywhere.items():
        away = [star for star, there in zip(normalise_karmn(catalogue["karmn"]), has, strict=True) if not there]
        counts = {"N": int(has.sum()), "no_value": 0, "missing": len(away)}
        why = "; ".join(_listed(away, "in no source"))
        rows.append({"source": "any source", "parameter": parameter} | counts | {"why": why})
    return pd.DataFrame(rows, columns=["source", "parameter", "N", "no_value", "missing", "why"])


def check_positions(sources=None, limit=LIMIT):
    """Whether the stars matched by identifier lie at the same place, in every source that gives positions.

    Gaia DR3 positions are the published catalogue's; it has none of five stars, whose come from ``stars_286.csv``.

    Arguments: sources, keys of ``SOURCES``, by default one for each table with positions; limit [arcsec].
    Returns: pandas.DataFrame, source and the columns of :func:`dtl_core.literature.names.position_check`.
    Errors: as for :func:`dtl_core.literature.catalogues.read_positions`.
    """
    stars = read_stars()[["karmn", "ra", "dec", "pmra", "pmdec"]]
    ours = match(read_published()[["karmn", "ra", "dec"]], stars, how="left", suffixes=("", "_stars"))
    ours = ours.assign(ra=ours.ra.fillna(ours.ra_stars), dec=ours.dec.fillna(ours.dec_stars))
    sources = ("Schw19", "Mar21", "Mann15", "Gaidos14", "GM14") if sources is None else sources
    parts = [position_check(ours, read_positions(name), limit) for name in sources]
    return pd.concat(parts, keys=sources, names=["source", None]).reset_index("source").reset_index(drop=True)


def star_names():
    """What each star is called: identifiers across catalogues, for a search in Gaia's archive or in SIMBAD.

    Returns: pandas.DataFrame with karmn; gaia_dr3 (source_id as str: a float would lose digits); gj (``GJ 15 A``);
    name, of CARMENES-IX; simbad_gm14 and simbad_schw19, the ``SimbadName`` of these tables; name_schw19, the paper's
    own. What is not known is an empty string, and so is simbad_schw19 where Schw19's position is another star's
    (:func:`check_positions`): the name is that star's too.
    Errors: DataError, as for :func:`dtl_core.literature.catalogues.read_published`.
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
