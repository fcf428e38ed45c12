"""The Tobit loss of networks, and that attacks go through it."""

import numpy as np
import pytest
import torch
from torch import nn

from reference import tobit
from xtalshift.cal.attack import attack, attack_objective_gradient
from xtalshift.cal.row_ascent import Goal
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.weights import init, mixed_derivative
from xtalshift.nn.heteroscedastic import beta_nll
from xtalshift.nn.losses import SMOOTH_L1, TOBIT, tobit_losses
from xtalshift.nn.rows import Rows, mean_loss

INF = np.inf
# values, limits on either side, ranges, near and far from the predictions
LOWER = np.array([0.3, -INF, 0.5, -1.0, 2.0, -INF, 4.0, -2.0])
UPPER = np.array([0.3, 0.5, INF, 0.5, 2.5, -3.0, INF, 3.0])
SPREAD = np.array([0.5, 0.5, 0.5, 0.5, 0.7, 0.7, 0.2, 1.0])
OUTPUTS = np.array([0.1, 0.9, -0.2, 1.0, 0.4, 0.0, 2.5, 0.2])
BOUNDS = np.column_stack([LOWER, UPPER, SPREAD])


def tensors(dtype=torch.float64):
    return torch.tensor(OUTPUTS, dtype=dtype), torch.tensor(BOUNDS, dtype=dtype)


def test_it_is_that_of_a_slow_reference():
    expected = tobit.losses(OUTPUTS, LOWER, UPPER, SPREAD)
    assert tobit_losses(*tensors()).numpy() == pytest.approx(expected, rel=1e-10)


def test_an_ensemble_has_the_losses_of_its_members():
    outputs, bounds = tensors()
    both = tobit_losses(torch.stack([outputs, outputs + 1]), bounds.expand(2, -1, -1))
    assert torch.equal(both[1], tobit_losses(outputs + 1, bounds))


def test_gradients_are_those_of_finite_differences():
    outputs, bounds = tensors()
    outputs.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: tobit_losses(z, bounds), outputs, atol=1e-7)
    assert torch.autograd.gradgradcheck(lambda z: tobit_losses(z, bounds), outputs, atol=1e-6)


def test_far_from_the_bounds_it_is_a_squared_error_of_what_is_missing_or_nothing():
    bounds = torch.tensor([[-INF, 0.0, 0.01], [-INF, 0.0, 0.01], [0.0, 0.1, 0.01]])
    outputs = torch.tensor([30.0, -30.0, -30.0], requires_grad=True)
    found = tobit_losses(outputs, bounds)
    (gradient,) = torch.autograd.grad(found.sum(), outputs)
    assert found.tolist() == pytest.approx([450.0, 0.0, 450.0], rel=1e-3)
    assert gradient.tolist() == pytest.approx([30.0, 0.0, -30.0], rel=1e-3)


def test_small_errors_of_values_have_the_loss_that_they_have_without_bounds():
    y = torch.linspace(-1, 1, 5)
    values = torch.stack([y, y, torch.full_like(y, 0.3)], dim=-1)
    assert tobit_losses(y + 0.5, values).tolist() == SMOOTH_L1.rows(y + 0.5, y).tolist()


def test_wrong_shapes_are_an_error():
    outputs, bounds = tensors()
    with pytest.raises(ValueError, match=r"outputs \(8,\), bounds \(8, 2\): expected a last axis"):
        tobit_losses(outputs, bounds[:, :2])
    with pytest.raises(ValueError, match=r"bounds \(3, 3\): expected \(8, 3\)"):
        Rows(outputs[:, None], outputs, bounds=bounds[:3])


