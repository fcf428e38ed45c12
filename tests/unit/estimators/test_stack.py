"""Stacks: weights, folds, scales, and what they say about themselves."""

import re
from typing import ClassVar
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator_toys import Picky, data
from xtalshift.errors import ConfigError, ModelFormatError, TrainingError
from xtalshift.estimators import (
    ConstantRegressor,
    ForestRegressor,
    LightGBMRegressor,
    Regressor,
    RidgeRegressor,
    StackRegressor,
    SVRegressor,
    tree_sum,
)
from xtalshift.estimators.base import Choice, Labelled
from xtalshift.estimators.stack import Member, _Work, stack_weights
from xtalshift.estimators.stack_predictor import (
    FittedMember,
    MemberScale,
    SavedMember,
    StackPredictor,
)
from xtalshift.estimators.stack_state import Finished, StackState
from xtalshift.estimators.time_budget import TimeBudget
from xtalshift.progress import NO_PROGRESS


def members():
    return [
        Member("ridge", RidgeRegressor()),
        Member("trees", LightGBMRegressor(n_estimators=40), "asinh"),
        Member("mean", ConstantRegressor()),
    ]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_weights_have_the_smallest_error_of_all_on_a_grid(seed, weighted):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=40)
    predictions = np.stack(
        [y + rng.normal(1, 1, 40), y + rng.normal(-1, 2, 40), rng.normal(size=40)]
    )
    share = rng.uniform(0, 3, 40) if weighted else None
    found = stack_weights(1e-9 * predictions, 1e-9 * y, share)
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()

    def error(weights):
        return np.average(np.abs(weights @ predictions - y), weights=share)

    steps = np.linspace(0, 1, 101)
    grid = [np.array([a, b, 1 - a - b]) for a in steps for b in steps if a + b <= 1 + 1e-9]
    best = min(grid, key=error)
    assert error(found) <= error(best) + 1e-9
    assert error(found) >= error(best) - 0.02  # what lies between the points of the grid


def test_a_perfect_member_takes_all_the_weight():
    y = np.arange(20.0)
    np.testing.assert_allclose(stack_weights(np.stack([y, y[::-1]]), y), [1, 0], atol=1e-9)
    assert stack_weights(y[None], y).tolist() == [1]
    nearly = np.stack([y + 1e-12 * np.sin(y), y[::-1], 1e9 * y])
    np.testing.assert_allclose(stack_weights(nearly, y), [1, 0, 0], atol=1e-9)


@given(
    st.lists(st.floats(-1e6, 1e6).filter(lambda v: v == 0 or abs(v) > 1e-6), min_size=1),
    st.sampled_from(["none", "asinh"]),
)
def test_scales_are_inverted_and_monotonic(values, name):
    y = np.array(values)
    scale = MemberScale.of(name, y)
    z = scale.forward(y)
    np.testing.assert_allclose(scale.inverse(z), y, rtol=1e-9, atol=1e-12)
    assert (np.diff(z[np.argsort(y)]) >= 0).all()


def test_the_size_of_a_scale_is_a_small_target():
    y = np.concatenate([np.zeros(50), -np.arange(1.0, 12.0)])
    assert MemberScale.of("asinh", y) == MemberScale("asinh", 2.0)
    assert MemberScale.of("asinh", np.zeros(3)) == MemberScale("asinh", 1.0)
    far = MemberScale("asinh", 2.0).inverse(np.array([1e9, -1e9]))
    assert far.tolist() == [np.inf, -np.inf]  # a stack cuts it


class Watched(RidgeRegressor):
    """Keeps the row numbers, which are its only feature, that it was fitted to."""

    seen: ClassVar[list[set[int]]] = []

    def cross_fit(self, data, folds):
        return Regressor.cross_fit(self, data, folds)

    @property
    def selects(self):
        return False

    def _fit(self, data):
        self.seen.append(set(data.train.X[:, 0].astype(int)))
        super()._fit(data)


