"""Cells of a table that hold crystal structures, or the names of their files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xtalshift.structure import Structures
from xtalshift.structure.archives import open_source
from xtalshift.structure.listed_atoms import RefusedError
from xtalshift.structure.reading import ReadStructures, read_structures
from xtalshift.structure.structure_files import find_files, is_structure_file, read_structure_files

_MARK = "xtalshift structure"


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
    packed = np.array([isinstance(one, str) and one.startswith(_HEAD) for one in contents], bool)
    if packed.all() and contents:
        return _unpack([json.loads(str(one)) for one in contents])
    return read_structures(contents)


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


_HEAD = json.dumps({_MARK: 1})[:-1]


def _unpack(contents: list[dict[str, Any]]) -> ReadStructures:
    parts, reasons = [], np.array([one.get("reason", "") for one in contents], dtype=object)
    for one in contents:
        if "z" in one:
            parts.append(
                Structures.of(one["lattice"], one["z"], one["positions"], one["occupancies"])
            )
        else:
            parts.append(Structures.none(1))
    notes = np.array([one.get("note", "") for one in contents], dtype=object)
    return ReadStructures(Structures.join(parts), notes, reasons)


def _content(cell: object) -> object:
    """Return what a cell holds, or the content of the structure file that it names."""
    if isinstance(cell, str) and "\n" not in cell and is_structure_file(cell.strip()):
        path = Path(cell.strip())
        if path.is_file():
            return dict(open_source(path).contents({path.name}))[path.name]
    return cell


def _contents(cells: Sequence[object], folder: Path) -> list[object]:
    """Return the contents of the files that cells name."""
    files = find_files(folder)
    wanted = [files.get(str(cell).strip()) for cell in cells]
    contents = dict(open_source(folder).contents({one for one in wanted if one is not None}))
    return [
        RefusedError(f"no one structure file in {folder} has the name {str(cell).strip()!r}")
        if name is None
        else contents[name]
        for cell, name in zip(cells, wanted, strict=True)
    ]
