"""Labels of crystal structures by name, by which splits leave rows out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.structure.bonds import find_bonds
from xtalshift.structure.dimensionality import dimensionality_scores
from xtalshift.structure.matching import match_types
from xtalshift.structure.prototypes import prototype_labels
from xtalshift.structure.space_groups import find_space_groups
from xtalshift.structure.structures import Structures
from xtalshift.structure.symmetry import SYMMETRY_LABELS, symmetry_labels

STRUCTURE_LABELS: dict[str, str] = {
    **SYMMETRY_LABELS,
    "prototype": "formula without elements, space group and Wyckoff letters: 'AB_cF8_225_a_b'",
    "dimensionality": "whether the atoms are bonded to molecules '0D', chains '1D', layers '2D' or "
    "a network '3D'",
    "matched": "structure type, named after its first formula: crystals that lie on each other if "
    "their elements are exchanged, such as 'NaCl type'",
}
"""The labels of `label_structures`, each with a description."""

_CHUNK_ATOMS = 2048  # about 100 neighbours each: a few megabytes


def label_structures(
    structures: Structures, by: str, *, progress: Progress = NO_PROGRESS
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Label crystals by their structure.

    Parameters
    ----------
    structures : Structures
        n rows, as `xtalshift.structure.read_structures` returns them.
    by : str
        One of `STRUCTURE_LABELS`.
    progress : Progress
        Advances by one per row.

    Returns
    -------
    labels : ndarray of str, shape (n,)
        ``""`` for rows without a label.
    reasons : ndarray of str, shape (n,)
        Why a row has none; ``""`` for the others.

    Raises
    ------
    ConfigError
        If the libraries of the extra ``structures`` are not installed.
    """
    if by in SYMMETRY_LABELS:
        labels, reasons = symmetry_labels(structures, progress=progress)
        return labels[by], reasons
    if by == "prototype":
        groups = find_space_groups(structures, progress=progress)
        return prototype_labels(groups), groups.reasons
    reasons = np.full(len(structures), "", dtype=object)
    reasons[structures.sizes == 0] = "the row has no atoms"
    label = _dimensions if by == "dimensionality" else _types
    return label(structures, progress), reasons


def _dimensions(structures: Structures, progress: Progress) -> NDArray[np.object_]:
    labels = np.full(len(structures), "", dtype=object)
    good = np.flatnonzero(structures.sizes)
    part = np.cumsum(structures.sizes[good]) // _CHUNK_ATOMS
    with progress.task("dimensionality", len(structures)) as task:
        task.advance(len(structures) - len(good))
        for rows in np.split(good, np.flatnonzero(np.diff(part)) + 1):
            chunk = structures.take(rows)
            scores = dimensionality_scores(chunk, find_bonds(chunk))
            labels[rows] = [f"{most}D" for most in scores.argmax(axis=1)]
            task.advance(len(rows))
    return labels


def _types(structures: Structures, progress: Progress) -> NDArray[np.object_]:
    """Name each type after the formula of its first row, with a number if it has several types."""
    numbers = match_types(structures, progress=progress)
    formulas = structures.compositions().reduced_formulas()
    names: list[str] = []
    seen: dict[str, int] = {}
    for row in np.unique(numbers, return_index=True)[1][-1 in numbers :].tolist():
        seen[formulas[row]] = seen.get(formulas[row], 0) + 1
        times = seen[formulas[row]]
        names.append(f"{formulas[row]} type" + (f" {times}" if times > 1 else ""))
    return np.array([*names, ""], dtype=object)[numbers]