def test_a_row_is_predicted_by_fits_to_other_formulas_and_all_rows_fit_the_last():
    Watched.seen.clear()
    X = np.arange(60.0)[:, None]
    names = np.array([f"F{number // 3}" for number in range(60)])
    y = X[:, 0] ** 2
    stack = StackRegressor([Member("all", Watched())], n_folds=4, random_state=0)
    stack.fit(X[:45], y[:45], groups=names[:45], X_val=X[45:], y_val=y[45:], val_groups=names[45:])
    *folds, whole = Watched.seen
    assert len(folds) == 4
    assert whole == set(range(60))
    left_out = [whole - fold for fold in folds]
    assert set().union(*left_out) == whole
    assert sum(map(len, left_out)) == 60  # each row once
    for rows in left_out:
        assert len({names[row] for row in rows}) * 3 == len(rows)  # whole formulas
    found = stack.out_of_fold_
    np.testing.assert_array_equal(found.rows, np.arange(60))
    assert stack.errors_["all"] == pytest.approx(np.abs(found.center - y).mean())
    np.testing.assert_allclose(found.std, stack.least_std_)
    assert stack.least_std_ == pytest.approx(0.1 * stack.errors_["all"])


def test_of_many_rows_some_are_predicted(monkeypatch):
    monkeypatch.setattr("xtalshift.estimators.stack.FULL_FOLDS", 40)
    X, y = data(200)
    stack = StackRegressor(members(), random_state=0).fit(X, y)
    assert len(stack.out_of_fold_.rows) == 40
    assert set(stack.errors_) == {"ridge", "trees", "mean"}
    assert np.abs(stack.predict(X) - y).mean() < 0.3 * np.abs(y - y.mean()).mean()


@pytest.mark.parametrize("predicted", [40, 200])
def test_weights_that_did_not_see_a_row_come_from_the_other_folds(monkeypatch, predicted):
    monkeypatch.setattr("xtalshift.estimators.stack.FULL_FOLDS", predicted)
    X, y = data(200)
    names = np.array([f"F{number // 2}" for number in range(200)])
    stack = StackRegressor(members(), random_state=0).fit(X, y, groups=names)
    # the rows held out for validation follow those that train
    found = stack.out_of_fold_
    told = {tuple(row): target for row, target in zip(X.tolist(), y, strict=True)}
    order, seen = [], []

    class Reading(ConstantRegressor):
        def cross_fit(self, given, folds):
            order[:] = [tuple(row) for row in given.train.X.tolist()]
            seen[:] = given.train.groups.tolist()
            return super().cross_fit(given, folds)

    StackRegressor([*members(), Member("reading", Reading())], random_state=0).fit(
        X, y, groups=names
    )
    targets = np.array([told[order[row]] for row in found.rows])
    groups = np.array([seen[row] for row in found.rows])
    values = found.without_own_weights(targets, groups)
    assert found.members.shape == (3, len(found.rows))
    parts = found.folds
    if predicted == 40:  # one fold: its formulas are dealt into five parts
        assert len(set(parts)) == 1
        parts = np.unique(groups, return_inverse=True)[1] % 5
    assert len(set(parts)) == 5
    for part in set(parts):
        out = parts == part
        weights = stack_weights(found.members[:, ~out], targets[~out])
        weights = np.where(weights < 0.03, 0, weights)
        kept = np.flatnonzero(weights)
        weights = stack_weights(found.members[kept][:, ~out], targets[~out])
        np.testing.assert_allclose(values[out], weights @ found.members[kept][:, out])
        assert not set(groups[out]) & set(groups[~out])
    # the weights of all rows minimise the error of these rows, others do not
    own = np.abs(found.center - targets).mean()
    assert own <= np.abs(values - targets).mean() < 1.2 * own


def test_a_stack_predicts_the_weighted_mean_of_its_members_and_their_spread():
    X, y = data(120)
    stack = StackRegressor(members(), random_state=0).fit(X, y)
    assert "mean" not in [one.name for one in stack.members_]
    found, weights = stack.predict_members(X), stack.weights_
    assert weights.sum() == pytest.approx(1)
    center, std = stack.predict_with_std(X)
    np.testing.assert_allclose(center, weights @ found)
    np.testing.assert_array_equal(center, stack.predict(X))
    spread = np.sqrt(weights @ (found - weights @ found) ** 2)
    np.testing.assert_allclose(std, spread + stack.least_std_)
    said = stack.describe_members()
    assert [one["name"] for one in said][-1] == "mean"
    assert said[-1]["weight"] == 0
    assert said[-1]["mae"] > said[0]["mae"]
    assert [one["weight"] for one in said] == sorted((one["weight"] for one in said), reverse=True)


