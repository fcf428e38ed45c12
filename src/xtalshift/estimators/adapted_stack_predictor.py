"""Prediction with an adapted stack: a model, and what labels of a new region taught about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel

from xtalshift.errors import ModelFormatError
from xtalshift.estimators.class_predictors import CLASSES, ClassPredictor, calibrates_any
from xtalshift.estimators.mixture import MixturePredictor, mix
from xtalshift.estimators.nested import nest, nested_schema, take_nested
from xtalshift.estimators.predictors import Arrays, Learned, Predictor
from xtalshift.estimators.saved import STRICT, SavedRegressor
from xtalshift.estimators.shapley import chain, follow
from xtalshift.estimators.stack_predictor import MemberScale, ScaleName
from xtalshift.saved_arrays import POSITIVE, Layout, SavedArray, Schema, check_arrays
from xtalshift.uncertainty.probabilities import ProbabilityCalibration, ProbabilityKind

FloatArray = NDArray[np.float64]

Inputs = Literal["features", "start", "both", "marked"]
"""What a correction sees: the features, the prediction of the first model, or both; ``marked``: the
features, and a column that is 1 for labels of the new region and 0 for source rows."""
Learns = Literal["errors", "targets"]
"""What a correction predicts: the error of the first model, or the target."""

LARGEST = float(np.finfo(np.float32).max)
_SHARED: Schema = {
    "weights": SavedArray(np.float64, ("models",), low=0.0, high=1.0),
    "n_features": SavedArray(np.int64, (1,), low=1),
}
_OWN: Schema = {
    **_SHARED,
    "sizes": SavedArray(np.float64, ("members",), low=POSITIVE),
    "bounds": SavedArray(np.float64, (2,)),
    "least_std": SavedArray(np.float64, (1,), low=0.0),
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
    predictor: Any
    """A `Predictor`, or of classes a `ClassPredictor`."""

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
        return self.restore(found, bounds)

    def restore(self, found: FloatArray, bounds: FloatArray) -> FloatArray:
        """Return values on its scale in the unit of the target, within bounds, shape (n,)."""
        return np.clip(self.scale.inverse(found), *bounds)


def see(inputs: Inputs, X: FloatArray, first: FloatArray) -> FloatArray:
    """Return what a correction sees of rows of features and predictions of the first model."""
    if inputs == "features":
        return X
    if inputs == "marked":
        return mark(X, 1.0)
    columns = first.reshape(len(first), -1)  # the probabilities of each class, or one number
    column = np.clip(columns, -LARGEST, LARGEST)  # a model may overflow far away
    return column if inputs == "start" else np.hstack([X, column])


def trace(
    shares: FloatArray, inputs: Inputs, first: FloatArray, first_shares: FloatArray
) -> FloatArray:
    """Return shares of what a correction sees as shares of the features alone.

    Parameters
    ----------
    shares : ndarray of float64, shape (..., m, columns)
        How each column of `see` moves a prediction from each of m baselines to a row.
    inputs : str
        What it sees.
    first : ndarray of float64, shape (c, m)
        How much the predictions of the first model, c of them, differ from those of the baselines.
    first_shares : ndarray of float64, shape (c, m, d)
        How each feature moves them.

    Returns
    -------
    ndarray of float64, shape (..., m, d)
    """
    if inputs == "features":
        return shares
    d = first_shares.shape[-1]
    if inputs == "marked":
        return shares[..., :d]
    found = np.zeros((*shares.shape[:-1], d)) if inputs == "start" else shares[..., :d].copy()
    for number, column in enumerate(range(shares.shape[-1] - len(first), shares.shape[-1])):
        found += follow(first_shares[number], first[number], shares[..., column])
    return found


def mark(X: FloatArray, value: float) -> FloatArray:
    """Return rows of features with a last column of one value."""
    return np.hstack([X, np.full((len(X), 1), value)])


@dataclass(eq=False, repr=False, kw_only=True)
class AdaptedStackParts(Learned):
    """The parts of an adapted stack, of numbers or of classes, and how they are saved.

    Attributes
    ----------
    start_ : Predictor or ClassPredictor
        The first model.
    start_weight_ : float
        Its own weight.
    members_ : tuple of FittedCorrection
        Corrections with a weight.
    """

    start: SavedRegressor | None = field(default=None, kw_only=False)
    members: Sequence[SavedCorrection] = ()
    device: str = "auto"

    kind: ClassVar[type[Learned]]
    """What the first model and the corrections are."""

    def _first(self, X: FloatArray) -> FloatArray:
        """Return the predictions of the first model."""
        raise NotImplementedError

    def _width(self, inputs: Inputs) -> int:
        """Return the number of columns that a correction sees."""
        raise NotImplementedError

    @classmethod
    def _own_schema(cls, found: Layout) -> Schema:
        """Return what the arrays of the stack itself must be."""
        raise NotImplementedError

    def _own_state(self) -> Arrays:
        """Return the arrays of the stack besides weights and number of features."""
        raise NotImplementedError

    def _set_own(self, own: Arrays) -> None:
        """Restore what `_own_state` returned, checked by the schema."""
        raise NotImplementedError

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return how many features of each row the first model clips, shape (n,)."""
        return np.asarray(self.start_.n_clipped(self._check_features(X)))

    @property
    def weights_(self) -> FloatArray:
        """Weights of the first model and of the corrections, shape (1 + members,)."""
        return np.array([self.start_weight_, *(one.weight for one in self.members_)])

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
        return nested_schema(found, cls._own_schema(found))

    def _get_state(self) -> Arrays:
        inside = {f"member{number}": one.predictor for number, one in enumerate(self.members_)}
        return {
            "weights": self.weights_,
            "n_features": np.array([self.n_features_in_]),
            **self._own_state(),
            **nest({"start": self.start_} | inside),
        }

    def _set_state(self, state: Arrays) -> None:
        schema = self._own_schema(state)
        own = {name: state[name] for name in schema.keys() & state.keys()}
        check_arrays(own, schema, members=len(self.members), models=1 + len(self.members))
        weights = own["weights"]
        if self.start is None or not np.isclose(weights.sum(), 1.0):
            raise ModelFormatError(
                f"the adapted stack has {'no' if self.start is None else 'a'} first model, and "
                f"weights with the sum {weights.sum():g}"
            )
        self._set_own(own)
        self.n_features_in_ = int(own["n_features"][0])
        rest = {name: state[name] for name in state.keys() - own.keys()}
        self.start_ = take_nested(rest, "start", self.start, self.device)
        self._check_part("the first model", self.start_, self.n_features_in_)
        self.start_weight_ = float(weights[0])
        sizes = own.get("sizes", np.ones(len(self.members)))
        members = []
        for number, saved in enumerate(self.members):
            predictor = take_nested(rest, f"member{number}", saved.regressor, self.device)
            self._check_part(f"member {saved.name!r}", predictor, self._width(saved.inputs))
            scale = MemberScale(saved.scale, float(sizes[number]))
            weight = float(weights[1 + number])
            members.append(
                FittedCorrection(saved.name, weight, saved.inputs, saved.learns, scale, predictor)
            )
        if rest:
            raise ModelFormatError(f"the array {min(rest)!r} is unknown")
        self.members_ = tuple(members)

    def _check_part(self, what: str, predictor: Any, width: int) -> None:
        """Raise `ModelFormatError` if what was restored cannot be a part of the stack."""
        if not isinstance(predictor, self.kind):
            wanted = "numbers" if self.kind is Predictor else "classes"
            raise ModelFormatError(f"{what} does not predict {wanted}")
        if predictor.n_features_in_ != width:
            raise ModelFormatError(
                f"{what} takes {predictor.n_features_in_} features where there are {width}"
            )


