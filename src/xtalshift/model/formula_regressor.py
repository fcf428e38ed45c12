"""A scikit-learn regressor that takes formulas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from xtalshift.chem.formulas import Hydrates
from xtalshift.chem.mixtures import Amounts
from xtalshift.data.dataset import Dataset
from xtalshift.data.transform import TargetTransform
from xtalshift.errors import FormulaError, NotConformalizedError
from xtalshift.estimators.scikit import Estimator
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.blocks import Blocks
from xtalshift.methods import features_of
from xtalshift.model.calibration import calibrate
from xtalshift.model.fitted import FittedModel
from xtalshift.model.fitting import fit
from xtalshift.model.formula_rows import read_formulas, seed_of
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.uncertainty.conformal import ScoreKind
from xtalshift.uncertainty.settings import LEVEL, IntervalConfig


class FormulaRegressor(RegressorMixin, BaseEstimator):
    """Predict a property from chemical formulas; holds a `FittedModel`.

    Intervals need three steps: `fit`, `conformalize`, `predict_interval`.

    Parameters
    ----------
    method : str or Estimator, default "auto"
        Name of a method (``"auto"``, ``"erm"``, ``"cal"``, ``"lightgbm"`` ...) or an unfitted
        regressor on features, also of scikit-learn, as in `xtalshift.fit`.
    features : str, optional
        Blocks of features, see `xtalshift.featurize.CompositionFeaturizer`; by default those that
        the method usually gets.
    transform : str, default "none"
        Change of scale of the target, see `xtalshift.data.TargetTransform`.
    impute_nan : bool, default True
        Whether elements without a tabulated property get the mean over the elements.
    hydrates : {"refuse", "expand"}, default "refuse"
        How formulas such as ``CuSO4*5H2O`` are read.
    amounts : {"at", "wt", "mol"}, optional
        Meaning of the numbers of alloys and mixtures such as ``Ti-6Al-4V``.
    random_state : int, optional
        Seed of all random draws.

    Attributes
    ----------
    model_ : FittedModel
        The model that `fit` and `conformalize` made.

    Examples
    --------
    >>> formulas = ["NaCl", "KCl", "NaBr", "KBr", "LiF", "NaF", "KF", "LiCl", "LiBr", "RbCl"]
    >>> model = FormulaRegressor("ridge", random_state=0).fit(formulas, [8.5, 8.4, 7.1, 7.3,
    ...     13.6, 11.5, 10.8, 9.4, 7.9, 8.2])
    >>> model.predict(["RbBr"]).shape
    (1,)
    """

    model_: FittedModel

    def __init__(
        self,
        method: str | Estimator = "auto",
        features: Blocks | None = None,
        transform: str = "none",
        impute_nan: bool = True,  # noqa: FBT001, FBT002
        hydrates: Hydrates = "refuse",
        amounts: Amounts | None = None,
        random_state: int | None = None,
    ) -> None:
        self.method = method
        self.features = features
        self.transform = transform
        self.impute_nan = impute_nan
        self.hydrates = hydrates
        self.amounts = amounts
        self.random_state = random_state

    def fit(
        self,
        X: Sequence[str],
        y: ArrayLike,
        extra: ArrayLike | None = None,
        *,
        progress: Progress = NO_PROGRESS,
    ) -> Self:
        """Learn from formulas and measured or computed values.

        Parameters
        ----------
        X : sequence of str, length n
            Formulas. No reduced formula is in both training and validation rows.
        y : array_like of float, shape (n,)
            Targets.
        extra : array_like of float, shape (n, k), optional
            Further features such as temperature.
        progress : Progress
            Reports the progress of the training.

        Returns
        -------
        self

        Raises
        ------
        FormulaError
            If a formula cannot be read; the message names the row.
        DataError
            If a target is outside the domain of the transform, or `extra` has another shape.
        """
        return self._fit(X, y, extra, IntervalConfig(method="none"), progress)

    def fit_conformalize(
        self,
        X: Sequence[str],
        y: ArrayLike,
        extra: ArrayLike | None = None,
        *,
        n_folds: int = 5,
        workers: int = 1,
        progress: Progress = NO_PROGRESS,
    ) -> Self:
        """Fit on all rows, and calibrate on the same rows by `n_folds` further fits.

        This is for small data sets, see `xtalshift.model.intervals.cross_calibrate`.

        Parameters
        ----------
        X, y, extra, progress
            As in `fit`.
        n_folds : int, default 5
            Number of folds.
        workers : int, default 1
            As in `xtalshift.fit`.

        Returns
        -------
        self
        """
        intervals = IntervalConfig.from_dict({"method": "cross", "folds": n_folds})
        return self._fit(X, y, extra, intervals, progress, workers)

    def conformalize(
        self,
        X: Sequence[str],
        y: ArrayLike,
        extra: ArrayLike | None = None,
        *,
        score: ScoreKind | None = None,
    ) -> Self:
        """Calibrate prediction intervals on rows that `fit` did not see.

        Parameters
        ----------
        X : sequence of str, length n
            Formulas, none of which is a training material.
        y : array_like of float, shape (n,)
            Targets.
        extra : array_like of float, shape (n, k), optional
            The further features of `fit`.
        score : {"absolute", "normalised", "quantile"}, optional
            As `kind` in `xtalshift.calibrate`.

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
        check_is_fitted(self, "model_")
        labels = self._read(X, y, extra)
        self.model_ = calibrate(self.model_, labels, kind=score, origin="held-out")
        return self

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
            If a formula cannot be read; ``model_.predict`` reports it instead.
        DataError
            If the model was fitted with another number of further features.
        """
        check_is_fitted(self, "model_")
        return self.model_.predict_features(self.model_.features_of(X, extra))

    def predict_interval(
        self, X: Sequence[str], extra: ArrayLike | None = None, *, level: float = LEVEL
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return prediction intervals.

        They contain a share `level` of the targets, for rows like those of the calibration.

        Parameters
        ----------
        X, extra
            As in `predict`.
        level : float, default 0.9
            In (0, 1).

        Returns
        -------
        lower, upper : ndarray of float64, shape (n,)
            In the unit of the target; infinite if the calibration rows are too few for a bound.

        Raises
        ------
        NotConformalizedError
            Before `conformalize`.
        FormulaError
            If a formula cannot be read.
        """
        check_is_fitted(self, "model_")
        if self.model_.calibration is None:
            raise NotConformalizedError(
                "the model has no intervals yet: call conformalize(formulas, targets) with rows "
                "that fit did not see, or fit_conformalize instead of fit"
            )
        found = self.model_.predict(X, extra, level=level)
        bad = np.flatnonzero(found.reason != "")
        if bad.size:
            raise FormulaError(f"row {bad[0] + 1}, {X[bad[0]]}: {found.reason[bad[0]]}")
        return found.lower, found.upper

    def _fit(
        self,
        X: Sequence[str],
        y: ArrayLike,
        extra: ArrayLike | None,
        intervals: IntervalConfig,
        progress: Progress,
        workers: int = 1,
    ) -> Self:
        self.model_ = fit(
            self._read(X, y, extra),
            self.method,
            features=CompositionFeaturizer(
                features_of(self.method, self.features),
                self.impute_nan,
                self.hydrates,
                self.amounts,
            ),
            transform=self.transform,
            intervals=intervals,
            seed=seed_of(self.random_state),
            workers=workers,
            progress=progress,
        )
        return self

    def _read(self, X: Sequence[str], y: ArrayLike, extra: ArrayLike | None) -> Dataset:
        """Return the rows as a clean data set; every row counts, and a bad one is an error."""
        data = read_formulas(X, y, extra=extra, hydrates=self.hydrates, amounts=self.amounts)
        TargetTransform(self.transform).forward(data.y)
        return data
