"""Fit models of several targets: one for each, calibrated together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.data.clean import clean_table
from xtalshift.data.dataset import Dataset
from xtalshift.data.several import check_same_table
from xtalshift.errors import ConfigError, FormulaError
from xtalshift.estimators.base import Learner, Regressor
from xtalshift.estimators.scikit import Estimator
from xtalshift.featurize import CompositionFeatures, Features
from xtalshift.methods import MethodSettings, build_classifier, build_method
from xtalshift.model.fitted import FittedModel
from xtalshift.model.fitting import calibration_rows, draw_rows, fit, settle_features
from xtalshift.model.inputs import Inputs
from xtalshift.model.joint_fitting import TargetFit, fit_jointly, fits_jointly, row_keys
from xtalshift.model.several import FittedModels
from xtalshift.model.several_inputs import features_once
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.uncertainty.settings import IntervalConfig
from xtalshift.words import plural

IntArray = NDArray[np.int64]
MIN_JOINT = 20
"""Smallest number of rows on which all targets are known for intervals of all of them."""


def fit_several(
    data: Mapping[str, Dataset],
    method: str | Estimator = "auto",
    *,
    features: str | CompositionFeatures | None = None,
    transform: str | Mapping[str, str] = "none",
    settings: MethodSettings | None = None,
    params: Mapping[str, Any] | None = None,
    intervals: IntervalConfig | None = None,
    seed: int = 0,
    workers: int = 1,
    minutes: float | None = None,
    progress: Progress = NO_PROGRESS,
) -> FittedModels:
    """Fit a method to materials with several targets, of which each may have some only.

    Each target gets the model that `fit` gives for its data set alone, to the bit. A method that
    learns targets together (``multi-task``) is fitted once. Features are computed once.

    Parameters
    ----------
    data : mapping of str to Dataset
        Labelled materials of each target: rows of one table, see `xtalshift.read_targets`. Those as
        read are cleaned first.
    method, features, settings, params, intervals, seed, workers, minutes, progress
        As in `xtalshift.fit`; `minutes` are for each target.
    transform : str or mapping of str to str
        Change of scale of all targets that are numbers, or of each; see
        `xtalshift.data.TargetTransform`.

    Returns
    -------
    FittedModels
        With intervals that hold all targets at once, if enough rows on which all are known
        calibrate each model. For a method that holds rows out, those of the targets are the same
        only if no target lacks a row; cross-fitted intervals (``IntervalConfig(method="cross")``)
        use all.

    Raises
    ------
    DataError
        If the data sets are not of one table, or as `xtalshift.fit`.
    FormulaError, ConfigError
        As `xtalshift.fit`.
    """
    if not data:
        raise ConfigError("name at least one target with its data set")
    clean = {
        name: table if table.intake is not None else clean_table(table)
        for name, table in data.items()
    }
    check_same_table(clean)
    first = next(iter(clean.values()))
    features = settle_features(first, method, features)
    known = features_once(clean, features)
    intervals = intervals or IntervalConfig()
    X = {name: _matrix(known[name], table) for name, table in clean.items()}
    if fits_jointly(method):
        assert isinstance(method, str)
        fits = fit_jointly(
            {name: Inputs(table, X[name], features) for name, table in clean.items()},
            method,
            transforms={name: _transform_of(transform, name) for name in clean},
            settings=settings,
            params=params,
            intervals=intervals,
            seed=seed,
            progress=progress,
        )
        return join_models(fits, intervals, progress)
    # first of all, so that a method that is not for classes is refused before any fit
    cross = {name: _cross_fits(method, one, settings, params) for name, one in clean.items()}
    fits = {}
    for name, table in clean.items():
        progress.say(f"Target {name}")
        rows = draw_rows(
            table.groups,
            intervals=intervals,
            cross_fits=cross[name],
            seed=seed,
            labels=None if table.classes is None else table.y,
        )
        own = isinstance(transform, str) and table.classes is not None
        model = fit(
            table,
            method,
            features=features,
            transform="none" if own else _transform_of(transform, name),
            settings=settings,
            params=params,
            intervals=intervals,
            rows=rows,
            X=X[name],
            seed=seed,
            workers=workers,
            minutes=minutes,
            progress=progress,
        )
        fits[name] = TargetFit(model, table, rows)
    return join_models(fits, intervals, progress)


def _cross_fits(
    method: str | Estimator,
    table: Dataset,
    settings: MethodSettings | None,
    params: Mapping[str, Any] | None,
) -> bool:
    """Return whether a method predicts rows by fits to other rows itself."""
    if isinstance(method, str):
        build = build_method if table.classes is None else build_classifier
        return build(method, settings or MethodSettings(), seed=None, params=params).cross_fits
    return isinstance(method, Learner) and method.cross_fits


def _transform_of(given: str | Mapping[str, str], target: str) -> str:
    return given if isinstance(given, str) else given.get(target, "none")


def _matrix(features: Features, table: Dataset) -> NDArray[np.float64]:
    """Return features and extra columns, shape (n, d)."""
    bad = np.flatnonzero(features.reasons != "")
    if bad.size:
        row = int(bad[0])
        raise FormulaError(
            f"row {table.row_numbers[row]}: no features for {table.formulas[row]}: "
            f"{features.reasons[row]}; leave it out"
        )
    return np.hstack([features.values, table.materials.extra])


def join_models(
    fits: Mapping[str, TargetFit], intervals: IntervalConfig, progress: Progress = NO_PROGRESS
) -> FittedModels:
    """Return the models of several targets with the rows that calibrate all that are numbers.

    Parameters
    ----------
    fits : mapping of str to TargetFit
        The fit of each target to rows of one table.
    intervals : IntervalConfig
        As in the fits.
    progress : Progress
        Told why there are no joint intervals, if there are none.
    """
    models = {name: one.model for name, one in fits.items()}
    places = [
        _places(one.model, one, intervals)
        for one in fits.values()
        if isinstance(one.model, FittedModel)
    ]
    if len(places) < 2 or any(found is None for found in places):  # noqa: PLR2004 - several
        return FittedModels(models)
    known = [found for found in places if found is not None]
    shared = sorted(set(known[0]).intersection(*known[1:]), key=known[0].__getitem__)
    if len(shared) < MIN_JOINT:
        progress.say(
            f"No joint intervals: {plural(len(shared), 'row', 'calibrates', 'calibrate')} the "
            f"intervals of all targets, at least {MIN_JOINT} are needed; --intervals cross uses "
            "every row that has all targets"
        )
        return FittedModels(models)
    rows = [[found[key] for found in known] for key in shared]
    return FittedModels(models, np.array(rows, dtype=np.int64))


def _places(
    model: FittedModel, one: TargetFit, intervals: IntervalConfig
) -> dict[object, int] | None:
    """Return where each calibration row of a model is in its calibration; None without one.

    Uncertain targets have no joint intervals: their intervals are not those of the scores.
    """
    calibration, regressor = model.calibration, model.regressor
    if calibration is None or calibration.noise is not None:
        return None
    assert isinstance(regressor, Regressor)
    _, used, exact = calibration_rows(regressor, one.data, one.rows, intervals)
    used = used[exact]
    assert len(used) == len(calibration)
    return {key: place for place, key in enumerate(row_keys(one.data)[used].tolist())}
