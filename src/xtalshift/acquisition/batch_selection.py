"""Selection of a batch of candidates with high scores that differ from each other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics import pairwise_distances_argmin_min

from xtalshift.errors import ConfigError, DataError
from xtalshift.seeding import Seed, as_generator

FloatArray = NDArray[np.float64]
FloatPoints = NDArray[np.floating[Any]]

_BLOCK = 16_384  # rows copied at once
_SAMPLE = 1000  # points whose pairs give the typical distance
_TINY, _HUGE = np.finfo(np.float64).tiny, np.finfo(np.float64).max


class Batch(NamedTuple):
    """k chosen candidates, in order of choice."""

    rows: NDArray[np.int64]
    """Shape (k,). Row numbers."""
    score: FloatArray
    """Shape (k,). Their scores as given."""
    utility: FloatArray
    """Shape (k,). What was maximised: score (or fallback) times distance factor, per cost."""
    distance: FloatArray
    """Shape (k,). Distance to the nearest known or previously chosen point; infinite if there was
    none."""
    decisive: NDArray[np.bool_]
    """Shape (k,). Whether the score decided; False where the fallback did."""


def select_batch(
    scores: ArrayLike,
    points: ArrayLike | None,
    n: int,
    *,
    fallback: ArrayLike | None = None,
    diversity: float = 1.0,
    radius: float | None = None,
    known: ArrayLike | None = None,
    costs: ArrayLike | None = None,
    budget: float | None = None,
    rng: Seed = 0,
) -> Batch:
    """Choose candidates one by one, each the best given those chosen before.

    Every step takes the largest ``score * min(1, distance / radius)^diversity / cost``, where
    `distance` is the Euclidean distance to the nearest candidate chosen before (or `known` point).
    The factor is a hard local penaliser (Alvi et al.) with one radius for all points and only the
    nearest centre. With ``radius=inf`` it never saturates: equal scores then give farthest-first
    traversal (Gonzalez, 1985), unequal scores its weighted form.

    The choice is deterministic; the first of equal rows wins. If no utility is above 0 (duplicates
    of chosen candidates, scores of 0), `fallback` replaces the scores; if that is of no use either,
    the score per cost alone decides. Time is O(N k d), memory besides the arguments O(N). Under a
    budget the greedy batch may be worth less than the best one (Khuller, Moss and Naor, Inf.
    Process. Lett. 70, 39 (1999)).

    Parameters
    ----------
    scores : array_like of float, shape (N,)
        At least 0. An infinite score counts as twice the largest finite one, so that distances
        still rank candidates with infinite scores.
    points : array_like of float, shape (N, d), optional
        Positions of the candidates, such as standardised features; not needed if `diversity` is 0.
    n : int
        Size of the batch; smaller if there are fewer candidates or the budget is spent.
    fallback : array_like of float, shape (N,), optional
        Scores, at least 0, that rank the candidates whose score is 0.
    diversity : float
        Exponent of the factor, at least 0; 0 takes the largest scores per cost.
    radius : float, optional
        Distance, above 0, from which on the factor is 1; by default the median distance of pairs.
    known : array_like of float, shape (m, d), optional
        Positions of measured materials, which act as candidates chosen before. Leave them out if
        the score depends on them already, as a standard deviation does.
    costs : array_like of float, shape (N,), optional
        Costs of measurement, above 0, in any unit.
    budget : float, optional
        Largest total cost, in the unit of `costs`.
    rng : int, Generator or None
        Draws 1000 points for the median distance, if there are more.

    Returns
    -------
    Batch
        At most `n` candidates.

    Raises
    ------
    ConfigError
        If `n`, `diversity`, `radius` or `budget` is out of its range, or `points` or `costs` are
        missing where they are needed.
    DataError
        If shapes do not fit, there is no candidate, or a value is invalid; the message names the
        row.

    References
    ----------
    González, Dai, Hennig and Lawrence, "Batch Bayesian optimization via local penalization",
    AISTATS 2016, PMLR 51, 648; Alvi, Ru, Calliess, Roberts and Osborne, "Asynchronous batch
    Bayesian optimisation with improved local penalisation", ICML 2019; Gonzalez, Theor. Comput.
    Sci. 38, 293 (1985).

    Examples
    --------
    >>> points = [[0.0], [0.1], [2.0]]
    >>> select_batch([3.0, 2.9, 2.0], points, 2, radius=2.0).rows.tolist()
    [0, 2]
    >>> select_batch([3.0, 2.9, 2.0], None, 2, diversity=0).rows.tolist()
    [0, 1]
    """
    _check_settings(n, diversity, radius, points, costs, budget)
    given = np.asarray(scores, dtype=np.float64)
    if given.ndim != 1 or not len(given):
        raise DataError(f"scores have shape {given.shape}; expected (n,) with n above 0")
    price = np.ones(len(given))
    if costs is not None:
        price = _checked("costs", costs, len(given), _TINY, _HUGE, "a finite cost above 0")
    worth = _worth("scores", given, len(given)) / price
    spare = None if fallback is None else _worth("fallback", fallback, len(given)) / price
    nearest = np.full(len(given), np.inf)
    places = None
    if diversity > 0 and points is not None:
        places = _check_points("points", points, len(given))
        radius = _typical_distance(places, rng) if radius is None else radius
        if known is not None and len(others := _check_points("known", known)):
            nearest = _nearest(places, others)
    # a tolerance, because sums of costs such as 0.1 are rounded
    left = math.inf if budget is None else budget * (1 + 1e-9)
    free = np.ones(len(given), dtype=bool)
    rows: list[int] = []
    utilities, distances = [], []
    while len(rows) < n:
        free &= price <= left
        gap = _gap(nearest, radius, diversity)
        utility = np.where(free, worth * gap, -1.0)
        row = int(np.argmax(utility))
        if utility[row] == 0 and spare is not None:
            utility = np.where(free, spare * gap, -1.0)
            row = int(np.argmax(utility))
        if utility[row] == 0:
            row = int(np.argmax(np.where(free, worth, -1.0)))
        if not free[row]:
            break
        rows.append(row)
        utilities.append(utility[row])
        distances.append(nearest[row])
        free[row] = False
        left -= price[row]
        if places is not None:
            np.minimum(nearest, _distance_to(places, places[row]), out=nearest)
    chosen = np.array(rows, dtype=np.int64)
    decisive = np.full(len(chosen), fill_value=True) if spare is None else worth[chosen] > 0
    return Batch(chosen, given[chosen], np.array(utilities), np.array(distances), decisive)


def _typical_distance(points: FloatPoints, rng: Seed) -> float:
    """Return the median distance of pairs of points; infinite if all are equal.

    Garreau, Jitkrittum and Kanagawa, "Large sample analysis of the median heuristic",
    arXiv:1707.07269 (2017).
    """
    if len(points) > _SAMPLE:
        points = points[np.sort(as_generator(rng).choice(len(points), _SAMPLE, replace=False))]
    distances = pdist(points)
    distances = distances[distances > 0]
    return float(np.median(distances)) if distances.size else math.inf


def _nearest(points: FloatPoints, known: FloatPoints) -> FloatArray:
    """Return the distance of points to the nearest known one, exactly 0 for duplicates."""
    if points.shape[1] != known.shape[1]:
        raise DataError(
            f"points has shape {points.shape} and known {known.shape}; expected the same features"
        )
    found = np.empty(len(points))
    for block in _blocks(len(points)):
        some = points[block]
        # its distances are rounded, so only the row numbers are used
        row, _ = pairwise_distances_argmin_min(some, known)
        found[block] = np.linalg.norm(some - known[row].astype(np.float64), axis=1)
    return found


def _gap(nearest: FloatArray, radius: float | None, diversity: float) -> FloatArray | float:
    """Return the factor of each candidate: in [0, 1], or the distance if the radius is infinite."""
    if diversity == 0 or radius is None:
        return 1.0
    if radius == math.inf:
        gap = np.where(np.isfinite(nearest), nearest, 1.0)
    else:
        gap = np.minimum(nearest / radius, 1.0)
    return gap if diversity == 1 else gap**diversity


def _distance_to(points: FloatPoints, centre: FloatPoints) -> FloatArray:
    found = np.empty(len(points))
    for block in _blocks(len(points)):
        found[block] = cdist(points[block], centre[None])[:, 0]
    return found


def _blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, _BLOCK):
        yield slice(start, start + _BLOCK)


def _check_settings(
    n: int,
    diversity: float,
    radius: float | None,
    points: ArrayLike | None,
    costs: ArrayLike | None,
    budget: float | None,
) -> None:
    if n < 1:
        raise ConfigError(f"{n=}: expected at least 1 candidate")
    if not 0 <= diversity < math.inf:
        raise ConfigError(f"{diversity=}: expected a finite number of at least 0")
    if radius is not None and not radius > 0:
        raise ConfigError(f"{radius=}: expected a distance above 0; diversity=0 disables it")
    if diversity > 0 and points is None:
        raise ConfigError(f"{diversity=} needs points; give them, or diversity=0")
    if budget is not None and costs is None:
        raise ConfigError(f"{budget=} needs costs: give the cost of each candidate")
    if budget is not None and not 0 < budget < math.inf:
        raise ConfigError(f"{budget=}: expected a finite total cost above 0")


def _checked(
    name: str, values: ArrayLike, n: int, least: float, most: float, expected: str
) -> FloatArray:
    """Return n values that lie within their limits."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (n,):
        raise DataError(f"{name} has shape {array.shape}; expected ({n},)")
    wrong = ~((array >= least) & (array <= most))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"{name}[{row}] is {array[row]}; expected {expected}")
    return array


def _worth(name: str, scores: ArrayLike, n: int) -> FloatArray:
    """Return scores, infinite ones made finite."""
    worth = _checked(name, scores, n, 0.0, math.inf, "at least 0: shift all scores")
    largest = worth[np.isfinite(worth)].max(initial=0.0)
    return np.nan_to_num(worth, posinf=2 * largest or 1.0)


def _check_points(name: str, points: ArrayLike, n: int | None = None) -> FloatPoints:
    """Return points, shape (n, d), without a copy if they are floats."""
    places = np.asarray(points)
    if not np.issubdtype(places.dtype, np.floating):
        places = places.astype(np.float64)
    if places.ndim != 2 or n not in {None, len(places)}:  # noqa: PLR2004
        raise DataError(f"{name} has shape {places.shape}; expected ({n or 'n'}, d)")
    for block in _blocks(len(places)):
        wrong = ~np.isfinite(places[block]).all(axis=1)
        if wrong.any():
            row = int(np.argmax(wrong))
            values = places[block][row]
            column = int(np.argmin(np.isfinite(values)))
            raise DataError(
                f"{name}[{block.start + row}, {column}] is {values[column]}; expected a finite "
                "number: fill it in"
            )
    return places
