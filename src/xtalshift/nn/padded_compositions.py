"""Compositions as padded tensors, for attacks on compositions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xtalshift.chem import Compositions
from xtalshift.chem.charge_neutrality import assign_states
from xtalshift.errors import DataError


@dataclass(frozen=True)
class Slots:
    """n compositions of at most k elements on one device; `take` may add leading axes."""

    elements: Tensor
    """Shape (n, k). Atomic numbers, each once in a row; 0 is an empty slot."""
    amounts: Tensor
    """Shape (n, k). Atoms per formula as written; 0 in empty slots."""
    charges: Tensor
    """Shape (n, k). Oxidation state of each slot by
    `xtalshift.chem.charge_neutrality.assign_states`: NaN in all filled slots of a row without a
    neutral assignment; 0 in empty slots."""

    def __len__(self) -> int:
        return self.elements.shape[-2]

    @property
    def fractions(self) -> Tensor:
        """Atomic fractions, shape (n, k); 0 in empty slots."""
        return self.amounts / self.amounts.sum(dim=-1, keepdim=True)

    @property
    def known_charges(self) -> Tensor:
        """Whether a row has a neutral assignment, bool, shape (n,)."""
        return ~self.charges.isnan().any(dim=-1)

    def take(self, indices: Tensor) -> Slots:
        """Return the rows `indices` (integers, or a mask of shape (n,)), with the same width k."""
        return Slots(self.elements[indices], self.amounts[indices], self.charges[indices])

    def to_compositions(self) -> Compositions:
        """Return the same rows, elements in the order of the slots, without the empty slots.

        Amounts of less than double precision become the shortest decimals that round to them, so
        that 0.1 stays 0.1.
        """
        elements = self.elements.cpu().numpy()
        filled = elements > 0
        starts = np.concatenate([[0], np.cumsum(filled.sum(axis=1))]).astype(np.int64)
        amounts = _to_float64(self.amounts)[filled]
        return Compositions(starts, elements[filled].astype(np.uint8), amounts)


def pad_compositions(
    compositions: Compositions, *, dtype: torch.dtype, device: torch.device | str
) -> Slots:
    """Return compositions as padded tensors, with an oxidation state for each element.

    Parameters
    ----------
    compositions : Compositions
        n rows, none of them invalid; k is the largest number of elements.
    dtype : torch.dtype
        Type of amounts and charges.
    device : torch.device or str
        Device of the tensors.

    Raises
    ------
    DataError
        If a row has no elements; the message names the first one.
    """
    sizes = compositions.sizes
    if (sizes == 0).any():
        row = np.flatnonzero(sizes == 0)[0] + 1
        raise DataError(
            f"row {row} of the compositions (counted from 1) has no elements; leave it out"
        )
    filled = np.arange(max(1, sizes.max(initial=1))) < sizes[:, None]

    def pad(values: NDArray[np.generic]) -> Tensor:
        padded = np.zeros(filled.shape, dtype=values.dtype)
        padded[filled] = values  # row by row, as they are stored
        return torch.from_numpy(padded)

    charges = assign_states(compositions)
    return Slots(
        pad(compositions.z.astype(np.int64)).to(device),
        pad(compositions.amounts).to(device=device, dtype=dtype),
        pad(charges).to(device=device, dtype=dtype),
    )


def join_slots(parts: Sequence[Slots]) -> Slots:
    """Return the rows of several `Slots` of the same width, one after the other."""
    names = ("elements", "amounts", "charges")
    return Slots(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def _to_float64(values: Tensor) -> NDArray[np.float64]:
    array = values.detach().cpu().numpy()
    return array if array.dtype == np.float64 else array.astype(str).astype(np.float64)
