"""The smallest run of the whole method, seconds long, and what a store holds."""

import shutil
from pathlib import Path

from dtl_core.files import file_hash

TINY = {
    "synthetic.n_spectra": 150,
    "survey.n_stars": 20,
    "survey.real_stars": "no",
    "autoencoder.widths": "64",
    "autoencoder.l1": "1e-7,1e-5",
    "autoencoder.n_models": 2,
    "autoencoder.components": 32,  # rows aligned in memory, for the same bits in any stack
    "autoencoder.epochs": 2,
    "autoencoder.batch_size": 32,
    "autoencoder.learning_rate": 1e-3,
    "search.learning_rates": "1e-3,3e-4",
    "search.halving": 2,  # two rounds of trials, of four and of two
    "search.epochs": 2,
    "search.folds": 2,
    "transfer.epochs": 2,
    "regression.n_models": 1,
    "regression.n_kept": 1,
    "regression.epochs": 2,
    "regression.vsini.units": "256,128,32",  # as those of [M/H], so that two parameters share a stack
    "recommended.epochs": 1,
    "recommended.emulator_epochs": 1,
    "umap.n_synthetic": 60,
    "umap.n_neighbors": 5,
}


def tree(root):
    """Every stored file and its hash; timings and the record of the last run differ between runs by their nature."""
    files = [p for p in Path(root).rglob("*") if p.is_file() and p.parent.name not in ("timings", "runs")]
    return {str(p.relative_to(root)): file_hash(p) for p in files}


def keys_of(run):
    """(stage, key) of all results of a run."""
    return {(stage, key) for stage, keys in run.keys.items() for key in ([keys] if isinstance(keys, str) else keys)}


def stored(run, root=None):
    """Every file of a run's results, and its hash, in its store or in another one; other runs may have used it too."""
    own = keys_of(run)
    return {name: digest for name, digest in tree(root or run.store.root).items() if tuple(name.split("/")[:2]) in own}


def copy_of(run, folder, *stages):
    """A store with some stages of a run, by default all."""
    for stage, key in keys_of(run):
        if not stages or stage in stages:
            shutil.copytree(run.store.path(stage, key), folder / stage / key)
    return folder
