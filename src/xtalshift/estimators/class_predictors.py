"""Predictors of classes: the part of a classifier that a saved model needs, without scikit-learn.

As in `xtalshift.estimators.predictors`, shares of classes, linear models and trees have two classes
each: ``XClassPredictor`` here and ``XClassifier`` in `xtalshift.estimators.classifiers`. Classes
that are saved are numbers from 0; a model knows their names.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import ModelFormatError
from xtalshift.estimators.packed_trees import pack_trees, unpack_trees
from xtalshift.estimators.predictors import OBJECTIVES, PREDICT_ROWS, Arrays, Learned
from xtalshift.estimators.shapley import chain
from xtalshift.estimators.tree_shares import tree_shares
from xtalshift.estimators.tree_sum import TreeSum
from xtalshift.featurize.scale import SCALER, FeatureScaler
from xtalshift.rowwise import in_blocks, in_pieces, softmax
from xtalshift.saved_arrays import TEXT, Layout, SavedArray, Schema, check_arrays
from xtalshift.uncertainty.probabilities import ProbabilityCalibration, ProbabilityKind

FloatArray = NDArray[np.float64]
_MOST = 1000
"""Largest number of classes of a saved model."""
CLASSES: Schema = {
    "n_classes": SavedArray(np.int64, (1,), low=2, high=_MOST),
    "present": SavedArray(np.int64, ("present",), low=0, high=_MOST),
}
"""What the arrays of every classifier must have."""


@dataclass(eq=False, repr=False, kw_only=True)
class ClassPredictor(Learned):
    """Predicts probabilities of classes; the base of `Classifier`, which also learns them.

    A subclass implements `_shares`, and also `_saved`, `_get_state` and `_set_state` if it can be
    saved, each with that of this class.

    Attributes
    ----------
    classes_ : ndarray, shape (k,)
        All classes, sorted.
    present_ : ndarray of int64, shape (m,)
        Numbers of those that it has learned from; the others get the probability 0.
    """

    classes_: NDArray[Any] = field(init=False)
    present_: NDArray[np.int64] = field(init=False)

    @property
    def regressor_name(self) -> str:
        """Name of the class that was fitted: ``XClassPredictor`` is a part of ``XClassifier``."""
        return type(self).__name__.replace("ClassPredictor", "Classifier")

    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features; NaN means missing.

        Returns
        -------
        ndarray of float64, shape (n, k)
            In the order of `classes_`; each row sums to 1.

        Raises
        ------
        ValueError
            If the number of features is wrong, or a feature is infinite.
        """
        checked = self._check_features(X)
        # rows last, as `in_pieces` joins them
        found = in_pieces(lambda rows: self._shares(rows).T, checked, PREDICT_ROWS).T
        return spread_out(np.ascontiguousarray(found), self.present_, len(self.classes_))

    def contributions(self, x: ArrayLike, baselines: ArrayLike) -> FloatArray:
        """Return how each feature moves each probability, (k, m, d); see `Learned`."""
        shares = super().contributions(x, baselines)
        found = np.zeros((len(self.classes_), *shares.shape[1:]))
        found[self.present_] = shares
        return found

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable class of each row, shape (n,); the first of equal ones."""
        best = np.argmax(self.predict_proba(X), axis=1)  # first: it says whether it is fitted
        found: NDArray[Any] = self.classes_[best]
        return found

    def predict_variants(self, X: ArrayLike) -> dict[str, FloatArray]:
        """Return what `predict_proba` returns under ``""``, and others (``ema``) by name."""
        return {"": self.predict_proba(X)}

    @abstractmethod
    def _shares(self, X: FloatArray) -> FloatArray:
        """Return the probabilities of the classes that are present, shape (n, m)."""

    @classmethod
    def _saved(cls, found: Layout) -> Schema:  # noqa: ARG003
        return CLASSES

    def _get_state(self) -> Arrays:
        k = len(self.classes_)
        if not np.array_equal(self.classes_, np.arange(k)):
            raise ModelFormatError(
                f"the classes {self.classes_[:3].tolist()} ... are no numbers from 0; "
                "xtalshift.fit makes a model that keeps names"
            )
        return {"n_classes": np.array([k]), "present": self.present_}

    def _set_state(self, state: Arrays) -> None:
        own = {name: state[name] for name in CLASSES if name in state}
        check_arrays(own, CLASSES)
        k, present = int(own["n_classes"][0]), own["present"]
        if len(present) < 2 or (np.diff(present) <= 0).any() or present[-1] >= k:  # noqa: PLR2004
            raise ModelFormatError(f"the classes that it has learned are not some of {k}")
        self.classes_, self.present_ = np.arange(k), present


def as_distributions(rows: FloatArray) -> FloatArray:
    """Return rows of numbers from 0 on, scaled to the sum 1; equal ones for a row of 0."""
    total = rows.sum(axis=1, keepdims=True)
    shares = np.full_like(rows, 1 / rows.shape[1])
    return np.asarray(np.divide(rows, total, out=shares, where=total > 0))


def calibrates_any(calibration: ProbabilityCalibration) -> Callable[[FloatArray], FloatArray]:
    """Return a calibration of rows that are no distributions.

    Such are the probabilities of two rows mixed, as `xtalshift.estimators.shapley.chain` does it.
    """
    return lambda rows: calibration.apply(as_distributions(rows))


def spread_out(shares: FloatArray, present: NDArray[np.int64], k: int) -> FloatArray:
    """Return probabilities of all k classes, of which only some, shape (m,), are not 0."""
    if len(present) == k:
        return shares
    found = np.zeros((len(shares), k))
    found[:, present] = shares
    return found


@dataclass(eq=False, repr=False, kw_only=True)
class ConstantClassPredictor(ClassPredictor):
    """Predicts the same shares for every row; settings as in `ConstantClassifier`."""

    def _shares(self, X: FloatArray) -> FloatArray:
        return np.tile(self.shares_, (len(X), 1))

    def _contributions(self, x: FloatArray, baselines: FloatArray) -> FloatArray:  # noqa: ARG002
        return np.zeros((len(self.shares_), *baselines.shape))

    @classmethod
    def _saved(cls, found: Layout) -> Schema:
        shares = SavedArray(np.float64, ("present",), low=0.0, high=1.0)
        count = SavedArray(np.int64, (1,), low=1)
        return {**super()._saved(found), "shares": shares, "n_features": count}

    def _get_state(self) -> Arrays:
        count = np.array([self.n_features_in_])
        return {**super()._get_state(), "shares": self.shares_, "n_features": count}

    def _set_state(self, state: Arrays) -> None:
        check_arrays(state, self._saved(state))
        super()._set_state(state)
        self.shares_ = state["shares"]
        if not np.isclose(self.shares_.sum(), 1.0):
            raise ModelFormatError(f"the shares of the classes sum to {self.shares_.sum():g}")
        self.n_features_in_ = int(state["n_features"][0])


@dataclass(eq=False, repr=False, kw_only=True)
class RecalibrationClassPredictor(ClassPredictor):
    """Calibrates probabilities, its features; settings as in `RecalibrationClassifier`."""

    kind: ProbabilityKind = field(default="temperature", kw_only=False)

    def _shares(self, X: FloatArray) -> FloatArray:
        return self.calibration_.apply(X)

    def _contributions(self, x: FloatArray, baselines: FloatArray) -> FloatArray:
        # each probability is a feature, which moves itself alone
        own = np.eye(len(x))[:, None, :] * (x - baselines)
        return chain(own, baselines, x, calibrates_any(self.calibration_))

    @classmethod
    def _saved(cls, found: Layout) -> Schema:
        learned = {name: one for name, one in found.items() if name.startswith("probabilities.")}
        return {**super()._saved(found), **ProbabilityCalibration.saved(learned)}

    def _get_state(self) -> Arrays:
        return {**super()._get_state(), **self.calibration_.get_state()}

    def _set_state(self, state: Arrays) -> None:
        check_arrays(state, self._saved(state))
        super()._set_state(state)
        self.n_features_in_ = len(self.classes_)
        learned = {name: one for name, one in state.items() if name not in CLASSES}
        self.calibration_ = ProbabilityCalibration.from_state(
            learned, kind=self.kind, n_classes=self.n_features_in_
        )


@dataclass(eq=False, repr=False, kw_only=True)
class LogisticClassPredictor(ClassPredictor):
    """A linear model of standardised features; settings as in `LogisticClassifier`."""

    alphas: Sequence[float] = (0.1, 1.0, 10.0, 100.0, 1000.0)
    clip: float = 10.0

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return how many features of each row were clipped, shape (n,)."""
        return self.scaler_.n_clipped(X)

    def _shares(self, X: FloatArray) -> FloatArray:
        return softmax(self._logits(X))

    def _logits(self, X: FloatArray) -> FloatArray:
        """Return the logarithms of probabilities, up to a constant of the row, shape (n, m)."""
        found = in_blocks(lambda rows: (self.scaler_.transform(rows) @ self.coef_).T, X)
        return np.asarray(found.T + self.intercept_)

    def _contributions(self, x: FloatArray, baselines: FloatArray) -> FloatArray:
        away = self.scaler_.transform(x[None]) - self.scaler_.transform(baselines)
        shares = self.scaler_.spread(away * self.coef_.T[:, None, :])
        return chain(shares, self._logits(baselines), self._logits(x[None])[0], softmax)

    @classmethod
    def _saved(cls, found: Layout) -> Schema:
        own = {
            "coef": SavedArray(np.float64, ("kept", "present")),
            "intercept": SavedArray(np.float64, ("present",)),
            "alpha": SavedArray(np.float64, (1,)),
        }
        return {**super()._saved(found), **SCALER, **own}

    def _get_state(self) -> Arrays:
        return {
            **super()._get_state(),
            **self.scaler_.get_state(),
            "coef": self.coef_,
            "intercept": self.intercept_,
            "alpha": np.array([self.alpha_]),
        }

    def _set_state(self, state: Arrays) -> None:
        check_arrays(state, self._saved(state))
        super()._set_state(state)
        self.scaler_ = FeatureScaler(self.clip).set_state({name: state[name] for name in SCALER})
        self.n_features_in_ = self.scaler_.n_features_in_
        self.coef_, self.intercept_ = state["coef"], state["intercept"]
        self.alpha_ = float(state["alpha"][0])


