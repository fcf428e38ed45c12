"""A stack of adaptations: what labels of a new region teach about a fitted model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import ConfigError, TrainingError, XtalshiftError
from xtalshift.estimators.adapted_stack_predictor import (
    AdaptedStackClassPredictor,
    AdaptedStackParts,
    AdaptedStackPredictor,
    FittedCorrection,
    Inputs,
    Learns,
    mark,
    see,
)
from xtalshift.estimators.base import (
    Classifier,
    FitData,
    Labelled,
    Learner,
    Regressor,
    deal_classes,
    deal_folds,
    draw_rows,
    fit_clone,
    join_rows,
)
from xtalshift.estimators.class_predictors import ClassPredictor
from xtalshift.estimators.mixture import describe, mix, mix_spread
from xtalshift.estimators.stack import LEAST_WEIGHT, OutOfFold, mixture_weights, stack_weights
from xtalshift.estimators.stack_predictor import MemberScale, ScaleName
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import as_generator
from xtalshift.uncertainty.probabilities import ProbabilityCalibration

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FEW_LABELS = 30
"""Labels with which both parts of `adaptation_weights` have the same share."""
SHARPNESS = 32.0
"""Power of the error with which a member's own weight falls."""
LEAST_GAIN, LEAST_GAIN_OF_FEW = 1.0, 2.0
FEWEST_MEASURED = 16
"""`LEAST_GAIN`, `LEAST_GAIN_OF_FEW`, `FEWEST_MEASURED`: standard errors by which the mean error
must fall, else the model stays as it is; more with fewer labels than the experiments had. The best
of many corrections looks good by chance."""
LEAST_STD = 0.3
"""Share of the error that the members' standard deviation never falls below."""
NOTHING = 1e-6
"""Weight of the model itself below which it has none: weights of classes are never exactly 0."""
MOST_SOURCE_ROWS = 4000
"""Most source rows that are replayed: more only cost time beside few labels."""


@dataclass(frozen=True, eq=False)
class Correction:
    """A way to learn from labels of a new region what a fitted model lacks, not fitted.

    A regressor learns the errors of the model, or the targets themselves, from the features, from
    the prediction of the model, or from both; a classifier learns the classes, from the
    probabilities of the model. With `replays` it also learns the source rows.
    """

    name: str
    """Name in cards and reports."""
    regressor: Learner
    inputs: Inputs = "both"
    learns: Learns = "errors"
    scale: ScaleName = "none"
    """Scale of targets and predictions, see `MemberScale`."""
    replays: bool = False
    """Whether source rows are training rows too. The model predicts them too well to be asked, so
    that `inputs` must be ``features`` or ``marked`` and `learns` ``targets``."""
    share: float = 0.5
    """Share of the labels in the total weight, if it replays."""

    @property
    def alone(self) -> bool:
        """Whether it learns from the labels alone, without model and source rows."""
        return self.inputs == "features" and self.learns == "targets" and not self.replays


@dataclass(frozen=True, eq=False)
class Problem:
    """A fitted model and labels of a new region."""

    first: FloatArray
    """Shape (n,). Predictions of the labels by the fitted model; of classes their probabilities,
    shape (n, classes)."""
    labels: Labelled
    """n rows."""
    source: Labelled | None
    """Labelled source rows, if they are known."""
    rng: np.random.Generator
    progress: Progress = NO_PROGRESS
    classes: int = 0
    """Number of classes; 0 for numbers."""


class CrossFitted(NamedTuple):
    """A correction, fitted to the labels of each fold."""

    predictions: FloatArray
    """Shape (n,). Predictions of the labels by fits to other folds, in the unit of the target; NaN
    for labels that are never held out. Of classes their probabilities, shape (n, classes)."""
    fit_all: Callable[[float], FittedCorrection]
    """Fits all labels; takes the weight of the correction."""


