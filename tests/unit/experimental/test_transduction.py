"""Bilinear transduction: anchors, extrapolation, selection."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from estimator_toys import data, held_out
from xtalshift.errors import ConfigError
from xtalshift.estimators import ForestRegressor, classical
from xtalshift.experimental import transduction
from xtalshift.experimental.transduction import (
    Anchors,
    BilinearNetwork,
    BilinearTransductionRegressor,
)

QUICK = {"widths": (32, 32), "embedding": 8, "batch_size": 64, "device": "cpu", "random_state": 0}
SMALL = BilinearTransductionRegressor(
    epochs=12, steps=25, differences=256, learning_rate=5e-3, **QUICK
)
BRIEF = BilinearTransductionRegressor(epochs=3, steps=4, candidates=20, differences=50, **QUICK)


@pytest.mark.parametrize("product", [False, True])
def test_extrapolates_a_bilinear_function_where_trees_cannot(product):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(500, 4))
    far = np.column_stack([rng.uniform(1.1, 1.6, 200), rng.uniform(-1, 1, size=(200, 3))])

    def truth(rows):
        return 100 + 40 * rows[:, 0] * (1 + 0.5 * rows[:, 1] if product else 1)

    model = BilinearTransductionRegressor(epochs=20, learning_rate=5e-3, **QUICK)
    found = model.fit(X, truth(X)).predict(far)
    trees = ForestRegressor(n_estimators=50, random_state=0).fit(X, truth(X)).predict(far)
    errors = [np.abs(prediction - truth(far)).mean() for prediction in (found, trees)]
    assert errors[0] < 0.2 * errors[1]
    assert found.max() > truth(X).max()


def test_anchors_are_those_whose_difference_is_most_like_one_seen():
    rng = np.random.default_rng(1)
    X, queries = rng.normal(size=(50, 5)), 2 * rng.normal(size=(30, 5))
    # not differences of the same rows, of which some tie
    anchors = Anchors(X, rng.normal(size=(70, 5)))
    nearest = anchors.nearest(queries, 6)
    for query, found in zip(queries, nearest, strict=True):
        gaps = (query - anchors.rows)[:, None] - anchors.differences
        distance = np.linalg.norm(gaps, axis=2).min(axis=1)
        np.testing.assert_array_equal(found, np.argsort(distance)[:6])


def test_equally_good_anchors_are_taken_in_their_order_whatever_the_rounding():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(12, 7))
    every = np.array([a - b for a in X for b in X])
    anchors = Anchors(X, every)  # every difference of a training row was seen: all are equal
    np.testing.assert_array_equal(anchors.nearest(X, 5), np.tile(np.arange(5), (12, 1)))


def test_candidates_are_distinct_rows_and_differences_are_those_of_rows():
    X = np.arange(30.0)[:, None] ** 2
    anchors = Anchors.draw(X, 20, 100, np.random.default_rng(0))
    assert len(np.unique(anchors.rows)) == 20
    assert set(anchors.rows[:, 0]) <= set(X[:, 0])
    assert set(anchors.differences[:, 0]) <= set(np.subtract.outer(X[:, 0], X[:, 0]).ravel())
    assert len(anchors.differences) == 100
    assert len(Anchors.draw(X, 50, 10, np.random.default_rng(0)).rows) == 30


def test_the_network_is_the_mean_product_of_its_two_embeddings():
    network = BilinearNetwork(3, (5, 4), 2, torch.Generator().manual_seed(0)).double()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(7, 3, dtype=torch.float64, generator=generator)
    anchors = torch.randn(7, 2, 3, dtype=torch.float64, generator=generator)
    expected = torch.zeros(7, dtype=torch.float64)
    for m in range(2):
        f, g = network.difference(x - anchors[:, m]), network.anchor(anchors[:, m])
        expected += torch.einsum("nk,nk->n", f, g) / 2
    together = torch.cat([x, anchors.reshape(7, 6)], dim=1)
    torch.testing.assert_close(network(together), expected)
    assert [layer.in_features for layer in network.anchor[::2]] == [3, 5, 4]


def test_learns_in_the_unit_of_the_target():
    X, y = data(240)
    fitted = clone(SMALL).fit(X[:200], y[:200])
    error = np.abs(fitted.predict(X[200:]) - y[200:]).mean()
    assert error < 0.5 * np.abs(y[200:] - y[:200].mean()).mean()
    larger = clone(SMALL).fit(X[:200], 1024 * y[:200]).predict(X[200:])
    np.testing.assert_allclose(larger, 1024 * fitted.predict(X[200:]), rtol=1e-9)


def test_one_row_predicts_as_in_a_batch_and_in_blocks(monkeypatch):
    X, y = data(60)
    fitted = clone(BRIEF).fit(X, y)
    whole = fitted.predict(X)
    alone = np.array([fitted.predict(X[i : i + 1])[0] for i in range(len(X))])
    np.testing.assert_allclose(alone, whole, rtol=1e-9)
    monkeypatch.setattr(classical, "PIECE_ROWS", 7)
    monkeypatch.setattr(transduction, "PREDICT_PAIRS", 50)
    np.testing.assert_allclose(fitted.predict(X), whole, rtol=1e-9)


def test_validation_rows_choose_the_epoch():
    X, y = data(80)
    model = clone(SMALL).fit(X[:60], y[:60], **held_out(X, y))
    errors = [record["val_mae"] for record in model.history_]
    assert len(errors) == 12
    assert model.best_epoch_ == int(np.argmin(errors))
    found = np.abs(model.predict(X[60:]) - y[60:]).mean()
    assert found == pytest.approx(min(errors), rel=1e-4)  # by the same transduction


def test_only_so_many_validation_rows_are_scored(monkeypatch):
    X, y = data(80)
    seen = []
    monkeypatch.setattr(transduction, "VALIDATION_ROWS", 8)
    monkeypatch.setattr(
        transduction, "run_training", lambda training, rows, **_: seen.append(rows) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        clone(BRIEF).fit(X[:60], y[:60], **held_out(X, y))
    assert seen[0].x.shape == (8, 21 * 6)  # each row and its 20 anchors


def test_a_row_of_weight_0_is_no_row_and_weights_move_the_fit():
    X, y = data(60)
    spoiled = y.copy()
    spoiled[40:] = 1e6
    weights = np.where(np.arange(60) < 40, 1.0, 0.0)
    weighted = clone(BRIEF).fit(X, spoiled, weights, **held_out(X, y))
    without = clone(BRIEF).fit(X[:40], y[:40], weights[:40], **held_out(X, y))
    np.testing.assert_array_equal(weighted.predict(X), without.predict(X))
    two = (np.arange(80) % 2)[:, None].astype(float)
    y = np.where(np.arange(80) < 40, 0.0, 1.0)
    weights = np.where(np.arange(80) < 40, 1.0, 9.0)
    # least smooth L1: the slope 0.1 of one side against 0.9 (1 - p) / 0.3 of the other
    target = np.full(80, 1 - 0.1 / 3)
    model = clone(SMALL).fit(two, y, weights, X_val=two, y_val=target)
    np.testing.assert_allclose(model.predict(two[:2]), target[:2], atol=0.02)


@pytest.mark.parametrize(("cap", "used"), [(None, 60), (25, 25), (1000, 60)])
def test_cap_on_rows_and_fewer_candidates_than_anchors(cap, used):
    X, y = data(80)
    model = clone(BRIEF).set_params(max_rows=cap, candidates=9)
    model.fit(X[:60], y[:60], **held_out(X, y))
    assert model.n_rows_used_ == used
    assert model.anchors_.rows.shape == (9, 6)
    assert model.n_anchors_ == 9
    assert model.n_clipped(X + 100).tolist() == [6] * 80


def test_wrong_settings_are_named():
    X, y = data(20)
    wrong = {
        "steps": (0, "steps = 0; expected at least 1"),
        "n_anchors": (0, "n_anchors = 0; expected at least 1"),
        "widths": ((8, 0), "every width must be at least 1"),
        "learning_rate": (0.0, "learning_rate = 0"),
        "weight_decay": (-1.0, "weight_decay = -1"),
        "device": ("gpu7", "device 'gpu7'"),
    }
    for name, (value, message) in wrong.items():
        with pytest.raises(ConfigError, match=message):
            clone(BRIEF).set_params(**{name: value}).fit(X, y)
