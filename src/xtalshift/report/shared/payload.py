"""Data of a page: JSON to typed records, typed records to JSON, and the score that all share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from pydantic import TypeAdapter, ValidationError

from xtalshift.errors import DataError
from xtalshift.jsonio import finite

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "DUMMY",
    "Host",
    "Json",
    "Provenance",
    "Score",
    "list_facts",
    "parse",
    "read_object",
    "to_json",
]

Json: TypeAlias = Mapping[str, object]
"""A JSON object that is shown as it is, such as all settings of a run."""

DUMMY = "dummy"
"""Method that predicts the mean of the training targets."""

T = TypeVar("T")


def read_object(path: Path, command: str) -> dict[str, object]:
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


def parse(kind: type[T], values: Json, path: Path) -> T:
    """Turn a JSON object into a dataclass; keys that the dataclass lacks are ignored.

    Raises
    ------
    DataError
        If a key is missing or its value has the wrong type; the message names the first one.
    """
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        what = f"has no {key!r}" if first["type"] == "missing" else f"{key!r}: {first['msg']}"
        raise DataError(f"{path} {what}; repeat the command that wrote it") from error


def to_json(payload: DataclassInstance) -> dict[str, object]:
    """Return a payload as JSON holds it: plain values, None for numbers that are not finite."""
    return dict(finite(asdict(payload)))


@dataclass(frozen=True)
class Host:
    """Machine on which the results were computed."""

    platform: str | None = None
    peak_memory_mib: float | None = None
    time: str | None = None


@dataclass(frozen=True)
class Provenance:
    """Part of the provenance of results that a page lists by name."""

    device: str | None = None
    threads: int | None = None
    host: Host = field(default_factory=Host)
    python: str | None = None
    versions: Json = field(default_factory=dict)


def list_facts(first: Json, provenance: Provenance) -> list[tuple[str, str]]:
    """Return named facts, those of `first` before the provenance, without empty ones."""
    memory = provenance.host.peak_memory_mib
    facts = {
        **first,
        "device": provenance.device,
        "threads": provenance.threads,
        "machine": provenance.host.platform,
        "peak memory": None if memory is None else f"{memory:,.0f} MiB",
        "time": provenance.host.time,
        "Python": provenance.python,
        "versions": ", ".join(f"{name} {text}" for name, text in provenance.versions.items()),
    }
    return [(name, str(value)) for name, value in facts.items() if value not in {None, ""}]


@dataclass(frozen=True, kw_only=True)
class Score:
    """Means over seeds (and folds) for one method on one set of test rows; None if unknown.

    `mae`, `mae_sd` (over seeds) and `rmse` have the unit of the target. OOD rows have `id_mae`, the
    error on the ID rows of the same split, and `gap`, the ratio of `mae` to it. `seconds` is the
    time of one fit, `failed` counts failed runs.
    """

    mae: float | None = None
    mae_sd: float | None = None
    rmse: float | None = None
    r2: float | None = None
    mae_over_dummy: float | None = None
    mae_over_dummy_sd: float | None = None
    id_mae: float | None = None
    gap: float | None = None
    seconds: float | None = None
    failed: int = 0

    def describe(self) -> str:
        """Return ``mae (mae_over_dummy)`` for a table of text; an empty text without an error."""
        if self.mae is None:
            return ""
        ratio = "" if self.mae_over_dummy is None else f" ({self.mae_over_dummy:.2f})"
        return f"{self.mae:.4g}{ratio}"
