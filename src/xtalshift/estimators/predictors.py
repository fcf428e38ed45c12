"""Predictors: the part of a regressor that a saved model needs, without scikit-learn.

Loading scikit-learn takes longer than a prediction. Constants, ridge and LightGBM therefore have
two classes each: a predictor here, with the settings, the learned values and `predict`, and a
regressor in `xtalshift.estimators.baselines`, which adds `fit`. Networks have one class, because a
saved network can be trained further.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import ConfigError, ModelFormatError
from xtalshift.estimators import HOMES
from xtalshift.estimators.lightgbm_text import TreeTable
from xtalshift.estimators.packed_trees import pack_trees, unpack_trees
from xtalshift.estimators.tree_shares import tree_shares
from xtalshift.estimators.tree_sum import TreeSum
from xtalshift.featurize.scale import SCALER, FeatureScaler
from xtalshift.registry import Registry
from xtalshift.rowwise import in_blocks, in_pieces
from xtalshift.saved_arrays import TEXT, Layout, SavedArray, Schema, check_arrays
from xtalshift.seeding import Seed

Arrays = dict[str, NDArray[Any]]
Pair = tuple[NDArray[np.float64], NDArray[np.float64]]
Statistic = Literal["mean", "median", "max", "min"]
Loss = Literal["absolute", "squared", "huber"]

OBJECTIVES: dict[Loss, str] = {
    "absolute": "regression_l1",
    "squared": "regression",
    "huber": "huber",
}
"""LightGBM's name of each loss."""

INSTEAD = (
    "fit it where you predict (xtalshift.fit in Python), compare it in `run` or `benchmark`, or "
    "train a method that can be saved, such as extra-trees, svr or lightgbm"
)
"""What to do where a model cannot be saved."""
_LARGE = 10
"""Trees of a forest that rows pass through at once: each has a leaf for every few rows."""
NEVER_SAVED = frozenset({"ScikitRegressor", "NeighborsClassifier"})
"""Estimators without a state that could be checked."""
PREDICT_ROWS = 65_536
"""Rows predicted at once, which bounds the memory of temporaries."""


