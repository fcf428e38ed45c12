"""Charge neutrality as a feature: whether common oxidation states can cancel, and with which.

The states and Pauling electronegativities are those of the element table
(`xtalshift.chem.elements`). Amounts may be fractions. `xtalshift.chem.charge_balance` has the
stricter rules for whole atoms by which candidates are enumerated.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.compositions import Compositions
from xtalshift.chem.elements import load_elements

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

MAX_SUMS = 250_000
"""Largest number of distinct charge sums of half of the elements of one composition."""

MAX_COMBINATIONS = 4096
"""Largest number of combinations of oxidation states that is enumerated for one composition."""

_TOLERANCE = 1e-8  # a smaller total charge is zero
_BATCH = 2**17  # combinations enumerated at once
_METAL = 1.5  # electronegativity that `assign_states` gives to all metals
_LARGEST = 8  # all oxidation states lie within +-8


class _States(NamedTuple):
    """Common oxidation states by Z: ascending, padded with NaN; their number and their range."""

    values: FloatArray
    number: IntArray
    lowest: FloatArray
    highest: FloatArray


def can_be_neutral(z: NDArray[np.uint8], amounts: FloatArray) -> tuple[BoolArray, BoolArray]:
    """Return whether one common oxidation state per element can make the total charge zero.

    Parameters
    ----------
    z : ndarray of uint8, shape (k, m)
        Atomic numbers of m compositions of k elements each.
    amounts : ndarray of float64, shape (k, m)
        Amounts as written. A total charge below 1e-8 in these units is zero.

    Returns
    -------
    neutral : ndarray of bool, shape (m,)
        Whether a combination of states is neutral. A single element always is.
    unknown : ndarray of bool, shape (m,)
        Whether the search was given up because half of the elements have more than `MAX_SUMS`
        distinct charge sums.
    """
    neutral, unknown = np.zeros((2, z.shape[1]), dtype=np.bool_)
    if len(z) < 2:  # noqa: PLR2004
        return ~neutral, unknown
    for rows, _ in _neutral_combinations(z, amounts):
        neutral[rows] = True
    many = _may_cancel(z, amounts) & (_count_combinations(z) > MAX_COMBINATIONS)
    for row in np.flatnonzero(many):
        answer = _meet_in_the_middle(z[:, row], amounts[:, row])
        neutral[row], unknown[row] = answer is True, answer is None
    return neutral, unknown


def neutral_rows(compositions: Compositions) -> tuple[BoolArray, BoolArray]:
    """Return `can_be_neutral` of n compositions of any size, two arrays of shape (n,).

    An invalid row (without elements) is not neutral.
    """
    neutral, unknown = np.zeros((2, len(compositions)), dtype=np.bool_)
    for rows, at in _by_size(compositions):
        neutral[rows], unknown[rows] = can_be_neutral(compositions.z[at], compositions.amounts[at])
    return neutral, unknown


def assign_states(compositions: Compositions) -> FloatArray:
    """Assign an oxidation state to each element of each composition.

    Among the neutral combinations of one common state per element, the smallest
    ``sum_i amount_i state_i X_i`` wins (X: Pauling electronegativity; metals, the elements without
    a negative state, count alike), so that electrons sit on the electronegative elements: CH4 is
    C(-4) H(+1), not C(+4) H(-1). Ties are decided by the smallest ``sum_i amount_i state_i^2``
    (CeFeO3 is Ce(+3) Fe(+3)), then by the first sum with the metals' own X, then by the lower
    states of the lighter elements. The order of the elements does not matter. Mixed valence
    (Fe3O4) is not considered.

    Parameters
    ----------
    compositions : Compositions
        n rows.

    Returns
    -------
    ndarray of float64, shape (nnz,)
        Aligned with ``compositions.z``. NaN for rows without a neutral combination or with more
        than `MAX_COMBINATIONS`. A row of one element has the state 0.
    """
    charges = np.full(len(compositions.z), np.nan)
    for _, at in _by_size(compositions):
        if len(at) == 1:
            charges[at] = 0.0
            continue
        at = np.take_along_axis(at, np.argsort(compositions.z[at], axis=0), axis=0)  # noqa: PLW2901
        charges[at] = _best_states(compositions.z[at], compositions.amounts[at])
    return charges


@cache
def has_state() -> BoolArray:
    """Return whether a state is common for an element, shape (119, 17): row Z, column state + 8."""
    table = np.zeros((len(load_elements().oxidation_states), 2 * _LARGEST + 1), dtype=np.bool_)
    for z, states in enumerate(load_elements().oxidation_states):
        table[z, [state + _LARGEST for state in states]] = True
    table.flags.writeable = False
    return table


@cache
def _states() -> _States:
    table = load_elements().oxidation_states
    values = np.full((len(table), max(map(len, table))), np.nan)
    for z, states in enumerate(table):
        values[z, : len(states)] = sorted(states)
    highest = np.array([max(states, default=np.nan) for states in table])
    return _States(values, np.array([len(states) for states in table]), values[:, 0], highest)


def _by_size(compositions: Compositions) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield rows of equally many elements k, shape (m,), and the places of these, shape (k, m)."""
    sizes = compositions.sizes
    for size in np.unique(sizes[sizes > 0]):
        rows = np.flatnonzero(sizes == size)
        yield rows, compositions.starts[rows] + np.arange(size)[:, None]


