"""Fit models of several targets: one for each, calibrated together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.data.clean import clean_table
from xtalshift.data.dataset import Dataset
from xtalshift.data.several import check_same_table
from xtalshift.errors import ConfigError
from xtalshift.estimators.base import Regressor
from xtalshift.estimators.scikit import Estimator
from xtalshift.featurize import CompositionFeatures, CompositionFeaturizer
from xtalshift.featurize.blocks import with_structures
from xtalshift.methods import MethodSettings, build_method, features_of
from xtalshift.model.fitted import FittedModel
from xtalshift.model.fitting import FitRows, calibration_rows, draw_rows, fit
from xtalshift.model.several import FittedModels
from xtalshift.model.several_inputs import features_once
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.uncertainty.settings import IntervalConfig

IntArray = NDArray[np.int64]
MIN_JOINT = 20
"""Smallest number of rows on which all targets are known for intervals of all of them."""


@dataclass(frozen=True, eq=False)
class TargetFit:
    """The model of a target, and what it was fitted to."""

    model: FittedModel
    data: Dataset
    """Clean."""
    rows: FitRows


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

    Each target gets the model that `fit` gives for its data set alone, to the bit. Features are
    computed once.

    Parameters
    ----------
    data : mapping of str to Dataset
        Labelled materials of each target: rows of one table, see `xtalshift.read_targets`. Those as
        read are cleaned first.
    method, features, settings, params, intervals, seed, workers, minutes, progress
        As in `xtalshift.fit`; `minutes` are for each target.
    transform : str or mapping of str to str
        Change of scale of all targets, or of each; see `xtalshift.data.TargetTransform`.

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
    if not isinstance(features, CompositionFeatures):
        notation = first.materials.notation
        if first.materials.structures is not None:
            features = with_structures(features)
        features = CompositionFeaturizer(
            features_of(method, features), hydrates=notation.hydrates, amounts=notation.amounts
        )
    known = features_once(clean, features)
    intervals = intervals or IntervalConfig()
    cross_fits = (
        isinstance(method, str)
        and build_method(method, settings or MethodSettings(), seed=None, params=params).cross_fits
    ) or (isinstance(method, Regressor) and method.cross_fits)
    fits = {}
    for name, table in clean.items():
        progress.say(f"Target {name}")
        rows = draw_rows(table.groups, intervals=intervals, cross_fits=cross_fits, seed=seed)
        model = fit(
            table,
            method,
            features=features,
            transform=transform if isinstance(transform, str) else transform.get(name, "none"),
            settings=settings,
            params=params,
            intervals=intervals,
            rows=rows,
            X=_matrix(known[name].values, known[name].reasons, table),
            seed=seed,
            workers=workers,
            minutes=minutes,
            progress=progress,
        )
        fits[name] = TargetFit(model, table, rows)
    return join_models(fits, intervals, progress)


def _matrix(
    values: NDArray[np.float64], reasons: NDArray[np.object_], table: Dataset
) -> NDArray[np.float64]:
    from xtalshift.errors import FormulaError

    bad = np.flatnonzero(reasons != "")
    if bad.size:
        raise FormulaError(
            f"row {table.row_numbers[bad[0]]}: no features for {table.formulas[bad[0]]}: "
            f"{reasons[bad[0]]}; leave it out"
        )
    return np.hstack([values, table.materials.extra])


def join_models(
    fits: Mapping[str, TargetFit], intervals: IntervalConfig, progress: Progress = NO_PROGRESS
) -> FittedModels:
    """Return the models of several targets with the rows that calibrate all of them.

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
    places = [_places(one, intervals) for one in fits.values()]
    if len(fits) < 2 or any(found is None for found in places):  # noqa: PLR2004 - several
        return FittedModels(models)
    known = [found for found in places if found is not None]
    shared = sorted(set(known[0]).intersection(*known[1:]), key=known[0].__getitem__)
    if len(shared) < MIN_JOINT:
        progress.say(
            f"No joint intervals: {len(shared)} rows calibrate the intervals of all targets, at "
            f"least {MIN_JOINT} are needed; --intervals cross uses every row that has all targets"
        )
        return FittedModels(models)
    rows = [[found[key] for found in known] for key in shared]
    return FittedModels(models, np.array(rows, dtype=np.int64))


def _places(one: TargetFit, intervals: IntervalConfig) -> dict[object, int] | None:
    """Return where each calibration row of a model is in its calibration; None without one.

    Rows are told apart by their material, or where these repeat, by their number in the table.
    Uncertain targets have no joint intervals: their intervals are not those of the scores.
    """
    calibration, data = one.model.calibration, one.data
    if calibration is None or calibration.noise is not None:
        return None
    regressor = one.model.regressor
    assert isinstance(regressor, Regressor)
    _, used, exact = calibration_rows(regressor, data, one.rows, intervals)
    used = used[exact]
    assert len(used) == len(calibration)
    assert data.intake is not None
    merged = data.intake.duplicates != "keep"
    keys = data.materials.keys if merged else data.row_numbers
    return {key: place for place, key in enumerate(keys[used].tolist())}
