"""A stack: members fitted to the same rows, combined with weights from a cross-fit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from xtalshift.errors import ConfigError, TrainingError, XtalshiftError
from xtalshift.estimators.base import (
    LEAST_PROBABILITY,
    MIN_ROWS_TO_SPLIT,
    Classifier,
    FitData,
    Labelled,
    Learner,
    Regressor,
    deal_classes,
    deal_folds,
    draw_seed,
    fingerprint,
    fit_clone,
    join_rows,
    likelihoods,
)
from xtalshift.estimators.mixture import describe, mix, mix_spread
from xtalshift.estimators.saved import ANY_MACHINE
from xtalshift.estimators.stack_predictor import (
    FittedMember,
    MemberScale,
    ScaleName,
    StackClassPredictor,
    StackPredictor,
)
from xtalshift.estimators.stack_state import Finished, StackState
from xtalshift.estimators.time_budget import OutOfTimeError, TimeBudget, describe_seconds

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

LEAST_WEIGHT = 0.03
"""Members with less are left out: they cost time and change the error by 0.02 %."""
LEAST_STD = 0.1
"""Share of the error that the members' standard deviation never falls below."""
SMALLEST = 1e-6
"""Share of the largest error below which errors are alike: the solver takes no larger ratios."""
LEARNED = frozenset({"pretrained"})
"""Blocks of features that are learned from other tables."""
LEAST_FRESH = 30
"""Fewest rows, not seen by what made the learned features, that can judge members with these."""
_PARTS = 5
_MOST_STEPS = 20_000
_NEAR = 1e-6
"""Excess of the log loss at which its weights are good enough."""
FULL_FOLDS = 2000
"""Largest number of rows that are all predicted in the cross-fit; more only cost time."""
FEW_HELD_OUT = 0.025
"""Share of the rows in the only fold up to which members are not fitted again with them: that would
double the time, and 2,000 of 80,000 rows more change nothing."""


