"""The folder of a screening: parts in order, a journal of them, and the state to continue from."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from xtalshift.errors import ConfigError, DataError, ModelFormatError
from xtalshift.jsonio import Plain, read_json, replace_file, write_json
from xtalshift.screening.inputs import InputRecord, read_bytes
from xtalshift.screening.screener import COUNTS, Screened
from xtalshift.screening.settings import ScreenSettings

SUMMARY_FILE = "screen.json"
TOP_FILE = "top.csv"
LOCK_FILE = ".lock"
KIND = "xtalshift-screen"
SCHEMA_VERSION = 1
_PARTS, _STATE = "parts", "checkpoint"
_PACKAGES = ("xtalshift", "numpy", "pandas", "pyarrow", "scikit-learn", "torch")
_SHOWN = 3
_MAX_SHOWN = 40


@dataclass(frozen=True)
class Header:
    """What identifies a screening; one with another header is not continued."""

    model_sha256: str
    """Hash of all files of the model."""
    inputs: list[InputRecord]
    """The inputs in order."""
    settings: ScreenSettings
    """Settings."""
    versions: dict[str, str]
    """Versions of the packages that the output depends on."""

    @classmethod
    def of(cls, model: Path, inputs: list[InputRecord], settings: ScreenSettings) -> Self:
        """Return the header of a screening; `ModelFormatError` if the folder `model` holds none."""
        if not (model / "model.json").exists():
            raise ModelFormatError(
                f"{model} is not a saved model: there is no model.json. Name the folder that "
                "`xtalshift train` wrote, or model/ in that of `run`"
            )
        digest = hashlib.sha256()
        for path in sorted(path for path in model.glob("*") if path.is_file()):
            digest.update(path.name.encode() + b"\0")
            for block in read_bytes(path):
                digest.update(block)
        versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
        return cls(digest.hexdigest(), inputs, settings, versions)

    def to_dict(self) -> Plain:
        """Return plain values."""
        inputs = [
            {key: value for key, value in asdict(one).items() if value is not None}
            for one in self.inputs
        ]
        return {
            "kind": KIND,
            "schema_version": SCHEMA_VERSION,
            "model_sha256": self.model_sha256,
            "inputs": inputs,
            "settings": self.settings.to_dict(),
            "versions": self.versions,
        }


@dataclass(frozen=True)
class ScreenSummary:
    """Result of a screening, as in ``screen.json``."""

    counts: dict[str, int]
    """Rows: all, ``ok``, ``errors``, ``duplicates``, ``in_domain`` and ``clipped``."""
    chunks: int
    """Number of blocks."""
    seconds: float
    """Time of all sessions together."""
    rows_per_second: float | None
    """Mean rate."""


@dataclass(frozen=True)
class _Chunk:
    """A line of the journal: a finished block."""

    chunk: int
    end: tuple[int, int]
    seconds: float
    bytes: int  # of its part; 0 if it has none
    hashes: int  # of this block and all before it
    counts: dict[str, int]


class ScreenStore:
    """The finished blocks of a screening; one process at a time writes.

    The first line of the journal is the header, and each other line is a finished block. A block
    counts as finished when its line is complete. Its part, its hashes and the table of the best
    rows are written before the line; if the process is killed in between, they are written again.

    Attributes
    ----------
    chunks, rows : int
        Finished so far.
    end : tuple of (int, int)
        Place in the inputs behind them.
    seconds : float
        Time spent on them.
    counts : dict of int
        Sums of their counts.
    """

    def __init__(self, folder: Path, header: Header, lock: FileLock) -> None:
        self.folder = folder
        self._header = json.loads(json.dumps(header.to_dict()))
        self._lock = lock
        self._state = folder / _STATE
        self._journal = self._state / "journal.jsonl"
        self.chunks = self.rows = self._n_hashes = 0
        self.end = (0, 0)
        self.seconds = 0.0
        self.counts = dict.fromkeys(COUNTS, 0)

    @classmethod
    def open(cls, folder: Path, header: Header, *, overwrite: bool = False) -> Self:
        """Lock a folder, and read what is finished or begin.

        Raises `ConfigError` if another process writes there or the folder holds another screening,
        and `DataError` if it holds something else or cannot be written. `overwrite` removes an
        earlier one.
        """
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
        store = cls(folder, header, lock)
        try:
            if overwrite:
                store._clear()
            store._read()
        except BaseException:
            lock.release()
            raise
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @property
    def summary(self) -> ScreenSummary | None:
        """The summary of a finished screening."""
        path = self.folder / SUMMARY_FILE
        if not path.exists():
            return None
        found = read_json(path)
        return ScreenSummary(found["counts"], found["chunks"], **found["host"])

    def read_hashes(self) -> NDArray[np.uint64]:
        """Return the hashes of all finished blocks."""
        path = self._state / "hashes.u64"
        if not path.exists():
            return np.empty(0, np.uint64)
        if path.stat().st_size < 8 * self._n_hashes:
            raise DataError(f"{path} is truncated; give --overwrite to begin anew")
        with path.open("r+b") as stream:
            stream.truncate(8 * self._n_hashes)
        return np.fromfile(path, dtype="<u8").astype(np.uint64, copy=False)

    def read_top(self) -> pa.Table | None:
        """Return the best rows of all finished blocks."""
        path = self._state / "top.parquet"
        return pq.read_table(path) if path.exists() else None

    def add(
        self,
        screened: Screened,
        end: tuple[int, int],
        seconds: float,
        *,
        hashes: NDArray[np.uint64] | None = None,
        top: pa.Table | None = None,
    ) -> None:
        """Write the next block, hashes of its new materials, and the best rows if they changed.

        `end` is the place in the inputs behind it, `seconds` the time spent on it. Raises
        `DataError` if the folder cannot be written, for instance because the disk is full.
        """
        try:
            if screened.part is not None:
                replace_file(self._part(self.chunks), screened.part)
            if hashes is not None and len(hashes):
                with (self._state / "hashes.u64").open("ab") as stream:
                    stream.write(hashes.astype("<u8").tobytes())
                self._n_hashes += len(hashes)
            if top is not None:
                sink = pa.BufferOutputStream()
                pq.write_table(top, sink, compression="zstd")
                replace_file(self._state / "top.parquet", sink.getvalue().to_pybytes())
            chunk = _Chunk(
                self.chunks,
                end,
                round(seconds, 3),
                len(screened.part or b""),
                self._n_hashes,
                screened.counts,
            )
            self._append(asdict(chunk))
        except OSError as error:
            raise DataError(f"cannot write to {self.folder}: {error.strerror}") from error
        self._count(chunk)

    def finish(self, top: bytes | None) -> ScreenSummary:
        """Write the table of the best rows and, last, the summary."""
        if top is not None:
            replace_file(self.folder / TOP_FILE, top)
        rate = round(self.rows / self.seconds, 1) if self.seconds else None
        summary = ScreenSummary(self.counts, self.chunks, round(self.seconds, 3), rate)
        host = {"seconds": summary.seconds, "rows_per_second": rate}
        values = {"counts": summary.counts, "chunks": summary.chunks, "host": host}
        write_json(self.folder / SUMMARY_FILE, {**self._header, **values})
        return summary

    def _part(self, number: int) -> Path:
        return self.folder / _PARTS / f"part-{number:06d}.parquet"

    def _read(self) -> None:
        lines = self._journal.read_bytes().split(b"\n")[:-1] if self._journal.exists() else []
        for place in (self.folder / _PARTS, self._state):
            place.mkdir(exist_ok=True)
            for left in place.glob(".*.part"):
                left.unlink()
        if not lines:
            self._journal.write_bytes(b"")
            self._append(self._header)
            return
        try:
            found, *records = map(json.loads, lines)
        except ValueError as error:
            raise DataError(
                f"{self._journal} is damaged ({error}); give --overwrite to begin anew"
            ) from error
        if not isinstance(found, dict) or found.get("kind") != KIND:
            raise DataError(f"{self._journal} is not the journal of a screening")
        _check_same(found, self._header, self.folder)
        kept = 1
        for record in records:
            chunk = _Chunk(**{**record, "end": tuple(record["end"])})
            part = self._part(chunk.chunk)
            if chunk.bytes and not (part.exists() and part.stat().st_size == chunk.bytes):
                break  # from the first part that is missing or torn, everything is done again
            self._count(chunk)
            kept += 1
        with self._journal.open("r+b") as stream:
            stream.truncate(sum(len(line) + 1 for line in lines[:kept]))
        if kept <= len(records):
            (self.folder / SUMMARY_FILE).unlink(missing_ok=True)

    def _count(self, chunk: _Chunk) -> None:
        self.chunks = chunk.chunk + 1
        self.end = chunk.end
        self.seconds += chunk.seconds
        self._n_hashes = chunk.hashes
        self.counts = {name: n + chunk.counts[name] for name, n in self.counts.items()}
        self.rows = self.counts["rows"]

    def _append(self, values: object) -> None:
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


def _check_same(found: object, wanted: object, folder: Path) -> None:
    """Raise `ConfigError` unless the screening in `folder` has the wanted header."""
    differ = list(_differences(found, wanted, ""))
    if differ:
        more = f" and {len(differ) - _SHOWN} more" if len(differ) > _SHOWN else ""
        raise ConfigError(
            f"{folder} holds another screening ({'; '.join(differ[:_SHOWN])}{more}); choose "
            "another -o DIR, or give --overwrite to begin anew"
        )


def _differences(found: object, wanted: object, name: str) -> Iterator[str]:
    if isinstance(found, dict | None) and isinstance(wanted, dict | None):
        found, wanted = found or {}, wanted or {}
        for key in dict.fromkeys([*found, *wanted]):
            inner = f"{name}.{key}".removeprefix("settings.").lstrip(".")
            yield from _differences(found.get(key), wanted.get(key), inner)
    elif isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        for number, (one, other) in enumerate(zip(found, wanted, strict=True), start=1):
            yield from _differences(one, other, f"{name.removesuffix('s')} {number}")
    elif found != wanted:
        yield f"{name}: {_short(found)} there, {_short(wanted)} now"


def _short(value: object) -> str:
    if value is None:
        return "not given"
    text = str(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:12]}..."  # a hash
