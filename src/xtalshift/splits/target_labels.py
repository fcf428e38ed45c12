"""Target labels: held-out rows that a method may train on, for budgets of several sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import SplitError
from xtalshift.seeding import Seed, as_generator
from xtalshift.splits.splitter import Fold, IntArray, group_numbers


def add_targets(
    fold: Fold, groups: NDArray[Any], budgets: Sequence[int], random_state: Seed = None
) -> Fold:
    """Move some test rows, whole formulas, to the target labels.

    Parameters
    ----------
    fold : Fold
        Without target labels.
    groups : ndarray, shape (n,)
        Formulas.
    budgets : sequence of int
        Numbers of labels wanted; the largest number of rows is moved, so that the test rows are
        the same for every budget.
    random_state : int, Generator or None
        Draws the formulas: the first in random order that meet each budget exactly.

    Returns
    -------
    Fold
        The first n of its `target` rows are the labels of budget n, so larger budgets contain the
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
    """Return the first formulas in `order` with exactly `n_rows` rows in total, or None.

    Subset sum: every total that can be reached keeps the last formula of one way to reach it.
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
