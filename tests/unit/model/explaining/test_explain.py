"""Explanations of one prediction: they sum to it, and have the values of their definition."""

import json
from dataclasses import replace

import numpy as np
import pytest

import polymorph_toys
from reference.shapley import shapley_by_orders
from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.elements import SYMBOLS
from xtalshift.data import Dataset, Materials
from xtalshift.errors import ConfigError, DataError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.model import FittedModels, fit, load_model
from xtalshift.model.explaining.background import Background
from xtalshift.model.explaining.explain import explain
from xtalshift.model.explaining.outcome import LEAST_ODDS, log_odds
from xtalshift.model.explaining.parts import FEWEST, MOST_PARTS
from xtalshift.model.explaining.record import COLUMNS, explanation_table
from xtalshift.model.explaining.replacement import Places

METALS = ("Li", "Na", "K", "Mg", "Zn", "Ga", "Fe", "Ti")
FORMULAS = [metal + anion for metal in METALS for anion in ("O", "S", "F", "Cl", "N")]
GAPS = np.linspace(1.0, 3.0, len(FORMULAS)) ** 2


def table(targets=GAPS, **options):
    return Dataset.of(FORMULAS, targets, target_name="gap", unit="eV", **options)


@pytest.fixture(scope="module")
def model():
    return fit(table(), "ridge", features="fractions", seed=1)


@pytest.fixture(scope="module")
def logs():
    return fit(table(), "ridge", features="fractions", transform="log", seed=1)


@pytest.fixture(scope="module")
def warm():
    rng = np.random.default_rng(0)
    extra = rng.uniform(100, 500, size=(len(FORMULAS), 1))
    data = table(GAPS + extra[:, 0] / 100)
    materials = Materials.parse(FORMULAS, extra=extra, extra_names=("temperature",))
    return fit(replace(data, materials=materials), "lightgbm", seed=1)


@pytest.fixture(scope="module")
def kinds():
    names = np.where(GAPS > 6, "high", np.where(GAPS > 2.5, "middle", "low"))
    return fit(table(names.tolist()), "ridge", seed=1)


def check_sums(found, exact=1e-9):
    """Assert that each view sums to the value."""
    size = max(1.0, abs(found.value))
    for parts, left in ((found.elements, 0.0), (found.families, found.left_over),
                        (found.features, found.left_over)):  # fmt: skip
        total = found.base + sum(one.contribution for one in parts) + left
        assert abs(total - found.value) < exact * size
    sizes = [abs(one.contribution) for one in found.elements]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("name", ["model", "logs", "kinds"])
@pytest.mark.parametrize("formula", ["NaBr", "FeTiO3", "Li2ZnCl4", "Na", "K0.5Na0.5NbO3"])
def test_every_view_sums_to_the_prediction(name, formula, request):
    fitted = request.getfixturevalue(name)
    (found,) = fitted.explain([formula])
    check_sums(found)
    assert abs(found.left_over) < 1e-9
    predicted = fitted.predict([formula])
    if name == "kinds":
        assert found.label == predicted.prediction[0]
        assert found.itself.prediction == predicted.probability(found.label)[0]
        assert found.value == log_odds(predicted.probability(found.label))[0]
        return
    assert found.itself.prediction == predicted.prediction[0]
    assert (found.itself.lower, found.itself.upper) == (predicted.lower[0], predicted.upper[0])
    wanted = np.log(predicted.prediction[0]) if name == "logs" else predicted.prediction[0]
    assert found.value == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("formula", ["NaBr", "FeTiO3"])
