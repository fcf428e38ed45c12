"""Prototype labels of well-known crystals, in any description."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prototype_toys import PROTOTYPES, exchanged, from_group, hexagonal, scaled
from structure_toys import CRYSTALS, DESCRIPTIONS, HALF, moved
from xtalshift.errors import ConfigError
from xtalshift.structure import Structures
from xtalshift.structure.prototypes import _exchanges, prototype_labels
from xtalshift.structure.space_groups import find_space_groups


def labels(*structures):
    return prototype_labels(find_space_groups(Structures.join(structures))).tolist()


@pytest.mark.parametrize("label", PROTOTYPES)
def test_well_known_prototypes(label):
    assert labels(PROTOTYPES[label]) == [label]


def test_textbook_crystals():
    known = {
        "copper": "A_cF4_225_a",
        "iron": "A_cI2_229_a",
        "diamond": "A_cF8_227_a",
        "graphite": "A_hP4_194_bc",
        "selenium": "A_hP3_152_a",
        "xenon in a box": "A_cP1_221_a",
        "alloy": "AB_cF8_225_a_a",  # an atom 0.004 angstrom beside its site is another kind
    }
    assert labels(*(CRYSTALS[name] for name in known)) == list(known.values())


@settings(max_examples=40, deadline=None)
@given(
    label=st.sampled_from(list(PROTOTYPES)),
    describe=st.sampled_from([*DESCRIPTIONS, exchanged]),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_description_and_no_element_changes_it(label, describe, seed):
    rng = np.random.default_rng(seed)
    other = describe(moved(PROTOTYPES[label], rng), rng)
    assert labels(scaled(other, rng.uniform(0.9, 1.2))) == [label]


@pytest.mark.parametrize("shift", [[0.5, 0, 0], [0, 0.5, 0.5], [0.5, 0.5, 0.5]])
def test_another_origin_exchanges_letters(shift):
    """The origins of P2_1/c, of which each makes other letters of the two special positions."""
    lattice = [[5, 0, 0], [0, 6, 0], [-1.5, 0, 7]]
    places = np.array([[0, 0, 0], [0.5, 0, 0.5], [0.21, 0.13, 0.34]])
    first = from_group(14, lattice, ["Na", "Cl", "O"], places)
    other = from_group(14, lattice, ["Na", "Cl", "O"], places + shift)
    assert labels(first, other) == ["ABC2_mP8_14_a_d_e"] * 2


def test_kinds_of_equal_amounts_have_no_order():
    lattice, places = hexagonal(4, 6), [[0, 0, 0], [1 / 3, 2 / 3, 0.4], [0, 0, 0.45]]
    first = from_group(156, lattice, ["Li", "O", "S"], places)
    other = from_group(156, lattice, ["S", "Li", "O"], places)
    assert labels(first) == labels(other) == ["ABC_hP3_156_a_a_b"]


def test_what_shares_a_site_is_one_kind():
    rock_salt = CRYSTALS["rock salt"]
    mixed = Structures.of(
        rock_salt.lattices[0], [11, 19, 17], [[0, 0, 0], [0, 0, 0], HALF], [0.5, 0.5, 1]
    )
    assert labels(mixed) == ["AB_cF8_225_a_b"]


def test_without_a_space_group_there_is_none():
    overlap = Structures.of(5 * np.eye(3), [8, 8], [[0, 0, 0], [0.001, 0, 0]])
    assert labels(Structures.none(1), overlap, CRYSTALS["iron"]) == ["", "", "A_cI2_229_a"]


def test_without_pymatgen_the_remedy_is_named(monkeypatch):
    _exchanges.cache_clear()
    monkeypatch.setitem(sys.modules, "pymatgen.analysis.prototypes", None)
    fresh = Structures.of(np.diag([3.0, 4.1, 5.3]), [3, 9], [[0, 0, 0], HALF])
    with pytest.raises(ConfigError, match=r"pip install \"xtalshift\[structures\]\""):
        labels(fresh)
