"""Random splits: test rows that follow the training distribution."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from xtalshift.errors import SplitError
from xtalshift.seeding import Seed, as_generator
from xtalshift.splits.base import SPLITTERS, HoldOut, Region, Splitter
from xtalshift.splits.grouped_rows import BoolArray, IntArray, Rows, check_share, group_numbers
from xtalshift.splits.labelling import join_groups
from xtalshift.splits.target import check_targets, formula_targets

__all__ = ["DealtSplitter", "GroupedSplit", "KFoldSplit", "RandomSplit", "StratifiedSplit"]


@SPLITTERS.register("random")
class RandomSplit(HoldOut):
    """Hold out a random share of the rows, whole formulas at a time.

    Parameters
    ----------
    share : float, default 0.2
        Share of rows held out; formulas are drawn in random order, and one that would exceed the
        share is passed over.
    random_state : int, Generator or None
        Decides which formulas.
    """

    role: ClassVar[str] = "id"

    def __init__(self, share: float = 0.2, random_state: Seed = None) -> None:
        self.share = share
        self.random_state = random_state

    def _held_out(self, table: Rows) -> BoolArray:
        check_share(self.share)
        numbers, n_groups = group_numbers(table.groups)
        sizes = np.bincount(numbers, minlength=n_groups)
        scores = as_generator(self.random_state).random(n_groups)
        taken = np.zeros(n_groups, dtype=bool)
        room = self.share * len(table) + 1e-9  # 0.1 * 30 is not 3
        order = np.argsort(-scores, kind="stable")
        for group in order:
            if sizes[group] <= room:  # a formula with many rows must not end the draw
                taken[group] = True
                room -= sizes[group]
        if n_groups and not taken.any():
            taken[order[np.argmin(sizes[order])]] = True
        return taken[numbers]

    def describe(self) -> str:
        """Say in one line what is held out."""
        return f"a random {100 * self.share:g}% (whole formulas) of the rows"


class DealtSplitter(Splitter):
    """Common to the splitters that deal all rows into folds."""

    role: ClassVar[str] = "id"
    n_folds: int

    def _deal(self, parts: IntArray, n_groups: int, what: str) -> Iterator[Region]:
        if not 2 <= self.n_folds <= n_groups:  # noqa: PLR2004 - one fold leaves nothing to train on
            possible = (
                f"choose n_folds from 2 to {n_groups}"
                if n_groups > 1
                else "all rows hang together; choose another grouping"
            )
            raise SplitError(f"{self.n_folds} folds of {n_groups} {what}; {possible}")
        for number in range(self.n_folds):
            yield Region(f"fold {number}", parts == number)


@SPLITTERS.register("kfold")
class KFoldSplit(DealtSplitter):
    """Deal whole formulas at random into folds of about equally many rows.

    Parameters
    ----------
    n_folds : int, default 5
        Folds.
    random_state : int, Generator or None
        Decides which formulas.
    """

    def __init__(self, n_folds: int = 5, random_state: Seed = None) -> None:
        self.n_folds = n_folds
        self.random_state = random_state

    def _regions(self, table: Rows) -> Iterator[Region]:
        numbers, n_groups = group_numbers(table.groups)
        order = as_generator(self.random_state).permutation(n_groups)
        parts = fill_evenly(numbers, order, self.n_folds)
        yield from self._deal(parts, n_groups, "formulas")

    def describe(self) -> str:
        """Say in one line what is held out."""
        return f"one of {self.n_folds} random folds of whole formulas"


@SPLITTERS.register("stratified")
class StratifiedSplit(DealtSplitter):
    """Deal formulas into folds with the same distribution of targets.

    Formulas are sorted by their mean target; of every `n_folds` in that order each fold gets one,
    at random.

    Parameters
    ----------
    n_folds : int, default 5
        Folds.
    random_state : int, Generator or None
        Decides which.
    """

    needs: ClassVar[tuple[str, ...]] = ("y",)

    def __init__(self, n_folds: int = 5, random_state: Seed = None) -> None:
        self.n_folds = n_folds
        self.random_state = random_state

    def _regions(self, table: Rows) -> Iterator[Region]:
        means, numbers = formula_targets(check_targets(table.y), table.groups)
        n_blocks = -(-len(means) // max(self.n_folds, 1))
        blocks = np.tile(np.arange(max(self.n_folds, 1)), (n_blocks, 1))
        dealt = as_generator(self.random_state).permuted(blocks, axis=1).reshape(-1)
        parts = np.empty(len(means), dtype=np.int64)
        parts[np.argsort(means, kind="stable")] = dealt[: len(means)]
        yield from self._deal(parts[numbers], len(means), "formulas")

    def describe(self) -> str:
        """Say in one line what is held out."""
        return f"one of {self.n_folds} folds of whole formulas with the same spread of targets"


@SPLITTERS.register("grouped")
class GroupedSplit(DealtSplitter):
    """Deal whole groups (chemical systems, families, a column of your own) into folds.

    A group is never on both sides, nor is a formula: groups that share a formula stay together.

    Parameters
    ----------
    by : str or array_like of shape (n,), default "chemsys"
        Name of a labelling in `chem.composition_labels` with one label per material, or a label per
        row.
    n_folds : int, default 5
        Folds; the largest groups are dealt first, each to the fold with the fewest rows.
    """

    role: ClassVar[str] = "ood"
    per_row: ClassVar[dict[str, str]] = {"by": "label"}
    recheck: ClassVar[bool] = True

    def __init__(self, by: str | ArrayLike = "chemsys", n_folds: int = 5) -> None:
        self.by = by
        self.n_folds = n_folds

    def _regions(self, table: Rows) -> Iterator[Region]:
        numbers, n_groups = join_groups(self.by, table.groups)
        order = np.argsort(-np.bincount(numbers, minlength=n_groups), kind="stable")
        parts = fill_evenly(numbers, order, self.n_folds)
        yield from self._deal(parts, n_groups, "groups that share no formula")

    def describe(self) -> str:
        """Say in one line what is held out."""
        by = self.by if isinstance(self.by, str) else "given group"
        return f"one of {self.n_folds} folds of whole groups ({by})"


def fill_evenly(numbers: IntArray, order: IntArray, n_folds: int) -> IntArray:
    """Deal groups in turn to the fold with the fewest rows; return each row's fold, shape (n,)."""
    sizes = np.bincount(numbers, minlength=len(order))
    filled = [0] * max(n_folds, 1)
    parts = np.empty(len(order), dtype=np.int64)
    for group in order.tolist():
        emptiest = filled.index(min(filled))
        parts[group] = emptiest
        filled[emptiest] += int(sizes[group])
    return parts[numbers]
