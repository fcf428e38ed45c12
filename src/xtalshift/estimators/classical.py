"""Models of scikit-learn on standardised features and targets."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import LinAlgWarning
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import euclidean_distances, manhattan_distances
from sklearn.neighbors import NearestNeighbors

from xtalshift.errors import ConfigError, TrainingError
from xtalshift.estimators.base import FitData, Labelled, Regressor, mean_and_scale
from xtalshift.featurize.scale import FeatureScaler
from xtalshift.rowwise import in_pieces

KernelName = Literal["rbf", "laplacian"]

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
        return self.target_mean_ + self.target_scale_ * self._in_pieces(self._predict_scaled, X)

    def _in_pieces(
        self,
        predict: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        X: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return ``predict`` of the standardised rows, piece by piece."""
        return in_pieces(lambda rows: predict(self.scaler_.transform(rows)), X, PIECE_ROWS)


def check_count(name: str, value: int | None, most: int) -> int:
    """Return a setting that counts rows, or `most` if it is None or larger.

    Raises
    ------
    ConfigError
        If the value is not positive.
    """
    if value is None:
        return most
    if value < 1:
        raise ConfigError(f"{name} = {value!r}; expected at least 1")
    return min(int(value), most)


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
class KernelRidgeRegressor(ScaledRegressor):
    """Kernel ridge regression with kernel, width and penalty chosen on validation rows.

    The coefficients solve ``(K + alpha I) c = y``; with sample weights ``w`` they minimise
    ``sum_i w_i (y_i - f(x_i))^2 + alpha |f|^2`` (Rasmussen and Williams, Gaussian Processes for
    Machine Learning, 2006, section 6.2). ``K`` is ``exp(-gamma r^2)`` of the Euclidean distance
    (``rbf``) or ``exp(-gamma r)`` of the Manhattan distance (``laplacian``; Rupp, Int. J. Quantum
    Chem. 115, 1058 (2015), reviews it for molecules).

    Parameters
    ----------
    kernel : str or sequence of str, default ("rbf", "laplacian")
        Kernels to choose from.
    alphas : sequence of float
        Penalties to choose from by (weighted) validation MAE.
    gammas : sequence of float
        Inverse widths to choose from, divided by the number of features that vary.
    max_rows : int, optional, default 5000
        As in `ScaledRegressor`. Time grows with its third power, memory with the second: 0.8 GB at
        5000.
    clip, validation_fraction, random_state
        As in `ScaledRegressor`.

    Attributes
    ----------
    kernel_, alpha_, gamma_ : str, float, float
        Chosen values; `gamma_` is not divided any more.
    dual_coef_ : ndarray of float64, shape (n_rows_used_,)
        Coefficients of the training rows, for standardised targets.
    rows_ : ndarray of float64, shape (n_rows_used_, d)
        Standardised training rows.
    """

    kernel: KernelName | Sequence[KernelName] = field(default=("rbf", "laplacian"), kw_only=False)
    alphas: Sequence[float] = (1e-3, 1e-2, 1e-1, 1.0)
    gammas: Sequence[float] = (0.03, 0.1, 0.3, 1.0)
    max_rows: int | None = 5000

    def _fit_scaled(self, data: FitData) -> None:
        train, validation = data.train, data.validation
        kernels = [self.kernel] if isinstance(self.kernel, str) else list(self.kernel)
        self._check_grid(kernels)
        widths = [float(gamma) / train.X.shape[1] for gamma in self.gammas]
        best_error = np.inf
        with data.progress.task("kernel ridge", len(kernels) * len(widths)) as task:
            for name in kernels:
                distance = DISTANCES[name](train.X, train.X)
                to_validation = DISTANCES[name](validation.X, train.X)
                for gamma in widths:
                    covariance, weights = np.exp(-gamma * distance), validation.weights
                    cross = np.exp(-gamma * to_validation)
                    for alpha in self.alphas:
                        dual = solve_kernel(covariance, train, float(alpha))
                        if dual is None:
                            continue
                        deviation = np.abs(cross @ dual - validation.y)
                        error = float(np.average(deviation, weights=weights))
                        if error < best_error:
                            best_error, self.dual_coef_ = error, dual
                            self.kernel_, self.gamma_, self.alpha_ = name, gamma, float(alpha)
                    task.advance(val_mae=best_error * self.target_scale_)
        if not np.isfinite(best_error):
            raise TrainingError(
                f"no penalty of alphas = {self.alphas} is large enough for a solution"
            )
        self.rows_ = train.X

    def _check_grid(self, kernels: Sequence[str]) -> None:
        if not kernels or not set(kernels) <= set(DISTANCES):
            raise ConfigError(f"kernel = {self.kernel!r}; expected {', '.join(DISTANCES)}")
        for name in ("alphas", "gammas"):
            values = getattr(self, name)
            if not len(values) or not all(value > 0 for value in values):
                raise ConfigError(f"{name} = {values}; expected positive numbers")

    def _predict_scaled(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        distance = DISTANCES[self.kernel_](X, self.rows_)
        return np.asarray(np.exp(-self.gamma_ * distance) @ self.dual_coef_)


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
class ForestRegressor(ScaledRegressor):
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
    """

    n_estimators: int = 300
    max_features: float | str = 1 / 3
    min_samples_leaf: int = 1
    threads: int = 1

    def _fit_scaled(self, data: FitData) -> None:
        train = data.train
        self.forest_ = ExtraTreesRegressor(
            n_estimators=self.n_estimators,
            max_features=self.max_features,
            min_samples_leaf=self.min_samples_leaf,
            n_jobs=self.threads or -1,
            random_state=int(data.rng.integers(2**31 - 1)),
        ).fit(train.X, train.y, sample_weight=train.weights)
        # several threads would add up the trees in changing order, with other rounding errors
        self.forest_.set_params(n_jobs=1)

    def _predict_scaled(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self.forest_.predict(X))


def _squared_distances(X: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(euclidean_distances(X, others, squared=True))


DISTANCES: dict[str, Callable[..., NDArray[np.float64]]] = {
    "rbf": _squared_distances,
    "laplacian": manhattan_distances,
}
"""Distance in the exponent of each kernel."""


def solve_kernel(
    kernel: NDArray[np.float64], rows: Labelled, alpha: float
) -> NDArray[np.float64] | None:
    """Return the coefficients of kernel ridge regression, shape (n,).

    Parameters
    ----------
    kernel : ndarray of float64, shape (n, n)
        Not changed.
    rows : Labelled of n rows
        Targets and sample weights.
    alpha : float
        Penalty.

    Returns
    -------
    ndarray of float64, shape (n,), or None
        None if the matrix is not positive definite in double precision.
    """
    model = KernelRidge(alpha=alpha, kernel="precomputed")
    with warnings.catch_warnings():
        # a singular matrix, which scikit-learn solves by least squares
        warnings.filterwarnings("error", category=UserWarning)
        warnings.filterwarnings("error", category=LinAlgWarning)
        try:
            return np.asarray(model.fit(kernel, rows.y, sample_weight=rows.weights).dual_coef_)
        except (UserWarning, LinAlgWarning):
            return None


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
