"""Groups of rows that a stable model should fit equally well."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.cal.settings import Environments
from xtalshift.chem.compositions import Compositions
from xtalshift.chem.families import family_codes
from xtalshift.errors import ConfigError


def assign_environments(
    kind: Environments,
    x: NDArray[np.floating],
    *,
    n_clusters: int,
    compositions: Compositions | None = None,
    given: ArrayLike | None = None,
    seed: int,
) -> NDArray[np.int64] | None:
    """Return the environment of each training row, numbered from 0.

    ``random`` draws new groups in every batch, as published: each is a sample of the same
    distribution, so the stability loss does not measure stability. ``clusters`` are k-means
    clusters of the standardised features, ``families`` those of `xtalshift.chem.families`,
    ``given`` are the user's labels.

    Parameters
    ----------
    kind : {"random", "clusters", "families", "given"}
        How rows are grouped.
    x : ndarray of float, shape (n, d)
        Standardised features.
    n_clusters : int
        For ``clusters``.
    compositions : Compositions of n rows, optional
        For ``families``.
    given : array_like, shape (n,), optional
        Labels, for ``given``.
    seed : int
        Of the clusters.

    Returns
    -------
    ndarray of int64, shape (n,), or None
        None for ``random``.

    Raises
    ------
    ConfigError
        If what the kind needs is missing.
    """
    if kind == "random":
        return None
    if kind == "clusters":
        if n_clusters < 1:
            raise ConfigError(f"n_environments = {n_clusters}; expected at least 1")
        count = min(n_clusters, len(np.unique(x, axis=0)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # threads on Windows
            from sklearn.cluster import MiniBatchKMeans  # loaded only where it is used

            found = MiniBatchKMeans(count, batch_size=4096, n_init=3, random_state=seed).fit(x)
        labels = np.asarray(found.labels_)
    elif kind == "families":
        if compositions is None:
            raise ConfigError(
                "environments = 'families' needs formulas: give origin=CompositionSource(...) to "
                "fit, use FormulaRegressor, or choose environments = 'clusters'"
            )
        labels = family_codes(compositions)
    else:
        if given is None:
            raise ConfigError(
                "environments = 'given' needs fit(..., environments=labels), or choose "
                "environments = 'clusters'"
            )
        labels = np.asarray(given)
    return np.asarray(np.unique(labels, return_inverse=True)[1], dtype=np.int64)
