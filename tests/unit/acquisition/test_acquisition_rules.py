"""Rules by name: each gives the scores of its function, and says what it lacks."""

import dataclasses

import numpy as np
import pytest

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
from xtalshift.data.transform import TargetTransform
from xtalshift.errors import ConfigError, DataError, NotFoundError
from xtalshift.uncertainty.conformal import ScoreLaw
from xtalshift.uncertainty.predictive import PredictiveDistribution

LAW = ScoreLaw.of(np.arange(1, 100) / 25)
"""99 scores from 0.04 to 3.96: a density of 1/4, 68.27 % below 2.76, and 1 % above all."""


def forecast(mean, width, transform="none", law=LAW):
    mean, width = np.array(mean, dtype=float), np.array(width, dtype=float)
    codes, own = np.zeros(len(mean), dtype=np.int64), np.ones(len(mean))
    scale = TargetTransform(transform)
    return PredictiveDistribution(scale, mean, mean, mean, width, (law,), codes, own)


MEAN, WIDTH = np.array([1.0, 3.0, 2.0, -4.0]), np.array([0.5, 0.1, 2.0, 0.2])
FOUND = forecast(MEAN, WIDTH)
POINTS = np.array([[0.0], [1.0], [1.2], [8.0]])
SHARES = [[0.5, 0.5, 0.0], [0.2, 0.2, 0.6], [1.0, 0.0, 0.0], [0.25, 0.5, 0.25]]
ALL = Candidates(4, MEAN, FOUND, POINTS, [[7.5]], SHARES)


def test_the_names_of_the_command_line():
    assert list(RULES) == [
        "uncertainty",
        "prediction",
        "expected-improvement",
        "target",
        "probability",
        "ucb",
        "entropy",
        "margin",
        "class-probability",
        "random",
        "diversity",
    ]
    assert all(rule.summary.endswith(".") for rule in map(RULES.__getitem__, RULES))


@pytest.mark.parametrize(
    ("rule", "aim", "expected"),
    [
        ("uncertainty", Aim(), FOUND.std()),
        ("prediction", Aim(), MEAN),
        ("prediction", Aim("low"), -MEAN),
        ("expected-improvement", Aim("low", best=0.5), FOUND.expected_improvement(0.5, "low")),
        ("target", Aim(target=1.5, best=2.5), FOUND.target_improvement(1.5, 2.5)),
        ("probability", Aim("low", threshold=1.5), FOUND.probability(below=1.5)),
        ("probability", Aim(threshold=1.5), FOUND.probability(above=1.5)),
        ("probability", Aim(window=(1.0, 2.0)), FOUND.probability(1.0, 2.0)),
        ("ucb", Aim(level=0.5), FOUND.interval(0.5)[1]),
        ("ucb", Aim("low", level=0.5), -FOUND.interval(0.5)[0]),
        ("class-probability", Aim(of_class=1), [0.5, 0.2, 0.0, 0.5]),
        ("random", Aim(), np.random.default_rng(5).random(4)),
        ("diversity", Aim(), np.ones(4)),
    ],
)
def test_scores_are_those_of_the_function(rule, aim, expected):
    assert score_candidates(rule, ALL, aim, rng=5).tolist() == list(expected)


def test_how_uncertain_a_class_is():
    entropy = [np.log(2), -(0.4 * np.log(0.2) + 0.6 * np.log(0.6)), 0, 1.5 * np.log(2)]
    np.testing.assert_allclose(score_candidates("entropy", ALL), entropy, atol=1e-15)
    np.testing.assert_allclose(score_candidates("margin", ALL), [1, 0.6, 0, 0.75])
    with pytest.raises(ConfigError, match="needs of_class: the wanted class"):
        score_candidates("class-probability", ALL)


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
    found = choose_candidates("prediction", ALL, 2)
    assert found.rows.tolist() == [1, 2]
    assert found.score.tolist() == [3.0, 2.0]
    assert found.utility.tolist() == [7.0, 6.0]


def test_without_points_the_largest_scores_are_taken():
    bare = Candidates(4, MEAN, FOUND)
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
        (
            "expected-improvement",
            {"distribution": None},
            Aim(best=1.0),
            "needs distribution: .*use a",
        ),
        ("expected-improvement", {}, Aim(), "needs best: the best value measured"),
        ("target", {}, Aim(best=1.0), "needs target: the wanted value"),
        ("probability", {}, Aim(), "either a threshold or a window"),
        ("probability", {}, Aim(threshold=1.0, window=(0, 1)), "either a threshold or a window"),
        ("uncertainty", {"distribution": None}, Aim(), "needs distribution"),
        ("prediction", {"mean": None}, Aim(), "needs mean"),
        ("diversity", {"points": None}, Aim(), "needs points"),
    ],
)
def test_what_is_missing_is_named(rule, change, aim, message):
    with pytest.raises(ConfigError, match=message):
        score_candidates(rule, dataclasses.replace(ALL, **change), aim)


def test_bad_arguments_are_named():
    with pytest.raises(NotFoundError, match="did you mean 'uncertainty'"):
        score_candidates("uncertanty", ALL)
    with pytest.raises(DataError, match="mean has 3 rows; expected one per candidate, 4"):
        score_candidates("random", dataclasses.replace(ALL, mean=MEAN[:3]))


