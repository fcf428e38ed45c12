"""Crystals beside rows of features, for attacks on crystals."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from xtalshift.structure import Structures


@dataclass(frozen=True, eq=False)
class CrystalRows:
    """n crystals, and which ones of the training they are."""

    structures: Structures
    """N rows."""
    numbers: Tensor
    """Shape (n,), int64. What belongs to a crystal is kept under its number between the steps."""

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, indices: Tensor) -> CrystalRows:
        """Return the rows `indices`, integers of shape (k,)."""
        rows = indices.cpu().numpy()
        return CrystalRows(self.structures.take(rows), self.numbers[indices])
