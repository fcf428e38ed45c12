"""Rows and the groups (formulas) they belong to: checks, numbers, whole groups by score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import sparray, spmatrix

from xtalshift.errors import SplitError

__all__ = [
    "BoolArray",
    "IntArray",
    "Rows",
    "check_rows",
    "check_share",
    "group_numbers",
    "take_top",
]

BoolArray: TypeAlias = NDArray[np.bool_]
IntArray: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rows:
    """The n rows that a splitter is asked about.

    Attributes
    ----------
    X : ndarray of float, shape (n, d)
        Features.
    y : ndarray of float64, shape (n,), or None
        Targets.
    groups : ndarray, shape (n,)
        Reduced formulas; a number per row where none were given.
    """

    X: NDArray[Any]
    y: NDArray[np.float64] | None
    groups: NDArray[Any]

    def __len__(self) -> int:
        return len(self.X)


def group_numbers(groups: NDArray[Any]) -> tuple[IntArray, int]:
    """Return the number of each row's group, shape (n,), and how many groups there are.

    Raises
    ------
    SplitError
        If the groups cannot be sorted, such as texts beside None.
    """
    try:
        _, numbers = np.unique(groups, return_inverse=True)
    except TypeError as error:
        raise SplitError(
            f"groups must be of one kind, such as texts, without None: {error}"
        ) from error
    return numbers.reshape(-1).astype(np.int64), int(numbers.max()) + 1 if len(groups) else 0


def check_share(share: float) -> None:
    """Raise `SplitError` unless `share` is a number between 0 and 1."""
    if not 0 < share < 1:
        raise SplitError(
            f"the share of test rows is {share}; expected a number between 0 and 1 (0.2 for 20 %)"
        )


def take_top(scores: NDArray[np.float64], groups: NDArray[Any], share: float) -> BoolArray:
    """Hold out whole groups, those with the largest scores, until `share` of the rows is reached.

    Parameters
    ----------
    scores : ndarray of float, shape (n,)
        A group counts with its largest row.
    groups : ndarray, shape (n,)
        Group names; ties between groups are broken by the order of the names.
    share : float
        Wanted share of rows in (0, 1); the largest number of groups that does not exceed it is
        taken, at least one.

    Returns
    -------
    ndarray of bool, shape (n,)

    Raises
    ------
    SplitError
        If `share` is not between 0 and 1.
    """
    check_share(share)
    numbers, n_groups = group_numbers(groups)
    largest = np.full(n_groups, -np.inf)
    np.maximum.at(largest, numbers, scores)
    order = np.argsort(-largest, kind="stable")
    rows = np.cumsum(np.bincount(numbers, minlength=n_groups)[order])
    # tolerance: 0.1 * 30 is 3.0000000000000004, and the other way round elsewhere
    n_taken = max(1, int(np.searchsorted(rows, share * len(groups) + 1e-9, side="right")))
    taken = np.zeros(n_groups, dtype=bool)
    taken[order[:n_taken]] = True
    return taken[numbers]


def check_rows(X: ArrayLike, y: ArrayLike | None, groups: ArrayLike | None) -> Rows:
    """Return features, targets and groups as arrays of one length.

    Raises
    ------
    SplitError
        If the lengths differ.
    """
    dense: Any = X.toarray() if isinstance(X, sparray | spmatrix) else X
    features = np.asarray(dense)
    names = np.arange(len(features)) if groups is None else np.asarray(groups)
    targets = None if y is None else np.asarray(y, float)
    for name, values in (("y", targets), ("groups", names)):
        if values is not None and len(values) != len(features):
            raise SplitError(f"X has {len(features)} rows but {name} has {len(values)}")
    return Rows(features, targets, names)