def cross_fit(correction: Correction, problem: Problem, folds: IntArray) -> CrossFitted:
    """Fit a correction to the labels of each fold.

    Parameters
    ----------
    correction : Correction
        What to fit.
    problem : Problem
        n labels.
    folds : ndarray of int64, shape (n,)
        Fold of each label; -1 for labels that are never held out.

    Raises
    ------
    XtalshiftError
        If it cannot be fitted.
    """
    labels, n = problem.labels, len(problem.labels.y)
    scale = MemberScale.of(correction.scale, labels.y)
    start, z = scale.forward(problem.first), scale.forward(labels.y)
    errors = correction.learns == "errors"
    rows = replace(
        labels,
        X=see(correction.inputs, labels.X, start),
        y=z - start if errors else z,
    )
    if correction.replays:
        rows = _with_source(rows, _other_source(problem), scale, correction)
        folds = np.concatenate([folds, np.full(len(rows.y) - n, -1)])
    data = FitData(rows, rows, None, problem.rng, problem.progress, classes=problem.classes)
    found = correction.regressor.cross_fit(data, folds)
    predictions = found.predictions[:n]
    return CrossFitted(
        scale.inverse(predictions + start if errors else predictions),
        lambda weight: FittedCorrection(
            correction.name,
            weight,
            correction.inputs,
            correction.learns,
            scale,
            found.fit_all(),
        ),
    )


def _other_source(problem: Problem) -> Labelled:
    """Return source rows with formulas that no label has.

    Raises
    ------
    TrainingError
        If there are none.
    """
    source, labels = problem.source, problem.labels
    if source is not None and source.groups is not None and labels.groups is not None:
        source = source.take(~np.isin(source.groups, labels.groups))
    if source is None or not len(source.y):
        raise TrainingError("there are no source rows")
    return draw_rows(source, MOST_SOURCE_ROWS, problem.rng)


def _with_source(
    labels: Labelled, source: Labelled, scale: MemberScale, correction: Correction
) -> Labelled:
    """Return the labels and then the source rows, with weights of mean 1."""
    total, share = len(labels.y) + len(source.y), correction.share
    ours, theirs = (
        total * part * own / own.sum()
        for part, own in ((share, _weights(labels)), (1 - share, _weights(source)))
    )
    X = mark(source.X, 0.0) if correction.inputs == "marked" else source.X
    return join_rows(
        replace(labels, weights=ours),
        replace(source, X=X, y=scale.forward(source.y), weights=theirs),
    )


def _weights(rows: Labelled) -> FloatArray:
    return np.ones(len(rows.y)) if rows.weights is None else rows.weights


