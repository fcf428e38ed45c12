"""Trees evaluated for many rows at once: sets of rows as bits, 64 rows in one operation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from xtalshift.estimators.lightgbm_text import TreeTable

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Words = NDArray[np.uint64]

MOST_LEAVES = 256
"""Leaves up to which this is faster than walking down: it looks at all nodes of a tree."""
_THRESHOLDS = 16  # compared at once: their results stay in the cache
_COLUMNS, _ROWS = 64, 256  # features turned into columns at once, so many rows at a time
_ZERO = float(np.float32(1e-35))  # LightGBM takes what is no larger for 0
_DEFAULT_LEFT, _MISSING_ZERO, _MISSING_NAN = 2, 4, 8  # bits of LightGBM's decision type


class Comparisons:
    """The different thresholds of trees, which rows are compared with once.

    Parameters
    ----------
    tables : sequence of TreeTable
        Trees.
    columns : sequence of ndarray of int64
        For each of them, where its features stand among those of the rows.

    Attributes
    ----------
    places : list of ndarray of int64
        For each table, number of the comparison of each of its nodes.
    """

    def __init__(self, tables: Sequence[TreeTable], columns: Sequence[IntArray]) -> None:
        keys = (
            np.concatenate([trees.decision for trees in tables]),
            np.concatenate([trees.threshold for trees in tables]),
            np.concatenate(
                [own[trees.feature] for trees, own in zip(tables, columns, strict=True)]
            ),
        )
        order = np.lexsort(keys)
        new = np.ones(len(order), dtype=np.bool_)
        new[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
        self._decision, self._threshold, self._feature = (key[order[new]] for key in keys)
        places = np.empty(len(order), dtype=np.int64)
        places[order] = np.cumsum(new) - 1
        ends = np.cumsum([len(trees.feature) for trees in tables])
        self.places = np.split(places, ends[:-1])

    def __call__(self, X: FloatArray) -> Words:
        """Return which rows pass to the right of each threshold, shape (thresholds, n / 64).

        Parameters
        ----------
        X : ndarray of float64, shape (n, d)
            Features.
        """
        n, n_words = len(X), -(-len(X) // 64)
        packed = np.zeros((len(self._threshold), n_words * 8), dtype=np.uint8)
        bounds = np.flatnonzero(np.diff(self._feature, prepend=-1, append=-1)).tolist()
        columns = np.empty((_COLUMNS, n))
        held = range(0)
        for start, end in pairwise(bounds):
            feature = int(self._feature[start])
            if feature not in held:
                held = range(feature, min(feature + _COLUMNS, X.shape[1]))
                for first in range(0, n, _ROWS):
                    some = slice(first, first + _ROWS)
                    columns[: len(held), some] = X[some, held.start : held.stop].T
            column = columns[feature - held.start]
            missing = np.isnan(column)
            column[missing | (np.abs(column) <= _ZERO)] = 0.0
            for begin in range(start, end, _THRESHOLDS):
                some = slice(begin, min(begin + _THRESHOLDS, end))
                right = column > self._threshold[some, None]
                _send_missing(right, self._decision[some], column, missing)
                packed[some, : -(-n // 8)] = np.packbits(right, axis=1)
        return packed.view(np.uint64)


class BitTrees:
    """The sum of trees, with the bits that LightGBM returns.

    LightGBM walks down each tree with each row, and the processor cannot foresee the ways. Here a
    set of rows is a bit for each of them. Let the leaves of a tree be numbered from left to right,
    and ``S[m]`` be the rows that end in leaf m or a later one: ``S[0]`` all, ``S[L]`` none. Each of
    the L - 1 nodes parts the leaves a to b - 1 at one m, and
    ``S[m] = S[b] | (S[a] & rows that pass to the right of its threshold)``, two operations for 64
    rows each. Bit k of the leaf number in Gray's code is the exclusive or of all ``S[m]`` with
    m = 2^k modulo 2^(k+1); it is the place of the leaf in a table. (QuickScorer, Lucchese et al.,
    SIGIR 2015, evaluates trees without walking, too; it has a bit for each leaf.)

    Parameters
    ----------
    trees : TreeTable
        Trees with at most `MOST_LEAVES` leaves.
    comparisons : ndarray of int64, shape (nodes,)
        Number of the comparison of each node.
    at_once : int
        Number of trees that are summed before they are added to the others.
    """

    def __init__(self, trees: TreeTable, comparisons: IntArray, at_once: int) -> None:
        begin, end, middle, leaf_place = _number_leaves(trees)
        self._steps = np.stack([begin, comparisons, end, middle], axis=1).astype(np.int32)
        self._n_leaves = trees.n_leaves
        self._at_once = at_once
        self._n_bits = int(trees.n_leaves.max() - 1).bit_length()
        tree = np.repeat(np.arange(len(trees.n_leaves)), trees.n_leaves)
        self._values = np.zeros((len(trees.n_leaves), 1 << self._n_bits))
        self._values[tree, leaf_place ^ (leaf_place >> 1)] = trees.value

    def sum(self, right: Words, n: int) -> FloatArray:
        """Return the sum of the trees for each of n rows, shape (n,).

        Parameters
        ----------
        right : ndarray of uint64
            Results of the comparisons, see `Comparisons`.
        n : int
            Number of rows.
        """
        total, part, found = np.zeros((3, n))
        for number, code in enumerate(self._leaf_codes(right, n)):
            if number % self._at_once == 0:
                total += part
                part[:] = 0.0
            # codes are in range; "clip" only spares a copy
            np.take(self._values[number], code, out=found, mode="clip")
            part += found
        return total + part

    def _leaf_codes(self, right: Words, n: int) -> Iterator[NDArray[np.uint8]]:
        """Yield the places of the leaves of n rows in the table of each tree, shape (n,)."""
        n_bits = self._n_bits
        beyond = np.zeros(((1 << n_bits) + 1, right.shape[1]), dtype=np.uint64)
        beyond[0] = ~np.uint64(0)
        planes = np.zeros((max(n_bits, 1), right.shape[1]), dtype=np.uint64)
        work = np.empty_like(beyond[0])
        # lists of rows: to index an array takes longer than the operation
        sets, conditions = list(beyond), list(right)
        bit_and, bit_or = np.bitwise_and, np.bitwise_or
        step = used = 0
        for n_leaves in self._n_leaves.tolist():
            beyond[n_leaves:used] = 0
            steps = self._steps[step : step + n_leaves - 1].tolist()
            for begin, condition, end, middle in steps:
                bit_and(sets[begin], conditions[condition], work)
                bit_or(sets[end], work, sets[middle])
            step, used = step + n_leaves - 1, n_leaves
            for k in range(n_bits):
                np.bitwise_xor.reduce(beyond[1 << k : -1 : 2 << k], axis=0, out=planes[k])
            bits = np.unpackbits(planes.view(np.uint8), axis=1, count=n)
            code = bits[-1]
            for plane in bits[-2::-1]:
                code <<= 1
                code |= plane
            yield code


def goes_right(x: FloatArray, threshold: FloatArray, decision: IntArray) -> NDArray[np.bool_]:
    """Return whether values pass to the right of thresholds, each of shape (n,).

    `decision` is LightGBM's decision type of each threshold.
    """
    missing = np.isnan(x)
    known = np.where(missing | (np.abs(x) <= _ZERO), 0.0, x)
    sent = ((decision & _MISSING_ZERO) > 0) & (known == 0.0)
    sent |= ((decision & _MISSING_NAN) > 0) & missing
    return np.where(sent, (decision & _DEFAULT_LEFT) == 0, known > threshold)


def _send_missing(
    right: NDArray[np.bool_], decision: IntArray, column: FloatArray, missing: NDArray[np.bool_]
) -> None:
    """Send the values that a decision takes for missing where it wants them."""
    for kind, rows in ((_MISSING_ZERO, column == 0.0), (_MISSING_NAN, missing)):
        some = (decision & kind) > 0
        if some.any() and rows.any():
            right[np.ix_(some, rows)] = ((decision[some] & _DEFAULT_LEFT) == 0)[:, None]


def _number_leaves(trees: TreeTable) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Return where the leaves of each node begin and end and those of its right child begin.

    And fourth the number of each leaf. Leaves are numbered from left to right in each tree.
    """
    n_leaves = trees.n_leaves
    n_nodes = n_leaves - 1
    most = int(n_nodes.max())
    node_at = np.cumsum(n_nodes) - n_nodes
    leaf_at = np.cumsum(n_leaves) - n_leaves
    left_size = np.zeros(len(trees.left), dtype=np.int64)
    size = np.zeros(len(trees.left), dtype=np.int64)
    # all trees at once; a child has a larger number than its parent
    for k in reversed(range(most)):
        own = np.flatnonzero(n_nodes > k)
        node = node_at[own] + k
        sizes = []
        for child in (trees.left[node], trees.right[node]):
            inner = child >= 0
            sizes.append(np.where(inner, size[node_at[own] + np.where(inner, child, 0)], 1))
        left_size[node] = sizes[0]
        size[node] = sizes[0] + sizes[1]
    begin = np.zeros(len(trees.left), dtype=np.int64)
    place = np.zeros(len(trees.value), dtype=np.int64)
    for k in range(most):
        own = np.flatnonzero(n_nodes > k)
        node = node_at[own] + k
        middle = begin[node] + left_size[node]
        for child, at in ((trees.left[node], begin[node]), (trees.right[node], middle)):
            inner = child >= 0
            begin[node_at[own[inner]] + child[inner]] = at[inner]
            place[leaf_at[own[~inner]] - 1 - child[~inner]] = at[~inner]
    return begin, begin + size, begin + left_size, place