@dataclass(eq=False, repr=False, kw_only=True)
class Learned(ABC):  # noqa: B024 - subclasses add the hooks
    """What was learned, without the part that learns: settings, checks of features, saved arrays.

    A subclass implements `_saved`, `_get_state` and `_set_state` if it can be saved. Those of
    numbers derive from `Predictor`, those of classes from
    `xtalshift.estimators.class_predictors.ClassPredictor`.

    Parameters
    ----------
    validation_fraction, random_state
        As in `xtalshift.estimators.base.Learner`, which uses them.

    Attributes
    ----------
    n_features_in_ : int
        Number d of the features.
    """

    validation_fraction: float = 0.1
    random_state: Seed = None

    n_features_in_: int = field(init=False)

    @property
    def regressor_name(self) -> str:
        """Name of the class that was fitted: ``XPredictor`` is the part of ``XRegressor``."""
        return type(self).__name__.replace("Predictor", "Regressor")

    @property
    def unsaved(self) -> str:
        """Why its models cannot be saved, and what to do instead; an empty text if they can."""
        name = self.regressor_name
        stated = type(self)._get_state is not Learned._get_state  # noqa: SLF001
        if stated and name in PREDICTORS and isinstance(self, PREDICTORS[name]):
            return ""
        return f"{name} cannot be saved: nothing says what it learns and how to check it; {INSTEAD}"

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002, FBT001, FBT002 - as scikit-learn's
        """Return the settings by name."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.init}

    def _saved_parameters(self) -> dict[str, Any]:
        """Return the settings that a saved model has."""
        return self.get_params(deep=False)

    def _check_features(self, X: ArrayLike) -> NDArray[np.float64]:
        features = np.asarray(X, dtype=np.float64)
        if features.ndim != 2 or features.shape[1] != self.n_features_in_:  # noqa: PLR2004
            raise ValueError(f"X has shape {features.shape}; expected (n, {self.n_features_in_})")
        if np.isinf(features).any():
            raise ValueError("X contains infinity")
        return features

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return how many features of each row are so far outside training that they are clipped.

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

    def contributions(self, x: ArrayLike, baselines: ArrayLike) -> NDArray[np.float64]:
        """Return how each feature moves what is predicted from each baseline to a row.

        Parameters
        ----------
        x : array_like of float, shape (d,)
            Features of the row.
        baselines : array_like of float, shape (m, d)
            Features of other rows.

        Returns
        -------
        ndarray of float64, shape (m, d), or (classes, m, d) of the probability of each class
            For each baseline they sum to the difference of both predictions: exactly for trees and
            linear models, by `xtalshift.estimators.line_shares` for networks and kernel methods.

        Raises
        ------
        ConfigError
            If the method cannot say it.
        """
        rows = self._check_features(np.vstack([np.asarray(x), np.asarray(baselines)]))
        return self._contributions(rows[0], rows[1:])

    def _contributions(
        self,
        x: NDArray[np.float64],  # noqa: ARG002
        baselines: NDArray[np.float64],  # noqa: ARG002
    ) -> NDArray[np.float64]:
        """Return the result of `contributions` for checked rows."""
        raise ConfigError(f"{self.regressor_name} does not say how its features move a prediction")

    @classmethod
    def _saved(cls, found: Layout) -> Schema:  # noqa: ARG003
        """Return what the arrays of `_get_state` must be.

        Parameters
        ----------
        found : mapping of ndarray or Unread
            The arrays that are there; they need not have been read.
        """
        raise ModelFormatError(f"a {cls.__name__} cannot be saved")

    def _get_state(self) -> Arrays:
        """Return everything learned as named arrays."""
        raise ModelFormatError(f"a fitted {type(self).__name__} cannot be saved")

    def _set_state(self, state: Arrays) -> None:  # noqa: ARG002
        """Restore what `_get_state` returned, after a check: the file may be damaged or forged.

        Raises
        ------
        ModelFormatError
            If the arrays are not what `_get_state` can return.
        """
        raise ModelFormatError(f"a saved {type(self).__name__} cannot be read")


@dataclass(eq=False, repr=False, kw_only=True)
class Predictor(Learned):
    """Predicts numbers with learned values; the base of `Regressor`, which also learns them.

    A subclass implements `_predict`, and also `_saved`, `_get_state` and `_set_state` if it can be
    saved.
    """

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
        ValueError
            If the number of features is wrong, or a feature is infinite.
        """
        checked = self._check_features(X)
        return in_pieces(self._predict, checked, PREDICT_ROWS)

    def predict_variants(self, X: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """Return the prediction of `predict` under ``""``, and others (such as ``ema``) by name.

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features.

        Returns
        -------
        dict of ndarray of float64, shape (n,)
        """
        return {"": self.predict(X)}

    def predict_std(self, X: ArrayLike) -> NDArray[np.float64] | None:  # noqa: ARG002
        """Return the standard deviation that the method predicts.

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features.

        Returns
        -------
        ndarray of float64, shape (n,), or None
            None for methods that predict none.
        """
        return None

    def predict_with_std(self, X: ArrayLike) -> tuple[NDArray[np.float64], Any]:
        """Return the results of `predict` and `predict_std`, from one pass where possible."""
        return self.predict(X), self.predict_std(X)

    def predict_quantiles(self, X: ArrayLike) -> Pair | None:  # noqa: ARG002
        """Return the lower and the upper quantile that the method predicts, shapes (n,), or None.

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features.
        """
        return None

    def trees_for(self, n: int) -> TreeSum | None:  # noqa: ARG002
        """Return trees whose sum is the prediction, for a stack to evaluate n rows together.

        None if the prediction is anything else, or n rows are too few.
        """
        return None

    @abstractmethod
    def _predict(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return predictions of checked rows, shape (n,); use `in_blocks` for matrix products."""


@dataclass(eq=False, repr=False, kw_only=True)
class ConstantPredictor(Predictor):
    """Predicts the same number for every row; settings as in `ConstantRegressor`."""

    statistic: Statistic = field(default="mean", kw_only=False)

    def _predict(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.full(len(X), self.value_)

    def _contributions(
        self,
        x: NDArray[np.float64],  # noqa: ARG002
        baselines: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        return np.zeros_like(baselines)

    @classmethod
    def _saved(cls, found: Layout) -> Schema:  # noqa: ARG003
        one = SavedArray(np.float64, (1,))
        return {"value": one, "n_features": SavedArray(np.int64, (1,), low=1)}

    def _get_state(self) -> Arrays:
        return {"value": np.array([self.value_]), "n_features": np.array([self.n_features_in_])}

    def _set_state(self, state: Arrays) -> None:
        check_arrays(state, self._saved(state))
        self.value_ = float(state["value"][0])
        self.n_features_in_ = int(state["n_features"][0])


@dataclass(eq=False, repr=False, kw_only=True)
class RidgePredictor(Predictor):
    """A linear model of standardised features; settings as in `RidgeRegressor`."""

    alphas: Sequence[float] = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
    clip: float = 10.0

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return how many features of each row were clipped, shape (n,)."""
        return self.scaler_.n_clipped(X)

    def _predict(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return (
            in_blocks(lambda rows: self.scaler_.transform(rows) @ self.coef_, X) + self.intercept_
        )

    def _contributions(
        self, x: NDArray[np.float64], baselines: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        row, others = self.scaler_.transform(x[None]), self.scaler_.transform(baselines)
        return self.scaler_.spread((row - others) * self.coef_)

    def _get_state(self) -> Arrays:
        return {
            **self.scaler_.get_state(),
            "coef": self.coef_,
            "intercept_alpha": np.array([self.intercept_, self.alpha_]),
        }

    @classmethod
    def _saved(cls, found: Layout) -> Schema:  # noqa: ARG003
        own = {
            "coef": SavedArray(np.float64, ("kept",)),
            "intercept_alpha": SavedArray(np.float64, (2,)),
        }
        return {**SCALER, **own}

    def _set_state(self, state: Arrays) -> None:
        check_arrays(state, self._saved(state))
        self.scaler_ = FeatureScaler(self.clip).set_state(state)
        self.n_features_in_ = self.scaler_.n_features_in_
        self.coef_ = state["coef"]
        self.intercept_, self.alpha_ = (float(value) for value in state["intercept_alpha"])


@dataclass(eq=False, repr=False, kw_only=True)
class LightGBMPredictor(Predictor):
    """Gradient-boosted trees; settings as in `LightGBMRegressor`."""

    n_estimators: int = 2000
    learning_rate: float = 0.05
    num_leaves: int = 63
    early_stopping: int = 50
    max_bin: int = 255
    loss: Loss = "absolute"
    threads: int = 1

    def _set_trees(self, text: str | None, trees: TreeTable | None = None) -> None:
        self.trees_ = TreeSum(text, trees)

    def _predict(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.trees_.predict(X, self.threads)

    def _contributions(
        self, x: NDArray[np.float64], baselines: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return tree_shares(self.trees_.trees, x, baselines)

    def trees_for(self, n: int) -> TreeSum | None:
        """Return the trees if many rows are worth evaluating together, else None."""
        return self.trees_ if self.trees_.takes_together(n, self.threads) else None

    def _get_state(self) -> Arrays:
        return {"booster": pack_trees(self.trees_)}

    @classmethod
    def _saved(cls, found: Layout) -> Schema:  # noqa: ARG003
        return {"booster": TEXT}

    def _set_state(self, state: Arrays) -> None:
        check_arrays(state, {"booster": TEXT})
        self.trees_ = unpack_trees("booster", state["booster"], OBJECTIVES[self.loss])
        self.n_features_in_ = self.trees_.trees.n_features


TREND = "trend."
"""What the arrays of a linear model in front of trees begin with."""


@dataclass(eq=False, repr=False, kw_only=True)
class TrendLightGBMPredictor(LightGBMPredictor):
    """A linear model plus trees; settings as in `TrendLightGBMRegressor`.

    Attributes
    ----------
    trend_ : RidgePredictor
        The linear model.
    """

    alphas: Sequence[float] = RidgePredictor.alphas
    clip: float = 10.0

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return how many features of each row the linear model clipped, shape (n,)."""
        return self.trend_.n_clipped(X)

    def trees_for(self, n: int) -> TreeSum | None:  # noqa: ARG002
        """Return None: the linear model is a part of the prediction."""
        return None

    def _predict(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.trend_.predict(X) + super()._predict(X)

    def _contributions(
        self, x: NDArray[np.float64], baselines: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return self.trend_.contributions(x, baselines) + super()._contributions(x, baselines)

    def _get_state(self) -> Arrays:
        own = self.trend_._get_state()  # noqa: SLF001
        trend = {TREND + name: value for name, value in own.items()}
        return {**super()._get_state(), **trend}

    @classmethod
    def _saved(cls, found: Layout) -> Schema:
        trend = RidgePredictor._saved(found)  # noqa: SLF001
        return {**super()._saved(found), **{TREND + name: one for name, one in trend.items()}}

    def _set_state(self, state: Arrays) -> None:
        check_arrays(state, self._saved(state))
        super()._set_state({"booster": state["booster"]})
        self.trend_ = RidgePredictor(alphas=self.alphas, clip=self.clip)
        trend = {k.removeprefix(TREND): v for k, v in state.items() if k.startswith(TREND)}
        self.trend_._set_state(trend)  # noqa: SLF001
        if self.trend_.n_features_in_ != self.n_features_in_:
            raise ModelFormatError("the trees take other features than the linear model")


@dataclass(eq=False, repr=False, kw_only=True)
class QuantileLightGBMPredictor(LightGBMPredictor):
    """Trees for the median and both quantiles; settings as in `QuantileLightGBMRegressor`."""

    level: float = 0.9

    def predict_quantiles(self, X: ArrayLike) -> Pair:
        """Return the lower and the upper quantile, shapes (n,), or their mean twice if they cross.

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features.
        """
        checked = self._check_features(X)
        low, high = (side.predict(checked, self.threads) for side in self.sides_)
        crossed = low > high
        middle = (low + high) / 2
        return np.where(crossed, middle, low), np.where(crossed, middle, high)

    def _get_state(self) -> Arrays:
        sides: dict[str, NDArray[Any]] = {
            f"side{number}": pack_trees(side) for number, side in enumerate(self.sides_)
        }
        return {**super()._get_state(), **sides}

    @classmethod
    def _saved(cls, found: Layout) -> Schema:  # noqa: ARG003
        return dict.fromkeys(("booster", "side0", "side1"), TEXT)

    def _set_state(self, state: Arrays) -> None:
        check_arrays(state, self._saved(state))
        super()._set_state({"booster": state["booster"]})
        sides = [unpack_trees(name, state[name], "quantile") for name in ("side0", "side1")]
        if {side.trees.n_features for side in sides} != {self.n_features_in_}:
            raise ModelFormatError("the trees of the quantiles take other features")
        self.sides_ = sides


@dataclass(eq=False, repr=False, kw_only=True)
class ForestPredictor(Predictor):
    """Extremely randomised trees of standardised features; settings as in `ForestRegressor`.

    LightGBM evaluates them: it is faster, and its text format is checked when a model is read.
    """

    n_estimators: int = 300
    max_features: float | str = 1 / 3
    min_samples_leaf: int = 1
    threads: int = 1
    max_rows: int | None = None
    clip: float = 10.0

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return how many features of each row were clipped, shape (n,)."""
        return self.scaler_.n_clipped(X)

    def _set_trees(self, text: str | None, trees: TreeTable | None = None) -> None:
        self.trees_ = TreeSum(text, trees, at_once=_LARGE)

    def _predict(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.trees_.predict(self._rows(X), self.threads)

    def _rows(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return rows in single precision, as the trees were grown: all take the same ways then."""
        return self.scaler_.transform(X).astype(np.float32).astype(np.float64)

    def _contributions(
        self, x: NDArray[np.float64], baselines: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        found = tree_shares(self.trees_.trees, self._rows(x[None])[0], self._rows(baselines))
        return self.scaler_.spread(found)

    @classmethod
    def _saved(cls, found: Layout) -> Schema:  # noqa: ARG003
        return {**SCALER, "booster": TEXT}

    def _get_state(self) -> Arrays:
        return {**self.scaler_.get_state(), "booster": pack_trees(self.trees_)}

    def _set_state(self, state: Arrays) -> None:
        check_arrays(state, self._saved(state))
        self.scaler_ = FeatureScaler(self.clip).set_state(state)
        self.n_features_in_ = self.scaler_.n_features_in_
        trees = unpack_trees("booster", state["booster"], OBJECTIVES["squared"], at_once=_LARGE)
        if trees.trees.n_features != len(self.scaler_.mean_):
            raise ModelFormatError("the trees take other features than the scaler keeps")
        self.trees_ = trees


_CLASSES = "xtalshift.estimators.class_predictors"
PREDICTORS: Registry[type[Learned]] = Registry(
    "estimator",
    {
        **{name: home for name, home in HOMES.items() if name not in NEVER_SAVED},
        "AdaptedStackRegressor": (
            "xtalshift.estimators.adapted_stack_predictor:AdaptedStackPredictor"
        ),
        "AdaptedStackClassifier": (
            "xtalshift.estimators.adapted_stack_predictor:AdaptedStackClassPredictor"
        ),
        "ConstantClassifier": f"{_CLASSES}:ConstantClassPredictor",
        "ForestClassifier": f"{_CLASSES}:ForestClassPredictor",
        "LightGBMClassifier": f"{_CLASSES}:LightGBMClassPredictor",
        "OrdinalClassifier": "xtalshift.estimators.ordinal:OrdinalClassPredictor",
        "LogisticClassifier": f"{_CLASSES}:LogisticClassPredictor",
        "RecalibrationClassifier": f"{_CLASSES}:RecalibrationClassPredictor",
        "BilinearTransductionRegressor": "xtalshift.experimental.transduction",
        "DivergenceBallRegressor": "xtalshift.experimental.divergence_balls",
        "ConstantRegressor": f"{__name__}:ConstantPredictor",
        "ForestRegressor": f"{__name__}:ForestPredictor",
        "KernelRidgeRegressor": "xtalshift.estimators.kernel_predictors:KernelRidgePredictor",
        "LightGBMRegressor": f"{__name__}:LightGBMPredictor",
        "QuantileLightGBMRegressor": f"{__name__}:QuantileLightGBMPredictor",
        "RidgeRegressor": f"{__name__}:RidgePredictor",
        "StackClassifier": "xtalshift.estimators.stack_predictor:StackClassPredictor",
        "StackRegressor": "xtalshift.estimators.stack_predictor:StackPredictor",
        "TrendLightGBMRegressor": f"{__name__}:TrendLightGBMPredictor",
        "SVRegressor": "xtalshift.estimators.kernel_predictors:SVPredictor",
    },
)
"""Predictors by the name of the class that was fitted, which a saved model contains; each is
imported when it is looked up. Estimators of scikit-learn are not among them: they have no state
that could be checked."""
