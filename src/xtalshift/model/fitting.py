"""Fit a model: the only way from a data set to a `FittedModel`.

Seeds: the regressor of every method draws from ``derive_seed(seed, "method")``, so that a method
and its control start from the same parameters. Validation rows, calibration rows, folds and the
domain have streams of their own. The same table, rows, method, settings and seed give the same
model from every command and from Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from xtalshift._version import __version__
from xtalshift.data.clean import clean_table
from xtalshift.data.dataset import Dataset
from xtalshift.data.materials import Materials
from xtalshift.data.transform import TargetTransform
from xtalshift.domain.applicability import ApplicabilityDomain
from xtalshift.domain.known_crystals import KnownCrystals
from xtalshift.errors import ConfigError, SplitError
from xtalshift.estimators.base import MIN_ROWS_TO_SPLIT, Learner, Regressor, keep_classes
from xtalshift.estimators.baselines import ConstantRegressor, LightGBMRegressor
from xtalshift.estimators.predictors import Predictor
from xtalshift.estimators.scikit import Estimator, as_regressor
from xtalshift.featurize import CompositionFeatures, CompositionFeaturizer, CompositionSource
from xtalshift.featurize.blocks import with_structures
from xtalshift.featurize.pretrained import count_overlap, encoder_of
from xtalshift.methods import METHODS, MethodSettings, build_method, features_of
from xtalshift.methods.registry import refuse_tobit
from xtalshift.model.bounded_targets import Settled, settle_targets, warn_of_negative_bounds
from xtalshift.model.card import ModelCard
from xtalshift.model.cross_calibration import cross_calibrate
from xtalshift.model.fit_plan import FitInputs, FitPlan, FitRows
from xtalshift.model.fitted import FittedModel
from xtalshift.model.intervals import (
    MIN_CALIBRATION,
    Scored,
    calibrate_regressor,
    join_scores,
)
from xtalshift.model.loss_weights import for_one_measurement, loss_weights, scaled_noise
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import derive_seed
from xtalshift.splits import RandomSplit
from xtalshift.uncertainty.conformal import Calibration
from xtalshift.uncertainty.settings import IntervalConfig
from xtalshift.words import plural

Rows = NDArray[np.int64]
FloatArray = NDArray[np.float64]

MIN_ROWS = 2


def fit(
    data: Dataset,
    method: str | Estimator = "auto",
    *,
    features: str | CompositionFeatures | None = None,
    transform: str = "none",
    settings: MethodSettings | None = None,
    params: Mapping[str, Any] | None = None,
    intervals: IntervalConfig | None = None,
    rows: FitRows | None = None,
    X: FloatArray | None = None,
    domain: ApplicabilityDomain | bool = True,
    seed: int = 0,
    workers: int = 1,
    minutes: float | None = None,
    progress: Progress = NO_PROGRESS,
    checkpoint: Path | None = None,
) -> Any:
    """Fit a method to labelled materials.

    The result is a `FittedModel`, or a `FittedClassifier` if the targets are classes.

    Parameters
    ----------
    data : Dataset
        Labelled materials. A data set as read is cleaned first (`xtalshift.clean_table` with its
        defaults: bad rows are dropped, rows of one material are averaged).
    method : str or Estimator
        Name of a method, see `xtalshift.methods.METHODS`; or an unfitted regressor on features: of
        `xtalshift.estimators`, of scikit-learn (also a pipeline), or any object with `fit` and
        `predict`, see `xtalshift.estimators.ScikitRegressor`.
    features : str or CompositionFeatures
        Names of blocks, see `xtalshift.featurize.CompositionFeaturizer`, or the featurizer of a
        model; by default those that the method usually gets.
    transform : str
        Change of scale of the target, see `xtalshift.data.TargetTransform`.
    settings : MethodSettings, optional
        Settings of all methods.
    params : mapping, optional
        Arguments of the regressor that differ from those settings, see
        `xtalshift.methods.registry.override`.
    intervals : IntervalConfig, optional
        How prediction intervals are calibrated; by default on a tenth of the rows, or with fewer
        than 1,000 rows by five further fits. A stack calibrates them by the folds of its weights.
    rows : FitRows, optional
        Role of each row; by default `draw_rows` draws them.
    X : ndarray of float64, shape (n, d), optional
        Features of all rows of a cleaned data set, if they are already computed.
    domain : ApplicabilityDomain or bool
        The domain of these training rows, if it is known; False for none.
    seed : int
        Seed of all random draws.
    workers : int, default 1
        Largest number of processes for the further fits of `intervals`, which have one thread each;
        processes are started only if they save time. No result depends on it. A script that gives
        more than 1 needs ``if __name__ == "__main__":`` around its work.
    minutes : float, optional
        Wall minutes that a stack may take, see `xtalshift.estimators.StackRegressor`; the result
        then depends on the speed of the machine, and the card says what was left out.
    progress : Progress
        Reports the progress of the training.
    checkpoint : Path, optional
        File in which a long training keeps its state; removed at the end.

    Returns
    -------
    FittedModel or FittedClassifier

    Raises
    ------
    DataError
        If there are no targets or no usable rows, there is one class only, or a target is outside
        the domain of the transform.
    FormulaError
        If a formula has no features.
    ConfigError
        If the method needs rows of the target domain and there are none, is one of regression and
        the targets are classes, takes no bounds into its loss and there are such, `minutes` are
        given for one that keeps no budget, or it is an object that is no unfitted regressor.
    """
    inputs = prepare(data, method, features, rows, X)
    plan = FitPlan(
        method=method, transform=transform, settings=settings or MethodSettings(), params=params,
        intervals=intervals or IntervalConfig(), rows=rows, domain=domain, seed=seed,
        workers=workers, minutes=minutes, progress=progress, checkpoint=checkpoint,
    )  # fmt: skip
    if inputs.data.classes is None:
        return _fit_numbers(inputs, plan)
    from xtalshift.model.class_fitting import fit_classes

    return fit_classes(inputs, plan)


def _fit_numbers(inputs: FitInputs, plan: FitPlan) -> FittedModel:
    """Return the model of targets that are numbers."""
    data, X, featurizer, method = inputs.data, inputs.X, inputs.featurizer, plan.method
    own = derive_seed(plan.seed, "method")
    regressor = (
        build_method(method, plan.settings, seed=own, params=plan.params)
        if isinstance(method, str)
        else as_regressor(clone(method, safe=False), seed=own)
    )
    set_budget(regressor, method, plan.minutes)
    rows = plan.rows
    if rows is None:
        rows = draw_rows(
            data.groups, intervals=plan.intervals, cross_fits=regressor.cross_fits, seed=plan.seed
        )
    scale = target_scale(regressor, plan.transform)
    z: FloatArray = np.full(len(data), np.nan)
    known = np.concatenate([rows.train, rows.validation])
    z[known] = scale.forward(data.y[known], data.row_numbers[known])
    weights = loss_weights(data, X, known, scale=scale, seed=plan.seed, progress=plan.progress)
    access = target_access(method, data, X, rows, scale.forward, weights)
    in_loss = data.bounds_in_loss and not isinstance(regressor, ConstantRegressor)
    if in_loss and data.bounded[known].any():
        refuse_tobit(method if isinstance(method, str) else regressor)
    # a network would take its time in every round, and rows of a target domain have no folds
    slow = "device" in regressor.get_params(deep=False)  # networks, and stacks with some
    stand_in = LightGBMRegressor() if slow or access else regressor
    compositions = origin_of(stand_in, data, featurizer, known)
    settled = settle_targets(
        stand_in, data, X, known, z, scale, in_loss=in_loss,
        weights=weights, origin=compositions, seed=plan.seed, progress=plan.progress,
    )  # fmt: skip
    if settled.bounds is not None:
        access |= {"bounds": settled.of(rows.train), "val_bounds": settled.of(rows.validation)}
    learn(
        regressor, data, featurizer, X, settled.z, rows, weights,
        progress=plan.progress, checkpoint=plan.checkpoint, **access,
    )  # fmt: skip
    z = settled.expected(lambda some: regressor.predict(X[some]))
    expected = _with_expected(data, scale, z)
    if said := warn_of_negative_bounds(expected, known):
        plan.progress.say(said)
    domain = plan.domain
    if domain is True:
        domain = learned_domain(regressor, expected, featurizer, X, rows, plan.seed)
    found = _calibrate(regressor, inputs, rows, scale, settled, weights, plan)
    return FittedModel(
        featurizer,
        scale,
        regressor,
        make_card(data, method, regressor, featurizer, plan.minutes),
        for_one_measurement(found, data),
        domain or None,
    )


def prepare(
    data: Dataset,
    method: str | Estimator,
    features: str | CompositionFeatures | None,
    rows: FitRows | None,
    X: FloatArray | None,
) -> FitInputs:
    """Return a clean data set, the featurizer of a method and the features; arguments as `fit`."""
    if data.intake is None:
        if rows is not None or X is not None:
            raise ConfigError("rows and X belong to a cleaned data set: call clean_table first")
        data = clean_table(data)
    featurizer = settle_features(data, method, features)
    if X is None:
        X = np.hstack([featurizer.transform(data.materials), data.materials.extra])
    return FitInputs(data, X, featurizer)


def settle_features(
    data: Dataset, method: str | Estimator, features: str | CompositionFeatures | None
) -> CompositionFeaturizer:
    """Return what computes the features of a fit to a data set; arguments as `fit`."""
    if not isinstance(features, CompositionFeatures):
        notation = data.materials.notation
        if data.materials.structures is not None:
            features = with_structures(features)
        features = CompositionFeatures(
            features_of(method, features), hydrates=notation.hydrates, amounts=notation.amounts
        )
    return CompositionFeaturizer(
        features.blocks,
        features.impute_nan,
        features.hydrates,
        features.amounts,
        encoder_of(features),  # a model keeps it, whatever becomes of its folder
    )


def set_budget(learner: Learner, method: str | Estimator, minutes: float | None) -> None:
    """Give a stack the minutes that it may take; raise `ConfigError` for what keeps no budget."""
    if minutes is None:
        return
    if not keeps_budget(learner):
        named = method if isinstance(method, str) else learner.regressor_name
        raise ConfigError(f"{named} keeps no budget of minutes; the method auto does")
    learner.set_params(minutes=minutes)


def _with_expected(data: Dataset, scale: TargetTransform, z: FloatArray) -> Dataset:
    """Return the data with the expected value of each row that was learned from by its bounds."""
    rows = np.flatnonzero(data.bounded & np.isfinite(z))
    if not rows.size:
        return data
    targets = data.y.copy()
    targets[rows] = scale.inverse(z[rows])
    return replace(data, targets=targets)


def keeps_budget(regressor: Learner) -> bool:
    """Return whether `fit` may be given `minutes` for a regressor."""
    return "minutes" in regressor.get_params(deep=False)


def held_out_errors(
    model: FittedModel,
    y: FloatArray,
    X: FloatArray,
    rows: FitRows,
    bounded: NDArray[np.bool_] | None = None,
) -> tuple[FloatArray, Rows]:
    """Return absolute errors of rows that did not fit the parameters, and the row numbers.

    Parameters
    ----------
    model : FittedModel
        As `fit` returned it.
    y, X : ndarrays of float64, shapes (n,) and (n, d)
        Targets, in their unit, and features of all rows.
    rows : FitRows
        Those of the fit.
    bounded : ndarray of bool, shape (n,), optional
        Rows of which only bounds are known, which have no error.

    Returns
    -------
    ndarray of float64, shape (m,)
        In the unit of the target.
    ndarray of int64, shape (m,)
        The validation rows; for a stack, which trains on them, all rows that its folds held out.
    """
    own = getattr(model.regressor, "out_of_fold_", None)
    if own is None:
        used = rows.validation
        used = used if bounded is None else used[~bounded[used]]
        return np.abs(model.predict_features(X[used]) - y[used]), used
    used = np.concatenate([rows.train, rows.validation])[own.rows]
    exact = np.ones(len(used), dtype=np.bool_) if bounded is None else ~bounded[used]
    return np.abs(model.scale.inverse(own.center) - y[used])[exact], used[exact]


def draw_rows(
    groups: NDArray[np.object_],
    *,
    intervals: IntervalConfig | None = None,
    cross_fits: bool = False,
    validation_share: float = 0.1,
    seed: int = 0,
    within: Rows | None = None,
    labels: FloatArray | None = None,
) -> FitRows:
    """Draw validation rows, and calibration rows if intervals need held-out rows.

    Parameters
    ----------
    groups : ndarray of str, shape (n,)
        Reduced formulas; none is in two parts.
    intervals : IntervalConfig, optional
        Settings of the intervals; None for no calibration rows.
    cross_fits : bool
        Whether the regressor cross-fits, so that intervals need no calibration rows.
    validation_share : float
        Share of the rows for model selection.
    seed : int
        Seed of the draws.
    within : ndarray of int64, optional
        Rows to draw from; by default all.
    labels : ndarray of float64, shape (n,), optional
        Numbers of classes: each keeps training rows.

    Raises
    ------
    SplitError
        If there are fewer than 2 rows.
    """
    rest = np.arange(len(groups)) if within is None else np.asarray(within, dtype=np.int64)
    if len(rest) < MIN_ROWS:
        rows = plural(len(rest), "usable row")
        raise SplitError(f"{rows}; at least {MIN_ROWS} are needed for training")
    if len(rest) < MIN_ROWS_TO_SPLIT:  # too few to hold any out
        return FitRows(rest, rest)
    calibration = rest[:0]
    how = "none" if intervals is None else intervals.how(len(rest), cross_fits=cross_fits)
    if intervals is not None and how == "held-out":
        split = RandomSplit(intervals.share, derive_seed(seed, "calibration"))
        held_out = _spare(split.held_out(rest, None, groups[rest]), rest, labels, groups)
        calibration, rest = rest[held_out], rest[~held_out]
    split = RandomSplit(validation_share, derive_seed(seed, "validation"))
    held_out = _spare(split.held_out(rest, None, groups[rest]), rest, labels, groups)
    return FitRows(rest[~held_out], rest[held_out], calibration)


def _spare(
    held_out: NDArray[np.bool_],
    rows: Rows,
    labels: FloatArray | None,
    groups: NDArray[np.object_],
) -> NDArray[np.bool_]:
    """Return which rows may be held out, of those that were drawn."""
    if labels is None:
        return held_out
    return keep_classes(held_out, labels[rows], groups[rows].astype(str))


def _part(values: FloatArray | None, rows: Rows) -> FloatArray | None:
    return None if values is None else values[rows]


def target_scale(regressor: Regressor, name: str) -> TargetTransform:
    """Return the scale that a regressor trains on; constants always use the unit of the target."""
    return TargetTransform("none" if isinstance(regressor, ConstantRegressor) else name)


def find_domain(
    data: Dataset, X: FloatArray, rows: FitRows, feature_names: tuple[str, ...], seed: int
) -> ApplicabilityDomain:
    """Return the domain of the training rows; validation and calibration rows define its scores."""
    known = known_crystals(data.materials)
    aside = np.setdiff1d(np.concatenate([rows.validation, rows.calibration]), rows.train)
    return ApplicabilityDomain.fit(
        X[rows.train],
        data.y[rows.train],
        data.groups[rows.train].tolist(),
        X[aside] if len(aside) else None,
        feature_names=feature_names,
        compositions=data.materials.compositions.take(rows.train),
        crystals=None if known is None else known.take(rows.train),
        classes=data.classes is not None,
        random_state=derive_seed(seed, "domain"),
    )


def known_crystals(materials: Materials) -> KnownCrystals | None:
    """Return which crystals materials are, None for formulas."""
    if materials.structures is None:
        return None
    return KnownCrystals(materials.ids, materials.space_groups)


def learn(
    learner: Learner,
    data: Dataset,
    featurizer: CompositionFeaturizer,
    X: FloatArray,
    y: FloatArray,
    rows: FitRows,
    weights: FloatArray | None,
    **further: Any,
) -> None:
    """Fit an estimator to its rows of a clean data set.

    Parameters
    ----------
    learner : Learner
        Unfitted; fitted in place.
    data, featurizer, X
        As `prepare` returns them.
    y : ndarray of float64, shape (n,)
        Targets as the estimator learns them: on its scale, or numbers of classes.
    rows : FitRows
        Those of the fit.
    weights : ndarray of float64, shape (n,), optional
        Of the rows in the loss.
    **further
        Other arguments of `fit`.
    """
    learner.fit(
        X[rows.train],
        y[rows.train],
        sample_weight=_part(weights, rows.train),
        groups=data.groups[rows.train],
        X_val=X[rows.validation],
        y_val=y[rows.validation],
        val_weight=_part(weights, rows.validation),
        val_groups=data.groups[rows.validation],
        origin=origin_of(learner, data, featurizer, rows.train),
        **_learned_features(learner, data, featurizer, rows),
        **further,
    )


def learned_domain(
    learner: Learner,
    data: Dataset,
    featurizer: CompositionFeaturizer,
    X: FloatArray,
    rows: FitRows,
    seed: int,
) -> ApplicabilityDomain:
    """Return the domain of what an estimator was fitted to; arguments as in `learn` and `fit`."""
    if learner.cross_fits:  # it trains on its validation rows too
        known = np.concatenate([rows.train, rows.validation])
        rows = FitRows(known, known)
    names = (*featurizer.names, *data.materials.extra_names)
    return find_domain(data, X, rows, names, seed)


def _learned_features(
    regressor: Learner, data: Dataset, featurizer: CompositionFeaturizer, rows: FitRows
) -> dict[str, Any]:
    """Return for a stack where its blocks are, and which rows their encoder has never seen."""
    if "blocks" not in regressor.uses:
        return {}
    given: dict[str, Any] = {"blocks": featurizer.columns}
    encoder = featurizer.encoder
    if encoder is not None and "fresh" in regressor.uses:
        fresh = ~encoder.knows(data.groups)
        given |= {"fresh": fresh[rows.train], "val_fresh": fresh[rows.validation]}
    return given


def origin_of(
    regressor: Learner, data: Dataset, featurizer: CompositionFeaturizer, rows: Rows
) -> CompositionSource | None:
    """Return the compositions and structures of some rows for regressors that need them."""
    if not regressor.needs_origin:
        return None
    materials = data.materials
    return CompositionSource(materials.compositions, featurizer, materials.structures).take(rows)


def target_access(
    method: str | Estimator,
    data: Dataset,
    X: FloatArray,
    rows: FitRows,
    targets: Callable[[FloatArray, Rows], FloatArray],
    weights: FloatArray | None,
) -> dict[str, Any]:
    """Return what a method may see of the target domain: nothing, features, or labels too."""
    sees = METHODS[method].target_access if isinstance(method, str) else "source"
    if sees == "source":
        return {}
    if not len(rows.target):
        raise ConfigError(
            f"method {method!r} needs {sees} of the target domain; give rows of it, or choose a "
            "method that needs none"
        )
    given: dict[str, Any] = {"X_target": X[rows.target]}
    if sees == "labels":
        given["target_weight"] = _part(weights, rows.target)
        given["y_target"] = targets(data.y[rows.target], data.row_numbers[rows.target])
    return given


def calibration_rows(
    regressor: Regressor, data: Dataset, rows: FitRows, intervals: IntervalConfig
) -> tuple[str, Rows, NDArray[np.bool_]]:
    """Return how `fit` calibrates, with which rows, and which of these have a score, in order."""
    how = intervals.how(len(data), cross_fits=regressor.cross_fits)
    if len(rows.calibration):
        how = "held-out"
    used, own = rows.calibration, getattr(regressor, "out_of_fold_", None)
    if how == "cross" and own is not None:
        used = np.concatenate([rows.train, rows.validation])[own.rows]
    elif how == "cross":
        used = np.union1d(rows.train, rows.validation)
    exact = ~data.bounded[used]
    if how == "held-out":
        used, exact = used[exact], exact[exact]
    return how, used, exact


def held_out_calibration(
    model: FittedModel, data: Dataset, X: FloatArray, rows: Rows
) -> Calibration | None:
    """Return the calibration of a model on rows that it has not seen; None if they are too few.

    Parameters
    ----------
    model : FittedModel
        Fitted to other rows.
    data, X : Dataset, ndarray of float64, shape (n, d)
        A clean data set with its features.
    rows : ndarray of int64
        Rows for the calibration, all with a value.
    """
    if len(rows) < MIN_CALIBRATION:
        return None
    return for_one_measurement(_score(model.regressor, model.scale, data, X, rows), data)


def _score(
    regressor: Predictor, scale: TargetTransform, data: Dataset, X: FloatArray, rows: Rows
) -> Calibration:
    """Return the conformity scores of rows that a regressor has not seen."""
    found = calibrate_regressor(
        regressor,
        X[rows],
        scale.forward(data.y[rows], data.row_numbers[rows]),
        families=data.materials.families[rows],
        noise=_part(scaled_noise(data, scale, rows), rows),
    )
    return replace(found, formulas=data.groups[rows])


def _calibrate(
    regressor: Regressor,
    inputs: FitInputs,
    rows: FitRows,
    scale: TargetTransform,
    settled: Settled,
    weights: FloatArray | None,
    plan: FitPlan,
) -> Calibration | None:
    """Return conformity scores of rows that were not fitted, or None if there are too few."""
    data, X, featurizer = inputs.data, inputs.X, inputs.featurizer
    intervals, progress = plan.intervals, plan.progress
    how, used, exact = calibration_rows(regressor, data, rows, intervals)
    own = getattr(regressor, "out_of_fold_", None)
    if how == "none":
        return None
    if exact.sum() < MIN_CALIBRATION:
        progress.say(
            f"No intervals: {plural(int(exact.sum()), 'row')} for calibration, at least "
            f"{MIN_CALIBRATION} are needed"
        )
        return None
    if how == "held-out":
        return _score(regressor, scale, data, X, used)
    groups, noise = data.groups[used], _part(scaled_noise(data, scale, used), used)
    z, families = scale.forward(data.y[used], data.row_numbers[used]), data.materials.families[used]
    z = np.where(exact, z, settled.z[used])  # bounded rows have no score, but train the others
    named = partial(replace, formulas=groups[exact])
    if own is not None:
        scored = Scored("normalised", own.center, spread=own.std)
        parts = [(np.arange(len(used)), scored)]
        found = join_scores(
            parts, X[used], z, origin="out-of-fold", families=families, noise=noise, exact=exact
        )
        return named(found)
    if len(np.unique(groups)) < 2:  # noqa: PLR2004 - nothing could be held out
        progress.say("No intervals: all rows have the same formula")
        return None
    found = cross_calibrate(
        clone(regressor),
        X[used],
        z,
        groups=groups,
        sample_weight=_part(weights, used),
        bounds=settled.of(used),
        n_folds=intervals.folds,
        random_state=derive_seed(plan.seed, "folds"),
        blocks=featurizer.columns if "blocks" in regressor.uses else None,
        compositions=origin_of(regressor, data, featurizer, used),
        families=families,
        noise=noise,
        exact=exact,
        workers=plan.workers,
        progress=progress,
    )
    return named(found)


def make_card(
    data: Dataset,
    method: str | Estimator,
    regressor: Any,
    featurizer: CompositionFeatures,
    minutes: float | None,
) -> ModelCard:
    """Return the card of a model of numbers or of classes."""
    overlap = count_overlap(featurizer, data.groups)
    return ModelCard(
        target_name=data.target_name or "target",
        unit=data.unit,
        conditions=data.conditions,
        source=data.source,
        feature_cols=data.materials.extra_names,
        provenance={
            "method": method if isinstance(method, str) else regressor.regressor_name,
            **({"members": regressor.describe_members()} if regressor.cross_fits else {}),
            **({"minutes": minutes} if minutes is not None else {}),
            **({} if overlap is None else {"pretrained": asdict(overlap)}),
            **({"potentials": featurizer.notes} if featurizer.notes else {}),
            "data": asdict(data.description),
            "version": __version__,
        },
        formula_col=data.reading.options.get("formula_col", "") if data.reading else "",
    )