def test_predictions_are_cut_at_half_a_range_beyond_the_targets():
    X = np.linspace(0, 1, 40)[:, None]
    stack = StackRegressor([Member("ridge", RidgeRegressor(alphas=(1e-6,)))], random_state=0)
    stack.fit(X, 10 * X[:, 0])
    np.testing.assert_allclose(stack.predict([[1.2], [9.0], [-9.0]]), [12, 15, -5], rtol=1e-3)


def test_a_member_that_fails_is_left_out_and_named():
    X, y = data(10)
    picky = [Member("picky", Picky()), Member("ridge", RidgeRegressor())]
    stack = StackRegressor(picky, n_folds=2, random_state=0).fit(X, y)
    assert stack.failures_ == {"picky": "10 rows are an unlucky number"}
    assert stack.describe_members()[-1] == {
        "name": "picky",
        "weight": 0.0,
        "mae": None,
        "left_out": "10 rows are an unlucky number",
    }
    assert [one.name for one in stack.members_] == ["ridge"]
    with pytest.raises(TrainingError, match="no member could be fitted: 10 rows"):
        StackRegressor(picky[:1], n_folds=2, random_state=0).fit(X, y)


def test_with_too_few_rows_members_have_equal_weights():
    X, y = data(9)
    stack = StackRegressor(members(), random_state=0).fit(X, y)
    np.testing.assert_allclose(stack.weights_, 1 / 3)
    assert stack.out_of_fold_ is None
    X, y = data(20)
    one = StackRegressor(members(), random_state=0)
    one.fit(X[:15], y[:15], groups=["A"] * 15, X_val=X[15:], y_val=y[15:], val_groups=["A"] * 5)
    np.testing.assert_allclose(one.weights_, 1 / 3)


def test_no_fold_has_more_rows_than_are_needed(monkeypatch):
    monkeypatch.setattr("xtalshift.estimators.stack.FULL_FOLDS", 10)
    stack = StackRegressor(members(), random_state=0).fit(*data(200))
    assert len(stack.out_of_fold_.rows) == 10  # one of 20 folds


def test_members_with_little_weight_are_left_out_and_the_others_weighed_again():
    rng = np.random.default_rng(0)
    y = rng.normal(size=400)
    found = {name: y + rng.normal(0, size, 400) for name, size in (("a", 1), ("b", 1), ("c", 6))}
    full = stack_weights(np.stack(list(found.values())), y)
    assert 0 < full[2] < 0.03
    views = {name: Member(name, RidgeRegressor()) for name in found}
    state = StackState(None, 400, {}, "cpu")
    state.finished |= {name: Finished(p, Choice(0), 1.0) for name, p in found.items()}
    rows = Labelled(np.zeros((400, 1)), y)
    weights = _Work(views, rows, np.zeros(400, dtype=np.int64), TimeBudget(None), state).weigh()
    assert list(weights) == ["a", "b"]
    again = stack_weights(np.stack([found["a"], found["b"]]), y)
    np.testing.assert_allclose(list(weights.values()), again)


def test_members_for_fewer_rows_are_left_out():
    some = [*members(), Member("few", RidgeRegressor(), max_rows=40)]
    assert "few" in StackRegressor(some, random_state=0).fit(*data(40)).errors_
    assert "few" not in StackRegressor(some, random_state=0).fit(*data(41)).errors_


def test_members_that_need_more_rows_are_left_out():
    X, y = data(40)
    some = [*members(), Member("many", RidgeRegressor(), min_rows=41)]
    assert "many" not in StackRegressor(some, random_state=0).fit(X, y).errors_
    X, y = data(41)
    assert "many" in StackRegressor(some, random_state=0).fit(X, y).errors_


BLOCKS = {"one": range(2), "two": range(2, 4)}  # and a column of the user


def by_blocks():
    return [
        Member("all", RidgeRegressor()),
        Member("some", RidgeRegressor(), without=frozenset({"two"})),
        Member("needs", ConstantRegressor(), needs=frozenset({"two"})),
    ]


