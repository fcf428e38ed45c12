"""The sum of trees: few rows walk down them, many are evaluated together."""

from __future__ import annotations

import os
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xtalshift.estimators.bit_trees import MOST_LEAVES, BitTrees
from xtalshift.estimators.lightgbm_text import TreeTable, load_booster, read_trees
from xtalshift.parallel.threads import count_cores

FloatArray = NDArray[np.float64]

MANY_ROWS = 4096
"""Rows from which on preparing the trees pays (it takes as long as predicting them once)."""
MANY_THREADS = 8
"""Threads from which on LightGBM is faster, which divides the rows among them."""


class TreeSum:
    """Trees whose prediction is their sum; the same bits for one row and for many.

    Parameters
    ----------
    text : str
        As LightGBM writes it.
    trees : TreeTable, optional
        The trees of the text; by default they are read when they are needed.
    at_once : int, default 100
        Trees that all rows pass through before the next ones, so that they stay in the cache of the
        processor: about twice as fast with many trees. Fewer if they are large.
    """

    def __init__(self, text: str, trees: TreeTable | None = None, at_once: int = 100) -> None:
        self.text = text
        # predictions come from the text that is saved, so that both are the same model
        self.booster = load_booster(text)
        self._trees = trees
        self._at_once = at_once

    def predict(self, X: FloatArray, threads: int) -> FloatArray:
        """Return the sum of the trees for each row, shape (n,).

        Parameters
        ----------
        X : ndarray of float64, shape (n, d)
            Features.
        threads : int
            0 means all cores.
        """
        if len(X) >= MANY_ROWS and _count_threads(threads) < MANY_THREADS:
            bits = self._bits
            if bits is not None:
                return bits.sum(X)
        return self.walk(X, threads)

    def walk(self, X: FloatArray, threads: int) -> FloatArray:
        """Return the result of `predict`, as LightGBM computes it."""
        total = np.zeros(len(X))
        for start in range(0, self.booster.num_trees(), self._at_once):
            total += self.booster.predict(
                X, start_iteration=start, num_iteration=self._at_once, num_threads=threads
            )
        return total

    @cached_property
    def _bits(self) -> BitTrees | None:
        """The trees for many rows; None if they are too large."""
        trees = read_trees(self.text) if self._trees is None else self._trees
        self._trees = None
        return BitTrees(trees, self._at_once) if trees.n_leaves.max() <= MOST_LEAVES else None


def _count_threads(threads: int) -> int:
    """Return the number of threads that LightGBM starts."""
    return threads or int(os.environ.get("OMP_NUM_THREADS", "") or count_cores())
