"""The audit of a split: how far out of distribution the test rows of each fold are."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.chem.elements import SYMBOLS
from xtalshift.chem.writing import readable_key
from xtalshift.errors import SplitError
from xtalshift.metrics import correct_holm
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import derive_seed
from xtalshift.splits.audit.class_shift import class_shares, unlabelled_shares
from xtalshift.splits.audit.findings import AuditSettings, FoldAudit, SplitAudit, label
from xtalshift.splits.audit.shift_measures import (
    ResidualTest,
    distance_ratio,
    residual_test,
    target_shift,
    two_sample,
)
from xtalshift.splits.feature_space import check_features
from xtalshift.splits.splitter import Fold, IntArray, Rows

FloatArray = NDArray[np.float64]

_MIN_CLASS = 10
"""Fewest formulas of either side for a classifier."""
_N_EXAMPLES = 5


@dataclass(frozen=True, eq=False)
class AuditTable:
    """A table prepared once for the audits of many folds."""

    X: NDArray[Any]
    """Shape (n, d). Features, finite or NaN."""
    y: FloatArray | None
    """Shape (n,). Targets; unknown where not finite."""
    names: NDArray[Any]
    """Shape (n_groups,). Distinct reduced formulas, sorted."""
    numbers: IntArray
    """Shape (n,). Place of each row's formula among them."""
    elements: NDArray[np.bool_] | None
    """Shape (n_groups, 118). Which formula contains which element; None if a formula cannot be
    read."""
    unreadable: str
    """The reason."""
    random_mae: float | None
    """As in `SplitAudit`."""
    classes: tuple[str, ...] | None = None
    """Names of the classes, if the targets are their numbers."""

    @classmethod
    def of(cls, rows: Rows, *, classes: tuple[str, ...] | None = None, seed: int = 0) -> Self:
        """Prepare a table; raise `SplitError` if there is no feature or one is infinite."""
        n_formulas = len(rows.names)
        compositions, reasons = rows.parsed_names
        bad = np.flatnonzero(reasons != "")
        unreadable = ""
        if len(bad):
            unreadable = f"{len(bad)} of {n_formulas} formulas cannot be read, such as "
            unreadable += repr(rows.names.tolist()[bad[0]])
        return cls(
            check_features(rows.X),
            rows.y,
            rows.names,
            rows.numbers,
            None if len(bad) else compositions.contained_elements(),
            unreadable,
            None
            if rows.y is None or classes is not None
            else _random_mae(rows.y, rows.numbers, n_formulas, seed),
            classes,
        )

    def first_rows(self, rows: IntArray) -> IntArray:
        """Return the first of `rows` of each formula."""
        return rows[np.unique(self.numbers[rows], return_index=True)[1]]

    def with_target(self, rows: IntArray) -> IntArray:
        """Return those of `rows` whose target is known."""
        return rows[:0] if self.y is None else rows[np.isfinite(self.y[rows])]


def audit_split(
    folds: Iterable[Fold],
    X: ArrayLike | Rows,
    y: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    *,
    classes: tuple[str, ...] | None = None,
    settings: AuditSettings | None = None,
    progress: Progress = NO_PROGRESS,
    name: str = "",
) -> SplitAudit:
    """Measure how far the test rows of every fold are from its training rows.

    Parameters
    ----------
    folds : iterable of Fold
        Row numbers of the table.
    X, y, groups
        As in `Splitter.folds`; NaN is allowed, and targets that are not finite are unknown.
    classes : tuple of str, optional
        Names of the classes, if the targets are their numbers: their shares are compared then.
    settings : AuditSettings, optional
        Thresholds and sizes of samples.
    progress : Progress
        Listener, one step per fold.
    name : str
        Name of the split.

    Returns
    -------
    SplitAudit

    Raises
    ------
    SplitError
        If lengths differ, there is no feature or one is infinite, or a fold names a row that the
        table does not have.
    """
    settings = settings or AuditSettings()
    rows = Rows.of(X, y, groups)
    table = AuditTable.of(rows, classes=classes, seed=derive_seed(settings.seed, "random folds"))
    audits = []
    with progress.task(
        f"audit {name}".strip(), len(folds) if isinstance(folds, Sized) else None
    ) as task:
        for fold in folds:
            audits.append(audit_fold(fold, table, settings=settings))
            task.advance()
    corrected = correct_holm(np.array([_or_nan(found.relation_p) for found in audits]))
    audits = [
        found if found.relation_p is None else label(replace(found, relation_p=float(p)), settings)
        for found, p in zip(audits, corrected, strict=True)
    ]
    return SplitAudit(name, len(table.X), table.random_mae, settings, tuple(audits))


