"""Robust, aligned and attention networks as scikit-learn regressors, and as methods by name."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from xtalshift.errors import ConfigError
from xtalshift.estimators import (
    AlignedRegressor,
    AttentionRegressor,
    IRNetRegressor,
    RobustRegressor,
)
from xtalshift.experimental.divergence_balls import DivergenceBallRegressor
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.methods import METHODS, MethodSettings, build_method
from xtalshift.model import FormulaRegressor, load_model, save_model
from xtalshift.nn.objectives.alignment import coral_loss, mmd_loss

NETWORK = {"architecture": (32, 16), "random_state": 0, "device": "cpu"}
QUICK = {"epochs": 60, "batch_size": 32, "learning_rate": 1e-2, **NETWORK}
SMALL = {
    "width": 16, "n_heads": 2, "dropout": 0.0, "epochs": 40, "batch_size": 32,
    "learning_rate": 1e-2, "random_state": 0, "device": "cpu",
}  # fmt: skip
OBJECTIVES = ("cvar", "group-dro", "v-rex", "c-mixup")
BALLS = [DivergenceBallRegressor(name, **QUICK) for name in ("chi2", "kl")]
ROBUST = [RobustRegressor(name, n_environments=3, **QUICK) for name in OBJECTIVES]
ALIGNED = [AlignedRegressor(name, **QUICK) for name in ("coral", "mmd")]
REGRESSORS = [*ROBUST, *BALLS, *ALIGNED, AttentionRegressor(**SMALL)]

REASON = "validation rows are drawn at random, so a weight is not a number of repeated rows"
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": REASON,
    "check_sample_weight_equivalence_on_sparse_data": REASON,
}


def named(regressor):
    return str(getattr(regressor, "objective", getattr(regressor, "alignment", "attention")))


# those whose training differs in kind: groups, mixed rows, another network
@parametrize_with_checks(
    [ROBUST[1], ROBUST[3], REGRESSORS[-1]],
    expected_failed_checks=lambda _: EXPECTED_FAILURES,
)
def test_check_estimator(estimator, check):
    check(estimator)


def data(n=120, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    return X, 50 + 10 * (X[:, 0] + 0.5 * np.abs(X[:, 1]))


def extras(regressor, n=30):
    """Return what else `fit` takes where it matters."""
    target = np.random.default_rng(9).normal(size=(n, 6)) + 1.0
    return {"X_target": target} if isinstance(regressor, AlignedRegressor) else {}


def assert_same(a, b):
    for kind, state in a.states_.items():
        for name, value in state.items():
            assert torch.equal(value, b.states_[kind][name]), (kind, name)


@pytest.mark.parametrize("regressor", REGRESSORS, ids=named)
def test_learns_in_the_unit_of_the_target(regressor):
    X, y = data()
    fitted = clone(regressor).fit(X[:80], y[:80], **extras(regressor))
    error = np.abs(fitted.predict(X[80:]) - y[80:]).mean()
    assert error < 0.6 * np.abs(y[80:] - y[:80].mean()).mean()
    errors = [record["val_mae"] for record in fitted.history_]
    allowed = [np.inf] * 6 + errors[6:] if regressor is ROBUST[2] else errors  # V-REx
    assert fitted.best_epoch_ == int(np.argmin(allowed))


@pytest.mark.parametrize("regressor", REGRESSORS, ids=named)
def test_same_seed_same_bits_and_inputs_are_not_changed(regressor):
    X, y = data(40)
    X[3, 2] = np.nan
    given = extras(regressor)
    before = X.copy(), y.copy(), {name: value.copy() for name, value in given.items()}
    first = clone(regressor).set_params(epochs=5).fit(X, y, **given)
    torch.manual_seed(1)
    second = clone(first).fit(X, y, **given)
    assert_same(first, second)
    for now, then in zip((X, y, *given.values()), (*before[:2], *before[2].values()), strict=True):
        np.testing.assert_array_equal(now, then)
    alone = np.array([first.predict(X[i : i + 1])[0] for i in range(5)])
    np.testing.assert_allclose(alone, first.predict(X)[:5], rtol=1e-9)


@pytest.mark.parametrize("regressor", REGRESSORS, ids=named)
def test_weights_count_and_a_row_of_weight_0_is_no_row(regressor):
    X, y = data(60)
    held = {"X_val": X, "y_val": y, **extras(regressor)}
    spoiled = y.copy()
    spoiled[50:] = 1e6
    weights = np.linspace(1, 3, 60)
    weights[50:] = 0.0
    quick = clone(regressor).set_params(epochs=3)
    weighted = clone(quick).fit(X, spoiled, sample_weight=weights, **held)
    without = clone(quick).fit(X[:50], y[:50], sample_weight=weights[:50], **held)
    np.testing.assert_array_equal(weighted.predict(X), without.predict(X))
    equal = clone(quick).fit(X[:50], y[:50], **held)
    assert not np.array_equal(equal.predict(X), without.predict(X))


@pytest.mark.parametrize("regressor", REGRESSORS, ids=named)
def test_a_killed_fit_goes_on_with_the_same_bits(regressor, tmp_path, monkeypatch):
    from xtalshift.nn.checkpoint import Checkpoint

    X, y = data(60)
    given, labels = extras(regressor), np.arange(60) % 4
    if isinstance(regressor, RobustRegressor):
        given["environments"] = labels
    quick = clone(regressor).set_params(epochs=8)
    whole = clone(quick).fit(X, y, **given)
    original, file = Checkpoint.save, tmp_path / "training"

    def save(self, state):
        self.seconds = 0.0
        original(self, state)
        if len(state["history"]) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", save)
        with pytest.raises(KeyboardInterrupt):
            clone(quick).fit(X, y, checkpoint=file, **given)
    assert file.exists()
    resumed = clone(quick).fit(X, y, checkpoint=file, **given)
    assert not file.exists()
    assert resumed.history_ == whole.history_
    assert_same(resumed, whole)
    for name, value in whole.extras_.items():
        assert torch.equal(value, resumed.extras_[name])


@pytest.mark.parametrize("regressor", [*ROBUST, *BALLS, *ALIGNED], ids=named)
def test_an_ensemble_with_samples_of_its_own(regressor):
    X, y = data(60)
    ensemble = clone(regressor).set_params(n_members=2, bootstrap=True, epochs=3)
    ensemble.fit(X, y, **extras(regressor))
    first, second = ensemble.predict_members(X)
    assert not np.allclose(first, second)
    np.testing.assert_allclose(ensemble.predict(X), (first + second) / 2)
    assert (ensemble.predict_std(X) > 0).all()


FORMULAS = [f"{metal}{anion}" for metal in ("Li", "Na", "K", "Mg", "Zn", "Ga") for anion in
            ("O", "S", "F", "Cl", "N")]  # fmt: skip
TARGETS = np.linspace(1, 4, len(FORMULAS)) ** 2


@pytest.mark.parametrize("regressor", REGRESSORS, ids=named)
def test_a_saved_model_comes_back_with_the_same_bits(regressor, tmp_path):
    features = "fractions" if isinstance(regressor, AttentionRegressor) else "magpie"
    model = FormulaRegressor(clone(regressor).set_params(epochs=2), features=features)
    model = model.fit(FORMULAS, TARGETS).model_
    again = load_model(save_model(model, tmp_path / "model"), device="cpu")
    new = ["CaO", "Fe2O3", "UPu3", *FORMULAS]
    found, expected = (one.predict(new).prediction for one in (again, model))
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(found).all()
    assert set(again.regressor.extras_) == set(model.regressor.extras_)


def test_environments_are_given_or_clusters():
    X, y = data(60)
    labels = np.array(["b", "a", "c"])[np.arange(60) % 3]
    model = RobustRegressor("group-dro", strength=1.0, n_environments=5, **QUICK).set_params(
        epochs=4
    )
    clusters = clone(model).fit(X, y)
    assert clusters.extras_["group_weights"].shape == (5,)
    assert float(clusters.extras_["group_weights"].sum()) == pytest.approx(1, rel=1e-5)
    # what the labels are called does not matter
    texts = clone(model).fit(X, y, environments=labels)
    numbers = clone(model).fit(X, y, environments=np.array([10, 20, 30])[np.arange(60) % 3])
    np.testing.assert_allclose(texts.predict(X), numbers.predict(X), rtol=1e-4)
    found, swapped = (m.extras_["group_weights"].tolist() for m in (numbers, texts))
    assert [swapped[k] for k in (1, 0, 2)] == pytest.approx(found, rel=1e-4)
    other = clone(model).fit(X, y, environments=np.arange(60) // 20)
    assert not np.allclose(other.predict(X), numbers.predict(X), rtol=1e-4)
    plain = RobustRegressor("cvar", **QUICK).set_params(epochs=3)
    without = clone(plain).fit(X, y).predict(X)
    np.testing.assert_array_equal(clone(plain).fit(X, y, environments=labels).predict(X), without)
    with pytest.raises(ValueError, match="environments has 2 rows"):
        clone(model).fit(X, y, environments=labels[:2])


@pytest.mark.parametrize("options", [{}, {"n_members": 2, "bootstrap": True}])
def test_without_target_rows_alignment_is_plain_training(options):
    X, y = data(60)
    quick = {**QUICK, "epochs": 4, "weights": "ema", **options}
    plain = IRNetRegressor(**quick).fit(X, y)
    for alignment in ("coral", "mmd"):
        model = AlignedRegressor(alignment, **quick).fit(X, y)
        assert_same(model, plain)
        np.testing.assert_array_equal(model.predict(X), plain.predict(X))
        target = clone(model).fit(X, y, X_target=X[:9] + 1.0)
        assert not np.array_equal(target.predict(X), plain.predict(X))


@pytest.mark.parametrize(("alignment", "strength"), [("coral", 100.0), ("mmd", 1.0)])
def test_alignment_brings_the_representations_of_two_domains_together(alignment, strength):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    X_target = rng.normal(size=(200, 3)) * [1, 4, 1] + [0, 2, 0]
    X_target[0, 2] = np.nan  # a missing feature is none of the target's concern
    y = 5 * np.sin(X[:, 0])

    def distance(strength):
        model = AlignedRegressor(alignment, strength, **{**QUICK, "epochs": 30})
        model.fit(X, y, X_target=X_target)
        source, target = (torch.from_numpy(model.embed(part)) for part in (X, X_target))
        scale = source.std()
        loss = coral_loss if alignment == "coral" else mmd_loss
        return float(loss(source / scale, target / scale)), model.history_[-1]["val_mae"]

    far, _ = distance(0.0)
    near, error = distance(strength)
    assert near < 0.5 * far
    assert error < 1.5


def test_target_labels_mean_nothing_to_alignment():
    X, y = data(40)
    with pytest.raises(ValueError, match="AlignedRegressor does not use y_target"):
        ALIGNED[0].fit(X, y, X_target=X, y_target=y)


def test_attention_sees_fractions_as_they_are():
    featurizer = CompositionFeaturizer("fractions")
    X = featurizer.transform(FORMULAS)
    model = AttentionRegressor(**SMALL).fit(X, TARGETS)
    assert model.n_features_in_ == 118
    np.testing.assert_array_equal(model.scaler_.transform(X), X)
    # elements without a training row are told apart by their properties
    cs, rb = model.predict(featurizer.transform(["CsCl", "RbCl"]))
    assert cs != rb
    missing = X.copy()
    missing[missing == 0] = np.nan
    np.testing.assert_array_equal(model.predict(missing), model.predict(X))
    far = X.copy()
    far[0, 5], far[1, 5] = 1e6, -11.0
    assert model.n_clipped(far)[:3].tolist() == [1, 1, 0]
    assert np.isfinite(model.predict(far)).all()
    assert model.embed(X).shape == (len(X), 16)
    assert model.predict_std(X) is None
    empty = model.predict(np.zeros((2, 118)))
    assert np.isfinite(empty).all()
    assert empty[0] == pytest.approx(empty[1], rel=1e-12)


def test_attention_works_where_every_column_is_constant_or_empty():
    model = AttentionRegressor(**SMALL).set_params(epochs=2)
    found = model.fit(np.zeros((12, 3)), np.arange(12.0)).predict(np.zeros((2, 3)))
    assert np.isfinite(found).all()


def test_wrong_settings_are_named():
    X, y = data(20)
    for regressor, message in (
        (RobustRegressor("cvar", 2.0, **QUICK), r"strength = 2\.0, the share of 'cvar'"),
        (RobustRegressor("worst", **QUICK), "objective"),
        (AlignedRegressor("dann", **QUICK), "alignment"),
        (AlignedRegressor("mmd", -1.0, **QUICK), "strength"),
        (RobustRegressor("v-rex", n_environments=0, **QUICK), "n_environments"),
        (AttentionRegressor(width=30, n_heads=4), "width = 30"),
        (AttentionRegressor(dropout=1.0), r"dropout = 1\.0"),
        (AttentionRegressor(weights="first"), "expected best, last or ema"),
    ):
        with pytest.raises(ConfigError, match=message):
            regressor.fit(X, y)


KINDS = {
    "ensemble": "network", "attention": "network", "wasserstein": "robust",
    **dict.fromkeys((*OBJECTIVES, "chi2", "kl"), "robust"), "coral": "alignment",
    "mmd": "alignment",
}  # fmt: skip
SETTINGS = MethodSettings.from_dict(
    {
        "device": "cpu",
        "network": {"architecture": [16, 8], "clip": 7.0, "dropout": 0.2},
        "erm": {"epochs": 3, "batch_size": 16},
        "cal": {"epochs": 6, "warmup_epochs": 1, "batch_size": 16, "alpha": 0.3},
    }
)


@pytest.mark.parametrize("name", KINDS)
def test_methods_by_name(name):
    method = METHODS[name]
    assert method.family == KINDS[name]
    assert method.target_access == ("features" if name in {"coral", "mmd"} else "source")
    assert method.features == ("fractions" if name == "attention" else None)
    params = build_method(name, SETTINGS, seed=4).get_params()
    assert (params["random_state"], params["device"], params["dropout"]) == (4, "cpu", 0.2)
    assert params["clip"] == 7.0
    assert params.get("epochs", 3) == 3
    assert method.space
    X, y = data(40)
    for end in (1, 2):  # both ends of every range work
        chosen = {key: span[end] for key, span in method.space.items()}
        model = build_method(name, SETTINGS, seed=4, params=chosen)
        given = {"X_target": X[:10]} if method.target_access == "features" else {}
        assert np.isfinite(model.fit(X, y, **given).predict(X)).all()


def test_an_ensemble_has_five_members_or_as_many_as_told():
    assert build_method("ensemble", SETTINGS, seed=0).n_members == 5
    larger = MethodSettings.from_dict({"network": {"n_members": 7}})
    assert build_method("ensemble", larger, seed=0).n_members == 7
    assert build_method("cvar", larger, seed=0).n_members == 7
    with pytest.raises(ConfigError, match=r"network\.n_members must be 1"):
        build_method("attention", larger, seed=0)


def test_wasserstein_is_cal_with_fixed_weights():
    X, y = data(60)
    model = build_method("wasserstein", SETTINGS, seed=0)
    cal = build_method("cal", SETTINGS, seed=0)
    assert model.settings == {**cal.settings, "weight_rule": "fixed"}
    weights = model.fit(X, y).extras_["weights"]
    assert bool((weights == cal.settings["weight_init"]).all())
    assert not bool((cal.fit(X, y).extras_["weights"] == cal.settings["weight_init"]).all())
