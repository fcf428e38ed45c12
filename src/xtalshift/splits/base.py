"""What every splitter promises: deterministic folds that never share a formula between sides."""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import LeakageError, SplitError
from xtalshift.registry import Registry

__all__ = ["SPLITTERS", "Fold", "HoldOut", "Region", "Splitter", "check_share", "group_numbers"]

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


def _no_rows() -> IntArray:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Fold:
    """The rows of one experiment; a row that stands nowhere is left out of it.

    Attributes
    ----------
    train, test : ndarray of int
        Row numbers, ascending.
    val : ndarray of int
        Rows for model selection, by default none.
    target : ndarray of int
        Labelled rows of the target domain (target labels) in the order in which label budgets
        take them, by default none.
    name : str
        What is held out, in a few words (``"element F"``).
    note : str
        What was found on the way, such as a test result.
    """

    train: IntArray
    test: IntArray
    val: IntArray = field(default_factory=_no_rows)
    target: IntArray = field(default_factory=_no_rows)
    name: str = ""
    note: str = ""

    @property
    def parts(self) -> dict[str, IntArray]:
        """The rows by the name of their part, in the order train, val, target, test."""
        return {"train": self.train, "val": self.val, "target": self.target, "test": self.test}

    def renumber(self, places: IntArray) -> Fold:
        """Return the fold with row r named ``places[r]``; rows named -1 are left out."""
        moved = {name: places[rows] for name, rows in self.parts.items()}
        kept = {name: rows[rows >= 0] for name, rows in moved.items()}
        return Fold(kept["train"], kept["test"], kept["val"], kept["target"], self.name, self.note)


class Region(NamedTuple):
    """What a rule holds out of n rows, before rows of one formula are kept together.

    Attributes
    ----------
    name : str
        As in `Fold`.
    test : ndarray of bool, shape (n,)
        Rows the rule holds out.
    unused : ndarray of bool, shape (n,), optional
        Rows that may neither train nor test.
    val, target : ndarray of bool, shape (n,), optional
        Rows for model selection, and target labels.
    note : str
        As in `Fold`.
    """

    name: str
    test: BoolArray
    unused: BoolArray | None = None
    val: BoolArray | None = None
    target: BoolArray | None = None
    note: str = ""


