"""Fitted models adapted to formulas of a target domain."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from xtalshift.data import Dataset, clean_table
from xtalshift.errors import ConfigError, DataError, NotFoundError
from xtalshift.estimators import IRNetRegressor
from xtalshift.estimators.adaptation import TargetedCALRegressor
from xtalshift.model import adapt, fit, load_model, save_model
from xtalshift.uncertainty.settings import IntervalConfig

SOURCE = {"epochs": 30, "batch_size": 32, "learning_rate": 1e-2}
NETWORK = {"architecture": (24, 12), "device": "cpu"}
QUICK = {"steps": 20, "batch_size": 8}
METALS = ("Li", "Na", "K", "Mg", "Zn", "Ga", "Fe", "Ti")
FORMULAS = [metal + anion for metal in METALS for anion in ("O", "S", "F", "Cl", "N")]
TARGETS = [f"{metal}2{anion}3" for metal in METALS for anion in ("Se", "Te")]
DATA = Dataset.of(FORMULAS, np.linspace(1.0, 3.0, len(FORMULAS)))
LABELS = Dataset.of(TARGETS, np.linspace(4.0, 5.0, len(TARGETS)))


def network(transform="none", **options):
    regressor = IRNetRegressor(**{**SOURCE, **NETWORK, **options}, random_state=0)
    return fit(
        DATA, regressor, features="fractions", transform=transform,
        intervals=IntervalConfig(method="none"),
    )  # fmt: skip


def values_of(model, formulas):
    return model.predict(formulas).prediction


@pytest.mark.parametrize("transform", ["none", "log"])
@pytest.mark.parametrize("replay", [False, True])
def test_formulas_are_adapted_on_the_scale_of_the_model(transform, replay):
    model = network(transform)
    before = values_of(model, TARGETS)
    adapted = adapt(
        model, LABELS, source=DATA if replay else None,
        settings={"steps": 100, "learning_rate": 5e-3}, seed=0,
    )  # fmt: skip
    np.testing.assert_array_equal(values_of(model, TARGETS), before)
    found = np.abs(values_of(adapted, TARGETS) - LABELS.y).mean()
    assert found < 0.4 * np.abs(before - LABELS.y).mean()
    assert adapted.scale.name == transform
    assert replace(adapted.card, provenance=model.card.provenance) == model.card
    assert adapted.card.provenance["adapted_from"] == model.card.provenance
    # the labelled materials belong to the domain now
    assert adapted.was_trained_on(adapted.features_of(TARGETS)).all()
    assert not model.was_trained_on(model.features_of(TARGETS)).any()


@pytest.mark.parametrize(
    "clip",
    [10.0, 0.5],
)
def test_an_adapted_model_is_saved_and_loaded(clip, tmp_path):
    adapted = adapt(network(clip=clip), LABELS, settings=QUICK, seed=0)
    again = load_model(save_model(adapted, tmp_path / "model"))
    everything = [*FORMULAS, *TARGETS, "CsI"]
    np.testing.assert_array_equal(values_of(again, everything), values_of(adapted, everything))
    assert isinstance(again.regressor, TargetedCALRegressor)
    assert again.regressor.settings == QUICK
    assert again.regressor.states_.keys() == adapted.regressor.states_.keys()
    for kind, state in adapted.regressor.states_.items():
        for name, value in state.items():
            assert torch.equal(value, again.regressor.states_[kind][name]), (kind, name)
    # and it can be adapted again
    more = replace(LABELS, targets=LABELS.y + 1)
    twice = adapt(again, more, settings=QUICK, seed=0)
    assert not np.array_equal(values_of(twice, TARGETS), values_of(again, TARGETS))


def test_one_formula_is_never_on_both_sides(monkeypatch):
    doubled = ["LiO", "Li2O2", "Li3O3"] * 2 + TARGETS
    seen = []
    original = TargetedCALRegressor._hold_out

    def spy(self, rows, groups, rng):
        seen.append(np.asarray(groups).tolist())
        return original(self, rows, groups, rng)

    model = network()
    monkeypatch.setattr(TargetedCALRegressor, "_hold_out", spy)
    labels = Dataset.of(doubled, np.linspace(1, 2, len(doubled)))
    adapt(model, clean_table(labels, duplicates="keep"), settings=QUICK, seed=0)
    assert seen[0][:6] == ["LiO"] * 6
    assert len(set(seen[0])) == 1 + len(TARGETS)


def test_labels_as_read_are_cleaned():
    """A bad row is left out, and two values of one material are averaged, as by `fit`."""
    read = Dataset.of([*TARGETS, "Qq", TARGETS[0]], [*LABELS.y, 9.0, LABELS.y[0] + 2])
    clean = Dataset.of(TARGETS, [LABELS.y[0] + 1, *LABELS.y[1:]])
    found = [adapt(network(), labels, settings=QUICK, seed=0) for labels in (read, clean)]
    one, other = (model.predict(TARGETS).prediction for model in found)
    np.testing.assert_array_equal(one, other)


def test_what_formulas_cannot_do():
    ridge = fit(DATA, "ridge", features="fractions")
    with pytest.raises(ConfigError, match="RidgeRegressor; train one with method 'erm' or 'cal'"):
        adapt(ridge, LABELS)
    model = network()
    with pytest.raises(DataError, match=r"none of the 1 rows .*unknown element 'Qq'"):
        adapt(model, Dataset.of(["Qq"], [1]))
    with pytest.raises(DataError, match="needs 0 extra feature columns"):
        adapt(model, Dataset.of(TARGETS, LABELS.y, extra=np.ones((len(TARGETS), 1))))
    with pytest.raises(ConfigError, match="needs target labels"):
        adapt(model, Dataset.of(TARGETS))
    with pytest.raises((ConfigError, NotFoundError), match="fine-tune"):
        adapt(model, LABELS, method="finetune")
    with pytest.raises(DataError, match="row 1: -4"):
        adapt(network("log"), replace(LABELS, targets=-LABELS.y))
