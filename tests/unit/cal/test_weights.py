"""The outer problem: stability loss, mixed derivative, weight gradient and updates."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import cal_unrolled
from reference.cal_problems import make_model, make_rows, problem, seeded, vector
from xtalshift.cal.attack import attack
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.weights import (
    CALState,
    close_epoch,
    mixed_derivative,
    stability_gradient,
    stability_loss,
    update_weights,
    weight_gradient,
)
from xtalshift.nn.irnet import copy_parameters, select_parameters
from xtalshift.nn.rows import mean_loss, row_losses

PAPER = CALConfig.from_dict({"preset": "paper"})
NETS = [("irnet", (5, 3)), ("irnet", (4, 4)), ("irnet", (6,)), ("tanh", (5, 3)), ("tanh", (7,))]


def state_of(weights, frozen=None, gamma=0.01):
    frozen = [False] * len(weights) if frozen is None else frozen
    return CALState(weights, torch.tensor(frozen), torch.tensor(gamma, dtype=torch.float64))


def nudge(model, direction, step):
    """Move the parameters along `direction` in place."""
    with torch.no_grad():
        for name, d in direction.items():
            dict(model.named_parameters())[name].add_(d, alpha=step)


def test_stability_loss_known_answer():
    losses = vector(1.0, 3.0, 10.0, 20.0, 0.5)
    environments = torch.tensor([0, 0, 1, 1, 2])
    # means 2, 15 and 0.5; the largest counts 1.25 times, the smallest 0.75 times
    expected = 2.0 + 1.25 * 15.0 + 0.75 * 0.5
    assert float(stability_loss(losses, environments, 3, 0.25)) == pytest.approx(expected)
    # an environment that is not there does not count, not even as the smallest
    assert float(stability_loss(losses, environments, 7, 0.25)) == pytest.approx(expected)
    assert float(stability_loss(losses, torch.zeros(5, dtype=torch.int64), 1, 0.25)) == 6.9


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("layers", ["all", "first", "last"])
def test_stability_gradient_is_the_derivative_along_any_direction(layers, weighted):
    model, rows = problem(9, weighted=weighted)
    environments = torch.arange(9) % 3
    gradient = stability_gradient(model, rows, environments, 3, 0.3, layers)
    names = select_parameters(model, layers)
    assert len(gradient) == len(names) == {"all": 12, "first": 5, "last": 2}[layers]
    direction = {
        name: torch.randn(part.shape, generator=seeded(1), dtype=torch.float64)
        for name, part in zip(names, gradient, strict=True)
    }
    slope = float(sum((a * b).sum() for a, b in zip(gradient, direction.values(), strict=True)))

    def risk(step):
        nudge(model, direction, step)
        losses = row_losses(model(rows.x), rows.y).detach()
        if weighted:
            losses = losses * rows.weights / rows.weights.mean()
        nudge(model, direction, -step)
        return float(stability_loss(losses, environments, 3, 0.3))

    assert (risk(1e-6) - risk(-1e-6)) / 2e-6 == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("layers", ["all", "first", "last"])
@pytest.mark.parametrize("n_rows", [1, 7])
@pytest.mark.parametrize(("kind", "widths"), NETS)
def test_mixed_derivative_equals_brute_force(kind, widths, n_rows, layers, earlier):
    model = make_model(kind, widths)
    rows = make_rows(n_rows, weighted=n_rows > 1)
    at = None
    if earlier:  # the model has moved on since
        at = copy_parameters(model)
        nudge(model, {name: torch.ones_like(p) for name, p in at.items()}, 0.1)
    now = copy_parameters(model)
    names = list(select_parameters(model, layers))
    direction = {
        name: torch.randn(now[name].shape, generator=seeded(k), dtype=torch.float64)
        for k, name in enumerate(names)
    }
    mixed, gradient, loss = mixed_derivative(model, rows, list(direction.values()), layers, at)
    for name, p in model.named_parameters():
        assert torch.equal(p, now[name])
        assert p.grad is None
    if earlier:
        model.load_state_dict({name: value.detach() for name, value in at.items()})

    leaf = rows.x.clone().requires_grad_()
    expected_loss = mean_loss(model(leaf), rows.y, rows.weights)
    slopes = torch.autograd.grad(expected_loss, list(model.parameters()), create_graph=True)
    # the whole second derivative d/dx d/dtheta, one entry of theta at a time
    expected = torch.zeros_like(rows.x)
    by_name = dict(zip(now, slopes, strict=True))
    for name, g in direction.items():
        for factor, entry in zip(g.flatten(), by_name[name].flatten(), strict=True):
            if entry.requires_grad:  # that in the last bias may be constant in x
                expected += factor * torch.autograd.grad(entry, leaf, retain_graph=True)[0]
    assert float((mixed - expected).norm()) <= 1e-10 * float(expected.norm()) + 1e-14
    for value, slope in zip(gradient, slopes, strict=True):
        torch.testing.assert_close(value, slope.detach())
    assert float(loss) == pytest.approx(float(expected_loss.detach()))

    # and, by another way, the change of dl/dx when theta moves along g
    def slope_in_x(step):
        nudge(model, direction, step)
        (value,) = torch.autograd.grad(mean_loss(model(leaf), rows.y, rows.weights), leaf)
        nudge(model, direction, -step)
        return value

    finite = (slope_in_x(1e-6) - slope_in_x(-1e-6)) / 2e-6
    torch.testing.assert_close(mixed, finite, rtol=1e-4, atol=1e-6)


def unrolled_gradient(model, rows, w, gamma, config, spread):
    """Return the package's formula for one plain parameter step of length rho."""
    attacked = attack(
        model, rows, CALState(w, torch.zeros(len(w), dtype=torch.bool), gamma), config
    )
    zeros = [torch.zeros_like(p) for p in model.parameters()]
    slopes = mixed_derivative(model, attacked.rows, zeros)[1]
    before = copy_parameters(model)
    nudge(model, dict(zip(before, slopes, strict=True)), -config.rho)
    count = int(rows.environments.max()) + 1
    after = stability_gradient(model, rows, rows.environments, count, spread)
    mixed = mixed_derivative(model, attacked.rows, after, at=before)[0]
    model.load_state_dict({name: value.detach() for name, value in before.items()})
    return weight_gradient([(mixed, attacked.path)], gamma, config)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_rows", [5, 8])
