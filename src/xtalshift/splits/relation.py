"""Relation shift that is found, not declared: groups whose residuals under a model differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import SplitError
from xtalshift.splits.base import SPLITTERS, BoolArray, Region, Splitter
from xtalshift.splits.labelling import label_rows
from xtalshift.splits.residuals import ResidualTest, residual_test
from xtalshift.splits.target import check_targets

__all__ = ["FoundRelationSplit", "GroupTest", "find_relations"]


class GroupTest(NamedTuple):
    """The residual test of one group against all other rows.

    Attributes
    ----------
    name : str
        Label of the group.
    rows : ndarray of bool, shape (n,)
        Its rows.
    result : ResidualTest
        Its `p_value` is that of the group alone.
    p_holm : float
        The p value corrected for the number of groups tested (Holm, Scand. J. Statist. 6, 65,
        1979); NaN if the group could not be tested.
    """

    name: str
    rows: BoolArray
    result: ResidualTest
    p_holm: float


@SPLITTERS.register("relation-found")
class FoundRelationSplit(Splitter):
    """Leave out each group that follows another relation, as a residual test finds it.

    For each group a source model is fitted to all other rows. The group differs if its residuals,
    where the other rows have neighbours, differ from those of these neighbours
    (`xtalshift.splits.residuals.residual_test`), with a p value corrected for the number of groups.
    The result of every test is in the note of the fold, or in the error if no group differs. Each
    group is compared with all others together, so a large group that differs makes the others
    differ a little too, with the opposite sign.

    Parameters
    ----------
    by : str or array_like of shape (n,), default "family"
        Name of a labelling in `xtalshift.chem.labels`, or a label per row.
    p : float, default 0.01
        Largest corrected p value.
    shift : float, default 0.5
        Smallest shift of the median residual, in standard deviations of the residuals compared
        with.
    min_rows : int, default 50
        Smaller groups are not tested.
    max_groups : int, default 50
        At most so many of the largest groups are tested.
    random_state : int, default 0
        Of the source models and their samples.
    """

    per_row: ClassVar[dict[str, str]] = {"by": "label"}
    needs: ClassVar[tuple[str, ...]] = ("X", "y")

    def __init__(
        self,
        by: str | ArrayLike = "family",
        p: float = 0.01,
        shift: float = 0.5,
        min_rows: int = 50,
        max_groups: int = 50,
        random_state: int = 0,
    ) -> None:
        self.by = by
        self.p = p
        self.shift = shift
        self.min_rows = min_rows
        self.max_groups = max_groups
        self.random_state = random_state

    def _regions(
        self,
        X: NDArray[Any],
        y: NDArray[np.float64] | None,
        groups: NDArray[Any],
    ) -> Iterator[Region]:
        tests = find_relations(
            X,
            check_targets(y),
            groups,
            by=self.by,
            min_rows=self.min_rows,
            max_groups=self.max_groups,
            random_state=self.random_state,
        )
        found = [
            test for test in tests if test.p_holm < self.p and abs(test.result.shift) >= self.shift
        ]
        if not found:
            raise SplitError(
                f"no group follows another relation (corrected p < {self.p:g} and a shift of at "
                f"least {self.shift:g} sd of the residuals): "
                f"{'; '.join(f'{test.name}: {describe_test(test)}' for test in tests)}"
            )
        by = f"{self.by} " if isinstance(self.by, str) else ""
        for test in found:
            yield Region(f"{by}{test.name}", test.rows, note=describe_test(test))

    def describe(self) -> str:
        """Say in one line what is held out."""
        by = self.by if isinstance(self.by, str) else "given group"
        return f"each {by} whose residuals under a model of the others differ"


def find_relations(
    X: NDArray[Any],
    y: NDArray[np.float64],
    groups: NDArray[Any],
    *,
    by: str | ArrayLike = "family",
    min_rows: int = 50,
    max_groups: int = 50,
    random_state: int = 0,
) -> list[GroupTest]:
    """Test every group of rows for another relation of features and target.

    Parameters
    ----------
    X : ndarray of float, shape (n, d)
        Features.
    y : ndarray of float, shape (n,)
        Targets.
    groups : ndarray of str, shape (n,)
        Reduced formulas.
    by, min_rows, max_groups, random_state
        As in `FoundRelationSplit`.

    Returns
    -------
    list of GroupTest
        In the order of the labels.

    Raises
    ------
    SplitError
        If no group has `min_rows` rows and leaves as many.
    """
    labels = label_rows(by, groups)
    counts = labels.counts()
    usable = np.flatnonzero((counts >= min_rows) & (counts <= len(y) - min_rows))
    if not usable.size:
        raise SplitError(
            f"no group has at least min_rows = {min_rows} rows beside as many others; the largest "
            f"of {len(counts)} has {max(counts.tolist(), default=0)} of {len(y)}"
        )
    largest = np.sort(usable[np.argsort(-counts[usable], kind="stable")][:max_groups])
    # one row per formula: a model that knows a polymorph of a row knows too much of it
    first = np.zeros(len(groups), dtype=bool)
    first[np.unique(groups, return_index=True)[1]] = True
    names, masks, results = [], [], []
    for code in largest:
        names.append(labels.names[code])
        masks.append(labels.mask(labels.names[code]))
        mine, others = first & masks[-1], first & ~masks[-1]
        results.append(residual_test(X[others], y[others], X[mine], y[mine], seed=random_state))
    corrected = correct_holm(np.array([result.p_value for result in results]))
    return [
        GroupTest(name, rows, result, float(p))
        for name, rows, result, p in zip(names, masks, results, corrected, strict=True)
    ]


def correct_holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Holm's corrected p values, shape (n,); NaN (not tested) counts as no test."""
    corrected = np.full(len(p_values), np.nan)
    order = np.argsort(p_values, kind="stable")[: int(np.isfinite(p_values).sum())]
    factors = len(order) - np.arange(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return corrected


def describe_test(test: GroupTest) -> str:
    """Say in a few words what a test found."""
    result = test.result
    if not result.tested:
        return f"not testable ({result.reason})"
    return f"shift {result.shift:+.2f} sd, p {test.p_holm:.1g}, {result.n_supported} rows compared"
