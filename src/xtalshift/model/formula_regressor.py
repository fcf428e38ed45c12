"""Formulas in, property out: featurizer, target transform and regressor as one saved object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone

from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.families import family_codes
from xtalshift.chem.formulas import Hydrates
from xtalshift.domain.applicability import ApplicabilityDomain
from xtalshift.estimators.base import Regressor
from xtalshift.featurize.composition import Blocks
from xtalshift.methods.inputs import origin_of, target_transform
from xtalshift.methods.registry import build_method
from xtalshift.methods.settings import MethodSettings
from xtalshift.model.adapt import adapt_formulas
from xtalshift.model.card import FormulaLabels, ModelCard
from xtalshift.model.fitted import FormulaModel, as_columns
from xtalshift.model.intervals import cross_calibrate
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.uncertainty.conformal import ScoreKind

__all__ = ["FormulaRegressor"]


class FormulaRegressor(FormulaModel):
    """Predict a property from chemical formulas.

    Parameters
    ----------
    method : str or Regressor, default "erm"
        Name of a method (``"erm"``, ``"cal"``, ``"lightgbm"``, ``"ridge"``, ``"dummy"``) or an
        unfitted regressor on features.
    features : str, default "magpie"
        ``"magpie"``, ``"fractions"`` or ``"magpie+fractions"``.
    transform : str, default "none"
        Change of scale of the target, see `xtalshift.data.TargetTransform`.
    impute_nan : bool, default True
        Whether elements without a tabulated property get the mean over the elements.
    hydrates : {"refuse", "expand"}, default "refuse"
        What becomes of formulas such as ``CuSO4*5H2O``.
    random_state : int, optional
        Seed of a method given by name.

    Attributes
    ----------
    regressor_ : Regressor
        The fitted regressor.
    card_ : ModelCard
        What the numbers mean.
    calibration_ : Calibration or None
        Set by `conformalize`.
    domain_ : ApplicabilityDomain or None
        What is near the training materials.

    Examples
    --------
    >>> formulas = ["NaCl", "KCl", "NaBr", "KBr", "LiF", "NaF", "KF", "LiCl", "LiBr", "RbCl"]
    >>> model = FormulaRegressor("ridge", random_state=0).fit(formulas, [8.5, 8.4, 7.1, 7.3,
    ...     13.6, 11.5, 10.8, 9.4, 7.9, 8.2])
    >>> model.predict(["RbBr"]).shape
    (1,)
    """

    def __init__(
        self,
        method: str | Regressor = "erm",
        features: Blocks = "magpie",
        transform: str = "none",
        impute_nan: bool = True,  # noqa: FBT001, FBT002
        hydrates: Hydrates = "refuse",
        random_state: int | None = None,
    ) -> None:
        self.method = method
        self.features = features
        self.transform = transform
        self.impute_nan = impute_nan
        self.hydrates = hydrates
        self.random_state = random_state

    def fit(
        self,
        X: Sequence[str],
        y: ArrayLike,
        extra: ArrayLike | None = None,
        *,
        progress: Progress = NO_PROGRESS,
        checkpoint: Path | None = None,
    ) -> Self:
        """Learn from formulas and measured or computed values.

        Parameters
        ----------
        X : sequence of str, length n
            Formulas. No reduced formula stands in both training and validation rows.
        y : array_like of float, shape (n,)
            Targets.
        extra : array_like of float, shape (n, k), optional
            Further features such as temperature.
        progress : Progress
            Told how far training is.
        checkpoint : Path, optional
            File in which a long training keeps where it is.

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
        regressor = (
            build_method(self.method, MethodSettings(), seed=self.random_state)
            if isinstance(self.method, str)
            else clone(self.method)
        )
        features = self.featurizer().transform(X)
        columns = as_columns(extra, len(features))
        compositions, _, _ = parse_formulas(list(X), hydrates=self.hydrates)
        targets = target_transform(regressor, self.transform).forward(y)
        rows = np.hstack([features, columns])
        regressor.fit(
            rows,
            targets,
            groups=compositions.reduced_formulas(),
            progress=progress,
            checkpoint=checkpoint,
            origin=origin_of(regressor, X, self.featurizer()),
        )
        names = tuple(f"x{number}" for number in range(columns.shape[1]))
        self.adopt(regressor, ModelCard(feature_cols=names))
        self.domain_ = ApplicabilityDomain.fit(
            rows, y, compositions.reduced_formulas().tolist(), feature_names=self.feature_names()
        )
        return self

    def adapt(
        self,
        X: Sequence[str],
        y: ArrayLike | None = None,
        extra: ArrayLike | None = None,
        *,
        source: FormulaLabels | None = None,
        method: str = "targeted-cal",
        settings: Mapping[str, Any] | None = None,
        calibration_folds: int = 0,
        random_state: int | None = None,
        progress: Progress = NO_PROGRESS,
    ) -> FormulaRegressor:
        """Return a copy of this model that is adapted to a target domain; this one stays.

        Parameters
        ----------
        X : sequence of str, length k
            Formulas of the target domain.
        y : array_like of float, shape (k,), optional
            Target labels; only the ``unlabelled-cal`` methods do without.
        extra : array_like of float, shape (k, m), optional
            The further features of `fit`.
        source : FormulaLabels, optional
            Labelled source rows to replay, so that what was learned from them is not forgotten.
        method, settings
            As in `TargetedCALRegressor`.
        calibration_folds : int, default 0
            Further adaptations, each without one part of the labels, whose errors there give the
            intervals of the target domain; 0 for none.
        random_state : int, optional
            Seed.
        progress : Progress
            Told how far the adaptation is.

        Returns
        -------
        FormulaRegressor

        Raises
        ------
        ConfigError
            If this model is not a network, or the method needs rows that are missing.
        FormulaError
            If a formula cannot be read.
        """
        return adapt_formulas(
            self,
            FormulaLabels(X, y, extra),
            source=source,
            method=method,
            settings=settings,
            calibration_folds=calibration_folds,
            random_state=random_state,
            progress=progress,
        )

    def fit_conformalize(
        self,
        X: Sequence[str],
        y: ArrayLike,
        extra: ArrayLike | None = None,
        *,
        n_folds: int = 5,
        score: ScoreKind | None = None,
        progress: Progress = NO_PROGRESS,
    ) -> Self:
        """Fit on all rows, and calibrate on the same ones by `n_folds` further trainings.

        The way for small data, see `xtalshift.model.intervals.cross_calibrate`.

        Parameters
        ----------
        X, y, extra, progress
            As in `fit`.
        n_folds : int, default 5
            Folds.
        score
            As in `conformalize`.

        Returns
        -------
        self
        """
        self.fit(X, y, extra, progress=progress)
        compositions, _, _ = parse_formulas(list(X), hydrates=self.hydrates)
        self.calibration_ = cross_calibrate(
            self.regressor_,
            self.features_of(X, extra),
            self.scale.forward(y),
            groups=compositions.reduced_formulas(),
            n_folds=n_folds,
            random_state=self.random_state,
            kind=score,
            compositions=origin_of(self.regressor_, X, self.featurizer()),
            families=family_codes(compositions),
            progress=progress,
        )
        return self
