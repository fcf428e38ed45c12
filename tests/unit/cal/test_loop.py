"""The CAL training: which rows each epoch sees, phases, selection, rollback."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.cal_problems import make_ensemble, make_model, problem, seeded
from reference.training import train_cal
from xtalshift.cal import loop as loop_module
from xtalshift.cal.attack import attack
from xtalshift.cal.loop import CALTraining, select_hardest
from xtalshift.cal.settings import CALConfig
from xtalshift.errors import TrainingError
from xtalshift.nn.irnet import IRNet
from xtalshift.nn.rows import Rows, TrainingData, row_losses
from xtalshift.nn.training import run_training
from xtalshift.progress import NO_PROGRESS

TINY = {"epochs": 4, "warmup_epochs": 1, "batch_size": 4, "environments": "random",
        "weight_every": 1}  # fmt: skip


def numbered(n, base=0, d=3):
    """Return rows whose target is their number."""
    x = torch.randn(n, d, generator=seeded(n), dtype=torch.float64)
    return Rows(x, base + torch.arange(n, dtype=torch.float64))


def watch(config, source, target=None, *, members=None, sample=None, epochs=(0, 1)):
    """Run epochs; return per epoch the ERM and the CAL batches in order, as lists of targets."""
    if members is None:
        model = IRNet(3, (4,), 0.0, seeded()).double()
    else:
        model, _ = make_ensemble(range(members), (4,), 3)
    log = []

    def attacker(model, rows, state, config):
        log.append(("CAL", rows.y.tolist()))
        return attack(model, rows, state, config)

    training = CALTraining(
        model, TrainingData(source, source, target), config, seeded(), sample=sample,
        attacker=attacker,
    )  # fmt: skip
    original = loop_module.erm_step

    def erm(model, batch, optimizer, generator, loss):
        log.append(("ERM", batch.y.tolist()))
        return original(model, batch, optimizer, generator, loss)

    found = []
    loop_module.erm_step = erm
    try:
        for epoch in epochs:
            training.run_epoch(epoch)
            found.append(list(log))
            log.clear()
    finally:
        loop_module.erm_step = original
    return found


def rows_of(log, part):
    return [y for kind, batch in log if kind == part for y in batch]


def counts(rows):
    return sorted(rows.count(row) for row in set(rows))


@given(n=st.integers(1, 23), size=st.integers(1, 9), erm_rows=st.sampled_from(["all", "hardest"]))
@settings(max_examples=25, deadline=None)
def test_an_epoch_loses_no_row(n, size, erm_rows):
    config = CALConfig.from_dict(
        {**TINY, "batch_size": size, "erm_rows": erm_rows, "partial_fraction": 1.0}
    )
    warmup, attacked = watch(config, numbered(n))
    assert sorted(rows_of(warmup, "ERM")) == list(range(n))
    assert rows_of(warmup, "CAL") == []
    assert sorted(rows_of(attacked, "ERM")) == list(range(n))
    assert sorted(rows_of(attacked, "CAL")) == list(range(n))


@given(n=st.integers(1, 23), size=st.integers(1, 9), fraction=st.floats(0.05, 1))
@settings(max_examples=25, deadline=None)
def test_partial_sampling_attacks_the_hard_rows_and_trains_on_all(n, size, fraction):
    config = CALConfig.from_dict({**TINY, "batch_size": size, "partial_fraction": fraction})
    attacked = watch(config, numbered(n))[1]
    cal = rows_of(attacked, "CAL")
    assert sorted(rows_of(attacked, "ERM")) == list(range(n))
    assert len(cal) == len(set(cal)) == config.hard_rows(n)
    # the CAL steps lie evenly among the ERM steps
    order = [kind for kind, _ in attacked]
    steps, batches = order.count("CAL"), order.count("ERM")
    done = 0
    for number, kind in enumerate(order):
        if kind == "CAL":
            done += 1
        else:
            seen = order[: number + 1].count("ERM")
            assert abs(done - (seen - 1) * steps / batches) < 1


def test_hardest_rows_alone_are_trained_on_where_the_settings_say_so(monkeypatch):
    ranked = []
    original = loop_module.select_hardest

    def spy(*arguments):
        ranked.append(original(*arguments))
        return ranked[-1]

    monkeypatch.setattr(loop_module, "select_hardest", spy)
    config = CALConfig.from_dict({**TINY, "partial_batches": 2, "erm_rows": "hardest"})
    source = numbered(19)
    attacked = watch(config, source)[1]
    erm = [batch for kind, batch in attacked if kind == "ERM"]
    assert [len(batch) for batch in erm] == [4, 4]
    assert erm == [batch for kind, batch in attacked if kind == "CAL"]
    assert rows_of(attacked, "ERM") == source.y[ranked[0]].tolist()


def test_rows_are_ranked_anew_every_so_many_epochs():
    config = CALConfig.from_dict(
        {**TINY, "epochs": 9, "resample_every": 3, "partial_fraction": 0.3, "learning_rate": 0.2}
    )
    model = IRNet(3, (4,), 0.0, seeded()).double()
    training = CALTraining(model, TrainingData(*[numbered(20)] * 2), config, seeded())
    rankings = []
    for epoch in range(9):
        count = config.hard_rows(20)
        expected = select_hardest(model, training.rows, count)
        training.run_epoch(epoch)
        rankings.append(training.hard.tolist())
        if epoch in {1, 4, 7}:
            assert rankings[-1] == expected.tolist()
    assert rankings[0] == list(range(6))  # not ranked yet, and not used
    assert rankings[1] == rankings[2] == rankings[3]
    assert rankings[4] == rankings[5] == rankings[6]
    assert rankings[3] != rankings[4]


@given(
    n=st.integers(1, 17),
    n_target=st.integers(1, 11),
    size=st.integers(1, 6),
    replay=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    members=st.sampled_from([None, 2]),
)
@settings(max_examples=40, deadline=None)
def test_target_labels_and_replay_are_used_equally_often(n, n_target, size, replay, members):
    config = CALConfig.from_dict({**TINY, "batch_size": size, "replay": replay, "epochs": 2})
    attacked = watch(config, numbered(n), numbered(n_target, 100), members=members)[1]
    for m in range(members or 1):
        log = attacked if members is None else [(kind, batch[m]) for kind, batch in attacked]
        target, source = rows_of(log, "CAL"), rows_of(log, "ERM")
        assert min(target) >= 100 > max(source)
        for rows, available in ((target, n_target), (source, n)):
            used = counts(rows)
            if len(used) < available:  # so few that some are left out
                used = [0, *used]
            assert used[-1] - used[0] <= 1
        steps = [kind for kind, _ in log].count("CAL")
        sources = [kind for kind, _ in log].count("ERM")
        if replay:
            assert steps == max(math.ceil(n_target / size), 10)
            assert sources == math.ceil(steps * replay)
        else:
            assert sorted(source) == list(range(n))
            assert steps == sources


def test_bootstrap_members_see_their_own_sample():
    sample = torch.randint(11, (2, 11), generator=seeded(3))
    config = CALConfig.from_dict({**TINY, "partial_fraction": 1.0})
    for log in watch(config, numbered(11), members=2, sample=sample):
        for m in range(2):
            expected = sorted(map(float, sample[m]))
            assert sorted(rows_of([(k, b[m]) for k, b in log], "ERM")) == expected
            cal = rows_of([(k, b[m]) for k, b in log], "CAL")
            assert not cal or sorted(cal) == expected


@given(n_rows=st.integers(1, 40), count=st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_ranking_takes_the_hardest_rows_and_loses_none(n_rows, count):
    model, rows = problem(n_rows, seed=n_rows)
    chosen = select_hardest(model, rows, count)
    with torch.no_grad():
        losses = row_losses(model(rows.x), rows.y)
    assert len(set(chosen.tolist())) == len(chosen) == min(count, n_rows)
    assert torch.equal(losses[chosen], losses.sort(descending=True).values[: len(chosen)])


@given(seed=st.integers(0, 10_000), n_rows=st.integers(5, 21), delta=st.floats(1.0, 300.0))
@settings(max_examples=12, deadline=None)
def test_paper_weights_are_positive_after_every_epoch_and_frozen_stay_frozen(seed, n_rows, delta):
    model, rows = problem(n_rows, seed=seed)
    config = CALConfig.from_dict(
        {"preset": "paper", "epochs": 5, "warmup_epochs": 1, "batch_size": 4, "delta": delta,
         "resample_every": 2}
    )  # fmt: skip
    history = train_cal(model, TrainingData(rows, rows), config, seeded(seed)).history
    attacked = [record for record in history if record["phase"] == "cal"]
    assert len(attacked) == 4
    assert all(record["weight_min"] > 0 for record in attacked)
    frozen = [record["weights_frozen"] for record in attacked]
    assert frozen == sorted(frozen)
    assert all(math.isclose(r["gamma"] * r["weight_min"], 1, rel_tol=1e-6) for r in attacked)
    assert all(record["displacement_max"] > 0 for record in attacked)


def test_dropout_is_off_from_the_epoch_that_the_preset_names():
    """With dropout on in both epochs the second one differs."""
    runs = {}
    for epochs in (0, 1, 2):
        model, rows = problem(16, widths=(8, 8))
        config = CALConfig.from_dict(
            {"preset": "paper", "epochs": 2, "warmup_epochs": 2, "dropout_epochs": epochs,
             "batch_size": 16, "learning_rate": 0.01}
        )  # fmt: skip
        result = train_cal(model, TrainingData(rows, rows), config, seeded())
        runs[epochs] = [record["train_loss"] for record in result.history]
    assert runs[0][0] != runs[1][0]
    assert runs[1][0] == runs[2][0]
    assert runs[1][1] != runs[2][1]


def test_the_best_parameters_are_attacked_ones():
    model, rows = problem(20)
    config = CALConfig.from_dict(
        {"preset": "paper", "epochs": 22, "warmup_epochs": 20, "learning_rate": 0.02,
         "theta_learning_rate": 5.0}
    )  # fmt: skip
    # steps so large that the warm-up was better
    result = train_cal(model, TrainingData(rows, rows), config, seeded())
    errors = [record["val_mae"] for record in result.history]
    assert min(errors[:20]) < min(errors[20:])
    assert result.best_epoch == 20 + errors[20:].index(min(errors[20:]))


def test_training_all_warm_up_selects_among_all_epochs():
    model, rows = problem(20)
    config = CALConfig.from_dict({"preset": "paper", "epochs": 3, "warmup_epochs": 3})
    result = train_cal(model, TrainingData(rows, rows), config, seeded())
    errors = [record["val_mae"] for record in result.history]
    assert result.best_epoch == errors.index(min(errors))
    assert {record["phase"] for record in result.history} == {"warm-up"}


def explode_at(model, calls):
    """Make `model` return NaN at the forward passes `calls`."""
    forward, count = model.forward, [0]

    def broken(x, generator=None):
        count[0] += 1
        return forward(x, generator) * (torch.nan if count[0] in calls else 1.0)

    model.forward = broken
    return count


def test_a_loss_that_explodes_once_is_undone_and_steps_are_smaller(monkeypatch):
    config = CALConfig.from_dict({**TINY, "weight_rule": "fixed"})
    model, rows = problem(10)
    calls = explode_at(model, set())
    CALTraining(model, TrainingData(rows, rows), config, seeded()).run_epoch(0)
    per_warmup = calls[0]
    model, _ = problem(10)
    # the first ERM step of the second epoch, after a validation pass and the ranking
    explode_at(model, {per_warmup + 3})
    training = CALTraining(model, TrainingData(rows, rows), config, seeded())
    said = []
    monkeypatch.setattr(type(NO_PROGRESS), "say", lambda _, text: said.append(text))
    result = run_training(training, rows, epochs=4, patience=9, name="CAL")
    reason = "the loss became nan in epoch 1, batch 0 (ERM)"
    assert said == [f"CAL: {reason}; epoch repeated with steps 0.1 times as large"]
    assert training.step_scale == pytest.approx(0.1)
    assert [record["epoch"] for record in result.history] == [0, 1, 2, 3]
    assert all(math.isfinite(record["train_loss"]) for record in result.history)
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


PAPER = {"preset": "paper", "epochs": 9, "warmup_epochs": 9}
FRESH = {**TINY, "theta_optimizer": "fresh", "theta_learning_rate": 1e9}


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        # the last step of an epoch shows in the validation error, any other in the next batch
        ({**PAPER, "learning_rate": 1e200}, r"validation error became nan in epoch 0"),
        ({**PAPER, "learning_rate": 1e200, "batch_size": 4},
         r"loss became (nan|inf) in epoch 0, batch 1 \(ERM\)"),
        (FRESH, r"validation error became \S+e\+\d+ in epoch 1"),
        ({**FRESH, "partial_fraction": 1.0},
         r"loss became \S+e\+\d+ in epoch 1, batch 1 \(ERM\)"),
    ],
)  # fmt: skip
def test_a_loss_that_explodes_again_is_an_error_with_all_that_helps(changes, place):
    model, rows = problem(12)
    remedy = r", for the second time .* 0\.1 times .*; use a smaller learning_rate, .* outliers$"
    with pytest.raises(TrainingError, match=f"^the {place}{remedy}"):
        train_cal(model, TrainingData(rows, rows), CALConfig.from_dict(changes), seeded())


def test_training_does_not_depend_on_the_kind_of_network():
    rows = numbered(30)
    rows = Rows(rows.x, torch.sin(rows.x[:, 0]))
    model = make_model("tanh", (8,), 3)
    config = CALConfig.from_dict({**TINY, "epochs": 40, "learning_rate": 0.02})
    result = train_cal(model, TrainingData(rows, rows), config, seeded())
    assert result.history[-1]["val_mae"] < 0.5 * result.history[0]["val_mae"]
