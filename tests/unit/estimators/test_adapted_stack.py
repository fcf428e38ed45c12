"""Adapted stacks: corrections of a model, their weights, and when the model stays as it is."""

import numpy as np
import pytest

from xtalshift.errors import ConfigError, ModelFormatError
from xtalshift.estimators import (
    AdaptedStackRegressor,
    ConstantRegressor,
    ForestRegressor,
    RidgeRegressor,
    StackRegressor,
)
from xtalshift.estimators.adapted_stack import (
    SOURCE,
    Correction,
    Problem,
    adaptation_weights,
    cross_fit,
    pays,
)
from xtalshift.estimators.adapted_stack_predictor import AdaptedStackPredictor, see
from xtalshift.estimators.base import Labelled
from xtalshift.estimators.saved import SavedRegressor
from xtalshift.estimators.stack import Member, stack_weights

LINE = RidgeRegressor(alphas=(1e-6,))


def rows(n, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    return X, 3 * X[:, 0] + X[:, 1]


def start(n=60):
    return RidgeRegressor(alphas=(1e-6,), random_state=0).fit(*rows(n, 0))


def corrections():
    return [
        Correction("line", LINE, "start", "errors"),
        Correction("ridge", LINE, "both", "errors"),
        Correction("alone", LINE, "features", "targets", "asinh"),
        Correction("joint", LINE, "features", "targets", replays=True),
    ]


def fitted(members=None, n=40, shift=5.0, **more):
    X, y = rows(n, 1)
    stack = AdaptedStackRegressor(
        members=corrections() if members is None else members, random_state=0
    )
    return stack.adapt(start(), X, y + shift, **more)


def test_a_shift_of_all_labels_is_learned_and_the_errors_say_so():
    stack = fitted()
    X, y = rows(30, 2)
    np.testing.assert_allclose(stack.predict(X), y + 5, atol=1e-3)
    assert stack.start_error_ == pytest.approx(5, rel=1e-3)
    assert stack.error_ < 1e-3
    assert stack.n_held_out_ == 40
    X, y = rows(40, 1)
    assert stack.constant_error_ > np.abs(y - y.mean()).mean()  # of the others
    assert stack.errors_["line"] < 1e-3 < stack.errors_["joint"]
    assert stack.weights_.sum() == pytest.approx(1)


def test_predictions_are_the_weighted_members_with_the_model_among_them():
    stack = fitted(shift=0.5)
    X = rows(7, 3)[0]
    first = start().predict(X)
    found = stack.predict_members(X)
    np.testing.assert_array_equal(found[0], first)
    for row, one in zip(found[1:], stack.members_, strict=True):
        z = one.scale.forward(first)
        raw = one.predictor.predict(see(one.inputs, X, z)) + (one.learns == "errors") * z
        np.testing.assert_allclose(row, np.clip(one.scale.inverse(raw), *stack.bounds_))
    np.testing.assert_allclose(stack.predict(X), stack.weights_ @ found)
    center, std = stack.predict_with_std(X)
    np.testing.assert_array_equal(center, stack.predict(X))
    expected = np.sqrt(stack.weights_ @ (found - center) ** 2) + 0.3 * stack.error_
    np.testing.assert_allclose(std, expected)
    np.testing.assert_array_equal(stack.predict_std(X), std)


def test_a_model_that_no_correction_improves_stays_as_it_is():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 4))
    y = start().predict(X) + rng.normal(size=30) * 0.1  # noise only
    noise = [Correction("noise", ForestRegressor(n_estimators=3), "features", "targets")]
    stack = AdaptedStackRegressor(members=noise, random_state=0).adapt(start(), X, y)
    assert stack.members_ == ()
    assert stack.weights_.tolist() == [1.0]
    assert stack.out_of_fold_ is None
    assert stack.error_ >= stack.start_error_
    np.testing.assert_array_equal(stack.predict(X), start().predict(X))
    assert stack.predict_std(X) is None  # as the model: a spread of 0 would be no uncertainty
    assert stack.predict_with_std(X)[1] is None
    spread = StackRegressor(
        [Member("a", RidgeRegressor()), Member("b", ForestRegressor(n_estimators=5))]
    ).fit(X, y)
    kept = AdaptedStackRegressor(members=noise, random_state=0).adapt(spread, X[:1], y[:1])
    assert kept.members_ == ()
    np.testing.assert_array_equal(kept.predict_std(X), spread.predict_std(X))
    assert (kept.predict_std(X) > 0).all()


