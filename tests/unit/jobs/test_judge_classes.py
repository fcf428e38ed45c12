"""Candidates of a table of classes are judged by hold-outs that imitate them."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.stats import t

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
from xtalshift.report.shared.answer_text import class_sentences
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


def test_errors_are_log_losses_with_the_temperature_of_the_other_hold_outs(data, imitation):
    y = data.y.astype(int)
    for place, own in imitation.rows.items():
        p = imitation.forecasts[place, "ridge"].prediction
        assert p.shape == (len(own), 2)
        others = [name for name in imitation.rows if name != place]
        learned = fit_probabilities(
            np.concatenate([imitation.forecasts[name, "ridge"].prediction for name in others]),
            data.y[np.concatenate([imitation.rows[name] for name in others])],
            "temperature",
        )
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
    logs = np.log(losses)
    wide = t.ppf(0.9, 2) * logs.std(ddof=1) * np.sqrt(4 / 3)
    assert np.log([found.expected_low, found.expected_high]) == pytest.approx(
        [logs.mean() - wide, logs.mean() + wide]
    )
    (said, *_) = class_sentences(found)
    assert f"In eight of ten such cases it is between {found.expected_low:.3g} and" in said
    assert "On 3 hold-outs of your table that imitate the candidates it was " in said
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


def test_one_hold_out_is_halved_and_gives_no_range(data, candidates, imitation):
    place = max(imitation.rows, key=lambda name: len(imitation.rows[name]))
    alone = replace(imitation, rows={place: imitation.rows[place]})
    told, raw = alone.told("ridge")[place], alone.forecasts[place, "ridge"].prediction
    half = np.random.default_rng(0).permutation(len(raw)) % 2 == 0
    y = data.y[imitation.rows[place]]
    for own in (half, ~half):
        learned = fit_probabilities(raw[~own], y[~own], "temperature")
        np.testing.assert_array_equal(told[own], learned.apply(raw[own]))
    model = xs.fit(data, "ridge", intervals=steps.IntervalConfig(method="none"), settings=SETTINGS)
    found = class_answer_of(alone, data, model, candidates, model.predict(candidates), CONFIG)
    assert (found.expected_low, found.expected_high) == (None, None)
    said = class_sentences(found)[0]
    assert "One hold-out does not say how far it may be from that. On 1 hold-out of your" in said


def test_from_python_classes_are_refused(data):
    with pytest.raises(ConfigError, match="judges classes too"):
        judge(data, ["Li2Te"], CONFIG, executor=InProcessExecutor())
