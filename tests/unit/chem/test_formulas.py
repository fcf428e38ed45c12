"""One formula at a time: what is read, and the reason for what is refused."""

import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xtalshift.chem.elements import ATOMIC_NUMBERS, SYMBOLS
from xtalshift.chem.formulas import parse_formula
from xtalshift.errors import ConfigError, FormulaError


def amounts_of(text, **settings):
    parsed = parse_formula(text, **settings)
    return dict(zip((SYMBOLS[z] for z in parsed.z), parsed.amounts, strict=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Fe2O3", {"Fe": 2, "O": 3}),
        ("  Fe2 O3 ", {"Fe": 2, "O": 3}),
        ("Ca10(PO4)6(OH)2", {"Ca": 10, "P": 6, "O": 26, "H": 2}),
        ("{Fe[Co(CN)6]2}3", {"Fe": 3, "Co": 6, "C": 36, "N": 36}),
        ("((Fe))", {"Fe": 1}),
        ("Fe.5O", {"Fe": 0.5, "O": 1}),
        ("Li0.5CoO2", {"Li": 0.5, "Co": 1, "O": 2}),
        ("Fe1e-3O2.5e1", {"Fe": 0.001, "O": 25}),
        ("CH3COOH", {"C": 2, "H": 4, "O": 2}),
        ("NaN", {"Na": 1, "N": 1}),
        ("No", {"No": 1}),
        ("Cu(I)2", {"Cu": 1, "I": 2}),
        ("Mg(VO3)2", {"Mg": 1, "V": 2, "O": 6}),
        ("Na0.5H2O", {"Na": 0.5, "H": 2, "O": 1}),
        ("Og118", {"Og": 118}),
        ("Fe2(SO4)0", {"Fe": 2}),
    ],
)
def test_reads(text, expected):
    assert amounts_of(text) == expected


def test_order_is_that_of_first_appearance():
    assert parse_formula("OFeO2Li").z == (8, 26, 3)


@pytest.mark.parametrize(
    ("text", "amounts", "note"),
    [
        ("Fe₂O₃", {"Fe": 2, "O": 3}, "subscript digits read as plain digits"),
        ("D2O", {"H": 2, "O": 1}, "D counted as H"),
        ("HTO", {"H": 2, "O": 1}, "T counted as H"),
        ("Fe0O", {"O": 1}, "an amount is zero: Fe dropped"),
        ("Fe1e-9O", {"O": 1}, "an amount is zero: Fe dropped"),
    ],
)
def test_notes_what_is_unusual(text, amounts, note):
    assert amounts_of(text) == amounts
    assert parse_formula(text).notes == (note,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CuSO4·5H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}),
        ("CuSO4*5H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}),
        ("CuSO4.5H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}),
        ("CuSO4.H2O", {"Cu": 1, "S": 1, "O": 5, "H": 2}),
        ("CaSO4·0.5H2O", {"Ca": 1, "S": 1, "O": 4.5, "H": 1}),
        ("CaSO4.0.5H2O", {"Ca": 1, "S": 1, "O": 4.5, "H": 1}),
        ("Na0.5.2H2O", {"Na": 0.5, "H": 4, "O": 2}),
        ("3CaO·Al2O3·6(H2O)", {"Ca": 3, "O": 12, "Al": 2, "H": 12}),
        ("K2(SO4)2.12D2O", {"K": 2, "S": 2, "O": 20, "H": 24}),
        ("Na0.5H2O", {"Na": 0.5, "H": 2, "O": 1}),
    ],
)
def test_hydrates_expand(text, expected):
    assert amounts_of(text, hydrates="expand") == expected


