"""Relation shift that is found, not declared: groups whose residuals under a model differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.chem.composition_labels import Labels
from xtalshift.errors import SplitError
from xtalshift.metrics import correct_holm
from xtalshift.splits.audit.fold_audit import AuditTable, compare_relation
from xtalshift.splits.audit.residuals import ResidualTest
from xtalshift.splits.base import SPLITTERS, Region, Splitter
from xtalshift.splits.grouped_rows import BoolArray, Rows
from xtalshift.splits.labelling import label_rows
from xtalshift.splits.target import check_targets

__all__ = ["FoundRelationSplit", "GroupTest", "find_relations"]


class GroupTest(NamedTuple):
    """The residual test of one group against the others that follow the common relation.

    Attributes
    ----------
    name : str
        Label of the group.
    rows : ndarray of bool, shape (n,)
        Its rows.
    result : ResidualTest
        Its `p_value` is that of the group alone.
    p_holm : float
        The p value corrected for the number of groups tested; NaN if it could not be tested.
    found : bool
        Whether the group follows another relation.
    """

    name: str
    rows: BoolArray
    result: ResidualTest
    p_holm: float
    found: bool = False


@SPLITTERS.register("relation-found")
class FoundRelationSplit(Splitter):
    """Leave out each group that follows another relation, as a residual test finds it.

    For each group a source model is fitted to all other rows. The group differs if its residuals,
    where the other rows have neighbours, differ from those of these neighbours
    (`xtalshift.splits.audit.residuals.compare_relation`), with a p value corrected for the number
    of groups.
    The group that differs most then leaves the source, so that it does not make others seem to
    differ, and the others are tested anew, until none differs. The test is in the note of the fold,
    or all are in the error if no group differs.

    Parameters
    ----------
    by : str or array_like of shape (n,), default "family"
        Name of a labelling in `chem.composition_labels`, or a label per row.
    p : float, default 0.01
        Largest corrected p value.
    shift : float, default 0.5
        Smallest shift of the median residual, in standard deviations of the residuals compared
        with.
    min_rows : int, default 50
        Smaller groups are not tested.
    max_groups : int, default 50
        At most so many of the largest groups are tested.
    n_max : int, default 3000
        Formulas of either side in each test.
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
        n_max: int = 3000,
        random_state: int = 0,
    ) -> None:
        self.by = by
        self.p = p
        self.shift = shift
        self.min_rows = min_rows
        self.max_groups = max_groups
        self.n_max = n_max
        self.random_state = random_state

    def _regions(self, table: Rows) -> Iterator[Region]:
        tests = find_relations(
            table.X,
            check_targets(table.y),
            table.groups,
            by=self.by,
            p=self.p,
            shift=self.shift,
            min_rows=self.min_rows,
            max_groups=self.max_groups,
            n_max=self.n_max,
            random_state=self.random_state,
        )
        found = [test for test in tests if test.found]
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
    p: float = 0.01,
    shift: float = 0.5,
    min_rows: int = 50,
    max_groups: int = 50,
    n_max: int = 3000,
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
    by, p, shift, min_rows, max_groups, n_max, random_state
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
    table = AuditTable.of(X, y, groups)
    masks = _choose_groups(label_rows(by, groups), min_rows, max_groups)
    tests: dict[str, GroupTest] = {}
    source = np.ones(len(y), dtype=bool)
    while True:
        names = [name for name in masks if name not in tests or not tests[name].found]
        results = [_compare(table, masks[name], source, n_max, random_state) for name in names]
        corrected = correct_holm(np.array([result.p_value for result in results]))
        for name, result, p_holm in zip(names, results, corrected.tolist(), strict=True):
            tests[name] = GroupTest(name, masks[name], result, p_holm)
        differ = [
            name
            for name in names
            if tests[name].p_holm < p and abs(tests[name].result.shift) >= shift
        ]
        if not differ:
            return [tests[name] for name in masks]
        most = max(differ, key=lambda name: abs(tests[name].result.shift))
        tests[most] = tests[most]._replace(found=True)
        source &= ~masks[most]


def _choose_groups(labels: Labels, min_rows: int, max_groups: int) -> dict[str, BoolArray]:
    """Return the rows of the largest groups by name, in the order of the labels."""
    counts = labels.counts()
    usable = np.flatnonzero((counts >= min_rows) & (counts <= labels.n_rows - min_rows))
    if not usable.size:
        raise SplitError(
            f"no group has at least min_rows = {min_rows} rows beside as many others; the largest "
            f"of {len(counts)} has {max(counts.tolist(), default=0)} of {labels.n_rows}"
        )
    largest = np.sort(usable[np.argsort(-counts[usable], kind="stable")][:max_groups])
    return {labels.names[code]: labels.mask(labels.names[code]) for code in largest}


def _compare(
    table: AuditTable, rows: BoolArray, source: BoolArray, n_max: int, seed: int
) -> ResidualTest:
    # the other rows of its formulas belong to neither side
    others = source & ~np.isin(table.numbers, table.numbers[rows])
    sides = np.flatnonzero(others), np.flatnonzero(rows)
    return compare_relation(table, *sides, n_max=n_max, seed=seed)[0]


def describe_test(test: GroupTest) -> str:
    """Say in a few words what a test found."""
    result = test.result
    if not result.tested:
        return f"not testable ({result.reason})"
    return f"shift {result.shift:+.2f} sd, p {test.p_holm:.1g}, {result.n_supported} rows compared"
