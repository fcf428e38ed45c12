"""JSON files: written at once or not at all, with null for numbers that are not finite."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from xtalshift.errors import DataError

Plain = dict[str, Any]
"""An object as JSON holds it."""


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
