"""The differentiable features equal those of the featuriser, and their gradients are right."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xtalshift.cal.torch_features import TorchFeatures
from xtalshift.chem import Compositions, parse_formulas
from xtalshift.chem.elements import SYMBOLS, load_elements
from xtalshift.data import load_dataset
from xtalshift.errors import ConfigError, FormulaError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.scale import FeatureScaler
from xtalshift.nn.padded_compositions import Slots, pad_compositions

CORNERS = [
    "He", "Og", "HeXeO2", "OgTs2", "RfO2", "KrF2", "RnHe", "D2O", "NaCl0.5Br0.5", "Fe0.333O0.667",
    "Fe1O1.000005", "Fe1O1.00002", "H0.00000002O1e-7", "H1.5e-8O2e-8", "H1e-8", "O", "Am2O3",
    "U3O8", "LiNaKRbCsFrHBeMgCa", "Bi2Sr2CaCu2O8.16", "Fe0.0001Ni0.9999", "Cf0.5Es0.5O1.5",
]  # fmt: skip
SETTINGS = list(itertools.product(["magpie", "fractions", "magpie+fractions"], [True, False]))


@pytest.fixture(scope="module")
def formulas():
    return list(load_dataset("ricci_seebeck").formulas[::95])


def pad(texts, dtype=torch.float64):
    return pad_compositions(parse_formulas(texts)[0], dtype=dtype, device="cpu")


def check_equal(texts, featurizer, scaler=None, dtype=torch.float64, tolerance=1e-12):
    expected = featurizer.transform(texts)
    if scaler is not None:
        expected = scaler.transform(expected)
    values = TorchFeatures(featurizer, scaler)(pad(texts, dtype))
    assert values.dtype == dtype
    np.testing.assert_allclose(
        values.numpy(), expected, rtol=tolerance, atol=tolerance, equal_nan=True
    )


@pytest.mark.parametrize(("blocks", "impute_nan"), SETTINGS)
def test_real_and_odd_formulas_equal_the_featuriser(formulas, blocks, impute_nan):
    featurizer = CompositionFeaturizer(blocks, impute_nan=impute_nan)
    assert len(formulas) > 500
    for texts in (formulas, CORNERS):
        check_equal(texts, featurizer)
        # a scaler of other rows: constant columns are dropped, far values clipped, gaps filled
        scaler = FeatureScaler(clip=2.0).fit(featurizer.transform(formulas[:40]))
        check_equal(texts, featurizer, scaler)
        check_equal(texts, featurizer, scaler, torch.float32, 2e-5)


_AMOUNTS = st.sampled_from(["1", "2", "3", "7", "0.5", "0.333", "2.0001", "0.001", "100"])
_FORMULAS = st.lists(st.tuples(st.sampled_from(SYMBOLS[1:]), _AMOUNTS), min_size=1, max_size=7).map(
    lambda parts: "".join(symbol + amount for symbol, amount in parts)
)


@settings(max_examples=50, deadline=None)
@given(st.lists(_FORMULAS, min_size=1, max_size=5), st.sampled_from(SETTINGS))
def test_made_formulas_equal_the_featuriser(texts, setting):
    check_equal(texts, CompositionFeaturizer(setting[0], impute_nan=setting[1]))


@pytest.mark.parametrize(("blocks", "impute_nan"), SETTINGS)
def test_gradients_equal_finite_differences(formulas, blocks, impute_nan):
    featurizer = CompositionFeaturizer(blocks, impute_nan=impute_nan)
    scaler = FeatureScaler(clip=3.0).fit(featurizer.transform(formulas))
    features = TorchFeatures(featurizer, scaler)
    texts = ["Fe2.1O3.3", "Li1.1Fe0.9P1.2O4", "Cu", "HeXe1.3O2.2", "Rf1.1O2.3Ts0.7", "K1.3Cr2O7.1"]
    slots = pad(texts)
    fixed = features.fix(slots, features.possible(slots))
    direction = torch.randn(
        slots.amounts.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    direction *= slots.elements > 0
    _, slope = torch.autograd.functional.jvp(fixed, slots.amounts, direction)
    step = 1e-6
    ahead, behind = fixed(slots.amounts + step * direction), fixed(slots.amounts - step * direction)
    np.testing.assert_allclose(slope.numpy(), ((ahead - behind) / (2 * step)).numpy(), atol=2e-7)
    assert slope[:2].abs().max() > 0.01
    # reverse mode gives the same number
    leaf = slots.amounts.clone().requires_grad_()
    weights = torch.linspace(-1, 1, features.n_features, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((fixed(leaf) @ weights).sum(), leaf)
    np.testing.assert_allclose((gradient * direction).sum(1), slope @ weights, atol=1e-10)


@pytest.mark.parametrize("impute_nan", [True, False])
@pytest.mark.parametrize("scaled", [True, False])
def test_gradients_are_finite_everywhere(formulas, impute_nan, scaled):
    featurizer = CompositionFeaturizer("magpie+fractions", impute_nan=impute_nan)
    scaler = FeatureScaler().fit(featurizer.transform(formulas)) if scaled else None
    slots = pad([*CORNERS, "NaCl", "NaK", "PrNd", "Fe"])  # ties, empty slots, unknown properties
    leaf = slots.amounts.clone().requires_grad_()
    values = TorchFeatures(featurizer, scaler)(Slots(slots.elements, leaf, slots.charges))
    (gradient,) = torch.autograd.grad(values.nansum(), leaf)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


def test_the_features_do_not_depend_on_the_width_or_the_other_rows(formulas):
    features = TorchFeatures(CompositionFeaturizer())
    alone = torch.cat([features(pad([text])) for text in formulas[:20]])
    np.testing.assert_allclose(alone, features(pad(formulas[:20])), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("impute_nan", [True, False])
def test_some_rows_of_fixed_elements_are_those_rows(impute_nan):
    features = TorchFeatures(CompositionFeaturizer(impute_nan=impute_nan))
    slots, rows = pad(CORNERS), torch.tensor([5, 0, 2, 9, 5])
    fixed = features.fix(slots, features.possible(slots))
    found, expected = fixed.take(rows)(slots.amounts[rows]), fixed(slots.amounts)[rows]
    np.testing.assert_array_equal(found, expected)
    assert expected.isnan().any() == (not impute_nan)


def test_compound_possible_is_computed_held_and_read(formulas):
    featurizer = CompositionFeaturizer()
    scaler = FeatureScaler(clip=1.0).fit(featurizer.transform(formulas))
    column = featurizer.get_feature_names_out().tolist().index("compound possible")
    slots = pad(["NaCl", "FeAl", "Na0.1Ca0.2Cl0.5"], torch.float32)
    plain, scaled = TorchFeatures(featurizer), TorchFeatures(featurizer, scaler)
    assert plain.possible(slots).tolist() == [1.0, 0.0, 1.0]
    assert plain(slots)[:, column].tolist() == [1.0, 0.0, 1.0]
    held = torch.tensor([0.0, 1.0, 0.0])
    for features in (plain, scaled):
        assert features.read_possible(features(slots)).tolist() == [1.0, 0.0, 1.0]
        assert features.read_possible(features(slots, held)).tolist() == held.tolist()
    fractions = TorchFeatures(CompositionFeaturizer("fractions"))
    assert fractions.possible(slots).tolist() == [0.0, 0.0, 0.0]
    assert fractions.read_possible(fractions(slots)).tolist() == [0.0, 0.0, 0.0]


def test_errors_are_those_of_the_featuriser():
    with pytest.raises(ConfigError, match="unknown block 'magpi'"):
        TorchFeatures(CompositionFeaturizer("magpi"))
    known = [z for z, states in enumerate(load_elements().oxidation_states) if states and z != 8]
    amounts = np.random.default_rng(0).random(len(known))
    starts = np.array([0, 1, len(known) + 2])
    z = np.array([29, *known, 8], dtype=np.uint8)
    costly = Compositions(starts, z, np.array([1.0, *amounts, 1.5 * amounts.sum()]))
    slots = pad_compositions(costly, dtype=torch.float64, device="cpu")
    with pytest.raises(FormulaError, match="row 2: charge neutrality is too costly"):
        TorchFeatures(CompositionFeaturizer())(slots)
