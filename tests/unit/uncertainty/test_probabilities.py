import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from xtalshift.errors import ConfigError, DataError, ModelFormatError
from xtalshift.metrics.classification import log_loss
from xtalshift.uncertainty.probabilities import (
    SMOOTHING,
    ProbabilityCalibration,
    fit_probabilities,
)

KINDS = ["none", "temperature", "temperature-bias", "isotonic"]


def draw(rng, n, k, sharp=1.0, tilt=None):
    """Return probabilities that are `sharp` times too certain, and labels."""
    true = rng.dirichlet(np.ones(k), n)
    y = (rng.random(n)[:, None] > np.cumsum(true, axis=1)[:, :-1]).sum(1)
    p = true**sharp * (1.0 if tilt is None else np.array(tilt))
    return p / p.sum(1, keepdims=True), y


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("sharp", [0.5, 3.0])
def test_the_temperature_is_found(k, sharp):
    rng = np.random.default_rng(k)
    found = fit_probabilities(*draw(rng, 20_000, k, sharp), "temperature")
    assert found.slope == pytest.approx(1 / sharp, rel=0.2)  # the prior of 0 makes it larger
    p, y = draw(rng, 20_000, k, sharp)
    true = p ** (1 / sharp)
    true /= true.sum(1, keepdims=True)
    assert log_loss(y, found.apply(p)) < log_loss(y, true) + 0.015
    assert log_loss(y, p) > log_loss(y, true) + 0.03


def test_bias_undoes_wrong_shares():
    rng = np.random.default_rng(0)
    p, y = draw(rng, 20_000, 3, 1.5, tilt=[5.0, 1.0, 0.2])
    found = fit_probabilities(p, y, "temperature-bias")
    assert found.slope == pytest.approx(1 / 1.5, rel=0.1)
    expected = -np.log([5.0, 1.0, 0.2]) / 1.5
    np.testing.assert_allclose(
        found.bias - found.bias.mean(), expected - expected.mean(), atol=0.08
    )
    np.testing.assert_allclose(found.apply(p).mean(0), np.bincount(y) / len(y), atol=0.002)


def test_two_classes_with_bias_are_platts_logistic_regression_of_log_odds():
    rng = np.random.default_rng(1)
    p, y = draw(rng, 300, 2, 2.0, tilt=[3.0, 1.0])
    found = fit_probabilities(p, y, "temperature-bias")
    odds = np.log(p[:, 1] + SMOOTHING) - np.log(p[:, 0] + SMOOTHING)
    plain = LogisticRegression(C=1e8, tol=1e-10).fit(odds[:, None], y)
    np.testing.assert_allclose(
        found.apply(p)[:, 1], plain.predict_proba(odds[:, None])[:, 1], atol=0.01
    )  # ours has a weak prior


