"""Classifiers for every table: shares, logistic regression, trees, nearest rows, thresholds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from xtalshift.errors import DataError
from xtalshift.estimators.base import (
    Choice,
    Classifier,
    CrossFit,
    FitData,
    Labelled,
    check_count,
    draw_rows,
    draw_seed,
    no_predictions,
)
from xtalshift.estimators.baselines import Boosted, parts_of
from xtalshift.estimators.class_predictors import (
    ConstantClassPredictor,
    ForestClassPredictor,
    LightGBMClassPredictor,
    LogisticClassPredictor,
    RecalibrationClassPredictor,
    spread_out,
)
from xtalshift.estimators.classical import PIECE_ROWS
from xtalshift.estimators.lightgbm_text import Tree, join_trees, split_classes
from xtalshift.estimators.searched import Searched, Tried
from xtalshift.estimators.tree_sum import TreeSum
from xtalshift.featurize.scale import FeatureScaler
from xtalshift.rowwise import in_pieces, softmax
from xtalshift.uncertainty.probabilities import fit_probabilities

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
_STEPS = 300
"""Most steps of the solver; with the penalties to choose from, fewer are needed."""


@dataclass(eq=False, repr=False, kw_only=True)
class ConstantClassifier(ConstantClassPredictor, Classifier):
    """Predicts the (weighted) shares of the classes of the training rows: the dummy of all tables.

    Parameters
    ----------
    validation_fraction, random_state
        As in `IRNetClassifier`; validation rows are not used.
    """

    @property
    def selects(self) -> bool:
        """No: validation rows are not used."""
        return False

    def _fit(self, data: FitData) -> None:
        self.shares_ = shares_of(data.train, data.classes)


@dataclass(eq=False, repr=False, kw_only=True)
class RecalibrationClassifier(RecalibrationClassPredictor, Classifier):
    """Learns from labels how the probabilities of another classifier must change.

    Its features are these probabilities, one for each class. Classes without a label keep theirs.

    Parameters
    ----------
    kind : {"temperature", "temperature-bias", "isotonic", "none"}
        As in `xtalshift.uncertainty.probabilities.fit_probabilities`.
    validation_fraction, random_state
        As in `IRNetClassifier`; validation rows are not used.
    """

    @property
    def selects(self) -> bool:
        """No: validation rows are not used."""
        return False

    def _fit(self, data: FitData) -> None:
        codes = self.present_[data.train.y.astype(np.intp)]
        self.present_ = np.arange(len(self.classes_))
        rows = data.train
        self.calibration_ = fit_probabilities(rows.X, codes, self.kind, rows.weights)


def shares_of(rows: Labelled, n_classes: int) -> FloatArray:
    """Return the (weighted) share of each class of some rows, shape (n_classes,)."""
    counts = np.bincount(rows.y.astype(np.intp), rows.weights, minlength=n_classes)
    return np.asarray(counts / counts.sum(), dtype=np.float64)


@dataclass(eq=False, repr=False, kw_only=True)
class LogisticClassifier(LogisticClassPredictor, Searched, Classifier):
    """Multinomial logistic regression with an L2 penalty that is chosen on validation rows.

    Parameters
    ----------
    alphas : sequence of float
        Penalties (of half the squared coefficients, beside the sum of the log losses) to choose
        from by validation log loss.
    clip : float, default 10
        Features are clipped at this many standard deviations.
    validation_fraction, random_state
        As in `IRNetClassifier`.
    """

    def _choices(self) -> list[dict[str, Any]]:
        return [{"alphas": (alpha,)} for alpha in self.alphas]

    def _search(self, data: FitData, train: Labelled, X: FloatArray) -> Iterator[Tried]:
        scaler = FeatureScaler(self.clip).fit(train.X)
        x, x_other = scaler.transform(train.X), scaler.transform(X)
        present = np.unique(train.y).astype(np.intp)  # a fold may lack some
        if len(present) < 2:  # noqa: PLR2004
            raise DataError("all rows of a fold have one class")
        for number, alpha in enumerate(self.alphas):
            coef, intercept = _solve(x, train, alpha)
            learned = {
                "scaler_": scaler,
                "coef_": coef,
                "intercept_": intercept,
                "alpha_": float(alpha),
            }
            shares = softmax(x_other @ coef + intercept)
            yield Tried(number, spread_out(shares, present, data.classes), learned)


def _solve(x: FloatArray, train: Labelled, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Return coefficients (d, m) and intercepts (m,) of standardised rows, m classes."""
    weights = train.weights
    if weights is not None:  # the penalty then does not depend on their size
        weights = weights / weights.mean()
    model = LogisticRegression(C=1 / alpha, max_iter=_STEPS, tol=1e-5)
    with warnings.catch_warnings():
        # the last step is as good as the penalty asks for
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, train.y.astype(np.intp), sample_weight=weights)
    coef, intercept = model.coef_.T, model.intercept_
    if coef.shape[1] == 1:  # of two classes, scikit-learn keeps the difference
        coef, intercept = np.hstack([0 * coef, coef]), np.append(0.0, intercept)
    return np.ascontiguousarray(coef), np.asarray(intercept, dtype=np.float64)


