"""The catalogues that the book offers for download: that of a run, and the published one."""

from __future__ import annotations

import numpy as np
from astropy.table import Table

from dtl_core import __version__
from dtl_core.estimates import gravity
from dtl_core.literature import catalogues
from dtl_core.literature.matching import star_names
from dtl_core.models.exports import describe
from dtl_core.parameters import PARAMETER_COLUMNS
from dtl_core.pipeline import records

__all__ = ["consensus_table", "published_table", "run_table"]


def run_table(run):
    """The catalogue of a run: one row per star, with the paper's and the recommended estimates, and true ones.

    Returns
    -------
    astropy.table.Table : karmn; spectrum (``simulated`` or ``real``); each parameter with lower and upper error, by
        transfer, then without fine-tuning (``_direct``), then as recommended (``_recommended``) with method, p_domain
        and strange; ``true_`` labels, NaN for real stars.
    """
    both = {"": run.catalogue_of("transfer"), "_direct": run.catalogue_of("direct")}
    both["_recommended"] = run.catalogue_of("recommended")
    n, known = len(both[""]), len(run.truth)
    table = Table({"karmn": np.array(both[""]["karmn"], str)})
    table["spectrum"] = np.where(np.arange(n) < known, "simulated", "real")
    for suffix, found in both.items():
        for column in (f"{e}{name}" for name in PARAMETER_COLUMNS.values() for e in ("", "e_", "E_")):
            table[column + suffix] = np.asarray(found[column], float)
    for column in ("method", "p_domain", "strange"):
        table[column] = both["_recommended"][column]
    for parameter, column in PARAMETER_COLUMNS.items():
        table[f"true_{column}"] = np.append(run.truth[parameter].to_numpy(float), np.full(n - known, np.nan))
    table.meta = {
        "description": f"Parameters of M dwarfs by autoencoders and deep transfer learning: dtl-mdwarfs {__version__}, "
        f"profile {run.config.profile}, R = {run.config.window.resolving_power:g}. Simulated stars are those of the "
        "simulated survey; their values are not parameters of real stars.",
        "source": "Mas-Buitrago et al. (2024, A&A 687, A205); errors are the spread of the networks only, except in "
        "columns that end in _recommended: their errors are calibrated, and the column method gives their method",
    }
    return describe(table, {f"logg{suffix}": _worth(found[:known], run.truth) for suffix, found in both.items()})


def _worth(found, truth):
    """How reliable log g of a catalogue is, from the simulated stars."""
    estimates = np.stack([np.asarray(found[column], float) for column in PARAMETER_COLUMNS.values()], axis=1)
    return gravity.worth([gravity.gravity_errors(estimates, truth["logg"].to_numpy(float))])


def published_table():
    """Read the catalogue of Mas-Buitrago et al. (2024), with names, types and populations if they are available.

    Returns
    -------
    astropy.table.Table
        Its ``meta`` names the source.

    Raises
    ------
    DataError
        The published table is absent or damaged.
    """
    frame = catalogues.read_published()
    more = ["name", "gj", "gaia_dr3", "spt", "pop"]
    if catalogues.at_hand("stars_286.csv"):
        names = star_names()[["karmn", "name", "gj", "gaia_dr3"]]
        frame = frame.merge(names, on="karmn", how="left")
        frame = frame.merge(catalogues.read_stars()[["karmn", "spt", "pop"]], on="karmn", how="left")
        frame[more] = frame[more].fillna("")
    columns = {"karmn": frame["karmn"], **{name: frame[name] for name in more if name in frame}}
    columns |= {name: frame[name] for name in ("ra", "dec")}
    for parameter, column in PARAMETER_COLUMNS.items():
        columns |= {f"{e}{column}": frame[f"{e}{parameter}"] for e in ("", "e_", "E_")}
    table = Table({k: v.to_numpy(str if v.dtype.kind not in "fiub" else float) for k, v in columns.items()})
    bibcode = frame.attrs.get("provenance", catalogues.provenance())["bibcode"]
    table.meta = {
        "description": "Stellar parameters of 286 CARMENES M dwarfs, as published by Mas-Buitrago et al. (2024, A&A "
        "687, A205; CDS J/A+A/687/A205); names, types and populations from the literature that the book cites",
        "bibcode": bibcode,
    }
    return describe(table)


def consensus_table(folder=None):
    """The consensus of all published catalogues, as recorded.

    Parameters
    ----------
    folder : path, optional
        Folder of the records.

    Returns
    -------
    astropy.table.Table
        karmn; Teff, logg and [M/H], each with lower and upper error and ``n_``, the number of published values.

    Raises
    ------
    DataError
        There is no such record.
    """
    parts, table = records.read("consensus", folder)["values"], Table()
    for parameter, part in parts.items():
        frame, column = records.frame(part["values"]["stars"]), PARAMETER_COLUMNS[parameter]
        table["karmn"] = frame["karmn"].to_numpy(str)
        for prefix in ("", "e_", "E_", "n_"):
            table[prefix + column] = frame[prefix + parameter].to_numpy()
    made = ", ".join(f"{parameter} {part['made']}" for parameter, part in parts.items())
    code = sorted({name + " " + digest for part in parts.values() for name, digest in part["code"].items()})
    table.meta = {
        "description": "Consensus of published parameters of 286 CARMENES M dwarfs by a hierarchical model of their "
        f"catalogues: dtl-mdwarfs {__version__}. Derived from published values only, no spectrum of this run.",
        "source": "; ".join(f"{name} {source.bibcode}" for name, source in catalogues.SOURCES.items()),
        "made": made,
        "code": ", ".join(name for name in code if "consensus" in name),
    }
    return describe(table)
