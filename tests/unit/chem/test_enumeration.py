"""Enumerated formulas against loops that are too plain to be wrong, and SMACT's own screening."""

import itertools
import math
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xtalshift.chem import enumeration
from xtalshift.chem.charge_balance import ChargeRule, load_smact_rules
from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.elements import ATOMIC_NUMBERS, ELEMENT_CLASSES, SYMBOLS, load_elements
from xtalshift.chem.enumeration import count_formulas, enumerate_formulas, read_elements
from xtalshift.chem.oxidation import load_oxidation
from xtalshift.errors import ConfigError, NotFoundError

TABLE = load_elements()


def collect(elements, **settings_):
    return [f for block in enumerate_formulas(elements, **settings_) for f in block.formulas]


def x_of(symbol):
    return TABLE.electronegativity[ATOMIC_NUMBERS[symbol]]


def is_balanced(symbols, amounts):
    """Apply the rule to one formula, in plain loops."""
    if len(symbols) == 1:
        return True
    table = load_oxidation()
    z = [ATOMIC_NUMBERS[s] for s in symbols]
    for states in itertools.product(*((*table.anions[a], *table.cations[a]) for a in z)):
        ions = list(zip(z, states, strict=True))
        good = all(
            table.gives[a, b] for a, plus in ions for b, minus in ions if plus > 0 and minus < 0
        )
        if good and sum(np.multiply(states, amounts)) == 0:
            return True
    return False


def brute_force(elements, max_atoms, sizes, keep):
    """Return the formulas by a loop over all amounts of all sets, in the promised order."""
    elements = sorted(elements, key=lambda s: (np.nan_to_num(x_of(s), nan=np.inf), s))
    return [
        "".join(s if n == 1 else f"{s}{n}" for s, n in zip(symbols, amounts, strict=True))
        for size in sizes
        for symbols in itertools.combinations(elements, size)
        for amounts in itertools.product(range(1, max_atoms + 1), repeat=size)
        if sum(amounts) <= max_atoms and math.gcd(*amounts) == 1 and keep(symbols, amounts)
    ]


def test_known_answers_in_order():
    assert collect(["O", "Li"], max_atoms=4, charges=None) == [
        *("LiO", "LiO2", "LiO3", "Li2O", "Li3O")
    ]
    assert collect(["Fe", "O", "Li"], max_atoms=5) == [
        *("Li2O", "FeO", "FeO2", "Fe2O3", "LiFeO2", "Li2FeO2")
    ]
    assert collect(["C", "H"], max_atoms=5, max_elements=1, min_elements=1) == ["H", "C"]


@pytest.mark.parametrize(
    ("elements", "max_atoms"),
    [("Li,Na,Mg,O,F", 9), ("C,H,N,O,S", 6), ("Mn,Fe,P,He,O", 7), ("Rf,O,Cu,Sn,Ge", 5)],
)
def test_the_rule_equals_loops(elements, max_atoms):
    elements = elements.split(",")
    expected = brute_force(elements, max_atoms, range(1, 6), is_balanced)
    assert collect(elements, max_atoms=max_atoms, min_elements=1) == expected
    assert len(expected) > 5


def test_formulas_that_might_be_slips_are_written_so_that_they_are_read():
    found = collect(["Na", "C", "I"], max_atoms=3, min_elements=3, charges=None)
    assert found == ["Na1C1I1"]
    assert parse_formulas(found)[1].tolist() == [""]
    found = collect(["H", "Nb", "I", "Li"], max_atoms=8, min_elements=4, charges=None)
    assert "Li1Nb4H2I1" in found
    assert "LiNb4HI" in found


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(SYMBOLS[1:105]), min_size=2, max_size=6, unique=True),
    st.integers(2, 9),
    st.data(),
)
def test_formulas_are_unique_reduced_within_limits_and_neutral(elements, max_atoms, data):
    most = min(len(elements), max_atoms, 4)
    fewest = data.draw(st.integers(1, most))
    required = data.draw(st.sets(st.sampled_from(elements), max_size=fewest))
    charges = data.draw(st.sampled_from([None, ChargeRule()]))
    limits = {"max_atoms": max_atoms, "min_elements": fewest, "max_elements": most}
    found = collect(elements, **limits, required=required, charges=charges)
    assert len(set(found)) == len(found)
    compositions, reasons, _ = parse_formulas(found)
    assert not any(reasons)
    reduced = compositions.reduced_formulas().tolist()
    # the amounts 1 are written where a formula would be refused
    assert [re.sub("(?<=[A-Za-z])1(?![0-9])", "", formula) for formula in found] == reduced
    for a, b in itertools.pairwise(compositions.starts):
        symbols = [SYMBOLS[z] for z in compositions.z[a:b]]
        assert fewest <= len(symbols) <= most
        assert required <= set(symbols) <= set(elements)
        assert compositions.amounts[a:b].sum() <= max_atoms
        if charges:
            assert is_balanced(symbols, compositions.amounts[a:b])
    if not charges:
        assert count_formulas(elements, **limits, required=required) == len(found)


