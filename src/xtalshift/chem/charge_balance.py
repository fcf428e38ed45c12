"""Which compositions of whole atoms ions balance, and how: the rules of enumeration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.elements import ATOMIC_NUMBERS, ELEMENT_CLASSES
from xtalshift.chem.oxidation import load_oxidation
from xtalshift.errors import ConfigError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

Accept = Callable[[tuple[str, ...], IntArray], BoolArray]
"""Symbols of k elements and amounts of shape (k, n) -> which of the n compositions to keep."""

Pairs = Callable[[int, int], BoolArray | None]
"""Places i < j of two elements -> which pairs of their states are allowed, shape (n_i, n_j); None
if all are."""

MAX_COMBINATIONS = 2**20
"""Largest number of combinations of oxidation states of one set of elements."""

_PRODUCTS = 2**20  # charges formed at once
_METALS = frozenset(
    ATOMIC_NUMBERS[symbol] for symbol in (*ELEMENT_CLASSES["metal"], "B", "Si", "Ge")
)
_NONMETALS = frozenset(ATOMIC_NUMBERS[symbol] for symbol in ELEMENT_CLASSES["nonmetal"])


class Ions(NamedTuple):
    """The ways in which compositions are balanced, as p pairs of a composition and a way."""

    places: IntArray
    """Shape (p,), ascending. Numbers of the compositions."""
    which: IntArray
    """Shape (p,). Number of the way."""
    states: FloatArray
    """Shape (k, w). Each way: oxidation states of the k elements, the mean where an element has
    two, 0 in a pure element and in an intermetallic compound."""

    def take(self, kept: BoolArray) -> Ions:
        """Return the ions of the kept compositions, shape (n,), which are counted anew."""
        pairs = kept[self.places]
        return Ions((np.cumsum(kept) - 1)[self.places[pairs]], self.which[pairs], self.states)


@dataclass(frozen=True)
class ChargeRule:
    """Whether ions of the elements can balance each other.

    Every element has one state of `xtalshift.chem.oxidation`, the charges sum to zero, and no
    cation is more electronegative than an anion, so that the most electronegative element takes the
    electrons: Cs4Sb2S, which Cs(+1), Sb(-3) and S(+2) would balance, is refused.
    """

    mixed_valence: bool = False
    """Also accept what is balanced if one metal or metalloid has two of its positive states at once
    (Fe3O4, YBa2Cu3O7)."""
    intermetallics: bool = False
    """Also accept all compounds of metals, boron, silicon and germanium only."""
    polyanions: bool = False
    """Also accept anions whose atoms are bonded to each other: Na2O2, K2S2, CaC2 (not the fractions
    of charges in KO2 or I3)."""

    def key(self, z: tuple[int, ...]) -> object:
        """Return a key of k elements; elements with equal keys have equal `ions`."""
        kinds, gives = _kinds(self.polyanions)
        known = tuple(map(kinds.__getitem__, z))
        if self.mixed_valence:
            known += tuple(number in _NONMETALS for number in z)
        if self.intermetallics:
            known += (_METALS.issuperset(z),)
        return known, tuple((gives[a][b], gives[b][a]) for a, b in combinations(z, 2))

    def ions(self, z: tuple[int, ...], amounts: IntArray) -> Ions:
        """Return how n compositions of k elements are balanced.

        Parameters
        ----------
        z : tuple of int
            Atomic numbers of k elements.
        amounts : ndarray of int64, shape (k, n)
            Numbers of atoms.

        Raises
        ------
        ConfigError
            If there are more than `MAX_COMBINATIONS` combinations of states.
        """
        n = amounts.shape[1]
        if len(z) == 1:
            return _pure(np.arange(n), 1)
        table = load_oxidation()
        bonded = table.bonded if self.polyanions else ((),) * len(table.bonded)
        states = [(*table.anions[a], *bonded[a], *table.cations[a]) for a in z]
        ions = _balance(_combine(z, states), amounts)
        if self.mixed_valence:
            ions = _join(ions, _mix(z, states, amounts, ions))
        if self.intermetallics and _METALS.issuperset(z):
            left = np.setdiff1d(np.arange(n), ions.places)
            ions = _join(ions, _pure(left, len(z)))
        return ions


@cache
def _kinds(polyanions: bool) -> tuple[list[int], list[list[bool]]]:  # noqa: FBT001
    """Return by Z: the first element of the same states; and who gives to whom, as plain lists."""
    table = load_oxidation()
    first: dict[object, int] = {}
    rows = zip(table.cations, table.anions, table.bonded, strict=True)
    states = [(plus, minus, bonded if polyanions else ()) for plus, minus, bonded in rows]
    return [first.setdefault(own, z) for z, own in enumerate(states)], table.gives.tolist()


@lru_cache(maxsize=2**16)
def _pair(one: int, other: int, own: tuple[int, ...], its: tuple[int, ...]) -> BoolArray | None:
    """Return which states of two elements may stand together; None if all may."""
    gives = load_oxidation().gives
    minus, its_minus = np.array(own) < 0, np.array(its) < 0
    wrong = np.zeros((len(own), len(its)), dtype=np.bool_)
    if not gives[one, other]:
        wrong |= np.logical_and.outer(~minus, its_minus)
    if not gives[other, one]:
        wrong |= np.logical_and.outer(minus, ~its_minus)
    return ~wrong if wrong.any() else None


def _combine(z: tuple[int, ...], states: list[tuple[int, ...]]) -> IntArray:
    """Return the combinations of states with no cation more electronegative than an anion."""
    return join_states(states, lambda i, j: _pair(z[i], z[j], states[i], states[j]))


def _balance(combined: IntArray, amounts: IntArray) -> Ions:
    """Return the ways in which one state per element makes compositions neutral."""
    combined = combined[(combined < 0).any(axis=1) & (combined > 0).any(axis=1)]
    found = [
        (number + start, place)
        for start, charges in _charges(combined, amounts)
        for number, place in [np.nonzero(charges == 0)]
    ]
    number = np.concatenate([np.zeros(0, dtype=np.int64), *(at for at, _ in found)])
    places = np.concatenate([np.zeros(0, dtype=np.int64), *(at for _, at in found)])
    order = np.argsort(places, kind="stable")
    used, which = np.unique(number[order], return_inverse=True)
    return Ions(places[order], which, combined[used].T.astype(np.float64))


def _mix(z: tuple[int, ...], states: list[tuple[int, ...]], amounts: IntArray, plain: Ions) -> Ions:
    """Return the ways in which two positive states of one metal balance what is not balanced yet.

    A share of the atoms has each state, in as many formula units as are needed, so that any mean
    between the two is possible.
    """
    left = np.setdiff1d(np.arange(amounts.shape[1]), plain.places)
    gives = load_oxidation().gives
    mixed = _pure(left[:0], len(z))
    for at, own in enumerate(states):
        positive = [state for state in own if state > 0]
        if z[at] in _NONMETALS or len(positive) < 2 or not left.size:  # noqa: PLR2004
            continue
        rest = [place for place in range(len(z)) if place != at]
        others = [
            tuple(state for state in states[place] if state > 0 or gives[z[at], z[place]])
            for place in rest
        ]
        combined = _combine(tuple(z[place] for place in rest), others)
        for start, charges in _charges(combined, amounts[rest][:, left]):
            mean = -charges / amounts[at, left]
            number, place = np.nonzero(
                (mean > positive[0]) & (mean < positive[-1]) & ~np.isin(mean, positive)
            )
            ways = np.empty((len(z), len(place)))
            ways[rest] = combined[start + number].T
            ways[at] = mean[number, place]
            ways, which = np.unique(ways, axis=1, return_inverse=True)
            mixed = _join(mixed, Ions(left[place], which.reshape(-1), ways))
    return mixed


def _pure(places: IntArray, size: int) -> Ions:
    """Return compositions whose elements are all in the state 0."""
    return Ions(places, np.zeros(len(places), dtype=np.int64), np.zeros((size, 1)))


def _join(one: Ions, other: Ions) -> Ions:
    places = np.concatenate((one.places, other.places))
    which = np.concatenate((one.which, other.which + one.states.shape[1]))
    order = np.argsort(places, kind="stable")
    states = np.concatenate((one.states, other.states), axis=1)
    return Ions(places[order], which[order], states)


def _charges(states: IntArray, amounts: IntArray) -> Iterator[tuple[int, FloatArray]]:
    """Yield total charges of combinations x compositions in pieces, each with its first number."""
    exact = amounts.astype(np.float64)
    step = max(1, _PRODUCTS // max(1, amounts.shape[1]))
    for start in range(0, len(states), step):
        yield start, states[start : start + step].astype(np.float64) @ exact


def join_states(states: Sequence[Sequence[int]], allowed: Pairs) -> IntArray:
    """Return every combination of one state per element with all pairs allowed, shape (c, k).

    Raises
    ------
    ConfigError
        If there are more than `MAX_COMBINATIONS`.
    """
    chosen: list[IntArray] = []  # of each element so far: the place in its states
    count = 1
    for j, own in enumerate(states):
        if count * len(own) > MAX_COMBINATIONS:
            raise ConfigError(
                f"{len(states)} elements have more than {MAX_COMBINATIONS:,} combinations of "
                "oxidation states; lower the most elements (--max-elements)"
            )
        chosen = [np.repeat(places, len(own)) for places in chosen]
        chosen.append(np.tile(np.arange(len(own)), count))
        for i in range(j):
            fits = allowed(i, j)
            if fits is not None:
                kept = fits[chosen[i], chosen[j]]
                chosen = [places[kept] for places in chosen]
        count = len(chosen[j])
    values = [np.array(own, dtype=np.int64)[at] for own, at in zip(states, chosen, strict=True)]
    return np.stack(values, axis=1)


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
    def combined(symbols: tuple[str, ...]) -> IntArray:
        own = [states[symbol] for symbol in symbols]
        return join_states(own, lambda i, j: allowed(symbols[i], symbols[j]))

    def keep(symbols: tuple[str, ...], amounts: IntArray) -> BoolArray:
        if len(symbols) == 1 or all(symbol in metals for symbol in symbols):
            return np.ones(amounts.shape[1], dtype=np.bool_)
        neutral = np.zeros(amounts.shape[1], dtype=np.bool_)
        if all(symbol in states for symbol in symbols):
            for _, charges in _charges(combined(symbols), amounts):
                neutral |= (charges == 0).any(axis=0)
        return neutral

    return keep
