"""Kernel methods on standardised features and targets."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgWarning
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_ridge import KernelRidge
from sklearn.svm import SVR

from xtalshift.errors import ConfigError
from xtalshift.estimators.base import FitData, Labelled, draw_rows, mean_and_scale
from xtalshift.estimators.kernel_predictors import (
    KERNELS,
    KernelName,
    KernelPredictor,
    KernelRidgePredictor,
    SVPredictor,
    distances,
)
from xtalshift.estimators.searched import SearchedRegressor, Tried
from xtalshift.featurize.scale import FeatureScaler

FloatArray = NDArray[np.float64]


@dataclass(eq=False, repr=False, kw_only=True)
class KernelRegressor(KernelPredictor, SearchedRegressor):
    """Base of kernel methods that try kernels, widths and penalties.

    A subclass has the arguments `kernel`, `gammas` and one with the penalties, and implements
    `_solve`. Features are standardised and clipped, targets standardised.

    Parameters
    ----------
    max_rows : int, optional
        Largest number of training rows, drawn without replacement; all if None.
    clip : float
        Features are clipped at this many standard deviations; a missing one becomes the mean.
    emphasis : sequence of str
        Blocks of features that together count as much in distances as all others together, however
        many they are. Without such blocks, or without others, all features count alike.
    validation_fraction, random_state
        As in `Regressor`.

    Attributes
    ----------
    n_rows_used_ : int
        Number of training rows used.
    stretch_ : ndarray of float64, shape (kept,), or None
        By how much the standardised features are stretched for `emphasis`; the mean square is 1.
    kernel_, gamma_ : str, float
        Chosen values; `gamma_` is not divided by the number of features any more.
    rows_ : ndarray of float64, shape (m, kept)
        Standardised and stretched training rows with a coefficient.
    dual_coef_ : ndarray of float64, shape (m,)
        Their coefficients, for standardised targets.
    intercept_ : float
        Of the standardised targets.
    """

    uses = frozenset({"blocks"})
    _penalties = ""
    """Name of the argument with the penalties."""

    @abstractmethod
    def _solve(self, kernel: FloatArray, rows: Labelled, penalty: float) -> Solution | None:
        """Return coefficients for a kernel matrix, shape (n, n), None if there are none."""

    def _choices(self) -> list[dict[str, Any]]:
        return [
            {"kernel": name, "gammas": (gamma,), self._penalties: (penalty,)}
            for name in self._kernels()
            for gamma in self.gammas
            for penalty in getattr(self, self._penalties)
        ]

    def _kernels(self) -> list[KernelName]:
        one = isinstance(self.kernel, str)
        return [cast("KernelName", self.kernel)] if one else list(self.kernel)

    def _search(self, data: FitData, train: Labelled, X: FloatArray) -> Iterator[Tried]:
        kernels = self._kernels()
        penalties = getattr(self, self._penalties)
        self._check_grid(kernels, penalties)
        train = draw_rows(train, self.max_rows, data.rng)
        scaler = FeatureScaler(self.clip).fit(train.X)
        mean, scale = mean_and_scale(train)
        stretch = _stretch([data.blocks.get(name, range(0)) for name in self.emphasis], scaler)
        x, x_other = scaler.transform(train.X), scaler.transform(X)
        if stretch is not None:
            x *= stretch
            x_other *= stretch
        rows = Labelled(x, (train.y - mean) / scale, train.weights)
        learned = {
            "scaler_": scaler,
            "stretch_": stretch,
            "target_mean_": mean,
            "target_scale_": scale,
            "n_rows_used_": len(train.y),
        }
        number = -1
        with data.progress.task("kernels", len(kernels) * len(self.gammas)) as task:
            for name in kernels:
                for width, covariance, cross in _similarities(name, self.gammas, x, x_other):
                    for penalty in penalties:
                        number += 1
                        solution = self._solve(covariance, rows, float(penalty))
                        if solution is None:
                            continue
                        dual, intercept, extra = solution
                        used = np.flatnonzero(dual)
                        yield Tried(
                            number,
                            mean + scale * (intercept + cross @ dual),
                            {
                                **learned,
                                **extra,
                                "kernel_": name,
                                "gamma_": width,
                                "rows_": x[used],
                                "dual_coef_": dual[used],
                                "intercept_": intercept,
                            },
                        )
                    task.advance()

    def _check_grid(self, kernels: list[KernelName], penalties: Any) -> None:
        if not kernels or not set(kernels) <= set(KERNELS):
            raise ConfigError(f"kernel = {self.kernel!r}; expected {', '.join(KERNELS)}")
        for name, values in (("gammas", self.gammas), (self._penalties, penalties)):
            if not len(values) or not all(value > 0 for value in values):
                raise ConfigError(f"{name} = {values}; expected positive numbers")


def _stretch(emphasised: Sequence[range], scaler: FeatureScaler) -> FloatArray | None:
    """Return what features are multiplied with, shape (kept,), None if nothing is to be done."""
    chosen = np.isin(np.flatnonzero(scaler.kept_), np.concatenate([[], *map(np.array, emphasised)]))
    n, few = len(chosen), int(chosen.sum())
    if few in {0, n}:
        return None
    return np.sqrt(np.where(chosen, n / (2 * few), n / (2 * (n - few))))


def _similarities(
    name: KernelName, gammas: Sequence[float], rows: FloatArray, others: FloatArray
) -> Iterator[tuple[float, FloatArray, FloatArray]]:
    """Yield each inverse width, the kernel among the rows, and that of others with them."""
    near = None
    for number, gamma in enumerate(gammas, 1):
        if near is None:
            near, far = distances(name, rows, rows), distances(name, others, rows)
            np.fill_diagonal(near, 0.0)
        width = float(gamma) / rows.shape[1]
        # the matrix of all pairs of rows decides the memory: it is there once, and made again if
        # that is cheap
        given_up = name == "rbf" or number == len(gammas)
        kernel = np.multiply(near, -width, out=near if given_up else None)
        if given_up:
            near = None
        yield width, np.exp(kernel, out=kernel), np.exp(-width * far)


Solution = tuple[FloatArray, float, dict[str, Any]]
"""Coefficients of all rows, intercept, further attributes."""


@dataclass(eq=False, repr=False, kw_only=True)
class KernelRidgeRegressor(KernelRidgePredictor, KernelRegressor):
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
        As in `KernelRegressor`. Time grows with its third power, memory with the second: 0.8 GB at
        5000.
    clip, emphasis, validation_fraction, random_state
        As in `KernelRegressor`.

    Attributes
    ----------
    alpha_ : float
        Chosen penalty; other attributes as in `KernelRegressor`, with an intercept of 0.
    """

    _penalties = "alphas"

    def _solve(self, kernel: FloatArray, rows: Labelled, penalty: float) -> Solution | None:
        dual = solve_kernel(kernel, rows, penalty)
        return None if dual is None else (dual, 0.0, {"alpha_": penalty})


