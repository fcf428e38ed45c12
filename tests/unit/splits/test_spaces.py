"""Schemes that look at features: clusters, sparse regions, the rim, likeness to a target domain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xtalshift.errors import SplitError
from xtalshift.splits import (
    FarthestPointSplit,
    LOCOSplit,
    PropensitySplit,
    SparseXSplit,
    SparseYSplit,
)
from xtalshift.splits.clusters import cluster_points
from xtalshift.splits.space import isolation

# three clumps of 6, 5 and 3 points far from each other, and a lone point
CLUMPS = np.vstack(
    [
        [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]],
        [[50, 0], [50, 1], [51, 0], [51, 1], [52, 0]],
        [[0, 80], [0, 81], [1, 80]],
        [[90, 90]],
    ]
).astype(float)


def rows_by_fold(splitter, X=CLUMPS, y=None, groups=None):
    return [(fold.name, fold.test.tolist()) for fold in splitter.folds(X, y, groups)]


class TestLOCO:
    @pytest.mark.parametrize("method", ["kmeans", "agglomerative"])
    def test_the_clumps_largest_first(self, method):
        assert rows_by_fold(LOCOSplit(4, method)) == [
            ("cluster 0", [0, 1, 2, 3, 4, 5]),
            ("cluster 1", [6, 7, 8, 9, 10]),
            ("cluster 2", [11, 12, 13]),
            ("cluster 3", [14]),
        ]

    def test_a_formula_is_one_point(self):
        # the second row of "far" lies with the first clump, their mean between the clumps
        groups = [f"g{row:02}" for row in range(14)] + ["far"]
        X = np.vstack([CLUMPS, [[89, 91]]])
        names = [*groups, "far"]
        assert rows_by_fold(LOCOSplit(4), X, None, names)[3] == ("cluster 3", [14, 15])

    @pytest.mark.parametrize(
        ("splitter", "message"),
        [
            (LOCOSplit(16), "16 clusters of formulas in 15 different places; choose at most 15"),
            (LOCOSplit(1), "n_clusters = 1; expected at least 2"),
            (LOCOSplit(3, "dbscan"), "method = 'dbscan'; expected one of kmeans, agglomerative"),
        ],
    )
    def test_impossible_requests_say_what_is_possible(self, splitter, message):
        with pytest.raises(SplitError, match=message):
            list(splitter.folds(CLUMPS))

    def test_agglomerative_clusters_of_too_many_points_are_refused_at_once(self):
        with pytest.raises(SplitError, match=r"20,001 formulas .* limited to 20,000.*kmeans"):
            cluster_points(np.arange(20_001.0)[:, None], 3, "agglomerative")

    def test_no_features(self):
        with pytest.raises(SplitError, match=r"pass X of shape \(n, d\)"):
            list(LOCOSplit(2).folds(np.zeros(5)))


class TestSparse:
    def test_the_most_isolated_formula_of_each_cluster(self):
        splitter = SparseXSplit("single", 3, n_candidates=4, n_neighbors=2)
        # by distance to their two neighbours: the lone point, then the ends of the clumps
        sparseness = isolation(CLUMPS / CLUMPS.std(axis=0), 2)
        assert np.argsort(-sparseness, kind="stable")[0] == 14
        found = rows_by_fold(splitter)
        assert found[0] == ("around 14", [14])
        assert [len(rows) for _, rows in found] == [1, 1, 1]
        assert len({name for name, _ in found}) == 3

    def test_a_cluster_adds_the_nearest_others(self):
        single = rows_by_fold(SparseXSplit("single", 3, n_candidates=4, n_neighbors=2))
        found = rows_by_fold(SparseXSplit("cluster", 3, 2, n_candidates=4, n_neighbors=2))
        points = (CLUMPS - CLUMPS.mean(axis=0)) / CLUMPS.std(axis=0)
        for (name, (row,)), (other, rows) in zip(single, found, strict=True):
            assert name == other
            near = np.argsort(np.linalg.norm(points - points[row], axis=1), kind="stable")[:3]
            assert rows == sorted(near.tolist())

    def test_sparse_targets_are_the_gaps(self):
        y = np.array([*np.arange(10) / 10, 7.0, 20.0, 20.1, 20.2, 20.3])
        found = rows_by_fold(SparseYSplit("single", 2, n_candidates=2, n_neighbors=2), y=y)
        assert found[0] == ("around 10", [10])
        assert len(found) == 2

    @pytest.mark.parametrize(
        ("splitter", "message"),
        [
            (SparseXSplit(n_folds=16), "16 sparse materials of 15 formulas; choose n_folds from 1"),
            (SparseXSplit("pair", 3), "size = 'pair'; expected one of single, cluster"),
            (SparseXSplit("cluster", 3, 15, n_neighbors=2), "n_others = 15; expected 1 to 14"),
            (SparseXSplit("single", 3, n_neighbors=15), "15 distinct formulas have no 15 neighb"),
            (SparseYSplit("single", 3), "looks at the targets: pass y"),
        ],
    )
    def test_impossible_requests_say_what_is_possible(self, splitter, message):
        with pytest.raises(SplitError, match=message):
            list(splitter.folds(CLUMPS))


class TestFarthest:
    def test_regions_around_the_farthest_points(self):
        # in standardised features the lone corner is farthest from the mean; from there the
        # first clump, from both of them the third
        found = rows_by_fold(FarthestPointSplit(0.2, 3))
        assert found[1:] == [("around 0", [0, 1, 2]), ("around 12", [11, 12, 13])]
        points = CLUMPS / CLUMPS.std(axis=0)
        near = np.argsort(np.linalg.norm(points - points[14], axis=1))[:3]
        assert found[0] == ("around 14", sorted(near.tolist()))
        assert rows_by_fold(FarthestPointSplit(0.01)) == [("around 14", [14])]

    def test_too_many_regions(self):
        with pytest.raises(SplitError, match="16 regions of 15 formulas; choose n_folds from 1"):
            list(FarthestPointSplit(0.1, 16).folds(CLUMPS))


class TestPropensity:
    def test_the_rows_most_like_the_candidates(self):
        candidates = np.array([[52, 1], [52, 2], [53, 0], [53, 1], [51, -1], [54, 0]], float)
        splitter = PropensitySplit(candidates, share=0.2, random_state=0)
        # a linear model: the lone point lies on the side of the candidates, beyond them
        assert rows_by_fold(splitter) == [("", [8, 10, 14])]

    def test_flagged_rows_stand_out(self):
        flags = np.arange(15) < 6
        ((_, rows),) = rows_by_fold(PropensitySplit(flags=flags, share=0.34))
        assert set(rows) <= set(range(6))

    @pytest.mark.parametrize(
        ("settings_", "message"),
        [
            ({}, "declared by the features of its materials or by flags"),
            ({"flags": np.arange(15) < 3}, "3 materials inside the target domain; at least 5"),
            ({"flags": np.ones(15)}, "0 materials outside the target domain; at least 5"),
            ({"candidates": np.zeros((9, 3))}, r"candidates has the shape \(9, 3\), X has 2"),
        ],
    )
    def test_impossible_requests_say_what_is_possible(self, settings_, message):
        with pytest.raises(SplitError, match=message):
            list(PropensitySplit(**settings_).folds(CLUMPS))


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
