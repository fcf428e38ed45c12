"""Pretraining on several tables: scales, masks, and what is learned."""

import numpy as np
import pytest
import torch

from xtalshift.errors import TrainingError, UsageError
from xtalshift.nn.pretraining import masked_loss, pretrain, scale_targets
from xtalshift.nn.settings import PretrainSettings

SMALL = {"widths": (32, 16), "size": 8, "batch_size": 64, "epochs": 30, "weight_decay": 0.0}


def toy_problem(n=600, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4)).astype(np.float32)
    y = np.stack([X[:, 0] + X[:, 1] ** 2, np.sin(2 * X[:, 2])], axis=1)
    y[rng.random(n) < 0.5, 0] = np.nan
    return X, y.astype(float), rng.random(n) < 0.2


def test_both_scales_have_median_0_and_mean_deviation_1_on_the_training_rows():
    y = np.exp(np.random.default_rng(0).normal(size=500))
    y[::7], y[3] = np.nan, 1e9
    train = np.arange(500) % 5 > 0
    train[3] = False
    Z = scale_targets(y, train)
    assert Z.shape == (500, 2)
    np.testing.assert_array_equal(np.isnan(Z).all(axis=1), np.isnan(y))
    used = Z[train & np.isfinite(y)]
    np.testing.assert_allclose(np.median(used, axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.abs(used).mean(axis=0), 1, rtol=0.05)  # some are clipped
    assert Z[3].tolist() == [10.0, 10.0]
    known = y[train & np.isfinite(y)]
    size = np.quantile(known, 0.1)
    by_hand = np.arcsinh(known / size)
    by_hand = (by_hand - np.median(by_hand)) / np.abs(by_hand - np.median(by_hand)).mean()
    np.testing.assert_allclose(used[:, 1], by_hand)


def test_the_scale_of_a_table_of_zeros_and_one_number_is_finite():
    assert np.isfinite(scale_targets(np.array([0.0, 0.0, 0.0, 2.0]), np.ones(4, bool))).all()
    assert scale_targets(np.zeros(3), np.ones(3, bool)).tolist() == [[0, 0]] * 3


def test_the_loss_is_the_weighted_mean_of_known_errors():
    rng = np.random.default_rng(1)
    predictions, targets = rng.normal(size=(2, 5, 3)) * 3
    weights = rng.random((5, 3)) * (rng.random((5, 3)) > 0.4)
    total = share = 0.0
    for i in range(5):
        for j in range(3):
            error = abs(predictions[i, j] - targets[i, j])
            total += weights[i, j] * (error**2 / 2 if error < 1 else error - 0.5)
            share += weights[i, j]
    found = masked_loss(*map(torch.from_numpy, (predictions, targets, weights)))
    assert float(found) == pytest.approx(total / share, rel=1e-12)
    assert float(masked_loss(torch.ones(2, 1), torch.zeros(2, 1), torch.zeros(2, 1))) == 0


def test_it_learns_all_targets_and_says_how_well():
    X, y, held_out = toy_problem()
    settings = PretrainSettings(**{**SMALL, "epochs": 80, "learning_rate": 1e-2})
    found = pretrain(X, y, held_out, settings, seed=0)
    assert (found.errors < 0.3).all()
    assert {name: value.shape for name, value in found.parameters.items()} == {
        "first.weight": (4, 32), "first.bias": (32,), "second.weight": (32, 16),
        "second.bias": (16,), "output.weight": (16, 8), "output.bias": (8,),
    }  # fmt: skip
    assert all(value.dtype == np.float16 for value in found.parameters.values())


def test_the_same_seed_gives_the_same_encoder_and_held_out_targets_do_not_matter():
    X, y, held_out = toy_problem()
    settings = PretrainSettings(**{**SMALL, "epochs": 2})
    one = pretrain(X, y, held_out, settings, seed=3).parameters
    changed = y.copy()
    changed[held_out] = -5.0
    two = pretrain(X, changed, held_out, settings, seed=3)
    for name, value in one.items():
        np.testing.assert_array_equal(value, two.parameters[name])
    other = pretrain(X, y, held_out, settings, seed=4).parameters
    assert not np.array_equal(one["first.weight"], other["first.weight"])


def test_without_held_out_rows_the_errors_are_unknown():
    X, y, _ = toy_problem(100)
    settings = PretrainSettings(**{**SMALL, "epochs": 1})
    assert np.isnan(pretrain(X, y, np.zeros(100, bool), settings, seed=0).errors).all()


def test_a_training_that_diverges_says_so():
    X, y, held_out = toy_problem(100)
    settings = PretrainSettings(**{**SMALL, "learning_rate": 1e30})
    with pytest.raises(TrainingError, match="use a smaller learning_rate"):
        pretrain(X, y, held_out, settings, seed=0)


def test_wrong_widths_are_refused():
    with pytest.raises(UsageError, match="every width must be from 1"):
        PretrainSettings.from_dict({"widths": (0, 8)})
