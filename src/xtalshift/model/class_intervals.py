"""Calibrated probabilities and prediction sets from a classifier and rows it was not trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.estimators.class_predictors import ClassPredictor
from xtalshift.model.cross_calibration import forecast_folds
from xtalshift.model.intervals import check_number
from xtalshift.uncertainty.class_calibration import ClassCalibration
from xtalshift.uncertainty.conformal import ScoreOrigin
from xtalshift.uncertainty.prediction_sets import SetKind

FloatArray = NDArray[np.float64]


def calibrate_classifier(
    classifier: ClassPredictor,
    X: FloatArray,
    y: ArrayLike,
    *,
    origin: ScoreOrigin = "held-out",
    groups: ArrayLike | None = None,
    kind: SetKind = "lac",
) -> ClassCalibration:
    """Return the calibration on rows that `classifier` was not trained on.

    Parameters
    ----------
    classifier : ClassPredictor
        Fitted.
    X : ndarray of float64, shape (n, d)
        Features.
    y : array_like of int, shape (n,)
        Class numbers.
    origin, groups, kind
        As in `xtalshift.uncertainty.class_calibration.ClassCalibration.of`.

    Raises
    ------
    DataError
        If there are fewer than 10 rows.
    """
    check_number(len(X))
    return ClassCalibration.of(
        classifier.predict_proba(X), y, origin=origin, X=X, groups=groups, kind=kind
    )


def cross_calibrate_classifier(
    classifier: Any,
    X: FloatArray,
    y: FloatArray,
    n_classes: int,
    *,
    groups: ArrayLike | None = None,
    kind: SetKind = "lac",
    **how: Any,
) -> ClassCalibration:
    """Return the calibration on all rows, each predicted by a model of the other folds.

    Parameters
    ----------
    classifier : Classifier
        Fitted or not, cloned for each fold.
    X, y : ndarrays of float64, shapes (n, d) and (n,)
        Features and class numbers of all training and validation rows.
    n_classes : int
        Number of classes; a fold may lack some.
    groups, kind
        As in `calibrate_classifier`.
    **how
        As in `xtalshift.model.cross_calibration.forecast_folds`.

    Raises
    ------
    DataError
        If there are fewer than 10 rows, or all have the same formula.
    """
    check_number(len(y))
    options = {"classes": np.arange(n_classes)}
    found = np.empty((len(y), n_classes))
    for rows, p in forecast_folds(
        classifier, X, y, _probabilities, groups=groups, options=options, **how
    ):
        found[rows] = p
    return ClassCalibration.of(found, y, origin="out-of-fold", X=X, groups=groups, kind=kind)


def _probabilities(classifier: ClassPredictor, X: FloatArray) -> FloatArray:
    return classifier.predict_proba(X)
