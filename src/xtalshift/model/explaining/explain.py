"""Explain the predictions of a model for a few materials."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from xtalshift.data.materials import Materials
from xtalshift.errors import ConfigError
from xtalshift.featurize.feature_families import feature_families
from xtalshift.model.classifier import FittedClassifier
from xtalshift.model.explaining.background import Background
from xtalshift.model.explaining.outcome import Outcome, outcomes
from xtalshift.model.explaining.parts import (
    element_contributions,
    enough,
    feature_contributions,
    standard_error,
)
from xtalshift.model.explaining.record import Contribution, Explanation, Substitution
from xtalshift.model.explaining.substitutions import find_substitutions, outcomes_of
from xtalshift.model.fitted import FittedModel
from xtalshift.model.material_model import Inputs
from xtalshift.progress import NO_PROGRESS, Progress, Task
from xtalshift.uncertainty.settings import LEVEL

SWAPS = 3
"""Substitutions that raise a prediction, and that lower it, unless others are asked for."""


def explain(
    model: FittedModel | FittedClassifier,
    X: Inputs,
    extra: ArrayLike | None = None,
    *,
    of_class: str | None = None,
    level: float = LEVEL,
    substitutions: int = SWAPS,
    progress: Progress = NO_PROGRESS,
) -> list[Explanation]:
    """Return why a model predicts what it predicts; see `FittedModel.explain`."""
    if substitutions < 0:
        raise ConfigError(f"substitutions = {substitutions}; expected a number from 0 on")
    materials = model.read(X, extra)
    background = Background.of(model)
    features = model.featurize(materials)
    found = model.predict(materials, level=level)
    asked = outcomes(model, found, of_class)
    families = feature_families(model.feature_names, model.featurizer.columns)
    card, explained = model.card, []
    with progress.task("materials that are compared", None) as task:
        for row, outcome in enumerate(asked):
            one = Explanation(
                formula=str(found.formula[row]),
                id="" if found.id is None else str(found.id[row]),
                target=card.target_name,
                unit=card.unit,
                label=outcome.label,
                scale=outcome.scale,
                reason=str(found.reason[row]),
            )
            if not one.reason:
                whole, x = materials.take(np.array([row])), features.values[row]
                one = _fill(one, model, outcome, whole, x, background, families, task)
                task.advance()
                swaps: tuple[Substitution, ...] = ()
                if substitutions and not model.featurizer.needs_structures:
                    swaps = find_substitutions(
                        model, outcome, whole, one.value, level, substitutions
                    )
                itself = outcomes_of(model, outcome, whole, level)[0]
                one = replace(one, itself=itself, substitutions=swaps)
                task.advance()
            explained.append(one)
    return explained


def _fill(
    one: Explanation,
    model: FittedModel | FittedClassifier,
    outcome: Outcome,
    material: Materials,
    x: Any,
    background: Background,
    families: Any,
    task: Task,
) -> Explanation:
    """Return an explanation with its contributions."""
    value = float(outcome.values(x[None])[0])
    background = enough(model, material, background)
    of_others = outcome.values(background.X)
    base = float(of_others.mean())
    elements, why = element_contributions(model, outcome, material, x, background, task)
    joined: list[Contribution] = []
    single: list[Contribution] = []
    without, left = "", 0.0
    try:
        joined, single = feature_contributions(
            outcome, x, background, model.feature_names, families
        )
        left = value - base - sum(part.contribution for part in joined)
    except ConfigError as error:
        without = str(error)
    return replace(
        one,
        value=value,
        base=base,
        base_error=float(standard_error(of_others)),
        compared=len(background),
        elements=tuple(elements),
        no_elements=why,
        families=tuple(joined),
        features=tuple(single),
        left_over=left,
        no_features=without,
    )
