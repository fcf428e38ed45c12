"""Features from CHGNet, a potential that was trained on relaxations of the Materials Project.

The network of Deng et al., Nat. Mach. Intell. 5, 1031 (2023), is used as it is. Each row is
computed once: a file in the cache folder keeps it.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.elements import SYMBOLS
from xtalshift.data.fetch import cache_folder
from xtalshift.featurize.blocks import StructureBlock
from xtalshift.featurize.bond_graph import CUTOFF, count_edges
from xtalshift.featurize.cell_checks import why_overlapping, why_unusable
from xtalshift.featurize.chgnet_network import (
    ELEMENTS,
    LAYER,
    WIDTH,
    Network,
    load_network,
    name_network,
    split_atoms,
)
from xtalshift.featurize.features import Features
from xtalshift.featurize.row_cache import RowCache
from xtalshift.structure import Structures
from xtalshift.structure.neighbours import Neighbours, find_neighbours

TRAINED_ON = (
    "CHGNet 0.3.0 was trained on MPtrj: more than 1.5 million structures from the relaxations of "
    "146,000 compounds of the Materials Project (PBE and PBE+U, September 2022), with their "
    "energies, forces, stresses and magnetic moments. Materials of the Materials Project are no "
    "unknown materials to it, and what follows from these quantities (formation energy, energy "
    "above the hull, volume, elastic moduli, magnetic moments) is no out-of-distribution test for "
    "its features."
)
"""What the weights know, for model cards and messages."""

_KEPT_ATOMS = 2048  # a few seconds of work are lost at an interrupt
_MOST_EDGES = 1_000_000  # about 5 GB


def chgnet_features(structures: Structures, *, random: bool = False) -> Features:
    """Compute the features of n crystal structures, or find them in the cache.

    Parameters
    ----------
    structures : Structures
        The structures.
    random : bool, default False
        Take random weights (always the same ones) instead of those of CHGNet. This is the control:
        what it does not reach, the training of CHGNet has brought.

    Returns
    -------
    Features
        One row per structure: the mean over the atoms of the 64 atom features after the third
        of four convolutions, in float32. A row has a reason and no values if a site is not fully
        occupied, an element is heavier than plutonium, an atom has no neighbour within 6 angstrom
        or atoms overlap, or the cell has more than a million bonds and angles.

    Raises
    ------
    ConfigError
        If CHGNet is not installed.
    """
    values = np.full((len(structures), WIDTH), np.nan)
    reasons = _unknown(structures)
    rows = np.flatnonzero(reasons == "")
    if rows.size:
        file = f"{name_network(random=random)}.sqlite"
        cache = RowCache(cache_folder() / "features" / file, WIDTH)
        keys = structures.keys[rows].astype(str)
        distinct, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        found = cache.find(distinct.tolist())
        told = np.full(len(distinct), "", dtype=object)
        missing = np.flatnonzero(np.isnan(found[:, 0]))
        missing = missing[np.argsort(first[missing])]  # in the order of the rows
        for part in split_atoms(structures.sizes[rows[first[missing]]], _KEPT_ATOMS):
            new = missing[part]
            if new.size:
                chosen = structures.take(rows[first[new]])
                found[new], told[new] = _compute(chosen, load_network(random=random))
                new = new[told[new] == ""]
                cache.add(distinct[new].tolist(), found[new])
        values[rows], reasons[rows] = found[inverse], told[inverse]
    return Features(values, _names(random=random), reasons)


def _compute(
    structures: Structures, network: Network
) -> tuple[NDArray[np.float32], NDArray[np.object_]]:
    """Return the features, shape (n, WIDTH), and why there are none, shape (n,)."""
    values = np.full((len(structures), WIDTH), np.nan, dtype=np.float32)
    reasons = np.full(len(structures), "", dtype=object)
    for rows in split_atoms(structures.sizes, network.pass_atoms):
        chosen = structures.take(rows)
        pairs = find_neighbours(chosen, CUTOFF)
        reasons[rows] = _unsuited(chosen, pairs)
        good = rows[reasons[rows] == ""]
        if good.size < rows.size:
            chosen = structures.take(good)
            pairs = find_neighbours(chosen, CUTOFF)
        if good.size:
            values[good] = network.mean_features(chosen, pairs)
    return values, reasons


def _unknown(structures: Structures) -> NDArray[np.object_]:
    """Return which structures are none for CHGNet without a look at distances, shape (n,)."""
    reasons = why_unusable(structures)
    usable = reasons == ""
    reasons[usable & ~structures.ordered] = (
        "a site is not fully occupied, and CHGNet needs whole atoms: order the structure, or leave "
        "the block out"
    )
    for atom in np.flatnonzero((structures.z > ELEMENTS) & usable[structures.rows])[::-1].tolist():
        reasons[structures.rows[atom]] = (
            f"CHGNet does not know {SYMBOLS[structures.z[atom]]}, nor any element beyond plutonium:"
            " leave the block out"
        )
    return reasons


def _unsuited(structures: Structures, pairs: Neighbours) -> NDArray[np.object_]:
    """Return which structures CHGNet can do nothing with for their distances, shape (n,)."""
    reasons = why_overlapping(structures, pairs)
    edges = count_edges(structures, pairs)
    for row in np.flatnonzero((edges > _MOST_EDGES) & (reasons == "")).tolist():
        reasons[row] = (
            f"the cell has {edges[row]:,} bonds and angles, more than {_MOST_EDGES:,}: take a "
            "smaller cell, or leave the block out"
        )
    alone = np.bincount(pairs.atoms, minlength=len(structures.z)) == 0
    for atom in np.flatnonzero(alone)[::-1].tolist():
        row = structures.rows[atom]
        reasons[row] = (
            f"{SYMBOLS[structures.z[atom]]} (atom {atom - structures.starts[row] + 1}) has no "
            f"neighbour within {CUTOFF:g} A, and CHGNet describes atoms by their neighbours: is it "
            "a crystal? Else leave the block out"
        )
    return reasons


def _fill(
    structures: Structures,
    values: NDArray[np.float64],
    reasons: NDArray[np.object_],
    *,
    impute_nan: bool,  # noqa: ARG001 - there are no properties of elements
    random: bool,
) -> None:
    wanted = np.flatnonzero(reasons == "")
    found = chgnet_features(structures.take(wanted), random=random)
    values[wanted], reasons[wanted] = found.values, found.reasons


def _names(*, random: bool) -> tuple[str, ...]:
    block = "chgnet-random" if random else "chgnet"
    return tuple(f"{block} c{LAYER} {k}" for k in range(WIDTH))


CHGNET = StructureBlock(_names(random=False), partial(_fill, random=False), TRAINED_ON)
"""The block ``chgnet``."""
CHGNET_RANDOM = StructureBlock(_names(random=True), partial(_fill, random=True))
"""The block ``chgnet-random``, its control."""
