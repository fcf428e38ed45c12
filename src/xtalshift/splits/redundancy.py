"""Redundancy: materials of almost the same composition, kept in one fold, thinned or purged.

The distance of two compositions is half the L1 distance of their atomic fractions: the share of
atoms that differ, in [0, 1]. Neighbours are exact at every size (a k-d tree).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from xtalshift.chem.compositions import Compositions
from xtalshift.errors import SplitError
from xtalshift.seeding import Seed, as_generator
from xtalshift.splits.random_folds import DealtSplitter, fill_evenly
from xtalshift.splits.splitter import SPLITTERS, BoolArray, Fold, IntArray, Region, Rows

_TOLERANCE = 1e-9  # two distances that are equal on paper differ by rounding
MAX_PAIRS = 20_000_000
"""Most pairs of near formulas that are held, 0.3 GB."""

_FIRST_NEAREST = 17
_BLOCK = 2**22  # neighbours looked up at once: bounds the memory


@SPLITTERS.register("redundancy")
@dataclass(eq=False, repr=False)
class RedundancySplit(DealtSplitter):
    """Deal groups of similar compositions into folds: no test material has a near twin in train.

    Compositions within `max_distance` are linked, and all that are linked directly or through
    others stay in one fold (single linkage). A random split of a redundant table tests memory; this
    one is random except for the twins (compare MD-HIT, Li et al., npj Comput. Mater. 10, 245,
    2024).

    Parameters
    ----------
    max_distance : float, default 0.02
        Largest share of atoms that differ within a link. Large values link all materials.
    n_folds : int, default 5
        Folds.
    random_state : int, Generator or None
        Order in which the groups are dealt, each to the fold with the fewest rows.
    """

    aim = "little: no twins"

    max_distance: float = 0.02
    n_folds: int = 5
    random_state: Seed = None

    def _regions(self, table: Rows) -> Iterator[Region]:
        pairs = near_pairs(_read(table), self.max_distance)
        size = len(table.names)
        links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
        n_linked, linked = connected_components(links, directed=False)
        rows = linked[table.numbers]
        largest = np.bincount(rows).max()
        if largest > len(table) / 2:
            raise SplitError(
                f"max_distance = {self.max_distance:g} links {largest} of {len(table)} rows to "
                "one group, more than half; choose a smaller one"
            )
        # a large group dealt last would unbalance the folds
        order = as_generator(self.random_state).permutation(n_linked)
        order = order[np.argsort(-np.bincount(rows)[order], kind="stable")]
        yield from self._deal(fill_evenly(rows, order, self.n_folds), n_linked, "linked groups")

    def describe(self) -> str:
        """Say in one line what is held out."""
        return (
            f"one of {self.n_folds} folds of compositions linked within a distance of "
            f"{self.max_distance:g}"
        )


def near_pairs(formulas: Compositions, max_distance: float) -> IntArray:
    """Return all pairs of distinct formulas within a composition distance, shape (n_pairs, 2).

    Raises `SplitError` if the distance is not in (0, 1] or gives too many pairs.
    """
    fractions = _fractions(formulas, max_distance)
    tree = _tree(fractions)
    found = [np.zeros((0, 2), np.int64)]
    # a query for the k nearest within a bound is many times faster than one for all within it; the
    # few points that have k neighbours are queried again with a larger k
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


def thin(
    groups: NDArray[Any],
    min_distance: float,
    *,
    compositions: Compositions | None = None,
    random_state: Seed = None,
) -> BoolArray:
    """Choose rows so that no two kept formulas are nearer than a composition distance.

    Formulas are visited in random order and kept unless one kept before is too near, so every
    formula left out has a near twin among those kept.

    Parameters
    ----------
    groups : ndarray of str, shape (n,)
        Reduced formulas.
    min_distance : float
        In (0, 1].
    compositions : Compositions of n rows, optional
        The parsed formulas; without them `groups` are parsed.
    random_state : int, Generator or None
        Draws the order.

    Returns
    -------
    ndarray of bool, shape (n,)
        Rows to keep.

    Raises
    ------
    SplitError
        If a formula cannot be read, and as `near_pairs`.
    """
    table = _rows(groups, compositions)
    pairs = near_pairs(_read(table), min_distance)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    starts = np.searchsorted(both[:, 0], np.arange(len(table.names) + 1))
    keep = np.ones(len(table.names), dtype=bool)
    for formula in as_generator(random_state).permutation(len(keep)).tolist():
        if keep[formula]:
            keep[both[starts[formula] : starts[formula + 1], 1]] = False
    return keep[table.numbers]


def drop_near(
    fold: Fold,
    groups: NDArray[Any],
    min_distance: float,
    *,
    compositions: Compositions | None = None,
) -> Fold:
    """Leave out the training and validation rows too similar to a test row (near-duplicates).

    Parameters
    ----------
    fold : Fold
        Rows of the table.
    groups : ndarray of str, shape (n,)
        Reduced formulas.
    min_distance : float
        Composition distance in (0, 1] up to which a row is left out.
    compositions : Compositions of n rows, optional
        The parsed formulas; without them `groups` are parsed.

    Raises
    ------
    SplitError
        If no training row is left, a formula cannot be read, or the distance is out of range.
    """
    table = _rows(groups, compositions)
    fractions = _fractions(_read(table), min_distance)
    tested = np.unique(table.numbers[fold.test])
    others = np.unique(table.numbers[np.concatenate([fold.train, fold.val])])
    distances, _ = _tree(fractions[tested]).query(
        fractions[others],
        p=1,
        distance_upper_bound=2 * min_distance + _TOLERANCE,
        workers=-1,
    )
    near = np.zeros(len(fractions), dtype=bool)
    near[others] = np.isfinite(distances)
    train, val = (part[~near[table.numbers[part]]] for part in (fold.train, fold.val))
    if not len(train):
        raise SplitError(
            f"every training row is within {min_distance:g} of a test row; choose a smaller "
            "distance"
        )
    return replace(fold, train=train, val=val)


def _rows(groups: NDArray[Any], compositions: Compositions | None) -> Rows:
    return Rows.of(np.empty((len(groups), 0)), None, groups, compositions)


def _read(table: Rows) -> Compositions:
    return table.formulas("a composition distance")


def _tree(fractions: NDArray[np.float64]) -> KDTree:
    # most fractions are 0: cuts in the middle of a range prune far better than cuts at the median
    return KDTree(fractions, balanced_tree=False)


def _fractions(formulas: Compositions, distance: float) -> NDArray[np.float64]:
    if not 0 < distance <= 1:
        raise SplitError(
            f"the composition distance is {distance:g}; expected a share of atoms above 0 and at "
            "most 1"
        )
    fractions = formulas.element_fractions()
    return fractions[:, fractions.any(axis=0)]
