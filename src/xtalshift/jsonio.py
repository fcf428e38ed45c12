"""JSON files, with null for non-finite numbers, and typed records."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from xtalshift.errors import DataError
from xtalshift.files import replace_file

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from pydantic import TypeAdapter

Plain = dict[str, Any]
"""A JSON object."""

T = TypeVar("T")
_DEEPEST = 100
_CHECKSUM = b',"crc32":'
_REPEAT = "repeat the command that wrote it"


def write_json(path: Path, values: Any) -> None:
    """Write a JSON file completely or not at all, with null for non-finite numbers."""
    text = json.dumps(finite(values), indent=1, ensure_ascii=False, allow_nan=False)
    replace_file(path, text + "\n")


def decode_json(
    text: str | bytes, where: object, remedy: str = _REPEAT, *, once: bool = False
) -> Any:
    """Decode JSON that may be damaged or malicious.

    Parameters
    ----------
    text : str or bytes
        The JSON; bytes are UTF-8.
    where, remedy : object, str
        Used in the message: the file (and line), and what to do.
    once : bool
        Whether a name that an object has twice is an error; else the last one counts.

    Raises
    ------
    DataError
        If it is not JSON, or nested deeper than 100 levels.
    """
    try:
        values = json.loads(text, object_pairs_hook=_once if once else None)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is damaged ({error}); {remedy}") from error
    level = [values]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return values
    raise DataError(f"{where} is damaged (nested deeper than {_DEEPEST} levels); {remedy}")


def _once(pairs: list[tuple[str, Any]]) -> Plain:
    found: Plain = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[:100]!r} is given twice")
        found[name] = value
    return found


def encode_line(values: Plain) -> bytes:
    """Return an object as a line of a journal, which ends with the checksum of what precedes it."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    body = text.encode()[:-1]
    return b"%b%b%d}\n" % (body, _CHECKSUM, zlib.crc32(body))


def decode_lines(
    lines: Iterable[bytes], path: Path, remedy: str = _REPEAT
) -> Iterator[tuple[str, Any]]:
    """Yield the place, for messages, and the values of each line of a journal.

    Raises
    ------
    DataError
        At a line that is not JSON or not as it was written. The lines of earlier versions have no
        checksum; if the first line has one, all must.
    """
    checked = False
    for number, line in enumerate(lines, start=1):
        where = f"{path}, line {number}"
        body, mark, checksum = line.rpartition(_CHECKSUM)
        if (mark or checked) and checksum.rstrip() != b"%d}" % zlib.crc32(body):
            raise DataError(f"{where} is damaged (its checksum is that of other content); {remedy}")
        values = decode_json(line, where, remedy)
        if mark:
            del values["crc32"]
        checked = checked or (number == 1 and bool(mark))
        yield where, values


def read_json(path: Path) -> Any:
    """Return the values of a JSON file; `DataError` if it cannot be read or is damaged."""
    again = "give --overwrite to start again"
    try:
        return decode_json(path.read_bytes(), path, again)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; {again}") from error


def finite(values: Any) -> Any:
    """Return nested values for JSON, with None in place of numbers that are not finite."""
    if isinstance(values, float):
        return values if math.isfinite(values) else None
    if isinstance(values, dict):
        return {str(key): finite(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [finite(value) for value in values]
    return values


def read_object(path: Path, command: str) -> Plain:
    """Read a JSON object with None in place of numbers that are not finite.

    Parameters
    ----------
    path : Path
        File that the command wrote.
    command : str
        ``"run"`` or ``"benchmark"``, for messages.

    Raises
    ------
    DataError
        If the file is missing or is not JSON.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror}; give the folder that `xtalshift {command}` "
            "wrote"
        ) from error
    values = decode_json(content, path, f"repeat the same `xtalshift {command}` command")
    return dict(finite(values)) if isinstance(values, dict) else {}


def parse(kind: type[T], values: object, where: object, remedy: str = _REPEAT) -> T:
    """Turn a JSON object into a dataclass; keys that the dataclass lacks are ignored.

    Raises
    ------
    DataError
        If a key is missing or its value has the wrong type; the message names the first one.
    """
    from pydantic import ValidationError  # half of the start-up time of small commands

    try:
        found: T = _adapter(kind).validate_python(values)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        named = f"{key!r}: {first['msg']}" if key else first["msg"]
        what = f"has no {key!r}" if first["type"] == "missing" else f"is damaged ({named})"
        raise DataError(f"{where} {what}; {remedy}") from error
    return found


def to_json(payload: DataclassInstance) -> Plain:
    """Return a payload as plain JSON values, with None for numbers that are not finite."""
    return dict(finite(asdict(payload)))


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
