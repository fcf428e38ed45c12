"""Methods by name: what a table compares and the command line trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field, field_validator

from xtalshift.cal import CALConfig
from xtalshift.config import Settings
from xtalshift.errors import ConfigError
from xtalshift.estimators.base import Regressor
from xtalshift.featurize.composition import Blocks
from xtalshift.nn import ERMConfig, resolve_architecture
from xtalshift.registry import Registry, near_miss

__all__ = [
    "METHODS",
    "Factory",
    "LightGBMConfig",
    "Method",
    "MethodSettings",
    "NetworkConfig",
    "Range",
    "build_method",
    "override",
    "register_method",
    "saved_methods",
]


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
Kind = Literal["constant", "classical", "network", "robust", "adaptation"]
Sees = Literal["source", "features", "labels"]
Range = tuple[Any, ...]


@dataclass(frozen=True)
class Method:
    """A way to predict, as tables compare it.

    Attributes
    ----------
    build : callable
        Takes `MethodSettings` and a seed (int or None), returns an unfitted `Regressor`.
    kind : str
        Group in tables: ``constant``, ``classical``, ``network``, ``robust``, ``adaptation``.
    sees : str
        What it gets of the target domain beside source rows: nothing (``source``), ``features`` of
        its rows, or ``labels`` of some.
    features : str, optional
        Features that it needs, see `xtalshift.featurize.CompositionFeaturizer`; any if None.
    saved : bool
        Whether its fitted model can be saved, so that `run` and `train` offer it.
    space : mapping
        Arguments that tuning may choose: name -> ``("log", low, high)``, ``("float", low, high)``,
        ``("int", low, high)`` or ``("choice", a, b, ...)``. Names as in `override`.
    """

    build: Factory
    kind: Kind = "classical"
    sees: Sees = "source"
    features: Blocks | None = None
    saved: bool = False
    space: Mapping[str, Range] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """The module that the function comes from, also if arguments of it are fixed."""
        build: Any = self.build
        while isinstance(build, partial):
            build = build.func
        return str(build.__module__)


METHODS: Registry[Method] = Registry("method")


def register_method(
    name: str,
    *,
    kind: Kind = "classical",
    sees: Sees = "source",
    features: Blocks | None = None,
    saved: bool = False,
    space: Mapping[str, Range] | None = None,
) -> Callable[[Factory], Factory]:
    """Return a decorator that adds a function ``(settings, seed) -> Regressor`` to `METHODS`.

    Parameters
    ----------
    name : str
        Of the method, in tables and on the command line.
    kind, sees, features, saved, space
        As in `Method`.

    Raises
    ------
    ValueError
        If the name is taken.
    """

    def decorate(build: Factory) -> Factory:
        METHODS.add(name, Method(build, kind, sees, features, saved, dict(space or {})))
        return build

    return decorate


def saved_methods() -> tuple[str, ...]:
    """Return the names of the methods that `run` and `train` offer."""
    return tuple(name for name in METHODS if METHODS[name].saved)


def build_method(
    name: str,
    settings: MethodSettings,
    *,
    seed: int | None,
    params: Mapping[str, Any] | None = None,
) -> Regressor:
    """Return the unfitted regressor of a method.

    Parameters
    ----------
    name : str
        Key of `METHODS`.
    settings : MethodSettings
        Settings of all methods.
    seed : int, optional
        Its only source of randomness.
    params : mapping, optional
        Arguments of the regressor that are others than usual, see `override`.

    Raises
    ------
    NotFoundError
        If there is no such method; the message lists those there are.
    ConfigError
        If an argument is unknown.
    """
    return override(METHODS[name].build(settings, seed), params or {})


def override(regressor: Regressor, params: Mapping[str, Any]) -> Regressor:
    """Return a regressor with some arguments set.

    Parameters
    ----------
    regressor : Regressor
        Changed in place.
    params : mapping
        Name -> value, as in ``set_params``: ``estimator__alpha`` is an argument of an inner
        estimator. A mapping adds to an argument that is a mapping (the settings of CAL);
        ``settings.epsilon`` is one entry of it.

    Raises
    ------
    ConfigError
        If an argument is unknown.
    """
    known = regressor.get_params(deep=True)
    for path, given in params.items():
        name, _, entry = path.partition(".")
        value = {entry: given} if entry else given
        if name not in known:
            hint = near_miss(name, known)
            raise ConfigError(
                f"{type(regressor).__name__} has no argument {name!r}{hint}{'' if hint else '.'} "
                f"It has: {', '.join(sorted(known))}"
            )
        if isinstance(value, Mapping):
            value = {**(known[name] or {}), **value}
            known[name] = value
        regressor.set_params(**{name: value})
    return regressor
