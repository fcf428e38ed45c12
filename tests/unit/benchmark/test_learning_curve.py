import numpy as np
import pytest

from benchmark_toys import make_shared
from xtalshift.benchmark.learning_curve import draw_subset, pick_learner, subset_sizes


@pytest.mark.parametrize(
    ("n", "most", "sizes"),
    [
        (1000, 4000, [500, 250, 125, 62]),
        (18_600, 4000, [2325, 1162, 581, 290]),
        (300, 100, [75]),
        (160, 4000, [80, 40]),
        (79, 4000, []),
    ],
)
def test_sizes_are_halves_of_halves(n, most, sizes):
    assert subset_sizes(n, most) == sizes


def test_subsets_are_nested_and_keep_the_proportion():
    fold = next(iter(make_shared().folds.values()))
    n, n_val = len(fold.train), len(fold.val)
    half, quarter = (draw_subset(fold, n // part, 1) for part in (2, 4))
    assert (len(half.train), len(quarter.train)) == (n // 2, n // 4)
    assert (len(half.val), len(quarter.val)) == (round(n_val / 2), max(1, round(n_val / 4)))
    assert set(quarter.train) < set(half.train) < set(fold.train)
    assert set(quarter.val) <= set(half.val) <= set(fold.val)
    assert half.tests is fold.tests
    other = draw_subset(fold, n // 2, 2)
    assert not np.array_equal(other.train, half.train)
    assert np.array_equal(draw_subset(fold, n // 2, 1).train, half.train)


def test_slow_methods_have_a_fast_one_in_their_place():
    chosen = {"auto", "erm", "cal", "svr", "ridge", "lightgbm", "dummy"}
    assert {name: pick_learner(name) for name in chosen} == {
        "auto": "lightgbm", "erm": "lightgbm", "cal": "lightgbm", "svr": "lightgbm",
        "ridge": "ridge", "lightgbm": "lightgbm", "dummy": None,
    }  # fmt: skip
