"""Packed trees predict what LightGBM's text predicts, and damaged ones are refused."""

import numpy as np
import pytest
from safetensors.numpy import load, save

from estimator_toys import data
from xtalshift.errors import ModelFormatError
from xtalshift.estimators import ForestRegressor, LightGBMRegressor
from xtalshift.estimators.packed_trees import pack_trees, unpack_trees
from xtalshift.estimators.tree_sum import TreeSum

LOSS = "regression_l1"
X, Y = data(200)
TREES = LightGBMRegressor(n_estimators=150, num_leaves=7, random_state=0).fit(X, Y).trees_
PACKED = pack_trees(TREES)
BEGIN, _, BODY = PACKED.tobytes().partition(b"\n")


def changed(**arrays):
    """Return packed trees with other arrays."""
    body = save({**load(BODY), **arrays})
    return np.frombuffer(BEGIN + b"\n" + body, dtype=np.uint8)


def test_predictions_keep_their_bits():
    found = unpack_trees("booster", PACKED, LOSS)
    rows = np.vstack([X, 3 * X, np.full_like(X[:1], np.nan)])
    np.testing.assert_array_equal(found.walk(rows, 1), TREES.walk(rows, 1))
    np.testing.assert_array_equal(found.predict(rows[:5], 1), TREES.walk(rows[:5], 1))


def test_they_are_a_small_part_of_the_text():
    assert len(PACKED) < len(TREES.text) / 5


def test_packing_again_gives_the_same_bytes():
    again = unpack_trees("booster", PACKED, LOSS)
    assert pack_trees(again).tobytes() == PACKED.tobytes()
    assert pack_trees(TreeSum(again.text)).tobytes() == PACKED.tobytes()


def test_texts_of_earlier_versions_are_read():
    text = np.frombuffer(TREES.text.encode(), dtype=np.uint8)
    found = unpack_trees("booster", text, LOSS)
    np.testing.assert_array_equal(found.walk(X, 1), TREES.walk(X, 1))


def test_trees_of_one_leaf_and_of_a_forest_are_packed():
    for model in (
        LightGBMRegressor(n_estimators=2).fit(X[:20], np.ones(20)),
        ForestRegressor(n_estimators=3, random_state=0).fit(X, Y),
    ):
        trees = model.trees_
        found = unpack_trees("booster", pack_trees(trees), trees.trees.objective)
        np.testing.assert_array_equal(found.walk(X, 1), trees.walk(X, 1))


@pytest.mark.parametrize(
    "arrays",
    [
        {"place": np.zeros(3, dtype=np.uint8)},
        {"place": load(BODY)["place"].astype(np.int16) + 200},
        {"feature": np.full_like(load(BODY)["feature"], 99)},
        {"feature": load(BODY)["feature"].astype(np.float64)},
        {"n_features": np.array([7], dtype=np.uint8)},
        {"n_leaves": np.zeros_like(load(BODY)["n_leaves"])},
        {"n_thresholds": load(BODY)["n_thresholds"][::-1].copy()},
        {"value": load(BODY)["value"][1:]},
        {"other": np.zeros(1)},
    ],
)
def test_arrays_that_are_no_trees_are_refused(arrays):
    with pytest.raises(ModelFormatError, match="'booster' are not those of trees"):
        unpack_trees("booster", changed(**arrays), LOSS)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"left": np.zeros_like(load(BODY)["left"])}, "child"),
        ({"value": load(BODY)["value"] * np.nan}, "leaf is not finite"),
        ({"threshold": load(BODY)["threshold"] * np.nan}, "threshold is not finite"),
        ({"decision": load(BODY)["decision"] + 1}, "unknown type"),
    ],
)
def test_trees_that_lead_nowhere_are_refused(arrays, message):
    with pytest.raises(ModelFormatError, match=message):
        unpack_trees("booster", changed(**arrays), LOSS)


def test_bytes_that_hold_no_arrays_and_another_loss_are_refused():
    with pytest.raises(ModelFormatError, match="has no trees"):
        unpack_trees("booster", PACKED[:-5], LOSS)
    with pytest.raises(ModelFormatError, match="another loss than 'huber'"):
        unpack_trees("booster", PACKED, "huber")