@dataclass(eq=False, repr=False, kw_only=True)
class AdaptedStack(AdaptedStackParts, Learner):
    """A fitted model and corrections of it, of numbers or of classes: folds, weights, judgement.

    Parameters
    ----------
    start, members, n_folds, cautious, validation_fraction, random_state
        As in `AdaptedStackRegressor`.
    """

    start: Any = field(default=None, kw_only=False)
    members: Sequence[Any] = ()
    n_folds: int = 10
    cautious: bool = True

    uses = frozenset({"X_target", "y_target", "blocks", "fresh"})

    @abstractmethod
    def _begin(self, first: FloatArray, labels: Labelled, source: Labelled | None) -> None:
        """Learn from all rows what the predictions of corrections need."""

    @abstractmethod
    def _column(self, found: FloatArray) -> FloatArray:
        """Return the predictions of a correction as the stack combines them."""

    @abstractmethod
    def _constant(self, rows: Labelled) -> Any:
        """Return what predicts best without features, from some labels."""

    @abstractmethod
    def _std(self, found: FloatArray, weights: FloatArray) -> FloatArray:
        """Return how far the members are apart, shape (n,)."""

    @property
    @abstractmethod
    def _n_classes(self) -> int:
        """Number of classes; 0 for numbers."""

    def _fit(self, data: FitData) -> None:
        if not isinstance(self.start, Learner):
            raise ConfigError(f"start = {self.start!r}; expected a regressor to fit, or call adapt")
        rng = data.rng.spawn(1)[0]
        start = fit_clone(self.start, data, data.train, data.validation)
        if data.target is None:
            self._keep(start)
            return
        if np.isnan(data.target.y).any():
            raise ConfigError(f"{type(self).__name__} needs y_target as well as X_target")
        source = join_rows(data.train, data.validation) if start.cross_fits else data.train
        self._adapt(start, data.target, source, None, rng, data.progress)

    def adapt(
        self,
        model: Any,
        X_target: ArrayLike,
        y_target: ArrayLike,
        X: ArrayLike | None = None,
        y: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        source_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        source_groups: ArrayLike | None = None,
        fresh: ArrayLike | None = None,
        progress: Progress = NO_PROGRESS,
    ) -> Self:
        """Adapt a fitted model, which does not change.

        Parameters
        ----------
        model : Predictor or ClassPredictor
            Fitted to source rows.
        X_target, y_target : array_like of float, shapes (n, d) and (n,)
            Labels of the new region.
        X, y : array_like of float, shapes (m, d) and (m,), optional
            Labelled source rows, for corrections that replay them.
        sample_weight, source_weight : array_like of float, shapes (n,) and (m,), optional
            Weight of each label, and of each source row, in the losses and in the choice of the
            corrections.
        groups, source_groups : array_like of str, shapes (n,) and (m,), optional
            Reduced formulas: none is in two folds, and source rows with the formula of a label are
            left out.
        fresh : array_like of bool, shape (n,), optional
            Labels that the model was not trained on. The others train corrections, but cannot tell
            how good they are. By default all.
        progress : Progress
            Reports the progress.

        Raises
        ------
        ValueError
            If shapes do not fit.
        """
        self.n_features_in_ = model.n_features_in_
        self._take_start(model)
        labels = self._check_rows(X_target, y_target, groups, sample_weight)
        source = None if X is None else self._check_rows(X, y, source_groups, source_weight)
        told = None if fresh is None else np.asarray(fresh, dtype=bool)
        self._adapt(model, labels, source, told, as_generator(self.random_state), progress)
        return self

    def _take_start(self, model: Any) -> None:
        """Take over what the labels are read by."""

    def _keep(self, model: Any) -> None:
        """Keep a model as it is."""
        self.start_, self.start_weight_, self.members_ = model, 1.0, ()
        self.errors_: dict[str, float] = {}
        self.failures_: dict[str, str] = {}
        self.start_error_ = self.error_ = self.constant_error_ = np.nan
        self.alone_: FloatArray | None = None
        self.n_held_out_ = 0
        self.out_of_fold_: OutOfFold | None = None

    def _adapt(
        self,
        model: Any,
        labels: Labelled,
        source: Labelled | None,
        fresh: NDArray[np.bool_] | None,
        rng: np.random.Generator,
        progress: Progress,
    ) -> None:
        self._check()
        self._keep(model)
        folds = _fold_labels(labels, fresh, self.n_folds, rng, classes=self._n_classes)
        if folds is None:
            return
        first = self._first(labels.X)
        problem = Problem(first, labels, source, rng, progress, self._n_classes)
        self._begin(first, labels, source)
        told = folds >= 0
        y, folds_told, share = labels.y[told], folds[told], _weights(labels)[told]
        fits, predictions = self._try_all(problem, folds)
        weights = adaptation_weights(predictions, y, share)
        if weights[0] < NOTHING:
            weights[0] = 0.0
        by_labels = np.array([False, *(one.alone for one in self.members if self._works(one))])
        center, std = np.empty_like(first[told]), np.empty(len(y))
        constant, alone = np.empty_like(center), np.full_like(center, np.nan)
        for fold in np.unique(folds_told):
            out = folds_told == fold
            others = adaptation_weights(predictions[:, ~out], y[~out], share[~out])
            center[out] = mix(predictions[:, out], others)
            std[out] = self._std(predictions[:, out], others)
            if by_labels.any():
                own = predictions[by_labels]
                alone[out] = mix(
                    own[:, out], adaptation_weights(own[:, ~out], y[~out], share[~out])
                )
            constant[out] = self._constant(labels.take(folds != fold))
        self.n_held_out_ = len(y)
        self.alone_ = alone if by_labels.any() else None
        before, after = self.row_errors(first[told], y), self.row_errors(center, y)
        self.start_error_, self.error_ = float(before.mean()), float(after.mean())
        self.constant_error_ = float(self.row_errors(constant, y).mean())
        gain = (before - after) * share / share.mean()
        if not (pays(gain) if self.cautious else gain.mean() > 0):
            if not self.cautious:  # what a combination has to beat is known of the same labels
                spread = self._settle_std(np.zeros(len(y)))
                self.out_of_fold_ = OutOfFold(
                    np.flatnonzero(told), problem.first[told], spread, folds_told
                )
            return
        kept = np.flatnonzero(weights[1:] >= LEAST_WEIGHT)
        weights[1:][weights[1:] < LEAST_WEIGHT] = 0.0
        weights /= weights.sum()
        members = []
        with progress.task("corrections on all labels", len(kept)) as task:
            for place in kept:
                members.append(fits[place](float(weights[1 + place])))
                task.advance()
        self.start_weight_, self.members_ = float(weights[0]), tuple(members)
        self.out_of_fold_ = OutOfFold(
            np.flatnonzero(told), center, self._settle_std(std), folds_told
        )

    def _settle_std(self, std: FloatArray) -> FloatArray:
        """Return `OutOfFold.std` of an adapted stack, from `_std`."""
        return std

    def _try_all(
        self, problem: Problem, folds: IntArray
    ) -> tuple[list[Callable[[float], FittedCorrection]], FloatArray]:
        """Return the corrections that work, and predictions of the held-out labels.

        The first row of the predictions is that of the model itself.
        """
        told = folds >= 0
        y, rows = problem.labels.y[told], [problem.first[told]]
        best = float(self.row_errors(rows[0], y).mean())
        fits = []
        seeds = problem.rng.spawn(len(self.members))
        with problem.progress.task("corrections", len(self.members)) as task:
            for one, rng in zip(self.members, seeds, strict=True):
                try:
                    found = cross_fit(one, replace(problem, rng=rng), folds)
                    row = self._column(found.predictions[told])
                    if not np.isfinite(row).all():
                        raise TrainingError("its predictions are not finite")
                except XtalshiftError as error:
                    self.errors_[one.name] = np.inf
                    self.failures_[one.name] = str(error)
                else:
                    self.errors_[one.name] = float(self.row_errors(row, y).mean())
                    best = min(best, self.errors_[one.name])
                    fits.append(found.fit_all)
                    rows.append(row)
                task.advance(1, **{f"val_{self.metric}": best})
        return fits, np.stack(rows)

    def _works(self, one: Correction) -> bool:
        return one.name not in self.failures_

    def _check(self) -> None:
        names = [member.name for member in self.members]
        if len(set(names)) < len(names):
            raise ConfigError(f"an adapted stack needs corrections with different names, {names}")
        if self.n_folds < 2:  # noqa: PLR2004
            raise ConfigError(f"n_folds = {self.n_folds}; expected at least 2")

    def describe_members(self) -> list[dict[str, Any]]:
        """Return name, weight and cross-fit error of the model and of all corrections.

        The largest weights come first; the error of one that failed is None.
        """
        weights = {one.name: one.weight for one in self.members_} | {SOURCE: self.start_weight_}
        errors = {SOURCE: self.start_error_} | self.errors_
        return describe(weights, errors, self.failures_, self.metric)

    @property
    def selects(self) -> bool:
        """Whether the model that `fit` trains selects by validation rows."""
        return isinstance(self.start, Learner) and self.start.selects


