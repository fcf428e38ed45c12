"""Candidates of a table of classes are judged by hold-outs that imitate them."""

from functools import partial

import numpy as np
import pytest

import xtalshift as xs
from xtalshift.data import Dataset
from xtalshift.data.materials import as_materials
from xtalshift.errors import ConfigError
from xtalshift.jobs import imitate as steps
from xtalshift.jobs.judge import _featurizer, calibrate_by_proxies, judge, usable
from xtalshift.jobs.judge_classes import class_answer_of
from xtalshift.jobs.judge_settings import JudgeConfig
from xtalshift.methods import MethodSettings
from xtalshift.metrics.classification import log_loss
from xtalshift.parallel import InProcessExecutor
from xtalshift.uncertainty.probabilities import fit_probabilities

CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Al")
ANIONS = ("F", "Cl", "Br", "I", "O", "S", "Se")
FORMULAS = [f"{a}{n}{b}" for a in CATIONS for b in ANIONS for n in (2, 3)]
CONFIG = JudgeConfig(methods=("dummy", "ridge"), n_proxies=3, n_measure=3)
SETTINGS = MethodSettings(threads=1)


@pytest.fixture(scope="module")
def data():
    """Return 168 salts; the class follows the anion, but for a tenth."""
    rng = np.random.default_rng(0)
    halide = np.array([one.rstrip("0123456789").endswith(("F", "Cl", "Br", "I"))
                       for one in FORMULAS])  # fmt: skip
    flipped = halide ^ (rng.random(len(FORMULAS)) < 0.1)
    return xs.clean_table(Dataset.of(FORMULAS, np.where(flipped, "wide", "narrow")))


@pytest.fixture(scope="module")
def candidates(data):
    return as_materials([f"{a}2Te" for a in CATIONS] + ["Xx2"], data.materials.notation)


@pytest.fixture(scope="module")
def imitation(data, candidates, tmp_path_factory):
    folder = tmp_path_factory.mktemp("proxies")
    how = {
        "featurizer_of": partial(_featurizer, data), "settings": SETTINGS, "folder": folder,
    }  # fmt: skip
    found = steps.imitate(data, usable(candidates), CONFIG, InProcessExecutor(), **how)
    again = steps.imitate(data, usable(candidates), CONFIG, InProcessExecutor(), **how)
    for task, one in found.forecasts.items():  # what was kept is read again
        np.testing.assert_array_equal(again.forecasts[task].prediction, one.prediction)
        np.testing.assert_array_equal(again.forecasts[task].constant, one.constant)
    return found


def test_errors_are_log_losses_with_one_temperature(data, imitation):
    y = data.y.astype(int)
    rows = np.concatenate(list(imitation.rows.values()))
    raw = [imitation.forecasts[place, "ridge"].prediction for place in imitation.rows]
    learned = fit_probabilities(np.concatenate(raw), data.y[rows], "temperature")
    for place, own in imitation.rows.items():
        p = imitation.forecasts[place, "ridge"].prediction
        assert p.shape == (len(own), 2)
        expected = log_loss(y[own], learned.apply(p))
        assert imitation.errors["ridge"][place] == pytest.approx(expected)
    assert imitation.method == "ridge"
    assert imitation.measured == {}


def test_the_answer_says_what_to_expect(data, candidates, imitation):
    model = xs.fit(data, "ridge", intervals=steps.IntervalConfig(method="none"), settings=SETTINGS)
    model = calibrate_by_proxies(model, imitation, data)
    assert model.calibration.origin == "proxies"
    assert len(model.calibration) == sum(map(len, imitation.rows.values()))
    predictions = model.predict(candidates)
    found = class_answer_of(imitation, data, model, candidates, predictions, CONFIG)
    losses = [one.log_loss for one in found.proxies]
    assert found.expected_log_loss == pytest.approx(np.exp(np.mean(np.log(losses))))
    assert (found.expected_low, found.expected_high) == (min(losses), max(losses))
    assert found.useful
    assert found.expected_log_loss < found.constant
    assert (found.n, found.n_usable, found.new_elements) == (13, 12, ("Te",))
    for one in found.proxies:
        p = imitation.told("ridge")[one.name]
        right = p.argmax(axis=1) == data.y[imitation.rows[one.name]]
        assert one.accuracy == pytest.approx(right.mean())
        assert 0 <= one.coverage <= 1
        assert set(one.methods) == {"dummy", "ridge"}
    # the most uncertain come first, as far as they differ
    p = predictions.probabilities[:12].max(axis=1)  # the last is no formula
    assert len(found.measure) == 3
    assert found.measure_rows[0] == int(np.argmin(p))


def test_from_python_classes_are_refused(data):
    with pytest.raises(ConfigError, match="judges classes too"):
        judge(data, ["Li2Te"], CONFIG, executor=InProcessExecutor())
