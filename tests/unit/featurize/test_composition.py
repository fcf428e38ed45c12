"""Composition features: equal to matminer, on real and on made formulas, and well-behaved."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.pipeline import make_pipeline

from reference.matminer_features import matminer_features, matminer_names
from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.elements import SYMBOLS, load_elements
from xtalshift.data import load_dataset
from xtalshift.errors import ConfigError, DataError, FormulaError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.magpie import MAGPIE_FEATURES, UNKNOWN_CHARGE

TOLERANCE = {"rtol": 1e-9, "atol": 1e-10}

# what real tables rarely hold: noble gases, isotopes, no tabulated properties, dilute amounts,
# nearly equal amounts (mode), many elements, repeated elements
CORNERS = [
    "He", "Og", "HeXeO2", "OgTs2", "RfO2", "KrF2", "RnHe", "D2O", "HDO", "TH", "NaCl0.5Br0.5",
    "Fe0.333O0.667", "Fe1O1.000005", "Fe1O1.00002", "Fe100000O99999.5", "H0.00000002O1e-7",
    "H1.5e-8O2e-8", "Na1000Cl1000.0000005",
    "Fe1e-9O", "CH3COOH", "Co10Cr10Fe10Mn10Ni10", "LiNaKRbCsFrHBeMgCa", "O", "Am2O3", "U3O8",
    "Bi2Sr2CaCu2O8.16", "K4[Fe(CN)6]", "Fe0.0001Ni0.9999", "Cf0.5Es0.5O1.5", "CuSO4(H2O)5",
]  # fmt: skip


def ricci_formulas():
    return list(dict.fromkeys(load_dataset("ricci_seebeck").formulas))


def check_equals_matminer(formulas, *, impute_nan):
    pytest.importorskip("matminer")
    ours = CompositionFeaturizer(impute_nan=impute_nan).transform(formulas)
    theirs = matminer_features(formulas, impute_nan=impute_nan)
    np.testing.assert_allclose(ours, theirs, equal_nan=True, **TOLERANCE)


def test_missing_properties_are_counted_once_for_each_row():
    featurizer = CompositionFeaturizer()
    parsed, _, _ = parse_formulas(["NaCl", "He", "HeXe", "OgF2", "", "HeRf", "XeF2"])
    # He lacks 2 properties, and Rf lacks these and 3 others
    assert featurizer.count_imputed(parsed).tolist() == [0, 2, 2, 22, 0, 5, 0]
    assert not CompositionFeaturizer("fractions").count_imputed(parsed).any()
    assert not CompositionFeaturizer(impute_nan=False).count_imputed(parsed).any()


def test_names_are_those_of_matminer_in_order():
    pytest.importorskip("matminer")
    assert CompositionFeaturizer().get_feature_names_out().tolist() == matminer_names()
    assert len(MAGPIE_FEATURES) == 145


@pytest.mark.parametrize("impute_nan", [True, False])
def test_real_formulas_equal_matminer(impute_nan):
    check_equals_matminer(ricci_formulas()[impute_nan::45], impute_nan=impute_nan)


@pytest.mark.parametrize("impute_nan", [True, False])
def test_corner_cases_equal_matminer(impute_nan):
    check_equals_matminer(CORNERS, impute_nan=impute_nan)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "step"),
    [("mp_e_form", 45), ("expt_gap", 4), ("aflow__Egap", 30), ("piezoelectric", 1)],
)
def test_formulas_of_tables_equal_matminer(shared_data, name, step):
    formulas = pd.read_parquet(shared_data / "composition" / f"{name}.parquet")["formula"]
    formulas = formulas.drop_duplicates().tolist()[::step]
    half = len(formulas) // 2
    check_equals_matminer(formulas[:half], impute_nan=True)
    check_equals_matminer(formulas[half:], impute_nan=False)


_AMOUNTS = st.one_of(
    st.integers(1, 24).map(str),
    st.sampled_from(["0.5", "0.333", "0.25", "1.9", "2.0001", "0.001", "1e-3", "100"]),
)
_FORMULAS = st.lists(
    st.tuples(st.sampled_from([*SYMBOLS[1:], "D", "T"]), _AMOUNTS), min_size=1, max_size=7
).map(lambda parts: "".join(symbol + amount for symbol, amount in parts))
_CLEAR = _FORMULAS.filter(lambda text: not parse_formulas([text])[1][0])  # C18 may be Cl8


@settings(max_examples=60, deadline=None)
@given(st.lists(_CLEAR, min_size=1, max_size=5), st.booleans())
def test_made_formulas_equal_matminer(formulas, impute_nan):
    check_equals_matminer(formulas, impute_nan=impute_nan)


def test_known_values():
    values = CompositionFeaturizer().transform(["Fe2O3"])[0]
    features = dict(zip(MAGPIE_FEATURES, values, strict=True))
    assert features["0-norm"] == 2
    assert features["2-norm"] == pytest.approx(np.sqrt(0.4**2 + 0.6**2))
    assert features["MagpieData mean Number"] == pytest.approx(0.4 * 26 + 0.6 * 8)
    assert features["MagpieData range Number"] == 18
    assert features["MagpieData mode Number"] == 8
    assert features["MagpieData avg_dev Number"] == pytest.approx(2 * 0.4 * 0.6 * 18)
    assert features["avg p valence electrons"] == pytest.approx(0.6 * 4)
    assert features["compound possible"] == 1
    assert features["max ionic char"] == pytest.approx(1 - np.exp(-0.25 * (3.44 - 1.83) ** 2))


def test_element_fractions_and_both_blocks():
    formulas = ["Fe2O3", "H2O"]
    fractions = CompositionFeaturizer("fractions").fit(formulas)
    values = fractions.transform(formulas)
    names = fractions.get_feature_names_out().tolist()
    assert names[0] == "fraction H"
    assert names[-1] == "fraction Og"
    assert values[0, names.index("fraction Fe")] == 0.4
    assert values[:, names.index("fraction O")] == pytest.approx([0.6, 1 / 3])
    np.testing.assert_array_equal(values.sum(axis=1), 1.0)
    both = CompositionFeaturizer("magpie+fractions")
    np.testing.assert_array_equal(
        both.transform(formulas), np.hstack([CompositionFeaturizer().transform(formulas), values])
    )
    assert both.get_feature_names_out().tolist() == [*MAGPIE_FEATURES, *names]


def test_bad_rows_are_nan_with_a_reason_and_change_no_other():
    formulas = ["Fe2O3", "Fe3+", "NaCl", None, "CuSO4·5H2O"]
    for blocks in ("magpie", "fractions", "magpie+fractions"):
        featurizer = CompositionFeaturizer(blocks)
        features = featurizer.featurize(formulas)
        values, reasons = features.values, features.reasons
        assert features.names == tuple(featurizer.get_feature_names_out())
        assert np.isnan(values[[1, 3, 4]]).all()
        np.testing.assert_array_equal(values[[0, 2]], featurizer.transform(["Fe2O3", "NaCl"]))
        assert [bool(reason) for reason in reasons] == [False, True, False, True, True]
    assert "'+' marks a charge" in reasons[1]
    with pytest.raises(FormulaError, match=r"row 2: formula 'Fe3\+'.*\(3 bad rows in total\)"):
        CompositionFeaturizer().transform(formulas)
    expanded = CompositionFeaturizer(hydrates="expand").transform(["CuSO4·5H2O"])
    np.testing.assert_allclose(
        expanded, CompositionFeaturizer().transform(["CuSO9H10"]), rtol=1e-14
    )


def test_a_charge_question_that_is_too_large_is_a_reason():
    states = load_elements().oxidation_states
    symbols = [SYMBOLS[z] for z in range(1, 119) if len(states[z]) > 1]
    amounts = np.random.default_rng(0).random(len(symbols))
    formula = "".join(f"{s}{a:.9f}" for s, a in zip(symbols, amounts, strict=True))
    features = CompositionFeaturizer().featurize(["NaCl", f"{formula}O20"])
    assert features.reasons.tolist() == ["", UNKNOWN_CHARGE]
    assert np.isnan(features.values[1]).all()
    assert np.isfinite(features.values[0]).all()


def test_input_kinds_give_the_same_values_and_are_not_changed():
    formulas = ["Fe2O3", "NaCl", "Ca(OH)2"]
    featurizer = CompositionFeaturizer()
    expected = featurizer.transform(formulas)
    series = pd.Series(formulas, index=[7, 5, 3])
    for kind in (
        tuple(formulas), np.array(formulas), series, series.to_frame(), parse_formulas(formulas)[0],
        np.array(formulas, dtype=object)[:, None],
    ):  # fmt: skip
        np.testing.assert_array_equal(featurizer.transform(kind), expected)
    assert series.tolist() == formulas
    assert featurizer.transform([]).shape == (0, 145)


def test_invalid_rows_of_compositions_are_bad_rows():
    compositions, _, _ = parse_formulas(["Fe2O3", "Fe3+"])
    features = CompositionFeaturizer().featurize(compositions)
    assert features.reasons.tolist() == ["", "no elements"]
    assert np.isnan(features.values[1]).all()


def test_chunks_and_order_change_nothing():
    formulas = ricci_formulas()[:9000]
    expected = CompositionFeaturizer().transform(formulas)
    backwards = CompositionFeaturizer().transform(formulas[::-1])[::-1]
    np.testing.assert_array_equal(backwards, expected)
    single = CompositionFeaturizer().transform(formulas[4321:4322])
    np.testing.assert_array_equal(single[0], expected[4321])


def test_memory_beside_the_result_does_not_grow_with_the_rows():
    formulas = ricci_formulas()
    beside = []
    for n_rows in (10_000, 30_000):
        tracemalloc.start()
        values = CompositionFeaturizer().transform(formulas[:n_rows])
        beside.append(tracemalloc.get_traced_memory()[1] - values.nbytes)
        tracemalloc.stop()
    assert beside[1] < 1.2 * beside[0] < 40e6


def test_is_a_scikit_learn_transformer():
    featurizer = clone(CompositionFeaturizer("magpie+fractions", False, "expand"))
    assert featurizer.get_params() == {
        "blocks": "magpie+fractions", "impute_nan": False, "hydrates": "expand",
        "amounts": None, "encoder": None,
    }  # fmt: skip
    pipeline = make_pipeline(CompositionFeaturizer(), DummyRegressor())
    assert pipeline.fit(["Fe2O3", "NaCl"], [1.0, 3.0]).predict(["C"]).tolist() == [2.0]
    table = CompositionFeaturizer("fractions").set_output(transform="pandas").transform(["NaCl"])
    assert table["fraction Cl"].tolist() == [0.5]


def test_wrong_settings_and_inputs_are_explained():
    with pytest.raises(ConfigError, match=r"unknown block 'magpy' \(did you mean 'magpie'"):
        CompositionFeaturizer("magpy").transform(["Fe"])
    with pytest.raises(ConfigError, match="hydrates='add': use 'refuse' or 'expand'"):
        CompositionFeaturizer(hydrates="add").transform(["Fe"])
    with pytest.raises(DataError, match="single text 'Fe2O3'"):
        CompositionFeaturizer().transform("Fe2O3")
    with pytest.raises(DataError, match=r"shape \(1, 2\)"):
        CompositionFeaturizer().transform(np.array([["Fe", "O"]]))
