"""Joint conformal prediction: intervals of several targets that hold for all of them at once.

Of the calibration rows on which all targets are known, each has one conformity score per target.
Its *max rank* is the largest of the ranks that these scores have among those of their target. It
has no unit, so that targets need no common scale.

===========================================  ====================
symbol                                       variable
===========================================  ====================
score s_it of row i and target t             ``scores``
max rank r_i = max_t #{j: s_jt <= s_it}      ``max_ranks``
level 1 - alpha                              ``level``
===========================================  ====================
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import DataError
from xtalshift.metrics.checks import check_level

FloatArray = NDArray[np.float64]
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class JointScores:
    """Conformity scores of n calibration rows on which all t targets are known.

    For n + 1 exchangeable rows the scores of the last are all at most `bounds` with probability at
    least `level`: let ``m = ceil((n + 1) level)`` and k the m-th smallest max rank of the n. Among
    n + 1 rows a rank is that among n or one more, so that m rows have a max rank of at most k + 1.
    If a score of the new row is above the (k + 1)-th smallest of its target, its own max rank is at
    least k + 2. So the new row is among the ``n + 1 - m <= (n + 1) (1 - level)`` largest. The idea
    of max ranks is that of Timans et al. (arXiv:2311.10900); the added rank makes it hold for
    ranks that are taken among the calibration rows themselves.

    Raises
    ------
    DataError
        If there is no row or no target, or a score is not finite.
    """

    scores: FloatArray
    """Shape (n, t)."""

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or 0 in self.scores.shape:  # noqa: PLR2004 - rows by targets
            raise DataError(f"{self.scores.shape=}: expected (rows, targets), at least one of each")
        if not np.isfinite(self.scores).all():
            raise DataError("a joint score is not finite")

    def __len__(self) -> int:
        return len(self.scores)

    @cached_property
    def _sorted(self) -> FloatArray:
        return np.sort(self.scores, axis=0)

    @cached_property
    def max_ranks(self) -> NDArray[np.int64]:
        """Max rank of each row, ascending, shape (n,); equal scores have the rank of the last."""
        columns = zip(self._sorted.T, self.scores.T, strict=True)
        ranks = [np.searchsorted(known, column, side="right") for known, column in columns]
        return np.sort(np.max(ranks, axis=0)).astype(np.int64)

    def bounds(self, level: float) -> FloatArray:
        """Return the scores that a new row does not exceed, in all targets, at `level`.

        Parameters
        ----------
        level : float
            In (0, 1).

        Returns
        -------
        ndarray of float64, shape (t,)
            ``inf`` if there are too few rows for finite ones.
        """
        check_level(level)
        n = len(self)
        m = math.ceil((n + 1) * (level - _ROUNDING))
        rank = self.max_ranks[m - 1] + 1 if m <= n else n + 1
        if rank > n:
            return np.full(self.scores.shape[1], np.inf)
        return np.asarray(self._sorted[rank - 1])
