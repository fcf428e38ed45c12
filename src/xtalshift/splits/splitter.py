"""The base classes of all splitters: rows in, deterministic folds out, no formula in two parts."""

from __future__ import annotations

import copy
import inspect
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import sparray, spmatrix
from sklearn.model_selection import BaseCrossValidator

from xtalshift.chem.compositions import Compositions, parse_formulas
from xtalshift.chem.writing import readable_key
from xtalshift.errors import LeakageError, SplitError
from xtalshift.registry import Registry
from xtalshift.structure import Structures

BoolArray: TypeAlias = NDArray[np.bool_]
IntArray: TypeAlias = NDArray[np.int64]
PerRow: TypeAlias = Mapping[
    str, Literal["flag", "number", "label", "one label", "features", "structure"]
]
FromFile: TypeAlias = Mapping[str, Literal["formulas", "features", "folds"]]


@dataclass(frozen=True, eq=False)
class Rows:
    """The n rows of a table that is split.

    Attributes
    ----------
    X : ndarray of float, shape (n, d)
        Features.
    y : ndarray of float64, shape (n,), or None
        Targets.
    groups : ndarray, shape (n,)
        Reduced formulas; row numbers if none were given.
    parsed : Compositions of n rows, or None
        The parsed formulas, if the caller has them.
    """

    X: NDArray[Any]
    y: NDArray[np.float64] | None
    groups: NDArray[Any]
    parsed: Compositions | None = None

    @classmethod
    def of(
        cls,
        X: ArrayLike | Rows,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        compositions: Compositions | None = None,
    ) -> Rows:
        """Return the arguments of a splitter as arrays of one length; `Rows` are returned as is.

        Raises
        ------
        SplitError
            If the lengths differ.
        """
        if isinstance(X, Rows):
            return X
        dense: Any = X.toarray() if isinstance(X, sparray | spmatrix) else X
        features = np.asarray(dense)
        names = np.arange(len(features)) if groups is None else np.asarray(groups)
        targets = None if y is None else np.asarray(y, float)
        for name, values in (("y", targets), ("groups", names), ("compositions", compositions)):
            if values is not None and len(values) != len(features):
                raise SplitError(f"X has {len(features)} rows but {name} has {len(values)}")
        return cls(features, targets, names, compositions)

    def __len__(self) -> int:
        return len(self.X)

    def take(self, rows: NDArray[Any]) -> Rows:
        """Return the rows that an index or mask selects."""
        return Rows(
            self.X[rows],
            None if self.y is None else self.y[rows],
            self.groups[rows],
            None if self.parsed is None else self.parsed.take(rows),
        )

    @cached_property
    def numbers(self) -> IntArray:
        """Formula of each row, shape (n,): its place among the sorted distinct formulas."""
        return group_numbers(self.groups)[0]

    @cached_property
    def names(self) -> NDArray[Any]:
        """The distinct formulas, sorted, shape (n_formulas,)."""
        return np.unique(self.groups)

    @cached_property
    def parsed_names(self) -> tuple[Compositions, NDArray[np.object_]]:
        """The compositions of `names`, and why one cannot be read (else ``""``)."""
        if self.parsed is not None:
            first = np.unique(self.numbers, return_index=True)[1]
            return self.parsed.take(first), np.full(len(first), "", dtype=object)
        return parse_formulas(self.names.tolist())[:2]

    def formulas(self, purpose: str) -> Compositions:
        """Return the compositions of `names`, all readable.

        Raises
        ------
        SplitError
            If the groups are not texts, or not formulas; the message names the first such row, and
            `purpose`, such as "a family".
        """
        if self.parsed is None:
            as_formulas(self.groups, purpose)
        compositions, reasons = self.parsed_names
        bad = np.flatnonzero(reasons[self.numbers] != "")
        if bad.size:
            raise SplitError(f"groups[{bad[0]}] is not a formula: {reasons[self.numbers[bad[0]]]}")
        return compositions

    def targets(self) -> NDArray[np.float64]:
        """Return `y`; raise `SplitError` if there is none or a value is not finite."""
        if self.y is None:
            raise SplitError("this split uses the targets: pass y")
        if not np.isfinite(self.y).all():
            row = int(np.argmin(np.isfinite(self.y)))
            raise SplitError(
                f"y[{row}] is {self.y[row]}; this split needs finite targets, drop such rows"
            )
        return self.y

    def formula_means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean over the rows of each formula, shape (n_formulas, ...)."""
        counts = np.bincount(self.numbers)
        sums = np.zeros((len(counts), *values.shape[1:]))
        np.add.at(sums, self.numbers, values)
        return (sums.T / counts).T


def _no_rows() -> IntArray:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Fold:
    """The rows of one experiment; a row in no part is not used.

    Attributes
    ----------
    train, test : ndarray of int
        Row numbers, ascending.
    val : ndarray of int
        Rows for model selection; none by default.
    target : ndarray of int
        Target labels (labelled rows of the target domain) in the order in which label budgets
        take them; none by default.
    name : str
        What is held out, in a few words (``"element F"``).
    note : str
        A remark on how the fold was made, such as a test result.
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
        """Return the fold with ``places[r]`` for row r; rows with a place of -1 are left out."""
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
        Rows that neither train nor test.
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
    polymorph of a training material is never a test row (unless `whole_formulas` is False).

    A subclass implements `_regions` and `describe` and states its facts as class variables. The
    first paragraph of its docstring is what ``xtalshift split --schemes`` shows.
    """

    # scikit-learn's metadata routing passes the groups on
    __metadata_request__split: ClassVar[dict[str, bool]] = {"groups": True}

    aim: ClassVar[str] = ""
    """The kind of shift aimed at, in a few words; ``""`` where the rule is the user's."""

    role: ClassVar[Literal["id", "ood"]] = "ood"
    """``"id"`` if the held-out rows follow the training distribution, else ``"ood"``."""

    needs: ClassVar[tuple[Literal["X", "y", "structures"], ...]] = ()
    """What the rule uses besides the formulas: features, targets, crystal structures."""

    per_row: ClassVar[PerRow] = {}
    """Arguments with one value per row of the table, and the kind of value; a row may lack a label,
    but not where it needs one label."""

    from_file: ClassVar[FromFile] = {}
    """Arguments that can be read from a file, and what the file holds."""

    recheck: ClassVar[bool] = False
    """Whether the rule is cheap and exact enough to be checked again on a stored split."""

    whole_formulas: bool = True
    """Whether a formula is held out as a whole."""

    def folds(
        self, X: ArrayLike | Rows, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Iterator[Fold]:
        """Yield the folds.

        Parameters
        ----------
        X : array_like of float, shape (n, d), or Rows
            Features; or everything at once, with formulas that are parsed already.
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
            If a row or a formula would be in two parts.
        """
        table = Rows.of(X, y, groups)
        for region in self._regions(table):
            yield self._fold(region, table)

    def split(
        self, X: ArrayLike | Rows, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield the training rows (with those for model selection) and test rows of every fold.

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
        X: ArrayLike | Rows | None = None,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> int:
        """Return the number of folds; it may depend on the rows."""
        known = self._n_folds()
        if known is not None:
            return known
        if X is None:
            raise SplitError(f"the number of folds of {self!r} depends on the rows: pass X")
        return sum(1 for _ in self._regions(Rows.of(X, y, groups)))

    def restrict(self, rows: IntArray) -> Self:
        """Return the splitter for some rows: its arguments with a value per row are cut."""
        part = copy.copy(self)
        for name in self.per_row:
            values = getattr(self, name)
            if isinstance(values, Structures):
                setattr(part, name, values.take(rows))
            elif values is not None and not isinstance(values, str):
                setattr(part, name, np.asarray(values)[rows])
        return part

    def broken_by(
        self,
        folds: Sequence[Fold],
        X: ArrayLike | Rows,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> list[IntArray]:
        """Return, for each stored fold, the train and val rows that the rule holds out.

        Parameters
        ----------
        folds : sequence of Fold
            Folds of this splitter, identified by their names.
        X, y, groups
            As in `folds`.

        Raises
        ------
        SplitError
            If the rule is impossible for these rows, or has no fold of such a name.
        """
        table = Rows.of(X, y, groups)
        held = {region.name: region.test for region in self._regions(table)}
        broken = []
        for fold in folds:
            name = "" if list(held) == [""] else fold.name  # a single fold has no name
            if name not in held:
                raise SplitError(f"{self.describe()} has no fold {fold.name!r}")
            seen = np.concatenate([fold.train, fold.val])
            broken.append(np.sort(seen[held[name][seen]]))
        return broken

    @abstractmethod
    def _regions(self, table: Rows) -> Iterator[Region]:
        """Yield what each fold holds out; the hook of a new splitter."""

    @abstractmethod
    def describe(self) -> str:
        """Say in one line what is held out."""

    def _n_folds(self) -> int | None:
        """Return the number of folds if it does not depend on the rows."""
        return getattr(self, "n_folds", None)

    def _remedy(self, table: Rows) -> str:  # noqa: ARG002 - for those who name an example
        return "Choose another rule or share."

    def _fold(self, region: Region, table: Rows) -> Fold:
        test = region.test
        if self.whole_formulas and test.any():
            held = np.zeros(int(table.numbers.max()) + 1, dtype=bool)
            held[table.numbers[test]] = True
            test = held[table.numbers]
        moved = int(test.sum()) - int(region.test.sum())
        more = f"{moved} rows moved to test: no formula is in two parts" if moved else ""
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
                f"both sides need rows. {self._remedy(table)}"
            )
        fold = Fold(
            train=np.flatnonzero(train),
            test=np.flatnonzero(test),
            val=np.flatnonzero(val),
            target=np.flatnonzero(target),
            name=region.name,
            note="; ".join(filter(None, [region.note, more])),
        )
        if self.whole_formulas:
            check_whole(fold, table, self.describe())
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
    """A splitter with one fold; a subclass implements `_held_out` and `describe`."""

    def held_out(
        self, X: ArrayLike | Rows, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> BoolArray:
        """Return the mask of the test rows, shape (n,); arguments and errors as in `folds`."""
        rows = Rows.of(X, y, groups)
        (fold,) = self.folds(rows)
        mask = np.zeros(len(rows), dtype=bool)
        mask[fold.test] = True
        return mask

    def _n_folds(self) -> int:
        return 1

    def _regions(self, table: Rows) -> Iterator[Region]:
        yield Region("", self._held_out(table))

    @abstractmethod
    def _held_out(self, table: Rows) -> BoolArray:
        """Return the mask of the test rows; the hook of a new splitter with one fold."""


SPLITTERS: Registry[type[Splitter]] = Registry("split scheme")
"""All schemes, by the name that ``xtalshift split --scheme`` takes."""


def check_whole(fold: Fold, table: Rows, what: str) -> None:
    """Raise `LeakageError` if a formula of the test rows is in another part too.

    `what` is the subject of the message: the split that has the leak.
    """
    others = np.concatenate([fold.train, fold.val, fold.target])
    shared = np.intersect1d(table.numbers[fold.test], table.numbers[others])
    if shared.size:
        where = f" in fold {fold.name!r}" if fold.name else ""
        raise LeakageError(
            f"{what} puts {shared.size} formula{'s'[: shared.size > 1]} on both sides, such as "
            f"{readable_key(table.names[shared[0]])}{where}"
        )


def group_numbers(groups: NDArray[Any]) -> tuple[IntArray, int]:
    """Return the number of each row's group, shape (n,), and how many groups there are.

    Raises `SplitError` if the groups cannot be sorted, such as texts beside None.
    """
    try:
        _, numbers = np.unique(groups, return_inverse=True)
    except TypeError as error:
        raise SplitError(
            f"groups must be of one kind, such as texts, without None: {error}"
        ) from error
    return numbers.reshape(-1).astype(np.int64), int(numbers.max()) + 1 if len(groups) else 0


def as_formulas(groups: NDArray[Any], purpose: str) -> list[str]:
    """Return groups as texts; raise `SplitError` if they are not texts (`purpose` needs them)."""
    if groups.dtype.kind not in "OUT":
        raise SplitError(f"{purpose} is a property of formulas: pass groups=reduced formulas")
    return [str(group) for group in groups]


def read_flags(values: ArrayLike, n_rows: int) -> BoolArray:
    """Return flags (true and false, or 1 and 0) as a mask, shape (n_rows,), or `SplitError`."""
    flags = np.asarray(values)
    if flags.shape != (n_rows,):
        raise SplitError(f"flags has shape {flags.shape}; expected ({n_rows},)")
    if flags.dtype.kind in "US" or not np.isin(flags, (0, 1)).all():
        raise SplitError("flags holds values other than true and false (or 1 and 0)")
    return flags.astype(bool)


def check_share(share: float) -> None:
    """Raise `SplitError` unless `share` is a number between 0 and 1."""
    if not 0 < share < 1:
        raise SplitError(
            f"the share of test rows is {share}; expected a number between 0 and 1 (0.2 for 20 %)"
        )


def take_top(scores: NDArray[np.float64], groups: NDArray[Any], share: float) -> BoolArray:
    """Hold out whole groups, those with the largest scores; return the mask, shape (n,).

    A group has the largest score of its rows; ties go by the order of the groups. As many groups as
    do not exceed `share` of the rows are taken, and at least one. Raises `SplitError` if `share` is
    not between 0 and 1.
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
