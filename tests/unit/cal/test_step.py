"""One CAL step: order of its parts, rules of the weights, controls, ensembles."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.cal_problems import (
    assert_members_equal,
    make_ensemble,
    make_model,
    make_rows,
    problem,
    seeded,
    stack_rows,
    vector,
)
from reference.cal_unrolled import exact_weight_gradient, mean_loss, stability, unrolled_attack
from xtalshift.cal.attack import attack
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.step import random_environments, step
from xtalshift.cal.weights import CALState, init
from xtalshift.nn.irnet import copy_parameters
from xtalshift.nn.rows import mean_loss as package_loss

PLAIN = {
    "attack_method": "ascent",
    "attack_steps": 2,
    "attack_step_size": 2.0,
    "ball": "none",
    "gamma_init": 0.3,
    "rho": 0.05,
    "delta": 0.2,
    "weight_every": 1,
}


def sgd(model, rate):
    return torch.optim.SGD(model.parameters(), lr=rate)


def test_a_step_moves_the_weights_along_the_exact_gradient():
    model, rows = make_model("tanh"), make_rows(7, n_environments=3)
    config = CALConfig.from_dict({**PLAIN, "dropout_epochs": 0})
    state = init(4, config, like=rows.x)
    spread = config.alpha / math.sqrt(3 + 1)
    exact = exact_weight_gradient(model, rows, state.weights, state.gamma, config, spread)
    new, _ = step(model, rows, state, config, 3, seeded(), optimizer=sgd(model, config.rho))
    expected = state.weights - config.delta * exact / exact.abs().max()
    torch.testing.assert_close(new.weights, expected, rtol=1e-9, atol=1e-10)
    assert new.steps == 1


@pytest.mark.parametrize("kind", ["irnet", "tanh"])
def test_several_theta_steps_equal_the_slow_sum(kind):
    """Each term has the derivative at its own theta, and ``g`` from after all steps."""
    model, rows = make_model(kind), make_rows(7, weighted=True, n_environments=3)
    config = CALConfig.from_dict({**PLAIN, "theta_steps": 3, "attack_steps": 3})
    state = init(4, config, like=rows.x)
    spread = config.alpha / math.sqrt(2)
    theta = copy_parameters(model)
    visited = []
    for _ in range(3):
        theta = {name: value.detach().requires_grad_() for name, value in theta.items()}
        path = torch.zeros_like(rows.x)
        for t in range(1, 3):
            shorter = config.model_copy(update={"attack_steps": t})
            args = (model, theta, rows, state.weights, state.gamma, shorter)
            path += unrolled_attack(*args).detach() - rows.x
        x_adv = unrolled_attack(model, theta, rows, state.weights, state.gamma, config).detach()
        slopes = torch.autograd.grad(mean_loss(model, theta, rows, x_adv), list(theta.values()))
        visited.append((theta, x_adv, path))
        theta = {
            name: p.detach() - 0.1 * slope
            for (name, p), slope in zip(theta.items(), slopes, strict=True)
        }
    last = {name: value.requires_grad_() for name, value in theta.items()}
    g = torch.autograd.grad(stability(model, last, rows, spread), list(last.values()))
    gradient = torch.zeros(4, dtype=torch.float64)
    for theta, x_adv, path in visited:
        leaf = x_adv.clone().requires_grad_()
        slopes = torch.autograd.grad(
            mean_loss(model, theta, rows, leaf), list(theta.values()), create_graph=True
        )
        product = sum((a * b).sum() for a, b in zip(g, slopes, strict=True))
        (A,) = torch.autograd.grad(product, leaf)
        factor = -2 * state.gamma * config.attack_step_size / 7
        gradient += (-config.rho * A * factor * path).sum(dim=0)
    config = config.model_copy(update={"dropout_epochs": 0})
    new, _ = step(model, rows, state, config, 1, seeded(), optimizer=sgd(model, 0.1))
    expected = state.weights - config.delta * gradient / gradient.abs().max()
    torch.testing.assert_close(new.weights, expected, rtol=1e-9, atol=1e-10)
    for name, value in model.named_parameters():
        torch.testing.assert_close(value, last[name].detach(), rtol=1e-10, atol=1e-12)


@given(
    seed=st.integers(0, 999),
    n_rows=st.integers(1, 11),
    delta=st.floats(0.01, 100),
    floor=st.floats(1e-3, 1.0),
)
@settings(max_examples=15, deadline=None)
def test_unrolled_weights_stay_above_the_floor_after_every_step(seed, n_rows, delta, floor):
    model, rows = problem(n_rows, seed=seed)
    config = CALConfig.from_dict({"delta": delta, "weight_floor": floor, "weight_every": 1})
    state = init(4, config, like=rows.x)
    generator = seeded(seed)
    for epoch in range(5):
        state, _ = step(model, rows, state, config, epoch, generator)
        assert bool((state.weights >= floor).all())
    assert not torch.equal(state.weights, torch.ones(4, dtype=torch.float64))


def test_fixed_weights_stay_and_rows_move():
    model, rows = problem(8)
    config = CALConfig.from_dict({"weight_rule": "fixed", "weight_every": 1})
    state = init(4, config, like=rows.x)
    new, report = step(model, rows, state, config, 0, seeded())
    assert torch.equal(new.weights, state.weights)
    assert 0.5 * config.epsilon < float(report.displacement_rms) <= config.epsilon * (1 + 1e-9)


def test_weights_are_learned_every_so_many_steps():
    model, rows = problem(8)
    config = CALConfig.from_dict({"weight_every": 3})
    state = init(4, config, like=rows.x)
    changed, measured = [], []
    for _ in range(7):
        new, report = step(model, rows, state, config, 0, seeded())
        changed.append(not torch.equal(new.weights, state.weights))
        measured.append(report.loss_gain is not None)
        state = new
    assert changed == measured == [True, False, False, True, False, False, True]


@pytest.mark.parametrize("preset", ["cal", "paper"])
def test_without_an_attack_a_step_trains_on_the_rows_as_they_are(preset):
    config = CALConfig.from_dict({"preset": preset, "theta_steps": 2, "dropout_epochs": 0})
    control = config.without_attack()
    model, rows = problem(8)
    plain, _ = problem(8)
    state = init(4, config, like=rows.x)
    new, report = step(model, rows, state, control, 0, seeded())
    optimizer = torch.optim.Adam(plain.parameters(), lr=config.theta_learning_rate)
    for _ in range(2):
        optimizer.zero_grad()
        loss = package_loss(plain(rows.x), rows.y)
        loss.backward()
        optimizer.step()
    for value, expected in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-14)
    assert torch.equal(new.weights, state.weights)
    assert (float(report.displacement_rms), float(report.displacement_max)) == (0.0, 0.0)
    assert float(report.loss_gain) == pytest.approx(0.0, abs=1e-15)
    assert float(report.loss) == pytest.approx(float(loss.detach()))


@pytest.mark.parametrize("rule", ["published", "unrolled", "fixed"])
def test_parameter_steps_have_dropout_and_nothing_else_has(rule):
    """One step from the same start: gains and displacements agree, parameters do not."""
    found = {}
    for epochs in (0, 1):
        model, rows = problem(16, widths=(8, 8), n_environments=3)
        config = CALConfig.from_dict(
            {"weight_rule": rule, "weight_every": 1, "dropout_epochs": epochs}
        )
        state = init(4, config, like=rows.x)
        _, report = step(model, rows, state, config, 0, seeded())
        found[epochs] = (report, copy_parameters(model))
    (plain, without), (masked, with_dropout) = found[0], found[1]
    assert float(plain.loss_gain) == float(masked.loss_gain)
    assert float(plain.displacement_rms) == float(masked.displacement_rms)
    assert float(plain.loss) != float(masked.loss)
    assert not torch.equal(without["blocks.0.gain"], with_dropout["blocks.0.gain"])


def test_report_is_what_the_last_attack_did():
    model, rows = problem(8)
    config = CALConfig.from_dict({"weight_every": 1, "dropout_epochs": 0})
    state = init(4, config, like=rows.x)
    attacked = attack(model, rows, state, config)
    with torch.no_grad():
        start, end = (package_loss(model(x), rows.y) for x in (rows.x, attacked.rows.x))
    moved = attacked.rows.x - rows.x
    _, report = step(model, rows, state, config, 0, seeded())
    assert float(report.loss) == pytest.approx(float(end))
    assert float(report.loss_gain) == pytest.approx(float(end - start))
    assert float(report.loss_gain) > 0
    assert float(report.displacement_rms) == pytest.approx(float(moved.square().mean().sqrt()))
    assert float(report.displacement_max) == float(moved.abs().max())


@pytest.mark.parametrize("optimizer", ["fresh", "shared"])
def test_the_optimiser_is_a_new_one_or_that_of_the_erm_steps(optimizer):
    model, rows = problem(8)
    config = CALConfig.from_dict({"theta_optimizer": optimizer})
    shared = torch.optim.AdamW(model.parameters(), lr=1e-3)
    step(model, rows, init(4, config, like=rows.x), config, 0, seeded(), optimizer=shared)
    assert bool(shared.state) == (optimizer == "shared")


@pytest.mark.parametrize("rule", ["published", "unrolled", "fixed"])
@pytest.mark.parametrize("method", ["adam", "ascent", "steepest"])
@pytest.mark.parametrize("layers", ["all", "first", "last"])
def test_a_step_of_an_ensemble_is_that_of_each_member(rule, method, layers):
    seeds = (0, 1, 2)
    stacked, singles = make_ensemble(seeds, widths=(5, 5, 3))
    parts = [make_rows(9, seed=10 + m, weighted=True, n_environments=3) for m in seeds]
    config = CALConfig.from_dict(
        {
            "weight_rule": rule,
            "attack_method": method,
            "outer_layers": layers,
            "ball": "l2" if rule == "published" else "weighted-l2",
            "theta_steps": 2,
            "weight_every": 1,
            "theta_optimizer": "fresh",
        }
    )
    generator = seeded(5)
    weights = 0.5 + torch.rand(3, 4, generator=generator, dtype=torch.float64)
    frozen = torch.rand(3, 4, generator=generator) < 0.3
    gamma = vector(0.1, 0.2, 0.3)
    new, report = step(
        stacked, stack_rows(parts), CALState(weights, frozen, gamma), config, 4, seeded()
    )
    gains, losses = 0.0, 0.0
    for m, single in enumerate(singles):
        state = CALState(weights[m], frozen[m], gamma[m])
        alone, alone_report = step(single, parts[m], state, config, 4, seeded())
        torch.testing.assert_close(new.weights[m], alone.weights, rtol=1e-10, atol=1e-10)
        gains += float(alone_report.loss_gain)
        losses += float(alone_report.loss)
    assert_members_equal(stacked, singles)
    assert float(report.loss) == pytest.approx(losses)
    assert float(report.loss_gain) == pytest.approx(gains)
    assert torch.equal(new.weights, weights) == (rule == "fixed")


@given(n_rows=st.integers(1, 50), count=st.integers(1, 9), members=st.sampled_from([None, 2]))
@settings(max_examples=50, deadline=None)
def test_environments_are_balanced_and_complete(n_rows, count, members):
    count = min(count, n_rows)
    drawn = random_environments(n_rows, count, seeded(n_rows), members)
    for member in drawn.unsqueeze(0) if members is None else drawn:
        sizes = torch.bincount(member)
        assert len(member) == n_rows
        assert len(sizes) == count
        assert int(sizes.max() - sizes.min()) <= 1