class TreesPerClass:
    """Trees of several classes as arrays: one sum each; two classes need one text."""

    @staticmethod
    def schema(found: Layout) -> Schema:
        """Return what the texts must be, as many as there are."""
        names = [name for name in found if name.startswith("booster")]
        return dict.fromkeys((f"booster{number}" for number in range(max(len(names), 1))), TEXT)

    @staticmethod
    def state(sums: Sequence[TreeSum]) -> Arrays:
        """Return the texts as arrays."""
        return {f"booster{number}": pack_trees(one) for number, one in enumerate(sums)}

    @staticmethod
    def read(state: Arrays, n_classes: int, at_once: int = 100) -> list[TreeSum]:
        """Return the sums of trees, after a check.

        Raises
        ------
        ModelFormatError
            If their number is wrong, or they take different features.
        """
        names = sorted((name for name in state if name.startswith("booster")), key=len)
        wanted = 1 if n_classes == 2 else n_classes  # noqa: PLR2004
        if len(names) != wanted:
            raise ModelFormatError(f"{len(names)} sums of trees for {n_classes} classes")
        sums = [
            unpack_trees(name, state[name], OBJECTIVES["squared"], at_once=at_once)
            for name in (f"booster{number}" for number in range(wanted))
        ]
        if len({one.trees.n_features for one in sums}) > 1:
            raise ModelFormatError("the trees of the classes take different features")
        return sums


