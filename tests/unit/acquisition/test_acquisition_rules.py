"""Rules by name: each gives the scores of its function, and says what it lacks."""

import dataclasses

import numpy as np
import pytest

from xtalshift.acquisition import acquisition_functions as acquisition
from xtalshift.acquisition.acquisition_rules import (
    RULES,
    Aim,
    Candidates,
    best_measured,
    choose_candidates,
    register_rule,
    score_candidates,
    shortfall,
)
from xtalshift.errors import ConfigError, DataError, NotFoundError

MEAN, STD = np.array([1.0, 3.0, 2.0, -4.0]), np.array([0.5, 0.1, 2.0, 0.2])
POINTS = np.array([[0.0], [1.0], [1.2], [8.0]])
ALL = Candidates(4, MEAN, STD, POINTS, known=[[7.5]])


def test_the_names_of_the_command_line():
    assert list(RULES) == [
        "uncertainty",
        "expected-improvement",
        "target",
        "probability",
        "ucb",
        "random",
        "diversity",
    ]
    assert all(rule.summary.endswith(".") for rule in map(RULES.__getitem__, RULES))


@pytest.mark.parametrize(
    ("rule", "aim", "expected"),
    [
        ("uncertainty", Aim(), STD),
        (
            "expected-improvement",
            Aim("low", best=0.5),
            acquisition.expected_improvement(MEAN, STD, 0.5, "low"),
        ),
        (
            "target",
            Aim(target=1.5, best=2.5),
            acquisition.target_improvement(MEAN, STD, 1.5, 2.5),
        ),
        (
            "probability",
            Aim("low", threshold=1.5),
            acquisition.probability_beyond(MEAN, STD, 1.5, "low"),
        ),
        (
            "probability",
            Aim(window=(1.0, 2.0)),
            acquisition.probability_within(MEAN, STD, 1.0, 2.0),
        ),
        ("ucb", Aim(kappa=1.0), MEAN + STD),
        ("random", Aim(), np.random.default_rng(5).random(4)),
        ("diversity", Aim(), np.ones(4)),
    ],
)
def test_scores_are_those_of_the_function(rule, aim, expected):
    assert score_candidates(rule, ALL, aim, rng=5).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("rule", "aim", "expected"),
    [
        # 2.0 first; then 0.5 * 1, 0.1 * small, 0.2 * 1 with the median distance of 4.15
        ("uncertainty", Aim(), [2, 3, 0, 1]),
        # 0 is 7.5 from the known place; then 1.2 is 1.2 from 0, ...
        ("diversity", Aim(), [0, 2, 3, 1]),
    ],
)
def test_batches_by_hand(rule, aim, expected):
    assert choose_candidates(rule, ALL, 4, aim).rows.tolist() == expected


def test_a_bound_counts_from_the_lowest_candidate():
    found = choose_candidates("ucb", ALL, 2, Aim(kappa=0.0), diversity=0.0)
    assert found.rows.tolist() == [1, 2]
    assert found.score.tolist() == [3.0, 2.0]
    assert found.utility.tolist() == [7.0, 6.0]


def test_without_points_the_largest_scores_are_taken():
    bare = Candidates(4, MEAN, STD)
    assert choose_candidates("uncertainty", bare, 2).rows.tolist() == [2, 0]


def test_random_is_a_permutation_of_its_seed():
    draws = [choose_candidates("random", ALL, 4, rng=seed).rows.tolist() for seed in range(30)]
    assert all(sorted(rows) == [0, 1, 2, 3] for rows in draws)
    assert len({tuple(rows) for rows in draws}) > 10
    assert draws[3] == choose_candidates("random", ALL, 4, rng=3).rows.tolist()


def test_costs_and_budget_are_handed_on():
    found = choose_candidates("uncertainty", ALL, 4, diversity=0, costs=[1, 1, 100, 1], budget=2.0)
    assert found.rows.tolist() == [0, 3]


@pytest.mark.parametrize(
    ("rule", "change", "aim", "message"),
    [
        ("expected-improvement", {"std": None}, Aim(best=1.0), "needs std: .*use a method"),
        ("expected-improvement", {}, Aim(), "needs best: the best value measured"),
        ("target", {}, Aim(best=1.0), "needs target: the wanted value"),
        ("probability", {}, Aim(), "either a threshold or a window"),
        ("probability", {}, Aim(threshold=1.0, window=(0, 1)), "either a threshold or a window"),
        ("uncertainty", {"std": None}, Aim(), "needs std"),
        ("diversity", {"points": None}, Aim(), "needs points"),
    ],
)
def test_what_is_missing_is_named(rule, change, aim, message):
    with pytest.raises(ConfigError, match=message):
        score_candidates(rule, dataclasses.replace(ALL, **change), aim)


def test_bad_arguments_are_named():
    with pytest.raises(NotFoundError, match="did you mean 'uncertainty'"):
        score_candidates("uncertanty", ALL)
    with pytest.raises(DataError, match=r"mean has shape \(3,\); expected one per candidate, 4"):
        score_candidates("random", dataclasses.replace(ALL, mean=MEAN[:3]))


