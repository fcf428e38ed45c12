"""A budget of wall time, on a clock that the tests move."""

import math

import numpy as np
import pytest

from estimator_toys import data
from xtalshift.errors import ConfigError
from xtalshift.estimators import ConstantRegressor, StackRegressor, SVRegressor, time_budget
from xtalshift.estimators.stack import Member
from xtalshift.estimators.time_budget import OutOfTimeError, TimeBudget, describe_seconds
from xtalshift.progress import NO_PROGRESS


class Clock:
    """Time that passes only when it is told."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(time_budget, "time", made)
    return made


def slow(clock, seconds):
    """Return a regressor whose fits take some seconds each, with a report after every second."""

    class Slow(ConstantRegressor):
        def _fit(self, data):
            with data.progress.task("slow", None) as task:
                for _ in range(seconds):
                    clock.now += 1
                    task.advance()
            super()._fit(data)

    return Slow()


def test_a_budget_learns_how_fast_the_machine_is(clock):
    budget = TimeBudget(2)
    assert budget.expect(10) == 10
    clock.now = 30
    budget.note(10, 30)
    assert budget.expect(10) == 30
    budget.note(20, 0)
    assert budget.expect(10) == 10
    assert (budget.spent, budget.left) == (30, 90)
    assert TimeBudget(2, spent=100).left == 20
    assert TimeBudget(None).left == math.inf


@pytest.mark.parametrize("minutes", [0, -1.0, math.nan])
def test_a_budget_is_positive(minutes):
    with pytest.raises(ConfigError, match="expected a positive number"):
        TimeBudget(minutes)


def test_watched_work_ends_at_a_report_after_its_time(clock):
    budget = TimeBudget(1)
    with budget.watch(NO_PROGRESS, 5).task("work", 3) as task:
        clock.now = 5
        task.advance()
        clock.now = 5.1
        with pytest.raises(OutOfTimeError, match="longer than expected"):
            task.advance()
    assert budget.watch(NO_PROGRESS, math.inf) is NO_PROGRESS


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 seconds"), (59.4, "59 seconds"), (60, "1.0 minutes"), (3599, "60.0 minutes")],
)
def test_seconds_are_said_as_people_say_them(seconds, text):
    assert describe_seconds(seconds) == text


def stack(clock, minutes, **kinds):
    """Return a stack of members ``name=(seconds of a fit, expected effort of 1,000 rows)``."""
    members = [
        Member(name, slow(clock, took), seconds=effort) for name, (took, effort) in kinds.items()
    ]
    return StackRegressor(members, n_folds=2, minutes=minutes, random_state=0)


def test_members_are_tried_in_the_order_of_effort_and_left_out_if_there_is_no_time(clock):
    # 2 fits to folds of 50 of 100 rows, then one to all
    made = stack(clock, 1, big=(20, 200.0), small=(5, 50.0)).fit(*data(100))
    assert [one.name for one in made.members_] == ["small"]
    # small took twice as long as expected, and its fit to all rows is still to come
    assert made.left_out_ == {"big": "it needs about 1.3 minutes, and 40 seconds were left"}
    assert [one["left_out"] for one in made.describe_members()] == [None, made.left_out_["big"]]
    assert clock.now == 15
    enough = stack(clock, 1.7, big=(20, 200.0), small=(5, 50.0)).fit(*data(100))
    assert enough.left_out_ == {}


def test_a_member_that_takes_longer_than_expected_is_stopped(clock):
    made = stack(clock, 1, wrong=(100, 60.0), small=(5, 50.0)).fit(*data(100))
    assert [one.name for one in made.members_] == ["small"]
    assert "longer than expected" in made.left_out_["wrong"]
    assert clock.now <= 60


def test_the_first_member_is_fitted_whatever_time_it_takes(clock):
    made = stack(clock, 0.01, first=(50, 1.0), other=(1, 2.0)).fit(*data(100))
    assert [one.name for one in made.members_] == ["first"]
    assert set(made.left_out_) == {"other"}


def test_the_effort_of_a_member_grows_up_to_the_rows_that_it_takes():
    assert Member("a", SVRegressor(max_rows=3000), seconds=2.0).effort(9000) == 6.0
    assert Member("a", SVRegressor(max_rows=3000), seconds=2.0).effort(1000) == 2.0
    assert Member("a", ConstantRegressor(), seconds=2.0).effort(9000) == 18.0


def test_without_a_budget_all_members_are_tried(clock):
    made = stack(clock, None, big=(500, 200.0), small=(5, 50.0)).fit(*data(100))
    assert made.left_out_ == {}
    assert np.isfinite(list(made.errors_.values())).all()
