"""LightGBM's text format: checked before the library reads it, and written for other trees.

The library follows the indices of children and features wherever they lead: out of its memory, or
in a circle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import ModelFormatError

if TYPE_CHECKING:
    import lightgbm

Columns = dict[str, list[str]]
IntArray = NDArray[np.int64]

_HEADER = re.compile(
    r"tree\nversion=v[34]\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\n"
    r"max_feature_idx=(\d{1,7})\nobjective=(\w+)\n"
    r"feature_names=([\w ]+)\nfeature_infos=([\w.:+\-\[\]]+(?: [\w.:+\-\[\]]+)*+)\n"
    r"tree_sizes=(\d{1,9}(?: \d{1,9})*)\n\n",
    re.ASCII,
)
_LEAF_COLUMNS = ("leaf_value", "leaf_weight", "leaf_count")
_COLUMNS = (
    *("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child"),
    *_LEAF_COLUMNS,
    *("internal_value", "internal_weight", "internal_count"),
)
_INDICES = ("split_feature", "decision_type", "left_child", "right_child")
_INDEX = r"-?\d{1,9}+"
_NUMBER = r"-?\d++(?:\.\d++)?(?:e[+\-]?\d++)?"
_KINDS = dict.fromkeys(_INDICES, _INDEX) | {"threshold": rf"(?:{_NUMBER}|inf)"}
_TREE = re.compile(
    r"Tree=(\d{1,9})\nnum_leaves=([1-9]\d{0,5})\nnum_cat=0\n"
    + "".join(
        rf"{name}=((?:{kind}(?: {kind})*+)?)\n"
        for name, kind in ((name, _KINDS.get(name, _NUMBER)) for name in _COLUMNS)
    )
    + rf"is_linear=0\nshrinkage={_NUMBER}\n\n\n",
    re.ASCII,
)
_END = "end of trees\n"
_DECISIONS = (0, 2, 4, 6, 8, 10)
"""What counts as missing (nothing, 0, NaN) and whether it goes left; odd ones are categories."""
_NAN_APART = 8
"""From here on NaN counts as missing."""


def load_booster(text: str) -> lightgbm.Booster:
    """Return the trees of a text, without the settings of their training that follow them.

    Raises
    ------
    ModelFormatError
        If LightGBM refuses the text.
    """
    import lightgbm

    try:
        return lightgbm.Booster(model_str=text[: text.index(_END) + len(_END)])
    except lightgbm.basic.LightGBMError as error:
        raise ModelFormatError(f"LightGBM cannot read its trees: {error}") from error


@dataclass(frozen=True, eq=False)
class TreeTable:
    """Binary trees as arrays: the nodes of all trees one after the other, and their leaves.

    A node is a split. It stands behind its parent, and the first node of a tree is its root; a tree
    without a node has one leaf.
    """

    n_features: int
    """Number of features that the trees take."""
    n_leaves: IntArray
    """Shape (trees,). Number of leaves of each tree, one more than its nodes."""
    feature: IntArray
    """Shape (nodes,)."""
    threshold: NDArray[np.float64]
    """Shape (nodes,). Rows with ``x[feature] <= threshold`` go to the left."""
    decision: IntArray
    """Shape (nodes,). What counts as missing and whether it goes left, see `_DECISIONS`."""
    left: IntArray
    right: IntArray
    """Shape (nodes,). `left`, `right`: number of the child in its tree; -1 - k for leaf k."""
    value: NDArray[np.float64]
    """Shape (leaves,). Prediction of each leaf."""
    objective: str = "regression"
    """Loss that the trees were grown for, in LightGBM's words."""


