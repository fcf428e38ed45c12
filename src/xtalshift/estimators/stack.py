"""A stack: members fitted to the same rows, combined with weights from a cross-fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from xtalshift.errors import ConfigError, TrainingError, XtalshiftError
from xtalshift.estimators.base import (
    MIN_ROWS_TO_SPLIT,
    FitData,
    Labelled,
    Regressor,
    fit_clone,
    join_rows,
)
from xtalshift.estimators.mixture import mix
from xtalshift.estimators.predictors import Predictor
from xtalshift.estimators.stack_predictor import (
    FittedMember,
    MemberScale,
    ScaleName,
    StackPredictor,
)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

LEAST_WEIGHT = 0.01
"""Members with less are left out."""
LEAST_STD = 0.1
"""Share of the error that the members' standard deviation never falls below."""
FULL_FOLDS = 4000
"""Largest number of rows that are all predicted in the cross-fit; more only cost time."""


@dataclass(frozen=True, eq=False)
class Member:
    """A regressor of a stack, not fitted."""

    name: str
    """Name in cards and reports."""
    regressor: Regressor
    scale: ScaleName = "none"
    """Scale of the target that it is fitted on, see `MemberScale`."""
    min_rows: int = 0
    """Rows from which it is worth its time; with fewer it is left out."""
    without: frozenset[str] = frozenset()
    """Blocks of features that it does not use; it is left out if there are no others."""
    needs: frozenset[str] = frozenset()
    """Blocks of features without which it is left out: it would be the same as another member."""

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
    """Shape (m,). Predictions of the stack."""
    std: FloatArray
    """Shape (m,). Their standard deviation, as `predict_std` returns it."""


@dataclass(eq=False, repr=False, kw_only=True)
class StackRegressor(StackPredictor, Regressor):
    """A convex combination of regressors with weights that minimise the error of a cross-fit.

    Each member predicts each row by a fit to other folds (Wolpert, Neural Networks 5, 241, 1992;
    Breiman, Mach. Learn. 24, 49, 1996: weights that are not negative). The weights sum to 1 and
    minimise the mean absolute error of these predictions, in the unit of the target, see
    `stack_weights`. Members with a weight are then fitted to all rows. Validation rows are training
    rows here: the folds choose.

    Parameters
    ----------
    members : sequence of Member
        What to combine.
    n_folds : int, default 5
        Number of folds. No formula (``groups`` of `fit`) is in two. Of more than 4,000 rows only so
        many folds are predicted that they hold 4,000.
    margin : float, default 0.5
        The predictions of each member are cut at this share of the range of the targets below the
        smallest and above the largest target: linear members may extrapolate, but not far.
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
    out_of_fold_ : OutOfFold or None
        Predictions of the cross-fit; None with fewer than 10 rows.
    """

    members: Sequence[Any] = field(default=(), kw_only=False)
    n_folds: int = 5
    margin: float = 0.5

    uses: ClassVar[frozenset[str]] = frozenset({"blocks"})

    def _fit(self, data: FitData) -> None:
        self._check()
        self.errors_: dict[str, float] = {}
        self.failures_: dict[str, str] = {}
        self.out_of_fold_: OutOfFold | None = None
        rows, folds = data.train, None
        # fewer rows than can be divided serve for both
        apart = not np.array_equal(rows.X, data.validation.X, equal_nan=True)
        if apart and len(rows.y) + len(data.validation.y) >= MIN_ROWS_TO_SPLIT:
            rows = join_rows(data.train, data.validation)
            folds = _make_folds(rows, self.n_folds, data.rng)
        span = self.margin * float(np.ptp(rows.y))
        self.bounds_ = np.array([rows.y.min() - span, rows.y.max() + span])
        # one file cannot keep the state of many fits
        data = replace(data, train=rows, checkpoint=None)
        members = self._usable(data)
        self.least_std_, held_out = 0.0, None
        if folds is None:  # too few to hold any out
            views = [_View.of(member, data) for member in members]
            fits = [(one, one.fit_whole, 1 / len(views)) for one in views]
        else:
            fits, found = self._choose(members, data, folds)
            held_out = found, folds >= 0
        fitted = []
        with data.progress.task("members on all rows", len(fits)) as task:
            for one, fit_all, weight in fits:
                name = one.member.name
                fitted.append(FittedMember(name, weight, one.scale, one.columns, fit_all()))
                task.advance()
        self.members_ = tuple(fitted)
        if held_out is not None:
            found, told = held_out
            center = mix(found, self.weights_)
            error = np.average(np.abs(center - rows.y[told]), weights=_weights(rows, told))
            self.least_std_ = LEAST_STD * float(error)
            self.out_of_fold_ = OutOfFold(np.flatnonzero(told), center, self._spread(found))

    def _usable(self, data: FitData) -> list[Member]:
        """Return the members for this number of rows and these blocks of features."""
        rows, blocks = data.train, data.blocks
        found = [
            one
            for one in self.members
            if len(rows.y) >= one.min_rows
            and one.needs <= blocks.keys()
            and one.columns(blocks, rows.X.shape[1]).any()
        ]
        if not found:
            raise ConfigError(f"no member of the stack uses the features {', '.join(blocks)}")
        return found

    def _choose(
        self, members: list[Member], data: FitData, folds: IntArray
    ) -> tuple[list[Chosen], FloatArray]:
        """Return the members with a weight, and their predictions of the rows of the folds."""
        rows, told = data.train, folds >= 0
        share = _weights(rows, told)
        fits: list[tuple[_View, FitAll]] = []
        columns: list[FloatArray] = []
        seeds = data.rng.spawn(len(members))
        with data.progress.task("members", len(members)) as task:
            for member, rng in zip(members, seeds, strict=True):
                one = _View.of(member, replace(data, rng=rng))
                try:
                    found = member.regressor.cross_fit(one.data, folds)
                    column = np.clip(one.scale.inverse(found.predictions[told]), *self.bounds_)
                    if not np.isfinite(column).all():
                        raise TrainingError("its predictions are not finite")
                except XtalshiftError as error:
                    self.errors_[member.name] = np.inf
                    self.failures_[member.name] = str(error)
                    data.progress.say(f"  {member.name} is left out: {error}")
                else:
                    deviation = np.abs(column - rows.y[told])
                    self.errors_[member.name] = float(np.average(deviation, weights=share))
                    fits.append((one, found.fit_all))
                    columns.append(column)
                task.advance(val_mae=min(self.errors_.values()))
        if not fits:
            raise TrainingError(f"no member could be fitted: {next(iter(self.failures_.values()))}")
        predictions = np.stack(columns)
        weights = stack_weights(predictions, rows.y[told], share)
        kept = np.flatnonzero(weights >= LEAST_WEIGHT)
        weights = weights[kept] / weights[kept].sum()
        chosen = [
            (*fits[place], float(weight)) for place, weight in zip(kept, weights, strict=True)
        ]
        return chosen, predictions[kept]

    def _check(self) -> None:
        names = [member.name for member in self.members]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"a stack needs members with different names, got {names}")
        if min(member.min_rows for member in self.members) > 0:
            raise ConfigError("a stack needs a member for any number of rows (min_rows = 0)")
        if self.n_folds < 2:  # noqa: PLR2004
            raise ConfigError(f"n_folds = {self.n_folds}; expected at least 2")
        if self.margin < 0:
            raise ConfigError(f"margin = {self.margin}; expected a number from 0")

    def describe_members(self) -> list[dict[str, Any]]:
        """Return name, weight and cross-fit error of all members, the largest weights first.

        The error is None for a member that failed, or if there are too few rows for folds.
        """
        weights = {one.name: one.weight for one in self.members_}
        errors = dict.fromkeys(weights, np.inf) | self.errors_
        return [
            {
                "name": name,
                "weight": weights.get(name, 0.0),
                "mae": errors[name] if np.isfinite(errors[name]) else None,
            }
            for name in sorted(errors, key=lambda one: (-weights.get(one, 0.0), errors[one], one))
        ]

    @property
    def cross_fits(self) -> bool:
        """Yes: `out_of_fold_` has predictions of rows by models that were not fitted to them."""
        return True

    @property
    def selects(self) -> bool:
        """No: validation rows are training rows."""
        return False


