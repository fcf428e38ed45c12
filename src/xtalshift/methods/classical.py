"""The constants, the classical methods and bilinear transduction, by name."""

from __future__ import annotations

from xtalshift.estimators.base import Regressor
from xtalshift.estimators.baselines import ConstantRegressor, LightGBMRegressor, RidgeRegressor
from xtalshift.estimators.classical import (
    ForestRegressor,
    GPRegressor,
    KernelRidgeRegressor,
    NeighborsRegressor,
)
from xtalshift.estimators.quantile_trees import QuantileLightGBMRegressor
from xtalshift.estimators.transduction import BilinearTransductionRegressor
from xtalshift.methods.registry import MethodSettings, register_method

__all__: list[str] = []


@register_method("dummy", kind="constant", saved=True)
def _dummy(settings: MethodSettings, seed: int | None) -> Regressor:  # noqa: ARG001
    return ConstantRegressor(random_state=seed)


@register_method("median", kind="constant")
def _median(settings: MethodSettings, seed: int | None) -> Regressor:  # noqa: ARG001
    return ConstantRegressor("median", random_state=seed)


@register_method("train-max", kind="constant")
def _train_max(settings: MethodSettings, seed: int | None) -> Regressor:  # noqa: ARG001
    return ConstantRegressor("max", random_state=seed)


@register_method("train-min", kind="constant")
def _train_min(settings: MethodSettings, seed: int | None) -> Regressor:  # noqa: ARG001
    return ConstantRegressor("min", random_state=seed)


@register_method("nearest")
def _nearest(settings: MethodSettings, seed: int | None) -> Regressor:
    return NeighborsRegressor(clip=settings.network.clip, random_state=seed)


@register_method("ridge", saved=True)
def _ridge(settings: MethodSettings, seed: int | None) -> Regressor:
    return RidgeRegressor(clip=settings.network.clip, random_state=seed)


@register_method("kernel-ridge")
def _kernel_ridge(settings: MethodSettings, seed: int | None) -> Regressor:
    return KernelRidgeRegressor(clip=settings.network.clip, random_state=seed)


@register_method("gp")
def _gp(settings: MethodSettings, seed: int | None) -> Regressor:
    return GPRegressor(clip=settings.network.clip, random_state=seed)


@register_method(
    "extra-trees",
    space={"max_features": ("float", 0.1, 1.0), "min_samples_leaf": ("int", 1, 10)},
)
def _extra_trees(settings: MethodSettings, seed: int | None) -> Regressor:
    clip = settings.network.clip
    return ForestRegressor(threads=settings.threads, clip=clip, random_state=seed)


@register_method(
    "lightgbm",
    saved=True,
    space={"learning_rate": ("log", 0.01, 0.2), "num_leaves": ("int", 7, 255)},
)
def _lightgbm(settings: MethodSettings, seed: int | None) -> Regressor:
    options = settings.lightgbm.model_dump()
    return LightGBMRegressor(**options, threads=settings.threads, random_state=seed)


@register_method("lightgbm-quantile", saved=True)
def _lightgbm_quantile(settings: MethodSettings, seed: int | None) -> Regressor:
    options = settings.lightgbm.model_dump()
    return QuantileLightGBMRegressor(**options, threads=settings.threads, random_state=seed)


@register_method(
    "bilinear",
    kind="network",
    space={
        "learning_rate": ("log", 3e-4, 1e-2),
        "weight_decay": ("log", 1e-3, 1.0),
        "embedding": ("choice", 8, 32, 128),
        "n_anchors": ("choice", 16, 64, 128),
    },
)
def _bilinear(settings: MethodSettings, seed: int | None) -> Regressor:
    return BilinearTransductionRegressor(
        clip=settings.network.clip, device=settings.device, random_state=seed
    )
