"""Models of scikit-learn on standardised features and targets."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.neighbors import NearestNeighbors

from xtalshift.estimators.base import (
    FitData,
    Labelled,
    Regressor,
    check_count,
    draw_rows,
    mean_and_scale,
)
from xtalshift.estimators.lightgbm_text import Tree, join_trees
from xtalshift.estimators.predictors import ForestPredictor
from xtalshift.featurize.scale import FeatureScaler
from xtalshift.rowwise import in_pieces

PIECE_ROWS = 2048
"""Rows predicted at once; each takes one number per training row in memory."""


@dataclass(eq=False, repr=False, kw_only=True)
class ScaledRegressor(Regressor):
    """Standardises features and targets and limits the rows; a subclass learns from the result.

    Parameters
    ----------
    max_rows : int, optional
        Largest number of training rows, drawn without replacement; all if None.
    clip : float
        Features are clipped at this many standard deviations; a missing one becomes the mean.
    validation_fraction, random_state
        As in `IRNetRegressor`.

    Attributes
    ----------
    n_rows_used_ : int
        Number of training rows used.
    scaler_ : FeatureScaler
        Scaling of the features.
    target_mean_, target_scale_ : float
        (Weighted) mean and standard deviation of their targets.
    """

    max_rows: int | None = None
    clip: float = 10.0

    @abstractmethod
    def _fit_scaled(self, data: FitData) -> None:
        """Learn from standardised training and validation rows."""

    @abstractmethod
    def _predict_scaled(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return standardised predictions of some standardised rows, shape (n,)."""

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return how many features of each row were clipped, shape (n,)."""
        return self.scaler_.n_clipped(X)

    def _fit(self, data: FitData) -> None:
        train = draw_rows(data.train, self.max_rows, data.rng)
        self.n_rows_used_ = len(train.y)
        self.scaler_ = FeatureScaler(self.clip).fit(train.X)
        self.target_mean_, self.target_scale_ = mean_and_scale(train)
        validation = self._scale(data.validation)
        self._fit_scaled(replace(data, train=self._scale(train), validation=validation))

    def _scale(self, rows: Labelled) -> Labelled:
        targets = (rows.y - self.target_mean_) / self.target_scale_
        return replace(rows, X=self.scaler_.transform(rows.X), y=targets)

    def _predict(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.target_mean_ + self.target_scale_ * self._in_pieces(self._predict_scaled, X)

    def _in_pieces(
        self,
        predict: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        X: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return ``predict`` of the standardised rows, piece by piece."""
        return in_pieces(lambda rows: predict(self.scaler_.transform(rows)), X, PIECE_ROWS)


