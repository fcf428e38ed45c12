"""Cells of a table that hold crystal structures, or the names of their files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.elements import SYMBOLS
from xtalshift.structure import Structures
from xtalshift.structure.archives import open_source
from xtalshift.structure.listed_atoms import RefusedError
from xtalshift.structure.reading import ReadStructures, read_all, read_structures
from xtalshift.structure.structure_files import (
    describe_left_out,
    is_structure_file,
    list_files,
    name_files,
    read_structure_files,
)

_MARK = "xtalshift structure"
_NUMBERED = re.compile(r"(.+)#([1-9]\d*)")
_SHOWN = 3


class StructureRow(NamedTuple):
    """A structure of a folder, an archive or a file."""

    id: str
    text: str
    """The structure, or why there is none, as `read_cells` takes it."""


def iter_rows(path: Path) -> Iterator[StructureRow]:
    """Yield the structures of a folder, an archive or a file, in a fixed order.

    See `xtalshift.structure.structure_files.read_structure_files`.
    """
    for block in read_structure_files(path):
        for name, text in zip(block.ids.tolist(), pack(block.read), strict=True):
            yield StructureRow(name, text)


def read_cells(cells: Sequence[object], folder: str | None = None) -> ReadStructures:
    """Return the structures of cells.

    Parameters
    ----------
    cells : sequence, length n
        Contents of CIF, POSCAR, extended XYZ or JSON files, what `pack` returned, or names of
        files.
    folder : str, optional
        Folder or archive of the files that the cells name, with or without suffix.

    Raises
    ------
    DataError
        If the folder cannot be read.
    ConfigError
        If the libraries of the extra ``structures`` are not installed.
    """
    if folder is not None:
        contents = _contents(cells, Path(folder))
    else:
        contents = [_content(cell) for cell in cells]
    packed = [isinstance(one, str) and one.startswith(_HEAD) for one in contents]
    if not any(packed):
        return read_structures(contents)
    others = iter(
        read_structures([one for one, own in zip(contents, packed, strict=True) if not own]).rows()
    )
    return ReadStructures.join(
        _unpack(str(one)) if own else next(others)
        for one, own in zip(contents, packed, strict=True)
    )


def pack(found: ReadStructures) -> list[str]:
    """Return structures as texts that hold every digit, with notes and reasons."""
    structures, bounds = found.structures, found.structures.starts.tolist()
    texts = []
    for row in range(len(found)):
        atoms = slice(bounds[row], bounds[row + 1])
        content: dict[str, Any] = {_MARK: 1}
        if found.reasons[row]:
            content["reason"] = found.reasons[row]
        else:
            content |= {
                "lattice": structures.lattices[row].tolist(),
                "z": structures.z[atoms].tolist(),
                "positions": structures.positions[atoms].tolist(),
                "occupancies": structures.occupancies[atoms].tolist(),
                "note": found.notes[row],
            }
        texts.append(json.dumps(content))
    return texts


def pack_rows(structures: Structures | None, rows: NDArray[np.int64]) -> list[str]:
    """Return some of a batch as `pack` does; ``""`` for row -1, and for all without a batch."""
    texts = [""] * len(rows)
    known = np.flatnonzero(rows >= 0)
    if structures is not None and known.size:
        some = structures.take(rows[known])
        none = np.full(len(some), "", dtype=object)
        for place, text in zip(known.tolist(), pack(ReadStructures(some, none, none)), strict=True):
            texts[place] = text
    return texts


_HEAD = json.dumps({_MARK: 1})[:-1]


def _unpack(text: str) -> ReadStructures:
    """Return the one row of a text that `pack` made, or why it is damaged."""
    try:
        one = json.loads(text)
        note, reason = str(one.get("note", "")), str(one.get("reason", ""))
        structures = Structures.none(1)
        if not reason:
            structures = Structures.of(
                one["lattice"], one["z"], one["positions"], one["occupancies"]
            )
            _check(structures)
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError):
        structures, note, reason = Structures.none(1), "", _DAMAGED
    return ReadStructures(
        structures, np.array([note], dtype=object), np.array([reason], dtype=object)
    )


NO_FILE = "no structure file"
"""Begins the reason for which a cell that names a file gives no structure."""
_DAMAGED = "the text of the structure is damaged; take it from its source again"


def _check(one: Structures) -> None:
    """Raise `ValueError` unless arrays are those of a structure."""
    m = len(one.z)
    shapes = (one.lattices.shape, one.positions.shape, one.occupancies.shape)
    if not m or shapes != ((1, 3, 3), (m, 3), (m,)):
        raise ValueError(shapes)
    sound = (
        (one.volumes > 0).all()  # not NaN
        and np.isfinite(one.lattices).all()
        and np.isfinite(one.positions).all()
        and ((one.z > 0) & (one.z < len(SYMBOLS))).all()
        and ((one.occupancies > 0) & (one.occupancies <= 1)).all()
    )
    if not sound:
        raise ValueError(one)


CELLS_NAME_FILES: ContextVar[bool] = ContextVar(
    "CELLS_NAME_FILES", default=os.environ.get("XTALSHIFT_CELLS_NAME_FILES") != "no"
)
"""Whether cells may name structure files of this machine: not those of a stranger's table. The
variable of the environment says so to all processes of a job."""


def _content(cell: object) -> object:
    """Return what a cell holds, or the content of the structure file that it names."""
    if isinstance(cell, str) and "\n" not in cell and is_structure_file(cell.strip()):
        if not CELLS_NAME_FILES.get():
            return RefusedError(
                "this table cannot name files; put the text of the structure file into the cell"
            )
        path = Path(cell.strip())
        if path.is_file():
            return dict(open_source(path).contents({path.name}))[path.name]
        return RefusedError(
            f"{NO_FILE} {cell.strip()!r} is there; paths begin in the working folder, names of "
            "files need --structures DIR"
        )
    return cell


def _contents(cells: Sequence[object], folder: Path) -> list[object]:
    """Return the contents of the files that cells name, or those of their structures."""
    names = open_source(folder).names()
    files, left_out = list_files(folder, names), describe_left_out(names)
    by_name = name_files(files)
    named = [_find(normalize("NFC", str(cell).strip()), by_name) for cell in cells]
    wanted = {found[0] for found, _ in named if len(found) == 1}
    contents: dict[str, Any] = dict(open_source(folder).contents(wanted))
    several = {found[0] for found, number in named if len(found) == 1 and number > 1}
    packed = {file: pack(read_all(contents[file])) for file in several}
    folded = {name.casefold(): name for name in by_name} if ([], 1) in named else {}
    whole: list[object] = []
    for cell, (found, number) in zip(cells, named, strict=True):
        name = str(cell).strip()
        if len(found) != 1:
            similar = folded.get(normalize("NFC", name).casefold(), "")
            whole.append(_not_there(name, folder, found, similar, files, left_out))
        elif found[0] not in packed:
            whole.append(contents[found[0]])
        elif number > len(packed[found[0]]):
            count = len(packed[found[0]])
            whole.append(RefusedError(f"{NO_FILE}: {name!r}, but {found[0]} has {count:,} of them"))
        else:
            whole.append(packed[found[0]][number - 1])
    return whole


def _find(name: str, by_name: Mapping[str, list[str]]) -> tuple[list[str], int]:
    """Return the files that have a name, and which of its structures ``#2`` means."""
    numbered = _NUMBERED.fullmatch(name)
    if name in by_name or numbered is None or numbered[1] not in by_name:
        return by_name.get(name, []), 1
    return by_name[numbered[1]], int(numbered[2])


def _not_there(
    name: str,
    folder: Path,
    found: Sequence[str],
    similar: str,
    files: Sequence[str],
    left_out: str,
) -> RefusedError:
    """Return that none of the files of a folder has a name, or that several are found."""
    shown = found or files
    listed = ", ".join(shown[:_SHOWN]) + (" ..." if len(shown) > _SHOWN else "")
    if found:
        return RefusedError(
            f"{NO_FILE} in {folder} is the only one called {name!r}: there are {listed}; "
            "write the path of one"
        )
    there = f"there is {similar!r}" if similar else f"it holds {listed}"
    if left_out and not similar:
        there += f"; {left_out}"
    return RefusedError(f"{NO_FILE} in {folder} is called {name!r}; {there}")
