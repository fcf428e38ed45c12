"""The space in which splitters measure distances: a few dimensions, one point per formula."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xtalshift.errors import SplitError
from xtalshift.splits.splitter import IntArray, Rows

Embedding = Literal["pca", "umap"]
Clustering = Literal["kmeans", "agglomerative"]

AGGLOMERATIVE_LIMIT = 20_000
"""Agglomerative clustering holds all pairs of points twice: 3.2 GB for this many."""


def locate_formulas(
    rows: Rows,
    n_components: int,
    *,
    features: ArrayLike | None = None,
    embedding: Embedding = "pca",
    random_state: int = 0,
) -> NDArray[np.float64]:
    """Embed the mean features of every formula: its polymorphs must not be its neighbours.

    Returns one point per formula, shape (n_formulas, n_components), in the order of the sorted
    formulas. Without `features`, those of `rows` are taken; other arguments and errors as in
    `embed` and `check_features`.
    """
    values = check_features(rows.X if features is None else features)
    if len(values) != len(rows):
        raise SplitError(f"features has {len(values)} rows, the table {len(rows)}")
    means = rows.formula_means(values)
    return embed(means, n_components, embedding=embedding, random_state=random_state)


def check_features(X: ArrayLike) -> NDArray[np.float64]:
    """Return features as numbers, shape (n, d); raise `SplitError` if d is 0 or one is infinite."""
    features = np.asarray(X, dtype=np.float64)
    if features.ndim != 2 or not features.shape[1]:  # noqa: PLR2004
        raise SplitError("distances between materials need features: pass X of shape (n, d)")
    if np.isinf(features).any():
        row, column = np.argwhere(np.isinf(features))[0]
        raise SplitError(f"X[{row}, {column}] is infinite; distances need finite features")
    return features


def isolation(points: NDArray[np.float64], n_neighbors: int) -> NDArray[np.float64]:
    """Return the mean Euclidean distance of each point to its nearest others (exact), shape (n,).

    Raises `SplitError` if there are fewer others than `n_neighbors`, or all points are the same.
    """
    if not 1 <= n_neighbors < len(points):
        raise SplitError(
            f"{len(points)} distinct formulas do not have {n_neighbors} neighbours each; "
            f"set n_neighbors to at least 1 and at most {max(1, len(points) - 1)}"
        )
    distances, _ = KDTree(points).query(points, k=n_neighbors + 1, workers=-1)
    if not distances.any():
        raise SplitError("every formula has the same features as others; none is isolated")
    # the nearest is the point itself (or its double, at the same distance 0); two mutual
    # neighbours tie up to rounding errors, and such ties go by the formula
    return np.asarray(distances[:, 1:].mean(axis=1).round(9))


def embed(
    X: NDArray[Any], n_components: int, *, embedding: Embedding = "pca", random_state: int = 0
) -> NDArray[np.float64]:
    """Map features, shape (n, d), to at most `n_components` dimensions.

    NaN becomes the mean of the column, and every column is standardised. `random_state` is the seed
    of UMAP. Raises `SplitError` if an argument is wrong or umap-learn is not installed.
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
            n_jobs=1,  # it is reproducible on one thread only
        )
        return np.asarray(mapper.fit_transform(scaled), dtype=np.float64)
    if embedding != "pca":
        raise SplitError(f"embedding = {embedding!r}; expected pca or umap")
    if not scaled.any():  # every column is constant: no direction to find
        return np.zeros((len(scaled), min(n_components, *scaled.shape)))
    pca = PCA(n_components=min(n_components, *scaled.shape), svd_solver="full")
    return np.asarray(pca.fit_transform(scaled), dtype=np.float64)


def cluster_points(
    points: NDArray[np.float64],
    n_clusters: int,
    method: Clustering = "kmeans",
    random_state: int = 0,
) -> IntArray:
    """Return the cluster of each point, shape (n,), numbered by first appearance; none is empty.

    k-means takes the best of 10 starts. Raises `SplitError` if there are fewer distinct points than
    clusters, too many points for agglomerative clustering, or the method is unknown.
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
    from sklearn.cluster import AgglomerativeClustering, KMeans  # loaded only where it is used

    if method == "agglomerative":
        found = AgglomerativeClustering(n_clusters).fit_predict(points)
    else:
        found = KMeans(n_clusters, n_init=10, random_state=random_state).fit_predict(points)
    _, first, codes = np.unique(found, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[codes].astype(np.int64)
