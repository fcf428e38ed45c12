"""Small problems in float64 that tests of CAL share."""

import torch
from torch import nn

from xtalshift.nn.irnet import IRNet
from xtalshift.nn.rows import Rows


class TanhNet(nn.Module):
    """A plain network with the interface of `IRNet`."""

    def __init__(self, n_features, widths, generator):
        super().__init__()
        sizes = [n_features, *widths]
        layers = []
        for fan_in, fan_out in zip(sizes, widths, strict=False):
            layers += [nn.Linear(fan_in, fan_out), nn.Tanh()]
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Linear(sizes[-1], 1)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=generator) / p.shape[-1] ** 0.5)

    def forward(self, x, generator=None):
        return self.head(self.blocks(x)).squeeze(-1)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def make_rows(n_rows, n_features=4, seed=0, *, weighted=False, n_environments=0):
    generator = seeded(seed)
    x = torch.randn(n_rows, n_features, generator=generator, dtype=torch.float64)
    y = x[:, 0] ** 2 - x[:, 1]
    weights = torch.rand(n_rows, generator=generator, dtype=torch.float64) + 0.1
    environments = torch.arange(n_rows) % max(n_environments, 1)
    return Rows(x, y, weights if weighted else None, environments if n_environments else None)


def make_model(kind, widths=(5, 3), n_features=4, seed=0, dropout=0.5):
    if kind == "tanh":
        return TanhNet(n_features, widths, seeded(seed)).double()
    return IRNet(n_features, widths, dropout, seeded(seed)).double()


def problem(n_rows, widths=(5, 3), n_features=4, seed=0, **options):
    return make_model("irnet", widths, n_features, seed), make_rows(
        n_rows, n_features, seed, **options
    )


def make_ensemble(seeds, widths=(5, 3), n_features=4, dropout=0.0):
    """Return a stacked network and its members as single networks."""
    stacked = IRNet(n_features, widths, dropout, [seeded(seed) for seed in seeds]).double()
    return stacked, [make_model("irnet", widths, n_features, seed, dropout) for seed in seeds]


def stack_rows(parts):
    """Return rows with a member axis."""

    def stacked(values):
        return None if values[0] is None else torch.stack(values)

    names = ("x", "y", "weights", "environments")
    return Rows(*(stacked([getattr(part, name) for part in parts]) for name in names))


def assert_members_equal(stacked, singles, tolerance=1e-10):
    for name, value in stacked.named_parameters():
        for m, single in enumerate(singles):
            expected = dict(single.named_parameters())[name]
            torch.testing.assert_close(value[m], expected, rtol=tolerance, atol=tolerance)
