"""Models of rare values that learn from cheaper ones."""

from dataclasses import replace

import numpy as np
import pytest

from xtalshift.data import Dataset, clean_table
from xtalshift.errors import ConfigError
from xtalshift.methods import MethodSettings
from xtalshift.model import fit, load_model, save_model
from xtalshift.model.fidelities import fit_fidelities
from xtalshift.progress import NO_PROGRESS
from xtalshift.uncertainty.settings import IntervalConfig

SMALL = MethodSettings.from_dict({"lightgbm": {"n_estimators": 100}, "threads": 1})
FEW = {"settings": SMALL, "features": "fractions"}


def materials(n, seed, shift=0.0, noise=0.0) -> Dataset:
    """Return alloys whose property is a curve of their composition."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.choice(np.arange(1, 999), n, replace=False))
    formulas = [f"Li{i}Na{1000 - i}O1000" for i in x]
    y = np.sin(x / 25) + 3 + shift * x / 1000 + noise * rng.normal(size=n)
    return Dataset.of(formulas, y, unit="eV")


@pytest.fixture(scope="module")
def both():
    return fit_fidelities(materials(25, 1, shift=2.0), materials(300, 0), "lightgbm", **FEW)


def test_few_values_correct_a_model_of_many_cheap_ones(both):
    assert both.found.after < 0.75 * both.alone
    assert both.found.after < 0.35 * both.found.before
    assert not both.found.kept
    test = materials(200, 2, shift=2.0)
    error = np.abs(both.model.predict(test.materials).prediction - test.targets).mean()
    assert error < 0.85 * both.alone
    assert error < 2.5 * both.found.after


def test_the_model_is_one_of_the_rare_values(both, tmp_path):
    card = both.model.card.provenance
    assert card["data"]["rows"] == 25
    assert card["lower_fidelity"]["rows"] == both.n_low
    assert both.n_high == len(both.model.domain.formulas_) == 25
    assert both.model.calibration.origin == "out-of-fold"
    test = materials(50, 3)
    loaded = load_model(save_model(both.model, tmp_path / "model"))
    for name in ("prediction", "lower", "upper", "ood_score"):
        np.testing.assert_array_equal(
            getattr(loaded.predict(test.materials), name),
            getattr(both.model.predict(test.materials), name),
        )


def test_nothing_is_learned_of_the_cheap_value_of_a_material_that_has_both(both):
    high, low = materials(25, 1, shift=2.0), materials(300, 0)
    wrong = low.targets.copy()
    shared = np.isin(low.groups, high.groups)
    assert 0 < shared.sum() == both.n_shared
    assert both.n_low == 300 - both.n_shared
    wrong[shared] = 1e6
    other = fit_fidelities(
        high, Dataset.of(low.formulas.tolist(), wrong, unit="eV"), "lightgbm", **FEW
    )
    np.testing.assert_array_equal(
        other.model.predict(high.materials).prediction,
        both.model.predict(high.materials).prediction,
    )


def test_cheap_values_that_help_nothing_are_not_followed():
    high = materials(60, 1)
    low = materials(100, 0)
    noise = np.random.default_rng(5).normal(size=100)
    found = fit_fidelities(high, Dataset.of(low.formulas.tolist(), noise), "lightgbm", **FEW)
    assert found.found.after < 1.2 * found.alone < 0.5 * found.found.before


def test_too_few_cheap_materials_leave_the_rare_ones_alone():
    said = []
    high = materials(30, 1)

    class Listener(type(NO_PROGRESS)):
        def say(self, text):
            said.append(text)

    found = fit_fidelities(high, high, "ridge", progress=Listener(), **FEW)
    assert (found.found, found.n_low, found.n_shared) == (None, 0, 30)
    assert "0 of its materials have no value of the higher one" in said[0]
    assert found.model.card.provenance["method"] == "ridge"


def test_a_method_is_what_is_fitted_and_constants_are_of_the_rare_values(both):
    names = {one["name"] for one in both.model.card.provenance["members"]}
    assert names == {
        "model before", "line", "lightgbm on errors", "lightgbm on both", "lightgbm alone",
    }  # fmt: skip
    high = materials(20, 1, shift=2.0)
    constant = fit_fidelities(high, materials(50, 0), "dummy", **FEW)
    assert (constant.found, constant.n_low) == (None, 0)
    assert constant.model.predict(["LiNaO"]).prediction[0] == pytest.approx(4, abs=0.3)


def test_a_model_of_cheap_values_that_nothing_improves_is_kept_as_it_is(tmp_path):
    low, other = materials(100, 0), materials(12, 1)
    new = other.take(~np.isin(other.groups.astype(str), low.groups.astype(str)))
    none = IntervalConfig(method="none")
    exact = fit(low, "ridge", intervals=none, **FEW).predict(new.materials).prediction
    wild = Dataset.of(new.formulas.tolist(), exact)
    found = fit_fidelities(wild, low, "ridge", **FEW)
    assert found.found.kept
    regressor = found.model.regressor
    assert (regressor.start_weight_, regressor.members_) == (1.0, ())
    # what it predicts of the rare values was not learned from them
    own = regressor.out_of_fold_
    expected = found.model.predict(wild.materials).prediction
    np.testing.assert_allclose(own.center, expected[own.rows])
    again = load_model(save_model(found.model, tmp_path / "m")).predict(wild.materials)
    np.testing.assert_array_equal(again.prediction, expected)


def test_classes_are_refused():
    high = materials(20, 1)
    names = replace(high, targets=np.arange(20.0) % 2, classes=("no", "yes"))
    with pytest.raises(ConfigError, match="these targets are classes"):
        fit_fidelities(names, materials(50, 0), "ridge", **FEW)
    bounds = np.column_stack([high.targets, np.full(20, np.inf)])
    with pytest.raises(ConfigError, match="a bound is none"):
        fit_fidelities(replace(clean_table(high), bounds=bounds), high, "ridge", **FEW)


def test_without_intervals_there_are_none():
    none = IntervalConfig(method="none")
    found = fit_fidelities(materials(20, 1), materials(50, 0), "ridge", intervals=none, **FEW)
    assert found.model.calibration is None
