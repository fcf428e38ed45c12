"""Sums of trees: one row or many, always with the bits that LightGBM returns.

A handful of rows walk down all trees at once, without LightGBM, which takes longer to import than
to predict them. More rows walk down in LightGBM; very many are evaluated together.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xtalshift.estimators.bit_trees import MOST_LEAVES, BitTrees, Comparisons
from xtalshift.estimators.few_rows import TreeWalk
from xtalshift.estimators.lightgbm_text import TreeTable, load_booster, read_trees, write_trees
from xtalshift.parallel.threads import count_cores

if TYPE_CHECKING:
    import lightgbm

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FEW_ROWS = 16
"""Rows up to which LightGBM is not asked."""
MANY_ROWS = 4096
"""Rows from which on preparing the trees pays (it takes as long as predicting them once)."""
MANY_THREADS = 8
"""Threads from which on LightGBM is faster, which divides the rows among them."""
_PIECE = 32_768  # rows at once: bounds the memory


class TreeSum:
    """Trees whose prediction is their sum; the same bits for one row and for many.

    Parameters
    ----------
    text : str, optional
        As LightGBM writes it; by default it is written when LightGBM is needed.
    trees : TreeTable, optional
        The trees of the text; by default they are read when they are needed. One of both is given.
    at_once : int, default 100
        Trees that all rows pass through before the next ones, so that they stay in the cache of the
        processor: about twice as fast with many trees. Fewer if they are large.
    """

    def __init__(
        self, text: str | None, trees: TreeTable | None = None, at_once: int = 100
    ) -> None:
        self._text = text
        self._trees = trees
        self.at_once = at_once

    @cached_property
    def booster(self) -> lightgbm.Booster:
        """The trees in LightGBM.

        Predictions come from what is saved, so that both are the same model.
        """
        return load_booster(self.text)

    @property
    def text(self) -> str:
        """The trees as LightGBM writes them."""
        if self._text is None:
            self._text = write_trees(self.trees)
        return self._text

    @property
    def trees(self) -> TreeTable:
        """The trees."""
        if self._trees is None:
            assert self._text is not None
            self._trees = read_trees(self._text)
        return self._trees

    def predict(self, X: FloatArray, threads: int) -> FloatArray:
        """Return the sum of the trees for each row, shape (n,).

        Parameters
        ----------
        X : ndarray of float64, shape (n, d)
            Features.
        threads : int
            0 means all cores.
        """
        if len(X) <= FEW_ROWS:
            return self._walk.sum(X, self.at_once)
        if self.takes_together(len(X), threads):
            return np.asarray(self._alone.predict(X)[0])
        return self.walk(X, threads)

    def takes_together(self, n: int, threads: int) -> bool:
        """Return whether n rows are better evaluated together than walking in so many threads."""
        if n < MANY_ROWS or int(self.trees.n_leaves.max()) > MOST_LEAVES:
            return False
        return (
            threads or int(os.environ.get("OMP_NUM_THREADS", "") or count_cores())
        ) < MANY_THREADS

    def walk(self, X: FloatArray, threads: int) -> FloatArray:
        """Return the result of `predict`, as LightGBM computes it."""
        total = np.zeros(len(X))
        for start in range(0, self.booster.num_trees(), self.at_once):
            total += self.booster.predict(
                X, start_iteration=start, num_iteration=self.at_once, num_threads=threads
            )
        return total

    @cached_property
    def _walk(self) -> TreeWalk:
        return TreeWalk(self.trees)

    @cached_property
    def _alone(self) -> TreeSums:
        return TreeSums([self], [np.arange(self.trees.n_features)])


class TreeSums:
    """Several sums of trees for many rows, which are compared with equal thresholds once.

    Parameters
    ----------
    sums : sequence of TreeSum
        What to evaluate.
    columns : sequence of ndarray of int64
        For each of them, where its features stand among those of the rows.
    """

    def __init__(self, sums: Sequence[TreeSum], columns: Sequence[IntArray]) -> None:
        self._compare = Comparisons([one.trees for one in sums], columns)
        self._bits = [
            BitTrees(one.trees, own, one.at_once)
            for one, own in zip(sums, self._compare.places, strict=True)
        ]

    def predict(self, X: FloatArray) -> FloatArray:
        """Return each sum for each row, shape (sums, n).

        Parameters
        ----------
        X : ndarray of float64, shape (n, d)
            Features.
        """
        pieces = np.array_split(X, -(-len(X) // _PIECE))
        return np.concatenate([self._evaluate(piece) for piece in pieces], axis=1)

    def _evaluate(self, X: FloatArray) -> FloatArray:
        right = self._compare(X)
        return np.stack([bits.sum(right, len(X)) for bits in self._bits])
