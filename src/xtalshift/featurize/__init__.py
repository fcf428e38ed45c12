"""Materials -> rows of numbers."""

from xtalshift.featurize.base import Featurizer
from xtalshift.featurize.composition import CompositionFeaturizer

__all__ = ["CompositionFeaturizer", "Featurizer"]
