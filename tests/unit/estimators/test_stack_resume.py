"""A stack that is stopped continues with the next member and ends with the same bits."""

import re

import numpy as np
import pytest

from estimator_toys import NETWORK, Picky, data
from xtalshift.errors import TrainingError
from xtalshift.estimators import (
    ConstantRegressor,
    ForestRegressor,
    IRNetRegressor,
    LightGBMRegressor,
    NeighborsRegressor,
    RidgeRegressor,
    StackRegressor,
    SVRegressor,
)
from xtalshift.estimators import stack as stack_module
from xtalshift.estimators.stack import Member
from xtalshift.nn import checkpoint as checkpoints
from xtalshift.nn.checkpoint import Checkpoint

X, Y = data(60)
NAMES = ("forest", "mean", "network", "neighbors", "picky", "ridge", "svr", "trees")


def make(*, n_rows=10, **changed):
    """Return a stack with each kind of choice, a member that fails and one that cannot be saved."""
    settings = {"architecture": (4,), "epochs": 2, "weights": "last"}
    members = [
        Member("ridge", RidgeRegressor()),
        Member("trees", LightGBMRegressor(n_estimators=20), "asinh"),
        Member("svr", SVRegressor(max_rows=30)),
        Member("picky", Picky(), min_rows=n_rows),
        Member("neighbors", NeighborsRegressor()),
        Member("forest", ForestRegressor(n_estimators=3)),
        Member("mean", ConstantRegressor()),
        Member("network", IRNetRegressor(**NETWORK | settings)),
    ]
    how = {"n_folds": 3, "random_state": 0, "device": "cpu"} | changed
    return StackRegressor(how.pop("members", members), **how)


class Fails(ConstantRegressor):
    """Cannot be fitted."""

    def _fit(self, data):
        raise TrainingError("it is out of order")


@pytest.fixture(autouse=True)
def equal_weights(monkeypatch):
    """Every member has a weight, so that all are fitted to all rows."""
    monkeypatch.setattr(stack_module, "stack_weights", lambda P, *_: np.full(len(P), 1 / len(P)))


def learned(stack):
    """Return everything that a stack has learned, and its predictions."""
    found = {"said": repr(stack.describe_members()), "failed": stack.failures_}
    for one in stack.members_:
        if one.name != "neighbors":
            arrays = one.predictor._get_state()
            found |= {f"{one.name} {name}": value.tobytes() for name, value in arrays.items()}
    out = stack.out_of_fold_
    return found, [a.tobytes() for a in (out.center, out.std, stack.predict_members(X))]


class Stopping(Checkpoint):
    """Stops the fit after a number of writings, as Ctrl-C does."""

    left = 0

    def save(self, state):
        super().save(state)
        type(self).left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture
def stop_after(monkeypatch):
    """Return a function that fits a stack until it has written so many times."""

    def fit(stack, path, times):
        with monkeypatch.context() as patch:
            patch.setattr(Stopping, "left", times)
            patch.setattr(checkpoints, "Checkpoint", Stopping)
            with pytest.raises(KeyboardInterrupt):
                stack.fit(X, Y, checkpoint=path)

    return fit


def with_failing():
    stack = make()
    members = [*stack.members[:3], Member("broken", Fails()), *stack.members[4:]]
    return stack.set_params(members=members)


@pytest.fixture(scope="module")
def undisturbed():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack_module, "stack_weights", lambda P, *_: np.full(len(P), 1 / len(P)))
        return learned(with_failing().fit(X, Y))


@pytest.mark.parametrize("times", range(1, 16))  # 8 cross-fits, 7 fits to all rows
def test_a_stack_stopped_anywhere_ends_with_the_same_bits(
    times, tmp_path, stop_after, undisturbed, monkeypatch
):
    path = tmp_path / "state"
    stop_after(with_failing(), path, times)
    assert path.exists()
    calls = []
    for kind in (RidgeRegressor, LightGBMRegressor, SVRegressor, ForestRegressor, IRNetRegressor):
        for name in ("cross_fit", "fit_chosen"):
            original = getattr(kind, name)

            def spy(self, *given, kind=kind, name=name, original=original):
                calls.append((kind.__name__, name))
                return original(self, *given)

            monkeypatch.setattr(kind, name, spy)
    stack = with_failing().fit(X, Y, checkpoint=path)
    assert learned(stack) == undisturbed
    assert not path.exists()
    # nothing that was finished is done again
    assert ("RidgeRegressor", "cross_fit") not in calls
    assert (("IRNetRegressor", "cross_fit") in calls) == (times < 8)
    assert (("RidgeRegressor", "fit_chosen") in calls) == (times < 9)


def test_a_stack_stopped_again_and_again_ends_with_the_same_bits(tmp_path, stop_after, undisturbed):
    path = tmp_path / "state"
    for _ in range(4):
        stop_after(with_failing(), path, 3)
    assert learned(with_failing().fit(X, Y, checkpoint=path)) == undisturbed


@pytest.mark.parametrize("changed", ["rows", "seed", "folds", "settings", "member"])
def test_the_state_of_another_stack_is_refused(changed, tmp_path, stop_after):
    path = tmp_path / "state"
    stop_after(with_failing(), path, 2)
    content = path.read_bytes()
    other, y = with_failing(), Y
    if changed == "rows":
        y = np.append(Y[:-1], Y[-1] + 1e-9)
    elif changed == "seed":
        other.random_state = 1
    elif changed == "folds":
        other.n_folds = 4
    elif changed == "settings":
        other.members[1].regressor.learning_rate = 0.06
    else:
        other.members = other.members[1:]
    with pytest.raises(TrainingError, match=re.escape(f"{path} is the checkpoint of a training")):
        other.fit(X, y, checkpoint=path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda s: s.pop("failures"), "does not have the parts"),
        (lambda s: s.update(seconds=float("nan")), "seconds is no finite float"),
        (lambda s: s["finished"].update(other=s["finished"]["svr"]), "no member 'other'"),
        (lambda s: s["finished"]["svr"]["choice"].neg_(), "svr has a negative number"),
        (lambda s: s["finished"]["svr"]["predictions"].fill_(np.inf), "numbers that are not fin"),
        (lambda s: s["failures"].update(svr=3), "svr is no finite str"),
        (lambda s: s["fitted"].update(svr=s["fitted"]["ridge"]), "a RidgeRegressor where a SVR"),
        (lambda s: s["fitted"]["ridge"]["arrays"].pop("coef"), "the array 'coef' is missing"),
        (lambda s: s["fitted"]["ridge"]["regressor"].pop("class"), "class"),
        (lambda s: s["fitted"].update(other=s["fitted"]["ridge"]), "'other'"),
    ],
)
def test_a_state_that_this_stack_cannot_have_written_is_refused(
    change, why, tmp_path, stop_after, monkeypatch
):
    path = tmp_path / "state"
    stop_after(with_failing(), path, 9)

    def load(self, device):
        state = Checkpoint.load(self, device)
        change(state)
        return state

    monkeypatch.setattr(checkpoints, "Checkpoint", type("Changed", (Checkpoint,), {"load": load}))
    with pytest.raises(TrainingError, match=why):
        with_failing().fit(X, Y, checkpoint=path)
    assert path.exists()


def test_a_full_disk_does_not_end_a_fit(tmp_path, undisturbed):
    path = tmp_path / "file"
    path.write_text("no folder")
    stack = with_failing().fit(X, Y, checkpoint=path / "state")
    assert learned(stack) == undisturbed
