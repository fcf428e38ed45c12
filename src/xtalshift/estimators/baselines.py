"""Cheap baselines for every table: constants, ridge regression, gradient-boosted trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from xtalshift.errors import ConfigError
from xtalshift.estimators.base import FitData, Regressor
from xtalshift.estimators.predictors import (
    ConstantPredictor,
    LightGBMPredictor,
    QuantileLightGBMPredictor,
    RidgePredictor,
    Statistic,
)
from xtalshift.featurize.scale import FeatureScaler

_SMALL = 1e-10
"""Targets that are all smaller are learned in another unit."""


@dataclass(eq=False, repr=False, kw_only=True)
class ConstantRegressor(ConstantPredictor, Regressor):
    """Predicts the same number for every row; the mean is the dummy of all tables.

    Parameters
    ----------
    statistic : {"mean", "median", "max", "min"}, default "mean"
        Statistic of the training targets. The largest target is hard to beat on an upper tail,
        where every held-out target lies above it.
    validation_fraction, random_state
        As in `IRNetRegressor`; validation rows are not used.
    """

    def _fit(self, data: FitData) -> None:
        y, weights = data.train.y, data.train.weights
        if self.statistic not in get_args(Statistic):
            raise ConfigError(
                f"statistic = {self.statistic!r}; expected {', '.join(get_args(Statistic))}"
            )
        if self.statistic == "mean":
            self.value_ = float(np.average(y, weights=weights))
        elif self.statistic == "median":
            order = np.argsort(y)
            share = np.cumsum(np.ones(len(y)) if weights is None else weights[order])
            # the mean of the two rows around half of the weight, as without weights
            sides = [int(np.searchsorted(share, share[-1] / 2, side)) for side in ("left", "right")]
            self.value_ = float(y[order[sides]].mean())
        else:
            self.value_ = float(getattr(np, self.statistic)(y))


@dataclass(eq=False, repr=False, kw_only=True)
class RidgeRegressor(RidgePredictor, Regressor):
    """Linear least squares with an L2 penalty that is chosen on validation rows.

    Parameters
    ----------
    alphas : sequence of float
        Penalties to choose from by validation MAE.
    clip : float, default 10
        Features are clipped at this many standard deviations.
    validation_fraction, random_state
        As in `IRNetRegressor`.
    """

    def _fit(self, data: FitData) -> None:
        train, validation = data.train, data.validation
        self.scaler_ = FeatureScaler(self.clip).fit(train.X)
        x, x_val = self.scaler_.transform(train.X), self.scaler_.transform(validation.X)
        best_error = np.inf
        for alpha in self.alphas:
            model = Ridge(alpha=alpha).fit(x, train.y, sample_weight=train.weights)
            deviation = np.abs(model.predict(x_val) - validation.y)
            error = float(np.average(deviation, weights=validation.weights))
            if error < best_error:
                best_error, self.alpha_ = error, float(alpha)
                self.coef_, self.intercept_ = np.asarray(model.coef_), float(model.intercept_)


@dataclass(eq=False, repr=False, kw_only=True)
class LightGBMRegressor(LightGBMPredictor, Regressor):
    """Gradient-boosted trees, stopped early on validation rows; the same bits in every run.

    Parameters
    ----------
    n_estimators : int, default 2000
        Largest number of trees.
    learning_rate : float, default 0.05
        Shrinkage.
    num_leaves : int, default 63
        Leaves per tree.
    early_stopping : int, default 50
        Stop after this many trees without a better validation error.
    threads : int, default 1
        Number of threads; 0 means all cores.
    validation_fraction, random_state
        As in `IRNetRegressor`.
    """

    def _fit(self, data: FitData) -> None:
        seed = int(data.rng.integers(2**31 - 1))
        self._set_booster(self._boost(data, seed, {"objective": "regression_l1", "metric": "l1"}))

    def _boost(self, data: FitData, seed: int, loss: dict[str, Any], what: str = "LightGBM") -> str:
        """Return the trees that minimise a loss, in LightGBM's text format."""
        import lightgbm

        train, validation = data.train, data.validation
        parameters = {
            **loss,
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": min(20, max(1, len(train.y) // 10)),
            "feature_fraction": 0.5,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": self.threads,
            "verbosity": -1,
        }
        unit = _unit(train.y)
        rows = lightgbm.Dataset(train.X, train.y / unit, weight=train.weights)
        held_out = lightgbm.Dataset(
            validation.X, validation.y / unit, weight=validation.weights, reference=rows
        )
        with data.progress.task(what, self.n_estimators) as task:
            booster = lightgbm.train(
                parameters,
                rows,
                self.n_estimators,
                valid_sets=[held_out],
                callbacks=[
                    lightgbm.early_stopping(self.early_stopping, verbose=False),
                    lambda env: task.advance(val_mae=unit * env.evaluation_result_list[0][2]),
                ],
            )
        if unit != 1:
            for number, tree in enumerate(booster.dump_model()["tree_info"]):
                for leaf in range(tree["num_leaves"]):
                    value = unit * booster.get_leaf_output(number, leaf)
                    booster.set_leaf_output(number, leaf, value)
        return str(booster.model_to_string(num_iteration=booster.best_iteration))


def _unit(targets: NDArray[np.float64]) -> float:
    """Return 1, or the power of 2 in which very small targets are learned.

    LightGBM does not start from the mean if that is below 1e-15.
    """
    size = float(np.abs(targets).max())
    return float(2.0 ** np.floor(np.log2(size))) if 0 < size < _SMALL else 1.0


@dataclass(eq=False, repr=False, kw_only=True)
class QuantileLightGBMRegressor(QuantileLightGBMPredictor, LightGBMRegressor):
    """Three sets of trees: for the median, which is the prediction, and a quantile on either side.

    Without calibration the quantiles are too narrow on new rows; conformalised, they give intervals
    with the stated coverage (Romano, Patterson and Candes, NeurIPS 2019).

    Parameters
    ----------
    level : float, default 0.9
        Share of targets between the two quantiles, half of the rest on either side.
    n_estimators, learning_rate, num_leaves, early_stopping, threads
        As in `LightGBMRegressor`; each set stops on its own loss.
    validation_fraction, random_state
        As in `IRNetRegressor`.
    """

    def _fit(self, data: FitData) -> None:
        if not 0 < self.level < 1:
            raise ConfigError(f"level = {self.level}; expected a number in (0, 1)")
        super()._fit(data)
        seed = int(data.rng.integers(2**31 - 1))
        rest = (1 - self.level) / 2
        self._set_sides(
            [
                self._boost(
                    data,
                    seed,
                    {"objective": "quantile", "metric": "quantile", "alpha": alpha},
                    what=f"LightGBM {100 * alpha:g} %",
                )
                for alpha in (rest, 1 - rest)
            ]
        )
