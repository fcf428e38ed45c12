"""Risks of environments and what is made of them."""

import torch

from reference.cal_problems import seeded, vector
from xtalshift.nn.objectives.environments import (
    GroupWeights,
    draw_balanced,
    environment_risks,
    vrex_loss,
)

LOSSES, LABELS = vector(1.0, 2.0, 4.0, 6.0), torch.tensor([0, 0, 2, 2])


def test_environment_risks_known_answers():
    risks, present = environment_risks(LOSSES, LABELS, 3)
    assert (risks.tolist(), present.tolist()) == ([1.5, 0.0, 5.0], [True, False, True])
    weighted, present = environment_risks(LOSSES, LABELS, 3, vector(3.0, 1.0, 0.0, 0.0))
    assert (weighted.tolist(), present.tolist()) == ([1.25, 0.0, 0.0], [True, False, False])
    stacked, _ = environment_risks(
        torch.stack([LOSSES, LOSSES]), torch.stack([LABELS, LABELS.flip(0)]), 3
    )
    assert stacked.tolist() == [[1.5, 0.0, 5.0], [5.0, 0.0, 1.5]]


def test_vrex_known_answer_and_its_gradient():
    risks = vector(1.0, 0.0, 3.0).requires_grad_()
    present = torch.tensor([True, False, True])
    loss = vrex_loss(risks, present, 0.5)
    assert float(loss.detach()) == 2.0 + 0.5 * 1.0
    (gradient,) = torch.autograd.grad(loss, risks)
    assert gradient.tolist() == [0.5 - 0.5, 0.0, 0.5 + 0.5]


def test_group_weights_known_answer():
    start = GroupWeights.uniform(3, None, LOSSES)
    torch.testing.assert_close(start.values, torch.full((3,), 1 / 3, dtype=torch.float64))
    present = torch.tensor([True, False, True])
    once = start.update(vector(1.0, 9.0, 3.0), present, 0.5)
    torch.testing.assert_close(once.values, vector(0.5, 0.0, 1.5).softmax(0))
    twice = once.update(vector(2.0, 0.0, 0.0), present, 0.5)
    torch.testing.assert_close(twice.values, vector(1.5, 0.0, 1.5).softmax(0))
    far = start.update(vector(0.0, 0.0, 1e4), present, 1.0).update(
        vector(1e4, 0.0, 0.0), present, 1.0
    )
    torch.testing.assert_close(far.values, vector(0.5, 0.0, 0.5))  # not lost to underflow
    assert GroupWeights.uniform(3, 2, LOSSES).log.shape == (2, 3)


def test_balanced_draws_have_every_environment_equally_often():
    environments = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    for given in (environments, environments.expand(2, -1)):
        drawn = draw_balanced(given, seeded(3))
        assert drawn.shape == given.shape
        for part in drawn.reshape(-1, 1000):
            counts = torch.bincount(environments[part], minlength=3)
            assert int((counts - 1000 / 3).abs().max()) < 5 * (1000 * 2 / 9) ** 0.5
            # and the rows of one equally often
            rare = torch.bincount(part[part >= 990] - 990, minlength=10)
            assert int(rare.min()) > 8
