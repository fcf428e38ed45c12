"""The lower layers of CHGNet for crystals: computed once, and kept in memory for all epochs."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xtalshift.errors import DataError
from xtalshift.featurize.bond_graph import CUTOFF
from xtalshift.featurize.chgnet_network import load_network
from xtalshift.featurize.sites import read_sites
from xtalshift.nn.crystal_head import FrozenCrystals
from xtalshift.progress import Progress
from xtalshift.structure import Structures
from xtalshift.structure.neighbours import find_neighbours

MOST_BYTES = 4 * 2**30
"""Largest memory of the crystals that are kept: about 12,000 of 17 atoms. Beyond, the oldest are
forgotten and computed again when they are needed."""
_CPU = torch.device("cpu")
_REPORTED = 16  # crystals between two messages of progress


class _Kept:
    """The crystals of this process, for all fits, the oldest first."""

    def __init__(self) -> None:
        self.crystals: OrderedDict[bytes, FrozenCrystals] = OrderedDict()
        self.nbytes = 0

    def find(self, row: NDArray[np.float64]) -> FrozenCrystals:
        """Return the crystal of a row in float32, which is computed if it is not there."""
        key = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
        found = self.crystals.get(key)
        if found is None:
            found = compute_crystals(row[None], torch.float32)
            self.crystals[key] = found
            self.nbytes += found.nbytes
            while self.nbytes > MOST_BYTES and len(self.crystals) > 1:
                _, oldest = self.crystals.popitem(last=False)
                self.nbytes -= oldest.nbytes
        return found


_kept = _Kept()


def compute_crystals(rows: NDArray[np.float64], dtype: torch.dtype) -> FrozenCrystals:
    """Return what the last convolution starts from, each crystal computed alone.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, 521)
        Crystals as the block ``sites`` writes them.
    dtype : torch.dtype
        Type of the numbers; they are computed in float64.

    Raises
    ------
    DataError
        If a row holds no crystal, or an atom has no neighbour.
    """
    structures = read_sites(rows)
    parts = [_compute(structures.take([row]), dtype) for row in range(len(structures))]
    return FrozenCrystals.join(parts, _CPU)


def look_up(rows: Tensor, dtype: torch.dtype) -> FrozenCrystals:
    """Return crystals as a batch on the device of their rows; those in float32 are kept."""
    values = np.ascontiguousarray(rows.cpu().numpy(), dtype=np.float64)
    if dtype != torch.float32:
        return FrozenCrystals.join([compute_crystals(values, dtype)], rows.device)
    return FrozenCrystals.join([_kept.find(row) for row in values], rows.device)


def prepare(rows: NDArray[np.float64], progress: Progress) -> None:
    """Compute the crystals of some rows and keep them.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, 521)
        As in `compute_crystals`.
    progress : Progress
        Reports the work.
    """
    with progress.task("lower layers of CHGNet", len(rows)) as task:
        for part in _parts(rows):
            for row in part:
                _kept.find(row)
            task.advance(len(part))


def _parts(rows: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(rows), _REPORTED):
        yield rows[start : start + _REPORTED]


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
