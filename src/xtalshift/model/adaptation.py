"""Adapt a fitted model to a target domain, and calibrate it on the same labels."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from xtalshift._version import __version__
from xtalshift.data.clean import clean_table
from xtalshift.data.dataset import Dataset
from xtalshift.errors import ConfigError, DataError
from xtalshift.model.fitted import FittedModel
from xtalshift.model.intervals import (
    MIN_CALIBRATION,
    Scored,
    fold_number,
    join_scores,
    score_rows,
)
from xtalshift.parallel import map_here_first
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.splits import KFoldSplit
from xtalshift.uncertainty.conformal import Calibration

if TYPE_CHECKING:
    from xtalshift.estimators.adaptation import TargetedCALRegressor
    from xtalshift.estimators.irnet import IRNetBase
    from xtalshift.estimators.predictors import Predictor

AUTO = "auto"
"""Name of the adaptation that works for every model."""


def adapt(
    model: FittedModel,
    labels: Dataset,
    *,
    source: Dataset | None = None,
    method: str = AUTO,
    settings: Mapping[str, Any] | None = None,
    calibration_folds: int = 0,
    seed: int | None = 0,
    workers: int = 1,
    progress: Progress = NO_PROGRESS,
) -> FittedModel:
    """Return the model adapted to a target domain; the given model does not change.

    Parameters
    ----------
    model : FittedModel
        Any model for ``auto``, a fitted network for the other methods.
    labels : Dataset
        Materials of the target domain; only the ``unlabelled-cal`` methods need no targets. A data
        set that has not been cleaned is cleaned first, as in `fit`.
    source : Dataset, optional
        Labelled source rows to replay. For ``auto`` by default those that the domain of the model
        remembers; a network may forget what is not replayed.
    method : str, default "auto"
        ``auto``: corrections of the model, combined by a cross-fit of the labels, see
        `xtalshift.estimators.AdaptedStackRegressor`. It keeps the predictions of the model unless
        the combination has a smaller error on labels that did not choose it, and its intervals are
        those of the same folds. For the others see `xtalshift.estimators.TargetedCALRegressor`.
    settings : mapping, optional
        Settings of the method, as in `TargetedCALRegressor`; ``auto`` has none.
    calibration_folds : int, default 0
        Number of further adaptations, each without one part of the labels; the errors on these
        parts calibrate the intervals of the target domain. 0 for no intervals. ``auto`` needs none.
    seed : int, optional
        Seed of validation rows, folds, batches and dropout.
    workers : int, default 1
        Largest number of processes for the further adaptations; as in `fit`.
    progress : Progress
        Reports the progress of the adaptation.

    Raises
    ------
    ConfigError
        If the method needs a network and the model is none, or rows that are missing.
    DataError
        If the labels are too few for the folds.
    FormulaError
        If a formula cannot be read.
    """
    labels = _cleaned(labels)
    if source is not None:
        source = _cleaned(source)
    if method == AUTO:
        if settings:
            raise ConfigError(f"method 'auto' has no settings; got {', '.join(settings)}")
        from xtalshift.model.stacked_adaptation import adapt_by_stack

        found = adapt_by_stack(model, labels, source, seed=seed, progress=progress)
        return _renewed(model, labels, method, *found)
    from xtalshift.estimators.adaptation import TargetedCALRegressor

    start = require_network(model)
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
    groups, X = labels.groups, model.features_of(labels.materials)
    y = None if labels.targets is None else model.scale.forward(labels.targets, labels.row_numbers)
    replay: dict[str, NDArray[Any]] = {}
    if source is not None:
        replay = {
            "X": model.features_of(source.materials),
            "y": model.scale.forward(source.y, source.row_numbers),
            "source_groups": source.groups,
        }
    # errors on training materials of the first model do not show its error in the new region
    fresh = np.flatnonzero(~model.was_trained_on(X))
    folds = 0
    if calibration_folds and y is not None:  # checked before the training, not after it
        folds = fold_number(calibration_folds, len(np.unique(groups)))
        if len(fresh) < max(MIN_CALIBRATION, 2 * folds):
            seen = len(y) - len(fresh)
            without = f" (without {seen} training materials of the model)" if seen else ""
            raise DataError(
                f"{len(fresh)} labels{without} are too few for intervals from {folds} folds; give "
                "more labels, or calibration_folds=0 (no intervals)"
            )
    template = clone(regressor)
    regressor.adapt(start, X, y, groups=groups, progress=progress, **replay)
    calibration: Calibration | None = None
    if folds and y is not None:
        scored: list[tuple[NDArray[np.int64], Scored]] = []
        split = KFoldSplit(folds, random_state=seed)
        held_out = [out for _, out in split.split(X, y, groups) if np.isin(fresh, out).any()]
        outcomes = map_here_first(
            _score_fold,
            held_out,
            workers=workers,
            setup=partial(_Rows, template, start, X, y, groups, replay, fresh),
            preload=(type(template).__module__,),
        )
        with progress.task("calibration", len(held_out)) as task, closing(outcomes):
            for outcome in outcomes:
                scored.append((np.flatnonzero(np.isin(fresh, outcome.item)), outcome.value))
                task.advance()
        calibration = join_scores(
            scored,
            X[fresh],
            y[fresh],
            origin="target",
            families=labels.materials.families[fresh],
        )
    return _renewed(model, labels, method, regressor, calibration, {})


def _renewed(
    model: FittedModel,
    labels: Dataset,
    method: str,
    regressor: Predictor,
    calibration: Calibration | None,
    said: Mapping[str, Any],
) -> FittedModel:
    """Return a model with another regressor, which also knows the labels."""
    domain = model.domain
    if domain is not None and labels.targets is not None:
        domain = domain.extend(
            model.features_of(labels.materials),
            labels.targets,
            labels.groups.tolist(),
            compositions=labels.materials.compositions,
        )
    provenance = {
        "method": method,
        **said,
        "adapted_to": asdict(labels.description),
        "adapted_from": model.card.provenance,
        "version": __version__,
    }
    return replace(
        model,
        regressor=regressor,
        domain=domain,
        calibration=calibration,
        card=replace(model.card, provenance=provenance),
    )


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


@dataclass(frozen=True, eq=False)
class _Rows:
    """Data that all folds of the labels share."""

    template: TargetedCALRegressor
    start: IRNetBase
    X: NDArray[np.float64]
    y: NDArray[np.float64]
    groups: NDArray[Any]
    replay: dict[str, NDArray[Any]]
    fresh: NDArray[np.int64]


def _score_fold(rows: _Rows, out: NDArray[np.int64]) -> Scored:
    """Return the forecast of a network, adapted without some labels, for the fresh among them."""
    kept = np.setdiff1d(np.arange(len(rows.y)), out)
    regressor = clone(rows.template)
    apart = _without(rows.replay, rows.groups[out])
    regressor.adapt(rows.start, rows.X[kept], rows.y[kept], groups=rows.groups[kept], **apart)
    return score_rows(regressor, rows.X[np.intersect1d(rows.fresh, out)])


def _cleaned(data: Dataset) -> Dataset:
    """Return the data set, cleaned if it has targets and has not been cleaned."""
    return clean_table(data) if data.intake is None and data.targets is not None else data


def _without(replay: dict[str, NDArray[Any]], groups: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return source rows without some formulas: a fold must not replay its held-out rows."""
    if not replay:
        return replay
    kept = ~np.isin(replay["source_groups"], groups)
    return {name: values[kept] for name, values in replay.items()}
