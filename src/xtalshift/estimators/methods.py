"""Methods by name: what a table compares and the command line trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import Field

from xtalshift.cal import CALConfig
from xtalshift.config import Settings
from xtalshift.estimators.base import Regressor
from xtalshift.estimators.baselines import LightGBMRegressor, MeanRegressor, RidgeRegressor
from xtalshift.estimators.cal import CALRegressor
from xtalshift.estimators.irnet import IRNetRegressor
from xtalshift.nn import ERMConfig
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
    clip : float
        Standard deviations at which features are clipped.
    """

    architecture: str | tuple[int, ...] = "auto"
    dropout: float | None = None
    clip: float = 10.0


class LightGBMConfig(Settings):
    """Settings of the gradient-boosted trees; see `LightGBMRegressor`."""

    n_estimators: int = 2000
    learning_rate: float = 0.05
    num_leaves: int = 63
    early_stopping: int = 50


class MethodSettings(Settings):
    """Settings of all methods, one group each.

    Attributes
    ----------
    device : str
        Of the networks.
    threads : int
        Of the trees; 0 means all cores.
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


def _network(settings: MethodSettings, seed: int | None) -> dict[str, Any]:
    return {**settings.network.model_dump(), "device": settings.device, "random_state": seed}
