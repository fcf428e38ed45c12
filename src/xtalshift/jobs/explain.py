"""Measure what explains the errors of the method that a run has chosen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.benchmark.drivers import DriverRows, measure_drivers
from xtalshift.benchmark.engine import BenchmarkRun
from xtalshift.benchmark.explain_settings import ExplainConfig
from xtalshift.benchmark.explanation import Explanation, WorstRow
from xtalshift.benchmark.learning_curve import measure_learning, pick_learner
from xtalshift.benchmark.problem import FoldRows, Problem
from xtalshift.benchmark.records import PREDICTIONS_FILE, TaskRecord
from xtalshift.benchmark.tasks import TaskContext
from xtalshift.benchmark.worker import MODEL_FOLDER, task_folder
from xtalshift.benchmark.worst_rows import describe_worst, worst_rows
from xtalshift.errors import DataError
from xtalshift.featurize.feature_families import feature_families
from xtalshift.jsonio import parse, read_json, write_json
from xtalshift.model import FittedModel, load_model
from xtalshift.parallel import limited_threads
from xtalshift.progress import Progress
from xtalshift.provenance import hash_text
from xtalshift.seeding import derive_seed

EXPLANATION_FILE = "explanation.json"


@dataclass(frozen=True)
class _Kept:
    """What was measured so far; a run that is repeated goes on from there."""

    key: str
    found: Explanation


def explain(
    method: str,
    done: BenchmarkRun,
    context: TaskContext,
    settings: ExplainConfig,
    seed: int,
    out: Path,
    progress: Progress,
) -> Explanation:
    """Return the worst rows of a method, its errors with fewer rows, and what drives it.

    All refer to the models of the comparison of the first seed, which saw no test row. Each part is
    kept in ``explanation.json`` when it is finished, so that a repeated run measures it no more.

    Parameters
    ----------
    method : str
        The method that the run has chosen.
    done : BenchmarkRun
        The benchmark of the run, with its only table.
    context : TaskContext
        Settings of the tasks.
    settings : ExplainConfig
        What to measure.
    seed : int
        The first seed.
    out : Path
        Folder of the run.
    progress : Progress
        Reports the work.
    """
    (problem,) = done.shared.problems.values()
    parts = [
        _Part(record, done.shared.folds[f"{record.data}/{record.split}/{record.fold}/{seed}"])
        for record in done.records
        if record.name == method and record.seed == seed and record.ok
    ]
    ids = [part.record.id for part in parts]
    key = hash_text([json.dumps([method, ids, settings.to_dict()], sort_keys=True)])
    path = out / EXPLANATION_FILE
    found = Explanation(method)
    with suppress(DataError):  # missing or damaged: it is measured again
        before = parse(_Kept, read_json(path), path)
        if before.key == key:
            found = before.found
    failures = []
    with limited_threads(context.settings.threads):
        for name, measure in _steps(parts, problem, done, context, settings, out, progress).items():
            if getattr(found, name):  # an earlier run measured it
                continue
            try:
                found = measure(found)
            except Exception as error:  # noqa: BLE001 - the comparison and the model stand
                failures.append(f"{_NAMES[name]}: {type(error).__name__}: {error}")
                progress.say(f"Not measured: {failures[-1]}")
            else:
                write_json(path, asdict(_Kept(key, found)))
    return replace(found, failures=tuple(failures))


_NAMES = {
    "worst": "worst compounds",
    "drivers": "what drives the predictions",
    "learning": "learning curve",
}


_Step = Callable[[Explanation], Explanation]


def _steps(
    parts: list[_Part],
    problem: Problem,
    done: BenchmarkRun,
    context: TaskContext,
    settings: ExplainConfig,
    out: Path,
    progress: Progress,
) -> dict[str, _Step]:
    """Return what is to be measured: fields of `Explanation` and the functions that fill them."""
    if not parts:
        return {}
    first = parts[0]
    steps: dict[str, _Step] = {}
    of_classes = problem.data.classes is not None  # the other two explain errors of numbers
    if settings.worst and not of_classes:
        steps["worst"] = lambda found: replace(found, worst=_worst(parts, problem, settings, out))
    if settings.drivers and not of_classes:
        steps["drivers"] = lambda found: replace(
            found,
            drivers=measure_drivers(
                list(_driver_rows(parts, problem, settings, out)),
                _families(problem, first.record.features),
                seed=first.record.seed,
                repeats=settings.repeats,
                progress=progress,
            ),
        )
    learner = pick_learner(first.record.method)
    if settings.learning and learner is not None:
        same_seed = [one for one in done.records if one.seed == first.record.seed and one.ok]
        own = next((one for one in same_seed if one.name == learner), first.record)
        steps["learning"] = lambda found: replace(
            found,
            learning=measure_learning(
                learner,
                own.features,
                problem,
                [part.fold for part in parts],
                context,
                same_seed,
                settings,
                progress,
            ),
        )
    return steps


@dataclass(frozen=True, eq=False)
class _Part:
    """The training of the method on one fold."""

    record: TaskRecord
    fold: FoldRows

    def model(self, out: Path) -> FittedModel:
        found: FittedModel = load_model(task_folder(out, self.record.id) / MODEL_FOLDER)
        return found


def _worst(
    parts: list[_Part], problem: Problem, settings: ExplainConfig, out: Path
) -> tuple[WorstRow, ...]:
    models = [part.model(out) for part in parts]
    frames = [
        pd.read_parquet(task_folder(out, part.record.id) / PREDICTIONS_FILE).assign(part=number)
        for number, part in enumerate(parts)
    ]
    rows = pd.concat(frames, ignore_index=True)
    rows = rows[rows["method"] == parts[0].record.name]
    found: list[WorstRow] = []
    for role in ("id", "ood"):
        chosen = worst_rows(rows, models[0].scale, settings.worst, role=role)
        described: dict[object, WorstRow] = {}
        for number, group in chosen.groupby("part"):
            part = parts[int(str(number))]
            X, model = problem.X[part.record.features], models[int(str(number))]
            own = describe_worst(group, problem, X, part.fold, model)
            described |= dict(zip(group.index, own, strict=True))
        found += [described[index] for index in chosen.index]
    return tuple(found)


def _driver_rows(
    parts: list[_Part], problem: Problem, settings: ExplainConfig, out: Path
) -> Iterator[DriverRows]:
    each = max(1, settings.driver_rows // (2 * len(parts)))
    for part in parts:
        model, fold = part.model(out), part.fold
        outside = np.unique(
            np.concatenate(
                [fold.id_rows[:0], *(test.rows for test in fold.tests if test.role == "ood")]
            )
        )
        for role, rows in (("id", fold.id_rows), ("ood", outside)):
            if len(rows):
                drawn = _draw(rows, each, derive_seed(fold.seed, "driver rows", role))
                X = problem.X[part.record.features][drawn]
                yield DriverRows(model, role, X, problem.data.y[drawn])


def _draw(rows: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(seed).permutation(rows)[:most])


def _families(problem: Problem, features: str) -> dict[str, NDArray[np.int64]]:
    featurizer = problem.featurizer(features)
    names = (*featurizer.names, *problem.settings.feature_cols)
    return feature_families(names, featurizer.columns)
