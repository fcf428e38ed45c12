"""Where features come from, for methods that move the composition and not the features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from xtalshift.chem.compositions import Compositions
from xtalshift.featurize.composition import CompositionFeaturizer

__all__ = ["Origin"]


@dataclass(frozen=True, eq=False)
class Origin:
    """The compositions of n rows of features, and what computed these.

    Attributes
    ----------
    compositions : Compositions
        n rows.
    featurizer : CompositionFeaturizer
        Its features are the first columns; others may follow.
    """

    compositions: Compositions
    featurizer: CompositionFeaturizer

    def take(self, rows: Any) -> Self:
        """Return the rows that an index or mask selects."""
        return type(self)(self.compositions.take(rows), self.featurizer)
