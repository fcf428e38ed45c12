"""The contract checkers accept what keeps a contract, and see every fault."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import GroupKFold
from sklearn.utils.validation import check_is_fitted, validate_data

from xtalshift.errors import ContractError
from xtalshift.featurize import CompositionFeaturizer, Features, Featurizer
from xtalshift.featurize.blocks import BLOCKS, OF_STRUCTURES
from xtalshift.splits import (
    FamilySplit,
    Fold,
    GroupedSplit,
    HoldOut,
    KFoldSplit,
    LeaveOutSplit,
    LOCOSplit,
    PriorSplit,
    Region,
    Splitter,
    TimeSplit,
)
from xtalshift.testing import check_featurizer, check_regressor, check_splitter, example_rows

X, Y, GROUPS = example_rows()
N = len(Y)


def contains(symbol):
    """Return the rule of a fold that holds out an element, read from the letters of formulas."""
    held = np.array([symbol in str(name).replace("Fe", "X") for name in GROUPS])
    return lambda fold: held


@pytest.mark.parametrize(
    ("splitter", "rule"),
    [
        (FamilySplit("F"), contains("F")),
        (FamilySplit("Li+O"), lambda fold: GROUPS == "LiO"),
        (LeaveOutSplit("element", "F"), contains("F")),
        (PriorSplit("high", 0.1), lambda fold: Y[fold.test].max() <= Y),
        (TimeSplit(np.arange(N)), lambda fold: np.arange(N) >= fold.test.min()),
        (LOCOSplit(4), lambda fold: np.isin(GROUPS, GROUPS[fold.test])),
        (GroupedSplit("family", 3), lambda fold: np.isin(X[:, 1], X[fold.test, 1])),
    ],
)
def test_what_a_rule_promises_is_held_out(splitter, rule):
    check_splitter(splitter, rule=rule)


class _Broken(HoldOut):
    """Holds out fluorides, and does what it is told beside."""

    calls = 0  # of all copies

    def __init__(self, fault):
        self.fault = fault

    def _held_out(self, table):
        if self.fault == "mutates":
            table.X[0] = 7.0
        _Broken.calls += 1
        mask = np.array([name.endswith("F") for name in table.groups])
        if self.fault == "differs":
            mask[1] = _Broken.calls % 2
        return mask

    def _fold(self, region, table):
        fold = super()._fold(region, table)
        rows = {
            "leaks": (np.append(fold.train, fold.test[:1]), fold.test[1:]),
            "overlaps": (np.append(fold.train, fold.test[-1:]), fold.test),
            "outside": (np.append(fold.train, len(table)), fold.test),
            "floats": (fold.train.astype(float), fold.test),
            "empty": (fold.train, fold.test[:0]),
            "unsorted": (fold.train[::-1], fold.test),
        }.get(self.fault, (fold.train, fold.test))
        if self.fault == "leaks":
            rows = (np.sort(rows[0]), rows[1])
        return Fold(*rows)

    def get_n_splits(self, X=None, y=None, groups=None):
        return 2 if self.fault == "counts" else 1

    def describe(self):
        return "two\nlines" if self.fault == "talks" else "fluorides"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("mutates", "changes its input"),
        ("differs", "gives other folds the second time"),
        ("leaks", "is on both sides"),
        ("overlaps", "is not ascending|a row is in two parts"),
        ("outside", "rows outside 0 to 65"),
        ("floats", "train holds numbers that are not whole"),
        ("empty", "no test rows"),
        ("unsorted", "train is not ascending"),
        ("counts", "has 1 folds, get_n_splits 2"),
        ("talks", "is not a single line"),
    ],
)
def test_the_checker_sees_every_fault(fault, message):
    with pytest.raises(ContractError, match=message):
        check_splitter(_Broken(fault))


def test_the_checker_accepts_the_same_splitter_without_a_fault():
    check_splitter(_Broken("none"))


def test_the_checker_sees_a_broken_rule_and_a_rule_of_the_wrong_shape():
    with pytest.raises(ContractError, match="should be held out, but trains"):
        check_splitter(FamilySplit("Cl"), rule=contains("F"))
    with pytest.raises(ContractError, match="no test row follows the rule"):
        check_splitter(FamilySplit("Cl"), rule=lambda fold: np.zeros(N, bool))
    with pytest.raises(ContractError, match=r"the rule has the shape \(3,\)"):
        check_splitter(FamilySplit("Cl"), rule=lambda fold: np.zeros(3, bool))


def test_a_users_own_splitter_with_many_folds():
    class PerAnion(Splitter):
        def _regions(self, table):
            for anion in np.unique(table.X[:, 1]):
                yield Region(f"anion {anion:g}", table.X[:, 1] == anion)

        def describe(self):
            return "one anion"

    check_splitter(PerAnion(), rule=lambda fold: X[:, 1] == float(fold.name.split()[1]))


def test_what_is_no_splitter_or_draws_anew_is_named():
    with pytest.raises(ContractError, match=r"is not an xtalshift.splits.Splitter; derive it"):
        check_splitter(GroupKFold(3))
    with pytest.raises(ContractError, match="pass random_state to check it"):
        check_splitter(KFoldSplit())


OF_FORMULAS = [name for name in BLOCKS if name not in OF_STRUCTURES]


@pytest.mark.parametrize("blocks", [*OF_FORMULAS, "+".join(OF_FORMULAS)])
@pytest.mark.parametrize("impute_nan", [True, False])
def test_our_featurizers_keep_the_contract(blocks, impute_nan):
    check_featurizer(CompositionFeaturizer(blocks, impute_nan))


class _Lengths(Featurizer):
    """Two features of a text, and one fault."""

    def __init__(self, fault="none"):
        self.fault = fault

    def get_feature_names_out(self, input_features=None):
        names = {"twice": ["a", "a"], "numbers": ["a", 1]}
        return np.array(names.get(self.fault, ["a", "b"]), dtype=object)

    def featurize(self, X):
        if self.fault == "mutates" and X:
            X[0] = "KCl"
        values = np.array([[len(text), float("F" in text)] for text in X]).reshape(-1, 2)
        bad = np.array([text == "Xx2" for text in X], dtype=bool)
        reasons = np.where(bad, "no element Xx", "").astype(object)
        if self.fault != "keeps":
            values[bad] = np.nan
        if self.fault == "shape":
            values = values[:, :1]
        if self.fault == "infinite":
            values[0, 0] = np.inf
        if self.fault == "order":
            values[:, 1] = np.arange(len(X))
        if self.fault == "batch":
            values[:, 1] -= len(X)
        if self.fault == "silent":
            reasons[:] = ""
        if self.fault == "spreads" and bad.any():
            values[0] = 0.0
        if self.fault == "refuses" and len(X):
            reasons[0] = "no"
        return Features(values, tuple(self.get_feature_names_out()), reasons)

    def transform(self, X):
        return self.featurize(X).values if self.fault == "accepts" else super().transform(X)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("twice", "feature names repeat"),
        ("numbers", "a feature name is not a text"),
        ("mutates", "changes its input"),
        ("shape", r"features have the shape \(20, 1\) with 20 reasons; expected \(20, 2\)"),
        ("infinite", "a feature is infinite"),
        ("order", "the order of rows changes the features"),
        ("batch", "a row alone has other features"),
        ("silent", "the bad row 'Xx2' has no reason"),
        ("keeps", "a bad row has a value that is not NaN"),
        ("spreads", "a bad row changes the features of other rows"),
        ("refuses", r"row \[0\] is bad: \['no'\]"),
        ("accepts", "transform accepts the bad row"),
    ],
)
def test_the_featurizer_checker_sees_every_fault(fault, message):
    check_featurizer(_Lengths())
    with pytest.raises(ContractError, match=message):
        check_featurizer(_Lengths(fault))


class _Odd(RegressorMixin, BaseEstimator):
    """Least squares with one fault that scikit-learn's checks do not see."""

    def __init__(self, fault="none"):
        self.fault = fault

    def fit(self, X, y):
        ours = isinstance(X, np.ndarray) and X.shape == (80, 6)
        if self.fault == "mutates" and ours:
            X[0] = 0.0
        X, y = validate_data(self, X, y, y_numeric=True, ensure_min_samples=2)
        self.mean_ = y.mean()
        self.coef_ = np.linalg.lstsq(X - X.mean(axis=0), y - self.mean_, rcond=None)[0]
        self.mean_ -= X.mean(axis=0) @ self.coef_
        if self.fault == "units":
            self.coef_ = np.clip(self.coef_, -100, 100)
        if self.fault == "draws" and ours:
            self.mean_ += np.random.default_rng().normal()
        return self

    def predict(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        found = X @ self.coef_ + self.mean_
        return found + len(X) * 1e-6 if self.fault == "batch" and X.shape[1] == 6 else found


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("mutates", "changes its input"),
        ("draws", "the same seed gives other predictions"),
        ("batch", "a row alone is predicted otherwise"),
        ("units", "predictions in another unit differ"),
    ],
)
def test_the_regressor_checker_sees_every_fault(fault, message):
    with pytest.raises(ContractError, match=message):
        check_regressor(_Odd(fault))


def test_the_regressor_checker_accepts_the_same_regressor_without_a_fault():
    check_regressor(_Odd())


def test_scikit_learns_checks_are_part_of_the_contract():
    class Silent(_Odd):
        def fit(self, X, y):
            self.seen = 1  # an attribute without an underscore at its end
            return super().fit(X, y)

    with pytest.raises(ContractError, match="fails check_"):
        check_regressor(Silent())


def test_what_is_not_a_featurizer_is_named():
    with pytest.raises(ContractError, match=r"is not an xtalshift\.featurize\.Featurizer"):
        check_featurizer(_Odd())
