"""The one shape of all regressors: scikit-learn's, plus validation rows and persistence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.registry import Registry
from xtalshift.seeding import as_generator
from xtalshift.splits import RandomSplit

__all__ = ["REGRESSORS", "Arrays", "Labelled", "Regressor", "in_pieces"]

Arrays = dict[str, NDArray[Any]]

PREDICT_ROWS = 65_536
MIN_ROWS_TO_SPLIT = 10


@dataclass(frozen=True)
class Labelled:
    """Checked rows.

    Attributes
    ----------
    X : ndarray of float64, shape (n, d)
        Features; NaN means missing.
    y : ndarray of float64, shape (n,)
        Targets.
    weights : ndarray of float64, shape (n,), or None
        Sample weights.
    """

    X: NDArray[np.float64]
    y: NDArray[np.float64]
    weights: NDArray[np.float64] | None = None

    def take(self, rows: NDArray[Any]) -> Labelled:
        """Return the rows that an index or mask selects."""
        weights = None if self.weights is None else self.weights[rows]
        return Labelled(self.X[rows], self.y[rows], weights)


class Regressor(RegressorMixin, BaseEstimator, ABC):
    """Base of all regressors: checks the input, holds out validation rows, calls four hooks.

    A subclass has ``__init__`` parameters ``validation_fraction`` and ``random_state`` and
    implements `_fit` and `_predict`, and `_get_state` and `_set_state` for persistence.
    """

    validation_fraction: float
    random_state: Any

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        *,
        progress: Progress = NO_PROGRESS,
    ) -> Self:
        """Learn from labelled rows.

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features; NaN means missing.
        y : array_like of float, shape (n,)
            Targets.
        sample_weight : array_like of float, shape (n,), optional
            Weight of each row in the loss.
        groups : array_like of str, shape (n,), optional
            Reduced formulas: none stands both in the training and the validation rows. Not needed
            where `X_val` is given.
        X_val, y_val : array_like of float, shapes (m, d) and (m,), optional
            Validation rows; without them a random `validation_fraction` of the rows is held out
            (with fewer than 10 rows all of them serve as both).
        progress : Progress
            Told how far training is.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If shapes do not fit, a target is not finite, or one of `X_val` and `y_val` is missing.
        """
        X, y = validate_data(
            self,
            X,
            y,
            dtype=np.float64,
            ensure_all_finite="allow-nan",
            ensure_min_samples=2,
            y_numeric=True,
        )
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
        if (X_val is None) != (y_val is None):
            raise ValueError("give both X_val and y_val, or neither")
        rows = Labelled(np.asarray(X), np.asarray(y, dtype=np.float64), weights)
        rng = as_generator(self.random_state)
        if X_val is not None:
            X_val, y_val = validate_data(
                self, X_val, y_val, dtype=np.float64, ensure_all_finite="allow-nan", reset=False
            )
            held_out = Labelled(np.asarray(X_val), np.asarray(y_val, dtype=np.float64))
        elif len(rows.y) < MIN_ROWS_TO_SPLIT:
            held_out = rows
        else:
            split = RandomSplit(self.validation_fraction, rng)
            mask = split.held_out(rows.X, rows.y, groups)
            rows, held_out = rows.take(~mask), rows.take(mask)
        if rows.weights is not None and (rows.weights > 0).any():
            rows = rows.take(rows.weights > 0)  # a row of weight 0 is no row
        self._fit(rows, held_out, rng, progress)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Predict targets.

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features; NaN means missing.

        Returns
        -------
        ndarray of float64, shape (n,)

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        """
        checked = self._check_features(X)
        return in_pieces(self._predict, checked)

    def _check_features(self, X: ArrayLike) -> NDArray[np.float64]:
        check_is_fitted(self)
        return np.asarray(
            validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        )

    def predict_variants(self, X: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """Return the usual prediction under ``""``, and those of other kept parameters by name.

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features.

        Returns
        -------
        dict of ndarray of float64, shape (n,)
        """
        return {"": self.predict(X)}

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return how many features of each row lie so far outside training that they are clipped.

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features.

        Returns
        -------
        ndarray of int64, shape (n,)
            0 for methods that do not standardise.
        """
        return np.zeros(len(np.asarray(X)), dtype=np.int64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    @abstractmethod
    def _fit(
        self,
        train: Labelled,
        validation: Labelled,
        rng: np.random.Generator,
        progress: Progress,
    ) -> None:
        """Learn; set attributes that end in ``_``. Randomness comes from `rng` only."""

    @abstractmethod
    def _predict(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return predictions of checked rows, shape (n,)."""

    @abstractmethod
    def _get_state(self) -> Arrays:
        """Return everything learned as named arrays."""

    @abstractmethod
    def _set_state(self, state: Arrays) -> None:
        """Restore what `_get_state` returned."""


def in_pieces(
    predict: Callable[[NDArray[np.float64]], NDArray[np.float64]], X: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return ``predict(X)`` computed in pieces of bounded memory, shape (n,)."""
    starts = range(0, len(X), PREDICT_ROWS)
    return np.concatenate([predict(X[start : start + PREDICT_ROWS]) for start in starts])


REGRESSORS: Registry[type[Regressor]] = Registry("regressor")
"""Classes by name, so that a saved model finds its own."""