def read_trees(text: str, objective: str | None = None) -> TreeTable:
    """Check a text and return its trees.

    Parameters
    ----------
    text : str
        As LightGBM writes it. What follows the trees is not checked, see `load_booster`.
    objective : str, optional
        Loss that the trees must have been grown for; others would change their sums.

    Raises
    ------
    ModelFormatError
        Unless every tree has the columns that LightGBM writes, each with as many entries as nodes
        or leaves; each node but the root is the child of one earlier node, so that all paths end
        in a leaf; features are those of the header; thresholds and leaves are finite. There are no
        categories and no linear leaves, which we do not make.
    """
    header = _HEADER.match(text)
    if header is None or objective not in {None, header[2]}:
        raise ModelFormatError("the text of the trees has a damaged header")
    d = int(header[1]) + 1
    names = " ".join(f"Column_{number}" for number in range(min(d, len(text))))
    _demand(header[3] == names and header[4].count(" ") == d - 1, "their features are damaged")
    starts = list(accumulate(map(int, header[5].split(" ")), initial=header.end()))
    _demand(text.startswith(_END, starts[-1]), "their sizes are wrong")
    trees = text[: starts[-1] + len(_END)]
    columns: Columns = {name: [] for name in _COLUMNS}
    n_leaves = np.zeros(len(starts) - 1, dtype=np.int64)
    for number, start in enumerate(starts[:-1]):
        tree = _TREE.fullmatch(trees, start, starts[number + 1])
        if tree is None or int(tree[1]) != number:
            raise ModelFormatError(f"the text of the trees: tree {number} is damaged")
        n_leaves[number] = leaves = int(tree[2])
        for name, entries in zip(_COLUMNS, tree.groups()[2:], strict=True):
            found = entries.count(" ") + 1 if entries else 0
            wanted = leaves if name in _LEAF_COLUMNS else leaves - 1
            # of a single leaf, LightGBM may leave out weight and count
            bare = not found and leaves == 1 and name != "leaf_value"
            if not (found == wanted or bare):
                raise ModelFormatError(f"tree {number} has {found} entries of {name}")
            if entries:
                columns[name].append(entries)
    table = TreeTable(
        n_features=d,
        n_leaves=n_leaves,
        feature=_numbers(columns, "split_feature"),
        threshold=_numbers(columns, "threshold"),
        decision=_numbers(columns, "decision_type"),
        left=_numbers(columns, "left_child"),
        right=_numbers(columns, "right_child"),
        value=_numbers(columns, "leaf_value"),
        objective=header[2],
    )
    check_trees(table)
    return table


def check_trees(trees: TreeTable) -> None:
    """Raise `ModelFormatError` unless trees are what LightGBM may evaluate, see `read_trees`."""
    _check_splits(trees)
    _check_children(trees)
    _demand(np.isfinite(trees.value), "a leaf is not finite")


_MANY = re.compile(
    r"tree\nversion=(v[34])\nnum_class=(\d+)\nnum_tree_per_iteration=(\d+)\nlabel_index=0\n"
    r"(max_feature_idx=\d+\n)objective=[^\n]*\n(feature_names=[^\n]*\nfeature_infos=[^\n]*\n)"
    r"tree_sizes=([\d ]+)\n\n",
    re.ASCII,
)


def split_classes(text: str) -> list[str]:
    """Return one text per class, whose trees sum to its logit, of what LightGBM trained.

    The trees of a classifier of two classes stay together: their sum is the logit of the second.
    The objective is ``regression``, so that a sum stays a sum.
    """
    header = _MANY.match(text)
    if header is None:
        raise ModelFormatError("LightGBM wrote a header that is not known")
    per_round = int(header[3])
    starts = list(accumulate(map(int, header[6].split(" ")), initial=header.end()))
    found = []
    for number in range(per_round):
        trees: list[str] = []
        for place in range(number, len(starts) - 1, per_round):
            tree = text[starts[place] : starts[place + 1]]
            trees.append(f"Tree={len(trees)}\n{tree.partition(chr(10))[2]}")
        sizes = " ".join(str(len(tree)) for tree in trees)
        found.append(
            f"tree\nversion={header[1]}\nnum_class=1\nnum_tree_per_iteration=1\n"
            f"label_index=0\n{header[4]}objective=regression\n{header[5]}tree_sizes={sizes}\n\n"
            f"{''.join(trees)}{_END}"
        )
    return found


@dataclass(frozen=True, eq=False)
class Tree:
    """A binary tree of m nodes, each before its children; the first one is the root."""

    left: IntArray
    """Shape (m,). Node of the rows with ``x[feature] <= threshold``; -1 for leaves."""
    right: IntArray
    """Shape (m,). Node of the other rows; -1 for leaves."""
    feature: IntArray
    """Shape (m,). Not used for leaves."""
    threshold: NDArray[np.float64]
    """Shape (m,). Not used for leaves."""
    value: NDArray[np.float64]
    """Shape (m,). Prediction; used for leaves only."""


