"""Labels of the symmetry of crystal structures."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.structure.space_groups import CRYSTAL_SYSTEMS, find_space_groups
from xtalshift.structure.structures import Structures

Labels = dict[str, npt.NDArray[np.object_]]

SYMMETRY_LABELS: dict[str, str] = {
    "crystal_system": "the crystal system, such as 'cubic'",
    "space_group": "the number of the space group, '1' to '230'",
    "point_group": "the Hermann-Mauguin symbol of the point group, such as 'm-3m'",
}
"""The labels of `symmetry_labels`, each with a description."""

STRUCTURE_NAMES = ("cif", "structure", "poscar")
"""Names (any case) of columns of structures, best first."""


def find_structure_column(columns: Iterable[object]) -> str | None:
    """Return the first column called cif, structure or poscar, in any case; None without one."""
    folded = {str(name).casefold(): str(name) for name in reversed(list(columns))}
    return next((folded[name] for name in STRUCTURE_NAMES if name in folded), None)


def symmetry_labels(
    structures: Structures,
    *,
    progress: Progress = NO_PROGRESS,
) -> tuple[Labels, npt.NDArray[np.object_]]:
    """Find the symmetry of each structure of a batch with spglib; equal structures once.

    The symmetry stated in a file only completes the list of atoms; the labels are found from the
    positions.

    Parameters
    ----------
    structures : Structures
        n rows.
    progress : Progress
        Advances by one per row.

    Returns
    -------
    labels : dict of str to ndarray of object, shape (n,)
        One text per row for each key of `SYMMETRY_LABELS`; ``""`` without symmetry.
    reasons : ndarray of object, shape (n,)
        Why a row has no labels; ``""`` for rows with labels.

    Raises
    ------
    ConfigError
        If spglib is not installed.
    """
    groups = find_space_groups(structures, progress=progress)
    place = np.searchsorted(list(CRYSTAL_SYSTEMS.values()), groups.numbers)
    labels = {
        "crystal_system": np.array([*CRYSTAL_SYSTEMS, ""], dtype=object)[place],
        "space_group": groups.numbers.astype(str).astype(object),
        "point_group": groups.point_groups,
    }
    none = groups.reasons != ""
    for values in labels.values():
        values[none] = ""
    return labels, groups.reasons
