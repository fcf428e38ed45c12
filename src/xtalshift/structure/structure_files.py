"""Structures from a folder, an archive or a file, a block at a time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import DataError
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.structure.archives import FileSource, open_source
from xtalshift.structure.reading import ReadStructures, read_all

SUFFIXES = (".cif", ".mcif", ".vasp", ".poscar", ".contcar", ".extxyz", ".xyz", ".json")
"""Suffixes of the files that are read, in any case, also with ``.gz``; further files whose names
begin with ``POSCAR`` or ``CONTCAR``."""

_SUFFIX = re.compile(rf"({'|'.join(map(re.escape, SUFFIXES))})?(\.gz)?$", re.IGNORECASE)
_SHOWN = 3
_TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".parquet")
_VASP = re.compile(r"(POSCAR|CONTCAR)")


@dataclass(frozen=True, eq=False)
class FileRows:
    """Some structures of a folder, an archive or a file."""

    ids: NDArray[np.object_]
    """Shape (n,). Name of the file without suffix; its path inside the folder where the names
    repeat; ``name#2`` for the second structure of a file, and so on."""
    files: NDArray[np.object_]
    """Shape (n,). Path of the file inside the folder or archive."""
    read: ReadStructures
    """n rows; a file that cannot be read is a row with a reason."""

    def __len__(self) -> int:
        return len(self.ids)


def read_structure_files(
    path: str | Path, *, rows: int = 1024, progress: Progress = NO_PROGRESS
) -> Iterator[FileRows]:
    """Read all structures of a folder, an archive or a file, in constant memory.

    Folders are read with all folders in them, sorted by path; hidden files are left out. Archives
    (zip, tar, tar.gz, tar.bz2, tar.xz) are read without unpacking them to disk; those inside
    archives are not opened.

    Parameters
    ----------
    path : str or Path
    rows : int
        A block is complete with the file that fills so many rows.
    progress : Progress
        Advances by one per file.

    Returns
    -------
    iterator of FileRows

    Raises
    ------
    DataError
        If there is no such path, no structure file in it, or the archive is damaged or unpacks to
        far more than structure files do.
    ConfigError
        If the libraries of the extra ``structures`` are not installed.
    """
    place = Path(path)
    source = open_source(place)
    names = source.names()
    wanted = (
        names
        if place.is_file() and names == [place.name]
        else list(filter(is_structure_file, names))
    )
    if not wanted:
        raise DataError(_nothing_to_read(place, names))
    return _read_blocks(source, dict(zip(wanted, _make_ids(wanted), strict=True)), rows, progress)


def find_files(path: str | Path) -> dict[str, str]:
    """Return the files of a folder or archive by the names that a table may give them.

    These are the path inside, the name of the file, and both without suffix; a name that several
    files have is left out.

    Raises
    ------
    DataError
        As `read_structure_files`.
    """
    place = Path(path)
    names = open_source(place).names()
    wanted = list(filter(is_structure_file, names))
    if not wanted:
        raise DataError(_nothing_to_read(place, names))
    found: dict[str, str | None] = {}
    for name in wanted:
        base = PurePosixPath(name).name
        for given in {name, base, _SUFFIX.sub("", name), _SUFFIX.sub("", base)}:
            found[given] = name if given not in found or given == name else None
    return {given: name for given, name in found.items() if name is not None}


def _read_blocks(
    source: FileSource, ids: dict[str, str], rows: int, progress: Progress
) -> Iterator[FileRows]:
    waiting: list[FileRows] = []
    with progress.task("structures", len(ids)) as task:
        for name, content in source.contents(set(ids)):
            waiting.append(_read_file(ids[name], name, content))
            task.advance()
            if sum(map(len, waiting)) >= rows:
                yield _join(waiting)
                waiting = []
    if waiting:
        yield _join(waiting)


def _read_file(identity: str, name: str, content: object) -> FileRows:
    read = read_all(content)
    path = str(PurePosixPath(name))  # without the ./ of archives
    ids = [identity, *(f"{identity}#{number}" for number in range(2, len(read) + 1))]
    return FileRows(np.array(ids, dtype=object), np.full(len(read), path, dtype=object), read)


def _join(blocks: list[FileRows]) -> FileRows:
    return FileRows(
        np.concatenate([block.ids for block in blocks]),
        np.concatenate([block.files for block in blocks]),
        ReadStructures.join(block.read for block in blocks),
    )


def is_structure_file(name: str) -> bool:
    """Return whether a file is one of structures by its name."""
    base = PurePosixPath(name).name
    return bool(_VASP.match(base)) or base.lower().removesuffix(".gz").endswith(SUFFIXES)


def _make_ids(names: list[str]) -> list[str]:
    """Return for each file the shortest name that no other has."""
    whole = [str(PurePosixPath(name)) for name in names]
    paths = [_SUFFIX.sub("", name) or name for name in whole]
    bases = [PurePosixPath(name).name for name in paths]
    counts = [Counter(kind) for kind in (bases, paths)]
    return [
        base if counts[0][base] == 1 else path if counts[1][path] == 1 else full
        for base, path, full in zip(bases, paths, whole, strict=True)
    ]


def _nothing_to_read(place: Path, names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    there = f"it holds {shown}{' ...' if len(names) > _SHOWN else ''}"
    remedy = "name another folder, or rename the files"
    table = next((one for one in names if one.lower().endswith(_TABLES)), None)
    if table is not None:
        remedy = f"to read the table {table}, {'name it' if place.is_dir() else 'unpack it'}"
    return (
        f"{place} has no structure file ({', '.join(SUFFIXES)}, POSCAR*, CONTCAR*): "
        f"{there if names else 'it is empty'}; {remedy}"
    )
