from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from xtalshift.report.run.mistake_figures import draw_elements
from xtalshift.report.run.mistakes import (
    describe_lifts,
    describe_mistakes,
    find_mistakes,
    periodic_places,
    size_of,
)

FORMULAS = ["NaCl", "KCl", "NaF", "Fe2O3", "FeO", "CaO", "GaAs", "FeNi"]
CONTAINS = {
    "Na": ["NaCl", "NaF"],
    "Cl": ["NaCl", "KCl"],
    "F": ["NaF"],
    "Fe": ["Fe2O3", "FeO", "FeNi"],
    "O": ["Fe2O3", "FeO", "CaO"],
    "As": ["GaAs"],
}
FAMILY = {
    "halide": ["NaCl", "KCl"],
    "fluoride": ["NaF"],
    "oxide": ["Fe2O3", "FeO", "CaO"],
    "pnictide": ["GaAs"],
    "intermetallic": ["FeNi"],
}


@pytest.fixture
def predictions():
    """Two seeds; the rows of `tail` are also those of `both`, as in a joint training."""
    rng = np.random.default_rng(0)
    rows = []
    for method, spread in (("dummy", 2.0), ("ridge", 1.0)):
        for seed in (0, 1):
            shift = spread * rng.random(len(FORMULAS))
            for place, formula in enumerate(FORMULAS):
                one = {"method": method, "seed": seed, "id": f"m{place}", "formula": formula}
                one |= {"target": 5.0 + place, "prediction": 5.0 + place + shift[place]}
                one |= {"needed_level": 0.12 * place, "ood_score": 0.13 * place}
                if place < 3:
                    rows.append(one | {"split": "random", "role": "id"})
                else:
                    rows += [one | {"split": split, "role": "ood"} for split in ("tail", "both")]
    return pd.DataFrame(rows)


@pytest.fixture
def table(predictions):
    """The test rows, and training rows with Na, Cl, Fe and O, but without F and As."""
    tested = predictions.drop_duplicates("id")[["id", "formula"]]
    train = pd.DataFrame({"id": ["t0", "t1", "t2"], "formula": ["NaCl2", "Fe3O4", "Na2O"]})
    frame = pd.concat([tested, train], ignore_index=True)
    held_out = frame["id"].isin(predictions.loc[predictions["role"] == "ood", "id"])
    return frame.assign(in_tail=held_out, in_both=held_out)


FITS = {name: ["random", "tail", "both"] for name in ("random", "tail", "both")}


def slow(predictions, formulas, method="ridge"):
    """Return errors of the rows with these formulas, each seed once."""
    rows = predictions[(predictions["method"] == method) & predictions["formula"].isin(formulas)]
    errors = {}
    for _, row in rows.iterrows():
        errors[row["seed"], row["id"]] = abs(row["prediction"] - row["target"])
    return list(errors.values())


def test_errors_by_element_equal_a_slow_computation(predictions, table):
    found = find_mistakes(predictions, table, "ridge", FITS)
    elements = {one.symbol: one for one in found.elements}
    for symbol, formulas in CONTAINS.items():
        group = elements[symbol].group
        assert group.n == len(formulas)
        assert group.mae == pytest.approx(np.mean(slow(predictions, formulas)))
        assert group.dummy_mae == pytest.approx(np.mean(slow(predictions, formulas, "dummy")))
        assert group.factor is None
    assert found.whole.n == len(FORMULAS)
    assert found.whole.mae == pytest.approx(np.mean(slow(predictions, FORMULAS)))


def test_elements_that_no_training_material_has_are_marked(predictions, table):
    found = find_mistakes(predictions, table, "ridge", FITS)
    counts = {one.symbol: one.n_train for one in found.elements}
    assert counts == {"O": 2, "F": 0, "Na": 2, "Cl": 1, "K": 0, "Ca": 0, "Fe": 1, "Ni": 0,
                      "Ga": 0, "As": 0}  # fmt: skip
    assert found.unseen == ["F", "K", "Ca", "Ni", "Ga", "As"]
    unknown = find_mistakes(predictions, None, "ridge", FITS)
    assert unknown.unseen == []
    assert {one.n_train for one in unknown.elements} == {None}


def test_families_have_their_errors(predictions, table):
    found = find_mistakes(predictions, table, "ridge", FITS)
    assert {one.name: one.n for one in found.families} == {
        name: len(formulas) for name, formulas in FAMILY.items()
    }
    for one in found.families:
        assert one.mae == pytest.approx(np.mean(slow(predictions, FAMILY[one.name])))


def test_distances_have_error_coverage_and_count(predictions, table):
    groups = find_mistakes(predictions, table, "ridge", FITS).distances
    # scores 0, 0.13, 0.26, 0.39 | 0.52, 0.65, 0.78 | none | 0.91 | ...; needed levels up to 0.84
    assert [(one.name, one.n) for one in groups] == [
        ("0 to 0.5", 4), ("0.5 to 0.8", 3), ("0.8 to 0.9", 0), ("0.9 to 0.95", 1),
        ("0.95 to 0.99", 0), ("0.99 to 1", 0),
    ]  # fmt: skip
    assert groups[0].mae == pytest.approx(np.mean(slow(predictions, FORMULAS[:4])))
    assert groups[0].coverage == 1.0
    assert groups[2].mae is None
    predictions.loc[predictions["id"].isin(["m0", "m1"]), "needed_level"] = 0.95
    assert find_mistakes(predictions, table, "ridge", FITS).distances[0].coverage == 0.5
    bare = predictions.drop(columns=["ood_score", "needed_level"])
    plain = find_mistakes(bare, table, "ridge", FITS)
    assert plain.distances == []
    assert plain.whole.coverage is None


