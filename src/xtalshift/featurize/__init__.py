"""Features of materials."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xtalshift.featurize.composition_source import CompositionSource
    from xtalshift.featurize.features import Features
    from xtalshift.featurize.transformers import CompositionFeaturizer, Featurizer

__all__ = ["CompositionFeaturizer", "CompositionSource", "Features", "Featurizer"]

# name -> module; loaded at first use, because the features themselves need no scikit-learn
_HOMES = {
    "CompositionFeaturizer": "transformers",
    "CompositionSource": "composition_source",
    "Features": "features",
    "Featurizer": "transformers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
