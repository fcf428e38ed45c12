"""Validation rows and inner cross-validation: model choice inside the training rows of a fold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import SplitError
from xtalshift.seeding import Seed
from xtalshift.splits.random_folds import RandomSplit
from xtalshift.splits.splitter import Fold, Rows, Splitter


class NestedFold(NamedTuple):
    """An outer fold and the folds inside its training rows (row numbers of the whole table)."""

    outer: Fold
    inner: tuple[Fold, ...]


def nested_folds(
    outer: Splitter,
    inner: Splitter,
    X: ArrayLike | Rows,
    y: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> Iterator[NestedFold]:
    """Yield the folds of a nested cross-validation: outer for the error, inner for model choice.

    The inner splitter gets only the training rows of the outer fold, so no information on the
    outer test rows can leak into a choice.

    Parameters
    ----------
    outer, inner : Splitter
        Any two; arguments of the inner splitter with a value per row are cut to the training rows.
    X, y, groups
        As in `Splitter.folds`.

    Raises
    ------
    SplitError
        If either is impossible; the message names the outer fold.
    """
    table = Rows.of(X, y, groups)
    for fold in outer.folds(table):
        rows = fold.train
        try:
            found = [part.renumber(rows) for part in inner.restrict(rows).folds(table.take(rows))]
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
        If it has validation rows, nothing is moved.
    groups : ndarray, shape (n,)
        Formulas.
    share : float
        In (0, 1).
    random_state : int, Generator or None
        Draws the formulas.

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
