"""Many formulas at once: equal to one at a time, to pymatgen, and to known answers."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition

from xtalshift.chem.compositions import Compositions, parse_formulas
from xtalshift.chem.elements import ATOMIC_NUMBERS, SYMBOLS
from xtalshift.chem.formulas import Notation, parse_formula
from xtalshift.chem.tokens import read_plain
from xtalshift.data import load_dataset
from xtalshift.errors import FormulaError

MIXED = ["Fe2O3", "Fe3+", "CuSO4·5H2O", None, "D2O", "Ca(OH)2", ""]


@pytest.fixture(scope="module")
def ricci():
    return list(dict.fromkeys(load_dataset("ricci_seebeck").formulas))


def rows_of(compositions):
    bounds = compositions.starts
    return [
        {SYMBOLS[z]: a for z, a in zip(compositions.z[i:j], compositions.amounts[i:j], strict=True)}
        for i, j in itertools.pairwise(bounds)
    ]


def check_equals_parse_formula(texts, hydrates="refuse"):
    compositions, reasons, notes = parse_formulas(texts, Notation(hydrates), chunk_size=7)
    for row, text in enumerate(texts):
        part = slice(compositions.starts[row], compositions.starts[row + 1])
        try:
            expected = parse_formula(text, hydrates=hydrates)
        except FormulaError as error:
            assert (part.start, reasons[row], notes[row]) == (part.stop, str(error), "")  # noqa: PT017
        else:
            assert tuple(compositions.z[part].tolist()) == expected.z
            assert tuple(compositions.amounts[part].tolist()) == expected.amounts
            assert (reasons[row], notes[row]) == ("", "; ".join(expected.notes))


def test_good_and_bad_rows_keep_their_places():
    compositions, reasons, notes = parse_formulas(MIXED)
    assert rows_of(compositions) == [
        {"Fe": 2, "O": 3}, {}, {}, {}, {"H": 2, "O": 1}, {"Ca": 1, "O": 2, "H": 2}, {},
    ]  # fmt: skip
    assert [bool(reason) for reason in reasons] == [False, True, True, True, False, False, True]
    assert notes.tolist() == ["", "", "", "", "D counted as H", "", ""]
    expanded, reasons, _ = parse_formulas(MIXED, Notation("expand"))
    assert rows_of(expanded)[2] == {"Cu": 1, "S": 1, "O": 9, "H": 10}
    assert reasons[2] == ""


def test_nothing_gives_nothing():
    compositions, reasons, notes = parse_formulas([])
    assert (len(compositions), len(reasons), len(notes)) == (0, 0, 0)
    assert compositions.element_fractions().shape == (0, 118)
    assert compositions.reduced_formulas().tolist() == []


@pytest.mark.parametrize("hydrates", ["refuse", "expand"])
def test_unusual_texts_equal_one_at_a_time(hydrates):
    check_equals_parse_formula(
        [
            *MIXED, "NaN", "nan", "Fe2 O3", "Fe2 3", " Fe", "Fe ", "Fe2\nO3", "Fe\n", "\n", "\0",
            "Fe(OH)2(OH)3", "((Fe0.1)3)0.7O", "((Fe2O)2O)3", "(((((Fe2)2)2)2)2)2",
            "Fe(OH))2(", ")Fe(", "Fe)2(O", "Fe(OH",
            "CuSO4.5H2O", "CuSO4.5(H2O)", "CuSO4.H2O", "Na0.5H2O", "Fe1.2.3O", "Fe1.", "Fe.5",
            "Fe(III)2O3", "Cu(I)2", "Cu(I)O", "Mg(VO3)2", "Mg(IV)", "Fe0O", "Fe0", "Fe1e3O",
            "Fe123456789012345O", "Fe1234567890123456O", "Fe0.12345678901234", "O0.000000001Fe",
            "O0.12345678901234567", "CH3COOH", "Ag(AuS)2", "Fe" * 501, "Fé", "()", "(", "2H2O",
            "CoCl2.6NH3", "CoCl2.60NH3", "Li6.5La3Zr2O12", "SrTiO2.9Fe2O3", "SrTiO2.24Fe2O3",
            "SrTiO2.25Fe2O3", "SrTiO2.05Fe2O3", "Na0.5Fe2O3", "Ti02", "Al203", "Al203Fe", "Zn0",
            "FeFe0", "H20", "K20", "Al6061", "Al60", "C60", "Fe Fe2", "Fe Fe", "YBCO", "OAc2",
            "Cu(OAc)2", "Al(OPr)3", "Al(OPr)3O", "U(OTs)4", "Ac2O3", "K I",
        ],
        hydrates,
    )  # fmt: skip


_PIECES = st.sampled_from(
    [
        *SYMBOLS[1:],
        *"()[]0123456789. ",
        "(",
        ")",
        "2",
        "D",
        "H2O",
        "e",
        "+",
        ".2Al2O3",
        "203",
        "OAc",
    ]
)


@settings(deadline=None)
@given(st.lists(st.lists(_PIECES, max_size=9).map("".join), max_size=20))
def test_made_texts_equal_one_at_a_time(texts):
    check_equals_parse_formula(texts)


def test_real_formulas_equal_one_at_a_time_and_are_plain(ricci):
    check_equals_parse_formula(ricci[::10])
    plain = set(read_plain(ricci).rows.tolist())
    # CO may be Co, HF may be Hf: such texts are looked at one at a time
    others = [formula for row, formula in enumerate(ricci) if row not in plain]
    assert {"K2CO3", "Ba7Al64O103"} <= set(others)
    assert len(others) < 0.06 * len(ricci)


def test_real_formulas_equal_pymatgen(ricci):
    formulas = ricci[::10]
    assert sum("(" in formula for formula in formulas) > 500
    for formula, amounts in zip(formulas, rows_of(parse_formulas(formulas)[0]), strict=True):
        assert amounts == Composition(formula).get_el_amt_dict()


@pytest.mark.shared_data
def test_formulas_of_tables_equal_pymatgen(shared_data):
    import pandas as pd

    for path in sorted((shared_data / "composition").glob("*.parquet")):
        formulas = pd.read_parquet(path)["formula"].drop_duplicates().tolist()[::12]
        compositions, reasons, _ = parse_formulas(formulas)
        assert set(reasons) == {""}
        for formula, amounts in zip(formulas, rows_of(compositions), strict=True):
            assert amounts == pytest.approx(Composition(formula).get_el_amt_dict(), rel=1e-14)


def test_take_reorders_and_repeats():
    compositions, _, _ = parse_formulas(["Fe2O3", "", "NaCl", "C"])
    taken = compositions.take([3, 0, 1, 0])
    assert rows_of(taken) == [{"C": 1}, {"Fe": 2, "O": 3}, {}, {"Fe": 2, "O": 3}]
    assert rows_of(compositions.take(np.array([False, False, True, True]))) == rows_of(
        compositions.take(slice(2, None))
    )


def test_element_fractions_and_contains():
    compositions, _, _ = parse_formulas(["Fe2O3", "Fe3+", "OgH3"])
    fractions = compositions.element_fractions()
    assert fractions[0, 25] == 0.4
    assert fractions[0, 7] == 0.6
    assert fractions[0].sum() == 1.0
    assert np.isnan(fractions[1]).all()
    assert fractions[2, [0, 117]].tolist() == [0.75, 0.25]
    assert compositions.contains("Fe").tolist() == [True, False, False]
    with pytest.raises(FormulaError, match="did you mean 'Fe'"):
        compositions.contains("FE")
    with pytest.raises(FormulaError, match="'FeO' is not one element"):
        compositions.contains("FeO")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Li4Fe4P4O16", "LiFePO4"),
        ("O6Fe4", "Fe2O3"),
        ("Fe0.4O0.6", "Fe2O3"),
        ("Li0.5CoO2", "LiCo2O4"),
        ("(Fe0.1)3O0.1", "Fe3O"),
        ("H2", "H"),
        ("He4", "He"),
        ("Fe0.0000002O0.0000004", "FeO2"),
        ("Fe0.0000002O1", "FeO5000000"),
        ("Fe0.0000014O1", "FeO1000000"),
        ("Fe1.0000001O2", "FeO2"),
        ("Fe900000000O600000000", "Fe3O2"),
        ("", ""),
    ],
)
def test_reduced_formulas(text, key):
    compositions, _, _ = parse_formulas(["NaCl", text])
    assert compositions.reduced_formulas().tolist() == ["NaCl", key]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(SYMBOLS[1:]), min_size=1, max_size=6, unique=True),
    st.data(),
)
def test_reduced_formulas_tell_the_ratio_and_only_the_ratio(symbols, data):
    counts = data.draw(st.lists(st.integers(1, 40), min_size=len(symbols), max_size=len(symbols)))
    factor = data.draw(st.integers(1, 30))
    order = data.draw(st.permutations(range(len(symbols))))
    plain = "".join(f"{s}{c}" for s, c in zip(symbols, counts, strict=True))
    scaled = "".join(f"{symbols[i]}{counts[i] * factor / 8}" for i in order)
    other = plain + symbols[0]  # one atom more: the same ratio only for a single element
    keys = parse_formulas([plain, scaled, other])[0].reduced_formulas()
    assert keys[0] == keys[1]
    assert (keys[0] == keys[2]) == (len(symbols) == 1)
    read = parse_formula(keys[0])
    smallest = np.array(counts) // np.gcd.reduce(counts)
    assert dict(zip(read.z, read.amounts, strict=True)) == dict(
        zip((ATOMIC_NUMBERS[s] for s in symbols), smallest, strict=True)
    )


@pytest.mark.filterwarnings("ignore:gcd is deprecated:FutureWarning")  # by pymatgen before 2026
def test_reduced_formulas_group_as_pymatgen_does(ricci):
    formulas = ricci[::20] + [f"({formula})2" for formula in ricci[::40]]
    ours = parse_formulas(formulas)[0].reduced_formulas()
    theirs = [Composition(formula).reduced_formula for formula in formulas]
    assert len(set(zip(ours, theirs, strict=True))) == len(set(ours)) == len(set(theirs))


def test_compositions_are_plain_arrays():
    compositions, _, _ = parse_formulas(["Fe2O3"])
    assert isinstance(compositions, Compositions)
    assert compositions.starts.dtype == np.int64
    assert compositions.z.dtype == np.uint8
    assert compositions.amounts.dtype == np.float64
