"""Training materials that are crystals have ids and space groups."""

import numpy as np
import pytest

from xtalshift.domain.applicability import ApplicabilityDomain
from xtalshift.domain.known_crystals import KnownCrystals
from xtalshift.domain.reasons import NearMaterial
from xtalshift.errors import DataError, ModelFormatError

FORMULAS = ["TiO2", "TiO2", "ZnO", "ZnO", "ZnO"]
CRYSTALS = KnownCrystals(
    np.array(["rutile", "anatase", "w", "z", "again"], object), np.array([136, 141, 186, 216, 0])
)
X = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1], [1, 1]])


def domain(crystals=CRYSTALS):
    return ApplicabilityDomain.fit(
        X, np.arange(5.0), FORMULAS, feature_names=["a", "b"], crystals=crystals
    )


def test_the_nearest_crystal_is_named():
    found = domain()
    assert found.crystals_.ids.tolist() == ["rutile", "anatase", "w", "z"]  # equal rows are one
    assert found.crystals_.space_groups.tolist() == [136, 141, 186, 216]
    near = found.reasons(X[1:2], n_nearest=2)[0].nearest[0]
    assert near == NearMaterial("TiO2", 0.0, 1.0, "anatase", 141)
    assert str(near) == "TiO2 anatase (space group 141, distance 0, value 1)"
    assert str(near._replace(space_group=0)) == "TiO2 anatase (distance 0, value 1)"
    assert str(domain(None).reasons(X[1:2])[0].nearest[0]) == "TiO2 (distance 0, value 1)"


def test_labels_replace_and_add_crystals():
    new = KnownCrystals(np.array(["brookite", "z2"], object), np.array([61, 216]))
    rows = np.array([[2.0, 0], [1, 1]])
    more = domain().extend(rows, [7.0, 8.0], ["TiO2", "ZnO"], crystals=new)
    assert more.crystals_.ids.tolist() == ["rutile", "anatase", "w", "z2", "brookite"]
    assert more.crystals_.space_groups.tolist() == [136, 141, 186, 216, 61]
    for one, given in ((domain(), None), (domain(None), new)):
        with pytest.raises(DataError, match="either all materials of a domain are crystals, or"):
            one.extend(rows, [7.0, 8.0], ["TiO2", "ZnO"], crystals=given)


def test_they_are_saved():
    state = domain().get_state()
    again = ApplicabilityDomain().set_state(state)
    assert again.crystals_.ids.tolist() == ["rutile", "anatase", "w", "z"]
    assert again.crystals_.space_groups.tolist() == [136, 141, 186, 216]
    assert ApplicabilityDomain().set_state(domain(None).get_state()).crystals_ is None
    with pytest.raises(ModelFormatError, match=r"'domain.space_groups' is missing"):
        ApplicabilityDomain().set_state(
            {name: part for name, part in state.items() if name != "domain.space_groups"}
        )
    with pytest.raises(ModelFormatError, match="expected finite numbers from 0 to 230"):
        ApplicabilityDomain().set_state({**state, "domain.space_groups": np.full(4, 231)})
    ids = np.frombuffer(b"a\nb\nc\n", np.uint8)
    with pytest.raises(ModelFormatError, match="3 ids for 4 crystals"):
        ApplicabilityDomain().set_state({**state, "domain.ids": ids})
