"""What happens inside a fold: validation rows, target labels, an inner cross-validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import SplitError
from xtalshift.seeding import Seed, as_generator
from xtalshift.splits.base import Fold, Splitter
from xtalshift.splits.grouped_rows import IntArray, group_numbers
from xtalshift.splits.random import RandomSplit

__all__ = ["NestedFold", "add_targets", "add_validation", "budget_folds", "nested_folds"]


class NestedFold(NamedTuple):
    """An outer fold and the folds inside its training rows (row numbers of the whole table)."""

    outer: Fold
    inner: tuple[Fold, ...]


def nested_folds(
    outer: Splitter,
    inner: Splitter,
    X: ArrayLike,
    y: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> Iterator[NestedFold]:
    """Yield the folds of a nested cross-validation: outer for the error, inner for model choice.

    The inner splitter sees only the training rows of the outer fold, so nothing about the outer
    test rows can leak into a choice.

    Parameters
    ----------
    outer, inner : Splitter
        Any two; an inner splitter with a value per row of the table is cut to the training rows.
    X, y, groups
        As in `Splitter.folds`.

    Raises
    ------
    SplitError
        If either is impossible; the message says in which outer fold.
    """
    features = np.asarray(X)
    targets = None if y is None else np.asarray(y, float)
    names = np.arange(len(features)) if groups is None else np.asarray(groups)
    for fold in outer.folds(features, targets, names):
        rows = fold.train
        part = None if targets is None else targets[rows]
        try:
            inside = inner.restrict(rows).folds(features[rows], part, names[rows])
            found = [small.renumber(rows) for small in inside]
        except SplitError as error:
            raise SplitError(f"inside the fold {fold.name or outer.describe()}: {error}") from error
        yield NestedFold(fold, tuple(found))


def add_validation(
    fold: Fold, groups: NDArray[Any], share: float, random_state: Seed = None
) -> Fold:
    """Move a random share of the training rows, whole formulas, to the rows for model selection.

    Parameters
    ----------
    fold : Fold
        Its validation rows, if it has some, stay and nothing is moved.
    groups : ndarray, shape (n,)
        Formulas.
    share : float
        In (0, 1).
    random_state : int, Generator or None
        Decides which.

    Raises
    ------
    SplitError
        If too few rows are left.
    """
    if len(fold.val):
        return fold
    rows = fold.train
    try:
        mask = RandomSplit(share, random_state).held_out(rows, None, groups[rows])
    except SplitError as error:
        raise SplitError(
            f"{len(rows)} rows are left beside the test rows, too few to draw validation rows from "
            f"them (a share of 0 draws none): {error}"
        ) from error
    return replace(fold, train=rows[~mask], val=rows[mask])


def add_targets(
    fold: Fold, groups: NDArray[Any], budgets: Sequence[int], random_state: Seed = None
) -> Fold:
    """Move some held-out rows, whole formulas, from the test rows to the target labels.

    Parameters
    ----------
    fold : Fold
        Without target labels.
    groups : ndarray, shape (n,)
        Formulas.
    budgets : sequence of int
        Numbers of labels wanted; the rows for the largest are moved, so that the test rows are the
        same for every budget.
    random_state : int, Generator or None
        Draws the formulas: the first in random order that meet each budget exactly.

    Returns
    -------
    Fold
        The first n of its `target` rows are the labels of budget n, so larger budgets contain
        smaller ones.

    Raises
    ------
    SplitError
        If the fold has target labels already, a budget is below 1 or would leave no test row, or
        no whole formulas meet it; the message says what is possible.
    """
    if len(fold.target):
        raise SplitError(
            f"the fold has {len(fold.target)} target labels already; leave out the budgets"
        )
    wanted = sorted(set(budgets))
    numbers, _ = group_numbers(groups[fold.test])
    n_formulas = int(numbers.max()) + 1 if len(numbers) else 0
    sizes = np.bincount(numbers, minlength=n_formulas)
    most = len(fold.test) - (sizes.min() if n_formulas else 0)
    if not wanted or wanted[0] < 1:
        raise SplitError(f"budgets of target labels are at least 1, got {list(budgets)}")
    if wanted[-1] > most:
        raise SplitError(
            f"a budget of {wanted[-1]} target labels, but only {len(fold.test)} rows are held out"
            f"{f' in fold {fold.name!r}' if fold.name else ''}; at most {most} labels leave a test "
            "row"
        )
    members = np.split(np.argsort(numbers, kind="stable"), np.cumsum(sizes)[:-1])
    open_formulas = as_generator(random_state).permutation(n_formulas).tolist()
    taken: list[IntArray] = []
    n_taken = 0
    for budget in wanted:
        picked = _pick(sizes, open_formulas, budget - n_taken)
        if picked is None:
            raise SplitError(
                f"{budget} target labels cannot be met by whole formulas: {n_taken} are taken, and "
                f"no formulas left have {budget - n_taken} rows together; choose another budget, "
                "or merge the rows of each formula first"
            )
        taken += [members[formula] for formula in picked]
        n_taken = budget
        open_formulas = [formula for formula in open_formulas if formula not in picked]
    chosen = np.concatenate(taken)
    return replace(fold, test=np.delete(fold.test, chosen), target=fold.test[chosen])


def _pick(sizes: IntArray, order: list[int], n_rows: int) -> list[int] | None:
    """Return the first formulas in `order` that have exactly so many rows together, if there are.

    Sums that are reached keep the last formula of one way to them (subset sum).
    """
    reached: dict[int, tuple[int, int]] = {0: (0, -1)}
    for formula in order:
        if n_rows in reached:
            break
        for before in list(reached):
            total = before + int(sizes[formula])
            if total <= n_rows:
                reached.setdefault(total, (before, formula))
    if n_rows not in reached:
        return None
    picked = []
    while n_rows:
        n_rows, formula = reached[n_rows]
        picked.append(formula)
    return picked[::-1]


def budget_folds(fold: Fold, budgets: Sequence[int]) -> dict[int, Fold]:
    """Return the fold of each budget, by budget: the first n target labels, and the same test rows.

    Parameters
    ----------
    fold : Fold
        As `add_targets` returns it.
    budgets : sequence of int
        At most as many labels as it holds.

    Raises
    ------
    SplitError
        If a budget is larger.
    """
    if budgets and max(budgets) > len(fold.target):
        raise SplitError(f"the fold has {len(fold.target)} target labels, not {max(budgets)}")
    return {budget: replace(fold, target=fold.target[:budget]) for budget in sorted(set(budgets))}