def test_errors_are_of_labels_that_chose_neither_corrections_nor_weights():
    X, y = rows(24, 4)
    y = np.abs(y) + 2 * np.sin(3 * X[:, 2])
    members = corrections()
    stack = AdaptedStackRegressor(members=members, n_folds=4, random_state=0)
    stack.adapt(start(), X, y)
    own = stack.out_of_fold_
    rng = np.random.default_rng(0)
    folds = rng.permutation(24) % 4
    first = start().predict(X)
    columns = [first]
    for one in members[:3]:
        seed = np.random.default_rng(1)
        problem = Problem(first, Labelled(X, y), None, seed)
        columns.append(np.clip(cross_fit(one, problem, folds).predictions, *stack.bounds_))
    table = np.stack(columns)
    expected = np.empty(24)
    for fold in range(4):
        out = folds == fold
        expected[out] = adaptation_weights(table[:, ~out], y[~out]) @ table[:, out]
    np.testing.assert_allclose(own.center, expected)
    assert stack.error_ == pytest.approx(np.abs(expected - y).mean())
    assert stack.failures_ == {"joint": "there are no source rows"}
    said = {one["name"]: one for one in stack.describe_members()}
    left_out = {"mae": None, "left_out": "there are no source rows"}
    assert said["joint"] == {"name": "joint", "weight": 0.0, **left_out}
    assert said[SOURCE]["mae"] == pytest.approx(np.abs(first - y).mean())
    assert sum(one["weight"] for one in said.values()) == pytest.approx(1)


def test_a_correction_sees_the_labels_of_other_folds_only():
    X, y = rows(12, 5)
    y = y + np.arange(12) % 3  # each fold has an offset of its own
    folds = np.arange(12) % 3
    mean = Correction("mean", ConstantRegressor(), "features", "targets")
    problem = Problem(start().predict(X), Labelled(X, y), None, np.random.default_rng(0))
    found = cross_fit(mean, problem, folds)
    expected = [y[folds != fold].mean() for fold in folds]
    np.testing.assert_allclose(found.predictions, expected)
    everything = np.array([-np.inf, np.inf])
    whole = found.fit_all(0.25)
    assert whole.weight == 0.25
    np.testing.assert_allclose(whole.predict(X, problem.first, everything), y.mean())


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_labels_have_their_share_of_the_weight_and_their_formulas_are_not_replayed(share):
    X, _ = rows(10, 6)
    names = np.array([f"L{number}" for number in range(10)])
    source_names = np.array(["L0", "L1", *[f"S{number}" for number in range(18)]])
    source = Labelled(rows(20, 7)[0], np.full(20, 100.0), groups=source_names)
    labels = Labelled(X, np.zeros(10), groups=names)
    mean = Correction("mean", ConstantRegressor(), "features", "targets", replays=True, share=share)
    problem = Problem(np.zeros(10), labels, source, np.random.default_rng(0))
    whole = cross_fit(mean, problem, np.arange(10) % 2).fit_all(1.0)
    assert whole.predictor.value_ == pytest.approx(100 * (1 - share))