def test_elements_have_the_shapley_values_of_their_definition(model, formula):
    background = Background.of(model)
    own = parse_formulas([formula])[0]
    places, n = Places.of(own, background.compositions), int(own.sizes[0])

    def value(present):
        """Return the mean prediction where some elements and perhaps the proportions are kept."""
        rows = []
        for b in range(len(background)):
            shares = places.own_shares if n in present else places.other_shares[b]
            row = np.zeros(len(SYMBOLS) - 1)
            for k in range(n):
                row += shares[k] * (places.own[k] if k in present else places.others[b, k])
            rows.append(row)
        return model.predict_features(np.array(rows)).mean()

    wanted = shapley_by_orders(value, n + 1)
    (found,) = model.explain([formula])
    named = {one.name: one.contribution for one in found.elements}
    symbols = [SYMBOLS[z] for z in own.z]
    np.testing.assert_allclose([named[one] for one in (*symbols, "proportions")], wanted, atol=1e-9)
    assert found.base == pytest.approx(value(frozenset()), rel=1e-9)


def test_a_linear_model_of_fractions_by_hand(model):
    ridge, known = model.regressor, Background.of(model).X
    slopes = np.zeros(len(model.feature_names))
    slopes[ridge.scaler_.kept_] = ridge.coef_ / ridge.scaler_.scale_
    x = model.features_of(["NaCl"])[0]
    wanted = {
        name: slopes[k] * (x[k] - known[:, k].mean()) for k, name in enumerate(model.feature_names)
    }
    (found,) = model.explain(["NaCl"])
    by_name = {one.name: one for one in found.features}
    for name, value in wanted.items():
        if abs(value) > 1e-12:
            assert by_name[name].contribution == pytest.approx(value, rel=1e-9)
            k = model.feature_names.index(name)
            assert by_name[name].value == x[k]
            assert by_name[name].usual == pytest.approx(known[:, k].mean())


def test_the_base_is_the_mean_prediction_of_materials_spread_as_the_targets(model):
    background = Background.of(model)
    (found,) = model.explain(["NaBr"])
    assert found.compared == len(background) == len(model.domain.formulas_)
    assert found.base == pytest.approx(model.predict_features(background.X).mean(), rel=1e-12)
    few = Background.of(model, most=5)
    order = np.sort(model.domain.targets_)
    at = dict(zip(model.domain.formulas_, model.domain.targets_, strict=True))
    chosen = [at[key] for key in few.compositions.reduced_formulas()]
    n = len(order)
    assert chosen == [order[int((k + 0.5) * n / 5)] for k in range(5)]


def test_a_column_is_a_part_of_its_own(warm):
    low, high = warm.explain(["NaCl", "NaCl"], [[150.0], [480.0]], substitutions=0)
    for found in (low, high):
        check_sums(found)
        column = next(one for one in found.elements if one.kind == "column")
        assert column.name == "temperature"
        family = next(one for one in found.families if one.name == "temperature")
        assert family.contribution != 0
    values = [next(one.value for one in f.elements if one.kind == "column") for f in (low, high)]
    assert values == [150.0, 480.0]
    with pytest.raises(DataError, match="needs 1 extra feature columns"):
        warm.explain(["NaCl"])


def test_the_log_odds_of_a_class_that_is_asked_for(kinds):
    found = {name: kinds.explain(["NaBr"], of_class=name)[0] for name in kinds.classes}
    p = [found[name].itself.prediction for name in kinds.classes]
    assert sum(p) == pytest.approx(1.0)
    for name, one in found.items():
        assert one.label == name
        check_sums(one)
    with pytest.raises(ConfigError, match="no class 'hgih' \\(did you mean 'high'"):
        kinds.explain(["NaBr"], of_class="hgih")


def test_a_class_of_numbers_is_refused(model):
    with pytest.raises(ConfigError, match="the model predicts numbers"):
        model.explain(["NaBr"], of_class="high")


def test_certain_probabilities_have_finite_odds():
    found = log_odds(np.array([0.0, 0.5, 1.0]))
    assert found[1] == 0.0
    np.testing.assert_allclose(
        found[[0, 2]], np.log(LEAST_ODDS / (1 - LEAST_ODDS)) * np.array([1, -1])
    )


