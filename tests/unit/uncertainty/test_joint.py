"""Joint intervals: bounds by hand, and the share of exchangeable rows that they hold."""

from __future__ import annotations

import numpy as np
import pytest

from xtalshift.errors import DataError
from xtalshift.uncertainty.joint import JointScores


def test_bounds_of_a_small_table_by_hand():
    # ranks: (1, 4) (2, 1) (3, 3) (4, 2); max ranks sorted: 2, 3, 4, 4
    known = JointScores(np.array([[0.1, 40.0], [0.2, 10.0], [0.3, 30.0], [0.4, 20.0]]))
    assert known.max_ranks.tolist() == [2, 3, 4, 4]
    # m = ceil(5 * 0.2) = 1: max rank 2, the third smallest score of each target
    assert known.bounds(0.2).tolist() == [0.3, 30.0]
    assert known.bounds(0.4).tolist() == [0.4, 40.0]
    assert known.bounds(0.6).tolist() == [np.inf, np.inf]


def test_one_target_has_at_most_one_rank_more_than_alone():
    scores = np.random.default_rng(0).random(99)
    alone = np.sort(scores)[89]
    (joint,) = JointScores(scores[:, None]).bounds(0.9)
    assert joint == np.sort(scores)[90] > alone


def test_equal_scores_have_the_rank_of_the_last():
    assert JointScores(np.array([[1.0], [1.0], [2.0]])).max_ranks.tolist() == [2, 2, 3]


@pytest.mark.parametrize("correlation", [0.0, 0.8, 1.0])
@pytest.mark.parametrize("n", [60, 400])
def test_joint_coverage_of_exchangeable_rows_is_the_level(n, correlation):
    """1,000 draws of n calibration rows and one new row, three targets of different units."""
    rng = np.random.default_rng(n)
    draws, level = 1000, 0.9
    common = rng.standard_normal((draws, n + 1, 1))
    own = rng.standard_normal((draws, n + 1, 3))
    scores = np.abs(correlation * common + np.sqrt(1 - correlation**2) * own) * [1.0, 100.0, 1e-3]
    held = np.array(
        [(new <= JointScores(known).bounds(level)).all() for *known_rows, new in scores
         for known in [np.array(known_rows)]]
    )  # fmt: skip
    error = 3 * np.sqrt(level * (1 - level) / draws)
    most = level + 4 / (n + 1)  # three targets may tie at a rank, and one is added
    assert level - error <= held.mean() <= most + error


def test_bad_scores_are_refused():
    with pytest.raises(DataError, match="not finite"):
        JointScores(np.array([[1.0, np.nan]]))
    with pytest.raises(DataError, match=r"expected \(rows, targets\)"):
        JointScores(np.zeros((0, 2)))
