"""Scores of the predictions of a task."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.benchmark.problem import FoldRows, Problem
from xtalshift.benchmark.records import Score
from xtalshift.benchmark.row_intervals import RowIntervals
from xtalshift.chem.families import FAMILIES
from xtalshift.metrics import (
    bootstrap_mean,
    extrapolative_precision,
    regression_scores,
    tail_scores,
)

__all__ = ["TAIL_SHARE", "evaluate"]

TAIL_SHARE = 0.05
"""Share of the rows of a table whose targets count as extreme (the share of MatEx)."""
MIN_FAMILY_ROWS = 20
N_RESAMPLES = 500

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def evaluate(
    problem: Problem, fold: FoldRows, variants: dict[str, Floats], intervals: RowIntervals
) -> tuple[Score, ...]:
    """Return the scores of each variant on each set of test rows.

    Parameters
    ----------
    problem : Problem
        n rows.
    fold : FoldRows
        Training, validation and test rows.
    variants : dict of ndarray of float64, shape (n,)
        Predictions in the unit of the target by variant, NaN for training rows.
    intervals : RowIntervals
        Intervals of the variant ``""``.

    Returns
    -------
    tuple of Score
        The roles ``id`` and ``ood`` have errors with a bootstrap interval over formulas, the worst
        chemical family and the coverage of intervals. The role ``pool`` (all test rows of a split,
        and the validation rows if there are no ID test rows) shows whether extreme materials are
        found.
    """
    train_mean = float(np.mean(problem.data.y[fold.train]))
    inside = fold.id_rows
    tested = np.concatenate([fold.val, inside, fold.test_rows])
    found: list[Score] = []
    for variant, values in variants.items():
        if variant and not np.isfinite(values[tested]).all():
            continue  # an overflow of the last or averaged parameters does not matter
        known: Score | None = None  # all splits share the ID test rows
        for test in fold.tests:
            if test.role == "id" and known is not None:
                found.append(replace(known, split=test.split))
                continue
            score = _errors(problem, test.rows, values, train_mean)
            if variant == "":
                coverage, width = intervals.coverage(test.rows)
                score |= {"coverage_90": coverage, "median_width_90": width}
            found.append(Score(variant, test.split, test.role, **score))
            known = found[-1] if test.role == "id" else known
        for test in fold.tests:
            if test.role == "ood" or len(fold.tests) == 1:
                near = inside if len(inside) and test.role == "ood" else fold.val
                pool = np.concatenate([near, test.rows])
                found.append(
                    Score(variant, test.split, "pool", **_tail(problem, fold, pool, values))
                )
    return tuple(found)


def _errors(problem: Problem, rows: Rows, values: Floats, train_mean: float) -> dict[str, Any]:
    y, z = problem.data.y[rows], values[rows]
    errors = np.abs(z - y)
    low, high = bootstrap_mean(
        errors, groups=problem.formula_numbers[rows], n_resamples=N_RESAMPLES
    )
    return {
        **regression_scores(y, z, train_mean=train_mean)._asdict(),
        # in addition to the ratio, which is undefined if the constant has no error
        "dummy_mae": float(np.mean(np.abs(y - train_mean))),
        "dummy_rmse": float(np.sqrt(np.mean((y - train_mean) ** 2))),
        "mae_low": low,
        "mae_high": high,
        **_worst_family(problem, rows, errors),
    }


def _worst_family(problem: Problem, rows: Rows, errors: Floats) -> dict[str, Any]:
    codes = problem.data.materials.families[rows]
    counts = np.bincount(codes, minlength=len(FAMILIES))
    sums = np.bincount(codes, errors, minlength=len(counts))
    means = np.where(counts >= MIN_FAMILY_ROWS, sums / np.maximum(counts, 1), -np.inf)
    worst = int(np.argmax(means))
    if not np.isfinite(means[worst]):
        return {}
    return {"worst_family": tuple(FAMILIES)[worst], "worst_family_mae": float(means[worst])}


def _tail(problem: Problem, fold: FoldRows, rows: Rows, values: Floats) -> dict[str, Any]:
    y, z = problem.data.y[rows], values[rows]
    threshold = problem.tails[fold.tail == "high"]
    found = tail_scores(y, z, threshold=threshold, side=fold.tail)
    extreme = y >= threshold if fold.tail == "high" else y <= threshold
    plain, weighted = (
        extrapolative_precision(extreme, z, id_weight=weight, side=fold.tail)
        for weight in (1.0, (1 - TAIL_SHARE) / TAIL_SHARE)
    )
    return {
        "n": len(rows),
        "n_tail": found.n_tail,
        "tail_recall": found.recall,
        "tail_precision": found.precision,
        "tail_enrichment": found.enrichment,
        "top30_precision": plain,
        "top30_precision_weighted": weighted,
    }
