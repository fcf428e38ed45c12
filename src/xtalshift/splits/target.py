"""Prior shift: the tails of the target."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import SplitError
from xtalshift.splits.base import SPLITTERS, BoolArray, Splitter, check_share, take_top

__all__ = ["PriorSplit", "Tail"]

Tail = Literal["high", "low", "both"]


@SPLITTERS.register("prior")
class PriorSplit(Splitter):
    """Hold out the tail of the target distribution.

    Parameters
    ----------
    tail : {"high", "low", "both"}, default "high"
        Which tail; ``"both"`` takes half of the share from each end, at least one formula.
    share : float, default 0.1
        Share of rows held out.

    Notes
    -----
    Where a formula has several rows, all of them follow its most extreme one, so no training
    target lies beyond that of the least extreme formula held out.
    """

    def __init__(self, tail: Tail = "high", share: float = 0.1) -> None:
        self.tail = tail
        self.share = share

    def _held_out(
        self,
        X: NDArray[Any],  # noqa: ARG002
        y: NDArray[np.float64] | None,
        groups: NDArray[Any],
    ) -> BoolArray:
        if y is None:
            raise SplitError("a prior shift is a tail of the targets: pass y")
        if not np.isfinite(y).all():
            row = int(np.argmin(np.isfinite(y)))
            raise SplitError(f"y[{row}] is {y[row]}; a tail needs finite targets, drop such rows")
        if self.tail == "both":
            check_share(self.share)
            return take_top(-y, groups, self.share / 2) | take_top(y, groups, self.share / 2)
        if self.tail not in get_args(Tail):
            raise SplitError(f"tail = {self.tail!r}; expected one of {', '.join(get_args(Tail))}")
        return take_top(y if self.tail == "high" else -y, groups, self.share)

    def describe(self) -> str:
        """Say in one line what is held out."""
        ends = {"high": "highest", "low": "lowest", "both": "highest and lowest"}
        end = ends.get(self.tail, self.tail)
        return f"the {100 * self.share:g}% of rows with the {end} targets"
