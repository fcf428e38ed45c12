"""Methods by name: what a table compares and the command line trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pydantic import Field, field_validator

from xtalshift.cal import CALConfig
from xtalshift.config import Settings
from xtalshift.estimators.base import Regressor
from xtalshift.estimators.baselines import LightGBMRegressor, MeanRegressor, RidgeRegressor
from xtalshift.estimators.cal import CALRegressor
from xtalshift.estimators.irnet import IRNetRegressor
from xtalshift.nn import ERMConfig, resolve_architecture
from xtalshift.registry import Registry

__all__ = ["METHODS", "LightGBMConfig", "MethodSettings", "NetworkConfig", "build_method"]


class NetworkConfig(Settings):
    """What all networks share.

    Attributes
    ----------
    architecture : str or list of int
        ``auto``, ``irnet3``, ``irnet-cpu`` or widths.
    dropout : float, optional
        By architecture if not given.
    n_members, bootstrap
        Ensemble trained as one model, see `IRNetRegressor`.
    clip : float
        Standard deviations at which features are clipped.
    bf16 : bool
        Matrix products of the training in bfloat16.
    """

    architecture: str | tuple[int, ...] = "auto"
    dropout: float | None = Field(default=None, ge=0, lt=1)
    n_members: int = Field(default=1, ge=1)
    bootstrap: bool = False
    clip: float = Field(default=10.0, gt=0)
    bf16: bool = False

    @field_validator("architecture")
    @classmethod
    def _known(cls, value: str | tuple[int, ...]) -> str | tuple[int, ...]:
        resolve_architecture(value, torch.device("cpu"))  # raises with the names
        return value


class LightGBMConfig(Settings):
    """Settings of the gradient-boosted trees; see `LightGBMRegressor`."""

    n_estimators: int = Field(default=2000, ge=1)
    learning_rate: float = Field(default=0.05, gt=0)
    num_leaves: int = Field(default=63, ge=2)
    early_stopping: int = Field(default=50, ge=1)


class MethodSettings(Settings):
    """Settings of all methods, one group each.

    Attributes
    ----------
    device : str
        Of the networks.
    threads : int
        Of the trees; 0 means all cores. (The command line limits PyTorch to as many.)
    cal : CALConfig
        Preset ``cal`` unless told otherwise.
    """

    device: str = "auto"
    threads: int = Field(default=0, ge=0)
    network: NetworkConfig = NetworkConfig()
    erm: ERMConfig = ERMConfig()
    cal: CALConfig = Field(default_factory=lambda: CALConfig.from_dict({}))
    lightgbm: LightGBMConfig = LightGBMConfig()


Factory = Callable[[MethodSettings, int | None], Regressor]

METHODS: Registry[Factory] = Registry("method")


def build_method(name: str, settings: MethodSettings, *, seed: int | None) -> Regressor:
    """Return the unfitted regressor of a method.

    Parameters
    ----------
    name : str
        Key of `METHODS`.
    settings : MethodSettings
        Settings of all methods.
    seed : int, optional
        Its only source of randomness.

    Raises
    ------
    NotFoundError
        If there is no such method; the message lists those there are.
    """
    return METHODS[name](settings, seed)


@METHODS.register("dummy")
def _dummy(settings: MethodSettings, seed: int | None) -> Regressor:  # noqa: ARG001
    return MeanRegressor(random_state=seed)


@METHODS.register("ridge")
def _ridge(settings: MethodSettings, seed: int | None) -> Regressor:
    return RidgeRegressor(clip=settings.network.clip, random_state=seed)


@METHODS.register("lightgbm")
def _lightgbm(settings: MethodSettings, seed: int | None) -> Regressor:
    options = settings.lightgbm.model_dump()
    return LightGBMRegressor(**options, threads=settings.threads, random_state=seed)


@METHODS.register("erm")
def _erm(settings: MethodSettings, seed: int | None) -> Regressor:
    return IRNetRegressor(**settings.erm.model_dump(), **_network(settings, seed))


@METHODS.register("cal")
def _cal(settings: MethodSettings, seed: int | None) -> Regressor:
    options = settings.cal.model_dump()
    return CALRegressor(options.pop("preset"), options, **_network(settings, seed))


@METHODS.register("cal-eps0")
def _cal_without_attack(settings: MethodSettings, seed: int | None) -> Regressor:
    """Return the control of CAL: the same recipe and budget, but the attack moves nothing."""
    options = settings.cal.without_attack().model_dump()
    return CALRegressor(options.pop("preset"), options, **_network(settings, seed))


def _network(settings: MethodSettings, seed: int | None) -> dict[str, Any]:
    return {**settings.network.model_dump(), "device": settings.device, "random_state": seed}