@dataclass(eq=False, repr=False, kw_only=True)
class LightGBMClassPredictor(ClassPredictor):
    """Gradient-boosted trees; settings as in `LightGBMClassifier`."""

    n_estimators: int = 2000
    learning_rate: float = 0.05
    num_leaves: int = 63
    early_stopping: int = 50
    max_bin: int = 255
    threads: int = 1

    def _shares(self, X: FloatArray) -> FloatArray:
        return self._from_sums(self._sums(X))

    def _sums(self, X: FloatArray) -> FloatArray:
        """Return the sums of trees of each class, of two classes one, shape (n, sums)."""
        return np.column_stack([one.predict(X, self.threads) for one in self.trees_])

    @staticmethod
    def _from_sums(sums: FloatArray) -> FloatArray:
        """Return probabilities, shape (n, m)."""
        if sums.shape[1] == 1:  # the logarithm of the odds of the second of two
            sums = np.hstack([np.zeros_like(sums), sums])
        return softmax(sums)

    def _contributions(self, x: FloatArray, baselines: FloatArray) -> FloatArray:
        shares = np.stack([tree_shares(one.trees, x, baselines) for one in self.trees_])
        sums = self._sums(baselines), self._sums(x[None])[0]
        return chain(shares, *sums, self._from_sums)

    @classmethod
    def _saved(cls, found: Layout) -> Schema:
        return {**super()._saved(found), **TreesPerClass.schema(found)}

    def _get_state(self) -> Arrays:
        return {**super()._get_state(), **TreesPerClass.state(self.trees_)}

    def _set_state(self, state: Arrays) -> None:
        check_arrays(state, self._saved(state))
        super()._set_state(state)
        self.trees_ = TreesPerClass.read(state, len(self.present_))
        self.n_features_in_ = self.trees_[0].trees.n_features


