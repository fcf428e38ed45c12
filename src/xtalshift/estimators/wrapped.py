"""Regressors that wrap another one: importance weights, target labels, process on the errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import ConfigError
from xtalshift.estimators.base import (
    MIN_ROWS_TO_SPLIT,
    FitData,
    Labelled,
    Regressor,
    fit_clone,
)
from xtalshift.estimators.classical import GPRegressor
from xtalshift.estimators.network import NetworkRegressor
from xtalshift.importance.density_ratio import (
    classifier_weights,
    effective_sample_size,
    principal_components,
    standardise,
    ulsif_weights,
)
from xtalshift.importance.kernel_mean_matching import kmm_weights

Ratio = Literal["kmm", "ulsif", "classifier"]

MIN_GP_LABELS = 5


class WrappedRegressor(Regressor):
    """Base of regressors that fit a clone of another one and predict with it.

    A subclass implements `_fit`, which calls `_fit_inner` with other rows or weights.
    """

    estimator: Regressor
    estimator_: Regressor
    """The fitted clone."""

    def _fit_inner(
        self,
        data: FitData,
        train: Labelled,
        validation: Labelled,
        target: Labelled | None = None,
    ) -> None:
        """Fit a clone of `estimator` with given validation rows, so that it holds out none."""
        self.estimator_ = fit_clone(self.estimator, data, train, validation, target)

    def _predict(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.estimator_.predict(X)

    def predict_variants(self, X: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """Return the predictions of all sets of parameters of the inner regressor, by name."""
        return self.estimator_.predict_variants(self._check_features(X))

    def predict_std(self, X: ArrayLike) -> NDArray[np.float64] | None:
        """Return the standard deviation that the inner regressor predicts, shape (n,), or None."""
        return self.estimator_.predict_std(self._check_features(X))

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return how many features of each row the inner regressor clipped, shape (n,)."""
        return self.estimator_.n_clipped(self._check_features(X))


