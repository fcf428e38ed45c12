"""Slips of typing: recognised where charges or the form tell, and never where a formula is real."""

import re
from pathlib import Path

import pandas as pd
import pytest

from xtalshift.chem.elements import SYMBOLS
from xtalshift.chem.formulas import parse_formula
from xtalshift.errors import FormulaError


def amounts_of(text, **settings):
    parsed = parse_formula(text, **settings)
    return dict(zip((SYMBOLS[z] for z in parsed.z), parsed.amounts, strict=True))


def refusal(text, **settings):
    with pytest.raises(FormulaError) as raised:
        parse_formula(text, **settings)
    return raised.value


@pytest.mark.parametrize(
    ("text", "likely"),
    [
        ("NaC1", "NaCl"), ("CaC12", "CaCl2"), ("NaCI", "NaCl"), ("TiCI4", "TiCl4"),
        ("K2PtCI6", "K2PtCl6"), ("LiCOO2", "LiCoO2"), ("LiO.5CoO2", "Li0.5CoO2"),
        ("In0.8GaO.2As", "In0.8Ga0.2As"), ("Ti 02", "Ti O2"), ("K204S1", "K2O4S1"),
        ("Ba2Ca4012W2", "Ba2Ca4O12W2"), ("Li4Mn5Ni3016", "Li4Mn5Ni3O16"), ("TiO02", "TiO2"),
        ("Na0H", "NaOH"), ("Ca(0H)2", "Ca(OH)2"), ("TIO2", "TiO2"), ("Feb-02", "FeB2"),
        ("12-Feb", "FeB12"), ("TiO2 II", "TiO2"), ("NaCl I", "NaCl"), ("TiO2_P25", "TiO2"),
        ("BATIO3", "BaTiO3"),
    ],
)  # fmt: skip
def test_a_slip_is_refused_with_the_likely_formula(text, likely):
    assert refusal(text).likely == likely


def test_a_slip_in_a_part_is_found_too():
    assert refusal("CuC12·2H2O", hydrates="expand").likely == "CuCl2·2H2O"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("K2MnCl6_1", "'_1' may be an amount or the number of a sample"),
        ("NaCl_2", "'_2' may be an amount or the number of a sample"),
        ("Cu(I)2O", "oxidation state '(I)'"), ("FeIIICl3", "oxidation state 'III'"),
        ("2024-02-12 00:00:00", "it is a date"), ("1E5", "it is a number"),
        ("SS316", "it is a grade of a steel"), ("Inconel 718", "it is a word"),
        ("(1-x)PbTiO3-xBaTiO3", "'(1-x)' is a variable amount"), ("Li2O:2B2O3", "':' joins parts"),
        ("YBa2Cu3O7-d", "the variable amount 'd'"), ("MgSO4.7 H2O", "O4.7 or 7 H2O"),
        ("CaSO4.1/2H2O", "'.' joins parts"), ("Dy 8 S .1C3", "an alloy or a mixture"),
        ("Ti 6 V 4Al", "an alloy or a mixture"), ("In 1/14C", "an alloy or a mixture"),
        ("C0,66Ru.3W", "a comma in a number"), ("{'Fe': 2, 'Fe': 3}", "Fe is given twice"),
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_is_refused(text, reason):
    assert reason in str(refusal(text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Ga..2As", "two dots in a row"),
        ("ZnS. 0SiO2", "the number 0 before a part"),
        ("O0.6.0Al2O3", "the number 0 before a part"),
        ("Na2CO3.nH2O", "the variable amount 'n'"),
    ],
)
def test_parts_that_cannot_be_added_are_refused(text, reason):
    assert reason in str(refusal(text, hydrates="expand"))


@pytest.mark.parametrize(
    ("text", "amounts", "reason"),
    [
        ("Na2O-2SiO2", "mol", "a part has no amount"),
        ("Fe 70Ni30", "wt", "'70Ni30' has numbers on both sides of an element"),
    ],
)
def test_mixtures_of_two_readings_are_refused(text, amounts, reason):
    assert reason in str(refusal(text, amounts=amounts))


