"""Structures from a folder, an archive or a file, a block at a time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import DataError
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.structure.archives import FileSource, is_archive, open_source
from xtalshift.structure.reading import ReadStructures, read_all

SUFFIXES = (".cif", ".mcif", ".vasp", ".poscar", ".contcar", ".extxyz", ".xyz", ".json")
"""Suffixes of the files that are read, in any case, also with ``.gz``; further files whose names
begin with ``POSCAR`` or ``CONTCAR``."""

_SUFFIX = re.compile(rf"({'|'.join(map(re.escape, SUFFIXES))})?(\.gz)?$", re.IGNORECASE)
_SHOWN = 3
_TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".parquet")
_VASP = re.compile(r"(POSCAR|CONTCAR)")
_WITHIN = re.compile(rf"({'|'.join(map(re.escape, SUFFIXES))})\b|{_VASP.pattern}", re.IGNORECASE)


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

    Folders are read with all folders in them and all that are linked there, each once, sorted by
    path; hidden files are left out. Archives (zip, tar, tar.gz, tar.bz2, tar.xz) are read without
    unpacking them to disk; those inside archives are not opened.

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
    wanted = names if place.is_file() and names == [place.name] else list_files(place, names)
    return _read_blocks(source, dict(zip(wanted, _make_ids(wanted), strict=True)), rows, progress)


def list_files(path: str | Path, names: list[str] | None = None) -> list[str]:
    """Return the paths of the structure files inside a folder or archive.

    Parameters
    ----------
    path : str or Path
    names : list of str, optional
        Those of all its files, if they are known.

    Raises
    ------
    DataError
        As `read_structure_files`.
    """
    place = Path(path)
    names = open_source(place).names() if names is None else names
    wanted = list(filter(is_structure_file, names))
    if not wanted:
        raise DataError(_nothing_to_read(place, names))
    return wanted


def name_files(files: list[str]) -> dict[str, list[str]]:
    """Return for each name that a table may give to structure files the files that have it.

    Names are the path inside, the name of the file, both without suffix, and path and name of a
    folder, which are those of all files inside unless a file has the name. The id that a file gets
    here is its own, even if another file is called so in its folder. Names are in the normal form
    NFC: some systems write an accent as a character of its own.
    """
    by_file: dict[str, list[str]] = {}
    by_folder: dict[str, list[str]] = {}
    wholes = [str(PurePosixPath(normalize("NFC", file))) for file in files]  # without a ./
    for file, whole in zip(files, wholes, strict=True):
        folder, _, base = whole.rpartition("/")
        for name in {whole, base, _SUFFIX.sub("", whole), _SUFFIX.sub("", base)}:
            by_file.setdefault(name, []).append(file)
        inside = set[str]()
        while folder:
            inside |= {folder, folder.rpartition("/")[2]}
            folder = folder.rpartition("/")[0]
        for name in inside:
            by_folder.setdefault(name, []).append(file)
    for own in (_make_ids(wholes), wholes):
        by_file |= {name: [file] for name, file in zip(own, files, strict=True)}
    return by_folder | by_file


def describe_left_out(names: list[str]) -> str:
    """Return how many files are no structure files but by their names may be meant as such.

    Files as they stand beside structures, such as tables, texts and those of VASP, are none.
    """
    odd = [name for name in names if not is_structure_file(name) and _is_odd(name)]
    if not odd:
        return ""
    remedy = "unpack it" if is_archive(odd[0]) else "give it the suffix of its format, such as .cif"
    count = f"{len(odd):,} {'file' if len(odd) == 1 else 'files'}"
    return f"{count} left out, such as {odd[0]!r}: {remedy}"


def _is_odd(name: str) -> bool:
    base = PurePosixPath(name).name
    bare = "." not in base and not base.isupper()  # not README, not INCAR
    return bare or is_archive(base) or _WITHIN.search(base) is not None


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
    if place.is_file() and not is_archive(place.name):
        return (
            f"{place} is neither a folder nor an archive of structure files, which --structures "
            "takes: name the one with the files that the table names"
        )
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
