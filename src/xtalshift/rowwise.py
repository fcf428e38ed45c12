"""Functions of many rows, computed so that no row's result depends on the other rows.

A matrix product sums in an order that depends on the shape of the matrices, so that a row alone
and the same row among others differ in the last bits. In blocks of one shape they do not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 64
"""Rows of a block: few, since one row costs as much as a block, and enough to fill the vector
registers. The temporaries of a network fit into the cache."""

Values = TypeVar("Values", bound=np.generic)


def in_blocks(
    evaluate: Callable[[NDArray[Any]], NDArray[Values]], X: NDArray[Any], rows: int = BLOCK_ROWS
) -> NDArray[Values]:
    """Return ``evaluate(X)``, each row of it with the bits that it has alone.

    Parameters
    ----------
    evaluate : callable
        Takes an array of shape (rows, d), contiguous in memory; returns one of shape (..., rows) in
        which each entry depends on its row only.
    X : ndarray, shape (n, d)
        Rows.
    rows : int
        Rows of a block; the last block is filled up with zeros.

    Returns
    -------
    ndarray, shape (..., n)
    """
    rest = len(X) % rows
    full = len(X) - rest
    found = [evaluate(np.ascontiguousarray(X[i : i + rows])) for i in range(0, full, rows)]
    if rest or not full:
        block = np.zeros((rows, X.shape[1]), X.dtype)
        block[:rest] = X[full:]
        found.append(evaluate(block)[..., :rest])
    return np.concatenate(found, axis=-1)


def in_pieces(
    evaluate: Callable[[NDArray[Any]], NDArray[Values]], X: NDArray[Any], rows: int
) -> NDArray[Values]:
    """Return ``evaluate(X)``, shape (..., n), computed in pieces of at most so many rows."""
    starts = range(0, max(len(X), 1), rows)
    return np.concatenate([evaluate(X[start : start + rows]) for start in starts], axis=-1)


def softmax(logits: NDArray[np.floating[Any]], axis: int = 1) -> NDArray[Any]:
    """Return logits, of any shape, as shares along an axis; those of a row sum to 1.

    PyTorch's softmax gives a row other last bits at another place.
    """
    raised = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return np.asarray(raised / raised.sum(axis=axis, keepdims=True))
