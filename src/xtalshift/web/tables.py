"""Tables that clients have sent, kept until they are deleted."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from xtalshift.errors import DataError, NotFoundError
from xtalshift.jsonio import read_json, write_json
from xtalshift.provenance import hash_file

_TEXTS = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson")
SUFFIXES = (
    *(*_TEXTS, ".parquet", ".xlsx"),
    *(f"{one}.gz" for one in _TEXTS),
    *(".cif", ".cif.gz", ".extxyz", ".extxyz.gz", ".xyz", ".vasp", ".poscar", ".zip"),
    *(".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"),
)
"""Types of tables, of which text may be packed, of structure files and of archives of them."""

_ID = re.compile("table-[0-9a-f]{12}")
_NOTES = "table.json"


@dataclass(frozen=True)
class StoredTable:
    """A table that a client has sent."""

    id: str
    name: str
    """The name that the client gave; it is no path."""
    bytes: int
    sha256: str
    created: float
    """Seconds since 1970."""
    file: str
    """Name of the file in its folder."""


class TableStore:
    """Tables by their ids, each in a folder of its own."""

    def __init__(self, store: Path) -> None:
        self._folder = store / "tables"
        self._folder.mkdir(parents=True, exist_ok=True)

    def add(self, sent: Path, name: str) -> StoredTable:
        """Keep a file that was sent under a name, whose end is its type.

        Raises
        ------
        DataError
            If the type cannot be read.
        """
        suffix = suffix_of(name)
        id_ = f"table-{secrets.token_hex(6)}"
        folder = sent.parent / id_
        folder.mkdir()
        path = sent.rename(folder / f"table{suffix}")
        found = StoredTable(
            id_, name[-200:], path.stat().st_size, hash_file(path), time.time(), path.name
        )
        write_json(folder / _NOTES, asdict(found))
        folder.rename(self._folder / id_)  # complete or not at all
        return found

    def all(self) -> list[StoredTable]:
        """Return all tables, the newest first."""
        found = [
            StoredTable(**read_json(folder / _NOTES))
            for folder in self._folder.iterdir()
            if (folder / _NOTES).is_file()
        ]
        return sorted(found, key=lambda one: -one.created)

    def path(self, id: str) -> Path:  # noqa: A002 - the word of the interface
        """Return the file of a table.

        Raises
        ------
        NotFoundError
            If there is none of this id.
        """
        known = {one.id: one for one in self.all()} if _ID.fullmatch(id) else {}
        if id not in known:
            raise NotFoundError(f"there is no table {id[:100]!r}; GET /api/v1/tables lists them")
        return self._folder / id / known[id].file

    def delete(self, id: str) -> None:  # noqa: A002
        """Remove a table; jobs that use it keep their copy."""
        shutil.rmtree(self.path(id).parent)


def suffix_of(name: str) -> str:
    """Return the type of a table by the end of its name.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    suffix = max((one for one in SUFFIXES if name.lower().endswith(one)), key=len, default=None)
    if suffix is None:
        raise DataError(
            f"{name[-100:]!r} has a type that cannot be sent; name the table with one of "
            f"{', '.join(SUFFIXES)}"
        )
    return suffix
