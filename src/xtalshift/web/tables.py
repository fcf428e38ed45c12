"""Tables that clients have sent, kept until they are deleted."""

from __future__ import annotations

import io
import os
import re
import secrets
import shutil
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from xtalshift.errors import DataError, NotFoundError
from xtalshift.jsonio import Plain, read_json, write_json
from xtalshift.provenance import hash_file
from xtalshift.web.bodies import no_room
from xtalshift.web.scratch import Disk
from xtalshift.web.settings import ServeConfig
from xtalshift.web.unpacked import check_unpacked

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
_GONE = "gone-"
"""Begins the name of the folder of a table that is being removed."""
_LONGEST_NAME = 200


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
    reading: Plain = field(default_factory=dict)
    """What a person has said of it, see `xtalshift.web.table_settings.TableSettings`."""


class TableStore:
    """Tables by their ids, each in a folder of its own."""

    def __init__(self, store: Path) -> None:
        self.store = store
        """The folder of the server."""
        self._folder = store / "tables"
        self._folder.mkdir(parents=True, exist_ok=True)
        for gone in self._folder.glob(f"{_GONE}*"):  # of a server that was killed
            shutil.rmtree(gone, ignore_errors=True)

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
            id_, _kept_name(name), path.stat().st_size, hash_file(path), time.time(), path.name
        )
        write_json(folder / _NOTES, asdict(found))
        folder.rename(self._folder / id_)  # complete or not at all
        return found

    def all(self) -> list[StoredTable]:
        """Return all tables, the newest first."""
        found = filter(None, (self._read(folder.name) for folder in self._folder.iterdir()))
        return sorted(found, key=lambda one: -one.created)

    def same(self, sent: Path, name: str) -> StoredTable | None:
        """Return the table with this content and name, if there is one."""
        known = hash_file(sent), _kept_name(name)
        return next((one for one in self.all() if (one.sha256, one.name) == known), None)

    def get(self, id: str) -> StoredTable:  # noqa: A002 - the word of the interface
        """Return a table.

        Raises
        ------
        NotFoundError
            If there is none of this id.
        """
        found = self._read(id)
        if found is None:
            raise NotFoundError(f"there is no table {id[:100]!r}; GET /api/v1/tables lists them")
        return found

    def _read(self, id_: str) -> StoredTable | None:
        """Return a table; None if there is none, or not any more."""
        notes = self._folder / id_ / _NOTES
        if not _ID.fullmatch(id_) or not notes.is_file():
            return None
        try:
            return StoredTable(**read_json(notes))
        except DataError:
            if notes.is_file():
                raise
            return None  # removed meanwhile

    def path(self, id: str) -> Path:  # noqa: A002
        """Return the file of a table; errors as in `get`."""
        return self._folder / id / self.get(id).file

    def say(self, id: str, reading: Plain) -> StoredTable:  # noqa: A002
        """Keep what a person says of a table; errors as in `get`."""
        found = replace(self.get(id), reading=reading)
        write_json(self._folder / id / _NOTES, asdict(found))
        return found

    def delete(self, id: str) -> None:  # noqa: A002
        """Remove a table; jobs that use it keep their copy. Errors as in `get`."""
        self.get(id)
        gone = self._folder / f"{_GONE}{secrets.token_hex(8)}"
        (self._folder / id).rename(gone)  # at once, so that nobody meets a part of it
        shutil.rmtree(gone, ignore_errors=True)


class TableDesk:
    """Keeps tables that come as parts of forms."""

    def __init__(self, tables: TableStore, disk: Disk, config: ServeConfig) -> None:
        self._tables = tables
        self._disk = disk
        self._config = config

    def keep(self, sent: BinaryIO, name: str) -> StoredTable:
        """Keep a file, unless it is kept already: the same content under the same name.

        Raises
        ------
        DataError
            If it is empty, or its type cannot be read.
        RequestError
            With status 507, if there is no room, and 413, if it is too large unpacked.
        """
        kept = f"sent{suffix_of(name)}"
        sent.seek(0, os.SEEK_END)
        size = sent.tell()
        if not size:
            raise DataError(f"{name[-100:]!r} is empty; choose a file with a header and rows")
        if size > self._disk.room():
            raise no_room()
        sent.seek(0)
        with self._disk.removed_on_error() as folder:
            with (folder / kept).open("wb") as file:
                shutil.copyfileobj(sent, file)
            try:
                check_unpacked(folder / kept, self._config)
            except DataError as error:  # it has a name that its owner does not know
                raise DataError(str(error).replace(kept, name[-100:])) from error
            known = self._tables.same(folder / kept, name)
            found = known or self._tables.add(folder / kept, name)
            shutil.rmtree(folder)
        return found

    def keep_text(self, text: str, name: str) -> StoredTable:
        """Keep a table that was pasted; errors as in `keep`."""
        return self.keep(io.BytesIO(text.encode("utf-8", "replace")), name)


def _kept_name(name: str) -> str:
    return name[-_LONGEST_NAME:]


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