@dataclass(eq=False, repr=False, kw_only=True)
class NeighborsRegressor(ScaledRegressor):
    """The (weighted) mean target of the nearest training rows.

    Parameters
    ----------
    n_neighbors : int, default 1
        Number of nearest rows, by Euclidean distance of the standardised features.
    max_rows, clip, validation_fraction, random_state
        As in `ScaledRegressor`; validation rows are not used.
    """

    n_neighbors: int = 1

    @property
    def selects(self) -> bool:
        """No: validation rows are not used."""
        return False

    def _fit_scaled(self, data: FitData) -> None:
        train = data.train
        count = check_count("n_neighbors", self.n_neighbors, len(train.y))
        # not KNeighborsRegressor, which takes no sample weights
        self.neighbors_ = NearestNeighbors(n_neighbors=count).fit(train.X)
        self.targets_ = train.y
        self.weights_ = np.ones(len(train.y)) if train.weights is None else train.weights

    def _predict_scaled(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = self.neighbors_.kneighbors(X, return_distance=False)
        return np.asarray(np.average(self.targets_[rows], weights=self.weights_[rows], axis=1))


@dataclass(eq=False, repr=False, kw_only=True)
class GPRegressor(ScaledRegressor):
    """Gaussian process with an isotropic RBF kernel and noise.

    Signal variance, length scale and noise maximise the marginal likelihood of a part of the rows
    (Rasmussen and Williams, 2006, equation 5.8); predictions are conditioned on more of them (2.25,
    2.26). A sample weight ``w``, 1 on average, divides the noise variance of its row.

    Parameters
    ----------
    max_rows : int, optional, default 2000
        Largest number of rows to condition on.
    hyper_rows : int, default 500
        Largest number of those rows that the hyperparameters are fitted to, without weights.
    clip, validation_fraction, random_state
        As in `ScaledRegressor`; validation rows are not used.

    Attributes
    ----------
    kernel_ : sklearn.gaussian_process.kernels.Kernel
        Signal variance times RBF, for standardised features and targets.
    noise_ : float
        Noise variance of a row of weight 1, for standardised targets.
    """

    max_rows: int | None = 2000
    hyper_rows: int = 500

    @property
    def selects(self) -> bool:
        """No: validation rows are not used."""
        return False

    def _fit_scaled(self, data: FitData) -> None:
        train = data.train
        n = len(train.y)
        count = check_count("hyper_rows", self.hyper_rows, n)
        some = data.rng.choice(n, count, replace=False)
        found = fit_hyperparameters(train.X[some], train.y[some])
        self.kernel_, self.noise_ = found.k1, float(found.k2.noise_level)
        weights = np.ones(n) if train.weights is None else train.weights / train.weights.mean()
        process = GaussianProcessRegressor(
            self.kernel_, alpha=self.noise_ / weights, optimizer=None
        )
        self.process_ = process.fit(train.X, train.y)

    def _predict_scaled(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self.process_.predict(X))

    def predict_std(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the standard deviation of a new target, noise included, shape (n,)."""
        checked = self._check_features(X)
        return self.target_scale_ * self._in_pieces(self._std_scaled, checked)

    def _std_scaled(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        with warnings.catch_warnings():
            # at a training row, rounding may give a negative variance
            warnings.filterwarnings("ignore", "Predicted variances smaller than 0")
            signal = self.process_.predict(X, return_std=True)[1]
        return np.asarray(np.sqrt(np.square(signal) + self.noise_))


@dataclass(eq=False, repr=False, kw_only=True)
class ForestRegressor(ForestPredictor, Regressor):
    """Extremely randomised trees (Geurts, Ernst and Wehenkel, Mach. Learn. 63, 3 (2006)).

    Parameters
    ----------
    n_estimators : int, default 300
        Number of trees.
    max_features : float, int or str, default 1/3
        Features tried at each node, as in `sklearn.ensemble.ExtraTreesRegressor`; a third is
        Breiman's advice for regression forests.
    min_samples_leaf : int, default 1
        Smallest number of rows per leaf.
    threads : int, default 1
        Threads of the training; 0 means all cores.
    max_rows : int, optional
        As in `ScaledRegressor`. Leaves of single rows take some 150 bytes per row and tree.
    clip, validation_fraction, random_state
        As in `ScaledRegressor`; validation rows are not used.

    Attributes
    ----------
    n_rows_used_ : int
        Number of training rows used.
    scaler_ : FeatureScaler
        Scaling of the features.
    trees_ : TreeSum
        The trees, in LightGBM's text format.
    """

    @property
    def selects(self) -> bool:
        """No: validation rows are not used."""
        return False

    def _fit(self, data: FitData) -> None:
        train = draw_rows(data.train, self.max_rows, data.rng)
        self.n_rows_used_ = len(train.y)
        self.scaler_ = FeatureScaler(self.clip).fit(train.X)
        mean, scale = mean_and_scale(train)
        forest = ExtraTreesRegressor(
            n_estimators=self.n_estimators,
            max_features=self.max_features,
            min_samples_leaf=self.min_samples_leaf,
            n_jobs=self.threads or -1,
            random_state=int(data.rng.integers(2**31 - 1)),
        ).fit(self.scaler_.transform(train.X), (train.y - mean) / scale, train.weights)
        trees = [
            Tree(
                tree.children_left,
                tree.children_right,
                tree.feature,
                tree.threshold,
                (mean + scale * tree.value[:, 0, 0]) / self.n_estimators,
            )
            for tree in (one.tree_ for one in forest.estimators_)
        ]
        self._set_trees(None, join_trees(trees, len(self.scaler_.mean_)))


def fit_hyperparameters(X: NDArray[np.float64], y: NDArray[np.float64]) -> Any:
    """Return the kernel ``variance * RBF + noise`` with the largest marginal likelihood.

    Parameters
    ----------
    X : ndarray of float64, shape (n, d)
        Standardised features.
    y : ndarray of float64, shape (n,)
        Standardised targets.

    Returns
    -------
    sklearn.gaussian_process.kernels.Sum
    """
    length = float(np.sqrt(X.shape[1]))  # distances of random rows are about 1.4 times as large
    signal = ConstantKernel(1.0, (1e-3, 1e3)) * RBF(length, (1e-2 * length, 1e2 * length))
    model = GaussianProcessRegressor(signal + WhiteKernel(0.1, (1e-6, 10.0)))
    with warnings.catch_warnings():
        # not a failure if the likelihood is flat or largest at a bound (data without noise): the
        # kernel is the best one found
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y).kernel_
