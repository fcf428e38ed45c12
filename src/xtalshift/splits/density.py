"""Covariate shift: materials in sparse regions of feature space."""

from __future__ import annotations

from typing import ClassVar

from xtalshift.splits.base import SPLITTERS, HoldOut
from xtalshift.splits.grouped_rows import BoolArray, Rows, take_top
from xtalshift.splits.space import Embedding, isolation, locate_formulas

__all__ = ["CovariateSplit"]


@SPLITTERS.register("covariate")
class CovariateSplit(HoldOut):
    """Hold out the materials that lie farthest from their neighbours.

    A formula's isolation is the mean Euclidean distance to its nearest neighbours among all other
    formulas, in an embedding of the standardised features.

    Parameters
    ----------
    share : float, default 0.1
        Share of rows held out.
    n_neighbors : int, default 10
        Neighbours averaged over.
    n_components : int, default 10
        Dimensions of the embedding (2 is usual for UMAP).
    embedding : {"pca", "umap"}, default "pca"
        UMAP needs the optional package ``umap-learn`` and runs on one thread, because it is
        reproducible only then.
    random_state : int, default 0
        Seed of UMAP; PCA needs none.
    """

    needs: ClassVar[tuple[str, ...]] = ("X",)

    def __init__(
        self,
        share: float = 0.1,
        n_neighbors: int = 10,
        n_components: int = 10,
        embedding: Embedding = "pca",
        random_state: int = 0,
    ) -> None:
        self.share = share
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.embedding = embedding
        self.random_state = random_state

    def _held_out(self, table: Rows) -> BoolArray:
        points, numbers = locate_formulas(
            table.X,
            table.groups,
            self.n_components,
            embedding=self.embedding,
            random_state=self.random_state,
        )
        return take_top(isolation(points, self.n_neighbors)[numbers], table.groups, self.share)

    def describe(self) -> str:
        """Say in one line what is held out."""
        return (
            f"the {100 * self.share:g}% of rows with the largest mean distance to their "
            f"{self.n_neighbors} nearest formulas in {self.n_components} "
            f"{self.embedding.upper()} dimensions"
        )
