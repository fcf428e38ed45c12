"""Splits that the user declares: a relation shift, a column of parts, folds made elsewhere."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from xtalshift.errors import LeakageError, SplitError
from xtalshift.splits.base import SPLITTERS, Fold, HoldOut, Region, Splitter, check_whole
from xtalshift.splits.grouped_rows import BoolArray, IntArray, Rows, group_numbers
from xtalshift.splits.labelling import as_formulas, label_rows

__all__ = ["PART_NAMES", "ColumnSplit", "PredefinedSplit", "RelationSplit"]

PART_NAMES: dict[str, str] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "eval": "val",
    "target": "target",
    "test": "test",
    "ood": "test",
}
"""Names of parts in tables -> the part."""

MAX_LABELS = 200
"""Most folds of a column of labels."""


@SPLITTERS.register("relation")
class RelationSplit(HoldOut):
    """Hold out the materials that the user declares to follow another relation.

    Parameters
    ----------
    flags : array_like of bool, shape (n,), optional
        True for every row that follows another relation. Every row of a formula with a flagged
        row is held out.
    formulas : sequence of str, optional
        Reduced formulas that do (an alternative to `flags`).
    """

    per_row: ClassVar[dict[str, str]] = {"flags": "flag"}
    from_file: ClassVar[dict[str, str]] = {"formulas": "formulas"}
    recheck: ClassVar[bool] = True

    def __init__(self, flags: ArrayLike | None = None, formulas: ArrayLike | None = None) -> None:
        self.flags = flags
        self.formulas = formulas

    def _held_out(self, table: Rows) -> BoolArray:
        if (self.flags is None) == (self.formulas is None):
            raise SplitError("a relation shift is declared by a flag column or a list of formulas")
        if self.flags is not None:
            return read_flags(self.flags, len(table))
        declared = as_formulas(np.asarray(self.formulas), "a relation")
        return np.isin(
            table.groups.astype(str), np.array(declared, dtype=str)
        )  # texts are sorted: fast

    def describe(self) -> str:
        """Say in one line what is held out."""
        return "the materials declared to follow another relation"

    def _remedy(self) -> str:
        return "Check the flags, or that the listed formulas occur in the table."


@SPLITTERS.register("column")
class ColumnSplit(Splitter):
    """The parts or folds that a column of the table names.

    Parameters
    ----------
    labels : array_like of shape (n,)
        Either the part of each row (`PART_NAMES`: train, val or eval, target, test or ood; empty:
        unused), which makes one fold, or any other labels, of which each is left out once.
    whole_formulas : bool, default True
        Every row of a formula with a test row is a test row too, also one that the column leaves
        out; train and val may share formulas as they do in the column. False takes it as it is.
    """

    per_row: ClassVar[dict[str, str]] = {"labels": "label"}
    recheck: ClassVar[bool] = True

    def __init__(
        self,
        labels: ArrayLike,
        whole_formulas: bool = True,  # noqa: FBT001, FBT002 - a setting like the others
    ) -> None:
        self.labels = labels
        self.whole_formulas = whole_formulas

    def _regions(self, table: Rows) -> Iterator[Region]:
        labels = label_rows(self.labels, table.groups)
        folded = {name: PART_NAMES.get(name.casefold()) for name in labels.names}
        unknown = [name for name, part in folded.items() if part is None]
        if not unknown and "test" not in folded.values():
            raise SplitError(
                f"the column names the parts {', '.join(folded)}, but no row is test or ood"
            )
        if "test" not in folded.values():
            if len(labels) > MAX_LABELS:
                raise SplitError(
                    f"the column has {len(labels):,} different labels, each would be a fold; at "
                    f"most {MAX_LABELS} are made. The scheme leave-out takes the most frequent ones"
                )
            for name in labels.names:
                yield Region(name, labels.mask(name))
            return
        if unknown:
            raise SplitError(
                f"the column names parts, but also {', '.join(map(repr, unknown[:5]))}; use "
                f"{', '.join(PART_NAMES)}, or labels without 'test' and 'ood' to leave each out"
            )
        parts = {part: np.zeros(len(table), dtype=bool) for part in PART_NAMES.values()}
        for name, part in folded.items():
            parts[str(part)] |= labels.mask(name)
        unused = ~np.logical_or.reduce(list(parts.values()))
        yield Region("", parts["test"], unused, parts["val"], parts["target"])

    def describe(self) -> str:
        """Say in one line what is held out."""
        return "what the column names"


@SPLITTERS.register("folds")
class PredefinedSplit(Splitter):
    """Folds made elsewhere, such as published ones.

    Parameters
    ----------
    given : sequence of Fold
        Row numbers in this table.
    whole_formulas : bool, default True
        Refuse folds with a formula of the test rows in another part; False takes them as they are.
    """

    from_file: ClassVar[dict[str, str]] = {"given": "folds"}

    def __init__(
        self,
        given: Sequence[Fold],
        whole_formulas: bool = True,  # noqa: FBT001, FBT002 - a setting like the others
    ) -> None:
        self.given = given
        self.whole_formulas = whole_formulas

    def get_n_splits(
        self,
        X: ArrayLike | None = None,  # noqa: ARG002
        y: ArrayLike | None = None,  # noqa: ARG002
        groups: ArrayLike | None = None,  # noqa: ARG002
    ) -> int:
        """Return the number of folds."""
        return len(self.given)

    def restrict(self, rows: IntArray) -> Self:
        """Return the folds for a part of the table."""
        largest = max(int(part.max(initial=-1)) for f in self.given for part in f.parts.values())
        places = np.full(max(largest, int(np.max(rows, initial=-1))) + 1, -1)
        places[rows] = np.arange(len(rows))
        part = copy.copy(self)
        part.given = [fold.renumber(places) for fold in self.given]
        return part

    def _folds(self, table: Rows) -> Iterator[Fold]:
        numbers, _ = group_numbers(table.groups)
        for fold in self.given:
            rows = np.concatenate(list(fold.parts.values()))
            outside = rows[(rows < 0) | (rows >= len(table))]
            if outside.size:
                raise SplitError(
                    f"fold {fold.name!r} names row {outside[0]}, the table has {len(table)} rows"
                )
            times = np.bincount(rows, minlength=len(table))
            if (times > 1).any():
                raise LeakageError(f"fold {fold.name!r} has row {np.argmax(times > 1)} twice")
            if not len(fold.train) or not len(fold.test):
                raise SplitError(f"fold {fold.name!r} has no row in train or none in test")
            if self.whole_formulas:
                whose = "The file (whole_formulas = false takes it as it is)"
                check_whole(fold, numbers, table.groups, whose)
            yield fold

    def _regions(self, table: Rows) -> Iterator[Region]:
        for fold in self._folds(table):
            yield Region(fold.name, np.isin(np.arange(len(table)), fold.test))

    def describe(self) -> str:
        """Say in one line what is held out."""
        return f"{len(self.given)} folds made elsewhere"


def read_flags(values: ArrayLike, n_rows: int) -> BoolArray:
    """Return flags (true and false, or 1 and 0) as a mask, shape (n_rows,), or `SplitError`."""
    flags = np.asarray(values)
    if flags.shape != (n_rows,):
        raise SplitError(f"flags has shape {flags.shape}; expected ({n_rows},)")
    if flags.dtype.kind in "US" or not np.isin(flags, (0, 1)).all():
        raise SplitError("flags holds values other than true and false (or 1 and 0)")
    return flags.astype(bool)