def test_logarithms_have_factors(predictions, table):
    found = find_mistakes(predictions, table, "ridge", FITS, logarithmic=True)
    rows = predictions[(predictions["method"] == "ridge") & (predictions["formula"] == "NaF")]
    logs = np.abs(np.log(rows["prediction"] / rows["target"]))
    (fluorides,) = (one for one in found.families if one.name == "fluoride")
    assert fluorides.factor == pytest.approx(np.exp(logs.mean()))
    assert size_of(fluorides) == fluorides.factor
    assert fluorides.dummy_factor > 1


def test_sentences_name_only_groups_of_some_size(predictions, table):
    found = find_mistakes(predictions, table, "ridge", FITS)
    assert describe_mistakes(found, "eV") == []
    many = pd.concat([predictions.assign(id=predictions["id"] + f"-{copy}") for copy in range(5)])
    found = find_mistakes(many, None, "ridge", FITS)
    sizes = {one.name: one.mae for one in found.families if one.n >= 10}
    worst, best = max(sizes, key=sizes.get), min(sizes, key=sizes.get)
    (first, _) = describe_mistakes(found, "eV")
    assert set(sizes) == {"halide", "oxide"}
    assert first.startswith(f"The chemical family with the largest error is {worst} (0.")
    assert f"smallest is {best} (0." in first


def test_a_method_without_predictions_and_unreadable_formulas(predictions, table):
    assert find_mistakes(predictions, table, "erm", FITS) is None
    predictions["formula"] = predictions["formula"].replace("NaF", "<b>")
    found = find_mistakes(predictions, table, "ridge", FITS)
    assert "fluoride" not in {one.name for one in found.families}
    assert found.whole.n == len(FORMULAS)


def test_the_periodic_table_has_every_element_once():
    places = periodic_places()
    assert len(places) == len(set(places.values())) == 118
    expected = {"H": (1, 1), "He": (18, 1), "B": (13, 2), "Sc": (3, 4), "Zn": (12, 4), "Y": (3, 5)}
    expected |= {"Lu": (17, 9), "Hf": (4, 6), "Ac": (3, 10), "Lr": (17, 10), "Rf": (4, 7)}
    assert {symbol: places[symbol] for symbol in expected} == expected


def test_the_figure_says_count_and_marks_unseen_elements(predictions, table):
    found = find_mistakes(predictions, table, "ridge", FITS)
    without, known, unseen = draw_elements(found, "eV").data
    at = known["text"].index("Fe")
    iron = next(one.group for one in found.elements if one.symbol == "Fe")
    assert known["marker"]["color"][at] == iron.mae
    assert "3 held-out materials contain it<br>1 training materials" in known["customdata"][at]
    assert "NO training material" in known["customdata"][known["text"].index("F")]
    assert len(without["text"]) + len(known["text"]) == 118
    assert len(unseen["x"]) == len(found.unseen)


def test_lifts_compare_predictions_with_and_without_an_element(predictions, table):
    found = find_mistakes(predictions, table, "ridge", FITS)
    rows = predictions[predictions["method"] == "ridge"].drop_duplicates(["seed", "id"])
    iron = rows["formula"].isin(CONTAINS["Fe"])
    lifts = {one.symbol: one.lift for one in found.elements}
    expected = rows.loc[iron, "prediction"].mean() - rows.loc[~iron, "prediction"].mean()
    assert lifts["Fe"] == pytest.approx(expected)
    assert describe_lifts(found, "eV") == ""  # too few materials of each element
    logs = find_mistakes(predictions, table, "ridge", FITS, logarithmic=True)
    values = np.log(rows["prediction"])
    lifts = {one.symbol: one.lift for one in logs.elements}
    assert lifts["Fe"] == pytest.approx(np.exp(values[iron].mean() - values[~iron].mean()))


def test_the_elements_that_lift_predictions_most_are_named(predictions, table):
    many = pd.concat([predictions.assign(id=predictions["id"] + f"-{copy}") for copy in range(10)])
    found = find_mistakes(many, None, "ridge", FITS)
    lifts = {one.symbol: one.lift for one in found.elements}
    high = max(lifts, key=lifts.get)
    low = min(lifts, key=lifts.get)
    text = describe_lifts(found, "eV")
    assert f"higher for compounds with {high} (+" in text
    assert f"lower for compounds with {low} (\u2212" in text
    raised = [replace(one, lift=abs(one.lift) + 1.0) for one in found.elements]
    text = describe_lifts(replace(found, elements=raised), "eV")
    assert "higher" in text
    assert "lower" not in text  # no element lowers predictions
