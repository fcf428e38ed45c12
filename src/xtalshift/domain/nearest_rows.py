"""Which row of a table is the nearest training material."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.domain.applicability import ApplicabilityDomain


def nearest_rows(
    domain: ApplicabilityDomain,
    X: ArrayLike,
    groups: NDArray[np.object_],
    X_table: ArrayLike,
    groups_table: NDArray[np.object_],
) -> NDArray[np.int64]:
    """Return the row of each nearest training material; of polymorphs the one that is nearest.

    Parameters
    ----------
    domain : ApplicabilityDomain
        Fitted to rows of the table; it knows their formulas only.
    X : array_like of float, shape (n, d)
        Features of materials.
    groups : ndarray of str, shape (n,)
        Formulas of their nearest training materials, as the domain returns them.
    X_table : array_like of float, shape (m, d)
        Features of the training rows.
    groups_table : ndarray of str, shape (m,)
        Their reduced formulas.

    Returns
    -------
    ndarray of int64, shape (n,)
        Rows of `X_table`; -1 where none has the formula.
    """
    scaler = domain.novelty_.reference.scaler
    found = np.full(len(groups), -1, dtype=np.int64)
    if not len(groups_table):
        return found
    points, table = (scaler.transform(np.asarray(one, dtype=np.float64)) for one in (X, X_table))
    for row, group in enumerate(groups.tolist()):
        same = np.flatnonzero(groups_table == group)
        if same.size:
            found[row] = same[np.linalg.norm(table[same] - points[row], axis=1).argmin()]
    return found
