"""Recognise the columns of a table by their names."""

from __future__ import annotations

import re

from ..characters import clean
from ..errors import ConfigError, DataError

__all__ = ["KINDS", "choose_columns", "find_columns", "words_of"]


# Words in the names of columns by kind, best first. The first kind that matches a name counts.
WORDS = {
    "wavelength": "wavelength wavelengths wave lambda lam wav wl loglam lnlam wavenumber wavenumbers",
    "ivar": "ivar invvar",
    "variance": "variance var",
    "telluric": "telluric tellurics",
    "good": "good gpm goodmask goodpix valid",
    "mask": "mask flag flags quality qual dq bad badpix bpm qmap",
    "uncertainty": "uncertainty uncertainties unc error errors err sigma sig std stdev noise eflux fluxerr ferr e",
    "flux": "flux fluxes spec spectrum intensity fluxn counts",
}
WORDS = {kind: words.split() for kind, words in WORDS.items()}
KINDS = tuple(WORDS)
# Words in the names of columns that do not hold the star's spectrum
OTHERS = {"background", "bg", "bkg", "blaze", "cal", "cont", "continuum", "model", "resid", "residual", "residuals"}
OTHERS |= {"and", "or", "sky", "snr", "synth", "synthetic", "template"}


def words_of(name):
    """The words of a name in lower case: list of str."""
    return re.findall(r"[a-zåµμ]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(name)).lower())


def _kind(name):
    """Kind of a column and rank of its name (smaller is better), or (None, 0)."""
    words = words_of(re.sub(r"[(\[].*?[)\]]", " ", str(name)))  # without units in parentheses
    for kind, known in WORDS.items():
        ranks = [known.index(word) for word in words if word in known]
        if not ranks:
            continue
        if kind == "wavelength" and set(words) & {"err", "error", "sigma", "e", "unc", "mask", "flux"}:
            return None, 0
        if kind not in ("wavelength", "telluric", "mask", "good") and OTHERS & set(words):
            return None, 0
        if kind in ("telluric", "mask") and {"and", "or", "transmission"} & set(words):
            return None, 0
        return kind, min(ranks) + 100 * len(words) + 10_000 * ("rest" in words)
    return None, 0


def find_columns(names):
    """Find the best name for each kind: dict such as {"wavelength": name, "flux": name}."""
    return {kind: ranked[0][1] for kind, ranked in _ranked(names).items()}


def _ranked(names):
    """Candidates by kind: lists of (rank, name), best first."""
    out = {}
    for name in names:
        kind, rank = _kind(name)
        if kind:
            out.setdefault(kind, []).append((rank, name))
    return {kind: sorted(ranked, key=lambda pair: pair[0]) for kind, ranked in out.items()}


def choose_columns(table, path, asked=None):
    """Choose the columns of a table by their names and the user's choice.

    Parameters
    ----------
    table : dtl_core.reading.formats.Columns
    path : Path
    asked : dict, optional
        The user's choice: kind (:data:`KINDS`) to name of a column, or its number counted from 1.

    Returns
    -------
    found : dict
        Kind to name.
    notes : list of str
        What was assumed.

    Raises
    ------
    ConfigError
        Unknown kind.
    DataError
        A column is missing, or several may be the flux.
    """
    asked, notes = dict(asked or {}), []
    for kind, wanted in asked.items():
        if kind not in KINDS:
            raise ConfigError(
                f"{clean(kind, 20)!r} is unknown", field="column", remedy=f"give one of {', '.join(KINDS)}"
            )
        asked[kind] = _named(table.names, wanted, path)
    ranked = _ranked([name for name in table.names if name not in asked.values()])
    found = {kind: pairs[0][1] for kind, pairs in ranked.items()} | asked
    for kind in ("wavelength", "flux"):
        if kind not in found:
            listed = ", ".join(repr(clean(name, 20)) for name in table.names[:10])
            raise DataError("is missing", file=path, field=kind, remedy=f"--column {kind}=NAME, one of {listed}")
    if "flux" not in asked:
        rivals = ranked["flux"]
        if len(rivals) > 1 and rivals[0][0] == rivals[1][0]:
            listed = ", ".join(clean(name, 20) for _, name in rivals[:6])
            raise DataError(f"may be any of {listed}", file=path, field="flux", remedy="say which: --column flux=NAME")
        others = [name for _, name in rivals[1:]] + [
            name for name in table.names if set(words_of(name)) & set(WORDS["flux"]) and _kind(name)[0] is None
        ]
        if others:
            listed = ", ".join(clean(name, 20) for name in others[:4])
            notes.append(f"flux taken from column {clean(found['flux'], 20)}, not {listed}")
    # of several uncertainties, the one whose name matches that of the flux
    own = set(words_of(found["flux"])) - set(WORDS["flux"])
    for kind in ("uncertainty", "variance", "ivar"):
        if own and kind not in asked and len(ranked.get(kind, ())) > 1:
            found[kind] = max((name for _, name in ranked[kind]), key=lambda name: len(own & set(words_of(name))))
    if len(ranked.get("wavelength", ())) > 1 and "wavelength" not in asked:
        vacuum = [name for _, name in ranked["wavelength"] if {"vac", "vacuum"} & set(words_of(name))]
        found["wavelength"] = vacuum[0] if vacuum else found["wavelength"]
    if "good" in found and "mask" in found and "good" not in asked and "mask" not in asked:
        found.pop("good")
    return found, notes


def _named(names, wanted, path):
    """Find a column by its name, ignoring case, or by its number."""
    same = [name for name in names if str(name).lower() == str(wanted).strip().lower()]
    if same:
        return same[0]
    if str(wanted).isdecimal() and 0 < int(wanted) <= len(names):
        return names[int(wanted) - 1]
    listed = ", ".join(clean(name, 20) for name in names[:10])
    raise DataError(f"has no column {clean(wanted, 20)!r}", file=path, field="column", remedy=f"give one of {listed}")
