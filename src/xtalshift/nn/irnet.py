"""IRNet: a fully connected network with a skip connection around every layer.

Source: Jha et al., KDD 2019 (doi 10.1145/3292500.3330703); the widths of ``irnet3`` are those of
Li, Miklaucic and Hu, arXiv:2408.09297.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xtalshift.errors import ConfigError
from xtalshift.registry import near_miss

__all__ = ["ARCHITECTURES", "IRNet", "name_architecture", "resolve_architecture"]

ARCHITECTURES: dict[str, tuple[int, ...]] = {
    "irnet3": (2048, 1024, 512),
    "irnet-cpu": (256, 128, 64),
}
"""Named widths; ``auto`` means ``irnet-cpu`` on a CPU and ``irnet3`` elsewhere."""


def name_architecture(name: str, device: torch.device) -> str:
    """Return `name`, or for ``"auto"`` the architecture that suits the device."""
    if name != "auto":
        return name
    return "irnet-cpu" if device.type == "cpu" else "irnet3"


def resolve_architecture(name: str | Sequence[int], device: torch.device) -> tuple[int, ...]:
    """Return the widths that `name` stands for.

    Parameters
    ----------
    name : str or sequence of int
        A key of `ARCHITECTURES`, ``"auto"``, or the widths themselves.
    device : torch.device
        Decides what ``"auto"`` means.

    Raises
    ------
    ConfigError
        If the name is unknown or a width is not positive.
    """
    if isinstance(name, str):
        name = name_architecture(name, device)
        if name not in ARCHITECTURES:
            known = ["auto", *ARCHITECTURES]
            raise ConfigError(
                f"no architecture {name!r}{near_miss(name, known)}; "
                f"known: {', '.join(known)}, or a list of widths such as [512, 256]"
            )
        return ARCHITECTURES[name]
    widths = tuple(int(width) for width in name)
    if not widths or min(widths) < 1:
        raise ConfigError(f"architecture = {list(name)}: every width must be at least 1")
    return widths


class IRNet(nn.Module):
    """Blocks ``h <- ReLU(Dropout(Norm(W h))) + S h``, then a linear head.

    ``S`` is linear, and the identity where the widths are equal; ``Norm`` is a layer norm.
    Dropout is on exactly when `forward` is given a generator: its state is an argument, not a mode
    of the module.

    Parameters
    ----------
    n_features : int
        Input features.
    widths : sequence of int
        Output width of each block.
    dropout : float
        Probability that a unit is zeroed, to the nearest 1/256.
    generator : torch.Generator
        Draws the initial parameters: uniform in +-1/sqrt(fan in), on the CPU, so that they are
        the same on every device.
    """

    def __init__(
        self, n_features: int, widths: Sequence[int], dropout: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.dropout = dropout
        fan_ins = [n_features, *widths[:-1]]
        pairs = list(zip(fan_ins, widths, strict=True))
        self.mains = nn.ModuleList(_linear(a, b, generator) for a, b in pairs)
        self.norms = nn.ModuleList(nn.LayerNorm(b) for b in widths)
        self.skips = nn.ModuleList(
            nn.Identity() if a == b else _linear(a, b, generator) for a, b in pairs
        )
        self.head = _linear(widths[-1], 1, generator)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return predictions.

        Parameters
        ----------
        x : Tensor, shape (n, n_features)
            Standardised features.
        generator : torch.Generator, optional
            Source of the dropout masks, on the device of `x`; without it there is no dropout.

        Returns
        -------
        Tensor, shape (n,)
        """
        for main, norm, skip in zip(self.mains, self.norms, self.skips, strict=True):
            h = norm(main(x))
            if generator is not None and self.dropout > 0:
                h = h * _dropout_mask(h, self.dropout, generator)
            x = torch.relu(h) + skip(x)
        return self.head(x).squeeze(-1)  # type: ignore[no-any-return]


def _linear(fan_in: int, fan_out: int, generator: torch.Generator) -> nn.Linear:
    layer = nn.Linear(fan_in, fan_out, device="meta").to_empty(device="cpu")
    bound = 1.0 / math.sqrt(fan_in)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


def _dropout_mask(h: Tensor, p: float, generator: torch.Generator) -> Tensor:
    # One 64-bit draw makes eight masks of 1/256 resolution: on a CPU drawing is the slow part.
    draws = torch.empty((h.numel() + 7) // 8, dtype=torch.int64, device=h.device)
    draws.random_(-(2**63), None, generator=generator)
    dropped = min(round(p * 256), 255)
    kept = draws.view(torch.uint8)[: h.numel()].view(h.shape) >= dropped
    return kept.to(h.dtype).mul_(256.0 / (256 - dropped))
