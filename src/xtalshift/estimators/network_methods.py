"""Networks trained on source rows, some with a look at the features of the target, by name."""

from __future__ import annotations

from typing import Any

from xtalshift.estimators.base import Regressor
from xtalshift.estimators.cal import CALRegressor
from xtalshift.estimators.irnet import IRNetRegressor
from xtalshift.estimators.methods import MethodSettings, register_method

__all__ = ["network_options"]


@register_method(
    "erm",
    kind="network",
    saved=True,
    space={"learning_rate": ("log", 3e-4, 1e-2), "weight_decay": ("log", 1e-4, 1.0)},
)
def _erm(settings: MethodSettings, seed: int | None) -> Regressor:
    return IRNetRegressor(**settings.erm.model_dump(), **network_options(settings, seed))


@register_method("cal", kind="robust", saved=True)
def _cal(settings: MethodSettings, seed: int | None) -> Regressor:
    options = settings.cal.model_dump()
    return CALRegressor(options.pop("preset"), options, **network_options(settings, seed))


@register_method("cal-eps0", kind="robust", saved=True)
def _cal_without_attack(settings: MethodSettings, seed: int | None) -> Regressor:
    """Return the control of CAL: the same recipe and budget, but the attack moves nothing."""
    options = settings.cal.without_attack().model_dump()
    return CALRegressor(options.pop("preset"), options, **network_options(settings, seed))


def network_options(settings: MethodSettings, seed: int | None) -> dict[str, Any]:
    """Return what all networks share, as arguments of their regressors."""
    return {**settings.network.model_dump(), "device": settings.device, "random_state": seed}
