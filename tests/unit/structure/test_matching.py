"""One crystal written twice, and structure types."""

import sys
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prototype_toys import PROTOTYPES, exchanged, scaled, shaken
from structure_toys import CRYSTALS, DESCRIPTIONS, HALF, random_structure, repeated
from xtalshift.errors import ConfigError
from xtalshift.structure import Structures
from xtalshift.structure.matching import match_crystals, match_types

RUTILE, ANATASE = PROTOTYPES["AB2_tP6_136_a_f"], PROTOTYPES["AB2_tI12_141_a_e"]


def groups(*structures, match=match_crystals):
    return match(Structures.join(structures)).tolist()


def test_a_larger_cell_and_a_distorted_copy_are_found_and_polymorphs_are_not():
    rng = np.random.default_rng(0)
    rows = [RUTILE, ANATASE, repeated(RUTILE, rng), shaken(RUTILE, rng), shaken(ANATASE, rng)]
    assert groups(*rows) == [0, 1, 0, 0, 1]
    assert groups(*rows, match=match_types) == [0, 1, 0, 2, 3]  # atoms moved: another prototype


@settings(max_examples=20, deadline=None)
@given(
    label=st.sampled_from(list(PROTOTYPES)),
    describe=st.sampled_from(DESCRIPTIONS),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_description_is_no_other_crystal(label, describe, seed):
    rng = np.random.default_rng(seed)
    one = PROTOTYPES[label]
    assert groups(one, describe(one, rng)) == [0, 0]
    assert groups(one, describe(exchanged(one, rng), rng), match=match_types) == [0, 0]


def test_volumes_must_be_similar():
    assert groups(RUTILE, scaled(RUTILE, 1.02), scaled(RUTILE, 1.1)) == [0, 0, 1]
    assert groups(RUTILE, scaled(RUTILE, 1.1), match=match_types) == [0, 0]


def test_elements_must_be_the_same_and_on_the_same_sites():
    salt = CRYSTALS["rock salt"]
    other = Structures.of(salt.lattices[0], [19, 17], salt.positions)
    half = Structures.of(
        salt.lattices[0], [11, 19, 17], [[0, 0, 0], [0, 0, 0], HALF], [0.5, 0.5, 1]
    )
    most = Structures.of(
        salt.lattices[0], [11, 19, 17], [[0, 0, 0], [0, 0, 0], HALF], [0.9, 0.1, 1]
    )
    assert groups(salt, other, half, most, half) == [0, 1, 2, 3, 2]
    assert groups(salt, other, half, most, match=match_types) == [0, 0, 0, 0]


def test_types_of_one_formula():
    zincblende, wurtzite = PROTOTYPES["AB_cF8_216_a_c"], PROTOTYPES["AB_hP4_186_b_b"]
    caesium = CRYSTALS["caesium chloride"]
    rows = [CRYSTALS["rock salt"], zincblende, wurtzite, caesium, scaled(zincblende, 1.3)]
    assert groups(*rows, match=match_types) == [0, 1, 2, 3, 1]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    one = random_structure(rng, 4)
    rows = Structures.join([one, scaled(one, 1.01), scaled(one, 1.04), shaken(one, rng), RUTILE])
    order = rng.permutation(len(rows))
    found, other = match_crystals(rows), match_crystals(rows.take(order))
    same = found[:, None] == found
    assert np.array_equal(same[np.ix_(order, order)], other[:, None] == other)


def test_rows_without_atoms_match_nothing():
    assert groups(Structures.none(2), RUTILE) == [-1, -1, 0]
    assert groups(Structures.none(1), RUTILE, match=match_types) == [-1, 0]
    assert match_crystals(Structures.none(0)).tolist() == []


def test_progress_counts_distinct_structures():
    told = []

    class Recorder:
        @contextmanager
        def task(self, name, total):
            told.append((name, total))
            yield self

        def advance(self, steps=1, **info):
            told.append(steps)

    rows = Structures.join([RUTILE, ANATASE, RUTILE, Structures.none(1)])
    match_crystals(rows, progress=Recorder())
    assert told == [("matching", 2), 1, 1]


def test_without_pymatgen_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymatgen.analysis.structure_matcher", None)
    with pytest.raises(ConfigError, match=r"pip install \"xtalshift\[structures\]\""):
        match_crystals(RUTILE)
