"""Train the method of a task on what it may see."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.benchmark.problem import FoldRows, Problem
from xtalshift.benchmark.tasks import Task, TaskContext
from xtalshift.estimators import Regressor
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.methods import METHODS, build_method
from xtalshift.methods.inputs import origin_of, target_transform
from xtalshift.seeding import derive_seed

__all__ = ["fit_method"]

MAX_UNLABELLED = 2000
"""Target rows whose features methods without labels look at."""


def fit_method(
    task: Task,
    params: dict[str, Any],
    problem: Problem,
    fold: FoldRows,
    context: TaskContext,
    labels: NDArray[np.int64] | None = None,
) -> Regressor:
    """Return the fitted regressor of a task.

    Parameters
    ----------
    task : Task
        Which method, features and budget.
    params : dict
        Arguments that are not the usual ones.
    problem : Problem
        Rows.
    fold : FoldRows
        Training, validation and target rows; labels of test rows are not looked at. What a method
        may see of the target domain is what it declares: features of up to 2,000 held-out rows, or
        features and labels of the first `budget` target rows.
    context : TaskContext
        Settings.
    labels : ndarray of int64, optional
        Other rows instead of the first `budget` target rows.
    """
    X, y, parts = problem.X[task.features], problem.y, fold.parts
    # one seed for all methods: CAL and its control start from the same parameters
    seed = derive_seed(fold.seed, "method")
    regressor = build_method(task.method, context.settings, seed=seed, params=params)
    transform = target_transform(regressor, problem.info["transform"])
    train, val = parts["train"], parts["val"]
    given: dict[str, Any] = {}
    access = METHODS[task.method].target_access
    if access == "features":
        rows = np.concatenate([parts["target"], parts["test"]])
        # in random order: tables are sorted, and a method may look at the first rows only
        draw = np.random.default_rng(derive_seed(fold.seed, "unlabelled"))
        given["X_target"] = X[draw.permutation(rows)[:MAX_UNLABELLED]]
    elif access == "labels":
        rows = parts["target"][: task.budget] if labels is None else labels
        given |= {"X_target": X[rows], "y_target": transform.forward(y[rows])}
    info = problem.info
    featurizer = CompositionFeaturizer(task.features, info["impute_nan"], info["hydrates"])  # type: ignore[arg-type]
    given["origin"] = origin_of(regressor, problem.formulas[train].tolist(), featurizer)
    return regressor.fit(
        X[train],
        transform.forward(y[train]),
        X_val=X[val],
        y_val=transform.forward(y[val]),
        **given,
    )