def test_a_member_sees_its_blocks_and_the_columns_of_the_user():
    X = np.random.default_rng(0).normal(size=(60, 5))
    y = X[:, 0] + 0.3 * X[:, 2]
    with patch("xtalshift.estimators.stack.stack_weights", return_value=np.full(3, 1 / 3)):
        stack = StackRegressor(by_blocks(), random_state=0).fit(X, y, blocks=BLOCKS)
    alone = RidgeRegressor().fit(X[:, [0, 1, 4]], y, X_val=X[:5, [0, 1, 4]], y_val=y[:5])
    some = stack.members_[1]
    assert some.columns.tolist() == [True, True, False, False, True]
    np.testing.assert_allclose(some.predictor.scaler_.mean_, alone.scaler_.mean_)
    changed = X + np.array([0, 0, 9, 9, 0])
    before, after = stack.predict_members(X), stack.predict_members(changed)
    np.testing.assert_array_equal(after[1], before[1])
    assert np.abs(after[0] - before[0]).min() > 0.1
    far = X + np.array([0, 0, 99, 0, 0])
    assert stack.n_clipped(far).tolist() == [1] * 60  # of the first member
    state = stack._get_state()
    saved = [SavedMember(**one) for one in stack._saved_parameters()["members"]]
    loaded = StackPredictor(saved)
    loaded._set_state(state)
    np.testing.assert_array_equal(loaded.predict(X), stack.predict(X))
    state["columns"][1, 3] = True
    with pytest.raises(ModelFormatError, match="takes 3 features, the stack gives it 4"):
        StackPredictor(saved)._set_state(state)


def test_a_member_knows_where_its_blocks_are_among_its_columns():
    X = np.random.default_rng(0).normal(size=(60, 6))
    blocks = {"one": range(2), "two": range(2, 3), "three": range(3, 4)}  # and two of the user
    kernel = SVRegressor(emphasis=("one", "three"))
    stack = StackRegressor(
        [Member("a", kernel, without=frozenset({"one"})), Member("b", kernel)], random_state=0
    )
    with patch("xtalshift.estimators.stack.stack_weights", return_value=np.full(2, 0.5)):
        stack.fit(X, X[:, 0] + X[:, 3], blocks=blocks)
    stretch = [one.predictor.stretch_**2 for one in stack.members_]
    np.testing.assert_allclose(stretch[0], [2 / 3, 2, 2 / 3, 2 / 3])
    np.testing.assert_allclose(stretch[1], 1.0)  # three of six


