"""The conventional cell of a crystal, in which textbooks draw it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xtalshift.structure.sites import find_sites
from xtalshift.structure.space_groups import ANGLE_TOLERANCE, SYMPREC, quiet_spglib
from xtalshift.structure.structures import Structures


class ConventionalCell(NamedTuple):
    """A crystal in its conventional cell, and its space group."""

    structure: Structures
    """One row: the conventional cell, or the given one if no symmetry is found."""
    symbol: str
    """Hermann-Mauguin symbol of the space group, ``""`` if none is found."""
    number: int
    """Number of the space group, 0 if none is found."""


def conventional_cell(structure: Structures) -> ConventionalCell:
    """Return one crystal in the conventional cell of its space group.

    The tolerances are `SYMPREC` and `ANGLE_TOLERANCE`. Positions and lattice are not idealised:
    they are those of the given atoms.

    Parameters
    ----------
    structure : Structures
        One row with atoms.

    Raises
    ------
    ImportError
        If spglib is not installed.
    """
    import spglib

    sites = find_sites(structure)
    cell: Any = (structure.lattices[0], sites.positions, sites.kinds)
    try:
        with quiet_spglib():
            group = spglib.get_symmetry_dataset(cell, SYMPREC, ANGLE_TOLERANCE)
            found = spglib.standardize_cell(
                cell,
                to_primitive=False,
                no_idealize=True,
                symprec=SYMPREC,
                angle_tolerance=ANGLE_TOLERANCE,
            )
    except Exception:  # noqa: BLE001 - raises or returns None, as its version has it
        group = found = None
    if group is None or found is None:
        return ConventionalCell(structure, "", 0)
    lattice, positions, kinds = found
    atoms = [
        (place, z, share)
        for place, kind in zip(positions, kinds, strict=True)
        for z, share in sites.contents[kind]
    ]
    places, numbers, shares = zip(*atoms, strict=True)
    drawn = Structures.of(lattice, numbers, np.array(places), shares)
    return ConventionalCell(drawn, str(group.international), int(group.number))
