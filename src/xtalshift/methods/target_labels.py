"""Methods that use target labels, or weigh source rows by target features, by name."""

from __future__ import annotations

from functools import partial

from xtalshift.cal.target import AdaptMethod
from xtalshift.estimators.adaptation import TargetedCALRegressor
from xtalshift.estimators.base import Regressor
from xtalshift.estimators.classical import GPRegressor
from xtalshift.estimators.target_labels import (
    JointRegressor,
    ResidualGPRegressor,
    TargetOnlyRegressor,
)
from xtalshift.estimators.weighting import ImportanceWeightedRegressor, Ratio
from xtalshift.methods.networks import network_options
from xtalshift.methods.registry import METHODS, MethodSettings, Range, Sees, register_method

__all__: list[str] = []

RATIOS: tuple[Ratio, ...] = ("kmm", "ulsif", "classifier")
UNLABELLED: tuple[AdaptMethod, ...] = ("unlabelled-cal", "unlabelled-cal-eps0")
ADAPTED: tuple[AdaptMethod, ...] = (
    "fine-tune",
    "l2-sp",
    "head-only",
    "joint",
    "targeted-cal",
    "targeted-cal-eps0",
)


ADAPTED_SPACE: dict[str, Range] = {
    "settings.learning_rate": ("log", 5e-5, 5e-3),
    "settings.steps": ("int", 50, 1000),
}


def _space_of(inner: str) -> dict[str, Range]:
    """Return what tuning may choose of the inner regressor, a method of its own."""
    return {f"estimator__{name}": span for name, span in METHODS[inner].space.items()}


def _weighted(inner: str, ratio: Ratio, settings: MethodSettings, seed: int | None) -> Regressor:
    estimator = METHODS[inner].build(settings, seed)
    return ImportanceWeightedRegressor(estimator, ratio, random_state=seed)


def _adapted(method: AdaptMethod, settings: MethodSettings, seed: int | None) -> Regressor:
    source = settings.erm.model_dump()
    return TargetedCALRegressor(method, source=source, **network_options(settings, seed))


def _register_weighted() -> None:
    for inner in ("ridge", "lightgbm"):
        space = {"max_weight": ("log", 3.0, 100.0), **_space_of(inner)}
        for ratio in RATIOS:
            register = register_method(
                f"{ratio}-{inner}", kind="adaptation", sees="features", space=space
            )
            register(partial(_weighted, inner, ratio))


def _register_adapted(methods: tuple[AdaptMethod, ...], sees: Sees) -> None:
    for method in methods:
        register_method(method, kind="adaptation", sees=sees, space=ADAPTED_SPACE)(
            partial(_adapted, method)
        )


_register_weighted()
_register_adapted(UNLABELLED, "features")


@register_method("target-ridge", kind="adaptation", sees="labels")
def _target_ridge(settings: MethodSettings, seed: int | None) -> Regressor:
    return TargetOnlyRegressor(METHODS["ridge"].build(settings, seed), random_state=seed)


@register_method("target-gp", kind="adaptation", sees="labels")
def _target_gp(settings: MethodSettings, seed: int | None) -> Regressor:
    process = GPRegressor(clip=settings.network.clip, random_state=seed)
    # the process selects nothing: all labels train
    return TargetOnlyRegressor(process, hold_out=False, random_state=seed)


@register_method("target-lightgbm", kind="adaptation", sees="labels", space=_space_of("lightgbm"))
def _target_lightgbm(settings: MethodSettings, seed: int | None) -> Regressor:
    return TargetOnlyRegressor(METHODS["lightgbm"].build(settings, seed), random_state=seed)


@register_method(
    "joint-lightgbm",
    kind="adaptation",
    sees="labels",
    space={"target_share": ("float", 0.1, 0.9), **_space_of("lightgbm")},
)
def _joint_lightgbm(settings: MethodSettings, seed: int | None) -> Regressor:
    return JointRegressor(METHODS["lightgbm"].build(settings, seed), random_state=seed)


_register_adapted(ADAPTED, "labels")


@register_method("residual-gp", kind="adaptation", sees="labels", space=_space_of("erm"))
def _residual_gp(settings: MethodSettings, seed: int | None) -> Regressor:
    return ResidualGPRegressor(METHODS["erm"].build(settings, seed), random_state=seed)


@register_method(
    "residual-gp-tuned",
    kind="adaptation",
    sees="labels",
    space={f"estimator__{name}": choices for name, choices in ADAPTED_SPACE.items()},
)
def _residual_gp_tuned(settings: MethodSettings, seed: int | None) -> Regressor:
    return ResidualGPRegressor(METHODS["fine-tune"].build(settings, seed), random_state=seed)
