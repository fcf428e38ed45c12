"""Work that starts in this process and continues in others if that saves time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from xtalshift.parallel.executor import InProcessExecutor, Outcome, Policy, Setup

START_SECONDS = 4.0
"""Seconds of processor time that new processes need to load PyTorch before they work."""

Item = TypeVar("Item")
Value = TypeVar("Value")


def map_here_first(
    function: Callable[..., Value],
    items: Sequence[Item],
    *,
    workers: int,
    setup: Setup | None = None,
    preload: tuple[str, ...] = (),
) -> Generator[Outcome[Item, Value]]:
    """Yield the outcome of each item in order, from this process or from new ones.

    This is for a few items of similar but unknown cost. The first item is worked on in this process
    and measured, in processor time, because other work on the machine delays the start of processes
    as much. The other items follow here, or go to `workers` processes if that saves more time than
    they need to start. All work has one thread, so that results are the same bits either way.

    Parameters
    ----------
    function, setup
        As in `Executor.map`.
    items : sequence
        What to work on.
    workers : int
        Largest number of processes; with 1 all items are worked on in this process.
    preload : tuple of str
        As in `Policy`.

    Yields
    ------
    Outcome
        Outcome of one item. Closing the generator stops running work.
    """
    first, rest = items[:1], items[1:]
    with InProcessExecutor().open(setup) as here:
        started = time.process_time()
        outcomes = list(here.map(function, first))
        seconds = time.process_time() - started
        yield from outcomes
        saved = seconds * (len(rest) - math.ceil(len(rest) / workers))
        if saved <= START_SECONDS:
            yield from here.map(function, rest)
            return
    from xtalshift.parallel.processes import ProcessExecutor

    executor = ProcessExecutor(workers=min(workers, len(rest)))
    yield from executor.map(function, rest, setup=setup, policy=Policy(preload=preload))
