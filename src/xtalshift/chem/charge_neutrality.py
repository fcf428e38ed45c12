"""Charge neutrality: whether charges can cancel, with which oxidation states, by which rule.

Two sources: the common oxidation states and Pauling electronegativities of the element table
(`xtalshift.chem.elements`), and, where it is installed, the screening of the package SMACT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import pairwise, product
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.compositions import Compositions
from xtalshift.chem.elements import load_elements
from xtalshift.errors import ConfigError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

Accept = Callable[[tuple[str, ...], IntArray], BoolArray]
"""Symbols of k elements and amounts of shape (k, n) -> which of the n compositions to keep."""

Pairs = Callable[[int, int], BoolArray]
"""Places i < j of two elements -> which pairs of their states are allowed, shape (n_i, n_j)."""

MAX_SUMS = 250_000
"""Largest number of distinct charge sums of half of the elements of one composition."""

MAX_COMBINATIONS = 4096
"""Largest number of combinations of oxidation states that is enumerated for one composition."""

_TOLERANCE = 1e-8  # a smaller total charge is zero
_BATCH = 2**17  # combinations enumerated at once
_PRODUCTS = 2**20  # charges formed at once by `neutral_under`
_CHOICES = 1024  # up to so many combinations `neutral_under` is faster than `can_be_neutral`
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


class IonRule(NamedTuple):
    """A condition on the whole-number amounts of given elements."""

    key: Callable[[tuple[int, ...]], object]
    """Atomic numbers of k elements -> key; equal keys have equal answers."""
    holds: Callable[[tuple[int, ...], IntArray], BoolArray]
    """Atomic numbers and amounts of shape (k, n) -> where the condition holds, shape (n,)."""


def join_states(states: Sequence[Sequence[int]], allowed: Pairs) -> IntArray:
    """Return every combination of one state per element with all pairs allowed, shape (c, k)."""
    chosen = np.zeros((1, 0), dtype=np.int64)  # places in `states`
    for j, own in enumerate(states):
        before = np.repeat(chosen, len(own), axis=0)
        place = np.tile(np.arange(len(own)), len(chosen))
        fits = np.ones(len(place), dtype=np.bool_)
        for i in range(j):
            fits &= allowed(i, j)[before[:, i], place]
        chosen = np.column_stack((before, place))[fits]
    values = [np.array(own, dtype=np.int64)[at] for own, at in zip(states, chosen.T, strict=True)]
    return np.column_stack(values)


def neutral_under(amounts: IntArray, states: IntArray) -> BoolArray:
    """Return which compositions are neutral with at least one combination of states, shape (n,).

    `amounts` are the atoms of k elements in n compositions, shape (k, n); `states` the
    combinations, shape (c, k), as from `join_states`.
    """
    neutral = np.zeros(amounts.shape[1], dtype=np.bool_)
    states = states[(states.min(axis=1) <= 0) & (states.max(axis=1) >= 0)]  # others never cancel
    exact = amounts.astype(np.float32)  # all charges below 2**24 are exact
    step = max(1, _PRODUCTS // max(1, amounts.shape[1]))
    for start in range(0, len(states), step):
        neutral |= (states[start : start + step].astype(np.float32) @ exact == 0).any(axis=0)
    return neutral


def _any(z: tuple[int, ...], amounts: IntArray) -> BoolArray:  # noqa: ARG001
    return np.ones(amounts.shape[1], dtype=np.bool_)


def _neutral(z: tuple[int, ...], amounts: IntArray) -> BoolArray:
    states = [load_elements().oxidation_states[number] for number in z]
    if len(z) > 1 and prod(map(len, states)) <= _CHOICES:
        combinations = np.array(list(product(*states)), dtype=np.int64)
        return neutral_under(amounts, combinations.reshape(-1, len(z)))
    # whole numbers of atoms have too few distinct charges for the search to be given up
    columns = np.broadcast_to(np.array(z, dtype=np.uint8)[:, None], amounts.shape)
    return can_be_neutral(columns, amounts.astype(np.float64))[0]


def _ordered(z: tuple[int, ...], amounts: IntArray) -> BoolArray:
    x = load_elements().electronegativity[list(z)]
    if len(z) == 1:
        return np.ones(amounts.shape[1], dtype=np.bool_)
    if np.isnan(x).any():
        return np.zeros(amounts.shape[1], dtype=np.bool_)
    states = [np.array(load_elements().oxidation_states[number]) for number in z]

    def allowed(i: int, j: int) -> BoolArray:  # x[i] <= x[j]
        wrong = np.logical_and.outer(states[i] < 0, states[j] > 0)
        if x[i] == x[j]:
            wrong |= np.logical_and.outer(states[i] > 0, states[j] < 0)
        return ~wrong

    return neutral_under(amounts, join_states([own.tolist() for own in states], allowed))


@cache
def _key_tables() -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return by Z: the first element with equal states (and known X alike), and X itself."""
    table = load_elements()
    x: list[float] = table.electronegativity.tolist()
    first: dict[object, int] = {}
    keys = zip(table.oxidation_states, map(np.isnan, x), strict=True)
    return tuple(first.setdefault(key, z) for z, key in enumerate(keys)), tuple(x)


