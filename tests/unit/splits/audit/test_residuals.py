"""Relation shift: found where the function changes, and only there."""

import math

import numpy as np

from xtalshift.splits.audit.residuals import residual_test


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
        "5 of 30 test formulas have training formulas about them, and 5 training formulas are "
        "nearest to these; at least 20 of each are needed"
    )


def test_many_test_rows_near_one_training_row():
    X, y = rows(100, 0)
    found = residual_test(X, y, np.tile(X[:1], (30, 1)), np.full(30, y[0]), seed=0)
    assert not found.tested
    assert "30 of 30 test formulas have training formulas about them, and 1 " in found.reason


def test_constant_targets():
    X, _ = rows(100, 0)
    found = residual_test(X, np.full(100, 0.1), X[:30], np.full(30, 0.1), seed=0)
    assert found.reason == "the 30 training residuals nearby are all the same"
    assert (found.tested, found.n_supported) == (False, 30)
