import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn import metrics

from xtalshift.errors import DataError
from xtalshift.metrics import regression_scores

numbers = st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=30), numbers)
def test_scores_are_those_of_scikit_learn(pairs, train_mean):
    y, z = np.array(pairs).T
    scores = regression_scores(y, z, train_mean=train_mean)
    assert scores.n == len(y)
    assert scores.mae == pytest.approx(metrics.mean_absolute_error(y, z))
    assert scores.rmse == pytest.approx(metrics.root_mean_squared_error(y, z))
    if np.ptp(y) > 1e-3:
        assert scores.r2 == pytest.approx(metrics.r2_score(y, z))
    dummy = metrics.mean_absolute_error(y, np.full(len(y), train_mean))
    if dummy > 1e-3:
        assert scores.mae_over_dummy == pytest.approx(scores.mae / dummy)
        dummy_rmse = metrics.root_mean_squared_error(y, np.full(len(y), train_mean))
        assert scores.rmse_over_dummy == pytest.approx(scores.rmse / dummy_rmse)
    if np.ptp(y) > 0 and np.ptp(z) > 0:
        assert scores.spearman == pytest.approx(spearmanr(y, z).statistic, abs=1e-12)


def test_the_dummy_itself_scores_one():
    scores = regression_scores([1.0, 2.0, 6.0], [4.0, 4.0, 4.0], train_mean=4.0)
    assert scores.mae_over_dummy == scores.rmse_over_dummy == 1.0
    assert math.isnan(scores.spearman)  # a constant has no order
    assert scores.mae == pytest.approx(7 / 3)
    assert scores.r2 == pytest.approx(1 - 17 / 14)


def test_targets_that_do_not_vary_have_no_r2():
    # their mean is 0.10000000000000002: a spread of rounding errors is no spread
    scores = regression_scores([0.1] * 3, [0.2] * 3, train_mean=float(np.mean([0.1] * 3)))
    assert scores.mae == pytest.approx(0.1)
    assert math.isnan(scores.r2)
    assert math.isnan(scores.mae_over_dummy)
    assert math.isnan(scores.spearman)
    assert math.isnan(scores.rmse_over_dummy)


def test_the_fields_that_records_hold():
    scores = regression_scores([0.0, 4.0], [0.0, 2.0], train_mean=0.0)
    assert scores._asdict() == {
        "n": 2,
        "mae": 1.0,
        "rmse": pytest.approx(math.sqrt(2)),
        "r2": 0.5,
        "mae_over_dummy": 0.5,
        "spearman": pytest.approx(1.0, abs=1e-15),
        "rmse_over_dummy": 0.5,
    }
    # the skill of the docstring is R2 where the dummy knows the mean of the rows
    scores = regression_scores([0.0, 4.0, 5.0], [0.0, 2.0, 9.0], train_mean=3.0)
    assert 1 - scores.rmse_over_dummy**2 == pytest.approx(scores.r2)


def test_integers_and_lists_will_do():
    assert regression_scores([1, 2], (1, 4), train_mean=0)[:3] == (2, 1.0, math.sqrt(2))


@pytest.mark.parametrize(
    ("targets", "predictions", "train_mean", "message"),
    [
        ([1.0, 2.0], [1.0], 0.0, r"y\.shape=\(2,\) and z\.shape=\(1,\): expected equal lengths"),
        ([], [], 0.0, "expected equal lengths above 0"),
        ([[1.0]], [1.0], 0.0, r"targets has shape \(1, 1\); expected \(n,\)"),
        ([1.0], 1.0, 0.0, r"predictions has shape \(\); expected \(n,\)"),
        ([1.0, math.nan], [1.0, 1.0], 0.0, r"targets\[1\] is nan"),
        ([1.0, 2.0], [math.inf, 1.0], 0.0, r"predictions\[0\] is inf"),
        ([1.0, 2.0], [1.0, 1.0], math.nan, "train_mean=nan"),
    ],
)
def test_what_cannot_be_scored_is_refused(targets, predictions, train_mean, message):
    with pytest.raises(DataError, match=message):
        regression_scores(targets, predictions, train_mean=train_mean)


def test_targets_too_small_to_square_have_no_r2():
    scores = regression_scores([0.0, 1e-293], [0.0, 0.0], train_mean=0.0)
    assert math.isnan(scores.r2)
    assert math.isnan(scores.rmse_over_dummy)
    assert scores.mae_over_dummy == 1.0
