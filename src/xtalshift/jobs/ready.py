"""Make a ready model from its recipe: the table, the held-out errors, the model."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift._version import __version__
from xtalshift.benchmark.engine import RunOptions, run_benchmark
from xtalshift.benchmark.records import PREDICTIONS_FILE, TaskRecord
from xtalshift.benchmark.spec import DATA_FOLDER, BenchmarkSpec
from xtalshift.benchmark.worker import task_folder
from xtalshift.data import Dataset, load_dataset, read_table
from xtalshift.data.cut_classes import cut_classes
from xtalshift.data.writers import write_frame
from xtalshift.errors import DataError
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.jobs.train import train
from xtalshift.jsonio import write_json
from xtalshift.metrics.classification import log_losses
from xtalshift.model import FittedClassifier, FittedModel, save_model
from xtalshift.model.class_predictions import probability_column
from xtalshift.model.persist import check_model_folder
from xtalshift.model.ready.evaluation import (
    EVALUATION_FILE,
    Evaluation,
    HeldOutClasses,
    HeldOutNumbers,
)
from xtalshift.model.ready.recipe import Recipe
from xtalshift.parallel import Executor, make_executor
from xtalshift.progress import CONTINUE, NO_PROGRESS, Progress, resumable
from xtalshift.seeding import as_generator

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_TABLE = "table.parquet"


@dataclass(frozen=True)
class Made:
    """A ready model that was made from its recipe."""

    model: FittedModel | FittedClassifier
    evaluation: Evaluation | None
    """None if it was not wanted."""


def make_ready(
    recipe: Recipe,
    out: Path,
    executor: Executor | None = None,
    *,
    evaluate: bool = True,
    overwrite: bool = False,
    progress: Progress = NO_PROGRESS,
) -> Made:
    """Train a ready model, measure its held-out errors, and save both.

    The same recipe, table, machine and version of the libraries give the same bits.

    Parameters
    ----------
    recipe : Recipe
        What to make.
    out : Path
        Folder of the model. Beside it a hidden folder keeps what is finished, so that the same
        command continues after an interruption.
    executor : Executor, optional
        Runs the trainings of the evaluation; by default one process per core.
    evaluate : bool
        Whether to train also without the held-out sets of the recipe, which takes several times as
        long as the model.
    overwrite : bool
        Whether to replace a model in `out`.
    progress : Progress
        Reports the progress.

    Raises
    ------
    FetchError
        If the table has to be downloaded and cannot be.
    DataError
        If it is not the table of the recipe, or a training of the evaluation fails.
    ModelFormatError
        If `out` holds something else.
    """
    check_model_folder(out, overwrite=overwrite)
    place = Path(os.path.abspath(out))  # noqa: PTH100 - "missing/../folder" is the folder
    work = place.with_name(f".{place.name}.making")
    work.mkdir(parents=True, exist_ok=True)
    with resumable(lambda: CONTINUE):
        write_table(recipe, work / _TABLE, progress)
        evaluation = None
        if evaluate:
            evaluation = _evaluate(recipe, work, executor or make_executor(), progress)
        model = _fit(recipe, work / _TABLE, progress)
        save_model(model, out)
        if evaluation is not None:
            write_json(out / EVALUATION_FILE, evaluation.to_dict())
    shutil.rmtree(work)
    return Made(model, evaluation)


def write_table(recipe: Recipe, path: Path, progress: Progress = NO_PROGRESS) -> None:
    """Write the reduced formulas and values of a recipe to a file, wherever its rows come from."""
    data = _read(recipe, progress)
    if recipe.materials is not None:
        known = np.unique(data.groups.astype(str))
        drawn = as_generator(0).choice(known, recipe.materials, replace=False)
        data = data.take(np.flatnonzero(np.isin(data.groups.astype(str), drawn)))
    values: NDArray[Any] = data.y if not recipe.log10 else 10.0**data.y
    if recipe.classes:
        values = cut_classes(data, recipe.cuts, recipe.classes).labels
    write_frame(pd.DataFrame({"formula": data.groups, recipe.target_name: values}), path)


def _read(recipe: Recipe, progress: Progress) -> Dataset:
    """Return the rows of a recipe from the folder of tables, or from the catalogue."""
    folder = os.environ.get(DATA_FOLDER)
    path = Path(folder or ".") / (recipe.file or "")
    if recipe.file and folder and path.is_file():
        return read_table(path, target="target", formula_col="formula")
    return load_dataset(recipe.table, target=recipe.column, progress=progress)


def _data(recipe: Recipe, table: Path) -> dict[str, Any]:
    """Return the settings of the written table."""
    return {
        "dataset": str(table),
        "formula_col": "formula",
        "target": recipe.target_name,
        "unit": recipe.unit,
        "task": "classification" if recipe.classes else "regression",
        "transform": recipe.transform,
        "duplicates": recipe.duplicates,
    }


def _fit(recipe: Recipe, table: Path, progress: Progress) -> FittedModel | FittedClassifier:
    settings = RunConfig.from_dict(
        {
            **recipe.settings,
            "threads": 1,  # the bits depend on it
            "methods": [recipe.method],
            "data": {**_data(recipe, table), "features": recipe.features},
        }
    )
    model = train(settings, recipe.method, progress=progress).model
    terms = {"licence": recipe.licence, "attribution": recipe.attribution}
    ready = {"name": recipe.name, **terms, "citation": recipe.citation}
    card = replace(
        model.card,
        conditions=recipe.conditions,
        source=recipe.table,
        provenance={**model.card.provenance, "ready": ready},
    )
    return replace(model, card=card)


def _evaluate(recipe: Recipe, work: Path, executor: Executor, progress: Progress) -> Evaluation:
    folder = work / "evaluation"
    done = run_benchmark(evaluation_spec(recipe, work / _TABLE), folder, executor,
                         options=RunOptions(retry=True, keep=True), progress=progress)  # fmt: skip
    failed = [one for one in done.records if not one.ok]
    if failed:
        raise DataError(f"{failed[0].name} failed on {failed[0].split}: {failed[0].reason}")
    tested = [one for one in done.records if one.name != "dummy"]
    (problem,) = done.shared.problems.values()
    intake = problem.data.intake
    assert intake is not None
    return Evaluation(
        model=recipe.name,
        date=datetime.now(UTC).date().isoformat(),
        version=__version__,
        versions={name: str(one) for name, one in done.summary.provenance.versions.items() if one},
        rows=intake.rows_read,
        materials=len(problem.data),
        table_sha256=problem.data.description.sha256,
        held_out=tuple(_held_out(recipe, one, folder) for one in tested),
    )


def evaluation_spec(recipe: Recipe, table: Path) -> BenchmarkSpec:
    """Return the benchmark that measures the held-out errors of a recipe."""
    return BenchmarkSpec.from_dict(
        {
            **recipe.settings,
            "title": recipe.title,
            "methods": [{"name": recipe.method, "method": recipe.method}],
            "features": [recipe.features],
            "seeds": 1,
            "audit": False,
            "data": {recipe.name: _data(recipe, table)},
            "splits": recipe.splits,
        }
    )


def _held_out(recipe: Recipe, task: TaskRecord, folder: Path) -> HeldOutNumbers | HeldOutClasses:
    """Return the scores of a task on the rows that its split holds out."""
    score = next((one for one in task.results if one.role == "ood"), None)
    score = score or next(one for one in task.results if one.role == "id")
    frame = pd.read_parquet(task_folder(folder, task.id) / PREDICTIONS_FILE)
    rows = frame[frame["role"] == score.role]
    inside = rows["in_domain"].to_numpy(dtype=bool)
    error, held = (_class_errors if recipe.classes else _number_errors)(recipe, rows)
    kind, measure = (HeldOutClasses, "log_loss") if recipe.classes else (HeldOutNumbers, "mae")

    def mean(values: Any, where: Any) -> float | None:
        return float(values[where].mean()) if where.any() else None

    found: HeldOutNumbers | HeldOutClasses = kind.from_dict(
        {
            "split": task.split,
            "scheme": recipe.splits[task.split]["scheme"],
            "fold": task.fold,
            "role": score.role,
            "n_train": task.n_train + task.n_val,
            "n_test": score.n,
            **{
                name: getattr(score, name)
                for name in kind.model_fields
                if getattr(score, name, None) is not None
            },
            "in_domain": float(inside.mean()),
            f"{measure}_inside": mean(error, inside),
            f"{measure}_outside": mean(error, ~inside),
            "coverage_inside": mean(held, inside),
            "coverage_outside": mean(held, ~inside),
        }
    )
    return found


def _number_errors(_: Recipe, rows: pd.DataFrame) -> tuple[Floats, Flags]:
    """Return the absolute error of each row, and whether its interval holds the value."""
    target, prediction, lower, upper = (
        rows[name].to_numpy(dtype=np.float64) for name in ("target", "prediction", "lower", "upper")
    )
    return np.abs(prediction - target), (lower <= target) & (target <= upper)


def _class_errors(recipe: Recipe, rows: pd.DataFrame) -> tuple[Floats, Flags]:
    """Return the log loss of each row, and whether its prediction set holds the class."""
    columns = [probability_column(name) for name in recipe.classes]
    labels = rows["target"].map(recipe.classes.index)
    p = rows[columns].to_numpy(dtype=np.float64)
    return log_losses(np.asarray(labels, dtype=np.int64), p), rows["in_set"].to_numpy(dtype=bool)
