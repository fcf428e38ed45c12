"""Hold out the materials that are most like a target domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xtalshift.errors import SplitError
from xtalshift.splits.audit.shift_measures import sample
from xtalshift.splits.feature_space import check_features
from xtalshift.splits.splitter import (
    SPLITTERS,
    BoolArray,
    FromFile,
    HoldOut,
    IntArray,
    PerRow,
    Rows,
    check_share,
    read_flags,
    take_top,
)

_N_PARTS = 5


@SPLITTERS.register("propensity")
@dataclass(eq=False, repr=False)
class PropensitySplit(HoldOut):
    """Hold out the materials most like a target domain, given by a file of formulas or by flags.

    A propensity model (logistic regression on standardised features) separates the target domain
    from the other materials; each formula is scored by a model that was not trained on it. The rows
    with the largest odds are held out, so that their error estimates the error in the target
    domain, which has few labels or none.

    Parameters
    ----------
    candidates : array_like of float, shape (m, d), optional
        Features of materials of the target domain, such as the candidates of a screening.
    flags : array_like of bool, shape (n,), optional
        Rows of the table in the target domain (an alternative to `candidates`).
    share : float, default 0.1
        Share of rows held out.
    n_max : int, default 20000
        Most formulas of either side that the model is trained on.
    random_state : int, default 0
        Deals the formulas into five folds and draws the sample.
    """

    aim = "that of your candidates"
    needs = ("X",)
    per_row: ClassVar[PerRow] = {"flags": "flag"}
    from_file: ClassVar[FromFile] = {"candidates": "features"}

    candidates: ArrayLike | None = None
    flags: ArrayLike | None = None
    share: float = 0.1
    n_max: int = 20_000
    random_state: int = 0

    def _held_out(self, table: Rows) -> BoolArray:
        check_share(self.share)
        if (self.candidates is None) == (self.flags is None):
            raise SplitError(
                "give the target domain by the features of its materials, or by flags of rows"
            )
        rows = table.formula_means(check_features(table.X))
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
            points, inside = rows, np.zeros(n_formulas, dtype=bool)
            inside[table.numbers[read_flags(self.flags, len(table))]] = True
        odds = _odds(points, inside, self.n_max, np.random.default_rng(self.random_state))
        return take_top(odds[:n_formulas][table.numbers], table.numbers, self.share)

    def describe(self) -> str:
        """Say in one line what is held out."""
        return f"the {100 * self.share:g}% of rows most like the target domain"


def _odds(
    points: NDArray[np.float64], inside: BoolArray, n_max: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the log-odds of each point to be inside, by a model that did not see it, (n,)."""
    for side, mask in (("inside", inside), ("outside", ~inside)):
        if mask.sum() < _N_PARTS:
            raise SplitError(
                f"{mask.sum()} materials {side} the target domain; at least {_N_PARTS} are needed "
                "on either side to train the propensity model"
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
