"""The shipped element table against its sources."""

import warnings

import numpy as np
import pytest
from pymatgen.core import Element

from xtalshift.chem.elements import ATOMIC_NUMBERS, MAGPIE_PROPERTIES, SYMBOLS, load_elements


def test_symbols_are_those_of_the_periodic_table():
    assert SYMBOLS[0] == ""
    assert SYMBOLS[1:] == tuple(Element.from_Z(z).symbol for z in range(1, 119))
    assert ATOMIC_NUMBERS["Og"] == 118


@pytest.mark.parametrize("impute_nan", [False, True])
def test_table_equals_matminer_exactly(impute_nan):
    matminer = pytest.importorskip("matminer.utils.data")
    table = load_elements(impute_nan=impute_nan)
    magpie = matminer.MagpieData(impute_nan=impute_nan)
    pymatgen = matminer.PymatgenData(impute_nan=impute_nan)
    for symbol in SYMBOLS[1:]:
        element, z = Element(symbol), ATOMIC_NUMBERS[symbol]
        expected = [magpie.get_elemental_property(element, name) for name in MAGPIE_PROPERTIES]
        np.testing.assert_array_equal(table.magpie[z], expected)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pymatgen warns where X is unknown
            x = pymatgen.get_elemental_property(element, "X")
        np.testing.assert_array_equal(table.electronegativity[z], x)
        assert table.oxidation_states[z] == tuple(pymatgen.get_oxidation_states(element))


def test_row_zero_is_no_element_and_values_cannot_be_changed():
    table = load_elements()
    assert np.isnan(table.magpie[0]).all()
    assert table.oxidation_states[0] == ()
    with pytest.raises(ValueError, match="read-only"):
        table.magpie[26, 0] = 1.0
