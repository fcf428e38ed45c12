"""The constants and the classical methods, by name."""

from __future__ import annotations

from xtalshift.estimators.base import Regressor
from xtalshift.estimators.baselines import ConstantRegressor, LightGBMRegressor, RidgeRegressor
from xtalshift.estimators.methods import MethodSettings, register_method

__all__: list[str] = []


@register_method("dummy", kind="constant", saved=True)
def _dummy(settings: MethodSettings, seed: int | None) -> Regressor:  # noqa: ARG001
    return ConstantRegressor(random_state=seed)


@register_method("ridge", saved=True)
def _ridge(settings: MethodSettings, seed: int | None) -> Regressor:
    return RidgeRegressor(clip=settings.network.clip, random_state=seed)


@register_method(
    "lightgbm",
    saved=True,
    space={"learning_rate": ("log", 0.01, 0.2), "num_leaves": ("int", 7, 255)},
)
def _lightgbm(settings: MethodSettings, seed: int | None) -> Regressor:
    options = settings.lightgbm.model_dump()
    return LightGBMRegressor(**options, threads=settings.threads, random_state=seed)
