"""From what a client asks to the settings of a job; what names a file or runs one is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xtalshift.benchmark.plugins import split_own
from xtalshift.config import set_nested
from xtalshift.data.settings import DataConfig, ReadingOptions
from xtalshift.errors import UsageError
from xtalshift.featurize.blocks import PRETRAINED, kind_of
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.jsonio import Plain
from xtalshift.parallel import count_cores
from xtalshift.web.job_requests import Inputs, LabelledRequest, Request, RunRequest, TrainRequest

_PLACES = {"dataset", "structures", "candidates", "relation_file"}
"""Settings that name a file; requests have fields for those that can be sent."""


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
    _refuse_files([values, own.get("methods")])
    for name, value in own.items():
        if value is not None:
            set_nested(values, name.split("."), value)
    config = RunConfig.from_dict(values)
    return config.model_copy(update={"threads": config.threads or count_cores()})


def data_config(asked: LabelledRequest, inputs: Inputs) -> tuple[DataConfig, Plain]:
    """Return the settings of a table, and the others; errors as in `run_config`."""
    data, others = _data(asked, inputs)
    own = {"dataset": inputs.table, "target": asked.target, "unit": asked.unit}
    data |= {name: value for name, value in own.items() if value is not None}
    return DataConfig.from_dict(data), others


def reading(asked: Request, inputs: Inputs) -> tuple[ReadingOptions, Plain]:
    """Return how a table without a target is read, and the others; errors as in `run_config`."""
    data, others = _data(asked, inputs)
    return ReadingOptions.from_dict(data), others


def _data(asked: Request, inputs: Inputs) -> tuple[Plain, Plain]:
    """Return the settings of the group ``data``, and the others."""
    values = _nested(asked.settings)
    _refuse_files(values)
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


def _nested(settings: dict[str, Any]) -> Plain:
    values: Plain = {}
    for name, value in settings.items():
        set_nested(values, name.split("."), value)
    return values


def _refuse_files(values: object) -> None:
    """Raise `UsageError` if settings name a file of the server, or code to run."""
    for name, value in _pairs(values, ""):
        if name.rpartition(".")[2] in _PLACES:
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


def _pairs(values: object, name: str) -> Iterator[tuple[str, object]]:
    """Yield the dotted name and the value of everything in nested settings."""
    yield name, values
    if isinstance(values, dict):
        for key, value in values.items():
            yield from _pairs(value, f"{name}.{key}".lstrip("."))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _pairs(value, name)