@dataclass(eq=False, repr=False, kw_only=True)
class AdaptedStackRegressor(AdaptedStack, AdaptedStackPredictor, Regressor):
    """A fitted model and corrections of it, combined with weights from a cross-fit of labels.

    Each correction predicts each label of the new region by a fit to other labels. The weights of
    the model itself and of the corrections are chosen by these predictions, see
    `adaptation_weights`. The model stays as it is unless the combination has a smaller error on
    labels that chose neither its corrections nor its weights, by one standard error.

    Parameters
    ----------
    start : Regressor, optional
        Model that `fit` trains on the source rows. `adapt` takes a fitted one instead.
    members : sequence of Correction
        What to try.
    n_folds : int, default 10
        Number of folds of the labels. No formula is in two.
    margin : float, default 0.5
        The predictions of each correction are cut at this share of the range of all targets below
        the smallest and above the largest one.
    cautious : bool, default True
        Whether the model stays as it is unless the error falls by more than chance, see `pays`;
        else any smaller error of held-out labels is enough.
    validation_fraction, random_state
        As in `Regressor`, for the source rows in `fit`.

    Attributes
    ----------
    start_error_, error_, constant_error_ : float
        Mean absolute error of the labels that were held out in turn: of the model before the
        adaptation and after it, and of the mean of the other labels.
    alone_ : ndarray of float64, shape (m,), or None
        Predictions of these labels, each held out in turn, by the corrections that learn from the
        labels alone; None if there are none.
    n_held_out_ : int
        Number of these labels.
    errors_ : dict of float
        The same of each correction alone, by name; infinite if it failed.
    failures_ : dict of str
        Why corrections failed, by name.
    out_of_fold_ : OutOfFold or None
        Predictions of the labels by corrections and weights that were not fitted to them; None if
        nothing was adapted, unless `cautious` is False: then those of the model as it is.
    """

    start: Any = field(default=None, kw_only=False)
    members: Sequence[Any] = ()
    margin: float = 0.5

    @property
    def _n_classes(self) -> int:
        return 0

    def _begin(self, first: FloatArray, labels: Labelled, source: Labelled | None) -> None:
        everything = np.concatenate([labels.y, first, [] if source is None else source.y])
        span = self.margin * float(np.ptp(everything))
        self.bounds_ = np.array([everything.min() - span, everything.max() + span])

    def _column(self, found: FloatArray) -> FloatArray:
        return np.clip(found, *self.bounds_)

    def _constant(self, rows: Labelled) -> float:
        return float(rows.y.mean())

    def _std(self, found: FloatArray, weights: FloatArray) -> FloatArray:
        return mix_spread(found, weights)

    def _settle_std(self, std: FloatArray) -> FloatArray:
        self.least_std_ = LEAST_STD * self.error_
        return std + self.least_std_

    def _keep(self, model: Any) -> None:
        super()._keep(model)
        self.bounds_, self.least_std_ = np.zeros(2), 0.0

    def _check(self) -> None:
        super()._check()
        if self.margin < 0:
            raise ConfigError(f"margin = {self.margin}; expected a number from 0")


