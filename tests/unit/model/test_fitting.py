"""The one way to fit: which rows do what, what a method sees, and where the seed goes."""

import numpy as np
import pytest

from estimator_toys import Spy
from xtalshift.data import Dataset, clean_table
from xtalshift.errors import ConfigError, DataError, SplitError
from xtalshift.estimators import ConstantRegressor, RidgeRegressor, StackRegressor
from xtalshift.estimators.stack import Member
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.methods import METHODS, MethodSettings
from xtalshift.methods.registry import Method
from xtalshift.model import FitRows, draw_rows, fit, load_model
from xtalshift.model.fitting import target_scale
from xtalshift.seeding import derive_seed
from xtalshift.uncertainty.settings import IntervalConfig

METALS = ("Li", "Na", "K", "Mg", "Zn", "Ga", "Fe", "Ti")
FORMULAS = [metal + anion for metal in METALS for anion in ("O", "S", "F", "Cl", "N")]
GAPS = np.linspace(1.0, 3.0, len(FORMULAS)) ** 2
NONE = IntervalConfig(method="none")


@pytest.fixture
def data():
    return clean_table(Dataset.of(FORMULAS, GAPS, unit="eV"))


@pytest.fixture
def spy(monkeypatch):
    def register(sees):
        method = Method(lambda settings, seed: Spy(random_state=seed), "constant", sees)
        monkeypatch.setitem(METHODS._items, "spy", method)
        return "spy"

    return register


class TestRows:
    groups = np.array([f"g{i // 2}" for i in range(2000)], dtype=object)

    def test_parts_are_disjoint_whole_formulas_of_the_wanted_size(self):
        rows = draw_rows(self.groups, intervals=IntervalConfig(), seed=3)
        parts = [rows.train, rows.validation, rows.calibration]
        assert np.sort(np.concatenate(parts)).tolist() == list(range(2000))
        assert [len(part) for part in parts] == [1620, 180, 200]
        assert sum(len(set(self.groups[part])) for part in parts) == 1000
        assert len(rows.target) == 0

    def test_the_seed_draws(self):
        one, same, other = (draw_rows(self.groups, seed=seed) for seed in (0, 0, 1))
        assert one.validation.tolist() == same.validation.tolist()
        assert one.validation.tolist() != other.validation.tolist()

    def test_small_tables_keep_no_rows_for_intervals(self):
        rows = draw_rows(self.groups[:900], intervals=IntervalConfig())
        assert (len(rows.calibration), len(rows.validation)) == (0, 90)
        rows = draw_rows(self.groups[:900], intervals=IntervalConfig(method="held-out"))
        assert len(rows.calibration) == 90

    def test_rows_are_drawn_within_others(self):
        within = np.arange(10, 110)
        rows = draw_rows(self.groups, within=within, validation_share=0.2)
        assert np.sort(np.concatenate([rows.train, rows.validation])).tolist() == within.tolist()
        assert len(rows.validation) == 20

    def test_very_few_rows_train_and_select_both(self):
        rows = draw_rows(self.groups[:5])
        assert rows.train.tolist() == rows.validation.tolist() == [0, 1, 2, 3, 4]
        with pytest.raises(SplitError, match="1 usable row; at least 2"):
            draw_rows(self.groups[:1])


def test_a_table_as_read_is_cleaned_first():
    messy = Dataset.of(["NaCl", "Na2Cl2", "Xx", *FORMULAS], [1.0, 3.0, 9.0, *GAPS])
    model = fit(messy, "ridge", features="fractions", intervals=NONE)
    assert model.card.provenance["data"]["rows"] == 40
    X = np.zeros((43, 1))
    for given in ({"rows": FitRows(np.arange(9), np.arange(9))}, {"X": X}):
        with pytest.raises(ConfigError, match="call clean_table first"):
            fit(messy, "ridge", **given)
    with pytest.raises(DataError, match="no target column"):
        fit(Dataset.of(FORMULAS), "ridge")


