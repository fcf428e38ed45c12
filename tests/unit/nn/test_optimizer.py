"""The optimiser is PyTorch's AdamW, to the bit."""

import pytest
import torch

from xtalshift.nn.optimizer import make_adamw


def train(make):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.ReLU(), torch.nn.Linear(7, 1))
    x = torch.randn(9, 5)
    optimizer = make(model.parameters())
    for step in range(6):
        if step == 3:  # as a checkpoint does
            again = make(model.parameters())
            again.load_state_dict(optimizer.state_dict())
            optimizer = again
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
    return torch.cat([one.detach().flatten() for one in model.parameters()])


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_are_those_of_pytorch(decay):
    own = train(lambda parameters: make_adamw(parameters, 0.01, decay))
    kind = torch.optim.AdamW if decay else torch.optim.Adam
    theirs = train(lambda parameters: kind(parameters, lr=0.01, weight_decay=decay, fused=True))
    assert torch.equal(own, theirs)