def test_a_marked_correction_knows_which_rows_are_labels():
    X, y = rows(40, 1)
    source = dict(zip(("X", "y"), rows(80, 0), strict=True))
    groups = {"groups": [f"L{n}" for n in range(40)], "source_groups": [f"S{n}" for n in range(80)]}
    members = [
        Correction("joint", LINE, "features", "targets", replays=True),
        Correction("marked", LINE, "marked", "targets", replays=True),
    ]
    stack = AdaptedStackRegressor(members=members, random_state=0)
    stack.adapt(start(), X, y + 5, **source, **groups)
    assert stack.errors_["marked"] < 1e-3
    assert stack.errors_["joint"] > 1
    (kept,) = stack.members_
    assert kept.name == "marked"
    assert kept.predictor.n_features_in_ == 5
    X, y = rows(30, 2)
    np.testing.assert_allclose(stack.predict(X), y + 5, atol=1e-3)
    np.testing.assert_array_equal(restored(stack, stack._get_state()).predict(X), stack.predict(X))


def test_what_the_labels_alone_teach_is_known():
    X, y = rows(40, 1)
    stack = AdaptedStackRegressor(members=corrections(), random_state=0).adapt(start(), X, y + 5)
    assert np.abs(stack.alone_ - (y + 5)).mean() == pytest.approx(stack.errors_["alone"])
    none = AdaptedStackRegressor(members=corrections()[:2], random_state=0)
    assert none.adapt(start(), X, y + 5).alone_ is None


def test_without_caution_any_smaller_error_is_enough():
    X = rows(20, 1)[0]
    labels = start().predict(X) + 0.5 + np.random.default_rng(16).normal(size=20)
    careful, other = (
        AdaptedStackRegressor(members=corrections()[:1], cautious=cautious, random_state=0)
        for cautious in (True, False)
    )
    for stack in (careful, other):
        stack.adapt(start(), X, labels)
    assert other.error_ == careful.error_ < careful.start_error_  # by less than chance may
    assert careful.members_ == ()
    assert len(other.members_) == 1


def test_training_materials_train_corrections_but_are_never_held_out():
    X, y = rows(30, 8)
    fresh = np.arange(30) < 20
    stack = AdaptedStackRegressor(members=corrections()[:1], random_state=0)
    stack.adapt(start(), X, y + 2, fresh=fresh)
    assert stack.n_held_out_ == 20
    assert stack.out_of_fold_.rows.tolist() == list(range(20))
    none = AdaptedStackRegressor(members=corrections(), random_state=0)
    none.adapt(start(), X, y + 2, fresh=np.zeros(30, dtype=bool))
    assert none.n_held_out_ == 0
    assert np.isnan(none.error_)
    np.testing.assert_array_equal(none.predict(X), start().predict(X))


def test_no_formula_is_in_two_folds():
    X, y = rows(30, 9)
    stack = AdaptedStackRegressor(members=corrections()[:1], random_state=0)
    stack.adapt(start(), X, y + 1, groups=["A"] * 30)
    assert stack.n_held_out_ == 0  # nothing could be held out
    stack.adapt(start(), X, y + 1, groups=["A"] * 15 + ["B"] * 15)
    assert stack.n_held_out_ == 30


def test_few_labels_prefer_good_members_and_many_the_best_combination():
    rng = np.random.default_rng(0)
    y = rng.normal(size=300)
    predictions = np.stack([y + rng.normal(0.5, 1, 300), y + rng.normal(-0.5, 1, 300), 9 + y])
    few, many = (adaptation_weights(predictions[:, :n], y[:n]) for n in (8, 300))
    for found, n in ((few, 8), (many, 300)):
        errors = np.abs(predictions[:, :n] - y[:n]).mean(axis=1)
        alone = errors**-32.0 / (errors**-32.0).sum()
        share = n / (n + 30)
        expected = share * stack_weights(predictions[:, :n], y[:n]) + (1 - share) * alone
        np.testing.assert_allclose(found, expected, atol=1e-12)
        assert found.sum() == pytest.approx(1)
        assert found[2] < 0.02
    exact = adaptation_weights(np.stack([y, y + 1, y]), y)
    assert exact[1] < 1e-9
    assert exact.sum() == pytest.approx(1)


