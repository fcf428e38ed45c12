"""JSON files and typed records: written at once or not at all, null for non-finite numbers."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from xtalshift.errors import DataError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "Plain", "finite", "parse", "read_json", "read_object", "replace_file", "to_json", "write_json",
]  # fmt: skip

Plain = dict[str, Any]
"""An object as JSON holds it."""

T = TypeVar("T")


def write_json(path: Path, values: Any) -> None:
    """Write JSON atomically, non-finite numbers as null."""
    text = json.dumps(finite(values), indent=1, ensure_ascii=False, allow_nan=False)
    replace_file(path, (text + "\n").encode())


def replace_file(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)  # noqa: PTH105 - Path.replace returns a path nobody needs


def read_json(path: Path) -> Any:
    """Return the values of a JSON file; `DataError` if it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}); give --overwrite to begin anew") from error


def finite(values: Any) -> Any:
    """Return nested values as JSON can hold them: numbers that are not finite become None."""
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
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror}; give the folder that `xtalshift {command}` "
            "wrote"
        ) from error
    except ValueError as error:
        raise DataError(
            f"{path} is not valid JSON ({error}); repeat the same `xtalshift {command}` command"
        ) from error
    return dict(finite(values)) if isinstance(values, dict) else {}


def parse(kind: type[T], values: Plain, path: Path) -> T:
    """Turn a JSON object into a dataclass; keys that the dataclass lacks are ignored.

    Raises
    ------
    DataError
        If a key is missing or its value has the wrong type; the message names the first one.
    """
    from pydantic import TypeAdapter, ValidationError  # half of the start-up of small commands

    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        what = f"has no {key!r}" if first["type"] == "missing" else f"{key!r}: {first['msg']}"
        raise DataError(f"{path} {what}; repeat the command that wrote it") from error


def to_json(payload: DataclassInstance) -> Plain:
    """Return a payload as JSON holds it: plain values, None for numbers that are not finite."""
    return dict(finite(asdict(payload)))
