"""Predictors that are convex combinations of others, their members."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import ModelFormatError
from xtalshift.estimators.predictors import Arrays, Predictor

FloatArray = NDArray[np.float64]


@dataclass(eq=False, repr=False, kw_only=True)
class MixturePredictor(Predictor):
    """Base of convex combinations; a subclass implements `_members` and `weights_`.

    Attributes
    ----------
    least_std_ : float
        Added to the standard deviation of the members, which may agree by chance.
    bounds_ : ndarray of float64, shape (2,)
        Smallest and largest prediction of a member.
    """

    least_std_: float = field(init=False)
    bounds_: FloatArray = field(init=False)

    @property
    @abstractmethod
    def weights_(self) -> FloatArray:
        """Weight of each member, shape (members,); they sum to 1."""

    @abstractmethod
    def _members(self, X: FloatArray) -> FloatArray:
        """Return the prediction of each member for checked rows, shape (members, n)."""

    def predict_members(self, X: ArrayLike) -> FloatArray:
        """Return the prediction of each member with a weight, shape (members, n).

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features.
        """
        return self._members(self._check_features(X))

    def predict_std(self, X: ArrayLike) -> FloatArray:
        """Return the weighted standard deviation of the members plus `least_std_`, shape (n,)."""
        return self.predict_with_std(X)[1]

    def predict_with_std(self, X: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return the results of `predict` and `predict_std`, from one pass."""
        found = self.predict_members(X)
        return mix(found, self.weights_), self._spread(found)

    def _spread(self, predictions: FloatArray) -> FloatArray:
        """Return the standard deviation for predictions of shape (members, n), shape (n,)."""
        return np.asarray(mix_spread(predictions, self.weights_) + self.least_std_)

    def _predict(self, X: FloatArray) -> FloatArray:
        return mix(self._members(X), self.weights_)

    def _state_of_scales(self, sizes: Sequence[float]) -> Arrays:
        """Return the arrays of a mixture of numbers whose members have scales of these sizes."""
        return {
            "sizes": np.array(sizes),
            "bounds": self.bounds_,
            "least_std": np.array([self.least_std_]),
        }

    def _take_scales(self, own: Arrays) -> None:
        """Restore what `_state_of_scales` returned, checked by its schema, but for the sizes."""
        low, high = own["bounds"]
        if low > high:
            raise ModelFormatError(f"the stack cuts at {low:g} and {high:g}")
        self.bounds_, self.least_std_ = own["bounds"], float(own["least_std"][0])


def mix(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the weighted mean over members of values, (members, n, ...), shape (n, ...)."""
    # not a matrix product, whose last bits depend on n
    with np.errstate(invalid="ignore"):  # 0 times infinity, where a member overflows
        parts = [weight * row for weight, row in zip(weights, values, strict=True)]
        return np.asarray(np.sum(parts, axis=0))


def mix_spread(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the weighted standard deviation over members, shape (n, ...)."""
    with np.errstate(invalid="ignore", over="ignore"):  # as above
        return np.asarray(np.sqrt(mix((values - mix(values, weights)) ** 2, weights)))


def describe(
    weights: Mapping[str, float],
    errors: Mapping[str, float],
    reasons: Mapping[str, str],
    metric: str = "mae",
) -> list[dict[str, Any]]:
    """Return name, weight and cross-fit error of members, the largest weights first.

    Parameters
    ----------
    weights : mapping of float
        Weight by name; 0 for those that are not in it.
    errors : mapping of float
        Error by name; infinite for a member without one, whose error is None.
    reasons : mapping of str
        Why members were left out, by name.
    metric : str
        Key of the error: ``"mae"`` or ``"log_loss"``.
    """
    return [
        {
            "name": name,
            "weight": weights.get(name, 0.0),
            metric: errors[name] if np.isfinite(errors[name]) else None,
            "left_out": reasons.get(name),
        }
        for name in sorted(errors, key=lambda one: (-weights.get(one, 0.0), errors[one], one))
    ]
