"""Regions at the rim of feature space, found by distance or by likeness to a target domain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xtalshift.errors import SplitError
from xtalshift.splits.audit.shift_measures import sample
from xtalshift.splits.base import SPLITTERS, HoldOut, Region, Splitter
from xtalshift.splits.grouped_rows import BoolArray, IntArray, Rows, check_share, take_top
from xtalshift.splits.predefined import read_flags
from xtalshift.splits.space import Embedding, formula_means, locate_formulas

__all__ = ["FarthestPointSplit", "PropensitySplit"]


@SPLITTERS.register("farthest")
class FarthestPointSplit(Splitter):
    """Hold out whole regions at the rim: the formulas around the farthest points.

    Centres are found by farthest-first traversal (Gonzalez, Theor. Comput. Sci. 38, 293, 1985): the
    first is the formula farthest from the mean, each next the one farthest from all before it. A
    fold is the share of rows nearest to a centre, so that not single outliers but a connected piece
    of chemistry is unknown to the training.

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
    """

    needs: ClassVar[tuple[str, ...]] = ("X",)

    def __init__(
        self,
        share: float = 0.1,
        n_folds: int = 1,
        n_components: int = 10,
        embedding: Embedding = "pca",
        random_state: int = 0,
    ) -> None:
        self.share = share
        self.n_folds = n_folds
        self.n_components = n_components
        self.embedding = embedding
        self.random_state = random_state

    def _regions(self, table: Rows) -> Iterator[Region]:
        points, numbers = locate_formulas(
            table.X,
            table.groups,
            self.n_components,
            embedding=self.embedding,
            random_state=self.random_state,
        )
        if not 1 <= self.n_folds <= len(points):
            raise SplitError(
                f"{self.n_folds} regions of {len(points)} formulas; choose n_folds from 1 to "
                f"{len(points)}"
            )
        names = np.unique(table.groups)
        nearest = _distances(points, points.mean(axis=0))
        for number in range(self.n_folds):
            centre = int(np.argmax(nearest))
            if nearest[centre] == 0:
                raise SplitError(f"the formulas lie in {number} different places; no other is far")
            away = _distances(points, points[centre])
            nearest = away if number == 0 else np.minimum(nearest, away)
            region = take_top(-away[numbers], table.groups, self.share)
            yield Region(f"around {names[centre]}", region)

    def describe(self) -> str:
        """Say in one line what is held out."""
        return (
            f"the {100 * self.share:g}% of rows nearest to a formula at the rim of "
            f"{self.n_components} {self.embedding.upper()} dimensions"
        )


def _distances(points: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    # rounded, so that ties go by the formula
    return np.asarray(np.linalg.norm(points - centre, axis=1).round(9))


@SPLITTERS.register("propensity")
class PropensitySplit(HoldOut):
    """Hold out the materials most like a target domain: target-like against source-like.

    A propensity model (logistic regression on standardised features) tells the target domain from
    the rest; each formula is judged by a model that did not see it. The rows with the largest
    odds are held out, so that their error estimates the error in the target domain, where no or
    few labels exist.

    Parameters
    ----------
    candidates : array_like of float, shape (m, d), optional
        Features of materials of the target domain, such as the candidates of a screening.
    flags : array_like of bool, shape (n,), optional
        Rows of the table in the target domain (an alternative to `candidates`).
    share : float, default 0.1
        Share of rows held out.
    n_max : int, default 20000
        At most so many formulas of either side fit the model.
    random_state : int, default 0
        Deals the formulas into five folds and draws the sample.
    """

    per_row: ClassVar[dict[str, str]] = {"flags": "flag"}
    from_file: ClassVar[dict[str, str]] = {"candidates": "features"}
    needs: ClassVar[tuple[str, ...]] = ("X",)

    def __init__(
        self,
        candidates: ArrayLike | None = None,
        flags: ArrayLike | None = None,
        share: float = 0.1,
        n_max: int = 20_000,
        random_state: int = 0,
    ) -> None:
        self.candidates = candidates
        self.flags = flags
        self.share = share
        self.n_max = n_max
        self.random_state = random_state

    def _held_out(self, table: Rows) -> BoolArray:
        check_share(self.share)
        declared = [self.candidates, self.flags]
        if sum(values is not None for values in declared) != 1:
            raise SplitError(
                "a target domain is declared by the features of its materials or by flags of rows"
            )
        rows, numbers = formula_means(table.X, table.groups)
        n_formulas = len(rows)
        if self.candidates is not None:
            domain = np.asarray(self.candidates, dtype=np.float64)
            if domain.ndim != 2 or domain.shape[1] != rows.shape[1]:  # noqa: PLR2004
                raise SplitError(
                    f"candidates has the shape {domain.shape}, X has {rows.shape[1]} features"
                )
            points = np.vstack([rows, domain])
            inside = np.arange(len(points)) >= n_formulas
        elif self.flags is not None:
            points = rows
            flagged = np.zeros(n_formulas, dtype=bool)
            flagged[numbers[read_flags(self.flags, len(table))]] = True
            inside = flagged
        odds = _odds(points, inside, self.n_max, np.random.default_rng(self.random_state))
        return take_top(odds[:n_formulas][numbers], table.groups, self.share)

    def describe(self) -> str:
        """Say in one line what is held out."""
        return f"the {100 * self.share:g}% of rows most like the target domain"


_N_PARTS = 5


def _odds(
    points: NDArray[np.float64], inside: BoolArray, n_max: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return each point's log-odds to be inside, by a model that did not see it, shape (n,)."""
    for side, mask in (("inside", inside), ("outside", ~inside)):
        if mask.sum() < _N_PARTS:
            raise SplitError(
                f"{mask.sum()} materials {side} the target domain; at least {_N_PARTS} are needed "
                "on either side to tell them apart"
            )
    parts = np.empty(len(points), dtype=np.int64)
    for mask in (inside, ~inside):
        parts[mask] = rng.permutation(np.arange(mask.sum()) % _N_PARTS)
    odds = np.empty(len(points))
    for part in range(_N_PARTS):
        others = parts != part
        seen = [_draw(np.flatnonzero(side & others), n_max, rng) for side in (inside, ~inside)]
        fitted = np.concatenate(seen)
        model = make_pipeline(
            SimpleImputer(keep_empty_features=True),
            StandardScaler(),
            LogisticRegression(class_weight="balanced", max_iter=1000),
        )
        model.fit(points[fitted], inside[fitted])
        odds[parts == part] = model.decision_function(points[parts == part])
    return odds


def _draw(rows: IntArray, n_max: int, rng: np.random.Generator) -> IntArray:
    return rows[sample(len(rows), n_max, int(rng.integers(2**31)))]
