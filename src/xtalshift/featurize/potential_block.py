"""Features from a pretrained potential, as a block.

The network is used as it is. Each crystal is computed once: files in the cache folder, one for each
convolution, keep what is made of its atoms in every way that a block may ask for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.elements import SYMBOLS
from xtalshift.data.fetch import cache_folder
from xtalshift.featurize.atom_batches import split_atoms
from xtalshift.featurize.blocks import StructureBlock
from xtalshift.featurize.cell_checks import why_overlapping, why_unusable
from xtalshift.featurize.features import Features
from xtalshift.featurize.pooling import PARTS, POOLINGS, pool
from xtalshift.featurize.potential_settings import PotentialSettings, read_settings
from xtalshift.featurize.row_cache import RowCache
from xtalshift.structure import Structures
from xtalshift.structure.neighbours import Neighbours, find_neighbours

_KEPT_ATOMS = 2048  # a few seconds of work are lost at an interrupt
_MOST_EDGES = 1_000_000  # about 5 GB


class AtomNetwork(Protocol):
    """A network with its weights on a device."""

    @property
    def pass_atoms(self) -> int:
        """How many atoms are a good batch on this device."""

    def atom_features(
        self, structures: Structures, pairs: Neighbours, depth: int
    ) -> list[NDArray[np.float64]]:
        """Return the features of m atoms after the convolutions up to `depth`, each (m, width)."""


@dataclass(frozen=True)
class Potential:
    """A pretrained potential whose features of atoms describe crystals."""

    block: str
    """Name of its block; that of the control ends in ``-random``."""
    title: str
    """Its name in messages."""
    trained_on: str
    """What the weights know, for model cards and messages."""
    follows: frozenset[str]
    """Quantities that follow from it, as `xtalshift.featurize.known_targets` names them."""
    width: int
    """Number of features of an atom."""
    depth: int
    """Number of convolutions."""
    layer: int
    """The convolution whose features are taken unless another one is named."""
    cutoff: float
    """Largest distance of neighbours in angstrom."""
    elements: frozenset[int]
    """Atomic numbers that the network knows."""
    edges: str
    """What `count_edges` counts."""
    count_edges: Callable[[Structures, Neighbours], NDArray[np.int64]]
    """Returns how large the graph of each structure is, shape (n,)."""
    name_network: Callable[[bool], str]
    """Takes whether the weights are random; another name means that features may be others."""
    load_network: Callable[[bool], AtomNetwork]

    def open_block(self, text: str, *, random: bool = False) -> StructureBlock:
        """Return the block with the settings that stand behind its name.

        Raises
        ------
        ConfigError
            If there are no such settings.
        """
        settings = self._settings(text, random=random)
        return StructureBlock(
            self._names(settings, random=random),
            partial(_fill, potential=self, settings=settings, random=random),
            "" if random else self.trained_on,
            frozenset() if random else self.follows,
        )

    def features(self, structures: Structures, text: str = "", *, random: bool = False) -> Features:
        """Compute the features of n crystal structures, or find them in the cache.

        Parameters
        ----------
        structures : Structures
            The structures.
        text : str
            Settings as behind the name of the block, see `read_settings`.
        random : bool, default False
            Take random weights (always the same ones). This is the control: what it does not reach,
            the training has brought.

        Returns
        -------
        Features
            One row per structure. A row has a reason and no values if a site is not fully occupied,
            the network does not know an element, an atom has no neighbour, atoms overlap, or the
            cell has too many bonds.

        Raises
        ------
        ConfigError
            If the package of the network is not installed, or there are no such settings.
        """
        return self.compute(structures, self._settings(text, random=random), random=random)

    def compute(
        self, structures: Structures, settings: PotentialSettings, *, random: bool
    ) -> Features:
        """Compute features as `features` does, for settings that are read already."""
        reasons = self._unknown(structures)
        values = np.full((len(structures), len(self._names(settings, random=random))), np.nan)
        rows = np.flatnonzero(reasons == "")
        if rows.size:
            known = structures.take(rows)
            found, reasons[rows] = self._look_up(known, settings.layers, random=random)
            parts = [PARTS.index(part) for name in settings.poolings for part in POOLINGS[name]]
            values[rows] = found[:, :, parts].reshape(len(rows), -1)
        return Features(values, self._names(settings, random=random), reasons)

    def _name(self, *, random: bool) -> str:
        return f"{self.block}-random" if random else self.block

    def _settings(self, text: str, *, random: bool) -> PotentialSettings:
        name = self._name(random=random)
        return read_settings(name, text, usual=self.layer, deepest=self.depth)

    def _names(self, settings: PotentialSettings, *, random: bool) -> tuple[str, ...]:
        return tuple(
            " ".join(filter(None, (self._name(random=random), f"c{layer}", part, str(k))))
            for layer in settings.layers
            for pooling in settings.poolings
            for part in POOLINGS[pooling]
            for k in range(self.width)
        )

    def _look_up(
        self, structures: Structures, layers: tuple[int, ...], *, random: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.object_]]:
        """Return all pooled features of n known structures, and why there are none.

        Shapes (n, layers, parts, width) and (n,).
        """
        keys = structures.keys.astype(str)
        distinct, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        caches = self._caches(layers, random=random)
        found = np.stack([caches[layer].find(distinct.tolist()) for layer in layers], axis=1)
        told = np.full(len(distinct), "", dtype=object)
        missing = np.flatnonzero(np.isnan(found).any(axis=(1, 2)))
        missing = missing[np.argsort(first[missing])]  # in the order of the rows
        for part in split_atoms(structures.sizes[first[missing]], _KEPT_ATOMS):
            new = missing[part]
            if new.size:
                chosen = structures.take(first[new])
                pooled, told[new] = self._compute(chosen, max(layers), self.load_network(random))
                found[new] = pooled[:, [layer - 1 for layer in layers]]
                good = told[new] == ""
                lower = self._caches(tuple(range(1, max(layers) + 1)), random=random)
                for layer, cache in lower.items():
                    cache.add(distinct[new[good]].tolist(), pooled[good, layer - 1])
        shape = (len(structures), len(layers), len(PARTS), self.width)
        return found[inverse].reshape(shape), told[inverse]

    def _caches(self, layers: tuple[int, ...], *, random: bool) -> dict[int, RowCache]:
        folder, name = cache_folder() / "features", self.name_network(random)
        width = len(PARTS) * self.width
        return {layer: RowCache(folder / f"{name}-c{layer}.sqlite", width) for layer in layers}

    def _compute(
        self, structures: Structures, depth: int, network: AtomNetwork
    ) -> tuple[NDArray[np.float32], NDArray[np.object_]]:
        """Return pooled features, shape (n, depth, parts x width), and why there are none, (n,)."""
        width = len(PARTS) * self.width
        values = np.full((len(structures), depth, width), np.nan, dtype=np.float32)
        reasons = np.full(len(structures), "", dtype=object)
        for rows in split_atoms(structures.sizes, network.pass_atoms):
            chosen = structures.take(rows)
            pairs = find_neighbours(chosen, self.cutoff)
            reasons[rows] = self._unsuited(chosen, pairs)
            good = rows[reasons[rows] == ""]
            if good.size < rows.size:
                chosen = structures.take(good)
                pairs = find_neighbours(chosen, self.cutoff)
            if good.size:
                for layer, atoms in enumerate(network.atom_features(chosen, pairs, depth)):
                    values[good, layer] = pool(atoms, chosen).reshape(len(good), -1)
        return values, reasons

    def _unknown(self, structures: Structures) -> NDArray[np.object_]:
        """Return which structures are none for the network without a look at distances, (n,)."""
        reasons = why_unusable(structures)
        usable = reasons == ""
        reasons[usable & ~structures.ordered] = (
            f"a site is not fully occupied, and {self.title} needs whole atoms: order the "
            "structure, or leave the block out"
        )
        unknown = ~np.isin(structures.z, list(self.elements)) & usable[structures.rows]
        for atom in np.flatnonzero(unknown)[::-1].tolist():
            reasons[structures.rows[atom]] = (
                f"{self.title} does not know {SYMBOLS[structures.z[atom]]}: leave the block out"
            )
        return reasons

    def _unsuited(self, structures: Structures, pairs: Neighbours) -> NDArray[np.object_]:
        """Return which structures the network can do nothing with for their distances, (n,)."""
        reasons = why_overlapping(structures, pairs)
        edges = self.count_edges(structures, pairs)
        for row in np.flatnonzero((edges > _MOST_EDGES) & (reasons == "")).tolist():
            reasons[row] = (
                f"the cell has {edges[row]:,} {self.edges}, more than {_MOST_EDGES:,}: take a "
                "smaller cell, or leave the block out"
            )
        alone = np.bincount(pairs.atoms, minlength=len(structures.z)) == 0
        for atom in np.flatnonzero(alone)[::-1].tolist():
            row = structures.rows[atom]
            reasons[row] = (
                f"{SYMBOLS[structures.z[atom]]} (atom {atom - structures.starts[row] + 1}) has no "
                f"neighbour within {self.cutoff:g} A, and {self.title} describes atoms by their "
                "neighbours: is it a crystal? Else leave the block out"
            )
        return reasons


def _fill(
    structures: Structures,
    values: NDArray[np.float64],
    reasons: NDArray[np.object_],
    *,
    impute_nan: bool,  # noqa: ARG001 - there are no properties of elements
    potential: Potential,
    settings: PotentialSettings,
    random: bool,
) -> None:
    wanted = np.flatnonzero(reasons == "")
    found = potential.compute(structures.take(wanted), settings, random=random)
    values[wanted], reasons[wanted] = found.values, found.reasons