def audit_fold(
    fold: Fold, table: AuditTable, *, settings: AuditSettings | None = None
) -> FoldAudit:
    """Measure how far the test rows of one fold are from its training rows.

    Raises `SplitError` if the fold names a row that the table does not have.
    """
    settings = settings or AuditSettings()
    rows = np.concatenate(list(fold.parts.values())).astype(np.int64)
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(table.X):
        wrong = rows.min() if rows.min() < 0 else rows.max()
        raise SplitError(
            f"fold {fold.name!r} has row {wrong} (counted from 0); the table has "
            f"{len(table.X)} rows"
        )
    seed = derive_seed(settings.seed, "audit", fold.name)
    audit = FoldAudit(
        name=fold.name,
        n_train=len(fold.train),
        n_val=len(fold.val),
        n_target=len(fold.target),
        n_test=len(fold.test),
        n_unused=len(table.X) - len(np.unique(rows)),
        train_share=len(fold.train) / len(table.X) if len(table.X) else 0.0,
        note=fold.note,
    )
    audit = _add_leaks(audit, fold, table)
    audit = _add_elements(audit, fold, table)
    audit = _add_features(audit, fold, table, settings, seed)
    if table.classes is not None:
        return label(_add_classes(audit, fold, table, table.classes, settings, seed), settings)
    audit = _add_targets(audit, fold, table)
    return label(_add_relation(audit, fold, table, settings, seed), settings)


def _miss(audit: FoldAudit, *measures: str, reason: str) -> FoldAudit:
    return replace(audit, missing=audit.missing | dict.fromkeys(measures, reason))


def _add_leaks(audit: FoldAudit, fold: Fold, table: AuditTable) -> FoldAudit:
    formulas = {part: np.unique(table.numbers[rows]) for part, rows in fold.parts.items()}
    others = np.concatenate([formulas[part] for part in ("train", "val", "target")])
    shared = np.intersect1d(formulas["test"], others)
    everywhere = np.concatenate(list(formulas.values())).astype(np.int64)
    once = np.concatenate([np.unique(rows) for rows in fold.parts.values()]).astype(np.int64)
    return replace(
        audit,
        shared_formulas=len(shared),
        shared_examples=tuple(readable_key(name) for name in table.names[shared[:_N_EXAMPLES]]),
        val_shared_formulas=len(np.intersect1d(formulas["train"], formulas["val"])),
        formulas_in_two_parts=int((np.bincount(everywhere) > 1).sum()),
        rows_on_both_sides=int((np.bincount(once) > 1).sum()),
    )


def _unseen(
    table: AuditTable, elements: NDArray[np.bool_], train: IntArray, rows: IntArray
) -> NDArray[np.bool_]:
    """Return which of `rows` has which element that no training row has, shape (n, 118)."""
    seen = elements[np.unique(table.numbers[train])].any(axis=0)
    return elements[table.numbers[rows]] & ~seen


def _add_elements(audit: FoldAudit, fold: Fold, table: AuditTable) -> FoldAudit:
    if table.elements is None:
        return _miss(audit, "unseen_elements", reason=table.unreadable)
    unseen = _unseen(table, table.elements, fold.train, fold.test)
    counts = unseen.sum(axis=0)
    order = [z for z in np.argsort(-counts, kind="stable") if counts[z]]
    return replace(
        audit,
        unseen_elements=tuple(SYMBOLS[z + 1] for z in order),
        n_unseen=int(unseen.any(axis=1).sum()),
    )


def _add_features(
    audit: FoldAudit, fold: Fold, table: AuditTable, settings: AuditSettings, seed: int
) -> FoldAudit:
    train, test = (table.X[table.first_rows(rows)] for rows in (fold.train, fold.test))
    n_max, sizes = settings.n_max, f"{len(train)} training and {len(test)} test formulas"
    points = np.vstack([train, test])
    if len(points) > 1 and not (np.nan_to_num(points) != np.nan_to_num(points[0])).any():
        return _miss(audit, "distance_ratio", "auc", reason="no feature varies")
    if len(test) < 1 or len(train) < 2:  # noqa: PLR2004  # a neighbour for each training formula
        reason = f"{sizes}; at least 2 and 1 are needed"
        audit = _miss(audit, "distance_ratio", reason=reason)
    else:
        distances = distance_ratio(
            train, test, n_queries=n_max, n_references=settings.n_references, seed=seed
        )
        audit = replace(
            audit,
            distance_ratio=distances.ratio,
            median_test=distances.median_test,
            median_train=distances.median_train,
        )
    if not settings.classifier:
        return _miss(audit, "auc", reason="switched off by classifier = false")
    if min(len(train), len(test)) < _MIN_CLASS:
        return _miss(audit, "auc", reason=f"{sizes}; at least {_MIN_CLASS} of each are needed")
    found = two_sample(train, test, n_max=n_max, seed=seed)
    return replace(
        audit,
        auc=found.auc,
        auc_low=found.low,
        auc_high=found.high,
        ess=found.ess,
        ess_share=found.ess_share,
    )


