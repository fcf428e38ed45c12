"""A changed checkpoint is refused in one line, or the training ends with the same bits."""

import os
import random
from collections import Counter

import pytest

from faults.checkpoint_mutations import MUTATIONS, REFUSED, SAME, TRAININGS, attempts
from faults.trying import try_each

QUICK, LONG = 6, 10_000


def check(tasks):
    counts, faults = Counter(), []
    for task, result in try_each(attempts, tasks):
        counts[task[1], result if result in {REFUSED, SAME} else "fault"] += 1
        if result not in {REFUSED, SAME}:
            faults.append((*task, result))
    assert not faults, faults[:20]
    for kind in MUTATIONS:  # the mutations are no idle ones
        assert counts[kind, REFUSED] > counts[kind, SAME]


def test_a_changed_checkpoint_is_refused_or_changes_nothing():
    check([(name, kind, n) for name in TRAININGS for kind in MUTATIONS for n in range(QUICK)])


@pytest.mark.long
@pytest.mark.timeout(0)
def test_a_changed_checkpoint_is_refused_or_changes_nothing_in_many_tries():
    first = int(os.environ.get("XTALSHIFT_FUZZ_SEED", "0"))
    rng, names, kinds = random.Random(first), list(TRAININGS), list(MUTATIONS)
    n = int(os.environ.get("XTALSHIFT_FUZZ_TRIES", LONG))
    check([(rng.choice(names), rng.choice(kinds), 10**6 + first + i) for i in range(n)])
