"""The compositions behind the features, for methods that change the composition itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from xtalshift.chem.compositions import Compositions
from xtalshift.featurize.composition import CompositionFeatures


@dataclass(frozen=True, eq=False)
class CompositionSource:
    """The compositions of n rows, and the featurizer of their features.

    Attributes
    ----------
    compositions : Compositions
        n rows.
    featurizer : CompositionFeatures
        Its features are the first columns; others may follow.
    """

    compositions: Compositions
    featurizer: CompositionFeatures

    def take(self, rows: Any) -> Self:
        """Return the rows that an index, slice or mask selects."""
        return type(self)(self.compositions.take(rows), self.featurizer)
