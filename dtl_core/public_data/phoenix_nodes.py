"""The nodes of PHOENIX-ACES that labels need: which they are, their spectra cut to the window, a grid without holes."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import numpy as np

from ..errors import DataError
from . import phoenix, registry
from .origins import Fetched, fetch_each

__all__ = ["complete_grid", "fetch_nodes", "missing_nodes", "needed_nodes"]


OLDER = "https://phoenix.astro.physik.uni-goettingen.de/data/HiResFITS"  # the address in older programs
MOST_MISSING = 0.1  # of the nodes; with more of them interpolated, the library would be another


def needed_nodes(labels):
    """List the nodes that linear interpolation to some labels uses.

    Parameters
    ----------
    labels : (n, 3) array
        Teff [K], log g, [M/H].

    Returns
    -------
    list of (teff, logg, mh)

    Raises
    ------
    DataError
        A label is outside the grid.

    Examples
    --------
    >>> needed_nodes([[3450, 5.0, 0.1]])
    [(3400.0, 5.0, 0.0), (3400.0, 5.0, 0.5), (3500.0, 5.0, 0.0), (3500.0, 5.0, 0.5)]
    """
    labels, around = np.unique(np.asarray(labels, float).round(6), axis=0), []
    for (name, nodes), values in zip(phoenix.NODES.items(), labels.T, strict=True):
        nodes = np.array(nodes, float)
        if values.min() < nodes[0] or values.max() > nodes[-1]:
            problem = f"{values.min():g} to {values.max():g} leaves PHOENIX-ACES' {nodes[0]:g} to {nodes[-1]:g}"
            raise DataError(problem, field=name, remedy="narrow the labels")
        above = np.searchsorted(nodes, values)
        around.append((np.where(nodes[above] == values, nodes[above], nodes[above - 1]), nodes[above]))
    return sorted({tuple(map(float, node)) for corner in itertools.product(*around) for node in np.transpose(corner)})


def missing_nodes(nodes, window=phoenix.WINDOW):
    """Those of some nodes without a usable cut in mirror or cache, as a list."""
    return [node for node in nodes if not phoenix.is_usable(phoenix.file_name(*node), window)]


def fetch_nodes(nodes, downloader, *, window=phoenix.WINDOW, quiet=False):
    """Fetch the spectra of nodes and keep the window of each.

    Parameters
    ----------
    nodes : sequence of (teff, logg, mh)
    downloader : Downloader or None
        None looks on this machine only.
    window : (float, float), vacuum A
    quiet : bool
        No progress.

    Returns
    -------
    dtl_core.public_data.origins.Fetched
        By node, of all nodes.

    Raises
    ------
    DataError
        The wavelengths of the library are not available, or a file cannot be written.
    """
    missing, servers = missing_nodes(nodes, window), [None] + ([] if os.environ.get("DTL_PHOENIX_URL") else [OLDER])

    def attempts(node):
        cut = registry.cache_root() / "phoenix" / "cut" / phoenix.file_name(*node)

        def attempt(server):
            phoenix.fetch_cut(cut.name, window, False, server, downloader)
            labels = phoenix.read_phoenix(cut)[2]
            if [labels[name] for name in phoenix.NODES] != list(node) or labels["alpha"]:
                cut.unlink()
                raise DataError("has the labels of another node", file=cut.name, remedy="try again later")
            return cut

        return [lambda server=server: attempt(server) for server in servers]

    if missing and downloader:
        wavelengths = [lambda server=server: phoenix.fetch_wavelengths(downloader, server) for server in servers]
        name = phoenix.WAVE_FILE
        found = fetch_each([name], lambda _: wavelengths, downloader, total=phoenix.WAVE_BYTES, quiet=quiet, label=name)
        if found.missing:
            raise DataError(found.missing[name])
    size = phoenix.SPECTRUM_BYTES * len(missing)
    if downloader:
        fetched = fetch_each(missing, attempts, downloader, total=size, quiet=quiet, label="PHOENIX")
    else:
        fetched = Fetched({}, dict.fromkeys(missing, "not at hand"))
    have = [node for node in nodes if node not in missing]
    fetched.paths.update({node: registry.find(f"phoenix/cut/{phoenix.file_name(*node)}") for node in have})
    return fetched


def complete_grid(paths, needed, folder):
    """Write the cuts of nodes as a rectangular grid, which is what a run can load.

    Holes that no label needs have the spectrum of the nearest node: linear interpolation gives them no weight. A needed
    node that is missing is interpolated between its neighbours along Teff, else along [M/H] or log g; without a pair
    of neighbours, the nearest node takes its place. Their headers say so.

    Parameters
    ----------
    paths : dict of (teff, logg, mh) to Path
    needed : sequence of (teff, logg, mh)
    folder : path
        The cuts are written into ``phoenix/cut`` below it; what was there is removed.

    Returns
    -------
    dict of (teff, logg, mh) to str
        The needed nodes that are missing, and what takes their place.

    Raises
    ------
    DataError
        More than a tenth of the needed nodes are missing.
    """
    holes = [node for node in needed if node not in paths]
    if len(holes) > MOST_MISSING * len(needed):
        problem = f"{len(holes)} of {len(needed)} nodes are missing, the first is {phoenix.file_name(*holes[0])}"
        raise DataError(problem, file="PHOENIX-ACES", remedy="run the same command later: it fetches what is missing")
    target, replaced = Path(folder) / "phoenix" / "cut", {}
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    axes = [sorted(set(values)) for values in zip(*needed, strict=True)]
    have = np.array(sorted(paths))
    for node in itertools.product(*axes):
        if node in paths:
            shutil.copyfile(paths[node], target / phoenix.file_name(*node))
            continue
        pair = _neighbours(node, axes, paths) if node in needed else None
        nearest = tuple(map(float, have[np.argmin(np.sum(np.abs(have - node) / (100, 0.5, 0.5), axis=1))]))
        sources = pair or [nearest]
        words = " and ".join(phoenix.file_name(*source).partition(".PHOENIX")[0] for source in sources)
        about = f"{'interpolated between' if pair else 'a copy of'} {words}"
        wavelength, flux = zip(*(phoenix.read_phoenix(paths[source])[:2] for source in sources), strict=True)
        flux = np.mean([values / values.mean() for values in flux], axis=0)
        labels = dict(zip(phoenix.NODES, node, strict=True)) | {"alpha": 0.0}
        span = wavelength[0][0], wavelength[0][-1]
        phoenix.write_cut(target / phoenix.file_name(*node), wavelength[0], flux, labels, span, "", about)
        if node in needed:
            replaced[node] = about
    return replaced


def _neighbours(node, axes, paths):
    """The nodes on both sides of a node along the first axis on which there are two, Teff first; or None."""
    for k in (0, 2, 1):
        place = axes[k].index(node[k])
        if 0 < place < len(axes[k]) - 1:
            pair = [(*node[:k], axes[k][place + side], *node[k + 1 :]) for side in (-1, 1)]
            if all(other in paths for other in pair):
                return pair
    return None
