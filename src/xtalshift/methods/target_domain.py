"""Methods that see features or labels of the target domain, by name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from xtalshift import estimators
from xtalshift.methods.registry import METHODS, register_method
from xtalshift.methods.tuning import ADAPTATION, BOOSTING, RATES, Range, inner

if TYPE_CHECKING:
    from xtalshift.estimators.base import Classifier, Regressor
    from xtalshift.methods.settings import MethodSettings


def _aligned(alignment: str, settings: MethodSettings, seed: int | None) -> Regressor:
    return estimators.AlignedRegressor(alignment, **settings.erm_arguments(seed))


def _aligned_classes(alignment: str, settings: MethodSettings, seed: int | None) -> Classifier:
    return estimators.AlignedClassifier(alignment, **settings.erm_arguments(seed))


_ALIGNMENTS: dict[str, tuple[str, float, Range]] = {
    "coral": (
        "network whose representations of both domains have similar covariances",
        11.0,
        ("log", 1.0, 1e3),
    ),
    "mmd": (
        "network whose representations of both domains have similar distributions",
        19.0,
        ("log", 0.03, 3.0),
    ),
}

for _name, (_summary, _cost, _strength) in _ALIGNMENTS.items():
    register_method(
        _name,
        family="alignment",
        target_access="features",
        summary=_summary,
        control="erm",
        cost=_cost,
        classify=partial(_aligned_classes, _name),
        bounds=True,
        space={"strength": _strength, **RATES},
    )(partial(_aligned, _name))


def _weighted(wrapped: str, ratio: str, settings: MethodSettings, seed: int | None) -> Regressor:
    estimator = METHODS[wrapped].build(settings, seed)
    return estimators.ImportanceWeightedRegressor(estimator, ratio, random_state=seed)


def register_weighted(ratio: str, words: str, cost: float, **facts: Any) -> None:
    """Register ridge regression and boosted trees with importance weights of one kind."""
    spaces: dict[str, dict[str, Range]] = {"ridge": {}, "lightgbm": BOOSTING}
    for wrapped, space in spaces.items():
        register_method(
            f"{ratio}-{wrapped}",
            family="importance",
            target_access="features",
            summary=f"{wrapped} with source rows weighted {words}",
            control=wrapped,
            cost=cost + (0.1 if wrapped == "ridge" else 3.0),
            space={"max_weight": ("log", 3.0, 100.0), **inner(space)},
            **facts,
        )(partial(_weighted, wrapped, ratio))


register_weighted("kmm", "by kernel mean matching", 2.6)
register_weighted("classifier", "by a classifier of source against target rows", 1.0)


ADAPTED: dict[str, Any] = {"family": "adaptation", "target_access": "labels"}


def _target_only(wrapped: str, settings: MethodSettings, seed: int | None) -> Regressor:
    estimator = METHODS[wrapped].build(settings, seed)
    # a Gaussian process needs no validation rows, so all labels train it
    return estimators.TargetOnlyRegressor(estimator, hold_out=wrapped != "gp", random_state=seed)


_TARGET_ONLY: dict[str, tuple[str, float, dict[str, Range]]] = {
    "ridge": ("ridge regression", 0.1, {}),
    "gp": ("Gaussian process", 0.2, {}),
    "lightgbm": ("gradient-boosted trees", 0.1, BOOSTING),
}

for _name, (_what, _cost, _space) in _TARGET_ONLY.items():
    register_method(
        f"target-{_name}",
        family="target-only",
        target_access="labels",
        summary=f"{_what} on the target labels alone",
        control=_name,
        cost=_cost,
        space=inner(_space),
    )(partial(_target_only, _name))


@register_method(
    "joint-lightgbm",
    **ADAPTED,
    summary="gradient-boosted trees on source rows and target labels together",
    control="lightgbm",
    cost=2.5,
    space={"target_share": ("float", 0.1, 0.9), **inner(BOOSTING)},
)
def _joint_lightgbm(settings: MethodSettings, seed: int | None) -> Regressor:
    estimator = METHODS["lightgbm"].build(settings, seed)
    return estimators.JointRegressor(estimator, random_state=seed)


def _adapted(method: str, settings: MethodSettings, seed: int | None) -> Regressor:
    return estimators.TargetedCALRegressor(
        method, source=settings.erm.model_dump(), **settings.network_arguments(seed)
    )


def register_adaptation(name: str, summary: str, control: str, cost: float, **facts: Any) -> None:
    """Register an adaptation of the network of `erm`."""
    register_method(
        name,
        **{**ADAPTED, "starts_from": "erm", **facts},
        summary=summary,
        control=control,
        cost=cost,
        adapts=True,
        space=ADAPTATION,
    )(partial(_adapted, name))


register_adaptation("fine-tune", "erm trained further on the target labels", "erm", 8.5)
register_adaptation("l2-sp", "fine-tune with a pull toward the source parameters", "fine-tune", 8.5)
register_adaptation("head-only", "fine-tune of the last layer alone", "fine-tune", 8.5)
register_adaptation(
    "joint", "erm trained further on source rows and target labels together", "fine-tune", 9.5
)
register_adaptation(
    "targeted-cal",
    "erm trained further on attacked target labels and source rows",
    "targeted-cal-eps0",
    11.0,
)
register_adaptation(
    "targeted-cal-eps0", "as targeted-cal, but the attack moves nothing (control)", "joint", 10.0
)


@register_method(
    "residual-gp",
    **ADAPTED,
    summary="erm plus a Gaussian process on its errors at the target labels",
    control="erm",
    starts_from="erm",
    cost=7.5,
    space=inner(RATES),
)
def _residual_gp(settings: MethodSettings, seed: int | None) -> Regressor:
    estimator = METHODS["erm"].build(settings, seed)
    return estimators.ResidualGPRegressor(estimator, random_state=seed)
