"""CAL of classes: the same steps with another loss equal the reference with that loss."""

import math
from functools import partial

import pytest
import torch

from reference import cal_unrolled
from reference.cal_problems import seeded
from xtalshift.cal.attack import attack, attack_objective_gradient
from xtalshift.cal.loop import select_hardest
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.step import step
from xtalshift.cal.weights import init, mixed_derivative, stability_gradient
from xtalshift.nn.irnet import IRNet, copy_parameters
from xtalshift.nn.losses import CROSS_ENTROPY, cross_entropy
from xtalshift.nn.rows import Rows, mean_loss

PLAIN = {
    "attack_method": "ascent",
    "attack_steps": 2,
    "attack_step_size": 2.0,
    "ball": "none",
    "gamma_init": 0.3,
    "rho": 0.05,
    "delta": 0.2,
    "weight_every": 1,
    "dropout_epochs": 0,
}


def problem(n_rows=7, k=3, *, weighted=False, n_environments=3):
    generator = seeded(4)
    x = torch.randn(n_rows, 4, generator=generator, dtype=torch.float64)
    y = (torch.arange(n_rows) % k).double()
    weights = torch.rand(n_rows, generator=generator, dtype=torch.float64) + 0.1
    model = IRNet(4, (5, 3), 0.5, seeded(0), outputs=k).double()
    environments = torch.arange(n_rows) % n_environments
    return model, Rows(x, y, weights if weighted else None, environments)


def test_the_cross_entropy_is_that_of_the_slow_sum():
    model, rows = problem()
    logits = model(rows.x)
    assert logits.shape == (7, 3)
    slow = cal_unrolled.cross_entropy(logits, rows.y)
    torch.testing.assert_close(cross_entropy(logits, rows.y), slow, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="a last axis"):
        cross_entropy(logits[:, 0], rows.y)
    shares = torch.tensor([3, 2, 2]) / 7
    entropy = float(CROSS_ENTROPY.constant(rows))
    assert entropy == pytest.approx(float(-(shares * shares.log()).sum()), rel=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_moves_the_weights_along_the_exact_gradient(weighted):
    model, rows = problem(weighted=weighted)
    config = CALConfig.from_dict(PLAIN)
    state = init(4, config, like=rows.x)
    exact = cal_unrolled.exact_weight_gradient(
        model, rows, state.weights, state.gamma, config, config.alpha / math.sqrt(4),
        cal_unrolled.cross_entropy,
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=config.rho)
    new, report = step(
        model, rows, state, config, 3, seeded(), optimizer=optimizer,
        attacker=partial(attack, loss=cross_entropy), loss=cross_entropy,
    )  # fmt: skip
    expected = state.weights - config.delta * exact / exact.abs().max()
    torch.testing.assert_close(new.weights, expected, rtol=1e-9, atol=1e-10)
    assert float(report.loss_gain) > 0


def test_attack_stability_and_mixed_derivative_equal_the_reference():
    model, rows = problem()
    config = CALConfig.from_dict({**PLAIN, "attack_steps": 4})
    state = init(4, config, like=rows.x)
    theta = dict(model.named_parameters())
    slow = cal_unrolled.unrolled_attack(
        model, theta, rows, state.weights, state.gamma, config, cal_unrolled.cross_entropy
    )
    fast = attack(model, rows, state, config, loss=cross_entropy)
    torch.testing.assert_close(fast.rows.x, slow.detach(), rtol=1e-9, atol=1e-10)
    risk = cal_unrolled.stability(model, theta, rows, 0.2, cal_unrolled.cross_entropy)
    expected = torch.autograd.grad(risk, list(theta.values()))
    direction = stability_gradient(model, rows, rows.environments, 3, 0.2, loss=cross_entropy)
    for one, other in zip(direction, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)
    mixed, _, loss = mixed_derivative(model, rows, direction, loss=cross_entropy)
    mean = mean_loss(model(rows.x), rows.y, None, cross_entropy).detach()
    assert float(loss) == pytest.approx(float(mean))

    # <g, dl(x)/dtheta> by central differences in one feature of one row
    def inner(x):
        value = mean_loss(model(x), rows.y, None, cross_entropy)
        slopes = torch.autograd.grad(value, list(model.parameters()))
        return sum(torch.sum(g * h) for g, h in zip(direction, slopes, strict=True))

    moved = torch.zeros_like(rows.x)
    moved[2, 1] = 1e-5
    finite = (inner(rows.x + moved) - inner(rows.x - moved)) / 2e-5
    assert float(mixed[2, 1]) == pytest.approx(float(finite), rel=1e-5, abs=1e-9)


def test_the_gradient_of_the_attack_is_right():
    model, rows = problem()
    state = init(4, CALConfig.from_dict(PLAIN), like=rows.x)
    _, gradient = attack_objective_gradient(model, rows, rows.x + 0.1, state, cross_entropy)

    def objective(x):
        cost = (state.weights * (x - rows.x) ** 2).sum(dim=1).mean()
        return mean_loss(model(x), rows.y, None, cross_entropy) - state.gamma * cost

    leaf = (rows.x + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(objective, (leaf,))
    (expected,) = torch.autograd.grad(objective(leaf), leaf)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)


def test_the_hardest_rows_are_those_of_the_largest_log_loss():
    model, rows = problem(20)
    losses = cross_entropy(model(rows.x), rows.y)
    found = select_hardest(model, rows, 5, loss=cross_entropy)
    assert found.tolist() == losses.argsort(descending=True)[:5].tolist()
    ensemble = IRNet(4, (5, 3), 0.0, [seeded(0), seeded(1)], outputs=3).double()
    assert select_hardest(ensemble, rows, 5, loss=cross_entropy).shape == (2, 5)


def test_without_an_attack_no_row_moves():
    model, rows = problem()
    config = CALConfig.from_dict(PLAIN).without_attack()
    before = copy_parameters(model)
    attacked = attack(model, rows, init(4, config, like=rows.x), config, loss=cross_entropy)
    assert torch.equal(attacked.rows.x, rows.x)
    expected = mean_loss(model(rows.x), rows.y, None, cross_entropy)
    assert float(attacked.start_loss) == pytest.approx(float(expected.detach()))
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
