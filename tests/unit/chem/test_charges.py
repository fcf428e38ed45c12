"""Charge neutrality against plain enumeration, and its bound on work."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xtalshift.chem import charges
from xtalshift.chem.charges import can_be_neutral
from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.elements import load_elements

KNOWN = [z for z, states in enumerate(load_elements().oxidation_states) if states and z != 8]


def ask(text):
    compositions, reasons, _ = parse_formulas([text])
    assert reasons[0] == ""
    neutral, unknown = can_be_neutral(compositions.z[:, None], compositions.amounts[:, None])
    return bool(neutral[0]), bool(unknown[0])


def by_enumeration(z, amounts):
    states = [load_elements().oxidation_states[number] for number in z]
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
    if all(load_elements().oxidation_states[number] for number in z):
        assert charges._meet_in_the_middle(z, amounts) is expected


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
        sums = {s + o * count for s in sums for o in load_elements().oxidation_states[number]}
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
