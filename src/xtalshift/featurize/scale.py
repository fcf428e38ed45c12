"""Standardise features, and count values far outside the training range."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import DataError, ModelFormatError
from xtalshift.rowwise import in_pieces
from xtalshift.saved_arrays import POSITIVE, SavedArray, Schema

SCALER: Schema = {
    "scaler.kept": SavedArray(np.bool_, ("d",)),
    "scaler.mean": SavedArray(np.float64, ("kept",)),
    "scaler.scale": SavedArray(np.float64, ("kept",), low=POSITIVE),
    "scaler.constant": SavedArray(np.float64, ("left out",), missing=True),
}
"""Arrays of `FeatureScaler.get_state`; d features, which are kept or left out."""

PIECE_ROWS = 256
"""Rows standardised at once where all are: several passes over what is in the cache."""


class FeatureScaler:
    """Drop constant columns, fill missing values, standardise, clip.

    Out-of-distribution rows have features far outside the training range. `transform` moves a
    value (also an infinite one) more than `clip` standard deviations from the mean to that
    distance. `n_clipped` counts these values, and the changed values of columns that were
    constant in training and that the model therefore does not see.

    Parameters
    ----------
    clip : float, default 10.0
        Largest distance from the training mean in standard deviations.

    Attributes
    ----------
    kept_ : ndarray of bool, shape (d,)
        Columns that vary over the training rows.
    mean_, scale_ : ndarray of float64, shape (d_kept,)
        Mean and standard deviation of the kept columns; a missing value becomes the mean.
    constant_ : ndarray of float64, shape (d - d_kept,)
        Value of each dropped column, NaN if it was missing in every row.
    """

    def __init__(self, clip: float = 10.0) -> None:
        self.clip = clip

    def fit(self, X: ArrayLike) -> FeatureScaler:
        """Learn mean and standard deviation.

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Training features; NaN means missing.

        Raises
        ------
        DataError
            If no column varies or a value is infinite.
        """
        features = np.asarray(X, dtype=np.float64)
        if np.isinf(features).any():
            row, column = np.argwhere(np.isinf(features))[0]
            raise DataError(
                f"row {row + 1} of X, feature {column + 1} (both counted from 1) is infinite; "
                "drop the row"
            )
        present = ~np.isnan(features)
        count = np.maximum(present.sum(axis=0), 1)
        filled = np.where(present, features, 0.0)
        mean = filled.sum(axis=0) / count
        deviation = np.where(present, features - mean, 0.0)
        scale = np.sqrt((deviation**2).sum(axis=0) / count)
        # a constant column has a standard deviation above 0 from rounding, so compare its range
        # with its size
        low = np.where(present, features, np.inf).min(axis=0)
        high = np.where(present, features, -np.inf).max(axis=0)
        size = np.maximum(np.abs(low), np.abs(high))
        self.kept_ = (high - low > 1e-12 * size) & (scale > 0)
        if not self.kept_.any():
            raise DataError("every feature is constant over the training rows; nothing to learn")
        self.mean_ = mean[self.kept_]
        self.scale_ = scale[self.kept_]
        self.constant_ = np.where(present.any(axis=0), mean, np.nan)[~self.kept_]
        self.n_features_in_ = features.shape[1]
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the standardised, clipped features, shape (n, d_kept)."""
        return np.clip(self._standardise(X), -self.clip, self.clip)

    def spread(self, kept: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values of the kept columns, shape (..., d_kept), as (..., d), 0 for the others."""
        found = np.zeros((*kept.shape[:-1], len(self.kept_)))
        found[..., self.kept_] = kept
        return found

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Count the features of each row that are clipped or no longer constant, shape (n,)."""
        return in_pieces(self._count_clipped, np.asarray(X, dtype=np.float64), PIECE_ROWS)

    def _count_clipped(self, X: NDArray[np.float64]) -> NDArray[np.int64]:
        far = np.abs(self._standardise(X)) > self.clip
        dropped = X[:, ~self.kept_]
        moved = np.abs(dropped - self.constant_) > 1e-9 * np.maximum(1.0, np.abs(self.constant_))
        return np.asarray(far.sum(axis=1) + moved.sum(axis=1), dtype=np.int64)

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return the fitted attributes as named arrays."""
        return {
            "scaler.kept": self.kept_,
            "scaler.mean": self.mean_,
            "scaler.scale": self.scale_,
            "scaler.constant": self.constant_,
        }

    def set_state(self, state: dict[str, NDArray[Any]]) -> FeatureScaler:
        """Restore the arrays of `get_state`, checked by `SCALER`; other names are ignored.

        Raises
        ------
        ModelFormatError
            If the arrays do not agree, or `clip` is not a positive number.
        """
        kept = state["scaler.kept"]
        n_kept = int(kept.sum())
        lengths = len(state["scaler.mean"]), len(state["scaler.constant"])
        if not n_kept or lengths != (n_kept, len(kept) - n_kept):
            raise ModelFormatError(
                f"the scaler keeps {n_kept} of {len(kept)} features, but scales {lengths[0]} and "
                f"leaves out {lengths[1]}"
            )
        if not 0 < self.clip < np.inf:
            raise ModelFormatError(f"clip = {self.clip}; expected a positive number")
        self.kept_, self.mean_ = state["scaler.kept"], state["scaler.mean"]
        self.scale_, self.constant_ = state["scaler.scale"], state["scaler.constant"]
        self.n_features_in_ = len(self.kept_)
        return self

    def _standardise(self, X: ArrayLike) -> NDArray[np.float64]:
        features = np.asarray(X, dtype=np.float64)[:, self.kept_]
        with np.errstate(over="ignore"):  # what overflows is far beyond every clip
            scaled = (features - self.mean_) / self.scale_
        scaled[np.isnan(scaled)] = 0.0
        return np.asarray(scaled)


def unscaled(n_columns: int, clip: float) -> FeatureScaler:
    """Return a scaler that only fills in missing numbers and clips those beyond `clip`."""
    return FeatureScaler(clip).set_state(
        {
            "scaler.kept": np.ones(n_columns, dtype=bool),
            "scaler.mean": np.zeros(n_columns),
            "scaler.scale": np.ones(n_columns),
            "scaler.constant": np.zeros(0),
        }
    )
