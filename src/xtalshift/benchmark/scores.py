"""What is measured of the predictions of a task."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.benchmark.prepare import TAIL_SHARE
from xtalshift.benchmark.problem import FoldRows, Problem
from xtalshift.metrics import (
    bootstrap_mean,
    extrapolative_precision,
    interval_scores,
    normal_interval,
    regression_scores,
    tail_scores,
)
from xtalshift.uncertainty.conformal import LEVEL

__all__ = ["evaluate"]

MIN_FAMILY_ROWS = 20
N_RESAMPLES = 500

Floats = NDArray[np.float64]


def evaluate(
    problem: Problem,
    fold: FoldRows,
    variants: dict[str, Floats],
    std: Floats | None,
) -> list[dict[str, Any]]:
    """Return the scores of each variant on each set of test rows.

    Parameters
    ----------
    problem : Problem
        n rows.
    fold : FoldRows
        Which of them train, select and test.
    variants : dict of ndarray of float64, shape (n,)
        Predictions in the unit of the target by variant, NaN for training rows.
    std : ndarray of float64, shape (n,), or None
        Standard deviation that the method states, of the variant ``""``.

    Returns
    -------
    list of dict
        With ``variant`` and ``role``: ``id`` and ``ood`` have errors with a bootstrap interval over
        formulas, the worst chemical family and the coverage of intervals; ``pool`` (all test rows,
        and the validation rows where there are no ID test rows) says whether extreme materials are
        found.
    """
    parts = fold.parts
    train_mean = float(np.mean(problem.y[parts["train"]]))
    roles = {fold.role: parts["test"]}
    if len(parts["id"]):
        roles["id"] = parts["id"]
    found = []
    tested = np.concatenate([parts["val"], *roles.values()])
    for variant, values in variants.items():
        if variant and not np.isfinite(values[tested]).all():
            continue  # an overflow of other parameters does not spoil the usual ones
        for role in ("id", "ood"):
            if role in roles:
                scores = _errors(problem, roles[role], values, train_mean)
                if std is not None and variant == "":
                    scores |= _intervals(problem, roles[role], values, std)
                found.append({"variant": variant, "role": role, **scores})
        inside = parts["id"] if len(parts["id"]) else parts["val"]
        pool = np.concatenate([inside, parts["test"]])
        found.append({"variant": variant, "role": "pool", **_tail(problem, fold, pool, values)})
    return found


def _errors(
    problem: Problem, rows: NDArray[np.int64], values: Floats, train_mean: float
) -> dict[str, Any]:
    y, z = problem.y[rows], values[rows]
    errors = np.abs(z - y)
    low, high = bootstrap_mean(errors, groups=problem.groups[rows], n_resamples=N_RESAMPLES)
    scores = {**regression_scores(y, z, train_mean=train_mean)._asdict()}
    # beside the ratio, which does not say it where a method makes no error
    scores["dummy_mae"] = float(np.mean(np.abs(y - train_mean)))
    scores["dummy_rmse"] = float(np.sqrt(np.mean((y - train_mean) ** 2)))
    return {**scores, "mae_low": low, "mae_high": high, **_worst_family(problem, rows, errors)}


def _worst_family(problem: Problem, rows: NDArray[np.int64], errors: Floats) -> dict[str, Any]:
    codes = problem.families[rows]
    counts = np.bincount(codes, minlength=len(problem.info["families"]))
    sums = np.bincount(codes, errors, minlength=len(counts))
    means = np.where(counts >= MIN_FAMILY_ROWS, sums / np.maximum(counts, 1), -np.inf)
    worst = int(np.argmax(means))
    if not np.isfinite(means[worst]):
        return {"worst_family": None, "worst_family_mae": None}
    name = problem.info["families"][worst]
    return {"worst_family": name, "worst_family_mae": float(means[worst])}


def _intervals(
    problem: Problem, rows: NDArray[np.int64], values: Floats, std: Floats
) -> dict[str, Any]:
    lower, upper = normal_interval(values[rows], std[rows], LEVEL)
    found = interval_scores(problem.y[rows], lower, upper, level=LEVEL)
    return {"coverage": found.coverage, "width": found.mean_width}


def _tail(
    problem: Problem, fold: FoldRows, rows: NDArray[np.int64], values: Floats
) -> dict[str, Any]:
    y, z = problem.y[rows], values[rows]
    threshold = problem.info["tails"][fold.tail]
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
