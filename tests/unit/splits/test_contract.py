"""Every registered scheme keeps the contract, and the checker sees when one does not."""

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold

from xtalshift.errors import ContractError
from xtalshift.splits import (
    SPLITTERS,
    ColumnSplit,
    CovariateSplit,
    FamilySplit,
    FarthestPointSplit,
    Fold,
    FoundRelationSplit,
    GroupedSplit,
    HoldOut,
    KFoldSplit,
    LeaveOutSplit,
    LOCOSplit,
    MatExSplit,
    PredefinedSplit,
    PriorSplit,
    PropensitySplit,
    RandomSplit,
    RedundancySplit,
    Region,
    RelationSplit,
    SparseXSplit,
    SparseYSplit,
    Splitter,
    StratifiedSplit,
    TimeSplit,
)
from xtalshift.testing import check_splitter, example_rows

X, Y, GROUPS = example_rows()
N = len(Y)
KNOWN = Fold(np.arange(1, 7), np.arange(8, 23), np.arange(24, 31), name="a")
EXAMPLES = {
    "random": [RandomSplit(0.2, 0), RandomSplit(0.2, np.random.default_rng(0))],
    "kfold": [KFoldSplit(5, 0)],
    "stratified": [StratifiedSplit(4, 0)],
    "grouped": [GroupedSplit(), GroupedSplit("family", 3), GroupedSplit(GROUPS, 4)],
    "time": [TimeSplit(np.arange(N) % 7), TimeSplit(np.arange(N) % 7, 0.25, 3)],
    "column": [ColumnSplit(["train", "test", "val"] * 22), ColumnSplit(["a", "b", "c"] * 22)],
    "folds": [PredefinedSplit([KNOWN])],
    "family": [FamilySplit("F"), FamilySplit("F and alkali_metal")],
    "leave-out": [LeaveOutSplit(min_rows=5), LeaveOutSplit("family", "oxide,halide")],
    "loco": [LOCOSplit(4), LOCOSplit(3, "agglomerative")],
    "sparse-x": [SparseXSplit("single", 5), SparseXSplit("cluster", 5, 3)],
    "sparse-y": [SparseYSplit("single", 5), SparseYSplit("cluster", 5, 3)],
    "covariate": [CovariateSplit()],
    "farthest": [FarthestPointSplit(0.1, 3)],
    "propensity": [PropensitySplit(flags=X[:, 1] == 0), PropensitySplit(candidates=X[:9])],
    "prior": [PriorSplit("both"), PriorSplit(within="family"), PriorSplit("low", 0.3)],
    "matex": [MatExSplit(random_state=0), MatExSplit(whole_formulas=True, random_state=0)],
    "relation": [RelationSplit(formulas=["LiF"]), RelationSplit(flags=X[:, 0] == 3)],
    "relation-found": [FoundRelationSplit(np.arange(N) % 2, p=1.1, shift=0.0, min_rows=5)],
    "redundancy": [RedundancySplit(0.4, 3, 0)],
}
ALL = [
    pytest.param(splitter, id=f"{name}-{number}")
    for name, splitters in EXAMPLES.items()
    for number, splitter in enumerate(splitters)
]


def test_every_scheme_has_an_example():
    assert set(EXAMPLES) == set(SPLITTERS)
    for name, splitters in EXAMPLES.items():
        assert {type(splitter) for splitter in splitters} == {SPLITTERS[name]}


@pytest.mark.parametrize("splitter", ALL)
def test_every_scheme_keeps_the_contract(splitter):
    check_splitter(splitter)


@pytest.mark.parametrize("splitter", ALL)
def test_arguments_survive_as_they_were_given(splitter):
    assert repr(splitter).startswith(type(splitter).__name__)
    for name in type(splitter).per_row:
        assert hasattr(splitter, name)


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

    def _fold(self, region, numbers, names):
        fold = super()._fold(region, numbers, names)
        rows = {
            "leaks": (np.append(fold.train, fold.test[:1]), fold.test[1:]),
            "overlaps": (np.append(fold.train, fold.test[-1:]), fold.test),
            "outside": (np.append(fold.train, len(names)), fold.test),
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
        ("leaks", "stands on both sides"),
        ("overlaps", "is not ascending|stands in two parts"),
        ("outside", "rows outside 0 to 65"),
        ("floats", "train holds no whole numbers"),
        ("empty", "no test rows"),
        ("unsorted", "train is not ascending"),
        ("counts", "has 1 folds, get_n_splits 2"),
        ("talks", "gives no single line"),
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
    with pytest.raises(ContractError, match=r"is no xtalshift.splits.Splitter; derive it"):
        check_splitter(GroupKFold(3))
    with pytest.raises(ContractError, match="pass random_state to check it"):
        check_splitter(KFoldSplit())
