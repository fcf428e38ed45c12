"""Materials -> rows of numbers."""

from xtalshift.featurize.base import Featurizer
from xtalshift.featurize.composition import CompositionFeaturizer
from xtalshift.featurize.origin import Origin

__all__ = ["CompositionFeaturizer", "Featurizer", "Origin"]