def test_formulas_of_all_elements_are_written_as_everywhere():
    found = collect(SYMBOLS[1:], max_atoms=3, max_elements=2, charges=None)
    assert (
        len(found)
        == math.comb(118, 2) * 3
        == count_formulas(SYMBOLS[1:], max_atoms=3, max_elements=2)
    )
    assert parse_formulas(found)[0].reduced_formulas().tolist() == found


def test_required_classes_need_one_of_their_elements():
    elements = ["Li", "Na", "F", "Cl", "O", "S", "Fe"]
    required = ["halogen", "chalcogens", "Li"]
    found = collect(elements, max_atoms=6, required=required, charges=None)
    expected = brute_force(
        elements,
        6,
        range(2, 7),
        lambda s, _: "Li" in s and {"F", "Cl"} & {*s} and {"O", "S"} & {*s},
    )
    assert found == expected
    assert count_formulas(elements, max_atoms=6, required=required) == len(found)
    # one required element is of the class: nothing more is asked
    assert collect(["Li", "F", "Cl"], max_atoms=2, required=["F", "halogen"]) == ["LiF", "ClF"]


def test_any_of_a_list_is_enough_and_all_of_the_required_are_needed():
    limits = {"max_atoms": 5, "charges": None}
    elements = ["Li", "S", "Se", "Te"]
    both = collect(elements, **limits, required=["S", "Se"])
    assert both == brute_force(elements, 5, range(2, 5), lambda s, _: {"S", "Se"} <= {*s})
    some = collect(elements, **limits, any_of=[["S", "Se"]])
    assert some == brute_force(elements, 5, range(2, 5), lambda s, _: bool({"S", "Se"} & {*s}))
    assert count_formulas(elements, max_atoms=5, any_of=[["S", "Se"]]) == len(some)
    lists = collect(elements, **limits, any_of=[["S", "Se"], ["alkali_metal", "Te"]])
    assert lists == [f for f in some if "Li" in f or "Te" in f]


def test_a_judge_sees_the_ions_of_what_passes():
    seen = []

    def judge(z, amounts, ions):
        seen.append((z, amounts.T.tolist(), ions.states[:, ions.which].T.tolist()))
        return amounts[0] / 10, [f"{len(z)} elements"] * amounts.shape[1]

    blocks = enumerate_formulas(["Li", "Fe", "O"], max_atoms=5, judge=judge)
    (block,) = blocks
    assert block.formulas == ["Li2O", "FeO", "FeO2", "Fe2O3", "LiFeO2", "Li2FeO2"]
    assert block.plausibility.tolist() == [0.2, 0.1, 0.1, 0.2, 0.1, 0.2]
    assert block.reasons == ["2 elements"] * 4 + ["3 elements"] * 2
    assert seen[1] == ((26, 8), [[1, 1], [1, 2], [2, 3]], [[2, -2], [4, -2], [3, -2]])


def test_exact_numbers_of_large_spaces_need_no_loop():
    # compositions of N atoms or fewer, without those that are multiples of smaller ones
    assert count_formulas(["Li", "O"], max_atoms=2000) == sum(
        sum(math.gcd(a, n) == 1 for a in range(1, n)) for n in range(2, 2001)
    )
    metals = ELEMENT_CLASSES["metal"]
    assert count_formulas(metals, max_atoms=4, min_elements=4) == math.comb(len(metals), 4)


@pytest.mark.parametrize("charges", [None, ChargeRule()])
def test_pieces_and_forgetting_change_nothing(monkeypatch, charges):
    whole = collect(["Li", "Mn", "P", "S", "O", "C"], max_atoms=9, charges=charges)
    monkeypatch.setattr(enumeration, "_ROWS", 7)
    monkeypatch.setattr(enumeration, "_EXAMINED", 50)
    monkeypatch.setattr(enumeration, "_REMEMBERED", 40)
    for kept in (0, 10**6):
        monkeypatch.setattr(enumeration, "_KEPT", kept)
        blocks = list(
            enumerate_formulas(
                ["Li", "Mn", "P", "S", "O", "C"], max_atoms=9, max_elements=6, charges=charges
            )
        )
        assert [f for block in blocks for f in block.formulas] == whole
        assert sum(block.examined for block in blocks) == count_formulas(
            ["Li", "Mn", "P", "S", "O", "C"], max_atoms=9
        )
        assert max(block.examined for block in blocks) < 60


