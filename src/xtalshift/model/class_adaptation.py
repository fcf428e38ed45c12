"""Adapt any fitted model of classes to a new region by a stack of corrections."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.data.dataset import Dataset
from xtalshift.estimators.class_predictors import ClassPredictor
from xtalshift.methods import MethodSettings
from xtalshift.methods.stacks import adapted_class_stack
from xtalshift.model.calibration import class_numbers
from xtalshift.model.classifier import FittedClassifier
from xtalshift.model.intervals import MIN_CALIBRATION
from xtalshift.model.label_judges import find_judges, judge_classes
from xtalshift.model.stacked_adaptation import remembered
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.uncertainty.class_calibration import ClassCalibration
from xtalshift.uncertainty.probabilities import ProbabilityCalibration

FloatArray = NDArray[np.float64]


def adapt_classes(
    model: FittedClassifier,
    labels: Dataset,
    X: FloatArray,
    source: Dataset | None,
    *,
    settings: MethodSettings | None = None,
    seed: int | None = 0,
    progress: Progress = NO_PROGRESS,
) -> tuple[ClassPredictor, ClassCalibration | None, dict[str, Any]]:
    """Return what predicts after the adaptation, its calibration, and what its card says.

    As `xtalshift.model.stacked_adaptation.adapt_by_stack`, with the log loss of the probabilities
    as the model gives them now (calibrated) in the place of the error.

    Parameters
    ----------
    model : FittedClassifier
        Any model of classes; it does not change.
    labels : Dataset
        Cleaned, with classes of the model.
    X : ndarray of float64, shape (n, d)
        Their features.
    source : Dataset, optional
        Cleaned source rows to replay. By default those that the domain of the model remembers.
    settings : MethodSettings, optional
        Settings of the corrections.
    seed, progress
        As in `adapt_by_stack`.

    Returns
    -------
    ClassPredictor
        The stack, or the classifier of the model.
    ClassCalibration or None
        From the same folds: prediction sets, and no further change of the probabilities, which the
        stack has learned. With fewer than 10 labels of other materials than the training materials
        that of the model, or None if its probabilities have changed.
    dict
        ``members``, ``cross_fit`` and ``n_source`` as in `adapt_by_stack`.

    Raises
    ------
    DataError
        If a label is no class of the model, or all labels belong to training materials.
    """
    codes = class_numbers(labels, model.classes)
    fresh = find_judges(model, labels, X, progress)
    known = None if model.calibration is None else model.calibration.probabilities
    replay: dict[str, Any] = {}
    source = remembered(model) if source is None else source
    if source is not None:
        replay = {
            "X": model.features_of(source.materials),
            "y": class_numbers(source, model.classes),
            "source_weight": source.weights,
            "source_groups": source.groups,
        }
    # many short fits: threads would wait for each other
    stack = adapted_class_stack(settings or MethodSettings(threads=1), seed, known)
    stack.adapt(
        model.classifier,
        X,
        codes,
        sample_weight=labels.weights,
        groups=labels.groups,
        fresh=fresh,
        progress=progress,
        **replay,
    )
    told, own = np.flatnonzero(fresh), stack.out_of_fold_
    raw = model.classifier.predict_proba(X[told])
    before = model.predict_features(X[told])
    after = before if own is None else own.center
    said = {
        "members": stack.describe_members(),
        "cross_fit": asdict(judge_classes(before, after, codes, told, kept=own is None)),
        "n_source": 0 if source is None else len(source),
    }
    predictor: ClassPredictor = model.classifier if own is None else stack
    if len(told) < MIN_CALIBRATION:
        return predictor, model.calibration if own is None else None, said
    calibration = ClassCalibration.of(
        raw if own is None else own.center,
        codes[told],
        origin="target",
        X=X[told],
        learned=(known if own is None else None) or ProbabilityCalibration(),
    )
    return predictor, calibration, said


def with_classes_of(data: Dataset, model: FittedClassifier) -> Dataset:
    """Return labels with the class numbers of a model.

    Raises
    ------
    DataError
        If one is no class of the model.
    """
    codes = class_numbers(data, model.classes).astype(np.float64)
    return replace(data, targets=codes, classes=model.classes, ordered=model.ordered)
