"""Similar elements: known neighbours, and the rules of the table."""

import numpy as np
import pytest

from xtalshift.chem.charge_neutrality import has_state
from xtalshift.chem.element_similarity import element_distances, similar_elements
from xtalshift.chem.elements import ATOMIC_NUMBERS, MAGPIE_PROPERTIES, SYMBOLS, load_elements


def neighbours(symbol, count=5, state=None):
    return [SYMBOLS[z] for z in similar_elements(count, state)[ATOMIC_NUMBERS[symbol]] if z]


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("Na", {"Li", "K", "Rb"}),
        ("Cl", {"F", "Br", "I"}),
        ("La", {"Ce", "Pr", "Nd"}),
        ("Y", {"Sc", "La"}),
        ("S", {"O", "Se", "Te"}),
        ("Fe", {"Co", "Ni"}),
        ("Ti", {"Zr"}),
        ("P", {"As", "Sb"}),
    ],
)
def test_known_neighbours(symbol, expected):
    assert expected <= set(neighbours(symbol))


def test_only_neighbours_with_the_asked_state():
    assert neighbours("Fe", state=3)[0] == "Co"
    assert "Ni" not in neighbours("Fe", 20, state=3)  # nickel is only 2 here
    assert "Ni" in neighbours("Fe", state=2)
    assert neighbours("Na", state=2) == []
    assert neighbours("Na", state=50) == []


def test_elements_without_data_or_states_are_nobodys_neighbour():
    table = similar_elements(118)
    for symbol in ("He", "Ar", "Og", "Db", "Fr"):
        assert not table[ATOMIC_NUMBERS[symbol]].any()
        assert not (table == ATOMIC_NUMBERS[symbol]).any()


def test_rows_are_sorted_and_share_a_state():
    distances, states = element_distances(), has_state()
    for z, row in enumerate(similar_elements(118)):
        found = row[row > 0].astype(int)
        assert z not in found
        assert len(set(found)) == len(found)
        assert not row[len(found) :].any()
        assert (np.diff(distances[z, found]) >= 0).all()
        assert (states[found] & states[z]).any(axis=1).all()
        assert np.isfinite(distances[z, found]).all()


def test_the_distance_is_a_root_mean_square():
    magpie = load_elements().magpie
    names = [n for n in MAGPIE_PROPERTIES if not n.endswith(("Valence", "Unfilled"))]
    columns = [MAGPIE_PROPERTIES.index(name) for name in names]
    assert len(columns) == 12
    whole = magpie[~np.isnan(magpie).any(axis=1)][:, columns]
    a, b = magpie[ATOMIC_NUMBERS["Na"], columns], magpie[ATOMIC_NUMBERS["K"], columns]
    expected = np.sqrt((((a - b) / whole.std(axis=0)) ** 2).mean())
    assert element_distances()[11, 19] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(element_distances(), element_distances().T)


def test_the_table_cannot_be_changed_by_a_caller():
    with pytest.raises(ValueError, match="read-only"):
        similar_elements(3)[0, 0] = 1