@pytest.mark.parametrize(
    ("text", "expected", "note"),
    [
        ("CI4", {"C": 1, "I": 4}, "C read as carbon"),
        ("LiC12", {"Li": 1, "C": 12}, "C read as carbon"),
        ("YB2C2", {"Y": 1, "B": 2, "C": 2}, "capitals that may be one symbol: YB, write Yb"),
        ("SIC", {"S": 1, "I": 1, "C": 1}, "capitals that may be one symbol: SI, write Si"),
        ("V(Po3)3", {"V": 1, "Po": 9}, "a rare element: Po, write PO"),
        ("H2O.5", {"H": 2, "O": 0.5}, "a letter before a point: O read as oxygen, write 0"),
        ("FeFe2O4", {"Fe": 3, "O": 4}, "an element twice in a row: the amounts of Fe are added"),
        ("CaBi 2", {"Ca": 1, "Bi": 2}, "an amount behind a space: 2 of Bi"),
        ("Ca5(PO4)3 F", {"Ca": 5, "P": 3, "O": 12, "F": 1}, "an element behind a space: F"),
        ("Ca4Sb20", {"Ca": 4, "Sb": 20}, "a zero read as a digit"),
        ("YBa2Cu306.9", {"Y": 1, "Ba": 2, "Cu": 306.9}, "a zero read as a digit"),
        ("{'D': 2, 'O': 1}", {"H": 2, "O": 1}, "D counted as H"),
        ("TiO_2", {"Ti": 1, "O": 2}, "subscript marks read as plain digits"),
    ],
)
def test_what_is_rarely_meant_is_noted(text, expected, note):
    assert amounts_of(text) == expected
    assert any(note in one for one in parse_formula(text).notes)


@pytest.mark.parametrize(
    "text",
    [
        "CsPb(I)3", "Cu(I)2", "H6PbCI3N", "HCOO", "K2CO3", "Zn(CN)2", "(C)I4", "NaO0.5", "K I",
        "B160H208", "Si O2", "CaTi O3", "Al2 O3", "Fe_{12}O_{19}", "Ca5(PO4)3F", "CoCO3", "HNO3",
    ],
)  # fmt: skip
def test_ordinary_formulas_get_no_doubts(text):
    assert parse_formula(text).notes in {(), ("subscript marks read as plain digits",)}


def test_the_remedies_are_read_as_written():
    assert amounts_of("Na(C)1") == {"Na": 1, "C": 1}
    assert amounts_of("Li(C)OO2") == {"Li": 1, "C": 1, "O": 3}
    assert amounts_of("LiO0.5CoO2") == {"Li": 1, "O": 2.5, "Co": 1}
    assert amounts_of("CaSO4·½H2O", hydrates="expand") == {"Ca": 1, "S": 1, "O": 4.5, "H": 1}


@pytest.mark.shared_data
def test_no_real_formula_is_refused(shared_data):
    for path in sorted((shared_data / "composition").glob("*.parquet")):
        for text in pd.read_parquet(path).iloc[:2000, 0].map(str).unique():
            parse_formula(text)


def tried():
    """Yield the texts of the table "Tried" of docs/input.md, and what happens to them."""
    page = (Path(__file__).parents[3] / "docs/input.md").read_text(encoding="utf-8")
    for line in page.partition("### Tried")[2].splitlines():
        cells = line.split("|")
        if len(cells) == 5 and "`" in cells[2]:
            for text in re.findall("`([^`]+)`", cells[2]):
                yield text, cells[3].split()[0].strip(":,;")


@pytest.mark.parametrize(("text", "happens"), list(tried()))
def test_the_document_says_what_happens(text, happens):
    if happens == "refused":
        refusal(text)
    else:
        assert happens == "read"
        assert amounts_of(text)
