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
    "map_of",
    "mean_discrepancy",
    "nearest_distance",
    "scaled",
    "sliced_wasserstein",
    "umap_map",
]


def _nearest(observed, synthetic, chunk=64):
    """Row of the nearest synthetic vector and its distance, for each observed vector: (n_observed,) each."""
    index, distance = np.zeros(len(observed), int), np.zeros(len(observed))
    for start in range(0, len(observed), chunk):
        rows = slice(start, start + chunk)
        all_distances = cdist(observed[rows], synthetic)
        index[rows], distance[rows] = all_distances.argmin(1), all_distances.min(1)
    return index, distance


def nearest_distance(observed, synthetic, chunk=64):
    """Euclidean distance from each observed vector to the nearest synthetic one.

    The paper finds means of 2.72 in flux space (section 2) and 0.086 in latent space (section 3.2).

    Parameters
    ----------
    observed : array of shape (n_observed, n_features)
    synthetic : array of shape (n_synthetic, n_features)
    chunk : int
        Observed vectors per distance matrix, to limit memory.

    Returns
    -------
    array of shape (n_observed,)
    """
    return _nearest(observed, synthetic, chunk)[1]


def best_match(observed, synthetic):
    r"""Nearest synthetic spectrum of each observed one, and the rms residual.

    .. math:: r_i = \min_j \|x_i - s_j\| / \sqrt{D}

    with D pixels.

    Parameters
    ----------
    observed : array of shape (n_observed, n_pixels)
    synthetic : array of shape (n_synthetic, n_pixels)

    Returns
    -------
    index : int array of shape (n_observed,)
        Rows of ``synthetic``.
    rms : array of shape (n_observed,)
    """
    index, distance = _nearest(np.atleast_2d(observed), synthetic)
    return index, distance / np.sqrt(np.shape(synthetic)[1])


def umap_map(synthetic, observed, config, *, metric, seed=0):
    """Two-dimensional UMAP of both domains together, for figures only.

    UMAP differs between machines even with a seed, so no result depends on the map.

    Parameters
    ----------
    synthetic, observed : arrays of shape (n, n_features)
    config : UmapConfig
    metric : str
        ``correlation`` for fluxes as in the paper, ``euclidean`` for latents.
    seed : int

    Returns
    -------
    synthetic_map : array of shape (n_drawn, 2)
    observed_map : array of shape (n_observed, 2)
    rows : int array of shape (n_drawn,)
        Rows of ``synthetic`` that were drawn.
    """
    rng = np.random.default_rng([seed, 11])
    rows = np.sort(rng.permutation(len(synthetic))[: config.n_synthetic])
    both = np.concatenate([synthetic[rows], observed])
    neighbours = min(config.n_neighbors, len(both) - 1)
    position = map_of(both, n_neighbors=neighbours, min_dist=config.min_dist, metric=metric, seed=seed)
    return position[: len(rows)], position[len(rows) :], rows


def map_of(features, *, n_neighbors, min_dist, metric="euclidean", seed=0):
    """Two-dimensional UMAP of one sample, for figures only.

    It starts from the first two principal components: UMAP's own start takes no seed.

    Parameters
    ----------
    features : array of shape (n, n_features)
    n_neighbors : int
    min_dist : float
    metric : str
        ``correlation`` or ``euclidean``.
    seed : int

    Returns
    -------
    array of shape (n, 2)
    """
    from sklearn.decomposition import PCA

    umap = machine.load_umap()
    start = PCA(2, svd_solver="randomized", random_state=seed).fit_transform(features)
    start = (10 * start / np.abs(start).max()).astype(np.float32)
    if metric == "correlation":  # the same distances as umap-learn's own, from one matrix product
        features, metric = np.clip(1 - np.corrcoef(features), 0, None).astype(np.float32), "precomputed"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that a seed costs parallelism
        model = umap.UMAP(
            n_neighbors=n_neighbors, min_dist=min_dist, metric=metric, init=start, random_state=seed, n_jobs=1
        )
        return model.fit_transform(features)


# ---------------------------------------------------------------- how far two samples are apart


def scaled(observed, synthetic):
    """Standardise both samples by mean and spread of the synthetic features, without features that do not vary."""
    centre, spread = synthetic.mean(0), synthetic.std(0)
    live = spread > 1e-4 * spread.max()
    return (observed[:, live] - centre[live]) / spread[live], (synthetic[:, live] - centre[live]) / spread[live]


def domain_auc(observed, synthetic, *, seed=0, folds=5):
    """Cross-validated area under the ROC curve of a classifier of the two domains; 0.5 if they are indistinguishable.

    The classifier is a logistic regression on up to 32 principal components of both samples together, so that only
    differences larger than the spread of the spectra count.

    Parameters
    ----------
    observed : array of shape (n, n_features)
    synthetic : array of shape (m, n_features)
    seed, folds : int

    Returns
    -------
    float
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    both = np.concatenate(scaled(observed, synthetic))
    domain = np.repeat([1, 0], [len(observed), len(synthetic)])
    components = PCA(min(32, *both.shape), random_state=seed).fit_transform(both)  # of both domains
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    score = cross_val_predict(model, components, domain, cv=split, method="decision_function")
    return float(roc_auc_score(domain, score))


def mean_discrepancy(observed, synthetic, *, n_permutations=500, seed=0):
    r"""Unbiased squared maximum mean discrepancy and its p-value.

    .. math:: \mathrm{MMD}^2 = E\,k(x, x') + E\,k(y, y') - 2 E\,k(x, y)

    with a Gaussian kernel k whose width is the median distance.

    Parameters
    ----------
    observed : array of shape (n, n_features)
    synthetic : array of shape (m, n_features)
    n_permutations, seed : int

    Returns
    -------
    mmd : float
        MMD^2.
    p : float
        Share of random permutations of the two samples with at least this MMD^2.

    References
    ----------
    Gretton et al. (2012, JMLR 13, 723).
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
    """All measures of the gap between two samples, with errors.

    Errors are the spread over random halves of both samples. A half drawn without replacement varies about the full
    sample as the full sample does about the population. Unlike a bootstrap sample it has no duplicates, which would
    count as close pairs.

    Parameters
    ----------
    observed : array of shape (n, n_features)
    synthetic : array of shape (m, n_features)
    seed, n_resamples : int
    n_synthetic : int
        Size of a random subset of the synthetic sample; the nearest distance uses the full sample.

    Returns
    -------
    DataFrame
        metric, value, error and p.

    References
    ----------
    Politis & Romano (1994, Ann. Statist. 22, 2031) for subsampling.
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
