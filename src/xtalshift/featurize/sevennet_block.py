"""Features from SevenNet-0, an equivariant potential that was trained on the same structures.

The network of Park et al., J. Chem. Theory Comput. 20, 4857 (2024).
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from xtalshift.featurize.potential_block import Potential
from xtalshift.featurize.sevennet_network import (
    CUTOFF,
    DEPTH,
    ELEMENTS,
    WIDTH,
    load_network,
    name_network,
)
from xtalshift.structure import Structures
from xtalshift.structure.neighbours import Neighbours


def _count_pairs(structures: Structures, pairs: Neighbours) -> NDArray[np.int64]:
    return np.bincount(structures.rows[pairs.atoms], minlength=len(structures))


SEVENNET = Potential(
    block="sevennet",
    title="SevenNet-0",
    trained_on=(
        "SevenNet-0 (11 July 2024) was trained on MPtrj: more than 1.5 million structures from the "
        "relaxations of 146,000 compounds of the Materials Project (PBE and PBE+U, September 2022),"
        " with their energies, forces and stresses. Materials of the Materials Project are no "
        "unknown materials to it, and what follows from these quantities (formation energy, energy "
        "above the hull, volume, elastic moduli) is no out-of-distribution test for its features."
    ),
    follows=frozenset(
        {
            "a formation energy",
            "an energy above the hull",
            "a total energy",
            "a volume",
            "an elastic modulus",
        }
    ),
    width=WIDTH,
    depth=DEPTH,
    layer=1,
    cutoff=CUTOFF,
    elements=ELEMENTS,
    edges="pairs of neighbours",
    count_edges=_count_pairs,
    name_network=name_network,
    load_network=load_network,
)
"""The network of the blocks ``sevennet`` and ``sevennet-random``."""

open_block = SEVENNET.open_block
"""Returns the block ``sevennet`` with the settings behind its name."""
open_control = partial(SEVENNET.open_block, random=True)
"""Returns the block ``sevennet-random``, its control."""
