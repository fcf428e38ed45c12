"""Structures of pymatgen as listed atoms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xtalshift.structure.listed_atoms import ListedAtoms

if TYPE_CHECKING:
    from pymatgen.core.structure import IStructure


def from_pymatgen(structure: IStructure, notes: tuple[str, ...] = ()) -> ListedAtoms:
    """Return the atoms of a structure of pymatgen."""
    from pymatgen.core.periodic_table import Element

    atoms = [
        (species.name if isinstance(species, Element) else str(species), site.frac_coords, amount)
        for site in structure
        for species, amount in site.species.items()
    ]
    return ListedAtoms(
        np.array(structure.lattice.matrix),
        [name for name, _, _ in atoms],
        np.array([place for _, place, _ in atoms]).reshape(-1, 3),
        np.array([amount for _, _, amount in atoms], dtype=np.float64),
        notes,
    )
