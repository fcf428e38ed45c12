"""Stacks of other methods, by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xtalshift import estimators
from xtalshift.featurize.blocks import OF_STRUCTURES
from xtalshift.methods.registry import METHODS, build_method, register_method

if TYPE_CHECKING:
    from xtalshift.estimators.adapted_stack import (
        AdaptedStackClassifier,
        AdaptedStackRegressor,
        Correction,
    )
    from xtalshift.estimators.base import Classifier, Regressor
    from xtalshift.estimators.stack_predictor import ScaleName
    from xtalshift.featurize.blocks import Blocks
    from xtalshift.methods.settings import MethodSettings
    from xtalshift.uncertainty.probabilities import ProbabilityCalibration

SCALES: tuple[ScaleName, ...] = ("none", "asinh")
KERNEL_ROWS = 3000
"""Most rows of a kernel method in a stack: time grows with the third power."""
CRYSTAL_ROWS = 10_000
"""Most rows of the support vector machine that crystal structures get besides. It takes as long as
boosted trees; from compositions more rows than `KERNEL_ROWS` gave it no weight."""
BINS = 63
"""Most intervals of a feature in boosted trees of a stack: with 255, fits take twice as long, and
errors are as large, see docs/science/auto.md."""
FOREST_ROWS = 10_000
"""Most rows of extremely randomised trees in a stack, which keep every row in a leaf."""
MANY_ROWS = 10_000
"""Rows above which kernel methods, which see `KERNEL_ROWS` of them, had no weight, and three
networks of half as many epochs do: see docs/science/auto.md."""
NETWORK_ROWS = 300
"""Fewest rows of networks in a stack: with 150 rows they only cost time."""


FEATURES: Blocks = "magpie+fractions+pretrained"
"""Features of a stack. The pretrained ones help most properties and mislead for foreign ones, so
that some members have no others and some go without them."""
ENCODER = frozenset({"pretrained"})
ENSEMBLE_OF_CLASSES = 5
PLAIN = frozenset({"magpie", "fractions"})

SECONDS = {
    "ridge": 0.02,
    "lightgbm-squared": 0.4,
    "svr": 0.8,
    "svr on more rows": 2.7,
    "lightgbm": 1.5,
    "extra-trees": 1.7,
    "kernel-ridge": 2.2,
    "short-ensemble": 2.8,
    "ensemble": 9.0,
}
"""Processor seconds of a fit to 1,000 rows of 246 features, see docs/science/auto.md."""


CLASS_SECONDS = {"ridge": 1.0, "lightgbm": 1.5, "extra-trees": 0.6, "ensemble": 9.0}
"""The same of classifiers, for two classes."""


def _boosting(settings: MethodSettings) -> dict[str, Any]:
    """Return the arguments of boosted trees in a stack, without their loss."""
    chosen = settings.lightgbm.model_dump(exclude={"loss"})
    return chosen | {"max_bin": min(BINS, settings.lightgbm.max_bin), "threads": settings.threads}


def _at(scale: ScaleName) -> str:
    """Return the end of the name of a member that is fitted on a scale."""
    return "" if scale == "none" else f"@{scale}"


def _auto_classes(settings: MethodSettings, seed: int | None) -> Classifier:
    """Return the stack of classes: the members of `_auto` that have a form for classes."""
    from xtalshift.estimators.stack import Member
    from xtalshift.methods.classical import class_boosting

    clip = settings.network.clip
    kinds: dict[str, Classifier] = {
        "ridge": estimators.LogisticClassifier(clip=clip),
        "extra-trees": estimators.ForestClassifier(
            n_estimators=100, max_rows=FOREST_ROWS, threads=settings.threads, clip=clip
        ),
        "lightgbm": class_boosting(settings, None),
    }
    blocks = {"": list(kinds), " without pretrained": ["ridge", "lightgbm"]}
    members = [
        Member(
            f"{name}{which}",
            kinds[name],
            seconds=CLASS_SECONDS[name],
            without=ENCODER if which else frozenset(),
            needs=ENCODER if which else frozenset(),
        )
        for which, names in blocks.items()
        for name in names
    ]
    # the parameters with the smallest validation loss: the last ones are far too sure
    network = {**settings.erm_arguments(None), "n_members": ENSEMBLE_OF_CLASSES}
    members.append(
        Member(
            "ensemble",
            estimators.IRNetClassifier(**network),
            min_rows=NETWORK_ROWS,
            seconds=CLASS_SECONDS["ensemble"],
        )
    )
    return estimators.StackClassifier(members, device=settings.device, random_state=seed)


@register_method(
    "auto",
    classify=_auto_classes,
    family="stack",
    summary="cross-fitted stack of linear models, kernel methods, trees and networks",
    control="lightgbm",
    cost=60.0,
    saved=True,
    usual_features=FEATURES,
)
def _auto(settings: MethodSettings, seed: int | None) -> Regressor:
    from xtalshift.estimators.stack import Member

    clip, threads, boosting = settings.network.clip, settings.threads, _boosting(settings)
    svr: dict[str, Any] = {
        "penalties": (3.0, 10.0),
        "gammas": (0.1, 0.3),
        "clip": clip,
        "emphasis": tuple(sorted(OF_STRUCTURES)),
    }
    kinds: dict[str, Regressor] = {
        "ridge": estimators.RidgeRegressor(clip=clip),
        "svr": estimators.SVRegressor(**svr, max_rows=KERNEL_ROWS),
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
        "lightgbm": estimators.LightGBMRegressor(**boosting, loss="absolute"),
        "lightgbm-squared": estimators.LightGBMRegressor(**boosting, loss="squared"),
    }
    few = {"svr", "kernel-ridge"}
    blocks = {
        "": list(kinds),
        " without pretrained": ["ridge", "lightgbm"],
        " on pretrained": ["svr"],
    }
    without = {" without pretrained": ENCODER, " on pretrained": PLAIN}
    members = [
        Member(
            f"{name}{which}{_at(scale)}",
            kinds[name],
            scale,
            max_rows=MANY_ROWS if name in few else None,
            seconds=SECONDS[name],
            without=without.get(which, frozenset()),
            needs=ENCODER if which else frozenset(),
        )
        for which, names in blocks.items()
        for name in names
        for scale in SCALES
    ]
    members += [
        Member(
            f"svr on more rows{_at(scale)}",
            estimators.SVRegressor(**svr, max_rows=CRYSTAL_ROWS),
            scale,
            min_rows=KERNEL_ROWS + 1,
            max_rows=2 * CRYSTAL_ROWS,
            seconds=SECONDS["svr on more rows"],
            needs=frozenset({"structure"}),
        )
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


@register_method(
    "adapt-auto",
    family="adaptation",
    target_access="labels",
    summary="auto with corrections that are fitted to target labels and combined by a cross-fit",
    control="auto",
    starts_from="auto",
    cost=70.0,
    usual_features=FEATURES,
)
def _adapt_auto(settings: MethodSettings, seed: int | None) -> Regressor:
    stack = adapted_stack(settings, seed)
    stack.start = METHODS["auto"].build(settings, seed)
    return stack


def adapted_stack(settings: MethodSettings, seed: int | None) -> AdaptedStackRegressor:
    """Return the stack of corrections that ``adapt --method auto`` fits to a model."""
    return estimators.AdaptedStackRegressor(
        members=corrections(settings), device=settings.device, random_state=seed
    )


def corrections(settings: MethodSettings) -> list[Correction]:
    """Return the corrections that ``adapt --method auto`` tries."""
    from xtalshift.estimators.adapted_stack import Correction

    clip, threads, boosting = settings.network.clip, settings.threads, _boosting(settings)
    line = estimators.RidgeRegressor(alphas=(1.0, 10.0, 100.0, 1e6), clip=clip)
    svr = estimators.SVRegressor(penalties=(0.1, 1.0, 10.0), gammas=(0.1, 0.3, 1.0), clip=clip)
    kernel = estimators.KernelRidgeRegressor(
        "rbf", alphas=(0.03, 0.3, 3.0), gammas=(0.1, 0.3, 1.0), clip=clip
    )
    trees = estimators.ForestRegressor(n_estimators=100, threads=threads, clip=clip)
    found = []
    for scale in SCALES:
        at = _at(scale)
        found += [
            Correction(f"line{at}", line, "start", "errors", scale),
            Correction(f"svr on errors{at}", svr, "both", "errors", scale),
            Correction(f"kernel-ridge on errors{at}", kernel, "both", "errors", scale),
            Correction(f"trees on errors{at}", trees, "both", "errors", scale),
            Correction(f"trees on targets{at}", trees, "both", "targets", scale),
        ]
        found += [
            Correction(
                f"joint-{name}{at}",
                estimators.LightGBMRegressor(**boosting | {"loss": loss}),
                "features",
                "targets",
                scale,
                replays=True,
            )
            for name, loss in (("lightgbm", "absolute"), ("lightgbm-squared", "squared"))
        ]
    return found


def adapted_class_stack(
    settings: MethodSettings, seed: int | None, calibration: ProbabilityCalibration | None = None
) -> AdaptedStackClassifier:
    """Return the stack of corrections that ``adapt --method auto`` fits to a model of classes.

    Parameters
    ----------
    settings : MethodSettings
        Settings of the corrections.
    seed : int, optional
        Seed of the folds and of the corrections.
    calibration : ProbabilityCalibration, optional
        How the probabilities of the model are calibrated.
    """
    return estimators.AdaptedStackClassifier(
        members=class_corrections(settings),
        calibration=calibration,
        device=settings.device,
        random_state=seed,
    )


def class_corrections(settings: MethodSettings) -> list[Correction]:
    """Return the corrections of a model of classes that ``adapt --method auto`` tries."""
    from xtalshift.estimators.adapted_stack import Correction
    from xtalshift.methods.classical import class_boosting

    clip = settings.network.clip
    logistic = estimators.LogisticClassifier(clip=clip)
    trees = estimators.ForestClassifier(n_estimators=100, threads=settings.threads, clip=clip)
    alone: dict[str, Classifier] = {
        "shares": estimators.ConstantClassifier(),
        "ridge": logistic,
        "extra-trees": trees,
    }
    return [
        *(
            Correction(name, estimators.RecalibrationClassifier(kind), "start", "targets")
            for name, kind in (
                ("temperature", "temperature"),
                ("temperature and shares", "temperature-bias"),
            )
        ),
        Correction("trees on both", trees, "both", "targets"),
        Correction(
            "joint-lightgbm", class_boosting(settings, None), "features", "targets", replays=True
        ),
        *(
            Correction(f"{name} alone", classifier, "features", "targets")
            for name, classifier in alone.items()
        ),
    ]


def fidelity_stack(
    settings: MethodSettings,
    seed: int | None,
    *,
    method: str = "auto",
    params: Mapping[str, Any] | None = None,
) -> AdaptedStackRegressor:
    """Return the stack that ``train --fidelity-col`` fits to a model of the lower fidelity.

    With ``auto`` it tries all that is known to help, with another method what this method can do.
    """
    of_all = method == "auto"
    return estimators.AdaptedStackRegressor(
        members=corrections_of_all(settings)
        if of_all
        else corrections_of_one(method, settings, params),
        cautious=False,  # that the fidelities differ is known before
        device=settings.device,
        random_state=seed,
    )


def corrections_of_one(
    method: str, settings: MethodSettings, params: Mapping[str, Any] | None = None
) -> list[Correction]:
    """Return the ways in which one method learns a property of two fidelities.

    Corrections of its predictions of the lower fidelity by a line, by the method on their errors
    (delta-learning), by the method on both fidelities with a feature that tells them apart, and the
    method on the higher fidelity alone. A method that needs the materials themselves (the attacks
    of CAL on compositions) is fitted to the lower fidelity only; support vectors learn its errors.
    """
    from xtalshift.estimators.adapted_stack import Correction

    line, svr = (
        next(one for one in corrections(settings) if one.name == name)
        for name in ("line", "svr on errors")
    )
    regressor = build_method(method, settings, seed=None, params=params)
    if regressor.needs_origin:
        return [line, svr]
    return [
        line,
        Correction(f"{method} on errors", regressor, "both", "errors"),
        Correction(f"{method} on both", regressor, "marked", "targets", replays=True),
        Correction(f"{method} alone", regressor, "features", "targets"),
    ]


def corrections_of_all(settings: MethodSettings) -> list[Correction]:
    """Return the ways to learn a property of two fidelities that ``auto`` tries.

    Corrections of a model of the lower fidelity (delta-learning), trees on both with the fidelity
    as a feature, and members of ``auto`` on the higher fidelity alone.
    """
    from xtalshift.estimators.adapted_stack import Correction

    clip, threads, boosting = settings.network.clip, settings.threads, _boosting(settings)
    alone: dict[str, Regressor] = {
        "ridge": estimators.RidgeRegressor(clip=clip),
        "svr": estimators.SVRegressor(gammas=(0.3, 1.0), max_rows=KERNEL_ROWS, clip=clip),
        "extra-trees": estimators.ForestRegressor(
            n_estimators=100, max_rows=FOREST_ROWS, threads=threads, clip=clip
        ),
        "lightgbm": estimators.LightGBMRegressor(**boosting, loss="absolute"),
    }
    usual = corrections(settings)
    return [
        *(one for one in usual if not one.replays),
        *(
            replace(one, name=one.name.replace("joint-", "both-"), inputs="marked")
            for one in usual
            if one.replays and one.scale == "none"  # they take most of the time
        ),
        *(
            Correction(
                f"{name} alone{_at(scale)}",
                regressor,
                "features",
                "targets",
                scale,
            )
            for name, regressor in alone.items()
            for scale in SCALES
        ),
    ]
