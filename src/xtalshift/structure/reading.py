"""Read crystal structures from texts: CIF, POSCAR, extended XYZ, JSON of pymatgen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import ConfigError
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.structure.checks import check_atoms
from xtalshift.structure.cif import is_cif, read_cif
from xtalshift.structure.decoding import decode
from xtalshift.structure.extxyz import is_extxyz, read_extxyz
from xtalshift.structure.listed_atoms import Found, ListedAtoms, RefusedError, unforeseen
from xtalshift.structure.poscar import is_poscar, read_poscar
from xtalshift.structure.structure_json import read_json, read_tree
from xtalshift.structure.structures import Structures

_NAMES = "CIF, POSCAR, extended XYZ and JSON of pymatgen"
_OTHERS = (
    (re.compile(r"\s*<"), "an HTML or XML page"),
    (re.compile(r"(HEADER|TITLE|CRYST1|REMARK|ATOM  |HETATM|MODEL )", re.MULTILINE), "a PDB file"),
)
_LONGEST = 300


@dataclass(frozen=True, eq=False)
class ReadStructures:
    """n structures as they were read."""

    structures: Structures
    """n rows; a row without atoms was refused."""
    notes: NDArray[np.object_]
    """Shape (n,). What was odd and how it was read; ``""`` if nothing was."""
    reasons: NDArray[np.object_]
    """Shape (n,). Why a structure was refused and what to do; ``""`` if it was read."""

    def __len__(self) -> int:
        return len(self.structures)

    def rows(self) -> Iterator[Self]:
        """Yield the rows one by one."""
        for row in range(len(self)):
            one = slice(row, row + 1)
            yield type(self)(self.structures.take(one), self.notes[one], self.reasons[one])

    @classmethod
    def join(cls, parts: Iterable[Self]) -> Self:
        """Return several readings as one, in their order."""
        parts = list(parts)
        return cls(
            Structures.join([part.structures for part in parts]),
            np.concatenate([np.empty(0, dtype=object), *(part.notes for part in parts)]),
            np.concatenate([np.empty(0, dtype=object), *(part.reasons for part in parts)]),
        )


def read_structures(texts: Iterable[object], *, progress: Progress = NO_PROGRESS) -> ReadStructures:
    """Read one structure from each text, such as the cells of a column.

    Parameters
    ----------
    texts : iterable of str, bytes or dict, length n
        Contents of CIF, POSCAR or extended XYZ files, or structures of pymatgen as JSON or as the
        dict of ``as_dict()``. If one holds several structures, the first counts. Equal texts are
        read once.
    progress : Progress
        Advances by one per text.

    Returns
    -------
    ReadStructures
        n rows. What cannot be read without a guess has a reason; nothing is raised for it.

    Raises
    ------
    ConfigError
        If the libraries of the extra ``structures`` are not installed.
    """
    known: dict[object, ReadStructures] = {}
    rows = []
    items = list(texts)
    with progress.task("structures", len(items)) as task:
        for item in items:
            is_text = isinstance(item, str | bytes)
            row = known.get(item) if is_text else None
            if row is None:
                row = _first(read_all(item))
            if is_text:
                known[item] = row
            rows.append(row)
            task.advance()
    return ReadStructures.join(rows)


def read_all(content: object) -> ReadStructures:
    """Read all structures of one text: data blocks, frames, or the items of a list.

    Parameters
    ----------
    content : str, bytes, dict or RefusedError
        As for `read_structures`; or why a file has none.

    Returns
    -------
    ReadStructures
        At least one row: a text without a structure is a row with a reason.
    """
    note = ""
    try:
        if isinstance(content, bytes):
            content, note = decode(content)
        found = _find(content)
    except RefusedError as error:
        found = [error]
    except ImportError as error:
        raise ConfigError(
            'structures need further libraries: pip install "xtalshift[structures]"'
        ) from error
    except Exception as error:  # noqa: BLE001  # no text may end the job
        found = [unforeseen(error)]
    return ReadStructures.join([_check(one, note) for one in found])


def _find(content: object) -> Found:
    """Return what the reader of its format makes of a content."""
    if isinstance(content, RefusedError):
        raise content
    if isinstance(content, Mapping | list):
        return read_tree(content)
    if not isinstance(content, str) or not content.strip():
        raise RefusedError("no structure: it is empty or no text")
    text = content.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if text.lstrip()[:1] in {"{", "["}:
        return read_json(text)
    for fits, read in _READERS:
        if fits(text):
            return read(text)
    kind = next((name for pattern, name in _OTHERS if pattern.match(text)), "")
    begins = " ".join(text[:200].split())[:40]
    raise RefusedError(
        f"{f'it is {kind}' if kind else 'unknown format'} (it begins {begins!r}); {_NAMES} are "
        "read: save it as CIF"
    )


_READERS: tuple[tuple[Callable[[str], bool], Callable[[str], Found]], ...] = (
    (is_cif, read_cif),
    (is_poscar, read_poscar),
    (is_extxyz, read_extxyz),
)


def _check(found: ListedAtoms | RefusedError, note: str) -> ReadStructures:
    """Return the one row of a structure."""
    structures, noted, reason = Structures.none(1), "", ""
    if isinstance(found, RefusedError):
        return _row(structures, "", _one_line(str(found)))
    try:
        structures, noted = check_atoms(found)
        noted = "; ".join(filter(None, [note, noted]))
    except RefusedError as error:
        reason = _one_line(str(error))
    except Exception as error:  # noqa: BLE001  # no structure may end the job
        reason = _one_line(str(unforeseen(error)))
    return _row(structures, noted, reason)


def _row(structures: Structures, note: str, reason: str) -> ReadStructures:
    return ReadStructures(
        structures, np.array([note], dtype=object), np.array([reason], dtype=object)
    )


def _first(read: ReadStructures) -> ReadStructures:
    """Return the first row, which says if there are others."""
    if len(read) == 1:
        return read
    noted, reason = read.notes[0], read.reasons[0]
    if not reason:
        noted = "; ".join(filter(None, [f"the first of {len(read):,} structures", noted]))
    return _row(read.structures.take([0]), noted, reason)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
