"""Conformal quantiles against their definition, and what they promise."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from xtalshift.errors import ConfigError, DataError, ModelFormatError
from xtalshift.uncertainty.conformal import Calibration, ScoreLaw, conformity_scores

LEVELS = st.floats(0.05, 0.99)
SCORES = st.lists(st.floats(0, 1e6), min_size=1, max_size=60)


def by_definition(scores, weights, new, level):
    """The smallest score whose weight, with that of all smaller ones, reaches the level."""
    total = sum(weights) + new
    for score in sorted(scores):
        below = sum(w for s, w in zip(scores, weights, strict=True) if s <= score)
        if total > 0 and below >= level * total - 1e-12 * total:
            return score
    return np.inf


@given(SCORES, LEVELS)
def test_the_plain_quantile_is_the_weighted_one_of_equal_weights(scores, level):
    plain = ScoreLaw.of(scores).bound(level)
    assert plain == by_definition(scores, [1.0] * len(scores), 1.0, level)
    assert ScoreLaw.of(scores, np.full(len(scores), 0.3)).bound(level, 0.3) == plain


@given(st.data(), SCORES, LEVELS)
@settings(max_examples=60)
def test_the_weighted_quantile_is_its_definition(data, scores, level):
    weight = st.sampled_from([0.0, 0.25, 1.0, 3.0, 100.0])
    weights = data.draw(st.lists(weight, min_size=len(scores), max_size=len(scores)))
    new = data.draw(st.lists(weight, min_size=1, max_size=5))
    found = ScoreLaw.of(scores, weights).bound(level, new)
    expected = [by_definition(scores, weights, w, level) for w in new]
    # a new row that weighs nothing among weightless rows is unbounded, as all others there
    assert found.tolist() == expected


def test_known_answers():
    scores = np.arange(1.0, 10.0)  # 9 rows: (9 + 1) * 0.9 = 9, the largest
    law = ScoreLaw.of(scores[::-1])
    assert [law.bound(level) for level in (0.9, 0.91, 0.5)] == [9.0, np.inf, 5.0]
    # a new row that outweighs all others is bounded by nothing
    assert law.bound(0.9, [0.0, 1.0, 2.0]).tolist() == [9.0, 9.0, np.inf]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"level": 1.0}, ConfigError, "level"),
        ({"scores": [np.nan]}, DataError, r"scores\[0\] is nan"),
        ({"scores": []}, DataError, "no scores"),
        ({"weights": [1.0]}, DataError, "one weight per score"),
        ({"weights": [1.0, -1.0]}, DataError, "negative"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, error, text):
    given = {"scores": [1.0, 2.0], "level": 0.9, **arguments}
    with pytest.raises(error, match=text):
        ScoreLaw.of(given["scores"], given.get("weights")).bound(given["level"])


def test_scores_of_each_kind():
    y, f = [1.0, 2.0, 5.0], [2.0, 2.0, 2.0]
    assert conformity_scores(y, f).tolist() == [1.0, 0.0, 3.0]
    assert conformity_scores(y, f, spread=[2.0, 1.0, 3.0]).tolist() == [0.5, 0.0, 1.0]
    sides = [1.5, 1.0, 1.0], [3.0, 2.5, 4.0]
    assert conformity_scores(y, f, quantiles=sides).tolist() == [0.5, -1.0, 1.0]
    # halfway to the prediction, above and below it; at a prediction that is a quantile
    y, f, sides = [2.5, 1.25, 1.0, 2.0], [2.0, 2.0, 0.0, 2.0], ([0.5, 0.5, 1.0, 2.0], [3.0] * 4)
    assert conformity_scores(y, f, quantiles=sides).tolist() == [-0.5, -0.5, -1.0, -1.0]


def test_coverage_is_that_promised_in_the_mean_over_calibrations():
    rng = np.random.default_rng(0)
    n, level = 49, 0.9
    covered = [
        2 * norm.cdf(ScoreLaw.of(np.abs(rng.normal(size=n))).bound(level)) - 1 for _ in range(2000)
    ]
    # exactly 45/50, since the quantile is the 45th of 49: a beta distribution of this mean
    assert np.mean(covered) == pytest.approx(45 / 50, abs=4 * np.std(covered) / np.sqrt(2000))


def test_weights_restore_coverage_under_covariate_shift():
    rng = np.random.default_rng(1)
    n = 4000
    x, new = rng.uniform(0, 1, n), rng.beta(4, 1, n)
    noise = lambda x: 0.1 + x  # noqa: E731
    scores = np.abs(rng.normal(size=n) * noise(x))
    missed = np.abs(rng.normal(size=n) * noise(new))
    plain = np.mean(missed <= ScoreLaw.of(scores).bound(0.9))
    ratio = lambda x: 4 * x**3  # noqa: E731 - of the two densities
    bounds = ScoreLaw.of(scores, ratio(x)).bound(0.9, ratio(new))
    assert plain < 0.82
    assert np.mean(missed <= bounds) == pytest.approx(0.9, abs=0.02)


def everything_at(scores, level=0.5):
    return ScoreLaw.of(scores).bound(level)


class TestCalibration:
    families = np.array([0] * 30 + [1] * 30 + [2] * 3)
    scores = np.concatenate([np.arange(30.0), 100 + np.arange(30.0), [7.0, 8.0, 9.0]])

    def test_families_are_calibrated_by_themselves_and_small_ones_with_all(self):
        calibration = Calibration(self.scores, families=self.families)
        laws, places = calibration.laws_by_family(np.array([0, 1, 2, 5, 0]), 0.9)
        found = [laws[place].bound(0.9) for place in places]
        first, second = (
            ScoreLaw.of(part).bound(0.9) for part in (self.scores[:30], self.scores[30:60])
        )
        # three rows of family 2 bound nothing at 90 %, and no row of family 5 is there at all
        everything = ScoreLaw.of(self.scores).bound(0.9)
        assert found == [first, second, everything, everything, first]
        laws, places = calibration.laws_by_family(np.array([2, 5]), 0.5)
        assert [laws[place].bound(0.5) for place in places] == [8.0, everything_at(self.scores)]

    def test_state_is_kept(self):
        calibration = Calibration(
            self.scores, "normalised", "target", 0.2, np.ones((63, 2), np.float32), self.families
        )
        again = Calibration.from_state(calibration.get_state(), kind="normalised", origin="target")
        assert again.floor == 0.2
        assert len(again) == 63
        np.testing.assert_array_equal(again.scores, calibration.scores)
        np.testing.assert_array_equal(again.X, calibration.X)
        np.testing.assert_array_equal(again.families, calibration.families)

    def test_families_must_be_known(self):
        with pytest.raises(ConfigError, match="no families"):
            Calibration(self.scores).laws_by_family(np.zeros(2, int), 0.9)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scores": np.array([0.1, np.inf])}, "finite"),
        ({"scores": np.array([0.1, -0.1])}, "is -0.1, below 0"),
        ({"start": np.array([-1.0])}, "not those of this version; calibrate it again"),
        ({"scores": np.zeros(0), "X": np.zeros((0, 3), np.float32)}, "has no scores"),
        ({"scores": np.ones(3)}, "the length 2 where 3 is expected"),
        ({"families": np.array([0, 99])}, "'calibration.families'"),
        ({"floor": np.array([-1.0])}, "'calibration.floor'"),
        ({"more": np.ones(1)}, "unknown"),
    ],
)
def test_other_saved_scores_are_refused(changes, words):
    found = Calibration(
        np.array([0.1, 0.2]), X=np.ones((2, 3), np.float32), families=np.array([0, 1])
    )
    state = found.get_state() | {f"calibration.{name}": values for name, values in changes.items()}
    if "X" in changes:
        del state["calibration.families"]
    with pytest.raises(ModelFormatError, match=words):
        Calibration.from_state(state, kind="absolute", origin="held-out")
    quantile = dataclasses.replace(found, scores=-found.scores, kind="quantile").get_state()
    assert len(Calibration.from_state(quantile, kind="quantile", origin="held-out")) == 2
    low = {**quantile, "calibration.scores": np.array([-1.5, 0.0])}
    with pytest.raises(ModelFormatError, match=r"is -1\.5, below -1"):
        Calibration.from_state(low, kind="quantile", origin="held-out")
    del quantile["calibration.start"]  # as earlier versions saved it
    with pytest.raises(ModelFormatError, match="'quantile' are not those of this version"):
        Calibration.from_state(quantile, kind="quantile", origin="held-out")