@pytest.mark.parametrize(
    ("rule", "aim", "expected"),
    [
        # the goal less 2 standard deviations, for predictions about 3 or more away
        ("expected-improvement", Aim(best=9.0), [7.0, 5.8, 3.0, 12.6]),
        ("expected-improvement", Aim("low", best=0.0), [0.0, 2.8, 0.0, 0.0]),
        ("probability", Aim(threshold=3.2), [1.2, 0.0, 0.0, 6.8]),
        ("probability", Aim("low", threshold=-2.0), [2.0, 4.8, 0.0, 0.0]),
        ("probability", Aim(window=(1.0, 2.0)), [0.0, 1.3, 0.0, 5.1]),
        ("target", Aim(target=1.5, best=1.4), [0.0, 1.3, 0.0, 5.1]),
        ("target", Aim(target=1.5, best=4.0), [0.0, 0.0, 0.0, 5.1]),
        ("uncertainty", Aim(best=9.0), [0.0] * 4),
        ("ucb", Aim(best=9.0), [0.0] * 4),
    ],
)
def test_the_shortfall_of_negligible_scores(rule, aim, expected):
    scores = score_candidates(rule, ALL, aim)
    assert shortfall(rule, ALL, aim, scores).tolist() == pytest.approx(expected)


def test_a_score_is_negligible_from_three_standard_deviations_on():
    for rule, aim, edge in (
        ("expected-improvement", Aim(best=0.0), 2.988),
        ("probability", Aim(threshold=0.0), 3.291),
        ("probability", Aim(window=(-1e-3, 1e-3)), 3.717),
        ("target", Aim(target=0.0, best=1e-3), 3.717),
    ):
        near = Candidates(3, [-edge + 0.002, -edge - 0.002, -50.0], np.ones(3))
        found = shortfall(rule, near, aim, score_candidates(rule, near, aim))
        assert (found > 0).tolist() == [False, True, True]
    certain = Candidates(2, [0.0, 1.0], np.zeros(2))  # no standard deviation, exactly at the goal
    scores = score_candidates("expected-improvement", certain, Aim(best=0.0))
    assert (shortfall("expected-improvement", certain, Aim(best=0.0), scores) > 0).tolist() == [
        *(True, False)
    ]


def test_scores_of_the_far_tail_decide_nothing():
    # expected improvements of 6e-46, 5e-51 and 5e-40; the first two have equal positions
    tail = Candidates(3, [-14.0, -14.8, -13.0], np.ones(3), [[0.0], [0.0], [5.0]])
    scores = score_candidates("expected-improvement", tail, Aim(best=0.0))
    assert scores.tolist() == pytest.approx([5.5e-46, 4.8e-51, 4.7e-40], rel=0.1, abs=0)
    found = choose_candidates("expected-improvement", tail, 3, Aim(best=0.0))
    assert found.rows.tolist() == [2, 0, 1]
    assert not found.decisive.any()
    # counted from the farthest one, in the unit of the target
    assert found.utility.tolist() == pytest.approx([1.8, 0.8, 0.0])
    assert found.score.tolist() == scores[found.rows].tolist()
    # by score, row 1 would follow row 0 at a distance of 0.1: 5e5 times the score of row 2
    near = Candidates(4, [-14.0, -14.1, -15.0, -20.0], np.ones(4), [[0.0], [0.1], [5.0], [9.0]])
    assert choose_candidates("expected-improvement", near, 2, Aim(best=0.0)).rows.tolist() == [0, 2]


def test_scores_that_count_come_first_and_the_optimistic_follow():
    mean, std = [-0.5, -40.0, -30.0, -1.0], [1.0, 8.0, 1.0, 1.0]
    given_ = Candidates(4, mean, std)
    found = choose_candidates("expected-improvement", given_, 4, Aim(best=0.0))
    # 40 - 2 * 8 = 24 is less than 30 - 2 * 1
    assert found.rows.tolist() == [0, 3, 1, 2]
    assert found.decisive.tolist() == [True, True, False, False]
    costs = choose_candidates("expected-improvement", given_, 3, Aim(best=0.0), costs=[1, 1, 1, 99])
    assert costs.rows.tolist() == [0, 3, 1]


def test_the_best_measured_value_depends_on_the_aim():
    measured = [0.1, np.nan, 1.4, 3.0]
    assert best_measured(measured, Aim()) == 3.0
    assert best_measured(measured, Aim("low")) == 0.1
    assert best_measured(measured, Aim(target=2.5)) == 3.0
    with pytest.raises(DataError, match="no measured value"):
        best_measured([np.nan], Aim())


def test_a_rule_of_ones_own():
    @register_rule("cheap-talk", needs=("mean",), diversity=0.0)
    def first_line(given, aim, rng):
        """Take the predictions as they are."""
        return np.asarray(given.mean) + 10

    try:
        assert RULES["cheap-talk"].summary == "Take the predictions as they are."
        assert choose_candidates("cheap-talk", ALL, 1).rows.tolist() == [1]
    finally:
        RULES.remove("cheap-talk")
