"""Which formulas ions balance: known compounds, impossible ones, and the options."""

import itertools
import sys

import numpy as np
import pytest

from xtalshift.chem import charge_balance
from xtalshift.chem.charge_balance import ChargeRule, join_states, load_smact_rules
from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.elements import SYMBOLS
from xtalshift.errors import ConfigError


def ways(text, **options):
    """Return the ways to balance a formula, as lists of state by symbol."""
    compositions, reasons, _ = parse_formulas([text])
    assert reasons[0] == ""
    z = tuple(compositions.z.tolist())
    ions = ChargeRule(**options).ions(z, compositions.amounts.astype(np.int64)[:, None])
    assert set(ions.places.tolist()) <= {0}
    symbols = [SYMBOLS[number] for number in z]
    return [dict(zip(symbols, way, strict=True)) for way in ions.states[:, ions.which].T.tolist()]


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("NaCl", {"Na": 1, "Cl": -1}),
        ("BaTiO3", {"Ba": 2, "Ti": 4, "O": -2}),
        ("Bi2Te3", {"Bi": 3, "Te": -2}),
        ("CuInSe2", {"Cu": 1, "In": 3, "Se": -2}),
        ("LiFePO4", {"Li": 1, "Fe": 2, "P": 5, "O": -2}),
        ("NH4Cl", {"N": -3, "H": 1, "Cl": -1}),
        ("CsSbS2", {"Cs": 1, "Sb": 3, "S": -2}),
        ("PbTe", {"Pb": 2, "Te": -2}),
        ("GaAs", {"Ga": 3, "As": -3}),
        ("Mg2Si", {"Mg": 2, "Si": -4}),
        ("KMnO4", {"K": 1, "Mn": 7, "O": -2}),
        ("NaBH4", {"Na": 1, "B": 3, "H": -1}),
        ("BiTeI", {"Bi": 3, "Te": -2, "I": -1}),
        ("XeF4", {"Xe": 4, "F": -1}),
    ],
)
def test_known_compounds(text, states):
    assert states in ways(text)


@pytest.mark.parametrize(
    "text",
    [
        *("CsSbS", "Cs4Sb2S", "Cs3Sb3S"),  # sulphur would have to be the cation
        *("Sb4S3", "P4S3", "NaCl2", "HeO", "CsAu"),
        *("FeAl", "LaNi5"),  # intermetallic
        *("Fe3O4", "LiMn2O4", "YBa2Cu3O7"),  # mixed valence
        *("H2O2", "KO2", "Na2O2", "K2S2", "CaC2"),  # bonded anions
        "RfO2",  # no electronegativity
    ],
)
def test_what_is_refused_by_default(text):
    assert ways(text) == []


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("Fe3O4", {"Fe": 8 / 3, "O": -2}),
        ("YBa2Cu3O7", {"Y": 3, "Ba": 2, "Cu": 7 / 3, "O": -2}),
        ("LiMn2O4", {"Li": 1, "Mn": 3.5, "O": -2}),
        ("Pb3O4", {"Pb": 8 / 3, "O": -2}),
    ],
)
def test_mixed_valence(text, states):
    assert ways(text) == []
    assert [pytest.approx(way) for way in ways(text, mixed_valence=True)].count(states) == 1


def test_mixed_valence_changes_nothing_that_is_balanced_and_mixes_no_nonmetal():
    assert ways("Fe2O3", mixed_valence=True) == ways("Fe2O3") == [{"Fe": 3, "O": -2}]
    assert ways("CsSbS", mixed_valence=True) == []
    assert ways("Na2S4O6", mixed_valence=True) == []  # two states of sulphur
    assert ways("Fe3Au", mixed_valence=True) == []  # nobody takes the electrons


@pytest.mark.parametrize("text", ["FeAl", "LaNi5", "MoSi2", "MgB2"])
def test_intermetallics(text):
    assert ways(text) == []
    assert list(ways(text, intermetallics=True)[0].values()) == [0, 0]
    assert ways("Mg2Si", intermetallics=True) == [{"Mg": 2, "Si": -4}]
    assert ways("CsSbS", intermetallics=True) == []


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("H2O2", {"H": 1, "O": -1}),
        ("Na2O2", {"Na": 1, "O": -1}),
        ("FeS2", {"Fe": 2, "S": -1}),  # by default only as Fe(+4) S(-2), which is rare
        ("K2S2", {"K": 1, "S": -1}),
        ("CaC2", {"Ca": 2, "C": -1}),
    ],
)
def test_polyanions(text, states):
    assert states in ways(text, polyanions=True)
    assert ways("KO2", polyanions=True) == []  # half a charge for each oxygen


def test_elements_of_one_key_have_the_same_ions():
    rule = ChargeRule()
    amounts = np.array([[1, 2, 1], [1, 1, 2]])
    assert rule.key((11, 17)) == rule.key((19, 17)) != rule.key((11, 16))
    one, other = rule.ions((11, 17), amounts), rule.ions((19, 17), amounts)
    np.testing.assert_array_equal(one.states[:, one.which], other.states[:, other.which])
    assert rule.key((29, 14)) != rule.key((12, 14))
    # copper and silver differ from each other only in who may take their electrons
    mixed, metals = ChargeRule(mixed_valence=True), ChargeRule(intermetallics=True)
    assert mixed.key((26, 8)) != rule.key((26, 8)) != metals.key((26, 8))


def test_places_of_many_compositions():
    amounts = np.array([[1, 1, 2, 3, 4], [1, 2, 3, 4, 1]])
    ions = ChargeRule(mixed_valence=True).ions((26, 8), amounts)
    assert ions.places.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(ions.states[0, ions.which], [2, 4, 3, 8 / 3])
    kept = ions.take(np.array([False, True, False, True, True]))
    assert kept.places.tolist() == [0, 1]
    np.testing.assert_allclose(kept.states[0, kept.which], [4, 8 / 3])


def test_pieces_change_nothing(monkeypatch):
    amounts = np.array(list(itertools.product(range(1, 5), repeat=4))).T
    rule = ChargeRule(mixed_valence=True, polyanions=True)
    whole = rule.ions((25, 26, 16, 8), amounts)
    monkeypatch.setattr(charge_balance, "_PRODUCTS", 700)
    parts = rule.ions((25, 26, 16, 8), amounts)
    assert 50 < len(whole.places) < 50_000
    assert whole.places.tolist() == parts.places.tolist()
    np.testing.assert_array_equal(whole.states[:, whole.which], parts.states[:, parts.which])


def test_joined_states_are_the_allowed_part_of_the_product():
    states = [[-1, 1, 2], [3], [-2, 4], [1, 5]]

    def allowed(i, j):
        return np.add.outer(states[i], states[j]) % 3 != 0

    expected = [
        list(choice)
        for choice in itertools.product(*states)
        if all((a + b) % 3 for a, b in itertools.combinations(choice, 2))
    ]
    assert join_states(states, allowed).tolist() == expected
    assert join_states([[1], []], lambda _i, _j: None).shape == (0, 2)


def test_too_many_combinations_name_the_remedy(monkeypatch):
    monkeypatch.setattr(charge_balance, "MAX_COMBINATIONS", 8)
    with pytest.raises(
        ConfigError, match=r"3 elements have more than 8 .* lower the most elements"
    ):
        join_states([[1, 2, 3]] * 3, lambda _i, _j: None)


def test_missing_smact_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "smact", None)
    with pytest.raises(ConfigError, match=r"pip install 'xtalshift\[smact\]'"):
        load_smact_rules()
