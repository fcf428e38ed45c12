"""Padded compositions: there and back, and what the padding holds."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xtalshift.chem import Compositions, parse_formulas
from xtalshift.chem.elements import SYMBOLS
from xtalshift.errors import DataError
from xtalshift.nn.padded_compositions import pad_compositions

FORMULAS = st.lists(
    st.lists(
        st.tuples(st.sampled_from(SYMBOLS[1:]), st.sampled_from(["1", "2", "0.1", "12", "0.333"])),
        min_size=1,
        max_size=6,
        unique_by=lambda part: part[0],
    ).map(lambda parts: "".join(a + b for a, b in parts)),
    min_size=1,
    max_size=6,
)


def pad(texts, dtype=torch.float64):
    return pad_compositions(parse_formulas(texts)[0], dtype=dtype, device="cpu")


def test_known_rows():
    slots = pad(["Fe2O3", "Cu", "LiFePO4"])
    assert slots.elements.tolist() == [[26, 8, 0, 0], [29, 0, 0, 0], [3, 26, 15, 8]]
    assert slots.amounts.tolist() == [[2, 3, 0, 0], [1, 0, 0, 0], [1, 1, 1, 4]]
    assert slots.charges.tolist() == [[3, -2, 0, 0], [0, 0, 0, 0], [1, 2, 5, -2]]
    assert slots.known_charges.tolist() == [True, True, True]
    assert slots.fractions[0].tolist() == [0.4, 0.6, 0.0, 0.0]
    assert len(slots) == 3


def test_a_row_without_an_assignment_is_nan_in_its_filled_slots():
    slots = pad(["FeAl", "Na2SO4"])
    assert slots.charges[0].isnan().tolist() == [True, True, False]
    assert slots.known_charges.tolist() == [False, True]


@settings(deadline=None, max_examples=60)
@given(FORMULAS, st.sampled_from([torch.float64, torch.float32]))
def test_there_and_back(texts, dtype):
    compositions = parse_formulas(texts)[0]
    slots = pad_compositions(compositions, dtype=dtype, device="cpu")
    back = slots.to_compositions()
    np.testing.assert_array_equal(back.starts, compositions.starts)
    np.testing.assert_array_equal(back.z, compositions.z)
    # also in single precision: 0.1 comes back as 0.1
    np.testing.assert_array_equal(back.amounts, compositions.amounts)


def test_take_selects_rows_by_number_and_by_mask():
    slots = pad(["Fe2O3", "Cu", "NaCl"])
    assert slots.take(torch.tensor([2, 0])).elements.tolist() == [[11, 17], [26, 8]]
    assert slots.take(torch.tensor([False, True, False])).amounts.tolist() == [[1, 0]]
    batches = slots.take(torch.tensor([[0, 1], [2, 2]]))
    assert batches.charges.tolist() == [[[3, -2], [0, 0]], [[1, -1], [1, -1]]]
    assert len(batches) == 2


def test_an_invalid_row_is_named():
    compositions = parse_formulas(["NaCl", "?", "Cu"])[0]
    with pytest.raises(DataError, match=r"row 2 of the compositions .* has no elements"):
        pad_compositions(compositions, dtype=torch.float64, device="cpu")


def test_no_rows():
    empty = Compositions(np.zeros(1, np.int64), np.zeros(0, np.uint8), np.zeros(0))
    slots = pad_compositions(empty, dtype=torch.float32, device="cpu")
    assert len(slots) == 0
    assert len(slots.to_compositions()) == 0
    assert slots.amounts.dtype == torch.float32
