"""Calibrated probabilities and prediction sets of fitted models of classes."""

from dataclasses import replace

import numpy as np
import pytest

from xtalshift.data import Dataset, clean_table
from xtalshift.errors import DataError, LeakageError, ModelFormatError, NotConformalizedError
from xtalshift.model import calibrate, fit, load_model, save_model
from xtalshift.parallel import here_first
from xtalshift.uncertainty.class_calibration import ClassCalibration
from xtalshift.uncertainty.prediction_sets import SetCalibration
from xtalshift.uncertainty.probabilities import fit_probabilities
from xtalshift.uncertainty.settings import IntervalConfig

METALS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Ga", "Al", "In")
ANIONS = ("O", "S", "Se", "Te", "F", "Cl", "Br", "I", "N", "P", "As", "H", "C")
FORMULAS = [f"{metal}{anion}" for metal in METALS for anion in ANIONS]
RNG = np.random.default_rng(0)
KINDS = np.array(
    [
        ("halide" if formula.endswith(("F", "Cl", "Br", "I")) else "other")
        if RNG.random() < 0.9
        else "odd"
        for formula in FORMULAS
    ]
)
DATA = clean_table(Dataset.of(FORMULAS, KINDS))
SOURCE, TARGET = DATA.take(np.arange(len(DATA)) % 3 > 0), DATA.take(np.arange(len(DATA)) % 3 == 0)
HELD_OUT = IntervalConfig(method="held-out", share=0.3)
NONE = IntervalConfig(method="none")


def fitted(intervals=HELD_OUT, **options):
    return fit(SOURCE, "ridge", features="fractions", intervals=intervals, **options)


def test_probabilities_and_sets_come_from_held_out_rows():
    model = fitted()
    assert model.calibration.origin == "held-out"
    assert 30 < len(model.calibration) < 45
    X = model.features_of(TARGET.materials)
    raw = model.classifier.predict_proba(X)
    found = model.predict(TARGET.materials, level=0.8)
    np.testing.assert_array_equal(found.probabilities, model.calibration.probabilities.apply(raw))
    np.testing.assert_array_equal(found.probabilities, model.predict_features(X))
    np.testing.assert_array_equal(found.in_set, model.calibration.sets.sets(raw, 0.8))
    assert found.frame["prediction_set"][0] == "|".join(
        np.array(model.classes)[found.in_set[0]].tolist()
    )


def test_cross_calibration_scores_each_row_by_a_model_of_other_folds():
    model = fitted(IntervalConfig(method="cross", folds=3))
    assert model.calibration.origin == "out-of-fold"
    assert len(model.calibration) == len(SOURCE)
    plain = fitted(NONE)
    X = plain.features_of(TARGET.materials)
    np.testing.assert_array_equal(
        plain.classifier.predict_proba(X), model.classifier.predict_proba(X)
    )
    assert plain.calibration is None
    found = plain.predict(TARGET.materials)
    assert not found.in_set.any()
    assert set(found.prediction_set) == {""}
    np.testing.assert_array_equal(found.probabilities, plain.classifier.predict_proba(X))
    with pytest.raises(NotConformalizedError, match="no prediction sets"):
        plain.weigh_shift(X)


def test_folds_in_other_processes_give_the_same_bits(monkeypatch):
    intervals = IntervalConfig(method="cross", folds=3)
    here = fitted(intervals).calibration.get_state()
    monkeypatch.setattr(here_first, "START_SECONDS", -1.0)
    there = fitted(intervals, workers=2).calibration.get_state()
    assert here.keys() == there.keys()
    for name, values in here.items():
        np.testing.assert_array_equal(there[name], values)


def test_labels_of_a_new_region_calibrate_again():
    model = fitted()
    again = calibrate(model, TARGET)
    assert again.calibration.origin == "target"
    assert len(again.calibration) == len(TARGET)
    raw = model.classifier.predict_proba(model.features_of(TARGET.materials))
    expected = SetCalibration.of(raw, TARGET.y)
    np.testing.assert_array_equal(again.calibration.sets.scores, expected.scores)
    learned = fit_probabilities(raw, TARGET.y, groups=TARGET.groups)
    assert again.calibration.probabilities.slope == learned.slope
    assert again.card.provenance["calibrated_on"]["rows"] == len(TARGET)
    assert model.calibration.origin == "held-out"