@pytest.mark.parametrize(("kind", "widths"), NETS)
def test_unrolled_gradient_is_exact_for_two_plain_steps(kind, widths, n_rows, weighted):
    model = make_model(kind, widths)
    rows = make_rows(n_rows, weighted=weighted, n_environments=3)
    config = CALConfig.from_dict(
        {"attack_method": "ascent", "attack_steps": 2, "attack_step_size": 2.0, "ball": "none"}
        | {"rho": 0.05}
    )
    w, gamma = vector(0.5, 1.0, 2.0, 0.7), torch.tensor(0.3, dtype=torch.float64)
    found = unrolled_gradient(model, rows, w, gamma, config, 0.3)
    exact = cal_unrolled.exact_weight_gradient(model, rows, w, gamma, config, 0.3)
    assert float(exact.norm()) > 1e-9
    assert float((found - exact).norm()) <= 1e-8 * float(exact.norm())
    finite = cal_unrolled.finite_weight_gradient(model, rows, w, gamma, config, 0.3, 1e-3)
    assert float((found - finite).norm()) <= 1e-3 * float(exact.norm())


def test_after_one_step_of_the_attack_no_weight_matters():
    model, rows = make_model("tanh"), make_rows(6, n_environments=2)
    config = CALConfig.from_dict(
        {"attack_method": "ascent", "attack_steps": 1, "attack_step_size": 2.0, "ball": "none"}
    )
    w, gamma = vector(0.5, 1.0, 2.0, 0.7), torch.tensor(0.3, dtype=torch.float64)
    exact = cal_unrolled.exact_weight_gradient(model, rows, w, gamma, config, 0.3)
    found = unrolled_gradient(model, rows, w, gamma, config, 0.3)
    assert exact.tolist() == found.tolist() == [0.0] * 4


@pytest.mark.parametrize("steps", [3, 5])
def test_unrolled_gradient_of_more_steps_points_the_right_way(steps):
    """The formula leaves out how a step changes the slope of the next one."""
    model, rows = make_model("tanh"), make_rows(12, n_environments=3)
    config = CALConfig.from_dict(
        {"attack_method": "ascent", "attack_steps": steps, "attack_step_size": 0.5, "ball": "none"}
    )
    w, gamma = vector(0.5, 1.0, 2.0, 0.7), torch.tensor(0.3, dtype=torch.float64)
    found = unrolled_gradient(model, rows, w, gamma, config, 0.3)
    exact = cal_unrolled.exact_weight_gradient(model, rows, w, gamma, config, 0.3)
    assert float(torch.cosine_similarity(found, exact, dim=0)) > 0.95


