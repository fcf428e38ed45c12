"""A network on crystals whose lower layers are done: the last convolution and a new head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.initial import Affine
from xtalshift.nn.optimizer import make_adamw
from xtalshift.nn.rows import Rows
from xtalshift.nn.settings import ERMConfig

_ROWS = 32  # crystals in one pass without gradient
_LEAST_SPREAD = 1e-7  # a feature that is the same for all rows has one from rounding


@dataclass(frozen=True, eq=False)
class FrozenCrystals:
    """What the last convolution starts from, for n crystals with m atoms and b bonds."""

    atoms: Tensor
    bonds: Tensor
    bond_weights: Tensor
    """`atoms`, `bonds`, `bond_weights`: shapes (m, width), (b, width), (b, width)."""
    bond_of: Tensor
    """Shape (p,). Bond of each pair of atoms."""
    pairs: Tensor
    """Shape (p, 2). Both atoms of each pair."""
    owners: Tensor
    """Shape (m,). Crystal of each atom, from 0 to n - 1."""

    @classmethod
    def join(cls, parts: list[FrozenCrystals], device: torch.device) -> FrozenCrystals:
        """Return several crystals as one batch on a device."""
        n_atoms = [len(part.atoms) for part in parts]
        n_bonds = [len(part.bonds) for part in parts]
        n_crystals = [int(part.owners[-1]) + 1 for part in parts]

        def shifted(name: str, counts: list[int]) -> Tensor:
            starts = [sum(counts[:k]) for k in range(len(counts))]
            both = zip(parts, starts, strict=True)
            return torch.cat([getattr(part, name) + start for part, start in both]).to(device)

        def together(name: str) -> Tensor:
            return torch.cat([getattr(part, name) for part in parts]).to(device)

        return cls(
            together("atoms"),
            together("bonds"),
            together("bond_weights"),
            shifted("bond_of", n_bonds),
            shifted("pairs", n_atoms),
            shifted("owners", n_crystals),
        )

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(value.nbytes for value in vars(self).values())


LookUp = Callable[[Tensor, torch.dtype], FrozenCrystals]
"""Takes rows that describe crystals and a type of numbers, and returns the crystals as a batch."""


class CrystalHead(nn.Module):
    """A pretrained convolution and norm, the mean over the atoms, a layer and a linear head.

    The mean is standardised by that of the pretrained layers over the training rows.

    Parameters
    ----------
    convolution, norm : torch.nn.Module
        The pretrained layers, which become parts of this one.
    look_up : callable
        Finds what the convolution starts from.
    n_features : int
        Number of features of an atom.
    width : int
        Width of the new layer.
    generator : torch.Generator
        Draws the new parameters, on the CPU.
    """

    members = None  # a single network, see `IRNet`
    bf16 = False

    def __init__(
        self,
        convolution: nn.Module,
        norm: nn.Module,
        look_up: LookUp,
        n_features: int,
        width: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = norm
        self.look_up = look_up
        # not trained; as parameters they are saved with the others
        self.center = nn.Parameter(torch.zeros(n_features), requires_grad=False)
        self.scale = nn.Parameter(torch.ones(n_features), requires_grad=False)
        self.hidden = Affine(n_features, width, generator)
        self.head = Affine(width, 1, generator)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:  # noqa: ARG002 - no dropout
        """Return predictions, shape (n,).

        Parameters
        ----------
        x : Tensor, shape (n, d)
            Rows that describe crystals, or what `pool` returned for them.
        generator : torch.Generator, optional
            Of no use: there is no dropout.
        """
        found: Tensor = self.head(self.embed(x)).squeeze(-1)
        return found

    def embed(self, x: Tensor) -> Tensor:
        """Return the input of the head, shape (n, width); `x` may be what `pool` returned."""
        pooled = x if x.shape[-1] == len(self.center) else self.pool(x)
        return F.silu(self.hidden((pooled - self.center) / self.scale))

    @torch.no_grad()
    def learn_scale(self, x: Tensor) -> None:
        """Take the mean and the spread of the pretrained features from rows, shape (n, d)."""
        pooled = x if x.shape[-1] == len(self.center) else self.pool(x)
        self.center.copy_(pooled.mean(dim=0))
        spread = pooled.std(dim=0, correction=0)
        self.scale.copy_(torch.where(spread > _LEAST_SPREAD, spread, 1.0))

    def pool(self, x: Tensor) -> Tensor:
        """Return the mean over the atoms of the pretrained features, shape (n, n_features).

        It changes only if the pretrained layers do.
        """
        if torch.is_grad_enabled():
            return self._pool(x)
        return torch.cat([self._pool(part) for part in torch.split(x, _ROWS)])

    def _pool(self, x: Tensor) -> Tensor:
        kind = self.head.weight.dtype
        crystals = self.look_up(x, kind)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            atoms = self.norm(
                self.convolution(
                    atom_feas=crystals.atoms,
                    bond_feas=crystals.bonds,
                    bond_weights=crystals.bond_weights,
                    atom_graph=crystals.pairs,
                    directed2undirected=crystals.bond_of,
                )
            ).to(kind)
        sums: Tensor = atoms.new_zeros(len(x), atoms.shape[-1]).index_add(0, crystals.owners, atoms)
        counts = torch.bincount(crystals.owners, minlength=len(x)).unsqueeze(-1)
        return sums / counts


class FineTuning(ERMTraining):
    """Plain training, in which pretrained parameters take smaller steps than new ones.

    Parameters
    ----------
    model, rows, config, generator, sample
        As in `ERMTraining`.
    pretrained_rate : float
        Learning rate of the pretrained parameters over that of the others.
    """

    name = "fine-tuning"

    def __init__(
        self,
        model: CrystalHead,
        rows: Rows,
        config: ERMConfig,
        generator: torch.Generator,
        *,
        pretrained_rate: float,
        sample: Tensor | None = None,
    ) -> None:
        super().__init__(model, rows, config, generator, sample=sample)
        new = [*model.hidden.parameters(), *model.head.parameters()]
        old = [*model.convolution.parameters(), *model.norm.parameters()]
        for one in old:
            one.requires_grad_(pretrained_rate > 0)  # else nothing would come of their gradients
        groups: list[dict[str, Any]] = [
            {"params": new, "share": 1.0},
            {"params": old, "share": pretrained_rate},
        ]
        self.optimizer = make_adamw(groups, config.learning_rate, config.weight_decay)

    def set_rate(self, rate: float) -> None:
        """Set the learning rates of the next step."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * self.step_scale * group["share"]
