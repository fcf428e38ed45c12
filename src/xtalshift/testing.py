"""Contract checks for your own extensions, as our tests use them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import ContractError, SplitError
from xtalshift.splits.base import Fold, Splitter

__all__ = ["check_splitter"]

Rule = Callable[[Fold], ArrayLike]


def check_splitter(
    splitter: Splitter,
    X: ArrayLike | None = None,
    y: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    *,
    rule: Rule | None = None,
) -> None:
    """Check that a splitter keeps the contract of `xtalshift.splits.Splitter`.

    Every fold has training and test rows; parts are disjoint, ascending and within the table; no
    formula of a test row stands in another part (unless the splitter has ``whole_formulas=False``);
    the same splitter gives the same folds again; `split` and `get_n_splits` agree with `folds`;
    nothing that was passed is changed; and what a rule promises to hold out is held out.

    Parameters
    ----------
    splitter : Splitter
        Yours; it is copied, so that the state of a generator does not count.
    X : array_like of float, shape (n, d), optional
        Features; by default those of a built-in table of 60 formulas, 66 rows.
    y : array_like of float, shape (n,), optional
        Targets.
    groups : array_like of str, shape (n,), optional
        Reduced formulas.
    rule : callable, optional
        Takes a `Fold` and returns the rows (a mask of shape (n,)) that this fold promises to hold
        out, written independently of the splitter.

    Raises
    ------
    ContractError
        If a promise is broken; the message says which.

    Examples
    --------
    >>> from xtalshift.splits import FamilySplit
    >>> check_splitter(FamilySplit("F"))
    """
    if X is None:
        X, y, groups = example_rows()
    if not isinstance(splitter, Splitter):
        raise ContractError(f"{splitter!r} is no xtalshift.splits.Splitter; derive it from HoldOut")
    if getattr(splitter, "random_state", 0) is None:
        raise ContractError(f"{splitter!r} draws anew each time; pass random_state to check it")
    given = tuple(None if values is None else np.array(values) for values in (X, y, groups))
    n_rows = len(given[0]) if given[0] is not None else 0
    try:
        folds = _unchanged(given, copy.deepcopy(splitter).folds, splitter)
    except SplitError as error:
        raise ContractError(
            f"{splitter!r} refuses these rows: {error} (pass X, y and groups that it can split)"
        ) from error
    _require(bool(folds), f"{splitter!r} yields no fold")
    for number, fold in enumerate(folds):
        where = f"{splitter!r}, fold {number}{f' ({fold.name})' if fold.name else ''}"
        _check_rows(fold, n_rows, where)
        if getattr(splitter, "whole_formulas", True) and given[2] is not None:
            others = np.concatenate([fold.train, fold.val, fold.target])
            shared = np.intersect1d(given[2][fold.test].astype(str), given[2][others].astype(str))
            _require(not shared.size, f"{where}: {shared[:1]} stands on both sides")
        if rule is not None:
            _check_rule(np.asarray(rule(fold)), fold, n_rows, where)
    pairs = _unchanged(given, copy.deepcopy(splitter).split, splitter)
    _require(len(pairs) == len(folds), f"{splitter!r}: split and folds differ in number")
    for fold, (train, test) in zip(folds, pairs, strict=True):
        seen = np.sort(np.concatenate([fold.train, fold.val]))
        same = np.array_equal(seen, train) and np.array_equal(fold.test, test)
        _require(same, f"{splitter!r} gives other folds the second time, or split is not folds")
    (counted,) = _unchanged(
        given, lambda *rows: [copy.deepcopy(splitter).get_n_splits(*rows)], splitter
    )
    _require(counted == len(folds), f"{splitter!r} has {len(folds)} folds, get_n_splits {counted}")
    text = splitter.describe()
    _require(bool(text) and "\n" not in text, f"{splitter!r}: describe() gives no single line")


def example_rows() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.object_]]:
    """Return features (66, 3), targets (66,) and formulas (66,) of 60 materials, six of them twice.

    The features are numbers of the elements, not the package's composition features.
    """
    cations = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn", "La", "Fe")
    anions = ("F", "Cl", "O", "S", "N")
    formulas = [f"{a}{b}" for a in cations for b in anions]
    rows = np.array([*range(len(formulas)), 0, 7, 7, 23, 31, 59])
    a, b = np.divmod(rows, len(anions))
    noise = np.random.default_rng(0).normal(size=len(rows))
    X = np.column_stack([a, b, a * b]).astype(np.float64)
    return X, a - 2.0 * b + noise, np.array(formulas, dtype=object)[rows]


def _unchanged(
    given: tuple[NDArray[Any] | None, ...], method: Callable[..., Iterable[Any]], splitter: Splitter
) -> list[Any]:
    """Return what a method yields for copies of the arguments, which must stay as they are."""
    passed = tuple(None if values is None else values.copy() for values in given)
    found = list(method(*passed))
    for before, after in zip(given, passed, strict=True):
        if before is not None and after is not None:
            same = np.array_equal(before, after, equal_nan=before.dtype.kind == "f")
            _require(same, f"{splitter!r} changes its input")
    return found


def _check_rows(fold: Fold, n_rows: int, where: str) -> None:
    for name, rows in fold.parts.items():
        _require(rows.dtype.kind == "i", f"{where}: {name} holds no whole numbers")
        inside = not len(rows) or (rows.min() >= 0 and rows.max() < n_rows)
        _require(inside, f"{where}: {name} has rows outside 0 to {n_rows - 1}")
        ascending = name == "target" or bool((np.diff(rows) > 0).all())
        _require(ascending, f"{where}: {name} is not ascending")
    for name in ("train", "test"):
        _require(len(fold.parts[name]) > 0, f"{where}: no {name} rows")
    every = np.concatenate(list(fold.parts.values()))
    _require(len(np.unique(every)) == len(every), f"{where}: a row stands in two parts")


def _check_rule(promised: NDArray[Any], fold: Fold, n_rows: int, where: str) -> None:
    _require(promised.shape == (n_rows,), f"{where}: the rule has the shape {promised.shape}")
    seen = np.concatenate([fold.train, fold.val])
    broken = np.intersect1d(seen, np.flatnonzero(promised))
    _require(not broken.size, f"{where}: row {broken[:1]} should be held out, but trains")
    _require(bool(promised[fold.test].any()), f"{where}: no test row follows the rule")


def _require(condition: bool, message: str) -> None:  # noqa: FBT001 - like assert
    if not condition:
        raise ContractError(message)
