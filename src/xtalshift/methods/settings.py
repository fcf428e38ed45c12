"""Settings of all methods; PyTorch is not needed to read them."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from xtalshift.cal.settings import CALConfig
from xtalshift.config import Settings
from xtalshift.estimators.predictors import Loss
from xtalshift.nn.settings import ERMConfig, resolve_architecture
from xtalshift.registry import near_miss

DEVICES = (
    "auto", "cpu", "cuda", "mps", "xpu", "hpu", "mtia", "ipu", "maia", "meta", "vulkan", "xla",
    "privateuseone",
)  # fmt: skip
"""Kinds of devices that PyTorch may have; which of them are there is known when one is used."""


class NetworkConfig(Settings):
    """Settings that all networks share."""

    architecture: str | tuple[int, ...] = "auto"
    """``auto``, ``irnet3``, ``irnet-cpu`` or widths."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """By default that of the architecture."""
    n_members: int = Field(default=1, ge=1, le=1000)
    bootstrap: bool = False
    """`n_members`, `bootstrap`: the ensemble that is trained as one model, see `IRNetRegressor`."""
    clip: float = Field(default=10.0, gt=0)
    """Number of standard deviations at which features are clipped."""
    bf16: bool = False
    """Whether training computes matrix products in bfloat16."""

    @field_validator("architecture")
    @classmethod
    def _known(cls, value: str | tuple[int, ...]) -> str | tuple[int, ...]:
        resolve_architecture(value)  # the error lists the names
        return value


class LightGBMConfig(Settings):
    """Settings of the gradient-boosted trees; see `LightGBMRegressor`."""

    n_estimators: int = Field(default=2000, ge=1, le=1_000_000)
    learning_rate: float = Field(default=0.05, gt=0)
    num_leaves: int = Field(default=63, ge=2, le=131_072)
    early_stopping: int = Field(default=50, ge=1)
    max_bin: int = Field(default=255, ge=2, le=65_535)
    loss: Loss = "absolute"


class MethodSettings(Settings):
    """Settings of all methods, one group each.

    Attributes
    ----------
    device : str
        Device of the networks.
    threads : int
        Threads of the trees; 0 means all cores. (The command line gives PyTorch the same number.)
    cal : CALConfig
        By default the preset ``cal``.
    """

    device: str = "auto"
    threads: int = Field(default=0, ge=0)
    network: NetworkConfig = NetworkConfig()
    erm: ERMConfig = ERMConfig()
    cal: CALConfig = Field(default_factory=lambda: CALConfig.from_dict({}))
    lightgbm: LightGBMConfig = LightGBMConfig()

    @field_validator("device")
    @classmethod
    def _possible_device(cls, name: str) -> str:
        kind, colon, number = name.partition(":")
        if kind not in DEVICES or (colon and not number.isdecimal()):
            hint = near_miss(kind, DEVICES)
            raise ValueError(f"no such device{hint}; name auto, cpu, cuda, cuda:1, mps, xpu ...")
        return name

    def erm_arguments(self, seed: int | None) -> dict[str, Any]:
        """Return the arguments of a network with plain training."""
        return {**self.erm.model_dump(), **self.network_arguments(seed)}

    def network_arguments(self, seed: int | None) -> dict[str, Any]:
        """Return the settings that all networks share, as arguments of their regressors."""
        return {**self.network.model_dump(), "device": self.device, "random_state": seed}
