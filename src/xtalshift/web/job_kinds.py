"""What a client may ask for: the settings of each command, and what its process then does.

What is asked names no files of the server: tables are those that were sent, or of the catalogue,
and models those of the shelf. Settings that would name a file or run one are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import Field

from xtalshift.benchmark.plugins import split_own
from xtalshift.config import Settings, set_nested
from xtalshift.data.settings import DataConfig
from xtalshift.errors import UsageError
from xtalshift.featurize.blocks import PRETRAINED, kind_of
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.jsonio import Plain, finite, write_json
from xtalshift.model.several_folder import holds_several
from xtalshift.parallel import count_cores, limited_threads, make_executor
from xtalshift.progress import Progress
from xtalshift.web.job_store import DIGEST, MODEL, RESULT

_PLACES = {"dataset", "structures", "candidates", "relation_file"}
"""Settings that name a file; requests have fields for those that can be sent."""


class TableRequest(Settings):
    """What all requests about a table have in common."""

    table: str | None = None
    """Id of a table that was sent to /api/v1/tables, or name of a data set; not needed if the table
    is a part of this request."""
    target: str | None = None
    """Column to predict."""
    unit: str | None = None
    """Unit of the target."""
    settings: dict[str, Any] = Field(default={})
    """Other settings, by the names of `--set` and of the configuration file, nested or with dots:
    ``{"seed": 1, "data.formula_col": "compound"}``."""


class CheckRequest(TableRequest):
    """Say what of a table is read as what, and what is odd, as ``xtalshift check --fix`` does."""


class TrainRequest(TableRequest):
    """Train a model, as ``xtalshift train`` does."""

    name: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]{0,63})?$")
    """Name of the model; by default the id of the job."""
    method: str = "auto"
    """A method of ``xtalshift train``."""
    minutes: float | None = Field(default=None, gt=0)
    """Wall minutes that a fit of auto may take."""


class RunRequest(TableRequest):
    """Compare methods, as ``xtalshift run`` does."""

    name: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]{0,63})?$")
    """Name of its model; by default the id of the job."""
    candidates: str | None = None
    """Id of a table of materials to judge."""


class AdaptRequest(TableRequest):
    """Adapt a model to the labels of a table, as ``xtalshift adapt`` does."""

    name: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]{0,63})?$")
    """Name of the new model; by default the id of the job."""
    model: str
    """Name of the model to adapt."""
    method: str = "auto"
    """A method of ``xtalshift adapt``. `settings` are those of the table (``data.``) and of the
    method."""
    source: str | None = None
    """Id of the table that the model was trained on, or name of a data set."""
    source_target: str | None = None
    """Its target column."""
    calibration_folds: int = Field(default=5, ge=0, le=1000)
    """Number of further adaptations that judge the adaptation and calibrate its intervals."""
    seed: int = Field(default=0, ge=0)
    """Seed of the adaptation."""


@dataclass(frozen=True)
class Inputs:
    """Files in the folder of a job, where its process runs, or names of data sets; and a model."""

    table: str
    candidates: str | None = None
    source: str | None = None
    model: str | None = None
    """Folder of the model."""


@dataclass(frozen=True)
class JobKind:
    """A command as a job."""

    request: type[TableRequest]
    """What a client asks."""
    check: Callable[[Any, Inputs], object]
    """Raises if a request is wrong, before any work."""
    do: Callable[[Any, Inputs, Path, Progress], Plain]
    """Does the work in the folder of the job; returns what to say of the result."""
    resumes: bool
    """Whether the same work in the same folder continues an interrupted one."""
    quick: bool = False
    """Whether it never waits for jobs of other kinds."""


def _run_config(asked: TrainRequest | RunRequest | CheckRequest, inputs: Inputs) -> RunConfig:
    """Return the settings of a run or a training.

    Raises
    ------
    UsageError
        If one is unknown, wrong, or names a file.
    """
    values = _nested(asked.settings)
    own: dict[str, object] = {
        "data.dataset": inputs.table,
        "data.target": asked.target,
        "data.unit": asked.unit,
        "candidates": inputs.candidates,
    }
    if isinstance(asked, TrainRequest):
        own["methods"] = [asked.method]
    _refuse_files([values, own.get("methods")])
    for name, value in own.items():
        if value is not None:
            set_nested(values, name.split("."), value)
    config = RunConfig.from_dict(values)
    return config.model_copy(update={"threads": config.threads or count_cores()})


def _data_config(asked: TableRequest, inputs: Inputs) -> tuple[DataConfig, Plain]:
    """Return the settings of a table, and the others; errors as in `_run_config`."""
    values = _nested(asked.settings)
    _refuse_files(values)
    data = values.pop("data", {})
    own = {"dataset": inputs.table, "target": asked.target, "unit": asked.unit}
    data |= {name: value for name, value in own.items() if value is not None}
    return DataConfig.from_dict(data), values


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
                "(`table`, `candidates`, `source`)"
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


def _check_training(asked: TrainRequest, inputs: Inputs) -> None:
    from xtalshift.jobs.train import method_to_save

    method_to_save(asked.method, _run_config(asked, inputs))


def _train(asked: TrainRequest, inputs: Inputs, folder: Path, progress: Progress) -> Plain:
    from xtalshift.jobs.train import method_to_save, train
    from xtalshift.model import save_model

    config = _one_target(_run_config(asked, inputs))
    checkpoint = folder / "checkpoint"
    trained = train(
        config,
        method_to_save(asked.method, config),
        minutes=asked.minutes,
        progress=progress,
        checkpoint=checkpoint,
    )
    save_model(trained.model, folder / RESULT / MODEL)
    checkpoint.unlink(missing_ok=True)
    return _figures(trained)


def _one_target(config: RunConfig) -> RunConfig:
    """Return settings with the name of their one target.

    Raises
    ------
    UsageError
        If they name several.
    """
    from xtalshift.data.several import settings_of_targets

    targets = settings_of_targets(config.data)
    if len(targets) > 1:
        raise UsageError(f"a job has one target; submit one for each of {', '.join(targets)}")
    return config.model_copy(update={"data": next(iter(targets.values()))})


def _adapt_settings(asked: AdaptRequest, inputs: Inputs) -> tuple[DataConfig, Any]:
    from xtalshift.cal.adaptation import AdaptConfig

    assert inputs.model is not None
    if holds_several(inputs.model):
        raise UsageError(
            f"model {asked.model!r} has several targets, and a job adapts a model of one; serve "
            "the folder of its target, or use `xtalshift adapt`"
        )
    data, others = _data_config(asked, inputs)
    if asked.method != "auto":
        return data, AdaptConfig.from_dict({"method": asked.method, **others})
    if others:
        raise UsageError(f"method auto has no settings; leave out {next(iter(others))!r}")
    return data, None


def _adapt(asked: AdaptRequest, inputs: Inputs, folder: Path, progress: Progress) -> Plain:
    from xtalshift.jobs.adapt import adapt, source_like
    from xtalshift.model import load_model, save_model

    data, config = _adapt_settings(asked, inputs)
    assert inputs.model is not None
    source = None
    if inputs.source is not None:
        source = source_like(data, inputs.source, asked.source_target)
    cores = count_cores()
    with limited_threads(1 if asked.calibration_folds and config is not None else cores):
        adapted = adapt(
            load_model(inputs.model),
            data,
            config,
            source=source,
            calibration_folds=asked.calibration_folds,
            seed=asked.seed,
            workers=cores,
            progress=progress,
        )
    save_model(adapted.model, folder / RESULT / MODEL)
    return _figures(adapted)


def _run(asked: RunRequest, inputs: Inputs, folder: Path, progress: Progress) -> Plain:
    from xtalshift.jobs.run import run
    from xtalshift.report import build_run_report, write_report
    from xtalshift.report.run.digest import digest_run

    config, out = _one_target(_run_config(asked, inputs)), folder / RESULT
    results = run(config, out, make_executor(workers=config.threads), progress=progress)
    report = build_run_report(out)
    write_report(out, report)
    write_json(out / DIGEST, digest_run(report))
    said: Plain = {"model": list(report.model), "report": "report.html"}
    if results.answer is not None:
        said["verdict"] = results.answer.verdict
    return said


def _check(asked: CheckRequest, inputs: Inputs, folder: Path, progress: Progress) -> Plain:
    from xtalshift.data.writers import write_frame
    from xtalshift.jobs.check import check_table, fix_table

    checked = check_table(_data_config(asked, inputs)[0], progress)
    fixed = fix_table(checked)
    write_frame(fixed, folder / RESULT / "fixed.csv")
    rows, bad = len(checked.table), len(checked.inspection.bad)
    reading = checked.table.reading
    found = {
        "changed": int((fixed["changed"] != "").sum()),
        "reading": dict(reading.lines()) if reading is not None else {},
        "rows": rows,
        "usable": rows - bad,
        "findings": [
            {
                "warns": one.warns,
                "kind": one.kind,
                "rows": one.count,
                "text": one.describe(),
                "examples": list(one.show()),
            }
            for one in checked.findings
        ],
        "advice": list(checked.advice),
    }
    write_json(folder / RESULT / "findings.json", found)
    return found


def _figures(result: Any) -> Plain:
    """Return the numbers of a result."""
    plain = {one.name: getattr(result, one.name) for one in fields(result)}
    scores = plain.pop("scores", None)  # those of classes
    if scores is not None:
        plain |= scores._asdict()
    numbers = {name: value for name, value in plain.items() if isinstance(value, int | float)}
    found: Plain = finite(numbers)
    return found


KINDS = {
    "check": JobKind(CheckRequest, _data_config, _check, resumes=False, quick=True),
    "train": JobKind(TrainRequest, _check_training, _train, resumes=True),
    "adapt": JobKind(AdaptRequest, _adapt_settings, _adapt, resumes=False),
    "run": JobKind(RunRequest, _run_config, _run, resumes=True),
}
"""The jobs by their commands."""

RESUMED = frozenset(name for name, kind in KINDS.items() if kind.resumes)
"""Those that continue after the server has ended."""
QUICK = frozenset(name for name, kind in KINDS.items() if kind.quick)
"""Those that never wait for others."""
