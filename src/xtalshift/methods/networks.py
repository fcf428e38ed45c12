"""Networks trained on source rows, by name."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from xtalshift import estimators
from xtalshift.errors import ConfigError
from xtalshift.methods.registry import register_method
from xtalshift.methods.tuning import CAL, CAL_EPS0, RATES, Range

if TYPE_CHECKING:
    from xtalshift.cal.settings import CALConfig
    from xtalshift.estimators.base import Classifier, Regressor
    from xtalshift.methods.settings import MethodSettings

ENSEMBLE = 5
"""Members of the deep ensemble, unless the settings ask for more."""
PRETRAINED_RATE = 0.1
"""Learning rate of the pretrained layers of CHGNet over that of its new head."""
EPOCHS_OF_CRYSTALS = 3 / 8
"""Epochs of a network on crystals over those of the settings: each takes as long as many others."""
CRYSTAL = "magpie+chgnet"
"""Features of attacks on crystals, which go through those of CHGNet."""


def _single(name: str, settings: MethodSettings, seed: int | None) -> dict[str, Any]:
    """Return the arguments of a network that cannot be an ensemble."""
    options = settings.erm_arguments(seed)
    if options.pop("n_members") > 1:
        raise ConfigError(f"method {name!r} cannot be an ensemble: network.n_members must be 1")
    del options["bootstrap"]
    return options


def _erm_classes(settings: MethodSettings, seed: int | None) -> Classifier:
    return estimators.IRNetClassifier(**settings.erm_arguments(seed))


@register_method(
    "erm",
    family="network",
    summary="neural network, plain training (empirical risk minimisation)",
    control="dummy",
    cost=7.5,
    saved=True,
    classify=_erm_classes,
    bounds=True,
    space=RATES,
)
def _erm(settings: MethodSettings, seed: int | None) -> Regressor:
    return estimators.IRNetRegressor(**settings.erm_arguments(seed))


def _ensemble_classes(settings: MethodSettings, seed: int | None) -> Classifier:
    options = settings.erm_arguments(seed)
    options["n_members"] = max(ENSEMBLE, settings.network.n_members)
    return estimators.IRNetClassifier(**options)


@register_method(
    "ensemble",
    family="network",
    summary="mean of five networks with different initial parameters (deep ensemble)",
    control="erm",
    cost=24.0,
    saved=True,
    classify=_ensemble_classes,
    bounds=True,
    space=RATES,
)
def _ensemble(settings: MethodSettings, seed: int | None) -> Regressor:
    """Return a deep ensemble (Lakshminarayanan et al., NeurIPS 2017), trained as one model."""
    options = settings.erm_arguments(seed)
    options["n_members"] = max(ENSEMBLE, settings.network.n_members)
    return estimators.IRNetRegressor(**options)


@register_method(
    "heteroscedastic",
    family="network",
    summary="network with a second output: the standard deviation of each target",
    control="erm",
    cost=9.0,
    saved=True,
    bounds=True,
    space=RATES,
)
def _heteroscedastic(settings: MethodSettings, seed: int | None) -> Regressor:
    return estimators.HeteroscedasticRegressor(**settings.erm_arguments(seed))


@register_method(
    "mc-dropout",
    family="network",
    summary="network whose standard deviation comes from dropout at prediction time",
    control="erm",
    cost=7.5,
    saved=True,
    bounds=True,
    space=RATES,
)
def _mc_dropout(settings: MethodSettings, seed: int | None) -> Regressor:
    return estimators.MCDropoutRegressor(**_single("mc-dropout", settings, seed))


@register_method(
    "multi-task",
    family="network",
    summary="one network with a head for each of several targets (for one target: erm)",
    control="erm",
    cost=7.5,
    saved=True,
    joint=True,
    bounds=True,
    space=RATES,
)
def _multi_task(settings: MethodSettings, seed: int | None) -> Regressor:
    return estimators.MultiTaskRegressor(**_single("multi-task", settings, seed))


@register_method(
    "attention",
    family="network",
    summary="attention between the elements of a composition",
    control="erm",
    cost=24.0,
    features="fractions",
    space={**RATES, "dropout": ("float", 0.0, 0.3)},
)
def _attention(settings: MethodSettings, seed: int | None) -> Regressor:
    options = _single("attention", settings, seed)
    del options["architecture"]
    if options["dropout"] is None:
        del options["dropout"]
    return estimators.AttentionRegressor(**options)


def _chgnet(
    name: str, pretrained_rate: float, settings: MethodSettings, seed: int | None
) -> Regressor:
    """Return CHGNet with a new head."""
    options = _single(name, settings, seed)
    for unused in ("architecture", "dropout", "batch_size", "patience"):
        del options[unused]
    options["epochs"] = math.ceil(options["epochs"] * EPOCHS_OF_CRYSTALS)
    return estimators.FineTunedCHGNetRegressor(pretrained_rate=pretrained_rate, **options)


@register_method(
    "chgnet-frozen",
    family="network",
    summary="CHGNet with a new head, nothing else trained; needs crystal structures (control)",
    control="erm",
    cost=2500.0,
    saved=True,
    features="chgnet+sites",
    space=RATES,
)
def _chgnet_frozen(settings: MethodSettings, seed: int | None) -> Regressor:
    return _chgnet("chgnet-frozen", 0.0, settings, seed)


@register_method(
    "chgnet-finetune",
    family="network",
    summary="the same with its last convolution trained too; needs crystal structures",
    control="chgnet-frozen",
    cost=6000.0,
    saved=True,
    features="chgnet+sites",
    space=RATES,
)
def _chgnet_finetune(settings: MethodSettings, seed: int | None) -> Regressor:
    return _chgnet("chgnet-finetune", PRETRAINED_RATE, settings, seed)


def build_cal(config: CALConfig, settings: MethodSettings, seed: int | None) -> Regressor:
    """Return a CAL regressor with the given settings."""
    options = config.model_dump()
    return estimators.CALRegressor(
        options.pop("preset"), options, **settings.network_arguments(seed)
    )


def _class_cal(config: CALConfig, settings: MethodSettings, seed: int | None) -> Classifier:
    options = config.model_dump()
    return estimators.CALClassifier(
        options.pop("preset"), options, **settings.network_arguments(seed)
    )


def _cal_classes(settings: MethodSettings, seed: int | None) -> Classifier:
    return _class_cal(settings.cal, settings, seed)


def _cal_eps0_classes(settings: MethodSettings, seed: int | None) -> Classifier:
    return _class_cal(settings.cal.without_attack(), settings, seed)


@register_method(
    "cal",
    classify=_cal_classes,
    family="cal",
    summary="the same network, trained by crystal adversarial learning",
    control="cal-eps0",
    cost=10.5,
    saved=True,
    bounds=True,
    space=CAL,
)
def _cal(settings: MethodSettings, seed: int | None) -> Regressor:
    return build_cal(settings.cal, settings, seed)


@register_method(
    "cal-eps0",
    classify=_cal_eps0_classes,
    family="cal",
    summary="as cal, but the attack moves nothing (control)",
    control="erm",
    cost=9.0,
    saved=True,
    bounds=True,
    space=CAL_EPS0,
)
def _cal_without_attack(settings: MethodSettings, seed: int | None) -> Regressor:
    return build_cal(settings.cal.without_attack(), settings, seed)


@register_method(
    "cal-crystal",
    family="cal",
    summary="cal whose attack strains crystals and moves their atoms",
    control="cal-crystal-eps0",
    cost=2000.0,
    saved=True,
    usual_features=CRYSTAL,
    bounds=True,
    space=CAL,
)
def _cal_crystal(settings: MethodSettings, seed: int | None) -> Regressor:
    return build_cal(settings.cal.on_crystals(), settings, seed)


@register_method(
    "cal-crystal-eps0",
    family="cal",
    summary="as cal-crystal, but the attack moves nothing (control)",
    control="erm",
    cost=9.0,
    saved=True,
    usual_features=CRYSTAL,
    bounds=True,
    space=CAL_EPS0,
)
def _cal_crystal_without_attack(settings: MethodSettings, seed: int | None) -> Regressor:
    return build_cal(settings.cal.on_crystals().without_attack(), settings, seed)


def _uncertainty(config: CALConfig, settings: MethodSettings, seed: int | None) -> Regressor:
    """Return an ensemble whose members are trained where they disagree."""
    network = settings.network
    several = network.model_copy(update={"n_members": max(ENSEMBLE, network.n_members)})
    config = config.model_copy(update={"objective": "uncertainty"})
    return build_cal(config, settings.model_copy(update={"network": several}), seed)


@register_method(
    "cal-uncertainty",
    family="cal",
    summary="ensemble trained by cal, with attacks to where its members disagree",
    control="cal-uncertainty-eps0",
    cost=36.0,
    bounds=True,
    space=CAL,
)
def _cal_uncertainty(settings: MethodSettings, seed: int | None) -> Regressor:
    return _uncertainty(settings.cal, settings, seed)


@register_method(
    "cal-uncertainty-eps0",
    family="cal",
    summary="as cal-uncertainty, but the attack moves nothing (control)",
    control="ensemble",
    cost=30.0,
    bounds=True,
    space=CAL_EPS0,
)
def _cal_uncertainty_without_attack(settings: MethodSettings, seed: int | None) -> Regressor:
    return _uncertainty(settings.cal.without_attack(), settings, seed)


def _robust(objective: str, settings: MethodSettings, seed: int | None) -> Regressor:
    return estimators.RobustRegressor(objective, **settings.erm_arguments(seed))


def _robust_classes(objective: str, settings: MethodSettings, seed: int | None) -> Classifier:
    return estimators.RobustClassifier(objective, **settings.erm_arguments(seed))


OF_NUMBERS = frozenset({"c-mixup"})
"""Objectives that mix targets, which classes are not."""

_OBJECTIVES: dict[str, tuple[str, Range]] = {
    "cvar": ("mean loss of the worst half of each batch", ("float", 0.2, 1.0)),
    "group-dro": ("loss of the worst cluster of materials", ("log", 1e-3, 0.3)),
    "v-rex": ("mean loss plus its variance between clusters of materials", ("log", 0.1, 30.0)),
    "c-mixup": ("trained on mixtures of materials with similar targets", ("log", 0.01, 1.0)),
}

for _name, (_summary, _strength) in _OBJECTIVES.items():
    register_method(
        _name,
        family="robust",
        summary=_summary,
        control="erm",
        cost=8.0,
        classify=None if _name in OF_NUMBERS else partial(_robust_classes, _name),
        bounds=_name not in OF_NUMBERS,
        space={"strength": _strength, **RATES},
    )(partial(_robust, _name))
