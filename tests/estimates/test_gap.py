"""Measures of the domain gap: nearest neighbours against scikit-learn, and the map's bookkeeping."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from dtl_core.config import UmapConfig
from dtl_core.estimates import gap


@pytest.mark.parametrize(("n_observed", "chunk"), [(1, 64), (64, 64), (65, 64), (30, 7)])
def test_nearest_distance_agrees_with_scikit_learn(n_observed, chunk):
    rng = np.random.default_rng(n_observed)
    observed, synthetic = rng.normal(size=(n_observed, 32)), rng.normal(size=(200, 32))
    oracle = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(synthetic).kneighbors(observed)[0][:, 0]
    found = gap.nearest_distance(observed, synthetic, chunk)
    assert found.shape == (n_observed,)
    np.testing.assert_allclose(found, oracle, rtol=1e-9)


def test_distance_within_one_set_is_zero_and_from_elsewhere_is_not():
    rows = np.random.default_rng(0).normal(size=(90, 5)).astype(np.float32)
    np.testing.assert_array_equal(gap.nearest_distance(rows, rows[::-1]), 0)
    np.testing.assert_allclose(gap.nearest_distance(rows[:1] + 100, rows[:1]), 100 * np.sqrt(5), rtol=1e-5)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.floats(0.01, 100), st.integers(1, 30))
def test_distance_scales_ignores_a_common_shift_and_falls_with_more_neighbours(seed, scale, n):
    rng = np.random.default_rng(seed)
    observed, synthetic = rng.normal(size=(6, 4)), rng.normal(size=(31, 4))
    distance = gap.nearest_distance(observed, synthetic)
    np.testing.assert_allclose(gap.nearest_distance(scale * observed, scale * synthetic), scale * distance, rtol=1e-9)
    np.testing.assert_allclose(gap.nearest_distance(observed + 3, synthetic + 3), distance, rtol=1e-9)
    assert np.all(gap.nearest_distance(observed, synthetic[:n]) >= distance)


@pytest.mark.slow
@pytest.mark.parametrize(("n_drawn", "expected"), [(25, 25), (4000, 60)])
def test_map_has_a_place_for_every_star_and_names_the_rows_drawn(n_drawn, expected):
    rng = np.random.default_rng(1)
    family = np.repeat([[0.0], [50.0]], 30, axis=0)  # two families far apart
    synthetic = rng.normal(size=(60, 6)) + family
    observed = rng.normal(size=(9, 6))
    config = UmapConfig(n_neighbors=8, n_synthetic=n_drawn)
    drawn, stars, rows = gap.umap_map(synthetic, observed, config, metric="euclidean")
    assert drawn.shape == (expected, 2) and stars.shape == (9, 2) and len(rows) == expected
    assert np.array_equal(rows, np.unique(rows)) and rows.max() < 60
    assert np.all(np.isfinite(drawn)) and np.all(np.isfinite(stars))
    # rows index the input: points of the first family lie together, with the stars, away from the second
    first, second = drawn[rows < 30], drawn[rows >= 30]
    nearer = gap.nearest_distance(stars, first) < gap.nearest_distance(stars, second)
    assert nearer.all()
    own = gap.nearest_distance(second, first).min()
    assert own > np.median(gap.nearest_distance(stars, first))


def test_map_of_a_few_spectra_takes_fewer_neighbours():
    rng = np.random.default_rng(2)
    config = UmapConfig(n_neighbors=15, n_synthetic=8)
    drawn, stars, rows = gap.umap_map(rng.random((10, 40)), rng.random((4, 40)), config, metric="correlation", seed=3)
    assert drawn.shape == (8, 2) and stars.shape == (4, 2) and len(rows) == 8


def samples(seed, shift=0.0, n=(150, 300), features=6):
    """Observed and synthetic vectors from one distribution, the observed moved by ``shift`` in each feature."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n[0], features)) + shift, rng.normal(size=(n[1], features))


def discrepancy(observed, synthetic, n_permutations=5):
    return gap.mean_discrepancy(observed, synthetic, n_permutations=n_permutations)[0]


