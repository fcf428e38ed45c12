"""Estimators that try a few settings and keep the best, on validation rows or over folds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from xtalshift.errors import DataError, TrainingError
from xtalshift.estimators.base import (
    Choice,
    CrossFit,
    FitData,
    Labelled,
    Learner,
    Regressor,
    draw_seed,
    few_of,
    fit_clone,
    no_predictions,
)

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tried:
    """What was learned with one choice of settings."""

    number: int
    """Its place in the list of choices."""
    predictions: FloatArray
    """What `forecast` returns for the rows that were asked for."""
    learned: dict[str, Any]
    """Attributes that end in ``_``."""


class Searched(Learner):
    """Base of estimators with a short list of settings to choose from.

    A subclass implements `_choices` and `_search`. `fit` keeps the choice with the smallest
    (weighted) mean error (`row_errors`) on the validation rows; `cross_fit` the one with the
    smallest over all folds, so that no rows are lost to validation.
    """

    @abstractmethod
    def _choices(self) -> list[dict[str, Any]]:
        """Return the arguments that leave only one choice, for each choice."""

    @abstractmethod
    def _search(self, data: FitData, train: Labelled, X: FloatArray) -> Iterator[Tried]:
        """Learn from `train` with each choice and predict rows of shape (n, d)."""

    def _fit(self, data: FitData) -> None:
        validation = data.validation
        best_error, best = np.inf, None
        for tried in self._search(data, data.train, validation.X):
            deviation = self.row_errors(tried.predictions, validation.y)
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
        seed = draw_seed(data.rng)
        found: dict[int, FloatArray] = {}
        learned: dict[int, dict[str, Any]] = {}
        numbers = np.unique(folds[told])
        for fold in numbers:
            out = folds == fold
            for tried in self._search(data, train.take(~out), train.X[out]):
                found.setdefault(tried.number, no_predictions(data))[out] = tried.predictions
                learned[tried.number] = tried.learned
        best_error, best = np.inf, None
        for number, predictions in found.items():
            deviation = self.row_errors(predictions[told], train.y[told])
            error = float(np.average(deviation, weights=weights))
            if error < best_error:  # false for NaN, where a fold had no solution
                best_error, best = error, number
        if best is None:
            raise self._no_solution()
        only = None
        if len(numbers) == 1:
            only = clone(self).set_params(**self._choices()[best])
            only.n_features_in_ = train.X.shape[1]
            only.take_classes(replace(data, train=train.take(folds != numbers[0])))
            for name, value in learned[best].items():
                setattr(only, name, value)
        return CrossFit(found[best], Choice(seed, best), self, data, only)

    def fit_chosen(self, data: FitData, choice: Choice) -> Any:
        """Fit with the settings that the folds have chosen."""
        choices = self._choices()
        if choice.number not in range(len(choices)):
            raise DataError(f"{type(self).__name__} has no choice {choice.number}")
        chosen = clone(self).set_params(**choices[choice.number])
        data = replace(data, rng=np.random.default_rng(choice.seed))
        return fit_clone(chosen, data, data.train, few_of(data.train))

    def _no_solution(self) -> TrainingError:
        return TrainingError(
            f"{type(self).__name__} found no solution with any of its settings; allow larger "
            "penalties"
        )


class SearchedRegressor(Searched, Regressor):
    """The same for numbers."""
