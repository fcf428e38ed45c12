"""Settings of networks and of plain training; PyTorch is not needed to read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator

from xtalshift.config import Settings
from xtalshift.errors import ConfigError
from xtalshift.registry import near_miss

Layers = Literal["all", "first", "last"]
"""All layers, the first block, or the last layer."""

ARCHITECTURES: dict[str, tuple[int, ...]] = {
    "irnet3": (2048, 1024, 512),
    "irnet-cpu": (256, 128, 64),
}
"""Named widths; ``auto`` means ``irnet-cpu`` on a CPU and ``irnet3`` elsewhere."""

WIDEST = 16_384
"""Largest width of a layer: two of them have a GB of parameters."""


def name_architecture(name: str, device: str) -> str:
    """Return `name`, or for ``"auto"`` the default architecture of the type of device."""
    if name != "auto":
        return name
    return "irnet-cpu" if device == "cpu" else "irnet3"


def resolve_architecture(name: str | Sequence[int], device: str = "cpu") -> tuple[int, ...]:
    """Return the widths that `name` stands for.

    Parameters
    ----------
    name : str or sequence of int
        A key of `ARCHITECTURES`, ``"auto"``, or widths.
    device : str
        Type of device, such as ``"cpu"`` or ``"cuda"``; it decides what ``"auto"`` means.

    Raises
    ------
    ConfigError
        If the name is unknown or a width is not from 1 to `WIDEST`.
    """
    if isinstance(name, str):
        name = name_architecture(name, device)
        if name not in ARCHITECTURES:
            known = ["auto", *ARCHITECTURES]
            raise ConfigError(
                f"no architecture {name!r}{near_miss(name, known)}. "
                f"Known: {', '.join(known)}, or a list of widths such as [512, 256]"
            )
        return ARCHITECTURES[name]
    widths = tuple(int(width) for width in name)
    if not widths or not 1 <= min(widths) <= max(widths) <= WIDEST:
        raise ConfigError(f"architecture = {list(name)}: every width must be from 1 to {WIDEST:,}")
    return widths


class ERMConfig(Settings):
    """Settings of plain training."""

    epochs: int = Field(default=80, ge=1, le=1_000_000)
    """Largest number of passes over the training rows."""
    patience: int = Field(default=80, ge=1)
    """Stop after this many epochs without a better validation error."""
    batch_size: int = Field(default=256, ge=1)
    """Rows per step."""
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    """`learning_rate`, `weight_decay`: settings of AdamW; the learning rate falls to 0 along half a
    cosine over `epochs`."""
    ema_decay: float = Field(default=0.995, ge=0, lt=1)
    """Decay per step of the moving average of the parameters (EMA)."""


class PretrainSettings(Settings):
    """Settings of an encoder of compositions and of its training on several tables.

    More epochs predict the tables of the pretraining better, and other properties worse.
    """

    widths: tuple[int, int] = (256, 128)
    """Widths of the hidden layers."""
    size: int = Field(default=96, ge=1, le=4096)
    """Number of features."""
    epochs: int = Field(default=15, ge=1, le=10_000)
    batch_size: int = Field(default=512, ge=1)
    """`epochs`, `batch_size`: passes over the materials, and materials per step."""
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.3, ge=0)
    """`learning_rate`, `weight_decay`: settings of AdamW; the learning rate falls to 0 along half a
    cosine."""

    @field_validator("widths")
    @classmethod
    def _check_widths(cls, widths: tuple[int, int]) -> tuple[int, int]:
        resolve_architecture(widths)  # raises with the largest width
        return widths
