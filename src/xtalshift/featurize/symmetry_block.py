"""Features of the space groups of crystal structures.

They jump where the positions cross the tolerance of the symmetry. For features that are continuous
in the positions see `xtalshift.featurize.structure_block`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xtalshift.featurize.blocks import StructureBlock
from xtalshift.featurize.features import Features
from xtalshift.structure import Structures
from xtalshift.structure.space_groups import CRYSTAL_SYSTEMS, find_space_groups

SYMMETRY_FEATURES: tuple[str, ...] = tuple(
    f"symmetry {name}"
    for name in (
        "space group",
        "point group operations",
        "centric",
        "polar directions",
        "sites",
        "inequivalent sites",
        "inequivalent share of sites",
        *CRYSTAL_SYSTEMS,
    )
)
"""Names of the features, in order."""


def symmetry_features(structures: Structures) -> Features:
    """Compute the features of the space groups of n crystal structures.

    Parameters
    ----------
    structures : Structures
        The structures.

    Returns
    -------
    Features
        One row per structure, `SYMMETRY_FEATURES`: the number of the space group and of the
        operations of its point group, whether it has the inversion (0 or 1), in how many
        directions it is polar (0 to 3), the sites of the primitive cell, how many of them are
        inequivalent, and the crystal system (0 or 1 each). A row has a reason and no values if it
        has no atoms or no space group is found.

    Raises
    ------
    ConfigError
        If spglib is not installed.
    """
    groups = find_space_groups(structures)
    values = np.full((len(structures), len(SYMMETRY_FEATURES)), np.nan)
    found = groups.reasons == ""
    last = np.array(list(CRYSTAL_SYSTEMS.values()))
    system = np.searchsorted(last, groups.numbers[found])
    values[found] = np.column_stack(
        [
            groups.numbers[found],
            groups.operations[found],
            groups.centric[found],
            groups.polar_directions[found],
            groups.sites[found],
            groups.inequivalent[found],
            groups.inequivalent[found] / groups.sites[found],
            np.eye(len(last))[system],
        ]
    )
    return Features(values, SYMMETRY_FEATURES, groups.reasons)


def _fill(
    structures: Structures,
    values: NDArray[np.float64],
    reasons: NDArray[np.object_],
    *,
    impute_nan: bool,  # noqa: ARG001 - no feature needs a property of an element
) -> None:
    symmetry_features(structures).write(values, reasons)


SYMMETRY = StructureBlock(SYMMETRY_FEATURES, _fill)
"""The block ``symmetry``."""
