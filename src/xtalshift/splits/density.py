"""Covariate shift: materials in sparse regions of feature space."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xtalshift.errors import SplitError
from xtalshift.splits.base import SPLITTERS, BoolArray, Splitter, group_numbers, take_top

__all__ = ["CovariateSplit", "embed"]

Embedding = Literal["pca", "umap"]


@SPLITTERS.register("covariate")
class CovariateSplit(Splitter):
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

    def _held_out(
        self,
        X: NDArray[Any],
        y: NDArray[np.float64] | None,  # noqa: ARG002
        groups: NDArray[Any],
    ) -> BoolArray:
        numbers, n_groups = group_numbers(groups)
        if n_groups <= self.n_neighbors:
            raise SplitError(
                f"{n_groups} distinct formulas have no {self.n_neighbors} neighbours each; "
                f"set n_neighbors to at most {max(1, n_groups - 1)}"
            )
        # one point per formula: its polymorphs must not count as its neighbours
        centres = np.zeros((n_groups, X.shape[1]))
        np.add.at(centres, numbers, X)
        centres /= np.bincount(numbers, minlength=n_groups)[:, None]
        points = embed(
            centres, self.n_components, embedding=self.embedding, random_state=self.random_state
        )
        neighbours = NearestNeighbors(n_neighbors=self.n_neighbors).fit(points)
        distances, _ = neighbours.kneighbors()  # without the point itself
        return take_top(distances.mean(axis=1)[numbers], groups, self.share)

    def describe(self) -> str:
        """Say in one line what is held out."""
        return (
            f"the {self.share:.0%} of rows with the largest mean distance to their "
            f"{self.n_neighbors} nearest formulas in {self.n_components} "
            f"{self.embedding.upper()} dimensions"
        )


def embed(
    X: NDArray[Any], n_components: int, *, embedding: Embedding = "pca", random_state: int = 0
) -> NDArray[np.float64]:
    """Map features to a few dimensions.

    Parameters
    ----------
    X : ndarray of float, shape (n, d)
        Features; NaN becomes the column's mean, and every column is standardised.
    n_components : int
        Dimensions wanted; PCA gives fewer if `X` has fewer rows or columns.
    embedding : {"pca", "umap"}
        How.
    random_state : int
        Seed of UMAP.

    Returns
    -------
    ndarray of float64, shape (n, n_components)
    """
    prepare = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    scaled = prepare.fit_transform(X)
    if embedding == "umap":
        try:
            from umap import UMAP
        except ImportError as error:
            raise SplitError(
                "the UMAP embedding needs the package umap-learn: pip install xtalshift[umap]"
            ) from error
        mapper = UMAP(n_components=n_components, random_state=random_state, n_jobs=1)
        return np.asarray(mapper.fit_transform(scaled), dtype=np.float64)
    if embedding != "pca":
        raise SplitError(f"embedding = {embedding!r}; expected pca or umap")
    pca = PCA(n_components=min(n_components, *scaled.shape), svd_solver="full")
    return np.asarray(pca.fit_transform(scaled), dtype=np.float64)
