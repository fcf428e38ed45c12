"""Formulas in, property out: featurizer, target transform and regressor as one saved object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from xtalshift.chem.compositions import Compositions, parse_formulas
from xtalshift.chem.formulas import Hydrates
from xtalshift.data.transform import TargetTransform
from xtalshift.errors import ConfigError, DataError
from xtalshift.estimators.adaptation import TargetedCALRegressor
from xtalshift.estimators.base import Regressor
from xtalshift.estimators.baselines import ConstantRegressor
from xtalshift.estimators.methods import MethodSettings, build_method
from xtalshift.estimators.network import NetworkRegressor
from xtalshift.featurize import CompositionFeaturizer, Origin
from xtalshift.featurize.composition import Blocks
from xtalshift.progress import NO_PROGRESS, Progress

__all__ = [
    "FormulaLabels",
    "FormulaPredictions",
    "FormulaRegressor",
    "ModelCard",
    "origin_of",
    "target_transform",
]


@dataclass(frozen=True)
class ModelCard:
    """What the numbers of a model mean, saved with it.

    Attributes
    ----------
    target_name, unit, conditions, source : str
        What is predicted, in which unit, in which state, and where the labels came from.
    feature_cols : tuple of str
        Names of the extra numeric columns, in order.
    provenance : dict
        Versions, hardware and data hash of the training.
    """

    target_name: str = "target"
    unit: str = ""
    conditions: str = ""
    source: str = ""
    feature_cols: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FormulaPredictions:
    """One entry per row asked for; bad rows have a NaN prediction and say why.

    Attributes
    ----------
    prediction : ndarray of float64, shape (n,)
        In the unit of the target.
    n_clipped : ndarray of int64, shape (n,)
        Features that lay so far outside the training range that they were clipped.
    reason : ndarray of str, shape (n,)
        Empty for good rows.
    """

    prediction: NDArray[np.float64]
    n_clipped: NDArray[np.int64]
    reason: NDArray[np.object_]


class FormulaLabels(NamedTuple):
    """Formulas (n), their values (n,) and further features (n, m) if the model has any."""

    X: Sequence[str]
    y: ArrayLike
    extra: ArrayLike | None = None


class FormulaRegressor(RegressorMixin, BaseEstimator):
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
        columns = _as_columns(extra, len(features))
        compositions, _, _ = parse_formulas(list(X), hydrates=self.hydrates)
        targets = target_transform(regressor, self.transform).forward(y)
        regressor.fit(
            np.hstack([features, columns]),
            targets,
            groups=compositions.reduced_formulas(),
            progress=progress,
            checkpoint=checkpoint,
            origin=origin_of(regressor, compositions, self.featurizer()),
        )
        names = tuple(f"x{number}" for number in range(columns.shape[1]))
        return self.adopt(regressor, ModelCard(feature_cols=names))

    def adapt(
        self,
        X: Sequence[str],
        y: ArrayLike | None = None,
        extra: ArrayLike | None = None,
        *,
        source: FormulaLabels | None = None,
        method: str = "targeted-cal",
        settings: Mapping[str, Any] | None = None,
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
        check_is_fitted(self, "regressor_")
        if not isinstance(self.regressor_, NetworkRegressor):
            raise ConfigError(
                f"only networks can be adapted, this model is a {type(self.regressor_).__name__}; "
                "train one with method 'erm' or 'cal'"
            )
        regressor = TargetedCALRegressor(
            method,
            settings,
            architecture=self.regressor_.widths_,
            dropout=self.regressor_.dropout_,
            n_members=self.regressor_.n_members,
            bootstrap=self.regressor_.bootstrap,
            weights=self.regressor_.weights,
            clip=self.regressor_.clip,
            bf16=self.regressor_.bf16,
            device=self.regressor_.device,
            random_state=random_state,
        )
        scale = target_transform(self.regressor_, self.transform)
        compositions, _, _ = parse_formulas(list(X), hydrates=self.hydrates)
        replay: dict[str, Any] = {}
        if source is not None:
            features = self._join(self.featurizer().transform(source.X), source.extra)
            known, _, _ = parse_formulas(list(source.X), hydrates=self.hydrates)
            replay = {
                "X": features,
                "y": scale.forward(source.y),
                "source_groups": known.reduced_formulas(),
            }
        regressor.adapt(
            self.regressor_,
            self._join(self.featurizer().transform(X), extra),
            None if y is None else scale.forward(y),
            groups=compositions.reduced_formulas(),
            progress=progress,
            **replay,
        )
        adapted: FormulaRegressor = clone(self).set_params(method=clone(regressor))
        return adapted.adopt(regressor, self.card_)

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
        return self

    def featurizer(self) -> CompositionFeaturizer:
        """Return the featurizer that this model's settings describe."""
        return CompositionFeaturizer(
            blocks=self.features, impute_nan=self.impute_nan, hydrates=self.hydrates
        )

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
        features = self._join(self.featurizer().transform(X), extra)
        scale = target_transform(self.regressor_, self.transform)
        return scale.inverse(self.regressor_.predict(features))

    def predict_rows(
        self, X: Sequence[Any], extra: NDArray[np.float64] | None = None
    ) -> FormulaPredictions:
        """Predict, and say of every row that cannot be predicted why; nothing is raised for one.

        Parameters
        ----------
        X : sequence, length n
            Formulas, or whatever stands in their place.
        extra : ndarray of float, shape (n, k), optional
            The further features; rows with NaN are bad rows.

        Returns
        -------
        FormulaPredictions
        """
        check_is_fitted(self, "regressor_")
        values, reasons = self.featurizer().featurize(X)
        features = self._join(values, extra)
        reasons = np.asarray(reasons, dtype=object).copy()
        if extra is not None:
            for row in np.flatnonzero((reasons == "") & ~np.isfinite(extra).all(axis=1)):
                name = self.card_.feature_cols[int(np.argmin(np.isfinite(extra[row])))]
                reasons[row] = f"column {name!r} is missing or not a number"
        good = reasons == ""
        prediction = np.full(len(reasons), np.nan)
        clipped = np.zeros(len(reasons), dtype=np.int64)
        if good.any():
            scaled = self.regressor_.predict(features[good])
            scale = target_transform(self.regressor_, self.transform)
            prediction[good] = scale.inverse(scaled)
            clipped[good] = self.regressor_.n_clipped(features[good])
        for row in np.flatnonzero(good & ~np.isfinite(prediction)):
            reasons[row] = "the prediction overflows: the material is far outside the training data"
        return FormulaPredictions(prediction, clipped, reasons)

    def _join(self, features: NDArray[np.float64], extra: ArrayLike | None) -> NDArray[np.float64]:
        columns = _as_columns(extra, len(features))
        expected = len(self.card_.feature_cols)
        if columns.shape[1] != expected:
            raise DataError(
                f"the model needs {expected} extra feature columns "
                f"({', '.join(self.card_.feature_cols) or 'none'}), got {columns.shape[1]}"
            )
        return np.hstack([features, columns])


def origin_of(
    regressor: Regressor, compositions: Compositions, featurizer: CompositionFeaturizer
) -> Origin | None:
    """Return the argument `origin` of `regressor.fit`; None if it needs none."""
    return Origin(compositions, featurizer) if regressor.needs_origin else None


def target_transform(regressor: Regressor, name: str) -> TargetTransform:
    """Return the scale that `regressor` trains on; the dummy is the mean in the target's unit."""
    return TargetTransform("none" if isinstance(regressor, ConstantRegressor) else name)


def _as_columns(extra: ArrayLike | None, n: int) -> NDArray[np.float64]:
    """Return the further features as an array of shape (n, k), k = 0 for none."""
    columns = np.empty((n, 0)) if extra is None else np.asarray(extra, dtype=np.float64)
    if columns.ndim != 2 or len(columns) != n:  # noqa: PLR2004 - a matrix
        raise DataError(
            f"extra has shape {columns.shape}, expected ({n}, k): one row per formula, one column "
            "per feature"
        )
    return columns
