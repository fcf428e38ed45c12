"""Trees as the bytes of small arrays: a tenth of LightGBM's text, with all bits of a prediction.

A node compares its feature with one of the few different thresholds of that feature, so its number
is enough. LightGBM's text repeats the thresholds and has gains, weights and counts, which only a
training needs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from xtalshift.errors import ModelFormatError
from xtalshift.estimators.lightgbm_text import TreeTable, check_trees, read_trees
from xtalshift.estimators.tree_sum import TreeSum
from xtalshift.saved_arrays import read_text

Bytes = NDArray[np.uint8]
IntArray = NDArray[np.int64]

_BEGIN = b"packed trees of "
"""What the bytes begin with, followed by the loss in LightGBM's words; a text begins otherwise."""
_WHOLE = ("n_features", "n_leaves", "feature", "n_thresholds", "place", "decision", "left", "right")
_REAL = ("threshold", "value")


def pack_trees(trees: TreeSum) -> Bytes:
    """Return trees as bytes, from which `unpack_trees` makes trees with the same predictions."""
    table = trees.trees
    order = np.lexsort((table.threshold, table.feature))
    feature, threshold = table.feature[order], table.threshold[order]
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (feature[1:] != feature[:-1]) | (threshold[1:] != threshold[:-1])
    counts = np.bincount(feature[new], minlength=table.n_features)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.cumsum(new) - 1
    place -= (np.cumsum(counts) - counts)[table.feature]
    whole: dict[str, IntArray] = {
        "n_features": np.array([table.n_features]),
        "n_leaves": table.n_leaves,
        "feature": table.feature,
        "n_thresholds": counts,
        "place": place,
        "decision": table.decision,
        "left": table.left,
        "right": table.right,
    }
    real = {"threshold": threshold[new], "value": table.value}
    body = save({**{name: _narrow(values) for name, values in whole.items()}, **real})
    begin = _BEGIN + table.objective.encode() + b"\n"
    return np.frombuffer(begin + body, dtype=np.uint8)


def unpack_trees(name: str, data: Bytes, objective: str, *, at_once: int = 100) -> TreeSum:
    """Return the trees of an array of a saved model, after a check.

    Parameters
    ----------
    name : str
        Name of the array, for messages.
    data : ndarray of uint8
        As `pack_trees` returned it, or LightGBM's text in UTF-8, as earlier versions saved it.
    objective : str
        Loss that the trees must have been grown for.
    at_once : int
        See `TreeSum`.

    Raises
    ------
    ModelFormatError
        If they are no trees, see `read_trees`.
    """
    raw = data.tobytes()
    if not raw.startswith(_BEGIN):
        text = read_text(name, data)
        return TreeSum(text, read_trees(text, objective), at_once)
    begin, _, body = raw.partition(b"\n")
    if begin != _BEGIN + objective.encode():
        raise ModelFormatError(f"the array {name!r} has trees of another loss than {objective!r}")
    try:
        arrays = load(body)
    except (SafetensorError, ValueError) as error:
        raise ModelFormatError(f"the array {name!r} has no trees: {error}") from error
    table = _table(name, arrays, objective)
    check_trees(table)
    return TreeSum(None, table, at_once)


def _table(name: str, arrays: dict[str, NDArray[np.generic]], objective: str) -> TreeTable:
    """Return the trees of arrays whose types, lengths and places are checked."""
    wanted = dict.fromkeys(_WHOLE, "iu") | dict.fromkeys(_REAL, "f")
    fault = ModelFormatError(f"the arrays in {name!r} are not those of trees")
    if arrays.keys() != wanted.keys() or any(
        arrays[part].ndim != 1 or arrays[part].dtype.kind not in kind
        for part, kind in wanted.items()
    ):
        raise fault
    whole = {part: arrays[part].astype(np.int64) for part in _WHOLE}
    threshold, value = (arrays[part].astype(np.float64) for part in _REAL)
    feature, counts, n_leaves = whole["feature"], whole["n_thresholds"], whole["n_leaves"]
    nodes = int(n_leaves.sum() - len(n_leaves))
    if (
        whole["n_features"].tolist() != [len(counts)]
        or not len(n_leaves)
        or min(n_leaves.min(), counts.min(initial=0)) < 0
        or n_leaves.min() < 1
        or int(counts.sum()) != len(threshold)
        or int(n_leaves.sum()) != len(value)
        or any(len(whole[part]) != nodes for part in _WHOLE[2:] if part != "n_thresholds")
        or (nodes and not 0 <= feature.min() <= feature.max() < len(counts))
        or ((whole["place"] < 0) | (whole["place"] >= counts[feature])).any()
    ):
        raise fault
    starts = np.cumsum(counts) - counts
    return TreeTable(
        n_features=len(counts),
        n_leaves=n_leaves,
        feature=feature,
        threshold=threshold[starts[feature] + whole["place"]],
        decision=whole["decision"],
        left=whole["left"],
        right=whole["right"],
        value=value,
        objective=objective,
    )


def _narrow(values: IntArray) -> NDArray[np.generic]:
    """Return whole numbers in the smallest type that holds them."""
    if not len(values):
        return values.astype(np.uint8)
    low = int(values.min())
    kinds = (np.int8, np.int16, np.int32) if low < 0 else (np.uint8, np.uint16, np.uint32)
    for kind in kinds:
        if np.iinfo(kind).min <= low and int(values.max()) <= np.iinfo(kind).max:
            return values.astype(kind)
    return values
