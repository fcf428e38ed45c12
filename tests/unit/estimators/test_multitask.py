"""Networks of several targets: the loss of known values, parts, and the network of one target."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone

from xtalshift.errors import ConfigError, DataError
from xtalshift.estimators import IRNetRegressor, MultiTaskRegressor
from xtalshift.estimators.saved import SavedRegressor
from xtalshift.methods import METHODS, MethodSettings, build_method
from xtalshift.nn.multitask import MultiTaskIRNet, MultiTaskTraining, TargetRows
from xtalshift.nn.settings import ERMConfig

SETTINGS = {
    "architecture": (32, 16), "epochs": 30, "batch_size": 32, "learning_rate": 1e-2,
    "random_state": 0, "device": "cpu",
}  # fmt: skip


def table(n=240, seed=0):
    """Return features and three targets of different units that share what tells them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    shared = np.sin(X[:, 0]) + X[:, 1] * X[:, 2] / 2
    Y = np.column_stack([shared, 200 + 50 * shared + 10 * X[:, 3], 1e-3 * (X[:, 3] - shared)])
    return X, Y


def state_of(regressor):
    return {name: np.asarray(value) for name, value in regressor._get_state().items()}


def test_one_target_is_the_network_of_one_target_to_the_bit():
    X, Y = table()
    alone = IRNetRegressor(**SETTINGS).fit(X, Y[:, 0])
    flat = MultiTaskRegressor(**SETTINGS).fit(X, Y[:, 0])
    matrix = MultiTaskRegressor(**SETTINGS).fit(X, Y[:, :1])
    np.testing.assert_array_equal(flat.predict(X), alone.predict(X))
    assert matrix.predict(X).shape == (240, 1)
    for one in (flat, matrix.parts_[0]):
        assert state_of(one).keys() == state_of(alone).keys()
        for name, value in state_of(alone).items():
            np.testing.assert_array_equal(state_of(one)[name], value, err_msg=name)
    assert flat.parts_ == ()


def test_it_learns_all_targets_from_rows_that_lack_some():
    X, Y = table()
    known = Y.copy()
    known[np.random.default_rng(1).random(Y.shape) < 0.4] = np.nan
    model = MultiTaskRegressor(**SETTINGS).fit(X, known)
    new, truth = table(seed=9)
    found = model.predict(new)
    assert found.shape == truth.shape
    error = np.abs(found - truth).mean(axis=0)
    dummy = np.abs(np.nanmean(known, axis=0) - truth).mean(axis=0)
    assert (error < 0.5 * dummy).all()
    # the same from the parts, which are of one target each
    for column, part in enumerate(model.parts_):
        assert type(part) is IRNetRegressor
        np.testing.assert_array_equal(part.predict(new), found[:, column])
        assert part.target_mean_ == pytest.approx(np.nanmean(known[:, column]), rel=0.2, abs=1e-3)


def test_what_is_not_known_does_not_matter():
    net = MultiTaskIRNet(4, (8,), 0.0, torch.Generator().manual_seed(0), 2)
    x, y = torch.randn(6, 4), torch.randn(2, 6)
    known = torch.tensor([[1.0, 1, 0, 1, 0, 1], [0.0, 1, 1, 1, 1, 0]])
    losses = []
    for filled in (y, torch.where(known > 0, y, 99.0)):
        rows = TargetRows(x, filled, known)
        training = MultiTaskTraining(net, rows, ERMConfig(), torch.Generator())
        losses.append(training.loss(torch.arange(6), 0).detach())
    assert torch.equal(*losses)


