"""A fitted model of formulas: predictions, intervals, domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.families import family_codes
from xtalshift.chem.formulas import Hydrates
from xtalshift.data.transform import TargetTransform
from xtalshift.domain.applicability import ApplicabilityDomain
from xtalshift.errors import DataError, FormulaError, LeakageError, NotConformalizedError
from xtalshift.estimators.base import Regressor
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.composition import Blocks
from xtalshift.methods.inputs import target_transform
from xtalshift.model.card import ModelCard
from xtalshift.model.intervals import calibrate
from xtalshift.model.predictions import FormulaPredictions, predict_formulas
from xtalshift.uncertainty.conformal import Calibration, ScoreKind, ScoreOrigin
from xtalshift.uncertainty.weighted import RatioMethod, ShiftWeights, shift_weights

__all__ = ["FormulaModel", "as_columns"]


class FormulaModel(RegressorMixin, BaseEstimator):
    """What a model does once it is fitted; `FormulaRegressor` says how it gets there.

    The life of intervals is fit, conformalize, predict_interval.
    """

    features: Blocks
    transform: str
    impute_nan: bool
    hydrates: Hydrates
    regressor_: Regressor
    card_: ModelCard
    calibration_: Calibration | None
    domain_: ApplicabilityDomain | None

    def adopt(self, regressor: Regressor, card: ModelCard) -> Self:
        """Take a regressor that was fitted on this model's features and transformed targets.

        Parameters
        ----------
        regressor : Regressor
            Fitted.
        card : ModelCard
            What its numbers mean.

        Returns
        -------
        self
        """
        check_is_fitted(regressor)
        self.regressor_ = regressor
        self.card_ = card
        self.calibration_ = None
        self.domain_ = None
        return self

    def featurizer(self) -> CompositionFeaturizer:
        """Return the featurizer that this model's settings describe."""
        return CompositionFeaturizer(
            blocks=self.features, impute_nan=self.impute_nan, hydrates=self.hydrates
        )

    @property
    def scale(self) -> TargetTransform:
        """The scale on which the regressor works."""
        return target_transform(self.regressor_, self.transform)

    def features_of(self, X: Sequence[str], extra: ArrayLike | None) -> NDArray[np.float64]:
        """Return the features of formulas, with the further ones, shape (n, d)."""
        return self.join(self.featurizer().transform(X), extra)

    def feature_names(self) -> list[str]:
        """Return the names of the features, in order, length d."""
        return [*map(str, self.featurizer().get_feature_names_out()), *self.card_.feature_cols]

    def join(self, features: NDArray[np.float64], extra: ArrayLike | None) -> NDArray[np.float64]:
        """Return features with the further ones beside them, which must be those of `fit`."""
        columns = as_columns(extra, len(features))
        expected = len(self.card_.feature_cols)
        if columns.shape[1] != expected:
            raise DataError(
                f"the model needs {expected} extra feature columns "
                f"({', '.join(self.card_.feature_cols) or 'none'}), got {columns.shape[1]}"
            )
        return np.hstack([features, columns])

    def predict(self, X: Sequence[str], extra: ArrayLike | None = None) -> NDArray[np.float64]:
        """Predict the property of each formula.

        Parameters
        ----------
        X : sequence of str, length n
            Formulas.
        extra : array_like of float, shape (n, k), optional
            The further features of `fit`, in the same order.

        Returns
        -------
        ndarray of float64, shape (n,)
            In the unit of the target.

        Raises
        ------
        FormulaError
            If a formula cannot be read; `predict_rows` reports it instead.
        DataError
            If the model was fitted with another number of further features.
        """
        check_is_fitted(self, "regressor_")
        return self.scale.inverse(self.regressor_.predict(self.features_of(X, extra)))

    def predict_rows(
        self,
        X: Sequence[Any],
        extra: NDArray[np.float64] | None = None,
        *,
        level: float = 0.9,
        by_family: bool = False,
        shift: ShiftWeights | None = None,
        explain: bool = False,
    ) -> FormulaPredictions:
        """Predict, and say of every row that cannot be predicted why; nothing is raised for one.

        Parameters
        ----------
        X : sequence, length n
            Formulas, or whatever stands in their place.
        extra : ndarray of float, shape (n, k), optional
            The further features; rows with NaN are bad rows.
        level, by_family, shift
            Of the intervals, as in `predict_interval`; `shift` is what `weigh_shift` returns.
        explain : bool
            Whether to say of each row which features are out of range and what is nearest.

        Returns
        -------
        FormulaPredictions
        """
        return predict_formulas(
            self, X, extra, level=level, by_family=by_family, shift=shift, explain=explain
        )

    def was_trained_on(self, features: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which rows, shape (n, d), are training materials; none without a domain."""
        if self.domain_ is None:
            return np.zeros(len(features), dtype=np.bool_)
        return self.domain_.holds(features)

    def conformalize(
        self,
        X: Sequence[str],
        y: ArrayLike,
        extra: ArrayLike | None = None,
        *,
        score: ScoreKind | None = None,
        origin: ScoreOrigin = "held-out",
    ) -> Self:
        """Learn from rows that `fit` did not see how wide prediction intervals must be.

        Parameters
        ----------
        X : sequence of str, length n
            Formulas that are none of the training rows.
        y : array_like of float, shape (n,)
            Targets.
        extra : array_like of float, shape (n, k), optional
            The further features of `fit`.
        score : {"absolute", "normalised", "quantile"}, optional
            By default what the regressor can do, see `xtalshift.model.intervals.calibrate`.
        origin : {"held-out", "target"}
            Whether they are rows like those of `fit`, or labels of a target domain; kept with them.

        Returns
        -------
        self

        Raises
        ------
        DataError
            If there are fewer than 10 rows.
        LeakageError
            If a row is a training material.
        ConfigError
            If the regressor cannot have such scores.
        """
        check_is_fitted(self, "regressor_")
        compositions, _, _ = parse_formulas(list(X), hydrates=self.hydrates)
        features = self.features_of(X, extra)
        known = np.flatnonzero(self.was_trained_on(features))
        if known.size:
            raise LeakageError(
                f"row {known[0] + 1}, {X[known[0]]}, is a training material ({known.size} of "
                f"{len(features)} rows are): intervals would be those of the fit. Give other "
                "rows, or call fit_conformalize with all of them"
            )
        self.calibration_ = calibrate(
            self.regressor_,
            features,
            self.scale.forward(y),
            kind=score,
            origin=origin,
            families=family_codes(compositions),
        )
        return self

    def predict_interval(
        self,
        X: Sequence[str],
        extra: ArrayLike | None = None,
        *,
        level: float = 0.9,
        by_family: bool = False,
        shift: ShiftWeights | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return intervals that hold a share `level` of the targets of rows like the calibration's.

        Parameters
        ----------
        X : sequence of str, length n
            Formulas.
        extra : array_like of float, shape (n, k), optional
            The further features of `fit`.
        level : float, default 0.9
            In (0, 1).
        by_family : bool
            Whether each chemical family is calibrated by itself.
        shift : ShiftWeights, optional
            How the target domain differs from the calibration rows, see `weigh_shift`.

        Returns
        -------
        lower, upper : ndarray of float64, shape (n,)
            In the unit of the target; infinite where the calibration rows bound nothing.

        Raises
        ------
        NotConformalizedError
            Before `conformalize`.
        FormulaError
            If a formula cannot be read.
        """
        self._check_conformalized()
        extra = None if extra is None else np.asarray(extra, dtype=np.float64)
        rows = self.predict_rows(X, extra, level=level, by_family=by_family, shift=shift)
        bad = np.flatnonzero(rows.reason != "")
        if bad.size:
            raise FormulaError(f"row {bad[0] + 1}, {X[bad[0]]}: {rows.reason[bad[0]]}")
        return rows.lower, rows.upper

    def weigh_shift(
        self,
        X: Sequence[str],
        extra: ArrayLike | None = None,
        *,
        method: RatioMethod = "classifier",
        random_state: int | None = 0,
    ) -> ShiftWeights:
        """Learn from unlabelled formulas of a target domain how it differs from the calibration.

        Parameters
        ----------
        X : sequence of str, length n
            Formulas of the target domain, at least 50.
        extra : array_like of float, shape (n, k), optional
            The further features of `fit`.
        method, random_state
            As in `xtalshift.uncertainty.weighted.shift_weights`.

        Raises
        ------
        NotConformalizedError
            Before `conformalize`.
        DataError
            If there are too few rows.
        """
        return self.weigh_shift_of(
            self.features_of(X, extra), method=method, random_state=random_state
        )

    def weigh_shift_of(
        self,
        features: NDArray[np.float64],
        *,
        method: RatioMethod = "classifier",
        random_state: int | None = 0,
    ) -> ShiftWeights:
        """As `weigh_shift`, from features of shape (n, d)."""
        calibration = self._check_conformalized()
        return shift_weights(calibration, features, method=method, random_state=random_state)

    def _check_conformalized(self) -> Calibration:
        check_is_fitted(self, "regressor_")
        if self.calibration_ is None:
            raise NotConformalizedError(
                "the model has no intervals yet: call conformalize(formulas, targets) with rows "
                "that fit did not see, or fit_conformalize instead of fit"
            )
        return self.calibration_


def as_columns(extra: ArrayLike | None, n: int) -> NDArray[np.float64]:
    """Return the further features as an array of shape (n, k), k = 0 for none."""
    columns = np.empty((n, 0)) if extra is None else np.asarray(extra, dtype=np.float64)
    if columns.ndim != 2 or len(columns) != n:  # noqa: PLR2004 - a matrix
        raise DataError(
            f"extra has shape {columns.shape}, expected ({n}, k): one row per formula, one column "
            "per feature"
        )
    return columns