def test_labels_are_matched_by_the_names_of_their_classes():
    model = fitted(NONE)
    two = TARGET.take(TARGET.labels != "halide")
    renumbered = clean_table(Dataset.of(two.formulas.tolist(), two.labels.astype(str)))
    assert renumbered.classes == ("odd", "other")  # 0 and 1, which are 1 and 2 in the model
    found = calibrate(model, renumbered).calibration
    np.testing.assert_array_equal(
        np.bincount(found.sets.labels, minlength=3),
        [0, (two.labels == "odd").sum(), (two.labels == "other").sum()],
    )
    other = Dataset.of(TARGET.formulas.tolist(), np.where(TARGET.y > 0, "halide", "salt"))
    with pytest.raises(DataError, match="'salt' is no class of the model, which has halide, odd"):
        calibrate(model, other)
    with pytest.raises(DataError, match="the labels are numbers; read them with --task"):
        calibrate(model, Dataset.of(TARGET.formulas.tolist(), np.linspace(0, 1, len(TARGET))))
    with pytest.raises(LeakageError, match="is a training material"):
        calibrate(model, SOURCE)


def test_no_shift_is_measured_in_coordinates_of_atoms():
    model = fitted()
    card = replace(model.card, feature_cols=("sites a x",))
    known, new = model.calibration.X, model.features_of(TARGET.materials)

    def shift(of_known, of_new):
        X = np.insert(known, known.shape[1], of_known, axis=1)
        crystals = replace(model, card=card, calibration=replace(model.calibration, X=X))
        return crystals.weigh_shift(np.insert(new, new.shape[1], of_new, axis=1))

    np.testing.assert_array_equal(shift(1.0, 9.0).known, shift(0.0, 0.0).known)


def test_shifts_weigh_the_calibration_rows_and_the_classes():
    model = fitted()
    X = model.features_of(TARGET.materials)
    shift = model.weigh_shift(X)
    raw = model.classifier.predict_proba(X)
    found = model.predict(TARGET.materials, level=0.7, shift=shift)
    expected = model.calibration.sets.sets(raw, 0.7, weights=(shift.known, shift(X)))
    np.testing.assert_array_equal(found.in_set, expected)
    ratios = np.array([3.0, 1.0, 0.2])
    plain = model.predict(TARGET.materials, level=0.7)
    moved = model.predict(TARGET.materials, level=0.7, class_ratios=ratios)
    np.testing.assert_array_equal(
        moved.in_set, model.calibration.sets.sets(raw, 0.7, class_ratios=ratios)
    )
    odds = [p.probabilities[:, 0] / p.probabilities[:, 2] for p in (plain, moved)]
    np.testing.assert_allclose(odds[1] / odds[0], 15.0)
    np.testing.assert_allclose(moved.probabilities.sum(1), 1.0)


def test_a_calibration_is_saved_with_the_model(tmp_path):
    model = fitted()
    again = load_model(save_model(model, tmp_path / "model"))
    assert repr(again) == repr(model)
    one, other = (each.predict(TARGET.materials).columns() for each in (model, again))
    for name, values in one.items():
        np.testing.assert_array_equal(other[name], values, err_msg=name)
    shift = again.weigh_shift(again.features_of(TARGET.materials))
    assert len(shift.known) == len(model.calibration)
    plain = load_model(save_model(fitted(NONE), tmp_path / "model"))
    assert plain.calibration is None


class TestArrays:
    def state(self):
        rng = np.random.default_rng(1)
        p = rng.dirichlet(np.ones(3), 40)
        made = ClassCalibration.of(
            p, rng.integers(0, 3, 40), origin="held-out", X=rng.normal(size=(40, 2))
        )
        return made, made.get_state()

    def restore(self, state):
        return ClassCalibration.from_state(
            state, n_classes=3, probabilities="temperature", sets="lac", origin="held-out"
        )

    def test_they_are_what_the_schema_says(self):
        made, state = self.state()
        assert ClassCalibration.saved(state).keys() == state.keys()
        again = self.restore(state)
        assert again.probabilities.slope == made.probabilities.slope
        np.testing.assert_array_equal(again.X, made.X)

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({"calibration.X": np.zeros((9, 2), np.float32)}, "has the length 9"),
            ({"calibration.more": np.zeros(2)}, "is unknown"),
            ({"calibration.probabilities.slope": np.array([-1.0])}, "expected finite numbers"),
        ],
    )
    def test_forged_ones_are_refused(self, change, text):
        _, state = self.state()
        with pytest.raises(ModelFormatError, match=text):
            self.restore(state | change)
