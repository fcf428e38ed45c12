"""Plain training: losses, batches, averages, selection."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xtalshift.errors import TrainingError
from xtalshift.nn import (
    ERMConfig,
    IRNet,
    Rows,
    Selection,
    TrainingData,
    copy_parameters,
    iterate_batches,
    mean_loss,
    predict_rows,
    row_losses,
    train_erm,
    update_ema,
)


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
