"""IRNet: a fully connected network with a skip connection around every layer.

Source: Jha et al., KDD 2019 (doi 10.1145/3292500.3330703); the widths of ``irnet3`` are those of
Li, Miklaucic and Hu, arXiv:2408.09297.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from xtalshift.nn.settings import Layers

Parameters = dict[str, Tensor]

_LEVELS = 256  # resolution of the dropout probability


class IRNet(nn.Module):
    """Blocks ``h <- ReLU(Dropout(Norm(W h))) + S h``, then a linear head.

    ``S`` is a matrix, or the identity where the widths are equal; ``Norm`` is a layer norm. Dropout
    is on if, and only if, `forward` is given a generator: it is an argument, not a mode of the
    module.

    Parameters
    ----------
    n_features : int
        Number of input features.
    widths : sequence of int
        Output width of each block.
    dropout : float
        Probability that a unit is zeroed, to the nearest 1/256.
    generator : torch.Generator or sequence of torch.Generator
        Draws the initial parameters: uniform in +-1/sqrt(fan in), on the CPU, so that they are
        the same on every device. A sequence makes an ensemble with one member per generator: every
        parameter has a leading axis, and member m starts as a single network of generator m would.
    outputs : int, optional
        Number of outputs per row, on a last axis; by default one without such an axis.
    """

    bf16 = False
    """Whether matrix products and activations are in bfloat16; parameters and their gradients keep
    their precision."""

    def __init__(
        self,
        n_features: int,
        widths: Sequence[int],
        dropout: float,
        generator: torch.Generator | Sequence[torch.Generator],
        outputs: int | None = None,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.outputs = outputs
        fan_ins = [n_features, *widths[:-1]]
        self.blocks = nn.ModuleList(
            _Block(a, b, generator) for a, b in zip(fan_ins, widths, strict=True)
        )
        self.head = Affine(widths[-1], outputs or 1, generator)

    @property
    def members(self) -> int | None:
        """Size of the ensemble; None for a single network without a member axis."""
        return None if self.head.bias.ndim == 1 else len(self.head.bias)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return predictions.

        Parameters
        ----------
        x : Tensor, shape (n, n_features)
            Standardised features; for an ensemble (members, n, n_features), or (n, n_features) if
            all members get the same rows.
        generator : torch.Generator, optional
            Source of the dropout masks, on the device of `x`; without it there is no dropout.

        Returns
        -------
        Tensor, shape (n,) or (members, n); with `outputs` (n, outputs) or (members, n, outputs)
        """
        if self.bf16:
            with torch.autocast(x.device.type, dtype=torch.bfloat16):
                return self._forward(x, generator).to(x.dtype)
        return self._forward(x, generator)

    def _forward(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        found: Tensor = self.head(self.embed(x, generator))
        return found.squeeze(-1) if self.outputs is None else found

    def embed(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the input of the head, shape (..., n, width of the last block).

        Parameters
        ----------
        x, generator
            As in `forward`.
        """
        for block in self.blocks:
            x = block(x, self.dropout, generator)
        return x


def outputs_apart(net: IRNet, x: Tensor) -> Tensor:
    """Return the outputs of a network with several, rows last, shape (..., outputs, n).

    Each is a product of its own: in one of several columns the last bits of a row depend on its
    place among the others.
    """
    embedded, head = net.embed(x), net.head
    parts = [
        _add_product(
            head.bias[..., k : k + 1].unsqueeze(-2),
            embedded,
            head.weight[..., k : k + 1].contiguous(),
        )
        for k in range(head.bias.shape[-1])
    ]
    return torch.cat(parts, dim=-1).transpose(-1, -2)


Generators = torch.Generator | Sequence[torch.Generator]


def _draw(shape: tuple[int, ...], bound: float, generator: Generators) -> nn.Parameter:
    """Return uniform numbers in +-bound, with a leading axis for a sequence of generators."""
    if isinstance(generator, torch.Generator):
        return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))
    parts = [torch.empty(shape).uniform_(-bound, bound, generator=g) for g in generator]
    return nn.Parameter(torch.stack(parts))


def _add_product(start: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Return ``start + x W`` in one pass, for each member if there is a member axis."""
    if weight.ndim == 2:  # noqa: PLR2004 - no member axis
        return torch.addmm(start, x, weight)
    return torch.baddbmm(start, x.expand(len(weight), *x.shape[-2:]), weight)


class Affine(nn.Module):
    """``x W + b``; with W of shape (..., fan_in, fan_out) gradients need no transposed copy."""

    def __init__(self, fan_in: int, fan_out: int, generator: Generators) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(fan_in)
        self.weight = _draw((fan_in, fan_out), bound, generator)
        self.bias = _draw((fan_out,), bound, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return the product, shape (..., n, fan_out)."""
        return _add_product(self.bias.unsqueeze(-2), x, self.weight)


class _Block(nn.Module):
    def __init__(self, fan_in: int, width: int, generator: Generators) -> None:
        super().__init__()
        self.main = Affine(fan_in, width, generator)
        # no bias, because the next layer has one
        bound = 1.0 / math.sqrt(fan_in)
        self.skip = None if fan_in == width else _draw((fan_in, width), bound, generator)
        self.gain = nn.Parameter(torch.ones_like(self.main.bias))
        self.shift = nn.Parameter(torch.zeros_like(self.main.bias))

    def forward(self, x: Tensor, dropout: float, generator: torch.Generator | None) -> Tensor:
        h = self.main(x)
        if self.gain.ndim == 1:
            h = F.layer_norm(h, h.shape[-1:], self.gain, self.shift)
        else:
            h = F.layer_norm(h, h.shape[-1:])
            h = torch.addcmul(self.shift.unsqueeze(-2), h, self.gain.unsqueeze(-2))
        if generator is not None and dropout > 0:
            h = h * dropout_mask(h, dropout, generator)
        h = torch.relu(h)
        return h + x if self.skip is None else _add_product(h, x, self.skip)


def dropout_mask(h: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Return a mask of 0 and ``1 / (1 - p)`` with the shape of `h`."""
    # one 64-bit draw gives eight entries of resolution 1/256: on a CPU, drawing is the slow part
    draws = torch.empty((h.numel() + 7) // 8, dtype=torch.int64, device=h.device)
    draws.random_(-(2**63), None, generator=generator)
    dropped = _dropped_levels(p)
    kept = draws.view(torch.uint8)[: h.numel()].view(h.shape) >= dropped
    return kept.to(h.dtype).mul_(_LEVELS / (_LEVELS - dropped))


def _dropped_levels(p: float) -> int:
    """Return how many of 256 equally likely draws drop a unit."""
    return min(round(p * _LEVELS), _LEVELS - 1)


def select_parameters(model: nn.Module, layers: Layers) -> dict[str, nn.Parameter]:
    """Return the parameters of all layers, of the first block, or of the last layer, by name."""
    prefix = {"all": "", "first": "blocks.0.", "last": "head."}[layers]
    return {name: p for name, p in model.named_parameters() if name.startswith(prefix)}


def copy_parameters(model: nn.Module) -> Parameters:
    """Return detached copies of the parameters, by name."""
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def thin_network(
    state: Parameters, dropout: float, n_samples: int, generator: torch.Generator
) -> Parameters:
    """Return an ensemble of copies of a network, each without a random share of its units.

    Monte Carlo dropout (Gal and Ghahramani, ICML 2016) draws new masks for every row. Here all rows
    share the masks, so a prediction does not depend on the other rows of a batch. A unit is dropped
    after the norm of its block, so a mask can be multiplied into gain and shift.

    Parameters
    ----------
    state : dict of Tensor
        Parameters of one `IRNet`, without a member axis.
    dropout : float
        Probability that a unit is dropped, to the nearest 1/256.
    n_samples : int
        Number s of networks.
    generator : torch.Generator
        Draws the masks, on the CPU.

    Returns
    -------
    dict of Tensor
        Parameters of an ensemble, each with a leading axis of length s.
    """
    dropped = _dropped_levels(dropout)
    scale = _LEVELS / (_LEVELS - dropped)
    thinned = {name: value.expand(n_samples, *value.shape).clone() for name, value in state.items()}
    for name in sorted(state):  # a file of arrays keeps no order, and the masks are drawn in turn
        block, _, kind = name.rpartition(".")
        if kind != "gain":
            continue
        shape = thinned[name].shape
        kept = torch.randint(_LEVELS, shape, generator=generator) >= dropped
        for part in ("gain", "shift"):
            mask = kept.to(thinned[f"{block}.{part}"]) * scale
            thinned[f"{block}.{part}"] *= mask
    return thinned
