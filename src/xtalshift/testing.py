"""Contract checks for your own splitters, featurizers and regressors; our tests use them too."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import ContractError, DataError, SplitError
from xtalshift.featurize import Featurizer
from xtalshift.splits.splitter import Fold, Splitter

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
    formula of a test row is in another part (unless the splitter has ``whole_formulas=False``);
    the same splitter gives the same folds again; `split` and `get_n_splits` agree with `folds`;
    the arguments are not changed; and the rows that a rule promises to hold out do not train.

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
        If the contract is broken; the message names the fault.

    Examples
    --------
    >>> from xtalshift.splits import FamilySplit
    >>> check_splitter(FamilySplit("F"))
    """
    if X is None:
        X, y, groups = example_rows()
    if not isinstance(splitter, Splitter):
        raise ContractError(
            f"{splitter!r} is not an xtalshift.splits.Splitter; derive it from HoldOut"
        )
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
        if splitter.whole_formulas and given[2] is not None:
            others = np.concatenate([fold.train, fold.val, fold.target])
            shared = np.intersect1d(given[2][fold.test].astype(str), given[2][others].astype(str))
            _require(not shared.size, f"{where}: {shared[:1]} is on both sides")
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
    _require(bool(text) and "\n" not in text, f"{splitter!r}: describe() is not a single line")


def check_featurizer(
    featurizer: Featurizer, X: Iterable[Any] | None = None, *, bad: Any = "Xx2"
) -> None:
    """Check that a featurizer keeps the contract of `xtalshift.featurize.Featurizer`.

    The names are distinct texts, one per column; rows keep their order and number, whether they are
    computed together, in another order or alone; a good row has an empty reason and no infinite
    value; a bad row has a reason and NaN in every column, does not change the other rows, and is
    named by `transform`; no rows give an empty table; clones give the same features, and the input
    is not changed.

    Parameters
    ----------
    featurizer : Featurizer
        Yours.
    X : iterable, optional
        At least two different good materials; by default formulas.
    bad : object, default "Xx2"
        A material that cannot be featurized.

    Raises
    ------
    ContractError
        If the contract is broken; the message names the fault.

    Examples
    --------
    >>> from xtalshift import CompositionFeaturizer
    >>> check_featurizer(CompositionFeaturizer("fractions"))
    """
    from sklearn.base import clone

    if not isinstance(featurizer, Featurizer):
        raise ContractError(f"{featurizer!r} is not an xtalshift.featurize.Featurizer")
    what = repr(featurizer)
    materials = example_rows()[2][:20].tolist() if X is None else list(X)
    names = featurizer.get_feature_names_out()
    _require(all(isinstance(name, str) for name in names), f"{what}: a feature name is not a text")
    _require(len(set(names)) == len(names), f"{what}: feature names repeat")
    before = copy.deepcopy(materials)
    values = _featurize(featurizer, materials, len(names))
    _require(materials == before, f"{what} changes its input")
    _require(not np.isinf(values).any(), f"{what}: a feature is infinite")
    again = _featurize(clone(featurizer), materials, len(names))
    _require(_same(values, again), f"{what}: a clone gives other features")
    backwards = _featurize(featurizer, materials[::-1], len(names))
    _require(_same(values[::-1], backwards), f"{what}: the order of rows changes the features")
    alone = [_featurize(featurizer, [material], len(names)) for material in materials]
    _require(_same(values, np.concatenate(alone)), f"{what}: a row alone has other features")
    _require(_featurize(featurizer, [], len(names)).shape[0] == 0, f"{what}: no rows give some")
    found = featurizer.featurize([materials[0], bad, *materials[1:]])
    mixed, reasons = found.values, found.reasons
    _require(bool(reasons[1]), f"{what}: the bad row {bad!r} has no reason")
    _require(bool(np.isnan(mixed[1]).all()), f"{what}: a bad row has a value that is not NaN")
    others = np.delete(mixed, 1, axis=0)
    _require(_same(values, others), f"{what}: a bad row changes the features of other rows")
    _require(_same(values, featurizer.fit(materials).transform(materials)), f"{what}: transform")
    try:
        featurizer.transform([materials[0], bad])
    except DataError as error:
        _require("row 2" in str(error), f"{what}: the error does not name row 2: {error}")
    else:
        raise ContractError(f"{what}: transform accepts the bad row {bad!r}")


