"""Whether the atoms of a crystal are bonded to molecules, chains, layers or a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xtalshift.structure.bonds import Bonds
from xtalshift.structure.neighbours import Neighbours
from xtalshift.structure.structures import Structures

_HALF = 1.15  # bond length over the sum of the radii at which a bond is half lost
_LONGEST = 2.0  # bond length over the sum of the radii from which on a pair is no bond
_PART = 64  # bonds that are looked at together; a few make a network

Cell: TypeAlias = tuple[int, int, int]


def dimensionality_scores(structures: Structures, bonds: Bonds) -> NDArray[np.float64]:
    """Return how well each structure is described as 0-, 1-, 2- and 3-dimensional.

    The bonds of at most a given length form a network. A component of it extends in 0 directions
    (a molecule), 1 (a chain), 2 (a layer) or 3; the component that extends in most counts. With
    ``k_D`` the length at which D directions are first reached, in sums of the covalent radii, the
    score of D is ``f(k_{D+1}) - f(k_D)`` with ``f(k) = x / (1 + x)``,
    ``x = (max(0, k - 1) / 0.15)^2``, as in Larsen, Pandey, Strange and Jacobsen, Phys. Rev. Mater.
    3, 034003 (2019), but without their kinds of mixed dimensions. Lengths of 2 and more are no
    bonds. The scores are continuous in the positions.

    Parameters
    ----------
    structures : Structures
        n structures.
    bonds : Bonds
        Their bonds.

    Returns
    -------
    ndarray of float64, shape (n, 4)
        Each from 0 to 1; they add up to 1.
    """
    pairs = bonds.neighbours
    with np.errstate(divide="ignore"):
        fading = bonds.presence / structures.occupancies[pairs.others]
        lengths = pairs.distances / bonds.radii / fading  # infinite at the cutoff
    once = np.flatnonzero((lengths < _LONGEST) & _leads(pairs))
    rows = structures.rows[pairs.atoms[once]]
    once = once[np.lexsort((lengths[once], rows))]
    ends = np.cumsum(np.bincount(rows, minlength=len(structures))).tolist()
    sizes, starts = structures.sizes.tolist(), structures.starts.tolist()

    reached = np.full((len(structures), 5), _LONGEST)  # k_0 to k_4
    reached[:, 0] = 0.0
    for row, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
        network = _Network(starts[row], sizes[row])
        for part in range(begin, end, _PART):
            some = once[part : min(part + _PART, end)]
            _grow(network, pairs.take(some), lengths[some], reached[row])
            if network.rank == 3:  # noqa: PLR2004 - space has three directions
                break
    x = (np.maximum(0.0, reached - 1.0) / (_HALF - 1.0)) ** 2
    lost = x / (1.0 + x)
    return np.asarray(np.diff(lost, axis=1) / lost[:, -1:])


def _leads(pairs: Neighbours) -> NDArray[np.bool_]:
    """Select each pair once: by its first atom, or its first shift between images of one atom."""
    x, y, z = pairs.shifts.T
    forward = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))
    return np.asarray((pairs.atoms < pairs.others) | ((pairs.atoms == pairs.others) & forward))


def _grow(
    network: _Network,
    pairs: Neighbours,
    lengths: NDArray[np.float64],
    reached: NDArray[np.float64],
) -> None:
    """Add bonds by ascending length, and write to `reached` the length at which a rank begins."""
    for first, second, shift, length in zip(
        pairs.atoms.tolist(),
        pairs.others.tolist(),
        pairs.shifts.tolist(),
        lengths.tolist(),
        strict=True,
    ):
        before = network.rank
        network.bond(first, second, shift)
        if network.rank > before:
            reached[before + 1 : network.rank + 1] = length
            if network.rank == 3:  # noqa: PLR2004
                return


class _Network:
    """Grows components bond by bond, and knows in how many directions the widest extends."""

    def __init__(self, start: int, size: int) -> None:
        self.rank = 0
        self._start = start
        self._component = list(range(size))
        self._cell: list[Cell] = [(0, 0, 0)] * size  # of the image that belongs to the component
        self._members = [[atom] for atom in range(size)]
        self._directions: list[list[Cell]] = [[] for _ in range(size)]

    def bond(self, first: int, second: int, shift: Sequence[int]) -> None:
        """Add a bond from an atom to one in the cell `shift` from its own."""
        first, second = first - self._start, second - self._start
        one, other = self._component[first], self._component[second]
        x, y, z = self._cell[first]
        p, q, r = self._cell[second]
        step = (x + shift[0] - p, y + shift[1] - q, z + shift[2] - r)
        if one == other:
            self._extend(one, step)
            return
        if len(self._members[one]) < len(self._members[other]):
            one, other = other, one
            step = (-step[0], -step[1], -step[2])
        for atom in self._members[other]:
            p, q, r = self._cell[atom]
            self._cell[atom] = (p + step[0], q + step[1], r + step[2])
            self._component[atom] = one
        self._members[one] += self._members[other]
        for direction in self._directions[other]:
            self._extend(one, direction)

    def _extend(self, component: int, step: Cell) -> None:
        """Add a direction in which the component repeats, if it is a new one."""
        known = self._directions[component]
        if len(known) < 3 and _independent(known, step):  # noqa: PLR2004
            known.append(step)
            self.rank = max(self.rank, len(known))


def _independent(known: list[Cell], step: Cell) -> bool:
    """Say whether a step is no linear combination of up to two independent ones; exact."""
    a, b, c = step
    if not known:
        return bool(a or b or c)
    x, y, z = known[0]
    normal = (y * c - z * b, z * a - x * c, x * b - y * a)
    if len(known) == 1:
        return any(normal)
    u, v, w = known[1]
    return u * normal[0] + v * normal[1] + w * normal[2] != 0