def join_trees(trees: Sequence[Tree], d: int) -> TreeTable:
    """Return trees of d features, whose predictions are summed, as one table."""
    inner = [tree.left >= 0 for tree in trees]
    # nodes and leaves are numbered apart, and leaf k is the child -1 - k
    places = [np.where(one, np.cumsum(one) - 1, 0 - np.cumsum(~one)) for one in inner]

    def of_nodes(values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([part[one] for part, one in zip(values, inner, strict=True)])

    def children(values: Sequence[IntArray]) -> IntArray:
        return np.concatenate(
            [at[part[one]] for part, at, one in zip(values, places, inner, strict=True)]
        )

    n_nodes = int(sum(one.sum() for one in inner))
    return TreeTable(
        n_features=d,
        n_leaves=np.array([int((~one).sum()) for one in inner], dtype=np.int64),
        feature=of_nodes([tree.feature for tree in trees]).astype(np.int64),
        threshold=of_nodes([tree.threshold for tree in trees]),
        decision=np.full(n_nodes, _DECISIONS[1], dtype=np.int64),
        left=children([tree.left for tree in trees]).astype(np.int64),
        right=children([tree.right for tree in trees]).astype(np.int64),
        value=np.concatenate([tree.value[~one] for tree, one in zip(trees, inner, strict=True)]),
    )


def write_trees(trees: TreeTable) -> str:
    """Return trees as LightGBM would write them.

    Counts, weights and gains, which do not matter for predictions, are 0.
    """
    texts = []
    node = leaf = 0
    for number, n_leaves in enumerate(trees.n_leaves.tolist()):
        nodes, leaves = slice(node, node + n_leaves - 1), slice(leaf, leaf + n_leaves)
        node, leaf = nodes.stop, leaves.stop
        columns = {
            "split_feature": trees.feature[nodes],
            "threshold": trees.threshold[nodes],
            "decision_type": trees.decision[nodes],
            "left_child": trees.left[nodes],
            "right_child": trees.right[nodes],
            "leaf_value": trees.value[leaves],
        }
        texts.append(_write_tree(number, n_leaves, columns))
    d = trees.n_features
    header = {
        "version": "v4",
        "num_class": "1",
        "num_tree_per_iteration": "1",
        "label_index": "0",
        "max_feature_idx": str(d - 1),
        "objective": trees.objective,
        "feature_names": " ".join(f"Column_{number}" for number in range(d)),
        "feature_infos": " ".join(["none"] * d),
        "tree_sizes": " ".join(str(len(text)) for text in texts),
    }
    lines = "".join(f"{name}={value}\n" for name, value in header.items())
    return f"tree\n{lines}\n{''.join(texts)}{_END}"


def _write_tree(number: int, n_leaves: int, columns: Mapping[str, NDArray[Any]]) -> str:
    lines = [f"Tree={number}", f"num_leaves={n_leaves}", "num_cat=0"]
    for name in _COLUMNS:
        missing = ["0"] * (n_leaves if name in _LEAF_COLUMNS else n_leaves - 1)
        cells = map(repr, columns[name].tolist()) if name in columns else missing
        lines.append(f"{name}={' '.join(cells)}")
    return "\n".join([*lines, "is_linear=0", "shrinkage=1", "", "", ""])


def _check_splits(trees: TreeTable) -> None:
    d = trees.n_features
    inside = (trees.feature >= 0) & (trees.feature < d)
    _demand(inside, f"a split is not on one of {d} features")
    # an infinite one parts the rows without a value from all others
    apart = (trees.threshold == np.inf) & (trees.decision >= _NAN_APART)
    _demand(np.isfinite(trees.threshold) | apart, "a threshold is not finite")
    _demand(np.isin(trees.decision, _DECISIONS), "a split is of an unknown type")


def _check_children(trees: TreeTable) -> None:
    """Check that each node and leaf of each tree, but the root, is the child of one earlier node.

    Nodes are numbered in the order of growth, so that a child has a larger number than its parent.
    """
    n_leaves, n_nodes = trees.n_leaves, trees.n_leaves - 1
    total = int(n_nodes.sum())
    first_node, first_leaf = np.cumsum(n_nodes) - n_nodes, np.cumsum(n_leaves) - n_leaves
    tree = np.repeat(np.arange(len(n_leaves)), n_nodes)
    parent = np.arange(total) - first_node[tree]
    # every node, then every leaf; the first of each tree is the child of none
    times = np.zeros(total + int(n_leaves.sum()), dtype=np.int64)
    times[first_node[n_nodes > 0]] = 1
    times[total + first_leaf[n_nodes == 0]] = 1
    for child in (trees.left, trees.right):
        inner, leaf = child >= 0, -1 - child
        _demand(
            np.where(inner, (child > parent) & (child < n_nodes[tree]), leaf < n_leaves[tree]),
            "a child is not in its tree, or precedes its parent",
        )
        place = np.where(inner, first_node[tree] + child, total + first_leaf[tree] + leaf)
        times += np.bincount(place, minlength=len(times))
    _demand(times == 1, "a node has no parent or several")


def _numbers(columns: Columns, name: str) -> NDArray[Any]:
    """Return the entries of all trees."""
    kind = np.int64 if name in _INDICES else np.float64
    return np.fromstring(" ".join(columns[name]), dtype=kind, sep=" ")


def _demand(condition: Any, otherwise: str) -> None:
    if not np.all(condition):
        raise ModelFormatError(f"the text of the trees: {otherwise}")
