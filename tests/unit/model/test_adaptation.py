"""Fitted models adapted to formulas of a target domain."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from xtalshift.data import Dataset, clean_table
from xtalshift.errors import ConfigError, DataError, NotFoundError
from xtalshift.estimators import IRNetRegressor
from xtalshift.estimators.adaptation import TargetedCALRegressor
from xtalshift.featurize.pretrained import encoder_of
from xtalshift.model import adapt as adapt_model
from xtalshift.model import fit, load_model, save_model
from xtalshift.model.stacked_adaptation import remembered
from xtalshift.progress import NO_PROGRESS
from xtalshift.splits import KFoldSplit
from xtalshift.uncertainty.settings import IntervalConfig

pytestmark = pytest.mark.usefixtures("few_corrections")

SOURCE = {"epochs": 30, "batch_size": 32, "learning_rate": 1e-2}
NETWORK = {"architecture": (24, 12), "device": "cpu"}
QUICK = {"steps": 20, "batch_size": 8}
METALS = ("Li", "Na", "K", "Mg", "Zn", "Ga", "Fe", "Ti")
FORMULAS = [metal + anion for metal in METALS for anion in ("O", "S", "F", "Cl", "N")]
TARGETS = [f"{metal}2{anion}3" for metal in METALS for anion in ("Se", "Te")]
DATA = Dataset.of(FORMULAS, np.linspace(1.0, 3.0, len(FORMULAS)))
LABELS = Dataset.of(TARGETS, np.linspace(4.0, 5.0, len(TARGETS)))


def adapt(model, labels, **how):
    """Adapt a network without a judgement."""
    return adapt_model(model, labels, **{"method": "targeted-cal", "calibration_folds": 0, **how})


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
    with pytest.raises(ConfigError, match=r"with ridge; use method 'auto'.*'erm' or 'cal'"):
        adapt(ridge, LABELS)
    model = network()
    with pytest.raises(DataError, match=r"the only row .*unknown element 'Qq'"):
        adapt(model, Dataset.of(["Qq"], [1]))
    with pytest.raises(DataError, match="needs 0 extra feature columns"):
        adapt(model, Dataset.of(TARGETS, LABELS.y, extra=np.ones((len(TARGETS), 1))))
    with pytest.raises(ConfigError, match="needs target labels"):
        adapt(model, Dataset.of(TARGETS))
    with pytest.raises((ConfigError, NotFoundError), match="fine-tune"):
        adapt(model, LABELS, method="finetune")
    with pytest.raises(DataError, match="row 1: -4"):
        adapt(network("log"), replace(LABELS, targets=-LABELS.y))


def fitted(method="ridge", transform="none", data=DATA, **how):
    return fit(data, method, features="fractions", transform=transform, **how)


@pytest.mark.parametrize("method", ["dummy", "ridge", "lightgbm", "auto"])
@pytest.mark.parametrize("transform", ["none", "log"])
def test_any_model_is_adapted_by_default_in_the_unit_of_the_target(method, transform, tmp_path):
    model = fitted(method, transform)
    adapted = adapt_model(model, LABELS)
    before = np.abs(model.predict(TARGETS).prediction - LABELS.y).mean()
    after = np.abs(adapted.predict(TARGETS).prediction - LABELS.y).mean()
    assert after < 0.3 * before
    said = adapted.card.provenance
    assert said["method"] == "auto"
    assert said["adapted_from"] == model.card.provenance
    assert said["cross_fit"]["n"] == 16
    assert said["cross_fit"]["before"] == pytest.approx(before)
    assert after < said["cross_fit"]["after"] < said["cross_fit"]["before"]
    others = (LABELS.y.sum() - LABELS.y) / 15
    assert said["cross_fit"]["constant"] == pytest.approx(np.abs(others - LABELS.y).mean())
    assert sum(one["weight"] for one in said["members"]) == pytest.approx(1)
    assert (adapted.calibration.origin, adapted.calibration.kind) == ("target", "normalised")
    assert len(adapted.calibration) == 16
    found = adapted.predict(TARGETS)
    assert (found.lower < found.prediction).all()
    again = load_model(save_model(adapted, tmp_path / "model")).predict(TARGETS)
    for name, values in found.columns().items():
        np.testing.assert_array_equal(again.columns()[name], values)
    assert (found.nearest_distance < 1e-4).all()  # it knows the labels now


def test_source_rows_are_remembered_by_the_domain_or_given():
    model = fitted()
    known = remembered(model)
    assert set(known.groups) <= set(DATA.groups)
    values = dict(zip(DATA.groups, DATA.y, strict=True))
    assert known.y.tolist() == [values[name] for name in known.groups]
    assert adapt_model(model, LABELS).card.provenance["n_source"] == len(known)
    given = adapt_model(model, LABELS, source=DATA.take(slice(12)))
    assert given.card.provenance["n_source"] == 12
    bare = fitted(domain=False)
    assert remembered(bare) is None
    said = adapt_model(bare, LABELS).card.provenance
    assert said["n_source"] == 0
    missing = [one["name"] for one in said["members"] if one["mae"] is None]
    assert missing
    assert all(name.startswith("joint") for name in missing)


def test_a_model_that_cannot_be_improved_keeps_its_predictions_and_gets_intervals_of_the_labels():
    model = fitted("dummy")
    signs = np.array([1, -1, -1, 1] * 4)  # neither metal nor anion tells the sign
    labels = replace(LABELS, targets=values_of(model, TARGETS) + 1e-3 * signs)
    adapted = adapt_model(model, labels)
    assert type(adapted.regressor) is type(model.regressor)
    np.testing.assert_array_equal(values_of(adapted, TARGETS), values_of(model, TARGETS))
    said = adapted.card.provenance["cross_fit"]
    assert said["after"] == said["before"]
    assert (adapted.calibration.origin, len(adapted.calibration)) == ("target", 16)
    # it has learned nothing from the labels, so that they are as new to it as before
    assert adapted.domain is model.domain


def test_few_labels_give_no_intervals_but_leave_those_of_a_model_that_stays_as_it_is():
    model = fitted()
    few = adapt_model(model, LABELS.take(slice(6)))
    assert few.card.provenance["cross_fit"]["n"] == 6
    changed = (values_of(few, TARGETS) != values_of(model, TARGETS)).any()
    assert few.calibration is (None if changed else model.calibration)
    same = Dataset.of([f"{a}8Br9" for a in METALS[:6]], np.zeros(6))
    right = replace(
        same, targets=values_of(model, same.materials)
    )  # nothing can be better than the model
    kept = adapt_model(model, right)
    np.testing.assert_array_equal(values_of(kept, TARGETS), values_of(model, TARGETS))
    assert kept.calibration is model.calibration


def test_labels_of_training_materials_alone_are_refused():
    model = fitted()
    known = remembered(model)
    with pytest.raises(DataError, match=f"all {len(known)} labelled materials are training"):
        adapt_model(model, known)


def test_auto_has_no_settings():
    with pytest.raises(ConfigError, match="'auto' has no settings; got steps"):
        adapt_model(fitted(), LABELS, settings={"steps": 3})


def test_labels_that_the_encoder_has_seen_judge_only_if_others_are_too_few():
    model = fit(DATA, "ridge", features="fractions+pretrained")
    formulas = [
        f"{a}{n}{b}{m}" for a in METALS for b in ("O", "S", "Cl") for n, m in ((1, 3), (3, 2))
    ]
    labels = Dataset.of(formulas, np.linspace(2.0, 5.0, len(formulas)))
    seen = encoder_of("pretrained").knows(labels.groups)
    unseen = np.flatnonzero(~seen)
    assert len(unseen) >= 20
    assert seen.any()
    adapted = adapt_model(model, labels)
    assert adapted.card.provenance["cross_fit"]["n"] == len(unseen)
    assert len(adapted.calibration) == len(unseen)
    few = labels.take(np.sort(np.concatenate([unseen[:12], np.flatnonzero(seen)])))
    assert adapt_model(model, few).card.provenance["cross_fit"]["n"] == len(few)


def test_a_network_is_judged_by_labels_that_neither_trained_nor_selected_it():
    model = network("log")
    options = {"settings": {"steps": 100, "learning_rate": 5e-3}, "calibration_folds": 4, "seed": 0}
    adapted = adapt(model, LABELS, **options)
    found = adapted.card.provenance["cross_fit"]
    X, z = model.features_of(TARGETS), np.log(LABELS.y)
    held_out = np.empty(len(z))
    for kept, out in KFoldSplit(4, random_state=0).split(X, z, LABELS.groups):
        fold = TargetedCALRegressor(
            "targeted-cal", options["settings"], architecture=model.regressor.widths_,
            dropout=model.regressor.dropout_, device="cpu", random_state=0,
        )  # fmt: skip
        fold.adapt(model.regressor, X[kept], z[kept], groups=LABELS.groups[kept])
        held_out[out] = fold.predict(X[out])
    start = model.regressor.predict(X)
    errors = [np.abs(np.exp(each) - LABELS.y) for each in (start, held_out)]
    assert found["before"] == pytest.approx(errors[0].mean())
    assert found["after"] == pytest.approx(errors[1].mean(), rel=1e-5)
    gain = errors[0] - errors[1]
    assert found["standard_error"] == pytest.approx(gain.std(ddof=1) / 4, rel=1e-4)
    others = (LABELS.y.sum() - LABELS.y) / 15
    expected = [np.exp(np.abs(each - z).mean()) for each in (start, held_out, np.log(others))]
    assert found["factors"] == pytest.approx(expected, rel=1e-5)
    assert (found["n"], found["kept"]) == (16, False)
    np.testing.assert_array_equal(adapted.calibration.X, X.astype(np.float32))
    unjudged = adapt(model, LABELS, **{**options, "calibration_folds": 0})
    assert unjudged.card.provenance["cross_fit"] is None
    assert unjudged.calibration is None
    np.testing.assert_array_equal(values_of(adapted, TARGETS), values_of(unjudged, TARGETS))


@pytest.mark.parametrize("method", ["fine-tune", "joint"])
def test_a_network_that_does_not_get_better_stays_as_it_is(method):
    model = network()
    rng = np.random.default_rng(0)
    right = model.predict(TARGETS).prediction + rng.normal(0, 1e-3, len(TARGETS))
    labels = Dataset.of(TARGETS, right)
    wild = {"steps": 50, "learning_rate": 0.1}
    kept = adapt(model, labels, method=method, source=DATA, settings=wild, calibration_folds=3)
    found = kept.card.provenance["cross_fit"]
    assert found["kept"]
    assert found["before"] < 2e-3 < found["after"]
    np.testing.assert_array_equal(values_of(kept, TARGETS), values_of(model, TARGETS))
    assert kept.regressor is model.regressor
    scores = np.abs(right - model.predict(TARGETS).prediction)
    np.testing.assert_allclose(np.sort(kept.calibration.scores), np.sort(scores), atol=1e-6)
    assert kept.calibration.origin == "target"
    assert kept.card.provenance["n_source"] == (len(DATA) if method == "joint" else 0)


def test_one_label_that_can_judge_does_not_change_a_network():
    model = network()
    known = model.domain.formulas_[:5].tolist()
    labels = Dataset.of([*known, TARGETS[0]], np.arange(6.0))
    said = []
    listener = SimpleNamespace(say=said.append, task=NO_PROGRESS.task)
    found = adapt(model, labels, settings=QUICK, calibration_folds=3, progress=listener)
    assert found.card.provenance["cross_fit"]["n"] == 1
    assert found.card.provenance["cross_fit"]["standard_error"] is None
    assert found.card.provenance["cross_fit"]["kept"]
    assert found.calibration is None
    assert "5 of the 6 labelled materials are training materials" in said[0]
    assert said[1] == (
        "No intervals: 1 label that may judge, 6 formulas; 3 folds need at least 12 labels and 3 "
        "formulas"
    )