def _may_cancel(z: NDArray[np.uint8], amounts: FloatArray) -> BoolArray:
    """Return whether zero lies between the lowest and the highest total charge, shape (m,)."""
    lowest = (_states().lowest[z] * amounts).sum(axis=0)
    highest = (_states().highest[z] * amounts).sum(axis=0)
    # an element without states gives NaN, which compares false
    possible: BoolArray = (lowest <= _TOLERANCE) & (highest >= -_TOLERANCE)
    return possible


def _count_combinations(z: NDArray[np.uint8]) -> FloatArray:
    return np.asarray(_states().number[z].prod(axis=0, dtype=np.float64))


def _neutral_combinations(
    z: NDArray[np.uint8], amounts: FloatArray
) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield, in batches, each neutral combination of the rows with few: its row and its number.

    The digits of the number are the places of the states; the first element has the most
    significant digit.
    """
    states, combinations = _states(), _count_combinations(z)
    few = np.flatnonzero(_may_cancel(z, amounts) & (combinations <= MAX_COMBINATIONS))
    batch = (np.cumsum(combinations[few]) // _BATCH).astype(np.int64)
    for rows in np.split(few, np.flatnonzero(np.diff(batch)) + 1):
        row = np.arange(len(rows))
        charges = np.zeros(len(rows))
        for element, amount in zip(z[:, rows], amounts[:, rows], strict=True):
            number = states.number[element[row]]
            source = np.repeat(np.arange(len(row)), number)
            place = np.arange(len(source)) - np.repeat(np.cumsum(number) - number, number)
            row = row[source]
            charges = charges[source] + states.values[element[row], place] * amount[row]
        found = np.flatnonzero(np.abs(charges) <= _TOLERANCE)
        first = np.searchsorted(row, np.arange(len(rows)))
        yield rows[row[found]], found - first[row[found]]


def _best_states(z: NDArray[np.uint8], amounts: FloatArray) -> FloatArray:
    """Return the states of m rows of k elements by `assign_states`, shape (k, m)."""
    states = _states()
    best = np.full(z.shape, np.nan)
    for rows, code in _neutral_combinations(z, amounts):
        own, number = z[:, rows], states.number[z[:, rows]]
        weight = np.cumprod(number[::-1], axis=0)[::-1] // number  # of each digit
        found = states.values[own, code // weight % number]
        order = np.lexsort((code, *_merits(found, own, amounts[:, rows]), rows))
        first = order[np.flatnonzero(np.diff(rows[order], prepend=-1))]
        best[:, rows[first]] = found[:, first]
    return best


def _merits(found: FloatArray, z: NDArray[np.uint8], amounts: FloatArray) -> list[FloatArray]:
    """Return the sums to minimise, the most important last, rounded so that ties are equal."""
    x = load_elements(impute_nan=True).electronegativity
    levelled = np.where(_states().lowest < 0, x, _METAL)
    charges = amounts / amounts.sum(axis=0) * found
    return [np.round((charges * factor).sum(axis=0), 9) for factor in (x[z], found, levelled[z])]


def _meet_in_the_middle(z: NDArray[np.uint8], amounts: FloatArray) -> bool | None:
    """Return `can_be_neutral` of one composition of many combinations; None if given up."""
    order = np.argsort(_states().number[z], kind="stable")
    left, right = (_distinct_sums(z[half], amounts[half]) for half in (order[::2], order[1::2]))
    if left is None or right is None:
        return None
    at = np.searchsorted(right, -left)
    gap_above = np.abs(left + right.take(at, mode="clip"))
    gap_below = np.abs(left + right.take(at - 1, mode="clip"))
    return bool(np.minimum(gap_above, gap_below).min() <= _TOLERANCE)


def _distinct_sums(z: NDArray[np.uint8], amounts: FloatArray) -> FloatArray | None:
    """Return the sorted distinct charges of some elements, or None beyond `MAX_SUMS`."""
    sums = np.zeros(1)
    for element, amount in zip(z, amounts, strict=True):
        charges = np.array(load_elements().oxidation_states[element]) * amount
        # decimal amounts give the same sum in many ways; rounding merges them
        sums = np.unique(np.round(np.add.outer(sums, charges), 11))
        if len(sums) > MAX_SUMS:
            return None
    return sums
