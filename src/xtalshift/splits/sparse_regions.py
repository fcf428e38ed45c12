"""Sparse regions: isolated materials, single or with their neighbours, and the rim of the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from xtalshift.chem.writing import readable_key
from xtalshift.errors import SplitError
from xtalshift.splits.feature_space import Embedding, cluster_points, isolation, locate_formulas
from xtalshift.splits.splitter import (
    SPLITTERS,
    BoolArray,
    HoldOut,
    PerRow,
    Region,
    Rows,
    Splitter,
    take_top,
)

Size = Literal["single", "cluster"]


@SPLITTERS.register("covariate")
@dataclass(eq=False, repr=False)
class CovariateSplit(HoldOut):
    """Hold out the materials that are farthest from their nearest neighbours.

    The isolation of a formula is its mean Euclidean distance to the nearest other formulas, in an
    embedding of the standardised features.

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
    features : array_like of float, shape (n, d), optional
        Features of the rows in place of `X`.
    """

    aim = "sparse regions"
    needs = ("X",)
    per_row: ClassVar[PerRow] = {"features": "features"}

    share: float = 0.1
    n_neighbors: int = 10
    n_components: int = 10
    embedding: Embedding = "pca"
    random_state: int = 0
    features: ArrayLike | None = None

    def _held_out(self, table: Rows) -> BoolArray:
        points = locate_formulas(
            table,
            self.n_components,
            features=self.features,
            embedding=self.embedding,
            random_state=self.random_state,
        )
        isolated = isolation(points, self.n_neighbors)
        return take_top(isolated[table.numbers], table.numbers, self.share)

    def describe(self) -> str:
        """Say in one line what is held out."""
        return (
            f"the {100 * self.share:g}% of rows with the largest mean distance to their "
            f"{self.n_neighbors} nearest formulas in {self.n_components} "
            f"{self.embedding.upper()} dimensions"
        )


@dataclass(eq=False, repr=False)
class _SparseSplit(Splitter):
    """Base of both: the most isolated formulas, spread over the space by clusters."""

    size: Size = "cluster"
    n_folds: int = 50
    n_others: int = 10
    n_candidates: int = 500
    n_neighbors: int = 10
    n_components: int = 10
    random_state: int = 0

    def _spread(self, points: NDArray[np.float64], table: Rows) -> Iterator[Region]:
        """Yield the folds around isolated formulas, given a point per formula."""
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
            name = f"around {readable_key(table.names[formulas[0]])}"
            yield Region(name, np.isin(table.numbers, formulas))

    def _sparse(self, space: str) -> str:
        more = f" and its {self.n_others} nearest formulas" if self.size == "cluster" else ""
        return f"one of {self.n_folds} formulas in sparse regions of {space}{more}"


@SPLITTERS.register("sparse-x")
@dataclass(eq=False, repr=False)
class SparseXSplit(_SparseSplit):
    """Hold out an isolated formula in feature space, by default with its 10 nearest (Omee et al.,
    npj Comput. Mater. 10, 144, 2024: SparseXsingle, SparseXcluster).

    The most isolated formulas are clustered by k-means; the most isolated one of each cluster is
    one fold. The publication uses structure features; here they are what `X` holds.

    Parameters
    ----------
    size : {"single", "cluster"}, default "cluster"
        One formula per fold, or the formula with those nearest to it. The error on a single
        formula, which the published scheme has, is too noisy to compare methods.
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
        Seed of k-means.
    features : array_like of float, shape (n, d), optional
        Features of the rows in place of `X`.
    """  # noqa: D205

    aim = "sparse regions"
    needs = ("X",)
    per_row: ClassVar[PerRow] = {"features": "features"}

    features: ArrayLike | None = None

    def _regions(self, table: Rows) -> Iterator[Region]:
        points = locate_formulas(table, self.n_components, features=self.features)
        yield from self._spread(points, table)

    def describe(self) -> str:
        """Say in one line what is held out."""
        return self._sparse("the features")


@SPLITTERS.register("sparse-y")
class SparseYSplit(_SparseSplit):
    """Hold out an isolated formula in the target, by default with its 10 nearest (SparseYsingle,
    SparseYcluster).

    As `SparseXSplit`, with the mean target of each formula in place of its features. Most such
    formulas are in the tails.

    Parameters
    ----------
    size, n_folds, n_others, n_candidates, n_neighbors, random_state
        As in `SparseXSplit`.
    """  # noqa: D205

    aim = "sparse targets"
    needs = ("y",)

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
        yield from self._spread(table.formula_means(table.targets())[:, None], table)

    def describe(self) -> str:
        """Say in one line what is held out."""
        return self._sparse("the target")


@SPLITTERS.register("farthest")
@dataclass(eq=False, repr=False)
class FarthestPointSplit(Splitter):
    """Hold out a connected region at the rim: the formulas nearest to the farthest point.

    Centres are found by farthest-first traversal (Gonzalez, Theor. Comput. Sci. 38, 293, 1985): the
    first is the formula farthest from the mean, each next the one farthest from all before it. A
    fold is the share of rows nearest to a centre, so that training lacks a connected piece of
    chemistry and not single outliers.

    Parameters
    ----------
    share : float, default 0.1
        Share of rows in each region.
    n_folds : int, default 1
        Regions; they may overlap.
    n_components : int, default 10
        Dimensions of the embedding of the standardised features.
    embedding : {"pca", "umap"}, default "pca"
        As in `CovariateSplit`.
    random_state : int, default 0
        Seed of UMAP.
    features : array_like of float, shape (n, d), optional
        Features of the rows in place of `X`.
    """

    aim = "unseen region"
    needs = ("X",)
    per_row: ClassVar[PerRow] = {"features": "features"}

    share: float = 0.1
    n_folds: int = 1
    n_components: int = 10
    embedding: Embedding = "pca"
    random_state: int = 0
    features: ArrayLike | None = None

    def _regions(self, table: Rows) -> Iterator[Region]:
        points = locate_formulas(
            table,
            self.n_components,
            features=self.features,
            embedding=self.embedding,
            random_state=self.random_state,
        )
        if not 1 <= self.n_folds <= len(points):
            raise SplitError(
                f"{self.n_folds} regions of {len(points)} formulas; choose n_folds from 1 to "
                f"{len(points)}"
            )
        nearest = _distances(points, points.mean(axis=0))
        for number in range(self.n_folds):
            centre = int(np.argmax(nearest))
            if nearest[centre] == 0:
                raise SplitError(f"the formulas are in only {number} different places")
            away = _distances(points, points[centre])
            nearest = away if number == 0 else np.minimum(nearest, away)
            region = take_top(-away[table.numbers], table.numbers, self.share)
            yield Region(f"around {readable_key(table.names[centre])}", region)

    def describe(self) -> str:
        """Say in one line what is held out."""
        return (
            f"the {100 * self.share:g}% of rows nearest to a formula at the rim of "
            f"{self.n_components} {self.embedding.upper()} dimensions"
        )


def _distances(points: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    # rounded, so that ties go by the formula
    return np.asarray(np.linalg.norm(points - centre, axis=1).round(9))
