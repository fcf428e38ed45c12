"""The tails of the target."""

import numpy as np
import pytest

from split_toys import FORMULAS, TARGETS, X, rows_by_fold, rows_of
from xtalshift.errors import SplitError
from xtalshift.splits import (
    MatExSplit,
    PriorSplit,
)


class TestPrior:
    # by largest target: LiF 9, Li2O 8 (and 1), MgO 6, NaCl 5, LiFeO2 4, KF 3, Fe2O3 2
    @pytest.mark.parametrize(
        ("tail", "share", "expected"),
        [
            ("high", 0.125, [2]),
            ("high", 0.25, [2]),  # Li2O would make three of eight rows
            ("high", 0.375, [1, 2, 4]),
            ("low", 0.25, [1, 4]),  # a polymorph of the lowest target goes with it
            ("low", 0.375, [1, 3, 4]),
            ("both", 0.5, [1, 2, 4]),
            ("both", 0.75, [1, 2, 3, 4]),
            ("both", 0.001, [1, 2, 4]),  # one formula of each end
        ],
    )
    def test_rows(self, tail, share, expected):
        assert rows_of(PriorSplit(tail, share)) == expected

    def test_without_groups_every_row_is_its_own(self):
        assert rows_of(PriorSplit("high", 0.25), groups=None) == [2, 4]
        assert rows_of(PriorSplit("both", 0.5), groups=None) == [1, 2, 3, 4]

    def test_ties_are_broken_by_formula_whatever_the_order_of_rows(self):
        groups = ["c", "a", "b", "d"]
        splitter = PriorSplit("high", 0.5)
        assert rows_of(splitter, [1.0] * 4, groups, X[:4]) == [1, 2]
        assert rows_of(splitter, [1.0] * 4, groups[::-1], X[:4]) == [1, 2]

    def test_no_training_target_lies_beyond_the_tail(self):
        y = np.random.default_rng(1).normal(size=300)
        groups = np.array([f"g{i % 220}" for i in range(300)])
        mask = PriorSplit("high", 0.1).held_out(np.zeros((300, 1)), y, groups)
        least = min(y[groups == name].max() for name in set(groups[mask]))
        assert y[~mask].max() < least
        assert 25 <= mask.sum() <= 30

    @pytest.mark.parametrize(
        ("splitter", "y", "message"),
        [
            (PriorSplit(), None, "pass y"),
            (PriorSplit("top"), TARGETS, "tail = 'top'; expected one of high, low, both"),
            (PriorSplit("both", 1.2), TARGETS, r"share of test rows is 1\.2"),
            (PriorSplit("low", -0.1), TARGETS, r"share of test rows is -0\.1"),
            (
                PriorSplit(),
                [*TARGETS[:7], np.nan],
                r"y\[7\] is nan; this split needs",
            ),
        ],
    )
    def test_errors(self, splitter, y, message):
        with pytest.raises(SplitError, match=message):
            splitter.held_out(X, y, FORMULAS)

    def test_description(self):
        assert PriorSplit("both", 0.005).describe() == (
            "the 0.5% of rows with the highest and lowest targets"
        )


class TestTails:
    def test_a_conditional_tail_takes_its_share_of_every_family(self):
        # oxides by largest target: Li2O 8 (two rows), MgO 6, LiFeO2 4, Fe2O3 2; fluorides LiF 9, KF
        splitter = PriorSplit("high", 0.5, within="family")
        assert rows_by_fold(splitter) == {"": [1, 2, 4]}  # MgO would be three of five oxides
        assert rows_by_fold(PriorSplit("low", 0.5, within="family")) == {"": [1, 4, 5]}
        assert rows_by_fold(PriorSplit("high", 0.5, within="family", only="fluoride")) == {"": [2]}
        own = ["a", "a", "b", "a", "a", "b", "b", "b"]
        assert rows_by_fold(PriorSplit("high", 0.25, within=own)) == {"": [1, 2, 4]}  # a: Li2O

    def test_its_errors(self):
        with pytest.raises(SplitError, match="no row has family = 'nitride'"):
            list(PriorSplit(within="family", only="nitride").folds(X, TARGETS, FORMULAS))
        with pytest.raises(SplitError, match="only = 'oxide' is one label of within"):
            list(PriorSplit(only="oxide").folds(X, TARGETS, FORMULAS))

    def test_matex_counts_rows_rounded_down(self):
        (fold,) = MatExSplit(0.25, 0.34, random_state=0).folds(X, TARGETS, FORMULAS)
        assert fold.test.tolist() == [2, 4]  # Li2O of row 1 stays: 9 and 8 are the top two rows
        assert len(fold.val) == 2  # 0.34 of six rows
        assert len(fold.train) == 4
        (whole,) = MatExSplit(0.375, 0.3, whole_formulas=True, random_state=0).folds(
            X, TARGETS, FORMULAS
        )
        assert whole.test.tolist() == [1, 2, 4]
        assert len(whole.val) == 1
