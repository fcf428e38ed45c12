"""Partners with similar targets, and mixtures with them."""

import pytest
import torch
from scipy.stats import beta, kstest

from reference.cal_problems import seeded, vector
from xtalshift.nn.objectives.mixup import draw_beta, draw_partners, mix_rows
from xtalshift.nn.rows import Rows


@pytest.mark.parametrize("weighted", [False, True])
def test_partners_are_drawn_with_the_stated_probabilities(weighted):
    pool = vector(-1.0, 0.0, 0.1, 0.5, 3.0)
    weights = vector(1.0, 0.0, 2.0, 1.0, 1.0) if weighted else None
    targets, width, n = vector(0.0, 0.4, 50.0, 2.9), 0.3, 20_000
    probabilities = torch.exp(-((targets[:, None] - pool) ** 2) / (2 * width**2))
    probabilities[2] = vector(0, 0, 0, 0, 1)  # far from all: the nearest
    if weighted:
        probabilities = probabilities * weights
    probabilities /= probabilities.sum(1, keepdim=True)
    drawn = draw_partners(targets.repeat(n, 1), pool, width, seeded(1), weights)
    assert drawn.shape == (n, 4)
    for column, expected in zip(drawn.T, probabilities, strict=True):
        found = torch.bincount(column, minlength=5) / n
        spread = 5 * (expected * (1 - expected) / n).sqrt()
        assert bool(((found - expected).abs() <= spread + 1e-9).all())


def test_partners_of_members_come_from_their_own_pools():
    targets, pool = torch.zeros(2, 6), torch.tensor([[0.0, 9.0, 9.0], [9.0, 9.0, 0.0]])
    assert draw_partners(targets, pool, 0.1, seeded()).tolist() == [[0] * 6, [2] * 6]


@pytest.mark.parametrize("shape", [1, 2, 4])
def test_beta_draws(shape):
    drawn = draw_beta(shape, torch.Size([50, 40]), vector(0.0), seeded(shape))
    assert (drawn.shape, drawn.dtype) == ((50, 40), torch.float64)
    assert kstest(drawn.flatten().numpy(), beta(shape, shape).cdf).pvalue > 0.01


def test_mixed_rows_known_answer():
    rows = Rows(torch.tensor([[1.0, 2.0]]), torch.tensor([4.0]), torch.tensor([3.0]))
    other = Rows(torch.tensor([[5.0, 0.0]]), torch.tensor([0.0]), torch.tensor([9.0]))
    mixed = mix_rows(rows, other, torch.tensor([0.75]))
    assert (mixed.x.tolist(), mixed.y.tolist(), mixed.weights.tolist()) == ([[2, 1.5]], [3], [3])
