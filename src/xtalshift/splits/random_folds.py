"""Random splits: test rows that follow the training distribution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import KFold

from xtalshift.errors import SplitError
from xtalshift.seeding import Seed, as_generator
from xtalshift.splits.splitter import (
    SPLITTERS,
    BoolArray,
    HoldOut,
    IntArray,
    Region,
    Rows,
    Splitter,
    check_share,
)


@SPLITTERS.register("random")
@dataclass(eq=False, repr=False)
class RandomSplit(HoldOut):
    """Hold out a random share of the rows, whole formulas at a time.

    Parameters
    ----------
    share : float, default 0.2
        Share of rows held out; formulas are drawn in random order, and one that would exceed the
        share is passed over.
    random_state : int, Generator or None
        Draws the formulas.
    """

    aim = "none"
    role = "id"

    share: float = 0.2
    random_state: Seed = None

    def _held_out(self, table: Rows) -> BoolArray:
        check_share(self.share)
        sizes = np.bincount(table.numbers)
        scores = as_generator(self.random_state).random(len(sizes))
        taken = np.zeros(len(sizes), dtype=bool)
        room = self.share * len(table) + 1e-9  # 0.1 * 30 is not 3
        order = np.argsort(-scores, kind="stable")
        for group in order:
            if sizes[group] <= room:  # a formula with many rows must not end the draw
                taken[group] = True
                room -= sizes[group]
        if len(sizes) and not taken.any():
            taken[order[np.argmin(sizes[order])]] = True
        return taken[table.numbers]

    def describe(self) -> str:
        """Say in one line what is held out."""
        return f"a random {100 * self.share:g}% (whole formulas) of the rows"


class DealtSplitter(Splitter):
    """Base of the splitters that deal all rows into folds."""

    n_folds: int

    def _deal(self, parts: IntArray, n_groups: int, what: str) -> Iterator[Region]:
        if not 2 <= self.n_folds <= n_groups:  # noqa: PLR2004 - one fold leaves nothing to train on
            possible = (
                f"choose n_folds from 2 to {n_groups}"
                if n_groups > 1
                else "all rows are linked; choose another grouping"
            )
            raise SplitError(f"{self.n_folds} folds of {n_groups} {what}; {possible}")
        for number in range(self.n_folds):
            yield Region(f"fold {number}", parts == number)


@SPLITTERS.register("kfold")
@dataclass(eq=False, repr=False)
class KFoldSplit(DealtSplitter):
    """Deal whole formulas at random into folds of about equally many rows.

    Parameters
    ----------
    n_folds : int, default 5
        Folds.
    random_state : int, Generator, RandomState or None
        Draws the order in which formulas are dealt.
    whole_formulas : bool, default True
        False deals single rows instead: for an int, exactly the folds of scikit-learn's ``KFold``
        with ``shuffle=True``, such as the official folds of Matbench (five, seed 18012019).
    """

    aim = "none"
    role = "id"

    n_folds: int = 5
    random_state: Seed = None
    whole_formulas: bool = True

    def _regions(self, table: Rows) -> Iterator[Region]:
        if not self.whole_formulas:
            yield from self._deal(self._deal_rows(len(table)), len(table), "rows")
            return
        order = as_generator(self.random_state).permutation(len(table.names))
        yield from self._deal(
            fill_evenly(table.numbers, order, self.n_folds), len(order), "formulas"
        )

    def _deal_rows(self, n_rows: int) -> IntArray:
        """Return the fold of each row, shape (n_rows,)."""
        state = self.random_state
        if isinstance(state, np.random.Generator):  # scikit-learn takes none
            state = int(state.integers(2**31))
        parts = np.zeros(n_rows, dtype=np.int64)
        if 2 <= self.n_folds <= n_rows:  # noqa: PLR2004 - `_deal` says what is possible
            dealt = KFold(self.n_folds, shuffle=True, random_state=state)
            for number, (_, test) in enumerate(dealt.split(parts)):
                parts[test] = number
        return parts

    def describe(self) -> str:
        """Say in one line what is held out."""
        what = "whole formulas" if self.whole_formulas else "rows"
        return f"one of {self.n_folds} random folds of {what}"


@SPLITTERS.register("stratified")
@dataclass(eq=False, repr=False)
class StratifiedSplit(DealtSplitter):
    """Deal formulas into folds with the same distribution of targets.

    Formulas are sorted by their mean target; of every `n_folds` in that order each fold gets one,
    at random.

    Parameters
    ----------
    n_folds : int, default 5
        Folds.
    random_state : int, Generator or None
        Draws which fold gets which formula.
    """

    aim = "none"
    role = "id"
    needs = ("y",)

    n_folds: int = 5
    random_state: Seed = None

    def _regions(self, table: Rows) -> Iterator[Region]:
        means = table.formula_means(table.targets())
        n_blocks = -(-len(means) // max(self.n_folds, 1))
        blocks = np.tile(np.arange(max(self.n_folds, 1)), (n_blocks, 1))
        dealt = as_generator(self.random_state).permuted(blocks, axis=1).reshape(-1)
        parts = np.empty(len(means), dtype=np.int64)
        parts[np.argsort(means, kind="stable")] = dealt[: len(means)]
        yield from self._deal(parts[table.numbers], len(means), "formulas")

    def describe(self) -> str:
        """Say in one line what is held out."""
        return f"one of {self.n_folds} folds of whole formulas with the same spread of targets"


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
