"""The audit of a split: how far out of distribution the test rows of each fold really are."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.elements import SYMBOLS
from xtalshift.errors import SplitError
from xtalshift.metrics import correct_holm
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import derive_seed
from xtalshift.splits.audit.findings import AuditSettings, FoldAudit, SplitAudit, find
from xtalshift.splits.audit.residuals import ResidualTest, residual_test
from xtalshift.splits.audit.shift_measures import distance_ratio, target_shift, two_sample
from xtalshift.splits.base import Fold
from xtalshift.splits.grouped_rows import IntArray, check_rows, group_numbers
from xtalshift.splits.space import check_features

__all__ = [
    "AuditSettings",
    "AuditTable",
    "FoldAudit",
    "SplitAudit",
    "audit_fold",
    "audit_split",
    "compare_relation",
]

FloatArray = NDArray[np.float64]

_MIN_CLASS = 10
"""Fewest formulas of either side for a classifier."""
_N_EXAMPLES = 5


@dataclass(frozen=True, eq=False)
class AuditTable:
    """A table prepared once for the audits of many folds.

    Attributes
    ----------
    X : ndarray of float, shape (n, d)
        Features, finite or NaN.
    y : ndarray of float, shape (n,), optional
        Targets; those that are not finite are unknown.
    names : ndarray, shape (n_groups,)
        Distinct reduced formulas, sorted.
    numbers : ndarray of int, shape (n,)
        The place of each row's formula among them.
    elements : ndarray of bool, shape (n_groups, 118), optional
        Which formula has which element; None if formulas cannot be read.
    unreadable : str
        Why not.
    random_mae : float, optional
        As in `SplitAudit`.
    """

    X: NDArray[Any]
    y: FloatArray | None
    names: NDArray[Any]
    numbers: IntArray
    elements: NDArray[np.bool_] | None
    unreadable: str
    random_mae: float | None

    @classmethod
    def of(cls, X: ArrayLike, y: ArrayLike | None, groups: ArrayLike, *, seed: int = 0) -> Self:
        """Prepare a table.

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features; NaN is allowed.
        y : array_like of float, shape (n,), optional
            Targets.
        groups : array_like of str, shape (n,)
            Reduced formulas.
        seed : int
            Of the random folds behind `random_mae`.

        Raises
        ------
        SplitError
            If the lengths differ, there is no feature or one is infinite.
        """
        rows = check_rows(X, y, groups)
        features, targets, formulas = check_features(rows.X), rows.y, rows.groups
        numbers, n_groups = group_numbers(formulas)
        names = np.empty(n_groups, dtype=object)
        names[numbers] = formulas
        compositions, reasons, _ = parse_formulas(names.tolist())
        bad = np.flatnonzero(reasons != "")
        unreadable = ""
        if len(bad):
            unreadable = f"{len(bad)} of {n_groups} formulas cannot be read, such as "
            unreadable += repr(names[bad[0]])
        return cls(
            features,
            targets,
            names,
            numbers,
            None if len(bad) else compositions.element_fractions() > 0,
            unreadable,
            None if targets is None else _random_mae(targets, numbers, n_groups, seed),
        )

    def first_rows(self, rows: IntArray) -> IntArray:
        """Return the first of `rows` of each formula."""
        return rows[np.unique(self.numbers[rows], return_index=True)[1]]

    def with_target(self, rows: IntArray) -> IntArray:
        """Return those of `rows` whose target is known."""
        return rows[:0] if self.y is None else rows[np.isfinite(self.y[rows])]


def audit_split(
    folds: Iterable[Fold],
    X: ArrayLike,
    y: ArrayLike | None,
    groups: ArrayLike,
    *,
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
        The table, as in `AuditTable.of`, which also raises the same errors.
    settings : AuditSettings, optional
        Thresholds, samples and what to leave out.
    progress : Progress
        Listener, one step per fold.
    name : str
        What is audited.

    Returns
    -------
    SplitAudit
    """
    settings = settings or AuditSettings()
    table = AuditTable.of(X, y, groups, seed=derive_seed(settings.seed, "random folds"))
    audits = []
    with progress.task(
        f"audit {name}".strip(), len(folds) if isinstance(folds, Sized) else None
    ) as task:
        for fold in folds:
            audits.append(audit_fold(fold, table, settings=settings))
            task.advance()
    corrected = correct_holm(np.array([_or_nan(found.relation_p) for found in audits]))
    audits = [
        found if found.relation_p is None else _label(replace(found, relation_p=float(p)), settings)
        for found, p in zip(audits, corrected, strict=True)
    ]
    return SplitAudit(name, len(table.X), table.random_mae, settings, tuple(audits))


