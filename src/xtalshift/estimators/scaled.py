"""What all regressors on standardised features and targets share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import ConfigError
from xtalshift.estimators.base import FitData, Labelled, Regressor, in_pieces, mean_and_scale
from xtalshift.featurize.scale import FeatureScaler

__all__ = ["ScaledRegressor", "check_count"]

BLOCK_ROWS = 2048
"""Rows predicted at once: a row takes a number per training row."""


class ScaledRegressor(Regressor):
    """Standardises features and targets and caps the rows; a subclass learns from the result.

    Parameters
    ----------
    max_rows : int, optional
        At most so many training rows are used, drawn without replacement; all if None.
    clip : float
        Features are clipped at this many standard deviations; a missing one becomes the mean.
    validation_fraction, random_state
        As in `IRNetRegressor`.

    Attributes
    ----------
    n_rows_used_ : int
        Training rows that were used.
    scaler_ : FeatureScaler
        Scaling of the features.
    target_mean_, target_scale_ : float
        (Weighted) mean and standard deviation of the targets that were used.
    """

    max_rows: int | None
    clip: float

    @abstractmethod
    def _fit_scaled(self, data: FitData) -> None:
        """Learn from standardised training and validation rows."""

    @abstractmethod
    def _predict_scaled(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return standardised predictions of a block of standardised rows, shape (n,)."""

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return how many features of each row were clipped, shape (n,)."""
        return self.scaler_.n_clipped(X)

    def _fit(self, data: FitData) -> None:
        train = self._cap(data.train, data.rng)
        self.n_rows_used_ = len(train.y)
        self.scaler_ = FeatureScaler(self.clip).fit(train.X)
        self.target_mean_, self.target_scale_ = mean_and_scale(train)
        validation = self._scale(data.validation)
        self._fit_scaled(replace(data, train=self._scale(train), validation=validation))

    def _cap(self, rows: Labelled, rng: np.random.Generator) -> Labelled:
        cap = check_count("max_rows", self.max_rows, len(rows.y))
        if cap == len(rows.y):
            return rows
        return rows.take(np.sort(rng.choice(len(rows.y), cap, replace=False)))

    def _scale(self, rows: Labelled) -> Labelled:
        targets = (rows.y - self.target_mean_) / self.target_scale_
        return replace(rows, X=self.scaler_.transform(rows.X), y=targets)

    def _predict(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.target_mean_ + self.target_scale_ * self._in_blocks(self._predict_scaled, X)

    def _in_blocks(
        self,
        predict: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        X: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return ``predict`` of the standardised rows, a block at a time."""
        return in_pieces(lambda block: predict(self.scaler_.transform(block)), X, BLOCK_ROWS)


def check_count(name: str, value: int | None, most: int) -> int:
    """Return a setting that counts rows, or `most` if it is None or larger.

    Raises
    ------
    ConfigError
        If it is not positive.
    """
    if value is None:
        return most
    if value < 1:
        raise ConfigError(f"{name} = {value!r}; expected at least 1")
    return min(int(value), most)
