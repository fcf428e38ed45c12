"""Adapt a fitted network to a new region, if the labels show that this pays."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from xtalshift.data.dataset import Dataset
from xtalshift.errors import ConfigError
from xtalshift.estimators.adapted_stack import pays
from xtalshift.model.fitted import FittedModel
from xtalshift.model.intervals import (
    MIN_CALIBRATION,
    Scored,
    fold_number,
    join_scores,
    score_rows,
)
from xtalshift.model.label_judges import find_judges, judge
from xtalshift.model.loss_weights import for_one_measurement, loss_weights, scaled_noise
from xtalshift.parallel import map_here_first
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.splits import KFoldSplit
from xtalshift.uncertainty.conformal import Calibration
from xtalshift.words import plural

if TYPE_CHECKING:
    from xtalshift.estimators.adaptation import TargetedCALRegressor
    from xtalshift.estimators.irnet import IRNetBase
    from xtalshift.estimators.predictors import Predictor

FloatArray = NDArray[np.float64]
Replay = dict[str, NDArray[Any] | None]
LABELS_PER_FOLD = 4
"""Smallest number of labels per fold for intervals."""


def adapt_by_network(
    model: FittedModel,
    labels: Dataset,
    X: FloatArray,
    source: Dataset | None,
    method: str,
    settings: Mapping[str, Any] | None,
    *,
    folds: int,
    seed: int | None = 0,
    workers: int = 1,
    progress: Progress = NO_PROGRESS,
) -> tuple[Predictor, Calibration | None, dict[str, Any]]:
    """Return what predicts after the adaptation, its calibration, and what its card says.

    The labels of each fold are predicted by a network that was adapted to the others, of which some
    selected its parameters. The model is adapted if these predictions are better than its own, by
    one standard error, on its scale.

    Parameters
    ----------
    model : FittedModel
        A network; it does not change.
    labels : Dataset
        Cleaned; with targets, if the method uses them.
    X : ndarray of float64, shape (n, d)
        Their features.
    source : Dataset, optional
        Cleaned source rows to replay, for methods that do so.
    method, settings
        See `xtalshift.estimators.TargetedCALRegressor`.
    folds : int
        Number of folds; 0: the model is adapted without a judgement, and has no intervals.
    seed, workers, progress
        As in `adapt`.

    Returns
    -------
    Predictor
        The adapted network, or that of the model.
    Calibration or None
        From the folds, if there are enough labels.
    dict
        ``cross_fit``, a `CrossFit` or None, and ``n_source``, the number of source rows that were
        replayed.

    Raises
    ------
    ConfigError
        If the model is no network, or rows are missing that the method needs.
    DataError
        If all labels belong to training materials, or to one formula.
    """
    from xtalshift.cal.adaptation import ADAPTATIONS, AdaptConfig
    from xtalshift.estimators.adaptation import TargetedCALRegressor

    start = require_network(model)
    how = ADAPTATIONS[AdaptConfig.from_dict({"method": method, **(settings or {})}).method]
    regressor = TargetedCALRegressor(
        method,
        settings,
        architecture=start.widths_,
        dropout=start.dropout_,
        n_members=start.n_members,
        bootstrap=start.bootstrap,
        weights=start.weights,
        clip=start.clip,
        bf16=start.bf16,
        device=start.device,
        random_state=seed,
    )
    z = None if labels.targets is None else model.scale.forward(labels.targets, labels.row_numbers)
    replay: Replay = {}
    if source is not None and how.replays:
        replay = {
            "X": model.features_of(source.materials),
            "y": model.scale.forward(source.y, source.row_numbers),
            "source_weight": loss_weights(
                source, model.features_of(source.materials), scale=model.scale, seed=seed
            ),
            "source_groups": source.groups,
        }
    elif source is not None:
        progress.say(f"note: {method} trains on the labels only; no source rows are replayed")
    calibration, found, share, noise = None, None, None, None
    if z is not None:
        share = loss_weights(labels, X, scale=model.scale, seed=seed, progress=progress)
        noise = scaled_noise(labels, model.scale)
    if folds and z is not None and how.uses_labels:
        told = np.flatnonzero(find_judges(model, labels, X, progress))
        rows = _Rows(regressor, start, X, z, share, labels.groups, replay, told)
        scored = _cross_fit(rows, folds, seed, workers, progress)
        center = np.empty(len(told))
        for places, score in scored:
            center[places] = score.center
        before = model.regressor.predict(X[told])
        gain = np.abs(before - z[told]) - np.abs(center - z[told])
        kept = not pays(gain if share is None else gain * share[told] / share[told].mean())
        found = judge(model, labels, X, told, center, kept=kept)
        if kept:
            kept_scores = score_rows(model.regressor, X[told], noisy=noise is not None)
            scored = [(np.arange(len(told)), kept_scores)]
        if _enough(labels, told, folds, progress):
            families = labels.materials.families[told]
            calibration = join_scores(
                scored,
                X[told],
                z[told],
                origin="target",
                families=families,
                noise=None if noise is None else noise[told],
            )
            calibration = for_one_measurement(calibration, labels)
    said = {
        "cross_fit": None if found is None else asdict(found),
        "n_source": 0 if source is None or not how.replays else len(source),
    }
    if found is not None and found.kept:
        return model.regressor, calibration, said
    regressor.adapt(
        start, X, z, sample_weight=share, groups=labels.groups, progress=progress, **replay
    )
    return regressor, calibration, said


def require_network(model: FittedModel) -> IRNetBase:
    """Return the network of a model.

    Raises
    ------
    ConfigError
        If the model is not an `IRNet`, so that it cannot be adapted.
    """
    from xtalshift.estimators.irnet import IRNetBase

    regressor = model.regressor
    if not isinstance(regressor, IRNetBase):
        made = model.card.provenance.get("method", regressor.regressor_name)
        raise ConfigError(
            f"this method trains a network further, and the model was trained with {made}; use "
            "method 'auto', which adapts any model, or train one with method 'erm' or 'cal'"
        )
    return regressor


def _enough(labels: Dataset, told: NDArray[np.int64], folds: int, progress: Progress) -> bool:
    """Return whether the labels are enough for intervals, with a message if not."""
    n, n_formulas = len(told), len(np.unique(labels.groups))
    needed = max(MIN_CALIBRATION, LABELS_PER_FOLD * folds)
    if n >= needed and n_formulas >= folds:
        return True
    apart = " that may judge" if n < len(labels) else ""
    progress.say(
        f"No intervals: {plural(n, 'label')}{apart}, {plural(n_formulas, 'formula')}; {folds} "
        f"folds need at least {needed} labels and {folds} formulas"
    )
    return False


@dataclass(frozen=True, eq=False)
class _Rows:
    """Data that all folds of the labels share."""

    template: TargetedCALRegressor
    start: IRNetBase
    X: FloatArray
    y: FloatArray
    weights: FloatArray | None
    groups: NDArray[Any]
    replay: Replay
    told: NDArray[np.int64]


def _cross_fit(
    rows: _Rows, folds: int, seed: int | None, workers: int, progress: Progress
) -> list[tuple[NDArray[np.int64], Scored]]:
    """Return, for each fold, places among the labels that judge and forecasts without them."""
    number = fold_number(folds, len(np.unique(rows.groups)))
    split = KFoldSplit(number, random_state=seed).split(rows.X, rows.y, rows.groups)
    held_out = [out for _, out in split if np.isin(rows.told, out).any()]
    outcomes = map_here_first(
        _score_fold,
        held_out,
        workers=workers,
        setup=partial(replace, rows),
        preload=(type(rows.template).__module__,),
    )
    found = []
    with progress.task("calibration", len(held_out)) as task, closing(outcomes):
        for outcome in outcomes:
            found.append((np.flatnonzero(np.isin(rows.told, outcome.item)), outcome.value))
            task.advance()
    return found


def _score_fold(rows: _Rows, out: NDArray[np.int64]) -> Scored:
    """Return the forecast of a network, adapted without some labels, for those that judge."""
    kept = np.setdiff1d(np.arange(len(rows.y)), out)
    regressor = clone(rows.template)
    apart = _without(rows.replay, rows.groups[out])
    regressor.adapt(
        rows.start,
        rows.X[kept],
        rows.y[kept],
        sample_weight=None if rows.weights is None else rows.weights[kept],
        groups=rows.groups[kept],
        **apart,
    )
    return score_rows(regressor, rows.X[np.intersect1d(rows.told, out)])


def _without(replay: Replay, groups: NDArray[Any]) -> Replay:
    """Return source rows without some formulas: a fold must not replay its held-out rows."""
    if not replay:
        return replay
    names = replay["source_groups"]
    assert names is not None
    kept = ~np.isin(names, groups)
    return {name: None if values is None else values[kept] for name, values in replay.items()}
