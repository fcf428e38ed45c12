"""What stands in the place of an element that is taken out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.elements import SYMBOLS
from xtalshift.model.explaining.replacement import Places, as_compositions


def parse(*formulas):
    return parse_formulas(list(formulas))[0]


def read(fractions):
    """Return atomic fractions as a dictionary."""
    at = np.flatnonzero(fractions)
    return {SYMBOLS[k + 1]: round(float(fractions[k]), 12) for k in at}


def test_lead_telluride_and_lithium_iron_phosphate():
    places = Places.of(parse("PbTe"), parse("LiFePO4"))
    nothing, no_te, no_pb, everything = places.mixed(proportions=True)[:, 0]
    assert read(everything) == {"Te": 0.5, "Pb": 0.5}
    assert read(no_te) == {"O": 0.4, "P": 0.1, "Pb": 0.5}
    assert read(no_pb) == {"Li": 0.25, "Fe": 0.25, "Te": 0.5}
    assert read(nothing) == {"Li": 0.25, "O": 0.4, "P": 0.1, "Fe": 0.25}
    nothing, no_te, no_pb, everything = places.mixed(proportions=False)[:, 0]
    assert read(nothing) == read(parse("LiFePO4").element_fractions()[0])
    seventh = 1 / 7
    assert read(no_pb) == {
        **dict.fromkeys(("Li", "Fe"), round(seventh, 12)),
        "Te": round(5 * seventh, 12),
    }
    assert read(everything) == {"Te": round(5 * seventh, 12), "Pb": round(2 * seventh, 12)}


def test_the_other_way_round_one_element_has_several_places():
    places = Places.of(parse("LiFePO4"), parse("PbTe"))
    mixed = places.mixed(proportions=True)[:, 0]
    seventh = 1 / 7
    assert read(mixed[0b1110]) == {
        "O": round(4 * seventh, 12),
        **dict.fromkeys(("P", "Fe", "Pb"), round(seventh, 12)),
    }
    assert read(mixed[0]) == {"Te": round(5 * seventh, 12), "Pb": round(2 * seventh, 12)}
    assert read(places.mixed(proportions=False)[0, 0]) == {"Te": 0.5, "Pb": 0.5}


def test_metals_come_first_even_where_pauling_has_them_last():
    # on the scale of Pauling lead (2.33) is more electronegative than tellurium (2.1)
    mixed = Places.of(parse("PbTe"), parse("NaCl")).mixed(proportions=True)[:, 0]
    assert [read(one) for one in mixed[1:3]] == [{"Cl": 0.5, "Pb": 0.5}, {"Na": 0.5, "Te": 0.5}]


def test_alloys_are_cut_where_neighbours_differ_most():
    # Na 0.93, Ti 1.54, Fe 1.83, Au 2.54
    mixed = Places.of(parse("KAg"), parse("NaTiFeAu")).mixed(proportions=True)[:, 0]
    assert read(mixed[1]) == {
        "K": 0.5,
        "Au": 0.5,
    }


def test_as_many_elements_belong_together_in_order():
    mixed = Places.of(parse("OPb"), parse("NaCl")).mixed(proportions=True)[:, 0]
    assert [read(one) for one in mixed] == [
        {"Na": 0.5, "Cl": 0.5},
        {"O": 0.5, "Na": 0.5},  # the first element, O, is kept
        {"Cl": 0.5, "Pb": 0.5},
        {"O": 0.5, "Pb": 0.5},
    ]


formulas = st.dictionaries(
    st.sampled_from(SYMBOLS[1:100]), st.floats(0.01, 20.0), min_size=1, max_size=6
).map(lambda parts: "".join(f"{symbol}{amount:.4f}" for symbol, amount in parts.items()))


@settings(max_examples=40)
@given(formulas, st.lists(formulas, min_size=1, max_size=4))
def test_without_all_elements_the_training_materials_are_left(formula, others):
    own, materials = parse(formula), parse(*others)
    places = Places.of(own, materials)
    np.testing.assert_allclose(
        places.mixed(proportions=False)[0], materials.element_fractions(), atol=1e-12
    )
    kept = places.mixed(proportions=True)
    np.testing.assert_allclose(
        kept[-1], np.tile(own.element_fractions(), (len(others), 1)), atol=1e-12
    )
    for mixed in (kept, places.mixed(proportions=False)):
        np.testing.assert_allclose(mixed.sum(axis=-1), 1.0, atol=1e-12)
        assert (mixed >= 0).all()


def test_fractions_become_compositions():
    fractions = parse("Fe2O3", "Si").element_fractions()
    found = as_compositions(fractions)
    assert found.reduced_formulas().tolist() == ["Fe2O3", "Si"]
    np.testing.assert_array_equal(found.element_fractions(), fractions)


@pytest.mark.parametrize("formula", ["He", "HeNe", "XeF6"])
def test_elements_without_an_electronegativity_have_a_place(formula):
    mixed = Places.of(parse(formula), parse("NaCl", "Ar")).mixed(proportions=False)
    assert np.isfinite(mixed).all()