def test_rows_do_what_they_are_given_for(data, spy):
    rows = FitRows(np.arange(0, 20), np.arange(20, 25), np.arange(25, 40))
    model = fit(data, spy("source"), features="fractions", rows=rows)
    X = CompositionFeaturizer("fractions").transform(FORMULAS)
    np.testing.assert_array_equal(Spy.seen.train.X, X[:20])
    np.testing.assert_array_equal(Spy.seen.train.y, GAPS[:20])
    np.testing.assert_array_equal(Spy.seen.validation.y, GAPS[20:25])
    assert Spy.seen.target is None
    assert model.calibration.origin == "held-out"
    mean = GAPS[:20].mean()
    np.testing.assert_allclose(np.sort(model.calibration.scores), np.sort(abs(GAPS[25:] - mean)))
    assert model.was_trained_on(X).tolist() == [True] * 20 + [False] * 20


@pytest.mark.parametrize("sees", ["features", "labels"])
def test_a_method_sees_of_the_target_domain_what_it_declares(data, spy, sees):
    rows = FitRows(np.arange(20), np.arange(20, 25), target=np.arange(30, 40))
    fit(data, spy(sees), transform="log", features="fractions", rows=rows, intervals=NONE)
    X = CompositionFeaturizer("fractions").transform(FORMULAS)
    np.testing.assert_array_equal(Spy.seen.target.X, X[30:])
    if sees == "labels":  # a constant is one in the unit of the target
        np.testing.assert_array_equal(Spy.seen.target.y, GAPS[30:])
    else:
        assert np.isnan(Spy.seen.target.y).all()
    with pytest.raises(ConfigError, match=f"'spy' needs {sees} of the target domain"):
        fit(data, "spy", features="fractions", intervals=NONE)


def test_targets_of_rows_that_neither_train_nor_select_are_not_looked_at(data):
    values = data.y.copy()
    values[30:] = -1.0  # outside the domain of the logarithm
    other = clean_table(Dataset.of(FORMULAS, values))
    rows = FitRows(np.arange(20), np.arange(20, 30))
    options = {"transform": "log", "features": "fractions", "rows": rows, "intervals": NONE}
    one, two = (fit(table, "ridge", **options) for table in (data, other))
    np.testing.assert_array_equal(one.regressor.coef_, two.regressor.coef_)


def test_a_saved_model_lends_its_featurizer(data, tmp_path):
    one = fit(data, "ridge", features="fractions", intervals=NONE)
    saved = load_model(one.save(tmp_path / "model"))
    two = fit(data, "ridge", features=saved.featurizer, intervals=NONE)
    assert two.featurizer.transform(FORMULAS).shape == (len(FORMULAS), 118)
    np.testing.assert_array_equal(one.regressor.coef_, two.regressor.coef_)


def test_features_of_the_caller_are_used_as_they_are(data):
    X = CompositionFeaturizer("fractions").transform(FORMULAS)
    one = fit(data, "ridge", features="fractions", intervals=NONE)
    two = fit(data, "ridge", features="fractions", X=X, intervals=NONE)
    for name, value in one.regressor._get_state().items():
        np.testing.assert_array_equal(value, two.regressor._get_state()[name])


def test_extra_columns_stand_last_and_are_named_in_the_card():
    warm = np.tile([300.0, 400.0], 20)
    data = Dataset.of(FORMULAS, GAPS + warm / 100, extra=warm[:, None])
    model = fit(data, "ridge", features="fractions", intervals=NONE)
    assert model.card.feature_cols == ("x0",)
    assert model.feature_names[-1] == "x0"
    low, high = model.predict(["LiO", "LiO"], [[300.0], [400.0]]).prediction
    assert high - low == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize(("name", "expected"), [("gap", "gap"), ("", "target")])
def test_the_card_says_what_the_target_is(name, expected):
    data = Dataset.of(FORMULAS, GAPS, target_name=name, unit="eV", conditions="300 K")
    card = fit(data, "dummy", features="fractions", intervals=NONE).card
    assert (card.target_name, card.unit, card.conditions) == (expected, "eV", "300 K")


