"""The space in which splitters measure distances: a few dimensions, one point per formula."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xtalshift.errors import SplitError
from xtalshift.splits.grouped_rows import IntArray, group_numbers

__all__ = [
    "Embedding",
    "FormulaPoints",
    "check_features",
    "embed",
    "formula_means",
    "isolation",
    "locate_formulas",
]

Embedding = Literal["pca", "umap"]


class FormulaPoints(NamedTuple):
    """One point per formula.

    Attributes
    ----------
    points : ndarray of float64, shape (n_formulas, n_components)
        In the order of the sorted formulas, so that the order of rows does not matter.
    numbers : ndarray of int64, shape (n,)
        The formula of each row.
    """

    points: NDArray[np.float64]
    numbers: IntArray


def locate_formulas(
    X: NDArray[Any],
    groups: NDArray[Any],
    n_components: int,
    *,
    embedding: Embedding = "pca",
    random_state: int = 0,
) -> FormulaPoints:
    """Embed the mean features of every formula (its polymorphs must not be its neighbours).

    Parameters
    ----------
    X : ndarray of float, shape (n, d)
        Features; NaN means missing.
    groups : ndarray, shape (n,)
        Formulas.
    n_components, embedding, random_state
        As in `embed`.

    Raises
    ------
    SplitError
        If there are no features or one is infinite, and as `embed`.
    """
    centres, numbers = formula_means(X, groups)
    points = embed(centres, n_components, embedding=embedding, random_state=random_state)
    return FormulaPoints(points, numbers)


def formula_means(X: NDArray[Any], groups: NDArray[Any]) -> tuple[NDArray[np.float64], IntArray]:
    """Return the mean features of each formula, (n_formulas, d), and each row's formula, (n,).

    Raises
    ------
    SplitError
        If there are no features or one is infinite.
    """
    features = check_features(X)
    numbers, n_groups = group_numbers(groups)
    means = np.zeros((n_groups, features.shape[1]))
    np.add.at(means, numbers, features)
    return means / np.bincount(numbers, minlength=n_groups)[:, None], numbers


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

    Parameters
    ----------
    points : ndarray of float64, shape (n, n_components)
        Points.
    n_neighbors : int
        Others averaged over.

    Raises
    ------
    SplitError
        If there are not that many others, or all points are the same.
    """
    if not 1 <= n_neighbors < len(points):
        raise SplitError(
            f"{len(points)} distinct formulas have no {n_neighbors} neighbours each; "
            f"set n_neighbors to at least 1 and at most {max(1, len(points) - 1)}"
        )
    distances, _ = KDTree(points).query(points, k=n_neighbors + 1, workers=-1)
    if not distances.any():
        raise SplitError("every formula has others in its very place; none is isolated")
    # the nearest is the point itself (or its double, at the same distance 0); two mutual
    # neighbours tie but for rounding errors, and such ties go by the formula
    return np.asarray(distances[:, 1:].mean(axis=1).round(9))


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
            n_jobs=1,  # it is reproducible on one thread only
        )
        return np.asarray(mapper.fit_transform(scaled), dtype=np.float64)
    if embedding != "pca":
        raise SplitError(f"embedding = {embedding!r}; expected pca or umap")
    if not scaled.any():  # every column is constant: no direction to find
        return np.zeros((len(scaled), min(n_components, *scaled.shape)))
    pca = PCA(n_components=min(n_components, *scaled.shape), svd_solver="full")
    return np.asarray(pca.fit_transform(scaled), dtype=np.float64)
