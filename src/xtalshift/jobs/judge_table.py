"""The candidates of a run: judged, predicted and written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from xtalshift.benchmark.answer import Answer, CandidateCrystal, ClassAnswer
from xtalshift.benchmark.engine import BenchmarkRun
from xtalshift.benchmark.records import CANDIDATES_FILE, CANDIDATES_TEXT
from xtalshift.benchmark.run_results import Model
from xtalshift.benchmark.worker import MODEL_FOLDER
from xtalshift.data import Dataset, read_raw
from xtalshift.data.files import check_new_columns, naming_table
from xtalshift.data.formula_texts import options_for, refuse_other_folder
from xtalshift.data.materials import Materials
from xtalshift.data.structure_texts import pack_rows
from xtalshift.data.writers import write_frame
from xtalshift.featurize.blocks import needs_structures
from xtalshift.jobs.imitate import imitate
from xtalshift.jobs.judge import (
    ADDED,
    answer_of,
    measured_values,
    rank_candidates,
    say_bounds,
    usable,
)
from xtalshift.jobs.judge_classes import add_measured, class_answer_of
from xtalshift.jobs.refit import refit
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.methods import MethodSettings, features_of
from xtalshift.model import load_model
from xtalshift.model.class_predictions import predicted_class_columns
from xtalshift.model.predicted_rows import add_columns
from xtalshift.model.predictions import CRYSTAL_COLUMNS, PREDICTED_COLUMNS, Predictions
from xtalshift.model.table_predictor import read_materials
from xtalshift.parallel import Executor
from xtalshift.progress import NO_PROGRESS, Progress

PROXIES_FOLDER = "proxies"
MOST_EXPLAINED = 20_000
"""Most candidates whose domain is explained, which takes time."""
N_DRAWN = 6
"""Candidates at either end of the order whose crystals are drawn."""
RULE = "smallest error on hold-outs that imitate the candidates"


@dataclass(frozen=True, eq=False)
class Wanted:
    """The candidates of a run, as read."""

    frame: pd.DataFrame
    """All columns of the file."""
    materials: Materials


def read_candidates(
    config: RunConfig, classes: tuple[str, ...] | None = None, progress: Progress = NO_PROGRESS
) -> Wanted:
    """Read the candidates of a run, of classes if these are given, before any work.

    Raises
    ------
    DataError
        If the file cannot be read, a column is missing or has the name of a column to add, or no
        formula is readable.
    """
    source, notation = Path(str(config.candidates)), config.data.notation
    reading = options_for(source, config.data, crystals=needs_structures(config.data.blocks))
    raw = read_raw(source, reading)
    own = PREDICTED_COLUMNS if classes is None else predicted_class_columns(classes)
    predicted = (*own, *CRYSTAL_COLUMNS, "explanation")
    check_new_columns((*predicted, *ADDED), raw.frame.columns, str(source))
    if config.data.target in raw.frame.columns:
        progress.say(f"  note: column {config.data.target!r} of {source} is not used")
    materials = read_materials(raw, str(source), reading, notation, config.data.feature_cols)
    refuse_other_folder(materials, source, reading)
    with naming_table(source):
        usable(materials)
    return Wanted(raw.shown(materials), materials)


def judge_table(
    config: RunConfig,
    wanted: Wanted,
    done: BenchmarkRun,
    executor: Executor,
    settings: MethodSettings,
    out: Path,
    progress: Progress,
) -> tuple[Model, Answer | ClassAnswer]:
    """Judge the candidates of a run; write its model and ``candidates.parquet``.

    Parameters
    ----------
    config : RunConfig
        Settings.
    wanted : Wanted
        The candidates.
    done : BenchmarkRun
        The benchmark of the run, with its only table.
    executor : Executor
        Runs the fits.
    settings : MethodSettings
        Settings of all methods, with the threads and the device of the tasks.
    out : Path
        Folder of the run. Finished fits are kept in ``proxies/``.
    progress : Progress
        Reports the progress.

    Returns
    -------
    Model
        The saved model: the recommended method, fitted to the whole table.
    Answer or ClassAnswer

    Raises
    ------
    SplitError
        If no hold-out of the table imitates the candidates.
    RefitError
        If the recommended method cannot be fitted to all rows.
    """
    (problem,) = done.shared.problems.values()
    candidates = wanted.materials
    data = problem.data.take(~problem.data.bounded)  # bounds have no error, but train the model
    say_bounds(problem.data, progress)
    imitation = imitate(
        data,
        usable(candidates, data),
        config.judging,
        executor,
        featurizer_of=problem.featurizer,
        features=config.data.features,
        transform=config.data.transform,
        settings=settings,
        minutes=config.minutes,
        seed=config.seed,
        folder=out / PROXIES_FOLDER,
        progress=progress,
    )
    method = imitation.method
    features = features_of(method, config.data.features)
    fitted = refit(config, method, features, done, settings, out, progress, imitation=imitation)
    model = load_model(out / MODEL_FOLDER)
    predictions = model.predict(candidates, explain=len(candidates) <= MOST_EXPLAINED)
    frame = add_columns(wanted.frame, predictions.columns())
    if "formula" not in frame:
        frame.insert(0, "formula", predictions.formula)
    if "id" not in frame and predictions.id is not None:  # polymorphs have one formula
        frame.insert(0, "id", predictions.id)
    described = fitted.describe(config.seed, rule=RULE)
    if data.classes is not None:
        told = class_answer_of(imitation, data, model, candidates, predictions, config.judging)
        _write(add_measured(told, frame, data, candidates.keys), out)
        return described, told
    answer = answer_of(imitation, data, model, candidates, predictions, config.judging)
    ranked = rank_candidates(answer, frame, measured_values(data, candidates))
    _write(ranked, out)
    answer = replace(answer, crystals=_crystals(ranked, predictions, problem.data, candidates))
    return described, answer


def _write(frame: pd.DataFrame, out: Path) -> None:
    for name in (CANDIDATES_FILE, CANDIDATES_TEXT):
        write_frame(frame, out / name)


def _crystals(
    ranked: pd.DataFrame, predictions: Predictions, data: Dataset, candidates: Materials
) -> tuple[CandidateCrystal, ...]:
    """Return the structures of the candidates at both ends of the order, and of their nearest."""
    structures = data.materials.structures
    if structures is None or candidates.structures is None or predictions.nearest_id is None:
        return ()
    order = ranked["rank"].reset_index(drop=True).dropna().sort_values().index.to_numpy()
    rows = order if len(order) <= 2 * N_DRAWN else np.append(order[:N_DRAWN], order[-N_DRAWN:])
    places = {str(name): row for row, name in enumerate(data.ids)}
    near = np.array([places.get(name, -1) for name in predictions.nearest_id[rows]], dtype=np.int64)
    texts = pack_rows(candidates.structures, rows), pack_rows(structures, near)
    ranks = ranked["rank"].to_numpy()[rows]
    return tuple(
        CandidateCrystal(int(rank), own, nearest)
        for rank, own, nearest in zip(ranks, *texts, strict=True)
    )
