"""Rows of numbers by key, kept in one file for later calls and other processes."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

T = TypeVar("T")
Rows = NDArray[np.float32]

_WAIT = 20.0  # seconds for another process to finish its transaction, which takes milliseconds
_AT_ONCE = 500  # keys in one question; SQLite before 3.32 takes 999
_TABLE = (
    "CREATE TABLE IF NOT EXISTS rows "
    "(key TEXT PRIMARY KEY, row BLOB, checksum INTEGER) WITHOUT ROWID"
)


class RowCache:
    """Keeps rows of `width` numbers in a SQLite file.

    What is added is there for all processes, and stays after a kill; a row that is not complete
    does not count. A damaged file is removed, a damaged row is not found. A cache never ends the
    work: if the file cannot be read or written (no permission, disk full), nothing is found or
    kept.

    Parameters
    ----------
    path : Path
        The file; it and its folder are made by the first `add`.
    width : int
        Length of a row.
    """

    def __init__(self, path: Path, width: int) -> None:
        self.path = path
        self.width = width

    def find(self, keys: Sequence[str]) -> Rows:
        """Return the rows of n keys, shape (n, width); NaN where there is none."""
        rows = np.full((len(keys), self.width), np.nan, dtype=np.float32)
        if self.path.exists():
            found = self._try(lambda database: dict(self._select(database, keys))) or {}
            for place, key in enumerate(keys):
                if key in found:
                    rows[place] = np.frombuffer(found[key], dtype="<f4")
        return rows

    def add(self, keys: Sequence[str], rows: Rows) -> None:
        """Keep n rows, shape (n, width)."""
        blobs = [row.tobytes() for row in rows.astype("<f4")]
        new = [(key, blob, _checksum(key, blob)) for key, blob in zip(keys, blobs, strict=True)]

        def insert(database: sqlite3.Connection) -> None:
            database.execute(_TABLE)
            database.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", new)

        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._try(insert)

    def _select(
        self, database: sqlite3.Connection, keys: Sequence[str]
    ) -> Iterator[tuple[str, bytes]]:
        for start in range(0, len(keys), _AT_ONCE):
            part = list(keys[start : start + _AT_ONCE])
            marks = ", ".join("?" * len(part))
            question = f"SELECT key, row, checksum FROM rows WHERE key IN ({marks})"  # noqa: S608
            answer: Iterable[tuple[str, bytes, int]] = database.execute(question, part)
            for key, blob, checksum in answer:
                if len(blob) == 4 * self.width and checksum == _checksum(key, blob):
                    yield key, blob

    def _try(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Return what `work` does in one transaction, or None if the file cannot be used."""
        try:
            with _opened(self.path) as database:
                return work(database)
        except sqlite3.OperationalError:  # locked for long, no permission, disk full
            return None
        except sqlite3.DatabaseError:
            self._remove_damaged()
            return None

    def _remove_damaged(self) -> None:
        with suppress(OSError), FileLock(f"{self.path}.lock", timeout=_WAIT):
            try:  # another process may have removed it and begun a new one
                with _opened(self.path) as database:
                    sound = database.execute("PRAGMA quick_check").fetchall() == [("ok",)]
            except sqlite3.OperationalError:
                return
            except sqlite3.DatabaseError:
                sound = False
            if not sound:
                self.path.unlink()
                # it would be played back into the next file of this name
                Path(f"{self.path}-journal").unlink(missing_ok=True)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield the database; what was changed is kept if the block ends without an error."""
    with closing(sqlite3.connect(path, timeout=_WAIT)) as database, database:
        yield database


def _checksum(key: str, blob: bytes) -> int:
    return zlib.crc32(blob, zlib.crc32(key.encode()))