def test_weight_gradient_known_answers():
    mixed = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    displacement = torch.tensor([[0.5, -1.0], [1.0, 0.0]], dtype=torch.float64)
    gamma = torch.tensor(3.0, dtype=torch.float64)
    values = {"rho": 0.1, "attack_step_size": 0.2}
    # sum_i (-rho A)(-2 gamma eta d): 0.1 * 2 * 3 * 0.2 = 0.12 times (3.5, -2)
    published = CALConfig.from_dict({"preset": "paper", **values})
    torch.testing.assert_close(
        weight_gradient([(mixed, displacement)], gamma, published), vector(0.42, -0.24)
    )
    # the penalty is a mean over the two rows; the terms of two theta steps add up
    unrolled = CALConfig.from_dict(values)
    terms = [(mixed, displacement), (2 * mixed, displacement)]
    torch.testing.assert_close(weight_gradient(terms, gamma, unrolled), vector(0.63, -0.36))


def test_update_moves_the_largest_by_delta_and_leaves_frozen_weights():
    state = state_of(vector(100.0, 50.0, 1.0), [False, False, True])
    config = CALConfig.from_dict({"preset": "paper", "delta": 20.0})
    moved = update_weights(state, vector(2.0, -1.0, 1.0), config)
    torch.testing.assert_close(moved.weights, vector(80.0, 60.0, 1.0))
    still = update_weights(state, vector(0.0, 0.0, 0.0), config)
    torch.testing.assert_close(still.weights, state.weights)


def test_only_the_published_rule_lets_a_weight_fall_below_0():
    state = state_of(vector(10.0, 10.0))
    gradient = vector(2.0, -1.0)
    published = CALConfig.from_dict({"preset": "paper", "delta": 20.0})
    assert update_weights(state, gradient, published).weights.tolist() == [-10.0, 20.0]
    unrolled = CALConfig.from_dict({"delta": 20.0, "weight_floor": 0.5})
    moved = update_weights(state, gradient, unrolled)
    assert moved.weights.tolist() == [0.5, 20.0]
    assert close_epoch(moved, unrolled) is moved


@given(
    seed=st.integers(0, 999),
    delta=st.floats(0.01, 1000),
    floor=st.floats(1e-3, 2),
    scale=st.sampled_from([0.0, 1e-30, 1e-3, 1e30]),
)
@settings(max_examples=60, deadline=None)
def test_weights_stay_above_the_floor_and_frozen_ones_where_they_are(seed, delta, floor, scale):
    config = CALConfig.from_dict({"delta": delta, "weight_floor": floor})
    generator = seeded(seed)
    state = state_of(2.0 + torch.rand(6, generator=generator, dtype=torch.float64))
    frozen = torch.rand(6, generator=generator) < 0.3
    state = CALState(state.weights, frozen, state.gamma)
    for _ in range(5):
        gradient = scale * torch.randn(6, generator=generator, dtype=torch.float64)
        new = update_weights(state, gradient, config)
        assert bool((new.weights >= floor).all())
        assert torch.equal(new.weights[frozen], state.weights[frozen])
        assert float((new.weights - state.weights).abs().max()) <= delta * (1 + 1e-9)
        state = new


def test_close_epoch_freezes_negative_weights_at_one_for_good():
    closed = close_epoch(state_of(vector(-3.0, 40.0, 0.5)), PAPER)
    torch.testing.assert_close(closed.weights, vector(1.0, 40.0, 0.5))
    assert closed.frozen.tolist() == [True, False, False]
    assert float(closed.gamma) == 2.0
    at_zero = close_epoch(state_of(vector(0.0, 2.0)), PAPER)
    assert (at_zero.weights.tolist(), float(at_zero.gamma)) == ([1.0, 2.0], 1.0)
    again = close_epoch(update_weights(closed, vector(9.0, 1.0, 1.0), PAPER), PAPER)
    assert float(again.weights[0]) == 1.0
    assert again.frozen[0]


def test_close_epoch_of_an_ensemble_has_a_gamma_per_member():
    weights = torch.tensor([[-3.0, 40.0], [4.0, 8.0]], dtype=torch.float64)
    state = CALState(weights, torch.zeros(2, 2, dtype=torch.bool), vector(0.01, 0.01))
    closed = close_epoch(state, PAPER)
    assert closed.weights.tolist() == [[1.0, 40.0], [4.0, 8.0]]
    assert closed.frozen.tolist() == [[True, False], [False, False]]
    assert closed.gamma.tolist() == [1.0, 0.25]
