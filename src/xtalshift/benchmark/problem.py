"""What all tasks share, prepared once: rows with features, and the folds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["FoldRows", "Problem", "Shared"]

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Problem:
    """The rows of one table; arrays may be read-only and shared with other processes.

    Attributes
    ----------
    info : dict
        Plain values: ``name, target, unit, source, sha256, rows, conditions, transform, impute_nan,
        hydrates``, ``families`` (names), ``cleaning`` and ``tails`` (side -> the target beyond
        which the 5 % most extreme lie).
    X : dict of ndarray of float64, shape (n, d)
        By features.
    y : ndarray of float64, shape (n,)
        Targets in their unit.
    groups : ndarray of int64, shape (n,)
        Number of the reduced formula.
    families : ndarray of int64, shape (n,)
        Place of the chemical family in ``info["families"]``.
    formulas : ndarray of str, shape (n,)
        As read.
    """

    info: dict[str, Any]
    X: dict[str, NDArray[np.float64]]
    y: NDArray[np.float64]
    groups: NDArray[np.int64]
    families: NDArray[np.int64]
    formulas: Array


@dataclass(frozen=True, eq=False)
class FoldRows:
    """The rows of one fold for one seed.

    Attributes
    ----------
    data, split : str
        Names in the specification.
    fold, seed : int
        Number of the fold; seed of all that is drawn.
    name : str
        What is held out.
    role : {"id", "ood"}
        Of the test rows.
    tail : {"high", "low"}
        Where extreme targets are sought.
    budgets : tuple of int
        Numbers of target labels that the fold has rows for.
    parts : dict of ndarray of int
        ``train``, ``val``, ``id`` (ID test rows), ``target`` (in the order of the budgets) and
        ``test``; row numbers.
    """

    data: str
    split: str
    fold: int
    seed: int
    name: str
    role: Literal["id", "ood"]
    tail: Literal["high", "low"]
    budgets: tuple[int, ...]
    parts: dict[str, NDArray[np.int64]] = field(repr=False)

    @property
    def key(self) -> str:
        """What tells it from the other folds of a benchmark."""
        return f"{self.data}/{self.split}/{self.fold}/{self.seed}"

    def sha256(self) -> str:
        """Return the hash of all rows."""
        digest = hashlib.sha256()
        for name, rows in self.parts.items():
            digest.update(f"{name} {len(rows)} ".encode())
            digest.update(np.ascontiguousarray(rows, dtype="<i8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Shared:
    """All tables and folds of a benchmark.

    Attributes
    ----------
    problems : dict of Problem
        By name.
    folds : dict of FoldRows
        By `FoldRows.key`.
    plugins : dict of str
        Source of each plugin, by file name.
    """

    problems: dict[str, Problem]
    folds: dict[str, FoldRows]
    plugins: dict[str, str]