def test_members_without_their_block_are_left_out():
    X, y = data(40)
    stack = StackRegressor(by_blocks(), random_state=0)
    X = np.hstack([X, X])[:, :4]
    assert set(stack.fit(X, y).errors_) == {"all", "some"}
    one = {"one": range(4)}
    assert set(stack.fit(X, y, blocks=one).errors_) == {"all", "some"}
    two = {"two": range(4)}
    assert set(stack.fit(X, y, blocks=two).errors_) == {"all", "needs"}
    with pytest.raises(ConfigError, match="no member of the stack uses the features two"):
        StackRegressor(by_blocks()[1:2], random_state=0).fit(X, y, blocks=two)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"members": []}, "members with different names"),
        ({"members": [*members(), *members()]}, "members with different names"),
        ({"members": [Member("a", RidgeRegressor(), min_rows=2)]}, "for any number of rows"),
        ({"members": [Member("a", RidgeRegressor(), max_rows=9)]}, "for any number of rows"),
        ({"n_folds": 1}, "n_folds = 1; expected at least 2"),
        ({"margin": -1.0}, "margin = -1.0; expected a number from 0"),
        ({"minutes": 0.0}, "minutes = 0.0; expected a positive number"),
    ],
)
def test_what_is_wrong_is_named(wrong, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        StackRegressor(**{"members": members(), **wrong}).fit(*data(30))


def learned(n, fresh_error, seed=0):
    """Return rows whose last column is learned: the target itself where it has been seen."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    y = X[:, 0] + 0.3 * rng.normal(size=n)
    fresh = np.arange(n) % 4 == 0
    X[:, 2] = np.where(fresh, fresh_error * rng.normal(size=n), y)
    return X, y, fresh


LEARNED_BLOCKS = {"magpie": range(2), "pretrained": range(2, 3)}
LEAKING = [
    Member("plain", RidgeRegressor(), without=frozenset({"pretrained"})),
    Member("learned", RidgeRegressor(), without=frozenset({"magpie"})),
]


def test_rows_that_learned_features_have_seen_judge_no_member():
    X, y, fresh = learned(240, fresh_error=1.0)
    honest, fooled = (
        StackRegressor(LEAKING, random_state=0).fit(X, y, blocks=LEARNED_BLOCKS, fresh=mask)
        for mask in (fresh, None)
    )
    judged = honest.out_of_fold_.rows
    assert len(judged) == 60
    weights = [{one.name: one.weight for one in stack.members_} for stack in (honest, fooled)]
    assert weights[0]["plain"] > 0.9
    assert weights[1]["learned"] > 0.1
    new, target, _ = learned(200, fresh_error=1.0, seed=1)
    new[:, 2] = np.random.default_rng(2).normal(size=200)  # materials that were never seen
    errors = [np.abs(stack.predict(new) - target).mean() for stack in (honest, fooled)]
    assert errors[0] < errors[1]


def test_learned_features_that_cannot_be_judged_are_left_out():
    X, y, fresh = learned(116, fresh_error=0.0)  # 29 are fresh
    members = [*LEAKING[:1], Member("all", RidgeRegressor()),
               Member("needs", RidgeRegressor(), needs=frozenset({"pretrained"}))]  # fmt: skip
    said = []
    stack = StackRegressor(members, random_state=0)
    with patch.object(type(NO_PROGRESS), "say", lambda _, text: said.append(text)):
        stack.fit(X, y, blocks=LEARNED_BLOCKS, fresh=fresh)
    (text,) = said
    assert text.startswith("The pretrained features are left out: fewer than 30 materials are new")
    assert len(stack.out_of_fold_.rows) == 116
    assert stack.errors_["all"] == pytest.approx(stack.errors_["plain"])
    assert "needs" not in stack.errors_
    moved = X.copy()
    moved[:, 2] += 9
    np.testing.assert_array_equal(stack.predict(moved), stack.predict(X))


@pytest.mark.parametrize("threshold", [0.025, 0.0])
def test_members_that_have_seen_nearly_all_rows_are_not_fitted_again(monkeypatch, threshold):
    monkeypatch.setattr("xtalshift.estimators.stack.FULL_FOLDS", 5)
    monkeypatch.setattr("xtalshift.estimators.stack.FEW_HELD_OUT", threshold)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    y = X[:, 0] + np.abs(X[:, 1]) + 0.1 * rng.normal(size=200)
    members = [
        Member("ridge", RidgeRegressor()),
        Member("trees", LightGBMRegressor(n_estimators=40), "asinh"),
        Member("forest", ForestRegressor(n_estimators=5)),
        Member("kernel", SVRegressor(gammas=(0.3,)), "asinh"),
    ]
    for one in members:  # each alone, so that it has a weight
        stack = StackRegressor([one], random_state=0)
        stack.fit(X[:180], y[:180], X_val=X[180:], y_val=y[180:])
        own = stack.out_of_fold_
        assert len(own.rows) == 5
        same = np.allclose(stack.predict(X[own.rows]), own.center, rtol=1e-12)
        assert same == (threshold > 0)


def test_trees_of_members_are_summed_together_for_many_rows(monkeypatch):
    X, y = data(80)
    made = [
        *((name, LightGBMRegressor(n_estimators=40)) for name in ("none", "asinh", "none")),
        ("none", RidgeRegressor()),
    ]
    stack = StackRegressor(members(), random_state=0).fit(X, y)
    everyone = []
    for place, (name, regressor) in enumerate(made):
        scale = MemberScale.of(name, y)
        columns = np.arange(X.shape[1]) >= (2 if place == 2 else 0)
        fitted = regressor.fit(X[:, columns], scale.forward(y))
        everyone.append(FittedMember(f"{place}", 0.25, scale, columns, fitted))
    stack.members_ = tuple(everyone)
    few = stack.predict_members(X)
    assert stack._together is None
    monkeypatch.setattr(tree_sum, "MANY_ROWS", len(X))
    np.testing.assert_array_equal(stack.predict_members(X), few)
    assert stack._together[1] == (0, 1, 2)
    stack.members_ = tuple(everyone[1:])
    np.testing.assert_array_equal(stack.predict_members(X), few[1:])
    assert stack._together[1] == (0, 1)
