"""Regressors that learn from target labels, and the methods that are registered with them."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from xtalshift.errors import ConfigError
from xtalshift.estimators import (
    IRNetRegressor,
    JointRegressor,
    LightGBMRegressor,
    Regressor,
    ResidualGPRegressor,
    RidgeRegressor,
    TargetedCALRegressor,
    TargetOnlyRegressor,
)
from xtalshift.methods import METHODS, MethodSettings, build_method
from xtalshift.methods.registry import override

SOURCE = {"epochs": 30, "batch_size": 32, "learning_rate": 1e-2}
NETWORK = {"architecture": (24, 12), "device": "cpu"}
REASON = "validation rows are drawn at random, so a weight is not a number of repeated rows"
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": REASON,
    "check_sample_weight_equivalence_on_sparse_data": REASON,
}


def network(**options):
    return IRNetRegressor(**{**SOURCE, **NETWORK, **options})


def tuned(steps=20):
    settings = {"steps": steps, "batch_size": 8, "learning_rate": 3e-3}
    return TargetedCALRegressor("fine-tune", settings, source=SOURCE, **NETWORK)


class Recorder(Regressor):
    """Keeps what it was given to fit; predicts the mean."""

    def __init__(self, validation_fraction=0.1, random_state=None):
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _fit(self, data):
        self.data_ = data
        self.mean_ = np.average(data.train.y, weights=data.train.weights)

    def _predict(self, X):
        return np.full(len(X), self.mean_)


class OwnTarget:
    """Takes the source rows for target rows too, so that every check sees target labels."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, sample_weight=sample_weight, X_target=X, y_target=y)


class OwnTargetOnly(OwnTarget, TargetOnlyRegressor):
    pass


class OwnResidualGP(OwnTarget, ResidualGPRegressor):
    pass


CHECKED = [
    # it cannot be fitted without target labels, as scikit-learn's checks would
    OwnTargetOnly(RidgeRegressor(), random_state=0),
    JointRegressor(RidgeRegressor(), random_state=0),
    OwnResidualGP(network(), random_state=0),
]


@parametrize_with_checks(CHECKED, expected_failed_checks=lambda _: EXPECTED_FAILURES)
def test_check_estimator(estimator, check):
    check(estimator)


def rows(n, seed, *, target=False):
    """Return rows of one relation; in the target region, x_0 near 4, another term is added."""
    X = np.random.default_rng(seed).normal(size=(n, 4))
    X[:, 0] = X[:, 0] + (4 if target else 0)
    return X, np.sin(X[:, 1]) + X[:, 2] + (2.0 + 1.5 * X[:, 3] if target else 0.0)


@pytest.fixture(scope="module")
def source():
    return rows(200, 0)


def error(regressor, X, y):
    return np.abs(regressor.predict(X) - y).mean()


def given_labels(n, seed=2):
    X, y = rows(n, seed, target=True)
    return {"X_target": X, "y_target": y}


@pytest.mark.parametrize(
    "model",
    [
        TargetOnlyRegressor(RidgeRegressor(), random_state=0),
        JointRegressor(LightGBMRegressor(), random_state=0),
        ResidualGPRegressor(network(), random_state=0),
        ResidualGPRegressor(tuned(100), random_state=0),
    ],
)
def test_labels_help_in_the_target_region(model, source):
    fresh = rows(300, 4, target=True)
    without = network().set_params(random_state=0).fit(*source)
    with_labels = clone(model).fit(*source, **given_labels(80))
    assert error(without, *fresh) > 1.5
    assert error(with_labels, *fresh) < 0.5 * error(without, *fresh)
    again = clone(model).fit(*source, **given_labels(80))
    np.testing.assert_array_equal(with_labels.predict(fresh[0]), again.predict(fresh[0]))


@pytest.mark.parametrize(
    ("model", "plain"),
    [
        (JointRegressor(LightGBMRegressor(n_estimators=40)), LightGBMRegressor(n_estimators=40)),
        (ResidualGPRegressor(network(epochs=3)), network(epochs=3)),
    ],
)
def test_without_target_labels_it_is_the_plain_estimator(model, plain, source):
    held = dict(zip(("X_val", "y_val"), rows(30, 1), strict=True))
    weights = np.random.default_rng(0).uniform(size=200)
    wrapped = clone(model).set_params(random_state=3).fit(*source, sample_weight=weights, **held)
    alone = clone(plain).set_params(random_state=3).fit(*source, sample_weight=weights, **held)
    np.testing.assert_array_equal(wrapped.predict(source[0]), alone.predict(source[0]))


