"""What every training shares: loss log, selection, rollback, and going on from a checkpoint."""

import math
from contextlib import nullcontext
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference.cal_problems import make_rows, seeded
from xtalshift.cal.attack import attack
from xtalshift.cal.loop import CALTraining
from xtalshift.cal.settings import CALConfig
from xtalshift.errors import TrainingError
from xtalshift.nn.checkpoint import Checkpoint, copy_state
from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.irnet import IRNet
from xtalshift.nn.objectives.joint import JointTraining
from xtalshift.nn.rows import Rows, TrainingData
from xtalshift.nn.settings import ERMConfig
from xtalshift.nn.training import LossLog, Selection, run_training

ROWS = make_rows(22, 4, seed=1, weighted=True)
VALIDATION = make_rows(9, 4, seed=2)
TARGET = make_rows(7, 4, seed=3)
EPOCHS = 6
ERM = ERMConfig(epochs=EPOCHS, batch_size=6, learning_rate=1e-2)  # four batches per epoch


def network(members=None, kind=IRNet, dropout=0.3):
    generators = seeded() if members is None else [seeded(m) for m in range(members)]
    return kind(4, (5, 3), dropout, generators).double()


def assert_same(one, other):
    """Compare nested values bit by bit."""
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            assert_same(first, second)
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    else:
        assert (type(one), one) == (type(other), other)


LOSSES = st.tuples(
    st.sampled_from(["ERM", "CAL"]),
    st.floats(0, 10) | st.sampled_from([10.0, 10.001, 1e30, math.inf, math.nan]),
    st.integers(1, 9),
)


@given(added=st.lists(LOSSES, min_size=1, max_size=12), epoch=st.integers(0, 99))
def test_the_first_bad_loss_in_time_is_named(added, epoch):
    log = LossLog(limit=10.0)
    counts, first = {"ERM": 0, "CAL": 0}, None
    for part, loss, n_rows in added:
        log.add(part, torch.tensor(loss, dtype=torch.float64), n_rows)
        if first is None and not loss <= 10.0:
            first = f"the loss became {loss:.3g} in epoch {epoch}, batch {counts[part]} ({part})"
        counts[part] += 1
    if first is not None:
        with pytest.raises(TrainingError) as caught:
            log.close(epoch)
        assert str(caught.value) == first
        return
    for part, mean in log.close(epoch).items():
        rows = [(loss, n) for name, loss, n in added if name == part]
        expected = sum(loss * n for loss, n in rows) / sum(n for _, n in rows)
        assert mean == pytest.approx(expected, abs=1e-12)


def test_the_loss_of_an_ensemble_is_that_of_its_mean_member():
    log = LossLog(limit=10.0)
    log.add("ERM", torch.tensor(24.0), 5)  # a sum over three members
    assert log.close(0, members=3) == {"ERM": 8.0}
    log.add("ERM", torch.tensor(31.0), 5)
    with pytest.raises(TrainingError, match=r"became 10\.3 in epoch 1, batch 1 \(ERM\)"):
        log.close(1, members=3)


def test_the_limit_is_a_thousand_times_the_loss_of_the_mean():
    x = torch.zeros(4, 4)
    rows = Rows(x, torch.tensor([-5.0, 5.0, -5.0, 5.0]))  # Huber loss 4.5 of the mean, 0
    assert ERMTraining(network().float(), rows, ERM, seeded()).loss_limit == 4500.0
    small = Rows(x, torch.full((4,), 0.1))
    assert ERMTraining(network().float(), small, ERM, seeded()).loss_limit == 1000.0


class Members(torch.nn.Module):
    """Parameters that tell the epoch and the member: one per member, and a matrix each."""

    def __init__(self, members):
        super().__init__()
        self.a = torch.nn.Parameter(torch.zeros(members))
        self.b = torch.nn.Parameter(torch.zeros(members, 2, 3))

    def set_epoch(self, epoch):
        numbers = 100.0 * epoch + torch.arange(len(self.a))
        with torch.no_grad():
            self.a.copy_(numbers)
            self.b.copy_(numbers[:, None, None].expand_as(self.b))


