"""What every splitter promises: a deterministic held-out set that shares no group with train."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import LeakageError, SplitError
from xtalshift.registry import Registry

__all__ = ["SPLITTERS", "Splitter", "check_share", "group_numbers", "take_top"]

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


class Splitter(ABC):
    """One held-out set, as a scikit-learn cross-validation object with a single fold.

    `groups` are reduced formulas. Rows with the same group never stand on both sides, so a
    polymorph of a training material is never a test row.
    """

    role: ClassVar[str] = "ood"
    """``"id"`` if the held-out rows follow the training distribution, else ``"ood"``."""

    def split(
        self, X: ArrayLike, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield the one pair of training and test rows.

        Parameters
        ----------
        X : array_like, shape (n, d)
            Features.
        y : array_like of float, shape (n,), optional
            Targets.
        groups : array_like of str, shape (n,), optional
            Reduced formulas; without them every row is a group of its own.

        Yields
        ------
        train, test : ndarray of int, shapes (n_train,) and (n_test,)
            Row numbers, ascending.

        Raises
        ------
        SplitError
            If the rule holds out no row or leaves none.
        LeakageError
            If a group would stand on both sides.
        """
        held_out = self.held_out(X, y, groups)
        yield np.flatnonzero(~held_out), np.flatnonzero(held_out)

    def get_n_splits(
        self,
        X: ArrayLike | None = None,  # noqa: ARG002
        y: ArrayLike | None = None,  # noqa: ARG002
        groups: ArrayLike | None = None,  # noqa: ARG002
    ) -> int:
        """Return 1."""
        return 1

    def held_out(
        self, X: ArrayLike, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> BoolArray:
        """Return the mask of the test rows, shape (n,); arguments and errors as in `split`."""
        features = np.asarray(X)
        n_rows = len(features)
        names = np.arange(n_rows) if groups is None else np.asarray(groups)
        for name, values in (("y", y), ("groups", names)):
            if values is not None and len(np.asarray(values)) != n_rows:
                raise SplitError(f"X has {n_rows} rows but {name} has {len(np.asarray(values))}")
        mask = self._held_out(features, None if y is None else np.asarray(y, float), names)
        if not mask.any() or mask.all():
            raise SplitError(
                f"{self.describe()} holds out {int(mask.sum())} of {n_rows} rows; "
                f"both sides need rows. {self._remedy()}"
            )
        numbers, _ = group_numbers(names)
        shared = np.intersect1d(numbers[mask], numbers[~mask])
        if shared.size:
            example = names[np.flatnonzero(numbers == shared[0])[0]]
            raise LeakageError(
                f"{self.describe()} puts {shared.size} groups on both sides, such as {example}"
            )
        return mask

    @abstractmethod
    def _held_out(
        self, X: NDArray[Any], y: NDArray[np.float64] | None, groups: NDArray[Any]
    ) -> BoolArray:
        """Return the mask of the test rows; the only hook of a new splitter."""

    @abstractmethod
    def describe(self) -> str:
        """Say in one line what is held out."""

    def _remedy(self) -> str:
        return "Choose another rule or share."


SPLITTERS: Registry[type[Splitter]] = Registry("split")


def group_numbers(groups: NDArray[Any]) -> tuple[IntArray, int]:
    """Return the number of each row's group, shape (n,), and how many groups there are."""
    _, numbers = np.unique(groups, return_inverse=True)
    return numbers.reshape(-1).astype(np.int64), int(numbers.max()) + 1 if len(groups) else 0


def check_share(share: float) -> None:
    """Raise `SplitError` unless `share` is a number between 0 and 1."""
    if not 0 < share < 1:
        raise SplitError(f"the share of test rows is {share}; expected a number between 0 and 1")


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