@pytest.fixture(scope="module")
def line():
    """Rows of a line, of which 30 % are below a limit, and the most likely line."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 60)
    y = 1.0 + 2.0 * x + 0.5 * rng.normal(size=60)
    limit = np.quantile(y, 0.3)
    seen = np.maximum(y, limit)
    known = np.column_stack([np.where(y < limit, -INF, seen), seen, np.full(60, 0.5)])
    features = torch.tensor(x)[:, None]
    rows = Rows(features, torch.tensor(seen), bounds=torch.tensor(known))
    return rows, tobit.fit_line(x, *known.T)


class Line(nn.Sequential):
    """A linear model that has no dropout."""

    def forward(self, x, generator=None):
        return super().forward(x)


def linear(weight=0.0, bias=0.0):
    model = nn.Linear(1, 1, dtype=torch.float64)
    nn.init.constant_(model.weight, weight)
    nn.init.constant_(model.bias, bias)
    return Line(model, nn.Flatten(0))


def test_a_linear_model_finds_the_most_likely_line(line):
    rows, expected = line
    model = linear()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=100, tolerance_grad=1e-10)

    def closure():
        optimizer.zero_grad()
        loss = mean_loss(model(rows.x), rows.labels, None, TOBIT.rows)
        loss.backward()
        return loss

    optimizer.step(closure)
    found = [model[0].bias.item(), model[0].weight.item()]
    assert found == pytest.approx(list(expected), abs=1e-5)


class TestAttacks:
    config = CALConfig(attack_steps=3, epsilon=0.2)

    def test_the_gradient_is_that_of_finite_differences(self, line):
        rows, _ = line
        model, state = linear(1.5), init(1, self.config, like=rows.x)
        at = rows.x + 0.1
        value, gradient = attack_objective_gradient(model, rows, at, state, TOBIT.rows)

        def goal(x):
            cost = state.gamma * (state.weights * (x - rows.x).square()).sum(dim=1).mean()
            return mean_loss(model(x), rows.labels, None, TOBIT.rows) - cost

        step = 1e-6
        for row in range(5):
            up, down = at.clone(), at.clone()
            up[row] += step
            down[row] -= step
            difference = (goal(up) - goal(down)).item() / (2 * step)
            assert gradient[row].item() == pytest.approx(difference, abs=1e-8)
        expected = tobit.losses(1.5 * at[:, 0].numpy(), *rows.bounds.T.numpy()).mean()
        assert value.item() == pytest.approx(expected)

    def test_rows_move_to_where_the_loss_of_what_is_known_is_larger(self, line):
        rows, _ = line
        model, state = linear(1.5), init(1, self.config, like=rows.x)
        moved = attack(model, rows, state, self.config, loss=TOBIT.rows).rows
        before = TOBIT.rows(model(rows.x), rows.labels)
        after = TOBIT.rows(model(moved.x), moved.labels)
        assert torch.equal(moved.bounds, rows.bounds)
        assert (after >= before - 1e-9).all()
        limits = rows.bounds[:, 0].isneginf()
        # what raises the loss of a limit is a larger prediction, which says more than its value
        assert (moved.x[limits] > rows.x[limits]).all()

    def test_ascents_of_single_rows_have_it_too(self, line):
        rows, _ = line
        model = linear(1.5)
        goal = Goal(
            model, rows.x, rows.labels, torch.ones(1), 0.0, lambda d: d.isfinite(), loss=TOBIT.rows
        )
        expected = TOBIT.rows(model(rows.x[:4]), rows.labels[:4])
        assert goal.value(rows.x[:4], torch.arange(4)).tolist() == expected.tolist()

    def test_mixed_derivatives_exist(self, line):
        rows, _ = line
        model = linear(1.5)
        direction = [torch.ones(1, 1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)]
        mixed, _, value = mixed_derivative(model, rows, direction, loss=TOBIT.rows)
        assert mixed.isfinite().all()
        assert value.item() == pytest.approx(
            mean_loss(model(rows.x), rows.labels, None, TOBIT.rows).item()
        )


def test_a_network_with_a_spread_of_its_own_has_the_likelihood_of_each():
    mean, bounds = tensors()
    std = torch.tensor([0.5, 0.3, 0.8, 1.0, 0.6, 2.0, 0.9, 0.4], dtype=torch.float64)
    own = tobit.losses(OUTPUTS, LOWER, UPPER, std.numpy()) / std.numpy() ** 2
    own[0] += np.log(0.5)  # only a value says how wide the law is
    expected = (std.numpy() * own).mean()
    assert beta_nll(mean, std, bounds).item() == pytest.approx(expected)
    std.requires_grad_()
    beta_nll(mean, std, bounds).backward()
    assert std.grad.isfinite().all()