@given(
    errors=st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=1, max_size=9),
    patience=st.integers(1, 4),
)
def test_each_member_keeps_its_own_first_best_epoch(errors, patience):
    model, selection = Members(3), Selection(patience)
    assert not selection.should_stop(0)  # nothing could be selected yet
    for epoch, row in enumerate(errors):
        model.set_epoch(epoch)
        selection.update(epoch, torch.tensor(row, dtype=torch.float64), model)
        columns = list(zip(*errors[: epoch + 1], strict=True))
        best = [column.index(min(column)) for column in columns]
        assert selection.best_epoch.tolist() == best
        assert selection.best_error.tolist() == [min(column) for column in columns]
        assert selection.best["a"].tolist() == [100 * e + m for m, e in enumerate(best)]
        assert selection.best["b"].amin(dim=(1, 2)).tolist() == selection.best["a"].tolist()
        assert selection.best["b"].amax(dim=(1, 2)).tolist() == selection.best["a"].tolist()
        assert selection.should_stop(epoch) == (epoch - max(best) >= patience)


class Flaky(IRNet):
    """Predicts `value` in the given forward passes of training and of validation."""

    bad: frozenset = frozenset()
    bad_validation: frozenset = frozenset()
    value = math.nan
    calls = 0
    checks = 0

    def forward(self, x, generator=None):
        if generator is not None:
            self.calls += 1
            wrong = self.calls - 1 in self.bad
        else:
            self.checks += 1
            wrong = self.checks - 1 in self.bad_validation
        return super().forward(x, generator) + (self.value if wrong else 0.0)


def watched(kind):
    """Return `kind` that keeps its state at the start of every epoch."""

    class Watched(kind):
        def run_epoch(self, epoch):
            vars(self).setdefault("starts", []).append((epoch, copy_state(self.get_state())))
            return super().run_epoch(epoch)

    return Watched


def states_of_repeated_epoch(training):
    """Return the state before the epoch that was undone, and before it was repeated."""
    epochs = [epoch for epoch, _ in training.starts]
    (second,) = [k for k in range(1, len(epochs)) if epochs[k] == epochs[k - 1]]
    before, again = training.starts[second - 1][1], training.starts[second][1]
    assert (before.pop("step_scale"), again.pop("step_scale")) == (1.0, 0.1)
    return before, again


class Said:
    """A listener that keeps what is said."""

    def __init__(self):
        self.lines = []

    def task(self, name, total):
        return nullcontext(self)

    def advance(self, steps=1, **info):
        pass

    def say(self, text):
        self.lines.append(text)


def run(training, checkpoint=None, **options):
    options = {"epochs": EPOCHS, "patience": EPOCHS, "name": "T", **options}
    return run_training(training, VALIDATION, checkpoint=checkpoint, **options)


FAULTS = [
    ({"bad": {9}}, "the loss became nan in epoch 2, batch 1 (ERM)"),
    ({"bad": {11}, "value": math.inf}, "the loss became inf in epoch 2, batch 3 (ERM)"),
    ({"bad": {8}, "value": 1e9}, "the loss became 1e+09 in epoch 2, batch 0 (ERM)"),
    ({"bad_validation": {2}}, "the validation error became nan in epoch 2"),
    ({"bad_validation": {2}, "value": -1e9}, "the validation error became 1e+09 in epoch 2"),
]


