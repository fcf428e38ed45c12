"""Plain training: losses, batches, averages, selection."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference.cal_problems import (
    assert_members_equal,
    make_ensemble,
    make_model,
    make_rows,
)
from reference.training import train_erm
from xtalshift.errors import TrainingError
from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.irnet import IRNet, copy_parameters
from xtalshift.nn.rows import Rows, TrainingData, iterate_batches, mean_loss, row_losses
from xtalshift.nn.settings import ERMConfig
from xtalshift.nn.training import Selection, predict_rows, update_ema


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def problem(n=64, seed=0):
    x = torch.randn(n, 5, generator=seeded(seed))
    return Rows(x, torch.sin(x[:, 0]) + 0.5 * x[:, 1])


def test_row_losses_known_answer():
    losses = row_losses(torch.tensor([0.0, 0.0, 0.0]), torch.tensor([0.5, -2.0, 0.0]))
    assert losses.tolist() == [0.125, 1.5, 0.0]


def test_misshapen_targets_are_refused():
    with pytest.raises(ValueError, match=r"\(3,\), targets \(3, 1\)"):
        row_losses(torch.zeros(3), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="expected"):
        row_losses(torch.zeros(3, 1, 1), torch.zeros(3, 1, 1))
    with pytest.raises(ValueError, match=r"y \(3, 1\): expected \(3,\)"):
        Rows(torch.zeros(3, 2), torch.zeros(3, 1))


def test_weighted_loss_is_the_loss_of_repeated_rows():
    prediction, target = torch.tensor([0.0, 1.0]), torch.tensor([3.0, 1.5])
    weighted = mean_loss(prediction, target, torch.tensor([2.0, 1.0]))
    repeated = mean_loss(prediction[[0, 0, 1]], target[[0, 0, 1]])
    assert float(weighted) == pytest.approx(float(repeated))


@given(n=st.integers(1, 300), size=st.integers(1, 64))
def test_batches_hold_every_row_once(n, size):
    order = torch.randperm(n, generator=seeded(n))
    batches = list(iterate_batches(order, size))
    assert torch.equal(torch.cat(batches), order)
    assert max(len(batch) for batch in batches) <= size


def test_ema_known_answer():
    model = IRNet(2, (3,), 0.0, seeded())
    average = copy_parameters(model)
    start = copy.deepcopy(average)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1.0
    update_ema(average, model, 0.75)
    for name, value in average.items():
        torch.testing.assert_close(value, start[name] + 0.25)


def test_selection_keeps_the_best_and_stops_after_patience():
    model = IRNet(2, (3,), 0.0, seeded())
    selection = Selection(patience=2)
    errors = [3.0, 1.0, 2.0, 1.0]
    for epoch, error in enumerate(errors):
        with torch.no_grad():
            model.head.bias.fill_(float(epoch))
        selection.update(epoch, torch.tensor(error), model)
        assert selection.should_stop(epoch) == (epoch == 3)
    assert (float(selection.best_epoch), float(selection.best_error)) == (1.0, 1.0)
    assert selection.best["head.bias"].tolist() == [1.0]


def test_training_fits_a_small_set():
    rows = problem()
    model = IRNet(5, (64, 32), 0.0, seeded())
    config = ERMConfig(epochs=150, batch_size=16, learning_rate=5e-3)
    result = train_erm(model, TrainingData(rows, rows), config, seeded())
    assert result.history[-1]["val_mae"] < 0.03
    assert result.history[0]["val_mae"] > 0.2
    assert result.best_epoch == min(result.history, key=lambda r: r["val_mae"])["epoch"]
    assert set(result.states) == {"best", "last", "ema"}
    model.load_state_dict(result.states["best"])
    error = float((predict_rows(model, rows.x) - rows.y).abs().mean())
    assert error == pytest.approx(min(record["val_mae"] for record in result.history))


def test_same_seed_same_bits_whatever_the_global_state():
    states = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        rows = problem(37)
        model = IRNet(5, (16, 8), 0.3, seeded())
        config = ERMConfig(epochs=3, batch_size=8)
        states.append(train_erm(model, TrainingData(rows, rows), config, seeded(7)).states)
    for kind, state in states[0].items():
        for name, value in state.items():
            assert torch.equal(value, states[1][kind][name]), (kind, name)


def test_early_stopping_and_an_exploding_loss():
    rows = problem(32)
    far = Rows(rows.x, -10 * rows.y)  # fitting the training rows makes these worse
    config = ERMConfig(epochs=100, patience=3, learning_rate=1e-2)
    model = IRNet(5, (16,), 0.0, seeded())
    assert len(train_erm(model, TrainingData(rows, far), config, seeded()).history) < 100
    bad = Rows(rows.x, torch.full_like(rows.y, float("inf")))
    with pytest.raises(TrainingError, match="epoch 0"):
        train_erm(model, TrainingData(bad, rows), config, seeded())


def test_prediction_in_pieces_equals_prediction_at_once():
    model = IRNet(5, (16,), 0.0, seeded()).double()
    x = torch.randn(40_000, 5, generator=seeded(1), dtype=torch.float64)
    torch.testing.assert_close(predict_rows(model, x), model(x).detach(), rtol=1e-12, atol=1e-12)


# one batch per epoch, whatever the order of its rows
WHOLE = ERMConfig(epochs=12, batch_size=100, learning_rate=1e-2, ema_decay=0.8)


def as_model(state):
    """Return the parameters of a state under the name that `assert_members_equal` asks for."""
    return type("State", (), {"named_parameters": lambda _: state.items()})()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bootstrap", [False, True])
def test_an_ensemble_is_its_members_trained_alone(bootstrap, weighted):
    stacked, singles = make_ensemble((0, 1, 2))
    rows, validation = make_rows(15, seed=1, weighted=weighted), make_rows(8, seed=2)
    sample = torch.randint(15, (3, 15), generator=seeded(4)) if bootstrap else None
    data = TrainingData(rows, validation)
    together = train_erm(stacked, data, WHOLE, seeded(), sample=sample)
    alone = []
    for m, single in enumerate(singles):
        own = rows if sample is None else rows.take(sample[m])
        alone.append(train_erm(single, TrainingData(own, validation), WHOLE, seeded(9 + m)))
    for kind, state in together.states.items():
        states = [as_model(result.states[kind]) for result in alone]
        assert_members_equal(as_model(state), states, 1e-8)
    assert together.best_epoch == max(result.best_epoch for result in alone)
    for name in ("train_loss", "val_mae"):
        for record, *others in zip(together.history, *(r.history for r in alone), strict=True):
            mean = sum(other[name] for other in others) / 3
            assert record[name] == pytest.approx(mean, rel=1e-8)


def test_a_member_sees_the_rows_of_its_own_sample_only():
    rows = make_rows(12, seed=1)
    sample = torch.stack([torch.arange(12) % 5, 5 + torch.arange(12) % 6])  # row 11 in none
    config = ERMConfig(epochs=2, batch_size=5, learning_rate=1e-2)

    def train(spoiled=()):
        x = rows.x.clone()
        x[list(spoiled)] += 1.0
        model, _ = make_ensemble((0, 1), dropout=0.3)
        training = ERMTraining(model, Rows(x, rows.y), config, seeded(), sample=sample)
        for epoch in range(2):
            training.run_epoch(epoch)
        return copy_parameters(model)

    start = train()
    for row in range(12):
        found = train([row])
        for m in range(2):
            same = all(torch.equal(found[name][m], value[m]) for name, value in start.items())
            assert same == (row not in sample[m])


def trained(rows, *, epochs=1, members=None, **options):
    """Return the parameters at the start and after epochs of a single batch each."""
    model = make_model("irnet") if members is None else make_ensemble(range(members))[0]
    start = copy_parameters(model)
    config = WHOLE.model_copy(update={"epochs": epochs})
    training = ERMTraining(model, rows, config, seeded(), **options)
    for epoch in range(epochs):
        training.run_epoch(epoch)
    return start, copy_parameters(model)


@pytest.mark.parametrize("members", [None, 2])
def test_l2_sp_pulls_a_step_back_by_its_share(members):
    rows = make_rows(15)
    start, free = trained(rows, members=members)
    for factor in (0.5, 30.0):
        share = factor * WHOLE.learning_rate
        _, pulled = trained(rows, l2_sp=factor, members=members)
        for name, value in pulled.items():
            assert not torch.equal(free[name], start[name])
            expected = start[name] + (1 - share) * (free[name] - start[name])
            torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-14)


def test_parameters_stay_where_l2_sp_is_huge_and_stay_nearer_the_larger_it_is():
    rows = make_rows(15)
    start, stayed = trained(rows, epochs=12, l2_sp=1e12)
    assert all(torch.equal(value, start[name]) for name, value in stayed.items())
    distances = []
    for factor in (0.0, 10.0, 60.0):
        end = trained(rows, epochs=12, l2_sp=factor)[1]
        distances.append(float(sum((end[name] - start[name]).square().sum() for name in start)))
    assert distances[0] > distances[1] > distances[2] > 0
    assert distances[2] < 0.1 * distances[0]


@pytest.mark.parametrize("members", [None, 2])
@pytest.mark.parametrize("l2_sp", [0.0, 3.0])
@pytest.mark.parametrize(
    ("layers", "prefix"), [("all", ""), ("first", "blocks.0."), ("last", "head.")]
)
def test_the_chosen_layers_alone_change(layers, prefix, l2_sp, members):
    start, end = trained(make_rows(15), epochs=3, layers=layers, l2_sp=l2_sp, members=members)
    changed = {name for name, value in end.items() if not torch.equal(value, start[name])}
    assert changed == {name for name in start if name.startswith(prefix)}
