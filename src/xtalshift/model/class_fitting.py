"""Fit a method to materials with classes; `xtalshift.model.fitting.fit` calls it.

Rows, seeds and the domain are those of `xtalshift.model.fitting`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from xtalshift.data.classes import check_classes
from xtalshift.errors import ConfigError
from xtalshift.estimators.base import Classifier
from xtalshift.estimators.class_predictors import spread_out
from xtalshift.methods import build_classifier, classifying_methods
from xtalshift.model.class_intervals import calibrate_classifier, cross_calibrate_classifier
from xtalshift.model.classifier import FittedClassifier
from xtalshift.model.fit_plan import FitInputs, FitPlan, FitRows
from xtalshift.model.fitting import (
    draw_rows,
    learn,
    learned_domain,
    make_card,
    origin_of,
    set_budget,
    target_access,
)
from xtalshift.model.inputs import refuse_transform
from xtalshift.model.intervals import MIN_CALIBRATION
from xtalshift.progress import Progress
from xtalshift.seeding import derive_seed
from xtalshift.uncertainty.class_calibration import ClassCalibration
from xtalshift.words import plural

FloatArray = NDArray[np.float64]


def fit_classes(inputs: FitInputs, plan: FitPlan) -> FittedClassifier:
    """Fit a method to a clean data set of classes.

    A split of a benchmark may leave a class without training rows; its probability is then 0.

    Parameters
    ----------
    inputs : FitInputs
        As `xtalshift.model.fitting.prepare` returns them.
    plan : FitPlan
        What to do.

    Raises
    ------
    DataError
        If there is one class only, or one of a single material.
    ConfigError
        If the method is one of regression, or a transform is given.
    """
    data, X, featurizer = inputs.data, inputs.X, inputs.featurizer
    assert data.classes is not None
    refuse_transform(data, plan.transform)
    check_classes(data)
    learner = _build(plan, ordered=data.ordered)
    set_budget(learner, plan.method, plan.minutes)
    rows = plan.rows
    if rows is None:
        rows = draw_rows(
            data.groups,
            intervals=plan.intervals,
            cross_fits=learner.cross_fits,
            seed=plan.seed,
            labels=data.y,
        )
    weights = data.weights
    learn(
        learner,
        data,
        featurizer,
        X,
        data.y,
        rows,
        weights,
        classes=np.arange(len(data.classes)),
        progress=plan.progress,
        checkpoint=plan.checkpoint,
        **target_access(plan.method, data, X, rows, lambda codes, _: codes, weights),
    )
    domain = plan.domain
    if domain is True:
        domain = learned_domain(learner, data, featurizer, X, rows, plan.seed)
    return FittedClassifier(
        featurizer,
        data.classes,
        data.ordered,
        learner,
        make_card(data, plan.method, learner, featurizer, plan.minutes),
        _calibrate(learner, inputs, rows, plan),
        domain or None,
    )


def held_out_classes(
    model: FittedClassifier, X: FloatArray, rows: FitRows
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return probabilities of rows that did not fit the parameters, and the row numbers.

    As `xtalshift.model.fitting.held_out_errors`.

    Parameters
    ----------
    model : FittedClassifier
        As `fit` returned it.
    X : ndarray of float64, shape (n, d)
        Features of all rows.
    rows : FitRows
        Those of the fit.

    Returns
    -------
    ndarray of float64, shape (m, k)
        Not calibrated on these rows, if these are the ones of the calibration.
    ndarray of int64, shape (m,)
    """
    own: Any = getattr(model.classifier, "out_of_fold_", None)
    if own is None:
        return model.classifier.predict_proba(X[rows.validation]), rows.validation
    used = np.concatenate([rows.train, rows.validation])[own.rows]
    return spread_out(own.center, model.classifier.present_, len(model.classes)), used


def _calibrate(
    learner: Classifier, inputs: FitInputs, rows: FitRows, plan: FitPlan
) -> ClassCalibration | None:
    """Return the calibration on held-out rows or by cross-fits, None if there is none.

    As for numbers: a stack has predicted rows by fits to others already.
    """
    data, X, featurizer = inputs.data, inputs.X, inputs.featurizer
    weights, progress = data.weights, plan.progress
    assert data.classes is not None
    if rows.calibration.size:
        if rows.calibration.size < MIN_CALIBRATION:
            return _say_none(rows.calibration.size, progress)
        return calibrate_classifier(
            learner,
            X[rows.calibration],
            data.y[rows.calibration],
            groups=data.groups[rows.calibration],
        )
    used = np.concatenate([rows.train, rows.validation])
    if plan.intervals.how(len(used), cross_fits=learner.cross_fits) != "cross":
        return None
    own = getattr(learner, "out_of_fold_", None)
    if own is not None and len(own.rows) >= MIN_CALIBRATION:
        told = used[own.rows]
        return ClassCalibration.of(
            spread_out(own.center, learner.present_, len(data.classes)),
            data.y[told],
            origin="out-of-fold",
            X=X[told],
            groups=data.groups[told],
        )
    few = len(used) < MIN_CALIBRATION or len(np.unique(data.groups[used])) < 2  # noqa: PLR2004
    if few or own is not None:
        return _say_none(len(used) if own is None else len(own.rows), progress)
    return cross_calibrate_classifier(
        learner,
        X[used],
        data.y[used],
        len(data.classes),
        groups=data.groups[used],
        sample_weight=None if weights is None else weights[used],
        n_folds=plan.intervals.folds,
        random_state=derive_seed(plan.seed, "folds"),
        blocks=featurizer.columns if "blocks" in learner.uses else None,
        compositions=origin_of(learner, data, featurizer, used),
        workers=plan.workers,
        progress=progress,
    )


def _say_none(n: int, progress: Progress) -> ClassCalibration | None:
    """Say why there is no calibration, and return None."""
    progress.say(
        "No prediction sets, and probabilities as the classifier gives them: "
        f"{plural(n, 'row')} for calibration, at least {MIN_CALIBRATION} of two materials are "
        "needed"
    )
    return None


def _build(plan: FitPlan, *, ordered: bool) -> Classifier:
    """Return the unfitted classifier of a method, or a copy of the one that was given."""
    method, own = plan.method, derive_seed(plan.seed, "method")
    if isinstance(method, str):
        return build_classifier(
            method, plan.settings, seed=own, params=plan.params, ordered=ordered
        )
    if not isinstance(method, Classifier):
        raise ConfigError(
            f"{type(method).__name__} is no classifier of xtalshift.estimators; for classes use "
            f"one of them, or a method: {', '.join(classifying_methods())}"
        )
    found: Classifier = clone(method)
    return found
