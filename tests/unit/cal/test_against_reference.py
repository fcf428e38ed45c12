"""The fast CAL equals a literal transcription of the published recipe, number by number."""

import pytest
import torch

from reference import cal_paper
from reference.training import train_cal
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.step import random_environments, step
from xtalshift.cal.weights import CALState
from xtalshift.nn.irnet import IRNet
from xtalshift.nn.rows import Rows, TrainingData

SMALL = {
    "preset": "paper",
    "epochs": 7,
    "warmup_epochs": 2,
    "resample_every": 2,
    "batch_size": 8,
    "partial_batches": 2,
    "attack_steps": 3,
    "attack_step_size": 0.02,
    "theta_steps": 2,
    "learning_rate": 1e-3,
    "theta_learning_rate": 1e-3,
    "n_environments": 3,
    "ema_start": 3,
    "ema_decay": 0.8,
    "dropout_epochs": 0,
}


def make_problem(n_rows=27, n_features=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n_rows, n_features, generator=generator, dtype=torch.float64)
    y = torch.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2]
    model = IRNet(n_features, (6, 6, 4), 0.5, generator).double()
    return model, x, y


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"delta": 90.0},  # weights fall below 0 and are frozen
        {"n_environments": 1, "theta_steps": 3, "attack_steps": 1},
        {"partial_batches": 50, "batch_size": 10},  # all rows; the last batch is smaller
        {"patience": 2, "learning_rate": 0.05, "epochs": 30},  # early stop
    ],
)
def test_training_equals_the_transcription(change):
    config = CALConfig.from_dict({**SMALL, **change})
    model, x, y = make_problem()
    slow_model, _, _ = make_problem()
    data = TrainingData(Rows(x[:20], y[:20]), Rows(x[20:], y[20:]))
    result = train_cal(model, data, config, torch.Generator().manual_seed(1))
    states, history = cal_paper.train(
        slow_model, x[:20], y[:20], x[20:], y[20:], config, torch.Generator().manual_seed(1)
    )
    assert len(result.history) == len(history)
    for name, expected in states.items():
        for value, slow in zip(result.states[name].values(), expected, strict=True):
            torch.testing.assert_close(value, slow, rtol=1e-8, atol=1e-10)
    for record, (weights, frozen, gamma) in zip(result.history, history, strict=True):
        if record["phase"] == "cal":
            assert record["weight_min"] == pytest.approx(float(weights.min()), rel=1e-7)
            assert record["weight_max"] == pytest.approx(float(weights.max()), rel=1e-7)
            assert record["weights_frozen"] == sum(frozen)
            assert record["gamma"] == pytest.approx(gamma, rel=1e-7)
    if change.get("delta"):
        assert result.history[-1]["weights_frozen"] > 0  # the case is what it claims to be
    if change.get("patience"):
        assert len(history) < config.epochs


def test_one_step_equals_the_transcription_with_unequal_frozen_weights():
    config = CALConfig.from_dict(SMALL)
    model, x, y = make_problem()
    slow_model, _, _ = make_problem()
    weights = torch.tensor([3.0, 100.0, 1.0, 40.0, 250.0], dtype=torch.float64)
    frozen = torch.tensor([False, False, True, False, False])
    state = CALState(weights, frozen, torch.tensor(0.7, dtype=x.dtype))
    rows = Rows(x[:11], y[:11])
    environment = random_environments(11, 3, torch.Generator().manual_seed(5)).tolist()
    new_state, _ = step(model, rows, state, config, 4, torch.Generator().manual_seed(5))
    expected = cal_paper.cal_step(
        slow_model, x[:11], y[:11], weights, frozen.tolist(), 0.7, config, 4, environment
    )
    torch.testing.assert_close(new_state.weights, expected, rtol=1e-9, atol=1e-9)
    assert float(new_state.weights[2]) == 1.0
    assert not torch.equal(new_state.weights, weights)
    for value, slow in zip(model.parameters(), slow_model.parameters(), strict=True):
        torch.testing.assert_close(value, slow, rtol=1e-10, atol=1e-12)
