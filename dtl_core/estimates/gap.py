"""Measures of the synthetic gap: how far observed spectra lie from the synthetic ones, in flux and in latent space."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.spatial.distance import cdist

from .. import machine
from ..extras import import_extra

__all__ = [
    "best_match",
    "domain_auc",
    "gap_metrics",
    "mean_discrepancy",
    "nearest_distance",
    "scaled",
    "sliced_wasserstein",
    "umap_map",
]


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
    umap = machine.load_umap()
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


# ---------------------------------------------------------------- how far two samples are apart


def scaled(observed, synthetic):
    """Both in units of the spread of the synthetic features, those that never vary left out."""
    centre, spread = synthetic.mean(0), synthetic.std(0)
    live = spread > 1e-4 * spread.max()
    return (observed[:, live] - centre[live]) / spread[live], (synthetic[:, live] - centre[live]) / spread[live]


def domain_auc(observed, synthetic, *, seed=0, folds=5):
    """Cross-validated area under the ROC curve of a classifier that tells the domains apart: 0.5 where it cannot.

    A logistic regression on up to 32 principal components of both together, so that a difference counts where it is
    larger than the spread of the spectra themselves.

    Arguments: observed (n, n_features), synthetic (m, n_features); Returns: float.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    both = np.concatenate(scaled(observed, synthetic))
    domain = np.repeat([1, 0], [len(observed), len(synthetic)])
    components = PCA(min(32, *both.shape), random_state=seed).fit_transform(both)  # without regard to the domain
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    score = cross_val_predict(model, components, domain, cv=split, method="decision_function")
    return float(roc_auc_score(domain, score))


def mean_discrepancy(observed, synthetic, *, n_permutations=500, seed=0):
    r"""Unbiased squared maximum mean discrepancy, Gaussian kernel as wide as the median distance, and its p-value.

    :math:`\mathrm{MMD}^2 = E\,k(x, x') + E\,k(y, y') - 2 E\,k(x, y)`; p is the share of random divisions of both
    samples together that lie as far apart.

    Returns: MMD^2, p.
    Source: Gretton et al. (2012, JMLR 13, 723).
    """
    both = np.concatenate(scaled(observed, synthetic)).astype(float)
    norm = np.einsum("ij,ij->i", both, both)  # as a matrix product, many times faster than cdist
    squared = np.maximum(norm[:, None] + norm - 2 * both @ both.T, 0.0)
    kernel = np.exp(-squared / np.median(squared[np.triu_indices(len(both), 1)]))
    np.fill_diagonal(kernel, 0.0)
    n, m = len(observed), len(synthetic)
    rng = np.random.default_rng(seed)
    member = np.zeros((n_permutations + 1, n + m))
    member[0, :n] = 1
    for row in member[1:]:
        row[rng.permutation(n + m)[:n]] = 1
    inside, total = member @ kernel, kernel.sum()
    xx = np.einsum("ij,ij->i", inside, member)
    xy = inside.sum(1) - xx
    yy = total - xx - 2 * xy
    values = xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)
    return float(values[0]), float((1 + np.sum(values[1:] >= values[0])) / (1 + n_permutations))


def sliced_wasserstein(observed, synthetic, *, n_projections=200, seed=0):
    """Sliced Wasserstein distance of order 2, a feature, in units of the spread of the synthetic features (POT)."""
    ot = import_extra("ot", "metrics", "pot")
    x, y = scaled(observed, synthetic)
    return float(ot.sliced_wasserstein_distance(x, y, n_projections=n_projections, seed=seed))


def gap_metrics(observed, synthetic, *, seed=0, n_resamples=20, n_synthetic=1000):
    """Every measure of the gap between two samples, with its error: DataFrame of metric, value, error and p.

    Errors are the spread over random halves of both samples: half of a sample, drawn without replacement, varies about
    the whole as the whole does about the population, and unlike a bootstrap it holds no vector twice, which would look
    like two that are close.

    Arguments
    ---------
    observed : (n, n_features);  synthetic : (m, n_features)
    n_synthetic : how many of the synthetic ones are taken at random; the nearest distance takes all

    Source: Politis & Romano (1994, Ann. Statist. 22, 2031) for subsampling.
    """
    import pandas as pd

    rng = np.random.default_rng([seed, 13])
    some = synthetic[np.sort(rng.permutation(len(synthetic))[:n_synthetic])]
    p_value = {}

    def mmd(x, y, n_permutations=1):
        value, p = mean_discrepancy(x, y, n_permutations=n_permutations, seed=seed)
        p_value["MMD^2"] = p
        return value

    nearest = nearest_distance(observed, synthetic)
    rows = [("nearest distance", nearest.mean(), nearest.std() / np.sqrt(len(nearest)), np.nan)]
    for name, measure in (("AUC", domain_auc), ("MMD^2", mmd), ("sliced Wasserstein", sliced_wasserstein)):
        halves = [
            measure(*(part[rng.permutation(len(part))[: len(part) // 2]] for part in (observed, some)))
            for _ in range(n_resamples)
        ]
        value = mmd(observed, some, 500) if measure is mmd else measure(observed, some)
        rows.append((name, value, np.std(halves), p_value.get(name, np.nan)))
    return pd.DataFrame(rows, columns=["metric", "value", "error", "p"])
