"""Symmetry of crystal structures given as text."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from xtalshift.errors import ConfigError
from xtalshift.progress import NO_PROGRESS, Progress

StructureFormat: TypeAlias = Literal["cif", "poscar", "json"]

SYMMETRY_LABELS: dict[str, str] = {
    "crystal_system": "the crystal system, such as 'cubic'",
    "space_group": "the number of the space group, '1' to '230'",
    "point_group": "the Hermann-Mauguin symbol of the point group, such as 'm-3m'",
}
"""The labels of `structure_labels`, each with a description."""

_COLUMN_NAMES = ("cif", "structure", "poscar")


def find_structure_column(columns: Iterable[object]) -> str | None:
    """Return the first column called cif, structure or poscar, in any case; None without one."""
    folded = {str(name).casefold(): str(name) for name in reversed(list(columns))}
    return next((folded[name] for name in _COLUMN_NAMES if name in folded), None)


SYMPREC = 0.1
"""Tolerance for symmetry in Angstrom, that of the Materials Project for relaxed structures; smaller
values find lower symmetries."""


def structure_labels(
    texts: Iterable[object],
    *,
    progress: Progress = NO_PROGRESS,
) -> tuple[dict[str, npt.NDArray[np.object_]], npt.NDArray[np.object_]]:
    """Find the symmetry of each structure with spglib.

    The symmetry stated in a file only completes the list of atoms; the labels are found from the
    positions. Equal texts are analysed once.

    Parameters
    ----------
    texts : iterable of object, length n
        Contents of CIF or POSCAR files, or JSON of pymatgen; the first structure of each counts.
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
        If pymatgen or spglib is not installed.
    """
    analyse = _load_analysis()
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
                    known[text] = analyse(text, _guess_format(text))
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
    """Silence remarks on single structures; `reasons` reports failures."""
    is_set = "SPGLIB_WARNING" in os.environ
    os.environ.setdefault("SPGLIB_WARNING", "OFF")  # messages of the C code about tolerances
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


def _load_analysis() -> Callable[[str, StructureFormat], tuple[str, ...] | str]:
    """Return the function from a text and its format to its labels, or to why it has none."""
    try:
        from pymatgen.core.structure import Structure
        from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
    except ImportError as error:
        raise ConfigError(
            "the symmetry of structures needs pymatgen and spglib: "
            'pip install "xtalshift[structures]"'
        ) from error

    def analyse(text: str, fmt: StructureFormat) -> tuple[str, ...] | str:
        try:
            structure = Structure.from_str(text, fmt=fmt)
        except Exception as error:  # noqa: BLE001  # parsers raise whatever a broken file causes
            return f"no readable {fmt.upper()} structure: {_first_line(error)}"
        try:
            analyzer = SpacegroupAnalyzer(structure, symprec=SYMPREC)
            return (
                str(analyzer.get_crystal_system()),
                str(analyzer.get_space_group_number()),
                str(analyzer.get_point_group_symbol()),
            )
        except Exception as error:  # noqa: BLE001  # spglib gives up on overlapping atoms
            return f"no symmetry found (symprec {SYMPREC:g}): {_first_line(error)}"

    return analyse


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}".rstrip(": ")[:200]
