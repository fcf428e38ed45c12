"""Networks adapted to a target domain."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from xtalshift.errors import ConfigError
from xtalshift.estimators import IRNetRegressor, RidgeRegressor
from xtalshift.estimators.adaptation import TargetedCALRegressor

SOURCE = {"epochs": 30, "batch_size": 32, "learning_rate": 1e-2}
NETWORK = {"architecture": (24, 12), "device": "cpu"}
QUICK = {"steps": 20, "batch_size": 8}
LABELLED = ("targeted-cal", "targeted-cal-eps0", "joint", "fine-tune", "l2-sp", "head-only")


def rows(n, seed, *, target=False):
    """Return rows of one relation; in the target region, x_0 near 4, all targets are 2 higher."""
    X = np.random.default_rng(seed).normal(size=(n, 4))
    X[:, 0] = X[:, 0] + (4 if target else 0)
    return X, np.sin(X[:, 1]) + X[:, 2] + (2.0 if target else 0.0)


@pytest.fixture(scope="module")
def source():
    return rows(200, 0)


@pytest.fixture(scope="module")
def model(source):
    return IRNetRegressor(**SOURCE, **NETWORK, random_state=0).fit(*source)


def adapter(method="targeted-cal", seed=1, source=SOURCE, **settings):
    return TargetedCALRegressor(
        method, {**QUICK, **settings}, source=source, **NETWORK, random_state=seed
    )


def assert_same(a, b):
    assert set(a.states_) == set(b.states_)
    for kind, state in a.states_.items():
        for name, value in state.items():
            assert torch.equal(value, b.states_[kind][name]), (kind, name)


def error(regressor, X, y):
    return np.abs(regressor.predict(X) - y).mean()


@pytest.mark.parametrize("method", [*LABELLED, "unlabelled-cal"])
def test_fit_is_plain_training_followed_by_adapt(method, source):
    X, y = source
    valid, target = rows(30, 1), rows(20, 2, target=True)
    labels = None if method == "unlabelled-cal" else target[1]
    generator, brief = np.random.default_rng(7), {**SOURCE, "epochs": 5}
    first = IRNetRegressor(**brief, **NETWORK, random_state=generator)
    first.fit(X, y, X_val=valid[0], y_val=valid[1])
    apart = adapter(method, seed=generator).adapt(first, target[0], labels, X, y)
    whole = adapter(method, seed=np.random.default_rng(7), source=brief).fit(
        X, y, X_val=valid[0], y_val=valid[1], X_target=target[0], y_target=labels
    )
    assert_same(whole, apart)
    assert whole.start_val_mae_ == apart.start_val_mae_
    np.testing.assert_array_equal(whole.predict(target[0]), apart.predict(target[0]))


def test_fit_without_target_rows_is_plain_training(source):
    plain = IRNetRegressor(
        **SOURCE, **NETWORK, weights="ema", validation_fraction=0.3, random_state=4
    ).fit(*source)
    same = TargetedCALRegressor(
        source=SOURCE, **NETWORK, weights="ema", validation_fraction=0.3, random_state=4
    ).fit(*source)
    assert_same(plain, same)
    np.testing.assert_array_equal(plain.predict(source[0]), same.predict(source[0]))


@pytest.mark.parametrize("method", [*LABELLED, "unlabelled-cal"])
def test_the_given_model_and_rows_stay_as_they_are(method, model, source):
    X_target, y_target = rows(20, 2, target=True)
    given = (*source, X_target, y_target)
    before = [values.copy() for values in given]
    states = {k: {n: v.clone() for n, v in s.items()} for k, s in model.states_.items()}
    predicted, attributes = model.predict(X_target), set(vars(model))
    adapted = adapter(method).adapt(model, X_target, y_target, *source)
    assert not np.array_equal(adapted.predict(X_target), predicted)
    np.testing.assert_array_equal(model.predict(X_target), predicted)
    for kind, state in states.items():
        for name, value in state.items():
            assert torch.equal(value, model.states_[kind][name])
    assert set(vars(model)) == attributes
    for values, kept in zip(given, before, strict=True):
        np.testing.assert_array_equal(values, kept)


@pytest.mark.parametrize("method", ["targeted-cal", "joint", "fine-tune"])
def test_40_labels_help_in_the_target_region(method, model, source):
    X_target, y_target = rows(40, 3, target=True)
    fresh = rows(300, 4, target=True)
    settings = {"steps": 200, "batch_size": 16, "learning_rate": 3e-3}
    adapted = adapter(method, **settings).adapt(model, X_target, y_target, *source)
    before = error(model, *fresh)
    assert before > 1.5
    assert error(adapted, *fresh) < 0.4 * before
    if method != "fine-tune":  # what is replayed is not forgotten
        spread = np.abs(source[1] - source[1].mean()).mean()
        assert error(adapted, *source) < 0.6 * spread
    # the record says what happened on the labels held out
    assert adapted.n_validation_ == 8
    best = min(record["val_mae"] for record in adapted.history_)
    assert best < 0.4 * adapted.start_val_mae_
    assert adapted.start_val_mae_ == pytest.approx(before, rel=0.3)


def test_the_recorded_errors_are_those_of_the_held_out_labels(model):
    X, y = rows(30, 5, target=True)
    groups = np.array([f"g{k}" for k in range(30)])
    adapted = adapter("fine-tune")
    seen = []
    hold_out = adapted._hold_out
    adapted._hold_out = lambda *a: seen.append(hold_out(*a)) or seen[-1]
    adapted.adapt(model, X, y, groups=groups)
    ((train, valid),) = seen
    assert (len(train.y), len(valid.y)) == (24, 6)
    assert adapted.start_val_mae_ == pytest.approx(error(model, valid.X, valid.y), rel=1e-5)
    assert adapted.dummy_val_mae_ == pytest.approx(np.abs(valid.y - train.y.mean()).mean())
    best = min(record["val_mae"] for record in adapted.history_)
    assert best == pytest.approx(error(adapted, valid.X, valid.y), rel=1e-4)


@pytest.mark.parametrize("size", [2, 3])
def test_no_group_is_both_in_training_and_validation(size, model):
    X, y = rows(30, 5, target=True)
    groups = np.arange(30) // size
    for seed in range(8):
        adapted, seen = adapter("fine-tune", seed=seed, steps=1), []
        hold_out = adapted._hold_out
        adapted._hold_out = lambda *a: seen.append(hold_out(*a)) or seen[-1]  # noqa: B023
        adapted.adapt(model, X, y, groups=groups)
        of_row = dict(zip(y, groups, strict=True))
        train, valid = ({of_row[value] for value in part.y} for part in seen[0])
        assert valid
        assert not train & valid
        assert len(train) + len(valid) == 30 // size


def test_few_labels_train_and_validate(model):
    X, y = rows(9, 5, target=True)
    adapted = adapter("fine-tune", steps=100, learning_rate=1e-2).adapt(model, X, y)
    assert adapted.n_validation_ == 9
    assert adapted.start_val_mae_ == pytest.approx(error(model, X, y), rel=1e-5)
    assert error(adapted, X, y) < 0.3 * adapted.start_val_mae_


def test_the_same_seed_repeats_and_another_does_not(model, source):
    target = rows(20, 2, target=True)
    first, again, other = (adapter(seed=seed).adapt(model, *target, *source) for seed in (1, 1, 2))
    assert_same(first, again)
    assert not np.array_equal(first.predict(target[0]), other.predict(target[0]))


@pytest.mark.parametrize("weights", ["best", "last", "ema"])
def test_it_starts_from_the_parameters_that_the_model_predicts_with(weights, source):
    model = IRNetRegressor(**SOURCE, **NETWORK, weights=weights, random_state=0).fit(*source)
    X, y = rows(9, 5, target=True)
    tiny = TargetedCALRegressor(
        "fine-tune", {"steps": 1, "learning_rate": 1e-9}, weights=weights, device="cpu"
    ).adapt(model, X, y)
    np.testing.assert_allclose(tiny.predict(X), model.predict(X), rtol=1e-5)
    assert tiny.start_val_mae_ == pytest.approx(error(model, X, y), rel=1e-5)


@pytest.mark.parametrize("method", [*LABELLED, "unlabelled-cal"])
def test_an_ensemble_stays_one_and_every_member_is_adapted(method, source):
    X, y = source
    options = {**SOURCE, "epochs": 5}
    pair = IRNetRegressor(**options, **NETWORK, n_members=2, random_state=0).fit(X, y)
    target = rows(20, 2, target=True)
    adapted = adapter(method).adapt(pair, *target, X, y)
    before, after = pair.predict_members(target[0]), adapted.predict_members(target[0])
    assert after.shape == (2, 20)
    assert (np.abs(after - before).max(axis=1) > 1e-3).all()
    assert (after[0] != after[1]).all()
    np.testing.assert_allclose(adapted.predict(target[0]), after.mean(axis=0))
    again = TargetedCALRegressor(
        method, QUICK, source=options, n_members=2, **NETWORK, random_state=0
    ).fit(X, y, X_target=target[0], y_target=None if method == "unlabelled-cal" else target[1])
    assert again.predict_members(target[0]).shape == (2, 20)


def test_what_cannot_be_adapted(model, source):
    X, y = source
    target = rows(20, 2, target=True)
    with pytest.raises(NotFittedError):
        adapter().adapt(IRNetRegressor(), *target)
    with pytest.raises(ConfigError, match=r"only IRNets.*RidgeRegressor"):
        adapter().adapt(RidgeRegressor().fit(X, y), *target)
    for method in LABELLED:
        with pytest.raises(ConfigError, match=rf"'{method}' needs target labels \(y_target\)"):
            adapter(method).adapt(model, target[0], None, X, y)
        with pytest.raises(ConfigError, match=rf"'{method}' needs target labels \(y_target\)"):
            adapter(method).fit(X, y, X_target=target[0])
    for method in ("joint", "unlabelled-cal", "unlabelled-cal-eps0"):
        with pytest.raises(ConfigError, match=rf"'{method}' needs source rows \(X and y"):
            adapter(method).adapt(model, *target)
    with pytest.raises(ValueError, match="both X and y"):
        adapter().adapt(model, *target, X)
    with pytest.raises(ValueError, match=r"3 features.*4 features"):
        adapter().adapt(model, target[0][:, :3], target[1])
    with pytest.raises(ValueError, match=r"5 features.*4 features"):
        adapter().adapt(model, *target, np.hstack([X, X[:, :1]]), y)
    with pytest.raises(ValueError, match="inconsistent"):
        adapter().adapt(model, target[0], target[1][:-1])
    with pytest.raises(ValueError, match="y contains NaN"):
        adapter().adapt(model, target[0], np.where(target[1] > 2, np.nan, target[1]))
    with pytest.raises(ConfigError, match=r"'method' = 'targetted-cal'.*'targeted-cal'"):
        adapter("targetted-cal").adapt(model, *target)
    with pytest.raises(ConfigError, match=r"'stepps' \(did you mean 'steps'"):
        adapter(stepps=3).fit(X, y, X_target=target[0], y_target=target[1])
    with pytest.raises(ConfigError, match="weights = 'bets'; expected best, last or ema"):
        TargetedCALRegressor(weights="bets").adapt(model, *target)
    with pytest.raises(ValueError, match="y_target needs X_target"):
        adapter().fit(X, y, y_target=target[1])


def test_a_refused_adaptation_leaves_an_earlier_one_as_it_was(model, source):
    target = rows(20, 2, target=True)
    adapted = adapter().adapt(model, *target, *source)
    before = adapted.predict(target[0])
    with pytest.raises(ConfigError):
        adapted.adapt(model, target[0])
    np.testing.assert_array_equal(adapted.predict(target[0]), before)


def test_missing_features_are_allowed_as_everywhere(model, source):
    X, y = rows(20, 2, target=True)
    X[3, 1] = np.nan
    adapted = adapter().adapt(model, X, y, *source)
    assert np.isfinite(adapted.predict(X)).all()


def test_clone_and_parameters():
    regressor = adapter("l2-sp", replay=0.5)
    twin = clone(regressor)
    assert twin.get_params() == regressor.get_params()
    assert (twin.method, twin.settings["replay"], twin.source) == ("l2-sp", 0.5, SOURCE)


@pytest.mark.parametrize("value", [0.1, 0.0, 2e-29, 2e29])
def test_a_network_that_knew_equal_targets_only_learns_others(value):
    X, y = rows(30, 0)
    size = value or 1.0
    start = IRNetRegressor(**{**SOURCE, "epochs": 2}, **NETWORK, random_state=0)
    start.fit(X, np.full(30, value))  # the mean of thirty 0.1 is not 0.1
    assert (start.target_mean_, start.target_scale_) == (value, size)
    for method in ("targeted-cal", "joint", "fine-tune"):
        adapted = adapter(method).adapt(start, X, y * size, X, np.full(30, value))
        assert error(adapted, X, y * size) < 3 * size
