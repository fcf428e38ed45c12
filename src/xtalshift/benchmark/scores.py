"""Scores of the predictions of a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.benchmark.problem import FoldRows, Problem
from xtalshift.benchmark.records import Role, Score
from xtalshift.benchmark.row_intervals import RowIntervals
from xtalshift.chem.families import FAMILIES
from xtalshift.errors import DataError
from xtalshift.metrics import (
    bootstrap_mean,
    extrapolative_precision,
    regression_scores,
    regret,
    tail_scores,
    top_scores,
)

TAIL_SHARE = 0.05
"""Share of the rows of a table whose targets count as extreme (the share of MatEx), and of the test
rows that are their top."""
N_PICKS = 10
"""Number of rows that a search picks, for the regret."""
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
        chemical family and the coverage of intervals. The role ``pool`` shows whether extreme
        materials are found among all test rows of a split: those of an ID split; the OOD and ID
        test rows of others (validation rows if there are no ID test rows). Test rows with a
        prediction that overflows have a reason instead.

    Raises
    ------
    DataError
        If no test rows can be scored.
    """
    train_mean = float(np.mean(problem.data.y[fold.train]))
    inside = fold.id_rows
    tested = np.concatenate([fold.val, inside, fold.test_rows])
    shifted = {test.split for test in fold.tests if test.role == "ood"}
    found: list[Score] = []
    for variant, values in variants.items():
        if variant and not np.isfinite(values[tested]).all():
            continue  # an overflow of the last or averaged parameters does not matter
        known: Score | None = None  # all splits share the ID test rows
        for test in fold.tests:
            if test.role == "id" and known is not None:
                found.append(replace(known, split=test.split))
                continue
            measure = partial(_errors, problem, values, train_mean)
            score = _score(variant, test.split, test.role, test.rows, measure)
            if variant == "" and score.ok:
                coverage, width = intervals.coverage(test.rows)
                score = replace(score, coverage_90=coverage, median_width_90=width)
            found.append(score)
            known = score if test.role == "id" else known
        for test in fold.tests:
            if test.role == "ood" or test.split not in shifted:
                near = inside if len(inside) else fold.val[~problem.data.bounded[fold.val]]
                pool = np.concatenate([near, test.rows]) if test.role == "ood" else test.rows
                measure = partial(_tail, problem, values, fold)
                found.append(_score(variant, test.split, "pool", pool, measure))
    usual = [score for score in found if score.variant == ""]
    if not any(score.ok for score in usual):
        raise DataError(usual[0].reason)
    return tuple(found)


def _score(
    variant: str, split: str, role: Role, rows: Rows, measure: Callable[[Rows], dict[str, Any]]
) -> Score:
    """Return the measures of some rows, or why there are none."""
    try:
        return Score(variant, split, role, **measure(rows))
    except DataError as error:
        return Score(variant, split, role, len(rows), reason=str(error))


def _errors(problem: Problem, values: Floats, train_mean: float, rows: Rows) -> dict[str, Any]:
    y, z = problem.data.y[rows], _finite(problem, values, rows)
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


def _finite(problem: Problem, values: Floats, rows: Rows) -> Floats:
    """Return the predictions of some rows.

    Raises
    ------
    DataError
        If one overflows; the message names the material.
    """
    bad = rows[~np.isfinite(values[rows])]
    if bad.size:
        formula, value = problem.data.formulas[bad[0]], values[bad[0]]
        raise DataError(f"the prediction of {formula} is {value} ({bad.size} of {len(rows)} rows)")
    return values[rows]


def _tail(problem: Problem, values: Floats, fold: FoldRows, rows: Rows) -> dict[str, Any]:
    y, z = problem.data.y[rows], _finite(problem, values, rows)
    threshold = problem.tails[fold.tail == "high"]
    found = tail_scores(y, z, threshold=threshold, side=fold.tail)
    top = top_scores(y, z, share=TAIL_SHARE, side=fold.tail)
    missed = regret(y, z, n_picks=N_PICKS, side=fold.tail)
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
        "top5_recall": top.recall,
        "top5_enrichment": top.enrichment,
        "regret": missed.size,
        "regret_over_range": missed.over_range,
        "top30_precision": plain,
        "top30_precision_weighted": weighted,
    }
