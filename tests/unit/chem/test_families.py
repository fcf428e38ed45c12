"""Chemical families: known compounds, and their definition written slowly."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.elements import SYMBOLS
from xtalshift.chem.families import FAMILIES, family_codes

NAMES = list(FAMILIES)
NAMED = sorted(set(itertools.chain(*FAMILIES.values())))
ELEMENTS = st.sampled_from(NAMED) | st.sampled_from(SYMBOLS[1:])


def families(formulas):
    compositions, reasons, _ = parse_formulas(formulas)
    assert not any(reasons)
    return [NAMES[code] for code in family_codes(compositions)]


KNOWN = {
    "NaF": "fluoride",
    "LaOF": "fluoride",
    "XeF2": "fluoride",
    "SiO2": "oxide",
    "NaOH": "oxide",
    "CaSO4": "oxide",
    "BiOCl": "oxide",
    "CuCl": "halide",
    "CsPbI3": "halide",
    "NH4Cl": "halide",
    "NH4I": "halide",  # nitrogen is the more electronegative, but halides come first
    "GaN": "nitride",
    "Si3N4": "nitride",
    "ZnS": "chalcogenide",
    "Bi2Te3": "chalcogenide",
    "H2S": "chalcogenide",
    "GaAs": "pnictide",
    "PH3": "pnictide",
    "NaH": "hydride",
    "CH4": "hydride",
    "SiC": "carbide",
    "MgB2": "carbide",
    "Ge": "carbide",
    "NiAl": "intermetallic",
    "Fe": "intermetallic",
}


def test_known_compounds():
    assert dict(zip(KNOWN, families(list(KNOWN)), strict=True)) == KNOWN
    assert set(KNOWN.values()) == set(NAMES)


def test_no_element_has_two_families():
    assert len(NAMED) == sum(map(len, FAMILIES.values()))
    assert set(NAMED) <= set(SYMBOLS)


@given(rows=st.lists(st.lists(ELEMENTS, min_size=1, max_size=5, unique=True), max_size=8))
def test_the_first_family_with_an_element_of_the_row_is_its_own(rows):
    expected = [
        next((name for name, own in FAMILIES.items() if set(own) & set(row)), "intermetallic")
        for row in rows
    ]
    assert families(["".join(f"{element}1" for element in row) for row in rows]) == expected


@pytest.mark.parametrize("order", list(itertools.permutations(["La2", "O3", "F0.01"])))
def test_amounts_and_order_do_not_matter(order):
    assert families(["".join(order)]) == ["fluoride"]
