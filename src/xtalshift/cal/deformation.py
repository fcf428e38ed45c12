"""Small changes of crystals: homogeneous strain and displacements of their atoms, in budgets.

The moves of n crystals are one tensor (n, 6 + 3 a), a the largest number of atoms: the strain,
whose six numbers have as their Euclidean norm the Frobenius norm of the matrix, and the
displacements in angstrom, 0 beyond the atoms of a crystal. A vector r between two atoms i and j
becomes ``r (1 + strain) + u_j - u_i``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xtalshift.structure import Structures

FloatArray = NDArray[np.float64]

N_STRAIN = 6
COMPONENTS = ("xx", "yy", "zz", "yz", "xz", "xy")
AXES = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""`COMPONENTS`, `AXES`: the numbers of a strain in their order, and where they stand."""
_NEGLIGIBLE = 1e-6  # share of the gain; what symmetry forbids is left over by rounding


def still(sizes: NDArray[np.int64], like: Tensor) -> Tensor:
    """Return the moves of crystals with these numbers of atoms that move nothing, float64.

    Float32 on a device that has no other floating-point numbers.
    """
    dtype = torch.float32 if like.device.type == "mps" else torch.float64
    width = N_STRAIN + 3 * int(sizes.max(initial=0))
    return torch.zeros(len(sizes), width, dtype=dtype, device=like.device)


def unpack(moves: Tensor, sizes: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Return the strains, shape (n, 3, 3), and the displacements of the m atoms, shape (m, 3)."""
    strains = moves.new_zeros(len(moves), 3, 3)
    for number, (one, other) in enumerate(AXES):
        value = moves[:, number]
        if one == other:
            strains[:, one, one] = value
        else:  # it stands twice in the matrix
            strains[:, one, other] = strains[:, other, one] = value / 2**0.5
    shifts = moves[:, N_STRAIN:].reshape(len(moves), -1, 3)
    return strains, shifts[_filled(sizes, shifts)]


def _filled(sizes: NDArray[np.int64], shifts: Tensor) -> Tensor:
    """Return which places of displacements (n, a, 3) hold an atom, bool, shape (n, a)."""
    places = torch.arange(shifts.shape[1], device=shifts.device)
    return places < torch.as_tensor(sizes, device=shifts.device)[:, None]


def reach(cutoff: float, strain: float, displacement: float) -> float:
    """Return the distance of atoms beyond which none come within a cutoff, inside the budgets."""
    return (cutoff + 2.0 * displacement) / (1.0 - strain)


@dataclass(frozen=True)
class MoveSpace:
    """The moves of n crystals that the budgets allow.

    Attributes
    ----------
    sizes : ndarray of int64, shape (n,)
        Numbers of atoms.
    strain : float
        Largest Frobenius norm of a strain: no length changes by a larger share.
    displacement : float
        Largest displacement of an atom in angstrom. The mean over the atoms of a cell is 0.
    """

    sizes: NDArray[np.int64]
    strain: float
    displacement: float

    def step(self, moves: Tensor, gradient: Tensor, length: Tensor) -> Tensor:
        """Return moves after a step uphill, pulled back into the budgets.

        Strain and displacements are two blocks. Each goes along its own gradient; the norm of the
        step in strain, and the largest one of an atom, are the share `length` (n, 1) of their
        budget. A block whose gain is below a millionth of that of the other stays: it is what
        rounding leaves of moves that the symmetry forbids.
        """
        slope, tilt = gradient[:, :N_STRAIN], self._centre(gradient[:, N_STRAIN:])
        steep, steepest = slope.norm(dim=1, keepdim=True), self._largest(tilt)
        gains = self.strain * steep, self.displacement * steepest
        least = _NEGLIGIBLE * torch.maximum(*gains)
        strain = moves[:, :N_STRAIN] + _along(slope, steep, gains[0] > least) * length * self.strain
        shifts = (
            moves[:, N_STRAIN:]
            + _along(tilt, steepest, gains[1] > least) * length * self.displacement
        )
        return torch.cat(
            [
                _shorten(strain, strain.norm(dim=1, keepdim=True), self.strain),
                _shorten(shifts, self._largest(shifts), self.displacement),
            ],
            dim=1,
        )

    def _centre(self, shifts: Tensor) -> Tensor:
        """Return displacements (n, 3 a) without the translation of the whole crystal."""
        atoms = shifts.reshape(len(shifts), -1, 3)
        counts = torch.as_tensor(self.sizes, device=shifts.device).to(shifts)[:, None]
        mean = atoms.sum(dim=1) / counts
        filled = _filled(self.sizes, atoms)[:, :, None]
        return torch.where(filled, atoms - mean[:, None], 0.0).flatten(start_dim=1)

    @staticmethod
    def _largest(shifts: Tensor) -> Tensor:
        """Return the largest displacement of an atom of each crystal, shape (n, 1)."""
        lengths: Tensor = torch.linalg.vector_norm(shifts.reshape(len(shifts), -1, 3), dim=2)
        return lengths.amax(dim=1, keepdim=True)


def _along(gradient: Tensor, size: Tensor, worth: Tensor) -> Tensor:
    return torch.where(worth, gradient / torch.where(worth, size, 1.0), 0.0)


def _shorten(moves: Tensor, size: Tensor, budget: float) -> Tensor:
    return moves * torch.where(size > budget, budget / size.clamp_min(1e-300), 1.0)


def deform(structures: Structures, moves: Tensor) -> Structures:
    """Return n crystals after their moves; those that do not move are the same, bit for bit."""
    strains, shifts = (
        part.detach().cpu().numpy().astype(np.float64) for part in unpack(moves, structures.sizes)
    )
    moved = np.asarray((moves != 0).any(dim=1).cpu())
    lattices = structures.lattices @ (np.eye(3) + strains)
    inverse = np.linalg.inv(lattices)[structures.rows]
    positions = (structures.positions + np.einsum("mi,mij->mj", shifts, inverse)) % 1.0
    positions[positions == 1.0] = 0.0  # -1e-17 % 1 rounds to 1
    return replace(
        structures,
        lattices=np.where(moved[:, None, None], lattices, structures.lattices),
        positions=np.where(moved[structures.rows, None], positions, structures.positions),
    )


def measure_moves(start: Structures, moved: Structures) -> tuple[FloatArray, FloatArray]:
    """Return the strains and the displacements that lead from n crystals to others.

    Parameters
    ----------
    start, moved : Structures
        n crystals with the same m atoms, before and after `deform`.

    Returns
    -------
    strains : ndarray of float64, shape (n, 3, 3)
        Symmetric.
    displacements : ndarray of float64, shape (m, 3)
        In angstrom.
    """
    strains = np.linalg.solve(start.lattices, moved.lattices) - np.eye(3)
    strains[(start.lattices == moved.lattices).all(axis=(1, 2))] = 0.0  # without rounding
    change = (moved.positions - start.positions + 0.5) % 1.0 - 0.5
    return strains, np.einsum("mi,mij->mj", change, moved.lattices[start.rows])
