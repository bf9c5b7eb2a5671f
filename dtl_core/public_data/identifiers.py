"""Ks and parallax of stars by their identifiers in Gaia DR3 and 2MASS, from the Gaia archive.

    complete({"GJ 699": {"gaia_dr3": 4472832130942575872}})       {"GJ 699": {"ks": ..., "parallax": ..., ...}}

The archive holds 2MASS and its matches with Gaia, which allow for proper motions. Answers are kept in the folder
``photometry`` of the cache, and so is the answer that there is no such star, because both catalogues are final.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

import numpy as np

from ..errors import DataError, DTLError
from ..files import atomic_path
from . import archives, registry

__all__ = ["IDENTIFIERS", "complete"]


class _Identifier(NamedTuple):
    """A kind of identifier: its form, its name in messages, and its query to the archive."""

    form: str
    catalogue: str
    label: str
    remedy: str
    column: str
    tables: str


_COLUMNS = (
    "g.source_id, g.parallax, g.parallax_error, n.number_of_mates, t.designation, t.ks_m, t.ks_msigcom, t.ph_qual"
)
_GAIA, _MATCH = "gaiadr3.gaia_source AS g", "gaiadr3.tmass_psc_xsc_best_neighbour AS n"
_JOIN, _TMASS = "gaiadr3.tmass_psc_xsc_join AS j", "gaiadr1.tmass_original_valid AS t"
_SAME = "j.clean_tmass_psc_xsc_oid = n.clean_tmass_psc_xsc_oid"
_KINDS = {
    "gaia_dr3": _Identifier(
        r"(?:Gaia\s*DR3\s*)?(\d{1,19})",
        "Gaia DR3",
        "Gaia DR3 ",
        "give the digits of its source_id, as a whole number or as text",
        "source_id",
        f"{_GAIA} LEFT JOIN {_MATCH} ON n.source_id = g.source_id LEFT JOIN {_JOIN} ON {_SAME} "
        f"LEFT JOIN {_TMASS} ON t.designation = j.original_psc_source_id WHERE g.source_id",
    ),
    "tmass": _Identifier(
        r"(?:2MASS\s*|2M)?J?(\d{8}[+-]\d{7})",
        "2MASS",
        "2MASS J",
        "give its designation, such as 17574849+0441405",
        "designation",
        f"{_TMASS} LEFT JOIN {_JOIN} ON j.original_psc_source_id = t.designation LEFT JOIN {_MATCH} ON {_SAME} "
        f"LEFT JOIN {_GAIA} ON g.source_id = n.source_id WHERE t.designation",
    ),
}
IDENTIFIERS = tuple(_KINDS)
RELIABLE = "AB"  # quality flags of 2MASS
TOLERANCE = 0.2  # mag, beyond which two values contradict each other


def complete(known, file=None, field=None):
    """Complete Ks and parallax of stars that have identifiers in Gaia DR3 or 2MASS.

    Parameters
    ----------
    known : dict of str to dict
        Star -> ``ks``, ``e_ks`` [mag], ``parallax``, ``e_parallax`` [mas], ``gaia_dr3``, ``tmass``, as far as they are
        known. Values that are given are kept.
    file, field : str, optional
        Where they are from, for error messages.

    Returns
    -------
    dict of str to dict
        The same without identifiers. ``remarks`` of a star, if there are any, is a tuple of str on: what the archive
        does not know; magnitudes that 2MASS flags as unreliable, which are not used; values that differ by more than
        ``TOLERANCE`` (parallaxes: in the absolute magnitude), of which the given one is used.

    Raises
    ------
    DataError
        A value cannot be an identifier, or the archive cannot be asked about a star that lacks Ks or parallax.

    References
    ----------
    Gaia Collaboration, Vallenari et al. (2023, A&A 674, A1); Skrutskie et al. (2006, AJ 131, 1163).
    """
    names = {star: _identifiers(star, values, file) for star, values in known.items()}
    answers = {kind: _look_up(kind, {own[kind] for own in names.values() if kind in own}) for kind in _KINDS}
    out = {}
    for star, values in known.items():
        own = {name: value for name, value in values.items() if name not in _KINDS and value == value}  # no NaN
        missing, found, remarks = [name for name in ("ks", "parallax") if name not in own], {}, []
        for kind, name in names[star].items():
            rows, error = answers[kind]
            label = _KINDS[kind].label + name
            if name not in rows and missing:
                problem = f"{star} has no {' and '.join(missing)}, and the archive cannot be asked ({error})"
                remedy = f"give {'both' if missing[1:] else missing[0]}{' in the table' if file else ''}"
                raise DataError(problem, file=file, field=field or kind, remedy=remedy)
            if not rows.get(name):
                remarks.append(f"{label} is not in the archive" if name in rows else f"{label} was not looked up")
            found[kind] = rows.get(name, [])
        out[star] = _completed(own, found, remarks)
    return out


def _identifiers(star, values, file):
    """Identifiers of a star by kind, without prefixes."""
    out = {}
    for kind, about in _KINDS.items():
        given = str(values.get(kind, "")).strip()
        match = re.fullmatch(about.form, given, re.IGNORECASE)
        if given and not match:
            problem = f"{given!r} of {star} is not an identifier of {about.catalogue}"
            raise DataError(problem, file=file, field=kind, remedy=about.remedy)
        if given:
            out[kind] = match[1]
    return out


# ---------------------------------------------------------------- the archive and the cache


def _look_up(kind, wanted):
    """Rows by identifier, as far as the cache and the archive have answered, and the error of the rest or None."""
    from astropy.table import Table

    about, rows = _KINDS[kind], {}
    for path in registry.find_all(f"photometry/{kind}_*.ecsv") if wanted else []:
        if registry.check(f"photometry/{path.name}")[0].status == "ok":
            rows |= _rows(Table.read(path, format="ascii.ecsv"), about.column)
    missing = sorted(wanted - rows.keys())
    if not missing:
        return rows, None
    try:
        registry.refuse_offline(False, [about.label + name for name in missing])
        identifiers = [int(name) for name in missing] if kind == "gaia_dr3" else missing
        table = archives.gaia_rows(f"SELECT {_COLUMNS} FROM {about.tables}", identifiers)
    except DTLError as error:
        return rows, error
    table.meta = {"asked": missing} | table.meta
    digest = hashlib.sha256(" ".join(missing).encode()).hexdigest()[:12]
    path = registry.cache_root() / "photometry" / f"{kind}_{digest}.ecsv"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as part:
            table.write(part, format="ascii.ecsv")
        registry.record([path], table.meta["server"])
    except OSError as error:
        problem = f"cannot be written ({error.strerror or error})"
        raise DataError(problem, file=path, remedy="free disk space or set DTL_CACHE") from None
    return rows | _rows(table, about.column), None


def _rows(table, column):
    """Rows of a table as dict without missing values, by each identifier that the archive was asked for."""
    out = {name: [] for name in table.meta["asked"]}
    for row in table:
        values = {name: row[name] for name in table.colnames if not np.ma.is_masked(row[name])}
        values = {name: str(value).strip() if name in ("source_id", "designation", "ph_qual") else float(value)
                  for name, value in values.items()}  # fmt: skip
        out[values[column]].append({name: value for name, value in values.items() if value == value and value != ""})
    return out


# ---------------------------------------------------------------- what is used


def _completed(own, found, remarks):
    """Given values of a star with those of the archive, and remarks on them."""
    out, remarks = dict(own), list(remarks)
    # each catalogue is asked first for what it has measured itself
    for quantity, read, kinds in (("ks", _ks, ("tmass", "gaia_dr3")), ("parallax", _parallax, ("gaia_dr3", "tmass"))):
        first = "the table" if quantity in own else None
        for rows in (found[kind] for kind in kinds if found.get(kind)):
            label, value, error, remark = read(rows)
            if first is None:
                remarks += [remark] if remark else []
                first, out[quantity], out[f"e_{quantity}"] = (label, value, error) if value else (None, None, None)
            elif value:
                used = out[quantity]
                apart = abs(value - used if quantity == "ks" else 5 * np.log10(value / used))
                if apart > TOLERANCE:
                    values = f"{quantity} = {used:.2f} of {first} and {value:.2f} of {label}"
                    remarks.append(f"{values} contradict each other: the former is used")
    out = {name: value for name, value in out.items() if value is not None}
    return out | ({"remarks": tuple(dict.fromkeys(remarks))} if remarks else {})


def _ks(rows):
    """Source, Ks and its error, None if it is not reliable, and a remark."""
    row = rows[0]
    if "designation" not in row:
        return None, None, None, f"Gaia DR3 {row['source_id']} has no counterpart in 2MASS"
    label, ks, quality = f"2MASS J{row['designation']}", row.get("ks_m"), row.get("ph_qual", "")[2:3]
    if ks is None or not quality or quality not in RELIABLE:
        flagged = f"2MASS flags Ks of J{row['designation']} as unreliable (quality {quality or 'unknown'})"
        return label, None, None, f"{flagged}: not used, give another ks"
    several = row.get("number_of_mates", 0) > 0
    remark = f"{label} is more than one source in Gaia DR3: its Ks may be that of several stars" if several else ""
    return label, ks, row.get("ks_msigcom"), remark


def _parallax(rows):
    """Source, parallax and its error, None if there is none, and a remark."""
    sources = {row["source_id"] for row in rows if "source_id" in row}
    if len(sources) != 1:
        what = f"is {len(sources)} sources in" if sources else "has no counterpart in"
        return None, None, None, f"2MASS J{rows[0]['designation']} {what} Gaia DR3: no parallax used"
    label, parallax = f"Gaia DR3 {sources.pop()}", rows[0].get("parallax", 0.0)
    if not parallax > 0:
        return label, None, None, f"{label} has no parallax, or none that is positive"
    return label, parallax, rows[0].get("parallax_error"), ""