@dataclass(eq=False, repr=False, kw_only=True)
class AdaptedStackPredictor(AdaptedStackParts, MixturePredictor):
    """A convex combination of a model and of corrections to it, see `AdaptedStackRegressor`.

    Attributes
    ----------
    start_, start_weight_, members_
        As in `AdaptedStackParts`.
    bounds_ : ndarray of float64, shape (2,)
        Range that the predictions of each correction are cut to.
    """

    kind = Predictor

    def predict_std(self, X: ArrayLike) -> Any:
        """Return the standard deviation, shape (n,); of a model that was kept, what it predicts."""
        return super().predict_std(X) if self.members_ else self.start_.predict_std(X)

    def predict_with_std(self, X: ArrayLike) -> tuple[FloatArray, Any]:
        """Return the results of `predict` and `predict_std`, from one pass."""
        if self.members_:
            return super().predict_with_std(X)
        start: Predictor = self.start_
        return start.predict_with_std(self._check_features(X))

    def _first(self, X: FloatArray) -> FloatArray:
        return np.asarray(self.start_.predict(X))

    def _members(self, X: FloatArray) -> FloatArray:
        first = self._first(X)
        return np.stack([first, *(one.predict(X, first, self.bounds_) for one in self.members_)])

    def _contributions(self, x: FloatArray, baselines: FloatArray) -> FloatArray:
        rows = np.vstack([baselines, x])
        first, of_first = self._first(rows), self.start_.contributions(x, baselines)
        found = self.start_weight_ * of_first
        for one in self.members_:
            scaled = one.scale.forward(first)
            of_scaled = follow(of_first, _away(first), _away(scaled))
            seen = see(one.inputs, rows, scaled)
            raw = np.asarray(one.predictor.predict(seen))
            shares = trace(
                one.predictor.contributions(seen[-1], seen[:-1]),
                one.inputs,
                _away(scaled)[None],
                of_scaled[None],
            )
            if one.learns == "errors":
                raw, shares = raw + scaled, shares + of_scaled
            ends = one.restore(raw, self.bounds_)
            found += one.weight * follow(shares, _away(raw), _away(ends))
        return np.asarray(found)

    def _width(self, inputs: Inputs) -> int:
        return _width(inputs, self.n_features_in_, 1)

    @classmethod
    def _own_schema(cls, found: Layout) -> Schema:  # noqa: ARG003
        return _OWN

    def _own_state(self) -> Arrays:
        return self._state_of_scales([one.scale.size for one in self.members_])

    def _set_own(self, own: Arrays) -> None:
        self._take_scales(own)


