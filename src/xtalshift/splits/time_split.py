"""Time split: train on what was known, test on what was reported later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import SplitError
from xtalshift.splits.splitter import SPLITTERS, PerRow, Region, Rows, Splitter, check_share


@SPLITTERS.register("time")
@dataclass(eq=False, repr=False)
class TimeSplit(Splitter):
    """Hold out the formulas reported last; training rows are never later than the cut.

    The time of a formula is that of its earliest row. A later row of a formula that was known
    before the cut is not used: it would inform the training about a later time. Rows of one time
    stay together.

    Parameters
    ----------
    times : array_like of float or datetime64, shape (n,)
        When each row was reported, or its place in any order of release.
    share : float, default 0.2
        Share of rows in each test period (at least the rows of one time).
    n_folds : int, default 1
        Test periods, the latest last; each trains on everything before it.
    """

    aim = "discovery"
    per_row: ClassVar[PerRow] = {"times": "number"}
    recheck = True

    times: ArrayLike
    share: float = 0.2
    n_folds: int = 1

    def _regions(self, table: Rows) -> Iterator[Region]:
        times = self._numbers(len(table)) + 0.0  # -0 is 0, also by name
        check_share(self.share)
        if not (self.n_folds >= 1 and self.share * self.n_folds < 1):
            most = int((1 - 1e-9) / self.share)
            raise SplitError(
                f"{self.n_folds} test periods of {100 * self.share:g}% leave nothing before the "
                f"first; choose n_folds from 1 to {most}, or a smaller share"
            )
        first = np.full(len(table.names), np.inf)
        np.minimum.at(first, table.numbers, times)
        reported = first[table.numbers]
        known, counts = np.unique(reported, return_counts=True)
        later = np.cumsum(counts[::-1])[::-1]  # rows reported at this time or later
        cuts = [len(known)]  # number of times before each test period, from the latest on
        for period in range(1, self.n_folds + 1):
            wanted = int(np.argmax([*(later <= self.share * period * len(table) + 1e-9), True]))
            cuts.append(min(wanted, cuts[-1] - 1))
        if cuts[-1] < 1:
            raise SplitError(
                f"{self.describe()}: there are only {len(known)} different times, and nothing is "
                "left before the first period; choose a smaller share or fewer periods"
            )
        for start, end in zip(cuts[:0:-1], cuts[-2::-1], strict=True):
            test = np.isin(reported, known[start:end])
            unused = (times >= known[start]) & ~test
            name = f"{self._show(known[start])} to {self._show(known[end - 1])}"
            yield Region(name, test, unused)

    def _numbers(self, n_rows: int) -> NDArray[np.float64]:
        times = np.asarray(self.times)
        if times.shape != (n_rows,):
            raise SplitError(f"times has shape {times.shape}; expected ({n_rows},)")
        if times.dtype.kind == "M":
            numbers = times.astype("datetime64[s]").astype(float)
            numbers[np.isnat(times)] = np.nan
        else:
            try:
                numbers = times.astype(float)
            except (TypeError, ValueError) as error:
                raise SplitError(
                    f"times holds {times[0]!r}; give numbers, or dates as numpy.datetime64"
                ) from error
        if not np.isfinite(numbers).all():
            row = int(np.argmin(np.isfinite(numbers)))
            raise SplitError(
                f"times[{row}] is {times[row]}; every row needs a time, fill or drop it"
            )
        return numbers

    def _show(self, time: float) -> str:
        if np.asarray(self.times).dtype.kind == "M":
            return str(np.datetime64(int(time), "s")).removesuffix("T00:00:00")
        return f"{time:.15g}"

    def describe(self) -> str:
        """Say in one line what is held out."""
        many = f"one of {self.n_folds} periods, each " if self.n_folds > 1 else ""
        return f"{many}the {100 * self.share:g}% of rows whose formulas were reported last"
