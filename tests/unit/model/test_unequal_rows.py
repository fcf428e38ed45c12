"""Rows that do not count the same, from a data set to a fitted model."""

from dataclasses import replace

import numpy as np
import pytest

from estimator_toys import Spy
from xtalshift.data import Dataset, clean_table
from xtalshift.data.transform import TargetTransform
from xtalshift.errors import ConfigError, DataError
from xtalshift.estimators import (
    ConstantRegressor,
    LightGBMRegressor,
    RidgeRegressor,
    StackRegressor,
)
from xtalshift.estimators.stack import Member
from xtalshift.model import FitRows, adapt, calibrate, fit, load_model, save_model
from xtalshift.model.bounded_targets import Settled
from xtalshift.model.fitting import held_out_errors
from xtalshift.model.loss_weights import loss_weights, scaled_noise
from xtalshift.progress import NO_PROGRESS
from xtalshift.uncertainty.settings import IntervalConfig

pytestmark = pytest.mark.usefixtures("few_corrections")

METALS = ("Li", "Na", "K", "Mg", "Zn", "Ga", "Fe", "Ti")
FORMULAS = [metal + anion for metal in METALS for anion in ("O", "S", "F", "Cl", "N")]
N = len(FORMULAS)
GAPS = np.linspace(1.0, 3.0, N) ** 2
NONE = IntervalConfig(method="none")
FEW_TREES = {"n_estimators": 60, "learning_rate": 0.1, "num_leaves": 8}


class TestWeights:
    weights = np.linspace(1.0, 5.0, N)

    def test_training_and_validation_rows_have_them(self):
        data = clean_table(Dataset.of(FORMULAS, GAPS, weights=self.weights))
        rows = FitRows(np.arange(30), np.arange(30, N))
        fit(data, Spy(), rows=rows, intervals=NONE)
        # only ratios matter: the mean of all rows that are learned from is 1
        expected = self.weights / self.weights.mean()
        assert Spy.seen.train.weights == pytest.approx(expected[:30])
        assert Spy.seen.validation.weights == pytest.approx(expected[30:])

    def test_without_them_there_are_none(self):
        fit(Dataset.of(FORMULAS, GAPS), Spy(), intervals=NONE)
        assert Spy.seen.train.weights is None

    def test_a_factor_of_all_weights_changes_nothing(self):
        one, other = (
            fit(Dataset.of(FORMULAS, GAPS, weights=factor * self.weights), "ridge", intervals=NONE)
            for factor in (1.0, 64.0)
        )
        np.testing.assert_array_equal(
            one.predict(FORMULAS).prediction, other.predict(FORMULAS).prediction
        )

    def test_weight_0_is_the_table_without_the_row(self):
        weights = np.where(np.arange(N) % 5 == 0, 0.0, 2.0)
        weighted = fit(Dataset.of(FORMULAS, GAPS, weights=weights), "lightgbm")
        there = np.flatnonzero(weights)
        without = fit(Dataset.of([FORMULAS[i] for i in there], GAPS[there]), "lightgbm")
        for one in ("prediction", "lower", "upper", "ood_score"):
            np.testing.assert_array_equal(
                getattr(weighted.predict(FORMULAS), one), getattr(without.predict(FORMULAS), one)
            )

    def test_the_fits_of_the_intervals_have_them_and_scores_count_once(self):
        heavy = np.where(np.arange(N) < 20, 1.0, 1e-9)
        regressor = ConstantRegressor()
        how = IntervalConfig(method="cross")
        model = fit(Dataset.of(FORMULAS, GAPS, weights=heavy), regressor, intervals=how)
        assert model.predict(["RbBr"]).prediction == pytest.approx([GAPS[:20].mean()], abs=0.2)
        # rows of no weight are judged all the same
        assert len(model.calibration) == N
        assert model.calibration.scores.max() == pytest.approx(GAPS[-1] - GAPS[:20].mean(), rel=0.2)

    def test_adaptation_follows_the_labels_that_count(self):
        model = fit(Dataset.of(FORMULAS, GAPS), RidgeRegressor(random_state=0), intervals=NONE)
        names = [f"{metal}2{anion}3" for metal in METALS for anion in ("Se", "Te", "As")]
        values = np.where(np.arange(24) % 2 == 0, 20.0, -20.0)
        found = []
        for even in (1.0, 1e-6):
            weights = np.where(np.arange(24) % 2 == 0, even, 1e-6 if even == 1 else 1.0)
            labels = Dataset.of(names, values, weights=weights)
            found.append(adapt(model, labels).predict(names).prediction.mean())
        assert found[0] > 5
        assert found[1] < -5