def check_regressor(
    regressor: Any,
    X: ArrayLike | None = None,
    y: ArrayLike | None = None,
    *,
    expected_failed_checks: Mapping[str, str] | None = None,
    tolerance: float = 0.05,
) -> None:
    """Check that a regressor is one of scikit-learn's, and more.

    It passes `sklearn.utils.estimator_checks.check_estimator`; the same `random_state` gives the
    same predictions; they are in the unit of the target (a target in another unit and with another
    zero gives the same predictions in that unit); a row alone has the prediction that it has among
    others; missing features give finite predictions if the tags allow NaN; and the input is not
    changed.

    Parameters
    ----------
    regressor : estimator
        Yours, not fitted, with a fixed `random_state` if it has one.
    X : array_like of float, shape (n, d), optional
        Features; by default 80 rows of 6 features.
    y : array_like of float, shape (n,), optional
        Targets.
    expected_failed_checks : mapping, optional
        Checks of scikit-learn that may fail -> why.
    tolerance : float, default 0.05
        Largest difference between the predictions in two units, in standard deviations of the
        target.

    Raises
    ------
    ContractError
        If the contract is broken; the message names the fault.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> check_regressor(Ridge())
    """
    from sklearn.base import clone
    from sklearn.utils import get_tags
    from sklearn.utils.estimator_checks import check_estimator

    what = repr(regressor)
    expected = dict(expected_failed_checks or {})
    for result in check_estimator(
        regressor, expected_failed_checks=expected, on_skip=None, on_fail=None
    ):
        fails = f"fails {result['check_name']}: {result['exception']}"
        _require(result["status"] != "failed", f"{what} {fails}")
    if X is None or y is None:
        rng = np.random.default_rng(0)
        X = rng.normal(size=(80, 6))
        y = 50 + 10 * (X[:, 0] + 0.5 * np.abs(X[:, 1]))
    features, targets = np.array(X, dtype=np.float64), np.array(y, dtype=np.float64)
    given = features.copy(), targets.copy()
    fitted = clone(regressor).fit(features, targets)
    found = fitted.predict(features)
    same = np.array_equal(given[0], features) and np.array_equal(given[1], targets)
    _require(same, f"{what} changes its input")
    _require(found.shape == targets.shape, f"{what}: predictions have the shape {found.shape}")
    again = clone(regressor).fit(features, targets).predict(features)
    _require(np.array_equal(found, again), f"{what}: the same seed gives other predictions")
    alone = np.concatenate([fitted.predict(row[None]) for row in features[:5]])
    same = np.allclose(alone, found[:5], rtol=1e-9)
    _require(same, f"{what}: a row alone is predicted otherwise")
    other = clone(regressor).fit(features, 1000 * targets + 7).predict(features)
    gap = np.abs((other - 7) / 1000 - found).max() / targets.std()
    _require(bool(gap <= tolerance), f"{what}: predictions in another unit differ by {gap:.2g} sd")
    if get_tags(regressor).input_tags.allow_nan:
        features[::7, 0] = np.nan
        holes = clone(regressor).fit(features, targets).predict(features)
        _require(bool(np.isfinite(holes).all()), f"{what}: missing features give a NaN")


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
    """Return what a method yields for copies of the arguments, which must not change."""
    passed = tuple(None if values is None else values.copy() for values in given)
    found = list(method(*passed))
    for before, after in zip(given, passed, strict=True):
        if before is not None and after is not None:
            same = np.array_equal(before, after, equal_nan=before.dtype.kind == "f")
            _require(same, f"{splitter!r} changes its input")
    return found


def _check_rows(fold: Fold, n_rows: int, where: str) -> None:
    for name, rows in fold.parts.items():
        _require(rows.dtype.kind == "i", f"{where}: {name} holds numbers that are not whole")
        inside = not len(rows) or (rows.min() >= 0 and rows.max() < n_rows)
        _require(inside, f"{where}: {name} has rows outside 0 to {n_rows - 1}")
        ascending = name == "target" or bool((np.diff(rows) > 0).all())
        _require(ascending, f"{where}: {name} is not ascending")
    for name in ("train", "test"):
        _require(len(fold.parts[name]) > 0, f"{where}: no {name} rows")
    every = np.concatenate(list(fold.parts.values()))
    _require(len(np.unique(every)) == len(every), f"{where}: a row is in two parts")


def _check_rule(promised: NDArray[Any], fold: Fold, n_rows: int, where: str) -> None:
    _require(promised.shape == (n_rows,), f"{where}: the rule has the shape {promised.shape}")
    seen = np.concatenate([fold.train, fold.val])
    broken = np.intersect1d(seen, np.flatnonzero(promised))
    _require(not broken.size, f"{where}: row {broken[:1]} should be held out, but trains")
    _require(bool(promised[fold.test].any()), f"{where}: no test row follows the rule")


def _featurize(featurizer: Featurizer, materials: list[Any], d: int) -> NDArray[np.float64]:
    """Return the features of good rows, after checking shapes and reasons."""
    found = featurizer.featurize(materials)
    values, reasons = found.values, found.reasons
    expected = (len(materials), d)
    shapes = f"{values.shape} with {len(reasons)} reasons; expected {expected}"
    fits = values.shape == expected and len(reasons) == len(materials)
    _require(fits, f"{featurizer!r}: features have the shape {shapes}")
    bad = np.flatnonzero(np.asarray(reasons) != "")
    _require(not bad.size, f"{featurizer!r}: row {bad[:1]} is bad: {reasons[bad[:1]]}")
    return values


def _same(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-12, equal_nan=True)


def _require(condition: bool, message: str) -> None:  # noqa: FBT001 - like assert
    if not condition:
        raise ContractError(message)
