"""Regressors around another one: their base, and source rows weighted by the target's features."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from xtalshift.errors import ConfigError
from xtalshift.estimators.base import FitData, Labelled, Regressor
from xtalshift.importance.density_ratio import (
    classifier_weights,
    effective_sample_size,
    principal_components,
    standardise,
    ulsif_weights,
)
from xtalshift.importance.kernel_mean_matching import kmm_weights
from xtalshift.seeding import Seed

__all__ = ["ImportanceWeightedRegressor", "Ratio", "WrappedRegressor"]

Ratio = Literal["kmm", "ulsif", "classifier"]


class WrappedRegressor(Regressor):
    """Base of regressors that fit a clone of another one and predict with it.

    A subclass implements `_fit`, which calls `_fit_inner` with other rows or weights.

    Attributes
    ----------
    estimator_ : Regressor
        The fitted clone.
    """

    estimator: Regressor
    estimator_: Regressor

    def _fit_inner(
        self,
        data: FitData,
        train: Labelled,
        validation: Labelled,
        target: Labelled | None = None,
    ) -> None:
        """Fit a clone of `estimator`; its validation rows are given, so that it holds out none."""
        labels: dict[str, Any] = {}
        if target is not None:
            labels = {"X_target": target.X, "y_target": target.y}
        # the generator itself: with the same rows the clone is what `estimator` alone would be
        self.estimator_ = clone(self.estimator).set_params(random_state=data.rng)
        self.estimator_.fit(
            train.X,
            train.y,
            sample_weight=train.weights,
            X_val=validation.X,
            y_val=validation.y,
            val_weight=validation.weights,
            progress=data.progress,
            checkpoint=data.checkpoint,
            **labels,
        )

    def _predict(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.estimator_.predict(X)

    def predict_variants(self, X: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """Return the predictions of all parameters that the inner regressor keeps, by name."""
        return self.estimator_.predict_variants(self._check_features(X))

    def predict_std(self, X: ArrayLike) -> NDArray[np.float64] | None:
        """Return the standard deviation that the inner regressor states, shape (n,), or None."""
        return self.estimator_.predict_std(self._check_features(X))

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return how many features of each row the inner regressor clipped, shape (n,)."""
        return self.estimator_.n_clipped(self._check_features(X))


class ImportanceWeightedRegressor(WrappedRegressor):
    """Fits source rows with the weights that make their features look like the target's.

    Under covariate shift, where p(y | x) is the same in both domains, the source error weighted by
    ``p_target(x) / p_source(x)`` is the target error (Shimodaira, J. Stat. Plan. Inference 90, 227,
    2000). Validation rows are weighted too, so that selection is for the target domain; their
    ratio is found apart, for they may be drawn otherwise than the training rows. Without target
    rows the fit is that of `estimator`.

    Parameters
    ----------
    estimator : Regressor
        What is fitted; it must take sample weights.
    ratio : {"kmm", "ulsif", "classifier"}, default "kmm"
        How the weights are found, see `kmm_weights`, `ulsif_weights`, `classifier_weights` in
        `xtalshift.uncertainty`. The first two see at most 10 principal components.
    max_weight : float, default 20
        Largest weight, at least 1; the mean is 1.
    validation_fraction, random_state
        As in `IRNetRegressor`; `random_state` replaces that of `estimator`.

    Attributes
    ----------
    weights_ : ndarray of float64, shape (n_train,)
        Importance of the training rows, without the `sample_weight` that they are multiplied by.
    effective_sample_size_ : float
        How many training rows of equal weight are worth as much.
    estimator_ : Regressor
        Fitted with the weights.
    """

    uses = frozenset({"X_target"})

    def __init__(
        self,
        estimator: Regressor,
        ratio: Ratio = "kmm",
        max_weight: float = 20.0,
        validation_fraction: float = 0.1,
        random_state: Seed = None,
    ) -> None:
        self.estimator = estimator
        self.ratio = ratio
        self.max_weight = max_weight
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _fit(self, data: FitData) -> None:
        if self.ratio not in get_args(Ratio):
            raise ConfigError(f"ratio = {self.ratio!r}; expected {', '.join(get_args(Ratio))}")
        if self.max_weight < 1:
            raise ConfigError(f"max_weight = {self.max_weight}; expected at least 1, the mean")
        train, validation = data.train, data.validation
        self.weights_ = np.ones(len(train.y))
        if data.target is not None:
            rng = data.rng.spawn(1)[0]  # the inner regressor draws as it would alone
            self.weights_ = self._importance(train, data.target, rng)
            selection = self._importance(validation, data.target, rng)
            train, validation = _multiply(train, self.weights_), _multiply(validation, selection)
        self.effective_sample_size_ = effective_sample_size(self.weights_)
        self._fit_inner(data, train, validation)

    def _importance(
        self, rows: Labelled, target: Labelled, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Return the weights of some source rows, shape (n,), mean 1."""
        # by both domains together: a feature that varies only between them tells them apart
        (points,) = standardise(np.concatenate([rows.X, target.X]))
        sides = points[: len(rows.y)], points[len(rows.y) :]
        bound = float(self.max_weight)
        if self.ratio == "classifier":
            return classifier_weights(*sides, bound=bound, rng=rng)
        reduced = principal_components(*sides)
        if self.ratio == "kmm":
            return kmm_weights(*reduced, bound=bound, rng=rng)
        return ulsif_weights(*reduced, bound=bound, rng=rng)


def _multiply(rows: Labelled, weights: NDArray[np.float64]) -> Labelled:
    given = 1.0 if rows.weights is None else rows.weights
    return Labelled(rows.X, rows.y, weights * given)
