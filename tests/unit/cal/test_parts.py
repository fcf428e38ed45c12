"""Each part of CAL on its own: known answers, brute force, and properties."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xtalshift.cal import (
    CALConfig,
    CALState,
    attack,
    close_epoch,
    init,
    mixed_derivative,
    select_hardest,
    stability_gradient,
    stability_loss,
    train_cal,
    update_weights,
    weight_gradient,
)
from xtalshift.cal.step import random_environments
from xtalshift.errors import ConfigError, TrainingError
from xtalshift.nn import IRNet, Rows, TrainingData, mean_loss, row_losses

PAPER = CALConfig.from_dict({})


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def problem(n_rows, widths=(5, 3), n_features=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n_rows, n_features, generator=generator, dtype=torch.float64)
    y = x[:, 0] ** 2 - x[:, 1]
    return IRNet(n_features, widths, 0.5, generator).double(), Rows(x, y)


def test_paper_preset_holds_the_published_values():
    assert (PAPER.attack_steps, PAPER.attack_step_size, PAPER.attack_betas) == (
        10,
        3e-4,
        (0.9, 0.9),
    )
    assert (PAPER.theta_steps, PAPER.theta_learning_rate, PAPER.learning_rate) == (3, 3e-4, 1e-4)
    assert (PAPER.weight_init, PAPER.gamma_init, PAPER.delta) == (100.0, 0.01, 20.0)
    assert (PAPER.alpha, PAPER.rho, PAPER.n_environments) == (0.5, 0.01, 5)
    assert (PAPER.batch_size, PAPER.warmup_epochs, PAPER.resample_every) == (256, 10, 10)
    assert (PAPER.partial_batches, PAPER.ema_decay, PAPER.ema_start) == (21, 0.999, 20)
    assert (PAPER.epochs, PAPER.patience, PAPER.dropout_epochs) == (500, 100, 1)


def test_a_setting_overrides_the_preset_and_a_wrong_preset_is_named():
    assert CALConfig.from_dict({"delta": 1.0}).delta == 1.0
    with pytest.raises(ConfigError, match="did you mean 'paper'"):
        CALConfig.from_dict({"preset": "papr"})
    with pytest.raises(ConfigError, match="did you mean 'attack_steps'"):
        CALConfig.from_dict({"atack_steps": 3})


def test_stability_loss_known_answer():
    losses = vector(1.0, 3.0, 10.0, 20.0, 0.5)
    environments = torch.tensor([0, 0, 1, 1, 2])
    # means 2, 15 and 0.5; the largest counts 1.25 times, the smallest 0.75 times
    expected = 2.0 + 1.25 * 15.0 + 0.75 * 0.5
    assert float(stability_loss(losses, environments, 3, 0.25)) == pytest.approx(expected)
    assert float(stability_loss(losses, torch.zeros(5, dtype=torch.int64), 1, 0.25)) == 6.9


def test_stability_gradient_is_the_derivative_along_any_direction():
    model, rows = problem(9)
    environments = torch.arange(9) % 3
    gradient = stability_gradient(model, rows, environments, 3, 0.3)
    direction = [torch.randn_like(part) for part in gradient]
    slope = float(sum((a * b).sum() for a, b in zip(gradient, direction, strict=True)))

    def risk(step):
        with torch.no_grad():
            for p, d in zip(model.parameters(), direction, strict=True):
                p += step * d
            value = stability_loss(row_losses(model(rows.x), rows.y), environments, 3, 0.3)
            for p, d in zip(model.parameters(), direction, strict=True):
                p -= step * d
        return float(value)

    assert (risk(1e-6) - risk(-1e-6)) / 2e-6 == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("widths", [(5, 3), (4, 4), (6,)])
@pytest.mark.parametrize("n_rows", [1, 7])
def test_mixed_derivative_equals_brute_force(widths, n_rows):
    model, rows = problem(n_rows, widths)
    direction = [torch.randn_like(p) for p in model.parameters()]
    mixed, gradient, loss = mixed_derivative(model, rows, direction)
    leaf = rows.x.clone().requires_grad_()
    expected_loss = mean_loss(model(leaf), rows.y)
    slopes = torch.autograd.grad(expected_loss, list(model.parameters()), create_graph=True)
    # the whole second derivative d/dx d/dtheta, one entry of theta at a time
    expected = torch.zeros_like(rows.x)
    for g, slope in zip(direction, slopes, strict=True):
        for factor, entry in zip(g.flatten(), slope.flatten(), strict=True):
            expected += factor * torch.autograd.grad(entry, leaf, retain_graph=True)[0]
    torch.testing.assert_close(mixed, expected, rtol=1e-10, atol=1e-12)
    for value, slope in zip(gradient, slopes, strict=True):
        torch.testing.assert_close(value, slope.detach())
    assert float(loss) == pytest.approx(float(expected_loss.detach()))

    # and, by another way, the change of dl/dx when theta moves along g
    def slope_in_x(step):
        with torch.no_grad():
            for p, g in zip(model.parameters(), direction, strict=True):
                p += step * g
        (value,) = torch.autograd.grad(mean_loss(model(leaf), rows.y), leaf)
        with torch.no_grad():
            for p, g in zip(model.parameters(), direction, strict=True):
                p -= step * g
        return value

    finite = (slope_in_x(1e-6) - slope_in_x(-1e-6)) / 2e-6
    torch.testing.assert_close(mixed, finite, rtol=1e-4, atol=1e-7)


def test_weight_gradient_known_answer():
    mixed = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    displacement = torch.tensor([[0.5, -1.0], [1.0, 0.0]], dtype=torch.float64)
    config = CALConfig.from_dict({"rho": 0.1, "attack_step_size": 0.2})
    # sum_i (-rho A)(-2 gamma eta d): 0.1 * 2 * 3 * 0.2 = 0.12 times (3.5, -2)
    torch.testing.assert_close(
        weight_gradient(mixed, displacement, 3.0, config), vector(0.42, -0.24)
    )


def test_update_moves_the_largest_by_delta_and_leaves_frozen_weights():
    state = CALState(vector(100.0, 50.0, 1.0), torch.tensor([False, False, True]), 0.01)
    config = CALConfig.from_dict({"delta": 20.0})
    moved = update_weights(state, vector(2.0, -1.0, 1.0), config)
    torch.testing.assert_close(moved.weights, vector(80.0, 60.0, 1.0))
    still = update_weights(state, vector(0.0, 0.0, 0.0), config)
    torch.testing.assert_close(still.weights, state.weights)


def test_close_epoch_freezes_negative_weights_at_one_for_good():
    state = CALState(vector(-3.0, 40.0, 0.5), torch.tensor([False, False, False]), 0.01)
    closed = close_epoch(state)
    torch.testing.assert_close(closed.weights, vector(1.0, 40.0, 0.5))
    assert closed.frozen.tolist() == [True, False, False]
    assert closed.gamma == 2.0
    at_zero = close_epoch(CALState(vector(0.0, 2.0), torch.tensor([False, False]), 0.01))
    assert (at_zero.weights.tolist(), at_zero.gamma) == ([1.0, 2.0], 1.0)
    again = close_epoch(update_weights(closed, vector(9.0, 1.0, 1.0), PAPER))
    assert float(again.weights[0]) == 1.0
    assert again.frozen[0]


def test_attack_finds_the_known_optimum_of_a_quadratic():
    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.slope = torch.nn.Parameter(vector(3.0, 0.0))

        def forward(self, x, generator=None):
            return x @ self.slope

    rows = Rows(torch.zeros(1, 2, dtype=torch.float64), vector(-9.0))
    config = CALConfig.from_dict({"attack_steps": 4000, "attack_step_size": 1e-3})
    state = CALState(vector(50.0, 50.0), torch.tensor([False, False]), 0.01)
    # far on the linear branch of the loss: 3 d - 0.01 * 50 * d^2 is largest at d = 3
    displaced = attack(Linear(), rows, state, config)
    assert float(displaced[0, 0]) == pytest.approx(3.0, abs=0.01)
    assert float(displaced[0, 1]) == 0.0


@given(seed=st.integers(0, 1000), n_rows=st.integers(1, 13), steps=st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_attack_raises_the_loss_and_stays_within_its_steps(seed, n_rows, steps):
    model, rows = problem(n_rows, seed=seed)
    config = CALConfig.from_dict({"attack_steps": steps})
    before = rows.x.clone()
    x_adv = attack(model, rows, init(4, config, like=rows.x), config)
    assert torch.equal(rows.x, before)
    # the first Adam step has exactly the step size, later ones at most about twice (betas 0.9)
    assert float((x_adv - rows.x).abs().max()) <= steps * 2 * config.attack_step_size
    with torch.no_grad():
        gain = mean_loss(model(x_adv), rows.y) - mean_loss(model(rows.x), rows.y)
    assert float(gain) > 0


@given(n_rows=st.integers(1, 50), count=st.integers(1, 9))
@settings(deadline=None)
def test_environments_are_balanced_and_complete(n_rows, count):
    drawn = random_environments(n_rows, min(count, n_rows), torch.Generator().manual_seed(n_rows))
    sizes = torch.bincount(drawn)
    assert len(drawn) == n_rows
    assert len(sizes) == min(count, n_rows)
    assert int(sizes.max() - sizes.min()) <= 1


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
        {"epochs": 5, "warmup_epochs": 1, "batch_size": 4, "delta": delta, "resample_every": 2}
    )
    history = train_cal(
        model, TrainingData(rows, rows), config, torch.Generator().manual_seed(seed)
    ).history
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
            {"epochs": 2, "warmup_epochs": 2, "dropout_epochs": epochs, "batch_size": 16,
             "learning_rate": 0.01}
        )  # fmt: skip
        result = train_cal(
            model, TrainingData(rows, rows), config, torch.Generator().manual_seed(0)
        )
        runs[epochs] = [record["train_loss"] for record in result.history]
    assert runs[0][0] != runs[1][0]
    assert runs[1][0] == runs[2][0]
    assert runs[1][1] != runs[2][1]


def test_an_exploding_loss_is_named():
    model, rows = problem(12)
    config = CALConfig.from_dict({"epochs": 9, "warmup_epochs": 9, "learning_rate": 1e200})
    with pytest.raises(TrainingError, match=r"epoch \d+ \(warm-up\).*learning_rate"):
        train_cal(model, TrainingData(rows, rows), config, torch.Generator().manual_seed(0))


def test_the_best_parameters_are_attacked_ones():
    model, rows = problem(20)
    config = CALConfig.from_dict(
        {"epochs": 22, "warmup_epochs": 20, "learning_rate": 0.02, "theta_learning_rate": 5.0}
    )  # steps so large that the warm-up was better
    result = train_cal(model, TrainingData(rows, rows), config, torch.Generator().manual_seed(0))
    errors = [record["val_mae"] for record in result.history]
    assert min(errors[:20]) < min(errors[20:])
    assert result.best_epoch == 20 + errors[20:].index(min(errors[20:]))


def test_an_attack_of_size_0_is_the_recipe_without_an_attack():
    model, rows = problem(20)
    config = CALConfig.from_dict({"epochs": 4, "warmup_epochs": 1, "attack_step_size": 0.0})
    history = train_cal(
        model, TrainingData(rows, rows), config, torch.Generator().manual_seed(0)
    ).history
    for record in history[1:]:
        assert (record["displacement_max"], record["attack_loss_gain"]) == (0.0, 0.0)
        assert (record["weight_min"], record["weight_max"]) == (100.0, 100.0)
