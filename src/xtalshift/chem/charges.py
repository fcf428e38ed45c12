"""Whether a composition can be charge neutral with common oxidation states."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.elements import load_elements

__all__ = ["MAX_SUMS", "can_be_neutral"]

MAX_SUMS = 250_000
"""Most distinct charge sums that are followed per half of one composition."""

_TOLERANCE = 1e-8  # a smaller total charge is neutral
_FEW = 4096  # up to so many combinations of one row are simply enumerated
_BATCH = 2**17  # combinations enumerated at once


class _States(NamedTuple):
    """Oxidation states by Z: padded values, their number, the lowest and the highest."""

    values: NDArray[np.float64]
    number: NDArray[np.int64]
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]


def can_be_neutral(
    z: NDArray[np.uint8], amounts: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell whether one oxidation state per element can make the total charge zero.

    Parameters
    ----------
    z : ndarray of uint8, shape (k, m)
        Atomic numbers of m compositions of k elements each.
    amounts : ndarray of float64, shape (k, m)
        Their amounts as written; zero charge means below 1e-8 in these units.

    Returns
    -------
    neutral : ndarray of bool, shape (m,)
        A common oxidation state exists for every element such that the charges cancel.
        A single element is always neutral.
    unknown : ndarray of bool, shape (m,)
        The question was given up: more than `MAX_SUMS` distinct sums in half of the elements.
    """
    states = _states()
    n_elements, n_rows = z.shape
    unknown = np.zeros(n_rows, dtype=np.bool_)
    if n_elements < 2:  # noqa: PLR2004
        return np.ones(n_rows, dtype=np.bool_), unknown
    lowest = (states.lowest[z] * amounts).sum(axis=0)
    highest = (states.highest[z] * amounts).sum(axis=0)
    # NaN (an element without states) compares false and so is not neutral
    open_ = (lowest <= _TOLERANCE) & (highest >= -_TOLERANCE)
    neutral = np.zeros(n_rows, dtype=np.bool_)
    combinations = states.number[z].astype(np.float64).prod(axis=0)
    few = np.flatnonzero(open_ & (combinations <= _FEW))
    batch = (np.cumsum(combinations[few]) // _BATCH).astype(np.int64)
    for rows in np.split(few, np.flatnonzero(np.diff(batch)) + 1):
        neutral[rows] = _enumerate(z[:, rows], amounts[:, rows], states)
    for row in np.flatnonzero(open_ & (combinations > _FEW)):
        answer = _meet_in_the_middle(z[:, row], amounts[:, row])
        neutral[row], unknown[row] = answer is True, answer is None
    return neutral, unknown


def _enumerate(
    z: NDArray[np.uint8], amounts: NDArray[np.float64], states: _States
) -> NDArray[np.bool_]:
    """Form the charge of every combination of states; shapes as in `can_be_neutral`."""
    rows = np.arange(z.shape[1])
    charges = np.zeros(z.shape[1])
    for element, amount in zip(z, amounts, strict=True):
        number = states.number[element[rows]]
        source = np.repeat(np.arange(len(rows)), number)
        which = np.arange(len(source)) - np.repeat(np.cumsum(number) - number, number)
        rows = rows[source]
        charges = charges[source] + states.values[element[rows], which] * amount[rows]
    return np.bincount(rows[np.abs(charges) <= _TOLERANCE], minlength=z.shape[1]) > 0


def _meet_in_the_middle(z: NDArray[np.uint8], amounts: NDArray[np.float64]) -> bool | None:
    """Answer for one composition of many combinations; None: given up."""
    order = np.argsort(_states().number[z], kind="stable")
    left, right = (_distinct_sums(z[half], amounts[half]) for half in (order[::2], order[1::2]))
    if left is None or right is None:
        return None
    at = np.searchsorted(right, -left)
    gap_above = np.abs(left + right.take(at, mode="clip"))
    gap_below = np.abs(left + right.take(at - 1, mode="clip"))
    return bool(np.minimum(gap_above, gap_below).min() <= _TOLERANCE)


def _distinct_sums(
    z: NDArray[np.uint8], amounts: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return the sorted distinct charges of some elements, or None beyond `MAX_SUMS`."""
    sums = np.zeros(1)
    for element, amount in zip(z, amounts, strict=True):
        charges = np.array(load_elements().oxidation_states[element]) * amount
        # decimal amounts give the same sum in many ways; rounding merges them
        sums = np.unique(np.round(np.add.outer(sums, charges), 11))
        if len(sums) > MAX_SUMS:
            return None
    return sums


@cache
def _states() -> _States:
    table = load_elements().oxidation_states
    values = np.full((len(table), max(map(len, table))), np.nan)
    for z, states in enumerate(table):
        values[z, : len(states)] = states
    lowest = np.array([min(states, default=np.nan) for states in table])
    highest = np.array([max(states, default=np.nan) for states in table])
    return _States(values, np.array([len(states) for states in table]), lowest, highest)
