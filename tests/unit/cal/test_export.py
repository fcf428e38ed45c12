"""Adversarial compositions as formulas: readable, and parsed back to the same composition."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xtalshift.cal.export import adversarial_frame, write_formulas
from xtalshift.chem import Compositions, parse_formulas
from xtalshift.chem.elements import SYMBOLS
from xtalshift.errors import DataError
from xtalshift.nn.padded_compositions import pad_compositions


def compositions(*texts):
    return parse_formulas(list(texts))[0]


def frame(before, after, **changes):
    start = compositions(*before)
    slots = pad_compositions(compositions(*after), dtype=torch.float64, device="cpu")
    numbers = np.arange(len(before), dtype=float)
    return adversarial_frame(
        start,
        slots,
        **{
            "target": numbers,
            "prediction": numbers + 1,
            "adversarial_prediction": numbers + 2,
            "displacement_rms": numbers / 10,
            **changes,
        },
    )


def test_known_rows():
    columns = frame(["O4LiFePO4", "NaCl", "Ni3Al"], ["O8LiCoP", "KBr", "Ni2.8Al1.2"])
    assert columns["formula"].tolist() == ["LiFePO8", "NaCl", "AlNi3"]
    assert columns["adversarial_formula"].tolist() == ["LiCoPO8", "KBr", "Al1.2Ni2.8"]
    assert columns["substituted"].tolist() == ["Fe->Co", "Na->K, Cl->Br", ""]
    np.testing.assert_allclose(columns["max_fraction_change"], [0.0, 0.0, 0.05], atol=1e-12)
    assert columns["target"].tolist() == [0.0, 1.0, 2.0]
    assert columns["prediction"].tolist() == [1.0, 2.0, 3.0]
    assert columns["adversarial_prediction"].tolist() == [2.0, 3.0, 4.0]
    assert columns["displacement_rms"].tolist() == [0.0, 0.1, 0.2]


def test_formulas_can_be_given():
    assert frame(["NaCl"], ["KCl"], formulas=["ClNa (salt)"])["formula"].tolist() == ["ClNa (salt)"]


@pytest.mark.parametrize(
    ("amounts", "text"),
    [
        ([1.0, 1.0], "NaCl"),
        ([1.00004, 0.99996], "NaCl"),
        ([0.123456, 10.0], "Na0.1235Cl10"),
        ([2.5, 100.0], "Na2.5Cl100"),
        ([0.00001234567, 1.5], "Na1.235e-05Cl1.5"),
    ],
)
def test_amounts(amounts, text):
    one = Compositions(np.array([0, 2]), np.array([11, 17], np.uint8), np.array(amounts))
    assert write_formulas(one).tolist() == [text]


def test_water_at_the_end_is_not_read_as_a_hydrate():
    text = write_formulas(compositions("Fe1.5H2O1"))[0]
    found = parse_formulas([text])
    assert found[1].tolist() == [""]
    assert found[0].amounts.tolist() == [1.5, 2.0, 1.0]


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(SYMBOLS[1:]), st.one_of(st.floats(1e-5, 400), st.sampled_from([1, 2.0]))
        ),
        min_size=1,
        max_size=6,
        unique_by=lambda part: part[0],
    )
)
def test_what_is_written_is_read_as_the_same_composition(parts):
    z = np.array([SYMBOLS.index(symbol) for symbol, _ in parts], dtype=np.uint8)
    amounts = np.array([amount for _, amount in parts], dtype=float)
    written = write_formulas(Compositions(np.array([0, len(z)]), z, amounts))
    back, reasons, _ = parse_formulas(list(written))
    assert reasons.tolist() == [""]
    found = dict(zip(back.z.tolist(), back.amounts.tolist(), strict=True))
    assert found.keys() == set(z.tolist())
    for number, amount in zip(z.tolist(), amounts.tolist(), strict=True):
        assert found[number] == pytest.approx(amount, abs=5.1e-5)


def test_rows_that_do_not_belong_together_are_refused():
    with pytest.raises(DataError, match="do not belong together"):
        frame(["NaCl"], ["Na2SO4"])
    with pytest.raises(DataError, match=r"target has the shape \(3,\); expected \(1,\)"):
        frame(["NaCl"], ["KCl"], target=[1, 2, 3])