def test_substitutions_are_predicted_as_any_material(model):
    (found,) = model.explain(["NaCl"], level=0.5, substitutions=2)
    assert 1 <= len(found.substitutions) <= 4
    changes = [one.change for one in found.substitutions]
    assert changes == sorted(changes, reverse=True)
    for one in found.substitutions:
        assert {one.removed, one.added} & {"Na", "Cl"} == {one.removed}
        predicted = model.predict([one.result.formula], level=0.5)
        assert one.result.prediction == predicted.prediction[0]
        assert (one.result.lower, one.result.upper) == (predicted.lower[0], predicted.upper[0])
        assert one.result.in_domain == predicted.in_domain[0]
        assert one.result.known == (one.result.formula in model.domain.formulas_)
        assert one.change == pytest.approx(one.result.prediction - found.value, rel=1e-9)
    assert model.explain(["NaCl"], substitutions=0)[0].substitutions == ()
    with pytest.raises(ConfigError, match="substitutions = -1"):
        model.explain(["NaCl"], substitutions=-1)


def test_a_neutral_material_stays_neutral(model):
    from xtalshift.chem.charge_neutrality import neutral_rows

    for formula in ("NaCl", "Fe2O3"):
        swaps = model.explain([formula], substitutions=20)[0].substitutions
        formulas = [one.result.formula for one in swaps]
        assert neutral_rows(parse_formulas(formulas)[0])[0].all()
    alloy = model.explain(["Fe3Zn"], substitutions=20)[0].substitutions
    assert "FeZn3" not in {one.result.formula for one in alloy}
    assert len(alloy) > 4


def test_amounts_by_weight_are_not_read_twice():
    data = Dataset.of(FORMULAS, GAPS)
    by_weight = replace(fit(data, "ridge"), featurizer=CompositionFeaturizer(amounts="wt"))
    found = by_weight.explain(["Na50Cl50"], substitutions=1)[0]
    assert sum(one.value for one in found.elements if one.kind == "element") == pytest.approx(1.0)
    own = by_weight.read(["Na50Cl50"]).compositions
    assert found.substitutions
    swap = parse_formulas([found.substitutions[0].result.formula])[0]
    np.testing.assert_allclose(
        np.sort(swap.amounts) / swap.amounts.sum(),
        np.sort(own.amounts) / own.amounts.sum(),
        rtol=1e-4,
    )


def test_bad_rows_have_a_reason_and_the_others_do_not_depend_on_them(model):
    good, bad, empty = model.explain(["NaCl", "Xx2", ""])
    assert "unknown element" in bad.reason
    assert (bad.itself, bad.elements, bad.substitutions) == (None, (), ())
    assert empty.reason
    assert model.explain(["NaCl"])[0] == good


def test_many_elements_are_compared_with_fewer_materials(model):
    formula = "".join(SYMBOLS[3 : 3 + MOST_PARTS])
    (found,) = model.explain([formula], substitutions=0)
    assert found.compared == FEWEST
    assert len(found.elements) == MOST_PARTS + 1
    check_sums(found)


def test_errors_are_those_of_means_over_materials(model):
    (found,) = model.explain(["NaCl"], substitutions=0)
    predictions = model.predict_features(Background.of(model).X)
    n = len(predictions)
    assert found.base_error == pytest.approx(predictions.std(ddof=1) / np.sqrt(n))
    sodium = next(one for one in found.features if one.name == "fraction Na")
    known = Background.of(model).X[:, model.feature_names.index(sodium.name)]
    slope = sodium.contribution / (sodium.value - known.mean())
    assert sodium.error == pytest.approx(abs(slope) * known.std(ddof=1) / np.sqrt(n))


def test_more_parts_than_can_be_enumerated_have_features_only(model):
    formula = "".join(SYMBOLS[3 : 3 + MOST_PARTS + 1])
    (found,) = model.explain([formula])
    assert found.elements == ()
    rows = found.frame
    assert rows.loc[rows["reason"] != "", "kind"].tolist() == ["element"]
    assert found.no_elements == "11 elements and columns are more than 10"
    assert found.features


