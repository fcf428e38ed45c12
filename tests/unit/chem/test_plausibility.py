"""Analogues and plausibility by hand."""

import numpy as np
import pytest

from xtalshift.chem.analogues import Analogues
from xtalshift.chem.charge_balance import ChargeRule
from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.plausibility import Plausibility, state_shares

KNOWN = ["KSbS2", "K2Sb2S4", "NaAsSe2", "CsSbS2", "H2O", "Li2S", "Na0.5CoO2", "Fe2O3", "CsCl"]


def known():
    return parse_formulas(KNOWN)[0]


def judge(text, **options):
    compositions = parse_formulas([text])[0]
    z, amounts = tuple(compositions.z.tolist()), compositions.amounts.astype(np.int64)[:, None]
    ions = ChargeRule(**options).ions(z, amounts)
    (value,), (why,) = Plausibility(known())(z, amounts, ions)
    return value, why


def test_analogues_are_of_the_same_type_and_groups():
    analogues = Analogues(known())
    assert len(analogues) == 7  # K2Sb2S4 is KSbS2; fractions are left out
    number, itself, kind = analogues.count((55, 51, 16), np.array([[1, 1], [1, 1], [2, 3]]))
    assert number.tolist() == [2, 0]
    assert itself.tolist() == [True, False]
    assert kind[0] >= 0 > kind[1]
    assert analogues.nearest((55, 51, 16), np.array([1, 1, 2]), kind[0]) == "KSbS2"
    # the order of elements does not matter; hydrogen is no alkali metal
    number, itself, kind = analogues.count((34, 37, 33), np.array([[2], [1], [1]]))
    assert (number.tolist(), itself.tolist()) == ([3], [False])
    assert analogues.nearest((34, 37, 33), np.array([2, 1, 1]), kind[0]) == "NaAsSe2"
    assert analogues.count((1, 16), np.array([[2], [1]]))[0].tolist() == [1]


def test_no_known_compounds():
    number, itself, kind = Analogues(known().take([])).count((11, 17), np.array([[1], [1]]))
    assert (number.tolist(), itself.tolist(), kind.tolist()) == ([0], [False], [-1])


def test_shares_of_states():
    # entries of the ICSD + 1 for each state that an ion may have
    fe = 7276 + 11917 + 230 + 3
    np.testing.assert_allclose(
        state_shares((26, 8), np.array([[2.0, 3.0], [-2.0, -2.0]])),
        [[7277 / fe, 11918 / fe], [116911 / (116911 + 518)] * 2],
    )
    # sulphur as the most electronegative element is among anions, beside oxygen among all ions
    minus, plus = 13418 + 611, 141 + 703 + 4909
    np.testing.assert_allclose(state_shares((50, 16), np.array([[2.0], [-2.0]]))[1], 13418 / minus)
    np.testing.assert_allclose(
        state_shares((16, 8), np.array([[6.0], [-2.0]]))[0], 4909 / (minus + plus)
    )
    # a mean has the geometric mean of the two shares; zero is among all entries
    mixed = state_shares((26, 8), np.array([[8 / 3], [-2.0]]))[0, 0]
    assert mixed == pytest.approx((7277 / fe) ** (1 / 3) * (11918 / fe) ** (2 / 3))
    zero = state_shares((26, 13), np.zeros((2, 1)))[0, 0]
    assert zero == pytest.approx((8030 + 1) / (fe - 3 + 8030 + 63 + 15 + 7 + 3 + 4))
    assert state_shares((79,), np.zeros((1, 2))).tolist() == [[1, 1]]


def test_the_formula_of_the_plausibility():
    li = (10513 + 1) / (10513 + 1)
    s = 13418 / (13418 + 611)
    value, why = judge("Na2S")
    assert value == pytest.approx((li * s) ** 0.5 * 1.1 / 11)
    assert why == "Na+1 (1) S-2 (0.96); 1 analogue: Li2S"
    value, why = judge("Li2S")
    assert value == pytest.approx(s**0.5)
    assert why == "Li+1 (1) S-2 (0.96); known"
    value, why = judge("CaO")
    assert value == pytest.approx(0.01, rel=0.01)
    assert why == "Ca+2 (1) O-2 (1); no analogue"
    assert judge("CsSbS2")[1].endswith("; known; 2 analogues: KSbS2")


