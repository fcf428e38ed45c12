"""Calibrate the intervals of a fitted model on other rows; its predictions do not change."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np

from xtalshift.data.clean import clean_table
from xtalshift.data.dataset import Dataset
from xtalshift.errors import LeakageError
from xtalshift.model.fitted import FittedModel
from xtalshift.model.intervals import calibrate_regressor
from xtalshift.model.loss_weights import for_one_measurement, scaled_noise
from xtalshift.uncertainty.conformal import ScoreKind, ScoreOrigin


def calibrate(
    model: FittedModel,
    labels: Dataset,
    *,
    kind: ScoreKind | None = None,
    origin: ScoreOrigin = "target",
) -> FittedModel:
    """Return the model with intervals calibrated on labelled materials it was not trained on.

    Parameters
    ----------
    model : FittedModel
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
    calibration = calibrate_regressor(
        model.regressor,
        X,
        model.scale.forward(labels.y, labels.row_numbers),
        kind=kind,
        origin=origin,
        families=labels.materials.families,
        noise=scaled_noise(labels, model.scale),
    )
    provenance = {**model.card.provenance, "calibrated_on": asdict(labels.description)}
    calibration = for_one_measurement(calibration, labels)
    return replace(model, calibration=calibration, card=replace(model.card, provenance=provenance))
