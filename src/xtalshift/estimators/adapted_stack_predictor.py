"""Prediction with an adapted stack: a model, and what labels of a new region taught about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel

from xtalshift.errors import ModelFormatError
from xtalshift.estimators.mixture import MixturePredictor
from xtalshift.estimators.nested import nest, nested_schema, take_nested
from xtalshift.estimators.predictors import Arrays, Predictor
from xtalshift.estimators.saved import STRICT, SavedRegressor
from xtalshift.estimators.stack_predictor import MemberScale, ScaleName
from xtalshift.saved_arrays import POSITIVE, Layout, SavedArray, Schema, check_arrays

FloatArray = NDArray[np.float64]

Inputs = Literal["features", "start", "both", "marked"]
"""What a correction sees: the features, the prediction of the first model, or both; ``marked``: the
features, and a column that is 1 for labels of the new region and 0 for source rows."""
Learns = Literal["errors", "targets"]
"""What a correction predicts: the error of the first model, or the target."""

LARGEST = float(np.finfo(np.float32).max)
_OWN: Schema = {
    "weights": SavedArray(np.float64, ("models",), low=0.0, high=1.0),
    "sizes": SavedArray(np.float64, ("members",), low=POSITIVE),
    "bounds": SavedArray(np.float64, (2,)),
    "least_std": SavedArray(np.float64, (1,), low=0.0),
    "n_features": SavedArray(np.int64, (1,), low=1),
}


class SavedCorrection(BaseModel):
    """What a saved adapted stack says about a correction."""

    model_config = STRICT

    name: str
    inputs: Inputs
    learns: Learns
    scale: ScaleName
    regressor: SavedRegressor


@dataclass(frozen=True, eq=False)
class FittedCorrection:
    """A correction that predicts."""

    name: str
    weight: float
    inputs: Inputs
    learns: Learns
    scale: MemberScale
    predictor: Predictor

    def predict(self, X: FloatArray, first: FloatArray, bounds: FloatArray) -> FloatArray:
        """Return predictions in the unit of the target, within bounds, shape (n,).

        Parameters
        ----------
        X : ndarray of float64, shape (n, d)
            Features.
        first : ndarray of float64, shape (n,)
            Predictions of the first model.
        bounds : ndarray of float64, shape (2,)
            Smallest and largest prediction.
        """
        first = self.scale.forward(first)
        found = self.predictor.predict(see(self.inputs, X, first))
        if self.learns == "errors":
            found = found + first
        return np.clip(self.scale.inverse(found), *bounds)


def see(inputs: Inputs, X: FloatArray, first: FloatArray) -> FloatArray:
    """Return what a correction sees of rows of features and predictions of the first model."""
    if inputs == "features":
        return X
    if inputs == "marked":
        return mark(X, 1.0)
    column = np.clip(first, -LARGEST, LARGEST)[:, None]  # a model may overflow far away
    return column if inputs == "start" else np.hstack([X, column])


def mark(X: FloatArray, value: float) -> FloatArray:
    """Return rows of features with a last column of one value."""
    return np.hstack([X, np.full((len(X), 1), value)])


@dataclass(eq=False, repr=False, kw_only=True)
class AdaptedStackPredictor(MixturePredictor):
    """A convex combination of a model and of corrections to it, see `AdaptedStackRegressor`.

    Attributes
    ----------
    start_ : Predictor
        The first model.
    start_weight_ : float
        Its own weight.
    members_ : tuple of FittedCorrection
        Corrections with a weight.
    bounds_ : ndarray of float64, shape (2,)
        Range that the predictions of each correction are cut to.
    """

    start: SavedRegressor | None = field(default=None, kw_only=False)
    members: Sequence[SavedCorrection] = ()
    device: str = "auto"

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return how many features of each row the first model clips, shape (n,)."""
        return self.start_.n_clipped(self._check_features(X))

    def predict_std(self, X: ArrayLike) -> Any:
        """Return the standard deviation, shape (n,); of a model that was kept, what it predicts."""
        return super().predict_std(X) if self.members_ else self.start_.predict_std(X)

    def predict_with_std(self, X: ArrayLike) -> tuple[FloatArray, Any]:
        """Return the results of `predict` and `predict_std`, from one pass."""
        if self.members_:
            return super().predict_with_std(X)
        return self.start_.predict_with_std(self._check_features(X))

    @property
    def weights_(self) -> FloatArray:
        """Weights of the first model and of the corrections, shape (1 + members,)."""
        return np.array([self.start_weight_, *(one.weight for one in self.members_)])

    def _members(self, X: FloatArray) -> FloatArray:
        first = self.start_.predict(X)
        return np.stack([first, *(one.predict(X, first, self.bounds_) for one in self.members_)])

    def _saved_parameters(self) -> dict[str, Any]:
        members = [
            SavedCorrection(
                name=one.name,
                inputs=one.inputs,
                learns=one.learns,
                scale=one.scale.name,
                regressor=SavedRegressor.of(one.predictor),
            )
            for one in self.members_
        ]
        return {
            "start": SavedRegressor.of(self.start_).model_dump(by_alias=True),
            "members": [member.model_dump(by_alias=True) for member in members],
            "device": self.device,
            "validation_fraction": self.validation_fraction,
            "random_state": self.random_state,
        }

    @classmethod
    def _saved(cls, found: Layout) -> Schema:
        return nested_schema(found, _OWN)

    def _get_state(self) -> Arrays:
        inside = {f"member{number}": one.predictor for number, one in enumerate(self.members_)}
        return {
            "weights": self.weights_,
            "sizes": np.array([one.scale.size for one in self.members_]),
            "bounds": self.bounds_,
            "least_std": np.array([self.least_std_]),
            "n_features": np.array([self.n_features_in_]),
            **nest({"start": self.start_} | inside),
        }

    def _set_state(self, state: Arrays) -> None:
        own = {name: state[name] for name in _OWN.keys() & state.keys()}
        check_arrays(own, _OWN, members=len(self.members), models=1 + len(self.members))
        weights, (low, high) = own["weights"], own["bounds"]
        if self.start is None or not np.isclose(weights.sum(), 1.0) or low > high:
            raise ModelFormatError(
                f"the adapted stack has {'no' if self.start is None else 'a'} first model, weights "
                f"with the sum {weights.sum():g}, and cuts at {low:g} and {high:g}"
            )
        self.bounds_, self.least_std_ = own["bounds"], float(own["least_std"][0])
        self.n_features_in_ = int(own["n_features"][0])
        rest = {name: state[name] for name in state.keys() - own.keys()}
        start: Predictor = take_nested(rest, "start", self.start, self.device)
        self.start_ = start
        _check_width("the first model", self.start_, self.n_features_in_)
        self.start_weight_ = float(weights[0])
        members = []
        for number, saved in enumerate(self.members):
            predictor = take_nested(rest, f"member{number}", saved.regressor, self.device)
            width = {"features": 0, "start": 1 - self.n_features_in_}.get(saved.inputs, 1)
            _check_width(f"member {saved.name!r}", predictor, self.n_features_in_ + width)
            scale = MemberScale(saved.scale, float(own["sizes"][number]))
            weight = float(weights[1 + number])
            members.append(
                FittedCorrection(saved.name, weight, saved.inputs, saved.learns, scale, predictor)
            )
        if rest:
            raise ModelFormatError(f"the array {min(rest)!r} is unknown")
        self.members_ = tuple(members)


def _check_width(what: str, predictor: Predictor, width: int) -> None:
    if not isinstance(predictor, Predictor):
        raise ModelFormatError(f"{what} does not predict numbers")
    if predictor.n_features_in_ != width:
        raise ModelFormatError(
            f"{what} takes {predictor.n_features_in_} features where there are {width}"
        )
