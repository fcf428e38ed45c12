"""Work that begins here, and goes on in other processes where that saves time."""

from __future__ import annotations

import os
from contextlib import closing
from functools import partial

import pytest

import parallel_toys as toys
from xtalshift.parallel import here_first, map_here_first


@pytest.mark.parametrize(
    ("start_seconds", "workers", "elsewhere"),
    [
        (0.0, 3, 3),
        (0.0, 2, 3),
        (0.0, 1, 0),  # nothing to share with
        (60.0, 3, 0),  # a start would take longer than the work
    ],
)
def test_the_first_item_is_done_here_and_the_others_where_they_end_sooner(
    monkeypatch, start_seconds, workers, elsewhere
):
    monkeypatch.setattr(here_first, "START_SECONDS", start_seconds)
    setup = partial(str, "state")
    outcomes = list(map_here_first(toys.burn, [5, 6, 7, 8], workers=workers, setup=setup))
    assert [outcome.item for outcome in outcomes] == [5, 6, 7, 8]
    assert [outcome.value[1:] for outcome in outcomes] == [("state", n) for n in (5, 6, 7, 8)]
    pids = [outcome.value[0] for outcome in outcomes]
    assert pids[0] == os.getpid()
    assert sum(pid != os.getpid() for pid in pids) == elsewhere
    assert len(set(pids)) <= workers + 1


@pytest.mark.parametrize("items", [[], [3], [3, 4]])
def test_one_item_left_goes_to_no_process(monkeypatch, items):
    monkeypatch.setattr(here_first, "START_SECONDS", 0.0)
    outcomes = map_here_first(toys.burn, items, workers=4, setup=partial(str, "state"))
    assert [outcome.value for outcome in outcomes] == [(os.getpid(), "state", n) for n in items]


@pytest.mark.parametrize("start_seconds", [-1.0, 60.0])
def test_an_error_is_that_of_its_item(monkeypatch, start_seconds):
    monkeypatch.setattr(here_first, "START_SECONDS", start_seconds)
    good, bad, last = map_here_first(toys.reciprocal, [1, 0, 2], workers=2)
    assert (good.value, last.value) == (1, 0.5)
    with pytest.raises(ZeroDivisionError):
        bad.value  # noqa: B018


def test_closing_it_stops_what_is_running(monkeypatch):
    monkeypatch.setattr(here_first, "START_SECONDS", -1.0)
    with closing(map_here_first(toys.nap, [0, 0, 60, 60], workers=2)) as outcomes:
        assert [next(outcomes).item, next(outcomes).item] == [0, 0]
