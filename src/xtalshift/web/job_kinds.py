"""The jobs by their commands: how a request is checked, and what its process then does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from xtalshift.data.settings import DataConfig
from xtalshift.data.several import settings_of_targets
from xtalshift.errors import UsageError
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.jsonio import Plain, finite, write_json
from xtalshift.model.label_judges import CrossFit
from xtalshift.model.several_folder import holds_several
from xtalshift.parallel import count_cores, limited_threads, make_executor
from xtalshift.progress import Progress
from xtalshift.web.candidate_jobs import check_screening, check_suggesting, screen_job, suggest_job
from xtalshift.web.job_requests import (
    AdaptRequest,
    CalibrateRequest,
    CheckRequest,
    Inputs,
    Request,
    RunRequest,
    ScreenRequest,
    SuggestRequest,
    TrainRequest,
)
from xtalshift.web.job_settings import data_config, only_reading, run_config
from xtalshift.web.job_store import DIGEST, MODEL, RESULT


@dataclass(frozen=True)
class JobKind:
    """A command as a job."""

    request: type[Request]
    """What a client asks."""
    check: Callable[[Any, Inputs], object]
    """Raises if a request is wrong, before any work."""
    do: Callable[[Any, Inputs, Path, Progress], Plain]
    """Does the work in the folder of the job; returns what to say of the result."""
    resumes: bool
    """Whether the same work in the same folder continues an interrupted one."""
    quick: bool = False
    """Whether it never waits for jobs of other kinds."""


def _check_training(asked: TrainRequest, inputs: Inputs) -> None:
    from xtalshift.jobs.train import method_to_save

    config = run_config(asked, inputs)
    if config.fidelity.column is not None and len(settings_of_targets(config.data)) > 1:
        raise UsageError("fidelity.column is for one target; name it alone")
    method_to_save(asked.method, config, minutes=asked.minutes)


def _train(asked: TrainRequest, inputs: Inputs, folder: Path, progress: Progress) -> Plain:
    from xtalshift.jobs.train import method_to_save, train, train_on_fidelities
    from xtalshift.model import save_model

    config = run_config(asked, inputs)
    targets = settings_of_targets(config.data)
    if len(targets) > 1:
        return _train_several(asked, config, targets, folder, progress)
    config = config.model_copy(update={"data": next(iter(targets.values()))})
    checkpoint = folder / "checkpoint"
    method = method_to_save(asked.method, config)
    how: Any = {"minutes": asked.minutes, "progress": progress, "checkpoint": checkpoint}
    if config.fidelity.column is None:
        trained = train(config, method, **how)
        model, found = trained.model, _figures(trained)
    else:
        both = train_on_fidelities(config, method, **how)
        model, found = both.fitted.model, _figures(both.fitted)
    save_model(model, folder / RESULT / MODEL)
    checkpoint.unlink(missing_ok=True)
    return found


def _train_several(
    asked: TrainRequest,
    config: RunConfig,
    targets: dict[str, DataConfig],
    folder: Path,
    progress: Progress,
) -> Plain:
    from xtalshift.jobs.train import method_to_save
    from xtalshift.jobs.train_several import kept_of, train_several
    from xtalshift.model.several_folder import save_models

    checkpoint = folder / "checkpoint"
    trained = train_several(
        config,
        method_to_save(asked.method, config),
        targets,
        minutes=asked.minutes,
        progress=progress,
        checkpoint=checkpoint,
    )
    save_models(trained.models, folder / RESULT / MODEL)
    for kept in kept_of(checkpoint):
        kept.unlink()
    return {"targets": {name: _figures(part) for name, part in trained.parts.items()}}


def _check_calibration(asked: CalibrateRequest, inputs: Inputs) -> None:
    _labels_config(asked, inputs, data_config(asked, inputs)[1])


def _labels_config(
    asked: CalibrateRequest | AdaptRequest, inputs: Inputs, others: Plain
) -> DataConfig:
    """Return the settings of labels of a model, which name targets only if it has one."""
    only_reading(others)
    data, _ = data_config(asked, inputs)
    assert inputs.model is not None
    if holds_several(inputs.model) and (data.target is not None or data.unit):
        raise UsageError(
            f"model {asked.model!r} has several targets, whose names columns of the table must "
            "have; leave out target and unit"
        )
    return data


def _calibrate(asked: CalibrateRequest, inputs: Inputs, folder: Path, progress: Progress) -> Plain:
    from xtalshift.jobs.adapt import calibrate
    from xtalshift.jobs.several_labels import use_labels
    from xtalshift.model import load_model, load_models, save_model
    from xtalshift.model.several_folder import save_models

    data, others = data_config(asked, inputs)
    only_reading(others)
    assert inputs.model is not None
    out = folder / RESULT / MODEL

    one = partial(calibrate, progress=progress)
    with limited_threads(count_cores()):
        if holds_several(inputs.model):
            several = use_labels(load_models(inputs.model), data, one, progress)
            save_models(several.models, out)
            return {"targets": {name: _figures(part) for name, part in several.parts.items()}}
        found = one(load_model(inputs.model), data)
    save_model(found.model, out)
    return _figures(found)


def _adapt_settings(asked: AdaptRequest, inputs: Inputs) -> tuple[DataConfig, Any]:
    from xtalshift.cal.adaptation import AdaptConfig

    _, others = data_config(asked, inputs, AdaptConfig)
    data = _labels_config(asked, inputs, {})
    if asked.method != "auto":
        return data, AdaptConfig.from_dict({"method": asked.method, **others})
    if others:
        raise UsageError(f"method auto has no settings; leave out {next(iter(others))!r}")
    return data, None


def _adapt(asked: AdaptRequest, inputs: Inputs, folder: Path, progress: Progress) -> Plain:
    from xtalshift.jobs.adapt import Adapted, adapt, source_like
    from xtalshift.jobs.several_labels import use_labels
    from xtalshift.model import load_model, load_models, save_model
    from xtalshift.model.several_folder import save_models

    data, config = _adapt_settings(asked, inputs)
    assert inputs.model is not None
    cores, out, several = count_cores(), folder / RESULT / MODEL, holds_several(inputs.model)

    def one(start: Any, own: DataConfig) -> Adapted[Any]:
        replay = None
        if inputs.source is not None:
            column = own.target if several else asked.source_target
            crystals = start.featurizer.needs_structures
            replay = source_like(own, inputs.source, column, crystals=crystals)
        return adapt(
            start,
            own,
            config,
            source=replay,
            calibration_folds=asked.calibration_folds,
            seed=asked.seed,
            workers=cores,
            progress=progress,
        )

    with limited_threads(1 if asked.calibration_folds and config is not None else cores):
        if several:
            found = use_labels(load_models(inputs.model), data, one, progress)
            save_models(found.models, out)
            return {"targets": {name: _figures(part) for name, part in found.parts.items()}}
        adapted = one(load_model(inputs.model), data)
    save_model(adapted.model, out)
    return _figures(adapted)


def _run(asked: RunRequest, inputs: Inputs, folder: Path, progress: Progress) -> Plain:
    from xtalshift.jobs.run import run
    from xtalshift.report import build_run_report, write_report
    from xtalshift.report.run.digest import digest_run

    config, out = run_config(asked, inputs), folder / RESULT
    executor = make_executor(workers=config.threads)
    targets = settings_of_targets(config.data)
    if len(targets) > 1:
        from xtalshift.jobs.run_several import run_several

        several = run_several(config, targets, out, executor, progress=progress)
        pages = {one.name: (one.folder, build_run_report(out / one.folder))
                 for one in several.targets}  # fmt: skip
        for place, page in pages.values():
            write_report(out / place, page)
        write_report(out)
        said = {name: {"model": list(page.model), "report": f"{place}/report.html"}
                for name, (place, page) in pages.items()}  # fmt: skip
        return {"targets": said, "report": "report.html"}
    config = config.model_copy(update={"data": next(iter(targets.values()))})
    results = run(config, out, executor, progress=progress)
    report = build_run_report(out)
    write_report(out, report)
    write_json(out / DIGEST, digest_run(report))
    found: Plain = {"model": list(report.model), "report": "report.html"}
    if results.answer is not None:
        found["verdict"] = results.answer.verdict
    return found


def _check(asked: CheckRequest, inputs: Inputs, folder: Path, progress: Progress) -> Plain:
    from xtalshift.data.writers import write_frame
    from xtalshift.jobs.check import check_table, fix_table

    targets = settings_of_targets(data_config(asked, inputs)[0])
    checked = {name: check_table(own, progress) for name, own in targets.items()}
    found = {name: _checked(one) for name, one in checked.items()}
    if len(targets) == 1:
        (name,) = targets
        fixed = fix_table(checked[name])
        write_frame(fixed, folder / RESULT / "fixed.csv")
        said = {"changed": int((fixed["changed"] != "").sum()), **found[name]}
    else:  # what is corrected is that of one target
        said = {"targets": found}
    write_json(folder / RESULT / "findings.json", said)
    return said


def _checked(checked: Any) -> Plain:
    rows, bad = len(checked.table), len(checked.inspection.bad)
    reading = checked.table.reading
    return {
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


def _figures(result: Any) -> Plain:
    """Return the numbers of a result: alone, as pairs of before and after, and of judgements."""
    plain = {one.name: getattr(result, one.name) for one in fields(result)}
    scores = plain.pop("scores", None)  # those of classes
    if scores is not None:
        plain |= scores._asdict()
    numbers: Plain = {}
    for name, value in plain.items():
        if isinstance(value, int | float | None):
            numbers[name] = value
        elif isinstance(value, CrossFit):
            numbers[name] = asdict(value)
        elif isinstance(value, tuple) and all(isinstance(one, int | float | None) for one in value):
            numbers[name] = list(value)
    found: Plain = finite(numbers)
    return found


KINDS = {
    "check": JobKind(CheckRequest, data_config, _check, resumes=False, quick=True),
    "train": JobKind(TrainRequest, _check_training, _train, resumes=True),
    "calibrate": JobKind(CalibrateRequest, _check_calibration, _calibrate, resumes=False),
    "adapt": JobKind(AdaptRequest, _adapt_settings, _adapt, resumes=False),
    "run": JobKind(RunRequest, run_config, _run, resumes=True),
    "suggest": JobKind(SuggestRequest, check_suggesting, suggest_job, resumes=False),
    "screen": JobKind(ScreenRequest, check_screening, screen_job, resumes=True),
}
"""The jobs by their commands."""

RESUMED = frozenset(name for name, kind in KINDS.items() if kind.resumes)
"""Those that continue after the server has ended."""
QUICK = frozenset(name for name, kind in KINDS.items() if kind.quick)
"""Those that never wait for others."""
