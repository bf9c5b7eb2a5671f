"""Measures of the synthetic gap: how far observed spectra lie from the synthetic ones, in flux and in latent space."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.spatial.distance import cdist

__all__ = ["nearest_distance", "umap_map"]


def nearest_distance(observed, synthetic, chunk=64):
    """Euclidean distance from each observed vector to the nearest synthetic one: (n_observed,).

    Arguments
    ---------
    observed : (n_observed, n_features);  synthetic : (n_synthetic, n_features)

    Source: paper, section 2 (2.72 on average in flux space) and section 3.2 (0.086 in latent space).
    """
    blocks = (observed[start : start + chunk] for start in range(0, len(observed), chunk))
    return np.concatenate([cdist(block, synthetic).min(1) for block in blocks])


def umap_map(synthetic, observed, config, *, metric, seed=0):
    """Two-dimensional UMAP of both domains together, for drawing only.

    UMAP is not the same on every machine even when seeded: nothing is computed from the map.

    Arguments
    ---------
    synthetic, observed : (n, n_features)
    config : UmapConfig
    metric : ``correlation`` for fluxes as in the paper, ``euclidean`` for latents

    Returns
    -------
    (n_synthetic_drawn, 2), (n_observed, 2), and the rows of ``synthetic`` that were drawn.
    """
    import umap  # slow to import

    rng = np.random.default_rng([seed, 11])
    rows = np.sort(rng.permutation(len(synthetic))[: config.n_synthetic])
    both = np.concatenate([synthetic[rows], observed])
    neighbours = min(config.n_neighbors, len(both) - 1)
    if metric == "correlation":  # the same distances as umap-learn's own, from one matrix product
        both, metric = np.clip(1 - np.corrcoef(both), 0, None).astype(np.float32), "precomputed"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that a seed costs parallelism
        model = umap.UMAP(
            n_neighbors=neighbours,
            min_dist=config.min_dist,
            metric=metric,
            random_state=seed,
            n_jobs=1,
        )
        position = model.fit_transform(both)
    return position[: len(rows)], position[len(rows) :], rows
