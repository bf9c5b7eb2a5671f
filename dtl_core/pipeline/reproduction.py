"""The paper on its own inputs: CARMENES spectra of its stars, the nodes of PHOENIX-ACES, the chain, the comparison.

    result = reproduce()                     all 286 stars, profile paper-fast
    result = reproduce(["J17578+046"], until="fetch")
    last_reproduction()                      what notebook 10 and its page of the book show

A run has at least ten simulated stars, which are used in the fine-tuning and in the measured distances; the CARMENES
spectra follow them. A star or node that cannot be obtained is listed, and the run continues without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from astropy.table import Table

from ..config import load_profile
from ..errors import ConfigError, DataError, DTLError
from ..files import file_hash, write_atomic
from ..literature import catalogues, templates
from ..literature.names import normalise_karmn
from ..literature.paper_numbers import compare_catalogues
from ..public_data import fetching, phoenix, phoenix_nodes, registry
from ..synthetic import label_grid
from . import conduct, records
from .store import Store

__all__ = ["Needs", "Shown", "expected", "last_reproduction", "needs", "reproduce", "settings", "shown", "stars_of"]


PROFILE, N_STARS = "paper-fast", 286
COOLEST, SIMULATED = 2325.0, 10  # K, of the paper's labels; the fewest stars of a survey
CUT_BYTES = 9e4, 7e4  # of a star, of a node
_OF_THE_CALL = ("notes", "seconds", "fetch_seconds", "run_seconds", "announced_bytes")  # not of the result
OFFICIAL = tuple(p.split("/")[2] for p in (*(o.page for o in templates.ORIGINS), phoenix_nodes.OLDER))


class Needs(NamedTuple):
    """What a reproduction needs from the network.

    Attributes
    ----------
    stars, nodes : list
        All of them.
    missing_stars, missing_nodes : list
        Those that have to be fetched.
    n_bytes : float
        To fetch, without single nights.
    """

    stars: list
    nodes: list
    missing_stars: list
    missing_nodes: list
    n_bytes: float

    def __str__(self):
        text = f"{len(self.missing_stars)} of {len(self.stars)} CARMENES templates and {len(self.missing_nodes)} of "
        text += f"{len(self.nodes)} PHOENIX-ACES spectra to fetch, about {self.n_bytes / 1e9:.1f} GB, of which the "
        return text + "surroundings of the window are kept"


def nodes_of(config):
    """Nodes that the labels of a run need, and those of the paper if they are available: list of (teff, logg, mh)."""
    wanted, path = label_grid.label_grid(config.synthetic), registry.find("phoenix_labels.npy")
    if path is not None:
        paper, low, high = np.load(path, allow_pickle=False)[:, :3], wanted.min(axis=0), wanted.max(axis=0)
        wanted = np.concatenate([wanted, paper[np.all((paper >= low - 1e-6) & (paper <= high + 1e-6), axis=1)]])
    return phoenix_nodes.needed_nodes(wanted)


def stars_of(names=()):
    """Stars of a reproduction: those named, or all of the paper's catalogue.

    Parameters
    ----------
    names : iterable of str
        Karmn identifiers, or files with one in the first column of each line.

    Returns
    -------
    list of str
        In normal form, each once.

    Raises
    ------
    DataError
        No name is given and the published catalogue is not available, or a file cannot be read or holds no star.
    """
    out = []
    for name in names:
        if not Path(name).is_file():
            out.append(name)
            continue
        try:
            lines = Path(name).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"cannot be read ({type(error).__name__})", file=name, remedy="give a text file") from None
        found = [line.replace(",", " ").split()[0] for line in lines if line.strip(", \t") and line[0] != "#"]
        found = [star for star in found if star.lower() != "karmn"]
        out += found
        if not found:
            raise DataError("names no star", file=name, remedy="write one Karmn identifier per line")
    return list(dict.fromkeys(normalise_karmn(out or list(catalogues.read_published()["karmn"]))))


def needs(stars, profile=PROFILE, overrides=None):
    """Find out what has to be fetched for some stars: :class:`Needs`; the network is not used."""
    nodes = nodes_of(load_profile(profile, settings((), overrides)))
    missing, absent = templates.missing_templates(stars), phoenix_nodes.missing_nodes(nodes)
    size = len(missing) * templates.TEMPLATE_BYTES + len(absent) * phoenix.SPECTRUM_BYTES
    size += phoenix.WAVE_BYTES if absent and not registry.in_place(f"phoenix/{phoenix.WAVE_FILE}") else 0
    return Needs(list(stars), nodes, missing, absent, size)


def expected(n_stars=N_STARS, n_nodes=None, profile=PROFILE):
    """What a reproduction from scratch takes: files, GB to fetch and to keep, and hours if the profile is on record.

    Parameters
    ----------
    n_stars, n_nodes : int
        By default those of the paper.
    profile : str

    Returns
    -------
    dict
        ``files``, ``nodes``, ``gb``, ``kept_gb``, and ``hours`` and ``cores`` of the recorded run, None without one.
    """
    n_nodes = n_nodes or len(nodes_of(load_profile(PROFILE, settings(()))))
    gb = (n_stars * templates.TEMPLATE_BYTES + n_nodes * phoenix.SPECTRUM_BYTES + phoenix.WAVE_BYTES) / 1e9
    kept = (CUT_BYTES[0] * n_stars + CUT_BYTES[1] * n_nodes + phoenix.WAVE_BYTES) / 1e9
    timed = records.read("benchmarks")["values"].get("profiles", {}).get(profile)
    out = {"files": n_stars + n_nodes + 1, "nodes": n_nodes, "gb": gb, "kept_gb": kept, "hours": None, "cores": None}
    if timed:
        out |= {"hours": timed["values"]["wall_seconds"] / 3600, "cores": timed["machine"]["cores"]}
    return out


def settings(paths, overrides=None):
    """Settings of a run on these spectra, as :func:`dtl_core.config.load_profile` takes them; ``overrides`` win."""
    return {
        "synthetic.library": "phoenix",
        "synthetic.interpolation": "linear",
        "synthetic.main_sequence": "paper",
        "synthetic.teff_min": COOLEST,
        "survey.real_stars": "no",
        "survey.n_stars": SIMULATED,
        "survey.spectra": tuple(map(str, paths)),
        "survey.broken": "skip",
        "recommended.method": "paper",
    } | (overrides or {})


# ---------------------------------------------------------------- the whole


def reproduce(
    names=(), *, profile=PROFILE, until="catalogue", overrides=None, root=None, offline=False, quiet=False,
    confirm=None, downloader=None,
):  # fmt: skip
    """Fetch what the paper used, run the method on it, and compare the catalogue with the published one.

    Parameters
    ----------
    names : iterable of str
        As for :func:`stars_of`.
    profile : str
    until : {"fetch", "catalogue"}
        Stop after the downloads, or go on to the end.
    overrides : dict, optional
        Further settings.
    root : path, optional
        Folder of the results.
    offline : bool
        Use what is on this machine.
    quiet : bool
        No progress.
    confirm : callable, optional
        Called with a number of bytes before they are fetched; nothing is fetched if it returns False.
    downloader : dtl_core.public_data.download.Downloader, optional

    Returns
    -------
    dict
        The summary, see :func:`last_reproduction`; with ``until="fetch"`` only what was fetched and what is missing.

    Raises
    ------
    ConfigError
        Unknown profile, setting or end.
    DataError
        There are no stars, or too many nodes are missing.
    """
    from ..public_data.download import Downloader

    if until not in ("fetch", "catalogue"):
        raise ConfigError(f"unknown end {until!r}", field="until", remedy="choose fetch or catalogue")
    load_profile(profile, settings((), overrides))  # wrong settings end before the download
    downloader, started, notes = downloader or Downloader(), time.time(), []
    network = not offline and os.environ.get("DTL_OFFLINE", "0") in ("", "0")
    if network:
        _fetch_tables(downloader, quiet, notes)
    found = needs(stars_of(names), profile, overrides)
    if found.missing_stars or found.missing_nodes:
        _say(f"{found} (offline: not fetched)" if not network else str(found), quiet)
        if network and confirm and not confirm(found.n_bytes):
            raise DataError("nothing was fetched", field="--yes", remedy="confirm, or name fewer stars")
    by = downloader if network else None
    spectra = (
        templates.fetch_templates(found.stars, by, confirm_nights=confirm, quiet=quiet),
        phoenix_nodes.fetch_nodes(found.nodes, by, quiet=quiet),
    )
    summary = {
        "profile": profile, "stars": len(found.stars), "nodes": len(found.nodes),
        "missing_stars": spectra[0].missing, "missing_nodes": {_short(n): why for n, why in spectra[1].missing.items()},
        "notes": notes, "fetch_seconds": time.time() - started, "announced_bytes": found.n_bytes * network,
    }  # fmt: skip
    for what in ("missing_stars", "missing_nodes"):
        for name, reason in summary[what].items():
            _say(f"missing: {name}: {reason}", quiet)
    if until == "fetch":
        return summary
    if not spectra[0].paths:
        raise DataError("no spectrum of any star is at hand", field="stars", remedy="see the reasons above, try again")
    return _run_and_compare(spectra, found, profile, overrides, Store(root), quiet, summary, started)


def _say(text, quiet):
    if not quiet:
        print(text, file=sys.stderr, flush=True)


def _short(node):
    return phoenix.file_name(*node).partition(".PHOENIX")[0]


def _fetch_tables(downloader, quiet, notes):
    """Fetch the published tables, the catalogue from CDS if necessary, and the labels; what is missing is noted."""
    for wanted in (["published"], ["phoenix_labels.npy"]):
        try:
            fetching.fetch(wanted, quiet=quiet, downloader=downloader)
        except DTLError as error:
            notes.append(str(error))
    if not catalogues.available():
        try:
            fetching.fetch(["vizier/J_A+A_687_A205"], quiet=quiet, downloader=downloader)
        except DTLError as error:
            notes.append(str(error))
    for note in notes:
        _say(f"not fetched: {note}", quiet)


@contextlib.contextmanager
def _library_of(folder):
    """Let the library of a run, here and in its worker processes, be that of a folder and nothing else."""
    before = {name: os.environ.get(name) for name in ("DTL_CACHE", "DTL_DATA")}
    os.environ["DTL_CACHE"] = str(folder)
    os.environ.pop("DTL_DATA", None)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _run_and_compare(spectra, found, profile, overrides, store, quiet, summary, started):
    stars, nodes = spectra
    known = sorted((_short(node), file_hash(path)) for node, path in nodes.paths.items())
    folder = store.root / "phoenix_grid" / hashlib.sha256(json.dumps(known).encode()).hexdigest()[:20]
    replaced = phoenix_nodes.complete_grid(nodes.paths, found.nodes, folder)
    summary["replaced_nodes"] = {_short(node): about for node, about in replaced.items()}
    origins = [templates.origin_of(path) for path in (*stars.paths.values(), *nodes.paths.values())]
    summary["origins"] = {name: origins.count(name) for name in sorted(set(origins))}
    summary["official"] = set(origins) <= set(OFFICIAL)
    with _library_of(folder):
        paths = [stars.paths[star] for star in found.stars if star in stars.paths]
        run = conduct.run(profile, overrides=settings(paths, overrides), root=store.root, quiet=quiet)
    table = run.catalogue[len(run.truth) :]
    summary["refused"] = list(run.refused["error"])
    summary["resolving_power"] = run.config.window.resolving_power
    summary["run_seconds"] = run.seconds()
    summary["seconds"] = time.time() - started
    if not len(table):
        raise DataError("no spectrum could be used", field="stars", remedy=f"first: {summary['refused'][:1]}")
    published = catalogues.read_published() if catalogues.available() else None
    about = {name: value for name, value in summary.items() if name not in _OF_THE_CALL}

    def compute(place):
        sources = catalogues.read_sources([n for n, s in catalogues.SOURCES.items() if catalogues.at_hand(s.file)])
        frame, numbers, compared = compare_catalogues(table, published, sources)
        frame.write(place / "catalogue.ecsv")
        numbers.to_csv(place / "numbers.csv", index=False)
        (place / "summary.json").write_text(json.dumps(records.finite(about | compared), indent=1) + "\n")

    tables = {name: digest for name, digest in registry.fingerprint().items() if name.startswith("published/")}
    inputs = {"catalogue": run.keys["catalogue"], "observed": run.keys["observed"]} | tables
    _, key = store.stage("reproduction", about, inputs, compute)
    last = {"key": key} | {name: summary[name] for name in _OF_THE_CALL}
    write_atomic(store.root / "runs" / "reproduction.json", json.dumps(last, indent=1) + "\n")
    return last_reproduction(store.root)


# ---------------------------------------------------------------- what there is to look at


def last_reproduction(root=None):
    """Read the last reproduction.

    Parameters
    ----------
    root : path, optional
        Folder of the results.

    Returns
    -------
    dict or None
        None if there is none. ``folder`` with catalogue.ecsv, numbers.csv and summary.json; profile; numbers of stars
        and nodes; missing_stars, missing_nodes, replaced_nodes and refused; ``origins``, the number of spectra by
        server, and ``official``, whether all are published ones; seconds; and the summary of
        :func:`dtl_core.literature.paper_numbers.compare_catalogues`.
    """
    store = Store(root)
    try:
        last = json.loads((store.root / "runs" / "reproduction.json").read_text())
        folder = store.path("reproduction", last["key"])
        return json.loads((folder / "summary.json").read_text()) | last | {"folder": str(folder)}
    except (OSError, ValueError, KeyError):
        return None


class Shown(NamedTuple):
    """A reproduction to look at.

    Attributes
    ----------
    real : bool
        Whether it is the last one on this machine, with spectra from the published origins; else the recorded test.
    summary : dict
        stars, nodes and missing (numbers), profile, parameters and numbers, see :func:`last_reproduction`.
    table : pandas.DataFrame
        The catalogue.
    """

    real: bool
    summary: dict
    table: pd.DataFrame


def shown(root=None):
    """Find the last reproduction on real spectra, or else the recorded test on imitated origins.

    Parameters
    ----------
    root : path, optional
        Folder of the results.

    Returns
    -------
    Shown

    Raises
    ------
    DataError
        There is neither.
    """
    found = last_reproduction(root)
    if found is not None and found["official"] and found["parameters"]:
        missing = len(found["missing_stars"]) + len(found["refused"])
        table = Table.read(f"{found['folder']}/catalogue.ecsv").to_pandas()
        return Shown(True, found | {"missing": missing}, table)
    values = records.read("reproduction")["values"]["mock"]["values"]
    return Shown(False, values | {"missing": values["missing_stars"]}, records.frame(values["catalogue"]))
