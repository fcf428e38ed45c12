"""Networks: selection, objectives, alignment, stated standard deviations."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from estimator_toys import NETWORK, NETWORKS, QUICK, data, target_rows
from xtalshift.data import Dataset
from xtalshift.errors import ConfigError
from xtalshift.estimators import (
    AlignedRegressor,
    AttentionRegressor,
    HeteroscedasticRegressor,
    IRNetRegressor,
    MCDropoutRegressor,
    RidgeRegressor,
    RobustRegressor,
)
from xtalshift.model import FormulaRegressor, adapt, fit, load_model, save_model
from xtalshift.nn.objectives.alignment import coral_loss, mmd_loss
from xtalshift.splits import FamilySplit

KINDS = {
    name: NETWORKS[name]
    for name in ("cvar", "group-dro", "v-rex", "c-mixup", "chi2", "kl", "coral", "mmd", "attention")
}
MEMBERED = {name: one for name, one in KINDS.items() if name != "attention"}


def assert_same(a, b):
    for kind, state in a.states_.items():
        for name, value in state.items():
            assert torch.equal(value, b.states_[kind][name]), (kind, name)


def test_cross_validate_and_grid_search_with_an_ood_split():
    X, y = data(60)
    formulas = np.array([f"Na{i + 1}{'F' if i % 4 == 0 else 'Cl'}" for i in range(60)])
    model = make_pipeline(StandardScaler(), RidgeRegressor(random_state=0))
    scores = cross_validate(model, X, y, groups=formulas, cv=FamilySplit("F"))
    assert scores["test_score"][0] > 0.5
    search = GridSearchCV(
        IRNetRegressor(epochs=3, **NETWORK), {"learning_rate": [1e-3, 1e-2]}, cv=FamilySplit("F")
    ).fit(X, y, groups=formulas)
    assert search.best_params_["learning_rate"] == 1e-2


def test_given_validation_rows_choose_the_parameters():
    X, y = data()
    near = IRNetRegressor(epochs=30, **NETWORK).fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    errors = [record["val_mae"] for record in near.history_]
    assert near.best_epoch_ == int(np.argmin(errors))
    found = np.abs(near.predict(X[60:]) - y[60:]).mean()
    assert found == pytest.approx(min(errors), rel=1e-4)  # in the unit of the target


def test_variants_are_the_other_parameters_of_one_training():
    X, y = data(50)
    model = IRNetRegressor(epochs=4, **NETWORK).fit(X, y)
    variants = model.predict_variants(X)
    assert list(variants) == ["", "last", "ema"]
    for name in ("last", "ema"):
        model.weights = name
        np.testing.assert_array_equal(variants[name], model.predict(X))


def test_wrong_settings_are_named():
    X, y = data(20)
    with pytest.raises(ConfigError, match="expected best, last or ema"):
        IRNetRegressor(weights="first", **NETWORK).fit(X, y)
    with pytest.raises(ConfigError, match="dropout"):
        IRNetRegressor(dropout=1.5, **NETWORK).fit(X, y)
    with pytest.raises(ConfigError, match="device 'gpu7'"):
        IRNetRegressor(device="gpu7").fit(X, y)


# those whose training differs in kind: groups, mixed rows, another network


@pytest.mark.parametrize("regressor", KINDS.values(), ids=KINDS)
def test_a_killed_fit_goes_on_with_the_same_bits(regressor, tmp_path, monkeypatch):
    from xtalshift.nn.checkpoint import Checkpoint

    X, y = data(60)
    given, labels = target_rows(regressor), np.arange(60) % 4
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


@pytest.mark.parametrize("regressor", MEMBERED.values(), ids=MEMBERED)
def test_an_ensemble_with_samples_of_its_own(regressor):
    X, y = data(60)
    ensemble = clone(regressor).set_params(n_members=2, bootstrap=True, epochs=3)
    ensemble.fit(X, y, **target_rows(regressor))
    first, second = ensemble.predict_members(X)
    assert not np.allclose(first, second)
    np.testing.assert_allclose(ensemble.predict(X), (first + second) / 2)
    assert (ensemble.predict_std(X) > 0).all()


FORMULAS = [f"{metal}{anion}" for metal in ("Li", "Na", "K", "Mg", "Zn", "Ga") for anion in
            ("O", "S", "F", "Cl", "N")]  # fmt: skip
TARGETS = np.linspace(1, 4, len(FORMULAS)) ** 2


@pytest.mark.parametrize("regressor", KINDS.values(), ids=KINDS)
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
        NETWORKS["coral"].fit(X, y, X_target=X, y_target=y)


def test_wrong_settings_of_objectives_are_named():
    X, y = data(20)
    for regressor, message in (
        (RobustRegressor("cvar", 2.0, **QUICK), r"strength = 2\.0, the share of 'cvar'"),
        (RobustRegressor("worst", **QUICK), "objective"),
        (AlignedRegressor("dann", **QUICK), "alignment"),
        (AlignedRegressor("mmd", -1.0, **QUICK), "strength"),
        (RobustRegressor("v-rex", n_environments=0, **QUICK), "n_environments"),
    ):
        with pytest.raises(ConfigError, match=message):
            regressor.fit(X, y)


RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (1200, 2))
NOISE = np.where(X[:, 0] > 0, 40.0, 4.0)
Y = 1000 + 100 * X[:, 1] + RNG.normal(size=1200) * NOISE
NOISY = {"architecture": (32, 16), "epochs": 40, "batch_size": 64, "learning_rate": 1e-2,
         "device": "cpu", "random_state": 0}  # fmt: skip
NEW = np.array([[-0.5, 0.0], [0.5, 0.0]])


def test_the_second_head_states_the_noise_in_the_unit_of_the_target():
    model = HeteroscedasticRegressor(**NOISY).fit(X, Y)
    quiet, loud = model.predict_std(NEW)
    assert quiet == pytest.approx(4, rel=0.6)
    assert loud == pytest.approx(40, rel=0.3)
    assert model.predict(NEW) == pytest.approx([1000, 1000], abs=15)


def test_members_of_an_ensemble_add_their_disagreement():
    model = HeteroscedasticRegressor(**{**NOISY, "epochs": 2}, n_members=3).fit(X, Y)
    far = np.array([[8.0, -8.0]])
    between = model.predict_members(far).std(axis=0)
    alone = HeteroscedasticRegressor(**{**NOISY, "epochs": 2}).fit(X, Y).predict_std(NEW)
    assert (model.predict_std(far) >= between).all()
    assert between[0] > 0
    assert model.predict_std(NEW).shape == alone.shape
    # law of total variance, with the heads asked one by one
    net = model._build(model.states_["best"]).double()
    x = torch.from_numpy(model.scaler_.transform(far))
    mean, std = (part.detach().numpy() for part in net.mean_and_std(x))
    expected = np.sqrt((std**2).mean(axis=0) + mean.var(axis=0)) * Y.std()
    assert model.predict_std(far) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    "model",
    [
        HeteroscedasticRegressor(**{**NOISY, "epochs": 1}, n_members=2),
        IRNetRegressor(**{**NOISY, "epochs": 1}, n_members=2),
        MCDropoutRegressor(**{**NOISY, "epochs": 1}, n_samples=2),
        IRNetRegressor(**{**NOISY, "epochs": 1}),
    ],
    ids=lambda model: f"{type(model).__name__}-{model.n_members}",
)
def test_mean_and_spread_at_once_are_those_asked_for_apart(model):
    model.fit(X, Y)
    rows = np.random.default_rng(1).uniform(-3, 3, (70_001, 2))  # more than one piece
    mean, std = model.predict_with_std(rows)
    np.testing.assert_allclose(mean, model.predict(rows), rtol=1e-12)
    if type(model) is IRNetRegressor and model.n_members == 1:
        assert std is None
        assert model.predict_std(rows) is None
        return
    np.testing.assert_array_equal(std, model.predict_std(rows))
    assert mean.shape == std.shape == (70_001,)
    np.testing.assert_allclose(std[-3:], model.predict_std(rows[-3:]), rtol=1e-9)


def test_dropout_states_a_spread_that_grows_away_from_the_data_and_is_the_same_each_time():
    model = MCDropoutRegressor(n_samples=32, dropout=0.2, **NOISY).fit(X, Y)
    near = model.predict_std(X[:200])
    assert (near > 0).all()
    assert model.predict_std(np.array([[6.0, 6.0]]))[0] > 1.5 * np.median(near)
    np.testing.assert_array_equal(model.predict_std(X[:200]), near)
    # a row alone has the spread that it has among others
    np.testing.assert_allclose(model.predict_std(X[7:8]), near[7], rtol=1e-9)


def test_without_dropout_there_is_no_spread():
    with pytest.raises(ConfigError, match="dropout = 0"):
        MCDropoutRegressor(dropout=0.0, **NOISY).fit(X, Y)
    with pytest.raises(ConfigError, match="n_samples = 1"):
        MCDropoutRegressor(n_samples=1, **NOISY).fit(X, Y)
    assert MCDropoutRegressor(**{**NOISY, "epochs": 1}).fit(X, Y).dropout_ == 0.1


def test_a_heteroscedastic_model_can_be_adapted_without_its_second_head():
    formulas = [
        f"{m}{x}" for m in ("Li", "Na", "K", "Mg", "Zn", "Ga") for x in ("O", "S", "F", "N")
    ]
    values = np.arange(24.0)
    regressor = HeteroscedasticRegressor(architecture=(8,), epochs=2, device="cpu", random_state=0)
    start = fit(Dataset.of(formulas, values), regressor)
    labels = Dataset.of(formulas, values + 5)
    adapted = adapt(start, labels, method="fine-tune", settings={"steps": 3}, seed=0)
    assert "scatter.bias" in start.regressor.states_["best"]
    assert "scatter.bias" not in adapted.regressor.states_["best"]
    assert adapted.regressor.predict_std(adapted.features_of(formulas)) is None
