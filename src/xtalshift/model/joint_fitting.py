"""Fit several targets by one network; each gets a model of its own, with the head of the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from xtalshift.data.dataset import Dataset
from xtalshift.errors import ConfigError
from xtalshift.estimators.scikit import Estimator
from xtalshift.methods import METHODS, MethodSettings, build_method
from xtalshift.model.classifier import FittedClassifier
from xtalshift.model.fit_plan import FitRows
from xtalshift.model.fitted import FittedModel
from xtalshift.model.fitting import draw_rows, find_domain, make_card, target_scale
from xtalshift.model.inputs import Inputs
from xtalshift.model.intervals import (
    MIN_CALIBRATION,
    Scored,
    calibrate_regressor,
    fold_number,
    join_scores,
    score_rows,
)
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import derive_seed
from xtalshift.splits import KFoldSplit
from xtalshift.uncertainty.conformal import Calibration
from xtalshift.uncertainty.settings import IntervalConfig
from xtalshift.words import plural

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TargetFit:
    """The model of a target, and what it was fitted to."""

    model: FittedModel | FittedClassifier
    data: Dataset
    """Clean."""
    rows: FitRows


@dataclass(frozen=True, eq=False)
class _Union:
    """All n rows that have one of t targets."""

    X: FloatArray
    """Shape (n, d)."""
    Y: FloatArray
    """Shape (n, t). On the scales of the network; NaN where a value is not known."""
    groups: NDArray[np.object_]
    """Shape (n,). Reduced formulas."""
    places: tuple[IntArray, ...]
    """For each target: where each of its rows is."""

    def own(self, target: int, rows: IntArray) -> IntArray:
        """Return the rows of the data set of a target that are among some of all rows, in order."""
        return np.flatnonzero(np.isin(self.places[target], rows))


def fits_jointly(method: str | Estimator) -> bool:
    """Return whether one fit of a method learns several targets."""
    return isinstance(method, str) and METHODS[method].joint


def row_keys(data: Dataset) -> NDArray[Any]:
    """Return what tells the rows of a clean data set apart, and is equal in those of other targets.

    It is their material, or where these repeat, the number of the row in the table.
    """
    assert data.intake is not None
    return data.row_numbers if data.intake.duplicates == "keep" else data.materials.keys


def fit_jointly(
    inputs: Mapping[str, Inputs],
    method: str,
    *,
    transforms: Mapping[str, str],
    settings: MethodSettings | None = None,
    params: Mapping[str, Any] | None = None,
    intervals: IntervalConfig | None = None,
    validation_share: float = 0.1,
    validation: NDArray[np.object_] | None = None,
    seed: int = 0,
    progress: Progress = NO_PROGRESS,
    checkpoint: Path | None = None,
) -> dict[str, TargetFit]:
    """Fit one network to all targets of a table.

    Validation and calibration rows, and folds, are drawn among all rows: a material has the same
    role for each of its targets.

    Parameters
    ----------
    inputs : mapping of str to Inputs
        Clean rows of each target, and their features.
    method : str
        One that `fits_jointly`.
    transforms : mapping of str to str
        Change of scale of each target.
    settings, params, intervals, seed, progress, checkpoint
        As in `xtalshift.fit`.
    validation_share : float
        Share of the rows for model selection.
    validation : ndarray of str, optional
        Reduced formulas of these rows, in place of a draw.

    Raises
    ------
    ConfigError
        If a target is a class, or rows have weights, uncertainties or bounds: the network counts
        all values the same.
    """
    for name, one in inputs.items():
        data = one.data
        if data.classes is not None:
            raise ConfigError(
                f"{name} is a class, and {method!r} learns numbers together; leave it out, or "
                "choose a method that is fitted to each target alone"
            )
        if data.weights is not None or data.noise is not None or data.bounded.any():
            raise ConfigError(
                f"{name}: method {method!r} counts all known values the same; leave out weights, "
                "uncertainties and bounds, or choose a method that is fitted to each target alone"
            )
    intervals = intervals or IntervalConfig()
    regressor: Any = build_method(
        method, settings or MethodSettings(), seed=derive_seed(seed, "method"), params=params
    )
    scales = {name: target_scale(regressor, transforms[name]) for name in inputs}
    rows_of = _join(inputs, [scales[name].forward for name in inputs])
    if validation is None:
        rows = draw_rows(
            rows_of.groups, intervals=intervals, validation_share=validation_share, seed=seed
        )
    else:
        chosen = np.isin(rows_of.groups.astype(str), validation.astype(str))
        rows = FitRows(np.flatnonzero(~chosen), np.flatnonzero(chosen))
    X, Y = rows_of.X, rows_of.Y
    regressor.fit(
        X[rows.train], Y[rows.train], groups=rows_of.groups[rows.train],
        X_val=X[rows.validation], y_val=Y[rows.validation],
        progress=progress, checkpoint=checkpoint,
    )  # fmt: skip
    calibrations = _calibrate(regressor, rows_of, rows, intervals, inputs, seed, progress)
    fits = {}
    for number, (name, one) in enumerate(inputs.items()):
        part = regressor.parts_[number]
        own = FitRows(
            rows_of.own(number, rows.train),
            rows_of.own(number, rows.validation),
            rows_of.own(number, rows.calibration),
        )
        names = (*one.featurizer.names, *one.data.materials.extra_names)
        model = FittedModel(
            one.featurizer,
            scales[name],
            part,
            make_card(one.data, method, part, one.featurizer, None),
            calibrations[number],
            find_domain(one.data, one.X, own, names, seed),
        )
        fits[name] = TargetFit(model, one.data, own)
    return fits


def _join(inputs: Mapping[str, Inputs], forward: list[Any]) -> _Union:
    """Return all rows; those of one material are one row with several targets."""
    place: dict[object, int] = {}
    places, features, groups = [], [], []
    for one in inputs.values():
        keys = row_keys(one.data).tolist()
        new = [row for row, key in enumerate(keys) if key not in place]
        place |= {keys[row]: len(place) + k for k, row in enumerate(new)}
        features.append(one.X[new])
        groups.append(one.data.groups[new])
        places.append(np.array([place[key] for key in keys], dtype=np.int64))
    Y = np.full((len(place), len(inputs)), np.nan)
    for number, one in enumerate(inputs.values()):
        Y[places[number], number] = forward[number](one.data.y, one.data.row_numbers)
    return _Union(np.concatenate(features), Y, np.concatenate(groups), tuple(places))


def _calibrate(
    regressor: Any,
    rows_of: _Union,
    rows: FitRows,
    intervals: IntervalConfig,
    inputs: Mapping[str, Inputs],
    seed: int,
    progress: Progress,
) -> list[Calibration | None]:
    """Return the conformity scores of each target, of rows that were not fitted."""
    n = len(rows_of.X)
    how = "held-out" if len(rows.calibration) else intervals.how(n, cross_fits=False)
    if how == "none":
        return [None] * len(inputs)
    used = rows.calibration if how == "held-out" else np.arange(n)
    X, Y = rows_of.X[used], rows_of.Y[used]
    parts: list[list[tuple[IntArray, Scored]]] = [[] for _ in inputs]
    if how == "cross":
        groups = rows_of.groups[used]
        number = fold_number(intervals.folds, len(np.unique(groups)))
        split = KFoldSplit(number, random_state=derive_seed(seed, "folds"))
        with progress.task("calibration", number) as task:
            for train, out in split.split(X, Y[:, 0], groups):
                fitted: Any = clone(regressor).fit(X[train], Y[train], groups=groups[train])
                for target, part in enumerate(fitted.parts_):
                    known = out[np.isfinite(Y[out, target])]
                    parts[target].append((known, score_rows(part, X[known])))
                task.advance()
    found: list[Calibration | None] = []
    for target, (name, one) in enumerate(inputs.items()):
        own = rows_of.own(target, used)
        if len(own) < MIN_CALIBRATION:
            progress.say(
                f"{name}: no intervals: {plural(len(own), 'row')} for calibration, at least "
                f"{MIN_CALIBRATION} are needed"
            )
            found.append(None)
            continue
        # in the order of the data set of the target
        z, families = rows_of.Y[rows_of.places[target][own], target], one.data.materials.families
        if how == "held-out":
            part = regressor.parts_[target]
            found.append(calibrate_regressor(part, one.X[own], z, families=families[own]))
            continue
        order = {int(place): row for row, place in enumerate(rows_of.places[target][own])}
        scored = [
            (np.array([order[int(used[row])] for row in known], dtype=np.int64), forecast)
            for known, forecast in parts[target]
        ]
        found.append(
            join_scores(scored, one.X[own], z, origin="out-of-fold", families=families[own])
        )
    return found
