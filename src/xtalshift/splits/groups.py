"""Splits by what a material is: a rule on its composition, or one label left out at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from xtalshift.chem.composition_rules import match_rule
from xtalshift.errors import SplitError
from xtalshift.splits.base import SPLITTERS, HoldOut, Region, Splitter
from xtalshift.splits.grouped_rows import BoolArray, Rows
from xtalshift.splits.labelling import label_rows, parse_groups

__all__ = ["FamilySplit", "LeaveOutSplit"]


@SPLITTERS.register("family")
class FamilySplit(HoldOut):
    """Hold out every material that a rule on the composition matches.

    Parameters
    ----------
    contains : str, default "F"
        An element, or a rule such as ``"F and rare_earth"``, ``"Li+O"`` (both), ``"O > 0.5"``
        (atomic fraction) or ``"n_elements >= 4"``; see `chem.composition_rules.match_rule`.
    """

    recheck: ClassVar[bool] = True

    def __init__(self, contains: str = "F") -> None:
        self.contains = contains

    def _held_out(self, table: Rows) -> BoolArray:
        return match_rule(self.contains, parse_groups(table.groups, "a family"))

    def describe(self) -> str:
        """Say in one line what is held out."""
        plain = self.contains.replace("+", "").isalpha()
        return f"all materials that {'contain' if plain else 'match'} {self.contains}"

    def _remedy(self) -> str:
        return "Choose an element or a rule that some but not all materials match."


@SPLITTERS.register("leave-out")
class LeaveOutSplit(Splitter):
    """Leave out one label at a time: an element, a period, a chemical system, a space group ...

    A material with several labels, as with elements, is held out by each of them.

    Parameters
    ----------
    by : str or array_like of shape (n,), default "element"
        Name of a labelling in `chem.composition_labels`, or a label per row (rows without one are
        never held out for it).
    values : str or sequence of str, optional
        The labels to leave out, one fold each; a text may hold several, joined by commas. By
        default all that at least `min_rows` rows have (and not all rows).
    min_rows : int, default 20
        A smaller fold says nothing; it is made only if it is named in `values`.
    max_folds : int, default 50
        Without `values`, at most so many of the most frequent labels.
    """

    per_row: ClassVar[dict[str, str]] = {"by": "label"}
    recheck: ClassVar[bool] = True

    def __init__(
        self,
        by: str | ArrayLike = "element",
        values: str | Sequence[str] | None = None,
        min_rows: int = 20,
        max_folds: int = 50,
    ) -> None:
        self.by = by
        self.values = values
        self.min_rows = min_rows
        self.max_folds = max_folds

    def _regions(self, table: Rows) -> Iterator[Region]:
        labels = label_rows(self.by, table.groups)
        by = f"{self.by} " if isinstance(self.by, str) else ""
        if self.values is not None:
            chosen = split_values(self.values)
            if not chosen:
                raise SplitError(f"values = {self.values!r} names no label")
        else:
            counts = labels.counts()
            usable = np.flatnonzero((counts >= self.min_rows) & (counts < len(table)))
            frequent = usable[np.argsort(-counts[usable], kind="stable")][: self.max_folds]
            chosen = [labels.names[code] for code in np.sort(frequent)]
            if not chosen:
                most = max(counts.tolist(), default=0)
                raise SplitError(
                    f"no {by or 'label '}is on at least min_rows = {self.min_rows} and not all of "
                    f"{len(table)} rows (the most frequent: {most}); choose a smaller min_rows or "
                    "another labelling"
                )
        for name in chosen:
            yield Region(f"{by}{name}", labels.mask(name))

    def describe(self) -> str:
        """Say in one line what is held out."""
        return f"all materials with one {self.by if isinstance(self.by, str) else 'given label'}"

    def _remedy(self) -> str:
        return "Choose a label that some but not all materials have."


def split_values(values: str | Sequence[str]) -> list[str]:
    """Return the labels in a sequence, or in a text that joins them by commas."""
    parts = values.split(",") if isinstance(values, str) else [str(value) for value in values]
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))
