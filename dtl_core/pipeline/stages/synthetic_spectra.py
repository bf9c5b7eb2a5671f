"""Stage ``synthetic``: spectra and labels of the source domain."""

from __future__ import annotations

from ...files import file_hash, save_arrays
from ...public_data import registry
from ...synthetic import generation
from ...synthetic.libraries import library_hash

__all__ = ["make_synthetic"]


def make_synthetic(store, config, progress=None):
    """Make fluxes and labels of the source domain.

    Parameters
    ----------
    store : Store
    config : Config
    progress : callable, optional
        Called with the number of spectra of each batch.

    Returns
    -------
    folder : Path
    key : str
    """

    def compute(folder):
        flux, labels = generation.synthetic_set(config, progress=progress)
        save_arrays(folder / "synthetic.safetensors", {"flux": flux, "labels": labels})

    settings = {
        "window": config.window,
        "continuum": config.continuum,
        "synthetic": config.synthetic,
        "seed": config.seed,
    }
    if config.synthetic.library == "phoenix":
        inputs = {path.name: file_hash(path) for path in registry.find_all("phoenix/cut/lte*.fits")}
    else:
        inputs = {config.synthetic.library: library_hash(config.synthetic.library)}
    return store.stage("synthetic", settings, inputs, compute)
