"""Prediction with a stack: a convex combination of members, each on its scale of the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel

from xtalshift.errors import ModelFormatError
from xtalshift.estimators.class_predictors import CLASSES, ClassPredictor
from xtalshift.estimators.mixture import MixturePredictor, mix
from xtalshift.estimators.nested import nest, nested_schema, take_nested
from xtalshift.estimators.predictors import Arrays, Learned, Predictor
from xtalshift.estimators.saved import STRICT, SavedRegressor
from xtalshift.estimators.shapley import follow
from xtalshift.estimators.tree_sum import TreeSums
from xtalshift.saved_arrays import POSITIVE, Layout, SavedArray, Schema, check_arrays

FloatArray = NDArray[np.float64]
ScaleName = Literal["none", "asinh"]

_SHARED: Schema = {
    "weights": SavedArray(np.float64, ("members",), low=0.0, high=1.0),
    "columns": SavedArray(np.bool_, ("members", "features")),
}
_OWN: Schema = {
    **_SHARED,
    "sizes": SavedArray(np.float64, ("members",), low=POSITIVE),
    "bounds": SavedArray(np.float64, (2,)),
    "least_std": SavedArray(np.float64, (1,), low=0.0),
}
_OWN_OF_CLASSES: Schema = {**_SHARED, **CLASSES}
STACKS = frozenset(
    {"StackRegressor", "StackClassifier", "AdaptedStackRegressor", "AdaptedStackClassifier"}
)
"""Classes that cannot be members."""


@dataclass(frozen=True)
class MemberScale:
    """A change of scale of the target: none, or ``asinh(y / size)``.

    The second is linear for targets much smaller than `size` and logarithmic for larger ones, so
    that a few large targets do not rule, and zeros, negative and tiny ones do no harm.
    """

    name: ScaleName
    size: float = 1.0

    @classmethod
    def of(cls, name: ScaleName, y: FloatArray) -> MemberScale:
        """Return the scale for some targets: `size` is the 10 % quantile of those other than 0."""
        sizes = np.abs(y[y != 0])
        return cls(name, float(np.quantile(sizes, 0.1)) if len(sizes) else 1.0)

    def forward(self, y: FloatArray) -> FloatArray:
        """Return targets on the scale, shape (n,)."""
        return y if self.name == "none" else np.arcsinh(y / self.size)

    def inverse(self, z: FloatArray) -> FloatArray:
        """Return values of the scale in the unit of the target, shape (n,); some may overflow."""
        if self.name == "none":
            return z
        with np.errstate(over="ignore"):
            return np.asarray(self.size * np.sinh(z))


class SavedMember(BaseModel):
    """What a saved stack says about a member."""

    model_config = STRICT

    name: str
    scale: ScaleName
    regressor: SavedRegressor


@dataclass(frozen=True, eq=False)
class FittedMember:
    """A member that predicts."""

    name: str
    weight: float
    scale: MemberScale
    columns: NDArray[np.bool_]
    """Which features of the stack it uses, shape (d,)."""
    predictor: Any
    """A `Predictor`, or of a stack of classes a `ClassPredictor`."""

    def take_columns(self, X: FloatArray) -> FloatArray:
        """Return its features of n rows, shape (n, its number)."""
        return X if self.columns.all() else X[:, self.columns]

    def predict(self, X: FloatArray, bounds: FloatArray) -> FloatArray:
        """Return predictions in the unit of the target, within bounds, shape (n,)."""
        return self.restore(self.predictor.predict(self.take_columns(X)), bounds)

    def contributions(self, x: FloatArray, baselines: FloatArray) -> FloatArray:
        """Return how each feature of the stack moves what the predictor predicts, (..., m, d)."""
        own = self.predictor.contributions(
            self.take_columns(x[None])[0], self.take_columns(baselines)
        )
        found = np.zeros((*own.shape[:-1], len(x)))
        found[..., self.columns] = own
        return found

    def restore(self, found: FloatArray, bounds: FloatArray) -> FloatArray:
        """Return what the predictor predicted in the unit of the target, within bounds, (n,)."""
        return np.clip(self.scale.inverse(found), *bounds)


@dataclass(eq=False, repr=False, kw_only=True)
class StackParts(Learned):
    """The members of a stack, of numbers or of classes, and how they are saved.

    Attributes
    ----------
    members_ : tuple of FittedMember
        Members with a weight above 0.
    """

    members: Sequence[SavedMember] = field(default=(), kw_only=False)
    device: str = "auto"

    members_: tuple[FittedMember, ...] = field(init=False)

    own: ClassVar[Schema]
    """Arrays of the stack itself."""
    kind: ClassVar[type[Learned]]
    """What its members are."""

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return the largest number of features that a member clips, shape (n,)."""
        checked = self._check_features(X)
        found = [one.predictor.n_clipped(one.take_columns(checked)) for one in self.members_]
        return np.asarray(np.max(found, axis=0))

    @property
    def weights_(self) -> FloatArray:
        """Weight of each member, shape (members,); they sum to 1."""
        return np.array([one.weight for one in self.members_])

    def _saved_parameters(self) -> dict[str, Any]:
        members = [
            SavedMember(
                name=one.name, scale=one.scale.name, regressor=SavedRegressor.of(one.predictor)
            )
            for one in self.members_
        ]
        return {
            "members": [member.model_dump(by_alias=True) for member in members],
            "device": self.device,
            "validation_fraction": self.validation_fraction,
            "random_state": self.random_state,
        }

    @classmethod
    def _saved(cls, found: Layout) -> Schema:
        return nested_schema(found, cls.own, without=STACKS)

    def _own_state(self) -> Arrays:
        """Return the arrays of the stack besides weights and columns."""
        return {}

    def _set_own(self, own: Arrays) -> None:
        """Restore what `_own_state` returned, checked by the schema."""

    def _check_member(self, predictor: Any) -> None:
        """Raise `ModelFormatError` if what was restored cannot be a member."""
        if not isinstance(predictor, self.kind):
            raise ModelFormatError(f"a {predictor.regressor_name} cannot be a member of this stack")

    def _get_state(self) -> Arrays:
        return {
            "weights": self.weights_,
            "columns": np.stack([one.columns for one in self.members_]),
            **self._own_state(),
            **nest({f"member{number}": one.predictor for number, one in enumerate(self.members_)}),
        }

    def _set_state(self, state: Arrays) -> None:
        own = {name: state[name] for name in self.own.keys() & state.keys()}
        check_arrays(own, self.own)
        weights = own["weights"]
        if len(weights) != len(self.members) or not np.isclose(weights.sum(), 1.0):
            raise ModelFormatError(
                f"the stack has {len(self.members)} members and {len(weights)} weights with the "
                f"sum {weights.sum():g}"
            )
        self._set_own(own)
        self.n_features_in_ = own["columns"].shape[1]
        sizes = own.get("sizes", np.ones(len(weights)))
        rest = {name: state[name] for name in state.keys() - own.keys()}
        members = []
        for number, saved in enumerate(self.members):
            predictor = take_nested(rest, f"member{number}", saved.regressor, self.device)
            self._check_member(predictor)
            columns = own["columns"][number]
            if predictor.n_features_in_ != int(columns.sum()):
                raise ModelFormatError(
                    f"member {saved.name!r} takes {predictor.n_features_in_} features, the stack "
                    f"gives it {columns.sum()}"
                )
            scale = MemberScale(saved.scale, float(sizes[number]))
            weight = float(weights[number])
            members.append(FittedMember(saved.name, weight, scale, columns, predictor))
        if rest:
            raise ModelFormatError(f"the array {min(rest)!r} is unknown")
        self.members_ = tuple(members)


