"""What a screening is: its settings, and what must be equal for it to be continued."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from xtalshift.config import Settings
from xtalshift.errors import ConfigError, ModelFormatError
from xtalshift.metrics.checks import check_level

__all__ = ["Keep", "Rank", "ScreenSettings", "TopSettings", "check_header", "make_header"]

Rank = Literal["prediction", "probability", "lower", "upper", "uncertainty"]
Keep = Literal["all", "ok", "top"]

KIND = "xtalshift-screen"
SCHEMA_VERSION = 1
_PACKAGES = ("xtalshift", "numpy", "pandas", "pyarrow", "scikit-learn", "torch")
_BLOCK = 1 << 20


class TopSettings(Settings):
    """Which rows stand in the table of the best.

    Attributes
    ----------
    k : int
        How many; of equal rows the earlier ones.
    by : {"prediction", "probability", "lower", "upper", "uncertainty"}
        By the prediction, the probability to lie beyond `threshold`, an end of the interval, or the
        standard deviation.
    lowest : bool
        The lowest instead of the highest; of probabilities, those to lie below the threshold.
    threshold : float, optional
        In the unit of the target; for probabilities only.
    in_domain : bool
        Only rows in the domain of the model.
    max_ood : float, optional
        Only rows of at most this OOD score.
    """

    k: int = Field(ge=1)
    by: Rank = "prediction"
    lowest: bool = False
    threshold: float | None = Field(default=None, allow_inf_nan=False)
    in_domain: bool = False
    max_ood: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _check_threshold(self) -> Self:
        if (self.by == "probability") != (self.threshold is not None):
            raise ValueError("by = 'probability' and threshold go together: give both or neither")
        return self


class ScreenSettings(Settings):
    """Everything that the result depends on beside the model and the rows.

    Attributes
    ----------
    level : float
        Of the intervals.
    intervals : {"plain", "family"}
        One calibration, or one per chemical family.
    formula_col : str, optional
        Column of the formulas; by default found by its name.
    hydrates : {"refuse", "expand"}, optional
        By default as the model was trained.
    distinct : bool
        Predict each material once: a row whose reduced formula (and values of the model's feature
        columns) an earlier row has becomes ``status = "duplicate"``.
    keep : {"all", "ok", "top"}
        Which rows are written: all in order, those with a prediction, or only the best.
    top : TopSettings, optional
        The table of the best.
    chunk_rows : int
        Rows predicted at once; a unit of work and one file of the output.
    limit_rows : int, optional
        Stop after so many rows.
    threads : int
        Threads per process; results depend on it in the last digits.
    device : str
        Where a network predicts.
    """

    level: float = 0.9
    intervals: Literal["plain", "family"] = "plain"
    formula_col: str | None = None
    hydrates: Literal["refuse", "expand"] | None = None
    distinct: bool = False
    keep: Keep = "all"
    top: TopSettings | None = None
    chunk_rows: int = Field(default=20_000, ge=1, le=1_000_000)
    limit_rows: int | None = Field(default=None, ge=1)
    threads: int = Field(default=1, ge=1)
    device: str = "auto"

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_level(self.level)
        if self.keep == "top" and self.top is None:
            raise ValueError("keep = 'top' needs the number of rows to keep: top.k (--top)")
        return self


def make_header(
    model: Path, inputs: list[dict[str, Any]], settings: ScreenSettings
) -> dict[str, Any]:
    """Return what tells a screening from any other one, as plain values.

    Parameters
    ----------
    model : Path
        Folder of a saved model.
    inputs : list of dict
        One description per input, see `xtalshift.screening.sources.Inputs.describe`.
    settings : ScreenSettings
        Settings.

    Raises
    ------
    ModelFormatError
        If there is no model.
    """
    files = sorted(path for path in model.glob("*") if path.is_file())
    if not (model / "model.json").exists():
        raise ModelFormatError(
            f"{model} is not a saved model: there is no model.json. Name the folder that "
            "`xtalshift train` wrote, or model/ in that of `run`"
        )
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0")
        for block in read_blocks(path):
            digest.update(block)
    return {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        "model_sha256": digest.hexdigest(),
        "inputs": inputs,
        "settings": settings.to_dict(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def check_header(found: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    """Raise `ConfigError` unless the screening begun in `folder` is the wanted one."""
    differ = list(_differences(found, wanted, ""))
    if differ:
        more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""  # noqa: PLR2004
        raise ConfigError(
            f"{folder} holds another screening ({'; '.join(differ[:3])}{more}); choose another "
            "-o DIR, or give --overwrite to begin anew"
        )


def read_blocks(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file in pieces."""
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            yield block


def _differences(found: Any, wanted: Any, name: str) -> Iterator[str]:
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


def _short(value: Any) -> str:
    if value is None:
        return "not given"
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."  # noqa: PLR2004 - a hash
