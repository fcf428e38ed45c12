"""Conditions on compositions that follow from the oxidation states of their elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise, product
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.charges import can_be_neutral
from xtalshift.chem.elements import load_elements

__all__ = ["ANY", "NEUTRAL", "ORDERED", "IonRule", "join_states", "neutral_under"]

Pairs = Callable[[int, int], NDArray[np.bool_]]
"""Places i < j of two elements -> which of their states go together, shape (n_i, n_j)."""

_PRODUCTS = 2**20  # charges formed at once
_FEW = 1024  # up to so many choices of states are simply tried on all amounts


class IonRule(NamedTuple):
    """A condition on the amounts of given elements.

    Attributes
    ----------
    key : callable
        Atomic numbers of k elements -> what the answer depends on: the same for equal keys.
    holds : callable
        Atomic numbers and amounts of shape (k, n) -> for which of them it holds, shape (n,).
    """

    key: Callable[[tuple[int, ...]], object]
    holds: Callable[[tuple[int, ...], NDArray[np.int64]], NDArray[np.bool_]]


def join_states(states: Sequence[Sequence[int]], allowed: Pairs) -> NDArray[np.int64]:
    """Return every choice of one state per element in which each two states go together.

    Parameters
    ----------
    states : sequence of sequence of int, length k
        Oxidation states of each element.
    allowed : callable
        Which states of two elements go together.

    Returns
    -------
    ndarray of int64, shape (c, k)
    """
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


def neutral_under(amounts: NDArray[np.int64], states: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which compositions are neutral with one of some choices of states.

    Parameters
    ----------
    amounts : ndarray of int64, shape (k, n)
        Atoms of k elements in n compositions.
    states : ndarray of int64, shape (c, k)
        Choices, as from `join_states`.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    neutral = np.zeros(amounts.shape[1], dtype=np.bool_)
    states = states[(states.min(axis=1) <= 0) & (states.max(axis=1) >= 0)]  # others never cancel
    exact = amounts.astype(np.float32)  # so are all charges below 2**24
    step = max(1, _PRODUCTS // max(1, amounts.shape[1]))
    for start in range(0, len(states), step):
        neutral |= (states[start : start + step].astype(np.float32) @ exact == 0).any(axis=0)
    return neutral


def _neutral(z: tuple[int, ...], amounts: NDArray[np.int64]) -> NDArray[np.bool_]:
    states = [load_elements().oxidation_states[number] for number in z]
    if len(z) > 1 and prod(map(len, states)) <= _FEW:  # the same answer, many times faster
        choices = np.array(list(product(*states)), dtype=np.int64)
        return neutral_under(amounts, choices.reshape(-1, len(z)))
    # whole numbers of atoms have too few distinct charges for the answer to be given up
    columns = np.broadcast_to(np.array(z, dtype=np.uint8)[:, None], amounts.shape)
    return can_be_neutral(columns, amounts.astype(np.float64))[0]


def _ordered(z: tuple[int, ...], amounts: NDArray[np.int64]) -> NDArray[np.bool_]:
    x = load_elements().electronegativity[list(z)]
    if len(z) == 1:  # as for can_be_neutral
        return np.ones(amounts.shape[1], dtype=np.bool_)
    if np.isnan(x).any():
        return np.zeros(amounts.shape[1], dtype=np.bool_)
    states = [np.array(load_elements().oxidation_states[number]) for number in z]

    def allowed(i: int, j: int) -> NDArray[np.bool_]:  # x[i] <= x[j]
        wrong = np.logical_and.outer(states[i] < 0, states[j] > 0)
        if x[i] == x[j]:
            wrong |= np.logical_and.outer(states[i] > 0, states[j] < 0)
        return ~wrong

    return neutral_under(amounts, join_states([own.tolist() for own in states], allowed))


def _any(z: tuple[int, ...], amounts: NDArray[np.int64]) -> NDArray[np.bool_]:  # noqa: ARG001
    return np.ones(amounts.shape[1], dtype=np.bool_)


@cache
def _stand_ins() -> tuple[int, ...]:
    """Return for each Z the first element with the same states (and no electronegativity too)."""
    table = load_elements()
    first: dict[object, int] = {}
    keys = zip(table.oxidation_states, np.isnan(table.electronegativity).tolist(), strict=True)
    return tuple(first.setdefault(key, z) for z, key in enumerate(keys))


def _like(z: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(map(_stand_ins().__getitem__, z))


def _like_in_order(z: tuple[int, ...]) -> object:
    x = _plain_electronegativity()
    return _like(z), tuple(x[a] < x[b] for a, b in pairwise(z))


@cache
def _plain_electronegativity() -> tuple[float, ...]:
    return tuple(load_elements().electronegativity.tolist())  # faster to look up one by one


ANY = IonRule(len, _any)
"""Always holds."""

NEUTRAL = IonRule(_like, _neutral)
"""`can_be_neutral` with common oxidation states."""

ORDERED = IonRule(_like_in_order, _ordered)
"""Neutral with each cation less electronegative (Pauling) than each anion; elements in order of it.

It holds for a single element, and never for several of which one has no electronegativity.
"""
