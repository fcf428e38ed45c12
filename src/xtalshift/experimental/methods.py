"""The registration of the experimental methods."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from xtalshift import estimators
from xtalshift.methods.networks import build_cal
from xtalshift.methods.registry import METHODS, register_method
from xtalshift.methods.target_domain import register_adaptation, register_weighted
from xtalshift.methods.tuning import ADAPTATION, CAL, RATES, Range, inner

if TYPE_CHECKING:
    from xtalshift.estimators.base import Regressor
    from xtalshift.methods.settings import MethodSettings


@register_method(
    "bilinear",
    family="network",
    summary="bilinear transduction: a training row and the difference to it",
    control="erm",
    cost=23.0,
    experimental=True,
    space={
        "learning_rate": ("log", 3e-4, 1e-2),
        "weight_decay": ("log", 1e-3, 1.0),
        "embedding": ("choice", 8, 32, 128),
        "n_anchors": ("choice", 16, 64, 128),
    },
)
def _bilinear(settings: MethodSettings, seed: int | None) -> Regressor:
    from xtalshift.experimental.transduction import BilinearTransductionRegressor

    return BilinearTransductionRegressor(
        clip=settings.network.clip, device=settings.device, random_state=seed
    )


@register_method(
    "wasserstein",
    family="robust",
    summary="cal with fixed covariate weights (Wasserstein robust optimisation)",
    control="cal-eps0",
    cost=10.5,
    experimental=True,
    bounds=True,
    space=CAL,
)
def _wasserstein(settings: MethodSettings, seed: int | None) -> Regressor:
    config = settings.cal.model_copy(update={"weight_rule": "fixed"})
    return build_cal(config, settings, seed)


def _ball(objective: str, settings: MethodSettings, seed: int | None) -> Regressor:
    from xtalshift.experimental.divergence_balls import DivergenceBallRegressor

    return DivergenceBallRegressor(objective, **settings.erm_arguments(seed))


_BALLS: dict[str, tuple[str, Range]] = {
    "chi2": ("chi-square", ("log", 0.03, 3.0)),
    "kl": ("Kullback-Leibler", ("log", 0.01, 1.0)),
}

for _name, (_words, _strength) in _BALLS.items():
    register_method(
        _name,
        family="robust",
        summary=f"worst mean loss in a {_words} ball around each batch",
        control="erm",
        cost=8.5,
        experimental=True,
        bounds=True,
        space={"strength": _strength, **RATES},
    )(partial(_ball, _name))


register_weighted("ulsif", "by least-squares density ratios", 0.4, experimental=True)

_UNLABELLED: dict[str, Any] = {
    "target_access": "features",
    "starts_from": None,
    "experimental": True,
}
register_adaptation(
    "unlabelled-cal",
    "erm trained further on source rows attacked toward unlabelled target rows",
    "unlabelled-cal-eps0",
    15.0,
    **_UNLABELLED,
)
register_adaptation(
    "unlabelled-cal-eps0",
    "as unlabelled-cal, but the attack moves nothing (control)",
    "erm",
    14.0,
    **_UNLABELLED,
)


@register_method(
    "residual-gp-tuned",
    family="adaptation",
    target_access="labels",
    summary="fine-tune on half of the labels, a Gaussian process on its errors at the others",
    control="fine-tune",
    starts_from="erm",
    cost=9.5,
    experimental=True,
    space=inner(ADAPTATION),
)
def _residual_gp_tuned(settings: MethodSettings, seed: int | None) -> Regressor:
    estimator = METHODS["fine-tune"].build(settings, seed)
    return estimators.ResidualGPRegressor(estimator, random_state=seed)
