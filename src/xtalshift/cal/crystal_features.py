"""The features of crystals as differentiable functions of strain and displacements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xtalshift.cal.deformation import deform, reach, unpack
from xtalshift.errors import ConfigError
from xtalshift.featurize import CompositionFeatures
from xtalshift.featurize.atom_batches import split_atoms
from xtalshift.featurize.blocks import OF_STRUCTURES, kind_of, split_blocks
from xtalshift.featurize.bond_graph import (
    ANGLE_CUTOFF,
    CUTOFF,
    BondGraph,
    build_graph,
    join_graphs,
)
from xtalshift.featurize.chgnet_network import ELEMENTS, Network, load_network
from xtalshift.featurize.composition import composition_features
from xtalshift.featurize.scale import FeatureScaler
from xtalshift.nn.crystal_rows import CrystalRows
from xtalshift.structure import Structures
from xtalshift.structure.neighbours import find_neighbours

BLOCK = "chgnet"
"""The block of features that an attack on crystals goes through."""


class CrystalFeatures:
    """Features of `CompositionFeaturizer`, standardised like `FeatureScaler.transform`.

    The columns of the block ``chgnet`` are differentiable in the moves of a crystal
    (`xtalshift.cal.deformation`). Those of other blocks of structures are computed anew for each
    crystal that moves, and those of compositions for each whose elements change; they have no
    gradient here. Columns beyond the featurizer stay as they are.

    The bonds of a crystal are found once, also those that come within the cutoff only by moves
    inside the budgets: longer ones have no effect at all, so the values are those of a new search.

    Parameters
    ----------
    featurizer : CompositionFeatures
        Its blocks must include ``chgnet``.
    scaler : FeatureScaler
        A fitted one.
    strain, displacement : float
        Budgets: largest Frobenius norm of a strain, largest displacement in angstrom.
    closest : float
        A crystal in which two atoms that were at most 6 angstrom apart are nearer than this share
        of their distance before has no features.

    Raises
    ------
    ConfigError
        If the block is missing, or CHGNet is not installed.
    """

    def __init__(
        self,
        featurizer: CompositionFeatures,
        scaler: FeatureScaler,
        *,
        strain: float,
        displacement: float,
        closest: float,
    ) -> None:
        check_features(featurizer)
        self.featurizer = featurizer
        self.scaler = scaler
        self.strain, self.displacement, self.closest = strain, displacement, closest
        self.network: Network = load_network(random=False)
        self._columns = featurizer.columns
        self._place = np.cumsum(scaler.kept_) - 1  # among the kept columns
        self._graphs: dict[int, BondGraph] = {}
        self.moving = self._named(of_structures=True)
        """Other blocks that change where atoms move."""
        self.chemical = self._named(of_structures=False)
        """Blocks that change with the elements only."""

    def _named(self, *, of_structures: bool) -> tuple[str, ...]:
        return tuple(
            name
            for name in split_blocks(self.featurizer.blocks)
            if kind_of(name) != BLOCK and (kind_of(name) in OF_STRUCTURES) == of_structures
        )

    def fix(self, crystals: CrystalRows, x: Tensor, structures: Structures) -> FixedCrystals:
        """Return the features as a function of the moves alone.

        Parameters
        ----------
        crystals : CrystalRows of n rows
            Crystals before the attack.
        x : Tensor, shape (n, d)
            Their features; with other elements in `structures` the features of these.
        structures : Structures of n rows
            The same crystals, maybe with other elements.
        """
        graphs = self._find_graphs(crystals)
        return FixedCrystals(self, structures, x.detach(), graphs)

    def _find_graphs(self, crystals: CrystalRows) -> list[BondGraph]:
        numbers = crystals.numbers.tolist()
        for row, number in enumerate(numbers):
            if number not in self._graphs:
                one = crystals.structures.take([row])
                pairs = find_neighbours(one, reach(CUTOFF, self.strain, self.displacement))
                limit = reach(ANGLE_CUTOFF, self.strain, self.displacement)
                self._graphs[number] = build_graph(pairs, limit)
        return [self._graphs[number] for number in numbers]

    def substituted(
        self, crystals: CrystalRows, x: Tensor, structures: Structures
    ) -> tuple[Tensor, Tensor]:
        """Return the features of crystals with other elements, and which of them have any.

        Parameters
        ----------
        crystals : CrystalRows of n rows
            Crystals before the attack.
        x : Tensor, shape (n, d)
            Their features.
        structures : Structures of n rows
            The same cells and positions with other elements.

        Returns
        -------
        x : Tensor, shape (n, d)
        known : Tensor of bool, shape (n,)
            False where an element is unknown to CHGNet, or a block has no features.
        """
        known = np.bincount(structures.rows, structures.z > max(ELEMENTS), len(structures)) == 0
        structures = replace(structures, z=np.minimum(structures.z, max(ELEMENTS)).astype(np.uint8))
        parts = []
        for part in split_atoms(structures.sizes, self.network.pass_atoms):
            rows = torch.from_numpy(part).to(x.device)
            some = structures.take(part)
            base, blocks = x[rows], (*self.moving, *self.chemical)
            if blocks:
                base, found = self.recompute(base, some, blocks)
                known[part] &= found
            fixed = FixedCrystals(self, some, base, self._find_graphs(crystals.take(rows)))
            with torch.no_grad():
                parts.append(fixed.put(fixed.pool(fixed.graph_vectors), base))
        return torch.cat(parts), torch.from_numpy(known).to(x.device)

    def recompute(
        self, x: Tensor, structures: Structures, blocks: Sequence[str]
    ) -> tuple[Tensor, NDArray[np.bool_]]:
        """Return features with the columns of some blocks made anew, and which rows have them."""
        found = composition_features(
            structures.compositions(),
            "+".join(blocks),
            structures=structures,
            encoder=self.featurizer.encoder,
            impute_nan=self.featurizer.impute_nan,
        )
        columns = np.concatenate([self._columns[kind_of(name)] for name in blocks])
        raw = np.zeros((len(x), self.scaler.n_features_in_))
        raw[:, columns] = found.values
        kept = columns[self.scaler.kept_[columns]]
        places = self._place[kept]
        scaled = self.scaler.transform(raw)[:, places]
        filled = x.clone()
        filled[:, torch.from_numpy(places).to(x.device)] = torch.from_numpy(scaled).to(x)
        return filled, np.asarray(found.reasons == "", dtype=bool)

    @cached_property
    def own(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The columns of the block that the scaler keeps: in the block, and among all kept."""
        columns = np.array(self._columns[BLOCK])
        kept = self.scaler.kept_[columns]
        return np.flatnonzero(kept), self._place[columns[kept]]