class Splitter(ABC):
    """Folds of a table, as a scikit-learn cross-validation object.

    `groups` are reduced formulas. A formula with one held-out row is held out as a whole, so a
    polymorph of a training material is never a test row (unless a splitter has the argument
    `whole_formulas` and it is False).
    """

    role: ClassVar[str] = "ood"
    """``"id"`` if the held-out rows follow the training distribution, else ``"ood"``."""

    needs: ClassVar[tuple[str, ...]] = ()
    """What the rule looks at beside the formulas: ``"X"``, ``"y"``."""

    per_row: ClassVar[dict[str, str]] = {}
    """Arguments that hold one value per row of the table: name -> ``"flag"``, ``"number"`` or
    ``"label"``."""

    from_file: ClassVar[dict[str, str]] = {}
    """Arguments that a file can give: name -> ``"formulas"``, ``"features"`` or ``"folds"``."""

    recheck: ClassVar[bool] = False
    """Whether the rule is cheap and exact enough to be checked again on a split that was stored."""

    def folds(
        self, X: ArrayLike, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Iterator[Fold]:
        """Yield the folds.

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
        Fold

        Raises
        ------
        SplitError
            If the rule is impossible for these rows; the message says what is possible.
        LeakageError
            If a row or a formula would stand on both sides.
        """
        features, targets, names = _check_lengths(X, y, groups)
        numbers, _ = group_numbers(names)
        for region in self._regions(features, targets, names):
            yield self._fold(region, numbers, names)

    def split(
        self, X: ArrayLike, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield training rows (with those for model selection) and test rows of every fold.

        Parameters and errors as in `folds`.

        Yields
        ------
        train, test : ndarray of int, shapes (n_train,) and (n_test,)
            Row numbers, ascending.
        """
        for fold in self.folds(X, y, groups):
            yield np.sort(np.concatenate([fold.train, fold.val])), fold.test

    def get_n_splits(
        self,
        X: ArrayLike | None = None,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> int:
        """Return the number of folds; it may depend on the rows."""
        if X is None:
            raise SplitError(f"the number of folds of {self!r} depends on the rows: pass X")
        return sum(1 for _ in self._regions(*_check_lengths(X, y, groups)))

    def restrict(self, rows: IntArray) -> Self:
        """Return the splitter for a part of the table: arguments with a value per row are cut."""
        part = copy.copy(self)
        for name in self.per_row:
            values = getattr(self, name)
            if values is not None and not isinstance(values, str):
                setattr(part, name, np.asarray(values)[rows])
        return part

    def broken_by(
        self, fold: Fold, X: ArrayLike, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> IntArray:
        """Return the training rows of a fold (by its name) that the rule holds out; mostly none."""
        for region in self._regions(*_check_lengths(X, y, groups)):
            if region.name in {"", fold.name}:  # a single fold has no name
                return fold.train[region.test[fold.train]]
        return _no_rows()

    @abstractmethod
    def _regions(
        self, X: NDArray[Any], y: NDArray[np.float64] | None, groups: NDArray[Any]
    ) -> Iterator[Region]:
        """Yield what each fold holds out; the hook of a new splitter."""

    @abstractmethod
    def describe(self) -> str:
        """Say in one line what is held out."""

    def _remedy(self) -> str:
        return "Choose another rule or share."

    def _fold(self, region: Region, numbers: IntArray, names: NDArray[Any]) -> Fold:
        whole = getattr(self, "whole_formulas", True)
        test = region.test
        if whole and test.any():
            held = np.zeros(int(numbers.max()) + 1, dtype=bool)
            held[numbers[test]] = True
            test = held[numbers]
        free = ~test
        others = []
        for mask in (region.unused, region.val, region.target):
            others.append(np.zeros(len(test), dtype=bool) if mask is None else mask & free)
            free = free & ~others[-1]
        train, (_, val, target) = free, others
        if not test.any() or not train.any():
            which = f" ({region.name})" if region.name else ""
            apart = sum(int(mask.sum()) for mask in others)
            more = f" ({apart} more do not train)" if apart else ""
            raise SplitError(
                f"{self.describe()}{which} holds out {int(test.sum())} of {len(test)} rows{more}; "
                f"both sides need rows. {self._remedy()}"
            )
        fold = Fold(
            train=np.flatnonzero(train),
            test=np.flatnonzero(test),
            val=np.flatnonzero(val),
            target=np.flatnonzero(target),
            name=region.name,
            note=region.note,
        )
        if whole:
            check_whole(fold, numbers, names, self.describe())
        return fold

    def __repr__(self) -> str:
        shown = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name)
            if value is parameter.default:
                continue
            rows = name in self.per_row or name in self.from_file
            long = rows and not isinstance(value, str)
            shown.append(f"{name}=..." if long else f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


class HoldOut(Splitter):
    """A splitter with one fold."""

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
        """Return the mask of the test rows, shape (n,); arguments and errors as in `folds`."""
        (fold,) = self.folds(X, y, groups)
        mask = np.zeros(len(np.asarray(X)), dtype=bool)
        mask[fold.test] = True
        return mask

    def _regions(
        self, X: NDArray[Any], y: NDArray[np.float64] | None, groups: NDArray[Any]
    ) -> Iterator[Region]:
        yield Region("", self._held_out(X, y, groups))

    @abstractmethod
    def _held_out(
        self, X: NDArray[Any], y: NDArray[np.float64] | None, groups: NDArray[Any]
    ) -> BoolArray:
        """Return the mask of the test rows; the hook of a new splitter with one fold."""


SPLITTERS: Registry[type[Splitter]] = Registry("split scheme")


def check_whole(fold: Fold, numbers: IntArray, names: NDArray[Any], what: str) -> None:
    """Raise `LeakageError` if a formula of the test rows stands in another part too.

    Parameters
    ----------
    fold : Fold
        Rows.
    numbers : ndarray of int, shape (n,)
        As `group_numbers` returns them.
    names : ndarray, shape (n,)
        Group names, for the message.
    what : str
        Whose promise is broken.
    """
    others = np.concatenate([fold.train, fold.val, fold.target])
    shared = np.intersect1d(numbers[fold.test], numbers[others])
    if shared.size:
        example = names[np.flatnonzero(numbers == shared[0])[0]]
        raise LeakageError(
            f"{what} puts {shared.size} groups on both sides, such as {example}"
            f"{f' in fold {fold.name!r}' if fold.name else ''}"
        )


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


def _check_lengths(
    X: ArrayLike, y: ArrayLike | None, groups: ArrayLike | None
) -> tuple[NDArray[Any], NDArray[np.float64] | None, NDArray[Any]]:
    features = np.asarray(X)
    names = np.arange(len(features)) if groups is None else np.asarray(groups)
    targets = None if y is None else np.asarray(y, float)
    for name, values in (("y", targets), ("groups", names)):
        if values is not None and len(values) != len(features):
            raise SplitError(f"X has {len(features)} rows but {name} has {len(values)}")
    return features, targets, names