@dataclass(frozen=True, eq=False)
class _View:
    """A member and the rows as it sees them: its columns, and the target on its scale."""

    member: Member
    columns: BoolArray
    scale: MemberScale
    data: FitData

    @classmethod
    def of(cls, member: Member, data: FitData) -> _View:
        rows = data.train
        columns = member.columns(data.blocks, rows.X.shape[1])
        scale = MemberScale.of(member.scale, rows.y)
        X = rows.X if columns.all() else rows.X[:, columns]
        seen = replace(rows, X=X, y=scale.forward(rows.y))
        return cls(member, columns, scale, replace(data, train=seen))

    def fit_whole(self) -> Predictor:
        rows = self.data.train
        return fit_clone(self.member.regressor, self.data, rows, rows)


FitAll = Callable[[], Predictor]
Chosen = tuple[_View, FitAll, float]


def _weights(rows: Labelled, told: NDArray[np.bool_]) -> FloatArray | None:
    return None if rows.weights is None else rows.weights[told]


def _make_folds(rows: Labelled, n_folds: int, rng: np.random.Generator) -> IntArray | None:
    """Return the fold of each row, shape (n,), -1 for rows that are never held out.

    Returns None if all rows have the same formula.
    """
    names = np.arange(len(rows.y)) if rows.groups is None else rows.groups
    numbers = np.unique(names, return_inverse=True)[1]
    n_groups = int(numbers.max()) + 1
    if n_groups == 1:
        return None
    folds = rng.permutation(n_groups)[numbers] % min(n_folds, n_groups)
    predicted = max(1, round(FULL_FOLDS * n_folds / len(rows.y)))
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
    unit = float((np.abs(predictions - y) @ share).min()) or 1.0
    # variables: weights, then positive and negative part of each residual
    costs = np.concatenate([np.zeros(k), share, share])
    rows = sparse.eye_array(n)
    equalities = sparse.block_array(
        [
            [sparse.csr_array(predictions.T / unit), rows, -rows],
            [sparse.csr_array(np.ones((1, k))), None, None],
        ],
        format="csr",
    )
    right = np.append(y / unit, 1.0)
    found = linprog(costs, A_eq=equalities, b_eq=right, bounds=(0, None), method="highs")
    if found.x is None:
        raise TrainingError(f"no weights of the members found: {found.message}")
    weights = np.maximum(found.x[:k], 0.0)
    return np.asarray(weights / weights.sum())
