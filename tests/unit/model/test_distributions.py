"""What a fitted model says about a material: all numbers come from one distribution."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xtalshift.data import Dataset
from xtalshift.data.transform import TRANSFORMS
from xtalshift.errors import NotConformalizedError
from xtalshift.methods import MethodSettings
from xtalshift.model import fit, load_model
from xtalshift.model.fitted import FittedModel
from xtalshift.uncertainty.settings import IntervalConfig

QUICK = MethodSettings.from_dict(
    {
        "device": "cpu",
        "threads": 1,
        "network": {"architecture": [24, 16]},
        "erm": {"epochs": 2},
        "lightgbm": {"n_estimators": 20},
    }
)
METALS = ["Li", "Na", "K", "Mg", "Ca", "Ba", "Al", "Ga", "In", "Ti", "Fe", "Zn"]
ANIONS = ["O", "S", "F", "Cl", "N", "P"]
FORMULAS = [f"{a}{number}{b}" for a in METALS for b in ANIONS for number in (2, 1)]
ASKED = ["LiO2", "PbTe", "Xx", "Fe3S4", "GaAs", "NaCl2", "TiF4"]
METHODS = ["ridge", "lightgbm", "lightgbm-quantile", "gp"]


@cache
def fitted(method: str, transform: str) -> FittedModel:
    targets = np.exp(np.random.default_rng(0).normal(1, 0.8, len(FORMULAS)))
    intervals = None if method == "auto" else IntervalConfig(method="held-out", share=0.4)
    data = Dataset.of(FORMULAS, targets)
    return fit(
        data, method, settings=QUICK, transform=transform, intervals=intervals, features="magpie"
    )


def check(model: FittedModel, level: float, threshold: float, **how) -> None:
    found = model.predict(ASKED, level=level, **how)
    good = found.reason == ""
    assert good.tolist() == [formula != "Xx" for formula in ASKED]
    assert np.isnan(found.probability(above=threshold)).tolist() == (~good).tolist()
    part = found.distribution.take(good)
    lower, upper = part.interval(level)
    np.testing.assert_array_equal(found.lower[good], lower)
    np.testing.assert_array_equal(found.upper[good], upper)
    np.testing.assert_array_equal(found.std[good], part.std())
    if model.calibration.kind != "quantile":  # else the middle of the quantiles
        np.testing.assert_allclose(part.quantile(0.5), found.prediction[good], rtol=1e-12)
    # both tails of the interval, and where a threshold is seen from it
    above = found.probability(above=threshold)[good]
    np.testing.assert_allclose(above + part.cdf(threshold), 1.0, atol=1e-6)
    tail = (1 - level) / 2
    assert (1 - part.cdf(upper) <= tail + 1e-6).all()
    edge = 1e-9 * threshold
    assert (above[upper < threshold - edge] <= tail + 1e-6).all()
    assert (above[lower > threshold + edge] >= 1 - tail - 1e-6).all()
    inside = (lower < threshold - edge) & (threshold + edge < upper)
    unit = np.array([1 / (part.laws[code].reached[-1] + 1) for code in part.law])
    lost = tail - unit / 2 - 1e-6  # the interval is rounded outwards
    assert (above[inside] >= lost[inside]).all()
    assert (above[inside] <= 1 - lost[inside]).all()
    # the expectation is that of the quantiles, on the scale of the model
    p = (np.arange(20_000)[:, None] + 0.5) / 20_000
    z = part._quantile(p, 1.0)
    z = np.maximum(z, float(model.scale.place(model.scale.floor)))
    best = float(model.scale.place(threshold))
    for side, sign in (("high", 1), ("low", -1)):
        mean = np.maximum(sign * (z - best), 0).mean(axis=0)
        improvement = part.expected_improvement(threshold, side)
        np.testing.assert_allclose(improvement, mean, rtol=1e-3, atol=1e-3)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(METHODS),
    st.sampled_from(TRANSFORMS),
    st.floats(0.1, 0.9),
    st.floats(0.2, 30.0),
    st.booleans(),
)
def test_all_numbers_of_a_row_agree(method, transform, level, threshold, by_family):
    check(fitted(method, transform), level, threshold, by_family=by_family)


@pytest.mark.parametrize("threshold", [1.0, 3.0, 12.0])
def test_all_numbers_of_a_row_agree_for_auto(threshold):
    model = fitted("auto", "log")
    assert model.calibration.kind == "normalised"
    check(model, 0.9, threshold)


@pytest.mark.parametrize("method", METHODS[:3])
def test_a_row_has_the_same_distribution_alone_and_in_a_saved_model(method, tmp_path):
    model = fitted(method, "log")
    whole = model.predict(ASKED).distribution
    again = load_model(model.save(tmp_path / "model")).predict(ASKED).distribution
    for row, formula in enumerate(ASKED):
        alone = model.predict([formula]).distribution
        if formula == "Xx":
            assert alone is None
            continue
        for one in (whole.take([row]), again.take([row])):
            for ask in (
                lambda d: d.probability(above=3.0),
                lambda d: d.expected_improvement(3.0, "low"),
                lambda d: d.quantile(0.7),
            ):
                np.testing.assert_array_equal(ask(one), ask(alone))


def test_weights_move_the_whole_distribution():
    model = fitted("ridge", "log")
    shift = model.weigh_shift(model.features_of(FORMULAS[:72]))
    plain, found = model.predict(ASKED), model.predict(ASKED, shift=shift)
    good = found.reason == ""
    lower, upper = found.interval(0.8)
    assert (upper != plain.interval(0.8)[1])[good].any()
    part = found.distribution.take(good)
    assert (1 - part.cdf(upper[good]) <= 0.1 + 1e-6).all()
    assert (part.probability(below=float(lower[good].min()) * 0.99) <= 0.1 + 1e-6).all()


def test_without_a_calibration_there_is_no_distribution():
    none = IntervalConfig(method="none")
    model = fit(Dataset.of(FORMULAS, np.arange(144.0)), "ridge", intervals=none)
    found = model.predict(["LiF"])
    assert np.isfinite(found.prediction).all()
    assert found.distribution is None
    for ask in (lambda: found.interval(0.9), lambda: found.probability(above=1.0)):
        with pytest.raises(NotConformalizedError, match="or calibrate the model"):
            ask()
