"""Amounts of elements as formulas: texts that are read again, and texts for people."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.elements import SYMBOLS
from xtalshift.chem.formulas import parse_formula
from xtalshift.chem.writing import EXACT_DIGITS, readable_formula, readable_key, write_formula

AMOUNTS = st.lists(
    st.floats(1e-3, 1e6, allow_nan=False) | st.integers(1, 10**7), min_size=1, max_size=6
)


def read(text):
    found = parse_formula(text)
    symbols = [SYMBOLS[z] for z in found.z]
    return dict(zip(symbols, found.amounts, strict=True))


@pytest.mark.parametrize(
    ("amounts", "text"),
    [
        ({"Fe": 2, "O": 3.0}, "Fe2O3"),
        ({"Fe": 1, "O": 0, "Na": None, "K": np.nan}, "Fe"),
        ({"Fe": 0.1 + 0.2, "O": 1}, "Fe0.3O"),
        ({"Fe": 1e-6, "O": 12345678}, "Fe0.000001O12345678"),
        ({"Li": 1, "Be": 1, "B": 1.5, "C": 1, "N": 1}, "LiBeB1.50CN"),  # not 5 CN
        ({"Ca": 1, "Cl": 1.5, "H": 2, "O": 1}, "CaCl1.500H2O"),  # not 5 H2O
    ],
)
def test_amounts_are_written_in_their_order(amounts, text):
    assert write_formula(amounts) == text


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=6))
@settings(deadline=None)
def test_seventeen_digits_are_exact(values):
    amounts = dict(zip(SYMBOLS[3:], values, strict=False))
    assert read(write_formula(amounts, EXACT_DIGITS)) == amounts


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Fe70.1Cr19.3Ni10.6", "Fe70.1Cr19.3Ni10.6"),  # as it is
        ("Na0.65CoO2", "Na0.65CoO2"),
        ("Pb(Mg1/3Nb2/3)O3", "Pb3MgNb2O9"),
        ("Na1234567Cl", "Na1234567Cl"),
    ],
)
def test_short_amounts_stay_and_whole_ones_are_exact(text, shown):
    assert readable_formula(read(text)) == shown


@given(AMOUNTS)
@example([1.0, 1.0, 1.5, 1.0, 1.0])
@settings(deadline=None)
def test_readable_formulas_have_the_same_ratios(values):
    amounts = dict(zip(SYMBOLS[3:], map(float, values), strict=False))
    found = read(readable_formula(amounts))
    assert list(found) == list(amounts)
    ratios = np.array([found[one] / amounts[one] for one in amounts])
    np.testing.assert_allclose(ratios / ratios[0], 1, atol=1.1e-5)  # each within 5e-6
    assert len(readable_formula(amounts)) <= 13 * len(amounts)


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("Fe2O3", "Fe2O3"),
        ("C738H1166FeN203O208S2", "C738H1166FeN203O208S2"),
        ("Cr9999Fe", "Cr9999Fe"),
        ("Cr94017Fe369123Ni36860", "Cr18.8034Fe73.8246Ni7.372"),
        ("CaCr30000Fe69999", "Ca0.001Cr30Fe69.999"),
        ("2020-10000", "2020-10000"),  # no formula
    ],
)
def test_keys_with_long_numbers_are_shown_in_percent(key, shown):
    assert readable_key(key) == shown


def test_a_key_shown_in_percent_reads_back():
    keys = parse_formulas(["Fe0.6946493660945889Cr0.20540852297060647Ni0.0999421"])[0]
    (key,) = keys.reduced_formulas().tolist()
    meant, found = (np.array(list(read(text).values())) for text in (key, readable_key(key)))
    np.testing.assert_allclose(found / found.sum(), meant / meant.sum(), rtol=1e-5)
