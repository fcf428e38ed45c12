"""Distances, embeddings and clusters of formulas."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from split_toys import rows_of
from xtalshift.errors import SplitError
from xtalshift.splits import (
    CovariateSplit,
)
from xtalshift.splits.feature_space import cluster_points, embed, isolation


@settings(max_examples=50)
@given(st.integers(3, 40), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_isolation_is_the_mean_distance_to_the_nearest_others(n_points, n_neighbors, seed):
    points = np.random.default_rng(seed).integers(0, 6, (n_points, 2)).astype(float)  # with doubles
    if n_neighbors >= n_points or not np.ptp(points, axis=0).any():
        return
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = np.sort(distances, axis=1)[:, :n_neighbors]
    if not nearest.any():
        return
    np.testing.assert_allclose(isolation(points, n_neighbors), nearest.mean(axis=1), atol=1e-8)


def test_agglomerative_clusters_of_too_many_points_are_refused_at_once():
    with pytest.raises(SplitError, match=r"20,001 formulas .* limited to 20,000.*kmeans"):
        cluster_points(np.arange(20_001.0)[:, None], 3, "agglomerative")


@pytest.mark.parametrize(("n_components", "shape"), [(2, (5, 2)), (9, (5, 3))])
def test_features_that_never_vary_give_zeros_of_the_usual_shape(n_components, shape):
    np.testing.assert_array_equal(embed(np.full((5, 3), 4.0), n_components), np.zeros(shape))


def test_umap_is_called_with_the_seed_on_one_thread(monkeypatch):
    made = []

    class FakeUMAP:
        def __init__(self, **settings):
            made.append(settings)

        def fit_transform(self, points):
            np.testing.assert_allclose(points.std(axis=0), 1.0)
            return points[:, :2].astype(np.float32)

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=FakeUMAP))
    points = np.random.default_rng(0).normal(size=(12, 3))
    found = embed(points, 2, embedding="umap", random_state=3)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, ((points - points.mean(0)) / points.std(0))[:, :2], rtol=1e-6)
    splitter = CovariateSplit(0.25, 3, n_components=2, embedding="umap", random_state=3)
    assert len(rows_of(splitter, None, None, points)) == 3
    assert made == [{"n_neighbors": 11, "n_components": 2, "random_state": 3, "n_jobs": 1}] * 2
    assert "2 UMAP dimensions" in splitter.describe()


@pytest.mark.long  # umap compiles itself for half a minute
@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")
def test_umap_finds_the_same_outliers_twice():
    pytest.importorskip("umap")
    points = np.random.default_rng(0).normal(size=(12, 3))
    first, second = (embed(points, 2, embedding="umap", random_state=3) for _ in range(2))
    assert first.shape == (12, 2)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, second)
    splitter = CovariateSplit(0.25, 3, n_components=2, embedding="umap", random_state=3)
    assert len(rows_of(splitter, None, None, points)) == 3


def test_umap_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(SplitError, match=r"pip install xtalshift\[umap\]"):
        embed(np.eye(5), 2, embedding="umap")
