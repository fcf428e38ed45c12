"""The attack: known optimum, a slow reference, and the budget under all settings."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.cal_problems import (
    make_ensemble,
    make_model,
    make_rows,
    problem,
    seeded,
    stack_rows,
    vector,
)
from reference.cal_unrolled import unrolled_attack
from xtalshift.cal.attack import attack, ball_norm
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.weights import CALState, init
from xtalshift.nn.rows import Rows, mean_loss

METHODS = ("adam", "ascent", "steepest")
BALLS = ("linf", "l2", "weighted-l2")


def make_state(seed=0, d=4, gamma=0.1):
    weights = 0.2 + 3 * torch.rand(d, generator=seeded(seed), dtype=torch.float64)
    return CALState(weights, torch.zeros(d, dtype=torch.bool), vector(gamma)[0])


class Linear(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(vector(3.0, 0.0))

    def forward(self, x, generator=None):
        return x @ self.slope


def test_attack_finds_the_known_optimum_of_a_quadratic():
    rows = Rows(torch.zeros(1, 2, dtype=torch.float64), vector(-9.0))
    config = CALConfig.from_dict(
        {"preset": "paper", "attack_steps": 4000, "attack_step_size": 1e-3}
    )
    state = CALState(vector(50.0, 50.0), torch.tensor([False, False]), vector(0.01)[0])
    # far on the linear branch of the loss: 3 d - 0.01 * 50 * d^2 is largest at d = 3
    moved = attack(Linear(), rows, state, config).rows.x
    assert float(moved[0, 0]) == pytest.approx(3.0, abs=0.01)
    assert float(moved[0, 1]) == 0.0


def test_steepest_steps_in_a_ball_end_on_its_far_side():
    rows = Rows(torch.zeros(1, 2, dtype=torch.float64), vector(-9.0))
    state = CALState(vector(1.0, 1.0), torch.tensor([False, False]), vector(0.0)[0])
    config = CALConfig.from_dict({"attack_steps": 3, "attack_step_size": 0.2, "epsilon": 0.5})
    moved = attack(Linear(), rows, state, config).rows.x
    # root mean square 0.5 over two features, all of it along the only slope
    torch.testing.assert_close(moved, torch.tensor([[0.5 * 2**0.5, 0.0]], dtype=torch.float64))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weighted", [False, True])
def test_attack_equals_the_reference(method, weighted):
    model, rows = problem(7, weighted=weighted)
    config = CALConfig.from_dict(
        {"attack_method": method, "attack_steps": 4, "attack_step_size": 0.3, "ball": "none"}
    )
    state = make_state()
    theta = dict(model.named_parameters())
    expected, path = rows.x, torch.zeros_like(rows.x)
    for steps in range(5):
        if steps:
            path += expected - rows.x
            shorter = config.model_copy(update={"attack_steps": steps})
            args = (model, theta, rows, state.weights, state.gamma, shorter)
            expected = unrolled_attack(*args).detach()
    found = attack(model, rows, state, config)
    torch.testing.assert_close(found.rows.x, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.path, path, rtol=1e-10, atol=1e-12)
    start = mean_loss(model(rows.x), rows.y, rows.weights).detach()
    torch.testing.assert_close(found.start_loss, start)


@given(seed=st.integers(0, 1000), n_rows=st.integers(1, 13), steps=st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_attack_raises_the_loss_and_stays_within_its_steps(seed, n_rows, steps):
    model, rows = problem(n_rows, seed=seed)
    config = CALConfig.from_dict({"preset": "paper", "attack_steps": steps})
    before = rows.x.clone()
    x_adv = attack(model, rows, init(4, config, like=rows.x), config).rows.x
    assert torch.equal(rows.x, before)
    # the first Adam step has exactly the step size, later ones at most about twice (betas 0.9)
    assert float((x_adv - rows.x).abs().max()) <= steps * 2 * config.attack_step_size
    with torch.no_grad():
        gain = mean_loss(model(x_adv), rows.y) - mean_loss(model(rows.x), rows.y)
    assert float(gain) > 0


@given(
    seed=st.integers(0, 1000),
    n_rows=st.integers(1, 9),
    method=st.sampled_from(METHODS),
    ball=st.sampled_from(BALLS),
    epsilon=st.floats(1e-4, 3),
    size=st.floats(1e-4, 30),
    steps=st.integers(1, 5),
    members=st.sampled_from([None, 2]),
)
@settings(max_examples=80, deadline=None)
def test_no_row_leaves_its_budget(seed, n_rows, method, ball, epsilon, size, steps, members):
    config = CALConfig.from_dict(
        {
            "attack_method": method,
            "attack_steps": steps,
            "attack_step_size": size,
            "ball": ball,
            "epsilon": epsilon,
        }
    )
    if members is None:
        model, rows = problem(n_rows, seed=seed)
        state = make_state(seed)
    else:
        model, _ = make_ensemble(range(members))
        rows = stack_rows([make_rows(n_rows, seed=seed + m) for m in range(members)])
        weights = torch.stack([make_state(seed + m).weights for m in range(members)])
        state = CALState(weights, torch.zeros_like(weights, dtype=torch.bool), vector(0.1, 0.3))
    moved = attack(model, rows, state, config).rows.x - rows.x
    # x + (x' - x) rounds in the last digits of x
    allowed = epsilon * (1 + 1e-6)
    assert float(ball_norm(moved, state.weights, ball).max()) <= allowed
    assert float(moved.abs().max()) > 0


def test_the_rest_of_a_row_stays_with_it():
    model, rows = problem(6, weighted=True, n_environments=2)
    found = attack(model, rows, make_state(), CALConfig.from_dict({})).rows
    assert found.y is rows.y
    assert found.weights is rows.weights
    assert found.environments is rows.environments
    assert not found.x.requires_grad
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("preset", ["cal", "paper"])
def test_without_an_attack_no_row_moves(preset):
    model, rows = problem(6)
    found = attack(
        model, rows, make_state(), CALConfig.from_dict({"preset": preset}).without_attack()
    )
    assert torch.equal(found.rows.x, rows.x)
    assert torch.equal(found.path, torch.zeros_like(rows.x))
    torch.testing.assert_close(found.start_loss, mean_loss(model(rows.x), rows.y).detach())


@pytest.mark.parametrize("ball", ["none", *BALLS])
def test_a_row_without_a_slope_is_pulled_toward_its_direction(ball):
    model, rows = problem(5)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    config = CALConfig.from_dict(
        {"ball": ball, "attack_steps": 1, "attack_step_size": 0.05, "epsilon": 0.1}
    )
    state = make_state()
    pull = torch.ones_like(rows.x)  # of norm 1 in every ball
    moved = attack(model, rows, state, config, pull).rows.x - rows.x
    torch.testing.assert_close(moved, 0.05 * pull, rtol=1e-12, atol=1e-14)


def test_a_row_attacked_alone_goes_the_same_way():
    """Steepest steps are per row; the mean loss only scales the gradients."""
    model = make_model("tanh")
    rows = make_rows(5)
    config = CALConfig.from_dict({"attack_steps": 3, "gamma_init": 0.0})
    state = CALState(make_state().weights, torch.zeros(4, dtype=torch.bool), vector(0.0)[0])
    together = attack(model, rows, state, config).rows.x
    for i in range(5):
        alone = attack(model, rows.take(torch.tensor([i])), state, config).rows.x
        torch.testing.assert_close(alone[0], together[i], rtol=1e-10, atol=1e-12)
