"""Records of tasks in an append-only file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from xtalshift.benchmark.records import TaskRecord
from xtalshift.errors import ConfigError, DataError
from xtalshift.files import append, explained
from xtalshift.jsonio import Plain, decode_lines, encode_line, finite
from xtalshift.progress import CONTINUE

RECORDS_FILE = "records.jsonl"
KIND = "xtalshift-benchmark"
SCHEMA_VERSION = 2
CHECKPOINT = ".checkpoint"
"""End of the names of the files in which unfinished tasks keep their state."""
_REMEDY = "remove the line to repeat its task, or give --overwrite to start again"


def describe_kept(folder: Path) -> str:
    """Return what a benchmark that was stopped can continue from, an empty text if nothing."""
    with suppress(OSError):
        begun = next(folder.glob(f"tasks/*{CHECKPOINT}"), None) is not None
        if begun or (folder / RECORDS_FILE).read_bytes().count(b"\n") > 1:  # 1: the header
            return CONTINUE
    return ""


@dataclass
class RecordStore:
    """The records of a benchmark.

    The first line is a header (versions, hashes of the data, threads); every other line is the
    record of a task. A record is appended by one write, and a line that a killed process left
    unfinished is cut off. A later record of a task replaces an earlier one.
    """

    path: Path
    """The file."""
    header: Plain
    """Values of the first line."""
    records: dict[str, TaskRecord]
    """Records by task id."""

    @classmethod
    def open(cls, folder: Path, header: Plain, *, overwrite: bool = False) -> Self:
        """Read the store of a folder, or start a new one; the caller has locked the folder.

        Parameters
        ----------
        folder : Path
            Made if it does not exist.
        header : dict
            Values that must agree for records to be comparable.
        overwrite : bool
            Whether to remove existing records.

        Raises
        ------
        ConfigError
            If the header differs; the message names what differs.
        DataError
            If the folder cannot be written or the file is damaged.
        """
        path = folder / RECORDS_FILE
        header = json.loads(json.dumps({"kind": KIND, "schema_version": SCHEMA_VERSION, **header}))
        if _is_begun(path) and not overwrite:
            found, records = read_records(path)
            _check_header(found, header, path, "choose another --out, or give --overwrite")
            _cut_torn_line(path)
            return cls(path, found, records)
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
        _append(path, header)
        return cls(path, header, {})

    def add(self, record: TaskRecord) -> None:
        """Append the record of a task."""
        plain = finite(record.to_plain())
        _append(self.path, plain)
        self.records[record.id] = TaskRecord.from_plain(plain)

    def merge(self, folder: Path) -> int:
        """Append the records of another store that this one lacks; return their number.

        Raises
        ------
        ConfigError
            If its header differs, or a task has different results there.
        DataError
            If it cannot be read.
        """
        path = folder / RECORDS_FILE if folder.is_dir() else folder
        header, records = read_records(path)
        _check_header(header, self.header, path, "they cannot be merged with those here")
        new = []
        for task, record in records.items():
            mine = self.records.get(task)
            if mine is None or (not mine.ok and record.ok):
                new.append(record)
            elif record.ok and mine.content() != record.content():
                raise ConfigError(
                    f"task {task} ({record.name}, {record.split}, seed {record.seed}) has "
                    f"different results in {path} and {self.path}: the machines do not agree. "
                    "Nothing was merged"
                )
        for record in new:
            self.add(record)
        return len(new)


def read_records(path: Path) -> tuple[Plain, dict[str, TaskRecord]]:
    """Read a store without locking it.

    Returns
    -------
    header : dict
        The first line.
    records : dict of TaskRecord
        The last record of each task by id; an unfinished last line does not count.

    Raises
    ------
    DataError
        If the file is missing, not a store, or damaged before its last line.
    """
    try:
        lines = list(_lines(path))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    found = decode_lines(lines, path, _REMEDY)
    _, header = next(found, ("", {}))
    if not isinstance(header, dict) or header.get("kind") != KIND:
        raise DataError(f"{path} holds no records of a benchmark")
    if header.get("schema_version") != SCHEMA_VERSION:
        raise DataError(
            f"{path} has schema_version {header.get('schema_version')}, this version reads "
            f"{SCHEMA_VERSION}; choose another --out"
        )
    records: dict[str, TaskRecord] = {}
    for where, values in found:
        record = TaskRecord.from_plain(values, where, _REMEDY)
        records[record.id] = record
    return header, records


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line


def _append(path: Path, values: Plain) -> None:
    append(path, encode_line(values))


def _is_begun(path: Path) -> bool:
    """Return whether a file has a header; raise if it is not a store."""
    if not path.exists():
        return False
    start = json.dumps({"kind": KIND}, separators=(",", ":"))[:-1].encode()
    text = path.read_bytes()
    if not text.startswith(start[: len(text)]):
        raise DataError(f"{path} holds no records of a benchmark; choose another --out")
    return b"\n" in text


def _cut_torn_line(path: Path) -> None:
    whole = sum(len(line) for line in _lines(path))
    if whole < path.stat().st_size:
        with explained(path), path.open("r+b") as file:
            file.truncate(whole)


def _check_header(found: Plain, wanted: Plain, path: Path, remedy: str) -> None:
    """Raise unless records are comparable; tables that only one of them has do not matter."""
    here, there = dict(wanted), dict(found)
    common = here.get("data", {}).keys() & there.get("data", {}).keys()
    for header in (here, there):
        header["data"] = {name: header["data"][name] for name in sorted(common)}
    differ = [key for key in dict.fromkeys([*here, *there]) if here.get(key) != there.get(key)]
    if differ:
        if "data" in differ:  # their folds differ too, then
            changed = [name for name in common if here["data"][name] != there["data"][name]]
            pairs = f"data: {', '.join(map(repr, sorted(changed)))} had other rows or structures"
        else:
            pairs = "; ".join(
                f"{key}: {there.get(key)} there, {here.get(key)} here" for key in differ
            )
        raise ConfigError(
            f"{path} holds records that cannot be compared with these ({pairs}); {remedy}"
        )