@pytest.mark.parametrize("measure", [gap.domain_auc, discrepancy, gap.sliced_wasserstein])
def test_measures_grow_with_the_shift_and_do_not_care_for_units(measure):
    values = [measure(*samples(0, shift)) for shift in (0.0, 0.3, 1.0, 3.0)]
    assert all(a < b + 1e-9 for a, b in zip(values, values[1:], strict=False)) and values[-1] > 1.5 * values[0]
    observed, synthetic = samples(0, 0.3)
    unit = np.array([1.0, 10.0, 0.1, 5.0, 100.0, 2.0])
    assert measure(7 + unit * observed, 7 + unit * synthetic) == pytest.approx(values[1], rel=1e-3)


def test_a_classifier_can_tell_nothing_of_one_distribution_and_everything_of_two():
    assert np.mean([gap.domain_auc(*samples(seed)) for seed in range(8)]) == pytest.approx(0.5, abs=0.04)
    # two Gaussians d apart along one axis after whitening: the best AUC is Phi(|d| / sqrt 2)
    from scipy.stats import norm

    expected = norm.cdf(0.5 * np.sqrt(6) / np.sqrt(2))
    assert np.mean([gap.domain_auc(*samples(seed, 0.5)) for seed in range(8)]) == pytest.approx(expected, abs=0.03)


def test_units_that_never_vary_do_not_count():
    observed, synthetic = samples(0, 0.5)
    dead = [np.column_stack([part, np.zeros(len(part))]) for part in (observed, synthetic)]
    woken = np.column_stack([observed, np.full(len(observed), 50.0)]), dead[1]
    for measure in (gap.domain_auc, gap.sliced_wasserstein, discrepancy):
        assert measure(*dead) == pytest.approx(measure(observed, synthetic), rel=1e-6)
        assert measure(*woken) == measure(*dead)


def test_the_mean_discrepancy_is_unbiased_and_its_p_value_uniform_without_a_shift():
    found = [gap.mean_discrepancy(*samples(seed, n=(40, 60)), n_permutations=99, seed=seed) for seed in range(60)]
    value, p = np.array(found).T
    assert abs(value.mean()) < 3 * value.std() / np.sqrt(60)
    assert 0.35 < p.mean() < 0.65 and p.min() < 0.15 and p.max() > 0.85
    assert gap.mean_discrepancy(*samples(0, 1.0), n_permutations=99)[1] == pytest.approx(0.01)


def test_the_mean_discrepancy_is_its_definition():
    observed, synthetic = samples(3, 0.4, n=(12, 15))
    x, y = gap.scaled(observed, synthetic)
    both = np.concatenate([x, y])
    squared = ((both[:, None] - both) ** 2).sum(2)
    kernel = np.exp(-squared / np.median(squared[np.triu_indices(27, 1)]))
    mean = [np.mean([kernel[i, j] for i in a for j in b if i != j]) for a, b in
            ((range(12), range(12)), (range(12, 27), range(12, 27)), (range(12), range(12, 27)))]  # fmt: skip
    assert discrepancy(observed, synthetic, 5) == pytest.approx(mean[0] + mean[1] - 2 * mean[2])


@pytest.mark.slow
def test_the_sliced_distance_of_a_shift_is_the_shifts_length_over_the_root_of_the_features():
    synthetic = np.random.default_rng(0).normal(size=(500, 8))
    shift = np.linspace(0, 2, 8)
    expected = np.sqrt((shift / synthetic.std(0)) ** 2 @ np.ones(8) / 8)
    found = gap.sliced_wasserstein(synthetic + shift, synthetic, n_projections=4000)
    assert found == pytest.approx(expected, rel=0.03)


def test_all_metrics_come_with_errors():
    table = gap.gap_metrics(*samples(0, 0.7), n_resamples=6, n_synthetic=100).set_index("metric")
    assert list(table.index) == ["nearest distance", "AUC", "MMD^2", "sliced Wasserstein"]
    assert (table["error"] > 0).all() and (table["error"] < 0.5 * table["value"]).all()
    assert table.loc["MMD^2", "p"] < 0.01 and table.drop("MMD^2")["p"].isna().all()
