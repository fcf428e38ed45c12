"""One task: train a method on the rows of a fit and evaluate it on its test sets."""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.benchmark.records import JUDGED_COLUMNS
from xtalshift.domain.applicability import ApplicabilityDomain
from xtalshift.errors import DataError
from xtalshift.estimators import Regressor
from xtalshift.jobs.run.judge import INTERVAL_SCORES, Judged, judge_rows
from xtalshift.jobs.run.prepare import Fit, Prepared, TestSet
from xtalshift.jobs.run.spec import RunConfig
from xtalshift.jobs.train import wrap_model
from xtalshift.methods import build_method
from xtalshift.methods.inputs import target_transform
from xtalshift.metrics import RegressionScores, regression_scores
from xtalshift.model import save_model
from xtalshift.model.dataset import origin_rows, spread_rows
from xtalshift.model.trust import add_intervals, domain_of
from xtalshift.progress import Progress
from xtalshift.seeding import derive_seed

__all__ = ["PREDICTION_COLUMNS", "find_domain", "join_predictions", "run_task"]

PREDICTION_COLUMNS = [
    "method", "split", "role", "seed", "id", "formula", "target", "prediction", *JUDGED_COLUMNS,
]  # fmt: skip
"""Columns of ``predictions.parquet``; the last six, which `Judged` explains, are missing for other
weights than the usual ones of a method."""

_JUDGED_TYPES = dict.fromkeys(JUDGED_COLUMNS, "float64") | {"in_domain": "boolean"}


