"""The bonds and angles of crystals, as CHGNet takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xtalshift.structure import Structures
from xtalshift.structure.neighbours import Neighbours

IntArray = NDArray[np.int64]

CUTOFF = 6.0
"""Largest distance of bonded atoms in angstrom."""
ANGLE_CUTOFF = 3.0
"""Angles have bonds shorter than this, in angstrom."""


@dataclass(frozen=True, eq=False)
class BondGraph:
    """The p / 2 bonds of a batch, each in both directions, and the a angles between bonds.

    Attributes
    ----------
    pairs : Neighbours
        The p directed bonds.
    bonds : ndarray of int64, shape (p,)
        Bond of each directed bond.
    directed : ndarray of int64, shape (p / 2,)
        One of the two directions of each bond.
    sides : ndarray of int64, shape (2, a)
        The directed bonds on both sides of each angle, which begin at the same atom. An angle
        stands twice, once with each of its sides as the first.
    """

    pairs: Neighbours
    bonds: IntArray
    directed: IntArray
    sides: IntArray


def build_graph(pairs: Neighbours, angle_cutoff: float = ANGLE_CUTOFF) -> BondGraph:
    """Return the graph of pairs of atoms, with the angles between bonds shorter than a cutoff."""
    bonds, directed, counts = _number_bonds(pairs)
    if counts.min(initial=2) < 2:  # noqa: PLR2004 - rounding lost one direction at the cutoff
        pairs = pairs.take(np.flatnonzero(counts[bonds] == 2))  # noqa: PLR2004
        bonds, directed, counts = _number_bonds(pairs)
    close = np.flatnonzero(pairs.distances < angle_cutoff)
    atoms = pairs.atoms[close]
    # the close bonds of an atom stand together: combine each with all of its group
    sizes = np.bincount(atoms)
    begin = (np.cumsum(sizes) - sizes)[atoms]
    times = sizes[atoms]
    first = np.repeat(np.arange(len(close)), times)
    second = np.arange(len(first)) + np.repeat(begin - (np.cumsum(times) - times), times)
    sides = close[np.stack([first, second])[:, first != second]]
    return BondGraph(pairs, bonds, directed, sides)


def join_graphs(graphs: Sequence[BondGraph], sizes: Sequence[int]) -> BondGraph:
    """Return the graphs of some batches with these numbers of atoms as that of one batch."""
    n_bonds = [len(graph.directed) for graph in graphs]
    n_pairs = [len(graph.pairs) for graph in graphs]
    atoms, bonds, pairs = (_starts(counts) for counts in (sizes, n_bonds, n_pairs))
    parts = [graph.pairs for graph in graphs]
    joined = Neighbours(
        np.concatenate([part.atoms + first for part, first in zip(parts, atoms, strict=True)]),
        np.concatenate([part.others + first for part, first in zip(parts, atoms, strict=True)]),
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("shifts", "distances", "vectors")
        ),
    )
    return BondGraph(
        joined,
        np.concatenate([graph.bonds + first for graph, first in zip(graphs, bonds, strict=True)]),
        np.concatenate(
            [graph.directed + first for graph, first in zip(graphs, pairs, strict=True)]
        ),
        np.concatenate(
            [graph.sides + first for graph, first in zip(graphs, pairs, strict=True)], axis=1
        ),
    )


def _starts(counts: Sequence[int]) -> list[int]:
    return [0, *np.cumsum(counts)[:-1].tolist()]


def count_edges(structures: Structures, pairs: Neighbours) -> IntArray:
    """Return the number of directed bonds and angles of each structure, shape (n,)."""
    m = len(structures.z)
    bonds = np.bincount(pairs.atoms, minlength=m)
    close = np.bincount(pairs.atoms[pairs.distances < ANGLE_CUTOFF], minlength=m)
    edges = np.bincount(structures.rows, bonds + close * (close - 1.0), minlength=len(structures))
    return edges.astype(np.int64)


def _number_bonds(pairs: Neighbours) -> tuple[IntArray, IntArray, IntArray]:
    """Return the bond of each pair, and one pair and the number of pairs of each bond."""
    atoms, others, shifts = pairs.atoms, pairs.others, pairs.shifts
    reach = int(np.abs(shifts).max(initial=0))
    base = 2 * reach + 1
    cell = shifts @ np.array([base * base, base, 1])  # one number; that of the way back is negative
    back = (atoms > others) | ((atoms == others) & (cell < 0))
    low, high = np.minimum(atoms, others), np.maximum(atoms, others)
    size = int(others.max(initial=0)) + 1
    cell = np.where(back, -cell, cell) + reach * (base * base + base + 1)
    codes = (low * size + high) * base**3 + cell
    _, directed, bonds, counts = np.unique(
        codes, return_index=True, return_inverse=True, return_counts=True
    )
    return bonds, directed, counts