def _add_targets(audit: FoldAudit, fold: Fold, table: AuditTable) -> FoldAudit:
    train, test = (table.with_target(rows) for rows in (fold.train, fold.test))
    if table.y is None:
        return _miss(audit, "wasserstein", "dummy_mae", reason="there are no targets")
    if not len(train) or not len(test):
        reason = f"{len(train)} training and {len(test)} test rows with a target; one of each is "
        return _miss(audit, "wasserstein", "dummy_mae", reason=reason + "needed")
    wasserstein, ks = target_shift(table.y[train], table.y[test])
    error = _dummy_mae(table.y[train], table.y[test])
    audit = replace(audit, wasserstein=wasserstein, ks=ks, dummy_mae=error)
    if not table.random_mae:
        reason = f"the error of random folds is {table.random_mae}"
        return _miss(audit, "dummy_over_random", reason=reason)
    return replace(audit, dummy_over_random=error / table.random_mae)


def _add_classes(
    audit: FoldAudit,
    fold: Fold,
    table: AuditTable,
    classes: tuple[str, ...],
    settings: AuditSettings,
    seed: int,
) -> FoldAudit:
    train, test = (table.with_target(rows) for rows in (fold.train, fold.test))
    if table.y is None or not len(train) or not len(test):
        reason = f"{len(train)} training and {len(test)} test rows with a class; one of each is "
        return _miss(audit, "class_distance", reason=reason + "needed")
    found = class_shares(table.y[train], table.y[test], len(classes))

    def named(shares: FloatArray) -> dict[str, float]:
        return dict(zip(classes, shares.tolist(), strict=True))

    audit = replace(
        audit,
        class_distance=found.distance,
        shares_train=named(found.train),
        shares_test=named(found.test),
        unseen_classes=tuple(classes[number] for number in found.unseen),
        n_unseen_classes=found.n_unseen,
    )
    if not settings.relation:
        return audit
    known, asked = table.first_rows(train), table.first_rows(test)
    told = unlabelled_shares(
        table.X[known],
        table.y[known],
        table.X[asked],
        len(classes),
        n_max=settings.n_relation,
        seed=seed,
    )
    if told is None:
        return audit
    return replace(
        audit,
        shares_estimated=named(told.shares),
        shares_low=named(told.low),
        shares_high=named(told.high),
    )


def _add_relation(
    audit: FoldAudit, fold: Fold, table: AuditTable, settings: AuditSettings, seed: int
) -> FoldAudit:
    if not settings.relation:
        return _miss(audit, "relation_shift", reason="switched off by relation = false")
    if table.y is None:
        return _miss(audit, "relation_shift", reason="there are no targets")
    found, n_unlike = compare_relation(
        table, fold.train, fold.test, n_max=settings.n_relation, seed=seed
    )
    audit = replace(audit, n_supported=found.n_supported, share_supported=found.share_supported)
    if not found.tested:
        further = f"; {n_unlike} further test formulas have elements that training lacks"
        reason = found.reason + (further if n_unlike else "")
        return _miss(audit, "relation_shift", reason=reason)
    return replace(audit, relation_shift=found.shift, relation_p=found.p_value)


def compare_relation(
    table: AuditTable, train: IntArray, test: IntArray, *, n_max: int = 5000, seed: int
) -> tuple[ResidualTest, int]:
    """Compare the residuals of two sets of rows, one row per formula, where they are alike.

    Parameters
    ----------
    table : AuditTable
        With targets; rows without a target are not used.
    train, test : ndarray of int
        Row numbers.
    n_max, seed
        As in `residual_test`.

    Returns
    -------
    result : ResidualTest
        Test formulas with an element that training lacks count as not supported: however near
        their features are, the training rows hold no information on such an element.
    n_unlike : int
        Number of such formulas.
    """
    known, asked = (table.first_rows(table.with_target(rows)) for rows in (train, test))
    n_test, n_unlike = len(asked), 0
    if table.elements is not None:
        unlike = _unseen(table, table.elements, train, asked).any(axis=1)
        n_unlike, asked = int(unlike.sum()), asked[~unlike]
    if table.y is None:
        raise SplitError("the residual test needs targets: pass y")
    result = residual_test(
        table.X[known], table.y[known], table.X[asked], table.y[asked], n_max=n_max, seed=seed
    )
    share = result.share_supported * len(asked) / max(1, n_test)
    return result._replace(share_supported=share), n_unlike


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


def _dummy_mae(y_train: FloatArray, y_test: FloatArray) -> float:
    return float(np.abs(y_test - y_train.mean()).mean())


def _random_mae(y: FloatArray, numbers: IntArray, n_groups: int, seed: int) -> float | None:
    """Return the error of the training mean, averaged over five random whole-formula folds."""
    known = np.isfinite(y)
    part = np.random.default_rng(seed).permutation(n_groups)[numbers] % 5
    errors = [
        _dummy_mae(y[known & ~test], y[test])
        for test in (known & (part == k) for k in range(5))
        if test.any() and (known & ~test).any()
    ]
    return float(np.mean(errors)) if errors else None
