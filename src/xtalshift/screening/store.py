"""The folder of a screening: parts in order, a journal of them, and the state to continue from."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from xtalshift.errors import ConfigError, DataError
from xtalshift.screening.plan import KIND, check_header

__all__ = ["SUMMARY_FILE", "TOP_FILE", "ScreenStore"]

SUMMARY_FILE = "screen.json"
TOP_FILE = "top.csv"
_PARTS, _STATE = "parts", "checkpoint"
LOCK_FILE = ".lock"


class ScreenStore:
    """What is finished, always the chunks before some number; one process at a time writes.

    The first line of the journal is the header, each other line a finished chunk: a chunk counts
    from the moment its line is complete. Its part, its hashes and the table of the best are written
    before; what a killed process left of them is written again.

    Attributes
    ----------
    chunks, rows : int
        Finished so far.
    end : tuple of (int, int)
        Place in the inputs behind them.
    seconds : float
        Spent on them.
    counts : Counter
        Their counts.
    """

    def __init__(self, folder: Path, lock: FileLock) -> None:
        self.folder = folder
        self._lock = lock
        self._state = folder / _STATE
        self._journal = self._state / "journal.jsonl"
        self.chunks = self.rows = self._n_hashes = 0
        self.end = (0, 0)
        self.seconds = 0.0
        self.counts: Counter[str] = Counter()

    @classmethod
    def open(cls, folder: Path, header: dict[str, Any], *, overwrite: bool = False) -> Self:
        """Lock a folder and read what is finished, or begin.

        Parameters
        ----------
        folder : Path
            Made if it does not exist.
        header : dict
            See `xtalshift.screening.plan.make_header`.
        overwrite : bool
            Remove what is there.

        Raises
        ------
        ConfigError
            If another process writes, or the folder holds another screening.
        DataError
            If the folder holds something else, or cannot be written.
        """
        header = json.loads(json.dumps(header))
        state = folder / _STATE
        if not overwrite and not (state / "journal.jsonl").exists():
            names = (_PARTS, TOP_FILE, SUMMARY_FILE)
            taken = next((name for name in names if (folder / name).exists()), None)
            if taken:
                raise DataError(
                    f"{folder} holds {taken} but no screening to continue; choose another -o DIR, "
                    "or give --overwrite to replace it"
                )
        try:
            state.mkdir(parents=True, exist_ok=True)
            lock = FileLock(state / LOCK_FILE, timeout=0)
            lock.acquire()
        except Timeout as error:
            raise ConfigError(f"another screening is writing to {folder}; wait for it") from error
        except OSError as error:
            raise DataError(f"cannot write to {folder}: {error.strerror}") from error
        store = cls(folder, lock)
        try:
            if overwrite:
                store._clear()
            store._read(header)
        except BaseException:
            lock.release()
            raise
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @property
    def summary(self) -> dict[str, Any] | None:
        """What was written at the end of a finished screening."""
        path = self.folder / SUMMARY_FILE
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def read_hashes(self) -> NDArray[np.uint64]:
        """Return the hashes of all finished chunks."""
        path = self._state / "hashes.u64"
        if not path.exists():
            return np.empty(0, np.uint64)
        if path.stat().st_size < 8 * self._n_hashes:
            raise DataError(f"{path} is truncated; give --overwrite to begin anew")
        with path.open("r+b") as stream:
            stream.truncate(8 * self._n_hashes)
        return np.fromfile(path, dtype="<u8").astype(np.uint64, copy=False)

    def read_top(self) -> pa.Table | None:
        """Return the table of the best so far."""
        path = self._state / "top.parquet"
        return pq.read_table(path) if path.exists() else None

    def add(
        self,
        *,
        end: tuple[int, int],
        counts: dict[str, int],
        seconds: float,
        part: bytes | None,
        hashes: NDArray[np.uint64] | None,
        top: pa.Table | None,
    ) -> None:
        """Write the next chunk.

        Parameters
        ----------
        end, counts, seconds
            Of the chunk.
        part : bytes, optional
            Content of its file.
        hashes : ndarray of uint64, optional
            New ones.
        top : pyarrow.Table, optional
            The table of the best, if it changed.

        Raises
        ------
        DataError
            If the folder cannot be written, for instance because the disk is full.
        """
        size = 0
        try:
            if part is not None:
                size = len(part)
                replace_file(self._part(self.chunks), part)
            if hashes is not None and len(hashes):
                with (self._state / "hashes.u64").open("ab") as stream:
                    stream.write(hashes.astype("<u8").tobytes())
                self._n_hashes += len(hashes)
            if top is not None:
                sink = pa.BufferOutputStream()
                pq.write_table(top, sink, compression="zstd")
                replace_file(self._state / "top.parquet", sink.getvalue().to_pybytes())
            line = {
                "chunk": self.chunks,
                "end": end,
                "seconds": round(seconds, 3),
                "bytes": size,
                "hashes": self._n_hashes,
                "counts": counts,
            }
            self._append(line)
        except OSError as error:
            raise DataError(f"cannot write to {self.folder}: {error.strerror}") from error
        self._count(line)

    def finish(self, summary: dict[str, Any], top: bytes | None) -> None:
        """Write the table of the best and the summary, which is last."""
        if top is not None:
            replace_file(self.folder / TOP_FILE, top)
        text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
        replace_file(self.folder / SUMMARY_FILE, (text + "\n").encode())

    def _part(self, number: int) -> Path:
        return self.folder / _PARTS / f"part-{number:06d}.parquet"

    def _read(self, header: dict[str, Any]) -> None:
        lines = self._journal.read_bytes().split(b"\n")[:-1] if self._journal.exists() else []
        for place in (self.folder / _PARTS, self._state):
            place.mkdir(exist_ok=True)
            for left in place.glob(".*.tmp"):
                left.unlink()
        if not lines:
            self._journal.write_bytes(b"")
            self._append(header)
            return
        try:
            found, *records = map(json.loads, lines)
        except ValueError as error:
            raise DataError(
                f"{self._journal} is damaged ({error}); give --overwrite to begin anew"
            ) from error
        if not isinstance(found, dict) or found.get("kind") != KIND:
            raise DataError(f"{self._journal} is not the journal of a screening")
        check_header(found, header, self.folder)
        kept = 1
        for record in records:
            part = self._part(record["chunk"])
            if record["bytes"] and not (part.exists() and part.stat().st_size == record["bytes"]):
                break  # from a part that is gone or torn on, everything is done again
            self._count(record)
            kept += 1
        with self._journal.open("r+b") as stream:
            stream.truncate(sum(len(line) + 1 for line in lines[:kept]))
        if kept <= len(records):
            (self.folder / SUMMARY_FILE).unlink(missing_ok=True)

    def _count(self, record: dict[str, Any]) -> None:
        self.chunks = record["chunk"] + 1
        self.end = (record["end"][0], record["end"][1])
        self.seconds += record["seconds"]
        self._n_hashes = record["hashes"]
        self.counts.update(record["counts"])
        self.rows = self.counts["rows"]

    def _append(self, values: dict[str, Any]) -> None:
        text = json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n"
        with self._journal.open("ab", buffering=0) as stream:
            stream.write(text.encode())

    def _clear(self) -> None:
        (self.folder / SUMMARY_FILE).unlink(missing_ok=True)
        (self.folder / TOP_FILE).unlink(missing_ok=True)
        for path in (self.folder / _PARTS).glob("part-*.parquet"):
            path.unlink()
        for path in self._state.glob("*"):
            if path.name != LOCK_FILE:  # which is held
                path.unlink()


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that appears at once or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)  # noqa: PTH105 - Path.replace returns a path nobody needs
