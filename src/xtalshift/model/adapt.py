"""Adaptation of a model of formulas to a target domain, and intervals from the same labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.families import family_codes
from xtalshift.errors import ConfigError, DataError
from xtalshift.estimators.adaptation import TargetedCALRegressor
from xtalshift.estimators.network import NetworkRegressor
from xtalshift.model.card import FormulaLabels
from xtalshift.model.intervals import (
    MIN_CALIBRATION,
    Scored,
    fold_number,
    join_scores,
    score_rows,
)
from xtalshift.progress import Progress
from xtalshift.splits import KFoldSplit

if TYPE_CHECKING:
    from xtalshift.model.formula_regressor import FormulaRegressor

__all__ = ["adapt_formulas"]


def adapt_formulas(
    model: FormulaRegressor,
    target: FormulaLabels,
    *,
    source: FormulaLabels | None,
    method: str,
    settings: Mapping[str, Any] | None,
    calibration_folds: int,
    random_state: int | None,
    progress: Progress,
) -> FormulaRegressor:
    """Return an adapted copy of `model`; see `FormulaRegressor.adapt`."""
    check_is_fitted(model, "regressor_")
    start = model.regressor_
    if not isinstance(start, NetworkRegressor):
        raise ConfigError(
            f"only networks can be adapted, this model is a {type(start).__name__}; "
            "train one with method 'erm' or 'cal', or adapt its intervals alone (calibrate)"
        )
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
        random_state=random_state,
    )
    scale = model.scale
    compositions, _, _ = parse_formulas(list(target.X), hydrates=model.hydrates)
    groups = compositions.reduced_formulas()
    X = model.features_of(target.X, target.extra)
    y = None if target.y is None else scale.forward(target.y)
    replay: dict[str, Any] = {}
    if source is not None:
        assert source.y is not None
        known, _, _ = parse_formulas(list(source.X), hydrates=model.hydrates)
        replay = {
            "X": model.features_of(source.X, source.extra),
            "y": scale.forward(source.y),
            "source_groups": known.reduced_formulas(),
        }
    # what the first model was trained on says nothing of its errors in the new region
    fresh = np.flatnonzero(~model.was_trained_on(X))
    folds = 0
    if calibration_folds and y is not None:  # before the work, not after it
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
    adapted: FormulaRegressor = clone(model).set_params(method=clone(regressor))
    adapted.adopt(regressor, model.card_)
    if model.domain_ is not None:
        adapted.domain_ = model.domain_
        if target.y is not None:
            values = np.asarray(target.y, dtype=np.float64)
            adapted.domain_ = model.domain_.extend(X, values, groups.tolist())
    if calibration_folds and y is not None:
        scored: list[tuple[NDArray[np.int64], Scored]] = []
        split = KFoldSplit(folds, random_state=random_state)
        with progress.task("calibration", folds) as task:
            for rows, out in split.split(X, y, groups):
                places = np.flatnonzero(np.isin(fresh, out))
                if places.size:
                    fold = clone(template)
                    apart = _without(replay, groups[out])
                    fold.adapt(start, X[rows], y[rows], groups=groups[rows], **apart)
                    scored.append((places, score_rows(fold, X[fresh[places]])))
                task.advance()
        families = family_codes(compositions)[fresh]
        adapted.calibration_ = join_scores(
            scored, X[fresh], y[fresh], origin="target", families=families
        )
    return adapted


def _without(replay: dict[str, Any], groups: NDArray[Any]) -> dict[str, Any]:
    """Return source rows without those of some formulas: a fold must not replay its own rows."""
    if not replay:
        return replay
    kept = ~np.isin(replay["source_groups"], groups)
    return {name: values[kept] for name, values in replay.items()}
