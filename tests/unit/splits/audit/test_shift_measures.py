"""Measures of shift against values known beforehand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from reference.delong import slow_delong
from xtalshift.splits.audit.shift_measures import (
    _effective_share,
    delong,
    distance_ratio,
    nearest,
    residual_test,
    sample,
    target_shift,
    two_sample,
)

scores = st.lists(st.integers(0, 6).map(float), min_size=2, max_size=12)


def normal(n, centre=0.0, seed=0):
    points = np.random.default_rng(seed).normal(size=(n, 4))
    points[:, 0] += centre
    return points


@pytest.mark.parametrize(("is_test", "share"), [([0, 1], 0.1), ([0, 0, 1, 1], 1.0)])
def test_the_effective_share_where_all_trees_agree(is_test, share):
    votes = np.resize([0.0, 1.0], 10 * len(is_test))  # far apart, or without any relation
    sides = np.resize(is_test, len(votes)).astype(bool)
    assert _effective_share(votes, sides) == pytest.approx(share)


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


# the residual test


def rows(n, seed, centre=0.0):
    """Return points of five features and targets of one function of them, with noise."""
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(n, 5))
    X[:, 0] += centre
    return X, X[:, 0] + np.sin(2 * X[:, 1]) + 0.3 * generator.normal(size=n)


def test_random_rows_are_not_shifted():
    found = []
    for seed in range(8):
        X, y = rows(400, seed)
        found.append(residual_test(X[100:], y[100:], X[:100], y[:100], seed=seed))
    assert all(test.tested for test in found)
    assert max(abs(test.shift) for test in found) < 0.5
    assert sum(test.p_value < 0.05 for test in found) <= 2
    assert np.mean([test.share_supported for test in found]) > 0.85


def test_another_function_is_found():
    X, y = rows(600, 0)
    new_X, new_y = rows(200, 1)
    found = residual_test(X, y, new_X, new_y - y.std(), seed=0)
    assert found.tested
    assert found.reason == ""
    assert found.shift < -0.5
    assert found.p_value < 1e-6
    assert found == residual_test(X, y, new_X, new_y - y.std(), seed=0)


def test_other_materials_of_the_same_function_are_not():
    X, y = rows(1000, 0)
    found = residual_test(X, y, *rows(200, 1, centre=1.0), seed=0)
    assert found.tested
    assert abs(found.shift) < 0.5


def test_samples():
    X, y = rows(300, 0)
    found = residual_test(X, y, *rows(200, 1), n_max=100, seed=0)
    assert found.tested
    assert found.n_supported <= 100


def test_too_few_rows():
    X, y = rows(50, 0)
    found = residual_test(X, y, X[:19], y[:19], seed=0)
    assert found[:4] == (
        False,
        "50 training and 19 test formulas with a target; at least 20 of each are needed",
        0,
        0.0,
    )
    assert math.isnan(found.shift)
    assert math.isnan(found.p_value)


def test_too_few_supported_rows():
    X, y = rows(100, 0)
    far = X[:30].copy()
    far[:25] += 100.0
    found = residual_test(X, y, far, y[:30], seed=0)
    assert not found.tested
    assert found.n_supported == 5
    assert found.share_supported == 5 / 30
    assert found.reason == (
        "5 of 30 test formulas have training formulas nearby, and 5 training formulas are "
        "nearest to these; at least 20 of each are needed"
    )


def test_many_test_rows_near_one_training_row():
    X, y = rows(100, 0)
    found = residual_test(X, y, np.tile(X[:1], (30, 1)), np.full(30, y[0]), seed=0)
    assert not found.tested
    assert "30 of 30 test formulas have training formulas nearby, and 1 " in found.reason


def test_constant_targets():
    X, _ = rows(100, 0)
    found = residual_test(X, np.full(100, 0.1), X[:30], np.full(30, 0.1), seed=0)
    assert found.reason == "the 30 training residuals nearby are all the same"
    assert (found.tested, found.n_supported) == (False, 30)
