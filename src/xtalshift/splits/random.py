"""The random split: test rows that follow the training distribution."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xtalshift.seeding import Seed, as_generator
from xtalshift.splits.base import SPLITTERS, BoolArray, Splitter, group_numbers, take_top

__all__ = ["RandomSplit"]


@SPLITTERS.register("random")
class RandomSplit(Splitter):
    """Hold out a random share of the rows, whole formulas at a time.

    Parameters
    ----------
    share : float, default 0.2
        Share of rows held out; the largest number of formulas that does not exceed it.
    random_state : int, Generator or None
        Decides which formulas.
    """

    role: ClassVar[str] = "id"

    def __init__(self, share: float = 0.2, random_state: Seed = None) -> None:
        self.share = share
        self.random_state = random_state

    def _held_out(
        self,
        X: NDArray[Any],  # noqa: ARG002
        y: NDArray[np.float64] | None,  # noqa: ARG002
        groups: NDArray[Any],
    ) -> BoolArray:
        numbers, n_groups = group_numbers(groups)
        scores = as_generator(self.random_state).random(n_groups)
        return take_top(scores[numbers], groups, self.share)

    def describe(self) -> str:
        """Say in one line what is held out."""
        return f"a random {100 * self.share:g}% of the rows, whole formulas at a time"
