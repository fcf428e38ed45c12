"""Shapley values of sums of trees: how each feature moves the sum from a baseline to a row.

A row and a baseline walk down a tree together. Where a split sends them apart, both ways are
followed: one is taken if the feature of the split is that of the row, the other if it is that of
the baseline, and from then on this feature is settled. A leaf that is reached in this way with p
features of the row and q of the baseline adds ``value (p - 1)! q! / (p + q)!`` to the share of each
of the former and takes ``value p! (q - 1)! / (p + q)!`` from that of each of the latter: the
Shapley values of a game that is won if all of the former and none of the latter take part
(Lundberg et al., Nat. Mach. Intell. 2, 56 (2020), Algorithm 3). The package `shap` has it too, but
returns the mean over the baselines, which is too late for a stack or a transform of the target.
"""

from __future__ import annotations

from math import factorial

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import ConfigError
from xtalshift.estimators.bit_trees import goes_right
from xtalshift.estimators.lightgbm_text import TreeTable

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_AT_ONCE = 20_000
"""Pairs of a tree and a baseline that walk down together: bounds the memory."""
_WIDTH = 8
"""Settled features that there is room for at first."""
_MOST = 84
"""Most features that a way may settle, so that all factorials are floats."""


def tree_shares(trees: TreeTable, x: FloatArray, baselines: FloatArray) -> FloatArray:
    """Return how each feature moves a sum of trees from each baseline to a row.

    Parameters
    ----------
    trees : TreeTable
        The trees.
    x : ndarray of float64, shape (d,)
        The row.
    baselines : ndarray of float64, shape (m, d)
        Other rows.

    Returns
    -------
    ndarray of float64, shape (m, d)
        Sums to the difference of the two sums of trees, for each baseline.

    Raises
    ------
    ConfigError
        If a way down a tree settles more features than can be shared.
    """
    m = len(baselines)
    found = np.zeros(baselines.shape)
    step = max(1, _AT_ONCE // m)
    walk = _Walk(trees, x, baselines)
    for first in range(0, len(trees.n_leaves), step):
        walk.add(found, np.arange(first, min(first + step, len(trees.n_leaves))))
    return found


class _Walk:
    """What all trees of a table need: where nodes lead, and where the row goes at each of them."""

    def __init__(self, trees: TreeTable, x: FloatArray, baselines: FloatArray) -> None:
        n_nodes = trees.n_leaves - 1
        first_node, first_leaf = (np.cumsum(n) - n for n in (n_nodes, trees.n_leaves))
        node, leaf = np.repeat(first_node, n_nodes), np.repeat(first_leaf, n_nodes)
        children = [
            np.where(child >= 0, child + node, child - leaf) for child in (trees.left, trees.right)
        ]
        self._children = np.stack(children)  # [goes right, node]
        self._roots = np.where(n_nodes > 0, first_node, -1 - first_leaf)
        self._trees, self._baselines = trees, baselines
        self._own = goes_right(x[trees.feature], trees.threshold, trees.decision)

    def add(self, found: FloatArray, numbers: IntArray) -> None:
        """Add the shares of some trees to those of m baselines, shape (m, d)."""
        trees, m = self._trees, len(self._baselines)
        place = np.repeat(self._roots[numbers], m)
        base = np.tile(np.arange(m), len(numbers))
        # features + 1 that are settled, negative where by the baseline; 0 where none is
        settled = np.zeros((len(place), _WIDTH), dtype=np.int32)
        count = np.zeros(len(place), dtype=np.int64)
        while len(place):
            done = place < 0
            if done.any():
                self._score(found, base[done], settled[done], -1 - place[done])
                place, base, settled = place[~done], base[~done], settled[~done]
                count = count[~done]
                continue
            feature = trees.feature[place]
            own = self._own[place]
            other = goes_right(
                self._baselines[base, feature], trees.threshold[place], trees.decision[place]
            )
            mark = (feature + 1).astype(np.int32)[:, None]
            by_row, by_base = (settled == mark).any(axis=1), (settled == -mark).any(axis=1)
            goes = np.where(by_base, other, own)
            apart = np.flatnonzero((own != other) & ~by_row & ~by_base)
            next_place = self._children[goes.astype(np.int64), place]
            if len(apart):
                if count[apart].max() >= _MOST:
                    raise ConfigError(
                        f"a tree asks for more than {_MOST} features that differ, one after the "
                        "other, which is too many to share a prediction among them"
                    )
                if count[apart].max() >= settled.shape[1]:
                    room = np.zeros_like(settled)
                    settled = np.hstack([settled, room])
                new = settled[apart]
                at = count[apart]
                settled[apart, at] = mark[apart, 0]
                new[np.arange(len(apart)), at] = -mark[apart, 0]
                count[apart] += 1
                there = self._children[other[apart].astype(np.int64), place[apart]]
                next_place = np.concatenate([next_place, there])
                base = np.concatenate([base, base[apart]])
                settled = np.concatenate([settled, new])
                count = np.concatenate([count, count[apart]])
            place = next_place

    def _score(
        self, found: FloatArray, base: IntArray, settled: NDArray[np.int32], leaf: IntArray
    ) -> None:
        """Add what some leaves give to each settled feature."""
        value = self._trees.value[leaf]
        p, q = (settled > 0).sum(axis=1), (settled < 0).sum(axis=1)
        gain = value * _CHANCE[np.maximum(p - 1, 0), q]
        loss = value * _CHANCE[p, np.maximum(q - 1, 0)]
        row, column = np.nonzero(settled)
        feature = settled[row, column]
        share = np.where(feature > 0, gain[row], -loss[row])
        flat = base[row] * found.shape[1] + np.abs(feature) - 1
        found += np.bincount(flat, share, minlength=found.size).reshape(found.shape)


def _chances() -> FloatArray:
    """Return p! q! / (p + q + 1)! for p and q up to `_MOST`."""
    numbers = range(_MOST + 1)
    return np.array(
        [[factorial(p) * factorial(q) / factorial(p + q + 1) for q in numbers] for p in numbers]
    )


_CHANCE = _chances()