@dataclass(eq=False, repr=False, kw_only=True)
class AdaptedStackClassifier(AdaptedStack, AdaptedStackClassPredictor, Classifier):
    """A fitted classifier and corrections of its probabilities, as `AdaptedStackRegressor`.

    The weights are chosen by the log loss, and the model stays as it is unless that falls by one
    standard error. Folds are dealt so that each class is in as many as it can be.

    Parameters
    ----------
    start : Classifier, optional
        Model that `fit` trains on the source rows. `adapt` takes a fitted one instead.
    members : sequence of Correction
        What to try; they learn targets, on the scale ``"none"``.
    calibration : ProbabilityCalibration, optional
        How the probabilities of the model are calibrated before all else; by default not at all.
    n_folds, cautious
        As in `AdaptedStackRegressor`.
    validation_fraction, random_state
        As in `Classifier`, for the source rows in `fit`.

    Attributes
    ----------
    start_error_, error_, constant_error_ : float
        Mean log loss of the labels that were held out in turn: of the model before the adaptation
        and after it, and of the shares of the other labels.
    alone_, n_held_out_, errors_, failures_, out_of_fold_
        As in `AdaptedStackRegressor`, with probabilities and log losses.
    """

    start: Any = field(default=None, kw_only=False)
    members: Sequence[Any] = ()
    calibration: Any = None

    @property
    def _n_classes(self) -> int:
        return len(self.present_)

    def _take_start(self, model: ClassPredictor) -> None:
        self.classes_, self.present_ = model.classes_, np.arange(len(model.classes_))

    def _keep(self, model: Any) -> None:
        super()._keep(model)
        self.calibration_ = self.calibration or ProbabilityCalibration()

    def _begin(self, first: FloatArray, labels: Labelled, source: Labelled | None) -> None:
        """Nothing is needed."""

    def _column(self, found: FloatArray) -> FloatArray:
        return found

    def _constant(self, rows: Labelled) -> FloatArray:
        """Return the shares of the classes of the labels and of one row more, split evenly."""
        counts = np.bincount(rows.y.astype(np.intp), minlength=self._n_classes)
        return np.asarray((counts + 1 / self._n_classes) / (counts.sum() + 1))

    def _std(self, found: FloatArray, weights: FloatArray) -> FloatArray:
        return np.asarray(mix_spread(found, weights).max(axis=1))


