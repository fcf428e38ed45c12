"""Many crystal structures as columns."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.compositions import Compositions

FloatArray = NDArray[np.float64]
_DECIMALS = 6


@dataclass(frozen=True, eq=False, repr=False)
class Structures:
    """n periodic crystal structures in compressed rows.

    Row i holds the atoms ``starts[i]:starts[i + 1]``. A site that several elements share is several
    atoms at one position, each with its occupancy. A row without atoms is no structure: it could
    not be read.

    Attributes
    ----------
    lattices : ndarray of float64, shape (n, 3, 3)
        Lattice vectors a, b and c in angstrom, one in each row; NaN for a row without atoms.
    starts : ndarray of int64, shape (n + 1,)
        First atom of each structure; the last entry is the number m of atoms.
    z : ndarray of uint8, shape (m,)
        Atomic numbers.
    positions : ndarray of float64, shape (m, 3)
        Fractional coordinates, 0 <= x < 1.
    occupancies : ndarray of float64, shape (m,)
        Share of the cells in which the atom is there, above 0, at most 1.
    """

    lattices: FloatArray
    starts: NDArray[np.int64]
    z: NDArray[np.uint8]
    positions: FloatArray
    occupancies: FloatArray

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __repr__(self) -> str:
        """Return the numbers of structures and atoms."""
        return f"<Structures: {len(self):,} with {len(self.z):,} atoms>"

    @classmethod
    def of(
        cls,
        lattice: Any,
        z: Any,
        positions: Any,
        occupancies: Any | None = None,
    ) -> Self:
        """Return one structure.

        Parameters
        ----------
        lattice : array_like of float, shape (3, 3)
            Lattice vectors in angstrom.
        z : array_like of int, shape (m,)
            Atomic numbers.
        positions : array_like of float, shape (m, 3)
            Fractional coordinates; whole cells are taken off.
        occupancies : array_like of float, shape (m,), optional
            By default 1.
        """
        numbers = np.asarray(z, dtype=np.uint8)
        wrapped = np.asarray(positions, dtype=np.float64).reshape(-1, 3) % 1.0
        wrapped[wrapped == 1.0] = 0.0  # -1e-17 % 1 rounds to 1
        return cls(
            np.asarray(lattice, dtype=np.float64)[None],
            np.array([0, len(numbers)], dtype=np.int64),
            numbers,
            wrapped,
            np.ones(len(numbers))
            if occupancies is None
            else np.asarray(occupancies, dtype=np.float64),
        )

    @classmethod
    def none(cls, n: int) -> Self:
        """Return n rows without atoms."""
        return cls(
            np.full((n, 3, 3), np.nan),
            np.zeros(n + 1, dtype=np.int64),
            np.empty(0, dtype=np.uint8),
            np.empty((0, 3)),
            np.empty(0),
        )

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return several batches as one, in their order."""
        if not parts:
            return cls.none(0)
        sizes = np.concatenate([part.sizes for part in parts])
        return cls(
            np.concatenate([part.lattices for part in parts]),
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            np.concatenate([part.z for part in parts]),
            np.concatenate([part.positions for part in parts]),
            np.concatenate([part.occupancies for part in parts]),
        )

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of atoms of each structure, shape (n,)."""
        return np.diff(self.starts)

    @property
    def volumes(self) -> FloatArray:
        """Volume of each cell in cubic angstrom, shape (n,); NaN for a row without atoms."""
        a, b, c = np.moveaxis(self.lattices, 1, 0)
        return np.asarray(np.abs(np.sum(a * np.cross(b, c), axis=1)))

    @property
    def rows(self) -> NDArray[np.int64]:
        """Row of each atom, shape (m,)."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def take(self, indices: Any) -> Self:
        """Return the rows that an index, slice or mask selects, in that order."""
        rows = np.arange(len(self))[indices]
        sizes = self.sizes[rows]
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        atoms = np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], sizes)
        return type(self)(
            self.lattices[rows], starts, self.z[atoms], self.positions[atoms],
            self.occupancies[atoms],
        )  # fmt: skip

    @property
    def ordered(self) -> NDArray[np.bool_]:
        """Which structures have only whole atoms, shape (n,); true for a row without atoms."""
        partial = np.bincount(self.rows[self.occupancies < 1.0], minlength=len(self))
        return np.asarray(partial == 0)

    def compositions(self) -> Compositions:
        """Return the atoms of each cell by element, weighted by their occupancies."""
        places = self.rows * 256 + self.z
        found, first, inverse = np.unique(places, return_index=True, return_inverse=True)
        amounts = np.bincount(inverse, weights=self.occupancies, minlength=len(found))
        order = np.argsort(first, kind="stable")  # elements in order of first appearance
        sizes = np.bincount(found[order] // 256, minlength=len(self))
        return Compositions(
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            (found[order] % 256).astype(np.uint8),
            np.round(amounts[order], _DECIMALS),
        )

    @cached_property
    def keys(self) -> NDArray[np.object_]:
        """A hash of each structure as it is written, shape (n,); ``""`` for a row without atoms.

        Equal keys mean equal cells and atoms (to six decimals) in the same order. Other
        descriptions of the same crystal have other keys.
        """
        keys = np.full(len(self), "", dtype=object)
        bounds = self.starts.tolist()
        # -0.0 and 0.0 have different bytes
        lattices, positions = (
            np.round(one, _DECIMALS) + 0.0 for one in (self.lattices, self.positions)
        )
        occupancies = np.round(self.occupancies, _DECIMALS)
        for row in np.flatnonzero(self.sizes).tolist():
            atoms = slice(bounds[row], bounds[row + 1])
            digest = hashlib.sha256(lattices[row].tobytes())
            for part in (self.z[atoms], positions[atoms], occupancies[atoms]):
                digest.update(part.tobytes())
            keys[row] = digest.hexdigest()[:32]
        return keys
