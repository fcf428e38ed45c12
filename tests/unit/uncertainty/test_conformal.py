"""Conformal quantiles against their definition, and what they promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from xtalshift.errors import ConfigError, DataError, ModelFormatError
from xtalshift.uncertainty.conformal import Calibration, conformal_quantile, conformity_scores

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
    plain = conformal_quantile(scores, level)
    assert plain == by_definition(scores, [1.0] * len(scores), 1.0, level)
    weighted = conformal_quantile(
        scores, level, weights=np.full(len(scores), 0.3), test_weights=[0.3]
    )
    assert weighted == plain


@given(st.data(), SCORES, LEVELS)
@settings(max_examples=60)
def test_the_weighted_quantile_is_its_definition(data, scores, level):
    weight = st.sampled_from([0.0, 0.25, 1.0, 3.0, 100.0])
    weights = data.draw(st.lists(weight, min_size=len(scores), max_size=len(scores)))
    new = data.draw(st.lists(weight, min_size=1, max_size=5))
    found = conformal_quantile(scores, level, weights=weights, test_weights=new)
    expected = [by_definition(scores, weights, w, level) for w in new]
    # a new row that weighs nothing among weightless rows is unbounded, as all others there
    assert found.tolist() == expected


def test_known_answers():
    scores = np.arange(1.0, 10.0)  # 9 rows: (9 + 1) * 0.9 = 9, the largest
    assert conformal_quantile(scores, 0.9) == [9.0]
    assert conformal_quantile(scores, 0.91) == [np.inf]
    assert conformal_quantile(scores, 0.5) == [5.0]
    assert conformal_quantile([], 0.5) == [np.inf]
    # a new row that outweighs all others is bounded by nothing
    assert conformal_quantile(scores, 0.9, weights=np.ones(9), test_weights=[0.0, 1.0, 2.0]) == (
        pytest.approx([9.0, 9.0, np.inf])
    )


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"level": 1.0}, ConfigError, "level"),
        ({"scores": [np.nan]}, DataError, r"scores\[0\] is nan"),
        ({"weights": [1.0]}, DataError, "belong together"),
        ({"weights": [1.0], "test_weights": [1.0]}, DataError, "one weight per score"),
        ({"weights": [1.0, -1.0], "test_weights": [1.0]}, DataError, "negative"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, error, text):
    given = {"scores": [1.0, 2.0], "level": 0.9, **arguments}
    with pytest.raises(error, match=text):
        conformal_quantile(given.pop("scores"), given.pop("level"), **given)


def test_scores_of_each_kind():
    y, f = [1.0, 2.0, 5.0], [2.0, 2.0, 2.0]
    assert conformity_scores(y, f).tolist() == [1.0, 0.0, 3.0]
    assert conformity_scores(y, f, spread=[2.0, 1.0, 3.0]).tolist() == [0.5, 0.0, 1.0]
    sides = [1.5, 1.0, 1.0], [3.0, 2.5, 4.0]
    assert conformity_scores(y, f, quantiles=sides).tolist() == [0.5, -0.5, 1.0]


def test_coverage_is_that_promised_in_the_mean_over_calibrations():
    rng = np.random.default_rng(0)
    n, level = 49, 0.9
    covered = [
        2 * norm.cdf(conformal_quantile(np.abs(rng.normal(size=n)), level)[0]) - 1
        for _ in range(2000)
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
    plain = np.mean(missed <= conformal_quantile(scores, 0.9))
    ratio = lambda x: 4 * x**3  # noqa: E731 - of the two densities
    bounds = conformal_quantile(scores, 0.9, weights=ratio(x), test_weights=ratio(new))
    assert plain < 0.82
    assert np.mean(missed <= bounds) == pytest.approx(0.9, abs=0.02)


class TestCalibration:
    families = np.array([0] * 30 + [1] * 30 + [2] * 3)
    scores = np.concatenate([np.arange(30.0), 100 + np.arange(30.0), [7.0, 8.0, 9.0]])

    def test_families_are_calibrated_by_themselves_and_small_ones_with_all(self):
        calibration = Calibration(self.scores, families=self.families)
        found = calibration.half_widths(0.9, families=np.array([0, 1, 2, 5, 0]))
        first = conformal_quantile(self.scores[:30], 0.9)[0]
        second = conformal_quantile(self.scores[30:60], 0.9)[0]
        # three rows of family 2 bound nothing at 90 %, and no row of family 5 is there at all
        everything = conformal_quantile(self.scores, 0.9)[0]
        assert found.tolist() == [first, second, everything, everything, first]

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

    def test_families_and_weights_exclude_each_other(self):
        calibration = Calibration(self.scores, families=self.families)
        weights = np.ones(63), np.ones(2)
        with pytest.raises(ConfigError, match="not both"):
            calibration.half_widths(0.9, families=np.zeros(2, int), weights=weights)
        with pytest.raises(ConfigError, match="no families"):
            Calibration(self.scores).half_widths(0.9, families=np.zeros(2, int))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scores": np.array([0.1, np.inf])}, "finite"),
        ({"scores": np.array([0.1, -0.1])}, "is negative"),
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
    state = found.get_state()
    state["calibration.scores"] = -state["calibration.scores"]
    assert len(Calibration.from_state(state, kind="quantile", origin="held-out")) == 2
