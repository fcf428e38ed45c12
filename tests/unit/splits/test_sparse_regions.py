"""Sparse regions: the most isolated formulas, with their neighbours, and the rim."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.isolation import most_isolated
from split_toys import CLUMPS, clump_folds, rows_of
from xtalshift.errors import SplitError
from xtalshift.splits import (
    CovariateSplit,
    FarthestPointSplit,
    SparseXSplit,
    SparseYSplit,
)
from xtalshift.splits.feature_space import isolation


class TestCovariate:
    grid = np.array([[i, j] for i in range(5) for j in range(5)], dtype=float)

    def test_an_obvious_outlier_is_held_out(self):
        points = np.vstack([self.grid[:12], [[60.0, -40.0]], self.grid[12:]])
        splitter = CovariateSplit(share=1 / 26, n_neighbors=3, n_components=2)
        assert rows_of(splitter, None, None, points) == [12]

    def test_polymorphs_do_not_hide_an_outlier(self):
        points = np.vstack([self.grid, np.tile([[60.0, -40.0]], (4, 1))])
        groups = [f"g{i:02}" for i in range(25)] + ["far"] * 4
        splitter = CovariateSplit(share=4 / 29, n_neighbors=3, n_components=2)
        assert rows_of(splitter, None, groups, points) == [25, 26, 27, 28]
        # without groups the four are each other's neighbours, at distance 0
        assert not set(rows_of(splitter, None, None, points)) & {25, 26, 27, 28}

    @settings(max_examples=40)
    @given(st.integers(6, 40), st.integers(1, 4), st.integers(0, 10**6), st.floats(0.05, 0.9))
    def test_brute_force_agrees(self, n_rows, n_neighbors, seed, share):
        generator = np.random.default_rng(seed)
        points = generator.normal(size=(n_rows, 2)) * [1.0, 100.0]
        groups = [f"g{i}" for i in generator.integers(0, n_rows, n_rows)]
        groups[: n_neighbors + 1] = [f"g{i}" for i in range(n_neighbors + 1)]
        expected = most_isolated(points.tolist(), groups, share, n_neighbors)
        if expected == set(groups):
            return
        splitter = CovariateSplit(share, n_neighbors, n_components=2)
        rows = rows_of(splitter, None, groups, points)
        assert {groups[row] for row in rows} == expected

    def test_missing_and_constant_features_do_not_count(self):
        points = np.column_stack([self.grid, np.full(25, np.nan), np.full(25, 3.0)])
        points[7, 0] = np.nan
        points[20, 1] = 50.0
        splitter = CovariateSplit(share=1 / 25, n_neighbors=3)
        assert rows_of(splitter, None, None, points) == [20]

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (
                {"n_neighbors": 25},
                "25 distinct formulas do not have 25 neigh.* most 24",
            ),
            ({"n_neighbors": 0}, "at least 1 and at most 24"),
            ({"n_components": 0}, "n_components = 0; expected at least 1"),
            ({"embedding": "tsne"}, "embedding = 'tsne'; expected pca or umap"),
            ({"share": 1.0}, r"share of test rows is 1\.0; expected a number between 0 and 1"),
        ],
    )
    def test_wrong_settings(self, settings, message):
        with pytest.raises(SplitError, match=message):
            CovariateSplit(**settings).held_out(self.grid)

    def test_features_without_distances(self):
        with pytest.raises(SplitError, match="every formula has the same features as others"):
            CovariateSplit().held_out(np.ones((20, 3)))
        points = self.grid.copy()
        points[3, 1] = np.inf
        with pytest.raises(SplitError, match=r"X\[3, 1\] is infinite"):
            CovariateSplit().held_out(points)


class TestSparse:
    def test_the_most_isolated_formula_of_each_cluster(self):
        splitter = SparseXSplit("single", 3, n_candidates=4, n_neighbors=2)
        # by distance to their two neighbours: the lone point, then the ends of the clumps
        sparseness = isolation(CLUMPS / CLUMPS.std(axis=0), 2)
        assert np.argsort(-sparseness, kind="stable")[0] == 14
        found = clump_folds(splitter)
        assert found[0] == ("around 14", [14])
        assert [len(rows) for _, rows in found] == [1, 1, 1]
        assert len({name for name, _ in found}) == 3

    def test_a_cluster_adds_the_nearest_others(self):
        single = clump_folds(SparseXSplit("single", 3, n_candidates=4, n_neighbors=2))
        found = clump_folds(SparseXSplit("cluster", 3, 2, n_candidates=4, n_neighbors=2))
        points = (CLUMPS - CLUMPS.mean(axis=0)) / CLUMPS.std(axis=0)
        for (name, (row,)), (other, rows) in zip(single, found, strict=True):
            assert name == other
            near = np.argsort(np.linalg.norm(points - points[row], axis=1), kind="stable")[:3]
            assert rows == sorted(near.tolist())

    def test_sparse_targets_are_the_gaps(self):
        y = np.array([*np.arange(10) / 10, 7.0, 20.0, 20.1, 20.2, 20.3])
        found = clump_folds(SparseYSplit("single", 2, n_candidates=2, n_neighbors=2), y=y)
        assert found[0] == ("around 10", [10])
        assert len(found) == 2

    @pytest.mark.parametrize(
        ("splitter", "message"),
        [
            (SparseXSplit(n_folds=16), "16 sparse materials of 15 formulas; choose n_folds from 1"),
            (SparseXSplit("pair", 3), "size = 'pair'; expected one of single, cluster"),
            (SparseXSplit("cluster", 3, 15, n_neighbors=2), "n_others = 15; expected 1 to 14"),
            (SparseXSplit("single", 3, n_neighbors=15), "15 distinct formulas do not have 15 n"),
            (SparseYSplit("single", 3), "uses the targets: pass y"),
        ],
    )
    def test_impossible_requests_say_what_is_possible(self, splitter, message):
        with pytest.raises(SplitError, match=message):
            list(splitter.folds(CLUMPS))


class TestFarthest:
    def test_regions_around_the_farthest_points(self):
        # in standardised features the lone corner is farthest from the mean; from there the
        # first clump, from both of them the third
        found = clump_folds(FarthestPointSplit(0.2, 3))
        assert found[1:] == [("around 0", [0, 1, 2]), ("around 12", [11, 12, 13])]
        points = CLUMPS / CLUMPS.std(axis=0)
        near = np.argsort(np.linalg.norm(points - points[14], axis=1))[:3]
        assert found[0] == ("around 14", sorted(near.tolist()))
        assert clump_folds(FarthestPointSplit(0.01)) == [("around 14", [14])]

    def test_too_many_regions(self):
        with pytest.raises(SplitError, match="16 regions of 15 formulas; choose n_folds from 1"):
            list(FarthestPointSplit(0.1, 16).folds(CLUMPS))
