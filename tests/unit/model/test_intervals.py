"""Intervals: the same as those of MAPIE where it makes them, and the life cycle of a model."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from mapie.regression import (
    ConformalizedQuantileRegressor,
    CrossConformalRegressor,
    SplitConformalRegressor,
)
from sklearn.linear_model import LinearRegression, QuantileRegressor

from estimator_toys import Picky
from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.families import family_codes
from xtalshift.data import Dataset
from xtalshift.data.transform import TargetTransform
from xtalshift.errors import (
    ConfigError,
    DataError,
    FormulaError,
    LeakageError,
    NotConformalizedError,
)
from xtalshift.estimators import (
    ConstantRegressor,
    GPRegressor,
    IRNetRegressor,
    QuantileLightGBMRegressor,
    TargetedCALRegressor,
)
from xtalshift.estimators.base import Regressor
from xtalshift.methods import MethodSettings
from xtalshift.metrics import rank_evidence
from xtalshift.model import FormulaRegressor, adapt, calibrate, fit, load_model, save_model
from xtalshift.model.cross_calibration import cross_calibrate
from xtalshift.model.intervals import calibrate_regressor, predictive, score_rows
from xtalshift.parallel import here_first
from xtalshift.splits import KFoldSplit
from xtalshift.uncertainty.conformal import ScoreLaw
from xtalshift.uncertainty.settings import IntervalConfig

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 3))
Y = X @ [1.0, -2.0, 0.5] + RNG.normal(size=400) * (0.2 + np.abs(X[:, 0]))
TRAIN, CALIBRATION, NEW = X[:200], X[200:300], X[300:]


class Line(Regressor):
    """Least squares of all rows, and quantile regressions beside it: what MAPIE is given too."""

    def __init__(self, quantiles=False, validation_fraction=0.1, random_state=None):
        self.quantiles = quantiles
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _hold_out(self, rows, groups, rng):
        return rows, rows

    def _fit(self, data):
        self.line_ = LinearRegression().fit(data.train.X, data.train.y)
        self.sides_ = side_models(data.train.X, data.train.y)[:2]

    def _predict(self, X):
        return self.line_.predict(X)

    def predict_quantiles(self, X):
        return tuple(side.predict(X) for side in self.sides_) if self.quantiles else None


def side_models(X, y):
    return [
        QuantileRegressor(quantile=q, alpha=0, solver="highs").fit(X, y) for q in (0.05, 0.95, 0.5)
    ]


def ours(model, calibration, rows=NEW, level=0.9, **how):
    forecast = score_rows(model, rows, calibration.kind)
    return predictive(forecast, calibration, TargetTransform(), **how).interval(level)


def test_split_conformal_intervals_are_those_of_mapie():
    model = Line().fit(TRAIN, Y[:200])
    low, high = ours(model, calibrate_regressor(model, CALIBRATION, Y[200:300]))
    reference = SplitConformalRegressor(LinearRegression().fit(TRAIN, Y[:200]), 0.9)
    _, bounds = reference.conformalize(CALIBRATION, Y[200:300]).predict_interval(NEW)
    np.testing.assert_allclose(low, bounds[:, 0, 0], rtol=1e-12)
    np.testing.assert_allclose(high, bounds[:, 1, 0], rtol=1e-12)


def test_conformalised_quantiles_are_those_of_mapie():
    model = Line(quantiles=True).fit(TRAIN, Y[:200])
    calibration = calibrate_regressor(model, CALIBRATION, Y[200:300])
    assert calibration.kind == "quantile"
    low, high = ours(model, calibration)
    reference = ConformalizedQuantileRegressor(side_models(TRAIN, Y[:200]), 0.9, prefit=True)
    reference.conformalize(CALIBRATION, Y[200:300])
    _, bounds = reference.predict_interval(NEW, symmetric_correction=True)
    np.testing.assert_allclose(low, bounds[:, 0, 0], rtol=1e-9)
    np.testing.assert_allclose(high, bounds[:, 1, 0], rtol=1e-9)


def test_cross_conformal_intervals_are_those_of_mapie():
    folds = KFoldSplit(5, random_state=3)
    model = Line().fit(TRAIN, Y[:200])
    calibration = cross_calibrate(model, TRAIN, Y[:200], random_state=3)
    assert calibration.origin == "out-of-fold"
    held_out = np.empty(200)
    for train, out in folds.split(TRAIN, Y[:200]):
        held_out[out] = Line().fit(TRAIN[train], Y[:200][train]).predict(TRAIN[out])
    assert calibration.ranking == rank_evidence(Y[:200], held_out)
    low, high = ours(model, calibration)
    reference = CrossConformalRegressor(LinearRegression(), 0.9, method="base", cv=folds)
    _, bounds = reference.fit_conformalize(TRAIN, Y[:200]).predict_interval(NEW)
    np.testing.assert_allclose(low, bounds[:, 0, 0], rtol=1e-9)
    np.testing.assert_allclose(high, bounds[:, 1, 0], rtol=1e-9)


def test_normalised_intervals_follow_the_spread_and_never_vanish():
    model = IRNetRegressor(architecture=(8,), epochs=3, n_members=3, device="cpu", random_state=0)
    model.fit(TRAIN, Y[:200])
    calibration = calibrate_regressor(model, CALIBRATION, Y[200:300])
    assert calibration.kind == "normalised"
    spread = model.predict_std(NEW)
    low, high = ours(model, calibration)
    quantile = calibration.law.bound(0.9)
    expected = 2 * quantile * np.maximum(spread, calibration.floor)
    np.testing.assert_allclose(high - low, expected, rtol=1e-12)
    assert calibration.floor == pytest.approx(0.1 * np.median(model.predict_std(CALIBRATION)))


def test_gp_std_is_used_and_absolute_errors_can_be_asked_for():
    model = GPRegressor(random_state=0).fit(TRAIN, Y[:200])
    assert calibrate_regressor(model, CALIBRATION, Y[200:300]).kind == "normalised"
    plain = calibrate_regressor(model, CALIBRATION, Y[200:300], kind="absolute")
    low, high = ours(model, plain)
    assert np.ptp(high - low) == pytest.approx(0, abs=1e-12)


def test_too_wide_quantiles_are_drawn_toward_the_prediction():
    class Wide(Line):
        def predict_quantiles(self, X):
            return np.full(len(X), -100.0), np.full(len(X), 200.0)

    model = Wide().fit(TRAIN, Y[:200])
    calibration = calibrate_regressor(model, CALIBRATION, model.predict(CALIBRATION) + 20.0)
    center = model.predict(NEW)
    low, high = ours(model, calibration)
    share = (high - center) / (200 - center)
    np.testing.assert_allclose(share, (center - low) / (center + 100))
    np.testing.assert_allclose(share, 0.1, atol=0.01)
    exact = calibrate_regressor(model, CALIBRATION, model.predict(CALIBRATION))
    np.testing.assert_allclose(ours(model, exact), [center, center])


def test_lightgbm_quantiles_hold_about_what_they_say_and_come_back():
    model = QuantileLightGBMRegressor(n_estimators=100, random_state=0).fit(TRAIN, Y[:200])
    low, high = model.predict_quantiles(NEW)
    assert (low <= high).all()
    assert 0.75 < np.mean((low <= Y[300:]) & (Y[300:] <= high)) < 0.97
    again = QuantileLightGBMRegressor()
    again._set_state(model._get_state())
    np.testing.assert_array_equal(again.predict_quantiles(NEW), (low, high))


@pytest.mark.parametrize(
    ("kind", "text"),
    [("normalised", "predicts no standard deviation"), ("quantile", "predicts no quantiles"),
     ("other", "expected absolute, normalised or quantile")],
)  # fmt: skip
def test_scores_that_a_regressor_cannot_have(kind, text):
    model = Line().fit(TRAIN, Y[:200])
    with pytest.raises(ConfigError, match=text):
        calibrate_regressor(model, CALIBRATION, Y[200:300], kind=kind)


def test_too_few_rows_are_refused():
    model = Line().fit(TRAIN, Y[:200])
    with pytest.raises(DataError, match="9 rows to calibrate intervals; at least 10"):
        calibrate_regressor(model, CALIBRATION[:9], Y[200:209])


FORMULAS = [f"{metal}{anion}" for metal in ("Li", "Na", "K", "Mg", "Ca", "Sr", "Zn", "Ga", "Al")
            for anion in ("O", "S", "F", "Cl", "N", "P", "H", "C")]  # fmt: skip
VALUES = np.linspace(1, 4, len(FORMULAS)) ** 2


LABELS = Dataset.of(FORMULAS, VALUES)


QUICK = MethodSettings.from_dict(
    {
        "threads": 1, "erm": {"epochs": 4}, "lightgbm": {"n_estimators": 10},
        "cal": {"epochs": 3, "warmup_epochs": 1, "attack": "composition"},
        "network": {"architecture": [8], "dropout": 0.2},
    }
)  # fmt: skip


def count_calls(monkeypatch, owner, name):
    """Return a list that grows with every call of a method in this process."""
    calls, original = [], getattr(owner, name)

    def counted(*args, **kwargs):
        calls.append(name)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)
    return calls


def assert_same_bits(one, other):
    first, second = one.get_state(), other.get_state()
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


class TestFormulas:
    def fitted(self, method="ridge", **options):
        model = FormulaRegressor(method, random_state=0, **options)
        return model.fit(FORMULAS[::2], VALUES[::2])

    def calibrated(self, method="ridge", **options):
        """Return the `FittedModel` with intervals of the other half of the rows."""
        model = self.fitted(method, **options).model_
        return calibrate(model, LABELS.take(slice(1, None, 2)), origin="held-out")

    def network(self, rows):
        regressor = IRNetRegressor(architecture=(8,), epochs=2, device="cpu", random_state=0)
        return FormulaRegressor(regressor, random_state=0).fit(FORMULAS[rows], VALUES[rows]).model_

    def test_intervals_before_their_time_say_what_to_call(self):
        model = self.fitted()
        with pytest.raises(NotConformalizedError, match=r"call conformalize\(formulas, targets\)"):
            model.predict_interval(["GaAs"])
        with pytest.raises(NotConformalizedError):
            model.model_.weigh_shift(model.model_.features_of(FORMULAS))
        assert np.isnan(model.model_.predict(["GaAs"]).lower).all()

    @pytest.mark.parametrize("transform", ["none", "log"])
    def test_the_life_of_intervals(self, transform):
        model = self.fitted(transform=transform)
        before = model.model_
        model.conformalize(FORMULAS[1::2], VALUES[1::2])
        assert before.calibration is None
        assert model.model_.calibration.origin == "held-out"
        low, high = model.predict_interval(["GaAs", "BaO"], level=0.8)
        scale = model.model_.scale
        error = np.abs(scale.forward(VALUES[1::2]) - scale.forward(model.predict(FORMULAS[1::2])))
        half = np.sort(error)[int(np.ceil(37 * 0.8)) - 1]
        center = scale.forward(model.predict(["GaAs", "BaO"]))
        np.testing.assert_allclose(low, scale.inverse(center - half))
        np.testing.assert_allclose(high, scale.inverse(center + half))

    def test_std_is_half_of_the_interval_of_one_sigma(self):
        model = self.calibrated()
        rows = model.predict(["GaAs", "nonsense"])
        narrow = model.predict(["GaAs"], level=0.6827)
        assert rows.std[0] == pytest.approx((narrow.upper - narrow.lower)[0] / 2)
        assert np.isnan(rows.std[1])
        assert rows.columns()["status"].tolist() == ["ok", "error"]

    def test_families_and_shifts(self):
        model = self.calibrated()
        codes = family_codes(parse_formulas(FORMULAS[1::2])[0])
        np.testing.assert_array_equal(model.calibration.families, codes)
        asked = ["GaAs", "BaO"]
        rows = model.predict(asked, by_family=True, level=0.6)
        own = family_codes(parse_formulas(asked)[0])
        laws, places = model.calibration.laws_by_family(own, 0.6)
        expected = [float(laws[place].bound(0.6)) for place in places]
        assert (rows.upper - rows.lower) / 2 == pytest.approx(expected)
        assert expected[0] != expected[1]
        shift = model.weigh_shift(model.features_of(FORMULAS))
        weighted = model.predict(["GaAs"], shift=shift, level=0.5)
        new = model.features_of(["GaAs"])
        expected = ScoreLaw.of(model.calibration.scores, shift.known).bound(0.5, shift(new))
        assert (weighted.upper - weighted.lower)[0] / 2 == pytest.approx(expected[0])
        with pytest.raises(ConfigError, match="not both"):
            model.predict(asked, by_family=True, shift=shift)

    def test_a_bad_formula_is_named(self):
        model = self.fitted().conformalize(FORMULAS[1::2], VALUES[1::2])
        with pytest.raises(FormulaError, match="row 2, Xx"):
            model.predict_interval(["GaAs", "Xx"])

    def test_training_rows_do_not_calibrate(self):
        formulas = [FORMULAS[1], "LiO", *FORMULAS[3::2]][:12]
        with pytest.raises(LeakageError, match="row 2, LiO, is a training material"):
            self.fitted().conformalize(formulas, VALUES[:12])
        with pytest.raises(LeakageError, match=r"row 2, LiO, .*\(1 of 12 rows are\)"):
            calibrate(self.fitted().model_, Dataset.of(formulas, VALUES[:12]))

    def test_std_is_not_cut_off_with_the_values(self):
        model = self.calibrated(transform="clip")
        model.regressor.intercept_ -= 100.0
        rows = model.predict(["GaAs"])
        assert (rows.prediction[0], rows.upper[0]) == (0.0, 0.0)
        assert rows.std[0] == pytest.approx(model.calibration.law.bound(0.6827))

    def test_an_overflow_leaves_no_numbers(self):
        model = self.calibrated(transform="log")
        model.regressor.intercept_ += 1e5
        rows = model.predict(["LiO", "GaAs"])
        assert all("overflows" in reason for reason in rows.reason)
        assert np.isnan([rows.prediction, rows.lower, rows.upper, rows.std]).all()
        assert not rows.in_domain.any()

    def test_folds_are_as_many_as_formulas_allow(self):
        formulas, conditions = np.repeat(FORMULAS[:3], 8), np.tile(np.arange(8.0), 3)[:, None]
        model = FormulaRegressor("ridge", random_state=0)
        model.fit_conformalize(formulas.tolist(), np.arange(24.0), conditions)
        assert len(model.model_.calibration) == 24
        with pytest.raises(DataError, match="all rows have the same formula"):
            cross_calibrate(Line(), X[:12], Y[:12], groups=["NaCl"] * 12)
        with pytest.raises(ConfigError, match="1 folds for intervals; give at least 2"):
            cross_calibrate(Line(), X[:12], Y[:12], n_folds=1)
        with pytest.raises(ConfigError, match=r"'folds' = 1: .*greater than or equal to 2"):
            model.fit_conformalize(FORMULAS, VALUES, n_folds=1)

    def test_a_fold_does_not_replay_the_rows_that_it_holds_out(self, monkeypatch):
        seen = []
        original = TargetedCALRegressor.adapt

        def spy(self, model, X_target, y_target=None, **how):
            seen.append((set(how["groups"]), set(how["source_groups"])))
            return original(self, model, X_target, y_target, **how)

        monkeypatch.setattr(TargetedCALRegressor, "adapt", spy)
        adapt(
            self.network(slice(24, None)), Dataset.of(FORMULAS[:24], VALUES[:24] + 1),
            source=LABELS, method="joint", settings={"steps": 30, "learning_rate": 0.01}, seed=0,
            calibration_folds=3,
        )  # fmt: skip
        *folds, (labels, source) = seen
        assert labels < source
        assert len(folds) == 3
        for kept, replayed in folds:
            assert replayed == source - (labels - kept)

    def test_cross_conformal_keeps_all_rows_for_the_model(self):
        model = FormulaRegressor(ConstantRegressor(random_state=0), random_state=0)
        model.fit_conformalize(FORMULAS, VALUES, n_folds=4)
        assert len(model.model_.calibration) == len(FORMULAS)
        assert model.model_.calibration.origin == "out-of-fold"
        np.testing.assert_array_equal(
            model.predict(FORMULAS),
            FormulaRegressor(ConstantRegressor(random_state=0), random_state=0)
            .fit(FORMULAS, VALUES)
            .predict(FORMULAS),
        )

    @pytest.mark.parametrize("method", ["ridge", "lightgbm-quantile"])
    def test_intervals_are_saved_with_the_model(self, method, tmp_path):
        model = self.calibrated(method)
        again = load_model(save_model(model, tmp_path / "model"))
        assert again.calibration.kind == model.calibration.kind
        for name, values in model.predict(["GaAs", "BaO"]).columns().items():
            np.testing.assert_array_equal(again.predict(["GaAs", "BaO"]).columns()[name], values)

    def test_adaptation_makes_intervals_of_the_labels(self):
        start = self.network(slice(24, None))
        labels = Dataset.of(FORMULAS[:24], VALUES[:24] + 1, source="mine.csv")
        steps = {"steps": 50, "learning_rate": 0.01}
        options = {"method": "fine-tune", "settings": steps, "seed": 0}
        before = start.predict(FORMULAS).frame
        adapted = adapt(start, labels, calibration_folds=3, **options)
        assert adapted.calibration.origin == "target"
        assert len(adapted.calibration) == 24
        assert adapted.card.provenance["method"] == "fine-tune"
        assert adapted.card.provenance["adapted_to"] == asdict(labels.description)
        assert adapted.card.provenance["adapted_from"] == start.card.provenance
        without = adapt(start, labels, calibration_folds=0, **options)
        assert without.calibration is None
        values = without.predict(FORMULAS).prediction
        np.testing.assert_array_equal(values, adapted.predict(FORMULAS).prediction)
        assert not np.array_equal(values, before["prediction"])
        pd.testing.assert_frame_equal(start.predict(FORMULAS).frame, before)  # it stays
        few = adapt(start, labels.take(slice(9)), calibration_folds=3, **options)
        assert few.calibration is None
        assert few.card.provenance["cross_fit"]["n"] == 9

    @pytest.mark.parametrize("method", ["ridge", "lightgbm", "erm", "ensemble", "cal"])
    def test_folds_in_other_processes_give_the_same_bits(self, method, monkeypatch):
        fits = count_calls(monkeypatch, Regressor, "fit")
        options = {"method": method, "settings": QUICK, "intervals": IntervalConfig(folds=4)}
        here = fit(LABELS, **options)
        assert len(fits) == 5
        monkeypatch.setattr(here_first, "START_SECONDS", -1.0)
        there = fit(LABELS, **options, workers=2)
        assert len(fits) == 5 + 2  # the model and the first fold
        assert_same_bits(here.calibration, there.calibration)

    def test_adaptations_in_other_processes_give_the_same_bits(self, monkeypatch):
        start = self.network(slice(24, None))
        steps = {"steps": 30, "learning_rate": 0.01}
        options = {"method": "targeted-cal", "settings": steps, "calibration_folds": 3}
        labels = Dataset.of(FORMULAS[:24], VALUES[:24] + 1)
        adaptations = count_calls(monkeypatch, TargetedCALRegressor, "adapt")
        here = adapt(start, labels, source=LABELS, **options)
        assert len(adaptations) == 4
        monkeypatch.setattr(here_first, "START_SECONDS", -1.0)
        there = adapt(start, labels, source=LABELS, **options, workers=2)
        assert len(adaptations) == 4 + 2
        assert_same_bits(here.calibration, there.calibration)

    def test_a_fold_that_fails_elsewhere_fails_as_it_would_here(self, monkeypatch):
        monkeypatch.setattr(here_first, "START_SECONDS", -1.0)
        # the first fold, in this process, trains on 9 rows, the others on 10
        with pytest.raises(DataError) as caught:
            cross_calibrate(Picky(), X[:13], Y[:13], n_folds=4, workers=2, random_state=0)
        assert str(caught.value) == "10 rows are an unlucky number"
        assert "processes.py" in caught.value.__notes__[0]  # where it was, for --debug

    @pytest.mark.parametrize("method", ["ridge", "attention"])
    def test_only_irnets_can_be_adapted(self, method):
        settings = MethodSettings.from_dict({"device": "cpu", "erm": {"epochs": 1}})
        model = fit(LABELS, method, features="fractions", settings=settings)
        with pytest.raises(
            ConfigError, match=rf"trains a network further.*(?i:trained with {method})"
        ):
            adapt(model, LABELS, method="fine-tune")

    def test_labels_that_the_first_model_was_trained_on_do_not_calibrate(self):
        start = self.network(slice(12, None))
        options = {"method": "fine-tune", "settings": {"steps": 5}, "seed": 0}
        adapted = adapt(start, LABELS.take(slice(24)), calibration_folds=3, **options)
        assert len(adapted.calibration) == 12
        np.testing.assert_array_equal(
            adapted.calibration.X, start.features_of(FORMULAS[:12]).astype(np.float32)
        )
        known = start.domain.formulas_[:15].tolist()  # validation rows are no training materials
        labels = Dataset.of([*FORMULAS[:9], *known], np.arange(24.0))
        few = adapt(start, labels, calibration_folds=3, **options)
        assert few.calibration is None
        assert few.card.provenance["cross_fit"]["n"] == 9
