"""Propensity: the materials most like a target domain."""

import numpy as np
import pytest

from split_toys import CLUMPS, clump_folds
from xtalshift.errors import SplitError
from xtalshift.splits import (
    PropensitySplit,
)


class TestPropensity:
    def test_the_rows_most_like_the_candidates(self):
        candidates = np.array([[52, 1], [52, 2], [53, 0], [53, 1], [51, -1], [54, 0]], float)
        splitter = PropensitySplit(candidates, share=0.2, random_state=0)
        # a linear model: the lone point lies on the side of the candidates, beyond them
        assert clump_folds(splitter) == [("", [8, 10, 14])]

    def test_flagged_rows_stand_out(self):
        flags = np.arange(15) < 6
        ((_, rows),) = clump_folds(PropensitySplit(flags=flags, share=0.34))
        assert set(rows) <= set(range(6))

    @pytest.mark.parametrize(
        ("settings_", "message"),
        [
            ({}, "by the features of its materials, or by flags"),
            ({"flags": np.arange(15) < 3}, "3 materials inside the target domain; at least 5"),
            ({"flags": np.ones(15)}, "0 materials outside the target domain; at least 5"),
            ({"candidates": np.zeros((9, 3))}, r"candidates has the shape \(9, 3\), X has 2"),
        ],
    )
    def test_impossible_requests_say_what_is_possible(self, settings_, message):
        with pytest.raises(SplitError, match=message):
            list(PropensitySplit(**settings_).folds(CLUMPS))
