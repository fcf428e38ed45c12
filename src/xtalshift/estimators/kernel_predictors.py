"""Predictors of kernel methods: sums of kernels around training rows, without scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from xtalshift.estimators.line_shares import line_shares
from xtalshift.estimators.predictors import Arrays, Predictor
from xtalshift.featurize.scale import SCALER, FeatureScaler
from xtalshift.rowwise import in_blocks
from xtalshift.saved_arrays import POSITIVE, Layout, SavedArray, Schema, check_arrays

FloatArray = NDArray[np.float64]
KernelName = Literal["rbf", "laplacian"]
_STEPS = 16  # points of a line: a sum over many rows is smooth
KERNELS: tuple[KernelName, ...] = get_args(KernelName)


def distances(kernel: KernelName, X: FloatArray, rows: FloatArray) -> FloatArray:
    """Return the distances in the exponent of a kernel, shape (n, m).

    Parameters
    ----------
    kernel : {"rbf", "laplacian"}
        Squared Euclidean distance, or Manhattan distance.
    X, rows : ndarrays of float64, shapes (n, d) and (m, d)
    """
    if kernel == "laplacian":
        return np.asarray(cdist(X, rows, "cityblock"))
    # in place: for many rows each such matrix takes a good part of the memory
    products = X @ rows.T
    products *= 2
    squares = (X**2).sum(axis=1)[:, None] + (rows**2).sum(axis=1)
    squares -= products
    return np.asarray(np.maximum(squares, 0.0, out=squares))


@dataclass(eq=False, repr=False, kw_only=True)
class KernelPredictor(Predictor):
    """``mean + scale * (intercept + sum_i dual_i k(x, x_i))`` of standardised features.

    ``k`` is ``exp(-gamma r)`` of the distance ``r`` of `distances`.
    """

    max_rows: int | None = None
    clip: float = 10.0
    emphasis: Sequence[str] = ()

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return how many features of each row were clipped, shape (n,)."""
        return self.scaler_.n_clipped(X)

    def _predict(self, X: FloatArray) -> FloatArray:
        scaled = in_blocks(self._sum, X)
        return self.target_mean_ + self.target_scale_ * (self.intercept_ + scaled)

    def _scaled(self, X: FloatArray) -> FloatArray:
        """Return features as the kernel sees them, shape (n, kept)."""
        scaled = self.scaler_.transform(X)
        return scaled if self.stretch_ is None else scaled * self.stretch_

    def _sum(self, X: FloatArray) -> FloatArray:
        distance = distances(self.kernel_, self._scaled(X), self.rows_)
        return np.asarray(np.exp(-self.gamma_ * distance) @ self.dual_coef_)

    def _contributions(self, x: FloatArray, baselines: FloatArray) -> FloatArray:
        row, others = self._scaled(x[None])[0], self._scaled(baselines)
        found = line_shares(self._gradient, row, others, _STEPS)
        return self.scaler_.spread(found * self.target_scale_)

    def _gradient(self, X: FloatArray) -> FloatArray:
        """Return the gradient of `_sum` by rows as the kernel sees them, shape (n, kept)."""
        weights = np.exp(-self.gamma_ * distances(self.kernel_, X, self.rows_)) * self.dual_coef_
        if self.kernel_ == "laplacian":
            found = np.stack(
                [one @ np.sign(row - self.rows_) for one, row in zip(weights, X, strict=True)]
            )
            return np.asarray(-self.gamma_ * found)
        pull = weights.sum(axis=1)[:, None] * X - weights @ self.rows_
        return np.asarray(-2 * self.gamma_ * pull)

    @classmethod
    def _saved(cls, found: Layout) -> Schema:
        stretch = {"stretch": SavedArray(np.float64, ("kept",), low=POSITIVE)}
        return {
            **SCALER,
            **(stretch if "stretch" in found else {}),
            "rows": SavedArray(np.float64, ("rows", "kept")),
            "dual": SavedArray(np.float64, ("rows",)),
            "target": SavedArray(np.float64, (2,)),
            "kernel": SavedArray(np.int64, (1,), low=0, high=len(KERNELS) - 1),
            "gamma": SavedArray(np.float64, (1,), low=POSITIVE),
            "intercept": SavedArray(np.float64, (1,)),
        }

    def _get_state(self) -> Arrays:
        return {
            **self.scaler_.get_state(),
            **({} if self.stretch_ is None else {"stretch": self.stretch_}),
            "rows": self.rows_,
            "dual": self.dual_coef_,
            "target": np.array([self.target_mean_, self.target_scale_]),
            "kernel": np.array([KERNELS.index(self.kernel_)]),
            "gamma": np.array([self.gamma_]),
            "intercept": np.array([self.intercept_]),
        }

    def _set_state(self, state: Arrays) -> None:
        check_arrays(state, self._saved(state))
        self.scaler_ = FeatureScaler(self.clip).set_state(state)
        self.n_features_in_ = self.scaler_.n_features_in_
        self.stretch_ = state.get("stretch")
        self.rows_, self.dual_coef_ = state["rows"], state["dual"]
        self.target_mean_, self.target_scale_ = (float(value) for value in state["target"])
        self.kernel_ = KERNELS[int(state["kernel"][0])]
        self.gamma_ = float(state["gamma"][0])
        self.intercept_ = float(state["intercept"][0])


@dataclass(eq=False, repr=False, kw_only=True)
class KernelRidgePredictor(KernelPredictor):
    """Kernel ridge regression; settings as in `KernelRidgeRegressor`."""

    kernel: KernelName | Sequence[KernelName] = field(default=("rbf", "laplacian"), kw_only=False)
    alphas: Sequence[float] = (1e-3, 1e-2, 1e-1, 1.0)
    gammas: Sequence[float] = (0.03, 0.1, 0.3, 1.0)
    max_rows: int | None = 5000


@dataclass(eq=False, repr=False, kw_only=True)
class SVPredictor(KernelPredictor):
    """Support vector regression; settings as in `SVRegressor`."""

    kernel: KernelName | Sequence[KernelName] = field(default="rbf", kw_only=False)
    penalties: Sequence[float] = (1.0, 10.0)
    gammas: Sequence[float] = (0.1, 0.3, 1.0)
    tube: float = 0.05
    max_rows: int | None = 5000
