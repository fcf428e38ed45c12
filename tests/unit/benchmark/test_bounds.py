"""Rows of which only bounds are known, in the folds and scores of a benchmark."""

import numpy as np
import pytest

from xtalshift.benchmark.prepare import with_known_tests
from xtalshift.benchmark.problem import FoldRows, TestRows
from xtalshift.errors import SplitError


def fold():
    return FoldRows(
        "table", "family", 0, 0, "family", "high", (2, 4),
        train=np.arange(6), val=np.array([6, 7]), target=np.array([8, 9, 10, 11]),
        tests=(
            TestRows("family", "id", np.array([12, 13])),
            TestRows("family", "ood", np.arange(14, 20), "all materials that contain F"),
        ),
    )  # fmt: skip


def bounded(*rows):
    return np.isin(np.arange(20), rows)


def test_test_rows_and_target_labels_have_values_and_the_others_are_counted():
    found = with_known_tests(fold(), bounded(0, 6, 9, 14, 15))
    assert found.train.tolist() == list(range(6))  # bounds train
    assert found.val.tolist() == [6, 7]
    assert found.target.tolist() == [8, 10, 11]
    assert found.budgets == (2,)
    inside, outside = found.tests
    assert inside.rows.tolist() == [12, 13]
    assert (inside.n_bounded, inside.description) == (0, "")
    assert outside.rows.tolist() == [16, 17, 18, 19]
    assert outside.n_bounded == 2
    assert outside.description == (
        "all materials that contain F; 2 further rows have bounds, and so no error"
    )


def test_without_bounds_nothing_changes():
    one = fold()
    assert with_known_tests(one, bounded()) is one


@pytest.mark.parametrize(
    ("rows", "what"),
    [(range(6), "training"), ((6, 7), "validation"), (range(14, 20), r"family \(ood\) test")],
)
def test_parts_without_values_are_refused(rows, what):
    with pytest.raises(SplitError, match=f"of all {what} rows only bounds"):
        with_known_tests(fold(), bounded(*rows))
