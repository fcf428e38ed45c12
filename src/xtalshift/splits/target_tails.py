"""Tails of the target: the highest or lowest values, as in prior shift and MatEx."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import SplitError
from xtalshift.seeding import Seed, as_generator
from xtalshift.splits.leave_out import label_rows
from xtalshift.splits.splitter import (
    SPLITTERS,
    BoolArray,
    HoldOut,
    IntArray,
    PerRow,
    Region,
    Rows,
    check_share,
    group_numbers,
    take_top,
)

Tail = Literal["high", "low", "both"]


@SPLITTERS.register("prior")
@dataclass(eq=False, repr=False)
class PriorSplit(HoldOut):
    """Hold out a tail of the target, of all rows or within each chemical family.

    Parameters
    ----------
    tail : {"high", "low", "both"}, default "high"
        ``"both"`` takes half of the share from each end, at least one formula.
    share : float, default 0.1
        Share of rows held out.
    within : str or array_like of shape (n,), optional
        A conditional tail: the share is taken within each chemical ``"family"`` (or another
        labelling of `xtalshift.chem.composition_labels` with one label per material, or labels of
        your own), so that every family trains and is tested, and only P(y | family) is cut.
    only : str, optional
        The one label of `within` whose tail is held out; all other rows train.

    Notes
    -----
    All rows of a formula follow its most extreme one, so no training target is more extreme than
    that of the least extreme formula held out.
    """

    aim = "unseen values"
    needs = ("y",)
    per_row: ClassVar[PerRow] = {"within": "one label"}
    recheck = True

    tail: Tail = "high"
    share: float = 0.1
    within: str | ArrayLike | None = None
    only: str | None = None

    def _held_out(self, table: Rows) -> BoolArray:
        targets = table.targets()
        if self.within is None:
            if self.only is not None:
                raise SplitError(f"only = {self.only!r} is one label of within; give within too")
            return self._tail(targets, table.numbers)
        labels = label_rows(self.within, table, single=True)
        held_out = np.zeros(len(table), dtype=bool)
        for name in labels.names if self.only is None else [str(self.only)]:
            rows = np.flatnonzero(labels.mask(name))
            if len(np.unique(table.numbers[rows])) > 1:  # a label of one formula has no tail
                held_out[rows] = self._tail(targets[rows], table.numbers[rows])
        return held_out

    def _tail(self, y: NDArray[np.float64], groups: IntArray) -> BoolArray:
        if self.tail == "both":
            check_share(self.share)
            return take_top(-y, groups, self.share / 2) | take_top(y, groups, self.share / 2)
        if self.tail not in get_args(Tail):
            raise SplitError(f"tail = {self.tail!r}; expected one of {', '.join(get_args(Tail))}")
        return take_top(y if self.tail == "high" else -y, groups, self.share)

    def describe(self) -> str:
        """Say in one line what is held out."""
        ends = {"high": "highest", "low": "lowest", "both": "highest and lowest"}
        text = (
            f"the {100 * self.share:g}% of rows with the {ends.get(self.tail, self.tail)} targets"
        )
        if self.within is None:
            return text
        by = self.within if isinstance(self.within, str) else "given label"
        return f"{text} within {f'{by} {self.only}' if self.only is not None else f'each {by}'}"


@SPLITTERS.register("matex")
@dataclass(eq=False, repr=False)
class MatExSplit(HoldOut):
    """Hold out the top 5 % of the target, with 5 % of the other rows for model selection, as in
    MatEx (Segal et al., AI4Mat workshop, NeurIPS 2024; its roles train, eval and ood).

    As published it counts rows, so a formula may be in two parts.

    Parameters
    ----------
    share : float, default 0.05
        Share of rows with the highest targets (rounded down); ties go by the order of rows.
    eval_share : float, default 0.05
        Share of the other rows drawn at random for model selection (rounded down).
    whole_formulas : bool, default False
        Keep rows of one formula together; a formula follows its highest row.
    random_state : int, Generator or None
        Draws the rows for model selection; the publication does not state its own.
    """  # noqa: D205

    aim = "unseen values"
    needs = ("y",)

    share: float = 0.05
    eval_share: float = 0.05
    whole_formulas: bool = False
    random_state: Seed = None

    def _held_out(self, table: Rows) -> BoolArray:
        targets = table.targets()
        check_share(self.share)
        if self.whole_formulas:
            return take_top(targets, table.numbers, self.share)
        mask = np.zeros(len(table), dtype=bool)
        mask[np.argsort(-targets, kind="stable")[: _share_of(len(table), self.share)]] = True
        return mask

    def _regions(self, table: Rows) -> Iterator[Region]:
        test = self._held_out(table)
        check_share(self.eval_share)
        rest = np.flatnonzero(~test)
        generator = as_generator(self.random_state)
        val = np.zeros(len(table), dtype=bool)
        if self.whole_formulas:
            numbers, n_groups = group_numbers(table.numbers[rest])
            val[rest] = take_top(generator.random(n_groups)[numbers], numbers, self.eval_share)
        else:
            val[generator.permutation(rest)[: _share_of(len(rest), self.eval_share)]] = True
        yield Region("", test, val=val)

    def describe(self) -> str:
        """Say in one line what is held out."""
        return f"the {100 * self.share:g}% of rows with the highest targets (MatEx)"


def _share_of(n_rows: int, share: float) -> int:
    return int(share * n_rows + 1e-9)  # 0.05 * 2740 may be 136.99999999999997