def test_the_seed_of_the_regressor_is_that_of_every_method(data):
    settings = MethodSettings.from_dict({"lightgbm": {"n_estimators": 5}})
    for method in ("ridge", "lightgbm", "dummy"):
        model = fit(data, method, settings=settings, intervals=NONE, seed=7)
        assert model.regressor.random_state == derive_seed(7, "method")
    own = fit(data, RidgeRegressor(random_state=5), intervals=NONE, seed=7)
    assert own.regressor.random_state == 5
    assert own.card.provenance["method"] == "RidgeRegressor"


def test_a_regressor_of_the_caller_is_not_touched(data):
    own = RidgeRegressor(alphas=(0.5,))
    model = fit(data, own, features="fractions", intervals=NONE)
    assert model.regressor is not own
    assert not hasattr(own, "coef_")
    assert model.regressor.alphas == (0.5,)


def test_params_differ_from_the_settings(data):
    model = fit(data, "ridge", params={"alphas": (0.25,)}, features="fractions", intervals=NONE)
    assert model.regressor.alpha_ == 0.25


def test_intervals_follow_from_the_number_of_rows(data):
    assert fit(data, "dummy", features="fractions").calibration.origin == "out-of-fold"
    held_out = fit(
        data, "dummy", features="fractions",
        intervals=IntervalConfig(method="held-out", share=0.5),
    )  # fmt: skip
    assert held_out.calibration.origin == "held-out"
    assert len(held_out.calibration) == 20
    said = []

    class Listener:
        def say(self, text):
            said.append(text)

    few = fit(data.take(slice(9)), "dummy", features="fractions", progress=Listener())
    assert few.calibration is None
    assert said == ["No intervals: 9 rows for calibration, at least 10 are needed"]
    same = Dataset.of(["NaCl"] * 12, np.arange(12.0), extra=np.arange(12.0)[:, None])
    rows = FitRows(np.arange(10), np.arange(10, 12))
    same = clean_table(same, duplicates="keep")
    one = fit(same, "dummy", features="fractions", rows=rows, progress=Listener())
    assert one.calibration is None
    assert said[1:] == ["No intervals: all rows have the same formula"]


def test_a_constant_is_one_in_the_unit_of_the_target():
    assert target_scale(ConstantRegressor(), "log").name == "none"
    assert target_scale(RidgeRegressor(), "log").name == "log"


def test_the_domain_of_a_stack_has_all_rows_that_it_was_trained_on(data):
    stack = StackRegressor([Member("ridge", RidgeRegressor())], random_state=0)
    model = fit(data, stack, features="fractions", seed=0)
    assert model.regressor.cross_fits
    assert sorted(model.domain.formulas_) == sorted(data.groups)
    assert model.was_trained_on(model.features_of(data.materials)).all()
    alone = fit(data, "ridge", features="fractions", seed=0)
    held_out = draw_rows(data.groups, intervals=IntervalConfig(), seed=0).validation
    assert sorted(alone.domain.formulas_) == sorted(np.delete(data.groups, held_out))


def test_a_data_set_a_model_and_predictions_are_one_line(data):
    model = fit(data, "ridge", features="fractions", intervals=NONE)
    assert repr(data) == (
        "<Dataset: Materials: 40 (LiO, LiS, LiF, ...); target from 1 to 9 eV; cleaned>"
    )
    assert repr(Dataset.of(["GaN", "x?"])) == (
        "<Dataset: Materials: 2 (GaN, x?); 1 cannot be read; not cleaned>"
    )
    assert repr(model) == (
        "<FittedModel: ridge for target in eV, no intervals, domain of 36 materials>"
    )
    assert repr(model.predict(["GaN", "x?", "XeN"])) == (
        "<Predictions: 3 rows, 1 in the domain, 1 without a prediction; .frame is the table>"
    )
