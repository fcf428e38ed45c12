"""Networks trained on source rows, some with a look at the features of the target, by name."""

from __future__ import annotations

from functools import partial
from typing import Any, get_args

from xtalshift.errors import ConfigError
from xtalshift.estimators.alignment import AlignedRegressor
from xtalshift.estimators.attention import AttentionRegressor
from xtalshift.estimators.base import Regressor
from xtalshift.estimators.cal import CALRegressor
from xtalshift.estimators.irnet import IRNetRegressor
from xtalshift.estimators.robust import RobustRegressor
from xtalshift.estimators.scatter import HeteroscedasticRegressor, MCDropoutRegressor
from xtalshift.methods.registry import MethodSettings, Range, register_method
from xtalshift.nn.objectives.alignment import Alignment
from xtalshift.nn.objectives.robust import Objective

__all__ = ["network_options"]

ENSEMBLE = 5
"""Members of the deep ensemble, where the settings name no larger number."""

_RATES: dict[str, Range] = {
    "learning_rate": ("log", 3e-4, 1e-2),
    "weight_decay": ("log", 1e-4, 1.0),
}
_OBJECTIVES: dict[Objective, Range] = {
    "cvar": ("float", 0.2, 1.0),
    "chi2": ("log", 0.03, 3.0),
    "kl": ("log", 0.01, 1.0),
    "group-dro": ("log", 1e-3, 0.3),
    "v-rex": ("log", 0.1, 30.0),
    "c-mixup": ("log", 0.01, 1.0),
}
"""Strengths that tuning may choose."""
_ALIGNMENTS: dict[Alignment, Range] = {"coral": ("log", 1.0, 1e3), "mmd": ("log", 0.03, 3.0)}


CAL_STEPS: dict[str, Range] = {
    "settings.learning_rate": ("log", 3e-4, 1e-2),
    "settings.weight_decay": ("log", 1e-4, 1.0),
    "settings.partial_fraction": ("float", 0.1, 1.0),
}
"""What tuning may choose of CAL, whether rows move or not."""
CAL_SPACE: dict[str, Range] = {**CAL_STEPS, "settings.epsilon": ("log", 0.02, 1.0)}


@register_method("erm", kind="network", saved=True, space=_RATES)
def _erm(settings: MethodSettings, seed: int | None) -> Regressor:
    return IRNetRegressor(**settings.erm.model_dump(), **network_options(settings, seed))


@register_method("ensemble", kind="network", saved=True, space=_RATES)
def _ensemble(settings: MethodSettings, seed: int | None) -> Regressor:
    """Return a deep ensemble (Lakshminarayanan et al., NeurIPS 2017), trained as one model."""
    options = network_options(settings, seed)
    options["n_members"] = max(ENSEMBLE, settings.network.n_members)
    return IRNetRegressor(**settings.erm.model_dump(), **options)


@register_method("heteroscedastic", kind="network", saved=True, space=_RATES)
def _heteroscedastic(settings: MethodSettings, seed: int | None) -> Regressor:
    return HeteroscedasticRegressor(**settings.erm.model_dump(), **network_options(settings, seed))


@register_method("mc-dropout", kind="network", saved=True, space=_RATES)
def _mc_dropout(settings: MethodSettings, seed: int | None) -> Regressor:
    options = network_options(settings, seed)
    if options.pop("n_members") > 1:
        raise ConfigError("method 'mc-dropout' has no ensemble: network.n_members must be 1")
    del options["bootstrap"]
    return MCDropoutRegressor(**settings.erm.model_dump(), **options)


@register_method(
    "attention",
    kind="network",
    features="fractions",
    space={**_RATES, "dropout": ("float", 0.0, 0.3)},
)
def _attention(settings: MethodSettings, seed: int | None) -> Regressor:
    network = settings.network
    if network.n_members > 1:
        raise ConfigError("method 'attention' has no ensemble: network.n_members must be 1")
    options = settings.erm.model_dump()
    if network.dropout is not None:
        options["dropout"] = network.dropout
    return AttentionRegressor(
        **options, clip=network.clip, bf16=network.bf16, device=settings.device, random_state=seed
    )


@register_method("cal", kind="robust", saved=True, space=CAL_SPACE)
def _cal(settings: MethodSettings, seed: int | None) -> Regressor:
    options = settings.cal.model_dump()
    return CALRegressor(options.pop("preset"), options, **network_options(settings, seed))


@register_method("cal-eps0", kind="robust", saved=True, space=CAL_STEPS)
def _cal_without_attack(settings: MethodSettings, seed: int | None) -> Regressor:
    """Return the control of CAL: the same recipe and budget, but the attack moves nothing."""
    options = settings.cal.without_attack().model_dump()
    return CALRegressor(options.pop("preset"), options, **network_options(settings, seed))


@register_method("wasserstein", kind="robust", space=CAL_SPACE)
def _wasserstein(settings: MethodSettings, seed: int | None) -> Regressor:
    """Return CAL whose covariate weights stay as they start: Wasserstein robust optimisation."""
    options = settings.cal.model_copy(update={"weight_rule": "fixed"}).model_dump()
    return CALRegressor(options.pop("preset"), options, **network_options(settings, seed))


def _robust(objective: Objective, settings: MethodSettings, seed: int | None) -> Regressor:
    options = {**settings.erm.model_dump(), **network_options(settings, seed)}
    return RobustRegressor(objective, **options)


def _aligned(alignment: Alignment, settings: MethodSettings, seed: int | None) -> Regressor:
    options = {**settings.erm.model_dump(), **network_options(settings, seed)}
    return AlignedRegressor(alignment, **options)


for _name in get_args(Objective):
    register_method(_name, kind="robust", space={"strength": _OBJECTIVES[_name], **_RATES})(
        partial(_robust, _name)
    )
for _name in get_args(Alignment):
    register_method(
        _name,
        kind="adaptation",
        sees="features",
        space={"strength": _ALIGNMENTS[_name], **_RATES},
    )(partial(_aligned, _name))


def network_options(settings: MethodSettings, seed: int | None) -> dict[str, Any]:
    """Return what all networks share, as arguments of their regressors."""
    return {**settings.network.model_dump(), "device": settings.device, "random_state": seed}
