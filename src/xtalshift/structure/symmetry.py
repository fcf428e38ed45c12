"""Symmetry of crystal structures that a table holds as text."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from xtalshift.progress import NO_PROGRESS, Progress

__all__ = ["SYMMETRY_LABELS", "find_structure_column", "structure_labels"]

StructureFormat: TypeAlias = Literal["cif", "poscar", "json"]

SYMMETRY_LABELS: dict[str, str] = {
    "crystal_system": "the crystal system, such as 'cubic'",
    "space_group": "the number of the space group, '1' to '230'",
    "point_group": "the Hermann-Mauguin symbol of the point group, such as 'm-3m'",
}
"""What `structure_labels` gives, in one line each."""

_COLUMN_NAMES = ("cif", "structure", "poscar")


def find_structure_column(columns: Iterable[object]) -> str | None:
    """Return the first column called cif, structure or poscar, in any case; None without one."""
    folded = {str(name).casefold(): str(name) for name in reversed(list(columns))}
    return next((folded[name] for name in _COLUMN_NAMES if name in folded), None)


def structure_labels(
    texts: Iterable[object],
    *,
    fmt: StructureFormat | None = None,
    symprec: float = 0.1,
    progress: Progress = NO_PROGRESS,
) -> tuple[dict[str, npt.NDArray[np.object_]], npt.NDArray[np.object_]]:
    """Find the symmetry of each structure with spglib.

    What the file says about its symmetry is used only to complete the atoms; the labels are
    found from the positions. Equal texts are analysed once.

    Parameters
    ----------
    texts : iterable of object, length n
        Contents of structure files; the first structure of each counts.
    fmt : {"cif", "poscar", "json"}, optional
        Their format ("json": a structure that pymatgen saved). By default each text is judged
        by its looks.
    symprec : float, default 0.1
        Tolerance in Angstrom for symmetry. The Materials Project uses 0.1, fit for relaxed
        structures; smaller values find lower symmetries.
    progress : Progress
        Told of each row.

    Returns
    -------
    labels : dict of str to ndarray of object, shape (n,)
        The texts of `SYMMETRY_LABELS`; ``""`` where there is none.
    reasons : ndarray of object, shape (n,)
        Why a row has no labels; ``""`` for good rows.
    """
    items = list(texts)
    labels = {name: np.full(len(items), "", dtype=object) for name in SYMMETRY_LABELS}
    reasons = np.full(len(items), "", dtype=object)
    known: dict[str, tuple[str, ...] | str] = {}
    with _quiet(), progress.task("symmetry", len(items)) as task:
        for row, text in enumerate(items):
            if not isinstance(text, str) or not text.strip():
                reasons[row] = "no structure: the cell is empty or holds no text"
            else:
                if text not in known:
                    known[text] = _analyse(text, fmt or _guess_format(text), symprec)
                found = known[text]
                if isinstance(found, str):
                    reasons[row] = found
                else:
                    for name, label in zip(SYMMETRY_LABELS, found, strict=True):
                        labels[name][row] = label
            task.advance()
    return labels, reasons


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the remarks on single structures away from the terminal; `reasons` has the failures."""
    is_set = "SPGLIB_WARNING" in os.environ
    os.environ.setdefault("SPGLIB_WARNING", "OFF")  # what its C code prints about tolerances
    try:
        with warnings.catch_warnings():
            # remarks on rounded coordinates and the like
            warnings.filterwarnings("ignore", category=UserWarning, module=r"pymatgen\.")
            # pymatgen uses the older interface of spglib
            warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)
            yield
    finally:
        if not is_set:
            del os.environ["SPGLIB_WARNING"]


def _guess_format(text: str) -> StructureFormat:
    if text.lstrip().startswith("{"):
        return "json"
    return (
        "cif" if re.search(r"^\s*(data_|_cell_)", text, re.MULTILINE | re.IGNORECASE) else "poscar"
    )


def _analyse(text: str, fmt: StructureFormat, symprec: float) -> tuple[str, ...] | str:
    """Return the labels of one structure, or why there are none."""
    from pymatgen.core.structure import Structure
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    try:
        structure = Structure.from_str(text, fmt=fmt)
    except Exception as error:  # noqa: BLE001  # the parsers raise whatever a broken file causes
        return f"no readable {fmt.upper()} structure: {_first_line(error)}"
    try:
        analyzer = SpacegroupAnalyzer(structure, symprec=symprec)
        return (
            str(analyzer.get_crystal_system()),
            str(analyzer.get_space_group_number()),
            str(analyzer.get_point_group_symbol()),
        )
    except Exception as error:  # noqa: BLE001  # spglib gives up on, say, overlapping atoms
        return f"no symmetry found (symprec {symprec:g}): {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}".rstrip(": ")[:200]
