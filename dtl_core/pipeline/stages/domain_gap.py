"""Stages ``gap`` and ``latent_gap``: how far observed spectra lie from synthetic ones."""

from __future__ import annotations

from ...estimates import gap
from ...files import save_arrays

__all__ = ["measure_gap"]


def measure_gap(store, config, keys, synthetic_vectors, observed_vectors, *, name, metric):
    """Measure nearest distances and the UMAP of both domains, in flux or latent space.

    Parameters
    ----------
    store : Store
    config : Config
    keys : dict
        Of the stages that the vectors come from.
    synthetic_vectors, observed_vectors : callable
        Return (n, n_dim), and a dict of method -> (m, n_dim).
    name : str
        ``gap`` or ``latent_gap``.
    metric : str
        Of the UMAP.

    Returns
    -------
    folder : Path
    key : str
    """

    def compute(folder):
        near, seen = synthetic_vectors(), observed_vectors()
        arrays = {f"distance_{encoder}": gap.nearest_distance(vectors, near) for encoder, vectors in seen.items()}
        for encoder, vectors in seen.items():
            model_map, star_map, rows = gap.umap_map(near, vectors, config.umap, metric=metric, seed=config.seed)
            arrays |= {
                f"map_synthetic_{encoder}": model_map,
                f"map_observed_{encoder}": star_map,
                f"rows_{encoder}": rows,
            }
        save_arrays(folder / "gap.safetensors", arrays)

    settings = {"umap": config.umap, "metric": metric, "seed": config.seed}
    return store.stage(name, settings, keys, compute)