def audit_fold(
    fold: Fold, table: AuditTable, *, settings: AuditSettings | None = None
) -> FoldAudit:
    """Measure how far the test rows of one fold are from its training rows.

    Raises
    ------
    SplitError
        If the fold names a row that the table does not have.
    """
    settings = settings or AuditSettings()
    rows = np.concatenate(list(fold.parts.values())).astype(np.int64)
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(table.X):
        wrong = rows.min() if rows.min() < 0 else rows.max()
        raise SplitError(f"fold {fold.name!r} has row {wrong}; the table has {len(table.X)} rows")
    seed = derive_seed(settings.seed, "audit", fold.name)
    missing: dict[str, str] = {}
    measured = FoldAudit(
        name=fold.name,
        n_train=len(fold.train),
        n_val=len(fold.val),
        n_target=len(fold.target),
        n_test=len(fold.test),
        n_unused=len(table.X) - len(np.unique(rows)),
        train_share=len(fold.train) / len(table.X) if len(table.X) else 0.0,
        note=fold.note,
        missing=missing,
        **_leaks(fold, table),
        **_elements(fold, table, missing),
        **_features(fold, table, settings, seed, missing),
        **_targets(fold, table, missing),
        **_relation(fold, table, settings, seed, missing),
    )
    return _label(measured, settings)


def _label(measured: FoldAudit, settings: AuditSettings) -> FoldAudit:
    findings = find(measured, settings)
    return replace(
        measured,
        labels=tuple(dict.fromkeys(finding.label for finding in findings)),
        reasons=tuple(f"{finding.label}: {finding.reason}" for finding in findings),
        crossed=tuple(finding.setting for finding in findings if finding.setting),
    )


def _leaks(fold: Fold, table: AuditTable) -> dict[str, Any]:
    formulas = {part: np.unique(table.numbers[rows]) for part, rows in fold.parts.items()}
    others = np.concatenate([formulas[part] for part in ("train", "val", "target")])
    shared = np.intersect1d(formulas["test"], others)
    everywhere = np.concatenate(list(formulas.values())).astype(np.int64)
    once = np.concatenate([np.unique(rows) for rows in fold.parts.values()]).astype(np.int64)
    return {
        "shared_formulas": len(shared),
        "shared_examples": tuple(str(name) for name in table.names[shared[:_N_EXAMPLES]]),
        "val_shared_formulas": len(np.intersect1d(formulas["train"], formulas["val"])),
        "formulas_in_two_parts": int((np.bincount(everywhere) > 1).sum()),
        "rows_on_both_sides": int((np.bincount(once) > 1).sum()),
    }


def _unseen(table: AuditTable, train: IntArray, rows: IntArray) -> NDArray[np.bool_]:
    """Return which of `rows` has which element that no training row has, shape (n, 118)."""
    assert table.elements is not None
    seen = table.elements[np.unique(table.numbers[train])].any(axis=0)
    return table.elements[table.numbers[rows]] & ~seen


def _elements(fold: Fold, table: AuditTable, missing: dict[str, str]) -> dict[str, Any]:
    if table.elements is None:
        missing["unseen_elements"] = table.unreadable
        return {}
    unseen = _unseen(table, fold.train, fold.test)
    counts = unseen.sum(axis=0)
    order = [z for z in np.argsort(-counts, kind="stable") if counts[z]]
    return {
        "unseen_elements": tuple(SYMBOLS[z + 1] for z in order),
        "n_unseen": int(unseen.any(axis=1).sum()),
    }