@dataclass(eq=False, repr=False, kw_only=True)
class LightGBMClassifier(Boosted, LightGBMClassPredictor, Classifier):
    """Gradient-boosted trees, stopped early on validation rows; the same bits in every run.

    Parameters
    ----------
    n_estimators, learning_rate, num_leaves, early_stopping, max_bin, threads
        As in `LightGBMRegressor`; a round grows one tree per class, or one for two classes.
    validation_fraction, random_state
        As in `IRNetClassifier`.
    """

    def _fit(self, data: FitData) -> None:
        seed = int(data.rng.integers(2**31 - 1))
        parameters = self._parameters(len(data.train.y), seed, _objective(data.classes))
        booster = self._train(parameters, data, metric="val_log_loss")
        self._take(booster.model_to_string(num_iteration=booster.best_iteration))

    def cross_fit(self, data: FitData, folds: IntArray) -> CrossFit:
        """Fit with the same number of trees for all folds, that of the smallest error of all."""
        train, seed, parts = data.train, draw_seed(data.rng), parts_of(folds)
        parameters = self._parameters(len(train.y), seed, _objective(data.classes))
        boosters, trees = self._cross_train(parameters, data, parts, metric="val_log_loss")
        found = no_predictions(data)
        for booster, (_, out) in zip(boosters, parts, strict=True):
            fitted = self._fitted(data, booster.model_to_string(num_iteration=trees))
            found[out] = fitted.predict_proba(train.X[out])
        only = fitted if len(parts) == 1 else None
        return CrossFit(found, Choice(seed, trees), self, data, only)

    def fit_chosen(self, data: FitData, choice: Choice) -> Any:
        """Fit with the number of trees that the folds have chosen."""
        import lightgbm

        if not 0 < choice.number <= self.n_estimators:
            raise DataError(f"{type(self).__name__} has no choice {choice.number}")
        train = data.train
        parameters = self._parameters(len(train.y), choice.seed, _objective(data.classes))
        rows = lightgbm.Dataset(train.X, train.y, weight=train.weights)
        booster = lightgbm.train(parameters, rows, choice.number)
        return self._fitted(data, booster.model_to_string(num_iteration=choice.number))

    def _take(self, text: str) -> None:
        self.trees_ = [TreeSum(one) for one in split_classes(text)]

    def _fitted(self, data: FitData, text: str) -> LightGBMClassifier:
        """Return a clone that has these trees, which know all classes."""
        fitted: LightGBMClassifier = clone(self)
        fitted.n_features_in_ = data.train.X.shape[1]
        fitted.classes_ = np.arange(data.classes)
        fitted.present_ = np.arange(data.classes)
        fitted._take(text)
        return fitted


def _objective(n_classes: int) -> dict[str, Any]:
    if n_classes == 2:  # noqa: PLR2004
        return {"objective": "binary", "metric": "binary_logloss"}
    return {"objective": "multiclass", "metric": "multi_logloss", "num_class": n_classes}


