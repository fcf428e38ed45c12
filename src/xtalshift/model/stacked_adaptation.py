"""Adapt any fitted model to a new region by a stack of corrections, chosen on its labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.data.dataset import Dataset
from xtalshift.errors import DataError
from xtalshift.estimators.predictors import Predictor
from xtalshift.estimators.stack import OutOfFold
from xtalshift.featurize.pretrained import encoder_of
from xtalshift.methods import MethodSettings
from xtalshift.methods.stacks import adapted_stack
from xtalshift.model.fitted import FittedModel
from xtalshift.model.intervals import MIN_CALIBRATION, Scored, join_scores, score_rows
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.uncertainty.conformal import Calibration

FloatArray = NDArray[np.float64]
LEAST_UNSEEN = 20
"""Fewest labels that the encoder has not seen, if these alone are to judge."""


def adapt_by_stack(
    model: FittedModel,
    labels: Dataset,
    source: Dataset | None,
    *,
    settings: MethodSettings | None = None,
    seed: int | None = 0,
    progress: Progress = NO_PROGRESS,
) -> tuple[Predictor, Calibration | None, dict[str, Any]]:
    """Return what predicts after the adaptation, its calibration, and what its card says.

    Corrections of the model are combined with weights from a cross-fit of the labels, see
    `xtalshift.estimators.AdaptedStackRegressor`. The predictions of the model stay as they are if
    no combination has a smaller error, by one standard error, on labels that did not choose it.

    Parameters
    ----------
    model : FittedModel
        Any model; it does not change.
    labels : Dataset
        Cleaned, with targets.
    source : Dataset, optional
        Cleaned source rows to replay. By default those that the domain of the model remembers.
    settings : MethodSettings, optional
        Settings of the corrections.
    seed : int, optional
        Seed of the folds and of the corrections.
    progress : Progress
        Reports the progress.

    Returns
    -------
    Predictor
        The stack, or the regressor of the model.
    Calibration or None
        From the same folds. With fewer than 10 labels of other materials than the training
        materials that of the model, or None if its predictions have changed.
    dict
        ``members`` as `AdaptedStackRegressor.describe_members` gives them, and ``cross_fit`` with
        ``n`` labels that were held out in turn and mean absolute errors in the unit of the target:
        ``before``, ``after`` and of the ``constant``, the mean of the other labels, and the
        ``standard_error`` of the difference of the first two.

    Raises
    ------
    DataError
        If all labels belong to training materials.
    """
    X = model.features_of(labels.materials)
    z = model.scale.forward(labels.y, labels.row_numbers)
    fresh = _judges(model, labels, X, progress)
    if source is None:
        source = remembered(model)
    replay: dict[str, Any] = {}
    if source is not None:
        replay = {
            "X": model.features_of(source.materials),
            "y": model.scale.forward(source.y, source.row_numbers),
            "source_groups": source.groups,
        }
    # many short fits: threads would wait for each other
    stack = adapted_stack(settings or MethodSettings(threads=1), seed)
    stack.adapt(
        model.regressor, X, z, groups=labels.groups, fresh=fresh, progress=progress, **replay
    )
    told, own = np.flatnonzero(fresh), stack.out_of_fold_
    said = {
        "members": stack.describe_members(),
        "cross_fit": _errors(model, labels, X, told, own),
        "n_source": 0 if source is None else len(source),
    }
    predictor: Predictor = model.regressor if own is None else stack
    if len(told) < MIN_CALIBRATION:
        return predictor, model.calibration if own is None else None, said
    if own is None:
        scored = score_rows(model.regressor, X[told], None)
    else:
        scored = Scored("normalised", own.center, spread=own.std)
    calibration = join_scores(
        [(np.arange(len(told)), scored)],
        X[told],
        z[told],
        origin="target",
        families=labels.materials.families[told],
    )
    return predictor, calibration, said


def _judges(
    model: FittedModel, labels: Dataset, X: FloatArray, progress: Progress
) -> NDArray[np.bool_]:
    """Return which labels can tell how good a model is, shape (n,).

    Those that neither it nor the encoder of its features was trained on; if the latter leaves too
    few, those that it was not trained on.

    Raises
    ------
    DataError
        If it was trained on all of them.
    """
    fresh = ~model.was_trained_on(X)
    if not fresh.any():
        raise DataError(
            f"all {len(labels):,} labelled materials are training materials of the model, which "
            "learns nothing new from them; give values of materials of the new region"
        )
    encoder = encoder_of(model.featurizer)
    if encoder is None:
        return fresh
    seen = fresh & encoder.knows(labels.groups)
    enough = (fresh & ~seen).sum() >= LEAST_UNSEEN
    if enough and seen.any():
        progress.say(
            f"{seen.sum():,} of the {len(labels):,} labelled materials were seen by the encoder of "
            "the features, which may know their values: they train corrections, but do not judge "
            "them"
        )
    return fresh & ~seen if enough else fresh


def remembered(model: FittedModel) -> Dataset | None:
    """Return the training materials that the domain of a model remembers, with their targets.

    None if it has no domain, or if extra columns, which a domain does not keep, are features.
    """
    domain = model.domain
    if domain is None or model.card.feature_cols:
        return None
    notation = model.featurizer.notation
    known = Dataset.of(
        domain.formulas_, domain.targets_, hydrates=notation.hydrates, amounts=notation.amounts
    )
    usable = np.flatnonzero(model.featurize(known.materials).reasons == "")
    return known.take(usable) if len(usable) else None


def _errors(
    model: FittedModel,
    labels: Dataset,
    X: FloatArray,
    told: NDArray[np.int64],
    own: OutOfFold | None,
) -> dict[str, float | int | None]:
    """Return the errors of the labels that were held out in turn."""
    y = labels.y[told]
    before = np.abs(model.predict_features(X[told]) - y)
    after = before if own is None else np.abs(model.scale.inverse(own.center) - y)
    gain = before - after
    others = (labels.y.sum() - y) / max(len(labels) - 1, 1)
    return {
        "n": len(told),
        "before": float(before.mean()),
        "after": float(after.mean()),
        "constant": float(np.abs(others - y).mean()),
        "standard_error": float(gain.std(ddof=1) / np.sqrt(len(told))) if len(told) > 1 else None,
    }