def test_memory_does_not_grow_with_the_number_of_formulas(monkeypatch):
    monkeypatch.setattr(enumeration, "_ROWS", 500)
    monkeypatch.setattr(enumeration, "_EXAMINED", 500)
    monkeypatch.setattr(enumeration, "_REMEMBERED", 2000)
    blocks = enumerate_formulas(["metal", "O", "halogen"], max_atoms=5, required=["halogen"])
    next(blocks)
    tracemalloc.start()
    held = [tracemalloc.get_traced_memory()[0] for _ in itertools.islice(blocks, 200)]
    tracemalloc.stop()
    assert len(held) == 200
    # the smallest: other threads of the tests allocate for a moment too
    assert min(held[150:]) < max(held[:50]) + 50_000


def test_accept_sees_only_what_passed_and_has_the_last_word():
    seen = []

    def accept(symbols, amounts):
        seen.append((symbols, amounts.T.tolist()))
        return amounts[0] == 2

    found = collect(["Li", "Fe", "O"], max_atoms=5, accept=accept)
    assert found == ["Li2O", "Fe2O3", "Li2FeO2"]
    assert seen == [
        (("Li", "O"), [[2, 1]]),
        (("Fe", "O"), [[1, 1], [1, 2], [2, 3]]),
        (("Li", "Fe", "O"), [[1, 1, 2], [2, 1, 2]]),
    ]


def test_names_are_symbols_and_classes():
    assert read_elements(["Os", "O", "Li", "O"]) == ("Os", "O", "Li")
    for name in ("alkali_metal", "alkali metals", "Alkali-Metal"):
        assert read_elements([name]) == ("Li", "Na", "K", "Rb", "Cs", "Fr")
    assert read_elements(["noble_gases"]) == ELEMENT_CLASSES["noble_gas"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("halogns", "did you mean 'halogen'"),
        ("li", "did you mean 'Li'"),
        ("Qq", "'Qq'. Use symbols"),
    ],
)
def test_unknown_names_have_a_hint(name, hint):
    with pytest.raises(NotFoundError, match=hint):
        enumerate_formulas(["Li", name], max_atoms=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_atoms": 1}, "at most 1 atoms are fewer than the at least 2 elements"),
        ({"min_elements": 4}, "at least 4 elements cannot be made of the 3 given .Li,O,F."),
        ({"min_elements": 0}, "from 0 to all elements: expected a range"),
        ({"min_elements": 3, "max_elements": 2}, "from 3 to 2 elements"),
        ({"required": ["Na"]}, "must contain Na, which is not among the elements Li,O,F"),
        ({"required": ["pnictogen"]}, "must contain pnictogen, which is not among"),
        ({"required": ["Li", "O", "F"], "max_elements": 2}, "Li,O,F, but has at most 2 elements"),
        ({"required": ["Li", "O", "F"], "max_atoms": 2}, "Li,O,F, but has at most 2 elements"),
        ({"any_of": [["Na", "K"]]}, "must contain Na or K, which is not among the elements"),
    ],
)
def test_limits_that_leave_nothing_are_refused_at_once(changes, message):
    with pytest.raises(ConfigError, match=message):
        enumerate_formulas(["Li", "O", "F"], **{"max_atoms": 5} | changes)


def test_classes_that_do_not_fit_together_are_refused():
    elements = ["F", "Cl", "O", "S", "N", "P"]
    required = ["halogen", "chalcogen", "pnictogen"]
    with pytest.raises(
        ConfigError, match="no set of at most 2 elements has one of each of halogen"
    ):
        count_formulas(elements, max_atoms=5, max_elements=2, required=required)


@pytest.mark.parametrize(
    "elements",
    [
        ["Li", "Fe", "Mn", "P", "O", "S"],
        ["H", "C", "N", "Cl", "O", "Cu"],
        ["Cs", "Pb", "I", "Br", "Sn", "Na"],
        ["He", "Au", "Te", "Ra", "Xe", "Al", "B", "Ti"],
    ],
)
def test_smact_rules_are_those_of_smact(elements):
    screening = pytest.importorskip("smact.screening")
    limits = {"max_atoms": 7, "min_elements": 1, "max_elements": 4}
    every = collect(elements, **limits, charges=None)
    kept = set(collect(elements, **limits, charges=None, accept=load_smact_rules()))
    sample = np.random.default_rng(0).permutation(every)[:200].tolist()
    expected = [formula for formula in sample if screening.smact_validity(formula)]
    assert [formula for formula in sample if formula in kept] == expected
    assert 20 < len(expected) < 180
