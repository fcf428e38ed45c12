"""Trees evaluated for a handful of rows: each walks down all trees at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xtalshift.estimators.bit_trees import goes_right
from xtalshift.estimators.lightgbm_text import TreeTable

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class TreeWalk:
    """Where the nodes of trees lead: from 0 on to a node, -1 - k to leaf k, counted over all trees.

    Parameters
    ----------
    trees : TreeTable
        Trees whose prediction is their sum.
    """

    def __init__(self, trees: TreeTable) -> None:
        n_nodes = trees.n_leaves - 1
        first_node, first_leaf = (np.cumsum(n) - n for n in (n_nodes, trees.n_leaves))
        self._trees = trees
        self._roots = np.where(n_nodes > 0, first_node, -1 - first_leaf)
        node, leaf = np.repeat(first_node, n_nodes), np.repeat(first_leaf, n_nodes)
        self._left, self._right = (
            np.where(child >= 0, child + node, child - leaf) for child in (trees.left, trees.right)
        )

    def sum(self, X: FloatArray, at_once: int) -> FloatArray:
        """Return the sum of the trees for each row, added in the order of LightGBM, shape (n,).

        Parameters
        ----------
        X : ndarray of float64, shape (n, d)
            Features.
        at_once : int
            Number of trees that are summed before they are added to the others.
        """
        trees = self._trees
        place = np.tile(self._roots, (len(X), 1))
        row, tree = np.nonzero(place >= 0)
        while len(row):
            node = place[row, tree]
            right = goes_right(
                X[row, trees.feature[node]], trees.threshold[node], trees.decision[node]
            )
            place[row, tree] = np.where(right, self._right[node], self._left[node])
            inner = place[row, tree] >= 0
            row, tree = row[inner], tree[inner]
        values = trees.value[-1 - place]
        total = np.zeros(len(X))
        for start in range(0, values.shape[1], at_once):
            # accumulate adds one after the other, unlike sum
            total += np.add.accumulate(values[:, start : start + at_once], axis=1)[:, -1]
        return total
