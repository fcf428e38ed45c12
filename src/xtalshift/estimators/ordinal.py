"""Classes whose order means something: a classifier for each threshold between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import ModelFormatError
from xtalshift.estimators.base import Classifier, FitData, Labelled, few_of, fit_clone
from xtalshift.estimators.class_predictors import CLASSES, ClassPredictor
from xtalshift.estimators.nested import nest, nested_schema, take_nested
from xtalshift.estimators.predictors import Arrays
from xtalshift.estimators.saved import SavedRegressor
from xtalshift.estimators.shapley import chain
from xtalshift.saved_arrays import Layout, Schema

FloatArray = NDArray[np.float64]


@dataclass(eq=False, repr=False, kw_only=True)
class OrdinalClassPredictor(ClassPredictor):
    """A classifier per threshold; settings as in `OrdinalClassifier`.

    Attributes
    ----------
    above_ : tuple of ClassPredictor
        One per threshold: the probability that the class is above it.
    """

    thresholds: Sequence[Any] = ()
    device: str = "auto"

    above_: tuple[ClassPredictor, ...] = field(init=False)

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return how many features of each row were clipped, shape (n,)."""
        return self.above_[0].n_clipped(X)

    def _shares(self, X: FloatArray) -> FloatArray:
        above = np.column_stack([one.predict_proba(X)[:, 1] for one in self.above_])
        return between(above)

    def _contributions(self, x: FloatArray, baselines: FloatArray) -> FloatArray:
        shares = np.stack([one.contributions(x, baselines)[1] for one in self.above_])
        rows = np.vstack([baselines, x])
        above = np.column_stack([one.predict_proba(rows)[:, 1] for one in self.above_])
        return chain(shares, above[:-1], above[-1], between)

    def _saved_parameters(self) -> dict[str, Any]:
        return {
            "thresholds": [SavedRegressor.of(one).model_dump(by_alias=True) for one in self.above_],
            "device": self.device,
            "validation_fraction": self.validation_fraction,
            "random_state": self.random_state,
        }

    @classmethod
    def _saved(cls, found: Layout) -> Schema:
        return nested_schema(found, super()._saved(found), without={"OrdinalClassifier"})

    def _get_state(self) -> Arrays:
        inner = nest({f"member{number}": one for number, one in enumerate(self.above_)})
        return {**super()._get_state(), **inner}

    def _set_state(self, state: Arrays) -> None:
        super()._set_state(state)
        rest = {name: value for name, value in state.items() if name not in CLASSES}
        if len(self.thresholds) != len(self.present_) - 1:
            raise ModelFormatError(
                f"{len(self.thresholds)} thresholds between {len(self.present_)} classes"
            )
        self.above_ = tuple(
            take_nested(rest, f"member{number}", SavedRegressor(**saved), self.device)
            for number, saved in enumerate(self.thresholds)
        )
        if rest:
            raise ModelFormatError(f"the array {min(rest)!r} is unknown")
        binary = all(
            isinstance(one, ClassPredictor) and len(one.present_) == len(one.classes_) == 2  # noqa: PLR2004
            for one in self.above_
        )
        widths = {one.n_features_in_ for one in self.above_}
        if not binary or len(widths) > 1:
            raise ModelFormatError("a threshold has not two classes, or takes other features")
        self.n_features_in_ = widths.pop()


@dataclass(eq=False, repr=False, kw_only=True)
class OrdinalClassifier(OrdinalClassPredictor, Classifier):
    """A classifier for each threshold between ordered classes (Frank and Hall, ECML 2001).

    That of threshold j learns whether the class is above j, from all rows; the probability of a
    class is the difference of two. Where they contradict each other, the probability of being above
    a threshold is that of being above the ones before, if that is smaller.

    Parameters
    ----------
    estimator : Classifier
        Unfitted; a clone of it learns each threshold.
    validation_fraction, random_state
        As in `Classifier`.
    """

    estimator: Any = field(kw_only=False)
    thresholds: Sequence[Any] = field(default=(), init=False)
    device: str = field(default="auto", init=False)

    @property
    def selects(self) -> bool:
        """Whether validation rows change what the estimator learns."""
        return bool(self.estimator.selects)

    def _fit(self, data: FitData) -> None:
        def side(rows: Labelled, threshold: int) -> Labelled:
            return replace(rows, y=(rows.y > threshold).astype(np.float64))

        self.above_ = tuple(
            fit_clone(
                self.estimator,
                replace(data, classes=2, checkpoint=None),
                side(data.train, threshold),
                side(data.validation, threshold)
                if len(data.validation.y)
                else side(few_of(data.train), threshold),
            )
            for threshold in range(data.classes - 1)
        )


def between(above: FloatArray) -> FloatArray:
    """Return the probabilities of m classes from those of being above each threshold.

    Parameters
    ----------
    above : ndarray of float64, shape (n, m - 1)
        Where they ascend, the smaller one before holds.
    """
    falling = np.minimum.accumulate(above, axis=1)
    ends = np.hstack([np.ones((len(above), 1)), falling, np.zeros((len(above), 1))])
    return np.asarray(ends[:, :-1] - ends[:, 1:])


def with_thresholds(classifier: Classifier) -> Classifier:
    """Return a classifier of ordered classes; of a stack, one whose members are such.

    Shares of the classes are the same with and without an order.
    """
    from xtalshift.estimators.classifiers import ConstantClassifier, NeighborsClassifier

    if isinstance(classifier, ConstantClassifier | NeighborsClassifier):
        return classifier
    members = getattr(classifier, "members", None)
    if members is not None:
        ordered = [replace(one, regressor=with_thresholds(one.regressor)) for one in members]
        stack: Classifier = classifier.set_params(members=ordered)
        return stack
    seed = classifier.random_state
    return OrdinalClassifier(classifier.set_params(random_state=None), random_state=seed)
