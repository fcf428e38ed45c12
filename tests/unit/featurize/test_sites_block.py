"""The block ``sites``: what is written comes back, and what cannot be written has a reason."""

import numpy as np
import pytest

from structure_toys import CRYSTALS, random_structure
from xtalshift.errors import DataError
from xtalshift.featurize.composition import composition_features
from xtalshift.featurize.sites_block import SITES_NAMES, read_sites
from xtalshift.structure import Structures


def written(structures):
    return composition_features(structures.compositions(), "sites", structures=structures)


def test_crystals_come_back_to_the_last_bit():
    some = [CRYSTALS[name] for name in ("copper", "perovskite", "selenium", "xenon in a box")]
    crystals = Structures.join([*some, random_structure(np.random.default_rng(0), 9)])
    found = written(crystals)
    assert found.names == SITES_NAMES
    assert found.reasons.tolist() == [""] * 5
    assert found.names[:3] == ("sites a x", "sites a y", "sites a z")
    assert found.names[9] == "sites atomic number 1"
    assert found.names[-1] == "sites position 128 z"
    assert found.values[1, 9:15].tolist() == [38, 22, 8, 8, 8, 0]
    again = read_sites(found.values)
    for name in ("lattices", "starts", "z", "positions", "occupancies"):
        np.testing.assert_array_equal(getattr(again, name), getattr(crystals, name))


def test_reasons_name_the_remedy():
    rng = np.random.default_rng(0)
    large = Structures.of(20 * np.eye(3), np.full(129, 3), rng.random((129, 3)))
    full = Structures.of(20 * np.eye(3), np.full(128, 3), rng.random((128, 3)))
    found = written(Structures.join([large, CRYSTALS["alloy"], full, Structures.none(1)]))
    assert "the cell has 129 atoms, more than the 128 of the block sites" in found.reasons[0]
    assert "a site is not fully occupied" in found.reasons[1]
    assert found.reasons[2] == ""
    assert found.reasons[3]
    assert np.isnan(found.values).all(axis=1).tolist() == [True, True, False, True]
    assert read_sites(found.values[2:3]).sizes.tolist() == [128]


@pytest.mark.parametrize("spoil", [np.nan, 7.5, 119.0, -1.0])
def test_rows_that_are_no_crystals_are_refused(spoil):
    rows = written(Structures.join([CRYSTALS["copper"], CRYSTALS["copper"]])).values
    rows[1, 9] = spoil
    with pytest.raises(DataError, match="row 2 of X holds no crystal"):
        read_sites(rows)
    rows[1] = 0.0
    with pytest.raises(DataError, match="row 2 of X holds no crystal"):
        read_sites(rows)
    with pytest.raises(DataError, match=r"expected \(n, 521\), the block sites"):
        read_sites(rows[:, :-1])