def test_a_method_without_contributions_of_features_has_those_of_elements():
    fitted = fit(table(), "nearest", features="fractions", seed=1)
    (found,) = fitted.explain(["NaBr"])
    assert "does not say how its features move a prediction" in found.no_features
    assert (found.features, found.families, found.left_over) == ((), (), 0.0)
    total = found.base + sum(one.contribution for one in found.elements)
    assert total == pytest.approx(found.value, rel=1e-12)


def test_a_model_of_crystals_has_features_only():
    names, structures, values = polymorph_toys.crystals()
    formulas = [name.partition("-")[0] for name in names]
    materials = Materials.parse(formulas, structures=structures).take(slice(0, 60))
    data = replace(Dataset.of(formulas[:60], values[:60]), materials=materials)
    fitted = fit(data, "ridge", features="magpie+structure", seed=1)
    (found,) = fitted.explain(materials.take([4]))
    assert (
        found.no_elements
        == "the model reads crystals, and with an element less they would be others"
    )
    assert (found.elements, found.substitutions) == ((), ())
    total = found.base + sum(one.contribution for one in found.families)
    assert total == pytest.approx(found.value, rel=1e-9)
    known = fitted.featurize(materials).values
    base = Background.of(fitted).X.mean(axis=0)
    assert len(Background.of(fitted)) == len(fitted.domain.formulas_)
    at = fitted.feature_names.index("structure density")
    assert known[:, at].min() <= base[at] <= known[:, at].max()


def test_a_model_without_a_domain_says_what_to_do(model):
    with pytest.raises(DataError, match=r"does not know its training materials.*Train it again"):
        replace(model, domain=None).explain(["NaCl"])


def test_a_loaded_model_explains_alike(warm, tmp_path):
    loaded = load_model(warm.save(tmp_path / "model"))
    asked = {"extra": [[300.0]], "substitutions": 0}
    assert loaded.explain(["NaCl"], **asked) == warm.explain(["NaCl"], **asked)


def test_several_targets_are_explained_each(model, logs):
    both = FittedModels({"gap": model, "other": logs})
    found = both.explain(["NaCl"], substitutions=0)
    assert list(found) == ["gap", "other"]
    assert found["other"] == explain(logs, ["NaCl"], substitutions=0)


def test_a_class_of_one_of_several_targets(model, kinds):
    both = FittedModels({"gap": model, "kind": kinds})
    found = both.explain(["NaCl"], of_class="high", substitutions=0)
    assert (found["gap"][0].label, found["kind"][0].label) == ("", "high")
    with pytest.raises(ConfigError, match=r"no target has a class 'hgih'; classes are: high, low"):
        both.explain(["NaCl"], of_class="hgih")


def test_the_table_has_all_parts(model):
    explained = model.explain(["NaCl", "Xx"], substitutions=1)
    frame = explanation_table(explained)
    assert frame.columns.tolist() == list(COLUMNS)
    first = frame[frame["formula"] == "NaCl"]
    for kind in ("element", "family", "feature"):
        rows = first["kind"].isin([kind, "proportions"] if kind == "element" else [kind])
        total = first.loc[rows, "contribution"].sum() + explained[0].base
        assert total == pytest.approx(explained[0].value)
    assert first["kind"].tolist()[0] == "base"
    assert (
        first["name"]
        .tolist()[-1]
        .startswith(
            f"{explained[0].substitutions[-1].removed} -> {explained[0].substitutions[-1].added}: "
        )
    )
    last = frame.iloc[-1]
    assert (last["kind"], last["formula"]) == ("error", "Xx")
    assert explained[0].frame.equals(frame.iloc[:-1])
    plain = json.loads(json.dumps(explained[1].plain()))
    assert plain["value"] is None
    assert "unknown element" in plain["reason"]
