"""A batch of candidates to measure together: good ones that do not repeat each other."""

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

__all__ = ["Batch", "nearest_distance", "select_batch", "typical_distance"]

FloatArray = NDArray[np.float64]
FloatPoints = NDArray[np.floating[Any]]

_BLOCK = 16_384  # rows that are copied at once
_SAMPLE = 1000  # points whose pairs tell the typical distance


class Batch(NamedTuple):
    """Chosen candidates in the order in which they were chosen, k of them.

    Attributes
    ----------
    rows : ndarray of int64, shape (k,)
        Row numbers.
    score : ndarray of float64, shape (k,)
        Their scores as given.
    utility : ndarray of float64, shape (k,)
        What they were chosen by: score, times nearness factor, per cost.
    distance : ndarray of float64, shape (k,)
        To the nearest known or earlier chosen point; infinite if there was none.
    """

    rows: NDArray[np.int64]
    score: FloatArray
    utility: FloatArray
    distance: FloatArray


def select_batch(
    scores: ArrayLike,
    points: ArrayLike | None,
    n: int,
    *,
    diversity: float = 1.0,
    radius: float | None = None,
    known: ArrayLike | None = None,
    costs: ArrayLike | None = None,
    budget: float | None = None,
    exclude: ArrayLike | None = None,
    rng: Seed = 0,
) -> Batch:
    """Choose candidates one by one, each the best in view of those chosen before.

    Every step takes the largest ``score * min(1, distance / radius)^diversity / cost``, where
    `distance` is the Euclidean distance to the nearest candidate chosen before (or `known` point).
    The factor is a hard local penaliser (Alvi et al.) with one radius for all points and
    the nearest centre only: it says how much of a candidate's score its neighbour's result would
    not have told already. With ``radius=inf`` it never saturates, and equal scores give
    farthest-first traversal (Gonzalez, 1985), unequal ones its weighted form.

    The choice is deterministic; ties go by the order of rows. Once no utility is left (doubles of
    what was chosen, scores of 0), scores per cost alone decide. Time is O(N k d), memory beside
    the arguments O(N). Under a budget this is the plain greedy rule, whose batch may be worth less
    than the best one (Khuller, Moss and Naor, Inf. Process. Lett. 70, 39 (1999)).

    Parameters
    ----------
    scores : array_like of float, shape (N,)
        At least 0, see `xtalshift.acquisition.scores`. An infinite one counts as twice the
        largest finite one, so that distance still tells the infinite ones apart.
    points : array_like of float, shape (N, d), optional
        Places of the candidates, such as standardised features; not needed if `diversity` is 0.
    n : int
        Candidates wanted. Fewer are returned if there are fewer, or the budget is spent.
    diversity : float
        Exponent of the factor, at least 0; 0 takes the largest scores per cost.
    radius : float, optional
        Distance from which on a candidate counts in full, above 0; by default `typical_distance`.
    known : array_like of float, shape (m, d), optional
        Places of measured materials, from which candidates shall keep their distance too. Leave
        them out where the score knows them already, as a standard deviation does.
    costs : array_like of float, shape (N,), optional
        Cost of each measurement, above 0, in any unit.
    budget : float, optional
        Largest total cost, in the unit of `costs`.
    exclude : array_like of bool, shape (N,), optional
        Candidates not to choose (measured ones, doubles); their other values are not looked at.
    rng : int, Generator or None
        Draws the points of `typical_distance` if there are more than 1000.

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
        If shapes do not fit, nothing is left to choose from, or a value of a row that may be
        chosen is refused; the message names the row.

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
    if given.ndim != 1:
        raise DataError(f"scores have shape {given.shape}; expected (n,)")
    free = _eligible(exclude, len(given))
    price = _prices(costs, free)
    worth = _worth(given, free) / price
    nearest = np.full(len(given), np.inf)
    places = None
    if diversity > 0 and points is not None:
        places = _check_points("points", points, free)
        eligible = np.flatnonzero(free)
        radius = _median_distance(places, eligible, rng) if radius is None else radius
        if known is not None and len(others := _check_points("known", known)):
            nearest[eligible] = _nearest(places, others, eligible)
    # sums of costs such as 0.1 are rounded; what just fills the budget shall fit
    left = math.inf if budget is None else budget * (1 + 1e-9)
    rows: list[int] = []
    utilities, distances = [], []
    while len(rows) < n:
        free &= price <= left
        utility = np.where(free, worth * _gap(nearest, radius, diversity), -1.0)
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
    return Batch(chosen, given[chosen], np.array(utilities), np.array(distances))


def nearest_distance(points: ArrayLike, known: ArrayLike) -> FloatArray:
    """Return the Euclidean distance of each point to the nearest known one.

    Parameters
    ----------
    points : array_like of float, shape (n, d)
        Places of candidates.
    known : array_like of float, shape (m, d)
        Places of measured materials, at least one.

    Returns
    -------
    ndarray of float64, shape (n,)
        0 for a double of a known point, without rounding error.

    Raises
    ------
    DataError
        If `known` is empty, the shapes do not fit, or a value is not finite.
    """
    places, others = _check_points("points", points), _check_points("known", known)
    if not len(others):
        raise DataError("known is empty; expected at least one known point")
    return _nearest(places, others, np.arange(len(places)))


def typical_distance(points: ArrayLike, rng: Seed = 0) -> float:
    """Return the median distance of pairs of points that differ.

    Parameters
    ----------
    points : array_like of float, shape (n, d)
        Places of candidates.
    rng : int, Generator or None
        Draws 1000 of them if there are more.

    Returns
    -------
    float
        Above 0; infinite if all points are the same or there is one only.

    Raises
    ------
    DataError
        If the shape is another one or a value is not finite.

    References
    ----------
    Garreau, Jitkrittum and Kanagawa, "Large sample analysis of the median heuristic",
    arXiv:1707.07269 (2017).
    """
    places = _check_points("points", points)
    return _median_distance(places, np.arange(len(places)), rng)


def _median_distance(points: FloatPoints, rows: NDArray[np.int64], rng: Seed) -> float:
    if len(rows) > _SAMPLE:
        rows = np.sort(as_generator(rng).choice(rows, _SAMPLE, replace=False))
    distances = pdist(points[rows])
    distances = distances[distances > 0]
    return float(np.median(distances)) if distances.size else math.inf


def _nearest(points: FloatPoints, known: FloatPoints, rows: NDArray[np.int64]) -> FloatArray:
    """Return the distance of some rows of `points` to the nearest known point."""
    if points.shape[1] != known.shape[1]:
        raise DataError(
            f"points has shape {points.shape} and known {known.shape}; expected the same features"
        )
    found = np.empty(len(rows))
    for block in _blocks(len(rows)):
        some = points[rows[block]]
        # fast but rounded (by the product of points), so only the place is taken from it
        place, _ = pairwise_distances_argmin_min(some, known)
        found[block] = np.linalg.norm(some - known[place].astype(np.float64), axis=1)
    return found


def _gap(nearest: FloatArray, radius: float | None, diversity: float) -> FloatArray | float:
    """Return the factor of each candidate, in [0, 1], or any distance if the radius is infinite."""
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
        raise ConfigError(f"{radius=}: expected a distance above 0; diversity=0 switches it off")
    if diversity > 0 and points is None:
        raise ConfigError(f"{diversity=} needs points; give them, or diversity=0")
    if budget is not None and costs is None:
        raise ConfigError(f"{budget=} needs costs: say what each candidate costs")
    if budget is not None and not 0 < budget < math.inf:
        raise ConfigError(f"{budget=}: expected a finite total cost above 0")


def _eligible(exclude: ArrayLike | None, n: int) -> NDArray[np.bool_]:
    free = np.ones(n, dtype=bool)
    if exclude is not None:
        mask = np.asarray(exclude)
        if mask.shape != (n,) or mask.dtype != np.bool_:
            raise DataError(
                f"exclude has shape {mask.shape} and dtype {mask.dtype}; expected ({n},) and bool, "
                "True for candidates not to choose"
            )
        free = ~mask
    if not free.any():
        raise DataError(f"all {n} candidates are excluded; there is nothing to choose from")
    return free


def _worth(scores: FloatArray, free: NDArray[np.bool_]) -> FloatArray:
    """Return the scores of candidates that may be chosen, infinite ones made finite; others 0."""
    _refuse("scores", scores, free & ~(scores >= 0), "at least 0; shift all scores, or exclude it")
    worth = np.where(free, scores, 0.0)
    finite = worth[np.isfinite(worth)]
    worth[worth == np.inf] = 2 * finite.max(initial=0.0) or 1.0
    return worth


def _prices(costs: ArrayLike | None, free: NDArray[np.bool_]) -> FloatArray:
    """Return the cost of each candidate, 1 where none is needed."""
    if costs is None:
        return np.ones(len(free))
    price = np.asarray(costs, dtype=np.float64)
    if price.shape != free.shape:
        raise DataError(f"costs have shape {price.shape}; expected one per candidate, {free.shape}")
    wrong = free & ~((price > 0) & (price < np.inf))
    _refuse("costs", price, wrong, "a finite cost above 0; fill it in, or exclude the row")
    return np.where(free, price, 1.0)


def _refuse(name: str, values: FloatArray, wrong: NDArray[np.bool_], expected: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"{name}[{row}] is {values[row]}; expected {expected}")


def _check_points(
    name: str, points: ArrayLike, free: NDArray[np.bool_] | None = None
) -> FloatPoints:
    """Return points, shape (n, d), as they are if they are floats already."""
    places = np.asarray(points)
    if not np.issubdtype(places.dtype, np.floating):
        places = places.astype(np.float64)
    if places.ndim != 2 or (free is not None and len(places) != len(free)):  # noqa: PLR2004
        rows = "n" if free is None else len(free)
        raise DataError(f"{name} has shape {places.shape}; expected ({rows}, d)")
    for block in _blocks(len(places)):
        wrong = ~np.isfinite(places[block]).all(axis=1)
        wrong &= True if free is None else free[block]
        if wrong.any():
            row = int(np.argmax(wrong))
            values = places[block][row]
            column = int(np.argmin(np.isfinite(values)))
            raise DataError(
                f"{name}[{block.start + row}, {column}] is {values[column]}; expected a finite "
                "number: fill it in or exclude the row"
            )
    return places