@dataclass(eq=False, repr=False, kw_only=True)
class AdaptedStackClassPredictor(AdaptedStackParts, ClassPredictor):
    """A convex combination of a classifier and of corrections to it, see `AdaptedStackClassifier`.

    Attributes
    ----------
    start_, start_weight_, members_
        As in `AdaptedStackParts`.
    calibration_ : ProbabilityCalibration
        Calibrates the probabilities of the first model.
    """

    calibration: ProbabilityKind = "none"

    kind = ClassPredictor

    def predict_members(self, X: ArrayLike) -> FloatArray:
        """Return the probabilities of the first model and of each correction, (1 + members, n, k).

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features.
        """
        return self._each(self._check_features(X))

    def _first(self, X: FloatArray) -> FloatArray:
        return self.calibration_.apply(self.start_.predict_proba(X))

    def _each(self, X: FloatArray) -> FloatArray:
        first = self._first(X)
        found = (one.predictor.predict_proba(see(one.inputs, X, first)) for one in self.members_)
        return np.stack([first, *found])

    def _shares(self, X: FloatArray) -> FloatArray:
        return mix(self._each(X), self.weights_)

    def _contributions(self, x: FloatArray, baselines: FloatArray) -> FloatArray:
        rows = np.vstack([baselines, x])
        raw, first = self.start_.predict_proba(rows), self._first(rows)
        of_first = chain(
            self.start_.contributions(x, baselines),
            raw[:-1],
            raw[-1],
            calibrates_any(self.calibration_),
        )
        parts = [of_first]
        for one in self.members_:
            seen = see(one.inputs, rows, first)
            shares = one.predictor.contributions(seen[-1], seen[:-1])
            parts.append(trace(shares, one.inputs, (first[-1] - first[:-1]).T, of_first))
        return mix(np.stack(parts), self.weights_)

    def _width(self, inputs: Inputs) -> int:
        return _width(inputs, self.n_features_in_, len(self.present_))

    def _saved_parameters(self) -> dict[str, Any]:
        return {**super()._saved_parameters(), "calibration": self.calibration_.kind}

    @classmethod
    def _own_schema(cls, found: Layout) -> Schema:
        learned = {name: one for name, one in found.items() if name.startswith("probabilities.")}
        return {**_SHARED, **CLASSES, **ProbabilityCalibration.saved(learned)}

    def _own_state(self) -> Arrays:
        return {**ClassPredictor._get_state(self), **self.calibration_.get_state()}  # noqa: SLF001

    def _set_own(self, own: Arrays) -> None:
        ClassPredictor._set_state(self, own)  # noqa: SLF001
        self.calibration_ = ProbabilityCalibration.from_state(
            {name: one for name, one in own.items() if name.startswith("probabilities.")},
            kind=self.calibration,
            n_classes=len(self.present_),
        )

    def _check_part(self, what: str, predictor: Any, width: int) -> None:
        super()._check_part(what, predictor, width)
        if len(predictor.classes_) != len(self.present_):
            raise ModelFormatError(
                f"{what} has {len(predictor.classes_)} classes, the stack {len(self.present_)}"
            )


def _away(values: FloatArray) -> FloatArray:
    """Return how much the last of some values differs from each of the others."""
    return np.asarray(values[-1] - values[:-1])


def _width(inputs: Inputs, n_features: int, n_predicted: int) -> int:
    """Return the number of columns of `see`."""
    widths = {"features": n_features, "start": n_predicted, "marked": n_features + 1}
    return widths.get(inputs, n_features + n_predicted)
