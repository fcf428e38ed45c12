"""The methods that can be saved and need formulas only."""

from xtalshift.featurize.blocks import needs_structures
from xtalshift.methods import features_of, saved_methods

OF_FORMULAS = tuple(name for name in saved_methods() if not needs_structures(features_of(name)))