def _key(z: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(map(_key_tables()[0].__getitem__, z))


def _ordered_key(z: tuple[int, ...]) -> object:
    x = _key_tables()[1]
    return _key(z), tuple(x[a] < x[b] for a, b in pairwise(z))


ANY = IonRule(len, _any)
"""Always holds."""

NEUTRAL = IonRule(_key, _neutral)
"""`can_be_neutral` with common oxidation states."""

ORDERED = IonRule(_ordered_key, _ordered)
"""Neutral, with each cation less electronegative (Pauling) than each anion.

Elements are given in order of electronegativity. The rule holds for a single element, and never
for several of which one has no electronegativity.
"""


def load_smact_rules() -> Accept:
    """Return the screening of SMACT as a rule for `xtalshift.chem.enumeration.enumerate_formulas`.

    The rule accepts what `smact.screening.smact_validity` accepts by default: elements, alloys (of
    the metals of SMACT), and compositions that are neutral with one oxidation state of SMACT (ICSD,
    2024) per element, where each cation is less electronegative than each anion. Oxidation states,
    metals, electronegativities and their test come from the library. The test looks at two ions at
    a time and runs once per pair of elements, not once per formula.

    Returns
    -------
    callable
        Symbols of k elements and amounts of shape (k, n) -> which of them to keep, shape (n,).

    Raises
    ------
    ConfigError
        If the package is not installed.

    References
    ----------
    Davies et al., J. Open Source Softw. 4, 1361, 2019; Chem 1, 617, 2016.
    """
    try:
        from smact import Element, metals
        from smact.screening import ICSD24FilterConfig, pauling_test
        from smact.utils.oxidation import ICSD24OxStatesFilter
    except ImportError as error:
        raise ConfigError(
            "the rules smact need the package SMACT 4 or later: pip install 'xtalshift[smact]'"
        ) from error

    usual = ICSD24FilterConfig()
    table = ICSD24OxStatesFilter().filter(
        consensus=usual.consensus, include_zero=usual.include_zero, commonality=usual.commonality
    )
    texts = zip(table["element"], table["oxidation_state"], strict=True)
    states = {str(symbol): [int(state) for state in str(text).split()] for symbol, text in texts}

    @cache
    def allowed(one: str, other: str) -> BoolArray:
        x = Element(one).pauling_eneg, Element(other).pauling_eneg
        return np.array([[pauling_test((a, b), x) for b in states[other]] for a in states[one]])

    @lru_cache(maxsize=64)  # amounts of many atoms come in several pieces
    def combinations(symbols: tuple[str, ...]) -> IntArray:
        own = [states[symbol] for symbol in symbols]
        return join_states(own, lambda i, j: allowed(symbols[i], symbols[j]))

    def keep(symbols: tuple[str, ...], amounts: IntArray) -> BoolArray:
        if len(symbols) == 1 or all(symbol in metals for symbol in symbols):
            return np.ones(amounts.shape[1], dtype=np.bool_)
        if not all(symbol in states for symbol in symbols):
            return np.zeros(amounts.shape[1], dtype=np.bool_)
        return neutral_under(amounts, combinations(symbols))

    return keep
