"""Leave one cluster of crystals with similar atomic environments out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.decomposition import PCA

from xtalshift.errors import SplitError
from xtalshift.splits.leave_out import leave_clusters_out
from xtalshift.splits.splitter import SPLITTERS, PerRow, Region, Rows, Splitter
from xtalshift.structure import Structures
from xtalshift.structure.soap import soap_fingerprints, why_no_soap


@SPLITTERS.register("soap-loco")
@dataclass(eq=False, repr=False)
class SOAPLOCOSplit(Splitter):
    """Leave one cluster of crystals out whose atoms have similar environments (as SOAP-LOCO of
    MatUQ, 2025).

    The fingerprint of a crystal is the power spectrum of the mean environment of its atoms, with a
    block for each pair of elements (see `xtalshift.structure.soap.soap_fingerprints`): clusters
    differ in elements, coordination and distances. Formulas are points, at the mean of their
    polymorphs; their principal components, which are not scaled, are clustered by k-means.

    Parameters
    ----------
    structures : Structures
        n crystal structures, without partly occupied sites.
    n_clusters : int, default 10
        Clusters, one fold each, largest first.
    n_components : int, default 10
        Principal components of the fingerprints.
    random_state : int, default 0
        Seed of k-means and of the search for the components.
    """  # noqa: D205

    aim = "unseen structures"
    needs = ("structures",)
    per_row: ClassVar[PerRow] = {"structures": "structure"}

    structures: Structures
    n_clusters: int = 10
    n_components: int = 10
    random_state: int = 0

    def _n_folds(self) -> int:
        return self.n_clusters

    def _regions(self, table: Rows) -> Iterator[Region]:
        if len(self.structures) != len(table):
            raise SplitError(f"there are {len(self.structures)} structures for {len(table)} rows")
        reasons = why_no_soap(self.structures)
        bad = np.flatnonzero(reasons != "")
        if bad.size:
            raise SplitError(
                f"row {bad[0] + 1} of the structures (counted from 1) has no fingerprint: "
                f"{reasons[bad[0]]}; {bad.size} of {len(table)} rows have none, drop them"
            )
        # the formulas are sorted: the order of the rows does not matter
        means = _formula_means(soap_fingerprints(self.structures), table)
        points = _principal_components(means, self.n_components, self.random_state)
        yield from leave_clusters_out(
            points, table, self.n_clusters, random_state=self.random_state
        )

    def describe(self) -> str:
        """Say in one line what is held out."""
        return (
            f"one of {self.n_clusters} clusters in {self.n_components} principal components of "
            "SOAP fingerprints"
        )


def _formula_means(values: csr_array, table: Rows) -> csr_array:
    """Return the mean of the sparse rows of each formula."""
    weights = 1.0 / np.bincount(table.numbers)[table.numbers]
    places = (table.numbers, np.arange(len(table)))
    return csr_array((weights, places), shape=(len(table.names), len(table))) @ values


def _principal_components(
    values: csr_array, n_components: int, random_state: int
) -> NDArray[np.float64]:
    """Return the leading components of sparse rows, centred and not scaled."""
    if n_components < 1:
        raise SplitError(f"n_components = {n_components}; expected at least 1")
    smaller = min(values.shape)
    if n_components < smaller:
        pca = PCA(n_components, svd_solver="arpack", random_state=random_state)
        return np.asarray(pca.fit_transform(values))
    dense = values.toarray()
    centred = dense - dense.mean(axis=0)
    # all components are kept: the distances are those of the rows themselves
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    return np.asarray(left * sizes)