def _features(
    fold: Fold, table: AuditTable, settings: AuditSettings, seed: int, missing: dict[str, str]
) -> dict[str, Any]:
    train, test = (table.X[table.first_rows(rows)] for rows in (fold.train, fold.test))
    found: dict[str, Any] = {}
    points = np.vstack([train, test])
    if len(points) > 1 and not (np.nan_to_num(points) != np.nan_to_num(points[0])).any():
        missing["distance_ratio"] = missing["auc"] = "no feature varies"
        return found
    if len(test) < 1 or len(train) < 2:  # noqa: PLR2004  # a neighbour for each training formula
        missing["distance_ratio"] = (
            f"{len(train)} training and {len(test)} test formulas; at least 2 and 1 are needed"
        )
    else:
        distances = distance_ratio(
            train, test, n_queries=settings.n_max, n_references=settings.n_references, seed=seed
        )
        found = {
            "distance_ratio": distances.ratio,
            "median_test": distances.median_test,
            "median_train": distances.median_train,
        }
    if not settings.classifier:
        missing["auc"] = "switched off by classifier = false"
    elif min(len(train), len(test)) < _MIN_CLASS:
        missing["auc"] = (
            f"{len(train)} training and {len(test)} test formulas; at least {_MIN_CLASS} of each "
            f"are needed"
        )
    else:
        told = two_sample(train, test, n_max=settings.n_max, seed=seed)
        found |= {"auc": told.auc, "auc_low": told.low, "auc_high": told.high}
        found |= {"ess": told.ess, "ess_share": told.ess_share}
    return found


def _targets(fold: Fold, table: AuditTable, missing: dict[str, str]) -> dict[str, Any]:
    train, test = (table.with_target(rows) for rows in (fold.train, fold.test))
    if table.y is None or not len(train) or not len(test):
        missing["wasserstein"] = missing["dummy_mae"] = (
            "there are no targets"
            if table.y is None
            else f"{len(train)} training and {len(test)} test rows with a target; one of each is "
            f"needed"
        )
        return {}
    wasserstein, ks = target_shift(table.y[train], table.y[test])
    error = _dummy_mae(table.y[train], table.y[test])
    found = {"wasserstein": wasserstein, "ks": ks, "dummy_mae": error}
    if not table.random_mae:
        missing["dummy_over_random"] = f"the error of random folds is {table.random_mae}"
    else:
        found["dummy_over_random"] = error / table.random_mae
    return found


def _relation(
    fold: Fold, table: AuditTable, settings: AuditSettings, seed: int, missing: dict[str, str]
) -> dict[str, Any]:
    if not settings.relation or table.y is None:
        missing["relation_shift"] = (
            "there are no targets" if settings.relation else "switched off by relation = false"
        )
        return {}
    tested, n_unlike = compare_relation(
        table, fold.train, fold.test, n_max=settings.n_relation, seed=seed
    )
    found: dict[str, Any] = {
        "n_supported": tested.n_supported,
        "share_supported": tested.share_supported,
    }
    if not tested.tested:
        further = f"; {n_unlike} further test formulas have elements that training lacks"
        missing["relation_shift"] = tested.reason + (further if n_unlike else "")
        return found
    return found | {"relation_shift": tested.shift, "relation_p": tested.p_value}


def compare_relation(
    table: AuditTable, train: IntArray, test: IntArray, *, n_max: int = 5000, seed: int
) -> tuple[ResidualTest, int]:
    """Compare the residuals of two sets of rows, one row per formula, where they are alike.

    Parameters
    ----------
    table : AuditTable
        With targets; rows without one do not count.
    train, test : ndarray of int
        Row numbers.
    n_max, seed
        As in `residual_test`.

    Returns
    -------
    result : ResidualTest
        Test formulas with an element that training lacks count as not supported: nothing says how
        such an element acts, however near its row may seem.
    n_unlike : int
        How many these are.
    """
    known, asked = (table.first_rows(table.with_target(rows)) for rows in (train, test))
    n_test, n_unlike = len(asked), 0
    if table.elements is not None:
        unlike = _unseen(table, train, asked).any(axis=1)
        n_unlike, asked = int(unlike.sum()), asked[~unlike]
    assert table.y is not None
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
