"""Relation shift: groups that follow another relation, stated by you or found by a test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xtalshift.chem.composition_labels import Labels
from xtalshift.errors import SplitError
from xtalshift.metrics.stats import correct_holm
from xtalshift.splits.audit.fold_audit import AuditTable, compare_relation
from xtalshift.splits.audit.shift_measures import ResidualTest
from xtalshift.splits.leave_out import label_rows
from xtalshift.splits.splitter import (
    SPLITTERS,
    BoolArray,
    FromFile,
    HoldOut,
    PerRow,
    Region,
    Rows,
    Splitter,
    as_formulas,
    read_flags,
)


class GroupTest(NamedTuple):
    """The residual test of one group against the others that follow the common relation."""

    name: str
    """Label of the group."""
    rows: BoolArray
    """Shape (n,). Its rows."""
    result: ResidualTest
    """Its `p_value` is that of the group alone."""
    p_holm: float
    """The p value corrected for the number of groups tested; NaN if it could not be tested."""
    found: bool = False
    """Whether the group follows another relation."""


@SPLITTERS.register("relation")
@dataclass(eq=False, repr=False)
class RelationSplit(HoldOut):
    """Hold out the materials that you state to follow another relation of features and target.

    Parameters
    ----------
    flags : array_like of bool, shape (n,), optional
        True for every row that follows another relation. All rows of a formula with a flagged row
        are held out.
    formulas : sequence of str, optional
        Their reduced formulas (an alternative to `flags`).
    """

    aim = "another relation"
    per_row: ClassVar[PerRow] = {"flags": "flag"}
    from_file: ClassVar[FromFile] = {"formulas": "formulas"}
    recheck = True

    flags: ArrayLike | None = None
    formulas: ArrayLike | None = None

    def _held_out(self, table: Rows) -> BoolArray:
        if (self.flags is None) == (self.formulas is None):
            raise SplitError("state a relation shift by a flag column or a list of formulas")
        if self.flags is not None:
            return read_flags(self.flags, len(table))
        stated = as_formulas(np.asarray(self.formulas), "a relation")
        return np.isin(table.names.astype(str), np.array(stated, dtype=str))[table.numbers]

    def describe(self) -> str:
        """Say in one line what is held out."""
        return "the materials stated to follow another relation"

    def _remedy(self, table: Rows) -> str:  # noqa: ARG002 - the file decides
        return "Check the flags, or that the listed formulas occur in the table."


@SPLITTERS.register("relation-found")
@dataclass(eq=False, repr=False)
class FoundRelationSplit(Splitter):
    """Leave out each group whose residuals under a model of the other rows differ.

    For each group a source model is fitted to all other rows. The residuals of the group, where the
    other rows have neighbours, are compared with those of these neighbours
    (`xtalshift.splits.audit.fold_audit.compare_relation`), with a p value corrected for the number
    of groups. The group that differs most leaves the source, so that it does not make others seem
    to differ, and the others are tested again, until none differs. The note of the fold holds the
    test; if no group differs, the error holds all tests.

    Parameters
    ----------
    by : str or array_like of shape (n,), default "family"
        Name of a labelling in `xtalshift.chem.composition_labels`, or a label per row.
    p : float, default 0.01
        Largest corrected p value.
    shift : float, default 0.5
        Smallest shift of the median residual, in standard deviations of the residuals compared
        with.
    min_rows : int, default 50
        Smaller groups are not tested.
    max_groups : int, default 50
        Most groups that are tested, the largest first.
    n_max : int, default 3000
        Formulas of either side in each test.
    random_state : int, default 0
        Seed of the source models and their samples.
    """

    aim = "another relation"
    needs = ("X", "y")
    per_row: ClassVar[PerRow] = {"by": "label"}

    by: str | ArrayLike = "family"
    p: float = 0.01
    shift: float = 0.5
    min_rows: int = 50
    max_groups: int = 50
    n_max: int = 3000
    random_state: int = 0

    def tests(
        self, X: ArrayLike | Rows, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> list[GroupTest]:
        """Return the test of every group, in the order of the labels; arguments as in `folds`.

        Raises
        ------
        SplitError
            If no group has `min_rows` rows and leaves as many.
        """
        rows = Rows.of(X, y, groups)
        rows.targets()  # all must be finite
        table = AuditTable.of(rows)
        masks = _choose_groups(label_rows(self.by, rows), self.min_rows, self.max_groups)
        tests: dict[str, GroupTest] = {}
        source = np.ones(len(rows), dtype=bool)
        while True:
            names = [name for name in masks if name not in tests or not tests[name].found]
            results = [
                _compare(table, masks[name], source, self.n_max, self.random_state)
                for name in names
            ]
            corrected = correct_holm(np.array([result.p_value for result in results]))
            for name, result, p_holm in zip(names, results, corrected.tolist(), strict=True):
                tests[name] = GroupTest(name, masks[name], result, p_holm)
            differ = [
                name
                for name in names
                if tests[name].p_holm < self.p and abs(tests[name].result.shift) >= self.shift
            ]
            if not differ:
                return [tests[name] for name in masks]
            most = max(differ, key=lambda name: abs(tests[name].result.shift))
            tests[most] = tests[most]._replace(found=True)
            source &= ~masks[most]

    def _regions(self, table: Rows) -> Iterator[Region]:
        tests = self.tests(table)
        found = [test for test in tests if test.found]
        if not found:
            raise SplitError(
                f"no group follows another relation (corrected p < {self.p:g} and a shift of at "
                f"least {self.shift:g} sd of the residuals): "
                f"{'; '.join(f'{test.name}: {_describe_test(test)}' for test in tests)}"
            )
        by = f"{self.by} " if isinstance(self.by, str) else ""
        for test in found:
            yield Region(f"{by}{test.name}", test.rows, note=_describe_test(test))

    def describe(self) -> str:
        """Say in one line what is held out."""
        by = self.by if isinstance(self.by, str) else "given group"
        return f"each {by} whose residuals under a model of the others differ"


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


def _describe_test(test: GroupTest) -> str:
    """Return the result of a test in a few words."""
    result = test.result
    if not result.tested:
        return f"not testable ({result.reason})"
    return f"shift {result.shift:+.2f} sd, p {test.p_holm:.1g}, {result.n_supported} rows compared"