def test_the_slope_is_where_the_penalised_loss_is_least():
    rng = np.random.default_rng(2)
    p, y = draw(rng, 60, 3, 2.0)
    w = rng.uniform(0.2, 2.0, 60)
    found = fit_probabilities(p, y, "temperature", w)
    w = w / w.sum() * (w.sum() ** 2 / (w**2).sum())

    def loss(slope):
        q = (p + SMOOTHING) ** slope[0]
        q /= q.sum(1, keepdims=True)
        return -np.sum(w * np.log(q[np.arange(60), y])) + (slope[0] - 1) ** 2 / 2

    best = minimize(loss, [1.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    assert found.slope == pytest.approx(best.x[0], rel=1e-4)


def test_a_curve_is_isotonic_regression_with_one_more_row_in_each_step():
    p1 = np.repeat([0.1, 0.2, 0.6, 0.9], [10, 10, 5, 5])
    y = np.concatenate([[1] * 4 + [0] * 6, [1] * 2 + [0] * 8, [1] * 3 + [0] * 2, [1] * 5])
    found = fit_probabilities(np.column_stack([1 - p1, p1]), y, "isotonic")
    share = (14 + 1) / (30 + 2)
    low, middle, high = (6 + share) / 21, (3 + share) / 6, (5 + share) / 6
    q = found.apply([[1 - x, x] for x in (0.05, 0.15, 0.2, 0.4, 0.6, 1.0)])[:, 1]
    np.testing.assert_allclose(q, [low, low, low, (low + middle) / 2, middle, high])


def test_weights_calibrate_for_another_domain():
    rng = np.random.default_rng(3)
    n = 20_000
    x = rng.random(n)
    truth = np.where(x < 0.5, 0.9, 0.6)  # overconfident in the second half only
    y = (rng.random(n) > truth).astype(int)
    p = np.tile([0.9, 0.1], (n, 1))
    assert fit_probabilities(p, y, "temperature", x < 0.5).apply(p)[0, 0] == pytest.approx(
        0.9, abs=0.01
    )
    assert fit_probabilities(p, y, "temperature", x >= 0.5).apply(p)[0, 0] == pytest.approx(
        0.6, abs=0.01
    )


class TestAuto:
    def test_true_probabilities_stay(self):
        rng = np.random.default_rng(4)
        p, y = draw(rng, 5000, 3)
        found = fit_probabilities(p, y)
        np.testing.assert_allclose(found.apply(p), p, atol=0.03)

    def test_a_temperature_is_the_usual_answer(self):
        kinds = [
            fit_probabilities(*draw(np.random.default_rng(seed), 200, 2, 2.0)).kind
            for seed in range(20)
        ]
        assert kinds.count("temperature") >= 18

    def test_wrong_shares_need_a_bias(self):
        rng = np.random.default_rng(5)
        found = fit_probabilities(*draw(rng, 400, 3, 1.5, tilt=[8.0, 1.0, 0.2]))
        assert found.kind == "temperature-bias"

    def test_a_bent_curve_needs_isotonic_regression(self):
        rng = np.random.default_rng(6)
        x = rng.random(4000)
        y = (rng.random(4000) < np.where(x < 0.3, 0.5, np.where(x < 0.7, 0.55, 0.95))).astype(int)
        assert fit_probabilities(np.column_stack([1 - x, x]), y).kind == "isotonic"

    def test_groups_stay_together(self):
        rng = np.random.default_rng(7)
        p, y = draw(rng, 40, 2)
        twins = np.repeat(p, 30, axis=0), np.repeat(y, 30)
        groups = np.repeat(np.arange(40), 30)
        # rows that are repeated in other folds would justify the sharpest curve
        assert fit_probabilities(*twins).kind == "isotonic"
        assert fit_probabilities(*twins, groups=groups).kind != "isotonic"
        assert fit_probabilities(p, y, groups=np.zeros(40)).kind == "temperature"


@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(10, 60), st.sampled_from(KINDS))
def test_what_is_learned_gives_distributions_and_comes_back(seed, k, n, kind):
    rng = np.random.default_rng(seed)
    p, y = draw(rng, n, k, 4.0)
    p = np.round(p, 2)
    p /= p.sum(1, keepdims=True)
    found = fit_probabilities(p, y, kind)
    new = np.vstack([rng.dirichlet(np.full(k, 0.3), 20), np.eye(k)])
    q = found.apply(new)
    assert (q >= 0).all()
    np.testing.assert_allclose(q.sum(1), 1.0, rtol=1e-12)
    if kind != "none":
        assert (q > 0).all()  # nothing is impossible
    state = found.get_state()
    assert ProbabilityCalibration.saved(state).keys() == state.keys()
    again = ProbabilityCalibration.from_state(state, kind=kind, n_classes=k)
    np.testing.assert_array_equal(again.apply(new), q)


@pytest.mark.parametrize("kind", KINDS)
def test_one_class_alone_can_be_calibrated(kind):
    p = np.tile([0.7, 0.2, 0.1], (12, 1))
    q = fit_probabilities(p, np.zeros(12), kind).apply(p)
    assert q[0, 0] >= 0.7
    assert kind == "none" or q[0, 0] > 0.75


def test_what_cannot_be_calibrated_is_refused():
    p, y = np.tile([0.5, 0.5], (12, 1)), [0, 1] * 6
    with pytest.raises(ConfigError, match="probabilities = 'beta'; expected auto, none, temp"):
        fit_probabilities(p, y, "beta")
    with pytest.raises(DataError, match="9 rows to calibrate probabilities; at least 10"):
        fit_probabilities(p[:9], y[:9])
    for weights in (np.zeros(12), np.ones(3), -np.ones(12)):
        with pytest.raises(DataError, match="expected 12 weights from 0 on, not all 0"):
            fit_probabilities(p, y, weights=weights)
    with pytest.raises(DataError, match="expected 2 classes"):
        fit_probabilities(p, y, "isotonic").apply([[0.2, 0.3, 0.5]])


@pytest.mark.parametrize(
    ("kind", "change", "text"),
    [
        ("isotonic", {"probabilities.ends": np.array([2, 3])}, "do not end where they should"),
        ("isotonic", {"probabilities.places": np.array([0.5, 0.1, 0.2, 0.8])}, "does not rise"),
        ("isotonic", {"probabilities.heights": np.array([0.5, 0.1, 0.2, 0.8])}, "does not rise"),
        ("isotonic", {"probabilities.heights": np.array([0.0, 0.1, 0.2, 0.8])}, "starts at 0"),
        ("isotonic", {"probabilities.ends": np.array([4])}, "has the length 1"),
        ("temperature", {}, "is unknown"),
        ("beta", {}, "of the kind 'beta'"),
    ],
)
def test_forged_arrays_are_refused(kind, change, text):
    state = {
        "probabilities.places": np.array([0.1, 0.8, 0.2, 0.9]),
        "probabilities.heights": np.array([0.3, 0.7, 0.3, 0.7]),
        "probabilities.ends": np.array([2, 4]),
    }
    with pytest.raises(ModelFormatError, match=text):
        ProbabilityCalibration.from_state(state | change, kind=kind, n_classes=2)
