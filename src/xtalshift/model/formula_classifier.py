"""A scikit-learn classifier that takes formulas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from xtalshift.chem.formulas import Hydrates
from xtalshift.chem.mixtures import Amounts
from xtalshift.estimators.base import Classifier
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.blocks import Blocks
from xtalshift.methods import features_of
from xtalshift.model.classifier import FittedClassifier
from xtalshift.model.fitting import fit
from xtalshift.model.formula_rows import read_formulas, seed_of
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.uncertainty.settings import IntervalConfig


class FormulaClassifier(ClassifierMixin, BaseEstimator):
    """Predict classes from chemical formulas; holds a `FittedClassifier`.

    Parameters
    ----------
    method : str or Classifier, default "auto"
        Name of a method that works for classes (``"auto"``, ``"lightgbm"``, ``"erm"``, ``"cal"``
        ...), or an unfitted classifier of `xtalshift.estimators`, as in `xtalshift.fit`.
    features, impute_nan, hydrates, amounts, random_state
        As in `FormulaRegressor`.
    ordered : bool, default False
        Whether the classes are sorted by what they mean, such as numbers.

    Attributes
    ----------
    model_ : FittedClassifier
        The model that `fit` made.
    classes_ : ndarray, shape (k,)
        The classes, sorted.

    Examples
    --------
    >>> formulas = ["NaCl", "KCl", "NaBr", "KBr", "LiF", "Fe", "Cu", "Al", "Ni", "FeNi3"]
    >>> kinds = ["salt"] * 5 + ["metal"] * 5
    >>> model = FormulaClassifier("ridge", random_state=0).fit(formulas, kinds)
    >>> model.predict(["RbBr"]).tolist(), model.predict_proba(["RbBr"]).shape
    (['salt'], (1, 2))
    """

    model_: FittedClassifier

    def __init__(
        self,
        method: str | Classifier = "auto",
        features: Blocks | None = None,
        ordered: bool = False,  # noqa: FBT001, FBT002
        impute_nan: bool = True,  # noqa: FBT001, FBT002
        hydrates: Hydrates = "refuse",
        amounts: Amounts | None = None,
        random_state: int | None = None,
    ) -> None:
        self.method = method
        self.features = features
        self.ordered = ordered
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
        """Learn from formulas and their classes.

        Parameters
        ----------
        X : sequence of str, length n
            Formulas. No reduced formula is in both training and validation rows.
        y : array_like, shape (n,)
            Classes, texts or numbers; each at least twice.
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
            If there is one class only, or `extra` has another shape.
        """
        self.classes_, codes = np.unique(np.asarray(y), return_inverse=True)
        names = tuple(str(name) for name in self.classes_.tolist())
        data = read_formulas(
            X, codes.astype(np.float64), extra=extra, hydrates=self.hydrates,
            amounts=self.amounts, classes=names, ordered=self.ordered,
        )  # fmt: skip
        blocks = features_of(self.method, self.features)
        self.model_ = fit(
            data,
            self.method,
            features=CompositionFeaturizer(blocks, self.impute_nan, self.hydrates, self.amounts),
            intervals=IntervalConfig(method="none"),
            seed=seed_of(self.random_state),
            progress=progress,
        )
        return self

    def predict_proba(
        self, X: Sequence[str], extra: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Return the probability of each class.

        Parameters
        ----------
        X : sequence of str, length n
            Formulas.
        extra : array_like of float, shape (n, k), optional
            The further features of `fit`, in the same order.

        Returns
        -------
        ndarray of float64, shape (n, k)
            In the order of `classes_`.

        Raises
        ------
        FormulaError
            If a formula cannot be read; ``model_.predict`` reports it instead.
        DataError
            If the model was fitted with another number of further features.
        """
        check_is_fitted(self, "model_")
        return self.model_.predict_features(self.model_.features_of(X, extra))

    def predict(self, X: Sequence[str], extra: ArrayLike | None = None) -> NDArray[Any]:
        """Return the most probable class of each formula, shape (n,); arguments as above."""
        found: NDArray[Any] = self.classes_[np.argmax(self.predict_proba(X, extra), axis=1)]
        return found
