"""From what a client asks to the settings of a job; what names a file or runs one is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from xtalshift.benchmark.plugins import split_own
from xtalshift.config import Settings, set_nested
from xtalshift.data.settings import DataConfig, ReadingOptions
from xtalshift.errors import UsageError
from xtalshift.featurize.blocks import PRETRAINED, kind_of
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.jsonio import Plain
from xtalshift.parallel import count_cores
from xtalshift.web.job_requests import Inputs, LabelledRequest, Request, RunRequest, TrainRequest

_READING = {
    "formula_col", "structure_col", "composition_columns", "encoding", "sheet",
}  # fmt: skip
_NO_FILES = {
    *_READING,  # of a screening, which has no group of them
    *(f"data.{name}" for name in _READING),
    *("data.target", "data.id_col", "data.weight_col", "data.uncertainty_col", "data.unit"),
    *("data.class_order", "data.feature_cols", "data.features", "targets"),
    *("fidelity.column", "fidelity.values", "split.family", "split.relation_flag"),
    *("methods", "method", "judge.methods", "judge.proxies", "device"),
    *("cal", "cal.preset", "network.architecture"),
}
"""Settings of free text that never name a file of the server: names of columns, and what is looked
up among names that there are. Those with another use too are checked by their values, see
`_refuse_files`. All others are refused, so that a new setting is judged before a request has it."""
_FREE = (str, bytes, PurePath)
_DEEPEST = 8
"""Groups of a name of a setting: `set_nested` makes one for each dot."""


def run_config(asked: LabelledRequest, inputs: Inputs) -> RunConfig:
    """Return the settings of a run or a training.

    Raises
    ------
    UsageError
        If one is unknown, wrong, or names a file.
    """
    values = _nested(asked.settings)
    own: dict[str, object] = {
        "data.dataset": inputs.table,
        "data.structures": inputs.structures,
        "data.target": asked.target,
        "data.unit": asked.unit,
        "candidates": inputs.candidates if isinstance(asked, RunRequest) else None,
    }
    if isinstance(asked, TrainRequest):
        own["methods"] = [asked.method]
    _refuse_files(values, RunConfig)
    _refuse_files({"methods": own.get("methods")}, RunConfig)
    for name, value in own.items():
        if value is not None:
            set_nested(values, name.split("."), value)
    config = RunConfig.from_dict(values)
    return config.model_copy(update={"threads": config.threads or count_cores()})


def data_config(
    asked: LabelledRequest, inputs: Inputs, *others_of: type[Settings]
) -> tuple[DataConfig, Plain]:
    """Return the settings of a table, and those of `others_of`; errors as in `run_config`."""
    data, others = _data(asked, inputs, *others_of)
    own = {"dataset": inputs.table, "target": asked.target, "unit": asked.unit}
    data |= {name: value for name, value in own.items() if value is not None}
    return DataConfig.from_dict(data), others


def reading(
    asked: Request, inputs: Inputs, *others_of: type[Settings]
) -> tuple[ReadingOptions, Plain]:
    """Return how a table without a target is read, and the others, as `data_config` does."""
    data, others = _data(asked, inputs, *others_of)
    return ReadingOptions.from_dict(data), others


def _data(asked: Request, inputs: Inputs, *others_of: type[Settings]) -> tuple[Plain, Plain]:
    """Return the settings of the group ``data``, and the others."""
    values = _nested(asked.settings)
    _refuse_files(values, _DataGroup, *others_of)
    data = values.pop("data", {})
    if not isinstance(data, dict):
        raise UsageError('\'data\' is a group of settings, such as {"data": {"strict": true}}')
    if inputs.structures is not None:
        data["structures"] = inputs.structures
    return data, values


def only_reading(others: Plain) -> None:
    """Refuse settings beside those of the table.

    Raises
    ------
    UsageError
        If there is any.
    """
    for name in others:
        raise UsageError(f"unknown setting {name!r}, known: those of the table, such as data.unit")


class _DataGroup(Settings):
    data: DataConfig = DataConfig()


def _nested(settings: dict[str, Any]) -> Plain:
    values: Plain = {}
    for name, value in settings.items():
        keys = name.split(".")
        if len(keys) > _DEEPEST:
            raise UsageError(f"unknown setting {name[:100]!r}; names are such as data.formula_col")
        set_nested(values, keys, value)
    return values


def _refuse_files(values: Plain, *kinds: type[Settings]) -> None:
    """Raise `UsageError` if settings of some kinds may name a file of the server, or code to run.

    Unknown settings are none of its concern: those who read the settings refuse them, with a hint.
    """
    refused = {name for kind in kinds for name in free_texts(kind)} - _NO_FILES
    for name, value in _pairs(values, ""):
        if value is not None and name in refused:
            raise UsageError(
                f"setting {name!r} names a file, and a request cannot; send the table instead "
                "(`table`, `structures`, `candidates`, `source`)"
            )
        if isinstance(value, str) and split_own(value) is not None:
            raise UsageError(f"setting {name!r} = {value[:100]!r}: a request cannot run a file")
        if isinstance(value, str) and PRETRAINED in value:
            for block in value.split("+"):
                if kind_of(block) == PRETRAINED and block != PRETRAINED:
                    raise UsageError(f"setting {name!r}: a request cannot name a folder: {block!r}")


def free_texts(kind: type[BaseModel], group: str = "") -> Iterator[str]:
    """Yield the names, with dots, of the settings that may be any text."""
    for name, field in kind.model_fields.items():
        for one in {name, field.alias or name}:
            groups = [part for part in _parts(field.annotation) if issubclass(part, BaseModel)]
            for inner in groups:
                yield from free_texts(inner, f"{group}{one}.")
            if not groups and any(issubclass(part, _FREE) for part in _parts(field.annotation)):
                yield f"{group}{one}"


def _parts(annotation: Any) -> Iterator[type]:
    """Yield the classes in an annotation: of text that is one of some choices there is none."""
    if get_origin(annotation) is Literal:
        return
    if annotation is Any:
        yield str
    elif isinstance(annotation, type) and not get_args(annotation):
        yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def _pairs(values: object, name: str) -> Iterator[tuple[str, object]]:
    """Yield the dotted name and the value of everything in nested settings."""
    yield name, values
    if isinstance(values, dict):
        for key, value in values.items():
            yield from _pairs(value, f"{name}.{key}".lstrip("."))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _pairs(value, name)
