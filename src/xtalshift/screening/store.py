"""The folder of a screening: parts in order, a journal of them, and the state to continue from."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xtalshift.errors import ConfigError, DataError, ModelFormatError
from xtalshift.files import append, explained, lock_folder, replace_file
from xtalshift.jsonio import Plain, decode_lines, encode_line, parse, read_json, write_json
from xtalshift.metrics.ranking import RankEvidence
from xtalshift.screening.inputs import InputRecord, read_bytes
from xtalshift.screening.screener import COUNTS, Screened, Sources
from xtalshift.screening.settings import ScreenSettings
from xtalshift.screening.top import Floor

SUMMARY_FILE = "screen.json"
TOP_FILE = "top.csv"
KIND = "xtalshift-screen"
SCHEMA_VERSION = 4
"""Version 2 has checksums in the journal; in version 3 equal probabilities are ranked; version 4
has more about the best rows."""
_PARTS, _STATE = "parts", "checkpoint"
_PACKAGES = ("xtalshift", "numpy", "pandas", "pyarrow", "scikit-learn", "torch")
_SHOWN = 3
_MAX_SHOWN = 40


@dataclass(frozen=True)
class Header:
    """Values that identify a screening; one with another header is not continued."""

    model_sha256: str
    """Hash of all files of the model."""
    inputs: list[InputRecord]
    """The inputs in order."""
    settings: ScreenSettings
    """Settings of the screening."""
    versions: dict[str, str]
    """Versions of the packages that the output depends on."""
    stability_sha256: str | None = None
    """Hash of all files of the model of formation energies."""
    stability_table: InputRecord | None = None
    """Table of known formation energies."""
    ranking: RankEvidence | None = None
    """How well the model ranks rows that it was not trained on, as it was saved."""
    structure_files: InputRecord | None = None
    """The files of structures that cells of the inputs name."""

    @classmethod
    def of(
        cls,
        sources: Sources,
        inputs: list[InputRecord],
        settings: ScreenSettings,
        structure_files: InputRecord | None = None,
    ) -> Self:
        """Return the header of a screening.

        Raises
        ------
        ModelFormatError
            If a folder of `sources` holds no model.
        DataError
            If its table cannot be read.
        """
        from xtalshift.model.description import saved_ranking

        table = sources.stability_table
        return cls(
            _hash_model(sources.model),
            inputs,
            settings,
            {name: importlib.metadata.version(name) for name in _PACKAGES},
            None if sources.stability is None else _hash_model(sources.stability),
            None if table is None else InputRecord.of(table),
            saved_ranking(sources.model),
            structure_files,
        )

    def to_dict(self) -> Plain:
        """Return plain values."""
        inputs = [_plain_input(one) for one in self.inputs]
        stability = {"stability_sha256": self.stability_sha256} if self.stability_sha256 else {}
        table = {"stability_table": asdict(self.stability_table)} if self.stability_table else {}
        files = self.structure_files
        named = {"structure_files": _plain_input(files)} if files else {}
        return {
            "kind": KIND,
            "schema_version": SCHEMA_VERSION,
            "model_sha256": self.model_sha256,
            **stability,
            **table,
            "inputs": inputs,
            **named,
            "settings": self.settings.to_dict(),
            "versions": self.versions,
            "ranking": None if self.ranking is None else _plain_ranking(self.ranking),
        }


@dataclass(frozen=True)
class ScreenSummary:
    """Result of a screening, as in ``screen.json``."""

    counts: dict[str, int]
    """Numbers of rows: all, ``ok``, ``errors``, ``duplicates``, ``in_domain`` and ``clipped``; and
    of those that were refused, when they would have been among the best, as ``implausible`` or as
    ``above_hull``."""
    chunks: int
    """Number of blocks."""
    seconds: float
    """Time of all sessions together."""
    rows_per_second: float | None
    """Mean rate."""
    ranking: RankEvidence | None = None
    """How well the model ranks rows that it was not trained on."""

    def require_some(self, out: Path) -> None:
        """Raise `DataError` if there are rows, and none could be predicted."""
        if self.counts["rows"] and not self.counts["ok"]:
            raise DataError(
                f"no row could be predicted; the column 'reason' of {out}/parts says why"
            )


@dataclass(frozen=True)
class _Chunk:
    """A line of the journal: a finished block."""

    chunk: int
    end: tuple[int, int]
    seconds: float
    counts: dict[str, int]
    bytes: int  # of its part; 0 if it has none
    part_crc32: int
    hashes: int  # number of hashes of this block
    hashes_crc32: int
    top: int | None  # the last block that changed the table of the best rows
    top_crc32: int  # of this table
    floor: tuple[str, str] | None  # what its rows had to be better than; text, as it may be inf


class ScreenStore:
    """The finished blocks of a screening; only one process at a time can write.

    The first line of the journal is the header, and each other line is a finished block. A block
    counts as finished when its line is complete. Its part, its hashes and the table of the best
    rows are written before the line; if the process is killed in between, they are written again.
    A later session checks the files that it relies on. If hashes or best rows are missing or
    altered, it raises an error; if a part is, it starts again from the first block.

    Attributes
    ----------
    chunks, rows : int
        Numbers of finished blocks and of their rows.
    end : tuple of (int, int)
        Position in the inputs after the finished blocks.
    seconds : float
        Time spent on the finished blocks.
    counts : dict of int
        Sums of the counts of the finished blocks.
    floor : Floor or None
        `Block.floor` of the last finished block.
    """

    def __init__(self, folder: Path, header: Header) -> None:
        self.folder = folder
        self._header = json.loads(json.dumps(header.to_dict()))
        self._ranking = header.ranking
        self._state = folder / _STATE
        self._journal = self._state / "journal.jsonl"
        self.chunks = self.rows = 0
        self._hashes: list[tuple[int, int]] = []  # number and checksum by block
        self._top: tuple[int | None, int] = (None, 0)
        self.floor: Floor | None = None
        self.end = (0, 0)
        self.seconds = 0.0
        self.counts = dict.fromkeys(COUNTS, 0)

    @classmethod
    @contextmanager
    def open(cls, folder: Path, header: Header, *, overwrite: bool = False) -> Iterator[Self]:
        """Lock a folder, and read its finished blocks or start a new screening.

        Raises `ConfigError` if another process writes there or the folder holds another screening,
        and `DataError` if it holds something else or cannot be written. `overwrite` removes an
        earlier screening.
        """
        with lock_folder(folder):
            store = cls(folder, header)
            if overwrite:
                with explained(folder):
                    store._clear()
            elif not store._journal.exists():
                results = (folder / TOP_FILE, folder / SUMMARY_FILE)
                parts = (folder / _PARTS).glob("[!.]*")  # not what a killed writer left
                taken = next((path for path in (*results, *parts) if path.exists()), None)
                if taken:
                    raise DataError(
                        f"{folder} holds {taken.relative_to(folder)} but no screening to continue; "
                        "choose another -o DIR, or give --overwrite to replace it"
                    )
            with explained(folder):
                store._read()
            yield store

    @property
    def summary(self) -> ScreenSummary | None:
        """The summary, if ``screen.json`` is whole and about all finished blocks."""
        try:
            found = read_json(self.folder / SUMMARY_FILE)
        except DataError:
            return None
        summary = self._summarise()
        return summary if found == self._plain(summary) else None

    def read_hashes(self) -> NDArray[np.uint64]:
        """Return the hashes of all finished blocks.

        Raises
        ------
        DataError
            If they are missing, truncated or altered.
        """
        path = self._state / "hashes.u64"
        content = path.read_bytes() if path.exists() else b""
        end = 0
        for number, checksum in self._hashes:
            begin, end = end, end + 8 * number
            if zlib.crc32(content[begin:end]) != checksum or len(content) < end:
                raise DataError(
                    f"{path} is missing or was altered, so repeated materials cannot be found; "
                    "give --overwrite to start again"
                )
        if len(content) > end:
            with explained(path):
                os.truncate(path, end)
        return np.frombuffer(content[:end], dtype="<u8").astype(np.uint64)

    def read_top(self) -> pa.Table | None:
        """Return the best rows of all finished blocks.

        Raises
        ------
        DataError
            If they are missing or altered.
        """
        number, checksum = self._top
        if number is None:
            return None
        path = self._top_file(number)
        content = path.read_bytes() if path.exists() else b""
        if zlib.crc32(content) != checksum:
            raise DataError(
                f"{path} is missing or was altered, so the best rows are unknown; give "
                "--overwrite to start again"
            )
        return pq.read_table(pa.BufferReader(content))

    def add(
        self,
        screened: Screened,
        end: tuple[int, int],
        seconds: float,
        *,
        hashes: NDArray[np.uint64] | None = None,
        top: pa.Table | None = None,
        floor: Floor | None = None,
    ) -> None:
        """Write the next block, hashes of its new materials, and the best rows if they changed.

        `end` is the position in the inputs after the block, `seconds` the time spent on it, `floor`
        that of the block. Raises `DataError` if the folder cannot be written, for instance because
        the disk is full.
        """
        data = b"" if hashes is None else hashes.astype("<u8").tobytes()
        table = b""
        with explained(self.folder):
            if screened.part is not None:
                replace_file(self._part(self.chunks), screened.part)
            if data:
                append(self._state / "hashes.u64", data)
            if top is not None:
                sink = pa.BufferOutputStream()
                pq.write_table(top, sink, compression="zstd")
                table = sink.getvalue().to_pybytes()
                replace_file(self._top_file(self.chunks), table)
            part = screened.part or b""
            chunk = _Chunk(
                self.chunks,
                end,
                round(seconds, 3),
                screened.counts,
                len(part),
                zlib.crc32(part),
                len(data) // 8,
                zlib.crc32(data),
                *((self.chunks, zlib.crc32(table)) if table else self._top),
                None if floor is None else (repr(floor.key), repr(floor.tie)),
            )
            self._append(asdict(chunk))
            if table and self._top[0] is not None:
                self._top_file(self._top[0]).unlink(missing_ok=True)
        self._count(chunk)

    def finish(self, top: bytes | None) -> ScreenSummary:
        """Write the table of the best rows and, last, the summary."""
        if top is not None:
            replace_file(self.folder / TOP_FILE, top)
        summary = self._summarise()
        write_json(self.folder / SUMMARY_FILE, self._plain(summary))
        return summary

    def _summarise(self) -> ScreenSummary:
        rate = round(self.rows / self.seconds, 1) if self.seconds else None
        ranking = self._ranking
        return ScreenSummary(self.counts, self.chunks, round(self.seconds, 3), rate, ranking)

    def _plain(self, summary: ScreenSummary) -> Plain:
        host = {"seconds": summary.seconds, "rows_per_second": summary.rows_per_second}
        counts = {"counts": summary.counts, "chunks": summary.chunks}
        return {**self._header, **counts, "host": host}

    def _top_file(self, number: int) -> Path:
        return self._state / f"top-{number:06d}.parquet"

    def _part(self, number: int) -> Path:
        return self.folder / _PARTS / f"part-{number:06d}.parquet"

    def _read(self) -> None:
        for place in (self.folder / _PARTS, self._state):
            place.mkdir(exist_ok=True)
            for left in place.glob(".*.part"):
                left.unlink()
        lines = self._journal.read_bytes().split(b"\n")[:-1] if self._journal.exists() else []
        written = (*(self.folder / _PARTS).iterdir(), *self.folder.glob(SUMMARY_FILE))
        if len(lines) == 1 and not written:
            lines = []  # it failed before its first block: it may be another screening
        chunks = self._chunks(lines) if lines else []
        # without lines a kill came before the header was written
        if not lines or not all(self._is_whole(chunk) for chunk in chunks):
            self._clear()
            self._append(self._header)
            return
        for chunk in chunks:
            self._count(chunk)
        used = self._top[0]
        for top in self._state.glob("top-*.parquet"):
            if used is None or top != self._top_file(used):  # a kill came before its removal
                top.unlink()
        os.truncate(self._journal, sum(len(line) + 1 for line in lines))

    def _chunks(self, lines: list[bytes]) -> list[_Chunk]:
        """Return the records of the blocks; raise if they are damaged or of another screening."""
        again = "give --overwrite to start again"
        (_, found), *records = decode_lines(lines, self._journal, again)
        if not isinstance(found, dict) or found.get("kind") != KIND:
            raise DataError(f"{self._journal} is not the journal of a screening")
        _check_same(found, self._header, self.folder)
        chunks = [parse(_Chunk, record, where, again) for where, record in records]
        for number, chunk in enumerate(chunks):
            if chunk.chunk != number:
                raise DataError(f"{self._journal} is damaged (block {number} is missing); {again}")
        return chunks

    def _is_whole(self, chunk: _Chunk) -> bool:
        part = self._part(chunk.chunk)
        if not chunk.bytes:
            return True
        return part.is_file() and zlib.crc32(part.read_bytes()) == chunk.part_crc32

    def _count(self, chunk: _Chunk) -> None:
        self.chunks = chunk.chunk + 1
        self.end = chunk.end
        self.seconds += chunk.seconds
        self._hashes.append((chunk.hashes, chunk.hashes_crc32))
        self._top = (chunk.top, chunk.top_crc32)
        self.floor = None if chunk.floor is None else Floor(*map(float, chunk.floor))
        self.counts = {name: n + chunk.counts[name] for name, n in self.counts.items()}
        self.rows = self.counts["rows"]

    def _append(self, values: Plain) -> None:
        append(self._journal, encode_line(values))

    def _clear(self) -> None:
        (self.folder / SUMMARY_FILE).unlink(missing_ok=True)
        (self.folder / TOP_FILE).unlink(missing_ok=True)
        for path in (self.folder / _PARTS).glob("part-*.parquet"):
            path.unlink()
        for path in self._state.glob("*"):
            path.unlink()


def _hash_model(folder: Path) -> str:
    """Return the hash of all files of a saved model; `ModelFormatError` if it is none."""
    if not any((folder / name).exists() for name in ("model.json", "models.json")):
        raise ModelFormatError(
            f"{folder} is not a saved model: there is no model.json. Name the folder that "
            "`xtalshift train` wrote, or model/ in that of `run`"
        )
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        for block in read_bytes(path):
            digest.update(block)
    return digest.hexdigest()


def _plain_input(record: InputRecord) -> Plain:
    return {key: value for key, value in asdict(record).items() if value is not None}


def _plain_ranking(ranking: RankEvidence) -> Plain:
    sides = {"highest": ranking.highest, "lowest": ranking.lowest}
    return {**asdict(ranking), **{name: found._asdict() for name, found in sides.items()}}


def _check_same(found: object, wanted: object, folder: Path) -> None:
    """Raise `ConfigError` unless the screening in `folder` has the wanted header."""
    differ = list(_differences(found, wanted, ""))
    if differ:
        more = f" and {len(differ) - _SHOWN} more" if len(differ) > _SHOWN else ""
        raise ConfigError(
            f"{folder} holds another screening ({'; '.join(differ[:_SHOWN])}{more}); choose "
            "another -o DIR, or give --overwrite to start again"
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
