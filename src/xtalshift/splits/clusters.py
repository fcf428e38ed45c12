"""Leave one cluster out (LOCO): clusters of materials in feature space."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import SplitError
from xtalshift.splits.base import SPLITTERS, Region, Splitter
from xtalshift.splits.grouped_rows import IntArray, Rows
from xtalshift.splits.space import Embedding, locate_formulas

__all__ = ["AGGLOMERATIVE_LIMIT", "LOCOSplit", "cluster_points"]

Clustering = Literal["kmeans", "agglomerative"]

AGGLOMERATIVE_LIMIT = 20_000
"""Agglomerative clustering holds all pairs of points twice, 3.2 GB for so many."""


@SPLITTERS.register("loco")
class LOCOSplit(Splitter):
    """Leave one cluster of formulas out (Meredig et al., Mol. Syst. Des. Eng. 3, 819, 2018).

    Parameters
    ----------
    n_clusters : int, default 10
        Clusters, one fold each, largest first.
    method : {"kmeans", "agglomerative"}, default "kmeans"
        Agglomerative (Ward) clusters are limited to 20,000 formulas.
    n_components : int, default 10
        Dimensions of the embedding of the standardised features.
    embedding : {"pca", "umap"}, default "pca"
        As in `CovariateSplit`.
    random_state : int, default 0
        Seed of k-means and UMAP.
    """

    needs: ClassVar[tuple[str, ...]] = ("X",)

    def __init__(
        self,
        n_clusters: int = 10,
        method: Clustering = "kmeans",
        n_components: int = 10,
        embedding: Embedding = "pca",
        random_state: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.method = method
        self.n_components = n_components
        self.embedding = embedding
        self.random_state = random_state

    def get_n_splits(
        self,
        X: ArrayLike | None = None,  # noqa: ARG002
        y: ArrayLike | None = None,  # noqa: ARG002
        groups: ArrayLike | None = None,  # noqa: ARG002
    ) -> int:
        """Return the number of clusters."""
        return self.n_clusters

    def _regions(self, table: Rows) -> Iterator[Region]:
        located = locate_formulas(
            table.X,
            table.groups,
            self.n_components,
            embedding=self.embedding,
            random_state=self.random_state,
        )
        if self.n_clusters < 2:  # noqa: PLR2004 - one cluster leaves nothing to train on
            raise SplitError(f"n_clusters = {self.n_clusters}; expected at least 2")
        codes = cluster_points(located.points, self.n_clusters, self.method, self.random_state)
        rows = codes[located.numbers]
        sizes = np.bincount(rows, minlength=self.n_clusters)
        for place, cluster in enumerate(np.argsort(-sizes, kind="stable")):
            yield Region(f"cluster {place}", rows == cluster)

    def describe(self) -> str:
        """Say in one line what is held out."""
        return (
            f"one of {self.n_clusters} {self.method} clusters in {self.n_components} "
            f"{self.embedding.upper()} dimensions"
        )


def cluster_points(
    points: NDArray[np.float64], n_clusters: int, method: str = "kmeans", random_state: int = 0
) -> IntArray:
    """Return the cluster of each point, shape (n,), numbered by first appearance.

    Parameters
    ----------
    points : ndarray of float64, shape (n, d)
        Points.
    n_clusters : int
        Clusters; none is empty.
    method : {"kmeans", "agglomerative"}
        How.
    random_state : int
        Of k-means (the best of 10 starts).

    Raises
    ------
    SplitError
        If there are fewer distinct points than clusters, too many points for agglomerative
        clustering, or the method is unknown.
    """
    if method not in get_args(Clustering):
        raise SplitError(f"method = {method!r}; expected one of {', '.join(get_args(Clustering))}")
    if method == "agglomerative" and len(points) > AGGLOMERATIVE_LIMIT:
        raise SplitError(
            f"agglomerative clustering holds all pairs of its {len(points):,} formulas in memory; "
            f"it is limited to {AGGLOMERATIVE_LIMIT:,}. Use method=kmeans or fewer rows"
        )
    n_distinct = len(np.unique(points, axis=0))
    if n_clusters > n_distinct:
        raise SplitError(
            f"{n_clusters} clusters of formulas in {n_distinct} different places; choose at most "
            f"{n_distinct}"
        )
    # loaded late: clusters are wanted rarely
    from sklearn.cluster import AgglomerativeClustering, KMeans

    if method == "agglomerative":
        found = AgglomerativeClustering(n_clusters).fit_predict(points)
    else:
        found = KMeans(n_clusters, n_init=10, random_state=random_state).fit_predict(points)
    _, first, codes = np.unique(found, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[codes].astype(np.int64)
