"""Redundancy: materials of almost the same composition, kept together, thinned or kept apart.

The distance of two compositions is half the L1 distance of their atomic fractions, the share of
atoms that would have to be replaced; in [0, 1]. Neighbours are exact at every size (a k-d tree).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from xtalshift.errors import SplitError
from xtalshift.seeding import Seed, as_generator
from xtalshift.splits.base import SPLITTERS, Fold, Region
from xtalshift.splits.grouped_rows import BoolArray, IntArray, Rows, group_numbers
from xtalshift.splits.labelling import parse_groups
from xtalshift.splits.random import DealtSplitter, fill_evenly

__all__ = ["RedundancySplit", "drop_near", "near_pairs", "thin"]

_TOLERANCE = 1e-9  # two distances that are equal on paper differ by rounding
MAX_PAIRS = 20_000_000
"""Most pairs of near formulas that are held, 0.3 GB."""

_FIRST_NEAREST = 17
_BLOCK = 2**22  # neighbours looked up at once: bounds the memory


@SPLITTERS.register("redundancy")
class RedundancySplit(DealtSplitter):
    """Deal groups of similar compositions into folds: no test material has a near twin in train.

    Compositions within `max_distance` are linked, and everything that is linked, also over other
    materials, stays in one fold (single linkage). A random split of a redundant table is a test of
    memory; this one is random but for the twins (compare MD-HIT, Li et al., npj Comput. Mater. 10,
    245, 2024).

    Parameters
    ----------
    max_distance : float, default 0.02
        Share of atoms that may differ within a link. With large values all is linked to all.
    n_folds : int, default 5
        Folds.
    random_state : int, Generator or None
        Order in which the groups are dealt, each to the fold with the fewest rows.
    """

    role: ClassVar[str] = "ood"

    def __init__(
        self, max_distance: float = 0.02, n_folds: int = 5, random_state: Seed = None
    ) -> None:
        self.max_distance = max_distance
        self.n_folds = n_folds
        self.random_state = random_state

    def _regions(self, table: Rows) -> Iterator[Region]:
        formulas, numbers = _unique(table.groups)
        pairs = near_pairs(formulas, self.max_distance)
        size = len(formulas)
        links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
        n_linked, linked = connected_components(links, directed=False)
        rows = linked[numbers]
        largest = np.bincount(rows).max()
        if largest > len(table) / 2:
            raise SplitError(
                f"max_distance = {self.max_distance:g} links {largest} of {len(table)} rows to "
                "one group, more than half; choose a smaller one"
            )
        # a large group that is dealt last would unbalance the folds
        order = as_generator(self.random_state).permutation(n_linked)
        order = order[np.argsort(-np.bincount(rows)[order], kind="stable")]
        yield from self._deal(fill_evenly(rows, order, self.n_folds), n_linked, "linked groups")

    def describe(self) -> str:
        """Say in one line what is held out."""
        return (
            f"one of {self.n_folds} folds of compositions linked within a distance of "
            f"{self.max_distance:g}"
        )


def near_pairs(formulas: NDArray[Any], max_distance: float) -> IntArray:
    """Return all pairs of formulas within a composition distance, shape (n_pairs, 2).

    Parameters
    ----------
    formulas : ndarray of str, shape (n,)
        Formulas, each once.
    max_distance : float
        In (0, 1].

    Raises
    ------
    SplitError
        If the distance is out of range or gives too many pairs, or a formula cannot be read.
    """
    fractions = _fractions(formulas, max_distance)
    tree = _tree(fractions)
    found = [np.zeros((0, 2), np.int64)]
    # asking for the k nearest within a bound is many times faster than for all within it; the few
    # with k neighbours are asked again for more
    n_nearest, asked = _FIRST_NEAREST, np.arange(len(fractions))
    while len(asked):
        n_nearest = min(n_nearest, len(fractions))
        full = []
        for block in np.array_split(asked, -(-len(asked) * n_nearest // _BLOCK)):
            _, near = tree.query(
                fractions[block],
                k=np.arange(1, n_nearest + 1),
                p=1,
                distance_upper_bound=2 * max_distance + _TOLERANCE,
                workers=-1,
            )
            is_near = near < len(fractions)
            done = ~is_near[:, -1] | (n_nearest == len(fractions))
            full.append(block[~done])
            left = np.repeat(block[done], is_near[done].sum(axis=1))
            pairs = np.column_stack([left, near[done][is_near[done]]])
            found.append(pairs[pairs[:, 0] < pairs[:, 1]])
            if sum(map(len, found)) > MAX_PAIRS:
                raise SplitError(
                    f"more than {MAX_PAIRS:,} pairs of formulas are within a composition distance "
                    f"of {max_distance:g}; choose a smaller one"
                )
        n_nearest, asked = 4 * n_nearest, np.concatenate(full)
    joined = np.concatenate(found)
    return joined[np.lexsort((joined[:, 1], joined[:, 0]))]


def thin(groups: NDArray[Any], min_distance: float, *, random_state: Seed = None) -> BoolArray:
    """Choose rows so that no two kept formulas are nearer than a composition distance.

    Formulas are visited in random order and kept unless one that was kept before is too near, so
    every formula left out has a near twin among those kept.

    Parameters
    ----------
    groups : ndarray of str, shape (n,)
        Reduced formulas.
    min_distance : float
        In (0, 1].
    random_state : int, Generator or None
        Order of the visits.

    Returns
    -------
    ndarray of bool, shape (n,)
        Rows to keep.

    Raises
    ------
    SplitError
        As `near_pairs`.
    """
    formulas, numbers = _unique(groups)
    pairs = near_pairs(formulas, min_distance)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    starts = np.searchsorted(both[:, 0], np.arange(len(formulas) + 1))
    keep = np.ones(len(formulas), dtype=bool)
    for formula in as_generator(random_state).permutation(len(formulas)).tolist():
        if keep[formula]:
            keep[both[starts[formula] : starts[formula + 1], 1]] = False
    return keep[numbers]


def drop_near(fold: Fold, groups: NDArray[Any], min_distance: float) -> Fold:
    """Leave out the training and validation rows too similar to a test row (near-duplicates).

    Parameters
    ----------
    fold : Fold
        As it was.
    groups : ndarray of str, shape (n,)
        Reduced formulas.
    min_distance : float
        Composition distance in (0, 1] up to which a row is left out.

    Raises
    ------
    SplitError
        If no training row is left, and as `near_pairs`.
    """
    formulas, numbers = _unique(groups)
    fractions = _fractions(formulas, min_distance)
    tested = np.unique(numbers[fold.test])
    rows = np.concatenate([fold.train, fold.val])
    others = np.unique(numbers[rows])
    distances, _ = _tree(fractions[tested]).query(
        fractions[others],
        p=1,
        distance_upper_bound=2 * min_distance + _TOLERANCE,
        workers=-1,
    )
    near = np.zeros(len(formulas), dtype=bool)
    near[others] = np.isfinite(distances)
    train, val = (part[~near[numbers[part]]] for part in (fold.train, fold.val))
    if not len(train):
        raise SplitError(
            f"every training row is within {min_distance:g} of a test row; choose a smaller "
            "distance"
        )
    return replace(fold, train=train, val=val)


def _unique(groups: NDArray[Any]) -> tuple[NDArray[Any], IntArray]:
    numbers, _ = group_numbers(groups)
    return np.unique(groups), numbers


def _tree(fractions: NDArray[np.float64]) -> KDTree:
    # most fractions are 0: cuts in the middle of a range prune far better than cuts at the median
    return KDTree(fractions, balanced_tree=False)


def _fractions(formulas: NDArray[Any], distance: float) -> NDArray[np.float64]:
    if not 0 < distance <= 1:
        raise SplitError(
            f"the composition distance is {distance:g}; expected a share of atoms above 0 and at "
            "most 1"
        )
    fractions = parse_groups(formulas, "a composition distance").element_fractions()
    return fractions[:, fractions.any(axis=0)]