@pytest.mark.parametrize(("fault", "reason"), FAULTS, ids=[reason for _, reason in FAULTS])
def test_one_bad_epoch_is_undone_to_the_bit_and_repeated_with_small_steps(fault, reason):
    model = network(kind=Flaky)
    vars(model).update(fault)
    training, said = watched(ERMTraining)(model, ROWS, ERM, seeded()), Said()
    result = run(training, progress=said)
    assert said.lines == [f"T: {reason}; epoch repeated with steps 0.1 times as large"]
    assert [epoch for epoch, _ in training.starts] == [0, 1, 2, 2, 3, 4, 5]
    before, again = states_of_repeated_epoch(training)
    assert_same(again, before)
    assert [record["epoch"] for record in result.history] == list(range(EPOCHS))

    # the same as two usual epochs and then small steps: nothing of the bad epoch is left
    class Careful(ERMTraining):
        def run_epoch(self, epoch):
            self.step_scale = 1.0 if epoch < 2 else 0.1
            return super().run_epoch(epoch)

    assert_same(vars(run(Careful(network(), ROWS, ERM, seeded()))), vars(result))


def test_small_steps_move_a_tenth_as_far():
    moved = []
    for scale in (1.0, 0.1):
        model = network()
        start = model.head.bias.detach().clone()
        training = ERMTraining(model, ROWS, ERMConfig(batch_size=22, weight_decay=0), seeded())
        training.step_scale = scale
        training.run_epoch(0)
        moved.append(float((model.head.bias.detach() - start).abs()))
    assert moved[1] == pytest.approx(0.1 * moved[0])


@pytest.mark.parametrize(
    ("fault", "reason"),
    [({"bad": {9, 18}}, r"nan in epoch 3, batch 2 \(ERM\)"),
     ({"bad": {9, 13}}, r"nan in epoch 2, batch 1 \(ERM\)"),
     ({"bad": {9}, "bad_validation": {3}}, "validation error became nan in epoch 3"),
     ({"bad_validation": {2, 3}}, "validation error became nan in epoch 2")],
)  # fmt: skip
def test_a_second_bad_epoch_is_an_error_with_place_and_remedy(fault, reason):
    model = network(kind=Flaky)
    vars(model).update(fault)
    remedy = r", for the second time although .* 0\.1 times .*smaller learning_rate.*outliers"
    with pytest.raises(TrainingError, match=reason + remedy):
        run(ERMTraining(model, ROWS, ERM, seeded()))


def test_a_bad_attack_is_undone_with_all_that_cal_learned():
    calls = []

    def attacker(model, rows, state, config):
        calls.append(1)
        found = attack(model, rows, state, config)
        if len(calls) != 9:
            return found
        return replace(found, rows=replace(found.rows, x=found.rows.x * math.nan))

    config, said = CALConfig.from_dict(CAL_CASES["cal"]), Said()
    data = TrainingData(ROWS, VALIDATION)
    training = watched(CALTraining)(network(), data, config, seeded(), attacker=attacker)
    run(training, progress=said)
    (line,) = said.lines
    assert "the loss became nan in epoch" in line
    assert "(CAL); epoch repeated" in line
    before, again = states_of_repeated_epoch(training)
    assert_same(again, before)
    assert before["cal"]["steps"] > 0
    assert not bool((before["cal"]["weights"] == 1.0).all())


class Killed(Exception):  # noqa: N818 - a kill is no error
    pass


@dataclass
class Deadly(Checkpoint):
    """Writes after every epoch; kills the training after the writing number `last`."""

    seconds: float = 0.0
    last: int = 0

    def save(self, state):
        super().save(state)
        self.last -= 1
        if self.last == 0:
            raise Killed


CAL = {"epochs": EPOCHS, "batch_size": 6, "environments": "random"}
CAL_CASES = {
    # weights fall below 0 and freeze; dropout ends and the average begins in between
    "paper": {**CAL, "preset": "paper", "warmup_epochs": 1, "resample_every": 2,
              "partial_batches": 2, "weight_init": 50.0, "dropout_epochs": 3, "ema_start": 2,
              "theta_steps": 2, "attack_steps": 3, "attack_step_size": 0.05},
    # the update of the weights falls anywhere in an epoch, the ranking lasts for several
    "cal": {**CAL, "preset": "cal", "warmup_epochs": 1, "resample_every": 3, "weight_every": 3,
            "partial_fraction": 0.6},
    "cal, fresh": {**CAL, "preset": "cal", "warmup_epochs": 1, "theta_optimizer": "fresh",
                   "weight_every": 1},
}  # fmt: skip