@pytest.mark.parametrize(
    ("rule", "aim", "expected"),
    [
        # the distance of the goal from the 90 % interval (3.6 widths), if it is beyond 3.96
        # widths, or almost
        ("expected-improvement", Aim(best=4.0), [1.2, 0.64, 0.0, 7.28]),
        ("expected-improvement", Aim("low", best=-4.0), [3.2, 6.64, 0.0, 0.0]),
        ("probability", Aim(threshold=3.2), [0.4, 0.0, 0.0, 6.48]),
        ("probability", Aim("low", threshold=-2.0), [1.2, 4.64, 0.0, 0.0]),
        ("probability", Aim(window=(1.0, 2.0)), [0.0, 1.14, 0.0, 4.78]),
        ("target", Aim(target=1.5, best=1.4), [0.0, 1.14, 0.0, 4.78]),
        ("target", Aim(target=1.5, best=4.0), [0.0, 0.0, 0.0, 4.78]),
        ("uncertainty", Aim(best=9.0), [0.0] * 4),
        ("prediction", Aim(best=9.0), [0.0] * 4),
        ("ucb", Aim(best=9.0), [0.0] * 4),
    ],
)
def test_the_shortfall_of_negligible_scores(rule, aim, expected):
    scores = score_candidates(rule, ALL, aim)
    assert shortfall(rule, ALL, aim, scores).tolist() == pytest.approx(expected)


def test_the_far_tail_is_negligible_even_inside_the_support():
    law = ScoreLaw.of(np.append(np.arange(1, 2000) / 1000, 100.0))
    tail = Candidates(2, [-1.0, -50.0], forecast([-1.0, -50.0], [1.0, 1.0], law=law))
    scores = score_candidates("probability", tail, Aim(threshold=0.0))
    assert (scores > 1 / 4002).all()  # both above the share behind the largest score
    missing = shortfall("probability", tail, Aim(threshold=0.0), scores)
    assert missing.tolist() == pytest.approx([0.0, 48.199])


def test_what_the_calibration_does_not_support_decides_nothing():
    tail = Candidates(3, [-14.0, -14.8, -13.0], forecast([-14.0, -14.8, -13.0], np.ones(3)),
                      [[0.0], [0.0], [5.0]])  # fmt: skip
    for rule, aim in (
        ("expected-improvement", Aim(best=0.0)),
        ("probability", Aim(threshold=0.0)),
    ):
        assert len(set(score_candidates(rule, tail, aim).tolist())) == 1
        found = choose_candidates(rule, tail, 3, aim)
        assert found.rows.tolist() == [2, 0, 1]
        assert not found.decisive.any()
        # counted from the farthest one, on the scale of the model
        assert found.utility.tolist() == pytest.approx([1.8, 0.8, 0.0])


def test_scores_that_count_come_first_and_the_optimistic_follow():
    mean, width = [-0.5, -40.0, -30.0, -1.0], [1.0, 10.0, 1.0, 1.0]
    given_ = Candidates(4, mean, forecast(mean, width))
    found = choose_candidates("expected-improvement", given_, 4, Aim(best=0.0))
    # the third is nearer, but the goal is nearer to the interval of the second
    assert found.rows.tolist() == [0, 3, 1, 2]
    assert found.decisive.tolist() == [True, True, False, False]


def test_of_equal_scores_the_farther_one_comes_first():
    mean = [20.0, 30.0, 25.0, -1.0]
    given_ = Candidates(4, mean, forecast(mean, np.ones(4)))
    scores = score_candidates("probability", given_, Aim(threshold=0.0))
    assert scores.tolist() == pytest.approx([0.995, 0.995, 0.995, 0.375])
    found = choose_candidates("probability", given_, 4, Aim(threshold=0.0))
    assert found.rows.tolist() == [1, 2, 0, 3]
    assert found.utility.tolist() == pytest.approx(found.score.tolist(), rel=1e-11)
    low = choose_candidates("probability", given_, 3, Aim("low", threshold=40.0))
    assert low.rows.tolist() == [3, 0, 2]


def test_a_log_target_is_judged_on_its_scale():
    """The first choice was a large value with a wide interval: a normal distribution in the unit
    of the target had much of its weight below zero."""
    law = ScoreLaw.of(np.linspace(0.05, 1.0, 99))
    values = np.array([0.5, 4.0, 0.3, 30.0])
    given_ = Candidates(4, values, forecast(np.log(values), np.ones(4), "log", law))
    assert given_.distribution.std()[3] > 15
    for rule, aim in (
        ("expected-improvement", Aim("low", best=0.2)),
        ("probability", Aim("low", threshold=0.2)),
        ("prediction", Aim("low")),
        ("ucb", Aim("low")),
    ):
        assert choose_candidates(rule, given_, 4, aim).rows.tolist() == [2, 0, 1, 3]


def test_the_best_measured_value_depends_on_the_aim():
    measured = [0.1, np.nan, 1.4, 3.0]
    assert best_measured(measured, Aim()) == 3.0
    assert best_measured(measured, Aim("low")) == 0.1
    assert best_measured(measured, Aim(target=2.5)) == 3.0
    assert best_measured([1.0, 3.5], Aim(target=2.0)) == 1.0
    assert best_measured([0.0, 1.0, 3.5], Aim(target=2.0), TargetTransform("log")) == 3.5
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
