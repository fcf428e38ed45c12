"""Features of materials."""

from typing import TYPE_CHECKING

from xtalshift.lazy import lazy_names

if TYPE_CHECKING:
    from xtalshift.featurize.composition import CompositionFeatures as CompositionFeatures
    from xtalshift.featurize.composition_source import CompositionSource as CompositionSource
    from xtalshift.featurize.features import Features as Features
    from xtalshift.featurize.transformers import CompositionFeaturizer as CompositionFeaturizer
    from xtalshift.featurize.transformers import Featurizer as Featurizer

# name -> module; loaded at first use, because the features themselves need no scikit-learn
_HOMES = {
    "CompositionFeatures": "xtalshift.featurize.composition",
    "CompositionFeaturizer": "xtalshift.featurize.transformers",
    "CompositionSource": "xtalshift.featurize.composition_source",
    "Features": "xtalshift.featurize.features",
    "Featurizer": "xtalshift.featurize.transformers",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - the keys are strings


__getattr__ = lazy_names(__name__, _HOMES)