def test_the_most_frequent_way_counts():
    text = "FeMnO3"  # Fe(2) Mn(4) or Fe(3) Mn(3) or Fe(4) Mn(2)
    compositions = parse_formulas([text])[0]
    ions = ChargeRule().ions((26, 25, 8), compositions.amounts.astype(np.int64)[:, None])
    assert len(ions.places) == 3
    value, why = judge(text)
    assert why.startswith("Fe+3 (0.61) Mn+3 (0.26) O-2 (1)")
    shares = state_shares((26, 25, 8), ions.states)
    best = np.exp(np.log(shares).mean(axis=0)).max()
    assert value == pytest.approx(best * 0.01)


def test_without_ions_only_analogues_count():
    values, why = Plausibility(known())((37, 17), np.array([[1, 2], [1, 1]]), None)
    assert values.tolist() == pytest.approx([1.1 / 11, 0.01])
    assert why == ["charges not judged; 1 analogue: CsCl", "charges not judged; no analogue"]


def test_plausible_orders_sensibly():
    order = ["CsSbS2", "KSbS2", "RbSbS2", "Cs3SbS4", "Cs5SbS"]
    values = [judge(text)[0] for text in order]
    assert values == sorted(values, reverse=True)


def test_compositions_of_any_elements_are_judged_as_enumerated_ones_are():
    texts = ["NaSbS2", "CsCl", "Na2Sb2S4", "FeO1.5", "MgB2", "Fe3O4", "Na2O2", "KO2", "", "Fe4P"]
    compositions = parse_formulas(texts)[0]
    values, reasons = Plausibility(known()).judge(compositions)
    wide = {"mixed_valence": True, "intermetallics": True, "polyanions": True}
    # elements are named in order of electronegativity, whatever the order of the text
    for place, text in enumerate(["NaSbS2", "CsCl", "NaSbS2", "Fe2O3", "MgB2", "Fe3O4", "NaO"]):
        assert (values[place], reasons[place]) == judge(text, **wide)
    assert values[:3].tolist() == pytest.approx([values[0], values[1], values[0]])
    assert values[0] > values[4] > 0
    assert values[7:].tolist() == [0, 0, 0]
    assert reasons[7:] == ["no ions balance it", "no formula", "no ions balance it"]
    backwards, same = Plausibility(known()).judge(parse_formulas(["S2SbNa"])[0])
    assert (backwards[0], same[0]) == (values[0], reasons[0])


def test_too_many_elements_are_no_error():
    many = parse_formulas(["VCrMnFeCoNiMoWReOsN"])[0]
    values, reasons = Plausibility(known()).judge(many)
    assert values.tolist() == [0]
    assert reasons == ["too many elements to balance their ions"]


def test_nothing_to_judge():
    values, reasons = Plausibility(known()).judge(known().take([]))
    assert (values.tolist(), reasons) == ([], [])


def test_no_plausibility_exceeds_its_limit():
    rng = np.random.default_rng(0)
    symbols = ["Na", "K", "Cs", "Sb", "As", "S", "Se", "O", "Fe", "Mn", "Cl", "N", "B", "Mg"]
    texts = ["KSbS2", "CsCl", "", "Fe", *KNOWN]
    for _ in range(400):
        chosen = rng.choice(symbols, rng.integers(1, 5), replace=False)
        texts.append("".join(f"{symbol}{rng.integers(1, 5)}" for symbol in chosen))
    compositions = parse_formulas(texts)[0]
    judge = Plausibility(known())
    values, limits = judge.judge(compositions)[0], judge.limit(compositions)
    assert (values <= limits).all()
    assert np.sum((values > 0.9 * limits) & (values > 0)) > 20
    assert limits[2] == 0
    number, itself = judge.analogues.count_each(compositions.take(compositions.sizes > 0))
    for place in (0, 1, 20, 100):
        row = compositions.take(compositions.sizes > 0).take([place])
        one = judge.analogues.count(tuple(row.z.tolist()), row.counts()[:, None])
        assert (number[place], itself[place]) == (one[0][0], one[1][0])
    assert len(judge.limit(compositions.take([]))) == 0
