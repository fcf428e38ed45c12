"""Sparse regions of features (X) or targets (Y), one material or a small cluster per fold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from xtalshift.errors import SplitError
from xtalshift.splits.base import SPLITTERS, Region, Splitter
from xtalshift.splits.clusters import cluster_points
from xtalshift.splits.grouped_rows import Rows
from xtalshift.splits.space import isolation, locate_formulas
from xtalshift.splits.target import check_targets, formula_targets

__all__ = ["SparseXSplit", "SparseYSplit"]

Size = Literal["single", "cluster"]


class _SparseSplit(Splitter):
    """Common to X and Y: the sparsest formulas, spread over the space by clusters."""

    def __init__(
        self,
        size: Size = "cluster",
        n_folds: int = 50,
        n_others: int = 10,
        n_candidates: int = 500,
        n_neighbors: int = 10,
        n_components: int = 10,
        random_state: int = 0,
    ) -> None:
        self.size = size
        self.n_folds = n_folds
        self.n_others = n_others
        self.n_candidates = n_candidates
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.random_state = random_state

    def _spread(
        self, points: NDArray[np.float64], numbers: NDArray[np.int64], names: NDArray[Any]
    ) -> Iterator[Region]:
        """Yield the folds around sparse formulas, given a point and a name per formula."""
        if self.size not in get_args(Size):
            raise SplitError(f"size = {self.size!r}; expected one of {', '.join(get_args(Size))}")
        if not 1 <= self.n_folds <= len(points):
            raise SplitError(
                f"{self.n_folds} sparse materials of {len(points)} formulas; choose n_folds from "
                f"1 to {len(points)}"
            )
        sparseness = isolation(points, self.n_neighbors)
        n_candidates = min(max(self.n_candidates, self.n_folds), len(points))
        candidates = np.argsort(-sparseness, kind="stable")[:n_candidates]
        clusters = cluster_points(points[candidates], self.n_folds, random_state=self.random_state)
        # clusters are numbered by first appearance, that is by their sparsest formula
        chosen = candidates[np.unique(clusters, return_index=True)[1]]
        members = chosen[:, None]
        if self.size == "cluster":
            if not 1 <= self.n_others < len(points):
                raise SplitError(
                    f"n_others = {self.n_others}; expected 1 to {len(points) - 1} other formulas"
                )
            _, near = KDTree(points).query(points[chosen], k=self.n_others + 1)
            # of two formulas in one place the query may name the other first
            others = [
                row[row != own][: self.n_others] for row, own in zip(near, chosen, strict=True)
            ]
            members = np.column_stack([chosen, np.array(others)])
        for formulas in members:
            yield Region(f"around {names[formulas[0]]}", np.isin(numbers, formulas))

    def _sparse(self, space: str) -> str:
        more = f" and its {self.n_others} nearest formulas" if self.size == "cluster" else ""
        return f"one of {self.n_folds} formulas in sparse regions of {space}{more}"


@SPLITTERS.register("sparse-x")
class SparseXSplit(_SparseSplit):
    """Hold out materials in sparse regions of feature space (Omee et al., npj Comput. Mater. 10,
    144, 2024: SparseXsingle, SparseXcluster).

    The most isolated formulas are clustered by k-means; the most isolated one of each cluster is
    one fold. The publication uses structure features; here they are what `X` holds.

    Parameters
    ----------
    size : {"single", "cluster"}, default "cluster"
        One formula per fold, or with it the formulas nearest to it. A single formula is too little
        for an error that means something; the published scheme has it.
    n_folds : int, default 50
        Folds.
    n_others : int, default 10
        Other formulas in a cluster.
    n_candidates : int, default 500
        Isolated formulas to choose from.
    n_neighbors : int, default 10
        Neighbours that isolation is averaged over.
    n_components : int, default 10
        Dimensions of the embedding (PCA of the standardised features).
    random_state : int, default 0
        Of k-means.
    """  # noqa: D205

    needs: ClassVar[tuple[str, ...]] = ("X",)

    def _regions(self, table: Rows) -> Iterator[Region]:
        located = locate_formulas(table.X, table.groups, self.n_components)
        yield from self._spread(located.points, located.numbers, np.unique(table.groups))

    def describe(self) -> str:
        """Say in one line what is held out."""
        return self._sparse("the features")


@SPLITTERS.register("sparse-y")
class SparseYSplit(_SparseSplit):
    """Hold out materials in sparse regions of the target (SparseYsingle, SparseYcluster).

    As `SparseXSplit`, with the mean target of each formula in place of its features. Most
    such regions are the tails.

    Parameters
    ----------
    size, n_folds, n_others, n_candidates, n_neighbors, random_state
        As in `SparseXSplit`.
    """

    needs: ClassVar[tuple[str, ...]] = ("y",)

    def __init__(
        self,
        size: Size = "cluster",
        n_folds: int = 50,
        n_others: int = 10,
        n_candidates: int = 500,
        n_neighbors: int = 10,
        random_state: int = 0,
    ) -> None:
        super().__init__(
            size, n_folds, n_others, n_candidates, n_neighbors, random_state=random_state
        )

    def _regions(self, table: Rows) -> Iterator[Region]:
        means, numbers = formula_targets(check_targets(table.y), table.groups)
        yield from self._spread(means[:, None], numbers, np.unique(table.groups))

    def describe(self) -> str:
        """Say in one line what is held out."""
        return self._sparse("the target")
