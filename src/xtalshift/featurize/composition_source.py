"""The materials behind the features, for methods that change the material itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from xtalshift.chem.compositions import Compositions
from xtalshift.featurize.composition import CompositionFeatures
from xtalshift.structure import Structures


@dataclass(frozen=True, eq=False)
class CompositionSource:
    """The compositions and structures of n rows, and the featurizer of their features.

    Attributes
    ----------
    compositions : Compositions
        n rows.
    featurizer : CompositionFeatures
        Its features are the first columns; others may follow.
    structures : Structures or None
        n rows, if they are known; the compositions are theirs.
    """

    compositions: Compositions
    featurizer: CompositionFeatures
    structures: Structures | None = None

    def take(self, rows: Any) -> Self:
        """Return the rows that an index, slice or mask selects."""
        structures = None if self.structures is None else self.structures.take(rows)
        return type(self)(self.compositions.take(rows), self.featurizer, structures)