def test_the_loss_is_the_sum_of_the_mean_losses_of_known_values():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 4)), rng.normal(size=(3, 12))
    known = rng.random((3, 12)) < 0.6
    net = MultiTaskIRNet(4, (8,), 0.0, torch.Generator().manual_seed(0), 3).double()
    rows = TargetRows(
        torch.tensor(X), torch.tensor(np.where(known, y, 0.0)), torch.tensor(known * 1.0)
    )
    training = MultiTaskTraining(net, rows, ERMConfig(), torch.Generator().manual_seed(0))
    batch = torch.tensor([1, 3, 4, 7, 10])
    outputs = net(rows.x).detach().numpy()
    expected = 0.0
    for target in range(3):
        losses = []
        for row in batch.tolist():
            if known[target, row]:
                error = abs(outputs[target, row] - y[target, row])
                losses.append(error**2 / 2 if error < 1 else error - 0.5)
        expected += np.mean(losses)
    assert float(training.loss(batch, 0).detach()) == pytest.approx(expected, rel=1e-12)
    errors = [np.abs(outputs[t] - y[t])[known[t]].mean() for t in range(3)]
    found = training.selection_error(rows, 0, np.inf)
    assert float(found) == pytest.approx(np.mean(errors), rel=1e-12)


def test_the_trunk_starts_as_that_of_one_target():
    draw = [torch.Generator().manual_seed(4) for _ in range(2)]
    one, three = (MultiTaskIRNet(5, (8, 4), 0.1, g, t) for g, t in zip(draw, (1, 3), strict=True))
    for name, value in one.named_parameters():
        if not name.startswith("head."):
            assert torch.equal(value, dict(three.named_parameters())[name])
    assert three(torch.zeros(7, 5)).shape == (3, 7)


def test_validation_rows_and_weights_are_used():
    X, Y = table()
    model = MultiTaskRegressor(**SETTINGS)
    given = clone(model).fit(X[:200], Y[:200], X_val=X[200:], y_val=Y[200:])
    scale = [part.target_scale_ for part in given.parts_]
    found = np.abs(given.predict(X[200:]) - Y[200:]).mean(axis=0) / scale
    best = min(record["val_mae"] for record in given.history_)
    assert found.mean() == pytest.approx(best, rel=1e-5)
    # a row of weight 0 is as if it were not there
    weights = (np.arange(200) < 120).astype(float)
    last = {"X_val": X[200:], "y_val": Y[200:]}
    weighted = clone(model).fit(X[:200], Y[:200], sample_weight=weights, **last)
    kept = clone(model).fit(X[:120], Y[:120], **last)
    for one, other in zip(weighted.parts_, kept.parts_, strict=True):
        assert one.target_mean_ == pytest.approx(other.target_mean_, rel=1e-12)
        assert one.target_scale_ == pytest.approx(other.target_scale_, rel=1e-12)
    np.testing.assert_allclose(weighted.predict(X), kept.predict(X), rtol=0.05, atol=0.1)


def test_a_part_is_saved_and_the_whole_is_not():
    X, Y = table(60)
    model = MultiTaskRegressor(**{**SETTINGS, "epochs": 2}).fit(X, Y)
    assert "saved by its parts_" in model.unsaved
    part = model.parts_[1]
    assert part.unsaved == ""
    again = SavedRegressor.of(part).make("cpu")
    again._set_state(state_of(part))
    np.testing.assert_array_equal(again.predict(X), part.predict(X))


def test_bad_targets_are_refused():
    X, Y = table(40)
    model = MultiTaskRegressor(**{**SETTINGS, "epochs": 1})
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, Y[:-1])
    with pytest.raises(ValueError, match="infinity"):
        model.fit(X, np.where(Y > 200, np.inf, Y))
    empty = Y.copy()
    empty[:, 2] = np.nan
    with pytest.raises(DataError, match="target 3 of 3 has no value"):
        model.fit(X, empty)
    with pytest.raises(ValueError, match=r"expected \(targets, 2\)"):
        TargetRows(torch.zeros(2, 3), torch.zeros(2, 3))
    ensemble = MethodSettings.from_dict({"network": {"n_members": 3}})
    with pytest.raises(ConfigError, match="cannot be an ensemble"):
        build_method("multi-task", ensemble, seed=0)


def test_its_control_is_the_same_network_of_one_target():
    assert METHODS["multi-task"].joint
    assert METHODS["multi-task"].control == "erm"
    assert [name for name in METHODS if METHODS[name].joint] == ["multi-task"]
