"""Features from CHGNet, a potential that was trained on relaxations of the Materials Project.

The network of Deng et al., Nat. Mach. Intell. 5, 1031 (2023).
"""

from __future__ import annotations

from functools import partial

from xtalshift.featurize.bond_graph import CUTOFF, count_edges
from xtalshift.featurize.chgnet_network import (
    DEPTH,
    ELEMENTS,
    LAYER,
    WIDTH,
    load_network,
    name_network,
)
from xtalshift.featurize.potential_block import Potential

CHGNET = Potential(
    block="chgnet",
    title="CHGNet",
    trained_on=(
        "CHGNet 0.3.0 was trained on MPtrj: more than 1.5 million structures from the relaxations "
        "of 146,000 compounds of the Materials Project (PBE and PBE+U, September 2022), with their "
        "energies, forces, stresses and magnetic moments. Materials of the Materials Project are "
        "no unknown materials to it, and what follows from these quantities (formation energy, "
        "energy above the hull, volume, elastic moduli, magnetic moments) is no out-of-distribution"
        " test for its features."
    ),
    follows=frozenset(
        {
            "a formation energy",
            "an energy above the hull",
            "a total energy",
            "a volume",
            "an elastic modulus",
            "a magnetic moment",
        }
    ),
    width=WIDTH,
    depth=DEPTH,
    layer=LAYER,
    cutoff=CUTOFF,
    elements=ELEMENTS,
    edges="bonds and angles",
    count_edges=count_edges,
    name_network=name_network,
    load_network=load_network,
)
"""The network of the blocks ``chgnet`` and ``chgnet-random``."""

open_block = CHGNET.open_block
"""Returns the block ``chgnet`` with the settings behind its name."""
open_control = partial(CHGNET.open_block, random=True)
"""Returns the block ``chgnet-random``, its control."""
