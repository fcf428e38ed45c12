"""Cheap baselines for every table: constants, ridge regression, gradient-boosted trees."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import Ridge

from xtalshift.errors import ConfigError, DataError
from xtalshift.estimators.base import (
    Choice,
    CrossFit,
    FitData,
    Labelled,
    Regressor,
    draw_seed,
)
from xtalshift.estimators.predictors import (
    OBJECTIVES,
    ConstantPredictor,
    LightGBMPredictor,
    QuantileLightGBMPredictor,
    RidgePredictor,
    Statistic,
)
from xtalshift.estimators.searched import SearchedRegressor, Tried
from xtalshift.estimators.tobit_trees import TobitObjective
from xtalshift.estimators.tree_sum import TreeSum
from xtalshift.featurize.scale import FeatureScaler

if TYPE_CHECKING:
    import lightgbm

    from xtalshift.progress import Task

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
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

    @property
    def selects(self) -> bool:
        """No: validation rows are not used."""
        return False

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
class RidgeRegressor(RidgePredictor, SearchedRegressor):
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

    def _choices(self) -> list[dict[str, Any]]:
        return [{"alphas": (alpha,)} for alpha in self.alphas]

    def _search(self, data: FitData, train: Labelled, X: FloatArray) -> Iterator[Tried]:  # noqa: ARG002
        scaler = FeatureScaler(self.clip).fit(train.X)
        x, x_other = scaler.transform(train.X), scaler.transform(X)
        for number, alpha in enumerate(self.alphas):
            model = Ridge(alpha=alpha).fit(x, train.y, sample_weight=train.weights)
            learned = {
                "scaler_": scaler,
                "coef_": np.asarray(model.coef_),
                "intercept_": float(model.intercept_),
                "alpha_": float(alpha),
            }
            yield Tried(number, model.predict(x_other), learned)


class Boosted:
    """What trainings of LightGBM share: the parameters and the rounds."""

    n_estimators: int
    learning_rate: float
    num_leaves: int
    early_stopping: int
    max_bin: int
    threads: int

    def _parameters(self, n: int, seed: int, loss: dict[str, Any]) -> dict[str, Any]:
        """Return LightGBM's parameters for n rows."""
        return {
            **loss,
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "max_bin": self.max_bin,
            "min_data_in_leaf": min(20, max(1, n // 10)),
            "feature_fraction": 0.5,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": self.threads,
            "verbosity": -1,
        }

    def _train(
        self,
        parameters: dict[str, Any],
        data: FitData,
        unit: float = 1.0,
        what: str = "LightGBM",
        metric: str = "val_mae",
        error: Callable[..., Any] | None = None,
    ) -> lightgbm.Booster:
        """Return the trees with the smallest validation error, for targets in a unit."""
        import lightgbm

        train, validation = data.train, data.validation
        rows = lightgbm.Dataset(train.X, train.y / unit, weight=train.weights)
        held_out = lightgbm.Dataset(
            validation.X, validation.y / unit, weight=validation.weights, reference=rows
        )
        with data.progress.task(what, self.n_estimators) as task:
            return lightgbm.train(
                parameters,
                rows,
                self.n_estimators,
                valid_sets=[held_out],
                feval=error,
                callbacks=self._callbacks(task, unit, metric),
            )

    def _cross_train(
        self,
        parameters: dict[str, Any],
        data: FitData,
        parts: list[tuple[IntArray, IntArray]],
        unit: float = 1.0,
        metric: str = "val_mae",
        error: Callable[..., Any] | None = None,
    ) -> tuple[list[lightgbm.Booster], int]:
        """Return the trees of each fold, and the number that is best over all folds."""
        import lightgbm

        train = data.train
        rows = lightgbm.Dataset(train.X, train.y / unit, weight=train.weights, free_raw_data=False)
        with data.progress.task("LightGBM", self.n_estimators) as task:
            cross_fitted: Any = lightgbm.cv(
                parameters,
                rows,
                self.n_estimators,
                folds=parts,
                feval=error,
                return_cvbooster=True,
                callbacks=self._callbacks(task, unit, metric),
            )
        boosters = cross_fitted["cvbooster"]
        return boosters.boosters, max(1, boosters.best_iteration)

    def _callbacks(self, task: Task, unit: float, metric: str) -> list[Any]:
        import lightgbm

        return [
            lightgbm.early_stopping(self.early_stopping, verbose=False),
            lambda env: task.advance(1, **{metric: unit * env.evaluation_result_list[0][2]}),
        ]


def parts_of(folds: IntArray) -> list[tuple[IntArray, IntArray]]:
    """Return the rows to train on and the rows to predict of each fold."""
    return [
        (np.flatnonzero(folds != fold), np.flatnonzero(folds == fold))
        for fold in np.unique(folds[folds >= 0])
    ]


@dataclass(eq=False, repr=False, kw_only=True)
class LightGBMRegressor(Boosted, LightGBMPredictor, Regressor):
    """Gradient-boosted trees, stopped early on validation rows; the same bits in every run.

    With bounds in `fit`, trees minimise the Tobit loss, see `xtalshift.estimators.tobit_trees`.

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
    max_bin : int, default 255
        Most intervals into which the values of a feature are sorted. Of few rows most of the time
        goes into trying their ends.
    loss : {"absolute", "squared", "huber"}, default "absolute"
        Loss of the trees and of their validation error. The Huber loss is squared for errors below
        one standard deviation of the targets, and linear above.
    threads : int, default 1
        Number of threads; 0 means all cores.
    validation_fraction, random_state
        As in `IRNetRegressor`.
    """

    uses = frozenset({"bounds"})

    def _fit(self, data: FitData) -> None:
        if self.loss not in OBJECTIVES:
            raise ConfigError(f"loss = {self.loss!r}; expected {', '.join(OBJECTIVES)}")
        seed = int(data.rng.integers(2**31 - 1))
        self._set_trees(self._boost(data, seed, self._objective(data.train)))

    def _plan(self, data: FitData, loss: dict[str, Any]) -> _Plan:
        """Return what LightGBM gets for some rows: the loss of values, or that of bounds."""
        unit = _unit(data.train.y)
        if data.train.bounds is None:
            return _Plan(data, loss, unit, unit)
        start = float(np.average(data.train.y, weights=data.train.weights))
        numbered, tobit = TobitObjective.of(data, start, unit)
        shown = OBJECTIVES[self.loss]
        return _Plan(numbered, tobit.parameters(), 1.0, unit, start, tobit.mean, shown)

    def _objective(self, train: Labelled) -> dict[str, Any]:
        """Return LightGBM's parameters for the loss."""
        name = OBJECTIVES[self.loss]
        metric = "l2" if self.loss == "squared" else "l1"
        width = float(np.std(train.y / _unit(train.y))) or 1.0
        return {"objective": name, "metric": metric} | ({"alpha": width} if name == "huber" else {})

    def _boost(self, data: FitData, seed: int, loss: dict[str, Any], what: str = "LightGBM") -> str:
        """Return the trees that minimise a loss, in LightGBM's text format."""
        plan = self._plan(data, loss)
        parameters = self._parameters(len(data.train.y), seed, plan.loss)
        booster = self._train(
            parameters, plan.data, plan.target_unit, what, plan.metric, plan.error
        )
        return plan.to_text(booster, booster.best_iteration)

    def cross_fit(self, data: FitData, folds: IntArray) -> CrossFit:
        """Fit with the same number of trees for all folds, that of the smallest error of all.

        Few rows then choose the number together, and all rows are trained on.
        """
        train, plan = data.train, self._plan(data, self._objective(data.train))
        seed = draw_seed(data.rng)
        parameters = self._parameters(len(train.y), seed, plan.loss)
        parts = parts_of(folds)
        boosters, trees = self._cross_train(
            parameters, plan.data, parts, plan.target_unit, plan.metric, plan.error
        )
        found = np.full(len(train.y), np.nan)
        for booster, (_, out) in zip(boosters, parts, strict=True):
            raw: Any = booster.predict(train.X[out], num_iteration=trees, num_threads=self.threads)
            found[out] = plan.unit * raw + plan.start
        only = None
        if len(parts) == 1:
            only = self._fitted(train, plan.to_text(boosters[0], trees))
        return CrossFit(found, Choice(seed, trees), self, data, only)

    def fit_chosen(self, data: FitData, choice: Choice) -> Regressor:
        """Fit with the number of trees that the folds have chosen."""
        import lightgbm

        if not 0 < choice.number <= self.n_estimators:
            raise DataError(f"{type(self).__name__} has no choice {choice.number}")
        train, plan = data.train, self._plan(data, self._objective(data.train))
        parameters = self._parameters(len(train.y), choice.seed, plan.loss)
        targets = plan.data.train.y / plan.target_unit
        rows = lightgbm.Dataset(train.X, targets, weight=train.weights)
        booster = lightgbm.train(parameters, rows, choice.number)
        return self._fitted(train, plan.to_text(booster, choice.number))

    def _fitted(self, train: Labelled, text: str) -> LightGBMRegressor:
        """Return a clone that has these trees."""
        fitted: LightGBMRegressor = clone(self)
        fitted.n_features_in_ = train.X.shape[1]
        fitted._set_trees(text)
        return fitted


@dataclass(frozen=True, eq=False)
class _Plan:
    """What LightGBM gets, and how its trees become predictions."""

    data: FitData
    """Rows, whose targets may be their numbers."""
    loss: dict[str, Any]
    """Parameters for the loss."""
    target_unit: float
    unit: float
    """`target_unit`, `unit`: of the targets in `data`, and of the leaves."""
    start: float = 0.0
    """What the first tree begins from; LightGBM begins itself from the best constant of its own
    losses."""
    error: Callable[..., Any] | None = None
    """The error that stops the trees, if LightGBM has none for the loss."""
    objective: str = ""
    """Name of the loss in the text, which LightGBM leaves out for one that it does not know."""

    @property
    def metric(self) -> str:
        """Name of the error in the progress."""
        return "val_mae" if self.error is None else "val_loss"

    def to_text(self, booster: lightgbm.Booster, trees: int) -> str:
        """Return the first trees as text, with leaves in the unit of the target."""
        if self.unit != 1 or self.start:
            for number, tree in enumerate(booster.dump_model()["tree_info"]):
                begin = self.start if number == 0 else 0.0
                for leaf in range(tree["num_leaves"]):
                    value = self.unit * booster.get_leaf_output(number, leaf) + begin
                    booster.set_leaf_output(number, leaf, value)
        text = str(booster.model_to_string(num_iteration=trees))
        if not self.objective:
            return text
        return re.sub(
            r"\n(?:objective=[^\n]*\n)?(feature_names=)",
            rf"\nobjective={self.objective}\n\1",
            text,
            count=1,
        )


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
    n_estimators, learning_rate, num_leaves, early_stopping, max_bin, threads
        As in `LightGBMRegressor`; each set stops on its own loss.
    validation_fraction, random_state
        As in `IRNetRegressor`.
    """

    uses = frozenset()

    def _fit(self, data: FitData) -> None:
        if not 0 < self.level < 1:
            raise ConfigError(f"level = {self.level}; expected a number in (0, 1)")
        super()._fit(data)
        seed = int(data.rng.integers(2**31 - 1))
        rest = (1 - self.level) / 2
        self.sides_ = [
            TreeSum(
                self._boost(
                    data,
                    seed,
                    {"objective": "quantile", "metric": "quantile", "alpha": alpha},
                    what=f"LightGBM {100 * alpha:g} %",
                )
            )
            for alpha in (rest, 1 - rest)
        ]