def run_task(
    config: RunConfig,
    prepared: Prepared,
    fit: Fit,
    method: str,
    place: Path,
    data: dict[str, Any],
    domain: ApplicabilityDomain,
    progress: Progress,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Train one method, save it and evaluate it; a failure becomes a record, not an exception.

    Parameters
    ----------
    config : RunConfig
        Settings.
    prepared : Prepared
        The rows.
    fit : Fit
        Which rows train, select and test.
    method : str
        Name of the method.
    place : Path
        Folder of the task; the model is saved in it.
    data : dict
        What identifies the table, for the model.
    domain : ApplicabilityDomain
        What the training rows cover, see `find_domain`.
    progress : Progress
        Told how far training is.

    Returns
    -------
    task : dict
        ``records`` (one per weights kept and test set; those of the usual weights with
        ``coverage_90`` and ``median_width_90``, see `Judged.scores`), ``status``, ``seconds`` of
        training, validation error, history.
    predictions : pandas.DataFrame
        With `PREDICTION_COLUMNS`; each test row once per weights kept.
    """
    X, y = prepared.X, prepared.y
    train, held_out = fit.train, fit.validation
    task: dict[str, Any] = {"method": method, "fit": fit.name, "seed": fit.seed}
    # beside the folder, which is emptied before a task begins anew
    checkpoint = place.with_name(f"{place.name}.checkpoint")
    started = time.perf_counter()
    try:
        # one seed for all methods: CAL and its control start from the same parameters
        regressor = build_method(method, config, seed=derive_seed(fit.seed, "method"))
        transform = target_transform(regressor, config.data.transform)
        regressor.fit(
            X[train],
            transform.forward(y[train]),
            X_val=X[held_out],
            y_val=transform.forward(y[held_out]),
            progress=progress,
            checkpoint=checkpoint,
            origin=origin_rows(regressor, prepared.table, config.data, train),
        )
        task["seconds"] = time.perf_counter() - started
        error = transform.inverse(regressor.predict(X[held_out])) - y[held_out]
        task["val_mae"] = float(np.mean(np.abs(error)))
        model = wrap_model(regressor, method, config.data, prepared.table, data)
        # ID test rows choose nothing; their own coverage is that of halves, see `Judged`
        add_intervals(model, prepared.table, X, fit.id_rows, config.data)
        model.domain_ = domain
        save_model(model, place / "model")
        judged = judge_rows(model, prepared.table, X, fit)
        rows = np.unique(np.concatenate([test.rows for test in fit.tests]))
        variants = {
            name: spread_rows(transform.inverse(scaled), rows, len(y))
            for name, scaled in regressor.predict_variants(X[rows]).items()
        }
    except Exception as error:  # noqa: BLE001 - a failed method is a record, not the end of the job
        reason = f"{type(error).__name__}: {error}"
        progress.say(f"{method} failed: {reason}")
        checkpoint.unlink(missing_ok=True)
        task |= {"status": "failed", "traceback": traceback.format_exc()}
        task.setdefault("seconds", time.perf_counter() - started)
        task["records"] = [
            _failed(method, test, fit, task["seconds"], reason) for test in fit.tests
        ]
        return task, join_predictions([])
    task |= {"status": "ok", "history": _history(regressor, method, fit)}
    records, parts = [], []
    for variant, values in variants.items():
        name = f"{method}:{variant}" if variant else method
        # intervals are those of the saved weights
        said = Judged.nothing(len(y)) if variant else judged
        for test in fit.tests:
            records.append(_score(name, test, fit, prepared, values, said, task["seconds"]))
            if test.role == "ood" or test.split == fit.tests[0].split:
                # the ID rows of the other splits are those of the first
                parts.append(_predictions(name, test, fit, prepared, values, said))
    task["records"] = records
    return task, join_predictions(parts)


def find_domain(config: RunConfig, prepared: Prepared, fit: Fit) -> ApplicabilityDomain:
    """Return what the training rows of a fit cover; the same for all its methods."""
    aside = np.concatenate([fit.validation, fit.id_rows])
    return domain_of(prepared.table, prepared.X, fit.train, aside, config.data, seed=fit.seed)


def join_predictions(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Join tables of predictions, of which those of failed tasks are empty."""
    # a task that an earlier version finished has no intervals
    filled = [part.reindex(columns=PREDICTION_COLUMNS) for part in parts if len(part)]
    if not filled:
        return pd.DataFrame(columns=PREDICTION_COLUMNS)
    return pd.concat([part.astype(_JUDGED_TYPES) for part in filled], ignore_index=True)


def _score(
    method: str,
    test: TestSet,
    fit: Fit,
    prepared: Prepared,
    values: NDArray[np.float64],
    judged: Judged,
    seconds: float,
) -> dict[str, Any]:
    y = prepared.y
    try:
        scores = regression_scores(
            y[test.rows], values[test.rows], train_mean=float(np.mean(y[fit.train]))
        )
    except DataError as error:  # an overflowing prediction spoils this record, not the others
        return _failed(method, test, fit, seconds, str(error))
    key = {"method": method, "split": test.split, "role": test.role, "seed": fit.seed}
    intervals = judged.scores(test.rows)
    return {**key, **scores._asdict(), **intervals, "seconds": seconds, "status": "ok"}


def _failed(method: str, test: TestSet, fit: Fit, seconds: float, reason: str) -> dict[str, Any]:
    key = {"method": method, "split": test.split, "role": test.role, "seed": fit.seed}
    errors = dict.fromkeys(
        name for name in (*RegressionScores._fields, *INTERVAL_SCORES) if name != "n"
    )
    return {
        **key,
        "n": len(test.rows),
        **errors,
        "seconds": seconds,
        "status": "failed",
        "reason": reason,
    }


def _predictions(
    method: str,
    test: TestSet,
    fit: Fit,
    prepared: Prepared,
    values: NDArray[np.float64],
    judged: Judged,
) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "method": method,
            "split": test.split,
            "role": test.role,
            "seed": fit.seed,
            "id": prepared.table.ids[test.rows],
            "formula": prepared.table.formulas[test.rows],
            "target": prepared.y[test.rows],
            "prediction": values[test.rows],
            **judged.columns(test.rows),
        }
    )
    return frame[PREDICTION_COLUMNS]


def _history(regressor: Regressor, method: str, fit: Fit) -> dict[str, Any] | None:
    epochs = getattr(regressor, "history_", None)
    if not epochs:
        return None
    best = getattr(regressor, "best_epoch_", None)
    return {
        "method": method,
        "split": fit.name,
        "seed": fit.seed,
        "best_epoch": best,
        "epochs": epochs,
    }