@pytest.mark.parametrize(("n", "held_out"), [(2, None), (9, None), (10, 2), (41, 8)])
def test_target_only_sees_target_labels_only(n, held_out, source):
    target = given_labels(n)
    model = TargetOnlyRegressor(Recorder(), random_state=0).fit(*source, **target)
    data = model.estimator_.data_
    if held_out is None:  # so few serve as both
        np.testing.assert_array_equal(data.train.y, target["y_target"])
        np.testing.assert_array_equal(data.validation.y, target["y_target"])
    else:
        assert len(data.validation.y) == held_out
        both = np.concatenate([data.train.y, data.validation.y])
        np.testing.assert_array_equal(np.sort(both), np.sort(target["y_target"]))
    assert data.train.weights is None
    assert data.target is None


def test_target_only_can_train_on_all_labels(source):
    model = TargetOnlyRegressor(Recorder(), hold_out=False).fit(*source, **given_labels(40))
    assert len(model.estimator_.data_.train.y) == len(model.estimator_.data_.validation.y) == 40


@pytest.mark.parametrize("weight", [False, True])
@pytest.mark.parametrize("share", [0.5, 0.2, 1.0])
@pytest.mark.parametrize("n", [1, 9, 10, 43])
def test_target_labels_have_their_share_of_the_weight(n, share, weight, source):
    target, valid = given_labels(n), rows(30, 1)
    weights = np.random.default_rng(0).uniform(0.5, 2, size=200) if weight else None
    model = JointRegressor(Recorder(), share, random_state=0)
    model.fit(*source, sample_weight=weights, X_val=valid[0], y_val=valid[1], **target)
    data = model.estimator_.data_
    assert of_labels(data.train, target, share) == (n if n < 10 else n - n // 5)
    of_source = data.train.weights[: -of_labels(data.train, target, share)]
    if share < 1:
        expected = np.ones(200) if weights is None else weights
        np.testing.assert_allclose(of_source / of_source.mean(), expected / expected.mean())
    if n < 10:
        np.testing.assert_array_equal(data.validation.y, valid[1])
        assert data.validation.weights is None
    else:
        assert of_labels(data.validation, target, share) == n // 5
        assert len(data.validation.y) == n // 5 + (30 if share < 1 else 0)
        assert not set(data.train.y) & set(data.validation.y)


def of_labels(labelled, target, share):
    """Return how many rows are target labels, which stand last, and check their weight."""
    found = np.isin(labelled.y, target["y_target"])
    assert (np.diff(found.astype(int)) >= 0).all()
    assert labelled.weights[found].sum() == pytest.approx(share * labelled.weights.sum())
    assert np.ptp(labelled.weights[found]) == 0
    if share < 1:
        assert labelled.weights.mean() == pytest.approx(1)
    return int(found.sum())


@pytest.mark.parametrize("n", [1, 4])
def test_few_labels_shift_the_network_by_their_mean_error(n, source):
    target = given_labels(n)
    model = ResidualGPRegressor(network(epochs=3), random_state=0).fit(*source, **target)
    errors = target["y_target"] - model.estimator_.predict(target["X_target"])
    X = rows(20, 9)[0]
    expected = model.estimator_.predict(X) + errors.mean()
    np.testing.assert_allclose(model.predict(X), expected)
    assert model.gp_ is None
    assert model.shift_ == errors.mean()
    assert model.n_residuals_ == n
    assert model.predict_std(X) is None


def test_the_process_is_on_the_representation_and_states_its_spread(source):
    target = given_labels(60)
    held = dict(zip(("X_val", "y_val"), rows(30, 1), strict=True))
    model = ResidualGPRegressor(network(), random_state=6).fit(*source, **held, **target)
    alone = network().set_params(random_state=6).fit(*source, **held)
    X = rows(25, 9, target=True)[0]
    np.testing.assert_array_equal(model.estimator_.predict(X), alone.predict(X))
    correction = model.gp_.predict(alone.embed(X))
    np.testing.assert_array_equal(model.predict(X), alone.predict(X) + correction)
    assert list(model.predict_variants(X)) == [""]
    np.testing.assert_array_equal(model.predict_variants(X)[""], model.predict(X))
    spread = model.predict_std(X)
    assert spread.shape == (25,)
    far = model.predict_std(X * 30)
    assert far.mean() > 1.2 * spread.mean()


def test_each_label_tunes_or_gives_an_error(source, monkeypatch):
    seen = []
    original = TargetedCALRegressor.fit

    def spy(self, *args, **options):
        seen.append(options["y_target"])
        return original(self, *args, **options)

    monkeypatch.setattr(TargetedCALRegressor, "fit", spy)
    target = given_labels(31)
    model = ResidualGPRegressor(tuned(2), random_state=0).fit(*source, **target)
    assert len(seen[0]) == 16
    assert model.n_residuals_ == 15
    others = np.isin(target["y_target"], seen[0], invert=True)
    errors = target["y_target"] - model.estimator_.predict(target["X_target"])
    assert model.shift_ == pytest.approx(errors[others].mean())
    # a single label tunes, and nothing is added
    model = ResidualGPRegressor(tuned(2), random_state=0).fit(*source, **given_labels(1))
    np.testing.assert_array_equal(model.predict(source[0]), model.estimator_.predict(source[0]))
    assert model.n_residuals_ == 0


def test_an_ensemble_gives_the_representations_of_its_members(source):
    inner = network(epochs=2, n_members=3)
    model = ResidualGPRegressor(inner, random_state=0).fit(*source, **given_labels(20))
    X = source[0][:7]
    members = model.estimator_.embed(X)
    np.testing.assert_array_equal(model._embed(X), np.hstack(list(members)))
    assert model.gp_.n_features_in_ == members.shape[0] * members.shape[2]
    assert np.isfinite(model.predict(X)).all()


def test_equal_target_rows_and_many_labels(source):
    same = {"X_target": np.ones((6, 4)), "y_target": np.arange(6.0)}
    model = ResidualGPRegressor(network(epochs=2), random_state=0).fit(*source, **same)
    assert model.gp_ is None
    assert model.predict(np.ones((1, 4)))[0] == pytest.approx(2.5)
    capped = ResidualGPRegressor(network(epochs=2), max_labels=12, random_state=0)
    assert capped.fit(*source, **given_labels(30)).gp_.n_rows_used_ == 12


def test_what_is_refused(source):
    target = given_labels(20)
    only = TargetOnlyRegressor(RidgeRegressor())
    with pytest.raises(ConfigError, match="needs target labels: X_target and y_target"):
        only.fit(*source)
    for model in (only, JointRegressor(RidgeRegressor()), ResidualGPRegressor(network())):
        name = type(model).__name__
        with pytest.raises(ConfigError, match=f"{name} needs y_target beside X_target"):
            model.fit(*source, X_target=target["X_target"])
    with pytest.raises(ConfigError, match="only networks have a representation, not a RidgeRegr"):
        ResidualGPRegressor(RidgeRegressor()).fit(*source)
    for share in (0, 1.5):
        with pytest.raises(ConfigError, match=f"target_share = {share}; expected"):
            JointRegressor(RidgeRegressor(), share).fit(*source)


SETTINGS = MethodSettings.from_dict(
    {
        "device": "cpu",
        "threads": 1,
        "network": {"architecture": [16, 8]},
        "erm": {"epochs": 2},
        "lightgbm": {"n_estimators": 30},
    }
)
QUICK = {"settings": {"steps": 4}}
SEES = {
    "features": [
        "kmm-lightgbm", "ulsif-lightgbm", "classifier-lightgbm",
        "kmm-ridge", "ulsif-ridge", "classifier-ridge", "unlabelled-cal", "unlabelled-cal-eps0",
    ],
    "labels": [
        "target-ridge", "target-gp", "target-lightgbm", "fine-tune", "l2-sp", "head-only", "joint",
        "targeted-cal", "targeted-cal-eps0", "joint-lightgbm", "residual-gp", "residual-gp-tuned",
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "sees"), [(name, sees) for sees, names in SEES.items() for name in names]
)
def test_every_method_fits_what_it_says_it_sees(name, sees, source):
    method = METHODS[name]
    assert (method.target_access, method.saved) == (sees, False)
    model = build_method(name, SETTINGS, seed=0)
    if isinstance(model, TargetedCALRegressor):
        assert model.method == name
        assert model.source["epochs"] == 2
        override(model, QUICK)
    elif name == "residual-gp-tuned":
        override(model, {"estimator__settings": {"steps": 4}})
    target = given_labels(20)
    if sees == "features":
        del target["y_target"]
    model.fit(*source, **target)
    X = target["X_target"]
    assert np.isfinite(model.predict(X)).all()
    if isinstance(model, TargetedCALRegressor):
        assert list(model.predict_variants(X)) == ["", "last", "ema"]
    for argument, span in method.space.items():
        override(build_method(name, SETTINGS, seed=0), {argument: span[1]})


def test_methods_pass_the_settings_on():
    settings = MethodSettings.from_dict(
        {"threads": 3, "lightgbm": {"num_leaves": 9}, "network": {"clip": 4.0, "n_members": 2}}
    )
    for name in ("kmm-lightgbm", "target-lightgbm", "joint-lightgbm"):
        model = build_method(name, settings, seed=5)
        assert (model.estimator.num_leaves, model.estimator.threads) == (9, 3)
        assert model.random_state == 5
    assert build_method("classifier-ridge", settings, seed=5).ratio == "classifier"
    for name in ("ulsif-ridge", "target-ridge", "target-gp", "residual-gp", "residual-gp-tuned"):
        assert build_method(name, settings, seed=5).estimator.clip == 4.0
    assert build_method("residual-gp-tuned", settings, seed=5).estimator.method == "fine-tune"
    assert build_method("l2-sp", settings, seed=5).n_members == 2
