"""Charge neutrality and assigned oxidation states against plain enumeration, and their speed."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xtalshift.chem import charge_neutrality
from xtalshift.chem.charge_neutrality import (
    assign_states,
    can_be_neutral,
    has_state,
    neutral_rows,
)
from xtalshift.chem.compositions import Compositions, parse_formulas
from xtalshift.chem.elements import ATOMIC_NUMBERS, SYMBOLS, load_elements

TABLE = load_elements()
KNOWN = [z for z, states in enumerate(TABLE.oxidation_states) if states and z != 8]
SEVERAL = [z for z, states in enumerate(TABLE.oxidation_states) if len(states) > 1]
SEVERAL += [2, 3, 8, 9, 12, 13, 57]


def ask(text):
    compositions, reasons, _ = parse_formulas([text])
    assert reasons[0] == ""
    neutral, unknown = can_be_neutral(compositions.z[:, None], compositions.amounts[:, None])
    return bool(neutral[0]), bool(unknown[0])


def by_enumeration(z, amounts):
    states = [TABLE.oxidation_states[number] for number in z]
    return any(abs(np.dot(c, amounts)) <= 1e-8 for c in itertools.product(*states))


@pytest.mark.parametrize(
    ("text", "neutral"),
    [
        ("NaCl", True),
        ("Fe2O3", True),
        ("Fe3O4", False),  # needs Fe in two states at once
        ("FeAl", False),
        ("Fe", True),
        ("HeO", False),  # helium has no state
        ("Na0.3Cl0.3", True),
        ("CH4", True),
    ],
)
def test_known_answers(text, neutral):
    assert ask(text) == (neutral, False)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(range(1, 119)), min_size=2, max_size=5, unique=True),
    st.lists(st.sampled_from([0.1, 0.25, 0.5, 1, 2, 3, 4, 6, 1 / 3]), min_size=5, max_size=5),
)
def test_both_ways_equal_enumeration(z, amounts):
    z, amounts = np.array(z, dtype=np.uint8), np.array(amounts[: len(z)])
    expected = by_enumeration(z, amounts)
    neutral, unknown = can_be_neutral(z[:, None], amounts[:, None])
    assert (neutral[0], unknown[0]) == (expected, False)
    if all(TABLE.oxidation_states[number] for number in z):
        assert charge_neutrality._meet_in_the_middle(z, amounts) is expected


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(KNOWN), min_size=6, max_size=30, unique=True),
    st.lists(st.integers(1, 9), min_size=30, max_size=30),
    st.integers(1, 150),
)
def test_many_elements_equal_sets_of_integers(z, amounts, oxygen):
    z = np.array([*z, 8], dtype=np.uint8)
    counts = [*amounts[: len(z) - 1], oxygen]
    sums = {0}
    for number, count in zip(z, counts, strict=True):
        sums = {s + o * count for s in sums for o in TABLE.oxidation_states[number]}
    neutral, unknown = can_be_neutral(z[:, None], np.array(counts, dtype=float)[:, None] / 4)
    assert (neutral[0], unknown[0]) == (0 in sums, False)


def test_rows_of_one_call_do_not_mix():
    pairs = ["NaCl", "FeAl", "CO", "NaK", "SO", "HeO", "MgF"] * 3000
    compositions, _, _ = parse_formulas(pairs)
    z, amounts = compositions.z.reshape(-1, 2).T, compositions.amounts.reshape(-1, 2).T
    expected = [ask(text)[0] for text in pairs[:7]] * 3000
    assert can_be_neutral(z, amounts)[0].tolist() == expected


def test_all_elements_at_once_take_no_time():
    z = np.array([*KNOWN, 8], dtype=np.uint8)[:, None]
    begin = time.perf_counter()
    for amounts in (np.ones(len(KNOWN)), 1 + np.arange(len(KNOWN)) % 7):
        balanced = np.append(amounts, 1.5 * amounts.sum())[:, None]
        assert [answer.tolist() for answer in can_be_neutral(z, balanced)] == [[True], [False]]
    assert time.perf_counter() - begin < 10.0


def test_too_many_sums_are_given_up_in_bounded_time():
    z = np.array([*KNOWN, 8], dtype=np.uint8)[:, None]
    amounts = np.random.default_rng(0).random(len(z))
    amounts[-1] = 1.5 * amounts.sum()
    begin = time.perf_counter()
    neutral, unknown = can_be_neutral(z, amounts[:, None])
    assert time.perf_counter() - begin < 10.0
    assert (neutral[0], unknown[0]) == (False, True)


def assigned(text):
    compositions, reasons, _ = parse_formulas([text])
    assert reasons[0] == ""
    states = assign_states(compositions).tolist()
    return {SYMBOLS[z]: state for z, state in zip(compositions.z, states, strict=True)}


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("NaCl", {"Na": 1, "Cl": -1}),
        ("LiFePO4", {"Li": 1, "Fe": 2, "P": 5, "O": -2}),
        ("CH4", {"C": -4, "H": 1}),  # C(4) H(-1) cancels as well
        ("SiC", {"Si": 4, "C": -4}),
        ("SCl2", {"S": 2, "Cl": -1}),
        ("BrCl", {"Br": 1, "Cl": -1}),
        ("KClO3", {"K": 1, "Cl": 5, "O": -2}),
        ("SO2Cl2", {"S": 6, "O": -2, "Cl": -1}),
        ("KSCN", {"K": 1, "S": -2, "C": 4, "N": -3}),
        ("HCN", {"H": 1, "C": 2, "N": -3}),
        ("CeFeO3", {"Ce": 3, "Fe": 3, "O": -2}),
        ("MnCo2O4", {"Mn": 2, "Co": 3, "O": -2}),
        ("Co2Fe2O5", {"Co": 2, "Fe": 3, "O": -2}),  # iron is the less electronegative
        ("Ir2Ru2O7", {"Ru": 3, "Ir": 4, "O": -2}),  # equal in all; ruthenium is lighter
        ("Ru2Ir2O7", {"Ru": 3, "Ir": 4, "O": -2}),
        ("SnSe", {"Sn": 2, "Se": -2}),
        ("Na0.1Ca0.2Cl0.5", {"Na": 1, "Ca": 2, "Cl": -1}),
        ("Cu", {"Cu": 0}),
        ("He", {"He": 0}),
    ],
)
def test_states_of_known_compounds(text, states):
    assert assigned(text) == states


@pytest.mark.parametrize("text", ["Fe3O4", "FeAl", "HeO", "NaCl2"])
def test_no_neutral_combination_is_nan(text):
    assert np.isnan(list(assigned(text).values())).all()


def best_by_enumeration(z, amounts):
    """Return the best of all neutral combinations, by plain loops; None if there is none."""
    table = TABLE.oxidation_states
    x = load_elements(impute_nan=True).electronegativity

    def merits(states):
        level = [x[n] if min(table[n]) < 0 else 1.5 for n in z]
        sums = [
            sum(a * q * f for a, q, f in zip(amounts, states, factors, strict=True))
            for factors in (level, states, x[z])
        ]
        by_z = [q for _, q in sorted(zip(z.tolist(), states, strict=True))]
        return [*(round(value / sum(amounts), 9) for value in sums), by_z]

    combinations = itertools.product(*(table[n] for n in z))
    neutral = [c for c in combinations if abs(np.dot(c, amounts)) <= 1e-8]
    return min(neutral, key=merits, default=None)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.sampled_from(SEVERAL), min_size=2, max_size=4, unique=True),
    st.lists(st.sampled_from([0.25, 0.5, 1, 2, 3, 4]), min_size=4, max_size=4),
)
def test_the_best_of_all_combinations_whatever_the_order(z, amounts):
    z, amounts = np.array(z, dtype=np.uint8), np.array(amounts[: len(z)])
    starts = np.array([0, len(z)])
    best = best_by_enumeration(z, amounts)
    expected = np.full(len(z), np.nan) if best is None else best
    np.testing.assert_array_equal(assign_states(Compositions(starts, z, amounts)), expected)
    turned = assign_states(Compositions(starts, z[::-1], amounts[::-1]))
    np.testing.assert_array_equal(turned[::-1], expected)


def test_rows_of_any_size_keep_their_place():
    texts = ["Fe2O3", "Cu", "FeAl", "LiFePO4", "NaCl", "K4Fe(CN)6"] * 50
    compositions = parse_formulas(texts)[0]
    alone = np.concatenate([assign_states(parse_formulas([text])[0]) for text in texts[:6]])
    np.testing.assert_array_equal(assign_states(compositions), np.tile(alone, 50))
    neutral, unknown = neutral_rows(compositions)
    assert neutral.tolist() == [True, True, False, True, True, True] * 50
    assert not unknown.any()


def test_too_many_combinations_are_given_up_at_once():
    text = "CSSeTeClBrIXeGeSnO"
    compositions = parse_formulas([text])[0]
    assert can_be_neutral(compositions.z[:, None], compositions.amounts[:, None])[0][0]
    begin = time.perf_counter()
    assert np.isnan(assign_states(compositions)).all()
    assert time.perf_counter() - begin < 1.0


def test_a_hundred_thousand_rows_take_seconds():
    texts = ["LiFePO4", "Cs2AgBiBr6", "C6H12O6", "CuFeS2", "K2Cr2O7"]
    compositions = parse_formulas(texts * 20_000)[0]
    begin = time.perf_counter()
    states = assign_states(compositions)
    assert time.perf_counter() - begin < 10.0
    assert not np.isnan(states).any()


def test_common_states_by_column():
    table = has_state()
    fe = np.flatnonzero(table[ATOMIC_NUMBERS["Fe"]]) - 8
    assert fe.tolist() == [2, 3]
    assert not table[0].any()
    assert table.sum() == sum(map(len, TABLE.oxidation_states))


def test_one_half_of_too_many_sums_gives_up(monkeypatch):
    z, amounts = np.array([11, 19, 9, 26], dtype=np.uint8), np.ones(4)
    assert charge_neutrality._meet_in_the_middle(z, amounts) is not None
    monkeypatch.setattr(charge_neutrality, "MAX_SUMS", 1)  # iron has several, in one half
    assert charge_neutrality._meet_in_the_middle(z, amounts) is None
