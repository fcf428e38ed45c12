"""The applicability domain: known answers, what is saved, odd rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save
from sklearn.metrics import roc_auc_score

from xtalshift.chem.compositions import parse_formulas
from xtalshift.domain.applicability import ApplicabilityDomain
from xtalshift.domain.ood_score import Novelty
from xtalshift.errors import DataError
from xtalshift.featurize import CompositionFeaturizer

METALS = ["Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Al", "Ga", "In", "Sc", "Y"]
ANIONS = ["O", "S", "Se", "F", "Cl"]


def _materials(anions=ANIONS):
    pairs = [(m, x, a, b) for m in METALS for x in anions for a in (1, 2, 3) for b in (1, 2, 3)]
    formulas = [f"{m}{a}{x}{b}" for m, x, a, b in pairs if a == 1 or a != b]
    return np.array(formulas, dtype=object)


@pytest.fixture(scope="module")
def chemistry():
    """Return formulas, features, names and a permutation of the rows."""
    featurizer = CompositionFeaturizer()
    formulas = _materials()
    X = featurizer.transform(list(formulas))
    names = list(featurizer.get_feature_names_out())
    return formulas, X, names, np.random.default_rng(0).permutation(len(X))


@pytest.fixture(scope="module")
def domain(chemistry):
    formulas, X, names, order = chemistry
    known, held = order[:400], order[400:]
    y = np.arange(len(X), dtype=float)
    return ApplicabilityDomain.fit(
        X[known], y[known], formulas[known], X[held], feature_names=names
    )


def test_threshold_keeps_false_alarms_at_a_tenth_and_says_what_it_finds(domain):
    threshold = domain.threshold_
    assert 0.5 <= threshold.threshold <= 1
    assert threshold.false_positive_rate <= 0.1
    assert threshold.true_positive_rate > 0.6
    assert {"cluster 0", "Cl"} <= set(threshold.groups)
    assert threshold.true_positive_rate == pytest.approx(threshold.found.mean())
    assert len(threshold.groups) == len(threshold.found) == len(threshold.aurocs)


def test_a_new_element_is_found_by_its_values_and_a_new_region_by_its_distance(chemistry):
    formulas, X, _, order = chemistry
    chlorides = np.array(["Cl" in formula for formula in formulas])
    rest = order[~chlorides[order]]
    novelty = Novelty.fit(X[rest[:300]], X[rest[300:370]])
    new, usual = novelty.assess(X[chlorides]), novelty.assess(X[rest[370:]])
    is_new = np.repeat([True, False], [len(new.score), len(usual.score)])
    assert roc_auc_score(is_new, np.concatenate([new.score, usual.score])) > 0.95
    assert roc_auc_score(is_new, np.concatenate([new.rarity_rank, usual.rarity_rank])) > 0.98
    alloys = novelty.assess(CompositionFeaturizer().transform(["Li3Mg5In", "CaCd2", "Y2In7"]))
    assert (alloys.distance_rank == 1).all()


def test_a_training_material_is_not_new_however_alone_it_stands(domain, chemistry):
    _, X, _, order = chemistry
    known = domain.assess(X[order[:400]] * (1 + 1e-9))
    assert (known.ood_score == 0).all()
    assert known.in_domain.all()
    assert (domain.novelty_.assess(X[order[:400]]).score > 0.5).any()


def test_training_rows_are_their_own_nearest_materials(domain, chemistry):
    formulas, X, _, order = chemistry
    scores = domain.assess(X[order[:400]])
    assert domain.formulas_[scores.nearest].tolist() == formulas[order[:400]].tolist()
    assert domain.targets_[scores.nearest].tolist() == order[:400].tolist()
    assert (scores.nearest_distance == 0).all()
    assert (scores.in_domain == (scores.ood_score <= domain.threshold_.threshold)).all()


def test_polymorphs_are_one_material_with_the_mean_target(chemistry):
    formulas, X, names, _ = chemistry
    rows = np.array([0, 1, 2, 1, 3, 1])
    y = [1.0, 2.0, 3.0, 4.0, 5.0, 9.0]
    domain = ApplicabilityDomain.fit(X[rows], y, formulas[rows], feature_names=names)
    assert domain.formulas_.tolist() == formulas[:4].tolist()
    assert domain.targets_.tolist() == [1.0, 5.0, 3.0, 5.0]


def test_unseen_elements_are_named_and_do_not_enter_the_score(domain):
    compositions, _, _ = parse_formulas(["NaCl", "TcCl2Os", "", "PbO"])
    assert domain.unseen_elements(compositions).tolist() == ["", "Tc Os", "", "Pb"]


def test_elements_of_training_rows_can_be_given(chemistry):
    formulas, X, names, _ = chemistry
    every = np.ones(118, dtype=bool)
    domain = ApplicabilityDomain.fit(
        X, np.zeros(len(X)), formulas, feature_names=names, elements=every
    )
    assert domain.unseen_elements(parse_formulas(["TcOs"])[0]).tolist() == [""]


def test_parsed_formulas_are_not_parsed_again(chemistry, monkeypatch):
    formulas, X, names, _ = chemistry
    rows = np.array([0, 1, 2, 1, 3, 1])
    compositions, *_ = parse_formulas(formulas[rows].tolist())
    y = np.arange(6.0)
    parsed = ApplicabilityDomain.fit(X[rows], y, formulas[rows], feature_names=names)
    extended = parsed.extend(X[5:7], [1.0, 2.0], formulas[5:7])
    more, *_ = parse_formulas(formulas[5:7].tolist())
    monkeypatch.setattr("xtalshift.domain.applicability.parse_formulas", None)
    given_ones = ApplicabilityDomain.fit(
        X[rows], y, formulas[rows], feature_names=names, compositions=compositions
    )
    again = given_ones.extend(X[5:7], [1.0, 2.0], formulas[5:7], compositions=more)
    for one, other in ((parsed, given_ones), (extended, again)):
        for name, values in one.get_state().items():
            np.testing.assert_array_equal(values, other.get_state()[name])


def test_reasons_name_features_out_of_range_in_their_unit_and_the_nearest_materials():
    X = np.column_stack([np.arange(11.0), np.full(11, 7.0), np.arange(11.0) ** 2])
    formulas = [f"Na{i + 1}Cl" for i in range(11)]
    domain = ApplicabilityDomain.fit(X, 10 * X[:, 0], formulas, feature_names=["a", "b", "c"])
    inside, outside = domain.reasons([[3.0, 7.0, 9.0], [12.0, 8.0, -5.0]])
    assert inside.out_of_range == ()
    assert inside.nearest[0][:3] == ("Na4Cl", 0.0, 30.0)
    sd = X[:, [0, 2]].std(axis=0)
    assert [(f.name, f.value, f.low, f.high) for f in outside.out_of_range] == [
        ("b", 8.0, 7.0, 7.0),
        ("a", 12.0, 0.0, 10.0),
        ("c", -5.0, 0.0, 100.0),
    ]
    assert [f.n_sd for f in outside.out_of_range] == pytest.approx([np.inf, 2 / sd[0], 5 / sd[1]])
    gap = np.sqrt((2 / sd[0]) ** 2 + (105 / sd[1]) ** 2)
    near = domain.reasons([[12.0, 7.0, -5.0]], n_nearest=11)[0].nearest
    assert {material.formula: material.distance for material in near}["Na11Cl"] == pytest.approx(
        gap
    )
    text = domain.explain([[12.0, 8.0, -5.0]])[0]
    assert "b = 8 (training: 7 to 7), a = 12 (training: 0 to 10; 0.63 sd above)" in text
    assert "c = -5 (training: 0 to 100; 0.15 sd below)" in text


def test_reasons_name_values_that_no_training_material_has(chemistry):
    formulas, X, names, _ = chemistry
    fluorine = np.array(["F" in formula for formula in formulas])
    rest = np.flatnonzero(~fluorine)
    domain = ApplicabilityDomain.fit(
        X[rest], np.zeros(len(rest)), formulas[rest], feature_names=names
    )
    reasons = domain.reasons(X[fluorine][:1])[0]
    told = {r.name for r in (*reasons.out_of_range, *reasons.rare)}
    assert "MagpieData maximum Electronegativity" in told  # fluorine's is the highest of all
    assert all(value.share <= 0.001 for value in reasons.rare)


def test_rows_that_cannot_be_are_far_and_break_nothing(domain, chemistry):
    _, X, *_ = chemistry
    odd = np.repeat(X[:1], 5, axis=0)
    odd[0], odd[1], odd[2], odd[3, 7] = np.nan, 1e308, -np.inf, np.inf
    scores = domain.assess(odd)
    assert (scores.ood_score[1:3] == 1).all()
    assert not scores.in_domain[:4].any()
    assert np.isfinite(scores.ood_score).all()
    assert np.isfinite(scores.nearest_distance).all()
    texts = domain.explain(odd)
    assert "out of range" not in texts[0]
    assert "= 1e+308 (training" in texts[1]


def test_one_row_alone_has_the_score_it_has_among_others(domain, chemistry):
    _, X, _, order = chemistry
    together = domain.assess(X[order[380:440]])
    alone = [domain.assess(X[row : row + 1]) for row in order[380:440]]
    assert [a.ood_score[0] for a in alone] == pytest.approx(together.ood_score.tolist(), abs=1e-9)
    assert [a.nearest[0] for a in alone] == together.nearest.tolist()


def test_nothing_given_is_nothing_back(domain, chemistry):
    _, X, *_ = chemistry
    assert domain.assess(X[:0]).ood_score.shape == (0,)
    assert domain.explain(X[:0]).shape == (0,)


def test_inputs_are_not_changed_and_the_same_seed_gives_the_same_domain(chemistry):
    formulas, X, names, _ = chemistry
    before = X.copy()
    y = np.zeros(len(X))
    one, two = (
        ApplicabilityDomain.fit(X, y, formulas, feature_names=names, random_state=3)
        for _ in range(2)
    )
    assert (before == X).all()
    first, second = one.get_state(), two.get_state()
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_saved_domain_says_the_same(domain, chemistry):
    _, X, *_ = chemistry
    state = domain.get_state()
    assert all(name.startswith("domain.") for name in state)
    restored = ApplicabilityDomain().set_state(load(save(state)))
    for saved, found in zip(domain.assess(X), restored.assess(X), strict=True):
        assert np.array_equal(saved, found)
    assert restored.explain(X[:30]).tolist() == domain.explain(X[:30]).tolist()
    assert restored.threshold_.groups == domain.threshold_.groups
    assert restored.threshold_.true_positive_rate == domain.threshold_.true_positive_rate
    assert restored.elements_.tolist() == domain.elements_.tolist()
    again = restored.get_state()
    assert all(np.array_equal(state[name], again[name]) for name in state)


def test_target_labels_become_materials_and_the_first_domain_stays(domain, chemistry):
    formulas, X, _, order = chemistry
    new = ["TlBr", "TlBr3", "Tl2Br"]
    features = CompositionFeaturizer().transform(new)
    known = domain.formulas_[5]
    at = int(np.flatnonzero(formulas == known)[0])
    before = domain.assess(features)
    extended = domain.extend(
        np.vstack([features, X[at : at + 1]]), [1.0, 2.0, 3.0, -7.0], [*new, known]
    )
    assert extended.formulas_.tolist() == [*domain.formulas_, *new]
    assert extended.targets_[5] == -7
    assert domain.targets_[5] != -7
    after = extended.assess(features)
    assert after.nearest_distance.tolist() == [0, 0, 0]
    assert (after.ood_score < before.ood_score).all()
    assert extended.unseen_elements(parse_formulas(["TlBr"])[0]).tolist() == [""]
    assert domain.unseen_elements(parse_formulas(["TlBr"])[0]).tolist() == ["Tl Br"]
    assert np.array_equal(extended.novelty_.held_out, domain.novelty_.held_out)
    # what is far from the labels is where it was
    far = order[400:420]
    assert (
        extended.assess(X[far]).nearest_distance.tolist()
        == domain.assess(X[far]).nearest_distance.tolist()
    )


def test_a_target_label_given_twice_counts_once_with_its_last_value(domain):
    features = CompositionFeaturizer().transform(["TlBr", "TlBr"])
    extended = domain.extend(features, [1.0, 2.0], ["TlBr", "TlBr"])
    assert len(extended.formulas_) == len(domain.formulas_) + 1
    assert extended.targets_[-1] == 2


@given(st.integers(1, 30), st.integers(1, 4), st.integers(0, 2**16))
def test_few_rows_of_any_shape_have_a_score_in_range(n, d, seed):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 4, (n, d)).astype(float)
    X[0] = 9 - X.max()
    X = np.vstack([X, X[:1] + 1])  # no feature is constant
    formulas = [f"NaCl{i + 1}" for i in range(n + 1)]
    domain = ApplicabilityDomain.fit(
        X, X[:, 0], formulas, feature_names=[f"x{j}" for j in range(d)]
    )
    asked = np.vstack([X, rng.normal(0, 100, (5, d)), np.full((1, d), np.nan)])
    scores = domain.assess(asked)
    assert ((scores.ood_score >= 0) & (scores.ood_score <= 1)).all()
    assert (scores.nearest_distance[: n + 1] == 0).all()
    assert scores.nearest.max() < len(domain.formulas_)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": [1.0]}, r"X has shape \(2, 2\), y \(1,\), formulas \(2,\)"),
        ({"feature_names": ["a"]}, "1 feature names for 2 features"),
        ({"X_held_out": [[1.0]]}, r"X_held_out has shape \(1, 1\), expected \(m, 2\)"),
        ({"X_train": np.ones((2, 2))}, "every feature is constant"),
        ({"X_train": [[1.0, np.inf], [1.0, 2.0]]}, "infinite"),
    ],
)
def test_what_cannot_be_is_said(change, message):
    arguments = {
        "X_train": [[1.0, 2.0], [2.0, 3.0]],
        "y_train": [1.0, 2.0],
        "formulas_train": ["NaCl", "KCl"],
        "feature_names": ["a", "b"],
    }
    with pytest.raises(DataError, match=message):
        ApplicabilityDomain.fit(**arguments | change)


def test_rows_of_another_width_are_refused(domain):
    with pytest.raises(DataError, match=r"X has shape \(1, 3\), expected \(n, 145\)"):
        domain.assess([[1.0, 2.0, 3.0]])
    with pytest.raises(DataError, match="there are no training rows"):
        ApplicabilityDomain.fit(np.zeros((0, 2)), [], [], feature_names=["a", "b"])