@dataclass(eq=False, repr=False, kw_only=True)
class SVRegressor(SVPredictor, KernelRegressor):
    """Support vector regression with width and penalty chosen on validation rows.

    Errors smaller than the tube cost nothing and larger ones their excess, so that outliers pull
    less than in kernel ridge regression (Smola and Schoelkopf, Stat. Comput. 14, 199 (2004)).

    Parameters
    ----------
    kernel : str or sequence of str, default "rbf"
        Kernels to choose from, as in `KernelRidgeRegressor`.
    penalties : sequence of float
        Costs ``C`` of an error to choose from by (weighted) validation MAE.
    gammas : sequence of float
        Inverse widths to choose from, divided by the number of features that vary.
    tube : float, default 0.05
        Half-width of the tube, in standard deviations of the targets.
    max_rows : int, optional, default 5000
        As in `KernelRegressor`.
    clip, emphasis, validation_fraction, random_state
        As in `KernelRegressor`.

    Attributes
    ----------
    penalty_ : float
        Chosen cost; other attributes as in `KernelRegressor`.
    """

    _penalties = "penalties"

    def _solve(self, kernel: FloatArray, rows: Labelled, penalty: float) -> Solution | None:
        model = SVR(C=penalty, kernel="precomputed", epsilon=self.tube, max_iter=200_000)
        model.random_state = 0  # unused, but None would draw from NumPy's global generator
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the validation error judges it
            model.fit(kernel, rows.y, sample_weight=rows.weights)
        dual = np.zeros(len(rows.y))
        dual[model.support_] = model.dual_coef_[0]
        return dual, float(model.intercept_[0]), {"penalty_": penalty}


def solve_kernel(kernel: FloatArray, rows: Labelled, alpha: float) -> FloatArray | None:
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
