"""Measures of the domain gap: nearest neighbours against scikit-learn, and the map's bookkeeping."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from dtl_core import gap
from dtl_core.config import UmapConfig


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
