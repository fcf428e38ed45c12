"""Shapley values: how a difference of two values is shared among what differs between them.

Every explanation of a prediction compares it with a *baseline*, the prediction of another row, and
shares the difference: by exact enumeration of all coalitions of a few players (here), along the
paths of trees (`xtalshift.estimators.tree_shares`), or along the straight line between both rows
(`xtalshift.estimators.line_shares`). What is shared sums to the difference for each baseline, so
that shares can be handed on through a further step, one baseline at a time (Chen, Lundberg and Lee,
Nat. Commun. 13, 4512 (2022)).
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import ConfigError

FloatArray = NDArray[np.float64]

MOST_PLAYERS = 12
"""Most players of an enumeration: 4,096 coalitions."""
_EQUAL = 1e-12
"""Relative difference of two values that is rounding."""


def coalitions(n: int) -> NDArray[np.bool_]:
    """Return who takes part in each coalition of n players, shape (2^n, n).

    Coalition number s has player i if bit i of s is set: the first is empty, the last has all.
    """
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(np.bool_)


def exact_shapley(values: FloatArray) -> FloatArray:
    """Return the Shapley value of each player (Shapley, Ann. Math. Stud. 28, 307 (1953)).

    Parameters
    ----------
    values : ndarray of float64, shape (2^n, ...)
        Value of each coalition, in the order of `coalitions`.

    Returns
    -------
    ndarray of float64, shape (n, ...)
        They sum to ``values[-1] - values[0]``.

    Examples
    --------
    >>> exact_shapley(np.array([0.0, 1.0, 3.0, 6.0])).tolist()
    [2.0, 4.0]
    """
    n = len(values).bit_length() - 1
    inside = coalitions(n)
    sizes = inside.sum(axis=1)
    # chance that just these players have come before the next one
    chance = np.array([factorial(s) * factorial(n - 1 - s) for s in range(n)]) / factorial(n)
    found = np.empty((n, *values.shape[1:]))
    for player in range(n):
        before = np.flatnonzero(~inside[:, player])
        gain = values[before | (1 << player)] - values[before]
        found[player] = np.tensordot(chance[sizes[before]], gain, axes=1)
    return found


def follow(shares: FloatArray, before: FloatArray, after: FloatArray) -> FloatArray:
    """Return shares of a value as shares of what a further step makes of it.

    Parameters
    ----------
    shares : ndarray of float64, shape (..., m, d)
        For each of m baselines how each feature moves the value; sums to the difference.
    before, after : ndarrays of float64, shape (..., m)
        The difference from each baseline before and after the step. Where there is none before,
        there must be none after it.
    """
    return shares * _slopes(before, after)[..., None]


def chain(
    shares: FloatArray,
    start: FloatArray,
    end: FloatArray,
    step: Callable[[FloatArray], FloatArray],
) -> FloatArray:
    """Return shares of k values as shares of each of the c values that a step makes of them.

    The values themselves are players: the Shapley value of each is shared as it is.

    Parameters
    ----------
    shares : ndarray of float64, shape (k, m, d)
        For each value and each of m baselines how each feature moves it.
    start, end : ndarrays of float64, shapes (m, k) and (k,)
        The values of the baselines and of the row.
    step : callable
        From rows of values, shape (n, k), to what they become, shape (n, c).

    Returns
    -------
    ndarray of float64, shape (c, m, d)
        For each baseline they sum to the difference of ``step(end)`` and ``step(start)``.

    Raises
    ------
    ConfigError
        If there are more than `MOST_PLAYERS` values.
    """
    k, m = len(end), len(start)
    if k > MOST_PLAYERS:
        raise ConfigError(
            f"what the features contribute is worked out for at most {MOST_PLAYERS} classes, and "
            f"there are {k}"
        )
    mixed = np.where(coalitions(k)[:, None, :], end, start)
    values = step(mixed.reshape(-1, k))
    moved = exact_shapley(values.reshape(2**k, m, -1))
    before = (end - start).T
    return np.stack(
        [follow(shares, before, moved[..., c]).sum(axis=0) for c in range(values.shape[1])]
    )


def _slopes(before: FloatArray, after: FloatArray) -> FloatArray:
    """Return after / before, 0 where nothing but rounding is before."""
    rounding = np.abs(before) <= _EQUAL * np.maximum(1e-300, np.abs(before).max(initial=0.0))
    return np.divide(after, before, out=np.zeros_like(after), where=~rounding)
