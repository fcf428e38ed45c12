"""The interface of all estimators: that of scikit-learn, plus validation rows and persistence."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone, is_classifier
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from xtalshift.errors import ConfigError, DataError
from xtalshift.estimators.bounds import TargetBounds
from xtalshift.estimators.class_predictors import ClassPredictor
from xtalshift.estimators.predictors import Learned, Predictor
from xtalshift.featurize import CompositionSource
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import as_generator

MIN_ROWS_TO_SPLIT = 10
_FEW = 100


@dataclass(frozen=True)
class Labelled:
    """Labelled rows that have been checked."""

    X: NDArray[np.float64]
    """Shape (n, d). Features; NaN means missing."""
    y: NDArray[np.float64]
    """Shape (n,). Targets, or numbers of classes; NaN for rows without a label."""
    weights: NDArray[np.float64] | None = None
    """Shape (n,). Sample weights."""
    environments: NDArray[Any] | None = None
    """Shape (n,). Label of the environment of each row."""
    origin: CompositionSource | None = None
    """N rows. Materials that the features were computed from."""
    groups: NDArray[Any] | None = None
    """Shape (n,). Reduced formulas."""
    fresh: NDArray[np.bool_] | None = None
    """Shape (n,). Whether the features of a row were made without its material; None if all."""
    bounds: TargetBounds | None = None
    """N rows. What is known of their targets, if some are bounds that the loss takes as such."""

    def take(self, rows: NDArray[Any] | slice) -> Labelled:
        """Return the rows that an index or mask selects."""
        return Labelled(
            self.X[rows],
            self.y[rows],
            None if self.weights is None else self.weights[rows],
            None if self.environments is None else self.environments[rows],
            None if self.origin is None else self.origin.take(rows),
            None if self.groups is None else self.groups[rows],
            None if self.fresh is None else self.fresh[rows],
            None if self.bounds is None else self.bounds.take(rows),
        )


@dataclass(frozen=True)
class FitData:
    """Everything that a regressor may learn from, and where it reports progress."""

    train: Labelled
    """Rows to fit."""
    validation: Labelled
    """Rows for model selection."""
    target: Labelled | None
    """Rows of the target domain."""
    rng: np.random.Generator
    """The only source of randomness."""
    progress: Progress = NO_PROGRESS
    """Reports the progress of the training."""
    checkpoint: Path | None = None
    """File in which a long training keeps its state."""
    blocks: Mapping[str, range] = field(default_factory=dict)
    """Columns of each block of features, by its name."""
    classes: int = 0
    """Number of classes, which the targets count from 0; 0 for a regression."""


@dataclass(frozen=True)
class Choice:
    """What a cross-fit passes on to the fit to all rows, in this process or a later one."""

    seed: int
    number: int = 0
    """What the folds have chosen: the place in a list of settings, or a number of trees."""


@dataclass(frozen=True, eq=False)
class CrossFit:
    """What a cross-fit of n rows gives."""

    predictions: NDArray[np.float64]
    """Shape (n,). Prediction of each row by a model that was not fitted to its fold; for classes
    their probabilities, shape (n, classes)."""
    choice: Choice
    """For `Learner.fit_chosen`."""
    regressor: Learner
    data: FitData
    only: Learner | None = None
    """Where a single fold is held out, the model of the other rows, if it is known."""

    def fit_all(self) -> Any:
        """Fit all rows, with the settings that the folds have chosen."""
        return self.regressor.fit_chosen(self.data, self.choice)


@dataclass(eq=False, repr=False, kw_only=True)
class Learner(BaseEstimator, Learned):
    """Base of all estimators: checks the input, holds out validation rows, calls its hooks.

    `Regressor` is the one of numbers, `Classifier` the one of classes. A subclass of these
    implements `_fit` and what predicts, and also `_saved`, `_get_state` and `_set_state` if its
    models can be saved. Its settings are fields of a dataclass or arguments of its ``__init__``.

    Parameters
    ----------
    validation_fraction : float, default 0.1
        Share of the rows held out if `fit` is given no validation rows.
    random_state : int, Generator or None
        Seed.
    """

    uses: ClassVar[frozenset[str]] = frozenset()
    """Optional arguments of `fit` that this class uses."""

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        X_target: ArrayLike | None = None,
        y_target: ArrayLike | None = None,
        *,
        val_weight: ArrayLike | None = None,
        target_weight: ArrayLike | None = None,
        val_groups: ArrayLike | None = None,
        environments: ArrayLike | None = None,
        origin: CompositionSource | None = None,
        blocks: Mapping[str, range] | None = None,
        fresh: ArrayLike | None = None,
        val_fresh: ArrayLike | None = None,
        bounds: TargetBounds | None = None,
        val_bounds: TargetBounds | None = None,
        classes: ArrayLike | None = None,
        progress: Progress = NO_PROGRESS,
        checkpoint: Path | None = None,
    ) -> Self:
        """Learn from labelled rows.

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features; NaN means missing.
        y : array_like of float, shape (n,)
            Targets; of a classifier the classes, numbers or texts.
        sample_weight : array_like of float, shape (n,), optional
            Weight of each row in the loss.
        groups : array_like of str, shape (n,), optional
            Reduced formulas: no formula is in both the training and the validation rows, nor in two
            folds of a stack.
        X_val, y_val : array_like of float, shapes (m, d) and (m,), optional
            Validation rows; without them a random `validation_fraction` of the rows is held out
            (with fewer than 10 rows all of them serve as both).
        X_target, y_target : array_like of float, shapes (k, d) and (k,), optional
            Rows of the target domain, for methods that use them; without `y_target` they have no
            labels.
        val_weight : array_like of float, shape (m,), optional
            Weight of each validation row in the error that selects the model. Rows held out from
            `X` keep their `sample_weight`.
        target_weight : array_like of float, shape (k,), optional
            Weight of each row of the target domain, for methods that use its labels.
        val_groups : array_like of str, shape (m,), optional
            Reduced formulas of the validation rows.
        environments : array_like, shape (n,), optional
            Label of the environment of each row, for CAL with ``environments="given"``.
        origin : CompositionSource of n rows, optional
            The materials, for CAL with ``attack="composition"``, ``attack="structure"`` or
            ``environments="families"``.
        blocks : mapping of range, optional
            Columns of each block of features, by its name, for stacks: a member may use some.
        fresh, val_fresh : array_like of bool, shapes (n,) and (m,), optional
            For stacks: whether the learned features of a row were made without its material, so
            that its error shows that of a new material. By default all were.
        bounds, val_bounds : TargetBounds of n and m rows, optional
            What is known of targets, for regressors whose loss takes bounds as such (Tobit). `y` of
            such a row is a bound, or the middle of two.
        classes : array_like, shape (k,), optional
            For classifiers: all classes there are, sorted, where `y` may lack some; these get the
            probability 0. By default those of `y`.
        progress : Progress
            Reports the progress of the training.
        checkpoint : Path, optional
            File in which a network saves its training, so that a killed fit with the same settings
            and data continues; it is removed at the end.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If shapes do not fit, a target is not finite, classes are too few or unknown, one of
            `X_val` and `y_val` is missing,
            `val_weight` or `val_bounds` is given without them or `target_weight` without
            `y_target`, or an argument is not used by this regressor.
        """
        self._refuse_unused(
            X_target=X_target,
            y_target=y_target,
            environments=environments,
            origin=origin,
            blocks=blocks,
            fresh=fresh,
            bounds=bounds,
        )
        _check_bounds(bounds, val_bounds, held_out=X_val is not None)
        if X_target is None and y_target is not None:
            raise ValueError("y_target needs X_target")
        if y_target is None and target_weight is not None:
            raise ValueError("target_weight needs y_target")
        if (X_val is None) != (y_val is None):
            raise ValueError("give both X_val and y_val, or neither")
        if val_weight is not None and X_val is None:
            raise ValueError("val_weight needs X_val and y_val")
        features, targets = self._validate(
            X, y, ensure_min_samples=2, y_numeric=not is_classifier(self)
        )
        codes = self._learn_targets(targets, classes)
        weights = None
        if sample_weight is not None:
            weights = _check_weights(sample_weight, features)
        rows = Labelled(
            features,
            codes,
            weights,
            None if environments is None else np.asarray(environments),
            origin,
            None if groups is None else np.asarray(groups),
            None if fresh is None else np.asarray(fresh, dtype=bool),
            bounds,
        )
        _check_lengths(rows)
        rng = as_generator(self.random_state)
        if X_val is not None:
            held_out = self._check_rows(X_val, y_val, val_groups, val_weight)
            if val_fresh is not None:
                held_out = replace(held_out, fresh=np.asarray(val_fresh, dtype=bool))
            held_out = replace(held_out, bounds=val_bounds)
            _check_lengths(held_out)
        else:
            rows, held_out = self._hold_out(rows, groups, rng)
        rows, held_out = _drop_weightless(rows), _drop_weightless(held_out)
        target = None
        if X_target is not None:
            target = self._check_rows(X_target, y_target, weights=target_weight)
        data = FitData(rows, held_out, target, rng, progress, checkpoint, blocks or {})
        self._fit(self._settle(data))
        return self

    def cross_fit(self, data: FitData, folds: NDArray[np.int64]) -> CrossFit:
        """Fit the training rows of each fold and predict its other rows.

        Methods with something to choose override it, so that all folds choose together; this one
        leaves the choice to each fit, which holds out rows of its own for it.

        Parameters
        ----------
        data : FitData
            Its training rows are n; validation rows are not used.
        folds : ndarray of int64, shape (n,)
            Fold of each row, which is predicted by a model that was not fitted to its fold; -1 for
            rows that are never held out, whose predictions are NaN.

        Returns
        -------
        CrossFit
        """
        choice = Choice(draw_seed(data.rng))
        train = data.train
        found = no_predictions(data)
        numbers, fitted = np.unique(folds[folds >= 0]), None
        for fold in numbers:
            out = folds == fold
            fitted = self.fit_chosen(replace(data, train=train.take(~out)), choice)
            found[out] = fitted.forecast(train.X[out])
        return CrossFit(found, choice, self, data, fitted if len(numbers) == 1 else None)

    def fit_chosen(self, data: FitData, choice: Choice) -> Any:
        """Fit all training rows, with what a cross-fit has chosen; `data.rng` is not used.

        Raises
        ------
        DataError
            If no cross-fit of this regressor makes that choice.
        """
        if choice.number != 0:
            raise DataError(f"{type(self).__name__} has no choice {choice.number}")
        rows, aside = data.train, few_of(data.train)
        if self.selects:
            rng = np.random.default_rng(choice.seed)
            rows, aside = self._hold_out(rows, rows.groups, rng)
        return fit_clone(self, replace(data, rng=np.random.default_rng(choice.seed)), rows, aside)

    @property
    def selects(self) -> bool:
        """Whether validation rows change what these settings learn."""
        return True

    @property
    def cross_fits(self) -> bool:
        """Whether `fit` itself predicts rows by fits to other rows, which calibrates intervals."""
        return False

    def _refuse_unused(self, **given: Any) -> None:
        for name, value in given.items():
            if value is not None and name not in self.uses:
                raise ValueError(f"{type(self).__name__} does not use {name}; leave it out")

    def _hold_out(
        self, rows: Labelled, groups: ArrayLike | None, rng: np.random.Generator
    ) -> tuple[Labelled, Labelled]:
        """Return the training and the validation rows."""
        if len(rows.y) < MIN_ROWS_TO_SPLIT:
            return rows, rows
        from xtalshift.splits import RandomSplit  # not needed where rows to select by are given

        split = RandomSplit(self.validation_fraction, rng)
        mask = self._spare(split.held_out(rows.X, rows.y, groups), rows)
        return rows.take(~mask), rows.take(mask)

    def _check_rows(
        self,
        X: ArrayLike,
        y: ArrayLike | None,
        groups: ArrayLike | None = None,
        weights: ArrayLike | None = None,
    ) -> Labelled:
        """Return further rows, checked against those of `fit`; without `y` the targets are NaN."""
        labels = None if groups is None else np.asarray(groups)
        if y is None:
            options = {"dtype": np.float64, "ensure_all_finite": "allow-nan", "reset": False}
            features = np.asarray(validate_data(self, X, **options))
            return Labelled(features, np.full(len(features), np.nan), groups=labels)
        features, targets = self._validate(X, y, reset=False)
        return Labelled(
            features,
            self._read_targets(targets),
            None if weights is None else _check_weights(weights, features),
            groups=labels,
        )

    def _validate(self, X: ArrayLike, y: ArrayLike, **options: Any) -> tuple[Any, NDArray[Any]]:
        """Return features, shape (n, d), and targets, shape (n,), as checked by scikit-learn."""
        features, targets = validate_data(
            self, X, y, dtype=np.float64, ensure_all_finite="allow-nan", **options
        )
        return np.asarray(features), targets

    def _check_features(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return features as checked by scikit-learn, which also knows their names."""
        check_is_fitted(self)
        return np.asarray(
            validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        )

    @property
    def needs_origin(self) -> bool:
        """Whether `fit` with these settings needs `origin`, the materials."""
        return False

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    @abstractmethod
    def _fit(self, data: FitData) -> None:
        """Learn; set attributes that end in ``_``. Randomness comes from ``data.rng`` only."""

    @abstractmethod
    def forecast(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return what cross-fits keep of rows: predictions (n,), or probabilities (n, classes)."""

    @staticmethod
    @abstractmethod
    def row_errors(forecast: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the error of each row, whose (weighted) mean selects settings, shape (n,)."""

    @abstractmethod
    def _learn_targets(self, y: ArrayLike, classes: ArrayLike | None) -> NDArray[np.float64]:
        """Return the targets of the training rows as numbers, shape (n,)."""

    @abstractmethod
    def _read_targets(self, y: ArrayLike) -> NDArray[np.float64]:
        """Return the targets of other rows as numbers, shape (n,)."""

    def _settle(self, data: FitData) -> FitData:
        """Return the rows as `_fit` takes them."""
        return data

    def take_classes(self, data: FitData) -> None:
        """Take over the classes of a fit, where a model is made without `fit`."""

    def _spare(self, held_out: NDArray[np.bool_], rows: Labelled) -> NDArray[np.bool_]:  # noqa: ARG002
        """Return which rows may be held out, of those that were drawn."""
        return held_out


@dataclass(eq=False, repr=False, kw_only=True)
class Regressor(RegressorMixin, Learner, Predictor):
    """Base of all regressors; a subclass implements `_fit` and `_predict`, see `Learner`.

    Parameters
    ----------
    validation_fraction, random_state
        As in `Learner`.
    """

    metric: ClassVar[str] = "mae"
    """Name of the mean of `row_errors`."""

    def forecast(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the predictions of rows, shape (n,)."""
        return self.predict(X)

    @staticmethod
    def row_errors(forecast: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the absolute error of each row, shape (n,)."""
        return np.abs(forecast - y)

    def _learn_targets(self, y: ArrayLike, classes: ArrayLike | None) -> NDArray[np.float64]:
        if classes is not None:
            raise ValueError(f"{type(self).__name__} does not use classes; leave it out")
        return self._read_targets(y)

    def _read_targets(self, y: ArrayLike) -> NDArray[np.float64]:
        return np.asarray(y, dtype=np.float64)


@dataclass(eq=False, repr=False, kw_only=True)
class Classifier(ClassifierMixin, Learner, ClassPredictor):
    """Base of all classifiers; a subclass implements `_fit` and `_shares`, see `Learner`.

    In `_fit`, targets are numbers of classes from 0 to ``data.classes - 1``, each of which has
    training rows.

    Parameters
    ----------
    validation_fraction, random_state
        As in `Learner`.

    Attributes
    ----------
    classes_ : ndarray, shape (k,)
        All classes, sorted.
    present_ : ndarray of int64, shape (m,)
        Numbers of those that it has learned from; the others get the probability 0.
    """

    metric: ClassVar[str] = "log_loss"
    """Name of the mean of `row_errors`."""

    def forecast(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the probabilities of rows, shape (n, classes)."""
        return self.predict_proba(X)

    @staticmethod
    def row_errors(forecast: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return minus the logarithm of the probability of the class of each row, shape (n,)."""
        return -np.log(np.maximum(likelihoods(forecast, y), LEAST_PROBABILITY))

    def _learn_targets(self, y: ArrayLike, classes: ArrayLike | None) -> NDArray[np.float64]:
        check_classification_targets(y)
        self.classes_ = np.unique(np.asarray(y if classes is None else classes))
        if len(self.classes_) < 2:  # noqa: PLR2004
            raise ValueError(
                f"all rows have one class, {self.classes_.tolist()[0]!r}; a classifier needs 2 or "
                "more"
            )
        return self._read_targets(y)

    def _read_targets(self, y: ArrayLike) -> NDArray[np.float64]:
        values = np.asarray(y)
        places = np.minimum(np.searchsorted(self.classes_, values), len(self.classes_) - 1)
        new = values[self.classes_[places] != values]
        if len(new):
            raise ValueError(
                f"the class {new.tolist()[0]!r} is unknown; known are {self.classes_.tolist()}"
            )
        return places.astype(np.float64)

    def take_classes(self, data: FitData) -> None:
        """Take over the classes of a fit, where a model is made without `fit`."""
        self.classes_ = np.arange(data.classes)
        self.present_ = np.unique(data.train.y).astype(np.int64)

    def _settle(self, data: FitData) -> FitData:
        """Return the rows with the present classes numbered, without validation rows of others."""
        target = data.target
        told = [data.train.y] if target is None else [data.train.y, target.y[~np.isnan(target.y)]]
        self.present_ = np.unique(np.concatenate(told)).astype(np.int64)
        if len(self.present_) < 2:  # noqa: PLR2004
            only = self.classes_.tolist()[self.present_[0]]
            raise DataError(
                f"all training rows have the class {only!r}; a classifier needs 2, so that other "
                "rows of it must be found, or classes joined"
            )

        def number(rows: Labelled) -> Labelled:
            codes = np.searchsorted(self.present_, rows.y).astype(np.float64)
            return replace(rows, y=np.where(np.isnan(rows.y), np.nan, codes))

        known = np.isin(data.validation.y, self.present_)
        validation = data.validation.take(known) if known.any() else few_of(data.train)
        return replace(
            data,
            train=number(data.train),
            validation=number(validation),
            target=None if target is None else number(target),
            classes=len(self.present_),
        )

    def _spare(self, held_out: NDArray[np.bool_], rows: Labelled) -> NDArray[np.bool_]:
        return keep_classes(held_out, rows.y, rows.groups)


LEAST_PROBABILITY = 1e-12
"""Smallest probability in a logarithm: a class that was said to be impossible costs 27.6."""


def likelihoods(forecast: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability of the class of each row, shape (n,), from shape (n, classes)."""
    return np.asarray(forecast[np.arange(len(y)), y.astype(np.intp)])


def keep_classes(
    held_out: NDArray[np.bool_], y: NDArray[np.float64], groups: NDArray[Any] | None = None
) -> NDArray[np.bool_]:
    """Return which rows may be held out so that every class keeps some.

    If none of those that were drawn may be, one material of the class with the most is held out in
    their place.

    Parameters
    ----------
    held_out : ndarray of bool, shape (n,)
        Rows that were drawn.
    y : ndarray of float64, shape (n,)
        Number of the class of each row.
    groups : ndarray of str, shape (n,), optional
        Reduced formulas; by default each row is a material of its own.
    """
    gone = np.setdiff1d(y[held_out], y[~held_out])
    kept = held_out & ~np.isin(y, gone)
    if kept.any() or not held_out.any():
        return kept
    _, materials = np.unique(np.arange(len(y)) if groups is None else groups, return_inverse=True)
    number = {code: np.unique(materials[y == code]) for code in np.unique(y)}
    most = max(number, key=lambda code: len(number[code]))
    if len(number[most]) < 2:  # noqa: PLR2004 - one of them has to stay
        return kept
    # no other class may lose its last rows with it
    for material in number[most]:
        chosen = materials == material
        if np.isin(y[chosen], y[~chosen]).all():
            return np.asarray(chosen)
    return kept


def no_predictions(data: FitData) -> NDArray[np.float64]:
    """Return NaN for what a cross-fit predicts, shape (n,) or (n, classes)."""
    n = len(data.train.y)
    return np.full((n, data.classes) if data.classes else n, np.nan)


def fit_clone(
    regressor: Learner,
    data: FitData,
    train: Labelled,
    validation: Labelled,
    target: Labelled | None = None,
) -> Any:
    """Fit a clone of an estimator with given validation rows, so that it holds out none.

    It draws from ``data.rng`` itself: with the same rows, the clone equals the estimator that is
    fitted alone.
    """
    labels: dict[str, Any] = {}
    if target is not None:
        labels = {"X_target": target.X, "y_target": target.y, "target_weight": target.weights}
    if data.classes:
        labels["classes"] = np.arange(data.classes)
    fitted: Learner = clone(regressor).set_params(random_state=data.rng)
    if "blocks" in fitted.uses:
        labels["blocks"] = data.blocks
    if "fresh" in fitted.uses:
        labels |= {"fresh": train.fresh, "val_fresh": validation.fresh}
    if train.bounds is not None:
        labels |= {"bounds": train.bounds, "val_bounds": validation.bounds}
    return fitted.fit(
        train.X,
        train.y,
        sample_weight=train.weights,
        X_val=validation.X,
        y_val=validation.y,
        val_weight=validation.weights,
        origin=train.origin,
        progress=data.progress,
        checkpoint=data.checkpoint,
        **labels,
    )


def _check_bounds(
    bounds: TargetBounds | None, val_bounds: TargetBounds | None, *, held_out: bool
) -> None:
    """Raise `ValueError` unless validation rows that are given have bounds if the others have."""
    if val_bounds is not None and not held_out:
        raise ValueError("val_bounds needs X_val and y_val")
    if (bounds is None) != (val_bounds is None) and held_out:
        raise ValueError("give both bounds and val_bounds, or neither")


def _check_weights(weights: ArrayLike, X: NDArray[np.float64]) -> NDArray[np.float64]:
    checked = _check_sample_weight(weights, X, dtype=np.float64, ensure_non_negative=True)
    return np.asarray(checked)


def _drop_weightless(rows: Labelled) -> Labelled:
    """Return the rows of positive weight; all rows if every weight is 0."""
    if rows.weights is None or not (rows.weights > 0).any():
        return rows
    return rows.take(rows.weights > 0)


def mean_and_scale(rows: Labelled) -> tuple[float, float]:
    """Return (weighted) mean and standard deviation of the targets.

    The scale of equal targets is their size, or 1 for zeros: the deviation from a rounded mean
    would be far too small for other target labels, and 1 far too large for small units.
    """
    first = float(rows.y[0])
    if (rows.y == first).all():
        return first, abs(first) or 1.0
    mean = float(np.average(rows.y, weights=rows.weights))
    variance = np.average((rows.y - mean) ** 2, weights=rows.weights)
    return mean, float(np.sqrt(variance)) or 1.0


def check_count(name: str, value: int | None, most: int) -> int:
    """Return a setting that counts rows, or `most` if it is None or larger.

    Raises
    ------
    ConfigError
        If the value is not positive.
    """
    if value is None:
        return most
    if value < 1:
        raise ConfigError(f"{name} = {value!r}; expected at least 1")
    return min(int(value), most)


def fingerprint(what: str, data: FitData) -> str:
    """Return a hash that identifies a fit: of a text, and of the rows."""
    digest = hashlib.sha256(what.encode())
    for rows in (data.train, data.validation, data.target):
        if rows is None:
            continue
        for values in (rows.X, rows.y, rows.weights):
            digest.update(b"none" if values is None else np.ascontiguousarray(values).tobytes())
        labels = None if rows.environments is None else rows.environments.tolist()
        digest.update(repr(labels).encode())
        if rows.bounds is not None:
            digest.update(rows.bounds.stacked().tobytes())
    return digest.hexdigest()


def draw_seed(rng: np.random.Generator) -> int:
    """Return a seed for generators that must be made again."""
    return int(rng.integers(2**31 - 1))


def few_of(rows: Labelled) -> Labelled:
    """Return some rows as validation rows for a fit that has nothing to choose by them."""
    return rows.take(slice(_FEW))


def join_rows(rows: Labelled, others: Labelled) -> Labelled:
    """Return the rows of both; without weights on one side, those have the weight 1."""

    def join(ours: NDArray[Any] | None, theirs: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if ours is None or theirs is None else np.concatenate([ours, theirs])

    weights = None
    if rows.weights is not None or others.weights is not None:
        sides = (np.ones(len(r.y)) if r.weights is None else r.weights for r in (rows, others))
        weights = np.concatenate(list(sides))
    return Labelled(
        np.concatenate([rows.X, others.X]),
        np.concatenate([rows.y, others.y]),
        weights,
        groups=join(rows.groups, others.groups),
        fresh=join(rows.fresh, others.fresh),
    )


def deal_classes(
    names: NDArray[Any], y: NDArray[np.float64], n_folds: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return what `deal_folds` returns, with each class spread over as many folds as it can be.

    Parameters
    ----------
    names, n_folds, rng
        As in `deal_folds`.
    y : ndarray of float64, shape (n,)
        Number of the class of each row; a name counts for that of its first row.
    """
    _, first, numbers = np.unique(names, return_index=True, return_inverse=True)
    order = rng.permutation(len(first))
    order = order[np.argsort(y[first[order]], kind="stable")]
    places = np.empty(len(first), dtype=np.int64)
    places[order] = np.arange(len(first))
    return np.asarray(places[numbers] % min(n_folds, max(len(first), 1)))


def deal_folds(names: NDArray[Any], n_folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the fold of each row, from 0, shape (n,): rows of one name are in the same.

    Parameters
    ----------
    names : ndarray, shape (n,)
        Such as reduced formulas. With fewer different names than `n_folds` each is a fold.
    n_folds : int
        Number of folds.
    rng : Generator
        Deals the names.
    """
    numbers = np.unique(names, return_inverse=True)[1]
    n_names = int(numbers.max(initial=-1)) + 1
    return np.asarray(rng.permutation(n_names)[numbers] % min(n_folds, max(n_names, 1)))


def draw_rows(rows: Labelled, most: int | None, rng: np.random.Generator) -> Labelled:
    """Return at most so many rows, drawn without replacement; all if `most` is None."""
    count = check_count("max_rows", most, len(rows.y))
    if count == len(rows.y):
        return rows
    return rows.take(np.sort(rng.choice(len(rows.y), count, replace=False)))


def _check_lengths(rows: Labelled) -> None:
    lengths = {
        "groups": None if rows.groups is None else len(rows.groups),
        "environments": None if rows.environments is None else len(rows.environments),
        "origin": None if rows.origin is None else len(rows.origin.compositions),
        "fresh": None if rows.fresh is None else len(rows.fresh),
        "bounds": None if rows.bounds is None else len(rows.bounds),
    }
    for name, length in lengths.items():
        if length not in {None, len(rows.y)}:
            raise ValueError(f"{name} has {length} rows, X has {len(rows.y)}")
