"""Calibrate the intervals of a fitted model on other rows; its predictions do not change."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from xtalshift.data.clean import clean_table
from xtalshift.data.dataset import Dataset
from xtalshift.errors import DataError, LeakageError
from xtalshift.model.class_intervals import calibrate_classifier
from xtalshift.model.classifier import FittedClassifier
from xtalshift.model.fitted import FittedModel
from xtalshift.model.intervals import calibrate_regressor
from xtalshift.model.loss_weights import for_one_measurement, scaled_noise
from xtalshift.uncertainty.class_calibration import ClassCalibration
from xtalshift.uncertainty.conformal import Calibration, ScoreKind, ScoreOrigin

M = TypeVar("M", FittedModel, FittedClassifier)


def calibrate(
    model: M,
    labels: Dataset,
    *,
    kind: ScoreKind | None = None,
    origin: ScoreOrigin = "target",
) -> M:
    """Return the model with intervals calibrated on labelled materials it was not trained on.

    Those of a classifier are its prediction sets; its probabilities are calibrated too.

    Parameters
    ----------
    model : FittedModel or FittedClassifier
        A fitted model, which does not change.
    labels : Dataset
        At least 10 materials, none of them a training material. The intervals are valid for the
        population that these are a random sample of. `fit` describes how a data set is cleaned.
    kind : {"absolute", "normalised", "quantile"}, optional
        Kind of the conformity scores; by default what the regressor supports, see
        `xtalshift.model.intervals.calibrate_regressor`.
    origin : {"target", "held-out"}
        Whether the labels are from a target domain, or from the same distribution as the training
        rows.

    Raises
    ------
    DataError
        If there are fewer than 10 rows.
    FormulaError
        If a formula cannot be read.
    LeakageError
        If a row is a training material.
    ConfigError
        If the regressor cannot have scores of this kind.
    """
    if labels.intake is None:
        labels = clean_table(labels)
    labels = labels.take(~labels.bounded)  # errors of bounds are not known
    X = model.features_of(labels.materials)
    known = np.flatnonzero(model.was_trained_on(X))
    if known.size:
        row = known[0]
        raise LeakageError(
            f"row {labels.row_numbers[row]}, {labels.formulas[row]}, is a training material "
            f"({known.size} of {len(X)} rows are): its error shows how well the model fits, not "
            "how well it predicts. Use other rows"
        )
    calibration: Calibration | ClassCalibration
    if isinstance(model, FittedClassifier):
        codes = class_numbers(labels, model.classes)
        calibration = calibrate_classifier(
            model.classifier, X, codes, origin=origin, groups=labels.groups
        )
        return _with_calibration(model, calibration, labels)
    calibration = calibrate_regressor(
        model.regressor,
        X,
        model.scale.forward(labels.y, labels.row_numbers),
        kind=kind,
        origin=origin,
        families=labels.materials.families,
        noise=scaled_noise(labels, model.scale),
    )
    return _with_calibration(model, for_one_measurement(calibration, labels), labels)


def _with_calibration(model: M, calibration: Any, labels: Dataset) -> M:
    provenance = {**model.card.provenance, "calibrated_on": asdict(labels.description)}
    return replace(model, calibration=calibration, card=replace(model.card, provenance=provenance))


def class_numbers(labels: Dataset, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the numbers that a model gives to the classes of a table, shape (n,).

    Raises
    ------
    DataError
        If the table has numbers, or a class that the model does not have.
    """
    if labels.classes is None:
        raise DataError(
            f"the model predicts the classes {', '.join(classes)}, and the labels are numbers; "
            "read them with --task classification"
        )
    unknown = [name for name in labels.classes if name not in classes]
    if unknown:
        raise DataError(
            f"{unknown[0]!r} is no class of the model, which has {', '.join(classes)}; "
            "correct the labels, or train a model with all classes"
        )
    numbers = np.array([classes.index(name) for name in labels.classes], dtype=np.int64)
    return np.asarray(numbers[labels.y.astype(np.intp)])