def test_loss_weights_of_some_rows_have_the_mean_1():
    data = Dataset.of(FORMULAS, GAPS, weights=np.arange(1.0, N + 1))
    X, scale = np.zeros((N, 1)), TargetTransform()
    found = loss_weights(data, X, np.array([0, 1, 2]), scale=scale)
    assert found[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert loss_weights(Dataset.of(FORMULAS, GAPS), X, scale=scale) is None


def noisy_data():
    """Return 600 materials, a linear truth, and noise that differs by a factor of 10."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 600)
    noise = np.where(np.arange(600) % 2 == 0, 0.05, 0.5)
    numbers = [n for n in range(11, 99) if n % 10][:30]
    names = [f"Li{numbers[i // 30]}Na{numbers[i % 30]}S97" for i in range(600)]
    return Dataset.of(names, 2 * x + noise * rng.normal(size=600), extra=x[:, None], noise=noise)


class TestUncertainties:
    def test_rows_weigh_by_noise_and_model_error(self):
        data = clean_table(noisy_data(), duplicates="keep")
        weights = loss_weights(data, data.materials.extra, scale=TargetTransform())
        ratio = weights[0] / weights[1]
        # trees of 480 rows with much noise are off by 0.1 to 0.25
        assert 0.5**2 / 0.25**2 < ratio < 0.5**2 / 0.05**2
        assert weights.mean() == pytest.approx(1.0)

    def test_the_scale_carries_the_noise_over(self):
        data = Dataset.of(["GaN", "AlN"], [2.0, 4.0], noise=[0.2, 0.2])
        assert scaled_noise(data, TargetTransform("log")) == pytest.approx([0.1, 0.05])
        assert scaled_noise(data, TargetTransform("clip")) == pytest.approx([0.2, 0.2])
        assert scaled_noise(Dataset.of(["GaN"], [1.0]), TargetTransform()) is None

    def test_intervals_of_the_true_value_are_narrower_and_saved(self, tmp_path):
        data = clean_table(noisy_data(), duplicates="keep")
        model = fit(data, "ridge", features="fractions", intervals=IntervalConfig(method="cross"))
        names = data.formulas[:5].tolist()
        found = model.predict(names, data.materials.extra[:5])
        width, measured = found.upper - found.lower, found.measured_upper - found.measured_lower
        assert (measured > 2 * width).all()
        exact = model.predict(names, data.materials.extra[:5], noise=0.0)
        assert exact.measured_upper == pytest.approx(found.upper)
        less = model.predict(names, data.materials.extra[:5], noise=[0, 0.05, 0.1, 0.5, 5])
        assert (np.diff(less.measured_upper - less.measured_lower) > 0).all()
        assert {"measured_lower", "measured_upper"} <= set(found.frame)
        again = load_model(save_model(model, tmp_path / "model"))
        np.testing.assert_array_equal(
            again.predict(names, data.materials.extra[:5]).measured_upper, found.measured_upper
        )

    def test_other_models_have_one_interval(self):
        model = fit(Dataset.of(FORMULAS, GAPS), "ridge")
        found = model.predict(["RbBr"])
        assert found.measured_lower is None
        assert "measured_lower" not in found.frame
        with pytest.raises(DataError, match="calibrated on targets without uncertainties"):
            model.predict(["RbBr"], noise=0.1)

    def test_a_bad_uncertainty_of_a_new_row_is_named(self):
        data = clean_table(noisy_data(), duplicates="keep")
        model = fit(data, "ridge", features="fractions", intervals=IntervalConfig(method="cross"))
        with pytest.raises(DataError, match="row 2: the uncertainty -1"):
            model.predict(["LiNaO", "LiNa2O"], [[0.0], [0.0]], noise=[0.1, -1])


class Heard(type(NO_PROGRESS)):
    """Keeps what it is told."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


class TestBounds:
    def data(self, below):
        """Return a linear truth of one feature, 30 % of it (at the low end) below a limit."""
        rows = noisy_data()
        x = rows.materials.extra[:, 0]
        y = 2 * x + np.random.default_rng(1).normal(0, 0.5, 600)
        limit = np.quantile(y, 0.3)
        cut = y < limit
        data = clean_table(replace(rows, targets=y, noise=None), duplicates="keep")
        if below == "known":
            return data, y
        if below == "dropped":
            return data.take(~cut), y
        bounds = np.column_stack([np.where(cut, -np.inf, y), np.maximum(y, limit)])
        return replace(
            data, targets=np.maximum(y, limit), bounds=bounds, bounds_in_loss=below == "tobit"
        ), y

    @pytest.mark.parametrize("method", ["ridge", "lightgbm"])
    def test_values_below_a_limit_are_worth_much_of_their_values(self, method):
        errors = {}
        for below in ("known", "dropped", "used"):
            data, _ = self.data(below)
            model = fit(data, method, features="fractions", intervals=NONE, domain=False)
            everything = self.data("known")[0]
            found = model.predict(everything.materials).prediction
            low = everything.materials.extra[:, 0] < -0.4
            errors[below] = abs((found - 2 * everything.materials.extra[:, 0])[low].mean())
        assert errors["used"] < 0.5 * errors["dropped"]
        assert errors["used"] < errors["known"] + 0.1

    def test_rows_of_bounds_have_no_score_and_no_error(self):
        data, _ = self.data("used")
        model = fit(data, "ridge", features="fractions", intervals=IntervalConfig(method="cross"))
        assert len(model.calibration) == 420
        assert model.calibration.X.shape[0] == len(model.calibration.families) == 420
        rows = FitRows(np.arange(400), np.arange(400, 600))
        X = np.hstack([model.featurizer.featurize(data.materials).values, data.materials.extra])
        errors, used = held_out_errors(model, data.y, X, rows, data.bounded)
        assert len(errors) == len(used) == int((~data.bounded[400:]).sum())

    def test_a_stack_has_scores_of_values_only(self):
        data, _ = self.data("used")
        stack = StackRegressor([Member("ridge", RidgeRegressor())], random_state=0)
        model = fit(data, stack, features="fractions")
        assert len(model.calibration) == 420

    @pytest.mark.parametrize(
        ("method", "kind"), [("ridge", RidgeRegressor), ("erm", LightGBMRegressor)]
    )
    def test_boosted_trees_stand_in_for_what_is_slow(self, method, kind, monkeypatch):
        seen = []

        def settle(regressor, data, X, rows, z, scale, **_):
            seen.append(type(regressor))
            return Settled(z)

        monkeypatch.setattr("xtalshift.model.fitting.settle_targets", settle)
        data = self.data("used")[0].take(np.arange(60))
        quick = {"architecture": (4,), "epochs": 1} if method == "erm" else None
        fit(data, method, features="fractions", params=quick, intervals=NONE, domain=False)
        assert seen == [kind]

    def test_they_may_be_in_the_loss(self):
        listener = Heard()
        errors, everything = {}, self.data("known")[0]
        low = everything.materials.extra[:, 0] < -0.4
        for below in ("known", "dropped", "tobit"):
            model = fit(
                self.data(below)[0], "lightgbm", features="fractions", params=FEW_TREES,
                intervals=IntervalConfig(method="cross"), progress=listener,
            )  # fmt: skip
            found = model.predict(everything.materials).prediction
            errors[below] = abs((found - 2 * everything.materials.extra[:, 0])[low].mean())
        assert errors["tobit"] < 0.5 * errors["dropped"]
        assert errors["tobit"] < errors["known"] + 0.1
        (spread,) = (text for text in listener.said if "in the loss" in text)
        assert spread.startswith("180 bounds of targets in the loss; values lie 0.4")
        assert len(model.calibration) == 420  # of values only
        # what stands for a limit beside the nearest material is what the model expects there
        assert model.domain.targets_.min() < self.data("tobit")[0].y.min() - 0.1

    @pytest.mark.parametrize("below", ["used", "tobit"])
    def test_values_below_0_are_named_where_no_known_value_is(self, below):
        data, _ = self.data(below)
        up = 1.2  # the limit is above 0, and some of what is expected below it is not
        positive = replace(data, targets=data.y + up, bounds=data.bounds + up)
        assert (positive.y > 0).all()
        said = []
        for one in (positive, data):
            listener = Heard()
            fit(one, "lightgbm", features="fractions", params=FEW_TREES, intervals=NONE,
                domain=False, progress=listener)  # fmt: skip
            said.append([text for text in listener.said if "below 0" in text])
        ((note,), none) = said
        assert note.endswith("write 0-4.2 in place of <4.2, or give --transform log")
        assert none == []  # known values are below 0 too

    def test_noise_makes_values_lie_farther_from_predictions(self, monkeypatch):
        data, _ = self.data("tobit")
        noise = np.where(np.arange(600) % 2 == 0, 0.1, 2.0)
        seen = []

        def learn(*given, bounds, **further):
            seen.append(bounds)
            raise StopIteration

        monkeypatch.setattr("xtalshift.model.fitting.learn", learn)
        data, rows = replace(data, noise=noise), FitRows(np.arange(500), np.arange(500, 600))
        with pytest.raises(StopIteration):
            fit(data, "lightgbm", features="fractions", params=FEW_TREES, rows=rows)
        precise, rough = seen[0].spread[::2], seen[0].spread[1::2]
        assert rough.min() > 2 * precise.max()

    def test_methods_that_cannot_take_them_name_those_that_can(self):
        data, _ = self.data("tobit")
        with pytest.raises(ConfigError, match=r"ridge has no loss for bounds .* lightgbm, .*erm, "):
            fit(data, "ridge", features="fractions")
        with pytest.raises(ConfigError, match="RidgeRegressor has no loss for bounds"):
            fit(data, RidgeRegressor(), features="fractions")
        whole = replace(data.take(~data.bounded), bounds_in_loss=True)
        fit(whole, "ridge", features="fractions", intervals=NONE, domain=False)  # there are none
        # for a constant the two ways are the same
        used, tobit = (
            fit(one, "dummy", intervals=NONE, domain=False).predict(["LiF"], [[0.0]]).prediction
            for one in (self.data("used")[0], data)
        )
        assert used.tolist() == tobit.tolist()
        assert used[0] < data.y.mean() - 0.1

    def test_a_logarithmic_scale_takes_bounds(self):
        bounds = np.column_stack([np.where(np.arange(N) < 8, -np.inf, GAPS), np.maximum(GAPS, 1.5)])
        bounds[np.arange(N) >= 8, 1] = GAPS[np.arange(N) >= 8]
        data = clean_table(Dataset.of(FORMULAS, np.where(np.arange(N) < 8, 1.5, GAPS)))
        model = fit(replace(data, bounds=bounds), "ridge", transform="log", intervals=NONE)
        assert (model.predict(FORMULAS).prediction > 0).all()

    def test_adaptation_and_calibration_leave_bounds_out(self):
        data, _ = self.data("used")
        whole = data.take(~data.bounded)
        model = fit(whole.take(np.arange(200)), "ridge", features="fractions", domain=False)
        rest, values = data.take(np.arange(300, 600)), whole.take(whole.row_numbers > 300)
        one, other = calibrate(model, rest), calibrate(model, values)
        assert one.calibration.scores.tolist() == other.calibration.scores.tolist()
        one, other = adapt(model, rest), adapt(model, values)
        names = FORMULAS[:3], np.zeros((3, 1))
        assert one.predict(*names).prediction.tolist() == other.predict(*names).prediction.tolist()


class TestReplicates:
    def data(self, uncertainties):
        """Return 200 materials on a line, each measured 1 to 4 times with an error of 0.3."""
        rng = np.random.default_rng(0)
        x = np.sort(rng.choice(np.arange(1, 999), 200, replace=False))
        x = np.repeat(x, rng.integers(1, 5, 200))
        y = 3 + x / 500 + rng.normal(0, 0.3, len(x))
        noise = np.full(len(x), 0.3) if uncertainties == "stated" else None
        data = Dataset.of([f"Li{i}Na{1000 - i}O1000" for i in x], y, noise=noise)
        return clean_table(data, noise_from_replicates=noise is None)

    @pytest.mark.parametrize("uncertainties", ["stated", "scatter"])
    def test_the_usual_new_measurement_is_one_and_no_mean(self, uncertainties):
        data = self.data(uncertainties)
        model = fit(data, "ridge", features="fractions", intervals=IntervalConfig(method="cross"))
        assert model.calibration.typical_noise == pytest.approx(0.3, abs=0.03)
        x = np.setdiff1d(
            np.arange(1, 999), [int(one[2 : one.index("Na")]) for one in data.formulas]
        )
        found = model.predict([f"Li{i}Na{1000 - i}O1000" for i in x])
        truth = 3 + x / 500
        measured = truth + np.random.default_rng(1).normal(0, 0.3, len(x))
        inside = (found.measured_lower <= measured) & (measured <= found.measured_upper)
        # Birge's ratio finds stated uncertainties too small by chance, and never too large
        assert inside.mean() == pytest.approx(0.9, abs=0.07 if uncertainties == "stated" else 0.04)
        assert ((found.lower <= truth) & (truth <= found.upper)).mean() > 0.86
