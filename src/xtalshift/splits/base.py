"""What every splitter promises: deterministic folds that never share a formula between sides."""

from __future__ import annotations

import copy
import inspect
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import BaseCrossValidator

from xtalshift.errors import LeakageError, SplitError
from xtalshift.registry import Registry
from xtalshift.splits.grouped_rows import BoolArray, IntArray, Rows, check_rows, group_numbers

__all__ = ["SPLITTERS", "Fold", "HoldOut", "Region", "Splitter", "check_whole"]


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


class Splitter(BaseCrossValidator):
    """Folds of a table, as a scikit-learn cross-validation object.

    `groups` are reduced formulas. A formula with one held-out row is held out as a whole, so a
    polymorph of a training material is never a test row (unless a splitter has the argument
    `whole_formulas` and it is False).
    """

    # scikit-learn's metadata routing hands the groups on
    __metadata_request__split: ClassVar[dict[str, bool]] = {"groups": True}

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
        yield from self._folds(check_rows(X, y, groups))

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
        if hasattr(self, "n_folds"):  # as a splitter calls it whose number is an argument
            return int(self.n_folds)
        if X is None:
            raise SplitError(f"the number of folds of {self!r} depends on the rows: pass X")
        return sum(1 for _ in self._regions(check_rows(X, y, groups)))

    def restrict(self, rows: IntArray) -> Self:
        """Return the splitter for a part of the table: arguments with a value per row are cut."""
        part = copy.copy(self)
        for name in self.per_row:
            values = getattr(self, name)
            if values is not None and not isinstance(values, str):
                setattr(part, name, np.asarray(values)[rows])
        return part

    def broken_by(
        self,
        folds: Sequence[Fold],
        X: ArrayLike,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> list[IntArray]:
        """Return, for each of some stored folds, the rows in train and val that the rule holds out.

        Parameters
        ----------
        folds : sequence of Fold
            Of this splitter, found by their names.
        X, y, groups
            As in `folds`.

        Raises
        ------
        SplitError
            If the rule is impossible for these rows, or has no fold of such a name.
        """
        held = {region.name: region.test for region in self._regions(check_rows(X, y, groups))}
        broken = []
        for fold in folds:
            name = "" if list(held) == [""] else fold.name  # a single fold has no name
            if name not in held:
                raise SplitError(f"{self.describe()} has no fold {fold.name!r}")
            seen = np.concatenate([fold.train, fold.val])
            broken.append(np.sort(seen[held[name][seen]]))
        return broken

    def _folds(self, table: Rows) -> Iterator[Fold]:
        numbers, _ = group_numbers(table.groups)
        for region in self._regions(table):
            yield self._fold(region, numbers, table.groups)

    @abstractmethod
    def _regions(self, table: Rows) -> Iterator[Region]:
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
        moved = int(test.sum()) - int(region.test.sum())
        more = f"{moved} rows moved to test: no formula is on two sides" if moved else ""
        free = ~test
        others = []
        for mask in (region.unused, region.val, region.target):
            others.append(np.zeros(len(test), dtype=bool) if mask is None else mask & free)
            free = free & ~others[-1]
        train, (_, val, target) = free, others
        if not test.any() or not train.any():
            which = f" ({region.name})" if region.name else ""
            apart = sum(int(mask.sum()) for mask in others)
            idle = f" ({apart} more do not train)" if apart else ""
            raise SplitError(
                f"{self.describe()}{which} holds out {int(test.sum())} of {len(test)} rows{idle}; "
                f"both sides need rows. {self._remedy()}"
            )
        fold = Fold(
            train=np.flatnonzero(train),
            test=np.flatnonzero(test),
            val=np.flatnonzero(val),
            target=np.flatnonzero(target),
            name=region.name,
            note="; ".join(filter(None, [region.note, more])),
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
        rows = check_rows(X, y, groups)
        (fold,) = self._folds(rows)
        mask = np.zeros(len(rows), dtype=bool)
        mask[fold.test] = True
        return mask

    def _regions(self, table: Rows) -> Iterator[Region]:
        yield Region("", self._held_out(table))

    @abstractmethod
    def _held_out(self, table: Rows) -> BoolArray:
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
            f"{what} puts {shared.size} formula{'s'[: shared.size > 1]} on both sides, such as "
            f"{example}"
            f"{f' in fold {fold.name!r}' if fold.name else ''}"
        )
