"""Validation rows and inner folds."""

import numpy as np
import pytest

from xtalshift.errors import SplitError
from xtalshift.splits import (
    FamilySplit,
    Fold,
    KFoldSplit,
    LeaveOutSplit,
    PredefinedSplit,
    RandomSplit,
    RelationSplit,
    add_validation,
    nested_folds,
)

FORMULAS = np.array([f"{a}{b}" for a in ("Li", "Na", "K", "Rb") for b in ("F", "Cl", "Br")], object)
X = np.zeros((12, 1))


def test_inner_folds_see_the_training_rows_of_the_outer_one_only():
    found = list(
        nested_folds(FamilySplit("F"), LeaveOutSplit("element", "Li,K"), X, None, FORMULAS)
    )
    ((outer, inner),) = found
    assert outer.test.tolist() == [0, 3, 6, 9]
    assert [fold.name for fold in inner] == ["element Li", "element K"]
    assert [fold.test.tolist() for fold in inner] == [[1, 2], [7, 8]]
    assert inner[0].train.tolist() == [4, 5, 7, 8, 10, 11]


def test_arguments_with_a_value_per_row_are_cut_for_the_inner_splitter():
    inner = RelationSplit(flags=np.isin(np.arange(12), [1, 3]))
    ((_, (fold,)),) = nested_folds(FamilySplit("F"), inner, X, None, FORMULAS)
    assert fold.test.tolist() == [1]


def test_inner_folds_made_elsewhere_name_rows_of_the_whole_table():
    inner = PredefinedSplit([Fold(np.array([1, 2, 4]), np.array([5, 7, 0]))])
    ((_, (fold,)),) = nested_folds(FamilySplit("F"), inner, X, None, FORMULAS)
    assert (fold.train.tolist(), fold.test.tolist()) == ([1, 2, 4], [5, 7])  # row 0 is LiF


def test_an_impossible_inner_split_names_the_outer_fold():
    outer = LeaveOutSplit("element", "F")
    with pytest.raises(SplitError, match="inside the fold element F: 9 folds of 8 formulas"):
        list(nested_folds(outer, KFoldSplit(9), X, None, FORMULAS))


def test_validation_rows_are_those_of_a_random_split_of_the_training_rows():
    fold = Fold(train=np.array([1, 2, 4, 5, 7, 8]), test=np.array([0, 3]), name="a", note="b")
    more = add_validation(fold, FORMULAS, 0.34, 7)
    mask = RandomSplit(0.34, 7).held_out(fold.train, None, FORMULAS[fold.train])
    assert more.val.tolist() == fold.train[mask].tolist()
    assert more.train.tolist() == fold.train[~mask].tolist()
    assert (more.test.tolist(), more.name, more.note) == ([0, 3], "a", "b")
    assert add_validation(more, FORMULAS, 0.34, 8) is more  # it has validation rows
    with pytest.raises(SplitError, match="1 rows are left beside the test rows"):
        add_validation(Fold(np.array([1]), np.array([0])), FORMULAS, 0.5, 0)
