"""What a regressor wants to be fitted on: the scale of its targets, the origin of its features."""

from __future__ import annotations

from collections.abc import Sequence

from xtalshift.chem.compositions import parse_formulas
from xtalshift.data.transform import TargetTransform
from xtalshift.estimators.base import Regressor
from xtalshift.estimators.baselines import ConstantRegressor
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize import CompositionSource as Origin

__all__ = ["origin_of", "target_transform"]


def origin_of(
    regressor: Regressor, formulas: Sequence[str], featurizer: CompositionFeaturizer
) -> Origin | None:
    """Return the argument `origin` of `regressor.fit`; None if it needs none."""
    if not regressor.needs_origin:
        return None
    return Origin(parse_formulas(list(formulas), hydrates=featurizer.hydrates)[0], featurizer)


def target_transform(regressor: Regressor, name: str) -> TargetTransform:
    """Return the scale that `regressor` trains on; the dummy is the mean in the target's unit."""
    return TargetTransform("none" if isinstance(regressor, ConstantRegressor) else name)