SOURCE = "model before"
"""Name of the model that is adapted, among the members."""


def pays(gain: FloatArray) -> bool:
    """Return whether errors fall by at least one standard error of the mean, two for few labels.

    Parameters
    ----------
    gain : ndarray of float64, shape (n,)
        By how much the error of each label that was held out is smaller.
    """
    if len(gain) < 2:  # noqa: PLR2004 - one label tells nothing
        return False
    least = LEAST_GAIN if len(gain) >= FEWEST_MEASURED else LEAST_GAIN_OF_FEW
    return bool(gain.mean() > least * gain.std(ddof=1) / np.sqrt(len(gain)))


def adaptation_weights(
    predictions: FloatArray, y: FloatArray, sample_weight: FloatArray | None = None
) -> FloatArray:
    """Return convex weights of members from their predictions of held-out labels, shape (K,).

    The weights of the smallest mean absolute error, see `stack_weights`, are drawn toward weights
    that fall with a high power of each member's own error: few labels tell which members are good,
    but not how they go together. With n labels the first have the share ``n / (n + 30)``.

    Parameters
    ----------
    predictions : ndarray of float64, shape (K, n) or (K, n, classes)
        Predictions of each member; probabilities are weighed by their log loss instead, see
        `mixture_weights`.
    y : ndarray of float64, shape (n,)
        Labels, or numbers of the classes.
    sample_weight : ndarray of float64, shape (n,), optional
        Weight of each label.
    """
    kind, solve = (
        (Classifier, mixture_weights) if predictions.ndim > 2 else (Regressor, stack_weights)  # noqa: PLR2004
    )
    rows = np.stack([kind.row_errors(one, y) for one in predictions])
    errors = np.average(rows, axis=1, weights=sample_weight)
    if errors.min() == 0:
        alone = (errors == 0).astype(float)
    else:
        alone = (errors.min() / errors) ** SHARPNESS
    share = len(y) / (len(y) + FEW_LABELS)
    together = solve(predictions, y, sample_weight)
    return np.asarray(share * together + (1 - share) * alone / alone.sum())


def _fold_labels(
    labels: Labelled,
    fresh: NDArray[np.bool_] | None,
    n_folds: int,
    rng: np.random.Generator,
    *,
    classes: int,
) -> IntArray | None:
    """Return the fold of each label, shape (n,), -1 for those that cannot be held out.

    Returns None if fewer than two formulas can be held out.
    """
    told = np.ones(len(labels.y), dtype=bool) if fresh is None else fresh
    names = (np.arange(len(labels.y)) if labels.groups is None else labels.groups)[told]
    if not len(names) or (names == names[0]).all():
        return None
    folds = np.full(len(labels.y), -1)
    if classes:
        folds[told] = deal_classes(names, labels.y[told], n_folds, rng)
    else:
        folds[told] = deal_folds(names, n_folds, rng)
    return folds
