"""Boosted trees on the errors of a linear model, which goes on where trees end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.estimators.base import (
    Choice,
    CrossFit,
    FitData,
    Labelled,
    Regressor,
    deal_folds,
    draw_seed,
    few_of,
    fit_clone,
)
from xtalshift.estimators.baselines import LightGBMRegressor, RidgeRegressor
from xtalshift.estimators.predictors import TrendLightGBMPredictor

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TREND_FOLDS = 5
"""Folds in which the linear model predicts rows that it was not fitted to."""


@dataclass(eq=False, repr=False, kw_only=True)
class TrendLightGBMRegressor(TrendLightGBMPredictor, LightGBMRegressor):
    """A linear model with an L2 penalty, and gradient-boosted trees on its errors.

    Trees predict no target beyond those of the training rows, and a constant beyond their
    features; a linear model goes on, and misses the rest. The trees learn errors of rows that the
    linear model was not fitted to: with few rows it fits its own too well. (Trees and a linear
    model in sequence: Zhang, Nettleton and Zhu, arXiv:1904.10416, with a random forest.)

    Parameters
    ----------
    n_estimators, learning_rate, num_leaves, early_stopping, max_bin, loss, threads
        As in `LightGBMRegressor`.
    alphas, clip
        As in `RidgeRegressor`; five folds, which no formula shares, choose the penalty.
    validation_fraction, random_state
        As in `IRNetRegressor`.
    """

    uses = frozenset()

    def _fit(self, data: FitData) -> None:
        self.trend_, errors = self._fit_trend(data, draw_seed(data.rng))
        aside = data.validation
        rest = replace(aside, y=aside.y - self.trend_.predict(aside.X))
        super()._fit(replace(data, train=errors, validation=rest))

    def cross_fit(self, data: FitData, folds: IntArray) -> CrossFit:
        """Fit the other rows of each fold alone; its linear model too must not see the fold."""
        return Regressor.cross_fit(self, data, folds)

    def fit_chosen(self, data: FitData, choice: Choice) -> Any:
        """Fit rows of which some are held out for the number of trees."""
        return Regressor.fit_chosen(self, data, choice)

    def _fit_trend(self, data: FitData, seed: int) -> tuple[Regressor, Labelled]:
        """Return the linear model of all rows, and the rows with errors of such that lack them."""
        rng, rows = np.random.default_rng(seed), data.train
        data, folds = replace(data, rng=rng), _deal(rows, rng)
        if not folds.any():  # one material: none can be held out
            trend = fit_clone(self._trend(), data, rows, few_of(rows))
            return trend, replace(rows, y=rows.y - trend.predict(rows.X))
        found = self._trend().cross_fit(data, folds)
        return found.fit_all(), replace(rows, y=rows.y - found.predictions)

    def _trend(self) -> RidgeRegressor:
        return RidgeRegressor(alphas=self.alphas, clip=self.clip)


def _deal(rows: Labelled, rng: np.random.Generator) -> IntArray:
    """Return folds of the rows for the linear model, shape (n,)."""
    names = np.arange(len(rows.y)) if rows.groups is None else rows.groups
    return deal_folds(names, TREND_FOLDS, rng)