@dataclass(frozen=True, eq=False)
class Member:
    """A regressor or classifier of a stack, not fitted."""

    name: str
    """Name in cards and reports."""
    regressor: Learner
    scale: ScaleName = "none"
    """Scale of the target that it is fitted on, see `MemberScale`."""
    min_rows: int = 0
    max_rows: int | None = None
    """`min_rows`, `max_rows`: rows from and up to which it is worth its time; else it is left
    out."""
    seconds: float = 0.0
    """Rough seconds that a fit to 1,000 rows takes, relative to other members. Time grows with the
    number of rows, up to `max_rows` of the regressor."""
    without: frozenset[str] = frozenset()
    """Blocks of features that it does not use; it is left out if there are no others."""
    needs: frozenset[str] = frozenset()
    """Blocks of features without which it is left out: it would be the same as another member, or
    of no use."""

    def effort(self, n: int) -> float:
        """Return the rough seconds of a fit to n rows."""
        most = getattr(self.regressor, "max_rows", None)
        return self.seconds * min(n, most or n) / 1000

    def columns(self, blocks: Mapping[str, range], n_features: int) -> BoolArray:
        """Return which features it uses, shape (n_features,).

        Parameters
        ----------
        blocks : mapping of range
            Columns of each block that there is.
        n_features : int
            Number of all columns.
        """
        used = np.ones(n_features, dtype=np.bool_)
        for name, columns in blocks.items():
            used[columns] = name not in self.without
        return used


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Predictions of rows by models that were not fitted to them."""

    rows: IntArray
    """Shape (m,). Row numbers: training rows first, then the validation rows."""
    center: FloatArray
    """Shape (m,). Predictions of the stack; of classes their probabilities, shape (m, classes)."""
    std: FloatArray
    """Shape (m,). Their standard deviation, as `predict_std` returns it; of classes the largest of
    that of a probability over the members."""
    folds: IntArray
    """Shape (m,). Fold of each row."""

    def without_own_weights(
        self,
        y: FloatArray,  # noqa: ARG002 - of `CrossFitted`
        groups: NDArray[Any],  # noqa: ARG002
        sample_weight: FloatArray | None = None,  # noqa: ARG002
    ) -> FloatArray:
        """Return predictions with weights from other rows: here `center` itself."""
        return self.center


@dataclass(frozen=True, eq=False)
class CrossFitted(OutOfFold):
    """The same of a stack of methods, with what its members predicted."""

    members: FloatArray
    """Shape (K, m) or (K, m, classes). Predictions of all members that could be fitted."""

    def without_own_weights(
        self, y: FloatArray, groups: NDArray[Any], sample_weight: FloatArray | None = None
    ) -> FloatArray:
        """Return predictions of the stack with weights from rows of other folds, as `center`.

        `center` is a little too good: its weights minimise the error of the same rows. Where only
        one fold was predicted, its formulas are dealt into five parts.

        Parameters
        ----------
        y : ndarray of float64, shape (m,)
            Targets.
        groups : ndarray of str, shape (m,)
            Reduced formulas.
        sample_weight : ndarray of float64, shape (m,), optional
            Weight of each row.
        """
        parts = self.folds
        if len(np.unique(parts)) == 1:
            parts = np.unique(groups.astype(str), return_inverse=True)[1] % _PARTS
        found = np.empty_like(self.center)
        for part in np.unique(parts):
            out, rest = parts == part, parts != part
            if not rest.any():  # a single formula
                return self.center
            share = None if sample_weight is None else sample_weight[rest]
            kept, weights = _kept_weights(self.members[:, rest], y[rest], share)
            found[out] = mix(self.members[np.ix_(kept, out)], weights)
        return found


@dataclass(eq=False, repr=False, kw_only=True)
class Stack(Learner):
    """A convex combination of members, of numbers or of classes: folds, budget, state.

    Parameters
    ----------
    members, n_folds, minutes, validation_fraction, random_state
        As in `StackRegressor`.
    """

    members: Sequence[Any] = field(default=(), kw_only=False)
    n_folds: int = 5
    minutes: float | None = None

    uses: ClassVar[frozenset[str]] = frozenset({"blocks", "fresh"})

    @abstractmethod
    def _begin(self, rows: Labelled) -> None:
        """Learn from all rows what the predictions of members need."""

    @abstractmethod
    def _column(self, scale: MemberScale, found: FloatArray) -> FloatArray:
        """Return the predictions of a member on the scale of the target."""

    @abstractmethod
    def _end(self, found: FloatArray, center: FloatArray, work: _Work) -> FloatArray:
        """Learn from the cross-fit of the members with a weight; return the `OutOfFold.std`."""

    def _fit(self, data: FitData) -> None:
        self._check()
        self.errors_: dict[str, float] = {}
        self.failures_: dict[str, str] = {}
        self.left_out_: dict[str, str] = {}
        self.out_of_fold_: CrossFitted | None = None
        rows, folds = data.train, None
        # fewer rows than can be divided serve for both
        apart = not np.array_equal(rows.X, data.validation.X, equal_nan=True)
        if apart and len(rows.y) + len(data.validation.y) >= MIN_ROWS_TO_SPLIT:
            rows = join_rows(data.train, data.validation)
            folds = _make_folds(rows, self.n_folds, data.rng, classes=data.classes)
        self._begin(rows)
        data = replace(data, train=rows)
        members = self._usable(data)
        seed = draw_seed(data.rng)
        views = {
            one.name: _View(one, one.columns(data.blocks, rows.X.shape[1]), rng)
            for one, rng in zip(members, data.rng.spawn(len(members)), strict=True)
        }
        state = self._open(views, data, folds, seed)
        budget = TimeBudget(self.minutes, state.seconds)
        if folds is None:  # too few to hold any out
            weights = dict.fromkeys(views, 1 / len(views))
        else:
            work = _Work({one.name: one for one in members}, rows, folds, budget, state)
            self._cross_fit(views, data, work)
            weights = work.weigh()
        fitted = []
        with data.progress.task("members on all rows", len(weights)) as task:
            for name, weight in weights.items():
                one = views[name]
                if name not in state.fitted:
                    state.fitted[name] = one.fit(data, state.finished.get(name))
                    state.save(budget.spent, data.progress)
                scale = one.scale(rows.y)
                fitted.append(FittedMember(name, weight, scale, one.columns, state.fitted[name]))
                task.advance()
        self.members_ = tuple(fitted)
        if folds is not None:
            found = np.stack([state.finished[name].predictions for name in weights])
            center = mix(found, self.weights_)
            told = np.flatnonzero(folds >= 0)
            everyone = np.stack([one.predictions for one in state.finished.values()])
            std = self._end(found, center, work)
            self.out_of_fold_ = CrossFitted(told, center, std, folds[told], everyone)
        state.remove()

    def _open(
        self, views: Mapping[str, _View], data: FitData, folds: IntArray | None, seed: int
    ) -> StackState:
        """Return what an earlier, killed fit has finished."""
        checkpoint = None
        if data.checkpoint is not None:
            from xtalshift.nn.checkpoint import Checkpoint  # loads PyTorch

            margin = getattr(self, "margin", None)
            how = [(self.n_folds, margin, seed, None if folds is None else folds.tolist())]
            what = f"{type(self).__name__} {how} {[one.describe() for one in views.values()]}"
            checkpoint = Checkpoint(data.checkpoint, fingerprint(what, data), seconds=0.0)
        known = {
            name: (one.member.regressor.regressor_name, int(one.columns.sum()))
            for name, one in views.items()
        }
        n_rows = 0 if folds is None else int((folds >= 0).sum())
        return StackState(checkpoint, n_rows, known, self.device, data.classes)

    def _usable(self, data: FitData) -> list[Member]:
        """Return the members for this number of rows and these blocks of features."""
        rows, blocks, members = data.train, data.blocks, list(self.members)
        there = set(blocks)
        if LEARNED & there and not _can_judge(rows):
            there -= LEARNED
            members = [replace(one, without=one.without | LEARNED) for one in members]
            data.progress.say(
                f"The {', '.join(LEARNED)} features are left out: fewer than {LEAST_FRESH} "
                "materials are new to their encoder, too few to judge them"
            )
        found = [
            one
            for one in members
            if one.min_rows <= len(rows.y) <= (one.max_rows or len(rows.y))
            and one.needs <= there
            and one.columns(blocks, rows.X.shape[1]).any()
        ]
        if not found:
            raise ConfigError(f"no member of the stack uses the features {', '.join(blocks)}")
        return found

    def _cross_fit(self, views: Mapping[str, _View], data: FitData, work: _Work) -> None:
        """Cross-fit the members that are not finished, those of the least effort first."""
        state, told = work.state, work.folds >= 0
        order = sorted(views.values(), key=lambda one: work.cross_effort(one.member))
        with data.progress.task("members", len(order)) as task:
            for one in order:
                name = one.member.name
                if name not in state.finished and name not in state.failures:
                    try:
                        self._cross_fit_one(one, data, work, always=one is order[0])
                    except OutOfTimeError as error:
                        self.left_out_[name] = str(error)
                    except XtalshiftError as error:
                        state.failures[name] = str(error)
                    state.save(work.budget.spent, data.progress)
                if name in state.finished:
                    deviation = self.row_errors(
                        state.finished[name].predictions, data.train.y[told]
                    )
                    self.errors_[name] = float(np.average(deviation, weights=work.share))
                else:
                    self.errors_[name] = np.inf
                task.advance(1, **{f"val_{self.metric}": min(self.errors_.values())})
        self.failures_ = dict(state.failures)
        if not state.finished:
            raise TrainingError(f"no member could be fitted: {next(iter(self.failures_.values()))}")

    def _cross_fit_one(self, one: _View, data: FitData, work: _Work, *, always: bool) -> None:
        """Cross-fit a member and keep the result; `always`: whatever time it takes."""
        seconds = np.inf if always else work.seconds_for(one.member)
        began = work.budget.spent
        seen = one.see(replace(data, progress=work.budget.watch(data.progress, seconds)))
        found = one.member.regressor.cross_fit(seen, work.folds)
        column = self._column(one.scale(data.train.y), found.predictions[work.folds >= 0])
        if not np.isfinite(column).all():
            raise TrainingError("its predictions are not finite")
        took = work.budget.spent - began
        work.budget.note(work.cross_effort(one.member), took)
        work.state.finished[one.member.name] = Finished(column, found.choice, took)
        if work.has_nearly_all and found.only is not None:
            work.state.fitted[one.member.name] = found.only

    def _check(self) -> None:
        names = [member.name for member in self.members]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"a stack needs members with different names, got {names}")
        if not any(member.min_rows == 0 and member.max_rows is None for member in self.members):
            raise ConfigError("a stack needs a member for any number of rows (min_rows = 0)")
        if self.n_folds < 2:  # noqa: PLR2004
            raise ConfigError(f"n_folds = {self.n_folds}; expected at least 2")

    def describe_members(self) -> list[dict[str, Any]]:
        """Return name, weight and cross-fit error of all members, the largest weights first.

        The error is None for a member that was left out, with the reason, or if there are too few
        rows for folds.
        """
        weights = {one.name: one.weight for one in self.members_}
        errors = dict.fromkeys(weights, np.inf) | self.errors_
        return describe(weights, errors, self.failures_ | self.left_out_, self.metric)

    @property
    def cross_fits(self) -> bool:
        """Yes: `out_of_fold_` has predictions of rows by models that were not fitted to them."""
        return True

    @property
    def selects(self) -> bool:
        """No: validation rows are training rows."""
        return False


@dataclass(eq=False, repr=False, kw_only=True)
class StackRegressor(Stack, StackPredictor, Regressor):
    """A convex combination of regressors with weights that minimise the error of a cross-fit.

    Each member predicts each row by a fit to other folds (Wolpert, Neural Networks 5, 241, 1992;
    Breiman, Mach. Learn. 24, 49, 1996: weights that are not negative). The weights sum to 1 and
    minimise the mean absolute error of these predictions, in the unit of the target, see
    `stack_weights`. Members with a weight are then fitted to all rows (with 80,000 rows and more
    they have seen nearly all already). Validation rows are training rows here: the folds choose.

    Parameters
    ----------
    members : sequence of Member
        What to combine.
    n_folds : int, default 5
        Least number of folds. No formula (``groups`` of `fit`) is in two. Of more than 2,000 rows
        only so many folds are predicted that they hold 2,000, at least one.
    margin : float, default 0.5
        The predictions of each member are cut at this share of the range of the targets below the
        smallest and above the largest target: linear members may extrapolate, but not far.
    minutes : float, optional
        Wall minutes for everything. Members are tried in the order of their effort; one that the
        time left is too short for is left out. The first is always fitted. What is learned then
        depends on the speed of the machine. By default all members are tried.
    validation_fraction, random_state
        As in `Regressor`; no rows are held out.

    Attributes
    ----------
    members_ : tuple of FittedMember
        Members with a weight.
    errors_ : dict of float
        Mean absolute error of each member in the cross-fit, by name; infinite if it failed.
    failures_ : dict of str
        Why members failed, by name.
    left_out_ : dict of str
        Why there was no time for members, by name.
    out_of_fold_ : CrossFitted or None
        Predictions of the cross-fit; None with fewer than 10 rows.
    """

    members: Sequence[Any] = field(default=(), kw_only=False)
    margin: float = 0.5

    def _check(self) -> None:
        super()._check()
        if self.margin < 0:
            raise ConfigError(f"margin = {self.margin}; expected a number from 0")

    def _begin(self, rows: Labelled) -> None:
        span = self.margin * float(np.ptp(rows.y))
        self.bounds_ = np.array([rows.y.min() - span, rows.y.max() + span])
        self.least_std_ = 0.0

    def _column(self, scale: MemberScale, found: FloatArray) -> FloatArray:
        return np.clip(scale.inverse(found), *self.bounds_)

    def _end(self, found: FloatArray, center: FloatArray, work: _Work) -> FloatArray:
        error = np.average(np.abs(center - work.y), weights=work.share)
        self.least_std_ = LEAST_STD * float(error)
        return self._spread(found)


@dataclass(eq=False, repr=False, kw_only=True)
class StackClassifier(Stack, StackClassPredictor, Classifier):
    """A convex combination of the probabilities of classifiers, as `StackRegressor`.

    The weights minimise the log loss of the cross-fit, see `mixture_weights`. Folds are dealt so
    that each class is in as many as it can be.

    Parameters
    ----------
    members : sequence of Member
        What to combine; their scale is ``"none"``.
    n_folds, minutes
        As in `StackRegressor`.
    validation_fraction, random_state
        As in `Classifier`; no rows are held out.

    Attributes
    ----------
    members_, failures_, left_out_, out_of_fold_
        As in `StackRegressor`.
    errors_ : dict of float
        Mean log loss of each member in the cross-fit, by name; infinite if it failed.
    """

    members: Sequence[Any] = field(default=(), kw_only=False)

    def _begin(self, rows: Labelled) -> None:
        """Nothing is needed."""

    def _column(self, scale: MemberScale, found: FloatArray) -> FloatArray:  # noqa: ARG002
        return found

    def _end(self, found: FloatArray, center: FloatArray, work: _Work) -> FloatArray:  # noqa: ARG002
        return np.asarray(mix_spread(found, self.weights_).max(axis=1))


@dataclass(frozen=True, eq=False)
class _View:
    """A member, and what it sees of the rows."""

    member: Member
    columns: BoolArray
    rng: np.random.Generator

    def scale(self, y: FloatArray) -> MemberScale:
        return MemberScale.of(self.member.scale, y)

    def see(self, data: FitData) -> FitData:
        """Return the rows with its columns, and the target on its scale."""
        rows = data.train
        X = rows.X if self.columns.all() else rows.X[:, self.columns]
        y = self.scale(rows.y).forward(rows.y)
        before = np.concatenate([[0], np.cumsum(self.columns)])  # kept columns before each
        blocks = {
            name: range(int(before[one.start]), int(before[one.stop]))
            for name, one in data.blocks.items()
        }
        rows = replace(rows, X=X, y=y)
        return replace(data, train=rows, rng=self.rng, checkpoint=None, blocks=blocks)

    def fit(self, data: FitData, finished: Finished | None) -> Any:
        """Return the member fitted to all rows, as its cross-fit has chosen if there was one."""
        seen, regressor = self.see(data), self.member.regressor
        if finished is None:
            return fit_clone(regressor, seen, seen.train, seen.train)
        return regressor.fit_chosen(seen, finished.choice)

    def describe(self) -> tuple[Any, ...]:
        """Return what distinguishes it from others, apart from the machine."""
        regressor, machine = self.member.regressor, {*ANY_MACHINE, "random_state"}
        settings = {k: v for k, v in regressor.get_params().items() if k not in machine}
        columns = self.columns.tolist()
        name = type(regressor).__name__
        return self.member.name, self.member.scale, columns, name, settings


@dataclass(frozen=True, eq=False)
class _Work:
    """The folds of a stack, the time for them, and what is finished."""

    members: Mapping[str, Member]
    rows: Labelled
    folds: IntArray
    budget: TimeBudget
    state: StackState

    @property
    def y(self) -> FloatArray:
        """Targets of the rows of the folds, shape (m,)."""
        return self.rows.y[self.folds >= 0]

    @property
    def share(self) -> FloatArray | None:
        """Their sample weights, shape (m,)."""
        return _weights(self.rows, self.folds >= 0)

    @property
    def has_nearly_all(self) -> bool:
        """Whether so few rows are held out that the cross-fit has fitted nearly all."""
        held_out = self.folds[self.folds >= 0]
        alone = held_out.min() == held_out.max()
        return bool(alone and len(held_out) <= FEW_HELD_OUT * len(self.folds))

    def cross_effort(self, member: Member) -> float:
        """Return the effort of the fits to all folds but one."""
        counts = np.bincount(self.folds[self.folds >= 0])
        n = len(self.folds)
        return sum(member.effort(n - int(count)) for count in counts[counts > 0])

    def seconds_for(self, member: Member) -> float:
        """Return the seconds that the cross-fit of a member may take.

        Raises
        ------
        OutOfTimeError
            If it will take longer.
        """
        if np.isinf(self.budget.seconds):
            return np.inf
        cross, whole = self.cross_effort(member), self._whole_effort(member)
        left = self.budget.left - self._reserve()
        if self.budget.expect(cross + whole) > left:
            needs = describe_seconds(self.budget.expect(cross + whole))
            raise OutOfTimeError(f"it needs about {needs}, and {describe_seconds(left)} were left")
        return left * cross / (cross + whole) if cross else left

    def weigh(self) -> dict[str, float]:
        """Return the weights of the finished members that have one, by name."""
        names = list(self.state.finished)
        predictions = np.stack([one.predictions for one in self.state.finished.values()])
        kept, weights = _kept_weights(predictions, self.y, self.share)
        return {names[place]: float(one) for place, one in zip(kept, weights, strict=True)}

    def _whole_effort(self, member: Member) -> float:
        """Return the effort of the fit to all rows."""
        return 0.0 if self.has_nearly_all else member.effort(len(self.folds))

    def _reserve(self) -> float:
        """Return the seconds for the fits to all rows of the members that now have a weight."""
        seconds = 0.0
        for name in self.weigh() if self.state.finished else ():
            member = self.members[name]
            share = self._whole_effort(member) / (self.cross_effort(member) or np.inf)
            seconds += share * self.state.finished[name].seconds
        return seconds


def _kept_weights(
    predictions: FloatArray, y: FloatArray, share: FloatArray | None
) -> tuple[IntArray, FloatArray]:
    """Return the numbers of the members that keep a weight, and their weights.

    Predictions of shape (K, m, classes) are probabilities.
    """
    solve = stack_weights if predictions.ndim == 2 else mixture_weights  # noqa: PLR2004
    weights = solve(predictions, y, share)
    kept = np.flatnonzero(weights >= min(LEAST_WEIGHT, weights.max()))
    return kept, solve(predictions[kept], y, share)


def _weights(rows: Labelled, told: NDArray[np.bool_]) -> FloatArray | None:
    return None if rows.weights is None else rows.weights[told]


def _can_judge(rows: Labelled) -> bool:
    """Return whether enough rows can tell how good members with learned features are."""
    return rows.fresh is None or int(rows.fresh.sum()) >= LEAST_FRESH


def _make_folds(
    rows: Labelled, n_folds: int, rng: np.random.Generator, *, classes: int = 0
) -> IntArray | None:
    """Return the fold of each row, shape (n,), -1 for rows that are never held out.

    Learned features of a material that they were learned from may contain its very target, so that
    such rows judge no member. Returns None if all rows that judge have the same formula.
    """
    n = len(rows.y)
    judges = np.ones(n, dtype=np.bool_) if rows.fresh is None else rows.fresh
    if not _can_judge(rows):  # then no member has learned features
        judges = np.ones(n, dtype=np.bool_)
    names = (np.arange(n) if rows.groups is None else rows.groups)[judges]
    if (names == names[0]).all():
        return None
    # no fold of more rows than are needed: the others train
    n_judges = int(judges.sum())
    n_folds = max(n_folds, n_judges // FULL_FOLDS)
    folds = np.full(n, -1)
    if classes:
        folds[judges] = deal_classes(names, rows.y[judges], n_folds, rng)
    else:
        folds[judges] = deal_folds(names, n_folds, rng)
    predicted = max(1, round(FULL_FOLDS * n_folds / n_judges))
    return np.where(folds < predicted, folds, -1)


def stack_weights(
    predictions: FloatArray, y: FloatArray, sample_weight: FloatArray | None = None
) -> FloatArray:
    """Return the convex weights of the smallest (weighted) mean absolute error.

    They minimise ``mean_i |y_i - sum_k w_k p_ki|`` over ``w_k >= 0`` with the sum 1: a linear
    program. The squared error would be ruled by a few outliers.

    Parameters
    ----------
    predictions : ndarray of float64, shape (K, n)
        Predictions of each member.
    y : ndarray of float64, shape (n,)
        Targets.
    sample_weight : ndarray of float64, shape (n,), optional
        Weight of each row.

    Returns
    -------
    ndarray of float64, shape (K,)
    """
    k, n = predictions.shape
    share = np.full(n, 1 / n) if sample_weight is None else sample_weight / sample_weight.sum()
    # as the weights sum to 1, the errors can be mixed instead of the predictions
    errors = predictions - y
    unit = max(float((np.abs(errors) @ share).min()), SMALLEST * float(np.abs(errors).max())) or 1.0
    # variables: weights, then positive and negative part of each residual
    costs = np.concatenate([np.zeros(k), share, share])
    rows = sparse.eye_array(n)
    equalities = sparse.block_array(
        [
            [sparse.csr_array(errors.T / unit), rows, -rows],
            [sparse.csr_array(np.ones((1, k))), None, None],
        ],
        format="csr",
    )
    right = np.append(np.zeros(n), 1.0)
    found = linprog(costs, A_eq=equalities, b_eq=right, bounds=(0, None), method="highs")
    if found.x is None:
        raise TrainingError(f"no weights of the members found: {found.message}")
    weights = np.maximum(found.x[:k], 0.0)
    return np.asarray(weights / weights.sum())


def mixture_weights(
    probabilities: FloatArray, y: FloatArray, sample_weight: FloatArray | None = None
) -> FloatArray:
    """Return the convex weights of the smallest (weighted) log loss.

    They minimise ``-mean_i log sum_k w_k p_ki`` over ``w_k >= 0`` with the sum 1, where ``p_ki`` is
    the probability that member k gives to the class of row i: a convex problem, solved by the EM
    algorithm for the shares of a mixture (Dempster, Laird and Rubin, J. R. Stat. Soc. B 39, 1,
    1977), ``w_k <- w_k mean_i p_ki / sum_j w_j p_ji``. At any step the loss is at most
    ``log max_k mean_i p_ki / sum_j w_j p_ji`` above the smallest one, which tells when to stop.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (K, n, classes)
        Of each member.
    y : ndarray of float64, shape (n,)
        Numbers of the classes.
    sample_weight : ndarray of float64, shape (n,), optional
        Weight of each row.

    Returns
    -------
    ndarray of float64, shape (K,)
    """
    k, n = probabilities.shape[:2]
    share = np.full(n, 1 / n) if sample_weight is None else sample_weight / sample_weight.sum()
    own = np.stack([np.maximum(likelihoods(one, y), LEAST_PROBABILITY) for one in probabilities])
    weights = np.full(k, 1 / k)
    for _ in range(_MOST_STEPS):
        gain = (own / (weights @ own)) @ share
        if np.log(gain.max()) < _NEAR:
            break
        weights = weights * gain
    return np.asarray(weights / weights.sum())
