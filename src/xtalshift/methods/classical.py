"""Constants and classical methods by name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from xtalshift import estimators
from xtalshift.methods.registry import register_method
from xtalshift.methods.tuning import BOOSTING

if TYPE_CHECKING:
    from xtalshift.estimators.base import Classifier, Regressor
    from xtalshift.methods.settings import MethodSettings

CLASSICAL: dict[str, Any] = {"family": "classical", "control": "dummy"}


def _constant(statistic: str, settings: MethodSettings, seed: int | None) -> Regressor:  # noqa: ARG001
    return estimators.ConstantRegressor(statistic, random_state=seed)


def _shares(settings: MethodSettings, seed: int | None) -> Classifier:  # noqa: ARG001
    return estimators.ConstantClassifier(random_state=seed)


_CONSTANTS = {
    "dummy": ("mean", "the mean of the training targets: the constant that every method must beat"),
    "median": ("median", "the median of the training targets"),
    "train-max": ("max", "the largest training target: the constant to beat on an upper tail"),
    "train-min": ("min", "the smallest training target: the constant to beat on a lower tail"),
}

for _name, (_statistic, _what) in _CONSTANTS.items():
    register_method(
        _name,
        family="constant",
        summary=f"predicts {_what}",
        classify=_shares if _name == "dummy" else None,
        cost=0.0,
        saved=_name == "dummy",
    )(partial(_constant, _statistic))


def _nearest_classes(settings: MethodSettings, seed: int | None) -> Classifier:
    return estimators.NeighborsClassifier(clip=settings.network.clip, random_state=seed)


@register_method(
    "nearest",
    **CLASSICAL,
    classify=_nearest_classes,
    summary="target of the nearest training row",
    cost=0.2,
)
def _nearest(settings: MethodSettings, seed: int | None) -> Regressor:
    return estimators.NeighborsRegressor(clip=settings.network.clip, random_state=seed)


def _logistic(settings: MethodSettings, seed: int | None) -> Classifier:
    return estimators.LogisticClassifier(clip=settings.network.clip, random_state=seed)


@register_method(
    "ridge",
    **CLASSICAL,
    classify=_logistic,
    summary="linear model with an L2 penalty; of classes: logistic regression",
    cost=0.1,
    saved=True,
)
def _ridge(settings: MethodSettings, seed: int | None) -> Regressor:
    return estimators.RidgeRegressor(clip=settings.network.clip, random_state=seed)


@register_method(
    "kernel-ridge",
    **CLASSICAL,
    summary="kernel ridge regression; kernel, width and penalty by validation",
    cost=13.0,
    saved=True,
)
def _kernel_ridge(settings: MethodSettings, seed: int | None) -> Regressor:
    return estimators.KernelRidgeRegressor(clip=settings.network.clip, random_state=seed)


@register_method(
    "svr",
    **CLASSICAL,
    summary="support vector regression; width and penalty by validation",
    cost=20.0,
    saved=True,
)
def _svr(settings: MethodSettings, seed: int | None) -> Regressor:
    return estimators.SVRegressor(clip=settings.network.clip, random_state=seed)


@register_method(
    "gp", **CLASSICAL, summary="Gaussian process on at most 2,000 rows, RBF and noise", cost=2.5
)
def _gp(settings: MethodSettings, seed: int | None) -> Regressor:
    return estimators.GPRegressor(clip=settings.network.clip, random_state=seed)


def _class_trees(settings: MethodSettings, seed: int | None) -> Classifier:
    return estimators.ForestClassifier(
        threads=settings.threads, clip=settings.network.clip, random_state=seed
    )


@register_method(
    "extra-trees",
    **CLASSICAL,
    classify=_class_trees,
    summary="extremely randomised trees",
    cost=15.0,
    saved=True,
    space={"max_features": ("float", 0.1, 1.0), "min_samples_leaf": ("int", 1, 10)},
)
def _extra_trees(settings: MethodSettings, seed: int | None) -> Regressor:
    return estimators.ForestRegressor(
        threads=settings.threads, clip=settings.network.clip, random_state=seed
    )


def class_boosting(settings: MethodSettings, seed: int | None) -> Classifier:
    """Return boosted trees of classes; their loss is the log loss."""
    options = settings.lightgbm.model_dump(exclude={"loss"})
    return estimators.LightGBMClassifier(**options, threads=settings.threads, random_state=seed)


@register_method(
    "lightgbm",
    **CLASSICAL,
    classify=class_boosting,
    summary="gradient-boosted trees",
    cost=3.5,
    saved=True,
    bounds=True,
    space=BOOSTING,
)
def _lightgbm(settings: MethodSettings, seed: int | None) -> Regressor:
    options = settings.lightgbm.model_dump()
    return estimators.LightGBMRegressor(**options, threads=settings.threads, random_state=seed)


@register_method(
    "trend-lightgbm",
    family="classical",
    summary="linear model and gradient-boosted trees on its errors",
    control="lightgbm",
    cost=4.0,
    saved=True,
    space=BOOSTING,
)
def _trend_lightgbm(settings: MethodSettings, seed: int | None) -> Regressor:
    options = settings.lightgbm.model_dump() | {"clip": settings.network.clip}
    return estimators.TrendLightGBMRegressor(**options, threads=settings.threads, random_state=seed)


@register_method(
    "lightgbm-quantile",
    family="classical",
    summary="gradient-boosted trees for the median and the 5 and 95 % quantiles",
    control="lightgbm",
    cost=10.0,
    saved=True,
)
def _lightgbm_quantile(settings: MethodSettings, seed: int | None) -> Regressor:
    options = settings.lightgbm.model_dump()
    return estimators.QuantileLightGBMRegressor(
        **options, threads=settings.threads, random_state=seed
    )