def test_fit_trains_the_model_and_adapts_it_to_target_labels():
    X, y = rows(80, 0)
    X_new, y_new = rows(30, 1)
    stack = AdaptedStackRegressor(
        RidgeRegressor(alphas=(1e-6,)), members=corrections(), random_state=0
    )
    stack.fit(X, y, X_target=X_new, y_target=y_new + 5)
    np.testing.assert_allclose(stack.predict(X_new), y_new + 5, atol=1e-3)
    plain = stack.fit(X, y).predict(X_new)
    np.testing.assert_allclose(plain, y_new, atol=1e-3)
    with pytest.raises(ConfigError, match="y_target"):
        stack.fit(X, y, X_target=X_new)
    with pytest.raises(ConfigError, match="a regressor to fit, or call adapt"):
        AdaptedStackRegressor(members=corrections()).fit(X, y)


def restored(model, state):
    found = SavedRegressor.of(model).make("cpu")
    found._set_state(state)
    return found


def test_a_saved_stack_predicts_the_same_bits_also_when_adapted_twice():
    X, y = rows(30, 1)
    once = fitted(shift=0.5)
    twice = AdaptedStackRegressor(members=corrections(), random_state=0).adapt(once, X, y - 3)
    assert twice.members_
    for model in (once, twice):
        found = restored(model, model._get_state())
        assert type(found) is AdaptedStackPredictor
        np.testing.assert_array_equal(found.predict(X), model.predict(X))
        np.testing.assert_array_equal(found.predict_std(X), model.predict_std(X))


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("weights", lambda w: w / 2, "sum 0.5"),
        ("weights", lambda w: w[:-1], "length"),
        ("bounds", lambda b: b[::-1].copy(), "cuts at"),
        ("n_features", lambda n: n + 1, "first model takes 4 features where there are 5"),
        ("sizes", lambda s: -s, "finite numbers from"),
        ("start.RidgeRegressor.coef", None, "is missing"),
    ],
)
def test_a_damaged_stack_is_refused(name, value, what):
    stack = fitted(shift=0.5)
    state = stack._get_state()
    if value is None:
        del state[name]
    else:
        state[name] = value(state[name])
    with pytest.raises(ModelFormatError, match=what):
        restored(stack, state)


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_an_overflow_of_the_first_model_is_no_error():
    stack = fitted(shift=0.5)
    state = stack._get_state()
    state["start.RidgeRegressor.coef"] = np.full(4, 1e308)
    found = restored(stack, state).predict(np.full((2, 4), 9.0))
    assert not np.isfinite(found).any()  # the row gets a reason


def test_a_name_that_nests_without_end_is_refused():
    name = "start.AdaptedStackRegressor." * 5000
    with pytest.raises(ModelFormatError, match="is unknown"):
        AdaptedStackPredictor._saved(fitted()._get_state() | {name + "weights": np.ones(1)})


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"n_folds": 1}, "n_folds = 1"),
        ({"margin": -0.1}, "margin = -0.1"),
        ({"members": [*corrections(), *corrections()]}, "different names"),
    ],
)
def test_wrong_settings_are_refused(wrong, match):
    X, y = rows(20, 1)
    stack = AdaptedStackRegressor(**{"members": corrections(), **wrong})
    with pytest.raises(ConfigError, match=match):
        stack.adapt(start(), X, y)


@pytest.mark.parametrize(
    ("n", "errors", "paid"), [(15, 1.5, False), (15, 2.5, True), (16, 1.5, True)]
)
def test_fewer_labels_must_gain_more(n, errors, paid):
    spread = np.resize([1.0, -1.0], n) - np.resize([1.0, -1.0], n).mean()
    gain = spread + errors * spread.std(ddof=1) / np.sqrt(n)
    assert pays(gain) == paid
