"""Clusters of crystals in SOAP fingerprints."""

import numpy as np
import pytest

from polymorph_toys import crystals
from prototype_toys import shaken
from structure_toys import CRYSTALS
from xtalshift.errors import SplitError
from xtalshift.splits import SOAPLOCOSplit
from xtalshift.structure import Structures

KINDS = ("perovskite", "copper", "graphite", "rock salt")


@pytest.fixture(scope="module")
def copies():
    """Return 24 crystals, six slightly distorted copies of each of four, and their kinds."""
    rng = np.random.default_rng(0)
    kinds = rng.permutation(np.repeat(np.arange(4), 6))
    return Structures.join([shaken(CRYSTALS[KINDS[kind]], rng, 0.01) for kind in kinds]), kinds


def test_copies_of_a_crystal_are_a_cluster(copies):
    rows, kinds = copies
    folds = list(SOAPLOCOSplit(rows, 4).folds(np.empty((24, 0))))
    assert [fold.name for fold in folds] == [f"cluster {k}" for k in range(4)]
    assert sorted(kinds[fold.test].tolist() for fold in folds) == [[k] * 6 for k in range(4)]
    again = list(SOAPLOCOSplit(rows, 4).folds(np.empty((24, 0))))
    for one, other in zip(folds, again, strict=True):
        np.testing.assert_array_equal(one.test, other.test)


def test_polymorphs_stay_together():
    names, rows, _ = crystals()
    formulas = np.array([name.partition("-")[0] for name in names])
    folds = list(SOAPLOCOSplit(rows, 5).folds(np.empty((len(rows), 0)), None, formulas))
    assert len(folds) == 5
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(rows)))
    for fold in folds:
        assert fold.note == ""  # formulas are the points, no row has to move
        assert not set(formulas[fold.test]) & set(formulas[fold.train])


def test_all_components_and_a_part_of_the_rows(copies):
    rows, kinds = copies
    some = np.flatnonzero(kinds < 2)
    (first, second) = (
        SOAPLOCOSplit(rows, 2, n_components=500).restrict(some).folds(np.empty((len(some), 0)))
    )
    assert {len(first.test), len(second.test)} == {6}
    assert len(set(kinds[some][first.test])) == 1


def test_what_is_refused(copies):
    rows, _ = copies
    X = np.empty((24, 0))
    with pytest.raises(SplitError, match="24 structures for 23 rows"):
        list(SOAPLOCOSplit(rows).folds(X[:23]))
    with pytest.raises(SplitError, match=r"n_clusters = 1; expected at least 2"):
        list(SOAPLOCOSplit(rows, 1).folds(X))
    with pytest.raises(SplitError, match=r"n_components = 0; expected at least 1"):
        list(SOAPLOCOSplit(rows, 2, 0).folds(X))
    worse = Structures.join([rows.take(slice(23)), CRYSTALS["alloy"]])
    with pytest.raises(SplitError, match=r"row 24 .* not fully occupied.* 1 of 24 rows"):
        list(SOAPLOCOSplit(worse).folds(X))
