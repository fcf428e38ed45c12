"""Findings of a column of formulas."""

import pytest

from structure_toys import CRYSTALS
from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.formulas import Notation
from xtalshift.data.formula_findings import (
    CAUSES,
    cause_of_formula,
    contradictions,
    formula_findings,
    formula_remedy,
    note_details,
    note_kinds,
)
from xtalshift.data.materials import Materials
from xtalshift.structure import Structures


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "no formula"),
        ("CaO.2Al2O3", "a dot with two readings"),
        ("V2O5.1.6H2O", "a dot with two readings"),
        ("CaO.SiO2", "parts joined by a dot"),
        ("Ti-6Al-4V", "an alloy or mixture"),
        ("Ti02", "a zero for the letter O"),
        ("TiO2 (anatase)", "a label beside the formula"),
        ("Al2O3(0001)", "a label beside the formula"),
        ("(Ti 6Al) 4V", "a mixture with brackets"),
        ("SrAl2O4:Eu", "a dopant without its amount"),
        ("YBa2Cu3O7-x", "a variable amount"),
        ("MAPbI3", "an abbreviation"),
        ("YBCO", "an abbreviation"),
        ("Hematite", "a word"),
        ("\u0421aO", "a letter that is not Latin"),
        ("Fe3+", "a charge"),
        ("Fe(III)2O3", "an oxidation state"),
        ("Li1,2MnO2", "a decimal comma"),
        ("Xx2O", "an unknown element"),
        (12, "not text"),
        ("Fe(OH", "no formula that can be read"),
        ("'alloy or a mixture'", "no formula that can be read"),
    ],
)
def test_each_refusal_has_a_cause_that_does_not_depend_on_the_text(text, cause):
    _, reasons, _ = parse_formulas([text])
    assert cause_of_formula(reasons[0]) == cause
    assert formula_remedy(cause)


def test_capitals_and_lines_have_causes():
    _, reasons, _ = parse_formulas(["CUO"], Notation(capitals=True))
    assert cause_of_formula(reasons[0]) == "a column in capitals"
    reason = "line 22 has 3 cells, the header 2: '(Ba,Sr)TiO3,b'; put quotes around a cell"
    assert cause_of_formula(reason) == "a line with too many cells"
    assert len({part for part, _, _ in CAUSES}) == len(CAUSES)


@pytest.mark.parametrize(
    ("notes", "kinds"),
    [
        ("", []),
        ("D counted as H", ["D counted as H"]),
        ("a part is added: '5 H2O'", ["a part is added"]),
        ("a fraction: 1/3; a fraction: 2/3", ["a fraction"]),
        ("stray quote: line 7, 'a; b'; D counted as H", ["stray quote", "D counted as H"]),
        ("stray quote, read as it is: line 7, 'a \"b'", ["stray quote, read as it is"]),
    ],
)
def test_kinds_of_remarks(notes, kinds):
    assert note_kinds(notes) == kinds


def findings_of(texts, **settings):
    return formula_findings(texts, parse_formulas(texts)[0], **settings)


def test_a_glued_alloy_is_named_beside_alloys():
    texts = ["Ti-6Al-4V", "Ti6Al4V", "Fe2O3", "TiAl", "Cu3Zn2"]
    (found,) = findings_of(texts, alloys=True)
    assert (found.kind, found.count) == ("formula: perhaps an alloy in percent", 1)
    assert [(one.row, one.value) for one in found.examples] == [(2, "Ti6Al4V")]
    assert findings_of(texts, alloys=False) == ()


def test_elements_without_properties_are_listed_once():
    (found,) = findings_of(["NaCl", "XeF2", "OgHe", "OgF4"], alloys=False)
    assert found.count == 2
    assert found.remedy == "Predictions for materials with He, Og rest on mean values"
    assert [one.row for one in found.examples] == [3, 4]
    assert found.examples[1].reason == "5 of 22 properties of Og are means".replace("5", "22")


def test_details_of_remarks_are_said_without_their_kind():
    notes = "stray quote: line 7, 'a; b'; a fraction: 1/3; D counted as H; a fraction: 2/3"
    assert note_details(notes, "stray quote") == "line 7, 'a; b'"
    assert note_details(notes, "a fraction") == "1/3; 2/3"
    assert note_details(notes, "D counted as H") == ""


def beside(structure, *cells):
    """Return what is found of cells beside one structure."""
    structures = Structures.join([structure] * len(cells))
    formulas = structures.compositions().reduced_formulas()
    ids = [f"m{row}" for row in range(len(cells))]
    materials = Materials.parse(formulas, ids=ids, structures=structures)
    return contradictions(cells, materials, "formula")


def test_formulas_that_contradict_their_structures_are_named():
    (found,) = beside(CRYSTALS["rock salt"], "NaCl", "LiCoO2", "Na2Cl", "NaClH0.01", "no formula")
    assert found.describe() == (
        "a formula in column 'formula' that is not that of its structure (3 rows): its structure "
        "is NaCl. Such rows are read by their structures: correct what names these, or the "
        "formulas; a shifted column gives each row the value of another material."
    )
    assert found.show(3) == (
        "row 2: LiCoO2 (id m1); row 3: Na2Cl (id m2); row 4: NaClH0.01 (id m3)",
    )
    assert found.warns


def test_spelling_multiples_and_rounding_are_no_contradiction():
    salt = CRYSTALS["rock salt"]
    assert beside(salt, "ClNa", "Na4Cl4", "Na0.5Cl0.5", "Na0.99Cl", "halite", "") == ()
    assert beside(Structures.none(1), "NaCl") == ()  # the row is dropped, which says why
