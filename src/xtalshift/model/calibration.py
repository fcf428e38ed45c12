"""Give a fitted model intervals of other rows; its predictions stay."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np

from xtalshift.data.clean import clean_table
from xtalshift.data.dataset import Dataset
from xtalshift.errors import LeakageError
from xtalshift.model.fitted import FittedModel
from xtalshift.model.intervals import calibrate_regressor
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
        It stays as it is.
    labels : Dataset
        At least 10 materials, none of them a training material. Intervals then hold for materials
        that these are a random sample of. A data set as read is cleaned first, as by `fit`.
    kind : {"absolute", "normalised", "quantile"}, optional
        Kind of the conformity scores; by default what the regressor supports, see
        `xtalshift.model.intervals.calibrate_regressor`.
    origin : {"target", "held-out"}
        Whether the labels are of a target domain, or like the training rows.

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
    X = model.features_of(labels.materials)
    known = np.flatnonzero(model.was_trained_on(X))
    if known.size:
        raise LeakageError(
            f"row {known[0] + 1}, {labels.formulas[known[0]]}, is a training material "
            f"({known.size} of {len(X)} rows are): its error says how well the model fits, not how "
            "well it predicts. Give other rows"
        )
    calibration = calibrate_regressor(
        model.regressor,
        X,
        model.scale.forward(labels.y),
        kind=kind,
        origin=origin,
        families=labels.materials.families,
    )
    provenance = {**model.card.provenance, "calibrated_on": asdict(labels.description)}
    return replace(model, calibration=calibration, card=replace(model.card, provenance=provenance))