@dataclass(eq=False, repr=False, kw_only=True)
class StackPredictor(StackParts, MixturePredictor):
    """A convex combination of members; settings as in `StackRegressor`.

    Attributes
    ----------
    members_ : tuple of FittedMember
        Members with a weight above 0.
    bounds_ : ndarray of float64, shape (2,)
        Range that the predictions of each member are cut to.
    least_std_ : float
        A tenth of the mean absolute error of the cross-fit, which is added to the standard
        deviation of the members: they may agree by chance.
    """

    own = _OWN
    kind = Predictor

    _together: tuple[tuple[FittedMember, ...], tuple[int, ...], TreeSums] | None = field(
        init=False, default=None
    )

    def _members(self, X: FloatArray) -> FloatArray:
        sums = self._sum_trees(X)
        return np.stack(
            [
                one.restore(sums[place], self.bounds_)
                if place in sums
                else one.predict(X, self.bounds_)
                for place, one in enumerate(self.members_)
            ]
        )

    def _sum_trees(self, X: FloatArray) -> dict[int, FloatArray]:
        """Return what members predict whose trees are worth evaluating together, by place."""
        trees = {k: one.predictor.trees_for(len(X)) for k, one in enumerate(self.members_)}
        sums = {place: found for place, found in trees.items() if found is not None}
        if not sums:
            return {}
        # a stack that is fitted again has other members
        if self._together is None or self._together[:2] != (self.members_, tuple(sums)):
            columns = [np.flatnonzero(self.members_[place].columns) for place in sums]
            made = TreeSums(list(sums.values()), columns)
            self._together = (self.members_, tuple(sums), made)
        return dict(zip(sums, self._together[2].predict(X), strict=True))

    def _contributions(self, x: FloatArray, baselines: FloatArray) -> FloatArray:
        rows = np.vstack([baselines, x])
        found = np.zeros_like(baselines)
        for one in self.members_:
            raw = np.asarray(one.predictor.predict(one.take_columns(rows)))
            ends = one.restore(raw, self.bounds_)
            shares = one.contributions(x, baselines)
            found += one.weight * follow(shares, raw[-1] - raw[:-1], ends[-1] - ends[:-1])
        return found

    def _own_state(self) -> Arrays:
        return self._state_of_scales([one.scale.size for one in self.members_])

    def _set_own(self, own: Arrays) -> None:
        self._take_scales(own)


@dataclass(eq=False, repr=False, kw_only=True)
class StackClassPredictor(StackParts, ClassPredictor):
    """A convex combination of probabilities; settings as in `StackClassifier`."""

    own = _OWN_OF_CLASSES
    kind = ClassPredictor

    def predict_members(self, X: ArrayLike) -> FloatArray:
        """Return the probabilities of each member with a weight, shape (members, n, m).

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features.
        """
        return self._each(self._check_features(X))

    def _each(self, X: FloatArray) -> FloatArray:
        return np.stack([one.predictor.predict_proba(one.take_columns(X)) for one in self.members_])

    def _shares(self, X: FloatArray) -> FloatArray:
        return mix(self._each(X), self.weights_)

    def _contributions(self, x: FloatArray, baselines: FloatArray) -> FloatArray:
        return mix(
            np.stack([one.contributions(x, baselines) for one in self.members_]), self.weights_
        )

    def _own_state(self) -> Arrays:
        return ClassPredictor._get_state(self)  # noqa: SLF001

    def _set_own(self, own: Arrays) -> None:
        ClassPredictor._set_state(self, own)  # noqa: SLF001

    def _check_member(self, predictor: Any) -> None:
        super()._check_member(predictor)
        if len(predictor.classes_) != len(self.present_):
            raise ModelFormatError(
                f"a member has {len(predictor.classes_)} classes, the stack {len(self.present_)}"
            )
