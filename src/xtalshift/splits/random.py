"""The random split: test rows that follow the training distribution."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xtalshift.seeding import Seed, as_generator
from xtalshift.splits.base import SPLITTERS, BoolArray, Splitter, check_share, group_numbers

__all__ = ["RandomSplit"]


@SPLITTERS.register("random")
class RandomSplit(Splitter):
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

    def _held_out(
        self,
        X: NDArray[Any],  # noqa: ARG002
        y: NDArray[np.float64] | None,  # noqa: ARG002
        groups: NDArray[Any],
    ) -> BoolArray:
        check_share(self.share)
        numbers, n_groups = group_numbers(groups)
        sizes = np.bincount(numbers, minlength=n_groups)
        scores = as_generator(self.random_state).random(n_groups)
        taken = np.zeros(n_groups, dtype=bool)
        room = self.share * len(groups) + 1e-9  # 0.1 * 30 is not 3
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
