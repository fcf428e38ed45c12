"""Splits that the user gives: a column of parts or folds, and folds made elsewhere."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from xtalshift.chem.writing import readable_key
from xtalshift.errors import LeakageError, SplitError
from xtalshift.splits.leave_out import label_rows
from xtalshift.splits.splitter import (
    SPLITTERS,
    Fold,
    FromFile,
    IntArray,
    PerRow,
    Region,
    Rows,
    Splitter,
    check_whole,
)

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


@SPLITTERS.register("column")
@dataclass(eq=False, repr=False)
class ColumnSplit(Splitter):
    """Take the parts, or the folds, that a column of the table names.

    Parameters
    ----------
    labels : array_like of shape (n,)
        Either the part of each row (`PART_NAMES`: train, val or eval, target, test or ood; empty:
        unused), for one fold; or any other labels, for one fold per label.
    whole_formulas : bool, default True
        Every row of a formula with a test row becomes a test row, also one that the column leaves
        out; train and val may share formulas as they do in the column. False takes the column as
        it is.
    """

    per_row: ClassVar[PerRow] = {"labels": "label"}
    recheck = True

    labels: ArrayLike
    whole_formulas: bool = True

    def _regions(self, table: Rows) -> Iterator[Region]:
        labels = label_rows(self.labels, table)
        folded = {name: PART_NAMES.get(name.casefold()) for name in labels.names}
        unknown = [name for name, part in folded.items() if part is None]
        if not unknown and "test" not in folded.values():
            raise SplitError(
                f"the column names the parts {', '.join(folded)}, but no row is test or ood"
            )
        if "test" not in folded.values():
            if len(labels) > MAX_LABELS:
                raise SplitError(
                    f"the column has {len(labels):,} different labels, one fold each; at most "
                    f"{MAX_LABELS} are allowed. The scheme leave-out takes the most frequent ones"
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
@dataclass(eq=False, repr=False)
class PredefinedSplit(Splitter):
    """Take the folds in a file, such as published ones.

    Parameters
    ----------
    given : sequence of Fold
        Row numbers in this table.
    whole_formulas : bool, default True
        Refuse folds with a formula of the test rows in another part; False accepts them.
    """

    from_file: ClassVar[FromFile] = {"given": "folds"}

    given: Sequence[Fold]
    whole_formulas: bool = True

    def _n_folds(self) -> int:
        return len(self.given)

    def restrict(self, rows: IntArray) -> Self:
        """Return the folds for a part of the table."""
        largest = max(int(part.max(initial=-1)) for f in self.given for part in f.parts.values())
        places = np.full(max(largest, int(np.max(rows, initial=-1))) + 1, -1)
        places[rows] = np.arange(len(rows))
        part = copy.copy(self)
        part.given = [fold.renumber(places) for fold in self.given]
        return part

    def folds(
        self, X: ArrayLike | Rows, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Iterator[Fold]:
        """Yield the given folds; arguments and errors as in `Splitter.folds`."""
        table = Rows.of(X, y, groups)
        for fold in self.given:
            rows = np.concatenate(list(fold.parts.values()))
            outside = rows[(rows < 0) | (rows >= len(table))]
            if outside.size:
                raise SplitError(
                    f"fold {fold.name!r} names row {outside[0]} (counted from 0), the table has "
                    f"{len(table)} rows"
                )
            times = np.bincount(rows, minlength=len(table))
            if (times > 1).any():
                row = int(np.argmax(times > 1))
                raise LeakageError(
                    f"fold {fold.name!r} has one row twice: {readable_key(table.groups[row])}, row "
                    f"{row} of the usable rows, counted from 0"
                )
            if not len(fold.train) or not len(fold.test):
                raise SplitError(f"fold {fold.name!r} has no row in train or none in test")
            if self.whole_formulas:
                whose = "The file (whole_formulas = false takes it as it is)"
                check_whole(fold, table, whose)
            yield fold

    def _regions(self, table: Rows) -> Iterator[Region]:
        for fold in self.folds(table):
            yield Region(fold.name, np.isin(np.arange(len(table)), fold.test))

    def describe(self) -> str:
        """Say in one line what is held out."""
        return f"{len(self.given)} folds made elsewhere"