def test_a_guessed_hydrate_is_noted():
    notes = parse_formula("CuSO4.5H2O", hydrates="expand").notes
    assert notes == ("a part is added: '5 H2O'",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "formula None is of type NoneType, not text"),
        (float("nan"), "formula nan is of type float, not text"),
        (12, "formula 12 is of type int, not text"),
        (b"Fe", "of type bytes"),
        ("", "formula '' is empty or missing"),
        ("  ", "empty or missing"),
        ("nan", "formula 'nan' is empty or missing"),
        ("Fe3+", "'+' marks a charge or a negative amount at character 4"),
        ("SO4^2-", "'^' marks a charge"),
        ("[PO4]3-", "'-' marks a charge or a negative amount at character 7"),
        ("SO₄²⁻", "'²' marks a charge"),
        ("Fe3\N{MINUS SIGN}", "marks a charge"),
        ("Fe-2O3", "is written as an alloy or a mixture (or has charges): 2 parts of O3"),
        ("Fe2+O2-", "is written as an alloy or a mixture (or has charges)"),
        ("Fe(III)2O3", "oxidation state '(III)' at character 3"),
        ("Cu(I)O", "oxidation state '(I)'"),
        ("Xx2O", "unknown element 'Xx' at character 1"),
        ("LiFeoO2", "unknown element 'Feo' at character 3"),
        ("CuSO4·5H2O", "use --hydrates expand"),
        ("CuSO4.5H2O", "use --hydrates expand"),
        ("CuSO4.5(H2O)", "use --hydrates expand"),
        ("CuSO4.H2O", "use --hydrates expand"),
        ("V2O5.1.6H2O", "'.1.6H2O' can be read in two ways at character 5"),
        ("2H2O", "the number 2 before the formula"),
        ("Fe2 3", "the number 3 follows no element or bracket at character 5"),
        ("Fe(2O)", "the number 2 follows no element"),
        ("La2-xSrxCuO4", "the variable amount 'x' at character 5"),
        ("YBa2Cu3O7-δ", "the variable amount 'δ' at character 11"),
        ("Fe(OH", "'(' is not closed at character 3"),
        ("FeOH)2", "')' closes no bracket at character 5"),
        ("Fe(OH]2", "']' closes '(' at character 6"),
        ("Fe()2", "empty brackets at character 4"),
        ("Fe0.0", "all amounts are zero"),
        ("Fe1e999", "the amount inf is above 1e+09"),
        ("((Fe)1e300)1e300", "the amount inf is above"),
        ("((Fe)1e300)0((Fe)1e300)1e300O", "the amount inf is above"),
        ("Fe1e10", "the amount 1e+10 is above 1e+09"),
        ("Fe<sup>2</sup>", "unexpected '<' at character 3"),
        ("Y3N@C80", "unexpected '@' at character 4"),
        ("Fe" * 501, "has 1002 characters; at most 1000 are read"),
    ],
)
def test_refuses_with_a_reason(text, reason):
    with pytest.raises(FormulaError) as raised:
        parse_formula(text)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("text", "likely"),
    [
        ("FE2O3", "Fe2O3"), ("fe2O3", "Fe2O3"), ("Sio2", "SiO2"), ("LIFePO4", "LiFePO4"),
        ("AG", "Ag"), ("cacO3", "CaCO3"), ("co1o6pt3", "Co1O6Pt3"), ("nh4no3", "NH4NO3"),
    ],
)  # fmt: skip
def test_letters_of_the_wrong_case_get_the_likely_formula(text, likely):
    with pytest.raises(FormulaError) as raised:
        parse_formula(text)
    assert raised.value.likely == likely
    assert f"did you mean {likely!r}?" in str(raised.value)


@pytest.mark.parametrize("text", ["Xx2", "MO2", "Hematite", "Fe(s)O", "MAPbI3", "Fe3+", "LnO2"])
def test_no_hint_where_it_would_be_a_guess(text):
    with pytest.raises(FormulaError) as raised:
        parse_formula(text)
    assert raised.value.likely == ""
    assert "did you mean" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "reason"), [("Fe2O3·", "no element"), ("·Fe", "no element"), ("(Fe·O)", "not closed")]
)
def test_bad_hydrates_are_refused(text, reason):
    with pytest.raises(FormulaError, match=reason):
        parse_formula(text, hydrates="expand")


def test_deep_nesting_is_read_or_refused_at_once():
    begin = time.perf_counter()
    assert amounts_of("(" * 400 + "Fe" + ")" * 400) == {"Fe": 1}
    assert amounts_of("(" * 150 + "FeO" + ")1" * 150) == {"Fe": 1, "O": 1}
    with pytest.raises(FormulaError, match="not closed"):
        parse_formula("(" * 1000)
    with pytest.raises(FormulaError, match="has 10000002 characters"):
        parse_formula("(" * 5_000_000 + "Fe" + ")" * 5_000_000)
    assert time.perf_counter() - begin < 5.0


def test_long_texts_are_quoted_short():
    with pytest.raises(FormulaError) as raised:
        parse_formula("Q" * 900)
    assert len(str(raised.value)) < 1200
    with pytest.raises(FormulaError) as raised:
        parse_formula(["Fe"] * 1000)
    assert len(str(raised.value)) < 200


_PIECES = st.sampled_from(
    [*SYMBOLS[1:], *"()[]{}0123456789.e+-^ ·*xδ", "D", "H2O", "(I)", "₂", "1e5", "\n", "²"]
)


@settings(deadline=None)
@given(st.one_of(st.text(), st.lists(_PIECES, max_size=12).map("".join)))
@example("CuSO4.H2O\n")
@example("Fe2O3.")
def test_any_text_is_read_or_refused(text):
    for hydrates in ("refuse", "expand"):
        try:
            parsed = parse_formula(text, hydrates=hydrates)
        except FormulaError as error:
            assert "formula " in str(error)  # noqa: PT017 - both outcomes are fine
        else:
            assert len(set(parsed.z)) == len(parsed.z) > 0
            assert all(z in ATOMIC_NUMBERS.values() for z in parsed.z)
            assert all(np.isfinite(a) and a >= 1e-8 for a in parsed.amounts)


def test_an_unknown_way_to_read_hydrates_is_refused():
    with pytest.raises(ConfigError, match="hydrates='add': use 'refuse' or 'expand'"):
        parse_formula("Fe", hydrates="add")


@pytest.mark.parametrize(("length", "whole"), [(58, True), (59, False)])
def test_a_long_formula_is_quoted_without_its_middle(length, whole):
    text = "9" * length
    with pytest.raises(FormulaError) as caught:
        parse_formula(text)
    assert (repr(text) in str(caught.value)) == whole
