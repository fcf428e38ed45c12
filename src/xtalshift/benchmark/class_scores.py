"""Scores of the predicted classes of a task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.benchmark.problem import FoldRows, Problem
from xtalshift.benchmark.records import Role, Score
from xtalshift.benchmark.row_intervals import halve
from xtalshift.benchmark.scores import N_RESAMPLES
from xtalshift.metrics import bootstrap_mean, class_number_error, classification_scores
from xtalshift.metrics.classification import log_loss, log_losses
from xtalshift.model.class_intervals import calibrate_classifier
from xtalshift.model.class_predictions import probability_column
from xtalshift.model.classifier import FittedClassifier
from xtalshift.uncertainty.settings import LEVEL

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

SET_COLUMNS = ("in_set", "set_size")
"""Columns of ``predictions.parquet`` about the 90 % prediction set: whether it holds the class, and
its number of classes."""


@dataclass(frozen=True, eq=False)
class RowClasses:
    """Probabilities and 90 % prediction sets of every row of a table; NaN for rows without.

    Calibration rows are those of `xtalshift.benchmark.row_intervals.RowIntervals`: all ID test rows
    for OOD rows, the other half of them for ID rows.
    """

    probabilities: Floats
    """Shape (n, k). Calibrated, if there are enough ID test rows."""
    in_set: Floats
    """Shape (n,). 1 if the set holds the class of the row, else 0."""
    set_size: Floats
    """Shape (n,). Number of classes in the set."""
    ood_score: Floats
    in_domain: Floats
    """`ood_score`, `in_domain`: shape (n,). As in `RowIntervals`."""

    def coverage(self, rows: Rows) -> tuple[float | None, float | None]:
        """Return coverage and mean size of the sets of rows; None without sets."""
        held = self.in_set[rows]
        if not len(rows) or np.isnan(held).any():
            return None, None
        return float(held.mean()), float(self.set_size[rows].mean())


def evaluate_rows(
    model: FittedClassifier, problem: Problem, X: Floats, fold: FoldRows
) -> RowClasses:
    """Return probabilities, sets and domain of the validation and test rows of a fold.

    Parameters
    ----------
    model : FittedClassifier
        Calibrated on all ID test rows, if these are enough.
    problem : Problem
        n clean rows.
    X : ndarray of float64, shape (n, d)
        Their features.
    fold : FoldRows
        Fold with the test rows.
    """
    data = problem.data
    assert data.classes is not None
    n, k = len(data), len(data.classes)
    y = data.y.astype(np.int64)
    found = RowClasses(np.full((n, k), np.nan), *(np.full(n, np.nan) for _ in range(4)))
    tested = np.unique(np.concatenate([fold.val, fold.id_rows, fold.test_rows]))
    raw = np.full((n, k), np.nan)
    raw[tested] = model.classifier.predict_proba(X[tested])
    found.probabilities[tested] = model.predict_features(X[tested])
    judged = np.union1d(fold.id_rows, fold.test_rows)
    if model.domain is not None and judged.size:
        scores = model.domain.assess(X[judged])
        unseen = model.domain.unseen_elements(data.materials.compositions.take(judged))
        found.ood_score[judged] = scores.ood_score
        found.in_domain[judged] = scores.in_domain & (unseen == "")
    parts = [(np.setdiff1d(fold.test_rows, fold.id_rows), model.calibration)]
    halves = halve(data.groups[fold.id_rows], fold.seed)
    if halves is not None and model.calibration is not None:
        first, second = (fold.id_rows[half] for half in halves)
        for rows, others in ((first, second), (second, first)):
            learned = calibrate_classifier(
                model.classifier, X[others], y[others], groups=data.groups[others]
            )
            found.probabilities[rows] = learned.probabilities.apply(raw[rows])
            parts.append((rows, learned))
    for rows, calibration in parts:
        if calibration is None or not len(rows):
            continue
        sets = calibration.sets.sets(raw[rows], LEVEL)
        found.in_set[rows] = sets[np.arange(len(rows)), y[rows]]
        found.set_size[rows] = sets.sum(axis=1)
    return found


def evaluate_classes(problem: Problem, fold: FoldRows, rows: RowClasses) -> tuple[Score, ...]:
    """Return the scores of a model of classes on each set of test rows of a fold.

    Parameters
    ----------
    problem : Problem
        n rows.
    fold : FoldRows
        Training, validation and test rows.
    rows : RowClasses
        What `evaluate_rows` returned.
    """
    data = problem.data
    assert data.classes is not None
    y = data.y.astype(np.int64)
    shares = np.bincount(y[fold.train], minlength=len(data.classes)) / len(fold.train)
    found: list[Score] = []
    known: Score | None = None  # all splits share the ID test rows
    for test in fold.tests:
        if test.role == "id" and known is not None:
            found.append(replace(known, split=test.split))
            continue
        own, p = y[test.rows], rows.probabilities[test.rows]
        scores = classification_scores(own, p, train_shares=shares)._asdict()
        known_ones: dict[str, Any] = {
            name: value if np.isfinite(value) else None for name, value in scores.items()
        }
        low, high = bootstrap_mean(
            log_losses(own, p), groups=problem.formula_numbers[test.rows], n_resamples=N_RESAMPLES
        )
        coverage, size = rows.coverage(test.rows)
        score = Score(
            "",
            test.split,
            test.role,
            **known_ones,
            dummy_log_loss=log_loss(own, np.tile(shares, (len(own), 1))),
            log_loss_low=float(low),
            log_loss_high=float(high),
            class_number_error=class_number_error(own, p) if data.ordered else None,
            set_coverage_90=coverage,
            mean_set_size_90=size,
        )
        found.append(score)
        known = score if test.role == "id" else known
    return tuple(found)


def class_frame(name: str, problem: Problem, fold: FoldRows, rows: RowClasses) -> pd.DataFrame:
    """Return each test row once per split, as ``predictions.parquet`` has it."""
    data, parts = problem.data, []
    assert data.classes is not None
    names = np.array(data.classes, dtype=object)
    for test in fold.tests:
        if test.role == "id" and test.split != fold.tests[0].split:
            continue  # all splits have the same ID rows
        at, role = test.rows, test.role
        p = rows.probabilities[at]
        parts.append(_frame_of(name, problem, fold, test.split, role, at, names, p, rows))
    return pd.concat(parts, ignore_index=True)


def _frame_of(
    name: str,
    problem: Problem,
    fold: FoldRows,
    split: str,
    role: Role,
    at: Rows,
    names: NDArray[np.object_],
    p: Floats,
    rows: RowClasses,
) -> pd.DataFrame:
    data = problem.data
    frame = pd.DataFrame(
        {
            "method": name,
            "split": split,
            "role": role,
            "seed": fold.seed,
            "id": data.ids[at],
            "formula": data.formulas[at],
            "target": data.labels[at],
            "prediction": names[np.argmax(p, axis=1)],
            **{probability_column(one): p[:, place] for place, one in enumerate(names)},
            **{column: getattr(rows, column)[at] for column in SET_COLUMNS},
            "ood_score": rows.ood_score[at],
            "in_domain": rows.in_domain[at],
        }
    )
    return frame.astype({"in_domain": "boolean", "in_set": "boolean"})
