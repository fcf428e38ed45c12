"""The lower layers of CHGNet for crystals: computed once, and kept in memory for all epochs."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xtalshift.errors import DataError
from xtalshift.featurize.bond_graph import CUTOFF
from xtalshift.featurize.chgnet_network import load_network
from xtalshift.featurize.sites_block import read_sites
from xtalshift.nn.crystal_head import FrozenCrystals
from xtalshift.progress import Progress
from xtalshift.structure import Structures
from xtalshift.structure.neighbours import find_neighbours

MOST_BYTES = {torch.float32: 4 * 2**30, torch.float64: 2**30}
"""Largest memory of the crystals that are kept: about 12,000 of 17 atoms for training, in float32,
and 1,500 for prediction, in float64. Beyond, the oldest are forgotten and computed again."""
_CPU = torch.device("cpu")


class _Kept:
    """The crystals of this process in one type of numbers, for all fits, the oldest first."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.crystals: OrderedDict[bytes, FrozenCrystals] = OrderedDict()
        self.nbytes = 0

    def find(self, row: NDArray[np.float64]) -> FrozenCrystals:
        """Return the crystal of a row, which is computed alone if it is not there.

        Parameters
        ----------
        row : ndarray of float64, shape (521,)
            A crystal as the block ``sites`` writes it.

        Raises
        ------
        DataError
            If the row holds no crystal, or an atom has no neighbour.
        """
        key = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
        found = self.crystals.get(key)
        if found is None:
            found = _compute(read_sites(row[None]), self.dtype)
            self.crystals[key] = found
            self.nbytes += found.nbytes
            while self.nbytes > MOST_BYTES[self.dtype] and len(self.crystals) > 1:
                _, oldest = self.crystals.popitem(last=False)
                self.nbytes -= oldest.nbytes
        return found


_kept = {dtype: _Kept(dtype) for dtype in MOST_BYTES}


def look_up(rows: Tensor, dtype: torch.dtype) -> FrozenCrystals:
    """Return what the last convolution starts from, as a batch on the device of the rows.

    Parameters
    ----------
    rows : Tensor, shape (n, 521)
        Crystals as the block ``sites`` writes them.
    dtype : torch.dtype
        Type of the numbers, float32 or float64; they are computed in float64.

    Raises
    ------
    DataError
        If a row holds no crystal, or an atom has no neighbour.
    """
    values = np.ascontiguousarray(rows.cpu().numpy(), dtype=np.float64)
    return FrozenCrystals.join([_kept[dtype].find(row) for row in values], rows.device)


def prepare(rows: NDArray[np.float64], progress: Progress) -> None:
    """Compute the crystals of some rows for training and keep them.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, 521)
        As in `look_up`.
    progress : Progress
        Reports the work.
    """
    with progress.task("lower layers of CHGNet", len(rows)) as task:
        for row in rows:
            _kept[torch.float32].find(row)
            task.advance()


def _compute(structure: Structures, dtype: torch.dtype) -> FrozenCrystals:
    pairs = find_neighbours(structure, CUTOFF)
    if len(np.unique(pairs.atoms)) < len(structure.z):
        raise DataError(
            f"an atom of a crystal has no neighbour within {CUTOFF:g} A; CHGNet describes atoms by "
            "their neighbours"
        )
    state = load_network(False).before_last(structure, pairs)
    return FrozenCrystals(
        state.atoms.to(_CPU, dtype),
        state.bonds.to(_CPU, dtype),
        state.long_weights.to(_CPU, dtype),
        state.bond_of.cpu(),
        state.atom_graph.cpu(),
        torch.zeros(len(structure.z), dtype=torch.int64),
    )
