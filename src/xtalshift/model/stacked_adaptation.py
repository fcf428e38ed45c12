"""Adapt any fitted model to a new region by a stack of corrections, chosen on its labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.data.dataset import Dataset
from xtalshift.estimators.adapted_stack import AdaptedStackRegressor
from xtalshift.estimators.predictors import Predictor
from xtalshift.methods import MethodSettings
from xtalshift.methods.stacks import adapted_stack
from xtalshift.model.classifier import FittedClassifier
from xtalshift.model.fitted import FittedModel
from xtalshift.model.intervals import MIN_CALIBRATION, Scored, join_scores, score_rows
from xtalshift.model.label_judges import find_judges, judge
from xtalshift.model.loss_weights import for_one_measurement, loss_weights, scaled_noise
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.uncertainty.conformal import Calibration

FloatArray = NDArray[np.float64]


def adapt_by_stack(
    model: FittedModel,
    labels: Dataset,
    X: FloatArray,
    source: Dataset | None,
    *,
    settings: MethodSettings | None = None,
    make_stack: Callable[[MethodSettings, int | None], AdaptedStackRegressor] | None = None,
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
    X : ndarray of float64, shape (n, d)
        Their features.
    source : Dataset, optional
        Cleaned source rows to replay. By default those that the domain of the model remembers.
    settings : MethodSettings, optional
        Settings of the corrections.
    make_stack : callable, optional
        Returns the stack of corrections, not fitted; by default that of ``adapt``.
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
        ``members`` as `AdaptedStackRegressor.describe_members` gives them, ``cross_fit``, a
        `CrossFit`, ``n_source``, the number of source rows that were replayed, and ``alone``, the
        error of corrections that learn from the labels alone, if there are any.

    Raises
    ------
    DataError
        If all labels belong to training materials.
    """
    z = model.scale.forward(labels.y, labels.row_numbers)
    noise = scaled_noise(labels, model.scale)
    fresh = find_judges(model, labels, X, progress)
    if source is None:
        source = remembered(model)
    replay: dict[str, Any] = {}
    if source is not None:
        replay = {
            "X": model.features_of(source.materials),
            "y": model.scale.forward(source.y, source.row_numbers),
            "source_weight": loss_weights(
                source, model.features_of(source.materials), scale=model.scale, seed=seed
            ),
            "source_groups": source.groups,
        }
    # many short fits: threads would wait for each other
    stack = (make_stack or adapted_stack)(settings or MethodSettings(threads=1), seed)
    stack.adapt(
        model.regressor,
        X,
        z,
        sample_weight=loss_weights(labels, X, scale=model.scale, seed=seed, progress=progress),
        groups=labels.groups,
        fresh=fresh,
        progress=progress,
        **replay,
    )
    told, own = np.flatnonzero(fresh), stack.out_of_fold_
    center = model.regressor.predict(X[told]) if own is None else own.center
    said = {
        "members": stack.describe_members(),
        "cross_fit": asdict(judge(model, labels, X, told, center, kept=not stack.members_)),
        "n_source": 0 if source is None else len(source),
        **_error_alone(model, labels, told, stack),
    }
    predictor: Predictor = model.regressor if own is None else stack
    if len(told) < MIN_CALIBRATION:
        return predictor, model.calibration if own is None else None, said
    if own is None:
        scored = score_rows(model.regressor, X[told], noisy=noise is not None)
    else:
        scored = Scored("normalised", own.center, spread=own.std)
    calibration = join_scores(
        [(np.arange(len(told)), scored)],
        X[told],
        z[told],
        origin="target",
        families=labels.materials.families[told],
        noise=None if noise is None else noise[told],
    )
    return predictor, for_one_measurement(calibration, labels), said


def _error_alone(
    model: FittedModel, labels: Dataset, told: NDArray[np.intp], stack: AdaptedStackRegressor
) -> dict[str, float]:
    """Return the error of what learns from the labels alone, if there is any."""
    if stack.alone_ is None:
        return {}
    errors = np.abs(model.scale.inverse(stack.alone_) - labels.y[told])
    return {"alone": float(errors.mean())}


def remembered(model: FittedModel | FittedClassifier) -> Dataset | None:
    """Return the training materials that the domain of a model remembers, with their targets.

    None if it has no domain, or if extra columns or structures, which a domain does not keep, are
    features. Materials of several classes are left out.
    """
    domain = model.domain
    if domain is None or model.card.feature_cols or model.featurizer.needs_structures:
        return None
    notation = model.featurizer.notation
    classes = model.classes if isinstance(model, FittedClassifier) else None
    whole = domain.targets_ % 1 == 0 if classes else np.ones(len(domain.targets_), dtype=bool)
    known = Dataset.of(
        np.array(domain.formulas_, dtype=object)[whole],
        domain.targets_[whole],
        classes=classes,
        hydrates=notation.hydrates,
        amounts=notation.amounts,
    )
    usable = np.flatnonzero(model.featurize(known.materials).reasons == "")
    return known.take(usable) if len(usable) else None