def check_features(featurizer: CompositionFeatures) -> None:
    """Raise `ConfigError` if features have no gradient in the positions of atoms."""
    if BLOCK not in split_blocks(featurizer.blocks):
        raise ConfigError(
            f"attack = 'structure' goes through the block {BLOCK} with its usual settings, and the "
            f"features are {featurizer.blocks}; add it (--features +{BLOCK}), or choose attack = "
            "'features'"
        )


@dataclass(frozen=True, eq=False)
class FixedCrystals:
    """The features of crystals whose elements are fixed; made by `CrystalFeatures.fix`."""

    source: CrystalFeatures
    structures: Structures
    """N crystals, not yet moved."""
    x: Tensor
    """Shape (n, d). Their features."""
    graphs: Sequence[BondGraph]
    """The bonds of each."""

    def __call__(self, moves: Tensor, row: Tensor | None = None) -> Tensor:
        """Return the features, shape (n, d), of crystals after their moves, (n, 6 + 3 a).

        NaN for a crystal in which atoms come too close, or that a block cannot describe. With
        `row` (m,), those of some rows, whose moves are (m, 6 + 3 a).
        """
        if row is not None:
            return self.take(row)(moves)
        vectors = self.move_bonds(moves)
        good, base = self._apart(vectors).to(self.x.device), self.x
        if self.source.moving:
            moved = deform(self.structures, moves)
            base, known = self.source.recompute(base, moved, self.source.moving)
            good &= torch.from_numpy(known).to(good.device)
        x = self.put(self.pool(vectors), base)
        return torch.where(good[:, None], x, torch.nan)

    def take(self, row: Tensor) -> FixedCrystals:
        """Return the features of some rows, int64 of shape (m,)."""
        rows = row.tolist()
        return FixedCrystals(
            self.source, self.structures.take(rows), self.x[row], [self.graphs[k] for k in rows]
        )

    @cached_property
    def graph(self) -> BondGraph:
        """The bonds of all crystals."""
        return join_graphs(self.graphs, self.structures.sizes.tolist())

    @cached_property
    def graph_vectors(self) -> Tensor:
        """The p bonds before the moves, on the device of the network, shape (p, 3)."""
        return self.source.network.to_device(self.graph.pairs.vectors)

    def move_bonds(self, moves: Tensor) -> Tensor:
        """Return the p bonds after the moves, on the device of the network, shape (p, 3)."""
        to, pairs = self.source.network.to_device, self.graph.pairs
        strains, shifts = unpack(moves.to(self.graph_vectors), self.structures.sizes)
        rows = to(self.structures.rows[pairs.atoms])
        stretched = torch.einsum("pi,pij->pj", self.graph_vectors, strains[rows])
        between = shifts[to(pairs.others)] - shifts[to(pairs.atoms)]
        return self.graph_vectors + stretched + between

    def pool(self, vectors: Tensor) -> Tensor:
        """Return the features of CHGNet for bonds (p, 3), rounded as in the block, (n, 64)."""
        found = self.source.network.pooled(self.structures, self.graph, vectors)
        return found.float().double()

    def put(self, values: Tensor, base: Tensor) -> Tensor:
        """Return features `base` (n, d) with those of CHGNet, (n, 64), standardised, in place."""
        inside, places = self.source.own
        scaler = self.source.scaler
        at = torch.from_numpy(places).to(base.device)
        scaled = values[:, torch.from_numpy(inside).to(values.device)]
        mean, scale = (
            torch.from_numpy(part[places]).to(values) for part in (scaler.mean_, scaler.scale_)
        )
        scaled = ((scaled - mean) / scale).clamp(-scaler.clip, scaler.clip)
        return base.index_copy(1, at, scaled.to(base))

    def _apart(self, vectors: Tensor) -> Tensor:
        """Return in which crystals no atoms come too close, bool, shape (n,)."""
        before, after = (
            part.square().sum(dim=1) for part in (self.graph_vectors, vectors.detach())
        )
        near = (after < self.source.closest**2 * before) & (before <= CUTOFF**2)
        rows = self.source.network.to_device(self.structures.rows[self.graph.pairs.atoms])
        counts = torch.zeros(len(self.x), dtype=torch.int64, device=near.device)
        return counts.index_add(0, rows, near.long()) == 0
