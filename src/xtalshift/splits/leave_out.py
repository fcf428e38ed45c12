"""Leave one element, family, cluster or other label out, or deal whole labels into folds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from xtalshift.chem.composition_labels import Labels, composition_labels, given_labels
from xtalshift.chem.composition_rules import match_rule
from xtalshift.chem.compositions import Compositions
from xtalshift.chem.elements import SYMBOLS
from xtalshift.errors import SplitError
from xtalshift.splits.feature_space import (
    Clustering,
    Embedding,
    cluster_points,
    locate_formulas,
)
from xtalshift.splits.random_folds import DealtSplitter, fill_evenly
from xtalshift.splits.splitter import (
    SPLITTERS,
    BoolArray,
    HoldOut,
    IntArray,
    PerRow,
    Region,
    Rows,
    Splitter,
    group_numbers,
)

_USUAL_SHARE = 0.1
"""Share of the rows that a family of an example should hold out."""


@SPLITTERS.register("family")
@dataclass(eq=False, repr=False)
class FamilySplit(HoldOut):
    """Hold out every material that a rule on the composition matches: `contains=F`,
    `"F and rare_earth"`, `"O > 0.5"`, `"n_elements >= 4"`, `"family == oxide"`.

    Parameters
    ----------
    contains : str, default "F"
        An element, or a rule such as ``"F and rare_earth"``, ``"Li+O"`` (both), ``"O > 0.5"``
        (atomic fraction) or ``"n_elements >= 4"``; see
        `xtalshift.chem.composition_rules.match_rule`.
    """  # noqa: D205

    aim = "unseen chemistry"
    recheck = True

    contains: str = "F"

    def _held_out(self, table: Rows) -> BoolArray:
        return match_rule(self.contains, table.formulas("a family"))[table.numbers]

    def describe(self) -> str:
        """Say in one line what is held out."""
        plain = self.contains.replace("+", "").isalpha()
        return f"all materials that {'contain' if plain else 'match'} {self.contains}"

    def _remedy(self, table: Rows) -> str:
        counts = count_elements(table.formulas("a family").take(table.numbers))
        best, example = usual_family(counts, len(table)), ""
        if best is not None:
            example = f", such as {best} ({counts[best]} of {len(table)} rows)"
        return f"Choose an element or a rule that some but not all materials match{example}."


@SPLITTERS.register("leave-out")
@dataclass(eq=False, repr=False)
class LeaveOutSplit(Splitter):
    """Leave out one label at a time: an element, a period, a chemical system, a space group ...

    A material with several labels, as with elements, is held out by each of them.

    Parameters
    ----------
    by : str or array_like of shape (n,), default "element"
        Name of a labelling in `xtalshift.chem.composition_labels`, or a label per row (rows without
        a label are never held out for it).
    values : str or sequence of str, optional
        The labels to leave out, one fold each; a text may hold several, joined by commas. By
        default all that at least `min_rows` rows have (and not all rows).
    min_rows : int, default 20
        A label of fewer rows gives a fold only if it is named in `values`.
    max_folds : int, default 50
        Without `values`, at most this many of the most frequent labels.
    """

    aim = "unseen chemistry or symmetry"
    per_row: ClassVar[PerRow] = {"by": "label"}
    recheck = True

    by: str | ArrayLike = "element"
    values: str | Sequence[str] | None = None
    min_rows: int = 20
    max_folds: int = 50

    def _regions(self, table: Rows) -> Iterator[Region]:
        labels = label_rows(self.by, table)
        by = f"{self.by} " if isinstance(self.by, str) else ""
        if self.values is not None:
            chosen = _split_values(self.values)
            if not chosen:
                raise SplitError(f"values = {self.values!r} names no label")
        else:
            counts = labels.counts()
            usable = np.flatnonzero((counts >= self.min_rows) & (counts < len(table)))
            frequent = usable[np.argsort(-counts[usable], kind="stable")][: self.max_folds]
            chosen = [labels.names[code] for code in np.sort(frequent)]
            if not chosen:
                most = max(counts.tolist(), default=0)
                raise SplitError(
                    f"no {by or 'label '}is on at least min_rows = {self.min_rows} and not all of "
                    f"{len(table)} rows (the most frequent: {most}); choose a smaller min_rows or "
                    "another labelling"
                )
        for name in chosen:
            yield Region(f"{by}{name}", labels.mask(name))

    def describe(self) -> str:
        """Say in one line what is held out."""
        return f"all materials with one {self.by if isinstance(self.by, str) else 'given label'}"

    def _remedy(self, table: Rows) -> str:  # noqa: ARG002 - see Splitter
        return "Choose a label that some but not all materials have."


@SPLITTERS.register("loco")
@dataclass(eq=False, repr=False)
class LOCOSplit(Splitter):
    """Leave one cluster of formulas in feature space out (Meredig et al., Mol. Syst. Des. Eng. 3,
    819, 2018).

    Parameters
    ----------
    n_clusters : int, default 10
        Clusters, one fold each, largest first.
    method : {"kmeans", "agglomerative"}, default "kmeans"
        Agglomerative (Ward) clusters are limited to 20,000 formulas.
    n_components : int, default 10
        Dimensions of the embedding of the standardised features.
    embedding : {"pca", "umap"}, default "pca"
        As in `CovariateSplit`.
    random_state : int, default 0
        Seed of k-means and UMAP.
    features : array_like of float, shape (n, d), optional
        Features of the rows in place of `X`.
    """  # noqa: D205

    aim = "sparse or unseen regions"
    needs = ("X",)
    per_row: ClassVar[PerRow] = {"features": "features"}

    n_clusters: int = 10
    method: Clustering = "kmeans"
    n_components: int = 10
    embedding: Embedding = "pca"
    random_state: int = 0
    features: ArrayLike | None = None

    def _n_folds(self) -> int:
        return self.n_clusters

    def _regions(self, table: Rows) -> Iterator[Region]:
        points = locate_formulas(
            table,
            self.n_components,
            features=self.features,
            embedding=self.embedding,
            random_state=self.random_state,
        )
        yield from leave_clusters_out(
            points, table, self.n_clusters, self.method, self.random_state
        )

    def describe(self) -> str:
        """Say in one line what is held out."""
        return (
            f"one of {self.n_clusters} {self.method} clusters in {self.n_components} "
            f"{self.embedding.upper()} dimensions"
        )


def leave_clusters_out(
    points: NDArray[np.float64],
    table: Rows,
    n_clusters: int,
    method: Clustering = "kmeans",
    random_state: int = 0,
) -> Iterator[Region]:
    """Yield a region for each cluster of the points of the formulas, the largest first."""
    if n_clusters < 2:  # noqa: PLR2004 - one cluster leaves nothing to train on
        raise SplitError(f"n_clusters = {n_clusters}; expected at least 2")
    rows = cluster_points(points, n_clusters, method, random_state)[table.numbers]
    sizes = np.bincount(rows, minlength=n_clusters)
    for place, cluster in enumerate(np.argsort(-sizes, kind="stable")):
        yield Region(f"cluster {place}", rows == cluster)


@SPLITTERS.register("grouped")
@dataclass(eq=False, repr=False)
class GroupedSplit(DealtSplitter):
    """Deal whole groups (chemical systems, families, a column of your own) into folds.

    A group is never in two folds, nor is a formula: groups that share a formula stay together.

    Parameters
    ----------
    by : str or array_like of shape (n,), default "chemsys"
        Name of a labelling in `xtalshift.chem.composition_labels` with one label per material, or
        a label per row. A row without a label (a blank cell, ``n/a``, ``-``) is an error: such
        rows are no group, and nothing says to which group they belong.
    n_folds : int, default 5
        Folds; the largest groups are dealt first, each to the fold with the fewest rows.
    """

    aim = "unseen groups"
    per_row: ClassVar[PerRow] = {"by": "one label"}
    recheck = True

    by: str | ArrayLike = "chemsys"
    n_folds: int = 5

    def _regions(self, table: Rows) -> Iterator[Region]:
        numbers, n_groups = _join_labels(label_rows(self.by, table, single=True), table)
        order = np.argsort(-np.bincount(numbers, minlength=n_groups), kind="stable")
        parts = fill_evenly(numbers, order, self.n_folds)
        yield from self._deal(parts, n_groups, "groups that share no formula")

    def describe(self) -> str:
        """Say in one line what is held out."""
        by = self.by if isinstance(self.by, str) else "given group"
        return f"one of {self.n_folds} folds of whole groups ({by})"


def count_elements(compositions: Compositions) -> dict[str, int]:
    """Return the number of rows that contain each element."""
    counts = np.sum(compositions.contained_elements(), axis=0)
    return {SYMBOLS[place + 1]: int(counts[place]) for place in np.flatnonzero(counts)}


def usual_family(counts: dict[str, int], n_rows: int) -> str | None:
    """Return the element that is nearest to a tenth of n rows; None if each is in all rows."""
    some = {name: count for name, count in counts.items() if count < n_rows}
    return min(some, key=lambda name: abs(some[name] - _USUAL_SHARE * n_rows), default=None)


def label_rows(by: str | ArrayLike, table: Rows, *, single: bool = False) -> Labels:
    """Return the labels of n rows: by the name of a labelling, or given, one per row.

    Blanks and blank words are no label (`given_labels`). Raises `SplitError` if the labelling is
    unknown, the formulas cannot be read, or, with `single`, a row does not have exactly one label.
    """
    if isinstance(by, str):
        formulas = table.formulas(f"a label such as {by}")
        found = composition_labels(formulas.take(table.numbers), by)
        if single and not found.single:
            raise SplitError(
                f"a material has more than one {by}; choose a labelling with one label each, such "
                "as family, chemsys or n_elements"
            )
        return found
    values = np.asarray(by, dtype=object)
    if values.shape != (len(table),):
        raise SplitError(f"labels have the shape {values.shape}; expected ({len(table)},)")
    given = given_labels(values)
    if single and not given.single:
        bad = np.setdiff1d(np.arange(len(table)), given.rows)
        raise SplitError(
            f"row {bad[0] + 1} of the labels (counted from 1) is blank, {len(bad)} of {len(table)} "
            "are; every row needs one, fill it or drop the row"
        )
    return given


def _join_labels(labels: Labels, table: Rows) -> tuple[IntArray, int]:
    """Return the smallest groups of rows that share neither a label nor a formula.

    The group of each row, shape (n,), and the number of groups.
    """
    codes = np.empty(len(table), dtype=np.int64)
    codes[labels.rows] = labels.codes
    n_formulas = len(table.names)
    size = n_formulas + len(labels.names)
    pairs = (table.numbers, n_formulas + codes)
    links = coo_array((np.ones(len(table)), pairs), shape=(size, size))
    _, parts = connected_components(links, directed=False)
    return group_numbers(parts[table.numbers])


def _split_values(values: str | Sequence[str]) -> list[str]:
    """Return the labels in a sequence, or in a text that joins them by commas."""
    parts = values.split(",") if isinstance(values, str) else [str(value) for value in values]
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))
