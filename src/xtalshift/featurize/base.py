"""What every featurizer has: features with a reason per bad row, and scikit-learn's methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from xtalshift.errors import DataError

__all__ = ["Featurizer"]


class Featurizer(TransformerMixin, BaseEstimator, ABC):
    """Turn materials into rows of numbers.

    A subclass has `featurize`, the one method that does the work, and `get_feature_names_out`.
    Nothing is learned from data, so `fit` only returns the object.
    """

    bad_row_error: type[DataError] = DataError
    """What `transform` raises for a bad row."""

    @abstractmethod
    def featurize(self, X: Any) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
        """Compute the features of n materials; bad ones do not raise.

        Parameters
        ----------
        X : array-like, length n
            The materials.

        Returns
        -------
        values : ndarray of float64, shape (n, d)
            One row per material in the order of `X`; NaN for bad rows.
        reasons : ndarray of object, shape (n,)
            Why a row is bad; ``""`` for good rows.
        """

    @abstractmethod
    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the d feature names; `input_features` is ignored."""

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Return the object unchanged (there is nothing to learn)."""
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Compute the features of n materials.

        Parameters
        ----------
        X : array-like, length n
            The materials.

        Returns
        -------
        ndarray of float64, shape (n, d)

        Raises
        ------
        DataError
            If a row is bad; the message names the first such row (1 is the first) and
            how many there are.
        """
        values, reasons = self.featurize(X)
        bad = np.flatnonzero(reasons != "")
        if len(bad):
            more = f" ({len(bad)} bad rows in total)" if len(bad) > 1 else ""
            raise self.bad_row_error(f"row {bad[0] + 1}: {reasons[bad[0]]}{more}")
        return values

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags
