"""The attack on compositions: known answers, brute force, and what must never break."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from xtalshift.cal.composition_attack import MIN_FRACTION, CompositionAttack, _Space
from xtalshift.cal.substitution import list_trials
from xtalshift.cal.torch_features import TorchFeatures
from xtalshift.chem import parse_formulas
from xtalshift.chem.element_similarity import similar_elements
from xtalshift.chem.elements import ATOMIC_NUMBERS, SYMBOLS, load_elements
from xtalshift.errors import ConfigError, DataError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.scale import FeatureScaler
from xtalshift.nn.irnet import IRNet
from xtalshift.nn.padded_compositions import pad_compositions
from xtalshift.nn.rows import Rows, row_losses

FORMULAS = [
    "LiFePO4", "Na3PS4", "Cu", "NaCl", "FeAl", "TlCoMo2", "Ba4In6O13", "Fe3O4", "SmHoIr2", "KClO3",
    "Fe0.0001Ni0.9999", "Ca10P6O26H2", "NH4NO3", "Bi2Sr2CaCu2O8.16", "CsVP2S7", "Ni3Al", "He",
    "LiCoO2", "Rb4Br3F", "La1.85Sr0.15CuO4",
]  # fmt: skip


class Linear(nn.Module):
    """Predicts one feature."""

    def __init__(self, column):
        super().__init__()
        self.column = column

    def forward(self, x, generator=None):
        return x[:, self.column]


def everywhere(displacement):
    return torch.ones(len(displacement), dtype=torch.bool)


def ball(radius):
    return lambda displacement: displacement.square().mean(dim=1).sqrt() <= radius


def problem(texts=FORMULAS, blocks="magpie+fractions", scaled=True):
    featurizer = CompositionFeaturizer(blocks)
    scaler = FeatureScaler().fit(featurizer.transform(FORMULAS)) if scaled else None
    values = featurizer.transform(texts)
    x = torch.from_numpy(values if scaler is None else scaler.transform(values))
    slots = pad_compositions(parse_formulas(texts)[0], dtype=torch.float64, device="cpu")
    features = TorchFeatures(featurizer, scaler)
    model = IRNet(features.n_features, (16, 8), 0.2, torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        y = model(x) + torch.linspace(-1, 1, len(x), dtype=torch.float64)
    return model, Rows(x, y, compositions=slots), features


def attack(features, **changes):
    given_settings = {"steps": 5, "step_size": 0.01, "fraction_budget": 0.05, **changes}
    return CompositionAttack(features, **given_settings)


def objective(model, rows, weights, gamma, x):
    with torch.no_grad():
        cost = ((x - rows.x) ** 2) @ weights
        return row_losses(model(x), rows.y) - gamma * cost


def ones(features):
    return torch.ones(features.n_features, dtype=torch.float64)


@pytest.mark.parametrize("charge_neutral", [True, False])
@pytest.mark.parametrize("substitutions", [0, 1, 2])
def test_what_holds_for_every_row(charge_neutral, substitutions):
    model, rows, features = problem()
    before = [t.clone() for t in (rows.x, rows.compositions.elements, rows.compositions.amounts)]
    run = attack(features, charge_neutral=charge_neutral, substitutions=substitutions)
    x, slots = run(model, rows, ones(features), 1e-3, ball(0.4))
    start = rows.compositions
    filled = start.elements > 0
    moved = (x != rows.x).any(dim=1)
    assert moved.sum() >= len(rows) // 2

    # the features are exactly those of the compositions; rows that stay are untouched
    assert not x.requires_grad
    torch.testing.assert_close(features(slots, features.read_possible(x)), x, rtol=0, atol=1e-12)
    assert torch.equal(features(slots, features.read_possible(x))[moved], x[moved])
    assert torch.equal(slots.amounts[~moved], start.amounts[~moved])
    assert torch.equal(slots.elements[~moved], start.elements[~moved])

    # simplex, support, budgets
    assert torch.equal(slots.elements > 0, filled)
    np.testing.assert_allclose(slots.amounts.sum(1), start.amounts.sum(1), rtol=1e-12)
    change = (slots.fractions - start.fractions).abs()
    assert change.max() <= 0.05 + 1e-12
    floor = start.fractions.clamp(max=MIN_FRACTION)
    assert (slots.fractions >= floor - 1e-12).all()
    assert ball(0.4 + 1e-12)(x - rows.x).all()
    assert ((slots.elements != start.elements).sum(1) <= substitutions).all()
    for row in slots.elements:
        present = row[row > 0].tolist()
        assert len(set(present)) == len(present)

    # the charge
    known = slots.known_charges
    charge = (slots.charges * slots.fractions).sum(dim=1)
    np.testing.assert_allclose(charge[known], 0.0, atol=1e-12)
    if charge_neutral:
        assert (known | ~start.known_charges).all()
        states = load_elements().oxidation_states
        for row in start.known_charges.nonzero().flatten().tolist():
            assert torch.equal(slots.charges[row], start.charges[row])
            pairs = zip(slots.elements[row].tolist(), slots.charges[row].tolist(), strict=True)
            assert all(q in states[z] for z, q in pairs if z and filled[row].sum() > 1)

    # it is an ascent
    gain = objective(model, rows, ones(features), 1e-3, x)
    gain -= objective(model, rows, ones(features), 1e-3, rows.x)
    assert (gain[moved] > 0).all()
    after = (rows.x, rows.compositions.elements, rows.compositions.amounts)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_two_elements_move_as_far_as_they_may():
    # the loss grows with the fraction of Al; nothing but the budget stops it
    _, rows, features = problem(["Ni3Al", "Al"], blocks="fractions", scaled=False)
    rows = Rows(
        rows.x, torch.tensor([0.0, 0.0], dtype=rows.x.dtype), compositions=rows.compositions
    )
    run = attack(features, steps=8, charge_neutral=False)
    x, slots = run(Linear(ATOMIC_NUMBERS["Al"] - 1), rows, ones(features), 0.0, everywhere)
    np.testing.assert_allclose(slots.amounts, [[2.8, 1.2], [1.0, 0.0]], rtol=1e-12)
    np.testing.assert_allclose(x[0, [12, 27]], [0.30, 0.70], rtol=1e-12)


def test_the_first_step_is_the_steepest_of_its_length():
    _, rows, features = problem(["FeCoNi"], blocks="fractions", scaled=False)
    rows = Rows(rows.x, torch.zeros(1, dtype=rows.x.dtype), compositions=rows.compositions)
    run = attack(features, steps=1, charge_neutral=False)
    _, slots = run(Linear(ATOMIC_NUMBERS["Co"] - 1), rows, ones(features), 0.0, everywhere)
    change = slots.fractions - rows.compositions.fractions
    expected = 0.01 * np.array([[-1.0, 2.0, -1.0]]) / np.sqrt(6.0)
    np.testing.assert_allclose(change, expected, rtol=1e-9)


def test_a_neutral_step_is_the_steepest_with_constant_charge():
    _, rows, features = problem(["LiFePO4"], blocks="fractions", scaled=False)
    rows = Rows(rows.x, torch.zeros(1, dtype=rows.x.dtype), compositions=rows.compositions)
    run = attack(features, steps=1)
    _, slots = run(Linear(ATOMIC_NUMBERS["O"] - 1), rows, ones(features), 0.0, everywhere)
    change = (slots.fractions - rows.compositions.fractions)[0].numpy()
    constraints = np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 5.0, -2.0]])  # Li Fe P O
    slope = np.array([0.0, 0.0, 0.0, 1.0])
    slope -= np.linalg.pinv(constraints) @ (constraints @ slope)
    np.testing.assert_allclose(change, 0.01 * slope / np.linalg.norm(slope), rtol=1e-9)


def test_it_slides_along_a_bound():
    # Co may only grow by 0.002; the rest of the way Fe and Ni go on
    _, rows, features = problem(["Fe2Co1Ni1"], blocks="fractions", scaled=False)
    rows = Rows(rows.x, torch.zeros(1, dtype=rows.x.dtype), compositions=rows.compositions)

    class Both(nn.Module):
        def forward(self, x, generator=None):
            return 10 * x[:, 26] + x[:, 27]  # Co, Ni

    run = attack(features, steps=30, step_size=0.02, charge_neutral=False)
    _, slots = run(Both(), rows, ones(features), 0.0, everywhere)
    np.testing.assert_allclose(slots.fractions, [[0.45, 0.30, 0.25]], atol=1e-9)


def test_rows_without_room_stay_bit_for_bit():
    model, rows, features = problem(["NaCl", "Cu", "Fe2O3", "He"])
    x, slots = attack(features, steps=3)(model, rows, ones(features), 0.0, everywhere)
    assert torch.equal(x, rows.x)  # two elements of fixed charge leave no direction
    assert torch.equal(slots.amounts, rows.compositions.amounts)


def test_a_dear_transport_keeps_every_row():
    model, rows, features = problem()
    run = attack(features, substitutions=1)
    x, slots = run(model, rows, ones(features), 1e6, everywhere)
    # next to the start the loss grows linearly and the cost quadratically
    assert (x - rows.x).abs().max() < 1e-3
    assert torch.equal(slots.elements, rows.compositions.elements)


@pytest.mark.parametrize(
    "off",
    [{"steps": 0, "substitutions": 0}, {"fraction_budget": 0.0, "substitutions": 2}],
)
def test_switched_off_it_returns_the_rows_themselves(off):
    model, rows, features = problem()
    x, slots = attack(features, **off)(model, rows, ones(features), 1.0, everywhere)
    assert torch.equal(x, rows.x)
    assert torch.equal(slots.amounts, rows.compositions.amounts)
    assert torch.equal(slots.elements, rows.compositions.elements)


def test_no_budget_for_the_features_keeps_every_row():
    model, rows, features = problem()
    never = lambda displacement: torch.zeros(len(displacement), dtype=torch.bool)  # noqa: E731
    x, slots = attack(features, substitutions=1)(model, rows, ones(features), 0.0, never)
    assert torch.equal(x, rows.x)
    assert torch.equal(slots.amounts, rows.compositions.amounts)


def test_a_row_is_pulled_back_to_its_budget_and_not_to_its_start():
    model, rows, features = problem(["Na3PS4", "La1.85Sr0.15CuO4"])
    far = attack(features, steps=1, step_size=0.05)
    x, _ = far(model, rows, ones(features), 0.0, everywhere)
    free = (x - rows.x).square().mean(dim=1).sqrt()
    x, _ = far(model, rows, ones(features), 0.0, ball(0.5 * float(free.min())))
    held = (x - rows.x).square().mean(dim=1).sqrt()
    assert (held > 0.4 * free.min()).all()
    assert (held <= 0.5 * free.min()).all()


def test_a_row_does_not_depend_on_its_neighbours():
    model, rows, features = problem()
    run = attack(features, substitutions=1)
    x, slots = run(model, rows, ones(features), 1e-3, ball(0.4))
    for row in range(len(rows)):
        alone, single = run(model, rows.take(torch.tensor([row])), ones(features), 1e-3, ball(0.4))
        np.testing.assert_allclose(alone[0], x[row], atol=1e-9)
        assert torch.equal(single.elements[0], slots.elements[row])


def substituted(text, count):
    """Return the formulas of all replacements of one element, by plain string work."""
    compositions = parse_formulas([text])[0]
    z, amounts = compositions.z.tolist(), compositions.amounts.tolist()
    for at, old in enumerate(z):
        for new in similar_elements(count)[old].tolist():
            if new and new not in z:
                symbols = [SYMBOLS[new if i == at else e] for i, e in enumerate(z)]
                yield "".join(f"{s}{a!r}" for s, a in zip(symbols, amounts, strict=True))


@pytest.mark.parametrize("text", ["LiFePO4", "Na3PS4", "FeAl", "TlCoMo2", "Cu", "La1.85Sr0.15CuO4"])
def test_the_substitution_is_the_best_of_all(text):
    model, rows, features = problem([text])
    gamma, within = 1e-3, ball(0.6)
    run = attack(features, steps=0, substitutions=1, neighbours=4, charge_neutral=False)
    x, slots = run(model, rows, ones(features), gamma, within)
    trials = list(substituted(text, 4))
    values = torch.from_numpy(
        features.scaler.transform(features.featurizer.transform([text, *trials]))
    )
    cost = ((values - rows.x) ** 2).sum(1)
    with torch.no_grad():
        goals = row_losses(model(values), rows.y.expand(len(values))) - gamma * cost
    goals[~within(values - rows.x)] = -torch.inf
    best = int(goals.argmax())
    expected = parse_formulas([text, *trials])[0].take([best])
    found = slots.to_compositions()
    np.testing.assert_array_equal(found.z, expected.z)
    np.testing.assert_array_equal(found.amounts, expected.amounts)
    np.testing.assert_allclose(x[0], values[best], atol=1e-10)  # with compound possible
    again = pad_compositions(found, dtype=torch.float64, device="cpu")
    np.testing.assert_array_equal(slots.charges, again.charges)


def test_an_element_is_replaced_once():
    _, rows, features = problem(["Na"], scaled=False)
    rows = Rows(rows.x, rows.y - 1000, compositions=rows.compositions)
    number = features.featurizer.get_feature_names_out().tolist().index("MagpieData mean Number")
    run = attack(features, steps=0, substitutions=5, neighbours=2)
    _, slots = run(Linear(number), rows, ones(features), 0.0, everywhere)
    assert slots.elements.tolist() == [[ATOMIC_NUMBERS["K"]]]  # and not Na -> K -> Rb -> Cs


def test_a_substitution_may_make_a_compound_possible():
    _, rows, features = problem(["NiO2", "FeAl"], scaled=False)  # nickel is never 4
    rows = Rows(rows.x, 0 * rows.y, compositions=rows.compositions)
    column = features.featurizer.get_feature_names_out().tolist().index("compound possible")
    run = attack(features, steps=0, substitutions=1)
    x, slots = run(Linear(column), rows, ones(features), 0.0, everywhere)
    assert rows.x[:, column].tolist() == [0.0, 0.0]
    assert x[:, column].tolist() == [1.0, 0.0]
    assert slots.elements.tolist() == [[ATOMIC_NUMBERS["Mn"], 8], [26, 13]]
    assert slots.charges[0].tolist() == [4.0, -2.0]
    assert slots.charges[1].isnan().all()


def test_no_trial_makes_an_element_twice():
    slots = pad_compositions(
        parse_formulas(["NaKRb", "ClBr", "NaCl"])[0], dtype=torch.float64, device="cpu"
    )
    replaced = torch.zeros_like(slots.elements, dtype=torch.bool)
    trials = list_trials(slots, replaced, 4, charge_neutral=False)
    assert (
        trials.rows_of(slots).elements[:, None, :] == trials.element[:, None, None]
    ).sum() == len(trials)
    found = {(int(r), SYMBOLS[e]) for r, e in zip(trials.row, trials.element, strict=True)}
    assert {symbol for row, symbol in found if row == 1} == {"F", "I"}
    assert {symbol for row, symbol in found if row == 0} == {"Li", "Cs"}


@pytest.mark.parametrize(
    ("text", "states"), [("NaCl", [1, -1]), ("Fe2O3", [3, -2]), ("TiO2", [4, -2])]
)
def test_a_neutral_trial_is_a_neighbour_with_the_same_state(text, states):
    slots = pad_compositions(parse_formulas([text])[0], dtype=torch.float64, device="cpu")
    trials = list_trials(slots, torch.zeros_like(slots.elements, dtype=torch.bool), 3, True)
    z = slots.elements[0].tolist()
    expected = [
        (slot, new)
        for slot, state in enumerate(states)
        for new in similar_elements(3, state)[z[slot]].tolist()
        if new and new not in z
    ]
    assert list(zip(trials.slot.tolist(), trials.element.tolist(), strict=True)) == expected
    assert {slot for slot, _ in expected} == {0, 1}
    assert trials.keeps_charge.all()


def test_rounding_is_no_direction():
    charges = torch.tensor([[1.0, 2.0, 5.0, -2.0]], dtype=torch.float64)
    space = _Space(torch.zeros_like(charges), torch.ones_like(charges), charges)
    fractions = torch.full_like(charges, 0.25)
    for gradient in (torch.full_like(charges, 0.1), 0.1 + 0.3 * charges, 1e6 / 3 + 0.7 * charges):
        moved = space.step(fractions, gradient, torch.tensor([[0.1]], dtype=torch.float64))
        assert torch.equal(moved, fractions)


def test_dropout_is_drawn_from_the_generator():
    model, rows, features = problem()
    run = attack(features, substitutions=1)

    def once(seed):
        generator = torch.Generator().manual_seed(seed)
        return run(model, rows, ones(features), 1e-3, ball(0.4), generator)[0]

    assert torch.equal(once(1), once(1))
    assert not torch.equal(once(1), once(2))


def test_single_precision():
    model, rows, features = problem()
    x, expected = run_single(model, rows, features)
    assert x.dtype == torch.float32
    assert (x - expected).abs().max() < 1e-3


def run_single(model, rows, features):
    run = attack(features, steps=2)
    expected, _ = run(model, rows, ones(features), 1e-3, everywhere)
    slots = rows.compositions
    single = pad_compositions(slots.to_compositions(), dtype=torch.float32, device="cpu")
    rows = Rows(rows.x.float(), rows.y.float(), compositions=single)
    x, _ = run(model.float(), rows, ones(features).float(), 1e-3, everywhere)
    return x, expected


@settings(deadline=None, max_examples=15)
@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from(SYMBOLS[1:100]), st.sampled_from(["1", "2", "3.50", "0.01"])),
            min_size=1,
            max_size=5,
            unique_by=lambda part: part[0],
        ).map(lambda parts: "".join(a + b for a, b in parts)),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
)
def test_any_composition_keeps_its_budgets(texts, charge_neutral):
    model, rows, features = problem(texts)
    run = attack(features, steps=3, step_size=0.04, substitutions=1, charge_neutral=charge_neutral)
    x, slots = run(model, rows, ones(features), 0.0, ball(0.5))
    assert x.isfinite().all()
    assert ball(0.5 + 1e-9)(x - rows.x).all()
    change = (slots.fractions - rows.compositions.fractions).abs()
    assert change.max() <= 0.05 + 1e-12
    np.testing.assert_allclose(slots.amounts.sum(1), rows.compositions.amounts.sum(1), rtol=1e-12)
    charge = (slots.charges * slots.fractions).sum(dim=1)[slots.known_charges]
    np.testing.assert_allclose(charge, 0.0, atol=1e-8)


def test_wrong_settings_and_rows_are_named():
    model, rows, features = problem()
    with pytest.raises(ConfigError, match="step_size = -1"):
        attack(features, step_size=-1)
    with pytest.raises(ConfigError, match="neighbours = 0"):
        attack(features, neighbours=0)
    with pytest.raises(DataError, match="no compositions"):
        attack(features)(model, Rows(rows.x, rows.y), ones(features), 0.0, everywhere)
    members = rows.take(torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(DataError, match="one by one"):
        attack(features)(model, members, ones(features), 0.0, everywhere)
