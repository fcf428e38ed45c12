"""One network for several targets: a shared trunk, a head for each, and a loss of known values.

Source: Caruana, Mach. Learn. 28, 41 (1997).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.irnet import Affine, IRNet
from xtalshift.nn.rows import Rows


@dataclass(frozen=True)
class TargetRows(Rows):
    """Rows with several targets, which they need not all have.

    Attributes
    ----------
    x : Tensor, shape (n, d)
        Standardised features.
    y : Tensor, shape (t, n)
        Standardised targets; 0 where a value is not known.
    weights : Tensor, shape (t, n), or None
        Sample weights, 0 where a value is not known; None if all are known and count the same.
    """

    def __post_init__(self) -> None:
        for name in ("y", "weights"):
            value = getattr(self, name)
            if value is not None and (value.ndim != 2 or value.shape[1:] != self.x.shape[:1]):  # noqa: PLR2004
                raise ValueError(
                    f"x {tuple(self.x.shape)}, {name} {tuple(value.shape)}: expected "
                    f"(targets, {len(self.x)})"
                )

    def take(self, indices: Tensor) -> Self:
        """Return the rows `indices`, shape (k,)."""
        weights = None if self.weights is None else self.weights[:, indices]
        return type(self)(self.x[indices], self.y[:, indices], weights)


class MultiTaskIRNet(IRNet):
    """An `IRNet` with a linear head for each target; `forward` returns shape (t, n).

    Parameters
    ----------
    n_features, widths, dropout
        As in `IRNet`.
    generator : torch.Generator
        Draws the initial parameters; those of the blocks are the same as in an `IRNet`.
    n_targets : int
        Number t of targets.
    """

    def __init__(
        self,
        n_features: int,
        widths: Sequence[int],
        dropout: float,
        generator: torch.Generator,
        n_targets: int,
    ) -> None:
        super().__init__(n_features, widths, dropout, generator)
        if n_targets > 1:  # for one the network is an `IRNet`
            self.head = Affine(widths[-1], n_targets, generator)

    def _forward(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        found: Tensor = self.head(self.embed(x, generator))
        return found.transpose(-1, -2)


class MultiTaskTraining(ERMTraining):
    """Minimise the sum over targets of the mean loss over the rows of a batch that have a value.

    So a target counts the same however few rows have it. The parameters with the smallest mean
    over targets of the validation error, in standard deviations, are the best.
    """

    name = "multi-task"
    rows: TargetRows

    def selection_error(self, validation: Rows, epoch: int, limit: float) -> Tensor:
        """Return the mean over targets of the validation error, shape ()."""
        return super().selection_error(validation, epoch, limit).mean()
