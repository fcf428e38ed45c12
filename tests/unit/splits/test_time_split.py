"""Time splits."""

import numpy as np
import pytest

from split_toys import FORMULAS, X
from xtalshift.errors import SplitError
from xtalshift.splits import (
    TimeSplit,
)


class TestTime:
    years = (2001, 2002, 2003, 2004, 2005, 2006, 2006, 2007)

    def folds(self, *arguments, times=None, **settings):
        splitter = TimeSplit(self.years if times is None else times, *arguments, **settings)
        return {
            fold.name: (fold.train.tolist(), fold.test.tolist())
            for fold in splitter.folds(X, None, FORMULAS)
        }

    def test_the_last_share_of_new_formulas_and_nothing_later_trains(self):
        assert self.folds(0.125) == {"2007 to 2007": ([0, 1, 2, 3, 4, 5, 6], [7])}
        # two rows of 2006 do not fit beside 2007, and rows of one year stay together
        assert self.folds(0.25) == {"2007 to 2007": ([0, 1, 2, 3, 4, 5, 6], [7])}
        assert self.folds(0.375) == {"2006 to 2007": ([0, 1, 2, 3, 4], [5, 6, 7])}
        # Li2O of 2005 was known in 2002: it may neither train nor be new
        assert self.folds(0.5) == {"2004 to 2007": ([0, 1, 2], [3, 5, 6, 7])}

    def test_several_periods_train_on_all_before(self):
        found = self.folds(0.375, 2)
        # three of eight rows each; LiF and Fe2O3 are the formulas new in the earlier period
        assert found == {
            "2003 to 2004": ([0, 1], [2, 3]),
            "2006 to 2007": ([0, 1, 2, 3, 4], [5, 6, 7]),
        }

    def test_dates(self):
        days = np.array([f"{year}-03-01" for year in self.years], dtype="datetime64[D]")
        assert list(self.folds(0.125, times=days)) == ["2007-03-01 to 2007-03-01"]

    @pytest.mark.parametrize(
        ("arguments", "times", "message"),
        [
            ((0.2,), [1.0] * 8, "only 1 different times"),
            ((0.2,), ["a"] * 8, "times holds .*give numbers, or dates as numpy.datetime64"),
            ((0.2,), [1.0] * 7, r"times has shape \(7,\)"),
            ((0.2,), [1.0] * 7 + [np.nan], r"times\[7\] is nan; every row needs a time"),
            ((0.3, 4), years, "4 test periods of 30% leave nothing .* n_folds from 1 to 3"),
            ((0.5, 2), years, "2 test periods of 50% leave nothing .* n_folds from 1 to 1"),
            ((1.5,), years, "share of test rows is 1.5"),
        ],
    )
    def test_impossible_requests_say_what_is_possible(self, arguments, times, message):
        with pytest.raises(SplitError, match=message):
            self.folds(*arguments, times=times)


def test_a_negative_zero_is_the_same_time():
    times, X = np.array([-0.0, 0.0, -3.0, -3.0]), np.arange(4.0)[:, None]
    for order in ([0, 1, 2, 3], [1, 0, 3, 2]):
        (fold,) = TimeSplit(times[order], share=0.5).folds(X)
        assert fold.name == "0 to 0"
        assert sorted(fold.test) == [0, 1]
