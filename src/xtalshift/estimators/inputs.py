"""What a regressor wants to be fitted on: the scale of its targets, the origin of its features."""

from __future__ import annotations

from xtalshift.chem.compositions import Compositions
from xtalshift.data.transform import TargetTransform
from xtalshift.estimators.base import Regressor
from xtalshift.estimators.baselines import ConstantRegressor
from xtalshift.featurize import CompositionFeaturizer, Origin

__all__ = ["origin_of", "target_transform"]


def origin_of(
    regressor: Regressor, compositions: Compositions, featurizer: CompositionFeaturizer
) -> Origin | None:
    """Return the argument `origin` of `regressor.fit`; None if it needs none."""
    return Origin(compositions, featurizer) if regressor.needs_origin else None


def target_transform(regressor: Regressor, name: str) -> TargetTransform:
    """Return the scale that `regressor` trains on; the dummy is the mean in the target's unit."""
    return TargetTransform("none" if isinstance(regressor, ConstantRegressor) else name)
