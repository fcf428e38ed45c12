"""Measures of shift against values known beforehand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from reference.delong import slow_delong
from xtalshift.splits.audit.shift_measures import (
    delong,
    distance_ratio,
    nearest,
    sample,
    standardise,
    target_shift,
    two_sample,
)

scores = st.lists(st.integers(0, 6).map(float), min_size=2, max_size=12)


def normal(n, centre=0.0, seed=0):
    points = np.random.default_rng(seed).normal(size=(n, 4))
    points[:, 0] += centre
    return points


class TestStandardise:
    def test_by_training_rows_without_constant_columns(self):
        train = np.array([[1.0, 5.0, 0.1, np.nan], [3.0, 5.0, 0.1, np.nan], [np.nan, 5.0, 0.1, 1]])
        other = np.array([[4.0, 9.0, 0.2, 2.0]])
        scaled, others = standardise(train, other)
        np.testing.assert_allclose(scaled, [[-1.0], [1.0], [0.0]])
        np.testing.assert_allclose(others, [[2.0]])

    def test_one_column_of_zeros_is_left(self):
        (scaled,) = standardise(np.full((3, 2), 7.0))
        np.testing.assert_array_equal(scaled, np.zeros((3, 1)))


class TestDistances:
    def test_sample(self):
        np.testing.assert_array_equal(sample(4, 4, 0), [0, 1, 2, 3])
        drawn = sample(1000, 10, 3)
        assert len(set(drawn.tolist())) == 10
        assert drawn.tolist() == sorted(drawn) == sample(1000, 10, 3).tolist()

    def test_nearest_against_all_pairs(self):
        points, references = normal(30), normal(50, seed=1)
        distances, numbers = nearest(points, references)
        table = cdist(points, references)
        np.testing.assert_allclose(distances, table.min(axis=1))
        np.testing.assert_array_equal(numbers, table.argmin(axis=1))

    def test_a_point_is_not_its_own_neighbour(self):
        # the first two coincide: whichever the search returns first
        points = np.array([[0.0], [0.0], [3.0]])
        distances, numbers = nearest(points, points, np.arange(3))
        np.testing.assert_array_equal(distances, [0.0, 0.0, 3.0])
        assert numbers[:2].tolist() == [1, 0]

    def test_ratio(self):
        # training points 1 apart, test points 2 from the last one; sd of 0..4 is sqrt(2)
        train = np.arange(5.0)[:, None]
        found = distance_ratio(train, np.array([[6.0], [6.0]]), seed=0)
        np.testing.assert_allclose(found, [2 / math.sqrt(2), 1 / math.sqrt(2), 2.0])

    def test_coinciding_training_points(self):
        train = np.array([[0.0], [0.0], [1.0], [1.0]])
        assert distance_ratio(train, np.array([[0.0]]), seed=0) == (0.0, 0.0, 1.0)
        assert distance_ratio(train, np.array([[0.5]]), seed=0) == (1.0, 0.0, math.inf)

    def test_one_training_point(self):
        found = distance_ratio(np.zeros((1, 2)), np.ones((3, 2)), seed=0)
        assert math.isnan(found.median_train)
        assert math.isnan(found.ratio)

    def test_samples_tell_the_same(self):
        train, test = normal(4000), normal(2000, centre=3.0, seed=1)
        whole = distance_ratio(train, test, seed=0).ratio
        assert whole > 1.5
        part = distance_ratio(train, test, n_queries=500, n_references=2000, seed=0).ratio
        assert part == pytest.approx(whole, rel=0.15)


class TestDelong:
    @given(scores, scores)
    def test_against_all_pairs(self, positive, negative):
        found = delong(np.array(positive), np.array(negative))
        assert found == pytest.approx(slow_delong(positive, negative), abs=1e-12)

    def test_by_hand(self):
        # placements of 2 and 4 among 1 and 3: 1/2 and 1; of 1 and 3: 1 and 1/2
        assert delong(np.array([2.0, 4.0]), np.array([1.0, 3.0])) == (0.75, 0.125)


class TestTwoSample:
    def test_known_normal_shift(self):
        # one standard deviation: area Phi(1 / sqrt 2) = 0.760, effective share exp(-1) = 0.368
        found = two_sample(normal(2000), normal(2000, 1.0, seed=1), seed=0)
        assert found.auc == pytest.approx(0.760, abs=0.03)
        assert found.ess_share == pytest.approx(0.368, abs=0.08)
        assert found.low < found.auc < found.high
        assert (found.n_train, found.n_test) == (2000, 2000)
        assert found == two_sample(normal(2000), normal(2000, 1.0, seed=1), seed=0)

    def test_effective_size_is_that_of_all_training_points(self):
        found = two_sample(normal(400), normal(60, seed=1), n_max=100, seed=0)
        assert (found.n_train, found.n_test) == (100, 60)
        assert found.ess == pytest.approx(400 * found.ess_share)

    def test_no_overlap(self):
        found = two_sample(normal(200), normal(200, 40.0, seed=1), seed=0)
        assert found[:3] == (1.0, 1.0, 1.0)
        assert found.ess_share == 1 / 200

    def test_a_column_that_is_constant_in_training_tells(self):
        train, test = normal(100), normal(100, seed=1)
        train[:, 3], test[:, 3] = 0.0, 1.0
        assert two_sample(train, test, seed=0).auc > 0.99

    def test_the_interval_covers_one_half_on_random_halves(self):
        points = normal(240, seed=5)
        covered, shares = 0, []
        for seed in range(10):
            order = np.random.default_rng(seed).permutation(240)
            found = two_sample(points[order[40:]], points[order[:40]], seed=seed)
            covered += found.low <= 0.5 <= found.high
            shares.append(found.ess_share)
        assert covered >= 9
        assert np.mean(shares) > 0.9

    def test_points_that_are_all_the_same(self):
        found = two_sample(np.ones((20, 2)), np.ones((15, 2)), seed=0)
        assert found.ess_share == pytest.approx(1.0)
        assert found.low <= 0.5 <= found.high


class TestTargets:
    def test_a_constant_added(self):
        # sd of 0..4 is sqrt(2)
        y = np.arange(5.0)
        wasserstein, ks = target_shift(y, y + 1)
        assert wasserstein == pytest.approx(1 / math.sqrt(2))
        assert ks == pytest.approx(0.2)
        assert target_shift(y, y) == (0.0, 0.0)

    def test_constant_training_targets(self):
        assert target_shift(np.ones(3), np.ones(2)) == (0.0, 0.0)
        assert target_shift(np.ones(3), np.zeros(2)) == (math.inf, 1.0)
