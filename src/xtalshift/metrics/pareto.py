"""Several goals at once: which rows no other beats, and how much of the values these reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.config import split_names
from xtalshift.errors import ConfigError, DataError, UsageError

FloatArray = NDArray[np.float64]
Goal = Literal["max", "min", "-"]
"""High values of a target are good, low ones are, or it does not matter."""

MOST_GOALS = 3
"""Targets of which an improvement is computed: its cells grow with the power of one less."""
_MARGIN = 0.1
_MOST_CELLS = 4_000_000
"""Cells times points at once: 32 MB."""


def read_goals(text: str, targets: Sequence[str]) -> tuple[Goal, ...]:
    """Return the goals of targets, in their order, from a text such as ``max,min,-``.

    Raises
    ------
    UsageError
        If there is not one for each target, or no two count.
    """
    given: list[Any] = split_names(text)
    if not set(given) <= set(get_args(Goal)) or len(given) != len(targets):
        raise UsageError(
            f"--goal {text}: expected {len(targets)} of max, min and - (does not matter), one for "
            f"each of {', '.join(targets)}"
        )
    if sum(one != "-" for one in given) < 2:  # noqa: PLR2004 - several
        raise UsageError(f"--goal {text}: give max or min for two targets or more")
    return tuple(given)


def refuse_class_goals(
    goals: Sequence[Goal], targets: Sequence[str], numbers: Sequence[str]
) -> None:
    """Raise `ConfigError` if a target counts that is a class, which is neither high nor low.

    Parameters
    ----------
    goals, targets : sequence of str
        A goal for each target.
    numbers : sequence of str
        The targets that are numbers.
    """
    for name, goal in zip(targets, goals, strict=True):
        if goal != "-" and name not in numbers:
            raise ConfigError(f"{name!r} is a class, which is neither high nor low: give - for it")


def upward(values: ArrayLike, goals: Sequence[Goal]) -> FloatArray:
    """Return those columns that count, with the sign that makes high values good.

    Parameters
    ----------
    values : array_like of float, shape (..., t)
        Values of t targets.
    goals : sequence of str, length t

    Returns
    -------
    ndarray of float64, shape (..., g)
    """
    signs = np.array([{"max": 1.0, "min": -1.0, "-": 0.0}[one] for one in goals])
    array = np.asarray(values, dtype=np.float64)
    if array.shape[-1] != len(signs):
        raise DataError(f"{array.shape[-1]} values for {len(signs)} goals")
    return np.asarray(array[..., signs != 0] * signs[signs != 0])


def nondominated(values: FloatArray) -> NDArray[np.bool_]:
    """Return which rows no other row beats, of values that are to be high (see `upward`).

    Parameters
    ----------
    values : ndarray of float64, shape (n, g)
        A row beats another if it is at least as high in all columns and higher in one.

    Returns
    -------
    ndarray of bool, shape (n,)
        Of equal rows the first; rows with NaN are never in it.
    """
    from moocore import is_nondominated  # the only library for this, used here alone

    known = np.flatnonzero(~np.isnan(values).any(axis=1))
    front = np.zeros(len(values), dtype=np.bool_)
    if known.size:
        # a stable order, so that the first of equal rows stays
        front[known] = is_nondominated(np.ascontiguousarray(values[known]), maximise=True)
    return front


def hypervolume(values: FloatArray, reference: FloatArray) -> float:
    """Return the volume of what rows reach above a reference point.

    Parameters
    ----------
    values : ndarray of float64, shape (n, g)
        High values are good; rows that are not above `reference` in all columns add nothing.
    reference : ndarray of float64, shape (g,)

    Returns
    -------
    float
        The volume of all points between `reference` and any row, in the product of the units.
    """
    from moocore import hypervolume as volume

    above = values[(values > reference).all(axis=1)]
    if not len(above):
        return 0.0
    return float(volume(np.ascontiguousarray(above), ref=reference, maximise=True))


def reference_point(values: FloatArray) -> FloatArray:
    """Return a reference point for values that are to be high: a tenth below their front.

    It is the lowest value of the front in each column, less a tenth of the range of the front; of
    the range of all rows where the front is one row.
    """
    known = values[~np.isnan(values).any(axis=1)]
    if not len(known):
        raise DataError("no row has all values; name a reference point (--reference)")
    front = known[nondominated(known)]
    span = np.ptp(front, axis=0)
    span = np.where(span > 0, span, np.ptp(known, axis=0))
    size = np.maximum(np.abs(front).max(axis=0), 1.0)
    span = np.where(span > 0, span, size)
    return np.asarray(front.min(axis=0) - _MARGIN * span)


def choose_by_hypervolume(values: FloatArray, k: int, reference: FloatArray) -> NDArray[np.int64]:
    """Return k rows, one after the other the one that adds the most hypervolume.

    Parameters
    ----------
    values : ndarray of float64, shape (n, g)
    k : int
    reference : ndarray of float64, shape (g,)

    Returns
    -------
    ndarray of int64, shape (min(n, k),)
        In the order of choice; of equal gains, and of rows that gain nothing, the first. The volume
        of the k is at least ``1 - 1/e`` of the largest possible (Nemhauser et al., Math. Program.
        14, 265, 1978).
    """
    chosen: list[int] = []
    left = np.arange(len(values))
    volume = 0.0
    gains = np.full(len(values), np.inf)  # what a row added when it was last looked at
    while len(chosen) < min(k, len(values)):
        # a gain only falls as rows are chosen, so that most need not be computed again
        fresh = np.zeros(len(values), dtype=np.bool_)
        while True:
            best = int(left[np.argmax(gains[left])])
            if fresh[best]:
                break
            gains[best] = hypervolume(values[[*chosen, best]], reference) - volume
            fresh[best] = True
        chosen.append(best)
        volume = hypervolume(values[chosen], reference)
        left = left[left != best]
    return np.array(chosen, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Front:
    """What known rows reach, so that the improvement by others can be computed for many at once.

    Raises
    ------
    ConfigError
        If there are more than 3 columns.
    """

    values: FloatArray
    """Shape (n, g). Known rows; high values are good."""
    reference: FloatArray
    """Shape (g,)."""

    def __post_init__(self) -> None:
        if len(self.reference) > MOST_GOALS:
            raise ConfigError(
                f"{len(self.reference)} goals: the improvement is computed for at most "
                f"{MOST_GOALS}; write - for those that matter least"
            )

    def plus(self, row: FloatArray) -> Front:
        """Return the front with a further row, shape (g,)."""
        return Front(np.vstack([self.values, row]), self.reference)

    @cached_property
    def rows(self) -> FloatArray:
        """The rows of the front that are above the reference point, shape (m, g)."""
        above = self.values[(self.values > self.reference).all(axis=1)]
        return above[nondominated(above)]

    def improvement(self, points: FloatArray) -> FloatArray:
        """Return the hypervolume that each point alone would add.

        The space above the reference point is cut at the values of the front in all columns but the
        last; in each cell the front reaches one height, so that the sum over cells is exact.

        Parameters
        ----------
        points : ndarray of float64, shape (p, g)

        Returns
        -------
        ndarray of float64, shape (p,)
        """
        edges, height = self._cells
        step = max(_MOST_CELLS // height.size, 1)
        parts = [self._added(part, edges, height) for part in _pieces(points, step)]
        return np.concatenate([*parts, np.empty(0)])

    @cached_property
    def _cells(self) -> tuple[list[FloatArray], FloatArray]:
        """Return lower edges in each column but the last, and the height reached in each cell."""
        lead = self.rows[:, :-1]
        edges = [
            np.unique(np.append(column, low))
            for column, low in zip(lead.T, self.reference[:-1], strict=True)
        ]
        height = np.full([len(one) for one in edges], self.reference[-1])
        for row in self.rows:
            # it covers the cells whose upper edge it reaches
            within = tuple(
                slice(0, int(np.searchsorted(one, value)))
                for one, value in zip(edges, row[:-1], strict=True)
            )
            height[within] = np.maximum(height[within], row[-1])
        return edges, height

    def _added(self, points: FloatArray, edges: list[FloatArray], height: FloatArray) -> FloatArray:
        shape = (len(points), *(1 for _ in edges))
        volume = np.maximum(points[:, -1].reshape(shape) - height, 0.0)
        for axis, lower in enumerate(edges):
            width = np.append(np.diff(lower), np.inf)
            length = np.clip(points[:, axis, None] - lower, 0.0, width)
            own = [1] * len(edges)
            own[axis] = len(lower)
            volume = volume * length.reshape(len(points), *own)
        return np.asarray(volume.reshape(len(points), -1).sum(axis=1))


def _pieces(points: FloatArray, step: int) -> list[FloatArray]:
    return [points[start : start + step] for start in range(0, len(points), step)]
