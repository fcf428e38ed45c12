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
        if not 1 <= self.n_neighbors < n_groups:
            raise SplitError(
                f"{n_groups} distinct formulas have no {self.n_neighbors} neighbours each; "
                f"set n_neighbors to at least 1 and at most {max(1, n_groups - 1)}"
            )
        features = np.asarray(X, dtype=np.float64)
        if np.isinf(features).any():
            row, column = np.argwhere(np.isinf(features))[0]
            raise SplitError(f"X[{row}, {column}] is infinite; distances need finite features")
        # one point per formula: its polymorphs must not count as its neighbours
        centres = np.zeros((n_groups, features.shape[1]))
        np.add.at(centres, numbers, features)
        centres /= np.bincount(numbers, minlength=n_groups)[:, None]
        points = embed(
            centres, self.n_components, embedding=self.embedding, random_state=self.random_state
        )
        neighbours = NearestNeighbors(n_neighbors=self.n_neighbors).fit(points)
        distances, _ = neighbours.kneighbors()  # without the point itself
        if not distances.any():
            raise SplitError("all formulas have the same features; none is isolated")
        # two mutual neighbours tie but for rounding errors; such ties go by the formula
        isolation = distances.mean(axis=1).round(9)
        return take_top(isolation[numbers], groups, self.share)

    def describe(self) -> str:
        """Say in one line what is held out."""
        return (
            f"the {100 * self.share:g}% of rows with the largest mean distance to their "
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
        Dimensions wanted, at least 1; PCA gives fewer if `X` has fewer rows or columns.
    embedding : {"pca", "umap"}
        How.
    random_state : int
        Seed of UMAP.

    Returns
    -------
    ndarray of float64, shape (n, n_components)

    Raises
    ------
    SplitError
        If `n_components` or `embedding` is none of these, or umap-learn is not installed.
    """
    if n_components < 1:
        raise SplitError(f"n_components = {n_components}; expected at least 1")
    prepare = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    scaled = prepare.fit_transform(X)
    if embedding == "umap":
        try:
            from umap import UMAP
        except ImportError as error:
            raise SplitError(
                "the UMAP embedding needs the package umap-learn: pip install xtalshift[umap]"
            ) from error
        mapper = UMAP(
            n_neighbors=min(15, len(scaled) - 1),  # 15 is its default
            n_components=n_components,
            random_state=random_state,
            n_jobs=1,
        )
        return np.asarray(mapper.fit_transform(scaled), dtype=np.float64)
    if embedding != "pca":
        raise SplitError(f"embedding = {embedding!r}; expected pca or umap")
    if not scaled.any():  # every column is constant: no direction to find
        return np.zeros((len(scaled), min(n_components, *scaled.shape)))
    pca = PCA(n_components=min(n_components, *scaled.shape), svd_solver="full")
    return np.asarray(pca.fit_transform(scaled), dtype=np.float64)
