"""One oxidation state per element of a composition, so that the charges cancel."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.charges import can_be_neutral
from xtalshift.chem.compositions import Compositions
from xtalshift.chem.elements import load_elements

__all__ = ["MAX_COMBINATIONS", "assign_states", "has_state", "neutral_rows"]

MAX_COMBINATIONS = 4096
"""Most combinations of oxidation states of one row that are looked at."""

_TOLERANCE = 1e-8  # that of chem.charges
_BATCH = 2**18  # combinations looked at once
_METAL = 1.5  # electronegativity of a metal among non-metals
_LARGEST = 8  # no oxidation state is beyond +-8


class _States(NamedTuple):
    """By Z: oxidation states (padded with 0), their number, electronegativity (also levelled)."""

    values: NDArray[np.float64]
    number: NDArray[np.int64]
    electronegativity: NDArray[np.float64]
    levelled: NDArray[np.float64]


def assign_states(compositions: Compositions) -> NDArray[np.float64]:
    """Give each element of each row the oxidation state it has in the likeliest neutral whole.

    Of all combinations of one common oxidation state per element whose total charge is zero, the
    one is taken whose electrons sit on the electronegative elements: the smallest
    ``sum_i amount_i state_i X_i`` (X: Pauling electronegativity), in which metals, the elements
    that are never negative, count alike. CH4 is C(-4) H(+1), not C(+4) H(-1). Among equals the
    smallest ``sum_i amount_i state_i^2`` decides (CeFeO3 is Ce(+3) Fe(+3)), then the first sum with
    the metals' own X, then the lower states of the lighter elements; the order of the elements does
    not matter. Mixed valence (Fe3O4) is not looked for.

    Parameters
    ----------
    compositions : Compositions
        n rows.

    Returns
    -------
    ndarray of float64, shape (nnz,)
        Aligned with ``compositions.z``. NaN for rows without a neutral combination and for those
        with more than `MAX_COMBINATIONS`. The element of an elementary row has the state 0.
    """
    charges = np.full(len(compositions.z), np.nan)
    sizes = compositions.sizes
    for size in np.unique(sizes[sizes > 0]):  # rows of equally many elements are one array
        at = compositions.starts[np.flatnonzero(sizes == size)] + np.arange(size)[:, None]
        if size == 1:
            charges[at] = 0.0
            continue
        order = np.argsort(compositions.z[at], axis=0)
        at = np.take_along_axis(at, order, axis=0)
        charges[at] = _assign(compositions.z[at], compositions.amounts[at])
    return charges


def neutral_rows(compositions: Compositions) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Ask `can_be_neutral` of rows of any size.

    Parameters
    ----------
    compositions : Compositions
        n rows; one without elements is not neutral.

    Returns
    -------
    neutral, unknown : ndarray of bool, shape (n,)
        As `can_be_neutral` returns them.
    """
    neutral, unknown = np.zeros((2, len(compositions)), dtype=np.bool_)
    sizes = compositions.sizes
    for size in np.unique(sizes[sizes > 0]):
        rows = np.flatnonzero(sizes == size)
        at = compositions.starts[rows] + np.arange(size)[:, None]
        neutral[rows], unknown[rows] = can_be_neutral(compositions.z[at], compositions.amounts[at])
    return neutral, unknown


@cache
def has_state() -> NDArray[np.bool_]:
    """Return whether a state is common for an element, shape (119, 17): row Z, column state + 8."""
    table = np.zeros((len(load_elements().oxidation_states), 2 * _LARGEST + 1), dtype=np.bool_)
    for z, states in enumerate(load_elements().oxidation_states):
        table[z, [state + _LARGEST for state in states]] = True
    table.flags.writeable = False
    return table


def _assign(z: NDArray[np.uint8], amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the states of m rows of k elements each, shape (k, m); NaN where there are none."""
    states = _states()
    charges = np.full(z.shape, np.nan)
    combinations = states.number[z].astype(np.float64).prod(axis=0)
    few = np.flatnonzero((combinations > 0) & (combinations <= MAX_COMBINATIONS))
    batch = (np.cumsum(combinations[few]) // _BATCH).astype(np.int64)
    for rows in np.split(few, np.flatnonzero(np.diff(batch)) + 1):
        charges[:, rows] = _best(z[:, rows], amounts[:, rows], states)
    return charges


def _best(
    z: NDArray[np.uint8], amounts: NDArray[np.float64], states: _States
) -> NDArray[np.float64]:
    """Look at every combination of every row; shapes as in `_assign`."""
    combinations = states.number[z].prod(axis=0)
    rows = np.repeat(np.arange(z.shape[1]), combinations)
    code = np.arange(len(rows)) - np.repeat(np.cumsum(combinations) - combinations, combinations)
    # the first element is the most significant digit: codes rise with its state
    weight = np.cumprod(states.number[z][::-1], axis=0)[::-1] // states.number[z]
    total = np.zeros(len(rows))
    for element, amount, place in zip(z, amounts, weight, strict=True):
        digit = code // place[rows] % states.number[element][rows]
        total += states.values[element[rows], digit] * amount[rows]
    neutral = np.abs(total) <= _TOLERANCE
    rows, code = rows[neutral], code[neutral]
    found = states.values[z[:, rows], code // weight[:, rows] % states.number[z][:, rows]]
    order = np.lexsort((code, *_merits(found, z[:, rows], amounts[:, rows], states), rows))
    first = order[np.flatnonzero(np.diff(rows[order], prepend=-1))]
    best = np.full(z.shape, np.nan)
    best[:, rows[first]] = found[:, first]
    return best


def _merits(
    found: NDArray[np.float64],
    z: NDArray[np.uint8],
    amounts: NDArray[np.float64],
    states: _States,
) -> list[NDArray[np.float64]]:
    """Return what is to be small, the most important last, rounded so that equals are equal."""
    charges = amounts / amounts.sum(axis=0) * found
    factors = (states.electronegativity[z], found, states.levelled[z])
    return [np.round((charges * factor).sum(axis=0), 9) for factor in factors]


@cache
def _states() -> _States:
    table = load_elements().oxidation_states
    values = np.zeros((len(table), max(map(len, table))))
    for z, states in enumerate(table):
        values[z, : len(states)] = sorted(states)
    number = np.array([len(states) for states in table])
    x = load_elements(impute_nan=True).electronegativity
    levelled = np.where((values < 0).any(axis=1), x, _METAL)
    return _States(values, number, x, levelled)
