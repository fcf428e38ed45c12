"""Regressors around another one: importance weights, target labels, a process on errors."""

import numpy as np
import pytest
from sklearn.base import clone

from estimator_toys import Recorder
from xtalshift.errors import ConfigError
from xtalshift.estimators import (
    ImportanceWeightedRegressor,
    IRNetRegressor,
    JointRegressor,
    LightGBMRegressor,
    ResidualGPRegressor,
    RidgeRegressor,
    TargetedCALRegressor,
    TargetOnlyRegressor,
)
from xtalshift.importance.density_ratio import effective_sample_size

RATIOS = ("kmm", "ulsif", "classifier")
TREES = {"n_estimators": 60}
NETWORK = {"architecture": (16, 8), "epochs": 3, "device": "cpu"}


def parabola(n, seed, mean=0.0, width=1.0):
    """Return rows of a parabola in the first of two features."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    X[:, 0] = mean + width * X[:, 0]
    return X, X[:, 0] ** 2 + 0.05 * rng.normal(size=n)


@pytest.fixture(scope="module")
def shifted():
    return parabola(801, 0), parabola(203, 1, 1.5, 0.4)


@pytest.mark.parametrize("ratio", RATIOS)
def test_weights_make_a_misspecified_line_fit_where_the_target_is(ratio, shifted):
    (X, y), (X_target, y_target) = shifted
    line = RidgeRegressor(alphas=(1e-3,))
    plain = clone(line).fit(X, y)
    weighted = ImportanceWeightedRegressor(line, ratio, random_state=0)
    weighted.fit(X, y, X_target=X_target)

    def error(model):
        return np.abs(model.predict(X_target) - y_target).mean()

    assert error(plain) > 1.0
    assert error(weighted) < 0.4 * error(plain)
    assert weighted.weights_.shape == (721,)  # a tenth validates
    assert weighted.weights_.mean() == pytest.approx(1)
    assert weighted.effective_sample_size_ == effective_sample_size(weighted.weights_)
    assert 20 < weighted.effective_sample_size_ < 400


@pytest.mark.parametrize(
    "inner", [RidgeRegressor(), LightGBMRegressor(**TREES), IRNetRegressor(**NETWORK)]
)
@pytest.mark.parametrize("weight", [False, True])
def test_without_target_rows_it_is_the_plain_estimator(inner, weight, shifted):
    (X, y), (X_target, y_target) = shifted
    given = {"X_val": X_target, "y_val": y_target}
    if weight:
        given["sample_weight"] = np.random.default_rng(0).uniform(size=len(y))
    plain = clone(inner).set_params(random_state=3).fit(X, y, **given)
    wrapped = ImportanceWeightedRegressor(inner, random_state=3).fit(X, y, **given)
    np.testing.assert_array_equal(plain.predict(X), wrapped.predict(X))
    np.testing.assert_array_equal(wrapped.weights_, np.ones(len(y)))
    assert wrapped.effective_sample_size_ == pytest.approx(len(y))


@pytest.mark.parametrize("ratio", RATIOS)
def test_training_and_validation_rows_have_weights_of_their_own(ratio, shifted):
    (X, y), (X_target, _) = shifted
    given = np.random.default_rng(0).uniform(0.5, 1.5, size=700)
    model = ImportanceWeightedRegressor(Recorder(), ratio, max_weight=8.0, random_state=0)
    model.fit(
        X[:700], y[:700], sample_weight=given, X_val=X[700:], y_val=y[700:], X_target=X_target
    )
    data = model.estimator_.data_
    kept = model.weights_ > 0  # a row of weight 0 is no row
    np.testing.assert_array_equal(data.train.X, X[:700][kept])
    np.testing.assert_array_equal(data.train.weights, (model.weights_ * given)[kept])
    assert model.weights_.max() <= 8 + 1e-9
    # validation rows are those of the target region too
    assert data.validation.weights.sum() == pytest.approx(101)
    center = np.average(data.validation.X[:, 0], weights=data.validation.weights)
    assert center == pytest.approx(1.5, abs=0.4)
    assert data.target is None


def test_the_inner_regressor_draws_as_it_would_alone(shifted):
    (X, y), (X_target, _) = shifted
    draws = []
    for target in (None, X_target):
        model = ImportanceWeightedRegressor(Recorder(), random_state=7)
        model.fit(X, y, X_val=X, y_val=y, X_target=target)
        draws.append(model.estimator_.data_.rng.random())
    assert draws[0] == draws[1] == np.random.default_rng(7).random()


@pytest.mark.parametrize("ratio", RATIOS)
def test_any_features_and_the_same_bits_again(ratio):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(57, 14)), rng.normal(size=57)
    target = rng.normal(size=(13, 14))
    X[:, 3], target[:, 3] = 1.0, 2.0  # varies only between the domains
    X[:, 4] = target[:, 4] = 5.0
    X[3, 0] = target[2, 1] = np.nan
    X[:, 5] = np.nan
    before = X.copy(), target.copy()
    model = ImportanceWeightedRegressor(RidgeRegressor(), ratio, random_state=1)
    first = model.fit(X, y, X_target=target).predict(X)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, clone(model).fit(X, y, X_target=target).predict(X))
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(target, before[1])


@pytest.mark.parametrize("n", [2, 9, 10, 11])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("ratio", RATIOS)
def test_few_rows(ratio, n, k):
    X, y = parabola(n, 0)
    model = ImportanceWeightedRegressor(RidgeRegressor(), ratio, random_state=0)
    model.fit(X, y, X_target=X[:k])
    assert len(model.weights_) == (n if n < 10 else n - 1)
    assert model.weights_.mean() == pytest.approx(1)
    assert np.isfinite(model.predict(X)).all()


def test_everything_else_is_asked_of_the_inner_regressor(shifted):
    (X, y), (X_target, _) = shifted
    inner = IRNetRegressor(**NETWORK, n_members=2)
    model = ImportanceWeightedRegressor(inner, "ulsif", random_state=0)
    model.fit(X, y, X_target=X_target)
    assert list(model.predict_variants(X)) == ["", "last", "ema"]
    for name, values in model.predict_variants(X).items():
        np.testing.assert_array_equal(values, model.estimator_.predict_variants(X)[name])
    np.testing.assert_array_equal(model.predict_std(X), model.estimator_.predict_std(X))
    far = np.array([[1e6, -1e6], [0.0, 0.0]])
    assert model.n_clipped(far).tolist() == [2, 0]
    assert ImportanceWeightedRegressor(RidgeRegressor()).fit(X, y).predict_std(X) is None


def test_parameters_reach_the_inner_regressor_and_fit_leaves_it_alone(shifted):
    (X, y), (X_target, _) = shifted
    inner = RidgeRegressor(random_state=5)
    model = ImportanceWeightedRegressor(inner).set_params(estimator__alphas=(7.0,))
    model.fit(X, y, X_target=X_target)
    assert model.estimator_.alpha_ == 7.0
    assert not hasattr(inner, "coef_")
    assert inner.random_state == 5


def test_what_is_refused(shifted):
    (X, y), (X_target, y_target) = shifted
    for options, message in [
        ({"ratio": "kmn"}, "ratio = 'kmn'; expected kmm, ulsif, classifier"),
        ({"max_weight": 0.5}, "max_weight = 0.5; expected at least 1"),
    ]:
        with pytest.raises(ConfigError, match=message):
            ImportanceWeightedRegressor(RidgeRegressor(), **options).fit(X, y)
    model = ImportanceWeightedRegressor(RidgeRegressor())
    with pytest.raises(ValueError, match="does not use y_target"):
        model.fit(X, y, X_target=X_target, y_target=y_target)
    with pytest.raises(ValueError, match=r"3 features.*2 features"):
        model.fit(X, y, X_target=np.ones((4, 3)))


def test_validation_weights_choose():
    X, y = parabola(60, 0)
    # a strong penalty is right for the first half of the validation rows, a weak one for the other
    line = RidgeRegressor(alphas=(1e-3, 1e6))
    best = clone(line).fit(X, 3 * X[:, 0])
    y_val = np.where(np.arange(60) < 30, np.mean(3 * X[:, 0]), 3 * X[:, 0])
    for half, alpha in ((0, 1e6), (1, 1e-3)):
        weights = np.where((np.arange(60) >= 30) == half, 1.0, 1e-3)
        best = clone(line).fit(X, 3 * X[:, 0], X_val=X, y_val=y_val, val_weight=weights)
        assert best.alpha_ == alpha
    # a row of weight 0 is no row
    weights = np.where(np.arange(60) < 30, 1.0, 0.0)
    spy = Recorder().fit(X, y, X_val=X, y_val=y_val, val_weight=weights)
    assert len(spy.data_.validation.y) == 30
    np.testing.assert_array_equal(spy.data_.validation.weights, np.ones(30))


def test_validation_weights_that_are_refused():
    X, y = parabola(20, 0)
    with pytest.raises(ValueError, match="val_weight needs X_val"):
        RidgeRegressor().fit(X, y, val_weight=np.ones(20))
    held = {"X_val": X[:5], "y_val": y[:5]}
    with pytest.raises(ValueError, match="sample_weight"):
        RidgeRegressor().fit(X, y, val_weight=np.ones(6), **held)
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        RidgeRegressor().fit(X, y, val_weight=-np.ones(5), **held)


# target labels

SOURCE = {"epochs": 30, "batch_size": 32, "learning_rate": 1e-2}
SMALL = {"architecture": (24, 12), "device": "cpu"}


def network(**options):
    return IRNetRegressor(**{**SOURCE, **SMALL, **options})


def tuned(steps=20):
    settings = {"steps": steps, "batch_size": 8, "learning_rate": 3e-3}
    return TargetedCALRegressor("fine-tune", settings, source=SOURCE, **SMALL)


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


def test_what_is_refused_of_target_labels(source):
    target = given_labels(20)
    only = TargetOnlyRegressor(RidgeRegressor())
    with pytest.raises(ConfigError, match="needs target labels: X_target and y_target"):
        only.fit(*source)
    for model in (only, JointRegressor(RidgeRegressor()), ResidualGPRegressor(network())):
        name = type(model).__name__
        with pytest.raises(ConfigError, match=f"{name} needs y_target as well as X_target"):
            model.fit(*source, X_target=target["X_target"])
    with pytest.raises(ConfigError, match="only networks have a representation, not a RidgeRegr"):
        ResidualGPRegressor(RidgeRegressor()).fit(*source)
    for share in (0, 1.5):
        with pytest.raises(ConfigError, match=f"target_share = {share}; expected"):
            JointRegressor(RidgeRegressor(), share).fit(*source)
