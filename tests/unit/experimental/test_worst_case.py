"""Worst cases against their definitions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, NonlinearConstraint, linprog, minimize

from reference.cal_problems import seeded, vector
from xtalshift.experimental.divergence_balls import chi2_weights, kl_weights
from xtalshift.nn.objectives.robust import cvar_weights

WORST = {"cvar": cvar_weights, "chi2": chi2_weights, "kl": kl_weights}


def chi2(q, p):
    return float(((q - p) ** 2 / p).sum())


def kl(q, p):
    kept = q > 0
    return float((q[kept] * np.log(q[kept] / p[kept])).sum())


def cases(seed):
    """Return losses and a distribution, some of them with ties."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 8))
    losses = rng.exponential(size=n) if seed % 3 else rng.integers(0, 3, size=n).astype(float)
    base = rng.uniform(0.2, 2.0, size=n) if seed % 2 else np.ones(n)
    return losses, base / base.sum()


def brute_force(losses, p, divergence, radius):
    """Return the worst mean in a ball by a general-purpose optimiser."""
    best = float(p @ losses)
    worst = (losses == losses.max()) / (losses == losses.max()).sum()
    # at p itself the divergence has no slope
    for share in (0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9):
        start = p + share * (worst - p)
        found = minimize(
            lambda q: -q @ losses,
            start,
            jac=lambda q: -losses,
            bounds=[(1e-12, 1)] * len(p),
            constraints=[
                LinearConstraint(np.ones((1, len(p))), 1, 1),
                NonlinearConstraint(lambda q: divergence(q, p), -np.inf, radius),
            ],
            method="SLSQP",
            options={"maxiter": 500, "ftol": 1e-14},
        )
        # a line search that ends at the solution with rounding errors is reported as a failure
        feasible = abs(found.x.sum() - 1) < 1e-9 and divergence(found.x, p) <= radius + 1e-8
        if feasible and (found.x >= 0).all():
            best = max(best, float(found.x @ losses))
    return best


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("share", [0.1, 0.25, 0.37, 0.5, 0.99, 1.0])
def test_cvar_is_the_linear_programme(seed, share):
    losses, p = cases(seed)
    q = cvar_weights(vector(*losses), share, vector(*(7 * p))).numpy()
    assert q.sum() == pytest.approx(1, rel=1e-12)
    assert (q <= p / share * (1 + 1e-9)).all()
    bounds = [(0, high) for high in p / share]
    best = linprog(-losses, A_eq=np.ones((1, len(p))), b_eq=[1], bounds=bounds)
    assert q @ losses == pytest.approx(-best.fun, rel=1e-9, abs=1e-12)


def test_cvar_known_answer():
    losses = vector(1.0, 4.0, 2.0, 3.0)
    assert cvar_weights(losses, 0.5).tolist() == [0.0, 0.5, 0.0, 0.5]
    # 1.5 rows of 4: the second one counts half
    torch.testing.assert_close(cvar_weights(losses, 0.375), vector(0, 2 / 3, 0, 1 / 3))
    torch.testing.assert_close(cvar_weights(losses, 1.0), torch.full_like(losses, 0.25))


@pytest.mark.filterwarnings("ignore:Values in x were outside bounds:RuntimeWarning")  # old SciPy
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("radius", [0.01, 0.3, 1.0, 20.0])
@pytest.mark.parametrize(("rule", "divergence"), [(chi2_weights, chi2), (kl_weights, kl)])
def test_a_ball_is_solved_as_by_brute_force(rule, divergence, radius, seed):
    losses, p = cases(seed)
    q = rule(vector(*losses), radius, vector(*(7 * p))).numpy()
    assert q.sum() == pytest.approx(1, rel=1e-12)
    assert (q >= 0).all()
    assert divergence(q, p) <= radius * (1 + 1e-6)
    assert q @ losses == pytest.approx(brute_force(losses, p, divergence, radius), abs=2e-6)


def test_balls_known_answers():
    # two rows: q = (1 + d, 1 - d) / 2 has the chi-square divergence d^2
    torch.testing.assert_close(chi2_weights(vector(3.0, 1.0), 0.25), vector(0.75, 0.25))
    # eta below all losses: mean + sqrt(radius * variance)
    losses = vector(1.0, 2.0, 4.0)
    worst = float((chi2_weights(losses, 0.1) * losses).sum())
    assert worst == pytest.approx(7 / 3 + math.sqrt(0.1 * float(losses.var(correction=0))))
    # the tilt exp(l) has this divergence
    q = losses.softmax(0)
    radius = float((q * (q * 3).log()).sum())
    torch.testing.assert_close(kl_weights(losses, radius), q, rtol=1e-8, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rule", [chi2_weights, kl_weights])
def test_balls_from_none_to_the_worst_row(rule, dtype):
    losses = torch.tensor([1.0, 5.0, 2.0, 5.0, 0.0], dtype=dtype)
    torch.testing.assert_close(rule(losses, 0.0), torch.full_like(losses, 0.2))
    assert rule(losses, 1e6).tolist() == [0.0, 0.5, 0.0, 0.5, 0.0]
    same = torch.full_like(losses, 3.0)
    for radius in (0.0, 0.1, 10.0):
        torch.testing.assert_close(rule(same, radius), torch.full_like(losses, 0.2))
    nearly = rule(losses, 1e-10 if dtype == torch.float64 else 1e-5)
    torch.testing.assert_close(nearly, torch.full_like(losses, 0.2), atol=3e-3, rtol=0)


@given(
    seed=st.integers(0, 10_000), n=st.integers(1, 300), strength=st.floats(0.01, 1.0),
    name=st.sampled_from(sorted(WORST)), scale=st.sampled_from([1e-6, 1.0, 1e6]),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_worst_weights_are_a_distribution_that_ranks_as_the_losses_do(
    name, seed, n, strength, scale
):
    generator = seeded(seed)
    losses = torch.rand(2, n, generator=generator) ** 2 * scale
    q = WORST[name](losses, strength)
    assert bool((q >= 0).all())
    torch.testing.assert_close(q.sum(-1), torch.ones(2), rtol=1e-5, atol=1e-5)
    order = losses.argsort(dim=-1)
    assert bool((q.gather(-1, order).diff(dim=-1) >= -1e-6).all())
    assert bool(((q * losses).sum(-1) >= losses.mean(-1) * (1 - 1e-5)).all())
    for m in range(2):  # a member alone
        torch.testing.assert_close(q[m], WORST[name](losses[m], strength))
    # the unit of the loss does not matter
    torch.testing.assert_close(q, WORST[name](losses * 8, strength), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", sorted(WORST))
def test_a_weight_is_a_number_of_equal_rows(name):
    losses, counts = vector(3.0, 1.0, 2.0), torch.tensor([2, 1, 3])
    weighted = WORST[name](losses, 0.4, counts.double())
    repeated = WORST[name](losses.repeat_interleave(counts), 0.4)
    groups = [float(part.sum()) for part in repeated.split(counts.tolist())]
    assert weighted.tolist() == pytest.approx(groups, rel=1e-9)


@pytest.mark.parametrize("name", sorted(WORST))
def test_a_row_of_weight_0_does_not_count(name):
    losses, base = vector(9.0, 3.0, 1.0, 2.0), vector(0.0, 1.0, 1.0, 1.0)
    for strength in (0.05, 0.4, 1.0):
        q = WORST[name](losses, strength, base)
        assert float(q[0]) == 0
        torch.testing.assert_close(q[1:], WORST[name](losses[1:], strength))