@dataclass(eq=False, repr=False, kw_only=True)
class ForestClassPredictor(ClassPredictor):
    """Extremely randomised trees of standardised features; settings as in `ForestClassifier`."""

    n_estimators: int = 300
    max_features: float | str = "sqrt"
    min_samples_leaf: int = 1
    threads: int = 1
    max_rows: int | None = None
    clip: float = 10.0

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return how many features of each row were clipped, shape (n,)."""
        return self.scaler_.n_clipped(X)

    def _shares(self, X: FloatArray) -> FloatArray:
        return self._from_sums(self._sums(self._rows(X)))

    def _rows(self, X: FloatArray) -> FloatArray:
        """Return rows in single precision, as the trees were grown: all take the same ways then."""
        return self.scaler_.transform(X).astype(np.float32).astype(np.float64)

    def _sums(self, rows: FloatArray) -> FloatArray:
        """Return the sums of trees of each class, of two classes one, shape (n, sums)."""
        return np.column_stack([one.predict(rows, self.threads) for one in self.trees_])

    @staticmethod
    def _from_sums(sums: FloatArray) -> FloatArray:
        """Return probabilities, shape (n, m)."""
        found = np.maximum(sums, 0.0)
        if sums.shape[1] == 1:
            second = np.minimum(found, 1.0)
            found = np.hstack([1.0 - second, second])
        return as_distributions(found)

    def _contributions(self, x: FloatArray, baselines: FloatArray) -> FloatArray:
        row, others = self._rows(x[None]), self._rows(baselines)
        shares = np.stack([tree_shares(one.trees, row[0], others) for one in self.trees_])
        found = chain(shares, self._sums(others), self._sums(row)[0], self._from_sums)
        return self.scaler_.spread(found)

    @classmethod
    def _saved(cls, found: Layout) -> Schema:
        return {**super()._saved(found), **SCALER, **TreesPerClass.schema(found)}

    def _get_state(self) -> Arrays:
        own = {**self.scaler_.get_state(), **TreesPerClass.state(self.trees_)}
        return {**super()._get_state(), **own}

    def _set_state(self, state: Arrays) -> None:
        check_arrays(state, self._saved(state))
        super()._set_state(state)
        self.scaler_ = FeatureScaler(self.clip).set_state({name: state[name] for name in SCALER})
        self.n_features_in_ = self.scaler_.n_features_in_
        self.trees_ = TreesPerClass.read(state, len(self.present_), at_once=10)
        if self.trees_[0].trees.n_features != len(self.scaler_.mean_):
            raise ModelFormatError("the trees take other features than the scaler keeps")
