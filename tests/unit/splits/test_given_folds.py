"""Folds from a column or a file."""

import numpy as np
import pytest

from split_toys import FORMULAS, X, rows_by_fold
from xtalshift.errors import LeakageError, SplitError
from xtalshift.splits import (
    ColumnSplit,
    Fold,
    PredefinedSplit,
)


class TestGiven:
    def test_a_column_of_parts(self):
        parts = ["train", "Test", "eval", "", "train", "ood", "train", "target"]
        (fold,) = ColumnSplit(parts, whole_formulas=False).folds(X, None, FORMULAS)
        assert {name: rows.tolist() for name, rows in fold.parts.items()} == {
            "train": [0, 4, 6], "val": [2], "target": [7], "test": [1, 5]
        }  # fmt: skip
        (whole,) = ColumnSplit(parts).folds(X, None, FORMULAS)
        assert whole.test.tolist() == [1, 4, 5]  # the other Li2O goes along

    def test_a_column_of_folds(self):
        assert rows_by_fold(ColumnSplit([1, 2, 1, 3, 2, 3, 3, 1])) == {
            "1": [0, 2, 7], "2": [1, 4], "3": [3, 5, 6]
        }  # fmt: skip

    def test_a_column_of_many_labels_or_of_no_test_rows_is_refused(self):
        labels = np.arange(300)
        with pytest.raises(SplitError, match=r"300 different labels, .* at most 200"):
            list(ColumnSplit(labels).folds(np.zeros((300, 1))))
        assert len(list(ColumnSplit(np.arange(200)).folds(np.zeros((200, 1))))) == 200
        with pytest.raises(SplitError, match="names the parts train, val, but no row is test"):
            list(ColumnSplit(["train"] * 6 + ["val"] * 2).folds(X, None, FORMULAS))

    def test_a_column_of_both_is_refused(self):
        with pytest.raises(SplitError, match="names parts, but also 'x'"):
            list(ColumnSplit(["test"] * 4 + ["x"] * 4).folds(X, None, FORMULAS))

    def test_folds_made_elsewhere_are_taken_as_they_are_if_asked(self):
        rows = {"train": np.array([0, 4]), "test": np.array([1, 2]), "val": np.array([3])}
        (fold,) = PredefinedSplit([Fold(**rows, name="a")], whole_formulas=False).folds(
            X, None, FORMULAS
        )
        assert {name: values.tolist() for name, values in fold.parts.items()} == {
            "train": [0, 4], "val": [3], "target": [], "test": [1, 2]
        }  # fmt: skip
        with pytest.raises(LeakageError, match="such as Li2O in fold 'a'"):
            list(PredefinedSplit([Fold(**rows, name="a")]).folds(X, None, FORMULAS))

    def test_they_keep_rows_that_they_leave_out_and_the_order_of_target_labels(self):
        given = Fold(np.array([0, 3]), np.array([1]), target=np.array([7, 2, 5]))
        (fold,) = PredefinedSplit([given], whole_formulas=False).folds(X, None, FORMULAS)
        assert fold.test.tolist() == [1]  # not row 4, the other Li2O
        assert fold.target.tolist() == [7, 2, 5]
        assert PredefinedSplit([given, given]).get_n_splits() == 2
        (cut,) = PredefinedSplit([given]).restrict(np.array([0, 1, 3, 5])).given
        assert (cut.train.tolist(), cut.test.tolist(), cut.target.tolist()) == ([0, 2], [1], [3])

    @pytest.mark.parametrize(
        ("train", "test", "error", "message"),
        [
            ([0, 9], [1], SplitError, r"names row 9 \(counted from 0\), the table has 8 rows"),
            (
                [0, 1],
                [1, 2],
                LeakageError,
                "has one row twice: Li2O, row 1 of the usable rows",
            ),
            ([0, 1], [-1], SplitError, "names row -1"),
            ([0, 1], [], SplitError, "has no row in train or none in test"),
        ],
    )
    def test_folds_of_another_table(self, train, test, error, message):
        fold = Fold(np.array(train), np.array(test, dtype=int), name="a")
        with pytest.raises(error, match=message):
            list(PredefinedSplit([fold]).folds(X, None, FORMULAS))
