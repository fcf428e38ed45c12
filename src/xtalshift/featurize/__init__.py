"""Features of materials."""

from typing import TYPE_CHECKING

from xtalshift.lazy import lazy_names

if TYPE_CHECKING:
    from xtalshift.featurize.composition import CompositionFeatures
    from xtalshift.featurize.composition_source import CompositionSource
    from xtalshift.featurize.features import Features
    from xtalshift.featurize.transformers import CompositionFeaturizer, Featurizer

__all__ = [
    "CompositionFeatures",
    "CompositionFeaturizer",
    "CompositionSource",
    "Features",
    "Featurizer",
]

# name -> module; loaded at first use, because the features themselves need no scikit-learn
_HOMES = {
    "CompositionFeatures": "xtalshift.featurize.composition",
    "CompositionFeaturizer": "xtalshift.featurize.transformers",
    "CompositionSource": "xtalshift.featurize.composition_source",
    "Features": "xtalshift.featurize.features",
    "Featurizer": "xtalshift.featurize.transformers",
}


__getattr__ = lazy_names(__name__, _HOMES)
