"""Stacks of other methods, by name."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from xtalshift import estimators
from xtalshift.methods.registry import register_method

if TYPE_CHECKING:
    from xtalshift.estimators.base import Regressor
    from xtalshift.estimators.stack_predictor import ScaleName
    from xtalshift.methods.settings import MethodSettings

SCALES: tuple[ScaleName, ...] = ("none", "asinh")
KERNEL_ROWS = 3000
"""Most rows of a kernel method in a stack: time grows with the third power."""
FOREST_ROWS = 10_000
"""Most rows of extremely randomised trees in a stack, which keep every row in a leaf."""
MANY_ROWS = 10_000
"""Rows above which kernel methods, which see `KERNEL_ROWS` of them, had no weight, and three
networks of half as many epochs do: see docs/science/auto.md."""
NETWORK_ROWS = 300
"""Fewest rows of networks in a stack: with 150 rows they only cost time."""


SECONDS = {
    "ridge": 0.02,
    "lightgbm-squared": 0.4,
    "svr": 0.8,
    "lightgbm": 1.5,
    "extra-trees": 1.7,
    "kernel-ridge": 2.2,
    "short-ensemble": 2.8,
    "ensemble": 9.0,
}
"""Processor seconds of a fit to 1,000 rows of 246 features, see docs/science/auto.md."""


@register_method(
    "auto",
    family="stack",
    summary="cross-fitted stack of linear models, kernel methods, trees and networks",
    control="lightgbm",
    cost=60.0,
    saved=True,
    usual_features="magpie+fractions",
)
def _auto(settings: MethodSettings, seed: int | None) -> Regressor:
    from xtalshift.estimators.stack import Member

    clip, threads = settings.network.clip, settings.threads
    boosting = {**settings.lightgbm.model_dump(), "threads": threads}
    kinds: dict[str, Regressor] = {
        "ridge": estimators.RidgeRegressor(clip=clip),
        "svr": estimators.SVRegressor(gammas=(0.3, 1.0), max_rows=KERNEL_ROWS, clip=clip),
        "kernel-ridge": estimators.KernelRidgeRegressor(
            "laplacian",
            alphas=(0.01, 0.1),
            gammas=(0.3, 1.0),
            max_rows=KERNEL_ROWS,
            clip=clip,
        ),
        "extra-trees": estimators.ForestRegressor(
            n_estimators=100, max_rows=FOREST_ROWS, threads=threads, clip=clip
        ),
        "lightgbm": estimators.LightGBMRegressor(**boosting | {"loss": "absolute"}),
        "lightgbm-squared": estimators.LightGBMRegressor(**boosting | {"loss": "squared"}),
    }
    few = {"svr", "kernel-ridge"}
    members = [
        Member(
            name if scale == "none" else f"{name}@{scale}",
            regressor,
            scale,
            max_rows=MANY_ROWS if name in few else None,
            seconds=SECONDS[name],
        )
        for name, regressor in kinds.items()
        for scale in SCALES
    ]
    network = {**settings.erm_arguments(None), "weights": "last"}
    many = {**network, "n_members": 3, "epochs": math.ceil(settings.erm.epochs / 2)}
    members += [
        Member(
            "ensemble@asinh",
            estimators.IRNetRegressor(**network | {"n_members": 5}),
            "asinh",
            min_rows=NETWORK_ROWS,
            max_rows=MANY_ROWS,
            seconds=SECONDS["ensemble"],
        ),
        Member(
            "short-ensemble@asinh",
            estimators.IRNetRegressor(**many),
            "asinh",
            min_rows=MANY_ROWS + 1,
            seconds=SECONDS["short-ensemble"],
        ),
    ]
    return estimators.StackRegressor(members, device=settings.device, random_state=seed)