@dataclass(eq=False, repr=False, kw_only=True)
class ImportanceWeightedRegressor(WrappedRegressor):
    """Fits source rows with weights that make their features resemble those of the target domain.

    Under covariate shift, where p(y | x) is the same in both domains, the source error weighted by
    ``p_target(x) / p_source(x)`` is the target error (Shimodaira, J. Stat. Plan. Inference 90, 227,
    2000). Validation rows are weighted too, so that selection is for the target domain. Their ratio
    is estimated separately, because they may be drawn in another way than the training rows.
    Without target rows the fit is that of `estimator`.

    Parameters
    ----------
    estimator : Regressor
        Regressor to fit; it must take sample weights.
    ratio : {"kmm", "ulsif", "classifier"}, default "kmm"
        How the weights are estimated, see `kmm_weights`, `ulsif_weights`, `classifier_weights` in
        `xtalshift.importance`. The first two use at most 10 principal components.
    max_weight : float, default 20
        Largest weight, at least 1; the mean is 1.
    validation_fraction, random_state
        As in `IRNetRegressor`; `random_state` replaces that of `estimator`.

    Attributes
    ----------
    weights_ : ndarray of float64, shape (n_train,)
        Importance of the training rows, not yet multiplied by `sample_weight`.
    effective_sample_size_ : float
        Number of training rows of equal weight that would give the same variance of a mean.
    estimator_ : Regressor
        The regressor, fitted with the weights.
    """

    uses = frozenset({"X_target"})

    estimator: Regressor = field(kw_only=False)
    ratio: Ratio = field(default="kmm", kw_only=False)
    max_weight: float = 20.0

    def _fit(self, data: FitData) -> None:
        if self.ratio not in get_args(Ratio):
            raise ConfigError(f"ratio = {self.ratio!r}; expected {', '.join(get_args(Ratio))}")
        if self.max_weight < 1:
            raise ConfigError(f"max_weight = {self.max_weight}; expected at least 1, the mean")
        train, validation = data.train, data.validation
        self.weights_ = np.ones(len(train.y))
        if data.target is not None:
            rng = data.rng.spawn(1)[0]  # the draws of the inner regressor do not change
            self.weights_ = self._importance(train, data.target, rng)
            selection = self._importance(validation, data.target, rng)
            train, validation = _multiply(train, self.weights_), _multiply(validation, selection)
        self.effective_sample_size_ = effective_sample_size(self.weights_)
        self._fit_inner(data, train, validation)

    def _importance(
        self, rows: Labelled, target: Labelled, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Return the weights of some source rows, shape (n,), mean 1."""
        # scaled by both domains: a feature that differs only between them tells them apart
        (points,) = standardise(np.concatenate([rows.X, target.X]))
        sides = points[: len(rows.y)], points[len(rows.y) :]
        bound = float(self.max_weight)
        if self.ratio == "classifier":
            return classifier_weights(*sides, bound=bound, rng=rng)
        reduced = principal_components(*sides)
        if self.ratio == "kmm":
            return kmm_weights(*reduced, bound=bound, rng=rng)
        return ulsif_weights(*reduced, bound=bound, rng=rng)


def _multiply(rows: Labelled, weights: NDArray[np.float64]) -> Labelled:
    given = 1.0 if rows.weights is None else rows.weights
    return Labelled(rows.X, rows.y, weights * given)


@dataclass(eq=False, repr=False, kw_only=True)
class TargetOnlyRegressor(WrappedRegressor):
    """Fits the target labels alone; comparison with other methods shows what source rows add.

    Parameters
    ----------
    estimator : Regressor
        Regressor to fit.
    hold_out : bool, default True
        Whether some target labels are held out for selection, since the validation rows of `fit`
        are source rows. If False (for an `estimator` that selects nothing), or with fewer than 10
        labels, all labels serve for both training and selection.
    validation_fraction : float, default 0.2
        Share of the target labels that is held out.
    random_state : int, Generator or None
        Seed; it replaces that of `estimator`.

    Attributes
    ----------
    estimator_ : Regressor
        The regressor, fitted on the target labels.
    """

    uses = frozenset({"X_target", "y_target"})

    estimator: Regressor = field(kw_only=False)
    hold_out: bool = True
    validation_fraction: float = 0.2

    def _fit(self, data: FitData) -> None:
        target = _target_labels(self, data)
        if target is None:
            raise ConfigError(f"{type(self).__name__} needs target labels: X_target and y_target")
        train = validation = target
        if self.hold_out:
            train, validation = self._hold_out(target, target.groups, _own_draws(data))
        self._fit_inner(data, train, validation)


@dataclass(eq=False, repr=False, kw_only=True)
class JointRegressor(WrappedRegressor):
    """Fits source rows and target labels together; the labels have a fixed share of the weight.

    Without target labels the fit is that of `estimator`.

    Parameters
    ----------
    estimator : Regressor
        Regressor to fit; it must take sample weights.
    target_share : float, default 0.5
        Share of the target labels in the total weight, in (0, 1].
    validation_fraction : float, default 0.2
        Share of the target labels that is held out. Together with the validation rows of the
        source they select the model, with the weight `target_share`: a dozen labels alone would
        stop boosting after a tree or two. With fewer than 10 labels, all of them are trained on and
        only source rows select.
    random_state : int, Generator or None
        Seed; it replaces that of `estimator`.

    Attributes
    ----------
    estimator_ : Regressor
        The regressor, fitted on both.
    """

    uses = frozenset({"X_target", "y_target"})

    estimator: Regressor = field(kw_only=False)
    target_share: float = field(default=0.5, kw_only=False)
    validation_fraction: float = 0.2

    def _fit(self, data: FitData) -> None:
        if not 0 < self.target_share <= 1:
            raise ConfigError(f"target_share = {self.target_share}; expected a number in (0, 1]")
        train, validation = data.train, data.validation
        target = _target_labels(self, data)
        if target is not None:
            if len(target.y) >= MIN_ROWS_TO_SPLIT:
                target, held_out = self._hold_out(target, target.groups, _own_draws(data))
                validation = self._join(validation, held_out)
            train = self._join(train, target)
        self._fit_inner(data, train, validation)

    def _join(self, source: Labelled, target: Labelled) -> Labelled:
        """Return the rows of both with weights of mean 1."""
        weights, own = (
            np.ones(len(rows.y)) if rows.weights is None else rows.weights
            for rows in (source, target)
        )
        n, share = len(source.y) + len(target.y), self.target_share
        return Labelled(
            np.concatenate([source.X, target.X]),
            np.concatenate([source.y, target.y]),
            np.concatenate(
                [
                    n * (1 - share) * weights / weights.sum(),
                    n * share * own / own.sum(),
                ]
            ),
        )


@dataclass(eq=False, repr=False, kw_only=True)
class ResidualGPRegressor(WrappedRegressor):
    """Corrects a network by a Gaussian process on its errors at the target labels.

    The process (`GPRegressor`: RBF and noise) takes the input of the last layer of the network;
    far from all labels the correction is the mean error. With fewer than 5 labels, or if that
    representation is the same for all, the correction is this constant; without labels it is 0.

    Parameters
    ----------
    estimator : NetworkRegressor
        Network for source rows (`IRNetRegressor`), or one that itself learns from target labels
        (`TargetedCALRegressor`): then a random half of the labels, rounded up, adapts the network
        and the other half gives the errors.
    max_labels : int, default 2000
        Largest number of labels, drawn at random, that the process uses.
    validation_fraction, random_state
        As in `IRNetRegressor`; `random_state` replaces that of `estimator`.

    Attributes
    ----------
    estimator_ : NetworkRegressor
        The fitted network.
    gp_ : GPRegressor or None
        Process fitted on the errors; None if the correction is a constant.
    shift_ : float
        Mean error at the labels, target minus prediction.
    n_residuals_ : int
        Number of labels that gave errors.
    """

    uses = frozenset({"X_target", "y_target"})

    estimator: Regressor = field(kw_only=False)
    max_labels: int = 2000

    def _fit(self, data: FitData) -> None:
        if not isinstance(self.estimator, NetworkRegressor):
            raise ConfigError(
                f"only networks have a representation, not a {type(self.estimator).__name__}"
            )
        calibration = _target_labels(self, data)
        rng = _own_draws(data)
        tuning = None
        if calibration is not None and "y_target" in self.estimator.uses:
            # each label has one role: errors at labels that tuned the network are too small, and
            # errors of a cross-fit belong to networks with other representations
            order, n_errors = rng.permutation(len(calibration.y)), len(calibration.y) // 2
            tuning = calibration.take(order[n_errors:])
            calibration = calibration.take(order[:n_errors])
        self._fit_inner(data, data.train, data.validation, tuning)
        self.gp_: GPRegressor | None = None
        self.shift_, self.n_residuals_ = 0.0, 0
        if calibration is not None and len(calibration.y):
            self._fit_errors(calibration, rng)

    def _fit_errors(self, labels: Labelled, rng: np.random.Generator) -> None:
        errors = labels.y - self.estimator_.predict(labels.X)
        self.shift_ = float(np.average(errors, weights=labels.weights))
        self.n_residuals_ = len(errors)
        points = self._embed(labels.X)
        if len(errors) < MIN_GP_LABELS or np.allclose(points, points[0]):
            return
        process = GPRegressor(max_rows=self.max_labels, random_state=rng)
        # it selects nothing
        self.gp_ = process.fit(points, errors, labels.weights, X_val=points, y_val=errors)

    def _embed(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the representation, shape (n, width); for an ensemble, those of all members."""
        assert isinstance(self.estimator_, NetworkRegressor)
        points = self.estimator_.embed(X)
        members = points.reshape(-1, *points.shape[-2:])
        return np.concatenate(list(members), axis=1)

    def _predict(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        correction = self.shift_ if self.gp_ is None else self.gp_.predict(self._embed(X))
        return np.asarray(self.estimator_.predict(X) + correction)

    def predict_variants(self, X: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """Return the prediction under ``""`` only: the errors belong to one set of parameters."""
        return {"": self.predict(X)}

    def predict_std(self, X: ArrayLike) -> NDArray[np.float64] | None:
        """Return the standard deviation of the process, shape (n,); None without a process."""
        checked = self._check_features(X)
        return None if self.gp_ is None else self.gp_.predict_std(self._embed(checked))


def _target_labels(regressor: Regressor, data: FitData) -> Labelled | None:
    """Return the target rows, which must have labels; None if there are none."""
    if data.target is not None and np.isnan(data.target.y).any():
        raise ConfigError(f"{type(regressor).__name__} needs y_target as well as X_target")
    return data.target


def _own_draws(data: FitData) -> np.random.Generator:
    """Return a separate generator, so that the draws of the inner regressor do not change."""
    return data.rng.spawn(1)[0]
