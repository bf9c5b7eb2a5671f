"""Measures of the synthetic gap: how far observed spectra lie from the synthetic ones, in flux and in latent space."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.spatial.distance import cdist

__all__ = ["best_match", "nearest_distance", "umap_map"]


def _nearest(observed, synthetic, chunk=64):
    """Row of the nearest synthetic vector and the distance to it, for each observed one: (n_observed,) each."""
    index, distance = np.zeros(len(observed), int), np.zeros(len(observed))
    for start in range(0, len(observed), chunk):
        rows = slice(start, start + chunk)
        all_distances = cdist(observed[rows], synthetic)
        index[rows], distance[rows] = all_distances.argmin(1), all_distances.min(1)
    return index, distance


def nearest_distance(observed, synthetic, chunk=64):
    """Euclidean distance from each observed vector to the nearest synthetic one: (n_observed,).

    Arguments
    ---------
    observed : (n_observed, n_features);  synthetic : (n_synthetic, n_features)

    Source: paper, section 2 (2.72 on average in flux space) and section 3.2 (0.086 in latent space).
    """
    return _nearest(observed, synthetic, chunk)[1]


def best_match(observed, synthetic):
    """The nearest synthetic spectrum of each observed one, and the residual that it leaves.

    r_i = min_j (||x_i - s_j||^2 / D)^(1/2) with D pixels

    Arguments
    ---------
    observed : (n_observed, n_pixels);  synthetic : (n_synthetic, n_pixels)

    Returns
    -------
    index : (n_observed,) int, rows of ``synthetic``;  rms : (n_observed,) in the unit of flux
    """
    index, distance = _nearest(np.atleast_2d(observed), synthetic)
    return index, distance / np.sqrt(np.shape(synthetic)[1])


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
