"""Regressors that try a few settings and keep the best, on validation rows or over folds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from xtalshift.errors import TrainingError
from xtalshift.estimators.base import CrossFit, FitData, Labelled, Regressor, few_of, fit_clone

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tried:
    """What was learned with one choice of settings."""

    settings: dict[str, Any]
    """Arguments that leave only this choice."""
    predictions: FloatArray
    """Predictions of the rows that were asked for."""
    learned: dict[str, Any]
    """Attributes that end in ``_``."""


class SearchedRegressor(Regressor):
    """Base of regressors with a short list of settings to choose from.

    A subclass implements `_search`. `fit` keeps the choice with the smallest (weighted) mean
    absolute error on the validation rows; `cross_fit` the one with the smallest over all folds, so
    that no rows are lost to validation.
    """

    @abstractmethod
    def _search(self, data: FitData, train: Labelled, X: FloatArray) -> Iterator[Tried]:
        """Learn from `train` with each choice and predict rows of shape (n, d)."""

    def _fit(self, data: FitData) -> None:
        validation = data.validation
        best_error, best = np.inf, None
        for tried in self._search(data, data.train, validation.X):
            deviation = np.abs(tried.predictions - validation.y)
            error = float(np.average(deviation, weights=validation.weights))
            if error < best_error:
                best_error, best = error, tried
        if best is None:
            raise self._no_solution()
        for name, value in best.learned.items():
            setattr(self, name, value)

    def cross_fit(self, data: FitData, folds: NDArray[np.int64]) -> CrossFit:
        """Choose the settings over all folds, as the class says."""
        train = data.train
        told = folds >= 0
        weights = None if train.weights is None else train.weights[told]
        found: dict[str, tuple[dict[str, Any], FloatArray]] = {}
        for fold in np.unique(folds[told]):
            out = folds == fold
            for tried in self._search(data, train.take(~out), train.X[out]):
                new = (tried.settings, np.full(len(train.y), np.nan))
                found.setdefault(repr(tried.settings), new)[1][out] = tried.predictions
        best_error, best = np.inf, None
        for settings, predictions in found.values():
            error = float(np.average(np.abs(predictions - train.y)[told], weights=weights))
            if error < best_error:  # false for NaN, where a fold had no solution
                best_error, best = error, (settings, predictions)
        if best is None:
            raise self._no_solution()
        settings, predictions = best
        chosen = clone(self).set_params(**settings)
        return CrossFit(predictions, lambda: fit_clone(chosen, data, train, few_of(train)))

    def _no_solution(self) -> TrainingError:
        return TrainingError(
            f"{type(self).__name__} found no solution with any of its settings; allow larger "
            "penalties"
        )