@dataclass(eq=False, repr=False, kw_only=True)
class ForestClassifier(ForestClassPredictor, Classifier):
    """Extremely randomised trees (Geurts, Ernst and Wehenkel, Mach. Learn. 63, 3 (2006)).

    Parameters
    ----------
    n_estimators : int, default 300
        Number of trees; the probability is the mean share of a class in their leaves.
    max_features : float, int or str, default "sqrt"
        Features tried at each node, as in `sklearn.ensemble.ExtraTreesClassifier`.
    min_samples_leaf, threads, max_rows, clip
        As in `ForestRegressor`.
    validation_fraction, random_state
        As in `IRNetClassifier`; validation rows are not used.
    """

    @property
    def selects(self) -> bool:
        """No: validation rows are not used."""
        return False

    def _fit(self, data: FitData) -> None:
        train = draw_rows(data.train, self.max_rows, data.rng)
        self.n_rows_used_ = len(train.y)
        self.scaler_ = FeatureScaler(self.clip).fit(train.X)
        forest = ExtraTreesClassifier(
            n_estimators=self.n_estimators,
            max_features=self.max_features,
            min_samples_leaf=self.min_samples_leaf,
            n_jobs=self.threads or -1,
            random_state=int(data.rng.integers(2**31 - 1)),
        ).fit(self.scaler_.transform(train.X), train.y.astype(np.intp), train.weights)
        wanted = range(data.classes) if data.classes > 2 else (1,)  # noqa: PLR2004
        there = {int(code): place for place, code in enumerate(forest.classes_)}
        self.trees_ = [
            TreeSum(
                None,
                join_trees(self._trees(forest, there.get(code)), len(self.scaler_.mean_)),
                at_once=10,
            )
            for code in wanted
        ]

    def _trees(self, forest: ExtraTreesClassifier, place: int | None) -> list[Tree]:
        """Return trees whose sum is the probability of a class; None: it was not drawn."""
        return [
            Tree(
                tree.children_left,
                tree.children_right,
                tree.feature,
                tree.threshold,
                np.zeros(tree.node_count)
                if place is None
                else tree.value[:, 0, place] / self.n_estimators,
            )
            for tree in (one.tree_ for one in forest.estimators_)
        ]


@dataclass(eq=False, repr=False, kw_only=True)
class NeighborsClassifier(Classifier):
    """The (weighted) shares of the classes among the nearest training rows and one row more.

    That row has the shares of all training rows, so that no class is impossible.

    Parameters
    ----------
    n_neighbors : int, default 1
        Number of nearest rows, by Euclidean distance of the standardised features.
    max_rows : int, optional
        Largest number of training rows, drawn without replacement; all if None.
    clip : float, default 10
        Features are clipped at this many standard deviations.
    validation_fraction, random_state
        As in `IRNetClassifier`; validation rows are not used.
    """

    n_neighbors: int = 1
    max_rows: int | None = None
    clip: float = 10.0

    @property
    def selects(self) -> bool:
        """No: validation rows are not used."""
        return False

    def _fit(self, data: FitData) -> None:
        train = draw_rows(data.train, self.max_rows, data.rng)
        count = check_count("n_neighbors", self.n_neighbors, len(train.y))
        self.scaler_ = FeatureScaler(self.clip).fit(train.X)
        self.neighbors_ = NearestNeighbors(n_neighbors=count).fit(self.scaler_.transform(train.X))
        self.codes_ = train.y.astype(np.intp)
        weights = np.ones(len(train.y)) if train.weights is None else train.weights
        self.weights_ = weights / weights.mean()
        self.prior_ = shares_of(train, data.classes)

    def n_clipped(self, X: Any) -> NDArray[np.int64]:
        """Return how many features of each row were clipped, shape (n,)."""
        return self.scaler_.n_clipped(X)

    def _shares(self, X: FloatArray) -> FloatArray:
        return in_pieces(lambda rows: self._count(rows).T, X, PIECE_ROWS).T

    def _count(self, X: FloatArray) -> FloatArray:
        near = self.neighbors_.kneighbors(self.scaler_.transform(X), return_distance=False)
        counts = np.tile(self.prior_, (len(X), 1))
        rows = np.repeat(np.arange(len(X)), near.shape[1])
        np.add.at(counts, (rows, self.codes_[near.ravel()]), self.weights_[near.ravel()])
        return np.asarray(counts / counts.sum(axis=1, keepdims=True))
