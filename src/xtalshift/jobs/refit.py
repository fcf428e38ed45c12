"""Fit the method that a run has chosen to all rows, and save it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from xtalshift.benchmark.beside import fit_beside
from xtalshift.benchmark.engine import BenchmarkRun
from xtalshift.benchmark.run_results import Model
from xtalshift.benchmark.worker import MODEL_FOLDER, hash_files
from xtalshift.errors import DataError, TrainingError
from xtalshift.featurize.blocks import Blocks
from xtalshift.jobs.imitate import Imitation
from xtalshift.jobs.judge import calibrate_by_proxies
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.jsonio import Plain, parse, read_json, write_json
from xtalshift.methods import MethodSettings
from xtalshift.model import FitRows, draw_rows, fit, save_model
from xtalshift.model.fitting import keeps_budget
from xtalshift.parallel import count_cores, limited_threads
from xtalshift.progress import Progress
from xtalshift.provenance import hash_text

REFIT_FILE = "refit.json"


class RefitError(TrainingError):
    """The method that was chosen cannot be fitted to all rows."""


@dataclass(frozen=True, kw_only=True)
class Refit:
    """What the saved model was fitted to; written beside it, so that a repeated run keeps it."""

    key: str
    """Hash of everything that the fit depends on."""
    files: dict[str, str]
    """SHA-256 of the files of the model."""
    method: str
    seed: int
    n_rows: int
    n_train: int
    n_validation: int
    n_calibration: int
    """`n_rows`, `n_train`, `n_validation`, `n_calibration`: usable rows of the table; rows that
    were fitted; rows that selected parameters only; rows that calibrated intervals only."""
    calibration: str | None = None
    n_calibrated: int = 0
    """`calibration`, `n_calibrated`: origin (`xtalshift.uncertainty`) and number of the scores of
    the intervals."""
    beside: str = ""
    """What it has learned from beside the rows of the table, see `Problem.beside`."""
    members: tuple[Plain, ...] = ()
    """Members of a stack, see `xtalshift.estimators.StackRegressor.describe_members`."""

    def describe(self, seed: int, **chosen: Any) -> Model:
        """Return the record of the model, with how it was chosen."""
        kept = {one.name for one in fields(Model)} & {one.name for one in fields(self)} - {"seed"}
        return Model(seed=seed, **{name: getattr(self, name) for name in kept}, **chosen)


def refit(
    config: RunConfig,
    method: str,
    features: Blocks,
    done: BenchmarkRun,
    settings: MethodSettings,
    out: Path,
    progress: Progress,
    *,
    imitation: Imitation | None = None,
) -> Refit:
    """Fit a method to all rows of a run and save it as ``model/``.

    The model is that of ``xtalshift train`` with the same table, settings, seed and threads, and
    ``--intervals cross``: its intervals are calibrated by folds, so that no row is kept from the
    fit. If the model is there and whole, nothing is done.

    Parameters
    ----------
    config : RunConfig
        Settings.
    method, features : str
        What the run has chosen.
    done : BenchmarkRun
        The benchmark of the run, with its only table.
    settings : MethodSettings
        Settings of all methods, with the threads and the device of the tasks.
    out : Path
        Folder of the run.
    progress : Progress
        Reports the training.
    imitation : Imitation, optional
        Proxies of candidates; their errors calibrate the intervals then.

    Raises
    ------
    RefitError
        If the fit fails.
    DataError
        If the model cannot be written.
    """
    (problem,) = done.shared.problems.values()
    known = config.model_copy(update={"threads": 0, "methods": (method,)}).to_dict()
    del known["explain"]  # no model depends on what explains it
    content = [
        known, method, features, settings.threads, settings.device,
        done.summary.provenance.versions, problem.data.description.sha256,
        *([problem.lower.description.sha256] if problem.lower is not None else []),
        imitation and imitation.key,
    ]  # fmt: skip
    key = hash_text([json.dumps(content, sort_keys=True, default=str)])
    folder, path = out / MODEL_FOLDER, out / REFIT_FILE
    with suppress(DataError):  # missing or damaged: it is written again
        before = parse(Refit, read_json(path), path)
        if (before.key, before.files) == (key, hash_files(folder)):
            _remove_leftovers(out)
            return before
    intervals = config.intervals
    if imitation is not None:
        intervals = intervals.model_copy(update={"method": "none"})
    elif intervals.method == "auto":
        intervals = intervals.model_copy(update={"method": "cross"})
    learner = problem.build(method, settings, seed=None)
    data = problem.data
    rows = draw_rows(
        data.groups,
        intervals=intervals,
        cross_fits=learner.cross_fits,
        validation_share=config.split.validation_share,
        seed=config.seed,
        labels=None if data.classes is None else data.y,
    )
    beside = problem.beside(method)
    if beside and problem.lower is not None:  # a cross-fit of all rows, as of `train`
        everything = np.arange(len(data))
        rows = FitRows(everything, everything[:0])
    progress.say(f"Fitting {method}, which is chosen, to all {len(data):,} rows")
    checkpoint = out / f".{MODEL_FOLDER}-{key[:16]}.checkpoint"
    try:
        with limited_threads(settings.threads):
            model = (
                fit_beside(
                    problem,
                    method,
                    features,
                    rows,
                    settings,
                    intervals=intervals,
                    seed=config.seed,
                    minutes=config.minutes if keeps_budget(learner) else None,
                    workers=config.threads or count_cores(),
                    progress=progress,
                    checkpoint=checkpoint,
                )
                if beside
                else fit(
                    data,
                    method,
                    features=problem.featurizer(features),
                    transform=config.data.transform,
                    settings=settings,
                    intervals=intervals,
                    rows=rows,
                    X=problem.X.get(features),
                    seed=config.seed,
                    workers=config.threads or count_cores(),
                    minutes=config.minutes if keeps_budget(learner) else None,
                    progress=progress,
                    checkpoint=checkpoint,
                )
            )
    except Exception as error:
        raise RefitError(f"{type(error).__name__}: {error}") from error
    if imitation is not None:
        model = calibrate_by_proxies(model, imitation, data.take(~data.bounded))
    save_model(model, folder)
    # a stack is fitted to its validation rows too
    both = learner.cross_fits or (problem.lower is not None and bool(beside))
    found = Refit(
        key=key,
        files=hash_files(folder),
        method=method,
        seed=config.seed,
        n_rows=len(data),
        n_train=len(rows.train) + (len(rows.validation) if both else 0),
        n_validation=0 if both else len(rows.validation),
        n_calibration=len(rows.calibration),
        calibration=model.calibration.origin if model.calibration else None,
        n_calibrated=len(model.calibration) if model.calibration else 0,
        beside=beside,
        members=tuple(model.card.provenance.get("members", ())),
    )
    write_json(path, asdict(found))
    _remove_leftovers(out)
    return found


def _remove_leftovers(out: Path) -> None:
    """Remove the checkpoints of fits that were stopped, of this choice and of others."""
    for left in out.glob(f".{MODEL_FOLDER}-*.checkpoint"):
        left.unlink()
