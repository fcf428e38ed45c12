"""One distribution: its intervals, probabilities, expectations and samples agree."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xtalshift.data.transform import TRANSFORMS, TargetTransform
from xtalshift.errors import ConfigError, DataError, UsageError
from xtalshift.uncertainty.conformal import ScoreLaw
from xtalshift.uncertainty.predictive import PredictiveDistribution

numbers = st.floats(-3, 3).map(lambda x: round(x, 3))
positive = st.floats(0.05, 3).map(lambda x: round(x, 3))
levels = st.floats(0.02, 0.98)


def make(low, high, width, laws, transform="none", law=None, own=None, middle=None):
    n = len(low)
    return PredictiveDistribution(
        TargetTransform(transform),
        np.asarray(low if middle is None else middle, dtype=float),
        np.asarray(low, dtype=float),
        np.asarray(high, dtype=float),
        np.asarray(width, dtype=float),
        tuple(laws),
        np.zeros(n, dtype=np.int64) if law is None else np.asarray(law),
        np.ones(n) if own is None else np.asarray(own, dtype=float),
        0.0 if middle is None else -1.0,
    )


@st.composite
def distributions(draw):
    """Draw distributions of every kind: absolute, normalised, quantile, weighted, by family.

    Scores differ: whether a bound at tied scores is inside depends on its last bit.
    """
    n = draw(st.integers(1, 4))
    low = np.array(draw(st.lists(numbers, min_size=n, max_size=n)))
    kind = draw(st.sampled_from(["absolute", "normalised", "quantile", "weighted", "family"]))
    high, width, own, law = low, np.ones(n), np.ones(n), np.zeros(n, dtype=np.int64)
    signed = numbers.map(lambda x: max(x, x / 3.1)) if kind == "quantile" else positive
    middle = None
    scores = draw(st.lists(signed, min_size=3, max_size=30, unique=True))
    weights = None
    if kind == "normalised":
        width = np.array(draw(st.lists(positive, min_size=n, max_size=n)))
    if kind == "quantile":
        high = low + np.array(draw(st.lists(positive, min_size=n, max_size=n)))
        middle = low + (high - low) * draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    if kind == "weighted":
        weights = draw(st.lists(positive, min_size=len(scores), max_size=len(scores)))
        own = np.array(draw(st.lists(positive, min_size=n, max_size=n)))
    laws = [ScoreLaw.of(scores, weights)]
    if kind == "family":
        laws.append(ScoreLaw.of(draw(st.lists(positive, min_size=3, max_size=30, unique=True))))
        law = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    return make(low, high, width, laws, draw(st.sampled_from(TRANSFORMS)), law, own, middle)


def edges(found):
    """Return the bounds of the support on the scale: the largest score of each row."""
    return found._at(np.array([found.laws[code].largest for code in found.law]))


@settings(deadline=None, max_examples=200)
@given(distributions(), levels)
def test_the_tails_of_an_interval_are_what_its_bounds_leave(found, level):
    lower, upper = found.interval(level)
    above = 1 - found.cdf(upper)
    np.testing.assert_array_equal(found.probability(), 1.0)
    # if the prediction is one of the quantiles, a share is exactly there
    apart = (found._bounds(level)[1] > found.middle + 1e-9) & (upper > found.scale.floor)
    assert (above <= (1 - level) / 2 + 1e-9)[apart].all()
    for row in np.flatnonzero(apart):
        one = found.take(np.array([row]))
        inside = one.probability(lower[row], upper[row])[0]
        assert inside >= level - 1e-9
        if math.isfinite(upper[row]):
            beyond = one.probability(above=upper[row])[0]
            assert beyond >= above[row] - 1e-12
            if found.scale.name != "clip":  # clipping moves the lower tail into the interval
                assert inside + above[row] + one.probability(below=lower[row])[0] >= 1 - 1e-9
        law = found.laws[found.law[row]]
        total = law.reached[-1] + found.own[row]
        bound = law.bound(level, found.own[row])
        if math.isfinite(bound):
            left = (total - law.reached[law.scores <= bound][-1]) / total / 2
            assert above[row] == pytest.approx(left, abs=1e-9)


@settings(deadline=None, max_examples=200)
@given(distributions(), numbers, positive)
def test_the_probability_falls_with_the_threshold(found, low, step):
    thresholds = [low, low + step, low + 2 * step, low + 100]
    above = np.array([found.probability(above=t) for t in thresholds])
    below = np.array([found.cdf(t) for t in thresholds])
    assert (np.diff(above, axis=0) <= 1e-12).all()
    assert (np.diff(below, axis=0) >= -1e-12).all()
    assert (above + below >= 1 - 1e-9).all()  # both count the threshold itself
    within = found.probability(low, low + step)
    np.testing.assert_allclose(within, above[0] + below[1] - 1, atol=1e-9)


@settings(deadline=None, max_examples=200)
@given(distributions(), st.floats(0.01, 0.99))
def test_the_quantile_of_the_distribution_function_is_the_value(found, part):
    lower, upper = edges(found)
    z = lower + part * (upper - lower)
    y = found.quantile(np.clip(found.cdf(found.scale.inverse(z)), 0, 1))
    again = found.quantile(found.cdf(y))
    inside = np.isfinite(y) & (y > found.scale.floor)
    np.testing.assert_allclose(again[inside], y[inside], rtol=1e-6, atol=1e-6)
    at = found.scale.inverse(z)
    inside = (at > found.scale.floor) & (np.abs(z - found.middle) > 1e-6)
    np.testing.assert_allclose(y[inside], at[inside], rtol=1e-6, atol=1e-6)


@settings(deadline=None, max_examples=100)
@given(distributions(), positive, positive)
def test_expected_improvement_is_the_integral_of_the_quantile_function(found, best, target):
    # exact on every piece of the quantile function: Gauss-Legendre with two points
    knots = [0.0, 1.0, 0.5]
    values = [best, target]
    reach = abs(float(found.scale.place(best)) - float(found.scale.place(target)))
    centre = float(found.scale.place(target))
    values += found.scale.inverse(np.array([centre - reach, centre + reach])).tolist()
    for row in range(len(found)):
        one = found.take(np.array([row]))
        law = found.laws[found.law[row]]
        shares = law.reached / (law.reached[-1] + found.own[row])
        shares = np.append(shares, law.share(np.zeros(1), found.own[[row]], found.start))
        cuts = [*knots, *(0.5 + shares / 2), *(0.5 - shares / 2)]
        for value in values:  # kinks of the integrands, and the floor of a clipped target
            cuts += [one.cdf(value)[0], 1 - one.probability(above=value)[0]]
        cuts += one.cdf(found.scale.floor).tolist() if found.scale.name == "clip" else []
        cuts = np.unique(np.clip(cuts, 0, 1))
        lengths = np.diff(cuts)
        total = {"high": 0.0, "low": 0.0, "target": 0.0}
        for node in (0.5 - math.sqrt(1 / 12), 0.5 + math.sqrt(1 / 12)):
            p = cuts[:-1] + node * lengths
            z = one._quantile(p[:, None], 1.0)[:, 0]
            z = np.maximum(z, float(found.scale.place(found.scale.floor)))
            gains = {
                "high": np.maximum(z - float(found.scale.place(best)), 0),
                "low": np.maximum(float(found.scale.place(best)) - z, 0),
                "target": np.maximum(reach - np.abs(z - centre), 0),
            }
            for name, gain in gains.items():
                total[name] += float(gain @ lengths) / 2
        for name in ("high", "low"):
            assert one.expected_improvement(best, name)[0] == pytest.approx(total[name], abs=1e-6)
        assert one.target_improvement(target, best)[0] == pytest.approx(total["target"], abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(distributions(), st.integers(0, 100))
def test_samples_are_quantiles_of_even_draws_and_finite(found, seed):
    drawn = found.sample(5, seed)
    p = np.random.default_rng(seed).random((5, len(found)))
    assert drawn.shape == p.shape
    assert np.isfinite(drawn).all()
    exact = found.quantile(p)
    lower, upper = (found.scale.inverse(edge) for edge in edges(found))
    np.testing.assert_allclose(drawn, np.clip(exact, lower, upper), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(drawn, found.sample(5, seed))


def test_samples_have_the_probabilities_and_expectations():
    law = ScoreLaw.of(np.abs(np.random.default_rng(0).normal(size=200)))
    found = make([0.0, 1.0], [0.0, 1.0], [1.0, 0.5], [law], "log")
    y = found.sample(40_000, 1)
    share = (y >= 2.0).mean(axis=0)
    np.testing.assert_allclose(share, found.probability(above=2.0), atol=0.012)
    gain = np.maximum(np.log(y) - math.log(2.0), 0)
    expected = found.expected_improvement(2.0)
    np.testing.assert_allclose(gain.mean(axis=0), expected, atol=4 * gain.std() / 200)


@settings(deadline=None, max_examples=60)
@given(distributions(), positive, levels)
def test_a_row_has_the_same_bits_alone(found, y, level):
    def everything(one):
        return np.array(
            [
                *one.interval(level),
                one.std(),
                one.cdf(y),
                one.probability(above=y),
                one.margin(y),
                one.quantile(level),
                one.expected_improvement(y),
                one.expected_improvement(y, "low"),
                one.target_improvement(y, y + 1),
                one.outside(y, level),
            ]
        )

    alone = [everything(found.take(np.array([row]))) for row in range(len(found))]
    np.testing.assert_array_equal(np.concatenate(alone, axis=1), everything(found))
    joined = PredictiveDistribution.join([found.take(np.array([row])) for row in range(len(found))])
    np.testing.assert_array_equal(everything(joined), everything(found))


def test_known_answers():
    found = make([0.0, 10.0], [0.0, 10.0], [1.0, 2.0], [ScoreLaw.of([3.0, 1.0, 2.0])])
    # four gaps of a quarter: 0 to 1, 1 to 2, 2 to 3, and behind 3
    assert found.interval(0.5)[1].tolist() == [2.0, 14.0]
    assert found.interval(0.51)[0].tolist() == [-3.0, 4.0]  # rounded up to a score
    assert found.interval(0.76)[1].tolist() == [math.inf, math.inf]
    assert found.quantile(0.75).tolist() == [2.0, 14.0]
    assert found.quantile(0.8125).tolist() == [2.5, 15.0]
    assert found.quantile([[0.0], [0.1], [1.0]])[:, 0].tolist() == [-math.inf, -math.inf, math.inf]
    assert found.cdf(1.5)[0] == 0.5 + 0.375 / 2
    assert found.probability(above=3.0)[0] == 0.125
    assert found.probability(above=1e9).tolist() == [0.125, 0.125]
    assert found.probability(above=-math.inf, below=-1e9).tolist() == [0.125, 0.125]
    assert found.probability(1.0, 2.0)[0] == 0.125
    # a quarter of the upper half at 3, a quarter evenly from 2 to 3
    assert found.expected_improvement(2.0)[0] == pytest.approx((0.25 + 0.125) / 2)
    assert found.expected_improvement(3.0)[0] == 0.0
    assert found.expected_improvement(7.0)[1] == pytest.approx(3 + (0.0625 + 0.5 + 0.75) / 2)
    assert found.margin(4.0).tolist() == [4.0, -3.0]
    assert found.outside(4.0, 0.5).tolist() == [2.0, 2.0]
    assert found.std().tolist() == [3.0, 6.0]


def test_clipped_targets_have_no_values_below_zero():
    found = make([0.5], [0.5], [1.0], [ScoreLaw.of([1.0, 2.0, 3.0])], "clip")
    assert found.interval(0.5)[0].tolist() == [0.0]
    assert found.cdf([[-0.1], [0.0]])[:, 0].tolist() == [0.0, (0.75 + 0.125) / 2]
    assert found.probability(above=0.0).tolist() == [1.0]
    assert found.probability(below=0.0) == found.cdf(0.0)
    assert found.expected_improvement(0.0, "low").tolist() == [0.0]
    assert found.std().tolist() == [3.0]  # not reduced by the clip


def test_logarithms_are_above_zero():
    found = make([0.0], [0.0], [1.0], [ScoreLaw.of([1.0, 2.0, 3.0])], "log")
    assert found.cdf([[-1.0], [0.0]])[:, 0].tolist() == [0.0, 0.0]
    assert found.probability(above=0.0).tolist() == [1.0]
    assert found.quantile(0.01).tolist() == [0.0]
    assert found.interval(0.5)[0] == pytest.approx([math.exp(-2.0)])
    with pytest.raises(DataError, match="best = 0 is no value that the target transform 'log'"):
        found.expected_improvement(0.0, "low")


def test_between_two_quantiles_a_score_is_a_share_of_the_way_to_the_prediction():
    law = ScoreLaw.of([-0.5, 0.0, 1.0])
    found = make([0.0], [10.0], [1.0], [law], middle=[2.0])
    # quarters: from the prediction halfway to the quantiles, from there to these, 1 beyond, behind
    assert found.quantile(0.5).tolist() == [2.0]
    assert [edge.tolist() for edge in found.interval(0.25)] == [[1.0], [6.0]]
    assert [edge.tolist() for edge in found.interval(0.5)] == [[0.0], [10.0]]
    assert [edge.tolist() for edge in found.interval(0.75)] == [[-1.0], [11.0]]
    assert found.cdf([[1.0], [2.0], [4.0], [8.0], [10.5]])[:, 0].tolist() == pytest.approx(
        [0.375, 0.5, 0.5625, 0.6875, 0.8125]
    )
    # evenly from 6 to 10 and 10 to 11, and at 11
    improvement = (0.25 * 4 + 0.25 * 6.5 + 0.25 * 7) / 2
    assert found.expected_improvement(4.0)[0] == pytest.approx(improvement + 0.125 * 0.5)
    one_sided = make([2.0], [10.0], [1.0], [law], middle=[2.0])
    assert one_sided.probability(below=2.0).tolist() == [0.5]
    assert one_sided.cdf(1.5)[0] == pytest.approx(0.125 + 0.0625)
    assert one_sided.interval(0.25)[0].tolist() == [2.0]


def test_rows_without_a_prediction_have_no_result():
    some = make([0.0, 1.0], [0.0, 1.0], [1.0, 1.0], [ScoreLaw.of([1.0, 2.0])])
    found = some.among(np.array([2, 0]), 3)
    for values in (
        found.cdf(0.5), found.probability(above=0.5), found.std(), found.interval(0.3)[0],
        found.quantile(0.7), found.expected_improvement(0.5), found.target_improvement(0.5, 1.0),
        found.expected_improvement(0.5, "low"), found.margin(0.5), found.sample(1, 0)[0],
    ):  # fmt: skip
        assert np.isnan(values).tolist() == [False, True, False]
    assert found.cdf(0.5)[[2, 0]].tolist() == some.cdf(0.5).tolist()


def test_tied_scores_are_one_step():
    found = make([0.0], [0.0], [1.0], [ScoreLaw.of([1.0, 1.0, 1.0, 3.0])])
    assert found.cdf(1.0)[0] == 0.5 + 0.3
    assert found.probability(above=1.0)[0] == 0.5 - 0.1
    assert found.quantile([[0.61], [0.7], [0.8], [0.85]])[:, 0] == pytest.approx([1, 1, 1, 2])
    # a fifth of the upper half evenly from 0 to 1, two fifths at 1, two from 1 to 3 and at 3
    assert found.expected_improvement(0.0)[0] == pytest.approx((0.1 + 0.4 + 0.4 + 0.6) / 2)


def test_tiny_widths_are_certain():
    tiny = float(np.finfo(float).tiny)
    found = make([1.0, 1.0], [1.0, 1.0], [tiny, 1.0], [ScoreLaw.of([1.0, 2.0])])
    assert found.expected_improvement(0.5)[0] == pytest.approx(0.5)
    assert found.expected_improvement(1.5)[0] == 0.0
    assert found.cdf(1.5)[0] == pytest.approx(0.5 + 1 / 3)


def test_a_narrow_window_keeps_its_digits():
    found = make([0.0], [0.0], [1.0], [ScoreLaw.of([1.0, 2.0, 3.0])])
    # density 1/8 everywhere: the tent of half width h has the area h^2
    for h in (1e-8, 1e-5, 0.9e-4, 1.1e-4, 1e-2):
        value = found.target_improvement(0.5, 0.5 + h)[0]
        assert value == pytest.approx(h**2 / 8, rel=1e-4)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda d: d.interval(1.0), ConfigError, "level"),
        (lambda d: d.quantile(1.5), UsageError, "expected probabilities"),
        (lambda d: d.probability(2.0, 1.0), UsageError, "lower value first"),
        (lambda d: d.probability(above=math.nan), UsageError, "lower value first"),
        (lambda d: d.expected_improvement(math.nan), UsageError, "best = nan"),
        (lambda d: d.expected_improvement(0.0, "up"), ConfigError, "direction='up'"),
        (lambda d: d.target_improvement(math.inf, 0.0), UsageError, "target = inf"),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, text):
    with pytest.raises(error, match=text):
        call(make([0.0], [0.0], [1.0], [ScoreLaw.of([1.0, 2.0])]))


def test_only_parts_of_one_calibration_are_joined():
    one, other = (make([0.0], [0.0], [1.0], [ScoreLaw.of(s)]) for s in ([1.0], [2.0]))
    again = make([5.0], [5.0], [1.0], [ScoreLaw.of([1.0])])
    assert PredictiveDistribution.join([one, again]).quantile(0.5).tolist() == [0.0, 5.0]
    with pytest.raises(DataError, match="different calibrations"):
        PredictiveDistribution.join([one, other])