def make_training(case):
    """Return a training at its start."""
    if case == "ERM":
        return ERMTraining(network(), ROWS, ERM, seeded())
    if case == "ERM, last layer, l2-sp":
        return ERMTraining(network(), ROWS, ERM, seeded(), layers="last", l2_sp=5.0)
    if case == "joint":
        return JointTraining(network(), ROWS, TARGET, ERM, seeded(), target_share=0.4, steps=3)
    sample = torch.randint(22, (3, 22), generator=seeded(8))
    if case == "ERM, ensemble":
        return ERMTraining(network(3), ROWS, ERM, seeded(), sample=sample)
    name, _, rest = case.partition(": ")
    data = TrainingData(ROWS, VALIDATION, TARGET if "target" in rest else None)
    config = CALConfig.from_dict(
        {**CAL_CASES[name], **({"replay": 1.5} if "target" in rest else {})}
    )
    if "ensemble" in rest:
        return CALTraining(network(3), data, config, seeded(), sample=sample)
    return CALTraining(network(), data, config, seeded())


CASES = ["ERM", "ERM, last layer, l2-sp", "ERM, ensemble", "joint", *CAL_CASES,
         "paper: ensemble", "cal: ensemble", "cal: target"]  # fmt: skip


def killed(training, path, after):
    with pytest.raises(Killed):
        run(training, Deadly(path, "key", last=after))


@pytest.mark.parametrize("case", CASES)
def test_a_training_killed_after_any_and_after_every_epoch_ends_with_the_same_bits(case, tmp_path):
    expected = run(make_training(case))
    assert len(expected.history) == EPOCHS
    for after in range(1, EPOCHS + 1):
        killed(make_training(case), tmp_path / str(after), after)
        killed(make_training(case), tmp_path / "every", 1)
    for name in [*range(1, EPOCHS + 1), "every"]:
        result = run(make_training(case), Deadly(tmp_path / str(name), "key"))
        assert_same(vars(result), vars(expected))
    if expected.extras:  # the weights were learned, else resuming them shows nothing
        assert len(expected.extras["weights"].unique()) > 1


def test_paper_weights_freeze_within_the_epochs_of_these_tests():
    frozen = [record.get("weights_frozen") for record in run(make_training("paper")).history]
    assert frozen[1] == 0
    assert frozen[-1] > 0


def test_patience_is_not_forgotten(tmp_path):
    far = Rows(VALIDATION.x, -10 * VALIDATION.y)  # fitting the training rows makes it worse
    options = {"epochs": 40, "patience": 4, "name": "T"}
    config = ERMConfig(epochs=40, batch_size=6, learning_rate=1e-2)

    def make():
        return ERMTraining(network(), ROWS, config, seeded())

    expected = run_training(make(), far, **options)
    length = len(expected.history)
    assert length < 40
    assert expected.best_epoch == length - 1 - 4
    for after in (length - 2, length):
        with pytest.raises(Killed):
            run_training(make(), far, **options, checkpoint=Deadly(tmp_path / "c", "k", last=after))
        result = run_training(make(), far, **options, checkpoint=Checkpoint(tmp_path / "c", "k"))
        assert_same(vars(result), vars(expected))
        (tmp_path / "c").unlink()


def test_small_steps_are_not_forgotten(tmp_path):
    def make(**fault):
        model = network(kind=Flaky)
        vars(model).update(fault)
        return ERMTraining(model, ROWS, ERM, seeded())

    expected = run(make(bad={9}))
    killed(make(bad={9}), tmp_path / "c", 4)
    resumed = make()
    assert_same(vars(run(resumed, Checkpoint(tmp_path / "c", "key"))), vars(expected))
    assert resumed.step_scale == 0.1
    with pytest.raises(TrainingError, match=r"epoch 4, batch 0 \(ERM\), for the second time"):
        run(make(bad={0}), Checkpoint(tmp_path / "c", "key"))
