"""The second head and its likelihood; dropout as an ensemble."""

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from xtalshift.nn.heteroscedastic import GaussianIRNet, HeteroscedasticTraining, beta_nll
from xtalshift.nn.irnet import IRNet, copy_parameters, thin_network
from xtalshift.nn.rows import Rows
from xtalshift.nn.settings import ERMConfig
from xtalshift.nn.training import run_training

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_mean_is_what_the_network_returns_when_called():
    net = GaussianIRNet(6, (8, 4), 0.1, gen()).double()
    mean, std = net.mean_and_std(X)
    torch.testing.assert_close(mean, net(X))
    assert (std > 0).all()
    plain = IRNet(6, (8, 4), 0.1, gen()).double()  # the second head is drawn last
    torch.testing.assert_close(plain(X), mean)


def test_the_loss_is_the_weighted_likelihood_and_its_factor_has_no_gradient():
    mean = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    std = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    y, w = torch.tensor([0.3, 0.0, 4.0]), torch.tensor([1.0, 2.0, 1.0])
    loss = beta_nll(mean, std, y, w)
    constant = np.log(np.sqrt(2 * np.pi))
    each = -Normal(mean, std).log_prob(y) - constant
    expected = (std.detach() * each * w).sum() / w.sum()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    # of a squared error weighted by 1 / std, not 1 / std^2
    torch.testing.assert_close(mean.grad, (w / w.sum() * (mean - y) / std).detach())


def test_the_scatter_of_each_region_is_learned():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (1500, 1))
    y = x[:, 0] + rng.normal(size=1500) * np.where(x[:, 0] > 0, 0.5, 0.05)
    rows = Rows(torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32))
    net = GaussianIRNet(1, (32, 16), 0.0, gen())
    config = ERMConfig(epochs=30, batch_size=64, learning_rate=1e-2)
    training = HeteroscedasticTraining(net, rows, config, gen(1))
    result = run_training(training, rows, epochs=30, patience=30, name="toy")
    net.load_state_dict(result.states["last"])
    with torch.no_grad():
        _, std = net.mean_and_std(torch.tensor([[-0.6], [0.6]]))
    assert float(std[0]) == pytest.approx(0.05, rel=0.5)
    assert float(std[1]) == pytest.approx(0.5, rel=0.25)


def test_thinned_networks_are_those_that_dropout_draws():
    net = IRNet(6, (8, 4), 0.25, gen()).double()
    thinned = thin_network(copy_parameters(net), 0.25, 50, gen(3))
    many = IRNet(6, (8, 4), 0.25, [gen()] * 50).double()
    many.load_state_dict(thinned)
    found = many(X).detach()

    def by_hand(member):
        h = X
        for number, block in enumerate(net.blocks):
            gain = thinned[f"blocks.{number}.gain"][member]
            mask = gain / block.gain.detach()  # 0, or 1 / 0.75
            assert set(mask.tolist()) <= {0.0, 256 / 192}
            z = torch.nn.functional.layer_norm(block.main(h), gain.shape)
            z = torch.relu((z * block.gain + block.shift) * mask)
            h = z + (h if block.skip is None else h @ block.skip)
        return net.head(h).squeeze(-1)

    for member in (0, 17):
        torch.testing.assert_close(found[member], by_hand(member).detach())
    share = (thinned["blocks.0.gain"] == 0).double().mean()
    assert float(share) == pytest.approx(0.25, abs=0.07)
    assert float(found.std(dim=0).mean()) > 0
